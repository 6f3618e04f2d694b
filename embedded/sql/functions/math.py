"""Trino functions: mathematics (MathFunctions, DecimalOperators, GreatestLeast).

Domain errors of DuckDB (`ln(0)`, `sqrt(-1)`) are Java's infinities and NaN in Trino. Integer forms answer their own
type and fail where the answer does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

from embedded.sql.comparison import sort_key
from embedded.sql.errors import TrinoError
from embedded.sql.functions.distributions import (
    beta_cdf,
    inverse_beta_cdf,
    inverse_normal_cdf,
    normal_cdf,
    t_cdf,
    t_pdf,
    wilson_lower,
    wilson_upper,
)
from embedded.sql.functions.registry import (
    Bindings,
    Invocation,
    alias,
    emits,
    error_sql,
    macro,
    python,
    scalar,
    sql_function,
)
from embedded.sql.types import TrinoType, decimal

_INTEGERS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}
_FLOATS = ("real", "double")

# ------------------------------------------------------------------------------------------------ sign, rounding

for _name, _bits in _INTEGERS.items():
    _least = -(1 << (_bits - 1))
    _out_of_range = error_sql("NUMERIC_VALUE_OUT_OF_RANGE", f"'Value {_least} is out of range for abs({_name})'", _name)
    # -2**63 is not a bigint literal for DuckDB: it is written as a subtraction
    scalar(f"abs({_name}) -> {_name}", f"CASE WHEN {{0}} = ({_least + 1} - 1) THEN {_out_of_range} ELSE abs({{0}}) END")
    scalar(f"sign({_name}) -> {_name}", "CAST(sign({0}) AS {result})")
    for _function in ("ceil", "floor", "round"):
        scalar(f"{_function}({_name}) -> {_name}", "{0}")
    scalar(f"round({_name}, bigint) -> {_name}", f"CAST(trino_round_integer({{0}}, {{1}}, {_bits}) AS {{result}})")
    _division = error_sql("DIVISION_BY_ZERO", "'Division by zero'", _name)
    scalar(f"mod({_name}, {_name}) -> {_name}", f"CASE WHEN {{1}} = 0 THEN {_division} ELSE {{0}} % {{1}} END")

for _name in _FLOATS:
    scalar(f"abs({_name}) -> {_name}", "abs({0})")
    scalar(f"sign({_name}) -> {_name}", "CASE WHEN isnan({0}) THEN {0} ELSE CAST(sign({0}) AS {result}) END")
    scalar(f"ceil({_name}) -> {_name}", "ceil({0})")
    scalar(f"floor({_name}) -> {_name}", "floor({0})")
    scalar(f"round({_name}) -> {_name}", "CAST(trino_round(CAST({0} AS DOUBLE), 0) AS {result})")
    scalar(f"round({_name}, bigint) -> {_name}", "CAST(trino_round(CAST({0} AS DOUBLE), {1}) AS {result})")
    scalar(f"truncate({_name}) -> {_name}", "trunc({0})")
    scalar(f"mod({_name}, {_name}) -> {_name}", "fmod({0}, {1})")


@sql_function("trino_round", ["DOUBLE", "BIGINT"], "DOUBLE")
def round_double(number: float, decimals: int) -> float:
    """MathFunctions.round: by Math.round of the number moved by powers of ten, half away from zero."""
    if math.isnan(number) or math.isinf(number):
        return number
    try:
        factor = 10.0**decimals
    except OverflowError:
        return number
    if factor == 0.0:
        return 0.0
    moved = abs(number) * factor
    if math.isinf(moved) or moved >= 2.0**52:
        return number
    rounded = math.floor(moved)
    if moved - rounded >= 0.5:
        rounded += 1
    return math.copysign(rounded / factor, number) if rounded else (-0.0 if number < 0 else 0.0)


@sql_function("trino_round_integer", ["BIGINT", "BIGINT", "INTEGER"], "BIGINT")
def round_integer(number: int, decimals: int, bits: int) -> int:
    if decimals >= 0:
        return number
    factor: int = 10 ** min(-decimals, 30)
    magnitude = (abs(number) + factor // 2) // factor * factor
    rounded = -magnitude if number < 0 else magnitude
    if not -(1 << (bits - 1)) <= rounded < 1 << (bits - 1):
        name = next(name for name, width in _INTEGERS.items() if width == bits)
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", f"Value {rounded} is out of range for {name}")
    return rounded


def _whole(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
    """ceil, floor and round of decimal(p,s): one more digit where a fraction can carry."""
    precision, scale = types[0].numbers
    return decimal(max(1, min(38, precision - scale + min(scale, 1))), 0)


def _one_more_digit(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
    precision, scale = types[0].numbers
    return decimal(min(38, precision + 1), scale)


def _without_fraction(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
    precision, scale = types[0].numbers
    return decimal(max(1, precision - scale), 0)


scalar("abs(decimal(p,s)) -> decimal(p,s)", "abs({0})")
scalar(
    "sign(decimal(p,s)) -> decimal(1,0)",
    "CAST(sign({0}) AS DECIMAL(1,0))",
)
for _function in ("ceil", "floor"):
    scalar(f"{_function}(decimal(p,s)) -> decimal(p,s)", f"CAST({_function}({{0}}) AS {{result}})", result=_whole)
scalar("round(decimal(p,s)) -> decimal(p,s)", "CAST({0} AS {result})", result=_whole)
scalar("truncate(decimal(p,s)) -> decimal(p,s)", "CAST(trunc({0}) AS {result})", result=_without_fraction)

_CONTEXT = Context(prec=80)


def _moved(number: Decimal, decimals: int, rounding: str, precision: int) -> str:
    scale = -int(number.as_tuple().exponent)
    if decimals >= scale:
        return format(number, "f")
    if decimals < -40:
        return "0"
    rounded = number.quantize(Decimal(1).scaleb(-decimals), rounding=rounding, context=_CONTEXT)
    if rounded and rounded.adjusted() + 1 > precision - scale:
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", f"decimal overflow: {rounded:f}")
    return format(rounded, "f")


@sql_function("trino_round_decimal", ["VARCHAR", "BIGINT", "INTEGER"], "VARCHAR")
def round_decimal(number: str, decimals: int, precision: int) -> str:
    return _moved(Decimal(number), decimals, ROUND_HALF_UP, precision)


@sql_function("trino_truncate_decimal", ["VARCHAR", "BIGINT", "INTEGER"], "VARCHAR")
def truncate_decimal(number: str, decimals: int, precision: int) -> str:
    return _moved(Decimal(number), decimals, ROUND_DOWN, precision)


def _decimal_digits(function: str) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        text = f"{function}(CAST({call[0]} AS VARCHAR), {call[1]}, {call.result.numbers[0]})"
        return f"CAST({text} AS {call.physical})"

    return emit


scalar("round(decimal(p,s), bigint) -> decimal(p,s)", _decimal_digits("trino_round_decimal"), result=_one_more_digit)
scalar("truncate(decimal(p,s), bigint) -> decimal(p,s)", _decimal_digits("trino_truncate_decimal"))


def _decimal_remainder(_: Bindings, types: tuple[TrinoType, ...]) -> TrinoType:
    from embedded.sql.arithmetic import decimal_result  # arithmetic imports the registry that imports this module

    return decimal_result("%", types[0], types[1])


@emits("mod(decimal(p,s), decimal(q,t)) -> decimal", result=_decimal_remainder)
def mod_decimal(call: Invocation) -> str:
    from embedded.sql.functions.decimal import decimal_arithmetic  # as above

    return decimal_arithmetic("%", call.arguments[0], call.arguments[1]).sql


alias("ceiling", "ceil")

# ------------------------------------------------------------------------------------------------ powers, logarithms

macro(
    "trino_ln(x)",
    "CASE WHEN x > 0 OR isnan(x) THEN ln(x) WHEN x = 0 THEN '-inf'::DOUBLE WHEN x < 0 THEN 'nan'::DOUBLE END",
)
scalar("ln(double) -> double", "trino_ln({0})")
scalar("log2(double) -> double", "CASE WHEN {0} > 0 THEN log2({0}) ELSE trino_ln({0}) END")
scalar("log10(double) -> double", "CASE WHEN {0} > 0 THEN log10({0}) ELSE trino_ln({0}) END")
scalar("log(double, double) -> double", "trino_ln({1}) / trino_ln({0})")
scalar("exp(double) -> double", "exp({0})")
scalar("sqrt(double) -> double", "CASE WHEN {0} < 0 THEN 'nan'::DOUBLE ELSE sqrt({0}) END")
scalar("cbrt(double) -> double", "cbrt({0})")


@sql_function("trino_power", ["DOUBLE", "DOUBLE"], "DOUBLE")
def power(base: float, exponent: float) -> float:
    """Java's Math.pow, which differs from C's for 1**NaN and (-1)**infinity."""
    if exponent == 0.0:
        return 1.0
    if math.isnan(base) or math.isnan(exponent) or (abs(base) == 1.0 and math.isinf(exponent)):
        return math.nan
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0.0:  # a pole
            is_odd = exponent % 2 == 1
            return math.copysign(math.inf, base) if is_odd else math.inf
        return math.nan


scalar("power(double, double) -> double", "trino_power({0}, {1})")
alias("pow", "power")

# ------------------------------------------------------------------------------------------------ angles

for _function in ("degrees", "radians", "atan", "sinh", "cosh", "tanh"):
    scalar(f"{_function}(double) -> double", f"{_function}({{0}})")
for _function in ("sin", "cos", "tan"):
    scalar(f"{_function}(double) -> double", f"CASE WHEN isinf({{0}}) THEN 'nan'::DOUBLE ELSE {_function}({{0}}) END")
for _function in ("acos", "asin"):
    scalar(f"{_function}(double) -> double", f"CASE WHEN abs({{0}}) > 1 THEN 'nan'::DOUBLE ELSE {_function}({{0}}) END")
scalar("atan2(double, double) -> double", "atan2({0}, {1})")

# ------------------------------------------------------------------------------------------------ constants, tests

scalar("pi() -> double", "pi()")
scalar("e() -> double", "2.718281828459045::DOUBLE")
scalar("nan() -> double", "'nan'::DOUBLE")
scalar("infinity() -> double", "'inf'::DOUBLE")
scalar("is_nan(double) -> boolean", "isnan({0})")
scalar("is_nan(real) -> boolean", "isnan({0})")
scalar("is_finite(double) -> boolean", "isfinite({0})")
scalar("is_infinite(double) -> boolean", "isinf({0})")

# ------------------------------------------------------------------------------------------------ random

for _function in ("random", "rand"):
    scalar(f"{_function}() -> double", "random()", volatile=True)
    for _name in _INTEGERS:
        _bound_error = error_sql("INVALID_FUNCTION_ARGUMENT", "'bound must be positive'", "DOUBLE")
        scalar(
            f"{_function}({_name}) -> {_name}",
            f"CAST(floor(random() * CASE WHEN {{0}} <= 0 THEN {_bound_error} "
            "ELSE CAST({0} AS DOUBLE) END) AS {result})",
            volatile=True,
        )
        _order_error = error_sql("INVALID_FUNCTION_ARGUMENT", "'start value must be less than stop value'", "DOUBLE")
        scalar(
            f"{_function}({_name}, {_name}) -> {_name}",
            f"CAST({{0}} + floor(random() * CASE WHEN {{0}} >= {{1}} THEN {_order_error} "
            "ELSE CAST({1} AS DOUBLE) - CAST({0} AS DOUBLE) END) AS {result})",
            volatile=True,
        )

# ------------------------------------------------------------------------------------------------ bases, buckets

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _radix(radix: int) -> int:
    if not 2 <= radix <= 36:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Radix must be between 2 and 36")
    return radix


@python("to_base(bigint, bigint) -> varchar(64)")
def to_base(value: int, radix: int) -> str:
    _radix(radix)
    digits = ""
    rest = abs(value)
    while rest:
        rest, digit = divmod(rest, radix)
        digits = _DIGITS[digit] + digits
    return ("-" if value < 0 else "") + (digits or "0")


@python("from_base(varchar(x), bigint) -> bigint")
def from_base(text: str, radix: int) -> int:
    _radix(radix)
    digits = text[1:] if text[:1] in ("+", "-") else text
    try:
        if not digits or not digits.isascii() or not digits.isalnum():
            raise ValueError
        value = int(digits, radix) * (-1 if text.startswith("-") else 1)
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError
    except ValueError:
        message = f"Not a valid base-{radix} number: {text}"
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", message) from None
    return value


@python("width_bucket(double, double, double, bigint) -> bigint")
def width_bucket(operand: float, first: float, second: float, bucket_count: int) -> int:
    if bucket_count <= 0:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "bucketCount must be greater than 0")
    if math.isnan(operand):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "operand must not be NaN")
    if not math.isfinite(first):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "first bound must be finite")
    if not math.isfinite(second):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "second bound must be finite")
    if first == second:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "bounds cannot equal each other")
    lower, upper = min(first, second), max(first, second)
    if operand < lower:
        result = 0
    elif operand >= upper:
        result = bucket_count + 1
    else:
        result = int(bucket_count * (operand - lower) / (upper - lower) + 1)
    if first > second:
        result = bucket_count - result + 1
    if result >= 1 << 63:
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", f"Bucket for value {operand} is out of range")
    return result


@python("width_bucket(double, array(double)) -> bigint")
def width_bucket_of_bins(operand: float, bins: list[float | None]) -> int:
    if not bins:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Bins cannot be an empty array")
    if math.isnan(operand):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Operand cannot be NaN")
    lower, upper = 0, len(bins)
    while lower < upper:
        middle = (lower + upper) // 2
        bin_, left, right = bins[middle], bins[lower], bins[upper - 1]
        if bin_ is None or left is None or right is None:
            raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Bin values must not be NULL")
        if left > right:
            raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Bin values are not sorted in ascending order")
        if not math.isfinite(bin_):
            raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Bin value must be finite, got {bin_}")
        if operand < bin_:
            upper = middle
        else:
            lower = middle + 1
    return lower


@python("cosine_similarity(map(varchar,double), map(varchar,double)) -> double", null_call=True)
def cosine_similarity_of_maps(left: object, right: object) -> float | None:
    if left is None or right is None:
        return None
    first, second = _pairs(left), _pairs(right)
    if any(value is None for value in (*first.values(), *second.values())):
        return None
    norm_left = math.sqrt(sum(value * value for value in first.values()))
    norm_right = math.sqrt(sum(value * value for value in second.values()))
    if norm_left == 0 or norm_right == 0:
        return None
    dot = sum(value * second.get(key, 0.0) for key, value in first.items())
    return float(dot / (norm_left * norm_right))


def _pairs(value: object) -> dict[str, float]:
    """DuckDB hands a map over as a dict, or as {'key': [...], 'value': [...]} in older forms."""
    assert isinstance(value, dict)
    if set(value) == {"key", "value"} and isinstance(value["key"], list):
        return dict(zip(value["key"], value["value"], strict=True))
    return value


# ------------------------------------------------------------------------------------------------ distributions

python("normal_cdf(double, double, double) -> double")(normal_cdf)
python("inverse_normal_cdf(double, double, double) -> double")(inverse_normal_cdf)
python("beta_cdf(double, double, double) -> double")(beta_cdf)
python("inverse_beta_cdf(double, double, double) -> double")(inverse_beta_cdf)
python("t_cdf(double, double) -> double")(t_cdf)
python("t_pdf(double, double) -> double")(t_pdf)
python("wilson_interval_lower(bigint, bigint, double) -> double")(wilson_lower)
python("wilson_interval_upper(bigint, bigint, double) -> double")(wilson_upper)

# ------------------------------------------------------------------------------------------------ greatest, least


def _contains_float(trino_type: TrinoType) -> bool:
    return trino_type.base in _FLOATS or any(_contains_float(element) for element in trino_type.elements)


def nan_first(sql: str, trino_type: TrinoType, depth: int = 0) -> str:
    """A key under which NaN comes before every number (Trino's COMPARISON_UNORDERED_FIRST); DuckDB has it last."""
    if trino_type.base in _FLOATS:
        return f"struct_pack(r := NOT isnan({sql}), v := {sql})"
    if not _contains_float(trino_type):
        return sort_key(sql, trino_type)
    if trino_type.base == "array":
        entry = f"gl{depth}"
        return f"list_transform({sql}, lambda {entry}: {nan_first(entry, trino_type.element, depth + 1)})"
    fields = ", ".join(
        f"f{i} := {nan_first(f'({sql}).f{i}', element, depth)}" for i, element in enumerate(trino_type.elements)
    )
    return f"struct_pack({fields})"


def _nulls_inside(sql: str, trino_type: TrinoType) -> str | None:
    if trino_type.base == "array":
        return f"list_count({sql}) <> len({sql})"
    if trino_type.base == "row":
        return " OR ".join(f"({sql}).f{i} IS NULL" for i in range(len(trino_type.elements)))
    return None


def _extreme(function: str) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        if not len(call):
            message = f"There must be two or more arguments to function {function}"
            raise call.error("INVALID_FUNCTION_ARGUMENT", message)
        values, kind = [argument.sql for argument in call.arguments], call.result
        if len(values) == 1:
            return values[0]
        any_null = " OR ".join(f"({value}) IS NULL" for value in values)
        is_plain = not kind.elements and not kind.base.endswith("with time zone")
        if is_plain and not (function == "greatest" and kind.base in _FLOATS):
            return f"CASE WHEN {any_null} THEN NULL ELSE {function}({', '.join(values)}) END"
        key = nan_first if function == "greatest" else sort_key
        entries = ", ".join(f"struct_pack(k := {key(value, kind)}, v := {value})" for value in values)
        extreme = "list_max" if function == "greatest" else "list_min"
        found = f"({extreme}([{entries}])).v"
        holes = [hole for hole in (_nulls_inside(value, kind) for value in values) if hole]
        refused = ""
        if holes:
            message = f"'{kind.base.upper()} comparison not supported for {kind.base}s with null elements'"
            if kind.base == "row":
                message = "'ROW comparison not supported for fields with null elements'"
            refused = f" WHEN {' OR '.join(holes)} THEN {error_sql('NOT_SUPPORTED', message, call.physical)}"
        return f"CASE WHEN {any_null} THEN NULL{refused} ELSE {found} END"

    return emit


for _function in ("greatest", "least"):
    emits(f"{_function}(E...) -> E where E: orderable")(_extreme(_function))
