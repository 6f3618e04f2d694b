"""The compaction job as Glue starts it: a process with the script, the zip of our modules, and clients of AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.glue_job_zip import CODE_NAME, JOB_MODULE
from deploy.lambda_zip import ROOT, reachable_modules, write_zip
from glue.dynamodb_ledger import DynamoDbLedger
from glue.dynamodb_table import LEDGER, create_table
from glue.registration import register_lake
from tests.contract.compaction_lake import EVENTS, CompactionLake, row
from tests.e2e.aws_endpoint import client, endpoint_process

SCRIPT = ROOT / "deploy" / "glue_jobs" / "compact.py"
GLUES_OWN = ("--JOB_NAME", "compact", "--TempDir", "s3://elsewhere/", "--job-language", "python")
LEDGER_TABLE = "data-hist-ledger"
SQL = (
    "SELECT servicename, count(*), sum(customerid), min(datatags['n']), max(createdtimestamp), min(min)"
    " FROM events WHERE dt = '2026-11-22' AND min BETWEEN '01' AND '02' GROUP BY 1 ORDER BY 1"
)


class Job:
    """Runs the job in a folder of its own, where none of the repository can be imported but what the zip has."""

    def __init__(self, folder: Path, url: str, dynamodb_url: str) -> None:
        self.folder = folder
        shutil.copy(SCRIPT, folder)
        write_zip(list(reachable_modules(JOB_MODULE).values()), (), set(), folder / CODE_NAME)
        self.environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": CODE_NAME, "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        }  # fmt: skip

    def run(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        """The report, the last line of what the job prints; without one, what it complains of."""
        done = subprocess.run(
            [sys.executable, SCRIPT.name, "--table", "events", "--ledger_table", LEDGER_TABLE, *arguments, *GLUES_OWN],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert {"left_alone": sorted(GLUES_OWN[::2])} in told[:1] or not told
        report: dict[str, Any] = told[-1] if len(told) > 1 else {"stderr": done.stderr}
        return report


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of the embedded AWS, and of a DynamoDB for the ledger, which it has none of."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with endpoint_process(tmp_path_factory.mktemp("data")) as url:
            yield url, f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def lake(urls: tuple[str, str]) -> CompactionLake:
    url, dynamodb_url = urls
    dynamodb = client("dynamodb", dynamodb_url)
    create_table(dynamodb, LEDGER, LEDGER_TABLE)
    ledger = DynamoDbLedger(dynamodb, LEDGER_TABLE, clock=lambda: datetime.now(UTC))
    return CompactionLake(client("glue", url), client("s3", url), ledger).fill()


@pytest.fixture
def job(urls: tuple[str, str], lake: CompactionLake, tmp_path: Path) -> Job:
    return Job(tmp_path, *urls)


def test_a_lake_is_compacted_goes_back_and_loses_what_is_old(
    urls: tuple[str, str], lake: CompactionLake, job: Job
) -> None:
    athena = client("athena", urls[0])
    before = answer(athena, SQL)
    assert len(before) == 5
    planned = job.run("--dry_run", "true", "--min_kb", "0")
    assert (planned["compacted"], planned["is_dry_run"], lake.is_compacted(0)) == (3, True, False)
    done = job.run("--older_than_days", "0.01", "--min_kb", "0")
    assert (done["compacted"], done["rows"], done["failed"]) == (3, 45, [])
    assert all(lake.is_compacted(minute) for minute in range(3))
    assert answer(athena, SQL) == before
    shares = {found.share for found in lake.ledger.known_objects(EVENTS.reference)}
    assert shares == {"rows", "bytes"}
    assert job.run("--min_kb=0")["already"] == 3
    assert job.run("--mode", "undo")["undone"] == 3
    assert not any(lake.is_compacted(minute) for minute in range(3))
    assert job.run("--min_kb", "0", "--days", "36000")["compacted"] == 3
    assert job.run("--mode", "remove_old")["raw_objects"] == 0
    removed = job.run("--mode", "remove_old", "--grace_days", "0")
    assert (removed["raw_objects"], lake.listed("secor/")) == (9, [])
    assert answer(athena, SQL) == before
    assert lake.rows() == lake.expected


def test_failures_are_told_and_the_others_are_compacted(lake: CompactionLake, job: Job) -> None:
    job.run("--min_kb", "0")
    for minute in (5, 6):
        lake.put(minute, 0, row(minute))
    lake.s3.put_object(Bucket=EVENTS.bucket, Key=lake.key(6, 9), Body=b"not gzip")
    register_lake(lake.glue, lake.s3, lake.ledger, EVENTS)
    report = job.run("--min_kb", "0", exit_code=1)
    assert (report["compacted"], report["failed_count"]) == (1, 1)
    assert "9.gz" in report["failed"][0]["reason"]
    assert "NoSuchBucket" in job.run("--lake_bucket", "nowhere", exit_code=1)["stderr"]


def test_a_name_that_nearly_is_one_ends_the_job(job: Job) -> None:
    assert "did you mean --mode?" in job.run("--mod", "undo", exit_code=2)["stderr"]


def answer(athena: Any, sql: str) -> list[list[str | None]]:
    """The rows of a query, its header first."""
    query_id = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": EVENTS.database},
        ResultConfiguration={"OutputLocation": f"s3://{EVENTS.bucket}/results/"},
    )["QueryExecutionId"]
    while (state := athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"])["State"] in (
        "QUEUED",
        "RUNNING",
    ):
        time.sleep(0.02)
    assert state["State"] == "SUCCEEDED", state
    rows = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]
