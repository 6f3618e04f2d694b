"""Compaction on the embedded AWS and on moto: answers stay the same at every moment, whatever dies, whatever comes."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.glue import Glue
from embedded.s3 import S3
from glue.compaction import CompactionOptions, compact
from glue.compaction_jobs import JobRunner
from glue.compaction_settling import Settling
from glue.object_changes import ObjectChange
from glue.partition_range import PartitionRange
from glue.reconcile import ReconcileReport, reconcile
from glue.registration import register_lake
from glue.sqlite_ledger import SqliteLedger
from glue.tracker import PartitionTracker, TrackingReport
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, s3_client
from tests.contract.compaction_lake import (
    CHANGING,
    DAY,
    EVENTS,
    READING,
    AtCall,
    CompactionLake,
    Killed,
    body,
    partition,
    row,
    row_key,
)


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompactionLake]:
    with (
        glue_client(request.param, tmp_path, monkeypatch) as glue,
        s3_client(request.param, tmp_path, monkeypatch) as s3,
    ):
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
        yield CompactionLake(glue, s3, ledger).fill()
        ledger.close()


def test_a_closed_partition_becomes_one_parquet_object(lake: CompactionLake) -> None:
    report = lake.compact()
    assert (report.compacted_count, report.row_count, report.raw_object_count, report.failed) == (3, 45, 9, [])
    assert report.compacted_object_count == 3
    assert all(lake.is_compacted(minute) for minute in range(3))
    assert lake.rows() == lake.expected
    entry = lake.entries()[0]
    assert entry["StorageDescriptor"]["Columns"] == EVENTS.storage_descriptor("")["Columns"]
    (key,) = (key for key in lake.listed("compacted/events/") if "min=00" in key and key.endswith(".parquet"))
    assert f"s3://{EVENTS.bucket}/{key}".startswith(entry["StorageDescriptor"]["Location"])


def test_twice_is_once(lake: CompactionLake) -> None:
    lake.compact()
    keys, entries = lake.listed(), lake.entries()
    report = lake.compact()
    assert (report.compacted_count, report.already_count) == (0, 3)
    assert lake.listed() == keys
    assert lake.entries() == entries


def test_a_dry_run_changes_nothing(lake: CompactionLake) -> None:
    keys, entries = lake.listed(), lake.entries()
    report = lake.compact(apply=False)
    assert (report.compacted_count, report.raw_object_count, report.raw_bytes > 0) == (3, 9, True)
    assert (lake.listed(), lake.entries()) == (keys, entries)
    lake.compact()
    assert lake.undo(apply=False).undone_count == 3
    lake.now += 2 * DAY
    assert lake.remove_old(apply=False).raw_object_count == 9
    assert all(lake.is_compacted(minute) for minute in range(3))
    assert [key for key in lake.listed() if key in keys] == keys


def test_the_ledger_counts_what_is_read_and_every_row_once(lake: CompactionLake) -> None:
    before = lake.ledger.summary("events")
    lake.compact()
    after = lake.ledger.summary("events")
    sizes = {
        key: lake.s3.head_object(Bucket=EVENTS.bucket, Key=key)["ContentLength"] for key in lake.listed("compacted/")
    }
    read = sum(size for key, size in sizes.items() if key.endswith(".parquet"))
    assert (after.partition_count, after.object_count, after.size_bytes) == (3, 3, read)
    record = lake.ledger.partition("events", partition(1))
    assert record is not None
    assert (record.row_count, record.has_known_times) == (15, True)
    lake.undo()
    assert lake.ledger.summary("events") == before
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    assert lake.ledger.summary("events") == after
    assert [known.share for known in lake.ledger.known_objects("events")] == ["whole"] * 3


@pytest.mark.parametrize(("minutes_old", "is_compacted"), [(64, False), (66, True)])
def test_only_closed_partitions_are_compacted(lake: CompactionLake, minutes_old: int, is_compacted: bool) -> None:
    lake.now = partition(2).end() + timedelta(minutes=minutes_old - 1)
    lake.compact()
    assert lake.is_compacted(2) is is_compacted


def test_older_than_keeps_young_partitions_raw(lake: CompactionLake) -> None:
    lake.now = partition(1).end() + timedelta(hours=6)
    report = lake.compact(older_than=timedelta(hours=6))
    assert (report.compacted_count, report.skipped["young"]) == (2, 1)
    assert [lake.is_compacted(minute) for minute in range(3)] == [True, True, False]


def test_small_partitions_stay_raw(lake: CompactionLake) -> None:
    lake.put(1, 50, row(500))  # a fourth object
    report = lake.compact(minimum_bytes=10_000)
    assert (report.compacted_count, report.skipped["small"]) == (1, 2)
    assert lake.compact(minimum_bytes=0).compacted_count == 2


def test_a_late_object_is_in_the_answers_at_once_and_the_partition_is_compacted_again(lake: CompactionLake) -> None:
    lake.compact()
    lake.put(1, 99, row(1000), row(1001))
    for _ in range(2):
        lake.settle(0, 1, 2)
        assert [lake.is_compacted(minute) for minute in range(3)] == [True, False, True]
        assert lake.rows() == lake.expected
    report = lake.compact()
    assert (report.compacted_count, report.already_count) == (1, 2)
    assert lake.rows() == lake.expected
    assert sorted(each.state for each in lake.compactions()) == ["live", "live", "live", "superseded"]


def test_a_late_object_that_nobody_told_of_is_found_by_the_next_run(lake: CompactionLake) -> None:
    lake.compact()
    lake.put(1, 99, row(1000))
    report = lake.compact()
    assert (report.went_back_count, report.compacted_count) == (1, 1)
    assert lake.rows() == lake.expected


def test_a_replaced_object_counts_once(lake: CompactionLake) -> None:
    lake.compact()
    key = lake.key(1, 0)
    before = lake.s3.get_object(Bucket=EVENTS.bucket, Key=key)["Body"].read()
    for line in gzip.decompress(before).splitlines():
        lake.expected[row_key(partition(1).values(), json.loads(line))] -= 1
    lake.expected += Counter()  # without what is not there any more
    lake.put(1, 0, row(2000))
    lake.settle(1)
    assert lake.rows() == lake.expected
    lake.compact()
    assert lake.is_compacted(1)
    assert lake.rows() == lake.expected


def test_going_back_and_compacting_again_writes_nothing_anew(lake: CompactionLake) -> None:
    lake.compact()
    keys = lake.listed()
    assert lake.undo().undone_count == 3
    assert not any(lake.is_compacted(minute) for minute in range(3))
    assert lake.rows() == lake.expected
    assert lake.undo().undone_count == 0
    assert {each.state for each in lake.compactions()} == {"undone"}
    lake.compact()
    assert lake.listed() == keys
    assert lake.rows() == lake.expected


def test_raw_objects_go_after_the_grace_and_only_then(lake: CompactionLake) -> None:
    raw = [key for key in lake.listed() if not key.startswith("compacted/")]
    lake.compact()
    lake.now += DAY - timedelta(seconds=1)
    report = lake.remove_old()
    assert (report.raw_object_count, report.waiting_count) == (0, 3)
    assert set(raw) <= set(lake.listed())
    lake.now += timedelta(seconds=1)
    report = lake.remove_old()
    assert (report.partition_count, report.raw_object_count, report.failed) == (3, 9, [])
    assert not [key for key in lake.listed() if not key.startswith("compacted/")]
    assert lake.rows() == lake.expected
    assert lake.remove_old().raw_object_count == 0
    assert "removed" in lake.undo().failed[0][1]
    assert lake.compact().already_count == 3
    assert lake.rows() == lake.expected


def test_a_late_object_after_the_raw_ones_are_gone_is_taken_in(lake: CompactionLake) -> None:
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    lake.put(1, 99, row(1000), b"not json", row(1001))
    for _ in range(2):
        report = lake.settle(1)
        assert lake.is_compacted(1)
        assert lake.rows() == lake.expected
        assert report.failed == {}
    record = lake.ledger.partition("events", partition(1))
    assert record is not None
    assert record.row_count == 17
    assert (lake.compact().already_count, lake.rows()) == (3, lake.expected)
    lake.now += 2 * DAY
    assert lake.remove_old().raw_object_count == 1
    assert lake.rows() == lake.expected
    assert lake.ledger.partition("events", partition(1)).row_count == 17  # type: ignore[union-attr]  # it is there


def test_an_object_that_comes_again_after_its_rows_were_compacted_is_not_doubled(lake: CompactionLake) -> None:
    key = lake.key(1, 0)
    content = lake.s3.get_object(Bucket=EVENTS.bucket, Key=key)["Body"].read()
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=content)
    lake.settle(1)
    lake.compact()
    assert lake.rows() == lake.expected
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=body(row(3000)))
    report = lake.settle(1)
    assert "replaced" in report.failed[partition(1).values()]
    assert lake.rows() == lake.expected


def test_compactions_that_nobody_reads_go_after_the_grace(lake: CompactionLake) -> None:
    lake.compact()
    lake.put(1, 99, row(1000))
    lake.settle(1)
    lake.compact()
    lake.s3.put_object(  # what a process leaves that died while it wrote
        Bucket=EVENTS.bucket, Key=f"compacted/events/{partition(2).path()}/{'0' * 20}/part-00000.parquet", Body=b"x"
    )
    states = sorted(each.state for each in lake.compactions())
    assert states == ["live", "live", "live", "superseded", "unfinished"]
    lake.now += 2 * DAY
    assert lake.remove_old().compaction_count == 2
    assert [each.state for each in lake.compactions()] == ["live"] * 3
    assert lake.rows() == lake.expected


def test_malformed_lines_are_kept_aside_with_their_place(lake: CompactionLake) -> None:
    key = lake.put(1, 50, row(500), b'{"customerid":"nobody"}', row(501), b"oops", b"\xff\xfe")
    report = lake.compact()
    assert (report.malformed_count, report.row_count) == (3, 47)
    assert [(file, line) for file, line, _ in report.malformed_samples] == [
        (f"s3://{EVENTS.bucket}/{key}", number) for number in (2, 4, 5)
    ]
    (kept,) = (key for key in lake.listed("compacted/") if "_malformed" in key)
    content = gzip.decompress(lake.s3.get_object(Bucket=EVENTS.bucket, Key=kept)["Body"].read())
    entries = [json.loads(line) for line in content.splitlines()]
    assert [entry.get("row") for entry in entries] == ['{"customerid":"nobody"}', "oops", None]
    assert entries[2]["row_base64"] == "//4="
    assert lake.rows() == lake.expected
    record = lake.ledger.partition("events", partition(1))
    assert record is not None
    assert record.malformed_count == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (body(row(1), row(2))[:-12], "ends early"),
        (b"no gzip", "named .gz"),
        (body(row(1)) + b"garbage", ""),
        (body(row(1, customerid="1_000")), "uncertain"),
    ],
)
def test_an_object_that_cannot_be_trusted_leaves_its_partition_raw(
    lake: CompactionLake, content: bytes, reason: str
) -> None:
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=lake.key(1, 77), Body=content)
    report = lake.compact()
    assert report.compacted_count == 2
    ((name, why),) = report.failed
    assert name == partition(1).path()
    assert lake.key(1, 77) in why
    assert reason in why or reason == "uncertain"
    assert not lake.is_compacted(1)


def test_a_range_is_compacted_alone(lake: CompactionLake) -> None:
    with JobRunner(lake.s3) as runner:
        report = compact(
            lake.glue,
            lake.s3,
            lake.ledger,
            EVENTS,
            PartitionRange(partition(1), partition(1)),
            runner=runner,
            now=lake.now,
            options=CompactionOptions(minimum_bytes=0),
        )
    assert report.compacted_count == 1
    assert [lake.is_compacted(minute) for minute in range(3)] == [False, True, False]


def test_raw_objects_that_somebody_else_removed_are_told_and_nothing_is_lost(lake: CompactionLake) -> None:
    lake.compact()
    lake.s3.delete_object(Bucket=EVENTS.bucket, Key=lake.key(1, 0))
    report = lake.compact()
    assert "gone" in report.failed[0][1]
    assert lake.is_compacted(1)
    lake.put(1, 99, row(1000))
    lake.settle(1)
    assert lake.rows() == lake.expected
    assert "gone" in lake.undo().failed[0][1]
    assert lake.rows() == lake.expected


def test_a_compaction_that_lost_an_object_gives_way_to_the_raw_ones(lake: CompactionLake) -> None:
    lake.compact()
    (part,) = (key for key in lake.listed("compacted/") if "min=01" in key and key.endswith(".parquet"))
    lake.s3.delete_object(Bucket=EVENTS.bucket, Key=part)
    lake.settle(1)
    assert lake.rows() == lake.expected
    lake.compact()
    assert lake.is_compacted(1)
    assert lake.rows() == lake.expected


# ------------------------------------------------------------------------------------------- who else hears of objects


def tracked(lake: CompactionLake, *keys: str) -> TrackingReport:
    settle = Settling(lake.glue, lake.s3, lake.ledger, sleep=lambda _seconds: None)
    tracker = PartitionTracker(
        lake.glue, lake.ledger, [EVENTS], clock=lambda: lake.now, settle=settle, sleep=lambda _seconds: None
    )
    size_bytes = {key: lake.s3.head_object(Bucket=EVENTS.bucket, Key=key)["ContentLength"] for key in keys}
    changes = [ObjectChange("created", EVENTS.bucket, key, size_bytes[key], happened_at=lake.now) for key in keys]
    return tracker.apply(changes)


def test_the_tracker_settles_late_objects(lake: CompactionLake) -> None:
    lake.compact()
    late = lake.put(1, 99, row(1000))
    for _ in range(2):
        report = tracked(lake, late, lake.key(0, 0))
        assert report.failed == []
        assert lake.rows() == lake.expected
    assert [lake.is_compacted(minute) for minute in range(3)] == [True, False, True]
    record = lake.ledger.partition("events", partition(1))
    assert record is not None
    assert (record.object_count, record.late_bytes > 0) == (4, True)
    assert lake.ledger.partition("events", partition(0)).object_count == 1  # type: ignore[union-attr]  # it is there


def test_the_tracker_takes_late_objects_in_when_the_raw_ones_are_gone(lake: CompactionLake) -> None:
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    for _ in range(2):
        assert tracked(lake, lake.put(1, 99, row(1000))).failed == []
        lake.expected[row_key(partition(1).values(), row(1000))] = 1
        assert lake.rows() == lake.expected
    record = lake.ledger.partition("events", partition(1))
    assert record is not None
    assert (record.row_count, record.object_count) == (16, 2)


def test_a_late_object_that_cannot_be_taken_in_comes_again(lake: CompactionLake) -> None:
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    key = lake.key(1, 99)
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=body(row(1))[:-9])
    (failure,) = tracked(lake, key).failed
    assert (failure.code, key in failure.message) == ("NotSettled", True)


def test_without_pyarrow_a_late_object_waits_for_somebody_who_has_it(
    lake: CompactionLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    key = lake.put(1, 99, row(1000))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "glue.compaction_objects", None)
        (failure,) = tracked(lake, key).failed
    assert (failure.code, "partitions compact only" in failure.message) == ("NotSettled", True)
    assert tracked(lake, key).failed == []
    assert lake.rows() == lake.expected


def test_registering_the_lake_settles_what_came_unheard(lake: CompactionLake) -> None:
    lake.compact()
    lake.put(1, 99, row(1000))
    settle = Settling(lake.glue, lake.s3, lake.ledger, sleep=lambda _seconds: None)
    report = register_lake(lake.glue, lake.s3, lake.ledger, EVENTS, settle=settle, sleep=lambda _seconds: None)
    assert report.failed == []
    assert lake.rows() == lake.expected


def test_reconciling_knows_compacted_partitions(lake: CompactionLake) -> None:
    def verified(*, apply: bool = False) -> ReconcileReport:
        return reconcile(
            lake.glue, lake.s3, lake.ledger, EVENTS, apply=apply, now=lake.now, sleep=lambda _seconds: None
        )

    lake.compact()
    report = verified()
    assert (report.agrees, report.counts["compacted"], report.findings) == (True, 3, [])
    lake.now += 2 * DAY
    lake.remove_old()
    report = verified()
    assert (report.agrees, report.counts["compacted"], report.findings) == (True, 3, [])
    lake.put(1, 99, row(1000))
    assert [(each.kind, each.partition) for each in verified().findings] == [
        ("unsettled", partition(1).path()), ("unrecorded", partition(1).path()),
    ]  # fmt: skip
    verified(apply=True)
    assert lake.rows() == lake.expected
    assert verified().agrees


def test_reconciling_mends_what_is_wrong_with_compacted_partitions(lake: CompactionLake) -> None:
    def reconciled(*, apply: bool) -> ReconcileReport:
        return reconcile(
            lake.glue, lake.s3, lake.ledger, EVENTS, apply=apply, now=lake.now, sleep=lambda _seconds: None
        )

    lake.compact()
    (part,) = (key for key in lake.listed("compacted/") if "min=00" in key and key.endswith(".parquet"))
    lake.s3.delete_object(Bucket=EVENTS.bucket, Key=part)
    entry = lake.entries()[1]
    drifted = {**entry["StorageDescriptor"], "Columns": entry["StorageDescriptor"]["Columns"][:3]}
    lake.glue.update_partition(
        DatabaseName=EVENTS.database, TableName=EVENTS.name, PartitionValueList=entry["Values"],
        PartitionInput={"Values": entry["Values"], "StorageDescriptor": drifted},
    )  # fmt: skip
    found = {each.kind for each in reconciled(apply=False).findings}
    assert found == {"unsettled", "drifted", "forgotten"}
    for _ in range(2):
        report = reconciled(apply=True)
        assert report.failed == []
    assert reconciled(apply=False).agrees
    assert lake.rows() == lake.expected
    assert [lake.is_compacted(minute) for minute in range(3)] == [False, True, True]
    assert lake.entries()[1]["StorageDescriptor"]["Columns"] == EVENTS.storage_descriptor("")["Columns"]


def test_reconciling_never_drops_a_partition_whose_rows_a_compaction_has(lake: CompactionLake) -> None:
    """Somebody points a partition at its raw folder, by hand, after its raw objects were removed."""
    lake.compact()
    lake.now += 2 * DAY
    lake.remove_old()
    values = list(partition(1).values())
    lake.glue.update_partition(
        DatabaseName=EVENTS.database, TableName=EVENTS.name, PartitionValueList=values,
        PartitionInput=EVENTS.partition_input(partition(1)),
    )  # fmt: skip
    assert lake.rows() != lake.expected
    report = reconcile(lake.glue, lake.s3, lake.ledger, EVENTS, apply=True, now=lake.now, sleep=lambda _seconds: None)
    assert (report.applied["unsettled"], report.counts["orphaned"]) == (1, 0)
    assert lake.rows() == lake.expected


# --------------------------------------------------------------------------------------------------- deaths, meetings


Story = Callable[[CompactionLake], None]


def compacting(lake: CompactionLake) -> None:
    lake.compact()


def settling(lake: CompactionLake) -> None:
    lake.settle(0, 1)


def undoing(lake: CompactionLake) -> None:
    lake.undo()


def removing(lake: CompactionLake) -> None:
    lake.remove_old()


def nothing(_lake: CompactionLake) -> None:
    pass


def compacted(lake: CompactionLake) -> None:
    lake.compact()
    lake.now += 2 * DAY


def late(lake: CompactionLake) -> None:
    """An object comes, and the tracker hears of it."""
    lake.put(1, 99, row(1000), b"bad")
    lake.settle(1)


def late_unheard(lake: CompactionLake) -> None:
    lake.put(1, 99, row(1000), b"bad")


def compacted_and_late(lake: CompactionLake) -> None:
    compacted(lake)
    late_unheard(lake)


def removed_and_late(lake: CompactionLake) -> None:
    compacted(lake)
    lake.remove_old()
    late_unheard(lake)


@contextmanager
def opened(folder: Path) -> Iterator[CompactionLake]:
    glue, ledger = Glue(folder / "catalogue.sqlite"), SqliteLedger(folder / "ledger.sqlite")
    yield CompactionLake(glue, S3(folder / "s3"), ledger)
    glue.close()
    ledger.close()


class Beginning:
    """A small lake to which something has happened, as often as it is asked for."""

    def __init__(self, folder: Path, before: Story) -> None:
        self._folder = folder
        with opened(folder / "0") as lake:
            before(lake.fill(partitions=2, objects=2))
            self._expected, self._now = lake.expected, lake.now

    @contextmanager
    def lake(self, number: int) -> Iterator[CompactionLake]:
        copy = self._folder / str(number)
        shutil.copytree(self._folder / "0", copy)
        with opened(copy) as lake:
            lake.expected, lake.now = Counter(self._expected), self._now
            yield lake
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("before", "story"),
    [
        (nothing, compacting),
        (compacted_and_late, settling),
        (compacted_and_late, compacting),
        (removed_and_late, settling),
        (compacted, undoing),
        (compacted, removing),
    ],
)
def test_dying_between_any_two_steps_changes_no_answer(tmp_path: Path, before: Story, story: Story) -> None:
    """At each moment a query sees every row once, but for a late object that has not been heard of yet; done again, all
    is as if nothing had died.
    """

    def die() -> None:
        raise Killed

    beginning, is_dead, number = Beginning(tmp_path, before), True, 0
    while is_dead:
        number += 1
        with beginning.lake(number) as lake:
            visible = lake.rows()
            death = AtCall(number, die)
            with suppress(Killed), lake.watched(death):
                story(lake)
            is_dead = death.is_done
            assert lake.rows() in (visible, lake.expected)
            for again in (story, settling, compacting):
                again(lake)
            assert lake.rows() == lake.expected
            facts = lake.ledger.summary("events"), sorted(each.state for each in lake.compactions())
            lake.compact()
            assert (lake.ledger.summary("events"), sorted(each.state for each in lake.compactions())) == facts
    assert number > 3


@pytest.mark.parametrize(
    ("before", "one", "other"),
    [
        (nothing, compacting, late),
        (nothing, compacting, compacting),
        (compacted, undoing, late),
        (compacted, removing, late),
        (compacted, removing, undoing),
        (compacted, undoing, removing),
        (compacted_and_late, settling, removing),
        (compacted_and_late, settling, compacting),
        (compacted_and_late, compacting, removing),
        (removed_and_late, settling, compacting),
    ],
)
def test_two_that_meet_at_any_step_lose_nothing_and_double_nothing(
    tmp_path: Path, before: Story, one: Story, other: Story
) -> None:
    """The whole of the other happens between any two calls of the one, readings included."""
    beginning, has_met, number = Beginning(tmp_path, before), True, 0
    while has_met:
        number += 1
        with beginning.lake(number) as lake:

            def meet(lake: CompactionLake = lake, clients: Any = (lake.glue, lake.s3, lake.ledger)) -> None:
                watched = lake.glue, lake.s3, lake.ledger
                lake.glue, lake.s3, lake.ledger = clients
                other(lake)
                lake.glue, lake.s3, lake.ledger = watched

            meeting = AtCall(number, meet, CHANGING | READING)
            with lake.watched(meeting):
                one(lake)
            has_met = meeting.is_done
            if not has_met:
                other(lake)
            assert lake.rows() == lake.expected, f"met at call {number}"
            lake.compact()
            assert lake.rows() == lake.expected
    assert number > 10
