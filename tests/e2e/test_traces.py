"""Spans arrive at a collector over OTLP: one trace from the caller's request to the rows."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.conftest import Server

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """What an OpenTelemetry collector takes in at /v1/traces."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            named = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name and span.trace_id.hex() == TRACE]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_one_trace_from_the_request_to_the_rows(start_server: Callable[..., Server], collector: Collector) -> None:
    server = start_server(
        DATA_HIST_TRACES="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICE_NAME="history",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    body = {"query": "SELECT count(*) AS n FROM events", "retention_minutes": 5, "wait_seconds": 30}
    assert server.client.post("/v0/data_hist/query", json=body, headers=headers).json()["status"] == "FINISHED"
    deadline = time.monotonic() + 60
    wanted = ("POST /v0/data_hist/query", "plan", "query", "engine start", "engine wait", "spool")
    while not all(collector.named(name) for name in wanted):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    request, query = (collector.named(name)[0] for name in ("POST /v0/data_hist/query", "query"))
    assert query.parent_span_id == request.span_id
    assert collector.named("spool")[0].parent_span_id == query.span_id
    assert collector.services == {"history"}


def test_a_collector_that_does_not_answer_costs_no_request(start_server: Callable[..., Server]) -> None:
    server = start_server(
        DATA_HIST_TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1"
    )
    assert server.rows("SELECT count(*) AS n FROM events WHERE servicename = 'none'") == [{"n": 0}]
    server.stop()
