"""The schema of rows that nobody has declared, in the catalogue's types: a lattice, and JSON and CSV read into it.

    value -> ColumnType;  joined(int, bigint) = bigint, joined(bigint, double) = double, joined(struct, struct) = the
    fields of both, joined(anything, nothing seen) = the thing, joined(all else) = string

The join is commutative but for the order of fields, associative and idempotent: the order in which rows are met does
not matter to what a column is. What is told of JSON and CSV is what a Glue crawler's classifiers tell ("Built-in
classifiers in AWS Glue"); where the guide is silent (which number is an `int`, what two types have in common) this is
our reading, from tables that crawlers made.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from glue.column_type import ColumnType, InvalidColumnType, parse_type

NOTHING = ColumnType("nothing")  # only NULL was seen, or an empty array
STRING = ColumnType("string")
_BOOLEAN, _INT, _BIGINT, _DOUBLE = (ColumnType(name) for name in ("boolean", "int", "bigint", "double"))
_NUMBERS = (_INT, _BIGINT, _DOUBLE)
_DEEPEST = 50
_MAXIMUM_ROWS = 1000  # of CSV
_DELIMITERS = (",", "|", "\t", ";", "\x01")
_NAME_LIMIT = 255
_HEADER_LIMIT = 150
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Column:
    """A column as it was inferred."""

    name: str
    type: ColumnType

    def hive(self) -> str:
        """The type's text in the catalogue; what nothing is known of is a string."""
        return settled(self.type).hive()


@dataclass(frozen=True)
class Schema:
    """Columns in the order in which they were met, and of how many rows."""

    columns: tuple[Column, ...]
    row_count: int = 0

    def types(self) -> dict[str, ColumnType]:
        """The columns' types by name."""
        return {column.name: column.type for column in self.columns}


def joined(one: ColumnType, other: ColumnType) -> ColumnType:
    """The type that holds the values of both."""
    if one == other or other == NOTHING:
        return one
    if one == NOTHING:
        return other
    if one in _NUMBERS and other in _NUMBERS:
        return max(one, other, key=_NUMBERS.index)
    if one.name == other.name == "array":
        return ColumnType("array", items=(joined(one.items[0], other.items[0]),))
    if one.name == other.name == "struct":
        return _struct(
            _joined_fields(dict(zip(one.fields, one.items, strict=True)), zip(other.fields, other.items, strict=True))
        )
    for narrow, wide in ((one, other), (other, one)):
        if narrow.widens_to(wide):
            return wide
    return STRING


def settled(found: ColumnType) -> ColumnType:
    """The type without anything unknown in it: a string where nothing was seen."""
    if found == NOTHING:
        return STRING
    if not found.items and found.name != "struct":
        return found
    if found.name == "struct" and not found.items:
        return STRING  # `{}`: the catalogue has no empty struct
    return ColumnType(found.name, found.parameters, tuple(settled(item) for item in found.items), found.fields)


def joined_schemas(schemas: Iterable[Schema]) -> Schema:
    """The schema of the rows of all of them."""
    columns: dict[str, ColumnType] = {}
    row_count = 0
    for schema in schemas:
        columns = _joined_fields(columns, ((column.name, column.type) for column in schema.columns))
        row_count += schema.row_count
    return Schema(tuple(Column(name, found) for name, found in columns.items()), row_count)


def similarity(one: Schema, other: Schema) -> float:
    """How alike two schemas are: the share of columns of both that have the same name and a type in common, 0 to 1.

    The guide names the threshold (0.7) and not the measure; this one is ours.
    """
    mine, its = one.types(), other.types()
    names = mine.keys() | its.keys()
    if not names:
        return 1.0
    shared = [name for name in mine.keys() & its.keys() if _is_compatible(mine[name], its[name])]
    return len(shared) / len(names)


def value_type(value: Any, depth: int = 0) -> ColumnType:
    """The type of a JSON value."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int):
        return _INT if -(2**31) <= value < 2**31 else _BIGINT if -(2**63) <= value < 2**63 else _DOUBLE
    if isinstance(value, float):
        return _DOUBLE
    if depth >= _DEEPEST:
        return STRING
    if isinstance(value, list):
        element = NOTHING
        for item in value:
            element = joined(element, value_type(item, depth + 1))
        return ColumnType("array", items=(element,))
    if isinstance(value, Mapping):
        return _struct(_joined_fields({}, ((name, value_type(item, depth + 1)) for name, item in value.items())))
    return STRING


def json_schema(text: bytes, *, is_whole: bool) -> Schema | None:
    """The schema of JSON values one after another; None when the text does not hold one whole value.

    Values may span lines. With `is_whole` False the end may be cut off. A value that is an array is a row with one
    column, `array`, as crawlers make of it.
    """
    columns: dict[str, ColumnType] = {}
    row_count = 0
    for value in _json_values(text, is_whole=is_whole):
        row = value if isinstance(value, Mapping) else {"array": value}
        columns = _joined_fields(columns, ((name.lower(), value_type(item, 1)) for name, item in row.items()))
        row_count += 1
    if not row_count:
        return None
    return Schema(tuple(Column(name, found) for name, found in columns.items()), row_count)


@dataclass(frozen=True)
class CsvShape:
    """How a CSV file is written: what parts its columns, and whether its first line names them."""

    delimiter: str
    has_header: bool


def csv_schema(text: str, *, is_whole: bool) -> tuple[Schema, CsvShape] | None:
    """The schema of CSV and how it is written; None for what is none: fewer than two columns or two rows.

    A header is told by the guide's rules: every name is text and a proper name, and some row holds other than text.
    """
    for delimiter in _DELIMITERS:
        rows = _csv_rows(text, delimiter, is_whole=is_whole)
        if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
            continue
        head, *rest = rows
        has_header = _is_header(head, rest)
        names = [name.strip().lower() for name in head] if has_header else [f"col{at}" for at in range(len(head))]
        body = rest if has_header else rows
        columns = []
        for at, name in enumerate(names):
            found = NOTHING
            for row in body:
                found = joined(found, _text_type(row[at]))
            columns.append(Column(name or f"col{at}", found))
        return Schema(tuple(columns), len(body)), CsvShape(delimiter, has_header)
    return None


def column_of(name: str, type_text: str) -> Column:
    """A column of the catalogue. A type that cannot be read here stays as its text."""
    try:
        return Column(name.lower(), parse_type(type_text))
    except InvalidColumnType:
        return Column(name.lower(), ColumnType(type_text))


def _joined_fields(known: dict[str, ColumnType], fields: Iterable[tuple[str, ColumnType]]) -> dict[str, ColumnType]:
    found = dict(known)
    for name, field_type in fields:
        found[name] = joined(found[name], field_type) if name in found else field_type
    return found


def _struct(fields: Mapping[str, ColumnType]) -> ColumnType:
    return ColumnType("struct", items=tuple(fields.values()), fields=tuple(fields))


def _is_compatible(one: ColumnType, other: ColumnType) -> bool:
    """Whether a column may be both: their join is no mere text, unless one of them is text already."""
    return one == other or joined(one, other) != STRING


def _json_values(text: bytes, *, is_whole: bool) -> Iterator[Any]:
    """The values of a text, one after another, up to the first that cannot be read."""
    lines = text.split(b"\n")
    if not is_whole:
        lines.pop()  # cut off
    plain = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            if plain == 0:
                yield from _spanning_values(text.decode("utf-8", "replace"))
                return
            continue  # a malformed line among others
        if not isinstance(value, (dict, list)):
            return  # a number or a text by itself is no row: this is no JSON file
        plain += 1
        yield value


def _spanning_values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text) or text[at] not in "{[":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield value


def _csv_rows(text: str, delimiter: str, *, is_whole: bool) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [row for row in islice(reader, _MAXIMUM_ROWS + 2) if row]
    except csv.Error:
        return []
    if not is_whole and len(rows) <= _MAXIMUM_ROWS:
        rows = rows[:-1]  # the last one is cut off
    return rows[: _MAXIMUM_ROWS + 1]


def _is_header(head: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    for at, name in enumerate(head):
        is_last = at == len(head) - 1
        if is_last and not name and all(not row[at] for row in rest):
            continue  # a delimiter at the end of each line
        if not name or _text_type(name) != STRING or (len(name) >= _HEADER_LIMIT and not is_last):
            return False
        if len(name) > _NAME_LIMIT or not name.isprintable():
            return False
    return any(_text_type(cell) not in (STRING, NOTHING) for row in rest for cell in row)


def _text_type(text: str) -> ColumnType:
    """The type of a CSV cell: the classifier knows bigint, double and string."""
    stripped = text.strip()
    if not stripped:
        return NOTHING
    if _WHOLE.fullmatch(stripped) and -(2**63) <= int(stripped) < 2**63:
        return _BIGINT
    return _DOUBLE if _DECIMAL.fullmatch(stripped) else STRING
