"""Callers that a trusted gateway names in headers, and peers that are no gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from api.settings import Settings
from service.model import Caller
from tests.unit.api.conftest import FakeKeys
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERY, QUERIES = "/v0/data_hist/query", "/v0/data_hist/queries"
BEHIND = Settings(trusted_peers=(ipaddress.ip_network("10.0.0.0/16"),))
KEY = Caller("bob", frozenset({11001}), frozenset({"query"}), key_id="key-b")


@pytest.fixture
def gateway(make_client: Callable[..., TestClient]) -> TestClient:
    """A client whose requests come from the gateway."""
    return make_client(FakeKeys(b=KEY), settings=BEHIND, client=("10.0.3.4", 1))


@pytest.fixture
def stranger(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client(FakeKeys(b=KEY), settings=BEHIND, client=("127.0.0.1", 1))


def caller_of(service: FakeQueryService, client: TestClient, headers: dict[str, str]) -> Any:
    answer = client.post(QUERY, json={"query": "SELECT 1"}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(service.executions.values())[-1]


def test_the_gateway_names_the_caller(gateway: TestClient, service: FakeQueryService) -> None:
    headers = {"X-Data-Hist-Customer": "11000, 11001", "X-Data-Hist-Subject": "alice"}
    execution = caller_of(service, gateway, headers)
    assert (execution.tenant, execution.key_id) == ("customers:11000,11001", "gateway:alice")
    execution = caller_of(service, gateway, {"X-Data-Hist-Customer": "*"})
    assert (execution.tenant, execution.key_id) == ("operator", "gateway:unknown")


def test_scopes_are_query_until_the_gateway_says_more(gateway: TestClient) -> None:
    customer = {"X-Data-Hist-Customer": "11000"}
    assert gateway.get("/metrics", headers=customer).json()["code"] == "ScopeMissing"
    assert gateway.get("/metrics", headers=customer | {"X-Data-Hist-Scopes": "query,operate"}).status_code == 200
    assert gateway.get(QUERIES, headers=customer | {"X-Data-Hist-Scopes": "rule"}).json()["code"] == "ScopeMissing"
    assert gateway.get(QUERIES, headers=customer | {"X-Data-Hist-Scopes": ""}).json()["code"] == "ScopeMissing"


def test_the_gateway_wins_over_a_key(gateway: TestClient, service: FakeQueryService) -> None:
    execution = caller_of(service, gateway, {"X-Data-Hist-Customer": "11000", "X-API-Key": "b"})
    assert execution.tenant == "customers:11000"
    assert caller_of(service, gateway, {"X-API-Key": "b"}).tenant == "bob"


def test_without_a_name_the_gateways_client_needs_a_key(gateway: TestClient) -> None:
    for headers in ({}, {"X-Data-Hist-Scopes": "operate"}, {"X-Data-Hist-Subject": "root"}):
        assert gateway.get(QUERIES, headers=headers).status_code == 401


@pytest.mark.parametrize("customer", ["", "all", "1.5", "-1", "customers:11000"])
def test_a_customer_is_a_number(gateway: TestClient, customer: str) -> None:
    answer = gateway.get(QUERIES, headers={"X-Data-Hist-Customer": customer})
    assert (answer.status_code, answer.json()["code"]) == (403, "CustomerMissing")


def test_a_header_that_comes_twice_is_refused(gateway: TestClient) -> None:
    for name in ("X-Data-Hist-Customer", "X-Data-Hist-Scopes"):
        headers = [("X-Data-Hist-Customer", "11000"), (name, "11001"), (name, "11000")]
        assert gateway.get(QUERIES, headers=headers).status_code == 401


def test_nobody_else_can_name_a_caller(stranger: TestClient, service: FakeQueryService) -> None:
    headers = {"X-Data-Hist-Customer": "*", "X-Data-Hist-Scopes": "operate", "X-Forwarded-For": "10.0.3.4"}
    assert stranger.get(QUERIES, headers=headers).status_code == 401
    assert stranger.get("/metrics", headers=headers | {"X-API-Key": "b"}).json()["code"] == "ScopeMissing"
    assert caller_of(service, stranger, headers | {"X-API-Key": "b"}).tenant == "bob"


def test_with_a_gateway_a_service_without_keys_is_not_open(make_client: Callable[..., TestClient]) -> None:
    for keys in (None, FakeKeys()):
        client = make_client(keys, settings=BEHIND, client=("127.0.0.1", 1))
        assert client.get(QUERIES).status_code == 401
