"""Where in the SQL as asked an engine's `line 3:7` lies.

The engine gets other SQL than the caller wrote (tenant scope, pruning, `*` expanded), so its places point into a text
the caller never saw. A place is carried over through the word that stands there: the n-th `foo` of the engine's text
is the n-th `foo` of the caller's, provided both have equally many. Otherwise there is no place: none is better than a
wrong one.
"""

from __future__ import annotations

import re
from dataclasses import replace

from service.errors import QueryFailure

_WORD = re.compile(r"[A-Za-z_0-9$]+|[^\sA-Za-z_0-9$]")
_PLACE_TEXT = re.compile(r"line \d+:\d+: ")


def placed(failure: QueryFailure, *, engine_sql: str, asked_sql: str) -> QueryFailure:
    """The failure with its place, in members and text, carried over to the SQL as asked, or without one."""
    if failure.line is None or failure.column is None:
        return failure
    place = carried_over(failure.line, failure.column, engine_sql=engine_sql, asked_sql=asked_sql)
    if place is None:
        detail = _PLACE_TEXT.sub("", failure.detail, count=1)
        return replace(failure, line=None, column=None, detail=detail)
    line, column = place
    detail = _PLACE_TEXT.sub(f"line {line}:{column}: ", failure.detail, count=1)
    return replace(failure, line=line, column=column, detail=detail)


def carried_over(line: int, column: int, *, engine_sql: str, asked_sql: str) -> tuple[int, int] | None:
    """The place (line, column from 1) in the SQL as asked, or None."""
    if engine_sql == asked_sql:
        return line, column
    lines = engine_sql.split("\n")
    if not (1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1])):
        return None
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
    word = _WORD.match(engine_sql, offset)
    if word is None:
        return None
    wanted = word[0].lower()
    in_engine = [match.start() for match in _WORD.finditer(engine_sql) if match[0].lower() == wanted]
    in_asked = [match.start() for match in _WORD.finditer(asked_sql) if match[0].lower() == wanted]
    if offset not in in_engine or len(in_engine) != len(in_asked):
        return None
    position = in_asked[in_engine.index(offset)]
    before = asked_sql[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
