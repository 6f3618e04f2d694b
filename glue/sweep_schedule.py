"""The sweep of data, by itself: in the service, once at start and then every hour, as long as it runs.

A table that cannot be swept now (the catalogue throttles, the disk fails) is logged and swept the next time; nothing of
it stops the others, or the service. Several replicas may sweep at once: a sweep is idempotent.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable

from glue.retention_sweep import SweepReport
from glue.table_spec import TableSpec

INTERVAL_SECONDS = 3600.0
_LOG = logging.getLogger(__name__)

SweepOne = Callable[[TableSpec, Callable[[], bool]], SweepReport]


class DataSweeper:
    """A thread that sweeps tables. `counts` adds up what has left, by the names of SweepReport."""

    def __init__(
        self, sweep_one: SweepOne, tables: Iterable[TableSpec], *, interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._sweep_one = sweep_one
        self._tables = list(tables)
        self._interval_seconds = interval_seconds
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begins; the first sweep holds nobody up."""
        self._thread = threading.Thread(target=self._run, name="data-sweep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the partitions it is at."""
        self._is_stopping.set()
        if self._thread is not None:
            self._thread.join()

    def sweep(self) -> None:
        """Sweeps every table once. Never raises."""
        for spec in self._tables:
            if self._is_stopping.is_set():
                return
            try:
                report = self._sweep_one(spec, self._is_stopping.is_set)
            except Exception:
                _LOG.exception("%s could not be swept; trying again later", spec.reference)
                self.counts["failed"] += 1
                continue
            self._tell(report)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self.sweep()
            self._is_stopping.wait(self._interval_seconds)

    def _tell(self, report: SweepReport) -> None:
        if not report.is_dry_run:
            self.counts.update(report.counts())
        self.counts["failed"] += len(report.failed)
        for partition, reason in report.failed:
            _LOG.warning("%s of %s not swept: %s", partition, report.table, reason)
        if report.has_work:
            verb = "would leave" if report.is_dry_run else "have left"
            told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in report.counts().items() if number)
            _LOG.info("past retention, of %s %s: %s", report.table, verb, told)
