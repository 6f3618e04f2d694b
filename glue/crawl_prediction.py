"""What a crawler makes of a lake: tables, their partition keys and columns, predicted before anybody pays for a crawl.

    listing -> objects without exclusions -> samples -> folders -> tables -> names

Documented rules (Glue developer guide, "How does a crawler determine when to create partitions?", "Creating a single
schema for each S3 path", "Specifying the table location and partitioning level"; re:Post, "How does the AWS Glue
crawler detect the schema?"):

- Folders become partitions of one table when all have the same format and compression, their schemas match by more than
  0.7, and there are at most 5 different ones; otherwise each folder is a table. CombineCompatibleSchemas ignores the
  schemas. TableLevelConfiguration puts the tables at one level; the bucket is level 1.
- A folder `k=v` is the value v of the key k; any other is a value of partition_0, partition_1, .. Keys are strings.
- Tables are named after their folder: letters, digits and `_`, lower case, 128 characters; a name that is taken gets a
  hash.

Our reading, where the guide says nothing: the measure of similarity (`schema_inference.similarity`), that each
different schema is compared with the commonest one, that folders of different depth are no partitions of one table,
that objects of one folder which do not match are a table each, and the hash.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from glue.crawl_sampling import Sample, sample
from glue.crawler_configuration import CrawlerConfiguration, S3Target
from glue.glob_pattern import is_excluded
from glue.registration import ARCHIVE_CLASSES
from glue.schema_inference import Column, Schema, joined_schemas, similarity

SIMILARITY_THRESHOLD = 0.7
MAXIMUM_CLUSTERS = 5
NAME_LIMIT = 128
_KEY_VALUE = re.compile(r"([^=]+)=(.*)")
_UNNAMED = re.compile(r"[^0-9a-z_]")


class PredictionClient(Protocol):
    """The part of boto3's S3 client that is used here."""

    def list_objects_v2(self, **arguments: Any) -> Any: ...
    def get_object(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class PredictedPartition:
    """The values of a partition and its folder."""

    values: tuple[str, ...]
    location: str


@dataclass(frozen=True)
class PredictedTable:
    """A table as a crawl would make it. `reason`: why it is a table of its own, "" when it is all of its target."""

    name: str
    location: str
    format: str
    compression: str
    columns: tuple[Column, ...]
    partition_keys: tuple[str, ...]
    partitions: tuple[PredictedPartition, ...]
    object_count: int
    size_bytes: int
    row_count: int  # of the samples
    csv_delimiter: str = ""
    has_csv_header: bool = False
    reason: str = ""
    exclusions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values; the first partitions."""
        return {
            "name": self.name,
            "location": self.location,
            "format": self.format,
            "compression": self.compression,
            "columns": [{"name": column.name, "type": column.hive()} for column in self.columns],
            "partition_keys": [{"name": key, "type": "string"} for key in self.partition_keys],
            "partition_count": len(self.partitions),
            "partitions": [
                {"values": list(found.values), "location": found.location} for found in self.partitions[:20]
            ],
            "objects": self.object_count,
            "size_bytes": self.size_bytes,
            "reason": self.reason,
        }


@dataclass
class CrawlPrediction:
    """All a crawl would find. `sampled_objects` of `object_count` were read, `read_bytes` of them."""

    tables: list[PredictedTable] = field(default_factory=list)
    object_count: int = 0
    size_bytes: int = 0
    excluded_count: int = 0
    empty_count: int = 0
    archived_count: int = 0
    sampled_objects: int = 0
    read_bytes: int = 0
    unknown: list[str] = field(default_factory=list)  # objects of no known format, the first ones
    unknown_count: int = 0
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The prediction as JSON values."""
        return {**vars(self), "tables": [table.to_json() for table in self.tables]}


def predict(
    s3_client: PredictionClient,
    crawler: CrawlerConfiguration,
    *,
    maximum_samples: int | None = None,
    taken_names: Mapping[str, str] | None = None,
) -> CrawlPrediction:
    """What a crawl of this crawler would make. `maximum_samples` bounds how many objects are read, spread over the
    folders. `taken_names`: tables that are there, with their locations.
    """
    prediction = CrawlPrediction()
    found: list[_Found] = []
    for target in crawler.targets:
        root = _folder_tree(s3_client, target, prediction)
        _sample_all(s3_client, target, root, prediction, maximum_samples)
        found += _Grouping(crawler, target, prediction).tables(root)
    prediction.tables = _named(found, crawler, taken_names or {})
    for table in prediction.tables:
        prediction.warnings += _warnings(table)
    return prediction


@dataclass
class _File:
    key: str
    size_bytes: int
    sample: Sample | None = None


@dataclass
class _Folder:
    """A folder of the lake: its key prefix, its files and the folders in it, by name."""

    prefix: str
    files: list[_File] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], _Folder]]:
        """The folders with files, this one included, with their names below this one."""
        if self.files:
            yield path, self
        for name, folder in self.folders.items():
            yield from folder.leaves((*path, name))


@dataclass(frozen=True)
class _Found:
    """A table before it has a name. `files` is None for a folder's whole content."""

    target: S3Target
    prefix: str
    leaves: tuple[tuple[tuple[str, ...], _Folder], ...]
    files: tuple[_File, ...]
    reason: str

    @property
    def location(self) -> str:
        return f"s3://{self.target.bucket}/{self.prefix}"


# Listing and sampling


def _folder_tree(s3_client: PredictionClient, target: S3Target, prediction: CrawlPrediction) -> _Folder:
    root = _Folder(target.prefix)
    for key, size_bytes, storage_class in _listed(s3_client, target):
        path = key[len(target.prefix) :]
        if is_excluded(path, target.exclusions):
            prediction.excluded_count += 1
            continue
        if not size_bytes or key.endswith("/"):
            prediction.empty_count += 1
            continue
        if storage_class in ARCHIVE_CLASSES:
            prediction.archived_count += 1
            continue
        prediction.object_count += 1
        prediction.size_bytes += size_bytes
        folder = root
        *names, _ = path.split("/")
        for name in names:
            folder = folder.folders.setdefault(name, _Folder(f"{folder.prefix}{name}/"))
        folder.files.append(_File(key, size_bytes))
    return root


def _listed(s3_client: PredictionClient, target: S3Target) -> Iterator[tuple[str, int, str]]:
    arguments: dict[str, Any] = {"Bucket": target.bucket, "Prefix": target.prefix}
    while True:
        page = s3_client.list_objects_v2(**arguments)
        for entry in page.get("Contents", ()):
            yield entry["Key"], entry["Size"], entry.get("StorageClass", "STANDARD")
        if not page.get("IsTruncated"):
            return
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def _sample_all(
    s3_client: PredictionClient,
    target: S3Target,
    root: _Folder,
    prediction: CrawlPrediction,
    maximum_samples: int | None,
) -> None:
    """Reads the files that the crawler would, or an even share of each folder's."""
    leaves = [folder for _, folder in root.leaves()]
    wanted = [folder.files if target.sample_size is None else folder.files[: target.sample_size] for folder in leaves]
    for files in _share(wanted, maximum_samples):
        for file in files:
            file.sample = sample(s3_client, target.bucket, file.key, file.size_bytes)
            prediction.sampled_objects += 1
            prediction.read_bytes += file.sample.read_bytes
            if file.sample.format == "unknown":
                prediction.unknown_count += 1
                if len(prediction.unknown) < 20:
                    prediction.unknown.append(f"s3://{target.bucket}/{file.key}")


def _share(wanted: Sequence[Sequence[_File]], maximum: int | None) -> Sequence[Sequence[_File]]:
    total = sum(len(files) for files in wanted)
    if maximum is None or total <= maximum:
        return wanted
    each = max(1, maximum // max(1, len(wanted)))
    shares = [files[:each] for files in wanted]
    if len(shares) <= maximum:
        return shares
    step = len(shares) / maximum  # more folders than may be read: every so many
    chosen = {int(number * step) for number in range(maximum)}
    return [files if at in chosen else [] for at, files in enumerate(shares)]


# Folders into tables


class _Grouping:
    """The rules by which the folders of one target become tables."""

    def __init__(self, crawler: CrawlerConfiguration, target: S3Target, prediction: CrawlPrediction) -> None:
        self._crawler = crawler
        self._target = target
        self._prediction = prediction

    def tables(self, root: _Folder) -> list[_Found]:
        """The tables of a target's folder."""
        level = self._crawler.table_level
        if level is not None and level > self._target.level:
            return [
                self._table(folder, "the table level of the crawler")
                for folder in _at_depth(root, level - self._target.level)
                if any(True for _ in folder.leaves())
            ]
        return self._below(root, "")

    def _below(self, folder: _Folder, reason: str) -> list[_Found]:
        leaves = list(folder.leaves())
        if not leaves:
            return []
        difference = self._difference(leaves)
        if not difference:
            return [self._table(folder, reason)]
        if len(leaves) == 1 and leaves[0][1] is folder:
            return [self._file_table(folder, file, difference) for file in folder.files if _is_known(file)]
        tables: list[_Found] = []
        if folder.files:  # files beside folders
            tables += self._below(_Folder(folder.prefix, folder.files), difference)
        for inner in folder.folders.values():
            tables += self._below(inner, difference)
        return tables

    def _difference(self, leaves: Sequence[tuple[tuple[str, ...], _Folder]]) -> str:
        """Why some folders with files are not one table; "" when they are."""
        if len({len(path) for path, _ in leaves}) > 1:
            return "files lie at different depths"
        samples = [file.sample for _, folder in leaves for file in folder.files if _is_known(file)]
        kinds = {found.kind for found in samples if found is not None}
        if len(kinds) > 1:
            return "formats or compressions differ: " + ", ".join(sorted(f"{kind[0]}/{kind[1]}" for kind in kinds))
        if self._crawler.combines_schemas:
            return ""
        folders = [_schema_of(folder.files) for _, folder in leaves] if len(leaves) > 1 else None
        schemas = [found.schema for found in samples if found is not None] if folders is None else folders
        return schema_difference(schemas)

    def _table(self, folder: _Folder, reason: str) -> _Found:
        leaves = tuple(folder.leaves())
        files = tuple(file for _, leaf in leaves for file in leaf.files)
        return _Found(self._target, folder.prefix, leaves, files, reason)

    def _file_table(self, folder: _Folder, file: _File, reason: str) -> _Found:
        alone = _Folder(folder.prefix, [file])
        return _Found(self._target, file.key, (((), alone),), (file,), reason)


def schema_difference(schemas: Sequence[Schema]) -> str:
    """Why some schemas are not those of one table; "" when they are."""
    known = [schema for schema in schemas if schema.columns]
    if len(known) < 2:
        return ""
    shapes = Counter(frozenset((column.name, column.hive()) for column in schema.columns) for schema in known)
    by_shape = {frozenset((column.name, column.hive()) for column in schema.columns): schema for schema in known}
    commonest = by_shape[shapes.most_common(1)[0][0]]
    least = min(similarity(commonest, schema) for schema in by_shape.values())
    if least <= SIMILARITY_THRESHOLD:
        return f"schemas match by {least:.0%} only, more than {SIMILARITY_THRESHOLD:.0%} are needed"
    if len(by_shape) > MAXIMUM_CLUSTERS:
        return f"{len(by_shape)} different schemas, at most {MAXIMUM_CLUSTERS} make one table"
    return ""


def _at_depth(folder: _Folder, depth: int) -> Iterator[_Folder]:
    if depth == 0:
        yield folder
        return
    for inner in folder.folders.values():
        yield from _at_depth(inner, depth - 1)


def _is_known(file: _File) -> bool:
    return file.sample is not None and file.sample.format != "unknown"


def _schema_of(files: Iterable[_File]) -> Schema:
    return joined_schemas(file.sample.schema for file in files if file.sample is not None)


# Tables with names


def _named(found: Sequence[_Found], crawler: CrawlerConfiguration, taken: Mapping[str, str]) -> list[PredictedTable]:
    tables = []
    used = dict(taken)
    for one in found:
        samples = [file.sample for file in one.files if _is_known(file)]
        kinds = Counter(sample.kind for sample in samples if sample is not None)
        if not kinds:
            continue  # nothing in it is of a known format
        kind = kinds.most_common(1)[0][0]
        schema = joined_schemas(each.schema for each in samples if each is not None and each.kind == kind)
        keys = _partition_keys([path for path, _ in one.leaves])
        name = table_name(one.location, crawler.table_prefix)
        if used.get(name, one.location).rstrip("/") != one.location.rstrip("/"):
            name = f"{name[: NAME_LIMIT - 33]}_{hashlib.md5(one.location.encode(), usedforsecurity=False).hexdigest()}"
        used[name] = one.location
        shape = next((each.csv for each in samples if each is not None and each.csv is not None), None)
        tables.append(
            PredictedTable(
                name=name,
                location=one.location,
                format=kind[0],
                compression=kind[1],
                columns=schema.columns,
                partition_keys=keys,
                partitions=tuple(
                    PredictedPartition(_values(path, keys), f"s3://{one.target.bucket}/{leaf.prefix}")
                    for path, leaf in one.leaves
                )
                if keys
                else (),
                object_count=len(one.files),
                size_bytes=sum(file.size_bytes for file in one.files),
                row_count=schema.row_count,
                csv_delimiter=kind[2],
                has_csv_header=shape is not None and shape.has_header,
                reason=one.reason,
                exclusions=one.target.exclusions,
            )
        )
    return tables


def table_name(location: str, prefix: str = "") -> str:
    """The name of the table at a location: its last folder, or its file."""
    last = location.removeprefix("s3://").rstrip("/").rpartition("/")[2]
    return (prefix.lower() + _UNNAMED.sub("_", last.lower()))[:NAME_LIMIT]


def _partition_keys(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    depth = max((len(path) for path in paths), default=0)
    keys: list[str] = []
    for at in range(depth):
        matches = [_KEY_VALUE.fullmatch(path[at]) for path in paths if len(path) > at]
        names = {match[1].lower() if match else None for match in matches}
        name = names.pop() if len(names) == 1 else None
        keys.append(_UNNAMED.sub("_", name) if name is not None and name not in keys else f"partition_{at}")
    return tuple(keys)


def _values(path: tuple[str, ...], keys: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for at, key in enumerate(keys):
        name = path[at] if at < len(path) else ""
        match = _KEY_VALUE.fullmatch(name)
        found.append(match[2] if match is not None and not key.startswith("partition_") else name)
    return tuple(found)


def _warnings(table: PredictedTable) -> Iterator[str]:
    if not table.location.endswith("/"):
        yield f"{table.name}: its location is a file; Athena reads folders"
    dotted = [column.name for column in table.columns if "." in column.name]
    if dotted and table.format == "json":
        yield f"{table.name}: {dotted[0]} has a dot in its name; the OpenX SerDe reads it with dots.in.keys only"
    both = sorted({column.name for column in table.columns} & set(table.partition_keys))
    if both:
        yield f"{table.name}: {', '.join(both)} is a column and a partition key: Athena refuses such a table"
    if table.format in ("orc", "avro"):
        yield f"{table.name}: columns of {table.format} are not predicted"
    if table.format == "json" and [column.name for column in table.columns] == ["array"]:
        yield f"{table.name}: the files are one JSON array each; Athena wants a value a line"
    unnamed = [key for key in table.partition_keys if key.startswith("partition_")]
    if unnamed:
        yield f"{table.name}: folders without names become {', '.join(unnamed)}"
