"""API keys: who may call, what for, whose rows they see, and until when.

    key = <key id> "." <43 characters: 32 random bytes, base64url>

A key is shown once, when it is made or rotated. Kept is a salted SHA-256 of its secret part (a slow hash protects
guessable secrets; 32 random bytes are not), compared in constant time. `rotate` gives a key another secret while the
one before stays good for an overlap, so that whoever uses it can change over without an outage. Revoked and expired
keys stay, so that a service that ever had a key never becomes open again by losing the last one. A lookup reads the
store each time (SQLite: some 10 us): a revocation counts at once; the edge may remember an answer for up to a second.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.errors import InvalidRequest, KeyNotFound
from service.key_store import ApiKey, Digest, KeyStore, StoredKey
from service.model import OPERATOR, Caller

SCOPES = frozenset({"query", "operate"})
"""`query`: submit and read queries of the own tenant. `operate`: also what concerns the service as a whole."""

USE_IS_NOTED_EVERY = timedelta(minutes=1)
_LOG = logging.getLogger(__name__)
_NOTHING = Digest(b"", b"")


@dataclass(frozen=True)
class CreatedKey:
    """A key with a new secret; `secret` is the whole key as the caller sends it, and cannot be had again."""

    key: ApiKey
    secret: str


def tenant_of(customers: Iterable[int] | None) -> str:
    """The tenant of callers that were given none: those bound to the same customers share their queries."""
    return OPERATOR.tenant if customers is None else "customers:" + ",".join(map(str, sorted(set(customers))))


class ApiKeys:
    """All keys of a store."""

    def __init__(self, store: KeyStore, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        *,
        customers: Iterable[int] | None,
        scopes: Iterable[str] = ("query",),
        name: str = "",
        tenant: str | None = None,
        maximum_scan_bytes: int | None = None,
        rate_limit: str | None = None,
        maximum_queries: int | None = None,
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        """Makes a key. Raises InvalidRequest for no or unknown scopes, for no customers (None is all), for a tenant's
        name that is another's, and for an end that has passed.
        """
        wanted_scopes = frozenset(scopes)
        wanted_customers = None if customers is None else frozenset(customers)
        now = self._clock().astimezone(UTC)
        if not wanted_scopes or not wanted_scopes <= SCOPES:
            raise InvalidRequest(f"scopes must be some of {', '.join(sorted(SCOPES))}", field="scopes")
        if wanted_customers is not None and not wanted_customers:
            raise InvalidRequest("a key for no customer at all could not see anything", field="customers")
        own_tenant = tenant_of(wanted_customers)
        if tenant is not None and tenant != own_tenant and _is_reserved(tenant):
            raise InvalidRequest("this tenant's queries belong to the keys of its own customers", field="tenant")
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("a key that has expired already could not be used", field="expires_at")
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name,
            tenant=tenant or own_tenant,
            customers=wanted_customers,
            scopes=wanted_scopes,
            created_at=now,
            maximum_scan_bytes=maximum_scan_bytes,
            rate_limit=rate_limit,
            maximum_queries=maximum_queries,
            expires_at=None if expires_at is None else expires_at.astimezone(UTC),
        )
        secret_part, digest = _new_secret()
        self._store.insert(StoredKey(key, digest))
        return CreatedKey(key, f"{key.key_id}.{secret_part}")

    def rotate(self, key_id: str, *, overlap: timedelta) -> CreatedKey:
        """Another secret for the same key; the one before is good for `overlap` more (zero: it ends now).

        A key has two secrets at most: rotating again within the overlap ends the older one. Raises KeyNotFound, and
        InvalidRequest for a key that was revoked or has expired, or an overlap below zero.
        """
        if overlap < timedelta():
            raise InvalidRequest("the overlap cannot be below zero", field="overlap")
        now = self._clock().astimezone(UTC)
        while True:
            stored = self._store.get(key_id)
            if stored is None:
                raise KeyNotFound(f"there is no key {key_id!r}", key_id=key_id)
            if not stored.key.is_active(now):
                raise InvalidRequest("the key was revoked or has expired; make a new one", field="key_id")
            secret_part, digest = _new_secret()
            rotated = self._store.rotate(key_id, stored.digest, digest, now, now + overlap)
            if rotated is not None:  # else somebody rotated or revoked it in between
                return CreatedKey(rotated.key, f"{key_id}.{secret_part}")

    def authenticate(self, secret: str) -> Caller | None:
        """The caller of a key as it was sent; None when it is wrong, expired or revoked."""
        if not secret.isascii():
            return None
        key_id, _, secret_part = secret.partition(".")
        stored = self._store.get(key_id)
        now = self._clock()
        is_right = _matches(secret_part, _NOTHING if stored is None else stored.digest)
        is_previous = _matches(secret_part, (stored and stored.previous_digest) or _NOTHING)
        if stored is None or not stored.key.is_active(now):
            return None
        valid_until = stored.key.previous_valid_until
        if not is_right and not (is_previous and valid_until is not None and now < valid_until):
            return None
        self._note_use(stored.key, now)
        return stored.key.caller()

    def list_keys(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones included, oldest first."""
        return tuple(stored.key for stored in self._store.all())

    def revoke(self, key_id: str) -> ApiKey:
        """Ends a key at once, both its secrets; one that is revoked already stays as it is. Raises KeyNotFound."""
        stored = self._store.revoke(key_id, self._clock())
        if stored is None:
            raise KeyNotFound(f"there is no key {key_id!r}", key_id=key_id)
        return stored.key

    def is_empty(self) -> bool:
        """True while no key was ever made: revoked keys count."""
        return self._store.is_empty()

    def any_active(self) -> bool:
        """True when at least one key can be used."""
        now = self._clock()
        return any(key.is_active(now) for key in self.list_keys())

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        if key.last_used_at is not None and now - key.last_used_at < USE_IS_NOTED_EVERY:
            return
        try:
            self._store.touch(key.key_id, now)
        except Exception:  # a store that cannot be written to must not keep anybody out
            _LOG.warning("the use of key %s could not be noted", key.key_id, exc_info=True)


def _is_reserved(tenant: str) -> bool:
    return tenant == OPERATOR.tenant or tenant.startswith("customers:")


def _new_secret() -> tuple[str, Digest]:
    secret_part, salt = secrets.token_urlsafe(32), secrets.token_bytes(16)
    return secret_part, Digest(salt, _secret_hash(salt, secret_part))


def _secret_hash(salt: bytes, secret_part: str) -> bytes:
    return hashlib.sha256(salt + secret_part.encode("ascii")).digest()


def _matches(secret_part: str, digest: Digest) -> bool:
    return hmac.compare_digest(_secret_hash(digest.salt, secret_part), digest.hash)
