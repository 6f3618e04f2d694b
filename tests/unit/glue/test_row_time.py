from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from glue.row_time import milliseconds

SIX = 1_626_847_200_000  # 2021-07-21T06:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2021-07-21T06:00:00Z", SIX),
        ("2021-07-21t06:00:00z", SIX),
        ("2021-07-21 06:00:00", SIX),
        ("2021-07-21 06:00:00 UTC", SIX),
        (" 2021-07-21T06:00:00Z\n", SIX),
        ("2021-07-21T06:00", SIX),
        ("2021-07-21T08:00:00+02:00", SIX),
        ("2021-07-21T03:00:00-0300", SIX),  # Secor itself puts this one into 1970
        ("2021-07-21T11:30:00+05:30", SIX),
        ("2021-07-21T06:00:00.1Z", SIX + 100),
        ("2021-07-21T06:00:00,123", SIX + 123),
        ("2021-07-21T06:00:00.123456789Z", SIX + 123),
        ("2006-01-02T23:59:59.999999999Z", 1_136_246_399_999),
        ("2021-07-21", SIX - 6 * 3_600_000),
        ("20210721", SIX - 6 * 3_600_000),
        ("20210721060000", SIX),
        ("20210721T060000Z", SIX),
        ("1626847200", SIX),
        ("1626847200.250", SIX + 250),
        ("1626847200000", SIX),
        ("1626847200000000", SIX),
        ("1626847200000000000", SIX),
        ("1.6268472e9", SIX),
        (1_626_847_200, SIX),
        (1_626_847_200_000, SIX),
        (1_626_847_200_000_000, SIX),
        (1_626_847_200_000_000_000, SIX),
        (1_626_847_200.25, SIX + 250),
        (Decimal("1626847200.25"), SIX + 250),
        (datetime(2021, 7, 21, 6, tzinfo=UTC), SIX),
        (datetime(2021, 7, 21, 6), SIX),  # noqa: DTZ001  Parquet's times without a zone
        (date(2021, 7, 21), SIX - 6 * 3_600_000),
        (0, 0),
        ("1969-12-31T23:59:59Z", -1000),
        ("0001-01-01", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times(value: object, expected: int) -> None:
    assert milliseconds(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        " ",
        "soon",
        "2017-13-45",
        "2021-07-21T25:00:00Z",
        [],
        {},
        "9" * 30,
        10**17 * 9,
        "1e999",
        float("nan"),
    ],
)
def test_what_is_no_time_says_so(value: object) -> None:
    with pytest.raises(ValueError, match=r"is |neither|outside|no epoch|not a time"):
        milliseconds(value)
