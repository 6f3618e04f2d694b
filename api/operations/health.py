"""Probes for whoever keeps the process running."""

from __future__ import annotations

from starlette.responses import Response

from api.operation import Call
from api.rendering import json_response


async def live(_call: Call) -> Response:
    """GET /health/live: the process can answer."""
    return json_response({"status": "ok"})


async def ready(call: Call) -> Response:
    """GET /health/ready: 200 when queries can be taken, 503 with the reasons when not.

    An engine that does not answer is told, and no reason to send no traffic: every replica would be out at once, and
    with them the results that are there.
    """
    problems = list(call.service.problems())
    if call.application.stopping.is_set():
        problems.append("the service is stopping")
    if not problems:
        degradations = list(call.service.degradations())
        return json_response({"status": "degraded" if degradations else "ok", "problems": degradations})
    response = json_response({"status": "failing", "problems": problems}, 503)
    response.headers["retry-after"] = "2"
    return response
