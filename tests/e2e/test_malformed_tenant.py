"""A row whose customer is not a whole number belongs to nobody: it is counted, and no tenant sees it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Server, copy_of, data_hist


def test_a_malformed_tenant_is_nobodys_row(
    start_server: Callable[..., Server], loaded_lake: Path, tmp_path: Path
) -> None:
    """1.5 is not customer 2, true is not customer 1, and a condition asked first does not make them so."""
    data_dir = copy_of(loaded_lake, tmp_path / "bent")
    folder = data_dir / "s3" / "data-hist-lake" / "secor" / "events" / "dt=2026-11-20" / "hr=00" / "min=00"
    raw = ["11000", "1.5", "true", "11001.0"]
    body = "".join(f'{{"customerid":{value},"createdtimestamp":1,"data":"bent"}}\n' for value in raw)
    (folder / "1_9_00000000000000000000.gz").write_bytes(gzip.compress(body.encode()))
    keys = {
        n: data_hist("keys", "create", "--customer", str(n), data_dir=data_dir)["key"] for n in (1, 2, 11000, 11001)
    }
    operator = data_hist("keys", "create", data_dir=data_dir)["key"]
    server = start_server(data_dir)

    def asked(key: str, sql: str) -> tuple[list[dict[str, Any]], list[int]]:
        base_url = f"{server.url}/v0/data_hist"
        with httpx.Client(base_url=base_url, headers={"X-API-Key": key}, timeout=60) as client:
            told = client.post("/query", json={"query": sql, "wait_seconds": 50})
            assert told.status_code == 200, told.text
            page = client.post("/next", json={"query_id": told.json()["query_id"]}).json()
        return page["result_set"], [warning["line"] for warning in told.json()["warnings"]]

    mine = "SELECT count(*) AS n FROM events WHERE data = 'bent'"
    for _ in range(2):
        for customer, seen in ((1, 0), (2, 0), (11000, 1), (11001, 1)):
            assert asked(keys[customer], mine) == ([{"n": seen}], [2, 3])
    everyone = "SELECT customerid FROM events WHERE data = 'bent' ORDER BY customerid"
    assert asked(operator, everyone) == ([{"customerid": 11000}, {"customerid": 11001}], [2, 3])
