from __future__ import annotations

import pytest

from glue.table_spec import load_table_specs
from service.model import OPERATOR
from service.sql.plan import Planner, TimeRange
from tests.fakes.world import FakeClock

PLANNER = Planner(
    {s.name: s for s in load_table_specs().values() if s.database == "data_hist"},
    database="data_hist",
    clock=FakeClock(),
)


def is_repeatable(sql: str, **more: object) -> bool:
    return PLANNER.plan(sql, OPERATOR, **more).is_repeatable  # type: ignore[arg-type]  # passed on


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM events",
        "SELECT 'now()' AS uuid, \"service\" AS random FROM events -- now()",
        "SELECT data FROM events LIMIT 3",
        "SELECT array_agg(data) FROM events WHERE createdtimestamp > 1795305900000",
        "WITH rand AS (SELECT service FROM events) SELECT count(*) FROM rand",
    ],
)
def test_the_same_data_give_the_same_result(sql: str) -> None:
    assert is_repeatable(sql)


@pytest.mark.parametrize(
    "expression",
    [
        *("now()", "NOW()", "current_date", "CURRENT_TIMESTAMP", "current_timestamp(3)", "localtime", "localtimestamp"),
        *("rand()", "random(10)", "random(1, 6)", "uuid()", "shuffle(ARRAY[1, 2])", "current_timezone()"),
        *("to_unixtime(now())", "CASE WHEN rand() < 0.5e0 THEN 1 ELSE 2 END", '"random"()', '"NOW"()'),
    ],
)
def test_clock_and_chance_do_not(expression: str) -> None:
    for sql in (
        f"SELECT {expression} AS x, count(*) FROM events GROUP BY 1",
        f"SELECT service FROM events WHERE CAST({expression} AS varchar) <> ''",
        f"WITH c AS (SELECT {expression} AS x FROM events) SELECT count(*) FROM c",
        f"SELECT service FROM events WHERE service IN (SELECT CAST({expression} AS varchar) FROM metrics)",
    ):
        assert not is_repeatable(sql)


@pytest.mark.parametrize("sql", ["EXPLAIN SELECT count(*) FROM events", "SHOW TABLES", "DESCRIBE events"])
def test_other_statements_are_not(sql: str) -> None:
    assert not is_repeatable(sql)


def test_the_plan_holds_all_that_makes_queries_differ() -> None:
    """Parameters, time range and customers are values in the planned SQL; how it was written is not."""
    sql = "SELECT count(*) AS n FROM events WHERE service = ?"
    plain = PLANNER.plan(sql, OPERATOR, parameters=["a"]).sql
    spaced = sql.replace(" ", "\n  ").replace("count", "COUNT") + " -- a comment"
    assert PLANNER.plan(sql.replace(" ", "  "), OPERATOR, parameters=["a"]).sql == plain
    assert PLANNER.plan(sql.replace("?", "'a'"), OPERATOR).sql == plain
    assert PLANNER.plan(spaced.replace("COUNT", "count"), OPERATOR, parameters=["a"]).sql == plain
    others = [
        PLANNER.plan(sql, OPERATOR, parameters=["b"]).sql,
        PLANNER.plan(sql, OPERATOR, parameters=["a"], time_range=TimeRange(from_ms=1795305900000)).sql,
        PLANNER.plan(sql.replace(" n ", " m "), OPERATOR, parameters=["a"]).sql,
    ]
    assert len({plain, *others}) == 4
