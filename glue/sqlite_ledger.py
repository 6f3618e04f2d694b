"""The embedded ledger: one SQLite file, safe for many threads and processes.

Every change is one transaction: the object's row, and the totals of its partition and its day, or nothing. Rules and
port are `glue.ledger`'s.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from glue.ledger import (
    REMOVAL_MEMORY,
    Freshness,
    KnownObject,
    LedgerSummary,
    LoadSource,
    ObjectRecord,
    ObjectRemoval,
    PartitionRecord,
    milliseconds,
    sequencer_order,
)
from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS partitions (
    table_name TEXT NOT NULL,
    value_path TEXT NOT NULL,           -- the values joined by '/': sorts as the partitions do
    object_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    row_count INTEGER,                  -- NULL: not known for every object
    minimum_createdtimestamp INTEGER,
    maximum_createdtimestamp INTEGER,
    first_arrival INTEGER,
    last_arrival INTEGER,
    PRIMARY KEY (table_name, value_path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS days (
    table_name TEXT NOT NULL,
    day TEXT NOT NULL,                  -- the first value of the partitions' path
    partition_count INTEGER NOT NULL,
    object_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    last_arrival INTEGER,
    PRIMARY KEY (table_name, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    table_name TEXT NOT NULL,
    value_path TEXT NOT NULL,
    object_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    row_count INTEGER,
    minimum_createdtimestamp INTEGER,
    maximum_createdtimestamp INTEGER,
    arrival INTEGER NOT NULL,
    PRIMARY KEY (table_name, value_path, object_key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removals (
    table_name TEXT NOT NULL,
    object_key TEXT NOT NULL,
    sequencer TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    PRIMARY KEY (table_name, object_key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS loads (
    load_id TEXT PRIMARY KEY,
    table_name TEXT NOT NULL,
    finished_at INTEGER,                -- NULL: begun, not finished
    facts BLOB NOT NULL                 -- JSON, the writer's own
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS load_sources (
    family TEXT NOT NULL,               -- loads whose sources may continue one another
    size_bytes INTEGER NOT NULL,        -- of the source
    load_id TEXT NOT NULL,
    PRIMARY KEY (family, size_bytes, load_id)
) WITHOUT ROWID;
"""
# Columns that came later: a ledger of an earlier release gets them when it is opened.
_ADDED_COLUMNS = (
    ("objects", "sequencer", "TEXT"),
    ("objects", "is_late", "INTEGER NOT NULL DEFAULT 0"),
    ("partitions", "late_bytes", "INTEGER NOT NULL DEFAULT 0"),
    ("days", "late_bytes", "INTEGER NOT NULL DEFAULT 0"),
)
_PARTITION_COLUMNS = (
    "table_name, value_path, object_count, size_bytes, row_count, minimum_createdtimestamp, maximum_createdtimestamp,"
    " first_arrival, last_arrival, late_bytes"
)
_GAP_WINDOW = timedelta(hours=24)


class SqliteLedger:
    """The ledger in one SQLite file; safe for many threads and processes. `":memory:"` works for one process."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        with self._transaction():
            for table, column, type_text in _ADDED_COLUMNS:
                known = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
                if column not in known:
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {type_text}")

    def close(self) -> None:
        """Close the file; the ledger cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    # Writing: facts, idempotent

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """Record what is known of objects; the totals of their partitions and days follow. How many were stale.

        Recording an object again replaces what was known of it, except that rows and created times that only its writer
        knew survive a record without them, as long as the size is the same.
        """
        with self._transaction():
            return self._record_objects(table, objects)

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        """These objects are gone; the totals of their partitions and days follow. How many removals were stale.

        A partition whose last recorded object goes is forgotten with it. The catalogue keeps it: an empty partition
        harms nobody, and dropping it is a matter of reconciling.
        """
        with self._transaction():
            return self._remove_objects(table, removals, milliseconds(now))

    def forget_removals(self, *, now: datetime) -> int:
        """Forget removals that no notification can contradict any more; how many."""
        with self._transaction():
            limit = milliseconds(now - REMOVAL_MEMORY)
            return self._connection.execute("DELETE FROM removals WHERE removed_at < ?", (limit,)).rowcount

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
        """Record the objects of a load and that it is finished, both or neither."""
        with self._transaction():
            self._record_objects(table, objects)
            self._write_load(load_id, table, facts, milliseconds(now))
            if source is not None:
                self._connection.execute(
                    "INSERT OR IGNORE INTO load_sources VALUES (?, ?, ?)", (source.family, source.size_bytes, load_id)
                )

    def begin_load(self, load_id: str, table: str, facts: Mapping[str, object]) -> Mapping[str, object]:
        """Remember what a load is about to do; the facts of the first beginning win, and are returned."""
        with self._transaction():
            row = self._connection.execute("SELECT facts FROM loads WHERE load_id = ?", (load_id,)).fetchone()
            if row is not None:
                return _facts(row[0])
            self._write_load(load_id, table, facts, None)
            return dict(facts)

    # Reading

    def finished_load(self, load_id: str) -> Mapping[str, object] | None:
        """The facts of a finished load; None when there was none, or it did not finish."""
        row = self._one("SELECT facts FROM loads WHERE load_id = ? AND finished_at IS NOT NULL", (load_id,))
        return None if row is None else _facts(row[0])

    def load_sources(self, family: str, below_bytes: int) -> dict[int, set[str]]:
        """The finished loads of a family with a source smaller than this, by its size."""
        rows = self._all(
            "SELECT size_bytes, load_id FROM load_sources WHERE family = ? AND size_bytes < ? ORDER BY size_bytes",
            (family, below_bytes),
        )
        sources: dict[int, set[str]] = {}
        for size_bytes, load_id in rows:
            sources.setdefault(size_bytes, set()).add(load_id)
        return sources

    def begun_load(self, load_id: str) -> Mapping[str, object] | None:
        """The facts of a load that was begun, finished or not; None when there was none."""
        row = self._one("SELECT facts FROM loads WHERE load_id = ?", (load_id,))
        return None if row is None else _facts(row[0])

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """Partitions, objects and bytes of a table, or of the partitions of a range."""
        lower, upper = _bounds(time_range)
        first_whole_day = "" if not lower else lower if "/" not in lower else _after(lower.partition("/")[0])
        last_day_end = _END if upper == _END else upper if "/" not in upper else upper.partition("/")[0]
        totals = [0, 0, 0, 0]
        if first_whole_day < last_day_end:
            self._add(
                totals,
                "SELECT sum(partition_count), sum(object_count), sum(size_bytes), sum(late_bytes) FROM days"
                " WHERE table_name = ? AND day >= ? AND day < ?",
                (table, first_whole_day, last_day_end),
            )
            ragged = [(lower, first_whole_day), (last_day_end, upper)]
        else:
            ragged = [(lower, upper)]
        for start, end in ragged:
            if start < end:
                self._add(
                    totals,
                    "SELECT count(*), sum(object_count), sum(size_bytes), sum(late_bytes) FROM partitions"
                    " WHERE table_name = ? AND value_path >= ? AND value_path < ?",
                    (table, start, end),
                )
        return LedgerSummary(*totals)

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """The partitions of a range in order, read in portions so that memory stays flat."""
        lower, upper = _bounds(time_range)
        while True:
            rows = self._all(
                f"SELECT {_PARTITION_COLUMNS} FROM partitions"  # noqa: S608  a constant
                " WHERE table_name = ? AND value_path >= ? AND value_path < ? ORDER BY value_path LIMIT 1000",
                (table, lower, upper),
            )
            yield from (_partition_record(row) for row in rows)
            if len(rows) < 1000:
                return
            lower = rows[-1][1] + "\0"

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """At most `limit` partitions of a range, newest first; `before` is the last one seen."""
        lower, upper = _bounds(time_range)
        if before is not None:
            upper = min(upper, _value_path(before))
        rows = self._all(
            f"SELECT {_PARTITION_COLUMNS} FROM partitions"  # noqa: S608  a constant
            " WHERE table_name = ? AND value_path >= ? AND value_path < ? ORDER BY value_path DESC LIMIT ?",
            (table, lower, upper, limit),
        )
        return [_partition_record(row) for row in rows]

    def partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None:
        """What is known of one partition; None when nothing is."""
        with self._lock:
            return self._partition(table, partition)

    def objects(self, table: str, partition: PartitionSpec) -> list[tuple[str, int, int | None]]:
        """The recorded objects of a partition: (key, bytes, rows or None), by key."""
        return self._all(
            "SELECT object_key, size_bytes, row_count FROM objects"
            " WHERE table_name = ? AND value_path = ? ORDER BY object_key",
            (table, _value_path(partition)),
        )

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """The recorded objects of a range, by partition and key, read in portions so that memory stays flat."""
        lower, upper = _bounds(time_range)
        key = ""
        while True:
            rows = self._all(
                "SELECT value_path, object_key, size_bytes, row_count, arrival, is_late FROM objects"
                " WHERE table_name = ? AND (value_path, object_key) > (?, ?) AND value_path < ?"
                " ORDER BY value_path, object_key LIMIT 5000",
                (table, lower, key, upper),
            )
            for value_path, object_key, size_bytes, row_count, arrival, is_late in rows:
                moment = _moment(arrival)
                assert moment is not None
                values = tuple(value_path.split("/"))
                yield KnownObject(values, object_key, size_bytes, row_count, moment, bool(is_late))
            if len(rows) < 5000:
                return
            lower, key = rows[-1][:2]

    def days(self, table: str) -> list[str]:
        """The first values (days) of the recorded partitions, oldest first."""
        return [row[0] for row in self._all("SELECT day FROM days WHERE table_name = ? ORDER BY day", (table,))]

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """The values of the newest partition at or before this one, or of the oldest at or after it; None without one.

        Costs the same at any number of partitions.
        """
        path = None if partition is None else _value_path(partition)
        if newest:
            row = self._one(
                "SELECT value_path FROM partitions WHERE table_name = ? AND value_path < ?"
                " ORDER BY value_path DESC LIMIT 1",
                (table, _END if path is None else _after(path)),
            )
        else:
            row = self._one(
                "SELECT value_path FROM partitions WHERE table_name = ? AND value_path >= ?"
                " ORDER BY value_path LIMIT 1",
                (table, path or ""),
            )
        return None if row is None else tuple(row[0].split("/"))

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """How fresh and complete a table is, by what the ledger knows. Costs the same at any number of partitions."""
        totals = self.summary(table)
        newest = self._one(
            "SELECT value_path FROM partitions WHERE table_name = ? ORDER BY value_path DESC LIMIT 1", (table,)
        )
        if newest is None:
            return Freshness(None, None, None, 0, 0, 0, 0)
        spec = PartitionSpec.from_values(newest[0].split("/"), scheme)
        arrival = self._one("SELECT max(last_arrival) FROM days WHERE table_name = ?", (table,))
        return Freshness(
            newest_partition=spec.path(),
            newest_data_until=spec.end(),
            last_arrival=None if arrival is None else _moment(arrival[0]),
            partition_count=totals.partition_count,
            object_count=totals.object_count,
            size_bytes=totals.size_bytes,
            missing_partition_count=self._missing_before(table, spec),
        )

    def _missing_before(self, table: str, newest: PartitionSpec) -> int:
        window_start = newest.end() - _GAP_WINDOW
        first = PartitionSpec.from_datetime(window_start, newest.granularity, newest.scheme)
        lower, upper = _bounds(PartitionRange(first, newest))
        row = self._one(
            "SELECT min(value_path), count(*) FROM partitions"
            " WHERE table_name = ? AND value_path >= ? AND value_path < ?",
            (table, lower, upper),
        )
        if row is None or row[0] is None:
            return 0
        oldest = PartitionSpec.from_values(row[0].split("/"), newest.scheme)
        expected = (newest.end() - oldest.start()) / (newest.end() - newest.start())
        return max(0, round(expected) - int(row[1]))

    # The ground

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        stale_count = 0
        for record in objects:
            value_path = _value_path(record.partition)
            known_object = self._known_object(table, value_path, record.key)
            sequencer = record.sequencer
            if sequencer is not None and self._is_stale(table, record.key, sequencer, known_object):
                stale_count += 1
                continue
            rows, minimum, maximum = record.row_count, record.minimum_createdtimestamp, record.maximum_createdtimestamp
            arrival, is_late = milliseconds(record.arrival), record.is_late
            if known_object is not None:
                size_before, rows_before, _, _, arrival_before, sequencer_before, late_before = known_object
                if rows is None:
                    if size_before == record.size_bytes:
                        rows, minimum, maximum = known_object[1:4]
                        is_late = bool(late_before)
                    else:
                        is_late = is_late or bool(late_before)
                arrival = min(arrival, arrival_before)
                sequencer = sequencer or sequencer_before
                late_bytes_before = size_before if late_before else 0
            else:
                size_before, rows_before, late_bytes_before = 0, 0, 0
            self._connection.execute(
                "INSERT OR REPLACE INTO objects (table_name, value_path, object_key, size_bytes, row_count,"
                " minimum_createdtimestamp, maximum_createdtimestamp, arrival, sequencer, is_late)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (table, value_path, record.key, record.size_bytes, rows, minimum, maximum, arrival, sequencer, is_late),
            )
            self._connection.execute(
                "DELETE FROM removals WHERE table_name = ? AND object_key = ?", (table, record.key)
            )
            known = self._partition(table, record.partition)
            self._write_partition(
                PartitionRecord(
                    table,
                    record.partition.values(),
                    (known.object_count if known else 0) + (known_object is None),
                    (known.size_bytes if known else 0) + record.size_bytes - size_before,
                    self._row_count(known, table, value_path, rows, rows_before),
                    _least(known.minimum_createdtimestamp if known else None, minimum),
                    _greatest(known.maximum_createdtimestamp if known else None, maximum),
                    _earliest(known.first_arrival if known else None, _moment(arrival)),
                    _latest(known.last_arrival if known else None, _moment(milliseconds(record.arrival))),
                    (known.late_bytes if known else 0) + (record.size_bytes if is_late else 0) - late_bytes_before,
                ),
                known,
            )
        return stale_count

    def _remove_objects(self, table: str, removals: Iterable[ObjectRemoval], now: int) -> int:
        stale_count = 0
        for removal in removals:
            value_path = _value_path(removal.partition)
            known_object = self._known_object(table, value_path, removal.key)
            if removal.sequencer is not None:
                if self._is_stale(table, removal.key, removal.sequencer, known_object):
                    stale_count += 1
                    continue
                self._connection.execute(
                    "INSERT OR REPLACE INTO removals VALUES (?, ?, ?, ?)", (table, removal.key, removal.sequencer, now)
                )
            if known_object is None:
                continue
            self._connection.execute(
                "DELETE FROM objects WHERE table_name = ? AND value_path = ? AND object_key = ?",
                (table, value_path, removal.key),
            )
            known = self._partition(table, removal.partition)
            if known is not None:
                self._shrink_partition(known, value_path, size_bytes=known_object[0], is_late=bool(known_object[6]))
        return stale_count

    def _shrink_partition(self, known: PartitionRecord, value_path: str, *, size_bytes: int, is_late: bool) -> None:
        left = self._one(
            "SELECT count(*) = count(row_count), sum(row_count), min(minimum_createdtimestamp),"
            " max(maximum_createdtimestamp) FROM objects WHERE table_name = ? AND value_path = ?",
            (known.table, value_path),
        )
        assert left is not None
        shrunk = replace(
            known,
            object_count=max(0, known.object_count - 1),
            size_bytes=max(0, known.size_bytes - size_bytes),
            row_count=int(left[1] or 0) if left[0] else None,
            minimum_createdtimestamp=left[2],
            maximum_createdtimestamp=left[3],
            late_bytes=max(0, known.late_bytes - (size_bytes if is_late else 0)),
        )
        self._write_partition(shrunk, known)
        if shrunk.object_count == 0:
            self._connection.execute(
                "DELETE FROM partitions WHERE table_name = ? AND value_path = ?", (known.table, value_path)
            )
            self._connection.execute(
                "UPDATE days SET partition_count = partition_count - 1 WHERE table_name = ? AND day = ?",
                (known.table, known.values[0]),
            )
            self._connection.execute(
                "DELETE FROM days WHERE table_name = ? AND day = ? AND partition_count = 0",
                (known.table, known.values[0]),
            )

    def _known_object(self, table: str, value_path: str, key: str) -> tuple[Any, ...] | None:
        return self._one(
            "SELECT size_bytes, row_count, minimum_createdtimestamp, maximum_createdtimestamp, arrival, sequencer,"
            " is_late FROM objects WHERE table_name = ? AND value_path = ? AND object_key = ?",
            (table, value_path, key),
        )

    def _is_stale(self, table: str, key: str, sequencer: str, known_object: tuple[Any, ...] | None) -> bool:
        """Whether something at least as new is known of this object."""
        known = known_object[5] if known_object is not None else None
        if known is None:
            removal = self._one("SELECT sequencer FROM removals WHERE table_name = ? AND object_key = ?", (table, key))
            known = removal[0] if removal is not None else None
        return known is not None and sequencer_order(sequencer) <= sequencer_order(known)

    def _row_count(
        self, known: PartitionRecord | None, table: str, value_path: str, rows: int | None, rows_before: int | None
    ) -> int | None:
        """The partition's rows after one object changed; counted anew when some object was not known before."""
        if known is None:
            return rows
        if rows is not None and rows_before is not None and known.row_count is not None:
            return known.row_count + rows - rows_before
        counted = self._one(
            "SELECT count(*) = count(row_count), sum(row_count) FROM objects WHERE table_name = ? AND value_path = ?",
            (table, value_path),
        )
        return int(counted[1]) if counted and counted[0] else None

    def _partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None:
        row = self._one(
            f"SELECT {_PARTITION_COLUMNS} FROM partitions WHERE table_name = ? AND value_path = ?",  # noqa: S608  a constant
            (table, _value_path(partition)),
        )
        return None if row is None else _partition_record(row)

    def _write_partition(self, record: PartitionRecord, known: PartitionRecord | None) -> None:
        last_arrival = _optional_milliseconds(record.last_arrival)
        self._connection.execute(
            f"INSERT OR REPLACE INTO partitions ({_PARTITION_COLUMNS})"  # noqa: S608  a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.table,
                "/".join(record.values),
                record.object_count,
                record.size_bytes,
                record.row_count,
                record.minimum_createdtimestamp,
                record.maximum_createdtimestamp,
                _optional_milliseconds(record.first_arrival),
                last_arrival,
                record.late_bytes,
            ),
        )
        self._connection.execute(
            "INSERT INTO days (table_name, day, partition_count, object_count, size_bytes, last_arrival, late_bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (table_name, day) DO UPDATE SET"
            " partition_count = partition_count + excluded.partition_count,"
            " object_count = object_count + excluded.object_count, size_bytes = size_bytes + excluded.size_bytes,"
            " late_bytes = late_bytes + excluded.late_bytes,"
            " last_arrival = max(ifnull(last_arrival, excluded.last_arrival),"
            " ifnull(excluded.last_arrival, last_arrival))",
            (
                record.table,
                record.values[0],
                0 if known else 1,
                record.object_count - (known.object_count if known else 0),
                record.size_bytes - (known.size_bytes if known else 0),
                last_arrival,
                record.late_bytes - (known.late_bytes if known else 0),
            ),
        )

    def _write_load(self, load_id: str, table: str, facts: Mapping[str, object], finished_at: int | None) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO loads VALUES (?, ?, ?, ?)", (load_id, table, finished_at, orjson.dumps(dict(facts)))
        )

    def _one(self, sql: str, parameters: Sequence[object]) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._connection.execute(sql, parameters).fetchone()
            return row

    def _all(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def _add(self, totals: list[int], sql: str, parameters: Sequence[object]) -> None:
        row = self._one(sql, parameters)
        for index, value in enumerate(row or ()):
            totals[index] += value or 0


_END = "\U0010ffff"  # sorts after every value


def _value_path(partition: PartitionSpec) -> str:
    return "/".join(partition.values())


def _after(value_path: str) -> str:
    """The least text that sorts after this partition and all that lie inside it: '0' follows '/' in ASCII."""
    return value_path + "0"


def _bounds(time_range: PartitionRange | None) -> tuple[str, str]:
    """The range as [lower, upper) over value paths."""
    if time_range is None:
        return "", _END
    lower = "" if time_range.first is None else _value_path(time_range.first)
    upper = _END if time_range.last is None else _after(_value_path(time_range.last))
    return lower, upper


def _partition_record(row: Sequence[Any]) -> PartitionRecord:
    table, value_path, objects, size, rows, minimum, maximum, first, last, late = row
    return PartitionRecord(
        table, tuple(value_path.split("/")), objects, size, rows, minimum, maximum, _moment(first), _moment(last), late
    )


def _facts(text: bytes) -> Mapping[str, object]:
    facts: Mapping[str, object] = orjson.loads(text)
    return facts


def _optional_milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)


def _moment(since_epoch: int | None) -> datetime | None:
    return None if since_epoch is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since_epoch)


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _greatest(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None else one if other is None else min(one, other)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None else one if other is None else max(one, other)
