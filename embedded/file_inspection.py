"""What the first bytes of a lake file tell: how it is compressed, and how its JSON keys are spelled.

Secor writes gzip objects without any extension, so the content decides where the name is silent; where the name says
`.gz` and the content is something else, the object is foreign. Answers are remembered by path, size and time of
change: a file that stays as it is, is opened once.
"""

from __future__ import annotations

import codecs
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from embedded.lake_files import LakeFile

HEAD_BYTES = 8192
_SAMPLED_LINES = 10
_SMALLEST_GZIP_BYTES = 20
_HIGHEST_RATIO = 1032  # of deflate

COMPRESSION_OF_EXTENSION: Mapping[str, str] = {
    "gz": "gzip",
    "gzip": "gzip",
    "zst": "zstd",
    "zstd": "zstd",
    "bz2": "bzip2",
    "snappy": "snappy",
    "lz4": "lz4",
    "lzo": "lzo",
    "deflate": "deflate",
}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_MARKED = frozenset({"gzip", "zstd", "bzip2", "lz4"})


@dataclass(frozen=True, slots=True)
class Inspection:
    """compression: 'none', 'gzip', 'zstd', 'bzip2' ...; is_foreign: the name promises what the content is not.

    is_doubtful: the end of the gzip data does not look like one: cut short, or of several members.
    spellings: the keys of the first JSON objects that are not plain lower-case names.
    """

    compression: str
    is_empty: bool = False
    is_foreign: bool = False
    is_doubtful: bool = False
    spellings: frozenset[str] = frozenset()


class FileInspector:
    """Remembers the inspections of the last `capacity` files."""

    def __init__(self, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[str, int, float], Inspection] = OrderedDict()
        self._lock = threading.Lock()

    def inspect(self, file: LakeFile) -> Inspection:
        """Raises FileNotFoundError when the object was deleted meanwhile."""
        key = (file.path, file.size_bytes, file.modified_at.timestamp())
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = _inspect(file)
        with self._lock:
            self._known[key] = found
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return found


def _inspect(file: LakeFile) -> Inspection:
    if file.size_bytes == 0:
        return Inspection("none", is_empty=True)
    with Path(file.path).open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        is_doubtful = head.startswith(b"\x1f\x8b") and _ends_oddly(stream, file.size_bytes)
    extension = file.uri.rsplit("/", 1)[-1].rpartition(".")[2].lower()
    by_name = COMPRESSION_OF_EXTENSION.get(extension)
    by_content = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    # Raw snappy blocks (Hadoop's codec) have no magic number; the other formats have.
    if by_name is not None and by_name in _MARKED and by_content != by_name:
        return Inspection(by_name, is_foreign=True)
    compression = by_name or by_content or "none"
    spellings = _spellings(_plain_head(head, compression))
    return Inspection(compression, is_doubtful=is_doubtful and compression == "gzip", spellings=spellings)


def _ends_oddly(stream: BinaryIO, size_bytes: int) -> bool:
    """Whether the last four bytes can't be the length of what this much gzip data unpacks to (RFC 1952, ISIZE).

    DuckDB does not notice gzip data that is cut where a row ends; a length made of compressed data gives it away.
    """
    if size_bytes < _SMALLEST_GZIP_BYTES:
        return True
    stream.seek(-4, os.SEEK_END)
    plain_bytes = int.from_bytes(stream.read(4), "little")
    return size_bytes < 1 << 31 and not size_bytes * 0.9 - 64 <= plain_bytes <= size_bytes * _HIGHEST_RATIO


def _plain_head(head: bytes, compression: str) -> bytes:
    if compression == "none":
        return head
    if compression != "gzip":
        return b""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES * 4)
    except zlib.error:
        return b""


def _spellings(head: bytes) -> frozenset[str]:
    found: set[str] = set()
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n", _SAMPLED_LINES)
    for line in lines[:-1] if len(lines) > 1 else lines:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.update(key for key in value if not key.islower() or "." in key)
    return frozenset(found)
