"""The databases that are served, each by a version of the contract: its tables and the planner over them.

    /v0/data_hist/...   data_hist       the default
    /v1/data_hist/...   data_hist_v1

Query executions, results, keys, budgets and the queue are one for all versions: a query_id means the same everywhere.
Only what a name in SQL means, and which tables there are, is the database's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from glue.table_spec import TableSpec
from service.errors import TableUnknown
from service.model import Caller
from service.sql.plan import PlannedStatement, TimeRange


class StatementPlanner(Protocol):
    """What is needed of service.sql.plan.Planner."""

    def plan(
        self, sql: str, caller: Caller, *, time_range: TimeRange = ..., parameters: Sequence[object] = ...
    ) -> PlannedStatement:
        """The statement to run for this caller. Raises StatementError and its kin."""
        ...


@dataclass(frozen=True)
class ServedDatabase:
    """One database. `tables` by the names that queries write."""

    planner: StatementPlanner
    tables: Mapping[str, TableSpec]

    def table(self, name: str) -> TableSpec:
        """The table of this name. Raises TableUnknown with the nearest names."""
        spec = self.tables.get(name.lower())
        if spec is None:
            suggestions = get_close_matches(name.lower(), self.tables, n=3)
            raise TableUnknown(f"there is no table {name!r}", name=name, suggestions=suggestions)
        return spec
