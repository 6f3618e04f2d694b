"""Compaction: how quickly it reads and writes, and how much quicker queries are afterwards.

Two lakes of the same events are made; one is compacted, on one core. Beside the compaction, on the same objects and in
the same run, is what any of its kind cannot do without: inflating them, parsing every line. Then both lakes are asked
the same questions, taking turns; the answers are compared first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson
from isal import igzip

from bench.harness import Row, Table, interleaved, timed, versions
from bench.lake import FIRST_DAY, MINUTES, EventsLake, events_lake
from bench.scan import ask, open_athena
from embedded.athena import Athena
from glue.compaction import CompactionReport, compact
from glue.compaction_jobs import JobRunner

ROWS = 1_500_000
DAYS = 1
_NOW = datetime(2026, 3, 20, tzinfo=UTC)
QUESTIONS = {
    "one hour, count": "SELECT count(*) FROM events WHERE dt = '{day}' AND hr = '10'",
    "filter, aggregates": (
        "SELECT count(*), min(createdtimestamp), max(createdtimestamp), avg(arrivaltimestamp - createdtimestamp)"
        " FROM events WHERE dt = '{day}' AND servicename = 'billing' AND customerid > 1"
    ),
    "group by, count distinct": (
        "SELECT servicename, count(*), count(DISTINCT customerid), max(createdtimestamp) FROM events GROUP BY"
        " servicename"
    ),
    "ten minutes by time": (
        "SELECT count(*), count(DISTINCT customerid) FROM events WHERE createdtimestamp BETWEEN {start} AND {start} +"
        " 600000"
    ),
    "a field of the payload": "SELECT json_extract_scalar(data, '$.event_type'), count(*) FROM events GROUP BY 1",
}
"""Of one day. The last one reads the widest column and parses it: there is the least to be gained."""
_PROMISED = 5.0


def compacted_over_raw(rows: int = ROWS, days: int = DAYS) -> Table:
    """The compaction of a lake, and each question to it and to the raw one."""
    table = Table(
        "Compaction",
        "",
        goal="150,000 rows a second and core; queries at least 5 x as fast as on raw objects (in the median)",
        versions=versions("duckdb", "pyarrow", "orjson", "isal"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = events_lake(folder / "raw", rows=rows, days=days)
        compacted = events_lake(folder / "compacted", rows=rows, days=days)
        parse_seconds = _parsing_seconds(raw)
        cpu_before, started = time.process_time(), time.perf_counter()
        report = _compact(compacted)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_before
        if (report.row_count, report.failed_count, report.malformed_count) != (raw.rows, 0, 0):
            raise RuntimeError(f"not compacted: {report}")
        object_count = sum(map(len, raw.files.values()))
        table.question = (
            f"{raw.rows:,} events of {days} day in {object_count:,} gz objects ({raw.size_bytes / 1e6:.0f} MB) of"
            f" {MINUTES} minutes each; compacted: {report.compacted_bytes / 1e6:.0f} MB. Compacted on one core, from"
            " listing to the last switch; beside it the same objects inflated and each line parsed by orjson. Queries"
            " by the embedded Athena, start to end, taking turns. Ratio: over raw."
        )
        table.rows = [
            Row("inflating and parsing", raw.rows / parse_seconds / 1000, "k rows/s", 1.0),
            Row("compaction", raw.rows / seconds / 1000, "k rows/s", parse_seconds / seconds),
            Row("compaction, of its CPU time", raw.rows / cpu_seconds / 1000, "k rows/s", parse_seconds / cpu_seconds),
        ]
        gains = _ask_both(raw, compacted, folder, table)
    median = sorted(gains.values())[len(gains) // 2]
    rate = raw.rows / cpu_seconds
    told = "; ".join(f"{name} {gain:.1f} x" for name, gain in gains.items())
    table.finding = f"{rate / 1000:.0f} k rows/s and core; {told}"
    table.met = rate >= 150_000 and median >= _PROMISED
    return table


def _ask_both(raw: EventsLake, compacted: EventsLake, folder: Path, table: Table) -> dict[str, float]:
    gains: dict[str, float] = {}
    (folder / "athena-raw").mkdir()
    (folder / "athena-compacted").mkdir()
    on_raw, on_compacted = open_athena(raw, folder / "athena-raw"), open_athena(compacted, folder / "athena-compacted")
    words = {"day": FIRST_DAY.date().isoformat(), "start": int(FIRST_DAY.timestamp() * 1000) + 36_000_000}
    try:
        for name, text in QUESTIONS.items():
            sql = text.format(**words)
            if _answer(on_raw, sql) != _answer(on_compacted, sql):
                raise RuntimeError(f"answers differ: {sql}")
            medians = interleaved(
                {
                    "raw": timed(lambda sql=sql: ask(on_raw, sql)),
                    "compacted": timed(lambda sql=sql: ask(on_compacted, sql)),
                }
            )
            gains[name] = medians["raw"] / medians["compacted"]
            table.rows += [
                Row(f"{name}: raw", medians["raw"], "ms", 1.0),
                Row(f"{name}: compacted", medians["compacted"], "ms", medians["compacted"] / medians["raw"]),
            ]
    finally:
        for athena, lake in ((on_raw, raw), (on_compacted, compacted)):
            athena.close()
            lake.lake.close()
    return gains


def _compact(made: EventsLake) -> CompactionReport:
    lake = made.lake
    with JobRunner(lake.s3) as runner:
        return compact(lake.glue, lake.s3, lake.ledger, lake.tables["events"], runner=runner, now=_NOW)


def _parsing_seconds(made: EventsLake) -> float:
    started = time.perf_counter()
    for path in _paths(made):
        for line in igzip.decompress(path.read_bytes()).splitlines():
            orjson.loads(line)
    return time.perf_counter() - started


def _paths(made: EventsLake) -> Iterable[Path]:
    return (path for paths in made.files.values() for path in paths)


def _answer(athena: Athena, sql: str) -> list[list[str | None]]:
    query_id = ask(athena, sql)["QueryExecutionId"]
    rows = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"][1:]
    return sorted([cell.get("VarCharValue") for cell in row["Data"]] for row in rows)
