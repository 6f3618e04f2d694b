"""Runs one Trino query in process, for the score tool and the corpus tests.

PYTHONPATH=. .venv/bin/python ../shared/tools/score_trino_cases.py --executor tests.sql_executor:execute
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import duckdb

from embedded.sql.catalogue import Column
from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type
from embedded.sql.runtime_errors import trino_error
from embedded.sql.translation import install, prepare, text_query, translate

NOW = datetime(2022, 10, 5, 12, 34, 56, 789000, tzinfo=UTC)
_SECONDS_PER_QUERY = 10.0
_local = threading.local()


class EmptyCatalogue:
    def columns(self, catalog: str | None, database: str | None, table: str) -> tuple[Column, ...] | None:
        return None

    def database_exists(self, database: str) -> bool:
        return database == "default"


def connection() -> duckdb.DuckDBPyConnection:
    found: duckdb.DuckDBPyConnection | None = getattr(_local, "connection", None)
    if found is None:
        found = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "2GB"})
        install(found)
        _local.connection = found
    return found


def execute(sql: str, parameters: tuple[str, ...] = ()) -> tuple[list[str], list[list[str | None]]]:
    """Column types and rows of Athena texts. Raises TrinoError."""
    translation = translate(sql, EmptyCatalogue(), database="default", now=NOW, parameters=parameters)
    database = connection()
    prepare(database, translation)
    timer = threading.Timer(_SECONDS_PER_QUERY, database.interrupt)
    timer.start()
    try:
        check_physical_types(database, translation)
        rows = [list(row) for row in database.execute(text_query(translation)).fetchall()]
    except duckdb.Error as error:
        raise trino_error(error) from error
    finally:
        timer.cancel()
    return [str(column.type) for column in translation.columns], rows


def check_physical_types(database, translation) -> None:
    """The emitted SQL has exactly the DuckDB types that the Trino types promise; anything else is our bug."""
    found = database.execute(f"DESCRIBE {translation.sql}").fetchall()
    for row, column in zip(found, translation.columns, strict=True):
        promised = database.execute(f"SELECT CAST(NULL AS {physical_type(column.type)})").description[0][1]
        if str(promised) != row[1] and row[1] != '"NULL"':
            raise TrinoError(
                "GENERIC_INTERNAL_ERROR", f"column {column.name} is {row[1]}, not {promised}: {translation.sql}"
            )
