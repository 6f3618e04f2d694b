"""What there is to query."""

from __future__ import annotations

from starlette.responses import Response

from api.operation import Call
from api.rendering import json_response, table_document


async def listing(call: Call) -> Response:
    """GET /tables: every table with its data dictionary and freshness."""
    tables = await call.service.tables(call.caller)
    return json_response({"tables": [table_document(table) for table in tables]})


async def description(call: Call, *, table: str) -> Response:
    """GET /tables/{table}."""
    return json_response(table_document(await call.service.table(table, call.caller)))
