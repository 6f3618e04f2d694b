"""Arrays, maps and rows leave the engine as JSON text.

Athena's own text of a nested value is ambiguous by design (`[a, b]` may be two strings or one), so the outermost
query asks for `json_format(CAST(x AS JSON))` where the output column's type is nested. Where that could change
anything else (DISTINCT, a set operation, ORDER BY on the column itself), the query is wrapped, or the column is left
as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    """The query for the engine; which columns of its result are JSON text; names and types as the query has them."""

    tree: exp.Expr
    json_columns: frozenset[int]
    columns: tuple[OutputColumn, ...]


def as_json(tree: exp.Expr, analysis: Analysis, columns: tuple[OutputColumn, ...]) -> Written:
    """The query with its nested output columns (`columns`: what it gives) as JSON text. Changes `tree`."""
    nested = [
        index
        for index, column in enumerate(columns)
        if _NESTED.match(column.type) and not _NOT_IN_JSON.search(column.type)
    ]
    if not nested:
        return Written(tree, frozenset(), columns)
    done: exp.Expr | None = None
    if isinstance(tree, exp.Select) and tree.args.get("distinct") is None:
        projections = _projections(tree, analysis)
        if projections is not None and len(projections) == len(columns):
            nested = _in_place(tree, analysis, projections, columns, nested)
            done = tree
    else:
        done = _around(tree, columns, nested)
    if done is None or not nested:
        return Written(tree, frozenset(), columns)
    return Written(done, frozenset(nested), columns)


def _projections(tree: exp.Select, analysis: Analysis) -> list[exp.Expr] | None:
    """The select list with each `*` written out; None when the columns of one are not known for sure."""
    projections: list[exp.Expr] = []
    for projection in tree.expressions:
        if id(projection) not in analysis.stars:
            if isinstance(projection, exp.Aliases):
                return None
            projections.append(projection)
            continue
        columns = analysis.stars[id(projection)]
        if columns is None:
            return None
        joined = {name.name.lower() for join in tree.args.get("joins") or () for name in join.args.get("using") or ()}
        names = [(relation.name, column.name) for relation, column in columns]
        for relation, name in names:
            if name is None or names.count((relation, name)) > 1:
                return None
            if relation is None and len(names) > 1 and sum(other == name for _, other in names) > 1:
                return None
            table = None if relation is None or name in joined else exp.to_identifier(relation, quoted=True)
            projections.append(exp.Column(this=exp.to_identifier(name, quoted=True), table=table))
    return projections


def _in_place(
    tree: exp.Select,
    analysis: Analysis,
    projections: list[exp.Expr],
    columns: Sequence[OutputColumn],
    nested: Sequence[int],
) -> list[int]:
    """Rewrites the select list; the indices that were done. GROUP BY and ORDER BY keep meaning what they meant."""
    done: list[int] = []
    for index in nested:
        projection = projections[index]
        value = projection.this if isinstance(projection, exp.Alias) else projection
        if not _keep_order(tree, analysis, index, columns[index].name, value):
            continue
        _keep_group(tree, index, value)
        projections[index] = _json_text(value, columns[index].name)
        done.append(index)
    tree.set("expressions", projections)
    return done


def _keep_group(tree: exp.Select, index: int, value: exp.Expr) -> None:
    group = tree.args.get("group")
    for key in list(group.find_all(exp.Literal)) if group is not None else ():
        if (
            not key.is_string
            and key.name == str(index + 1)
            and isinstance(key.parent, (exp.Group, exp.Rollup, exp.Cube))
        ):
            key.replace(value.copy())


def _keep_order(tree: exp.Select, analysis: Analysis, index: int, name: str, value: exp.Expr) -> bool:
    """Makes ORDER BY name the value itself where it named the output column. False when that cannot be said."""
    order = tree.args.get("order")
    if order is None:
        return True
    keys: list[exp.Expr] = []
    for ordered in order.expressions:
        if isinstance(ordered.this, exp.Literal) and not ordered.this.is_string and ordered.this.name == str(index + 1):
            keys.append(ordered.this)
        keys.extend(
            column
            for column in ordered.find_all(exp.Column)
            if not column.table and column.name.lower() == name.lower()
        )
    if not keys:
        return True
    if not isinstance(value, exp.Column):
        return False
    itself = value.copy()
    if not itself.table:
        found = analysis.columns.get(id(value))
        if found is None or found[0].name is None:
            return False
        itself.set("table", exp.to_identifier(found[0].name, quoted=True))
    for key in keys:
        key.replace(itself.copy())
    return True


def _around(tree: exp.Expr, columns: Sequence[OutputColumn], nested: Sequence[int]) -> exp.Expr | None:
    """`SELECT c1, json_format(CAST(c2 AS JSON)) ... FROM (<the query>) AS q(c1, c2)`, its ORDER BY and LIMIT outside.

    For DISTINCT and set operations, whose rows must be compared as the values they are. None when ORDER BY uses more
    than output columns.
    """
    names = [f"c{index + 1}" for index in range(len(columns))]
    order = tree.args.get("order")
    keys = [_output_index(ordered.this, columns) for ordered in order.expressions] if order is not None else []
    if any(key is None for key in keys):
        return None
    moved = {part: tree.args[part] for part in ("order", "limit", "offset") if tree.args.get(part) is not None}
    for part in moved:
        tree.set(part, None)
    if order is not None:
        for ordered, key in zip(order.expressions, keys, strict=True):
            ordered.set("this", exp.column(names[key or 0], table="q"))
    alias = exp.TableAlias(this=exp.to_identifier("q"), columns=[exp.to_identifier(name) for name in names])
    inner = tree.this if isinstance(tree, exp.Subquery) and tree.args.get("with_") is None and not moved else tree
    projections: list[exp.Expr] = []
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        value = exp.column(name, table="q")
        projections.append(
            _json_text(value, column.name) if index in nested else exp.alias_(value, column.name, quoted=True)
        )
    source = exp.From(this=exp.Subquery(this=inner, alias=alias))
    return exp.Select(expressions=projections, from_=source, **moved)


def _output_index(key: exp.Expr, columns: Sequence[OutputColumn]) -> int | None:
    if isinstance(key, exp.Literal) and not key.is_string and key.name.isdigit() and 0 < int(key.name) <= len(columns):
        return int(key.name) - 1
    if isinstance(key, exp.Column) and not key.table:
        matches = [index for index, column in enumerate(columns) if column.name.lower() == key.name.lower()]
        return matches[0] if len(matches) == 1 else None
    return None


def _json_text(value: exp.Expr, name: str) -> exp.Expr:
    cast = exp.Cast(this=value.copy(), to=exp.DataType(this=exp.DType.JSON))
    return exp.alias_(exp.Anonymous(this="json_format", expressions=[cast]), name, quoted=True)
