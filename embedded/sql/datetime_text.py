"""Texts of dates, times and timestamps by Trino's patterns, for literals and casts alike.

| text | pattern |
|---|---|
| date | `[-+]y..y-m[m]-d[d]` |
| timestamp | `[-+]yyyy..-m[m]-d[d][ [h[h]:m[m][:s[s][.f..]]][ zone]]` (DateTimes.DATETIME_PATTERN) |
| time | `h[h]:m[m][:s[s][.f..]][ ][+hh:mm]` (DateTimes.TIME_PATTERN) |

Nothing is trimmed here. Every function answers None for a text that is not one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from embedded.sql.civil_calendar import days_from_civil, days_of_month

PICOSECONDS_OF_DAY = 86_400 * 10**12
MAXIMUM_FRACTION_DIGITS = 18

#: What Trino's trim() takes away.
WHITESPACE = (
    " \t\n\r\f\v\x1c\x1d\x1e\x1f\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)

_DATE = re.compile(r"([-+]?\d{1,9})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DATETIME = re.compile(
    r"([-+]?\d{4,})-(\d{1,2})-(\d{1,2})"
    r"(?: (?:(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?)?\s*(.+)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?\s*(?:([+-])(\d\d):(\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimestampText:
    """seconds: of the wall clock since 1970; fraction: the digits after the point; zone: as written, or None."""

    seconds: int
    fraction: str
    zone: str | None


@dataclass(frozen=True, slots=True)
class TimeText:
    """seconds: of the day; fraction: the digits after the point; offset_minutes: as written, or None."""

    seconds: int
    fraction: str
    offset_minutes: int | None


def read_date(text: str) -> int | None:
    """Days since 1970-01-01."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    days = _days(int(match[1]), int(match[2]), int(match[3]))
    return days if days is not None and -(2**31) <= days < 2**31 else None


def read_timestamp(text: str) -> TimestampText | None:
    match = _DATETIME.fullmatch(text)
    if match is None:
        return None
    days = _days(int(match[1]), int(match[2]), int(match[3]))
    seconds = _seconds(match[4] or "0", match[5] or "0", match[6] or "0")
    fraction = match[7] or ""
    if days is None or seconds is None or len(fraction) > MAXIMUM_FRACTION_DIGITS:
        return None
    return TimestampText(days * 86_400 + seconds, fraction, match[8])


def read_time(text: str) -> TimeText | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    seconds = _seconds(match[1], match[2], match[3] or "0")
    fraction = match[4] or ""
    if seconds is None or len(fraction) > 12:
        return None
    if not match[5]:
        return TimeText(seconds, fraction, None)
    hours, minutes = int(match[6]), int(match[7])
    offset = hours * 60 + minutes
    if offset > 840 or minutes > 59:
        return None
    return TimeText(seconds, fraction, -offset if match[5] == "-" else offset)


def picoseconds(fraction: str, precision: int) -> int:
    """Of the digits after the point, rounded half up to the precision; up to a whole second."""
    if len(fraction) > precision:
        scale: int = 10 ** (len(fraction) - precision)
        rounded: int = (int(fraction) + scale // 2) // scale
        return rounded * int(10 ** (12 - precision))
    return int(fraction or 0) * int(10 ** (12 - len(fraction)))


def _days(year: int, month: int, day: int) -> int | None:
    if not (1 <= month <= 12 and 1 <= day <= days_of_month(year, month)):
        return None
    return days_from_civil(year, month, day)


def _seconds(hour: str, minute: str, second: str) -> int | None:
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return hours * 3600 + minutes * 60 + seconds
