"""The partition ledger in a DynamoDB table: for the tracker's Lambda function, workers and replicas of the service.

    collection                          item                              holds
    objects#<table>#<day>               <value path>#<sha256 of the key>  an object, or the memory of its removal
    partitions#<table>#<day>            <value path>                      the totals of a partition
    days#<table>                        <day>                             the totals of a day; changes of its data
    table#<table>                       arrival                           when the newest object arrived
    batches#, series#, faults#<table>   see glue.dynamodb_offsets         Kafka's offsets
    load#<load id>                      load                              a load
    sources#<family>                    <bytes>#<load id>                 the source of a finished load

An object is written in one transaction with its partition, its day and its batch, or not at all. The objects and the
partitions that it was decided on are conditions of it (`revision`, a random text that every write renews), so that of
two writers one decides anew; days and batches are added to, by the difference. Recording again finds nothing to do.
A range is read a day at a time: a summary costs the same at any number of partitions.

The memory of a removal expires by `ttl` (seconds since 1970). DynamoDB deletes late, so what has expired and is still
there is taken for gone (DynamoDB guide, "Using time to live").

What it costs: 2 write units for each of object, partition, day, batch and Kafka partition of a transaction of up to 100
items, and what `glue.dynamodb_offsets` says.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import orjson

from glue.dynamodb_calls import ITEMS_PER_TRANSACTION, DynamoDbCalls, ItemKey, Outdated
from glue.dynamodb_offsets import DynamoDbOffsets, batch_key, series_key
from glue.dynamodb_values import Item
from glue.ledger import (
    REMOVAL_MEMORY,
    Freshness,
    Inspection,
    KnownObject,
    LedgerSummary,
    LoadSource,
    ObjectRecord,
    ObjectRemoval,
    OffsetFault,
    OffsetSeries,
    PartitionRecord,
    RowFacts,
    milliseconds,
    moment_of,
)
from glue.ledger_totals import (
    Change,
    after_all,
    batch_changes,
    day_bounds,
    day_path,
    inspected,
    is_of_data,
    is_stale,
    partition_totals,
    range_bounds,
    range_parts,
    recorded,
    table_freshness,
    value_path,
    version_text,
    widened,
)
from glue.offset_proof import BatchName, batch_name
from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec

_TOTALS = ("partition_count", "object_count", "size_bytes", "late_bytes")
_COUNTS = (
    "object_count", "size_bytes", "late_bytes", "read_row_count", "unread_object_count", "malformed_count",
    "unbounded_object_count", "minimum_createdtimestamp", "maximum_createdtimestamp", "lateness",
)  # fmt: skip
_ATTEMPTS_TO_AGREE = 60
_LONGEST_PAUSE_SECONDS = 1.0
_FACTS_SORTED = 5_000
_BATCHES_SETTLED = 2_000
_Answer = TypeVar("_Answer")
_Fact = TypeVar("_Fact", ObjectRecord, ObjectRemoval, Inspection)
_Decide = Callable[[_Fact, KnownObject | None, str | None], "_Decision | None"]


@dataclass(frozen=True)
class _Decision:
    """What becomes of an object: what is known of it afterwards, and the sequencer that is remembered without it."""

    after: KnownObject | None
    sequencer: str | None = None
    was_meant: bool = False


@dataclass
class _Place:
    """One object of a portion: what is stored, and what is decided so far."""

    partition: PartitionSpec
    key: str
    revision: str | None
    before: KnownObject | None
    known: KnownObject | None
    sequencer: str | None
    is_changed: bool = False


class DynamoDbLedger:
    """PartitionLedger in DynamoDB; see the module. `dynamodb` is boto3's client, or has its methods."""

    def __init__(
        self,
        dynamodb: Any,
        table_name: str,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        new_revision: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._calls = DynamoDbCalls(dynamodb, table_name, sleep=sleep)
        self._offsets = DynamoDbOffsets(self._calls, self._agree)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._new_revision = new_revision
        self._known_arrivals: dict[str, int] = {}

    def close(self) -> None:
        """Nothing is held open."""

    # Writing

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """As PartitionLedger.record_objects. Killed in between, some are recorded; doing it again records the rest."""

        def decide(record: ObjectRecord, known: KnownObject | None, sequencer: str | None) -> _Decision | None:
            if is_stale(record.sequencer, sequencer):
                return None
            after = recorded(known, record)
            return _Decision(after, after.sequencer)

        return self._apply(table, objects, decide)

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:  # noqa: ARG002  the port's
        """As PartitionLedger.remove_objects. Killed in between, some are removed; doing it again removes the rest."""

        def decide(removal: ObjectRemoval, known: KnownObject | None, sequencer: str | None) -> _Decision | None:  # noqa: ARG001  whatever is known, it goes
            if is_stale(removal.sequencer, sequencer):
                return None
            return _Decision(None, removal.sequencer or sequencer, removal.was_meant)

        return self._apply(table, removals, decide)

    def record_inspections(self, table: str, inspections: Iterable[Inspection]) -> int:
        """As PartitionLedger.record_inspections."""

        def decide(inspection: Inspection, known: KnownObject | None, sequencer: str | None) -> _Decision | None:  # noqa: ARG001  size and tag decide
            after = inspected(known, inspection)
            return None if after is None else _Decision(after, after.sequencer)

        return self._apply(table, inspections, decide)

    def forget_removals(self, *, now: datetime) -> int:  # noqa: ARG002  the port's
        """As PartitionLedger.forget_removals: DynamoDB forgets by itself, so this forgets none."""
        return 0

    def begin_load(self, load_id: str, table: str, facts: Mapping[str, object]) -> Mapping[str, object]:
        """As PartitionLedger.begin_load."""
        key = _load_key(load_id)
        item = {"table_name": table, "facts": orjson.dumps(dict(facts)), "revision": self._new_revision()}

        def begin() -> Mapping[str, object]:
            known = self._calls.get(key)
            if known is not None:
                return _load_facts(known)
            self._calls.write([self._calls.put(key, item, revision=None)])
            return dict(facts)

        return self._agree(begin)

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
        """As PartitionLedger.finish_load: the objects first, then that it is finished."""
        self.record_objects(table, objects)
        item = {"table_name": table, "facts": orjson.dumps(dict(facts)), "finished_at": milliseconds(now)}
        writes = [self._calls.replace(_load_key(load_id), {**item, "revision": self._new_revision()})]
        if source is not None:
            named = {"size_bytes": source.size_bytes, "load_id": load_id}
            writes.append(
                self._calls.replace((f"sources#{source.family}", f"{source.size_bytes:020d}#{load_id}"), named)
            )
        self._agree(lambda: self._calls.write(writes))

    # Reading

    def finished_load(self, load_id: str) -> Mapping[str, object] | None:
        """As PartitionLedger.finished_load."""
        item = self._calls.get(_load_key(load_id))
        return None if item is None or "finished_at" not in item else _load_facts(item)

    def begun_load(self, load_id: str) -> Mapping[str, object] | None:
        """As PartitionLedger.begun_load."""
        item = self._calls.get(_load_key(load_id))
        return None if item is None else _load_facts(item)

    def load_sources(self, family: str, below_bytes: int) -> dict[int, set[str]]:
        """As PartitionLedger.load_sources."""
        sources: dict[int, set[str]] = {}
        for item in self._calls.query(f"sources#{family}", "", f"{below_bytes:020d}"):
            sources.setdefault(item["size_bytes"], set()).add(item["load_id"])
        return sources

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """As PartitionLedger.summary."""
        totals = Counter[str]()
        whole_days, ragged = range_parts(time_range)
        if whole_days is not None:
            for day in self._calls.query(f"days#{table}", *whole_days):
                totals.update({name: day.get(name, 0) for name in _TOTALS})
        for lower, upper in ragged:
            for item in self._partition_items(table, lower, upper, time_range):
                totals.update({"partition_count": 1, **{name: item[name] for name in _TOTALS[1:]}})
        return LedgerSummary(*(totals[name] for name in _TOTALS))

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """As PartitionLedger.partitions."""
        lower, upper = range_bounds(time_range)
        for item in self._partition_items(table, lower, upper, time_range):
            yield _partition_record(table, item)

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """As PartitionLedger.newest_partitions."""
        lower, upper = range_bounds(time_range)
        if before is not None:
            upper = min(upper, value_path(before))
        items = self._partition_items(table, lower, upper, time_range, is_descending=True, page_limit=limit)
        return [_partition_record(table, item) for item, _ in zip(items, range(limit), strict=False)]

    def partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None:
        """As PartitionLedger.partition."""
        item = self._calls.get(_partition_key(table, partition))
        return None if item is None else _partition_record(table, item)

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """As PartitionLedger.known_objects. The objects of one partition are held at a time."""
        lower, upper = range_bounds(time_range)
        for day in self._days(table, time_range):
            held: list[KnownObject] = []
            for item in self._calls.query(f"objects#{table}#{day}", lower, upper):
                known = _object_of(item)
                if known is None:
                    continue
                if held and held[0].values != known.values:
                    yield from sorted(held, key=lambda one: one.key)
                    held = []
                held.append(known)
            yield from sorted(held, key=lambda one: one.key)

    def days(self, table: str) -> list[str]:
        """As PartitionLedger.days."""
        return list(self._days(table, None))

    def data_version(self, table: str, time_range: PartitionRange | None = None) -> str:
        """As PartitionLedger.data_version."""
        days = self._calls.query(f"days#{table}", *day_bounds(time_range))
        return version_text((day["item"], int(day["version"])) for day in days if "version" in day)

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """As PartitionLedger.neighbour."""
        time_range = None
        if partition is not None:
            time_range = PartitionRange(None, partition) if newest else PartitionRange(partition, None)
        lower, upper = range_bounds(time_range)
        found = self._partition_items(table, lower, upper, time_range, is_descending=newest, page_limit=1)
        item = next(found, None)
        return None if item is None else tuple(item["item"].split("/"))

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """As PartitionLedger.freshness."""
        item = self._calls.get(_arrival_key(table))
        return table_freshness(self, table, scheme, None if item is None else moment_of(item["last_arrival"]))

    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]:
        """As PartitionLedger.offset_series; the ends are two look-ups for each Kafka partition."""
        return self._offsets.series(table, with_ends=with_ends)

    def offset_faults(self, table: str, *, limit: int) -> list[OffsetFault]:
        """As PartitionLedger.offset_faults."""
        return self._offsets.faults(table, limit)

    # The ground

    def _days(self, table: str, time_range: PartitionRange | None, *, is_descending: bool = False) -> Iterator[str]:
        """The days that have partitions, of a range."""
        lower, upper = day_bounds(time_range)
        page_limit = 10 if is_descending else None
        for item in self._calls.query(
            f"days#{table}", lower, upper, is_descending=is_descending, page_limit=page_limit
        ):
            if item.get("partition_count", 0) > 0:
                yield item["item"]

    def _partition_items(
        self,
        table: str,
        lower: str,
        upper: str,
        time_range: PartitionRange | None,
        *,
        is_descending: bool = False,
        page_limit: int | None = None,
    ) -> Iterator[Item]:
        """The partitions from `lower` to before `upper`, which lie in this range."""
        for day in self._days(table, time_range, is_descending=is_descending):
            if day < upper and after_all(day) > lower:
                yield from self._calls.query(
                    f"partitions#{table}#{day}", lower, upper, is_descending=is_descending, page_limit=page_limit
                )

    def _agree(self, attempt: Callable[[], _Answer]) -> _Answer:
        """Does it until nobody else came between."""
        for number in range(_ATTEMPTS_TO_AGREE):
            try:
                return attempt()
            except Outdated:
                self._sleep(self._jitter() * min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**number))
        return attempt()

    def _apply(self, table: str, facts: Iterable[_Fact], decide: _Decide[_Fact]) -> int:
        """Brings facts into the ledger, a transaction at a time; how many were refused."""
        refused_count = 0
        unsettled: set[BatchName] = set()
        for portion in _portions(table, facts):
            refused_count += self._agree(partial(self._apply_portion, table, portion, decide))
            unsettled |= {name for fact in portion if (name := batch_name(fact.key)) is not None}
            if len(unsettled) >= _BATCHES_SETTLED:
                self._offsets.settle(table, unsettled)
                unsettled = set()
        self._offsets.settle(table, unsettled)
        return refused_count

    def _apply_portion(self, table: str, portion: Sequence[_Fact], decide: _Decide[_Fact]) -> int:
        specs = {value_path(fact.partition): fact.partition for fact in portion}
        # partitions first: where one is as it was read, so are the objects that were read after it
        stored = self._calls.get_many(_partition_key(table, spec) for spec in specs.values())
        items = self._calls.get_many(_object_key(table, fact.partition, fact.key) for fact in portion)
        refused_count = 0
        places: dict[ItemKey, _Place] = {}
        changes: dict[str, list[Change]] = defaultdict(list)
        meant: list[str] = []
        newest_arrival = 0
        for fact in portion:
            key = _object_key(table, fact.partition, fact.key)
            place = places.get(key) or self._place(fact, items.get(key))
            places[key] = place
            decision = decide(fact, place.known, place.sequencer)
            if decision is None:
                refused_count += 1
                continue
            after, sequencer = decision.after, decision.sequencer
            if after is not None:
                newest_arrival = max(newest_arrival, milliseconds(after.last_arrival))
            if after != place.known:
                changes[value_path(fact.partition)].append((place.known, after))
                if decision.was_meant:
                    meant.append(fact.key)
            place.is_changed |= after != place.known or sequencer != place.sequencer
            place.known, place.sequencer = after, sequencer
        self._tell_arrival(table, newest_arrival)
        writes = self._object_writes(places)
        writes += self._total_writes(table, specs, stored, changes, places)
        writes += self._batch_writes(table, changes, meant)
        self._calls.write(writes)
        return refused_count

    def _place(self, fact: _Fact, item: Item | None) -> _Place:
        known = None if item is None else _object_of(item)
        sequencer = None if item is None or self._is_expired(item) else item.get("sequencer")
        return _Place(fact.partition, fact.key, _revision(item), known, known, sequencer)

    def _is_expired(self, item: Item) -> bool:
        return "ttl" in item and item["ttl"] <= self._clock().timestamp()

    def _object_writes(self, places: Mapping[ItemKey, _Place]) -> list[dict[str, Any]]:
        writes = []
        for key, place in places.items():
            if not place.is_changed:
                continue
            if place.known is not None:
                item = _object_item(place.known)
            elif place.sequencer is not None:
                ends_at = self._clock() + REMOVAL_MEMORY
                item = {"key": place.key, "sequencer": place.sequencer, "ttl": int(ends_at.timestamp())}
            else:
                if place.revision is not None:
                    writes.append(self._calls.delete(key, revision=place.revision))
                continue
            item["revision"] = self._new_revision()
            writes.append(self._calls.put(key, item, revision=place.revision))
        return writes

    def _total_writes(
        self,
        table: str,
        specs: Mapping[str, PartitionSpec],
        stored: Mapping[ItemKey, Item],
        changes: Mapping[str, Sequence[Change]],
        places: Mapping[ItemKey, _Place],
    ) -> list[dict[str, Any]]:
        writes: list[dict[str, Any]] = []
        days: dict[str, Counter[str]] = defaultdict(Counter)
        for path, pairs in changes.items():
            spec = specs[path]
            key = _partition_key(table, spec)
            item = stored.get(key)
            before = PartitionRecord(table, spec.values()) if item is None else _partition_record(table, item)
            after = widened(before, pairs) or self._counted_anew(table, spec, places)
            if after.object_count:
                new_item = {**_partition_item(after), "revision": self._new_revision()}
                writes.append(self._calls.put(key, new_item, revision=_revision(item)))
            elif item is not None:
                writes.append(self._calls.delete(key, revision=item["revision"]))
            difference = days[day_path(spec)]
            difference["partition_count"] += (after.object_count > 0) - (item is not None)
            for name in _TOTALS[1:]:
                difference[name] += getattr(after, name) - getattr(before, name)
            difference["version"] += any(map(is_of_data, pairs))
        for day, difference in days.items():
            added = {name: difference[name] for name in (*_TOTALS, "version") if difference[name]}
            if added:
                writes.append(self._calls.change((f"days#{table}", day), added=added))
        return writes

    def _counted_anew(self, table: str, spec: PartitionSpec, places: Mapping[ItemKey, _Place]) -> PartitionRecord:
        """The totals of a partition by its objects: those that are stored, but for what this portion makes of them."""
        path = value_path(spec)
        objects = {
            (item["collection"], item["item"]): known
            for item in self._calls.query(f"objects#{table}#{day_path(spec)}", path + "#", path + "$")
            if (known := _object_of(item)) is not None
        }
        for key, place in places.items():
            if place.partition.values() != spec.values():
                continue
            objects.pop(key, None)
            if place.known is not None:
                objects[key] = place.known
        return partition_totals(table, spec.values(), objects.values())

    def _batch_writes(
        self, table: str, changes: Mapping[str, Sequence[Change]], meant: Sequence[str]
    ) -> list[dict[str, Any]]:
        differences = batch_changes((pair for pairs in changes.values() for pair in pairs), meant)
        return self._offsets.writes(table, differences)

    def _tell_arrival(self, table: str, arrival: int) -> None:
        if arrival > self._known_arrivals.get(table, 0):
            self._calls.raise_to(_arrival_key(table), "last_arrival", arrival)
            self._known_arrivals[table] = arrival


def _portions(table: str, facts: Iterable[_Fact]) -> Iterator[list[_Fact]]:
    """Facts by partition, those of one object in their order, as many at a time as fit into one transaction whatever
    becomes of them.
    """
    portion: list[_Fact] = []
    items: set[Any] = set()
    for fact in _by_partition(facts):
        own = {_object_key(table, fact.partition, fact.key), _partition_key(table, fact.partition)}
        own.add((f"days#{table}", day_path(fact.partition)))
        name = batch_name(fact.key)
        if name is not None:
            own |= {batch_key(table, name), series_key(table, name)}
        if portion and len(items | own) > ITEMS_PER_TRANSACTION:
            yield portion
            portion, items = [], set()
        portion.append(fact)
        items |= own
    if portion:
        yield portion


def _by_partition(facts: Iterable[_Fact]) -> Iterator[_Fact]:
    """A stretch of facts at a time, sorted by partition: neighbours share their totals' items."""
    waiting = iter(facts)
    while stretch := list(islice(waiting, _FACTS_SORTED)):
        yield from sorted(stretch, key=lambda fact: value_path(fact.partition))


def _object_key(table: str, partition: PartitionSpec, key: str) -> ItemKey:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"objects#{table}#{day_path(partition)}", f"{value_path(partition)}#{digest}"


def _partition_key(table: str, partition: PartitionSpec) -> ItemKey:
    return f"partitions#{table}#{day_path(partition)}", value_path(partition)


def _arrival_key(table: str) -> ItemKey:
    return f"table#{table}", "arrival"


def _load_key(load_id: str) -> ItemKey:
    return f"load#{load_id}", "load"


def _load_facts(item: Item) -> Mapping[str, object]:
    facts: Mapping[str, object] = orjson.loads(item["facts"])
    return facts


def _revision(item: Item | None) -> str | None:
    return None if item is None else str(item["revision"])


def _object_item(known: KnownObject) -> Item:
    return {
        "key": known.key,
        "size_bytes": known.size_bytes,
        "arrival": milliseconds(known.arrival),
        "last_arrival": milliseconds(known.last_arrival),
        "is_late": known.is_late,
        "facts": None if known.facts is None else orjson.dumps(known.facts.to_json()).decode(),
        "sequencer": known.sequencer,
        "content_tag": known.content_tag,
        "share": known.share,
    }


def _object_of(item: Item) -> KnownObject | None:
    """The object of an item; None for the memory of a removal."""
    if "size_bytes" not in item:
        return None
    facts = item.get("facts")
    return KnownObject(
        tuple(item["item"].rpartition("#")[0].split("/")),
        item["key"],
        item["size_bytes"],
        moment_of(item["arrival"]),
        moment_of(item["last_arrival"]),
        item["is_late"],
        None if facts is None else RowFacts.from_json(orjson.loads(facts)),
        item.get("sequencer"),
        item.get("content_tag"),
        item.get("share", "whole"),
    )


def _partition_item(record: PartitionRecord) -> Item:
    return {
        **{name: getattr(record, name) for name in _COUNTS},
        "first_arrival": None if record.first_arrival is None else milliseconds(record.first_arrival),
        "last_arrival": None if record.last_arrival is None else milliseconds(record.last_arrival),
    }


def _partition_record(table: str, item: Item) -> PartitionRecord:
    first, last = (item.get(name) for name in ("first_arrival", "last_arrival"))
    return PartitionRecord(
        table,
        tuple(item["item"].split("/")),
        **{name: item[name] for name in _COUNTS if name in item},
        first_arrival=None if first is None else moment_of(first),
        last_arrival=None if last is None else moment_of(last),
    )
