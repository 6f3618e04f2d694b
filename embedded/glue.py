"""Glue's catalogue on SQLite: the boto3 client's methods, arguments, answers and errors for databases, tables,
partitions, table versions, partition indexes, column statistics, tags, and crawlers (embedded.glue_crawlers).

For the partition tracker, the query service and the embedded Athena, with no AWS account. Limits, error codes and
per-item errors are those of the Glue web API (API reference; model of botocore); names of databases and tables are
lower-cased as Glue does. There is one catalogue: CatalogId is accepted and ignored. Beside boto3's methods there are
two short cuts for the embedded Athena: `table`, and `partitions`, whose cost follows what it finds, not what the table
holds.
"""

from __future__ import annotations

import base64
import functools
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from embedded.aws_json import from_json, to_json
from embedded.aws_shape import ACCOUNT_ID, REGION_NAME, Answer, Request, operation
from embedded.glue_crawlers import Crawl, CrawlerOperations
from embedded.glue_expression import UnsupportedExpressionError
from embedded.glue_filter import InvalidExpressionError, PartitionFilter, PartitionKey
from embedded.glue_partition_values import is_sort_key, key_kind
from embedded.glue_store import GlueStore, Position, StoredPartition, position_of

__all__ = ["Glue", "PartitionRow"]

PARTITIONS_PER_PAGE = 1000
TABLES_PER_PAGE = 100
PARTITION_INDEX_LIMIT = 3
TABLE_VERSION_LIMIT = 100_000
_DESCRIBED_TABLES = 1000
_INDEXABLE_TYPES = frozenset({"string", "int", "integer", "bigint", "long", "tinyint", "smallint"})


@dataclass(frozen=True)
class PartitionRow:
    """A partition as the embedded Athena needs it: values in the order of the keys, where it lies, and its storage
    descriptor as JSON text without the location (None for one that has none); equal descriptors are equal texts.
    """

    values: tuple[str, ...]
    location: str
    descriptor: str | None


@dataclass(frozen=True)
class _Table:
    """A table as stored; `body` is the JSON form of the Table shape without its version."""

    table_id: int
    database: str
    name: str
    version: int
    body: Mapping[str, Any]

    @functools.cached_property
    def keys(self) -> tuple[PartitionKey, ...]:
        return _partition_keys(self.body)


def _partition_keys(body: Mapping[str, Any]) -> tuple[PartitionKey, ...]:
    return tuple(
        PartitionKey(column["Name"].lower(), key_kind(column.get("Type"))) for column in body.get("PartitionKeys", ())
    )


class Glue(CrawlerOperations):
    """The catalogue in one SQLite file; safe for several threads and several processes on the same file.

    `crawl` is what a started crawler runs; without one crawlers can be defined only.
    """

    service_name: ClassVar[str] = "glue"
    unsupported_error_code: ClassVar[str] = "UnsupportedOperationException"

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), crawl: Crawl | None = None
    ) -> None:
        super().__init__()
        self._store = GlueStore(path)
        self._clock = clock
        self._start_crawlers(path, crawl)
        self._described: dict[tuple[str, str], tuple[tuple[int, int, str], Mapping[str, Any]]] = {}

    def close(self) -> None:
        """Stops running crawls and closes the file's connections."""
        self._close_crawlers()
        self._store.close()

    def partitions(self, database: str, table: str, expression: str | None = None) -> Iterator[PartitionRow]:
        """The partitions that an Expression chooses, in key order; all without one.

        The location of a partition that has none of its own is the table's. Raises EntityNotFoundException and, for
        the expression, InvalidInputException.
        """
        with self._store.reading() as connection:
            found = self._table("GetPartitions", connection, database, table)
        table_location = found.body.get("StorageDescriptor", {}).get("Location", "")
        rows = self._store.partitions(found.table_id, self._filter(found, expression))
        return (PartitionRow(row.values, row.location or table_location, row.descriptor) for row in rows)

    def table(self, database: str, name: str) -> Mapping[str, Any] | None:
        """The Table member of GetTable, None where there is no such table. Shared: for reading only.

        Each query asks for its tables several times, and turning a stored one into GetTable's shape takes longer than
        finding it: so what was turned is remembered by what was stored.
        """
        key = (database.lower(), name.lower())
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT id, version, body FROM tables WHERE database_name = ? AND name = ?", key
            ).fetchone()
        if row is None:
            return None
        known = self._described.get(key)
        if known is None or known[0] != row:
            known = (row, self._table_answer(_Table(row[0], *key, row[1], json.loads(row[2]))))
            if len(self._described) >= _DESCRIBED_TABLES:
                self._described.clear()
            self._described[key] = known
        return known[1]

    # --- databases -----------------------------------------------------------------------------------------------

    @operation("CreateDatabase")
    def create_database(self, request: Request) -> Answer:
        name = self._name("CreateDatabase", request["DatabaseInput"]["Name"])
        body = {
            **to_json(self._shape.shape("DatabaseInput"), request["DatabaseInput"]),
            "Name": name,
            "CreateTime": self._now(),
        }
        with self._store.writing() as connection:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO databases (name, body) VALUES (?, ?)", (name, json.dumps(body))
            )
            if cursor.rowcount == 0:
                raise self.error("CreateDatabase", "AlreadyExistsException", "Database already exists.")
            _set_tags(connection, _arn("database", name), request.get("Tags", {}))
        return {}

    @operation("GetDatabase")
    def get_database(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            return {"Database": self._database("GetDatabase", connection, request["Name"])}

    @operation("GetDatabases")
    def get_databases(self, request: Request) -> Answer:
        limit = request.get("MaxResults", TABLES_PER_PAGE)
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT name, body FROM databases WHERE name > ? ORDER BY name LIMIT ?",
                (self._after("GetDatabases", request), limit + 1),
            ).fetchall()
        answer: Answer = {"DatabaseList": [self._database_answer(body) for _, body in rows[:limit]]}
        if len(rows) > limit:
            answer["NextToken"] = _token(rows[limit - 1][0])
        return answer

    @operation("UpdateDatabase")
    def update_database(self, request: Request) -> Answer:
        name = request["Name"].lower()
        with self._store.writing() as connection:
            earlier = self._database("UpdateDatabase", connection, name)
            body = {
                **to_json(self._shape.shape("DatabaseInput"), request["DatabaseInput"]),
                "Name": name,
                "CreateTime": earlier["CreateTime"].timestamp(),
            }
            connection.execute("UPDATE databases SET body = ? WHERE name = ?", (json.dumps(body), name))
        return {}

    @operation("DeleteDatabase")
    def delete_database(self, request: Request) -> Answer:
        """Deletes a database and, as Glue does, the tables in it."""
        name = request["Name"].lower()
        with self._store.writing() as connection:
            self._database("DeleteDatabase", connection, name)
            for (table_id,) in connection.execute("SELECT id FROM tables WHERE database_name = ?", (name,)).fetchall():
                _delete_table(connection, table_id)
            connection.execute("DELETE FROM databases WHERE name = ?", (name,))
            connection.execute("DELETE FROM tags WHERE arn = ? OR arn GLOB ?", _arns_of_database(name))
        return {}

    # --- tables --------------------------------------------------------------------------------------------------

    @operation("CreateTable")
    def create_table(self, request: Request) -> Answer:
        for argument in ("OpenTableFormatInput", "TransactionId"):
            if argument in request:
                raise self.unsupported("CreateTable", argument)
        if "TableInput" not in request:
            raise self.error("CreateTable", "InvalidInputException", "TableInput is required.")
        name = self._name("CreateTable", request["TableInput"]["Name"])
        database = request["DatabaseName"].lower()
        body = self._table_body("CreateTable", request["TableInput"], name, self._now())
        with self._store.writing() as connection:
            self._database("CreateTable", connection, database)
            cursor = connection.execute(
                "INSERT OR IGNORE INTO tables (database_name, name, version, body) VALUES (?, ?, 0, ?)",
                (database, name, json.dumps(body)),
            )
            if cursor.rowcount == 0:
                raise self.error("CreateTable", "AlreadyExistsException", "Table already exists.")
            table = self._table("CreateTable", connection, database, name)
            for index in request.get("PartitionIndexes", ()):
                self._add_index("CreateTable", connection, table, index)
        return {}

    @operation("GetTable")
    def get_table(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            table = self._table("GetTable", connection, request["DatabaseName"], request["Name"])
        return {"Table": self._table_answer(table)}

    @operation("GetTables")
    def get_tables(self, request: Request) -> Answer:
        limit = request.get("MaxResults", TABLES_PER_PAGE)
        database = request["DatabaseName"].lower()
        matches = self._name_pattern("GetTables", request.get("Expression"))
        with self._store.reading() as connection:
            self._database("GetTables", connection, database)
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM tables WHERE database_name = ? AND name > ? ORDER BY name",
                    (database, self._after("GetTables", request)),
                )
            ]
            chosen = matches(names)
            tables = [self._table("GetTables", connection, database, name) for name in chosen[:limit]]
        answer: Answer = {"TableList": [self._table_answer(table) for table in tables]}
        if "NAME" in request.get("AttributesToGet", ()):
            answer["TableList"] = [{"Name": table.name, "DatabaseName": table.database} for table in tables]
        if len(chosen) > limit:
            answer["NextToken"] = _token(chosen[limit - 1])
        return answer

    @operation("UpdateTable")
    def update_table(self, request: Request) -> Answer:
        """Writes a new version; the one before is kept unless SkipArchive. VersionId, when given, must be current."""
        for argument in ("UpdateOpenTableFormatInput", "TransactionId", "ViewUpdateAction"):
            if argument in request:
                raise self.unsupported("UpdateTable", argument)
        if "TableInput" not in request:
            raise self.error("UpdateTable", "InvalidInputException", "TableInput is required.")
        with self._store.writing() as connection:
            name = request["TableInput"]["Name"]
            if request.get("Name", name).lower() != name.lower():
                raise self.unsupported("UpdateTable", "a new name")
            table = self._table("UpdateTable", connection, request["DatabaseName"], name)
            if "VersionId" in request and request["VersionId"] != str(table.version):
                raise self.error(
                    "UpdateTable",
                    "ConcurrentModificationException",
                    "Update table failed due to concurrent modifications.",
                )
            if not request.get("SkipArchive", False):
                self._archive(connection, table)
            body = self._table_body("UpdateTable", request["TableInput"], table.name, table.body["CreateTime"])
            keys = _partition_keys(body)
            if [key.kind for key in keys] != [key.kind for key in table.keys]:
                self._change_keys(connection, table, keys)
            connection.execute(
                "UPDATE tables SET version = version + 1, body = ? WHERE id = ?", (json.dumps(body), table.table_id)
            )
        return {}

    @operation("DeleteTable")
    def delete_table(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("DeleteTable", connection, request["DatabaseName"], request["Name"])
            _delete_table(connection, table.table_id)
        return {}

    @operation("BatchDeleteTable")
    def batch_delete_table(self, request: Request) -> Answer:
        errors = []
        with self._store.writing() as connection:
            self._database("BatchDeleteTable", connection, request["DatabaseName"])
            for name in request["TablesToDelete"]:
                try:
                    table = self._table("BatchDeleteTable", connection, request["DatabaseName"], name)
                    _delete_table(connection, table.table_id)
                except ClientError as error:
                    errors.append({"TableName": name, "ErrorDetail": _error_detail(error)})
        return {"Errors": errors}

    @operation("SearchTables")
    def search_tables(self, request: Request) -> Answer:
        """SearchText in name, description, columns or parameters; Filters by DatabaseName and Name."""
        limit = request.get("MaxResults", TABLES_PER_PAGE)
        words = request.get("SearchText", "").strip('"').lower()
        conditions = {item["Key"]: item["Value"].lower() for item in request.get("Filters", ())}
        for key in conditions:
            if key not in {"DatabaseName", "Name"}:
                raise self.unsupported("SearchTables", f"the filter {key}")
        if request.get("SortCriteria"):
            raise self.unsupported("SearchTables", "SortCriteria")
        database, _, name = self._after("SearchTables", request).partition("\0")
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT database_name, name FROM tables WHERE (database_name, name) > (?, ?) "
                "AND instr(lower(body), ?) ORDER BY database_name, name",
                (database, name, words),
            ).fetchall()
            chosen = [
                row
                for row in rows
                if row[0] == conditions.get("DatabaseName", row[0]) and row[1] == conditions.get("Name", row[1])
            ]
            tables = [self._table("SearchTables", connection, *row) for row in chosen[:limit]]
        answer: Answer = {"TableList": [self._table_answer(table) for table in tables]}
        if len(chosen) > limit:
            answer["NextToken"] = _token("\0".join(chosen[limit - 1]))
        return answer

    # --- table versions ------------------------------------------------------------------------------------------

    @operation("GetTableVersion")
    def get_table_version(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            table = self._table("GetTableVersion", connection, request["DatabaseName"], request["TableName"])
            version = self._version_number("GetTableVersion", request.get("VersionId", str(table.version)))
            found = self._version(connection, table, version)
        if found is None:
            raise self.error("GetTableVersion", "EntityNotFoundException", "Version not found.")
        return {"TableVersion": self._version_answer(found)}

    @operation("GetTableVersions")
    def get_table_versions(self, request: Request) -> Answer:
        """Newest first; the current version and those that were archived."""
        limit = request.get("MaxResults", TABLES_PER_PAGE)
        with self._store.reading() as connection:
            table = self._table("GetTableVersions", connection, request["DatabaseName"], request["TableName"])
            below = self._after("GetTableVersions", request)
            rows = connection.execute(
                "SELECT version FROM table_versions WHERE table_id = ? AND version < ? ORDER BY version DESC LIMIT ?",
                (table.table_id, int(below) if below else table.version, limit + 1),
            ).fetchall()
            versions = ([] if below else [table.version]) + [version for (version,) in rows]
            found = [self._version(connection, table, version) for version in versions[:limit]]
        answer: Answer = {"TableVersions": [self._version_answer(item) for item in found if item is not None]}
        if len(versions) > limit:
            answer["NextToken"] = _token(str(versions[limit - 1]))
        return answer

    @operation("DeleteTableVersion")
    def delete_table_version(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("DeleteTableVersion", connection, request["DatabaseName"], request["TableName"])
            self._delete_version("DeleteTableVersion", connection, table, request["VersionId"])
        return {}

    @operation("BatchDeleteTableVersion")
    def batch_delete_table_version(self, request: Request) -> Answer:
        errors = []
        with self._store.writing() as connection:
            table = self._table("BatchDeleteTableVersion", connection, request["DatabaseName"], request["TableName"])
            for version_id in request["VersionIds"]:
                try:
                    self._delete_version("BatchDeleteTableVersion", connection, table, version_id)
                except ClientError as error:
                    errors.append(
                        {"TableName": table.name, "VersionId": version_id, "ErrorDetail": _error_detail(error)}
                    )
        return {"Errors": errors}

    # --- partitions ----------------------------------------------------------------------------------------------

    @operation("CreatePartition")
    def create_partition(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("CreatePartition", connection, request["DatabaseName"], request["TableName"])
            self._create_partition("CreatePartition", connection, table, request["PartitionInput"])
        return {}

    @operation("BatchCreatePartition")
    def batch_create_partition(self, request: Request) -> Answer:
        """At most 100; a partition that is there already is an item of Errors, the others are created."""
        errors = []
        with self._store.writing() as connection:
            table = self._table("BatchCreatePartition", connection, request["DatabaseName"], request["TableName"])
            for partition in request["PartitionInputList"]:
                try:
                    self._create_partition("BatchCreatePartition", connection, table, partition)
                except ClientError as error:
                    errors.append(
                        {"PartitionValues": list(partition.get("Values", ())), "ErrorDetail": _error_detail(error)}
                    )
        return {"Errors": errors}

    @operation("GetPartition")
    def get_partition(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            table = self._table("GetPartition", connection, request["DatabaseName"], request["TableName"])
            position = self._position("GetPartition", table, request["PartitionValues"])
            found = self._store.partition(connection, table.table_id, position)
        if found is None:
            raise self._no_partition("GetPartition")
        return {"Partition": self._partition_answer(table, found)}

    @operation("BatchGetPartition")
    def batch_get_partition(self, request: Request) -> Answer:
        """At most 1000; values that no partition has are left out of the answer, as on Glue."""
        found = []
        with self._store.reading() as connection:
            table = self._table("BatchGetPartition", connection, request["DatabaseName"], request["TableName"])
            for item in request["PartitionsToGet"]:
                position = self._position("BatchGetPartition", table, item["Values"])
                partition = self._store.partition(connection, table.table_id, position)
                if partition is not None:
                    found.append(self._partition_answer(table, partition))
        return {"Partitions": found, "UnprocessedKeys": []}

    @operation("GetPartitions")
    def get_partitions(self, request: Request) -> Answer:
        """A page in the order of the keys; Expression, Segment and ExcludeColumnSchema as on Glue."""
        limit = request.get("MaxResults", PARTITIONS_PER_PAGE)
        segment = self._segment(request.get("Segment"))
        with self._store.reading() as connection:
            table = self._table("GetPartitions", connection, request["DatabaseName"], request["TableName"])
        chosen = self._filter(table, request.get("Expression"))
        rows = self._store.partitions(
            table.table_id, chosen, after=self._partition_token(request.get("NextToken")), segment=segment
        )
        with_columns = not request.get("ExcludeColumnSchema", False)
        page: list[StoredPartition] = []
        answer: Answer = {}
        for row in rows:
            if len(page) == limit:
                answer["NextToken"] = _token(json.dumps(page[-1].position))
                rows.close()  # type: ignore[attr-defined]  # a generator: gives its connection back
                break
            page.append(row)
        answer["Partitions"] = [self._partition_answer(table, row, with_columns) for row in page]
        return answer

    @operation("UpdatePartition")
    def update_partition(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("UpdatePartition", connection, request["DatabaseName"], request["TableName"])
            self._update_partition(
                "UpdatePartition", connection, table, request["PartitionValueList"], request["PartitionInput"]
            )
        return {}

    @operation("BatchUpdatePartition")
    def batch_update_partition(self, request: Request) -> Answer:
        errors = []
        with self._store.writing() as connection:
            table = self._table("BatchUpdatePartition", connection, request["DatabaseName"], request["TableName"])
            for entry in request["Entries"]:
                values = entry["PartitionValueList"]
                try:
                    self._update_partition("BatchUpdatePartition", connection, table, values, entry["PartitionInput"])
                except ClientError as error:
                    errors.append({"PartitionValueList": list(values), "ErrorDetail": _error_detail(error)})
        return {"Errors": errors}

    @operation("DeletePartition")
    def delete_partition(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("DeletePartition", connection, request["DatabaseName"], request["TableName"])
            self._delete_partition("DeletePartition", connection, table, request["PartitionValues"])
        return {}

    @operation("BatchDeletePartition")
    def batch_delete_partition(self, request: Request) -> Answer:
        """At most 25; one that does not exist is an item of Errors, the others are deleted."""
        errors = []
        with self._store.writing() as connection:
            table = self._table("BatchDeletePartition", connection, request["DatabaseName"], request["TableName"])
            for item in request["PartitionsToDelete"]:
                try:
                    self._delete_partition("BatchDeletePartition", connection, table, item["Values"])
                except ClientError as error:
                    errors.append({"PartitionValues": list(item["Values"]), "ErrorDetail": _error_detail(error)})
        return {"Errors": errors}

    # --- partition indexes ---------------------------------------------------------------------------------------

    @operation("CreatePartitionIndex")
    def create_partition_index(self, request: Request) -> Answer:
        """Recorded and answered; the embedded catalogue finds partitions by their leading keys without one."""
        with self._store.writing() as connection:
            table = self._table("CreatePartitionIndex", connection, request["DatabaseName"], request["TableName"])
            self._add_index("CreatePartitionIndex", connection, table, request["PartitionIndex"])
        return {}

    @operation("GetPartitionIndexes")
    def get_partition_indexes(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            table = self._table("GetPartitionIndexes", connection, request["DatabaseName"], request["TableName"])
            rows = connection.execute(
                "SELECT body FROM partition_indexes WHERE table_id = ? ORDER BY name", (table.table_id,)
            ).fetchall()
        return {"PartitionIndexDescriptorList": [json.loads(body) for (body,) in rows]}

    @operation("DeletePartitionIndex")
    def delete_partition_index(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            table = self._table("DeletePartitionIndex", connection, request["DatabaseName"], request["TableName"])
            cursor = connection.execute(
                "DELETE FROM partition_indexes WHERE table_id = ? AND name = ?", (table.table_id, request["IndexName"])
            )
            if cursor.rowcount == 0:
                raise self.error("DeletePartitionIndex", "EntityNotFoundException", "Partition index not found.")
        return {}

    # --- column statistics ---------------------------------------------------------------------------------------

    @operation("UpdateColumnStatisticsForTable")
    def update_column_statistics_for_table(self, request: Request) -> Answer:
        return self._update_statistics("UpdateColumnStatisticsForTable", request, None)

    @operation("UpdateColumnStatisticsForPartition")
    def update_column_statistics_for_partition(self, request: Request) -> Answer:
        return self._update_statistics("UpdateColumnStatisticsForPartition", request, request["PartitionValues"])

    @operation("GetColumnStatisticsForTable")
    def get_column_statistics_for_table(self, request: Request) -> Answer:
        return self._statistics("GetColumnStatisticsForTable", request, None)

    @operation("GetColumnStatisticsForPartition")
    def get_column_statistics_for_partition(self, request: Request) -> Answer:
        return self._statistics("GetColumnStatisticsForPartition", request, request["PartitionValues"])

    @operation("DeleteColumnStatisticsForTable")
    def delete_column_statistics_for_table(self, request: Request) -> Answer:
        return self._delete_statistics("DeleteColumnStatisticsForTable", request, None)

    @operation("DeleteColumnStatisticsForPartition")
    def delete_column_statistics_for_partition(self, request: Request) -> Answer:
        return self._delete_statistics("DeleteColumnStatisticsForPartition", request, request["PartitionValues"])

    # --- tags ----------------------------------------------------------------------------------------------------

    @operation("TagResource")
    def tag_resource(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            _set_tags(connection, request["ResourceArn"], request["TagsToAdd"])
        return {}

    @operation("UntagResource")
    def untag_resource(self, request: Request) -> Answer:
        with self._store.writing() as connection:
            connection.executemany(
                "DELETE FROM tags WHERE arn = ? AND key = ?",
                [(request["ResourceArn"], key) for key in request["TagsToRemove"]],
            )
        return {}

    @operation("GetTags")
    def get_tags(self, request: Request) -> Answer:
        with self._store.reading() as connection:
            rows = connection.execute("SELECT key, value FROM tags WHERE arn = ?", (request["ResourceArn"],))
            return {"Tags": dict(rows.fetchall())}

    # --- what the operations share -------------------------------------------------------------------------------

    def _now(self) -> float:
        return int(self._clock().timestamp() * 1000) / 1000

    def _name(self, operation_name: str, name: str) -> str:
        if not name.strip() or "/" in name:
            raise self.error(operation_name, "InvalidInputException", f"Name is not valid: '{name}'")
        return name.lower()

    def _after(self, operation_name: str, request: Request) -> str:
        token = request.get("NextToken")
        if not token:
            return ""
        try:
            text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        except ValueError:
            text = ""
        if not text:
            raise self._invalid_token(operation_name)
        return text

    def _invalid_token(self, operation_name: str) -> ClientError:
        return self.error(operation_name, "InvalidInputException", "Invalid NextToken.")

    def _database(self, operation_name: str, connection: sqlite3.Connection, name: str) -> dict[str, Any]:
        row = connection.execute("SELECT body FROM databases WHERE name = ?", (name.lower(),)).fetchone()
        if row is None:
            raise self.error(operation_name, "EntityNotFoundException", f"Database {name.lower()} not found.")
        return self._database_answer(row[0])

    def _database_answer(self, body: str) -> dict[str, Any]:
        database: dict[str, Any] = from_json(self._shape.shape("Database"), json.loads(body))
        return {**database, "CatalogId": ACCOUNT_ID}

    def _table(self, operation_name: str, connection: sqlite3.Connection, database: str, name: str) -> _Table:
        database, name = database.lower(), name.lower()
        row = connection.execute(
            "SELECT id, version, body FROM tables WHERE database_name = ? AND name = ?", (database, name)
        ).fetchone()
        if row is None:
            self._database(operation_name, connection, database)
            raise self.error(operation_name, "EntityNotFoundException", f"Table {name} not found.")
        return _Table(row[0], database, name, row[1], json.loads(row[2]))

    def _table_body(
        self, operation_name: str, table_input: Mapping[str, Any], name: str, create_time: float
    ) -> dict[str, Any]:
        names = [column["Name"].lower() for column in table_input.get("PartitionKeys", ())]
        if len(set(names)) != len(names):
            raise self.error(operation_name, "InvalidInputException", "Duplicate partition keys.")
        for unsupported in ("FederatedTable", "ViewDefinition"):
            if table_input.get(unsupported):
                raise self.unsupported(operation_name, f"TableInput.{unsupported}")
        body: dict[str, Any] = to_json(self._shape.shape("TableInput"), table_input)
        return {**body, "Name": name, "CreateTime": create_time, "UpdateTime": self._now()}

    def _table_answer(self, table: _Table) -> dict[str, Any]:
        answer: dict[str, Any] = from_json(self._shape.shape("Table"), table.body)
        return {
            "Retention": 0,
            **answer,
            "DatabaseName": table.database,
            "CreatedBy": f"arn:aws:iam::{ACCOUNT_ID}:user/embedded",
            "IsRegisteredWithLakeFormation": False,
            "CatalogId": ACCOUNT_ID,
            "VersionId": str(table.version),
        }

    def _name_pattern(self, operation_name: str, expression: str | None) -> Callable[[list[str]], list[str]]:
        """The filter of a list of names by Glue's regular expression; linear in their length, so no trap."""
        if expression is None or not expression.strip():
            return lambda names: names
        import pyarrow  # imported here: it takes long and only few calls have an expression
        import pyarrow.compute

        def chosen(names: list[str]) -> list[str]:
            try:
                flags = pyarrow.compute.match_substring_regex(
                    pyarrow.array(names, pyarrow.string()), f"^(?:{expression})$", ignore_case=True
                )
            except pyarrow.ArrowInvalid:
                raise self.error(
                    operation_name, "InvalidInputException", f"Invalid regular expression '{expression}'"
                ) from None
            return [name for name, flag in zip(names, flags.to_pylist(), strict=True) if flag]

        return chosen

    # --- versions

    def _archive(self, connection: sqlite3.Connection, table: _Table) -> None:
        count = connection.execute(
            "SELECT count(*) FROM table_versions WHERE table_id = ?", (table.table_id,)
        ).fetchone()[0]
        if count >= TABLE_VERSION_LIMIT:
            raise self.error(
                "UpdateTable",
                "ResourceNumberLimitExceededException",
                f"Number of TABLE_VERSION resources exceeds the account limit {TABLE_VERSION_LIMIT}",
            )
        connection.execute(
            "INSERT INTO table_versions (table_id, version, body) VALUES (?, ?, ?)",
            (table.table_id, table.version, json.dumps(table.body)),
        )

    def _version_number(self, operation_name: str, version_id: str) -> int:
        if not version_id.isascii() or not version_id.isdigit() or len(version_id) > 18:
            raise self.error(operation_name, "InvalidInputException", f"'{version_id}' is not an integer.")
        return int(version_id)

    def _version(self, connection: sqlite3.Connection, table: _Table, version: int) -> _Table | None:
        if version == table.version:
            return table
        row = connection.execute(
            "SELECT body FROM table_versions WHERE table_id = ? AND version = ?", (table.table_id, version)
        ).fetchone()
        return None if row is None else _Table(table.table_id, table.database, table.name, version, json.loads(row[0]))

    def _version_answer(self, table: _Table) -> dict[str, Any]:
        return {"Table": self._table_answer(table), "VersionId": str(table.version)}

    def _delete_version(
        self, operation_name: str, connection: sqlite3.Connection, table: _Table, version_id: str
    ) -> None:
        version = self._version_number(operation_name, version_id)
        if version == table.version:
            raise self.error(operation_name, "InvalidInputException", "The current version cannot be deleted.")
        cursor = connection.execute(
            "DELETE FROM table_versions WHERE table_id = ? AND version = ?", (table.table_id, version)
        )
        if cursor.rowcount == 0:
            raise self.error(operation_name, "EntityNotFoundException", "Version not found.")

    # --- partitions

    def _position(self, operation_name: str, table: _Table, values: Sequence[str]) -> Position:
        if len(values) != len(table.keys):
            raise self.error(
                operation_name,
                "InvalidInputException",
                "The number of partition keys do not match the number of partition values",
            )
        return position_of(table.keys, values)

    def _no_partition(self, operation_name: str) -> ClientError:
        return self.error(operation_name, "EntityNotFoundException", "Cannot find partition.")

    def _create_partition(
        self,
        operation_name: str,
        connection: sqlite3.Connection,
        table: _Table,
        partition: Mapping[str, Any],
        creation_time: float | None = None,
    ) -> None:
        position = self._position(operation_name, table, partition.get("Values", ()))
        body = to_json(self._shape.shape("PartitionInput"), partition)
        descriptor = body.pop("StorageDescriptor", None)
        location = None
        if descriptor is not None:
            location = descriptor.get("Location")
            descriptor = {name: value for name, value in descriptor.items() if name != "Location"}
        parameters = body.pop("Parameters", None)
        del body["Values"]
        times = {"CreationTime": self._now() if creation_time is None else creation_time, **body}
        is_new = self._store.insert_partition(
            connection,
            table.table_id,
            position,
            location=location,
            descriptor_id=(
                None if descriptor is None else self._store.descriptor_id(connection, json.dumps(descriptor))
            ),
            parameters=None if parameters is None else json.dumps(parameters),
            times=json.dumps(times),
        )
        if not is_new:
            raise self.error(operation_name, "AlreadyExistsException", "Partition already exists.")

    def _update_partition(
        self,
        operation_name: str,
        connection: sqlite3.Connection,
        table: _Table,
        values: Sequence[str],
        partition: Mapping[str, Any],
    ) -> None:
        """Replaces a partition; new values in the input move it (an existing partition is not overwritten)."""
        position = self._position(operation_name, table, values)
        earlier = self._store.partition(connection, table.table_id, position)
        if earlier is None:
            raise self._no_partition(operation_name)
        replacement = dict(partition) if partition.get("Values") else {**partition, "Values": list(values)}
        moved_to = self._position(operation_name, table, replacement["Values"])
        if moved_to != position and self._store.partition(connection, table.table_id, moved_to) is not None:
            raise self.error(operation_name, "AlreadyExistsException", "Partition already exists.")
        self._store.delete_partition(connection, table.table_id, position)
        self._create_partition(
            operation_name, connection, table, replacement, json.loads(earlier.times)["CreationTime"]
        )

    def _delete_partition(
        self, operation_name: str, connection: sqlite3.Connection, table: _Table, values: Sequence[str]
    ) -> None:
        position = self._position(operation_name, table, values)
        if not self._store.delete_partition(connection, table.table_id, position):
            raise self._no_partition(operation_name)
        connection.execute(
            "DELETE FROM column_statistics WHERE table_id = ? AND value_list = ?", (table.table_id, position[-1])
        )

    def _change_keys(self, connection: sqlite3.Connection, table: _Table, keys: tuple[PartitionKey, ...]) -> None:
        if len(keys) != len(table.keys):
            exists = connection.execute(
                "SELECT 1 FROM partitions WHERE table_id = ? LIMIT 1", (table.table_id,)
            ).fetchone()
            if exists:
                raise self.error(
                    "UpdateTable",
                    "InvalidInputException",
                    "The number of partition keys cannot change while the table has partitions.",
                )
        self._store.reorder_partitions(connection, table.table_id, keys)

    def _filter(self, table: _Table, expression: str | None) -> PartitionFilter:
        try:
            return PartitionFilter(expression, table.keys)
        except (UnsupportedExpressionError, InvalidExpressionError) as error:
            raise self.error("GetPartitions", "InvalidInputException", str(error)) from None

    def _segment(self, segment: Mapping[str, int] | None) -> tuple[int, int] | None:
        if segment is None:
            return None
        number, total = segment["SegmentNumber"], segment["TotalSegments"]
        if number >= total:
            raise self.error(
                "GetPartitions", "InvalidInputException", "SegmentNumber must be smaller than TotalSegments."
            )
        return number, total

    def _partition_token(self, token: str | None) -> Position | None:
        text = self._after("GetPartitions", {"NextToken": token})
        if not text:
            return None
        try:
            position = tuple(json.loads(text))
        except ValueError:
            raise self._invalid_token("GetPartitions") from None
        if len(position) != len(position_of((), ())) or not all(map(is_sort_key, position)):
            raise self._invalid_token("GetPartitions")
        return position

    def _partition_answer(self, table: _Table, partition: StoredPartition, with_columns: bool = True) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "Values": list(partition.values),
            "DatabaseName": table.database,
            "TableName": table.name,
            "CatalogId": ACCOUNT_ID,
            **{name: datetime.fromtimestamp(time, UTC) for name, time in json.loads(partition.times).items()},
        }
        if partition.descriptor is not None:
            descriptor = json.loads(partition.descriptor)
            if not with_columns:
                descriptor.pop("Columns", None)
            if partition.location is not None:
                descriptor["Location"] = partition.location
            answer["StorageDescriptor"] = descriptor
        if partition.parameters is not None:
            answer["Parameters"] = json.loads(partition.parameters)
        return answer

    # --- indexes

    def _add_index(
        self, operation_name: str, connection: sqlite3.Connection, table: _Table, index: Mapping[str, Any]
    ) -> None:
        columns = {column["Name"].lower(): column for column in table.body.get("PartitionKeys", ())}
        described = []
        for key in index["Keys"]:
            column = columns.get(key.lower())
            if column is None:
                raise self.error(
                    operation_name, "InvalidInputException", f"Key {key} is not a partition key of the table."
                )
            if column.get("Type", "string").partition("(")[0].lower() not in _INDEXABLE_TYPES:
                raise self.error(
                    operation_name,
                    "InvalidInputException",
                    f"Key {key} of type {column['Type']} cannot be indexed: only string and numeric types can.",
                )
            described.append({"Name": key.lower(), "Type": column.get("Type", "string")})
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM partition_indexes WHERE table_id = ?", (table.table_id,)
            )
        ]
        name = index["IndexName"]
        if name in names:
            raise self.error(operation_name, "AlreadyExistsException", "Partition index already exists.")
        if len(names) >= PARTITION_INDEX_LIMIT:
            raise self.error(
                operation_name,
                "ResourceNumberLimitExceededException",
                f"The table has {PARTITION_INDEX_LIMIT} partition indexes, the most it can have.",
            )
        body = {"IndexName": name, "Keys": described, "IndexStatus": "ACTIVE"}
        connection.execute(
            "INSERT INTO partition_indexes (table_id, name, body) VALUES (?, ?, ?)",
            (table.table_id, name, json.dumps(body)),
        )

    # --- statistics

    def _statistics_place(
        self,
        operation_name: str,
        connection: sqlite3.Connection,
        request: Request,
        values: Sequence[str] | None,
    ) -> tuple[_Table, str]:
        table = self._table(operation_name, connection, request["DatabaseName"], request["TableName"])
        if values is None:
            return table, ""
        position = self._position(operation_name, table, values)
        if self._store.partition(connection, table.table_id, position) is None:
            raise self._no_partition(operation_name)
        return table, str(position[-1])

    def _update_statistics(self, operation_name: str, request: Request, values: Sequence[str] | None) -> Answer:
        errors = []
        with self._store.writing() as connection:
            table, value_list = self._statistics_place(operation_name, connection, request, values)
            columns = [
                *table.body.get("StorageDescriptor", {}).get("Columns", ()),
                *table.body.get("PartitionKeys", ()),
            ]
            names = {column["Name"].lower() for column in columns}
            for statistics in request["ColumnStatisticsList"]:
                name = statistics["ColumnName"].lower()
                if name not in names:
                    detail = {
                        "ErrorCode": "EntityNotFoundException",
                        "ErrorMessage": f"Column {statistics['ColumnName']} not found.",
                    }
                    errors.append({"ColumnStatistics": statistics, "Error": detail})
                    continue
                body = to_json(self._shape.shape("ColumnStatistics"), statistics)
                connection.execute(
                    "INSERT OR REPLACE INTO column_statistics (table_id, value_list, column_name, body) "
                    "VALUES (?, ?, ?, ?)",
                    (table.table_id, value_list, name, json.dumps(body)),
                )
        return {"Errors": errors}

    def _statistics(self, operation_name: str, request: Request, values: Sequence[str] | None) -> Answer:
        found, errors = [], []
        shape = self._shape.shape("ColumnStatistics")
        with self._store.reading() as connection:
            table, value_list = self._statistics_place(operation_name, connection, request, values)
            for name in request["ColumnNames"]:
                row = connection.execute(
                    "SELECT body FROM column_statistics WHERE table_id = ? AND value_list = ? AND column_name = ?",
                    (table.table_id, value_list, name.lower()),
                ).fetchone()
                if row is not None:
                    found.append(from_json(shape, json.loads(row[0])))
                else:
                    detail = {
                        "ErrorCode": "EntityNotFoundException",
                        "ErrorMessage": f"Column statistics of {name} not found.",
                    }
                    errors.append({"ColumnName": name, "Error": detail})
        return {"ColumnStatisticsList": found, "Errors": errors}

    def _delete_statistics(self, operation_name: str, request: Request, values: Sequence[str] | None) -> Answer:
        with self._store.writing() as connection:
            table, value_list = self._statistics_place(operation_name, connection, request, values)
            cursor = connection.execute(
                "DELETE FROM column_statistics WHERE table_id = ? AND value_list = ? AND column_name = ?",
                (table.table_id, value_list, request["ColumnName"].lower()),
            )
            if cursor.rowcount == 0:
                raise self.error(
                    operation_name,
                    "EntityNotFoundException",
                    f"Column statistics of {request['ColumnName']} not found.",
                )
        return {}


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:glue:{REGION_NAME}:{ACCOUNT_ID}:{kind}/{name}"


def _arns_of_database(name: str) -> tuple[str, str]:
    escaped = "".join(f"[{character}]" if character in "*?[" else character for character in name)
    return _arn("database", name), _arn("table", f"{escaped}/*")


def _set_tags(connection: sqlite3.Connection, arn: str, tags: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO tags (arn, key, value) VALUES (?, ?, ?)",
        [(arn, key, value) for key, value in tags.items()],
    )


def _delete_table(connection: sqlite3.Connection, table_id: int) -> None:
    for statement in (
        "DELETE FROM partitions WHERE table_id = ?",
        "DELETE FROM table_versions WHERE table_id = ?",
        "DELETE FROM partition_indexes WHERE table_id = ?",
        "DELETE FROM column_statistics WHERE table_id = ?",
        "DELETE FROM tables WHERE id = ?",
    ):
        connection.execute(statement, (table_id,))


def _error_detail(error: ClientError) -> dict[str, str]:
    return {"ErrorCode": error.response["Error"]["Code"], "ErrorMessage": error.response["Error"]["Message"]}


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()
