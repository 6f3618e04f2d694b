"""PyAthena, unchanged, against the endpoint: every cursor reads what the embedded Athena leaves behind."""

# ruff: noqa: E501 - tables of values

from __future__ import annotations

import functools
import gzip
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow.fs
import pytest
from pyathena import connect
from pyathena.arrow.cursor import ArrowCursor
from pyathena.async_cursor import AsyncCursor
from pyathena.cursor import DictCursor
from pyathena.error import DatabaseError, OperationalError
from pyathena.s3fs.cursor import S3FSCursor

from tests.e2e.aws_endpoint import endpoint_over
from tests.unit.embedded.athena_world import RESULTS, World

STAGING = f"s3://{RESULTS}/staging/"
DELIMITED = "ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' LINES TERMINATED BY '\\n' STORED AS TEXTFILE"
COMPLEX_ROW = (
    b"true\t127\t32767\t2147483647\t9223372036854775807\t0.5\t0.25\ta string\tvarchar\t2017-01-01 00:00:00\t2017-01-02"
    b"\tMTIz\t1\x022\t1\x032\x023\x034\t1\x022\t0.1\n"
)
COMPLEX_COLUMNS = """col_boolean BOOLEAN, col_tinyint TINYINT, col_smallint SMALLINT, col_int INT, col_bigint BIGINT,
    col_float FLOAT, col_double DOUBLE, col_string STRING, col_varchar VARCHAR(10), col_timestamp TIMESTAMP, col_date DATE,
    col_binary BINARY, col_array ARRAY<int>, col_map MAP<int, int>, col_struct STRUCT<a: int, b: int>,
    col_decimal DECIMAL(10,1)"""
TABLES = (
    "DROP DATABASE IF EXISTS t CASCADE",
    "CREATE DATABASE IF NOT EXISTS t",
    f"CREATE EXTERNAL TABLE t.one_row (n INT COMMENT 'it') COMMENT 'c' {DELIMITED} LOCATION '{STAGING}t/one_row/'",
    f"CREATE EXTERNAL TABLE t.many_rows (a INT) {DELIMITED} LOCATION '{STAGING}t/many_rows/'",
    f"CREATE EXTERNAL TABLE t.complex ({COMPLEX_COLUMNS}) {DELIMITED} LOCATION '{STAGING}t/complex/'",
    f"CREATE EXTERNAL TABLE t.by_b (a STRING) PARTITIONED BY (b INT) {DELIMITED} LOCATION '{STAGING}t/by_b/'",
    f"CREATE EXTERNAL TABLE t.written (a INT, b STRING) {DELIMITED} LOCATION '{STAGING}t/written/'",
    "CREATE OR REPLACE VIEW t.view_one_row AS SELECT * FROM t.one_row",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An endpoint with the tables of PyAthena's own suite, made through PyAthena."""
    world = World(tmp_path_factory.mktemp("pyathena"))
    world.put("staging/t/one_row/rows.tsv", b"1\n", RESULTS)
    world.put("staging/t/many_rows/rows.tsv", b"".join(b"%d\n" % i for i in range(10_000)), RESULTS)
    world.put("staging/t/complex/rows.gz", gzip.compress(COMPLEX_ROW), RESULTS)
    with (
        endpoint_over(athena=world.athena, glue=world.glue, s3=world.s3) as endpoint,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        with connected("default") as connection:
            for sql in TABLES:
                connection.cursor().execute(sql)
            yield endpoint
            connection.cursor().execute("DROP DATABASE t CASCADE")
    world.close()


def connected(database: str, **arguments: Any) -> Any:
    return connect(
        s3_staging_dir=STAGING, schema_name=database, poll_interval=0.01, region_name="us-east-1", **arguments
    )


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    with connected("t") as made:
        yield made


def test_a_row_and_what_is_told_about_its_query(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM one_row")
    assert cursor.rowcount == -1
    assert cursor.fetchone() == (1,)
    assert cursor.fetchone() is None
    assert cursor.description == [("n", "integer", None, None, 10, 0, "UNKNOWN")]
    assert (cursor.state, cursor.statement_type, cursor.substatement_type) == ("SUCCEEDED", "DML", "SELECT")
    assert cursor.output_location == f"{STAGING}{cursor.query_id}.csv"
    assert cursor.data_scanned_in_bytes == 2
    assert cursor.engine_execution_time_in_millis > 0
    assert cursor.query_queue_time_in_millis > 0
    assert cursor.total_execution_time_in_millis > 0
    assert cursor.effective_engine_version == "Athena engine version 3"


def test_many_rows_over_several_pages(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT a FROM many_rows ORDER BY a")
    assert cursor.fetchall() == [(i,) for i in range(10_000)]
    cursor.execute("SELECT IF(a % 11 = 0, NULL, a) FROM many_rows ORDER BY a")
    assert cursor.fetchall() == [(None if i % 11 == 0 else i,) for i in range(10_000)]


def test_every_type(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT col_boolean, col_tinyint, col_smallint, col_int, col_bigint, col_float, col_double, col_string,"
        " col_varchar, col_timestamp, CAST(col_timestamp AS timestamp with time zone) AS tz,"
        " CAST(col_timestamp AS time) AS t, col_date, col_binary, CAST(col_array AS json) AS a,"
        " CAST(col_map AS json) AS m, col_decimal FROM complex"
    )
    assert [(d[1], d[4], d[5]) for d in cursor.description] == [
        ("boolean", 0, 0), ("tinyint", 3, 0), ("smallint", 5, 0), ("integer", 10, 0), ("bigint", 19, 0), ("float", 17, 0),
        ("double", 17, 0), ("varchar", 2147483647, 0), ("varchar", 10, 0), ("timestamp", 3, 0),
        ("timestamp with time zone", 3, 0), ("time", 3, 0), ("date", 0, 0), ("varbinary", 1073741824, 0), ("json", 0, 0),
        ("json", 0, 0), ("decimal", 10, 1),
    ]  # fmt: skip
    assert cursor.fetchall() == [
        (True, 127, 32767, 2147483647, 9223372036854775807, 0.5, 0.25, "a string", "varchar", datetime(2017, 1, 1),  # noqa: DTZ001 - Athena's timestamps have no zone
         datetime(2017, 1, 1, tzinfo=UTC), time(0, 0), date(2017, 1, 2), b"123", [1, 2], {"1": 2, "3": 4}, Decimal("0.1")),
    ]  # fmt: skip


def test_parameters_of_both_kinds(connection: Any) -> None:
    cursor = connection.cursor()
    awkward = "`~!@#$%^&*()_+-={}[]|\\\\;:'\",./<>?\n\r\t 密林"
    cursor.execute("SELECT %(a)d, %(b)s FROM one_row", {"a": 1, "b": awkward})
    assert cursor.fetchall() == [(1, awkward)]
    cursor.execute("SELECT a FROM many_rows WHERE a < ? ORDER BY a", ["3"], paramstyle="qmark")
    assert cursor.fetchall() == [(0,), (1,), (2,)]


def test_partitions_and_inserts(connection: Any) -> None:
    cursor = connection.cursor()
    for number in range(3):
        cursor.execute(
            "ALTER TABLE by_b ADD PARTITION (b=%(b)d) LOCATION %(l)s", {"b": number, "l": f"{STAGING}t/by_b/"}
        )
    cursor.execute("SHOW PARTITIONS by_b")
    assert sorted(cursor.fetchall()) == [("b=0",), ("b=1",), ("b=2",)]
    cursor.executemany(
        "INSERT INTO written (a, b) VALUES (%(a)d, %(b)s)", [{"a": 1, "b": "x"}, {"a": 2, "b": "jim o'rourke"}]
    )
    cursor.execute("SELECT * FROM written ORDER BY a")
    assert cursor.fetchall() == [(1, "x"), (2, "jim o'rourke")]
    cursor.execute("INSERT INTO written SELECT 3, 'z'")
    assert cursor.rowcount == 1


def test_the_clients_cache_and_the_services_reuse(connection: Any) -> None:
    cursor = connection.cursor()
    ids = set()
    for _ in range(2):
        cursor.execute("SELECT * FROM one_row -- cached")
        ids.add(cursor.query_id)
    cursor.execute("SELECT * FROM one_row -- cached", cache_size=100)
    assert len(ids) == 2
    assert cursor.query_id in ids
    for reused in (False, True):
        cursor.execute("SELECT * FROM one_row -- reused", result_reuse_enable=True, result_reuse_minutes=5)
        assert cursor.reused_previous_result is reused
        assert cursor.fetchall() == [(1,)]


def test_faults(connection: Any) -> None:
    cursor = connection.cursor()
    with pytest.raises(OperationalError, match=r"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog\.t\.nope'"):
        cursor.execute("SELECT * FROM nope")
    with pytest.raises(DatabaseError, match="mismatched input 'blah_blah'"):
        cursor.execute("blah_blah")


def test_cancel(connection: Any) -> None:
    cursor = connection.cursor()
    timer = threading.Timer(0.5, cursor.cancel)
    timer.start()
    with pytest.raises(OperationalError, match="cancelled"):
        cursor.execute("SELECT sum(a.a * b.a * c.a) FROM many_rows a, many_rows b, many_rows c")
    timer.join()


def test_describe_and_explain(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("DESCRIBE one_row")
    assert cursor.fetchall() == [(f"{'n':<20}\t{'int':<20}\t{'it':<20}",)]
    cursor.execute("EXPLAIN SELECT * FROM one_row")
    assert [column[0] for column in cursor.description] == ["Query Plan"]
    assert len(cursor.fetchall()) > 2


def test_metadata(connection: Any) -> None:
    cursor = connection.cursor()
    found = cursor.get_table_metadata("one_row")
    assert (found.comment, found.location) == ("c", f"{STAGING}t/one_row")
    assert [(column.name, column.type, column.comment) for column in found.columns] == [("n", "int", "it")]
    assert "many_rows" in [table.name for table in cursor.list_table_metadata()]
    assert {"default", "t"} <= {database.name for database in cursor.list_databases("awsdatacatalog")}


def test_dict_async_and_s3_cursors(connection: Any) -> None:
    cursor = connection.cursor(DictCursor)
    assert cursor.execute("SELECT * FROM view_one_row").fetchall() == [{"n": 1}]
    asynchronous = connection.cursor(AsyncCursor)
    _, future = asynchronous.execute("SELECT * FROM one_row")
    assert future.result().fetchall() == [(1,)]
    asynchronous.close()
    s3 = connection.cursor(S3FSCursor)
    assert s3.execute("SELECT col_string, col_decimal, col_date FROM complex").fetchall() == [
        ("a string", Decimal("0.1"), date(2017, 1, 2))
    ]
    assert s3.execute("SHOW COLUMNS IN one_row").fetchall() == [(f"{'n':<20}",)]


@pytest.mark.parametrize("unload", [False, True])
def test_arrow(connection: Any, url: str, monkeypatch: pytest.MonkeyPatch, unload: bool) -> None:
    """pyarrow takes no endpoint from the environment, and PyAthena hands it none: the test does."""
    original = pyarrow.fs.S3FileSystem
    monkeypatch.setattr(pyarrow.fs, "S3FileSystem", functools.partial(original, endpoint_override=url))
    cursor = connection.cursor(ArrowCursor, unload=unload)
    table = cursor.execute("SELECT a, CAST(a AS varchar) AS t FROM many_rows").as_arrow()
    assert table.num_rows == 10_000
    assert sorted(table["a"].to_pylist()) == list(range(10_000))
    assert (cursor.data_manifest_location is not None) == unload


def test_pandas(connection: Any) -> None:
    pytest.importorskip("pandas", reason="pandas is not among the locked packages")
    from pyathena.pandas.cursor import PandasCursor

    frame = connection.cursor(PandasCursor).execute("SELECT * FROM many_rows").as_pandas()
    assert sorted(frame["a"]) == list(range(10_000))


def test_sqlalchemy(url: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not among the locked packages")
    engine = sqlalchemy.create_engine(
        f"awsathena+rest://a:b@athena.us-east-1.amazonaws.com:443/t?s3_staging_dir={STAGING}&poll_interval=0"
    )
    with engine.connect() as connected_engine:
        inspector = sqlalchemy.inspect(engine)
        assert "one_row" in inspector.get_table_names("t")
        assert inspector.get_view_names("t") == ["view_one_row"]
        table = sqlalchemy.Table("one_row", sqlalchemy.MetaData(schema="t"), autoload_with=connected_engine)
        assert connected_engine.execute(table.select()).fetchall() == [(1,)]
    engine.dispose()
