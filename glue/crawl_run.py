"""A crawl: what was predicted is written to the catalogue, by the crawler's policies.

This is what the embedded Glue runs when a crawler is started (the composition root hands it in), with the same
prediction that a dry run shows. Doing it twice equals doing it once. Tables that this crawler made and whose objects
are gone are left, deprecated or deleted, as DeleteBehavior says; nobody else's are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from glue.crawl_changes import (
    CRAWLER_PARAMETERS,
    TableChange,
    changes,
    location_of,
    locations_of,
    partition_values,
    tables_of,
)
from glue.crawl_prediction import CrawlPrediction, PredictedTable, PredictionClient, predict
from glue.crawler_configuration import CrawlerConfiguration, InvalidConfiguration
from glue.registration import PARTITIONS_PER_CALL

DELETIONS_PER_CALL = 25
UPDATED_BY = "UPDATED_BY_CRAWLER"
DEPRECATED_BY = "DEPRECATED_BY_CRAWLER"
_TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_FORMATS: Mapping[str, tuple[str, str, str]] = {  # input format, output format, SerDe
    "json": ("org.apache.hadoop.mapred.TextInputFormat", _TEXT_OUTPUT, "org.openx.data.jsonserde.JsonSerDe"),
    "csv": (
        "org.apache.hadoop.mapred.TextInputFormat", _TEXT_OUTPUT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    ),
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    "orc": (
        "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
    ),
    "avro": (
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat", "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
    ),
}  # fmt: skip


class CrawlFailed(Exception):
    """A crawl that wrote nothing; says why."""


class CrawlCatalogue(Protocol):
    """The part of boto3's Glue client that is used here."""

    def get_tables(self, **arguments: Any) -> Any: ...
    def create_table(self, **arguments: Any) -> Any: ...
    def update_table(self, **arguments: Any) -> Any: ...
    def delete_table(self, **arguments: Any) -> Any: ...
    def get_partitions(self, **arguments: Any) -> Any: ...
    def batch_create_partition(self, **arguments: Any) -> Any: ...
    def batch_delete_partition(self, **arguments: Any) -> Any: ...


@dataclass
class CrawlOutcome:
    """What a crawl has done. `log`: the changes it found and did not make."""

    tables_created: int = 0
    tables_updated: int = 0
    tables_deleted: int = 0
    partitions_created: int = 0
    object_count: int = 0
    log: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line."""
        return (
            f"tables created {self.tables_created}, updated {self.tables_updated}, deleted {self.tables_deleted};"
            f" partitions created {self.partitions_created}; objects {self.object_count}"
        )


def crawl(
    glue_client: CrawlCatalogue,
    s3_client: PredictionClient,
    crawler: Mapping[str, Any],
    *,
    now: datetime,
    is_stopping: Callable[[], bool] = lambda: False,
) -> CrawlOutcome:
    """Runs a crawler (a Crawler of GetCrawler) once. Raises CrawlFailed, with nothing written."""
    try:
        configuration = CrawlerConfiguration.from_crawler(crawler)
    except InvalidConfiguration as error:
        raise CrawlFailed(str(error)) from error
    tables = tables_of(glue_client, configuration.database)
    prediction = predict(s3_client, configuration, taken_names=locations_of(tables))
    threshold = configuration.table_threshold
    if threshold is not None and len(prediction.tables) > threshold:
        raise CrawlFailed(f"Table Threshold value = {threshold}, Tables detected - {len(prediction.tables)}")
    run = _Run(glue_client, configuration, CrawlOutcome(object_count=prediction.object_count), now)
    for change in changes(glue_client, configuration, prediction, tables):
        if is_stopping():
            break
        run.write(change)
    else:
        run.forget(tables, prediction)
    return run.outcome


def run_crawler(
    s3_client: PredictionClient,
    clock: Callable[[], datetime],
    glue_client: CrawlCatalogue,
    crawler: Mapping[str, Any],
    is_stopping: Callable[[], bool],
) -> CrawlOutcome:
    """`crawl` in the order of arguments in which composition roots hand it to the embedded Glue."""
    return crawl(glue_client, s3_client, crawler, now=clock(), is_stopping=is_stopping)


@dataclass
class _Run:
    glue: CrawlCatalogue
    crawler: CrawlerConfiguration
    outcome: CrawlOutcome
    now: datetime

    def write(self, change: TableChange) -> None:
        """Makes or updates a table by the policy, and adds its new partitions."""
        table, existing = change.table, change.existing
        if existing is None:
            made = table_input(table, self.crawler.name)
            self.glue.create_table(DatabaseName=self.crawler.database, TableInput=made)
            self.outcome.tables_created += 1
            self._add_partitions(table, made)
            return
        if change.verdict != "none" and change.effect.startswith(("logs", "partition keys")):
            self.outcome.log += (f"{existing['Name']}: {change.effect}",)
        if change.keys_differ:
            return
        updated = self._updated(change, existing)
        if updated is not None:
            self.glue.update_table(DatabaseName=self.crawler.database, TableInput=updated)
            self.outcome.tables_updated += 1
        self._add_partitions(table, updated or existing)
        if self.crawler.delete_behavior == "DELETE_FROM_DATABASE" and self._is_own(existing):
            self._drop_partitions(table, existing)

    def _updated(self, change: TableChange, existing: Mapping[str, Any]) -> dict[str, Any] | None:
        """The table's new definition; None when the policy leaves it as it is."""
        current = {name: existing[name] for name in _TABLE_INPUT if name in existing}
        if self.crawler.merges_new_columns:
            if not change.added:
                return None
            found = {column.name: column.hive() for column in change.table.columns}
            descriptor = current["StorageDescriptor"]
            columns = [*descriptor["Columns"], *({"Name": name, "Type": found[name]} for name in change.added)]
            return {**current, "StorageDescriptor": {**descriptor, "Columns": columns}}
        if self.crawler.update_behavior == "LOG" or not (change.added or change.removed or change.retyped):
            return None
        # "add new columns, remove missing columns, modify the definitions of existing columns, and remove any metadata
        # that is not set by the crawler"
        made = table_input(change.table, self.crawler.name)
        kept = {n: value for n, value in current.get("Parameters", {}).items() if n in CRAWLER_PARAMETERS}
        return {**made, "Name": existing["Name"], "Parameters": {**kept, **made["Parameters"]}}

    def _add_partitions(self, table: PredictedTable, definition: Mapping[str, Any]) -> None:
        if not table.partition_keys:
            return
        name = definition["Name"]
        known = partition_values(self.glue, self.crawler.database, name)
        own = table_input(table, self.crawler.name)
        source = definition if self.crawler.inherits_from_table else own
        new = [partition for partition in table.partitions if partition.values not in known]
        remaining = iter(new)
        while batch := list(islice(remaining, PARTITIONS_PER_CALL)):
            answer = self.glue.batch_create_partition(
                DatabaseName=self.crawler.database,
                TableName=name,
                PartitionInputList=[
                    {
                        "Values": list(partition.values),
                        "StorageDescriptor": {**source["StorageDescriptor"], "Location": partition.location},
                        "Parameters": {
                            n: v for n, v in source.get("Parameters", {}).items() if n in _PARTITION_PARAMETERS
                        },
                    }
                    for partition in batch
                ],
            )
            failed = answer.get("Errors", ())
            self.outcome.partitions_created += len(batch) - len(failed)

    def _drop_partitions(self, table: PredictedTable, existing: Mapping[str, Any]) -> None:
        """The partitions of a table of this crawler whose folders are gone."""
        known = partition_values(self.glue, self.crawler.database, existing["Name"]) if table.partition_keys else set()
        gone = iter(sorted(known - {partition.values for partition in table.partitions}))
        while batch := list(islice(gone, DELETIONS_PER_CALL)):
            self.glue.batch_delete_partition(
                DatabaseName=self.crawler.database,
                TableName=existing["Name"],
                PartitionsToDelete=[{"Values": list(values)} for values in batch],
            )

    def _is_own(self, table: Mapping[str, Any]) -> bool:
        return bool(table.get("Parameters", {}).get(UPDATED_BY) == self.crawler.name)

    def forget(self, tables: Sequence[Mapping[str, Any]], prediction: CrawlPrediction) -> None:
        """What this crawler made and where nothing lies any more: by DeleteBehavior."""
        if self.crawler.delete_behavior == "LOG":
            return
        found = {table.location.rstrip("/") for table in prediction.tables}
        for table in tables:
            parameters = table.get("Parameters", {})
            if not self._is_own(table) or location_of(table).rstrip("/") in found:
                continue
            if self.crawler.delete_behavior == "DELETE_FROM_DATABASE":
                self.glue.delete_table(DatabaseName=self.crawler.database, Name=table["Name"])
                self.outcome.tables_deleted += 1
            elif DEPRECATED_BY not in parameters:
                marked = {**parameters, DEPRECATED_BY: str(int(self.now.timestamp() * 1000))}
                current = {name: table[name] for name in _TABLE_INPUT if name in table}
                self.glue.update_table(DatabaseName=self.crawler.database, TableInput={**current, "Parameters": marked})
                self.outcome.tables_updated += 1


_TABLE_INPUT = (
    "Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters",
)  # fmt: skip
_PARTITION_PARAMETERS = frozenset({"classification", "compressionType"})


def table_input(table: PredictedTable, crawler_name: str) -> dict[str, Any]:
    """The Glue TableInput that a crawler writes for a table."""
    input_format, output_format, serde = _FORMATS[table.format]
    serde_parameters: dict[str, str] = {"serialization.format": "1"}
    parameters = {
        "classification": table.format,
        "typeOfData": "file",
        UPDATED_BY: crawler_name,
        "objectCount": str(table.object_count),
        "sizeKey": str(table.size_bytes),
        "recordCount": str(table.row_count),
    }
    if table.format == "json":
        serde_parameters = {"paths": ",".join(column.name for column in table.columns)}
    if table.format == "csv":
        serde_parameters = {"field.delim": table.csv_delimiter}
        parameters |= {"delimiter": table.csv_delimiter, "columnsOrdered": "true", "areColumnsQuoted": "false"}
        if table.has_csv_header:
            parameters["skip.header.line.count"] = "1"
    if table.format in ("json", "csv"):
        parameters["compressionType"] = table.compression
    return {
        "Name": table.name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.partition_keys],
        "StorageDescriptor": {
            "Columns": [{"Name": column.name, "Type": column.hive()} for column in table.columns],
            "Location": table.location,
            "InputFormat": input_format,
            "OutputFormat": output_format,
            "Compressed": table.compression != "none",
            "NumberOfBuckets": -1,
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": serde_parameters},
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": dict(parameters),
            "StoredAsSubDirectories": False,
        },
    }
