"""Which reader a Glue table asks for, by its SerDe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded.serde import formats
from embedded.serde.json_lines import JsonLinesReader
from embedded.serde.parquet import ParquetReader
from embedded.serde.reader import Reader
from embedded.serde.text_lines import DelimitedReader, GrokReader, OpenCsvReader, RegexReader
from embedded.sql.errors import TrinoError

_JSON = frozenset(
    name.lower()
    for name in (formats.OPENX_JSON_SERDE, formats.HIVE_JSON_SERDE, "org.apache.hadoop.hive.serde2.JsonSerDe")
)
_PARQUET = frozenset({formats.PARQUET_SERDE.lower(), "parquet.hive.serde.parquethiveserde"})
_DELIMITED = frozenset({formats.LAZY_SIMPLE_SERDE.lower(), "org.apache.hadoop.hive.serde2.metadatatypedcolumnsetserde"})
_REGEX = frozenset({formats.REGEX_SERDE.lower(), "org.apache.hadoop.hive.contrib.serde2.regexserde"})


def serde_properties(table: Mapping[str, Any]) -> dict[str, str]:
    """The SerDe's parameters of a Glue table, names as they stand."""
    return dict(table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("Parameters") or {})


def reader_of(table: Mapping[str, Any]) -> Reader:
    """The reader for a Glue table. Raises TrinoError NOT_SUPPORTED that names the SerDe."""
    descriptor = table.get("StorageDescriptor", {})
    serde = descriptor.get("SerdeInfo", {}).get("SerializationLibrary") or ""
    name = serde.lower()
    properties = serde_properties(table)
    table_properties = dict(table.get("Parameters") or {})
    if name in _JSON:
        return JsonLinesReader(properties)
    if name in _PARQUET:
        return ParquetReader()
    if name == formats.ORC_SERDE.lower():
        return ParquetReader("orc")
    if name == formats.AVRO_SERDE.lower():
        return ParquetReader("avro")
    if name in _DELIMITED:
        return DelimitedReader(properties, table_properties)
    if name == formats.OPEN_CSV_SERDE.lower():
        return OpenCsvReader(properties, table_properties, len(descriptor.get("Columns") or ()))
    if name in _REGEX:
        return RegexReader(properties, table_properties)
    if name == formats.GROK_SERDE.lower():
        return GrokReader(properties, table_properties)
    raise TrinoError("NOT_SUPPORTED", f"The embedded Athena has no reader for SerDe {serde or '(none)'}")


def is_read_by_position(table: Mapping[str, Any]) -> bool:
    """Whether the values of this table's files have no names, so that columns are told by their order: text formats."""
    library = table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("SerializationLibrary") or ""
    name = library.lower()
    return name in _DELIMITED or name in _REGEX or name in (formats.OPEN_CSV_SERDE.lower(), formats.GROK_SERDE.lower())
