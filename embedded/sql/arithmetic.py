"""+ - * / % and negation of numbers, with Trino's result types, overflow and division by zero."""

from __future__ import annotations

from embedded.sql.coercion import coerce
from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import error_sql
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed, bound_pair, is_repeatable
from embedded.sql.types import (
    DOUBLE,
    MAXIMUM_DECIMAL_PRECISION,
    TrinoType,
    common_super_type,
    decimal,
    decimal_of,
)


def arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    """`left operator right` of two numeric values (or unknown NULLs beside a number)."""
    common = common_super_type(left.type, right.type)
    assert common is not None
    if common.base == "decimal":
        from embedded.sql.functions import decimal as decimal_functions

        return decimal_functions.decimal_arithmetic(operator, _as_decimal(left, right), _as_decimal(right, left))
    left, right = coerce(left, common), coerce(right, common)
    if common.is_floating:
        return floating(operator, left, right, common)
    return integral(operator, left, right, common)


def _as_decimal(value: Typed, other: Typed) -> Typed:
    if value.type.base == "unknown":
        return coerce(value, decimal_of(other.type))
    return coerce(value, decimal_of(value.type))


def integral(operator: str, left: Typed, right: Typed, common: TrinoType) -> Typed:
    if operator in ("+", "-", "*"):
        return Typed(f"({left.sql} {operator} {right.sql})", common)
    sql = "//" if operator == "/" else "%"
    if isinstance(right.literal, int) and right.literal not in (0, -1):
        return Typed(f"({left.sql} {sql} {right.sql})", common)
    failure = error_sql("DIVISION_BY_ZERO", "'Division by zero'", physical_type(common))
    # NULL / 0 is NULL
    test = "{right} = 0" if left.literal is not None else "{right} = 0 AND {left} IS NOT NULL"
    template = f"(CASE WHEN {test} THEN {failure} ELSE {{left}} {sql} {{right}} END)"
    if left.literal is not None and is_repeatable(right.sql):
        return Typed(template.replace("{left}", left.sql).replace("{right}", right.sql), common)
    return Typed(bound_pair(left.sql, right.sql, template), common)


def floating(operator: str, left: Typed, right: Typed, common: TrinoType) -> Typed:
    if operator == "%":
        # DuckDB answers NULL for a zero divisor, Java NaN
        physical = physical_type(common)
        zero = f"WHEN {{right}} = 0 AND {{left}} IS NOT NULL THEN CAST('NaN' AS {physical})"
        template = f"(CASE {zero} ELSE CAST(fmod({{left}}, {{right}}) AS {physical}) END)"
        return Typed(bound_pair(left.sql, right.sql, template), common)
    return (
        Typed(f"CAST(({left.sql} {operator} {right.sql}) AS {physical_type(common)})", common)
        if (common != DOUBLE)
        else Typed(f"({left.sql} {operator} {right.sql})", common)
    )


def decimal_result(operator: str, left: TrinoType, right: TrinoType) -> TrinoType:
    """Trino's precision and scale of decimal arithmetic. Raises TrinoError where the scale would pass 38."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if operator in ("+", "-"):
        scale = max(s1, s2)
        precision = max(p1 - s1, p2 - s2) + scale + 1
    elif operator == "*":
        precision, scale = p1 + p2, s1 + s2
    elif operator == "/":
        scale = max(s1, s2)
        precision = p1 + s2 + max(0, s2 - s1)
    else:
        scale = max(s1, s2)
        precision = min(p2 - s2, p1 - s1) + scale
    if scale > MAXIMUM_DECIMAL_PRECISION:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"DECIMAL scale must be in range [0, precision ({38})]: {scale}")
    return decimal(max(1, min(MAXIMUM_DECIMAL_PRECISION, precision)), scale)
