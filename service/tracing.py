"""A query's life as spans of OpenTelemetry: the road from the request that asked, through our queue, to the engine.

    POST /v0/data_hist/query          the request (api.tracing)
      plan                            policy, pruning, estimate
      query                           one drive of the query, by whichever process has it
        engine start                  asked to run
        engine wait                   until it ended
        spool                         the result as rows

The request has long been answered when the query runs, perhaps in another process: its place in the trace is kept with
the execution as W3C `traceparent`. Tracers are handed in; the default one does nothing and costs nothing to speak of.
Attributes follow OpenTelemetry's semantic conventions (`db.*`, `error.type`); ours begin with `data_hist.`. SQL,
parameters and rows are never attributes.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

NO_TRACER: Tracer = NoOpTracer()
_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"


def current_trace_parent() -> str | None:
    """Where in a trace this code runs, as W3C traceparent; None where nothing is traced."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER)


def continued(trace_parent: str | None) -> Context | None:
    """The context in which a span is a child of that place; None begins a trace of its own."""
    return None if trace_parent is None else _PROPAGATOR.extract({_HEADER: trace_parent}, context=Context())
