"""Reading raised fields of many payloads at once gives what reading each by itself gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue.raised_field import RaisedField, RaisedReader

FIELDS = [
    RaisedField("status", "int", ("$.status", "$.request.status"), "two paths"),
    RaisedField("size", "bigint", ("$.size",), "a wide number"),
    RaisedField("ratio", "double", ("$.ratio",), "a fraction"),
    RaisedField("price", "decimal(10,2)", ("$.price",), "a decimal"),
    RaisedField("is_open", "boolean", ("$.open",), "a boolean"),
    RaisedField("name", "string", ("$.request.name", "$.name", '$["a/b"]'), "three paths, a slash"),
    RaisedField("first", "string", ("$.tags[0]",), "an element"),
    RaisedField("tags", "array<string>", ("$.tags",), "nested"),
    RaisedField("at", "timestamp", ("$.at",), "a time"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "5", "x", "true", "2026-11-22T10:00:00Z", 'a "quoted": text', "back\\", "é"]),
)
NAMES = st.sampled_from(
    ["status", "size", "ratio", "price", "open", "name", "tags", "at", "request", "other", "a/b", "na\\me", 'na"me']
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=6
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    """An object as text, by any writer: blanks or none, escapes or none, names that stand twice."""
    members = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    is_tight, is_ascii = draw(st.booleans()), draw(st.booleans())
    comma, colon = (",", ":") if is_tight else (", ", " : ")
    written = [
        json.dumps(name, ensure_ascii=is_ascii)
        + colon
        + json.dumps(value, ensure_ascii=is_ascii, separators=(comma, colon))
        for name, value in members
    ]
    return "{" + comma.join(written) + "}"


PAYLOADS = st.lists(
    st.one_of(
        objects(),
        st.none(),
        st.sampled_from(
            ["", "null", "5", "[]", '["x"]', "{", "not JSON", "[1", "2],3", '{"status":-0}', '{"name":1.10}',
             '{"st\\u0061tus":1,"status":2}', '{"request":{"name":"a","name":"b"}}', '{"size":1e3}', '{"ratio":1e999}']
        ),
    ),
    max_size=12,
)  # fmt: skip


@given(PAYLOADS)
def test_columns_are_the_values_of_each_payload(payloads: list[str | None]) -> None:
    _same(payloads)


@given(st.lists(objects() | st.none(), max_size=12))
def test_columns_of_objects_alone(payloads: list[str | None]) -> None:
    _same(payloads)


@pytest.mark.parametrize(
    "payloads",
    [
        ['{"status":500,"name":"a"}', '{"request":{"status":404,"name":"b"}}', "{}"],
        ['{"status":500,"name":"a"}', '{"status":2147483648}'],
        ['{"status":{"a":1},"request":{"status":7}}'],
        ['{"status":1,"status":2}', '{"status":3}'],
        ['{"name":"1"}', '{"name":1}', '{"name":1.10}', '{"name":-0}'],
    ],
)
def test_columns_of_these(payloads: list[str | None]) -> None:
    _same(payloads)


def _same(payloads: list[str | None]) -> None:
    reader = RaisedReader(FIELDS)
    rows = [reader.values(data) for data in payloads]
    columns = reader.columns(payloads)
    assert len(columns) == len(FIELDS)
    for position, column in enumerate(columns):
        expected = [row[position] for row in rows]
        assert repr(list(column)) == repr(expected), FIELDS[position].name
