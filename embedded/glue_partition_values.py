"""Partition values as sort keys: Glue keeps values as text, but compares them by the declared type of their key.

A sort key is what SQLite's own comparison orders as the type demands: text as itself, integers as integers, dates and
timestamps as normalised ISO text, decimals as text that sorts as the number. Text that is no value of its type
(`__HIVE_DEFAULT_PARTITION__` in an int key) has the sort key NOT_A_VALUE, greater than all, equal to no literal.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

SortKey = str | int

NOT_A_VALUE = "~"
NULL_TEXT = "__HIVE_DEFAULT_PARTITION__"

_INTEGER = re.compile(r"[+-]?\d{1,25}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


class KeyKind(Enum):
    """How the values of a partition key compare."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"


def key_kind(type_text: str | None) -> KeyKind:
    """The kind of a Hive type; string, char, varchar, boolean and whatever Glue does not order are TEXT."""
    base = (type_text or "string").strip().lower().partition("(")[0].strip()
    if base in {"tinyint", "smallint", "int", "integer", "bigint", "long"}:
        return KeyKind.INTEGER
    if base in {"decimal", "float", "double"}:
        return KeyKind.DECIMAL
    if base == "date":
        return KeyKind.DATE
    return KeyKind.TIMESTAMP if base == "timestamp" else KeyKind.TEXT


def is_sort_key(value: object) -> bool:
    """Whether SQLite can hold the value as a sort key: Unicode text or an integer of 64 bits."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def stored_sort_key(kind: KeyKind, text: str) -> SortKey:
    """The sort key of a partition's value."""
    try:
        return sort_key(kind, text)
    except ValueError:
        return NOT_A_VALUE


def sort_key(kind: KeyKind, text: str) -> SortKey:
    """The sort key of a value or literal; raises ValueError, in Glue's words, for text that is none of its type."""
    if kind is KeyKind.TEXT:
        return text
    if kind is KeyKind.INTEGER:
        return _integer(text)
    if kind is KeyKind.DECIMAL:
        if _DECIMAL.fullmatch(text) is None:
            raise ValueError(f"{text} is not a decimal.")
        return _sortable(Decimal(text))
    if kind is KeyKind.DATE:
        return _date(text)
    return _timestamp(text)


def _integer(text: str) -> int:
    number = int(text) if _INTEGER.fullmatch(text) else None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError(f'"{text}" is not an integer.')
    return number


def _date(text: str) -> str:
    try:
        if len(text) != 10:
            raise ValueError(text)
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text} is not a date.") from None


def _timestamp(text: str) -> str:
    match = _TIMESTAMP.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        day, time, fraction = match[1], match[2] or "00:00:00", match[3] or ""
        return f"{datetime.fromisoformat(f'{day}T{time}'):%Y-%m-%d %H:%M:%S}.{fraction:0<9}"
    except ValueError:
        raise ValueError(
            f"Timestamp format must be yyyy-mm-dd hh:mm:ss[.fffffffff] {text} is not a timestamp."
        ) from None


def _sortable(number: Decimal) -> str:
    """Text that sorts as the number: N.. below O (zero) below P..; magnitude first, then the digits."""
    if not number:
        return "O"
    sign, digit_tuple, exponent = number.as_tuple()
    digits = "".join(map(str, digit_tuple)).lstrip("0")
    magnitude = len(digits) + int(exponent)
    digits = digits.rstrip("0")
    if not -40_000 < magnitude < 40_000:
        raise ValueError(f"{number} is not a decimal.")
    if sign:
        return f"N{50_000 - magnitude:05}{digits.translate(_COMPLEMENT)}~"
    return f"P{50_000 + magnitude:05}{digits}"
