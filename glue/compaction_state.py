"""What lies in the lake of a table's partitions: raw objects, and compactions beside them.

    raw folder   secor/events/dt=../hr=../min=../          -> RawFolder
    compactions  compacted/events/dt=../hr=../min=../<id>/ -> StoredCompaction, by id

Everybody who compacts, undoes, tidies up or hears of late objects decides by these two listings, the manifest, and what
the catalogue says; nothing else is remembered anywhere, so that nothing can be forgotten by a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Protocol

import orjson
from botocore.exceptions import ClientError

from glue.aws_clients import error_code
from glue.compaction_manifest import (
    LATE_PREFIX,
    MANIFEST_NAME,
    RAW_REMOVED_NAME,
    CompactedKey,
    InputObject,
    Manifest,
    OutputObject,
    UnreadableManifest,
    compaction_folder,
    parse_compacted_key,
)
from glue.data_retention import compacted_prefix
from glue.layout import LakeKey
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.registration import ARCHIVE_CLASSES
from glue.table_spec import TableSpec

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class ListingClient(Protocol):
    """The part of boto3's S3 client that reading the state needs."""

    def list_objects_v2(self, **arguments: Any) -> Any: ...
    def get_object(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class RawFolder:
    """The objects with bytes in the layout's folder of a partition, by key; `newest_at` is when the last one came.

    `archived_count`: objects that lie in an archive, where nobody can read them.
    """

    objects: tuple[InputObject, ...] = ()
    newest_at: datetime | None = None
    archived_count: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(found.size_bytes for found in self.objects)


@dataclass
class StoredCompaction:
    """What lies in one compaction's folder: bytes by name, and when the last object came."""

    identifier: str
    sizes: dict[str, int] = field(default_factory=dict)
    newest_at: datetime | None = None

    @property
    def has_manifest(self) -> bool:
        """Whether it was finished."""
        return MANIFEST_NAME in self.sizes

    @property
    def is_raw_removed(self) -> bool:
        """Whether its raw objects may be gone, so that it has the last word."""
        return RAW_REMOVED_NAME in self.sizes

    @property
    def late_names(self) -> list[str]:
        """The names of the Parquet objects of late raw ones."""
        return [name for name in self.sizes if name.startswith(LATE_PREFIX)]

    def has_outputs(self, manifest: Manifest) -> bool:
        """Whether all of the manifest's objects are there, with their sizes."""
        return all(self.sizes.get(output.key.rpartition("/")[2]) == output.size_bytes for output in manifest.outputs)


Compactions = dict[str, StoredCompaction]


def last_word(compactions: Compactions) -> StoredCompaction | None:
    """The compaction that has the last word on a partition's rows, as its raw objects may be gone; None without one."""
    return next((found for found in compactions.values() if found.is_raw_removed and found.has_manifest), None)


def raw_folders(
    s3: ListingClient, spec: TableSpec, time_range: PartitionRange | None
) -> Iterator[tuple[PartitionSpec, RawFolder]]:
    """The raw folders of a range, in order where keys sort as partitions do."""
    for prefix in spec.layout.listing_prefixes(spec.topic):
        is_ordered = not spec.layout.has_md5_prefix
        start_after, end = _bounds(prefix, time_range) if is_ordered else ("", None)
        understood = (
            (parsed.partition, entry)
            for entry in _listed(s3, spec.bucket, prefix, start_after, end)
            if isinstance(parsed := spec.layout.parse(entry["Key"]), LakeKey)
            and parsed.topic == spec.topic
            and (time_range is None or time_range.contains(parsed.partition))
            and entry["Key"].startswith(spec.layout.folder(spec.topic, parsed.partition))
        )
        for partition, entries in groupby(understood, key=lambda pair: pair[0]):
            yield partition, _raw_folder([entry for _, entry in entries])


def raw_folders_of(
    s3: ListingClient, spec: TableSpec, partitions: Sequence[PartitionSpec]
) -> Mapping[PartitionSpec, RawFolder]:
    """The raw folders of these partitions; neighbours are listed together where that is possible."""
    found: dict[PartitionSpec, RawFolder] = dict.fromkeys(partitions, RawFolder())
    if len(partitions) > 2 and not spec.layout.has_md5_prefix:
        ordered = sorted(partitions)
        for partition, folder in raw_folders(s3, spec, PartitionRange(ordered[0], ordered[-1])):
            if partition in found:
                found[partition] = folder
        return found
    for partition in partitions:
        prefix = spec.layout.folder(spec.topic, partition)
        entries = [
            entry
            for entry in _listed(s3, spec.bucket, prefix, "", None)
            if isinstance(spec.layout.parse(entry["Key"]), LakeKey)
        ]
        found[partition] = _raw_folder(entries)
    return found


def _raw_folder(entries: Sequence[Mapping[str, Any]]) -> RawFolder:
    archived = sum(entry.get("StorageClass") in ARCHIVE_CLASSES for entry in entries)
    objects = [
        InputObject(entry["Key"], entry["Size"], entry["ETag"].strip('"')) for entry in entries if entry["Size"] > 0
    ]
    newest = max((entry["LastModified"] for entry in entries), default=None)
    return RawFolder(tuple(sorted(objects, key=lambda found: found.key)), newest, archived)


def stored_compactions(
    s3: ListingClient, spec: TableSpec, time_range: PartitionRange | None
) -> dict[PartitionSpec, Compactions]:
    """The compactions of a range that lie in the lake, finished or not."""
    prefix = compacted_prefix(spec)
    start_after, end = _bounds(prefix, time_range)
    found: dict[PartitionSpec, Compactions] = {}
    for entry in _listed(s3, spec.bucket, prefix, start_after, end):
        key = parse_compacted_key(spec, entry["Key"])
        if key is not None and (time_range is None or time_range.contains(key.partition)):
            _note(found.setdefault(key.partition, {}), key, entry)
    return found


def stored_compactions_of(
    s3: ListingClient, spec: TableSpec, partitions: Sequence[PartitionSpec]
) -> dict[PartitionSpec, Compactions]:
    """The compactions of these partitions; neighbours are listed together."""
    if not partitions:
        return {}
    ordered = sorted(partitions)
    wanted = set(partitions)
    found = stored_compactions(s3, spec, PartitionRange(ordered[0], ordered[-1]))
    return {partition: compactions for partition, compactions in found.items() if partition in wanted}


def stored_compaction(
    s3: ListingClient, spec: TableSpec, partition: PartitionSpec, identifier: str
) -> StoredCompaction:
    """One compaction as it lies in the lake now; empty when nothing does."""
    found: Compactions = {}
    for entry in _listed(s3, spec.bucket, compaction_folder(spec, partition, identifier), "", None):
        key = parse_compacted_key(spec, entry["Key"])
        if key is not None:
            _note(found, key, entry)
    return found.get(identifier, StoredCompaction(identifier))


def _note(compactions: Compactions, key: CompactedKey, entry: Mapping[str, Any]) -> None:
    stored = compactions.setdefault(key.compaction_id, StoredCompaction(key.compaction_id))
    stored.sizes[key.name] = entry["Size"]
    stored.newest_at = max(filter(None, (stored.newest_at, entry["LastModified"])))


def read_manifest(s3: ListingClient, spec: TableSpec, partition: PartitionSpec, identifier: str) -> Manifest | None:
    """The manifest of a compaction; None when it has none. Raises UnreadableManifest."""
    document = _document(s3, spec, compaction_folder(spec, partition, identifier) + MANIFEST_NAME)
    if document is None:
        return None
    manifest = Manifest.from_bytes(document)
    if manifest.compaction_id != identifier or manifest.values != partition.values():
        raise UnreadableManifest(f"the manifest of another compaction: {manifest.compaction_id}")
    return manifest


@dataclass(frozen=True)
class LateNote:
    """Which raw object's rows a compaction took in late, and the Parquet object that has them."""

    found: InputObject
    output: OutputObject
    facts: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """The document."""
        return orjson.dumps({"found": vars(self.found), "output": vars(self.output), "facts": dict(self.facts)})


def read_late_note(
    s3: ListingClient, spec: TableSpec, partition: PartitionSpec, identifier: str, name: str
) -> LateNote | None:
    """The note of a late Parquet object by its name; None when there is none that can be read."""
    document = _document(s3, spec, late_note_key(spec, partition, identifier, name))
    if document is None:
        return None
    try:
        note = orjson.loads(document)
        return LateNote(InputObject(**note["found"]), OutputObject(**note["output"]), note["facts"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def late_note_key(spec: TableSpec, partition: PartitionSpec, identifier: str, name: str) -> str:
    """The key of the note of a late Parquet object; written after it."""
    return f"{compaction_folder(spec, partition, identifier)}_{name.removesuffix('.parquet')}.json"


def _document(s3: ListingClient, spec: TableSpec, key: str) -> bytes | None:
    try:
        body: bytes = s3.get_object(Bucket=spec.bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error_code(error) in ("NoSuchKey", "404"):
            return None
        raise
    return body


def _listed(
    s3: ListingClient, bucket: str, prefix: str, start_after: str, end: str | None
) -> Iterator[Mapping[str, Any]]:
    arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    if start_after:
        arguments["StartAfter"] = start_after
    while True:
        page = s3.list_objects_v2(**arguments)
        for entry in page.get("Contents", ()):
            if end is not None and entry["Key"] > end:
                return
            yield entry
        if not page.get("IsTruncated"):
            return
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def _bounds(prefix: str, time_range: PartitionRange | None) -> tuple[str, str | None]:
    """The keys after which a range begins, and after which none of it follows."""
    first, last = (None, None) if time_range is None else (time_range.first, time_range.last)
    start_after = "" if first is None else prefix + first.path()
    if last is None or last.end() >= _END_OF_TIME:
        return start_after, None
    return start_after, prefix + PartitionSpec.from_datetime(last.end(), last.granularity, last.scheme).path()


def uncovered(manifest: Manifest, raw: RawFolder) -> tuple[list[InputObject], list[str]]:
    """Raw objects whose rows the compaction has not, and keys of those it has that lie there no more."""
    covered = {found.identity for found in manifest.covered}
    keys = {found.key for found in raw.objects}
    extras = [found for found in raw.objects if found.identity not in covered]
    return extras, [found.key for found in manifest.covered if found.key not in keys]
