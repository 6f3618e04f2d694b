"""Whether a JSON value can become a declared type: says why a row was left out, in words.

What DuckDB would bend (see `json_strict`, which says the same in SQL) and what is certainly wrong is refused here;
DuckDB's strict reader has the last word on the rest.
"""

from __future__ import annotations

import re
from typing import Any

from embedded.serde.json_strict import EXACT_WHOLE_NUMBERS
from embedded.sql.types import INTEGER_WIDTHS, TrinoType

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_HEXADECIMAL = re.compile(r"\s*0[xX][0-9a-fA-F]+\s*")
_SPECIAL_NUMBERS = frozenset({"nan", "inf", "infinity", "+inf", "-inf", "+infinity", "-infinity"})
_BOOLEANS = frozenset({"true", "false", "t", "f", "yes", "no", "y", "n", "0", "1", "on", "off"})
_TIMESTAMP = re.compile(r"\s*-?\d{1,9}([-/]\d{1,2}[-/]\d{1,2}([ T].*)?|(\.\d+)?|\d{1,9}(\.\d+)?)\s*", re.DOTALL)
_DATE = re.compile(r"\s*-?\d{1,9}[-/]\d{1,2}[-/]\d{1,2}.*", re.DOTALL)


def misfit(value: Any, trino_type: TrinoType) -> str | None:
    """Why this parsed JSON value can't be of the type; None when it can, or when only the reader can tell."""
    if value is None:
        return None
    base = trino_type.base
    if base in ("varchar", "char", "json"):
        return None
    if base == "varbinary":
        return None if isinstance(value, str) else _expected(trino_type, value)
    if base == "array":
        if not isinstance(value, list):
            return _expected(trino_type, value)
        return _first(misfit(item, trino_type.element) for item in value)
    if base == "map":
        if not isinstance(value, dict):
            return _expected(trino_type, value)
        return _first(misfit(item, trino_type.value) for item in value.values())
    if base == "row":
        if not isinstance(value, dict):
            return _expected(trino_type, value)
        lowered = {key.lower(): item for key, item in value.items()}
        fields = zip(trino_type.names, trino_type.elements, strict=True)
        return _first(misfit(lowered.get((name or "").lower()), element) for name, element in fields)
    return _scalar_misfit(value, trino_type)


def _scalar_misfit(value: Any, trino_type: TrinoType) -> str | None:
    base = trino_type.base
    if isinstance(value, dict | list):
        return _expected(trino_type, value)
    if base in INTEGER_WIDTHS:
        return _integer_misfit(value, trino_type)
    if base in ("double", "real", "decimal"):
        if isinstance(value, bool):
            return _expected(trino_type, value)
        if isinstance(value, str) and not _NUMBER.fullmatch(value) and value.strip().lower() not in _SPECIAL_NUMBERS:
            return _expected(trino_type, value)
        return None
    if base == "boolean":
        if isinstance(value, bool):
            return None
        if not isinstance(value, str) or value.strip().lower() not in _BOOLEANS:
            return _expected(trino_type, value)
        return None
    if base == "timestamp" and (isinstance(value, bool) or not _TIMESTAMP.fullmatch(str(value))):
        return _expected(trino_type, value)
    if base == "date" and not (isinstance(value, str) and _DATE.fullmatch(value)):
        return _expected(trino_type, value)
    return None


def _integer_misfit(value: Any, trino_type: TrinoType) -> str | None:
    limit = 1 << (INTEGER_WIDTHS[trino_type.base] - 1)
    if isinstance(value, bool):
        return _expected(trino_type, value)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None if _HEXADECIMAL.fullmatch(value) else _expected(trino_type, value)
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= EXACT_WHOLE_NUMBERS):
        return _expected(trino_type, value)
    if not -limit <= value < limit:
        return f"number out of range of {trino_type}"
    return None


def _first(reasons: Any) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _expected(trino_type: TrinoType, value: Any) -> str:
    shown = repr(value) if not isinstance(value, dict | list) else type(value).__name__.replace("dict", "object")
    return f"expected {trino_type}, found {shown[:60]}"
