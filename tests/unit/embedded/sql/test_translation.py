"""What a translation tells about tables, columns and limits; the corpus holds what queries answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from embedded.sql.catalogue import Column, Translation
from embedded.sql.errors import TrinoError
from embedded.sql.translation import MAXIMUM_QUERY_BYTES, describe, translate
from embedded.sql.types import BIGINT, VARCHAR, map_of, parse_hive_type, parse_type

NOW = datetime(2022, 10, 5, tzinfo=UTC)
EVENTS = (
    Column("customerid", BIGINT),
    Column("data", VARCHAR),
    Column("datatags", map_of(VARCHAR, VARCHAR)),
    Column("dt", VARCHAR, is_partition_key=True),
    Column("hr", VARCHAR, is_partition_key=True),
    Column("$path", VARCHAR, is_hidden=True),
)


class Lake:
    """One table, lake.events."""

    def columns(self, catalog: str | None, database: str | None, table: str) -> tuple[Column, ...] | None:
        return EVENTS if (database, table) == ("lake", "events") else None

    def database_exists(self, database: str) -> bool:
        return database == "lake"


def translated(sql: str) -> Translation:
    return translate(sql, Lake(), database="lake", now=NOW)


def predicate(sql: str, scan: int = 0) -> str | None:
    found = translated(sql).scans[scan].partition_predicate
    return None if found is None else found.sql()


def test_a_scan_lists_only_the_columns_that_are_used() -> None:
    scan = translated("SELECT data FROM events WHERE dt = '2022-10-05'").scans[0]
    assert [column.name for column in scan.columns] == ["dt", "data"]
    assert (scan.database, scan.table) == ("lake", "events")
    assert scan.alias_token in translated("SELECT data FROM events").sql


def test_star_leaves_hidden_columns_out_and_a_name_brings_them_in() -> None:
    assert [c.name for c in translated("SELECT * FROM events").columns] == [
        "customerid",
        "data",
        "datatags",
        "dt",
        "hr",
    ]
    assert [c.name for c in translated('SELECT "$path" FROM events').columns] == ["$path"]


def test_counting_needs_no_column() -> None:
    assert translated("SELECT count(*) FROM events").scans[0].columns == ()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FROM events WHERE dt = 'x'", "dt = 'x'"),
        ("SELECT 1 FROM events e WHERE e.dt BETWEEN 'a' AND 'b' AND data = 'x'", "dt BETWEEN 'a' AND 'b'"),
        ("SELECT 1 FROM events WHERE dt IN ('a', 'b') AND hr > '05'", "dt IN ('a', 'b') AND hr > '05'"),
        ("SELECT 1 FROM events WHERE (dt = 'a' AND hr = '1') OR dt = 'b'", "(dt = 'a' AND hr = '1') OR dt = 'b'"),
        ("SELECT 1 FROM events WHERE dt = 'a' OR data = 'b'", None),
        ("SELECT 1 FROM events WHERE dt || hr > '2022-10-0505'", "dt || hr > '2022-10-0505'"),
        ("SELECT 1 FROM events WHERE upper(dt) = 'X'", None),
        ("SELECT 1 FROM (SELECT dt AS day FROM events) WHERE day = 'x'", "dt = 'x'"),
        ("SELECT 1 FROM (SELECT dt AS day FROM events LIMIT 1) WHERE day = 'x'", None),
        ("SELECT 1 FROM (SELECT DISTINCT dt AS day FROM events) WHERE day = 'x'", None),
        ("SELECT 1 FROM (SELECT dt, count(*) OVER () FROM events) WHERE dt = 'x'", None),
        ("WITH e AS (SELECT dt FROM events) SELECT 1 FROM e WHERE dt = 'x'", "dt = 'x'"),
        ("WITH e AS (SELECT dt FROM events) SELECT 1 FROM e WHERE dt = 'x' AND EXISTS (SELECT 1 FROM e)", None),
        ("SELECT 1 FROM (VALUES 1) LEFT JOIN events ON true WHERE dt = 'x'", None),
        ("SELECT 1 FROM events LEFT JOIN (VALUES 1) ON true WHERE dt = 'x'", "dt = 'x'"),
        ("SELECT 1 FROM events RIGHT JOIN (VALUES 1) ON true WHERE dt = 'x'", None),
        ("SELECT 1 FROM events e WHERE NOT EXISTS (SELECT 1 FROM (VALUES 1) t(a) WHERE e.dt = 'x')", None),
    ],
)
def test_conjuncts_over_partition_keys_prune_and_nothing_else_does(sql: str, expected: str | None) -> None:
    assert predicate(sql) == expected


def test_two_readings_of_a_table_are_two_scans() -> None:
    sql = "SELECT 1 FROM events a JOIN events b ON a.dt = b.dt WHERE a.dt = 'x' AND b.dt = 'y'"
    assert [predicate(sql, 0), predicate(sql, 1)] == ["dt = 'x'", "dt = 'y'"]


def test_describe_gives_full_types() -> None:
    columns = describe(
        "SELECT datatags, CAST(ROW(1, 'x') AS ROW(a int, b varchar)) AS r FROM events", Lake(), database="lake"
    )
    assert [(c.name, str(c.type)) for c in columns] == [
        ("datatags", "map(varchar, varchar)"),
        ("r", "row(a integer, b varchar)"),
    ]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT x FROM nowhere", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.lake.nowhere' does not exist"),
        ("SELECT x FROM no.where_", "SCHEMA_NOT_FOUND: line 1:15: Schema 'no' does not exist"),
        ("SELECT\n  nope FROM events", "COLUMN_NOT_FOUND: line 2:3: Column 'nope' cannot be resolved"),
        ("SELECT e.nope FROM events e", "COLUMN_NOT_FOUND: line 1:8: Column 'e.nope' cannot be resolved"),
        ("SELECT events.dt FROM events e", "COLUMN_NOT_FOUND: line 1:8: Column 'events.dt' cannot be resolved"),
        ("SELECT data + 1 FROM events", "TYPE_MISMATCH: line 1:13: Cannot apply operator: varchar + integer"),
        ("", "SYNTAX_ERROR: line 1:1: mismatched input '<EOF>'. Expecting: '(', 'SELECT', 'TABLE', 'VALUES', 'WITH'"),
    ],
)
def test_errors_name_their_place(sql: str, error: str) -> None:
    with pytest.raises(TrinoError) as caught:
        translated(sql)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
        "SELECT " + "+".join(["1"] * 10_000),
        "SELECT " + "NOT " * 10_000 + "true",
        "SELECT " + "ARRAY[" * 5_000 + "1" + "]" * 5_000,
        "SELECT * FROM " + "(" * 5_000 + "events" + ")" * 5_000,
        "SELECT CAST(1 AS " + "array(" * 3_000 + "int" + ")" * 3_000 + ")",
        "SELECT " + "CASE WHEN true THEN " * 2_000 + "1" + " END" * 2_000,
        "SELECT '" + "x" * MAXIMUM_QUERY_BYTES + "'",
    ],
    ids=["parentheses", "sums", "nots", "arrays", "relations", "types", "cases", "bytes"],
)
def test_what_is_too_large_is_refused_by_name(sql: str) -> None:
    with pytest.raises(TrinoError) as caught:
        translated(sql)
    assert caught.value.name in ("SYNTAX_ERROR", "NOT_SUPPORTED")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 100 + "1" + ")" * 100,
        "SELECT 1 WHERE " + " AND ".join(["1 = 1"] * 5_000),
        "SELECT 1 WHERE 1 IN (" + ", ".join(map(str, range(20_000))) + ")",
        " UNION ALL ".join(["SELECT 1"] * 2_000),
        "SELECT " + "1 / (" * 60 + "1" + ")" * 60,
    ],
    ids=["parentheses", "ands", "items", "unions", "divisions"],
)
def test_long_queries_translate_to_text_of_like_size(sql: str) -> None:
    assert len(translated(sql).sql) < 100 * len(sql)


def test_translating_twice_is_the_same() -> None:
    sql = "SELECT upper(data), count(*) FROM events GROUP BY 1 ORDER BY 2 DESC LIMIT 3"
    assert translated(sql) == translated(sql)


@pytest.mark.parametrize(
    "text",
    ["bigint", "varchar(3)", "char(5)", "decimal(10,2)", "timestamp(3) with time zone", "time(6)", "array(integer)",
     "map(varchar, array(double))", "row(a integer, varchar)", "interval day to second"],
)  # fmt: skip
def test_a_type_reads_back_from_its_text(text: str) -> None:
    assert str(parse_type(text)) == text


@pytest.mark.parametrize(
    ("hive", "trino"),
    [("int", "integer"), ("string", "varchar"), ("struct<a:int,b:array<string>>", "row(a integer, b array(varchar))"),
     ("map<string,bigint>", "map(varchar, bigint)"), ("float", "real"), ("decimal(10,2)", "decimal(10,2)"),
     ("binary", "varbinary"), ("timestamp", "timestamp(3)")],
)  # fmt: skip
def test_hive_types_are_read_as_athena_shows_them(hive: str, trino: str) -> None:
    assert str(parse_hive_type(hive)) == trino
