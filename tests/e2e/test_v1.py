"""v1 is v0 over another envelope: the same calls and shapes, tables of their own, one queue, one set of keys."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import COMMAND, Server, data_hist, running_server

ROWS = [
    {"at": f"2026-11-20T10:{minute:02}:30Z", "who": 11000 + minute % 2, "svc": "iam-admin", "n": minute}
    for minute in range(20)
]


@pytest.fixture(scope="module")
def v1_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("v1")
    file = folder / "rows.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    data_dir = folder / "data"
    for table in ("data_hist_v1.events", "events"):
        fields = ["--time", "at", "--customer", "who", "--service", "svc"]
        assert data_hist("load", table, str(file), *fields, data_dir=data_dir)["loaded"] == len(ROWS)
    with running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off") as running:
        yield running


def call(server: Server, version: str) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/{version}/data_hist", timeout=60)


def rows(client: httpx.Client, sql: str, **members: Any) -> Any:
    body = {"query": sql, "retention_minutes": 5, "wait_seconds": 50, **members}
    answer = client.post("/query", json=body)
    assert answer.status_code == 200, answer.text
    return client.post("/next", json={"query_id": answer.json()["query_id"]}).json()["result_set"]


def test_the_v1_names_are_columns_and_the_v0_names_are_none(v1_server: Server) -> None:
    with call(v1_server, "v1") as v1, call(v1_server, "v0") as v0:
        counted = "SELECT service_name, count(*) AS n, min(created_at) AS first FROM events GROUP BY 1"
        assert rows(v1, counted) == [{"service_name": "iam-admin", "n": 20, "first": 1795168830000}]
        assert set(rows(v1, "SELECT * FROM events LIMIT 1")[0]) >= {"customer_id", "created_at", "arrived_at", "tags"}
        for client, column in ((v1, "servicename"), (v0, "service_name")):
            answer = client.post("/query", json={"query": f"SELECT {column} FROM events"})
            assert (answer.status_code, answer.json()["code"]) == (400, "ColumnNotFound")
        answer = v1.post("/query", json={"query": "SELECT resource_id FROM events"})
        assert answer.json()["code"] == "ColumnNotAllowed"


def test_each_version_has_its_tables_and_no_other(v1_server: Server) -> None:
    with call(v1_server, "v1") as v1, call(v1_server, "v0") as v0:
        assert [table["database"] for table in v1.get("/tables").json()["tables"]] == ["data_hist_v1"]
        assert {table["name"] for table in v0.get("/tables").json()["tables"]} == {"events", "logs", "metrics"}
        described = v1.get("/tables/events").json()
        assert described["freshness"]["partition_count"] == 20
        assert "created_at" in [column["name"] for column in described["columns"]]
        assert v1.get("/tables/logs").status_code == 404
        assert len(v1.get("/tables/events/partitions").json()["partitions"]) == 20
        for client, other in ((v1, "data_hist.events"), (v0, "data_hist_v1.events")):
            answer = client.post("/query", json={"query": f"SELECT count(*) FROM {other}"})
            assert "cannot be queried here" in answer.json()["detail"]


def test_time_prunes_by_the_v1_column(v1_server: Server) -> None:
    with call(v1_server, "v1") as v1:
        body = {"query": "SELECT count(*) FROM events", "from": "2026-11-20T10:00:00Z", "to": "2026-11-20T10:05:00Z"}
        (table,) = v1.post("/validate", json=body).json()["tables"]
        assert table["table"] == "data_hist_v1.events"
        assert table["first_partition"] == "dt=2026-11-20/hr=09/min=55"  # the allowed clock skew
        at = 1795168800000
        sql = f"SELECT count(*) AS n FROM events WHERE created_at >= {at} AND created_at < {at + 300_000}"
        assert rows(v1, sql) == [{"n": 5}]
        execution = v1.post("/query", json={"query": sql, "wait_seconds": 50}).json()
        assert execution["freshness"]["missing_partitions"] == 0
        empty = v1.post(
            "/query", json={"query": "SELECT * FROM events WHERE created_at < 1000000000000", "wait_seconds": 50}
        ).json()
        explained = v1.get(f"/queries/{empty['query_id']}/explain-empty").json()
        assert explained["tables"][0]["table"] == "data_hist_v1.events"
        assert explained["tables"][0]["reasons"]


def test_a_query_is_the_same_under_both(v1_server: Server) -> None:
    with call(v1_server, "v1") as v1, call(v1_server, "v0") as v0:
        sql = "SELECT json_extract_scalar(data, '$.n') AS n FROM events ORDER BY created_at"
        query_id = v1.post("/query", json={"query": sql, "retention_minutes": 5, "wait_seconds": 50}).json()["query_id"]
        assert v0.get(f"/status/{query_id}").json()["status"] == "FINISHED"
        first = v1.post("/next", json={"query_id": query_id, "results_per_page": 7}).json()
        second = {"query_id": query_id, "results_per_page": 7, "paging_token": first["paging_token"]}
        assert v0.post("/next", json=second).json() == v1.post("/next", json=second).json()
        downloaded = v1.get(f"/download/{query_id}", params={"format": "csv"}).text.split()
        assert downloaded == ['"n"', *(f'"{row["n"]}"' for row in ROWS)]
        link = v1.post(f"/download/{query_id}/link", json={}).json()["url"]
        assert "/v1/data_hist/download/" in link
        assert query_id in [execution["query_id"] for execution in v0.get("/queries").json()["queries"]]


def test_the_same_key_with_the_other_version_is_another_request(v1_server: Server) -> None:
    with call(v1_server, "v1") as v1, call(v1_server, "v0") as v0:
        body = {"query": "SELECT count(*) AS n FROM events", "retention_minutes": 5}
        headers = {"Idempotency-Key": "both-versions"}
        assert v1.post("/query", json=body, headers=headers).status_code == 200
        assert v1.post("/query", json=body, headers=headers).status_code == 200
        assert v0.post("/query", json=body, headers=headers).status_code == 422


def test_a_person_finds_it(v1_server: Server) -> None:
    contract = httpx.get(f"{v1_server.url}/v1/openapi.json").json()
    assert contract["info"]["version"] == "v1"
    assert all(path.startswith("/v1/data_hist/") for path in contract["paths"])
    page = httpx.get(f"{v1_server.url}/v1/ui/")
    assert page.status_code == 200
    assert "swagger" in page.text.lower()
    command = [COMMAND, "query", "SELECT count(*) AS n FROM events", "--api", "v1", "--url", v1_server.url]
    shown = subprocess.run([*command, "--format", "csv"], capture_output=True, check=True, text=True, timeout=120)
    assert shown.stdout.split() == ['"n"', '"20"']
    tables = data_hist("tables", data_dir=v1_server.data_dir)["tables"]
    assert ("data_hist_v1", "events") in {(table["database"], table["name"]) for table in tables}
