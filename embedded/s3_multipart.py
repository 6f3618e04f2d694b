"""Multipart uploads under way: a folder per upload beside the buckets, a file per part, until completed or aborted.

<folder>/<upload id>/upload.json         bucket, key, headers, metadata, time
<folder>/<upload id>/00007-<md5 of it>   part 7
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MINIMUM_PART_BYTES = 5 * 1024 * 1024
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_PART_NAME = re.compile(r"(\d{5})-([0-9a-f]{32})")


@dataclass(frozen=True)
class Upload:
    """An upload under way and what its object will be."""

    upload_id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    initiated: datetime


@dataclass(frozen=True)
class Part:
    """One part that has arrived; `etag` is the MD5 of its bytes."""

    number: int
    etag: str
    size_bytes: int
    last_modified: datetime
    path: Path


class PartError(Exception):
    """The list of parts of a completion does not fit; `code` is S3's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MultipartUploads:
    """The uploads under way in one folder; any number of processes may share it."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock

    def create(self, bucket: str, key: str, headers: Mapping[str, str], metadata: Mapping[str, str]) -> str:
        """Starts an upload; returns its id."""
        upload_id = uuid.uuid4().hex
        folder = self._folder / upload_id
        folder.mkdir(parents=True)
        record = {
            "bucket": bucket,
            "key": key,
            "headers": dict(headers),
            "metadata": dict(metadata),
            "initiated": self._clock().isoformat(),
        }
        temporary = folder / "upload.json.new"
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.rename(folder / "upload.json")
        return upload_id

    def find(self, upload_id: str) -> Upload | None:
        """The upload of this id; None when there is none (any more)."""
        if _UPLOAD_ID.fullmatch(upload_id) is None:
            return None
        try:
            record = json.loads((self._folder / upload_id / "upload.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Upload(
            upload_id,
            record["bucket"],
            record["key"],
            record["headers"],
            record["metadata"],
            datetime.fromisoformat(record["initiated"]),
        )

    def uploads(self, bucket: str) -> list[Upload]:
        """The uploads of a bucket by key, then id."""
        try:
            ids = [folder.name for folder in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        found = [upload for upload in map(self.find, ids) if upload is not None and upload.bucket == bucket]
        return sorted(found, key=lambda upload: (upload.key, upload.upload_id))

    def add_part(self, upload_id: str, number: int, temporary_path: Path, etag: str) -> None:
        """Moves a complete file in as one part; a part sent before under the same number is replaced."""
        folder = self._folder / upload_id
        target = folder / f"{number:05}-{etag}"
        temporary_path.replace(target)
        for earlier in folder.glob(f"{number:05}-*"):
            if earlier != target:
                with contextlib.suppress(FileNotFoundError):
                    earlier.unlink()

    def parts(self, upload_id: str) -> list[Part]:
        """The parts that have arrived, by number."""
        found = []
        for path in (self._folder / upload_id).iterdir():
            match = _PART_NAME.fullmatch(path.name)
            if match is not None:
                status = path.stat()
                modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
                found.append(Part(int(match[1]), match[2], status.st_size, modified, path))
        return sorted(found, key=lambda part: part.number)

    def chosen_parts(self, upload_id: str, wanted: Sequence[tuple[int, str]]) -> list[Part]:
        """The parts of a completion (number, ETag), checked as S3 checks them; raises PartError."""
        if not wanted:
            raise PartError(
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema",
            )
        if any(later[0] <= earlier[0] for earlier, later in itertools.pairwise(wanted)):
            raise PartError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. The parts list must be specified in order by part "
                "number.",
            )
        arrived = {part.number: part for part in self.parts(upload_id)}
        chosen = []
        for number, etag in wanted:
            part = arrived.get(number)
            if part is None or (etag and part.etag != etag):
                raise PartError(
                    "InvalidPart",
                    "One or more of the specified parts could not be found.  The part may not have been uploaded, or "
                    "the specified entity tag may not match the part's entity tag.",
                )
            chosen.append(part)
        if any(part.size_bytes < MINIMUM_PART_BYTES for part in chosen[:-1]):
            raise PartError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        return chosen

    def remove(self, upload_id: str) -> None:
        """Ends an upload; its parts are deleted."""
        shutil.rmtree(self._folder / upload_id, ignore_errors=True)
