"""CREATE TABLE AS, INSERT INTO, UNLOAD and CREATE VIEW: statements that leave data or a view behind."""

# ruff: noqa: S608 - Trino's own SQL, analysed and typed before it runs

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
from botocore.exceptions import ClientError

from embedded.athena_engine import Run
from embedded.athena_executions import MalformedRows
from embedded.athena_runner import PlannedQuery, QueryRunner, QueryText
from embedded.file_writing import FileWriter, WritePlan, WrittenFile, check_storable
from embedded.lake_files import InvalidLocation, ObjectStore, S3Location, is_data
from embedded.partition_projection import is_projected
from embedded.serde import formats
from embedded.serde.text_lines import DelimitedReader
from embedded.sql.catalogue import Column
from embedded.sql.errors import TrinoError
from embedded.sql.types import TrinoType, can_coerce, parse_hive_type
from embedded.statements.catalogue_access import VIRTUAL_VIEW, CatalogueAccess, error_code
from embedded.statements.definitions import (
    add_partitions,
    default_location,
    partition_input,
    partition_keys,
    table_input,
)
from embedded.statements.definitions import storage_descriptor as new_storage_descriptor
from embedded.statements.view_text import hive_type, presto_view
from embedded.statements.writing_grammar import (
    CreateTableAs,
    CreateView,
    InsertInto,
    OutputFormat,
    Unload,
)

_JSON_SERDES = (formats.OPENX_JSON_SERDE, formats.HIVE_JSON_SERDE)
_FORMAT_OF_SERDE = {
    formats.PARQUET_SERDE: "PARQUET",
    formats.ORC_SERDE: "ORC",
    formats.AVRO_SERDE: "AVRO",
    formats.LAZY_SIMPLE_SERDE: "TEXTFILE",
    **dict.fromkeys(_JSON_SERDES, "JSON"),
}


@dataclass(frozen=True)
class Written:
    """What a writing statement did."""

    row_count: int = 0
    files: Sequence[WrittenFile] = ()
    scanned_bytes: int = 0
    planning_milliseconds: int = 0
    malformed: MalformedRows = field(default_factory=MalformedRows)


class WritingStatements:
    """Runs the statements that write, for one execution."""

    def __init__(
        self, queries: QueryRunner, writer: FileWriter, store: ObjectStore, catalogue: CatalogueAccess, run: Run
    ) -> None:
        self._queries = queries
        self._writer = writer
        self._store = store
        self._catalogue = catalogue
        self._run = run

    # ------------------------------------------------------------------------------------------------------ CTAS

    def create_table_as(self, statement: CreateTableAs, query: QueryText, tables_folder: S3Location) -> Written:
        """tables_folder: where a table goes that names no location of its own."""
        database, name = statement.table.in_database(self._catalogue.database)
        self._require_database(database)
        if self._catalogue.find_table(statement.table) is not None:
            if statement.if_not_exists:
                return Written()
            raise TrinoError(
                "TABLE_ALREADY_EXISTS",
                f"Destination table 'awsdatacatalog.{database}.{name}' already exists",
                line=1,
                column=1,
            )
        planned = self._queries.plan(query, self._run.check)
        columns = planned.translation.columns
        check_storable(columns)
        data = _data_columns(columns, statement.partitioned_by)
        self._check_buckets(statement, data)
        location = _parsed(statement.location) if statement.location else tables_folder
        self._require_empty(
            location, f"Target directory for table '{database}.{name}' already exists: {location.folder}"
        )
        plan = WritePlan(
            columns=columns,
            output=statement.output,
            location=location,
            partitioned_by=statement.partitioned_by,
            bucketed_by=statement.bucketed_by,
            bucket_count=statement.bucket_count,
        )
        written = self._write(planned, plan) if statement.with_data else Written()
        table = self._created_table(statement, name, location, columns, data)
        try:
            self._catalogue.glue.create_table(DatabaseName=database, TableInput=table)
        except ClientError as error:
            self._discard(written.files)
            raise TrinoError("TABLE_ALREADY_EXISTS", error.response["Error"]["Message"]) from None
        self._register({"DatabaseName": database, **table}, written.files)
        return written

    def _created_table(
        self,
        statement: CreateTableAs,
        name: str,
        location: S3Location,
        columns: Sequence[Column],
        data: Sequence[Column],
    ) -> dict[str, Any]:
        file_format = formats.FORMATS[statement.output.name]
        serde_properties = {}
        if statement.output.name == "TEXTFILE":
            delimiter = statement.output.field_delimiter
            serde_properties = {"field.delim": delimiter, "serialization.format": delimiter}
        by_name = {column.name.lower(): column for column in columns}
        compression = {"PARQUET": "parquet.compression", "ORC": "orc.compress"}.get(statement.output.name)
        parameters = {"EXTERNAL": "TRUE", "has_encrypted_data": "false"}
        parameters[compression or "write.compression"] = statement.output.compression
        return {
            "Name": name,
            "Owner": "hadoop",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": parameters,
            "PartitionKeys": [{"Name": key, "Type": hive_type(by_name[key].type)} for key in statement.partitioned_by],
            "StorageDescriptor": new_storage_descriptor(
                [{"Name": column.name.lower(), "Type": hive_type(column.type)} for column in data],
                str(location.folder),
                file_format,
                serde_properties,
                bucket_columns=statement.bucketed_by,
                bucket_count=statement.bucket_count,
            ),
        }

    def _check_buckets(self, statement: CreateTableAs, data: Sequence[Column]) -> None:
        names = {column.name.lower() for column in data}
        missing = [name for name in statement.bucketed_by if name not in names]
        if missing:
            raise TrinoError("INVALID_TABLE_PROPERTY", f"Bucketing columns {missing} not present in schema")

    # ---------------------------------------------------------------------------------------------------- INSERT

    def insert_into(self, statement: InsertInto, query: QueryText) -> Written:
        database, name = statement.table.in_database(self._catalogue.database)
        table = self._catalogue.find_table(statement.table)
        if table is None:
            raise TrinoError("TABLE_NOT_FOUND", f"Table 'awsdatacatalog.{database}.{name}' does not exist")
        if table.get("TableType") == VIRTUAL_VIEW:
            raise TrinoError("NOT_SUPPORTED", "Inserting into views is not supported", line=1, column=1)
        output = _output_of(table)
        keys = partition_keys(table)
        targets = _table_columns(table)
        planned = self._fitted(statement, query, targets)
        plan = WritePlan(
            columns=targets,
            output=output,
            location=_parsed(table["StorageDescriptor"]["Location"]),
            partitioned_by=keys,
            folder_of=lambda values: self._partition_folder(table, values),
        )
        written = self._write(planned, plan)
        self._register(table, written.files)
        return written

    def _fitted(self, statement: InsertInto, query: QueryText, targets: Sequence[Column]) -> PlannedQuery:
        """The query with its columns cast to the table's, columns that are not named NULL."""
        names = [column.name for column in targets]
        given = list(statement.columns) or names
        unknown = [column for column in given if column not in names]
        if unknown:
            raise TrinoError(
                "COLUMN_NOT_FOUND", f"Insert column name does not exist in target table: {unknown[0]}", line=1, column=1
            )
        planned = self._queries.plan(query, self._run.check)
        found = planned.translation.columns
        types = {column.name: column.type for column in targets}
        wanted = [types[column] for column in given]
        if len(found) != len(wanted) or not all(
            _is_insertable(column.type, target) for column, target in zip(found, wanted, strict=True)
        ):
            raise TrinoError(
                "TYPE_MISMATCH",
                "Insert query has mismatched column types:"
                f" Table: [{', '.join(map(str, wanted))}], Query: [{', '.join(str(c.type) for c in found)}]",
                line=1,
                column=1,
            )
        inner = [f"c{i}" for i in range(len(found))]
        outputs = []
        for target in targets:
            if target.name not in given:
                outputs.append(f"CAST(NULL AS {target.type})")
                continue
            position = given.index(target.name)
            source = found[position].type
            outputs.append(inner[position] if source == target.type else f"CAST({inner[position]} AS {target.type})")
        return self._queries.plan(
            replace(query, sql=f"SELECT {', '.join(outputs)} FROM ({query.sql}\n) AS t({', '.join(inner)})"),
            self._run.check,
        )

    def _partition_folder(self, table: Mapping[str, Any], values: Sequence[str]) -> S3Location:
        try:
            found = self._catalogue.glue.get_partition(
                DatabaseName=table["DatabaseName"], TableName=table["Name"], PartitionValues=list(values)
            )
        except ClientError as error:
            if error_code(error) != "EntityNotFoundException":
                raise
            return _parsed(default_location(table, values))
        return _parsed(found["Partition"]["StorageDescriptor"]["Location"])

    # ---------------------------------------------------------------------------------------------------- UNLOAD

    def unload(self, statement: Unload, query: QueryText) -> Written:
        location = _parsed(statement.location)
        planned = self._queries.plan(query, self._run.check)
        columns = planned.translation.columns
        check_storable(columns)
        _data_columns(columns, statement.partitioned_by)
        self._require_empty(location, f"Target directory for table already exists: {location.folder}")
        plan = WritePlan(columns, statement.output, location, statement.partitioned_by, timestamps_as_int96=True)
        return self._write(planned, plan)

    # ------------------------------------------------------------------------------------------------------ views

    def create_view(self, statement: CreateView, query: QueryText) -> None:
        database, name = statement.view.in_database(self._catalogue.database)
        self._require_database(database)
        found = self._catalogue.find_table(statement.view)
        if found is not None and (not statement.or_replace or found.get("TableType") != VIRTUAL_VIEW):
            kind = "View" if found.get("TableType") == VIRTUAL_VIEW else "Table"
            raise TrinoError(
                "ALREADY_EXISTS", f"{kind} already exists: 'awsdatacatalog.{database}.{name}'", line=1, column=1
            )
        columns = self._queries.plan(query, self._run.check).translation.columns
        _check_view_columns(columns)
        table: dict[str, Any] = {
            "Name": name,
            "Owner": "hadoop",
            "TableType": VIRTUAL_VIEW,
            "Parameters": {"comment": "Presto View", "presto_view": "true"},
            "PartitionKeys": [],
            "ViewOriginalText": presto_view(query.sql.strip(), self._catalogue.database, columns),
            "ViewExpandedText": "/* Presto View */",
            "StorageDescriptor": {
                "Columns": [{"Name": column.name.lower(), "Type": hive_type(column.type)} for column in columns],
                "Location": "",
                "SerdeInfo": {},
            },
        }
        if found is None:
            self._catalogue.glue.create_table(DatabaseName=database, TableInput=table)
        else:
            kept = {member: value for member, value in table_input(found).items() if member in ("Owner", "Retention")}
            self._catalogue.glue.update_table(DatabaseName=database, TableInput={**kept, **table})

    # ----------------------------------------------------------------------------------------------------- shared

    def _write(self, planned: PlannedQuery, plan: WritePlan) -> Written:
        files: list[WrittenFile] = []

        def work(cursor: duckdb.DuckDBPyConnection, relations: str) -> int:
            nonlocal files
            count, files = self._writer.write(plan, cursor, relations, planned.translation.sql, self._run.check)
            return count

        row_count, malformed = self._queries.execute(planned, self._run, work)
        return Written(row_count, files, planned.size_bytes, planned.planning_milliseconds, malformed)

    def _register(self, table: Mapping[str, Any], files: Sequence[WrittenFile]) -> None:
        if not partition_keys(table) or is_projected(table.get("Parameters") or {}):
            return
        folders: dict[tuple[str, ...], str] = {}
        for file in files:
            folders.setdefault(file.values, file.uri.rpartition("/")[0] + "/")
        inputs = [partition_input(table, values, folder) for values, folder in sorted(folders.items())]
        add_partitions(self._catalogue, table, inputs)

    def _require_database(self, database: str) -> None:
        if not self._catalogue.database_exists(database):
            raise TrinoError("SCHEMA_NOT_FOUND", f"Schema {database} not found")

    def _require_empty(self, location: S3Location, message: str) -> None:
        folder = location.folder
        try:
            is_taken = any(is_data(found.key) for found in self._store.list_files(folder.bucket, folder.prefix))
            self._store.path(folder.bucket, f"{folder.prefix}x")
        except ClientError as error:
            raise TrinoError("HIVE_FILESYSTEM_ERROR", str(error.response["Error"]["Message"])) from None
        if is_taken:
            raise TrinoError("HIVE_PATH_ALREADY_EXISTS", message)

    def _discard(self, files: Sequence[WrittenFile]) -> None:
        for file in files:
            location = S3Location.parse(file.uri)
            self._store.path(location.bucket, location.prefix).unlink(missing_ok=True)


def _parsed(location: str) -> S3Location:
    try:
        return S3Location.parse(location)
    except InvalidLocation as error:
        raise TrinoError("HIVE_INVALID_METADATA", str(error)) from None


def _data_columns(columns: Sequence[Column], partitioned_by: Sequence[str]) -> list[Column]:
    """The columns that lie in the files. Raises TrinoError unless the partition columns are the last ones, in order."""
    names = [column.name.lower() for column in columns]
    missing = [name for name in partitioned_by if name not in names]
    if missing:
        raise TrinoError("INVALID_TABLE_PROPERTY", f"Partition columns {missing} not present in schema")
    count = len(partitioned_by)
    if count and names[-count:] != list(partitioned_by):
        raise TrinoError(
            "HIVE_COLUMN_ORDER_MISMATCH",
            "Partition keys must be the last columns in the table and in the same order as the table properties:"
            f" [{', '.join(partitioned_by)}]",
        )
    if count == len(names):
        raise TrinoError("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    return list(columns[: len(columns) - count])


def _table_columns(table: Mapping[str, Any]) -> list[Column]:
    declared = [*(table["StorageDescriptor"].get("Columns") or ()), *(table.get("PartitionKeys") or ())]
    return [Column(column["Name"].lower(), parse_hive_type(column.get("Type") or "string")) for column in declared]


def _is_insertable(source: TrinoType, target: TrinoType) -> bool:
    """Trino coerces what can be; a text may be cut to the column's length when nothing but blanks is lost."""
    if can_coerce(source, target):
        return True
    return source.is_character and target.is_character


def _output_of(table: Mapping[str, Any]) -> OutputFormat:
    serde = table["StorageDescriptor"].get("SerdeInfo", {}).get("SerializationLibrary", "")
    name = _FORMAT_OF_SERDE.get(serde)
    if name is None:
        raise TrinoError("NOT_SUPPORTED", f"Writing to tables of SerDe {serde} is not supported")
    if (table["StorageDescriptor"].get("NumberOfBuckets") or 0) > 0:
        raise TrinoError("NOT_SUPPORTED", "Inserting into bucketed tables is not supported by the embedded Athena")
    parameters = table.get("Parameters") or {}
    written = parameters.get("write.compression") or parameters.get(
        {"PARQUET": "parquet.compression", "ORC": "orc.compress"}.get(name, ""), ""
    )
    compression = written.upper() or {"ORC": "ZLIB", "AVRO": "DEFLATE"}.get(name, "GZIP")
    delimiter = "\x01"
    if name == "TEXTFILE":
        properties = dict(table["StorageDescriptor"]["SerdeInfo"].get("Parameters") or {})
        delimiter = DelimitedReader(properties, {}).rules.separators[0]
    return OutputFormat(name, compression, delimiter)


def _check_view_columns(columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for position, column in enumerate(columns, 1):
        if not column.name or column.name.startswith("_col"):
            raise TrinoError(
                "MISSING_COLUMN_NAME", f"Column name not specified at position {position}", line=1, column=1
            )
        if column.name.lower() in seen:
            raise TrinoError(
                "DUPLICATE_COLUMN_NAME", f"Column name '{column.name}' specified more than once", line=1, column=1
            )
        seen.add(column.name.lower())
