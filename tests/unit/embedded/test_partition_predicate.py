"""The partition predicate: what the catalogue is asked, and which partitions pass."""

from __future__ import annotations

import itertools

import pytest
import sqlglot

from embedded.partition_predicate import NULL_PARTITION, catalogue_expression, equal_texts, partition_filter
from embedded.sql.types import BIGINT, DATE, VARCHAR

KEYS = {"dt": VARCHAR, "hr": VARCHAR, "n": BIGINT, "d": DATE}


def parsed(text: str) -> sqlglot.exp.Expr:
    return sqlglot.parse_one(text, dialect="trino")


@pytest.mark.parametrize(
    ("predicate", "expression"),
    [
        ("dt = '2020-01-01'", "dt = '2020-01-01'"),
        ("'b' >= dt AND hr > 'it''s'", "dt <= 'b' AND hr > 'it''s'"),
        ("dt BETWEEN 'a' AND 'b'", "dt >= 'a' AND dt <= 'b'"),
        ("(dt IN ('a', 'b')) AND n = 5", "dt IN ('a', 'b')"),
        ("dt = 'a' OR dt = 'b'", None),
        ("n = 5", None),
        ("dt || 'x' = 'ax'", None),
        ("dt <> 'a'", None),
    ],
)
def test_the_catalogue_is_asked_what_it_answers_alike(predicate: str, expression: str | None) -> None:
    assert catalogue_expression(parsed(predicate), KEYS) == expression


@pytest.mark.parametrize(
    ("predicate", "row", "passes"),
    [
        ("dt = 'a'", ("a", "1", "1", "2020-01-01"), True),
        ("dt = 'a'", ("b", "1", "1", "2020-01-01"), False),
        ("n > 9", ("a", "1", "10", "2020-01-01"), True),
        ("n > 9", ("a", "1", "9", "2020-01-01"), False),
        ("d >= DATE '2020-01-02'", ("a", "1", "9", "2020-01-01"), False),
        ("dt = 'a' OR (hr = '1' AND n = 2)", ("b", "1", "2", "2020-01-01"), True),
        ("NOT (dt = 'a')", ("a", "1", "2", "2020-01-01"), False),
        ("dt IS NULL", (NULL_PARTITION, "1", "2", "2020-01-01"), True),
        ("dt = 'a'", (NULL_PARTITION, "1", "2", "2020-01-01"), False),
        ("NOT (dt = 'a')", (NULL_PARTITION, "1", "2", "2020-01-01"), False),
        ("dt IS NULL OR dt = 'a'", ("a", "1", "2", "2020-01-01"), True),
        ("dt LIKE 'a%'", ("abc", "1", "2", "2020-01-01"), True),
        ("dt LIKE 'a_'", ("abc", "1", "2", "2020-01-01"), False),
        ("dt || '-' || hr = 'a-1'", ("a", "1", "2", "2020-01-01"), True),
        ("dt = 5", ("a", "1", "2", "2020-01-01"), True),
        ("n = 1", ("a", "1", "no number", "2020-01-01"), True),
        ("unknown_function(dt) = 'x' AND hr = '2'", ("a", "1", "2", "2020-01-01"), False),
        ("unknown_function(dt) = 'x' OR hr = '2'", ("a", "1", "2", "2020-01-01"), True),
    ],
)
def test_partitions_pass_unless_no_row_can(predicate: str, row: tuple[str, ...], passes: bool) -> None:
    allows = partition_filter(parsed(predicate), KEYS)
    assert (allows is None or allows(row)) is passes


def test_equal_texts() -> None:
    assert equal_texts(parsed("dt > 'a' AND hr = '1'"), "hr") == ["1"]
    assert equal_texts(parsed("n IN (1, 2)"), "n") == ["1", "2"]
    assert equal_texts(parsed("hr > '1'"), "hr") is None
    assert equal_texts(parsed("hr = '1' OR hr = '2'"), "hr") is None


def test_no_allowed_partition_is_ever_dropped() -> None:
    """Against Python's own evaluation of the same condition over every small partition."""
    values = ["a", "b", "c"]
    for left, right, sign in itertools.product(values, values, ("<", "<=", "=", ">", ">=", "<>")):
        allows = partition_filter(parsed(f"dt {sign} '{left}' AND (hr = '{right}' OR dt = hr)"), KEYS)
        assert allows is not None
        for dt, hr in itertools.product(values, values):
            first = {
                "<": dt < left,
                "<=": dt <= left,
                "=": dt == left,
                ">": dt > left,
                ">=": dt >= left,
                "<>": dt != left,
            }[sign]
            assert allows((dt, hr, "1", "2020-01-01")) == (first and (hr == right or dt == hr))
