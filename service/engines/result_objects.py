"""Result objects in S3, read once from front to back however often the connection is cut on the way.

    GetObject                                  the body is streamed; its ETag and length are remembered
    cut, time-out, 5xx, fewer bytes than told  GetObject Range: bytes=<read so far>- If-Match: <ETag>
    412                                        the object was replaced: what was read and what is there do not fit

Nothing is read twice and nothing is read from another object than the first byte came from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError

from service.engine import ByteStream
from service.engines.aws_calls import AwsCallFailed, AwsCalls
from service.engines.aws_troubles import TroubleKind
from service.errors import Blame, QueryFailed, QueryFailure

_READ_BYTES = 2**20
_CUTS_WITHOUT_PROGRESS = 5
_CUT = (BotoCoreError, OSError)
"""What a body raises when its connection breaks: botocore's errors (time-out, incomplete read), or the socket's."""


class ResultDenied(Exception):
    """The object may not be read with these credentials; Athena itself may give its rows all the same."""


def bucket_and_key(location: str) -> tuple[str, str]:
    """The parts of an s3 URI."""
    parts = urlsplit(location, allow_fragments=False)
    return parts.netloc, parts.path.removeprefix("/")


class ResultObjects:
    """The result objects of one engine, through an S3 client."""

    def __init__(self, s3: Any, *, engine: str, calls: AwsCalls) -> None:
        self._s3 = s3
        self._engine = engine
        self._calls = calls

    def open(self, location: str) -> ByteStream:
        """The object as one stream. Raises QueryFailed (ResultLost), ResultDenied, EngineUnavailable.

        Reading raises QueryFailed (ResultLost, ResultChanged) and EngineUnavailable.
        """
        return _ResumingStream(lambda **wanted: self._get(location, **wanted))

    def exists(self, location: str) -> bool:
        """Whether the object is there. Raises EngineUnavailable."""
        bucket, key = bucket_and_key(location)
        try:
            self._calls(self._s3.head_object, Bucket=bucket, Key=key)
        except AwsCallFailed as failed:
            if failed.trouble.kind is TroubleKind.MISSING:
                return False
            raise failed.as_unavailable(self._engine) from failed
        return True

    def delete(self, locations: list[str]) -> None:
        """Deletes objects, one by one: DeleteObject succeeds for what is not there and needs no permission to list."""
        for location in locations:
            bucket, key = bucket_and_key(location)
            try:
                self._calls(self._s3.delete_object, Bucket=bucket, Key=key)
            except AwsCallFailed as failed:
                if failed.trouble.kind is not TroubleKind.MISSING:
                    raise failed.as_unavailable(self._engine) from failed

    def _get(self, location: str, **wanted: str) -> Any:
        bucket, key = bucket_and_key(location)
        try:
            return self._calls(self._s3.get_object, Bucket=bucket, Key=key, **wanted)
        except AwsCallFailed as failed:
            raise self._meaning(failed) from failed

    def _meaning(self, failed: AwsCallFailed) -> Exception:
        kind = failed.trouble.kind
        if kind is TroubleKind.MISSING:
            return _lost("ResultLost", "the result object is no longer in storage")
        if kind is TroubleKind.CHANGED:
            return _lost("ResultChanged", "the result object was replaced while it was read")
        if kind is TroubleKind.DENIED:
            return ResultDenied(str(failed))
        return failed.as_unavailable(self._engine)


class _ResumingStream:
    """One object's bytes; see the module. Not for use by two threads at once."""

    def __init__(self, get: Callable[..., Any]) -> None:
        self._get = get
        answer = get()
        self._body = answer["Body"]
        self._etag: str | None = answer.get("ETag")
        self._length: int | None = answer.get("ContentLength")
        self._offset = 0
        self._cuts = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; all that are left for a negative size; b"" at the end."""
        if size >= 0:
            return self._next(size)
        pieces = []
        while piece := self._next(_READ_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Lets the connection go."""
        self._body.close()

    def _next(self, size: int) -> bytes:
        while True:
            cut: Exception | None = None
            try:
                data: bytes = self._body.read(size)
            except _CUT as error:
                data, cut = b"", error
            if data:
                self._offset += len(data)
                self._cuts = 0
                return data
            if size == 0 or (cut is None and (self._length is None or self._offset >= self._length)):
                return b""
            self._resume(cut)

    def _resume(self, cut: Exception | None) -> None:
        self._cuts += 1
        if self._cuts > _CUTS_WITHOUT_PROGRESS or self._etag is None:
            detail = f"the result object gives {self._offset} of its {self._length} bytes"
            raise _lost("ResultUnreadable", detail, retryable=True) from cut
        with suppress(*_CUT):  # it is broken already
            self._body.close()
        try:
            self._body = self._get(Range=f"bytes={self._offset}-", IfMatch=self._etag)["Body"]
        except ResultDenied as denied:  # what is read already fits this object only: no other road leads on
            raise _lost("ResultUnreadable", "the result object may no longer be read", retryable=True) from denied


def _lost(code: str, detail: str, *, retryable: bool = False) -> QueryFailed:
    return QueryFailed(QueryFailure(code, detail, Blame.SERVICE, retryable))
