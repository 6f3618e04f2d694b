"""Trino functions of dates and times, by story:

datetime_value   taking values apart and putting them together; the macros of zones and rounding
datetime_zone    at_timezone, with_timezone, timezone_hour ...
datetime_field   year, month ..., date_trunc, date_add, date_diff, last_day_of_month
interval         + - * / with intervals
datetime_format  date_format, date_parse, format_datetime, parse_datetime (joda: the formatter)
datetime_iso     ISO 8601, Unix time, now, durations
datetime_cast    CAST between all of them and text (called by conversion)
"""

from __future__ import annotations

from embedded.sql.functions import (
    datetime_cast,
    datetime_field,
    datetime_format,
    datetime_iso,
    datetime_value,
    datetime_zone,
    interval,
)

__all__ = [
    "datetime_cast",
    "datetime_field",
    "datetime_format",
    "datetime_iso",
    "datetime_value",
    "datetime_zone",
    "interval",
]
