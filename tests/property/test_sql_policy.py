"""No generated write passes, no generated query escapes its tenant, no text brings the planner down."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import StatementError
from tests.unit.service.sql.planning import leaks, plan, run
from tests.unit.service.sql.test_tenant import assert_scoped

# one of each word that can turn a statement into another
VOCABULARY = """--y
SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET UNION ALL INTERSECT EXCEPT WITH RECURSIVE AS ( ) ( ) , , . * = < >
+ - / || [ ] ? -> ; 1 2 'x' '' events metrics e t data_hist customerid data resourceid createdtimestamp datatags JOIN
LEFT CROSS ON USING UNNEST LATERAL VALUES TABLE CASE WHEN THEN ELSE END AND OR NOT IN IS NULL BETWEEN EXISTS ANY CAST
bigint count max OVER PARTITION ROWS DATE INTERVAL DAY AT TIME ZONE EXPLAIN SHOW TABLES DESCRIBE INSERT INTO DELETE DROP
CREATE UPDATE SET MERGE PREPARE EXECUTE CALL "events" "$path" /*x*/ TABLESAMPLE FETCH FIRST ROW ONLY FILTER WITHIN
DISTINCT GROUPING SETS CUBE ROLLUP MATCH_RECOGNIZE FOR VERSION OF PIVOT QUALIFY WINDOW ESCAPE LIKE true false
""".split()  # noqa: SIM905 - two hundred quoted words would be unreadable


WRITES = [
    "INSERT INTO events SELECT * FROM events",
    "INSERT INTO events VALUES (1)",
    "INSERT OVERWRITE events SELECT 1",
    "UPDATE events SET customerid = 1",
    "DELETE FROM events",
    "MERGE INTO events USING metrics ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE x AS SELECT * FROM events",
    "CREATE OR REPLACE VIEW x AS SELECT * FROM events",
    "CREATE EXTERNAL TABLE x (a int) LOCATION 's3://x/'",
    "CREATE DATABASE x",
    "DROP TABLE events",
    "DROP VIEW IF EXISTS x",
    "ALTER TABLE events ADD PARTITION (dt='2022-01-01')",
    "ALTER TABLE events RENAME TO x",
    "TRUNCATE TABLE events",
    "MSCK REPAIR TABLE events",
    "UNLOAD (SELECT * FROM events) TO 's3://x/' WITH (format='JSON')",
    "OPTIMIZE events REWRITE DATA USING BIN_PACK",
    "VACUUM events",
    "CALL system.runtime.kill_query('x')",
    "PREPARE p FROM DELETE FROM events",
    "EXECUTE p",
    "EXECUTE IMMEDIATE 'DROP TABLE events'",
    "DEALLOCATE PREPARE p",
    "GRANT SELECT ON events TO x",
    "REVOKE ALL ON events FROM x",
    "SET SESSION x = 1",
    "SET enable_external_access = true",
    "RESET SESSION x",
    "USE other",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "ANALYZE events",
    "COMMENT ON TABLE events IS 'x'",
    "COPY events TO '/tmp/x'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "ATTACH '/tmp/x.db'",
    "DETACH x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "CHECKPOINT",
    "REFRESH MATERIALIZED VIEW x",
    "USING EXTERNAL FUNCTION f(x varchar) RETURNS varchar LAMBDA 'arn' SELECT f(data) FROM events",
    "SELECT 1 INTO x FROM events",
    "WITH FUNCTION f(x bigint) RETURNS bigint RETURN x SELECT f(1)",
    "SELECT * FROM events FOR UPDATE",
]

SPOILERS = [
    "{}",
    "  {} ;",
    "/* SELECT 1 */ {}",
    "-- SELECT 1\n{}",
    "({})",
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "EXPLAIN (TYPE IO) {}",
    "WITH t AS (SELECT 1) {}",
    "WITH t AS ({}) SELECT * FROM t",
    "SELECT * FROM ({})",
    "SELECT 1; {}",
    "{}; SELECT 1",
    "SELECT 1 UNION ALL {}",
]


def _mixed_case(text: str, flips: list[bool]) -> str:
    return "".join(
        character.swapcase() if flips[index % len(flips)] else character for index, character in enumerate(text)
    )


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_no_write_passes(write: str, spoiler: str) -> None:
    with pytest.raises(StatementError) as refused:
        plan(spoiler.format(write))
    assert refused.value.detail


@settings(max_examples=150, deadline=None)
@given(
    write=st.sampled_from(WRITES[:-3]),  # quoted text in the last ones is no keyword
    spoiler=st.sampled_from(SPOILERS[:8]),
    flips=st.lists(st.booleans(), min_size=1, max_size=7),
    gap=st.sampled_from([" ", "\n", "\t", "\r\n", " /**/ ", " -- x\n", "\u00a0"]),
)
def test_no_write_passes_in_disguise(write: str, spoiler: str, flips: list[bool], gap: str) -> None:
    with pytest.raises(StatementError):
        plan(spoiler.format(_mixed_case(write.replace(" ", gap), flips)))


@settings(max_examples=400, deadline=None)
@given(words=st.lists(st.sampled_from(VOCABULARY), max_size=25), glue=st.sampled_from([" ", " ", "\n", ""]))
def test_any_words_are_planned_in_scope_or_refused(words: list[str], glue: str) -> None:
    sql = glue.join(words)
    for text in (sql, f"SELECT {sql}", f"SELECT * FROM events {sql}"):
        try:
            planned = plan(text)
        except StatementError:
            continue
        if planned.kind == "SELECT":
            assert_scoped(planned.sql)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_is_planned_or_refused(text: str) -> None:
    for sql in (
        text,
        f"SELECT '{text}' FROM events",
        f'SELECT "{text}" FROM events',
        f"SELECT 1 -- {text}\n FROM events",
    ):
        try:
            planned = plan(sql)
        except StatementError:
            continue
        if planned.kind == "SELECT":
            assert_scoped(planned.sql)


NAMES = st.sampled_from(["events", "metrics", "logs", "data_hist.events", '"EVENTS"', "t", "u"])
COLUMNS = st.sampled_from(
    ["customerid", "data", "servicename", "createdtimestamp", "data", "customerid + 1", "count(*)", "*"]
)


@st.composite
def queries(draw: st.DrawFn, depth: int = 0) -> str:
    """Queries whose names shadow each other as much as they can; about half of them have a meaning."""
    shape = draw(st.integers(0, 8 if depth < 3 else 1))
    inner = queries(depth + 1)
    if shape <= 1:
        source = draw(NAMES)
        alias = draw(st.sampled_from(["", " AS e", " AS events", " metrics", ""]))
        where = draw(
            st.sampled_from(["", " WHERE customerid > 1", " WHERE customerid = 12000 OR true", " WHERE 1 = 0"])
        )
        return f"SELECT {draw(COLUMNS)} FROM {source}{alias}{where}"
    if shape == 2:
        name = draw(st.sampled_from(["t", "u", "events", "metrics", '"Events"']))
        return f"WITH {name} AS ({draw(inner)}) {draw(inner)}"
    if shape == 3:
        name = draw(st.sampled_from(["t", "events"]))
        return f"WITH RECURSIVE {name}(customerid, data) AS (SELECT customerid, data FROM {draw(NAMES)}) {draw(inner)}"
    if shape == 4:
        return f"({draw(inner)}) {draw(st.sampled_from(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT']))} ({draw(inner)})"
    if shape == 5:
        return f"SELECT {draw(COLUMNS)} FROM ({draw(inner)}) AS {draw(st.sampled_from(['t', 'events', 'x']))}"
    if shape == 6:
        join = draw(st.sampled_from(["CROSS JOIN", ",", "LEFT JOIN LATERAL", "CROSS JOIN LATERAL"]))
        on = " ON true" if join.startswith("LEFT") else ""
        return f"SELECT {draw(COLUMNS)} FROM {draw(NAMES)} {join} ({draw(inner)}) AS j{on}"
    if shape == 7:
        exists = draw(st.sampled_from(["EXISTS", "NOT EXISTS"]))
        return f"SELECT {draw(COLUMNS)} FROM {draw(NAMES)} WHERE {exists} ({draw(inner)})"
    return f"SELECT (SELECT max(customerid) FROM ({draw(inner)}) AS q), customerid FROM {draw(NAMES)}"


@settings(max_examples=400, deadline=None)
@given(sql=queries())
def test_no_generated_query_escapes_its_tenant(sql: str) -> None:
    try:
        planned = plan(sql)
    except StatementError:
        return
    assert_scoped(planned.sql)
    try:
        rows = run(planned.sql)
    except (duckdb.Error, sqlglot.errors.SqlglotError):
        return
    # counts of joined own rows are small; foreign ids begin at 12000, foreign counts at 900
    assert [leak for leak in leaks(rows) if not (isinstance(leak, int) and abs(leak) < 800)] == [], planned.sql
