"""Trino functions: aggregates.

Where DuckDB has no aggregate of that meaning, the values are collected (`list`, with the call's DISTINCT, ORDER BY,
FILTER and OVER) and a scalar expression over the list makes the answer.

Approximate functions answer exactly: approx_distinct counts, approx_percentile takes the value at floor(p * n) in
order (what Trino's t-digest answers while it holds single values), approx_most_frequent counts everything.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import struct
from dataclasses import dataclass
from decimal import Decimal

from embedded.sql.comparison import has_plain_identity, identity_key, sort_key
from embedded.sql.errors import TrinoError
from embedded.sql.functions.hashes import xxhash64
from embedded.sql.functions.lambda_ import body_with
from embedded.sql.functions.registry import (
    Invocation,
    aggregate,
    alias,
    emits,
    error_sql,
    macro,
    sql_function,
)
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.typed import Typed, once
from embedded.sql.types import UNKNOWN, TrinoType, decimal

_MAXIMUM_N = 10_000


def narrowed(call: Invocation, condition: str) -> Invocation:
    """The call with `condition` added to its FILTER."""
    assert call.modifiers is not None
    filters = f"({call.modifiers.filter}) AND {condition}" if call.modifiers.filter else condition
    return dataclasses.replace(call, modifiers=dataclasses.replace(call.modifiers, filter=filters))


def bound(value: str, name: str, body: str) -> str:
    """`body` with `name` standing for `value`, evaluated once."""
    return f"(list_transform([{value}], lambda {name}: {body})[1])"


def _once(sql: str, name: str, template: str) -> str:
    """`template` over a value of a row, in place when it is short."""
    return once(Typed(sql, UNKNOWN), template, name)


# ------------------------------------------------------------------------------------------- count, sum, average

aggregate("count() -> bigint", "count(*)")
aggregate("count(T) -> bigint", "count({0})")
aggregate("count_if(boolean) -> bigint", "count(CASE WHEN {0} THEN 1 END)")
aggregate("sum(bigint) -> bigint", "CAST(@sum({0}) AS BIGINT)")
aggregate("sum(double) -> double", "sum({0})")
aggregate("sum(real) -> real", "CAST(@sum(CAST({0} AS DOUBLE)) AS FLOAT)")

#: A sum of more than 38 digits that still fits DuckDB's 128 bits is not an error there; below, 10^14 values are safe.
_SAFE_SUM_PRECISION = 24


@emits("sum(decimal(p,s)) -> decimal", kind="aggregate", result=lambda bindings, _: decimal(38, bindings.get("s", 0)))
def sum_of_decimals(call: Invocation) -> str:
    total = call.aggregate("sum", call[0])
    if call.bindings["p"] <= _SAFE_SUM_PRECISION:
        return f"CAST({total} AS {call.physical})"
    text = "replace(ltrim(CAST(total_ AS VARCHAR), '-'), '.', '')"
    failed = error_sql("NUMERIC_VALUE_OUT_OF_RANGE", "'Decimal overflow'", call.physical)
    return bound(total, "total_", f"CASE WHEN length(ltrim({text}, '0')) > 38 THEN {failed} ELSE total_ END")


aggregate("avg(bigint) -> double", "avg({0})")
aggregate("avg(double) -> double", "avg({0})")
aggregate("avg(real) -> real", "CAST(@avg(CAST({0} AS DOUBLE)) AS FLOAT)")

_SHORT_PRECISION = 18  # digits that fit a BIGINT, unscaled

#: Quotient of an unscaled sum and a count, rounded half up (away from zero).
macro(
    "trino_rounded_quotient(total, number)",
    "CASE WHEN total < 0 THEN -1 ELSE 1 END * "
    "(abs(total) // number + CASE WHEN 2 * (abs(total) % number) >= number THEN 1 ELSE 0 END)",
)
#: Digits of an unscaled number with the point set `scale` digits from the right.
macro(
    "trino_scaled_text(unscaled, scale)",
    "CASE WHEN unscaled < 0 THEN '-' ELSE '' END || CASE WHEN scale = 0 THEN CAST(abs(unscaled) AS VARCHAR) "
    "ELSE CAST(abs(unscaled) // CAST('1' || repeat('0', scale) AS HUGEINT) AS VARCHAR) || '.' "
    "|| lpad(CAST(abs(unscaled) % CAST('1' || repeat('0', scale) AS HUGEINT) AS VARCHAR), scale, '0') END",
)


@emits("avg(decimal(p,s)) -> decimal(p,s)", kind="aggregate")
def average_of_decimals(call: Invocation) -> str:
    precision, scale = call.result.precision, call.result.scale
    number = f"CAST({call.aggregate('count', call[0])} AS HUGEINT)"
    quotient = "trino_rounded_quotient(avg_.total, avg_.number)"
    if precision <= _SHORT_PRECISION:
        # 19 digits: DuckDB multiplies shorter decimals in 64 bits
        wide = f"CAST({call[0]} AS DECIMAL(19,{scale}))" if precision + scale >= _SHORT_PRECISION else call[0]
        ones = f"CAST({wide} * CAST({10**scale} AS DECIMAL({scale + 1},0)) AS BIGINT)"
        unscaled = call.aggregate("sum", ones)
        unit = f"CAST('{Decimal(1).scaleb(-scale):f}' AS DECIMAL({scale + 1},{scale}))"
        quotient = f"CAST(CAST({quotient} AS DECIMAL({precision},0)) * {unit} AS {call.physical})"
    else:
        unscaled = f"CAST(replace(CAST({call.aggregate('sum', call[0])} AS VARCHAR), '.', '') AS HUGEINT)"
        quotient = f"CAST(trino_scaled_text({quotient}, {scale}) AS {call.physical})"
    pack = f"struct_pack(total := {unscaled}, number := {number})"
    return bound(pack, "avg_", f"CASE WHEN avg_.total IS NULL THEN NULL ELSE {quotient} END")


@emits("geometric_mean(bigint) -> double", "geometric_mean(double) -> double", kind="aggregate")
def geometric_mean(call: Invocation) -> str:
    return f"exp({call.aggregate('avg', _logarithm(call[0]))})"


@emits("geometric_mean(real) -> real", kind="aggregate")
def geometric_mean_of_reals(call: Invocation) -> str:
    return f"CAST(exp({call.aggregate('avg', _logarithm(call[0]))}) AS FLOAT)"


def _logarithm(sql: str) -> str:
    """Natural logarithm as Java has it: -Infinity of zero, NaN of negative numbers."""
    return _once(
        f"CAST({sql} AS DOUBLE)",
        "ln_",
        "CASE WHEN {0} > 0 THEN ln({0}) WHEN {0} = 0 THEN CAST('-Infinity' AS DOUBLE) "
        "WHEN {0} IS NOT NULL THEN CAST('NaN' AS DOUBLE) END",
    )


# ------------------------------------------------------------------------------------------- booleans, bits, any

aggregate("bool_and(boolean) -> boolean", "bool_and({0})")
aggregate("bool_or(boolean) -> boolean", "bool_or({0})")
alias("every", "bool_and")
aggregate("bitwise_and_agg(bigint) -> bigint", "bit_and({0})")
aggregate("bitwise_or_agg(bigint) -> bigint", "bit_or({0})")
aggregate("bitwise_xor_agg(bigint) -> bigint", "bit_xor({0})")
aggregate("any_value(T) -> T", "any_value({0})")
aggregate("arbitrary(T) -> T", "any_value({0})")
aggregate("array_agg(T) -> array(T)", "list({0})")

# ------------------------------------------------------------------------------------------- least and greatest
#
# NaN is greater than everything to min and min_by and less than everything to max and max_by; DuckDB's NaN is
# greatest, so that the greatest number is looked for among numbers first.


def _number_or_null(sql: str) -> str:
    return _once(sql, "nan_", "CASE WHEN isnan({0}) THEN NULL ELSE {0} END")


@emits("min(T) -> T where T: orderable", kind="aggregate")
def minimum(call: Invocation) -> str:
    value = call.arguments[0]
    key = sort_key(value.sql, value.type)
    return call.aggregate("min", value.sql) if key == value.sql else call.aggregate("arg_min", value.sql, key)


@emits("max(T) -> T where T: orderable", kind="aggregate")
def maximum(call: Invocation) -> str:
    value = call.arguments[0]
    if value.type.is_floating:
        numbers = call.aggregate("max", _number_or_null(value.sql))
        return f"coalesce({numbers}, {call.aggregate('max', value.sql)})"
    key = sort_key(value.sql, value.type)
    return call.aggregate("max", value.sql) if key == value.sql else call.aggregate("arg_max", value.sql, key)


def _counted(call: Invocation, index: int, what: str) -> str:
    """The argument that says how many values are wanted; checked as Trino does."""
    value = call.arguments[index]
    if isinstance(value.literal, int):
        if value.literal <= 0:
            return error_sql("INVALID_FUNCTION_ARGUMENT", text_literal(f"{what} must be {_POSITIVE[index]}"), "BIGINT")
        if value.literal <= _MAXIMUM_N:
            return value.sql
    too_large = text_literal(f"{what} must be less than or equal to {_MAXIMUM_N}; found ")
    return bound(
        value.sql,
        "n_",
        f"CASE WHEN n_ <= 0 "
        f"THEN {error_sql('INVALID_FUNCTION_ARGUMENT', text_literal(f'{what} must be {_POSITIVE[index]}'), 'BIGINT')} "
        f"WHEN n_ > {_MAXIMUM_N} THEN {error_sql('INVALID_FUNCTION_ARGUMENT', f'{too_large} || n_', 'BIGINT')} "
        "ELSE n_ END",
    )


_POSITIVE = {1: "positive", 2: "a positive integer"}


def _several(call: Invocation, name: str) -> str:
    value = call.arguments[0]
    n = _counted(call, 1, "second argument of max_n/min_n")
    if name == "max" and value.type.is_floating:
        numbers = call.aggregate("max", _number_or_null(value.sql), n)
        strange = call.aggregate("list", value.sql)
        body = (
            "CASE WHEN len(list_filter(several_.all, lambda number_: number_ IS NOT NULL)) = 0 THEN NULL "
            "ELSE (coalesce(several_.numbers, []) || list_filter(several_.all, lambda number_: isnan(number_)))"
            "[1:several_.n] END"
        )
        pack = f'struct_pack(numbers := {numbers}, "all" := {strange}, n := {call.aggregate("any_value", n)})'
        return bound(pack, "several_", body)
    key = sort_key(value.sql, value.type)
    if key == value.sql:
        return call.aggregate(name, value.sql, n)
    return call.aggregate(f"arg_{name}", value.sql, key, n)


@emits("min(T, bigint) -> array(T) where T: orderable", kind="aggregate")
def minimums(call: Invocation) -> str:
    return _several(call, "min")


@emits("max(T, bigint) -> array(T) where T: orderable", kind="aggregate")
def maximums(call: Invocation) -> str:
    return _several(call, "max")


@emits("min_by(V, K) -> V where K: orderable", kind="aggregate")
def minimum_by(call: Invocation) -> str:
    key = call.arguments[1]
    return call.aggregate("arg_min_null", call[0], sort_key(key.sql, key.type))


@emits("max_by(V, K) -> V where K: orderable", kind="aggregate")
def maximum_by(call: Invocation) -> str:
    key = call.arguments[1]
    if not key.type.is_floating:
        return call.aggregate("arg_max_null", call[0], sort_key(key.sql, key.type))
    number = _number_or_null(key.sql)
    return (
        f"CASE WHEN {call.aggregate('count', number)} > 0 THEN {call.aggregate('arg_max_null', call[0], number)} "
        f"ELSE {call.aggregate('arg_max_null', call[0], key.sql)} END"
    )


def _several_by(call: Invocation, name: str) -> str:
    """DuckDB leaves out NULL values, Trino only NULL keys: values travel in a struct."""
    key = call.arguments[1]
    n = _counted(call, 2, "third argument of max_by/min_by")
    key_sql = sort_key(key.sql, key.type)
    if name == "arg_max" and key.type.is_floating:
        packed = "struct_pack(n := NOT isnan({0}), k := {0})"
        key_sql = _once(key.sql, "key_", f"CASE WHEN {{0}} IS NULL THEN NULL ELSE {packed} END")
    found = call.aggregate(name, f"struct_pack(v := {call[0]})", key_sql, n)
    return f"list_transform({found}, lambda by_: by_.v)"


@emits("min_by(V, K, bigint) -> array(V) where K: orderable", kind="aggregate")
def minimums_by(call: Invocation) -> str:
    return _several_by(call, "arg_min")


@emits("max_by(V, K, bigint) -> array(V) where K: orderable", kind="aggregate")
def maximums_by(call: Invocation) -> str:
    return _several_by(call, "arg_max")


# ------------------------------------------------------------------------------------------- approximate


@emits("approx_distinct(T) -> bigint where T: comparable", kind="aggregate")
def approx_distinct(call: Invocation) -> str:
    return _distinct_count(call)


@emits("approx_distinct(T, double) -> bigint where T: comparable", kind="aggregate")
def approx_distinct_within(call: Invocation) -> str:
    error = call.arguments[1].literal
    if error is not None and not 0.0040625 <= float(str(error)) <= 0.26:
        message = f"Standard error must be in [0.0040625, 0.26000]: {float(str(error))}"
        raise call.error("INVALID_FUNCTION_ARGUMENT", message)
    return _distinct_count(call)


def _distinct_count(call: Invocation) -> str:
    assert call.modifiers is not None
    value = call.arguments[0]
    exact = dataclasses.replace(call, modifiers=dataclasses.replace(call.modifiers, distinct=True))
    return exact.aggregate("count", identity_key(value.sql, value.type))


_PERCENTILE_TYPES = ("bigint", "real", "double")


@emits(*(f"approx_percentile({t}, double) -> {t}" for t in _PERCENTILE_TYPES), kind="aggregate")
def approx_percentile(call: Invocation) -> str:
    value, fraction = call.arguments
    number = _fraction(fraction)
    if number is not None:
        return _with_finite_values(call, call.aggregate("quantile_disc", value.sql, _from_the_top(call, number)))
    pack = f"struct_pack(l := list_sort({_values(call)}), p := {call.aggregate('max', fraction.sql)})"
    return _with_finite_values(call, bound(pack, "digest_", _value_at("digest_.l", "digest_.p", call.physical)))


@emits(
    *(f"approx_percentile({t}, array(double)) -> array({t})" for t in _PERCENTILE_TYPES),
    kind="aggregate",
)
def approx_percentiles(call: Invocation) -> str:
    fractions = call.arguments[1]
    pack = f"struct_pack(l := list_sort({_values(call)}), p := {call.aggregate('any_value', fractions.sql)})"
    value = _value_at("digest_.l", "fraction_", physical_type(call.result.element))
    body = f"CASE WHEN digest_.l IS NULL THEN NULL ELSE list_transform(digest_.p, lambda fraction_: {value}) END"
    return _with_finite_values(call, bound(pack, "digest_", body))


def _values(call: Invocation) -> str:
    return narrowed(call, f"({call[0]}) IS NOT NULL AND ({call[1]}) IS NOT NULL").aggregate("list", call[0])


def _fraction(argument: Typed) -> Decimal | None:
    return Decimal(str(argument.literal)) if argument.literal is not None else None


def _from_the_top(call: Invocation, fraction: Decimal) -> str:
    """DuckDB counts ceil(p * n) from the side it starts at; from the top that is Trino's floor(p * n) from below."""
    if not 0 <= fraction <= 1:
        raise call.error("INVALID_FUNCTION_ARGUMENT", "Percentile must be between 0 and 1")
    rest = max(1 - fraction, Decimal("1e-18"))
    return f"CAST(-{rest:.18f} AS DECIMAL(19,18))"


def _value_at(values: str, fraction: str, physical: str) -> str:
    place = f"least(CAST(floor({fraction} * len({values})) AS BIGINT), len({values}) - 1) + 1"
    failed = error_sql("INVALID_FUNCTION_ARGUMENT", "'Percentile must be between 0 and 1'", physical)
    return (
        f"CASE WHEN {values} IS NULL THEN NULL WHEN {fraction} < 0 OR {fraction} > 1 THEN {failed} "
        f"ELSE {values}[{place}] END"
    )


def _with_finite_values(call: Invocation, answer: str) -> str:
    if not call.arguments[0].type.is_floating:
        return answer
    strange = call.aggregate("bool_or", f"NOT isfinite({call[0]})")
    failed = error_sql("GENERIC_INTERNAL_ERROR", "'approx_percentile takes finite values only'", call.physical)
    return f"CASE WHEN {strange} THEN {failed} ELSE {answer} END"


def _weighted(call: Invocation, fractions: str) -> str:
    """Values of a digest of weighted values at these fractions (a list); NULL without values."""
    weight = call.arguments[1]
    there = " AND ".join(f"({argument.sql}) IS NOT NULL" for argument in call.arguments)
    rows = narrowed(call, there)
    checked = _once(
        weight.sql,
        "weight_",
        "CASE WHEN {0} >= 1 THEN {0} ELSE "
        + error_sql("INVALID_FUNCTION_ARGUMENT", "'weight must be >= 1, was ' || trino_double_text({0})", "DOUBLE")
        + " END",
    )
    values = rows.aggregate("list", f"struct_pack(v := CAST({call[0]} AS DOUBLE), w := {checked})")
    asked = rows.aggregate("any_value", fractions)
    body = (
        "CASE WHEN digest_.l IS NULL THEN NULL ELSE trino_digest_values("
        "list_transform(digest_.l, lambda pair_: pair_.v), "
        "list_transform(digest_.l, lambda pair_: pair_.w), digest_.p) END"
    )
    return bound(f"struct_pack(l := {values}, p := {asked})", "digest_", body)


@emits(*(f"approx_percentile({t}, double, double) -> {t}" for t in _PERCENTILE_TYPES), kind="aggregate")
def approx_weighted_percentile(call: Invocation) -> str:
    found = f"{_weighted(call, f'[{call[2]}]')}[1]"
    return f"CAST({_as_written(found, call.result)} AS {call.physical})"


@emits(*(f"approx_percentile({t}, double, array(double)) -> array({t})" for t in _PERCENTILE_TYPES), kind="aggregate")
def approx_weighted_percentiles(call: Invocation) -> str:
    element = _as_written("value_", call.result.element)
    return f"CAST(list_transform({_weighted(call, call[2])}, lambda value_: {element}) AS {call.physical})"


def _as_written(sql: str, trino_type: TrinoType) -> str:
    """Java's Math.round for the percentiles of whole numbers."""
    return f"floor({sql} + 0.5)" if trino_type.is_integer else sql


@sql_function("trino_digest_values", ["DOUBLE[]", "DOUBLE[]", "DOUBLE[]"], "DOUBLE[]")
def digest_values(values: list[float], weights: list[float], fractions: list[float]) -> list[float]:
    """What a t-digest whose centroids are these weighted values answers for each fraction.

    A centroid of weight 1 is a single value and answered as it is; between heavier ones it is interpolated.
    """
    if not all(math.isfinite(value) for value in values):
        raise TrinoError("GENERIC_INTERNAL_ERROR", "approx_percentile takes finite values only")
    centroids = sorted(zip(values, weights, strict=True))
    return [_digest_value(centroids, fraction) for fraction in fractions]


def _digest_value(centroids: list[tuple[float, float]], fraction: float) -> float:
    if not 0 <= fraction <= 1:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Percentile must be between 0 and 1")
    least, first_weight = centroids[0]
    greatest = centroids[-1][0]
    if len(centroids) == 1:
        return least
    total = sum(weight for _, weight in centroids)
    place = fraction * total
    if place < 1:
        return least
    if place < first_weight / 2 or place >= total - 1:
        return least if place < first_weight / 2 else greatest
    below = first_weight / 2
    for (left, left_weight), (right, right_weight) in itertools.pairwise(centroids):
        step = (left_weight + right_weight) / 2
        if below + step > place:
            return _between(left, left_weight, right, right_weight, place - below)
        below += step
    return greatest


def _between(left: float, left_weight: float, right: float, right_weight: float, offset: float) -> float:
    if left_weight == 1 and offset < left_weight / 2:
        return left
    if right_weight == 1 and offset >= left_weight / 2:
        return right
    length = (left_weight + right_weight) / 2
    if left_weight == 1:
        offset, length = offset - left_weight / 2, right_weight / 2
    elif right_weight == 1:
        length = left_weight / 2
    return left + offset / length * (right - left)


@emits("approx_most_frequent(bigint, T, bigint) -> map(T, bigint)", kind="aggregate")
def approx_most_frequent(call: Invocation) -> str:
    counts = f"map_entries({_counts(call, 1)})"
    many = call.aggregate("max", call[0])
    failed = error_sql(
        "INVALID_FUNCTION_ARGUMENT",
        "'approx_most_frequent bucket count must be greater than one, input bucket count: ' || most_.many",
        call.physical,
    )
    key = physical_type(call.bindings["T"])
    sortable = (
        "list_transform(most_.counts, lambda entry_, i_: struct_pack(c := -CAST(entry_.value AS BIGINT), i := i_))"
    )
    top = f"list_transform(list_sort({sortable})[1:most_.many], lambda entry_: most_.counts[entry_.i])"
    body = (
        f"CASE WHEN most_.many < 2 THEN {failed} WHEN most_.counts IS NULL THEN NULL "
        f"ELSE CAST(map_from_entries({top}) AS MAP({key}, BIGINT)) END"
    )
    return bound(f"struct_pack(counts := {counts}, many := {many})", "most_", body)


# ------------------------------------------------------------------------------------------- maps


def _require_plain_key(call: Invocation, trino_type: TrinoType) -> None:
    if not has_plain_identity(trino_type):
        name = call.function.name
        raise call.error("NOT_SUPPORTED", f"{name} of {trino_type} is not supported by the embedded engine")


def _counts(call: Invocation, index: int) -> str:
    value = call.arguments[index]
    _require_plain_key(call, value.type)
    return call.aggregate("histogram", value.sql)


@emits("histogram(K) -> map(K, bigint) where K: comparable", kind="aggregate")
def histogram(call: Invocation) -> str:
    return f"CAST({_counts(call, 0)} AS {call.physical})"


#: (k, i) of the entries in the order of their keys, then the first of every key with its predecessor and its place.
#: No lambda here looks at a list from outside: DuckDB would copy that list for every element.
_SORTED = "list_sort(list_transform(entries_, lambda pair_, i_: struct_pack(k := pair_.k, i := i_)))"
_STARTS = (
    "list_filter(list_zip(sorted_, list_prepend(NULL, sorted_[1:len(sorted_) - 1]), range(1, len(sorted_) + 1)), "
    "lambda start_: start_[2] IS NULL OR start_[1].k IS DISTINCT FROM start_[2].k)"
)


def _first_of_each_key(entries: str, physical: str) -> str:
    """A map of entries (k, v); the first entry of a key stays."""
    firsts = "list_sort(list_transform(starts_, lambda start_: start_[1].i))"
    made = (
        "map(list_select(list_transform(entries_, lambda pair_: pair_.k), firsts_), "
        "list_select(list_transform(entries_, lambda pair_: pair_.v), firsts_))"
    )
    built = bound(
        _SORTED, "sorted_", bound(_STARTS, "starts_", bound(firsts, "firsts_", f"CAST({made} AS {physical})"))
    )
    return bound(entries, "entries_", f"CASE WHEN entries_ IS NULL THEN NULL ELSE {built} END")


def _pairs(call: Invocation) -> str:
    """The (k, v) of all rows whose key is there."""
    _require_plain_key(call, call.arguments[0].type)
    pair = f"struct_pack(k := {call[0]}, v := {call[1]})"
    return narrowed(call, f"({call[0]}) IS NOT NULL").aggregate("list", pair)


@emits("map_agg(K, V) -> map(K, V) where K: comparable", kind="aggregate")
def map_agg(call: Invocation) -> str:
    return _first_of_each_key(_pairs(call), call.physical)


@emits("multimap_agg(K, V) -> map(K, array(V)) where K: comparable", kind="aggregate")
def multimap_agg(call: Invocation) -> str:
    keys = "list_transform(entries_, lambda pair_: pair_.k)"
    firsts = "list_filter(all_, lambda key_, i_: list_position(all_, key_) = i_)"
    of_key = (
        "list_transform(list_filter(entries_, lambda pair_: pair_.k IS NOT DISTINCT FROM key_), lambda pair_: pair_.v)"
    )
    made = bound(
        bound(keys, "all_", firsts),
        "firsts_",
        f"map(firsts_, list_transform(firsts_, lambda key_: {of_key}))",
    )
    # every key is compared with every entry: DuckDB has nothing that cuts a list into lists
    body = f"CASE WHEN entries_ IS NULL THEN NULL ELSE CAST({made} AS {call.physical}) END"
    return bound(_pairs(call), "entries_", body)


@emits("map_union(map(K, V)) -> map(K, V) where K: comparable", kind="aggregate")
def map_union(call: Invocation) -> str:
    _require_plain_key(call, call.result.key)
    maps = narrowed(call, f"({call[0]}) IS NOT NULL").aggregate("list", f"map_entries({call[0]})")
    pairs = f"list_transform(flatten({maps}), lambda entry_: struct_pack(k := entry_.key, v := entry_.value))"
    return _first_of_each_key(pairs, call.physical)


# ------------------------------------------------------------------------------------------- text

_LONGEST_LISTAGG_BYTES = 1_048_576


@emits("listagg(varchar(x)) -> varchar", "listagg(varchar(x), varchar(y)) -> varchar", kind="aggregate")
def listagg(call: Invocation) -> str:
    separator = call[1] if len(call) > 1 else "''"
    clauses = getattr(call.node, "named_arguments", None) or {}
    if not clauses.get("truncate"):
        joined = call.aggregate("string_agg", call[0], separator)
        message = text_literal(
            "Concatenated string has the length in bytes larger than the maximum output length "
            f"{_LONGEST_LISTAGG_BYTES}"
        )
        failed = error_sql("EXCEEDED_FUNCTION_MEMORY_LIMIT", message, "VARCHAR")
        too_long = f"strlen(joined_) > {_LONGEST_LISTAGG_BYTES}"
        return bound(joined, "joined_", f"CASE WHEN {too_long} THEN {failed} ELSE joined_ END")
    filler = text_literal(str(clauses.get("filler", "...")))
    with_count = "true" if clauses.get("with_count") else "false"
    values = narrowed(call, f"({call[0]}) IS NOT NULL").aggregate("list", call[0])
    return f"trino_listagg_truncated({values}, {separator}, {filler}, {with_count})"


@sql_function("trino_listagg_truncated", ["VARCHAR[]", "VARCHAR", "VARCHAR", "BOOLEAN"], "VARCHAR")
def listagg_truncated(values: list[str], separator: str, filler: str, with_count: bool) -> str:
    """The values that fit, then the filler and how many were left out."""
    kept: list[str] = []
    length = 0
    for value in values:
        length += len(value.encode()) + (len(separator.encode()) if kept else 0)
        if length > _LONGEST_LISTAGG_BYTES:
            kept.append(filler + (f"({len(values) - len(kept)})" if with_count else ""))
            break
        kept.append(value)
    return separator.join(kept)


# ------------------------------------------------------------------------------------------- statistics

_SPREADS = {
    "stddev": "stddev_samp",
    "stddev_samp": "stddev_samp",
    "stddev_pop": "stddev_pop",
    "variance": "var_samp",
    "var_samp": "var_samp",
    "var_pop": "var_pop",
}


def _finite(sql: str) -> str:
    return _once(f"CAST({sql} AS DOUBLE)", "finite_", "CASE WHEN isfinite({0}) THEN {0} END")


def _register_spread(name: str, duckdb_name: str) -> None:
    @emits(f"{name}(bigint) -> double", f"{name}(double) -> double", kind="aggregate")
    def spread(call: Invocation) -> str:
        """DuckDB fails on infinities; Trino's answer is NaN."""
        if not call.arguments[0].type.is_floating:
            return call.aggregate(duckdb_name, call[0])
        strange = call.aggregate("bool_or", f"NOT isfinite({call[0]})")
        return (
            f"CASE WHEN {strange} THEN CAST('NaN' AS DOUBLE) ELSE {call.aggregate(duckdb_name, _finite(call[0]))} END"
        )


for _name, _duckdb_name in _SPREADS.items():
    _register_spread(_name, _duckdb_name)


def _moments(call: Invocation, least: int, formula: str) -> str:
    """`formula` over n, m2, m3, m4 (sums of powers of the distances from the mean), NULL below `least` values."""
    values = narrowed(call, f"({call[0]}) IS NOT NULL").aggregate("list", f"CAST({call[0]} AS DOUBLE)")
    distances = "list_transform(values_, lambda value_: value_ - mean_)"

    def power(exponent: int) -> str:
        factors = " * ".join(["d_"] * exponent)
        return f"list_sum(list_transform(distances_, lambda d_: {factors}))"

    pack = f"struct_pack(n := CAST(len(distances_) AS DOUBLE), m2 := {power(2)}, m3 := {power(3)}, m4 := {power(4)})"
    body = bound(bound("list_avg(values_)", "mean_", distances), "distances_", bound(pack, "moments_", formula))
    return bound(values, "values_", f"CASE WHEN values_ IS NULL OR len(values_) < {least} THEN NULL ELSE {body} END")


@emits("skewness(bigint) -> double", "skewness(double) -> double", kind="aggregate")
def skewness(call: Invocation) -> str:
    return _moments(
        call,
        3,
        "CASE WHEN moments_.m2 = 0 THEN CAST('NaN' AS DOUBLE) "
        "ELSE sqrt(moments_.n) * moments_.m3 / pow(moments_.m2, 1.5) END",
    )


@emits("kurtosis(bigint) -> double", "kurtosis(double) -> double", kind="aggregate")
def kurtosis(call: Invocation) -> str:
    n = "moments_.n"
    return _moments(
        call,
        4,
        "CASE WHEN moments_.m2 = 0 THEN CAST('NaN' AS DOUBLE) "
        f"ELSE (({n} - 1) * {n} * ({n} + 1)) / (({n} - 2) * ({n} - 3)) * moments_.m4 / (moments_.m2 * moments_.m2) "
        f"- 3 * (({n} - 1) * ({n} - 1)) / (({n} - 2) * ({n} - 3)) END",
    )


def _register_pair_statistic(name: str, *, keeps_strange: bool) -> None:
    @emits(f"{name}(double, double) -> double", f"{name}(real, real) -> real", kind="aggregate")
    def statistic(call: Invocation) -> str:
        """Of pairs (y, x); correlation and regression answer NULL where the number is not finite."""
        strange = call.aggregate("bool_or", f"NOT isfinite({call[0]}) AND ({call[1]}) IS NOT NULL "
                                 f"OR NOT isfinite({call[1]}) AND ({call[0]}) IS NOT NULL")  # fmt: skip
        found = call.aggregate(name, _finite(call[0]), _finite(call[1]))
        other = "CAST('NaN' AS DOUBLE)" if keeps_strange else "NULL"
        answer = f"CASE WHEN {strange} THEN {other} ELSE {found} END"
        if not keeps_strange:
            answer = bound(answer, "statistic_", "CASE WHEN isfinite(statistic_) THEN statistic_ END")
        return f"CAST({answer} AS {call.physical})"


for _name in ("covar_pop", "covar_samp"):
    _register_pair_statistic(_name, keeps_strange=True)
for _name in ("corr", "regr_slope", "regr_intercept"):
    _register_pair_statistic(_name, keeps_strange=False)


@emits("entropy(bigint) -> double", kind="aggregate")
def entropy(call: Invocation) -> str:
    """log-2 entropy of the counts' shares; 0 of nothing."""
    failed = error_sql("INVALID_FUNCTION_ARGUMENT", "'Entropy count argument must be non-negative'", "DOUBLE")
    count = f"CASE WHEN ({call[0]}) < 0 THEN {failed} WHEN ({call[0]}) > 0 THEN CAST({call[0]} AS DOUBLE) END"
    total = call.aggregate("sum", count)
    logarithms = call.aggregate("sum", _once(call[0], "count_", "CASE WHEN {0} > 0 THEN {0} * ln({0}) END"))
    return bound(
        f"struct_pack(c := {total}, l := {logarithms})",
        "entropy_",
        "CASE WHEN entropy_.c > 0 "
        "THEN greatest((ln(entropy_.c) - entropy_.l / entropy_.c) / ln(2), CAST(0 AS DOUBLE)) "
        "ELSE CAST(0 AS DOUBLE) END",
    )


# ------------------------------------------------------------------------------------------- numeric histogram

_HISTOGRAM_BUFFER = 100


def _numeric_histogram(call: Invocation) -> str:
    there = " AND ".join(f"({argument.sql}) IS NOT NULL" for argument in call.arguments)
    rows = narrowed(call, there)
    weight = call[2] if len(call) > 2 else "CAST(1 AS DOUBLE)"
    pairs = rows.aggregate("list", f"struct_pack(v := CAST({call[1]} AS DOUBLE), w := {weight})")
    buckets = rows.aggregate("any_value", call[0])
    found = (
        "trino_numeric_histogram(histogram_.n, list_transform(histogram_.l, lambda pair_: pair_.v), "
        "list_transform(histogram_.l, lambda pair_: pair_.w))"
    )
    made = bound(found, "flat_", "map(flat_[1:len(flat_) // 2], flat_[len(flat_) // 2 + 1:len(flat_)])")
    body = f"CASE WHEN histogram_.l IS NULL THEN NULL ELSE CAST({made} AS {call.physical}) END"
    return bound(f"struct_pack(n := {buckets}, l := {pairs})", "histogram_", body)


@emits(
    "numeric_histogram(bigint, double) -> map(double, double)",
    "numeric_histogram(bigint, double, double) -> map(double, double)",
    "numeric_histogram(bigint, real) -> map(real, real)",
    "numeric_histogram(bigint, real, double) -> map(real, real)",
    kind="aggregate",
)
def numeric_histogram(call: Invocation) -> str:
    return _numeric_histogram(call)


@dataclass(eq=False, slots=True)
class _Bucket:
    place: int
    value: float
    weight: float
    left: _Bucket | None = None
    right: _Bucket | None = None
    is_merged: bool = False

    def penalty(self) -> float:
        """What merging with the right neighbour costs: the growth of the variance."""
        if self.right is None:
            return math.inf
        weight = self.weight + self.right.weight
        return weight * (self.value - self.right.value) ** 2 * (self.weight * self.right.weight / weight**2)


@sql_function("trino_numeric_histogram", ["BIGINT", "DOUBLE[]", "DOUBLE[]"], "DOUBLE[]")
def numeric_histogram_buckets(count: int, values: list[float], weights: list[float]) -> list[float]:
    """Centres of the buckets, ascending, then their weights (Ben-Haim and Tom-Tov's streaming histogram)."""
    if count < 2:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "numeric_histogram bucket count must be greater than one")
    buckets: list[tuple[float, float]] = []
    for value, weight in zip(values, weights, strict=True):
        if len(buckets) == count + _HISTOGRAM_BUFFER:
            buckets = _compacted(buckets, count)
        buckets.append((value, weight))
    buckets = _compacted(buckets, count)
    return [value for value, _ in buckets] + [weight for _, weight in buckets]


def _compacted(entries: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """At most `count` buckets: equal values first, then the neighbours that are cheapest to merge."""
    equal: list[tuple[float, float]] = []
    for value, weight in sorted(entries, key=lambda entry: entry[0]):
        if equal and equal[-1][0] == value:
            equal[-1] = (value, equal[-1][1] + weight)
        else:
            equal.append((value, weight))
    if len(equal) <= count:
        return equal
    buckets = [_Bucket(place, value, weight) for place, (value, weight) in enumerate(equal)]
    for left, right in itertools.pairwise(buckets):
        left.right, right.left = right, left
    ticket = itertools.count()
    queue = [(bucket.penalty(), bucket.place, next(ticket), bucket) for bucket in buckets]
    heapq.heapify(queue)
    remaining = len(buckets)
    while remaining > count:
        bucket = heapq.heappop(queue)[3]
        if bucket.is_merged:
            continue
        remaining -= 1
        _merge_with_right(bucket, queue, ticket)
    left_over = [(bucket.value, bucket.weight) for *_, bucket in queue if not bucket.is_merged]
    return sorted(left_over)


def _merge_with_right(
    bucket: _Bucket, queue: list[tuple[float, int, int, _Bucket]], ticket: itertools.count[int]
) -> None:
    right, left = bucket.right, bucket.left
    assert right is not None
    weight = bucket.weight + right.weight
    value = (bucket.value * bucket.weight + right.value * right.weight) / weight
    bucket.is_merged = right.is_merged = True
    merged = _Bucket(bucket.place, value, weight, None, right.right)
    if merged.right is not None:
        merged.right.left = merged
    heapq.heappush(queue, (merged.penalty(), merged.place, next(ticket), merged))
    if left is not None:
        left.is_merged = True
        renewed = _Bucket(left.place, left.value, left.weight, left.left, merged)
        merged.left = renewed
        if renewed.left is not None:
            renewed.left.right = renewed
        heapq.heappush(queue, (renewed.penalty(), renewed.place, next(ticket), renewed))


# ------------------------------------------------------------------------------------------- reduce_agg

_STATE_TYPES = (
    *("boolean", "tinyint", "smallint", "integer", "bigint", "real", "double", "decimal", "unknown"),
    *("date", "time", "timestamp", "interval day to second", "interval year to month"),
)


@emits("reduce_agg(T, S, function(S,T,S), function(S,S,S)) -> S", kind="aggregate")
def reduce_agg(call: Invocation) -> str:
    """All values in one go, so that nothing is left to combine. NULL values are passed over."""
    state_type = call.bindings["S"]
    if state_type.base not in _STATE_TYPES:
        raise call.error("NOT_SUPPORTED", f"State type not supported for REDUCE_AGG: {state_type}")
    state, element = physical_type(state_type), call.arguments[0].physical
    depth = len(call.analyser.lambdas)
    left, right = f"state{depth}_", f"item{depth}_"
    step = body_with(call.arguments[2], f"{left}.s", f"{right}.x")
    rows = narrowed(call, f"({call[0]}) IS NOT NULL")
    items = rows.aggregate("list", f"struct_pack(s := CAST(NULL AS {state}), x := {call[0]})")
    initial = rows.aggregate("any_value", f"CAST({call[1]} AS {state})")
    no_element = f"CAST(NULL AS {element})"
    stepped = f"struct_pack(s := CAST({step} AS {state}), x := {no_element})"
    start = f"struct_pack(s := reduce_.initial, x := {no_element})"
    folded = f"list_reduce(reduce_.items, lambda {left}, {right}: {stepped}, {start}).s"
    pack = f"struct_pack(items := {items}, initial := {initial})"
    return bound(pack, "reduce_", f"CASE WHEN reduce_.items IS NULL THEN NULL ELSE {folded} END")


# ------------------------------------------------------------------------------------------- checksum

_PRIME = 0x9E3779B185EBCA87


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _share(hashed: int) -> int:
    return _signed(hashed * _PRIME)


@sql_function("trino_checksum_of_number", ["BIGINT"], "BIGINT")
def checksum_of_number(value: int) -> int:
    return _share(xxhash64(value.to_bytes(8, "little", signed=True)))


@sql_function("trino_checksum_of_double", ["DOUBLE"], "BIGINT")
def checksum_of_double(value: float) -> int:
    return _share(xxhash64(struct.pack("<d", value if value else 0.0)))


@sql_function("trino_checksum_of_real", ["FLOAT"], "BIGINT")
def checksum_of_real(value: float) -> int:
    bits: int = struct.unpack("<i", struct.pack("<f", value if value else 0.0))[0]
    return _share(xxhash64(bits.to_bytes(8, "little", signed=True)))


@sql_function("trino_checksum_of_bytes", ["BLOB"], "BIGINT")
def checksum_of_bytes(value: bytes) -> int:
    return _share(xxhash64(value))


@sql_function("trino_checksum", ["VARCHAR"], "BLOB")
def checksum_bytes(total: str) -> bytes:
    return (int(total) & (2**64 - 1)).to_bytes(8, "little")


_CHECKSUMS = {
    "boolean": "trino_checksum_of_number(CAST({0} AS BIGINT))",
    "tinyint": "trino_checksum_of_number(CAST({0} AS BIGINT))",
    "smallint": "trino_checksum_of_number(CAST({0} AS BIGINT))",
    "integer": "trino_checksum_of_number(CAST({0} AS BIGINT))",
    "bigint": "trino_checksum_of_number({0})",
    "interval day to second": "trino_checksum_of_number({0})",
    "interval year to month": "trino_checksum_of_number(CAST({0} AS BIGINT))",
    "date": "trino_checksum_of_number(CAST({0} - DATE '1970-01-01' AS BIGINT))",
    "double": "trino_checksum_of_double({0})",
    "real": "trino_checksum_of_real({0})",
    "varchar": "trino_checksum_of_bytes(encode({0}))",
    "char": "trino_checksum_of_bytes(encode({0}))",
    "varbinary": "trino_checksum_of_bytes({0})",
    "ipaddress": "trino_checksum_of_bytes({0})",
    "timestamp": "trino_checksum_of_number(epoch_us({0}))",
}


@emits("checksum(T) -> varbinary where T: comparable", kind="aggregate")
def checksum(call: Invocation) -> str:
    """Whatever the order: the sum of the values' hashes, each times a prime; a NULL counts as the prime."""
    value_type = call.arguments[0].type
    template = _CHECKSUMS.get(value_type.base)
    if template is None or (value_type.base == "timestamp" and value_type.precision > 6):
        raise call.error("NOT_SUPPORTED", f"checksum of {value_type} is not supported by the embedded engine")
    share = f"COALESCE({template.replace('{0}', call[0])}, {_signed(_PRIME)})"
    return f"trino_checksum(CAST({call.aggregate('sum', f'CAST({share} AS HUGEINT)')} AS VARCHAR))"
