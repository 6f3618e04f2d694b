from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from glue.raised_field import InvalidRaisedField, RaisedField, RaisedReader, path_steps


def raised(column_type: str, *paths: str) -> RaisedField:
    return RaisedField("x", column_type, paths or ("$.x",), "about x")


def value(column_type: str, data: str | None, *paths: str) -> Any:
    (found,) = RaisedReader([raised(column_type, *paths)]).values(data)
    return found


def test_a_path_is_a_dollar_and_steps() -> None:
    assert path_steps('$.a["b c"][0]._d') == ("a", "b c", 0, "_d")


@pytest.mark.parametrize("path", ["", "$", "a", "$a", "$.", "$.a.", "$..a", "$.a[", "$.a['b']", "$.a b", "$.*", "$.1a"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidRaisedField):
        raised("int", path)


@pytest.mark.parametrize("column_type", ["json", "varchar(3)", "float", "binary", "array<date>", "map<string,binary>"])
def test_what_cannot_be_raised_is_refused(column_type: str) -> None:
    with pytest.raises(InvalidRaisedField, match="x: "):
        raised(column_type)


@pytest.mark.parametrize(
    ("column_type", "written", "expected"),
    [
        ("int", "5", 5),
        ("int", '"5"', 5),
        ("int", "5.0", None),
        ("int", "2147483648", None),
        ("bigint", "2147483648", 2147483648),
        ("bigint", "9223372036854775808", None),
        ("bigint", "18446744073709551616", None),
        ("bigint", '"soon"', None),
        ("bigint", "true", None),
        ("bigint", "null", None),
        ("bigint", "[1]", None),
        ("double", "1.5e3", 1500.0),
        ("double", "7", 7.0),
        ("double", '"0.25"', 0.25),
        ("double", "{}", None),
        ("decimal(6,2)", "1.005", Decimal("1.01")),  # as it is written, not as a double
        ("decimal(6,2)", "12345", None),
        ("decimal(38,0)", "12345678901234567890123456789", Decimal("12345678901234567890123456789")),
        ("string", '"a"', "a"),
        ("string", "1.50", "1.50"),
        ("string", "-0", "-0"),
        ("string", "12345678901234567890123", "12345678901234567890123"),
        ("string", "true", "true"),
        ("string", '{"y":1}', None),
        ("string", r'"\u00e9"', "é"),
        ("boolean", "false", False),
        ("boolean", '"TRUE"', True),
        ("boolean", "0", False),
        ("boolean", "2", None),
        ("date", '"2021-02-28"', date(2021, 2, 28)),
        ("date", '"2021-02-30"', None),
        ("timestamp", '"2021-02-28T10:00:00Z"', datetime(2021, 2, 28, 10)),  # noqa: DTZ001  naive, as columns are
        ("timestamp", '"2021-02-28T10:00:00.125+02:00"', datetime(2021, 2, 28, 8, 0, 0, 125_000)),  # noqa: DTZ001  same
        ("timestamp", '"2021-02-28 10:00:00.5"', datetime(2021, 2, 28, 10, 0, 0, 500_000)),  # noqa: DTZ001  same
        ("array<string>", '["a","b"]', ["a", "b"]),
        ("array<bigint>", '[1,null]', [1, None]),
        ("array<bigint>", '["x"]', None),
        ("map<string,double>", '{"a":1.5}', [("a", 1.5)]),
        ("map<string,double>", '{"a":1.5,"a":2}', None),
        ("struct<a:int,b:string>", '{"a":1,"c":2}', {"a": 1, "b": None}),
    ],
)  # fmt: skip
def test_a_value_is_taken_as_sql_takes_it(column_type: str, written: str, expected: object) -> None:
    found = value(column_type, f'{{"w": 0, "x": {written}}}')
    assert found == expected
    assert type(found) is type(expected)


def test_the_first_path_that_gives_a_value_wins() -> None:
    paths = ("$.status", "$.request.status")
    assert value("int", '{"request":{"status":404}}', *paths) == 404
    assert value("int", '{"status":"ok","request":{"status":404}}', *paths) == 404
    assert value("int", '{"status":200,"request":{"status":404}}', *paths) == 200


def test_of_repeated_keys_the_first_counts() -> None:
    assert value("int", '{"x":1,"x":2}') == 1
    assert value("int", r'{"\u0078":1,"x":2}') == 1
    assert value("int", '{"x":1,"x":null,"y":5}', "$.x", "$.y") == 1
    assert value("int", '{"a":{"x":1},"x":2}', "$.a.x", "$.x") == 1
    assert value("int", r'{"a\/b":1,"a/b":2}', '$["a/b"]') == 1


@pytest.mark.parametrize("data", [None, "", "no json", '{"x":1', "[" * 100_000, '{"x":' + "[" * 900 + "]" * 900 + "}"])
def test_a_payload_that_does_not_read_gives_nothing(data: str | None) -> None:
    assert value("int", data) is None


def test_steps_into_arrays_and_objects() -> None:
    data = '{"a":[{"b c":7}],"n":{"0":3}}'
    assert value("int", data, '$.a[0]["b c"]') == 7
    assert value("int", data, "$.a[1]") is None
    assert value("int", data, "$.n[0]") == 3
    assert value("int", data, "$.a.b") is None
