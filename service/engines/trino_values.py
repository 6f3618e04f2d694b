"""Rows of Trino's client protocol as the lines of a result object, in the very text that Athena writes.

The protocol gives JSON: numbers, booleans and strings, varbinary as base64, rows as lists, NaN and the infinities as
strings. Athena's text (athena user guide, "Working with query results") is Trino's `CAST(x AS varchar)`, with Java's
spelling of floating point, hex pairs for varbinary, and `[a, b]`, `{k=v}` for nested values.

A page of rows is turned column by column; pyarrow quotes and joins the cells.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv

from service.model import OutputColumn

Text = Callable[[Any], str]

_INTEGERS = frozenset({"tinyint", "smallint", "integer", "bigint"})
_FLOATS = frozenset({"real", "double"})
_NOT_TEXT_ALREADY = _INTEGERS | _FLOATS | {"boolean", "varbinary", "array", "map", "row"}
_DECIMAL = re.compile(r"decimal\((\d+), (\d+)\)")
_WRITING = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")


def output_column(column: Mapping[str, Any]) -> OutputColumn:
    """A column of the protocol: its name, and its type as the other engines write it (`decimal(10,2)`)."""
    type_text = _DECIMAL.sub(r"decimal(\1,\2)", column["type"])
    return OutputColumn(column["name"], type_text.lower() if type_text.startswith("INTERVAL ") else type_text)


class RowLines:
    """Makes lines of CSV from the rows of one result; `columns` as the protocol describes them."""

    def __init__(self, columns: Sequence[Mapping[str, Any]]) -> None:
        self._arrays = [_array_of(column["typeSignature"]) for column in columns]

    def lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """The rows as lines: every value quoted, null is nothing."""
        if not rows:
            return b""
        if len(self._arrays) == 1:
            # pyarrow writes a row whose only value is null as an empty line too, as Athena does
            arrays = [self._arrays[0]([row[0] for row in rows])]
        else:
            arrays = [array(values) for array, values in zip(self._arrays, zip(*rows, strict=True), strict=True)]
        sink = io.BytesIO()
        names = [f"c{index}" for index in range(len(arrays))]
        pyarrow.csv.write_csv(pa.Table.from_arrays(arrays, names=names), sink, _WRITING)
        return sink.getvalue()


def _array_of(signature: Mapping[str, Any]) -> Callable[[Sequence[Any]], pa.Array]:
    if signature["rawType"] in _INTEGERS:
        return lambda values: pa.array(values, pa.int64()).cast(pa.string())
    if signature["rawType"] not in _NOT_TEXT_ALREADY:
        return _text_array
    text = text_of_type(signature)
    return lambda values: pa.array([None if value is None else text(value) for value in values], pa.string())


def _text_array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):  # a type that this module does not know comes as JSON does
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    except UnicodeEncodeError:  # half a surrogate pair is no character
        return pa.array([None if value is None else _whole_characters(value) for value in values], pa.string())


def _whole_characters(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def text_of_type(signature: Mapping[str, Any]) -> Text:
    """How a value of a type (`typeSignature` of the protocol) is written; null is not asked for."""
    raw = signature["rawType"]
    inner = [_signature_in(argument) for argument in signature.get("arguments", ())]
    if raw in _FLOATS:
        return floating_text
    if raw == "boolean":
        return lambda value: "true" if value else "false"
    if raw == "varbinary":
        return _hexadecimal
    if raw == "array":
        return _array_text(_nullable(inner[0][1]))
    if raw == "map":
        return _map_text(_nullable(inner[1][1]))
    if raw == "row":
        return _row_text([(name, _nullable(member)) for name, member in inner])
    return str


def floating_text(value: float | str) -> str:
    """A real or double as Java writes it: `1.0`, `1.0E10`, `1.0E-4`; NaN and the infinities come as words already.

    The rule: java.lang.Double.toString. The shortest digits that round-trip are Python's and Java's (since 19) alike.
    """
    if isinstance(value, str):
        return value
    value = float(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)  # here Java and Python agree
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading_zeros = len(whole + fraction) - len(digits)
    exponent = len(whole) - leading_zeros - 1 + int(exponent_text or 0)
    digits = digits.rstrip("0")
    if len(digits) == 1:  # Java writes two digits, and takes the nearest: 4.9E-324, where the shortest is 5E-324
        digits = f"{abs(value):.1e}".replace(".", "")[:2].rstrip("0")
    if -3 <= exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if 0 <= exponent < 7:
        padded = digits.ljust(exponent + 1, "0")
        return f"{sign}{padded[: exponent + 1]}.{padded[exponent + 1 :] or '0'}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def _signature_in(argument: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """(field name, type) of an argument of a type: TYPE, NAMED_TYPE (a row's field), or a number of a decimal."""
    value = argument["value"]
    if argument["kind"] == "TYPE":
        return None, value
    if argument["kind"] == "NAMED_TYPE":
        return (value.get("fieldName") or {}).get("name"), value["typeSignature"]
    return None, {"rawType": "number"}


def _nullable(signature: Mapping[str, Any]) -> Text:
    text = text_of_type(signature)
    return lambda value: "null" if value is None else text(value)


def _hexadecimal(value: str) -> str:
    return binascii.hexlify(base64.b64decode(value), " ").decode()


def _array_text(element: Text) -> Text:
    return lambda values: f"[{', '.join(map(element, values))}]"


def _map_text(value_text: Text) -> Text:
    return lambda entries: f"{{{', '.join(f'{key}={value_text(value)}' for key, value in entries.items())}}}"


def _row_text(members: Sequence[tuple[str | None, Text]]) -> Text:
    labels = [name if name is not None else f"field{index}" for index, (name, _) in enumerate(members)]
    texts = [text for _, text in members]

    def row_text(values: Sequence[Any]) -> str:
        pairs = zip(labels, texts, values, strict=True)
        return f"{{{', '.join(f'{label}={text(value)}' for label, text, value in pairs)}}}"

    return row_text
