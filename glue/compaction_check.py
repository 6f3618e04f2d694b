"""Whether a compaction is what its manifest says: all objects with their sizes, all rows by their footers.

Costs a ranged read or two per Parquet object, at its end; no rows are read.
"""

from __future__ import annotations

import io

import pyarrow
import pyarrow.parquet
from botocore.exceptions import ClientError

from glue.aws_clients import error_code, error_message
from glue.compaction_manifest import Manifest
from glue.compaction_state import ListingClient, StoredCompaction
from glue.table_spec import TableSpec


def compaction_fault(s3: ListingClient, spec: TableSpec, manifest: Manifest, stored: StoredCompaction) -> str:
    """Why a compaction is not to be relied on; "" when all of its rows are there."""
    if not stored.has_outputs(manifest):
        return "objects of the compaction are missing"
    for output in manifest.outputs:
        try:
            end = _ObjectEnd(s3, spec.bucket, output.key, output.size_bytes)
            row_count = pyarrow.parquet.read_metadata(end).num_rows
        except (OSError, pyarrow.ArrowException) as error:
            return f"{output.key} cannot be read: {str(error)[:100]}"
        if row_count != output.row_count:
            return f"{output.key} has {row_count} rows instead of {output.row_count}"
    return ""


class _ObjectEnd(io.RawIOBase):
    """An object that is read from its end, by ranges, as a file."""

    def __init__(self, s3: ListingClient, bucket: str, key: str, size_bytes: int) -> None:
        self._s3, self._bucket, self._key, self._size = s3, bucket, key, size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={self._at}-{end - 1}")
        except ClientError as error:
            raise OSError(f"{error_code(error)}: {error_message(error)}") from error
        data: bytes = answer["Body"].read()
        self._at += len(data)
        return data
