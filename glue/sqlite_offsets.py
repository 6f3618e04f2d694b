"""The batches of Kafka offsets in the embedded ledger's SQLite file: kept true inside its transactions.

    batches that differ -> their counts -> verdicts of them and of the ones before -> totals of their Kafka partitions

What a verdict means is `glue.offset_proof`'s. Every change costs a few look-ups by index, and asking for totals costs
the same at any number of objects.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from glue.ledger import OffsetFault, OffsetSeries
from glue.offset_proof import Batch, BatchName, JudgedBatch, changed_by

_Series = tuple[str, int, int]  # table, generation, Kafka partition
_SERIES_COLUMNS = "table_name, generation, kafka_partition"
_ONE_SERIES = "table_name = ? AND generation = ? AND kafka_partition = ?"
_BATCH_COLUMNS = (
    "first_offset, object_count, unread_object_count, message_count, taken_count, missing_count, surplus_count"
)
_FEW = 64


class SqliteOffsets:
    """The tables `batches` and `offset_series` of one connection. The caller holds the lock, and the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def follow(self, table: str, changes: Mapping[BatchName, Batch]) -> None:
        """Batches, verdicts and totals after these differences."""
        by_series: dict[_Series, dict[int, Batch]] = defaultdict(dict)
        for name, difference in changes.items():
            by_series[table, name.generation, name.kafka_partition][name.offset] = difference
        for series, differences in by_series.items():
            totals = self._follow_stretch(series, dict(sorted(differences.items())))
            if totals["emptied"]:
                totals["batches"] -= self._trim(series)
            self._write_totals(series, totals)

    def _follow_stretch(self, series: _Series, differences: Mapping[int, Batch]) -> Counter[str]:
        """By how much the totals of the Kafka partition differ. A stretch with too much inside is taken in halves."""
        known = self._stretch(series, min(differences), max(differences), 4 * len(differences) + _FEW)
        if known is None:
            offsets = list(differences)
            middle = offsets[len(offsets) // 2]
            totals = self._follow_stretch(series, {o: d for o, d in differences.items() if o < middle})
            totals.update(self._follow_stretch(series, {o: d for o, d in differences.items() if o >= middle}))
            return totals
        after = changed_by(known, differences)
        self._connection.executemany(
            f"DELETE FROM batches WHERE {_ONE_SERIES} AND first_offset = ?",  # noqa: S608  a constant
            [(*series, offset) for offset in known.keys() - after.keys()],
        )
        self._connection.executemany(
            f"INSERT OR REPLACE INTO batches ({_SERIES_COLUMNS}, {_BATCH_COLUMNS})"  # noqa: S608  constants
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*series, offset, *entry.batch.as_tuple(), entry.missing_count, entry.surplus_count)
                for offset, entry in after.items()
                if known.get(offset) != entry
            ],
        )
        totals = Counter[str]()
        for entries, sign in ((known, -1), (after, 1)):
            for entry in entries.values():
                _count(totals, entry, sign)
        totals["emptied"] = sum(after[o].batch.object_count == 0 for o in differences.keys() & after.keys())
        return totals

    def _stretch(self, series: _Series, first: int, last: int, limit: int) -> dict[int, JudgedBatch] | None:
        """The batches from one offset to another, the one before and the one after; None when they are too many."""
        select = f"SELECT {_BATCH_COLUMNS} FROM batches WHERE {_ONE_SERIES} AND first_offset"  # noqa: S608  constants
        rows = self._all(f"{select} BETWEEN ? AND ? LIMIT ?", (*series, first, last, limit))
        if len(rows) == limit and first < last:
            return None
        rows += self._all(f"{select} < ? ORDER BY first_offset DESC LIMIT 1", (*series, first))
        rows += self._all(f"{select} > ? ORDER BY first_offset LIMIT 1", (*series, last))
        return {row[0]: JudgedBatch(Batch(*row[1:5]), row[5], row[6]) for row in rows}

    def _trim(self, series: _Series) -> int:
        """Forgets the batches at the beginning of which nothing is left; how many. Later ones keep their place: the
        batch before has to know where it ends.
        """
        forgotten = 0
        while True:
            rows = self._all(
                f"SELECT first_offset, object_count FROM batches WHERE {_ONE_SERIES} ORDER BY first_offset LIMIT 1",  # noqa: S608  a constant
                series,
            )
            if not rows or rows[0][1] > 0:
                return forgotten
            self._connection.execute(
                f"DELETE FROM batches WHERE {_ONE_SERIES} AND first_offset = ?",  # noqa: S608  a constant
                (*series, rows[0][0]),
            )
            forgotten += 1

    def _write_totals(self, series: _Series, totals: Counter[str]) -> None:
        names = ("batches", "objects", "unread", "missing", "surplus", "faults")
        self._connection.execute(
            "INSERT INTO offset_series VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (table_name, generation, kafka_partition) DO UPDATE SET"
            " batch_count = batch_count + excluded.batch_count, object_count = object_count + excluded.object_count,"
            " unread_object_count = unread_object_count + excluded.unread_object_count,"
            " missing_count = missing_count + excluded.missing_count,"
            " surplus_count = surplus_count + excluded.surplus_count, fault_count = fault_count + excluded.fault_count",
            (*series, *(totals[name] for name in names)),
        )
        self._connection.execute(f"DELETE FROM offset_series WHERE {_ONE_SERIES} AND batch_count = 0", series)  # noqa: S608  a constant

    def series(self, table: str, *, with_ends: bool) -> list[OffsetSeries]:
        """As PartitionLedger.offset_series."""
        rows = self._all(
            "SELECT s.generation, s.kafka_partition, s.batch_count, s.object_count, s.unread_object_count,"
            " s.missing_count, s.surplus_count, s.fault_count,"
            " (SELECT first_offset FROM batches b WHERE b.table_name = s.table_name AND b.generation = s.generation"
            "  AND b.kafka_partition = s.kafka_partition ORDER BY first_offset LIMIT 1),"
            " (SELECT first_offset FROM batches b WHERE b.table_name = s.table_name AND b.generation = s.generation"
            "  AND b.kafka_partition = s.kafka_partition ORDER BY first_offset DESC LIMIT 1)"
            " FROM offset_series s WHERE s.table_name = ? ORDER BY s.generation, s.kafka_partition",
            (table,),
        )
        return [OffsetSeries(*(row if with_ends else row[:-2])) for row in rows]

    def faults(self, table: str, limit: int) -> list[OffsetFault]:
        """As PartitionLedger.offset_faults."""
        rows = self._all(
            "SELECT generation, kafka_partition, first_offset, message_count + missing_count - surplus_count,"
            " message_count FROM batches INDEXED BY batch_faults"
            " WHERE table_name = ? AND (missing_count > 0 OR surplus_count > 0)"
            " ORDER BY generation, kafka_partition, first_offset LIMIT ?",
            (table, limit),
        )
        # a batch has as many offsets as lines, plus what is missing, less what is surplus
        return [OffsetFault(row[0], row[1], row[2], row[2] + row[3], row[4]) for row in rows]

    def _all(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()


def _count(totals: Counter[str], entry: JudgedBatch, sign: int) -> None:
    totals["batches"] += sign
    totals["objects"] += sign * entry.batch.object_count
    totals["unread"] += sign * entry.batch.unread_object_count
    totals["missing"] += sign * entry.missing_count
    totals["surplus"] += sign * entry.surplus_count
    totals["faults"] += sign * bool(entry.missing_count or entry.surplus_count)
