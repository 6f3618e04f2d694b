"""HTTP: what the service adds over the floor (bare Starlette) and how near its pages come to the limit (sendfile)."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.harness import Row, Table, data_hist, free_port, interleaved, server, versions
from bench.wire import get, median_milliseconds, post

MILLION_ROWS = """
SELECT a * 10000 + b AS id, 11000 + b % 6 AS customerid, 'service-' || CAST(b % 9 AS varchar) AS servicename,
       1760000000000 + a * 10000 + b AS createdtimestamp, b * 0.5e0 AS latency, b % 2 = 0 AS is_error,
       'GET /v0/resource/' || CAST(b AS varchar) AS path, CASE WHEN b % 7 = 0 THEN NULL ELSE b END AS bytes,
       'us-east-1' AS region, 200 + b % 4 * 100 AS code
FROM UNNEST(sequence(0, {outer})) AS x(a) CROSS JOIN UNNEST(sequence(0, 9999)) AS y(b)
"""


def finished_query(client: httpx.Client, sql: str) -> str:
    """Submits and waits; the query_id of a finished query whose whole result is spooled."""
    body = {"query": sql, "retention_minutes": 60, "wait_seconds": 50, "reuse": False}
    answer = client.post("/v0/data_hist/query", json=body)
    answer.raise_for_status()
    query_id = str(answer.json()["query_id"])
    while True:
        status = client.get(f"/v0/data_hist/status/{query_id}", params={"wait_seconds": 20}).json()
        if status["is_terminal"]:
            break
    if status["status"] != "FINISHED":
        raise RuntimeError(status)
    while client.get(f"/v0/data_hist/status/{query_id}").json()["statistics"].get("result_bytes") is None:
        time.sleep(0.2)
    return query_id


def port_of(base: str) -> int:
    """The port of `http://127.0.0.1:<port>`."""
    return int(base.rsplit(":", 1)[1])


def get_status() -> Table:
    """Time of GET status over bare Starlette, one keep-alive connection."""
    table = Table(
        "GET status over bare Starlette",
        "One keep-alive connection, sequential requests, a raw socket as the client of both. The floor answers"
        " a ready body.",
        goal="at most 0.5 ms over bare Starlette",
        versions=versions("connexion", "starlette", "uvicorn", "uvloop"),
    )
    floor_port = free_port()
    floor_command = [sys.executable, "-m", "bench.peers.starlette_server", str(floor_port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(floor_command, url=f"http://127.0.0.1:{floor_port}/health/ready"),
        data_hist(Path(folder)) as (base, _),
    ):
        with httpx.Client(base_url=base, timeout=60) as client:
            query_id = finished_query(client, "SELECT 1 AS one")
        requests = [get(f"/v0/data_hist/status/{query_id}")] * 500
        medians = interleaved(
            {
                "data-hist": median_milliseconds(port_of(base), requests),
                "bare Starlette": median_milliseconds(floor_port, requests),
            },
            rounds=7,
        )
    over = medians["data-hist"] - medians["bare Starlette"]
    table.rows = [
        Row("bare Starlette", medians["bare Starlette"], "ms", 1.0),
        Row("data-hist", medians["data-hist"], "ms", medians["data-hist"] / medians["bare Starlette"]),
        Row("data-hist over bare Starlette", over, "ms", note="authentication, validation, store, log, metrics"),
    ]
    table.finding = f"{over:.2f} ms over"
    table.met = over <= 0.5
    return table


def page_tokens(client: httpx.Client, query_id: str, page_count: int) -> list[str | None]:
    """The paging tokens of all pages of 1000 rows, None for the first. Raises RuntimeError for another page count."""
    body = {"query_id": query_id, "results_per_page": 1000}
    tokens: list[str | None] = [None]
    while True:
        page = client.post("/v0/data_hist/next", json=body | ({"paging_token": tokens[-1]} if tokens[-1] else {}))
        token = page.raise_for_status().json().get("paging_token")
        if token is None:
            break
        tokens.append(token)
    if len(tokens) != page_count:
        raise RuntimeError(f"{len(tokens)} pages instead of {page_count}")
    return tokens


def next_request(query_id: str, token: str | None) -> bytes:
    """POST next for a page of 1000 rows, as bytes for the wire."""
    body = {"query_id": query_id, "results_per_page": 1000}
    return post("/v0/data_hist/next", body | ({"paging_token": token} if token else {}))


def pages() -> Table:
    """Pages of 1000 rows x 10 columns of a 1M-row result, against a server that does nothing but os.sendfile."""
    table = Table(
        "Pages over HTTP against the sendfile limit",
        "1,000,000 rows x 10 columns in pages of 1000; one raw keep-alive socket as the client of both; the"
        " limit serves byte "
        "ranges of the same size with asyncio and os.sendfile and looks at nothing. Ratio: limit / measured.",
        goal="at least 0.18 of the limit (0.35 to come); last page / first page at most 1.1",
        versions=versions("connexion", "starlette", "uvicorn", "uvloop", "duckdb"),
    )
    with tempfile.TemporaryDirectory() as folder, data_hist(Path(folder)) as (base, _):
        with httpx.Client(base_url=base, timeout=120) as client:
            query_id = finished_query(client, MILLION_ROWS.format(outer=99))
            page_bytes = len(
                client.post("/v0/data_hist/next", json={"query_id": query_id, "results_per_page": 1000}).content
            )
            tokens = page_tokens(client, query_id, 1000)
        requests = [next_request(query_id, token) for token in tokens]
        limit_port = free_port()
        limit_file = Path(folder) / "limit.bin"
        limit_file.write_bytes(b"x" * page_bytes * 50)
        command = [sys.executable, "-m", "bench.peers.sendfile_server"]
        command += [str(limit_port), str(limit_file), str(page_bytes)]
        with server(command, url=f"http://127.0.0.1:{limit_port}"):
            medians = interleaved(
                {
                    "sendfile limit": median_milliseconds(limit_port, [post("/", {})] * 200),
                    "first pages": median_milliseconds(port_of(base), requests[:1] * 200),
                    "middle pages": median_milliseconds(port_of(base), requests[400:600]),
                    "last pages": median_milliseconds(port_of(base), requests[-1:] * 200),
                },
                rounds=7,
            )
    limit_ms = medians["sendfile limit"]
    table.rows = [
        Row(name, value, "ms/page", limit_ms / value, note=f"{1 / value:.2f} M rows/s")
        for name, value in medians.items()
    ]
    flat = medians["last pages"] / medians["first pages"]
    share = limit_ms / medians["middle pages"]
    table.rows.append(Row("last page / first page", flat, "x", flat))
    table.finding = f"{share:.2f} of the limit; last / first {flat:.2f}"
    table.met = share >= 0.18 and flat <= 1.1
    return table
