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

What it costs beyond the objects' transaction: three look-ups and one transaction for up to 24 batches of a Kafka
partition, with two or three items for each batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby, islice, takewhile
from typing import Any

from glue.dynamodb_calls import ITEMS_PER_TRANSACTION, DynamoDbCalls, ItemKey
from glue.dynamodb_values import Item
from glue.ledger import OffsetFault, OffsetSeries
from glue.offset_proof import Batch, BatchName, JudgedBatch, judged

_COUNTS = ("object_count", "unread_object_count", "message_count", "taken_count")
_SERIES_COUNTS = (
    "batch_count", "object_count", "unread_object_count", "missing_count", "surplus_count", "fault_count",
)  # fmt: skip
_OFFSET_DIGITS, _NUMBER_DIGITS = 20, 10
_LOOKED_AT = 4  # batches of which nothing is left may stand between two others for a moment
_BATCHES_PER_STRETCH = 24  # each, the one before it, and their faults fit into one transaction
_LOOKED_AT_MOST = 500


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
        unsettled = sorted(
            wanted[key] for key, item in self._calls.get_many(wanted).items() if item.get("is_unsettled")
        )
        for _, members in groupby(unsettled, key=lambda name: name[:2]):
            while stretch := list(islice(members, _BATCHES_PER_STRETCH)):
                self._settle(table, stretch)

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

    def _settle(self, table: str, names: Sequence[BatchName]) -> None:
        following: BatchName | None = self._agree(partial(self._settle_once, table, names))
        while following is not None:
            following = self._agree(partial(self._settle_once, table, [following]))

    def _settle_once(self, table: str, names: Sequence[BatchName]) -> BatchName | None:
        """Settles some batches of one Kafka partition, in order. Answers the one that follows when it has to be looked
        at too: it is the first one now, and nothing is left of it.
        """
        # each batch is read before the one that follows it: whoever comes between them later settles it again
        before = self._next(table, names[0], "", _offset_text(names[0].offset), is_descending=True)
        items = {} if before is None else {int(before["item"]): before}
        inside = self._calls.query(
            batch_key(table, names[0])[0], _offset_text(names[0].offset), _offset_text(names[-1].offset + 1)
        )
        for number, item in enumerate(inside):
            if number >= _LOOKED_AT_MOST and len(names) > 1:
                self._settle_halves(table, names)
                return None
            items[int(item["item"])] = item
        after = self._next(table, names[0], _offset_text(names[-1].offset + 1), "~")
        batches = {offset: _batch(item) for offset, item in items.items()}
        trimmed = _trimmed(batches) if before is None else []
        for offset in trimmed:
            batches[offset] = Batch()
        following = None if after is None else int(after["item"])
        if after is not None:
            batches[int(after["item"])] = _batch(after)
        verdicts = judged(batches, names[-1].offset)
        writes = self._verdict_writes(table, names, items, verdicts, following)
        if len(writes) > ITEMS_PER_TRANSACTION and len(names) > 1:
            self._settle_halves(table, names)
            return None
        self._calls.write(writes)
        is_all_trimmed = len(trimmed) > 0 and not verdicts
        return names[0]._replace(offset=following) if is_all_trimmed and following is not None else None

    def _settle_halves(self, table: str, names: Sequence[BatchName]) -> None:
        """Where too much lies between batches for one transaction."""
        middle = len(names) // 2
        self._settle(table, names[:middle])
        self._settle(table, names[middle:])

    def _verdict_writes(
        self,
        table: str,
        names: Sequence[BatchName],
        items: Mapping[int, Item],
        verdicts: Mapping[int, JudgedBatch],
        following: int | None,
    ) -> list[dict[str, Any]]:
        """The verdicts on batches, each where it is still what it was read as. Those of the batches to be settled and
        of the ones before them also where they are the same: the new version tells whoever judges them at the same
        time that a batch has come or gone behind them. Batches of which nothing is left are deleted.
        """
        settled = {name.offset for name in names}
        changed = settled | (items.keys() - verdicts.keys())
        order = [*verdicts, *([] if following is None else [following])]
        ends = dict(zip(verdicts, order[1:], strict=False))
        touched = settled | {max((o for o in verdicts if o < offset), default=-1) for offset in changed}
        writes: list[dict[str, Any]] = []
        totals = Counter[str]()
        for offset, item in items.items():
            name = names[0]._replace(offset=offset)
            known = item.get("missing_count", 0), item.get("surplus_count", 0)
            entry = verdicts.get(offset)
            verdict = (0, 0) if entry is None else (entry.missing_count, entry.surplus_count)
            if entry is None:
                writes.append(self._calls.delete_version(batch_key(table, name), item["version"]))
                totals["batch_count"] -= "is_counted" in item
            elif offset in touched or verdict != known or "is_counted" not in item:
                values = {"missing_count": verdict[0], "surplus_count": verdict[1], "is_counted": True}
                removed = ["is_unsettled"] if offset in settled and "is_unsettled" in item else []
                key, version = batch_key(table, name), item["version"]
                writes.append(
                    self._calls.change(key, added={"version": 1}, values=values, removed=removed, version=version)
                )
                totals["batch_count"] += "is_counted" not in item
            else:
                continue
            if verdict != (0, 0) and entry is not None:
                fault = {"next_offset": ends[offset], "message_count": entry.batch.message_count}
                writes.append(self._calls.replace(_fault_key(table, name), fault))
            elif known != (0, 0):
                writes.append(self._calls.delete(_fault_key(table, name)))
            totals["missing_count"] += verdict[0] - known[0]
            totals["surplus_count"] += verdict[1] - known[1]
            totals["fault_count"] += (verdict != (0, 0)) - (known != (0, 0))
        if added := _added(totals):
            writes.append(self._calls.change(series_key(table, names[0]), added=added))
        return writes

    def _next(self, table: str, name: BatchName, lower: str, upper: str, *, is_descending: bool = False) -> Item | None:
        """The first batch of a stretch of which something is left."""
        collection = batch_key(table, name)[0]
        items = self._calls.query(collection, lower, upper, is_descending=is_descending, page_limit=_LOOKED_AT)
        return next((item for item in items if not _batch(item).is_gone), None)

    def _ends(self, table: str, generation: int, kafka_partition: int) -> tuple[int | None, int | None]:
        """Where the first and the last batch of a Kafka partition begin."""
        name = BatchName(generation, kafka_partition, 0)
        first, last = (self._next(table, name, "", "~", is_descending=is_last) for is_last in (False, True))
        return None if first is None else int(first["item"]), None if last is None else int(last["item"])


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


def _trimmed(batches: Mapping[int, Batch]) -> list[int]:
    """The offsets at the beginning of which nothing is left but the memory that something was taken."""
    return list(takewhile(lambda offset: batches[offset].object_count == 0, sorted(batches)))


def _batch(item: Item) -> Batch:
    return Batch(*(item.get(name, 0) for name in _COUNTS))


def _added(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
