"""Sets of moments: sorted, disjoint, inclusive intervals of whole milliseconds since 1970.

Pruning reads a predicate as the set of times for which it can be true, so a set may always be made larger, never
smaller: beyond `MAXIMUM_INTERVALS` the smallest gaps are closed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MAXIMUM_INTERVALS = 16

Bound = int | float
"""Milliseconds; -inf and inf are open ends."""


@dataclass(frozen=True)
class IntervalSet:
    """A set of milliseconds, as (first, last) pairs, both inside."""

    intervals: tuple[tuple[Bound, Bound], ...]

    @classmethod
    def of(cls, intervals: Iterable[tuple[Bound, Bound]]) -> IntervalSet:
        """The union of these intervals; those with first > last are empty."""
        merged: list[tuple[Bound, Bound]] = []
        for first, last in sorted(pair for pair in intervals if pair[0] <= pair[1]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        while len(merged) > MAXIMUM_INTERVALS:
            gaps = [merged[index + 1][0] - merged[index][1] for index in range(len(merged) - 1)]
            index = gaps.index(min(gaps))
            merged[index : index + 2] = [(merged[index][0], merged[index + 1][1])]
        return cls(tuple(merged))

    def union(self, other: IntervalSet) -> IntervalSet:
        """Moments in either."""
        return IntervalSet.of((*self.intervals, *other.intervals))

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """Moments in both."""
        return IntervalSet.of((max(a[0], b[0]), min(a[1], b[1])) for a in self.intervals for b in other.intervals)

    def widened(self, before_ms: int, after_ms: int) -> IntervalSet:
        """Every interval made longer at its two ends."""
        return IntervalSet.of((first - before_ms, last + after_ms) for first, last in self.intervals)

    @property
    def is_everything(self) -> bool:
        """True when no moment is outside."""
        return self == EVERYTHING

    @property
    def is_empty(self) -> bool:
        """True when no moment is inside."""
        return not self.intervals

    def hull(self) -> tuple[Bound, Bound]:
        """First and last moment; of a set that is not empty."""
        return self.intervals[0][0], self.intervals[-1][1]


EVERYTHING = IntervalSet(((-math.inf, math.inf),))
NOTHING = IntervalSet(())
