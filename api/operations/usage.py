"""What tenants have used."""

from __future__ import annotations

from starlette.responses import Response

from api.operation import Call
from api.rendering import json_response, usage_document
from api.times import milliseconds
from service.budgets import Grouping


async def report(call: Call, *, from_: str | None, to: str | None, by: str) -> Response:
    """GET /usage: bytes and money by day, tenant or key."""
    used = await call.service.usage(
        call.caller,
        from_ms=milliseconds(from_, "from"),
        to_ms=milliseconds(to, "to"),
        grouping=Grouping(by),
    )
    return json_response(usage_document(used))
