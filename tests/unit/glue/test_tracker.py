from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from glue.completeness import gaps, partition_state
from glue.layout import CommitBatch, SecorLayout
from glue.ledger import LedgerSummary, ObjectRecord, ObjectRemoval
from glue.object_changes import ObjectChange
from glue.partition_spec import PartitionScheme, PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import NoLedger, PartitionTracker, TrackingReport
from tests.unit.glue.fakes import InMemoryGlue, client_error

SPECS = load_table_specs()
EVENTS = SPECS["events"]
NOW = datetime(2026, 11, 22, 10, 10, tzinfo=UTC)
FOLDER = "secor/events/dt=2026-11-22/hr=10/min=05/"
VALUES = ("2026-11-22", "10", "05")


class World:
    def __init__(self, folder: Path) -> None:
        self.glue = InMemoryGlue()
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.now = NOW
        self.tracker = self.new_tracker()

    def new_tracker(self, ledger: Any = None) -> PartitionTracker:
        return PartitionTracker(
            self.glue, ledger or self.ledger, SPECS.values(), clock=lambda: self.now, sleep=lambda seconds: None
        )

    def facts(self) -> tuple[Any, ...]:
        """All that catalogue and ledger know."""
        return (
            {key: entry["StorageDescriptor"]["Location"] for key, entry in self.glue.partitions.items()},
            list(self.ledger.partitions("events")),
            list(self.ledger.known_objects("events")),
            self.ledger.summary("events"),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def created(
    key: str = FOLDER + "a.gz", size: int | None = 10, sequencer: str | None = None, **more: Any
) -> ObjectChange:
    return ObjectChange("created", "data-hist-lake", key, size, sequencer, **more)


def removed(key: str = FOLDER + "a.gz", sequencer: str | None = None) -> ObjectChange:
    return ObjectChange("removed", "data-hist-lake", key, None, sequencer)


def minute_keys(count: int, objects: int = 1) -> list[str]:
    return [
        EVENTS.layout.key(
            "events",
            PartitionSpec.from_datetime(NOW - timedelta(minutes=minute + 10)),
            CommitBatch.single(number, minute),
        )
        for minute in range(count)
        for number in range(objects)
    ]


def test_partitions_of_many_objects_share_their_calls(world: World) -> None:
    report = world.tracker.apply([created(key) for key in minute_keys(205, objects=3)])
    assert (report.recorded_count, report.registered_count, report.failed) == (615, 205, [])
    assert world.glue.batch_sizes == [100, 100, 5]
    summary = world.ledger.summary("events")
    assert (summary.partition_count, summary.object_count, summary.size_bytes) == (205, 615, 6150)


def test_twice_equals_once(world: World) -> None:
    changes = [created(key, sequencer="0A") for key in minute_keys(7, objects=2)] + [removed(sequencer="0B")]
    world.tracker.apply(changes)
    once = world.facts()
    for tracker in (world.tracker, world.new_tracker()):
        assert tracker.apply(changes).failed == []
        assert world.facts() == once
    assert world.glue.table_versions == {}


def test_a_recorded_location_is_kept(world: World) -> None:
    elsewhere = "s3://data-hist-lake/compacted/events/7/"
    world.glue.partitions["events", *VALUES] = {"Values": list(VALUES), "StorageDescriptor": {"Location": elsewhere}}
    report = world.tracker.apply([created()])
    assert (report.recorded_count, report.registered_count, report.failed) == (1, 0, [])
    assert world.facts()[0] == {("events", *VALUES): elsewhere}


def test_duplicates_reordered_and_stale_changes_end_in_the_same_facts(tmp_path: Path) -> None:
    story = [created(size=10, sequencer="0055"), created(size=20, sequencer="0055A"), removed(sequencer="0056"),
             created(size=30, sequencer="0057")]  # fmt: skip
    endings = []
    for number, order in enumerate(itertools.permutations(story)):
        (tmp_path / str(number)).mkdir()
        world = World(tmp_path / str(number))
        for change in (*order, *order):
            world.tracker.apply([change])
        endings.append([(o.key, o.size_bytes) for o in world.ledger.known_objects("events")])
        assert world.ledger.summary("events") == LedgerSummary(1, 1, 30)
    assert endings == [[(FOLDER + "a.gz", 30)]] * 24


def test_an_object_deleted_after_it_was_created_is_gone_in_any_order(world: World) -> None:
    for order in (
        [created(sequencer="01"), removed(sequencer="02")],
        [removed(sequencer="02"), created(sequencer="01")],
    ):
        for change in order:
            world.tracker.apply([change])
        assert world.ledger.summary("events") == LedgerSummary(0, 0, 0)
    report = world.tracker.apply([created(sequencer="01")])
    assert (report.stale_count, report.recorded_count) == (1, 0)
    world.now += timedelta(days=16)
    assert world.ledger.forget_removals(now=world.now) == 1
    assert world.ledger.forget_removals(now=world.now) == 0


def test_removing_what_nobody_knew_changes_nothing(world: World) -> None:
    before = world.facts()
    world.tracker.apply([removed(), removed(FOLDER + "b.gz")])
    assert world.facts() == before


def test_removing_one_object_leaves_the_facts_of_the_others(world: World) -> None:
    partition = PartitionSpec.from_values(VALUES)
    world.ledger.record_objects("events", [
        ObjectRecord(partition, FOLDER + "a.gz", 10, NOW, 3, 1000, 2000),
        ObjectRecord(partition, FOLDER + "b.gz", 20, NOW, 4, 1500, 5000),
    ])  # fmt: skip
    world.tracker.apply([removed(FOLDER + "b.gz")])
    record = world.ledger.partition("events", partition)
    assert record is not None
    assert (record.object_count, record.size_bytes, record.row_count) == (1, 10, 3)
    assert (record.minimum_createdtimestamp, record.maximum_createdtimestamp) == (1000, 2000)


@pytest.mark.parametrize(
    ("key", "member"),
    [
        (FOLDER + "_SUCCESS", "marker_count"),
        ("compacted/events/dt=2026-11-22/hr=10/min=05/0123456789abcdef0123/part-00000.parquet", "marker_count"),
        (FOLDER, "marker_count"),
        ("secor/events/dt=2026-11-22_$folder$", "marker_count"),
        (FOLDER + ".a.gz.crc", "marker_count"),
        ("secor/events/dt=2017-13-45/hr=00/min=00/a.gz", "foreign_count"),
        ("secor/events/dt=2026-11-22/hr=24/min=00/a.gz", "foreign_count"),
        ("secor/events/dt=2026-11-22/hr=7/min=00/a.gz", "foreign_count"),
        ("secor/events/dt=2026-11-22'; DROP TABLE events --/hr=00/min=00/a.gz", "foreign_count"),
        ("secor/events/dt=2026-11-22/hr=00/min=00\n/a.gz", "foreign_count"),
        ("secor/events/../dt=2026-11-22/hr=00/min=00/a.gz", "foreign_count"),
        ("secor/nobody/dt=2026-11-22/hr=00/min=00/a.gz", "foreign_count"),
        ("elsewhere.gz", "foreign_count"),
        (FOLDER + "a.gz", "empty_count"),
    ],
)
def test_what_holds_no_rows_is_counted_never_registered(world: World, key: str, member: str) -> None:
    report = world.tracker.apply([created(key, size=0 if member == "empty_count" else 10)])
    assert report.counts() == {**TrackingReport().counts(), member.removesuffix("_count"): 1}
    assert world.glue.partitions == {}
    assert bool(report.foreign_samples) == (member == "foreign_count")
    assert all(reason for _, reason in report.foreign_samples)


def test_names_with_quotes_and_line_breaks_are_data_in_a_proper_folder(world: World) -> None:
    keys = [FOLDER + name for name in ("it's.gz", 'a"b.gz', "line\nbreak.gz", "ünïcødé.gz", "a b+c.gz")]
    report = world.tracker.apply([created(key) for key in keys])
    assert (report.recorded_count, report.registered_count) == (5, 1)
    assert [known.key for known in world.ledger.known_objects("events")] == sorted(keys, key=str.encode)


def test_an_object_replaced_by_nothing_loses_its_bytes(world: World) -> None:
    world.tracker.apply([created(size=10)])
    world.tracker.apply([created(size=0)])
    assert world.ledger.summary("events") == LedgerSummary(0, 0, 0)


def test_times_nobody_can_mean_are_recorded_and_counted(world: World) -> None:
    report = world.tracker.apply(
        [
            created("secor/events/dt=1970-01-01/hr=00/min=00/a.gz"),
            created("secor/events/dt=9999-12-31/hr=23/min=59/a.gz"),
        ]
    )
    assert (report.recorded_count, report.bad_timestamp_count, report.future_count) == (2, 1, 1)


def test_late_objects_are_told_apart(world: World) -> None:
    in_time = created(FOLDER + "a.gz", happened_at=datetime(2026, 11, 22, 11, 10, 59, tzinfo=UTC))
    late = created(FOLDER + "b.gz", size=7, happened_at=datetime(2026, 11, 22, 11, 11, tzinfo=UTC))
    for _ in range(2):
        report = world.tracker.apply([in_time, late])
        assert (report.recorded_count, report.late_count) == (2, 1)
        assert world.ledger.summary("events") == LedgerSummary(1, 2, 17, late_bytes=7)
    world.tracker.apply([removed(FOLDER + "b.gz")])
    assert world.ledger.summary("events").late_bytes == 0


def test_a_failed_partition_fails_only_its_own_changes(world: World) -> None:
    keys = minute_keys(3)
    world.glue.failures = {
        EVENTS.layout.parse(keys[1]).partition.values(): ["InvalidInputException"],  # type: ignore[union-attr]
        EVENTS.layout.parse(keys[2]).partition.values(): ["ConcurrentModificationException"],  # type: ignore[union-attr]
    }
    report = world.tracker.apply([created(key) for key in keys])
    assert [(f.change.key, f.code, f.is_retryable) for f in report.failed] == [
        (keys[1], "InvalidInputException", False)
    ]
    assert report.recorded_count == 2
    assert len(world.glue.partitions) == 2
    assert world.tracker.apply([created(keys[1])]).failed == []
    assert world.ledger.summary("events").object_count == 3


def test_throttling_to_the_end_is_told_as_worth_repeating(world: World) -> None:
    world.glue.call_failures = ["ThrottlingException"] * 5
    report = world.tracker.apply([created()])
    assert [failure.is_retryable for failure in report.failed] == [True]
    assert world.ledger.summary("events").object_count == 0


class Killed(BaseException):
    """The process ends here."""


class DyingLedger:
    """Dies before or after the write it was asked for."""

    def __init__(self, ledger: SqliteLedger, *, before: bool) -> None:
        self.ledger, self.before = ledger, before

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        if not self.before:
            self.ledger.record_objects(table, objects)
        raise Killed

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        if not self.before:
            self.ledger.remove_objects(table, removals, now=now)
        raise Killed


def test_killed_between_any_two_steps_and_done_again_equals_done_once(tmp_path: Path) -> None:
    changes = [created(key, sequencer="01") for key in minute_keys(120, objects=2)]
    changes += [removed(minute_keys(1)[0], sequencer="02"), created("secor/metrics/dt=2026-11-22/hr=10/min=05/a.gz")]
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole")
    whole.tracker.apply(changes)

    def killed_in_call(number: int) -> World:
        folder = tmp_path / f"call{number}"
        folder.mkdir()
        world = World(folder)
        batch_create = world.glue.batch_create_partition
        calls = itertools.count()

        def dying(**arguments: Any) -> Any:
            if next(calls) == number:
                raise Killed
            return batch_create(**arguments)

        world.glue.batch_create_partition = dying  # type: ignore[method-assign]  # the process dies in a call
        with pytest.raises(Killed):
            world.tracker.apply(changes)
        world.glue.batch_create_partition = batch_create  # type: ignore[method-assign]  # and lives again
        return world

    def killed_in_ledger(before: bool) -> World:
        folder = tmp_path / f"ledger{before}"
        folder.mkdir()
        world = World(folder)
        with pytest.raises(Killed):
            world.new_tracker(DyingLedger(world.ledger, before=before)).apply(changes)
        return world

    for world in [killed_in_call(number) for number in range(3)] + [killed_in_ledger(flag) for flag in (True, False)]:
        assert world.new_tracker().apply(changes).failed == []
        assert world.facts() == whole.facts()


def test_a_partition_dropped_by_hand_comes_back_with_the_next_object(world: World) -> None:
    world.tracker.apply([created(FOLDER + "a.gz")])
    world.glue.partitions.clear()
    world.now += timedelta(minutes=6)
    world.tracker.apply([created(FOLDER + "b.gz")])
    assert ("events", *VALUES) in world.glue.partitions


def test_a_deployment_without_a_ledger_registers_all_the_same(world: World) -> None:
    report = world.new_tracker(NoLedger()).apply([created(), removed(FOLDER + "b.gz")])
    assert (report.recorded_count, report.removed_count, report.registered_count) == (1, 1, 1)
    assert ("events", *VALUES) in world.glue.partitions


def test_a_ledger_that_aws_refuses_fails_the_changes_it_should_have_taken(world: World) -> None:
    class Refusing:
        """A ledger that refuses the events."""

        def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
            if table == "events":
                raise client_error("TransactWriteItems", "ThrottlingException", "slower")
            return world.ledger.record_objects(table, objects)

        def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

    other = created("secor/metrics/dt=2026-11-22/hr=10/min=05/a.gz")
    changes = [created(), removed(FOLDER + "b.gz"), created(FOLDER + "c.gz", size=0), other]
    report = world.new_tracker(Refusing()).apply(changes)
    assert [(failed.change, failed.code) for failed in report.failed] == [
        (changes[0], "ThrottlingException"),
        (changes[1], "ReadTimeoutError"),
        (changes[2], "ReadTimeoutError"),
    ]
    assert (report.recorded_count, report.removed_count, report.empty_count) == (1, 0, 0)
    assert world.tracker.apply(changes).failed == []
    assert world.ledger.summary("events").object_count == 1


class TestSummerTime:
    """A layout that tells local time: Berlin, by the hour."""

    SPEC = replace(
        EVENTS,
        layout=SecorLayout(scheme=PartitionScheme.from_secor(granularity="hour", zone_name="Europe/Berlin")),
        partition_keys=EVENTS.partition_keys[:2],
    )

    def track(self, world: World, folders: list[str], arrival: datetime) -> TrackingReport:
        tracker = PartitionTracker(world.glue, world.ledger, [self.SPEC], clock=lambda: arrival)
        return tracker.apply(
            [created(f"secor/events/{folder}/{n}.gz", happened_at=arrival) for folder in folders for n in range(2)]
        )

    def gaps(self, world: World, now: datetime) -> list[str]:
        return [str(gap.first) for gap in gaps(world.ledger, self.SPEC, now)]

    def test_where_clocks_go_back_one_folder_holds_two_hours(self, world: World) -> None:
        folders = [f"dt=2026-10-25/hr={hour:02d}" for hour in range(5)]
        arrival = datetime(2026, 10, 25, 1, 59, tzinfo=UTC)  # 02:59 for the second time: the folder is still open
        report = self.track(world, folders, arrival)
        assert (report.recorded_count, report.registered_count) == (10, 5)
        assert report.late_count == 4  # those of midnight and of one o'clock, not those of two
        twice = PartitionSpec.parse(folders[2], self.SPEC.layout.scheme)
        assert twice.end() - twice.start() == timedelta(hours=2)
        record = world.ledger.partition("events", twice)
        assert record is not None
        assert partition_state(self.SPEC, twice, record, arrival) == "OPEN"
        assert self.gaps(world, datetime(2026, 10, 26, tzinfo=UTC)) == []

    def test_where_clocks_go_forward_no_folder_is_missing(self, world: World) -> None:
        folders = [f"dt=2026-03-29/hr={hour:02d}" for hour in (0, 1, 3, 4)]
        report = self.track(world, folders, datetime(2026, 3, 29, 2, 0, tzinfo=UTC))
        assert (report.recorded_count, report.registered_count, report.failed) == (8, 4, [])
        assert self.gaps(world, datetime(2026, 3, 30, tzinfo=UTC)) == []
        # a writer that names the hour which does not exist is taken at its word, and nothing is lost or doubled
        for _ in range(2):
            self.track(world, ["dt=2026-03-29/hr=02"], datetime(2026, 3, 29, 2, 0, tzinfo=UTC))
            assert world.ledger.summary("events").object_count == 10
