"""Each rule of partition projection by a pair: properties that keep it and properties that break it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from glue.projection_rules import RULES, ProjectedTable, partition_count, problems
from glue.projection_values import ENABLED, TEMPLATE

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
LOCATION = "s3://lake/t/"


def k(**properties: str) -> dict[str, str]:
    return {ENABLED: "true", **{f"projection.k.{name.replace('_', '.')}": text for name, text in properties.items()}}


def day(**properties: str) -> dict[str, str]:
    return k(**{"type": "date", "format": "yyyy-MM-dd", "range": "2026-01-01,NOW", **properties})


def number(**properties: str) -> dict[str, str]:
    return k(**{"type": "integer", "range": "0,23", **properties})


class Pair(NamedTuple):
    """`bad` breaks the rule, saying `why`; `good` does not. The key k has this Hive type."""

    good: dict[str, str]
    bad: dict[str, str]
    why: str
    key_type: str = "string"


_ENUM = k(type="enum", values="a,b")
_MANY = k(type="integer", range="1,1000001")
PAIRS: dict[str, list[Pair]] = {
    "enabled_is_a_switch": [
        Pair({**_ENUM, ENABLED: "FALSE"}, {**_ENUM, ENABLED: "yes"}, "'yes'"),
        Pair(_ENUM, {name: text for name, text in _ENUM.items() if name != ENABLED}, "is missing"),
    ],
    "there_are_partition_keys": [],  # a table without keys: see below
    "names_are_known": [
        Pair(number(digits="2"), number(digit="2"), "no property 'digit'"),
        Pair(_ENUM, {**_ENUM, "projection.other.type": "enum"}, "no partition key 'other'"),
        Pair(_ENUM, {**_ENUM, "projection.K.type": "enum"}, "no partition key 'K'"),
    ],
    "every_key_is_configured": [Pair(_ENUM, {ENABLED: "true"}, "missing projection configuration")],
    "types_are_known": [Pair(k(type=" ENUM ", values="a"), k(type="string"), "'string'")],
    "properties_fit_the_type": [
        Pair(number(digits="2"), number(format="HH"), "means nothing for type integer"),
        Pair(_ENUM, k(type="enum", values="a", range="1,2"), "means nothing for type enum"),
        Pair(k(type="injected"), k(type="injected", values="a"), "means nothing for type injected"),
    ],
    "enum_has_values": [
        Pair(_ENUM, k(type="enum"), "is missing"),
        Pair(_ENUM, k(type="enum", values="a,,b"), "empty value"),
    ],
    "enum_values_are_exact": [
        Pair(_ENUM, k(type="enum", values="a, b"), "' b'"),
        Pair(_ENUM, k(type="enum", values="a,a"), "twice"),
    ],
    "enum_is_short": [Pair(_ENUM, k(type="enum", values=",".join(map(str, range(49)))), "49 values")],
    "integer_range_is_a_pair": [
        Pair(number(range=" -1 , 8675309 "), k(type="integer"), "is missing"),
        Pair(number(range="0001,9999", digits="4"), number(range="1-9"), "not two whole numbers"),
        Pair(number(), number(range="0,NOW"), "not two whole numbers"),
        Pair(number(), number(range="0,9223372036854775808"), "64-bit"),
        Pair(number(range="5,5"), number(range="6,5"), "ends before it begins"),
    ],
    "interval_is_positive": [
        Pair(number(interval=" 5 "), number(interval="0"), "'0'"),
        Pair(day(interval="1"), day(interval="1.5"), "'1.5'"),
    ],
    "digits_are_positive": [Pair(number(digits="2"), number(digits="-2"), "'-2'")],
    "digits_are_given_for_padded_folders": [
        Pair(number(range="00,23", digits="2"), number(range="00,23"), "no leading zeros")
    ],
    "date_format_is_javas": [
        Pair(day(format="'dt='yyyyMMdd", range="NOW-3YEARS,NOW"), day(format="yyyy-MM-ddTHH"), "'T', which is no"),
        Pair(day(), k(type="date", range="NOW,NOW"), "is missing"),
        Pair(day(), day(format="yyyy-MM-dd'T"), "quote"),
        Pair(day(), day(format="'static'"), "tells no time"),
    ],
    "date_format_means_what_it_says": [
        Pair(day(), day(format="YYYY-MM-dd", range="NOW,NOW"), "year of the week"),
        Pair(day(), day(format="yyyy-MM-DD", range="NOW,NOW"), "day of the year"),
        Pair(day(), day(format="yyyy-mm-dd"), "the month is M"),
        Pair(day(format="HH:mm", range="NOW,NOW"), day(format="hh:mm", range="NOW,NOW"), "half a day"),
    ],
    "date_range_is_a_pair": [
        Pair(day(range="  NOW - 3 YEARS ,NOW+1MONTH"), k(type="date", format="yyyy"), "is missing"),
        Pair(day(), day(range="2026-01-01"), "not two dates"),
        Pair(day(), day(range="2026/01/01,NOW"), "neither a date"),
        Pair(day(), day(range="2026-02-30,NOW"), "neither a date"),
        Pair(day(), day(range="now-3YEARS,NOW"), "in capitals"),
        Pair(day(), day(range="NOW-3 FORTNIGHTS,NOW"), "neither a date"),
        Pair(day(), day(range="NOW-9999YEARS,NOW"), "neither a date"),
        Pair(day(), day(range="NOW+1DAY,NOW"), "ends before it begins"),
    ],
    "date_interval_is_given": [
        Pair(day(), day(format="yyyy-MM-dd-HH", range="NOW-1DAY,NOW", interval="1"), "interval.unit"),
        Pair(day(format="yyyy-MM", range="2026-01,NOW"), day(format="yyyy", range="2026,NOW"), "years"),
    ],
    "date_unit_is_known": [Pair(day(interval_unit="days"), day(interval_unit="DAILY"), "'DAILY'")],
    "date_steps_reach_every_folder": [
        Pair(day(interval_unit="WEEKS"), day(interval_unit="HOURS"), "finer than the format")
    ],
    "injected_is_text": [Pair(_ENUM, k(type="injected"), "only a string", "int")],
    "injected_needs_an_equality": [Pair(_ENUM, k(type="injected"), "k = '...'")],
    "key_types_fit": [
        Pair(number(), number(), "into a key of type double", "double"),
        Pair(day(), day(), "into a key of type boolean", "boolean"),
    ],
    "template_names_every_key": [
        Pair({**_ENUM, TEMPLATE: LOCATION + "${k}/x/"}, {**_ENUM, TEMPLATE: LOCATION + "x/"}, "has no ${k}"),
        Pair(_ENUM, {**_ENUM, TEMPLATE: LOCATION + "${k}/${j}/"}, "${j}"),
    ],
    "template_is_a_folder": [
        Pair({**_ENUM, TEMPLATE: LOCATION + "k=${k}/"}, {**_ENUM, TEMPLATE: LOCATION + "${k}"}, "end in a slash"),
        Pair(_ENUM, {**_ENUM, TEMPLATE: "s3a://lake/t/${k}/"}, "no s3:// location"),
        Pair(_ENUM, {**_ENUM, TEMPLATE: LOCATION + "${k}-old/"}, "not followed by one slash"),
        Pair(_ENUM, {**_ENUM, TEMPLATE: LOCATION + "${k}//x/"}, "not followed by one slash"),
    ],
    "template_lies_in_the_table": [
        Pair({**_ENUM, TEMPLATE: LOCATION + "${k}/"}, {**_ENUM, TEMPLATE: "s3://lake/other/${k}/"}, "not below")
    ],
    "not_too_many_partitions": [Pair(number(), _MANY, "1,000,001")],
}


def table(parameters: dict[str, str], key_type: str = "string") -> ProjectedTable:
    return ProjectedTable(parameters, {"k": key_type}, LOCATION, NOW)


def test_every_rule_has_a_pair() -> None:
    assert list(PAIRS) == [rule.__name__ for rule in RULES]


@pytest.mark.parametrize(
    ("rule", "pair"),
    [
        pytest.param(rule, pair, id=f"{rule.__name__}-{number}")
        for rule in RULES
        for number, pair in enumerate(PAIRS[rule.__name__])
    ],
)
def test_a_rule_tells_the_bad_from_the_good(rule: object, pair: Pair) -> None:
    assert callable(rule)
    good_type = "string" if pair.good == pair.bad else pair.key_type
    assert list(rule(table(pair.good, good_type))) == []
    found = list(rule(table(pair.bad, pair.key_type)))
    assert pair.why in " ".join(f"{problem.property} {problem.detail}" for problem in found)
    assert set(found) <= set(problems(table(pair.bad, pair.key_type)))


def test_a_table_without_keys_cannot_be_projected() -> None:
    found = problems(ProjectedTable(_ENUM, {}, LOCATION, NOW))
    assert "there_are_partition_keys" in {problem.rule for problem in found}


def test_a_table_without_properties_has_no_problems() -> None:
    assert problems(table({"classification": "json"})) == []


@pytest.mark.parametrize("bad", ["\0", "$", "${", "é", "1e400", "9" * 5000, "NOW+99999999999999999999YEARS", "', '"])
def test_no_text_makes_a_rule_fail(bad: str) -> None:
    for kind in ("enum", "integer", "date", "injected", bad):
        names = ("values", "range", "format", "interval", "interval_unit", "digits")
        found = k(type=kind, **dict.fromkeys(names, bad)) | {TEMPLATE: bad, f"projection.{bad}": bad}
        assert problems(table(found))
        found["projection.k.range"] = f"{bad},{bad}"
        problems(table(found))
        partition_count(table(found))
