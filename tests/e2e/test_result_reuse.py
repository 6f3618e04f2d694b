"""Result reuse over HTTP and by the command line: what a client sees of it."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COMMAND, Server, copy_of, environment_of, running_server

FOLDER = "s3/data-hist-lake/secor/events/dt=2026-11-20/hr=03/min=00"
QUERY = "SELECT count(*) AS n FROM events"
HOUR = {"from": "2026-11-20T03:00:00Z", "to": "2026-11-20T04:00:00Z"}
SETTLED_SECONDS = 0.2


def drop(data_dir: Path, name: str, rows: int) -> Path:
    row = {"customerid": 11000, "servicename": "by-hand", "service": "by-hand", "data": "{}",
           "createdtimestamp": 1795143600000, "arrivaltimestamp": 1795143600000}  # fmt: skip
    path = data_dir / FOLDER / name
    path.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for _ in range(rows))))
    return path


@pytest.fixture(scope="module")
def server(loaded_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(copy_of(loaded_lake, tmp_path_factory.mktemp("reuse"))) as started:
        yield started


def test_reuse_over_http(server: Server) -> None:
    time.sleep(SETTLED_SECONDS)

    def asked(**members: Any) -> tuple[int, dict[str, Any]]:
        execution = server.submit(QUERY, **HOUR, **members)
        page = server.post("/next", json={"query_id": execution["query_id"]}).json()
        assert page["query_id"] == execution["query_id"]
        return page["result_set"][0]["n"], execution

    count, first = asked()
    assert count == 60
    assert "reused_from" not in first
    _, second = asked(retention_minutes=60)
    assert second["reused_from"] == first["query_id"] != second["query_id"]
    assert second["statistics"]["data_scanned_bytes"] == 0
    assert second["statistics"]["reused_previous_result"] is True
    assert second["retention_minutes"] == 60
    for wish in (False, {"max_age_minutes": 0}):
        assert "reused_from" not in asked(reuse=wish)[1]

    dropped = drop(server.data_dir, "dropped.gz", 3)
    count, changed = asked()  # at once: nobody has registered the object yet
    assert count == 63
    assert "reused_from" not in changed
    dropped.unlink()
    assert asked(reuse={"max_age_minutes": 60})[1]["reused_from"] == changed["query_id"]
    assert asked()[0] == 60

    unknown = server.post("/query", json={"query": QUERY, "reuse": {"minutes": 3}})
    assert unknown.status_code == 400
    assert "data_hist_results_reused_total 2" in server.client.get("/metrics").text


def test_a_burst_of_equal_queries(server: Server) -> None:
    time.sleep(SETTLED_SECONDS)
    query = "SELECT max(createdtimestamp) AS newest FROM events"
    with ThreadPoolExecutor(16) as pool:
        ended = list(pool.map(lambda _: server.submit(query, **HOUR), range(32)))
    assert len({one["query_id"] for one in ended}) == 32
    assert {one["status"] for one in ended} == {"FINISHED"}
    assert sum("reused_from" not in one for one in ended) == 1
    assert sum(one["statistics"]["data_scanned_bytes"] > 0 for one in ended) == 1


def test_the_command_line_tells(server: Server) -> None:
    time.sleep(SETTLED_SECONDS)

    def asked(*options: str) -> subprocess.CompletedProcess[str]:
        arguments = [
            "query",
            "SELECT min(createdtimestamp) AS oldest FROM events",
            "--from",
            HOUR["from"],
            "--to",
            HOUR["to"],
            "--url",
            server.url,
            *options,
        ]
        return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=True, env=environment_of())

    first = json.loads(asked("--json").stdout)
    assert f"reused from {first['query_id']}" in asked().stderr
    assert json.loads(asked("--json").stdout)["reused_from"] == first["query_id"]
    assert "reused" not in asked("--max-age", "0").stderr
