"""What stands between a caller's SQL and DuckDB: our validation and translation, beside sqlglot's transpile.

The embedded Athena checks the grammar when a query is started, and translates it (names, types, Trino's semantics as
DuckDB SQL) when it runs: the promise is about these two. The service in front of it plans each query before (parse,
policy, tenant, pruning, expansion of `*`, types of the result by the same analyser), which is measured beside it.
sqlglot's transpile parses and writes, and knows neither tables nor types.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import sqlglot

from api.composition import DATABASE, DescribingPlanner
from api.lake import open_lake
from bench.harness import Row, Table, interleaved, timed, versions
from embedded.athena_catalogue import QueryCatalogue
from embedded.athena_statements import check_syntax
from embedded.sql.translation import translate
from service.model import Caller

LIMIT_MILLISECONDS = 2
NOW = datetime(2026, 3, 8, tzinfo=UTC)
SIMPLE = (
    "SELECT servicename, count(*) AS events FROM events WHERE createdtimestamp >= 1772582400000 GROUP BY servicename"
)
MEDIUM = """
WITH recent AS (
    SELECT customerid, servicename, createdtimestamp, arrivaltimestamp - createdtimestamp AS delay
    FROM events
    WHERE createdtimestamp BETWEEN 1772582400000 AND 1772668800000 AND servicename IN ('billing', 'scheduler')
),
ranked AS (
    SELECT customerid, servicename, delay,
           row_number() OVER (PARTITION BY customerid ORDER BY delay DESC) AS place
    FROM recent
)
SELECT r.customerid, r.servicename, r.delay, m.measurements
FROM ranked AS r
JOIN (SELECT customerid, count(*) AS measurements FROM metrics GROUP BY customerid) AS m ON m.customerid = r.customerid
WHERE r.place <= 3
ORDER BY r.customerid, r.place
"""


def medium_query() -> Table:
    """Milliseconds of validation and translation of a medium query, warm."""
    table = Table(
        "Validation and translation",
        f"A medium query of {len(MEDIUM.strip())} characters (WITH, window, JOIN, sub-query) and a simple one of"
        f" {len(SIMPLE)}, warm, in process. Ratio: over sqlglot's transpile of the same text.",
        goal=f"translate + validate of the medium query by the embedded Athena at most {LIMIT_MILLISECONDS} ms",
        versions=versions("sqlglot", "sqlglotc"),
    )
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        planner = DescribingPlanner(lake.tables, lake.glue, lambda: NOW)
        caller = Caller(tenant="bench", customers=frozenset({11000}), scopes=frozenset({"query"}))
        try:
            for name, sql in (("simple", SIMPLE), ("medium", MEDIUM)):
                engine_sql = planner.plan(sql, caller).sql

                def validate(sql: str = sql) -> None:
                    planner.plan(sql, caller)

                def engine(sql: str = engine_sql) -> None:
                    check_syntax(sql)
                    translate(sql, QueryCatalogue(lake.glue, DATABASE), database=DATABASE, now=NOW)

                def caller_sql(sql: str = sql) -> None:
                    check_syntax(sql)
                    translate(sql, QueryCatalogue(lake.glue, DATABASE), database=DATABASE, now=NOW)

                def transpile(sql: str = sql) -> None:
                    sqlglot.transpile(sql, read="athena", write="duckdb")

                medians = interleaved(
                    {
                        "sqlglot transpile": timed(transpile, repeat=20),
                        "embedded: check and translate": timed(caller_sql, repeat=20),
                        "embedded: check and translate what the service made of it": timed(engine, repeat=20),
                        "service: plan": timed(validate, repeat=20),
                    },
                    rounds=9,
                )
                base = medians["sqlglot transpile"]
                table.rows += [Row(f"{name}: {what}", value, "ms", value / base) for what, value in medians.items()]
                embedded = medians["embedded: check and translate"]
                whole = medians["service: plan"] + medians["embedded: check and translate what the service made of it"]
                table.rows.append(Row(f"{name}: through the service, both", whole, "ms", whole / base))
        finally:
            lake.close()
    table.finding = (
        f"embedded {embedded:.2f} ms ({embedded / base:.1f} x transpile); through the service {whole:.1f} ms"
    )
    table.met = embedded <= LIMIT_MILLISECONDS
    return table
