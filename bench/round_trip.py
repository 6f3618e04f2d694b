"""A small query through the whole service over HTTP: where its milliseconds go.

submit with wait_seconds, then the first page: the two calls of a short query, beside the same query asked of the
embedded Athena directly and of bare DuckDB.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import orjson

from bench.harness import Row, Table, data_hist, interleaved, timed, versions
from bench.http import port_of
from bench.lake import events_lake
from bench.scan import QUESTIONS, ask, bare_source, open_athena
from bench.wire import Wire, post

ROWS = 400_000


def small_query() -> Table:
    """Milliseconds of SELECT 1 and of an hour's count, start to first page."""
    table = Table(
        "A small query over HTTP, start to rows",
        "submit with wait_seconds and the first page, one raw keep-alive connection; beside the embedded Athena"
        " asked in process and"
        " bare DuckDB. Ratio: over the embedded Athena.",
        versions=versions("connexion", "duckdb"),
    )
    hour = QUESTIONS[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = events_lake(folder, rows=ROWS)
        athena = open_athena(made, folder / "bench")
        paths = made.paths(*hour.days, hour=hour.hour)
        try:
            with data_hist(folder) as (base, _), Wire(port_of(base)) as wire, duckdb.connect() as bare:
                for what, sql, bare_sql in (
                    ("SELECT 1", "SELECT 1 AS one", "SELECT 1 AS one"),
                    ("an hour's count", hour.athena_sql, hour.duckdb_sql.format(files=bare_source(paths))),
                ):
                    submit: list[float] = []
                    page: list[float] = []
                    medians = interleaved(
                        {
                            "bare DuckDB": timed(lambda sql=bare_sql: bare.execute(sql).fetchall(), repeat=5),
                            "embedded Athena": timed(lambda sql=sql: ask(athena, sql), repeat=5),
                            "service": _service(wire, sql, submit, page),
                            "service, result reused": _service(wire, sql, [], [], reuse=True),
                        },
                        rounds=9,
                    )
                    over = medians["service"] - medians["embedded Athena"]
                    for candidate, value in medians.items():
                        note = ""
                        if candidate == "service":
                            note = f"submit {_middle(submit):.1f} ms, first page {_middle(page):.1f} ms"
                        ratio = value / medians["embedded Athena"]
                        table.rows.append(Row(f"{what}: {candidate}", value, "ms", ratio, note))
                    table.finding += f"{'; ' if table.finding else ''}{what} {medians['service']:.1f} ms ({over:+.1f})"
        finally:
            athena.close()
            made.lake.close()
    return table


def _service(
    wire: Wire, sql: str, submits: list[float], pages: list[float], *, reuse: bool = False
) -> Callable[[], float]:
    request = post("/v0/data_hist/query", {"query": sql, "retention_minutes": 5, "wait_seconds": 20, "reuse": reuse})

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(5):
            begun = time.perf_counter()
            answer = orjson.loads(wire.ask(request))
            submitted = time.perf_counter()
            if answer["status"] != "FINISHED":
                raise RuntimeError(answer)
            wire.ask(post("/v0/data_hist/next", {"query_id": answer["query_id"], "results_per_page": 1000}))
            submits.append((submitted - begun) * 1000)
            pages.append((time.perf_counter() - submitted) * 1000)
        return (time.perf_counter() - started) * 1000 / 5

    return measure


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
