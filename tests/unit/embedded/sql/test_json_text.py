"""JSON texts as Trino reads and writes them."""

from __future__ import annotations

import pytest

from embedded.sql.json_text import MalformedJson, canonical_json, java_double_text, json_string, place_of, whole_value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('{"b": 1, "a": [ 1.0, 1e10 ]}', '{"a":[1.0,1.0E10],"b":1}'),
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1e400", '"Infinity"'),
        ("18446744073709551616", "18446744073709551616"),
        ("[0.0001, 0.001, 12345678.9, 1234567.0]", "[1.0E-4,0.001,1.23456789E7,1234567.0]"),
        ('"\\u001f\\n\\/"', '"\\u001F\\n/"'),
        ('{"\U00010000":1,"\uff5e":2}', '{"\U00010000":1,"\uff5e":2}'),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert canonical_json(text) == canonical
    assert canonical_json(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,]", '{"a":1,}', "NaN", "01", "1.", "+1", ".5", "truex", '"a\tb"', "{} {}", "'a'", "[" * 100_000],
)
def test_malformed(text: str) -> None:
    with pytest.raises(MalformedJson):
        canonical_json(text)
    with pytest.raises(MalformedJson):
        whole_value(text)


def test_a_place_is_found_in_a_text_that_breaks_off_behind_it() -> None:
    text = '{"a": [1, {"b": 2}, '
    found = place_of(text, ("a", "1", "b"))
    assert found is not None
    assert text[found] == "2"
    with pytest.raises(MalformedJson):
        place_of(text, ("b",))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (0.00099, "9.9E-4"),
        (1e7, "1.0E7"),
        (9999999.0, "9999999.0"),
        (-1.5e300, "-1.5E300"),
        (-0.0, "-0.0"),
    ],
)
def test_doubles(value: float, text: str) -> None:
    assert java_double_text(value) == text


def test_strings() -> None:
    assert json_string('a"\\/\x00\x1f\x7fé') == '"a\\"\\\\/\\u0000\\u001F\x7fé"'
