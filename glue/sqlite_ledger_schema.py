"""The tables of the embedded ledger's SQLite file, and how a file of an earlier release becomes one of this release.

Earlier releases kept rows and created times in columns of their own, and no offsets. Their objects are kept; totals
are not trusted but follow anew.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glue.ledger import KnownObject, RowFacts, moment_of

FORMAT = 3  # PRAGMA user_version; a file of an earlier release is taken over when it is opened
_WITHOUT_SHARES = 2
_SCHEMA = """
CREATE TABLE partitions (
    table_name TEXT NOT NULL,
    value_path TEXT NOT NULL,           -- the values joined by '/': sorts as the partitions do
    object_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    late_bytes INTEGER NOT NULL,
    read_row_count INTEGER NOT NULL,
    unread_object_count INTEGER NOT NULL,
    malformed_count INTEGER NOT NULL,
    unbounded_object_count INTEGER NOT NULL,
    minimum_createdtimestamp INTEGER,
    maximum_createdtimestamp INTEGER,
    first_arrival INTEGER,
    last_arrival INTEGER,
    lateness TEXT NOT NULL,             -- JSON: bucket -> rows
    PRIMARY KEY (table_name, value_path)
) WITHOUT ROWID;
CREATE TABLE days (
    table_name TEXT NOT NULL,
    day TEXT NOT NULL,                  -- a leading part of the partitions' paths
    partition_count INTEGER NOT NULL,
    object_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    late_bytes INTEGER NOT NULL,
    last_arrival INTEGER,
    PRIMARY KEY (table_name, day)
) WITHOUT ROWID;
CREATE TABLE objects (
    table_name TEXT NOT NULL,
    value_path TEXT NOT NULL,
    object_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    last_arrival INTEGER NOT NULL,
    is_late INTEGER NOT NULL,
    facts TEXT,                         -- JSON of RowFacts, NULL where nobody has read it
    sequencer TEXT,
    content_tag TEXT,
    share TEXT NOT NULL DEFAULT 'whole',
    PRIMARY KEY (table_name, value_path, object_key)
) WITHOUT ROWID;
CREATE TABLE batches (
    table_name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    kafka_partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    object_count INTEGER NOT NULL,
    unread_object_count INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    taken_count INTEGER NOT NULL,
    missing_count INTEGER NOT NULL DEFAULT 0,
    surplus_count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (table_name, generation, kafka_partition, first_offset)
) WITHOUT ROWID;
CREATE INDEX batch_faults ON batches (table_name, generation, kafka_partition, first_offset)
    WHERE missing_count > 0 OR surplus_count > 0;
CREATE TABLE offset_series (
    table_name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    kafka_partition INTEGER NOT NULL,
    batch_count INTEGER NOT NULL,
    object_count INTEGER NOT NULL,
    unread_object_count INTEGER NOT NULL,
    missing_count INTEGER NOT NULL,
    surplus_count INTEGER NOT NULL,
    fault_count INTEGER NOT NULL,
    PRIMARY KEY (table_name, generation, kafka_partition)
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
    finished_at INTEGER,                -- NULL where it was begun and not finished
    facts BLOB NOT NULL                 -- JSON, the writer's own
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS load_sources (
    family TEXT NOT NULL,               -- loads whose sources may continue one another
    size_bytes INTEGER NOT NULL,        -- of the source
    load_id TEXT NOT NULL,
    PRIMARY KEY (family, size_bytes, load_id)
) WITHOUT ROWID
"""
_DAY_IN_ONE_FOLDER = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


def make_tables(connection: sqlite3.Connection) -> Iterator[tuple[str, KnownObject]]:
    """Makes the tables where they are not there yet, inside the caller's transaction.

    The objects of a file of an earlier release, each with its table, have to be written anew: the caller reads all.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == FORMAT:
        return iter(())
    if found == _WITHOUT_SHARES:
        connection.execute("ALTER TABLE objects ADD COLUMN share TEXT NOT NULL DEFAULT 'whole'")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        return iter(())
    old_columns = [row[1] for row in connection.execute("PRAGMA table_info(objects)")]
    if old_columns:
        connection.execute("ALTER TABLE objects RENAME TO old_objects")
        for table in ("partitions", "days"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    return _objects_of_earlier_release(connection, old_columns) if old_columns else iter(())


def day_of(values: Sequence[str]) -> str:
    """The day of a partition whose scheme is not known: one folder, or year, month and day."""
    is_one_folder = _DAY_IN_ONE_FOLDER.fullmatch(values[0]) is not None
    return values[0] if is_one_folder else "/".join(values[:3])


def _objects_of_earlier_release(
    connection: sqlite3.Connection, columns: Sequence[str]
) -> Iterator[tuple[str, KnownObject]]:
    for row in connection.execute("SELECT * FROM old_objects"):
        old = dict(zip(columns, row, strict=True))
        yield old["table_name"], _known_object(old)
    connection.execute("DROP TABLE old_objects")


def _known_object(old: Mapping[str, Any]) -> KnownObject:
    facts = None
    if old["row_count"] is not None:
        facts = RowFacts(
            old["row_count"],
            minimum_createdtimestamp=old["minimum_createdtimestamp"],
            maximum_createdtimestamp=old["maximum_createdtimestamp"],
        )
    arrival = moment_of(old["arrival"])
    return KnownObject(
        tuple(old["value_path"].split("/")), old["object_key"], old["size_bytes"], arrival, arrival,
        bool(old.get("is_late")), facts, old.get("sequencer"),
    )  # fmt: skip
