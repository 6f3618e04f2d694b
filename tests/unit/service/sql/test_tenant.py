"""Tenant scope: whatever a query looks like, only the caller's rows and allowed columns come out.

The escapes are generated: every attempt in every wrapping. Each planned statement is run on a lake of several tenants
with canary values, and its tree is read again by an independent walk.
"""

from __future__ import annotations

import itertools

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from service.errors import StatementError
from tests.unit.service.sql.planning import OWN_ROWS, TABLES, leaks, plan, run

ATTEMPTS = [
    "SELECT * FROM events",
    "SELECT * FROM EVENTS",
    'SELECT * FROM "events"',
    'SELECT * FROM "EVENTS"',
    "SELECT * FROM data_hist.events",
    'SELECT * FROM "data_hist"."events"',
    "SELECT * FROM awsdatacatalog.data_hist.events",
    'SELECT * FROM "AwsDataCatalog".data_hist.events',
    "SELECT e.* FROM events e",
    "SELECT data_hist.events.* FROM data_hist.events",
    "SELECT customerid, data FROM events WHERE customerid = 12000",
    "SELECT customerid, data FROM events WHERE customerid = 11000 OR 1 = 1",
    "SELECT customerid, data FROM events WHERE customerid NOT IN (11000) OR true",
    "SELECT count(*) FROM events",
    "SELECT count(*), sum(customerid), max(createdtimestamp), min(data) FROM events",
    "SELECT servicename, count(*) FROM events GROUP BY servicename",
    "SELECT servicename, count(*) FROM events GROUP BY ROLLUP (servicename)",
    "SELECT DISTINCT customerid FROM events",
    "SELECT customerid FROM events UNION SELECT customerid FROM metrics",
    "SELECT customerid FROM events UNION ALL SELECT customerid FROM data_hist.metrics UNION "
    "ALL SELECT customerid FROM logs",
    "SELECT customerid FROM events INTERSECT SELECT customerid FROM metrics",
    "SELECT customerid FROM metrics EXCEPT SELECT customerid FROM events WHERE customerid = 11000",
    "SELECT (SELECT max(createdtimestamp) FROM events)",
    "SELECT (SELECT max(data) FROM events WHERE customerid = 12000) AS stolen FROM events",
    "SELECT * FROM (VALUES 1) t(x) WHERE EXISTS (SELECT 1 FROM events WHERE customerid = 12000)",
    "SELECT 1000000 AS hit FROM (VALUES 1) t(x) WHERE EXISTS (SELECT 1 FROM events WHERE customerid > 12000)",
    "SELECT 1000000 AS hit WHERE 12000 IN (SELECT customerid FROM events)",
    "SELECT 1000000 AS hit WHERE 12000 = ANY (SELECT customerid FROM metrics)",
    "SELECT m.data FROM events e RIGHT JOIN metrics m ON e.customerid = m.customerid",
    "SELECT m.data FROM events e LEFT JOIN metrics m ON true",
    "SELECT coalesce(e.data, m.data) FROM events e FULL JOIN metrics m ON e.createdtimestamp = m.createdtimestamp",
    "SELECT e.data FROM events e CROSS JOIN metrics m",
    "SELECT e.data FROM events e, metrics m",
    "SELECT data FROM events JOIN metrics USING (customerid, data)",
    "SELECT * FROM (events CROSS JOIN metrics)",
    "SELECT * FROM (events)",
    "SELECT l.data FROM metrics, LATERAL (SELECT data FROM events WHERE events.customerid <> metrics.customerid) l",
    "SELECT l.data FROM metrics CROSS JOIN LATERAL (SELECT data FROM events) l",
    "SELECT t.k FROM events CROSS JOIN UNNEST(map_keys(datatags)) AS t(k)",
    "SELECT customerid, row_number() OVER (PARTITION BY customerid ORDER BY createdtimestamp) FROM events",
    "SELECT sum(createdtimestamp) OVER () FROM events",
    "SELECT max(createdtimestamp) OVER w FROM events WINDOW w AS (ORDER BY customerid)",
    "WITH events AS (SELECT * FROM events) SELECT * FROM events",
    "WITH events AS (SELECT * FROM data_hist.events) SELECT * FROM data_hist.events",
    "WITH events AS (SELECT 1 AS x) SELECT * FROM data_hist.events",
    "WITH metrics AS (SELECT * FROM events), events AS (SELECT * FROM metrics) SELECT * FROM events",
    "WITH a AS (WITH events AS (SELECT 1 AS x) SELECT * FROM events) SELECT * FROM events, a",
    "WITH RECURSIVE events AS (SELECT * FROM events) SELECT * FROM events",
    "WITH RECURSIVE events(d) AS (SELECT data FROM events UNION ALL SELECT d FROM events WHERE "
    "false) SELECT d FROM events",
    "WITH RECURSIVE t(n, d) AS (SELECT 1, data FROM events UNION ALL SELECT n + 1, d FROM t "
    "WHERE n < 2) SELECT * FROM t",
    'WITH "EVENTS" AS (SELECT customerid FROM metrics) SELECT * FROM Events',
    "SELECT * FROM (WITH events AS (SELECT 2 AS y) SELECT * FROM events) a, events b",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM events) a) b",
    "SELECT * FROM (SELECT * FROM events) AS events",
    "SELECT * FROM events AS metrics",
    "SELECT * FROM events AS metrics, metrics AS events",
    "TABLE events",
    "SELECT * FROM (TABLE events)",
    "SELECT a.data FROM events a WHERE a.customerid IN (SELECT b.customerid FROM events b "
    "WHERE b.createdtimestamp > 10)",
    "SELECT max_by(data, createdtimestamp), array_agg(DISTINCT customerid) FROM events",
    "SELECT customerid FROM events ORDER BY (SELECT max(createdtimestamp) FROM events), 1",
    "SELECT CASE WHEN (SELECT count(*) FROM events) > 500 THEN 1000000 ELSE 0 END",
    "SELECT customerid FROM events GROUP BY customerid HAVING count(*) > (SELECT count(*) FROM metrics WHERE false)",
    "SELECT customerid FROM events TABLESAMPLE BERNOULLI (100)",
    "SELECT x FROM (VALUES (SELECT max(createdtimestamp) FROM events)) t(x)",
    "SELECT * FROM events e(a, b, c, d, e, f, g, h, i, j)",
    "SELECT data FROM events OFFSET 1 LIMIT 500",
    "SELECT data FROM events ORDER BY createdtimestamp DESC FETCH FIRST 1 ROWS ONLY",
    "SELECT approx_distinct(customerid), count(DISTINCT data) FROM events",
    "SELECT transform(ARRAY[1], x -> x + (SELECT max(createdtimestamp) FROM events)) FROM metrics",
    "SELECT resourceid FROM events",
    "SELECT RESOURCEID FROM events",
    'SELECT "ResourceId" FROM events',
    "SELECT e.operationid FROM events e",
    "SELECT data_hist.events.resourceid FROM data_hist.events",
    "SELECT customerid AS c FROM events ORDER BY resourceid",
    "SELECT count(*) FROM events GROUP BY resourceid",
    "SELECT customerid FROM events WHERE resourceid LIKE 'SECRET%'",
    "SELECT max(resourceid) FROM events",
    "SELECT e.data FROM events e JOIN metrics m USING (resourceid)",
    "SELECT e.data FROM events e JOIN metrics m ON e.resourceid = m.operationid",
    "SELECT x.resourceid FROM (SELECT * FROM events) x",
    "WITH t AS (SELECT * FROM events) SELECT operationid FROM t",
    "SELECT l.r FROM events e, LATERAL (SELECT e.resourceid AS r) l",
    "SELECT u.r FROM events e CROSS JOIN UNNEST(ARRAY[e.resourceid]) u(r)",
    "SELECT row(resourceid).field0 FROM events",
    "SELECT sum(1) OVER (PARTITION BY operationid) FROM events",
    "SELECT (SELECT max(e.resourceid) FROM metrics) FROM events e",
    "SELECT events FROM events",
    "SELECT e FROM events e",
    'SELECT "$path" FROM events',
    'SELECT * FROM "events$partitions"',
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM other.events",
    "SELECT * FROM hive.data_hist.events",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM TABLE(sequence(1, 2))",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM query('SELECT * FROM data_hist.events')",
    "SELECT * FROM query_table('events')",
    "SELECT * FROM events /* */ WHERE true -- ) \r UNION ALL SELECT * FROM data_hist.events",
    "SELECT * FROM events; SELECT * FROM events",
    "SELECT customerid FROM events WHERE data = '\\' OR 1=1 --'",
    "FROM events SELECT *",
    "SELECT COLUMNS('resource.*') FROM events",
    "SELECT * EXCLUDE (customerid) FROM events",
    "SELECT * REPLACE (resourceid AS data) FROM events",
    "SELECT * FROM events NATURAL JOIN metrics",
    "SELECT * FROM events POSITIONAL JOIN metrics",
    "SELECT * FROM events SEMI JOIN metrics ON true",
    "SELECT * FROM events PIVOT (max(data) FOR customerid IN (12000))",
    "SELECT * FROM events FOR VERSION AS OF 1",
]

WRAPPINGS = [
    "{}",
    "({})",
    "SELECT * FROM ({}) AS wrapped",
    "WITH wrapped AS ({}) SELECT * FROM wrapped",
    "WITH events AS ({}) SELECT * FROM events",
    "SELECT count(*) FROM ({}) AS events",
    "SELECT 1 FROM metrics WHERE EXISTS ({})",
    "({}) UNION ALL ({})",
]

ESCAPES = list(itertools.product(range(len(ATTEMPTS)), range(len(WRAPPINGS))))


def test_there_are_enough_escapes() -> None:
    assert len(ESCAPES) >= 200


@pytest.mark.parametrize(("attempt", "wrapping"), ESCAPES)
def test_no_escape_shows_a_foreign_row_or_a_forbidden_column(attempt: int, wrapping: int) -> None:
    sql = WRAPPINGS[wrapping].replace("{}", ATTEMPTS[attempt])
    try:
        planned = plan(sql)
    except StatementError:
        return
    assert_scoped(planned.sql)
    try:
        rows = run(planned.sql)
    except (duckdb.Error, sqlglot.errors.SqlglotError):
        return  # the engine refuses: nothing is seen. How many run is counted below
    assert leaks(rows) == [], planned.sql


def test_most_escapes_that_are_planned_really_run() -> None:
    planned = ran = 0
    for attempt in ATTEMPTS:
        try:
            sql = plan(attempt).sql
        except StatementError:
            continue
        planned += 1
        try:
            run(sql)
            ran += 1
        except (duckdb.Error, sqlglot.errors.SqlglotError):
            pass
    assert planned > 55
    assert ran > planned * 0.9


def test_the_canaries_are_seen_by_the_operator() -> None:
    assert leaks(run(plan("SELECT * FROM events", None).sql))
    assert leaks(run(plan("SELECT count(*) FROM events", None).sql))


def test_the_operator_sees_no_forbidden_column_either() -> None:
    rows = run(plan("SELECT * FROM events", None).sql)
    assert not any("SECRET" in str(value) for row in rows for value in row)


def test_no_customers_is_no_rows() -> None:
    assert run(plan("SELECT * FROM events", ()).sql) == []


def test_a_tenant_sees_all_its_rows() -> None:
    assert run(plan("SELECT count(*) FROM events").sql) == [(OWN_ROWS,)]
    joined = plan("SELECT count(*) FROM events a JOIN events b ON a.createdtimestamp = b.createdtimestamp")
    assert run(joined.sql) == [(OWN_ROWS,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT events.servicename FROM events",
        "SELECT data_hist.events.servicename FROM events",
        "SELECT awsdatacatalog.data_hist.events.servicename FROM data_hist.events",
        "SELECT data_hist.events.servicename FROM data_hist.events ORDER BY data_hist.events.createdtimestamp",
        "WITH events AS (SELECT 'own-service' AS s) SELECT events.s FROM events",
        "SELECT e.servicename FROM events e WHERE EXISTS (SELECT 1 FROM metrics WHERE "
        "metrics.customerid = e.customerid)",
    ],
)
def test_names_around_a_table_still_resolve(sql: str) -> None:
    assert {row[0] for row in run(plan(sql).sql)} == {"own-service"}


def assert_scoped(sql: str) -> None:
    """Every table in planned SQL is a CTE, or stands in a select that filters by customer and lists its columns."""
    tree = sqlglot.parse_one(sql, read="trino")
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not table.db:
            assert table.name.lower() in ctes, sql
            assert table.name.lower() not in TABLES, sql
            continue
        select = table.find_ancestor(exp.Select)
        assert isinstance(select, exp.Select)
        listed = [column.alias_or_name for column in select.expressions]
        spec = TABLES[table.name]
        left_out = {field.name for field in spec.raised} - set(listed) | spec.forbidden_columns
        assert listed == [column.name for column in spec.all_columns if column.name not in left_out]
        conditions = (
            list(select.args["where"].this.flatten())
            if isinstance(select.args["where"].this, exp.And)
            else [select.args["where"].this]
        )
        assert "customerid IN (11000, 11001)" in [condition.sql() for condition in conditions], sql
