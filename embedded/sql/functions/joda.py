"""Joda-Time's formatter, by which Trino prints and parses: date_format, date_parse, format_datetime, parse_datetime.

    compiled = joda_pattern("yyyy-MM-dd HH:mm")          # format_datetime, parse_datetime
    compiled = mysql_pattern("%Y-%m-%d %H:%i")           # date_format, date_parse
    compiled.printed(local_millis, offset_millis, zone)  # text
    compiled.parsed(text)                                # Parsed(local_millis, offset_millis | None, zone | None)

Rules follow Joda's DateTimeFormatterBuilder and DateTimeParserBucket: greedy digits, names in three letter cases,
fields applied from the largest to the smallest on 1970-01-01T00:00 (on the year 2000 when the largest is a month, week
or day); the last word of an error is where the text went wrong. Errors are TrinoError INVALID_FUNCTION_ARGUMENT.
"""

# ruff: noqa: ARG002, SIM905  (elements share one interface; names read best as one text)

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from embedded.sql.civil_calendar import civil, day_of_week, days_from_civil, days_of_month, first_week, is_leap, week_of
from embedded.sql.errors import TrinoError
from embedded.sql.time_zone import normal_zone

MILLIS_OF_DAY = 86_400_000

MONTHS = tuple("January,February,March,April,May,June,July,August,September,October,November,December".split(","))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT_ZONES = {
    "UT": "UTC",
    "UTC": "UTC",
    "GMT": "UTC",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MST": "America/Denver",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
}


class _MismatchError(Exception):
    """The text does not fit at this position."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def _invalid(message: str) -> TrinoError:
    return TrinoError("INVALID_FUNCTION_ARGUMENT", message)


# --------------------------------------------------------------------------------------------- fields


@dataclass(frozen=True, slots=True)
class Moment:
    """A wall clock in milliseconds since 1970-01-01T00:00 of that clock."""

    millis: int

    @property
    def days(self) -> int:
        return self.millis // MILLIS_OF_DAY

    @property
    def millis_of_day(self) -> int:
        return self.millis % MILLIS_OF_DAY


_YEAR = 31_556_952_000
_MONTH = 2_629_746_000
_WEEK = 604_800_000
_DAY = 86_400_000
_HALF = 43_200_000
_HOUR = 3_600_000
_MINUTE = 60_000
_SECOND = 1000
_UNBOUNDED = 10**30


def _year_of_era(moment: Moment) -> int:
    year = civil(moment.days)[0]
    return year if year > 0 else 1 - year


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the calendar: `span` is the length it counts in, `range` the length it counts within (sort keys)."""

    name: str
    range: int
    span: int
    get: Callable[[Moment], int]


FIELDS = {
    found.name: found
    for found in (
        Field("era", _UNBOUNDED * 10, _UNBOUNDED, lambda m: 1 if civil(m.days)[0] > 0 else 0),
        Field("centuryOfEra", _UNBOUNDED, 100 * _YEAR, lambda m: _year_of_era(m) // 100),
        Field("yearOfEra", _UNBOUNDED, _YEAR, _year_of_era),
        Field("year", _UNBOUNDED * 10, _YEAR, lambda m: civil(m.days)[0]),
        Field("weekyear", _UNBOUNDED * 10, _YEAR, lambda m: week_of(m.days)[0]),
        Field("monthOfYear", _YEAR, _MONTH, lambda m: civil(m.days)[1]),
        Field("dayOfYear", _YEAR, _DAY, lambda m: m.days - days_from_civil(civil(m.days)[0], 1, 1) + 1),
        Field("weekOfWeekyear", _YEAR, _WEEK, lambda m: week_of(m.days)[1]),
        Field("dayOfMonth", _MONTH, _DAY, lambda m: civil(m.days)[2]),
        Field("dayOfWeek", _WEEK, _DAY, lambda m: day_of_week(m.days)),
        Field("halfdayOfDay", _DAY, _HALF, lambda m: m.millis_of_day // _HALF),
        Field("hourOfDay", _DAY, _HOUR, lambda m: m.millis_of_day // _HOUR),
        Field("clockhourOfDay", _DAY, _HOUR, lambda m: m.millis_of_day // _HOUR or 24),
        Field("hourOfHalfday", _HALF, _HOUR, lambda m: m.millis_of_day // _HOUR % 12),
        Field("clockhourOfHalfday", _HALF, _HOUR, lambda m: m.millis_of_day // _HOUR % 12 or 12),
        Field("minuteOfHour", _HOUR, _MINUTE, lambda m: m.millis_of_day // _MINUTE % 60),
        Field("secondOfMinute", _MINUTE, _SECOND, lambda m: m.millis_of_day // _SECOND % 60),
        Field("millisOfSecond", _SECOND, 1, lambda m: m.millis_of_day % 1000),
        Field("fractionOfMinute", _MINUTE, 1, lambda m: m.millis_of_day % _MINUTE),
        Field("fractionOfHour", _HOUR, 1, lambda m: m.millis_of_day % _HOUR),
        Field("fractionOfDay", _DAY, 1, lambda m: m.millis_of_day),
    )
}
_CLOCK_BOUNDS = {
    "halfdayOfDay": (0, 1),
    "hourOfDay": (0, 23),
    "clockhourOfDay": (1, 24),
    "hourOfHalfday": (0, 11),
    "clockhourOfHalfday": (1, 12),
    "minuteOfHour": (0, 59),
    "secondOfMinute": (0, 59),
    "millisOfSecond": (0, 999),
    "fractionOfMinute": (0, _MINUTE - 1),
    "fractionOfHour": (0, _HOUR - 1),
    "fractionOfDay": (0, _DAY - 1),
}


def _checked(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"Value {value} for {name} must be in the range [{low},{high}]")
    return value


def _at(days: int, moment: Moment) -> Moment:
    return Moment(days * MILLIS_OF_DAY + moment.millis_of_day)


def _with_year(moment: Moment, year: int) -> Moment:
    _checked("year", year, -292_275_054, 292_278_993)
    _, month, day = civil(moment.days)
    return _at(days_from_civil(year, month, min(day, days_of_month(year, month))), moment)


def with_field(moment: Moment, name: str, value: int) -> Moment:
    """The moment with one field set. Raises ValueError with Joda's text when the value is out of range."""
    bounds = _CLOCK_BOUNDS.get(name)
    if bounds is not None:
        _checked(name, value, *bounds)
        found = FIELDS[name]
        if name in ("clockhourOfDay", "clockhourOfHalfday"):
            value %= 24 if name == "clockhourOfDay" else 12
        current = found.get(moment)
        if name.startswith("clockhour"):
            current %= 24 if name == "clockhourOfDay" else 12
        return Moment(moment.millis + (value - current) * found.span)
    year, month, day = civil(moment.days)
    if name == "year":
        return _with_year(moment, value)
    if name == "yearOfEra":
        _checked(name, value, 1, 292_278_993)
        return _with_year(moment, value if year > 0 else 1 - value)
    if name == "centuryOfEra":
        _checked(name, value, 0, 2_922_789)
        return _with_year(moment, value * 100 + _year_of_era(moment) % 100)
    if name == "era":
        _checked(name, value, 0, 1)
        return moment if (year > 0) == (value == 1) else _with_year(moment, 1 - year)
    if name == "monthOfYear":
        _checked(name, value, 1, 12)
        return _at(days_from_civil(year, value, min(day, days_of_month(year, value))), moment)
    if name == "dayOfMonth":
        _checked(name, value, 1, days_of_month(year, month))
        return _at(moment.days + value - day, moment)
    if name == "dayOfYear":
        _checked(name, value, 1, 366 if is_leap(year) else 365)
        return _at(days_from_civil(year, 1, 1) + value - 1, moment)
    weekyear, week = week_of(moment.days)
    if name == "weekyear":
        weeks = (first_week(value + 1) - first_week(value)) // 7
        return _at(first_week(value) + (min(week, weeks) - 1) * 7 + day_of_week(moment.days) - 1, moment)
    if name == "weekOfWeekyear":
        _checked(name, value, 1, (first_week(weekyear + 1) - first_week(weekyear)) // 7)
        return _at(moment.days + (value - week) * 7, moment)
    _checked(name, value, 1, 7)
    return _at(moment.days + value - day_of_week(moment.days), moment)


def floored(moment: Moment, name: str) -> Moment:
    """The moment rounded down to the field."""
    if name == "era":
        return moment
    year, month, _ = civil(moment.days)
    if name in ("year", "yearOfEra", "centuryOfEra"):
        return Moment(days_from_civil(year if name != "centuryOfEra" else year // 100 * 100, 1, 1) * MILLIS_OF_DAY)
    if name == "weekyear":
        return Moment(first_week(week_of(moment.days)[0]) * MILLIS_OF_DAY)
    if name == "monthOfYear":
        return Moment(days_from_civil(year, month, 1) * MILLIS_OF_DAY)
    if name == "weekOfWeekyear":
        return Moment((moment.days - day_of_week(moment.days) + 1) * MILLIS_OF_DAY)
    span = FIELDS[name].span
    return Moment(moment.millis // span * span)


# --------------------------------------------------------------------------------------------- parsing


@dataclass(slots=True)
class Bucket:
    """What a parse has found so far."""

    fields: list[tuple[str, int]] = field(default_factory=list)
    offset_millis: int | None = None
    zone: str | None = None

    def save(self, name: str, value: int) -> None:
        self.fields.append((name, value))

    def local_millis(self, text: str) -> int:
        """The wall clock the fields make. Raises TrinoError."""
        plain = _plain_millis(dict(self.fields)) if len(self.fields) <= len(_PLAIN_BOUNDS) else None
        if plain is not None and len(dict(self.fields)) == len(self.fields):
            return plain
        fields = sorted(self.fields, key=lambda saved: (-FIELDS[saved[0]].range, -FIELDS[saved[0]].span))
        if fields and _DAY <= FIELDS[fields[0][0]].span <= _MONTH:
            fields.insert(0, ("year", 2000))
        moment = Moment(0)
        try:
            for name, value in fields:
                moment = floored(with_field(moment, name, value), name)
            for index, (name, value) in enumerate(fields):
                moment = with_field(moment, name, value)
                if index == len(fields) - 1:
                    moment = floored(moment, name)
        except ValueError as error:
            raise _invalid(f'Cannot parse "{text}": {error}') from None
        return moment.millis


_PLAIN_BOUNDS = {
    "year": (-9999, 9999),
    "monthOfYear": (1, 12),
    "dayOfMonth": (1, 31),
    "hourOfDay": (0, 23),
    "minuteOfHour": (0, 59),
    "secondOfMinute": (0, 59),
    "millisOfSecond": (0, 999),
}


def _plain_millis(values: dict[str, int]) -> int | None:
    """The short way for a year with a month, a day and a time in range; None for all else."""
    if "year" not in values:
        return None
    for name, value in values.items():
        low, high = _PLAIN_BOUNDS.get(name, (1, 0))
        if not low <= value <= high:
            return None
    year, month, day = values["year"], values.get("monthOfYear", 1), values.get("dayOfMonth", 1)
    if day > 28 and day > days_of_month(year, month):
        return None
    time = values.get("hourOfDay", 0) * _HOUR + values.get("minuteOfHour", 0) * _MINUTE
    time += values.get("secondOfMinute", 0) * _SECOND + values.get("millisOfSecond", 0)
    return days_from_civil(year, month, day) * MILLIS_OF_DAY + time


@dataclass(frozen=True, slots=True)
class Parsed:
    """local_millis: the wall clock; offset_millis or zone (a normal name): what the text said of the zone."""

    local_millis: int
    offset_millis: int | None
    zone: str | None


@dataclass(frozen=True, slots=True)
class Clock:
    """What is printed: a wall clock, its distance from UTC and the name of its zone."""

    moment: Moment
    offset_millis: int
    zone: str


class Element:
    """One part of a pattern."""

    __slots__ = ()

    def printed(self, clock: Clock) -> str:
        raise NotImplementedError

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        """The position after the element. Raises _MismatchError."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Literal(Element):
    text: str

    def printed(self, clock: Clock) -> str:
        return self.text

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        end = position + len(self.text)
        if text[position:end].lower() != self.text.lower():
            raise _MismatchError(position)
        return end


@dataclass(frozen=True, slots=True)
class Number(Element):
    name: str
    minimum_digits: int
    maximum_digits: int
    is_signed: bool = False

    def printed(self, clock: Clock) -> str:
        value = FIELDS[self.name].get(clock.moment)
        return f"{'-' if value < 0 else ''}{abs(value):0{self.minimum_digits}d}"

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        start = position
        sign = 1
        if self.is_signed and text[start : start + 1] in ("-", "+") and text[start + 1 : start + 2].isdigit():
            sign = -1 if text[start] == "-" else 1
            start += 1
        end = start
        limit = min(len(text), start + self.maximum_digits)
        while end < limit and text[end] in "0123456789":
            end += 1
        if end == start:
            raise _MismatchError(position)
        bucket.save(self.name, sign * int(text[start:end]))
        return end


@dataclass(frozen=True, slots=True)
class TwoDigitYear(Element):
    name: str
    pivot: int
    is_lenient: bool

    def printed(self, clock: Clock) -> str:
        return f"{abs(FIELDS[self.name].get(clock.moment)) % 100:02d}"

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        if self.is_lenient:
            match = re.compile(r"([+-]?)([0-9]+)").match(text, position)
            if match is None:
                raise _MismatchError(position)
            if match[1] or len(match[2]) != 2:
                bucket.save(self.name, int(match[0]))
                return match.end()
        digits = text[position : position + 2]
        if len(digits) < 2 or not (digits.isascii() and digits.isdigit()):
            raise _MismatchError(position)
        low = self.pivot - 50
        remainder = low % 100
        year = int(digits)
        bucket.save(self.name, year + low + (100 if year < remainder else 0) - remainder)
        return position + 2


@dataclass(frozen=True, slots=True)
class Fraction(Element):
    """Digits after the point of a second (or of the `unit` milliseconds of a minute, hour or day)."""

    minimum_digits: int
    maximum_digits: int
    name: str = "millisOfSecond"
    unit: int = 1000

    def printed(self, clock: Clock) -> str:
        value = FIELDS[self.name].get(clock.moment)
        if value == 0:
            return "0" * self.minimum_digits
        digits = self.maximum_digits
        while self.unit * 10**digits > 2**63 - 1:
            digits -= 1
        text = str(value * 10**digits // self.unit).rjust(digits, "0")
        while len(text) > self.minimum_digits and text.endswith("0"):
            text = text[:-1]
        return text

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        value = 0
        weight = self.unit * 10
        end = position
        limit = min(len(text), position + self.maximum_digits)
        while end < limit and text[end] in "0123456789":
            weight //= 10
            value += int(text[end]) * weight
            end += 1
        if end == position:
            raise _MismatchError(position)
        bucket.save(self.name, value // 10)
        return end


_NAMES = {"monthOfYear": MONTHS, "dayOfWeek": DAYS, "halfdayOfDay": ("AM", "PM"), "era": ("BC", "AD")}


@lru_cache(maxsize=8)
def _name_values(name: str) -> dict[str, int]:
    """Every spelling a parse accepts: short and long, as written, lower and upper case."""
    first = 1 if name in ("monthOfYear", "dayOfWeek") else 0
    values: dict[str, int] = {}
    for index, long in enumerate(_NAMES[name]):
        for spelling in (long, long[:3]):
            for cased in (spelling, spelling.lower(), spelling.upper()):
                values[cased] = index + first
    if name == "era":
        values.update({"BCE": 0, "bce": 0, "CE": 1, "ce": 1})
    return values


@dataclass(frozen=True, slots=True)
class Name(Element):
    name: str
    is_short: bool

    def printed(self, clock: Clock) -> str:
        value = FIELDS[self.name].get(clock.moment)
        text = _NAMES[self.name][value - 1 if self.name in ("monthOfYear", "dayOfWeek") else value]
        return text[:3] if self.is_short else text

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        values = _name_values(self.name)
        for end in range(min(len(text), position + 9), position, -1):
            found = values.get(text[position:end])
            if found is not None:
                bucket.save(self.name, found)
                return end
        raise _MismatchError(position)


_ZONE_OFFSET = re.compile(r"([+-])(\d{2})(?:(:)(\d{2})(?::(\d{2}))?|(\d{2})(\d{2})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ZoneOffset(Element):
    has_colon: bool

    def printed(self, clock: Clock) -> str:
        seconds = abs(clock.offset_millis) // 1000
        colon = ":" if self.has_colon else ""
        text = f"{'-' if clock.offset_millis < 0 else '+'}{seconds // 3600:02d}{colon}{seconds // 60 % 60:02d}"
        return text + (f"{colon}{seconds % 60:02d}" if seconds % 60 else "")

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        if text[position : position + 1] in ("Z", "z"):
            bucket.offset_millis = 0
            return position + 1
        match = _ZONE_OFFSET.match(text, position)
        if match is None or int(match[2]) > 23:
            raise _MismatchError(position)
        minutes, seconds = int(match[4] or match[6] or 0), int(match[5] or match[7] or 0)
        following = text[match.end() : match.end() + 1]
        if minutes > 59 or seconds > 59 or (match[4] is None and match[6] is None and following == ":"):
            raise _MismatchError(position)
        millis = int(match[2]) * _HOUR + minutes * _MINUTE + seconds * _SECOND
        bucket.offset_millis = -millis if match[1] == "-" else millis
        return match.end()


@dataclass(frozen=True, slots=True)
class ZoneId(Element):
    def printed(self, clock: Clock) -> str:
        return clock.zone

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        for end in range(min(len(text), position + 40), position, -1):
            zone = normal_zone(text[position:end])
            if zone is not None and (zone == text[position:end] or zone == "UTC"):
                bucket.zone = zone
                return end
        raise _MismatchError(position)


@dataclass(frozen=True, slots=True)
class ZoneName(Element):
    is_short: bool

    def printed(self, clock: Clock) -> str:
        if clock.zone == "UTC":
            return "UTC" if self.is_short else "Coordinated Universal Time"
        if clock.zone.startswith(("+", "-")):
            return clock.zone
        if self.is_short:
            from zoneinfo import ZoneInfo

            seconds = (clock.moment.millis - clock.offset_millis) // 1000
            if 0 <= seconds < 2**32:
                name = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(clock.zone)).tzname()
                if name is not None and name in _KNOWN_SHORT_NAMES:
                    return name
        raise TrinoError("NOT_SUPPORTED", f"The name of time zone {clock.zone} is not known to the embedded engine")

    def parse(self, bucket: Bucket, text: str, position: int) -> int:
        if not self.is_short:
            raise _invalid("Parsing not supported")
        for end in range(position + 3, position + 1, -1):
            zone = _SHORT_ZONES.get(text[position:end])
            if zone is not None:
                bucket.zone = zone
                return end
        raise _MismatchError(position)


_KNOWN_SHORT_NAMES = frozenset(
    "EST,EDT,CST,CDT,MST,MDT,PST,PDT,AKST,AKDT,HST,GMT,BST,CET,CEST,EET,EEST,WET,WEST,MSK,JST".split(",")
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled format."""

    elements: tuple[Element, ...]

    def printed(self, local_millis: int, offset_millis: int, zone: str) -> str:
        clock = Clock(Moment(local_millis), offset_millis, zone)
        return "".join(element.printed(clock) for element in self.elements)

    def parsed(self, text: str) -> Parsed:
        """Raises TrinoError INVALID_FUNCTION_ARGUMENT in Joda's words."""
        bucket = Bucket()
        position = 0
        try:
            for element in self.elements:
                position = element.parse(bucket, text, position)
            if position < len(text):
                raise _MismatchError(position)
        except _MismatchError as mismatch:
            raise malformed(text, mismatch.position) from None
        return Parsed(bucket.local_millis(text), bucket.offset_millis, bucket.zone)


def malformed(text: str, position: int) -> TrinoError:
    length = position + 32
    sample = text if len(text) <= length + 3 else text[:length] + "..."
    if position <= 0:
        return _invalid(f'Invalid format: "{sample}"')
    if position >= len(text):
        return _invalid(f'Invalid format: "{sample}" is too short')
    return _invalid(f'Invalid format: "{sample}" is malformed at "{sample[position:]}"')


# --------------------------------------------------------------------------------------------- MySQL patterns

_PIVOT_YEAR = 2020
_HMS = (Number("minuteOfHour", 2, 2), Literal(":"), Number("secondOfMinute", 2, 2))
_MYSQL: dict[str, tuple[Element, ...]] = {
    "a": (Name("dayOfWeek", True),),
    "b": (Name("monthOfYear", True),),
    "c": (Number("monthOfYear", 1, 2),),
    "d": (Number("dayOfMonth", 2, 2),),
    "e": (Number("dayOfMonth", 1, 2),),
    "f": (Fraction(6, 9),),
    "H": (Number("hourOfDay", 2, 2),),
    "h": (Number("clockhourOfHalfday", 2, 2),),
    "I": (Number("clockhourOfHalfday", 2, 2),),
    "i": (Number("minuteOfHour", 2, 2),),
    "j": (Number("dayOfYear", 3, 3),),
    "k": (Number("hourOfDay", 1, 2),),
    "l": (Number("clockhourOfHalfday", 1, 2),),
    "M": (Name("monthOfYear", False),),
    "m": (Number("monthOfYear", 2, 2),),
    "p": (Name("halfdayOfDay", False),),
    "r": (Number("clockhourOfHalfday", 2, 2), Literal(":"), *_HMS, Literal(" "), Name("halfdayOfDay", False)),
    "S": (Number("secondOfMinute", 2, 2),),
    "s": (Number("secondOfMinute", 2, 2),),
    "T": (Number("hourOfDay", 2, 2), Literal(":"), *_HMS),
    "v": (Number("weekOfWeekyear", 2, 2),),
    "x": (Number("weekyear", 4, 4, True),),
    "W": (Name("dayOfWeek", False),),
    "Y": (Number("year", 4, 4, True),),
    "y": (TwoDigitYear("year", _PIVOT_YEAR, False),),
}


@lru_cache(maxsize=1024)
def mysql_pattern(text: str) -> Pattern:
    """The format of date_format and date_parse. Raises TrinoError."""
    elements: list[Element] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character != "%":
            elements.append(Literal(character))
            continue
        if at >= len(text):
            break
        character = text[at]
        at += 1
        if character in "wUuVXD":
            raise _invalid(f"%{character} not supported in date format string")
        elements.extend(_MYSQL.get(character, (Literal(character),)))
    if not elements:
        raise _invalid("Both printing and parsing not supported")
    return Pattern(tuple(elements))


# --------------------------------------------------------------------------------------------- Joda patterns

_LETTER = re.compile(r"([A-Za-z])\1*")
_NUMBERS = {  # letter: field, most digits
    "d": ("dayOfMonth", 2),
    "h": ("clockhourOfHalfday", 2),
    "H": ("hourOfDay", 2),
    "k": ("clockhourOfDay", 2),
    "K": ("hourOfHalfday", 2),
    "m": ("minuteOfHour", 2),
    "s": ("secondOfMinute", 2),
    "e": ("dayOfWeek", 1),
    "D": ("dayOfYear", 3),
    "w": ("weekOfWeekyear", 2),
}


def _tokens(text: str) -> list[tuple[str, str]]:
    """('letter', 'yyyy') and ('literal', '-') pieces."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _LETTER.match(text, at)
        if match is not None:
            tokens.append(("letter", match.group()))
            at = match.end()
            continue
        literal = ""
        inside = False
        while at < len(text):
            character = text[at]
            if character == "'":
                if text[at + 1 : at + 2] == "'":
                    literal += "'"
                    at += 1
                else:
                    inside = not inside
            elif not inside and character.isascii() and character.isalpha():
                break
            else:
                literal += character
            at += 1
        tokens.append(("literal", literal))
    return tokens


def _is_numeric(tokens: Sequence[tuple[str, str]], index: int) -> bool:
    if index >= len(tokens) or tokens[index][0] != "letter":
        return False
    token = tokens[index][1]
    return token[0] in "cCxyYdhHmsSeDFwWkK" or (token[0] == "M" and len(token) <= 2)


@lru_cache(maxsize=1024)
def joda_pattern(text: str) -> Pattern:
    """The format of format_datetime and parse_datetime. Raises TrinoError."""
    if not text:
        raise _invalid("Invalid pattern specification")
    tokens = _tokens(text)
    elements: list[Element] = []
    for index, (kind, token) in enumerate(tokens):
        if kind == "literal":
            if token:
                elements.append(Literal(token))
            continue
        elements.append(_joda_element(token, next_is_numeric=_is_numeric(tokens, index + 1)))
    return Pattern(tuple(elements))


def _joda_element(token: str, *, next_is_numeric: bool) -> Element:
    letter, length = token[0], len(token)
    number = _NUMBERS.get(letter)
    if number is not None:
        return Number(number[0], length, number[1])
    if letter in "xyY":
        name = {"x": "weekyear", "y": "year", "Y": "yearOfEra"}[letter]
        if length == 2:
            this_year = datetime.now(UTC).year
            return TwoDigitYear("weekyear" if letter == "x" else "year", this_year - 30, not next_is_numeric)
        return Number(name, length, length if next_is_numeric else 9, letter != "Y")
    if letter == "M":
        return Name("monthOfYear", length == 3) if length >= 3 else Number("monthOfYear", length, 2)
    if letter == "S":
        return Fraction(length, length)
    if letter == "E":
        return Name("dayOfWeek", length < 4)
    if letter == "a":
        return Name("halfdayOfDay", False)
    if letter == "G":
        return Name("era", False)
    if letter == "C":
        return Number("centuryOfEra", length, length)
    if letter == "z":
        return ZoneName(length < 4)
    if letter == "Z":
        return ZoneId() if length >= 3 else ZoneOffset(length == 2)
    raise _invalid(f"Illegal pattern component: {token}")
