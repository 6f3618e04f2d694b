"""A request is a span: part of its caller's trace, named by its route, with what the exchange has learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from api.tracing import SERVICE, tracer_provider
from tests.unit.api.fake_service import FakeQueryService

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Traced:
    """A provider that keeps its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider: TracerProvider = tracer_provider(self._exporter)

    def spans(self) -> tuple[ReadableSpan, ...]:
        self.provider.force_flush()
        return self._exporter.get_finished_spans()


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.provider.shutdown()


@pytest.fixture
def client(make_client: Callable[..., TestClient], traced: Traced) -> TestClient:
    return make_client(tracer=traced.provider.get_tracer(SERVICE))


def test_a_request_is_a_span_named_by_its_route(client: TestClient, traced: Traced) -> None:
    body = {"query": "SELECT secret FROM events", "retention_minutes": 5}
    query_id = client.post("/v0/data_hist/query", json=body).json()["query_id"]
    client.get(f"/v0/data_hist/status/{query_id}")
    submit, status = traced.spans()
    assert (submit.name, status.name) == ("POST /v0/data_hist/query", "GET /v0/data_hist/status/{query_id}")
    assert status.kind is SpanKind.SERVER
    assert status.parent is None
    attributes = dict(status.attributes or {})
    assert attributes["http.response.status_code"] == 200
    assert attributes["http.route"] == "/v0/data_hist/status/{query_id}"
    assert attributes["data_hist.query_id"] == query_id
    assert "secret" not in repr([dict(span.attributes or {}) for span in (submit, status)])
    assert status.resource.attributes["service.name"] == "data-hist"


def test_the_caller_s_trace_goes_on(client: TestClient, traced: Traced, log_lines: Callable[[], Any]) -> None:
    client.get("/health/live", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = traced.spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    (line,) = [line for line in log_lines() if line["event"] == "request"]
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{span.context.span_id:016x}")


@pytest.mark.parametrize("header", ["", "00-0-0-0", "garbage", f"00-{'0' * 32}-{PARENT}-01", "ü" * 300])
def test_a_place_that_is_none_begins_a_trace(client: TestClient, traced: Traced, header: str) -> None:
    assert client.get("/health/live", headers={"traceparent": header.encode()}).status_code == 200
    (span,) = traced.spans()
    assert span.parent is None


def test_our_faults_are_errors_and_the_caller_s_are_not(
    client: TestClient, traced: Traced, service: FakeQueryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/v0/data_hist/tables/none")

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a detail that nobody is told")

    monkeypatch.setattr(service, "tables", fail)
    assert client.get("/v0/data_hist/tables").status_code == 500
    not_found, failed = traced.spans()
    assert not_found.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes or {})["error.type"] == "InternalError"
    assert "nobody is told" not in failed.to_json()


def test_without_a_tracer_log_lines_have_no_trace(
    make_client: Callable[..., TestClient], log_lines: Callable[[], Any]
) -> None:
    make_client().get("/health/live", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert all("trace_id" not in line for line in log_lines())


def test_what_queries_wait_for_is_named_and_traffic_still_welcome(
    client: TestClient, service: FakeQueryService
) -> None:
    service.waits_for = ("athena: AWS does not answer",)
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "problems": ["athena: AWS does not answer"]}
