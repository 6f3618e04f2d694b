from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from glue.ledger import LedgerSummary, ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def spec(path: str) -> PartitionSpec:
    return PartitionSpec.parse(path)


def an_object(path: str, key: str, size: int, rows: int | None = None, *, at: datetime = NOW) -> ObjectRecord:
    return ObjectRecord(spec(path), key, size, at, rows, rows and 1000, rows and 2000)


def test_recording_twice_equals_once(ledger: SqliteLedger) -> None:
    objects = [an_object("dt=2026-11-22/hr=10/min=05", f"k{n}", 100, 10) for n in range(3)]
    ledger.record_objects("events", objects)
    once = (ledger.summary("events"), list(ledger.partitions("events")), ledger.freshness("events"))
    ledger.record_objects("events", objects + objects)
    assert (ledger.summary("events"), list(ledger.partitions("events")), ledger.freshness("events")) == once
    assert once[0] == LedgerSummary(1, 3, 300)
    assert once[1][0].row_count == 30


def test_a_listing_without_rows_keeps_what_the_writer_knew(ledger: SqliteLedger) -> None:
    path = "dt=2026-11-22/hr=10/min=05"
    ledger.record_objects("events", [an_object(path, "k", 100, 10)])
    ledger.record_objects("events", [an_object(path, "k", 100)])
    known = ledger.partition("events", spec(path))
    assert known is not None
    assert (known.row_count, known.minimum_createdtimestamp) == (10, 1000)
    ledger.record_objects("events", [an_object(path, "other", 50)])
    known = ledger.partition("events", spec(path))
    assert known is not None
    assert (known.row_count, known.object_count, known.size_bytes) == (None, 2, 150)
    ledger.record_objects("events", [an_object(path, "other", 50, 5)])
    known = ledger.partition("events", spec(path))
    assert known is not None
    assert known.row_count == 15


def test_an_object_that_was_replaced_changes_the_totals_by_its_difference(ledger: SqliteLedger) -> None:
    path = "dt=2026-11-22/hr=10/min=05"
    ledger.record_objects("events", [an_object(path, "k", 100, 10), an_object(path, "j", 1, 1)])
    ledger.record_objects("events", [an_object(path, "k", 40, 4)])
    assert ledger.summary("events") == LedgerSummary(1, 2, 41)
    objects = [(known.key, known.size_bytes, known.row_count) for known in ledger.known_objects("events")]
    assert objects == [("j", 1, 1), ("k", 40, 4)]


def test_summary_of_a_range_equals_counting_by_hand(ledger: SqliteLedger) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=7 * n) for n in range(2000)]
    ledger.record_objects(
        "events", [ObjectRecord(PartitionSpec.from_datetime(m), key, 5, NOW) for m in moments for key in ("a", "b")]
    )
    ledger.record_objects("metrics", [an_object("dt=2026-01-03/hr=00/min=00", "k", 99)])
    ends = [
        ("dt=2026-01-02/hr=03/min=04", "dt=2026-01-02/hr=05/min=06"),
        ("dt=2026-01-02/hr=03/min=04", "dt=2026-01-05/hr=05/min=06"),
        ("dt=2026-01-02/hr=03", "dt=2026-01-05"),
        ("dt=2026-01-02", "dt=2026-01-02"),
        ("dt=2026-01-02", "dt=2026-01-03/hr=00"),
        ("dt=2026-01-04", "dt=2026-01-03"),
        (None, "dt=2026-01-02/hr=12"),
        ("dt=2026-01-09/hr=12", None),
        (None, None),
    ]
    for first, last in ends:
        time_range = PartitionRange(spec(first) if first else None, spec(last) if last else None)
        inside = [m for m in moments if time_range.contains(PartitionSpec.from_datetime(m))]
        assert ledger.summary("events", time_range) == LedgerSummary(len(inside), 2 * len(inside), 10 * len(inside))
        assert len(list(ledger.partitions("events", time_range))) == len(inside)


def test_freshness_and_gaps(ledger: SqliteLedger) -> None:
    assert ledger.freshness("events").newest_partition is None
    for minute in (0, 1, 2, 5, 9):
        ledger.record_objects("events", [an_object(f"dt=2026-11-22/hr=10/min=0{minute}", "k", 10)])
    ledger.record_objects("events", [an_object("dt=2026-11-20/hr=10/min=00", "k", 10, at=NOW + timedelta(hours=1))])
    freshness = ledger.freshness("events")
    assert freshness.newest_partition == "dt=2026-11-22/hr=10/min=09"
    assert freshness.newest_data_until == datetime(2026, 11, 22, 10, 10, tzinfo=UTC)
    assert freshness.last_arrival == NOW + timedelta(hours=1)
    assert (freshness.partition_count, freshness.missing_partition_count) == (6, 5)
    assert freshness.to_json()["last_arrival"] == "2026-11-22T13:00:00Z"


def test_the_file_survives_and_is_shared(tmp_path: Path) -> None:
    first, second = SqliteLedger(tmp_path / "l.sqlite"), SqliteLedger(tmp_path / "l.sqlite")
    first.record_objects("events", [an_object("dt=2026-11-22/hr=10/min=05", "k", 10)])
    assert second.summary("events") == LedgerSummary(1, 1, 10)
    first.close()
    second.close()
