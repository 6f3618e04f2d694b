"""Planning must not grow with the lake: the same hour in a catalogue of 2,000 and of 1,000,000 partitions, and beside
what DuckDB does by itself, which is to look through every folder.

Two planners are measured, each as it is in the product: the service's (SQL, policy, pruning, the ledger's estimate) and
the embedded Athena's (translation, partitions of the catalogue, objects of the ones that are hit).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

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

FEW, MANY = 2_000, 1_000_000
REGISTERED_BY_HAND = 100_000  # from here on rows are written straight into the files: a million calls take minutes
ON_DISK = 20_000
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
        goal=f"at {many:,} partitions at most 1.2 x planning at {FEW:,}",
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
    table.met = max(ratios) <= 1.2
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
    known = records if count < REGISTERED_BY_HAND else records[:FEW]
    register_partitions(lake.glue, spec, (record.partition for record in known))
    lake.ledger.record_objects(spec.reference, known)
    if len(known) < count:
        _fill_files(lake.data_dir, records[FEW:])


def _fill_files(data_dir: Path, records: Sequence[ObjectRecord]) -> None:
    """Further partitions, in rows like those that are there."""
    with closing(sqlite3.connect(data_dir / "catalogue.sqlite")) as catalogue, catalogue:
        template = _row_like_those(catalogue, "partitions")
        catalogue.executemany(
            f"INSERT INTO partitions VALUES ({', '.join('?' * len(template))})",
            (_catalogue_row(template, record.partition) for record in records),
        )
    with closing(sqlite3.connect(data_dir / "ledger.sqlite")) as ledger, ledger:
        template = _row_like_those(ledger, "partitions")
        ledger.executemany(
            f"INSERT INTO partitions VALUES ({', '.join('?' * len(template))})",
            ([*template[:1], "/".join(record.partition.values()), *template[2:]] for record in records),
        )
        template = _row_like_those(ledger, "days")
        days = Counter(record.partition.values()[0] for record in records)
        ledger.executemany(
            f"INSERT INTO days VALUES ({', '.join('?' * len(template))}) ON CONFLICT DO UPDATE SET"
            " partition_count = partition_count + excluded.partition_count,"
            " object_count = object_count + excluded.object_count, size_bytes = size_bytes + excluded.size_bytes",
            ([*template[:1], day, number, number, 3 * number, *template[5:]] for day, number in days.items()),
        )


def _row_like_those(database: sqlite3.Connection, table: str) -> list[object]:
    return list(database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone())


def _catalogue_row(template: Sequence[object], partition: PartitionSpec) -> list[object]:
    row = list(template)
    values = partition.values()
    row[1 : 1 + len(values)] = values
    row[9] = json.dumps(values, separators=(",", ":"))
    row[11] = f"s3://data-hist-lake/secor/events/{partition.path()}/"
    return row


def beside_glob(count: int = ON_DISK) -> Table:
    """The plan of one hour by the embedded Athena, and by DuckDB over a glob with Hive partitioning."""
    table = Table(
        "Planning beside a glob",
        f"One hour of events in a lake of {count:,} minute partitions of one object each, planned, not run: by the"
        " embedded Athena and by DuckDB's own read_json over secor/events/*/*/*/* with hive_partitioning, both asked"
        " for dt and hr (60 objects); by the service and the embedded Athena also by time, which may be in the"
        " partitions of the hour after as well. Ratio: over the embedded Athena asked for dt and hr.",
        goal="the glob takes at least 250 x as long",
        versions=versions("duckdb"),
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        planning = _planning(stack, folder, count)
        spec = planning.lake.tables["events"]
        for record in planning.lake.ledger.known_objects(spec.reference):
            path = planning.lake.s3.path(spec.bucket, record.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"{}\n")
        bare = stack.enter_context(duckdb.connect())
        day, hour, _ = PartitionSpec.from_datetime(HIT_FROM).values()
        by_hour = f"dt = '{day}' AND hr = '{hour}' GROUP BY servicename"
        sql = (
            f"EXPLAIN SELECT servicename, count(*) FROM read_json('{folder}/s3/data-hist-lake/secor/events/*/*/*/*',"
            " format = 'newline_delimited', hive_partitioning = true,"
            " columns = {servicename: 'VARCHAR', createdtimestamp: 'BIGINT'})"
            f" WHERE {by_hour}"
        )
        asked = f"SELECT servicename, count(*) FROM events WHERE {by_hour}"
        asked_by_time = planning.planner.plan(SQL, planning.caller).sql
        medians = interleaved(
            {
                "engine": timed(lambda: planning.runner.plan(QueryText(asked, DATABASE), lambda: None), repeat=3),
                "engine, by time": timed(
                    lambda: planning.runner.plan(QueryText(asked_by_time, DATABASE), lambda: None), repeat=3
                ),
                "service and engine, by time": timed(planning.engine, repeat=3),
                "DuckDB, glob": timed(lambda: bare.execute(sql).fetchall()),
            },
            rounds=5,
        )
    base = medians["engine"]
    table.rows = [Row(name, value, "ms", value / base) for name, value in medians.items()]
    alone, by_time, whole = (medians["DuckDB, glob"] / value for value in list(medians.values())[:3])
    table.finding = (
        f"the glob takes {alone:.0f} x as long as the engine's plan; {by_time:.0f} x its plan by time, {whole:.0f} x"
        " that with the service's"
    )
    table.met = alone >= 250
    return table
