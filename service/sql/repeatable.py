"""Whether a statement gives the same result as long as the data stay: it asks neither clock, chance nor caller.

Answers that SQL leaves open (LIMIT without ORDER BY, `array_agg`) are repeatable: each of them is right.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_CLOCKS: Final = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp)
_CHANGING: Final = frozenset(
    [
        *("now", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"),
        *("rand", "random", "secure_rand", "secure_random", "uuid", "shuffle"),
        *("current_user", "current_timezone", "current_catalog", "current_schema", "current_path", "current_groups"),
    ]
)
"""Functions that Trino calls not deterministic, and those of the session (Trino's and Athena's function pages)."""


def is_repeatable(tree: exp.Expr) -> bool:
    """False when a part of the query may give another value the next time."""
    return not any(_is_changing(node) for node in tree.walk())


def _is_changing(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _CHANGING
    return isinstance(node, (*_CLOCKS, exp.TableSample))
