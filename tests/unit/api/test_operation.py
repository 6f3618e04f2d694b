"""Operations compiled from a contract: what is read, what is refused at start, what answers must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from api.contract import ContractError, json_schema, load_contract, resolve
from api.operation import Parameters
from api.problems import RequestInvalid
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

WAIT = {"name": "wait_seconds", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 50, "default": 0}}
KEY = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1}}


def scope(query_string: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> dict[str, Any]:
    return {"query_string": query_string, "headers": list(headers), "path_params": {}}


def test_defaults_and_values() -> None:
    parameters = Parameters([WAIT, KEY])
    assert parameters.read(scope()) == {"wait_seconds": 0, "idempotency_key": None}
    given = scope(b"wait_seconds=7", ((b"idempotency-key", b"k"),))
    assert parameters.read(given) == {"wait_seconds": 7, "idempotency_key": "k"}


def test_a_header_given_twice() -> None:
    twice = scope(headers=((b"idempotency-key", b"a"), (b"idempotency-key", b"b")))
    with pytest.raises(RequestInvalid, match="given twice"):
        Parameters([KEY]).read(twice)


def test_several_wrong_parameters_are_told_together() -> None:
    with pytest.raises(RequestInvalid) as refusal:
        Parameters([WAIT]).read(scope(b"wait_seconds=x&wait_second=1&later=2"))
    assert [error.pointer for error in refusal.value.errors] == [
        "query:wait_seconds",
        "query:wait_second",
        "query:later",
    ]
    assert "did you mean wait_seconds?" in refusal.value.errors[1].detail


@pytest.mark.parametrize(
    "definition",
    [
        {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "session", "in": "cookie", "schema": {"type": "string"}},
    ],
)
def test_a_contract_with_what_is_not_read_stops_the_start(definition: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        Parameters([definition])


def test_a_handler_that_differs_from_the_contract_stops_the_start(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.operations import queries

    async def status(call: object, *, query_id: str) -> None: ...

    monkeypatch.setattr(queries, "status", status)
    with pytest.raises(ContractError, match="wait_seconds"):
        make_client()


def test_connexion_checks_answers_in_tests(make_client: Callable[..., TestClient], service: FakeQueryService) -> None:
    """The guard that all other tests of this folder rely on: an answer that breaks the contract is an error."""
    client = make_client()
    service.troubles = [1]  # type: ignore[list-item]  # the contract says text
    assert client.get("/health/ready").status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/v0/data_hist/query", {"json": {"query": "SELECT nosuch"}}),
        ("POST", "/v0/data_hist/query", {"json": {"query": "user_fault"}}),
        ("POST", "/v0/data_hist/query", {"json": {"query": "full"}}),
        ("POST", "/v0/data_hist/query", {"json": {"query": "down"}}),
        ("POST", "/v0/data_hist/query", {"json": {"query": "bug"}}),
        ("POST", "/v0/data_hist/next", {"json": {"results_per_page": 0}}),
        ("POST", "/v0/data_hist/next", {"content": b"{"}),
        ("GET", "/v0/data_hist/status/x", {}),
        ("GET", "/v0/data_hist/tables/x", {}),
        ("GET", "/nowhere", {}),
        ("PUT", "/health/live", {}),
    ],
)
def test_every_problem_is_what_the_contract_calls_one(
    client: TestClient, method: str, path: str, options: dict[str, Any]
) -> None:
    contract = load_contract()
    schema = json_schema(resolve(contract, contract["components"]["schemas"]["Problem"]))
    answer = client.request(method, path, **options)
    assert answer.status_code >= 400
    assert answer.headers["content-type"] == "application/problem+json"
    jsonschema_rs.Draft7Validator(schema).validate(answer.json())
    assert answer.json()["status"] == answer.status_code
    assert set(answer.json()) <= set(schema["properties"])
