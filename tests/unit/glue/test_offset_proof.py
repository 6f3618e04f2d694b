from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from glue.ledger import ObjectRecord, ObjectRemoval
from glue.offset_proof import Batch, BatchName, batch_name
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from tests.shared_data import shared_data

START = datetime(2026, 11, 22, 10, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("secor/events/dt=2026-11-22/hr=10/min=05/1_7_00000000000000000100.gz", BatchName(1, 7, 100)),
        ("10_0_00000000000000000100", BatchName(10, 0, 100)),
        ("1_7_09223372036854775807.snappy.parquet", BatchName(1, 7, 2**63 - 1)),
        ("topics/events/year=2026/events+7+0000000100.json.gz", BatchName(0, 7, 100)),
        ("topics/a+b/a+b+12+12345678901.avro", BatchName(0, 12, 12_345_678_901)),
        ("1_7_09223372036854775808.gz", None),
        ("1_7_100.gz", None),
        ("01_7_00000000000000000100.gz", None),
        ("1_0-3_1B2M2Y8AsgTpgAmY7PhCfg.gz", None),
        ("9999999999_7_00000000000000000100.gz", None),
        ("events+7+100.json.gz", None),
        ("+7+0000000100.json", None),
        ("events+x+0000000100.json", None),
        ("part-00000.gz", None),
        ("", None),
    ],
)
def test_names_tell_batches(key: str, expected: BatchName | None) -> None:
    assert batch_name(key) == expected


@pytest.mark.real_data
def test_names_of_secors_own_cases() -> None:
    cases = json.loads((shared_data("secor-partition-cases") / "cases.json").read_text())
    for case in cases["log_file_path"]:
        assert batch_name(case["path"]) == (case["generation"], case["kafka_partition"], case["offset"])


@pytest.mark.parametrize(
    ("batch", "following", "verdict"),
    [
        (Batch(2, 0, 60), 160, (0, 0)),
        (Batch(2, 0, 58), 160, (2, 0)),
        (Batch(2, 0, 71), 160, (0, 11)),
        (Batch(2, 1, 58), 160, (0, 0)),
        (Batch(2, 0, 58, taken_count=1), 160, (0, 0)),
        (Batch(2, 0, 58), None, (0, 0)),
        (Batch(0, 0, 0, taken_count=2), 160, (0, 0)),
    ],
)
def test_a_batch_is_judged_by_where_the_next_one_begins(
    batch: Batch, following: int | None, verdict: tuple[int, int]
) -> None:
    assert batch.verdict(100, following) == verdict


class Secor:
    """One Kafka partition as Secor writes it: messages of some minutes' time, committed now and then, each commit one
    name in every minute's folder. `crash` uploads a part of what is open and begins again at the last commit.
    """

    def __init__(self, ledger: SqliteLedger, chance: random.Random) -> None:
        self.ledger, self.chance = ledger, chance
        self.times = [START + timedelta(seconds=chance.randrange(600)) for _ in range(1000)]
        self.committed = 0

    def _folders(self, end: int) -> dict[PartitionSpec, int]:
        found: dict[PartitionSpec, int] = {}
        for time in self.times[self.committed : end]:
            partition = PartitionSpec.from_datetime(time)
            found[partition] = found.get(partition, 0) + 1
        return found

    def _upload(self, folders: dict[PartitionSpec, int]) -> list[ObjectRecord]:
        name = f"1_0_{self.committed:020d}.gz"
        records = [
            ObjectRecord(partition, f"secor/events/{partition}/{name}", 10 * rows, START, rows)
            for partition, rows in folders.items()
        ]
        self.ledger.record_objects("events", records)
        return records

    def commit(self) -> list[ObjectRecord]:
        end = min(len(self.times), self.committed + self.chance.randrange(1, 120))
        records = self._upload(self._folders(end))
        self.committed = end
        return records

    def crash(self) -> list[ObjectRecord]:
        """Objects that a crash leaves and that the next attempt, which commits earlier, does not overwrite."""
        later = self._folders(min(len(self.times), self.committed + 150))
        written = {record.key: record for record in self._upload(later)}
        end = min(len(self.times), self.committed + 2)
        self.ledger.record_objects("events", again := self._upload(self._folders(end)))
        self.committed = end
        return [record for key, record in written.items() if key not in {each.key for each in again}]


@pytest.fixture
def ledger() -> SqliteLedger:
    return SqliteLedger(":memory:")


def totals(ledger: SqliteLedger) -> tuple[int, int, int]:
    (series,) = ledger.offset_series("events")
    return series.missing_count, series.surplus_count, series.unread_object_count


@pytest.mark.parametrize("seed", range(5))
def test_what_secor_writes_is_whole_and_what_is_lost_is_missed_to_the_row(ledger: SqliteLedger, seed: int) -> None:
    chance = random.Random(seed)
    secor = Secor(ledger, chance)
    records: list[ObjectRecord] = []
    while secor.committed < len(secor.times):
        records += secor.commit()
    assert totals(ledger) == (0, 0, 0)
    last = max(record.key.rpartition("/")[2] for record in records)
    lost = chance.sample([record for record in records if not record.key.endswith(last)], 3)
    ledger.remove_objects("events", [ObjectRemoval(record.partition, record.key) for record in lost], now=START)
    rows = sum(record.row_count or 0 for record in lost)
    whole_batches_gone = totals(ledger)
    assert whole_batches_gone == (rows, 0, 0)
    ledger.record_objects("events", lost)
    assert totals(ledger) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_crash_between_upload_and_commit_leaves_is_surplus_to_the_row(ledger: SqliteLedger, seed: int) -> None:
    """Secor issue 600. Deleting the objects that were left ends it."""
    secor = Secor(ledger, random.Random(seed))
    secor.commit()
    stale = secor.crash()
    while secor.committed < len(secor.times):
        secor.commit()
    assert stale
    assert totals(ledger) == (0, sum(record.row_count or 0 for record in stale), 0)
    (fault,) = ledger.offset_faults("events", limit=9)
    assert fault.message_count - fault.surplus_count == fault.next_offset - fault.offset
    ledger.remove_objects("events", [ObjectRemoval(record.partition, record.key) for record in stale], now=START)
    assert totals(ledger) == (0, 0, 0)


def test_asking_costs_the_same_at_any_number_of_batches(ledger: SqliteLedger) -> None:
    """Counted in steps of SQLite's machine, which do not depend on the load of this one."""

    def steps(work: Any) -> int:
        count = [0]

        def step() -> None:
            count[0] += 1

        ledger._connection.set_progress_handler(step, 1)
        work()
        ledger._connection.set_progress_handler(None, 0)
        return count[0]

    partition = PartitionSpec.from_datetime(START)

    def record(first: int, last: int) -> None:
        ledger.record_objects(
            "events", [ObjectRecord(partition, f"1_0_{n:020d}", 1, START, 1) for n in range(first, last)]
        )

    def ask() -> None:
        ledger.offset_series("events")
        ledger.offset_faults("events", limit=10)

    record(0, 100)
    few = steps(ask)
    record(100, 20_000)
    assert steps(ask) <= few + 20
    assert steps(lambda: record(20_000, 20_001)) < 1_000
