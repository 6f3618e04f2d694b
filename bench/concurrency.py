"""Eight queries at once against the same eight one after another, beside what bare DuckDB gains from the same.

Two kinds: an hour each (little to read, so that most of it is planning, opening files and writing the result), and a
day each (most of it is unpacking and parsing, which DuckDB already spreads over both cores for one query alone).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from bench.harness import Row, Table, interleaved, versions
from bench.lake import events_lake
from bench.scan import ask, bare_connection, bare_source, open_athena

ROWS = 1_000_000
COUNT = 8
GOAL = 1.5


def one_after_another(actions: Sequence[Callable[[], object]]) -> float:
    """Milliseconds for all of them in turn."""
    started = time.perf_counter()
    for action in actions:
        action()
    return (time.perf_counter() - started) * 1000


def at_once(actions: Sequence[Callable[[], object]]) -> float:
    """Milliseconds until the last of them has ended."""
    with ThreadPoolExecutor(len(actions)) as pool:
        started = time.perf_counter()
        for done in [pool.submit(action) for action in actions]:
            done.result()
        return (time.perf_counter() - started) * 1000


def spin(milliseconds: float = 150) -> Callable[[], object]:
    """Work of DuckDB on one thread that touches no file: what the machine's second core is worth."""
    rows = int(milliseconds * 40_000)
    connection = duckdb.connect(config={"threads": 1})

    def work() -> object:
        return connection.execute(f"SELECT sum(hash(range)) FROM range({rows})").fetchall()

    return work


def eight_queries() -> Table:
    """Ratios of one after another to at once."""
    table = Table(
        "Eight queries at once",
        "",
        goal=f"at least {GOAL} x as fast as one after another on 2 cores",
        versions=versions("duckdb"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = events_lake(folder, rows=ROWS)
        table.question = (
            f"{COUNT} queries over {made.rows:,} events in {sum(map(len, made.files.values())):,} gz objects."
            " Ratio: one after another"
            " / at once, the median of each. Spinning: single-threaded DuckDB work on no file, the gain this"
            " machine's second"
            " core allows at most."
        )
        athena = open_athena(made, folder)
        days = sorted({day for day, _ in made.files})
        kinds = {
            "an hour each": [(days[2], f"{9 + number:02d}") for number in range(COUNT)],
            "a day each": [(days[number % len(days)], None) for number in range(COUNT)],
        }
        gains = {}
        try:
            with bare_connection() as bare:
                spinning = [spin() for _ in range(COUNT)]
                medians = interleaved(
                    {
                        "turn": lambda: one_after_another(spinning),
                        "once": lambda: at_once(spinning),
                    },
                    rounds=3,
                )
                gains["spinning"] = _rows(table, "spinning, bare DuckDB on one thread", medians)
                for kind, parts in kinds.items():
                    ours = [_ours(athena, day, hour) for day, hour in parts]
                    theirs = [_theirs(bare, made.paths(day, hour=hour)) for day, hour in parts]
                    medians = interleaved(
                        {
                            "ours turn": lambda ours=ours: one_after_another(ours),
                            "ours once": lambda ours=ours: at_once(ours),
                            "bare turn": lambda theirs=theirs: one_after_another(theirs),
                            "bare once": lambda theirs=theirs: at_once(theirs),
                        },
                        rounds=5,
                    )
                    bare_part = {"turn": medians["bare turn"], "once": medians["bare once"]}
                    gains[f"{kind}, bare"] = _rows(table, f"{kind}, bare DuckDB", bare_part)
                    our_part = {"turn": medians["ours turn"], "once": medians["ours once"]}
                    gains[kind] = _rows(table, f"{kind}, embedded", our_part)
        finally:
            athena.close()
            made.lake.close()
    table.finding = "; ".join(f"{kind} {gain:.2f} x" for kind, gain in gains.items())
    table.met = all(gains[kind] >= GOAL for kind in kinds)
    return table


def _rows(table: Table, name: str, medians: dict[str, float]) -> float:
    gain = medians["turn"] / medians["once"]
    table.rows += [
        Row(f"{name}, one after another", medians["turn"], "ms"),
        Row(f"{name}, at once", medians["once"], "ms", gain),
    ]
    return gain


def _ours(athena: object, day: str, hour: str | None) -> Callable[[], object]:
    condition = f"dt = '{day}'" + (f" AND hr = '{hour}'" if hour else "")
    sql = f"SELECT servicename, count(*), max(createdtimestamp) FROM events WHERE {condition} GROUP BY servicename"
    return lambda: ask(athena, sql)


def _theirs(bare: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> Callable[[], object]:
    sql = f"SELECT servicename, count(*), max(createdtimestamp) FROM {bare_source(paths)} GROUP BY servicename"
    return lambda: bare.cursor().execute(sql).fetchall()
