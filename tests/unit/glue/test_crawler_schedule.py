"""Schedules of crawlers: the guide's examples run as often as it says, mistakes are named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from glue.crawler_schedule import InvalidSchedule, Schedule
from glue.crawlers import cost_estimate

START = datetime(2026, 11, 1, 15, 30, tzinfo=UTC)  # a Sunday
END = START + timedelta(days=30)


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("cron(0 10 * * ? *)", 30),
        ("cron(15 12 * * ? *)", 30),
        ("cron(0 18 ? * MON-FRI *)", 21),
        ("cron(0 8 1 * ? *)", 1),
        ("cron(0/15 * * * ? *)", 30 * 96),
        ("cron(0/10 * ? * MON-FRI *)", 21 * 144),
        ("cron(0/5 8-17 ? * MON-FRI *)", 21 * 120),
        ("cron(0 0 L * ? *)", 1),
        ("cron(0 0 ? * 6L *)", 1),
        ("cron(0 0 ? * L *)", 4),
        ("cron(0 0 1W * ? *)", 1),
        ("cron(0 0 LW * ? *)", 1),
        ("cron(0 0 31 * ? *)", 0),
        ("cron(0 0 1 JAN,MAR ? *)", 0),
        ("cron(0 0 * NOV ? 2026)", 30),
        ("cron(0 0 * * ? 2027-2199)", 0),
    ],
)
def test_how_often_it_runs(expression: str, runs: int) -> None:
    assert Schedule.parse(expression).runs_between(START, END) == runs


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("rate(1 hour)", "is not written"),
        ("0 10 * * ? *", "is not written"),
        ("cron(0 10 * * ?)", "5 fields"),
        ("cron(0 10 * * * *)", "exactly one is"),
        ("cron(0 10 ? * ? *)", "exactly one is"),
        ("cron(60 10 * * ? *)", "minutes: '60' is not from 0 to 59"),
        ("cron(0 24 * * ? *)", "hours"),
        ("cron(0 0 32 * ? *)", "day-of-month"),
        ("cron(0 0 40W * ? *)", "day-of-month"),
        ("cron(0 0 ? * MOON *)", "day-of-week"),
        ("cron(0 0 * 13 ? *)", "month"),
        ("cron(0 0 * * ? 1969)", "year"),
        ("cron(0/0 * * * ? *)", "no positive step"),
        ("cron(30-10 * * * ? *)", "ends before it begins"),
        ("cron(* * * * ? *)", "every 1 minutes"),
        ("cron(0/4 * * * ? *)", "every 4 minutes"),
        ("cron(58,1 * * * ? *)", "every 3 minutes"),
        ("cron(0 10 * * ? *) ; drop", "is not written"),
    ],
)
def test_mistakes_are_named(expression: str, why: str) -> None:
    with pytest.raises(InvalidSchedule, match=why):
        Schedule.parse(expression)


def test_what_an_hourly_crawler_costs_at_least() -> None:
    cost = cost_estimate("cron(15 * * * ? *)", START)
    assert (cost.per_run_usd, cost.runs_per_month) == (pytest.approx(0.1467, abs=1e-4), 720)
    assert cost.per_month_usd == pytest.approx(105.6)
    assert cost_estimate(None, START).per_month_usd is None
