"""Runs one statement of any kind and leaves its result object: the table from a statement's family to who runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from embedded.athena_engine import Run
from embedded.athena_executions import Execution, ResultColumn
from embedded.athena_results import metadata_object, write_object
from embedded.athena_runner import Outcome, PlannedQuery, QueryRunner, QueryText
from embedded.athena_work_groups import WorkGroup
from embedded.lake_files import ObjectStore, S3Location
from embedded.sql.errors import TrinoError
from embedded.sql.parser import parse_query
from embedded.statements.catalogue_access import CatalogueAccess
from embedded.statements.explaining import Explain, io_lines, parse_explain, plan_lines
from embedded.statements.hive_grammar import parse_statement
from embedded.statements.kind import StatementKind, kind_of, without_terminator
from embedded.statements.showing import TextResult, show

DEFAULT_DATABASE = "default"


@dataclass(frozen=True)
class StatementCall:
    """One execution's statement with what its run needs."""

    execution: Execution
    kind: StatementKind
    group: WorkGroup
    run: Run

    @property
    def sql(self) -> str:
        return without_terminator(self.execution.query)

    @property
    def database(self) -> str:
        return (self.execution.database or DEFAULT_DATABASE).lower()

    def query(self, sql: str) -> QueryText:
        return QueryText(sql, self.database, self.execution.parameters)


def check_syntax(sql: str) -> StatementKind:
    """The kind of a statement whose grammar is right. Raises TrinoError for all that StartQueryExecution refuses."""
    kind = kind_of(sql)
    text = without_terminator(sql)
    if kind is None:
        raise _no_statement(text)
    if kind.family == "query":
        parse_query(text)
    elif kind.family == "explain":
        explained = parse_explain(text).sql
        inner = kind_of(explained)
        if inner is None or inner.family == "query":
            parse_query(explained)
    elif kind.family in ("show", "definition"):
        parse_statement(sql)
    return kind


_STATEMENT_WORDS = (
    "ALTER ANALYZE CALL COMMIT CREATE DEALLOCATE DELETE DESC DESCRIBE DROP EXECUTE EXPLAIN GRANT INSERT MERGE PREPARE"
    " REFRESH RESET REVOKE ROLLBACK SET SHOW START TRUNCATE UNLOAD UPDATE USE"
)


def _no_statement(text: str) -> TrinoError:
    """The refusal of a text that begins like no statement, in the words of Athena's parser."""
    try:
        parse_query(text)
    except TrinoError as error:
        if ". Expecting: " not in error.message:
            return error
        expected = ", ".join(f"'{word}'" for word in _STATEMENT_WORDS.split())
        message = f"{error.message.partition('. Expecting: ')[0]}. Expecting: {expected}, <query>"
        return TrinoError(error.name, message, line=error.line, column=error.column)
    return TrinoError("NOT_SUPPORTED", "Queries of this type are not supported")


class StatementRunner:
    """Runs statements over one catalogue, one store and one engine."""

    def __init__(self, *, glue: Any, store: ObjectStore, queries: QueryRunner) -> None:
        self._glue = glue
        self._store = store
        self._queries = queries
        self._families: dict[str, Callable[[StatementCall, Path], Outcome]] = {
            "query": self._query,
            "explain": self._explain,
            "show": self._show,
        }

    def run(self, call: StatementCall) -> Outcome:
        """Runs a statement and writes its result object. Raises TrinoError, Cancelled, ScanLimitExceeded."""
        location = S3Location.parse(call.execution.output_location)
        path = self._store.path(location.bucket, location.prefix)
        family = self._families.get(call.kind.family)
        if family is None:
            name = call.kind.substatement_type.replace("_", " ")
            raise TrinoError("NOT_SUPPORTED", f"{name} statements are not supported by the embedded Athena")
        outcome = family(call, path)
        if outcome.columns:
            write_object(path.with_name(path.name + ".metadata"), metadata_object(call.execution.id, outcome.columns))
        return outcome

    # --------------------------------------------------------------------------------------------------- queries

    def _query(self, call: StatementCall, path: Path) -> Outcome:
        return self._queries.select_into_csv(
            call.query(call.sql), path, call.run, maximum_scanned_bytes=call.group.maximum_scanned_bytes
        )

    def _explain(self, call: StatementCall, path: Path) -> Outcome:
        explain = parse_explain(call.sql)
        planned = self._queries.plan(call.query(explain.sql), call.run.check)
        column = ResultColumn("Valid" if explain.is_validation else "Query Plan", "varchar")
        if explain.is_validation:
            lines, outcome = ["true"], Outcome()
        elif explain.options.get("TYPE") == "IO":
            lines, outcome = io_lines(_tables_read(planned)), Outcome()
        else:
            lines, outcome = self._plan(explain, planned, call)
        write_object(path, _text(lines))
        return replace(outcome, columns=(column,), row_count=len(lines))

    def _plan(self, explain: Explain, planned: PlannedQuery, call: StatementCall) -> tuple[list[str], Outcome]:
        prefix = "EXPLAIN ANALYZE" if explain.analyze else "EXPLAIN"
        if explain.is_json:
            prefix = "EXPLAIN (ANALYZE, FORMAT json)" if explain.analyze else "EXPLAIN (FORMAT json)"
        plan = ""

        def work(cursor: duckdb.DuckDBPyConnection, relations: str) -> int:
            nonlocal plan
            row = cursor.execute(f"{prefix} {relations}{planned.translation.sql}").fetchone()
            plan = row[1] if row else ""
            return 0

        _, malformed = self._queries.execute(planned, call.run, work)
        heading = [] if explain.is_json else _heading(planned)
        scanned = planned.size_bytes if explain.analyze else 0
        outcome = Outcome(scanned_bytes=scanned, malformed=malformed)
        return plan_lines(heading, plan), outcome

    # -------------------------------------------------------------------------------------------------- utilities

    def _show(self, call: StatementCall, path: Path) -> Outcome:
        result = show(parse_statement(call.sql), CatalogueAccess(self._glue, call.database))
        return self._write_text(result, path)

    def _write_text(self, result: TextResult, path: Path) -> Outcome:
        write_object(path, _text(result.lines))
        return Outcome(columns=tuple(result.columns), row_count=len(result.lines))


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _heading(planned: PlannedQuery) -> list[str]:
    names = ", ".join(column.name for column in planned.translation.columns)
    lines = ["Fragment 0 [SINGLE]", f"    Output[columnNames = [{names}]]"]
    for scan in planned.scans:
        partitions = len({found.values for found in scan.files})
        lines.append(
            f"    TableScan[table = awsdatacatalog:{scan.table.database}:{scan.table.name}]"
            f" {partitions} partitions, {len(scan.files)} files, {scan.size_bytes} bytes"
        )
    return lines


def _tables_read(planned: PlannedQuery) -> list[dict[str, Any]]:
    return [
        {
            "table": {
                "catalog": "awsdatacatalog",
                "schemaTable": {"schema": scan.table.database, "table": scan.table.name},
            },
            "columns": [column.name for column in scan.scan.columns],
            "estimate": {"outputSizeInBytes": scan.size_bytes},
        }
        for scan in planned.scans
    ]
