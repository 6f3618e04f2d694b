"""The served tables as GET /tables tells them: data dictionary from the table spec, freshness from the partition
ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.estimates import Ledger
from service.model import ColumnDescription, TableDescription

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def table_description(spec: TableSpec, ledger: Ledger) -> TableDescription:
    """One table. Columns that queries may not use are listed and marked."""
    freshness = ledger.freshness(spec.name)
    oldest = next(iter(ledger.partitions(spec.name)), None)
    keys = tuple(key.name for key in spec.partition_keys)
    newest_ms = None
    if freshness.newest_partition is not None:
        values = [part.partition("=")[2] for part in freshness.newest_partition.split("/")]
        newest = PartitionSpec.from_values(values, spec.layout.scheme)
        newest_ms = max(
            (
                record.maximum_createdtimestamp
                for record in ledger.partitions(spec.name, PartitionRange(newest, newest))
                if record.maximum_createdtimestamp is not None
            ),
            default=None,
        )
    return TableDescription(
        name=spec.name,
        database=spec.database,
        description=spec.description,
        location=spec.location,
        columns=tuple(
            ColumnDescription(
                name=column.name,
                type=column.type,
                description=column.description,
                is_partition_key=column.name in keys,
                is_allowed=column.name not in spec.forbidden_columns,
            )
            for column in spec.all_columns
        ),
        partition_keys=keys,
        partition_count=freshness.partition_count,
        object_count=freshness.object_count,
        size_bytes=freshness.size_bytes,
        first_partition=None if oldest is None else "/".join(map("=".join, zip(keys, oldest.values, strict=True))),
        last_partition=freshness.newest_partition,
        newest_createdtimestamp=None if newest_ms is None else _EPOCH + timedelta(milliseconds=newest_ms),
        last_arrival_at=freshness.last_arrival,
        missing_partition_count_24_hours=freshness.missing_partition_count,
    )
