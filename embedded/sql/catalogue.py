"""What the translator asks of a catalogue, and what it tells about the tables a query reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from embedded.sql.types import TrinoType


@dataclass(frozen=True)
class Column:
    """An output or table column: Trino's name and type."""

    name: str
    type: TrinoType
    is_partition_key: bool = False
    is_hidden: bool = False  # "$path": answered when asked by name, not part of `*`


@dataclass(frozen=True)
class Relation:
    """A table as DuckDB reads it: any table expression whose columns have the physical types of `columns`."""

    columns: tuple[Column, ...]
    sql: str


class Catalogue(Protocol):
    def columns(self, catalog: str | None, database: str | None, table: str) -> Sequence[Column] | None:
        """Columns of a table, partition keys last (then hidden ones), or None when there is no such table."""
        ...

    def database_exists(self, database: str) -> bool: ...


@dataclass(frozen=True)
class TableScan:
    """One reading of a catalogue table.

    alias_token: the placeholder relation that `Translation.sql` reads from (`scan_0`); whoever runs the SQL supplies a
    relation of that name holding at least `columns`, in their physical types (embedded.sql.physical).
    partition_predicate: the conjuncts of WHERE that mention only partition keys of this scan, columns unqualified;
    dropping files they exclude is allowed, not required.
    """

    database: str
    table: str
    alias_token: str
    columns: tuple[Column, ...]
    partition_predicate: exp.Expression | None = None
    catalog: str | None = None


@dataclass(frozen=True)
class Translation:
    """DuckDB SQL for one query. Its columns are called c0, c1, ...; `columns` has Trino's names and types.

    functions: Python functions the SQL needs on the connection; hand it to `translation.prepare`.
    """

    sql: str
    columns: tuple[Column, ...]
    scans: tuple[TableScan, ...] = ()
    functions: frozenset[str] = field(default_factory=frozenset)
