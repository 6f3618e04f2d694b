"""The result spool: a result's rows as the contract's JSON, beside an index of byte offsets, so that any page is a
slice.

    spool/<first two characters>/<query_id>/rows      one JSON object a row, each followed by `,` and a newline
                                            index     the end offset of each row in `rows`, uint64 little-endian
                                            complete  {"row_count", "size_bytes"}: written last, by rename
                                            lock      held by the process that writes
                                            expires   when the result ends, in us since 1970: it may go without
                                                      anybody asking the execution store

A row is in `rows` before its entry is in `index`, so what the index tells can be read while the rest is still being
written: the first page is ready before the spool is complete. A spool without `complete` whose writer died is written
again from the front; rows are the same each time, so paging tokens keep their meaning.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy
import orjson

ROW_END = b",\n"
OFFSET = struct.Struct("<Q")
_OPEN_READERS = 64
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
ROOM_BYTES = 256 * 2**20
"""How much room is made when a spool finds the disk full."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SpoolBusy(Exception):
    """Another thread or process is writing this spool."""


class SpoolFull(Exception):
    """The disk has no room for the spool; what there was of it is deleted."""


@dataclass(frozen=True)
class RowSlice:
    """Consecutive rows as they lie in the spool: `rows` are JSON objects, each followed by a comma and a newline."""

    rows: bytes | bytearray
    row_count: int
    end_offset: int


class RowReader(Protocol):
    """What pages and downloads need of a spool, wherever it lies."""

    page_head: tuple[object, bytes] | None

    @property
    def is_complete(self) -> bool:
        """True when every row of the result is there."""
        ...

    @property
    def row_count(self) -> int:
        """How many rows can be read now."""
        ...

    def end_offset(self, row: int, *, is_waiting_allowed: bool = True) -> int:
        """The byte offset where the first `row` rows end; 0 for none."""
        ...

    def read(
        self, first_row: int, row_limit: int, first_offset: int | None = None, *, is_waiting_allowed: bool = True
    ) -> RowSlice:
        """At most `row_limit` rows from `first_row` (from 0) on; `first_offset` spares a look into the index."""
        ...


class SpoolReader:
    """Reads one spool, complete or growing. Safe from many threads: every read says where it reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = self._index = -1
        self._rows = os.open(folder / "rows", os.O_RDONLY)
        self._index = os.open(folder / "index", os.O_RDONLY)
        self._complete: tuple[int, int] | None = None
        self.page_head: tuple[object, bytes] | None = None

    @property
    def is_complete(self) -> bool:
        """True when every row of the result is there."""
        if self._complete is None:
            try:
                marker = orjson.loads((self._folder / "complete").read_bytes())
            except FileNotFoundError:
                return False
            sizes = (os.fstat(self._rows).st_size, os.fstat(self._index).st_size)
            if sizes != (marker["size_bytes"], marker["row_count"] * OFFSET.size):
                # a machine that lost power can keep the marker and lose bytes: then it is to be written again
                return False
            self._complete = (marker["row_count"], marker["size_bytes"])
        return True

    @property
    def row_count(self) -> int:
        """How many rows can be read now; all of them when `is_complete`."""
        if self._complete is not None:
            return self._complete[0]
        return os.fstat(self._index).st_size // OFFSET.size

    @property
    def size_bytes(self) -> int:
        """The bytes of the rows that can be read now."""
        if self._complete is not None:
            return self._complete[1]
        return self.end_offset(self.row_count)

    def end_offset(self, row: int, *, is_waiting_allowed: bool = True) -> int:
        """The byte offset where the first `row` rows end; 0 for none."""
        if row == 0:
            return 0
        read = _read if is_waiting_allowed else _read_in_memory
        offset: int = OFFSET.unpack(read(self._index, OFFSET.size, (row - 1) * OFFSET.size))[0]
        return offset

    def read(
        self, first_row: int, row_limit: int, first_offset: int | None = None, *, is_waiting_allowed: bool = True
    ) -> RowSlice:
        """At most `row_limit` rows from `first_row` (from 0) on; `first_offset` spares a look into the index.

        Without `is_waiting_allowed` it raises OSError instead of waiting for a disk.
        """
        row_count = max(0, min(row_limit, self.row_count - first_row))
        if row_count == 0:
            return RowSlice(b"", 0, first_offset or 0)
        start = first_offset
        if start is None:
            start = self.end_offset(first_row, is_waiting_allowed=is_waiting_allowed)
        end = self.end_offset(first_row + row_count, is_waiting_allowed=is_waiting_allowed)
        read = _read if is_waiting_allowed else _read_in_memory
        return RowSlice(read(self._rows, end - start, start), row_count, end)

    def chunks(self, chunk_bytes: int = 2**20) -> Iterator[bytes]:
        """The rows of a complete spool from front to back; a chunk ends anywhere."""
        offset = 0
        while chunk := os.pread(self._rows, chunk_bytes, offset):
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Closes the files; reading afterwards is an error."""
        for descriptor in (self._rows, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._rows = self._index = -1

    # readers are shared between threads: the files close when the last one lets go
    __del__ = close


class SpoolWriter:
    """Writes one spool from front to back; `complete` makes it whole. Made by Spools.writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = (folder / "rows").open("wb", buffering=0)
        self._index = (folder / "index").open("wb", buffering=0)
        self.row_count = 0
        self.size_bytes = 0

    def append(self, rows: memoryview, end_offsets: numpy.ndarray[Any, Any]) -> None:
        """Adds rows; `end_offsets` are their ends in `rows`, counted from its start."""
        _write_all(self._rows.fileno(), rows)
        _write_all(self._index.fileno(), memoryview((end_offsets.astype("<u8") + self.size_bytes).tobytes()))
        self.size_bytes += rows.nbytes
        self.row_count += len(end_offsets)

    def complete(self) -> None:
        """Declares the spool whole."""
        draft = self._folder / "complete.draft"
        draft.write_bytes(orjson.dumps({"row_count": self.row_count, "size_bytes": self.size_bytes}))
        draft.replace(self._folder / "complete")

    def close(self) -> None:
        """Closes the files."""
        self._rows.close()
        self._index.close()


class Spools:
    """All result spools of one data directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._readers: OrderedDict[str, SpoolReader] = OrderedDict()

    def folder(self, query_id: str) -> Path:
        """Where a query's spool lies; `query_id` must be one that the execution store knows."""
        return self._root / query_id[:2] / query_id

    @contextmanager
    def writer(self, query_id: str) -> Iterator[SpoolWriter]:
        """The writer of a new spool, in place of whatever was there.

        Raises SpoolBusy when somebody else is writing it, SpoolFull when the disk is full: room is made by then where
        older spools can go, so trying again may help.
        """
        folder = self.folder(query_id)
        try:
            with self._written(query_id, folder) as writer:
                yield writer
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            self.delete(query_id)
            self.make_room()
            raise SpoolFull(os.strerror(error.errno or 0)) from error

    @contextmanager
    def _written(self, query_id: str, folder: Path) -> Iterator[SpoolWriter]:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SpoolBusy(query_id) from None
            for name in ("complete", "expires", "index", "rows"):
                (folder / name).unlink(missing_ok=True)
            self._drop_reader(query_id)
            writer = SpoolWriter(folder)
            try:
                yield writer
            finally:
                writer.close()
        finally:
            os.close(lock)

    def reader(self, query_id: str) -> SpoolReader | None:
        """The reader of a query's spool; None when there is nothing to read yet (or no more)."""
        with self._lock:
            reader = self._readers.get(query_id)
            if reader is not None:
                self._readers.move_to_end(query_id)
                return reader
        try:
            reader = SpoolReader(self.folder(query_id))
        except FileNotFoundError:
            return None
        if not reader.is_complete:
            return reader  # not kept: a spool that is written again has other files
        with self._lock:
            kept = self._readers.setdefault(query_id, reader)
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)
        return kept

    def open_reader(self, query_id: str) -> SpoolReader | None:
        """The reader of a complete spool that is open already; None otherwise. Touches no file."""
        return self._readers.get(query_id)

    def is_complete(self, query_id: str) -> bool:
        """True when the whole result lies in its spool."""
        reader = self.reader(query_id)
        return reader is not None and reader.is_complete

    def link(self, source_id: str, query_id: str) -> bool:
        """Gives another query the same rows, which then lie on the disk once and go with the last of them; False where
        the source is not whole here, or cannot be linked.
        """
        if not self.is_complete(source_id):
            return False
        source, folder = self.folder(source_id), self.folder(query_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("rows", "index", "complete"):  # in this order: the last says that the others are there
                with suppress(FileExistsError):
                    os.link(source / name, folder / name)
        except OSError:
            return False  # it is written anew when somebody asks for a page
        return self.is_complete(query_id)

    def delete(self, query_id: str) -> None:
        """Removes a spool; what is gone already is no error."""
        self._drop_reader(query_id)
        folder = self.folder(query_id)
        (folder / "complete").unlink(missing_ok=True)  # first: half a spool must never pass for a whole one
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def expire_at(self, query_id: str, expires_at: datetime) -> None:
        """Remembers beside a spool when its result ends. Without a spool, or room on the disk, it does nothing."""
        with suppress(OSError):
            (self.folder(query_id) / "expires").write_text(str((expires_at - _EPOCH) // _MICROSECOND))

    def delete_expired(self, now: datetime) -> int:
        """Deletes the spools whose result has ended; how many."""
        deleted = 0
        limit = (now - _EPOCH) // _MICROSECOND
        for query_id in list(self.query_ids()):
            with suppress(FileNotFoundError, ValueError):  # none, or one that was cut
                if int((self.folder(query_id) / "expires").read_text()) <= limit:
                    self.delete(query_id)
                    deleted += 1
        return deleted

    def make_room(self, wanted_bytes: int = ROOM_BYTES) -> int:
        """Deletes complete spools, those unused for longest first, until so many bytes are free; how many were freed.

        A spool that is deleted is made again when somebody asks for its pages.
        """
        found = []
        for query_id in self.query_ids():
            folder = self.folder(query_id)
            with suppress(FileNotFoundError):
                (folder / "complete").stat()
                rows = (folder / "rows").stat()
                found.append((max(rows.st_atime, rows.st_mtime), query_id, rows.st_size))
        freed_bytes = 0
        for _, query_id, size_bytes in sorted(found):
            if freed_bytes >= wanted_bytes:
                break
            self.delete(query_id)
            freed_bytes += size_bytes
        return freed_bytes

    def query_ids(self) -> Iterator[str]:
        """The query ids that have a spool folder."""
        for folder in self._root.glob("??/*"):
            yield folder.name

    def close(self) -> None:
        """Closes all readers."""
        with self._lock:
            self._readers.clear()

    def _drop_reader(self, query_id: str) -> None:
        with self._lock:
            self._readers.pop(query_id, None)


def _read_in_memory(descriptor: int, size: int, offset: int) -> bytearray:
    """The bytes, if the operating system has them in memory (RWF_NOWAIT, preadv2(2)); otherwise raises OSError."""
    data = bytearray(size)
    if os.preadv(descriptor, [data], offset, os.RWF_NOWAIT) != size:
        raise BlockingIOError
    return data


def _read(descriptor: int, size: int, offset: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    while len(data) < size:  # Linux gives at most 2 GiB at once
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def _write_all(descriptor: int, data: memoryview) -> None:
    while data.nbytes:
        data = data[os.write(descriptor, data) :]
