"""Zone names, and local times read in zones by Java's and Joda's rules."""

from __future__ import annotations

import pytest

from embedded.sql.civil_calendar import civil, days_from_civil, week_of
from embedded.sql.time_zone import falls_in_gap, normal_zone
from tests.sql_executor import connection


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("UTC", "UTC"),
        ("z", "UTC"),
        ("Etc/Greenwich", "UTC"),
        ("+00:00", "UTC"),
        ("UTC+5", "+05:00"),
        ("gmt-03:30", "-03:30"),
        ("Etc/GMT+5", "-05:00"),
        ("america/new_york", "America/New_York"),
        ("+14:00", "+14:00"),
        ("+14:01", None),
        ("+01:60", None),
        ("nowhere", None),
        ("", None),
    ],
)
def test_names(text: str, normal: str | None) -> None:
    assert normal_zone(text) == normal


def test_gaps() -> None:
    skipped = (days_from_civil(2020, 3, 8) * 24 + 2) * 3600 + 1800
    assert falls_in_gap("America/New_York", skipped)
    assert not falls_in_gap("America/New_York", skipped + 3600)
    assert not falls_in_gap("America/New_York", (days_from_civil(2020, 11, 1) * 24 + 1) * 3600)
    assert not falls_in_gap("+01:00", skipped)


@pytest.mark.parametrize(
    ("local", "zone", "java", "joda"),
    [
        ("2020-11-01 01:30:00", "America/New_York", "2020-11-01 05:30:00", "2020-11-01 05:30:00"),
        ("2020-10-25 02:30:00", "Europe/Berlin", "2020-10-25 00:30:00", "2020-10-25 01:30:00"),
        ("2020-03-08 02:30:00", "America/New_York", "2020-03-08 07:30:00", "2020-03-08 07:30:00"),
        ("2020-03-29 02:30:00", "Europe/Berlin", "2020-03-29 01:30:00", "2020-03-29 01:30:00"),
        ("2020-07-01 00:00:00", "Asia/Kathmandu", "2020-06-30 18:15:00", "2020-06-30 18:15:00"),
        ("2020-07-01 00:00:00", "-03:30", "2020-07-01 03:30:00", "2020-07-01 03:30:00"),
    ],
)
def test_local_times_in_overlaps_and_gaps(local: str, zone: str, java: str, joda: str) -> None:
    sql = (
        f"SELECT CAST(trino_zone_instant(TIMESTAMP '{local}', '{zone}') AS VARCHAR), "
        f"CAST(trino_zone_instant_near(TIMESTAMP '{local}', '{zone}', TIMESTAMP '{local}') AS VARCHAR)"
    )
    assert connection().execute(sql).fetchall() == [(java, joda)]


def test_calendar_goes_there_and_back() -> None:
    for days in range(-1_000_000, 1_000_000, 997):
        assert days_from_civil(*civil(days)) == days
    assert week_of(days_from_civil(2021, 1, 3)) == (2020, 53)
    assert week_of(days_from_civil(-4, 1, 1))[0] == -4
