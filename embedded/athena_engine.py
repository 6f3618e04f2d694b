"""The DuckDB instance behind an embedded Athena, and the slots its queries run in.

One instance per Athena, one cursor per query, a bounded number of queries at once; the others wait in the order they
came. The instance is locked down before the first query: it opens no file outside the lake and its own temporary
folder, installs and loads nothing, and its settings can no longer be changed. What does not fit the memory limit spills
to the temporary folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import duckdb

from embedded.sql.catalogue import Translation
from embedded.sql.physical import text_literal
from embedded.sql.translation import install, prepare

_INTERRUPT_INTERVAL_SECONDS = 0.05
_NICENESS = 10


class Cancelled(Exception):
    """The query was stopped while it ran."""


class Run:
    """One query's turn: its cursor, and whether somebody has stopped it."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def check(self) -> None:
        """Raises Cancelled when the query was stopped: called between the steps that DuckDB does not see."""
        if self._stopped.is_set():
            raise Cancelled

    def use(self, cursor: duckdb.DuckDBPyConnection) -> None:
        with self._lock:
            self._cursor = cursor
        self.check()

    def release(self) -> None:
        """The cursor is about to be closed: nothing to interrupt any more."""
        with self._lock:
            self._cursor = None

    def stop(self) -> None:
        """Interrupts until the cursor is released: DuckDB forgets an interrupt that comes before a query has begun."""
        self._stopped.set()
        if self._interrupt():
            threading.Thread(target=self._interrupt_until_released, name="athena-stop", daemon=True).start()

    def _interrupt_until_released(self) -> None:
        while self._interrupt():
            time.sleep(_INTERRUPT_INTERVAL_SECONDS)

    def _interrupt(self) -> bool:
        """Whether there was a cursor to interrupt."""
        with self._lock:
            if self._cursor is None:
                return False
            self._cursor.interrupt()
            return True


class Task(Protocol):
    def __call__(self, run: Run) -> None: ...


class Slots:
    """Runs tasks in threads, `count` at once; the rest wait. A stopped task gives its slot up at once.

    A task that is stopped inside a Python function ends only when the function returns; it no longer counts then, so
    it can't keep others waiting.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("at least one query must be able to run")
        self._count = count
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Run, Task]] = deque()
        self._running: dict[str, Run] = {}
        self._idle = threading.Condition(self._lock)
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, run: Run, task: Task) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.append((run, task))
            self._start_next()

    def _start_next(self) -> None:
        while self._waiting and len(self._running) < self._count:
            run, task = self._waiting.popleft()
            self._running[run.execution_id] = run
            thread = threading.Thread(
                target=self._run, args=(run, task), name=f"athena-{run.execution_id}", daemon=True
            )
            self._threads.add(thread)
            thread.start()

    def _run(self, run: Run, task: Task) -> None:
        give_way()
        try:
            task(run)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._running.pop(run.execution_id, None)
                self._start_next()
                self._idle.notify_all()

    def stop(self, execution_id: str) -> None:
        """Stops a waiting or running task; nothing for any other."""
        with self._lock:
            for entry in self._waiting:
                if entry[0].execution_id == execution_id:
                    self._waiting.remove(entry)
                    entry[0].stop()
                    return
            run = self._running.pop(execution_id, None)
            if run is not None:
                self._start_next()
        if run is not None:
            run.stop()

    def close(self, patience_seconds: float = 5.0) -> None:
        """Stops everything and waits a while for the threads to end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
        for run in running:
            run.stop()
        with self._lock:
            self._idle.wait_for(lambda: not self._threads, timeout=patience_seconds)


def give_way() -> None:
    """Lets other threads of the process go first: those that answer requests. What this thread starts inherits it.

    On Linux niceness is a thread's own (setpriority(2), "C library/kernel differences"); elsewhere nothing changes.
    """
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class DuckEngine:
    """The DuckDB instance. `cursor()` gives a query its own connection to it."""

    def __init__(self, *, readable_folders: Sequence[Path], temporary_folder: Path, memory_limit: str) -> None:
        temporary_folder.mkdir(parents=True, exist_ok=True)
        self._connection = _connected(
            {
                "memory_limit": memory_limit,
                "temp_directory": str(temporary_folder / "spill"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": True,
                "enable_object_cache": True,
            }
        )
        install(self._connection)
        folders = ", ".join(text_literal(f"{folder}/") for folder in (*readable_folders, temporary_folder))
        self._connection.execute(f"SET allowed_directories = [{folders}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        self._preparing = threading.Lock()

    def prepare(self, translation: Translation) -> None:
        """Registers the Python functions the query needs, on the instance's own connection.

        Never on a query's cursor: DuckDB shares the function with every cursor and frees it with the one that made it.
        """
        with self._preparing:
            prepare(self._connection, translation)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self._connection.cursor()

    def close(self) -> None:
        self._connection.close()


def _connected(config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """A new DuckDB instance whose own threads give way."""

    def connect() -> duckdb.DuckDBPyConnection:
        give_way()
        return duckdb.connect(config=config)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(connect).result()
