"""How complete the lake is: the state of a partition, until when a table is complete, its gaps, what came late.

    OPEN -> CLOSING -> CLOSED -> REOPENED -> CLOSED

    OPEN      its time has not passed (with the table's allowed clock skew)
    CLOSING   its time has passed, and objects may still come: the table's allowed lateness runs
    CLOSED    by the table's promise nothing more comes
    REOPENED  something came all the same; it counts as late, and the state stays for another allowed lateness

A state follows from facts of the ledger and the time it is asked at. Nothing is stored that could go stale, so there is
no finalizer to be run and none to be missed. A `load` of old data is not late: somebody asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from glue.ledger import KnownObject, LedgerSummary, OffsetSeries, OffsetTotals, PartitionRecord
from glue.offset_proof import batch_name
from glue.partition_range import PartitionRange
from glue.partition_spec import Granularity, PartitionScheme, PartitionSpec
from glue.table_spec import TableSpec
from glue.tracker import closing_time

GAP_WINDOW = timedelta(hours=24)
# Folders before this hold records whose time could not be read; they say nothing about how complete a table is.
FIRST_CREDIBLE = datetime(1970, 1, 2, tzinfo=UTC)
LATENESS_BUCKETS: tuple[tuple[str, timedelta], ...] = (
    ("in_time", timedelta(0)), ("5_minutes", timedelta(minutes=5)), ("15_minutes", timedelta(minutes=15)),
    ("1_hour", timedelta(hours=1)), ("6_hours", timedelta(hours=6)), ("1_day", timedelta(days=1)),
    ("7_days", timedelta(days=7)),
)  # fmt: skip
MORE = "more"
_MOMENT = timedelta(microseconds=1)


class PartitionState(StrEnum):
    """See the module."""

    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    REOPENED = "REOPENED"


class CompletenessLedger(Protocol):
    """What is read of the ledger (glue.ledger.PartitionLedger)."""

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary: ...
    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]: ...
    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None: ...
    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]: ...


@dataclass(frozen=True)
class Completeness:
    """How far a table can be trusted.

    `complete_until`: the end of the newest partition that is CLOSED; None before the first. `missing_partitions`: how
    many of the range asked for (of the last 24 hours before `complete_until` where it is open) are not there: a hint,
    since a quiet minute has no partition either. `late_bytes` of the range came after the allowed lateness.
    """

    complete_until: datetime | None
    missing_partitions: int
    late_bytes: int


@dataclass(frozen=True)
class Gap:
    """Consecutive partitions that are not there; both ends included."""

    first: PartitionSpec
    last: PartitionSpec
    partition_count: int


@dataclass(frozen=True)
class KafkaOffsets:
    """What a partition holds of one Kafka partition, by the objects' names: the first offsets of its batches."""

    generation: int
    kafka_partition: int
    object_count: int
    first_offset: int
    last_offset: int


def partition_state(
    spec: TableSpec, partition: PartitionSpec, record: PartitionRecord, now: datetime
) -> PartitionState:
    """The state of a partition at this time."""
    closes_at = closing_time(spec, partition)
    if now < closes_at:
        still_open = now < closes_at - timedelta(minutes=spec.allowed_lateness_minutes)
        return PartitionState.OPEN if still_open else PartitionState.CLOSING
    lateness = timedelta(minutes=spec.allowed_lateness_minutes)
    if record.late_bytes and record.last_arrival is not None and now < record.last_arrival + lateness:
        return PartitionState.REOPENED
    return PartitionState.CLOSED


def completeness(
    ledger: CompletenessLedger, spec: TableSpec, now: datetime, time_range: PartitionRange | None = None
) -> Completeness:
    """How complete a table, or a range of it, is. Costs the same at any number of partitions."""
    late_bytes = ledger.summary(spec.reference, time_range).late_bytes
    newest = _newest_closed(ledger, spec, now)
    if newest is None:
        return Completeness(None, 0, late_bytes)
    window = _window(ledger, spec, newest, time_range)
    missing = 0
    if window is not None:
        first, last = window
        found = ledger.summary(spec.reference, PartitionRange(first, last)).partition_count
        missing = max(0, _count(first, last) - found)
    return Completeness(newest.end(), missing, late_bytes)


def gaps(
    ledger: CompletenessLedger, spec: TableSpec, now: datetime, time_range: PartitionRange | None = None
) -> Iterator[Gap]:
    """The runs of partitions that are not there, oldest first, of the range that `completeness` looks at."""
    newest = _newest_closed(ledger, spec, now)
    window = None if newest is None else _window(ledger, spec, newest, time_range)
    if window is None:
        return
    first, last = window
    scheme, granularity = spec.layout.scheme, last.granularity
    expected = first.start()
    for record in ledger.partitions(spec.reference, PartitionRange(first, last)):
        partition = PartitionSpec.from_values(record.values, scheme)
        if partition.start() > expected:
            yield _gap(expected, partition.start(), granularity, scheme)
        expected = max(expected, partition.end())
    if expected < last.end():
        yield _gap(expected, last.end(), granularity, scheme)


def lateness_histogram(spec: TableSpec, objects: Iterable[KnownObject]) -> dict[str, int]:
    """How many objects arrived how long after the end of their partition: bucket -> objects, each up to its name.

    Objects that compaction wrote beside the ones that arrived are not counted.
    """
    counts = Counter[str]()
    for known in objects:
        if known.share == "bytes":
            continue
        lateness = known.arrival - PartitionSpec.from_values(known.values, spec.layout.scheme).end()
        counts[next((name for name, limit in LATENESS_BUCKETS if lateness <= limit), MORE)] += 1
    return {name: counts[name] for name in (*(name for name, _ in LATENESS_BUCKETS), MORE)}


def kafka_offsets(objects: Iterable[KnownObject]) -> tuple[KafkaOffsets, ...]:
    """What the names of objects tell of Kafka's offsets, by generation and Kafka partition."""
    offsets: dict[tuple[int, int], list[int]] = {}
    for known in objects:
        name = batch_name(known.key)
        if name is not None:
            offsets.setdefault((name.generation, name.kafka_partition), []).append(name.offset)
    return tuple(
        KafkaOffsets(generation, kafka_partition, len(found), min(found), max(found))
        for (generation, kafka_partition), found in sorted(offsets.items())
    )


def offset_totals(ledger: CompletenessLedger, spec: TableSpec) -> OffsetTotals:
    """Whether every message of Kafka is in the table, once (glue.offset_proof). Costs the same for any table."""
    series = ledger.offset_series(spec.reference, with_ends=False)
    return OffsetTotals(
        kafka_partition_count=len({(each.generation, each.kafka_partition) for each in series}),
        object_count=sum(each.object_count for each in series),
        unread_object_count=sum(each.unread_object_count for each in series),
        missing_count=sum(each.missing_count for each in series),
        surplus_count=sum(each.surplus_count for each in series),
        fault_count=sum(each.fault_count for each in series),
    )


def by_partition(objects: Iterable[KnownObject]) -> Mapping[tuple[str, ...], list[KnownObject]]:
    """Objects by the values of their partition."""
    found: dict[tuple[str, ...], list[KnownObject]] = {}
    for known in objects:
        found.setdefault(known.values, []).append(known)
    return found


def _newest_closed(ledger: CompletenessLedger, spec: TableSpec, now: datetime) -> PartitionSpec | None:
    """The newest credible partition whose closing time has come."""
    scheme = spec.layout.scheme
    promised = now - timedelta(minutes=spec.allowed_lateness_minutes + spec.allowed_clock_skew_minutes)
    limit = PartitionSpec.from_datetime(promised, scheme=scheme)
    limit = PartitionSpec.from_datetime(limit.start() - _MOMENT, scheme=scheme)
    values = ledger.neighbour(spec.reference, limit, newest=True)
    newest = None if values is None else PartitionSpec.from_values(values, scheme)
    return newest if newest is not None and newest.start() >= FIRST_CREDIBLE else None


def _window(
    ledger: CompletenessLedger, spec: TableSpec, newest: PartitionSpec, time_range: PartitionRange | None
) -> tuple[PartitionSpec, PartitionSpec] | None:
    """The partitions that should be there: none before the table's first one, none after its newest CLOSED one."""
    scheme = spec.layout.scheme
    end = newest.end()
    start = end - GAP_WINDOW
    if time_range is not None:
        if time_range.is_empty:
            return None
        if time_range.last is not None:
            end = min(end, time_range.last.end())
            start = end - GAP_WINDOW
        if time_range.first is not None:
            start = time_range.first.start()
    credible = PartitionSpec.from_datetime(FIRST_CREDIBLE, scheme=scheme)
    oldest = ledger.neighbour(spec.reference, credible, newest=False)
    if oldest is not None:
        start = max(start, PartitionSpec.from_values(oldest, scheme).start())
    if start >= end:
        return None
    return PartitionSpec.from_datetime(start, scheme=scheme), PartitionSpec.from_datetime(end - _MOMENT, scheme=scheme)


def _count(first: PartitionSpec, last: PartitionSpec) -> int:
    """How many partitions there are from one to the other, both included."""
    return round((last.end() - first.start()) / (last.end() - last.start()))


def _gap(start: datetime, end: datetime, granularity: Granularity, scheme: PartitionScheme) -> Gap:
    first = PartitionSpec.from_datetime(start, granularity, scheme)
    last = PartitionSpec.from_datetime(end - _MOMENT, granularity, scheme)
    return Gap(first, last, _count(first, last))
