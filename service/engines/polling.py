"""One thread that asks for all executions somebody waits for, those due together in one call.

Fast at first (a result that takes 20 ms is seen after 25), then slower with jitter, at most once a second: N clients
never multiply the calls, of which an account has about 100 a second (Athena's service quotas).
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from service.engine import EngineClosed, EngineExecution, EngineExecutionLost
from service.engines.aws_calls import AWS_ERRORS
from service.engines.aws_troubles import trouble_of
from service.errors import EngineUnavailable

_LOG = logging.getLogger(__name__)
BATCH_SIZE = 50
"""BatchGetQueryExecution takes at most 50 ids (Athena API reference)."""

_SLOWEST_AFTER_ERRORS_SECONDS = 10.0


class _Watch:
    """One execution that somebody waits for."""

    def __init__(self, engine_id: str, on_change: Callable[[EngineExecution], None], delay_seconds: float) -> None:
        self.engine_id = engine_id
        self.on_change = on_change
        self.delay_seconds = delay_seconds
        self.is_done = threading.Event()
        self.last: EngineExecution | None = None
        self.problem: Exception | None = None
        self.failing_since: float | None = None
        self.is_hurried = False


class Poller:
    """Asks for all watched executions in one thread, those due together in one call."""

    def __init__(
        self,
        fetch: Callable[[Sequence[str]], Mapping[str, EngineExecution | None]],
        *,
        first_poll_seconds: float,
        slowest_poll_seconds: float,
        patience_seconds: float,
        randomness: Callable[[], float],
        engine: str,
    ) -> None:
        self._fetch = fetch
        self._engine = engine
        self._first_poll_seconds = first_poll_seconds
        self._slowest_poll_seconds = slowest_poll_seconds
        self._patience_seconds = patience_seconds
        self._randomness = randomness
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Watch]] = []
        self._asked: Sequence[_Watch] = ()
        self._number = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        """As Engine.wait."""
        watch = _Watch(engine_id, on_change, self._first_poll_seconds)
        with self._changed:
            if self._is_closed:
                raise EngineClosed
            self._push(watch, time.monotonic() + watch.delay_seconds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{self._engine}-poller", daemon=True)
                self._thread.start()
            self._changed.notify()
        watch.is_done.wait()
        if watch.problem is not None:
            raise watch.problem
        if watch.last is None:
            raise EngineExecutionLost(engine_id)
        return watch.last

    def hurry(self, engine_id: str) -> None:
        """There is news of this execution: asks now, and not when it is due."""
        with self._changed:
            for watch in self._asked:  # what is being answered may be older than the news
                watch.is_hurried |= watch.engine_id == engine_id
            for index, (_, number, watch) in enumerate(self._due):
                if watch.engine_id == engine_id:
                    self._due[index] = (0.0, number, watch)
                    heapq.heapify(self._due)
                    self._changed.notify()
                    return

    def close(self) -> None:
        """Ends all waiting with EngineClosed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _push(self, watch: _Watch, due: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, watch))

    def _run(self) -> None:
        while True:
            watches = self._next_due()
            if not watches:
                return
            self._ask(watches)

    def _next_due(self) -> list[_Watch]:
        """The watches that are due, waiting for them; none when the poller is closed."""
        with self._changed:
            while True:
                if self._is_closed:
                    for _, _, watch in self._due:
                        watch.problem = EngineClosed()
                        watch.is_done.set()
                    self._due.clear()
                    return []
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    # those due soon go along in the same call: fewer calls for the account's limit (100 a second)
                    horizon = now + min(0.25 * self._due[0][2].delay_seconds, 0.1)
                    watches: list[_Watch] = []
                    while self._due and self._due[0][0] <= horizon and len(watches) < BATCH_SIZE:
                        watches.append(heapq.heappop(self._due)[2])
                    self._asked = watches
                    return watches
                self._changed.wait(self._due[0][0] - now if self._due else None)

    def _ask(self, watches: Sequence[_Watch]) -> None:
        try:
            found = self._fetch([watch.engine_id for watch in watches])
        except AWS_ERRORS as error:
            self._again_after_error(watches, error)
            return
        except Exception as error:  # whoever waits must hear of it, and the thread must live on
            for watch in watches:
                watch.problem = error
                watch.is_done.set()
            return
        again: list[_Watch] = []
        for watch in watches:
            watch.failing_since = None
            if watch.engine_id not in found:  # not processed this time (throttled)
                again.append(watch)
                continue
            execution = found[watch.engine_id]
            former, watch.last = watch.last, execution
            if execution is None or execution.status.is_terminal:
                watch.is_done.set()
                continue
            again.append(watch)
            if former is None or former.status is not execution.status or former.statistics != execution.statistics:
                self._tell(watch, execution)
        self._push_all(again)

    def _tell(self, watch: _Watch, execution: EngineExecution) -> None:
        try:
            watch.on_change(execution)
        except Exception as error:  # as in _ask
            watch.problem = error
            watch.is_done.set()

    def _again_after_error(self, watches: Iterable[_Watch], error: ClientError | BotoCoreError) -> None:
        now = time.monotonic()
        trouble = trouble_of(error)
        again = []
        for watch in watches:
            if watch.failing_since is None:
                watch.failing_since = now
                _LOG.warning("execution %s cannot be asked for, it is tried again: %s", watch.engine_id, error)
            if now - watch.failing_since > self._patience_seconds:
                watch.problem = EngineUnavailable(f"the engine cannot be used: {trouble.sentence}", engine=self._engine)
                watch.is_done.set()
            else:
                watch.delay_seconds = max(watch.delay_seconds, 0.1) * 2
                again.append(watch)
        self._push_all(again, slowest_seconds=_SLOWEST_AFTER_ERRORS_SECONDS)

    def _push_all(self, watches: Iterable[_Watch], *, slowest_seconds: float | None = None) -> None:
        slowest_seconds = self._slowest_poll_seconds if slowest_seconds is None else slowest_seconds
        with self._changed:
            now = time.monotonic()
            self._asked = ()
            for watch in watches:
                if watch.is_done.is_set():
                    continue
                watch.delay_seconds = min(watch.delay_seconds * 1.4, slowest_seconds)
                delay_seconds = 0.0 if watch.is_hurried else watch.delay_seconds * (0.8 + 0.4 * self._randomness())
                watch.is_hurried = False
                self._push(watch, now + delay_seconds)
