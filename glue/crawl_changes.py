"""What a crawl would change of the catalogue that is there: new tables, columns that come, go or change their type.

A crawler compares what it found with the table at the same location and does what its policy says. By type, a change
is `additive` (columns or partitions that are new: done without asking) or has to be `review`ed (a column that would go
or be another type: queries and partitions of today would break).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import error_code
from glue.crawl_prediction import CrawlPrediction, PredictedTable
from glue.crawler_configuration import CrawlerConfiguration
from glue.schema_inference import column_of

Verdict = Literal["none", "additive", "review"]

# Parameters that crawlers set themselves, and whatever begins with one of the prefixes.
CRAWLER_PARAMETERS = frozenset(
    {
        "classification", "compressionType", "typeOfData", "objectCount", "sizeKey", "recordCount", "averageRecordSize",
        "CrawlerSchemaSerializerVersion", "CrawlerSchemaDeserializerVersion", "UPDATED_BY_CRAWLER", "exclusions",
        "skip.header.line.count", "delimiter", "columnsOrdered", "areColumnsQuoted", "partition_filtering.enabled",
        "DEPRECATED_BY_CRAWLER", "EXTERNAL",
    }
)  # fmt: skip


class CatalogueReader(Protocol):
    """The part of boto3's Glue client that is used here."""

    def get_tables(self, **arguments: Any) -> Any: ...
    def get_partitions(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class TableChange:
    """One predicted table against the catalogue. `existing` is the table of the same location, None for a new one.

    `added`, `removed` are columns; `retyped` (name, type now, type found). `lost_parameters`: what somebody else set
    and an update would remove. `effect`: what the crawler's policy makes of all that, in a sentence.
    """

    table: PredictedTable
    existing: Mapping[str, Any] | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: tuple[tuple[str, str, str], ...]
    lost_parameters: tuple[str, ...]
    new_partitions: int
    keys_differ: bool
    effect: str

    @property
    def verdict(self) -> Verdict:
        """Whether somebody has to look."""
        if self.removed or self.retyped or self.keys_differ:
            return "review"
        return "additive" if self.existing is None or self.added or self.new_partitions else "none"

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "exists": self.existing is not None,
            "verdict": self.verdict,
            "added_columns": list(self.added),
            "removed_columns": list(self.removed),
            "retyped_columns": [{"name": name, "from": old, "to": new} for name, old, new in self.retyped],
            "lost_parameters": list(self.lost_parameters),
            "new_partitions": self.new_partitions,
            "effect": self.effect,
        }


def tables_of(glue_client: CatalogueReader, database: str) -> list[Mapping[str, Any]]:
    """The tables of a database; none where there is no such database."""
    found: list[Mapping[str, Any]] = []
    arguments: dict[str, Any] = {"DatabaseName": database}
    while True:
        try:
            page = glue_client.get_tables(**arguments)
        except ClientError as error:
            if error_code(error) != "EntityNotFoundException":
                raise
            return []
        found += page.get("TableList", ())
        if not page.get("NextToken"):
            return found
        arguments["NextToken"] = page["NextToken"]


def locations_of(tables: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Names of tables with their locations."""
    return {table["Name"]: location_of(table) for table in tables}


def location_of(table: Mapping[str, Any]) -> str:
    """Where a table of the catalogue lies, "" when it says nothing."""
    return str(table.get("StorageDescriptor", {}).get("Location", ""))


def partition_values(glue_client: CatalogueReader, database: str, table: str) -> set[tuple[str, ...]]:
    """The values of all partitions of a table."""
    values: set[tuple[str, ...]] = set()
    arguments: dict[str, Any] = {"DatabaseName": database, "TableName": table, "ExcludeColumnSchema": True}
    while True:
        page = glue_client.get_partitions(**arguments)
        values.update(tuple(entry["Values"]) for entry in page.get("Partitions", ()))
        if not page.get("NextToken"):
            return values
        arguments["NextToken"] = page["NextToken"]


def changes(
    glue_client: CatalogueReader,
    crawler: CrawlerConfiguration,
    prediction: CrawlPrediction,
    tables: Iterable[Mapping[str, Any]],
) -> list[TableChange]:
    """What a crawl would change, table by table; `tables` are those of the crawler's database."""
    by_location = {location_of(table).rstrip("/"): table for table in tables}
    return [
        _change(glue_client, crawler, table, by_location.get(table.location.rstrip("/"))) for table in prediction.tables
    ]


def _change(
    glue_client: CatalogueReader,
    crawler: CrawlerConfiguration,
    table: PredictedTable,
    existing: Mapping[str, Any] | None,
) -> TableChange:
    if existing is None:
        return TableChange(table, None, (), (), (), (), len(table.partitions), False, "a new table")
    declared = existing.get("StorageDescriptor", {}).get("Columns", ())
    now = {column["Name"].lower(): column.get("Type", "string") for column in declared}
    found = {column.name: column for column in table.columns}
    keys = tuple(key["Name"].lower() for key in existing.get("PartitionKeys", ()))
    retyped = tuple(
        (name, now[name], column.hive())
        for name, column in found.items()
        if name in now and column_of(name, now[name]).hive() != column.hive()
    )
    known = partition_values(glue_client, crawler.database, existing["Name"]) if keys else set()
    change = TableChange(
        table=table,
        existing=existing,
        added=tuple(name for name in found if name not in now and name not in keys),
        removed=tuple(name for name in now if name not in found),
        retyped=retyped,
        lost_parameters=tuple(sorted(set(existing.get("Parameters", {})) - CRAWLER_PARAMETERS)),
        new_partitions=len({partition.values for partition in table.partitions} - known),
        keys_differ=keys != table.partition_keys,
        effect="",
    )
    return TableChange(**{**vars(change), "effect": _effect(crawler, change)})


def _effect(crawler: CrawlerConfiguration, change: TableChange) -> str:
    if change.keys_differ:
        keys = ", ".join(change.table.partition_keys) or "none"
        return f"partition keys differ (found: {keys}): the crawler cannot add partitions to this table"
    has_schema_change = change.added or change.removed or change.retyped
    if crawler.merges_new_columns:
        return "adds the new columns, leaves the others" if change.added else "leaves the columns as they are"
    if crawler.update_behavior == "LOG":
        return "logs the difference, changes no column" if has_schema_change else "changes no column"
    parts = [
        f"{verb} {', '.join(names[:5])}{' ..' if len(names) > 5 else ''}"
        for verb, names in (
            ("adds", change.added),
            ("REMOVES", change.removed),
            ("RETYPES", tuple(name for name, _, _ in change.retyped)),
            ("DROPS the parameters", change.lost_parameters),
        )
        if names
    ]
    return "; ".join(parts) or "changes no column"
