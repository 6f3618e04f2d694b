"""A planner over the shipped tables, and a small lake of several tenants in DuckDB to run planned SQL on.

The lake knows nothing of the service: sqlglot's own Trino -> DuckDB translation runs the SQL. Every value that the
tenant must not see is a canary: foreign rows carry FOREIGN or numbers from 7 * 10^12 on, forbidden columns SECRET.
"""

from __future__ import annotations

import decimal
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb
import sqlglot

from glue.table_spec import load_table_specs
from service.model import Caller, OutputColumn
from service.sql import grammar
from service.sql.plan import PlannedStatement, Planner, TimeRange
from service.sql.raised import raised_column

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TABLES = {spec.name: spec for spec in load_table_specs().values() if spec.database == "data_hist"}
PLANNER = Planner(TABLES, database="data_hist", clock=lambda: NOW)
OWN = frozenset({11000, 11001})
OWN_ROWS = 3
FOREIGN_ROWS = 900


def caller(customers: Collection[int] | None = OWN) -> Caller:
    """A caller who may query; None is the operator."""
    return Caller("tenant", None if customers is None else frozenset(customers), frozenset({"query"}))


def plan(
    sql: str,
    customers: Collection[int] | None = OWN,
    *,
    time_range: TimeRange = TimeRange(),  # noqa: B008 - frozen
    parameters: Sequence[object] = (),
) -> PlannedStatement:
    """The plan for a tenant with customers 11000 and 11001."""
    return PLANNER.plan(sql, caller(customers), time_range=time_range, parameters=parameters)


def planner_with_types(*types: str) -> Planner:
    """A planner whose `describe` says that the output columns are n0, n1, ... of these types."""
    columns = [OutputColumn(f"n{index}", kind) for index, kind in enumerate(types)]
    return Planner(TABLES, database="data_hist", clock=lambda: NOW, describe=lambda _: columns)


def select_list(table: str, *raised: str) -> str:
    """What the scoped sub-query of a table lists, with these of its raised fields."""
    spec = TABLES[table]
    fields = {field.name: field for field in spec.raised}
    columns = [c.name for c in spec.all_columns if c.name not in spec.forbidden_columns]
    return ", ".join(
        grammar.write(raised_column(spec, fields[name])) if name in fields else name
        for name in columns
        if name not in fields or name in raised
    )


def every_raised(table: str) -> list[str]:
    """The names of the table's raised fields."""
    return [field.name for field in TABLES[table].raised]


@cache
def lake() -> duckdb.DuckDBPyConnection:
    """Tables data_hist.events, metrics, logs with OWN_ROWS own rows and FOREIGN_ROWS of others in each."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA data_hist")
    for table, spec in TABLES.items():
        stored = "".join(f", CAST(NULL AS {field.column_type.trino()}) AS {field.name}" for field in spec.raised)
        connection.execute(
            f"""CREATE TABLE data_hist.{table} AS
            SELECT 'SECRET-resource' AS resourceid, CAST(customerid AS BIGINT) AS customerid,
              'SECRET-operation' AS operationid, servicename,
              CAST(createdtimestamp AS BIGINT) AS createdtimestamp, MAP([tag], [tag]) AS datatags,
              CAST(createdtimestamp + 1 AS BIGINT) AS arrivaltimestamp, servicename AS service, payload AS data{stored},
              '2021-01-01' AS dt, '00' AS hr, '00' AS min
            FROM (
              SELECT 11000 + i % 2 AS customerid, 'own-service' AS servicename, i AS createdtimestamp,
                'own' AS tag, '{{"own": 1}}' AS payload
              FROM range({OWN_ROWS}) AS own(i)
              UNION ALL
              SELECT CASE i % 3 WHEN 0 THEN 1 WHEN 1 THEN 12000 ELSE 13000 END, 'FOREIGN-' || (i % 7),
                7000000000000 + i, 'FOREIGN-tag', '{{"FOREIGN": ' || i || '}}'
              FROM range({FOREIGN_ROWS}) AS other(i)
            )"""
        )
    return connection


def run(sql: str) -> list[tuple[Any, ...]]:
    """The rows of planned SQL. Raises duckdb.Error."""
    translated = sqlglot.transpile(sql, read="trino", write="duckdb")[0]
    return lake().execute(translated).fetchall()


def leaks(rows: Sequence[tuple[Any, ...]]) -> list[object]:
    """The values among these that a tenant with customers 11000 and 11001 cannot have got from own rows."""
    return [value for value in _values(rows) if _is_foreign(value)]


def _is_foreign(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float, decimal.Decimal)):
        # own rows give small counts and sums; every foreign count, id and time is larger
        return abs(value) > OWN_ROWS**4 and value not in (11000, 11001) and not 11000 <= abs(value) <= 11001 * OWN_ROWS
    return "FOREIGN" in str(value) or "SECRET" in str(value)


def _values(found: object) -> Iterator[object]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _values(key)
            yield from _values(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _values(value)
    else:
        yield found
