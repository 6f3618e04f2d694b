"""Statements that are not queries, as values: what the Hive grammar reads and the executors run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TableName:
    """A table or view name, lower-cased; database is None where the statement names none."""

    name: str
    database: str | None = None

    def in_database(self, default: str) -> tuple[str, str]:
        return self.database or default, self.name


@dataclass(frozen=True, slots=True)
class HiveColumn:
    """A declared column: Hive's type text, and its comment ('' where there is none)."""

    name: str
    type: str
    comment: str = ""


PartitionValues = tuple[tuple[str, str], ...]
"""(key, value) pairs of one PARTITION clause."""


# ------------------------------------------------------------------------------------------------------- databases


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    name: str
    if_not_exists: bool = False
    comment: str = ""
    location: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DropDatabase:
    name: str
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class AlterDatabase:
    name: str
    properties: Mapping[str, str]


# ---------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE EXTERNAL TABLE (or CREATE TABLE without AS, which only Iceberg tables may be)."""

    table: TableName
    columns: tuple[HiveColumn, ...]
    external: bool = True
    if_not_exists: bool = False
    comment: str = ""
    partition_keys: tuple[HiveColumn, ...] = ()
    bucket_columns: tuple[str, ...] = ()
    bucket_count: int = 0
    serde: str = ""
    serde_properties: Mapping[str, str] = field(default_factory=dict)
    stored_as: str = ""
    input_format: str = ""
    output_format: str = ""
    location: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    has_partition_transforms: bool = False


@dataclass(frozen=True, slots=True)
class DropTable:
    table: TableName
    if_exists: bool = False
    is_view: bool = False


@dataclass(frozen=True, slots=True)
class AddPartitions:
    table: TableName
    if_not_exists: bool
    partitions: tuple[tuple[PartitionValues, str], ...]
    """(values, location or '') of each partition."""


@dataclass(frozen=True, slots=True)
class PartitionCondition:
    """One comparison of DROP PARTITION (key operator value)."""

    key: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class DropPartitions:
    table: TableName
    if_exists: bool
    partitions: tuple[tuple[PartitionCondition, ...], ...]


@dataclass(frozen=True, slots=True)
class RenamePartition:
    table: TableName
    old: PartitionValues
    new: PartitionValues


@dataclass(frozen=True, slots=True)
class SetLocation:
    table: TableName
    location: str
    partition: PartitionValues = ()


@dataclass(frozen=True, slots=True)
class SetTableProperties:
    table: TableName
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UnsetTableProperties:
    table: TableName
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddColumns:
    table: TableName
    columns: tuple[HiveColumn, ...]


@dataclass(frozen=True, slots=True)
class ReplaceColumns:
    table: TableName
    columns: tuple[HiveColumn, ...]


@dataclass(frozen=True, slots=True)
class ChangeColumn:
    table: TableName
    old: str
    new: HiveColumn


@dataclass(frozen=True, slots=True)
class DropColumn:
    table: TableName
    column: str


@dataclass(frozen=True, slots=True)
class RenameTable:
    table: TableName
    new: TableName


@dataclass(frozen=True, slots=True)
class RepairTable:
    table: TableName


# ------------------------------------------------------------------------------------------------------------ show


@dataclass(frozen=True, slots=True)
class ShowDatabases:
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ShowTables:
    database: str | None = None
    pattern: str | None = None
    views_only: bool = False


@dataclass(frozen=True, slots=True)
class ShowColumns:
    table: TableName


@dataclass(frozen=True, slots=True)
class ShowPartitions:
    table: TableName


@dataclass(frozen=True, slots=True)
class ShowTableProperties:
    table: TableName
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ShowCreateTable:
    table: TableName


@dataclass(frozen=True, slots=True)
class ShowCreateView:
    table: TableName


@dataclass(frozen=True, slots=True)
class DescribeTable:
    table: TableName
    extended: bool = False
    formatted: bool = False
    partition: PartitionValues = ()
    column: str = ""


Statement = (
    CreateDatabase
    | DropDatabase
    | AlterDatabase
    | CreateTable
    | DropTable
    | AddPartitions
    | DropPartitions
    | RenamePartition
    | SetLocation
    | SetTableProperties
    | UnsetTableProperties
    | AddColumns
    | ReplaceColumns
    | ChangeColumn
    | DropColumn
    | RenameTable
    | RepairTable
    | ShowDatabases
    | ShowTables
    | ShowColumns
    | ShowPartitions
    | ShowTableProperties
    | ShowCreateTable
    | ShowCreateView
    | DescribeTable
)
