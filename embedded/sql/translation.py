"""Athena (Trino) SQL -> DuckDB SQL: the public face of embedded.sql.

    translation = translate(sql, catalogue, database="data_hist", now=clock())
    install(connection)                # once per DuckDB instance
    prepare(connection, translation)   # before each run: registers the Python functions this query needs
    connection.execute(text_query(translation))   # rows of Athena's VarCharValue texts

Raises TrinoError with Trino's name, message, line and column. Errors of the running query go through
`runtime_errors.trino_error`.
"""

# ruff: noqa: S608  (writing SQL is the job, user text enters as quoted literals; asserts narrow types)

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from embedded.sql.catalogue import Catalogue, Column, Relation, TableScan, Translation
from embedded.sql.errors import TrinoError
from embedded.sql.text import text_expression

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "Catalogue",
    "Column",
    "Relation",
    "TableScan",
    "Translation",
    "TrinoError",
    "describe",
    "install",
    "prepare",
    "text_expression",
    "text_query",
    "translate",
]

#: Athena's limit on a query string, in bytes.
MAXIMUM_QUERY_BYTES = 262_144

# A level of SQL nesting takes about ten Python frames, which do not use the C stack; the parser bounds the levels.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 6000))


def translate(
    sql: str, catalogue: Catalogue, *, database: str, now: datetime, parameters: Sequence[str] = ()
) -> Translation:
    """Translates one query. `parameters`: SQL literals for `?`, in order. Raises TrinoError."""
    from embedded.sql.analysis import Analyser
    from embedded.sql.parser import parse_expression, parse_query

    if len(sql.encode()) > MAXIMUM_QUERY_BYTES:
        raise TrinoError("SYNTAX_ERROR", f"Query text length exceeds the maximum length ({MAXIMUM_QUERY_BYTES})")
    try:
        query = parse_query(sql)
        values = [parse_expression(parameter) for parameter in parameters]
        return Analyser(sql, catalogue, database=database, now=now, parameters=values).translation(query)
    except RecursionError:
        raise TrinoError(
            "SYNTAX_ERROR", "statement is too large (stack overflow while parsing)", line=1, column=1
        ) from None


def describe(sql: str, catalogue: Catalogue, *, database: str) -> tuple[Column, ...]:
    """The output columns of a query, with their full types. Raises TrinoError."""
    return translate(sql, catalogue, database=database, now=datetime(2000, 1, 1, tzinfo=UTC)).columns


def text_query(translation: Translation) -> str:
    """The translation's SQL with every column as Athena's text (NULL stays NULL)."""
    columns = ", ".join(
        f"{text_expression(f'c{i}', column.type)} AS c{i}" for i, column in enumerate(translation.columns)
    )
    return f"SELECT {columns} FROM ({translation.sql})"


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Settings, macros and Python functions, once per DuckDB instance (cursors of it see them)."""
    from embedded.sql import row_patterns  # noqa: F401  (its macros)
    from embedded.sql.functions import registry

    connection.execute("SET TimeZone = 'UTC'")
    registry.install(connection)


def prepare(connection: duckdb.DuckDBPyConnection, translation: Translation) -> None:
    """Registers the Python functions a translation needs and this DuckDB instance does not have yet.

    `connection` must live as long as the instance: a function dies with the connection that registered it, also for
    the cursors that call it. Not for several threads at once.
    """
    if translation.functions:
        from embedded.sql.functions import registry

        registry.prepare(connection, translation.functions)
