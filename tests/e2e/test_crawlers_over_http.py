"""Crawlers through real boto3 and the endpoint, and in the process that `data-hist aws` becomes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.glue import Glue
from glue.crawl_run import CrawlOutcome
from tests.contract.test_crawlers_contract import TestDefinitions  # noqa: F401  # collected here, with the fixture below
from tests.e2e.aws_endpoint import client, endpoint_over, endpoint_process


@pytest.fixture
def glue(tmp_path: Path) -> Iterator[Any]:
    served = Glue(tmp_path / "catalogue.sqlite", crawl=lambda _glue, _crawler, _stop: CrawlOutcome())
    with endpoint_over(glue=served) as url:
        found = client("glue", url)
        yield found
        found.close()
    served.close()


def test_a_lake_is_crawled_and_queried(tmp_path: Path) -> None:
    with endpoint_process(tmp_path / "data", module="cli.aws_endpoint") as url:
        s3, glue, athena = (client(name, url) for name in ("s3", "glue", "athena"))
        for bucket in ("lake", "results"):
            s3.create_bucket(Bucket=bucket)
        for day in (21, 22):
            body = f'{{"Id": {day}, "name": "n{day}"}}\n'.encode()
            s3.put_object(Bucket="lake", Key=f"topic/dt=2026-11-{day}/x.json", Body=body)
        glue.create_database(DatabaseInput={"Name": "d"})
        glue.create_crawler(Name="c", Role="r", DatabaseName="d", Targets={"S3Targets": [{"Path": "s3://lake/topic/"}]})
        glue.start_crawler(Name="c")
        while glue.get_crawler(Name="c")["Crawler"]["State"] != "READY":
            time.sleep(0.02)
        (crawl,) = glue.list_crawls(CrawlerName="c")["Crawls"]
        assert (crawl["State"], crawl["DPUHour"]) == ("COMPLETED", 0)
        assert glue.get_crawler_metrics(CrawlerNameList=["c"])["CrawlerMetricsList"][0]["TablesCreated"] == 1
        execution = athena.start_query_execution(
            QueryString="SELECT id, name, dt FROM topic ORDER BY id",
            QueryExecutionContext={"Database": "d"},
            ResultConfiguration={"OutputLocation": "s3://results/"},
        )["QueryExecutionId"]
        while athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]["State"] in (
            "QUEUED",
            "RUNNING",
        ):
            time.sleep(0.02)
        rows = athena.get_query_results(QueryExecutionId=execution)["ResultSet"]["Rows"][1:]
        assert [[cell["VarCharValue"] for cell in row["Data"]] for row in rows] == [
            ["21", "n21", "2026-11-21"],
            ["22", "n22", "2026-11-22"],
        ]
        for each in (s3, glue, athena):
            each.close()
