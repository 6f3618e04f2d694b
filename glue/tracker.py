"""Objects come and go; the tracker keeps catalogue and ledger true.

    changes -> one per object -> table and partition by the layouts -> BatchCreatePartition (at most 100 a call, one
    call for all the changes of a table) -> ledger

For whoever hears of objects: the queue worker, the Lambda handler, the watch over the embedded lake folder. Doing it
twice equals doing it once, and being killed between any two steps loses nothing: the catalogue is told before the
ledger, and whoever brought the changes brings them again. Five rules:

1. A partition that is there already is success, and its recorded Location is kept (hudi PR 19761).
2. Never an UpdateTable: each makes a table version, and a table has room for 100,000 (awswrangler 342).
3. A change that failed, in the catalogue or in the ledger, is returned with its reason, so that only its message comes
   again.
4. An object that comes for a partition whose time is over may come for one that is compacted: `settle` is asked, so
   that its rows are in the answers (glue.compaction_settling).
5. Foreign keys are counted and shown, never registered. Nor is an object of no bytes: it has no rows, and when bytes
   come there is another notification.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from glue.aws_clients import RETRYABLE_CODES, GlueClient, error_code, error_message
from glue.layout import COMPACTED_PREFIX, LakeKey
from glue.ledger import ObjectRecord, ObjectRemoval
from glue.object_changes import ObjectChange, latest_changes
from glue.partition_spec import PartitionSpec
from glue.registration import FOREIGN_SAMPLES, NOT_SETTLED, FailedPartition, Settle, register_partitions
from glue.table_spec import TableSpec

# Secor files a record whose time it cannot read under the first of January 1970.
BAD_TIMESTAMP_DAY = datetime(1970, 1, 1, tzinfo=UTC).date()
# How long a partition that was seen in the catalogue is not asked for again; one that somebody drops by hand comes
# back with the next object after this time.
_KNOWN_FOR = timedelta(minutes=5)
_MAXIMUM_KNOWN = 20_000


class ObjectLedger(Protocol):
    """What the tracker needs of a ledger (glue.ledger.PartitionLedger)."""

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """Records facts about objects; how many were stale."""
        ...

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        """Records that objects are gone; how many removals were stale."""
        ...


class NoLedger:
    """The ledger of a deployment that keeps none: partitions are registered all the same."""

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:  # noqa: ARG002  the port's names
        """Nothing is kept, so nothing is stale."""
        return 0

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:  # noqa: ARG002
        """As record_objects."""
        return 0


@dataclass(frozen=True)
class FailedChange:
    """A change that could not be brought into catalogue and ledger. `is_retryable`: the same may succeed later."""

    change: ObjectChange
    code: str
    message: str

    @property
    def is_retryable(self) -> bool:
        """Whether AWS says that trying again may help."""
        return self.code in RETRYABLE_CODES


@dataclass
class TrackingReport:
    """What became of some changes. Every change is in exactly one of the counts, or in `failed`.

    `bad_timestamp_count` and `future_count` are warnings about recorded objects: they lie in the 1970 folder where
    writers put records whose time they cannot read, or in a folder of a time that has not come.
    """

    recorded_count: int = 0
    removed_count: int = 0
    repeated_count: int = 0
    stale_count: int = 0
    empty_count: int = 0
    marker_count: int = 0
    foreign_count: int = 0
    foreign_samples: list[tuple[str, str]] = field(default_factory=list)
    bad_timestamp_count: int = 0
    future_count: int = 0
    late_count: int = 0
    registered_count: int = 0
    failed: list[FailedChange] = field(default_factory=list)

    def add(self, other: TrackingReport) -> None:
        """Adds what became of further changes."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(value, list):
                mine.extend(value)
                if name == "foreign_samples":
                    del mine[FOREIGN_SAMPLES:]
            else:
                setattr(self, name, mine + value)

    def counts(self) -> dict[str, int]:
        """The counts by name, for logs and metrics."""
        numbers = {name.removesuffix("_count"): value for name, value in vars(self).items() if name.endswith("_count")}
        return {**numbers, "failed": len(self.failed)}


@dataclass
class _TableChanges:
    created: dict[PartitionSpec, list[tuple[ObjectChange, ObjectRecord]]] = field(default_factory=dict)
    removed: list[tuple[ObjectChange, ObjectRemoval]] = field(default_factory=list)
    emptied: list[tuple[ObjectChange, ObjectRemoval]] = field(default_factory=list)


class PartitionTracker:
    """See the module. One per process; `apply` may be called from several threads."""

    def __init__(
        self,
        glue_client: GlueClient,
        ledger: ObjectLedger,
        table_specs: Iterable[TableSpec],
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        on_recorded: Callable[[TableSpec, Sequence[ObjectRecord]], None] | None = None,
        settle: Settle | None = None,
    ) -> None:
        """`on_recorded` is told of the objects that the ledger knows now, for whoever reads them. Without `settle`
        nothing is compacted.
        """
        self._glue = glue_client
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep
        self._on_recorded = on_recorded
        self._settle = settle
        self._specs_by_bucket: dict[str, list[tuple[tuple[str, ...], TableSpec]]] = {}
        for spec in table_specs:
            prefixes = spec.layout.listing_prefixes(spec.topic)
            self._specs_by_bucket.setdefault(spec.bucket, []).append((prefixes, spec))
        self._known: dict[tuple[str, tuple[str, ...]], datetime] = {}

    def apply(self, changes: Iterable[ObjectChange]) -> TrackingReport:
        """Catalogue and ledger know of these changes afterwards, or the report says of which they do not."""
        report = TrackingReport()
        given = list(changes)
        latest = latest_changes(given)
        report.repeated_count = len(given) - len(latest)
        now = self._clock()
        by_table: dict[str, _TableChanges] = {}
        specs: dict[str, TableSpec] = {}
        for change in latest:
            found = self._place(change)
            if isinstance(found, str):
                _count_skipped(report, change, found)
                continue
            spec, key = found
            specs[spec.reference] = spec
            _sort(by_table.setdefault(spec.reference, _TableChanges()), spec, key, change, now)
        for name, table_changes in by_table.items():
            self._apply_table(specs[name], table_changes, report, now)
        return report

    def _apply_table(self, spec: TableSpec, changes: _TableChanges, report: TrackingReport, now: datetime) -> None:
        failed = dict(self._register(spec, changes.created, report, now))
        self._settle_closed(spec, changes.created, failed, now)
        created: list[tuple[ObjectChange, ObjectRecord]] = []
        for partition, items in changes.created.items():
            failure = failed.get(partition.values())
            if failure is not None:
                report.failed.extend(FailedChange(change, failure.code, failure.message) for change, _ in items)
            else:
                created.extend(items)
        with _told(report, created):
            self._record(spec, [record for _, record in created], report, now)
        with _told(report, changes.removed):
            removals = [removal for _, removal in changes.removed]
            stale = self._ledger.remove_objects(spec.reference, removals, now=now) if removals else 0
            report.removed_count += len(removals) - stale
            report.stale_count += stale
        with _told(report, changes.emptied):
            emptied = [removal for _, removal in changes.emptied]
            if emptied:
                self._ledger.remove_objects(spec.reference, emptied, now=now)
            report.empty_count += len(emptied)

    def _record(self, spec: TableSpec, records: Sequence[ObjectRecord], report: TrackingReport, now: datetime) -> None:
        if not records:
            return
        stale = self._ledger.record_objects(spec.reference, records)
        for record in records:
            start = record.partition.start()
            report.bad_timestamp_count += start.date() == BAD_TIMESTAMP_DAY
            report.future_count += start > now + timedelta(minutes=spec.allowed_clock_skew_minutes)
            report.late_count += record.is_late
        report.recorded_count += len(records) - stale
        report.stale_count += stale
        if self._on_recorded is not None:
            self._on_recorded(spec, records)

    def _settle_closed(
        self,
        spec: TableSpec,
        partitions: Iterable[PartitionSpec],
        failed: dict[tuple[str, ...], FailedPartition],
        now: datetime,
    ) -> None:
        """Only closed partitions are compacted; the usual object, whose partition is open, costs nothing here."""
        if self._settle is None:
            return
        closed = {p.values(): p for p in partitions if p.values() not in failed and now >= closing_time(spec, p)}
        if closed:
            for values, reason in self._settle(spec, list(closed.values()), now).items():
                failed[values] = FailedPartition(closed[values], NOT_SETTLED, reason)

    def _register(
        self, spec: TableSpec, partitions: Iterable[PartitionSpec], report: TrackingReport, now: datetime
    ) -> Mapping[tuple[str, ...], FailedPartition]:
        """Registers those that this process has not seen in the catalogue a moment ago; the ones that failed."""
        wanted = [
            partition
            for partition in partitions
            if (seen := self._known.get((spec.reference, partition.values()))) is None or now - seen > _KNOWN_FOR
        ]
        if not wanted:
            return {}
        outcome = register_partitions(self._glue, spec, wanted, sleep=self._sleep)
        report.registered_count += outcome.registered_count
        failed = {failure.partition.values(): failure for failure in outcome.failed}
        if len(self._known) + len(wanted) > _MAXIMUM_KNOWN:
            self._known = {}
        self._known |= {(spec.reference, p.values()): now for p in wanted if p.values() not in failed}
        return failed

    def _place(self, change: ObjectChange) -> tuple[TableSpec, LakeKey] | str:
        """The table and place of an object; the reason why it has none, "" for a marker."""
        reason = ""
        is_marker = False
        for prefixes, spec in self._specs_by_bucket.get(change.bucket, ()):
            if not change.key.startswith(prefixes):
                continue
            parsed = spec.layout.parse(change.key)
            if isinstance(parsed, LakeKey):
                if parsed.topic == spec.topic:
                    return spec, parsed
                reason = reason or f"no table has the topic {parsed.topic}"
            elif parsed.kind == "marker":
                is_marker = True
            else:
                reason = parsed.reason
        if is_marker or change.key.startswith(COMPACTED_PREFIX):
            return ""
        return reason or f"no table lies at s3://{change.bucket}/{change.key[:100]}"


def is_late(spec: TableSpec, partition: PartitionSpec, arrival: datetime) -> bool:
    """Whether an object that arrived then came after its partition should have been complete."""
    return arrival >= closing_time(spec, partition)


def closing_time(spec: TableSpec, partition: PartitionSpec) -> datetime:
    """When a partition is complete by the table's promise: its end plus allowed lateness and clock skew."""
    try:
        return partition.end() + timedelta(minutes=spec.allowed_lateness_minutes + spec.allowed_clock_skew_minutes)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _sort(changes: _TableChanges, spec: TableSpec, key: LakeKey, change: ObjectChange, now: datetime) -> None:
    if change.kind == "created" and change.size_bytes != 0:
        arrival = change.happened_at or now
        record = ObjectRecord(
            key.partition,
            change.key,
            change.size_bytes or 0,
            arrival,
            sequencer=change.sequencer,
            content_tag=change.content_tag,
            is_late=is_late(spec, key.partition, arrival),
        )
        changes.created.setdefault(key.partition, []).append((change, record))
    else:
        removal = ObjectRemoval(key.partition, change.key, change.sequencer, change.was_meant)
        # an object that was replaced by one of no bytes has no rows any more
        (changes.emptied if change.kind == "created" else changes.removed).append((change, removal))


@contextmanager
def _told(report: TrackingReport, items: Iterable[tuple[ObjectChange, object]]) -> Iterator[None]:
    """Where AWS refuses the ledger, these changes have failed: their messages come again."""
    try:
        yield
    except ClientError as error:
        report.failed.extend(FailedChange(change, error_code(error), error_message(error)) for change, _ in items)
    except BotoCoreError as error:
        report.failed.extend(FailedChange(change, type(error).__name__, str(error)) for change, _ in items)


def _count_skipped(report: TrackingReport, change: ObjectChange, reason: str) -> None:
    if not reason:
        report.marker_count += 1
        return
    report.foreign_count += 1
    if len(report.foreign_samples) < FOREIGN_SAMPLES:
        report.foreign_samples.append((change.key, reason))
