"""The SQLite file behind the embedded Glue: connections, schema, and partitions in the order of their keys.

Partitions lie WITHOUT ROWID in the order (table, sort keys, values), so that finding some costs the same among a
thousand and among a million. What the partitions of a table have in common, the storage descriptor but for its
location, is kept once. Any number of threads and processes may share the file (WAL; writers wait for each other).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.glue_filter import SORT_COLUMN_COUNT, PartitionFilter, PartitionKey, Seek, rank
from embedded.glue_partition_values import KeyKind, SortKey, stored_sort_key

BUSY_TIMEOUT_SECONDS = 60.0
SCHEMA_VERSION = 1
_ROWS_PER_FETCH = 500

_SORT_COLUMNS = [f"k{position}" for position in range(SORT_COLUMN_COUNT)]
_KEY_COLUMNS = [*_SORT_COLUMNS, "value_list"]
_SORT_COLUMN_DEFINITIONS = ",\n    ".join(f"{name} NOT NULL" for name in _SORT_COLUMNS)

_SCHEMA = f"""
CREATE TABLE databases (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    database_name TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (database_name, name)
);
CREATE TABLE table_versions (
    table_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (table_id, version)
) WITHOUT ROWID;
CREATE TABLE descriptors (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE
);
CREATE TABLE partitions (
    table_id INTEGER NOT NULL,
    {_SORT_COLUMN_DEFINITIONS},
    value_list TEXT NOT NULL,
    hash INTEGER NOT NULL,
    location TEXT,
    descriptor_id INTEGER,
    parameters TEXT,
    times TEXT NOT NULL,
    PRIMARY KEY (table_id, {", ".join(_KEY_COLUMNS)})
) WITHOUT ROWID;
CREATE TABLE partition_indexes (
    table_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (table_id, name)
) WITHOUT ROWID;
CREATE TABLE column_statistics (
    table_id INTEGER NOT NULL,
    value_list TEXT NOT NULL,
    column_name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (table_id, value_list, column_name)
) WITHOUT ROWID;
CREATE TABLE tags (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""

Position = tuple[SortKey, ...]
"""Where a partition lies among those of its table: its sort keys, then the text of its values."""


@dataclass(frozen=True)
class StoredPartition:
    """A partition as stored; `descriptor` is the storage descriptor's JSON without its location."""

    position: Position
    values: tuple[str, ...]
    location: str | None
    descriptor: str | None
    parameters: str | None
    times: str


class GlueStore:
    """A pool of connections to one catalogue file, and the statements on its partitions."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._process_id = os.getpid()
        with self.reading() as connection:
            is_new = _schema_version(connection) == 0
        if is_new:
            with self.writing() as connection:
                if _schema_version(connection) == 0:
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection outside any transaction."""
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction: committed at the end, rolled back on an exception."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the idle connections; the store stays usable and opens new ones when needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._process_id != os.getpid():
                # a connection must not be used across fork(); the parent still owns these
                self._idle, self._process_id = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.create_function("glue_sort_key", 2, _sort_key_function, deterministic=True)
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._process_id == os.getpid():
                self._idle.append(connection)

    # --- partitions ----------------------------------------------------------------------------------------------

    def insert_partition(
        self,
        connection: sqlite3.Connection,
        table_id: int,
        position: Position,
        *,
        location: str | None,
        descriptor_id: int | None,
        parameters: str | None,
        times: str,
    ) -> bool:
        """Adds a partition; False when one with these values is there already."""
        marks = ", ".join("?" * (len(_KEY_COLUMNS) + 6))
        columns = f"table_id, {', '.join(_KEY_COLUMNS)}, hash, location, descriptor_id, parameters, times"
        cursor = connection.execute(
            f"INSERT OR IGNORE INTO partitions ({columns}) VALUES ({marks})",  # noqa: S608  # own column names
            (table_id, *position, value_hash(position), location, descriptor_id, parameters, times),
        )
        return cursor.rowcount == 1

    def delete_partition(self, connection: sqlite3.Connection, table_id: int, position: Position) -> bool:
        """Removes a partition; False when there is none with these values."""
        cursor = connection.execute(
            f"DELETE FROM partitions WHERE table_id = ? AND {_EQUALS_KEY}",  # noqa: S608  # own column names
            (table_id, *position),
        )
        return cursor.rowcount == 1

    def partition(self, connection: sqlite3.Connection, table_id: int, position: Position) -> StoredPartition | None:
        """The partition at a position."""
        row = connection.execute(f"{_SELECT} WHERE table_id = ? AND {_EQUALS_KEY}", (table_id, *position)).fetchone()
        return None if row is None else _stored(row)

    def descriptor_id(self, connection: sqlite3.Connection, body: str) -> int:
        """The number of a storage descriptor, which is stored when it is new."""
        connection.execute("INSERT OR IGNORE INTO descriptors (body) VALUES (?)", (body,))
        found: int = connection.execute("SELECT id FROM descriptors WHERE body = ?", (body,)).fetchone()[0]
        return found

    def partitions(
        self,
        table_id: int,
        chosen: PartitionFilter,
        *,
        after: Position | None = None,
        segment: tuple[int, int] | None = None,
    ) -> Iterator[StoredPartition]:
        """The partitions of a table that an expression chooses, in key order, from behind the position `after`.

        `segment` (number, total) keeps those of one of `total` shares. The iterator reads in portions and holds a
        connection until it is exhausted or closed.
        """
        with self.reading() as connection:
            for seek in chosen.seeks:
                where, parameters = _seek_sql(seek, after)
                if where is None:
                    continue
                conditions = ["table_id = ?", *where, chosen.condition]
                arguments: list[Any] = [table_id, *parameters, *chosen.parameters]
                if segment is not None:
                    conditions.append("hash % ? = ?")
                    arguments += [segment[1], segment[0]]
                cursor = connection.execute(
                    f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY table_id, {', '.join(_KEY_COLUMNS)}",
                    arguments,
                )
                try:
                    while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                        yield from map(_stored, rows)
                finally:
                    cursor.close()

    def reorder_partitions(self, connection: sqlite3.Connection, table_id: int, keys: Sequence[PartitionKey]) -> None:
        """Sorts the partitions of a table anew after the types of its keys have changed."""
        rows = connection.execute(
            "SELECT value_list, hash, location, descriptor_id, parameters, times FROM partitions WHERE table_id = ?",
            (table_id,),
        ).fetchall()
        connection.execute("DELETE FROM partitions WHERE table_id = ?", (table_id,))
        for value_list, _, location, descriptor_id, parameters, times in rows:
            self.insert_partition(
                connection,
                table_id,
                position_of(keys, json.loads(value_list)),
                location=location,
                descriptor_id=descriptor_id,
                parameters=parameters,
                times=times,
            )


def _schema_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for a lock here, whatever the timeout, while another process makes the same file."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


_EQUALS_KEY = " AND ".join(f"{name} = ?" for name in _KEY_COLUMNS)
_SELECT = (
    f"SELECT {', '.join(_KEY_COLUMNS)}, location, descriptors.body, parameters, times "  # noqa: S608  # own names
    "FROM partitions LEFT JOIN descriptors ON descriptors.id = descriptor_id"
)


def position_of(keys: Sequence[PartitionKey], values: Sequence[str]) -> Position:
    """Where a partition of these values lies; as many values as keys."""
    sort_keys = [stored_sort_key(key.kind, value) for key, value in zip(keys, values, strict=True)]
    padded = (sort_keys + [""] * SORT_COLUMN_COUNT)[:SORT_COLUMN_COUNT]
    return (*padded, json.dumps(list(values), ensure_ascii=False, separators=(",", ":")))


def value_hash(position: Position) -> int:
    """What divides partitions into segments."""
    return zlib.crc32(str(position[-1]).encode("utf-8", "surrogatepass"))


_DECODED = json.JSONDecoder().raw_decode  # json.loads looks at its arguments for longer than it reads such a text


def _stored(row: tuple[Any, ...]) -> StoredPartition:
    key_count = len(_KEY_COLUMNS)
    location, descriptor, parameters, times = row[key_count:]
    values = tuple(_DECODED(row[key_count - 1])[0])
    return StoredPartition(row[:key_count], values, location, descriptor, parameters, times)


def _sort_key_function(kind: str, text: str) -> SortKey:
    return stored_sort_key(KeyKind(kind), text)


def _seek_sql(seek: Seek, after: Position | None) -> tuple[list[str] | None, list[SortKey]]:
    """The conditions that hold the rows of a seek behind a position; None when all of it lies before."""
    where = [f"k{position} = ?" for position in range(len(seek.prefix))]
    parameters = list(seek.prefix)
    level = len(seek.prefix)
    start, end = seek.interval.start, seek.interval.end
    is_inside = False
    if after is not None:
        told = [rank(value) for value in after[:level]]
        wanted = [rank(value) for value in seek.prefix]
        if told > wanted:
            return None, []
        is_inside = told == wanted
        if is_inside and end is not None and (rank(after[level]), True) > (rank(end[0]), end[1]):
            return None, []
        if is_inside and start is not None and (rank(after[level]), False) < (rank(start[0]), start[1]):
            is_inside = False
    if is_inside and after is not None:
        remaining = _KEY_COLUMNS[level:]
        where.append(f"({', '.join(remaining)}) > ({', '.join('?' * len(remaining))})")
        parameters += after[level:]
    elif start is not None:
        where.append(f"k{level} {'>' if start[1] else '>='} ?")
        parameters.append(start[0])
    if end is not None:
        where.append(f"k{level} {'<=' if end[1] else '<'} ?")
        parameters.append(end[0])
    return where, parameters
