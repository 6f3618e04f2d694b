from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from glue.inspection import SAMPLE_BYTES, Inspector, RecordedInspection
from glue.inspection_queue import InspectionQueue
from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import client_error

EVENTS = load_table_specs()["events"]
START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CREATED = 1_795_341_600_000


def rows(count: int, *, created: int = CREATED) -> bytes:
    return b"".join(
        json.dumps({"customerid": 1, "createdtimestamp": created + n, "arrivaltimestamp": created + n + 9}).encode()
        + b"\n"
        for n in range(count)
    )


class Lake:
    """An S3 that has `get_object`, and a ledger."""

    def __init__(self) -> None:
        self.ledger = SqliteLedger(":memory:")
        self.bodies: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.refuse: Callable[[str], Exception | None] = lambda key: None

    def put(self, minute: int, body: bytes, name: str = "a.gz", *, size: int | None = None) -> str:
        partition = PartitionSpec.from_datetime(START + timedelta(minutes=minute))
        key = f"secor/events/{partition}/{name}"
        self.bodies[key] = body
        record = ObjectRecord(partition, key, len(body) if size is None else size, START)
        self.ledger.record_objects("events", [record])
        return key

    def get_object(self, *, Bucket: str, Key: str, Range: str = "") -> Any:  # noqa: N803  boto3's names
        assert Bucket == EVENTS.bucket
        self.reads.append(Key)
        error = self.refuse(Key)
        if error is not None:
            raise error
        if Key not in self.bodies:
            raise client_error("GetObject", "NoSuchKey")
        body = self.bodies[Key]
        if not Range:
            return {"Body": io.BytesIO(body), "ContentLength": len(body)}
        end = min(int(Range.rpartition("-")[2]) + 1, len(body))
        return {"Body": io.BytesIO(body[:end]), "ContentLength": end, "ContentRange": f"bytes 0-{end - 1}/{len(body)}"}

    def row_counts(self) -> list[int | None]:
        return [record.row_count for record in self.ledger.partitions("events")]


@pytest.fixture
def lake() -> Lake:
    return Lake()


def test_objects_are_read_once(lake: Lake) -> None:
    for minute in range(3):
        lake.put(minute, gzip.compress(rows(10 + minute)))
    report = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert (report.read_count, report.row_count, report.known_count) == (3, 33, 0)
    assert lake.row_counts() == [10, 11, 12]
    (first, *_) = lake.ledger.partitions("events")
    assert (first.minimum_createdtimestamp, first.maximum_createdtimestamp) == (CREATED, CREATED + 9)
    assert (first.lateness, first.has_known_times) == ({"5_minutes": 10}, True)
    again = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert (again.read_count, again.known_count, len(lake.reads)) == (0, 3, 3)


def test_only_a_range_is_read_and_what_changes_is_read_again(lake: Lake) -> None:
    for minute in range(3):
        lake.put(minute, rows(1))
    inside = PartitionRange.covering(START + timedelta(minutes=1), START + timedelta(minutes=2))
    assert Inspector(lake, lake.ledger).inspect(EVENTS, inside).read_count == 1
    assert lake.row_counts() == [None, 1, None]
    lake.put(1, rows(4))
    assert lake.row_counts()[1] is None
    Inspector(lake, lake.ledger).inspect(EVENTS)
    assert lake.row_counts() == [1, 4, 1]


def test_what_its_writer_knows_is_not_read(lake: Lake) -> None:
    partition = PartitionSpec.from_datetime(START)
    lake.ledger.record_objects("events", [ObjectRecord(partition, "k", 5, START, 7, 1, 2)])
    assert Inspector(lake, lake.ledger).inspect(EVENTS).known_count == 1
    assert lake.reads == []


def test_large_objects_are_sampled_and_read_whole_when_somebody_asks(lake: Lake) -> None:
    key = lake.put(0, rows(5000))
    assert len(lake.bodies[key]) > SAMPLE_BYTES
    for _ in range(2):
        report = Inspector(lake, lake.ledger, maximum_bytes=SAMPLE_BYTES).inspect(EVENTS)
        assert lake.row_counts() == [None]
    assert (report.sampled_count, report.known_count) == (0, 1)
    (known,) = lake.ledger.known_objects("events")
    assert known.facts is not None
    assert 0 < known.facts.row_count < 5000
    assert Inspector(lake, lake.ledger, mode="sample").inspect(EVENTS).known_count == 1
    assert Inspector(lake, lake.ledger).inspect(EVENTS).read_count == 1
    assert lake.row_counts() == [5000]


def test_a_sample_of_a_small_object_is_the_whole(lake: Lake) -> None:
    lake.put(0, rows(3))
    assert Inspector(lake, lake.ledger, mode="sample").inspect(EVENTS).read_count == 1
    assert lake.row_counts() == [3]


def test_an_object_with_a_fault_is_told_once_and_keeps_nobody_up(lake: Lake) -> None:
    key = lake.put(0, gzip.compress(rows(1000))[:-20])
    lake.put(1, rows(2))
    report = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert (report.faulty_count, report.read_count) == (1, 1)
    assert [faulty for faulty, _ in report.faults] == [key]
    assert Inspector(lake, lake.ledger).inspect(EVENTS).known_count == 2
    assert lake.row_counts() == [None, 2]
    lake.put(0, gzip.compress(rows(1000)))  # the rest of it came
    Inspector(lake, lake.ledger).inspect(EVENTS)
    assert lake.row_counts() == [1000, 2]


def test_objects_that_are_gone_or_changed_are_left_to_the_tracker(lake: Lake) -> None:
    key = lake.put(0, rows(1))
    lake.put(1, rows(2), size=7)
    del lake.bodies[key]
    report = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert (report.gone_count, report.changed_count, report.read_count) == (1, 1, 0)
    assert lake.row_counts() == [None, None]


def test_archived_objects_are_left_alone(lake: Lake) -> None:
    lake.put(0, rows(1))
    lake.refuse = lambda key: client_error("GetObject", "InvalidObjectState")
    report = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert (report.archived_count, report.failed) == (1, [])


def test_an_object_that_changes_while_it_is_read_is_not_recorded(lake: Lake) -> None:
    lake.put(0, rows(1))

    def come_between() -> None:
        lake.put(0, rows(9))

    report = Inspector(lake, lake.ledger, between_chunks=come_between).inspect(EVENTS)
    assert report.changed_count == 1
    assert lake.row_counts() == [None]


@pytest.mark.parametrize(
    "trouble", [client_error("GetObject", "SlowDown"), ReadTimeoutError(endpoint_url="http://s3"), OSError("reset")]
)
def test_what_cannot_be_read_now_is_told_and_read_the_next_time(lake: Lake, trouble: Exception) -> None:
    keys = [lake.put(minute, rows(1)) for minute in range(3)]
    lake.refuse = lambda key: trouble if key == keys[1] else None
    report = Inspector(lake, lake.ledger).inspect(EVENTS)
    assert ([key for key, _ in report.failed], report.read_count) == ([keys[1]], 2)
    lake.refuse = lambda key: None
    assert Inspector(lake, lake.ledger).inspect(EVENTS).read_count == 1
    assert lake.row_counts() == [1, 1, 1]


def test_when_time_is_over_the_rest_is_left(lake: Lake) -> None:
    for minute in range(5):
        lake.put(minute, rows(1))
    answers = iter([True, True, True, False, False, False, False])  # two for each object: before it, and in it
    report = Inspector(lake, lake.ledger).inspect(EVENTS, is_in_time=lambda: next(answers, False))
    assert (report.read_count, report.postponed_count) == (1, 4)
    assert Inspector(lake, lake.ledger).inspect(EVENTS).read_count == 4


def test_what_a_tracker_recorded_is_read_afterwards(lake: Lake) -> None:
    inspection = RecordedInspection(Inspector(lake, lake.ledger))
    lake.put(0, rows(1))
    lake.put(1, rows(2))
    partition = PartitionSpec.from_datetime(START)
    inspection.note(EVENTS, [ObjectRecord(partition, "any", 1, START)])
    assert inspection.run().read_count == 1
    assert inspection.run().read_count == 0
    assert lake.row_counts() == [1, None]


def test_a_ledger_that_does_not_answer_is_no_reason_to_fail(lake: Lake) -> None:
    class NotAnswering:
        def known_objects(self, *_: Any) -> Any:
            raise client_error("Query", "ThrottlingException")

    inspection = RecordedInspection(Inspector(lake, NotAnswering()))  # type: ignore[arg-type]  # it answers nothing at all
    inspection.note(EVENTS, [ObjectRecord(PartitionSpec.from_datetime(START), "any", 1, START)])
    assert len(inspection.run().failed) == 1


class TestInspectionQueue:
    @pytest.fixture
    def queue(self, lake: Lake) -> Any:
        queue = InspectionQueue(
            lambda breath: Inspector(lake, lake.ledger, between_chunks=breath),
            lake.ledger,
            [EVENTS],
            resting_seconds=0.05,
        )
        yield queue
        queue.close()

    def test_the_backlog_and_what_comes_are_read(self, lake: Lake, queue: InspectionQueue) -> None:
        for minute in range(300):
            lake.put(minute, rows(1))
        queue.start()
        assert queue.wait_idle(30)
        assert lake.row_counts() == [1] * 300
        lake.put(301, rows(7))
        queue.put(EVENTS, [ObjectRecord(PartitionSpec.from_datetime(START + timedelta(minutes=301)), "any", 1, START)])
        assert queue.wait_idle(30)
        assert lake.row_counts()[-1] == 7
        assert {name: count for name, count in queue.report.counts().items() if count} == {"read": 301}

    def test_what_failed_is_tried_again(self, lake: Lake, queue: InspectionQueue) -> None:
        lake.put(0, rows(3))
        troubles = [client_error("GetObject", "SlowDown"), client_error("GetObject", "InternalError")]
        lake.refuse = lambda key: troubles.pop() if troubles else None
        queue.start()
        assert queue.wait_idle(30)
        assert (lake.row_counts(), troubles) == ([3], [])

    def test_a_stop_in_the_middle_leaves_the_rest_for_the_next_start(self, lake: Lake) -> None:
        for minute in range(10):
            lake.put(minute, rows(1))
        first: InspectionQueue | None = None

        def stop_at_the_third(key: str) -> None:
            if len(lake.reads) == 3 and first is not None:
                first._is_stopping.set()

        lake.refuse = stop_at_the_third
        first = InspectionQueue(
            lambda breath: Inspector(lake, lake.ledger, between_chunks=breath), lake.ledger, [EVENTS]
        )
        first.start()
        first._thread.join(30)  # type: ignore[union-attr]  # it was started
        assert lake.row_counts().count(1) == 2
        lake.refuse = lambda key: None
        second = InspectionQueue(lambda breath: Inspector(lake, lake.ledger), lake.ledger, [EVENTS])
        second.start()
        assert second.wait_idle(30)
        second.close()
        assert lake.row_counts() == [1] * 10
