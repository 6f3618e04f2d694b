"""Errors of a running DuckDB query as Trino's.

Three sources: `trino_error('NAME: message')` and Python functions raising TrinoError (both arrive as DuckDB's "Python
exception occurred while executing the UDF"), and DuckDB's own conversion and overflow errors: their texts are read.
"""

from __future__ import annotations

import re

import duckdb

from embedded.sql.errors import TrinoError

_PYTHON = re.compile(r"(?:TrinoError): \('?([A-Z_0-9]+)'?, |TrinoError: ([A-Z_0-9]+): (.*?)(?:\n\nAt:|\Z)", re.DOTALL)
_WIDTHS = {"8": "tinyint", "16": "smallint", "32": "integer", "64": "bigint"}
_OVERFLOW = re.compile(
    r"Overflow in (addition|subtraction|multiplication|negation|division) of (?:INT(\d+) )?\((.*?)\)"
)
_BEYOND_TIME = re.compile(r"not in timestamp range|[Tt]imestamp microseconds out of range|Date out of range")
_NARROWED = re.compile(r"Type INT(\d+) with value (\S+) can't be cast .* destination type INT(\d+)")


def trino_error(error: BaseException) -> TrinoError:
    """The TrinoError for a duckdb.Error; GENERIC_INTERNAL_ERROR with DuckDB's text when nothing else fits."""
    if isinstance(error, TrinoError):
        return error
    text = str(error)
    match = _PYTHON.search(text)
    if match is not None and match[2]:
        return TrinoError(match[2], match[3])
    if isinstance(error, duckdb.OutOfRangeException):
        return _out_of_range(text)
    if isinstance(error, duckdb.ConversionException) and _BEYOND_TIME.search(text):
        return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "Timestamp out of range")
    if isinstance(error, duckdb.ConversionException):
        narrowed = _NARROWED.search(text)
        if narrowed is not None and narrowed[1] == "128":
            return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "bigint addition overflow")
        if narrowed is not None:
            return TrinoError(
                "INVALID_CAST_ARGUMENT", f"Out of range for {_WIDTHS.get(narrowed[3], 'bigint')}: {narrowed[2]}"
            )
        return TrinoError("INVALID_CAST_ARGUMENT", _first_line(text.partition(": ")[2]))
    if "Map keys must be unique" in text:
        return TrinoError("INVALID_FUNCTION_ARGUMENT", "Duplicate map keys are not allowed")
    if "More than one row returned by a subquery" in text:
        return TrinoError("SUBQUERY_MULTIPLE_ROWS", "Scalar sub-query has returned multiple rows")
    if isinstance(error, duckdb.InterruptException):
        return TrinoError("USER_CANCELED", "Query was canceled")
    if isinstance(error, duckdb.OutOfMemoryException):
        return TrinoError("EXCEEDED_LOCAL_MEMORY_LIMIT", "Query exceeded per-node memory limit")
    if isinstance(error, duckdb.BinderException | duckdb.NotImplementedException | duckdb.ParserException):
        return TrinoError("NOT_SUPPORTED", f"Not supported by the embedded engine: {_first_line(text)}")
    return TrinoError("GENERIC_INTERNAL_ERROR", _first_line(text))


def _out_of_range(text: str) -> TrinoError:
    match = _OVERFLOW.search(text)
    if match is not None:
        operation, width, operands = match[1], match[2], match[3]
        name = _WIDTHS.get(width or "", "")
        if name:
            return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", f"{name} {operation} overflow: {operands}")
        return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "Decimal overflow")
    if "negation" in text:
        return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", "numeric negation overflow")
    return TrinoError("NUMERIC_VALUE_OUT_OF_RANGE", _first_line(text.partition(": ")[2]))


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
