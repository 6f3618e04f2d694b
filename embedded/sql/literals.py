"""Trino literals to typed DuckDB SQL: numbers, texts, and `TYPE 'text'` for the types that have such literals."""

# ruff: noqa: S101  (asserts narrow types)

from __future__ import annotations

import ipaddress
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from embedded.sql import types
from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType, char, decimal, varchar

PICOSECONDS_OF_DAY = 86_400 * 10**12


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


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, for any year."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _days_of_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@dataclass(frozen=True, slots=True)
class ParsedTimestamp:
    """A local date and time as written: microseconds since 1970 of the local clock, picoseconds beyond, zone or None."""

    micros: int
    picos: int
    precision: int
    zone: str | None


_TIMESTAMP = re.compile(
    r"\s*([+-]?\d{4,})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,12}))?)?)?\s*(\S.*?)?\s*"
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})|([+-])(\d{1,2})")


def parse_timestamp(text: str) -> ParsedTimestamp | None:
    """Trino's timestamp texts: `2020-5-1`, `2020-05-01 12:34`, `... 12:34:56.123456789 Asia/Kathmandu`. None if not one."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = int(match[4] or 0), int(match[5] or 0), int(match[6] or 0)
    if not (1 <= month <= 12 and 1 <= day <= _days_of_month(year, month) and hour < 24 and minute < 60 and second < 60):
        return None
    fraction = match[7] or ""
    picos = int(fraction.ljust(12, "0")) if fraction else 0
    zone = match[8]
    if zone is not None:
        zone = normal_zone(zone)
        if zone is None:
            return None
    seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return ParsedTimestamp(seconds * 1_000_000 + picos // 1_000_000, picos % 1_000_000, len(fraction), zone)


@lru_cache(maxsize=4096)
def normal_zone(zone: str) -> str | None:
    """Trino's name of a zone: regions as they are, offsets as +HH:MM, UTC for Z and +00:00. None for no zone."""
    if zone in ("Z", "z", "UTC", "utc", "GMT", "UT", "Zulu") or zone.lower() in ("utc", "z"):
        return "UTC" if zone.upper() in ("Z", "UTC", "UT") else zone
    match = _OFFSET.fullmatch(zone)
    if match is not None:
        sign = match[1] or match[4]
        hours, minutes = int(match[2] or match[5]), int(match[3] or 0)
        if hours > 14 or minutes > 59 or (hours == 14 and minutes > 0):
            return None
        return "UTC" if hours == minutes == 0 else f"{sign}{hours:02d}:{minutes:02d}"
    return zone if zone_info(zone) is not None else None


@lru_cache(maxsize=1024)
def zone_info(zone: str) -> ZoneInfo | None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", zone):
        return None
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return None


def zone_offset_seconds(zone: str, local_micros: int) -> int:
    """The zone's offset at a local time (the earlier of two in an overlap, as Java's)."""
    match = _OFFSET.fullmatch(zone)
    if match is not None:
        seconds = int(match[2]) * 3600 + int(match[3]) * 60
        return -seconds if match[1] == "-" else seconds
    if zone == "UTC":
        return 0
    info = zone_info(zone)
    assert info is not None
    seconds = local_micros // 1_000_000
    # datetime knows the years 1 to 9999; zones do not differ beyond 2400 years from a neighbour
    while seconds < -62_000_000_000:
        seconds += 400 * 31_556_952
    while seconds > 250_000_000_000:
        seconds -= 400 * 31_556_952
    local = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
    offset = local.replace(tzinfo=info).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def date_sql(days: int) -> str:
    try:
        return f"DATE '{date.fromordinal(days + 719_163).isoformat()}'"
    except (ValueError, OverflowError):
        return f"(DATE '1970-01-01' + ({days}))"


def timestamp_sql(micros: int, picos: int, precision: int) -> str:
    instant = f"make_timestamp({micros})"
    return instant if precision <= 6 else f"{{'t': {instant}, 'p': CAST({picos} AS INTEGER)}}"


def timestamp_with_zone_sql(utc_micros: int, picos: int, precision: int, zone: str) -> str:
    fine = "" if precision <= 6 else f"'p': CAST({picos} AS INTEGER), "
    return f"{{'t': make_timestamp({utc_micros}), {fine}'z': {text_literal(zone)}}}"


def timestamp_literal(text: str) -> Typed:
    parsed = parse_timestamp(text)
    if parsed is None:
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid TIMESTAMP literal")
    if parsed.zone is None:
        found = types.timestamp(parsed.precision)
        return Typed(timestamp_sql(parsed.micros, parsed.picos, parsed.precision), found, text)
    utc_micros = parsed.micros - zone_offset_seconds(parsed.zone, parsed.micros) * 1_000_000
    found = types.timestamp_with_time_zone(parsed.precision)
    return Typed(timestamp_with_zone_sql(utc_micros, parsed.picos, parsed.precision, parsed.zone), found, text)


_TIME = re.compile(r"\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,12}))?)?\s*(?:([+-])(\d{1,2})(?::?(\d{2}))?)?\s*")


@dataclass(frozen=True, slots=True)
class ParsedTime:
    picos: int
    precision: int
    offset_minutes: int | None


def parse_time(text: str) -> ParsedTime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = match[4] or ""
    offset: int | None = None
    if match[5]:
        offset = int(match[6]) * 60 + int(match[7] or 0)
        if offset > 14 * 60:
            return None
        offset = -offset if match[5] == "-" else offset
    picos = (hour * 3600 + minute * 60 + second) * 10**12 + (int(fraction.ljust(12, "0")) if fraction else 0)
    return ParsedTime(picos, len(fraction), offset)


def time_literal(text: str) -> Typed:
    parsed = parse_time(text)
    if parsed is None:
        raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid TIME literal")
    picos = f"CAST({parsed.picos} AS BIGINT)"
    if parsed.offset_minutes is None:
        return Typed(picos, types.time(parsed.precision), text)
    offset = f"CAST({parsed.offset_minutes} AS INTEGER)"
    return Typed(f"{{'p': {picos}, 'o': {offset}}}", types.time_with_time_zone(parsed.precision), text)


def date_literal(text: str) -> Typed:
    match = re.fullmatch(r"\s*([+-]?\d{4,})-(\d{1,2})-(\d{1,2})\s*", text)
    if match is not None:
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        if 1 <= month <= 12 and 1 <= day <= _days_of_month(year, month):
            return Typed(date_sql(days_from_civil(year, month, day)), types.DATE, text)
    raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid DATE literal")


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


def canonical_json(text: str) -> str:
    """Trino's json value of a text: no blanks, keys sorted, numbers as written. Raises ValueError."""
    decoded = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant)
    return _json_text(decoded)


class _Number(str):
    __slots__ = ()


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _json_text(value: object) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_string(k)}:{_json_text(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json_text, value)) + "]"
    if isinstance(value, str):
        return json_string(value)
    return {None: "null", True: "true", False: "false"}[value]  # type: ignore[index]  # JSON has nothing else


def json_string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


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
        try:
            canonical = canonical_json(text)
        except ValueError:
            raise TrinoError("INVALID_LITERAL", f"'{text}' is not a valid JSON literal") from None
        return Typed(text_literal(canonical), types.JSON, canonical)
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
