"""The whole service over real HTTP: the three calls, what is asked wrongly, waiting, leaving, keys, stopping."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import COMMAND, LAKE_ROWS, Server, copy_of, data_hist, environment_of

SLOW_QUERY = "SELECT count(*) AS n FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d"


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came to be")


def test_the_three_calls(server: Server) -> None:
    query = "SELECT servicename, count(*) AS events FROM events GROUP BY servicename ORDER BY servicename"
    submitted = server.post("/query", json={"query": query, "retention_minutes": 60}).json()
    query_id = submitted["query_id"]
    status = eventually(lambda: (s := server.get(f"/status/{query_id}").json())["is_terminal"] and s)
    page = server.post("/next", json={"query_id": query_id, "results_per_page": 10}).json()
    assert status["status"] == "FINISHED"
    assert status["has_result"] is True
    assert page == {
        "query_id": query_id,
        "columns": [{"name": "servicename", "type": "varchar"}, {"name": "events", "type": "bigint"}],
        "result_set": [
            {"servicename": "filebeat", "events": LAKE_ROWS // 2},
            {"servicename": "iam-admin", "events": LAKE_ROWS // 2},
        ],
        "row_count": 2,
    }


@pytest.mark.parametrize("results_per_page", [1, 7, 100, 600, 1000])
def test_pages_join_to_the_whole_result(server: Server, results_per_page: int) -> None:
    query = "SELECT createdtimestamp, data FROM events ORDER BY createdtimestamp"
    limit = min(LAKE_ROWS, results_per_page * 20)
    query_id = server.submit(f"{query} LIMIT {limit}")["query_id"]
    numbers: list[int] = []
    body: dict[str, Any] = {"query_id": query_id, "results_per_page": results_per_page}
    while True:
        page = server.post("/next", json=body).json()
        assert server.post("/next", json=body).json() == page
        assert 1 <= page["row_count"] == len(page["result_set"]) <= results_per_page
        numbers += [json.loads(row["data"])["number"] for row in page["result_set"]]
        if "paging_token" not in page:
            break
        body["paging_token"] = page["paging_token"]
    assert numbers == list(range(limit))


def test_an_empty_result_is_one_empty_page(server: Server) -> None:
    query_id = server.submit("SELECT servicename FROM events WHERE servicename = 'nobody'")["query_id"]
    page = server.post("/next", json={"query_id": query_id}).json()
    assert page["row_count"] == 0
    assert page["result_set"] == []
    assert page["columns"] == [{"name": "servicename", "type": "varchar"}]
    assert "paging_token" not in page


def test_status_says_what_was_read_and_spared(server: Server) -> None:
    whole = server.submit("SELECT count(*) AS n FROM events", reuse=False)["statistics"]
    hour = {"from": "2026-11-20T03:00:00Z", "to": "2026-11-20T04:00:00Z"}
    part = server.submit("SELECT count(*) AS n FROM events", **hour)
    assert server.post("/next", json={"query_id": part["query_id"]}).json()["result_set"] == [{"n": 60}]
    assert 0 < part["statistics"]["data_scanned_bytes"] < whole["data_scanned_bytes"]
    assert part["statistics"]["partitions_skipped"] > 0
    assert part["statistics"]["bytes_skipped"] > 0


def test_parameters_are_values(server: Server) -> None:
    rows = server.rows("SELECT count(*) AS n FROM events WHERE servicename = ?", parameters=["filebeat' OR '1'='1"])
    assert rows == [{"n": 0}]


def test_downloads(server: Server) -> None:
    query = "SELECT servicename, count(*) AS n, cast(NULL AS varchar) AS nothing, '' AS empty"
    query += " FROM events GROUP BY 1 ORDER BY 1"
    query_id = server.submit(query)["query_id"]

    def download(**options: Any) -> httpx.Response:
        answer = server.get(f"/download/{query_id}", **options)
        assert answer.status_code == 200, answer.text
        return answer

    expected = [{"servicename": name, "n": 300, "nothing": None, "empty": ""} for name in ("filebeat", "iam-admin")]
    csv_text = download().text
    assert [row["servicename"] for row in csv.DictReader(io.StringIO(csv_text))] == ["filebeat", "iam-admin"]
    assert ',,""' in csv_text
    assert [json.loads(line) for line in download(params={"format": "ndjson"}).text.splitlines()] == expected
    parquet = download(headers={"Accept": "application/vnd.apache.parquet"}).content
    assert pq.read_table(io.BytesIO(parquet)).to_pylist() == expected
    arrow = download(headers={"Accept": "application/vnd.apache.arrow.stream"}).content
    assert pa.ipc.open_stream(arrow).read_all().to_pylist() == expected
    assert server.get(f"/download/{query_id}", params={"format": "xls"}).status_code == 406


def test_validate(server: Server) -> None:
    dry_run = server.post("/validate", json={"query": "SELECT count(*) FROM events", "from": "2026-11-20T09:00:00Z"})
    assert dry_run.json()["is_valid"] is True
    assert dry_run.json()["statement_kind"] == "SELECT"
    assert 0 < dry_run.json()["object_count"] < LAKE_ROWS
    assert dry_run.json()["estimated_bytes"] > 0
    wrong = server.post("/validate", json={"query": "SELECT servicenam FROM events"}).json()
    assert wrong["is_valid"] is False
    assert wrong["problems"][0]["location"] == {"line": 1, "column": 8}
    assert "servicename" in wrong["problems"][0]["suggestions"]


def test_tables(server: Server) -> None:
    tables = {table["name"]: table for table in server.get("/tables").json()["tables"]}
    assert {"events", "metrics", "logs"} <= set(tables)
    events = server.get("/tables/events").json()
    assert events == tables["events"]
    assert events["location"] == "s3://data-hist-lake/secor/events/"
    assert events["partition_keys"] == ["dt", "hr", "min"]
    assert events["freshness"]["object_count"] > 0
    assert {column["name"] for column in events["columns"] if not column["is_allowed"]} == {"resourceid", "operationid"}


@pytest.mark.parametrize(
    ("query", "code", "location"),
    [
        ("SELECT", "InvalidQuerySyntax", None),
        ("SELEKT 1", "InvalidQuerySyntax", {"line": 1, "column": 1}),
        ("SELECT 'unterminated", "InvalidQuerySyntax", None),
        ("(" * 10_000 + "SELECT 1" + ")" * 10_000, "InvalidQuerySyntax", None),
        ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "InvalidQuerySyntax", None),
        ("SELECT 1; SELECT 2", None, None),
        ("   ", "InvalidQuerySyntax", None),
        ("-- nothing", "InvalidQuerySyntax", None),
        ("DELETE FROM events", "StatementNotAllowed", None),
        ("CREATE TABLE x AS SELECT 1 AS a", "StatementNotAllowed", None),
        ("SELECT * FROM nosuch", "TableNotFound", {"line": 1, "column": 15}),
        ("SELECT\n  servicenam FROM events", "ColumnNotFound", {"line": 2, "column": 3}),
        ("SELECT resourceid FROM events", "ColumnNotAllowed", {"line": 1, "column": 8}),
        ("SELECT nosuch(1)", "FunctionNotFound", {"line": 1, "column": 8}),
        ("SELECT 1 + 'a'", "TypeMismatch", None),
        ("SELECT ?", "InvalidParameter", None),
        ("SELECT * FROM read_csv('/etc/passwd')", None, None),
        ("SELECT * FROM '/etc/passwd'", None, None),
        ("SELECT * FROM information_schema.tables", None, None),
    ],
)
def test_sql_at_fault_is_refused_at_once(server: Server, query: str, code: str | None, location: Any) -> None:
    answer = server.post("/query", json={"query": query})
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert code is None or problem["code"] == code, problem
    assert location is None or problem["location"] == location
    assert problem["retryable"] is False


def test_sql_that_is_too_long(server: Server) -> None:
    answer = server.post("/query", json={"query": "SELECT 1 -- " + "x" * 300_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "StatementTooLong")


def test_sql_at_the_limit_is_taken(server: Server) -> None:
    query = "SELECT 1 AS n -- "
    assert server.rows(query + "x" * (262_144 - len(query))) == [{"n": 1}]


def test_a_fault_only_the_engine_sees(server: Server) -> None:
    """The same body from submit that waits, from status and from next."""
    query = "SELECT 1 / (count(*) - count(*)) AS n FROM events"
    waiting = server.post("/query", json={"query": query, "wait_seconds": 50})
    assert waiting.status_code == 400, waiting.text
    query_id = waiting.json()["query_id"]
    status, page = server.get(f"/status/{query_id}"), server.post("/next", json={"query_id": query_id})
    for answer in (waiting, status, page):
        assert answer.status_code == 400
        assert answer.json()["query_id"] == query_id
        assert answer.json()["engine_error_name"] == "DIVISION_BY_ZERO"
    assert server.get("/queries?status=FAILED").json()["queries"][0]["query_id"] == query_id


def test_over_the_byte_limit(server: Server) -> None:
    answer = server.post("/query", json={"query": "SELECT count(*) FROM events", "max_bytes_scanned": 1})
    assert (answer.status_code, answer.json()["code"]) == (400, "ScanLimitExceeded")


@pytest.mark.parametrize("query_id", ["nonsense", "6f2b1c0e-4d7a-4c1e-9b3f-2a8d5e7c9b10", "..%2f..%2fsecret"])
def test_unknown_ids(server: Server, query_id: str) -> None:
    answers = [
        server.get(f"/status/{query_id}"),
        server.get(f"/download/{query_id}"),
        server.client.delete(f"/v0/data_hist/query/{query_id}"),
        server.post("/next", json={"query_id": query_id}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4


def test_tokens_that_are_not_ours(server: Server) -> None:
    first = server.submit("SELECT data FROM events LIMIT 10")["query_id"]
    other = server.submit("SELECT service FROM events LIMIT 10")["query_id"]
    token = server.post("/next", json={"query_id": first, "results_per_page": 3}).json()["paging_token"]
    bent = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "x",
        token * 2 if len(token) <= 512 else "y",
        "\u00e9",
        "../../x",
    ]
    for bad in bent:
        answer = server.post("/next", json={"query_id": first, "paging_token": bad})
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPagingToken"), bad
    foreign = server.post("/next", json={"query_id": other, "paging_token": token})
    assert (foreign.status_code, foreign.json()["code"]) == (400, "InvalidPagingToken")
    assert server.get("/queries", params={"paging_token": token}).status_code == 400


def test_next_before_the_end_and_cancel_twice(server: Server) -> None:
    submitted = server.post("/query", json={"query": SLOW_QUERY}).json()
    query_id = submitted["query_id"]
    early = server.post("/next", json={"query_id": query_id})
    assert (early.status_code, early.json()["code"]) == (409, "QueryNotFinished")
    assert early.json()["retryable"] is True
    first = server.client.delete(f"/v0/data_hist/query/{query_id}")
    second = server.client.delete(f"/v0/data_hist/query/{query_id}")
    assert first.status_code == second.status_code == 200
    assert first.json()["status"] == second.json()["status"] == "CANCELLED"
    late = server.post("/next", json={"query_id": query_id})
    assert (late.status_code, late.json()["code"]) == (409, "QueryCancelled")


def test_a_long_poll_ends_with_the_query(server: Server) -> None:
    query_id = server.post("/query", json={"query": SLOW_QUERY}).json()["query_id"]
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            httpx.get(f"{server.url}/v0/data_hist/status/{query_id}?wait_seconds=50", timeout=60)
        )
    )
    waiting.start()
    server.client.delete(f"/v0/data_hist/query/{query_id}")
    waiting.join(40)
    assert answers[0].json()["status"] == "CANCELLED"


def test_a_client_that_leaves_while_waiting_leaves_nothing_behind(server: Server) -> None:
    query_id = server.post("/query", json={"query": SLOW_QUERY}).json()["query_id"]
    path = f"/v0/data_hist/status/{query_id}?wait_seconds=50"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: leaver\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.encode())
        eventually(lambda: in_flight(server) == 2)  # the one that waits, and the scrape itself
    line = eventually(lambda: [line for line in server.logs() if line.get("request_id") == "leaver"])[0]
    assert line["status"] == 499
    assert in_flight(server) == 1
    assert server.get(f"/status/{query_id}").json()["is_terminal"] is False
    server.client.delete(f"/v0/data_hist/query/{query_id}")


def in_flight(server: Server) -> float:
    text = server.client.get("/metrics").text
    return float(text.split("\ndata_hist_http_requests_in_flight ")[1].split("\n")[0])


def test_idempotency(server: Server) -> None:
    body, headers = {"query": "SELECT 1 AS n"}, {"Idempotency-Key": str(uuid.uuid4())}
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.url}/v0/data_hist/query", json=body, headers=headers))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["query_id"] for answer in answers}) == 1
    other = server.post("/query", json={"query": "SELECT 2 AS n"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "IdempotencyConflict")
    waiting = server.post("/query", json={**body, "wait_seconds": 10}, headers=headers)
    assert waiting.json()["query_id"] == answers[0].json()["query_id"]


def test_a_10_megabyte_body_is_refused_without_being_read_whole(server: Server) -> None:
    """The refusal comes while most of the body is still unsent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /v0/data_hist/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000\r\n\r\n" + b'{"query": "'
        )
        answer = b""
        while b"RequestTooLarge" not in answer:
            chunk = connection.recv(65536)
            assert chunk, answer
            answer += chunk
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert (
        server.post("/query", content=b" " * 10_000_000, headers={"Content-Type": "application/json"}).status_code
        == 413
    )


def test_history_pages(server: Server) -> None:
    wanted = [server.submit(f"SELECT {number} AS n")["query_id"] for number in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while len(seen) < 5:
        answer = server.get("/queries", params=params).json()
        seen += [query["query_id"] for query in answer["queries"]]
        params["paging_token"] = answer["paging_token"]
    assert seen[:5] == wanted[::-1]


def test_documentation_works_offline(server: Server) -> None:
    page = server.client.get("/v0/ui/")
    assert page.status_code == 200
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text
    for asset in (
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-ui-config.json",
    ):
        assert server.client.get(f"/v0/ui/{asset}").status_code == 200
    contract = server.client.get("/v0/openapi.json").json()
    assert contract["openapi"] == "3.0.3"
    landing = server.client.get("/").text
    assert landing.count("curl -s") == 3
    assert server.client.get("/v0/ui").status_code == 307


def test_metrics_are_those_of_the_documentation(server: Server) -> None:
    server.submit("SELECT count(*) AS n FROM events")
    text = server.client.get("/metrics").text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {
        "data_hist_http_requests_total",
        "data_hist_http_request_duration_seconds",
        "data_hist_http_requests_in_flight",
        "data_hist_queries",
        "data_hist_queries_running",
        "data_hist_queue_depth",
        "data_hist_scanned_bytes_total",
        "data_hist_spool_bytes",
    } <= names
    guide = (Path(__file__).resolve().parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    for name in names:
        if not name.endswith("_created"):
            assert name in guide, f"{name} is not in docs/http-api.md"


def test_the_log_is_json_and_keeps_secrets(server: Server) -> None:
    server.post("/query", json={"query": "SELECT 'hush-hush' AS n"})
    assert all("timestamp" in line and "level" in line for line in server.logs())
    assert "hush-hush" not in server.log_path.read_text(encoding="utf-8")


# --- servers of their own ----------------------------------------------------------------------------------------


def test_keys_decide_who_sees_what(start_server: Callable[..., Server]) -> None:
    server = start_server()
    data_dir = server.data_dir
    assert server.get("/queries").status_code == 200

    alice = data_hist("keys", "create", "--customer", "11000", data_dir=data_dir)
    bob = data_hist("keys", "create", "--customer", "11001", data_dir=data_dir)
    operator = data_hist("keys", "create", "--scope", "query", "--scope", "operate", data_dir=data_dir)
    eventually(lambda: server.get("/queries").status_code == 401, 5)

    def client(key: str) -> httpx.Client:
        return httpx.Client(base_url=f"{server.url}/v0/data_hist", headers={"X-API-Key": key}, timeout=60)

    def count(key: str) -> int:
        with client(key) as caller:
            body = {"query": "SELECT count(*) AS n FROM events", "wait_seconds": 50}
            query_id = caller.post("/query", json=body).json()["query_id"]
            rows: list[dict[str, int]] = caller.post("/next", json={"query_id": query_id}).json()["result_set"]
            return rows[0]["n"]

    assert count(alice["key"]) + count(bob["key"]) == count(operator["key"]) == LAKE_ROWS
    assert count(alice["key"]) == 400

    with client(alice["key"]) as caller:
        query_id = caller.post("/query", json={"query": "SELECT 1 AS n", "wait_seconds": 50}).json()["query_id"]
        token_query = caller.post(
            "/query", json={"query": "SELECT data FROM events LIMIT 5", "wait_seconds": 50}
        ).json()
        page = caller.post("/next", json={"query_id": token_query["query_id"], "results_per_page": 2}).json()
    with client(bob["key"]) as stranger:
        body = {"query_id": token_query["query_id"], "paging_token": page["paging_token"]}
        assert stranger.get(f"/status/{query_id}").status_code == 404
        assert stranger.post("/next", json=body).status_code == 404
        assert stranger.get(f"/download/{query_id}").status_code == 404
        assert stranger.delete(f"/query/{query_id}").status_code == 404
        assert query_id not in stranger.get("/queries").text
        assert httpx.get(f"{server.url}/metrics", headers={"X-API-Key": bob["key"]}).status_code == 403
    assert httpx.get(f"{server.url}/metrics", headers={"X-API-Key": operator["key"]}).status_code == 200
    assert httpx.get(f"{server.url}/v0/data_hist/queries", auth=("anyone", alice["key"])).status_code == 200
    assert httpx.get(f"{server.url}/health/ready").status_code == 200

    data_hist("keys", "revoke", alice["id"], data_dir=data_dir)
    time.sleep(1.1)  # the second for which an answer is remembered
    with client(alice["key"]) as revoked:
        answer = revoked.get("/queries")
    assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationRequired")
    for key in (bob, operator):
        data_hist("keys", "revoke", key["id"], data_dir=data_dir)
    time.sleep(1.1)
    assert server.get("/queries").status_code == 401, "revoking the last key must not open the service"
    text = server.log_path.read_text(encoding="utf-8")
    assert all(key["key"] not in text and key["key"].split(".")[-1] not in text for key in (alice, bob, operator))


def test_any_other_address_is_refused_until_a_key_exists(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    command = [str(COMMAND), "serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(data_dir)]
    refused = subprocess.run(command, capture_output=True, timeout=60, env=environment_of(), check=False)
    assert refused.returncode != 0
    assert b"keys create" in refused.stderr
    assert b"listening" not in refused.stderr


def test_behind_gunicorn(loaded_lake: Path, tmp_path: Path) -> None:
    """As the container image runs it: refused without a key, served with one, stopped gracefully."""
    data_dir = copy_of(loaded_lake, tmp_path)
    port = free_port()
    options = ["--worker-class", "api.worker.Worker", "--workers", "1", "--bind", f"127.0.0.1:{port}"]
    command = [str(COMMAND.with_name("gunicorn")), "api.asgi:application()", *options]
    environment = environment_of(DATA_HIST_DATA_DIR=str(data_dir))
    refused = subprocess.run(command, capture_output=True, timeout=60, env=environment, check=False)
    assert refused.returncode != 0
    assert b"keys create" in refused.stderr

    key = data_hist("keys", "create", data_dir=data_dir)["key"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                eventually(lambda: answers(client, "/health/ready"))
                assert client.get("/v0/data_hist/queries").status_code == 401
                headers = {"X-API-Key": key}
                body = {"query": "SELECT count(*) AS n FROM events", "wait_seconds": 50}
                query_id = client.post("/v0/data_hist/query", json=body, headers=headers).json()["query_id"]
                page = client.post("/v0/data_hist/next", json={"query_id": query_id}, headers=headers).json()
                assert page["result_set"] == [{"n": LAKE_ROWS}]
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def test_a_bad_setting_stops_the_start(tmp_path: Path) -> None:
    environment = environment_of(DATA_HIST_MAX_CONCURRENT_QUERIES="many", DATA_HIST_LOG_LEVEL="loud")
    command = [str(COMMAND), "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    refused = subprocess.run(command, capture_output=True, timeout=60, env=environment, check=False)
    assert refused.returncode != 0
    assert b"DATA_HIST_MAX_CONCURRENT_QUERIES" in refused.stderr
    assert b"DATA_HIST_LOG_LEVEL" in refused.stderr


@pytest.mark.parametrize(("with_signal", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_graceful_stop(start_server: Callable[..., Server], with_signal: int, exit_code: int) -> None:
    """A long poll is answered, a running query is given back, the exit is clean, and the next process has it all."""
    server = start_server()
    finished = server.submit("SELECT count(*) AS n FROM events")["query_id"]
    running = server.post("/query", json={"query": SLOW_QUERY}).json()["query_id"]
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            httpx.get(f"{server.url}/v0/data_hist/status/{running}?wait_seconds=50", timeout=60)
        )
    )
    waiting.start()
    eventually(lambda: in_flight(server) == 2)
    began = time.monotonic()
    assert server.stop(with_signal) == exit_code
    waiting.join()
    assert answers[0].status_code == 200
    assert time.monotonic() - began < 30

    successor = start_server(server.data_dir)
    assert successor.post("/next", json={"query_id": finished}).json()["result_set"] == [{"n": LAKE_ROWS}]
    status = successor.get(f"/status/{running}").json()
    assert status["status"] in ("QUEUED", "RUNNING", "FAILED")
    ended = successor.client.delete(f"/v0/data_hist/query/{running}").json()
    assert ended["is_terminal"] is True


def test_results_survive_a_crash(start_server: Callable[..., Server]) -> None:
    server = start_server()
    query_id = server.submit("SELECT data FROM events ORDER BY createdtimestamp")["query_id"]
    first = server.post("/next", json={"query_id": query_id, "results_per_page": 10}).json()
    server.stop(signal.SIGKILL)
    successor = start_server(server.data_dir)
    second = successor.post(
        "/next", json={"query_id": query_id, "results_per_page": 10, "paging_token": first["paging_token"]}
    ).json()
    assert [json.loads(row["data"])["number"] for row in second["result_set"]] == list(range(10, 20))


def test_the_service_writes_its_own_requests_to_the_lake(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_REQUEST_EVENTS="on")
    for _ in range(3):
        server.submit("SELECT 1 AS n")
    server.stop()
    successor = start_server(server.data_dir)
    rows = successor.rows("SELECT customerid, data FROM events WHERE servicename = 'data-hist'")
    events = [json.loads(row["data"]) for row in rows]
    submitted = [event for event in events if event.get("route") == "/v0/data_hist/query"]
    assert {row["customerid"] for row in rows} == {1}
    assert [(event["event_type"], event["status"], event["tenant"]) for event in submitted] == [
        ("request", 200, "operator")
    ] * 3
    assert all(event["duration_ms"] > 0 and event["query_id"] for event in submitted)


def test_a_full_queue_says_429(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_MAX_CONCURRENT_QUERIES="1", DATA_HIST_MAX_QUEUED_QUERIES="2")
    answers = [server.post("/query", json={"query": SLOW_QUERY, "reuse": False}) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "TooManyQueries"
    assert int(refused[0].headers["retry-after"]) >= 1
    for answer in answers:
        if answer.status_code == 200:
            server.client.delete(f"/v0/data_hist/query/{answer.json()['query_id']}")


def test_the_limit_of_the_service(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_MAX_BYTES_SCANNED="10")
    answer = server.post("/query", json={"query": "SELECT count(*) FROM events"})
    assert (answer.status_code, answer.json()["code"]) == (400, "ScanLimitExceeded")


def test_malformed_rows_are_left_out_counted_and_named(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    """A bad line, a cut gzip, an empty and a foreign object in one partition: the query answers, and says so."""
    data_dir = copy_of(loaded_lake, tmp_path / "broken")
    folder = data_dir / "s3" / "data-hist-lake" / "secor" / "events" / "dt=2026-11-25" / "hr=00" / "min=00"
    folder.mkdir(parents=True)
    good = [
        json.dumps({"customerid": 11000, "servicename": "broken", "createdtimestamp": 1795564800000 + n, "data": "{}"})
        for n in range(50)
    ]
    lines = "\n".join([*good[:10], '{"customerid": 11000, "service', *good[10:]]) + "\n"
    whole = gzip.compress(lines.encode())
    (folder / "1_0_00000000000000000000.gz").write_bytes(whole)
    (folder / "1_1_00000000000000000000.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "1_2_00000000000000000000.gz").write_bytes(b"")
    (folder / "1_3_00000000000000000000.gz").write_bytes(b"no gzip at all")
    data_hist("partitions", "register", "events", data_dir=data_dir)
    server = start_server(data_dir)
    query = "SELECT count(*) AS n FROM events WHERE servicename = 'broken'"
    execution = server.submit(query)
    assert execution["status"] == "FINISHED", json.dumps(execution)
    assert execution["statistics"]["rows_malformed"] >= 1
    warned = {(warning["object"].rpartition("/")[2][:3], warning.get("line")) for warning in execution["warnings"]}
    assert ("1_0", 11) in warned
    assert {name for name, _ in warned} >= {"1_0", "1_1", "1_3"}
    assert all(
        warning["object"].startswith("s3://data-hist-lake/secor/events/dt=2026-11-25/")
        for warning in execution["warnings"]
    )
    counted = server.post("/next", json={"query_id": execution["query_id"]}).json()["result_set"][0]["n"]
    assert 50 <= counted < 100

    strict = server.post("/query", json={"query": query, "strict": True, "wait_seconds": 50})
    assert (strict.status_code, strict.json()["code"]) == (400, "MalformedRows")
