from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from glue.envelope import epoch_milliseconds
from glue.partition_spec import (
    DAY_SCHEME,
    HOUR_SCHEME,
    InvalidPartition,
    PartitionScheme,
    PartitionSpec,
    strptime_pattern,
)
from tests.shared_data import shared_data


def test_a_path_is_one_ordered_value() -> None:
    spec = PartitionSpec.parse("dt=2026-11-22/hr=10/min=05")
    assert spec.path() == "dt=2026-11-22/hr=10/min=05"
    assert spec.values() == ("2026-11-22", "10", "05")
    assert spec.keys() == ("dt", "hr", "min")
    assert spec.start() == datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    assert spec.end() == datetime(2026, 11, 22, 10, 6, tzinfo=UTC)
    assert PartitionSpec.from_datetime(spec.start()) == spec == PartitionSpec.from_values(spec.values())


@pytest.mark.parametrize(
    "path",
    [
        "dt=2017-13-45",
        "dt=2017-02-29",
        "dt=2017-1-05",
        "dt=20170105",
        "dt=2017-01-05T00",
        "dt=2017-01-05/hr=24",
        "dt=2017-01-05/hr=7",
        "dt=2017-01-05/hr=07/min=60",
        "dt=2017-01-05/hr=07/min=0",
        "dt=2017-01-05/hr=07/min=05/sec=01",
        "dt=2017-01-05/min=05",
        "hr=07",
        "dt=",
        "",
        "dt=2017-01-05'; DROP TABLE x",
        "dt=२०१७-०१-०५",
        "dt=2017-01-05/hr=\u0660\u0667",  # digits, but not ours
        "dt=2017-01-05\n",
        "DT=2017-01-05",
        "dt=2017-01-05/",
        "/dt=2017-01-05",
        "dt=..",
    ],
)
def test_what_no_writer_wrote_is_refused(path: str) -> None:
    with pytest.raises(InvalidPartition):
        PartitionSpec.parse(path)


def test_a_refusal_says_what_the_folder_should_be() -> None:
    with pytest.raises(InvalidPartition, match="is not an hour in the format"):
        PartitionSpec.parse("dt=2017-01-05/hr=24")
    with pytest.raises(InvalidPartition, match="is not a minute in the format"):
        PartitionSpec.parse("dt=2017-01-05/hr=23/min=60")


def test_specs_sort_by_time_coarse_before_fine() -> None:
    paths = [
        "dt=2026-01-01",
        "dt=2026-01-01/hr=00",
        "dt=2026-01-01/hr=00/min=01",
        "dt=2026-01-01/hr=01",
        "dt=2026-01-02",
    ]
    assert [s.path() for s in sorted(PartitionSpec.parse(p) for p in reversed(paths))] == paths


def test_first_and_last_years_of_the_calendar() -> None:
    assert PartitionSpec.parse("dt=0001-01-01").start() == datetime(1, 1, 1, tzinfo=UTC)
    assert PartitionSpec.parse("dt=9999-12-31/hr=23/min=59").end() == datetime.max.replace(tzinfo=UTC)
    assert PartitionSpec.from_datetime(datetime(999, 1, 2, 3, 4, tzinfo=UTC)).path() == "dt=0999-01-02/hr=03/min=04"
    assert PartitionSpec.from_milliseconds(0).path() == "dt=1970-01-01/hr=00/min=00"
    with pytest.raises(OverflowError):
        PartitionSpec.from_milliseconds(10**18)


def test_a_moment_without_a_zone_has_no_partition() -> None:
    with pytest.raises(ValueError, match="time zone"):
        PartitionSpec.from_datetime(datetime(2026, 1, 1))  # noqa: DTZ001  the very point


def test_names_and_formats_are_configuration() -> None:
    scheme = PartitionScheme.from_secor(granularity="hour", date=("day=", "yyyyMMdd"), hour=("h_", "HH"))
    spec = PartitionSpec.from_datetime(datetime(2026, 11, 22, 9, 30, tzinfo=UTC), scheme=scheme)
    assert spec.path() == "day=20261122/h_09"
    assert PartitionSpec.parse("day=20261122/h_09", scheme).start() == datetime(2026, 11, 22, 9, tzinfo=UTC)
    with pytest.raises(InvalidPartition):
        PartitionSpec.parse("day=20261131/h_09", scheme)


def test_bare_folders_take_their_column_from_their_unit() -> None:
    scheme = PartitionScheme.from_secor(granularity="day", date=("", "yyyy/MM/dd"))
    assert scheme.keys() == ("year", "month", "day")
    spec = PartitionSpec.parse("2024/02/29", scheme)
    assert (spec.values(), spec.end()) == (("2024", "02", "29"), datetime(2024, 3, 1, tzinfo=UTC))
    with pytest.raises(InvalidPartition):
        PartitionSpec.parse("2023/02/29", scheme)
    month = PartitionSpec.parse("2024/12", scheme)
    assert (month.start(), month.end()) == (datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))


def test_folders_of_a_zone_with_summer_time() -> None:
    scheme = PartitionScheme.from_secor(granularity="hour", zone_name="Europe/Berlin")
    merged = PartitionSpec.parse("dt=2026-10-25/hr=02", scheme)
    assert (merged.end() - merged.start()).total_seconds() == 2 * 3600  # both passes through 02:xx share the folder
    assert PartitionSpec.from_datetime(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), scheme=scheme) == merged
    kolkata = PartitionScheme.from_secor(granularity="day", zone_name="Asia/Kolkata")
    assert PartitionSpec.parse("dt=2026-01-01", kolkata).start() == datetime(2025, 12, 31, 18, 30, tzinfo=UTC)


def test_java_formats() -> None:
    assert strptime_pattern("yyyy-MM-dd") == "%Y-%m-%d"
    assert strptime_pattern("'year='yyyy'%'''") == "year=%Y%%'"
    with pytest.raises(ValueError, match="'YYYY'"):
        strptime_pattern("YYYY-MM-dd")  # week year: wrong around New Year in every such configuration


@pytest.mark.real_data
def test_secor_own_cases_land_where_secor_puts_them() -> None:
    cases = json.loads((shared_data("secor-partition-cases") / "cases.json").read_text())
    checked = 0
    for case in cases["json_message_parser"]:
        message = case["message"]
        value = message.get("timestamp", message.get("meta_data", {}).get("created", "0"))
        milliseconds = epoch_milliseconds(float(value) if "." in value else int(value))
        if "millis" in case:
            assert milliseconds == case["millis"]
        if "partitions" in case:
            scheme = PartitionScheme.from_secor(
                granularity="hour" if case["hourly"] else "day", zone_name=case["timezone"]
            )
            assert PartitionSpec.from_milliseconds(milliseconds, scheme=scheme).path() == "/".join(case["partitions"])
        checked += 1
    folders = next(case for case in cases["date_message_parser"] if "date_format" in case)
    scheme = PartitionScheme.from_secor(granularity="day", date=(folders["date_prefix"], folders["date_format"]))
    assert scheme.keys() == ("yr", "mo", "dy", "hr")
    assert [PartitionSpec.parse(p, scheme).path() for p in folders["partitions"]] == folders["partitions"]
    for case in cases["date_message_parser"]:
        if "date_format" not in case:
            assert [PartitionSpec.parse(path, DAY_SCHEME).path() for path in case["partitions"]] == case["partitions"]
            checked += 1
    assert checked >= 15


def test_schemes_are_cut_at_a_granularity() -> None:
    assert HOUR_SCHEME.keys() == ("dt", "hr")
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert PartitionSpec.from_datetime(moment, "hour") == PartitionSpec.from_datetime(moment, scheme=HOUR_SCHEME)
    assert PartitionSpec.from_datetime(moment, "day").path() == "dt=2026-01-02"


@pytest.mark.parametrize("date_format", ["dd-MM-yyyy", "MM/dd", "yyyy-dd-MM", "yyyy/dd"])
def test_folders_that_do_not_sort_by_time_are_refused(date_format: str) -> None:
    with pytest.raises(ValueError, match="do not sort by time"):
        PartitionScheme.from_secor(granularity="day", date=("dt=", date_format))
