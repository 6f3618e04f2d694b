"""Writes a result object into S3 as its rows come, in flat memory.

A small one is one PutObject when it is complete, a larger one a multipart upload. Either way the object appears when it
is complete, and not before: half a result is never there to be read. An upload whose process died leaves parts that
nobody sees; the bucket's lifecycle rule (AbortIncompleteMultipartUpload) removes them.
"""

from __future__ import annotations

from typing import Any

from service.engines.aws_calls import AwsCallFailed, AwsCalls
from service.engines.result_objects import bucket_and_key

_PART_BYTES = 8 * 2**20
_PARTS_OF_A_SIZE = 1000
"""S3 takes at most 10,000 parts: they grow by 8 MiB every 1000, so that an object may have 440 GiB."""


class ResultObjectWriter:
    """One object; `append` its bytes, then `complete` or `abort`. Raises EngineUnavailable.

    `append` takes the bytes in any case: what could not be sent is sent by the next `append` or `complete`.
    """

    def __init__(self, s3: Any, location: str, *, engine: str, calls: AwsCalls) -> None:
        self._s3 = s3
        self._bucket, self._key = bucket_and_key(location)
        self._engine = engine
        self._calls = calls
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._is_complete = False

    def append(self, data: bytes) -> None:
        """Adds bytes to the end."""
        self._buffer += data
        while len(self._buffer) >= self._part_bytes:
            self._send_part(self._part_bytes)

    def complete(self) -> None:
        """Makes the object appear. Saying it twice is saying it once."""
        if self._is_complete:
            return
        if self._upload_id is None:
            self._call(self._s3.put_object, Body=bytes(self._buffer), ContentType="text/csv")
        else:
            if self._buffer:
                self._send_part(len(self._buffer))
            parts = {"Parts": self._parts}
            self._call(self._s3.complete_multipart_upload, UploadId=self._upload_id, MultipartUpload=parts)
        self._is_complete = True
        self._buffer.clear()

    def abort(self) -> None:
        """Forgets what was sent; nothing appears."""
        self._buffer.clear()
        if self._upload_id is not None and not self._is_complete:
            self._call(self._s3.abort_multipart_upload, UploadId=self._upload_id)
            self._upload_id = None

    @property
    def _part_bytes(self) -> int:
        return _PART_BYTES * (1 + len(self._parts) // _PARTS_OF_A_SIZE)

    def _send_part(self, size_bytes: int) -> None:
        if self._upload_id is None:
            created = self._call(self._s3.create_multipart_upload, ContentType="text/csv")
            self._upload_id = created["UploadId"]
        number = len(self._parts) + 1
        data = bytes(memoryview(self._buffer)[:size_bytes])
        answer = self._call(self._s3.upload_part, UploadId=self._upload_id, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        del self._buffer[:size_bytes]

    def _call(self, method: Any, **arguments: Any) -> Any:
        try:
            return self._calls(method, Bucket=self._bucket, Key=self._key, **arguments)
        except AwsCallFailed as failed:
            raise failed.as_unavailable(self._engine) from failed
