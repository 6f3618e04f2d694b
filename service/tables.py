"""The served tables and their partitions as GET /tables tells them: data dictionary from the table spec, freshness and
partitions from the partition ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from glue.completeness import (
    by_partition,
    completeness,
    kafka_offsets,
    lateness_histogram,
    offset_totals,
    partition_state,
)
from glue.ledger import KnownObject, PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from glue.tracker import BAD_TIMESTAMP_DAY, closing_time
from service.estimates import Ledger, PlannedScan
from service.model import (
    ColumnDescription,
    PartitionDescription,
    PartitionOffsets,
    QueryFreshness,
    TableDescription,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def table_description(spec: TableSpec, ledger: Ledger, now: datetime) -> TableDescription:
    """One table. Columns that queries may not use are listed and marked."""
    freshness = ledger.freshness(spec.reference, spec.layout.scheme)
    complete = completeness(ledger, spec, now)
    oldest = next(iter(ledger.partitions(spec.reference)), None)
    raised = {field.name: field.paths for field in spec.raised}
    keys = tuple(key.name for key in spec.partition_keys)
    newest_ms = None
    if freshness.newest_partition is not None:
        newest = PartitionSpec.parse(freshness.newest_partition, spec.layout.scheme)
        newest_ms = max(
            (
                record.maximum_createdtimestamp
                for record in ledger.partitions(spec.reference, PartitionRange(newest, newest))
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
                raised_from=raised.get(column.name, ()),
            )
            for column in spec.all_columns
        ),
        partition_keys=keys,
        partition_count=freshness.partition_count,
        object_count=freshness.object_count,
        size_bytes=freshness.size_bytes,
        first_partition=(
            None if oldest is None else PartitionSpec.from_values(oldest.values, spec.layout.scheme).path()
        ),
        last_partition=freshness.newest_partition,
        newest_createdtimestamp=_created(newest_ms),
        last_arrival_at=freshness.last_arrival,
        missing_partition_count_24_hours=freshness.missing_partition_count,
        complete_until=complete.complete_until,
        missing_partitions=complete.missing_partitions,
        late_bytes=complete.late_bytes,
        bad_timestamp_object_count=ledger.summary(spec.reference, bad_timestamp_range(spec)).object_count,
        offsets=offset_totals(ledger, spec),
    )


def bad_timestamp_range(spec: TableSpec) -> PartitionRange:
    """The partitions where writers file records whose time they cannot read."""
    day = PartitionSpec.from_datetime(
        datetime.combine(BAD_TIMESTAMP_DAY, datetime.min.time(), UTC), "day", spec.layout.scheme
    )
    return PartitionRange(day, day)


def query_freshness(
    specs: Mapping[str, TableSpec], ledger: Ledger, scans: Sequence[PlannedScan], now: datetime
) -> QueryFreshness | None:
    """How complete what a planned query reads is; None when it reads no table."""
    found = [completeness(ledger, specs[scan.name], now, scan.partition_range) for scan in scans if scan.name in specs]
    if not found:
        return None
    known = [complete.complete_until for complete in found if complete.complete_until is not None]
    return QueryFreshness(
        complete_until=min(known) if len(known) == len(found) else None,
        missing_partitions=sum(complete.missing_partitions for complete in found),
        late_bytes=sum(complete.late_bytes for complete in found),
    )


def partition_descriptions(
    spec: TableSpec, ledger: Ledger, records: Sequence[PartitionRecord], now: datetime
) -> tuple[PartitionDescription, ...]:
    """These partitions (newest first), with what their objects tell."""
    if not records:
        return ()
    scheme = spec.layout.scheme
    first, last = (PartitionSpec.from_values(record.values, scheme) for record in (records[-1], records[0]))
    objects = by_partition(ledger.known_objects(spec.reference, PartitionRange(first, last)))
    return tuple(_partition_description(spec, record, objects.get(record.values, ()), now) for record in records)


def _partition_description(
    spec: TableSpec, record: PartitionRecord, objects: Iterable[KnownObject], now: datetime
) -> PartitionDescription:
    partition = PartitionSpec.from_values(record.values, spec.layout.scheme)
    objects = tuple(objects)
    return PartitionDescription(
        partition=partition.path(),
        location=spec.partition_location(partition),
        state=partition_state(spec, partition, record, now).value,
        start=partition.start(),
        end=partition.end(),
        closes_at=closing_time(spec, partition),
        object_count=record.object_count,
        size_bytes=record.size_bytes,
        late_bytes=record.late_bytes,
        row_count=record.row_count,
        malformed_count=record.malformed_count,
        unread_object_count=record.unread_object_count,
        minimum_createdtimestamp=_created(record.minimum_createdtimestamp),
        maximum_createdtimestamp=_created(record.maximum_createdtimestamp),
        first_arrival_at=record.first_arrival,
        last_arrival_at=record.last_arrival,
        lateness=lateness_histogram(spec, objects),
        row_lateness=dict(record.lateness),
        kafka_offsets=tuple(PartitionOffsets(**asdict(offsets)) for offsets in kafka_offsets(objects)),
    )


def _created(milliseconds: int | None) -> datetime | None:
    """None also for a time outside the calendar: a record may say anything."""
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
