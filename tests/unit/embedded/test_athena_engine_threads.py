"""Python functions are shared by all queries of an instance and outlive the query that first needed them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from embedded.athena_engine import DuckEngine, Run
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
