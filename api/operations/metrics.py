"""The service's numbers for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.operation import Call


async def scrape(call: Call) -> Response:
    """GET /metrics, in Prometheus' text format."""
    content = await run_in_threadpool(call.application.scrape)
    return Response(content, headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})
