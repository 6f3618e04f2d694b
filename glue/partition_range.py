"""A range of partitions, both ends included, and its text in Glue's Expression grammar.

Pruning hands a range to the catalogue, the ledger and the engine. An end that is None is open. An end may be coarser
than the table's partitions: the whole day `dt=2026-11-22` as the last one includes all its minutes.
Texts are compared as strings, as Glue and Athena do with string keys, which is right because formats are of fixed
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from glue.partition_spec import MINUTE_SCHEME, Granularity, PartitionScheme, PartitionSpec


@dataclass(frozen=True)
class PartitionRange:
    """The partitions p with first <= p <= last; None leaves that side open."""

    first: PartitionSpec | None = None
    last: PartitionSpec | None = None

    @classmethod
    def covering(
        cls,
        start: datetime | None,
        end: datetime | None,
        granularity: Granularity = "minute",
        scheme: PartitionScheme = MINUTE_SCHEME,
    ) -> PartitionRange:
        """The partitions that hold the moments of [start, end): `end` itself is outside. None leaves that side open."""
        first = None if start is None else PartitionSpec.from_datetime(start, granularity, scheme)
        last = None
        if end is not None:
            last = PartitionSpec.from_datetime(end - timedelta(microseconds=1), granularity, scheme)
        return cls(first, last)

    @property
    def is_unbounded(self) -> bool:
        """True when every partition is inside."""
        return self.first is None and self.last is None

    @property
    def is_empty(self) -> bool:
        """True when no partition can be inside, as the first lies after the last."""
        if self.first is None or self.last is None:
            return False
        first, last = self.first.values(), self.last.values()
        shared = min(len(first), len(last))
        return first[:shared] > last[:shared]

    def contains(self, partition: PartitionSpec) -> bool:
        """Whether this partition lies inside."""
        values = partition.values()
        if self.first is not None and values[: len(self.first.pairs)] < self.first.values()[: len(values)]:
            return False
        return self.last is None or values[: len(self.last.pairs)] <= self.last.values()

    def expression(self) -> str:
        """The range as Glue's GetPartitions Expression (also valid SQL); empty for the unbounded range.

        The first key's bounds stand alone in front, since a partition index is used only for a key joined by AND.
        """
        conditions: list[str] = []
        if self.first is not None:
            conditions.append(_comparison(self.first.pairs[:1], ">="))
        if self.last is not None:
            conditions.append(_comparison(self.last.pairs[:1], "<="))
        if self.first is not None and len(self.first.pairs) > 1:
            conditions.append(_comparison(self.first.pairs, ">="))
        if self.last is not None and len(self.last.pairs) > 1:
            conditions.append(_comparison(self.last.pairs, "<="))
        return " AND ".join(conditions)


_AFTER_EVERY_VALUE = "\U0010ffff"


def value_path_bounds(time_range: PartitionRange | None) -> tuple[str, str]:
    """The range as [lower, upper) over partition values joined by `/`, which sort as the partitions do."""
    if time_range is None:
        return "", _AFTER_EVERY_VALUE
    lower = "" if time_range.first is None else "/".join(time_range.first.values())
    # '0' follows '/' in ASCII: the least text after the last partition and all that lie inside it
    upper = _AFTER_EVERY_VALUE if time_range.last is None else "/".join(time_range.last.values()) + "0"
    return lower, upper


def _comparison(pairs: Sequence[tuple[str, str]], operator: str) -> str:
    """Lexicographic comparison of the key columns with a tuple of values, written with what the grammar has."""
    (key, value), rest = pairs[0], pairs[1:]
    quoted = "'" + value.replace("'", "''") + "'"
    if not rest:
        return f"{key} {operator} {quoted}"
    return f"({key} {operator[0]} {quoted} OR ({key} = {quoted} AND {_comparison(rest, operator)}))"
