"""Generated expressions with NULLs: the emitted SQL against an evaluator of three lines per operator in Python."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.sql.errors import TrinoError
from tests.sql_executor import execute

Value = int | bool | None
_UNCERTAIN = "UNCERTAIN"


class Expression:
    """SQL text with the value that Trino gives it; `error` is the Trino error name when it fails."""

    def __init__(self, sql: str, value: Value, error: str | None = None) -> None:
        self.sql = sql
        self.value = value
        self.error = error

    def __repr__(self) -> str:
        return f"{self.sql} -> {self.error or self.value}"


def _number(value: int | None) -> Expression:
    return Expression("CAST(NULL AS bigint)" if value is None else f"BIGINT '{value}'", value)


def _truncated(dividend: int, divisor: int) -> int:
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _arithmetic(operator: str, left: Expression, right: Expression) -> Expression:
    sql = f"({left.sql} {operator} {right.sql})"
    error = left.error or right.error
    a, b = left.value, right.value
    if error is not None:
        # beside a NULL the failing side may or may not be looked at
        beside_null = any(one.error is None and one.value is None for one in (left, right))
        return Expression(sql, None, _UNCERTAIN if beside_null or _UNCERTAIN in (left.error, right.error) else error)
    if a is None or b is None:
        return Expression(sql, None)
    if operator in ("/", "%") and b == 0:
        return Expression(sql, None, "DIVISION_BY_ZERO")
    found = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: _truncated(a, b),
        "%": lambda: a - _truncated(a, b) * b,
    }[operator]()
    if not -(2**63) <= found < 2**63:
        return Expression(sql, None, "NUMERIC_VALUE_OUT_OF_RANGE")
    return Expression(sql, found)


def _comparison(operator: str, left: Expression, right: Expression) -> Expression:
    sql = f"({left.sql} {operator} {right.sql})"
    error = left.error or right.error
    a, b = left.value, right.value
    if operator == "IS DISTINCT FROM":
        return Expression(sql, a != b, error)
    if error is not None or a is None or b is None:
        return Expression(sql, None, error)
    found = {"=": a == b, "<>": a != b, "<": a < b, ">=": a >= b}[operator]
    return Expression(sql, found)


def _logical(operator: str, left: Expression, right: Expression) -> Expression:
    sql = f"({left.sql} {operator} {right.sql})"
    decides = operator == "OR"
    values = (left.value, right.value)
    value: Value = decides if decides in values else (None if None in values else not decides)
    return Expression(sql, value, left.error or right.error)


def _negated(operand: Expression) -> Expression:
    value = None if operand.value is None else not operand.value
    return Expression(f"(NOT {operand.sql})", value, operand.error)


def _is_null(operand: Expression) -> Expression:
    return Expression(f"({operand.sql} IS NULL)", operand.value is None, operand.error)


_NUMBERS = st.recursive(
    st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([2**62, -(2**63), 2**63 - 1])).map(_number),
    lambda inner: st.builds(_arithmetic, st.sampled_from("+-*/%"), inner, inner),
    max_leaves=6,
)
_CONDITIONS = st.recursive(
    st.builds(_comparison, st.sampled_from(["=", "<>", "<", ">=", "IS DISTINCT FROM"]), _NUMBERS, _NUMBERS)
    | _NUMBERS.map(_is_null),
    lambda inner: st.builds(_logical, st.sampled_from(["AND", "OR"]), inner, inner) | inner.map(_negated),
    max_leaves=4,
)
_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def _text(value: Value) -> str | None:
    return None if value is None else str(value).lower()


@_SETTINGS
@given(_NUMBERS)
def test_arithmetic_is_exact_or_fails_by_name(expression: Expression) -> None:
    if expression.error is None:
        assert execute(f"SELECT {expression.sql}") == (["bigint"], [[_text(expression.value)]])
        return
    if expression.error == _UNCERTAIN:
        return
    with pytest.raises(TrinoError, match=r"DIVISION_BY_ZERO|NUMERIC_VALUE_OUT_OF_RANGE"):
        execute(f"SELECT {expression.sql}")


@_SETTINGS
@given(_CONDITIONS)
def test_conditions_are_three_valued(expression: Expression) -> None:
    if expression.error is None:  # where a part fails, AND and OR may or may not look at it
        assert execute(f"SELECT {expression.sql}") == (["boolean"], [[_text(expression.value)]])


@_SETTINGS
@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=3), min_size=2, max_size=2))
def test_arrays_compare_element_by_element(arrays: list[list[int | None]]) -> None:
    left, right = arrays
    pairs = [None if None in pair else pair[0] == pair[1] for pair in zip(left, right, strict=False)]
    equal = False if len(left) != len(right) or False in pairs else (None if None in pairs else True)
    texts = [
        f"CAST(ARRAY[{', '.join('NULL' if v is None else str(v) for v in one)}] AS array(integer))" for one in arrays
    ]
    sql = f"SELECT {texts[0]} = {texts[1]}, {texts[0]} IS DISTINCT FROM {texts[1]}"
    assert execute(sql)[1] == [[_text(equal), _text(left != right)]]


@_SETTINGS
@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=6), st.booleans(), st.booleans())
def test_nulls_sort_where_trino_puts_them(values: list[int | None], descending: bool, nulls_first: bool) -> None:
    rows = ", ".join("NULL" if value is None else str(value) for value in [0, *values])
    order = ("DESC" if descending else "ASC") + (" NULLS FIRST" if nulls_first else "")
    found = [row[0] for row in execute(f"SELECT a FROM (VALUES {rows}) t(a) ORDER BY a {order}")[1]]
    known = sorted((value for value in [0, *values] if value is not None), reverse=descending)
    missing: list[str | None] = [None] * values.count(None)
    texts: list[str | None] = [str(value) for value in known]
    assert found == (missing + texts if nulls_first else texts + missing)
