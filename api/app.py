"""Puts the HTTP application together: the contract, its operations, security, the edge around it all.

    [CORSMiddleware     starlette: where other origins are allowed]
    Edge                request id, origin, problems, headers of every answer, access log, numbers
    Documentation       Swagger UI
    RoutingMiddleware   connexion: path and method -> operation
    SecurityMiddleware  connexion: key -> caller
    [ResponseValidationMiddleware  connexion, in tests: answers must be what the contract says]
    OperationsMiddleware  checks, binds, calls the handler: api.operations.*
    LifespanMiddleware  connexion: start and stop
    (behind it)         the pages that are no part of the contract

Everything it works with is handed in; api.composition builds that for the embedded service.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from connexion import AsyncApp
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.middleware.response_validation import ResponseValidationMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.validators import JSONResponseBodyValidator
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

from api.auth import Gate, Keys, security_map
from api.bearer import BearerTokens
from api.contract import VERSIONS, below, load_contract
from api.documentation import Documentation, Pages, add_pages, swagger_ui_options
from api.edge import Edge, Recorder, routes_of
from api.logs import Log, json_log
from api.metrics import Reading, Readings, RequestMetrics, exposition
from api.operation import Application, OperationsMiddleware
from api.peers import TrustedPeers
from api.problem_types import problem_pages
from api.rate_limits import RateLimits
from api.settings import Settings
from service.audit import AuditTrail
from service.queries import QueryService


def create_app(
    settings: Settings,
    *,
    service: QueryService,
    keys: Keys | None = None,
    bearer: BearerTokens | None = None,
    audit: AuditTrail | None = None,
    log: Log | None = None,
    registry: CollectorRegistry | None = None,
    readings: Callable[[], Iterable[Reading]] | None = None,
    record: Recorder | None = None,
    tracer: Tracer | None = None,
    stopping: asyncio.Event | None = None,
    close: Callable[[], None] | None = None,
    validate_responses: bool = False,
) -> AsyncApp:
    """The ASGI application over `service`.

    `keys` None, with neither `bearer` nor trusted peers, is a service open to whoever reaches it. `stopping`, once
    set, ends long polls and readiness. Without a `tracer` requests are not traced. `close` is called after the service
    is closed, when the server stops.
    `validate_responses` is for tests: it reads and checks every answer.
    """
    log = json_log(sys.stderr.buffer, settings.log_level) if log is None else log
    registry = CollectorRegistry() if registry is None else registry
    if readings is not None:
        registry.register(Readings(readings))
    application = Application(
        service=service,
        scrape=partial(exposition, registry),
        stopping=stopping or asyncio.Event(),
        rate_limits=RateLimits(settings.rate_limit),
        audit=audit,
        public_url=settings.public_url or "",
    )

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            application.stopping.set()
            await service.close()
            if close is not None:
                await asyncio.to_thread(close)

    contracts = {version: load_contract(version) for version in VERSIONS}
    edge = partial(
        Edge,
        log=log,
        metrics=RequestMetrics(registry),
        has_access_log=settings.access_log,
        record=record,
        peers=TrustedPeers(settings.trusted_peers),
        routes=routes_of(contracts.values()),
        tracer=tracer,
    )
    gate = Gate(
        keys,
        bearer=bearer,
        has_gateway=bool(settings.trusted_peers),
        maximum_scan_bytes=settings.max_bytes_scanned,
    )
    app = AsyncApp(
        "api",
        lifespan=lifespan,
        middlewares=[
            *_cross_origin(settings),
            edge,
            Documentation,
            RoutingMiddleware,
            SecurityMiddleware,
            *([ResponseValidationMiddleware] if validate_responses else []),
            partial(OperationsMiddleware, application=application),
            LifespanMiddleware,
        ],
        security_map=security_map(gate),
        validate_responses=validate_responses,
        # connexion would take x-ndjson for JSON
        validator_map={"response": {"application/json": JSONResponseBodyValidator}},
    )
    # the first version holds what has no version in its path, and so stands at the root: behind the others
    for version in reversed(VERSIONS):
        base_path = "" if version == VERSIONS[0] else f"/{version}"
        app.add_api(
            below(contracts[version], base_path),
            base_path=base_path,
            name=version,
            swagger_ui_options=swagger_ui_options(version, base_path),
        )
    add_pages(app, Pages(contracts, problem_pages()))
    return app


def _cross_origin(settings: Settings) -> list[Callable[..., Any]]:
    """Lets pages of the named origins call, with a key in a header; never with a browser's own credentials, which a
    page of another origin could make use of.
    """
    if not settings.cors_origins:
        return []
    return [
        partial(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "X-API-Key",
                "X-Request-Id",
                "Traceparent",
            ],
            expose_headers=["Content-Disposition", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
            allow_credentials=False,
            max_age=600,
        )
    ]
