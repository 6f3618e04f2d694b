"""The public keys that sign bearer tokens: an identity provider's JSON Web Key Set (RFC 7517), kept near.

    found by    OIDC discovery (<issuer>/.well-known/openid-configuration) or an explicit URL, over https
    fresh       for FRESH_SECONDS; then it is fetched again in the background while the old one is still used
    stale       used for up to STALE_SECONDS while the provider does not answer, and no longer: a key that the provider
                withdrew must end some time
    unknown kid fetched again at once, but never more often than every PAUSE_SECONDS, whoever sends what

A dead provider is IdentityProviderUnavailable only for tokens whose key is not there. Fetching blocks, so it runs in a
thread of its own; requests that wait for the same set share one fetch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import orjson

from api.problems import IdentityProviderUnavailable

FRESH_SECONDS = 300.0
STALE_SECONDS = 86_400.0
PAUSE_SECONDS = 10.0
FETCH_SECONDS = 5.0
MAXIMUM_ANSWER_BYTES = 1_048_576
MAXIMUM_KEYS = 100
MINIMUM_RSA_BITS = 2_048

_KINDS: Mapping[str, str] = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_LOG = logging.getLogger(__name__)

JsonWebKey = dict[str, Any]
Fetch = Callable[[], Sequence[JsonWebKey]]


class KeySetUnreadable(Exception):
    """What the identity provider answers is no key set, or it does not answer."""


class UnknownSigningKey(Exception):
    """The provider answers, and has no such key."""


class KeySets:
    """See the module. `fetch` gives the keys and may block; it raises KeySetUnreadable."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        fresh_seconds: float = FRESH_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._pause_seconds = pause_seconds
        self._keys: Sequence[JsonWebKey] = ()
        self._prepared: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._is_failing = False
        self._refreshing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="key-sets")

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """The key that a token of this header was signed with; no `kid` is fine while there is one key only.

        Raises UnknownSigningKey, IdentityProviderUnavailable.
        """
        found = self._found(kid, algorithm)
        if found is not None:
            if self._age() >= self._fresh_seconds and self._may_try():
                self._refresh()  # the next ones will have it; this one need not wait
            return found
        if self._refreshing is not None or self._may_try():
            await asyncio.shield(self._refresh())
            found = self._found(kid, algorithm)
            if found is not None:
                return found
        if self._is_failing:
            raise IdentityProviderUnavailable(retry_after_seconds=self._pause_seconds)
        raise UnknownSigningKey

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _may_try(self) -> bool:
        return self._refreshing is None and self._monotonic() - self._tried_at >= self._pause_seconds

    def _refresh(self) -> asyncio.Task[None]:
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refreshed())
        return self._refreshing

    async def _refreshed(self) -> None:
        self._tried_at = self._monotonic()
        try:
            keys = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
        except KeySetUnreadable as error:
            self._is_failing = True
            _LOG.warning("the keys of the identity provider could not be fetched: %s", error)
        else:
            self._keys, self._prepared = keys, {}
            self._fetched_at = self._monotonic()
            self._is_failing = False
        finally:
            self._refreshing = None

    def _found(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        if self._age() >= self._stale_seconds:
            return None
        prepared = self._prepared.get((kid, algorithm))
        if prepared is not None:
            return prepared
        fitting = [key for key in self._keys if _fits(key, algorithm)]
        if kid is not None:
            fitting = [key for key in fitting if key.get("kid") == kid]
        if len(fitting) != 1:
            return None
        prepared = _prepared(fitting[0], algorithm)
        if prepared is not None:
            self._prepared[(kid, algorithm)] = prepared
        return prepared


def _fits(key: JsonWebKey, algorithm: str) -> bool:
    """Whether the key may verify signatures of this algorithm: its kind, its use, and its own `alg` where it has one.

    Symmetric keys (`oct`) never do: a public key set holds none.
    """
    return (
        key.get("kty") == _KINDS.get(algorithm[:2])
        and key.get("use", "sig") == "sig"
        and "verify" in key.get("key_ops", ("verify",))
        and key.get("alg", algorithm) == algorithm
    )


def _prepared(key: JsonWebKey, algorithm: str) -> jwt.PyJWK | None:
    try:
        prepared = jwt.PyJWK(key, algorithm)
    except jwt.PyJWTError as error:
        _LOG.warning("a key of the identity provider cannot be used: %s", type(error).__name__)
        return None
    if key["kty"] == "RSA" and prepared.key.key_size < MINIMUM_RSA_BITS:
        _LOG.warning("a key of the identity provider is too short: %d bits", prepared.key.key_size)
        return None
    return prepared


class IdentityProvider:
    """Fetches the key set of an issuer. `keys_url` None is found by OIDC discovery each time: it may move.

    `client` follows no redirects and has a timeout.
    """

    def __init__(self, issuer: str, keys_url: str | None, client: httpx.Client) -> None:
        self._issuer = issuer
        self._keys_url = keys_url
        self._client = client

    def keys(self) -> Sequence[JsonWebKey]:
        """The keys as they are now. Raises KeySetUnreadable."""
        document = self._document(self._keys_url or self._discovered_url())
        keys = document.get("keys")
        if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
            raise KeySetUnreadable("the answer has no keys")
        if len(keys) > MAXIMUM_KEYS:
            raise KeySetUnreadable(f"the answer has over {MAXIMUM_KEYS} keys")
        return keys

    def _discovered_url(self) -> str:
        """`jwks_uri` of the issuer's configuration (OpenID Connect Discovery 1.0, sections 3 and 4)."""
        document = self._document(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise KeySetUnreadable("the discovery document is of another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not is_safe_url(url):
            raise KeySetUnreadable("the discovery document has no jwks_uri over https")
        return url

    def _document(self, url: str) -> dict[str, Any]:
        content = bytearray()
        deadline = time.monotonic() + FETCH_SECONDS
        try:
            with self._client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
                if answer.status_code != 200:
                    raise KeySetUnreadable(f"status {answer.status_code}")
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > MAXIMUM_ANSWER_BYTES or time.monotonic() > deadline:
                        raise KeySetUnreadable("the answer is too large, or too slow")
            document = orjson.loads(content)
        except httpx.HTTPError as error:
            raise KeySetUnreadable(type(error).__name__) from error
        except orjson.JSONDecodeError as error:
            raise KeySetUnreadable("the answer is not JSON") from error
        if not isinstance(document, dict):
            raise KeySetUnreadable("the answer is no JSON object")
        return document


def is_safe_url(url: str) -> bool:
    """Whether keys may be fetched from there: https, or http on this very machine (a provider for tests)."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    is_local = host in ("localhost", "127.0.0.1", "::1")
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_local))
