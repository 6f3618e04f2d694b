"""What stands outside a sub-query never meets a row that the sub-query's WHERE refuses: a tenant's bound holds even for
the messages of errors.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from embedded.sql.catalogue import Column
from embedded.sql.translation import translate
from embedded.sql.types import parse_type
from tests.unit.embedded.athena_world import World, event, zipped

ROW_COUNT = 30_000
OURS = "(SELECT * FROM events WHERE customerid IN (1, 11000))"
NUMBER = "CAST(json_extract_scalar({}.data, '$.secret') AS bigint)"


@pytest.fixture
def mixed(world: World) -> World:
    """Rows of three tenants; those of 11001 and 11002 hold what 11000 must not be told."""
    world.create_table()
    secret = json.dumps({"secret": "s3cret"})
    rows = [
        event(0, customerid=11000, data="{}", datatags={"kind": "x"})
        if n % 3 == 0
        else event(0, customerid=11000 + n % 3, data=secret, datatags={})
        for n in range(ROW_COUNT)
    ]  # fmt: skip
    world.add_events("2026-01-01", "00", "00", zipped(*rows))
    return world


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT count(*) FROM {OURS} a WHERE a.datatags['kind'] = 'x' AND length(a.data) > 0 AND a.data LIKE '%{{%'",
        f"SELECT count(*) FROM {OURS} a WHERE coalesce({NUMBER.format('a')}, 0) = 0",
        f"SELECT count(*) FROM {OURS} a JOIN (SELECT 11000 AS customerid) b ON a.customerid = b.customerid"
        " WHERE a.datatags['kind'] = 'x'",
        f"WITH w AS (SELECT * FROM {OURS} a) SELECT count(*) FROM w WHERE datatags['kind'] = 'x' AND data <> ''",
        f"SELECT sum(n) FROM (SELECT count(*) AS n FROM {OURS} a WHERE a.datatags['kind'] = 'x'"
        f" UNION ALL SELECT 0 FROM {OURS} b WHERE {NUMBER.format('b')} = 1)",
    ],
)
def test_the_outer_condition_is_asked_about_inner_rows_only(mixed: World, sql: str) -> None:
    assert mixed.rows(sql) == [(str(ROW_COUNT // 3),)]


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT count(*) FROM {OURS} a WHERE EXISTS ("
        "SELECT 1 FROM (SELECT DISTINCT customerid AS c FROM events WHERE customerid = 11000) b"
        " WHERE b.c >= a.customerid)",
        f"SELECT count(*) FROM {OURS} a, LATERAL (SELECT count(*) AS n FROM (SELECT 1 AS x WHERE 1 = 1) b"
        " WHERE b.x < a.customerid) c WHERE c.n = 1",
        f"SELECT count((SELECT max(b.x) FROM (SELECT 1 AS x WHERE 1 = 1) b WHERE b.x < a.customerid)) FROM {OURS} a",
    ],
)  # fmt: skip
def test_correlated_queries_over_such_sub_queries_run(mixed: World, sql: str) -> None:
    assert mixed.rows(sql) == [(str(ROW_COUNT // 3),)]


def test_a_with_query_over_files_nobody_has_read_yet(mixed: World) -> None:
    sql = "WITH w AS (SELECT customerid FROM events WHERE createdtimestamp > 5) SELECT count(*) FROM w"
    assert mixed.rows(sql) == [(str(ROW_COUNT),)]


class Events:
    """A catalogue of one table."""

    def columns(self, catalog: str | None, database: str | None, table: str) -> tuple[Column, ...] | None:
        types = {
            "customerid": "bigint",
            "servicename": "varchar",
            "createdtimestamp": "bigint",
            "arrivaltimestamp": "bigint",
            "datatags": "map(varchar,varchar)",
            "data": "varchar",
        }
        return tuple(Column(name, parse_type(text)) for name, text in types.items())

    def database_exists(self, database: str) -> bool:
        return True


MOMENTS = 3000
AT = "b.createdtimestamp = a.createdtimestamp"
SECRET = "2 / {}.arrivaltimestamp"
"""Cheaper than OURS to DuckDB, so that it would be asked first if both stood in one filter."""
ONE = f"{SECRET.format('b')} = 1"
MATCH = f"SELECT 1 FROM {OURS} b WHERE {AT} AND {ONE}"
TIME = f"SELECT b.createdtimestamp FROM {OURS} b WHERE b.servicename = a.servicename AND {ONE}"
COUNT = f"SELECT count(*) FROM {OURS} a WHERE"


@pytest.fixture
def neighbours(world: World) -> World:
    """Three tenants with a row each at every moment; one divides by arrivaltimestamp for the rows of 11000 only."""
    world.create_table()
    rows = [
        event(
            n // 3,
            customerid=11000 + n % 3,
            datatags={"kind": "x"} if n % 3 == 0 else {},
            arrivaltimestamp=1 + n // 3 % 2 if n % 3 == 0 else 0,
            data=str(n // 3),
        )
        for n in range(3 * MOMENTS)
    ]
    world.add_events("2026-01-01", "00", "00", zipped(*rows))
    return world


@pytest.mark.parametrize(
    "sql",
    [
        f"{COUNT} EXISTS ({MATCH})",
        f"{COUNT} NOT EXISTS ({MATCH})",
        f"{COUNT} EXISTS (SELECT 1 FROM {OURS} b WHERE {AT} AND b.datatags['kind'] = 'x' AND {ONE})",
        f"{COUNT} a.createdtimestamp IN ({TIME})",
        f"{COUNT} a.createdtimestamp NOT IN ({TIME})",
        f"{COUNT} a.createdtimestamp = ANY ({TIME})",
        f"{COUNT} a.createdtimestamp <> ALL ({TIME})",
        f"{COUNT} a.createdtimestamp IN (SELECT b.createdtimestamp FROM {OURS} b WHERE {ONE})",
        f"{COUNT} (SELECT count(*) FROM {OURS} b WHERE {AT} AND {ONE}) = 1",
        f"{COUNT} (SELECT max({SECRET.format('b')}) FROM {OURS} b WHERE {AT}) = 1",
        f"{COUNT} TRY(EXISTS ({MATCH}))",
        f"SELECT count((SELECT max(b.data) FROM {OURS} b WHERE {AT} AND {ONE})) FROM {OURS} a",
        f"SELECT sum(n) FROM (SELECT (SELECT count(*) FROM {OURS} b WHERE {AT} AND {ONE}) AS n FROM {OURS} a)",
        f"SELECT count(*) FROM (SELECT a.data AS d, EXISTS ({MATCH}) AS e FROM {OURS} a) WHERE e",
        f"SELECT sum(l.n) FROM {OURS} a, LATERAL (SELECT count(*) AS n FROM {OURS} b WHERE {AT} AND {ONE}) l",
        f"SELECT count(l.n) FROM {OURS} a LEFT JOIN LATERAL"
        f" (SELECT b.data AS n FROM {OURS} b WHERE {AT} AND {ONE}) l ON TRUE",
        f"SELECT count(*) FROM {OURS} a, LATERAL (SELECT {SECRET.format('b')} AS n FROM {OURS} b WHERE {AT}) l"
        " WHERE l.n = 1",
        f"{COUNT} EXISTS (SELECT 1 FROM {OURS} c WHERE c.createdtimestamp = a.createdtimestamp AND NOT EXISTS"
        f" (SELECT 1 FROM {OURS} b WHERE {AT} AND b.customerid = c.customerid AND {ONE}))",
        f"SELECT sum((SELECT count(*) FROM {OURS} c WHERE c.createdtimestamp = a.createdtimestamp AND"
        f" (SELECT {SECRET.format('b')} FROM {OURS} b WHERE {AT} AND b.customerid = c.customerid) = 1)) FROM {OURS} a",
        f"{COUNT} EXISTS (SELECT 1 FROM (SELECT * FROM {OURS} d WHERE d.data <> '') b WHERE {AT} AND {ONE})",
        f"{COUNT} EXISTS (SELECT 1 FROM (SELECT * FROM {OURS} b WHERE {AT} AND b.data <> '') b WHERE {ONE})",
        f"{COUNT} EXISTS (WITH w AS (SELECT * FROM {OURS} d) SELECT 1 FROM w b WHERE {AT} AND {ONE})",
        f"{COUNT} EXISTS ({MATCH} UNION ALL {MATCH})",
        f"{COUNT} EXISTS (SELECT 1 FROM {OURS} b JOIN {OURS} c ON b.data = c.data AND {SECRET.format('c')} = 1"
        f" WHERE {AT})",
        f"WITH w AS (SELECT * FROM {OURS} d) SELECT count(*) FROM w a WHERE EXISTS"
        f" (SELECT 1 FROM w b WHERE {AT} AND {ONE})",
        f"WITH w AS (SELECT * FROM {OURS} d), v AS (SELECT * FROM w) SELECT count(*) FROM v a WHERE EXISTS"
        f" (SELECT 1 FROM (SELECT * FROM w WHERE customerid > 0) b WHERE {AT} AND {ONE})",
        f"WITH w AS (SELECT 11000 AS c) SELECT count(*) FROM {OURS} a WHERE EXISTS (SELECT 1 FROM"
        f" (SELECT d.* FROM {OURS} d JOIN w ON d.customerid = w.c WHERE w.c > 0) b WHERE {AT} AND {ONE})",
        "WITH RECURSIVE w (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 2)"
        f" SELECT count(*) FROM {OURS} a JOIN w ON w.n = 1 WHERE EXISTS ({MATCH})",
        f"SELECT count(*) FROM (SELECT a.createdtimestamp FROM {OURS} a GROUP BY a.createdtimestamp"
        f" HAVING EXISTS ({MATCH}))",
        f"SELECT count(*) FROM {OURS} a LEFT JOIN (SELECT b.createdtimestamp AS t FROM {OURS} b WHERE {ONE}) c"
        " ON c.t = a.createdtimestamp AND c.t = ANY (SELECT d.createdtimestamp FROM"
        f" {OURS} d WHERE d.customerid = 11000) WHERE c.t IS NOT NULL",
    ],
)
def test_a_correlated_condition_is_asked_about_inner_rows_only(neighbours: World, sql: str) -> None:
    assert neighbours.rows(sql) == [(str(MOMENTS // 2),)]
    translation = translate(sql, Events(), database="data_hist", now=datetime(2026, 1, 1, tzinfo=UTC))
    # DuckDB may keep to the order by chance, a fence for every scan does not leave it to chance
    assert translation.sql.count(" TABLESAMPLE system(100%)") >= len(translation.scans)


def test_a_correlation_by_order_is_asked_about_inner_rows_only(neighbours: World) -> None:
    last = f"a.createdtimestamp >= {1_767_225_600_000 + (MOMENTS - 20) * 1000}"
    sql = f"{COUNT} {last} AND EXISTS (SELECT 1 FROM {OURS} b WHERE b.createdtimestamp > a.createdtimestamp AND {ONE})"
    assert neighbours.rows(sql) == [("19",)]


def test_a_view_with_such_sub_queries_inside_another(neighbours: World) -> None:
    neighbours.run(f"CREATE VIEW matched AS SELECT a.* FROM {OURS} a WHERE EXISTS ({MATCH})")
    sql = f"SELECT count(*) FROM matched a WHERE EXISTS (SELECT 1 FROM matched b WHERE {AT} AND {ONE})"
    assert neighbours.rows(sql) == [(str(MOMENTS // 2),)]
