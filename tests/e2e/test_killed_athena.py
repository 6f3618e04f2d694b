"""The endpoint is killed while a query runs: the next one tells the truth about it, and has lost nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.aws_endpoint import REPOSITORY, client

ENDLESS = (
    "SELECT sum(a.x * b.x * c.x) FROM UNNEST(sequence(1, 9000)) a(x), UNNEST(sequence(1, 9000)) b(x),"
    " UNNEST(sequence(1, 9000)) c(x)"
)
OUTPUT = {"OutputLocation": "s3://results/out/"}


def started(data_dir: Path) -> tuple[subprocess.Popen[str], str]:
    """An endpoint in a process group of its own, and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "embedded.server", "--port", "0", "--data-dir", str(data_dir), "--threads", "4"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split(" on ")[1].split(",")[0]


def killed(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()


def ended(athena: Any, execution_id: str, *, states: tuple[str, ...]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
        if found["Status"]["State"] in states:
            return found
        time.sleep(0.02)


def test_a_killed_endpoint_ends_honestly(tmp_path: Path) -> None:
    process, url = started(tmp_path)
    try:
        client("s3", url).create_bucket(Bucket="results")
        athena = client("athena", url)
        done = athena.start_query_execution(QueryString="SELECT 7 AS a", ResultConfiguration=OUTPUT)["QueryExecutionId"]
        ended(athena, done, states=("SUCCEEDED",))
        running = athena.start_query_execution(QueryString=ENDLESS, ResultConfiguration=OUTPUT)["QueryExecutionId"]
        ended(athena, running, states=("RUNNING",))
    finally:
        killed(process)
    process, url = started(tmp_path)
    try:
        athena = client("athena", url)
        status = athena.get_query_execution(QueryExecutionId=running)["QueryExecution"]["Status"]
        assert status["State"] == "FAILED"
        assert status["AthenaError"]["Retryable"] is True
        rows = athena.get_query_results(QueryExecutionId=done)["ResultSet"]["Rows"]
        assert [row["Data"][0]["VarCharValue"] for row in rows] == ["a", "7"]
        sql = "SELECT 8 AS a"
        again = athena.start_query_execution(QueryString=sql, ResultConfiguration=OUTPUT)["QueryExecutionId"]
        ended(athena, again, states=("SUCCEEDED",))
        assert set(athena.list_query_executions()["QueryExecutionIds"]) == {done, running, again}
    finally:
        killed(process)
