"""What there is to query."""

from __future__ import annotations

from starlette.responses import Response

from api.operation import Call
from api.rendering import json_response, partition_listing_document, table_document
from api.times import milliseconds


async def listing(call: Call) -> Response:
    """GET /tables: every table with its data dictionary and freshness."""
    tables = await call.service.tables(call.caller, database=call.database)
    return json_response({"tables": [table_document(table) for table in tables]})


async def description(call: Call, *, table: str) -> Response:
    """GET /tables/{table}."""
    return json_response(table_document(await call.service.table(table, call.caller, database=call.database)))


async def partitions(
    call: Call, *, table: str, from_: str | None, to: str | None, limit: int, paging_token: str | None
) -> Response:
    """GET /tables/{table}/partitions."""
    listing = await call.service.partitions(
        table,
        call.caller,
        from_ms=milliseconds(from_, "from"),
        to_ms=milliseconds(to, "to"),
        limit=limit,
        paging_token=paging_token,
        database=call.database,
    )
    return json_response(partition_listing_document(listing))
