"""Trino functions: CAST and TRY_CAST, and the functions that convert between types.

A pair of types with a cast of its own registers it with `@cast((source, target))`, here or in the family of the type
(dates and times in datetime.py, json in json.py); nested types are cast element by element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded.sql import tree
from embedded.sql.coercion import coerce
from embedded.sql.functions.registry import cast, cast_rule
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType, can_coerce

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser


def explicit_cast(analyser: Analyser, value: Typed, target: TrinoType, node: tree.Cast) -> Typed:
    """CAST(value AS target), or TRY_CAST when `node.is_try`. Raises TrinoError TYPE_MISMATCH for a pair without cast."""
    if can_coerce(value.type, target):
        return coerce(value, target)
    sql = cast_sql(analyser, value, target)
    if sql is None:
        raise analyser.error("TYPE_MISMATCH", f"Cannot cast {value.type} to {target}", node)
    return Typed(f"TRY({sql})" if node.is_try else sql, target)


def cast_sql(analyser: Analyser, value: Typed, target: TrinoType) -> str | None:
    """SQL of the cast, None where Trino has none. Also for elements of nested values (`value.sql` is then a parameter)."""
    source = value.type
    if source == target or can_coerce(source, target):
        return coerce(value, target).sql
    rule = cast_rule(source.base, target.base)
    if rule is not None:
        return rule(analyser, value, target)
    return None


_INTEGERS = ("tinyint", "smallint", "integer", "bigint")
_NUMBERS = (*_INTEGERS, "decimal", "real", "double")


@cast(*((source, target) for source in _NUMBERS for target in _NUMBERS))
def number_to_number(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"CAST({value.sql} AS {physical_type(target)})"


@cast(("varchar", "varchar"))
def varchar_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"substr({value.sql}, 1, {target.length})"


@cast(("varchar", "varbinary"))
def varchar_to_varbinary(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"encode({value.sql})"


@cast(*((source, target) for source in ("varchar", "char") for target in (*_NUMBERS, "boolean", "uuid")))
def text_to_value(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"CAST({value.sql} AS {physical_type(target)})"


@cast(*((source, "varchar") for source in (*_NUMBERS, "boolean", "uuid", "ipaddress")))
def value_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    from embedded.sql.text import text_expression

    return text_expression(value.sql, value.type)


@cast(("array", "array"), ("map", "map"), ("row", "row"))
def nested_to_nested(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"CAST({value.sql} AS {physical_type(target)})"
