"""CAST and TRY_CAST: rules between numbers, booleans and texts, and of nested types; the rest stands with its family.

| from \\ to | what happens |
|---|---|
| text -> number | Java's grammar of numbers; anything else `Cannot cast 'x' to BIGINT` |
| double, real -> integer | rounded half away from zero; NaN and what does not fit is refused |
| double, real -> decimal | by their shortest decimal digits, rounded half up |
| decimal -> number | rounded half up |
| number -> varchar(n) | refused where the text is longer; doubles as 3.77E1 |
| varchar -> varchar(n), char(n) | cut |
| array, map, row | element by element; a map's keys stay unique and not NULL |

Dates and times register their casts in datetime_cast.py, json in json.py, uuid and ipaddress in uuid_ip.py.
Rules: Trino's *Operators classes (BigintOperators, DoubleOperators, DecimalCasts, VarcharOperators).
"""

# ruff: noqa: ARG001  (cast rules share one signature)

from __future__ import annotations

import re
import struct
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

from embedded.sql import tree
from embedded.sql.coercion import coerce
from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import cast, cast_rule, error_sql, macro, scalar, sql_function
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed, once, tried
from embedded.sql.types import INTEGER_WIDTHS, TrinoType, can_coerce

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_INTEGERS = ("tinyint", "smallint", "integer", "bigint")
_FLOATS = ("real", "double")
_NUMBERS = (*_INTEGERS, "decimal", *_FLOATS)
_INVALID = "INVALID_CAST_ARGUMENT"
_SHORT_NAMES = {"integer": "INT"}


def explicit_cast(analyser: Analyser, value: Typed, target: TrinoType, node: tree.Cast) -> Typed:
    """CAST(value AS target), TRY_CAST when `node.is_try`. Raises TrinoError TYPE_MISMATCH for a pair without cast."""
    if can_coerce(value.type, target):
        return coerce(value, target)
    sql = cast_sql(analyser, value, target)
    if sql is None:
        raise analyser.error("TYPE_MISMATCH", f"Cannot cast {value.type} to {target}", node)
    if not node.is_try:
        return Typed(sql, target)
    plain = tried(sql, target)
    if plain in analyser.level.group_sql or (value.is_simple and not analyser.level.group_sql):
        return Typed(plain, target)
    # TRY_CAST forgives the cast, not what fails in its operand; DuckDB's TRY holds no aggregates, no grouped columns
    inner = cast_sql(analyser, Typed("tried_", value.type), target)
    return Typed(f"(list_transform([{value.sql}], lambda tried_: {tried(inner or sql, target)})[1])", target)


def cast_sql(analyser: Analyser, value: Typed, target: TrinoType) -> str | None:
    """SQL of the cast, None where Trino has none. Also for elements of nested values, whose `sql` is a parameter."""
    source = value.type
    if source == target or can_coerce(source, target):
        return coerce(value, target).sql
    if source.base == target.base and source.is_nested:
        return _nested(analyser, value, target, len(analyser.lambdas))
    rule = cast_rule(source.base, target.base)
    return None if rule is None else rule(analyser, value, target)


def _bounded(value: Typed, template: str, name: str = "cast_") -> str:
    """`template` over `{0}`, the value bound to a name when it is long."""
    return once(value, template, name)


def _quoted_value(text_sql: str, before: str, after: str) -> str:
    """SQL of a message: before'value'after."""
    return f"'{before.replace(chr(39), chr(39) * 2)}' || {text_sql} || '{after.replace(chr(39), chr(39) * 2)}'"


# --------------------------------------------------------------------------------------------- integers

_BOUNDS = {name: 2 ** (width - 1) for name, width in INTEGER_WIDTHS.items()}


@cast(*((source, target) for source in _INTEGERS for target in _INTEGERS))
def integer_to_integer(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    # DuckDB refuses what does not fit; runtime_errors gives it Trino's text
    return f"CAST({value.sql} AS {physical_type(target)})"


@cast(*((source, target) for source in _INTEGERS for target in ("real", "double")))
def integer_to_float(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"CAST({value.sql} AS {physical_type(target)})"


@cast(*((source, "decimal") for source in _INTEGERS))
def integer_to_decimal(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    whole = target.precision - target.scale
    if whole >= 19:
        return f"CAST({value.sql} AS {physical})"
    message = _quoted_value("{0}", f"Cannot cast {value.type.base.upper()} '", f"' to {_decimal_name(target)}")
    failure = error_sql(_INVALID, message, physical)
    # one decimal digit more than bigint holds cannot be reached: compare as HUGEINT
    fits = f"CAST({{0}} AS HUGEINT) BETWEEN {-(10**whole) + 1} AND {10**whole - 1}"
    return _bounded(value, f"(CASE WHEN {{0}} IS NULL OR {fits} THEN CAST({{0}} AS {physical}) ELSE {failure} END)")


def _decimal_name(trino_type: TrinoType) -> str:
    return f"DECIMAL({trino_type.precision}, {trino_type.scale})"


@cast(*((source, "boolean") for source in _NUMBERS))
def number_to_boolean(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"({value.sql} <> 0)"


@cast(*(("boolean", target) for target in (*_NUMBERS,)))
def boolean_to_number(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"CAST(CAST({value.sql} AS TINYINT) AS {physical_type(target)})"


# --------------------------------------------------------------------------------------------- double and real


@cast(*((source, target) for source in _FLOATS for target in _INTEGERS))
def float_to_integer(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    bound = float(_BOUNDS[target.base])
    text = "trino_double_text({0})"
    nan = error_sql(_INVALID, f"'Cannot cast {value.type.base} NaN to {target.base}'", physical)
    message = (
        _quoted_value(text, "Unable to cast ", " to bigint")
        if target.base == "bigint"
        else _quoted_value(text, f"Out of range for {target.base}: ", "")
    )
    beyond = error_sql(_INVALID, message, physical)
    return _bounded(
        value,
        f"(CASE WHEN isnan({{0}}) THEN {nan} "
        f"WHEN round(CAST({{0}} AS DOUBLE)) >= CAST('{bound!r}' AS DOUBLE) "
        f"OR round(CAST({{0}} AS DOUBLE)) < CAST('{-bound!r}' AS DOUBLE) THEN {beyond} "
        f"ELSE CAST(round({{0}}) AS {physical}) END)",
    )


@cast(("double", "real"))
def double_to_real(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    # half way between the greatest float and the next power of two rounds to infinity
    return _bounded(
        value,
        "(CASE WHEN abs({0}) >= CAST('3.4028235677973366e38' AS DOUBLE) AND NOT isnan({0}) "
        "THEN CAST(CASE WHEN {0} > 0 THEN 'Infinity' ELSE '-Infinity' END AS FLOAT) ELSE CAST({0} AS FLOAT) END)",
    )


@cast(("double", "decimal"), ("real", "decimal"))
def float_to_decimal(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    digits = f"trino_{value.type.base}_to_decimal({value.sql}, {target.precision}, {target.scale})"
    return f"CAST({digits} AS {physical_type(target)})"


_CONTEXT = Context(prec=400, rounding=ROUND_HALF_UP)


def _rounded_decimal(number: Decimal, precision: int, scale: int) -> str | None:
    """The number with `scale` digits, rounded half up; None when it does not fit decimal(precision, scale)."""
    rounded = number.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    return None if abs(rounded) >= Decimal(10) ** (precision - scale) else format(rounded, "f")


@sql_function("trino_double_to_decimal", ["DOUBLE", "INTEGER", "INTEGER"], "VARCHAR")
def double_to_decimal(value: float, precision: int, scale: int) -> str:
    if value - value == 0:
        found = _rounded_decimal(Decimal(repr(value)), precision, scale)
        if found is not None:
            return found
    raise TrinoError(_INVALID, f"Cannot cast DOUBLE '{_java_text(value)}' to DECIMAL({precision}, {scale})")


@sql_function("trino_real_to_decimal", ["FLOAT", "INTEGER", "INTEGER"], "VARCHAR")
def real_to_decimal(value: float, precision: int, scale: int) -> str:
    if value - value == 0:
        found = _rounded_decimal(real_digits(value), precision, scale)
        if found is not None:
            return found
    raise TrinoError(_INVALID, f"Cannot cast REAL '{_java_text(value)}' to DECIMAL({precision}, {scale})")


#: java.lang.Float.toString: decimal digits of a whole number that carry no information, by its surplus of bits.
_INSIGNIFICANT_DIGITS = (
    0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9,
    9, 9, 10, 10, 10, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 17, 17, 17,
    18, 18, 18, 19,
)  # fmt: skip


def real_digits(value: float) -> Decimal:
    """The decimal number that Java prints for a float: the shortest that reads back; of whole numbers a digit more."""
    if value == int(value) and 2**24 <= abs(value) < 2**63:
        whole = abs(int(value))
        surplus = whole.bit_length() - 1 - 24 - 1
        unit = 10 ** _INSIGNIFICANT_DIGITS[surplus] if surplus > 1 else 1
        rounded = (whole + unit // 2) // unit * unit
        return Decimal(rounded if value > 0 else -rounded)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return Decimal(text)
    return Decimal(repr(value))


def _java_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if 1e-3 <= abs(value) < 1e7 or value == 0:
        return repr(value)
    mantissa, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent or 0)}"


# --------------------------------------------------------------------------------------------- decimal


@cast(("decimal", "decimal"))
def decimal_to_decimal(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    text = "CAST({0} AS VARCHAR)"
    message = _quoted_value(text, f"Cannot cast {_decimal_name(value.type)} '", f"' to {_decimal_name(target)}")
    failure = error_sql(_INVALID, message, physical)
    attempt = f"TRY_CAST({{0}} AS {physical})"
    return _bounded(value, f"(CASE WHEN {{0}} IS NULL OR {attempt} IS NOT NULL THEN {attempt} ELSE {failure} END)")


@cast(*(("decimal", target) for target in _INTEGERS))
def decimal_to_integer(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    message = _quoted_value("CAST({0} AS VARCHAR)", "Cannot cast '", f"' to {target.base.upper()}")
    failure = error_sql(_INVALID, message, physical)
    attempt = f"TRY_CAST(round({{0}}) AS {physical})"
    return _bounded(value, f"(CASE WHEN {{0}} IS NULL OR {attempt} IS NOT NULL THEN {attempt} ELSE {failure} END)")


@cast(("decimal", "double"), ("decimal", "real"))
def decimal_to_float(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    """Correctly rounded: DuckDB divides, which is exact only while digits and scale fit a double."""
    return decimal_as_float(value.sql, value.type, target)


def decimal_as_float(sql: str, source: TrinoType, target: TrinoType) -> str:
    if source.precision <= 15 and target.base == "double":
        return f"CAST({sql} AS DOUBLE)"
    return f"CAST(CAST({sql} AS VARCHAR) AS {physical_type(target)})"


# --------------------------------------------------------------------------------------------- texts to values
# A NULL is told first: whatever is Python's work below is done batch by batch, NULLs or not, and files are small.

macro("trino_is_integer(t)", "regexp_full_match(t, '[+-]?[0-9]+')")
macro(
    "trino_is_number(t)",
    "regexp_full_match(t, '[\\x00-\\x20]*[+-]?(NaN|Infinity|([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)"
    "[\\x00-\\x20]*')",
)


@cast(*(("varchar", target) for target in _INTEGERS))
def text_to_integer(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    name = _SHORT_NAMES.get(target.base, target.base.upper())
    failure = error_sql(_INVALID, _quoted_value("{0}", "Cannot cast '", f"' to {name}"), physical)
    attempt = f"TRY_CAST({{0}} AS {physical})"
    return _bounded(
        value,
        f"(CASE WHEN {{0}} IS NULL THEN NULL WHEN trino_is_integer({{0}}) AND {attempt} IS NOT NULL THEN {attempt} "
        f"ELSE {failure} END)",
    )


@cast(("varchar", "double"), ("varchar", "real"))
def text_to_float(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical = physical_type(target)
    failure = error_sql(_INVALID, _quoted_value("{0}", "Cannot cast '", f"' to {target.base.upper()}"), physical)
    number = f"trino_text_to_{target.base}({{0}})"
    return _bounded(
        value, f"(CASE WHEN {{0}} IS NULL THEN NULL WHEN trino_is_number({{0}}) THEN {number} ELSE {failure} END)"
    )


#: DuckDB refuses what overflows; Java answers an infinity or zero.
_BLANKS = "'' || chr(9) || chr(10) || chr(13) || ' '"
macro(
    "trino_text_to_double(t)",
    f"COALESCE(TRY_CAST(rtrim(trim(t, {_BLANKS}), 'fFdD') AS DOUBLE), CAST(trino_overflowing(t) AS DOUBLE))",
)
macro(
    "trino_text_to_real(t)",
    f"COALESCE(TRY_CAST(rtrim(trim(t, {_BLANKS}), 'fFdD') AS FLOAT), CAST(trino_overflowing(t) AS FLOAT))",
)


@sql_function("trino_overflowing", ["VARCHAR"], "VARCHAR")
def overflowing(text: str) -> str:
    value = float(text.strip().rstrip("fFdD"))
    if abs(value) > 1:
        return "Infinity" if value > 0 else "-Infinity"
    return "-0.0" if str(value).startswith("-") else "0.0"


@cast(("varchar", "decimal"))
def text_to_decimal(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    physical, whole = physical_type(target), target.precision - target.scale
    digits = f"trino_text_to_decimal({{0}}, {target.precision}, {target.scale})"
    plain = rf"-?[0-9]{{1,{max(1, whole)}}}" + (rf"(\.[0-9]{{1,{target.scale}}})?" if target.scale else "")
    native = f"WHEN regexp_full_match({{0}}, '{plain}') THEN CAST({{0}} AS {physical}) " if whole else ""
    return _bounded(value, f"(CASE WHEN {{0}} IS NULL THEN NULL {native}ELSE CAST({digits} AS {physical}) END)")


_DECIMAL_TEXT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?")


@sql_function("trino_text_to_decimal", ["VARCHAR", "INTEGER", "INTEGER"], "VARCHAR")
def text_digits(text: str, precision: int, scale: int) -> str:
    wanted = f"DECIMAL({precision}, {scale})"
    if not _DECIMAL_TEXT.fullmatch(text):
        raise TrinoError(_INVALID, f"Cannot cast VARCHAR '{text}' to {wanted}. Value is not a number.")
    number = Decimal(text)
    found = _rounded_decimal(number, precision, scale) if number.adjusted() < 400 else None
    if found is None:
        raise TrinoError(_INVALID, f"Cannot cast VARCHAR '{text}' to {wanted}. Value too large.")
    return found


@cast(("varchar", "boolean"))
def text_to_boolean(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    failure = error_sql(_INVALID, _quoted_value("{0}", "Cannot cast '", "' to BOOLEAN"), "BOOLEAN")
    return _bounded(
        value,
        "(CASE WHEN {0} IS NULL THEN NULL WHEN lower({0}) IN ('t', 'true', '1') THEN true "
        "WHEN lower({0}) IN ('f', 'false', '0') THEN false "
        f"ELSE {failure} END)",
    )


@cast(("varchar", "varchar"))
def varchar_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"substr({value.sql}, 1, {target.length})"


@cast(("varchar", "char"), ("char", "char"))
def text_to_char(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"rtrim(substr({value.sql}, 1, {target.length}), ' ')"


@cast(("char", "varchar"))
def char_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"substr(rpad({value.sql}, {value.type.length}, ' '), 1, {target.length})"


@cast(("varchar", "varbinary"), ("char", "varbinary"))
def varchar_to_varbinary(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    if value.type.base == "char":
        return f"encode(rpad({value.sql}, {value.type.length}, ' '))"
    return f"encode({value.sql})"


# --------------------------------------------------------------------------------------------- values to texts


def fitting(value: Typed, text: str, target: TrinoType, shown: str = "{text}") -> str:
    """`text`, SQL over `{0}`, as varchar(n): refused where it is longer. `shown`: how the message calls the value."""
    if target.length is None:
        return once(value, text, "cast_")
    message = f"'Value ' || {shown.replace('{text}', text)} || ' cannot be represented as {target}'"
    failure = error_sql(_INVALID, message, "VARCHAR")
    return _bounded(value, f"(CASE WHEN length({text}) <= {target.length} THEN {text} ELSE {failure} END)")


@cast(*((source, "varchar") for source in (*_INTEGERS, "decimal", "boolean")))
def value_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    from embedded.sql.text import text_expression

    return fitting(value, text_expression("{0}", value.type), target)


@cast(("double", "varchar"), ("real", "varchar"))
def float_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    text = f"trino_{value.type.base}_to_varchar({{0}})"
    shown = f"trino_double_text({{0}}) || ' (' || {text} || ')'"
    return fitting(value, text, target, shown)


#: Trino's CAST of doubles is scientific whatever the size: 3.77E1, 1.0E0, 0E0.
_POINT = "CASE WHEN x < 0 THEN '-' ELSE '' END || list_transform([CAST(abs(x) AS VARCHAR)], lambda sci: "
macro(
    "trino_double_to_varchar(x)",
    "CASE WHEN isnan(x) OR isinf(x) THEN trino_double_text(x) "
    "WHEN x = 0 THEN CASE WHEN CAST(x AS VARCHAR)[1] = '-' THEN '-0E0' ELSE '0E0' END "
    f"ELSE {_POINT}trino_scientific_text(sci))[1] END",
)
macro(
    "trino_real_to_varchar(x)",
    "CASE WHEN isnan(x) OR isinf(x) THEN trino_double_text(x) "
    "WHEN x = 0 THEN CASE WHEN CAST(x AS VARCHAR)[1] = '-' THEN '-0E0' ELSE '0E0' END "
    f"ELSE {_POINT}trino_scientific_text(sci))[1] END",
)


# --------------------------------------------------------------------------------------------- nested types


def _nested(analyser: Analyser, value: Typed, target: TrinoType, depth: int) -> str | None:
    """Element by element; None when an element has no cast."""
    source = value.type
    name = f"cast{depth}_{source.depth}"
    if source.base == "array":
        element = cast_sql(analyser, Typed(name, source.element), target.element)
        return None if element is None else f"list_transform({value.sql}, lambda {name}: {element})"
    if source.base == "row":
        if len(source.elements) != len(target.elements):
            return None
        fields: list[str] = []
        for index, (a, b) in enumerate(zip(source.elements, target.elements, strict=True)):
            field = cast_sql(analyser, Typed(f"{name}.f{index}", a), b)
            if field is None:
                return None
            fields.append(f"f{index} := {field}")
        body = f"CASE WHEN {name} IS NULL THEN NULL ELSE struct_pack({', '.join(fields)}) END"
        return f"(list_transform([{value.sql}], lambda {name}: {body})[1])"
    key = cast_sql(analyser, Typed(f"{name}.key", source.key), target.key)
    entry_value = cast_sql(analyser, Typed(f"{name}.value", source.value), target.value)
    if key is None or entry_value is None:
        return None
    entry = f"struct_pack(key := {key}, value := {entry_value})"
    return checked_map(f"list_transform(map_entries({value.sql}), lambda {name}: {entry})", target, name)


def checked_map(entries: str, target: TrinoType, name: str) -> str:
    """A MAP of a list of entries; NULL and duplicate keys are refused as CAST refuses them."""
    physical = physical_type(target)
    # NaN is one key to a map, but no two NaN are one to list_distinct
    key = f"CAST({name}k.key AS VARCHAR)" if target.key.is_floating else f"{name}k.key"
    keys = f"list_transform({name}m, lambda {name}k: {key})"
    null_key = error_sql(_INVALID, "'map key is null'", physical)
    duplicate = error_sql(_INVALID, "'duplicate keys'", physical)
    body = (
        f"CASE WHEN {name}m IS NULL THEN NULL WHEN list_count({keys}) <> len({name}m) THEN {null_key} "
        f"WHEN len(list_distinct({keys})) <> len({name}m) THEN {duplicate} "
        f"ELSE CAST(map_from_entries({name}m) AS {physical}) END"
    )
    return f"(list_transform([{entries}], lambda {name}m: {body})[1])"


# --------------------------------------------------------------------------------------------- data sizes

_DATA_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)([a-zA-Z]+)\s*")
_DATA_UNITS = {unit: 1024**power for power, unit in enumerate(("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"))}


@sql_function("trino_parse_data_size", ["VARCHAR"], "VARCHAR")
def parse_data_size(text: str) -> str:
    match = _DATA_SIZE.fullmatch(text)
    if match is None or match[2] not in _DATA_UNITS:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Invalid data size: '{text}'")
    size = int(Decimal(match[1]) * _DATA_UNITS[match[2]])
    if size >= 10**38:
        raise TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", f"Value out of range: '{text}' ('{size}B')")
    return str(size)


scalar("parse_data_size(varchar(x)) -> decimal(38,0)", "CAST(trino_parse_data_size({0}) AS DECIMAL(38,0))")
