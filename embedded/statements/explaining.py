"""EXPLAIN and EXPLAIN ANALYZE: the plan of a query, a line of text each.

The plan is DuckDB's, since DuckDB runs the query; what Athena's own would say first (tables, partitions, files, bytes)
stands above it. Options: FORMAT TEXT | JSON | GRAPHVIZ (the last by name), TYPE LOGICAL | DISTRIBUTED | VALIDATE | IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedded.sql.errors import TrinoError

_EXPLAIN = re.compile(r"\s*EXPLAIN\b\s*(ANALYZE\b\s*(?P<verbose>VERBOSE\b\s*)?)?", re.IGNORECASE)
_OPTIONS = re.compile(r"\(\s*((?:FORMAT|TYPE)\s+\w+\s*(?:,\s*(?:FORMAT|TYPE)\s+\w+\s*)*)\)\s*", re.IGNORECASE)
_CHOICES: Mapping[str, frozenset[str]] = {
    "FORMAT": frozenset({"TEXT", "JSON", "GRAPHVIZ"}),
    "TYPE": frozenset({"LOGICAL", "DISTRIBUTED", "VALIDATE", "IO"}),
}


@dataclass(frozen=True)
class Explain:
    """What to explain, and how."""

    sql: str
    analyze: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_validation(self) -> bool:
        return self.options.get("TYPE") == "VALIDATE"

    @property
    def is_json(self) -> bool:
        return self.options.get("FORMAT") == "JSON"


def parse_explain(sql: str) -> Explain:
    """Raises TrinoError for an option that does not exist."""
    match = _EXPLAIN.match(sql)
    if match is None:
        raise TrinoError("SYNTAX_ERROR", "mismatched input. Expecting: 'EXPLAIN'", line=1, column=1)
    rest = sql[match.end() :]
    options: dict[str, str] = {}
    listed = _OPTIONS.match(rest)
    if listed is not None:
        for option in listed.group(1).upper().split(","):
            name, choice = option.split()
            if choice not in _CHOICES[name]:
                raise TrinoError("SYNTAX_ERROR", f"mismatched input '{choice}'", line=1, column=1)
            options[name] = choice
        rest = rest[listed.end() :]
    if options.get("FORMAT") == "GRAPHVIZ":
        raise TrinoError("NOT_SUPPORTED", "EXPLAIN (FORMAT GRAPHVIZ) is not supported by the embedded engine")
    return Explain(rest, match.group(1) is not None, options)


def without_sql(plan: str, sql: str, *, is_json: bool) -> str:
    """DuckDB's plan without the text it ran, which EXPLAIN ANALYZE repeats: it names the files of this machine."""
    if not is_json:
        return plan.replace(sql, "")
    document = json.loads(plan)
    if isinstance(document, dict):
        document.pop("query_name", None)
    return json.dumps(document, indent=2)


def plan_lines(heading: list[str], plan: str) -> list[str]:
    """The plan's lines below what it reads; tabs would be taken for columns."""
    return [line.replace("\t", "    ").rstrip() for line in [*heading, *plan.splitlines()] if line.strip()]


def io_lines(tables: list[dict[str, Any]]) -> list[str]:
    """TYPE IO: the tables a query reads."""
    return json.dumps({"inputTableColumnInfos": tables}, indent=2).splitlines()
