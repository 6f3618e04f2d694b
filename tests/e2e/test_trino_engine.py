"""The service as a client of Trino: of a scripted coordinator, and of a real one where there is one.

With a real one (DATA_HIST_TEST_TRINO_URL) this is the production path on one machine: Trino's Hive connector reads
Glue and S3 from `data-hist aws` over HTTP, the service plans, runs and pages through it, and the answers are those of
the same service with the engine in its own process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Server
from tests.fakes.trino import trino_server

TRINO_URL = os.environ.get("DATA_HIST_TEST_TRINO_URL", "")
CATALOG = "data_hist_judge"
QUERIES = (
    "SELECT servicename, customerid, count(*) AS events FROM events GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT createdtimestamp, datatags, data FROM events ORDER BY createdtimestamp, data LIMIT 1500",
    "SELECT map(ARRAY['a'], ARRAY[1.5]) AS m, CAST(NULL AS varchar) AS n, '' AS e, TIMESTAMP '2026-11-20 01:02' AS t",
    "SELECT dt, hr, count(*) AS n, min(createdtimestamp) AS first FROM events GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT json_extract_scalar(data, '$.type') AS type, count(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC, 1",
    "WITH busy AS (SELECT servicename AS s FROM events GROUP BY 1 HAVING count(*) > 1)"
    " SELECT e.servicename, count(*) AS n FROM events e JOIN busy b ON e.servicename = b.s GROUP BY 1 ORDER BY 1",
    "SELECT servicename, n FROM (SELECT servicename, row_number() OVER (PARTITION BY servicename ORDER BY data,"
    " createdtimestamp) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2",
    "SELECT DISTINCT ARRAY[customerid, 1] AS a FROM events ORDER BY 1",
    "SELECT * FROM events WHERE false",
    "SHOW TABLES",
    "DESCRIBE events",
)


@pytest.fixture
def serve(aws_endpoint: str, start_server: Callable[..., Server], tmp_path: Path) -> Callable[[str, str], Server]:
    """Starts the service over a Trino and the lake behind `aws_endpoint`."""

    def start(trino_url: str, catalog: str) -> Server:
        return start_server(
            tmp_path / "service",
            DATA_HIST_ENGINE="trino",
            DATA_HIST_TRINO_URL=trino_url,
            DATA_HIST_TRINO_CATALOG=catalog,
            AWS_ENDPOINT_URL=aws_endpoint,
            AWS_DEFAULT_REGION="eu-central-1",
            AWS_ACCESS_KEY_ID="any",
            AWS_SECRET_ACCESS_KEY="any",
        )

    return start


def test_a_query_goes_to_trino_and_its_rows_come_back(serve: Callable[[str, str], Server]) -> None:
    def varchar(name: str) -> dict[str, Any]:
        return {"name": name, "type": "varchar", "typeSignature": {"rawType": "varchar", "arguments": []}}

    with trino_server() as trino:
        server = serve(trino.base_url, "hive")
        trino.default = {"columns": [varchar("s"), varchar("d")], "data": [["é", None], ["", '{"a":[1,"x"]}']]}
        assert server.rows("SELECT servicename AS s, datatags AS d FROM events WHERE dt = '2026-11-20'") == [
            {"s": "é", "d": None},
            {"s": "", "d": {"a": [1, "x"]}},
        ]
        (sent,) = trino.begun
        assert "FROM data_hist.events" in sent
        assert "json_format(CAST(" in sent
        trino.default = None  # stays RUNNING
        running = server.submit("SELECT count(*) AS n FROM events", wait_seconds=0)
        cancelled = server.client.delete(f"/v0/data_hist/query/{running['query_id']}")
        assert cancelled.json()["status"] == "CANCELLED"


@pytest.fixture
def catalog(aws_endpoint: str) -> Iterator[str]:
    """A catalog of the real Trino over the lake behind `aws_endpoint`."""
    properties = {
        "hive.metastore": "glue",
        "hive.metastore.glue.region": "eu-central-1",
        "hive.metastore.glue.endpoint-url": aws_endpoint,
        "hive.metastore.glue.aws-access-key": "any",
        "hive.metastore.glue.aws-secret-key": "any",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": aws_endpoint,
        "s3.region": "eu-central-1",
        "s3.path-style-access": "true",
        "s3.aws-access-key": "any",
        "s3.aws-secret-key": "any",
    }
    told = ", ".join(f"\"{name}\" = '{value}'" for name, value in properties.items())
    run(f"DROP CATALOG IF EXISTS {CATALOG}")
    run(f"CREATE CATALOG {CATALOG} USING hive WITH ({told})")
    yield CATALOG
    run(f"DROP CATALOG IF EXISTS {CATALOG}")


def run(sql: str) -> None:
    headers = {"X-Trino-User": "judge"}
    told = httpx.post(f"{TRINO_URL}/v1/statement", content=sql, headers=headers).json()
    while "nextUri" in told:
        told = httpx.get(told["nextUri"], headers=headers, timeout=60).json()
    assert "error" not in told, told["error"]


@pytest.mark.skipif(not TRINO_URL, reason="DATA_HIST_TEST_TRINO_URL names no Trino server")
def test_a_real_trino_answers_as_the_engine_in_the_process(
    catalog: str, serve: Callable[[str, str], Server], server: Server
) -> None:
    through_trino = serve(TRINO_URL, catalog)
    for query in QUERIES:
        assert through_trino.rows(query) == server.rows(query), query
    failed = through_trino.post("/query", json={"query": "SELECT evnt FROM events", "retention_minutes": 5})
    assert (failed.status_code, failed.json()["code"]) == (400, "ColumnNotFound")
    partitions = [row["partition"] for row in through_trino.rows("SHOW PARTITIONS events")]
    assert partitions == sorted(row["partition"] for row in server.rows("SHOW PARTITIONS events"))
    running = through_trino.submit("SELECT count(*) AS n FROM events a, events b, events c, events d", wait_seconds=0)
    cancelled = through_trino.client.delete(f"/v0/data_hist/query/{running['query_id']}")
    assert cancelled.json()["status"] == "CANCELLED"
