"""Athena's result CSV as batches of text columns: null (nothing between commas) never confused with '' (`""`).

Reads any stream of bytes from front to back with flat memory: one block (1 MiB) at a time, whatever the size of the
result. Newlines, commas, quotes and carriage returns inside quoted values are data. A blank line of a one-column
result is a null.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing

import pyarrow as pa
import pyarrow.csv

from service.engine import ByteStream

BLOCK_BYTES = 2**20
LARGEST_BLOCK_BYTES = 256 * 2**20
"""A row must fit in a block; Athena's own limit of a row is 32 MB, and text in CSV can double it."""


class ResultUnreadable(Exception):
    """The result object is not the CSV that its columns promise."""


def read_batches(open_stream: Callable[[], ByteStream], column_count: int) -> Iterator[pa.RecordBatch]:
    """The rows after the header as batches of `column_count` text columns named c0, c1, ...; nothing for no rows.

    `open_stream` is called again, from the front, when a row turns out to be larger than the block. Raises
    ResultUnreadable.
    """
    block_bytes = BLOCK_BYTES
    rows_given = 0
    while True:
        try:
            for batch in _batches(open_stream, column_count, block_bytes, skip_rows=rows_given):
                rows_given += batch.num_rows
                yield batch
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block_bytes >= LARGEST_BLOCK_BYTES:
                raise ResultUnreadable(f"the result object is not a CSV of {column_count} columns: {error}") from error
            block_bytes = min(block_bytes * 8, LARGEST_BLOCK_BYTES)


def _batches(
    open_stream: Callable[[], ByteStream], column_count: int, block_bytes: int, *, skip_rows: int
) -> Iterator[pa.RecordBatch]:
    names = [f"c{index}" for index in range(column_count)]
    with closing(_Rows(open_stream())) as stream:
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=pa.csv.ReadOptions(
                    block_size=block_bytes,
                    column_names=names,
                    # reads are Python calls under the interpreter lock: a second thread would not make them faster
                    use_threads=False,
                ),
                parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return
            raise
        for batch in reader:
            if skip_rows >= batch.num_rows:
                skip_rows -= batch.num_rows
                continue
            if batch.num_rows:
                yield batch.slice(skip_rows)
            skip_rows = 0


class _Rows(io.RawIOBase):
    """The stream without its header row (whose names may hold anything), and with a newline after its last row.

    Raises ResultUnreadable when it ends inside quotes: half a value is not the whole one.
    """

    def __init__(self, stream: ByteStream) -> None:
        super().__init__()
        self._stream = stream
        self._kept = b""
        self._last = b"\n"
        self._is_quoted = False
        self._is_header_skipped = False
        self._is_ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._is_header_skipped:
            self._is_header_skipped = True
            self._kept = _after_header(self._stream)
        if self._kept:
            data, self._kept = (self._kept, b"") if size < 0 else (self._kept[:size], self._kept[size:])
        else:
            data = b"" if self._is_ended else self._stream.read(size)
        if data:
            self._last = data[-1:]
            self._is_quoted ^= data.count(b'"') % 2 == 1
            return data
        if self._is_quoted:
            raise ResultUnreadable("the result object ends in the middle of a value")
        is_first_end, self._is_ended = not self._is_ended, True
        # the reader takes a last row without a newline for one that goes on
        return b"\n" if is_first_end and self._last != b"\n" else b""

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _after_header(stream: ByteStream) -> bytes:
    """Reads past the header row, which ends at the first newline outside quotes; the bytes read beyond it."""
    is_quoted = False
    while chunk := stream.read(2**16):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            is_quoted ^= chunk.count(b'"', start, end) % 2 == 1
            if not is_quoted:
                return chunk[end + 1 :]
            start = end + 1
        is_quoted ^= chunk.count(b'"', start) % 2 == 1
    return b""
