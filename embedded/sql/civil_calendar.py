"""The proleptic Gregorian calendar on plain integers, for any year: days since 1970-01-01 and back, ISO weeks.

Python's datetime knows the years 1 to 9999 only; Trino's dates reach further.
"""

from __future__ import annotations


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_of_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; the day must exist."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of days since 1970-01-01."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + (3 if shifted < 10 else -9)
    return era * 400 + year_of_era + (month <= 2), month, day


def day_of_week(days: int) -> int:
    """1 Monday to 7 Sunday."""
    return (days + 3) % 7 + 1


def first_week(weekyear: int) -> int:
    """The Monday, in days since 1970, on which an ISO week year begins."""
    fourth = days_from_civil(weekyear, 1, 4)
    return fourth - (day_of_week(fourth) - 1)


def week_of(days: int) -> tuple[int, int]:
    """ISO week year and week."""
    year = civil(days)[0]
    for candidate in (year + 1, year, year - 1):
        start = first_week(candidate)
        if days >= start:
            return candidate, (days - start) // 7 + 1
    raise AssertionError("a day lies in one of three week years")
