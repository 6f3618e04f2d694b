"""Bad requests: each is a clear problem, none is a 5xx, none reaches the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERY = "/v0/data_hist/query"
NEXT = "/v0/data_hist/next"
JSON = {"Content-Type": "application/json"}


def post(client: TestClient, body: bytes | str, path: str = QUERY, **headers: str) -> Any:
    return client.post(path, content=body, headers=JSON | headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"query": "SELECT 1"',
        b'{"query": "SELECT 1"}{}',
        b"{'query': 'SELECT 1'}",
        b'{"query": "SELECT 1", "max_bytes_scanned": NaN}',
        b'{"query": "SELECT 1", "max_bytes_scanned": Infinity}',
        b'{"query": "SELECT \\ud800"}',
        b'{"query": "\xed\xa0\x80"}',
        b'{"query": "a\x00b"}',
        b'{"query": "' + b"a" * 1000,
        b"[" * 100_000,
        b'{"query":' * 10_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_json(client: TestClient, service: FakeQueryService, body: bytes) -> None:
    answer = post(client, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "InvalidRequest"
    assert answer.json()["errors"][0]["pointer"] == "#"
    assert service.requests == []


@pytest.mark.parametrize(
    ("members", "pointer", "expected"),
    [
        ({}, "#/query", "is missing"),
        ({"query": ""}, "#/query", "is empty"),
        ({"query": 1}, "#/query", "1 is not a string"),
        ({"query": None}, "#/query", "not a string"),
        ({"query": ["SELECT 1"]}, "#/query", "not a string"),
        ({"query": "SELECT \0"}, "#/query", "NUL"),
        ({"query": "SELECT 1", "parameters": ["\0"]}, "#/parameters/0", "NUL"),
        ({"query": "SELECT 1", "retention_minutes": -1}, "#/retention_minutes", "less than the minimum of 1"),
        ({"query": "SELECT 1", "retention_minutes": 0}, "#/retention_minutes", "less than the minimum of 1"),
        ({"query": "SELECT 1", "retention_minutes": 525_601}, "#/retention_minutes", "more than the maximum of 525600"),
        ({"query": "SELECT 1", "retention_minutes": 1.5}, "#/retention_minutes", "not a whole number"),
        ({"query": "SELECT 1", "retention_minutes": "60"}, "#/retention_minutes", "'60' is not a whole number"),
        ({"query": "SELECT 1", "retention_minutes": True}, "#/retention_minutes", "not a whole number"),
        ({"query": "SELECT 1", "retention_minutes": None}, "#/retention_minutes", "not a whole number"),
        ({"query": "SELECT 1", "retention_minutes": 1e300}, "#/retention_minutes", "more than"),
        ({"query": "SELECT 1", "wait_seconds": 51}, "#/wait_seconds", "more than the maximum of 50"),
        ({"query": "SELECT 1", "wait_seconds": -1}, "#/wait_seconds", "less than the minimum of 0"),
        ({"query": "SELECT 1", "max_bytes_scanned": 0}, "#/max_bytes_scanned", "less than"),
        ({"query": "SELECT 1", "parameters": "a"}, "#/parameters", "not a list"),
        ({"query": "SELECT 1", "parameters": [[]]}, "#/parameters/0", ""),
        ({"query": "SELECT 1", "parameters": [1] * 1001}, "#/parameters", "more than 1000 items"),
        ({"query": "SELECT 1", "from": True}, "#/from", ""),
        ({"query": "SELECT 1", "from": {}}, "#/from", ""),
        ({"query": "SELECT 1", "from": 10**17}, "#/from", ""),
        ({"query": "SELECT 1", "strict": "yes"}, "#/strict", "not a boolean"),
        ({"query": "SELECT 1", "retention": 1}, "#/retention", "did you mean retention_minutes?"),
        ({"query": "SELECT 1", "a/b~c\0": 1}, "#/a~1b~0c\\u0000", "unknown field"),
        ([], "#", "is not a object"),
        ("SELECT 1", "#", "is not a object"),
        (None, "#", "is not a object"),
    ],
)
def test_members_that_break_the_contract(
    client: TestClient, service: FakeQueryService, members: object, pointer: str, expected: str
) -> None:
    answer = post(client, json.dumps(members))
    assert answer.status_code == 400, answer.text
    error = answer.json()["errors"][0]
    assert error["pointer"] == pointer
    assert expected in error["detail"]
    assert service.requests == []


@pytest.mark.parametrize("results_per_page", [0, 1001, -5, "10", None, 1.5, True])
def test_results_per_page(client: TestClient, results_per_page: object) -> None:
    answer = client.post(NEXT, json={"query_id": "x", "results_per_page": results_per_page})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "#/results_per_page"


def test_all_wrong_fields_are_told_together(client: TestClient) -> None:
    problem = client.post(NEXT, json={"results_per_page": 0, "token": "x"}).json()
    assert {error["pointer"] for error in problem["errors"]} == {"#/query_id", "#/results_per_page", "#/token"}
    assert problem["detail"].endswith("(and 2 more)")


def test_a_key_that_stands_twice(client: TestClient, service: FakeQueryService) -> None:
    answer = post(client, b'{"query": "SELECT 1", "retention_minutes": 1, "query": "SELECT 2"}')
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"pointer": "#/query", "detail": "stands twice in the same object"}]
    assert service.requests == []


def test_a_long_wrong_value_is_not_echoed(client: TestClient) -> None:
    answer = client.post(NEXT, json={"query_id": "x", "paging_token": "t" * 100_000, "y" * 100_000: 1})
    assert answer.status_code == 400
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "query_string",
    [
        "wait_seconds=51",
        "wait_seconds=-1",
        "wait_seconds=1.5",
        "wait_seconds=",
        "wait_seconds=%D9%A1",
        "wait_seconds=1&wait_seconds=2",
        "wait_seconds=99999999999999999999999",
        "wait=1",
        "wait_seconds=%ff",
        "wait_seconds=1%00",
        "&".join(["a=1"] * 200),
    ],
)
def test_query_parameters(client: TestClient, query_string: str) -> None:
    answer = client.get(f"/v0/data_hist/status/x?{query_string}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("query:")


@pytest.mark.parametrize(
    "path", ["queries?status=DONE", "queries?limit=0", "queries?limit=1001", "queries?paging_token="]
)
def test_history_parameters(client: TestClient, path: str) -> None:
    assert client.get(f"/v0/data_hist/{path}").status_code == 400


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=utf-16", ""],
)
def test_content_type(client: TestClient, content_type: str) -> None:
    answer = client.post(QUERY, content=b'{"query": "SELECT 1"}', headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")


def test_no_content_type(client: TestClient) -> None:
    answer = client.post(QUERY, content=b'{"query": "SELECT 1"}')
    assert answer.status_code == 415
    assert "missing" in answer.json()["detail"]


def test_json_may_say_its_charset(client: TestClient) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert client.post(QUERY, content=b'{"query": "SELECT 1"}', headers=headers).status_code == 200


def test_a_packed_body(client: TestClient) -> None:
    assert post(client, b"\x1f\x8b", **{"Content-Encoding": "gzip"}).status_code == 415


def test_a_body_over_the_limit(client: TestClient, service: FakeQueryService) -> None:
    answer = client.post(QUERY, json={"query": "SELECT 1 -- " + "x" * 10_000_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "RequestTooLarge")
    assert service.requests == []


def test_a_body_over_the_limit_is_not_read_on(client: TestClient) -> None:
    """Chunked, so its length is not said beforehand: reading stops at the limit."""
    sent = []

    def chunks():  # type: ignore[no-untyped-def]
        for _ in range(100):
            sent.append(1)
            yield b" " * 100_000

    answer = client.post(QUERY, content=chunks(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "RequestTooLarge")


def test_sql_over_the_limit(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "SELECT 1 -- " + "x" * 300_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "StatementTooLong")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE"])
def test_other_methods(client: TestClient, method: str) -> None:
    answer = client.request(method, NEXT)
    assert (answer.status_code, answer.json()["code"]) == (405, "MethodNotAllowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v0/data_hist",
        "/v0/data_hist/status",
        "/v2/data_hist/query",
        "/%00",
        "/v0/ui/nope",
        "/v0/problems/nope",
    ],
)
def test_paths_that_are_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
    assert answer.headers["content-type"] == "application/problem+json"
