"""Where a compaction lies, and what it says of itself.

    s3://bucket/compacted/<table>/<partition>/<compaction id>/
        part-00000.parquet ...
        late-<hash of a raw key>.parquet    rows of an object that came when the raw ones were gone
        _malformed.ndjson.gz                lines that no query reads
        _manifest.json                      written last: with it the compaction is whole
        _raw_removed.json                   its raw objects may be gone

Names that begin with `_` are none of a query's business. The compaction id follows from what is read and how (inputs
with sizes and ETags, columns, SerDe, raised fields), so that the same inputs are the same compaction: whoever begins it
anew, after a crash or beside another, writes the same rows under the same keys.

Who has the last word on a partition's rows is told by one object. Without `_raw_removed.json` it is the raw folder: all
of its objects are there, and the partition can go back to it at any time. With it it is the compaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import orjson

from glue.data_retention import compacted_prefix
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.table_spec import TableSpec

MANIFEST_NAME = "_manifest.json"
RAW_REMOVED_NAME = "_raw_removed.json"
LATE_PREFIX = "late-"
_FORMAT = 1
_ID_LENGTH = 20
_KEY_HASH_LENGTH = 24


class UnreadableManifest(ValueError):
    """A manifest that this release cannot read; says why."""


@dataclass(frozen=True)
class InputObject:
    """An object as it was listed; `etag` without quotes. `is_parquet`: written by an earlier compaction."""

    key: str
    size_bytes: int
    etag: str
    is_parquet: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from any other object, and from itself with other bytes."""
        return self.key, self.etag


@dataclass(frozen=True)
class OutputObject:
    """A Parquet object; times are ms since 1970, None where no row has one."""

    key: str
    size_bytes: int
    row_count: int
    minimum_time: int | None
    maximum_time: int | None


@dataclass(frozen=True)
class Manifest:
    """One compaction of one partition.

    `inputs` were read; `covered` are the raw objects whose rows are in it (others, where a compaction was read anew).
    `reading` is how they were read (`reading_of`), `input_facts` what the ledger wants to know of them.
    """

    compaction_id: str
    table: str
    values: tuple[str, ...]
    inputs: tuple[InputObject, ...]
    covered: tuple[InputObject, ...]
    outputs: tuple[OutputObject, ...]
    row_count: int
    malformed_count: int
    reading: str
    written_at: datetime
    malformed_samples: tuple[tuple[str, int, str], ...] = ()
    input_facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes that a query of the partition reads at most."""
        return sum(output.size_bytes for output in self.outputs)

    def to_bytes(self) -> bytes:
        """The document: JSON for people and machines."""
        document = {
            "format": _FORMAT,
            **vars(self),
            "written_at": self.written_at.isoformat(),
            "inputs": [vars(found) for found in self.inputs],
            "covered": [vars(found) for found in self.covered],
            "outputs": [vars(found) for found in self.outputs],
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_bytes(cls, document: bytes) -> Manifest:
        """What `to_bytes` wrote. Raises UnreadableManifest."""
        try:
            members = orjson.loads(document)
            if members.pop("format") != _FORMAT:
                raise UnreadableManifest("a manifest of another release")
            return cls(
                **{
                    **members,
                    "values": tuple(members["values"]),
                    "inputs": tuple(InputObject(**found) for found in members["inputs"]),
                    "covered": tuple(InputObject(**found) for found in members["covered"]),
                    "outputs": tuple(OutputObject(**found) for found in members["outputs"]),
                    "written_at": datetime.fromisoformat(members["written_at"]),
                    "malformed_samples": tuple(tuple(sample) for sample in members["malformed_samples"]),
                }
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableManifest(f"no manifest: {str(error)[:100]}") from None


def reading_of(spec: TableSpec) -> str:
    """A text that changes with how raw objects are read: columns and types, SerDe, raised fields."""
    read = [
        [(column.name, column.type) for column in spec.data_columns],
        sorted(spec.serde_parameters.items()),
        [(raised.name, raised.type, raised.paths) for raised in spec.raised],
        spec.payload_column,
        spec.time_column,
    ]
    return hashlib.sha256(orjson.dumps(read)).hexdigest()[:16]


def compaction_id(spec: TableSpec, partition: PartitionSpec, inputs: Iterable[InputObject]) -> str:
    """The id of the compaction of these objects: the same for the same ones, in any order."""
    read = sorted((found.key, found.size_bytes, found.etag, found.is_parquet) for found in inputs)
    identity = [_FORMAT, spec.database, spec.name, partition.values(), reading_of(spec), read]
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()[:_ID_LENGTH]


def partition_prefix(spec: TableSpec, partition: PartitionSpec) -> str:
    """The key prefix of a partition's compactions."""
    return f"{compacted_prefix(spec)}{partition.path()}/"


def compaction_folder(spec: TableSpec, partition: PartitionSpec, identifier: str) -> str:
    """The key prefix of one compaction."""
    return f"{partition_prefix(spec, partition)}{identifier}/"


def compaction_location(spec: TableSpec, partition: PartitionSpec, identifier: str) -> str:
    """The same as an S3 URI: where the catalogue points."""
    return f"s3://{spec.bucket}/{compaction_folder(spec, partition, identifier)}"


def compaction_at(spec: TableSpec, partition: PartitionSpec, location: str) -> str | None:
    """The id of the compaction that lies at a location; None for any other place."""
    root = f"s3://{spec.bucket}/{partition_prefix(spec, partition)}"
    identifier = location.removeprefix(root).rstrip("/")
    return identifier if location.startswith(root) and _is_id(identifier) else None


def late_name(key: str) -> str:
    """The name of the Parquet object that has the rows of a late raw object."""
    return f"{LATE_PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:_KEY_HASH_LENGTH]}.parquet"


CompactedKind = Literal["part", "late", "malformed", "manifest", "raw_removed", "other"]


@dataclass(frozen=True)
class CompactedKey:
    """A key below a table's compactions, understood."""

    partition: PartitionSpec
    compaction_id: str
    name: str

    @property
    def kind(self) -> CompactedKind:
        """What kind of object it names."""
        if self.name == MANIFEST_NAME:
            return "manifest"
        if self.name == RAW_REMOVED_NAME:
            return "raw_removed"
        if self.name.startswith(LATE_PREFIX) and self.name.endswith(".parquet"):
            return "late"
        if self.name.startswith("part-") and self.name.endswith(".parquet"):
            return "part"
        return "malformed" if self.name.startswith("_malformed") else "other"


def parse_compacted_key(spec: TableSpec, key: str) -> CompactedKey | None:
    """What a key says; None for one that compaction did not write."""
    prefix = compacted_prefix(spec)
    path, _, rest = key.removeprefix(prefix).rpartition("/")
    path, _, identifier = path.rpartition("/")
    if not key.startswith(prefix) or not _is_id(identifier) or not rest:
        return None
    try:
        partition = PartitionSpec.parse(path, spec.layout.scheme)
    except InvalidPartition:
        return None
    if len(partition.values()) != len(spec.layout.scheme.folders):
        return None
    return CompactedKey(partition, identifier, rest)


def _is_id(text: str) -> bool:
    return len(text) == _ID_LENGTH and all(character in "0123456789abcdef" for character in text)
