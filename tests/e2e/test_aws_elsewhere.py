"""`data-hist aws --s3-endpoint --glue-endpoint`: queries here over a store and a catalogue that are elsewhere.

Elsewhere is another `data-hist aws` process, as it could be any S3-compatible store and AWS's own Glue.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

from tests.e2e.conftest import COMMAND, copy_of

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


@contextlib.contextmanager
def aws(data_dir: Path, *options: str) -> Iterator[str]:
    """A `data-hist aws` process on a free port; its URL."""
    command = [str(COMMAND), "aws", "--port", "0", "--data-dir", str(data_dir), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **CREDENTIALS}
    ) as process:
        try:
            assert process.stdout is not None
            url = None
            while url is None:
                line = process.stdout.readline()
                assert line, "data-hist aws ended before it listened"
                url = re.search(r"http://[\d.:]+", line)
            yield url.group()
        finally:
            process.terminate()
            process.wait(60)


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )


def rows(athena: Any, sql: str) -> list[list[str | None]]:
    place = {"OutputLocation": "s3://data-hist-results/here/"}
    context = {"Database": "data_hist"}
    started = athena.start_query_execution(QueryString=sql, ResultConfiguration=place, QueryExecutionContext=context)
    execution_id = started["QueryExecutionId"]
    deadline = time.monotonic() + 120
    while True:
        status = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]
        if status["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status["State"] == "SUCCEEDED", status
    answer = athena.get_query_results(QueryExecutionId=execution_id)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in answer[1:]]


def test_a_lake_elsewhere_is_queried_and_written_here(tmp_path: Path, loaded_lake: Path) -> None:
    sql = "SELECT servicename, count(*) FROM events GROUP BY 1 ORDER BY 1"
    with (
        aws(copy_of(loaded_lake, tmp_path / "elsewhere")) as elsewhere,
        aws(tmp_path / "here", "--s3-endpoint", elsewhere, "--glue-endpoint", elsewhere) as here,
    ):
        counted = rows(client("athena", here), sql)
        assert counted == rows(client("athena", elsewhere), sql)
        assert [count for _, count in counted] == ["300", "300"]
        # the result object lies elsewhere, and both endpoints show the same buckets and tables
        names = [
            {found["Key"] for found in client("s3", url).list_objects_v2(Bucket="data-hist-results")["Contents"]}
            for url in (here, elsewhere)
        ]
        assert names[0] == names[1]
        assert any(name.startswith("here/") and name.endswith(".csv") for name in names[0])
        client("s3", here).put_object(Bucket="data-hist-results", Key="put/a+b é.txt", Body=b"through here")
        stored = client("s3", elsewhere).get_object(Bucket="data-hist-results", Key="put/a+b é.txt")
        assert stored["Body"].read() == b"through here"
        assert (
            client("s3", here).get_object(Bucket="data-hist-results", Key="put/a+b é.txt")["Body"].read(7) == b"through"
        )
        tables = client("glue", here).get_tables(DatabaseName="data_hist")["TableList"]
        assert {table["Name"] for table in tables} >= {"events", "metrics", "logs"}
    assert not (tmp_path / "here" / "s3").exists()
