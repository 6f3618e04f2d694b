"""Row pattern matching at run time: finds the matches of one partition and computes their measures.

DuckDB hands in the rows of a partition (a list of structs); conditions and measures are SQL, computed by a DuckDB of
this module's own over the partition's columns and the labels matched so far. The search is Trino's: first alternative
first, greedy unless reluctant, with backtracking; a limit of steps keeps a hostile pattern from running for ever.

Program (JSON, made by row_patterns.py): columns (DuckDB types), pattern, conditions by label, measures (SQL, type),
rows_per_match, skip, subsets.
"""

# ruff: noqa: S608  (SQL text comes from the analyser)

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb

from embedded.sql.errors import TrinoError
from embedded.sql.functions import registry
from embedded.sql.physical import text_literal
from embedded.sql.runtime_errors import trino_error

#: A cancelled query waits for the matcher to come back: patterns that try too much are refused.
_MAXIMUM_STEPS = 50_000
_MAXIMUM_SECONDS = 30.0
_local = threading.local()


def _connection() -> duckdb.DuckDBPyConnection:
    from embedded.sql.translation import install

    found: duckdb.DuckDBPyConnection | None = getattr(_local, "connection", None)
    if found is None:
        found = duckdb.connect(":memory:", config={"threads": 1})
        install(found)
        _local.connection = found
    return found


@lru_cache(maxsize=64)
def _program(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@dataclass(slots=True)
class _Match:
    number: int
    start: int  # 1-based row
    labels: list[str]
    excluded: frozenset[int] = frozenset()  # places in labels


def _list_sql(labels: list[str]) -> str:
    return f"CAST([{', '.join(map(text_literal, labels))}] AS VARCHAR[])"


@dataclass(slots=True)
class _Search:
    """One partition: condition answers are remembered by what they depend on."""

    program: dict[str, Any]
    connection: duckdb.DuckDBPyConnection
    row_count: int  # the last row that may be matched
    first_row: int = 1  # navigation sees the rows from here to row_count: the partition, or the frame of a window
    steps: int = 0
    deadline: float = field(default_factory=lambda: time.monotonic() + _MAXIMUM_SECONDS)
    answers: dict[tuple[object, ...], bool] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)

    def holds(self, label: str, start: int, labels: tuple[str, ...], number: int) -> bool:
        condition = self.program["conditions"].get(label)
        if condition is None:
            return True
        key = (label, start, labels, number, self.first_row, self.row_count)
        found = self.answers.get(key)
        if found is None:
            self.steps += 1
            if self.steps > _MAXIMUM_STEPS or time.monotonic() > self.deadline:
                raise TrinoError("NOT_SUPPORTED", "Row pattern needs too many steps for the embedded engine")
            held = [*labels, label]
            row = self.state_values(condition, start, held, held, number)
            found = bool(row is not None and row[0])
            self.answers[key] = found
        return found

    def state_values(
        self, expressions: str, start: int, labels: list[str], all_labels: list[str], number: int | None
    ) -> tuple[Any, ...] | None:
        """SQL expressions computed in one state of the search."""
        name = self.prepared.get(expressions)
        if name is None:
            name = self.prepared[expressions] = f"in_state_{len(self.prepared)}"
            self.connection.execute(
                f"PREPARE {name} AS SELECT {expressions} FROM (SELECT CAST($1 AS BIGINT) AS start, "
                "CAST($2 AS VARCHAR[]) AS labels, CAST($3 AS VARCHAR[]) AS all_labels, "
                "CAST($4 AS BIGINT) AS match_number, CAST($5 AS BIGINT) AS first_row, CAST($6 AS BIGINT) AS last_row) "
                "AS s, matched_rows AS p"
            )
        values = ", ".join(
            (
                str(start),
                _list_sql(labels),
                _list_sql(all_labels),
                "NULL" if number is None else str(number),
                str(self.first_row),
                str(self.row_count),
            )
        )
        try:
            found: tuple[Any, ...] | None = self.connection.execute(f"EXECUTE {name}({values})").fetchone()
        except duckdb.Error as error:
            raise trino_error(error) from error
        return found

    def paths(
        self, node: list[Any], start: int, labels: tuple[str, ...], excluded: frozenset[int], number: int
    ) -> Iterator[tuple[tuple[str, ...], frozenset[int]]]:
        """Ways to match `node` behind `labels`, best first."""
        kind = node[0]
        if kind == "label":
            if start - 1 + len(labels) < self.row_count and self.holds(node[1], start, labels, number):
                yield (*labels, node[1]), excluded
        elif kind == "sequence":
            yield from self.sequence(node[1:], start, labels, excluded, number)
        elif kind == "choice":
            for part in node[1:]:
                yield from self.paths(part, start, labels, excluded, number)
        elif kind == "repeat":
            yield from self.repeated(node, 0, start, labels, excluded, number)
        elif kind == "permute":
            for order in itertools.permutations(node[1:]):
                yield from self.sequence(list(order), start, labels, excluded, number)
        elif kind == "exclude":
            for found, inner in self.paths(node[1], start, labels, excluded, number):
                yield found, inner | frozenset(range(len(labels), len(found)))
        elif (
            kind == "empty"
            or (kind == "start" and start + len(labels) == 1)
            or (kind == "end" and start - 1 + len(labels) == self.row_count)
        ):
            yield labels, excluded

    def sequence(
        self, parts: list[Any], start: int, labels: tuple[str, ...], excluded: frozenset[int], number: int
    ) -> Iterator[tuple[tuple[str, ...], frozenset[int]]]:
        if not parts:
            yield labels, excluded
            return
        for found, inner in self.paths(parts[0], start, labels, excluded, number):
            yield from self.sequence(parts[1:], start, found, inner, number)

    def repeated(
        self, node: list[Any], count: int, start: int, labels: tuple[str, ...], excluded: frozenset[int], number: int
    ) -> Iterator[tuple[tuple[str, ...], frozenset[int]]]:
        _, inner_node, least, most, greedy = node
        if not greedy and count >= least:
            yield labels, excluded
        if most is None or count < most:
            for found, inner in self.paths(inner_node, start, labels, excluded, number):
                if len(found) == len(labels) and count >= least:
                    continue  # an empty repetition brings nothing more
                yield from self.repeated(node, count + 1, start, found, inner, number)
        if greedy and count >= least:
            yield labels, excluded

    def matches(self) -> Iterator[tuple[_Match | None, int]]:
        """Matches in order, and (None, row) for rows at which nothing matches."""
        start, number = 1, 0
        while start <= self.row_count:
            found = next(self.paths(self.program["pattern"], start, (), frozenset(), number + 1), None)
            if found is None:
                yield None, start
                start += 1
                continue
            number += 1
            match = _Match(number, start, list(found[0]), found[1])
            yield match, start
            start = self.following(match)

    def following(self, match: _Match) -> int:
        kind, label = self.program["skip"]
        if not match.labels or kind == "NEXT_ROW":
            return match.start + 1
        if kind == "PAST_LAST_ROW":
            return match.start + len(match.labels)
        members = self.program["subsets"].get(label, [label])
        places = [place for place, found in enumerate(match.labels) if found in members]
        if not places:
            raise TrinoError("GENERIC_USER_ERROR", "AFTER MATCH SKIP failed: pattern variable is not present in match")
        place = places[0] if kind == "FIRST" else places[-1]
        if place == 0:
            raise TrinoError("GENERIC_USER_ERROR", "AFTER MATCH SKIP failed: cannot skip to first row of match")
        return match.start + place


def match_rows(rows: list[dict[str, Any]], program_text: str) -> list[dict[str, Any]]:
    """Output rows of one partition: {r: 1-based input row, m0, m1, ...: measures}."""
    program = _program(program_text)
    search = _search(rows, program)
    states: list[tuple[int, int, list[str], list[str], int | None]] = []
    for match, row in search.matches():
        states.extend(_output_states(program["rows_per_match"], match, row))
    return _measured(search, states)


def _search(rows: list[dict[str, Any]], program: dict[str, Any]) -> _Search:
    connection = _connection()
    registry.prepare(connection, frozenset(program["functions"]))
    columns = program["columns"]
    names = program.get("names") or [f"c{index}" for index in range(len(columns))]
    fields = ", ".join(f"{name} {column}" for name, column in zip(names, columns, strict=True))
    lists = ", ".join(f"list_transform(l, lambda r: r.{name}) AS {name}" for name in names)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE matched_rows AS SELECT len(l) AS n, {lists} "
        f"FROM (SELECT CAST($1 AS STRUCT({fields})[]) AS l)",
        [rows],
    )
    return _Search(program, connection, len(rows))


def _output_states(
    mode: str, match: _Match | None, row: int
) -> Iterator[tuple[int, int, list[str], list[str], int | None]]:
    """(output row, start, labels so far, labels of the whole match, match number)"""
    if match is None:
        if mode == "ALL_WITH_UNMATCHED":
            yield row, row, [], [], None
        return
    if not match.labels:
        if mode != "ALL_OMIT_EMPTY":
            yield match.start, match.start, [], [], match.number
        return
    if mode == "ONE":
        yield match.start, match.start, match.labels, match.labels, match.number
        return
    for place in range(len(match.labels)):
        if place not in match.excluded:
            yield match.start + place, match.start, match.labels[: place + 1], match.labels, match.number


def _measured(
    search: _Search,
    states: list[tuple[int, int, list[str], list[str], int | None]],
) -> list[dict[str, Any]]:
    measures = search.program["measures"]
    if not states or not measures:
        return [{"r": state[0]} for state in states]
    shown = ", ".join(f"{sql} AS m{index}" for index, sql in enumerate(measures))
    found: list[dict[str, Any]] = []
    for row, start, labels, all_labels, number in states:
        values = search.state_values(shown, start, labels, all_labels, number)
        answer: dict[str, Any] = {"r": row}
        for index, value in enumerate(values or ()):
            answer[f"m{index}"] = None if number is None else value
        found.append(answer)
    return found


# --------------------------------------------------------------------------------------------- in a window

_MAXIMUM_WINDOW_ROWS = 2000
_REMEMBERED = 4


def match_window_row(rows: list[dict[str, Any]], number: int, program_text: str) -> dict[str, Any] | None:
    """The measures at one row (from 1) of a partition: of the match its frame holds, NULLs where it is skipped."""
    if len(rows) > _MAXIMUM_WINDOW_ROWS:
        message = f"Row pattern recognition over more than {_MAXIMUM_WINDOW_ROWS} rows of a window partition"
        raise TrinoError("NOT_SUPPORTED", f"{message} is not supported by the embedded engine")
    remembered: dict[tuple[str, str], list[dict[str, Any] | None]] = _local.__dict__.setdefault("windows", {})
    key = (program_text, repr(rows))
    found = remembered.get(key)
    if found is None:
        while len(remembered) >= _REMEMBERED:
            del remembered[next(iter(remembered))]
        found = remembered[key] = _window_answers(rows, _program(program_text))
    return found[number - 1]


def _window_answers(rows: list[dict[str, Any]], program: dict[str, Any]) -> list[dict[str, Any] | None]:
    search = _search(rows, program)
    nothing: dict[str, Any] = {f"m{index}": None for index in range(len(program["measures"]))}
    answers: list[dict[str, Any] | None] = [nothing] * len(rows)
    row = 1
    while row <= len(rows):
        following = program["following"]
        search.first_row = row
        search.row_count = len(rows) if following is None else min(len(rows), row + following)
        match = _window_match(search, row, program["seek"])
        if match is None:
            row += 1
            continue
        if match.labels:
            state = (row, match.start, match.labels, match.labels, 1)
            (measured,) = _measured(search, [state])
            answers[row - 1] = {name: value for name, value in measured.items() if name != "r"}
        row = row + 1 if program["skip"][0] == "NEXT_ROW" else max(row + 1, search.following(match))
    return answers


def _window_match(search: _Search, row: int, seek: bool) -> _Match | None:
    """The match that begins at the current row, or with SEEK at the first row of the frame where one begins."""
    for start in range(row, search.row_count + 1) if seek else (row,):
        found = next(search.paths(search.program["pattern"], start, (), frozenset(), 1), None)
        if found is not None and (found[0] or start == row):
            return _Match(1, start, list(found[0]), found[1])
    return None
