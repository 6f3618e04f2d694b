"""A result object's lines as Athena writes them, for engines and results that come in rows and not as an object.

"id","name"          header: every label quoted
"1",""               every value quoted, its quotes doubled; '' is `""`
"2",                 null is nothing between the commas
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def csv_line(values: Sequence[str | None]) -> bytes:
    """One row (or the header) with its newline, in UTF-8."""
    cells = ["" if value is None else '"' + value.replace('"', '""') + '"' for value in values]
    return (",".join(cells) + "\n").encode("utf-8", "replace")  # half a surrogate pair is no character


class ByteChunks:
    """An iterator of byte strings as a stream to read (service.engine.ByteStream). Memory: one chunk."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; all that are left for a negative size; b"" at the end."""
        if size < 0:
            data, self._rest = b"".join([self._rest, *self._chunks]), b""
            return data
        while not self._rest and size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Ends the iterator; reading afterwards gives nothing."""
        self._chunks, self._rest = iter(()), b""
