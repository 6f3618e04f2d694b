"""Nested output columns become JSON text, and nothing else of the query changes its meaning."""

from __future__ import annotations

import pytest

from service.errors import TypeMismatch
from service.model import OutputColumn
from service.sql.plan import Planner
from tests.unit.service.sql.planning import NOW, TABLES, caller, every_raised, planner_with_types, select_list

EVENTS = "FROM (SELECT"


def outermost(sql: str, *types: str) -> tuple[str, set[int]]:
    """The planned SQL with the scoped sub-query of events shortened to E, and the JSON columns."""
    planned = planner_with_types(*types).plan(sql, caller([7]))
    text = planned.sql
    for raised in ([], every_raised("events")):
        scoped = f"(SELECT {select_list('events', *raised)} FROM data_hist.events WHERE customerid = 7) AS events"
        text = text.replace(scoped, "E")
    return text, set(planned.json_columns)


@pytest.mark.parametrize(
    ("sql", "types", "expected", "json_columns"),
    [
        (
            "SELECT servicename, datatags FROM events",
            ["varchar", "map(varchar, varchar)"],
            'SELECT servicename, json_format(CAST(datatags AS JSON)) AS "n1" FROM E',
            {1},
        ),
        ("SELECT servicename FROM events", ["varchar"], "SELECT servicename FROM E", set()),
        (
            "SELECT map_keys(datatags) AS k, count(*) FROM events GROUP BY 1 ORDER BY 2",
            ["array(varchar)", "bigint"],
            'SELECT json_format(CAST(map_keys(datatags) AS JSON)) AS "n0", count(*) FROM E '
            "GROUP BY map_keys(datatags) ORDER BY 2",
            {0},
        ),
        (
            "SELECT 5 AS n0, datatags FROM events ORDER BY n0, servicename LIMIT 3",
            ["integer", "map(varchar,varchar)"],
            'SELECT 5 AS n0, json_format(CAST(datatags AS JSON)) AS "n1" FROM E ORDER BY n0, servicename LIMIT 3',
            {1},
        ),
        (
            "SELECT datatags AS n0 FROM events ORDER BY element_at(n0, 'x')",
            ["map(varchar,varchar)"],
            'SELECT json_format(CAST(datatags AS JSON)) AS "n0" FROM E ORDER BY element_at("events".datatags, \'x\')',
            {0},
        ),
        # an expression that ORDER BY sorts by cannot be named again: left as it is
        (
            "SELECT map_keys(datatags) AS n0 FROM events ORDER BY n0",
            ["array(varchar)"],
            "SELECT map_keys(datatags) AS n0 FROM E ORDER BY n0",
            set(),
        ),
        (
            "SELECT DISTINCT map_keys(datatags) AS n0, servicename AS n1 FROM events ORDER BY n1, 1 LIMIT 2",
            ["array(varchar)", "varchar"],
            'SELECT json_format(CAST(q.c1 AS JSON)) AS "n0", q.c2 AS "n1" FROM '
            "(SELECT DISTINCT map_keys(datatags) AS n0, servicename AS n1 FROM E) AS q(c1, c2) "
            "ORDER BY q.c2, q.c1 LIMIT 2",
            {0},
        ),
        (
            "SELECT ARRAY[1] AS n0 UNION ALL SELECT ARRAY[2] ORDER BY n0",
            ["array(integer)"],
            'SELECT json_format(CAST(q.c1 AS JSON)) AS "n0" FROM '
            "(SELECT ARRAY[1] AS n0 UNION ALL SELECT ARRAY[2]) AS q(c1) ORDER BY q.c1",
            {0},
        ),
        ("SELECT row(x'00') FROM events", ["row(varbinary)"], "SELECT row(x'00') FROM E", set()),
        (
            "VALUES (1, ARRAY[1])",
            ["integer", "array(integer)"],
            'SELECT q.c1 AS "n0", json_format(CAST(q.c2 AS JSON)) AS "n1" FROM (VALUES (1, ARRAY[1])) AS q(c1, c2)',
            {1},
        ),
    ],
)
def test_written(sql: str, types: list[str], expected: str, json_columns: set[int]) -> None:
    assert outermost(sql, *types) == (expected, json_columns)


def test_a_star_is_written_out_without_forbidden_columns() -> None:
    types = [
        "bigint",
        "varchar",
        "bigint",
        "map(varchar,varchar)",
        "bigint",
        "varchar",
        "varchar",
        "varchar",
        "varchar",
        "varchar",
        *(field.column_type.trino() for field in TABLES["events"].raised),
    ]
    sql, json_columns = outermost("SELECT * FROM events", *types)
    assert sql == (
        'SELECT "events"."customerid", "events"."servicename", "events"."createdtimestamp", '
        'json_format(CAST("events"."datatags" AS JSON)) AS "n3", "events"."arrivaltimestamp", "events"."service", '
        '"events"."data", "events"."event_type", "events"."level", "events"."status", "events"."duration_ms", '
        '"events"."error_code", "events"."trace_id", "events"."dt", "events"."hr", "events"."min" FROM E'
    )
    assert json_columns == {3}


def test_types_and_names_are_those_asked_for() -> None:
    planned = planner_with_types("varchar", "map(varchar, varchar)").plan(
        "SELECT servicename, datatags FROM events", caller()
    )
    assert planned.columns == (OutputColumn("n0", "varchar"), OutputColumn("n1", "map(varchar, varchar)"))


def test_what_describe_finds_is_told_where_it_was_asked() -> None:
    def describe(sql: str) -> list[OutputColumn]:
        column = sql.index("abs(") + 1
        raise TypeMismatch(f"line 1:{column}: Unexpected parameters (varchar) for function abs", line=1, column=column)

    planner = Planner(TABLES, database="data_hist", clock=lambda: NOW, describe=describe)
    with pytest.raises(TypeMismatch) as caught:
        planner.plan("SELECT\n  abs(data) FROM events", caller())
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert caught.value.detail == "line 2:3: Unexpected parameters (varchar) for function abs"
