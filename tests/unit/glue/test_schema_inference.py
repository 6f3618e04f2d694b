"""Types that nobody declared: the lattice's laws, JSON and CSV as a crawler's classifiers read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue.column_type import ColumnType, parse_type
from glue.schema_inference import (
    NOTHING,
    Column,
    Schema,
    csv_schema,
    joined,
    joined_schemas,
    json_schema,
    settled,
    similarity,
    value_type,
)

_NAMES = st.sampled_from(["a", "b", "c"])
_SCALARS = st.sampled_from(["boolean", "int", "bigint", "double", "string"]).map(ColumnType) | st.just(NOTHING)
_TYPES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.builds(lambda item: ColumnType("array", items=(item,)), inner)
        | st.dictionaries(_NAMES, inner, max_size=3).map(
            lambda fields: ColumnType("struct", items=tuple(fields.values()), fields=tuple(fields))
        )
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def sorted_fields(found: ColumnType) -> Any:
    """A type without the order of its fields."""
    if found.name == "struct":
        return "struct", sorted(
            (name, sorted_fields(item)) for name, item in zip(found.fields, found.items, strict=True)
        )
    return found.name, [sorted_fields(item) for item in found.items]


@given(_TYPES, _TYPES, _TYPES)
@settings(deadline=None)
def test_the_order_in_which_rows_are_met_does_not_matter(one: ColumnType, two: ColumnType, three: ColumnType) -> None:
    assert joined(one, one) == one
    assert sorted_fields(joined(one, two)) == sorted_fields(joined(two, one))
    assert sorted_fields(joined(joined(one, two), three)) == sorted_fields(joined(one, joined(two, three)))
    assert joined(one, NOTHING) == one


@given(st.lists(_VALUES, min_size=1, max_size=4))
@settings(deadline=None)
def test_every_value_has_a_type_of_the_catalogue(values: list[Any]) -> None:
    found = NOTHING
    for value in values:
        found = joined(found, value_type(value))
    assert parse_type(settled(found).hive()).hive() == settled(found).hive()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2**31], "bigint"),
        ([1, 1.5], "double"),
        ([2**63], "double"),
        ([True, None], "boolean"),
        ([True, 1], "string"),
        ([1, "a"], "string"),
        ([None], "string"),
        ([{}], "string"),
        ([[]], "array<string>"),
        ([[1], [2.5]], "array<double>"),
        ([{"a": 1}, {"b": "x", "a": 2**40}], "struct<a:bigint,b:string>"),
        ([{"a": 1}, 7], "string"),
        ([[{"a": 1}], [{"b": None}]], "array<struct<a:int,b:string>>"),
    ],
)
def test_types_of_values(values: list[Any], expected: str) -> None:
    found = NOTHING
    for value in values:
        found = joined(found, value_type(value))
    assert settled(found).hive() == expected


def test_a_value_nested_without_end_is_text_somewhere() -> None:
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    assert settled(value_type(nested)).hive().count("array<") == 50


def columns(schema: Schema | None) -> dict[str, str]:
    assert schema is not None
    return {column.name: column.hive() for column in schema.columns}


class TestJson:
    @pytest.mark.parametrize(
        ("text", "expected", "rows"),
        [
            (b'{"A":1}\n{"b":"x"}\n\n', {"a": "int", "b": "string"}, 2),
            (b'{"a":1}\n{"broken\n{"a":2.5}\n', {"a": "double"}, 2),
            (b'{\n "a": 1\n}\n{\n "a": 2\n}', {"a": "int"}, 2),
            (b'[{"a":1},{"a":2}]', {"array": "array<struct<a:int>>"}, 1),
            (b'{"Records":[{"x":1},{"y":"z"}]}', {"records": "array<struct<x:int,y:string>>"}, 1),
            (b'{"ID":1,"id":2.5}', {"id": "double"}, 1),
            (b'{"id.orig_h":"10.0.0.1"}', {"id.orig_h": "string"}, 1),
        ],
    )
    def test_values_one_after_another(self, text: bytes, expected: dict[str, str], rows: int) -> None:
        schema = json_schema(text, is_whole=True)
        assert columns(schema) == expected
        assert schema is not None
        assert schema.row_count == rows

    @pytest.mark.parametrize("text", [b"", b"7\n8\n", b'"text"', b"{", b'{"a":', b"[" * 100_000, b"\xff\xfe{}"])
    def test_what_is_none(self, text: bytes) -> None:
        assert json_schema(text, is_whole=True) is None

    def test_the_end_may_be_cut_off(self) -> None:
        text = b'{"a":1}\n{"a":"cu'
        assert columns(json_schema(text, is_whole=False)) == {"a": "int"}
        spanning = json.dumps({"a": 1}, indent=1).encode() * 2
        assert columns(json_schema(spanning[:-2], is_whole=False)) == {"a": "int"}


class TestCsv:
    def test_a_header_is_told_by_rows_that_are_not_text(self) -> None:
        found = csv_schema("timestamp,value\n2014-02-14 14:30:00,0.132\n2014-02-14 14:35:00,1\n", is_whole=True)
        assert found is not None
        assert columns(found[0]) == {"timestamp": "string", "value": "double"}
        assert (found[1].has_header, found[1].delimiter, found[0].row_count) == (True, ",", 2)

    def test_all_text_has_no_header(self) -> None:
        found = csv_schema("name,city\nanna,berlin\n", is_whole=True)
        assert found is not None
        assert (columns(found[0]), found[1].has_header) == ({"col0": "string", "col1": "string"}, False)

    @pytest.mark.parametrize("delimiter", ["|", "\t", ";", "\x01"])
    def test_other_delimiters(self, delimiter: str) -> None:
        found = csv_schema(f"a{delimiter}b\n1{delimiter}2\n3{delimiter}4\n", is_whole=True)
        assert found is not None
        assert (columns(found[0]), found[1].delimiter) == ({"a": "bigint", "b": "bigint"}, delimiter)

    @pytest.mark.parametrize(
        "text", ["", "one column\nonly\n", "a,b\n", "a,b\n1,2,3\n", "just a line of text, with a comma\nand none\n"]
    )
    def test_what_is_none(self, text: str) -> None:
        assert csv_schema(text, is_whole=True) is None

    def test_a_thousand_rows_are_read(self) -> None:
        text = "a,b\n" + "1,2\n" * 1000 + "x,y\n" * 5
        found = csv_schema(text, is_whole=True)
        assert found is not None
        assert (columns(found[0]), found[0].row_count) == ({"a": "bigint", "b": "bigint"}, 1000)

    def test_quotes_and_a_cut_end(self) -> None:
        found = csv_schema('id,note\n1,"a, b"\n2,"x\ny"\n3,"cut', is_whole=False)
        assert found is not None
        assert columns(found[0]) == {"id": "bigint", "note": "string"}


def test_similarity_is_the_share_of_columns_that_agree() -> None:
    def schema(**types: str) -> Schema:
        return Schema(tuple(Column(name, parse_type(text)) for name, text in types.items()))

    one = schema(a="int", b="string", c="double")
    assert similarity(one, one) == 1
    assert similarity(one, schema(a="bigint", b="string", c="int")) == 1
    assert similarity(one, schema(a="string", b="string", c="double")) == pytest.approx(2 / 3)
    assert similarity(one, schema(d="int")) == 0
    assert similarity(schema(), schema()) == 1
    assert joined_schemas([one, schema(d="int")]).types().keys() == {"a", "b", "c", "d"}
