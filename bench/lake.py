"""The lake that scans are measured on: a week of events in 5-minute partitions, gzip NDJSON in Secor's layout.

All of it follows from the arguments; the clock and chance have no part in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from isal import igzip

from api.lake import Lake, open_lake
from glue.envelope import record_line
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from glue.registration import register_partitions

FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 7
MINUTES = 5
_SERVICES = ("api-gateway", "iam-admin", "billing", "scheduler", "filebeat")
_KINDS = ("login", "logout", "create", "update", "delete", "list", "read", "deny", "retry", "expire")
_POOL = 997
"""Payloads are taken from a pool of this many: a prime, so that they meet every service, customer and minute."""


@dataclass(frozen=True)
class EventsLake:
    """The lake and the files of its partitions by (dt, hr), in key order."""

    lake: Lake
    rows: int
    size_bytes: int
    files: dict[tuple[str, str], list[Path]]

    def paths(self, *days: str, hour: str | None = None) -> list[str]:
        """The files of these days, or of an hour of them, or all."""
        return [
            str(path)
            for (day, found_hour), paths in sorted(self.files.items())
            if (not days or day in days) and (hour is None or hour == found_hour)
            for path in paths
        ]


def events_lake(data_dir: Path, *, rows: int, days: int = DAYS) -> EventsLake:
    """Writes and registers about `rows` events of so many days (the same number in each partition)."""
    lake = open_lake(data_dir)
    spec = lake.tables["events"]
    partition_count = days * 24 * 60 // MINUTES
    per_partition = rows // partition_count
    payloads = _payloads()
    step = MINUTES * 60_000 // per_partition
    records: list[ObjectRecord] = []
    files: dict[tuple[str, str], list[Path]] = {}
    number = 0
    for position in range(partition_count):
        start = FIRST_DAY + timedelta(minutes=MINUTES * position)
        start_ms = int(start.timestamp() * 1000)
        lines = []
        for index in range(per_partition):
            created = start_ms + index * step
            prefix, suffix = payloads[number * 31 % _POOL]
            lines.append(b"%b%d%b%d%b" % (prefix, created, suffix[0], created + 900 + number % 7001, suffix[1]))
            number += 1
        body = igzip.compress(b"".join(lines), compresslevel=2, mtime=0)
        partition = PartitionSpec.from_datetime(start)
        key = spec.layout.key(spec.topic, partition, CommitBatch.single(position % 4, number))
        lake.s3.put_object(Bucket=spec.bucket, Key=key, Body=body)
        records.append(ObjectRecord(partition, key, len(body), start))
        values = partition.values()
        files.setdefault((values[0], values[1]), []).append(lake.s3.path(spec.bucket, key))
    register_partitions(lake.glue, spec, (record.partition for record in records))
    lake.ledger.record_objects(spec.name, records)
    return EventsLake(lake, number, sum(record.size_bytes for record in records), files)


def _payloads() -> list[tuple[bytes, tuple[bytes, bytes]]]:
    """Lines of the v0 envelope cut where the two times stand: before, between, after."""
    chance = random.Random(7)
    created_mark, arrived_mark = 1_111_111_111_111, 2_222_222_222_222
    lines = []
    for _ in range(_POOL):
        service = chance.choice(_SERVICES)
        payload = {
            "event_type": chance.choice(_KINDS),
            "level": chance.choices(("INFO", "WARN", "ERROR"), (90, 7, 3))[0],
            "status": chance.choice((200, 200, 200, 201, 204, 400, 403, 404, 500)),
            "latency_ms": round(chance.expovariate(1 / 40), 3),
            "user": f"user{chance.randrange(500)}",
            "path": f"/v1/resource/{chance.randrange(1000)}",
            "request_id": f"{chance.getrandbits(64):016x}",
        }
        line = record_line(
            created_milliseconds=created_mark,
            arrived_milliseconds=arrived_mark,
            service_name=service,
            customer=chance.choice((1, 11000, 11001, 11002, 11003, 11004)),
            tags={"region": chance.choice(("eu-central-1", "us-east-1"))},
            data_text=orjson.dumps(payload).decode(),
        )
        before, rest = line.split(str(created_mark).encode(), 1)
        between, after = rest.split(str(arrived_mark).encode(), 1)
        lines.append((before, (between, after)))
    return lines
