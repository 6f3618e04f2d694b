"""Trino functions: decimal arithmetic.

A first version: exact through Python where DuckDB's own decimals would lose digits or overflow.
"""

from __future__ import annotations

import decimal as python_decimal
from decimal import Decimal

from embedded.sql.arithmetic import decimal_result
from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import sql_function
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed

_CONTEXT = python_decimal.Context(prec=100, rounding=python_decimal.ROUND_HALF_UP)


def decimal_arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    """`left operator right` of two decimals."""
    result = decimal_result(operator, left.type, right.type)
    physical = physical_type(result)
    if operator in ("+", "-") and result.precision < 38:
        a, b = f"CAST({left.sql} AS {physical})", f"CAST({right.sql} AS {physical})"
        return Typed(f"CAST({a} {operator} {b} AS {physical})", result)
    if operator == "*" and result.precision < 38:
        return Typed(f"CAST({left.sql} * {right.sql} AS {physical})", result)
    sql = (
        f"CAST(trino_decimal_arithmetic('{operator}', CAST({left.sql} AS VARCHAR), CAST({right.sql} AS VARCHAR), "
        f"{result.scale}) AS {physical})"
    )
    return Typed(sql, result)


@sql_function("trino_decimal_arithmetic", ["VARCHAR", "VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR")
def decimal_text_arithmetic(operator: str, left: str, right: str, scale: int) -> str:
    a, b = Decimal(left), Decimal(right)
    if operator in ("+", "-") and max(abs(a), abs(b)).scaleb(scale) >= 2**127:
        # Trino brings both sides to the scale of the result first
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "Decimal overflow")
    if operator == "+":
        found = _CONTEXT.add(a, b)
    elif operator == "-":
        found = _CONTEXT.subtract(a, b)
    elif operator == "*":
        found = _CONTEXT.multiply(a, b)
    elif b == 0:
        raise TrinoError("DIVISION_BY_ZERO", "Division by zero")
    elif operator == "/":
        found = _CONTEXT.divide(a, b)
    else:
        found = _CONTEXT.remainder(a, b)
    rounded = found.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    if len(rounded.as_tuple().digits) > 38:
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "Decimal overflow")
    return format(rounded, "f")
