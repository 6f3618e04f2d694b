"""Names in reach of an expression: fields of relations, the scopes around them, and the query level they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from embedded.sql import tree
from embedded.sql.catalogue import Column
from embedded.sql.types import TrinoType

#: Marks a key of GROUP BY in SQL text that stands inside an aggregate; never leaves the analyser.
PROTECTED = "\x01"


@dataclass(slots=True)
class Scan:
    """A catalogue table being read; `used` grows while the query is analysed."""

    token: str
    catalog: str | None
    database: str
    table: str
    columns: dict[str, Column]
    used: dict[str, Column] = field(default_factory=dict)
    predicates: list[tuple[tree.Expression, tuple[CommonTable, ...]]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class CommonTable:
    """A WITH query in reach: its DuckDB name, its fields, and how often the query reads it."""

    token: str
    fields: list[Field]
    reads: int = 0


@dataclass(slots=True)
class Field:
    """One column in reach. `qualifier`: the name parts before it (`t`, or catalog, database, table)."""

    name: str | None
    type: TrinoType
    sql: str
    qualifier: tuple[str, ...] = ()
    level: Level | None = None
    scan: Scan | None = None
    origin: tuple[Scan, str] | None = None  # the table column this field passes on unchanged
    through: tuple[CommonTable, ...] = ()  # the WITH queries between the table column and this field
    is_hidden: bool = False
    key: str = ""

    def __post_init__(self) -> None:
        self.key = self.name.lower() if self.name is not None else ""

    def matches_qualifier(self, qualifier: tuple[str, ...]) -> bool:
        return self.qualifier[-len(qualifier) :] == qualifier


@dataclass(slots=True)
class Level:
    """One SELECT: what it groups by, whether it aggregates, and the columns seen outside aggregates so far."""

    ungrouped: list[tuple[tree.Expression, str]] = field(default_factory=list)
    group_sql: frozenset[str] = frozenset()
    has_aggregate: bool = False
    has_window: bool = False
    in_aggregate: str = ""
    forbids_aggregates: str = ""  # the clause that may not hold aggregates, or ''
    windows: dict[str, tree.Window] = field(default_factory=dict)
    grouping_columns: list[str] | None = None
    group_values: dict[str, str] = field(default_factory=dict)  # keys grouped by something else: how to show them

    def key_pattern(self) -> re.Pattern[str]:
        """Finds the keys of GROUP BY in SQL text, the longest first; not what is protected."""
        keys = sorted(self.group_sql, key=len, reverse=True)
        return re.compile(rf'(?<![{PROTECTED}\w."])(?:{"|".join(map(re.escape, keys))})(?![\w(])')

    def shown(self, sql: str) -> str:
        """SQL of an output of a grouped query, with keys that are grouped by something else as they are shown."""
        if not self.group_values:
            return sql
        found = self.key_pattern().sub(lambda match: self.group_values.get(match.group(), match.group()), sql)
        return found.replace(PROTECTED, "")


@dataclass(slots=True)
class Scope:
    fields: list[Field]
    parent: Scope | None = None
    level: Level | None = None
    by_key: dict[str, list[Field]] | None = None

    def candidates(self, key: str) -> list[Field]:
        if self.by_key is None:
            found: dict[str, list[Field]] = {}
            for one in self.fields:
                found.setdefault(one.key, []).append(one)
            self.by_key = found
        return self.by_key.get(key, [])


@dataclass(slots=True)
class Output:
    """A query's result: SQL whose columns are c0, c1, ... and the fields they are."""

    sql: str
    fields: list[Field]
    chain: str = ""  # 'UNION ALL' when `sql` is a chain of that operation, which may grow without parentheses
