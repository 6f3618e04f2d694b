"""Runs one query: translate, find the files, read them, write the result object, count what could not be read.

Malformed input never costs the good rows. The files are read strictly, which is the fast way; when one of them can't
be, it is looked at on its own, its good rows are kept aside in a clean copy, the bad ones are counted, and the query
runs again over the clean copy. What was found out about a file is remembered, so this happens once per file.
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter

import duckdb

from embedded.athena_catalogue import GlueTables, QueryCatalogue
from embedded.athena_engine import DuckEngine, Run
from embedded.athena_executions import MalformedRows, ResultColumn
from embedded.athena_results import write_csv
from embedded.catalogue_tables import (
    INFORMATION_SCHEMA,
    PARTITIONS_SUFFIX,
    information_schema_relation,
    partitions_relation,
)
from embedded.malformed_input import FileVerdicts
from embedded.scan import PlannedScan, ScanPlanner
from embedded.sql.catalogue import Column, TableScan, Translation
from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type, quoted
from embedded.sql.runtime_errors import trino_error
from embedded.sql.translation import text_query, translate
from embedded.statements.catalogue_access import CatalogueAccess
from embedded.statements.view_text import view_of

_MAXIMUM_ATTEMPTS = 20
_MAXIMUM_VIEW_DEPTH = 20
_CANNOT_PLAN = (duckdb.BinderException, duckdb.NotImplementedException)


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
class PlannedView:
    """A view: the query behind it, and the columns it shows."""

    query: PlannedQuery
    columns: Sequence[Column]

    def relation(self, with_clause: str) -> str:
        outputs = []
        for i, (inner, shown) in enumerate(zip(self.query.translation.columns, self.columns, strict=True)):
            is_same = physical_type(inner.type) == physical_type(shown.type)
            value = f"c{i}" if is_same else f"CAST(c{i} AS {physical_type(shown.type)})"
            outputs.append(f"{value} AS {quoted(shown.name)}")
        return f"{with_clause}SELECT {', '.join(outputs)} FROM ({self.query.translation.sql})"


@dataclass(frozen=True)
class PlannedQuery:
    """A translated query with what its relations are: scans of files, in parts that are read together, views, or the
    SQL of a catalogue's own table.
    """

    translation: Translation
    sources: Mapping[str, tuple[PlannedScan, ...] | PlannedView | str]
    planning_milliseconds: int = 0

    @property
    def scans(self) -> tuple[PlannedScan, ...]:
        """All scans of files, those of views too."""
        found: list[PlannedScan] = []
        for source in self.sources.values():
            if isinstance(source, tuple):
                found += source
            elif isinstance(source, PlannedView):
                found += source.query.scans
        return tuple(found)

    @property
    def size_bytes(self) -> int:
        """Bytes of the files it opens, each file once."""
        return sum({found.file.path: found.file.size_bytes for scan in self.scans for found in scan.files}.values())

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        return tuple(ResultColumn(column.name, str(column.type)) for column in self.translation.columns)

    @property
    def functions(self) -> frozenset[str]:
        """Python functions that the query and the views in it need."""
        found = self.translation.functions
        for source in self.sources.values():
            if isinstance(source, PlannedView):
                found |= source.query.functions
        return found

    def with_clause(self, relations: Mapping[int, str]) -> str:
        """`WITH scan_0 AS (...) `, empty for a query that reads nothing."""
        parts = []
        for token, source in self.sources.items():
            if isinstance(source, tuple):
                sql = " UNION ALL ".join(relations[id(part)] for part in source)
            elif isinstance(source, PlannedView):
                sql = source.relation(source.query.with_clause(relations))
            else:
                sql = source
            parts.append(f"{quoted(token)} AS NOT MATERIALIZED ({sql})")
        return f"WITH {', '.join(parts)} " if parts else ""


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

    def plan(self, query: QueryText, check: Callable[[], None], *, depth: int = 0) -> PlannedQuery:
        """Raises TrinoError for a query at fault."""
        if depth > _MAXIMUM_VIEW_DEPTH:
            raise TrinoError("VIEW_IS_RECURSIVE", "Statement would create a recursive view")
        started = perf_counter()
        catalogue = QueryCatalogue(self._glue, query.database)
        translation = translate(
            query.sql, catalogue, database=query.database, now=self._clock(), parameters=query.parameters
        )
        check()
        sources: dict[str, tuple[PlannedScan, ...] | PlannedView | str] = {}
        for scan in translation.scans:
            sources[scan.alias_token] = self._source(scan, catalogue, check, depth)
            check()
        return PlannedQuery(translation, sources, int((perf_counter() - started) * 1000))

    def _source(
        self, scan: TableScan, catalogue: QueryCatalogue, check: Callable[[], None], depth: int
    ) -> tuple[PlannedScan, ...] | PlannedView | str:
        access = CatalogueAccess(self._glue, scan.database)
        if scan.database == INFORMATION_SCHEMA:
            return information_schema_relation(scan.table, access)
        is_partitions = scan.table.endswith(PARTITIONS_SUFFIX)
        table = catalogue.table(scan.database, scan.table.removesuffix(PARTITIONS_SUFFIX))
        if table is None:
            raise TrinoError("TABLE_NOT_FOUND", f"Table 'awsdatacatalog.{scan.database}.{scan.table}' does not exist")
        if is_partitions:
            return partitions_relation(table, access)
        view = view_of(table)
        if view is None:
            return self._planner.plan(scan, table)
        inner = self.plan(QueryText(view.sql, view.database), check, depth=depth + 1)
        columns = catalogue.columns(None, scan.database, scan.table) or ()
        if len(columns) != len(inner.translation.columns):
            raise TrinoError("INVALID_VIEW", f"View '{scan.database}.{scan.table}' is stale or in invalid state")
        return PlannedView(inner, columns)

    def select_into_csv(
        self,
        query: QueryText,
        path: Path,
        run: Run,
        *,
        maximum_scanned_bytes: int | None = None,
        on_plan: Callable[[PlannedQuery], None] | None = None,
    ) -> Outcome:
        """Runs a query and writes its rows as a result object; `on_plan` hears what will be read before it is.

        Raises TrinoError, Cancelled.
        """
        planned = self.plan(query, run.check)
        if on_plan is not None:
            on_plan(planned)
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
            self._engine.prepare(replace(planned.translation, functions=planned.functions))
            for _ in range(_MAXIMUM_ATTEMPTS):
                reading = self._verdicts.reading(planned.scans, cursor, run.check)
                relations = planned.with_clause(reading.relations)
                try:
                    is_complete = not reading.is_certain and _reads_everything(
                        cursor, f"{relations}SELECT * FROM ({planned.translation.sql})"
                    )
                    answer = work(cursor, relations)
                except duckdb.Error as error:
                    run.check()
                    # DuckDB can't place every scan that checks its rows inside a correlated sub-query.
                    if isinstance(error, _CANNOT_PLAN) and self._verdicts.verify(reading, cursor, run.check):
                        continue
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


class ScanLimitExceeded(Exception):
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
        "STREAMING_SAMPLE",
        "UNION",
        "READ_CSV",
        "READ_JSON",
        "READ_PARQUET",
        "UNNEST",
    }
)
"""Operators that read their input to its end."""


def _reads_everything(cursor: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether DuckDB's plan reads every row of every text file: no LIMIT, no join that may end early, nothing left out.

    Parquet files beside them have no part in it.
    """
    row = cursor.execute(f"EXPLAIN (FORMAT json) {sql}").fetchone()
    operators: list[str] = []
    pending = list(json.loads(row[1])) if row else []
    while pending:
        node = pending.pop()
        operators.append(node["name"].strip())
        pending += node["children"]
        if operators[-1] == "READ_PARQUET":
            continue
        read, _, listed = node.get("extra_info", {}).get("Scanning Files", "").partition("/")
        if read != listed:  # DuckDB left files out by the values in their paths
            return False
    return not {"READ_CSV", "READ_JSON"}.isdisjoint(operators) and _CONSUMING.issuperset(operators)
