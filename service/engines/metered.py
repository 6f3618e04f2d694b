"""An engine that adds up what its queries have read: for GET /metrics."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from service.engine import NOBODY, ByteStream, Engine, EngineExecution, MalformedRows, StartContext
from service.model import OutputColumn


class MeteredEngine:
    """`engine` itself, and `scanned_bytes`: what the executions that were waited for here have read, in bytes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self.scanned_bytes = 0

    @property
    def name(self) -> str:
        """The engine's name."""
        return self._engine.name

    def start(self, sql: str, *, token: str, context: StartContext = NOBODY) -> str:
        """As Engine.start."""
        return self._engine.start(sql, token=token, context=context)

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        """As Engine.wait."""
        ended = self._engine.wait(engine_id, on_change)
        with self._lock:
            self.scanned_bytes += ended.statistics.data_scanned_bytes or 0
        return ended

    def stop(self, engine_id: str) -> None:
        """As Engine.stop."""
        self._engine.stop(engine_id)

    def columns(self, engine_id: str) -> tuple[OutputColumn, ...]:
        """As Engine.columns."""
        return self._engine.columns(engine_id)

    def malformed_rows(self, engine_id: str) -> MalformedRows:
        """As Engine.malformed_rows."""
        return self._engine.malformed_rows(engine_id)

    def open_result(self, engine_id: str, location: str | None) -> ByteStream:
        """As Engine.open_result."""
        return self._engine.open_result(engine_id, location)

    def delete_result(self, engine_id: str, location: str) -> None:
        """As Engine.delete_result."""
        self._engine.delete_result(engine_id, location)

    def close(self) -> None:
        """As Engine.close."""
        self._engine.close()
