from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cli.client import Client, NotReachable, ServiceProblem
from cli.exit_codes import ExitCode
from cli.query import failure_of

Answer = httpx.Response | Exception


class Service:
    """Answers with what it is told, in order, and remembers what it was asked."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def client(self, key: str | None = None) -> Client:
        return Client("http://service", key, transport=httpx.MockTransport(self._answer), sleep=self.pauses.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)


def ok(**members: Any) -> httpx.Response:
    return httpx.Response(200, json=members)


def test_submit_sends_what_is_given_and_an_idempotency_key() -> None:
    service = Service(ok(query_id="q", status="QUEUED"))
    with service.client("secret") as client:
        client.submit("SELECT 1", retention_minutes=5, **{"from": None})
    (request,) = service.requests
    assert json.loads(request.content) == {"query": "SELECT 1", "retention_minutes": 5}
    assert request.headers["X-API-Key"] == "secret"
    assert request.headers["Idempotency-Key"]


def test_again_later_means_again_after_retry_after_with_the_same_key() -> None:
    service = Service(
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503),
        httpx.ReadError("gone"),
        ok(query_id="q"),
    )
    with service.client() as client:
        assert client.submit("SELECT 1") == {"query_id": "q"}
    assert service.pauses == [7.0, 1.0, 2.0]
    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 1


def test_a_wait_the_service_asks_for_has_a_limit_and_so_have_the_attempts() -> None:
    problem = httpx.Response(429, headers={"Retry-After": "3600"}, json={"code": "TooManyQueries", "detail": "full"})
    service = Service(*[problem] * 6)
    with service.client() as client, pytest.raises(ServiceProblem, match="full") as raised:
        client.submit("SELECT 1")
    assert (raised.value.status, raised.value.code) == (429, "TooManyQueries")
    assert service.pauses == [30.0] * 5


def test_a_budget_that_is_used_up_is_told_at_once() -> None:
    problem = {"code": "BudgetExceeded", "detail": "the budget of the day is 10 bytes"}
    service = Service(httpx.Response(429, headers={"Retry-After": "40000"}, json=problem))
    with service.client() as client, pytest.raises(ServiceProblem, match="budget") as raised:
        client.submit("SELECT 1")
    assert raised.value.code == "BudgetExceeded"
    assert service.pauses == []
    assert failure_of(raised.value).exit_code == ExitCode.NOT_ALLOWED


def test_waiting_ends_with_the_first_terminal_state() -> None:
    states = [{"status": s, "is_terminal": s == "FAILED"} for s in ("QUEUED", "RUNNING", "QUEUED", "FAILED")]
    service, seen = Service(*(httpx.Response(200, json=state) for state in states)), list[str]()
    with service.client() as client:
        assert client.wait("q", watch=lambda e: seen.append(e["status"]))["status"] == "FAILED"
    assert seen == ["QUEUED", "RUNNING", "QUEUED", "FAILED"]
    assert service.requests[0].url.params["wait_seconds"] == "20"


def test_pages_follow_their_tokens_to_the_end() -> None:
    service = Service(ok(row_count=2, paging_token="t1"), ok(row_count=2, paging_token="t2"), ok(row_count=1))
    with service.client() as client:
        assert [page["row_count"] for page in client.pages("q", results_per_page=2)] == [2, 2, 1]
    bodies = [json.loads(request.content) for request in service.requests]
    assert [body.get("paging_token") for body in bodies] == [None, "t1", "t2"]


def test_download_gives_the_bytes_and_tells_when_they_break_off() -> None:
    def broken() -> Any:
        yield b"a,b\n"
        raise httpx.ReadError("gone")

    service = Service(httpx.Response(200, content=b"x" * 100_000), httpx.Response(200, content=broken()))
    with service.client() as client:
        with client.download("q", "csv") as pieces:
            assert b"".join(pieces) == b"x" * 100_000
        with client.download("q", "csv") as pieces, pytest.raises(NotReachable, match="broke"):
            list(pieces)


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), *[httpx.ReadTimeout("slow")]])
def test_nobody_answers(error: Exception) -> None:
    service = Service(*[error] * 6)
    with service.client() as client, pytest.raises(NotReachable, match="http://service"):
        client.tables()


def test_something_else_answers() -> None:
    service = Service(httpx.Response(200, text="<html>"), httpx.Response(404, text="<html>"), httpx.Response(302))
    with service.client() as client:
        with pytest.raises(NotReachable, match="not JSON"):
            client.tables()
        for status in (404, 302):
            with pytest.raises(ServiceProblem) as raised:
                client.tables()
            assert raised.value.status == status
