"""CREATE TABLE AS, INSERT INTO, UNLOAD, CREATE VIEW, PREPARE, EXECUTE, DEALLOCATE: statements that hold a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedded.sql.errors import TrinoError
from embedded.statements.model import TableName
from embedded.statements.text_reader import TextReader

FORMAT_NAMES = frozenset({"PARQUET", "ORC", "AVRO", "JSON", "TEXTFILE"})
_COMPRESSIONS: Mapping[str, frozenset[str]] = {
    "PARQUET": frozenset({"GZIP", "SNAPPY", "ZSTD", "LZ4", "NONE", "UNCOMPRESSED"}),
    "ORC": frozenset({"ZLIB", "GZIP", "SNAPPY", "ZSTD", "LZ4", "NONE", "UNCOMPRESSED"}),
    "AVRO": frozenset({"DEFLATE", "GZIP", "SNAPPY", "BZIP2", "ZSTD", "NONE", "UNCOMPRESSED"}),
    "JSON": frozenset({"GZIP", "ZSTD", "NONE", "UNCOMPRESSED"}),
    "TEXTFILE": frozenset({"GZIP", "ZSTD", "NONE", "UNCOMPRESSED"}),
}
_TABLE_PROPERTIES = frozenset(
    {
        "format",
        "parquet_compression",
        "orc_compression",
        "write_compression",
        "compression_level",
        "field_delimiter",
        "external_location",
        "location",
        "partitioned_by",
        "bucketed_by",
        "bucket_count",
        "table_type",
        "is_external",
        "partitioning",
        "vacuum_min_snapshots_to_keep",
        "vacuum_max_snapshot_age_seconds",
        "write_target_data_file_size_bytes",
        "optimize_rewrite_data_file_threshold",
        "optimize_rewrite_delete_file_threshold",
    }
)
_UNLOAD_PROPERTIES = frozenset({"format", "compression", "compression_level", "field_delimiter", "partitioned_by"})


@dataclass(frozen=True)
class OutputFormat:
    """How files are written. compression is a codec's name in upper case; field_delimiter is for TEXTFILE."""

    name: str
    compression: str
    field_delimiter: str = "\x01"


@dataclass(frozen=True)
class CreateTableAs:
    table: TableName
    query: str
    output: OutputFormat
    if_not_exists: bool = False
    with_data: bool = True
    location: str = ""
    partitioned_by: tuple[str, ...] = ()
    bucketed_by: tuple[str, ...] = ()
    bucket_count: int = 0


@dataclass(frozen=True)
class InsertInto:
    table: TableName
    query: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unload:
    query: str
    location: str
    output: OutputFormat
    partitioned_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class CreateView:
    view: TableName
    query: str
    or_replace: bool = False


@dataclass(frozen=True)
class Prepare:
    name: str
    query: str


@dataclass(frozen=True)
class Execute:
    name: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deallocate:
    name: str


def _property_error(message: str) -> TrinoError:
    return TrinoError("INVALID_TABLE_PROPERTY", message)


def _check_names(properties: Mapping[str, object], known: frozenset[str], what: str) -> None:
    for name in properties:
        if name not in known:
            raise _property_error(f"Catalog 'awsdatacatalog' {what} property '{name}' does not exist")


def _texts(properties: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = properties.get(name, [])
    if not isinstance(value, list):
        raise _property_error(f"Invalid value for property '{name}': an ARRAY is expected")
    return tuple(str(item).lower() for item in value)


def _output_format(properties: Mapping[str, Any], compression_names: Sequence[str]) -> OutputFormat:
    name = str(properties.get("format", "PARQUET")).upper()
    if name not in FORMAT_NAMES:
        raise _property_error(f"Invalid value for property 'format': {name}")
    given = next((str(properties[key]).upper() for key in compression_names if key in properties), None)
    compression = given or {"ORC": "ZLIB", "AVRO": "DEFLATE"}.get(name, "GZIP")
    if compression not in _COMPRESSIONS[name]:
        raise _property_error(f"Compression {compression} is not supported for format {name}")
    delimiter = str(properties.get("field_delimiter", "\x01"))
    if len(delimiter) != 1:
        delimiter = {"\\t": "\t", "\\001": "\x01"}.get(delimiter, "")
        if not delimiter:
            raise _property_error("Invalid value for property 'field_delimiter': one character is expected")
    return OutputFormat(name, compression, delimiter)


def _location(properties: Mapping[str, Any]) -> str:
    return str(properties.get("external_location") or properties.get("location") or "")


def parse_create_table_as(sql: str) -> CreateTableAs | None:
    """Reads CREATE TABLE ... AS; None for a CREATE TABLE that defines columns (that is Hive's grammar)."""
    reader = TextReader(sql)
    reader.expect("CREATE", "TABLE")
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    table = reader.table_name()
    properties = reader.properties() if reader.take("WITH") else {}
    if not reader.take("AS"):
        return None
    _check_names(properties, _TABLE_PROPERTIES, "table")
    if str(properties.get("table_type", "HIVE")).upper() == "ICEBERG":
        raise TrinoError("NOT_SUPPORTED", "Iceberg tables are not supported by the embedded Athena")
    query, with_data = _query_with_data(reader.rest)
    bucket_count = properties.get("bucket_count", 0)
    bucketed_by = _texts(properties, "bucketed_by")
    if bool(bucketed_by) != bool(bucket_count) or not isinstance(bucket_count, int) or bucket_count < 0:
        raise _property_error("bucketed_by and bucket_count must be given together")
    return CreateTableAs(
        table=table,
        query=query,
        output=_output_format(properties, ("write_compression", "parquet_compression", "orc_compression")),
        if_not_exists=if_not_exists,
        with_data=with_data,
        location=_location(properties),
        partitioned_by=_texts(properties, "partitioned_by"),
        bucketed_by=bucketed_by,
        bucket_count=bucket_count,
    )


def _query_with_data(text: str) -> tuple[str, bool]:
    words = text.rstrip().rsplit(None, 3)
    upper = [word.upper() for word in words]
    if len(upper) == 4 and upper[1:] == ["WITH", "NO", "DATA"]:
        return words[0], False
    if len(upper) >= 3 and upper[-2:] == ["WITH", "DATA"]:
        return text.rstrip().rsplit(None, 2)[0], True
    return text, True


def parse_insert(sql: str) -> InsertInto:
    reader = TextReader(sql)
    reader.expect("INSERT", "INTO")
    table = reader.table_name()
    columns: tuple[str, ...] = ()
    if reader.rest.startswith("("):
        start = reader.position
        inner = TextReader(reader.parenthesized())
        if inner.take("SELECT") or inner.take("WITH") or inner.take("VALUES") or inner.rest.startswith("("):
            reader.position = start  # a query in parentheses, not a list of columns
        else:
            reader.position = start
            columns = tuple(reader.listed(reader.name))
    return InsertInto(table, reader.rest, columns)


def parse_unload(sql: str) -> Unload:
    reader = TextReader(sql)
    reader.expect("UNLOAD")
    query = reader.parenthesized()
    reader.expect("TO")
    location = reader.string()
    properties = reader.properties() if reader.take("WITH") else {}
    reader.end()
    _check_names(properties, _UNLOAD_PROPERTIES, "unload")
    if "format" not in properties:
        raise _property_error("UNLOAD needs the property 'format'")
    return Unload(query, location, _output_format(properties, ("compression",)), _texts(properties, "partitioned_by"))


def parse_create_view(sql: str) -> CreateView:
    reader = TextReader(sql)
    reader.expect("CREATE")
    or_replace = reader.take("OR", "REPLACE")
    reader.expect("VIEW")
    view = reader.table_name()
    reader.expect("AS")
    return CreateView(view, reader.rest, or_replace)


def parse_prepared(sql: str) -> Prepare | Execute | Deallocate:
    """PREPARE name FROM statement, EXECUTE name [USING literals], DEALLOCATE PREPARE name."""
    reader = TextReader(sql)
    if reader.take("PREPARE"):
        name = reader.name()
        reader.expect("FROM")
        return Prepare(name, reader.rest)
    if reader.take("EXECUTE"):
        name = reader.name()
        if not reader.take("USING"):
            reader.end()
            return Execute(name)
        return Execute(name, tuple(_literals(reader.rest)))
    reader.expect("DEALLOCATE", "PREPARE")
    name = reader.name()
    reader.end()
    return Deallocate(name)


def _literals(text: str) -> list[str]:
    """The expressions that commas separate, parentheses, brackets and quotes respected."""
    parts: list[str] = []
    depth = 0
    quote = ""
    current = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
            continue
        current += character
    parts.append(current.strip())
    if not all(parts):
        raise TrinoError("SYNTAX_ERROR", "mismatched input '<EOF>'. Expecting: <expression>", line=1, column=1)
    return parts
