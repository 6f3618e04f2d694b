from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from glue.layout import CommitBatch
from glue.ledger import LedgerSummary
from glue.partition_spec import PartitionSpec
from glue.registration import RegistrationReport, register_lake, register_partitions
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import InMemoryGlue, InMemoryS3

EVENTS = load_table_specs()["events"]
START = datetime(2026, 11, 22, tzinfo=UTC)


def minutes(count: int) -> list[PartitionSpec]:
    return [PartitionSpec.from_datetime(START + timedelta(minutes=n)) for n in range(count)]


class Lake:
    def __init__(self, ledger: SqliteLedger) -> None:
        self.glue, self.s3, self.ledger = InMemoryGlue(), InMemoryS3(page_size=7), ledger

    def put(self, key: str, body: bytes = b"x" * 10) -> None:
        self.s3.put_object(Bucket="data-hist-lake", Key=key, Body=body)

    def put_data(self, partition: PartitionSpec, offset: int = 0) -> None:
        self.put(EVENTS.layout.key("events", partition, CommitBatch.single(0, offset)))

    def register(self) -> RegistrationReport:
        return register_lake(self.glue, self.s3, self.ledger, EVENTS, sleep=lambda seconds: None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(SqliteLedger(tmp_path / "ledger.sqlite"))


def test_what_lies_in_the_lake_is_registered_once(lake: Lake) -> None:
    for partition in minutes(101):
        lake.put_data(partition)
        lake.put_data(partition, offset=5)
    first = lake.register()
    assert (first.registered_count, first.already_known_count, first.object_count) == (101, 0, 202)
    assert lake.glue.batch_sizes == [100, 1]
    entry = lake.glue.partitions["events", "2026-11-22", "00", "07"]
    assert entry["StorageDescriptor"]["Location"] == "s3://data-hist-lake/secor/events/dt=2026-11-22/hr=00/min=07/"
    assert lake.ledger.summary("events") == LedgerSummary(101, 202, 2020)
    catalogue = dict(lake.glue.partitions)
    second = lake.register()
    assert (second.registered_count, second.already_known_count, second.failed) == (0, 101, [])
    assert lake.glue.partitions == catalogue
    assert lake.ledger.summary("events") == LedgerSummary(101, 202, 2020)


def test_foreign_keys_are_counted_and_shown_never_registered(lake: Lake) -> None:
    lake.put_data(minutes(1)[0])
    lake.put("secor/events/dt=2026-11-22/hr=00/min=00/_SUCCESS", b"")
    lake.put("secor/events/dt=2017-13-45/hr=00/min=00/1_0_00000000000000000000.gz")
    lake.put("secor/events/dt=2026-11-22'; DROP/hr=00/min=00/1_0_00000000000000000000.gz")
    lake.put("secor/events/README.md")
    lake.put("secor/metrics/dt=2026-11-22/hr=00/min=00/1_0_00000000000000000000.gz")
    report = lake.register()
    assert (report.registered_count, report.marker_count, report.foreign_count) == (1, 1, 3)
    assert len(lake.glue.partitions) == 1
    assert report.foreign_samples[0][0] == "secor/events/README.md"
    assert all(reason for _, reason in report.foreign_samples)


def test_errors_worth_repeating_are_repeated_others_returned(lake: Lake) -> None:
    specs = minutes(4)
    lake.glue.failures = {
        specs[0].values(): ["ConcurrentModificationException", "InternalServiceException"],
        specs[1].values(): ["InvalidInputException"],
        specs[2].values(): ["AlreadyExistsException"],
    }
    pauses: list[float] = []
    report = register_partitions(lake.glue, EVENTS, specs, sleep=pauses.append)
    assert (report.registered_count, report.already_known_count) == (2, 1)
    assert [(f.partition, f.code, f.message) for f in report.failed] == [
        (specs[1], "InvalidInputException", "InvalidInputException it is")
    ]
    assert lake.glue.batch_sizes == [4, 1, 1]
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_a_call_that_stays_refused_fails_its_partitions_and_no_others(lake: Lake) -> None:
    lake.glue.call_failures = ["ThrottlingException"]
    assert register_partitions(lake.glue, EVENTS, minutes(2), sleep=lambda s: None).registered_count == 2
    lake.glue.call_failures = ["EntityNotFoundException"]
    report = register_partitions(lake.glue, EVENTS, minutes(150), sleep=lambda s: None)
    assert {failed.code for failed in report.failed} == {"EntityNotFoundException"}
    assert (len(report.failed), report.registered_count) == (100, 50)


def test_a_partition_that_failed_stays_out_of_the_ledger_until_it_is_taken(lake: Lake) -> None:
    good, bad = minutes(2)
    lake.put_data(good)
    lake.put_data(bad)
    lake.glue.failures = {bad.values(): ["InvalidInputException"]}
    assert len(lake.register().failed) == 1
    assert lake.ledger.summary("events").partition_count == 1
    assert lake.register().failed == []
    assert lake.ledger.summary("events").partition_count == 2


def test_a_lake_scattered_over_hash_folders(tmp_path: Path) -> None:
    from dataclasses import replace

    spec = replace(EVENTS, layout=replace(EVENTS.layout, has_md5_prefix=True))
    glue, s3, ledger = InMemoryGlue(), InMemoryS3(), SqliteLedger(":memory:")
    for topic in ("events", "metrics"):
        for partition in minutes(5):
            key = spec.layout.key(topic, partition, CommitBatch.single(0, 0))
            s3.put_object(Bucket=spec.bucket, Key=key, Body=b"x")
    assert register_lake(glue, s3, ledger, spec).registered_count == 5
    for entry in glue.partitions.values():
        folder = entry["StorageDescriptor"]["Location"].removeprefix("s3://data-hist-lake/")
        assert sum(key.startswith(folder) for _, key in s3.objects) == 1
