"""Swagger UI, the contract, the landing page and the pages of problem types: what a person in a browser sees.

All of it is made once at start and comes from the installed packages, so it works with no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import orjson
from connexion.middleware.swagger_ui import SwaggerUIMiddleware
from connexion.options import SwaggerUIOptions
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.contract import VERSIONS, Document
from api.exchange import exchange_of
from api.problems import NotFound
from api.response_headers import page_policy

SWAGGER_UI_PATHS = {version: f"/{version}/ui" for version in VERSIONS}
CONTRACT_PATHS = {version: f"/{version}/openapi.json" for version in VERSIONS}


def swagger_ui_options(version: str, base_path: str) -> SwaggerUIOptions:
    """Swagger UI at /v0/ui/, reading the contract from /v0/openapi.json (served by us: connexion's own would be
    taken apart).
    """
    return SwaggerUIOptions(
        swagger_ui_path=SWAGGER_UI_PATHS[version].removeprefix(base_path),
        spec_path=CONTRACT_PATHS[version].removeprefix(base_path),
        serve_spec=False,
        swagger_ui_config={
            "url": "../openapi.json",
            "displayRequestDuration": True,
            "tryItOutEnabled": True,
            "persistAuthorization": False,
            "validatorUrl": None,
        },
    )


class Documentation(SwaggerUIMiddleware):  # type: ignore[misc]  # connexion has no type hints that mypy is told of
    """connexion's Swagger UI, asked only for its own paths: every other request skips its router.

    Its page starts itself by an inline script, which the page's policy names by its hash.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = (
            next((p for p in SWAGGER_UI_PATHS.values() if scope["path"].startswith(p)), "") if _is_http(scope) else ""
        )
        if path:
            exchange_of(scope).route = f"{path}/"
            await super().__call__(scope, receive, _with_page_policy(send))
        else:
            await self.app(scope, receive, send)


def _is_http(scope: Scope) -> bool:
    kind: str = scope["type"]
    return kind == "http"


def _with_page_policy(send: Send) -> Send:
    """Holds back the start of an answer until its body is known; a page gets its policy, anything else is cacheable
    after asking.
    """
    start: Message | None = None

    async def send_with_policy(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        if start is not None:
            headers = [*start["headers"], (b"cache-control", b"no-cache")]
            if any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers):
                policy = page_policy(message.get("body", b"").decode(), allows_inline_styles=True)
                headers.append((b"content-security-policy", policy.encode()))
            await send({**start, "headers": headers})
            start = None
        await send(message)

    return send_with_policy


class Pages:
    """Endpoints beside the contract."""

    def __init__(self, contracts: Mapping[str, Document], problem_pages: dict[str, str]) -> None:
        """`contracts` by version; `problem_pages` is the last part of a problem's `type` -> HTML."""
        self._contracts = {CONTRACT_PATHS[version]: orjson.dumps(contract) for version, contract in contracts.items()}
        self._landing = resources.files("api").joinpath("console/index.html").read_text(encoding="utf-8")
        self._problem_pages = problem_pages

    async def contract(self, request: Request) -> Response:
        """The whole contract as one JSON document."""
        path = exchange_of(request.scope).route = request.scope["path"]
        return Response(self._contracts[path], headers={"cache-control": "no-cache"}, media_type="application/json")

    async def landing(self, request: Request) -> Response:
        """What this is, and the three calls to try."""
        exchange_of(request.scope).route = "/"
        return _page(self._landing)

    async def problem_type(self, request: Request) -> Response:
        """What a problem's `type` leads to."""
        exchange_of(request.scope).route = "/v0/problems/{name}"
        name = request.path_params["name"]
        if name not in self._problem_pages:
            raise NotFound(f"There is no kind of problem called {name[:100]}.")
        return _page(self._problem_pages[name])


def _page(html: str) -> Response:
    headers = {"cache-control": "no-cache", "content-security-policy": page_policy(html)}
    return Response(html, headers=headers, media_type="text/html")


def add_pages(app: Any, pages: Pages) -> None:
    """Adds the pages to a connexion application."""
    app.add_url_rule("/", "landing", pages.landing, methods=["GET"])
    for version, path in CONTRACT_PATHS.items():
        app.add_url_rule(path, f"contract_{version}", pages.contract, methods=["GET"])
    app.add_url_rule("/v0/problems/{name}", "problem_type", pages.problem_type, methods=["GET"])
