"""Trino literals to typed DuckDB SQL: numbers, texts, and `TYPE 'text'` for the types that have such literals."""

from __future__ import annotations

import ipaddress
import re
import uuid
from datetime import date

from embedded.sql import datetime_text, types
from embedded.sql.errors import TrinoError
from embedded.sql.json_text import MalformedJson, canonical_json
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.time_zone import falls_in_gap, normal_zone, offset_minutes
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType, char, decimal, varchar


def null(trino_type: TrinoType = types.UNKNOWN) -> Typed:
    return Typed(f"CAST(NULL AS {physical_type(trino_type)})", trino_type, None, True)


def boolean(value: bool) -> Typed:
    return Typed("true" if value else "false", types.BOOLEAN, value)


def string(value: str) -> Typed:
    return Typed(text_literal(value), varchar(len(value)), value)


def binary(value: bytes) -> Typed:
    return Typed(f"from_hex('{value.hex()}')", types.VARBINARY, value)


def integer(value: int) -> Typed:
    """A whole number: integer where it fits, else bigint. Raises TrinoError for what bigint does not hold."""
    if -(2**31) <= value < 2**31:
        return Typed(str(value) if value >= 0 else f"({value})", types.INTEGER, value)
    if -(2**63) <= value < 2**63:
        return Typed(f"CAST({value} AS BIGINT)", types.BIGINT, value)
    raise TrinoError("SYNTAX_ERROR", f"Invalid numeric literal: {value}")


def integer_of(value: int, trino_type: TrinoType) -> Typed:
    return Typed(f"CAST({value} AS {physical_type(trino_type)})", trino_type, value)


_DECIMAL = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?")


def decimal_literal(text: str) -> Typed:
    """1.50 is decimal(3,2): leading zeros do not count, the scale is as written."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid DECIMAL literal")
    whole, fraction = match[2].lstrip("0"), match[3] or ""
    precision = max(1, len(whole) + len(fraction))
    if precision > types.MAXIMUM_DECIMAL_PRECISION:
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid DECIMAL literal")
    sign = "-" if match[1] == "-" else ""
    digits = f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")
    found = decimal(precision, len(fraction))
    return Typed(f"CAST('{digits}' AS {physical_type(found)})", found, digits)


def double(text: str) -> Typed:
    value = float(text.replace("_", ""))
    return Typed(f"CAST('{value!r}' AS DOUBLE)", types.DOUBLE, value)


# --------------------------------------------------------------------------------------------- dates and times


def date_sql(days: int) -> str:
    try:
        return f"DATE '{date.fromordinal(days + 719_163).isoformat()}'"
    except (ValueError, OverflowError):
        return f"(DATE '1970-01-01' + ({days}))"


def timestamp_sql(micros: int, picos: int, precision: int) -> str:
    instant = f"make_timestamp({micros})"
    return instant if precision <= 6 else f"{{'t': {instant}, 'p': CAST({picos} AS INTEGER)}}"


def timestamp_with_zone_sql(utc_micros: int, picos: int, precision: int, zone: str) -> str:
    return _zoned_sql(f"make_timestamp({utc_micros})", picos, precision, zone)


def _zoned_sql(instant: str, picos: int, precision: int, zone: str) -> str:
    fine = "" if precision <= 6 else f"'p': CAST({picos} AS INTEGER), "
    return f"{{'t': {instant}, {fine}'z': {text_literal(zone)}}}"


def timestamp_literal(text: str) -> Typed:
    """TIMESTAMP '...': its precision is the number of digits, a zone makes it a timestamp with time zone."""
    invalid = TrinoError("INVALID_LITERAL", f"'{text}' is not a valid TIMESTAMP literal")
    read = datetime_text.read_timestamp(text.strip(datetime_text.WHITESPACE))
    if read is None or len(read.fraction) > 12:
        raise invalid
    precision = len(read.fraction)
    fraction = datetime_text.picoseconds(read.fraction, precision)
    micros, picos = read.seconds * 1_000_000 + fraction // 1_000_000, fraction % 1_000_000
    if not _EARLIEST_MICROS <= micros <= _LATEST_MICROS:
        raise invalid
    if read.zone is None:
        return Typed(timestamp_sql(micros, picos, precision), types.timestamp(precision), text)
    zone = normal_zone(read.zone)
    if zone is None or falls_in_gap(zone, read.seconds):
        raise invalid
    offset = offset_minutes(zone)
    # the rules of a region are asked of DuckDB, which every other part of the query asks too
    instant = (
        f"trino_zone_instant(make_timestamp({micros}), {text_literal(zone)})"
        if offset is None
        else f"make_timestamp({micros - offset * 60_000_000})"
    )
    return Typed(_zoned_sql(instant, picos, precision, zone), types.timestamp_with_time_zone(precision), text)


#: What DuckDB's TIMESTAMP holds.
_EARLIEST_MICROS, _LATEST_MICROS = -9_223_372_022_400_000_000, 9_223_372_036_854_775_806


def time_literal(text: str) -> Typed:
    read = datetime_text.read_time(text)
    if read is None:
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid TIME literal")
    precision = len(read.fraction)
    picos = f"CAST({read.seconds * 10**12 + datetime_text.picoseconds(read.fraction, precision)} AS BIGINT)"
    if read.offset_minutes is None:
        return Typed(picos, types.time(precision), text)
    offset = f"CAST({read.offset_minutes} AS INTEGER)"
    return Typed(f"{{'p': {picos}, 'o': {offset}}}", types.time_with_time_zone(precision), text)


def date_literal(text: str) -> Typed:
    days = datetime_text.read_date(text.strip(datetime_text.WHITESPACE))
    if days is None:
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid DATE literal")
    return Typed(date_sql(days), types.DATE, text)


# --------------------------------------------------------------------------------------------- intervals

_UNIT_MILLISECONDS = {"DAY": 86_400_000, "HOUR": 3_600_000, "MINUTE": 60_000, "SECOND": 1000, "WEEK": 604_800_000}
_DAY_FIELDS = ("DAY", "HOUR", "MINUTE", "SECOND")
_DAY_PATTERNS = {
    "DAY": r"(?P<DAY>\d+)",
    "HOUR": r"(?P<HOUR>\d+)",
    "MINUTE": r"(?P<MINUTE>\d+)",
    "SECOND": r"(?P<SECOND>\d+(?:\.\d{1,3})?)",
}


def interval(value: str, negative: bool, unit: str, to_unit: str | None) -> Typed:
    """INTERVAL '1 2:03:04.5' DAY TO SECOND in milliseconds, INTERVAL '1-2' YEAR TO MONTH in months."""
    text = value.strip()
    sign = -1 if negative else 1
    if text.startswith(("-", "+")):
        sign = -sign if text[0] == "-" else sign
        text = text[1:]
    invalid = TrinoError(
        "INVALID_LITERAL", f"Invalid INTERVAL {unit}{' TO ' + to_unit if to_unit else ''} value: {value}"
    )
    if unit in ("YEAR", "MONTH", "QUARTER"):
        if unit == "YEAR" and to_unit == "MONTH":
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
            if match is None:
                raise invalid
            months = int(match[1]) * 12 + int(match[2] or 0)
        elif text.isdigit() and to_unit in (None, unit):
            months = int(text) * {"YEAR": 12, "MONTH": 1, "QUARTER": 3}[unit]
        else:
            raise invalid
        months *= sign
        if not -(2**31) <= months < 2**31:
            raise invalid
        return Typed(f"CAST({months} AS INTEGER)", types.YEAR_TO_MONTH, months)
    milliseconds = _day_interval(text, unit, to_unit)
    if milliseconds is None:
        raise invalid
    milliseconds *= sign
    if not -(2**63) <= milliseconds < 2**63:
        raise invalid
    return Typed(f"CAST({milliseconds} AS BIGINT)", types.DAY_TO_SECOND, milliseconds)


def _day_interval(text: str, unit: str, to_unit: str | None) -> int | None:
    if unit == "WEEK":
        return int(text) * _UNIT_MILLISECONDS["WEEK"] if text.isdigit() else None
    first = _DAY_FIELDS.index(unit)
    last = _DAY_FIELDS.index(to_unit) if to_unit in _DAY_FIELDS else first
    if last < first:
        return None
    pattern = _DAY_PATTERNS[unit]
    for index in range(first + 1, last + 1):
        separator = r"\s+" if _DAY_FIELDS[index - 1] == "DAY" else ":"
        pattern += f"(?:{separator}{_DAY_PATTERNS[_DAY_FIELDS[index]]}"
    pattern += ")?" * (last - first)
    match = re.fullmatch(pattern, text)
    if match is None:
        return None
    total = 0
    for name, found in match.groupdict().items():
        if found is None:
            continue
        if name == "SECOND":
            whole, _, fraction = found.partition(".")
            total += int(whole) * 1000 + int(fraction.ljust(3, "0") or 0)
        else:
            total += int(found) * _UNIT_MILLISECONDS[name]
    return total


# --------------------------------------------------------------------------------------------- TYPE 'text'


def json_literal(text: str) -> Typed:
    """JSON 'text' is json_parse('text'), which only fails where it is evaluated."""
    from embedded.sql.functions.registry import error_sql

    try:
        canonical = canonical_json(text)
    except MalformedJson:
        message = text_literal(f"Cannot convert value to JSON: '{text}'")
        return Typed(error_sql("INVALID_FUNCTION_ARGUMENT", message, "VARCHAR"), types.JSON)
    return Typed(text_literal(canonical), types.JSON, canonical)


_INTEGER_TEXT = re.compile(r"[+-]?\d+")


def typed_literal(type_name: str, text: str) -> Typed | None:
    """`TYPE 'text'`, or None when the type has no literals. Raises TrinoError INVALID_LITERAL."""
    if type_name in ("timestamp", "timestamp with time zone"):
        return timestamp_literal(text)
    if type_name == "date":
        return date_literal(text)
    if type_name == "time":
        return time_literal(text)
    if type_name in ("decimal", "numeric", "dec"):
        return decimal_literal(text)
    if type_name == "char":
        return Typed(text_literal(text.rstrip(" ")), char(max(1, len(text))), text.rstrip(" "))
    if type_name == "varchar":
        return Typed(text_literal(text), types.VARCHAR, text)
    if type_name == "json":
        return json_literal(text)
    return _scalar_literal(type_name, text)


def _scalar_literal(type_name: str, text: str) -> Typed | None:
    name = {"int": "integer"}.get(type_name, type_name)
    invalid = TrinoError("INVALID_LITERAL", f"'{text}' is not a valid {name.upper()} literal")
    if name in types.INTEGER_WIDTHS:
        bound = 1 << (types.INTEGER_WIDTHS[name] - 1)
        if not _INTEGER_TEXT.fullmatch(text) or not -bound <= int(text) < bound:
            raise invalid
        return integer_of(int(text), TrinoType(name))
    if name in ("double", "real"):
        try:
            value = float(text.strip())
        except ValueError:
            raise invalid from None
        if "_" in text:
            raise invalid
        found = types.DOUBLE if name == "double" else types.REAL
        return Typed(f"CAST('{value!r}' AS {physical_type(found)})", found, value)
    if name == "boolean":
        if text.lower() not in ("true", "false", "t", "f", "1", "0"):
            raise invalid
        return boolean(text.lower() in ("true", "t", "1"))
    if name == "varbinary":
        return binary(text.encode())
    if name == "uuid":
        try:
            return Typed(f"CAST('{uuid.UUID(text)}' AS UUID)", types.UUID, text)
        except ValueError:
            raise invalid from None
    if name == "ipaddress":
        return Typed(f"from_hex('{ip_bytes(text).hex()}')", types.IPADDRESS, text)
    return None


def ip_bytes(text: str) -> bytes:
    """16 bytes of an address; IPv4 is mapped into IPv6. Raises TrinoError INVALID_CAST_ARGUMENT."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise TrinoError("INVALID_CAST_ARGUMENT", f"Cannot cast value to IPADDRESS: {text}") from None
    if isinstance(address, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed
