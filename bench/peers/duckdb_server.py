"""Paging by hand: DuckDB over a Parquet file behind Starlette, LIMIT and OFFSET, orjson. Run: duckdb_server PORT FILE.

`GET /page?offset=N` answers 1000 rows as JSON arrays, as somebody would write it in an hour.
"""

from __future__ import annotations

import sys

import duckdb
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def application(path: str) -> Starlette:
    """The application over one Parquet file."""
    connection = duckdb.connect()

    def page(request: Request) -> Response:
        offset = int(request.query_params["offset"])
        sql = f"SELECT * FROM read_parquet('{path}') LIMIT 1000 OFFSET {offset}"
        rows = connection.cursor().execute(sql).fetchall()
        return Response(orjson.dumps({"rows": rows}), media_type="application/json")

    async def ready(_: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/page", page), Route("/health/ready", ready)])


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), log_level="critical", access_log=False)
