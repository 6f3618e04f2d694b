"""The ingest side against the embedded AWS and against moto through boto3: both end in the same lake and catalogue."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.layout import CommitBatch
from glue.ledger import LedgerSummary
from glue.loading import FieldOrConstant, Loader, LoadOptions, RowMapping
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.registration import register_lake, register_partitions
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, s3_client

SPECS = load_table_specs()
EVENTS = SPECS["events"]
START = 1_626_847_200_000  # 2021-07-21T06:00:00Z


@dataclass
class Cloud:
    glue: Any
    s3: Any
    ledger: SqliteLedger

    def partitions(self, expression: str = "") -> dict[tuple[str, ...], str]:
        """Values and location of the catalogue's partitions, all pages of them."""
        found: dict[tuple[str, ...], str] = {}
        arguments = {"DatabaseName": EVENTS.database, "TableName": EVENTS.name}
        if expression:
            arguments["Expression"] = expression
        for page in self.glue.get_paginator("get_partitions").paginate(**arguments):
            found |= {tuple(p["Values"]): p["StorageDescriptor"]["Location"] for p in page["Partitions"]}
        return found

    def put(self, key: str) -> None:
        self.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=gzip.compress(b"{}"))


@pytest.fixture(params=IMPLEMENTATIONS)
def cloud(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with (
        glue_client(request.param, tmp_path, monkeypatch) as glue,
        s3_client(request.param, tmp_path, monkeypatch) as s3,
    ):
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
        ensure_buckets(s3, [EVENTS.bucket])
        ensure_catalogue(glue, SPECS.values())
        yield Cloud(glue, s3, ledger)
        ledger.close()


def test_bootstrap_twice_equals_once(cloud: Cloud) -> None:
    before = cloud.glue.get_table(DatabaseName="data_hist", Name="events")["Table"]
    ensure_buckets(cloud.s3, [EVENTS.bucket])
    assert not ensure_catalogue(cloud.glue, SPECS.values()).has_changed
    assert cloud.glue.get_table(DatabaseName="data_hist", Name="events")["Table"] == before
    assert before["StorageDescriptor"]["Location"] == EVENTS.location
    assert before["TableType"] == "EXTERNAL_TABLE"
    assert [key["Name"] for key in before["PartitionKeys"]] == ["dt", "hr", "min"]


def test_partitions_are_registered_beyond_the_limit_of_a_call(cloud: Cloud) -> None:
    specs = [PartitionSpec.from_milliseconds(START + n * 60_000) for n in range(205)]
    first = register_partitions(cloud.glue, EVENTS, specs)
    assert (first.registered_count, first.already_known_count, first.failed) == (205, 0, [])
    second = register_partitions(cloud.glue, EVENTS, specs)
    assert (second.registered_count, second.already_known_count, second.failed) == (0, 205, [])
    assert cloud.partitions() == {spec.values(): EVENTS.partition_location(spec) for spec in specs}


def test_an_expression_selects_what_its_range_contains(cloud: Cloud) -> None:
    day = 86_400_000
    specs = [PartitionSpec.from_milliseconds(START + n * 7 * 3_600_000 + n * 60_000) for n in range(40)]
    register_partitions(cloud.glue, EVENTS, specs)
    first, last = PartitionSpec.from_milliseconds(START + day), PartitionSpec.from_milliseconds(START + 5 * day, "hour")
    for time_range in (PartitionRange(first, last), PartitionRange(first, None), PartitionRange(None, last)):
        inside = {spec.values() for spec in specs if time_range.contains(spec)}
        assert 0 < len(inside) < len(specs)
        assert set(cloud.partitions(time_range.expression())) == inside


def test_the_lake_is_registered_from_its_listing(cloud: Cloud) -> None:
    partition = PartitionSpec.from_milliseconds(START)
    cloud.put(EVENTS.layout.key("events", partition, CommitBatch.single(0, 0)))
    cloud.put(EVENTS.layout.key("events", partition, CommitBatch.single(1, 0)))
    cloud.put(EVENTS.layout.folder("events", partition) + "_SUCCESS")
    cloud.put("secor/events/dt=2026-13-45/hr=00/min=00/1_0_00000000000000000000.gz")
    for registered in (1, 0):
        report = register_lake(cloud.glue, cloud.s3, cloud.ledger, EVENTS)
        assert (report.registered_count, report.object_count, report.marker_count, report.foreign_count) == (
            registered,
            2,
            1,
            1,
        )
    assert cloud.partitions() == {partition.values(): EVENTS.partition_location(partition)}
    assert cloud.ledger.summary("events").object_count == 2


def test_files_are_loaded_once(cloud: Cloud, tmp_path: Path) -> None:
    source = tmp_path / "rows.ndjson"
    source.write_text("".join(json.dumps({"at": START + n * 20_000, "n": n}) + "\n" for n in range(30)))
    loader = Loader(
        cloud.glue, cloud.s3, cloud.ledger, EVENTS, lambda: datetime(2026, 11, 22, tzinfo=UTC),
        tmp_path / "work", tmp_path / "rejects", buffer_bytes=1000,
    )  # fmt: skip
    options = LoadOptions(RowMapping("at", service=FieldOrConstant.parse("=mine")))
    assert [loader.load([source], options).loaded_count for _ in range(2)] == [30, 0]
    assert len(cloud.partitions()) == 10
    listing = cloud.s3.list_objects_v2(Bucket=EVENTS.bucket, Prefix="secor/events/")["Contents"]
    lines = [
        line
        for entry in listing
        for line in gzip.decompress(
            cloud.s3.get_object(Bucket=EVENTS.bucket, Key=entry["Key"])["Body"].read()
        ).splitlines()
    ]
    assert sorted(json.loads(json.loads(line)["data"])["n"] for line in lines) == list(range(30))
    summary = cloud.ledger.summary("events")
    assert summary == LedgerSummary(10, 10, sum(entry["Size"] for entry in listing))
