"""Tables are data: a YAML file is all there is to a table.

The shipped ones are in glue/tables; a folder of one's own (DATA_HIST_TABLES_DIR) adds to them and replaces those of the
same name. A `TableSpec` tells the catalogue what to hold (`table_input()` is a whole Glue TableInput), the contract
what to show (columns with their descriptions: the data dictionary), policy which column is the tenant's and which may
not be asked for, pruning how late a row may lie, retention how long it stays. The columns of an envelope are shared:
envelope-<name>.yaml. So are the folders of writers other than Secor: `layout: {writer: firehose}` takes those of
writer-firehose.yaml, and whatever else the layout says replaces them. Fields of the payload become typed columns by
`raised` (glue.raised_field); `examples` are records that show what belongs into the table (glue.spec_examples).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from glue.column_type import parse_type
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
from glue.spec_document import Node, did_you_mean, shown, yaml_document

# Glue's rule for names that every engine can read (AWS Glue: lower-case letters, digits, underscore, at most 255).
_NAME = re.compile(r"[a-z0-9_]{1,255}")
_OPENX_SERDE: Mapping[str, str] = {"ignore.malformed.json": "true", "case.insensitive": "true", "dots.in.keys": "false"}
DEFAULT_DATABASE = "data_hist"
DEFAULT_BUCKET = "data-hist-lake"
SPEC_HASH_PARAMETER = "data_hist.spec"


class InvalidTableSpec(ValueError):
    """Table files that cannot be meant; the text has a line for each thing that is wrong, with its file and key."""


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
class SpecExample:
    """A record that belongs into the table, as a line of JSON, and what is expected of it (None: nothing is said)."""

    line: str
    raised: Mapping[str, Any] | None = None
    partition: str | None = None


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
    examples: tuple[SpecExample, ...] = field(default=(), repr=False)
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
    """The shipped tables, with those of a folder added or in their place, by reference, in order of file name.

    `bucket` is the bucket of tables whose files name none. Raises InvalidTableSpec.
    """
    specs: dict[str, TableSpec] = {}
    complaints: list[str] = []
    folders = [_shipped(), *([] if folder is None else [folder])]
    files = [(root, _table_files(root)) for root in folders]
    for root, entries in files:
        found: dict[str, str] = {}
        for entry in entries:
            try:
                spec = _table_spec(entry, (root, *folders), bucket)
            except InvalidTableSpec as error:
                complaints.append(str(error))
                continue
            if spec.reference in found:
                complaints.append(
                    f"{entry.name}: a second table named {spec.reference}; {found[spec.reference]} has it"
                )
            found[spec.reference] = entry.name
            specs[spec.reference] = spec
    if complaints:
        raise InvalidTableSpec("\n".join(complaints))
    return specs


def table_specs_of_environment() -> Mapping[str, TableSpec]:
    """The tables that `DATA_HIST_TABLES_DIR` and `DATA_HIST_LAKE_BUCKET` name, for composition roots without settings.

    Raises InvalidTableSpec.
    """
    folder, bucket = (os.environ.get(f"DATA_HIST_{name}") or None for name in ("TABLES_DIR", "LAKE_BUCKET"))
    return load_table_specs(None if folder is None else Path(folder), bucket=bucket)


def load_table_file(entry: Traversable, folder: Traversable, *, bucket: str | None = None) -> TableSpec:
    """The table of one file. Envelopes and writers are those beside it in `folder`, else the shipped ones.

    Raises InvalidTableSpec.
    """
    return _table_spec(entry, (folder, _shipped()), bucket)


def writer_layout(writer: str, prefix: str, folder: Traversable | None = None) -> SecorLayout:
    """The layout of a writer by its name (`firehose`), below this prefix. Raises InvalidTableSpec."""
    folders = (folder or _shipped(), _shipped())
    try:
        return _layout(prefix, _named_document("writer", writer, folders))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidTableSpec(f"writer {writer!r}: {error}") from error


def writer_names(folder: Traversable | None = None) -> list[str]:
    """The writers whose folders are known, in order of name."""
    return _document_names("writer", (folder or _shipped(),))


def _shipped() -> Traversable:
    return resources.files("glue") / "tables"


def _table_files(root: Traversable) -> list[Traversable]:
    try:
        entries = [entry for entry in root.iterdir() if entry.name.endswith((".yaml", ".yml"))]
    except OSError as error:
        raise InvalidTableSpec(f"{root}: {error.strerror or error}: no folder of tables") from None
    tables = (entry for entry in entries if not entry.name.startswith(("envelope-", "writer-", ".")))
    return sorted(tables, key=lambda entry: entry.name.rpartition(".")[0])  # events before events-v1


def _document_names(kind: str, folders: Iterable[Traversable]) -> list[str]:
    """`v0` of envelope-v0.yaml, in order of name."""
    names = {entry.name for root in folders for entry in root.iterdir()}
    found = (name.removeprefix(f"{kind}-").removesuffix(".yaml") for name in names if name.startswith(f"{kind}-"))
    return sorted(found)


def _named_document(kind: str, name: object, folders: Sequence[Traversable]) -> dict[str, Any]:
    """The document of an envelope or a writer, from the first folder that has it. Raises ValueError."""
    known = _document_names(kind, folders)
    if name not in known:
        raise ValueError(f"no {kind} {name!r}{did_you_mean(str(name), known)}")
    for root in folders:
        entry = root / f"{kind}-{name}.yaml"
        if entry.is_file():
            document = _yaml(entry)
            if not isinstance(document, dict):
                raise ValueError(f"{entry.name} is not a YAML mapping")
            return document
    raise ValueError(f"no {kind} {name!r}")


def _yaml(entry: Traversable) -> Any:
    try:
        return yaml_document(entry.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _table_spec(entry: Traversable, folders: Sequence[Traversable], bucket: str | None) -> TableSpec:
    complaints: list[str] = []
    spec = None
    try:
        spec = _from_document(Node(_yaml(entry), complaints), folders, bucket)
    except ValueError as error:
        complaints.append(str(error))
    if complaints or spec is None:
        raise InvalidTableSpec("\n".join(f"{entry.name}: {complaint}" for complaint in complaints))
    return spec


_ENVELOPE_KEYS = (
    "columns", "partition_keys", "tenant_column", "time_column", "arrival_column", "forbidden_columns",
    "payload_column", "record",
)  # fmt: skip
_LAYOUT_KEYS = (
    "writer", "granularity", "zone", "date", "hour", "minute", "md5_prefix", "offset_folders", "alternative",
    "extension",
)  # fmt: skip


def _from_document(node: Node, folders: Sequence[Traversable], bucket: str | None) -> TableSpec | None:
    """The spec; None, or one that cannot be used, where there are complaints."""
    envelope: dict[str, Any] = {}
    if "envelope" in node:
        name = node.text("envelope")
        envelope = node.checked("envelope", lambda: _named_document("envelope", name, folders), {})
        if not envelope:  # most of what follows would be missing
            return None
    shared = Node(envelope, node.complaints, f"envelope-{node.raw('envelope')}.yaml")
    columns = {column.name: column for column in _columns(shared, "columns")}
    columns |= {column.name: column for column in _columns(node, "columns")}  # a known name keeps its place
    raised = [field for entry in node.nodes("raised") if (field := _raised(entry)) is not None]
    location = node.node("location")
    layout = _checked_layout(node, location.text("prefix"), folders)
    location_bucket = location.text("bucket", default=bucket or DEFAULT_BUCKET)
    topic = location.text("topic")
    location.finish()
    members: dict[str, Any] = {
        "name": node.text("name"),
        "database": node.text("database"),
        "description": node.text("description"),
        "columns": tuple(columns.values()),
        "partition_keys": tuple(_columns(node if "partition_keys" in node else shared, "partition_keys")),
        "bucket": location_bucket,
        "topic": topic,
        "tenant_column": _either(node, shared).text("tenant_column"),
        "time_column": _either(node, shared, "time_column").text("time_column"),
        "arrival_column": _either(node, shared, "arrival_column").text("arrival_column"),
        "forbidden_columns": frozenset(_either(node, shared, "forbidden_columns").texts("forbidden_columns")),
        "payload_column": _either(node, shared, "payload_column").text("payload_column", default="data"),
        "allowed_lateness_minutes": node.whole_number("allowed_lateness_minutes"),
        "allowed_clock_skew_minutes": node.whole_number("allowed_clock_skew_minutes"),
        "raised": tuple(raised),
        "record": _record(_either(node, shared, "record"), columns),
        "examples": tuple(example for entry in node.nodes("examples") if (example := _example(entry)) is not None),
        "serde_parameters": _serde_parameters(node),
    }
    _retention(node, members)
    shared.finish(*_ENVELOPE_KEYS)
    node.finish("tenant_column", "time_column", "arrival_column", "forbidden_columns", "payload_column", "record")
    if layout is None or node.complaints:
        return None
    spec = TableSpec(layout=layout, **members)
    node.complaints.extend(_faults(spec))
    return spec


def _either(node: Node, shared: Node, key: str = "tenant_column") -> Node:
    """The document that says this: the table's own, else its envelope's."""
    return shared if key in shared and key not in node else node


def _columns(node: Node, key: str) -> list[ColumnSpec]:
    found = []
    for entry in node.nodes(key):
        name, column_type, description = entry.text("name"), entry.text("type"), entry.text("description", default="")
        if column_type:
            entry.checked("type", partial(parse_type, column_type), None)
        entry.finish()
        found.append(ColumnSpec(name, column_type, description))
    return found


def _raised(entry: Node) -> RaisedField | None:
    name, column_type, description = entry.text("name"), entry.text("type"), entry.text("description")
    paths = tuple(entry.texts("path", is_required=True))
    entry.finish()
    if not (name and column_type and paths):
        return None
    return entry.checked("", lambda: RaisedField(name, column_type, paths, description), None)


def _record(document: Node, columns: Mapping[str, ColumnSpec]) -> RecordFields | None:
    """What the parts of a record are called; None where neither table nor envelope says it."""
    if "record" not in document:
        return None
    node = document.node("record")
    names = {part: node.text(part) for part in ("resource", "customer", "operation", "created", "tags", "arrived")}
    data, services = node.text("data", default="data"), tuple(node.texts("services", is_required=True))
    node.finish()
    for name in (*names.values(), data, *services):
        if name and name not in columns:
            node.complain("", f"{name} is no column{did_you_mean(name, [*columns])}")
    return RecordFields(**names, data=data, services=services) if services else None


def _example(entry: Node) -> SpecExample | None:
    """A record as a mapping, its payload written as a mapping too where that reads better, or as a line of JSON."""
    record, raised, partition = entry.raw("record"), entry.raw("raised"), entry.text("partition", default="")
    entry.finish()
    if isinstance(record, Mapping):
        members = {
            str(key): json.dumps(value, separators=(",", ":"), default=str, ensure_ascii=False)
            if key == "data" and isinstance(value, Mapping | list)
            else value
            for key, value in record.items()
        }
        record = json.dumps(members, separators=(",", ":"), default=str, ensure_ascii=False)
    if not isinstance(record, str):
        entry.complain("record", "is neither a mapping nor a line of JSON")
        return None
    if raised is not None and not isinstance(raised, Mapping):
        entry.complain("raised", f"{shown(raised)} is not a mapping")
        return None
    return SpecExample(record, raised, partition or None)


def _serde_parameters(node: Node) -> dict[str, str]:
    given = node.raw("serde_parameters") or {}
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for pair in given.items() for v in pair):
        node.complain("serde_parameters", f"{shown(given)} is not a mapping of texts to texts")
        given = {}
    return {**_OPENX_SERDE, **given}


def _retention(node: Node, members: dict[str, Any]) -> None:
    days = {key: value for key in ("retention_days", "archive_days") if (value := node.raw(key)) is not None}
    terms = node.checked("", lambda: retention_terms(days), RetentionTerms(1))
    tag_document, overrides = node.raw("retention_tag"), node.raw("retention_overrides") or ()
    tag = None
    if tag_document is not None:
        tag = node.checked("retention_tag", lambda: object_tag(tag_document), None)
    nothing: tuple[RetentionOverride, ...] = ()
    members |= {
        "retention_days": terms.retention_days,
        "archive_days": terms.archive_days,
        "retention_tag": tag,
        "retention_overrides": node.checked(
            "retention_overrides", lambda: retention_overrides(overrides, terms, tag), nothing
        ),
    }


def _checked_layout(node: Node, prefix: str, folders: Sequence[Traversable]) -> SecorLayout | None:
    layout = node.node("layout", is_required=False)
    options = {key: value for key in _LAYOUT_KEYS if (value := layout.raw(key)) is not None}
    layout.finish()
    writer = options.pop("writer", None)
    if writer is not None:
        options = {**layout.checked("writer", lambda: _named_document("writer", writer, folders), {}), **options}
    return node.checked("layout", lambda: _layout(prefix, options), None)


def _layout(prefix: str, options: Mapping[str, Any]) -> SecorLayout:
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


def _faults(spec: TableSpec) -> Iterator[str]:
    """What cannot be true of a table as a whole."""
    names = [column.name for column in spec.all_columns]
    for name in (spec.name, spec.database, *names):
        if not _NAME.fullmatch(name):
            yield f"{name!r}: a name has lower-case letters, digits and underscores only"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two columns have the same name: {name}"
    keys = [key.name for key in spec.partition_keys]
    if keys != list(spec.layout.scheme.keys()):
        yield f"partition_keys: {', '.join(keys)} are not those of the layout: {', '.join(spec.layout.scheme.keys())}"
    if spec.raised and spec.payload_column not in names:
        yield f"payload_column: fields are raised from {spec.payload_column}, and there is no such column"
    types = {column.name: column.type for column in spec.columns}
    for key in ("tenant_column", "time_column", "arrival_column"):
        name = getattr(spec, key)
        if types.get(name) != "bigint":
            yield f"{key}: {name!r} is no column of type bigint{did_you_mean(name, [*types])}"
    for name in sorted(spec.forbidden_columns - set(names)):
        yield f"forbidden_columns: no column named {name}{did_you_mean(name, names)}"
    for name in sorted(spec.forbidden_columns & {spec.tenant_column, spec.time_column, *keys}):
        yield f"forbidden_columns: queries need {name}"
    for override in spec.retention_overrides:
        if override.prefix is not None:
            try:
                PartitionSpec.parse(override.prefix.rstrip("/"), spec.layout.scheme)
            except ValueError as error:
                yield f"retention override {override.name}: no folder of this layout: {error}"


def _date(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))
