"""`data-hist serve` and `data-hist query` as a user runs them: two processes, one data directory."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.e2e.conftest import COMMAND, running_server

ROW_COUNT = 2500


@dataclass
class Service:
    url: str
    data_dir: Path

    def query(self, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [COMMAND, "query", "--url", self.url, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert finished.returncode == status, finished.stderr
        return finished

    def rows(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.query(sql, "--format", "json").stdout)
        return rows


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("query") / "data"
    source = data_dir.parent / "rows.ndjson"
    with source.open("w") as file:
        file.writelines(
            json.dumps({"at": 1_626_847_200 + n, "n": n, "who": f"customer {n % 2}", "c": 11000 + n % 2}) + "\n"
            for n in range(ROW_COUNT)
        )
    arguments = ["load", "events", source, "--time", "at", "--customer", "c", "--data-dir", data_dir]
    subprocess.run([COMMAND, *map(str, arguments)], check=True, capture_output=True)
    with running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off") as running:
        yield Service(running.url, data_dir)


def test_rows_as_json(service: Service) -> None:
    sql = "SELECT customerid, count(*) AS n FROM events GROUP BY customerid ORDER BY customerid"
    assert service.rows(sql) == [{"customerid": 11000, "n": 1250}, {"customerid": 11001, "n": 1250}]
    finished = service.query(sql, "--json")
    document = json.loads(finished.stdout)
    assert document["result_set"] == service.rows(sql)
    assert (document["row_count"], document["status"]) == (2, "FINISHED")
    assert [column["name"] for column in document["columns"]] == ["customerid", "n"]
    assert "FINISHED" in finished.stderr
    assert "scanned" in finished.stderr


def test_all_pages_come(service: Service) -> None:
    rows = service.rows("SELECT createdtimestamp AS t FROM events ORDER BY t")
    assert [row["t"] for row in rows] == [(1_626_847_200 + n) * 1000 for n in range(ROW_COUNT)]


def test_csv_and_parquet_into_files(service: Service, tmp_path: Path) -> None:
    sql = "SELECT createdtimestamp, servicename FROM events"
    service.query(sql, "--out", tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == '"createdtimestamp","servicename"'
    assert len(lines) == ROW_COUNT + 1
    service.query(sql, "--out", tmp_path / "rows.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").num_rows == ROW_COUNT
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "rows.parquet"}


def test_a_table_says_what_it_leaves_out(service: Service) -> None:
    finished = service.query("SELECT createdtimestamp, NULL AS nothing FROM events")
    lines = [line for line in finished.stdout.splitlines() if line.strip()]
    assert len(lines) == 1000 + 2
    assert "NULL" in lines[-1]
    assert "only the first 1,000" in finished.stderr


def test_sql_at_fault_gets_a_caret(service: Service) -> None:
    finished = service.query("SELECT servicenam\nFROM events", status=1)
    assert finished.stdout == ""
    message, text, caret = finished.stderr.splitlines()
    assert "servicename" in message
    assert text.index("servicenam") == caret.index("^")
    document = json.loads(service.query("SELECT servicenam FROM events", "--json", status=1).stdout)
    assert document["error"]["code"] == "ColumnNotFound"
    assert document["error"]["location"] == {"line": 1, "column": 8}


def test_sql_from_standard_input(service: Service) -> None:
    finished = subprocess.run(
        [COMMAND, "query", "-", "--url", service.url, "--format", "csv"],
        input="SELECT 1 AS one", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout == '"one"\n"1"\n'


def test_nobody_there(tmp_path: Path) -> None:
    finished = subprocess.run(
        [COMMAND, "query", "SELECT 1", "--url", "http://127.0.0.1:1", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 4
    assert json.loads(finished.stdout)["error"]["code"] == "NotReachable"


def test_an_address_of_others_is_refused_without_a_key(tmp_path: Path) -> None:
    finished = subprocess.run(
        [COMMAND, "serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 2
    assert "keys create" in finished.stderr


def test_keys_close_the_door(service: Service) -> None:
    """Last, since a service that ever had a key stays closed."""
    arguments = ["keys", "create", "--customer", "11000", "--data-dir", str(service.data_dir), "--json"]
    key = json.loads(subprocess.run([COMMAND, *arguments], check=True, capture_output=True).stdout)["key"]
    sql = "SELECT count(*) AS n FROM events"
    assert json.loads(service.query(sql, "--key", key, "--format", "json").stdout) == [{"n": 1250}]
    for arguments in ([], ["--key", "wrong"]):
        document = json.loads(_query_after_a_while(service, sql, arguments))
        assert document["error"]["exit_code"] == 5


def _query_after_a_while(service: Service, sql: str, arguments: list[str]) -> str:
    """The gate may remember for a second that the service was open."""
    for _ in range(20):
        finished = subprocess.run(
            [COMMAND, "query", sql, "--url", service.url, "--json", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode == 5:
            return finished.stdout
        time.sleep(0.25)
    raise AssertionError(finished.stdout)
