"""date_format, date_parse (MySQL's formats) and format_datetime, parse_datetime (Joda's).

https://trino.io/docs/current/functions/datetime.html#mysql-date-functions and #java-date-functions

A format that is a literal is compiled into DuckDB's strftime and strptime where these say the same; what they do not
say, other years than 1 to 9999 and texts out of the ordinary go through the formatter in joda.py, row by row.
Milliseconds are the finest these functions know: printing rounds to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from embedded.sql.errors import TrinoError
from embedded.sql.functions import joda
from embedded.sql.functions.datetime_value import Parts, guarded, null_or_error, taken
from embedded.sql.functions.registry import Invocation, emits, macro, sql_function
from embedded.sql.physical import text_literal
from embedded.sql.typed import Typed


@sql_function("trino_mysql_format", ["BIGINT", "VARCHAR"], "VARCHAR")
def mysql_format(local_millis: int, pattern: str) -> str:
    return joda.mysql_pattern(pattern).printed(local_millis, 0, "UTC")


@sql_function("trino_joda_format", ["BIGINT", "BIGINT", "VARCHAR", "VARCHAR"], "VARCHAR")
def joda_format(local_millis: int, offset_millis: int, zone: str, pattern: str) -> str:
    return joda.joda_pattern(pattern).printed(local_millis, offset_millis, zone)


@sql_function("trino_mysql_parse", ["VARCHAR", "VARCHAR"], "BIGINT")
def mysql_parse(text: str, pattern: str) -> int:
    parsed = joda.mysql_pattern(pattern).parsed(text)
    return parsed.local_millis


@sql_function("trino_joda_parse", ["VARCHAR", "VARCHAR"], "STRUCT(l BIGINT, o BIGINT)")
def joda_parse(text: str, pattern: str) -> dict[str, int | None]:
    """Local milliseconds and, where the text has one, the offset in milliseconds."""
    parsed = joda.joda_pattern(pattern).parsed(text)
    return {"l": parsed.local_millis, "o": checked_offset(text, parsed.offset_millis)}


@sql_function("trino_joda_zone", ["VARCHAR", "VARCHAR"], "VARCHAR")
def joda_zone(text: str, pattern: str) -> str:
    """The zone a text names by its pattern, UTC when it names none."""
    return joda.joda_pattern(pattern).parsed(text).zone or "UTC"


def checked_offset(text: str, offset_millis: int | None) -> int | None:
    """The offset if Trino can hold it. Raises TrinoError."""
    if offset_millis is not None and (offset_millis % 60_000 or abs(offset_millis) > 14 * 3_600_000):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f'Invalid format: "{text}": unsupported zone offset')
    return offset_millis


# --------------------------------------------------------------------------------------------- printing

_PRINTED_NUMBERS = {
    "year": {4: "%Y"},
    "yearOfEra": {4: "%Y"},
    "weekyear": {4: "%G"},
    "monthOfYear": {1: "%-m", 2: "%m"},
    "dayOfMonth": {1: "%-d", 2: "%d"},
    "hourOfDay": {1: "%-H", 2: "%H"},
    "clockhourOfHalfday": {1: "%-I", 2: "%I"},
    "minuteOfHour": {1: "%-M", 2: "%M"},
    "secondOfMinute": {1: "%-S", 2: "%S"},
    "dayOfYear": {1: "%-j", 3: "%j"},
    "weekOfWeekyear": {2: "%V"},
    "dayOfWeek": {1: "%u"},
}
_PRINTED_NAMES = {
    ("dayOfWeek", True): "%a",
    ("dayOfWeek", False): "%A",
    ("monthOfYear", True): "%b",
    ("monthOfYear", False): "%B",
    ("halfdayOfDay", False): "%p",
}


def _strftime(element: joda.Element) -> str | None:
    """strftime's code for an element, for the years 1 to 9999; None when it has none."""
    if isinstance(element, joda.Literal):
        return element.text.replace("%", "%%")
    if isinstance(element, joda.Number):
        return _PRINTED_NUMBERS.get(element.name, {}).get(element.minimum_digits)
    if isinstance(element, joda.Name):
        return _PRINTED_NAMES.get((element.name, element.is_short))
    if isinstance(element, joda.TwoDigitYear):
        return "%y" if element.name == "year" else None
    if isinstance(element, joda.Fraction):
        return {(3, 3): "%g", (6, 9): "%f", (6, 6): "%f"}.get((element.minimum_digits, element.maximum_digits))
    return None


def native_printing(pattern: joda.Pattern, local: str, offset: str, zone: str) -> str | None:
    """DuckDB SQL that prints by this pattern, None when a part of it cannot be said so."""
    pieces: list[str] = []
    codes = ""

    def flush() -> None:
        nonlocal codes
        if codes:
            pieces.append(f"strftime({local}, {text_literal(codes)})")
            codes = ""

    for element in pattern.elements:
        if isinstance(element, joda.ZoneId):
            flush()
            pieces.append(zone)
            continue
        if isinstance(element, joda.ZoneOffset):
            flush()
            pieces.append(f"trino_zone_offset_text({offset}, {text_literal(':' if element.has_colon else '')})")
            continue
        code = _strftime(element)
        if code is None or "\0" in code:
            return None
        codes += code
    flush()
    return f"({' || '.join(pieces)})" if pieces else None


macro(
    "trino_zone_offset_text(micros, colon)",
    "CASE WHEN micros < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(micros) // 3600000000 AS VARCHAR), 2, '0') || colon "
    "|| lpad(CAST(abs(micros) // 60000000 % 60 AS VARCHAR), 2, '0') "
    "|| CASE WHEN micros % 60000000 = 0 THEN '' "
    "ELSE colon || lpad(CAST(abs(micros) // 1000000 % 60 AS VARCHAR), 2, '0') END",
)
macro("trino_to_millis(t)", "make_timestamp(trino_round_to(epoch_us(t), 1000))")


def _printed(
    call: Invocation,
    compile_pattern: Callable[[str], joda.Pattern],
    slow: Callable[[str, str, str, str], str],
) -> str:
    value, pattern = call.arguments
    compiled: joda.Pattern | None = None
    if isinstance(pattern.literal, str):
        try:
            compiled = compile_pattern(pattern.literal)
        except TrinoError as error:
            return null_or_error([value.sql], error.name, error.message, call.result)

    def body(parts: Parts) -> str:
        local = parts.local
        if value.type.base != "date" and value.type.precision > 3:
            local = f"trino_to_millis({local})"
        offset = f"trino_zone_offset({parts.instant}, {parts.zone})" if parts.is_zoned else "CAST(0 AS BIGINT)"
        by_row = slow(f"trino_millis({local})", f"({offset} // 1000)", parts.zone, pattern.sql)
        native = None if compiled is None else native_printing(compiled, local, offset, parts.zone)
        if native is None:
            return f"CASE WHEN {parts.sql} IS NULL OR ({pattern.sql}) IS NULL THEN NULL ELSE {by_row} END"
        return guarded(parts, f"CASE WHEN year({local}) BETWEEN 1 AND 9999 THEN {native} ELSE {by_row} END")

    return taken(value, body)


@emits(
    "date_format(timestamp(p), varchar(x)) -> varchar",
    "date_format(timestamp(p) with time zone, varchar(x)) -> varchar",
)
def date_format(call: Invocation) -> str:
    return _printed(call, joda.mysql_pattern, lambda millis, _, __, pattern: f"trino_mysql_format({millis}, {pattern})")


_NO_ZONE = (
    "format_datetime for TIMESTAMP type, cannot use 'Z' nor 'z' in format, as this type does not contain TZ information"
)


@emits(
    "format_datetime(timestamp(p), varchar(x)) -> varchar",
    "format_datetime(timestamp(p) with time zone, varchar(x)) -> varchar",
)
def format_datetime(call: Invocation) -> str:
    pattern = call.arguments[1].literal
    if call.arguments[0].type.base == "timestamp" and isinstance(pattern, str):
        try:
            elements = joda.joda_pattern(pattern).elements
        except TrinoError as error:
            return null_or_error([call[0]], error.name, error.message, call.result)
        if any(isinstance(element, joda.ZoneId | joda.ZoneName | joda.ZoneOffset) for element in elements):
            return null_or_error([call[0]], "INVALID_FUNCTION_ARGUMENT", _NO_ZONE, call.result)
    return _printed(
        call,
        joda.joda_pattern,
        lambda millis, offset, zone, pattern: f"trino_joda_format({millis}, {offset}, {zone}, {pattern})",
    )


# --------------------------------------------------------------------------------------------- Java's toString

macro(
    "trino_java_fraction(f)",
    "CASE WHEN f = 0 THEN '' WHEN f % 1000000 = 0 THEN '.' || lpad(CAST(f // 1000000 AS VARCHAR), 3, '0') "
    "WHEN f % 1000 = 0 THEN '.' || lpad(CAST(f // 1000 AS VARCHAR), 6, '0') "
    "ELSE '.' || lpad(CAST(f AS VARCHAR), 9, '0') END",
)
macro(
    "trino_java_clock(nanos)",
    "strftime(make_timestamp(nanos // 1000), '%H:%M') || CASE WHEN nanos % 60000000000 = 0 THEN '' "
    "ELSE strftime(make_timestamp(nanos // 1000), ':%S') || trino_java_fraction(nanos % 1000000000) END",
)


def offset_text(micros: str) -> str:
    """Java's ZoneOffset of an offset in microseconds: Z, +05:45, -00:01:15."""
    return f"CASE WHEN {micros} = 0 THEN 'Z' ELSE trino_zone_offset_text({micros}, ':') END"


def java_text(value: Typed) -> str:
    """What Java's LocalTime, LocalDateTime and ZonedDateTime print: what format('%s') shows of times and timestamps."""

    def body(parts: Parts) -> str:
        if parts.type.base == "time":
            return f"trino_java_clock(trino_floor_div({parts.sql} + 500, 1000) % 86400000000000)"
        local = parts.local
        nanos = f"trino_floor_mod(epoch_us({local}), 86400000000) * 1000 + ({parts.picos} + 500) // 1000"
        text = f"trino_iso_date({local}) || 'T' || trino_java_clock({nanos})"
        if not parts.is_zoned:
            return f"({text})"
        offset = f"trino_zone_offset({parts.instant}, {parts.zone})"
        shown = offset_text(offset)
        region = f"CASE WHEN {parts.zone}[1] IN ('+', '-') THEN '' ELSE '[' || {parts.zone} || ']' END"
        return f"({text} || {shown} || {region})"

    return taken(value, body)


# --------------------------------------------------------------------------------------------- parsing

_PARSED_NUMBERS = {  # for exactly as many digits as are printed
    ("year", 4): ("[0-9]{4}", "%Y"),
    ("monthOfYear", 2): ("(0[1-9]|1[0-2])", "%m"),
    ("dayOfMonth", 2): ("(0[1-9]|[12][0-9]|3[01])", "%d"),
    ("hourOfDay", 2): ("([01][0-9]|2[0-3])", "%H"),
    ("minuteOfHour", 2): ("[0-5][0-9]", "%M"),
    ("secondOfMinute", 2): ("[0-5][0-9]", "%S"),
}


def native_parsing(pattern: joda.Pattern, text: str) -> str | None:
    """DuckDB SQL that parses the ordinary texts of a pattern to a TIMESTAMP and answers NULL for others."""
    expression, codes = "", ""
    seen: set[str] = set()
    for element in pattern.elements:
        if isinstance(element, joda.Literal):
            if not element.text.isascii() or any(c.isalnum() or c == "\0" for c in element.text):
                return None
            expression += re.escape(element.text)
            codes += element.text.replace("%", "%%")
            continue
        if not isinstance(element, joda.Number) or element.name in seen:
            return None
        found = _PARSED_NUMBERS.get((element.name, element.minimum_digits))
        if found is None or (element.name == "year" and element.maximum_digits < 4):
            return None
        seen.add(element.name)
        expression += found[0]
        codes += found[1]
    if not {"year", "monthOfYear", "dayOfMonth"} <= seen:
        return None
    return (
        f"CASE WHEN regexp_full_match({text}, {text_literal(expression)}) "
        f"THEN try_strptime({text}, {text_literal(codes)}) END"
    )


def _compiled(
    call: Invocation, compile_pattern: Callable[[str], joda.Pattern]
) -> tuple[joda.Pattern | None, str | None]:
    pattern = call.arguments[1].literal
    if not isinstance(pattern, str):
        return None, None
    try:
        return compile_pattern(pattern), None
    except TrinoError as error:
        return None, null_or_error([call[0]], error.name, error.message, call.result)


def _bound(value: Typed, body: Callable[[str], str]) -> str:
    return taken(value, lambda parts: body(parts.sql))


@emits("date_parse(varchar(x), varchar(y)) -> timestamp(3)")
def date_parse(call: Invocation) -> str:
    compiled, failure = _compiled(call, joda.mysql_pattern)
    if failure is not None:
        return failure

    def body(text: str) -> str:
        slow = f"trino_moment(trino_mysql_parse({text}, {call[1]}) * 1000)"
        native = None if compiled is None else native_parsing(compiled, text)
        return slow if native is None else f"COALESCE({native}, {slow})"

    return _bound(call.arguments[0], body)


macro(
    "trino_zoned(p, zone)",
    "CASE WHEN p.o IS NOT NULL "
    "THEN {'t': make_timestamp((p.l - p.o) * 1000), 'z': trino_offset_zone(p.o // 60000)} "
    "WHEN p.l IS NOT NULL THEN {'t': trino_joda_instant(make_timestamp(p.l * 1000), zone), 'z': zone} END",
)


def zoned(parsed: str, zone: str = "'UTC'") -> str:
    """A timestamp with time zone from the STRUCT(l, o) of a parse: local milliseconds, their offset or else a zone."""
    return f"(list_transform([{parsed}], lambda zoned_: trino_zoned(zoned_, {zone}))[1])"


@emits("parse_datetime(varchar(x), varchar(y)) -> timestamp(3) with time zone")
def parse_datetime(call: Invocation) -> str:
    compiled, failure = _compiled(call, joda.joda_pattern)
    if failure is not None:
        return failure

    names_zone = compiled is None or any(isinstance(part, joda.ZoneId | joda.ZoneName) for part in compiled.elements)

    def body(text: str) -> str:
        zone = f"trino_joda_zone({text}, {call[1]})" if names_zone else "'UTC'"
        slow = zoned(f"trino_joda_parse({text}, {call[1]})", zone)
        native = None if compiled is None else native_parsing(compiled, text)
        if native is None:
            return slow
        fast = "CASE WHEN native_ IS NOT NULL THEN {'t': native_, 'z': 'UTC'} END"
        return f"COALESCE((list_transform([{native}], lambda native_: {fast})[1]), {slow})"

    return _bound(call.arguments[0], body)
