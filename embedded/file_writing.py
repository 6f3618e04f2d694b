"""Writes the rows of a query as files of a table: Parquet, ORC, Avro, JSON or delimited text, by partition and bucket.

Files are written aside, in a folder of their own, and moved to their location when all of them are complete: a query
that fails or is stopped leaves nothing. What DuckDB does not write (ORC, Avro) goes through Parquet.
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

import duckdb
import pyarrow.orc
import pyarrow.parquet

from embedded.lake_files import ObjectStore, S3Location
from embedded.serde.avro import write_avro
from embedded.sql.catalogue import Column
from embedded.sql.errors import TrinoError
from embedded.sql.physical import quoted, text_literal
from embedded.sql.translation import text_expression
from embedded.sql.types import TrinoType
from embedded.statements.writing_grammar import OutputFormat

MAXIMUM_PARTITIONS = 100
_BUCKET = "$bucket"
_UNESCAPED = " !$&()+,-.;@_~|<>`"
_UNSTORABLE = ("time", "interval", "timestamp with time zone", "json", "uuid", "ipaddress", "unknown", "hyperloglog")
_AVRO_CODECS = {"DEFLATE": "deflate", "GZIP": "deflate", "BZIP2": "bzip2"}


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written: its partition's values and its object."""

    values: tuple[str, ...]
    uri: str


@dataclass(frozen=True)
class WritePlan:
    """What is written where. columns: those of the query, in order; partitioned_by: names among them."""

    columns: Sequence[Column]
    output: OutputFormat
    location: S3Location
    partitioned_by: Sequence[str] = ()
    bucketed_by: Sequence[str] = ()
    bucket_count: int = 0
    folder_of: Callable[[tuple[str, ...]], S3Location] | None = None
    """Where a partition's files go, for partitions that do not lie below the table's own location."""
    timestamps_as_int96: bool = False
    """Parquet as Hive wants it, for what other readers open. Such columns have no statistics, so tables do without."""


def check_storable(columns: Sequence[Column]) -> None:
    """Raises TrinoError for a type that Hive's tables can't have, and for a column without a name of its own."""
    names: set[str] = set()
    for column in columns:
        if not column.name or column.name.startswith("_col"):
            raise TrinoError("MISSING_COLUMN_NAME", "Column name not specified at position 1", line=1, column=1)
        if column.name.lower() in names:
            raise TrinoError("DUPLICATE_COLUMN_NAME", f"Column name '{column.name}' specified more than once")
        names.add(column.name.lower())
        _check_type(column.type)


def _check_type(trino_type: TrinoType) -> None:
    if trino_type.base != "timestamp" and trino_type.base.startswith(_UNSTORABLE):
        raise TrinoError("NOT_SUPPORTED", f"Unsupported Hive type: {trino_type}")
    for element in trino_type.elements:
        _check_type(element)


def named(sql: str, trino_type: TrinoType) -> str:
    """A physical value with its rows' own field names, as files have them: the reverse of `from_named`."""
    base = trino_type.base
    if base == "row":
        parts = []
        for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True)):
            field = named(f"struct_extract({sql}, 'f{i}')", element)
            parts.append(f"{quoted(name or f'field{i}')} := {field}")
        fields = ", ".join(parts)
        return f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE struct_pack({fields}) END"
    if base == "array" and _has_row(trino_type):
        return f"list_transform({sql}, lambda e: {named('e', trino_type.element)})"
    if base == "map" and _has_row(trino_type):
        entry = f"struct_pack(key := {named('e.key', trino_type.key)}, value := {named('e.value', trino_type.value)})"
        return f"map_from_entries(list_transform(map_entries({sql}), lambda e: {entry}))"
    if base == "timestamp" and trino_type.precision > 6:
        return f"struct_extract({sql}, 't')"
    return sql


def _has_row(trino_type: TrinoType) -> bool:
    return trino_type.base == "row" or any(_has_row(element) for element in trino_type.elements)


class FileWriter:
    """Writes files below `scratch` and moves them into the store."""

    def __init__(self, store: ObjectStore, scratch: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._scratch = scratch
        self._clock = clock

    def write(
        self,
        plan: WritePlan,
        cursor: duckdb.DuckDBPyConnection,
        relations: str,
        query_sql: str,
        check: Callable[[], None],
    ) -> tuple[int, list[WrittenFile]]:
        """Runs a query (columns c0, c1 ...) into files. Returns the number of rows and the files."""
        folder = self._scratch / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            row_count = self._write_aside(plan, cursor, relations, query_sql, folder)
            check()
            written = sorted(path for path in folder.rglob("*") if path.is_file())
            values = {path: _partition_of(path.parent.relative_to(folder)) for path in written}
            if len({tuple(pairs.items()) for pairs in values.values()}) > MAXIMUM_PARTITIONS and plan.partitioned_by:
                raise TrinoError(
                    "TOO_MANY_OPEN_PARTITIONS",
                    f"Exceeded limit of {MAXIMUM_PARTITIONS} open writers for partitions/buckets",
                )
            return row_count, [self._move(plan, path, values[path], check) for path in written]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # -------------------------------------------------------------------------------------------------- aside

    def _write_aside(
        self, plan: WritePlan, cursor: duckdb.DuckDBPyConnection, relations: str, query_sql: str, folder: Path
    ) -> int:
        keys = {name.lower() for name in plan.partitioned_by}
        data = [(i, column) for i, column in enumerate(plan.columns) if column.name.lower() not in keys]
        outputs = self._data_outputs(plan, data)
        partition_columns = []
        for i, column in enumerate(plan.columns):
            if column.name.lower() in keys:
                partition_columns.append(column.name.lower())
                # Hive's folders have no name for the empty text: it goes where NULL goes, and is read as NULL
                text = f"nullif({text_expression(f'c{i}', column.type)}, '')"
                outputs.append(f"{text} AS {quoted(column.name.lower())}")
        partition_columns = [name.lower() for name in plan.partitioned_by]
        if plan.bucket_count:
            wanted = {name.lower() for name in plan.bucketed_by}
            hashed = ", ".join(f"c{i}" for i, column in data if column.name.lower() in wanted)
            outputs.append(f"hash({hashed}) % {plan.bucket_count} AS {quoted(_BUCKET)}")
            partition_columns.append(_BUCKET)
        target = folder if partition_columns else folder / f"rows.{_extension(plan.output)}"
        partition = ""
        if partition_columns:
            partition = f", PARTITION_BY ({', '.join(map(quoted, partition_columns))}), OVERWRITE_OR_IGNORE true"
        sql = f"{relations}SELECT {', '.join(outputs)} FROM ({query_sql})"
        row = cursor.execute(
            f"COPY ({sql}) TO {text_literal(str(target))} ({_copy_options(plan.output)}{partition})"
        ).fetchone()
        row_count = int(row[0]) if row else 0
        if row_count == 0:  # Athena leaves no object where there is no row
            for path in folder.rglob("*"):
                if path.is_file():
                    path.unlink()
        if plan.output.name in ("ORC", "AVRO"):
            for path in list(folder.rglob("*.parquet")):
                _converted(path, plan.output)
        elif plan.timestamps_as_int96 and plan.output.name == "PARQUET" and _has_timestamp(plan.columns):
            for path in list(folder.rglob("*.parquet")):
                _with_int96(path, plan.output)
        return row_count

    def _data_outputs(self, plan: WritePlan, data: Sequence[tuple[int, Column]]) -> list[str]:
        if plan.output.name == "TEXTFILE":
            separators = (plan.output.field_delimiter, "\x02", "\x03", "\x04", "\x05", "\x06")
            texts = [_hive_text(f"c{i}", column.type, separators, 0) for i, column in data]
            return [f"concat_ws({text_literal(separators[0])}, {', '.join(texts)}) AS line"]
        if plan.output.name == "JSON":
            fields = ", ".join(f"{quoted(c.name.lower())} := {_json_value(f'c{i}', c.type)}" for i, c in data)
            return [f"CAST(to_json(struct_pack({fields})) AS VARCHAR) AS line"]
        return [f"{named(f'c{i}', column.type)} AS {quoted(column.name.lower())}" for i, column in data]

    # --------------------------------------------------------------------------------------------------- moving

    def _move(self, plan: WritePlan, path: Path, values: Mapping[str, str], check: Callable[[], None]) -> WrittenFile:
        check()
        keys = [name.lower() for name in plan.partitioned_by]
        folders = "".join(f"{key}={quote(values[key], safe=_UNESCAPED)}/" for key in keys)
        stamp = self._clock().strftime("%Y%m%d_%H%M%S")
        name = f"{stamp}_00001_{uuid.uuid4().hex[:5]}_{uuid.uuid4()}"
        if _BUCKET in values:
            name = f"{stamp}_00001_{uuid.uuid4().hex[:5]}_bucket-{int(values[_BUCKET]):05d}"
        suffix = {"GZIP": ".gz", "ZSTD": ".zst"} if plan.output.name in ("JSON", "TEXTFILE") else {}
        name += suffix.get(plan.output.compression, "")
        partition = tuple(values[key] for key in keys)
        location = (
            plan.folder_of(partition).child(name) if plan.folder_of and keys else plan.location.child(folders + name)
        )
        target = self._store.path(location.bucket, location.prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        return WrittenFile(partition, str(location))


def _partition_of(relative: Path) -> dict[str, str]:
    pairs = {}
    for part in relative.parts:
        key, _, value = part.partition("=")
        pairs[unquote(key)] = unquote(value)
    return pairs


def _extension(output: OutputFormat) -> str:
    return "parquet" if output.name in ("PARQUET", "ORC", "AVRO") else "text"


def _copy_options(output: OutputFormat) -> str:
    packed = output.compression.lower()
    if output.name == "PARQUET":
        codec = {"none": "uncompressed", "lz4": "lz4_raw"}.get(packed, packed)
        return f"FORMAT parquet, COMPRESSION {codec}"
    if output.name in ("ORC", "AVRO"):
        return "FORMAT parquet, COMPRESSION uncompressed"
    compression = {"gzip": "gzip", "zstd": "zstd"}.get(packed, "none")
    return (
        f"FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIM {text_literal(chr(29) + chr(30) + chr(31) + chr(28))},"
        f" COMPRESSION {compression}"
    )


def _converted(path: Path, output: OutputFormat) -> None:
    """Turns a Parquet file into ORC or Avro in place."""
    file = pyarrow.parquet.ParquetFile(path)
    target = path.with_suffix(".converted")
    schema = file.schema_arrow
    if output.name == "ORC":
        codec = {"NONE": "uncompressed", "GZIP": "zlib"}.get(output.compression, output.compression.lower())
        with pyarrow.orc.ORCWriter(str(target), compression=codec) as writer:
            for batch in file.iter_batches():
                writer.write(pyarrow.Table.from_batches([batch]))
    else:
        codec = _AVRO_CODECS.get(output.compression, "null")
        if output.compression not in _AVRO_CODECS and output.compression not in ("NONE", "UNCOMPRESSED"):
            raise TrinoError("NOT_SUPPORTED", f"Avro with {output.compression} is not written by the embedded Athena")
        with target.open("wb") as out:
            for piece in write_avro(file.iter_batches(), schema, codec):
                out.write(piece)
    target.replace(path)


def _has_timestamp(columns: Sequence[Column]) -> bool:
    return any("timestamp" in str(column.type) for column in columns)


def _with_int96(path: Path, output: OutputFormat) -> None:
    """Writes a Parquet file again with Hive's timestamps, which DuckDB does not write."""
    file = pyarrow.parquet.ParquetFile(path)
    target = path.with_suffix(".converted")
    codec = {"NONE": "none", "UNCOMPRESSED": "none"}.get(output.compression, output.compression.lower())
    with pyarrow.parquet.ParquetWriter(
        target, file.schema_arrow, compression=codec, use_deprecated_int96_timestamps=True
    ) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)
    target.replace(path)


def _json_value(sql: str, trino_type: TrinoType) -> str:
    """A value as Hive's JSON SerDe writes it: instants as text, binary as base64."""
    base = trino_type.base
    if base == "timestamp":
        return text_expression(sql, trino_type)
    if base == "varbinary":
        return f"base64({sql})"
    if base == "decimal":
        return f"CAST({sql} AS DECIMAL({trino_type.precision},{trino_type.scale}))"
    return named(sql, trino_type)


def _hive_text(sql: str, trino_type: TrinoType, separators: Sequence[str], level: int) -> str:
    """A value as LazySimpleSerDe writes it; NULL is \\N."""
    base = trino_type.base
    if level + 2 >= len(separators):
        raise TrinoError("NOT_SUPPORTED", f"Type {trino_type} is nested too deeply for a text file")
    separator = text_literal(separators[level + 1])
    name = f"e{level}"
    if base == "array":
        item = _hive_text(name, trino_type.element, separators, level + 1)
        text = f"array_to_string(list_transform({sql}, lambda {name}: {item}), {separator})"
    elif base == "map":
        key = _hive_text(f"{name}.key", trino_type.key, separators, level + 2)
        value = _hive_text(f"{name}.value", trino_type.value, separators, level + 2)
        pair = f"{key} || {text_literal(separators[level + 2])} || {value}"
        text = f"array_to_string(list_transform(map_entries({sql}), lambda {name}: {pair}), {separator})"
    elif base == "row":
        parts = [
            _hive_text(f"struct_extract({sql}, 'f{i}')", element, separators, level + 1)
            for i, element in enumerate(trino_type.elements)
        ]
        text = f"concat_ws({separator}, {', '.join(parts)})"
    elif base == "varbinary":
        text = f"base64({sql})"
    else:
        text = text_expression(sql, trino_type)
    return f"CASE WHEN ({sql}) IS NULL THEN '\\N' ELSE {text} END"
