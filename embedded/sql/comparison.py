"""Equality, order and distinctness of Trino values in DuckDB SQL: three-valued, NaN-aware, by instant for zones.

| type | = | < |
|---|---|---|
| plain | DuckDB's | DuckDB's |
| double, real | and neither side is NaN | and neither side is NaN (DuckDB: NaN = NaN, NaN greatest) |
| with time zone | by instant | by instant |
| array, row, map | NULL inside makes the answer NULL unless another element decides | element by element |
"""

from __future__ import annotations

from embedded.sql.errors import TrinoError
from embedded.sql.typed import Typed, bound_pair
from embedded.sql.types import TrinoType, is_orderable


def has_plain_comparison(trino_type: TrinoType) -> bool:
    """Whether DuckDB's =, <, IN, DISTINCT and ORDER BY on the physical values are Trino's."""
    return not (trino_type.is_floating or trino_type.is_nested or trino_type.base.endswith("with time zone"))


def has_plain_identity(trino_type: TrinoType) -> bool:
    """Whether DuckDB's IS NOT DISTINCT FROM (GROUP BY, DISTINCT, set operations) is Trino's."""
    if trino_type.elements:
        return trino_type.base != "map" and all(has_plain_identity(element) for element in trino_type.elements)
    return not trino_type.base.endswith("with time zone")


def comparison(operator: str, left: Typed, right: Typed) -> str:
    """SQL of `left operator right`, both of one type."""
    trino_type = left.type
    if trino_type.is_floating and (_is_number(left) or _is_number(right)):
        return _floating_with_literal(operator, left, right)
    return compared(operator, left.sql, right.sql, trino_type)


def _is_number(value: Typed) -> bool:
    return value.literal is not None and value.literal == value.literal and value.literal != float("nan")


def _floating_with_literal(operator: str, left: Typed, right: Typed) -> str:
    plain = f"({left.sql} {operator} {right.sql})"
    if operator == "=":
        return plain
    other = right.sql if _is_number(left) else left.sql
    # NaN sorts above every literal: the answers that would become true are refused
    becomes_true = (operator in (">", ">=")) == (other == left.sql)
    guard = "{left}" if other == left.sql else "{right}"
    if operator == "<>":
        return plain
    if not becomes_true:
        return plain
    return bound_pair(left.sql, right.sql, f"({{left}} {operator} {{right}} AND NOT isnan({guard}))")


def compared(operator: str, left: str, right: str, trino_type: TrinoType, depth: int = 0) -> str:
    if has_plain_comparison(trino_type):
        return f"({left} {operator} {right})"
    base = trino_type.base
    if base.endswith("with time zone"):
        return f"({instant_key(left, trino_type)} {operator} {instant_key(right, trino_type)})"
    if trino_type.is_floating:
        if operator == "<>":
            return bound_pair(left, right, "({left} <> {right} OR isnan({left}))", f"cmp{depth}_")
        guard = "{right}" if operator in ("<", "<=") else "{left}"
        return bound_pair(left, right, f"({{left}} {operator} {{right}} AND NOT isnan({guard}))", f"cmp{depth}_")
    if operator == "<>":
        return f"(NOT {compared('=', left, right, trino_type, depth)})"
    if operator == "=":
        return _nested_equality(left, right, trino_type, depth)
    return _nested_order(operator, left, right, trino_type, depth)


def instant_key(sql: str, trino_type: TrinoType) -> str:
    """What a value with time zone is compared, grouped and sorted by."""
    if trino_type.base == "time with time zone":
        return f"((({sql}).p - ({sql}).o * 60000000000000 + 172800000000000000) % 86400000000000000)"
    if trino_type.precision > 6:
        return f"(CAST(epoch_us(CAST(({sql}).t AS TIMESTAMP)) AS HUGEINT) * 1000000 + ({sql}).p)"
    return f"({sql}).t"


def identity_key(sql: str, trino_type: TrinoType, depth: int = 0) -> str:
    """What GROUP BY and DISTINCT tell values apart by: instants without their zone, maps without their order."""
    if has_plain_identity(trino_type):
        return sql
    base = trino_type.base
    if base == "array":
        element = f"ik{depth}"
        return f"list_transform({sql}, lambda {element}: {identity_key(element, trino_type.element, depth + 1)})"
    if base == "map":
        entry = f"ik{depth}"
        key = identity_key(f"{entry}.key", trino_type.key, depth + 1)
        value = identity_key(f"{entry}.value", trino_type.value, depth + 1)
        pair = f"struct_pack(k := {key}, v := {value})"
        return f"list_sort(list_transform(map_entries({sql}), lambda {entry}: {pair}))"
    if base == "row":
        fields = ", ".join(
            f"f{i} := {identity_key(f'({sql}).f{i}', element, depth)}" for i, element in enumerate(trino_type.elements)
        )
        return f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE struct_pack({fields}) END"
    return instant_key(sql, trino_type)


def sort_key(sql: str, trino_type: TrinoType) -> str:
    """What ORDER BY sorts by."""
    return instant_key(sql, trino_type) if trino_type.base.endswith("with time zone") else sql


def _nested_equality(left: str, right: str, trino_type: TrinoType, depth: int) -> str:
    base = trino_type.base
    if base == "row":
        if not trino_type.elements:
            return f"({left} = {right})"
        a, b = f"ra{depth}", f"rb{depth}"
        terms = " AND ".join(
            compared("=", f"{a}.f{i}", f"{b}.f{i}", element, depth + 1) for i, element in enumerate(trino_type.elements)
        )
        body = f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL ELSE ({terms}) END"
        return _bound(left, right, a, b, body)
    if base == "array":
        a, b = f"aa{depth}", f"ab{depth}"
        return _bound(left, right, a, b, _array_equality(a, b, trino_type.element, depth))
    a, b, key = f"ma{depth}", f"mb{depth}", f"mk{depth}"
    value_equal = compared("=", f"{a}[{key}]", f"{b}[{key}]", trino_type.value, depth + 1)
    results = f"list_transform(map_keys({a}), lambda {key}: {value_equal})"
    body = (
        f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL WHEN cardinality({a}) <> cardinality({b}) THEN false "
        f"WHEN NOT list_has_all(map_keys({b}), map_keys({a})) THEN false "
        f"ELSE {_all_true(results)} END"
    )
    return _bound(left, right, a, b, body)


def _array_equality(a: str, b: str, element: TrinoType, depth: int) -> str:
    pair = f"ap{depth}"
    equal = compared("=", f"{a}[{pair}]", f"{b}[{pair}]", element, depth + 1)
    results = f"list_transform(range(1, len({a}) + 1), lambda {pair}: {equal})"
    return (
        f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL WHEN len({a}) <> len({b}) THEN false "
        f"ELSE {_all_true(results)} END"
    )


def _all_true(results: str) -> str:
    """AND over a list of three-valued answers."""
    return (
        f"list_transform([{results}], lambda answers: CASE WHEN list_contains(answers, false) THEN false "
        "WHEN list_count(answers) <> len(answers) THEN NULL ELSE true END)[1]"
    )


def _bound(left: str, right: str, a: str, b: str, body: str) -> str:
    return f"(list_transform([{{'a': {left}, 'b': {right}}}], lambda {a}{b}: {_renamed(body, a, b)})[1])"


def _renamed(body: str, a: str, b: str) -> str:
    import re

    return re.sub(rf"\b({a}|{b})\b", lambda match: f"{a}{b}.{'a' if match.group() == a else 'b'}", body)


def _nested_order(operator: str, left: str, right: str, trino_type: TrinoType, depth: int) -> str:
    """Trino refuses to order arrays and rows with NULL inside; without one DuckDB's order of the keys is Trino's."""
    from embedded.sql.functions.registry import error_sql

    if not is_orderable(trino_type):
        raise TrinoError("NOT_SUPPORTED", f"Ordering of {trino_type} is not supported by the embedded engine")
    a, b = f"oa{depth}", f"ob{depth}"
    if trino_type.base == "array":
        null_inside = f"(list_count({a}) <> len({a}) OR list_count({b}) <> len({b}))"
        message = "'ARRAY comparison not supported for arrays with null elements'"
    else:
        fields = " OR ".join(f"{side}.f{i} IS NULL" for side in (a, b) for i in range(len(trino_type.elements)))
        null_inside = f"({fields})"
        message = "'ROW comparison not supported for fields with null elements'"
    body = (
        f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL "
        f"WHEN {null_inside} THEN {error_sql('NOT_SUPPORTED', message, 'BOOLEAN')} "
        f"ELSE {identity_key(a, trino_type)} {operator} {identity_key(b, trino_type)} END"
    )
    return _bound(left, right, a, b, body)


def distinct_from(left: str, right: str, trino_type: TrinoType, *, negated: bool) -> str:
    """IS [NOT] DISTINCT FROM: two-valued."""
    operator = "IS NOT DISTINCT FROM" if negated else "IS DISTINCT FROM"
    return f"({identity_key(left, trino_type)} {operator} {identity_key(right, trino_type)})"
