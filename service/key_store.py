"""Where API keys are kept: their digests, never their secrets. KeyStore is the port; SqliteKeyStore one file for the
processes of a machine.

    insert -> [touch | rotate]* -> revoke

Each change is one conditional write, so two processes never undo each other. Nothing is ever deleted: a service that
had a key stays closed. tests/contract/key_store.py is what every implementation has to pass.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

import orjson

from service.model import Caller


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; its secret is not. `customers` None sees every customer's rows.

    `rate_limit` (`100/minute`) and `maximum_queries` are the key's own limits where it has any; the service's apply
    elsewhere. `previous_valid_until` is the end of the secret before the last rotation.
    """

    key_id: str
    name: str
    tenant: str
    customers: frozenset[int] | None
    scopes: frozenset[str]
    created_at: datetime
    maximum_scan_bytes: int | None = None
    rate_limit: str | None = None
    maximum_queries: int | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    rotated_at: datetime | None = None
    previous_valid_until: datetime | None = None
    revoked_at: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """True until it expires or is revoked."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def caller(self) -> Caller:
        """Who calls with this key."""
        return Caller(
            self.tenant,
            self.customers,
            self.scopes,
            self.key_id,
            self.maximum_scan_bytes,
            rate_limit=self.rate_limit,
            maximum_queries=self.maximum_queries,
        )


@dataclass(frozen=True)
class Digest:
    """A salted SHA-256 of the secret part of a key."""

    salt: bytes
    hash: bytes


@dataclass(frozen=True)
class StoredKey:
    """A key with the digests that prove it: of its secret, and of the one before, while that is still good."""

    key: ApiKey
    digest: Digest
    previous_digest: Digest | None = None


class KeyStore(Protocol):
    """See the module. All methods are safe from many threads and processes at once."""

    def insert(self, stored: StoredKey) -> None:
        """Keeps a new key."""
        ...

    def get(self, key_id: str) -> StoredKey | None:
        """The key of this id, or None."""
        ...

    def all(self) -> tuple[StoredKey, ...]:
        """Every key, oldest first."""
        ...

    def rotate(
        self, key_id: str, expected: Digest, digest: Digest, at: datetime, previous_valid_until: datetime
    ) -> StoredKey | None:
        """Gives the key another secret; the one before stays good until then. None when the secret is not (any more)
        `expected`, or the key is revoked.
        """
        ...

    def touch(self, key_id: str, at: datetime) -> None:
        """Remembers that the key was used; an earlier time than the one remembered changes nothing."""
        ...

    def revoke(self, key_id: str, at: datetime) -> StoredKey | None:
        """Ends the key, once: the first time counts. None when there is no such key."""
        ...

    def is_empty(self) -> bool:
        """True while no key was ever kept."""
        ...

    def close(self) -> None:
        """Releases the storage."""
        ...


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
_LATER_COLUMNS = {
    "rate_limit": "TEXT",
    "maximum_queries": "INTEGER",
    "expires_at": "TEXT",
    "last_used_at": "TEXT",
    "rotated_at": "TEXT",
    "previous_salt": "BLOB",
    "previous_hash": "BLOB",
    "previous_valid_until": "TEXT",
}


class SqliteKeyStore:
    """KeyStore in one SQLite file. Times are ISO-8601 text in UTC with microseconds: their order is that of time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = RLock()
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("BEGIN IMMEDIATE")  # two processes may open a file of an earlier release at once
        self._connection.execute(_SCHEMA)
        known = {row["name"] for row in self._connection.execute("PRAGMA table_info(keys)")}
        for name, kind in _LATER_COLUMNS.items():
            if name not in known:
                self._connection.execute(f"ALTER TABLE keys ADD COLUMN {name} {kind}")
        self._connection.execute("COMMIT")

    def insert(self, stored: StoredKey) -> None:
        row = key_record(stored)
        marks = ", ".join(f":{name}" for name in row)
        with self._lock:
            self._connection.execute(f"INSERT INTO keys ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608 - own names

    def get(self, key_id: str) -> StoredKey | None:
        with self._lock:
            row = self._connection.execute("SELECT * FROM keys WHERE key_id = ?", (key_id,)).fetchone()
        return None if row is None else stored_key(row)

    def all(self) -> tuple[StoredKey, ...]:
        with self._lock:
            rows = self._connection.execute("SELECT * FROM keys ORDER BY created_at, key_id").fetchall()
        return tuple(map(stored_key, rows))

    def rotate(
        self, key_id: str, expected: Digest, digest: Digest, at: datetime, previous_valid_until: datetime
    ) -> StoredKey | None:
        with self._lock:
            row = self._connection.execute(
                "UPDATE keys SET previous_salt = salt, previous_hash = secret_hash, previous_valid_until = ?,"
                " salt = ?, secret_hash = ?, rotated_at = ?"
                " WHERE key_id = ? AND secret_hash = ? AND revoked_at IS NULL RETURNING *",
                (time_text(previous_valid_until), digest.salt, digest.hash, time_text(at), key_id, expected.hash),
            ).fetchone()
        return None if row is None else stored_key(row)

    def touch(self, key_id: str, at: datetime) -> None:
        with self._lock:
            self._connection.execute(
                "UPDATE keys SET last_used_at = ? WHERE key_id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
                (time_text(at), key_id, time_text(at)),
            )

    def revoke(self, key_id: str, at: datetime) -> StoredKey | None:
        with self._lock:
            self._connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL", (time_text(at), key_id)
            )
        return self.get(key_id)

    def is_empty(self) -> bool:
        with self._lock:
            return self._connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is None

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def key_record(stored: StoredKey) -> dict[str, Any]:
    """A key as a flat record of texts, numbers and bytes, which any storage can keep; None is not known."""
    key, previous = stored.key, stored.previous_digest
    return {
        "key_id": key.key_id,
        "salt": stored.digest.salt,
        "secret_hash": stored.digest.hash,
        "name": key.name,
        "tenant": key.tenant,
        "customers": None if key.customers is None else orjson.dumps(sorted(key.customers)).decode(),
        "scopes": orjson.dumps(sorted(key.scopes)).decode(),
        "maximum_scan_bytes": key.maximum_scan_bytes,
        "created_at": time_text(key.created_at),
        "revoked_at": _optional_text(key.revoked_at),
        "rate_limit": key.rate_limit,
        "maximum_queries": key.maximum_queries,
        "expires_at": _optional_text(key.expires_at),
        "last_used_at": _optional_text(key.last_used_at),
        "rotated_at": _optional_text(key.rotated_at),
        "previous_salt": None if previous is None else previous.salt,
        "previous_hash": None if previous is None else previous.hash,
        "previous_valid_until": _optional_text(key.previous_valid_until),
    }


def stored_key(row: Mapping[str, Any]) -> StoredKey:
    """The key of a record."""
    key = ApiKey(
        key_id=row["key_id"],
        name=row["name"],
        tenant=row["tenant"],
        customers=None if row["customers"] is None else frozenset(orjson.loads(row["customers"])),
        scopes=frozenset(orjson.loads(row["scopes"])),
        maximum_scan_bytes=row["maximum_scan_bytes"],
        created_at=datetime.fromisoformat(row["created_at"]),
        revoked_at=_optional_time(row["revoked_at"]),
        rate_limit=row["rate_limit"],
        maximum_queries=row["maximum_queries"],
        expires_at=_optional_time(row["expires_at"]),
        last_used_at=_optional_time(row["last_used_at"]),
        rotated_at=_optional_time(row["rotated_at"]),
        previous_valid_until=_optional_time(row["previous_valid_until"]),
    )
    previous = None if row["previous_hash"] is None else Digest(row["previous_salt"], row["previous_hash"])
    return StoredKey(key, Digest(row["salt"], row["secret_hash"]), previous)


def time_text(moment: datetime) -> str:
    """A time as records keep it: its order is that of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _optional_text(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
