"""Whole results as a stream of bytes, with flat memory whatever their size.

    csv      Athena's own result object, byte for byte: every value quoted, null nothing, '' `""`, names as the SQL
    gave them ndjson   the rows of the spool: the same objects as on the pages, one a line
    parquet  typed columns (docs/value-encoding.md), row groups of some 8 MiB
    arrow    the same as an Arrow IPC stream

A download may begin while the spool is still being written: ndjson then follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from service.engine import ByteStream
from service.model import OutputColumn
from service.result_csv import read_batches
from service.spool import ROW_END, RowReader
from service.transcoding import Transcoder

CHUNK_BYTES = 2**20
_ROWS_PER_CHUNK = 5000
_ROW_GROUP_BYTES = 8 * 2**20


def csv_chunks(open_stream: Callable[[], ByteStream]) -> Iterator[bytes]:
    """The result object's bytes."""
    with closing(open_stream()) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def ndjson_chunks(
    reader_of_spool: Callable[[], RowReader],
    *,
    wait_seconds: float = 0.05,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """The spool's rows, one JSON object a line; waits for rows that are still being written.

    `reader_of_spool` is asked again while the spool grows: one that had to be written again has other files.
    """
    row = 0
    while True:
        reader = reader_of_spool()
        is_complete = reader.is_complete
        rows = reader.read(row, _ROWS_PER_CHUNK)
        if rows.row_count:
            row += rows.row_count
            # a JSON text holds no newline of its own, so a comma before a newline is always the end of a row
            yield bytes(rows.rows).replace(ROW_END, b"\n")
        elif is_complete:
            return
        else:
            sleep(wait_seconds)


def parquet_chunks(
    open_stream: Callable[[], ByteStream], columns: Sequence[OutputColumn], json_columns: frozenset[int]
) -> Iterator[bytes]:
    """The result as a Parquet file (zstd)."""

    def writer(sink: _Sink, schema: pa.Schema) -> Any:
        return pa.parquet.ParquetWriter(sink, schema, compression="zstd")

    # a row group costs metadata and a dictionary per column: larger ones make the file half the size
    return _typed_chunks(open_stream, columns, json_columns, writer, group_bytes=_ROW_GROUP_BYTES)


def arrow_chunks(
    open_stream: Callable[[], ByteStream], columns: Sequence[OutputColumn], json_columns: frozenset[int]
) -> Iterator[bytes]:
    """The result as an Arrow IPC stream."""

    def writer(sink: _Sink, schema: pa.Schema) -> Any:
        return pa.ipc.new_stream(sink, schema)

    return _typed_chunks(open_stream, columns, json_columns, writer, group_bytes=0)


def _typed_chunks(
    open_stream: Callable[[], ByteStream],
    columns: Sequence[OutputColumn],
    json_columns: frozenset[int],
    new_writer: Callable[[_Sink, pa.Schema], Any],
    *,
    group_bytes: int,
) -> Iterator[bytes]:
    with closing(Transcoder(columns, json_columns)) as transcoder:
        sink = _Sink()
        names = [f"c{index}" for index in range(len(columns))]
        nothing = pa.RecordBatch.from_arrays([pa.array([], pa.string())] * len(columns), names=names)
        schema = transcoder.typed(nothing).schema
        writer = new_writer(sink, schema)
        try:
            # the evaluator's arrays are far larger than what they hold: copied tight, before they add up
            tables = (
                transcoder.typed(batch).cast(schema).combine_chunks()
                for batch in read_batches(open_stream, len(columns))
            )
            for table in _grouped(tables, group_bytes):
                writer.write_table(table)
                yield sink.drain()
        finally:
            writer.close()
        yield sink.drain()


def _grouped(tables: Iterator[pa.Table], group_bytes: int) -> Iterator[pa.Table]:
    """The tables, put together until there are `group_bytes` of them."""
    parts: list[pa.Table] = []
    size_bytes = 0
    for table in tables:
        parts.append(table)
        size_bytes += table.nbytes
        if size_bytes >= group_bytes:
            yield pa.concat_tables(parts)
            parts, size_bytes = [], 0
    if parts:
        yield pa.concat_tables(parts)


class _Sink:
    """A file to write to, whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def drain(self) -> bytes:
        drained = b"".join(self._parts)
        self._parts.clear()
        return drained

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
