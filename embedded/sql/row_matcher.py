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
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb

from embedded.sql.errors import TrinoError

_MAXIMUM_STEPS = 100_000
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


@dataclass(slots=True)
class _Search:
    """One partition: condition answers are remembered by what they depend on."""

    program: dict[str, Any]
    connection: duckdb.DuckDBPyConnection
    row_count: int
    steps: int = 0
    answers: dict[tuple[str, int, tuple[str, ...], int], bool] = field(default_factory=dict)

    def holds(self, label: str, start: int, labels: tuple[str, ...], number: int) -> bool:
        condition = self.program["conditions"].get(label)
        if condition is None:
            return True
        key = (label, start, labels, number)
        found = self.answers.get(key)
        if found is None:
            self.steps += 1
            if self.steps > _MAXIMUM_STEPS:
                raise TrinoError("NOT_SUPPORTED", "Row pattern needs too many steps for the embedded engine")
            held = [*labels, label]
            row = self.connection.execute(
                f"SELECT {condition} FROM (SELECT CAST($1 AS BIGINT) AS start, CAST($2 AS VARCHAR[]) AS labels, "
                "CAST($2 AS VARCHAR[]) AS all_labels, CAST($3 AS BIGINT) AS match_number) AS s, matched_rows AS p",
                [start, held, number],
            ).fetchone()
            found = bool(row is not None and row[0])
            self.answers[key] = found
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
    connection = _connection()
    columns = program["columns"]
    fields = ", ".join(f"c{index} {column}" for index, column in enumerate(columns))
    lists = ", ".join(f"list_transform(l, lambda r: r.c{index}) AS c{index}" for index in range(len(columns)))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE matched_rows AS SELECT len(l) AS n, {lists} "
        f"FROM (SELECT CAST($1 AS STRUCT({fields})[]) AS l)",
        [rows],
    )
    search = _Search(program, connection, len(rows))
    states: list[tuple[int, int, list[str], list[str], int | None]] = []
    for match, row in search.matches():
        states.extend(_output_states(program["rows_per_match"], match, row))
    return _measured(connection, program, states)


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
    connection: duckdb.DuckDBPyConnection,
    program: dict[str, Any],
    states: list[tuple[int, int, list[str], list[str], int | None]],
) -> list[dict[str, Any]]:
    measures = program["measures"]
    if not states or not measures:
        return [{"r": state[0]} for state in states]
    shown = ", ".join(f"{sql} AS m{index}" for index, sql in enumerate(measures))
    found: list[dict[str, Any]] = []
    for row, start, labels, all_labels, number in states:
        values = connection.execute(
            f"SELECT {shown} FROM (SELECT CAST($1 AS BIGINT) AS start, CAST($2 AS VARCHAR[]) AS labels, "
            "CAST($3 AS VARCHAR[]) AS all_labels, CAST($4 AS BIGINT) AS match_number) AS s, matched_rows AS p",
            [start, labels, all_labels, number],
        ).fetchone()
        answer: dict[str, Any] = {"r": row}
        for index, value in enumerate(values or ()):
            answer[f"m{index}"] = None if number is None else value
        found.append(answer)
    return found
