"""The tracker is killed between any two of its steps, and what told it comes again: catalogue and ledger are as if it
had never been killed. With the embedded ledger the process really dies, by SIGKILL before a statement of SQLite; with
the ledger in DynamoDB after each call.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.glue import Glue
from glue.bootstrap import ensure_catalogue
from glue.dynamodb_ledger import DynamoDbLedger
from glue.layout import CommitBatch
from glue.object_changes import ObjectChange
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import PartitionTracker
from tests.fakes.dynamodb import READS, WRITES, FaultyDynamoDb
from tests.fakes.memory_dynamodb import MemoryDynamoDb
from tests.unit.glue.fakes import InMemoryGlue

SPECS = load_table_specs()
EVENTS = SPECS["events"]
NOW = datetime(2026, 11, 22, 10, 10, tzinfo=UTC)


def key(minute: int, batch: int, table: str = "events") -> str:
    partition = PartitionSpec.from_datetime(NOW - timedelta(minutes=minute))
    return EVENTS.layout.key(table, partition, CommitBatch.single(0, batch))


def created(key: str, sequencer: str, size: int = 10) -> ObjectChange:
    return ObjectChange("created", EVENTS.bucket, key, size, sequencer, NOW)


def removed(key: str, sequencer: str) -> ObjectChange:
    return ObjectChange("removed", EVENTS.bucket, key, None, sequencer)


#: Batches as a queue brings them: objects come, one is replaced, one goes, one of another table, and foreign keys.
BATCHES = [
    [created(key(1, 0), "01"), created(key(2, 0), "01"), created(key(2, 5), "01"), created("elsewhere.gz", "01")],
    [created(key(1, 0), "02", 12), removed(key(2, 0), "02"), created(key(3, 9, "metrics"), "01")],
    [created(key(1, 0), "01"), created(key(2, 5), "01"), removed(key(7, 7), "03"), created(key(7, 7), "02")],
    [created(key(1, 0), "03", 0)],
]  # fmt: skip


def story(glue: Any, ledger: Any) -> None:
    tracker = PartitionTracker(glue, ledger, SPECS.values(), clock=lambda: NOW, sleep=lambda seconds: None)
    for changes in BATCHES:
        assert tracker.apply(changes).failed == []


def facts(ledger: Any) -> Any:
    return [
        (
            list(ledger.known_objects(table)),
            list(ledger.partitions(table)),
            ledger.summary(table),
            ledger.days(table),
            ledger.offset_series(table),
            ledger.offset_faults(table, limit=10),
        )
        for table in ("events", "metrics")
    ]


def partitions(glue: Any) -> list[tuple[str, ...]]:
    return [
        (table, *entry["Values"])
        for table in ("events", "metrics")
        for entry in glue.get_partitions(DatabaseName=EVENTS.database, TableName=table)["Partitions"]
    ]


def in_a_process_of_its_own(work: Callable[[], None]) -> int:
    """The signal that ended it, 0 when it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process of its own is made by fork")
def test_with_the_embedded_ledger(tmp_path: Path) -> None:
    def open_world(folder: Path) -> tuple[Glue, SqliteLedger]:
        return Glue(folder / "catalogue.sqlite", clock=lambda: NOW), SqliteLedger(folder / "ledger.sqlite")

    def live(folder: Path, die_before: int | None = None) -> int:
        def work() -> None:
            glue, ledger = open_world(folder)
            left = [die_before or 0]

            def before_statement(_: str) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            if die_before is not None:
                ledger._connection.set_trace_callback(before_statement)
            story(glue, ledger)

        return in_a_process_of_its_own(work)

    def outcome(folder: Path) -> Any:
        glue, ledger = open_world(folder)
        found = facts(ledger), partitions(glue)
        glue.close()
        ledger.close()
        return found

    def new_folder(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        glue, ledger = open_world(folder)
        ensure_catalogue(glue, SPECS.values())
        glue.close()
        ledger.close()
        return folder

    whole = new_folder("whole")
    assert live(whole) == 0
    expected = outcome(whole)
    assert len(expected[1]) == 3
    statement = 0
    while True:
        folder = new_folder(str(statement))
        ended_by = live(folder, statement)
        if ended_by == 0:
            break
        assert ended_by == signal.SIGKILL
        assert live(folder) == 0
        assert outcome(folder) == expected, statement
        statement += 3  # every third: neighbours mostly lie in one transaction
    assert statement > 60


class Killed(BaseException):
    """The process ends here."""


class DyingClient:
    """A client whose process ends after some calls."""

    def __init__(self, client: Any, methods: frozenset[str], calls: list[int]) -> None:
        self._client, self._methods, self._calls = client, methods, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in self._methods:
            return method

        def call(**arguments: Any) -> Any:
            answer = method(**arguments)
            self._calls[0] -= 1
            if self._calls[0] == 0:
                raise Killed
            return answer

        return call


def test_with_the_ledger_in_dynamodb() -> None:
    def live(glue: InMemoryGlue, table: MemoryDynamoDb, die_after: int = 0) -> None:
        calls = [die_after]
        client = DyingClient(FaultyDynamoDb(table), READS | WRITES, calls)
        ledger = DynamoDbLedger(client, "ledger", clock=lambda: NOW, sleep=lambda seconds: None)
        story(DyingClient(glue, frozenset({"batch_create_partition"}), calls), ledger)

    def outcome(glue: InMemoryGlue, table: MemoryDynamoDb) -> Any:
        ledger = DynamoDbLedger(table, "ledger", clock=lambda: NOW)
        return facts(ledger), sorted(glue.partitions)

    whole = InMemoryGlue(), MemoryDynamoDb()
    live(*whole)
    expected = outcome(*whole)
    assert len(expected[1]) == 3
    call = 0
    while True:
        call += 1
        world = InMemoryGlue(), MemoryDynamoDb()
        try:
            live(*world, die_after=call)
            break
        except Killed:
            live(*world)
            assert outcome(*world) == expected, call
    assert call > 40
