"""What compaction makes of a JSON value is what a query reads of it: a corpus of awkward values, type by type.

The same lines are read by the embedded Athena as JSON, and again as the Parquet object that compaction writes of them.
Lines whose reading compaction will not vouch for are left out here; in the lake their partition stays raw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from glue.compaction_columns import LineReader, UncertainLine
from glue.table_spec import ColumnSpec, TableSpec, load_table_specs
from tests.unit.embedded.athena_world import World

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
VALUES = (Path(__file__).parent / "json_values.txt").read_text(encoding="utf-8").splitlines()
LINES = [
    '{"id":%d}',
    '{"id":%d,"v":"x" }',
    ' {"id":%d,"v":"lead"}',
    '{"id":%d,"v":"trail"}  ',
    '{"id":%d,"v":"comma",}',
    '{"id":%d, "v":"x"} x',
    '{"id":%d}{"id":1}',
    "{'id':%d}",
    '{"id":%d,"v":"a","v":"b"}',
    '{"id":%d,"w":1,"w":2,"v":"kept"}',
    '{"id":%d,"v":"tab\tx"}',
    '{"id":%d,"v":NaN}',
    '{"id":%d,"v":"x" /* c */}',
    '{"id":%d,"v":01}',
    '{"id":%d,"v":.5}',
    '{"id":%d,"v":+1}',
    '{"id":%d,"v":1.}',
    "not json %d",
    '{"id":%d,"v":[1,2,],}',
    '{"id":%d,"v":{"a":"x",}}',
    '{"id":%d,"v"}',
    '{"id":"%d","v":"numbers as text"}',
    '{"id":%d.5,"v":"no number"}',
    '{"id":%d,"v":"\\u0041\\ud83d"}',
]
TYPES = [
    "string", "varchar(3)", "bigint", "int", "smallint", "tinyint", "double", "float", "decimal(6,2)", "decimal(38,10)",
    "boolean", "date", "timestamp", "binary", "array<int>", "array<string>", "map<string,string>", "map<string,int>",
    "map<string,array<int>>", "struct<a:int,b:string>", "array<struct<a:bigint>>",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("values"))
    made.create_database()
    yield made
    made.close()


def spec_with(hive_type: str) -> TableSpec:
    columns = (ColumnSpec("id", "bigint", ""), ColumnSpec("v", hive_type, ""))
    return replace(load_table_specs()["events"], columns=columns, time_column="id", arrival_column="id", raised=())


def both_readings(world: World, name: str, hive_type: str, lines: Sequence[bytes]) -> tuple[object, object]:
    """The answers to one query over these lines as JSON, and over what compaction reads of them as Parquet."""
    reader = LineReader(spec_with(hive_type))
    certain, tables, malformed = [], [], 0
    for line in lines:
        try:
            portion = reader.read([line], 1)
        except UncertainLine:
            continue
        certain.append(line)
        malformed += len(portion.malformed)
        tables.append(portion.table)
    assert len(certain) > len(lines) // 3
    again = reader.read(certain, 1)
    table = pyarrow.concat_tables(tables)
    assert repr(again.table.to_pylist()) == repr(table.to_pylist())  # NaN is not itself
    assert len(again.malformed) == malformed
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    columns = {"id": "bigint", "v": hive_type}
    world.create_table(f"{name}_raw", columns=columns, keys=())
    world.create_table(f"{name}_typed", columns=columns, keys=(), serde=PARQUET)
    world.put(f"secor/{name}_raw/a.json", b"\n".join(certain) + b"\n")
    world.put(f"secor/{name}_typed/a.parquet", sink.getvalue().to_pybytes())
    shown = "to_hex(v)" if hive_type == "binary" else "json_format(CAST(v AS json))" if "<" in hive_type else "v"
    sql = f"SELECT id, v IS NULL, {shown} FROM {name}_{{}} ORDER BY 1, 3"
    return world.rows(sql.format("raw")), world.rows(sql.format("typed"))


@pytest.mark.parametrize("hive_type", TYPES)
def test_values_are_what_a_query_reads(world: World, hive_type: str) -> None:
    lines = [b'{"id":%d,"v":%b}' % (number, value.encode()) for number, value in enumerate(VALUES)]
    name = "v_" + "".join(character if character.isalnum() else "_" for character in hive_type)
    raw, typed = both_readings(world, name, hive_type, lines)
    assert typed == raw


@pytest.mark.parametrize("hive_type", ["string", "double"])
def test_lines_are_what_a_query_reads(world: World, hive_type: str) -> None:
    lines = [(line % number if "%d" in line else line).encode() for number, line in enumerate(LINES)]
    lines += [b"\xff\xfe", b'{"id":98,"v":"\xff"}', b"", b"   "]
    raw, typed = both_readings(world, f"lines_{hive_type}", hive_type, lines)
    assert typed == raw
