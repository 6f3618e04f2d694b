"""Result reuse: equal queries share one run of the engine, as long as the data they ask are the same.

    reuse key      the same for queries that ask the same of the same rows
    data version   changes whenever an object that the query reads comes, goes or is replaced
    leader         the query of a reuse key that the engine runs or has run last
    follower       a query that takes its leader's result; the engine never hears of it

A query follows when it cannot be told from a run of its own:

    the engine has not been asked for the leader yet         it will read later than the follower was submitted
    leader runs, or has finished, over the same data version as the follower finds when it is submitted
    leader was submitted at most `max_age_minutes` ago       only where the caller accepts age

otherwise it takes the lead and runs. A follower has its own query_id, retention, status and pages. While it waits its
owner is its leader (service.executions.following), so that whoever sees that the leader has ended can end it, with one
conditional write; doing it twice, or by two processes, ends it once. First the leader's bytes are kept for as long as
the follower needs them (ExecutionStore.keep_result), then it is told to have them: a process that dies in between has
kept bytes too long, never too short.

A leader that was cancelled, or whose result is gone or turned out to be of other data, leaves its followers to run by
themselves: one takes the lead, the others follow it. A leader that failed fails those that asked with the same text.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import orjson

from service.estimates import Ledger
from service.executions import Ending, ExecutionStore, StoredExecution, following, leader_of
from service.model import QueryStatus, ReuseWish, Statistics
from service.ownership import Ownership
from service.spool import Spools
from service.sql.plan import PlannedStatement

_LOG = logging.getLogger(__name__)
_KEY_FORMAT = 1
"""To be raised when the same SQL over the same data is answered otherwise than before."""

_LEAST_LIFE = timedelta(minutes=2)
"""How long a result must be kept anyhow to be shared: more than clocks differ, so no sweeper has found it yet."""

_ATTEMPTS_TO_AGREE = 5
_LOCKS = 64


class DataVersions(Protocol):
    """Tells which data a query reads. None is "that cannot be told", which never equals anything."""

    def now(self, planned: PlannedStatement) -> str | None:
        """Which data this statement would read if the engine were asked now."""
        ...

    def at_start(self, planned: PlannedStatement) -> str | None:
        """What to store with a query before the engine is asked, for `read_by`."""
        ...

    def read_by(self, stored: StoredExecution) -> str | None:
        """Which data an execution has read, or is reading: never newer than what its answer rests on."""
        ...


@dataclass(frozen=True)
class Settled:
    """A follower after a look at its leader. `is_news`: it was this look that ended it, or made it this process's to
    run.
    """

    stored: StoredExecution
    is_news: bool = False


class UnknownDataVersions:
    """Nobody can tell: what is shared is what the engine has not been asked for yet, or what age a caller accepts."""

    def now(self, planned: PlannedStatement) -> str | None:  # noqa: ARG002 - see the class
        return None

    def at_start(self, planned: PlannedStatement) -> str | None:  # noqa: ARG002 - see the class
        return None

    def read_by(self, stored: StoredExecution) -> str | None:  # noqa: ARG002 - see the class
        return None


class LedgerDataVersions:
    """What the partition ledger knows: it is as late as the tracker that keeps it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def now(self, planned: PlannedStatement) -> str | None:
        versions = [
            (table.name, self._ledger.data_version(table.name, table.partition_range)) for table in planned.tables
        ]
        return hashlib.sha256(orjson.dumps(versions)).hexdigest()

    def at_start(self, planned: PlannedStatement) -> str | None:
        return self.now(planned)

    def read_by(self, stored: StoredExecution) -> str | None:
        return stored.data_version


def reuse_key(planned: PlannedStatement, stored: StoredExecution) -> str | None:
    """What makes two queries ask the same of the same rows; None for one whose result may change by itself, or that
    reads no table.

    The planned SQL holds parameters, time range and tenant scope as values. Tenant and customers stand in the key
    besides: two callers share only where both are the same.
    """
    if not planned.is_repeatable or not planned.tables:
        return None
    customers = None if stored.plan_inputs is None else stored.plan_inputs.customers
    parts = [
        _KEY_FORMAT,
        stored.engine_name,
        stored.execution.tenant,
        stored.sees_all_customers,
        customers,
        planned.sql,
        sorted(planned.json_columns),
        [[column.name, column.type] for column in planned.columns],
        stored.is_strict,
    ]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


class ResultReuse:
    """See the module. Safe from many threads; `reused_count` counts the followers that this process ended with a
    result.
    """

    def __init__(
        self,
        store: ExecutionStore,
        spools: Spools,
        versions: DataVersions | None,
        ownership: Ownership,
        *,
        clock: Callable[[], datetime],
        maximum_waiting: int = 1000,
    ) -> None:
        """Without `versions` no query begins to follow; what followed before is still told of its leader's end.

        `maximum_waiting`: how many followers may wait in this process; further queries take a place in the queue.
        """
        self._maximum_waiting = maximum_waiting
        self._store = store
        self._spools = spools
        self._is_on = versions is not None
        self._versions = versions or UnknownDataVersions()
        self._ownership = ownership
        self._clock = clock
        self._deciding = [threading.Lock() for _ in range(_LOCKS)]
        self._settling = [threading.Lock() for _ in range(_LOCKS)]
        self._lock = threading.Lock()
        self._waiting: dict[str, set[str]] = {}
        self.reused_count = 0

    @contextmanager
    def deciding(
        self, stored: StoredExecution, planned: PlannedStatement, wish: ReuseWish
    ) -> Iterator[StoredExecution]:
        """The execution as it is to be stored inside this context: a follower, or one that the engine will run.

        One process decides for one reuse key at a time, so that of equal queries that come at once one leads.
        """
        key = reuse_key(planned, stored) if self._is_on else None
        if key is None:
            yield stored
            return
        with self._deciding[int(key[:8], 16) % _LOCKS]:
            decided = self._decided(replace(stored, reuse_key=key), planned, wish)
            yield decided
            followed = leader_of(decided.owner)
            if followed is not None:
                self._note(followed[0], decided.query_id)

    def settled(self, query_id: str) -> Settled | None:
        """An execution, after its leader was looked at if it follows one: when that has ended it has ended too, or is
        this process's to run. None: there is no such execution.
        """
        with self._settling[int(query_id[:8], 16) % _LOCKS]:  # by one thread at a time, so that it is news once
            follower = self._store.get(query_id)
            if follower is None:
                return None
            followed = leader_of(follower.owner)
            if followed is None or follower.execution.is_terminal:
                return Settled(follower)
            return self._after_look(follower, *followed)

    def _after_look(self, follower: StoredExecution, leader_id: str, reads_later: bool) -> Settled:
        leader = self._store.get(leader_id)
        if leader is not None and not leader.execution.is_terminal:
            self._tell_progress(follower, leader)
            return Settled(follower)
        self._forget(leader_id, follower.query_id)
        source = leader
        if leader is not None and leader.execution.reused_from is not None:
            source = self._store.get(leader.execution.reused_from)
        if leader is None or source is None:
            return self._taken_over(follower, leader_id)
        if source.execution.status is QueryStatus.FINISHED:
            version = follower.data_version
            is_same = version is not None and version in (_ANY_VERSION, self._versions.read_by(source))
            answered = self._answered(follower, source) if is_same or reads_later else None
            return answered or self._taken_over(follower, leader_id)
        if source.execution.error is not None and source.execution.query == follower.execution.query:
            failed = Ending(
                QueryStatus.FAILED,
                self._clock(),
                statistics=_nothing_read(follower, source),
                error=source.execution.error,
                warnings=source.execution.warnings,
                warnings_truncated=source.execution.warnings_truncated,
            )
            return self._ended(follower, failed)
        return self._taken_over(follower, leader_id)

    def taken_followers(self, leader_id: str) -> frozenset[str]:
        """The followers that this process knows of, once; those of others are found by whoever looks at them."""
        with self._lock:
            return frozenset(self._waiting.pop(leader_id, ()))

    def forget(self, stored: StoredExecution) -> None:
        """Takes note that an execution has ended: it follows nobody any more."""
        followed = leader_of(stored.owner)
        if followed is not None:
            self._forget(followed[0], stored.query_id)

    # --- whom to follow -----------------------------------------------------------------------------------------

    def _decided(self, stored: StoredExecution, planned: PlannedStatement, wish: ReuseWish) -> StoredExecution:
        key = stored.reuse_key or ""
        for _ in range(_ATTEMPTS_TO_AGREE):
            leader_id = self._store.leader(key)
            leader = None if leader_id is None or not wish.is_allowed else self._store.get(leader_id)
            if leader is not None:
                follower = self._follower(stored, planned, leader, wish)
                if follower is not None:
                    return follower
            if self._store.lead(key, stored.query_id, leader_id):
                return replace(stored, data_version=self._versions.at_start(planned))
        return stored  # too many at once: it runs, and nobody follows it

    def _follower(
        self, stored: StoredExecution, planned: PlannedStatement, leader: StoredExecution, wish: ReuseWish
    ) -> StoredExecution | None:
        """The execution as a follower of this leader; None when it is to run by itself."""
        if leader.is_cancel_requested or leader_of(leader.owner) is not None:
            return None
        is_ended = leader.execution.is_terminal
        if not (self._is_shareable(leader) if is_ended else self._has_room()):
            return None
        if wish.max_age_minutes is not None:
            age = self._clock() - leader.execution.submitted_at
            if age <= timedelta(minutes=wish.max_age_minutes):
                return replace(stored, owner=following(leader.query_id), data_version=_ANY_VERSION)
        if not is_ended and leader.engine_id is None and not leader.is_starting:
            return replace(stored, owner=following(leader.query_id, reads_later=True))
        version = self._versions.now(planned)
        if version is None:
            return None
        read = self._versions.read_by(leader)
        # a leader that has only begun may not have looked yet: what it saw is compared when it has ended
        is_same = read == version if read is not None else not is_ended
        return replace(stored, owner=following(leader.query_id), data_version=version) if is_same else None

    def _is_shareable(self, leader: StoredExecution) -> bool:
        """Whether a leader that has ended left a result object of its own that is there for a while."""
        until = leader.bytes_needed_until
        return (
            leader.execution.has_result
            and leader.execution.reused_from is None
            and not leader.execution.statistics.reused_previous_result
            and (leader.result_location or "").endswith(".csv")
            and until is not None
            and until > self._clock() + _LEAST_LIFE
        )

    # --- what becomes of a follower -----------------------------------------------------------------------------

    def _answered(self, follower: StoredExecution, source: StoredExecution) -> Settled | None:
        """The follower FINISHED with the result of `source`; None when that is not to be had."""
        if not self._is_shareable(source):
            return None
        now = self._clock()
        until = now + timedelta(minutes=follower.execution.retention_minutes)
        kept = self._store.keep_result(source.query_id, until, if_needed_after=now + _LEAST_LIFE)
        if kept is None:
            return None
        is_spooled = kept.is_spooled and self._spools.link(kept.query_id, follower.query_id)
        ending = Ending(
            QueryStatus.FINISHED,
            now,
            statistics=_nothing_read(follower, kept),
            columns=kept.execution.columns,
            warnings=kept.execution.warnings,
            warnings_truncated=kept.execution.warnings_truncated,
            result_location=kept.result_location,
            is_spooled=is_spooled,
            reused_from=kept.query_id,
            engine_id=kept.engine_id,
        )
        settled = self._ended(follower, ending)
        if settled.stored.execution.reused_from is None:
            self._spools.delete(follower.query_id)  # cancelled in the same moment
        elif settled.is_news:
            with self._lock:
                self.reused_count += 1
        return settled

    def _ended(self, follower: StoredExecution, ending: Ending) -> Settled:
        after = self._store.finish(follower.query_id, follower.owner or "", ending)
        is_ours = after.execution.status is ending.status and after.execution.ended_at == ending.ended_at
        return Settled(after, is_news=is_ours)

    def _taken_over(self, follower: StoredExecution, leader_id: str) -> Settled:
        """The follower as an execution that this process is to run, or as one that follows another from now on."""
        key, owner = follower.reuse_key or "", follower.owner
        new_leader = self._store.leader(key)
        if new_leader == leader_id and self._store.lead(key, follower.query_id, leader_id):
            new_leader = follower.query_id
        if new_leader not in (None, leader_id, follower.query_id):
            # who has the lead now got it after this follower was submitted, and asks the engine later still
            found = self._store.get(new_leader or "")
            if found is not None and not found.execution.is_terminal and not found.is_cancel_requested:
                if self._store.adopt(follower.query_id, owner, following(found.query_id, reads_later=True)):
                    self._note(found.query_id, follower.query_id)
                return Settled(self._store.get(follower.query_id) or follower)
        is_ours = self._store.adopt(follower.query_id, owner, self._ownership.owner)  # else another was quicker
        if is_ours:
            _LOG.info("query %s runs by itself: %s has no result for it", follower.query_id, leader_id)
        return Settled(self._store.get(follower.query_id) or follower, is_news=is_ours)

    def _tell_progress(self, follower: StoredExecution, leader: StoredExecution) -> None:
        is_news = leader.execution.status is QueryStatus.RUNNING and follower.execution.status is QueryStatus.QUEUED
        if is_news and follower.owner is not None:
            statistics = follower.execution.statistics
            self._store.record_progress(follower.query_id, follower.owner, QueryStatus.RUNNING, statistics)

    def _has_room(self) -> bool:
        with self._lock:
            return sum(map(len, self._waiting.values())) < self._maximum_waiting

    def _note(self, leader_id: str, follower_id: str) -> None:
        with self._lock:
            self._waiting.setdefault(leader_id, set()).add(follower_id)

    def _forget(self, leader_id: str, follower_id: str) -> None:
        with self._lock:
            waiting = self._waiting.get(leader_id, set())
            waiting.discard(follower_id)
            if not waiting:
                self._waiting.pop(leader_id, None)


_ANY_VERSION = "any"
"""The data version of a follower whose caller accepts age."""


def _nothing_read(follower: StoredExecution, source: StoredExecution) -> Statistics:
    """The statistics of an execution that read nothing and has the result of another."""
    told = source.execution.statistics
    return Statistics(
        engine_execution_time_ms=0,
        data_scanned_bytes=0,
        reused_previous_result=source.execution.status is QueryStatus.FINISHED,
        rows_total=told.rows_total,
        result_bytes=told.result_bytes,
        partitions_scanned=0,
        partitions_skipped=follower.execution.statistics.partitions_skipped,
        objects_scanned=0,
        bytes_skipped=follower.execution.statistics.bytes_skipped,
        rows_malformed=told.rows_malformed,
        progress_percent=100.0 if source.execution.status is QueryStatus.FINISHED else None,
        estimated_cost_usd=0.0,
    )
