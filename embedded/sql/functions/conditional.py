"""Trino functions: IF, COALESCE, NULLIF, TRY, typeof, now and the like: calls whose arguments are not plain values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from embedded.sql import literals, tree, types
from embedded.sql.comparison import comparison, has_plain_comparison
from embedded.sql.functions.registry import emits, error_sql, special
from embedded.sql.text import text_expression
from embedded.sql.typed import Typed, bound_pair, tried

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser
    from embedded.sql.functions.registry import Invocation


@special("if")
def if_(analyser: Analyser, node: tree.Call) -> Typed:
    if len(node.arguments) not in (2, 3):
        raise analyser.error("INVALID_ARGUMENTS", "Invalid number of arguments for 'if' function", node)
    condition = analyser.condition(node.arguments[0], "IF condition must evaluate to a boolean (actual: {type})")
    results = [analyser.expression(argument) for argument in node.arguments[1:]]
    common = analyser.common_type(results, node, "Result types for IF must be the same: {one} vs {other}")
    default = analyser.coerce(results[1], common).sql if len(results) == 2 else literals.null(common).sql
    chosen = analyser.coerce(results[0], common).sql
    return Typed(f"(CASE WHEN {condition.sql} THEN {chosen} ELSE {default} END)", common)


@special("coalesce")
def coalesce(analyser: Analyser, node: tree.Call) -> Typed:
    if len(node.arguments) < 2:
        raise analyser.error("INVALID_ARGUMENTS", "The 'coalesce' function must have at least two arguments", node)
    values = [analyser.expression(argument) for argument in node.arguments]
    common = analyser.common_type(
        values,
        node,
        "All COALESCE operands must be the same type or coercible to a common type. "
        "Cannot find common type between {one} and {other}, all types (without duplicates): {types}",
    )
    return Typed(f"COALESCE({', '.join(analyser.coerce(value, common).sql for value in values)})", common)


@special("nullif")
def nullif(analyser: Analyser, node: tree.Call) -> Typed:
    if len(node.arguments) != 2:
        raise analyser.error("INVALID_ARGUMENTS", "Invalid number of arguments for 'nullif' function", node)
    first, second = (analyser.expression(argument) for argument in node.arguments)
    left, right = analyser.comparable_pair("=", first, second, node.position)
    if left.type == first.type and has_plain_comparison(first.type):
        return Typed(f"NULLIF({left.sql}, {right.sql})", first.type)
    equal = comparison("=", left, right)
    return Typed(f"(CASE WHEN {equal} THEN {literals.null(first.type).sql} ELSE {first.sql} END)", first.type)


@special("try")
def try_(analyser: Analyser, node: tree.Call) -> Typed:
    if len(node.arguments) != 1:
        raise analyser.error("INVALID_ARGUMENTS", "The 'try' function must have exactly one argument", node)
    if analyser.try_inputs is not None:  # within another TRY, which hands in what both need
        value = analyser.expression(node.arguments[0])
        return Typed(tried(value.sql, value.type), value.type)
    inputs: list[str] = []
    analyser.try_inputs = inputs
    try:
        value = analyser.expression(node.arguments[0])
    finally:
        analyser.try_inputs = None
    plain = tried(value.sql, value.type)
    keys = analyser.level.group_sql
    if plain in keys or not (inputs or keys):
        return Typed(plain, value.type)

    def handed_in(match: re.Match[str]) -> str:
        column = match.group("column")
        if column is None:
            return match.group()
        if column not in inputs:
            inputs.append(column)
        return f"try_.a{inputs.index(column)}"

    # columns and keys come the same way: DuckDB loses grouped columns inside TRY
    known = [*map(re.escape, sorted(keys, key=len, reverse=True)), _COLUMN]
    pattern = rf"""'(?:[^']|'')*'|(?<![\w."])(?P<column>{"|".join(known)})(?![\w(])"""
    body = re.sub(pattern, handed_in, value.sql)
    if not inputs:
        return Typed(plain, value.type)
    fields = ", ".join(f"a{index} := {sql}" for index, sql in enumerate(inputs))
    return Typed(f"(list_transform([struct_pack({fields})], lambda try_: {tried(body, value.type)})[1])", value.type)


#: A column as the analyser writes it.
_COLUMN = r'r\d+\.(?:c\d+|"(?:[^"]|"")*")'


@special("typeof")
def typeof(analyser: Analyser, node: tree.Call) -> Typed:
    if len(node.arguments) != 1:
        raise analyser.error(
            "FUNCTION_NOT_FOUND", "Unexpected parameters for function typeof. Expected: typeof(t) T", node
        )
    value = analyser.expression(node.arguments[0])
    found = literals.string(str(value.type))
    return Typed(found.sql, types.VARCHAR, found.literal)


@special("now")
def now(analyser: Analyser, node: tree.Call) -> Typed:
    if node.arguments:
        raise analyser.error("FUNCTION_NOT_FOUND", "Unexpected parameters for function now. Expected: now()", node)
    return analyser.current_time(tree.CurrentTime(node.position, "CURRENT_TIMESTAMP", 3))


_INVALID = "INVALID_FUNCTION_ARGUMENT"


@emits("[](array(E), bigint) -> E")
def array_subscript(call: Invocation) -> str:
    array, index = call.arguments
    physical = call.physical
    zero = error_sql(_INVALID, "'SQL array indices start at 1'", physical)
    negative = error_sql(_INVALID, "'Array subscript is negative: ' || {right}", physical)
    long = "'Array subscript must be less than or equal to array length: ' || {right} || ' > ' || len({left})"
    tests = f"WHEN {{right}} > len({{left}}) THEN {error_sql(_INVALID, long, physical)}"
    if not (isinstance(index.literal, int) and index.literal > 0):
        tests += f" WHEN {{right}} = 0 THEN {zero} WHEN {{right}} < 0 THEN {negative}"
    return bound_pair(array.sql, index.sql, f"(CASE {tests} ELSE {{left}}[{{right}}] END)", "sub_")


@emits("[](map(K,V), K) -> V")
def map_subscript(call: Invocation) -> str:
    map_value, key = call.arguments
    key_text = text_expression("{right}", key.type)
    missing = error_sql(_INVALID, f"'Key not present in map: ' || {key_text}", call.physical)
    template = (
        "(CASE WHEN {left} IS NULL OR {right} IS NULL THEN NULL "
        f"WHEN NOT map_contains({{left}}, {{right}}) THEN {missing} ELSE {{left}}[{{right}}] END)"
    )
    return bound_pair(map_value.sql, key.sql, template, "sub_")
