"""Trino functions: ranks and values of a window (trino.io/docs/current/functions/window.html).

first_value, last_value, nth_value, lag and lead take IGNORE NULLS; lag and lead pay no heed to the frame.
"""

from __future__ import annotations

from embedded.sql.functions.registry import Invocation, emits, error_sql, window

_INVALID = "INVALID_FUNCTION_ARGUMENT"

window("row_number() -> bigint", "row_number()")
window("rank() -> bigint", "rank()")
window("dense_rank() -> bigint", "dense_rank()")
window("percent_rank() -> double", "percent_rank()")
window("cume_dist() -> double", "cume_dist()")
window("first_value(T) -> T", "first_value({0})")
window("last_value(T) -> T", "last_value({0})")


def _checked(call: Invocation, index: int, test: str, message: str) -> str:
    """The argument as BIGINT, refused by `test` (over `{}`); a literal that passes stands bare."""
    argument = call.arguments[index]
    literal = argument.literal
    if isinstance(literal, int) and literal > 0:
        return str(literal)
    failure = error_sql(_INVALID, f"'{message}'", "BIGINT")
    return f"CASE WHEN {test.replace('{}', argument.sql)} THEN {failure} ELSE {argument.sql} END"


@emits("ntile(bigint) -> bigint", kind="window")
def ntile(call: Invocation) -> str:
    return call.aggregate("ntile", _checked(call, 0, "{} <= 0", "Buckets must be greater than 0"))


@emits("nth_value(T, bigint) -> T", kind="window")
def nth_value(call: Invocation) -> str:
    return call.aggregate("nth_value", call[0], _checked(call, 1, "{} < 1", "Offset must be at least 1"))


def _shifted(name: str, call: Invocation) -> str:
    if len(call.arguments) == 1:
        return call.aggregate(name, call[0])
    offset = _checked(call, 1, "{} < 0", "Offset must be at least 0")
    if len(call.arguments) == 2:
        return call.aggregate(name, call[0], offset)
    return call.aggregate(name, call[0], offset, call[2])


@emits("lag(T) -> T", "lag(T, bigint) -> T", "lag(T, bigint, T) -> T", kind="window")
def lag(call: Invocation) -> str:
    return _shifted("lag", call)


@emits("lead(T) -> T", "lead(T, bigint) -> T", "lead(T, bigint, T) -> T", kind="window")
def lead(call: Invocation) -> str:
    return _shifted("lead", call)
