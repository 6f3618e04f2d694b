"""Athena's text (VarCharValue) of a value, as a DuckDB expression."""

from __future__ import annotations

from embedded.sql.types import TrinoType


def text_expression(column_sql: str, trino_type: TrinoType) -> str:
    return f"CAST({column_sql} AS VARCHAR)"
