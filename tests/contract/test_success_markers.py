"""Markers in a bucket, embedded and moto's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.success_markers import MarkingThread, SuccessMarkers
from glue.table_spec import load_table_specs
from tests.contract.aws_implementations import IMPLEMENTATIONS, s3_client
from tests.unit.glue.fakes import client_error

EVENTS = load_table_specs()["events"]
PREFIX = "secor/events/"
LATENESS = timedelta(minutes=EVENTS.allowed_lateness_minutes + EVENTS.allowed_clock_skew_minutes)


class Lake:
    """Yesterday's partitions of noon, all closed."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        s3.create_bucket(Bucket=EVENTS.bucket)
        self.ledger = SqliteLedger(":memory:")
        self.now = datetime.now(UTC)
        self.noon = self.now.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
        for minute in range(3):
            self.put(self.noon + timedelta(minutes=minute), self.noon + timedelta(minutes=minute + 1))

    def put(self, at: datetime, arrival: datetime, *, name: str = "a.gz", is_late: bool = False) -> None:
        partition = PartitionSpec.from_datetime(at)
        record = ObjectRecord(partition, f"{PREFIX}{partition}/{name}", 10, arrival, is_late=is_late)
        self.ledger.record_objects("events", [record])

    def mark(self, now: datetime | None = None, time_range: PartitionRange | None = None) -> dict[str, int]:
        report = SuccessMarkers(self.s3, self.ledger).mark(EVENTS, time_range, now or self.now)
        return {name: count for name, count in report.counts().items() if count}

    def markers(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=EVENTS.bucket, Prefix=PREFIX).get("Contents", ())
        assert all(entry["Size"] == 0 for entry in found)
        return [entry["Key"].removeprefix(PREFIX) for entry in found]

    def expected(self, *minutes: int, day: bool = True) -> list[str]:
        folder = f"dt={self.noon.date()}/"
        day_marker = [f"{folder}_SUCCESS"] if day else []
        return sorted([*day_marker, *(f"{folder}hr=12/min={minute:02d}/_SUCCESS" for minute in minutes)])


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with s3_client(request.param, tmp_path, monkeypatch) as s3:
        yield Lake(s3)


def test_closed_partitions_and_days_are_marked_once(lake: Lake) -> None:
    assert lake.mark() == {"written": 4}
    assert lake.markers() == lake.expected(0, 1, 2)
    assert lake.mark() == {"kept": 4}
    assert lake.markers() == lake.expected(0, 1, 2)


def test_what_may_still_get_objects_is_not_marked(lake: Lake) -> None:
    now = lake.noon + timedelta(minutes=2) + LATENESS  # minute 1 has just closed
    assert lake.mark(now) == {"written": 2, "waiting": 2}
    assert lake.markers() == lake.expected(0, 1, day=False)


def test_a_day_is_marked_when_it_is_over_and_all_of_it_is_closed(lake: Lake) -> None:
    midnight = lake.noon.replace(hour=0) + timedelta(days=1)
    assert lake.mark(midnight + LATENESS - timedelta(seconds=1)) == {"written": 3, "waiting": 1}
    inside = PartitionRange.covering(lake.noon, lake.noon + timedelta(minutes=1))
    assert lake.mark(midnight + LATENESS, inside) == {"kept": 1, "written": 1}
    assert lake.markers() == lake.expected(0, 1, 2)


def test_a_reopened_partition_and_its_day_lose_their_markers_until_they_are_closed_again(lake: Lake) -> None:
    lake.mark()
    lake.put(lake.noon, lake.now, name="late.gz", is_late=True)
    assert lake.mark() == {"removed": 2, "kept": 2}
    assert lake.markers() == lake.expected(1, 2, day=False)
    assert lake.mark() == {"waiting": 2, "kept": 2}
    assert lake.mark(lake.now + LATENESS) == {"written": 2, "kept": 2}
    assert lake.markers() == lake.expected(0, 1, 2)


def test_a_marker_is_never_older_than_what_it_vouches_for(lake: Lake) -> None:
    """Something came late and closed again while nobody marked."""
    lake.mark()
    lake.put(lake.noon, lake.now + timedelta(minutes=10), name="late.gz", is_late=True)
    markers = SuccessMarkers(lake.s3, lake.ledger)
    later = lake.now + timedelta(hours=5)
    assert markers.mark(EVENTS, None, later).written_count == 2
    assert markers.mark(EVENTS, None, later).kept_count == 4


def test_markers_of_others_are_left_alone(lake: Lake) -> None:
    key = f"{PREFIX}dt={lake.noon.date()}/hr=12/min=02/_SUCCESS"
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=b"")
    now = lake.noon + timedelta(minutes=1)
    assert lake.mark(now) == {"waiting": 4}
    assert lake.markers() == lake.expected(2, day=False)


def test_folders_of_times_nobody_can_mean_get_no_marker(lake: Lake) -> None:
    lake.put(datetime(1970, 1, 1, tzinfo=UTC), lake.now)
    assert lake.mark() == {"written": 4}


def test_one_folder_in_trouble_does_not_keep_the_others(lake: Lake) -> None:
    class Refusing:
        """An S3 that does not let one key be written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lake.s3, name)

        def put_object(self, **arguments: Any) -> Any:
            if "min=01" in arguments["Key"]:
                raise client_error("PutObject", "AccessDenied")
            return lake.s3.put_object(**arguments)

    report = SuccessMarkers(Refusing(), lake.ledger).mark(EVENTS, None, lake.now)
    assert (report.written_count, len(report.failed)) == (3, 1)
    assert lake.mark() == {"written": 1, "kept": 3}


def test_the_thread_marks_the_last_days(lake: Lake) -> None:
    lake.put(lake.now - timedelta(days=30), lake.now - timedelta(days=30))
    thread = MarkingThread(
        SuccessMarkers(lake.s3, lake.ledger), [EVENTS], clock=lambda: lake.noon + timedelta(days=1, hours=20)
    )
    thread.start()
    thread.close()
    assert lake.markers() == lake.expected(0, 1, 2)
