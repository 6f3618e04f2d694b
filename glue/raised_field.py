"""Raised fields: fields of the payload that a table spec raises to typed columns.

    raised:
      - {name: status, type: int, path: [$.status, $.request.status], description: HTTP status of the answer.}

A query sees `status` as a column. In raw JSON objects the service computes it; in SQL it is, per path, the first that
is not NULL:

    scalar type   TRY_CAST(json_extract_scalar(data, '<path>') AS <type>)
    timestamp     the same, or else TRY(from_iso8601_timestamp(...)) in UTC of a text yyyy-MM-ddT...
    nested type   TRY_CAST(json_extract(data, '<path>') AS <type>)

Absent, null or of another kind is NULL. Whoever writes typed files (compaction) stores the same values with
`RaisedReader`, and stores NULL where that cannot be sure of what the SQL would give; queries read
`COALESCE(<stored>, <computed>)`, so that a stored NULL is never the last word.

A path is `$` and steps: `.name`, `["any name"]`, `[0]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property
from math import isfinite
from typing import Any, TypeVar

import orjson

from glue.column_type import ColumnType, InvalidColumnType, parse_type
from glue.single_names import has_single_names

_STEP = re.compile(r'\.([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]{1,9})\]|\["([^"\\\x00-\x1f]+)"\]')
_PLAIN_TYPES = ("boolean", "tinyint", "smallint", "int", "bigint", "double", "decimal", "string", "date", "timestamp")


class InvalidRaisedField(ValueError):
    """A raised field that cannot be meant; says why."""


@dataclass(frozen=True)
class RaisedField:
    """A field of the payload as a column. `type` is the catalogue's type text; `paths` are tried in order."""

    name: str
    type: str
    paths: tuple[str, ...]
    description: str

    def __post_init__(self) -> None:
        try:
            _check_type(self.column_type)
        except InvalidColumnType as error:
            raise InvalidRaisedField(f"{self.name}: {error}") from None
        if not self.paths:
            raise InvalidRaisedField(f"{self.name}: has no path")
        for path in self.paths:
            path_steps(path)

    @property
    def path(self) -> str:
        """The first path."""
        return self.paths[0]

    @cached_property
    def column_type(self) -> ColumnType:
        """The type, read."""
        return parse_type(self.type)


def path_steps(path: str) -> tuple[str | int, ...]:
    """`$.a["b c"][0]` as ('a', 'b c', 0). Raises InvalidRaisedField."""
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            break
        steps.append(int(match[2]) if match[2] is not None else match[1] or match[3])
        at = match.end()
    if not steps or at != len(path):
        raise InvalidRaisedField(f'{path!r} is no path: $ and steps .name, [0] or ["any name"] are')
    return tuple(steps)


def _check_type(column_type: ColumnType) -> None:
    if column_type.is_nested:
        for item in column_type.items:
            _check_type(item)
            if item.name in ("date", "timestamp"):
                raise InvalidColumnType(f"{item.name} inside {column_type.hive()} cannot be raised from JSON")
    elif column_type.name not in _PLAIN_TYPES:
        raise InvalidColumnType(
            f"{column_type.hive()} cannot be raised; {', '.join(_PLAIN_TYPES)}, array, map and struct of them can"
        )


class _Unsure(Exception):
    """What SQL would give is not known for sure here."""


class RaisedReader:
    """Reads raised fields out of payloads, for whoever stores them typed.

    Values are what pyarrow takes for the type: bool, int, float, str, Decimal, date, datetime (naive, UTC,
    milliseconds), list, dict (of a struct), list of pairs (of a map).
    """

    def __init__(self, fields: Sequence[RaisedField]) -> None:
        self._fields = [_compiled(field) for field in fields]
        # a slash may be written as \/, and then nothing tells cheaply how often a key stands there
        self._is_quick = not any(
            isinstance(step, str) and "/" in step for f in self._fields for p in f[0] for step, _ in p
        )

    def values(self, data: str | None) -> list[Any]:
        """The value of each field in a record's `data`; None where SQL gives NULL or where it is not sure."""
        return self._values(_parsed(data), data, self._fields)

    def columns(self, payloads: Sequence[str | None]) -> list[Sequence[Any]]:
        """The same of many payloads, for each field the values of all: several times quicker where they are plain."""
        if not payloads:
            return [()] * len(self._fields)
        rows = [_parsed(data) for data in payloads]
        is_plain = _are_plain(rows, payloads)
        columns = [_column(rows, field) if is_plain else None for field in self._fields]
        rest = [field for field, values in zip(self._fields, columns, strict=True) if values is None]
        read = [self._values(row, data, rest) for row, data in zip(rows, payloads, strict=True)] if rest else []
        others = zip(*read, strict=True)
        return [next(others) if values is None else values for values in columns]

    def _values(self, payload: Any, data: str | None, fields: Sequence[_Field]) -> list[Any]:
        """`payload` is what the quick parser made of `data`."""
        if payload is None or data is None:
            return [None] * len(fields)  # SQL may still find a field before the place where it breaks
        exact: Any = None
        if not self._is_quick or "\\u" in data:
            try:
                payload, exact, data = None, _exact(data), ""
            except RecursionError:
                return [None] * len(fields)
        found: list[Any] = []
        for paths, column_type, convert in fields:
            try:
                if exact is None and convert is not None:
                    try:
                        found.append(_first(payload, data, paths, column_type, convert))
                        continue
                    except _NeedsText:
                        pass
                if exact is None:
                    exact = _exact(data)
                found.append(_first(exact, "", paths, column_type, convert))
            except (_Unsure, RecursionError):
                found.append(None)
        return found


_Steps = tuple[tuple[str | int, str], ...]
_Field = tuple[list[_Steps], ColumnType, "_Convert | None"]


def _compiled(field: RaisedField) -> _Field:
    """Paths, each step with how its key is written in a payload; the type; the conversion, None for nested types."""
    paths = [tuple((step, f'"{step}"') for step in path_steps(path)) for path in field.paths]
    return paths, field.column_type, _CONVERSIONS.get(field.column_type.name)


_Convert = Callable[[Any, ColumnType], Any]


class _NeedsText(Exception):
    """The text decides, and the quick parser has forgotten it: a number as written, the first of repeated keys."""


class _NumberText(str):
    """A number of a JSON text, as written."""

    __slots__ = ()


class _Repeating(dict[str, Any]):
    """An object with a key that stands twice."""

    __slots__ = ()


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(reversed(pairs))
    return members if len(members) == len(pairs) else _Repeating(members)


_EXACT = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_NumberText, parse_int=_NumberText)


def _exact(data: str) -> Any:
    """The payload with numbers as they are written, and the first of repeated keys. Raises RecursionError."""
    return _EXACT.decode(data)


def _first(payload: Any, data: str, paths: list[_Steps], column_type: ColumnType, convert: _Convert | None) -> Any:
    """The value of the first path that has one. Raises _NeedsText where a key on the way stands twice in `data`."""
    for steps in paths:
        value = payload
        for step, quoted in steps:
            if type(value) is dict and type(step) is str:
                if step not in value:
                    value = None
                    break
                if data.count(quoted) > 1:  # SQL takes the first of repeated keys, the quick parser the last
                    raise _NeedsText
                value = value[step]
            else:
                value = _at(value, step)
            if value is None:
                break
        if value is None:
            continue
        if convert is None:
            value = _nested(value, column_type)
        elif isinstance(value, dict | list):
            value = None  # json_extract_scalar gives NULL for these
        else:
            value = convert(value, column_type)
        if value is not None:
            return value
    return None


# ----------------------------------------------------------------------------- plain payloads, a field at a time


_NONE: type = type(None)


def _parsed(data: str | None) -> Any:
    """The payload; None also for one that is no JSON."""
    try:
        return None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _are_plain(rows: Sequence[Any], payloads: Sequence[str | None]) -> bool:
    """Whether all that could be parsed are objects, with no name twice: then nothing was forgotten but how numbers are
    written.
    """
    if not set(map(type, rows)) <= {dict, _NONE}:
        return False
    texts = [data for data, row in zip(payloads, rows, strict=True) if data is not None and row is not None]
    return has_single_names(f"[{','.join(texts)}]".encode(), [row for row in rows if row is not None])


def _column(rows: Sequence[dict[str, Any] | None], field: _Field) -> Sequence[Any] | None:
    """The values of a field in rows that are plain; None where one of them needs a closer look."""
    paths, column_type, _ = field
    values: Sequence[Any] | None = None
    for steps in paths:
        if values is not None and None not in values:
            break
        found = _under(rows, steps)
        if found is None:
            return None
        if values is None:
            values = found
        else:
            values = [value if value is not None else other for value, other in zip(values, found, strict=True)]
    return values if values is not None and _are_of_type(values, column_type) else None


def _under(rows: Sequence[dict[str, Any] | None], steps: _Steps) -> Sequence[Any] | None:
    """What stands under a path in each row; None where the way leads through something else than objects."""
    found: Sequence[Any] = rows
    for step, _ in steps:
        types = set(map(type, found))
        if not isinstance(step, str) or not types <= {dict, _NONE}:
            return None
        if dict not in types:
            return found
        if _NONE in types:
            found = [value or {} for value in found]
        found = [value.get(step) for value in found]
    return found


def _are_of_type(values: Sequence[Any], column_type: ColumnType) -> bool:
    """Whether the values as parsed are those of the type: no conversion would change one, none depends on its text."""
    types = set(map(type, values)) - {_NONE}
    if not types:
        return True
    if column_type.name in _BOUNDS and types == {int}:
        bound = _BOUNDS[column_type.name]
        present = [value for value in values if value is not None]
        return bool(-bound <= min(present) and max(present) < bound)
    if column_type.name == "double" and types == {float}:
        return all(value is None or isfinite(value) for value in values)
    return (column_type.name == "string" and types == {str}) or (column_type.name == "boolean" and types == {bool})


def _at(value: Any, step: str | int) -> Any:
    if isinstance(step, str):
        if isinstance(value, dict):
            return value.get(step)
        if isinstance(value, list) and step.isdecimal():
            raise _Unsure  # Trino takes ["0"] for an index as well
        return None
    if isinstance(value, list):
        return value[step] if step < len(value) else None
    if isinstance(value, dict):
        return value.get(str(step))  # and [0] for a key
    return None


# ------------------------------------------------------------------------------- scalars: TRY_CAST of a text

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})( |T)([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_BOUNDS = {"tinyint": 2**7, "smallint": 2**15, "int": 2**31, "bigint": 2**63}
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_CONTEXT = Context(prec=700, rounding=ROUND_HALF_UP)


def _text(value: Any) -> str:
    """What json_extract_scalar gives."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (value == 0 and isinstance(value, int)):  # -0 is written so, and read as 0
        raise _NeedsText
    return str(value)


def _as_text(value: Any, _type: ColumnType) -> str:
    return _text(value)


def _as_whole_number(value: Any, column_type: ColumnType) -> int | None:
    bound = _BOUNDS[column_type.name]
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return None  # a fraction, an exponent, or beyond 64 bits: no text of a whole number
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            if value.isascii() and not any(character.isdigit() for character in value):
                return None
            if isinstance(value, _NumberText):
                return None
            raise _Unsure
        value = int(value)
    return value if -bound <= value < bound else None


def _as_double(value: Any, _type: ColumnType) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise _Unsure
    if value == 0 and isinstance(value, int):
        raise _NeedsText
    try:
        number = float(value)
    except OverflowError:
        raise _Unsure from None
    if number - number != 0:
        raise _Unsure
    return number


def _as_decimal(value: Any, column_type: ColumnType) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        raise _NeedsText
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise _Unsure
    number = Decimal(value)
    precision, scale = column_type.parameters
    if number.adjusted() > 300 or number.adjusted() < -300:
        raise _Unsure
    rounded = number.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    if abs(rounded) >= Decimal(10) ** (precision - scale):
        return None
    return rounded if rounded else rounded.copy_abs()  # SQL has no -0


def _as_boolean(value: Any, _type: ColumnType) -> bool | None:
    return value if isinstance(value, bool) else _BOOLEANS.get(_text(value).lower())


def _as_date(value: Any, _type: ColumnType) -> date | None:
    text = _text(value)
    if not _DATE.fullmatch(text):
        raise _Unsure
    return _calendar(lambda: date.fromisoformat(text))


def _as_timestamp(value: Any, _type: ColumnType) -> datetime | None:
    match = _TIMESTAMP.fullmatch(_text(value))
    if match is None or (match[2] == " ") == (match[5] is not None):
        raise _Unsure
    day, _, clock, fraction, zone = match.groups()
    text = f"{day}T{clock}{(fraction or '').ljust(4, '0') if fraction else ''}{zone or ''}"
    if clock.startswith("24") or day.startswith("0000") or (zone and int(zone[1:3] if zone != "Z" else 0) > 13):
        raise _Unsure
    return _calendar(lambda: _naive(datetime.fromisoformat(text)))


def _naive(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment
    offset = moment.utcoffset() or timedelta(0)
    return moment.astimezone(UTC).replace(tzinfo=None) if offset else moment.replace(tzinfo=None)


_Moment = TypeVar("_Moment")


def _calendar(read: Callable[[], _Moment]) -> _Moment:
    try:
        return read()
    except (ValueError, OverflowError):  # the 30th of February, or beyond the year 9999
        raise _Unsure from None


_CONVERSIONS: Mapping[str, _Convert] = {
    **dict.fromkeys(_BOUNDS, _as_whole_number),
    "string": _as_text,
    "double": _as_double,
    "decimal": _as_decimal,
    "boolean": _as_boolean,
    "date": _as_date,
    "timestamp": _as_timestamp,
}

# ------------------------------------------------------------------------------- nested: TRY_CAST of a json value


def _nested(value: Any, column_type: ColumnType) -> Any:
    """Only what every reader takes for the same; the rest (a text in an array of numbers) is for SQL to decide."""
    if value is None:
        return None
    if isinstance(value, _Repeating):
        raise _Unsure
    if column_type.name == "array" and isinstance(value, list):
        return [_nested(item, column_type.items[0]) for item in value]
    if column_type.name == "map" and isinstance(value, dict) and column_type.items[0].name == "string":
        return [(key, _nested(item, column_type.items[1])) for key, item in value.items()]
    if column_type.name == "struct" and isinstance(value, dict):
        if any(key != key.lower() and key.lower() in column_type.fields for key in value):
            raise _Unsure
        pairs = zip(column_type.fields, column_type.items, strict=True)
        return {name: _nested(value.get(name), item) for name, item in pairs}
    return _nested_scalar(value, column_type)


def _nested_scalar(value: Any, column_type: ColumnType) -> Any:
    is_number = isinstance(value, _NumberText)
    if column_type.name == "string" and isinstance(value, str) and not is_number:
        return value
    if column_type.name == "boolean" and isinstance(value, bool):
        return value
    if column_type.name in _BOUNDS and is_number and _INTEGER.fullmatch(value):
        found = _as_whole_number(value, column_type)
        if found is not None:
            return found
    if column_type.name == "double" and is_number:
        return _as_double(value, column_type)
    raise _Unsure
