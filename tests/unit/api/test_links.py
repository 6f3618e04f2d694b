"""Download links over HTTP: made with a key, followed without one, and in no log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from api.settings import Settings
from service.model import Caller
from tests.unit.api.conftest import FakeKeys
from tests.unit.api.fake_service import ROWS

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

ALICE = Caller("alice", frozenset({11000}), frozenset({"query"}), key_id="key-a")
KEY = {"X-API-Key": "a"}


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client(FakeKeys(a=ALICE))


@pytest.fixture
def query_id(client: TestClient) -> str:
    return str(client.post("/v0/data_hist/query", json={"query": "SELECT 1"}, headers=KEY).json()["query_id"])


def made(client: TestClient, query_id: str, **body: Any) -> Any:
    return client.post(f"/v0/data_hist/download/{query_id}/link", json=body, headers=KEY)


def test_a_link_is_followed_without_a_key(client: TestClient, query_id: str) -> None:
    link = made(client, query_id, format="csv", valid_minutes=5).json()
    assert link == {
        "query_id": query_id,
        "url": f"/v0/data_hist/download/{query_id}/signed?token=signature-of-{query_id}",
        "format": "csv",
        "expires_at": "2026-11-22T10:05:00.000Z",
    }
    answer = client.get(link["url"])
    assert answer.status_code == 200
    assert len(answer.text.splitlines()) == ROWS + 1
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert client.get(f"/v0/data_hist/download/{query_id}").status_code == 401


def test_a_host_that_a_client_invents_is_in_no_link(make_client: Callable[..., TestClient]) -> None:
    client = make_client(FakeKeys(a=ALICE), settings=Settings(public_url="https://data-hist.example.org"))
    query_id = client.post("/v0/data_hist/query", json={"query": "SELECT 1"}, headers=KEY).json()["query_id"]
    link = client.post(
        f"/v0/data_hist/download/{query_id}/link",
        json={},
        headers={**KEY, "Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    ).json()
    assert link["url"].startswith(f"https://data-hist.example.org/v0/data_hist/download/{query_id}/signed?token=")


def test_a_bad_link_is_refused(client: TestClient, query_id: str) -> None:
    path = f"/v0/data_hist/download/{query_id}/signed"
    for token in ("wrong", "signature-of-another"):
        answer = client.get(path, params={"token": token})
        assert (answer.status_code, answer.json()["code"]) == (403, "InvalidDownloadLink")
    assert client.get(path).json()["code"] == "InvalidRequest"
    assert client.get(path, headers=KEY).json()["code"] == "InvalidRequest"


@pytest.mark.parametrize("body", [{"format": "xls"}, {"valid_minutes": 16}, {"valid_minutes": 0}, {"minutes": 5}])
def test_bad_bodies(client: TestClient, query_id: str, body: dict[str, Any]) -> None:
    assert made(client, query_id, **body).json()["code"] == "InvalidRequest"


def test_a_signature_is_in_no_log(
    client: TestClient,
    query_id: str,
    log_stream: Any,
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    link = made(client, query_id).json()
    client.get(link["url"])
    client.get(link["url"] + "altered-secret")
    assert b"signature-of" not in log_stream.getvalue()
    assert b"secret" not in log_stream.getvalue()
    assert log_lines()[-2]["route"] == "/v0/data_hist/download/{query_id}/signed"
    assert log_lines()[-2]["query_id"] == query_id
