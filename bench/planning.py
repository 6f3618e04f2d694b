"""Planning must not grow with the lake: the same hour in a catalogue of 2,000 and of 100,000 partitions.

Two planners are measured, each as it is in the product: the service's (SQL, policy, pruning, the ledger's estimate) and
the embedded Athena's (translation, partitions of the catalogue, objects of the ones that are hit).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.composition import DATABASE, DescribingPlanner
from api.lake import Lake, open_lake
from bench.harness import Row, Table, interleaved, timed, versions
from embedded.athena_engine import DuckEngine
from embedded.athena_runner import QueryRunner, QueryText
from embedded.malformed_input import FileVerdicts
from embedded.scan import ScanPlanner
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from glue.registration import register_partitions
from service.model import Caller

FEW, MANY = 2_000, 100_000
LAST = datetime(2026, 3, 8, tzinfo=UTC)
HIT_FROM = LAST - timedelta(hours=5)
HIT_PARTITIONS = 60
SQL = f"""SELECT servicename, count(*) FROM events
WHERE createdtimestamp >= {int(HIT_FROM.timestamp() * 1000)}
  AND createdtimestamp < {int((HIT_FROM + timedelta(hours=1)).timestamp() * 1000)} GROUP BY servicename"""


@dataclass(frozen=True)
class _Planning:
    """The planners over one lake."""

    lake: Lake
    planner: DescribingPlanner
    runner: QueryRunner
    caller: Caller

    def service(self) -> int:
        """As a submit plans: partitions that the ledger says would be read."""
        planned = self.planner.plan(SQL, self.caller)
        return sum(
            self.lake.ledger.summary(table.name, table.partition_range).partition_count for table in planned.tables
        )

    def engine(self) -> int:
        """As the embedded Athena plans: files it would open."""
        planned = self.planner.plan(SQL, self.caller)
        found = self.runner.plan(QueryText(planned.sql, DATABASE), lambda: None)
        return sum(len(scan.files) for scan in found.scans)


def by_partition_count(many: int = MANY) -> Table:
    """Planning of one hour among few and among many partitions."""
    table = Table(
        "Planning by number of partitions",
        f"One hour ({HIT_PARTITIONS} minute partitions, one object each) of events, planned in a catalogue and"
        f" ledger of {FEW:,} and"
        f" of {many:,} minute partitions. Ratio: over {FEW:,}.",
        goal=f"at {many:,} partitions at most 2 x planning at {FEW:,}",
        versions=versions("duckdb", "sqlglot"),
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plannings = {count: _planning(stack, folder / str(count), count) for count in (FEW, many)}
        hits = {count: (planning.service(), planning.engine()) for count, planning in plannings.items()}
        if hits[FEW] != hits[many] or not hits[FEW][1]:
            raise RuntimeError(f"not the same hits: {hits}")
        candidates: dict[str, Callable[[], float]] = {}
        for count, planning in plannings.items():
            candidates[f"service, {count:,}"] = timed(planning.service, repeat=10)
            candidates[f"service and engine, {count:,}"] = timed(planning.engine, repeat=10)
        medians = interleaved(candidates, rounds=9)
    ratios = []
    for what in ("service", "service and engine"):
        base = medians[f"{what}, {FEW:,}"]
        for count in (FEW, many):
            value = medians[f"{what}, {count:,}"]
            table.rows.append(Row(f"{what}, {count:,} partitions", value, "ms", value / base))
        ratios.append(medians[f"{what}, {many:,}"] / base)
    table.finding = f"service {ratios[0]:.2f} x, with the engine's plan {ratios[1]:.2f} x"
    table.met = max(ratios) <= 2
    return table


def _planning(stack: ExitStack, folder: Path, count: int) -> _Planning:
    lake = open_lake(folder)
    stack.callback(lake.close)
    _fill(lake, count)
    engine = DuckEngine(readable_folders=[folder / "s3"], temporary_folder=folder / "temporary", memory_limit="500MB")
    stack.callback(engine.close)
    runner = QueryRunner(
        engine,
        lake.glue,
        ScanPlanner(lake.glue, lake.s3, lambda: LAST),
        FileVerdicts(folder / "salvaged"),
        clock=lambda: LAST,
    )
    caller = Caller(tenant="bench", customers=None, scopes=frozenset({"query"}))
    return _Planning(lake, DescribingPlanner(lake.tables, lake.glue, lambda: LAST), runner, caller)


def _fill(lake: Lake, count: int) -> None:
    """`count` minute partitions up to LAST in catalogue and ledger; objects lie only around the hour asked for."""
    spec = lake.tables["events"]
    records = []
    for number in range(count):
        moment = LAST - timedelta(minutes=number)
        partition = PartitionSpec.from_datetime(moment)
        key = spec.layout.key(spec.topic, partition, CommitBatch.single(0, number))
        if abs((moment - HIT_FROM).total_seconds()) < 4 * 3600:
            lake.s3.put_object(Bucket=spec.bucket, Key=key, Body=b"{}\n")
        records.append(ObjectRecord(partition, key, 3, moment))
    register_partitions(lake.glue, spec, (record.partition for record in records))
    lake.ledger.record_objects(spec.name, records)
