"""A constant JSON path answers the same whether DuckDB runs it or Python: texts on which the two could differ."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from embedded.sql.functions.json import json_array_length, json_extract, json_extract_scalar
from tests.sql_executor import execute

VALUES = (
    '1', '0', '-0', '1.10', '-2.50', '1e5', '1E-7', '12345678.9', '123456789012345678901', '1e400', 'true', 'null',
    '"x"', '"{"', '"[1"', '"1.5"', '"a\\"b"', '"\\u0041"', '"é"', '""', 'NaN', '-Infinity', 'nul', '"t\tb"', '"nan"',
    '01', '1.', '"\\ud83d"', '[1.10]', '[1,]', '{"b":1,}', '{"b":1.0,"b":2}', '[0, {"b": 5e3}]', '{"0":{"b":7}}',
    '{"b":NaN}', '[', '{}',
)  # fmt: skip
FRAMES = (
    '{"a":%s}',
    '{"x":[1,],"a":%s}',
    '{"a":%s} x',
    '{"x":%s,"a":1}',
    '{"a":%s,"a":9}',
    '{"c":{"a":1.10},"a": %s',
    "[%s]",
)
TEXTS = [frame % value for frame in FRAMES for value in VALUES]
PATHS = ("$.a", "$.a.b", "$.a[0]", "$.a[1].b", "$[0]", "$.x.b")


def answers(call: str) -> dict[str, str | None]:
    """What a query answers for each of the texts."""
    rows = ", ".join(f"({index}, '{text}')" for index, text in enumerate(TEXTS))
    found = execute(f"SELECT i, {call} FROM (VALUES {rows}) t(i, text)")[1]
    return {TEXTS[int(str(index))]: answer for index, answer in found}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("name", "function"), [("json_extract_scalar", json_extract_scalar), ("json_extract", json_extract)]
)
def test_paths(name: str, function: Callable[[str, str], str | None], path: str) -> None:
    assert answers(f"{name}(text, '{path}')") == {text: function(text, path) for text in TEXTS}


def test_lengths_of_arrays() -> None:
    expected = {text: json_array_length(text) for text in TEXTS}
    assert answers("CAST(json_array_length(text) AS varchar)") == {
        text: None if length is None else str(length) for text, length in expected.items()
    }
