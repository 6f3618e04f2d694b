"""Trino functions: CAST and TRY_CAST between all types, and the functions that convert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded.sql import tree
from embedded.sql.coercion import coerce
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType, can_coerce

if TYPE_CHECKING:
    from embedded.sql.expressions import ExpressionAnalyser


def explicit_cast(analyser: ExpressionAnalyser, value: Typed, target: TrinoType, node: tree.Cast) -> Typed:
    """CAST(value AS target), or TRY_CAST when `node.is_try`. Raises TrinoError TYPE_MISMATCH for a pair without cast."""
    if can_coerce(value.type, target):
        return coerce(value, target)
    sql = cast_sql(value, target)
    if sql is None:
        raise analyser.error("TYPE_MISMATCH", f"Cannot cast {value.type} to {target}", node)
    return Typed(f"TRY({sql})" if node.is_try else sql, target)


def cast_sql(value: Typed, target: TrinoType) -> str | None:
    """SQL of the cast, None where Trino has none."""
    source = value.type
    if source.is_numeric and target.is_numeric:
        return f"CAST({value.sql} AS {physical_type(target)})"
    if source.base == "varchar" and target.base == "varchar":
        return f"substr({value.sql}, 1, {target.length})"
    if source.base == "varchar" and target.base == "varbinary":
        return f"encode({value.sql})"
    if source.is_character:
        return f"CAST({value.sql} AS {physical_type(target)})"
    if target.base == "varchar":
        from embedded.sql.text import text_expression

        return text_expression(value.sql, source)
    if source.base == target.base and source.base in ("array", "map", "row"):
        return f"CAST({value.sql} AS {physical_type(target)})"
    return None
