"""Runs one query: translate, find the files, read them, write the result object, count what could not be read.

Malformed input never costs the good rows. The files are read strictly, which is the fast way; when one of them can't
be, it is looked at on its own, its good rows are kept aside in a clean copy, the bad ones are counted, and the query
runs again over the clean copy. What was found out about a file is remembered, so this happens once per file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter

import duckdb

from embedded.athena_catalogue import GlueTables, QueryCatalogue
from embedded.athena_engine import DuckEngine, Run
from embedded.athena_executions import MalformedRows, ResultColumn
from embedded.athena_results import write_csv
from embedded.malformed_input import FileVerdicts
from embedded.scan import PlannedScan, ScanPlanner
from embedded.sql.catalogue import Translation
from embedded.sql.errors import TrinoError
from embedded.sql.physical import quoted
from embedded.sql.runtime_errors import trino_error
from embedded.sql.translation import prepare, text_query, translate

_MAXIMUM_ATTEMPTS = 20


@dataclass(frozen=True)
class QueryText:
    """What is run: the SQL, the literals for its `?`, and the database that unqualified names mean."""

    sql: str
    database: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a statement left behind beside its result object."""

    columns: tuple[ResultColumn, ...] = ()
    row_count: int | None = None
    update_count: int | None = None
    has_header: bool = False
    scanned_bytes: int = 0
    planning_milliseconds: int = 0
    malformed: MalformedRows = field(default_factory=MalformedRows)
    manifest_location: str = ""


@dataclass(frozen=True)
class PlannedQuery:
    """A translated query with the files of its scans."""

    translation: Translation
    scans: tuple[PlannedScan, ...]
    planning_milliseconds: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of the files it opens, each file once."""
        return sum({found.file.path: found.file.size_bytes for scan in self.scans for found in scan.files}.values())

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        return tuple(ResultColumn(column.name, str(column.type)) for column in self.translation.columns)


class QueryRunner:
    """Runs queries on one DuckDB instance over one catalogue and one store."""

    def __init__(
        self,
        engine: DuckEngine,
        glue: GlueTables,
        planner: ScanPlanner,
        verdicts: FileVerdicts,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._glue = glue
        self._planner = planner
        self._verdicts = verdicts
        self._clock = clock

    def plan(self, query: QueryText, check: Callable[[], None]) -> PlannedQuery:
        """Raises TrinoError for a query at fault."""
        started = perf_counter()
        catalogue = QueryCatalogue(self._glue, query.database)
        translation = translate(
            query.sql, catalogue, database=query.database, now=self._clock(), parameters=query.parameters
        )
        check()
        scans = []
        for scan in translation.scans:
            table = catalogue.table(scan.database, scan.table)
            if table is None:
                raise TrinoError(
                    "TABLE_NOT_FOUND", f"Table 'awsdatacatalog.{scan.database}.{scan.table}' does not exist"
                )
            scans.append(self._planner.plan(scan, table))
            check()
        return PlannedQuery(translation, tuple(scans), int((perf_counter() - started) * 1000))

    def select_into_csv(
        self, query: QueryText, path: Path, run: Run, *, maximum_scanned_bytes: int | None = None
    ) -> Outcome:
        """Runs a query and writes its rows as a result object. Raises TrinoError, Cancelled."""
        planned = self.plan(query, run.check)
        if maximum_scanned_bytes is not None and planned.size_bytes > maximum_scanned_bytes:
            raise ScanLimitExceeded(planned.size_bytes, maximum_scanned_bytes)
        names = [column.name for column in planned.translation.columns]
        text_sql = text_query(planned.translation)

        def write(cursor: duckdb.DuckDBPyConnection, relations: str) -> int:
            return write_csv(cursor, relations + text_sql, names, path, check=run.check)

        row_count, malformed = self.execute(planned, run, write)
        return Outcome(
            columns=planned.columns,
            row_count=row_count,
            update_count=0,
            has_header=True,
            scanned_bytes=planned.size_bytes,
            planning_milliseconds=planned.planning_milliseconds,
            malformed=malformed,
        )

    def execute(
        self, planned: PlannedQuery, run: Run, work: Callable[[duckdb.DuckDBPyConnection, str], int]
    ) -> tuple[int, MalformedRows]:
        """Runs `work(cursor, "WITH scan_0 AS (...) ")`, again with clean copies while files turn out malformed."""
        cursor = self._engine.cursor()
        try:
            run.use(cursor)
            prepare(cursor, planned.translation)
            for _ in range(_MAXIMUM_ATTEMPTS):
                reading = self._verdicts.reading(planned.scans, cursor, run.check)
                relations = _with_clause(reading.relations)
                try:
                    is_complete = not reading.is_certain and _reads_everything(
                        cursor, relations + planned.translation.sql
                    )
                    answer = work(cursor, relations)
                except duckdb.Error as error:
                    run.check()
                    if not self._verdicts.learn(error, reading, cursor, run.check):
                        raise trino_error(error) from error
                    continue
                if is_complete:
                    self._verdicts.confirm(reading)
                return answer, reading.malformed()
            raise TrinoError("HIVE_CURSOR_ERROR", "the files of this query keep changing while it reads them")
        finally:
            run.release()
            cursor.close()


class ScanLimitExceeded(Exception):  # noqa: N818 - named as the errors of service are
    """The query would open more bytes than its workgroup allows."""

    def __init__(self, scanned_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"Bytes scanned limit was exceeded: {scanned_bytes} of {limit_bytes}")
        self.scanned_bytes = scanned_bytes
        self.limit_bytes = limit_bytes


_CONSUMING = frozenset(
    {
        "PROJECTION",
        "FILTER",
        "HASH_GROUP_BY",
        "PERFECT_HASH_GROUP_BY",
        "UNGROUPED_AGGREGATE",
        "SIMPLE_AGGREGATE",
        "ORDER_BY",
        "TOP_N",
        "WINDOW",
        "STREAMING_WINDOW",
        "UNION",
        "READ_JSON",
        "UNNEST",
    }
)
"""Operators that read their input to its end."""


def _reads_everything(cursor: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether DuckDB's plan reads every row of every file: no LIMIT, no join that may end early, nothing left out."""
    row = cursor.execute(f"EXPLAIN (FORMAT json) {sql}").fetchone()
    operators: list[str] = []
    pending = list(json.loads(row[1])) if row else []
    while pending:
        node = pending.pop()
        operators.append(node["name"].strip())
        pending += node["children"]
    return "READ_JSON" in operators and _CONSUMING.issuperset(operators)


def _with_clause(relations: Mapping[str, str]) -> str:
    if not relations:
        return ""
    parts = [f"{quoted(token)} AS NOT MATERIALIZED ({sql})" for token, sql in relations.items()]
    return f"WITH {', '.join(parts)} "
