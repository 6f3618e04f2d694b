"""A server that is killed (kill -9) owes its successor nothing: waiting queries run, results are whole, nothing stays
RUNNING.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import LAKE_ROWS, Server

SLOW_QUERY = "SELECT count(*) AS n FROM events a, events b, events c, events d, events e"
PAIRS_QUERY = "SELECT a.createdtimestamp AS x, b.createdtimestamp AS y, a.data AS d FROM events a, events b"


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_waited_when_the_server_was_killed_runs_in_its_successor(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_MAX_CONCURRENT_QUERIES="1")
    slow = server.post("/query", json={"query": SLOW_QUERY}).json()["query_id"]
    waiting = server.post("/query", json={"query": "SELECT count(*) AS n FROM events"}).json()
    assert waiting["status"] == "QUEUED"
    wait_until(lambda: server.get(f"/status/{slow}").json()["status"] == "RUNNING")
    server.stop(signal.SIGKILL)

    successor = start_server(server.data_dir, DATA_HIST_MAX_CONCURRENT_QUERIES="1")
    cancelled = successor.client.delete(f"/v0/data_hist/query/{slow}").json()
    assert cancelled["status"] in ("CANCELLED", "FAILED")
    ended = successor.get(f"/status/{waiting['query_id']}?wait_seconds=50").json()
    assert ended["status"] == "FINISHED"
    answer = successor.post("/next", json={"query_id": waiting["query_id"]}).json()
    assert answer["result_set"] == [{"n": LAKE_ROWS}]


def test_a_result_whose_spooling_was_killed_is_served_whole(start_server: Callable[..., Server]) -> None:
    server = start_server()
    query_id = server.post("/query", json={"query": PAIRS_QUERY}).json()["query_id"]
    wait_until(lambda: server.get(f"/status/{query_id}").json()["status"] in ("RUNNING", "FINISHED"))
    wait_until(lambda: server.get(f"/status/{query_id}").json()["status"] == "FINISHED")
    first = server.post("/next", json={"query_id": query_id, "results_per_page": 1000}).json()
    server.stop(signal.SIGKILL)

    successor = start_server(server.data_dir)
    assert successor.post("/next", json={"query_id": query_id, "results_per_page": 1000}).json() == first
    pairs: set[tuple[Any, Any]] = set()
    body: dict[str, Any] = {"query_id": query_id}
    row_count = 0
    while True:
        page = successor.post("/next", json=body).json()
        row_count += page["row_count"]
        pairs.update((row["x"], row["y"]) for row in page["result_set"])
        if "paging_token" not in page:
            break
        body["paging_token"] = page["paging_token"]
    assert row_count == LAKE_ROWS**2
    assert len(pairs) == LAKE_ROWS**2
    statistics = successor.get(f"/status/{query_id}").json()["statistics"]
    assert statistics["rows_total"] == LAKE_ROWS**2
