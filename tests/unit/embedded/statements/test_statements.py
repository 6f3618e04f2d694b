"""Statements that are not queries, run by the embedded Athena: what they leave in catalogue and lake."""

# ruff: noqa: E501 - tables of statements and what they become

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.embedded.athena_world import DATABASE, LAKE, RESULTS, World

EVERY_TYPE = """SELECT 1 AS i, CAST(2 AS bigint) AS b, 1.5e0 AS d, CAST(1.25 AS decimal(10,2)) AS de, 'text' AS s,
    date '2020-01-01' AS dd, timestamp '2020-01-01 00:00:00.123' AS ts, ARRAY[1, NULL] AS ar, MAP(ARRAY['k'], ARRAY[2]) AS m,
    CAST(ROW(1, 'z') AS ROW(x int, y varchar)) AS r, true AS bo, x'0102' AS bin, CAST(NULL AS varchar) AS nn"""
EVERY_VALUE = (
    "1", "2", "1.5", "1.25", "text", "2020-01-01", "2020-01-01 00:00:00.123", "[1, null]", "{k=2}", "{x=1, y=z}", "true", "01 02", None,
)  # fmt: skip
FORMATS = ("PARQUET", "ORC", "AVRO", "JSON", "TEXTFILE")


def succeed(world: World, *statements: str, **arguments: Any) -> None:
    for sql in statements:
        world.rows(sql, **arguments)


def objects(world: World, prefix: str, bucket: str = LAKE) -> list[str]:
    return [found.key for found in world.s3.list_files(bucket, prefix)]


def manifest(world: World, execution: dict[str, Any]) -> list[str]:
    location = execution["Statistics"]["DataManifestLocation"]
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return world.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()


@pytest.fixture
def table(world: World) -> World:
    """A partitioned table of two partitions with a row each."""
    succeed(
        world,
        f"CREATE EXTERNAL TABLE t (a string, n int) PARTITIONED BY (dt string) STORED AS PARQUET LOCATION 's3://{LAKE}/t/'",
        "INSERT INTO t VALUES ('x', 1, '2020-01-01'), ('y', 2, '2020-01-02')",
    )
    return world


# ------------------------------------------------------------------------------------------------------- databases


def test_databases_come_and_go_and_twice_equals_once(world: World) -> None:
    for _ in range(2):
        succeed(world, "CREATE DATABASE IF NOT EXISTS other COMMENT 'c'")
    assert ("other",) in world.rows("SHOW DATABASES")
    assert world.reason("CREATE DATABASE other").startswith(
        "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive"
    )
    succeed(world, f"CREATE EXTERNAL TABLE other.t (a int) LOCATION 's3://{LAKE}/o/'")
    assert "is not empty" in world.reason("DROP DATABASE other")
    for _ in range(2):
        succeed(world, "DROP DATABASE IF EXISTS other CASCADE")
    assert (
        world.reason("DROP DATABASE other") == "FAILED: SemanticException [Error 10072]: Database does not exist: other"
    )


# ---------------------------------------------------------------------------------------------------------- tables


def test_a_table_is_what_its_statement_says(world: World) -> None:
    sql = (
        f"CREATE EXTERNAL TABLE events (a string COMMENT 'it''s', b array<int>) COMMENT 'about' PARTITIONED BY (dt string)"
        f" ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('ignore.malformed.json'='true')"
        f" LOCATION 's3://{LAKE}/events/' TBLPROPERTIES ('has_encrypted_data'='false')"
    )
    succeed(world, sql)
    found = world.glue.get_table(DatabaseName=DATABASE, Name="events")["Table"]
    assert found["TableType"] == "EXTERNAL_TABLE"
    assert found["Parameters"]["has_encrypted_data"] == "false"
    assert found["StorageDescriptor"]["SerdeInfo"]["Parameters"]["ignore.malformed.json"] == "true"
    assert found["StorageDescriptor"]["Columns"] == [
        {"Name": "a", "Type": "string", "Comment": "it's"},
        {"Name": "b", "Type": "array<int>"},
    ]
    shown = "\n".join(row[0] or "" for row in world.rows("SHOW CREATE TABLE events"))
    succeed(world, "DROP TABLE events", shown.replace(f"`{DATABASE}.events`", f"`{DATABASE}`.`events`"))
    again = world.glue.get_table(DatabaseName=DATABASE, Name="events")["Table"]
    for member in ("StorageDescriptor", "PartitionKeys", "Parameters"):
        assert again[member] == found[member]
    succeed(world, sql.replace("TABLE events", "TABLE IF NOT EXISTS events"))
    assert "AlreadyExistsException(message:Table events already exists.)" in world.reason(sql)


@pytest.mark.parametrize(
    "location", ["s3://../../x/", "/etc/", "file:///etc/passwd", f"s3://{LAKE}/../x/", "hdfs://x/"]
)
def test_a_hostile_location_is_refused(world: World, location: str) -> None:
    assert "MetaException" in world.reason(f"CREATE EXTERNAL TABLE t (a int) LOCATION '{location}'")
    assert world.rows("SHOW TABLES") == []


def test_hostile_names_are_only_names(world: World) -> None:
    world.run(
        f"CREATE EXTERNAL TABLE `a'; drop table x; --` (`b'c` string) STORED AS PARQUET LOCATION 's3://{LAKE}/h/'"
    )
    for (name,) in world.rows("SHOW TABLES"):
        world.run(f'SELECT * FROM "{name}"')
    assert world.rows("SELECT 1") == [("1",)]


def test_dropping_a_table_keeps_its_data(table: World) -> None:
    before = objects(table, "t/")
    succeed(table, "DROP TABLE t", "DROP TABLE IF EXISTS t")
    assert objects(table, "t/") == before
    assert table.reason("DROP TABLE t") == f"FAILED: SemanticException [Error 10001]: Table not found {DATABASE}.t"


def test_columns_and_properties_change(table: World) -> None:
    succeed(table, "ALTER TABLE t ADD COLUMNS (z double)", "ALTER TABLE t SET TBLPROPERTIES ('k'='v')")
    assert table.rows("SELECT a, z FROM t ORDER BY a") == [("x", None), ("y", None)]
    assert table.rows("SHOW TBLPROPERTIES t ('k')") == [("k\tv",)]
    assert "Duplicate column name" in table.reason("ALTER TABLE t ADD COLUMNS (dt int)")
    succeed(table, "ALTER TABLE t REPLACE COLUMNS (n bigint)")
    assert table.rows("SELECT n, dt FROM t ORDER BY n") == [("1", "2020-01-01"), ("2", "2020-01-02")]


# ------------------------------------------------------------------------------------------------------ partitions


def test_partitions_are_added_dropped_renamed_and_moved(table: World) -> None:
    place = f"s3://{LAKE}/t/dt=2020-01-01/"
    for _ in range(2):
        succeed(table, f"ALTER TABLE t ADD IF NOT EXISTS PARTITION (dt='again') LOCATION '{place}'")
    assert "Partition already exists" in table.reason("ALTER TABLE t ADD PARTITION (dt='again')")
    assert table.rows("SELECT dt, a FROM t ORDER BY dt") == [("2020-01-01", "x"), ("2020-01-02", "y"), ("again", "x")]
    succeed(table, "ALTER TABLE t PARTITION (dt='again') RENAME TO PARTITION (dt='renamed')")
    succeed(table, f"ALTER TABLE t PARTITION (dt='renamed') SET LOCATION 's3://{LAKE}/t/dt=2020-01-02/'")
    assert table.rows("SELECT a FROM t WHERE dt = 'renamed'") == [("y",)]
    succeed(table, "ALTER TABLE t DROP PARTITION (dt >= 'r')", "ALTER TABLE t DROP IF EXISTS PARTITION (dt='renamed')")
    assert "Partition not found" in table.reason("ALTER TABLE t DROP PARTITION (dt='renamed')")
    assert table.rows("SHOW PARTITIONS t") == [("dt=2020-01-01",), ("dt=2020-01-02",)]
    assert "non-partition columns" in table.reason("ALTER TABLE t ADD PARTITION (nope='x')")


def test_repair_registers_folders_and_only_adds(table: World) -> None:
    (data,) = objects(table, "t/dt=2020-01-01/")
    table.s3.copy_object(Bucket=LAKE, Key="t/dt=a%3Ab/copy", CopySource={"Bucket": LAKE, "Key": data})
    table.put("t/other/file", b"x")
    table.put("t/dt=hidden/_SUCCESS", b"")
    assert table.rows("MSCK REPAIR TABLE t") == [
        ("Partitions not in metastore:\tt:dt=a:b",),
        ("Repair: Added partition to metastore t:dt=a:b",),
    ]
    assert table.rows("MSCK REPAIR TABLE t") == []
    assert table.rows("SELECT a FROM t WHERE dt = 'a:b'") == [("x",)]


def test_partitions_as_a_table(table: World) -> None:
    assert table.rows('SELECT dt FROM "t$partitions" ORDER BY dt DESC') == [("2020-01-02",), ("2020-01-01",)]


# ----------------------------------------------------------------------------------------------------------- views


def test_views(table: World) -> None:
    succeed(table, "CREATE VIEW v AS SELECT a, n * 2 AS double_n FROM t WHERE dt > '2020-01-01'")
    assert table.rows("SELECT * FROM v") == [("y", "4")]
    succeed(table, "CREATE OR REPLACE VIEW w AS SELECT v.a || '!' AS a FROM v JOIN t ON v.a = t.a")
    assert table.rows("SELECT a FROM w") == [("y!",)]
    assert table.rows("SHOW VIEWS") == [("v",), ("w",)]
    assert table.rows("SHOW CREATE VIEW v")[0] == (f"CREATE VIEW {DATABASE}.v AS",)
    found = table.glue.get_table(DatabaseName=DATABASE, Name="v")["Table"]
    assert found["TableType"] == "VIRTUAL_VIEW"
    assert found["ViewOriginalText"].startswith("/* Presto View: ")
    assert "already exists" in table.reason("CREATE VIEW v AS SELECT 1 AS x")
    assert "Table already exists" in table.reason("CREATE OR REPLACE VIEW t AS SELECT 1 AS x")
    succeed(table, "DROP VIEW w", "DROP VIEW IF EXISTS w")
    assert "does not exist" in table.reason("DROP VIEW w")


def test_a_view_keeps_the_database_it_was_made_in(table: World) -> None:
    succeed(table, "CREATE VIEW v AS SELECT a FROM t", "CREATE DATABASE elsewhere")
    elsewhere = {"Database": "elsewhere"}
    assert len(table.rows(f"SELECT * FROM {DATABASE}.v", QueryExecutionContext=elsewhere)) == 2


def test_a_view_of_itself_is_refused(table: World) -> None:
    succeed(table, "CREATE VIEW v AS SELECT a FROM t", "CREATE OR REPLACE VIEW v AS SELECT a FROM v")
    assert table.reason("SELECT * FROM v").startswith("VIEW_IS_RECURSIVE")


def test_a_view_needs_names(world: World) -> None:
    assert world.reason("CREATE VIEW v AS SELECT 1 + 1").startswith("MISSING_COLUMN_NAME")
    assert world.reason("CREATE VIEW v AS SELECT 1 AS a, 2 AS a").startswith("DUPLICATE_COLUMN_NAME")


# --------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_made_of_a_query_holds_every_type(world: World, name: str) -> None:
    execution = world.run(f"CREATE TABLE made WITH (format = '{name}') AS {EVERY_TYPE}")
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"].get("StateChangeReason")
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DDL", "CREATE_TABLE_AS_SELECT")
    assert world.rows("SELECT * FROM made") == [EVERY_VALUE]
    files = manifest(world, execution)
    assert len(files) == 1
    assert files[0].startswith(f"s3://{RESULTS}/out/tables/{execution['QueryExecutionId']}/")
    answer = world.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert answer["UpdateCount"] == 1
    assert answer["ResultSet"]["Rows"] == []
    assert [c["Name"] for c in answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]] == ["rows"]
    succeed(world, f"INSERT INTO made {EVERY_TYPE}")
    assert world.rows("SELECT * FROM made") == [EVERY_VALUE] * 2


@pytest.mark.parametrize("name", FORMATS)
def test_partitioned_tables_made_of_queries(world: World, name: str) -> None:
    place = f"s3://{LAKE}/made/"
    sql = (
        f"CREATE TABLE made WITH (format = '{name}', external_location = '{place}', partitioned_by = ARRAY['p', 'q'])"
        " AS SELECT * FROM (VALUES (1, 'a', 1), (2, 'b/c=d', 2), (3, NULL, 3)) AS t(n, p, q)"
    )
    succeed(world, sql)
    assert world.rows("SELECT n, p, q FROM made ORDER BY n") == [("1", "a", "1"), ("2", "b/c=d", "2"), ("3", None, "3")]
    assert world.rows("SELECT n FROM made WHERE p = 'b/c=d' AND q = 2") == [("2",)]
    assert any(key.startswith("made/p=a/q=1/") for key in objects(world, "made/"))
    succeed(world, "INSERT INTO made VALUES (4, 'a', 1), (5, 'new', 9)")
    assert world.rows("SELECT n FROM made WHERE p IN ('a', 'new') ORDER BY 1") == [("1",), ("4",), ("5",)]
    assert world.reason(sql).startswith("TABLE_ALREADY_EXISTS")
    succeed(world, "DROP TABLE made")
    assert world.reason(sql).startswith("HIVE_PATH_ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("options", "query", "name"),
    [
        ("format = 'CSV'", "SELECT 1 AS a", "INVALID_TABLE_PROPERTY"),
        ("format = 'PARQUET', write_compression = 'BROTLI'", "SELECT 1 AS a", "INVALID_TABLE_PROPERTY"),
        ("nope = 'x'", "SELECT 1 AS a", "INVALID_TABLE_PROPERTY"),
        ("partitioned_by = ARRAY['a']", "SELECT 1 AS a, 2 AS b", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("partitioned_by = ARRAY['x']", "SELECT 1 AS a, 2 AS b", "INVALID_TABLE_PROPERTY"),
        ("external_location = 's3://../x/'", "SELECT 1 AS a", "HIVE_INVALID_METADATA"),
        ("table_type = 'ICEBERG'", "SELECT 1 AS a", "NOT_SUPPORTED"),
        ("format = 'PARQUET'", "SELECT 1 + 1", "MISSING_COLUMN_NAME"),
        ("format = 'PARQUET'", "SELECT 1 AS a, 2 AS A", "DUPLICATE_COLUMN_NAME"),
        ("format = 'PARQUET'", "SELECT time '12:00:00' AS a", "NOT_SUPPORTED"),
        ("partitioned_by = ARRAY['p']", "SELECT 1 AS a, x AS p FROM UNNEST(sequence(1, 101)) AS t(x)", "TOO_MANY_OPEN_PARTITIONS"),
    ],
)  # fmt: skip
def test_tables_that_can_not_be_made(world: World, options: str, query: str, name: str) -> None:
    try:
        reason = world.reason(f"CREATE TABLE made WITH ({options}) AS {query}")
    except ClientError as error:
        reason = name if name in ("INVALID_TABLE_PROPERTY", "NOT_SUPPORTED") else str(error)
    assert reason.startswith(name)
    assert world.rows("SHOW TABLES") == []
    assert objects(world, "out/tables/", RESULTS) == [
        key for key in objects(world, "out/tables/", RESULTS) if "-" not in key
    ]


def test_buckets(world: World) -> None:
    succeed(
        world,
        "CREATE TABLE made WITH (bucketed_by = ARRAY['x'], bucket_count = 3) AS SELECT x FROM UNNEST(sequence(1, 50)) AS t(x)",
    )
    assert world.rows('SELECT count(*), count(DISTINCT "$path") FROM made') == [("50", "3")]
    assert "bucketed" in world.reason("INSERT INTO made VALUES 1")


def test_a_table_without_data(world: World) -> None:
    succeed(world, "CREATE TABLE made AS SELECT 1 AS a WITH NO DATA")
    assert world.rows("SELECT a FROM made") == []
    succeed(world, "CREATE TABLE IF NOT EXISTS made AS SELECT 2 AS b")
    assert world.rows("SHOW COLUMNS IN made") == [(f"{'a':<20}",)]


def test_inserts_that_do_not_fit(table: World) -> None:
    assert table.reason("INSERT INTO t VALUES (1, 2, 3)") == (
        "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types:"
        " Table: [varchar, integer, varchar], Query: [integer, integer, integer]"
    )
    assert table.reason("INSERT INTO t (nope) VALUES 1").startswith("COLUMN_NOT_FOUND")
    assert table.reason("INSERT INTO nope VALUES 1").startswith("TABLE_NOT_FOUND")
    succeed(table, "INSERT INTO t (dt, a) SELECT 'd', 'only'")
    assert table.rows("SELECT a, n FROM t WHERE dt = 'd'") == [("only", None)]


@pytest.mark.parametrize("name", FORMATS)
def test_unload(world: World, name: str) -> None:
    sql = f"UNLOAD (SELECT * FROM (VALUES (1, 'a)'), (2, 'b')) AS t(n, p)) TO 's3://{LAKE}/out' WITH (format = '{name}', partitioned_by = ARRAY['p'])"
    execution = world.run(sql)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"].get("StateChangeReason")
    assert execution["SubstatementType"] == "UNLOAD"
    files = manifest(world, execution)
    assert sorted(file.split("/")[4] for file in files) == [
        "p=a%29" if "%29" in files[0] + files[-1] else "p=a)",
        "p=b",
    ]
    assert sorted(objects(world, "out/")) == sorted(file.removeprefix(f"s3://{LAKE}/") for file in files)
    assert world.reason(sql).startswith("HIVE_PATH_ALREADY_EXISTS")


def test_json_is_written_a_line_a_row(world: World) -> None:
    succeed(
        world,
        f"UNLOAD (SELECT 1 AS n, 'a\"b' || chr(10) AS s) TO 's3://{LAKE}/out/' WITH (format = 'JSON', compression = 'NONE')",
    )
    (key,) = objects(world, "out/")
    body = world.s3.get_object(Bucket=LAKE, Key=key)["Body"].read()
    assert json.loads(body) == {"n": 1, "s": 'a"b\n'}
    assert body.count(b"\n") == 1


def test_a_failing_write_leaves_nothing(table: World) -> None:
    before = objects(table, "")
    assert table.run("INSERT INTO t SELECT a, 1 / (n - 2), 'd' FROM t")["Status"]["State"] == "FAILED"
    assert objects(table, "") == before


@pytest.mark.parametrize("sql", ["DELETE FROM t", "UPDATE t SET a = 'b'", "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "OPTIMIZE t REWRITE DATA USING BIN_PACK", "VACUUM t"])  # fmt: skip
def test_what_is_for_iceberg_says_so(table: World, sql: str) -> None:
    assert table.reason(sql).startswith("NOT_SUPPORTED: ")


# ---------------------------------------------------------------------------------------------------- prepared


def test_prepared_statements(table: World) -> None:
    succeed(table, "PREPARE find FROM SELECT n FROM t WHERE a = ? AND n < ?")
    execution = table.run("EXECUTE find USING 'x', 5")
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "SELECT")
    assert table.rows("EXECUTE find USING 'x', 5") == [("1",)]
    assert table.rows("EXECUTE find", ExecutionParameters=["'y'", "5"]) == [("2",)]
    assert "already exists" in table.reason("PREPARE find FROM SELECT 1")
    succeed(table, "DEALLOCATE PREPARE find")
    assert table.reason("EXECUTE find USING 'x', 5").startswith("NOT_FOUND")
    table.athena.create_prepared_statement(
        StatementName="put", WorkGroup="primary", QueryStatement="INSERT INTO t VALUES (?, ?, ?)"
    )
    succeed(table, "EXECUTE put USING 'z', 3, 'd'")
    assert table.rows("SELECT a FROM t WHERE dt = 'd'") == [("z",)]


# ------------------------------------------------------------------------------------------------------ catalogue


def test_information_schema(table: World) -> None:
    succeed(table, "CREATE VIEW v AS SELECT a FROM t")
    where = f"WHERE table_schema = '{DATABASE}'"
    assert table.rows(f"SELECT table_name, table_type FROM information_schema.tables {where} ORDER BY 1") == [
        ("t", "BASE TABLE"),
        ("v", "VIEW"),
    ]
    assert table.rows("SELECT column_name, data_type, extra_info FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position") == [
        ("a", "varchar", None), ("n", "integer", None), ("dt", "varchar", "partition key"),
    ]  # fmt: skip
    assert (DATABASE,) in table.rows("SELECT schema_name FROM awsdatacatalog.information_schema.schemata")
    assert table.rows(f"SELECT view_definition FROM information_schema.views {where}") == [("SELECT a FROM t",)]


def test_describe(table: World) -> None:
    rows = [row[0] or "" for row in table.rows("DESCRIBE t")]
    assert rows[0] == f"{'a':<20}\t{'string':<20}\t{'':<20}"
    assert rows[3:] == [
        "\t \t ",
        "# Partition Information\t \t ",
        f"{'# col_name':<20}\t{'data_type':<20}\t{'comment':<20}",
        "\t \t ",
        f"{'dt':<20}\t{'string':<20}\t{'':<20}",
    ]
    assert table.reason("DESCRIBE nope") == f"FAILED: SemanticException [Error 10001]: Table not found {DATABASE}.nope"


def test_show_takes_hives_patterns(table: World) -> None:
    succeed(table, f"CREATE EXTERNAL TABLE other (a int) LOCATION 's3://{LAKE}/o/'")
    assert table.rows("SHOW TABLES 'o*'") == [("other",)]
    assert table.rows("SHOW TABLES LIKE 't|other'") == [("other",), ("t",)]
    assert table.rows("SHOW TABLES 'z*'") == []
    assert table.reason("SHOW TABLES '(('").startswith("SYNTAX_ERROR")


def test_explain(table: World) -> None:
    execution = table.run("EXPLAIN SELECT a FROM t WHERE dt = '2020-01-01'")
    assert execution["StatementType"] == "UTILITY"
    answer = table.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert [c["Name"] for c in answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]] == ["Query Plan"]
    text = "\n".join(row["Data"][0].get("VarCharValue", "") for row in answer["ResultSet"]["Rows"])
    assert f"TableScan[table = awsdatacatalog:{DATABASE}:t] 1 partitions, 1 files" in text
    assert table.rows("EXPLAIN (TYPE VALIDATE) SELECT 1") == [("true",)]
    assert table.reason("EXPLAIN SELECT nope FROM t").startswith("COLUMN_NOT_FOUND")
    assert table.run("EXPLAIN ANALYZE SELECT a FROM t")["Statistics"]["DataScannedInBytes"] > 0
    for analyze in ("EXPLAIN ANALYZE", "EXPLAIN ANALYZE VERBOSE", "EXPLAIN (FORMAT JSON)"):
        plan = "\n".join(row[0] for row in table.rows(f"{analyze} SELECT a FROM t"))
        assert "read_json(" not in plan.lower()  # DuckDB's text, which names the files of this machine
        assert "TABLE" in plan.upper() or "READ" in plan.upper()


# ------------------------------------------------------------------------------------------------------ projection


def test_partition_projection(world: World) -> None:
    succeed(
        world,
        f"""CREATE EXTERNAL TABLE p (a string) PARTITIONED BY (dt string, region string, n int, who string) STORED AS PARQUET
        LOCATION 's3://{LAKE}/p/' TBLPROPERTIES ('projection.enabled'='true', 'projection.dt.type'='date',
        'projection.dt.format'='yyyy-MM-dd', 'projection.dt.range'='2020-01-01,2020-01-31',
        'projection.region.type'='enum', 'projection.region.values'='eu,us', 'projection.n.type'='integer',
        'projection.n.range'='1,3', 'projection.n.digits'='2', 'projection.who.type'='injected',
        'storage.location.template'='s3://{LAKE}/p/${{who}}/${{dt}}/${{region}}/${{n}}')""",
        f"UNLOAD (SELECT 'hit' AS a) TO 's3://{LAKE}/p/me/2020-01-02/eu/02/' WITH (format = 'PARQUET')",
        f"UNLOAD (SELECT 'other' AS a) TO 's3://{LAKE}/p/me/2020-02-02/eu/02/' WITH (format = 'PARQUET')",
    )
    assert world.rows("SELECT a, dt, region, n, who FROM p WHERE who = 'me'") == [
        ("hit", "2020-01-02", "eu", "2", "me")
    ]
    assert world.rows("SELECT a FROM p WHERE who = 'me' AND dt > '2020-01-02'") == []
    assert world.reason("SELECT a FROM p").startswith(
        "CONSTRAINT_VIOLATION: For the injected projected partition column who"
    )
    assert world.rows("SHOW PARTITIONS p") == []
