"""ISO 8601 and Unix time: to_iso8601, from_iso8601_*, from_unixtime, from_unixtime_nanos, to_unixtime; durations.

https://trino.io/docs/current/functions/datetime.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from embedded.sql import literals
from embedded.sql.civil_calendar import days_from_civil, days_of_month
from embedded.sql.errors import TrinoError
from embedded.sql.functions import joda
from embedded.sql.functions.datetime_format import checked_offset, offset_text, zoned
from embedded.sql.functions.datetime_value import Parts, built, guarded, taken
from embedded.sql.functions.joda import Bucket, Fraction, malformed
from embedded.sql.functions.registry import Bindings, Invocation, emits, error_sql, macro, scalar, sql_function
from embedded.sql.physical import text_literal
from embedded.sql.time_zone import normal_zone, offset_zone
from embedded.sql.types import TrinoType, varchar

# --------------------------------------------------------------------------------------------- to_iso8601

macro(
    "trino_year_text(y)",
    "CASE WHEN y < 0 THEN '-' WHEN y > 9999 THEN '+' ELSE '' END "
    "|| lpad(CAST(abs(y) AS VARCHAR), CAST(greatest(4, length(CAST(abs(y) AS VARCHAR))) AS INTEGER), '0')",
)
macro("trino_iso_date(d)", "trino_year_text(year(d)) || strftime(d, '-%m-%d')")
macro(
    "trino_iso_fraction(t, picos, digits)",
    "'.' || (lpad(CAST(microsecond(t) % 1000000 AS VARCHAR), 6, '0') "
    "|| lpad(CAST(picos AS VARCHAR), 6, '0'))[1:digits]",
)


def _iso_length(zone: int) -> Callable[[Bindings, tuple[TrinoType, ...]], TrinoType]:
    def result(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
        precision = types[0].precision
        return varchar(22 + zone + precision + min(precision, 1))

    return result


def _joda_year(sql: str) -> str:
    """Joda prints years beyond 9999 without the plus."""
    return f"ltrim({sql}, '+')"


scalar("to_iso8601(date) -> varchar(16)", _joda_year("trino_iso_date({0})"))


def _iso_timestamp(call: Invocation) -> str:
    precision = call.arguments[0].type.precision

    def body(parts: Parts) -> str:
        local = parts.local
        text = f"trino_iso_date({local}) || strftime({local}, 'T%H:%M:%S')"
        if precision:
            text += f" || trino_iso_fraction({local}, {parts.picos}, {precision})"
        if not parts.is_zoned:
            return f"CAST({text} AS VARCHAR)"
        offset = f"trino_zone_offset({parts.instant}, {parts.zone})"
        message = f"'Timezone with non-zero seconds offset cannot be rendered as ISO8601: ' || {offset_text(offset)}"
        failure = error_sql("INVALID_ARGUMENTS", message, "VARCHAR")
        shown = f"CASE WHEN {offset} % 60000000 <> 0 THEN {failure} ELSE {offset_text(offset)} END"
        return f"CAST({text} || {shown} AS VARCHAR)"

    return taken(call.arguments[0], body)


emits("to_iso8601(timestamp(p)) -> varchar", result=_iso_length(0))(_iso_timestamp)
emits("to_iso8601(timestamp(p) with time zone) -> varchar", result=_iso_length(6))(_iso_timestamp)


# --------------------------------------------------------------------------------------------- from_iso8601_*

_DATE = (
    r"(?:(?P<weekyear>[+-]?\d{1,9})-[Ww](?P<week>\d{1,2})(?:-(?P<weekday>\d))?"
    r"|(?P<ordinal>[+-]?\d{1,9})-(?P<dayofyear>\d{3})(?!\d)"
    r"|(?P<year>[+-]?\d{1,9})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?)?)"
)
_TIME = (
    r"(?P<hour>\d{1,2})(?:[.,](?P<hourfraction>\d{1,9})|:(?P<minute>\d{1,2})"
    r"(?:[.,](?P<minutefraction>\d{1,9})|:(?P<second>\d{1,2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
)
_OFFSET = r"(?P<offset>[Zz]|[+-]\d{2}(?::?\d{2}(?::?\d{2}(?:[.,]\d{1,3})?)?)?)"
_ISO_DATE = re.compile(_DATE, re.ASCII)
_ISO_TIME = re.compile(rf"[Tt](?:{_TIME})?{_OFFSET}?", re.ASCII)
_FIELDS = {
    "weekyear": "weekyear",
    "week": "weekOfWeekyear",
    "weekday": "dayOfWeek",
    "ordinal": "year",
    "dayofyear": "dayOfYear",
    "year": "year",
    "month": "monthOfYear",
    "day": "dayOfMonth",
    "hour": "hourOfDay",
    "minute": "minuteOfHour",
    "second": "secondOfMinute",
}
_FRACTIONS = {
    "hourfraction": Fraction(1, 9, "fractionOfHour", 3_600_000),
    "minutefraction": Fraction(1, 9, "fractionOfMinute", 60_000),
    "fraction": Fraction(1, 9),
}


def _iso_bucket(text: str, *, with_time: bool) -> Bucket:
    """The fields of a date, a date and time, or a time (`T10:00`). Raises TrinoError in Joda's words."""
    date = _ISO_DATE.match(text)
    end = 0 if date is None else date.end()
    found: dict[str, str | None] = {} if date is None else dict(date.groupdict())
    time = _ISO_TIME.match(text, end) if with_time else None
    if time is not None and (date is not None or time["hour"] is not None):
        end = time.end()
        found.update(time.groupdict())
    if end < len(text) or end == 0:
        raise malformed(text, end)
    bucket = Bucket()
    for name, value in found.items():
        if value is None or name == "offset":
            continue
        fraction = _FRACTIONS.get(name)
        if fraction is not None:
            fraction.parse(bucket, value, 0)
        else:
            bucket.save(_FIELDS[name], int(value))
    offset = found.get("offset")
    if offset is not None:
        joda.ZoneOffset(True).parse(bucket, offset, 0)
    return bucket


@sql_function("trino_iso_timestamp", ["VARCHAR"], "STRUCT(l BIGINT, o BIGINT)")
def iso_timestamp(text: str) -> dict[str, int | None]:
    """Local milliseconds and offset of an ISO 8601 text. Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    bucket = _iso_bucket(text, with_time=True)
    return {"l": bucket.local_millis(text), "o": checked_offset(text, bucket.offset_millis)}


@sql_function("trino_iso_days", ["VARCHAR"], "INTEGER")
def iso_days(text: str) -> int:
    return _iso_bucket(text, with_time=False).local_millis(text) // joda.MILLIS_OF_DAY


_PLAIN_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?Z?"


@emits("from_iso8601_timestamp(varchar(x)) -> timestamp(3) with time zone")
def from_iso8601_timestamp(call: Invocation) -> str:
    def body(parts: Parts) -> str:
        text = parts.sql
        plain = f"TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP)"
        native = f"CASE WHEN regexp_full_match({text}, '{_PLAIN_ISO}') THEN {plain} END"
        fast = "CASE WHEN native_ IS NOT NULL THEN {'t': native_, 'z': 'UTC'} END"
        slow = zoned(f"trino_iso_timestamp({text})")
        made = f"COALESCE((list_transform([{native}], lambda native_: {fast})[1]), {slow})"
        return f"(CASE WHEN {text} IS NULL THEN NULL ELSE {made} END)"

    return taken(call.arguments[0], body)


@emits("from_iso8601_date(varchar(x)) -> date")
def from_iso8601_date(call: Invocation) -> str:
    def body(parts: Parts) -> str:
        text = parts.sql
        is_plain = f"regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
        native = f"CASE WHEN {is_plain} THEN TRY_CAST({text} AS DATE) END"
        made = f"COALESCE({native}, DATE '1970-01-01' + trino_iso_days({text}))"
        return f"(CASE WHEN {text} IS NULL THEN NULL ELSE {made} END)"

    return taken(call.arguments[0], body)


_JAVA_ISO = re.compile(
    r"([+-]\d{4,10}|\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{0,9}))?)?"
    r"(?:([Zz]|[+-]\d{2}:\d{2}(?::\d{2})?)(?:\[([^\]]+)\])?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _JavaTime:
    """utc_micros and picos beyond them; zone: a normal name."""

    utc_micros: int
    picos: int
    zone: str


@sql_function("trino_iso_nanos", ["VARCHAR"], "STRUCT(m BIGINT, p INTEGER)")
def iso_nanos(text: str) -> dict[str, int]:
    found = _java_time(text)
    return {"m": found.utc_micros, "p": found.picos}


@sql_function("trino_iso_zone", ["VARCHAR"], "VARCHAR")
def iso_zone(text: str) -> str:
    return _java_time(text).zone


def _java_time(text: str) -> _JavaTime:
    """Reads Java's ISO_DATE_TIME. Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    match = _JAVA_ISO.fullmatch(text)
    if match is None:
        partial = _JAVA_ISO.match(text)
        at = 0 if partial is None else partial.end()
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Text '{text}' could not be parsed at index {at}")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = int(match[4]), int(match[5]), int(match[6] or 0)
    is_date = 1 <= month <= 12 and 1 <= day <= days_of_month(year, month)
    if not (is_date and hour < 24 and minute < 60 and second < 60):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Text '{text}' could not be parsed: Invalid value")
    nanos = int((match[7] or "").ljust(9, "0"))
    seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    micros = seconds * 1_000_000 + nanos // 1000
    if not match[8]:
        return _JavaTime(micros, nanos % 1000 * 1000, "UTC")
    bucket = Bucket()
    joda.ZoneOffset(True).parse(bucket, match[8], 0)
    offset = (bucket.offset_millis or 0) * 1000
    zone = normal_zone(match[9]) if match[9] else offset_zone(offset // 60_000_000)
    if zone is None or offset % 60_000_000:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Text '{text}' could not be parsed: unsupported zone")
    return _JavaTime(micros - offset, nanos % 1000 * 1000, zone)


macro(
    "trino_zoned_nanos(text, n)",
    "CASE WHEN n.m IS NOT NULL THEN {'t': make_timestamp(n.m), 'p': n.p, 'z': trino_iso_zone(text)} END",
)


@emits("from_iso8601_timestamp_nanos(varchar(x)) -> timestamp(9) with time zone")
def from_iso8601_timestamp_nanos(call: Invocation) -> str:
    def body(parts: Parts) -> str:
        bound = f"lambda nanos_: trino_zoned_nanos({parts.sql}, nanos_)"
        return f"(list_transform([trino_iso_nanos({parts.sql})], {bound})[1])"

    return taken(call.arguments[0], body)


# --------------------------------------------------------------------------------------------- Unix time

macro(
    "trino_unix_moment(x)",
    "CASE WHEN isnan(x) THEN make_timestamp(0) ELSE make_timestamp(CAST(floor(x * 1000 + 0.5) AS BIGINT) * 1000) END",
)
scalar(
    "from_unixtime(double) -> timestamp(3) with time zone",
    "CASE WHEN {0} IS NULL THEN NULL ELSE {'t': trino_unix_moment({0}), 'z': 'UTC'} END",
)
scalar(
    "from_unixtime(double, bigint, bigint) -> timestamp(3) with time zone",
    "CASE WHEN {0} IS NULL OR {1} IS NULL OR {2} IS NULL THEN NULL "
    "ELSE {'t': trino_unix_moment({0}), 'z': trino_offset_zone(CAST({1} AS BIGINT) * 60 + {2})} END",
)


@emits("from_unixtime(double, varchar(x)) -> timestamp(3) with time zone")
def from_unixtime_in_zone(call: Invocation) -> str:
    zone = call.arguments[1].literal
    name = normal_zone(zone) if isinstance(zone, str) else None
    named = text_literal(name) if name is not None else f"trino_zone({call[1]})"

    def body(parts: Parts) -> str:
        value = f"{{'t': trino_unix_moment({parts.sql}), 'z': {named}}}"
        return f"CASE WHEN {parts.sql} IS NULL OR ({call[1]}) IS NULL THEN NULL ELSE {value} END"

    return taken(call.arguments[0], body)


def _unix_nanos(call: Invocation) -> str:
    value = call.arguments[0]
    whole = value.sql if value.type.is_integer else f"CAST(round({value.sql}, 0) AS HUGEINT)"

    def body(parts: Parts) -> str:
        nanos = (
            whole
            if parts.sql == f"({value.sql})" or parts.sql == value.sql
            else (parts.sql if value.type.is_integer else f"CAST(round({parts.sql}, 0) AS HUGEINT)")
        )
        micros = f"trino_floor_div({nanos}, 1000)"
        return guarded(parts, built(call.result, f"trino_moment({micros})", f"(trino_floor_mod({nanos}, 1000) * 1000)"))

    return taken(value, body)


emits("from_unixtime_nanos(bigint) -> timestamp(9) with time zone")(_unix_nanos)
emits("from_unixtime_nanos(decimal(p, s)) -> timestamp(9) with time zone")(_unix_nanos)


@emits("to_unixtime(timestamp(p)) -> double")
def to_unixtime_of_local(call: Invocation) -> str:
    def body(parts: Parts) -> str:
        seconds = f"CAST(epoch_us({parts.instant}) AS DOUBLE) / 1e6"
        return f"({seconds} + CAST({parts.picos} AS DOUBLE) / 1e12)" if parts.is_fine else f"({seconds})"

    return taken(call.arguments[0], body)


@emits("to_unixtime(timestamp(p) with time zone) -> double")
def to_unixtime(call: Invocation) -> str:
    precision = call.arguments[0].type.precision

    def body(parts: Parts) -> str:
        millis = f"CAST(trino_millis({parts.instant}) AS DOUBLE) / 1e3"
        if precision <= 3:
            return f"({millis})"
        picos = f"trino_floor_mod(epoch_us({parts.instant}), 1000) * 1000000 + {parts.picos}"
        return f"({millis} + CAST({picos} AS DOUBLE) / 1e12)"

    return taken(call.arguments[0], body)


# --------------------------------------------------------------------------------------------- now and durations


@emits("now() -> timestamp(3) with time zone")
def now(call: Invocation) -> str:
    return literals.timestamp_with_zone_sql(call.analyser.moment.micros // 1000 * 1000, 0, 3, "UTC")


scalar("current_timezone() -> varchar", "'UTC'")
scalar("to_milliseconds(interval day to second) -> bigint", "{0}")

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", re.ASCII)
_UNIT_MILLIS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6, "d": 8.64e7}


@sql_function("trino_parse_duration", ["VARCHAR"], "BIGINT")
def parse_duration(text: str) -> int:
    """Milliseconds of `3.5h`, as airlift's Duration reads it. Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    if not text:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "duration is empty")
    match = _DURATION.fullmatch(text)
    if match is None:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"duration is not a valid data duration string: {text}")
    factor = _UNIT_MILLIS.get(match[2])
    if factor is None:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Unknown time unit: {match[2]}")
    return min(2**63 - 1, math.floor(float(match[1]) * factor + 0.5))


scalar("parse_duration(varchar(x)) -> interval day to second", "trino_parse_duration({0})")


@sql_function("trino_readable_seconds", ["DOUBLE"], "VARCHAR")
def readable_seconds(seconds: float) -> str:
    if not math.isfinite(seconds):
        shown = "NaN" if math.isnan(seconds) else ("Infinity" if seconds > 0 else "-Infinity")
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Invalid argument found: {shown}")
    left = min(2**63 - 1, math.floor(abs(seconds) + 0.5))
    periods: list[str] = []
    for name, size in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count:
            periods.append(f"{count} {name}" + ("" if count == 1 else "s"))
    return ", ".join(periods) or "0 seconds"


scalar("human_readable_seconds(double) -> varchar", "trino_readable_seconds({0})")
