"""Who runs next: bounded concurrency, a bounded queue that is fair between tenants, and what earlier processes left
behind.

A query that the engine has no room for goes back to the front of the queue, and taking pauses for a moment (it is still
honestly QUEUED). One whose engine cannot be reached is tried again until patience ends, then fails with blame `engine`;
one whose store cannot be reached is tried again until it can.

Queue and limits are this process's; what waits is in the store, so a queue that dies with its process is taken up by
others (docs/replicas.md). Each takes its share at a time, so that none gets all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import StoreUnavailable, TooManyQueries
from service.executions import ExecutionStore, leader_of
from service.fair_queue import FairQueue
from service.model import QueryStatus
from service.ownership import Ownership
from service.running import QueryRunner, RunOutcome

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SchedulerLimits:
    """How much runs and waits in one process.

    `maximum_queued_per_tenant` keeps one tenant from filling the queue; `engine_patience_seconds` is how long a query
    waits for an engine that cannot be reached. `is_alone`: no other process is there to take up what one has left, so
    that all of it is taken up at once.
    """

    maximum_concurrent: int = 4
    maximum_queued: int = 1000
    maximum_queued_per_tenant: int = 200
    engine_patience_seconds: float = 120.0
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0
    is_alone: bool = True


class Scheduler:
    """See the module. Threads are started as they are needed, `maximum_concurrent` at most."""

    def __init__(
        self,
        store: ExecutionStore,
        runner: QueryRunner,
        ownership: Ownership,
        limits: SchedulerLimits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        look_at_follower: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._look_at_follower = look_at_follower
        self._ownership = ownership
        self._limits = limits
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._queue = FairQueue()
        self._reserved: dict[str, int] = {}
        self._driven: set[str] = set()
        self._queued: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._idle_count = 0
        self._paused_until = 0.0
        self._pause_seconds = limits.first_pause_seconds
        self._unavailable_since: dict[str, float] = {}
        self._is_closed = False

    def reserve(self, tenant: str) -> None:
        """Takes one place in the queue for a query about to be stored. Raises TooManyQueries."""
        with self._changed:
            waiting = len(self._queue) + sum(self._reserved.values())
            own = self._queue.count(tenant) + self._reserved.get(tenant, 0)
            limit = self._limits.maximum_queued_per_tenant
            if waiting >= self._limits.maximum_queued:
                limit = self._limits.maximum_queued
            elif own < limit:
                self._reserved[tenant] = self._reserved.get(tenant, 0) + 1
                return
        raise TooManyQueries(
            f"{limit} queries are waiting already; ask again later", limit=limit, retry_after_seconds=5.0
        )

    def release(self, tenant: str) -> None:
        """Gives a reserved place back."""
        with self._changed:
            self._unreserve(tenant)

    def enqueue(self, tenant: str, query_id: str, *, is_reserved: bool = True, is_first: bool = False) -> None:
        """Lets a stored query wait for its turn; it is next when `is_first`."""
        with self._changed:
            if is_reserved:
                self._unreserve(tenant)
            if query_id in self._queued or query_id in self._driven:
                return  # taken up as an abandoned one in the same moment
            self._push(tenant, query_id, is_first=is_first)
            self._start_thread_if_needed()
            self._changed.notify()

    def position(self, tenant: str, query_id: str) -> int | None:
        """The query's place in the queue of this process, from 1; None when it does not wait here."""
        with self._changed:
            return self._queue.position(tenant, query_id)

    def drop(self, tenant: str, query_id: str) -> bool:
        """Takes a cancelled query out of the queue."""
        with self._changed:
            self._queued.discard(query_id)
            return self._queue.remove(tenant, query_id)

    def adopt_abandoned(self) -> int:
        """Takes up unfinished queries whose process has ended; how many. Cheap when there are none.

        Also those of this process that it does not know of: a store that did not answer in time may have stored them.
        What follows another query (service.reuse) is nobody's to run; it is looked at.
        """
        unfinished = self._store.unfinished()
        if self._look_at_follower is not None:
            for found in unfinished:
                if leader_of(found.owner) is not None:
                    self._look_at_follower(found.query_id)
        unfinished = tuple(found for found in unfinished if leader_of(found.owner) is None)
        me = self._ownership.owner
        others = {found.owner for found in unfinished} - {me}
        abandoned_owners = {owner for owner in others if owner is None or self._ownership.is_gone(owner)}
        left = self._adoption_share()
        adopted = 0
        for found in unfinished:
            if found.owner == me:
                self.enqueue(found.tenant, found.query_id, is_reserved=False)
                continue
            if found.owner not in abandoned_owners or (left == 0 and found.status is QueryStatus.QUEUED):
                continue
            if self._store.adopt(found.query_id, found.owner, me):
                _LOG.info("taking up query %s, which an earlier process left %s", found.query_id, found.status)
                is_running = found.status is QueryStatus.RUNNING  # the engine has it: only its result is to be fetched
                self.enqueue(found.tenant, found.query_id, is_reserved=False, is_first=is_running)
                adopted += 1
                left -= not is_running
        return adopted

    def _adoption_share(self) -> int:
        """How many waiting queries of others to take up at once: more when few wait here; -1 is all there are."""
        if self._limits.is_alone:
            return -1
        threads = self._limits.maximum_concurrent
        return max(threads, 4 * threads - self.waiting_count)

    @property
    def running_count(self) -> int:
        """How many queries are being driven now."""
        with self._changed:
            return len(self._driven)

    @property
    def waiting_count(self) -> int:
        """How many queries wait in this process."""
        with self._changed:
            return len(self._queue)

    def close(self) -> None:
        """Takes no more queries, waits for the threads to let go of theirs, and gives up ownership of what is
        unfinished.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        self._runner.stop()
        for thread in threads:
            thread.join()
        self._store.disown(self._ownership.owner)

    def _push(self, tenant: str, query_id: str, *, is_first: bool = False) -> None:
        self._queued.add(query_id)
        if is_first:
            self._queue.push_front(tenant, query_id)
        else:
            self._queue.push(tenant, query_id)

    def _unreserve(self, tenant: str) -> None:
        left = self._reserved.get(tenant, 0) - 1
        if left > 0:
            self._reserved[tenant] = left
        else:
            self._reserved.pop(tenant, None)

    def _start_thread_if_needed(self) -> None:
        if self._idle_count >= len(self._queue) or len(self._threads) >= self._limits.maximum_concurrent:
            return
        thread = threading.Thread(target=self._run, name=f"query-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            tenant, query_id = taken
            outcome = RunOutcome.GIVEN_BACK
            try:
                outcome = self._runner.drive(query_id)
            except Exception:  # the store itself fails: the query stays as it is stored and is tried again
                _LOG.exception("query %s could not be driven", query_id)
                outcome = RunOutcome.POSTPONED
            finally:
                self._ended(tenant, query_id, outcome)

    def _take(self) -> tuple[str, str] | None:
        with self._changed:
            self._idle_count += 1
            try:
                while not self._is_closed:
                    pause_seconds = self._paused_until - self._monotonic()
                    if pause_seconds <= 0:
                        taken = self._queue.pop()
                        if taken is not None:
                            self._queued.discard(taken[1])
                            self._driven.add(taken[1])
                            return taken
                        self._changed.wait()
                    else:
                        self._changed.wait(pause_seconds)
                return None
            finally:
                self._idle_count -= 1

    def _ended(self, tenant: str, query_id: str, outcome: RunOutcome) -> None:
        with self._changed:
            self._driven.discard(query_id)
            if outcome in (RunOutcome.DONE, RunOutcome.AGAIN):
                # something ended, so the engine has room again
                self._paused_until = 0.0
                self._pause_seconds = self._limits.first_pause_seconds
                self._unavailable_since.pop(query_id, None)
            if outcome in (RunOutcome.AGAIN, RunOutcome.POSTPONED):
                self._push(tenant, query_id)
            if outcome in (RunOutcome.BUSY, RunOutcome.UNAVAILABLE, RunOutcome.POSTPONED):
                self._paused_until = self._monotonic() + self._pause_seconds
                self._pause_seconds = min(self._pause_seconds * 2, self._limits.longest_pause_seconds)
            if outcome is RunOutcome.BUSY:
                self._push(tenant, query_id, is_first=True)
            is_given_up = False
            if outcome is RunOutcome.UNAVAILABLE:
                since = self._unavailable_since.setdefault(query_id, self._monotonic())
                is_given_up = self._monotonic() - since > self._limits.engine_patience_seconds
                if is_given_up:
                    del self._unavailable_since[query_id]
                else:
                    self._push(tenant, query_id)
            self._changed.notify()
        if is_given_up:
            self._give_up(tenant, query_id)

    def _give_up(self, tenant: str, query_id: str) -> None:
        try:
            self._runner.give_up(query_id, self._limits.engine_patience_seconds)
        except StoreUnavailable:
            _LOG.warning("the store cannot be told yet that query %s is given up", query_id)
            self.enqueue(tenant, query_id, is_reserved=False)
