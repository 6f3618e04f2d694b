"""Tables that the catalogue itself is the content of: information_schema and `"table$partitions"`."""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from embedded.partition_predicate import NULL_PARTITION
from embedded.sql.catalogue import Column
from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type, quoted, text_literal
from embedded.sql.types import BIGINT, VARCHAR, TrinoType, parse_hive_type
from embedded.statements.catalogue_access import CatalogueAccess
from embedded.statements.showing import all_columns
from embedded.statements.view_text import view_of

INFORMATION_SCHEMA = "information_schema"
PARTITIONS_SUFFIX = "$partitions"

_COLUMNS: Mapping[str, Mapping[str, TrinoType]] = {
    "schemata": {"catalog_name": VARCHAR, "schema_name": VARCHAR},
    "tables": {"table_catalog": VARCHAR, "table_schema": VARCHAR, "table_name": VARCHAR, "table_type": VARCHAR},
    "views": {"table_catalog": VARCHAR, "table_schema": VARCHAR, "table_name": VARCHAR, "view_definition": VARCHAR},
    "columns": {
        "table_catalog": VARCHAR,
        "table_schema": VARCHAR,
        "table_name": VARCHAR,
        "column_name": VARCHAR,
        "ordinal_position": BIGINT,
        "column_default": VARCHAR,
        "is_nullable": VARCHAR,
        "data_type": VARCHAR,
        "comment": VARCHAR,
        "extra_info": VARCHAR,
    },
}
_CATALOG = "awsdatacatalog"


def information_schema_columns(table: str) -> Sequence[Column] | None:
    """The columns of a table of information_schema, or None."""
    found = _COLUMNS.get(table)
    return None if found is None else [Column(name, trino_type) for name, trino_type in found.items()]


def information_schema_relation(table: str, access: CatalogueAccess) -> str:
    """A SELECT of the table's rows."""
    rows = list(_rows(table, access))
    return _values(_COLUMNS[table], rows)


def _rows(table: str, access: CatalogueAccess) -> Iterator[Sequence[object]]:
    names = [found["Name"] for found in access.databases()]
    if table == "schemata":
        yield from ((_CATALOG, name) for name in [*names, INFORMATION_SCHEMA])
        return
    for database in names:
        for found in access.tables(database):
            view = view_of(found)
            if table == "tables":
                yield _CATALOG, database, found["Name"], "VIEW" if view is not None else "BASE TABLE"
            elif table == "views":
                if view is not None:
                    yield _CATALOG, database, found["Name"], view.sql
            else:
                yield from _column_rows(database, found)


def _column_rows(database: str, table: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    keys = {key["Name"] for key in table.get("PartitionKeys") or ()}
    for position, column in enumerate(all_columns(table), 1):
        extra = "partition key" if column["Name"] in keys else None
        try:
            type_text = str(parse_hive_type(column.get("Type") or "string"))
        except TrinoError:
            type_text = column.get("Type", "")
        yield (
            _CATALOG,
            database,
            table["Name"],
            column["Name"],
            position,
            None,
            "YES",
            type_text,
            column.get("Comment"),
            extra,
        )


def _values(columns: Mapping[str, TrinoType], rows: Sequence[Sequence[object]]) -> str:
    types = list(columns.values())
    names = ", ".join(map(quoted, columns))
    if not rows:
        empty = ", ".join(f"CAST(NULL AS {physical_type(t)}) AS {quoted(name)}" for name, t in columns.items())
        return f"SELECT {empty} WHERE false"
    lines = []
    for row in rows:
        values = []
        for value, trino_type in zip(row, types, strict=True):
            text = "NULL" if value is None else text_literal(str(value))
            values.append(f"CAST({text} AS {physical_type(trino_type)})")
        lines.append(f"({', '.join(values)})")
    return f"SELECT * FROM (VALUES {', '.join(lines)}) AS t({names})"


def partitions_columns(table: Mapping[str, Any]) -> Sequence[Column] | None:
    """The columns of `"table$partitions"`: its partition keys; None for a table without any."""
    keys = table.get("PartitionKeys") or ()
    return [Column(key["Name"].lower(), parse_hive_type(key.get("Type") or "string")) for key in keys] or None


def partitions_relation(table: Mapping[str, Any], access: CatalogueAccess) -> str:
    """A SELECT of the partitions that the catalogue holds."""
    columns = {column.name: column.type for column in partitions_columns(table) or ()}
    rows = [
        [None if value == NULL_PARTITION else value for value in row.values]
        for row in access.partitions(table["DatabaseName"], table["Name"])
    ]
    return _values(columns, rows)
