"""Swagger UI, the contract, the landing page and the pages of problem types: what a person in a browser sees.

All of it is made once at start and comes from the installed packages, so it works with no network.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import orjson
from connexion.middleware.swagger_ui import SwaggerUIMiddleware
from connexion.options import SwaggerUIOptions
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.contract import Document
from api.exchange import exchange_of
from api.problems import NotFound

SWAGGER_UI_PATH = "/v0/ui"
CONTRACT_PATH = "/v0/openapi.json"


def swagger_ui_options() -> SwaggerUIOptions:
    """Swagger UI at /v0/ui/, reading the contract from CONTRACT_PATH (served by us: connexion's own would be
    taken apart).
    """
    return SwaggerUIOptions(
        swagger_ui_path=SWAGGER_UI_PATH,
        spec_path=CONTRACT_PATH,
        serve_spec=False,
        swagger_ui_config={
            "url": f"..{CONTRACT_PATH.removeprefix('/v0')}",
            "displayRequestDuration": True,
            "tryItOutEnabled": True,
            "persistAuthorization": False,
            "validatorUrl": None,
        },
    )


class Documentation(SwaggerUIMiddleware):  # type: ignore[misc]  # connexion has no type hints that mypy is told of
    """connexion's Swagger UI, asked only for its own paths: every other request skips its router."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(SWAGGER_UI_PATH):
            exchange_of(scope).route = f"{SWAGGER_UI_PATH}/"
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Pages:
    """Endpoints beside the contract."""

    def __init__(self, contract: Document, problem_pages: dict[str, str]) -> None:
        """`problem_pages` is the last part of a problem's `type` -> HTML."""
        self._contract = orjson.dumps(contract)
        self._landing = resources.files("api").joinpath("console/index.html").read_bytes()
        self._problem_pages = problem_pages

    async def contract(self, request: Request) -> Response:
        """The whole contract as one JSON document."""
        exchange_of(request.scope).route = CONTRACT_PATH
        return Response(self._contract, media_type="application/json")

    async def landing(self, request: Request) -> Response:
        """What this is, and the three calls to try."""
        exchange_of(request.scope).route = "/"
        return Response(self._landing, media_type="text/html")

    async def problem_type(self, request: Request) -> Response:
        """What a problem's `type` leads to."""
        exchange_of(request.scope).route = "/v0/problems/{name}"
        name = request.path_params["name"]
        if name not in self._problem_pages:
            raise NotFound(f"There is no kind of problem called {name[:100]}.")
        return Response(self._problem_pages[name], media_type="text/html")


def add_pages(app: Any, pages: Pages) -> None:
    """Adds the pages to a connexion application."""
    app.add_url_rule("/", "landing", pages.landing, methods=["GET"])
    app.add_url_rule(CONTRACT_PATH, "contract", pages.contract, methods=["GET"])
    app.add_url_rule("/v0/problems/{name}", "problem_type", pages.problem_type, methods=["GET"])
