"""The partitions of a table as the catalogue has them at one time, read once and kept on disk.

For reconciling. A whole table is read in segments that are asked side by side (Glue: GetPartitions, Segment; at most
10), a range of it with an Expression. What is kept of a partition is little: where it points, if not at the layout's
own folder, and how its columns differ from the table's, if they do. Whoever has dealt with a partition takes it out;
what remains is what the lake has not. Memory stays flat: SQLite spills to a file of its own that goes away with it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson

from glue.aws_clients import GlueClient
from glue.compaction_catalogue import parquet_descriptor
from glue.compaction_manifest import compaction_at
from glue.partition_range import PartitionRange, value_path_bounds
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.table_spec import TableSpec

MAXIMUM_SEGMENTS = 10


@dataclass(frozen=True)
class RegisteredPartition:
    """A partition of the catalogue; `location` None is the layout's own folder, `drift` "" is none."""

    location: str | None
    drift: str


class CatalogueSnapshot:
    """See the module. A context manager; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connection.execute(
            "CREATE TABLE registered (value_path TEXT NOT NULL, value_list BLOB NOT NULL, location TEXT,"
            " drift TEXT NOT NULL, PRIMARY KEY (value_path, value_list)) WITHOUT ROWID"
        )

    def __enter__(self) -> CatalogueSnapshot:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def read(
        self, glue_client: GlueClient, spec: TableSpec, time_range: PartitionRange | None, *, segments: int
    ) -> None:
        """Reads the range, a whole table in so many segments at a time. Raises ClientError."""
        arguments: dict[str, Any] = {"DatabaseName": spec.database, "TableName": spec.name}
        if time_range is not None and not time_range.is_unbounded:
            arguments["Expression"] = time_range.expression()
        count = min(segments, MAXIMUM_SEGMENTS)
        if count < 2 or "Expression" in arguments:
            self._read_segment(glue_client, spec, arguments)
            return
        parts = [{"Segment": {"SegmentNumber": number, "TotalSegments": count}} for number in range(count)]
        with ThreadPoolExecutor(count, thread_name_prefix="catalogue-segment") as pool:
            list(pool.map(lambda part: self._read_segment(glue_client, spec, arguments | part), parts))

    def take(self, values: tuple[str, ...]) -> RegisteredPartition | None:
        """The partition with these values, which is dealt with then; None where the catalogue has none."""
        with self._lock:
            row = self._connection.execute(
                "DELETE FROM registered WHERE value_path = ? AND value_list = ? RETURNING location, drift",
                ("/".join(values), orjson.dumps(values)),
            ).fetchone()
        return None if row is None else RegisteredPartition(*row)

    def remaining(
        self, time_range: PartitionRange | None = None
    ) -> Iterator[tuple[tuple[str, ...], RegisteredPartition]]:
        """What was not taken of a range, in order; nothing of it may be taken meanwhile."""
        lower, upper = value_path_bounds(time_range)
        after: tuple[str, bytes] = (lower, b"")
        while True:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT value_path, value_list, location, drift FROM registered"
                    " WHERE (value_path, value_list) > (?, ?) AND value_path < ?"
                    " ORDER BY value_path, value_list LIMIT 1000",
                    (*after, upper),
                ).fetchall()
            for _, value_list, location, drift in rows:
                yield tuple(orjson.loads(value_list)), RegisteredPartition(location, drift)
            if len(rows) < 1000:
                return
            after = rows[-1][:2]

    def _read_segment(self, glue_client: GlueClient, spec: TableSpec, arguments: Mapping[str, Any]) -> None:
        wanted = spec.storage_descriptor("")
        given = dict(arguments)
        while True:
            page = glue_client.get_partitions(**given)
            rows = [_row(entry, spec, wanted) for entry in page.get("Partitions", ())]
            with self._lock:
                self._connection.execute("BEGIN")
                self._connection.executemany("INSERT OR REPLACE INTO registered VALUES (?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            if not page.get("NextToken"):  # a page may be empty and not the last
                return
            given["NextToken"] = page["NextToken"]


def _row(entry: Mapping[str, Any], spec: TableSpec, wanted: Mapping[str, Any]) -> tuple[str, bytes, str | None, str]:
    values = tuple(entry["Values"])
    descriptor = entry.get("StorageDescriptor", {})
    location = str(descriptor.get("Location", ""))
    try:
        partition = PartitionSpec.from_values(values, spec.layout.scheme)
        own = spec.partition_location(partition)
        if compaction_at(spec, partition, location) is not None:
            wanted = parquet_descriptor(spec, "")
    except InvalidPartition:
        own = ""
    is_own = location.rstrip("/") == own.rstrip("/")
    return "/".join(values), orjson.dumps(values), None if is_own else location, drift(descriptor, wanted)


def drift(descriptor: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How a partition's descriptor is not the wanted one; "" where it is. JSON is read by position, so order counts."""
    mine = [(column["Name"], column.get("Type", "")) for column in descriptor.get("Columns", ())]
    table = [(column["Name"], column.get("Type", "")) for column in wanted["Columns"]]
    if mine != table:
        odd = sorted({name for name, _ in set(mine) ^ set(table)})
        return f"columns differ: {', '.join(odd[:5])}" if odd else "columns stand in another order"
    for member in ("InputFormat", "OutputFormat"):
        if descriptor.get(member) != wanted[member]:
            return f"{member} is {descriptor.get(member)}"
    library = descriptor.get("SerdeInfo", {}).get("SerializationLibrary")
    return "" if library == wanted["SerdeInfo"]["SerializationLibrary"] else f"the SerDe is {library}"
