"""Partition expressions: what SQLite answers equals an evaluation in Python, row by row."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.glue import Glue
from embedded.glue_filter import rank
from embedded.glue_partition_values import KeyKind, sort_key

KEYS = {"dt": "string", "hr": "int", "day": "date", "price": "decimal(10,2)"}
TEXTS = ["a", "b", "ab", "2026-01-01", "2026-01-02", "it's", "A_%", "*[x]?", "é"]
VALUES: dict[str, list[str]] = {
    "dt": TEXTS,
    "hr": ["0", "00", "7", "-3", "10", "x"],
    "day": ["2026-01-01", "2026-01-31", "2026-10-02", "__HIVE_DEFAULT_PARTITION__"],
    "price": ["0", "1.50", "1.5", "-2", "10", "1e3"],
}
ROWS = [
    [
        VALUES[key][(number * step + number // 7) % len(VALUES[key])]
        for key, step in zip(KEYS, (1, 1, 1, 5), strict=True)
    ]
    for number in range(150)
]


@pytest.fixture(scope="module")
def glue() -> Iterator[Glue]:
    with tempfile.TemporaryDirectory() as folder:
        found = Glue(Path(folder) / "catalogue.sqlite")
        found.create_database(DatabaseInput={"Name": "d"})
        keys = [{"Name": name, "Type": type_text} for name, type_text in KEYS.items()]
        found.create_table(DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": keys})
        for values in {tuple(row) for row in ROWS}:
            found.create_partition(DatabaseName="d", TableName="t", PartitionInput={"Values": list(values)})
        yield found
        found.close()


def typed(key: str, text: str) -> Any:
    """The value a text stands for; None when it is none of its key's type."""
    try:
        return {"dt": str, "hr": int, "day": date.fromisoformat, "price": Decimal}[key](text)
    except (ValueError, ArithmeticError):
        return None


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


literal_texts = {
    "dt": st.sampled_from([*TEXTS, "", "a%", "%2_", "zz"]),
    "hr": st.integers(-5, 12).map(str),
    "day": st.dates(date(2025, 12, 30), date(2026, 11, 1)).map(str),
    "price": st.sampled_from(["0", "1.50", "-1.99", "9.99", "10.0", "1000"]),
}

Node = tuple[Any, ...]
keys = st.sampled_from(list(KEYS))
comparisons = keys.flatmap(
    lambda key: st.tuples(
        st.just("compare"), st.just(key), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), literal_texts[key]
    )
)
memberships = keys.flatmap(
    lambda key: st.tuples(
        st.just("in"), st.just(key), st.booleans(), st.lists(literal_texts[key], min_size=1, max_size=4)
    )
)
betweens = keys.flatmap(
    lambda key: st.tuples(st.just("between"), st.just(key), st.booleans(), literal_texts[key], literal_texts[key])
)
likes = st.tuples(st.just("like"), st.just("dt"), st.booleans(), st.text(alphabet="ab%_A*[]?x2", max_size=5))
leaves = comparisons | memberships | betweens | likes
trees = st.recursive(
    leaves,
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
    max_leaves=8,
)


def text_of(node: Node) -> str:
    kind = node[0]
    if kind in {"and", "or"}:
        return f"({text_of(node[1])}) {kind.upper()} ({text_of(node[2])})"
    if kind == "not":
        return f"NOT ({text_of(node[1])})"
    key = node[1]
    if kind == "compare":
        shown = node[3] if key in {"hr", "price"} else quoted(node[3])
        return f"{key} {node[2]} {shown}"
    negation = "NOT " if node[2] else ""
    if kind == "in":
        return f"{key} {negation}IN ({', '.join(map(quoted, node[3]))})"
    if kind == "between":
        return f"{key} {negation}BETWEEN {quoted(node[3])} AND {quoted(node[4])}"
    return f"{key} {negation}LIKE {quoted(node[3])}"


def holds(node: Node, row: dict[str, str]) -> bool | None:
    """Three-valued: None is unknown, what a text that is no value of its type compares to."""
    kind = node[0]
    if kind == "and":
        sides = [holds(node[1], row), holds(node[2], row)]
        return False if False in sides else None if None in sides else True
    if kind == "or":
        sides = [holds(node[1], row), holds(node[2], row)]
        return True if True in sides else None if None in sides else False
    if kind == "not":
        side = holds(node[1], row)
        return None if side is None else not side
    key = node[1]
    value = typed(key, row[key])
    if value is None:
        return None
    if kind == "compare":
        other = typed(key, node[3])
        return bool(
            {
                "=": value == other,
                "<>": value != other,
                "<": value < other,
                "<=": value <= other,
                ">": value > other,
                ">=": value >= other,
            }[node[2]]
        )
    if kind == "in":
        found = value in [typed(key, text) for text in node[3]]
    elif kind == "between":
        found = typed(key, node[3]) <= value <= typed(key, node[4])
    else:
        pattern = "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in node[3])
        found = re.fullmatch(pattern, value, re.DOTALL) is not None
    return found != node[2]


@given(tree=trees)
@settings(max_examples=400, deadline=None)
def test_sqlite_answers_what_python_evaluates(glue: Glue, tree: Node) -> None:
    got = [row.values for row in glue.partitions("d", "t", text_of(tree))]
    expected = {tuple(row) for row in ROWS if holds(tree, dict(zip(KEYS, row, strict=True)))}
    assert len(got) == len(set(got))
    assert set(got) == expected


@given(tree=trees, size=st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_pages_together_are_the_whole(glue: Glue, tree: Node, size: int) -> None:
    expression = text_of(tree)
    whole = [list(row.values) for row in glue.partitions("d", "t", expression)]
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName="d", TableName="t", Expression=expression, PaginationConfig={"PageSize": size}
    )
    assert [partition["Values"] for page in pages for partition in page["Partitions"]] == whole


@given(text=st.text(max_size=40) | st.text(alphabet="dthr=<>'()AND ORNTIL0%_,\"`", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_answered_or_refused(glue: Glue, text: str) -> None:
    try:
        list(glue.partitions("d", "t", text))
    except glue.exceptions.InvalidInputException as error:
        assert error.response["Error"]["Message"]  # noqa: PT017  # refusal is one of two right outcomes


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6),
)
def test_decimal_sort_keys_order_as_the_numbers(left: Decimal, right: Decimal) -> None:
    def key(number: Decimal) -> Any:
        return rank(sort_key(KeyKind.DECIMAL, format(number, "f")))

    assert (key(left) < key(right), key(left) == key(right)) == (left < right, left == right)
