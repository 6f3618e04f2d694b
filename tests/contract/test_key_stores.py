"""The key stores, each under the same tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.key_store import SqliteKeyStore
from tests.contract.key_store import KeyStoreContract


class TestSqliteKeyStore(KeyStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteKeyStore]:
        made = SqliteKeyStore(tmp_path / "keys.sqlite")
        yield made
        made.close()


def test_a_file_of_the_first_release_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE keys (key_id TEXT PRIMARY KEY, salt BLOB NOT NULL, secret_hash BLOB NOT NULL, name TEXT NOT NULL,"
        " tenant TEXT NOT NULL, customers TEXT, scopes TEXT NOT NULL, maximum_scan_bytes INTEGER,"
        " created_at TEXT NOT NULL, revoked_at TEXT) WITHOUT ROWID"
    )
    connection.execute(
        "INSERT INTO keys VALUES ('k1', x'01', x'02', '', 'operator', NULL, '[\"query\"]', NULL,"
        " '2026-01-01T00:00:00+00:00', NULL)"
    )
    connection.commit()
    connection.close()
    for _ in range(2):
        store = SqliteKeyStore(path)
        stored = store.get("k1")
        assert stored is not None
        assert (stored.key.tenant, stored.key.expires_at, stored.previous_digest) == ("operator", None, None)
        store.close()
