"""Which files a query opens, and what it reads from them."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.unit.embedded.athena_world import DATABASE, LAKE, OPENX, World, event, lines, zipped

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


@pytest.fixture
def events(world: World) -> World:
    """Four minutes of events in two hours and two days, three events each."""
    world.create_table()
    for dt, hr, minute in (
        ("2026-01-01", "00", "05"),
        ("2026-01-01", "23", "55"),
        ("2026-01-02", "00", "00"),
        ("2026-01-02", "00", "05"),
    ):
        world.add_events(dt, hr, minute, zipped(*(event(n) for n in range(3))))
    return world


@pytest.mark.parametrize(
    ("condition", "files"),
    [
        ("true", 4),
        ("dt = '2026-01-01'", 2),
        ("'2026-01-01' = dt AND hr = '23'", 1),
        ("dt BETWEEN '2026-01-01' AND '2026-01-02' AND hr = '00'", 3),
        ("dt IN ('2026-01-02', '2027-01-01')", 2),
        ("dt > '2026-01-01'", 2),
        ("(dt = '2026-01-01' AND hr >= '23') OR (dt = '2026-01-02' AND min < '05')", 2),
        ("dt || '-' || hr = '2026-01-01-23'", 1),
        ("NOT dt = '2026-01-01'", 2),
        ("dt LIKE '2026-01-%2'", 2),
        ("dt = '2099-01-01'", 0),
        ("dt IS NULL", 0),
        ("date(dt) = date '2026-01-02'", None),
    ],
)
def test_only_files_of_allowed_partitions_are_opened(events: World, condition: str, files: int | None) -> None:
    execution = events.run(f"SELECT count(*) FROM events WHERE {condition}")
    (one,) = {p.stat().st_size for p in (events.root / "s3" / LAKE).rglob("*.gz")}
    found = list(events.pages(execution["QueryExecutionId"]))[1][0]
    if files is None:
        assert found == "6"
        return
    assert execution["Statistics"]["DataScannedInBytes"] == files * one
    assert found == str(files * 3)


def test_partition_keys_are_columns(events: World) -> None:
    assert events.rows("SELECT dt, hr, min, count(*) FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3") == [
        ("2026-01-01", "00", "05", "3"),
        ("2026-01-01", "23", "55", "3"),
        ("2026-01-02", "00", "00", "3"),
        ("2026-01-02", "00", "05", "3"),
    ]


def test_hidden_columns_tell_the_object(events: World) -> None:
    condition = "dt = '2026-01-01' GROUP BY 1, 2 ORDER BY 1"
    rows = events.rows(f'SELECT "$path", "$file_size" > 0, count(*), max(hr) FROM events WHERE {condition}')
    assert rows == [
        (f"s3://{LAKE}/secor/events/dt=2026-01-01/hr=00/min=05/1_0_00000000000000000000.gz", "true", "3", "00"),
        (f"s3://{LAKE}/secor/events/dt=2026-01-01/hr=23/min=55/1_0_00000000000000000000.gz", "true", "3", "23"),
    ]
    assert "$path" not in [row[0] for row in events.rows("SHOW COLUMNS IN events")]


def test_a_star_is_the_declared_columns(events: World) -> None:
    execution = events.run("SELECT * FROM events WHERE dt = '2026-01-01' LIMIT 1")
    header = next(iter(events.pages(execution["QueryExecutionId"])))
    assert header == (
        "resourceid", "customerid", "operationid", "servicename", "createdtimestamp", "datatags", "arrivaltimestamp", "service", "data", "dt", "hr", "min",  # noqa: E501 - a table of values
    )  # fmt: skip


def test_a_partition_may_lie_anywhere(events: World) -> None:
    events.add_partition("2026-01-03", "00", "00", location=f"s3://{LAKE}/1a2b/elsewhere/x=y")
    events.put("1a2b/elsewhere/x=y/part.json", lines(event(7)))
    assert events.rows("SELECT dt, hr, customerid FROM events WHERE dt >= '2026-01-03'") == [
        ("2026-01-03", "00", "11007")
    ]
    assert events.rows("SELECT count(DISTINCT dt) FROM events") == [("3",)]


@pytest.mark.parametrize("location", ["s3://../../etc/", f"s3://{LAKE}/../../etc/", "/etc/", "file:///etc/", "s3:///x"])
def test_a_hostile_location_is_refused(world: World, location: str) -> None:
    world.create_table(location=location, keys=())
    assert world.reason("SELECT * FROM events").startswith("HIVE_INVALID_METADATA")


def test_hidden_empty_and_nested_objects(world: World) -> None:
    world.create_table(keys=())
    for name, body in (
        ("_SUCCESS", b""),
        (".crc", b"xx"),
        ("_temporary/part.json", lines(event(1))),
        ("folder_$folder$", b""),
        ("empty", b""),
        ("deep/er/part.json", lines(event(2))),
        ("part.json", lines(event(3))),
    ):
        world.put(f"secor/events/{name}", body)
    assert world.rows("SELECT customerid FROM events ORDER BY 1") == [("11002",), ("11003",)]


@pytest.mark.parametrize(
    "name",
    ["it's.json", "star*.json", "q?.json", "br[1].json", "sp ace.json", "ü.json", "back\\slash.json", "100%.json"],
)
def test_object_names_are_only_names(world: World, name: str) -> None:
    world.create_table()
    prefix = world.add_partition("2026-01-01", "00", "05")
    world.put(prefix + name, lines(event(1)))
    world.put(prefix + "other.json", lines(event(2)))
    assert world.rows("SELECT customerid FROM events ORDER BY 1") == [("11001",), ("11002",)]
    assert (f"s3://{LAKE}/{prefix}{name}",) in world.rows('SELECT "$path" FROM events')


@pytest.mark.parametrize("value", ["it's", "a b", "100%", "x=y", "NULL", "ü", "a+b", "[x]"])
def test_partition_values_are_only_values(world: World, value: str) -> None:
    world.create_table(keys=("dt",))
    world.add_partition(value, location=f"s3://{LAKE}/somewhere/")
    world.put("somewhere/a.json", lines(event(1)))
    quoted = value.replace("'", "''")
    assert world.rows(f"SELECT dt, customerid FROM events WHERE dt = '{quoted}'") == [(value, "11001")]


def test_the_default_partition_is_null(world: World) -> None:
    world.create_table(keys=("dt",))
    prefix = world.add_partition("__HIVE_DEFAULT_PARTITION__")
    world.put(prefix + "a.json", lines(event(1)))
    assert world.rows("SELECT dt, customerid FROM events WHERE dt IS NULL") == [(None, "11001")]


def test_typed_partition_keys(world: World) -> None:
    world.create_table(keys={"dt": "date", "hr": "int"})
    for day, hour in (("2026-01-01", "9"), ("2026-01-01", "10"), ("2026-01-02", "9")):
        prefix = world.add_partition(day, hour)
        world.put(prefix + "a.json", lines(event(int(hour))))
    assert world.rows("SELECT customerid FROM events WHERE hr > 9") == [("11010",)]
    assert world.rows("SELECT dt + interval '1' day, hr + 1 FROM events WHERE dt = date '2026-01-02'") == [
        ("2026-01-03", "10")
    ]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.gz", gzip.compress),
        ("no-extension", gzip.compress),
        ("two-members.gz", lambda body: gzip.compress(body) + gzip.compress(b"")),
        ("a.bz2", bz2.compress),
        ("a.zst", lambda body: pyarrow.compress(body, codec="zstd", asbytes=True)),
        ("a.json", bytes),
    ],
)
def test_compression(world: World, name: str, pack) -> None:  # type: ignore[no-untyped-def]  # a function of bytes
    world.create_table(keys=())
    world.put(f"secor/events/{name}", pack(lines(event(1), event(2))))
    assert world.rows("SELECT sum(customerid) FROM events") == [("22003",)]
    assert world.athena.malformed_rows(world.run("SELECT * FROM events")["QueryExecutionId"]).count == 0


def test_json_values_become_the_declared_types(world: World) -> None:
    world.create_table(
        keys=(),
        columns={"s": "string", "b": "bigint", "d": "double", "m": "map<string,string>", "a": "array<int>", "st": "struct<x:int,y:string>",  # noqa: E501 - a table of values
                 "t": "timestamp", "dt": "date", "bo": "boolean", "de": "decimal(10,2)"},
    )  # fmt: skip
    world.put(
        "secor/events/a.json",
        lines(
            {"s": {"z": 1, "k": [1, 2]}, "b": "5", "d": 1, "m": {"x": 1, "n": None}, "a": [1, "2"], "st": {"x": "1", "y": {"q": 1}},  # noqa: E501 - a table of values
             "t": "2020-01-01 00:00:00.123", "dt": "2020-01-01", "bo": "true", "de": "1.5"},
            {"s": 12, "t": 1577836800000, "bo": False},
            {"s": True, "t": "2020-01-01T00:00:00Z"},
            {"s": None},
        ),
    )  # fmt: skip
    assert world.rows("SELECT * FROM events") == [
        ('{"z":1,"k":[1,2]}', "5", "1.0", "{x=1, n=null}", "[1, 2]", '{x=1, y={"q":1}}', "2020-01-01 00:00:00.123", "2020-01-01", "true", "1.50"),  # noqa: E501 - a table of values
        ("12", None, None, None, None, None, "2020-01-01 00:00:00.000", None, "false", None),
        ("true", None, None, None, None, None, "2020-01-01 00:00:00.000", None, None, None),
        (None,) * 10,
    ]  # fmt: skip


def test_keys_match_columns_without_regard_to_case(world: World) -> None:
    world.create_table(keys=())
    world.put("secor/events/a.json", lines({"CustomerId": 1, "ServiceName": "A"}, {"CustomerId": 2}))
    world.put("secor/events/b.json", lines({"customerid": 3, "servicename": "b"}))
    world.put("secor/events/c.json", lines({"CUSTOMERID": 4}))
    assert world.rows("SELECT customerid, servicename FROM events ORDER BY 1") == [
        ("1", "A"),
        ("2", None),
        ("3", "b"),
        ("4", None),
    ]


def test_keys_can_be_mapped(world: World) -> None:
    world.create_table(keys=(), columns={"customer": "bigint"}, serde_properties={"mapping.customer": "customerid"})
    world.put("secor/events/a.json", lines(event(1)))
    assert world.rows("SELECT customer FROM events") == [("11001",)]


def test_parquet_is_read_by_name(world: World, tmp_path: Path) -> None:
    world.create_table(keys=(), columns={"b": "bigint", "a": "string", "later": "double"}, serde=PARQUET)
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", "y"], "B": [1, 2]}), tmp_path / "a.parquet")
    world.put("secor/events/a.parquet", (tmp_path / "a.parquet").read_bytes())
    assert world.rows("SELECT b, a, later FROM events ORDER BY b") == [("1", "x", None), ("2", "y", None)]


def test_an_unknown_serde_fails_by_name(world: World) -> None:
    world.create_table(serde="com.example.NoSuchSerDe")
    assert "com.example.NoSuchSerDe" in world.reason("SELECT * FROM events")


def test_a_table_without_partitions_or_objects_is_empty(world: World) -> None:
    world.create_table()
    assert world.rows("SELECT count(*), max(customerid) FROM events") == [("0", None)]
    assert world.rows(f"SELECT * FROM awsdatacatalog.{DATABASE}.events") == []


def test_an_object_that_was_deleted_is_not_missed(events: World) -> None:
    assert events.rows("SELECT count(*) FROM events") == [("12",)]
    events.s3.delete_object(Bucket=LAKE, Key="secor/events/dt=2026-01-01/hr=00/min=05/1_0_00000000000000000000.gz")
    assert events.rows("SELECT count(*) FROM events") == [("9",)]


PARQUET_FORMAT = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": PARQUET},
}
JSON_FORMAT = {"SerdeInfo": {"SerializationLibrary": OPENX}}


def add_described_partition(world: World, *values: str, columns: dict[str, str], table_format: object) -> str:
    """A partition with a storage descriptor of its own; the prefix of its keys."""
    prefix = "elsewhere/" + "/".join(values) + "/"
    descriptor = {
        "Location": f"s3://{LAKE}/{prefix}",
        "Columns": [{"Name": name, "Type": text} for name, text in columns.items()],
        **table_format,  # type: ignore[dict-item]  # one of the two above
    }
    answer = world.glue.batch_create_partition(
        DatabaseName=DATABASE,
        TableName="events",
        PartitionInputList=[{"Values": list(values), "StorageDescriptor": descriptor}],
    )
    assert not answer.get("Errors")
    return prefix


def put_parquet(world: World, key: str, columns: dict[str, object]) -> None:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    world.put(key, sink.getvalue().to_pybytes())


SHORT = {"customerid": "bigint", "datatags": "map<string,string>", "data": "string"}


@pytest.fixture
def mixed(world: World) -> World:
    """A JSON table with a partition of JSON and a compacted one of Parquet, two rows each."""
    world.create_table(columns=SHORT)
    world.add_events("2026-01-01", "00", "05", zipped(event(1), event(2, customerid="no number"), event(2)))
    prefix = add_described_partition(world, "2026-01-01", "00", "06", columns=SHORT, table_format=PARQUET_FORMAT)
    tags = pyarrow.array([[("kind", "k0")], None], type=pyarrow.map_(pyarrow.string(), pyarrow.string()))
    columns = {"data": ["x", "y"], "customerid": [11003, 11004], "datatags": tags}
    put_parquet(world, prefix + "0f0f/part-00000.parquet", columns)
    world.put(prefix + "0f0f/_manifest.json", b"{}")
    return world


def test_partitions_of_several_serdes_are_one_table(mixed: World) -> None:
    assert mixed.rows("SELECT customerid, min, datatags['kind'] FROM events ORDER BY 1") == [
        ("11001", "05", "k1"),
        ("11002", "05", "k2"),
        ("11003", "06", "k0"),
        ("11004", "06", None),
    ]
    assert mixed.rows("SELECT data, hr FROM events WHERE min = '06' AND customerid > 11003") == [("y", "00")]
    assert mixed.rows("SELECT dt, count(*) FROM events GROUP BY 1") == [("2026-01-01", "4")]


def test_malformed_rows_are_told_beside_partitions_of_parquet(mixed: World) -> None:
    for _ in range(2):
        execution = mixed.run("SELECT count(*) FROM events")
        assert mixed.athena.malformed_rows(execution["QueryExecutionId"]).count == 1
    assert mixed.rows("SELECT count(*) FROM events") == [("4",)]


def test_hidden_columns_over_several_serdes(mixed: World) -> None:
    rows = mixed.rows('SELECT "$path", customerid FROM events WHERE customerid > 11001 ORDER BY 2')
    assert [path.rpartition("/")[2] for path, _ in rows if path] == [
        "1_0_00000000000000000000.gz", "part-00000.parquet", "part-00000.parquet",
    ]  # fmt: skip


def test_a_view_and_a_join_over_several_serdes(mixed: World) -> None:
    mixed.run("CREATE VIEW seen AS SELECT customerid, min FROM events")
    assert mixed.rows("SELECT count(*) FROM seen JOIN events USING (customerid)") == [("4",)]


@pytest.mark.parametrize("table_format", [PARQUET_FORMAT, JSON_FORMAT])
def test_a_column_that_a_partition_does_not_declare_is_null_in_it(world: World, table_format: object) -> None:
    world.create_table(columns=SHORT)
    fewer = {"data": "string"}
    prefix = add_described_partition(world, "2026-01-01", "00", "06", columns=fewer, table_format=table_format)
    if table_format is PARQUET_FORMAT:
        put_parquet(world, prefix + "a.parquet", {"customerid": [1], "data": ["x"]})
    else:
        world.put(prefix + "a.json", lines({"customerid": 1, "data": "x"}))
    assert world.rows("SELECT customerid, data, min FROM events") == [(None, "x", "06")]
    assert world.rows("SELECT count(*), count(customerid), count(datatags) FROM events") == [("1", "0", "0")]


def test_a_partition_declared_narrower_is_read_as_its_table_declares(world: World) -> None:
    world.create_table(columns={"customerid": "bigint", "ratio": "double"})
    narrow = {"ratio": "float", "customerid": "int"}  # another order: Parquet and JSON are matched by name
    prefix = add_described_partition(world, "2026-01-01", "00", "06", columns=narrow, table_format=PARQUET_FORMAT)
    put_parquet(
        world,
        prefix + "a.parquet",
        {"customerid": pyarrow.array([7], pyarrow.int32()), "ratio": pyarrow.array([0.5], pyarrow.float32())},
    )
    assert world.rows("SELECT customerid, ratio, typeof(customerid) FROM events") == [("7", "0.5", "bigint")]


def test_types_that_cannot_be_coerced_fail_in_athenas_words(world: World) -> None:
    world.create_table(columns={"price": "double"})
    add_described_partition(world, "2026-01-01", "00", "06", columns={"price": "bigint"}, table_format=PARQUET_FORMAT)
    assert world.reason("SELECT price FROM events") == (
        "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. The types are"
        " incompatible and cannot be coerced. The column 'price' in table 'data_hist.events' is declared as type"
        " 'double', but partition 'dt=2026-01-01/hr=00/min=06' declared column 'price' as type 'bigint'."
    )
    assert world.rows("SELECT count(*) FROM events WHERE min = '05'") == [("0",)]


def test_a_partition_of_an_unknown_serde_fails_by_name(world: World) -> None:
    world.create_table(columns=SHORT)
    unknown = {"SerdeInfo": {"SerializationLibrary": "com.example.NoSuchSerDe"}}
    add_described_partition(world, "2026-01-01", "00", "06", columns=SHORT, table_format=unknown)
    assert "com.example.NoSuchSerDe" in world.reason("SELECT * FROM events")
