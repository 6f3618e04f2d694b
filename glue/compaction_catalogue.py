"""Partitions as the catalogue has them, and the switch between raw objects and compacted ones.

    raw         Location = the layout's folder,  SerDe = the table's (JSON)
    compacted   Location = compacted/<table>/<partition>/<compaction id>/,  SerDe = Parquet, the table's columns

A switch is one entry of a BatchUpdatePartition: a query that plans after it reads the one, a query that has planned
before it the other, and none reads both. Columns are the table's in the table's order, as Athena matches a partition's
columns with its table's by position or by name. When a partition was switched is kept with it
(`data_hist.switched_at`): from then on the objects of the other side are old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import RETRYABLE_CODES, error_code, error_message
from glue.compaction_manifest import compaction_at, compaction_location
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.table_spec import TableSpec

SWITCHED_AT = "data_hist.switched_at"
_PARTITIONS_PER_GET = 1000
_PARTITIONS_PER_UPDATE = 100
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


class SwitchingClient(Protocol):
    """The part of boto3's Glue client that is used here."""

    def get_partitions(self, **arguments: Any) -> Any: ...
    def batch_get_partition(self, **arguments: Any) -> Any: ...
    def batch_update_partition(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class RegisteredPartition:
    """A partition of the catalogue: compacted (then `compaction_id` is its compaction), raw, or somewhere else."""

    partition: PartitionSpec
    location: str
    compaction_id: str | None
    is_raw: bool
    switched_at: datetime | None
    columns: tuple[tuple[str, str], ...] = field(default=(), compare=False)


def registered_partitions(
    glue_client: SwitchingClient, spec: TableSpec, time_range: PartitionRange | None
) -> Iterator[RegisteredPartition]:
    """The partitions of a range; those whose values are none of the layout's are left out. Raises ClientError."""
    arguments: dict[str, Any] = {"DatabaseName": spec.database, "TableName": spec.name}
    if time_range is not None and not time_range.is_unbounded:
        arguments["Expression"] = time_range.expression()
    while True:
        page = glue_client.get_partitions(**arguments)
        for entry in page.get("Partitions", ()):
            found = registered_partition(spec, entry)
            if found is not None and (time_range is None or time_range.contains(found.partition)):
                yield found
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def registered_among(
    glue_client: SwitchingClient, spec: TableSpec, partitions: Iterable[PartitionSpec]
) -> list[RegisteredPartition]:
    """Those of these partitions that the catalogue has. Raises ClientError."""
    waiting = [{"Values": list(partition.values())} for partition in partitions]
    found: list[RegisteredPartition] = []
    while waiting:
        portion, waiting = waiting[:_PARTITIONS_PER_GET], waiting[_PARTITIONS_PER_GET:]
        answer = glue_client.batch_get_partition(
            DatabaseName=spec.database, TableName=spec.name, PartitionsToGet=portion
        )
        waiting += answer.get("UnprocessedKeys", [])
        entries = (registered_partition(spec, entry) for entry in answer.get("Partitions", ()))
        found += [entry for entry in entries if entry is not None]
    return found


def registered_partition(spec: TableSpec, entry: Mapping[str, Any]) -> RegisteredPartition | None:
    """A partition by what Glue says of it; None for values that are none of the layout's."""
    try:
        partition = PartitionSpec.from_values(entry["Values"], spec.layout.scheme)
    except InvalidPartition:
        return None
    descriptor = entry.get("StorageDescriptor", {})
    location = str(descriptor.get("Location", ""))
    return RegisteredPartition(
        partition,
        location,
        compaction_at(spec, partition, location),
        location.rstrip("/") == spec.partition_location(partition).rstrip("/"),
        _moment((entry.get("Parameters") or {}).get(SWITCHED_AT)),
        tuple((column["Name"], column.get("Type", "")) for column in descriptor.get("Columns", ())),
    )


def parquet_descriptor(spec: TableSpec, location: str) -> dict[str, Any]:
    """A Glue StorageDescriptor: the table's columns, as Parquet."""
    return {
        **spec.storage_descriptor(location),
        "InputFormat": f"{_PARQUET}.MapredParquetInputFormat",
        "OutputFormat": f"{_PARQUET}.MapredParquetOutputFormat",
        "Compressed": False,
        "SerdeInfo": {
            "SerializationLibrary": f"{_PARQUET}.serde.ParquetHiveSerDe",
            "Parameters": {"serialization.format": "1"},
        },
    }


def compacted_input(spec: TableSpec, partition: PartitionSpec, identifier: str, now: datetime) -> dict[str, Any]:
    """The Glue PartitionInput of a compacted partition."""
    return {
        "Values": list(partition.values()),
        "StorageDescriptor": parquet_descriptor(spec, compaction_location(spec, partition, identifier)),
        "Parameters": {"classification": "parquet", SWITCHED_AT: now.isoformat()},
    }


def raw_input(spec: TableSpec, partition: PartitionSpec, now: datetime) -> dict[str, Any]:
    """The Glue PartitionInput of a partition that has gone back to its raw objects."""
    return {**spec.partition_input(partition), "Parameters": {SWITCHED_AT: now.isoformat()}}


def switch(
    glue_client: SwitchingClient,
    spec: TableSpec,
    inputs: Sequence[Mapping[str, Any]],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[tuple[str, ...], str]:
    """Gives partitions these inputs; the values of those that were not switched, with the reason. Never raises."""
    failed: dict[tuple[str, ...], str] = {}
    for start in range(0, len(inputs), _PARTITIONS_PER_UPDATE):
        waiting = list(inputs[start : start + _PARTITIONS_PER_UPDATE])
        for attempt in range(_ATTEMPTS):
            if attempt:
                sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            failures = _update(glue_client, spec, waiting)
            is_last = attempt == _ATTEMPTS - 1
            again = {values for values, (code, _) in failures.items() if code in RETRYABLE_CODES and not is_last}
            failed |= {values: f"{code}: {text}" for values, (code, text) in failures.items() if values not in again}
            waiting = [each for each in waiting if tuple(each["Values"]) in again]
            if not waiting:
                break
    return failed


def _update(
    glue_client: SwitchingClient, spec: TableSpec, inputs: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, ...], tuple[str, str]]:
    entries = [{"PartitionValueList": each["Values"], "PartitionInput": each} for each in inputs]
    try:
        answer = glue_client.batch_update_partition(DatabaseName=spec.database, TableName=spec.name, Entries=entries)
    except ClientError as error:
        failure = error_code(error), error_message(error)
        return {tuple(each["Values"]): failure for each in inputs}
    return {
        tuple(item["PartitionValueList"]): (
            item["ErrorDetail"].get("ErrorCode", ""),
            item["ErrorDetail"].get("ErrorMessage", ""),
        )
        for item in answer.get("Errors", ())
    }


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
