"""Which reader a Glue table asks for, by its SerDe and its input format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded.serde.json_lines import JsonLinesReader
from embedded.serde.parquet import ParquetReader
from embedded.serde.reader import Reader
from embedded.sql.errors import TrinoError

JSON_SERDES = frozenset(
    {
        "org.openx.data.jsonserde.jsonserde",
        "org.apache.hive.hcatalog.data.jsonserde",
        "org.apache.hadoop.hive.serde2.jsonserde",
        "com.amazon.ionhiveserde.ionhiveserde.json",
    }
)
PARQUET_SERDES = frozenset(
    {"org.apache.hadoop.hive.ql.io.parquet.serde.parquethiveserde", "parquet.hive.serde.parquethiveserde"}
)


def serde_properties(table: Mapping[str, Any]) -> dict[str, str]:
    """The SerDe's parameters of a Glue table, names as they stand."""
    return dict(table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("Parameters") or {})


def reader_of(table: Mapping[str, Any]) -> Reader:
    """The reader for a Glue table. Raises TrinoError NOT_SUPPORTED that names the SerDe."""
    serde = table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("SerializationLibrary") or ""
    name = serde.lower()
    properties = serde_properties(table)
    if name in JSON_SERDES:
        return JsonLinesReader(properties)
    if name in PARQUET_SERDES:
        return ParquetReader()
    raise TrinoError("NOT_SUPPORTED", f"The embedded Athena has no reader for SerDe {serde or '(none)'}")
