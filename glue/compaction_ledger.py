"""What the ledger is told of compaction: which objects of a partition are read, and what their rows say.

    compacted      raw objects count for their rows, Parquet objects for their bytes
    back to raw    raw objects count as a whole, the Parquet objects are forgotten
    raw removed    Parquet objects count as a whole, the raw ones are forgotten (that was meant: no offset is missing)

The same function tells of the first and the last: what lies in the raw folder decides.

Compaction has read every row, so that the ledger knows rows and times of all of a partition's objects afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from glue.compaction_manifest import InputObject, Manifest, OutputObject
from glue.compaction_state import RawFolder
from glue.layout import COMPACTED_PREFIX
from glue.ledger import KnownObject, ObjectRecord, ObjectRemoval, ObjectShare, PartitionRecord, RowFacts
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec


class CompactionLedger(Protocol):
    """What is needed of a ledger (glue.ledger.PartitionLedger)."""

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int: ...
    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int: ...
    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]: ...
    def partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None: ...


def is_compacted_key(key: str) -> bool:
    """Whether compaction wrote the object of this key."""
    return key.startswith(COMPACTED_PREFIX)


@dataclass(frozen=True)
class ReadInstead:
    """Parquet objects that are read instead of raw ones; `facts` are those of the raw objects, by key, as JSON."""

    outputs: tuple[OutputObject, ...]
    covered: tuple[InputObject, ...]
    facts: Mapping[str, Mapping[str, Any]]


def read_instead(manifest: Manifest) -> ReadInstead:
    """What a compaction is read instead of."""
    return ReadInstead(manifest.outputs, manifest.covered, manifest.input_facts)


def ledger_compacted(
    ledger: CompactionLedger,
    spec: TableSpec,
    partition: PartitionSpec,
    groups: Sequence[ReadInstead],
    raw: RawFolder,
    *,
    now: datetime,
) -> None:
    """Queries read these Parquet objects of the partition, and no raw ones, now.

    Where not all raw objects of a group lie there any more its Parquet objects have the rows.
    """
    known = _known(ledger, spec, partition)
    raw_arrivals = [each.last_arrival for each in known.values() if not is_compacted_key(each.key)]
    arrival = max(raw_arrivals, default=raw.newest_at or now)
    there = {found.identity for found in raw.objects}
    records: list[ObjectRecord] = []
    for group in groups:
        has_raw = bool(group.covered) and all(found.identity in there for found in group.covered)
        if has_raw:
            records += [
                _rows_record(partition, found, known.get(found.key), group.facts.get(found.key), arrival)
                for found in group.covered
            ]
        records += [_output_record(partition, output, arrival, is_whole=not has_raw) for output in group.outputs]
    ledger.record_objects(spec.reference, records)
    _remove(ledger, spec, partition, known.keys() - {record.key for record in records}, now=now)


def ledger_raw(
    ledger: CompactionLedger, spec: TableSpec, partition: PartitionSpec, raw: RawFolder, *, now: datetime
) -> None:
    """Queries read the raw objects again. Those that the ledger has not heard of are left to whoever tells of them."""
    known = _known(ledger, spec, partition)
    there = {found.key for found in raw.objects}
    records = [
        ObjectRecord(
            partition,
            each.key,
            each.size_bytes,
            each.arrival,
            is_late=each.is_late,
            share="whole",
            row_facts=each.facts,
        )
        for each in known.values()
        if each.key in there and each.share != "whole"
    ]
    ledger.record_objects(spec.reference, records)
    _remove(ledger, spec, partition, filter(is_compacted_key, known), now=now)


def _known(ledger: CompactionLedger, spec: TableSpec, partition: PartitionSpec) -> dict[str, KnownObject]:
    return {each.key: each for each in ledger.known_objects(spec.reference, PartitionRange(partition, partition))}


def _rows_record(
    partition: PartitionSpec,
    found: InputObject,
    known: KnownObject | None,
    facts: Mapping[str, Any] | None,
    arrival: datetime,
) -> ObjectRecord:
    read = RowFacts.from_json(facts) if facts is not None else None if known is None else known.facts
    return ObjectRecord(
        partition,
        found.key,
        found.size_bytes,
        arrival if known is None else known.arrival,
        is_late=known is not None and known.is_late,
        share="rows",
        row_facts=read,
    )


def _output_record(
    partition: PartitionSpec, output: OutputObject, arrival: datetime, *, is_whole: bool
) -> ObjectRecord:
    facts = RowFacts(
        output.row_count,
        minimum_createdtimestamp=output.minimum_time,
        maximum_createdtimestamp=output.maximum_time,
    )
    share: ObjectShare = "whole" if is_whole else "bytes"
    return ObjectRecord(partition, output.key, output.size_bytes, arrival, share=share, row_facts=facts)


def _remove(
    ledger: CompactionLedger, spec: TableSpec, partition: PartitionSpec, keys: Iterable[str], *, now: datetime
) -> None:
    removals = [ObjectRemoval(partition, key, was_meant=True) for key in keys]
    if removals:
        ledger.remove_objects(spec.reference, removals, now=now)
