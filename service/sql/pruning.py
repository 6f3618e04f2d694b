"""Pruning: which partitions of each scan can hold a row that matters, from what the query says about time.

For every scan the predicates that its rows must fulfil (WHERE, ON where it may be pushed down, of every query its
rows flow through) are read as the set of `createdtimestamp` for which they can be true. Widened by the table's
allowed lateness and clock skew, that set becomes a predicate on the partition columns inside the scan's sub-query:

    dt BETWEEN '2022-01-01' AND '2022-01-02' AND (dt > '2022-01-01' OR hr >= '10') AND ...

The caller's own predicates always stay, so a set that is too large costs time, and what is not understood prunes
nothing. The reading is null-rejecting: where a set is not "everything", the predicate is not true for NULL; that is
what makes narrowing right on both sides of outer joins. A CTE that is read twice is narrowed to what either of its
readers may need.

Of the partitions that are only there for late rows, those are left out of which is known that they hold none that
matters (`service.sql.margins`).

Predicates on the partition columns themselves, when the caller writes some, are copied to the scan as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from sqlglot import exp

from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.sql import margins
from service.sql.intervals import EVERYTHING, NOTHING, Bound, IntervalSet
from service.sql.margins import LeftOut, PartitionTimes
from service.sql.scope import Analysis, Scan, Use
from service.sql.time_values import (
    DAY_MS,
    LAST_MS,
    MINUTE_MS,
    PLAN_LIFE,
    TIME_COLUMN,
    Evaluator,
    Kind,
    Lookup,
    Value,
    comparable,
)

KNOWLEDGE_LIFE = timedelta(minutes=5)
"""How long a plan may rest on what was known of partitions: late objects may still come to them."""

Operator = type[exp.Expr]
_FIRST_MS = -62_135_596_800_000  # 0001-01-01, the first day a folder can have
_EDGES = {"%H": ("00", "23"), "%M": ("00", "59")}
_FLIPPED: dict[Operator, Operator] = {
    exp.LT: exp.GTE,
    exp.LTE: exp.GT,
    exp.GT: exp.LTE,
    exp.GTE: exp.LT,
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
}
_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ)


@dataclass(frozen=True)
class Pruned:
    """What was found per scan: conditions for its sub-query, its partitions (None: all of them), and those of them that
    are left out.

    `valid_until`: set when the predicates depend on now(), or on what is known of partitions now.
    """

    predicates: dict[Scan, list[exp.Expr]] = field(default_factory=dict)
    partition_ranges: dict[Scan, PartitionRange | None] = field(default_factory=dict)
    left_out: dict[Scan, LeftOut] = field(default_factory=dict)
    valid_until: datetime | None = None


def prune(
    analysis: Analysis,
    *,
    now: datetime,
    from_ms: int | None,
    to_ms: int | None,
    partition_times: PartitionTimes | None = None,
) -> Pruned:
    """Conditions and partitions per scan. `from_ms` and `to_ms` bound `createdtimestamp` of every scan: [from, to).

    Without `partition_times` nothing is known of partitions but their names.
    """
    reader = _Reader(analysis, Evaluator(now))
    asked = IntervalSet.of([(_or(from_ms, -math.inf), _or(to_ms, math.inf) - 1)])
    pruned = Pruned()
    for scan in analysis.scans:
        spec = scan.spec
        use = analysis.roots[scan]
        created = reader.times(use).intersection(asked)
        held = created.widened(spec.allowed_clock_skew_minutes * MINUTE_MS, spec.allowed_lateness_minutes * MINUTE_MS)
        own, own_days = reader.partition_predicates(use)
        unneeded = LeftOut()
        if partition_times is not None:
            unneeded = margins.left_out(partition_times, spec, created, held, now)
        pruned.left_out[scan] = unneeded
        pruned.predicates[scan] = [
            *_asked_range(spec, from_ms, to_ms),
            *_partition_condition(spec, held),
            *margins.condition(unneeded.partitions),
            *own,
        ]
        pruned.partition_ranges[scan] = _partition_range(spec, held.intersection(own_days))
    lives = [PLAN_LIFE] if reader.evaluator.has_used_clock else []
    if any(unneeded.partitions for unneeded in pruned.left_out.values()):
        lives.append(KNOWLEDGE_LIFE)
    return replace(pruned, valid_until=now + min(lives)) if lives else pruned


def _or(value: int | None, otherwise: float) -> Bound:
    return otherwise if value is None else value


def _asked_range(spec: TableSpec, from_ms: int | None, to_ms: int | None) -> list[exp.Expr]:
    conditions: list[exp.Expr] = []
    if from_ms is not None:
        conditions.append(exp.GTE(this=exp.column(spec.time_column), expression=_integer(from_ms)))
    if to_ms is not None:
        conditions.append(exp.LT(this=exp.column(spec.time_column), expression=_integer(to_ms)))
    return conditions


def _integer(value: int) -> exp.Expr:
    number = exp.Literal.number(abs(value))
    return exp.Neg(this=number) if value < 0 else number


# -- reading predicates


class _Reader:
    """Reads the conditions of one statement, use by use."""

    def __init__(self, analysis: Analysis, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._analysis = analysis
        self._conditions: dict[Use, list[exp.Expr]] = {}
        for condition in analysis.conditions:
            for use in condition.uses:
                self._conditions.setdefault(use, []).append(condition.predicate)

    def times(self, use: Use) -> IntervalSet:
        """The `createdtimestamp` of rows of this use that can matter."""
        times = EVERYTHING
        for predicate in self._conditions.get(use, ()):
            times = times.intersection(self._possible(predicate, self._leaf(use), truth=True))
        if use.children:
            needed = NOTHING
            for child in use.children:
                needed = needed.union(self.times(child))
            times = times.intersection(needed)
        return times

    def _possible(self, node: exp.Expr, leaf: Callable[[exp.Expr, bool], IntervalSet], *, truth: bool) -> IntervalSet:
        """The times for which a predicate can be TRUE (or FALSE, with `truth` False); everything when not
        understood."""
        try:
            return self._possible_inside(node, leaf, truth)
        except (RecursionError, OverflowError):
            return EVERYTHING

    def _possible_inside(
        self, node: exp.Expr, leaf: Callable[[exp.Expr, bool], IntervalSet], truth: bool
    ) -> IntervalSet:
        if isinstance(node, exp.Paren):
            return self._possible_inside(node.this, leaf, truth)
        if isinstance(node, exp.Not):
            return self._possible_inside(node.this, leaf, not truth)
        if isinstance(node, (exp.And, exp.Or)):
            left = self._possible_inside(node.this, leaf, truth)
            right = self._possible_inside(node.expression, leaf, truth)
            return left.intersection(right) if isinstance(node, exp.And) is truth else left.union(right)
        if isinstance(node, exp.Boolean):
            return EVERYTHING if bool(node.this) is truth else NOTHING
        return leaf(node, truth)

    def _leaf(self, use: Use) -> Callable[[exp.Expr, bool], IntervalSet]:
        lookup = self._lookup(use)

        def leaf(node: exp.Expr, truth: bool) -> IntervalSet:
            if isinstance(node, _COMPARISONS):
                return self._compared(type(node) if truth else _FLIPPED[type(node)], node.this, node.expression, lookup)
            if isinstance(node, exp.Between) and not node.args.get("symmetric"):
                low = self._compared(exp.GTE if truth else exp.LT, node.this, node.args["low"], lookup)
                high = self._compared(exp.LTE if truth else exp.GT, node.this, node.args["high"], lookup)
                return low.intersection(high) if truth else low.union(high)
            if isinstance(node, exp.In) and truth and node.expressions and node.args.get("query") is None:
                found = NOTHING
                for value in node.expressions:
                    found = found.union(self._compared(exp.EQ, node.this, value, lookup))
                return found
            return EVERYTHING

        return leaf

    def _compared(self, operator: Operator, left: exp.Expr, right: exp.Expr, lookup: Lookup) -> IntervalSet:
        if operator is exp.NEQ:
            return EVERYTHING
        first = self.evaluator.value(left, lookup)
        second = self.evaluator.value(right, lookup) if first is not None else None
        if first is None or second is None:
            return EVERYTHING
        if Kind.FORMATTED in (first.kind, second.kind) and operator is not exp.EQ:
            return EVERYTHING
        pair = comparable(first, second)
        return EVERYTHING if pair is None else _solved(operator, *pair)

    def _lookup(self, use: Use) -> Lookup:
        time_column = use.scan.spec.time_column

        def lookup(column: exp.Column) -> tuple[exp.Expr, Lookup] | Value | None:
            found = self._analysis.columns.get(id(column))
            if found is None:
                return None
            relation, target = found
            inner = relation.inner(use)
            if inner is None:
                return None
            if relation.scan is not None:
                return TIME_COLUMN if target.name == time_column else None
            definition = target.definition
            for branch, uses in target.branches:
                if inner in uses:
                    definition = branch.definition
                    if branch.branches:
                        return None
            return None if definition is None else (definition, self._lookup(inner))

        return lookup

    # -- the caller's own predicates on partition columns

    def partition_predicates(self, use: Use) -> tuple[list[exp.Expr], IntervalSet]:
        """Conjuncts on partition columns alone, over the table's own names; and the days they leave."""
        conjuncts: list[exp.Expr] = []
        days = EVERYTHING
        at: Use | None = use
        while at is not None:
            for predicate in self._conditions.get(at, ()):
                for conjunct in _conjuncts(predicate):
                    copied = self._on_partition_columns(conjunct, at)
                    if copied is not None:
                        conjuncts.append(copied)
                        days = days.intersection(self._days(copied, use.scan.spec))
            at = at.children[0] if len(at.children) == 1 else None
        return list({conjunct.sql(): conjunct for conjunct in conjuncts}.values()), days

    def _on_partition_columns(self, node: exp.Expr, use: Use) -> exp.Expr | None:
        """A copy of a predicate over partition columns and strings only, that is not true for NULL; else None."""
        if isinstance(node, exp.Paren):
            inner = self._on_partition_columns(node.this, use)
            return None if inner is None else exp.Paren(this=inner)
        if isinstance(node, (exp.And, exp.Or)):
            left = self._on_partition_columns(node.this, use)
            right = self._on_partition_columns(node.expression, use) if left is not None else None
            if left is None or right is None:
                return None
            return exp.Paren(this=type(node)(this=left, expression=right))
        if isinstance(node, _COMPARISONS):
            left = self._key_or_string(node.this, use)
            right = self._key_or_string(node.expression, use)
            if left is None or right is None:
                return None
            return type(node)(this=left, expression=right)
        if isinstance(node, exp.Between) and not node.args.get("symmetric"):
            parts = [self._key_or_string(node.args[part], use) for part in ("this", "low", "high")]
            if any(part is None for part in parts):
                return None
            return exp.Between(this=parts[0], low=parts[1], high=parts[2])
        if isinstance(node, exp.In) and node.expressions and node.args.get("query") is None:
            parts = [self._key_or_string(part, use) for part in (node.this, *node.expressions)]
            if any(part is None for part in parts):
                return None
            return exp.In(this=parts[0], expressions=parts[1:])
        return None

    def _key_or_string(self, node: exp.Expr, use: Use) -> exp.Expr | None:
        if isinstance(node, exp.Literal) and node.is_string:
            return node.copy()
        at: Use | None = use
        while isinstance(node, exp.Column) and at is not None:
            found = self._analysis.columns.get(id(node))
            if found is None or found[1].branches:
                return None
            relation, target = found
            at = relation.inner(at)
            if at is None:
                return None
            if relation.scan is not None:
                keys = {key.name for key in use.scan.spec.partition_keys}
                return exp.column(target.name or "") if target.name in keys else None
            if target.definition is None:
                return None
            node = target.definition
        return None

    def _days(self, predicate: exp.Expr, spec: TableSpec) -> IntervalSet:
        """The time of the partitions that a predicate on the first key leaves, when that key is a day."""
        key = spec.layout.scheme.folders[0]
        if key.pattern != "%Y-%m-%d":
            return EVERYTHING

        def leaf(node: exp.Expr, truth: bool) -> IntervalSet:
            if not truth:
                return EVERYTHING
            if isinstance(node, exp.Between):
                return _day(exp.GTE, node.this, node.args["low"], key.key).intersection(
                    _day(exp.LTE, node.this, node.args["high"], key.key)
                )
            if isinstance(node, exp.In):
                found = NOTHING
                for value in node.expressions:
                    found = found.union(_day(exp.EQ, node.this, value, key.key))
                return found
            if isinstance(node, _COMPARISONS):
                return _day(type(node), node.this, node.expression, key.key)
            return EVERYTHING

        return self._possible(predicate, leaf, truth=True)


def _conjuncts(predicate: exp.Expr) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    pending = [predicate]
    while pending:
        node = pending.pop()
        if isinstance(node, exp.Paren):
            pending.append(node.this)
        elif isinstance(node, exp.And):
            pending.extend((node.expression, node.this))
        else:
            found.append(node)
    return found


def _day(operator: Operator, left: exp.Expr, right: exp.Expr, key: str) -> IntervalSet:
    """The days left by `dt <operator> 'text'`; folders of other years than 0001 to 9999 do not exist."""
    if not (isinstance(left, exp.Column) and left.name == key and isinstance(right, exp.Literal)):
        return EVERYTHING
    try:
        day = datetime.strptime(right.name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return EVERYTHING
    if day.strftime("%Y-%m-%d") != right.name:
        return EVERYTHING
    first = round(day.timestamp()) * 1000
    last = first + DAY_MS - 1
    bounds: dict[Operator, tuple[Bound, Bound]] = {
        exp.EQ: (first, last),
        exp.GTE: (first, math.inf),
        exp.GT: (last + 1, math.inf),
        exp.LTE: (-math.inf, last),
        exp.LT: (-math.inf, first - 1),
    }
    return IntervalSet.of([bounds[operator]]) if operator in bounds else EVERYTHING


def _solved(operator: Operator, left: Value, right: Value) -> IntervalSet:
    """The times t for which left(t) <operator> right(t) can hold."""
    scale = left.scale - right.scale
    low, high = left.low - right.high, left.high - right.low  # left - right lies in [scale*t + low, scale*t + high]
    if scale == 0:
        return _decided(operator, low, high)
    if scale < 0:
        mirrored: dict[Operator, Operator] = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}
        operator, scale, low, high = mirrored.get(operator, operator), -scale, -high, -low
    # t <= -low / scale for < and <=; t >= -high / scale for > and >=
    first: Bound = -math.inf
    last: Bound = math.inf
    if operator in (exp.LT, exp.LTE, exp.EQ) and isinstance(low, Fraction):
        bound = -low / scale
        last = math.ceil(bound) - 1 if operator is exp.LT else math.floor(bound)
    if operator in (exp.GT, exp.GTE, exp.EQ) and isinstance(high, Fraction):
        bound = -high / scale
        first = math.floor(bound) + 1 if operator is exp.GT else math.ceil(bound)
    return IntervalSet.of([(first, last)])


def _decided(operator: Operator, low: Fraction | float, high: Fraction | float) -> IntervalSet:
    """A comparison that does not depend on the row: nothing when it cannot hold."""
    can_hold: dict[Operator, bool] = {
        exp.LT: low < 0,
        exp.LTE: low <= 0,
        exp.GT: high > 0,
        exp.GTE: high >= 0,
        exp.EQ: low <= 0 <= high,
    }
    return EVERYTHING if can_hold.get(operator, True) else NOTHING


# -- partitions


def _clamped(times: IntervalSet) -> IntervalSet:
    """Bounds beyond the calendar are no bounds; a set that lies wholly beyond it keeps its nearest day."""
    clamped: list[tuple[Bound, Bound]] = []
    for first, last in times.intervals:
        clamped.append(
            (
                -math.inf if first <= _FIRST_MS else min(first, LAST_MS),
                math.inf if last >= LAST_MS else max(last, _FIRST_MS),
            )
        )
    return IntervalSet.of(clamped)


def _partition_range(spec: TableSpec, held: IntervalSet) -> PartitionRange | None:
    if held.is_everything:
        return None
    if held.is_empty:
        first, last = _partition(spec, LAST_MS), _partition(spec, _FIRST_MS)
        return PartitionRange(first, last)
    low, high = _clamped(held).hull()
    found = PartitionRange(
        None if isinstance(low, float) else _partition(spec, low),
        None if isinstance(high, float) else _partition(spec, high),
    )
    return None if found.is_unbounded else found


def _partition(spec: TableSpec, milliseconds: int) -> PartitionSpec:
    return PartitionSpec.from_milliseconds(milliseconds, scheme=spec.layout.scheme)


def _partition_condition(spec: TableSpec, held: IntervalSet) -> list[exp.Expr]:
    """Conjuncts on the partition columns: first the plain range of the first key, then what makes it exact."""
    if held.is_everything:
        return []
    if held.is_empty:
        nowhere = _partition_range(spec, NOTHING)
        return _first_key_conjuncts(nowhere) if nowhere is not None else []
    ranges = [_partition_range(spec, IntervalSet.of([pair])) for pair in _clamped(held).intervals]
    if any(found is None for found in ranges):
        return []
    known = [found for found in ranges if found is not None]
    hull = PartitionRange(known[0].first, known[-1].last)
    if len(known) == 1:
        return _range_conjuncts(hull)
    alternatives: list[exp.Expr] = []
    for found in known:
        alternatives.append(_all(_range_conjuncts(found)))
    any_of = alternatives[0]
    for alternative in alternatives[1:]:
        any_of = exp.Or(this=any_of, expression=alternative)
    return [*_first_key_conjuncts(hull), exp.Paren(this=any_of)]


def _range_conjuncts(found: PartitionRange) -> list[exp.Expr]:
    """`first <= (dt, hr, min) <= last`, key by key as strings, each conjunct as plain as it can be."""
    conjuncts = _first_key_conjuncts(found)
    first = list(found.first.pairs) if found.first is not None else []
    last = list(found.last.pairs) if found.last is not None else []
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        if shared:
            conjuncts.append(_compare(exp.EQ, first[shared]))
        shared += 1
    if first and last and 0 < shared < min(len(first), len(last)):
        conjuncts.extend(_key_range(first[shared], last[shared]))
    lower = _beyond(found.first, first[shared:], is_lower=True) if found.first is not None else None
    upper = _beyond(found.last, last[shared:], is_lower=False) if found.last is not None else None
    conjuncts.extend(part for part in (lower, upper) if part is not None)
    return conjuncts


def _first_key_conjuncts(found: PartitionRange) -> list[exp.Expr]:
    if found.first is not None and found.last is not None:
        return _key_range(found.first.pairs[0], found.last.pairs[0])
    if found.first is not None:
        return [_compare(exp.GTE, found.first.pairs[0])]
    if found.last is not None:
        return [_compare(exp.LTE, found.last.pairs[0])]
    return []


def _key_range(low: tuple[str, str], high: tuple[str, str]) -> list[exp.Expr]:
    if low == high:
        return [_compare(exp.EQ, low)]
    return [exp.Between(this=exp.column(low[0]), low=exp.Literal.string(low[1]), high=exp.Literal.string(high[1]))]


def _beyond(found: PartitionSpec, pairs: Sequence[tuple[str, str]], *, is_lower: bool) -> exp.Expr | None:
    """`(k1 > v1 OR (k1 = v1 AND k2 > v2) OR ...)`, given that k1 >= v1 already holds; None when that says it all.

    As k1 >= v1 holds, `k1 > v1 OR <the rest>` is enough: where k1 is not greater it is equal.
    """
    strict, loose = (exp.GT, exp.GTE) if is_lower else (exp.LT, exp.LTE)
    edges = {
        folder.key: _EDGES[folder.pattern][0 if is_lower else 1]
        for folder in found.scheme.folders
        if folder.pattern in _EDGES
    }
    kept = list(pairs)
    while len(kept) > 1 and edges.get(kept[-1][0]) == kept[-1][1]:
        kept.pop()
    if len(kept) < 2:
        return None
    condition: exp.Expr = _compare(loose, kept[-1])
    for index in range(len(kept) - 2, -1, -1):
        if index == 0:
            condition = exp.Or(this=_compare(strict, kept[0]), expression=condition)
        else:
            equal = exp.And(this=_compare(exp.EQ, kept[index]), expression=condition)
            condition = exp.Or(this=_compare(strict, kept[index]), expression=exp.Paren(this=equal))
    return exp.Paren(this=condition)


def _compare(operator: Operator, pair: tuple[str, str]) -> exp.Expr:
    return operator(this=exp.column(pair[0]), expression=exp.Literal.string(pair[1]))


def _all(conjuncts: Sequence[exp.Expr]) -> exp.Expr:
    joined = conjuncts[0]
    for conjunct in conjuncts[1:]:
        joined = exp.And(this=joined, expression=conjunct)
    return exp.Paren(this=joined)
