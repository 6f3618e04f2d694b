from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.dynamodb_ledger import DynamoDbLedger
from glue.dynamodb_table import LEDGER, create_table
from glue.ledger import LedgerSummary
from glue.sqlite_ledger import SqliteLedger
from tests.contract.aws_implementations import moto_client
from tests.contract.partition_ledger import NOW, PartitionLedgerContract, record
from tests.fakes.dynamodb import FaultyDynamoDb
from tests.fakes.memory_dynamodb import MemoryDynamoDb

_BEFORE_LATENESS = """
CREATE TABLE partitions (table_name TEXT NOT NULL, value_path TEXT NOT NULL, object_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, row_count INTEGER, minimum_createdtimestamp INTEGER, maximum_createdtimestamp INTEGER,
    first_arrival INTEGER, last_arrival INTEGER, PRIMARY KEY (table_name, value_path)) WITHOUT ROWID;
CREATE TABLE days (table_name TEXT NOT NULL, day TEXT NOT NULL, partition_count INTEGER NOT NULL,
    object_count INTEGER NOT NULL, size_bytes INTEGER NOT NULL, last_arrival INTEGER,
    PRIMARY KEY (table_name, day)) WITHOUT ROWID;
CREATE TABLE objects (table_name TEXT NOT NULL, value_path TEXT NOT NULL, object_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, row_count INTEGER, minimum_createdtimestamp INTEGER, maximum_createdtimestamp INTEGER,
    arrival INTEGER NOT NULL, PRIMARY KEY (table_name, value_path, object_key)) WITHOUT ROWID;
INSERT INTO partitions VALUES ('events', '2026-11-21/23/58', 1, 10, NULL, NULL, NULL, 0, 0);
INSERT INTO days VALUES ('events', '2026-11-21', 1, 1, 10, 0);
INSERT INTO objects VALUES ('events', '2026-11-21/23/58', 'dt=2026-11-21/hr=23/min=58/a', 10, NULL, NULL, NULL, 0);
"""


class TestSqliteLedger(PartitionLedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[SqliteLedger]:
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
        yield ledger
        ledger.close()


class TestDynamoDbLedgerInMemory(PartitionLedgerContract):
    @pytest.fixture
    def ledger(self) -> DynamoDbLedger:
        self.now = NOW
        client = FaultyDynamoDb(MemoryDynamoDb())
        return DynamoDbLedger(client, "ledger", clock=lambda: self.now, sleep=lambda seconds: None)

    def later(self, ledger: Any, duration: timedelta) -> None:
        assert ledger.forget_removals(now=NOW + duration) == 0
        self.now = NOW + duration


class TestDynamoDbLedger(TestDynamoDbLedgerInMemory):
    """Against moto, which reads the expressions as AWS does."""

    steps = 5

    @pytest.fixture
    def ledger(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDbLedger]:  # type: ignore[override]  # a fixture, with another argument
        self.now = NOW
        with moto_client("dynamodb", monkeypatch) as client:
            create_table(client, LEDGER, "ledger")
            yield DynamoDbLedger(FaultyDynamoDb(client), "ledger", clock=lambda: self.now, sleep=lambda seconds: None)


def test_a_ledger_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(_BEFORE_LATENESS)
    connection.close()
    for expected in (LedgerSummary(1, 1, 10, 0), LedgerSummary(1, 2, 20, 10)):
        ledger = SqliteLedger(path)
        assert ledger.summary("events") == expected
        ledger.record_objects("events", [record(0), record(0, "b", is_late=True)])
        ledger.close()


def test_a_ledger_without_shares_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    ledger.record_objects("events", [record(0, row_count=3)])
    ledger.close()
    connection = sqlite3.connect(path)
    connection.executescript("ALTER TABLE objects DROP COLUMN share; PRAGMA user_version = 2")
    connection.close()
    ledger = SqliteLedger(path)
    (known,) = ledger.known_objects("events")
    assert (known.share, known.row_count) == ("whole", 3)
    assert ledger.summary("events") == LedgerSummary(1, 1, 10, 0)
    ledger.close()
