"""A copy taken while the service runs is served elsewhere: queries, results, paging tokens and keys are still good."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx

from cli.backup import faults
from tests.e2e.conftest import data_hist, running_server

SQL = "SELECT service, createdtimestamp FROM events ORDER BY createdtimestamp, service"


def test_a_restored_copy_answers_as_the_original_did(tmp_path: Path) -> None:
    data_dir, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "elsewhere" / "restored"
    data_hist("sample", "--days", "1", data_dir=data_dir)
    key = data_hist("keys", "create", data_dir=data_dir)["key"]
    with running_server(data_dir) as server, httpx.Client(base_url=server.url, headers={"X-API-Key": key}) as client:
        body = {"query": SQL, "retention_minutes": 60, "wait_seconds": 20}
        query_id = client.post("/v0/data_hist/query", json=body).json()["query_id"]
        first = client.post("/v0/data_hist/next", json={"query_id": query_id, "results_per_page": 5}).json()
        data_hist("backup", "create", str(copy), data_dir=data_dir)
        later = client.post("/v0/data_hist/query", json=body).json()["query_id"]
        ask = {"query_id": query_id, "results_per_page": 5, "paging_token": first["paging_token"]}
        second = client.post("/v0/data_hist/next", json=ask).json()
    assert faults(copy) == []
    shutil.rmtree(data_dir)
    restored.parent.mkdir()
    shutil.copytree(copy, restored)
    with running_server(restored) as server, httpx.Client(base_url=server.url, headers={"X-API-Key": key}) as client:
        assert client.get(f"/v0/data_hist/status/{query_id}").json()["status"] == "FINISHED"
        assert client.post("/v0/data_hist/next", json=ask).json()["result_set"] == second["result_set"]
        assert client.get(f"/v0/data_hist/status/{later}").status_code == 404
        again = client.post("/v0/data_hist/query", json=body).json()["query_id"]
        page = client.post("/v0/data_hist/next", json={"query_id": again, "results_per_page": 5}).json()
        assert page["result_set"] == first["result_set"]
        assert httpx.get(f"{server.url}/v0/data_hist/queries").status_code == 401
