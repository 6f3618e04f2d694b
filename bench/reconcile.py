"""Lake, catalogue and ledger of 100,000 partitions compared: how long it takes, and how much memory.

    verify      everything agrees: what a nightly check costs
    repair      a hundredth of the partitions is unknown to catalogue and ledger

Beside it, in the same run, what any such comparison cannot do without: listing the same objects, and a walk over the
same folder by os.scandir.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from api.lake import Lake, open_lake
from bench.harness import Row, Table, versions
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from glue.registration import lake_objects, register_partitions

MANY = 100_000
LAST = datetime(2026, 3, 8, tzinfo=UTC)
UNKNOWN_EACH = 100  # every so many partitions one is unknown
WORKERS = 4
_CHILD = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from api.lake import open_lake
from glue.reconcile import reconcile
def peak_kilobytes():
    # not getrusage's: it begins with the peak of the process that started this one
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
apply, workers = sys.argv[2] == "repair", int(sys.argv[3])
lake = open_lake(Path(sys.argv[1]))
before = peak_kilobytes()
started = time.perf_counter()
report = reconcile(lake.glue, lake.s3, lake.ledger, lake.tables["events"], apply=apply,
                   now=datetime(2026, 3, 9, tzinfo=UTC), workers=workers)
seconds = time.perf_counter() - started
grown = (peak_kilobytes() - before) / 1024
print(json.dumps({"seconds": seconds, "grown_megabytes": grown, "partitions": report.partition_count,
                  "applied": report.applied, "agrees": report.agrees}))
"""


def many_partitions(count: int = MANY) -> Table:
    """Reconciling `count` minute partitions of one object each, and a tenth of them for the memory."""
    table = Table(
        "Reconcile",
        f"{count:,} minute partitions of one object each: lake, catalogue and ledger compared and mended, {WORKERS}"
        f" workers; one partition in {UNKNOWN_EACH} is unknown before the repair. Ratio: over listing the same objects."
        " Memory is what the process grew by.",
        goal="100,000 partitions in at most 120 s, in flat memory (at most 2 x that of a tenth of them)",
        versions=versions("duckdb"),
    )
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        _fill(small, count // 10)
        _fill(large, count)
        walk_seconds = _seconds(lambda: sum(1 for _ in _walk(large / "s3")))
        lake = open_lake(large)
        spec = lake.tables["events"]
        listing_seconds = _seconds(lambda: sum(1 for _ in lake_objects(lake.s3, spec.bucket, "secor/events/")))
        lake.close()
        few = _run(small, "repair")
        mended = _run(large, "repair")
        verified = _run(large, "verify")
        if not verified["agrees"] or mended["partitions"] != count or mended["applied"]["missing"] != count // 100:
            raise RuntimeError(f"not mended: {mended}, {verified}")
    for label, seconds in (
        ("a walk over the folder", walk_seconds),
        ("list_objects_v2 of all", listing_seconds),
        ("repair", mended["seconds"]),
        ("verify", verified["seconds"]),
    ):
        table.rows.append(Row(label, seconds, "s", seconds / listing_seconds))
    for label, run in ((f"memory, {count // 10:,}", few), (f"memory, {count:,}", mended)):
        table.rows.append(
            Row(label, run["grown_megabytes"], "MB", run["grown_megabytes"] / max(1.0, few["grown_megabytes"]))
        )
    table.finding = (
        f"repair {mended['seconds']:.0f} s, verify {verified['seconds']:.0f} s;"
        f" memory {mended['grown_megabytes']:.0f} MB ({few['grown_megabytes']:.0f} MB at a tenth)"
    )
    is_flat = mended["grown_megabytes"] <= 2 * max(few["grown_megabytes"], 20.0)
    table.met = mended["seconds"] * MANY / count <= 120 and is_flat
    return table


def _run(data_dir: Path, verb: str) -> dict[str, Any]:
    """In a process of its own: the peak of memory is a process's."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(data_dir), verb, str(WORKERS)], check=True, capture_output=True, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _fill(data_dir: Path, count: int) -> None:
    lake = open_lake(data_dir)
    records = list(_objects(lake, count))
    known = [record for number, record in enumerate(records) if number % UNKNOWN_EACH]
    spec = lake.tables["events"]
    register_partitions(lake.glue, spec, (record.partition for record in known))
    lake.ledger.record_objects(spec.reference, known)
    lake.close()


def _objects(lake: Lake, count: int) -> Iterator[ObjectRecord]:
    spec = lake.tables["events"]
    for number in range(count):
        moment = LAST - timedelta(minutes=number)
        partition = PartitionSpec.from_datetime(moment)
        key = spec.layout.key(spec.topic, partition, CommitBatch.single(0, number))
        path = lake.s3.path(spec.bucket, key)  # put_object would be the longest part of the benchmark
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")
        yield ObjectRecord(partition, key, 3, moment)


def _walk(folder: Path | str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path)
            else:
                entry.stat()
                yield entry.path


def _seconds(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
