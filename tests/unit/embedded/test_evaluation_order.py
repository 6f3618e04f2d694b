"""What stands outside a sub-query never meets a row that the sub-query's WHERE refuses: a tenant's bound holds even for
the messages of errors.
"""

from __future__ import annotations

import json

import pytest

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
