"""Schedules of crawlers, checked before Glue is asked: `cron(minutes hours day-of-month month day-of-week year)`, UTC.

Glue refuses some mistakes and takes others (a 31st of February that never comes). The rules are the developer guide's,
"Time-based schedules for jobs and crawlers": six fields; of day-of-month and day-of-week one is `?`; nothing more often
than every five minutes.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_CRON = re.compile(r"cron\((.*)\)")
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minutes", 0, 59, {}), ("hours", 0, 23, {}), ("day-of-month", 1, 31, {}), ("month", 1, 12, _MONTHS),
    ("day-of-week", 1, 7, _DAYS), ("year", 1970, 2199, {}),
)  # fmt: skip
_LEAST_MINUTES = 5
_MINUTES_PER_DAY = 1440


class InvalidSchedule(ValueError):
    """A schedule that Glue refuses or that cannot be meant; says which field and why."""


@dataclass(frozen=True)
class Schedule:
    """A schedule, parsed. `last_day`, `weekdays_near` and the like are told by the texts of the two day fields."""

    expression: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: str
    months: frozenset[int]
    days_of_week: str
    years: frozenset[int]

    @classmethod
    def parse(cls, expression: str) -> Schedule:
        """The schedule of an expression. Raises InvalidSchedule."""
        match = _CRON.fullmatch(expression.strip())
        if match is None:
            raise InvalidSchedule(f"{expression!r} is not written cron(15 12 * * ? *)")
        fields = match[1].split()
        if len(fields) != len(_FIELDS):
            raise InvalidSchedule(f"{expression!r} has {len(fields)} fields; there are six, the last is the year")
        minutes, hours, days, months, weekdays, years = fields
        if (days == "?") == (weekdays == "?"):
            raise InvalidSchedule("of day-of-month and day-of-week exactly one is ?")
        schedule = cls(
            expression.strip(),
            _numbers(0, minutes),
            _numbers(1, hours),
            _checked_days(days),
            _numbers(3, months),
            _checked_weekdays(weekdays),
            _numbers(5, years),
        )
        schedule._check_rate()
        return schedule

    def runs_between(self, start: datetime, end: datetime) -> int:
        """How often it runs in [start, end), counted by whole days from the day of the start on."""
        first = start.astimezone(UTC)
        days = sum(self._runs_on(first + timedelta(days=number)) for number in range((end - start).days))
        return days * len(self.minutes) * len(self.hours)

    def _runs_on(self, day: datetime) -> bool:
        if day.month not in self.months or day.year not in self.years:
            return False
        last = calendar.monthrange(day.year, day.month)[1]
        if self.days_of_month != "?":
            return day.day in _days_of(self.days_of_month, day.year, day.month, last)
        weekday = day.isoweekday() % 7 + 1
        if self.days_of_week.endswith("L") and self.days_of_week != "L":
            return weekday == _number(4, self.days_of_week[:-1]) and day.day > last - 7
        if self.days_of_week == "L":
            return weekday == 7
        return weekday in _numbers(4, self.days_of_week)

    def _check_rate(self) -> None:
        times = sorted(hour * 60 + minute for hour in self.hours for minute in self.minutes)
        later = [*times[1:], times[0] + _MINUTES_PER_DAY]
        pauses = [end - start for start, end in zip(times, later, strict=True)]
        if min(pauses) < _LEAST_MINUTES:
            raise InvalidSchedule(f"{self.expression!r} runs every {min(pauses)} minutes; 5 are the least")


def _numbers(field: int, text: str) -> frozenset[int]:
    """The numbers of a field: `*`, `5`, `1-5`, `0/15`, `MON-FRI`, and several of them with commas."""
    found: set[int] = set()
    for part in text.split(","):
        found.update(_part(field, part))
    return frozenset(found)


def _part(field: int, text: str) -> Iterator[int]:
    name, least, most, _ = _FIELDS[field]
    span, slash, step_text = text.partition("/")
    step = 1
    if slash:
        if not step_text.isascii() or not step_text.isdigit() or not int(step_text):
            raise InvalidSchedule(f"{name}: {text!r} has no positive step")
        step = int(step_text)
    first_text, dash, last_text = span.partition("-")
    if span == "*":
        first, last = least, most
    elif dash:
        first, last = _number(field, first_text), _number(field, last_text)
    else:
        first = _number(field, first_text)
        last = most if slash else first
    if first > last:
        raise InvalidSchedule(f"{name}: {text!r} ends before it begins")
    yield from range(first, last + 1, step)


def _number(field: int, text: str) -> int:
    name, least, most, names = _FIELDS[field]
    number = names.get(text.upper())
    if number is None and text.isascii() and text.isdigit() and len(text) <= 4:
        number = int(text)
    if number is None or not least <= number <= most:
        raise InvalidSchedule(f"{name}: {text!r} is not from {least} to {most}")
    return number


def _checked_days(text: str) -> str:
    if text not in ("?", "L", "LW") and not re.fullmatch(r"[0-9]{1,2}W", text):
        _numbers(2, text)
    elif text.endswith("W") and text != "LW":
        _number(2, text[:-1])
    return text


def _checked_weekdays(text: str) -> str:
    if text in ("?", "L"):
        return text
    if text.endswith("L") and len(text) > 1:
        _number(4, text[:-1])
        return text
    _numbers(4, text)
    return text


def _days_of(text: str, year: int, month: int, last: int) -> set[int]:
    if text == "L":
        return {last}
    if text.endswith("W"):
        wanted = last if text == "LW" else min(int(text[:-1]), last)
        return {_nearest_weekday(year, month, wanted, last)}
    return {day for day in _numbers(2, text) if day <= last}


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day
