"""From the SQL a caller sends to the statement an engine may run.

`Planner.plan` is the only door: read once, policy, names, tenant scope, pruning, nested outputs. The same SQL, caller,
range and clock give the same plan, but for what is handed in: `describe` asks for the types of the output columns,
`partition_times` for what is known of the partitions that only late rows can be in.
"""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlglot import exp

from glue.partition_range import PartitionRange
from glue.table_spec import TableSpec
from service.errors import InvalidQuerySyntax, StatementError
from service.model import Caller, OutputColumn
from service.sql import (
    catalogue_statements,
    grammar,
    nested,
    parameters,
    policy,
    pruning,
    repeatable,
    statement,
    tenant,
)
from service.sql.margins import LeftOut, PartitionTimes
from service.sql.scope import Analysis
from service.sql.statement import Place, Statement, StatementKind


@dataclass(frozen=True)
class TimeRange:
    """The `from` and `to` of a request: [from, to) in ms since 1970; None leaves that side open."""

    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True)
class PlannedTable:
    """A table the statement reads, by its reference, and the partitions it can read (None is all of them) but for those
    left out.
    """

    name: str
    partition_range: PartitionRange | None = None
    left_out: LeftOut = field(default=LeftOut(), repr=False)


@dataclass(frozen=True)
class PlannedStatement:
    """What the engine gets, and what is known of it beforehand.

    `kind` is SELECT, EXPLAIN, SHOW or DESCRIBE, as asked. `json_columns` are the indices of output columns that
    arrive as JSON text; `columns` has the names and types as asked (empty when nobody can tell before the engine).
    `valid_until`: the plan rests on what `now()` was; an engine that starts later needs a new plan. None: for ever.
    `is_repeatable`: over the same data it gives the same result (service.sql.repeatable).
    """

    sql: str
    kind: str
    tables: tuple[PlannedTable, ...] = ()
    json_columns: frozenset[int] = frozenset()
    columns: tuple[OutputColumn, ...] = ()
    valid_until: datetime | None = None
    is_repeatable: bool = False
    places: tuple[tuple[int, int], ...] = field(default=(), repr=False, compare=False)
    asked: Statement | None = field(default=None, repr=False, compare=False)

    def place_as_asked(self, line: int, column: int) -> Place | None:
        """Where the caller wrote what stands at this place of `sql`: for faults that only the engine sees.

        The name that stands there, else the nearest name before it; None when there is none.
        """
        if self.asked is None:
            return None
        before = self.sql.split("\n")[: line - 1]  # only strings and quoted names break lines in planned SQL
        offset = sum(len(text) + 1 for text in before) + column - 1
        index = bisect.bisect_right(self.places, (offset, sys.maxsize)) - 1
        return self.asked.place_at(self.places[index][1]) if index >= 0 else None


Describe = Callable[[str], Sequence[OutputColumn]]


class Planner:
    """Plans statements over the tables of one database. Thread-safe: it holds nothing that changes."""

    def __init__(
        self,
        tables: Mapping[str, TableSpec],
        *,
        database: str,
        describe: Describe | None = None,
        clock: Callable[[], datetime],
        partition_times: PartitionTimes | None = None,
    ) -> None:
        self._tables = {name.lower(): spec for name, spec in tables.items()}
        self._database = database.lower()
        self._describe = describe
        self._clock = clock
        self._partition_times = partition_times

    def plan(
        self,
        sql: str,
        caller: Caller,
        *,
        time_range: TimeRange = TimeRange(),
        parameters: Sequence[object] = (),
    ) -> PlannedStatement:
        """The statement to run for this caller. Raises subclasses of StatementError with line, column, suggestions.

        `parameters` take the places of `?` in order (numbers, strings, booleans, None), as values, never as text.
        """
        try:
            asked = statement.read(sql)
            if asked.tree is None:
                return self._catalogue_statement(asked, parameters)
            return self._query(asked, asked.tree, caller, time_range, parameters)
        except RecursionError as error:
            raise InvalidQuerySyntax("line 1:1: the statement is nested too deeply", line=1, column=1) from error

    def _catalogue_statement(self, asked: Statement, values: Sequence[object]) -> PlannedStatement:
        parameters.check_count(0, values)
        sql, columns = catalogue_statements.write(asked, self._tables, self._database)
        return PlannedStatement(sql=sql, kind=asked.kind, columns=columns)

    def _query(
        self, asked: Statement, tree: exp.Expr, caller: Caller, time_range: TimeRange, values: Sequence[object]
    ) -> PlannedStatement:
        policy.check(asked, tree)
        policy.check_explain(asked, caller)
        parameters.fill(tree, values)
        analysis = Analysis(asked, tree, self._tables, self._database)
        pruned = pruning.prune(
            analysis,
            now=self._clock(),
            from_ms=time_range.from_ms,
            to_ms=time_range.to_ms,
            partition_times=self._partition_times,
        )
        tenant.scope_to(tree, analysis, caller.customers, pruned.predicates, self._tables)
        tables = tuple(
            PlannedTable(scan.spec.reference, partition_range, pruned.left_out[scan])
            for scan, partition_range in pruned.partition_ranges.items()
        )
        text, places = grammar.write_with_places(tree)
        written = nested.Written(tree, frozenset(), (OutputColumn("Query Plan", "varchar"),))
        if asked.kind is not StatementKind.EXPLAIN:
            try:
                columns = tuple(self._describe(text)) if self._describe is not None else ()
            except StatementError as error:
                raise _as_asked(error, text, places, asked) from error
            written = nested.as_json(tree, analysis, columns)
            if written.json_columns:
                text, places = grammar.write_with_places(written.tree)
        is_select = asked.kind is StatementKind.SELECT
        prefix = f"{asked.prefix} " if asked.prefix else ""
        return PlannedStatement(
            sql=prefix + text,
            kind=asked.kind,
            tables=tables,
            json_columns=written.json_columns,
            columns=written.columns,
            valid_until=pruned.valid_until,
            is_repeatable=is_select and repeatable.is_repeatable(tree),
            places=tuple((len(prefix) + offset, start) for offset, start in places),
            asked=replace(asked, tree=None),
        )


def _as_asked(
    error: StatementError, text: str, places: tuple[tuple[int, int], ...], asked: Statement
) -> StatementError:
    """A fault that `describe` found in the planned SQL, told with the place in the SQL as asked."""
    if error.line is None or error.column is None:
        return error
    place = PlannedStatement(text, asked.kind, places=places, asked=asked).place_as_asked(error.line, error.column)
    told = f"line {error.line}:{error.column}: "
    bare = error.detail.removeprefix(told)
    error.line, error.column = (place.line, place.column) if place else (None, None)
    error.detail = f"{place}: {bare}" if place else bare
    error.args = (error.detail,)
    return error
