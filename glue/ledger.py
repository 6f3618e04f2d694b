"""The ledger: what is known about each partition without opening it - objects, bytes, rows, times.

The ingest side writes it, planning and the dry run read it (how many partitions, objects and bytes would a query
touch), the tables page shows it (freshness, gaps). Two rules make it trustworthy:

1. Everything is recorded as a fact about an object, never as an increment: recording twice equals once. Totals of a
   partition and of a day follow from the difference to what was known, in one transaction.
2. A summary costs the same whatever the number of partitions: whole days are kept as one row, only the ragged ends of a
   range are counted by partition.

Objects may come with the **sequencer** of the notification that told of them. What is known of an object then only
moves forward: a record or a removal with a sequencer that is not greater than the last one is stale and changes
nothing, in whatever order notifications arrive. A removal is remembered for `REMOVAL_MEMORY` (a queue keeps no message
longer), so that a late "created" does not bring a deleted object back.

This module has the port, `PartitionLedger`, and its values; `glue.sqlite_ledger` is the embedded one. A table is named
by its spec's `reference`. Times given and returned are aware datetimes in UTC, or ms since 1970 where the name says
milliseconds or the column is `createdtimestamp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec

REMOVAL_MEMORY = timedelta(days=15)
_SEQUENCER_DIGITS = 64


@dataclass(frozen=True)
class ObjectRecord:
    """A fact about one object. Rows and created times are None when nobody has read it.

    `is_late`: it arrived after its partition should have been complete. A load of old data is not late: somebody asked
    for it.
    """

    partition: PartitionSpec
    key: str
    size_bytes: int
    arrival: datetime
    row_count: int | None = None
    minimum_createdtimestamp: int | None = None
    maximum_createdtimestamp: int | None = None
    sequencer: str | None = None
    is_late: bool = False


@dataclass(frozen=True)
class ObjectRemoval:
    """The fact that an object is no longer there."""

    partition: PartitionSpec
    key: str
    sequencer: str | None = None


@dataclass(frozen=True)
class KnownObject:
    """What is known of one object of a partition; `is_late`: it arrived after the table's allowed lateness."""

    values: tuple[str, ...]
    key: str
    size_bytes: int
    row_count: int | None
    arrival: datetime
    is_late: bool


@dataclass(frozen=True)
class LoadSource:
    """The source of a load: its size, and the family of loads whose sources it may continue or be continued by."""

    family: str
    size_bytes: int


@dataclass(frozen=True)
class PartitionRecord:
    """What is known of one partition; created times are ms since 1970, None when not known."""

    table: str
    values: tuple[str, ...]
    object_count: int
    size_bytes: int
    row_count: int | None
    minimum_createdtimestamp: int | None
    maximum_createdtimestamp: int | None
    first_arrival: datetime | None
    last_arrival: datetime | None
    late_bytes: int = 0


@dataclass(frozen=True)
class LedgerSummary:
    """Totals over a range of partitions; `late_bytes` are those of objects that came after the allowed lateness."""

    partition_count: int
    object_count: int
    size_bytes: int
    late_bytes: int = 0


@dataclass(frozen=True)
class Freshness:
    """How fresh and complete a table is.

    `missing_partition_count` counts the partitions that are not there between the first and the newest one of the 24
    hours that end with the newest: a hint at gaps, as a service may have been silent.
    """

    newest_partition: str | None
    newest_data_until: datetime | None
    last_arrival: datetime | None
    partition_count: int
    object_count: int
    size_bytes: int
    missing_partition_count: int

    def to_json(self) -> dict[str, object]:
        """The members as JSON values; times in ISO 8601, UTC."""
        return {
            "newest_partition": self.newest_partition,
            "newest_data_until": _iso(self.newest_data_until),
            "last_arrival": _iso(self.last_arrival),
            "partition_count": self.partition_count,
            "object_count": self.object_count,
            "size_bytes": self.size_bytes,
            "missing_partition_count_24_hours": self.missing_partition_count,
        }


class PartitionLedger(Protocol):
    """The port: writing is idempotent and safe for many threads, processes and machines."""

    def close(self) -> None:
        """Lets go of files and connections; the ledger cannot be used afterwards."""
        ...

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """Record what is known of objects; the totals of their partitions and days follow. How many were stale.

        Recording an object again replaces what was known of it, except that rows and created times that only its writer
        knew survive a record without them, as long as the size is the same.
        """
        ...

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        """These objects are gone; the totals of their partitions and days follow. How many removals were stale.

        A partition whose last recorded object goes is forgotten with it. The catalogue keeps it: an empty partition
        harms nobody, and dropping it is a matter of reconciling.
        """
        ...

    def forget_removals(self, *, now: datetime) -> int:
        """Forget removals that no notification can contradict any more; how many."""
        ...

    def begin_load(self, load_id: str, table: str, facts: Mapping[str, object]) -> Mapping[str, object]:
        """Remember what a load is about to do; the facts of the first beginning win, and are returned."""
        ...

    def finish_load(
        self,
        load_id: str,
        table: str,
        objects: Iterable[ObjectRecord],
        facts: Mapping[str, object],
        *,
        now: datetime,
        source: LoadSource | None = None,
    ) -> None:
        """Record the objects of a load, then that it is finished: never the second without the first."""
        ...

    def finished_load(self, load_id: str) -> Mapping[str, object] | None:
        """The facts of a finished load; None when there was none, or it did not finish."""
        ...

    def begun_load(self, load_id: str) -> Mapping[str, object] | None:
        """The facts of a load that was begun, finished or not; None when there was none."""
        ...

    def load_sources(self, family: str, below_bytes: int) -> dict[int, set[str]]:
        """The finished loads of a family with a source smaller than this, by its size."""
        ...

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """Partitions, objects and bytes of a table, or of the partitions of a range.

        Costs the same at any number of partitions.
        """
        ...

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """The partitions of a range in order, read in portions so that memory stays flat."""
        ...

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """At most `limit` partitions of a range, newest first; `before` is the last one seen."""
        ...

    def partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None:
        """What is known of one partition; None when nothing is."""
        ...

    def objects(self, table: str, partition: PartitionSpec) -> list[tuple[str, int, int | None]]:
        """The recorded objects of a partition: (key, bytes, rows or None), by key."""
        ...

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """The recorded objects of a range, by partition and key, read in portions so that memory stays flat."""
        ...

    def days(self, table: str) -> list[str]:
        """The first values (days) of the recorded partitions, oldest first."""
        ...

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """The values of the newest partition at or before this one, or of the oldest at or after it; None without one.

        Costs the same at any number of partitions.
        """
        ...

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """How fresh and complete a table is, by what is known. Costs the same at any number of partitions."""
        ...


def sequencer_order(sequencer: str) -> str:
    """A text by which the sequencers of one key compare: the shorter one is filled with zeros on the right.

    The rule is Amazon's (S3 user guide, event message structure).
    """
    return sequencer.upper().ljust(_SEQUENCER_DIGITS, "0")


def milliseconds(moment: datetime) -> int:
    """A moment as ms since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
