"""What an expression can be worth, as a function of one row's `createdtimestamp`.

A `Value` says: for a row created at t (ms), the expression lies in [scale * t + low, scale * t + high]. Constants
have scale 0. Rounding, truncation, floating point and a clock that moves on between planning and running only widen
low..high, so whoever compares two values can err to the safe side only. What is not understood has no Value at all
(None).

The rules are Trino's: integer division truncates, `1.5` is a decimal and its division rounds to the operands' scale,
`1e3` is a double, from_unixtime counts in ms, the session's zone is UTC (Athena user guide, engine version 3).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlglot import exp

from service.sql import grammar

Amount = Fraction | float
"""An exact number, or -inf / inf."""

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

CLOCK_TOLERANCE_MS: Final = 5 * MINUTE_MS
"""How far the engine's clock may be behind ours."""

PLAN_LIFE: Final = timedelta(hours=24)
"""How long after planning a statement that says now() may start."""

_START_TOLERANCE_MS: Final = 12 * HOUR_MS
_UNIT_MS: Final[Mapping[str, int]] = {
    "millisecond": 1,
    "second": SECOND_MS,
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
    "week": 7 * DAY_MS,
}
_UNIT_MONTHS: Final[Mapping[str, int]] = {"month": 1, "quarter": 3, "year": 12}
_LONGEST_MS: Final[Mapping[str, int]] = {
    **_UNIT_MS,
    "month": 31 * DAY_MS,
    "quarter": 92 * DAY_MS,
    "year": 366 * DAY_MS,
}
_TIMESTAMP = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,12}))?)?)?"
    r"\s*(Z|UTC|[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+|[+-]\d{1,2}:?\d{2})?\s*"
)
_DIRECTIVES: Final[Mapping[str, str]] = {
    "Y": "%Y",
    "m": "%m",
    "d": "%d",
    "H": "%H",
    "i": "%M",
    "s": "%S",
    "T": "%H:%M:%S",
}
_FORMAT_UNITS: Final[Mapping[str, str]] = {
    "%Y-%m-%d %H:%i:%s": "second",
    "%Y-%m-%d %T": "second",
    "%Y-%m-%d %H:%i": "minute",
    "%Y-%m-%d %H": "hour",
    "%Y-%m-%d": "day",
    "%Y%m%d": "day",
    "%Y-%m": "month",
    "%Y": "year",
}


class Kind(Enum):
    """What a value is counted in."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    DOUBLE = "double"
    MOMENT = "moment"  # ms since 1970: timestamps and dates
    SPAN = "span"  # ms: interval day to second
    MONTHS = "months"  # interval year to month
    TEXT = "text"
    FORMATTED = "formatted"  # date_format(moment, format): text that names the unit the moment lies in

    @property
    def is_number(self) -> bool:
        """Integers, decimals, doubles."""
        return self in (Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE)


@dataclass(frozen=True)
class Value:
    """See the module. `text` is the text of TEXT, and the format of FORMATTED. `is_local`: a moment shown in a zone
    that is not UTC, whose calendar fields may differ by up to a day.
    """

    kind: Kind
    scale: Fraction = Fraction(0)
    low: Amount = Fraction(0)
    high: Amount = Fraction(0)
    text: str = ""
    is_local: bool = False

    @property
    def is_constant(self) -> bool:
        """True when it does not depend on the row."""
        return self.scale == 0

    @property
    def exact(self) -> Fraction | None:
        """The one number this constant is, if it is one."""
        if self.is_constant and self.low == self.high and isinstance(self.low, Fraction):
            return self.low
        return None

    def widened(self, below: Amount, above: Amount) -> Value:
        """The same with more room."""
        return replace(self, low=self.low - below, high=self.high + above)


TIME_COLUMN = Value(Kind.INTEGER, scale=Fraction(1))

Lookup = Callable[[exp.Column], "tuple[exp.Expr, Lookup] | Value | None"]
"""What a column is: a Value, or the expression that defines it and the lookup for the columns in there, or unknown."""


class Evaluator:
    """Values of expressions at one moment of planning. `budget` bounds the work on one statement."""

    def __init__(self, now: datetime, budget: int = 20_000) -> None:
        self._now_ms = Fraction(round(now.timestamp() * 1000))
        self._budget = budget
        self.has_used_clock = False

    def value(self, node: exp.Expr, lookup: Lookup) -> Value | None:
        """The value of an expression, or None when it is not understood."""
        self._budget -= 1
        if self._budget < 0:
            return None
        if isinstance(node, exp.Column):
            found = lookup(node)
            if found is None or isinstance(found, Value):
                return found
            return self.value(*found)
        if isinstance(node, exp.Paren):
            return self.value(node.this, lookup)
        if isinstance(node, exp.Literal):
            return _literal(node)
        if isinstance(node, exp.Neg):
            value = self.value(node.this, lookup)
            return None if value is None else _times(value, Value(Kind.INTEGER, low=Fraction(-1), high=Fraction(-1)))
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
            left = self.value(node.this, lookup)
            right = self.value(node.expression, lookup) if left is not None else None
            if left is None or right is None:
                return None
            return _OPERATORS[type(node)](left, right)
        if isinstance(node, exp.Interval):
            return _interval(node)
        if isinstance(node, exp.Cast):  # TryCast too: where it gives NULL, no comparison is true
            return self._cast(node, lookup)
        if isinstance(node, exp.AtTimeZone):
            return self._at_timezone([node.this, node.args["zone"]], lookup)
        if isinstance(node, (exp.CurrentTimestamp, exp.Localtimestamp)):
            return self._now()
        if isinstance(node, exp.CurrentDate):
            return _truncated(self._now(), "day")
        if isinstance(node, exp.Anonymous):
            return self._call(node, lookup)
        if isinstance(node, (exp.Floor, exp.Ceil)):
            value = self.value(node.this, lookup)
            is_plain = not any(node.args.get(part) for part in ("decimals", "to"))
            return value.widened(1, 1) if value is not None and value.kind.is_number and is_plain else None
        return None

    def _now(self) -> Value:
        self.has_used_clock = True
        latest = self._now_ms + int(PLAN_LIFE.total_seconds() * 1000) + _START_TOLERANCE_MS
        return Value(Kind.MOMENT, low=self._now_ms - CLOCK_TOLERANCE_MS, high=latest)

    def _cast(self, node: exp.Cast, lookup: Lookup) -> Value | None:
        value = self.value(node.this, lookup)
        kind = node.args["to"].this
        if value is None:
            return None
        if kind in (exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ):
            if value.kind is Kind.TEXT:
                moment = _moment_of_text(value.text, is_date=kind == exp.DType.DATE)
                if moment is not None and moment.is_local and kind == exp.DType.TIMESTAMP:  # the zone is dropped
                    return replace(moment.widened(DAY_MS, DAY_MS), is_local=False)
                return moment
            if value.kind is not Kind.MOMENT:
                return None
            if kind == exp.DType.DATE:
                return _truncated(value, "day")
            room = DAY_MS if value.is_local else 0
            rounding = 0 if value.exact is not None and not node.args["to"].expressions else SECOND_MS
            return replace(value.widened(room + rounding, room + rounding), is_local=False)
        if value.kind is Kind.TEXT or not value.kind.is_number:
            return None
        if kind == exp.DType.BIGINT:
            room = 0 if value.kind is Kind.INTEGER else 1
            return replace(value.widened(room, room), kind=Kind.INTEGER)
        if kind == exp.DType.DOUBLE:
            return _as_double(value)
        return None

    def _call(self, node: exp.Anonymous, lookup: Lookup) -> Value | None:
        typed = grammar.typed_literal_of(node)
        if typed is not None:
            return _typed_literal(*typed)
        name, arguments = node.name.lower(), node.expressions
        if name in ("now", "current_timestamp", "localtimestamp"):
            return self._now()
        if name == "current_date" and not arguments:
            return _truncated(self._now(), "day")
        if name in ("at_timezone", "with_timezone") and len(arguments) == 2:
            if name == "at_timezone":
                return self._at_timezone(arguments, lookup)
            value = self.value(arguments[0], lookup)
            return value.widened(DAY_MS, DAY_MS) if value is not None and value.kind is Kind.MOMENT else None
        function = _FUNCTIONS.get(name)
        if function is None:
            return None
        values = [self.value(argument, lookup) for argument in arguments]
        known = [value for value in values if value is not None]
        return function(known) if len(known) == len(values) else None

    def _at_timezone(self, arguments: Sequence[exp.Expr], lookup: Lookup) -> Value | None:
        value = self.value(arguments[0], lookup)
        if value is None or value.kind is not Kind.MOMENT:
            return None
        zone = arguments[1]
        is_utc = isinstance(zone, exp.Literal) and zone.is_string and zone.name.upper() in ("UTC", "Z", "+00:00")
        return replace(value, is_local=not is_utc)


# -- constants


def _literal(node: exp.Literal) -> Value | None:
    if node.is_string:
        return Value(Kind.TEXT, text=node.name)
    return _number(node.name)


def _number(text: str) -> Value | None:
    try:
        amount = Fraction(text.replace("_", ""))
    except (ValueError, ZeroDivisionError):
        return None
    if abs(amount) > 10**30:
        return None
    kind = Kind.DOUBLE if "e" in text.lower() else Kind.DECIMAL if "." in text else Kind.INTEGER
    return Value(kind, low=amount, high=amount)


def _typed_literal(kind: str, text: str) -> Value | None:
    if kind in ("DATE", "TIMESTAMP"):
        return _moment_of_text(text, is_date=kind == "DATE")
    if kind in ("BIGINT", "INTEGER", "INT", "SMALLINT", "TINYINT", "DOUBLE", "DECIMAL"):
        value = _number(text.strip())
        if value is None or (kind not in ("DOUBLE", "DECIMAL") and value.kind is not Kind.INTEGER):
            return None
        return replace(value, kind=getattr(Kind, kind)) if kind in ("DOUBLE", "DECIMAL") else value
    return Value(Kind.TEXT, text=text) if kind == "VARCHAR" else None


def _moment_of_text(text: str, *, is_date: bool = False) -> Value | None:
    """The moment a text names, by Trino's formats of timestamps and dates; UTC when it names no zone."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if is_date and match[4] is not None:
        return None
    try:
        naive = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone comes next
    except ValueError:
        return None
    fraction_ms = Fraction(int(match[7] or 0), 10 ** len(match[7] or "")) * 1000
    moments = _in_zone(naive, match[8])
    if not moments:
        return None
    low, high = (Fraction(round(bound.timestamp())) * 1000 + fraction_ms for bound in (min(moments), max(moments)))
    rounding = 0 if fraction_ms.denominator == 1 else 1  # timestamp(3): finer digits are rounded
    is_local = bool(match[8]) and match[8].upper() not in ("Z", "UTC")
    return Value(Kind.MOMENT, low=low - rounding, high=high + rounding, is_local=is_local)


def _in_zone(naive: datetime, zone: str | None) -> list[datetime]:
    """The moment, or the two that a clock put back shows twice."""
    if zone is None or zone.upper() in ("Z", "UTC"):
        return [naive.replace(tzinfo=UTC)]
    if zone[0] in "+-":
        hours, minutes = int(zone[1:].rstrip("0123456789").rstrip(":") or zone[1:-2].rstrip(":")), int(zone[-2:])
        offset = timedelta(hours=hours, minutes=minutes)
        return [(naive - offset if zone[0] == "+" else naive + offset).replace(tzinfo=UTC)]
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return []
    return [naive.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1)]


def _interval(node: exp.Interval) -> Value | None:
    amount = node.this
    sign = 1
    while isinstance(amount, (exp.Neg, exp.Paren)):
        sign = -sign if isinstance(amount, exp.Neg) else sign
        amount = amount.this
    unit = node.args.get("unit")
    if not isinstance(amount, exp.Literal) or not isinstance(unit, exp.Var):
        return None
    name = unit.name.lower().removesuffix("s")
    if not re.fullmatch(r"-?\d{1,9}", amount.name.strip()):
        return None
    count = sign * int(amount.name)
    if name in _UNIT_MS:
        return _constant(Kind.SPAN, Fraction(count * _UNIT_MS[name]))
    if name in _UNIT_MONTHS:
        return _constant(Kind.MONTHS, Fraction(count * _UNIT_MONTHS[name]))
    return None


def _constant(kind: Kind, amount: Fraction) -> Value:
    return Value(kind, low=amount, high=amount)


# -- arithmetic


def _plus(left: Value, right: Value) -> Value | None:
    kinds = (left.kind, right.kind)
    if left.kind.is_number and right.kind.is_number:
        return _summed(left, right, _common(left, right))
    if kinds == (Kind.SPAN, Kind.MOMENT):
        left, right = right, left
    if left.kind is Kind.MOMENT and right.kind is Kind.SPAN:
        summed = _summed(left, right, Kind.MOMENT)
        # wall-clock days of a zone with summer time last 23 to 25 hours
        return summed.widened(2 * HOUR_MS, 2 * HOUR_MS) if left.is_local else summed
    if kinds == (Kind.SPAN, Kind.SPAN) or kinds == (Kind.MONTHS, Kind.MONTHS):
        return _summed(left, right, left.kind)
    if kinds == (Kind.MONTHS, Kind.MOMENT):
        left, right = right, left
    if left.kind is Kind.MOMENT and right.kind is Kind.MONTHS and right.exact is not None:
        return _plus_months(left, int(right.exact))
    return None


def _minus(left: Value, right: Value) -> Value | None:
    if left.kind is Kind.MOMENT and right.kind is Kind.MOMENT:
        return replace(_summed(left, _negated(right), Kind.SPAN), is_local=False)
    return _plus(left, _negated(right)) if right.kind is not Kind.MOMENT else None


def _summed(left: Value, right: Value, kind: Kind) -> Value:
    summed = Value(kind, left.scale + right.scale, left.low + right.low, left.high + right.high, is_local=left.is_local)
    return _rounded(summed)


def _negated(value: Value) -> Value:
    return replace(value, scale=-value.scale, low=-value.high, high=-value.low)


def _times(left: Value, right: Value) -> Value | None:
    if left.exact is None:
        left, right = right, left
    factor = left.exact
    if factor is None or not (left.kind.is_number and (right.kind.is_number or right.kind is Kind.SPAN)):
        return None
    if right.kind is Kind.SPAN:
        return _scaled(right, factor, Kind.SPAN).widened(1, 1)
    return _rounded(_scaled(right, factor, _common(left, right)))


def _scaled(value: Value, factor: Fraction, kind: Kind) -> Value:
    if factor == 0:
        return (
            Value(kind)
            if not (math.isinf(value.low) or math.isinf(value.high))
            else Value(kind, low=-math.inf, high=math.inf)
        )
    low, high = (_product(bound, factor) for bound in (value.low, value.high))
    return replace(value, kind=kind, scale=value.scale * factor, low=min(low, high), high=max(low, high))


def _product(bound: Amount, factor: Fraction) -> Amount:
    return bound * factor if isinstance(bound, Fraction) else (bound if factor > 0 else -bound)


def _divided(left: Value, right: Value) -> Value | None:
    divisor = right.exact
    if not divisor or not right.kind.is_number or not left.kind.is_number:
        return None
    kind = _common(left, right)
    if kind is Kind.INTEGER and left.exact is not None:
        return _constant(kind, Fraction(math.trunc(left.exact / divisor)))
    divided = _scaled(left, 1 / divisor, kind)
    return _rounded(divided) if kind is Kind.DOUBLE else divided.widened(1, 1)


def _common(left: Value, right: Value) -> Kind:
    kinds = (left.kind, right.kind)
    if Kind.DOUBLE in kinds:
        return Kind.DOUBLE
    return Kind.DECIMAL if Kind.DECIMAL in kinds else Kind.INTEGER


def _as_double(value: Value) -> Value:
    return _rounded(replace(value, kind=Kind.DOUBLE))


def _rounded(value: Value) -> Value:
    """Room for the rounding of one operation on doubles: 2^-52 of the largest number that can be met."""
    if value.kind is not Kind.DOUBLE:
        return value
    bounds = [abs(bound) for bound in (value.low, value.high) if isinstance(bound, Fraction)]
    room = (max(bounds, default=Fraction(0)) + abs(value.scale) * LAST_MS) * Fraction(1, 2**51)
    return value.widened(room, room)


def _plus_months(value: Value, months: int) -> Value | None:
    if value.exact is not None and not value.is_local:
        moved = _moved(value.exact, months)
        return None if moved is None else _constant(Kind.MOMENT, moved)
    shift = Fraction(months * 30 * DAY_MS + months * 10 * HOUR_MS)
    room = abs(months) * 2 * DAY_MS + 4 * DAY_MS
    return replace(value, low=value.low + shift - room, high=value.high + shift + room)


def _moved(moment_ms: Fraction, months: int) -> Fraction | None:
    moment = _datetime(moment_ms)
    if moment is None:
        return None
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    for day in (moment.day, 30, 29, 28):
        try:
            if day <= moment.day:
                return _milliseconds(moment.replace(year=year, month=month + 1, day=day)) + (
                    moment_ms - _milliseconds(moment)
                )
        except ValueError:
            continue
    return None


def _datetime(moment_ms: Fraction) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=math.floor(moment_ms))
    except OverflowError:
        return None


def _milliseconds(moment: datetime) -> Fraction:
    return Fraction((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


def _truncated(value: Value, unit: str) -> Value | None:
    if value.kind is not Kind.MOMENT or unit not in _LONGEST_MS:
        return None
    if (
        value.is_constant
        and isinstance(value.low, Fraction)
        and isinstance(value.high, Fraction)
        and not value.is_local
    ):
        first, last = _unit_start(value.low, unit), _unit_start(value.high, unit)
        return None if first is None or last is None else Value(Kind.MOMENT, low=first, high=last)
    room = DAY_MS + HOUR_MS if value.is_local else 0
    return replace(value.widened(_LONGEST_MS[unit] + room, room), is_local=value.is_local)


def _unit_start(moment_ms: Fraction, unit: str) -> Fraction | None:
    if unit in _UNIT_MS and unit != "week":
        return Fraction(math.floor(moment_ms / _UNIT_MS[unit]) * _UNIT_MS[unit])
    moment = _datetime(moment_ms)
    if moment is None:
        return None
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        return _milliseconds(midnight) - midnight.weekday() * DAY_MS
    month = {"month": midnight.month, "quarter": (midnight.month - 1) // 3 * 3 + 1, "year": 1}[unit]
    return _milliseconds(midnight.replace(month=month, day=1))


_OPERATORS: Final[Mapping[type[exp.Expr], Callable[[Value, Value], Value | None]]] = {
    exp.Add: _plus,
    exp.Sub: _minus,
    exp.Mul: _times,
    exp.Div: _divided,
}


# -- functions (Trino manual, Date and time functions)


def _from_unixtime(values: Sequence[Value]) -> Value | None:
    if not values or not values[0].kind.is_number or len(values) > 3:
        return None
    milliseconds = _scaled(values[0], Fraction(1000), Kind.MOMENT).widened(1, 1)
    zone = values[1].text.upper() if len(values) == 2 else "UTC"
    return replace(milliseconds, is_local=len(values) == 3 or zone not in ("UTC", "Z"))


def _from_unixtime_nanos(values: Sequence[Value]) -> Value | None:
    if len(values) != 1 or not values[0].kind.is_number:
        return None
    return _scaled(values[0], Fraction(1, 1_000_000), Kind.MOMENT).widened(1, 1)


def _to_unixtime(values: Sequence[Value]) -> Value | None:
    if len(values) != 1 or values[0].kind is not Kind.MOMENT:
        return None
    return _rounded(replace(_scaled(values[0], Fraction(1, 1000), Kind.DOUBLE), is_local=False))


def _to_milliseconds(values: Sequence[Value]) -> Value | None:
    return replace(values[0], kind=Kind.INTEGER) if len(values) == 1 and values[0].kind is Kind.SPAN else None


def _date_trunc(values: Sequence[Value]) -> Value | None:
    if len(values) != 2 or values[0].kind is not Kind.TEXT:
        return None
    return _truncated(values[1], values[0].text.lower())


def _date(values: Sequence[Value]) -> Value | None:
    if len(values) != 1:
        return None
    if values[0].kind is Kind.TEXT:
        return _moment_of_text(values[0].text, is_date=True)
    return _truncated(values[0], "day")


def _date_add(values: Sequence[Value]) -> Value | None:
    if len(values) != 3 or values[0].kind is not Kind.TEXT or values[1].kind is not Kind.INTEGER:
        return None
    unit, count = values[0].text.lower(), values[1].exact
    if count is None:
        return None
    if unit in _UNIT_MS:
        return _plus(values[2], _constant(Kind.SPAN, count * _UNIT_MS[unit]))
    if unit in _UNIT_MONTHS:
        return _plus(values[2], _constant(Kind.MONTHS, count * _UNIT_MONTHS[unit]))
    return None


def _from_iso8601(values: Sequence[Value]) -> Value | None:
    if len(values) != 1 or values[0].kind is not Kind.TEXT:
        return None
    return _moment_of_text(values[0].text)


def _date_parse(values: Sequence[Value]) -> Value | None:
    if len(values) != 2 or any(value.kind is not Kind.TEXT for value in values):
        return None
    return _parsed(values[0].text, values[1].text)


def _parsed(text: str, mysql_format: str) -> Value | None:
    pattern = ""
    for piece in re.findall(r"%.|[^%]", mysql_format, re.DOTALL):
        if piece[0] == "%" and piece[1:] not in _DIRECTIVES:
            return None
        pattern += _DIRECTIVES[piece[1]] if piece[0] == "%" else piece
    try:
        return _constant(Kind.MOMENT, _milliseconds(datetime.strptime(text, pattern).replace(tzinfo=UTC)))
    except (ValueError, OverflowError):
        return None


def _date_format(values: Sequence[Value]) -> Value | None:
    """Text that names the second, minute, hour, day, month or year of a moment, for formats that say all of it."""
    if len(values) != 2 or values[0].kind is not Kind.MOMENT or values[1].kind is not Kind.TEXT:
        return None
    unit = _FORMAT_UNITS.get(values[1].text)
    truncated = _truncated(values[0], unit) if unit is not None else None
    return None if truncated is None else replace(truncated, kind=Kind.FORMATTED, text=values[1].text)


def _rounding(values: Sequence[Value]) -> Value | None:
    return values[0].widened(1, 1) if len(values) == 1 and values[0].kind.is_number else None


_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[Value]], Value | None]]] = {
    "from_unixtime": _from_unixtime,
    "from_unixtime_nanos": _from_unixtime_nanos,
    "to_unixtime": _to_unixtime,
    "to_milliseconds": _to_milliseconds,
    "date_trunc": _date_trunc,
    "date": _date,
    "date_add": _date_add,
    "date_format": _date_format,
    "date_parse": _date_parse,
    "from_iso8601_timestamp": _from_iso8601,
    "from_iso8601_date": _from_iso8601,
    "floor": _rounding,
    "ceil": _rounding,
    "ceiling": _rounding,
    "round": _rounding,
    "truncate": _rounding,
}


def comparable(left: Value, right: Value) -> tuple[Value, Value] | None:
    """The two in one unit, or None when a comparison of them says nothing."""
    if left.kind is Kind.FORMATTED and right.kind is Kind.TEXT:
        moment = _parsed(right.text, left.text)
        return None if moment is None else (replace(left, kind=Kind.MOMENT), moment)
    if left.kind is Kind.TEXT and right.kind is Kind.FORMATTED:
        swapped = comparable(right, left)
        return None if swapped is None else (swapped[1], swapped[0])
    if left.kind.is_number and right.kind.is_number:
        if Kind.DOUBLE in (left.kind, right.kind):
            return _as_double(left), _as_double(right)
        return left, right
    if left.kind is right.kind and left.kind in (Kind.MOMENT, Kind.SPAN):
        return left, right
    return None
