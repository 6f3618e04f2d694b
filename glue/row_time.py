"""When a row happened: whatever a file holds in its time field, as ms since 1970.

Texts are ISO 8601 (with `T` or a space, with or without a zone: UTC is assumed; a date alone is its midnight;
fractions to any length) or a number; numbers are epochs whose unit is told by their size
(`glue.envelope.epoch_milliseconds`). A text of 8 or 14 digits is the compact date (`20210721`, `20210721060000`), as
no epoch of our times has that many. Fractions of a millisecond are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation

from glue.envelope import epoch_milliseconds

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  only subtracted from naive moments that are meant in UTC
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_COMPACT_LENGTHS = (8, 14)
_EARLIEST_MILLISECONDS = -62_135_596_800_000  # 0001-01-01
_LATEST_MILLISECONDS = 253_402_300_799_999  # 9999-12-31T23:59:59.999: the last folder the layout can name


def milliseconds(value: object) -> int:
    """The time in ms since 1970. Raises ValueError with a reason that names the value."""
    if type(value) is str:
        found = _from_text(value)
    elif isinstance(value, bool) or value is None:
        raise ValueError("is null" if value is None else f"is {str(value).lower()}, not a time")
    elif isinstance(value, int | float | Decimal):
        found = epoch_milliseconds(value)
    elif isinstance(value, datetime):
        found = _from_datetime(value)
    elif isinstance(value, date):
        found = _from_datetime(datetime.combine(value, time()))
    else:
        raise ValueError(f"is {'a list' if isinstance(value, list) else 'an object'}, not a time")
    if not _EARLIEST_MILLISECONDS <= found <= _LATEST_MILLISECONDS:
        raise ValueError(f"{value!r} lies outside the years 1 to 9999")
    return found


def _from_text(text: str) -> int:
    try:
        if len(text) > 10 and text[4] == "-":  # by far the most: a full timestamp
            return _from_datetime(datetime.fromisoformat(text))
    except ValueError:
        pass
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped) and len(stripped) not in _COMPACT_LENGTHS:
        return _from_number(stripped)
    try:
        return _from_datetime(_compact_or_iso(stripped))
    except ValueError:
        if _NUMBER.fullmatch(stripped):
            return _from_number(stripped)
        shown = stripped if len(stripped) <= 60 else stripped[:57] + "..."
        raise ValueError(f"{shown!r} is neither ISO 8601 nor an epoch" if stripped else "is empty") from None


def _compact_or_iso(text: str) -> datetime:
    if len(text) == 14 and text.isdigit():
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    upper = text.upper()
    for zone in (" UTC", " GMT", " Z"):
        if upper.endswith(zone):
            return datetime.fromisoformat(upper[: -len(zone)] + "Z")
    return datetime.fromisoformat(upper)


def _from_number(text: str) -> int:
    try:
        return epoch_milliseconds(int(text) if text.isdigit() else Decimal(text))
    except (InvalidOperation, ArithmeticError) as error:
        raise ValueError(f"{text!r} is no epoch") from error


def _from_datetime(moment: datetime) -> int:
    delta: timedelta = moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
