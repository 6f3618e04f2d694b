"""The audit trail over a real server: what customers and the operator can SELECT of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import COMMAND, Server, copy_of, data_hist, environment_of

TRAIL = """SELECT customerid, json_extract_scalar(data, '$.event_type') AS event_type, data FROM events
           WHERE servicename = 'data-hist' ORDER BY createdtimestamp"""


def submitted(server: Server, key: str, query: str, **members: Any) -> Any:
    body = {"query": query, "wait_seconds": 50, **members}
    return server.post("/query", json=body, headers={"X-API-Key": key}).json()


def trail(server: Server, key: str) -> list[tuple[int, str, dict[str, Any]]]:
    query_id = submitted(server, key, TRAIL)["query_id"]
    page = server.post("/next", json={"query_id": query_id}, headers={"X-API-Key": key}).json()
    return [(row["customerid"], row["event_type"], json.loads(row["data"])) for row in page["result_set"]]


def test_the_trail_is_in_the_lake_for_whom_it_concerns(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    data_dir = copy_of(loaded_lake, tmp_path / "audited")

    def key(*customers: str) -> str:
        options = [part for customer in customers for part in ("--customer", customer)]
        return str(data_hist("keys", "create", *options, data_dir=data_dir)["key"])

    first, second, both, operator = key("11000"), key("11001"), key("11000", "11001"), key()
    server = start_server(data_dir, DATA_HIST_REQUEST_EVENTS="audit")
    marker = "SELECT 'of the first' AS x, count(*) AS n FROM events WHERE servicename = ?"
    query_id = submitted(server, first, marker, parameters=["parameter-secret"])["query_id"]
    server.post("/next", json={"query_id": query_id}, headers={"X-API-Key": first})
    server.get(f"/download/{query_id}", params={"format": "ndjson"}, headers={"X-API-Key": first})
    assert submitted(server, first, "DROP TABLE events")["code"] == "StatementNotAllowed"
    submitted(server, second, "SELECT 'of the second' AS x")
    submitted(server, both, "SELECT 'of both' AS x")
    assert server.get("/queries").status_code == 401
    assert server.client.get("/metrics", headers={"X-API-Key": first}).status_code == 403
    assert server.stop() == 0

    server = start_server(data_dir)
    own = trail(server, first)
    assert [(customer, event_type) for customer, event_type, _ in own] == [
        (11000, "query_submitted"),
        (11000, "query_ended"),
        (11000, "result_read"),
        (11000, "result_read"),
        (11000, "query_submitted"),
    ]
    asked, ended, pages, download, refused = (data for _, _, data in own)
    assert (asked["decision"], asked["query"], asked["query_id"]) == ("allowed", marker, query_id)
    assert (asked["client"], asked["tenant"], asked["key_id"]) == ("127.0.0.1", "customers:11000", first.split(".")[0])
    assert (ended["status"], ended["query_id"]) == ("FINISHED", query_id)
    assert ended["scanned_bytes"] > 0
    assert (pages["how"], download["how"], download["format"]) == ("pages", "download", "ndjson")
    assert (refused["decision"], refused["code"], refused["query"]) == (
        "refused",
        "StatementNotAllowed",
        "DROP TABLE events",
    )
    assert {customer for customer, _, _ in trail(server, second)} == {11001}
    everything = trail(server, operator)
    queries = {data["query"] for _, event_type, data in everything if event_type == "query_submitted"}
    assert queries == {marker, "DROP TABLE events", "SELECT 'of the second' AS x", "SELECT 'of both' AS x"}
    assert [customer for customer, _, data in everything if data.get("query") == "SELECT 'of both' AS x"] == [1]
    [nobody] = [data for _, event_type, data in everything if event_type == "access_refused"]
    assert (nobody["status"], nobody["route"], nobody["client"]) == (401, "/v0/data_hist/queries", "127.0.0.1")
    told = json.dumps(everything)
    assert "parameter-secret" not in told
    assert not [secret for secret in (first, second, both, operator) if secret.split(".")[1] in told]


def test_usage_on_the_command_line(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_DAILY_BYTES="1000000000")
    server.submit("SELECT count(*) AS n FROM events")

    def usage(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, "usage", "--url", server.url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of())

    told = usage("--by", "tenant")
    assert told.returncode == 0, told.stderr
    assert "operator" in told.stdout
    assert "of 1.0 GB used today" in told.stderr
    report = json.loads(usage("--json").stdout)
    assert [line["query_count"] for line in report["usage"]] == [1]
    assert report["budget"]["used_bytes"] == report["usage"][0]["scanned_bytes"] > 0
    wrong = usage("--from", "2026-11-22", "--to", "2026-11-01")
    assert wrong.returncode == 2
    assert "from" in wrong.stderr
