"""Who may call what: open, with a key, with the wrong key, with another tenant's."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from api.auth import Gate
from service.errors import StoreUnavailable
from service.model import Caller
from tests.unit.api.conftest import FakeKeys
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

ALICE = Caller("alice", frozenset({11000}), frozenset({"query"}), key_id="key-a")
BOB = Caller("bob", frozenset({11001}), frozenset({"query"}), key_id="key-b")
WARDEN = Caller("operator", None, frozenset({"operate"}), key_id="key-w")
QUERY = "/v0/data_hist/query"
SECURED = [
    ("POST", QUERY),
    ("DELETE", f"{QUERY}/x"),
    ("GET", "/v0/data_hist/status/x"),
    ("POST", "/v0/data_hist/next"),
    ("GET", "/v0/data_hist/queries"),
    ("POST", "/v0/data_hist/validate"),
    ("GET", "/v0/data_hist/download/x"),
    ("GET", "/v0/data_hist/tables"),
    ("GET", "/v0/data_hist/tables/events"),
    ("GET", "/metrics"),
]
PUBLIC = ["/health/live", "/health/ready", "/v0/openapi.json", "/v0/ui/", "/"]


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys(a=ALICE, b=BOB, w=WARDEN)


@pytest.fixture
def guarded(make_client: Callable[..., TestClient], keys: FakeKeys) -> TestClient:
    return make_client(keys)


def basic(password: str, user: str = "anyone") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(("method", "path"), SECURED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "a" * 10_000},
        {"X-API-Key": "\u00e9".encode("latin-1")},
        basic("wrong"),
        basic(""),
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer a"},
        {"Authorization": ""},
    ],
)
def test_no_key_or_a_wrong_one(guarded: TestClient, method: str, path: str, headers: dict[str, Any]) -> None:
    answer = guarded.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationRequired")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("headers", [{"X-API-Key": "a"}, {"x-api-key": "a"}, basic("a"), basic("a", user="")])
def test_a_good_key(guarded: TestClient, service: FakeQueryService, headers: dict[str, str]) -> None:
    answer = guarded.post(QUERY, json={"query": "SELECT 1"}, headers=headers)
    assert answer.status_code == 200
    assert next(iter(service.executions.values())).tenant == "alice"


def test_a_good_password_beside_a_wrong_key_is_enough(guarded: TestClient) -> None:
    headers = basic("a") | {"X-API-Key": "wrong"}
    assert guarded.get("/v0/data_hist/queries", headers=headers).status_code == 200


@pytest.mark.parametrize("path", PUBLIC)
def test_what_needs_no_key(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(("method", "path"), SECURED)
def test_the_wrong_scope(guarded: TestClient, method: str, path: str) -> None:
    key = "a" if path == "/metrics" else "w"
    answer = guarded.request(method, path, headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (403, "ScopeMissing")


def test_metrics_with_the_scope_operate(guarded: TestClient) -> None:
    assert guarded.get("/metrics", headers={"X-API-Key": "w"}).status_code == 200


def test_another_tenants_query_is_not_there(guarded: TestClient) -> None:
    query_id = guarded.post(QUERY, json={"query": "slow"}, headers={"X-API-Key": "a"}).json()["query_id"]
    bob = {"X-API-Key": "b"}
    answers = [
        guarded.get(f"/v0/data_hist/status/{query_id}", headers=bob),
        guarded.post("/v0/data_hist/next", json={"query_id": query_id}, headers=bob),
        guarded.get(f"/v0/data_hist/download/{query_id}", headers=bob),
        guarded.delete(f"{QUERY}/{query_id}", headers=bob),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert guarded.get("/v0/data_hist/queries", headers=bob).json() == {"queries": []}
    assert guarded.get(f"/v0/data_hist/status/{query_id}", headers={"X-API-Key": "a"}).json()["status"] == "RUNNING"


HOSTS = ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "data-hist.localhost:8080", "[::1]:8080", "127.8.8.8"]
OTHER_HOSTS = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "10.0.0.1", "", "a@localhost"]


@pytest.mark.parametrize("host", HOSTS)
def test_an_open_service_answers_to_loopback_names(client: TestClient, host: str) -> None:
    assert client.get("/v0/data_hist/queries", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_an_open_service_answers_to_no_other_name(client: TestClient, host: str) -> None:
    answer = client.get("/v0/data_hist/queries", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "HostNotAllowed")
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


def test_with_a_key_any_name_will_do(guarded: TestClient) -> None:
    headers = {"Host": "data-hist.example.org", "X-API-Key": "a"}
    assert guarded.get("/v0/data_hist/queries", headers=headers).status_code == 200


def run(work: Any) -> Any:
    return asyncio.run(work)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_gate_closes_within_a_second_of_the_first_key() -> None:
    clock, keys = Clock(), FakeKeys()
    gate = Gate(keys, clock=clock)
    assert run(gate.is_open()) is True
    keys.callers["a"] = ALICE
    clock.seconds += 1.0
    assert run(gate.is_open()) is False


def test_gate_remembers_for_a_second_and_forgets_a_revoked_key() -> None:
    clock, keys = Clock(), FakeKeys(a=ALICE)
    gate = Gate(keys, clock=clock)
    for _ in range(10):
        assert run(gate.identify("a"))["caller"] == ALICE
        assert run(gate.identify("wrong")) is None
    assert keys.lookups == 2
    del keys.callers["a"]
    clock.seconds += 1.0
    assert run(gate.identify("a")) is None


def test_gate_does_not_grow_with_wrong_keys() -> None:
    gate = Gate(FakeKeys(a=ALICE), clock=Clock())

    async def guess() -> None:
        for number in range(10_000):
            await gate.identify(f"guess-{number}")

    run(guess())
    assert len(gate._callers) <= 4096


def test_secrets_are_not_logged(guarded: TestClient, log_stream: Any) -> None:
    secret = "a-very-secret-key"
    guarded.get("/v0/data_hist/queries", headers={"X-API-Key": secret})
    guarded.get("/v0/data_hist/queries?paging_token=token-very-secret", headers=basic("a"))
    assert b"very-secret" not in log_stream.getvalue()
    assert b'"key_id":"key-a"' in log_stream.getvalue()


@pytest.mark.parametrize("lost", ["is_empty", "authenticate"])
def test_keys_that_cannot_be_looked_up_let_nobody_in(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    keys = FakeKeys(a=ALICE)

    def away(*_: object) -> None:
        raise StoreUnavailable("the store cannot be reached")

    monkeypatch.setattr(keys, lost, away)
    answer = make_client(keys).get("/v0/data_hist/queries", headers={"X-API-Key": "a"})
    assert (answer.status_code, answer.json()["code"]) == (503, "StoreUnavailable")
    assert int(answer.headers["retry-after"]) >= 1
