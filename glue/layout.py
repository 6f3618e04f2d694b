"""Where objects lie in the lake: an S3 key and what it says, read and written side by side.

Secor's grammar (pinterest/secor, common/LogFilePath.java), with the names and formats of its configuration:

    key       = [ md5_4 "/" ] [ prefix "/" ] topic "/" partition "/" [ "offset=" number "/" ] name
    md5_4     = first 4 lower-case hex digits of md5(topic "/" partition)          secor.s3.prefix.md5hash
    prefix    = secor.s3.path, or from a date on secor.s3.alternative.path
    partition = see PartitionSpec: dt=2026-11-22/hr=10/min=05
    name      = generation "_" kafka_partitions "_" batch [ extension ]
    kafka_partitions = number | number "-" number
    batch     = 20 digits: the first offset since the last commit | 22 base64url characters: md5 of several offsets
    extension = from the first "." on; often none at all

A key is read by the literal prefix that was configured, never by searching for something that looks like one: a
topic may be called anything. Whatever lies in a proper partition folder is data, as it is for Athena, also under a
name Secor would not write; names starting with `_` or `.`, `*_$folder$`, `*.crc` and keys that end in `/` are
markers; all else is foreign. File identity is the whole key: one commit of Secor writes the same name into several
folders.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from glue.partition_spec import MINUTE_SCHEME, InvalidPartition, PartitionScheme, PartitionSpec

# Where compaction writes: compacted/<table>/<partition>/<id>/, beside every layout's own folders.
COMPACTED_PREFIX = "compacted/"
_NAME = re.compile(r"([0-9]+)_([0-9]+)(?:-([0-9]+))?_(?:([0-9]{20})|([0-9A-Za-z_-]{22}))(\.[^/]*)?")
_MD5_FOLDER = re.compile(r"[0-9a-f]{4}/")
_OFFSET_FOLDER = re.compile(r"offset=([0-9]+)")


@dataclass(frozen=True)
class CommitBatch:
    """What Secor's object name tells: the batch of messages between two commits.

    `offset` is the first one since the last commit; it is None in the form for several Kafka partitions, which carries
    `token`, the hash of their offsets, instead.
    """

    generation: int
    first_kafka_partition: int
    last_kafka_partition: int
    offset: int | None
    token: str | None = None

    @classmethod
    def single(cls, kafka_partition: int, offset: int, *, generation: int = 1) -> CommitBatch:
        """The usual batch: one Kafka partition from this offset on."""
        return cls(generation, kafka_partition, kafka_partition, offset)

    @classmethod
    def hashed(cls, first: int, last: int, content: bytes, *, generation: int = 1) -> CommitBatch:
        """The form for several Kafka partitions: named by the MD5 of `content` (Secor: their concatenated offsets)."""
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        return cls(generation, first, last, None, base64.urlsafe_b64encode(digest).decode("ascii").rstrip("="))

    @classmethod
    def parse(cls, name: str) -> tuple[CommitBatch, str] | None:
        """The batch and the extension of an object name; None for a name that Secor does not write."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        generation, first, last, offset, token, extension = match.groups()
        batch = cls(int(generation), int(first), int(last or first), int(offset) if offset else None, token)
        return (batch, extension or "") if batch.name() == name.removesuffix(extension or "") else None

    def name(self) -> str:
        """The object name without its extension."""
        if self.token is not None:
            return f"{self.generation}_{self.first_kafka_partition}-{self.last_kafka_partition}_{self.token}"
        return f"{self.generation}_{self.first_kafka_partition}_{self.offset:020d}"


@dataclass(frozen=True)
class LakeKey:
    """A data object's key, understood.

    `batch` is None where the name is not Secor's, `extension` then counts from the first dot.
    """

    topic: str
    partition: PartitionSpec
    name: str
    batch: CommitBatch | None
    extension: str
    offset_folder: int | None = None


@dataclass(frozen=True)
class SkippedKey:
    """A key that holds no rows of the table: a marker (expected), or foreign (someone should look)."""

    kind: Literal["marker", "foreign"]
    reason: str


@dataclass(frozen=True)
class AlternativePath:
    """`secor.s3.alternative.path`: from this partition date on, objects go under another prefix."""

    prefix: str
    from_date: date


@dataclass(frozen=True)
class SecorLayout:
    """The layout of one lake prefix, as Secor was configured. Knows keys only; the bucket is the table's business."""

    prefix: str = "secor"
    scheme: PartitionScheme = field(default=MINUTE_SCHEME)
    has_md5_prefix: bool = False
    has_offset_folders: bool = False
    alternative: AlternativePath | None = None
    extension: str = ".gz"

    def parse(self, key: str) -> LakeKey | SkippedKey:
        """What a key says. Never raises: a lake holds what people put there."""
        name = key.rpartition("/")[2]
        if not name:
            return SkippedKey("marker", "a folder marker")
        if name.startswith(("_", ".")) or name.endswith(("_$folder$", ".crc")):
            return SkippedKey("marker", f"{name} is a marker, not data")
        folders = self._below_prefix(key.removesuffix("/" + name))
        if isinstance(folders, SkippedKey):
            is_compacted = key.startswith(COMPACTED_PREFIX)
            return SkippedKey("marker", "an object that compaction wrote") if is_compacted else folders
        hash_folder, (topic, *rest) = folders
        offset_folder = None
        if self.has_offset_folders:
            match = _OFFSET_FOLDER.fullmatch(rest[-1]) if rest else None
            if match is None:
                return SkippedKey("foreign", "no offset= folder above the object")
            offset_folder = int(match[1])
            rest.pop()
        if len(rest) != len(self.scheme.folders):
            wanted = "/".join(folder.prefix for folder in self.scheme.folders)
            return SkippedKey("foreign", f"{len(rest)} folders below the topic; the layout has {wanted}")
        path = "/".join(rest)
        if hash_folder is not None and hash_folder != _md5_folder(topic, path):
            return SkippedKey("foreign", f"the hash folder {hash_folder} does not belong to {topic}/{path}")
        try:
            partition = PartitionSpec.parse(path, self.scheme)
        except InvalidPartition as error:
            return SkippedKey("foreign", str(error))
        parsed = CommitBatch.parse(name)
        batch, extension = parsed if parsed else (None, "".join(name.partition(".")[1:]))
        return LakeKey(topic, partition, name, batch, extension, offset_folder)

    def key(self, topic: str, partition: PartitionSpec, batch: CommitBatch, *, offset_folder: int | None = None) -> str:
        """The key Secor gives the object of this batch: what `parse` reads back."""
        if self.has_offset_folders != (offset_folder is not None):
            raise ValueError("an offset folder is given exactly where the layout has them")
        tree = f"offset={offset_folder}/" if offset_folder is not None else ""
        return self.folder(topic, partition) + tree + batch.name() + self.extension

    def folder(self, topic: str, partition: PartitionSpec) -> str:
        """The key prefix of a partition's objects, with its slash at the end."""
        if not topic or "/" in topic:
            raise ValueError(f"{topic!r} cannot be a topic: one folder, not empty")
        path = partition.path()
        hash_folder = _md5_folder(topic, path) + "/" if self.has_md5_prefix else ""
        return f"{hash_folder}{self._prefix_for(partition)}{topic}/{path}/"

    def topic_prefix(self, topic: str) -> str:
        """The key prefix of a topic's objects. With hash folders there is none in common, so that all must be listed:

        ''.
        """
        return "" if self.has_md5_prefix else f"{_slashed(self.prefix)}{topic}/"

    def listing_prefixes(self, topic: str) -> tuple[str, ...]:
        """The key prefixes that together hold all of a topic's objects."""
        if self.has_md5_prefix or self.alternative is None:
            return (self.topic_prefix(topic),)
        return (self.topic_prefix(topic), f"{_slashed(self.alternative.prefix)}{topic}/")

    def _prefix_for(self, partition: PartitionSpec) -> str:
        alternative = self.alternative
        if alternative is not None and partition.start().date() >= alternative.from_date:
            return _slashed(alternative.prefix)
        return _slashed(self.prefix)

    def _below_prefix(self, folder: str) -> tuple[str | None, list[str]] | SkippedKey:
        """The hash folder (None without) and the folders from the topic on."""
        hash_folder = None
        if self.has_md5_prefix:
            if not _MD5_FOLDER.match(folder):
                return SkippedKey("foreign", "no hash folder in front")
            hash_folder, folder = folder[:4], folder[5:]
        prefixes = [self.prefix] if self.alternative is None else [self.alternative.prefix, self.prefix]
        for prefix in prefixes:
            slashed = _slashed(prefix)
            if folder.startswith(slashed):
                return hash_folder, folder[len(slashed) :].split("/")
        return SkippedKey("foreign", f"not under {' or '.join(prefixes)}/")


def _slashed(prefix: str) -> str:
    stripped = prefix.strip("/")
    return stripped + "/" if stripped else ""


def _md5_folder(topic: str, path: str) -> str:
    return hashlib.md5(f"{topic}/{path}".encode(), usedforsecurity=False).hexdigest()[:4]
