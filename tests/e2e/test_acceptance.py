"""What a user of the service relies on beyond the three calls: results that end, a queue that is fair, large results
that are the same by every road, queries that can be stopped, rows that nobody can read.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import COMMAND, Server, copy_of, data_hist, environment_of

ENDLESS = "SELECT count(*) AS n FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d"


def caller(server: Server, key: str) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/v0/data_hist", headers={"X-API-Key": key}, timeout=60)


def test_a_hundred_thousand_rows_are_the_same_by_every_road(server: Server) -> None:
    sql = """
        SELECT a.x * 1000 + b.x AS n, 'row ' || CAST(a.x AS varchar) AS s, CAST(b.x AS double) / 3 AS f,
               IF(b.x % 7 = 0, NULL, DECIMAL '1.10') AS d, IF(b.x % 5 = 0, '', NULL) AS e
        FROM UNNEST(sequence(0, 99)) AS a (x), UNNEST(sequence(0, 999)) AS b (x)"""
    query_id = server.submit(sql)["query_id"]
    rows: list[dict[str, Any]] = []
    body: dict[str, Any] = {"query_id": query_id}
    while True:
        page = server.post("/next", json=body).json()
        rows += page["result_set"]
        if "paging_token" not in page:
            break
        body["paging_token"] = page["paging_token"]
    assert len(rows) == 100_000

    def download(format_: str) -> bytes:
        return server.get(f"/download/{query_id}", params={"format": format_}).content

    assert [json.loads(line) for line in download("ndjson").splitlines()] == rows
    typed = pq.read_table(io.BytesIO(download("parquet"))).to_pylist()
    assert pa.ipc.open_stream(download("arrow")).read_all().to_pylist() == typed
    assert [{**row, "d": None if row["d"] is None else str(row["d"])} for row in typed] == rows
    records = list(csv.DictReader(io.StringIO(download("csv").decode())))
    assert [(int(record["n"]), record["s"]) for record in records] == [(row["n"], row["s"]) for row in rows]


def test_an_endless_query_stops_when_it_is_told_to(server: Server) -> None:
    query_id = server.post("/query", json={"query": ENDLESS}).json()["query_id"]
    while server.get(f"/status/{query_id}").json()["status"] == "QUEUED":
        time.sleep(0.02)
    assert server.client.delete(f"/v0/data_hist/query/{query_id}").json()["status"] == "CANCELLED"
    assert server.rows("SELECT 1 AS n") == [{"n": 1}]


@pytest.mark.slow
def test_a_result_ends_and_its_bytes_with_it(start_server: Callable[..., Server]) -> None:
    """retention_minutes is at least 1, so this test takes a minute."""
    server = start_server(DATA_HIST_SWEEP_INTERVAL_SECONDS="1")
    query_id = server.submit("SELECT 'only-in-this-result' AS t", retention_minutes=1)["query_id"]
    assert server.post("/next", json={"query_id": query_id}).status_code == 200
    kept = [server.data_dir / "spool", server.data_dir / "s3" / "data-hist-results"]

    def files() -> list[Path]:
        return [path for folder in kept for path in folder.rglob("*") if path.is_file() and query_id in str(path)]

    def traces() -> list[Path]:
        found = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
        return [path for path in found if b"only-in-this-result" in path.read_bytes()]

    assert traces()
    deadline = time.monotonic() + 150
    while server.post("/next", json={"query_id": query_id}).status_code != 410:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    for answer in (server.post("/next", json={"query_id": query_id}), server.get(f"/download/{query_id}")):
        assert (answer.status_code, answer.json()["code"]) == (410, "ResultExpired")
    while traces() or files():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_one_slot_is_shared_fairly(start_server: Callable[..., Server]) -> None:
    """One tenant queues ten queries first; those of two others do not wait for all of them."""
    server = start_server(DATA_HIST_MAX_CONCURRENT_QUERIES="1")
    keys = [
        data_hist("keys", "create", "--customer", str(11000 + n), data_dir=server.data_dir)["key"] for n in range(3)
    ]
    time.sleep(1.1)  # for as long the service may remember that it was open
    with caller(server, keys[0]) as greedy, caller(server, keys[1]) as one, caller(server, keys[2]) as other:
        blocker = greedy.post("/query", json={"query": ENDLESS}).json()["query_id"]
        count = {"query": "SELECT count(*) AS n FROM events", "reuse": False}  # ten runs, not one that is shared
        queued = [greedy.post("/query", json=count).json() for _ in range(10)]
        modest = [client.post("/query", json=count).json() for client in (one, other)]
        assert {query["status"] for query in (*queued, *modest)} == {"QUEUED"}
        greedy.delete(f"/query/{blocker}")

        def ended_at(client: httpx.Client, query: dict[str, Any]) -> str:
            told = client.get(f"/status/{query['query_id']}", params={"wait_seconds": 50}).json()
            assert told["status"] == "FINISHED", told
            return str(told["ended_at"])

        ends = sorted(ended_at(greedy, query) for query in queued)
        for client, query in zip((one, other), modest, strict=True):
            assert ended_at(client, query) <= ends[3]


def test_what_is_in_an_unreadable_row_is_shown_to_operators_only(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    data_dir = copy_of(loaded_lake, tmp_path / "odd")
    folder = data_dir / "s3" / "data-hist-lake" / "secor" / "events" / "dt=2026-11-20" / "hr=00" / "min=00"
    good = {"customerid": 11000, "createdtimestamp": 1, "data": "{}"}
    bad = {"customerid": 11001, "createdtimestamp": "s3cret", "data": "{}"}
    (folder / "1_9_00000000000000000000.gz").write_bytes(
        gzip.compress("".join(json.dumps(record) + "\n" for record in (good, bad, good)).encode())
    )
    bound = data_hist("keys", "create", "--customer", "11000", data_dir=data_dir)["key"]
    operator = data_hist("keys", "create", data_dir=data_dir)["key"]
    server = start_server(data_dir)
    body = {"query": "SELECT count(*) AS n FROM events", "wait_seconds": 50}
    with caller(server, bound) as client:
        seen = client.post("/query", json=body)
    assert [warning["line"] for warning in seen.json()["warnings"]] == [2]
    assert "s3cret" not in seen.text
    with caller(server, operator) as client:
        assert "s3cret" in client.post("/query", json=body).text


@pytest.mark.parametrize("condition", ["CAST(b.servicename AS bigint) = 1", "b.datatags['nosuch'] = 'x'"])
def test_a_condition_that_fails_tells_nothing_of_other_tenants(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path, condition: str
) -> None:
    """The tenant has no rows, so there is nothing the condition could fail about."""
    data_dir = copy_of(loaded_lake, tmp_path / "tenants")
    nobody = data_hist("keys", "create", "--customer", "12345", data_dir=data_dir)["key"]
    server = start_server(data_dir)
    with caller(server, nobody) as client:
        for relation in ("events b WHERE", "events a JOIN events b ON a.data = b.data AND"):
            sql = f"SELECT count(*) AS n FROM {relation} {condition}"
            told = client.post("/query", json={"query": sql, "wait_seconds": 50})
            assert told.status_code == 200, told.text
            page = client.post("/next", json={"query_id": told.json()["query_id"]}).json()
            assert page["result_set"] == [{"n": 0}]


# fails about every row of customer 11001, holds for 40 of the 400 rows of 11000
ONLY_OURS = (
    "1 / (CAST(json_extract_scalar({0}.data, '$.number') AS bigint) % 3 - 1) <> 7"
    " AND json_extract_scalar({0}.data, '$.level') = 'ERROR'"
)
SAME = "SELECT 1 FROM events b WHERE b.createdtimestamp = a.createdtimestamp AND " + ONLY_OURS.format("b")
CORRELATED = {
    "EXISTS": (f"SELECT count(*) AS n FROM events a WHERE EXISTS ({SAME})", 40),
    "NOT EXISTS": (f"SELECT count(*) AS n FROM events a WHERE NOT EXISTS ({SAME})", 360),
    "IN": (
        "SELECT count(*) AS n FROM events a WHERE a.createdtimestamp IN"
        f" (SELECT b.createdtimestamp FROM events b WHERE b.service = a.service AND {ONLY_OURS.format('b')})",
        40,
    ),
    "NOT IN": (
        "SELECT count(*) AS n FROM events a WHERE a.createdtimestamp NOT IN"
        f" (SELECT b.createdtimestamp FROM events b WHERE b.service = a.service AND {ONLY_OURS.format('b')})",
        360,
    ),
    "scalar": (
        "SELECT count(*) AS n FROM events a WHERE (SELECT count(*) FROM events b"
        f" WHERE b.createdtimestamp = a.createdtimestamp AND {ONLY_OURS.format('b')}) = 1",
        40,
    ),
    "SELECT list": (f"SELECT count(*) AS n FROM (SELECT EXISTS ({SAME}) AS found FROM events a) WHERE found", 40),
    "scalar in SELECT list": (
        "SELECT sum(m) AS n FROM (SELECT (SELECT count(*) FROM events b"
        f" WHERE b.createdtimestamp = a.createdtimestamp AND {ONLY_OURS.format('b')}) AS m FROM events a)",
        40,
    ),
    "LATERAL": (
        "SELECT sum(l.m) AS n FROM events a CROSS JOIN LATERAL (SELECT count(*) AS m FROM events b"
        f" WHERE b.createdtimestamp = a.createdtimestamp AND {ONLY_OURS.format('b')}) l",
        40,
    ),
    "two levels": (
        "SELECT count(*) AS n FROM events a WHERE EXISTS (SELECT 1 FROM events c WHERE"
        f" c.createdtimestamp = a.createdtimestamp AND {ONLY_OURS.format('c')} AND EXISTS ({SAME}"
        " AND b.customerid = c.customerid))",
        40,
    ),
    "WITH": (
        f"WITH w AS (SELECT * FROM events) SELECT count(*) AS n FROM w a WHERE EXISTS ({SAME.replace('events', 'w')})",
        40,
    ),
}


def test_correlated_conditions_tell_nothing_of_other_tenants(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    data_dir = copy_of(loaded_lake, tmp_path / "tenants")
    ours = data_hist("keys", "create", "--customer", "11000", data_dir=data_dir)["key"]
    operator = data_hist("keys", "create", data_dir=data_dir)["key"]
    server = start_server(data_dir)
    answers: dict[str, Any] = {}
    with caller(server, ours) as client:
        for shape, (sql, _) in CORRELATED.items():
            told = client.post("/query", json={"query": sql, "wait_seconds": 50}).json()
            page = client.post("/next", json={"query_id": told["query_id"]}).json() if "query_id" in told else {}
            rows = page.get("result_set") if told.get("status") == "FINISHED" else None
            answers[shape] = int(rows[0]["n"]) if rows else told
    assert answers == {shape: expected for shape, (_, expected) in CORRELATED.items()}
    with caller(server, operator) as client:
        refused = client.post("/query", json={"query": CORRELATED["EXISTS"][0], "wait_seconds": 50})
    assert refused.status_code == 400  # the condition does fail for whom the others' rows are


def test_a_port_that_is_taken_is_told_in_a_sentence(server: Server, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    refused = subprocess.run(
        [COMMAND, "serve", "--port", port, "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        env=environment_of(),
        check=False,
        timeout=60,
    )
    assert refused.returncode == 2
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr
