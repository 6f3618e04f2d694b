"""The end of results: after `expires_at` the bytes go (result object, its metadata, spool), later the memory of the
query too.

    expires_at                       -> bytes deleted, then marked expunged: the answer is ResultExpired
    expires_at + remembered for      -> forgotten: the answer is QueryNotFound

Deleting comes before marking, so a crash in between only means that nothing is deleted a second time. Sweeping twice
equals sweeping once, also when several processes sweep the same store.

A result that several queries share (service.reuse) goes when the last of them has expired: until then the query that
made it is not looked at.

Of several replicas one sweeps (the role `sweeper`) what is in S3 and in the store; each sweeps its own spools.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.engine import Engine
from service.errors import ServiceError
from service.executions import ExecutionStore
from service.shared_spools import SharedSpools
from service.spool import Spools

_LOG = logging.getLogger(__name__)
_SWEEP_LIMIT = 500


@dataclass(frozen=True)
class SweepReport:
    """What one sweep did; `failed` are (query_id, reason) of results that could not be deleted and are tried again."""

    expunged_count: int = 0
    forgotten_count: int = 0
    failed: tuple[tuple[str, str], ...] = ()


class RetentionSweeper:
    """See the module."""

    def __init__(
        self,
        store: ExecutionStore,
        engine: Engine,
        spools: Spools,
        shared_spools: SharedSpools,
        *,
        clock: Callable[[], datetime],
        remembered_for: timedelta = timedelta(days=7),
        clock_tolerance: timedelta = timedelta(),
    ) -> None:
        self._store = store
        self._engine = engine
        self._spools = spools
        self._clock = clock
        self._shared_spools = shared_spools
        self._remembered_for = remembered_for
        self._clock_tolerance = clock_tolerance

    def sweep(self) -> SweepReport:
        """Deletes what has expired. Returns what failed; never raises for a single result."""
        now = self._clock() - self._clock_tolerance
        expunged_count = 0
        failed: list[tuple[str, str]] = []
        while True:
            expired = self._store.expired(now, _SWEEP_LIMIT)
            for stored in expired:
                try:
                    self._spools.delete(stored.query_id)
                    self._shared_spools.delete(stored)
                    is_own = stored.execution.reused_from is None  # else it goes with the query that made it
                    if is_own and stored.result_location is not None and stored.engine_id is not None:
                        self._engine.delete_result(stored.engine_id, stored.result_location)
                except (OSError, ServiceError) as error:
                    _LOG.warning("the result of query %s could not be deleted: %s", stored.query_id, error)
                    failed.append((stored.query_id, str(error)))
                    continue
                self._store.mark_expunged(stored.query_id)
                expunged_count += 1
            if len(expired) < _SWEEP_LIMIT or failed:
                break
        forgotten_count = self._store.forget(now - self._remembered_for)
        return SweepReport(expunged_count, forgotten_count, tuple(failed))

    def sweep_local(self) -> int:
        """Deletes this process's spools of results that have ended, without asking anybody; how many."""
        return self._spools.delete_expired(self._clock())

    def sweep_orphans(self) -> int:
        """Deletes spools of queries that the store does not know; how many. For the start of a process."""
        orphans = [query_id for query_id in self._spools.query_ids() if self._store.get(query_id) is None]
        for query_id in orphans:
            self._spools.delete(query_id)
        return len(orphans)
