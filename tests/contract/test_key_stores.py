"""The key stores, each under the same tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from glue.dynamodb_table import create_table
from service.dynamodb_keys import DynamoDbKeyStore
from service.dynamodb_tables import KEYS
from service.key_store import SqliteKeyStore
from tests.contract.aws_implementations import moto_client
from tests.contract.key_store import KeyStoreContract
from tests.fakes.dynamodb import FaultyDynamoDb

_NUMBERS = count()


class TestSqliteKeyStore(KeyStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteKeyStore]:
        made = SqliteKeyStore(tmp_path / "keys.sqlite")
        yield made
        made.close()


@pytest.mark.parametrize("sends_twice", [False, True], ids=["once", "answers lost"])
class TestDynamoDbKeyStore(KeyStoreContract):
    """Also with every write sent twice, as boto3 does when its answer does not come."""

    @pytest.fixture
    def store(self, dynamodb: Any, sends_twice: bool) -> DynamoDbKeyStore:
        name = f"keys-{next(_NUMBERS)}"
        create_table(dynamodb, KEYS, name)
        return DynamoDbKeyStore(FaultyDynamoDb(dynamodb, sends_twice=sends_twice), name)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


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
