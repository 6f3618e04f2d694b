"""The ledger: what is known about each partition without opening it - objects, bytes, rows, times, offsets.

The ingest side writes it, planning and the dry run read it (how many partitions, objects and bytes would a query
touch), the tables page shows it (freshness, gaps). Three rules make it trustworthy:

1. Everything is recorded as a fact about an object, never as an increment: recording twice equals once. Totals of a
   partition, of a day and of a batch of Kafka offsets follow from the difference to what was known, together with it
   or not at all (`glue.ledger_totals`).
2. A summary costs the same whatever the number of partitions: whole days are kept as one row, only the ragged ends of a
   range are counted by partition.
3. What an object's rows say (`RowFacts`) is known from its writer or from whoever has read it, and is dropped when the
   object changes.

A compacted partition has two sets of objects with the same rows. What an object counts for is its **share**: raw
objects that queries no longer read count for their rows, those that are read instead count for their bytes. An object
that changes counts as a whole again.

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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec

REMOVAL_MEMORY = timedelta(days=15)
_SEQUENCER_DIGITS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ObjectShare = Literal["whole", "rows", "bytes"]


@dataclass(frozen=True)
class RowFacts:
    """What the rows of one object say.

    `message_count` counts lines, malformed and blank ones too: one per message of Kafka. `untimed_count`: rows whose
    created time is not plainly a whole number. `lateness`: rows by how long after their creation they arrived
    (`glue.completeness.LATENESS_BUCKETS`). `is_sample`: only the beginning was read, so that nothing is a total.
    `fault`: why it could not be read, or not to its end.
    """

    row_count: int
    malformed_count: int = 0
    blank_count: int = 0
    untimed_count: int = 0
    minimum_createdtimestamp: int | None = None
    maximum_createdtimestamp: int | None = None
    minimum_arrivaltimestamp: int | None = None
    maximum_arrivaltimestamp: int | None = None
    lateness: Mapping[str, int] = field(default_factory=dict)
    customers: tuple[int, ...] = ()
    has_more_customers: bool = False
    is_sample: bool = False
    fault: str = ""

    @property
    def message_count(self) -> int:
        """Lines: what the writer took from Kafka."""
        return self.row_count + self.malformed_count + self.blank_count

    @property
    def is_whole(self) -> bool:
        """Whether the counts are those of the whole object."""
        return not self.is_sample and not self.fault

    @property
    def has_known_times(self) -> bool:
        """Whether every row that an engine could make of this object lies between the created times."""
        is_plain = self.is_whole and not self.malformed_count and not self.untimed_count
        return is_plain and (self.row_count == 0 or self.minimum_createdtimestamp is not None)

    def to_json(self) -> dict[str, Any]:
        """The members that say something, as JSON values: what a ledger stores."""
        values = {**vars(self), "lateness": dict(self.lateness), "customers": list(self.customers)}
        return {name: value for name, value in values.items() if value or (value == 0 and name in _STORED_ZEROS)}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> RowFacts:
        """What `to_json` wrote; members of a later release are left out."""
        known = {name: value for name, value in members.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "customers": tuple(known.get("customers", ()))})


_STORED_ZEROS = frozenset(
    {"row_count"} | {f"{end}_{name}timestamp" for end in ("minimum", "maximum") for name in ("created", "arrival")}
)


@dataclass(frozen=True)
class ObjectRecord:
    """A fact about one object. Rows and created times are its writer's knowledge, None when nobody has read it.

    `is_late`: it arrived after its partition should have been complete. A load of old data is not late: somebody asked
    for it. `content_tag` is a text that changes with the bytes, such as `etag:...`; its part before the colon says what
    it is made of, and only tags of one kind are compared. `share` None keeps what is known, and is the whole of what is
    not; `row_facts` are for writers that know more of the rows than their count and times.
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
    content_tag: str | None = None
    share: ObjectShare | None = None
    row_facts: RowFacts | None = None

    @property
    def facts(self) -> RowFacts | None:
        """What its writer knows of its rows."""
        if self.row_facts is not None or self.row_count is None:
            return self.row_facts
        return RowFacts(
            self.row_count,
            minimum_createdtimestamp=self.minimum_createdtimestamp,
            maximum_createdtimestamp=self.maximum_createdtimestamp,
        )


@dataclass(frozen=True)
class ObjectRemoval:
    """The fact that an object is no longer there.

    `was_meant`: retention or compaction took it, so that its offsets are not missing.
    """

    partition: PartitionSpec
    key: str
    sequencer: str | None = None
    was_meant: bool = False


@dataclass(frozen=True)
class Inspection:
    """What reading an object told, for the object that was known by this size and tag when the reading began."""

    partition: PartitionSpec
    key: str
    size_bytes: int
    content_tag: str | None
    facts: RowFacts


@dataclass(frozen=True)
class KnownObject:
    """What is known of one object of a partition; `is_late`: it arrived after the table's allowed lateness.

    `arrival` is when it first came, `last_arrival` when its bytes last changed.
    """

    values: tuple[str, ...]
    key: str
    size_bytes: int
    arrival: datetime
    last_arrival: datetime
    is_late: bool
    facts: RowFacts | None = None
    sequencer: str | None = None
    content_tag: str | None = None
    share: ObjectShare = "whole"

    @property
    def row_count(self) -> int | None:
        """Its rows; None when nobody has counted them all."""
        return self.facts.row_count if self.facts is not None and self.facts.is_whole else None

    @property
    def message_count(self) -> int | None:
        """Its lines; None when nobody has counted them all."""
        return self.facts.message_count if self.facts is not None and self.facts.is_whole else None

    @property
    def has_known_times(self) -> bool:
        """Whether all its rows are known to lie between its created times."""
        return self.facts is not None and self.facts.has_known_times


@dataclass(frozen=True)
class LoadSource:
    """The source of a load: its size, and the family of loads whose sources it may continue or be continued by."""

    family: str
    size_bytes: int


@dataclass(frozen=True)
class PartitionRecord:
    """What is known of one partition; created times are ms since 1970, None when not known.

    `read_row_count` are the rows of the objects that were read whole, `unread_object_count` the others.
    `unbounded_object_count`: objects that may hold rows outside the created times. `lateness` is by rows.
    """

    table: str
    values: tuple[str, ...]
    object_count: int = 0
    size_bytes: int = 0
    late_bytes: int = 0
    read_row_count: int = 0
    unread_object_count: int = 0
    malformed_count: int = 0
    unbounded_object_count: int = 0
    minimum_createdtimestamp: int | None = None
    maximum_createdtimestamp: int | None = None
    first_arrival: datetime | None = None
    last_arrival: datetime | None = None
    lateness: Mapping[str, int] = field(default_factory=dict)

    @property
    def row_count(self) -> int | None:
        """Its rows; None when they are not known for every object."""
        return None if self.unread_object_count else self.read_row_count

    @property
    def has_known_times(self) -> bool:
        """Whether no row can lie outside the created times."""
        return self.unbounded_object_count == 0


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


@dataclass(frozen=True)
class OffsetSeries:
    """What is known of one Kafka partition's offsets in a table (see `glue.offset_proof`).

    Offsets between its first batch and its last: `missing_count` of them no object has, `surplus_count` rows are more
    than there are offsets. `unread_object_count`: objects whose rows nobody has counted. `fault_count`: batches with
    missing or surplus offsets. `first_offset` and `last_offset` are where its first and last batch begin.
    """

    generation: int
    kafka_partition: int
    batch_count: int
    object_count: int
    unread_object_count: int
    missing_count: int
    surplus_count: int
    fault_count: int
    first_offset: int | None = None
    last_offset: int | None = None


@dataclass(frozen=True)
class OffsetTotals:
    """The offsets of all Kafka partitions of a table together; members as in OffsetSeries."""

    kafka_partition_count: int = 0
    object_count: int = 0
    unread_object_count: int = 0
    missing_count: int = 0
    surplus_count: int = 0
    fault_count: int = 0


@dataclass(frozen=True)
class OffsetFault:
    """A batch whose objects have fewer or more rows than there are offsets up to the next batch."""

    generation: int
    kafka_partition: int
    offset: int
    next_offset: int
    message_count: int

    @property
    def missing_count(self) -> int:
        """Offsets without a row."""
        return max(0, self.next_offset - self.offset - self.message_count)

    @property
    def surplus_count(self) -> int:
        """Rows without an offset."""
        return max(0, self.message_count - (self.next_offset - self.offset))


class PartitionLedger(Protocol):
    """The port: writing is idempotent and safe for many threads, processes and machines."""

    def close(self) -> None:
        """Lets go of files and connections; the ledger cannot be used afterwards."""
        ...

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """Record what is known of objects; all totals follow. How many were stale.

        Recording an object again replaces what was known of it, except that the facts of its rows survive a record
        without them as long as its bytes are the same: the same size, and neither another tag nor a newer sequencer.
        """
        ...

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        """These objects are gone; all totals follow. How many removals were stale.

        A partition whose last recorded object goes is forgotten with it. The catalogue keeps it: an empty partition
        harms nobody, and dropping it is a matter of reconciling.
        """
        ...

    def record_inspections(self, table: str, inspections: Iterable[Inspection]) -> int:
        """Record what reading objects told; all totals follow. How many came too late: the object is gone, or it
        changed since the reading began.
        """
        ...

    def forget_removals(self, *, now: datetime) -> int:
        """Forget removals that no notification can contradict any more; how many this call has forgotten."""
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
        """Record the objects of a load, and that it is finished: never the second without the first."""
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

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """The recorded objects of a range, by partition and key, read in portions so that memory stays flat."""
        ...

    def days(self, table: str) -> list[str]:
        """The days of the recorded partitions, oldest first: the values of a partition down to the day, joined by `/`
        (`2026-11-22`, or `2026/11/22` where year, month and day have folders of their own).
        """
        ...

    def data_version(self, table: str, time_range: PartitionRange | None = None) -> str:
        """A text that changes whenever an object of the days of a range comes, goes or has other bytes, and never comes
        back. What was read of an object does not change it.

        Costs the same at any number of partitions of a day.
        """
        ...

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """The values of the newest partition at or before this one, or of the oldest at or after it; None without one.

        Costs the same at any number of partitions.
        """
        ...

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """How fresh and complete a table is, by what is known. Costs the same at any number of partitions."""
        ...

    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]:
        """The totals of each Kafka partition, by generation and partition. Costs the same at any number of objects.

        Without `with_ends` the first and the last offset are left out, which may save look-ups.
        """
        ...

    def offset_faults(self, table: str, *, limit: int) -> list[OffsetFault]:
        """At most so many batches with missing or surplus offsets, by generation, Kafka partition and offset."""
        ...


def sequencer_order(sequencer: str) -> str:
    """A text by which the sequencers of one key compare: the shorter one is filled with zeros on the right.

    The rule is Amazon's (S3 user guide, event message structure).
    """
    return sequencer.upper().ljust(_SEQUENCER_DIGITS, "0")


def milliseconds(moment: datetime) -> int:
    """A moment as ms since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment_of(since_epoch_milliseconds: int) -> datetime:
    """The moment of ms since 1970."""
    return _EPOCH + timedelta(milliseconds=since_epoch_milliseconds)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
