"""A query's failure from the engine's own words: Trino's error name, place and blame, as values of service.errors.

Athena tells them as one text (`COLUMN_NOT_FOUND: line 3:7: Column 'x' cannot be resolved`), Trino as members of an
object; both have Trino's names, so both become the same codes.
"""

from __future__ import annotations

import re

from service.errors import Blame, QueryFailure

_CODE_BY_ENGINE_NAME = {
    "SYNTAX_ERROR": "InvalidQuerySyntax",
    "COLUMN_NOT_FOUND": "ColumnNotFound",
    "TABLE_NOT_FOUND": "TableNotFound",
    "SCHEMA_NOT_FOUND": "TableNotFound",
    "CATALOG_NOT_FOUND": "TableNotFound",
    "FUNCTION_NOT_FOUND": "FunctionNotFound",
    "TYPE_MISMATCH": "TypeMismatch",
}
_ENGINE_NAME = re.compile(r"(?:FAILED: )?((?!FAILED:)[A-Z][A-Z0-9_]{3,}): ")
_PLACE = re.compile(r"line (\d+):(\d+): ")


def code_of(engine_error_name: str | None, default_code: str = "QueryFailed") -> str:
    """The contract's code for an error name of Trino's; `default_code` where there is no name."""
    return default_code if engine_error_name is None else _CODE_BY_ENGINE_NAME.get(engine_error_name, "QueryFailed")


def place_in(text: str) -> tuple[int | None, int | None]:
    """The first `line L:C: ` of an error text, counted from 1; (None, None) where there is none."""
    place = _PLACE.search(text)
    return (int(place[1]), int(place[2])) if place else (None, None)


def failure_from_text(
    text: str,
    blame: Blame,
    *,
    default_code: str = "QueryFailed",
    retryable: bool = False,
    error_category: int | None = None,
    error_type: int | None = None,
) -> QueryFailure:
    """A failure from the engine's words: `COLUMN_NOT_FOUND: line 3:7: Column 'x' cannot be resolved`.

    `line` and `column` are the engine's: they point into the SQL that the engine got.
    """
    name_match = _ENGINE_NAME.match(text)
    name = name_match[1] if name_match else None
    detail = text[name_match.end() if name_match else 0 :]
    line, column = place_in(detail)
    return QueryFailure(
        code=code_of(name, default_code),
        detail=detail,
        blame=blame,
        retryable=retryable,
        line=line,
        column=column,
        engine_error_name=name,
        error_category=error_category,
        error_type=error_type,
    )
