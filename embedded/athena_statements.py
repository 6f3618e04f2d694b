"""Runs one statement of any kind and leaves its result object: the table from a statement's family to who runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import duckdb
from botocore.exceptions import ClientError

from embedded.athena_engine import Run
from embedded.athena_executions import Execution, ResultColumn
from embedded.athena_results import metadata_object, write_object
from embedded.athena_runner import Outcome, PlannedQuery, QueryRunner, QueryText
from embedded.athena_work_groups import WorkGroup
from embedded.file_writing import FileWriter
from embedded.lake_files import ObjectStore, S3Location
from embedded.sql.errors import TrinoError
from embedded.sql.parser import parse_query
from embedded.statements.catalogue_access import CatalogueAccess
from embedded.statements.definitions import define
from embedded.statements.explaining import Explain, io_lines, parse_explain, plan_lines, without_sql
from embedded.statements.hive_grammar import parse_statement
from embedded.statements.kind import CREATE_TABLE_AS, StatementKind, kind_of, leading_words, without_terminator
from embedded.statements.showing import TextResult, show
from embedded.statements.writing import WritingStatements, Written
from embedded.statements.writing_grammar import (
    CreateTableAs,
    Deallocate,
    Execute,
    InsertInto,
    Prepare,
    Unload,
    parse_create_table_as,
    parse_create_view,
    parse_insert,
    parse_prepared,
    parse_unload,
)

DEFAULT_DATABASE = "default"


@dataclass(frozen=True)
class StatementCall:
    """One execution's statement with what its run needs."""

    execution: Execution
    kind: StatementKind
    group: WorkGroup
    run: Run
    on_plan: Callable[[PlannedQuery], None] | None = None

    @property
    def sql(self) -> str:
        return without_terminator(self.execution.query)

    @property
    def database(self) -> str:
        # awswrangler quotes the context of its DDL: "`sales`"
        return (self.execution.database.strip("`") or DEFAULT_DATABASE).lower()

    @property
    def results_folder(self) -> S3Location:
        """The folder that the client or the workgroup named for results."""
        location = S3Location.parse(self.execution.output_location)
        parts = location.prefix.split("/")
        depth = 2 if self.kind == CREATE_TABLE_AS else 1
        prefix = "".join(f"{part}/" for part in parts[:-depth])
        return S3Location(location.bucket, prefix)

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
    elif kind.family == "table":
        if _create_table_as(text) is None:
            parse_statement(sql)
            return StatementKind(kind.statement_type, kind.substatement_type, "definition")
        return CREATE_TABLE_AS
    elif kind.family in _GRAMMARS:
        held = _GRAMMARS[kind.family](text)
        if not isinstance(held, Execute | Deallocate):
            parse_held(held.query)
    return kind


def parse_held(sql: str) -> None:
    """Checks the grammar of the query (or of the statement to prepare) that a statement holds."""
    kind = kind_of(sql)
    if kind is None or kind.family == "query":
        parse_query(sql)
    else:
        check_syntax(sql)


def _create_table_as(text: str) -> CreateTableAs | None:
    """None where the text is no CREATE TABLE AS but Hive's CREATE TABLE."""
    try:
        return parse_create_table_as(text)
    except TrinoError as error:
        if error.name == "SYNTAX_ERROR":
            return None
        raise


def _parse_write(text: str) -> InsertInto | Unload:
    return parse_unload(text) if leading_words(text, 1) == ("UNLOAD",) else parse_insert(text)


_GRAMMARS: Mapping[str, Callable[[str], Any]] = {
    "write": _parse_write,
    "view": parse_create_view,
    "prepared": parse_prepared,
}


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


class PreparedStatements(Protocol):
    """Where prepared statements are kept: the Athena client's own operations."""

    def prepared_statement(self, work_group: str, name: str) -> Mapping[str, Any] | None: ...
    def prepare_statement(
        self, operation_name: str, work_group: str, name: str, query: str, description: str
    ) -> None: ...
    def deallocate_statement(self, operation_name: str, work_group: str, name: str) -> None: ...


class StatementRunner:
    """Runs statements over one catalogue, one store and one engine."""

    def __init__(
        self,
        *,
        glue: Any,
        store: ObjectStore,
        queries: QueryRunner,
        writer: FileWriter,
        prepared: PreparedStatements,
    ) -> None:
        self._glue = glue
        self._store = store
        self._queries = queries
        self._writer = writer
        self._prepared = prepared
        self._families: dict[str, Callable[[StatementCall, Path], Outcome]] = {
            "query": self._query,
            "explain": self._explain,
            "show": self._show,
            "definition": self._define,
            "table": self._create_table_as,
            "write": self._write,
            "view": self._create_view,
            "prepared": self._prepared_statement,
        }

    def run(self, call: StatementCall) -> Outcome:
        """Runs a statement and writes its result object. Raises TrinoError, Cancelled, ScanLimitExceeded."""
        location = S3Location.parse(call.execution.output_location)
        path = self._store.path(location.bucket, location.prefix)
        family = self._families.get(call.kind.family)
        if family is None:
            name = call.kind.substatement_type.replace("_", " ")
            raise TrinoError("NOT_SUPPORTED", f"{name} is for Iceberg tables, which the embedded Athena does not have")
        outcome = family(call, path)
        if outcome.columns:
            write_object(path.with_name(path.name + ".metadata"), metadata_object(call.execution.id, outcome.columns))
        publish = getattr(self._store, "publish", None)
        if publish is not None:
            publish()
        return outcome

    def resolved_kind(self, sql: str, kind: StatementKind, work_group: str) -> StatementKind:
        """EXECUTE is of the kind of the statement it executes; everything else is what it is."""
        if kind.substatement_type != "EXECUTE":
            return kind
        statement = parse_prepared(without_terminator(sql))
        found = self._prepared.prepared_statement(work_group, statement.name)
        inner = kind_of(found["QueryStatement"]) if found is not None else None
        if inner is None:
            return StatementKind("DML", "SELECT", "prepared")
        executed = CREATE_TABLE_AS if inner.family == "table" else inner
        return StatementKind(executed.statement_type, executed.substatement_type, "prepared")

    # --------------------------------------------------------------------------------------------------- queries

    def _query(self, call: StatementCall, path: Path) -> Outcome:
        return self._queries.select_into_csv(
            call.query(call.sql),
            path,
            call.run,
            maximum_scanned_bytes=call.group.maximum_scanned_bytes,
            on_plan=call.on_plan,
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
            sql = f"{prefix} {relations}SELECT * FROM ({planned.translation.sql})"  # noqa: S608 - our own translation
            row = cursor.execute(sql).fetchone()
            plan = without_sql(row[1], sql, is_json=explain.is_json) if row else ""
            return 0

        _, malformed = self._queries.execute(planned, call.run, work)
        heading = [] if explain.is_json else _heading(planned)
        scanned = planned.size_bytes if explain.analyze else 0
        outcome = Outcome(scanned_bytes=scanned, malformed=malformed)
        return plan_lines(heading, plan), outcome

    # -------------------------------------------------------------------------------------------------- utilities

    def _show(self, call: StatementCall, path: Path) -> Outcome:
        result = show(parse_statement(call.sql), self._catalogue(call))
        return self._write_text(result, path)

    def _define(self, call: StatementCall, path: Path) -> Outcome:
        lines = define(parse_statement(call.sql), self._catalogue(call), self._store)
        write_object(path, _text(lines))
        return Outcome(row_count=len(lines))

    def _catalogue(self, call: StatementCall) -> CatalogueAccess:
        return CatalogueAccess(self._glue, call.database)

    def _write_text(self, result: TextResult, path: Path) -> Outcome:
        write_object(path, _text(result.lines))
        return Outcome(columns=tuple(result.columns), row_count=len(result.lines))

    # ---------------------------------------------------------------------------------------------------- writing

    def _writing(self, call: StatementCall) -> WritingStatements:
        return WritingStatements(self._queries, self._writer, self._store, self._catalogue(call), call.run)

    def _create_table_as(self, call: StatementCall, path: Path) -> Outcome:
        statement = parse_create_table_as(call.sql)
        if statement is None:
            return self._define(call, path)
        folder = call.results_folder.child(f"tables/{call.execution.id}/")
        written = self._writing(call).create_table_as(statement, call.query(statement.query), folder)
        return self._written(call, path, written)

    def _write(self, call: StatementCall, path: Path) -> Outcome:
        statement = _parse_write(call.sql)
        query = call.query(statement.query)
        if isinstance(statement, Unload):
            return self._written(call, path, self._writing(call).unload(statement, query))
        return self._written(call, path, self._writing(call).insert_into(statement, query))

    def _written(self, call: StatementCall, path: Path, written: Written) -> Outcome:
        manifest = path.with_name(f"{path.name}-manifest.csv")
        write_object(manifest, _text([file.uri for file in written.files]))
        return Outcome(
            columns=(ResultColumn("rows", "bigint"),),
            row_count=written.row_count,
            update_count=written.row_count,
            scanned_bytes=written.scanned_bytes,
            planning_milliseconds=written.planning_milliseconds,
            malformed=written.malformed,
            manifest_location=f"{call.execution.output_location}-manifest.csv",
        )

    def _create_view(self, call: StatementCall, path: Path) -> Outcome:
        statement = parse_create_view(call.sql)
        self._writing(call).create_view(statement, call.query(statement.query))
        write_object(path, b"")
        return Outcome()

    # --------------------------------------------------------------------------------------------------- prepared

    def _prepared_statement(self, call: StatementCall, path: Path) -> Outcome:
        statement = parse_prepared(call.sql)
        if isinstance(statement, Execute):
            return self._executed(call, statement, path)
        try:
            if isinstance(statement, Prepare):
                self._prepared.prepare_statement(
                    "StartQueryExecution", call.group.name, statement.name, statement.query, ""
                )
            else:
                self._prepared.deallocate_statement("StartQueryExecution", call.group.name, statement.name)
        except ClientError as error:
            raise TrinoError("NOT_FOUND", str(error.response["Error"]["Message"])) from None
        write_object(path, b"")
        return Outcome()

    def _executed(self, call: StatementCall, statement: Execute, path: Path) -> Outcome:
        found = self._prepared.prepared_statement(call.group.name, statement.name)
        if found is None:
            raise TrinoError("NOT_FOUND", f"Prepared statement not found: {statement.name}", line=1, column=1)
        sql = found["QueryStatement"]
        kind = check_syntax(sql)
        if kind.family not in ("query", "write", "table"):
            raise TrinoError("NOT_SUPPORTED", "Only SELECT, INSERT, CTAS and UNLOAD statements can be executed")
        parameters = statement.parameters or call.execution.parameters
        execution = replace(call.execution, query=sql, parameters=parameters)
        return self._families[kind.family](replace(call, execution=execution, kind=kind), path)


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
