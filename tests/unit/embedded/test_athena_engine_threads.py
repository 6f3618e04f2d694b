"""Threads of the engine: Python functions are shared by all queries and outlive the one that first needed them; whoever
answers requests goes first.
"""

from __future__ import annotations

import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from embedded.athena_engine import DuckEngine, Run, Slots
from embedded.sql.translation import text_query, translate
from tests.sql_executor import EmptyCatalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUERIES = {
    "SELECT reverse('abc')": "cba",
    "SELECT regexp_replace('1a', '[a-z]', 'x')": "1x",
    "SELECT word_stem('running')": "run",
    "SELECT to_base(255, 16)": "ff",
    "SELECT levenshtein_distance('kitten', 'sitting')": "3",
}


@pytest.fixture
def engine(tmp_path: Path) -> DuckEngine:
    return DuckEngine(readable_folders=[tmp_path], temporary_folder=tmp_path / "temporary", memory_limit="500MB")


def answer(engine: DuckEngine, sql: str) -> str:
    translation = translate(sql, EmptyCatalogue(), database="default", now=NOW)
    cursor: duckdb.DuckDBPyConnection = engine.cursor()
    try:
        engine.prepare(translation)
        row = cursor.execute(text_query(translation)).fetchone()
    finally:
        cursor.close()
    assert row is not None
    return str(row[0])


def test_a_function_outlives_the_query_that_first_needed_it(engine: DuckEngine) -> None:
    for sql, expected in [*QUERIES.items(), *QUERIES.items()]:
        assert answer(engine, sql) == expected


def test_queries_beside_each_other_share_functions(engine: DuckEngine) -> None:
    wrong: list[tuple[str, str]] = []

    def work() -> None:
        for _ in range(5):
            for sql, expected in QUERIES.items():
                found = answer(engine, sql)
                if found != expected:
                    wrong.append((sql, found))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_decimals_keep_their_digits_in_every_thread(engine: DuckEngine) -> None:
    """Python's own decimal context, with which every thread starts, keeps 28 digits."""
    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.append(answer(engine, "SELECT parse_data_size('69175290276410818560EB')"))
    )
    thread.start()
    thread.join()
    found.append(answer(engine, "SELECT format('%.2f', DECIMAL '123456789012345678901234567890123456.75')"))
    assert found == ["79753679747094952374228423616820674560", "123456789012345678901234567890123456.75"]


def test_a_stop_that_comes_before_the_query_begins_still_ends_it(engine: DuckEngine) -> None:
    run = Run("execution")
    cursor = engine.cursor()
    run.use(cursor)
    run.stop()  # DuckDB has nothing to interrupt yet
    with pytest.raises(duckdb.InterruptException):
        cursor.execute("SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c")
    run.release()
    cursor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of a single thread is Linux's")
def test_queries_give_way_to_the_threads_that_answer_requests(engine: DuckEngine) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    if own >= 19:
        pytest.skip("nothing is nicer than this process")
    seen: list[int] = []

    def task(run: Run) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    slots = Slots(1)
    slots.submit(Run("e1"), task)
    slots.close()
    others = [os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in Path("/proc/self/task").iterdir()]
    assert seen[0] > own
    assert any(niceness > own for niceness in others)  # DuckDB's own threads
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
