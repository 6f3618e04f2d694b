"""The batches of Kafka offsets in the DynamoDB ledger: counted in the objects' transactions, judged right after.

    collection                            item                                  holds
    batches#<table>#<generation>#<part>   <offset>                              a batch, and the verdict on it
    series#<table>                        <generation>#<part>                   the totals of a Kafka partition
    faults#<table>                        <generation>#<part>#<offset>          a batch with missing or surplus offsets

What a verdict means is `glue.offset_proof`'s. It depends on the batch and on where the next one begins, which other
writers may change meanwhile. So counting leaves the batch `is_unsettled`, and settling judges the batch before it and
then itself: each on what was read after its own `version`, and written only where that version still is. Whoever
changes a batch settles it afterwards, so that the last one to do so has seen all others. Where a writer was killed in
between, the mark makes the same facts, when they come again, settle what they find recorded.

What it costs beyond the object's transaction: a few look-ups and two small transactions for each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from glue.dynamodb_calls import DynamoDbCalls, ItemKey
from glue.dynamodb_values import Item
from glue.ledger import OffsetFault, OffsetSeries
from glue.offset_proof import Batch, BatchName

_COUNTS = ("object_count", "unread_object_count", "message_count", "taken_count")
_SERIES_COUNTS = (
    "batch_count", "object_count", "unread_object_count", "missing_count", "surplus_count", "fault_count",
)  # fmt: skip
_OFFSET_DIGITS, _NUMBER_DIGITS = 20, 10
_LOOKED_AT = 4  # batches of which nothing is left may stand between two others for a moment


class DynamoDbOffsets:
    """See the module."""

    def __init__(self, calls: DynamoDbCalls, agree: Callable[[Callable[[], Any]], Any]) -> None:
        self._calls = calls
        self._agree = agree

    def writes(self, table: str, differences: Mapping[BatchName, Batch]) -> list[dict[str, Any]]:
        """What a transaction of objects has to write of their batches."""
        writes = []
        series: dict[ItemKey, Batch] = {}
        for name, difference in differences.items():
            if difference == Batch():
                continue
            added = {"version": 1, **_added(dict(zip(_COUNTS, difference.as_tuple(), strict=True)))}
            writes.append(self._calls.change(batch_key(table, name), added=added, values={"is_unsettled": True}))
            key = series_key(table, name)
            series[key] = series.get(key, Batch()).plus(difference)
        for key, total in series.items():
            counts = {"object_count": total.object_count, "unread_object_count": total.unread_object_count}
            if added := _added(counts):
                writes.append(self._calls.change(key, added=added))
        return writes

    def settle(self, table: str, names: Iterable[BatchName]) -> None:
        """Judges these batches where their counts have changed since they were judged, and the ones before them."""
        wanted = {batch_key(table, name): name for name in names}
        for key, item in sorted(self._calls.get_many(wanted).items()):
            if item.get("is_unsettled"):
                self._settle(table, wanted[key])

    def series(self, table: str, *, with_ends: bool) -> list[OffsetSeries]:
        """As PartitionLedger.offset_series."""
        found = []
        for item in self._calls.query(f"series#{table}"):
            if not item.get("batch_count"):
                continue
            generation, kafka_partition = map(int, item["item"].split("#"))
            counts = {name: item.get(name, 0) for name in _SERIES_COUNTS}
            first, last = (None, None) if not with_ends else self._ends(table, generation, kafka_partition)
            found.append(OffsetSeries(generation, kafka_partition, **counts, first_offset=first, last_offset=last))
        return found

    def faults(self, table: str, limit: int) -> list[OffsetFault]:
        """As PartitionLedger.offset_faults."""
        items = self._calls.query(f"faults#{table}", page_limit=limit)
        found = []
        for item, _ in zip(items, range(limit), strict=False):
            generation, kafka_partition, offset = map(int, item["item"].split("#"))
            found.append(OffsetFault(generation, kafka_partition, offset, item["next_offset"], item["message_count"]))
        return found

    def _settle(self, table: str, name: BatchName) -> None:
        following: BatchName | None = name
        while following is not None:
            following = self._agree(partial(self._settle_once, table, following))

    def _settle_once(self, table: str, name: BatchName) -> BatchName | None:
        """Settles one batch; the next one when that has to be looked at too, as it is the first one now."""
        before = self._before(table, name)
        if before is not None:
            self._judge(table, before, self._calls.get(batch_key(table, before)))
        item = self._calls.get(batch_key(table, name))
        if item is None:
            return None
        batch = _batch(item)
        if batch.is_gone or (batch.object_count == 0 and before is None):
            following = self._after(table, name)
            self._forget(table, name, item)
            return None if batch.is_gone else following
        self._judge(table, name, item, settles=True)
        return None

    def _judge(self, table: str, name: BatchName, item: Item | None, *, settles: bool = False) -> None:
        """Writes the verdict on a batch that was read as this item. Also where it is the same: the new version tells
        whoever judges it at the same time that a batch has come or gone behind it.
        """
        if item is None:
            return
        following = self._after(table, name)
        batch = _batch(item)
        verdict = batch.verdict(name.offset, None if following is None else following.offset)
        known = item.get("missing_count", 0), item.get("surplus_count", 0)
        is_counted = "is_counted" in item
        values = {"missing_count": verdict[0], "surplus_count": verdict[1], "is_counted": True}
        removed = ["is_unsettled"] if settles and "is_unsettled" in item else []
        version = item["version"]
        writes = [
            self._calls.change(
                batch_key(table, name), added={"version": 1}, values=values, removed=removed, version=version
            )
        ]
        if verdict != (0, 0) and following is not None:
            fault = {"next_offset": following.offset, "message_count": batch.message_count}
            writes.append(self._calls.replace(_fault_key(table, name), fault))
        elif known != (0, 0):
            writes.append(self._calls.delete(_fault_key(table, name)))
        writes += self._series_writes(table, name, int(not is_counted), known, verdict)
        self._calls.write(writes)

    def _forget(self, table: str, name: BatchName, item: Item) -> None:
        """Deletes a batch of which nothing is left, read as this item."""
        known = item.get("missing_count", 0), item.get("surplus_count", 0)
        writes = [self._calls.delete_version(batch_key(table, name), item["version"])]
        if known != (0, 0):
            writes.append(self._calls.delete(_fault_key(table, name)))
        writes += self._series_writes(table, name, -int("is_counted" in item), known, (0, 0))
        self._calls.write(writes)

    def _series_writes(
        self, table: str, name: BatchName, batches: int, known: tuple[int, int], verdict: tuple[int, int]
    ) -> list[dict[str, Any]]:
        counts = {
            "batch_count": batches,
            "missing_count": verdict[0] - known[0],
            "surplus_count": verdict[1] - known[1],
            "fault_count": (verdict != (0, 0)) - (known != (0, 0)),
        }
        added = _added(counts)
        return [self._calls.change(series_key(table, name), added=added)] if added else []

    def _before(self, table: str, name: BatchName) -> BatchName | None:
        return self._next(table, name, "", _offset_text(name.offset), is_descending=True)

    def _after(self, table: str, name: BatchName) -> BatchName | None:
        return self._next(table, name, _offset_text(name.offset + 1), "~")

    def _next(
        self, table: str, name: BatchName, lower: str, upper: str, *, is_descending: bool = False
    ) -> BatchName | None:
        collection = batch_key(table, name)[0]
        items = self._calls.query(collection, lower, upper, is_descending=is_descending, page_limit=_LOOKED_AT)
        found = next((item for item in items if not _batch(item).is_gone), None)
        return None if found is None else name._replace(offset=int(found["item"]))

    def _ends(self, table: str, generation: int, kafka_partition: int) -> tuple[int | None, int | None]:
        """Where the first and the last batch of a Kafka partition begin."""
        name = BatchName(generation, kafka_partition, 0)
        first, last = (self._next(table, name, "", "~", is_descending=is_last) for is_last in (False, True))
        return first and first.offset, last and last.offset


def batch_key(table: str, name: BatchName) -> ItemKey:
    """Where a batch lies."""
    return f"batches#{table}#{name.generation}#{name.kafka_partition}", _offset_text(name.offset)


def series_key(table: str, name: BatchName) -> ItemKey:
    """Where the totals of a batch's Kafka partition lie."""
    return f"series#{table}", f"{name.generation:0{_NUMBER_DIGITS}d}#{name.kafka_partition:0{_NUMBER_DIGITS}d}"


def _fault_key(table: str, name: BatchName) -> ItemKey:
    return f"faults#{table}", f"{series_key(table, name)[1]}#{_offset_text(name.offset)}"


def _offset_text(offset: int) -> str:
    return f"{offset:0{_OFFSET_DIGITS}d}"


def _batch(item: Item) -> Batch:
    return Batch(*(item.get(name, 0) for name in _COUNTS))


def _added(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
