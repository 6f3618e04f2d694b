"""Projected partitions, as the properties of a table say."""

# ruff: noqa: E501 - tables of values

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlglot

from embedded.partition_projection import projected_partitions
from embedded.sql.errors import TrinoError
from embedded.sql.types import VARCHAR

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def values(properties: dict[str, str], predicate: str | None = None, keys: tuple[str, ...] = ("k",)) -> list[str]:
    condition = sqlglot.parse_one(predicate, dialect="trino") if predicate else None
    found = projected_partitions(properties, dict.fromkeys(keys, VARCHAR), "s3://b/t", condition, NOW)
    return ["/".join(partition.values) for partition in found]


def k(**properties: str) -> dict[str, str]:
    return {f"projection.k.{name.replace('_', '.')}": value for name, value in properties.items()}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (k(type=" Enum ", values="a, b,c"), ["a", " b", "c"]),
        (k(type="integer", range="1,7", interval="3"), ["1", "4", "7"]),
        (k(type="integer", range="8,11", digits="3"), ["008", "009", "010", "011"]),
        (k(type="date", format="yyyy-MM-dd", range="2020-02-28,2020-03-01"), ["2020-02-28", "2020-02-29", "2020-03-01"]),
        (k(type="date", format="yyyy/MM", range="2019/12,2020/02"), ["2019/12", "2020/01", "2020/02"]),
        (k(type="date", format="yyyy-MM-dd-HH", range=" NOW - 2 HOURS ,NOW", interval_unit="hours"), ["2026-11-22-10", "2026-11-22-11", "2026-11-22-12"]),
        (k(type="date", format="yyyy-MM-dd", range="NOW-1DAY,2026-11-22"), ["2026-11-21", "2026-11-22"]),
        (k(type="date", format="yyyy", range="2024,NOW", interval_unit="YEARS"), ["2024", "2025", "2026"]),
        (k(type="date", format="'day='yyyyMMdd", range="NOW-1DAYS,NOW+1DAYS", interval="1", interval_unit="DAYS"), ["day=20261121", "day=20261122", "day=20261123"]),
    ],
)  # fmt: skip
def test_values(properties: dict[str, str], expected: list[str]) -> None:
    assert values(properties) == expected


def test_a_predicate_keeps_the_product_small() -> None:
    properties = {
        **{f"projection.{key}.type": "integer" for key in ("a", "b", "c")},
        **{f"projection.{key}.range": "1,1000" for key in ("a", "b", "c")},
    }
    assert values(properties, "a = '5' AND b = '6' AND c IN ('7', '8')", ("a", "b", "c")) == ["5/6/7", "5/6/8"]
    with pytest.raises(TrinoError, match="1000000000 partitions"):
        values(properties, None, ("a", "b", "c"))


def test_locations() -> None:
    found = projected_partitions(
        {**k(type="enum", values="x"), "storage.location.template": "s3://b/${k}/${other}"},
        {"k": VARCHAR},
        "s3://b/t",
        None,
        NOW,
    )
    assert [partition.location for partition in found] == ["s3://b/x/${other}"]


@pytest.mark.parametrize(
    "properties",
    [
        {},
        k(type="nope"),
        k(type="enum"),
        k(type="integer", range="a,b"),
        k(type="integer", range="1,2", interval="0"),
        k(type="date", range="NOW,NOW"),
        k(type="date", format="yyyy", range="x,NOW"),
        k(type="date", format="QQ", range="NOW,NOW"),
        k(type="date", format="yyyy-MM-dd-HH-mm-ss", range="1900-01-01-00-00-00,NOW"),
        k(type="injected"),
        k(type="date", format="yyyy-MM-dd", range="now,NOW"),
        k(type="date", format="yyyy-MM-dd-HH", range="NOW-2HOURS,NOW"),
        k(type="date", format="yyyy-MM-dd", range="NOW-9999YEARS,NOW"),
    ],
)
def test_properties_without_sense_are_refused(properties: dict[str, str]) -> None:
    with pytest.raises(TrinoError):
        values(properties)
