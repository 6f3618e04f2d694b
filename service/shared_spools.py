"""Large result spools, beside the engine's results in S3, so that every replica reads pages of any depth at once.

    <folder of the result object>/spool/<query_id>/rows     as in a local spool (service.spool)
                                                   /index    written last: with it the spool is whole

A replica that is asked for a page of a result that another spooled can make the spool again from the result object,
which is the cheaper way while it is small: two objects less in S3, and the same in a fraction of a second. From
`minimum_bytes` on the rows are kept here by the replica that wrote them, and the others read their pages by range: one
request for the rows, one more for each 16,384 entries of the index.

Rows are the same bytes on every replica, so paging tokens are good everywhere. Where there is no shared spool (yet, or
because its writer died) the replica makes its own; where one is lost nothing is lost.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from boto3.exceptions import Boto3Error
from botocore.exceptions import ResponseStreamingError

from service.engines.aws_calls import AWS_ERRORS, AwsCallFailed, AwsCalls
from service.engines.aws_troubles import TroubleKind
from service.engines.result_objects import bucket_and_key
from service.executions import StoredExecution
from service.spool import OFFSET, RowSlice

_LOG = logging.getLogger(__name__)

MINIMUM_BYTES = 16 * 2**20
INDEX_BLOCK_ROWS = 16_384
_OPEN_READERS = 64
_ENGINE = "S3"
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


class SharedSpoolLost(Exception):
    """The shared spool is no longer there."""


class SharedSpools(Protocol):
    """See the module."""

    def keep(self, stored: StoredExecution, folder: Path) -> bool:
        """Keeps the whole local spool in `folder` for the other replicas; False when it is not worth it, or failed."""
        ...

    def reader(self, stored: StoredExecution) -> SharedSpoolReader | None:
        """The reader of the execution's shared spool; None when there is none. Raises EngineUnavailable."""
        ...

    def forget(self, query_id: str) -> None:
        """Lets go of a reader whose objects are gone."""
        ...

    def delete(self, stored: StoredExecution) -> None:
        """Deletes it; what is gone already is no error. Raises EngineUnavailable."""
        ...


class NoSharedSpools:
    """One process has all spools."""

    def keep(self, stored: StoredExecution, folder: Path) -> bool:  # noqa: ARG002 - nobody else wants it
        return False

    def reader(self, stored: StoredExecution) -> SharedSpoolReader | None:  # noqa: ARG002 - there is none
        return None

    def forget(self, query_id: str) -> None:
        """There is no reader."""

    def delete(self, stored: StoredExecution) -> None:
        """There is nothing to delete."""


class S3SharedSpools:
    """Shared spools through an S3 client."""

    def __init__(self, s3: Any, *, sleep: Callable[[float], object], minimum_bytes: int = MINIMUM_BYTES) -> None:
        self._s3 = s3
        self._call = AwsCalls(attempts=4, sleep=sleep)
        self._minimum_bytes = minimum_bytes
        self._lock = Lock()
        self._readers: OrderedDict[str, SharedSpoolReader] = OrderedDict()

    def keep(self, stored: StoredExecution, folder: Path) -> bool:
        if not self._is_shared(stored) or stored.execution.reused_from is not None:
            return False
        bucket, prefix = _place(stored)
        try:
            for name in ("rows", "index"):  # in this order: the index says that the rows are there
                self._s3.upload_file(str(folder / name), bucket, prefix + name)
        except (*AWS_ERRORS, Boto3Error, OSError) as error:
            _LOG.warning("the spool of query %s is not shared: %s", stored.query_id, error)
            return False
        return True

    def reader(self, stored: StoredExecution) -> SharedSpoolReader | None:
        if not self._is_shared(stored):
            return None
        with self._lock:
            reader = self._readers.get(stored.query_id)
        if reader is not None:
            return reader
        bucket, prefix = _place(stored)
        objects = _Objects(self._s3, self._call, bucket, prefix)
        try:
            last_entry, index_bytes = objects.last("index", OFFSET.size)
        except SharedSpoolLost:
            return None
        reader = SharedSpoolReader(objects, index_bytes // OFFSET.size, OFFSET.unpack(last_entry)[0])
        with self._lock:
            self._readers[stored.query_id] = reader
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)
        return reader

    def forget(self, query_id: str) -> None:
        with self._lock:
            self._readers.pop(query_id, None)

    def delete(self, stored: StoredExecution) -> None:
        self.forget(stored.query_id)
        if not self._is_shared(stored) or stored.execution.reused_from is not None:
            return
        bucket, prefix = _place(stored)
        for name in ("index", "rows"):
            try:
                self._call(self._s3.delete_object, Bucket=bucket, Key=prefix + name)
            except AwsCallFailed as failed:
                if failed.trouble.kind is not TroubleKind.MISSING:
                    raise failed.as_unavailable(_ENGINE) from failed

    def _is_shared(self, stored: StoredExecution) -> bool:
        result_bytes = stored.execution.statistics.result_bytes or 0
        return stored.result_location is not None and result_bytes >= self._minimum_bytes


class SharedSpoolReader:
    """Reads a shared spool as SpoolReader reads a local one. Safe from many threads."""

    is_complete = True

    def __init__(self, objects: _Objects, row_count: int, size_bytes: int) -> None:
        self._objects = objects
        self.row_count = row_count
        self.size_bytes = size_bytes
        self.page_head: tuple[object, bytes] | None = None
        self._block: tuple[int, bytes] = (-1, b"")

    def end_offset(self, row: int, *, is_waiting_allowed: bool = True) -> int:
        """The byte offset where the first `row` rows end; 0 for none. Raises SharedSpoolLost, EngineUnavailable."""
        if row == 0:
            return 0
        if row == self.row_count:
            return self.size_bytes
        number, entry = divmod(row - 1, INDEX_BLOCK_ROWS)
        held, block = self._block
        if held != number:
            if not is_waiting_allowed:
                raise BlockingIOError
            first = number * INDEX_BLOCK_ROWS
            size_bytes = min(INDEX_BLOCK_ROWS, self.row_count - first) * OFFSET.size
            block = self._objects.read("index", first * OFFSET.size, size_bytes)
            self._block = (number, block)
        offset: int = OFFSET.unpack_from(block, entry * OFFSET.size)[0]
        return offset

    def read(
        self, first_row: int, row_limit: int, first_offset: int | None = None, *, is_waiting_allowed: bool = True
    ) -> RowSlice:
        """At most `row_limit` rows from `first_row` (from 0) on. Raises SharedSpoolLost, EngineUnavailable.

        Without `is_waiting_allowed` it raises OSError: whatever it reads is elsewhere.
        """
        row_count = max(0, min(row_limit, self.row_count - first_row))
        if row_count == 0:
            return RowSlice(b"", 0, first_offset or 0)
        if not is_waiting_allowed:
            raise BlockingIOError
        start = self.end_offset(first_row)
        end = self.end_offset(first_row + row_count)
        return RowSlice(self._objects.read("rows", start, end - start), row_count, end)


class _Objects:
    """The two objects of one shared spool."""

    def __init__(self, s3: Any, call: AwsCalls, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._call = call
        self._bucket = bucket
        self._prefix = prefix

    def read(self, name: str, start: int, size_bytes: int) -> bytes:
        """So many bytes from `start` on. Raises SharedSpoolLost, EngineUnavailable."""
        data, _ = self._got(name, f"bytes={start}-{start + size_bytes - 1}")
        if len(data) != size_bytes:
            raise SharedSpoolLost(f"{name} has {len(data)} bytes at {start} and not {size_bytes}")
        return data

    def last(self, name: str, size_bytes: int) -> tuple[bytes, int]:
        """The last bytes, and how many there are in all. Raises SharedSpoolLost, EngineUnavailable."""
        data, content_range = self._got(name, f"bytes=-{size_bytes}")
        total = _TOTAL.fullmatch(content_range)
        if len(data) != size_bytes or total is None:
            raise SharedSpoolLost(f"{name} is not whole")
        return data, int(total[1])

    def _got(self, name: str, wanted: str) -> tuple[bytes, str]:
        def get() -> tuple[bytes, str]:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name, Range=wanted)
            try:
                with closing(answer["Body"]) as body:
                    return body.read(), str(answer.get("ContentRange", ""))
            except OSError as error:  # the socket's; botocore has its own for the rest
                raise ResponseStreamingError(error=error) from error

        try:
            got: tuple[bytes, str] = self._call(get)  # the body too: a cut within it is tried again
        except AwsCallFailed as failed:
            # without permission to list S3 says 403 for what is not there
            if failed.trouble.kind in (TroubleKind.MISSING, TroubleKind.DENIED, TroubleKind.REFUSED):
                raise SharedSpoolLost(str(failed)) from failed
            raise failed.as_unavailable(_ENGINE) from failed
        return got


def _place(stored: StoredExecution) -> tuple[str, str]:
    """Bucket and key prefix of an execution's shared spool; who has another's result reads the other's."""
    bucket, key = bucket_and_key(stored.result_location or "")
    folder = key.rpartition("/")[0]
    query_id = stored.execution.reused_from or stored.query_id
    return bucket, f"{folder}/spool/{query_id}/" if folder else f"spool/{query_id}/"
