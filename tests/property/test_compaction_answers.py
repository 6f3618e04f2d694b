"""A query's answer before compaction is its answer after it: generated records, awkward ones among them; real data."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api.lake import Lake, open_lake
from embedded.athena import Athena
from embedded.s3 import S3
from glue.compaction import CompactionOptions, CompactionReport, compact
from glue.compaction_jobs import JobRunner
from glue.compaction_settling import Settling
from glue.layout import CommitBatch
from glue.loading import FieldOrConstant, Loader, LoadOptions, RowMapping
from glue.partition_spec import PartitionSpec
from glue.registration import register_lake
from tests.shared_data import shared_data

START = datetime(2021, 7, 21, 6, 58, tzinfo=UTC)
ENVELOPE = (
    "resourceid, customerid, operationid, servicename, createdtimestamp, datatags, arrivaltimestamp, service, data,"
    " dt, hr, min"
)
QUERIES = (
    f"SELECT {ENVELOPE} FROM events ORDER BY dt, hr, min, createdtimestamp, customerid, data",
    "SELECT dt, hr, min, count(*), count(data), min(createdtimestamp), max(arrivaltimestamp), sum(customerid)"
    " FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT count(*), count(datatags), count_if(data IS NULL), count_if(data = ''), count(DISTINCT servicename)"
    " FROM events",
    "SELECT customerid, count(*) FROM events WHERE hr = '07' AND min < '02' GROUP BY 1 ORDER BY 1",
    "SELECT json_extract_scalar(data, '$.type'), count(*) FROM events GROUP BY 1 ORDER BY 1",
    "SELECT key, value, count(*) FROM events CROSS JOIN UNNEST(datatags) AS t(key, value) GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT length(data), data FROM events WHERE createdtimestamp BETWEEN 1626850680000 AND 1626850800000"
    " ORDER BY createdtimestamp, 1, 2 LIMIT 50",
)


class Questions:
    """A lake, its embedded Athena, and the answers to QUERIES."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake: Lake = open_lake(folder)
        self.spec = self.lake.tables["events"]
        self.athena = Athena(
            glue=self.lake.glue, s3=self.lake.s3, path=folder / "athena.sqlite", temporary_directory=folder / "tmp",
            memory_limit="500MB",
        )  # fmt: skip

    def close(self) -> None:
        self.athena.close()
        self.lake.close()

    def answers(self) -> list[list[tuple[str | None, ...]]]:
        return [self._rows(sql) for sql in QUERIES]

    def _rows(self, sql: str) -> list[tuple[str | None, ...]]:
        execution_id = self.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.spec.database},
            ResultConfiguration={"OutputLocation": "s3://data-hist-results/"},
        )["QueryExecutionId"]
        while True:
            status = self.athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]
            if status["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                break
        assert status["State"] == "SUCCEEDED", status
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=execution_id)
        rows = (row for page in pages for row in page["ResultSet"]["Rows"])
        return [tuple(datum.get("VarCharValue") for datum in row["Data"]) for row in rows]

    def compact(self, *, workers: int = 1) -> CompactionReport:
        factory = partial(S3, self.folder / "s3")
        with JobRunner(self.lake.s3, workers=workers, client_factory=factory) as runner:
            return compact(
                self.lake.glue, self.lake.s3, self.lake.ledger, self.spec, runner=runner, now=datetime.now(UTC),
                options=CompactionOptions(minimum_bytes=0),
            )  # fmt: skip


@pytest.fixture
def questions(tmp_path: Path) -> Iterator[Questions]:
    made = Questions(tmp_path / "lake")
    yield made
    made.close()


def awkward_record(chance: random.Random, number: int, start: datetime) -> bytes:
    """One line; most are plain, some need care, some are malformed."""
    created = int(start.timestamp() * 1000) + chance.randrange(60_000)
    kind = chance.choice(("login", "löschen", "\U0001f600", "a\u2028b", ""))
    record: dict[str, Any] = {
        "resourceid": chance.choice(("", None)), "customerid": 11000 + number % 3, "operationid": "",
        "servicename": chance.choice(("iam", "billing", 'quo"te', "back\\slash")), "createdtimestamp": created,
        "datatags": chance.choice(({}, None, {"k": "v"}, {"k": "", "ü": "x\ny"}, {"b": "1", "a": "2"})),
        "arrivaltimestamp": created + 5, "service": "s",
        "data": json.dumps({"type": kind, "n": number, "x": chance.choice((1.1, 10**20, None, "1e3"))}),
    }  # fmt: skip
    match chance.randrange(16):
        case 0:
            del record["data"], record["datatags"]
        case 1:
            record["data"] = {"nested": [1.10, 1e-7, True, None, {"ü": chance.random()}], "n": number}
        case 2:
            record["data"] = chance.choice((5, -0.0, 1e16, 2.50, True, [], {}, 10**25))
        case 3:
            record["customerid"] = chance.choice(("11001", 11001.0, 11001))
        case 4:
            record["unknown"] = {"deep": [{"er": 1}]}
        case 5:
            record["datatags"] = {"n": 1, "b": False, "o": {"p": [1.50]}, "none": None}
        case 6:
            return chance.choice((b"not json", b'{"customerid":', b"\xff\xfe", b"[1]", b'{"customerid":1.5}', b""))
        case 7:
            record["customerid"] = chance.choice((True, "x", [], 1 << 63, "1.5"))
        case 8:
            text = json.dumps(record, ensure_ascii=False)
            return text.replace('"service": "s"', '"service": "s", "service": "t"').encode()
    separators = chance.choice(((",", ":"), (", ", ": "), (" ,", " :")))
    return json.dumps(record, ensure_ascii=chance.random() < 0.5, separators=separators).encode()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_records(questions: Questions, seed: int) -> None:
    chance = random.Random(seed)
    lake, spec = questions.lake, questions.spec
    for minute in range(5):
        start = START + timedelta(minutes=minute)
        for offset in range(chance.randrange(1, 4)):
            lines = [awkward_record(chance, number, start) for number in range(60)]
            key = spec.layout.key(spec.topic, PartitionSpec.from_datetime(start), CommitBatch.single(0, offset))
            lake.s3.put_object(Bucket=spec.bucket, Key=key, Body=gzip.compress(b"\n".join(lines) + b"\n"))
    register_lake(lake.glue, lake.s3, lake.ledger, spec)
    before = questions.answers()
    report = questions.compact()
    assert (report.failed, report.compacted_count, report.malformed_count > 0) == ([], 5, True)
    assert questions.answers() == before


def load(questions: Questions, files: list[Path], mapping: RowMapping, records: str | None = None) -> None:
    lake = questions.lake
    loader = Loader(
        lake.glue, lake.s3, lake.ledger, questions.spec, lambda: datetime.now(UTC), questions.folder / "loading",
        questions.folder / "rejects", settle=Settling(lake.glue, lake.s3, lake.ledger),
    )  # fmt: skip
    assert loader.load(files, LoadOptions(mapping, records)).to_json()["failed"] == 0


@pytest.mark.real_data
def test_real_events_of_github_and_cloudtrail(questions: Questions) -> None:
    github = sorted(shared_data("github-events-2021").glob("2021*.json"))
    cloudtrail = sorted(shared_data("cloudtrail-invictus").glob("*.json"))
    half = questions.folder / "half.json"
    half.write_bytes(github[0].read_bytes()[: 1 << 20].rpartition(b"\n")[0] + b"\n")
    events = RowMapping("created_at", service=FieldOrConstant.parse("=github"), tags=("type",))
    load(questions, [half], events)
    before = questions.answers()
    report = questions.compact(workers=2)
    assert (report.failed, report.malformed_count) == ([], 0)
    assert questions.answers() == before
    # into the same minutes in part: these go back to raw objects by themselves
    load(questions, cloudtrail[:20], RowMapping("eventTime", service=FieldOrConstant.parse("eventSource")), "Records")
    load(questions, github, events)
    before = questions.answers()
    report = questions.compact(workers=2)
    assert report.failed == []
    assert report.already_count > 0
    assert questions.answers() == before
