"""`_SUCCESS` objects for those who wait for them: whoever reads the lake as Secor's finalizer taught it.

    ledger -> state of each partition -> an empty `_SUCCESS` in its folder; in the day's folder once all of it is CLOSED

Secor (PartitionFinalizer) touches `_SUCCESS` when it believes that a folder is complete, in the hour's or minute's
folder and in the day's; late objects are written beside it all the same, and nothing tells (secor issue 350). Here the
ledger is the truth and the marker says what it says:

    CLOSED      there is a marker, and it is younger than the newest object it vouches for
    REOPENED    there is none: it is taken away, and written anew when the partition is CLOSED again
    OPEN, CLOSING   nothing is written, and what somebody else wrote is left alone

So who waits for a marker that is new to him sees a partition again when something came late. Doing it twice writes
once; being killed leaves the rest to the next run. Folders of times nobody can mean (1970) get none. Where the layout
scatters a table (hash folders) a day has no folder, and only partitions get markers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from glue.aws_clients import error_code, error_message
from glue.completeness import FIRST_CREDIBLE, PartitionState, partition_state
from glue.ledger import PartitionRecord
from glue.ledger_totals import day_path
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from glue.tracker import closing_time

MARKER_NAME = "_SUCCESS"
RECENT = timedelta(days=2)
INTERVAL_SECONDS = 60.0
_MAXIMUM_REMEMBERED = 100_000
_LOG = logging.getLogger(__name__)


class MarkingClient(Protocol):
    """The part of boto3's S3 client that is used here."""

    def head_object(self, **arguments: Any) -> Any: ...
    def put_object(self, **arguments: Any) -> Any: ...
    def delete_object(self, **arguments: Any) -> Any: ...


class MarkingLedger(Protocol):
    """What is needed of the ledger (glue.ledger.PartitionLedger)."""

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]: ...


@dataclass
class MarkingReport:
    """Markers by what became of them. `waiting`: folders that are not complete yet."""

    written_count: int = 0
    kept_count: int = 0
    removed_count: int = 0
    waiting_count: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """The counts by name, for logs and metrics."""
        names = ("written", "kept", "removed", "waiting")
        return {**{name: getattr(self, f"{name}_count") for name in names}, "failed": len(self.failed)}


class SuccessMarkers:
    """Writes and removes markers; see the module."""

    def __init__(self, s3_client: MarkingClient, ledger: MarkingLedger) -> None:
        self._s3 = s3_client
        self._ledger = ledger
        self._vouched: dict[str, datetime] = {}  # markers this process knows to be there: until which arrival

    def mark(self, spec: TableSpec, time_range: PartitionRange | None, now: datetime) -> MarkingReport:
        """The folders of a range have the markers they should have afterwards, or the report says which have not."""
        report = MarkingReport()
        for day, members in groupby(self._partitions(spec, time_range), key=lambda found: day_path(found[0])):
            partitions = list(members)
            for partition, record in partitions:
                state = partition_state(spec, partition, record, now)
                self._settle(spec, partition, state, record.last_arrival, report)
            self._mark_day(spec, partitions[0][0], day, now, report)
        return report

    def mark_recent(self, specs: Iterable[TableSpec], now: datetime) -> MarkingReport:
        """The same for the last two days of tables. Never raises: what failed is done the next time."""
        report = MarkingReport()
        for spec in specs:
            lateness = timedelta(minutes=spec.allowed_lateness_minutes + spec.allowed_clock_skew_minutes)
            time_range = PartitionRange.covering(now - RECENT - lateness, None, scheme=spec.layout.scheme)
            try:
                found = self.mark(spec, time_range, now)
            except (ClientError, BotoCoreError, OSError):
                _LOG.exception("%s could not be marked; trying again later", spec.reference)
                report.failed.append((spec.reference, "see the log"))
                continue
            for name in ("written_count", "kept_count", "removed_count", "waiting_count"):
                setattr(report, name, getattr(report, name) + getattr(found, name))
            report.failed += found.failed
        return report

    def _partitions(
        self, spec: TableSpec, time_range: PartitionRange | None
    ) -> Iterator[tuple[PartitionSpec, PartitionRecord]]:
        for record in self._ledger.partitions(spec.reference, time_range):
            partition = PartitionSpec.from_values(record.values, spec.layout.scheme)
            if partition.start() >= FIRST_CREDIBLE:
                yield partition, record

    def _mark_day(self, spec: TableSpec, inside: PartitionSpec, day: str, now: datetime, report: MarkingReport) -> None:
        """The day's own folder, by all its partitions, in the range or not."""
        values = day.split("/")
        if spec.layout.has_md5_prefix or len(values) == len(inside.pairs):
            return
        partition = PartitionSpec.from_values(values, inside.scheme)
        last_arrival = None
        state = PartitionState.CLOSED if now >= closing_time(spec, partition) else PartitionState.OPEN
        for member, record in self._partitions(spec, PartitionRange(partition, partition)):
            found = partition_state(spec, member, record, now)
            if found is not PartitionState.CLOSED and state is PartitionState.CLOSED:
                state = found
            if record.last_arrival is not None:
                last_arrival = max(last_arrival or record.last_arrival, record.last_arrival)
        self._settle(spec, partition, state, last_arrival, report)

    def _settle(
        self,
        spec: TableSpec,
        partition: PartitionSpec,
        state: PartitionState,
        last_arrival: datetime | None,
        report: MarkingReport,
    ) -> None:
        key = spec.layout.folder(spec.topic, partition) + MARKER_NAME
        try:
            if state is PartitionState.CLOSED:
                self._vouch(spec, key, last_arrival, report)
            elif state is PartitionState.REOPENED:
                self._remove(spec, key, report)
            else:
                report.waiting_count += 1
        except ClientError as error:
            report.failed.append((key, f"{error_code(error)}: {error_message(error)}"))

    def _vouch(self, spec: TableSpec, key: str, last_arrival: datetime | None, report: MarkingReport) -> None:
        if last_arrival is not None and self._vouched.get(f"{spec.bucket}/{key}") == last_arrival:
            report.kept_count += 1
            return
        written_at = self._written_at(spec, key)
        # S3 tells whole seconds, so a marker of the same second may be older than the object
        if written_at is not None and (last_arrival is None or written_at > last_arrival):
            report.kept_count += 1
        else:
            self._s3.put_object(Bucket=spec.bucket, Key=key, Body=b"")
            report.written_count += 1
        if last_arrival is not None:
            if len(self._vouched) >= _MAXIMUM_REMEMBERED:
                self._vouched.clear()
            self._vouched[f"{spec.bucket}/{key}"] = last_arrival

    def _remove(self, spec: TableSpec, key: str, report: MarkingReport) -> None:
        self._vouched.pop(f"{spec.bucket}/{key}", None)
        if self._written_at(spec, key) is None:
            report.waiting_count += 1
            return
        self._s3.delete_object(Bucket=spec.bucket, Key=key)
        report.removed_count += 1

    def _written_at(self, spec: TableSpec, key: str) -> datetime | None:
        try:
            written_at: datetime = self._s3.head_object(Bucket=spec.bucket, Key=key)["LastModified"]
        except ClientError as error:
            if error_code(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        return written_at


class MarkingThread:
    """Marks the last days of tables every minute. `counts` adds up what became of markers."""

    def __init__(
        self,
        markers: SuccessMarkers,
        specs: Iterable[TableSpec],
        *,
        clock: Callable[[], datetime],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._markers = markers
        self._specs = list(specs)
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="success-markers", daemon=True)

    def start(self) -> None:
        """Begins; the first round holds nobody up."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the round it is at."""
        self._is_stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            report = self._markers.mark_recent(self._specs, self._clock())
            for key, reason in report.failed:
                _LOG.warning("marker not settled: %s: %s", key, reason)
            self._is_stopping.wait(self._interval_seconds)
