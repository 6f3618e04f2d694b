"""The outermost layer: gives each request its id, knows where it came from, refuses heads that are too large, turns
every error into a problem, gives every answer the headers browsers need, writes the access log, counts.

It stands around all of connexion, so that connexion's and starlette's own errors come out in the contract's one
format too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from connexion.middleware.abstract import ROUTING_CONTEXT
from opentelemetry.trace import Tracer
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.contract import first_step
from api.exchange import UNMATCHED, Exchange, begin_exchange
from api.logs import Log
from api.metrics import RequestMetrics
from api.peers import TrustedPeers
from api.problems import problem_response
from api.request_limits import check_head
from api.response_headers import added_headers
from api.tracing import request_span

CLIENT_LEFT = 499  # nginx's number for it: never sent, only logged and counted

Recorder = Callable[[Exchange, float], None]


def routes_of(contracts: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """What Edge takes as `routes`."""
    return {
        (first_step(path), operation["operationId"]): path
        for contract in contracts
        for path, operations in contract["paths"].items()
        for operation in operations.values()
    }


class Edge:
    """ASGI middleware. `record` is told each finished exchange and its duration in seconds (request events).

    `peers` are those that may say where a request came from. `routes`: (first step of the path, operationId) -> path
    template, for requests that are refused before their operation is reached. Without a `tracer`
    requests are not traced.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: Log,
        metrics: RequestMetrics,
        has_access_log: bool = True,
        record: Recorder | None = None,
        peers: TrustedPeers | None = None,
        routes: Mapping[tuple[str, str], str] | None = None,
        tracer: Tracer | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._log = log
        self._metrics = metrics
        self._has_access_log = has_access_log
        self._record = record
        self._peers = peers or TrustedPeers()
        self._routes = routes or {}
        self._tracer = tracer
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()
        exchange = begin_exchange(scope)
        exchange.origin = self._peers.origin(scope)
        is_https = exchange.origin.scheme == "https"
        request_id_header = (b"x-request-id", exchange.request_id.encode())

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = [*message["headers"], *exchange.headers, request_id_header]
                message["headers"] = headers + added_headers(headers, is_https=is_https)
            else:
                exchange.sent_bytes += len(message.get("body", b""))
            await send(message)

        self._metrics.in_flight.inc()
        try:
            with bound_contextvars(request_id=exchange.request_id), self._span(scope, exchange):
                try:
                    await self._serve(exchange, scope, receive, observed_send)
                finally:
                    if exchange.route == UNMATCHED:
                        exchange.route = self._route_of(scope)
                    self._finish(exchange, self._clock() - started)
        finally:
            self._metrics.in_flight.dec()

    def _span(self, scope: Scope, exchange: Exchange) -> AbstractContextManager[None]:
        return nullcontext() if self._tracer is None else request_span(self._tracer, scope, exchange)

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_head(scope)
            await self._app(scope, receive, send)
        except ClientDisconnect:
            exchange.status = CLIENT_LEFT
        except asyncio.CancelledError:
            exchange.status = exchange.status or CLIENT_LEFT
            raise
        except Exception as error:
            if exchange.status is not None:  # half an answer is out: only cutting the connection tells the client
                self._log.error("answer broken off", exc_info=error, route=exchange.route)
                exchange.code = "InternalError"
                raise
            response, exchange.code = problem_response(error, instance=exchange.path, request_id=exchange.request_id)
            if exchange.code == "InternalError":
                self._log.error("request failed", exc_info=error, route=exchange.route)
            await response(scope, receive, send)

    def _route_of(self, scope: Scope) -> str:
        """The path template of a request that was routed, and refused before its operation said so itself."""
        operation_id = scope["extensions"].get(ROUTING_CONTEXT, {}).get("operation_id")
        return self._routes.get((first_step(scope["path"]), operation_id), UNMATCHED)

    def _finish(self, exchange: Exchange, duration_seconds: float) -> None:
        status = exchange.status or CLIENT_LEFT
        self._metrics.observe(exchange.method, exchange.route, status, duration_seconds, exchange.sent_bytes)
        if self._has_access_log:
            self._log.info(
                "request",
                method=exchange.method,
                route=exchange.route,
                status=status,
                duration_ms=round(duration_seconds * 1000, 3),
                request_id=exchange.request_id,
                client=exchange.origin.client,
                tenant=exchange.tenant,
                key_id=exchange.key_id,
                query_id=exchange.query_id,
                code=exchange.code,
                sent_bytes=exchange.sent_bytes,
            )
        if self._record is not None:
            self._record(exchange, duration_seconds)
