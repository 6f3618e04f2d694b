"""The embedded Athena against bare DuckDB on the same files: what finding, typing and writing results costs.

Both read the same explicit list of gz files with declared columns and two threads, in one process, taking turns. Ours
is asked as a client would: start_query_execution, then get_query_execution until it has ended, so that translation,
partitions, listing, the result object and the stores are all in the time. Bare DuckDB is handed its list of files and
fetches its rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from api.composition import DATABASE
from bench.harness import Row, Table, interleaved, timed, versions
from bench.lake import EventsLake, events_lake
from embedded.athena import Athena

ROWS = 1_500_000
MEMORY = "2GB"
_FIRST_POLL_SECONDS = 0.002
_TERMINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_COLUMNS = {
    "resourceid": "VARCHAR",
    "customerid": "BIGINT",
    "operationid": "VARCHAR",
    "servicename": "VARCHAR",
    "createdtimestamp": "BIGINT",
    "datatags": "MAP(VARCHAR, VARCHAR)",
    "arrivaltimestamp": "BIGINT",
    "service": "VARCHAR",
    "data": "VARCHAR",
}


@dataclass(frozen=True)
class Question:
    """The same question in Athena's SQL and, over `{files}`, in DuckDB's."""

    name: str
    athena_sql: str
    duckdb_sql: str
    days: tuple[str, ...] = ()
    hour: str | None = None


QUESTIONS = (
    Question(
        "one hour, count",
        "SELECT count(*) FROM events WHERE dt = '2026-03-05' AND hr = '10'",
        "SELECT count(*) FROM {files}",
        ("2026-03-05",),
        "10",
    ),
    Question(
        "two days, filter, aggregates",
        "SELECT count(*), min(createdtimestamp), max(createdtimestamp), avg(arrivaltimestamp - createdtimestamp)"
        " FROM events WHERE dt BETWEEN '2026-03-04' AND '2026-03-05' AND servicename = 'billing' AND customerid > 1",
        "SELECT count(*), min(createdtimestamp), max(createdtimestamp), avg(arrivaltimestamp - createdtimestamp)"
        " FROM {files} WHERE servicename = 'billing' AND customerid > 1",
        ("2026-03-04", "2026-03-05"),
    ),
    Question(
        "all, group by, count distinct",
        "SELECT servicename, count(*), count(DISTINCT customerid), max(createdtimestamp) FROM events GROUP BY"
        " servicename",
        "SELECT servicename, count(*), count(DISTINCT customerid), max(createdtimestamp) FROM {files} GROUP BY"
        " servicename",
    ),
    Question(
        "one day, a field of the payload",
        "SELECT json_extract_scalar(data, '$.event_type'), count(*) FROM events WHERE dt = '2026-03-06' GROUP BY 1",
        "SELECT json_extract_string(data, '$.event_type'), count(*) FROM {files} GROUP BY 1",
        ("2026-03-06",),
    ),
)


def ask(athena: Athena, sql: str) -> Mapping[str, Any]:
    """Runs a query to its end as a client does; its QueryExecution. Raises RuntimeError when it did not succeed."""
    query_execution_id = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": DATABASE},
        ResultConfiguration={"OutputLocation": "s3://data-hist-results/"},
    )["QueryExecutionId"]
    started = time.perf_counter()
    time.sleep(_FIRST_POLL_SECONDS)
    while True:
        execution: Mapping[str, Any] = athena.get_query_execution(QueryExecutionId=query_execution_id)["QueryExecution"]
        state = execution["Status"]["State"]
        if state in _TERMINAL:
            break
        time.sleep(max(0.0005, (time.perf_counter() - started) * 0.02))
    if state != "SUCCEEDED":
        raise RuntimeError(f"{state}: {execution['Status'].get('StateChangeReason')}")
    return execution


def open_athena(made: EventsLake, folder: Path) -> Athena:
    """An embedded Athena over the lake, of two threads as bare DuckDB has."""
    return Athena(
        glue=made.lake.glue,
        s3=made.lake.s3,
        path=folder / "athena.sqlite",
        temporary_directory=folder / "temporary",
        memory_limit=MEMORY,
        max_concurrent_queries=8,
    )


def bare_connection() -> duckdb.DuckDBPyConnection:
    """DuckDB as its own documentation would have it."""
    return duckdb.connect(config={"memory_limit": MEMORY, "preserve_insertion_order": True})


def bare_source(paths: Sequence[str]) -> str:
    """read_json over an explicit list with declared columns."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
    files = ", ".join(f"'{path}'" for path in paths)
    return (
        f"read_json([{files}], columns = {{{columns}}}, format = 'newline_delimited', compression = 'gzip',"
        " hive_partitioning = false)"
    )


def embedded_over_bare(rows: int = ROWS) -> Table:
    """Each question by the embedded Athena and by bare DuckDB."""
    table = Table(
        "Embedded query over bare DuckDB",
        "",
        goal="at most 1.1 x + 5 ms (issue 2), 1.03 x + 2 ms (issue 3)",
        versions=versions("duckdb", "sqlglot"),
    )
    within: list[tuple[bool, bool]] = []
    findings = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = events_lake(folder, rows=rows)
        table.question = (
            f"{made.rows:,} events in {sum(map(len, made.files.values())):,} gz objects"
            f" ({made.size_bytes / 1e6:.0f} MB) of"
            " 5 minutes each; the same explicit list of files with declared columns for both; start to end."
            " Ratio: over bare"
            " DuckDB. First: files that the embedded Athena has not seen before (it then checks every value of"
            " every row"
            " against its declared type once, so that malformed rows are found whatever is asked)."
        )
        athena = open_athena(made, folder)
        try:
            with bare_connection() as bare:
                for question in QUESTIONS:
                    sql = question.duckdb_sql.format(files=bare_source(made.paths(*question.days, hour=question.hour)))
                    first = timed(lambda question=question: ask(athena, question.athena_sql))()
                    _check_same(athena, bare, question.athena_sql, sql)
                    medians = interleaved(
                        {
                            "bare": timed(lambda sql=sql: bare.execute(sql).fetchall()),
                            "ours": timed(lambda question=question: ask(athena, question.athena_sql)),
                        },
                        rounds=5 if question.days else 3,
                    )
                    plain, ours = medians["bare"], medians["ours"]
                    within.append((ours <= 1.1 * plain + 5, ours <= 1.03 * plain + 2))
                    findings.append(f"{question.name} {ours / plain:.2f} x ({ours - plain:+.1f} ms)")
                    table.rows += [
                        Row(f"{question.name}: bare DuckDB", plain, "ms", 1.0),
                        Row(f"{question.name}: embedded", ours, "ms", ours / plain, _verdict(within[-1])),
                        Row(f"{question.name}: embedded, first", first, "ms", first / plain),
                    ]
        finally:
            athena.close()
            made.lake.close()
    table.finding = "; ".join(findings)
    table.met = all(is_met for pair in within for is_met in pair)
    return table


def _verdict(within: tuple[bool, bool]) -> str:
    return {(True, True): "within both", (True, False): "within 1.1 x + 5 ms only"}.get(within, "over both")


def _check_same(athena: Athena, bare: duckdb.DuckDBPyConnection, ours: str, theirs: str) -> None:
    """Both must have answered the same, else nothing was compared."""
    answer = athena.get_query_results(QueryExecutionId=ask(athena, ours)["QueryExecutionId"])["ResultSet"]["Rows"][1:]
    found = sorted([cell.get("VarCharValue") for cell in row["Data"]] for row in answer)
    expected = sorted([str(value) for value in row] for row in bare.execute(theirs).fetchall())
    if [row[:2] for row in found] != [row[:2] for row in expected]:
        raise RuntimeError(f"answers differ: {found[:2]} and {expected[:2]}")
