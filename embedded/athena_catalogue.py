"""The Glue catalogue as the SQL translator asks for it: columns of tables, and which databases exist.

One instance lives for one query, so that each table is asked for once and a query sees one state of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from botocore.exceptions import ClientError

from embedded.catalogue_tables import (
    INFORMATION_SCHEMA,
    PARTITIONS_SUFFIX,
    information_schema_columns,
    partitions_columns,
)
from embedded.scan import HIDDEN_COLUMNS
from embedded.sql.catalogue import Column
from embedded.sql.types import parse_hive_type
from embedded.statements.view_text import view_of

AWS_DATA_CATALOG = "awsdatacatalog"


class GlueTables(Protocol):
    """The part of the Glue client that describes tables."""

    def get_table(self, **arguments: Any) -> Mapping[str, Any]: ...
    def get_database(self, **arguments: Any) -> Mapping[str, Any]: ...


class QueryCatalogue:
    """Implements `embedded.sql.catalogue.Catalogue` for one query."""

    def __init__(self, glue: GlueTables, database: str) -> None:
        self._glue = glue
        self._database = database
        self._tables: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self._databases: dict[str, bool] = {}

    def table(self, database: str, name: str) -> Mapping[str, Any] | None:
        """The Glue table, or None."""
        key = (database.lower(), name.lower())
        if key not in self._tables and hasattr(self._glue, "table"):  # the embedded Glue's short cut
            self._tables[key] = self._glue.table(*key)
        elif key not in self._tables:
            try:
                self._tables[key] = self._glue.get_table(DatabaseName=key[0], Name=key[1])["Table"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "EntityNotFoundException":
                    raise
                self._tables[key] = None
        return self._tables[key]

    def columns(self, catalog: str | None, database: str | None, table: str) -> Sequence[Column] | None:
        if catalog is not None and catalog.lower() != AWS_DATA_CATALOG:
            return None
        if (database or "").lower() == INFORMATION_SCHEMA:
            return information_schema_columns(table.lower())
        if table.lower().endswith(PARTITIONS_SUFFIX):
            found = self.table(database or self._database, table.lower().removesuffix(PARTITIONS_SUFFIX))
            return None if found is None else partitions_columns(found)
        found = self.table(database or self._database, table)
        if found is None:
            return None
        view = view_of(found)
        if view is not None and view.columns:
            return view.columns
        descriptor = found.get("StorageDescriptor", {})
        columns = [_column(column) for column in descriptor.get("Columns") or ()]
        columns += [_column(column, is_partition_key=True) for column in found.get("PartitionKeys") or ()]
        if found.get("TableType") != "VIRTUAL_VIEW":
            columns += [Column(name, hidden, is_hidden=True) for name, hidden in HIDDEN_COLUMNS.items()]
        return columns

    def database_exists(self, database: str) -> bool:
        name = database.lower()
        if name == INFORMATION_SCHEMA:
            return True
        if name not in self._databases:
            try:
                self._glue.get_database(Name=name)
                self._databases[name] = True
            except ClientError as error:
                if error.response["Error"]["Code"] != "EntityNotFoundException":
                    raise
                self._databases[name] = False
        return self._databases[name]


def _column(column: Mapping[str, Any], *, is_partition_key: bool = False) -> Column:
    return Column(column["Name"].lower(), parse_hive_type(column.get("Type") or "string"), is_partition_key)
