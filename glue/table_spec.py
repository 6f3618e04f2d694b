"""Tables are data: a YAML file in glue/tables is all there is to a table.

A `TableSpec` tells the catalogue what to hold (`table_input()` is a whole Glue TableInput), the contract what to
show (columns with their descriptions: the data dictionary), policy which column is the tenant's and which may not be
asked for, pruning how late a row may lie, retention how long it stays. The columns of an envelope are shared:
glue/tables/envelope-<name>.yaml. So are the folders of writers other than Secor: `layout: {writer: firehose}` takes
those of glue/tables/writer-firehose.yaml, and whatever else the layout says replaces them. Fields of the payload
become typed columns by `raised` (glue.raised_field).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from glue.envelope import RecordFields
from glue.layout import AlternativePath, SecorLayout
from glue.partition_spec import PartitionScheme, PartitionSpec
from glue.raised_field import RaisedField
from glue.retention_override import (
    ObjectTag,
    RetentionOverride,
    RetentionTerms,
    object_tag,
    retention_overrides,
    retention_terms,
)

# Glue's rule for names that every engine can read (AWS Glue: lower-case letters, digits, underscore, at most 255).
_NAME = re.compile(r"[a-z0-9_]{1,255}")
_OPENX_SERDE: Mapping[str, str] = {"ignore.malformed.json": "true", "case.insensitive": "true", "dots.in.keys": "false"}
DEFAULT_DATABASE = "data_hist"
SPEC_HASH_PARAMETER = "data_hist.spec"


class InvalidTableSpec(ValueError):
    """A table's YAML that cannot be meant; says which file and what."""


def reference_of(name: str, database: str) -> str:
    """See TableSpec.reference."""
    return name if database == DEFAULT_DATABASE else f"{database}.{name}"


@dataclass(frozen=True)
class ColumnSpec:
    """A column of the catalogue: its Hive type text and what it means."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class TableSpec:
    """One table as its YAML says it. `record`: what its envelope calls the parts of a record; None without one."""

    name: str
    database: str
    description: str
    columns: tuple[ColumnSpec, ...]
    partition_keys: tuple[ColumnSpec, ...]
    bucket: str
    topic: str
    layout: SecorLayout
    tenant_column: str
    time_column: str
    arrival_column: str
    forbidden_columns: frozenset[str]
    allowed_lateness_minutes: int
    allowed_clock_skew_minutes: int
    retention_days: int
    archive_days: int | None = None
    raised: tuple[RaisedField, ...] = ()
    payload_column: str = "data"
    retention_overrides: tuple[RetentionOverride, ...] = ()
    retention_tag: ObjectTag | None = None
    catalogue_columns: tuple[ColumnSpec, ...] = ()
    record: RecordFields | None = None
    serde_parameters: Mapping[str, str] = field(default_factory=lambda: _OPENX_SERDE)

    @property
    def reference(self) -> str:
        """How commands and the ledger name this table: `events`, and `data_hist_v1.events` outside the default
        database, since two databases may have tables of one name.
        """
        return reference_of(self.name, self.database)

    @property
    def retention_terms(self) -> RetentionTerms:
        """How long the table's data stays where no override says otherwise."""
        return RetentionTerms(self.retention_days, self.archive_days)

    @cached_property
    def location(self) -> str:
        """`s3://bucket/prefix/topic/`: what the catalogue holds."""
        return f"s3://{self.bucket}/{self.layout.topic_prefix(self.topic)}"

    @cached_property
    def data_columns(self) -> tuple[ColumnSpec, ...]:
        """What the catalogue holds as columns: those of the envelope and its table, then the raised fields."""
        return self.columns + tuple(ColumnSpec(field.name, field.type, field.description) for field in self.raised)

    @cached_property
    def all_columns(self) -> tuple[ColumnSpec, ...]:
        """What a query sees: the columns of the data, the raised fields, then the partition keys."""
        return self.data_columns + self.partition_keys

    def stores(self, column: str) -> bool:
        """Whether the catalogue's table has this column, as far as is known."""
        return not self.catalogue_columns or any(column == found.name for found in self.catalogue_columns)

    def partition_location(self, partition: PartitionSpec) -> str:
        """The folder of a partition as an S3 URI that ends in a slash."""
        return f"s3://{self.bucket}/{self.layout.folder(self.topic, partition)}"

    def storage_descriptor(self, location: str) -> dict[str, Any]:
        """A Glue StorageDescriptor: newline-delimited JSON read by the OpenX SerDe.

        Partitions carry the same one as the table, so that their columns never drift apart
        (HIVE_PARTITION_SCHEMA_MISMATCH).
        """
        return {
            "Columns": [{"Name": c.name, "Type": c.type, "Comment": c.description[:255]} for c in self.data_columns],
            "Location": location,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "Compressed": self.layout.extension == ".gz",
            "NumberOfBuckets": -1,
            "SerdeInfo": {
                "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                "Parameters": dict(self.serde_parameters),
            },
            "StoredAsSubDirectories": False,
        }

    def table_input(self) -> dict[str, Any]:
        """The Glue TableInput.

        `TableType` and `classification` are what SHOW CREATE TABLE and crawlers cannot do without.
        """
        table_input: dict[str, Any] = {
            "Name": self.name,
            "Description": self.description[:2048],
            "Retention": 0,
            "StorageDescriptor": self.storage_descriptor(self.location),
            "PartitionKeys": [
                {"Name": k.name, "Type": k.type, "Comment": k.description[:255]} for k in self.partition_keys
            ],
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "json"},
        }
        if self.layout.extension == ".gz":
            table_input["Parameters"]["compressionType"] = "gzip"
        text = json.dumps(table_input, sort_keys=True)
        table_input["Parameters"][SPEC_HASH_PARAMETER] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return table_input

    def partition_input(self, partition: PartitionSpec) -> dict[str, Any]:
        """The Glue PartitionInput of one partition."""
        return {
            "Values": list(partition.values()),
            "StorageDescriptor": self.storage_descriptor(self.partition_location(partition)),
        }

    def in_bucket(self, bucket: str) -> TableSpec:
        """The same table in another bucket: what a deployment's configuration says."""
        return replace(self, bucket=bucket)


def load_table_specs(folder: Traversable | None = None, *, bucket: str | None = None) -> Mapping[str, TableSpec]:
    """The tables of a folder of YAML files (the shipped ones without an argument), by reference, in order of file name.

    `bucket` replaces the bucket that the files name. Raises InvalidTableSpec.
    """
    root = folder if folder is not None else resources.files("glue") / "tables"
    specs: dict[str, TableSpec] = {}
    for entry in sorted(root.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".yaml") or entry.name.startswith(("envelope-", "writer-")):
            continue
        spec = _table_spec(entry, root)
        if spec.reference in specs:
            raise InvalidTableSpec(f"{entry.name}: a second table named {spec.reference}")
        specs[spec.reference] = spec if bucket is None else spec.in_bucket(bucket)
    return specs


def _table_spec(entry: Traversable, root: Traversable) -> TableSpec:
    try:
        document = _yaml(entry)
        envelope = _yaml(root / f"envelope-{document['envelope']}.yaml") if "envelope" in document else {}
        writer = document.get("layout", {}).get("writer")
        return _from_documents(document, envelope, _writer(writer, root) if writer is not None else {})
    except KeyError as error:
        raise InvalidTableSpec(f"{entry.name}: {error.args[0]} is missing") from error
    except (TypeError, ValueError, OSError, yaml.YAMLError) as error:
        raise InvalidTableSpec(f"{entry.name}: {error}") from error


def writer_layout(writer: str, prefix: str, folder: Traversable | None = None) -> SecorLayout:
    """The layout of a writer by its name (`firehose`), below this prefix. Raises InvalidTableSpec."""
    root = folder if folder is not None else resources.files("glue") / "tables"
    try:
        return _layout(prefix, _writer(writer, root))
    except (KeyError, ValueError) as error:
        raise InvalidTableSpec(f"writer {writer!r}: {error}") from error


def writer_names(folder: Traversable | None = None) -> list[str]:
    """The writers whose folders are known, in order of name."""
    root = folder if folder is not None else resources.files("glue") / "tables"
    names = (entry.name for entry in root.iterdir())
    return sorted(n.removeprefix("writer-").removesuffix(".yaml") for n in names if n.startswith("writer-"))


def _writer(writer: object, root: Traversable) -> dict[str, Any]:
    known = writer_names(root)
    if writer not in known:
        raise ValueError(f"no writer {writer!r}; there are {', '.join(known)}")
    return _yaml(root / f"writer-{writer}.yaml")


def _from_documents(document: Mapping[str, Any], envelope: Mapping[str, Any], writer: Mapping[str, Any]) -> TableSpec:
    merged = {**envelope, **document}
    columns = _columns(envelope.get("columns", []))
    columns.update(_columns(document.get("columns", [])))  # a known name keeps its place, a new one goes to the end
    terms = retention_terms(merged)
    tag = object_tag(merged["retention_tag"]) if "retention_tag" in merged else None
    location, layout = document["location"], {**writer, **document.get("layout", {})}
    spec = TableSpec(
        name=document["name"],
        database=document["database"],
        description=document["description"],
        columns=tuple(columns.values()),
        partition_keys=tuple(_columns(merged["partition_keys"]).values()),
        bucket=location["bucket"],
        topic=location["topic"],
        layout=_layout(location["prefix"], layout),
        tenant_column=merged["tenant_column"],
        time_column=merged["time_column"],
        arrival_column=merged["arrival_column"],
        forbidden_columns=frozenset(merged.get("forbidden_columns", [])),
        allowed_lateness_minutes=_minutes(merged["allowed_lateness_minutes"]),
        allowed_clock_skew_minutes=_minutes(merged["allowed_clock_skew_minutes"]),
        retention_days=terms.retention_days,
        archive_days=terms.archive_days,
        retention_overrides=retention_overrides(merged.get("retention_overrides", ()), terms, tag),
        retention_tag=tag,
        record=_record(merged["record"]) if "record" in merged else None,
        payload_column=merged.get("payload_column", "data"),
        raised=tuple(_raised(entry) for entry in document.get("raised", [])),
        serde_parameters={**_OPENX_SERDE, **merged.get("serde_parameters", {})},
    )
    _check(spec)
    return spec


def _layout(prefix: str, options: dict[str, Any]) -> SecorLayout:
    folders = {
        name: (options[name]["prefix"], options[name]["format"])
        for name in ("date", "hour", "minute")
        if name in options
    }
    alternative = options.get("alternative")
    return SecorLayout(
        prefix=prefix,
        scheme=PartitionScheme.from_secor(
            granularity=options.get("granularity", "minute"), zone_name=options.get("zone", "UTC"), **folders
        ),
        has_md5_prefix=bool(options.get("md5_prefix", False)),
        has_offset_folders=bool(options.get("offset_folders", False)),
        alternative=alternative and AlternativePath(alternative["prefix"], _date(alternative["from_date"])),
        extension=options.get("extension", ".gz"),
    )


def _check(spec: TableSpec) -> None:
    names = [column.name for column in spec.all_columns]
    for name in (spec.name, spec.database, *names):
        if not _NAME.fullmatch(name):
            raise InvalidTableSpec(f"{name!r}: a name has lower-case letters, digits and underscores only")
    if len(set(names)) != len(names):
        raise InvalidTableSpec("two columns have the same name")
    if [key.name for key in spec.partition_keys] != list(spec.layout.scheme.keys()):
        raise InvalidTableSpec(
            f"partition keys {names[-len(spec.partition_keys) :]} are not the layout's {spec.layout.scheme.keys()}"
        )
    if spec.raised and spec.payload_column not in names:
        raise InvalidTableSpec(f"fields are raised from {spec.payload_column}, and there is no such column")
    for override in spec.retention_overrides:
        if override.prefix is not None:
            try:
                PartitionSpec.parse(override.prefix.rstrip("/"), spec.layout.scheme)
            except ValueError as error:
                raise InvalidTableSpec(
                    f"retention override {override.name}: no folder of this layout: {error}"
                ) from error
    missing = {spec.tenant_column, spec.time_column, spec.arrival_column, *spec.forbidden_columns} - set(names)
    if missing:
        raise InvalidTableSpec(f"no column named {', '.join(sorted(missing))}")


def _columns(entries: list[Mapping[str, str]]) -> dict[str, ColumnSpec]:
    return {entry["name"]: ColumnSpec(entry["name"], entry["type"], entry["description"]) for entry in entries}


def _raised(entry: Mapping[str, Any]) -> RaisedField:
    path = entry["path"]
    paths = (path,) if isinstance(path, str) else tuple(path)
    return RaisedField(entry["name"], entry["type"], paths, entry["description"])


def _record(names: Mapping[str, Any]) -> RecordFields:
    return RecordFields(**{**names, "services": tuple(names["services"])})


def _minutes(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of minutes")
    return value


def _date(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _yaml(entry: Traversable) -> dict[str, Any]:
    document = yaml.safe_load(entry.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise TypeError("not a YAML mapping")
    return document
