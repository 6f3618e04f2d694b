"""What S3 remembers of an object beside its bytes: ETag, content type and other headers, the caller's metadata.

They are kept in one extended attribute of the object's own file, set before the file is moved into place: no side file
to lose, and a renamed or deleted object takes them along. The attribute names the size and modification time it was
written for; a file that was put, changed or copied into the folder by other means has none that fits, and then
answers as an object without metadata, with an ETag made of size and modification time (it ends in `-1`, S3's sign that
an ETag is no MD5). So no listing ever reads an object's bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
METADATA_LIMIT_BYTES = 2048
_ATTRIBUTE = "user.data_hist.s3"


@dataclass(frozen=True)
class ObjectAttributes:
    """ETag without its quotes; `headers` by boto3's member names (ContentType, CacheControl, ..); user metadata."""

    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    part_count: int | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get("ContentType", DEFAULT_CONTENT_TYPE)


def foreign_etag(size_bytes: int, modified_ns: int) -> str:
    """The ETag of a file that did not come through S3."""
    digest = hashlib.md5(f"{size_bytes}:{modified_ns}".encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}-1"


def write_attributes(path: Path, attributes: ObjectAttributes) -> bool:
    """Writes them to the file; False where its file system keeps no extended attributes."""
    status = path.stat()
    record = {
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "etag": attributes.etag,
        "headers": dict(attributes.headers),
        "metadata": dict(attributes.metadata),
        "parts": attributes.part_count,
    }
    try:
        os.setxattr(path, _ATTRIBUTE, json.dumps(record, separators=(",", ":")).encode())
    except (OSError, AttributeError):
        return False
    return True


def read_attributes(path: Path | str, status: os.stat_result) -> ObjectAttributes:
    """The attributes written through S3 for just these bytes, else those of a foreign file."""
    record = _record(path)
    if record is None or record["size"] != status.st_size or record["modified_ns"] != status.st_mtime_ns:
        return ObjectAttributes(foreign_etag(status.st_size, status.st_mtime_ns))
    return ObjectAttributes(record["etag"], record["headers"], record["metadata"], record["parts"])


def _record(path: Path | str) -> dict[str, Any] | None:
    try:
        parsed: dict[str, Any] = json.loads(os.getxattr(path, _ATTRIBUTE))
    except (OSError, AttributeError, ValueError):
        return None
    return parsed
