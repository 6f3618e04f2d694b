from __future__ import annotations

import pytest

from glue.column_type import InvalidColumnType, parse_type


@pytest.mark.parametrize(
    ("text", "hive", "trino"),
    [
        ("string", "string", "varchar"),
        (" INT ", "int", "integer"),
        ("integer", "int", "integer"),
        ("float", "float", "real"),
        ("decimal", "decimal(10,0)", "decimal(10,0)"),
        ("decimal( 18 , 2 )", "decimal(18,2)", "decimal(18,2)"),
        ("varchar(20)", "varchar(20)", "varchar(20)"),
        ("array<string>", "array<string>", "array(varchar)"),
        ("map<string,array<int>>", "map<string,array<int>>", "map(varchar, array(integer))"),
        ("struct<a:int, b:map<string,double>>", "struct<a:int,b:map<string,double>>",
         'row("a" integer, "b" map(varchar, double))'),
    ],
)  # fmt: skip
def test_a_type_is_read_once_and_written_for_catalogue_and_sql(text: str, hive: str, trino: str) -> None:
    assert parse_type(text).hive() == hive
    assert parse_type(text).trino() == trino
    assert parse_type(hive) == parse_type(text)


@pytest.mark.parametrize(
    "text",
    ["", "strin", "decimal(39,2)", "decimal(2,3)", "array", "array<string", "array<string>>", "map<string>",
     "map<array<int>,int>", "struct<>", "struct<a:int,a:int>", "struct<1a:int>", "varchar", "varchar()", "int; DROP",
     "array<" * 40 + "int" + ">" * 40, "decimal(99999999999,1)", "int int"],
)  # fmt: skip
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidColumnType):
        parse_type(text)


@pytest.mark.parametrize(
    ("narrow", "wide", "is_safe"),
    [
        ("int", "bigint", True),
        ("bigint", "int", False),
        ("float", "double", True),
        ("int", "double", False),
        ("int", "string", False),
        ("decimal(10,2)", "decimal(12,2)", True),
        ("decimal(10,2)", "decimal(12,4)", False),
        ("varchar(10)", "varchar(20)", True),
        ("varchar(20)", "varchar(10)", False),
        ("varchar(20)", "string", True),
        ("array<int>", "array<bigint>", True),
        ("array<int>", "array<string>", False),
        ("map<string,int>", "map<string,bigint>", True),
        ("struct<a:int>", "struct<a:int,b:string>", True),
        ("struct<a:int,b:string>", "struct<a:int>", False),
        ("struct<a:int>", "struct<b:int>", False),
        ("timestamp", "string", False),
    ],
)
def test_which_types_may_become_which(narrow: str, wide: str, is_safe: bool) -> None:
    assert parse_type(narrow).widens_to(parse_type(wide)) is is_safe
    assert parse_type(narrow).widens_to(parse_type(narrow))
