"""Views as Glue holds them: Presto's JSON, base64, between the marks of a comment.

ViewOriginalText: /* Presto View: <base64 of {"originalSql", "catalog", "schema", "columns"}> */
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedded.sql.catalogue import Column
from embedded.sql.errors import TrinoError
from embedded.sql.types import TrinoType, parse_type

_PRESTO_VIEW = re.compile(r"/\*\s*Presto View:\s*([A-Za-z0-9+/=\s]+)\*/")


@dataclass(frozen=True)
class View:
    """A view's SQL, the database its unqualified names mean, and its columns where the text tells them."""

    sql: str
    database: str
    columns: Sequence[Column] = ()


def view_of(table: Mapping[str, Any]) -> View | None:
    """The view behind a Glue table; None for a table that is none, or whose text can't be read."""
    if table.get("TableType") != "VIRTUAL_VIEW":
        return None
    match = _PRESTO_VIEW.search(table.get("ViewOriginalText") or "")
    if match is None:
        text = table.get("ViewExpandedText") or table.get("ViewOriginalText") or ""
        return View(text, table["DatabaseName"]) if text and not text.startswith("/*") else None
    try:
        document = json.loads(base64.b64decode(match.group(1)))
        columns = [Column(item["name"], parse_type(item["type"])) for item in document.get("columns", ())]
        return View(document["originalSql"], document.get("schema") or table["DatabaseName"], columns)
    except (binascii.Error, ValueError, KeyError, TypeError, TrinoError):
        return None


def presto_view(sql: str, database: str, columns: Sequence[Column]) -> str:
    """The text of ViewOriginalText."""
    document = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [{"name": column.name, "type": str(column.type)} for column in columns],
    }
    return f"/* Presto View: {base64.b64encode(json.dumps(document).encode()).decode()} */"


def hive_type(trino_type: TrinoType) -> str:
    """Hive's text of a Trino type: what Glue's columns bear."""
    base = trino_type.base
    simple = {"integer": "int", "varchar": "string", "real": "float", "varbinary": "binary", "json": "string"}
    if base == "varchar" and trino_type.length is not None:
        return f"varchar({trino_type.length})"
    if base == "char":
        return f"char({trino_type.length})"
    if base == "decimal":
        return f"decimal({trino_type.precision},{trino_type.scale})"
    if base == "array":
        return f"array<{hive_type(trino_type.element)}>"
    if base == "map":
        return f"map<{hive_type(trino_type.key)},{hive_type(trino_type.value)}>"
    if base == "row":
        fields = zip(trino_type.names, trino_type.elements, strict=True)
        parts = (f"{name or f'field{i}'}:{hive_type(element)}" for i, (name, element) in enumerate(fields))
        return f"struct<{','.join(parts)}>"
    if base.startswith("timestamp"):
        return "timestamp"
    return simple.get(base, base)
