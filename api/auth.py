"""Who is calling: an API key in `X-API-Key` or as the password of HTTP basic, a bearer token (api.bearer), or what a
trusted gateway says (api.gateway) becomes a Caller.

While no key was ever made, and neither an identity provider nor a gateway is configured, the service is open (and binds
to loopback only, api.server): the caller is the operator. From then on every operation that the contract secures needs
one of the three. Lookups are remembered for a second, so that a key costs microseconds and its revocation takes effect
within that second. Secrets are kept here as digests only and never logged.

An open service answers only requests that name it by a loopback name in `Host`: otherwise any page in a browser on the
same machine could read it, by a name of its own that it lets point to 127.0.0.1 (DNS rebinding).

connexion's security middleware calls the three handlers below (`security_map`); they answer `{"sub": tenant,
"caller": Caller}`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from connexion.security import NO_VALUE
from starlette.types import Scope

from api.bearer import BearerTokens
from api.exchange import exchange_of
from api.gateway import gateway_caller
from api.problems import AuthenticationRequired, HostNotAllowed
from service.model import OPERATOR, Caller

REMEMBERED_SECONDS = 1.0
MAXIMUM_REMEMBERED_KEYS = 4096
MAXIMUM_KEY_CHARACTERS = 512

LOOPBACK_HOST = re.compile(rb"(localhost|[a-z0-9-]+\.localhost|127(\.[0-9]{1,3}){3}|\[::1\])\.?(:[0-9]{1,5})?")

Identity = dict[str, Any]
WRONG_KEY = "This API key is not known, was revoked or has expired."


class Keys(Protocol):
    """What the gate needs of the key store."""

    def is_empty(self) -> bool:
        """Whether no key was ever made (revoked ones count as made)."""

    def authenticate(self, secret: str) -> Caller | None:
        """The caller of this key, None when there is no such key, it was revoked or it expired. May block."""


class Gate:
    """Turns keys and tokens into callers and remembers the answers for a moment.

    `keys` None is an open service; so are keys none of which was ever made, unless there is another way in: `bearer`,
    or `has_gateway`. `maximum_scan_bytes` bounds every caller's queries, on top of the limit of its key.
    """

    def __init__(
        self,
        keys: Keys | None,
        *,
        bearer: BearerTokens | None = None,
        has_gateway: bool = False,
        maximum_scan_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        remembered_seconds: float = REMEMBERED_SECONDS,
    ) -> None:
        self._keys = keys
        self._bearer = bearer
        self._has_gateway = has_gateway
        self._maximum_scan_bytes = maximum_scan_bytes
        self._clock = clock
        self._remembered_seconds = remembered_seconds
        self._callers: dict[bytes, tuple[float, Identity | None]] = {}
        self._token_callers: dict[bytes, tuple[float, Identity]] = {}
        self.open_identity = self._identity_of(OPERATOR)
        has_other_way_in = bearer is not None or has_gateway
        self._is_open = keys is None and not has_other_way_in
        self._is_open_until = float("inf") if keys is None or has_other_way_in else float("-inf")

    async def is_open(self) -> bool:
        """Whether calls need no key, because none was ever made."""
        if self._clock() >= self._is_open_until and self._keys is not None:
            self._is_open = await asyncio.to_thread(self._keys.is_empty)
            self._is_open_until = self._clock() + self._remembered_seconds
        return self._is_open

    async def identify(self, secret: str) -> Identity | None:
        """The identity of the key `secret`, None when it is not good."""
        if self._keys is None or not 0 < len(secret) <= MAXIMUM_KEY_CHARACTERS:
            return None
        digest = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
        remembered = self._callers.get(digest)
        if remembered is not None and self._clock() < remembered[0]:
            return remembered[1]
        caller = await asyncio.to_thread(self._keys.authenticate, secret)
        identity = None if caller is None else self._identity_of(caller)
        if len(self._callers) >= MAXIMUM_REMEMBERED_KEYS:
            self._callers.clear()
        self._callers[digest] = (self._clock() + self._remembered_seconds, identity)
        return identity

    async def believe(self, token: str) -> Identity:
        """The identity of a bearer token. Raises AuthenticationRequired and what BearerTokens.caller raises."""
        if self._bearer is None:
            raise AuthenticationRequired("Bearer tokens are not accepted here; send an API key.")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        remembered = self._token_callers.get(digest)
        if remembered is not None and self._clock() < remembered[0]:
            return remembered[1]
        identity = self._identity_of(await self._bearer.caller(token))
        if len(self._token_callers) >= MAXIMUM_REMEMBERED_KEYS:
            self._token_callers.clear()
        self._token_callers[digest] = (self._clock() + self._remembered_seconds, identity)
        return identity

    def of_gateway(self, scope: Scope) -> Identity | None:
        """The identity that a trusted peer names; None when none does. Raises what gateway_caller raises."""
        caller = gateway_caller(scope) if self._has_gateway else None
        return None if caller is None else self._identity_of(caller)

    def _identity_of(self, caller: Caller) -> Identity:
        """What connexion's security passes on: `sub` is its own word for the user."""
        limits = [limit for limit in (caller.maximum_scan_bytes, self._maximum_scan_bytes) if limit is not None]
        limited = replace(caller, maximum_scan_bytes=min(limits, default=None))
        return {"sub": caller.tenant, "caller": limited}


Verification = Callable[[Any], Awaitable[Any]]


class ApiKeyHandler:
    """connexion security handler of `type: apiKey, in: header`. An open service lets everybody in here, and whoever a
    trusted gateway names.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def get_fn(self, security_scheme: dict[str, Any], _required_scopes: list[str]) -> Verification:
        """The check connexion calls for each request: identity, NO_VALUE (no key sent), or AuthenticationRequired."""
        header = security_scheme["name"].lower().encode()

        async def verify(request: Any) -> Any:
            if await self._gate.is_open():
                require_loopback_host(request.scope)
                return self._gate.open_identity
            identity = self._gate.of_gateway(request.scope)
            if identity is not None:
                return identity
            for name, value in request.scope["headers"]:
                if name == header:
                    identity = await self._gate.identify(value.decode("latin-1"))
                    if identity is None:
                        raise AuthenticationRequired(WRONG_KEY)
                    return identity
            return NO_VALUE

        return verify


class BasicHandler:
    """connexion security handler of `type: http, scheme: basic`: the key is the password, the user name is not
    looked at.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def get_fn(self, _security_scheme: dict[str, Any], _required_scopes: list[str]) -> Verification:
        """As ApiKeyHandler.get_fn."""

        async def verify(request: Any) -> Any:
            scheme, credentials = _authorization(request.scope)
            if scheme in ("", "bearer"):
                return NO_VALUE
            identity = await self._gate.identify(_password(credentials) if scheme == "basic" else "")
            if identity is None:
                raise AuthenticationRequired(WRONG_KEY)
            return identity

        return verify


class BearerHandler:
    """connexion security handler of `type: http, scheme: bearer`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def get_fn(self, _security_scheme: dict[str, Any], _required_scopes: list[str]) -> Verification:
        """As ApiKeyHandler.get_fn; the check may raise what Gate.believe raises."""

        async def verify(request: Any) -> Any:
            scheme, credentials = _authorization(request.scope)
            return await self._gate.believe(credentials.decode("latin-1")) if scheme == "bearer" else NO_VALUE

        return verify


def require_loopback_host(scope: Scope) -> None:
    """Raises HostNotAllowed when `Host` is not a name that only this machine's own clients use for it."""
    for name, value in scope["headers"]:
        if name == b"host" and not LOOPBACK_HOST.fullmatch(value.lower()):
            raise HostNotAllowed(
                f"An open service answers to localhost only, not to {value.decode('latin-1')[:100]}."
                " Make an API key (data-hist keys create) to use it by another name."
            )


def _authorization(scope: Scope) -> tuple[str, bytes]:
    """The scheme (lower case) and the credentials of `Authorization` (RFC 9110, 11.4); empty where it is not sent."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.strip().partition(b" ")
            return scheme.decode("latin-1").lower() or "none", credentials.strip()
    return "", b""


def _password(credentials: bytes) -> str:
    """The password in HTTP basic credentials (RFC 7617); empty where they are none."""
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password


def security_map(gate: Gate) -> dict[str, Callable[[], Any]]:
    """What connexion is handed as `security_map`."""
    return {
        "apiKey": partial(ApiKeyHandler, gate),
        "basic": partial(BasicHandler, gate),
        "bearer": partial(BearerHandler, gate),
    }


def caller_of(scope: Scope) -> Caller:
    """The caller that connexion's security admitted; the operator for operations without security (health)."""
    identity = scope.get("extensions", {}).get("connexion_context", {}).get("token_info")
    caller: Caller = OPERATOR if identity is None else identity["caller"]
    exchange = exchange_of(scope)
    if identity is not None:
        exchange.tenant, exchange.key_id = caller.tenant, caller.key_id
    return caller
