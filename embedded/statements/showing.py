"""SHOW and DESCRIBE: what the catalogue holds, as the lines of text that Athena writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedded.athena_executions import ResultColumn
from embedded.sql.errors import TrinoError
from embedded.statements import model
from embedded.statements.catalogue_access import VIRTUAL_VIEW, CatalogueAccess, hive_pattern, semantic_error
from embedded.statements.view_text import view_of

_WIDTH = 20


@dataclass(frozen=True)
class TextResult:
    """The lines of a utility statement and the names of their tab-separated columns."""

    lines: Sequence[str]
    columns: Sequence[ResultColumn]


def _text_columns(*names: str) -> tuple[ResultColumn, ...]:
    return tuple(ResultColumn(name, "string") for name in names)


def show(statement: model.Statement, catalogue: CatalogueAccess) -> TextResult:
    """Runs a SHOW or DESCRIBE statement. Raises TrinoError."""
    match statement:
        case model.ShowDatabases(pattern):
            chosen = hive_pattern(pattern)
            names = sorted(found["Name"] for found in catalogue.databases())
            return TextResult([name for name in names if chosen.fullmatch(name)], _text_columns("database_name"))
        case model.ShowTables():
            return _tables(statement, catalogue)
        case model.ShowColumns(table):
            found = catalogue.table(table)
            names = [column["Name"] for column in all_columns(found)]
            return TextResult([f"{name:<{_WIDTH}}" for name in names], _text_columns("field"))
        case model.ShowPartitions(table):
            return TextResult(list(_partitions(table, catalogue)), _text_columns("partition"))
        case model.ShowTableProperties(table, name):
            return _properties(catalogue.table(table), name)
        case model.ShowCreateTable(table):
            found = catalogue.table(table)
            if found.get("TableType") == VIRTUAL_VIEW:
                raise TrinoError("SYNTAX_ERROR", f"{table.name} is a view, use SHOW CREATE VIEW")
            return TextResult(list(create_table_lines(found)), _text_columns("createtab_stmt"))
        case model.ShowCreateView(table):
            found = catalogue.table(table)
            view = view_of(found)
            if view is None:
                raise TrinoError("SYNTAX_ERROR", f"{table.name} is not a view")
            lines = [f"CREATE VIEW {found['DatabaseName']}.{found['Name']} AS", *view.sql.splitlines()]
            return TextResult(lines, (ResultColumn("Create View", "varchar"),))
        case model.DescribeTable():
            return _described(statement, catalogue)
    raise TrinoError("NOT_SUPPORTED", f"{type(statement).__name__} shows nothing")


def all_columns(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The declared columns, partition keys last."""
    return [*(table.get("StorageDescriptor", {}).get("Columns") or ()), *(table.get("PartitionKeys") or ())]


def _tables(statement: model.ShowTables, catalogue: CatalogueAccess) -> TextResult:
    database = statement.database or catalogue.database
    catalogue.require_database(database)
    chosen = hive_pattern(statement.pattern)
    names = sorted(
        found["Name"]
        for found in catalogue.tables(database)
        if not statement.views_only or found.get("TableType") == VIRTUAL_VIEW
    )
    column = "views" if statement.views_only else "tab_name"
    return TextResult([name for name in names if chosen.fullmatch(name)], _text_columns(column))


def _partitions(name: model.TableName, catalogue: CatalogueAccess) -> Iterator[str]:
    table = catalogue.table(name)
    keys = [key["Name"] for key in table.get("PartitionKeys") or ()]
    if not keys:
        raise semantic_error(f"[Error 10241]: Table {name.name} is not a partitioned table")
    database, table_name = name.in_database(catalogue.database)
    for row in catalogue.partitions(database, table_name):
        yield "/".join(f"{key}={value}" for key, value in zip(keys, row.values, strict=True))


def _properties(table: Mapping[str, Any], name: str | None) -> TextResult:
    properties = dict(table.get("Parameters") or {})
    columns = _text_columns("prpt_name", "prpt_value")
    if name is None:
        return TextResult([f"{key}\t{properties[key]}" for key in sorted(properties)], columns)
    if name not in properties:
        return TextResult([f"Table {table['DatabaseName']}.{table['Name']} does not have property: {name}"], columns)
    return TextResult([f"{name}\t{properties[name]}"], columns)


# -------------------------------------------------------------------------------------------------------- describe


def _line(name: str, second: str, third: str) -> str:
    return f"{name:<{_WIDTH}}\t{second:<{_WIDTH}}\t{third:<{_WIDTH}}"


def _column_line(column: Mapping[str, Any]) -> str:
    return _line(column["Name"], column.get("Type", "string"), column.get("Comment") or "")


def _described(statement: model.DescribeTable, catalogue: CatalogueAccess) -> TextResult:
    table = catalogue.table(statement.table)
    columns = _text_columns("col_name", "data_type", "comment")
    if statement.column:
        wanted = [column for column in all_columns(table) if column["Name"].lower() == statement.column]
        if not wanted:
            raise semantic_error(f"[Error 10002]: Invalid column reference {statement.column}")
        return TextResult([_column_line(column) for column in wanted], columns)
    keys = table.get("PartitionKeys") or ()
    lines = [_column_line(column) for column in all_columns(table)]
    if statement.formatted:
        lines = [_line("# col_name", "data_type", "comment"), "\t \t ", *lines[: len(lines) - len(keys)]]
    if keys:
        lines += ["\t \t ", "# Partition Information\t \t ", _line("# col_name", "data_type", "comment"), "\t \t "]
        lines += [_column_line(key) for key in keys]
    if statement.formatted:
        lines += ["\t \t ", *_formatted_details(table)]
    if statement.extended:
        details = json.dumps(table, default=str, sort_keys=True)
        lines += ["\t \t ", f"Detailed Table Information\t{details}\t "]
    return TextResult(lines, columns)


def _formatted_details(table: Mapping[str, Any]) -> Iterator[str]:
    descriptor = table.get("StorageDescriptor", {})
    serde = descriptor.get("SerdeInfo", {})
    yield "# Detailed Table Information\t \t "
    for label, value in (
        ("Database:", table.get("DatabaseName", "")),
        ("Owner:", table.get("Owner", "hadoop")),
        ("CreateTime:", str(table.get("CreateTime", ""))),
        ("Location:", descriptor.get("Location", "")),
        ("Table Type:", table.get("TableType", "")),
    ):
        yield f"{label:<{_WIDTH}}\t{value:<{_WIDTH}}\t "
    yield "Table Parameters:\t \t "
    for name, value in sorted((table.get("Parameters") or {}).items()):
        yield f"\t{name:<{_WIDTH}}\t{value:<{_WIDTH}}"
    yield "\t \t "
    yield "# Storage Information\t \t "
    for label, value in (
        ("SerDe Library:", serde.get("SerializationLibrary", "")),
        ("InputFormat:", descriptor.get("InputFormat", "")),
        ("OutputFormat:", descriptor.get("OutputFormat", "")),
    ):
        yield f"{label:<{_WIDTH}}\t{value:<{_WIDTH}}\t "
    yield "Storage Desc Params:\t \t "
    for name, value in sorted((serde.get("Parameters") or {}).items()):
        yield f"\t{name:<{_WIDTH}}\t{value:<{_WIDTH}}"


# ------------------------------------------------------------------------------------------------------ show create


def _string(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t") + "'"


def _column_lines(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for column in columns:
        comment = f" COMMENT {_string(column['Comment'])}" if column.get("Comment") else ""
        lines.append(f"  `{column['Name']}` {column.get('Type', 'string')}{comment}")
    return lines


def _listed(opening: str, lines: Sequence[str]) -> Iterator[str]:
    yield opening
    for line in lines[:-1]:
        yield f"{line}, "
    yield f"{lines[-1]})"


def create_table_lines(table: Mapping[str, Any]) -> Iterator[str]:
    """The statement that would make a table, as SHOW CREATE TABLE writes it."""
    descriptor = table.get("StorageDescriptor", {})
    serde = descriptor.get("SerdeInfo", {})
    columns = descriptor.get("Columns") or ()
    yield from _listed(
        f"CREATE EXTERNAL TABLE `{table['DatabaseName']}.{table['Name']}`(", _column_lines(columns) or [""]
    )
    if (comment := table.get("Description") or (table.get("Parameters") or {}).get("comment")) is not None:
        yield f"COMMENT {_string(comment)}"
    keys = table.get("PartitionKeys") or ()
    if keys:
        yield from _listed("PARTITIONED BY ( ", _column_lines(keys))
    if descriptor.get("BucketColumns") and descriptor.get("NumberOfBuckets", 0) > 0:
        yield from _listed("CLUSTERED BY ( ", [f"  {name}" for name in descriptor["BucketColumns"]])
        yield f"INTO {descriptor['NumberOfBuckets']} BUCKETS"
    if serde.get("SerializationLibrary"):
        yield "ROW FORMAT SERDE "
        yield f"  {_string(serde['SerializationLibrary'])} "
    if serde.get("Parameters"):
        pairs = [f"  {_string(name)}={_string(value)}" for name, value in sorted(serde["Parameters"].items())]
        yield from _listed("WITH SERDEPROPERTIES ( ", pairs)
    if descriptor.get("InputFormat"):
        yield "STORED AS INPUTFORMAT "
        yield f"  {_string(descriptor['InputFormat'])} "
        yield "OUTPUTFORMAT "
        yield f"  {_string(descriptor.get('OutputFormat', ''))}"
    yield "LOCATION"
    yield f"  {_string(descriptor.get('Location', ''))}"
    parameters = {
        name: value for name, value in (table.get("Parameters") or {}).items() if name not in ("EXTERNAL", "comment")
    }
    if parameters:
        pairs = [f"  {_string(name)}={_string(value)}" for name, value in sorted(parameters.items())]
        yield from _listed("TBLPROPERTIES (", pairs)
