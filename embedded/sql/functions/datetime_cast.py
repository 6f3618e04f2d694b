"""CAST between dates, times, timestamps (with and without time zone), intervals and text.

| from \\ to | what happens |
|---|---|
| text | Trino's patterns (DateTimes.DATETIME_PATTERN, TIME_PATTERN); excess digits are rounded half up |
| coarser precision | rounded half up; a time wraps at midnight |
| with zone -> without | the wall clock of the value's own zone |
| without zone -> with | the session's zone, UTC |
| time -> timestamp | on the day the query runs |
| to varchar(n) | fails where the text is longer than n |

Errors: INVALID_CAST_ARGUMENT `Value cannot be cast to timestamp: x`.
"""

# ruff: noqa: ARG001  (cast rules share one signature)

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded.sql.datetime_text import (
    PICOSECONDS_OF_DAY,
    WHITESPACE,
    picoseconds,
    read_date,
    read_time,
    read_timestamp,
)
from embedded.sql.errors import TrinoError
from embedded.sql.functions.datetime_value import (
    MICROSECONDS_OF_DAY,
    Parts,
    built,
    guarded,
    rounded,
    taken,
)
from embedded.sql.functions.registry import Invocation, cast, emits, error_sql, macro, sql_function
from embedded.sql.time_zone import normal_zone
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_MICROS_BOUND = 2**63


def _not_castable(kind: str, text: str) -> TrinoError:
    return TrinoError("INVALID_CAST_ARGUMENT", f"Value cannot be cast to {kind}: {text}")


@sql_function("trino_text_timestamp", ["VARCHAR", "INTEGER"], "STRUCT(m BIGINT, p INTEGER)")
def text_timestamp(text: str, precision: int) -> dict[str, int]:
    """Local microseconds and picoseconds beyond of a text, rounded to a precision."""
    read = read_timestamp(text.strip(WHITESPACE))
    if read is None:
        raise _not_castable("timestamp", text)
    picos = picoseconds(read.fraction, precision)
    micros = read.seconds * 1_000_000 + picos // 1_000_000
    if not -_MICROS_BOUND < micros < _MICROS_BOUND - 1:
        raise _not_castable("timestamp", text)
    return {"m": micros, "p": picos % 1_000_000}


@sql_function("trino_text_zone", ["VARCHAR"], "VARCHAR")
def text_zone(text: str) -> str:
    """The normal name of the zone in a text, UTC when it names none."""
    read = read_timestamp(text.strip(WHITESPACE))
    found = None if read is None else normal_zone(read.zone or "UTC")
    if found is None:
        raise _not_castable("timestamp", text)
    return found


@sql_function("trino_text_time", ["VARCHAR", "INTEGER", "BOOLEAN"], "STRUCT(p BIGINT, o INTEGER)")
def text_time(text: str, precision: int, is_zoned: bool) -> dict[str, int]:
    read = read_time(text.strip(WHITESPACE) if is_zoned else text)
    if read is None or (read.offset_minutes is not None and not is_zoned):
        raise _not_castable("timestamp" if is_zoned else "time", text)
    picos = read.seconds * 10**12 + picoseconds(read.fraction, precision)
    return {"p": picos % PICOSECONDS_OF_DAY, "o": read.offset_minutes or 0}


@sql_function("trino_text_days", ["VARCHAR"], "INTEGER")
def text_days(text: str) -> int:
    days = read_date(text.strip(WHITESPACE))
    if days is None:
        raise _not_castable("date", text)
    return days


# --------------------------------------------------------------------------------------------- from text

_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def _plain_timestamp(text: str, precision: int) -> str:
    """The ordinary spelling, by DuckDB's own cast; NULL for every other text."""
    digits = min(precision, 6)
    fraction = rf"(\.[0-9]{{1,{digits}}})?" if digits else ""
    pattern = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}( {_CLOCK}{fraction})?"
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN TRY_CAST({text} AS TIMESTAMP) END"


@cast(("varchar", "timestamp"), ("char", "timestamp"))
def text_to_timestamp(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    def body(parts: Parts) -> str:
        text = parts.sql
        parsed = f"trino_text_timestamp({text}, {target.precision})"
        if target.precision <= 6:
            made = f"COALESCE({_plain_timestamp(text, target.precision)}, make_timestamp(({parsed}).m))"
            return f"(CASE WHEN {text} IS NULL THEN NULL ELSE {made} END)"
        fine = "CASE WHEN parsed_.m IS NOT NULL THEN {'t': make_timestamp(parsed_.m), 'p': parsed_.p} END"
        return f"(list_transform([{parsed}], lambda parsed_: {fine})[1])"

    return taken(value, body)


@cast(("varchar", "timestamp with time zone"), ("char", "timestamp with time zone"))
def text_to_timestamp_with_zone(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    def body(parts: Parts) -> str:
        text = parts.sql
        parsed = f"{{'p': trino_text_timestamp({text}, {target.precision}), 'z': trino_text_zone({text})}}"
        made = built(target, "trino_zone_instant(make_timestamp(parsed_.p.m), parsed_.z)", "parsed_.p.p", "parsed_.z")
        slow = f"(list_transform([{parsed}], lambda parsed_: CASE WHEN parsed_.z IS NOT NULL THEN {made} END)[1])"
        if target.precision > 6:
            return slow
        plain = _plain_timestamp(text, target.precision)
        fast = "CASE WHEN native_ IS NOT NULL THEN {'t': native_, 'z': 'UTC'} END"
        return f"COALESCE((list_transform([{plain}], lambda native_: {fast})[1]), {slow})"

    return taken(value, body)


@cast(("varchar", "time"), ("char", "time"))
def text_to_time(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"(trino_text_time({value.sql}, {target.precision}, false)).p"


@cast(("varchar", "time with time zone"), ("char", "time with time zone"))
def text_to_time_with_zone(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"trino_text_time({value.sql}, {target.precision}, true)"


macro(
    "trino_text_date(text)",
    "CASE WHEN text IS NULL THEN NULL ELSE COALESCE(CASE WHEN regexp_full_match(text, '[0-9]{4}-[0-9]{2}-[0-9]{2}') "
    "THEN TRY_CAST(text AS DATE) END, DATE '1970-01-01' + trino_text_days(text)) END",
)


@cast(("varchar", "date"), ("char", "date"))
def text_to_date(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return taken(value, lambda parts: f"trino_text_date({parts.sql})")


# --------------------------------------------------------------------------------------------- to text


def _text(value: Typed, target: TrinoType) -> str:
    from embedded.sql.text import text_expression

    if target.length is None:
        return text_expression(value.sql, value.type)
    text = text_expression(value.sql, value.type)
    message = f"'Value ' || text_ || ' cannot be represented as {target}'"
    if value.type.base == "time":
        message = f"'Cannot cast ''' || text_ || ''' to {target}'"
    failure = error_sql("INVALID_CAST_ARGUMENT", message, "VARCHAR")
    body = f"CASE WHEN length(text_) > {target.length} THEN {failure} ELSE text_ END"
    return f"(list_transform([{text}], lambda text_: {body})[1])"


_SOURCES = (
    "date",
    "time",
    "timestamp",
    "time with time zone",
    "timestamp with time zone",
    "interval day to second",
    "interval year to month",
)


@cast(*((source, "varchar") for source in _SOURCES))
def value_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return _text(value, target)


@cast(("date", "json"), ("timestamp", "json"), ("timestamp with time zone", "json"))
def value_to_json(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    """A JSON string of the text."""
    from embedded.sql.text import text_expression

    return f"('\"' || {text_expression(value.sql, value.type)} || '\"')"


# --------------------------------------------------------------------------------------------- between them


@cast(("timestamp", "timestamp"), ("timestamp with time zone", "timestamp"))
def timestamp_to_timestamp(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    """A wall clock at another precision."""

    def body(parts: Parts) -> str:
        if parts.type.precision <= target.precision:
            sql = built(target, parts.local, parts.picos)
        else:
            sql = rounded(target, f"epoch_us({parts.local})", parts.picos)
        return guarded(parts, sql) if target.precision > 6 else sql

    return taken(value, body)


@cast(("timestamp with time zone", "timestamp with time zone"), ("timestamp", "timestamp with time zone"))
def timestamp_to_zoned(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    """The same instant at another precision."""

    def body(parts: Parts) -> str:
        if parts.type.precision <= target.precision:
            sql = built(target, parts.instant, parts.picos, parts.zone)
        else:
            sql = rounded(target, f"epoch_us({parts.instant})", parts.picos, parts.zone)
        return guarded(parts, sql)

    return taken(value, body)


@cast(("timestamp", "date"), ("timestamp with time zone", "date"))
def timestamp_to_date(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return taken(value, lambda parts: f"CAST({parts.local} AS DATE)")


def _picos_of_day(parts: Parts, precision: int) -> str:
    """Picoseconds of the day of a timestamp's wall clock, rounded to a precision, midnight wraps."""
    picos = f"(trino_picos_of_day({parts.local}) + {parts.picos})"
    return picos if parts.type.precision <= precision else _round_picos(picos, precision)


def _round_picos(picos: str, precision: int) -> str:
    return f"(trino_round_to({picos}, {10 ** (12 - precision)}) % 86400000000000000)"


@cast(("timestamp", "time"), ("timestamp with time zone", "time"))
def timestamp_to_time(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return taken(value, lambda parts: _picos_of_day(parts, target.precision))


@cast(("timestamp", "time with time zone"), ("timestamp with time zone", "time with time zone"))
def timestamp_to_time_with_zone(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    def body(parts: Parts) -> str:
        # Trino asks for the offset at the wall clock, as if that were UTC
        offset = f"trino_zone_offset({parts.local}, {parts.zone}) // 60000000" if parts.is_zoned else "0"
        return guarded(parts, f"{{'p': {_picos_of_day(parts, target.precision)}, 'o': CAST({offset} AS INTEGER)}}")

    return taken(value, body)


def _of_precision(parts: Parts, precision: int) -> str:
    picos = parts.picos_of_day
    return picos if parts.type.precision <= precision else _round_picos(picos, precision)


@cast(("time", "time"), ("time with time zone", "time"))
def time_to_time(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return taken(value, lambda parts: _of_precision(parts, target.precision))


@cast(("time with time zone", "time with time zone"), ("time", "time with time zone"))
def time_to_time_with_zone(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    def body(parts: Parts) -> str:
        offset = parts.offset if parts.is_zoned else "CAST(0 AS INTEGER)"
        return guarded(parts, f"{{'p': {_of_precision(parts, target.precision)}, 'o': {offset}}}")

    return taken(value, body)


@cast(
    ("time", "timestamp"),
    ("time with time zone", "timestamp"),
    ("time", "timestamp with time zone"),
    ("time with time zone", "timestamp with time zone"),
)
def time_to_timestamp(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    """On the day (in UTC) the query runs. With zone on both sides the instant is taken modulo a day in UTC."""
    midnight = analyser.moment.micros // MICROSECONDS_OF_DAY * MICROSECONDS_OF_DAY
    is_zoned = target.base == "timestamp with time zone"

    def body(parts: Parts) -> str:
        picos, zone = parts.picos_of_day, "'UTC'"
        if parts.is_zoned and is_zoned:
            picos = f"trino_day_picos({picos} - CAST({parts.offset} AS BIGINT) * 60000000000000)"
            zone = f"trino_offset_zone(CAST({parts.offset} AS BIGINT))"
        if parts.type.precision > target.precision:
            picos = f"trino_round_to({picos}, {10 ** (12 - target.precision)})"
            if parts.is_zoned and is_zoned:
                picos = f"({picos} % 86400000000000000)"
        instant = f"trino_moment({midnight} + {picos} // 1000000)"
        sql = built(target, instant, f"({picos} % 1000000)", zone)
        return guarded(parts, sql) if is_zoned or target.precision > 6 else sql

    return taken(value, body)


# --------------------------------------------------------------------------------------------- date(x)


@emits(
    "date(varchar(x)) -> date",
    "date(timestamp(p)) -> date",
    "date(timestamp(p) with time zone) -> date",
    "date(date) -> date",
)
def date_of(call: Invocation) -> str:
    """CAST(x AS date)."""
    value = call.arguments[0]
    if value.type.base == "date":
        return value.sql
    rule = text_to_date if value.type.base == "varchar" else timestamp_to_date
    sql = rule(call.analyser, value, call.result)
    assert sql is not None
    return sql
