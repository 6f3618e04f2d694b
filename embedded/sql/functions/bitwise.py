"""Trino functions: bits of integers in two's complement (BitwiseFunctions).

A shift works in the width of its first argument; a shift by that width or more leaves nothing (or only the sign).
"""

from __future__ import annotations

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import python, scalar, sql_function

scalar("bitwise_and(bigint, bigint) -> bigint", "({0} & {1})")
scalar("bitwise_or(bigint, bigint) -> bigint", "({0} | {1})")
scalar("bitwise_xor(bigint, bigint) -> bigint", "xor({0}, {1})")
scalar("bitwise_not(bigint) -> bigint", "(~{0})")

_WIDTHS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}
for _name, _bits in _WIDTHS.items():
    scalar(
        f"bitwise_left_shift({_name}, bigint) -> {_name}",
        f"CAST(trino_left_shift(CAST({{0}} AS BIGINT), {{1}}, {_bits}) AS {{result}})",
    )
    scalar(
        f"bitwise_right_shift({_name}, bigint) -> {_name}",
        f"CAST(trino_right_shift(CAST({{0}} AS BIGINT), {{1}}, {_bits}) AS {{result}})",
    )
    scalar(
        f"bitwise_right_shift_arithmetic({_name}, bigint) -> {_name}",
        f"CAST(trino_right_shift_arithmetic(CAST({{0}} AS BIGINT), {{1}}, {_bits}) AS {{result}})",
    )


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


@sql_function("trino_left_shift", ["BIGINT", "BIGINT", "INTEGER"], "BIGINT")
def left_shift(value: int, shift: int, bits: int) -> int:
    return 0 if not 0 <= shift < bits else _signed(value << shift, bits)


@sql_function("trino_right_shift", ["BIGINT", "BIGINT", "INTEGER"], "BIGINT")
def right_shift(value: int, shift: int, bits: int) -> int:
    return 0 if not 0 <= shift < bits else _signed((value & ((1 << bits) - 1)) >> shift, bits)


@sql_function("trino_right_shift_arithmetic", ["BIGINT", "BIGINT", "INTEGER"], "BIGINT")
def right_shift_arithmetic(value: int, shift: int, bits: int) -> int:
    return value >> shift if 0 <= shift < bits else (-1 if value < 0 else 0)


@python("bit_count(bigint, bigint) -> bigint")
def bit_count(value: int, bits: int) -> int:
    if bits == 64:
        return (value & ((1 << 64) - 1)).bit_count()
    if not 2 <= bits <= 64:
        message = f"Bits specified in bit_count must be between 2 and 64, got {bits}"
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        message = (
            f"Number must be representable with the bits specified. {value} cannot be represented with {bits} bits"
        )
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)
    return (value & ((1 << bits) - 1)).bit_count()
