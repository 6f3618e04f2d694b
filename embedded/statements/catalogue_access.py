"""Reading Glue for statements: tables and databases that must exist, and Hive's words for those that do not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from embedded.sql.errors import TrinoError
from embedded.statements.model import TableName

VIRTUAL_VIEW = "VIRTUAL_VIEW"


def error_code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def ddl_error(message: str) -> TrinoError:
    """A failed DDL statement, in Hive's words."""
    return TrinoError(
        "FAILED", f"Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. {message}"
    )


def semantic_error(message: str) -> TrinoError:
    return TrinoError("FAILED", f"SemanticException {message}")


def table_not_found(database: str, name: str) -> TrinoError:
    return semantic_error(f"[Error 10001]: Table not found {database}.{name}")


class CatalogueAccess:
    """A Glue client and the database that unqualified names mean."""

    def __init__(self, glue: Any, database: str) -> None:
        self.glue = glue
        self.database = database

    def find_table(self, name: TableName) -> dict[str, Any] | None:
        database, table = name.in_database(self.database)
        try:
            found: dict[str, Any] = self.glue.get_table(DatabaseName=database, Name=table)["Table"]
        except ClientError as error:
            if error_code(error) != "EntityNotFoundException":
                raise
            return None
        return found

    def table(self, name: TableName) -> dict[str, Any]:
        """Raises TrinoError for a table that does not exist."""
        found = self.find_table(name)
        if found is None:
            raise table_not_found(*name.in_database(self.database))
        return found

    def database_exists(self, name: str) -> bool:
        try:
            self.glue.get_database(Name=name)
        except ClientError as error:
            if error_code(error) != "EntityNotFoundException":
                raise
            return False
        return True

    def require_database(self, name: str) -> None:
        if not self.database_exists(name):
            raise semantic_error(f"[Error 10072]: Database does not exist: {name}")

    def databases(self) -> Iterator[Mapping[str, Any]]:
        for page in self.glue.get_paginator("get_databases").paginate():
            yield from page["DatabaseList"]

    def partitions(self, database: str, table: str) -> Iterator[PartitionRow]:
        return partition_rows(self.glue, database, table)

    def tables(self, database: str) -> Iterator[Mapping[str, Any]]:
        for page in self.glue.get_paginator("get_tables").paginate(DatabaseName=database):
            yield from page["TableList"]


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition of the catalogue: its values, where it lies, and its storage descriptor as JSON text without the
    location; None where it has none. Of a catalogue elsewhere the columns are left out, which are many.
    """

    values: tuple[str, ...]
    location: str
    descriptor: str | None = None


def partition_rows(glue: Any, database: str, table: str, expression: str | None = None) -> Iterator[PartitionRow]:
    """A table's partitions, from the embedded Glue's own fast road or from the API of a real one."""
    if hasattr(glue, "partitions"):
        yield from glue.partitions(database, table, expression)
        return
    arguments: dict[str, Any] = {"DatabaseName": database, "TableName": table, "ExcludeColumnSchema": True}
    if expression is not None:
        arguments["Expression"] = expression
    for page in glue.get_paginator("get_partitions").paginate(**arguments):
        for found in page["Partitions"]:
            descriptor = dict(found.get("StorageDescriptor", {}))
            location = descriptor.pop("Location", "")
            yield PartitionRow(tuple(found["Values"]), location, json.dumps(descriptor, default=str))


def hive_pattern(pattern: str | None) -> re.Pattern[str]:
    """SHOW's patterns: `*` is any text, `|` separates alternatives, everything else is a regular expression's."""
    if pattern is None:
        return re.compile(".*", re.DOTALL)
    try:
        return re.compile(re.sub(r"(?<![.\])])\*", ".*", pattern), re.IGNORECASE)
    except re.error as error:
        raise TrinoError("SYNTAX_ERROR", f"Invalid pattern '{pattern}': {error}") from None
