"""Lake, catalogue and ledger are made to agree, on the embedded AWS and on moto."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.reconcile import ReconcileReport, reconcile
from glue.registration import register_lake
from glue.run_journal import RunJournal
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, s3_client

SPECS = load_table_specs()
EVENTS = SPECS["events"]
TABLE = {"DatabaseName": EVENTS.database, "TableName": EVENTS.name}
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def partition(minute: int) -> PartitionSpec:
    return PartitionSpec.from_datetime(datetime(2026, 11, 22, 10, 0, tzinfo=UTC) + timedelta(minutes=minute))


class Lake:
    def __init__(self, glue: Any, s3: Any, ledger: SqliteLedger) -> None:
        self.glue, self.s3, self.ledger = glue, s3, ledger
        ensure_buckets(s3, [EVENTS.bucket])
        ensure_catalogue(glue, SPECS.values())
        for minute in range(30):
            self.put(minute)
        register_lake(glue, s3, ledger, EVENTS)

    def key(self, minute: int, offset: int = 0) -> str:
        return EVENTS.layout.key("events", partition(minute), CommitBatch.single(0, offset))

    def put(self, minute: int, offset: int = 0, body: bytes = b"0123456789") -> None:
        self.s3.put_object(Bucket=EVENTS.bucket, Key=self.key(minute, offset), Body=body)

    def delete(self, minute: int) -> None:
        self.s3.delete_object(Bucket=EVENTS.bucket, Key=self.key(minute))

    def update(self, minute: int, **descriptor: Any) -> None:
        values = list(partition(minute).values())
        entry = EVENTS.partition_input(partition(minute))
        entry["StorageDescriptor"] |= descriptor
        self.glue.update_partition(**TABLE, PartitionValueList=values, PartitionInput=entry)

    def descriptor(self, minute: int) -> dict[str, Any]:
        answer = self.glue.get_partition(**TABLE, PartitionValues=list(partition(minute).values()))
        found: dict[str, Any] = answer["Partition"]["StorageDescriptor"]
        return found

    def minutes(self) -> set[int]:
        pages = self.glue.get_paginator("get_partitions").paginate(**TABLE)
        return {int(entry["Values"][2]) for page in pages for entry in page["Partitions"]}

    def reconcile(
        self,
        *,
        apply: bool,
        time_range: PartitionRange | None = None,
        workers: int = 1,
        journal: RunJournal | None = None,
    ) -> ReconcileReport:
        return reconcile(
            self.glue,
            self.s3,
            self.ledger,
            EVENTS,
            time_range,
            apply=apply,
            now=NOW,
            workers=workers,
            journal=journal,
            sleep=lambda seconds: None,
        )


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with (
        glue_client(request.param, tmp_path, monkeypatch) as glue,
        s3_client(request.param, tmp_path, monkeypatch) as s3,
    ):
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
        yield Lake(glue, s3, ledger)
        ledger.close()


def spoil(lake: Lake) -> None:
    """One partition of each kind of trouble, and one that looks like trouble and is none."""
    lake.glue.batch_delete_partition(**TABLE, PartitionsToDelete=[{"Values": list(partition(0).values())}])
    lake.delete(1)
    lake.update(2, Location="s3://data-hist-lake/nowhere/2/")
    lake.s3.put_object(Bucket=EVENTS.bucket, Key="compacted/3/part.parquet", Body=b"x")
    lake.update(3, Location="s3://data-hist-lake/compacted/3/")
    lake.update(4, Columns=[{"Name": "other", "Type": "string"}])
    lake.put(5, offset=7)
    lake.put(6, body=b"grown, grown, grown")
    lost = lake.key(7, 99)
    lake.ledger.record_objects("events", [ObjectRecord(partition(7), lost, 10, NOW)])


def test_a_lake_that_agrees_is_left_alone(lake: Lake) -> None:
    for apply in (False, True):
        report = lake.reconcile(apply=apply)
        assert (report.agrees, report.partition_count, report.object_count) == (True, 30, 30)
        assert not report.applied
        assert report.failed == []


def test_differences_are_found_and_a_dry_run_changes_nothing(lake: Lake) -> None:
    spoil(lake)
    for _ in range(2):
        report = lake.reconcile(apply=False)
        assert dict(report.counts) == {
            "missing": 1, "orphaned": 1, "moved": 1, "relocated": 1, "drifted": 1, "unrecorded": 2, "forgotten": 2,
        }  # fmt: skip
        assert not report.agrees
        assert not report.applied
    kinds = {(finding.kind, finding.partition[-2:]) for finding in report.findings}
    assert {("missing", "00"), ("orphaned", "01"), ("moved", "02"), ("relocated", "03"), ("drifted", "04")} <= kinds


def test_repair_mends_all_and_keeps_what_was_meant(lake: Lake) -> None:
    spoil(lake)
    report = lake.reconcile(apply=True)
    assert report.failed == []
    assert report.applied["missing"] == report.applied["orphaned"] == report.applied["moved"] == 1
    again = lake.reconcile(apply=True)
    assert again.agrees
    assert not again.applied
    assert lake.minutes() == set(range(30)) - {1}
    assert lake.descriptor(2)["Location"] == EVENTS.partition_location(partition(2))
    assert lake.descriptor(3)["Location"] == "s3://data-hist-lake/compacted/3/"
    assert [column["Name"] for column in lake.descriptor(4)["Columns"]] == [
        column.name for column in EVENTS.data_columns
    ]
    assert lake.ledger.summary("events").object_count == 30
    assert lake.ledger.partition("events", partition(6)).size_bytes == 19  # type: ignore[union-attr]


def test_a_drifted_partition_elsewhere_keeps_its_location(lake: Lake) -> None:
    lake.s3.put_object(Bucket=EVENTS.bucket, Key="compacted/3/part.gz", Body=b"x")
    lake.update(3, Location="s3://data-hist-lake/compacted/3/", Columns=[])
    lake.reconcile(apply=True)
    assert lake.descriptor(3)["Location"] == "s3://data-hist-lake/compacted/3/"
    assert lake.reconcile(apply=False).agrees


def test_a_range_is_all_that_is_touched(lake: Lake) -> None:
    spoil(lake)
    inside = PartitionRange(partition(1), partition(2))
    report = lake.reconcile(apply=True, time_range=inside)
    assert (report.counts["orphaned"], report.counts["moved"], report.counts["missing"]) == (1, 1, 0)
    left = lake.reconcile(apply=False)
    assert (left.counts["orphaned"], left.counts["moved"], left.counts["missing"]) == (0, 0, 1)


def test_an_empty_listing_drops_nothing(lake: Lake) -> None:
    for minute in range(30):
        lake.delete(minute)
    report = lake.reconcile(apply=True)
    assert (report.counts["orphaned"], report.applied["orphaned"], len(report.failed)) == (30, 0, 30)
    assert lake.minutes() == set(range(30))


def test_more_than_a_call_takes_is_split(lake: Lake) -> None:
    lake.glue.batch_delete_partition(
        **TABLE, PartitionsToDelete=[{"Values": list(partition(minute).values())} for minute in range(20)]
    )
    for minute in range(30, 45):
        lake.put(minute)
    for minute in range(100, 140):
        lake.glue.create_partition(**TABLE, PartitionInput=EVENTS.partition_input(partition(minute)))
    report = lake.reconcile(apply=True)
    assert (report.applied["missing"], report.applied["orphaned"], report.failed) == (35, 40, [])
    assert lake.reconcile(apply=False).agrees


def spread(lake: Lake) -> None:
    """Twelve further days of one partition each; of every third the catalogue knows nothing, and one day is alone in
    the catalogue.
    """
    for day in range(12):
        moment = NOW - timedelta(days=40 - day)
        found = PartitionSpec.from_datetime(moment)
        key = EVENTS.layout.key("events", found, CommitBatch.single(0, day))
        lake.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=b"0123456789")
        if day % 3:
            lake.glue.create_partition(**TABLE, PartitionInput=EVENTS.partition_input(found))
    orphan = PartitionSpec.from_datetime(NOW - timedelta(days=90))
    lake.glue.create_partition(**TABLE, PartitionInput=EVENTS.partition_input(orphan))
    for name in ("dt=2026-13-01/hr=00/min=00/x.gz", "dt=2026-11-01x/hr=00/min=00/y.gz", "zz/stray.gz"):
        lake.s3.put_object(Bucket=EVENTS.bucket, Key=f"secor/events/{name}", Body=b"x")


@pytest.mark.parametrize("workers", [1, 4])
def test_a_long_history_in_windows_gives_what_one_pass_gives(lake: Lake, workers: int) -> None:
    spread(lake)
    report = lake.reconcile(apply=False, workers=workers)
    assert (report.partition_count, report.object_count, report.foreign_count) == (42, 42, 3)
    assert dict(report.counts) == {"missing": 4, "unrecorded": 12, "orphaned": 1}
    applied = lake.reconcile(apply=True, workers=workers)
    assert dict(applied.applied) == {"missing": 4, "unrecorded": 12, "orphaned": 1}
    assert lake.reconcile(apply=False, workers=workers).agrees


class KilledError(BaseException):
    """The process ends here."""


class KilledAtListing:
    """An S3 whose process is killed at some listing of raw objects."""

    def __init__(self, s3: Any, listings: int) -> None:
        self._s3 = s3
        self.left = listings

    def list_objects_v2(self, **arguments: Any) -> Any:
        if "Delimiter" not in arguments and not arguments["Prefix"].startswith("compacted/"):
            if self.left == 0:
                raise KilledError
            self.left -= 1
        return self._s3.list_objects_v2(**arguments)


def test_a_run_that_was_killed_goes_on_where_it_was(lake: Lake, tmp_path: Path) -> None:
    spread(lake)
    s3, path, run = lake.s3, tmp_path / "runs" / "repair.jsonl", {"table": "events"}
    lake.s3 = KilledAtListing(s3, 5)
    journal = RunJournal(path, run, now=NOW)
    with pytest.raises(KilledError):
        lake.reconcile(apply=True, journal=journal)
    journal.close()

    lake.s3 = KilledAtListing(s3, 100)
    journal = RunJournal(path, run, now=NOW + timedelta(minutes=5))
    assert len(journal.finished) == 4  # the oldest window looked once more at what it dropped
    report = lake.reconcile(apply=True, journal=journal)
    assert 100 - lake.s3.left == 13 - 4
    assert (report.partition_count, report.object_count, report.foreign_count) == (42, 42, 3)
    assert dict(report.applied) == {"missing": 4, "unrecorded": 12, "orphaned": 1}
    assert not path.exists()
    lake.s3 = s3
    assert lake.reconcile(apply=False).agrees


def test_a_run_that_is_killed_at_each_listing_ends_as_one_that_never_was(lake: Lake, tmp_path: Path) -> None:
    spread(lake)
    s3, path = lake.s3, tmp_path / "repair.jsonl"
    for _ in range(30):
        lake.s3 = KilledAtListing(s3, 2)  # the most that one window takes
        journal = RunJournal(path, {}, now=NOW)
        try:
            report = lake.reconcile(apply=True, journal=journal)
        except KilledError:
            continue
        finally:
            journal.close()
        break
    else:
        pytest.fail("the run never ended")
    assert dict(report.applied) == {"missing": 4, "unrecorded": 12, "orphaned": 1}
    lake.s3 = s3
    assert lake.reconcile(apply=False).agrees
