from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from glue.known_times import KnownTimes
from glue.ledger import ObjectRecord, RowFacts
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from service.sql.plan import Planner
from tests.unit.glue.fakes import client_error
from tests.unit.service.sql.planning import NOW, TABLES, caller

EVENTS = TABLES["events"]
TEN = datetime(2026, 11, 21, 10, 0, tzinfo=NOW.tzinfo)
HOUR = "SELECT 1 FROM events WHERE createdtimestamp BETWEEN 1795255200000 AND 1795258799999"  # ten to eleven


class Catalogue:
    """Partitions that are registered in the layout's folders, but for some; two a page."""

    def __init__(self) -> None:
        self.locations: dict[tuple[str, ...], str] = {}
        self.fault: Exception | None = None
        self.calls: list[dict[str, Any]] = []

    def get_partitions(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        if self.fault is not None:
            raise self.fault
        entries = [
            {"Values": list(values), "StorageDescriptor": {"Location": location}}
            for values, location in sorted(self.locations.items())
        ]
        start = int(arguments.get("NextToken", 0))
        page: dict[str, Any] = {"Partitions": entries[start : start + 20]}
        return {**page, "NextToken": str(start + 20)} if start + 20 < len(entries) else page


class World:
    def __init__(self) -> None:
        self.ledger = SqliteLedger(":memory:")
        self.catalogue = Catalogue()
        for minute in range(-10, 130):
            self.put(minute)

    def put(
        self, minute: int, facts: RowFacts | None = None, name: str = "a.gz", *, created: int | None = None
    ) -> None:
        partition = PartitionSpec.from_datetime(TEN + timedelta(minutes=minute))
        start = round(partition.start().timestamp() * 1000) if created is None else created
        facts = facts or RowFacts(3, minimum_createdtimestamp=start, maximum_createdtimestamp=start + 59_999)
        record = ObjectRecord(partition, f"{partition}/{name}", 10, partition.end(), row_facts=facts)
        self.ledger.record_objects("events", [record])
        self.catalogue.locations[partition.values()] = EVENTS.partition_location(partition)

    def plan(self, sql: str = HOUR, now: datetime = NOW) -> Any:
        times = KnownTimes(self.ledger, self.catalogue)
        return Planner(TABLES, database="data_hist", clock=lambda: now, partition_times=times).plan(sql, caller(None))

    def left_out(self, sql: str = HOUR, now: datetime = NOW) -> list[str]:
        return [str(partition) for partition in self.plan(sql, now).tables[0].left_out.partitions]


@pytest.fixture
def world() -> World:
    return World()


def margins(without: Sequence[int] = ()) -> list[str]:
    minutes = [minute for minute in (*range(-5, 0), *range(60, 120)) if minute not in without]
    return [str(PartitionSpec.from_datetime(TEN + timedelta(minutes=minute))) for minute in minutes]


def test_margins_without_rows_of_the_time_are_left_out_by_name(world: World) -> None:
    planned = world.plan()
    assert world.left_out() == margins()
    assert "NOT (dt = '2026-11-21' AND hr = '09' AND min IN ('55', '56', '57', '58', '59'))" in planned.sql
    assert planned.sql.count("NOT (") == 2
    assert planned.valid_until == NOW + timedelta(minutes=5)
    assert (planned.tables[0].left_out.object_count, planned.tables[0].left_out.size_bytes) == (65, 650)


@pytest.mark.parametrize(
    "facts",
    [
        RowFacts(3, minimum_createdtimestamp=1795258799999, maximum_createdtimestamp=1795260000000),  # a late row
        RowFacts(3, untimed_count=1, minimum_createdtimestamp=1, maximum_createdtimestamp=1),
        RowFacts(3, malformed_count=1, minimum_createdtimestamp=1, maximum_createdtimestamp=1),
        RowFacts(3, minimum_createdtimestamp=1, maximum_createdtimestamp=1, is_sample=True),
        RowFacts(3, minimum_createdtimestamp=1, maximum_createdtimestamp=1, fault="breaks off"),
        RowFacts(3),
    ],
)
def test_a_partition_that_leaves_a_doubt_is_read(world: World, facts: RowFacts) -> None:
    world.put(70, facts, "b.gz")
    assert world.left_out() == margins(without=[70])


def test_an_object_that_nobody_has_read_keeps_its_partition(world: World) -> None:
    partition = PartitionSpec.from_datetime(TEN + timedelta(minutes=70))
    world.ledger.record_objects("events", [ObjectRecord(partition, "unread", 10, partition.end())])
    assert world.left_out() == margins(without=[70])


def test_an_object_without_rows_keeps_nobody(world: World) -> None:
    world.put(70, RowFacts(0), "b.gz")
    assert world.left_out() == margins()


def test_partitions_that_may_still_get_objects_are_read(world: World) -> None:
    closes_after = timedelta(minutes=EVENTS.allowed_lateness_minutes + EVENTS.allowed_clock_skew_minutes)
    now = TEN + timedelta(minutes=90) + closes_after  # the partition of minute 89 has just closed
    assert world.left_out(now=now) == margins(without=range(90, 120))


def test_a_partition_that_was_opened_again_is_read(world: World) -> None:
    partition = PartitionSpec.from_datetime(TEN + timedelta(minutes=70))
    facts = RowFacts(1, minimum_createdtimestamp=1, maximum_createdtimestamp=1)
    late = ObjectRecord(partition, "late", 10, NOW - timedelta(minutes=1), row_facts=facts, is_late=True)
    world.ledger.record_objects("events", [late])
    assert world.left_out() == margins(without=[70])


def test_partitions_that_the_catalogue_has_elsewhere_or_not_at_all_are_read(world: World) -> None:
    values = [PartitionSpec.from_datetime(TEN + timedelta(minutes=minute)).values() for minute in (70, 71)]
    world.catalogue.locations[values[0]] = "s3://elsewhere/"
    del world.catalogue.locations[values[1]]
    assert world.left_out() == margins(without=[70, 71])
    assert all(call["ExcludeColumnSchema"] for call in world.catalogue.calls)


def test_a_catalogue_that_does_not_answer_leaves_nothing_out(world: World) -> None:
    world.catalogue.fault = client_error("GetPartitions", "ThrottlingException")
    planned = world.plan()
    assert planned.tables[0].left_out.partitions == ()
    assert planned.valid_until is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM events",
        "SELECT 1 FROM events WHERE createdtimestamp IS NULL",
        "SELECT 1 FROM events WHERE createdtimestamp > 5 AND createdtimestamp < 3",
        "SELECT 1 FROM events WHERE createdtimestamp BETWEEN -62135596800000 AND -62135596700000",
        "SELECT 1 FROM events WHERE createdtimestamp > 253402300799990",
    ],
)
def test_without_margins_nothing_is_asked(world: World, sql: str) -> None:
    assert world.left_out(sql) == []
    assert world.catalogue.calls == []


def test_an_open_end_has_no_margin(world: World) -> None:
    assert world.left_out("SELECT 1 FROM events WHERE createdtimestamp >= 1795255200000") == margins()[:5]


def test_a_table_that_is_read_twice_has_margins_for_each(world: World) -> None:
    planned = world.plan(f"{HOUR} UNION ALL SELECT 2 FROM events WHERE createdtimestamp < 1795251600000")
    assert [table.left_out.partition_count for table in planned.tables] == [65, 10]  # 09:50 to 10:00
