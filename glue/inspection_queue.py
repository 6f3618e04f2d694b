"""Partitions whose objects are to be read wait here, and a thread reads them: news first, then what lay there before.

    tracker -> put(partitions)  \
                                 > Inspector, one partition at a time, at half of one core's time -> ledger
    ledger  -> the backlog      /

For `data-hist serve`. Nobody waits for it: an object is in the answers as soon as it is registered. What cannot be read
now is tried again later; what a stop leaves is found in the ledger at the next start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from glue.inspection import InspectionReport, Inspector
from glue.ledger import ObjectRecord, PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

_PARTITIONS_PER_LOOK = 200
_RESTING_SECONDS = 60.0
_LONGEST_BREATH_SECONDS = 1.0
_LOG = logging.getLogger(__name__)
_Waiting = tuple[str, PartitionSpec]  # a table's reference and one of its partitions


class BacklogLedger(Protocol):
    """What is needed of the ledger (glue.ledger.PartitionLedger)."""

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]: ...


class Breath:
    """Lets others work as long as this thread has worked, whenever it is asked: half of the time, and no more."""

    def __init__(self, stop: threading.Event, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stop = stop
        self._monotonic = monotonic
        self._since = monotonic()

    def take(self) -> None:
        """Pauses; ends at once when the work shall stop."""
        worked_seconds = self._monotonic() - self._since
        self._stop.wait(min(worked_seconds, _LONGEST_BREATH_SECONDS))
        self._since = self._monotonic()


class InspectionQueue:
    """See the module. `report` adds up what was read."""

    def __init__(
        self,
        make_inspector: Callable[[Callable[[], None]], Inspector],
        ledger: BacklogLedger,
        specs: Iterable[TableSpec],
        *,
        resting_seconds: float = _RESTING_SECONDS,
    ) -> None:
        """`make_inspector` is given what has to be called between chunks."""
        self._is_stopping = threading.Event()
        self._inspector = make_inspector(Breath(self._is_stopping).take)
        self._ledger = ledger
        self._specs = {spec.reference: spec for spec in specs}
        self._resting_seconds = resting_seconds
        self._changed = threading.Condition()
        self._fresh: dict[_Waiting, None] = {}
        self._again: dict[_Waiting, None] = {}
        self._is_idle = False
        self._thread: threading.Thread | None = None
        self.report = InspectionReport()

    def put(self, spec: TableSpec, records: Sequence[ObjectRecord]) -> None:
        """The partitions of these objects wait to be read. What the tracker calls when it has recorded objects."""
        with self._changed:
            self._fresh |= {(spec.reference, record.partition): None for record in records}
            self._changed.notify_all()

    def start(self) -> None:
        """Begins to read, the backlog too."""
        self._thread = threading.Thread(target=self._run, name="inspection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the chunk it is at."""
        self._is_stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Whether there is nothing left to read within this time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._is_idle and not self._fresh and not self._again, timeout_seconds
            )

    def _run(self) -> None:
        backlog = self._backlog()
        while not self._is_stopping.is_set():
            waiting = self._next(backlog)
            if waiting is not None:
                self._inspect(*waiting)

    def _next(self, backlog: Iterator[_Waiting]) -> _Waiting | None:
        with self._changed:
            if self._fresh:
                waiting = next(iter(self._fresh))
                del self._fresh[waiting]
                self._is_idle = False
                return waiting
        try:
            found = next(backlog, None)
        except Exception:  # whatever the ledger's trouble is: what is left is found at the next start
            _LOG.exception("the ledger could not be asked for objects that nobody has read")
            found = None
        if found is not None:
            return found
        with self._changed:
            if not self._fresh and not self._is_stopping.is_set():
                self._is_idle = True
                self._changed.notify_all()
                has_news = self._changed.wait(self._resting_seconds if self._again else None)
                if not has_news:
                    self._fresh, self._again = {**self._again, **self._fresh}, {}
        return None

    def _backlog(self) -> Iterator[_Waiting]:
        """The partitions with objects that nobody has read, the newest of each table first."""
        for reference, spec in self._specs.items():
            before = None
            while page := self._ledger.newest_partitions(reference, limit=_PARTITIONS_PER_LOOK, before=before):
                for record in page:
                    before = PartitionSpec.from_values(record.values, spec.layout.scheme)
                    if record.unread_object_count:
                        yield reference, before

    def _inspect(self, reference: str, partition: PartitionSpec) -> None:
        try:
            report = self._inspector.inspect(
                self._specs[reference],
                PartitionRange(partition, partition),
                is_in_time=lambda: not self._is_stopping.is_set(),
            )
        except Exception:  # whatever the trouble is: queries must not feel it, and it may pass
            _LOG.exception("objects of %s %s could not be inspected; trying again later", reference, partition)
            self._again[reference, partition] = None
            self._is_stopping.wait(1.0)
            return
        for key, reason in report.faults:
            _LOG.warning("object with a fault: %s %s", key, reason)
        if report.failed:
            self._again[reference, partition] = None
        self.report.add(report)
