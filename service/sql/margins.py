"""The margins of a pruned scan: partitions that are read only because rows may come late, and hold no row that matters.

    created        10:00 ......... 11:00          what the query asks for
    held       09:55 ................... 12:05    the partitions that may hold such rows, by lateness and clock skew
    margins    09:55            11:01 .. 12:05    those of them that only late rows can be in

Where the least and the greatest created time of a partition in a margin are known for sure, and none of the times asked
for lies between them, the partition is left out by name. So what is not known is read, and the condition says no more
than that these partitions are not needed:

    NOT (dt = '2026-11-22' AND hr = '11' AND min IN ('05', '06', '07'))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

from sqlglot import exp

from glue.ledger import PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.sql.intervals import Bound, IntervalSet

_MOMENT = timedelta(microseconds=1)


class PartitionTimes(Protocol):
    """Partitions whose times are known for sure (glue.known_times.KnownTimes)."""

    def closed(self, spec: TableSpec, time_range: PartitionRange, now: datetime) -> list[PartitionRecord]:
        """Those of a range, in order, that are closed."""
        ...

    def in_place(self, spec: TableSpec, partitions: Sequence[PartitionSpec]) -> list[PartitionSpec]:
        """Those of these partitions that lie where the layout says."""
        ...


@dataclass(frozen=True)
class LeftOut:
    """Partitions that a scan does not read although its range has them."""

    partitions: tuple[PartitionSpec, ...] = ()
    object_count: int = 0
    size_bytes: int = 0

    @property
    def partition_count(self) -> int:
        """How many they are."""
        return len(self.partitions)


def left_out(times: PartitionTimes, spec: TableSpec, created: IntervalSet, held: IntervalSet, now: datetime) -> LeftOut:
    """The partitions in the margins of a scan that hold no row whose time is in `created`."""
    if created.is_empty or created.is_everything:
        return LeftOut()
    found: dict[PartitionSpec, PartitionRecord] = {}
    for margin in _margins(spec, created.hull(), held.hull()):
        for record in times.closed(spec, margin, now):
            if not _may_matter(record, created):
                found[PartitionSpec.from_values(record.values, spec.layout.scheme)] = record
    kept = times.in_place(spec, sorted(found))
    records = [found[partition] for partition in kept]
    return LeftOut(
        tuple(kept), sum(record.object_count for record in records), sum(record.size_bytes for record in records)
    )


def condition(partitions: Sequence[PartitionSpec]) -> list[exp.Expr]:
    """Conjuncts that are false for these partitions, which are in order, and true for all others."""
    conjuncts: list[exp.Expr] = []
    for leading, group in groupby(partitions, key=lambda partition: partition.pairs[:-1]):
        members = list(group)
        key = members[0].pairs[-1][0]
        among: exp.Expr = exp.In(
            this=exp.column(key), expressions=[exp.Literal.string(member.pairs[-1][1]) for member in members]
        )
        for name, value in reversed(leading):
            equal = exp.EQ(this=exp.column(name), expression=exp.Literal.string(value))
            among = exp.And(this=equal, expression=among)
        conjuncts.append(exp.Not(this=exp.Paren(this=among)))
    return conjuncts


def _margins(spec: TableSpec, created: tuple[Bound, Bound], held: tuple[Bound, Bound]) -> list[PartitionRange]:
    """The partitions before the one that holds the first time asked for, and after the one that holds the last."""
    margins = []
    try:
        if isinstance(created[0], int) and isinstance(held[0], int):
            first, inside = _partition(spec, held[0]), _partition(spec, created[0])
            last = PartitionSpec.from_datetime(inside.start() - _MOMENT, scheme=spec.layout.scheme)
            margins.append((first, last, last < inside))
        if isinstance(created[1], int) and isinstance(held[1], int):
            inside, last = _partition(spec, created[1]), _partition(spec, held[1])
            first = PartitionSpec.from_datetime(inside.end(), scheme=spec.layout.scheme)
            margins.append((first, last, inside < first))
    except OverflowError:  # at the ends of the calendar nothing is known
        return []
    return [PartitionRange(first, last) for first, last, is_beside in margins if is_beside and first <= last]


def _may_matter(record: PartitionRecord, created: IntervalSet) -> bool:
    low, high = record.minimum_createdtimestamp, record.maximum_createdtimestamp
    if low is None or high is None:
        return False  # it has no rows at all
    return not created.intersection(IntervalSet.of([(low, high)])).is_empty


def _partition(spec: TableSpec, milliseconds: int) -> PartitionSpec:
    return PartitionSpec.from_milliseconds(milliseconds, scheme=spec.layout.scheme)
