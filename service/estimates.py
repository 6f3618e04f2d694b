"""What a planned query would read, from the partition ledger: partitions, objects, bytes, and what pruning saves.

The data is gzip JSON, which has no columns to skip: bytes scanned are the sizes of the objects in the pruned partitions
(LIMIT may stop earlier, so an estimate is an upper bound). A table that is read twice is scanned twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from glue.ledger import Freshness, KnownObject, LedgerSummary, OffsetSeries, PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionScheme, PartitionSpec
from service.model import TableScanEstimate


class Ledger(Protocol):
    """What is needed of the partition ledger (glue.ledger.PartitionLedger)."""

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """Totals over a range of a table's partitions, or over all."""
        ...

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """The partitions of a range, oldest first, lazily."""
        ...

    def freshness(self, table: str, scheme: PartitionScheme = ...) -> Freshness:
        """How fresh and complete a table is."""
        ...

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """The values of the newest partition at or before this one, or of the oldest at or after it."""
        ...

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """Some partitions of a range, newest first."""
        ...

    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]:
        """The totals of each Kafka partition."""
        ...

    def data_version(self, table: str, time_range: PartitionRange | None = None) -> str:
        """A text that changes whenever the data of a range do."""
        ...

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """The recorded objects of a range, lazily."""
        ...


class LeftOutPartitions(Protocol):
    """Partitions of a scan's range that it does not read all the same."""

    @property
    def partition_count(self) -> int: ...

    @property
    def object_count(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...


class PlannedScan(Protocol):
    """One physical table of a planned statement; `partition_range` None is unbounded."""

    @property
    def name(self) -> str: ...

    @property
    def partition_range(self) -> PartitionRange | None: ...

    @property
    def left_out(self) -> LeftOutPartitions: ...


def scan_estimates(ledger: Ledger, scans: Sequence[PlannedScan]) -> tuple[TableScanEstimate, ...]:
    """One estimate per scan, in order."""
    return tuple(_scan_estimate(ledger, scan) for scan in scans)


def _scan_estimate(ledger: Ledger, scan: PlannedScan) -> TableScanEstimate:
    whole = ledger.summary(scan.name)
    partition_range = scan.partition_range
    if partition_range is None:
        read = whole
    elif partition_range.is_empty:
        read = LedgerSummary(0, 0, 0)
    else:
        read = ledger.summary(scan.name, partition_range)
    read = LedgerSummary(
        max(0, read.partition_count - scan.left_out.partition_count),
        max(0, read.object_count - scan.left_out.object_count),
        max(0, read.size_bytes - scan.left_out.size_bytes),
    )
    first = partition_range.first if partition_range is not None else None
    last = partition_range.last if partition_range is not None else None
    return TableScanEstimate(
        table=scan.name,
        first_partition=None if first is None else first.path(),
        last_partition=None if last is None else last.path(),
        partition_count=read.partition_count,
        object_count=read.object_count,
        size_bytes=read.size_bytes,
        partitions_skipped=max(0, whole.partition_count - read.partition_count),
        bytes_skipped=max(0, whole.size_bytes - read.size_bytes),
    )
