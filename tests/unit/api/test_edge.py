"""The layer around everything: request ids, the access log, numbers, long polls, downloads, clients that leave."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.logs import json_log
from api.metrics import Reading
from api.settings import Settings
from service.model import OPERATOR, QueryRequest, QueryStatus
from tests.unit.api.fake_service import ROWS, FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERY = "/v0/data_hist/query"


def test_a_request_id_is_made_and_told(client: TestClient) -> None:
    first, second = client.get("/health/live"), client.get("/health/live")
    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_a_sane_request_id_is_kept(client: TestClient, log_lines: Callable[[], list[dict[str, Any]]]) -> None:
    answer = client.get("/v0/data_hist/status/x", headers={"X-Request-Id": "trace/7f-01"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace/7f-01"
    assert log_lines()[-1]["request_id"] == "trace/7f-01"


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, 'a"b', "a\\nb", "\u00e9".encode("latin-1")])
def test_any_other_request_id_is_replaced(client: TestClient, request_id: str | bytes) -> None:
    answer = client.get("/health/live", headers={"X-Request-Id": request_id})
    assert len(answer.headers["x-request-id"]) == 32


def test_the_access_log_has_a_line_per_request(
    client: TestClient, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    query_id = client.post(QUERY, json={"query": "SELECT 1 AS private"}).json()["query_id"]
    client.get(f"/v0/data_hist/status/{query_id}?wait_seconds=0")
    client.get("/nope/private")
    submitted, status, missing = log_lines()
    assert submitted["event"] == status["event"] == missing["event"] == "request"
    assert (submitted["method"], submitted["route"], submitted["status"]) == ("POST", QUERY, 200)
    assert (submitted["tenant"], submitted["query_id"]) == ("operator", query_id)
    assert status["route"] == "/v0/data_hist/status/{query_id}"
    assert status["duration_ms"] >= 0
    assert (missing["route"], missing["status"], missing["code"]) == ("(unmatched)", 404, "NotFound")
    assert "private" not in str(log_lines())


def numbers(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_requests_by_route(client: TestClient) -> None:
    for query_id in ("a", "b", "c"):
        client.get(f"/v0/data_hist/status/{query_id}")
    found = numbers(client.get("/metrics").text)
    route = "/v0/data_hist/status/{query_id}"
    assert found[("data_hist_http_requests_total", ("GET", route, "404"))] == 3
    assert found[("data_hist_http_request_duration_seconds_count", ("GET", route))] == 3
    assert found[("data_hist_http_requests_in_flight", ())] == 1


def test_metrics_show_what_the_service_keeps(make_client: Callable[..., TestClient]) -> None:
    client = make_client(
        readings=lambda: [
            Reading("data_hist_queries", "Queries by status.", {"RUNNING": 2, "QUEUED": 1}),
            Reading("data_hist_scanned_bytes", "Bytes read.", 7, is_counter=True),
        ]
    )
    found = numbers(client.get("/metrics").text)
    assert found[("data_hist_queries", ("RUNNING",))] == 2
    assert found[("data_hist_scanned_bytes_total", ())] == 7


def test_two_applications_do_not_share_numbers(make_client: Callable[..., TestClient]) -> None:
    one, other = make_client(), make_client()
    one.get("/health/live")
    assert ("data_hist_http_requests_total", ("GET", "/health/live", "200")) not in numbers(other.get("/metrics").text)


def test_the_service_starts_and_closes_with_the_server(service: FakeQueryService) -> None:
    app = create_app(Settings(), service=service, log=json_log(io.BytesIO()), registry=CollectorRegistry())
    with app.test_client():
        assert service.is_started
        assert not service.is_closed
    assert service.is_closed


def test_readiness_says_what_is_wrong(client: TestClient, service: FakeQueryService) -> None:
    assert client.get("/health/ready").json() == {"status": "ok", "problems": []}
    service.troubles = ["the engine does not answer"]
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "problems": ["the engine does not answer"]}
    assert client.get("/health/live").status_code == 200


def test_readiness_while_stopping(make_client: Callable[..., TestClient]) -> None:
    stopping = asyncio.Event()
    client = make_client(stopping=stopping)
    stopping.set()
    assert client.get("/health/ready").status_code == 503


def test_a_finished_request_is_recorded(make_client: Callable[..., TestClient]) -> None:
    recorded = []
    client = make_client(record=lambda exchange, seconds: recorded.append((exchange.route, exchange.status)))
    client.get("/health/live")
    assert recorded == [("/health/live", 200)]


@pytest.mark.parametrize(
    ("format", "accept", "content_type"),
    [
        (None, None, "text/csv; charset=utf-8; header=present"),
        (None, "*/*", "text/csv; charset=utf-8; header=present"),
        (None, "text/*", "text/csv; charset=utf-8; header=present"),
        (None, "application/x-ndjson", "application/x-ndjson"),
        (None, "text/csv;q=0.5, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        (None, "application/vnd.apache.arrow.stream; q=0.1, text/html", "application/vnd.apache.arrow.stream"),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", "text/csv; charset=utf-8; header=present"),
        ("ndjson", "text/csv", "application/x-ndjson"),
        ("parquet", None, "application/vnd.apache.parquet"),
        ("ARROW", None, "application/vnd.apache.arrow.stream"),
    ],
)
def test_download_formats(client: TestClient, format: str | None, accept: str | None, content_type: str) -> None:
    query_id = client.post(QUERY, json={"query": "SELECT 1"}).json()["query_id"]
    headers = {} if accept is None else {"Accept": accept}
    path = f"/v0/data_hist/download/{query_id}" + (f"?format={format}" if format else "")
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{query_id}.')
    assert len(answer.text.splitlines()) == ROWS + 1


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("", "text/html"),
        ("", "text/csv;q=0"),
        ("", "application/json"),
        ("", "nonsense"),
        ("?format=xls", "text/csv"),
    ],
)
def test_formats_that_are_not_there(client: TestClient, path: str, accept: str) -> None:
    query_id = client.post(QUERY, json={"query": "SELECT 1"}).json()["query_id"]
    answer = client.get(f"/v0/data_hist/download/{query_id}{path}", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "NotAcceptable")


def test_download_of_a_running_query(client: TestClient) -> None:
    query_id = client.post(QUERY, json={"query": "slow"}).json()["query_id"]
    assert client.get(f"/v0/data_hist/download/{query_id}").status_code == 409


class RawRequest:
    """One request as a server would drive it, so that a test can leave in the middle."""

    def __init__(self, method: str, path: str, query_string: str = "", body: bytes = b"") -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query_string.encode(),
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "scheme": "http",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 1),
        }
        self.body = body
        self.sent: list[Any] = []
        self.begun = asyncio.Event()
        self.left = asyncio.Event()
        self._is_body_read = False

    async def receive(self) -> dict[str, Any]:
        if not self._is_body_read:
            self._is_body_read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.begun.set()
        await asyncio.sleep(0)


def raw_app(service: FakeQueryService, **options: Any) -> Any:
    return create_app(Settings(), service=service, log=json_log(io.BytesIO()), registry=CollectorRegistry(), **options)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to be")


@pytest.mark.parametrize("is_submit", [True, False])
def test_a_client_that_leaves_a_long_poll_frees_everything(service: FakeQueryService, is_submit: bool) -> None:
    async def scenario() -> None:
        app = raw_app(service)
        if is_submit:
            request = RawRequest("POST", QUERY, body=b'{"query": "slow", "wait_seconds": 50}')
        else:
            execution = await service.submit(QueryRequest("slow"), OPERATOR)
            request = RawRequest("GET", f"/v0/data_hist/status/{execution.query_id}", "wait_seconds=50")
        serving = asyncio.create_task(app(request.scope, request.receive, request.send))
        await until(lambda: service.waiting == 1)
        tasks_while_waiting = len(asyncio.all_tasks())
        request.left.set()
        await asyncio.wait_for(serving, 10)
        assert service.waiting == 0
        assert request.sent == []
        assert len(asyncio.all_tasks()) < tasks_while_waiting
        assert [execution.status for execution in service.executions.values()] == [QueryStatus.RUNNING]

    asyncio.run(scenario())


def test_a_server_that_stops_ends_long_polls_with_what_is_known(service: FakeQueryService) -> None:
    async def scenario() -> None:
        stopping = asyncio.Event()
        app = raw_app(service, stopping=stopping)
        execution = await service.submit(QueryRequest("slow"), OPERATOR)
        request = RawRequest("GET", f"/v0/data_hist/status/{execution.query_id}", "wait_seconds=50")
        serving = asyncio.create_task(app(request.scope, request.receive, request.send))
        await until(lambda: service.waiting == 1)
        stopping.set()
        await asyncio.wait_for(serving, 10)
        assert request.sent[0]["status"] == 200
        assert b'"RUNNING"' in request.sent[1]["body"]

    asyncio.run(scenario())


def test_a_client_that_leaves_a_download_closes_it(service: FakeQueryService) -> None:
    async def scenario() -> None:
        app = raw_app(service)
        execution = await service.submit(QueryRequest("SELECT huge"), OPERATOR)
        request = RawRequest("GET", f"/v0/data_hist/download/{execution.query_id}")
        serving = asyncio.create_task(app(request.scope, request.receive, request.send))
        await until(lambda: len(request.sent) > 3)
        assert service.open_downloads == 1
        request.left.set()
        await asyncio.wait_for(serving, 10)
        assert service.open_downloads == 0

    asyncio.run(scenario())


def test_a_download_that_breaks_is_cut_and_never_looks_whole(service: FakeQueryService) -> None:
    async def scenario() -> None:
        app = raw_app(service)
        execution = await service.submit(QueryRequest("SELECT torn"), OPERATOR)
        request = RawRequest("GET", f"/v0/data_hist/download/{execution.query_id}")
        with pytest.raises(Exception) as failure:  # noqa: PT011 - the server cuts the connection for any exception
            await app(request.scope, request.receive, request.send)
        assert "the spool is gone" in repr(failure.value) + repr(getattr(failure.value, "exceptions", ""))
        assert request.sent[0]["status"] == 200
        assert all(message.get("more_body", True) for message in request.sent)
        assert service.open_downloads == 0

    asyncio.run(scenario())


def test_a_body_over_the_limit_is_not_read_on(service: FakeQueryService) -> None:
    """Its length is not said beforehand, so reading has to stop by itself."""

    async def scenario() -> None:
        app = raw_app(service)
        request = RawRequest("POST", QUERY)
        chunks_read = 0

        async def endless() -> dict[str, Any]:
            nonlocal chunks_read
            chunks_read += 1
            return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

        await app(request.scope, endless, request.send)
        assert request.sent[0]["status"] == 413
        assert chunks_read == 11

    asyncio.run(scenario())
