"""What a JSON value may become: the same answer on the fast road, by its rules a value at a time, and once known."""

from __future__ import annotations

import orjson
import pytest

from embedded.serde.json_values import misfit
from embedded.sql.types import parse_hive_type
from tests.unit.embedded.athena_world import World

NOT = object()
CASES: list[tuple[str, str, object]] = [
    *(("bigint", raw, NOT) for raw in ("1.5", "true", "false", "1e-7", "1e300", "9223372036854775808", "{}", "[]")),
    *(("bigint", raw, NOT) for raw in ("-9223372036854775809", "-9223372036854775809.0", '"1.5"', '"true"', '""')),
    *(("bigint", raw, "11000") for raw in ("11000", "11000.0", "1.1e4", "1.1E4", '"11000"')),
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint", "-0.0", "0"),
    ("bigint", "null", None),
    ("tinyint", "127.0", "127"),
    ("tinyint", "128", NOT),
    ("int", "2147483648", NOT),
    ("int", "0.5", NOT),
    *(("boolean", raw, NOT) for raw in ("1", "0", "1.5", '"maybe"', "{}")),
    *(("boolean", raw, "true") for raw in ("true", '"true"')),
    ("boolean", "null", None),
    *(("double", raw, NOT) for raw in ("true", "false", '"true"', '"x"', "[]")),
    *(("double", raw, "1.5") for raw in ("1.5", '"1.5"', "15e-1")),
    ("float", "false", NOT),
    *(("decimal(10,2)", raw, NOT) for raw in ("true", "123456789012", '"x"')),
    *(("decimal(10,2)", raw, "1.50") for raw in ("1.5", '"1.5"')),
    *(("date", raw, NOT) for raw in ("true", "1.5", "20200101", '"soon"')),
    ("date", '"2020-01-01"', "2020-01-01"),
    *(("timestamp", raw, NOT) for raw in ("true", "{}", '"true"')),
    *(("binary", raw, NOT) for raw in ("true", "1234", "{}")),
    ("binary", '"AQI="', "01 02"),
    ("string", "true", "true"),
    ("string", "1.5", "1.5"),
    ("array<int>", "[1, 2.0]", "[1, 2]"),
    ("array<int>", "[]", "[]"),
    ("array<int>", "[1, null]", "[1, null]"),
    *(("array<int>", raw, NOT) for raw in ("[1, 2.5]", "[true]", "{}", "5")),
    ("array<array<int>>", "[[1], [2.5]]", NOT),
    ("array<array<int>>", "[[1], null, []]", "[[1], null, []]"),
    ("map<string,bigint>", '{"a": 1.0}', "{a=1}"),
    *(("map<string,bigint>", raw, NOT) for raw in ('{"a": true}', '{"a": 1.5}', "[]")),
    ("struct<x:int,y:string>", '{"x": 1, "y": true, "z": 1.5}', "{x=1, y=true}"),
    ("struct<x:int,y:string>", '{"y": "s"}', "{x=null, y=s}"),
    *(("struct<x:int,y:string>", raw, NOT) for raw in ('{"x": 1.5}', '{"x": true}', "[]", "7")),
    ("array<struct<x:boolean>>", '[{"x": true}, {}]', "[{x=true}, {x=null}]"),
    ("array<struct<x:boolean>>", '[{"x": 1}]', NOT),
]


@pytest.mark.parametrize(("hive_type", "raw", "shown"), CASES)
def test_no_value_is_bent(world: World, hive_type: str, raw: str, shown: object) -> None:
    world.create_table(keys=(), columns={"n": "string", "v": hive_type})
    world.put("secor/events/a.json", f'{{"n":"first"}}\n{{"n":"this","v":{raw}}}\n'.encode())
    expected = [("first", None)] if shown is NOT else [("first", None), ("this", shown)]
    for _ in range(2):  # the first time nobody knows the file, the second time its verdict is known
        assert world.rows("SELECT n, v FROM events") == expected
    rows = world.athena.malformed_rows(world.run("SELECT n FROM events")["QueryExecutionId"])
    assert [row.line for row in rows.samples] == ([2] if shown is NOT else [])


@pytest.mark.parametrize(("hive_type", "raw", "shown"), [case for case in CASES if case[2] is not NOT])
def test_the_rules_a_value_at_a_time_refuse_no_more(hive_type: str, raw: str, shown: object) -> None:
    assert misfit(orjson.loads(raw), parse_hive_type(hive_type)) is None


def test_files_that_spell_a_key_in_two_ways_are_held_to_the_same(world: World) -> None:
    world.create_table(keys=(), columns={"customerid": "bigint", "s": "struct<x:int>"})
    rows = b'{"customerid":5,"s":{"x":1,"q":2}}\n{"CustomerId":1.5}\n{"CUSTOMERID":true}\n{"CustomerId":6}\n'
    world.put("secor/events/a.json", rows)
    for _ in range(2):
        assert world.rows("SELECT customerid, s FROM events ORDER BY 1") == [("5", "{x=1}"), ("6", None)]
    found = world.athena.malformed_rows(world.run("SELECT 1 FROM events")["QueryExecutionId"])
    assert [row.line for row in found.samples] == [2, 3]
