"""Functions about time zones: at_timezone (AT TIME ZONE), with_timezone, timezone, timezone_hour, timezone_minute.

https://trino.io/docs/current/functions/datetime.html#time-zone-conversion
"""

from __future__ import annotations

from embedded.sql.errors import TrinoError
from embedded.sql.functions.datetime_value import Parts, built, guarded, null_or_error, taken
from embedded.sql.functions.registry import Invocation, emits, scalar, sql_function
from embedded.sql.physical import text_literal
from embedded.sql.time_zone import normal_zone, offset_zone
from embedded.sql.typed import Typed


@sql_function("trino_zone", ["VARCHAR"], "VARCHAR")
def zone_name(text: str) -> str:
    """The normal name of a zone. Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    found = normal_zone(text)
    if found is None:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"'{text}' is not a valid time zone")
    return found


@sql_function("trino_offset_zone", ["BIGINT"], "VARCHAR")
def zone_of_offset(minutes: int) -> str:
    """`+05:45`. Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    return _zone_of_offset(minutes)


def _zone_of_offset(minutes: int) -> str:
    found = offset_zone(minutes)
    if found is None:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Invalid offset minutes {minutes}")
    return found


@sql_function("trino_offset_zone_of_interval", ["BIGINT"], "VARCHAR")
def zone_of_interval(milliseconds: int) -> str:
    if milliseconds % 60_000:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Invalid time zone offset interval: interval contains seconds")
    return _zone_of_offset(milliseconds // 60_000)


def _zone_sql(zone: Typed) -> str | None:
    """The normal name as SQL; None when a literal names no zone."""
    if zone.type.base == "interval day to second":
        return f"trino_offset_zone_of_interval({zone.sql})"
    if isinstance(zone.literal, str):
        found = normal_zone(zone.literal)
        return None if found is None else text_literal(found)
    return f"trino_zone({zone.sql})"


def _not_a_zone(call: Invocation) -> str:
    message = f"'{call.arguments[1].literal}' is not a valid time zone"
    return null_or_error([call[0]], "INVALID_FUNCTION_ARGUMENT", message, call.result)


@emits(
    "at_timezone(timestamp(p) with time zone, varchar(x)) -> timestamp(p) with time zone",
    "at_timezone(timestamp(p) with time zone, interval day to second) -> timestamp(p) with time zone",
)
def at_timezone(call: Invocation) -> str:
    zone = _zone_sql(call.arguments[1])
    if zone is None:
        return _not_a_zone(call)

    def body(parts: Parts) -> str:
        condition = f"{parts.sql} IS NULL" + ("" if zone.startswith("'") else f" OR ({call[1]}) IS NULL")
        return f"CASE WHEN {condition} THEN NULL ELSE {built(call.result, parts.instant, parts.picos, zone)} END"

    return taken(call.arguments[0], body)


@emits(
    "at_timezone(time(p) with time zone, varchar(x)) -> time(p) with time zone",
    "at_timezone(time(p) with time zone, interval day to second) -> time(p) with time zone",
)
def time_at_timezone(call: Invocation) -> str:
    """The offset that holds in the zone now, at the start of the query."""
    zone = _zone_sql(call.arguments[1])
    if zone is None:
        return _not_a_zone(call)
    now = f"make_timestamp({call.analyser.moment.micros})"
    offset = f"CAST(trino_zone_offset({now}, {zone}) // 60000000 AS INTEGER)"

    def body(parts: Parts) -> str:
        picos = f"trino_day_picos({parts.picos_of_day} - ({parts.offset} - {offset}) * 60000000000000)"
        condition = f"{parts.sql} IS NULL OR ({call[1]}) IS NULL"
        return f"CASE WHEN {condition} THEN NULL ELSE {{'p': {picos}, 'o': {offset}}} END"

    return taken(call.arguments[0], body)


@emits("with_timezone(timestamp(p), varchar(x)) -> timestamp(p) with time zone")
def with_timezone(call: Invocation) -> str:
    zone = _zone_sql(call.arguments[1])
    if zone is None:
        return _not_a_zone(call)

    def body(parts: Parts) -> str:
        instant = f"trino_zone_instant_near({parts.instant}, {zone}, {parts.instant})"
        condition = f"{parts.sql} IS NULL" + ("" if zone.startswith("'") else f" OR ({call[1]}) IS NULL")
        return f"CASE WHEN {condition} THEN NULL ELSE {built(call.result, instant, parts.picos, zone)} END"

    return taken(call.arguments[0], body)


def _offset_minutes(parts: Parts) -> str:
    if parts.type.base == "time with time zone":
        return f"CAST({parts.offset} AS BIGINT)"
    return f"(trino_zone_offset({parts.instant}, {parts.zone}) // 60000000)"


@emits(
    "timezone_hour(timestamp(p) with time zone) -> bigint",
    "timezone_hour(time(p) with time zone) -> bigint",
)
def timezone_hour(call: Invocation) -> str:
    return taken(call.arguments[0], lambda parts: f"({_offset_minutes(parts)} // 60)")


@emits(
    "timezone_minute(timestamp(p) with time zone) -> bigint",
    "timezone_minute(time(p) with time zone) -> bigint",
)
def timezone_minute(call: Invocation) -> str:
    return taken(call.arguments[0], lambda parts: f"({_offset_minutes(parts)} % 60)")


scalar("timezone(timestamp(p) with time zone) -> varchar", "CAST(({0}).z AS VARCHAR)")


@emits("timezone(time(p) with time zone) -> varchar")
def timezone_of_time(call: Invocation) -> str:
    return taken(call.arguments[0], lambda parts: guarded(parts, f"trino_offset_zone(CAST({parts.offset} AS BIGINT))"))
