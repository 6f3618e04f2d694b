"""Buckets of an S3-compatible service, behind the same few methods as the embedded S3's folder.

    store = RemoteStore(boto3.client("s3", endpoint_url=...), Path("cache"))
    Athena(glue=boto3.client("glue", endpoint_url=...), s3=store, ...)

Objects that a query needs are fetched into a cache folder, several at once, and kept there by their ETag until the
cache is full; what a query writes is written to a folder beside it and sent when the statement has ended well. So
every reader, the malformed input's too, works on files as it does in a lake of one's own.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from embedded.lake_files import FolderLister, S3Location

_UNFINISHED = ".%"
_KEPT_SECONDS = 600.0
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One object: its key, its size, when it was last written, and the file of the cache that holds it once fetched."""

    key: str
    size_bytes: int
    last_modified: datetime
    path: Path


class RemoteStore:
    """The ObjectStore of a boto3 S3 client. `maximum_cache_bytes` bounds what is kept of objects read."""

    def __init__(
        self, client: Any, folder: Path, *, maximum_cache_bytes: int = 10 * 1024**3, fetches_at_once: int = 16
    ) -> None:
        self._client = client
        folder.mkdir(parents=True, exist_ok=True)
        self._root = folder.resolve()
        self._cache = self._root / "objects"
        self._written = self._root / "written"
        self._maximum_cache_bytes = maximum_cache_bytes
        self._fetches_at_once = fetches_at_once
        self._lock = threading.Lock()
        self._places: dict[str, tuple[str, str]] = {}
        self._sent: dict[str, int] = {}

    @property
    def root(self) -> Path:
        return self._root

    # -------------------------------------------------------------------------------------------------- reading

    def list_files(self, bucket: str, prefix: str) -> Iterator[RemoteObject]:
        """Every object of the bucket whose key starts with `prefix`, in key order; NoSuchBucket as ClientError.

        Objects in the archive are left out: Athena does not read them either (its user guide, "Glacier").
        """
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                if found.get("StorageClass") in _ARCHIVES:
                    continue
                path = self._cached(bucket, found["Key"], found["ETag"])
                with self._lock:
                    self._places[str(path)] = (bucket, found["Key"])
                yield RemoteObject(found["Key"], found["Size"], found["LastModified"], path)

    def lister(self, bucket: str) -> FolderLister:
        """list_files of one bucket."""
        return partial(self.list_files, bucket)

    def _cached(self, bucket: str, key: str, etag: str) -> Path:
        """The file of one version of an object; its folders keep `key=value`, so that values can be read from it."""
        version = hashlib.sha256(f"{bucket}\n{key}\n{etag}".encode()).hexdigest()[:32]
        name = key.rsplit("/", 1)[-1].replace("=", "_")[-80:] or "object"
        return self._cache / version[:2] / version / name

    def fetch(self, paths: Iterable[str]) -> None:
        """Makes sure that these files of `list_files` are there."""
        missing = [path for path in dict.fromkeys(paths) if not Path(path).exists()]
        if not missing:
            return
        self._make_room()
        with ThreadPoolExecutor(min(self._fetches_at_once, len(missing)), "fetch") as pool:
            list(pool.map(self._fetch_one, missing))

    def _fetch_one(self, path: str) -> None:
        with self._lock:
            bucket, key = self._places[path]
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{_UNFINISHED}{threading.get_ident()}{target.name}"[:200])
        try:
            self._client.download_file(bucket, key, str(unfinished))
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Deletes the objects read longest ago while the cache is over its bound; none read lately."""
        kept: list[tuple[float, int, Path]] = []
        for path in self._cache.rglob("*"):
            if path.is_file():
                status = path.stat()
                kept.append((max(status.st_atime, status.st_mtime), status.st_size, path))
        total = sum(size for _, size, _ in kept)
        for used_at, size, path in sorted(kept):
            if total <= self._maximum_cache_bytes or time.time() - used_at < _KEPT_SECONDS:
                return
            path.unlink(missing_ok=True)
            total -= size

    # -------------------------------------------------------------------------------------------------- writing

    def path(self, bucket: str, key: str) -> Path:
        """The file in which an object is prepared, or, where this process did not write it, was fetched from."""
        location = S3Location.parse(f"s3://{bucket}/{key}")
        target = self._written / location.bucket / location.prefix
        if not target.exists() and key and not key.endswith("/"):
            self._restore(bucket, key, target)
        return target

    def _restore(self, bucket: str, key: str, target: Path) -> None:
        from botocore.exceptions import ClientError

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
                raise
            return
        unfinished = target.with_name(f"{_UNFINISHED}{target.name}")
        self._client.download_file(bucket, key, str(unfinished))
        unfinished.replace(target)
        with self._lock:
            self._sent[str(target)] = target.stat().st_mtime_ns

    def publish(self) -> None:
        """Sends what was written since the last call, complete files only."""
        for folder, _, names in os.walk(self._written):
            for name in names:
                if name.startswith(_UNFINISHED):
                    continue
                path = Path(folder, name)
                try:
                    changed_at = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
                with self._lock:
                    if self._sent.get(str(path)) == changed_at:
                        continue
                    self._sent[str(path)] = changed_at
                bucket, *key = path.relative_to(self._written).parts
                self._client.upload_file(str(path), bucket, "/".join(key))
