"""The corpus: SQL and its plan, SQL and its refusal, predicates and their partitions. A new case is a line of YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import InvalidParameter, StatementError, StatementNotAllowed, StatementTooLong
from service.sql.plan import PlannedStatement, TimeRange
from tests.unit.service.sql.planning import TABLES, every_raised, plan, select_list

CORPUS = Path(__file__).parent / "corpus"


def cases(name: str) -> list[Any]:
    return list(yaml.safe_load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8")))


def scoped(table: str, *raised: str) -> str:
    return f"(SELECT {select_list(table, *raised)} FROM data_hist.{table} WHERE customerid IN (11000, 11001))"


@pytest.mark.parametrize("case", cases("planned"), ids=lambda case: case["sql"][:60])
def test_planned(case: dict[str, str]) -> None:
    expected = case["planned"]
    for table in TABLES:
        expected = expected.replace("{" + table + "}", scoped(table))
        expected = expected.replace("{" + table + ".*}", scoped(table, *every_raised(table)))
        for named in re.findall(r"\{" + table + r":([a-z_ ]+)\}", expected):
            expected = expected.replace("{" + table + ":" + named + "}", scoped(table, *named.split()))
    assert plan(case["sql"]).sql == expected


@pytest.mark.parametrize("case", cases("planned"), ids=lambda case: case["sql"][:60])
def test_planning_twice_is_the_same(case: dict[str, str]) -> None:
    assert plan(case["sql"]) == plan(case["sql"])


def test_an_operator_may_count_everybodys_rows() -> None:
    planned = plan("explain analyze verbose select 1", customers=None)
    assert planned.sql == "EXPLAIN ANALYZE VERBOSE SELECT 1"


@pytest.mark.parametrize("case", cases("refused"), ids=lambda case: case["sql"][:60])
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(StatementError) as caught:
        plan(case["sql"])
    error = caught.value
    assert error.code == case["code"], error.detail
    if "at" in case:
        assert (error.line, error.column) == tuple(case["at"]), error.detail
        assert error.detail.startswith(f"line {error.line}:{error.column}: ")
    if "has" in case:
        assert case["has"] in error.detail
    if "suggestions" in case:
        assert list(error.suggestions) == case["suggestions"]
    if "rule" in case:
        assert isinstance(error, StatementNotAllowed)
        assert error.rule == case["rule"]


@pytest.mark.parametrize("case", cases("pruned"), ids=lambda case: case["where"][:70])
def test_pruned(case: dict[str, Any]) -> None:
    planned = plan(f"SELECT count(*) FROM events WHERE {case['where']}")
    assert partitions(planned) == {key: case[key] for key in ("first", "last", "all", "none") if key in case}


def partitions(planned: PlannedStatement) -> dict[str, Any]:
    (table,) = [table for table in planned.tables if table.name == "events"]
    found = table.partition_range
    if found is None:
        return {"all": True}
    if found.is_empty:
        return {"none": True}
    told: dict[str, Any] = {}
    for name, spec in (("first", found.first), ("last", found.last)):
        if spec is not None:
            day, hour, minute = spec.values()
            told[name] = f"{day} {hour}:{minute}"
    return told


def test_size_is_limited_in_bytes() -> None:
    with pytest.raises(StatementTooLong) as caught:
        plan("SELECT '" + "\u00e9" * 150_000 + "'")
    assert caught.value.size_bytes == 300_009
    assert caught.value.limit_bytes == 262_144
    plan("SELECT '" + "x" * 200_000 + "'")


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("(", ")"),
        ("SELECT * FROM (", ")"),
        ("abs(", ")"),
        ("ARRAY[", "]"),
        ("CASE WHEN true THEN ", " END"),
        ("NOT ", ""),
        ("NOT a = ", ""),
        ("- ", ""),
        ("x -> ", ""),
        ("EXISTS (SELECT ", ")"),
        ("CAST(", " AS bigint)"),
        ("WITH t AS (", ") SELECT 1"),
        ("", "[1]"),
        ("", " AT TIME ZONE 'UTC'"),
    ],
)
def test_deep_nesting_is_refused_and_kills_nothing(opening: str, closing: str) -> None:
    for start in ("SELECT ", ""):
        with pytest.raises(StatementError):
            plan(start + opening * 10_000 + "1" + closing * 10_000)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM events WHERE " + " AND ".join(f"customerid <> {i}" for i in range(5000)),
        "SELECT 1 FROM events WHERE " + " OR ".join(f"createdtimestamp = {i}" for i in range(5000)),
        "SELECT 1 FROM events WHERE customerid IN (" + ", ".join(map(str, range(10_000))) + ")",
        "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(5000)),
        "SELECT " + " + ".join(["1"] * 500),
        "SELECT " + " || ".join(["'x'"] * 500),
        "SELECT 1 " + "UNION ALL SELECT 1 " * 400,
        "VALUES " + ", ".join(f"({i}, 'x')" for i in range(5000)),
        "SELECT " + "(" * 60 + "1" + ")" * 60,
    ],
)
def test_what_is_long_but_not_deep_works(sql: str) -> None:
    assert plan(sql).sql


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(StatementError) as caught:
        plan("SELECT '\ud800'")
    assert (caught.value.line, caught.value.column) == (1, 9)


def test_from_and_to_bound_every_time_partitioned_table() -> None:
    planned = plan(
        "SELECT 1 FROM events e JOIN metrics m USING (customerid)",
        time_range=TimeRange(1640995200000, 1641081600000),
    )
    assert planned.sql.count("createdtimestamp >= 1640995200000 AND createdtimestamp < 1641081600000") == 2
    assert planned.sql.count("dt BETWEEN '2021-12-31' AND '2022-01-02'") == 2
    assert {table.name for table in planned.tables} == {"events", "metrics"}
    assert partitions(planned) == {"first": "2021-12-31 23:55", "last": "2022-01-02 00:59"}


def test_from_alone_and_to_alone() -> None:
    assert partitions(plan("SELECT 1 FROM events", time_range=TimeRange(from_ms=1640995200000))) == {
        "first": "2021-12-31 23:55"
    }
    assert partitions(plan("SELECT 1 FROM events", time_range=TimeRange(to_ms=1640995200000))) == {
        "last": "2022-01-01 00:59"
    }
    assert "createdtimestamp >= -5" in plan("SELECT 1 FROM events", time_range=TimeRange(from_ms=-5)).sql


def test_a_range_turned_round_reads_nothing() -> None:
    assert partitions(plan("SELECT 1 FROM events", time_range=TimeRange(1641081600000, 1640995200000))) == {
        "none": True
    }


def test_a_plan_that_used_the_clock_says_how_long_it_holds() -> None:
    assert plan("SELECT 1 FROM events WHERE createdtimestamp > 5").valid_until is None
    used = plan("SELECT 1 FROM events WHERE from_unixtime(createdtimestamp / 1000) < now()")
    assert used.valid_until is not None
    assert used.valid_until.isoformat() == "2026-11-23T12:00:00+00:00"
    assert partitions(used)["last"] > "2026-11-23 12:00"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "WITH t AS (SELECT *, 1 AS one FROM events) SELECT one FROM t WHERE createdtimestamp = 1640995200000",
            {"first": "2021-12-31 23:55", "last": "2022-01-01 01:00"},
        ),
        (
            "WITH t AS (SELECT from_unixtime(createdtimestamp / 1000) AS ts FROM events) "
            "SELECT 1 FROM t WHERE ts >= timestamp '2022-01-01 00:00:30'",
            {"first": "2021-12-31 23:55"},
        ),
        (
            "SELECT 1 FROM (SELECT * FROM (SELECT createdtimestamp AS c FROM events) a) b(x) WHERE x = 1640995200000",
            {"first": "2021-12-31 23:55", "last": "2022-01-01 01:00"},
        ),
        ("SELECT 1 FROM metrics m JOIN events e ON e.createdtimestamp >= 1640995200000", {"first": "2021-12-31 23:55"}),
        (
            "SELECT 1 FROM metrics m LEFT JOIN events e ON e.createdtimestamp >= 1640995200000",
            {"first": "2021-12-31 23:55"},
        ),
        ("SELECT 1 FROM events e LEFT JOIN metrics m ON e.createdtimestamp >= 1640995200000", {"all": True}),
        ("SELECT 1 FROM events e FULL JOIN metrics m ON e.createdtimestamp >= 1640995200000", {"all": True}),
        (
            "SELECT 1 FROM metrics m LEFT JOIN events e ON true WHERE e.createdtimestamp >= 1640995200000",
            {"first": "2021-12-31 23:55"},
        ),
        ("SELECT 1 FROM events e, metrics m WHERE m.createdtimestamp >= 1640995200000", {"all": True}),
        # a limit, a window or a sample below decides which rows there are: nothing is pushed through them
        ("SELECT 1 FROM (SELECT * FROM events LIMIT 5) t WHERE createdtimestamp = 1640995200000", {"all": True}),
        (
            "SELECT 1 FROM (SELECT *, row_number() OVER (ORDER BY data) FROM events) t WHERE createdtimestamp = 5",
            {"all": True},
        ),
        ("SELECT 1 FROM (SELECT max(createdtimestamp) AS m FROM events) t WHERE m = 1640995200000", {"all": True}),
        (
            "SELECT 1 FROM (SELECT createdtimestamp, count(*) FROM events GROUP BY 1) t WHERE "
            "createdtimestamp = 1640995200000",
            {"first": "2021-12-31 23:55", "last": "2022-01-01 01:00"},
        ),
        # a CTE read twice keeps what either reader needs
        (
            "WITH t AS (SELECT * FROM events) SELECT 1 FROM t a, t b WHERE a.createdtimestamp = 1640995200000",
            {"all": True},
        ),
        (
            "WITH t AS (SELECT * FROM events) SELECT 1 FROM t WHERE createdtimestamp = 1640995200000 "
            "UNION ALL SELECT 1 FROM t WHERE createdtimestamp = 1641081600000",
            {"first": "2021-12-31 23:55", "last": "2022-01-02 01:00"},
        ),
        (
            "WITH RECURSIVE t(c) AS (SELECT createdtimestamp FROM events UNION ALL SELECT c + 1 FROM t WHERE c < 0) "
            "SELECT 1 FROM t WHERE c = 1640995200000",
            {"all": True},
        ),
        # an outer row's predicate inside a sub-query says nothing about the outer table
        (
            "SELECT 1 FROM events e WHERE NOT EXISTS (SELECT 1 FROM metrics m WHERE e.createdtimestamp "
            "= 1640995200000)",
            {"all": True},
        ),
    ],
)
def test_predicates_reach_the_table_through_the_query(sql: str, expected: dict[str, Any]) -> None:
    assert partitions(plan(sql)) == expected


def test_own_partition_predicates_are_copied_to_the_scan() -> None:
    planned = plan(
        "WITH t AS (SELECT * FROM events) SELECT 1 FROM t WHERE t.dt = '2022-01-01' AND t.hr IN ('01', '02')"
    )
    assert "WHERE customerid IN (11000, 11001) AND dt = '2022-01-01' AND hr IN ('01', '02')) AS events" in planned.sql


def test_an_anti_join_keeps_its_partition_predicate_outside() -> None:
    planned = plan(
        "SELECT 1 FROM metrics m LEFT JOIN events e USING (customerid) WHERE e.dt IS NULL OR e.dt = '2022-01-01'"
    )
    assert planned.sql.count("dt = '2022-01-01'") == 1
    assert partitions(planned) == {"all": True}


def test_parameters_are_values() -> None:
    sql = "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e FROM events WHERE createdtimestamp >= ?"
    planned = plan(sql, parameters=["it's; DROP", 5, -1.5, True, None, 1640995200000])
    assert planned.sql.startswith("SELECT 'it''s; DROP' AS a, 5 AS b, (-1.5E0) AS c, TRUE AS d, NULL AS e FROM")
    assert partitions(planned) == {"first": "2021-12-31 23:55"}


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([], 0),
        ([1, 2], 1),
        ([[1]], 0),
        ([{"a": 1}], 0),
        ([float("nan")], 0),
        ([float("inf")], 0),
        (["\ud800"], 0),
        (["a\x02b"], 0),
    ],
)
def test_parameters_that_do_not_fit(values: list[object], index: int) -> None:
    with pytest.raises(InvalidParameter) as caught:
        plan("SELECT ?", parameters=values)
    assert caught.value.index == index


def test_a_parameter_cannot_speak_the_grammars_own_marks() -> None:
    with pytest.raises(InvalidParameter):
        plan("SELECT ?", parameters=["\x01literal DATE('x')"])
    assert plan("SELECT ?", parameters=["tab\tand\nline"]).sql == "SELECT 'tab\tand\nline'"


def test_parameters_fill_in_the_order_they_are_written() -> None:
    sql = "WITH t AS (SELECT ? AS a) SELECT ?, (SELECT ?) FROM t WHERE a = ? GROUP BY a HAVING ? = 5 ORDER BY ? LIMIT 1"
    planned = plan(sql, parameters=[1, 2, 3, 4, 5, 6])
    assert planned.sql == (
        "WITH t AS (SELECT 1 AS a) SELECT 2, (SELECT 3) FROM t WHERE a = 4 GROUP BY a HAVING 5 = 5 ORDER BY 6 LIMIT 1"
    )


def test_a_fault_the_engine_sees_is_told_where_it_was_asked() -> None:
    planned = plan("SELECT servicename, 'a\nb',\n  foo(data) FROM events\n WHERE bar(\"customerid\") > 1")
    for name, place in (("foo", (3, 3)), ("data) FROM", (3, 7)), ("bar", (4, 8)), ('"customerid"', (4, 12))):
        offset = planned.sql.rindex(name)
        lines = planned.sql[:offset].split("\n")
        found = planned.place_as_asked(len(lines), len(lines[-1]) + 1)
        assert found is not None
        assert (found.line, found.column) == place
