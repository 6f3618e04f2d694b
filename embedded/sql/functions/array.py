"""Trino functions: arrays, and those that take a lambda over an array (ArrayFunctions and kin).

Equality inside arrays is Trino's: `contains` and `array_position` ask `=` (three-valued, NaN differs from itself), the
set functions ask IS NOT DISTINCT FROM. Where the element's type is plain DuckDB's own list functions answer; else
elements are told apart by `comparison.identity_key`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import combinations as combined

from embedded.sql.comparison import compared, has_plain_comparison, has_plain_identity, identity_key, instant_key
from embedded.sql.errors import TrinoError
from embedded.sql.functions.conversion import cast_sql
from embedded.sql.functions.lambda_ import body_with, bound
from embedded.sql.functions.registry import Invocation, emits, error_sql, scalar, sql_function
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed, is_repeatable, once
from embedded.sql.types import VARCHAR, TrinoType

_INVALID = "INVALID_FUNCTION_ARGUMENT"

# list_append and list_prepend take a NULL list for an empty one, and Trino's concat answers NULL for a NULL element too
scalar(
    "concat(array(E), E) -> array(E)", "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE list_append({0}, {1}) END"
)
scalar(
    "concat(E, array(E)) -> array(E)", "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE list_prepend({0}, {1}) END"
)


@emits("concat(array(E)...) -> array(E)")
def concat(call: Invocation) -> str:
    arrays = [argument.sql for argument in call.arguments]
    any_null = " OR ".join(f"({array}) IS NULL" for array in arrays)
    # DuckDB's || takes a NULL list for an empty one
    return f"CASE WHEN {any_null} THEN NULL ELSE CAST({' || '.join(arrays)} AS {call.physical}) END"


scalar("cardinality(array(E)) -> bigint", "CAST(len({0}) AS BIGINT)")
scalar("reverse(array(E)) -> array(E)", "list_reverse({0})")
scalar("flatten(array(array(E))) -> array(E)", "flatten({0})")
scalar(
    "shuffle(array(E)) -> array(E)", "list_select({0}, list_grade_up(list_transform({0}, lambda shuffled: random())))"
)

# ------------------------------------------------------------------------------------------------ one element


@emits("[](array(E), bigint) -> E")
def subscript(call: Invocation) -> str:
    kind = call.physical
    zero = error_sql(_INVALID, "'SQL array indices start at 1'", kind)
    negative = error_sql(_INVALID, "'Array subscript is negative: ' || {i}", kind)
    message = "'Array subscript must be less than or equal to array length: ' || {i} || ' > ' || len({0})"
    beyond = error_sql(_INVALID, message, kind)
    body = (
        f"CASE WHEN {{0}} IS NULL OR {{i}} IS NULL THEN NULL WHEN {{i}} = 0 THEN {zero} WHEN {{i}} < 0 THEN {negative} "
        f"WHEN {{i}} > len({{0}}) THEN {beyond} ELSE {{0}}[{{i}}] END"
    )
    return _with_index(call, body)


@emits("element_at(array(E), bigint) -> E")
def element_at(call: Invocation) -> str:
    zero = error_sql(_INVALID, "'SQL array indices start at 1'", call.physical)
    body = f"CASE WHEN {{i}} = 0 AND {{0}} IS NOT NULL THEN {zero} ELSE {{0}}[{{i}}] END"
    return _with_index(call, body)


def _with_index(call: Invocation, body: str) -> str:
    index = call.arguments[1]
    if index.is_simple or is_repeatable(index.sql):
        return once(call.arguments[0], body.replace("{i}", index.sql))
    return bound("index_", index.sql, once(call.arguments[0], body.replace("{i}", "index_")))


# ------------------------------------------------------------------------------------------------ search


def _element(call: Invocation) -> TrinoType:
    return call.arguments[0].type.element


def _refuse_indeterminate(call: Invocation, element: TrinoType) -> str:
    """CASE arm that fails for nested elements holding NULL, which Trino does not compare."""
    if not element.is_nested:
        return ""
    holes = _has_null("searched_", element)
    if holes is None:
        return ""
    message = f"'{call.function.name} does not support arrays with elements that are null or contain null'"
    failure = error_sql("NOT_SUPPORTED", message, call.physical)
    return (
        f"WHEN list_bool_or(list_transform({{0}}, lambda searched_: {holes})) "
        f"OR {body_of(holes, call[1])} THEN {failure} "
    )


def body_of(holes: str, value: str) -> str:
    return holes.replace("searched_", f"({value})")


def _has_null(sql: str, trino_type: TrinoType) -> str | None:
    if trino_type.base == "array":
        return f"list_count({sql}) <> len({sql})"
    if trino_type.base == "row":
        return " OR ".join(f"({sql}).f{i} IS NULL" for i in range(len(trino_type.elements)))
    return None


@emits("array_position(array(T), T) -> bigint where T: comparable")
def array_position(call: Invocation) -> str:
    element = _element(call)
    refused = _refuse_indeterminate(call, element)
    if has_plain_comparison(element):
        found = f"list_position({{0}}, {call[1]})"
    else:
        equal = compared("=", "item_", "sought_", element)
        matches = f"list_transform({{0}}, lambda item_: coalesce({equal}, false))"
        found = bound("sought_", call[1], f"list_position({matches}, true)")
    body = f"CASE WHEN {{0}} IS NULL OR ({call[1]}) IS NULL THEN NULL {refused}ELSE coalesce({found}, 0) END"
    return f"CAST({once(call.arguments[0], body)} AS BIGINT)"


@emits("contains(array(T), T) -> boolean where T: comparable")
def contains(call: Invocation) -> str:
    element = _element(call)
    if has_plain_comparison(element):
        body = (
            f"CASE WHEN {{0}} IS NULL OR ({call[1]}) IS NULL THEN NULL WHEN list_contains({{0}}, {call[1]}) THEN true "
            "WHEN list_count({0}) < len({0}) THEN NULL ELSE false END"
        )
        return once(call.arguments[0], body)
    equal = compared("=", "item_", "sought_", element)
    answers = bound("sought_", call[1], f"list_transform({call[0]}, lambda item_: {equal})")
    return f"CASE WHEN ({call[1]}) IS NULL THEN NULL ELSE {_any(answers)} END"


def _any(answers: str) -> str:
    """OR over a list of three-valued answers; NULL for no list."""
    return bound(
        "answers_",
        answers,
        "CASE WHEN answers_ IS NULL THEN NULL WHEN list_contains(answers_, true) THEN true "
        "WHEN list_count(answers_) < len(answers_) THEN NULL ELSE false END",
    )


def _all(answers: str) -> str:
    return bound(
        "answers_",
        answers,
        "CASE WHEN answers_ IS NULL THEN NULL WHEN list_contains(answers_, false) THEN false "
        "WHEN list_count(answers_) < len(answers_) THEN NULL ELSE true END",
    )


@emits("array_remove(array(E), E) -> array(E) where E: comparable")
def array_remove(call: Invocation) -> str:
    element = _element(call)
    refused = _refuse_indeterminate(call, element)
    equal = compared("=", "item_", "sought_", element)
    body = f"list_filter({{0}}, lambda item_: NOT coalesce({equal}, false))"
    kept = bound("sought_", call[1], once(call.arguments[0], body))
    arm = refused.replace("{0}", call[0])
    return f"CASE WHEN ({call[1]}) IS NULL THEN NULL {arm}ELSE {kept} END"


@emits("arrays_overlap(array(E), array(E)) -> boolean where E: comparable")
def arrays_overlap(call: Invocation) -> str:
    left, right = _keys("overlap_.a", _element(call)), _keys("overlap_.b", _element(call))
    return bound(
        "overlap_",
        f"struct_pack(a := {call[0]}, b := {call[1]})",
        "CASE WHEN overlap_.a IS NULL OR overlap_.b IS NULL THEN NULL "
        f"WHEN list_has_any(list_filter({left}, lambda item_: item_ IS NOT NULL), {right}) THEN true "
        "WHEN len(overlap_.a) > 0 AND len(overlap_.b) > 0 AND (list_count(overlap_.a) < len(overlap_.a) "
        "OR list_count(overlap_.b) < len(overlap_.b)) THEN NULL ELSE false END",
    )


@emits("contains_sequence(array(E), array(E)) -> boolean where E: comparable")
def contains_sequence(call: Invocation) -> str:
    left, right = _keys("sequence_.a", _element(call)), _keys("sequence_.b", _element(call))
    window = "list_slice(sequence_.l, start_, start_ + len(sequence_.r) - 1)"
    return bound(
        "sequence_",
        bound("sequence_", f"struct_pack(a := {call[0]}, b := {call[1]})", f"struct_pack(l := {left}, r := {right})"),
        "CASE WHEN sequence_.l IS NULL OR sequence_.r IS NULL THEN NULL WHEN len(sequence_.r) = 0 THEN true "
        "ELSE list_contains(list_transform(range(1, greatest(len(sequence_.l) - len(sequence_.r) + 2, 1)), "
        f"lambda start_: {window} IS NOT DISTINCT FROM sequence_.r), true) END",
    )


# ------------------------------------------------------------------------------------------------ sets


def _keys(array: str, element: TrinoType) -> str:
    if has_plain_identity(element):
        return array
    return f"list_transform({array}, lambda keyed_: {identity_key('keyed_', element)})"


def _first_of_each(array: str, element: TrinoType) -> str:
    """The array without repetitions, in order of first appearance; `array` is a name."""
    keys = _keys(array, element)
    if has_plain_identity(element):
        return f"list_filter({array}, lambda item_, at_: list_position({array}, item_) = at_)"
    body = f"list_filter({array}, lambda item_, at_: list_position(keys_, keys_[at_]) = at_)"
    return bound("keys_", keys, body)


@emits("array_distinct(array(E)) -> array(E) where E: comparable")
def array_distinct(call: Invocation) -> str:
    return bound("distinct_", call[0], _first_of_each("distinct_", _element(call)))


@emits("array_union(array(E), array(E)) -> array(E) where E: comparable")
def array_union(call: Invocation) -> str:
    both = f"CASE WHEN ({call[0]}) IS NULL OR ({call[1]}) IS NULL THEN NULL ELSE {call[0]} || {call[1]} END"
    return bound("union_", f"CAST({both} AS {call.physical})", _first_of_each("union_", _element(call)))


def _kept(is_in: bool) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        element = _element(call)
        item = "item_" if has_plain_identity(element) else identity_key("item_", element)
        wanted = "IS NOT NULL" if is_in else "IS NULL"
        # list_position finds NULL too, which list_contains does not
        kept = f"list_filter(sets_.a, lambda item_: list_position(sets_.b, {item}) {wanted})"
        pair = f"struct_pack(a := {call[0]}, b := {_keys(call[1], element)})"
        distinct = bound("distinct_", kept, _first_of_each("distinct_", element))
        return bound("sets_", pair, f"CASE WHEN sets_.a IS NULL OR sets_.b IS NULL THEN NULL ELSE {distinct} END")

    return emit


emits("array_intersect(array(E), array(E)) -> array(E) where E: comparable")(_kept(is_in=True))
emits("array_except(array(E), array(E)) -> array(E) where E: comparable")(_kept(is_in=False))

# ------------------------------------------------------------------------------------------------ order


def _order_key(sql: str, element: TrinoType) -> str:
    return instant_key(sql, element) if element.base.endswith("with time zone") else sql


@emits("array_sort(array(E)) -> array(E) where E: orderable")
def array_sort(call: Invocation) -> str:
    element = _element(call)
    if not element.is_nested and not element.base.endswith("with time zone"):
        return f"list_sort({call[0]}, 'ASC', 'NULLS LAST')"
    refused = ""
    holes = _has_null("item_", element)
    if holes is not None:
        message = "'Array contains elements not supported for comparison'"
        failure = error_sql("NOT_SUPPORTED", message, call.physical)
        refused = f"WHEN list_bool_or(list_transform(sorted_, lambda item_: {holes})) THEN {failure} "
    entries = (
        "list_transform(sorted_, lambda item_, at_: struct_pack(n := item_ IS NULL, "
        f"k := {_order_key('item_', element)}, at := at_, v := item_))"
    )
    body = f"list_transform(list_sort({entries}), lambda item_: item_.v)"
    if refused:
        body = f"CASE {refused}ELSE {body} END"
    return bound("sorted_", call[0], body)


@sql_function("trino_sort_order", ["BIGINT[][]"], "BIGINT[]")
def sort_order(signs: list[list[int | None]]) -> list[int]:
    """Positions (from 1) in the order that a matrix of comparisons gives; a stable sort."""

    def compare(left: int, right: int) -> int:
        sign = signs[left][right]
        if sign not in (-1, 0, 1):
            raise TrinoError(_INVALID, "Lambda comparator must return either -1, 0, or 1")
        return sign

    return [at + 1 for at in sorted(range(len(signs)), key=functools.cmp_to_key(compare))]


@emits("array_sort(array(T), function(T,T,bigint)) -> array(T)")
def array_sort_by(call: Invocation) -> str:
    comparator = call.arguments[1]
    assert comparator.parameters is not None
    left, right = comparator.parameters
    row = f"list_transform(sorted_, lambda {right}: CAST({comparator.sql} AS BIGINT))"
    order = f"trino_sort_order(list_transform(sorted_, lambda {left}: {row}))"
    return bound("sorted_", call[0], f"list_transform({order}, lambda at_: sorted_[at_])")


def _extreme(function: str) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        from embedded.sql.functions.math import nan_first

        element = _element(call)
        key = nan_first if function == "list_max" else _order_key
        if not element.is_nested and not element.is_floating and not element.base.endswith("with time zone"):
            found = f"{function}(extreme_)"
        else:
            entries = f"list_transform(extreme_, lambda item_: struct_pack(k := {key('item_', element)}, v := item_))"
            found = f"({function}({entries})).v"
        return bound(
            "extreme_",
            call[0],
            f"CASE WHEN list_count(extreme_) = len(extreme_) AND len(extreme_) > 0 THEN {found} END",
        )

    return emit


emits("array_max(array(T)) -> T where T: orderable")(_extreme("list_max"))
emits("array_min(array(T)) -> T where T: orderable")(_extreme("list_min"))

# ------------------------------------------------------------------------------------------------ building


def _joined(call: Invocation) -> str:
    element = _element(call)
    text = cast_sql(call.analyser, Typed("item_", element), VARCHAR)
    if text is None:
        raise call.error(_INVALID, f"Input type {element} not supported")
    texts = f"list_transform({call[0]}, lambda item_: {text})"
    if len(call) == 2:
        texts = f"list_filter({texts}, lambda item_: item_ IS NOT NULL)"
        return f"CASE WHEN ({call[0]}) IS NULL THEN NULL ELSE coalesce(array_to_string({texts}, {call[1]}), '') END"
    texts = f"list_transform({texts}, lambda item_: coalesce(item_, {call[2]}))"
    missing = f"({call[0]}) IS NULL OR ({call[1]}) IS NULL OR ({call[2]}) IS NULL"
    return f"CASE WHEN {missing} THEN NULL ELSE coalesce(array_to_string({texts}, {call[1]}), '') END"


emits("array_join(array(T), varchar) -> varchar", "array_join(array(T), varchar, varchar) -> varchar")(_joined)


@emits("repeat(T, bigint) -> array(T)")
def repeat(call: Invocation) -> str:
    limit = "'count argument of repeat function must be less than or equal to 10000'"
    negative = "'count argument of repeat function must be greater than or equal to 0'"
    count = (
        f"CASE WHEN {call[1]} > 10000 THEN {error_sql(_INVALID, limit, 'BIGINT')} "
        f"WHEN {call[1]} < 0 THEN {error_sql(_INVALID, negative, 'BIGINT')} ELSE {call[1]} END"
    )
    return f"CAST(list_transform(range({count}), lambda repeated_: {call[0]}) AS {call.physical})"


@emits("slice(array(E), bigint, bigint) -> array(E)")
def slice_(call: Invocation) -> str:
    zero = error_sql(_INVALID, "'SQL array indices start at 1'", call.physical)
    negative = error_sql(_INVALID, "'length must be greater than or equal to 0'", call.physical)
    first = "CASE WHEN slice_.s < 0 THEN len(slice_.a) + slice_.s + 1 ELSE slice_.s END"
    body = (
        "CASE WHEN slice_.a IS NULL OR slice_.s IS NULL OR slice_.n IS NULL THEN NULL "
        f"WHEN slice_.n < 0 THEN {negative} WHEN slice_.s = 0 THEN {zero} "
        "WHEN abs(slice_.s) > len(slice_.a) OR slice_.n = 0 THEN [] "
        f"ELSE list_slice(slice_.a, {first}, least({first} - 1 + slice_.n, len(slice_.a))) END"
    )
    return bound("slice_", f"struct_pack(a := {call[0]}, s := {call[1]}, n := {call[2]})", body)


@emits("trim_array(array(E), bigint) -> array(E)")
def trim_array(call: Invocation) -> str:
    negative = error_sql(_INVALID, "'size must not be negative: ' || trimmed_.n", call.physical)
    message = "'size must not exceed array cardinality ' || len(trimmed_.a) || ': ' || trimmed_.n"
    beyond = error_sql(_INVALID, message, call.physical)
    body = (
        f"CASE WHEN trimmed_.a IS NULL OR trimmed_.n IS NULL THEN NULL WHEN trimmed_.n < 0 THEN {negative} "
        f"WHEN trimmed_.n > len(trimmed_.a) THEN {beyond} "
        "ELSE list_slice(trimmed_.a, 1, len(trimmed_.a) - trimmed_.n) END"
    )
    return bound("trimmed_", f"struct_pack(a := {call[0]}, n := {call[1]})", body)


@emits("ngrams(array(T), bigint) -> array(array(T))")
def ngrams(call: Invocation) -> str:
    message = error_sql(_INVALID, "'N must be positive'", call.physical)
    windows = (
        "list_transform(range(1, len(grams_.a) - grams_.n + 2), "
        "lambda start_: list_slice(grams_.a, start_, start_ + grams_.n - 1))"
    )
    body = (
        f"CASE WHEN grams_.a IS NULL OR grams_.n IS NULL THEN NULL WHEN grams_.n <= 0 THEN {message} "
        f"WHEN grams_.n > len(grams_.a) THEN [grams_.a] ELSE {windows} END"
    )
    return bound("grams_", f"struct_pack(a := {call[0]}, n := {call[1]})", body)


@sql_function("trino_combinations", ["BIGINT", "BIGINT"], "BIGINT[][]")
def combination_positions(length: int, size: int) -> list[list[int]]:
    if size < 0:
        raise TrinoError(_INVALID, f"combination size must not be negative: {size}")
    if size > 5:
        raise TrinoError(_INVALID, f"combination size must not exceed 5: {size}")
    found: list[list[int]] = []
    for positions in combined(range(1, length + 1), size):
        found.append(list(positions))
        if len(found) > 100_000:
            raise TrinoError(_INVALID, "combinations exceed max size")
    return found


@emits("combinations(array(T), bigint) -> array(array(T))")
def combinations(call: Invocation) -> str:
    positions = f"trino_combinations(CAST(len(combined_) AS BIGINT), {call[1]})"
    body = f"list_transform({positions}, lambda places_: list_transform(places_, lambda at_: combined_[at_]))"
    return f"CAST({bound('combined_', call[0], body)} AS {call.physical})"


@emits(
    *(
        f"zip({', '.join(f'array(T{i})' for i in range(1, count + 1))}) -> "
        f"array(row({','.join(f'T{i}' for i in range(1, count + 1))}))"
        for count in range(2, 6)
    )
)
def zip_(call: Invocation) -> str:
    arrays = ", ".join(f"a{i} := {argument.sql}" for i, argument in enumerate(call.arguments))
    any_null = " OR ".join(f"zipped_.a{i} IS NULL" for i in range(len(call)))
    longest = f"greatest({', '.join(f'len(zipped_.a{i})' for i in range(len(call)))})"
    fields = ", ".join(f"f{i} := zipped_.a{i}[at_]" for i in range(len(call)))
    body = (
        f"CASE WHEN {any_null} THEN NULL "
        f"ELSE list_transform(range(1, {longest} + 1), lambda at_: struct_pack({fields})) END"
    )
    return f"CAST({bound('zipped_', f'struct_pack({arrays})', body)} AS {call.physical})"


# ------------------------------------------------------------------------------------------------ sequences

_ENTRIES = "result of sequence function must not have more than 10000 entries"
_DIRECTION = (
    "sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop "
    "should be less than or equal to start"
)


def _sequence(call: Invocation, step: str, steps: str, value: str) -> str:
    """`sequence_.a` .. `sequence_.b`: `step` its direction, `steps` how many fit, `value` the one after `n_` steps."""
    start, stop = call[0], call[1]
    more = f", s := {call[2]}" if len(call) == 3 else ""
    if _is_fine(call):
        # timestamps beyond microseconds: every entry keeps the picoseconds of the first
        more += f", p := CAST(({start}).p AS INTEGER)"
        start, stop = f"CAST(({start}).t AS TIMESTAMP)", f"CAST(({stop}).t AS TIMESTAMP)"
        value = f"{{'t': CAST({value} AS TIMESTAMP), 'p': sequence_.p}}"
    zero = error_sql(_INVALID, "'step must not be zero'", call.physical)
    direction = error_sql(_INVALID, f"'{_DIRECTION}'", call.physical)
    too_many = error_sql(_INVALID, f"'{_ENTRIES}'", call.physical)
    body = (
        f"CASE WHEN sequence_.a IS NULL OR sequence_.b IS NULL OR {step} IS NULL THEN NULL WHEN {step} = 0 THEN {zero} "
        f"WHEN ({step} > 0 AND sequence_.a > sequence_.b) OR ({step} < 0 AND sequence_.a < sequence_.b) "
        f"THEN {direction} "
        f"WHEN {steps} >= 10000 THEN {too_many} "
        f"ELSE list_transform(range(0, {steps} + 1), lambda n_: {value}) END"
    )
    pair = f"struct_pack(a := {start}, b := {stop}{more})"
    return f"CAST({bound('sequence_', pair, body)} AS {call.physical})"


_OWN_STEP = "CASE WHEN sequence_.a <= sequence_.b THEN 1 ELSE -1 END"


@emits("sequence(bigint, bigint) -> array(bigint)", "sequence(bigint, bigint, bigint) -> array(bigint)")
def sequence_of_integers(call: Invocation) -> str:
    step = "sequence_.s" if len(call) == 3 else _OWN_STEP
    steps = f"CAST((CAST(sequence_.b AS HUGEINT) - sequence_.a) // {step} AS BIGINT)"
    return _sequence(call, step, steps, f"sequence_.a + n_ * ({step})")


@emits("sequence(date, date) -> array(date)", "sequence(date, date, interval day to second) -> array(date)")
def sequence_of_dates(call: Invocation) -> str:
    step = _OWN_STEP
    if len(call) == 3:
        message = "'sequence step must be a day interval if start and end values are dates'"
        failure = error_sql(_INVALID, message, "BIGINT")
        step = f"(CASE WHEN sequence_.s % 86400000 <> 0 THEN {failure} ELSE sequence_.s // 86400000 END)"
    return _sequence(
        call, step, f"(sequence_.b - sequence_.a) // {step}", f"sequence_.a + CAST(n_ * ({step}) AS INTEGER)"
    )


def _is_fine(call: Invocation) -> bool:
    start = call.arguments[0].type
    return start.base == "timestamp" and start.precision > 6


@emits(
    "sequence(date, date, interval year to month) -> array(date)",
    "sequence(timestamp(p), timestamp(p), interval year to month) -> array(timestamp(p))",
)
def sequence_of_months(call: Invocation) -> str:
    steps = "date_sub('month', sequence_.a, sequence_.b) // sequence_.s"
    return _sequence(call, "sequence_.s", steps, "sequence_.a + to_months(CAST(n_ * sequence_.s AS INTEGER))")


@emits("sequence(timestamp(p), timestamp(p), interval day to second) -> array(timestamp(p))")
def sequence_of_timestamps(call: Invocation) -> str:
    steps = "(epoch_us(sequence_.b) - epoch_us(sequence_.a)) // (sequence_.s * 1000)"
    return _sequence(call, "sequence_.s", steps, "sequence_.a + to_microseconds(n_ * sequence_.s * 1000)")


# ------------------------------------------------------------------------------------------------ lambdas

scalar("transform(array(T), function(T,U)) -> array(U)", "list_transform({0}, {1})")
scalar("filter(array(T), function(T,boolean)) -> array(T)", "list_filter({0}, {1})")


def _match(over: Callable[[str], str], negated: bool = False) -> Callable[[Invocation], str]:
    def emit(call: Invocation) -> str:
        found = over(f"list_transform({call[0]}, {call.arguments[1].lambda_sql})")
        return f"(NOT {found})" if negated else found

    return emit


emits("any_match(array(T), function(T,boolean)) -> boolean")(_match(_any))
emits("all_match(array(T), function(T,boolean)) -> boolean")(_match(_all))
emits("none_match(array(T), function(T,boolean)) -> boolean")(_match(_any, negated=True))


@emits("zip_with(array(T), array(U), function(T,U,R)) -> array(R)")
def zip_with(call: Invocation) -> str:
    body = body_with(call.arguments[2], "pair_.x", "pair_.y")
    pairs = (
        "list_transform(range(1, greatest(len(zipped_.a), len(zipped_.b)) + 1), "
        "lambda at_: struct_pack(x := zipped_.a[at_], y := zipped_.b[at_]))"
    )
    combined_ = f"list_transform({pairs}, lambda pair_: {body})"
    whole = f"CASE WHEN zipped_.a IS NULL OR zipped_.b IS NULL THEN NULL ELSE {combined_} END"
    return bound("zipped_", f"struct_pack(a := {call[0]}, b := {call[1]})", whole)


@emits("reduce(array(T), S, function(S,T,S), function(S,R)) -> R")
def reduce(call: Invocation) -> str:
    """Through a list of (state, element) pairs: DuckDB's list_reduce wants states and elements of one type."""
    state_type = call.bindings["S"]
    element, state = physical_type(_element(call)), physical_type(state_type)
    depth = len(call.analyser.lambdas)
    left, right = f"state{depth}_", f"item{depth}_"
    step = body_with(call.arguments[2], f"{left}.s", f"{right}.x")
    no_state, no_element = f"CAST(NULL AS {state})", f"CAST(NULL AS {element})"
    pairs = f"list_transform({call[0]}, lambda {right}: struct_pack(s := {no_state}, x := {right}))"
    stepped = f"struct_pack(s := CAST({step} AS {state}), x := {no_element})"
    initial = f"struct_pack(s := CAST({call[1]} AS {state}), x := {no_element})"
    final = f"list_reduce({pairs}, lambda {left}, {right}: {stepped}, {initial}).s"
    result = call.arguments[3]
    assert result.parameters is not None
    answer = bound(result.parameters[0], final, result.sql)
    return f"CASE WHEN ({call[0]}) IS NULL THEN NULL ELSE {answer} END"
