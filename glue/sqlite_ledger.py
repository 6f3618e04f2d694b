"""The embedded ledger: one SQLite file, safe for many threads and processes.

Every change is one transaction: the objects' rows, and the totals of their partitions, days and batches of offsets, or
nothing. Rules and port are `glue.ledger`'s, the arithmetic is `glue.ledger_totals`'.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

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
    END,
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
    version_text,
    widened,
)
from glue.ledger_totals import value_path as path_of
from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec
from glue.sqlite_ledger_schema import day_of, make_tables
from glue.sqlite_offsets import SqliteOffsets

_PARTITION_MEMBERS = (
    "value_path", "object_count", "size_bytes", "late_bytes", "read_row_count", "unread_object_count",
    "malformed_count", "unbounded_object_count", "minimum_createdtimestamp", "maximum_createdtimestamp",
    "first_arrival", "last_arrival", "lateness",
)  # fmt: skip
_PARTITION_COLUMNS = ", ".join(_PARTITION_MEMBERS)
_OBJECT_COLUMNS = (
    "value_path, object_key, size_bytes, arrival, last_arrival, is_late, facts, sequencer, content_tag, share"
)
_PORTION = 5000
_DAY_VERSIONS = """
CREATE TABLE IF NOT EXISTS day_versions (
    table_name TEXT NOT NULL,
    day TEXT NOT NULL,
    version INTEGER NOT NULL,           -- counts changes of data; a day without objects keeps its own
    PRIMARY KEY (table_name, day)
) WITHOUT ROWID
"""


@dataclass
class _Changes:
    """The objects of one table that a transaction changes: by partition, and which of them were taken on purpose."""

    table: str
    by_partition: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    days: dict[str, str] = field(default_factory=dict)
    meant: list[str] = field(default_factory=list)

    def add(self, value_path: str, day: str, before: KnownObject | None, after: KnownObject | None) -> None:
        self.by_partition[value_path].append((before, after))
        self.days[value_path] = day

    def pairs(self) -> Iterator[Change]:
        return (pair for pairs in self.by_partition.values() for pair in pairs)


class SqliteLedger:
    """The ledger in one SQLite file. `":memory:"` works for one process."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._offsets = SqliteOffsets(self._connection)
        with self._transaction():
            self._make_tables()

    def close(self) -> None:
        """Close the file; the ledger cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    # Writing: facts, idempotent

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        """As PartitionLedger.record_objects: all of them, or none."""
        with self._transaction():
            return self._record_objects(table, objects)

    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int:
        """As PartitionLedger.remove_objects: all of them, or none."""
        with self._transaction():
            return self._remove_objects(table, removals, milliseconds(now))

    def record_inspections(self, table: str, inspections: Iterable[Inspection]) -> int:
        """As PartitionLedger.record_inspections: all of them, or none."""
        late_count = 0
        with self._transaction():
            changes = _Changes(table)
            written: dict[tuple[str, str], KnownObject] = {}
            for inspection in inspections:
                path = path_of(inspection.partition)
                known = written.get((path, inspection.key)) or self._known_object(table, path, inspection.key)
                after = inspected(known, inspection)
                if after is None:
                    late_count += 1
                elif after != known:
                    written[path, inspection.key] = after
                    changes.add(path, day_path(inspection.partition), known, after)
            self._write_objects(table, written.values())
            self._follow(changes)
        return late_count

    def forget_removals(self, *, now: datetime) -> int:
        """As PartitionLedger.forget_removals."""
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
        """As PartitionLedger.finish_load: both or neither."""
        with self._transaction():
            self._record_objects(table, objects)
            self._write_load(load_id, table, facts, milliseconds(now))
            if source is not None:
                self._connection.execute(
                    "INSERT OR IGNORE INTO load_sources VALUES (?, ?, ?)", (source.family, source.size_bytes, load_id)
                )

    def begin_load(self, load_id: str, table: str, facts: Mapping[str, object]) -> Mapping[str, object]:
        """As PartitionLedger.begin_load."""
        with self._transaction():
            row = self._connection.execute("SELECT facts FROM loads WHERE load_id = ?", (load_id,)).fetchone()
            if row is not None:
                return _load_facts(row[0])
            self._write_load(load_id, table, facts, None)
            return dict(facts)

    # Reading

    def finished_load(self, load_id: str) -> Mapping[str, object] | None:
        """As PartitionLedger.finished_load."""
        row = self._one("SELECT facts FROM loads WHERE load_id = ? AND finished_at IS NOT NULL", (load_id,))
        return None if row is None else _load_facts(row[0])

    def begun_load(self, load_id: str) -> Mapping[str, object] | None:
        """As PartitionLedger.begun_load."""
        row = self._one("SELECT facts FROM loads WHERE load_id = ?", (load_id,))
        return None if row is None else _load_facts(row[0])

    def load_sources(self, family: str, below_bytes: int) -> dict[int, set[str]]:
        """As PartitionLedger.load_sources."""
        rows = self._all(
            "SELECT size_bytes, load_id FROM load_sources WHERE family = ? AND size_bytes < ? ORDER BY size_bytes",
            (family, below_bytes),
        )
        sources: dict[int, set[str]] = {}
        for size_bytes, load_id in rows:
            sources.setdefault(size_bytes, set()).add(load_id)
        return sources

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """As PartitionLedger.summary."""
        totals = [0, 0, 0, 0]
        whole_days, ragged = range_parts(time_range)
        if whole_days is not None:
            self._add(
                totals,
                "SELECT sum(partition_count), sum(object_count), sum(size_bytes), sum(late_bytes) FROM days"
                " WHERE table_name = ? AND day >= ? AND day < ?",
                (table, *whole_days),
            )
        for start, end in ragged:
            self._add(
                totals,
                "SELECT count(*), sum(object_count), sum(size_bytes), sum(late_bytes) FROM partitions"
                " WHERE table_name = ? AND value_path >= ? AND value_path < ?",
                (table, start, end),
            )
        return LedgerSummary(*totals)

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """As PartitionLedger.partitions."""
        lower, upper = range_bounds(time_range)
        while True:
            rows = self._all(
                f"SELECT {_PARTITION_COLUMNS} FROM partitions"  # noqa: S608  a constant
                " WHERE table_name = ? AND value_path >= ? AND value_path < ? ORDER BY value_path LIMIT ?",
                (table, lower, upper, _PORTION),
            )
            yield from (_partition_record(table, row) for row in rows)
            if len(rows) < _PORTION:
                return
            lower = rows[-1][0] + "\0"

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """As PartitionLedger.newest_partitions."""
        lower, upper = range_bounds(time_range)
        if before is not None:
            upper = min(upper, path_of(before))
        rows = self._all(
            f"SELECT {_PARTITION_COLUMNS} FROM partitions"  # noqa: S608  a constant
            " WHERE table_name = ? AND value_path >= ? AND value_path < ? ORDER BY value_path DESC LIMIT ?",
            (table, lower, upper, limit),
        )
        return [_partition_record(table, row) for row in rows]

    def partition(self, table: str, partition: PartitionSpec) -> PartitionRecord | None:
        """As PartitionLedger.partition."""
        return self._partition(table, path_of(partition))

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """As PartitionLedger.known_objects."""
        lower, upper = range_bounds(time_range)
        key = ""
        while True:
            rows = self._all(
                f"SELECT {_OBJECT_COLUMNS} FROM objects"  # noqa: S608  a constant
                " WHERE table_name = ? AND (value_path, object_key) > (?, ?) AND value_path < ?"
                " ORDER BY value_path, object_key LIMIT ?",
                (table, lower, key, upper, _PORTION),
            )
            yield from (_object_of(row) for row in rows)
            if len(rows) < _PORTION:
                return
            lower, key = rows[-1][:2]

    def days(self, table: str) -> list[str]:
        """As PartitionLedger.days."""
        return [row[0] for row in self._all("SELECT day FROM days WHERE table_name = ? ORDER BY day", (table,))]

    def data_version(self, table: str, time_range: PartitionRange | None = None) -> str:
        """As PartitionLedger.data_version."""
        query = "SELECT day, version FROM day_versions WHERE table_name = ? AND day >= ? AND day < ? ORDER BY day"
        return version_text((day, number) for day, number in self._all(query, (table, *day_bounds(time_range))))

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """As PartitionLedger.neighbour."""
        path = None if partition is None else path_of(partition)
        if newest:
            row = self._one(
                "SELECT value_path FROM partitions WHERE table_name = ? AND value_path < ?"
                " ORDER BY value_path DESC LIMIT 1",
                (table, END if path is None else after_all(path)),
            )
        else:
            row = self._one(
                "SELECT value_path FROM partitions WHERE table_name = ? AND value_path >= ?"
                " ORDER BY value_path LIMIT 1",
                (table, path or ""),
            )
        return None if row is None else tuple(row[0].split("/"))

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """As PartitionLedger.freshness."""
        row = self._one("SELECT max(last_arrival) FROM days WHERE table_name = ?", (table,))
        last_arrival = moment_of(row[0]) if row is not None and row[0] is not None else None
        return table_freshness(self, table, scheme, last_arrival)

    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]:
        """As PartitionLedger.offset_series."""
        with self._lock:
            return self._offsets.series(table, with_ends=with_ends)

    def offset_faults(self, table: str, *, limit: int) -> list[OffsetFault]:
        """As PartitionLedger.offset_faults."""
        with self._lock:
            return self._offsets.faults(table, limit)

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

    def _make_tables(self) -> None:
        """Makes the tables; of a file of an earlier release the objects are kept, and all totals follow anew."""
        objects = make_tables(self._connection)
        self._connection.execute(_DAY_VERSIONS)
        while portion := list(islice(objects, _PORTION)):
            by_table: dict[str, _Changes] = {}
            for table, known in portion:
                changes = by_table.setdefault(table, _Changes(table))
                changes.add("/".join(known.values), day_of(known.values), None, known)
            for changes in by_table.values():
                self._write_objects(changes.table, (after for _, after in changes.pairs() if after is not None))
                self._follow(changes)

    def _record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int:
        stale_count = 0
        changes = _Changes(table)
        written: dict[tuple[str, str], KnownObject] = {}
        for record in objects:
            path = path_of(record.partition)
            known = written.get((path, record.key)) or self._known_object(table, path, record.key)
            if self._is_stale(table, record.key, record.sequencer, known):
                stale_count += 1
                continue
            after = recorded(known, record)
            if after != known:
                written[path, record.key] = after
                changes.add(path, day_path(record.partition), known, after)
        self._write_objects(table, written.values())
        self._connection.executemany(
            "DELETE FROM removals WHERE table_name = ? AND object_key = ?", [(table, key) for _, key in written]
        )
        self._follow(changes)
        return stale_count

    def _remove_objects(self, table: str, removals: Iterable[ObjectRemoval], now: int) -> int:
        stale_count = 0
        changes = _Changes(table)
        for removal in removals:
            path = path_of(removal.partition)
            known = self._known_object(table, path, removal.key)
            if self._is_stale(table, removal.key, removal.sequencer, known):
                stale_count += 1
                continue
            sequencer = removal.sequencer or (None if known is None else known.sequencer)
            if sequencer is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO removals VALUES (?, ?, ?, ?)", (table, removal.key, sequencer, now)
                )
            if known is None:
                continue
            self._connection.execute(
                "DELETE FROM objects WHERE table_name = ? AND value_path = ? AND object_key = ?",
                (table, path, removal.key),
            )
            changes.add(path, day_path(removal.partition), known, None)
            if removal.was_meant:
                changes.meant.append(removal.key)
        self._follow(changes)
        return stale_count

    def _is_stale(self, table: str, key: str, sequencer: str | None, known: KnownObject | None) -> bool:
        """Whether something at least as new is known of this object."""
        if sequencer is None:
            return False
        if known is not None and known.sequencer is not None:
            return is_stale(sequencer, known.sequencer)
        removal = self._one("SELECT sequencer FROM removals WHERE table_name = ? AND object_key = ?", (table, key))
        return removal is not None and is_stale(sequencer, removal[0])

    def _known_object(self, table: str, value_path: str, key: str) -> KnownObject | None:
        row = self._one(
            f"SELECT {_OBJECT_COLUMNS} FROM objects WHERE table_name = ? AND value_path = ? AND object_key = ?",  # noqa: S608  a constant
            (table, value_path, key),
        )
        return None if row is None else _object_of(row)

    def _write_objects(self, table: str, objects: Iterable[KnownObject]) -> None:
        self._connection.executemany(
            f"INSERT OR REPLACE INTO objects (table_name, {_OBJECT_COLUMNS})"  # noqa: S608  a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    table,
                    "/".join(known.values),
                    known.key,
                    known.size_bytes,
                    milliseconds(known.arrival),
                    milliseconds(known.last_arrival),
                    known.is_late,
                    None if known.facts is None else orjson.dumps(known.facts.to_json()).decode(),
                    known.sequencer,
                    known.content_tag,
                    known.share,
                )
                for known in objects
            ],
        )

    # What follows from changed objects

    def _follow(self, changes: _Changes) -> None:
        days: dict[str, Counter[str]] = defaultdict(Counter)
        for value_path, pairs in changes.by_partition.items():
            before = self._partition(changes.table, value_path)
            empty = PartitionRecord(changes.table, tuple(value_path.split("/")))
            after = widened(before or empty, pairs) or self._counted_anew(changes.table, value_path)
            if after.object_count == 0:
                self._connection.execute(
                    "DELETE FROM partitions WHERE table_name = ? AND value_path = ?", (changes.table, value_path)
                )
            else:
                self._write_partition(after)
            day, last_arrival = days[changes.days[value_path]], after.last_arrival
            day["partitions"] += (after.object_count > 0) - (before is not None)
            for name in ("object_count", "size_bytes", "late_bytes"):
                day[name] += getattr(after, name) - getattr(before or empty, name)
            day["last_arrival"] = max(day["last_arrival"], 0 if last_arrival is None else milliseconds(last_arrival))
        for name, difference in days.items():
            self._write_day(changes.table, name, difference)
        changed = {changes.days[path] for path, pairs in changes.by_partition.items() if any(map(is_of_data, pairs))}
        self._connection.executemany(
            "INSERT INTO day_versions VALUES (?, ?, 1)"
            " ON CONFLICT (table_name, day) DO UPDATE SET version = version + 1",
            [(changes.table, day) for day in sorted(changed)],
        )
        self._offsets.follow(changes.table, batch_changes(changes.pairs(), changes.meant))

    def _counted_anew(self, table: str, value_path: str) -> PartitionRecord:
        rows = self._all(
            f"SELECT {_OBJECT_COLUMNS} FROM objects WHERE table_name = ? AND value_path = ?",  # noqa: S608  a constant
            (table, value_path),
        )
        return partition_totals(table, tuple(value_path.split("/")), (_object_of(row) for row in rows))

    def _partition(self, table: str, value_path: str) -> PartitionRecord | None:
        row = self._one(
            f"SELECT {_PARTITION_COLUMNS} FROM partitions WHERE table_name = ? AND value_path = ?",  # noqa: S608  a constant
            (table, value_path),
        )
        return None if row is None else _partition_record(table, row)

    def _write_partition(self, record: PartitionRecord) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO partitions (table_name, {_PARTITION_COLUMNS})"  # noqa: S608  a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.table,
                "/".join(record.values),
                record.object_count,
                record.size_bytes,
                record.late_bytes,
                record.read_row_count,
                record.unread_object_count,
                record.malformed_count,
                record.unbounded_object_count,
                record.minimum_createdtimestamp,
                record.maximum_createdtimestamp,
                None if record.first_arrival is None else milliseconds(record.first_arrival),
                None if record.last_arrival is None else milliseconds(record.last_arrival),
                orjson.dumps(dict(record.lateness)).decode(),
            ),
        )

    def _write_day(self, table: str, day: str, difference: Counter[str]) -> None:
        self._connection.execute(
            "INSERT INTO days (table_name, day, partition_count, object_count, size_bytes, late_bytes, last_arrival)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (table_name, day) DO UPDATE SET"
            " partition_count = partition_count + excluded.partition_count,"
            " object_count = object_count + excluded.object_count, size_bytes = size_bytes + excluded.size_bytes,"
            " late_bytes = late_bytes + excluded.late_bytes, last_arrival = max(last_arrival, excluded.last_arrival)",
            (
                table,
                day,
                *(difference[name] for name in ("partitions", "object_count", "size_bytes", "late_bytes")),
                difference["last_arrival"],
            ),
        )
        self._connection.execute(
            "DELETE FROM days WHERE table_name = ? AND day = ? AND partition_count = 0", (table, day)
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


def _partition_record(table: str, row: Sequence[Any]) -> PartitionRecord:
    stored = dict(zip(_PARTITION_MEMBERS, row, strict=True))
    for name in ("first_arrival", "last_arrival"):
        stored[name] = None if stored[name] is None else moment_of(stored[name])
    path = stored.pop("value_path")
    return PartitionRecord(table, tuple(path.split("/")), **{**stored, "lateness": orjson.loads(stored["lateness"])})


def _object_of(row: Sequence[Any]) -> KnownObject:
    value_path, key, size_bytes, arrival, last_arrival, is_late, facts, sequencer, content_tag, share = row
    return KnownObject(
        tuple(value_path.split("/")), key, size_bytes, moment_of(arrival), moment_of(last_arrival), bool(is_late),
        None if facts is None else RowFacts.from_json(orjson.loads(facts)), sequencer, content_tag, share,
    )  # fmt: skip


def _load_facts(text: bytes) -> Mapping[str, object]:
    facts: Mapping[str, object] = orjson.loads(text)
    return facts
