"""DDL on the catalogue: databases, external tables, partitions. Data is never touched: external tables keep theirs.

Texts of failures are Hive's, as Athena passes them on. Doing a thing twice with IF [NOT] EXISTS equals doing it once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from botocore.exceptions import ClientError

from embedded.lake_files import InvalidLocation, ObjectStore, S3Location, is_data
from embedded.serde.formats import FORMATS, LAZY_SIMPLE_SERDE, FileFormat, format_of_serde
from embedded.sql.errors import TrinoError
from embedded.statements import model
from embedded.statements.catalogue_access import (
    VIRTUAL_VIEW,
    CatalogueAccess,
    ddl_error,
    error_code,
    semantic_error,
    table_not_found,
)

_BATCH = 100
_DELETED_AT_ONCE = 25
_TABLE_INPUT_MEMBERS = frozenset(
    {
        "Name",
        "Description",
        "Owner",
        "LastAccessTime",
        "LastAnalyzedTime",
        "Retention",
        "StorageDescriptor",
        "PartitionKeys",
        "ViewOriginalText",
        "ViewExpandedText",
        "TableType",
        "Parameters",
        "TargetTable",
    }
)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def define(statement: model.Statement, catalogue: CatalogueAccess, store: ObjectStore) -> list[str]:
    """Runs a DDL statement. Returns the lines it says. Raises TrinoError."""
    try:
        return _define(statement, catalogue, store)
    except ClientError as error:
        details = error.response["Error"]
        raise ddl_error(f"{details['Code'].removesuffix('Exception')}(message:{details['Message']})") from None


def _define(statement: model.Statement, catalogue: CatalogueAccess, store: ObjectStore) -> list[str]:
    match statement:
        case model.CreateDatabase():
            _create_database(statement, catalogue)
        case model.DropDatabase():
            _drop_database(statement, catalogue)
        case model.AlterDatabase(name, properties):
            _alter_database(name, properties, catalogue)
        case model.CreateTable():
            _create_table(statement, catalogue)
        case model.DropTable():
            _drop_table(statement, catalogue)
        case model.RepairTable(table):
            return _repair(table, catalogue, store)
        case model.AddPartitions() | model.DropPartitions() | model.RenamePartition():
            _change_partitions(statement, catalogue)
        case model.SetLocation():
            _set_location(statement, catalogue)
        case model.RenameTable():
            raise TrinoError("NOT_SUPPORTED", "ALTER TABLE RENAME TO is for Iceberg tables only")
        case model.DropColumn():
            raise TrinoError("NOT_SUPPORTED", "ALTER TABLE DROP COLUMN is for Iceberg tables only")
        case _:
            _change_table(statement, catalogue)
    return []


# ------------------------------------------------------------------------------------------------------ databases


def _create_database(statement: model.CreateDatabase, catalogue: CatalogueAccess) -> None:
    if catalogue.database_exists(statement.name):
        if statement.if_not_exists:
            return
        raise ddl_error(f"Database {statement.name} already exists")
    database: dict[str, Any] = {"Name": statement.name, "Parameters": dict(statement.properties)}
    if statement.comment:
        database["Description"] = statement.comment
    if statement.location:
        database["LocationUri"] = checked_location(statement.location)
    catalogue.glue.create_database(DatabaseInput=database)


def _drop_database(statement: model.DropDatabase, catalogue: CatalogueAccess) -> None:
    if not catalogue.database_exists(statement.name):
        if statement.if_exists:
            return
        raise semantic_error(f"[Error 10072]: Database does not exist: {statement.name}")
    if not statement.cascade and any(True for _ in catalogue.tables(statement.name)):
        raise ddl_error(
            f"InvalidOperationException(message:Database {statement.name} is not empty. One or more tables exist.)"
        )
    catalogue.glue.delete_database(Name=statement.name)


def _alter_database(name: str, properties: Mapping[str, str], catalogue: CatalogueAccess) -> None:
    catalogue.require_database(name)
    found = catalogue.glue.get_database(Name=name)["Database"]
    changed = {member: found[member] for member in ("Name", "Description", "LocationUri") if member in found}
    changed["Parameters"] = {**found.get("Parameters", {}), **properties}
    catalogue.glue.update_database(Name=name, DatabaseInput=changed)


# --------------------------------------------------------------------------------------------------------- tables


def checked_location(location: str) -> str:
    """The location as Athena keeps it, without the slash at its end.

    Raises TrinoError for one that is not in S3 or leaves its bucket.
    """
    try:
        parsed = S3Location.parse(location)
    except InvalidLocation as error:
        raise ddl_error(f"MetaException(message:{error})") from None
    return location.rstrip("/") if parsed.prefix.strip("/") else location


def _glue_columns(columns: Sequence[model.HiveColumn]) -> list[dict[str, str]]:
    return [
        {"Name": column.name, "Type": column.type, **({"Comment": column.comment} if column.comment else {})}
        for column in columns
    ]


def _file_format(statement: model.CreateTable) -> FileFormat:
    serde = "" if statement.serde == "delimited" else statement.serde
    if statement.stored_as:
        named = FORMATS.get(statement.stored_as)
        if named is None:
            raise semantic_error(f"Unrecognized file format in STORED AS clause: '{statement.stored_as}'")
        return FileFormat(named.input_format, named.output_format, serde or named.serde)
    if statement.input_format:
        return FileFormat(statement.input_format, statement.output_format, serde or LAZY_SIMPLE_SERDE)
    return format_of_serde(serde) if serde else FORMATS["TEXTFILE"]


def _create_table(statement: model.CreateTable, catalogue: CatalogueAccess) -> None:
    if statement.properties.get("table_type", "").upper() == "ICEBERG" or statement.has_partition_transforms:
        raise TrinoError("NOT_SUPPORTED", "Iceberg tables are not supported by the embedded Athena")
    if not statement.external:
        raise TrinoError(
            "NOT_SUPPORTED", "CREATE TABLE without EXTERNAL is for Iceberg tables; use CREATE EXTERNAL TABLE"
        )
    database, name = statement.table.in_database(catalogue.database)
    catalogue.require_database(database)
    if catalogue.find_table(statement.table) is not None:
        if statement.if_not_exists:
            return
        raise ddl_error(f"AlreadyExistsException(message:Table {name} already exists.)")
    if not statement.location:
        raise ddl_error("MetaException(message:No location is given for the external table)")
    catalogue.glue.create_table(DatabaseName=database, TableInput=_table_input_of(statement, name))


def _table_input_of(statement: model.CreateTable, name: str) -> dict[str, Any]:
    file_format = _file_format(statement)
    parameters = {"EXTERNAL": "TRUE", **statement.properties}
    if statement.comment:
        parameters["comment"] = statement.comment
    table: dict[str, Any] = {
        "Name": name,
        "Owner": "hadoop",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": _glue_columns(statement.partition_keys),
        "Retention": 0,
        "StorageDescriptor": storage_descriptor(
            _glue_columns(statement.columns),
            checked_location(statement.location),
            file_format,
            statement.serde_properties,
            bucket_columns=statement.bucket_columns,
            bucket_count=statement.bucket_count,
        ),
    }
    if statement.comment:
        table["Description"] = statement.comment
    return table


def storage_descriptor(
    columns: Sequence[Mapping[str, str]],
    location: str,
    file_format: FileFormat,
    serde_properties: Mapping[str, str],
    *,
    bucket_columns: Sequence[str] = (),
    bucket_count: int = 0,
) -> dict[str, Any]:
    """The StorageDescriptor that Athena writes for a table."""
    return {
        "Columns": list(columns),
        "Location": location,
        "InputFormat": file_format.input_format,
        "OutputFormat": file_format.output_format,
        "Compressed": False,
        "NumberOfBuckets": bucket_count or -1,
        "SerdeInfo": {
            "SerializationLibrary": file_format.serde,
            "Parameters": {"serialization.format": "1", **serde_properties},
        },
        "BucketColumns": list(bucket_columns),
        "SortColumns": [],
        "Parameters": {},
        "StoredAsSubDirectories": False,
    }


def _drop_table(statement: model.DropTable, catalogue: CatalogueAccess) -> None:
    database, name = statement.table.in_database(catalogue.database)
    found = catalogue.find_table(statement.table)
    is_view = found is not None and found.get("TableType") == VIRTUAL_VIEW
    if found is None or (statement.is_view and not is_view):
        if statement.if_exists and found is None:
            return
        if statement.is_view:
            raise TrinoError("TABLE_NOT_FOUND", f"line 1:1: View 'awsdatacatalog.{database}.{name}' does not exist")
        raise table_not_found(database, name)
    catalogue.glue.delete_table(DatabaseName=database, Name=name)


def table_input(table: Mapping[str, Any]) -> dict[str, Any]:
    """The TableInput that says what a table already is."""
    return {member: table[member] for member in _TABLE_INPUT_MEMBERS if member in table}


def _update(table: Mapping[str, Any], catalogue: CatalogueAccess, **changes: Any) -> None:
    changed = {**table_input(table), **changes}
    catalogue.glue.update_table(DatabaseName=table["DatabaseName"], TableInput=changed)


def _change_table(statement: model.Statement, catalogue: CatalogueAccess) -> None:
    match statement:
        case model.SetTableProperties(name, properties):
            table = catalogue.table(name)
            _update(table, catalogue, Parameters={**table.get("Parameters", {}), **properties})
        case model.UnsetTableProperties(name, names):
            table = catalogue.table(name)
            kept = {key: value for key, value in table.get("Parameters", {}).items() if key not in names}
            _update(table, catalogue, Parameters=kept)
        case model.AddColumns(name, columns):
            table = catalogue.table(name)
            _with_columns(table, [*table["StorageDescriptor"].get("Columns", ()), *_glue_columns(columns)], catalogue)
        case model.ReplaceColumns(name, columns):
            _with_columns(catalogue.table(name), _glue_columns(columns), catalogue)
        case model.ChangeColumn(name, old, new):
            table = catalogue.table(name)
            existing = table["StorageDescriptor"].get("Columns", ())
            if old not in [column["Name"] for column in existing]:
                raise semantic_error(f"[Error 10002]: Invalid column reference {old}")
            replaced = [_glue_columns([new])[0] if column["Name"] == old else column for column in existing]
            _with_columns(table, replaced, catalogue)
        case _:
            raise TrinoError("NOT_SUPPORTED", f"{type(statement).__name__} is not supported by the embedded Athena")


def _with_columns(table: Mapping[str, Any], columns: Sequence[Mapping[str, str]], catalogue: CatalogueAccess) -> None:
    names = [column["Name"].lower() for column in columns]
    names += [key["Name"].lower() for key in table.get("PartitionKeys") or ()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise semantic_error(f"[Error 10036]: Duplicate column name: {twice}")
    _update(table, catalogue, StorageDescriptor={**table["StorageDescriptor"], "Columns": list(columns)})


# ----------------------------------------------------------------------------------------------------- partitions


def partition_folder(keys: Sequence[str], values: Sequence[str]) -> str:
    """`key=value/key=value/`, values escaped as Hive escapes them."""
    return "".join(f"{key}={quote(value, safe=_UNESCAPED)}/" for key, value in zip(keys, values, strict=True))


_UNESCAPED = " !$&()+,-.;@_~|<>`"


def partition_keys(table: Mapping[str, Any]) -> list[str]:
    return [key["Name"].lower() for key in table.get("PartitionKeys") or ()]


def _ordered(table: Mapping[str, Any], values: model.PartitionValues) -> list[str]:
    """A PARTITION clause's values in the order of the table's keys."""
    keys = partition_keys(table)
    given = dict(values)
    if len(given) != len(values) or sorted(given) != sorted(keys):
        spec = ", ".join(f"{key}={value}" for key, value in values)
        raise semantic_error(f"Partition spec {{{spec}}} contains non-partition columns")
    return [given[key] for key in keys]


def partition_input(table: Mapping[str, Any], values: Sequence[str], location: str) -> dict[str, Any]:
    """A partition that is like its table except for its location."""
    return {
        "Values": list(values),
        "StorageDescriptor": {**table["StorageDescriptor"], "Location": location},
        "Parameters": {},
    }


def default_location(table: Mapping[str, Any], values: Sequence[str]) -> str:
    root = S3Location.parse(table["StorageDescriptor"]["Location"])
    return str(root.child(partition_folder(partition_keys(table), values)))


def add_partitions(
    catalogue: CatalogueAccess, table: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """Registers partitions, a hundred at a time. Returns the values of those that were known already."""
    known: list[list[str]] = []
    for start in range(0, len(inputs), _BATCH):
        answer = catalogue.glue.batch_create_partition(
            DatabaseName=table["DatabaseName"],
            TableName=table["Name"],
            PartitionInputList=list(inputs[start : start + _BATCH]),
        )
        for failed in answer.get("Errors", ()):
            detail = failed["ErrorDetail"]
            if detail["ErrorCode"] != "AlreadyExistsException":
                raise ddl_error(f"{detail['ErrorCode']}(message:{detail.get('ErrorMessage', '')})")
            known.append(failed["PartitionValues"])
    return known


def _change_partitions(
    statement: model.AddPartitions | model.DropPartitions | model.RenamePartition, catalogue: CatalogueAccess
) -> None:
    table = catalogue.table(statement.table)
    if not partition_keys(table):
        raise semantic_error(f"[Error 10241]: Table {table['Name']} is not a partitioned table")
    match statement:
        case model.AddPartitions(_, if_not_exists, partitions):
            inputs = []
            for spec, location in partitions:
                values = _ordered(table, spec)
                place = checked_location(location) if location else default_location(table, values)
                inputs.append(partition_input(table, values, place))
            known = add_partitions(catalogue, table, inputs)
            if known and not if_not_exists:
                raise ddl_error("AlreadyExistsException(message:Partition already exists.)")
        case model.DropPartitions(_, if_exists, conditions):
            for condition in conditions:
                _drop_partitions(table, condition, catalogue, if_exists=if_exists)
        case model.RenamePartition(_, old, new):
            _rename_partition(table, _ordered(table, old), _ordered(table, new), catalogue)


def _drop_partitions(
    table: Mapping[str, Any],
    conditions: Sequence[model.PartitionCondition],
    catalogue: CatalogueAccess,
    *,
    if_exists: bool,
) -> None:
    keys = partition_keys(table)
    unknown = [condition.key for condition in conditions if condition.key not in keys]
    if unknown:
        raise semantic_error(f"Partition spec contains non-partition columns: {', '.join(unknown)}")
    types = {key["Name"].lower(): key.get("Type", "string") for key in table["PartitionKeys"]}
    chosen = [
        list(row.values)
        for row in catalogue.partitions(table["DatabaseName"], table["Name"])
        if all(_meets(row.values[keys.index(item.key)], item, types[item.key]) for item in conditions)
    ]
    if not chosen and not if_exists:
        spec = ", ".join(f"{item.key} {item.operator} {item.value}" for item in conditions)
        raise semantic_error(f"[Error 10006]: Partition not found ({spec})")
    for start in range(0, len(chosen), _DELETED_AT_ONCE):
        catalogue.glue.batch_delete_partition(
            DatabaseName=table["DatabaseName"],
            TableName=table["Name"],
            PartitionsToDelete=[{"Values": values} for values in chosen[start : start + _DELETED_AT_ONCE]],
        )


def _meets(value: str, condition: model.PartitionCondition, type_text: str) -> bool:
    compare = _OPERATORS[condition.operator]
    if re.fullmatch(r"(tiny|small|big)?int", type_text):
        try:
            return compare(int(value), int(condition.value))
        except ValueError:
            return False
    return compare(value, condition.value)


def _rename_partition(
    table: Mapping[str, Any], old: Sequence[str], new: Sequence[str], catalogue: CatalogueAccess
) -> None:
    place = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
    found = _partition(table, old, catalogue)
    changed = {member: found[member] for member in ("StorageDescriptor", "Parameters") if member in found}
    catalogue.glue.update_partition(
        **place, PartitionValueList=list(old), PartitionInput={**changed, "Values": list(new)}
    )


def _partition(table: Mapping[str, Any], values: Sequence[str], catalogue: CatalogueAccess) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = catalogue.glue.get_partition(
            DatabaseName=table["DatabaseName"], TableName=table["Name"], PartitionValues=list(values)
        )["Partition"]
    except ClientError as error:
        if error_code(error) != "EntityNotFoundException":
            raise
        spec = ", ".join(f"{key}={value}" for key, value in zip(partition_keys(table), values, strict=True))
        raise semantic_error(f"[Error 10006]: Partition not found {{{spec}}}") from None
    return found


def _set_location(statement: model.SetLocation, catalogue: CatalogueAccess) -> None:
    table = catalogue.table(statement.table)
    location = checked_location(statement.location)
    if not statement.partition:
        _update(table, catalogue, StorageDescriptor={**table["StorageDescriptor"], "Location": location})
        return
    values = _ordered(table, statement.partition)
    found = _partition(table, values, catalogue)
    changed = {"Values": values, "Parameters": dict(found.get("Parameters") or {})}
    changed["StorageDescriptor"] = {**found["StorageDescriptor"], "Location": location}
    catalogue.glue.update_partition(
        DatabaseName=table["DatabaseName"], TableName=table["Name"], PartitionValueList=values, PartitionInput=changed
    )


# ---------------------------------------------------------------------------------------------------------- repair


def _repair(name: model.TableName, catalogue: CatalogueAccess, store: ObjectStore) -> list[str]:
    """MSCK REPAIR TABLE: registers the folders `key=value/...` below the table that the catalogue does not know."""
    table = catalogue.table(name)
    keys = partition_keys(table)
    if not keys:
        return []
    try:
        location = S3Location.parse(table["StorageDescriptor"]["Location"])
    except InvalidLocation as error:
        raise ddl_error(f"MetaException(message:{error})") from None
    known = {tuple(row.values) for row in catalogue.partitions(table["DatabaseName"], table["Name"])}
    found: dict[tuple[str, ...], str] = {}
    for values, place in _folders(store, location, keys):
        if values not in known:
            found.setdefault(values, place)
    if not found:
        return []
    inputs = [partition_input(table, values, place) for values, place in sorted(found.items())]
    add_partitions(catalogue, table, inputs)
    specs = ["/".join(f"{k}={v}" for k, v in zip(keys, values, strict=True)) for values in sorted(found)]
    missing = "\t".join(f"{table['Name']}:{spec}" for spec in specs)
    lines = [f"Partitions not in metastore:\t{missing}"]
    lines += [f"Repair: Added partition to metastore {table['Name']}:{spec}" for spec in specs]
    return lines


def _folders(store: ObjectStore, location: S3Location, keys: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    folder = location.folder
    for found in store.list_files(folder.bucket, folder.prefix):
        parts = found.key[len(folder.prefix) :].split("/")[:-1]
        if len(parts) < len(keys) or not is_data(found.key):
            continue
        values = []
        for key, part in zip(keys, parts, strict=False):
            name, separator, value = part.partition("=")
            if not separator or name.lower() != key:
                break
            values.append(unquote(value))
        else:
            yield tuple(values), str(folder.child("/".join(parts[: len(keys)]) + "/"))
