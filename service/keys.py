"""API keys: who may call, what for, and whose rows they see.

    key = <key id> "." <43 characters: 32 random bytes, base64url>

A key is shown once, when it is made. Kept is a salted SHA-256 of its secret part (a slow hash protects guessable
secrets; 32 random bytes are not), compared in constant time. Revoked keys stay, so that a service that ever had a key
never becomes open again by revoking the last one. A lookup reads SQLite each time (some 10 us): a revocation counts at
once; the edge may remember an answer for up to a second.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

import orjson

from service.errors import InvalidRequest, KeyNotFound
from service.model import OPERATOR, Caller

SCOPES = frozenset({"query", "operate"})
"""`query`: submit and read queries of the own tenant. `operate`: also what concerns the service as a whole."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY,
    salt BLOB NOT NULL,
    secret_hash BLOB NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    customers TEXT,                         -- JSON list; NULL: all (the operator)
    scopes TEXT NOT NULL,                   -- JSON list
    maximum_scan_bytes INTEGER,
    created_at TEXT NOT NULL,
    revoked_at TEXT
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; its secret is not. `customers` None sees every customer's rows."""

    key_id: str
    name: str
    tenant: str
    customers: frozenset[int] | None
    scopes: frozenset[str]
    maximum_scan_bytes: int | None
    created_at: datetime
    revoked_at: datetime | None

    @property
    def is_active(self) -> bool:
        """True until it is revoked."""
        return self.revoked_at is None

    def caller(self) -> Caller:
        """Who calls with this key."""
        return Caller(self.tenant, self.customers, self.scopes, self.key_id, self.maximum_scan_bytes)


@dataclass(frozen=True)
class CreatedKey:
    """A new key; `secret` is the whole key as the caller sends it, and cannot be had again."""

    key: ApiKey
    secret: str


def tenant_of(customers: Iterable[int] | None) -> str:
    """The tenant of keys that were given none: keys bound to the same customers share their queries."""
    return OPERATOR.tenant if customers is None else "customers:" + ",".join(map(str, sorted(set(customers))))


class ApiKeys:
    """All keys, in one SQLite file; safe for many threads and processes."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = RLock()
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(_SCHEMA)

    def create(
        self,
        *,
        customers: Iterable[int] | None,
        scopes: Iterable[str] = ("query",),
        name: str = "",
        tenant: str | None = None,
        maximum_scan_bytes: int | None = None,
    ) -> CreatedKey:
        """Makes a key. Raises InvalidRequest for no or unknown scopes and for no customers (None is all)."""
        wanted_scopes = frozenset(scopes)
        wanted_customers = None if customers is None else frozenset(customers)
        if not wanted_scopes or not wanted_scopes <= SCOPES:
            raise InvalidRequest(f"scopes must be some of {', '.join(sorted(SCOPES))}", field="scopes")
        if wanted_customers is not None and not wanted_customers:
            raise InvalidRequest("a key for no customer at all could not see anything", field="customers")
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name,
            tenant=tenant or tenant_of(wanted_customers),
            customers=wanted_customers,
            scopes=wanted_scopes,
            maximum_scan_bytes=maximum_scan_bytes,
            created_at=self._clock().astimezone(UTC),
            revoked_at=None,
        )
        secret_part = secrets.token_urlsafe(32)
        salt = secrets.token_bytes(16)
        with self._lock:
            self._connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    key.key_id,
                    salt,
                    _secret_hash(salt, secret_part),
                    key.name,
                    key.tenant,
                    None if wanted_customers is None else orjson.dumps(sorted(wanted_customers)).decode(),
                    orjson.dumps(sorted(wanted_scopes)).decode(),
                    maximum_scan_bytes,
                    key.created_at.isoformat(),
                ),
            )
        return CreatedKey(key, f"{key.key_id}.{secret_part}")

    def authenticate(self, secret: str) -> Caller | None:
        """The caller of a key as it was sent; None when it is wrong or revoked."""
        if not secret.isascii():
            return None
        key_id, _, secret_part = secret.partition(".")
        with self._lock:
            row = self._connection.execute("SELECT * FROM keys WHERE key_id = ?", (key_id,)).fetchone()
        salt, expected = (row["salt"], row["secret_hash"]) if row is not None else (b"", b"")
        is_right = hmac.compare_digest(_secret_hash(salt, secret_part), expected)
        if row is None or not is_right or row["revoked_at"] is not None:
            return None
        return _api_key(row).caller()

    def list_keys(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones included, oldest first."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM keys ORDER BY created_at, key_id").fetchall()
        return tuple(map(_api_key, rows))

    def revoke(self, key_id: str) -> ApiKey:
        """Ends a key at once; one that is revoked already stays as it is. Raises KeyNotFound."""
        with self._lock:
            self._connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL",
                (self._clock().astimezone(UTC).isoformat(), key_id),
            )
            row = self._connection.execute("SELECT * FROM keys WHERE key_id = ?", (key_id,)).fetchone()
        if row is None:
            raise KeyNotFound(f"there is no key {key_id!r}", key_id=key_id)
        return _api_key(row)

    def is_empty(self) -> bool:
        """True while no key was ever made: revoked keys count."""
        return not self._exists("SELECT 1 FROM keys LIMIT 1")

    def any_active(self) -> bool:
        """True when at least one key can be used."""
        return self._exists("SELECT 1 FROM keys WHERE revoked_at IS NULL LIMIT 1")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _exists(self, sql: str) -> bool:
        with self._lock:
            return self._connection.execute(sql).fetchone() is not None


def _secret_hash(salt: bytes, secret_part: str) -> bytes:
    return hashlib.sha256(salt + secret_part.encode("ascii")).digest()


def _api_key(row: sqlite3.Row) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        name=row["name"],
        tenant=row["tenant"],
        customers=None if row["customers"] is None else frozenset(orjson.loads(row["customers"])),
        scopes=frozenset(orjson.loads(row["scopes"])),
        maximum_scan_bytes=row["maximum_scan_bytes"],
        created_at=datetime.fromisoformat(row["created_at"]),
        revoked_at=None if row["revoked_at"] is None else datetime.fromisoformat(row["revoked_at"]),
    )
