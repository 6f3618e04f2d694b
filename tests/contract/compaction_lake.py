"""A lake with a few closed partitions, and a reader that reads it as Athena does: by the catalogue alone."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow
import pyarrow.parquet

from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.compaction import CompactionOptions, CompactionReport, compact
from glue.compaction_jobs import JobRunner
from glue.compaction_removal import RemovalReport, remove_old
from glue.compaction_settling import settle
from glue.compaction_upkeep import DescribedCompaction, UndoReport, compactions, undo
from glue.layout import CommitBatch
from glue.ledger import PartitionLedger
from glue.partition_spec import PartitionSpec
from glue.registration import register_lake
from glue.table_spec import load_table_specs

EVENTS = load_table_specs()["events"]
START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

DAY = timedelta(days=1)


def partition(minute: int) -> PartitionSpec:
    return PartitionSpec.from_datetime(START + timedelta(minutes=minute))


def row(number: int, **members: Any) -> dict[str, Any]:
    created = int(START.timestamp() * 1000) + number * 997 % 60_000
    record = {
        "resourceid": "", "customerid": 11000 + number % 3, "operationid": "", "servicename": f"service-{number % 4}",
        "createdtimestamp": created, "datatags": {"n": str(number)}, "arrivaltimestamp": created + 5,
        "service": "s", "data": json.dumps({"n": number}),
    }  # fmt: skip
    return {**record, **members}


def body(*rows: dict[str, Any] | bytes) -> bytes:
    lines = [each if isinstance(each, bytes) else json.dumps(each, separators=(",", ":")).encode() for each in rows]
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)


class CompactionLake:
    """The lake, and what is done with it at a time that tests set."""

    def __init__(self, glue: Any, s3: Any, ledger: PartitionLedger) -> None:
        self.glue, self.s3, self.ledger = glue, s3, ledger
        # objects get their times from stores that have clocks of their own, to the second
        self.now = datetime.now(UTC) + timedelta(seconds=30)
        self.expected: Counter[tuple[Any, ...]] = Counter()

    def fill(self, *, partitions: int = 3, objects: int = 3) -> CompactionLake:
        """Registered partitions with five rows in each object."""
        ensure_buckets(self.s3, [EVENTS.bucket])
        ensure_catalogue(self.glue, [EVENTS])
        number = 0
        for minute in range(partitions):
            for offset in range(objects):
                self.put(minute, offset, *(row(number + n) for n in range(5)))
                number += 5
        register_lake(self.glue, self.s3, self.ledger, EVENTS)
        return self

    @contextmanager
    def watched(self, before: Callable[[str], None]) -> Iterator[None]:
        """Meanwhile `before` hears of each call."""
        own = self.glue, self.s3, self.ledger
        self.glue, self.s3, self.ledger = (Watched(each, before) for each in own)  # type: ignore[assignment]  # stands in
        try:
            yield
        finally:
            self.glue, self.s3, self.ledger = own

    def key(self, minute: int, offset: int) -> str:
        return EVENTS.layout.key("events", partition(minute), CommitBatch.single(0, offset))

    def put(self, minute: int, offset: int, *rows: dict[str, Any] | bytes) -> str:
        key = self.key(minute, offset)
        self.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=body(*rows))
        for each in rows:
            if not isinstance(each, bytes):
                self.expected[row_key(partition(minute).values(), each)] += 1
        return key

    def listed(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=EVENTS.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    # What is done

    def compact(self, *, apply: bool = True, **options: Any) -> CompactionReport:
        with JobRunner(self.s3) as runner:
            return compact(
                self.glue, self.s3, self.ledger, EVENTS, runner=runner, now=self.now, apply=apply,
                options=CompactionOptions(**{"minimum_bytes": 0, **options}), sleep=lambda _seconds: None,
            )  # fmt: skip

    def undo(self, *, apply: bool = True) -> UndoReport:
        return undo(self.glue, self.s3, self.ledger, EVENTS, now=self.now, apply=apply, sleep=lambda _seconds: None)

    def remove_old(self, *, apply: bool = True) -> RemovalReport:
        return remove_old(
            self.glue, self.s3, self.ledger, EVENTS, now=self.now, apply=apply, sleep=lambda _seconds: None
        )

    def settle(self, *minutes: int) -> Any:
        partitions = [partition(minute) for minute in minutes]
        return settle(self.glue, self.s3, self.ledger, EVENTS, partitions, now=self.now, sleep=lambda _seconds: None)

    def compactions(self) -> list[DescribedCompaction]:
        return list(compactions(self.glue, self.s3, self.ledger, EVENTS))

    # What a query sees

    def entries(self) -> dict[int, dict[str, Any]]:
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=EVENTS.database, TableName=EVENTS.name)
        return {int(entry["Values"][2]): entry for page in pages for entry in page["Partitions"]}

    def is_compacted(self, minute: int) -> bool:
        serde = self.entries()[minute]["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
        return str(serde).endswith("ParquetHiveSerDe")

    def rows(self) -> Counter[tuple[Any, ...]]:
        """Every row of the table, with its partition's values."""
        found: Counter[tuple[Any, ...]] = Counter()
        for entry in self.entries().values():
            descriptor = entry["StorageDescriptor"]
            prefix = descriptor["Location"].removeprefix(f"s3://{EVENTS.bucket}/")
            is_parquet = descriptor["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
            for key in self.listed(prefix):
                if key.rpartition("/")[2][0] in "_.":
                    continue
                content = self.s3.get_object(Bucket=EVENTS.bucket, Key=key)["Body"].read()
                for each in _parquet_rows(content) if is_parquet else _json_rows(content):
                    found[row_key(tuple(entry["Values"]), each)] += 1
        return found


def row_key(values: tuple[str, ...], record: dict[str, Any]) -> tuple[Any, ...]:
    """A row as something that can be counted."""
    columns = [record.get(column.name) for column in EVENTS.columns]
    return (*values, *(tuple(sorted(v.items())) if isinstance(v, dict) else v for v in columns))


def _json_rows(content: bytes) -> list[dict[str, Any]]:
    found = []
    for line in gzip.decompress(content).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record.get("customerid"), int):
            found.append(record)
    return found


def _parquet_rows(content: bytes) -> list[dict[str, Any]]:
    rows = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pylist()
    return [{**each, "datatags": None if each["datatags"] is None else dict(each["datatags"])} for each in rows]


class Killed(BaseException):
    """The process dies here."""


CHANGING = frozenset(
    {"put_object", "delete_objects", "delete_object", "batch_update_partition", "record_objects", "remove_objects"}
)


READING = frozenset({"list_objects_v2", "get_object", "get_partitions", "batch_get_partition"})


class Watched:
    """A client or ledger that tells of each call before it is made."""

    def __init__(self, inner: Any, before: Callable[[str], None]) -> None:
        self._inner, self._before = inner, before

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            self._before(name)
            return attribute(*arguments, **named)

        return call


class AtCall:
    """Does something before the n-th call of those with these names."""

    def __init__(self, number: int, action: Callable[[], None], names: frozenset[str] = CHANGING) -> None:
        self._number, self._action, self._names, self.count = number, action, names, 0

    @property
    def is_done(self) -> bool:
        """Whether there were so many calls."""
        return self.count >= self._number

    def __call__(self, name: str) -> None:
        if name in self._names:
            self.count += 1
            if self.count == self._number:
                self._action()
