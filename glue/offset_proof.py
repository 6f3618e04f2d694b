"""The offset proof: that every message of Kafka is in the lake, and none is twice, by names and row counts alone.

    1_7_00000000000000000100.gz   generation 1, Kafka partition 7, a **batch** that begins at offset 100
    1_7_00000000000000000160.gz   the next batch: the first one has 60 messages, so its objects have 60 lines together

One commit of Secor writes one name into several folders, so a batch is all objects of one (generation, Kafka partition,
offset), and an object is its whole key. Secor's LogFileVerifier checks the same once, by reading everything; here the
ledger keeps it true as objects are recorded, read and removed. For each batch and the next one of its Kafka partition:

    whole     as many lines as offsets
    missing   fewer: messages that never arrived, or objects that were deleted
    surplus   more: rows that are there twice, such as the stale objects of a crash between upload and commit (secor
              issue 600)
    unread    an object whose lines nobody has counted, so nothing is claimed
    taken     an object of it was taken by retention or compaction, so nothing is claimed
    open      the last batch: nobody knows yet where it ends

Kafka itself makes offsets without messages in compacted topics and for the markers of transactions; there, missing
offsets are no loss. Names of the Confluent S3 sink (`topic+7+0000000100.json.gz`, offset of the object's first message)
are read the same way; where that sink keeps several objects of a Kafka partition open at once, offsets of one lie
between those of another, and missing and surplus stand side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from glue.layout import CommitBatch

_CONFLUENT_NAME = re.compile(r"[^/]+\+([0-9]{1,10})\+([0-9]{10,19})(?:\.[^/]*)?")
_MAXIMUM_NUMBER = 2**31 - 1
_MAXIMUM_OFFSET = 2**63 - 1
CONFLUENT_GENERATION = 0  # that sink has none


class BatchName(NamedTuple):
    """What the objects of one batch have in common. Sorts by generation, Kafka partition and offset."""

    generation: int
    kafka_partition: int
    offset: int


@dataclass(frozen=True)
class Batch:
    """What is known of one batch: its objects, those nobody has read, their lines, and how many were taken."""

    object_count: int = 0
    unread_object_count: int = 0
    message_count: int = 0
    taken_count: int = 0

    @property
    def is_gone(self) -> bool:
        """Whether nothing says that it ever was."""
        return self.object_count == 0 and self.taken_count == 0

    @property
    def is_provable(self) -> bool:
        """Whether its lines are all known."""
        return self.unread_object_count == 0 and self.taken_count == 0

    def plus(self, other: Batch) -> Batch:
        """The sum; `other` may be a difference."""
        return Batch(*(mine + its for mine, its in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def minus(self, other: Batch) -> Batch:
        """The difference."""
        return Batch(*(mine - its for mine, its in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, int, int, int]:
        """The counts in their order."""
        return self.object_count, self.unread_object_count, self.message_count, self.taken_count

    def verdict(self, offset: int, next_offset: int | None) -> tuple[int, int]:
        """Missing and surplus offsets of this batch, which begins at `offset`; (0, 0) where nothing can be claimed."""
        if next_offset is None or not self.is_provable:
            return 0, 0
        difference = next_offset - offset - self.message_count
        return max(0, difference), max(0, -difference)


@dataclass(frozen=True)
class JudgedBatch:
    """A batch and the verdict on it: its missing and its surplus offsets."""

    batch: Batch
    missing_count: int = 0
    surplus_count: int = 0


def changed_by(known: Mapping[int, JudgedBatch], differences: Mapping[int, Batch]) -> dict[int, JudgedBatch]:
    """A stretch of one Kafka partition after these differences, by offset; what is gone is left out.

    `known` is what was known of it: the batches at these offsets and between them, the one before and the one after.
    """
    batches = {offset: entry.batch for offset, entry in known.items()}
    for offset, difference in differences.items():
        batches[offset] = batches.get(offset, Batch()).plus(difference)
    after = judged(batches, max(differences))
    return {
        offset: after.get(offset, known.get(offset, JudgedBatch(batches[offset])))
        for offset in sorted(batches)
        if not batches[offset].is_gone
    }


def judged(batches: Mapping[int, Batch], last: int) -> dict[int, JudgedBatch]:
    """The verdicts on the batches of a stretch up to the offset `last`, by offset; what is gone is left out. `batches`
    also has the one that follows, if there is one.
    """
    left = sorted(offset for offset, batch in batches.items() if not batch.is_gone)
    return {
        offset: JudgedBatch(batches[offset], *batches[offset].verdict(offset, following))
        for offset, following in zip_longest(left, left[1:])
        if offset <= last
    }


def batch_name(key: str) -> BatchName | None:
    """The batch that an object's name tells; None for names that tell none, or numbers no Kafka has."""
    name = key.rpartition("/")[2]
    parsed = CommitBatch.parse(name)
    if parsed is not None:
        batch = parsed[0]
        if batch.offset is None:
            return None
        found = BatchName(batch.generation, batch.first_kafka_partition, batch.offset)
    else:
        match = _CONFLUENT_NAME.fullmatch(name)
        if match is None:
            return None
        found = BatchName(CONFLUENT_GENERATION, int(match[1]), int(match[2]))
    fits = found.generation <= _MAXIMUM_NUMBER and found.kafka_partition <= _MAXIMUM_NUMBER
    return found if fits and found.offset <= _MAXIMUM_OFFSET else None
