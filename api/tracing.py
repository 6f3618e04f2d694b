"""Requests as spans of OpenTelemetry, and where spans are sent.

`DATA_HIST_TRACES=otlp` sends them by OTLP over HTTP. Where to, how many and under which name is told by OpenTelemetry's
own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`,
`OTEL_RESOURCE_ATTRIBUTES`). A collector that does not answer costs spans, never a request: they are sent by a thread of
their own from a bounded buffer.

A caller's `traceparent` (W3C Trace Context) is continued, so that its trace goes through us to the engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span
from starlette.types import Scope
from structlog.types import EventDict, WrappedLogger

from api.exchange import Exchange
from service.tracing import continued

if TYPE_CHECKING:  # the SDK is imported by those who trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "data-hist"


def tracer_provider(exporter: SpanExporter | None = None) -> TracerProvider:
    """The provider of this process; it sends by OTLP unless an exporter is given. Shut it down at the end."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: metadata.version("data-hist")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@contextmanager
def request_span(tracer: Tracer, scope: Scope, exchange: Exchange) -> Iterator[None]:
    """The span of one request; what the exchange has learned by its end becomes its name and attributes."""
    parent = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
    context = continued(parent.decode("latin-1")) if parent is not None else None
    with tracer.start_as_current_span(
        exchange.method, context=context, kind=SpanKind.SERVER, record_exception=False
    ) as span:
        try:
            yield
        finally:
            _describe(span, exchange)


def _describe(span: Span, exchange: Exchange) -> None:
    """HTTP semantic conventions, server side: an answer of 5xx is an error, one of 4xx is the caller's."""
    span.update_name(f"{exchange.method} {exchange.route}")
    status = exchange.status or 0
    attributes: dict[str, str | int | None] = {
        "http.request.method": exchange.method,
        "http.route": exchange.route,
        "http.response.status_code": status,
        "client.address": exchange.origin.client,
        "data_hist.request_id": exchange.request_id,
        "data_hist.tenant": exchange.tenant,
        "data_hist.query_id": exchange.query_id,
        "error.type": exchange.code if status >= 500 else None,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def add_trace_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor of log lines: what is logged within a span says in which."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event
