"""The ingest side: how fast keys are read, notifications tracked, and landed objects found by a query.

keys       an object's key -> its partition
tracker    bodies of queue messages -> catalogue and ledger
landing    an object is copied into the lake folder -> a query over HTTP counts its rows
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote_plus

import httpx

from api.lake import open_lake
from bench.harness import Row, Table, data_hist, interleaved, versions
from glue.layout import CommitBatch, LakeKey
from glue.partition_spec import PartitionSpec
from glue.queue_batch import QueueMessage, handle_batch
from glue.table_spec import load_table_specs
from glue.tracker import PartitionTracker

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYS, OBJECTS_PER_MINUTE = 100_000, 20
MESSAGES, MESSAGES_PER_BATCH = 4_000, 200
LANDINGS = 40
_NAME = re.compile(r"(\d+)_(\d+(?:-\d+)?)_(\d{20}|[\w-]{22})(\.[^/]*)?")
_FORMATS = (("dt=", "%Y-%m-%d"), ("hr=", "%H"), ("min=", "%M"))


def _keys(count: int, objects_per_minute: int) -> list[str]:
    layout = load_table_specs()["events"].layout
    return [
        layout.key(
            "events",
            PartitionSpec.from_datetime(START + timedelta(minutes=number // objects_per_minute)),
            CommitBatch.single(number % 8, number),
        )
        for number in range(count)
    ]


def _by_hand(key: str, prefix: str) -> tuple[str, list[str]] | None:
    """What a careful script does (the reference in ingest-formats 1.1): literal prefix, one expression for the name,
    strptime for each folder.
    """
    if not key.startswith(prefix):
        return None
    segments = key[len(prefix) :].split("/")
    if len(segments) != 5 or not _NAME.fullmatch(segments[-1]):
        return None
    for (folder, pattern), segment in zip(_FORMATS, segments[1:4], strict=True):
        if not segment.startswith(folder):
            return None
        datetime.strptime(segment[len(folder) :], pattern)  # noqa: DTZ007  only whether it fits
    return segments[0], segments[1:4]


def keys() -> Table:
    """Keys to partitions."""
    layout = load_table_specs()["events"].layout
    table = Table(
        "Keys",
        f"{KEYS:,} keys of Secor's minute layout, {OBJECTS_PER_MINUTE} objects a minute, to partitions; beside it the"
        " same by hand: a literal prefix, one expression, strptime. Ratio: over by hand.",
        goal="at least 100,000 keys per second and core",
        versions=versions(),
    )
    crowded, lonely = _keys(KEYS, OBJECTS_PER_MINUTE), _keys(KEYS, 1)
    for key in (crowded[0], lonely[-1]):
        parsed, found = layout.parse(key), _by_hand(key, "secor/")
        if not isinstance(parsed, LakeKey) or found is None or parsed.partition.path() != "/".join(found[1]):
            raise RuntimeError(f"not the same partition: {key}")
    medians = interleaved(
        {
            "by hand": _core_milliseconds(lambda key: _by_hand(key, "secor/"), crowded),
            "crowded": _core_milliseconds(layout.parse, crowded),
            "lonely": _core_milliseconds(layout.parse, lonely),
        },
        rounds=3,
    )
    names = {"by hand": "by hand", "crowded": "layout.parse", "lonely": "layout.parse, each key in a folder of its own"}
    rates = {name: KEYS / medians[name] for name in medians}  # per ms: thousands per second
    table.rows = [Row(names[name], rate, "k keys/s", rate / rates["by hand"]) for name, rate in rates.items()]
    table.finding = f"{rates['crowded']:.0f} k keys/s; {rates['lonely']:.0f} k where no two share a folder"
    table.met = min(rates["crowded"], rates["lonely"]) >= 100
    return table


def _core_milliseconds(read: Callable[[str], object], given: Sequence[str]) -> Callable[[], float]:
    """Milliseconds of one core, whoever else is at work; what was read is let go, as the tracker does."""

    def measure() -> float:
        started = time.process_time()
        for key in given:
            read(key)
        return (time.process_time() - started) * 1000

    return measure


def _messages(first: int, count: int) -> list[QueueMessage]:
    """Messages as S3 puts them into a queue, one object each."""
    messages = []
    for number, key in enumerate(_keys(first + count, OBJECTS_PER_MINUTE)[first:], first):
        described = {"key": quote_plus(key), "size": 1000 + number, "eTag": hashlib.md5(key.encode()).hexdigest()}
        record = {
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-03-08T00:00:00.000Z",
            "s3": {"bucket": {"name": "data-hist-lake"}, "object": described | {"sequencer": f"{number:016X}"}},
        }
        messages.append(QueueMessage(f"message-{number}", json.dumps({"Records": [record]})))
    return messages


def tracker() -> Table:
    """Notifications to catalogue and ledger, coalesced and one by one."""
    table = Table(
        "Tracker",
        f"{MESSAGES:,} S3 notifications of new objects, {OBJECTS_PER_MINUTE} a partition, into the embedded catalogue"
        f" and ledger: {MESSAGES_PER_BATCH} messages at a time, as the worker takes them, and one at a time, as a"
        " handler does that does not coalesce. Ratio: over one at a time.",
        goal="at least 2,000 objects per second",
        versions=versions("orjson"),
    )
    rates = {}
    for name, batch, count in (("one at a time", 1, MESSAGES // 4), ("coalesced", MESSAGES_PER_BATCH, MESSAGES)):
        rates[name] = statistics.median(_tracked_per_second(_messages(0, count), batch) for _ in range(3))
    table.rows = [Row(name, rate, "objects/s", rate / rates["one at a time"]) for name, rate in rates.items()]
    table.finding = f"{rates['coalesced']:,.0f} objects/s"
    table.met = rates["coalesced"] >= 2_000
    return table


def _tracked_per_second(messages: Sequence[QueueMessage], batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        partition_tracker = PartitionTracker(lake.glue, lake.ledger, lake.tables.values(), clock=lambda: START)
        started = time.perf_counter()
        for first in range(0, len(messages), batch):
            handle_batch(messages[first : first + batch], partition_tracker, None)
        seconds = time.perf_counter() - started
        found = lake.ledger.summary("events").object_count
        lake.close()
    if found != len(messages):
        raise RuntimeError(f"{found} of {len(messages)} objects tracked")
    return len(messages) / seconds


def landing() -> Table:
    """From the copy of an object into the lake folder to a query that counts its rows, through the real service."""
    table = Table(
        "Landing",
        f"{LANDINGS} objects copied into the lake folder of a running service, one after another; until a count over"
        " HTTP, asked again and again, has its rows. Ratio: over the count's own time.",
        goal="99 of 100 within 5 s",
        versions=versions("watchfiles", "duckdb"),
    )
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        base, _ = stack.enter_context(data_hist(Path(name)))
        client = stack.enter_context(httpx.Client(base_url=base, timeout=60))
        folder = Path(name) / "s3/data-hist-lake/secor/events"
        seconds = [_landing_seconds(client, folder, number) for number in range(LANDINGS)]
        started = time.perf_counter()
        _count(client)
        count_seconds = time.perf_counter() - started
    worst = sorted(seconds)[-1]  # of 40 the worst stands for the 99th of a hundred
    for label, value in (
        ("a count", count_seconds), ("landing, median", statistics.median(seconds)), ("landing, worst", worst),
    ):  # fmt: skip
        table.rows.append(Row(label, value * 1000, "ms", value / count_seconds))
    table.finding = f"median {statistics.median(seconds):.1f} s, worst of {LANDINGS} {worst:.1f} s"
    table.met = worst <= 5
    return table


def _landing_seconds(client: httpx.Client, folder: Path, number: int) -> float:
    moment = START + timedelta(minutes=number)
    row = {
        "customerid": 11000, "servicename": "landing", "service": "landing", "data": "{}",
        "createdtimestamp": int(moment.timestamp() * 1000), "arrivaltimestamp": int(moment.timestamp() * 1000),
    }  # fmt: skip
    path = folder / PartitionSpec.from_datetime(moment).path() / f"1_0_{number:020d}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n"))
    started = time.perf_counter()
    while _count(client) != number + 1:
        if time.perf_counter() - started > 60:
            raise RuntimeError("an object that landed is not found")
        time.sleep(0.02)
    return time.perf_counter() - started


def _count(client: httpx.Client) -> int:
    body = {
        "query": "SELECT count(*) AS n FROM events WHERE servicename = 'landing'",
        "retention_minutes": 1, "wait_seconds": 30,
    }  # fmt: skip
    query_id = client.post("/v0/data_hist/query", json=body).json()["query_id"]
    answer = client.post("/v0/data_hist/next", json={"query_id": query_id}).json()
    return int(answer["result_set"][0]["n"])
