"""The real HTTP application over a fake query service, every answer checked against the contract."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.logs import json_log
from api.settings import Settings
from service.model import Caller
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient


class FakeKeys:
    """Keys in memory: secret -> caller. `lookups` counts how often the store was asked."""

    def __init__(self, **callers: Caller) -> None:
        self.callers: dict[str, Caller] = callers
        self.was_ever_used = bool(callers)
        self.lookups = 0

    def is_empty(self) -> bool:
        return not (self.was_ever_used or self.callers)

    def authenticate(self, secret: str) -> Caller | None:
        self.lookups += 1
        return self.callers.get(secret)


@pytest.fixture
def service() -> FakeQueryService:
    return FakeQueryService()


@pytest.fixture
def log_stream() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def log_lines(log_stream: io.BytesIO) -> Callable[[], list[dict[str, Any]]]:
    """What was logged so far, one dictionary a line."""
    return lambda: [json.loads(line) for line in log_stream.getvalue().splitlines()]


@pytest.fixture
def make_client(service: FakeQueryService, log_stream: io.BytesIO) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of an application; `keys` as create_app takes them, `client` is the peer's address."""
    clients = []

    def make(
        keys: FakeKeys | None = None, *, settings: Settings | None = None, client: Any = None, **options: Any
    ) -> TestClient:
        options.setdefault("validate_responses", True)
        options = {"service": service, "log": json_log(log_stream), "registry": CollectorRegistry(), **options}
        app = create_app(settings or Settings(), keys=keys, **options)
        peer = {} if client is None else {"client": client}
        client = app.test_client(base_url="http://127.0.0.1:8080", follow_redirects=False, **peer)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    """A client of an open service."""
    return make_client()
