"""CAST to and from json.

| to JSON | text |
|---|---|
| boolean, integers, decimal | as they are; a small decimal as 1E-8 |
| double, real | 1.0, 1.0E10; "NaN", "Infinity" |
| varchar, date, timestamp | in quotes |
| array, map, row | [..], {..} with sorted keys, {..} with the fields in order ("" where they have no name) |
| json | as it is |

From JSON: numbers, texts and booleans turn into each other as their casts do; `null` is NULL; arrays and objects become
arrays, maps and rows (an array by position, an object by name). Rules and error texts: Trino's JsonUtil,
JsonOperators, JsonToArrayCast, JsonToMapCast and JsonToRowCast.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import cast, macro, python_call
from embedded.sql.json_text import (
    FractionNumber,
    MalformedJson,
    Members,
    WholeNumber,
    encodable,
    java_double_text,
    json_string,
    whole_value,
    without_repeats,
    written,
)
from embedded.sql.physical import text_literal
from embedded.sql.typed import Typed, once
from embedded.sql.types import INTEGER_WIDTHS, TrinoType

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_KEYS = frozenset({*INTEGER_WIDTHS, "boolean", "real", "double", "decimal", "varchar"})
_FROM_JSON = _KEYS | {"json"}
_TO_JSON = _FROM_JSON | {"timestamp", "date", "unknown"}

# --------------------------------------------------------------------------------------------- to JSON


def casts_to_json(trino_type: TrinoType) -> bool:
    if trino_type.base == "map":
        return trino_type.key.base in _KEYS | {"unknown"} and casts_to_json(trino_type.value)
    if trino_type.is_nested:
        return all(map(casts_to_json, trino_type.elements))
    return trino_type.base in _TO_JSON


def casts_from_json(trino_type: TrinoType) -> bool:
    if trino_type.base == "map":
        return trino_type.key.base in _KEYS and casts_from_json(trino_type.value)
    if trino_type.is_nested:
        return all(map(casts_from_json, trino_type.elements))
    return trino_type.base in _FROM_JSON


macro("trino_json_string(t)", "CAST(to_json(t) AS VARCHAR)")
macro(
    "trino_json_double(d)",
    "CASE WHEN isnan(d) OR isinf(d) THEN '\"' || trino_double_text(d) || '\"' ELSE trino_double_text(d) END",
)
#: java.math.BigDecimal.toString of a decimal with more than six digits behind the point: 1E-8, 0E-10, 1.2E-7.
macro(
    "trino_json_small_decimal(t, scale)",
    "CASE WHEN regexp_full_match(t, '-?0?[.]0{6,}[0-9]*') THEN list_transform([ltrim(t, '-0.')], lambda digits: "
    "CASE WHEN digits = '' THEN CASE WHEN scale > 6 THEN '0E-' || scale ELSE t END "
    "WHEN length(digits) - 1 - scale >= -6 THEN t "
    "ELSE CASE WHEN t[1] = '-' THEN '-' ELSE '' END || digits[1] || "
    "CASE WHEN length(digits) > 1 THEN '.' || digits[2:] ELSE '' END || 'E' || (length(digits) - 1 - scale) END)[1] "
    "ELSE t END",
)


def json_sql_text(sql: str, trino_type: TrinoType, depth: int = 0) -> str:
    """DuckDB SQL of the JSON text of a value; NULL stays NULL. `depth` numbers the lambdas within."""
    from embedded.sql.text import text_expression

    base = trino_type.base
    if base in ("json", "unknown"):
        return sql
    if base == "boolean" or base in INTEGER_WIDTHS:
        return f"CAST({sql} AS VARCHAR)"
    if base in ("double", "real"):
        return once(Typed(sql, trino_type), "trino_json_double({0})", f"jd{depth}_")
    if base == "decimal":
        text = text_expression(sql, trino_type)
        return text if trino_type.scale <= 6 else f"trino_json_small_decimal({text}, {trino_type.scale})"
    if base == "varchar":
        return f"trino_json_string({sql})"
    if base in ("date", "timestamp"):
        return f"('\"' || {text_expression(sql, trino_type)} || '\"')"
    if base == "array":
        return _array_text(sql, trino_type, depth)
    return _map_text(sql, trino_type, depth) if base == "map" else _row_text(sql, trino_type, depth)


def _or_null(sql: str, trino_type: TrinoType, depth: int) -> str:
    return f"COALESCE({json_sql_text(sql, trino_type, depth)}, 'null')"


def _array_text(sql: str, trino_type: TrinoType, depth: int) -> str:
    element = _or_null(f"ja{depth}", trino_type.element, depth + 1)
    return f"('[' || array_to_string(list_transform({sql}, lambda ja{depth}: {element}), ',') || ']')"


def _map_text(sql: str, trino_type: TrinoType, depth: int) -> str:
    from embedded.sql.text import text_expression

    entry = f"jm{depth}"
    key = text_expression(f"{entry}.key", trino_type.key)
    pair = f"struct_pack(k := {key}, v := {_or_null(f'{entry}.value', trino_type.value, depth + 1)})"
    entries = f"list_sort(list_transform(map_entries({sql}), lambda {entry}: {pair}))"
    quoted = f"trino_json_string({entry}.k)" if trino_type.key.base == "varchar" else f"'\"' || {entry}.k || '\"'"
    members = f"list_transform({entries}, lambda {entry}: {quoted} || ':' || {entry}.v)"
    return f"('{{' || array_to_string({members}, ',') || '}}')"


def _row_text(sql: str, trino_type: TrinoType, depth: int) -> str:
    row = f"jr{depth}"
    parts = " || ',' || ".join(
        f"{text_literal(json_string(name or '') + ':')} || {_or_null(f'{row}.f{index}', element, depth + 1)}"
        for index, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
    )
    body = f"CASE WHEN {row} IS NULL THEN NULL ELSE '{{' || {parts} || '}}' END"
    return f"(list_transform([{sql}], lambda {row}: {body})[1])"


@cast(*((source, "json") for source in (*_TO_JSON, "array", "map", "row")))
def value_to_json(analyser: Analyser, value: Typed, target: TrinoType) -> str | None:  # noqa: ARG001  (a cast rule)
    return json_sql_text(value.sql, value.type, len(analyser.lambdas) * 10) if casts_to_json(value.type) else None


# --------------------------------------------------------------------------------------------- from JSON

_INVALID = "INVALID_CAST_ARGUMENT"


class Refused(Exception):
    """A value that the cast does not take, with Trino's words for it; empty where it has none."""


#: What Trino calls the token where a value starts, as its messages show it.
def _token(value: object) -> str:
    if isinstance(value, Members):
        return "{"
    if isinstance(value, list):
        return "["
    if isinstance(value, str):
        return str(value)
    return "]" if value is _END else "null" if value is None else "true" if value else "false"


_END = object()  # the end of an array, met where a value was expected
Converter = Callable[[object], object]


def _text_of(value: object) -> str | None:
    """The text, if the value is a JSON text or an object's key."""
    return value if isinstance(value, str) and not isinstance(value, WholeNumber | FractionNumber) else None


def _scalar_or_refuse(value: object, name: str) -> None:
    if value is _END or isinstance(value, list):
        raise Refused(f"Unexpected token when cast to {name}: {_token(value)}")


_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)")
_CONTROLS = "".join(map(chr, range(33)))


def _to_integer(name: str) -> Converter:
    bound = 1 << (INTEGER_WIDTHS[name] - 1)
    short = "INT" if name == "integer" else name.upper()

    def convert(value: object) -> object:
        _scalar_or_refuse(value, name)
        text = _text_of(value)
        if text is not None:
            if not _INTEGER.fullmatch(text) or not -bound <= int(text) < bound:
                raise TrinoError(_INVALID, f"Cannot cast '{text}' to {short}")
            return int(text)
        if isinstance(value, WholeNumber):
            if len(value) > 30 or not -bound <= int(value) < bound:
                raise Refused
            return int(value)
        if isinstance(value, FractionNumber):
            return _rounded(float(value), name, bound)
        return None if value is None else int(bool(value))

    return convert


def _rounded(number: float, name: str, bound: int) -> int:
    if number - number == 0:
        rounded = int(Decimal(number).quantize(Decimal(1), rounding=ROUND_HALF_UP, context=_CONTEXT))
        if -bound <= rounded < bound:
            return rounded
    shown = java_double_text(number)
    raise TrinoError(
        _INVALID, f"Unable to cast {shown} to bigint" if name == "bigint" else f"Out of range for {name}: {shown}"
    )


_CONTEXT = Context(prec=800, rounding=ROUND_HALF_UP)


def _to_float(name: str) -> Converter:
    def convert(value: object) -> object:
        _scalar_or_refuse(value, name)
        if value is None:
            return None
        if isinstance(value, bool):
            return float(value)
        assert isinstance(value, str)
        text = value.strip(_CONTROLS)
        if not _NUMBER.fullmatch(text):
            raise TrinoError(_INVALID, f"Cannot cast '{value}' to {name.upper()}")
        number = float(text.rstrip("fFdD") if not text.endswith("NaN") else "nan")
        return _as_real(number) if name == "real" else number

    return convert


def _as_real(number: float) -> float:
    try:
        found: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return found


def _to_boolean(value: object) -> object:
    _scalar_or_refuse(value, "boolean")
    text = _text_of(value)
    if text is not None:
        lowered = text.lower()
        if lowered not in ("t", "true", "1", "f", "false", "0"):
            raise TrinoError(_INVALID, f"Cannot cast '{text}' to BOOLEAN")
        return lowered in ("t", "true", "1")
    if isinstance(value, WholeNumber):
        if len(value) > 30 or not -(2**63) <= int(value) < 2**63:
            raise Refused
        return int(value) != 0
    return float(value) != 0 if isinstance(value, FractionNumber) else value


def _to_decimal(precision: int, scale: int) -> Converter:
    unit = Decimal(1).scaleb(-scale)

    def convert(value: object) -> object:
        _scalar_or_refuse(value, f"DECIMAL({precision},{scale})")
        if value is None:
            return None
        try:
            number = Decimal(str(int(value)) if isinstance(value, bool) else str(value))
        except InvalidOperation:
            raise Refused from None
        if not number.is_finite() or "_" in str(value) or str(value) != str(value).strip():
            raise Refused
        if number and number.adjusted() > 400:
            raise TrinoError(_INVALID, f"Cannot cast input json to DECIMAL({precision},{scale})")
        rounded = number.quantize(unit, context=_CONTEXT) if number.adjusted() > -400 else Decimal(0).quantize(unit)
        if abs(rounded) >= Decimal(10) ** (precision - scale):
            raise TrinoError(_INVALID, f"Cannot cast input json to DECIMAL({precision},{scale})")
        return rounded

    return convert


def _to_varchar(length: int | None) -> Converter:
    def convert(value: object) -> object:
        _scalar_or_refuse(value, "varchar")
        if value is None:
            return None
        if isinstance(value, FractionNumber):
            text = scientific(float(value))
        else:
            text = encodable(value) if isinstance(value, str) else "true" if value else "false"
        if length is not None and len(text) > length:
            raise Refused
        return text

    return convert


def scientific(number: float) -> str:
    """Trino's CAST of a double to varchar: 1.27E1, 0E0."""
    if number - number != 0:
        return java_double_text(number)
    if number == 0:
        return "-0E0" if str(number).startswith("-") else "0E0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{exponent + len(text) - 1}"


def _to_json(value: object) -> object:
    if value is _END:
        raise Refused
    try:
        return written(without_repeats(value))
    except MalformedJson:
        raise Refused from None


def _to_array(element: Converter) -> Converter:
    def convert(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, list) or isinstance(value, Members):
            raise Refused(f"Expected a json array, but got {_token(value)}")
        return [element(part) for part in value]

    return convert


def _to_map(key: Converter, element: Converter) -> Converter:
    def convert(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, Members):
            raise Refused(f"Expected a json object, but got {_token(value)}")
        entries = [(key(name), element(member)) for name, member in value]
        if len({"NaN" if name != name else name for name, _ in entries}) != len(entries):
            raise Refused("Duplicate keys are not allowed")
        return entries

    return convert


def _to_row(trino_type: TrinoType, fields: list[Converter]) -> Converter:
    is_named = trino_type.names[0] is not None
    places = {name: index for index, name in enumerate(trino_type.names)} if is_named else {}

    def convert(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, Members):
            if not is_named:
                raise Refused("Cannot cast a JSON object to anonymous row type. Input must be a JSON array.")
            return _row(_members(value))
        if not isinstance(value, list):
            raise Refused(f"Expected a json array or object, but got {_token(value)}")
        found = [field(value[i] if i < len(value) else _END) for i, field in enumerate(fields)]
        if len(value) > len(fields):
            raise Refused(f"Expected json array ending, but got {_token(value[len(fields)])}")
        return _row(found)

    def _members(value: Members) -> list[object]:
        found: dict[int, object] = {}
        for name, member in value:
            index = places.get(name.lower())
            if index is not None:
                if index in found:
                    raise Refused(f"Duplicate field: {name.lower()}")
                found[index] = fields[index](member)
        return [found.get(index) for index in range(len(fields))]

    return convert


def _row(values: list[object]) -> dict[str, object]:
    return {f"f{index}": value for index, value in enumerate(values)}


@lru_cache(maxsize=1024)
def converter(trino_type: TrinoType) -> Converter:
    base = trino_type.base
    if base in INTEGER_WIDTHS:
        # Trino reads the elements of array(smallint) as integers and refuses them afterwards
        return _to_integer(base)
    if base in ("double", "real"):
        return _to_float(base)
    if base == "decimal":
        return _to_decimal(trino_type.precision, trino_type.scale)
    if base == "array":
        return _to_array(converter(trino_type.element))
    if base == "map":
        return _to_map(converter(trino_type.key), converter(trino_type.value))
    if base == "row":
        return _to_row(trino_type, [converter(element) for element in trino_type.elements])
    if base == "varchar":
        return _to_varchar(trino_type.length)
    return _to_boolean if base == "boolean" else _to_json


def _from_json(trino_type: TrinoType) -> Callable[[str], object]:
    convert = converter(trino_type)
    name = f"DECIMAL({trino_type.precision},{trino_type.scale})" if trino_type.base == "decimal" else str(trino_type)

    def json_to_scalar(text: str) -> object:
        try:
            return convert(whole_value(text))
        except (MalformedJson, Refused):
            raise TrinoError(_INVALID, f"Cannot cast '{text}' to {name}") from None

    def json_to_nested(text: str) -> object:
        from embedded.sql.functions.json import shown

        try:
            return convert(whole_value(text))
        except TrinoError as error:
            reason = f" {error.message}"
        except Refused as refusal:
            reason = f" {refusal}" if str(refusal) else ""
        except MalformedJson:
            reason = ""
        raise TrinoError(_INVALID, f"Cannot cast to {trino_type}.{reason}\n{shown(text)}")

    return json_to_nested if trino_type.is_nested else json_to_scalar


def _batched(function: Callable[[str], object], target: TrinoType) -> Callable[[Any], object]:
    def json_to_nested(texts: Any) -> object:
        import pyarrow  # slow to import, and most queries need no Python

        found = [None if text is None else function(text) for text in texts.to_pylist()]
        return pyarrow.array(found, type=_arrow_type(target))

    return json_to_nested


@lru_cache(maxsize=1024)
def _arrow_type(trino_type: TrinoType) -> Any:
    import pyarrow

    base = trino_type.base
    if base == "array":
        return pyarrow.list_(_arrow_type(trino_type.element))
    if base == "map":
        return pyarrow.map_(_arrow_type(trino_type.key), _arrow_type(trino_type.value))
    if base == "row":
        return pyarrow.struct([(f"f{index}", _arrow_type(part)) for index, part in enumerate(trino_type.elements)])
    if base == "decimal":
        return pyarrow.decimal128(trino_type.precision, trino_type.scale)
    if base in INTEGER_WIDTHS:
        return getattr(pyarrow, f"int{INTEGER_WIDTHS[base]}")()
    names = {"double": "float64", "real": "float32", "boolean": "bool_"}
    return getattr(pyarrow, names.get(base, "string"))()


#: What needs no Python: texts that DuckDB casts as Trino does. `{0}` is the json value.
_QUICK = {
    "bigint": "WHEN regexp_full_match({0}, '-?[0-9]{1,18}') THEN CAST({0} AS BIGINT)",
    "integer": "WHEN regexp_full_match({0}, '-?[0-9]{1,9}') THEN CAST({0} AS INTEGER)",
    "smallint": "WHEN regexp_full_match({0}, '-?[0-9]{1,4}') THEN CAST({0} AS SMALLINT)",
    "tinyint": "WHEN regexp_full_match({0}, '-?[0-9]{1,2}') THEN CAST({0} AS TINYINT)",
    "double": "WHEN regexp_full_match({0}, '-?[0-9]{1,15}([.][0-9]{1,15})?') THEN CAST({0} AS DOUBLE)",
    "boolean": "WHEN {0} = 'true' THEN true WHEN {0} = 'false' THEN false",
    "varchar": (
        "WHEN {0}[1] = '\"' AND NOT contains({0}, '\\') AND length({0}) > 1 THEN {0}[2:-2] "
        "WHEN regexp_full_match({0}, '-?[0-9]{1,18}') AND {0} <> '-0' OR {0} IN ('true', 'false') THEN {0}"
    ),
}


@cast(*(("json", target) for target in (*_KEYS, "array", "map", "row")))
def json_to_value(analyser: Analyser, value: Typed, target: TrinoType) -> str | None:
    if not casts_from_json(target):
        return None
    function = _from_json(target)
    if target.is_nested:
        # nested answers travel by Arrow: value by value they take a hundred times as long
        batched = _batched(function, target)
        return python_call(analyser, batched, [value], target, null_call=True, arrow=True, key=str(target))
    python = python_call(analyser, function, [Typed("{0}", value.type)], target, key=str(target))
    quick = _QUICK.get(target.base)
    if quick is None or (target.base == "varchar" and target.length is not None):
        return python.replace("{0}", value.sql)
    return once(value, f"(CASE {quick} ELSE {python} END)", f"json{len(analyser.lambdas)}_")
