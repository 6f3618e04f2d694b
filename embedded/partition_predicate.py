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
from datetime import date
from typing import Any

from sqlglot import exp

from embedded.sql.types import TrinoType

Values = Sequence[str]
_Evaluator = Callable[[Values], Any]

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
UNKNOWN = None


class _Undecidable(Exception):
    """A part of the predicate that only the query engine can evaluate."""


_COMPARISONS: Mapping[type[exp.Expr], Callable[[Any, Any], bool]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_SIGNS: Mapping[type[exp.Expr], str] = {exp.EQ: "=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MAXIMUM_LISTED = 100


def conjuncts(predicate: exp.Expr) -> list[exp.Expr]:
    """The parts that AND joins, parentheses taken off."""
    predicate = predicate.unnest()
    if isinstance(predicate, exp.And):
        return [part for term in predicate.flatten() for part in conjuncts(term)]
    return [predicate]


def catalogue_expression(predicate: exp.Expr | None, keys: Mapping[str, TrinoType]) -> str | None:
    """The Glue Expression of the simple conjuncts on string keys, or None when there are none.

    Source of the grammar: the Glue API's GetPartitions, parameter Expression.
    """
    if predicate is None:
        return None
    parts = [part for conjunct in conjuncts(predicate) if (part := _simple(conjunct, keys)) is not None]
    return " AND ".join(parts) or None


def _simple(conjunct: exp.Expr, keys: Mapping[str, TrinoType]) -> str | None:
    sign = _SIGNS.get(type(conjunct))
    if sign is not None:
        left, right = conjunct.this.unnest(), conjunct.expression.unnest()
        if _string(left) is not None:
            left, right, sign = right, left, _MIRRORED[sign]
        name, text = _key(left, keys), _string(right)
        if name is not None and text is not None:
            return f"{name} {sign} {_quoted(text)}"
    if isinstance(conjunct, exp.Between):
        name, low, high = _key(conjunct.this, keys), _string(conjunct.args["low"]), _string(conjunct.args["high"])
        if name is not None and low is not None and high is not None:
            return f"{name} >= {_quoted(low)} AND {name} <= {_quoted(high)}"
    if isinstance(conjunct, exp.In) and len(conjunct.expressions) <= _MAXIMUM_LISTED:
        name = _key(conjunct.this, keys)
        texts = [text for item in conjunct.expressions if (text := _string(item)) is not None]
        if name is not None and texts and len(texts) == len(conjunct.expressions):
            return f"{name} IN ({', '.join(map(_quoted, texts))})"
    return None


def _key(node: exp.Expr, keys: Mapping[str, TrinoType]) -> str | None:
    """The name of a string partition key: only strings compare in the catalogue exactly as in the query."""
    node = node.unnest()
    if isinstance(node, exp.Column):
        name = node.name.lower()
        if name in keys and keys[name].base == "varchar" and re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            return name
    return None


def _string(node: exp.Expr) -> str | None:
    node = node.unnest()
    if isinstance(node, exp.Cast) and node.to.this in (exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT):
        node = node.this
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def partition_filter(predicate: exp.Expr | None, keys: Mapping[str, TrinoType]) -> Callable[[Values], bool] | None:
    """A function that is False only for partitions no row of which can pass. None: every partition may pass."""
    if predicate is None:
        return None
    positions = {name: position for position, name in enumerate(keys)}
    evaluators = []
    for conjunct in conjuncts(predicate):
        try:
            evaluators.append(_compile(conjunct, positions, keys))
        except (_Undecidable, ValueError):
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


def equal_texts(predicate: exp.Expr | None, name: str) -> list[str] | None:
    """The texts a key is held equal to (`=` or IN) in some conjunct, or None: what injected projection needs."""
    if predicate is None:
        return None
    for conjunct in conjuncts(predicate):
        if isinstance(conjunct, exp.EQ):
            left, right = conjunct.this.unnest(), conjunct.expression.unnest()
            for column, value in ((left, right), (right, left)):
                text = _literal_text(value)
                if isinstance(column, exp.Column) and column.name.lower() == name and text is not None:
                    return [text]
        if isinstance(conjunct, exp.In) and isinstance(conjunct.this.unnest(), exp.Column):
            texts = [text for item in conjunct.expressions if (text := _literal_text(item)) is not None]
            if conjunct.this.unnest().name.lower() == name and len(texts) == len(conjunct.expressions):
                return texts
    return None


def _literal_text(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Cast):
        node = node.this
    return str(node.this) if isinstance(node, exp.Literal) else None


def _compile(node: exp.Expr, positions: Mapping[str, int], keys: Mapping[str, TrinoType]) -> _Evaluator:
    def compiled(inner: exp.Expr) -> _Evaluator:
        return _compile(inner, positions, keys)

    node = node.unnest()
    compare = _COMPARISONS.get(type(node))
    if compare is not None:
        return _comparison(compare, compiled(node.this), compiled(node.expression))
    if isinstance(node, exp.And):
        return _all([compiled(term) for term in node.flatten()])
    if isinstance(node, exp.Or):
        return _any([compiled(term) for term in node.flatten()])
    if isinstance(node, exp.Not):
        return _negation(compiled(node.this))
    if isinstance(node, exp.Between) and not node.args.get("symmetric"):
        subject = compiled(node.this)
        low, high = compiled(node.args["low"]), compiled(node.args["high"])
        return _all([_comparison(operator.ge, subject, low), _comparison(operator.le, subject, high)])
    if isinstance(node, exp.In) and not node.args.get("query") and not node.args.get("unnest"):
        return _membership(compiled(node.this), [compiled(item) for item in node.expressions])
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        subject = compiled(node.this)
        return lambda values: subject(values) is UNKNOWN
    if isinstance(node, exp.DPipe):
        return _concatenation(compiled(node.this), compiled(node.expression))
    if isinstance(node, exp.Like):
        return _like(compiled(node.this), node.expression.unnest())
    if isinstance(node, exp.Column) and node.name.lower() in positions:
        return _column(positions[node.name.lower()], keys[node.name.lower()])
    return _constant(node)


def _constant(node: exp.Expr) -> _Evaluator:
    value: Any
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        text = str(node.this.this)
        if node.to.this == exp.DataType.Type.DATE:
            value = date.fromisoformat(text)
        elif node.to.this in (exp.DataType.Type.INT, exp.DataType.Type.BIGINT):
            value = int(text)
        elif node.to.this in (exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT) and not node.to.expressions:
            value = text
        else:
            raise _Undecidable
    elif isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and node.this.this.isdigit():
        value = -int(node.this.this)
    elif isinstance(node, exp.Literal) and (node.is_string or node.this.isdigit()):
        value = str(node.this) if node.is_string else int(node.this)
    elif isinstance(node, exp.Boolean):
        value = bool(node.this)
    else:
        raise _Undecidable
    return lambda _values: value


def _like(subject: _Evaluator, pattern: exp.Expr) -> _Evaluator:
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise _Undecidable
    parts = ["." if c == "_" else ".*" if c == "%" else re.escape(c) for c in str(pattern.this)]
    matcher = re.compile("".join(parts), re.DOTALL)

    def evaluate(values: Values) -> Any:
        value = subject(values)
        if value is UNKNOWN:
            return UNKNOWN
        if not isinstance(value, str):
            raise _Undecidable
        return matcher.fullmatch(value) is not None

    return evaluate


def _column(position: int, key_type: TrinoType) -> _Evaluator:
    read: Callable[[str], Any]
    if key_type.base == "varchar":
        read = str
    elif key_type.is_integer:
        read = int
    elif key_type.base == "date":
        read = date.fromisoformat
    else:
        raise _Undecidable
    return lambda values: UNKNOWN if values[position] == NULL_PARTITION else read(values[position])


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
        if type(first) is not type(second):
            raise _Undecidable
        return compare(first, second)

    return evaluate


def _membership(subject: _Evaluator, items: Sequence[_Evaluator]) -> _Evaluator:
    def evaluate(values: Values) -> Any:
        value = subject(values)
        if value is UNKNOWN:
            return UNKNOWN
        found = [item(values) for item in items]
        if any(type(item) is not type(value) for item in found):
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
