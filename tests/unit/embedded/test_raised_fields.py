"""What a raised field gives in SQL on the embedded engine, and what RaisedReader gives of the same payload.

The reader may say less (None where it is not sure, which queries then compute), never something else; and for what
payloads usually hold it says all.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest

from glue.raised_field import RaisedField, RaisedReader
from service.sql import grammar
from service.sql.raised import raised_column
from tests.sql_executor import execute
from tests.unit.glue.specs import EVENTS

VALUES = [
    "1", "0", "-0", "-7", "200", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808",
    "18446744073709551615", "123456789012345678901234567890", "1.0", "1.50", "-0.0", "0.1", "1e2", "1E-7", "12.345",
    "0.005", "1.7976931348623157e308", "true", "false", "null",
    '"1"', '"0"', '" 1"', '"+1"', '"1.5"', '"1e3"', '"NaN"', '"abc"', '""', '"true"', '"T"', '"yes"', '"1d"', '"0x10"',
    '"2021-02-28"', '"2021-02-30"', '"2021-2-8"', '"20210228"', '"2021-02-28 10:00:00"', '"2021-02-28T10:00:00Z"',
    '"2021-02-28T10:00:00.125Z"', '"2021-02-28T10:00:00.1259Z"', '"2021-02-28T10:00:00+02:00"', '"2021-02-28T10:00:00"',
    '"2021-02-28T24:00:00Z"', '"2021-02-28 10:00:00 UTC"', '"2021-02-28 10:00:00.5"', '"9999-12-31T23:59:59-10:00"',
    r'"caf\u00e9"', r'"a\"b\\c\n"', '"\U0001f600"', "[]", "{}", "[1,2]", '["a",null]', '[1,"2"]', "[1.5]", "[[1],[2]]",
    '{"a":1}', '{"a":1,"b":"x"}', '{"A":1}', '{"a":{"a":2}}', '{"a":null}', '{"a":1,"a":2}', '[{"a":1},{"a":2}]',
]  # fmt: skip
SHAPES = [
    '{{"x":{0}}}',
    '{{"w":[],"x" : {0} , "z":{{"x":5}}}}',
    '{{"x":{0},"x":7}}',
    '{{"\\u0078":{0}}}',
    '{{"y":{{"x":{0}}}}}',
]
TYPES = [
    "boolean", "tinyint", "smallint", "int", "bigint", "double", "decimal(6,2)", "decimal(38,10)", "string", "date",
    "timestamp", "array<string>", "array<bigint>", "array<double>", "array<array<int>>", "map<string,bigint>",
    "map<string,string>", "struct<a:int,b:string>", "array<struct<a:bigint>>",
]  # fmt: skip
PAYLOADS = [shape.format(value) for shape in SHAPES for value in VALUES] + [
    "", "no json", "[]", "5", '{"x":', '{"x":1', '{"x":1}}', '{"w":1,}', '{"w":NaN,"x":1}', '{"x":1} trailing',
]  # fmt: skip


def sql_values(field: RaisedField, payloads: list[str]) -> list[str | None]:
    """The column as Athena's text; nested values as JSON text."""
    rows = ", ".join("(" + str(index) + ", '" + text.replace("'", "''") + "')" for index, text in enumerate(payloads))
    column = grammar.write(raised_column(EVENTS, field).this).replace('"x"', "NULL", 1)
    shown = f"json_format(CAST({column} AS JSON))" if field.column_type.is_nested else f"CAST({column} AS varchar)"
    _, found = execute(f'SELECT {shown} FROM (VALUES {rows}) AS t(n, "data") ORDER BY n')
    return [row[0] for row in found]


def as_sql_text(value: Any, is_nested: bool) -> str | None:
    if value is None:
        return None
    if is_nested:
        return json.dumps(_plain(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {key: _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def agrees(value: Any, told: str | None, field: RaisedField) -> bool:
    if field.type == "double" and value is not None and told is not None:
        return float(told) == value
    if field.column_type.name == "decimal" and value is not None and told is not None:
        return format(value, "f") == told
    if field.column_type.is_nested and told is not None and value is not None:
        mine, its = json.loads(as_sql_text(value, True) or ""), json.loads(told)
        return bool(mine == its or (value == [] and its == {}))
    return as_sql_text(value, False) == told


@pytest.mark.parametrize("column_type", TYPES)
def test_a_stored_value_is_the_computed_one(column_type: str) -> None:
    field = RaisedField("x", column_type, ("$.x", "$.y.x"), "")
    reader = RaisedReader([field])
    unsure = 0
    for payload, told in zip(PAYLOADS, sql_values(field, PAYLOADS), strict=True):
        (value,) = reader.values(payload)
        if value is None:
            unsure += told is not None
        else:
            assert agrees(value, told, field), (payload, value, told)
    assert unsure <= len(PAYLOADS) // 8


def test_what_payloads_usually_hold_is_never_unsure() -> None:
    usual = {
        "int": ["200", '"404"'],
        "bigint": ["1700000000000"],
        "double": ["12.55", "7", "0.0"],
        "string": ['"login"', "5", "true", "12.50"],
        "boolean": ["true", "false"],
        "timestamp": ['"2021-02-28T10:00:00Z"', '"2021-02-28T10:00:00.125Z"', '"2021-02-28 10:00:00"'],
        "date": ['"2021-02-28"'],
        "array<string>": ['["a","b"]', "[]"],
        "map<string,string>": ['{"a":"b"}'],
        "struct<a:int>": ['{"a":1}'],
    }
    for column_type, values in usual.items():
        field = RaisedField("x", column_type, ("$.x",), "")
        payloads = [f'{{"x":{value}}}' for value in values]
        for payload, told in zip(payloads, sql_values(field, payloads), strict=True):
            (value,) = RaisedReader([field]).values(payload)
            assert value is not None, payload
            assert agrees(value, told, field), (payload, value, told)
