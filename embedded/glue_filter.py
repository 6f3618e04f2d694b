"""A partition Expression as work for SQLite: where to seek in a table's ordered partitions, and what to check there.

The partitions of a table lie in the order of their sort keys. `PartitionFilter.seeks` are the stretches of that order
that can hold matches (`dt = '2026-01-01' AND hr >= '22'` is one stretch of two hours), so that the cost of a question
follows its answer, not the table. `condition` is the whole expression as SQL with parameters; no text of the
expression ever becomes SQL.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embedded.glue_expression import (
    Comparison,
    Conjunction,
    Disjunction,
    Expression,
    Likeness,
    Membership,
    Nullness,
    parse,
)
from embedded.glue_partition_values import NOT_A_VALUE, NULL_TEXT, KeyKind, SortKey, sort_key

SORT_COLUMN_COUNT = 8
"""How many keys of a table have a sort column of their own; further ones are computed from the values."""
SEEK_LIMIT = 64

_LIKE_REFUSAL = {
    KeyKind.INTEGER: "Integral data type doesn't support operation 'LIKE'",
    KeyKind.DECIMAL: "Decimal data type doesn't support operation 'LIKE'",
    KeyKind.DATE: "Date data type doesn't support operation 'LIKE'",
    KeyKind.TIMESTAMP: "Timestamp data type doesn't support operation 'LIKE'",
}


class InvalidExpressionError(ValueError):
    """An expression the table cannot answer: an unknown key, a literal of another type; the text is Glue's."""


Cut = tuple[SortKey, bool]
"""A place between values: (value, False) lies just before the value, (value, True) just after."""


@dataclass(frozen=True)
class Interval:
    """The values between two cuts; None is unbounded."""

    start: Cut | None = None
    end: Cut | None = None

    @property
    def point(self) -> SortKey | None:
        """The one value of the interval; None where it may hold several."""
        if self.start is not None and self.end is not None and self.start[0] == self.end[0]:
            return self.start[0]
        return None


Domain = tuple[Interval, ...]
"""Disjoint intervals in order."""

EVERYTHING: Domain = (Interval(),)


@dataclass(frozen=True)
class Seek:
    """A stretch: the first keys equal `prefix`, the next one lies in `interval`."""

    prefix: tuple[SortKey, ...]
    interval: Interval


@dataclass(frozen=True)
class PartitionKey:
    """A partition key of a table: lower-case name and how its values compare."""

    name: str
    kind: KeyKind


class PartitionFilter:
    """An expression bound to the keys of a table; None or blank matches all (as on Glue)."""

    def __init__(self, expression: str | None, keys: Sequence[PartitionKey]) -> None:
        """Raises UnsupportedExpressionError (grammar) or InvalidExpressionError (does not fit the keys)."""
        self._positions = {key.name: position for position, key in enumerate(keys)}
        self._keys = keys
        self.parameters: list[SortKey] = []
        if expression is None or not expression.strip():
            self.condition = "1"
            self.seeks: tuple[Seek, ...] = (Seek((), Interval()),)
            return
        tree = parse(expression)
        self.condition = self._sql(tree)
        self.seeks = tuple(self._seeks(tree))

    def _position(self, name: str) -> int:
        try:
            return self._positions[name]
        except KeyError:
            raise InvalidExpressionError("Invalid partition expression!") from None

    def _sort_key(self, position: int, literal: str) -> SortKey:
        try:
            return sort_key(self._keys[position].kind, literal)
        except ValueError as error:
            raise InvalidExpressionError(str(error)) from None

    # --- the condition -------------------------------------------------------------------------------------------

    def _column(self, position: int) -> str:
        """SQL of a key's sort key; the plus keeps SQLite from seeking by it: that is what `seeks` are for."""
        if position < SORT_COLUMN_COUNT:
            return f"+k{position}"
        return f"glue_sort_key('{self._keys[position].kind.value}', json_extract(value_list, '$[{position}]'))"

    def _parameter(self, value: SortKey) -> str:
        self.parameters.append(value)
        return "?"

    def _sql(self, tree: Expression) -> str:
        if isinstance(tree, Conjunction | Disjunction):
            word = " AND " if isinstance(tree, Conjunction) else " OR "
            return "(" + word.join(self._sql(part) for part in tree.parts) + ")"
        position = self._position(tree.key)
        kind = self._keys[position].kind
        column = self._column(position)
        if isinstance(tree, Nullness):
            null = self._parameter(NULL_TEXT if kind is KeyKind.TEXT else NOT_A_VALUE)
            return f"({column} {'<>' if tree.is_negated else '='} {null})"
        if isinstance(tree, Likeness):
            if kind in _LIKE_REFUSAL:
                raise InvalidExpressionError(_LIKE_REFUSAL[kind])
            return f"({column} {'NOT GLOB' if tree.is_negated else 'GLOB'} {self._parameter(_glob(tree.pattern))})"
        if isinstance(tree, Membership):
            values = ", ".join(self._parameter(self._sort_key(position, literal)) for literal in tree.literals)
            condition = f"{column} {'NOT IN' if tree.is_negated else 'IN'} ({values})"
        else:
            condition = f"{column} {tree.operator} {self._parameter(self._sort_key(position, tree.literal))}"
        if kind is KeyKind.TEXT:
            return f"({condition})"
        return f"({condition} AND {column} <> '{NOT_A_VALUE}')"

    # --- the seeks -----------------------------------------------------------------------------------------------

    def _seeks(self, tree: Expression) -> Iterable[Seek]:
        prefixes: list[tuple[SortKey, ...]] = [()]
        done: list[Seek] = []
        for position in range(min(len(self._keys), SORT_COLUMN_COUNT)):
            domain = self._domain(tree, position)
            if len(prefixes) * len(domain) > SEEK_LIMIT:
                domain = (Interval(domain[0].start, domain[-1].end),)
            longer = []
            for prefix, interval in itertools.product(prefixes, domain):
                if interval.point is None:
                    done.append(Seek(prefix, interval))
                else:
                    longer.append((*prefix, interval.point))
            prefixes = longer
        done.extend(Seek(prefix, Interval()) for prefix in prefixes)
        return sorted(done, key=_seek_order)

    def _domain(self, tree: Expression, position: int) -> Domain:
        """The values of one key with which the expression can hold, whatever the other keys are."""
        if isinstance(tree, Conjunction):
            domain = EVERYTHING
            for part in tree.parts:
                domain = _intersection(domain, self._domain(part, position))
            return domain
        if isinstance(tree, Disjunction):
            return _union(interval for part in tree.parts for interval in self._domain(part, position))
        if self._positions[tree.key] != position:
            return EVERYTHING
        if isinstance(tree, Comparison):
            return _comparison_domain(tree.operator, self._sort_key(position, tree.literal))
        if isinstance(tree, Membership) and not tree.is_negated:
            values = (self._sort_key(position, literal) for literal in tree.literals)
            return _union(Interval((value, False), (value, True)) for value in values)
        if isinstance(tree, Likeness) and not tree.is_negated:
            return _prefix_domain(tree.pattern)
        return EVERYTHING


def _comparison_domain(operator: str, value: SortKey) -> Domain:
    before, behind = (value, False), (value, True)
    intervals = {
        "=": Interval(before, behind),
        "<": Interval(None, before),
        "<=": Interval(None, behind),
        ">": Interval(behind, None),
        ">=": Interval(before, None),
        "<>": Interval(),
    }
    return (intervals[operator],)


def _prefix_domain(pattern: str) -> Domain:
    """What LIKE can match: text from its literal beginning to the next greater text of that length."""
    literal = pattern
    for wildcard in "%_":
        literal = literal.partition(wildcard)[0]
    if literal == pattern:
        return (Interval((pattern, False), (pattern, True)),)
    if not literal or ord(literal[-1]) >= 0xD7FF:
        return EVERYTHING
    return (Interval((literal, False), (literal[:-1] + chr(ord(literal[-1]) + 1), False)),)


def rank(value: SortKey) -> tuple[bool, SortKey]:
    """Compares as SQLite does: every integer before every text."""
    return isinstance(value, str), value


def _cut_rank(cut: Cut) -> tuple[bool, SortKey, bool]:
    return isinstance(cut[0], str), cut[0], cut[1]


def _seek_order(seek: Seek) -> tuple[tuple[tuple[bool, SortKey], ...], bool, tuple[bool, SortKey, bool]]:
    start = seek.interval.start
    key = tuple(rank(value) for value in seek.prefix)
    if start is None:
        return key, False, (False, 0, False)
    # a seek by prefix and one by an interval of the same level interleave by that level's value
    return (*key, rank(start[0])), True, _cut_rank(start)


def _is_empty(interval: Interval) -> bool:
    return (
        interval.start is not None and interval.end is not None and _cut_rank(interval.start) >= _cut_rank(interval.end)
    )


def _intersection(left: Domain, right: Domain) -> Domain:
    found = []
    for one, other in itertools.product(left, right):
        starts = [cut for cut in (one.start, other.start) if cut is not None]
        ends = [cut for cut in (one.end, other.end) if cut is not None]
        both = Interval(
            max(starts, key=_cut_rank) if starts else None,
            min(ends, key=_cut_rank) if ends else None,
        )
        if not _is_empty(both):
            found.append(both)
    return tuple(found)


def _union(intervals: Iterable[Interval]) -> Domain:
    ordered = sorted(
        (interval for interval in intervals if not _is_empty(interval)),
        key=lambda interval: (interval.start is not None, _cut_rank(interval.start or (0, False))),
    )
    merged: list[Interval] = []
    for interval in ordered:
        if merged and _touches(merged[-1], interval):
            merged[-1] = Interval(merged[-1].start, _later_end(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)


def _touches(earlier: Interval, later: Interval) -> bool:
    return earlier.end is None or later.start is None or _cut_rank(later.start) <= _cut_rank(earlier.end)


def _later_end(left: Cut | None, right: Cut | None) -> Cut | None:
    return None if left is None or right is None else max(left, right, key=_cut_rank)


def _glob(pattern: str) -> str:
    """SQL's LIKE pattern as SQLite's GLOB pattern, which is sensitive to case as Glue is."""
    replaced = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(replaced.get(character, character) for character in pattern)
