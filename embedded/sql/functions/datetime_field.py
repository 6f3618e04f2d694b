"""Fields of dates and times: EXTRACT and its functions, date_trunc, date_add, date_diff, last_day_of_month.

https://trino.io/docs/current/functions/datetime.html#interval-functions and #extraction-function

Units count on the wall clock of the value's zone from a day up, on the instant below a day (as Joda does).
date_diff answers whole units, towards zero; milliseconds are the finest it sees.
"""

from __future__ import annotations

from collections.abc import Callable

from embedded.sql.functions.datetime_value import Parts, built, guarded, null_or_error, taken
from embedded.sql.functions.registry import Invocation, alias, emits, error_sql, macro
from embedded.sql.typed import Typed

macro("trino_second_of(t)", "CAST(second(t) AS BIGINT)")
macro("trino_millisecond_of(t)", "microsecond(t) // 1000 % 1000")

#: Trino's function -> DuckDB's function of a TIMESTAMP (or DATE).
_DATE_FIELDS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "weekofyear",
    "day": "day",
    "day_of_week": "isodow",
    "day_of_year": "dayofyear",
    "year_of_week": "isoyear",
}
_TIME_FIELDS = {"hour": "hour", "minute": "minute", "second": "second", "millisecond": "trino_millisecond_of"}

_MILLISECOND = 10**9
_TIME_UNITS = {  # picoseconds, and how many there are of it in the next larger unit
    "millisecond": (_MILLISECOND, 1000),
    "second": (1000 * _MILLISECOND, 60),
    "minute": (60_000 * _MILLISECOND, 60),
    "hour": (3_600_000 * _MILLISECOND, 24),
}
_INSTANT_MICROS = {"millisecond": 1000, "second": 10**6, "minute": 60 * 10**6, "hour": 3600 * 10**6}
_DAY_UNITS = {"day": 1, "week": 7}
_MONTH_UNITS = {"month": 1, "quarter": 3, "year": 12}
_DATE_UNITS = ("day", "week", "month", "quarter", "year")
_TIMESTAMP_UNITS = (*_INSTANT_MICROS, *_DATE_UNITS)

_ALIASES = {
    "day": ("day_of_month",),
    "week": ("week_of_year",),
    "day_of_week": ("dow",),
    "day_of_year": ("doy",),
    "year_of_week": ("yow",),
}


def _field(duckdb_name: str) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        value = call.arguments[0]
        if value.type.base in ("date", "timestamp") and not Parts(value.type, "").is_fine:
            return f"CAST({duckdb_name}({value.sql}) AS BIGINT)"
        return taken(value, lambda parts: f"CAST({duckdb_name}({parts.local}) AS BIGINT)")

    return emit


def _time_field(unit: str) -> Callable[[Invocation], str]:
    size, count = _TIME_UNITS[unit]

    def emit(call: Invocation) -> str:
        return taken(call.arguments[0], lambda parts: f"({parts.picos_of_day} // {size} % {count})")

    return emit


for _name, _duckdb in _DATE_FIELDS.items():
    emits(
        f"{_name}(date) -> bigint",
        f"{_name}(timestamp(p)) -> bigint",
        f"{_name}(timestamp(p) with time zone) -> bigint",
    )(_field(_duckdb))
for _name, _duckdb in _TIME_FIELDS.items():
    emits(f"{_name}(timestamp(p)) -> bigint", f"{_name}(timestamp(p) with time zone) -> bigint")(_field(_duckdb))
    emits(f"{_name}(time(p)) -> bigint", f"{_name}(time(p) with time zone) -> bigint")(_time_field(_name))


def _interval_field(size: int, count: int | None) -> Callable[[Invocation], str]:
    """Of an interval: truncated towards zero, so the parts of a negative interval are negative."""

    def emit(call: Invocation) -> str:
        whole = f"({call[0]} // {size})" if size > 1 else call[0]
        part = whole if count is None else f"({whole} % {count})"
        return f"CAST({part} AS BIGINT)"

    return emit


for _name, _size, _count in (
    ("millisecond", 1, 1000),
    ("second", 1000, 60),
    ("minute", 60_000, 60),
    ("hour", 3_600_000, 24),
    ("day", 86_400_000, None),
):
    emits(f"{_name}(interval day to second) -> bigint")(_interval_field(_size, _count))
emits("month(interval year to month) -> bigint")(_interval_field(1, 12))
emits("year(interval year to month) -> bigint")(_interval_field(12, None))

for _name, _others in _ALIASES.items():
    for _other in _others:
        alias(_other, _name)


@emits(
    "last_day_of_month(date) -> date",
    "last_day_of_month(timestamp(p)) -> date",
    "last_day_of_month(timestamp(p) with time zone) -> date",
)
def last_day_of_month(call: Invocation) -> str:
    value = call.arguments[0]
    if value.type.base == "date":
        return f"last_day({value.sql})"
    return taken(value, lambda parts: f"last_day({parts.local})")


# --------------------------------------------------------------------------------------------- by unit


def by_unit(call: Invocation, of_unit: Callable[[str], str], units: tuple[str, ...], kind: str) -> str:
    """SQL for the unit in the first argument: of a literal the one that counts, else a CASE over all of them."""
    unit = call.arguments[0]
    if isinstance(unit.literal, str):
        name = unit.literal.lower()
        if name in units:
            return of_unit(name)
        message = f"'{name}' is not a valid {kind} field"
        values = [argument.sql for argument in call.arguments[1:]]
        return null_or_error(values, "INVALID_FUNCTION_ARGUMENT", message, call.result)
    branches = " ".join(f"WHEN '{name}' THEN {of_unit(name)}" for name in units)
    missing = " OR ".join(f"({argument.sql}) IS NULL" for argument in call.arguments)
    message = f"'''' || lower({unit.sql}) || ''' is not a valid {kind} field'"
    failure = f"CAST(trino_error('INVALID_FUNCTION_ARGUMENT: ' || {message}) AS {call.physical})"
    return f"(CASE WHEN {missing} THEN NULL ELSE CASE lower({unit.sql}) {branches} ELSE {failure} END END)"


# --------------------------------------------------------------------------------------------- date_trunc


@emits("date_trunc(varchar(x), date) -> date")
def truncate_date(call: Invocation) -> str:
    return by_unit(call, lambda unit: f"CAST(date_trunc('{unit}', {call[1]}) AS DATE)", _DATE_UNITS, "DATE")


@emits(
    "date_trunc(varchar(x), timestamp(p)) -> timestamp(p)",
    "date_trunc(varchar(x), timestamp(p) with time zone) -> timestamp(p) with time zone",
)
def truncate_timestamp(call: Invocation) -> str:
    def of_unit(unit: str) -> str:
        def body(parts: Parts) -> str:
            truncated = f"date_trunc('{unit}', {parts.local})"
            if not parts.is_zoned:
                return (
                    built(call.result, truncated)
                    if not parts.is_fine
                    else guarded(parts, built(call.result, truncated))
                )
            if unit in _INSTANT_MICROS:
                offset = f"trino_zone_offset({parts.instant}, {parts.zone})"
                instant = f"trino_zone_back({truncated}, {offset})"
            else:
                instant = f"trino_zone_instant_near({truncated}, {parts.zone}, {parts.instant})"
            return guarded(parts, built(call.result, instant, zone=parts.zone))

        return taken(call.arguments[1], body)

    return by_unit(call, of_unit, _TIMESTAMP_UNITS, "Timestamp")


@emits(
    "date_trunc(varchar(x), time(p)) -> time(p)",
    "date_trunc(varchar(x), time(p) with time zone) -> time(p) with time zone",
)
def truncate_time(call: Invocation) -> str:
    def of_unit(unit: str) -> str:
        size = _TIME_UNITS[unit][0]
        return taken(call.arguments[1], lambda parts: _time(parts, f"({parts.picos_of_day} // {size} * {size})"))

    return by_unit(call, of_unit, tuple(_TIME_UNITS), "Time")


def _time(parts: Parts, picos: str) -> str:
    """The time with other picoseconds of the day and the same offset."""
    return guarded(parts, f"{{'p': {picos}, 'o': {parts.offset}}}") if parts.is_zoned else picos


# --------------------------------------------------------------------------------------------- date_add


macro(
    "trino_int(n)",
    "CASE WHEN n IS NULL OR n BETWEEN -2147483648 AND 2147483647 THEN CAST(n AS INTEGER) ELSE CAST("
    + error_sql("INVALID_FUNCTION_ARGUMENT", "'integer overflow'", "VARCHAR")
    + " AS INTEGER) END",
)
macro("trino_add_months(t, n, factor)", "CAST(t + to_months(CAST(n AS INTEGER) * factor) AS TIMESTAMP)")
macro("trino_add_micros(t, n)", "make_timestamp(epoch_us(t) + CAST(n AS BIGINT))")


def _amount(value: Typed) -> str:
    if isinstance(value.literal, int) and abs(value.literal) < 2**31:
        return f"CAST({value.literal} AS BIGINT)"
    return f"CAST(trino_int({value.sql}) AS BIGINT)"


@emits("date_add(varchar(x), bigint, date) -> date")
def add_to_date(call: Invocation) -> str:
    amount = _amount(call.arguments[1])

    def of_unit(unit: str) -> str:
        if unit in _DAY_UNITS:
            return f"({call[2]} + CAST({amount} * {_DAY_UNITS[unit]} AS INTEGER))"
        return f"CAST({call[2]} + to_months(CAST({amount} * {_MONTH_UNITS[unit]} AS INTEGER)) AS DATE)"

    return by_unit(call, of_unit, _DATE_UNITS, "DATE")


@emits(
    "date_add(varchar(x), bigint, timestamp(p)) -> timestamp(p)",
    "date_add(varchar(x), bigint, timestamp(p) with time zone) -> timestamp(p) with time zone",
)
def add_to_timestamp(call: Invocation) -> str:
    amount = _amount(call.arguments[1])
    precision = call.result.precision

    def of_unit(unit: str) -> str:
        def body(parts: Parts) -> str:
            if unit in _INSTANT_MICROS:
                moved = f"epoch_us({parts.instant}) + {amount} * {_INSTANT_MICROS[unit]}"
                if unit == "millisecond" and precision < 3:
                    moved = f"trino_round_to({moved}, {10 ** (6 - precision)})"
                instant = f"trino_moment({moved})"
            else:
                local = _moved_local(parts.local, unit, amount)
                instant = (
                    f"trino_zone_instant_near({local}, {parts.zone}, {parts.instant})" if parts.is_zoned else local
                )
            sql = built(call.result, instant, parts.picos, parts.zone)
            if not (parts.is_zoned or parts.is_fine):
                return sql
            missing = f"{parts.sql} IS NULL OR ({call[1]}) IS NULL"
            return f"CASE WHEN {missing} THEN NULL ELSE {sql} END"

        return taken(call.arguments[2], body)

    return by_unit(call, of_unit, _TIMESTAMP_UNITS, "Timestamp")


def _moved_local(local: str, unit: str, amount: str) -> str:
    if unit in _DAY_UNITS:
        return f"trino_add_micros({local}, {amount} * {_DAY_UNITS[unit] * 86_400_000_000})"
    return f"trino_add_months({local}, {amount}, {_MONTH_UNITS[unit]})"


@emits(
    "date_add(varchar(x), bigint, time(p)) -> time(p)",
    "date_add(varchar(x), bigint, time(p) with time zone) -> time(p) with time zone",
)
def add_to_time(call: Invocation) -> str:
    precision = call.result.precision

    def of_unit(unit: str) -> str:
        size = _TIME_UNITS[unit][0]
        per_day = 86_400 * 10**12 // size

        def body(parts: Parts) -> str:
            picos = f"trino_day_picos({parts.picos_of_day} + CAST({call[1]} AS BIGINT) % {per_day} * {size})"
            if precision <= 3:
                picos = f"(trino_round_to({picos}, {10 ** (12 - precision)}) % 86400000000000000)"
            if not parts.is_zoned:
                return picos
            missing = f"{parts.sql} IS NULL OR ({call[1]}) IS NULL"
            return f"CASE WHEN {missing} THEN NULL ELSE {{'p': {picos}, 'o': {parts.offset}}} END"

        return taken(call.arguments[2], body)

    return by_unit(call, of_unit, tuple(_TIME_UNITS), "Time")


# --------------------------------------------------------------------------------------------- date_diff

macro(
    "trino_months_forward(a, b, months)",
    "months - CASE WHEN a + to_months(CAST(months AS INTEGER)) > b THEN 1 ELSE 0 END",
)
macro("trino_month_number(t)", "year(t) * 12 + month(t)")
macro(
    "trino_months_between(a, b)",
    "CASE WHEN a <= b THEN trino_months_forward(a, b, trino_month_number(b) - trino_month_number(a)) "
    "ELSE -(trino_months_forward(b, a, trino_month_number(a) - trino_month_number(b))) END",
)
macro("trino_millis(t)", "trino_floor_div(epoch_us(t), 1000)")
macro("trino_whole_millis(t)", "make_timestamp(trino_millis(t) * 1000)")


@emits("date_diff(varchar(x), date, date) -> bigint")
def difference_of_dates(call: Invocation) -> str:
    one, other = call[1], call[2]

    def of_unit(unit: str) -> str:
        if unit in _DAY_UNITS:
            return f"(CAST({other} - {one} AS BIGINT) // {_DAY_UNITS[unit]})"
        months = f"trino_months_between(CAST({one} AS TIMESTAMP), CAST({other} AS TIMESTAMP))"
        return f"CAST(({months}) // {_MONTH_UNITS[unit]} AS BIGINT)"

    return by_unit(call, of_unit, _DATE_UNITS, "DATE")


@emits(
    "date_diff(varchar(x), timestamp(p), timestamp(p)) -> bigint",
    "date_diff(varchar(x), timestamp(p) with time zone, timestamp(p) with time zone) -> bigint",
)
def difference_of_timestamps(call: Invocation) -> str:
    def of_unit(unit: str) -> str:
        def with_first(first: Parts) -> str:
            def with_second(second: Parts) -> str:
                if unit in _INSTANT_MICROS:
                    size = _INSTANT_MICROS[unit] // 1000
                    return f"((trino_millis({second.instant}) - trino_millis({first.instant})) // {size})"
                # both clocks are read in the zone of the first; of fine values in UTC, as Trino does
                one, other = f"trino_whole_millis({first.instant})", f"trino_whole_millis({second.instant})"
                if first.is_zoned and first.type.precision <= 3:
                    one, other = (f"trino_zone_local({side}, {first.zone})" for side in (one, other))
                if unit in _DAY_UNITS:
                    return f"((trino_millis({other}) - trino_millis({one})) // {_DAY_UNITS[unit] * 86_400_000})"
                pair = f"list_transform([{{'a': {one}, 'b': {other}}}], lambda dd_: trino_months_between(dd_.a, dd_.b))"
                return f"CAST(({pair}[1]) // {_MONTH_UNITS[unit]} AS BIGINT)"

            return taken(call.arguments[2], with_second, "dt2_")

        return taken(call.arguments[1], with_first, "dt1_")

    return by_unit(call, of_unit, _TIMESTAMP_UNITS, "Timestamp")


@emits(
    "date_diff(varchar(x), time(p), time(p)) -> bigint",
    "date_diff(varchar(x), time(p) with time zone, time(p) with time zone) -> bigint",
)
def difference_of_times(call: Invocation) -> str:
    def of_unit(unit: str) -> str:
        size = _TIME_UNITS[unit][0]

        def with_first(first: Parts) -> str:
            return taken(
                call.arguments[2], lambda second: f"(({utc_picos(second)} - {utc_picos(first)}) // {size})", "dt2_"
            )

        return taken(call.arguments[1], with_first, "dt1_")

    return by_unit(call, of_unit, tuple(_TIME_UNITS), "Time")


def utc_picos(parts: Parts) -> str:
    """Of a time: picoseconds of the day in UTC, modulo a day."""
    if not parts.is_zoned:
        return parts.picos_of_day
    return f"trino_day_picos({parts.picos_of_day} - CAST({parts.offset} AS BIGINT) * 60000000000000)"
