"""The production path on one machine: the service with real boto3 clients against the embedded AWS over HTTP.

`data-hist aws` serves Athena, Glue and S3 of a lake; `data-hist serve` with DATA_HIST_ENGINE=athena is its client, as
it would be AWS's. The answers are those of the same service with the engine in its own process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import boto3

from tests.e2e.conftest import Server

ANY_CREDENTIALS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
QUERIES = (
    "SELECT servicename, customerid, count(*) AS events FROM events GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT createdtimestamp, datatags, data FROM events ORDER BY createdtimestamp, data LIMIT 1500",
    "SELECT map(ARRAY['a'], ARRAY[1.5]) AS m, CAST(NULL AS varchar) AS n, '' AS e, TIMESTAMP '2026-11-20 01:02' AS t",
)


def test_boto3_clients_answer_as_the_engine_in_the_process(
    aws_endpoint: str, start_server: Callable[..., Server], server: Server, tmp_path: Path
) -> None:
    athena = boto3.client("athena", endpoint_url=aws_endpoint, region_name="eu-central-1", **ANY_CREDENTIALS)
    athena.create_work_group(Name="operators")
    through_boto3 = start_server(
        tmp_path / "service",
        DATA_HIST_ENGINE="athena",
        DATA_HIST_ATHENA_WORK_GROUP_OPERATOR="operators",
        DATA_HIST_OUTPUT_LOCATION_OPERATOR="s3://data-hist-results/operators/",
        AWS_ENDPOINT_URL=aws_endpoint,
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ACCESS_KEY_ID="any",
        AWS_SECRET_ACCESS_KEY="any",
    )
    for query in QUERIES:
        assert through_boto3.rows(query) == server.rows(query)
    failed = through_boto3.post("/query", json={"query": "SELECT evnt FROM events", "retention_minutes": 5})
    assert (failed.status_code, failed.json()["code"]) == (400, "ColumnNotFound")
    running = through_boto3.submit("SELECT count(*) AS n FROM events a, events b, events c, events d", wait_seconds=0)
    cancelled = through_boto3.client.delete(f"/v0/data_hist/query/{running['query_id']}")
    assert cancelled.json()["status"] == "CANCELLED"
    ids = athena.list_query_executions(WorkGroup="operators")["QueryExecutionIds"]
    assert len(ids) == len(QUERIES) + 1  # an open service's caller is an operator
    newest = athena.get_query_execution(QueryExecutionId=ids[-1])["QueryExecution"]
    assert newest["ResultConfiguration"]["OutputLocation"] == f"s3://data-hist-results/operators/{ids[-1]}.csv"
