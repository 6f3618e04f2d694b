"""Batches of result text turned into JSON rows (for the spool) or typed columns (for parquet and arrow), by DuckDB.

DuckDB is used as an expression evaluator over one Arrow batch at a time: nothing is stored in it, it may not touch
files, and a batch bounds the memory. The expressions are service.encoding's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

import duckdb
import numpy
import orjson
import pyarrow as pa

from service.encoding import json_expression, prepared_column, typed_expression
from service.model import OutputColumn

_LOCK = Lock()


class Transcoder:
    """Transcodes the batches of one result. Not for use by two threads at once.

    `columns` have unique names; `json_columns` are the indices of those whose text is JSON.
    """

    def __init__(self, columns: Sequence[OutputColumn], json_columns: frozenset[int] = frozenset()) -> None:
        self._columns = tuple(columns)
        self._json_columns = json_columns
        with _LOCK:
            self._connection = _instance().cursor()
        self._json_sql = _json_sql(self._columns, json_columns)
        self._typed_sql = _typed_sql(self._columns, json_columns)

    def json_rows(self, batch: pa.RecordBatch) -> list[tuple[memoryview, numpy.ndarray[Any, Any]]]:
        """The batch as JSON objects, each followed by `,` and a newline: pieces of (bytes, end offset of each row in
        them).
        """
        pieces = []
        for chunk in self._evaluated(batch, self._json_sql).column(0).chunks:
            _, offset_buffer, data_buffer = chunk.buffers()
            wide = pa.types.is_large_string(chunk.type)
            offsets = numpy.frombuffer(offset_buffer, dtype=numpy.int64 if wide else numpy.int32)
            offsets = offsets[chunk.offset : chunk.offset + len(chunk) + 1].astype(numpy.uint64)
            rows = memoryview(data_buffer)[int(offsets[0]) : int(offsets[-1])]
            pieces.append((rows, offsets[1:] - offsets[0]))
        return pieces

    def typed(self, batch: pa.RecordBatch) -> pa.Table:
        """The batch as a table with the columns' names and types."""
        table = self._evaluated(batch, self._typed_sql)
        return table.rename_columns([column.name for column in self._columns])

    def close(self) -> None:
        """Releases the connection."""
        self._connection.close()

    def _evaluated(self, batch: pa.RecordBatch, sql: str) -> pa.Table:
        arrays = [
            prepared_column(array, column, is_json=index in self._json_columns)
            for index, (array, column) in enumerate(zip(batch.columns, self._columns, strict=True))
        ]
        self._connection.register("batch", pa.Table.from_arrays(arrays, names=batch.schema.names))
        try:
            return self._connection.execute(sql).to_arrow_table()
        finally:
            self._connection.unregister("batch")


@lru_cache(maxsize=1)
def _instance() -> duckdb.DuckDBPyConnection:
    # one thread: a batch is one task, and the queries' own engine needs the processors
    connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "512MB"})
    connection.execute("SET TimeZone = 'UTC'")
    # there is one table and one projection: nothing to optimize, and planning is most of the time of a small result
    connection.execute("PRAGMA disable_optimizer")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _json_sql(columns: Sequence[OutputColumn], json_columns: frozenset[int]) -> str:
    parts = []
    for index, column in enumerate(columns):
        key = orjson.dumps(column.name).decode()
        parts.append(_text(("," if index else "{") + key + ":"))
        expression = json_expression(f"c{index}", column.type, is_json=index in json_columns)
        parts.append(f"CASE WHEN c{index} IS NULL THEN 'null' ELSE {expression} END")
    return f"SELECT concat({', '.join(parts)}, '}},' || chr(10)) FROM batch"  # noqa: S608 - made of our expressions and escaped names


def _typed_sql(columns: Sequence[OutputColumn], json_columns: frozenset[int]) -> str:
    parts = []
    for index, column in enumerate(columns):
        parts.append(typed_expression(f"c{index}", column.type, is_json=index in json_columns))
    return f"SELECT {', '.join(parts)} FROM batch"  # noqa: S608 - made of our expressions and escaped names
