"""Locations and files of the lake, as the embedded Athena reads them.

An `S3Location` is parsed once from `s3://bucket/prefix`; `files_under` lists the objects below it the way Athena does:
names that start with `_` or `.` are not data, neither are folder markers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


class InvalidLocation(ValueError):
    """A location that is not `s3://bucket/prefix`, or that tries to leave its bucket."""


@dataclass(frozen=True, slots=True)
class S3Location:
    """`s3://bucket/prefix`. As a folder the prefix ends with a slash (or is empty)."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> S3Location:
        """Raises InvalidLocation for any other scheme, an empty bucket, NUL, and `.` or `..` as a path segment."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in ("s3", "s3a", "s3n"):
            raise InvalidLocation(f"Location {text!r} is not an s3:// location")
        bucket, _, prefix = rest.partition("/")
        if not bucket or bucket in (".", "..") or "\\" in bucket or "\0" in text:
            raise InvalidLocation(f"Location {text!r} names no bucket")
        if "." in prefix and any(segment in (".", "..") for segment in prefix.split("/")):
            raise InvalidLocation(f"Location {text!r} leaves its folder")
        return cls(bucket, prefix)

    @property
    def folder(self) -> S3Location:
        if not self.prefix or self.prefix[-1] == "/":
            return self
        return S3Location(self.bucket, self.prefix + "/")

    def child(self, name: str) -> S3Location:
        return S3Location(self.bucket, self.folder.prefix + name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


class StoredObject(Protocol):
    """What the S3 folder tells about one object."""

    @property
    def key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def last_modified(self) -> datetime: ...
    @property
    def path(self) -> Path: ...


FolderLister = Callable[[str], Iterable[StoredObject]]
"""From a prefix to the objects of one bucket whose keys start with it, in key order."""


class ObjectStore(Protocol):
    """The part of the embedded S3 that the embedded Athena leans on. `root` is the folder all buckets lie in.

    A store of objects that lie elsewhere (`RemoteStore`) also has `fetch(paths)`, called before files are read, and
    `publish()`, called when a statement has written its objects.
    """

    @property
    def root(self) -> Path: ...
    def list_files(self, bucket: str, prefix: str) -> Iterator[StoredObject]: ...
    def lister(self, bucket: str) -> FolderLister: ...
    def path(self, bucket: str, key: str) -> Path: ...


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One object with data. `path` is where its bytes lie; `uri` is what `"$path"` shows."""

    uri: str
    path: str
    size_bytes: int
    modified_at: datetime


def is_data(key: str) -> bool:
    """Whether Athena reads an object of this key: not a hidden name, not a folder marker."""
    name = key.rsplit("/", 1)[-1]
    return bool(name) and name[0] not in "_." and not name.endswith("_$folder$")


def files_under(listed: FolderLister, location: S3Location) -> Iterator[LakeFile]:
    """The data files below a folder, in the order of their keys, hidden sub-folders left out.

    `listed` is the lister of the location's bucket.
    """
    prefix = location.folder.prefix
    start = len(prefix)
    bucket_uri = f"s3://{location.bucket}/"
    for found in listed(prefix):
        key = found.key
        if not is_data(key):
            continue
        folders, slash, _ = key[start:].rpartition("/")
        if slash and any(part[:1] in ("_", ".") for part in folders.split("/")):
            continue
        yield LakeFile(bucket_uri + key, str(found.path), found.size_bytes, found.last_modified)
