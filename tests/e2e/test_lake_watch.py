"""An object that somebody copies into the lake folder is queryable by itself, while the service runs or not."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from cli.main import run
from glue.partition_spec import PartitionSpec
from tests.e2e.conftest import Server, copy_of

GENEROUS_SECONDS = 90.0
FOLDER = "s3/data-hist-lake/secor/events"
COUNT = "SELECT count(*) AS n FROM events WHERE servicename = 'by-hand'"


def content(rows: int) -> bytes:
    row = {"customerid": 11000, "servicename": "by-hand", "service": "by-hand", "data": "{}",
           "createdtimestamp": 1795305900000, "arrivaltimestamp": 1795305900000}  # fmt: skip
    return gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for _ in range(rows)))


def put(data_dir: Path, partition: str, rows: int, name: str = "copied.gz") -> Path:
    path = data_dir / FOLDER / partition / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(rows))
    return path


def last_partition(server: Server) -> str:
    partition: str = server.get("/tables/events").json()["freshness"]["last_partition"]
    return partition


def newest_partition(server: Server) -> Any:
    return server.get("/tables/events/partitions?limit=1").json()["partitions"][0]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_counted(server: Server, expected: int) -> None:
    deadline = time.monotonic() + GENEROUS_SECONDS
    while (counted := server.rows(COUNT)[0]["n"]) != expected:
        assert time.monotonic() < deadline, f"{counted} rows, not {expected}"
        time.sleep(0.2)


@pytest.mark.parametrize("mode", ["auto", "poll"])
def test_copied_objects_are_queryable_by_themselves(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path, mode: str
) -> None:
    data_dir = copy_of(loaded_lake, tmp_path)
    put(data_dir, "dt=2026-11-22/hr=01/min=05", 2)
    server = start_server(data_dir, DATA_HIST_WATCH=mode, DATA_HIST_WATCH_INTERVAL_SECONDS="1")
    until_counted(server, 2)  # it came while the service was down
    second = put(data_dir, "dt=2026-11-22/hr=01/min=06", 3)
    until_counted(server, 5)
    second.write_bytes(content(7))
    until_counted(server, 9)
    second.unlink()
    until_counted(server, 2)
    until(lambda: newest_partition(server).get("row_count") == 2)  # read in the background
    assert newest_partition(server)["maximum_createdtimestamp"] == "2026-11-22T00:05:00.000Z"
    assert newest_partition(server)["row_lateness"] == {"in_time": 2}
    put(data_dir, "dt=2026-13-45/hr=01/min=06", 100)
    until(lambda: 'data_hist_lake_changes_total{outcome="foreign"} 1.0' in server.client.get("/metrics").text)
    until(lambda: last_partition(server) == "dt=2026-11-22/hr=01/min=05")
    assert any("dt=2026-13-45" in json.dumps(line) for line in server.logs())


def test_an_object_for_a_compacted_partition_is_queryable_by_itself(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    """Once its raw objects are there, which sends it back to them, and once they have been removed."""
    data_dir = copy_of(loaded_lake, tmp_path)
    partition, few = "dt=2026-11-20/hr=20/min=05", ("--min-kb", "0", "--from", "2026-11-20T20:05")

    def compact(*arguments: str) -> None:
        with time_machine.travel(datetime.now(UTC) + timedelta(days=1)):  # what came late stays open for a while
            assert run(["partitions", "compact", "events", *few, *arguments, "--data-dir", str(data_dir)]) == 0

    def is_compacted() -> bool:
        return bool(list((data_dir / "s3/data-hist-lake/compacted/events" / partition).rglob("*.parquet")))

    put(data_dir, partition, 2, "a.gz")
    assert run(["partitions", "register", "events", "--data-dir", str(data_dir)]) == 0
    compact()
    assert is_compacted()
    server = start_server(data_dir, DATA_HIST_WATCH_INTERVAL_SECONDS="1")
    until_counted(server, 2)
    put(data_dir, partition, 2, "b.gz")
    until_counted(server, 4)
    compact()
    compact("--remove-old", "--grace", "0")
    assert not (data_dir / FOLDER / partition).exists()
    put(data_dir, partition, 2, "c.gz")
    until_counted(server, 6)


def test_an_empty_answer_is_explained(start_server: Callable[..., Server]) -> None:
    server = start_server(DATA_HIST_WATCH="off")
    put(server.data_dir, "dt=2026-11-20/hr=20/min=05", 2)

    def codes(query: str, **members: str) -> list[str]:
        execution = server.submit(query, **members)
        assert execution["freshness"]["late_bytes"] == 0
        explanation = server.get(f"/queries/{execution['query_id']}/explain-empty").json()
        return [reason["code"] for table in explanation["tables"] for reason in table["reasons"]]

    unregistered = codes("SELECT * FROM events", **{"from": "2026-11-20T20:05:00Z", "to": "2026-11-20T20:06:00Z"})
    assert "unregistered" in unregistered
    assert codes("SELECT * FROM events WHERE servicename = 'nobody'")[-1] == "filter"
    assert codes("SELECT * FROM metrics") == ["no_data", "not_closed"]
    assert codes("SELECT * FROM events", **{"from": "2026-11-01", "to": "2026-11-02"}) == ["before_first"]
    assert codes("SELECT * FROM events LIMIT 1") == []


def test_what_is_known_of_a_partition_spares_reading_it_and_costs_no_row(server: Server) -> None:
    """Half an hour before the first row: late rows of that time could lie in the first partition, and none does."""
    first = server.get("/tables/events").json()["freshness"]["first_partition"]
    start = PartitionSpec.parse(first).start()

    def range_of(minutes: int) -> dict[str, str]:
        begin = start + timedelta(minutes=minutes)
        return {"from": begin.isoformat(), "to": (begin + timedelta(minutes=1)).isoformat()}

    for minutes, count in ((-30, 0), (0, 1)):
        query = {"query": "SELECT count(*) AS n FROM events", **range_of(minutes)}
        dry_run = server.client.post("/v0/data_hist/validate", json=query).json()
        assert (dry_run["is_valid"], dry_run["object_count"]) == (True, count)
        (row,) = server.rows(query["query"], **range_of(minutes))
        assert (row["n"] > 0) == (count > 0)
