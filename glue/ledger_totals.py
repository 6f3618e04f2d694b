"""How what is known changes, and what follows from it: the arithmetic that every ledger shares. Nothing is stored here.

    known object + record | inspection -> known object afterwards      recorded, inspected
    (before, after) of objects         -> totals of their partition    PartitionTotals
                                       -> batches of Kafka offsets     batch_changes

Counts follow by difference. A partition's extremes (first, last, least, greatest) follow by widening, as long as no
object goes that may have been the extreme one; then they have to be taken from all its objects anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypeVar

from glue.ledger import (
    Freshness,
    Inspection,
    KnownObject,
    LedgerSummary,
    ObjectRecord,
    PartitionRecord,
    sequencer_order,
)
from glue.offset_proof import Batch, BatchName, batch_name
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionScheme, PartitionSpec

_GAP_WINDOW = timedelta(hours=24)
_DAY_GRANULARITIES = ("year", "month", "day")
_Ordered = TypeVar("_Ordered", int, datetime)
Change = tuple[KnownObject | None, KnownObject | None]  # what was known of one object before, and afterwards


def is_stale(sequencer: str | None, known_sequencer: str | None) -> bool:
    """Whether something at least as new is known."""
    if sequencer is None or known_sequencer is None:
        return False
    return sequencer_order(sequencer) <= sequencer_order(known_sequencer)


def recorded(known: KnownObject | None, record: ObjectRecord) -> KnownObject:
    """What is known of an object once this record, which is not stale, has come."""
    values, facts = record.partition.values(), record.facts
    if known is None:
        return KnownObject(
            values, record.key, record.size_bytes, record.arrival, record.arrival, record.is_late, facts,
            record.sequencer, record.content_tag, record.share or "whole",
        )  # fmt: skip
    has_changed = _has_changed(known, record)
    is_late = record.is_late or known.is_late
    if facts is not None:
        is_late = record.is_late  # its writer says so
    elif not has_changed:
        is_late, facts = known.is_late, known.facts
    return KnownObject(
        values,
        record.key,
        record.size_bytes,
        min(known.arrival, record.arrival),
        max(known.last_arrival, record.arrival) if has_changed else known.last_arrival,
        is_late,
        facts,
        record.sequencer or known.sequencer,
        record.content_tag if has_changed or known.content_tag is None else known.content_tag,
        record.share or ("whole" if has_changed else known.share),
    )


def inspected(known: KnownObject | None, inspection: Inspection) -> KnownObject | None:
    """What is known of an object once it has been read; None when it is no longer what was read."""
    if known is None or known.size_bytes != inspection.size_bytes or known.content_tag != inspection.content_tag:
        return None
    return replace(known, facts=inspection.facts)


def _has_changed(known: KnownObject, record: ObjectRecord) -> bool:
    """Whether the bytes are others than those that were known: by size, by tag, or by a newer notification."""
    if known.size_bytes != record.size_bytes:
        return True
    mine, its = known.content_tag, record.content_tag
    if mine is not None and its is not None and mine.partition(":")[0] == its.partition(":")[0]:
        return mine != its
    if known.sequencer is None or record.sequencer is None:
        return False
    return sequencer_order(record.sequencer) > sequencer_order(known.sequencer)


def partition_totals(table: str, values: tuple[str, ...], objects: Iterable[KnownObject]) -> PartitionRecord:
    """The totals of a partition that has these objects."""
    totals = widened(PartitionRecord(table, values), ((None, known) for known in objects))
    assert totals is not None  # nothing goes, so nothing is lost
    return totals


def widened(totals: PartitionRecord, changes: Iterable[Change]) -> PartitionRecord | None:
    """The totals after these changes, in order; None when an extreme may have gone, so that all objects have to be
    looked at anew.
    """
    counts, lateness = Counter[str](), Counter(totals.lateness)
    extremes = _extremes(totals)
    for before, after in changes:
        if before is not None:
            if _loses(extremes, _own_extremes(before), None if after is None else _own_extremes(after)):
                return None
            _count(counts, lateness, before, -1)
        if after is not None:
            _count(counts, lateness, after, 1)
            own = _own_extremes(after)
            extremes = (
                _least(extremes[0], own[0]), _greatest(extremes[1], own[1]),
                _least(extremes[2], own[2]), _greatest(extremes[3], own[3]),
            )  # fmt: skip
    return replace(
        totals,
        object_count=totals.object_count + counts["objects"],
        size_bytes=totals.size_bytes + counts["bytes"],
        late_bytes=totals.late_bytes + counts["late_bytes"],
        read_row_count=totals.read_row_count + counts["rows"],
        unread_object_count=totals.unread_object_count + counts["unread"],
        malformed_count=totals.malformed_count + counts["malformed"],
        unbounded_object_count=totals.unbounded_object_count + counts["unbounded"],
        minimum_createdtimestamp=extremes[0],
        maximum_createdtimestamp=extremes[1],
        first_arrival=extremes[2],
        last_arrival=extremes[3],
        lateness={name: count for name, count in lateness.items() if count},
    )


def batch_changes(changes: Iterable[Change], meant: Iterable[str] = ()) -> dict[BatchName, Batch]:
    """By how much the batches differ that objects of these changes belong to; `meant` are the keys of objects that
    retention or compaction took.
    """
    taken = frozenset(meant)
    found: dict[BatchName, Batch] = {}
    for before, after in changes:
        known = after or before
        name = None if known is None else batch_name(known.key)
        if known is None or name is None:
            continue
        difference = _in_batch(after).minus(_in_batch(before))
        if after is None and known.key in taken:
            difference = replace(difference, taken_count=1)
        found[name] = found.get(name, Batch()).plus(difference)
    return found


def day_path(partition: PartitionSpec) -> str:
    """The values of a partition down to the day, joined by `/`; all of them where it is coarser."""
    return "/".join(partition.values()[: _day_depth(partition.scheme)])


@lru_cache(maxsize=64)
def _day_depth(scheme: PartitionScheme) -> int:
    return max(1, sum(1 for folder in scheme.folders if folder.granularity in _DAY_GRANULARITIES))


END = "\U0010ffff"  # sorts after every value


def value_path(partition: PartitionSpec) -> str:
    """The values joined by `/`: sorts as the partitions do."""
    return "/".join(partition.values())


def after_all(path: str) -> str:
    """The least text that sorts after this partition and all that lie inside it: '0' follows '/' in ASCII."""
    return path + "0"


def range_bounds(time_range: PartitionRange | None) -> tuple[str, str]:
    """The range as [lower, upper) over value paths."""
    if time_range is None:
        return "", END
    lower = "" if time_range.first is None else value_path(time_range.first)
    upper = END if time_range.last is None else after_all(value_path(time_range.last))
    return lower, upper


def range_parts(time_range: PartitionRange | None) -> tuple[tuple[str, str] | None, list[tuple[str, str]]]:
    """A range as its whole days, [first, end) over `day_path` (None without one), and what is left at its ragged ends,
    [lower, upper) over value paths.
    """
    lower, upper = range_bounds(time_range)
    first, last = (None, None) if time_range is None else (time_range.first, time_range.last)
    first_day, end_day = lower, upper
    if first is not None and len(day := day_path(first)) < len(lower):
        first_day = after_all(day)
    if last is not None and len(day := day_path(last)) < len(value_path(last)):
        end_day = day
    if first_day < end_day:
        ragged = [(lower, first_day), (end_day, upper)]
        return (first_day, end_day), [(start, end) for start, end in ragged if start < end]
    return None, [(lower, upper)] if lower < upper else []


def day_bounds(time_range: PartitionRange | None) -> tuple[str, str]:
    """The days that a range touches, as [first, end) over `day_path`."""
    first, last = (None, None) if time_range is None else (time_range.first, time_range.last)
    return "" if first is None else day_path(first), END if last is None else after_all(day_path(last))


def is_of_data(change: Change) -> bool:
    """Whether the object itself came, went or has other bytes, and not only more is known of it."""
    before, after = (None if known is None else replace(known, facts=None, is_late=False) for known in change)
    return before != after


def version_text(versions: Iterable[tuple[str, int]]) -> str:
    """The data version of these days, each with the number of its changes."""
    return hashlib.sha256("".join(f"{day}:{number}\n" for day, number in versions).encode()).hexdigest()


class _Read(Protocol):
    """What `table_freshness` reads of a ledger."""

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary: ...
    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None: ...


def table_freshness(ledger: _Read, table: str, scheme: PartitionScheme, last_arrival: datetime | None) -> Freshness:
    """How fresh and complete a table is; `last_arrival` is that of its newest object."""
    newest = ledger.neighbour(table, None, newest=True)
    if newest is None:
        return Freshness(None, None, None, 0, 0, 0, 0)
    totals = ledger.summary(table)
    spec = PartitionSpec.from_values(newest, scheme)
    return Freshness(
        newest_partition=spec.path(),
        newest_data_until=spec.end(),
        last_arrival=last_arrival,
        partition_count=totals.partition_count,
        object_count=totals.object_count,
        size_bytes=totals.size_bytes,
        missing_partition_count=_missing_before(ledger, table, spec),
    )


def _missing_before(ledger: _Read, table: str, newest: PartitionSpec) -> int:
    window_start = newest.end() - _GAP_WINDOW
    first = PartitionSpec.from_datetime(window_start, newest.granularity, newest.scheme)
    found = ledger.neighbour(table, first, newest=False)
    if found is None:
        return 0
    oldest = PartitionSpec.from_values(found, newest.scheme)
    expected = (newest.end() - oldest.start()) / (newest.end() - newest.start())
    return max(0, round(expected) - ledger.summary(table, PartitionRange(oldest, newest)).partition_count)


_Extremes = tuple[int | None, int | None, datetime | None, datetime | None]


def _extremes(totals: PartitionRecord) -> _Extremes:
    return (
        totals.minimum_createdtimestamp, totals.maximum_createdtimestamp, totals.first_arrival, totals.last_arrival,
    )  # fmt: skip


def _own_extremes(known: KnownObject) -> _Extremes:
    if known.share == "bytes":
        return None, None, None, None
    facts = known.facts
    if facts is None:
        return None, None, known.arrival, known.last_arrival
    return facts.minimum_createdtimestamp, facts.maximum_createdtimestamp, known.arrival, known.last_arrival


def _loses(extremes: _Extremes, before: _Extremes, after: _Extremes | None) -> bool:
    """Whether the object was at an extreme, and is no longer at least there."""
    for position, (extreme, old) in enumerate(zip(extremes, before, strict=True)):
        if old is None or old != extreme:
            continue
        new = None if after is None else after[position]
        if new is None:
            return True
        is_further = new <= old if position % 2 == 0 else new >= old  # type: ignore[operator]  # of one kind by position
        if not is_further:
            return True
    return False


def _count(counts: Counter[str], lateness: Counter[str], known: KnownObject, sign: int) -> None:
    if known.share != "rows":
        counts["objects"] += sign
        counts["bytes"] += sign * known.size_bytes
    if known.share == "bytes":
        return
    counts["late_bytes"] += sign * known.size_bytes if known.is_late else 0
    counts["unbounded"] += 0 if known.has_known_times else sign
    rows = known.row_count
    if rows is None:
        counts["unread"] += sign
    else:
        counts["rows"] += sign * rows
    if known.facts is not None:
        counts["malformed"] += sign * known.facts.malformed_count
        for name, count in known.facts.lateness.items():
            lateness[name] += sign * count


def _in_batch(known: KnownObject | None) -> Batch:
    """What one object adds to its batch."""
    if known is None:
        return Batch()
    messages = known.message_count
    return Batch(1, 1, 0) if messages is None else Batch(1, 0, messages)


def _least(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    return other if one is None else one if other is None else min(one, other)


def _greatest(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    return other if one is None else one if other is None else max(one, other)
