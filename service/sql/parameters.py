"""Parameters: each `?` becomes a literal node of the tree. A value is never written into text.

JSON to SQL: integer -> integer literal, other number -> double literal (`1.5E0`; Trino reads `1.5` as a decimal),
string -> varchar literal, true/false -> boolean, null -> NULL. A time is a string; the SQL says what it is:
`from_iso8601_timestamp(?)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from sqlglot import exp

from service.errors import InvalidParameter

# As in the SQL itself (service.sql.statement): no engine accepts them, and the grammar marks its own words with them.
_NOT_IN_SQL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")


def check_count(expected: int, values: Sequence[object]) -> None:
    """Raises InvalidParameter unless there are as many values as `?`."""
    if expected != len(values):
        raise InvalidParameter(
            f"Incorrect number of parameters: expected {expected} but found {len(values)}",
            index=min(expected, len(values)),
        )


def fill(tree: exp.Expr, values: Sequence[object]) -> None:
    """Puts the values in the places of `?`, first to last as written. Raises InvalidParameter."""
    places = sorted(tree.find_all(exp.Placeholder), key=lambda place: int(place.meta["start"]))
    check_count(len(places), values)
    for index, (place, value) in enumerate(zip(places, values, strict=True)):
        place.replace(literal(value, index))


def literal(value: object, index: int) -> exp.Expr:
    """The literal node of a JSON value. Raises InvalidParameter for arrays, objects, NaN and unpaired surrogates."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value, index)
    if isinstance(value, str):
        if _NOT_IN_SQL.search(value):
            raise InvalidParameter(f"Parameter {index + 1} has characters that are not allowed in SQL", index=index)
        return exp.Literal.string(value)
    raise InvalidParameter(
        f"Parameter {index + 1} is {_kind(value)}; a number, a string, a boolean or null is expected", index=index
    )


def _number(value: int | float | Decimal, index: int) -> exp.Expr:
    if not math.isfinite(value):
        raise InvalidParameter(f"Parameter {index + 1} is not a finite number", index=index)
    negative = value < 0 or (isinstance(value, float) and math.copysign(1, value) < 0)
    if isinstance(value, int):
        text = str(abs(value))
    elif isinstance(value, Decimal):
        text = format(abs(value), "f")
    else:
        text = repr(abs(value))
        text = text.upper() if "e" in text else f"{text}E0"
    number = exp.Literal.number(text)
    return exp.Paren(this=exp.Neg(this=number)) if negative else number


def _kind(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "an array"
    return "an object" if isinstance(value, dict) else type(value).__name__
