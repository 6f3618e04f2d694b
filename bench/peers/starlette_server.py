"""The floor of HTTP in Python: bare Starlette under uvicorn answers one ready JSON body. Run: starlette_server PORT."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = b'{"query_id":"00000000-0000-0000-0000-000000000000","status":"FINISHED","is_terminal":true,"has_result":true}'


async def status(_: Request) -> Response:
    return Response(BODY, media_type="application/json")


if __name__ == "__main__":
    routes = [Route("/v0/data_hist/status/{query_id}", status), Route("/health/ready", status)]
    uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), log_level="critical", access_log=False)
