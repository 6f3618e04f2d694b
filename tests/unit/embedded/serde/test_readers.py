"""Each SerDe's way to read values, through queries of the embedded Athena."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow
import pyarrow.orc
import pytest

from embedded.serde.avro import avro_table, write_avro
from embedded.serde.grok import grok_expression
from tests.unit.embedded.athena_world import World

LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
REGEX = "org.apache.hadoop.hive.serde2.RegexSerDe"
GROK = "com.amazonaws.glue.serde.GrokSerDe"
ORC = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"
AVRO = "org.apache.hadoop.hive.serde2.avro.AvroSerDe"


def put(world: World, body: bytes, name: str = "part") -> None:
    world.put(f"secor/events/{name}", body)


def malformed(world: World) -> list[tuple[int, str]]:
    found = world.athena.malformed_rows(world.run("SELECT * FROM events")["QueryExecutionId"])
    return [(row.line, row.reason) for row in found.samples]


def test_delimited_by_hives_defaults(world: World) -> None:
    world.create_table(
        keys=(), serde=LAZY, columns={"s": "string", "n": "int", "a": "array<int>", "m": "map<string,int>", "st": "struct<x:int,y:string>"}  # noqa: E501
    )  # fmt: skip
    put(world, b"one\x011\x011\x022\x01a\x031\x02b\x03\\N\x017\x02seven\n\\N\x01\x01\\N\n")
    assert world.rows("SELECT * FROM events") == [
        ("one", "1", "[1, 2]", "{a=1, b=null}", "{x=7, y=seven}"),
        (None, None, None, None, None),
    ]


@pytest.mark.parametrize(("delimiter", "shown"), [(",", ","), ("\t", "\\t"), ("|", "|"), ("\t", "\t"), ("\x01", "1")])
def test_delimiters(world: World, delimiter: str, shown: str) -> None:
    world.create_table(
        keys=(),
        serde=LAZY,
        columns={"a": "string", "b": "double"},
        serde_properties={"field.delim": shown} if shown != "1" else {"serialization.format": "1"},
    )
    put(world, f"x{delimiter}1.5\ny\nz{delimiter}2{delimiter}surplus\n".encode())
    assert world.rows("SELECT a, b FROM events ORDER BY a") == [("x", "1.5"), ("y", None), ("z", "2.0")]


def test_escapes_and_null_text(world: World) -> None:
    world.create_table(keys=(), serde=LAZY, columns={"a": "string", "b": "string"},
                       serde_properties={"field.delim": ",", "escape.delim": "\\", "serialization.null.format": "NULL"})  # fmt: skip  # noqa: E501
    put(world, b"a\\,b,c\\\\d\nNULL,x\n")
    assert world.rows("SELECT a, b FROM events") == [("a,b", "c\\d"), (None, "x")]


def test_header_lines_are_skipped(world: World) -> None:
    world.create_table(
        keys=(),
        serde=LAZY,
        columns={"a": "int"},
        serde_properties={"field.delim": ","},
        parameters={"skip.header.line.count": "1"},
    )
    put(world, b"a\n1\n", "one.csv")
    put(world, gzip.compress(b"a\n2\n"), "two.csv.gz")
    assert world.rows("SELECT a FROM events ORDER BY 1") == [("1",), ("2",)]


def test_texts_that_do_not_fit_are_counted_with_their_line(world: World) -> None:
    world.create_table(
        keys=(),
        serde=LAZY,
        columns={"a": "int", "b": "date"},
        serde_properties={"field.delim": ","},
        parameters={"skip.header.line.count": "1"},
    )
    put(world, b"a,b\n1,2020-01-01\nx,2020-01-01\n3,soon\n4.5,\n5,\n")
    for _ in range(2):
        assert world.rows("SELECT a FROM events") == [("1",), ("5",)]
        assert world.rows("SELECT count(*) FROM events") == [("2",)]
    assert malformed(world) == [
        (3, "column a: expected integer, found x"),
        (4, "column b: expected date, found soon"),
        (5, "column a: expected integer, found 4.5"),
    ]


def test_bytes_that_are_not_utf8(world: World) -> None:
    world.create_table(keys=(), serde=LAZY, columns={"a": "string"}, serde_properties={"field.delim": ","})
    put(world, b"good\ncaf\xe9\n")
    assert world.rows("SELECT a FROM events") == [("good",), ("caf\ufffd",)]


def test_open_csv(world: World) -> None:
    world.create_table(keys=(), serde=CSV, columns={"a": "string", "n": "bigint", "d": "date", "t": "timestamp"})
    put(world, b'"x, ""y""",1,18262,1577836800000\n"",2,18263,0\nonly\n')
    assert world.rows("SELECT * FROM events") == [
        ('x, "y"', "1", "2020-01-01", "2020-01-01 00:00:00.000"),
        ("", "2", "2020-01-02", "1970-01-01 00:00:00.000"),
        ("only", None, None, None),
    ]


def test_open_csv_with_its_own_characters(world: World) -> None:
    world.create_table(
        keys=(),
        serde=CSV,
        columns={"a": "string", "b": "string"},
        serde_properties={"separatorChar": ";", "quoteChar": "'"},
    )
    put(world, b"'x;y';z\n")
    assert world.rows("SELECT a, b FROM events") == [("x;y", "z")]


def test_regex(world: World) -> None:
    world.create_table(
        keys=(),
        serde=REGEX,
        columns={"verb": "string", "status": "int"},
        serde_properties={"input.regex": r"(\w+) /\S* (\d+)"},
    )
    put(world, b"GET /a 200\nnonsense\nPUT /b 404\n")
    assert world.rows("SELECT * FROM events") == [("GET", "200"), (None, None), ("PUT", "404")]


@pytest.mark.parametrize("expression", ["(", "(?<=x)y", "(a+)+$" * 50])
def test_a_hostile_regex_harms_nobody(world: World, expression: str) -> None:
    world.create_table(keys=(), serde=REGEX, columns={"a": "string"}, serde_properties={"input.regex": expression})
    put(world, b"a" * 5000 + b"b\n")
    assert world.run("SELECT * FROM events")["Status"]["State"] in ("SUCCEEDED", "FAILED")


def test_grok(world: World) -> None:
    world.create_table(keys=(), serde=GROK, columns={"at": "string", "host": "string", "number": "int"},
                       serde_properties={"input.format": "%{SYSLOGTIMESTAMP:at} %{IPORHOST:host} %{MINE:number}", "input.grokCustomPatterns": "MINE n=\\d+|%{INT}"})  # fmt: skip # noqa: E501
    put(world, b"Feb  9 10:11:12 10.0.0.1 42\nnonsense\n")
    assert world.rows("SELECT * FROM events") == [("Feb  9 10:11:12", "10.0.0.1", "42"), (None, None, None)]


def test_grok_patterns_without_end_are_refused() -> None:
    with pytest.raises(Exception, match="without end"):
        grok_expression("%{A:a}", "A %{B}\nB %{A}")
    with pytest.raises(Exception, match="No grok pattern is called NOPE"):
        grok_expression("%{NOPE:a}")


def test_orc(world: World, tmp_path: Path) -> None:
    table = pyarrow.table({"a": ["x", None], "b": pyarrow.array([1, 2], pyarrow.int32())})
    pyarrow.orc.write_table(table, tmp_path / "a.orc")
    world.create_table(keys=(), serde=ORC, columns={"b": "int", "a": "string", "new": "string"})
    put(world, (tmp_path / "a.orc").read_bytes())
    put(world, b"not orc at all", "bad.orc")
    assert world.rows("SELECT b, a, new FROM events ORDER BY b") == [("1", "x", None), ("2", None, None)]
    assert [line for line, _ in malformed(world)] == [0]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_avro(world: World, codec: str) -> None:
    table = pyarrow.table(
        {"s": ["x", None], "n": [2**40, -1], "d": [1.5, None], "l": [[1, 2], []], "m": pyarrow.array([[("k", "v")], None], pyarrow.map_(pyarrow.string(), pyarrow.string())), "st": [{"x": 1}, None]}  # noqa: E501
    )  # fmt: skip
    body = b"".join(write_avro(iter(table.to_batches()), table.schema, codec))
    assert avro_table(body).to_pylist() == table.to_pylist()
    world.create_table(
        keys=(),
        serde=AVRO,
        columns={
            "s": "string",
            "n": "bigint",
            "d": "double",
            "l": "array<bigint>",
            "m": "map<string,string>",
            "st": "struct<x:bigint>",
        },
    )
    put(world, body)
    assert world.rows("SELECT * FROM events ORDER BY n DESC") == [
        ("x", str(2**40), "1.5", "[1, 2]", "{k=v}", "{x=1}"),
        (None, "-1", None, "[]", None, None),
    ]


@pytest.mark.parametrize("body", [b"", b"Obj\x01", b"Obj\x01" + b"\xff" * 50, b"nonsense"])
def test_a_broken_avro_file_is_counted(world: World, body: bytes) -> None:
    world.create_table(keys=(), serde=AVRO, columns={"s": "string"})
    put(world, body)
    assert world.rows("SELECT * FROM events") == []
    assert [line for line, _ in malformed(world)] == ([0] if body else [])


def test_a_broken_parquet_file_is_counted(world: World) -> None:
    world.create_table(
        keys=(), serde="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", columns={"s": "string"}
    )
    put(world, b"PAR1 this is no parquet PAR1", "bad.parquet")
    assert world.rows("SELECT * FROM events") == []
    assert [line for line, _ in malformed(world)] == [0]
