from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from glue.completeness import Completeness, completeness, gaps, kafka_offsets, lateness_histogram, partition_state
from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import is_late

EVENTS = load_table_specs()["events"]  # allowed lateness 60 minutes, clock skew 5
TEN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    made = SqliteLedger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def partition(minute: int) -> PartitionSpec:
    return PartitionSpec.from_datetime(TEN + timedelta(minutes=minute))


def arrive(ledger: SqliteLedger, minute: int, *, after: timedelta = timedelta(0), name: str = "a.gz") -> None:
    """An object of ten bytes comes so long after the end of its partition."""
    spec = partition(minute)
    arrival = spec.end() + after
    key = EVENTS.layout.folder("events", spec) + name
    ledger.record_objects("events", [ObjectRecord(spec, key, 10, arrival, is_late=is_late(EVENTS, spec, arrival))])


def state(ledger: SqliteLedger, minute: int, now: datetime) -> str:
    record = ledger.partition("events", partition(minute))
    assert record is not None
    return partition_state(EVENTS, partition(minute), record, now).value


def test_a_partition_opens_closes_and_opens_again(ledger: SqliteLedger) -> None:
    arrive(ledger, 0)
    end = TEN + timedelta(minutes=1)
    assert state(ledger, 0, TEN) == "OPEN"
    assert state(ledger, 0, end + timedelta(minutes=4, seconds=59)) == "OPEN"
    assert state(ledger, 0, end + timedelta(minutes=5)) == "CLOSING"
    assert state(ledger, 0, end + timedelta(minutes=64, seconds=59)) == "CLOSING"
    assert state(ledger, 0, end + timedelta(minutes=65)) == "CLOSED"
    for _ in range(2):
        arrive(ledger, 0, after=timedelta(hours=5), name="late.gz")
        assert state(ledger, 0, end + timedelta(hours=5, minutes=59)) == "REOPENED"
        assert state(ledger, 0, end + timedelta(hours=6)) == "CLOSED"
        assert ledger.summary("events").late_bytes == 10


def test_a_table_is_complete_until_its_newest_closed_partition(ledger: SqliteLedger) -> None:
    now = TEN + timedelta(minutes=120)
    assert completeness(ledger, EVENTS, now) == Completeness(None, 0, 0)
    for minute in (0, 1, 4, 54, 55, 100):
        arrive(ledger, minute)
    # 54 ends at 10:55 and closes at 12:00, which is now; 55 has a minute to go
    assert completeness(ledger, EVENTS, now).complete_until == TEN + timedelta(minutes=55)
    assert completeness(ledger, EVENTS, now - timedelta(seconds=1)).complete_until == TEN + timedelta(minutes=5)


def test_gaps_are_counted_and_told_between_the_first_and_the_newest_closed(ledger: SqliteLedger) -> None:
    for minute in (0, 1, 4, 5, 9, 30):
        arrive(ledger, minute)
    now = TEN + timedelta(minutes=80)  # 9 is closed, 30 is not
    assert completeness(ledger, EVENTS, now).missing_partitions == 5
    assert [(gap.first, gap.last, gap.partition_count) for gap in gaps(ledger, EVENTS, now)] == [
        (partition(2), partition(3), 2),
        (partition(6), partition(8), 3),
    ]
    asked = PartitionRange(partition(3), partition(7))
    assert completeness(ledger, EVENTS, now, asked).missing_partitions == 3
    assert [gap.partition_count for gap in gaps(ledger, EVENTS, now, asked)] == [1, 2]
    before_all = PartitionRange(None, partition(-10))
    assert completeness(ledger, EVENTS, now, before_all).missing_partitions == 0
    empty = PartitionRange(partition(5), partition(3))
    assert (completeness(ledger, EVENTS, now, empty).missing_partitions, list(gaps(ledger, EVENTS, now, empty))) == (
        0,
        [],
    )


def test_an_open_range_looks_at_its_last_day(ledger: SqliteLedger) -> None:
    for minute in (0, 10 * 1440, 10 * 1440 + 1):
        arrive(ledger, minute)
    now = TEN + timedelta(days=20)
    assert completeness(ledger, EVENTS, now).missing_partitions == 1438
    whole = PartitionRange(partition(0), None)
    assert completeness(ledger, EVENTS, now, whole).missing_partitions == 10 * 1440 - 1
    days = PartitionRange(PartitionSpec.parse("dt=2026-11-22"), PartitionSpec.parse("dt=2026-11-22"))
    assert completeness(ledger, EVENTS, now, days).missing_partitions == 14 * 60 - 1


def test_times_nobody_can_mean_do_not_count(ledger: SqliteLedger) -> None:
    for path in ("dt=1970-01-01/hr=00/min=00", "dt=9999-12-31/hr=23/min=59"):
        spec = PartitionSpec.parse(path)
        ledger.record_objects("events", [ObjectRecord(spec, path + "/a.gz", 10, TEN)])
    assert completeness(ledger, EVENTS, TEN) == Completeness(None, 0, 0)
    arrive(ledger, -600)
    assert completeness(ledger, EVENTS, TEN) == Completeness(TEN - timedelta(minutes=599), 0, 0)
    assert list(gaps(ledger, EVENTS, TEN)) == []
    future = PartitionSpec.parse("dt=9999-12-31/hr=23/min=59")
    record = ledger.partition("events", future)
    assert record is not None
    assert partition_state(EVENTS, future, record, TEN) == "OPEN"


def test_lateness_is_counted_in_steps(ledger: SqliteLedger) -> None:
    for number, after in enumerate([-30, 0, 1, 300, 301, 3600, 86_400, 604_801]):
        arrive(ledger, 0, after=timedelta(seconds=after), name=f"{number}.gz")
    assert lateness_histogram(EVENTS, ledger.known_objects("events")) == {
        "in_time": 2, "5_minutes": 2, "15_minutes": 1, "1_hour": 1, "6_hours": 0, "1_day": 1, "7_days": 0, "more": 1,
    }  # fmt: skip


def test_kafka_offsets_are_read_from_names(ledger: SqliteLedger) -> None:
    for name in ("1_0_00000000000000000005.gz", "1_0_00000000000000000900.gz", "2_7_00000000000000000001", "x.gz"):
        arrive(ledger, 0, name=name)
    found = [tuple(vars(offsets).values()) for offsets in kafka_offsets(ledger.known_objects("events"))]
    assert found == [(1, 0, 2, 5, 900), (2, 7, 1, 1, 1)]
