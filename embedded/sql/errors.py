"""Errors of Athena's query engine, in Athena's own words.

    TrinoError                      name, message, line, column
    + (a Trino error code is a name, not a class: SYNTAX_ERROR, COLUMN_NOT_FOUND, TYPE_MISMATCH, DIVISION_BY_ZERO ...)

`str(error)` is the StateChangeReason Athena shows: `COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved ...`.
"""

from __future__ import annotations


class TrinoError(Exception):
    """A query at fault (or something this engine names as unsupported): Trino's error name and Trino's text.

    `message` is the text without the name and without the position; line and column count from 1 and are None for
    errors that only the running query can see.
    """

    def __init__(self, name: str, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        position = "" if self.line is None else f"line {self.line}:{self.column}: "
        return f"{self.name}: {position}{self.message}"


#: What TRY(expression) turns into NULL (trino.io/docs/current/functions/conditional.html#try).
CAUGHT_BY_TRY = frozenset(
    {"DIVISION_BY_ZERO", "INVALID_CAST_ARGUMENT", "INVALID_FUNCTION_ARGUMENT", "NUMERIC_VALUE_OUT_OF_RANGE"}
)
