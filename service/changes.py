"""Waiting for a query to change, without a thread per waiter: the long poll of status, submit and cancel.

Threads that drive queries call `notify`; coroutines wait on an event of their own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock


class Changes:
    """See the module."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def notify(self, query_id: str) -> None:
        """Wakes whoever waits for this query. From any thread."""
        with self._lock:
            waiting = tuple(self._waiting.get(query_id, ()))
        for loop, event in waiting:
            with suppress(RuntimeError):  # that loop has closed since: nobody waits there any more
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def subscribed(self, query_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each change while inside; look at the state after entering, then wait, then clear."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.setdefault(query_id, set()).add(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                entries = self._waiting[query_id]
                entries.discard(entry)
                if not entries:
                    del self._waiting[query_id]
