"""Trino functions: maps (MapFunctions and kin). Keys are told apart by IS NOT DISTINCT FROM; a NULL key is refused."""

from __future__ import annotations

from embedded.sql.comparison import has_plain_identity, identity_key
from embedded.sql.functions.conversion import cast_sql
from embedded.sql.functions.lambda_ import body_with, bound
from embedded.sql.functions.registry import Invocation, emits, error_sql, scalar
from embedded.sql.physical import physical_type
from embedded.sql.text import text_expression
from embedded.sql.typed import Typed
from embedded.sql.types import VARCHAR, TrinoType

_INVALID = "INVALID_FUNCTION_ARGUMENT"

scalar("cardinality(map(K,V)) -> bigint", "CAST(cardinality({0}) AS BIGINT)")
scalar("map_keys(map(K,V)) -> array(K)", "map_keys({0})")
scalar("map_values(map(K,V)) -> array(V)", "map_values({0})")


def checked_map(call: Invocation, keys: str, values: str, key: TrinoType, *, duplicates: str) -> str:
    """map(keys, values) of two SQL lists, with Trino's refusal of NULL and repeated keys.

    `duplicates` is the error's text with {} for the key.
    """
    null_key = error_sql(_INVALID, "'map key cannot be null'", call.physical)
    plain = has_plain_identity(key)
    told_apart = "made_.k" if plain else f"list_transform(made_.k, lambda item_: {identity_key('item_', key)})"
    repeated = (
        f"made_.k[list_position(list_transform({told_apart}, lambda item_, at_: "
        f"list_position({told_apart}, item_) < at_), true)]"
    )
    before, _, after = duplicates.partition("{}")
    message = f"'{before}' || {text_expression(repeated, key)} || '{after}'"
    twice = error_sql(_INVALID, message, call.physical)
    body = (
        "CASE WHEN made_.k IS NULL OR made_.v IS NULL THEN NULL "
        f"WHEN list_count(made_.k) < len(made_.k) THEN {null_key} "
        f"WHEN len(list_distinct({told_apart})) < len(made_.k) THEN {twice} "
        f"ELSE CAST(map(made_.k, made_.v) AS {call.physical}) END"
    )
    return bound("made_", f"struct_pack(k := {keys}, v := {values})", body)


@emits("map() -> map(unknown,unknown)")
def empty_map(call: Invocation) -> str:
    return f"CAST(map([], []) AS {call.physical})"


@emits("map(array(K), array(V)) -> map(K,V) where K: comparable")
def map_(call: Invocation) -> str:
    key = call.arguments[0].type.element
    lengths = error_sql(_INVALID, "'Key and value arrays must be the same length'", call.physical)
    made = checked_map(call, "given_.k", "given_.v", key, duplicates="Duplicate map keys ({}) are not allowed")
    body = f"CASE WHEN len(given_.k) <> len(given_.v) THEN {lengths} ELSE {made} END"
    return bound("given_", f"struct_pack(k := {call[0]}, v := {call[1]})", body)


scalar(
    "map_entries(map(K,V)) -> array(row(K,V))",
    "list_transform(map_entries({0}), lambda entry_: struct_pack(f0 := entry_.key, f1 := entry_.value))",
)


@emits("map_from_entries(array(row(K,V))) -> map(K,V) where K: comparable")
def map_from_entries(call: Invocation) -> str:
    key = call.arguments[0].type.element.elements[0]
    entry = error_sql(_INVALID, "'map entry cannot be null'", call.physical)
    keys, values = (f"list_transform(entries_, lambda entry_: entry_.f{i})" for i in (0, 1))
    made = checked_map(call, keys, values, key, duplicates="Duplicate map keys ({}) are not allowed")
    body = f"CASE WHEN list_count(entries_) < len(entries_) THEN {entry} ELSE {made} END"
    return bound("entries_", call[0], body)


@emits("multimap_from_entries(array(row(K,V))) -> map(K,array(V)) where K: comparable")
def multimap_from_entries(call: Invocation) -> str:
    row = call.arguments[0].type.element
    entry = error_sql(_INVALID, "'map entry cannot be null'", call.physical)
    null_key = error_sql(_INVALID, "'map key cannot be null'", call.physical)
    key = "entry_.f0" if has_plain_identity(row.elements[0]) else identity_key("entry_.f0", row.elements[0])
    keys = f"list_transform(entries_, lambda entry_: {key})"
    firsts = "list_filter(range(1, len(keys_) + 1), lambda at_: list_position(keys_, keys_[at_]) = at_)"
    places = "list_filter(range(1, len(keys_) + 1), lambda other_: keys_[other_] = keys_[at_])"
    groups = (
        f"map(list_transform({firsts}, lambda at_: entries_[at_].f0), "
        f"list_transform({firsts}, lambda at_: list_transform({places}, lambda place_: entries_[place_].f1)))"
    )
    body = (
        f"CASE WHEN entries_ IS NULL THEN NULL WHEN list_count(entries_) < len(entries_) THEN {entry} "
        f"WHEN list_count(keys_) < len(keys_) THEN {null_key} ELSE CAST({groups} AS {call.physical}) END"
    )
    return bound("entries_", call[0], bound("keys_", keys, body))


# ------------------------------------------------------------------------------------------------ one value


def _position(call: Invocation) -> str:
    """Where the key stands in `looked_.m`: its index from 1, NULL when it is not there. The key is `looked_.k`."""
    key = call.arguments[0].type.key
    if has_plain_identity(key):
        return "list_position(map_keys(looked_.m), looked_.k)"
    keys = f"list_transform(map_keys(looked_.m), lambda item_: {identity_key('item_', key)})"
    return f"list_position({keys}, {identity_key('looked_.k', key)})"


@emits("element_at(map(K,V), K) -> V where K: comparable")
def element_at(call: Invocation) -> str:
    body = f"CASE WHEN looked_.k IS NULL THEN NULL ELSE map_values(looked_.m)[{_position(call)}] END"
    return bound("looked_", f"struct_pack(m := {call[0]}, k := {call[1]})", body)


@emits("[](map(K,V), K) -> V where K: comparable")
def subscript(call: Invocation) -> str:
    key = call.arguments[0].type.key
    shown = cast_sql(call.analyser, Typed("looked_.k", key), VARCHAR)
    message = "'Key not present in map'" if shown is None else f"'Key not present in map: ' || {shown}"
    missing = error_sql(_INVALID, message, call.physical)
    body = (
        "CASE WHEN looked_.m IS NULL OR looked_.k IS NULL THEN NULL "
        f"WHEN {_position(call)} IS NULL THEN {missing} ELSE map_values(looked_.m)[{_position(call)}] END"
    )
    return bound("looked_", f"struct_pack(m := {call[0]}, k := {call[1]})", body)


# ------------------------------------------------------------------------------------------------ whole maps


@emits("map_concat(map(K,V)...) -> map(K,V) where K: comparable")
def map_concat(call: Invocation) -> str:
    if len(call) < 2:
        raise call.error(_INVALID, "There must be two or more concatenation arguments")
    if not has_plain_identity(call.result.key):
        raise call.error("NOT_SUPPORTED", f"map_concat of {call.result} is not supported by the embedded engine")
    any_null = " OR ".join(f"({argument.sql}) IS NULL" for argument in call.arguments)
    maps = ", ".join(argument.sql for argument in call.arguments)
    return f"CASE WHEN {any_null} THEN NULL ELSE CAST(map_concat({maps}) AS {call.physical}) END"


@emits("map_filter(map(K,V), function(K,V,boolean)) -> map(K,V)")
def map_filter(call: Invocation) -> str:
    depth = len(call.analyser.lambdas)
    entry = f"entry{depth}_"
    body = body_with(call.arguments[1], f"{entry}.key", f"{entry}.value")
    kept = f"list_filter(map_entries({call[0]}), lambda {entry}: {body})"
    return f"CAST(map_from_entries({kept}) AS {call.physical})"


@emits("transform_values(map(K,V1), function(K,V1,V2)) -> map(K,V2)")
def transform_values(call: Invocation) -> str:
    depth = len(call.analyser.lambdas)
    entry, source = f"entry{depth}_", f"source{depth}_"
    body = body_with(call.arguments[1], f"{entry}.key", f"{entry}.value")
    values = f"list_transform(map_entries({source}), lambda {entry}: {body})"
    made = f"CASE WHEN {source} IS NULL THEN NULL ELSE CAST(map(map_keys({source}), {values}) AS {call.physical}) END"
    return bound(source, call[0], made)


@emits("transform_keys(map(K1,V), function(K1,V,K2)) -> map(K2,V)")
def transform_keys(call: Invocation) -> str:
    depth = len(call.analyser.lambdas)
    entry, source = f"entry{depth}_", f"source{depth}_"
    body = body_with(call.arguments[1], f"{entry}.key", f"{entry}.value")
    keys = f"list_transform(map_entries({source}), lambda {entry}: {body})"
    made = checked_map(
        call, keys, f"map_values({source})", call.result.key, duplicates="Duplicate keys ({}) are not allowed"
    )
    return bound(source, call[0], made)


@emits("map_zip_with(map(K,V1), map(K,V2), function(K,V1,V2,V3)) -> map(K,V3)")
def map_zip_with(call: Invocation) -> str:
    key = call.result.key
    if not has_plain_identity(key):
        raise call.error("NOT_SUPPORTED", f"map_zip_with of keys {key} is not supported by the embedded engine")
    depth = len(call.analyser.lambdas)
    name, pair = f"key{depth}_", f"maps{depth}_"
    left, right = (f"map_values({pair}.{side})[list_position(map_keys({pair}.{side}), {name})]" for side in "ab")
    entry = f"both{depth}_"
    body = body_with(call.arguments[2], f"{entry}.k", f"{entry}.x", f"{entry}.y")
    all_keys = (
        f"(map_keys({pair}.a) || list_filter(map_keys({pair}.b), "
        f"lambda {name}: list_position(map_keys({pair}.a), {name}) IS NULL))"
    )
    entries = f"list_transform({all_keys}, lambda {name}: struct_pack(k := {name}, x := {left}, y := {right}))"
    made = (
        f"CASE WHEN {pair}.a IS NULL OR {pair}.b IS NULL THEN NULL "
        f"ELSE CAST(map_from_entries(list_transform({entries}, "
        f"lambda {entry}: struct_pack(k := {entry}.k, v := CAST({body} AS {physical_type(call.result.value)})))) "
        f"AS {call.physical}) END"
    )
    return bound(pair, f"struct_pack(a := {call[0]}, b := {call[1]})", made)
