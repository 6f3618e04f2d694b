"""Pruning is sound: whatever a predicate says about time, the rows it selects are the same with and without pruning.

Predicates are random trees of the forms pruning reads (and of some it must not read); a Python evaluator written from
Trino's manual, not from the code under test, decides which rows they select. Rows are placed into partitions as the
layout allows: from clock skew before their time to lateness after it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from glue.partition_spec import PartitionSpec
from service.sql.statement import read
from tests.unit.service.sql.planning import NOW, TABLES, plan

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CENTRE = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
SPEC = TABLES["events"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """SQL text and what it is worth for a row created at t ms; None is NULL (or an error: nothing is selected)."""

    sql: str
    of: Callable[[int], Any]
    near: frozenset[int] = frozenset()
    """Times at which a comparison may change its answer."""

    def with_edges(self, *constants: Term) -> Term:
        """The same, knowing the times around these constants and around the hours and days they lie in."""
        near: set[int] = set()
        for constant in constants:
            value = constant.of(0)
            if isinstance(value, datetime):
                value = ms(value)
            elif value < 10**11:
                value = value * 1000
            for shift in (0, 3_600_000, -7_200_000, 86_400_000):
                shifted = round(value) + shift
                near |= {shifted, shifted // 3_600_000 * 3_600_000, shifted // 86_400_000 * 86_400_000}
                near |= {shifted // 60_000 * 60_000, shifted // 86_400_000 * 86_400_000 + 5 * 3_600_000}
        return Term(
            self.sql, self.of, frozenset(edge + step for edge in near for step in (-1000, -999, -1, 0, 1, 499, 999))
        )


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def moment_of(milliseconds: float) -> datetime:
    return EPOCH + timedelta(milliseconds=round(milliseconds))


def truncate_division(a: int, b: int) -> int:
    return math.trunc(a / b) if abs(a) < 2**50 else (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)


offsets = st.integers(-4 * 86_400_000, 4 * 86_400_000)
minutes = st.integers(-4 * 1440, 4 * 1440)


@st.composite
def number_constants(draw: st.DrawFn) -> Term:
    value = ms(CENTRE) + draw(offsets)
    moment = moment_of(value // 1000 * 1000)
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    shapes = [
        Term(str(value), lambda _: value),
        Term(f"({value} + 0)", lambda _: value),
        Term(f"{value / 1e9!r}e9", lambda _: float(f"{value / 1e9!r}e9")),
        Term(f"to_unixtime(timestamp '{text}') * 1000", lambda _: float(ms(moment))),
        Term(f"to_unixtime(from_iso8601_timestamp('{moment.isoformat()}')) * 1000", lambda _: float(ms(moment))),
        Term(f"cast(to_unixtime(timestamp '{text} UTC') * 1000 as bigint)", lambda _: ms(moment)),
        Term(f"({value // 1000} * 1000)", lambda _: value // 1000 * 1000),
        Term(f"(-{abs(value)} + {2 * value})", lambda _: -abs(value) + 2 * value),
    ]
    return draw(st.sampled_from(shapes))


@st.composite
def seconds_constants(draw: st.DrawFn) -> Term:
    value = (ms(CENTRE) + draw(offsets)) // 1000
    if draw(st.booleans()):  # the last second of a minute: a partition's edge
        value = value // 60 * 60 + 59
    return draw(st.sampled_from([Term(str(value), lambda _: value), Term(f"{value}e0", lambda _: float(value))]))


@st.composite
def moment_constants(draw: st.DrawFn) -> Term:
    moment = CENTRE + timedelta(minutes=draw(minutes))
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    day = moment.replace(hour=0, minute=0, second=0)
    zone = draw(st.sampled_from(["America/New_York", "Asia/Kolkata", "Pacific/Auckland"]))
    local = moment.astimezone(ZoneInfo(zone))
    hours = draw(st.integers(-50, 50))
    shapes = [
        Term(f"timestamp '{text}'", lambda _: moment),
        Term(f"timestamp '{text}.000 UTC'", lambda _: moment),
        Term(f"cast('{text}' as timestamp)", lambda _: moment),
        Term(f"timestamp '{local.strftime('%Y-%m-%d %H:%M:%S')} {zone}'", lambda _: moment),
        Term(f"timestamp '{text}' + interval '{hours}' hour", lambda _: moment + timedelta(hours=hours)),
        Term(f"date_add('minute', {hours}, timestamp '{text}')", lambda _: moment + timedelta(minutes=hours)),
        Term(f"date_trunc('hour', timestamp '{text}')", lambda _: moment.replace(minute=0, second=0)),
        Term(f"date '{text[:10]}'", lambda _: day),
        Term(f"date_parse('{text}', '%Y-%m-%d %H:%i:%s')", lambda _: moment),
        Term(f"from_iso8601_timestamp('{moment.isoformat()}')", lambda _: moment),
        Term("now()", lambda _: NOW),
        Term(f"now() - interval '{abs(hours)}' hour", lambda _: NOW - timedelta(hours=abs(hours))),
        Term("current_date", lambda _: NOW.replace(hour=0)),
        Term(f"date_add('hour', {-abs(hours)}, current_timestamp)", lambda _: NOW - timedelta(hours=abs(hours))),
    ]
    return draw(st.sampled_from(shapes))


def created_numbers() -> st.SearchStrategy[Term]:
    return st.sampled_from(
        [
            Term("createdtimestamp", lambda t: t),
            Term("(createdtimestamp + 3600000) - 3600000", lambda t: t),
            Term("createdtimestamp * 1e0", lambda t: float(t)),
            Term("cast(createdtimestamp as double)", lambda t: float(t)),
            Term("(createdtimestamp / 60000) * 60000", lambda t: truncate_division(t, 60000) * 60000),
            Term("createdtimestamp / 3600000 * 3600000", lambda t: truncate_division(t, 3_600_000) * 3_600_000),
            Term("-(-createdtimestamp)", lambda t: t),
            Term("to_unixtime(from_unixtime(createdtimestamp / 1000)) * 1000", lambda t: t // 1000 * 1000.0),
        ]
    )


def created_seconds() -> st.SearchStrategy[Term]:
    return st.sampled_from(
        [
            Term("createdtimestamp / 1000", lambda t: truncate_division(t, 1000)),
            Term("createdtimestamp / 1e3", lambda t: t / 1e3),
            Term("createdtimestamp / 1000.0", lambda t: round(t / 1000.0, 1)),
            Term("floor(createdtimestamp / 1e3)", lambda t: math.floor(t / 1e3)),
            Term("createdtimestamp * 0.001", lambda t: t * 0.001),
            Term("round(createdtimestamp / 1e3)", lambda t: math.floor(t / 1e3 + 0.5)),
            Term("cast(createdtimestamp / 1e3 as bigint)", lambda t: math.floor(t / 1e3 + 0.5)),
        ]
    )


def created_moments() -> st.SearchStrategy[Term]:
    def local_midnight(t: int) -> datetime:
        local = moment_of(t // 1000 * 1000).astimezone(ZoneInfo("America/New_York"))
        return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    def local_date(t: int) -> datetime:
        local = moment_of(t // 1000 * 1000).astimezone(ZoneInfo("Asia/Kolkata"))
        return datetime(local.year, local.month, local.day, tzinfo=UTC)

    def month_later(t: int) -> datetime:
        moment = moment_of(t // 1000 * 1000)
        year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
        for day in (moment.day, 30, 29, 28):
            try:
                return moment.replace(year=year, month=month, day=day)
            except ValueError:
                continue
        raise AssertionError

    seconds = "from_unixtime(createdtimestamp / 1000)"
    return st.sampled_from(
        [
            Term(seconds, lambda t: moment_of(t // 1000 * 1000)),
            Term("from_unixtime(createdtimestamp / 1e3)", lambda t: moment_of(t)),
            Term("from_unixtime(createdtimestamp / 1000.0)", lambda t: moment_of(round(t / 1000.0, 1) * 1000)),
            Term("from_unixtime(cast(createdtimestamp as double) / 1000)", lambda t: moment_of(t)),
            Term("from_unixtime_nanos(createdtimestamp * 1000000)", lambda t: moment_of(t)),
            Term(f"date_trunc('hour', {seconds})", lambda t: moment_of(t).replace(minute=0, second=0, microsecond=0)),
            Term(f"date_trunc('day', {seconds})", lambda t: moment_of(t // 86_400_000 * 86_400_000)),
            Term(f"date({seconds})", lambda t: moment_of(t // 86_400_000 * 86_400_000)),
            Term(f"cast({seconds} as date)", lambda t: moment_of(t // 86_400_000 * 86_400_000)),
            Term(f"{seconds} + interval '2' hour", lambda t: moment_of(t // 1000 * 1000) + timedelta(hours=2)),
            Term(f"date_add('day', -1, {seconds})", lambda t: moment_of(t // 1000 * 1000) - timedelta(days=1)),
            Term(f"date_add('month', 1, {seconds})", month_later),
            Term(f"at_timezone({seconds}, 'America/New_York')", lambda t: moment_of(t // 1000 * 1000)),
            Term(f"{seconds} at time zone 'Asia/Tokyo'", lambda t: moment_of(t // 1000 * 1000)),
            Term(f"date_trunc('day', at_timezone({seconds}, 'America/New_York'))", local_midnight),
            Term(f"cast({seconds} at time zone 'Asia/Kolkata' as date)", local_date),
            Term(f"date_trunc('week', {seconds})", lambda t: _week(t)),
            Term(f"date_trunc('month', {seconds})", lambda t: _month(t)),
        ]
    )


def _week(t: int) -> datetime:
    day = moment_of(t // 86_400_000 * 86_400_000)
    return day - timedelta(days=day.weekday())


def _month(t: int) -> datetime:
    return moment_of(t // 86_400_000 * 86_400_000).replace(day=1)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@st.composite
def comparisons(draw: st.DrawFn) -> Term:
    created, constants = draw(
        st.sampled_from(
            [
                (created_numbers(), number_constants()),
                (created_seconds(), seconds_constants()),
                (created_moments(), moment_constants()),
            ]
        )
    )
    left, right, other = draw(created), draw(constants), draw(constants)
    shape = draw(st.sampled_from(["compare", "reversed", "between", "not between", "in", "not in"]))
    if shape in ("compare", "reversed"):
        sign = draw(st.sampled_from(list(COMPARISONS)))
        first, second = (left, right) if shape == "compare" else (right, left)
        compare = COMPARISONS[sign]
        return Term(f"{first.sql} {sign} {second.sql}", lambda t: compare(first.of(t), second.of(t))).with_edges(right)
    if shape in ("between", "not between"):
        wanted = shape == "between"
        return Term(
            f"{left.sql} {shape} {right.sql} and {other.sql}",
            lambda t: (right.of(t) <= left.of(t) <= other.of(t)) is wanted,
        ).with_edges(right, other)
    wanted = shape == "in"
    return Term(
        f"{left.sql} {shape} ({right.sql}, {other.sql})",
        lambda t: (left.of(t) in (right.of(t), other.of(t))) is wanted,
    ).with_edges(right, other)


def others() -> st.SearchStrategy[Term]:
    """What pruning must leave alone."""
    return st.sampled_from(
        [
            Term("customerid > 0", lambda _: True),
            Term("servicename = 'nobody'", lambda _: False),
            Term("createdtimestamp is null", lambda _: False),
            Term("createdtimestamp is not null", lambda _: True),
            Term("true", lambda _: True),
            Term("false", lambda _: False),
            Term("1 = 1", lambda _: True),
            Term("createdtimestamp % 2 = 0", lambda t: t % 2 == 0),
            Term("coalesce(createdtimestamp, 0) > 0", lambda t: t > 0),
            Term("abs(createdtimestamp) > 5", lambda t: abs(t) > 5),
            Term("arrivaltimestamp > 0", lambda _: True),
        ]
    )


def predicates() -> st.SearchStrategy[Term]:
    def combined(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            pairs.map(
                lambda p: Term(
                    f"({p[0].sql} and {p[1].sql})", lambda t: p[0].of(t) and p[1].of(t), p[0].near | p[1].near
                )
            ),
            pairs.map(
                lambda p: Term(f"({p[0].sql} or {p[1].sql})", lambda t: p[0].of(t) or p[1].of(t), p[0].near | p[1].near)
            ),
            inner.map(lambda p: Term(f"(not {p.sql})", lambda t: not p.of(t), p.near)),
        )

    return st.recursive(st.one_of(comparisons(), comparisons(), others()), combined, max_leaves=6)


SKEW_MS, LATE_MS = SPEC.allowed_clock_skew_minutes * 60_000, SPEC.allowed_lateness_minutes * 60_000


def placed(t: int, shift: int) -> Row:
    """A row created at t, in the partition of a moment `shift` later, which the layout allows."""
    day, hour, minute = PartitionSpec.from_datetime(moment_of(t + shift)).values()
    return {"createdtimestamp": t, "dt": day, "hr": hour, "min": minute}


def scan_conditions(sql: str) -> list[exp.Expr]:
    """The conditions on partition columns inside the sub-queries of planned SQL."""
    tree = sqlglot.parse_one(sql, read="trino")
    found = []
    for table in tree.find_all(exp.Table):
        if table.db:
            where = table.find_ancestor(exp.Select).args.get("where")
            found.append(where.this if where is not None else exp.true())
    return found


def holds(condition: exp.Expr, row: Row) -> bool:
    """A condition over strings and numbers, evaluated by its own little walk."""
    if isinstance(condition, exp.Paren):
        return holds(condition.this, row)
    if isinstance(condition, exp.Not):
        return not holds(condition.this, row)
    if isinstance(condition, exp.And):
        return holds(condition.left, row) and holds(condition.right, row)
    if isinstance(condition, exp.Or):
        return holds(condition.left, row) or holds(condition.right, row)
    if isinstance(condition, exp.Boolean):
        return bool(condition.this)
    if isinstance(condition, exp.Between):
        value = row[condition.this.name]
        return bool(condition.args["low"].name <= value <= condition.args["high"].name)
    if isinstance(condition, exp.In):
        return str(row[condition.this.name]) in [value.name for value in condition.expressions]
    value = row[condition.this.name]
    literal = condition.expression
    constant = literal.name if literal.is_string else int(literal.sql())
    sign = {exp.EQ: "=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}[type(condition)]
    return COMPARISONS[sign](value, constant)


SHAPES = [
    ("SELECT createdtimestamp FROM events WHERE {}", 1),
    ("WITH t AS (SELECT *, 1 AS one FROM events) SELECT one FROM t WHERE {}", 1),
    (
        "SELECT * FROM (SELECT createdtimestamp, customerid, servicename, arrivaltimestamp FROM "
        "events e) AS x WHERE {}",
        1,
    ),
    ("WITH t AS (SELECT * FROM events) SELECT * FROM t WHERE {} UNION ALL SELECT * FROM t WHERE false", 1),
    ("SELECT * FROM events JOIN (VALUES 1) v(x) ON {}", 1),
    ("SELECT * FROM (VALUES 1) v(x) LEFT JOIN events ON {}", 1),
    (
        "SELECT * FROM (SELECT createdtimestamp, customerid, servicename, arrivaltimestamp, dt, hr, min FROM events"
        " UNION ALL SELECT createdtimestamp, customerid, servicename, arrivaltimestamp, dt, hr, min FROM metrics) u"
        " WHERE {}",
        2,
    ),
    ("SELECT count(*) FROM events WHERE {} GROUP BY servicename", 1),
]


@settings(max_examples=300, deadline=None)
@given(
    predicate=predicates(),
    shape=st.sampled_from(SHAPES),
    times=st.lists(st.integers(ms(CENTRE) - 5 * 86_400_000, ms(CENTRE) + 5 * 86_400_000), min_size=20, max_size=40),
    seed=st.integers(0, 2**32),
)
def test_pruning_never_loses_a_row(predicate: Term, shape: tuple[str, int], times: list[int], seed: int) -> None:
    sql = shape[0].format(predicate.sql)
    conditions = scan_conditions(plan(sql, None).sql)
    assert len(conditions) == shape[1]
    chance = random.Random(seed)
    edges = [ms(CENTRE) + step * 3_600_000 for step in range(-100, 101, 20)]
    for t in [*times, *edges, *(edge - 1 for edge in edges), ms(NOW), ms(NOW) - 1, *predicate.near]:
        if predicate.of(t):
            for shift in (-SKEW_MS, LATE_MS, chance.randint(-SKEW_MS, LATE_MS)):
                row = placed(t, shift)
                for condition in conditions:
                    assert holds(condition, row), (predicate.sql, t, row, condition.sql())


@settings(max_examples=100, deadline=None)
@given(start=offsets, length=st.integers(0, 3 * 86_400_000), seed=st.integers(0, 2**32), inside=st.floats(0, 1))
def test_a_plain_range_prunes_to_its_own_partitions(start: int, length: int, seed: int, inside: float) -> None:
    first, last = ms(CENTRE) + start, ms(CENTRE) + start + length
    planned = plan(f"SELECT 1 FROM events WHERE createdtimestamp BETWEEN {first} AND {last}", None)
    partition_range = planned.tables[0].partition_range
    assert partition_range is not None
    assert partition_range.first is not None
    assert partition_range.last is not None
    early = moment_of(first) - timedelta(minutes=SPEC.allowed_clock_skew_minutes)
    late = moment_of(last) + timedelta(minutes=SPEC.allowed_lateness_minutes)
    assert partition_range.first == PartitionSpec.from_datetime(early)
    assert partition_range.last == PartitionSpec.from_datetime(late)
    (condition,) = scan_conditions(planned.sql)
    for outside in (early - timedelta(minutes=1), late + timedelta(minutes=1)):
        day, hour, minute = PartitionSpec.from_datetime(outside).values()
        assert not holds(condition, {"dt": day, "hr": hour, "min": minute})
    t = first + round(length * inside)
    assert holds(condition, placed(t, random.Random(seed).randint(-SKEW_MS, LATE_MS)))


def test_the_generator_speaks_the_language() -> None:
    """Guards the property above against being empty: each form parses."""
    assert read(
        "SELECT 1 FROM events WHERE from_unixtime(createdtimestamp / 1000) at time zone 'Asia/Tokyo' > now()"
    ).tree


def _forms() -> list[tuple[str, Term]]:
    forms: list[tuple[str, Term]] = []
    for unit, strategy in (("ms", created_numbers()), ("s", created_seconds()), ("moment", created_moments())):
        forms.extend((unit, term) for term in strategy.elements)  # type: ignore[attr-defined]  # of sampled_from
    return forms


def _constant(unit: str, moment: datetime) -> Term:
    value = ms(moment)
    if unit == "ms":
        return Term(str(value), lambda _: value)
    if unit == "s":
        return Term(str(value // 1000), lambda _: value // 1000)
    return Term(f"timestamp '{moment.strftime('%Y-%m-%d %H:%M:%S')}'", lambda _: moment)


@pytest.mark.parametrize("sign", [sign for sign in COMPARISONS if sign != "<>"])
@pytest.mark.parametrize(("unit", "form"), _forms(), ids=[form.sql for _, form in _forms()])
def test_each_form_alone_never_loses_a_row(unit: str, form: Term, sign: str) -> None:
    chance = random.Random(form.sql + sign)
    compare = COMPARISONS[sign]
    for _ in range(8):
        moment = CENTRE + timedelta(seconds=chance.randint(-300_000, 300_000))
        constant = _constant(
            unit, chance.choice([moment, moment.replace(second=59), moment.replace(minute=0, second=0)])
        )
        condition = scan_conditions(plan(f"SELECT 1 FROM events WHERE {form.sql} {sign} {constant.sql}", None).sql)[0]
        assert not isinstance(condition, exp.Boolean), "this form is promised to prune"
        term = Term("", lambda t, constant=constant: compare(form.of(t), constant.of(t))).with_edges(constant)
        for t in [*term.near, *(ms(moment) + chance.randint(-90_000_000, 90_000_000) for _ in range(40))]:
            if term.of(t):
                for shift in (-SKEW_MS, LATE_MS):
                    assert holds(condition, placed(t, shift)), (t, condition.sql())
