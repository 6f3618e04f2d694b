"""Which types of a partition can be read as its table's."""

from __future__ import annotations

import pytest

from embedded.partition_schema import can_coerce, partition_as_table
from embedded.sql.errors import TrinoError
from embedded.sql.types import parse_hive_type

TEXT = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"


@pytest.mark.parametrize(
    ("found", "wanted", "can"),
    [
        ("int", "int", True),
        ("int", "bigint", True),
        ("bigint", "int", False),
        ("int", "double", False),
        ("float", "double", True),
        ("double", "decimal(10,2)", True),
        ("string", "bigint", True),
        ("int", "string", True),
        ("varchar(3)", "string", True),
        ("double", "string", False),
        ("timestamp", "date", False),
        ("array<int>", "array<bigint>", True),
        ("array<int>", "array<double>", False),
        ("map<string,int>", "map<string,bigint>", True),
        ("struct<a:int>", "struct<a:bigint,b:string>", True),
        ("struct<a:int>", "struct<b:int>", False),
        ("array<int>", "int", False),
    ],
)
def test_coercions(found: str, wanted: str, can: bool) -> None:
    assert can_coerce(parse_hive_type(found), parse_hive_type(wanted)) is can


def table(serde: str, **columns: str) -> dict[str, object]:
    described = [{"Name": name, "Type": text} for name, text in columns.items()]
    return {
        "DatabaseName": "d",
        "Name": "t",
        "StorageDescriptor": {"Columns": described, "SerdeInfo": {"SerializationLibrary": serde}},
    }


def columns(**types: str) -> dict[str, object]:
    return {"Columns": [{"Name": name, "Type": text} for name, text in types.items()]}


def test_text_is_matched_by_position_and_the_rest_by_name() -> None:
    by_name = table("org.openx.data.jsonserde.JsonSerDe", a="int", b="string", c="date")
    _, absent = partition_as_table(by_name, columns(b="string", a="int"), "dt=1")
    assert absent == {"c"}
    by_position = table(TEXT, a="int", b="string", c="date")
    _, absent = partition_as_table(by_position, columns(other="int", further="string"), "dt=1")
    assert absent == {"c"}
    with pytest.raises(TrinoError, match="declared as type 'date', but partition 'dt=1' declared column 'z' as type"):
        partition_as_table(by_position, columns(x="int", y="string", z="boolean"), "dt=1")


def test_a_partition_that_says_nothing_is_as_its_table() -> None:
    declared = table(TEXT, a="int")
    as_table, absent = partition_as_table(declared, {}, "dt=1")
    assert as_table == declared
    assert not absent
