"""Runs the service: one process, uvicorn with uvloop, until SIGTERM or SIGINT.

Stopping is graceful: no new connections, long polls answer with what they know, running requests get
`shutdown_seconds`, then the query service gives unfinished queries back to the store, from where the next process
takes them up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from api.app import create_app
from api.bearer import bearer_tokens
from api.budget_plan import budget_plan
from api.composition import World, build_world
from api.http_protocol import BoundedProtocol
from api.logs import Log, json_log, route_library_logs
from api.settings import Settings, SettingsError, unknown_settings
from embedded.directory_lock import DirectoryInUse
from glue.table_spec import InvalidTableSpec

KEEP_ALIVE_SECONDS = 75


def require_safe_address(settings: Settings, world: World) -> None:
    """Raises SettingsError for an address that others can reach while anybody would be let in: no API key exists, and
    neither an identity provider nor a gateway is configured.
    """
    has_other_way_in = settings.jwt_issuer is not None or settings.trusted_peers
    if not settings.is_loopback and not has_other_way_in and world.keys.is_empty():
        raise SettingsError(
            f"{settings.host} can be reached from other machines, and no API key exists, so everybody could read"
            f" everything. Make one first: data-hist keys create --scope query --data-dir {settings.data_dir}"
        )


def open_world(settings: Settings, log: Log, *, patience_seconds: float = 0) -> World:
    """The embedded world of these settings, not started.

    Raises SettingsError when its address is not safe, or another process still serves its data directory after
    `patience_seconds`.
    """
    route_library_logs(log, settings.log_level)
    for sentence in unknown_settings(os.environ):
        log.warning("unknown setting", detail=sentence)
    bearer_tokens(settings)
    budget_plan(settings)
    try:
        world = build_world(settings.data_dir, settings, patience_seconds=patience_seconds)
    except (DirectoryInUse, InvalidTableSpec) as error:
        raise SettingsError(str(error)) from error
    try:
        require_safe_address(settings, world)
    except SettingsError:
        world.close()
        raise
    return world


def application_of(world: World, log: Log, stopping: asyncio.Event | None = None) -> Any:
    """The ASGI application of an embedded world; when the server stops it closes the world."""
    return create_app(
        world.settings,
        service=world.query_service,
        keys=world.keys,
        bearer=bearer_tokens(world.settings),
        audit=world.audit,
        log=log,
        readings=world.readings,
        record=world.record if world.request_events is not None else None,
        tracer=world.tracer,
        stopping=stopping,
        close=world.close,
    )


class GracefulServer(uvicorn.Server):
    """uvicorn's server that tells the application at the first signal that it is about to stop.

    After SIGTERM it first drains for `drain_seconds`: `on_drain` makes readiness say no, and requests are still served.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: asyncio.Event,
        log: Log,
        on_listening: Callable[[str], None] | None,
        *,
        drain_seconds: float = 0,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._drain_seconds = drain_seconds
        self._on_drain = on_drain
        self._is_draining = False
        self._log = log
        self._on_listening = on_listening
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Listens, and says where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                self._log.info("listening", url=url, port=port)
                if self._on_listening is not None:
                    self._on_listening(url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """The first signal asks for a graceful stop, after draining if it is SIGTERM; a second one ends the draining, a
        second SIGINT the waiting for requests too (uvicorn).
        """
        if self._loop is None or self._is_draining or self._drain_seconds == 0 or sig != signal.SIGTERM:
            self._stop(sig)
        else:
            self._is_draining = True
            self._loop.call_soon_threadsafe(self._drain, sig)

    def _drain(self, sig: int) -> None:
        self._log.info("draining", seconds=self._drain_seconds)
        self._on_drain()
        asyncio.get_running_loop().call_later(self._drain_seconds, self._stop, sig)

    def _stop(self, sig: int) -> None:
        if self.should_exit and sig != signal.SIGINT:
            return
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        super().handle_exit(sig, None)


def serve(settings: Settings, *, on_listening: Callable[[str], None] | None = None) -> int:
    """Serves until a signal ends it; the exit code. `on_listening` hears the URL of each address it listens on.

    Raises SettingsError, before anything listens, when the address is not safe.
    """
    log = json_log(sys.stderr.buffer, settings.log_level)
    world = open_world(settings, log)
    stopping = asyncio.Event()
    config = uvicorn.Config(
        application_of(world, log, stopping),
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=BoundedProtocol,
        proxy_headers=False,  # api.peers decides whom to believe
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = GracefulServer(
        config,
        stopping,
        log,
        on_listening,
        drain_seconds=settings.drain_seconds,
        on_drain=world.query_service.begin_draining,
    )
    signal.signal(signal.SIGTERM, _exit_cleanly)  # uvicorn raises the signal once more after its graceful stop
    try:
        server.run()
    finally:
        log.info("stopped")
    return 0 if server.started else 3


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
