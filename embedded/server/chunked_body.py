"""Bodies in the content encoding `aws-chunked`: pieces with their length in front, signatures and trailing headers.

    <length in hex>[;chunk-signature=..]\\r\\n <bytes> \\r\\n   ...   0[;..]\\r\\n [<name>:<value>\\r\\n ...] \\r\\n

SDKs send it when they add a checksum to a stream or sign piece by piece (S3 user guide, "Signature calculations:
transferring payload in multiple chunks"). Signatures are not checked; trailing checksums are, by S3.
"""

from __future__ import annotations

from typing import IO

_LINE_LIMIT_BYTES = 8192


class MalformedChunkError(ValueError):
    """Bytes that are not in the encoding."""


class ChunkedBody:
    """A readable stream of the decoded bytes; `trailers` (names in lower case) are known once it is exhausted."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._left = 0
        self._is_done = False
        self.trailers: dict[str, str] = {}

    def read(self, amount: int = -1) -> bytes:
        """At most `amount` bytes; all that is left when negative; none at the end. Raises MalformedChunkError."""
        pieces: list[bytes] = []
        wanted = amount
        while not self._is_done and wanted != 0:
            if self._left == 0 and not self._next_piece():
                break
            piece = self._raw.read(self._left if wanted < 0 else min(self._left, wanted))
            if not piece:
                raise MalformedChunkError("The body ends inside a chunk")
            pieces.append(piece)
            self._left -= len(piece)
            if wanted > 0:
                wanted -= len(piece)
            if self._left == 0 and self._line():
                raise MalformedChunkError("A chunk is longer than it says")
        return b"".join(pieces)

    def _next_piece(self) -> bool:
        size = self._line().partition(b";")[0].strip()
        try:
            self._left = int(size, 16)
        except ValueError:
            raise MalformedChunkError("A chunk has no length") from None
        if self._left < 0:
            raise MalformedChunkError("A chunk has a negative length")
        if self._left == 0:
            self._is_done = True
            self._read_trailers()
        return not self._is_done

    def _read_trailers(self) -> None:
        while line := self._line():
            name, _, value = line.partition(b":")
            self.trailers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")

    def _line(self) -> bytes:
        return self._raw.readline(_LINE_LIMIT_BYTES).rstrip(b"\r\n")
