"""The calls of the contract over a fake service: what goes in, what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.model import QueryRequest, QueryStatus
from tests.unit.api.fake_service import ROWS, FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERY = "/v0/data_hist/query"


def submit(client: TestClient, query: str = "SELECT 1", **members: object) -> str:
    answer = client.post(QUERY, json={"query": query, **members})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["query_id"])


def test_the_three_calls(client: TestClient) -> None:
    submitted = client.post(QUERY, json={"query": "SELECT n FROM events", "retention_minutes": 60}).json()
    status = client.get(f"/v0/data_hist/status/{submitted['query_id']}").json()
    page = client.post("/v0/data_hist/next", json={"query_id": submitted["query_id"], "results_per_page": 3}).json()
    rest = client.post(
        "/v0/data_hist/next", json={"query_id": submitted["query_id"], "paging_token": page["paging_token"]}
    ).json()

    assert status["status"] == "FINISHED"
    assert status["is_terminal"] is status["has_result"] is True
    assert status["expires_at"] == "2026-11-22T11:00:00.000Z"
    assert status["statistics"] == {"rows_total": ROWS, "data_scanned_bytes": 0}
    assert page["row_count"] == 3
    assert [row["n"] for row in page["result_set"] + rest["result_set"]] == list(range(ROWS))
    assert rest["columns"] == page["columns"] == [{"name": "n", "type": "bigint"}, {"name": "text", "type": "varchar"}]
    assert "paging_token" not in rest


def test_a_bare_query_gets_the_defaults(client: TestClient, service: FakeQueryService) -> None:
    submit(client)
    assert service.requests == [QueryRequest("SELECT 1", retention_minutes=1440)]


def test_every_member_reaches_the_service(client: TestClient, service: FakeQueryService) -> None:
    client.post(
        QUERY,
        headers={"Idempotency-Key": "order-1"},
        json={
            "query": "SELECT ?",
            "retention_minutes": 5.0,
            "parameters": ["a", 1, 1.5, True, None],
            "from": "2026-11-22",
            "to": 1795305600001,
            "max_bytes_scanned": 100,
            "strict": True,
        },
    )
    assert service.requests == [
        QueryRequest(
            "SELECT ?",
            retention_minutes=5,
            parameters=("a", 1, 1.5, True, None),
            from_ms=1795305600000,
            to_ms=1795305600001,
            max_bytes_scanned=100,
            idempotency_key="order-1",
            strict=True,
        )
    ]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01 00:00:00.0015", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        (-1, -1),
    ],
)
def test_times(client: TestClient, service: FakeQueryService, text: object, milliseconds: int) -> None:
    submit(client, **{"from": text})
    assert service.requests[0].from_ms == milliseconds


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2026-11-22T25:00:00Z", "    ", "2026-11-22T10:00:00Zjunk"]
)
def test_a_time_that_is_none(client: TestClient, text: str) -> None:
    answer = client.post(QUERY, json={"query": "SELECT 1", "to": text})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "#/to"


def test_a_fault_seen_at_once_is_refused_with_its_place(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "SELECT nosuch"})
    problem = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "ColumnNotFound"
    assert problem["type"] == "/v0/problems/column-not-found"
    assert problem["location"] == {"line": 1, "column": 8}
    assert problem["suggestions"] == ["such"]
    assert problem["instance"] == QUERY
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["retryable"] is False


def test_a_fault_only_the_engine_sees_is_400_from_status(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "SELECT user_fault"})
    problem = answer.json()
    again = client.get(f"/v0/data_hist/status/{problem['query_id']}")
    assert answer.status_code == again.status_code == 400
    assert again.json()["code"] == problem["code"] == "DivisionByZero"
    assert again.json()["location"] == {"line": 1, "column": 8}
    assert again.json()["engine_error_name"] == "DIVISION_BY_ZERO"


def test_any_other_failure_is_200_with_an_error(client: TestClient) -> None:
    answer = client.get(f"/v0/data_hist/status/{submit(client, 'SELECT engine_fault')}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "FAILED"
    assert answer.json()["has_result"] is False
    error = answer.json()["error"]
    assert (error["code"], error["blame"], error["retryable"]) == ("EngineFailure", "engine", True)


def test_next_of_a_query_without_a_result(client: TestClient, service: FakeQueryService) -> None:
    running, failed = submit(client, "slow"), submit(client, "engine_fault")
    not_yet = client.post("/v0/data_hist/next", json={"query_id": running})
    never = client.post("/v0/data_hist/next", json={"query_id": failed})
    gone = client.post("/v0/data_hist/next", json={"query_id": submit(client, "expired")})
    assert (not_yet.status_code, not_yet.json()["code"]) == (409, "QueryNotFinished")
    assert not_yet.json()["retryable"] is True
    assert not_yet.headers["retry-after"] == "1"
    assert (never.status_code, never.json()["code"]) == (409, "EngineFailure")
    assert (gone.status_code, gone.json()["code"]) == (410, "ResultExpired")


@pytest.mark.parametrize(
    "query_id",
    ["no-uuid", "6f2b1c0e-4d7a-4c1e-9b3f-2a8d5e7c9b10", "%00", "a%2Fb", "%F0%9F%92%A9", "x" * 3000, "..", "'"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v0/data_hist/status/"), ("DELETE", QUERY + "/"), ("GET", "/v0/data_hist/download/")],
)
def test_a_query_that_is_not_there(client: TestClient, method: str, path: str, query_id: str) -> None:
    answer = client.request(method, path + query_id)
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] in ("QueryNotFound", "NotFound")
    assert len(answer.content) < 5000


def test_cancel_twice_is_cancel_once(client: TestClient) -> None:
    query_id = submit(client, "slow")
    first, second = client.delete(f"{QUERY}/{query_id}"), client.delete(f"{QUERY}/{query_id}")
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["status"] == "CANCELLED"
    assert first.json()["is_terminal"] is True


def test_history(client: TestClient) -> None:
    first, second = submit(client, "SELECT 1"), submit(client, "slow")
    queries = client.get("/v0/data_hist/queries").json()["queries"]
    running = client.get("/v0/data_hist/queries?status=RUNNING&limit=1").json()
    cancelled = client.get("/v0/data_hist/queries?status=CANCELED").json()
    assert [query["query_id"] for query in queries] == [second, first]
    assert [query["query_id"] for query in running["queries"]] == [second]
    assert cancelled == {"queries": []}
    assert client.get("/v0/data_hist/queries?limit=1").json()["paging_token"]
    assert client.get("/v0/data_hist/queries?paging_token=forged").json()["code"] == "InvalidPagingToken"


def test_validate_runs_nothing(client: TestClient, service: FakeQueryService) -> None:
    dry_run = client.post("/v0/data_hist/validate", json={"query": "SELECT 1"}).json()
    assert dry_run["is_valid"] is True
    assert dry_run["problems"] == []
    assert dry_run["tables"][0]["partitions_skipped"] == 6
    assert "first_partition" not in dry_run["tables"][0]
    assert service.executions == {}


def test_validate_tells_what_is_wrong(client: TestClient) -> None:
    answer = client.post("/v0/data_hist/validate", json={"query": "SELECT nosuch"})
    assert answer.status_code == 200
    assert answer.json()["is_valid"] is False
    assert answer.json()["problems"][0]["code"] == "ColumnNotFound"
    assert answer.json()["problems"][0]["location"] == {"line": 1, "column": 8}


def test_tables(client: TestClient) -> None:
    listing = client.get("/v0/data_hist/tables").json()["tables"]
    assert listing == [client.get("/v0/data_hist/tables/events").json()]
    assert listing[0]["location"] == "s3://data-hist-lake/secor/events/"
    assert listing[0]["columns"][0]["description"] == "which service"
    unknown = client.get("/v0/data_hist/tables/event")
    assert (unknown.status_code, unknown.json()["suggestions"]) == (404, ["events"])


def test_the_same_idempotency_key(client: TestClient) -> None:
    key = {"Idempotency-Key": "a" * 255}
    first = client.post(QUERY, json={"query": "SELECT 1"}, headers=key).json()
    second = client.post(QUERY, json={"query": "SELECT 1"}, headers=key).json()
    other = client.post(QUERY, json={"query": "SELECT 2"}, headers=key)
    assert first["query_id"] == second["query_id"]
    assert (other.status_code, other.json()["code"]) == (422, "IdempotencyConflict")
    assert other.json()["query_id"] == first["query_id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "a" * 256, "sn\u00f6".encode("latin-1"), b"\x7f"])
def test_a_bad_idempotency_key(client: TestClient, key: str | bytes) -> None:
    answer = client.post(QUERY, json={"query": "SELECT 1"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "header:Idempotency-Key"


def test_too_many_queries_says_when_to_come_back(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "full"})
    assert (answer.status_code, answer.json()["code"]) == (429, "TooManyQueries")
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["retryable"] is True


def test_an_engine_that_is_down(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "down"})
    assert (answer.status_code, answer.json()["code"]) == (503, "EngineUnavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_our_own_fault_tells_nothing_but_the_request_id(client: TestClient, log_lines) -> None:  # type: ignore[no-untyped-def]
    answer = client.post(QUERY, json={"query": "bug"})
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "secret" not in answer.text
    failure = next(line for line in log_lines() if line["event"] == "request failed")
    assert "secret internals" in failure["exception"]
    assert failure["request_id"] == answer.json()["request_id"]


def test_wait_ends_with_the_query(client: TestClient, service: FakeQueryService) -> None:
    query_id = submit(client, "slow")
    original = service.status

    async def status_of_a_query_that_ends(*arguments, **options):  # type: ignore[no-untyped-def]
        if options.get("wait_seconds"):
            service.end(query_id, QueryStatus.FINISHED)
        return await original(*arguments, **options)

    service.status = status_of_a_query_that_ends  # type: ignore[method-assign]  # the query ends while the client waits
    answer = client.get(f"/v0/data_hist/status/{query_id}?wait_seconds=50")
    assert answer.json()["status"] == "FINISHED"


def test_wait_is_over_after_its_time(client: TestClient) -> None:
    answer = client.post(QUERY, json={"query": "slow", "wait_seconds": 1})
    assert answer.json()["status"] == "RUNNING"
    assert answer.json()["is_terminal"] is False
