"""Which partitions a query can need: the partition predicate of a scan, taken apart.

A predicate arrives as the conjuncts of WHERE that mention only partition keys. Two things are made of it:

1. `catalogue_expression`: the simple comparisons on string keys, as a Glue Expression, so that the catalogue answers
   a range without reading all partitions;
2. `partition_filter`: the whole predicate as a function of one partition's values. Three-valued; what can't be decided
   here keeps the partition, since the query itself filters again.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from embedded.sql import tree
from embedded.sql.types import TrinoType

Values = Sequence[str]
_Evaluator = Callable[[Values], Any]

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
UNKNOWN = None


class _Undecidable(Exception):  # noqa: N818 - a state, not an error
    """A part of the predicate that only the query engine can evaluate."""


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MAXIMUM_LISTED = 100


def conjuncts(predicate: tree.Expression) -> list[tree.Expression]:
    """The parts that AND joins."""
    if isinstance(predicate, tree.Logical) and predicate.operator == "AND":
        return [part for term in predicate.terms for part in conjuncts(term)]
    return [predicate]


def catalogue_expression(predicate: tree.Expression | None, keys: Mapping[str, TrinoType]) -> str | None:
    """The Glue Expression of the simple conjuncts on string keys, or None when there are none.

    Source of the grammar: the Glue API's GetPartitions, parameter Expression.
    """
    if predicate is None:
        return None
    parts = [part for conjunct in conjuncts(predicate) if (part := _simple(conjunct, keys)) is not None]
    return " AND ".join(parts) or None


def _simple(conjunct: tree.Expression, keys: Mapping[str, TrinoType]) -> str | None:
    if isinstance(conjunct, tree.Comparison) and conjunct.operator in _MIRRORED:
        left, right, sign = conjunct.left, conjunct.right, conjunct.operator
        if isinstance(left, tree.StringLiteral):
            left, right, sign = right, left, _MIRRORED[sign]
        name = _key(left, keys)
        if name is not None and isinstance(right, tree.StringLiteral):
            return f"{name} {sign} {_quoted(right.value)}"
    if isinstance(conjunct, tree.Between):
        name = _key(conjunct.operand, keys)
        low, high = conjunct.low, conjunct.high
        if name is not None and isinstance(low, tree.StringLiteral) and isinstance(high, tree.StringLiteral):
            return f"{name} >= {_quoted(low.value)} AND {name} <= {_quoted(high.value)}"
    if isinstance(conjunct, tree.InList) and len(conjunct.items) <= _MAXIMUM_LISTED:
        name = _key(conjunct.operand, keys)
        texts = [item.value for item in conjunct.items if isinstance(item, tree.StringLiteral)]
        if name is not None and texts and len(texts) == len(conjunct.items):
            return f"{name} IN ({', '.join(map(_quoted, texts))})"
    return None


def _key(node: tree.Expression, keys: Mapping[str, TrinoType]) -> str | None:
    """The name of a string partition key: only strings compare in the catalogue exactly as in the query."""
    if isinstance(node, tree.Identifier):
        name = node.name.lower()
        if name in keys and keys[name].base == "varchar" and re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            return name
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def partition_filter(
    predicate: tree.Expression | None, keys: Mapping[str, TrinoType]
) -> Callable[[Values], bool] | None:
    """A function that is False only for partitions no row of which can pass. None: every partition may pass."""
    if predicate is None:
        return None
    positions = {name: position for position, name in enumerate(keys)}
    evaluators = []
    for conjunct in conjuncts(predicate):
        try:
            evaluators.append(_compile(conjunct, positions, keys))
        except _Undecidable:
            continue
    if not evaluators:
        return None

    def allows(values: Values) -> bool:
        for evaluate in evaluators:
            try:
                if not evaluate(values):  # False and NULL alike let no row through
                    return False
            except (_Undecidable, TypeError, ValueError):
                continue
        return True

    return allows


def equal_texts(predicate: tree.Expression | None, name: str) -> list[str] | None:
    """The texts a key is held equal to (`=` or IN) in some conjunct, or None: what injected projection needs."""
    if predicate is None:
        return None
    for conjunct in conjuncts(predicate):
        if isinstance(conjunct, tree.Comparison) and conjunct.operator == "=":
            sides = (conjunct.left, conjunct.right), (conjunct.right, conjunct.left)
            for column, value in sides:
                if isinstance(column, tree.Identifier) and column.name.lower() == name:
                    text = _literal_text(value)
                    if text is not None:
                        return [text]
        if (
            isinstance(conjunct, tree.InList)
            and isinstance(conjunct.operand, tree.Identifier)
            and conjunct.operand.name.lower() == name
        ):
            texts = [text for item in conjunct.items if (text := _literal_text(item)) is not None]
            if len(texts) == len(conjunct.items):
                return texts
    return None


def _literal_text(node: tree.Expression) -> str | None:
    if isinstance(node, tree.StringLiteral):
        return node.value
    if isinstance(node, tree.IntegerLiteral):
        return str(node.value)
    return None


def _compile(node: tree.Expression, positions: Mapping[str, int], keys: Mapping[str, TrinoType]) -> _Evaluator:
    def compiled(inner: tree.Expression) -> _Evaluator:
        return _compile(inner, positions, keys)

    if isinstance(node, tree.Logical):
        terms = [compiled(term) for term in node.terms]
        return _all(terms) if node.operator == "AND" else _any(terms)
    if isinstance(node, tree.Not):
        return _negation(compiled(node.operand))
    if isinstance(node, tree.Comparison):
        return _comparison(_COMPARISONS[node.operator], compiled(node.left), compiled(node.right))
    if isinstance(node, tree.Between):
        subject = compiled(node.operand)
        return _all(
            [
                _comparison(operator.ge, subject, compiled(node.low)),
                _comparison(operator.le, subject, compiled(node.high)),
            ]
        )
    if isinstance(node, tree.InList):
        return _membership(compiled(node.operand), [compiled(item) for item in node.items])
    if isinstance(node, tree.IsNull):
        subject, negated = compiled(node.operand), node.negated
        return lambda values: (subject(values) is UNKNOWN) != negated
    if isinstance(node, tree.Binary) and node.operator == "||":
        return _concatenation(compiled(node.left), compiled(node.right))
    if isinstance(node, tree.RowConstructor):
        return _row([compiled(item) for item in node.items])
    if isinstance(node, tree.Identifier) and node.name.lower() in positions:
        return _column(positions[node.name.lower()], keys[node.name.lower()])
    return _constant(node)


def _constant(node: tree.Expression) -> _Evaluator:
    if isinstance(node, tree.StringLiteral | tree.IntegerLiteral | tree.BooleanLiteral):
        value = node.value
        return lambda _values: value
    raise _Undecidable


def _column(position: int, key_type: TrinoType) -> _Evaluator:
    if key_type.base == "varchar":
        return lambda values: UNKNOWN if values[position] == NULL_PARTITION else values[position]
    if key_type.is_integer:
        return lambda values: UNKNOWN if values[position] == NULL_PARTITION else int(values[position])
    raise _Undecidable


def _negation(inner: _Evaluator) -> _Evaluator:
    return lambda values: UNKNOWN if (truth := inner(values)) is UNKNOWN else not truth


def _all(terms: Sequence[_Evaluator]) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        answer: Any = True
        for term in terms:
            truth = term(values)
            if truth is False:
                return False
            if truth is UNKNOWN:
                answer = UNKNOWN
        return answer

    return evaluate


def _any(terms: Sequence[_Evaluator]) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        answer: Any = False
        for term in terms:
            truth = term(values)
            if truth is True:
                return True
            if truth is UNKNOWN:
                answer = UNKNOWN
        return answer

    return evaluate


def _comparison(compare: Callable[[Any, Any], bool], left: _Evaluator, right: _Evaluator) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        first, second = left(values), right(values)
        if first is UNKNOWN or second is UNKNOWN:
            return UNKNOWN
        if _shape(first) != _shape(second):
            raise _Undecidable
        return compare(first, second)

    return evaluate


def _shape(value: Any) -> Any:
    return tuple(_shape(item) for item in value) if isinstance(value, tuple) else type(value)


def _row(items: Sequence[_Evaluator]) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        row = tuple(item(values) for item in items)
        if UNKNOWN in row:
            raise _Undecidable
        return row

    return evaluate


def _membership(subject: _Evaluator, items: Sequence[_Evaluator]) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        value = subject(values)
        if value is UNKNOWN:
            return UNKNOWN
        found = [item(values) for item in items]
        if any(_shape(item) != _shape(value) for item in found):
            raise _Undecidable
        return value in found

    return evaluate


def _concatenation(left: _Evaluator, right: _Evaluator) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        first, second = left(values), right(values)
        if first is UNKNOWN or second is UNKNOWN:
            return UNKNOWN
        if not isinstance(first, str) or not isinstance(second, str):
            raise _Undecidable
        return first + second

    return evaluate
