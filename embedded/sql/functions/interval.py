"""Intervals and what is counted with them: + - * / between intervals, dates, times and timestamps.

interval day to second is milliseconds, interval year to month is months. Adding the first to a timestamp gives at least
precision 3. Adding months keeps the day of the month where it can (31 January + 1 month is the last of February).
https://trino.io/docs/current/functions/datetime.html#date-and-time-operators
"""

from __future__ import annotations

from collections.abc import Callable

from embedded.sql.functions.datetime_field import utc_picos
from embedded.sql.functions.datetime_value import Parts, built, taken
from embedded.sql.functions.registry import Bindings, Invocation, aggregate, emits, error_sql, macro, scalar
from embedded.sql.types import TrinoType

DAY = "interval day to second"
MONTH = "interval year to month"


def _at_least_millis(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
    moment = next(found for found in types if found.base.startswith("time"))
    return TrinoType(moment.base, (max(3, moment.precision),))


# --------------------------------------------------------------------------------------------- intervals alone

macro(
    "trino_java_long(x)",
    "CASE WHEN x >= 9223372036854775807 THEN 9223372036854775807 "
    "WHEN x <= -9223372036854775808 THEN -9223372036854775808 ELSE CAST(trunc(x) AS BIGINT) END",
)
macro(
    "trino_interval_times(i, x)",
    "CASE WHEN isnan(x) THEN "
    + error_sql("INVALID_FUNCTION_ARGUMENT", "'Cannot multiply by double NaN'", "BIGINT")
    + " ELSE trino_java_long(CAST(i AS DOUBLE) * x) END",
)
macro(
    "trino_interval_divided(i, x)",
    "CASE WHEN isnan(x) THEN "
    + error_sql("INVALID_FUNCTION_ARGUMENT", "'Cannot divide by double NaN'", "BIGINT")
    + " WHEN x = 0 THEN "
    + error_sql("INVALID_FUNCTION_ARGUMENT", "'Cannot divide by double 0.0'", "BIGINT")
    + " ELSE trino_java_long(CAST(i AS DOUBLE) / x) END",
)

for _interval, _physical in ((DAY, "BIGINT"), (MONTH, "INTEGER")):
    for _operator in ("+", "-"):
        scalar(f"{_operator}({_interval}, {_interval}) -> {_interval}", f"({{0}} {_operator} {{1}})")
    scalar(f"*({_interval}, bigint) -> {_interval}", f"CAST({{0}} * {{1}} AS {_physical})")
    scalar(f"*(bigint, {_interval}) -> {_interval}", f"CAST({{0}} * {{1}} AS {_physical})")
    scalar(f"*({_interval}, double) -> {_interval}", f"CAST(trino_interval_times({{0}}, {{1}}) AS {_physical})")
    scalar(f"*(double, {_interval}) -> {_interval}", f"CAST(trino_interval_times({{1}}, {{0}}) AS {_physical})")
    scalar(f"/({_interval}, double) -> {_interval}", f"CAST(trino_interval_divided({{0}}, {{1}}) AS {_physical})")


# --------------------------------------------------------------------------------------------- with dates


def _date_days(word: str) -> str:
    message = f"'Cannot {word} hour, minutes or seconds {_TO[word]} a date'"
    failure = error_sql("INVALID_FUNCTION_ARGUMENT", message, "BIGINT")
    return f"CAST(CASE WHEN i % 86400000 <> 0 THEN {failure} ELSE i // 86400000 END AS INTEGER)"


_TO = {"add": "to", "subtract": "from"}
macro("trino_days_to_add(i)", _date_days("add"))
macro("trino_days_to_subtract(i)", _date_days("subtract"))
scalar(f"+(date, {DAY}) -> date", "({0} + trino_days_to_add({1}))")
scalar(f"+({DAY}, date) -> date", "({1} + trino_days_to_add({0}))")
scalar(f"-(date, {DAY}) -> date", "({0} - trino_days_to_subtract({1}))")
scalar(f"+(date, {MONTH}) -> date", "CAST({0} + to_months({1}) AS DATE)")
scalar(f"+({MONTH}, date) -> date", "CAST({1} + to_months({0}) AS DATE)")
scalar(f"-(date, {MONTH}) -> date", "CAST({0} + to_months(-{1}) AS DATE)")


# --------------------------------------------------------------------------------------------- with timestamps


def _moved(moment: int, sign: str, *, months: bool) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        interval = call.arguments[1 - moment]

        def body(parts: Parts) -> str:
            if months:
                # by the UTC calendar also for values with zone, as Trino does
                instant = f"trino_add_months({parts.instant}, {sign}({interval.sql}), 1)"
            else:
                instant = f"trino_add_micros({parts.instant}, {sign}({interval.sql}) * 1000)"
            sql = built(call.result, instant, parts.picos, parts.zone)
            if not (parts.is_zoned or parts.is_fine):
                return sql
            missing = f"{parts.sql} IS NULL OR ({interval.sql}) IS NULL"
            return f"CASE WHEN {missing} THEN NULL ELSE {sql} END"

        return taken(call.arguments[moment], body)

    return emit


for _family in ("timestamp(p)", "timestamp(p) with time zone"):
    for _interval, _result in ((DAY, _at_least_millis), (MONTH, None)):
        _months = _interval == MONTH
        emits(f"+({_family}, {_interval}) -> {_family}", result=_result)(_moved(0, "", months=_months))
        emits(f"+({_interval}, {_family}) -> {_family}", result=_result)(_moved(1, "", months=_months))
        emits(f"-({_family}, {_interval}) -> {_family}", result=_result)(_moved(0, "-", months=_months))


macro("trino_micros_of_millisecond(t)", "trino_floor_mod(epoch_us(t), 1000)")
macro(
    "trino_millis_apart(a, b, picos)",
    # whole milliseconds, then what is left of both, away from zero from a half on
    "trino_millis(a) - trino_millis(b) "
    "+ CASE WHEN picos >= 500000000 THEN 1 WHEN picos <= -500000000 THEN -1 ELSE 0 END",
)


@emits(
    f"-(timestamp(p), timestamp(p)) -> {DAY}",
    f"-(timestamp(p) with time zone, timestamp(p) with time zone) -> {DAY}",
)
def difference_of_timestamps(call: Invocation) -> str:
    """In milliseconds, rounded: half up, but with a zone by Trino's own rule for values finer than milliseconds."""

    def with_left(left: Parts) -> str:
        def with_right(right: Parts) -> str:
            one, other = left.instant, right.instant
            if left.is_zoned:
                micros = f"(trino_micros_of_millisecond({one}) - trino_micros_of_millisecond({other}))"
                picos = f"{micros} * 1000000 + {left.picos} - {right.picos}"
                return f"(trino_millis_apart({one}, {other}, {picos}))"
            return f"trino_floor_div(epoch_us({one}) - epoch_us({other}) + 500, 1000)"

        return taken(call.arguments[1], with_right, "dt2_")

    return taken(call.arguments[0], with_left, "dt1_")


# --------------------------------------------------------------------------------------------- with times


def _moved_time(moment: int, sign: str) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        interval = call[1 - moment]

        def body(parts: Parts) -> str:
            picos = f"trino_day_picos({parts.picos_of_day} {sign} ({interval}) % 86400000 * 1000000000)"
            if not parts.is_zoned:
                return picos
            missing = f"{parts.sql} IS NULL OR ({interval}) IS NULL"
            return f"CASE WHEN {missing} THEN NULL ELSE {{'p': {picos}, 'o': {parts.offset}}} END"

        return taken(call.arguments[moment], body)

    return emit


for _family in ("time(p)", "time(p) with time zone"):
    emits(f"+({_family}, {DAY}) -> {_family}", result=_at_least_millis)(_moved_time(0, "+"))
    emits(f"+({DAY}, {_family}) -> {_family}", result=_at_least_millis)(_moved_time(1, "+"))
    emits(f"-({_family}, {DAY}) -> {_family}", result=_at_least_millis)(_moved_time(0, "-"))


@emits(f"-(time(p), time(p)) -> {DAY}", f"-(time(p) with time zone, time(p) with time zone) -> {DAY}")
def difference_of_times(call: Invocation) -> str:
    def with_left(left: Parts) -> str:
        def body(right: Parts) -> str:
            return f"trino_floor_div({utc_picos(left)} - {utc_picos(right)} + 500000000, 1000000000)"

        return taken(call.arguments[1], body, "dt2_")

    return taken(call.arguments[0], with_left, "dt1_")


# --------------------------------------------------------------------------------------------- aggregates

for _interval, _physical in ((DAY, "BIGINT"), (MONTH, "INTEGER")):
    aggregate(f"sum({_interval}) -> {_interval}", f"CAST(@sum({{0}}) AS {_physical})")
    # Java's Math.round of the mean
    aggregate(f"avg({_interval}) -> {_interval}", f"CAST(floor(@avg({{0}}) + 0.5) AS {_physical})")
