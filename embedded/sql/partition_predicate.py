"""WHERE conjuncts over partition keys as sqlglot expressions, columns unqualified: what a catalogue can prune by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sqlglot import exp

from embedded.sql import tree

_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def partition_predicate(conjuncts: list[tree.Expression], columns: Mapping[int, str]) -> exp.Expression | None:
    """AND of what can be expressed; any other conjunct is left out (this only prunes). `columns`: names by id(node)."""
    found = [converted for conjunct in conjuncts if (converted := _converted(conjunct, columns)) is not None]
    if not found:
        return None
    return cast("exp.Expression", exp.and_(*found, copy=False) if len(found) > 1 else found[0])


def _converted(node: tree.Expression, columns: Mapping[int, str]) -> exp.Expr | None:
    name = columns.get(id(node))
    if name is not None:
        return exp.column(name)
    if isinstance(node, tree.StringLiteral):
        return exp.Literal.string(node.value)
    if isinstance(node, tree.IntegerLiteral):
        literal = exp.Literal.number(abs(node.value))
        return exp.Neg(this=literal) if node.value < 0 else literal
    if isinstance(node, tree.TypedLiteral) and node.type_name in ("date", "varchar", "bigint", "integer"):
        kind = {"integer": "int"}.get(node.type_name, node.type_name)
        return exp.cast(exp.Literal.string(node.value), kind)
    if isinstance(node, tree.Comparison):
        left, right = _converted(node.left, columns), _converted(node.right, columns)
        return None if left is None or right is None else _COMPARISONS[node.operator](this=left, expression=right)
    if isinstance(node, tree.Between):
        parts = [_converted(part, columns) for part in (node.operand, node.low, node.high)]
        return None if None in parts else exp.Between(this=parts[0], low=parts[1], high=parts[2])
    if isinstance(node, tree.InList):
        operand = _converted(node.operand, columns)
        items = [_converted(item, columns) for item in node.items]
        return None if operand is None or None in items else exp.In(this=operand, expressions=items)
    if isinstance(node, tree.Logical):
        terms = [term for term in (_converted(part, columns) for part in node.terms) if term is not None]
        if node.operator == "AND":
            return exp.and_(*terms, copy=False) if terms else None
        return exp.or_(*terms, copy=False) if len(terms) == len(node.terms) else None
    return _converted_rest(node, columns)


def _converted_rest(node: tree.Expression, columns: Mapping[int, str]) -> exp.Expr | None:
    if isinstance(node, tree.Not) and not isinstance(node.operand, tree.Logical):
        operand = _converted(node.operand, columns)
        return None if operand is None else exp.not_(exp.paren(operand, copy=False), copy=False)
    if isinstance(node, tree.IsNull):
        operand = _converted(node.operand, columns)
        if operand is None:
            return None
        test = exp.Is(this=operand, expression=exp.Null())
        return exp.not_(test, copy=False) if node.negated else test
    if isinstance(node, tree.Like) and node.escape is None:
        operand, pattern = _converted(node.operand, columns), _converted(node.pattern, columns)
        return None if operand is None or pattern is None else exp.Like(this=operand, expression=pattern)
    if isinstance(node, tree.Binary) and node.operator == "||":
        left, right = _converted(node.left, columns), _converted(node.right, columns)
        return None if left is None or right is None else exp.DPipe(this=left, expression=right)
    return None
