"""Trino functions: strings."""

from __future__ import annotations

from embedded.sql.functions.registry import Invocation, emits, scalar
from embedded.sql.types import char


def _joined(call: Invocation) -> str:
    return f"({' || '.join(argument.sql for argument in call.arguments)})"


@emits(
    "concat(char(x), char(y)) -> char",
    result=lambda bindings, _: char(bindings["x"] + bindings["y"]),
)
def concat_char(call: Invocation) -> str:
    first, second = call.arguments
    return f"rtrim(rpad({first.sql}, {first.type.numbers[0]}, ' ') || {second.sql}, ' ')"


@emits("concat(varchar...) -> varchar")
def concat(call: Invocation) -> str:
    if len(call.arguments) < 2:
        raise call.error("INVALID_FUNCTION_ARGUMENT", "There must be two or more concatenation arguments")
    return _joined(call)


scalar("length(varchar(x)) -> bigint", "length({0})")
scalar("upper(varchar(x)) -> varchar(x)", "upper({0})")
scalar("lower(varchar(x)) -> varchar(x)", "lower({0})")

