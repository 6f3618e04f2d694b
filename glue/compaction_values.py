"""A JSON value as a value of the declared type: the same that a query reads from the raw object.

Rules are those of the embedded Athena (docs/loading.md and docs/compaction.md tell them): a value of another type makes
its row malformed, nothing is bent. A value takes one of four ways:

    value          None, bool, int, float, str, Decimal, date, datetime, bytes, list, dict (struct), list of pairs (map)
    Malformed      the row is left out by every query
    Uncertain      this module will not say what a query makes of it; the partition stays raw
    NeedsExact     the quick parser has forgotten something that matters: read the line exactly and ask again

Values come from orjson, or from `glue.exact_json` (numbers as Number, objects as Members).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

import orjson
import pyarrow

from glue.column_type import ColumnType
from glue.exact_json import Members, Number, as_engine, number_text, text_of

Convert = Callable[[Any], Any]

_EXACT_WHOLE = 1 << 53  # up to here a number with a point or an exponent, which readers hold as a double, is as written
_SURELY_SHORT = 1e15  # below, a float of the quick parser is no whole number of more than 64 bits
_WIDTHS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_INTEGER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,38}(?:\.[0-9]{1,38})?")
_DATE_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP_TEXT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,6})?Z?)?")
_BOOLEAN_WORDS = frozenset({"t", "f", "yes", "no", "y", "n", "1", "0", "on", "off"})
_NUMBER_WORDS = frozenset({"nan", "inf", "infinity"})
_DATE_WORDS = frozenset({"epoch", "infinity", "inf"})
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  timestamps of the lake are naive, in UTC
_MILLISECONDS_FROM = 100_000_000_000
_LONGEST_WHOLE = 60  # digits; no type has as many
_EXACTLY = Context(prec=80, rounding=ROUND_HALF_UP)


class Malformed(ValueError):
    """The value is not of the declared type; says why."""


class Uncertain(ValueError):
    """What a query makes of the value is not known for sure here; says which value."""


class NeedsExact(Exception):
    """The line must be read exactly."""


def converter(column_type: ColumnType) -> Convert:
    """The function from a JSON value to a value of this type. Raises Malformed, Uncertain, NeedsExact when called."""
    return _nullable(_MAKERS[column_type.name](column_type))


@lru_cache(maxsize=1024)
def arrow_type(column_type: ColumnType) -> pyarrow.DataType:
    """The type of the column in a Parquet file, as Athena reads it for the declared type."""
    name = column_type.name
    if name == "decimal":
        return pyarrow.decimal128(*column_type.parameters)
    if name == "array":
        return pyarrow.list_(arrow_type(column_type.items[0]))
    if name == "map":
        return pyarrow.map_(arrow_type(column_type.items[0]), arrow_type(column_type.items[1]))
    if name == "struct":
        pairs = zip(column_type.fields, column_type.items, strict=True)
        return pyarrow.struct([(field, arrow_type(item)) for field, item in pairs])
    return _ARROW[name]


_ARROW: Mapping[str, pyarrow.DataType] = {
    "string": pyarrow.string(),
    "varchar": pyarrow.string(),
    "char": pyarrow.string(),
    "boolean": pyarrow.bool_(),
    "tinyint": pyarrow.int8(),
    "smallint": pyarrow.int16(),
    "int": pyarrow.int32(),
    "bigint": pyarrow.int64(),
    "float": pyarrow.float32(),
    "double": pyarrow.float64(),
    "binary": pyarrow.binary(),
    "date": pyarrow.date32(),
    "timestamp": pyarrow.timestamp("us"),
}


def _nullable(convert: Convert) -> Convert:
    def convert_or_none(value: Any) -> Any:
        return None if value is None else convert(value)

    return convert_or_none


def _expected(column_type: ColumnType, value: Any) -> Malformed:
    kind = "an object" if isinstance(value, dict | Members) else "an array" if isinstance(value, list) else None
    return Malformed(f"expected {column_type.hive()}, found {kind or repr(value)[:60]}")


def _uncertain(column_type: ColumnType, value: Any) -> Uncertain:
    return Uncertain(f"{str(value)[:60]!r} for {column_type.hive()}")


# --------------------------------------------------------------------------------------------------------- text


def _text_maker(column_type: ColumnType) -> Convert:
    length = column_type.parameters[0] if column_type.parameters else None
    if length is None:
        return text_value
    if column_type.name == "char":
        return lambda value: text_value(value)[:length].rstrip(" ")
    return lambda value: text_value(value)[:length]


def text_value(value: Any) -> str:
    """The text a query shows for any JSON value but null in a text column."""
    if isinstance(value, Number):
        return number_text(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not -_SURELY_SHORT < value < _SURELY_SHORT:
            raise NeedsExact
        return repr(value)
    if _is_exact(value):
        if _has_special(value):
            raise Uncertain("NaN or an infinity inside a text column")
        return text_of(value)
    try:
        if _is_plain(value):
            return as_engine(orjson.dumps(value).decode())
    except (TypeError, RecursionError):  # nested deeper than it can be written
        pass
    raise NeedsExact


def _is_exact(value: Any) -> bool:
    """Whether a list or an object was read exactly. An empty list is the same either way."""
    if isinstance(value, Members):
        return True
    return isinstance(value, list) and any(isinstance(item, Number | Members) or _is_exact(item) for item in value)


def _has_special(value: Any) -> bool:
    if isinstance(value, Members):
        return any(_has_special(item) for _, item in value)
    if isinstance(value, list):
        return any(map(_has_special, value))
    return isinstance(value, Number) and value.is_special


def _is_plain(value: Any) -> bool:
    """Whether orjson writes this value of its own as the engine would: no fractions that the two write differently."""
    if isinstance(value, float):
        return value == 0 or 1e-4 <= abs(value) < _SURELY_SHORT
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return True


# ------------------------------------------------------------------------------------------------------ numbers


def _integer_maker(column_type: ColumnType) -> Convert:
    limit = 1 << (_WIDTHS[column_type.name] - 1)

    def convert(value: Any) -> int:
        if isinstance(value, bool):
            raise _expected(column_type, value)
        if isinstance(value, Number):
            if not value.is_whole:
                return convert(float(value))
            found = int(value) if len(value) <= _LONGEST_WHOLE else limit
        elif isinstance(value, int):
            found = value
        elif isinstance(value, float):
            if value != value or abs(value) > _EXACT_WHOLE or not value.is_integer():
                raise _expected(column_type, value)
            found = int(value)
        elif isinstance(value, str):
            found = _integer_of_text(column_type, value)
        else:
            raise _expected(column_type, value)
        if not -limit <= found < limit:
            raise Malformed(f"number out of range of {column_type.hive()}")
        return found

    return convert


def _integer_of_text(column_type: ColumnType, value: str) -> int:
    text = value.strip(" \t\n\r\f\v")
    if _INTEGER_TEXT.fullmatch(text):
        return int(text)
    if "_" in text or re.match(r"[+-]?0[xXbB]", text):
        raise _uncertain(column_type, value)
    raise _expected(column_type, value)


def _double_maker(column_type: ColumnType) -> Convert:
    is_single = column_type.name == "float"

    def convert(value: Any) -> float:
        if isinstance(value, bool):
            raise _expected(column_type, value)
        if isinstance(value, str) and not isinstance(value, Number):
            if not _NUMBER_TEXT.fullmatch(value):
                if any(character.isdigit() for character in value) or value.strip(" +-").lower() in _NUMBER_WORDS:
                    raise _uncertain(column_type, value)
                raise _expected(column_type, value)
        elif not isinstance(value, str | int | float):
            raise _expected(column_type, value)
        found = float(value)
        if is_single and abs(found) > 3.4e38:
            raise _uncertain(column_type, value)
        return found

    return convert


def _decimal_maker(column_type: ColumnType) -> Convert:
    precision, scale = column_type.parameters
    unit = Decimal(1).scaleb(-scale)
    limit = Decimal(10) ** (precision - scale)

    def convert(value: Any) -> Decimal:
        if isinstance(value, float):
            raise NeedsExact
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _expected(column_type, value)
        if isinstance(value, Number) and value.is_special:
            raise _expected(column_type, value)
        if isinstance(value, Number) and not value.is_whole:
            found = _decimal_of_double(column_type, value, unit)
        elif isinstance(value, Number) and len(value) > _LONGEST_WHOLE:
            found = limit
        elif isinstance(value, str) and not _DECIMAL_TEXT.fullmatch(value):
            if any(character.isdigit() for character in value):
                raise _uncertain(column_type, value)
            raise _expected(column_type, value)
        else:
            found = Decimal(value).quantize(unit, context=_EXACTLY)
        if abs(found) >= limit:
            raise Malformed(f"number out of range of {column_type.hive()}")
        return found

    return convert


def _decimal_of_double(column_type: ColumnType, value: Number, unit: Decimal) -> Decimal:
    """A fraction becomes a double first, whose product with the power of ten is rounded: 1.005 is 1.00."""
    product = float(value) / float(unit) if unit == 1 else float(value) * float(1 / unit)
    if not abs(product) < _EXACT_WHOLE:
        raise _uncertain(column_type, value)
    return Decimal(product).quantize(Decimal(1), context=_EXACTLY) * unit


def _boolean_maker(column_type: ColumnType) -> Convert:
    def convert(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and not isinstance(value, Number):
            word = value.lower()
            if word in ("true", "false"):
                return word == "true"
            if word.strip() in _BOOLEAN_WORDS:
                raise _uncertain(column_type, value)
        raise _expected(column_type, value)

    return convert


# ------------------------------------------------------------------------------------------- times and bytes


def _date_maker(column_type: ColumnType) -> Convert:
    def convert(value: Any) -> date:
        if not isinstance(value, str) or isinstance(value, Number):
            raise _expected(column_type, value)
        if _DATE_TEXT.fullmatch(value) and not value.startswith("0000"):
            try:
                return date.fromisoformat(value)
            except ValueError:
                raise _expected(column_type, value) from None
        raise _unreadable_time(column_type, value)

    return convert


def _timestamp_maker(column_type: ColumnType) -> Convert:
    def convert(value: Any) -> datetime:
        if isinstance(value, Number) and value.is_whole and len(value) <= _LONGEST_WHOLE:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            unit = timedelta(milliseconds=1) if abs(value) >= _MILLISECONDS_FROM else timedelta(seconds=1)
            try:
                return _EPOCH + value * unit
            except OverflowError:
                raise _uncertain(column_type, value) from None
        if isinstance(value, float | Number):
            raise _uncertain(column_type, value)
        if not isinstance(value, str):
            raise _expected(column_type, value)
        match = _TIMESTAMP_TEXT.fullmatch(value)
        if match is None or value.startswith("0000") or (match[2] or "").startswith("24"):
            raise _unreadable_time(column_type, value)
        day, clock, fraction = match.groups()
        text = f"{day} {clock or '00:00:00'}.{(fraction or '.')[1:].ljust(6, '0')}"
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise _expected(column_type, value) from None

    return convert


def _unreadable_time(column_type: ColumnType, value: str) -> ValueError:
    if any(character.isdigit() for character in value) or value.strip(" +-").lower() in _DATE_WORDS:
        return _uncertain(column_type, value)
    return _expected(column_type, value)


def _binary_maker(column_type: ColumnType) -> Convert:
    def convert(value: Any) -> bytes:
        if not isinstance(value, str) or isinstance(value, Number):
            raise _expected(column_type, value)
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _expected(column_type, value) from None

    return convert


# ------------------------------------------------------------------------------------------------------- nested


def _array_maker(column_type: ColumnType) -> Convert:
    element = converter(column_type.items[0])

    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list) or isinstance(value, Members):
            raise _expected(column_type, value)
        return [element(item) for item in value]

    return convert


def _map_maker(column_type: ColumnType) -> Convert:
    key_type, value_type = column_type.items
    key, item = converter(key_type), converter(value_type)

    def convert(value: Any) -> list[tuple[Any, Any]]:
        pairs = _members(column_type, value)
        if isinstance(value, Members) and value.has_repeated_names:
            raise Uncertain(f"a key twice in {column_type.hive()}")
        found = [(key(name), item(member)) for name, member in pairs]
        if key_type.name != "string" and len({name for name, _ in found}) < len(found):
            raise Uncertain(f"a key twice in {column_type.hive()}")
        return found

    return convert


def _struct_maker(column_type: ColumnType) -> Convert:
    converts = {name: converter(item) for name, item in zip(column_type.fields, column_type.items, strict=True)}

    def convert(value: Any) -> dict[str, Any]:
        members = _members(column_type, value)
        if isinstance(value, Members) and value.has_repeated_names:
            raise Uncertain(f"a field twice in {column_type.hive()}")
        found: dict[str, Any] = dict.fromkeys(converts)
        for name, member in members:
            if name in converts:
                found[name] = converts[name](member)
            elif name.lower() in converts:
                raise Uncertain(f"the field {name[:60]!r} for {column_type.hive()}")
        return found

    return convert


def _members(column_type: ColumnType, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Members):
        return value
    if isinstance(value, dict):
        return list(value.items())
    raise _expected(column_type, value)


_MAKERS: Mapping[str, Callable[[ColumnType], Convert]] = {
    **dict.fromkeys(("string", "varchar", "char"), _text_maker),
    **dict.fromkeys(_WIDTHS, _integer_maker),
    **dict.fromkeys(("float", "double"), _double_maker),
    "decimal": _decimal_maker,
    "boolean": _boolean_maker,
    "date": _date_maker,
    "timestamp": _timestamp_maker,
    "binary": _binary_maker,
    "array": _array_maker,
    "map": _map_maker,
    "struct": _struct_maker,
}


def utc_milliseconds(moment: datetime) -> int:
    """An aware moment as ms since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
