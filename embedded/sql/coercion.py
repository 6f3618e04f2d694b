"""Implicit casts: a value of one type written as another type it coerces to. Never fails on a value."""

from __future__ import annotations

from embedded.sql.physical import physical_type, text_literal
from embedded.sql.typed import Typed, once
from embedded.sql.types import UNKNOWN, TrinoType


def coerce(value: Typed, target: TrinoType) -> Typed:
    """`value` as `target`; the caller has made sure that the types allow it (types.can_coerce)."""
    source = value.type
    if source == target:
        return value
    if value.is_null or source.base == "unknown":
        return Typed(f"CAST(NULL AS {physical_type(target)})", target, None, value.is_null)
    return Typed(coerced_sql(value.sql, source, target), target, value.literal)


def coerced_sql(sql: str, source: TrinoType, target: TrinoType) -> str:
    if source == target:
        return sql
    base, wanted = source.base, target.base
    if not target.elements:
        return _scalar(sql, source, target, base, wanted)
    if _casts_directly(source, target):
        physical = physical_type(target)
        return sql if physical == physical_type(source) else f"CAST({sql} AS {physical})"
    if wanted == "array":
        return f"list_transform({sql}, lambda ce: {coerced_sql('ce', source.element, target.element)})"
    if wanted == "map":
        key = coerced_sql("ce.key", source.key, target.key)
        value = coerced_sql("ce.value", source.value, target.value)
        entries = f"list_transform(map_entries({sql}), lambda ce: struct_pack(key := {key}, value := {value}))"
        return f"map_from_entries({entries})"
    fields = ", ".join(
        f"f{i} := {coerced_sql(f'cr.f{i}', a, b)}"
        for i, (a, b) in enumerate(zip(source.elements, target.elements, strict=True))
    )
    body = f"CASE WHEN cr IS NULL THEN NULL ELSE struct_pack({fields}) END"
    return f"(list_transform([{sql}], lambda cr: {body})[1])"


def _scalar(sql: str, source: TrinoType, target: TrinoType, base: str, wanted: str) -> str:
    if base == "unknown":
        return f"CAST({sql} AS {physical_type(target)})"
    if wanted == "varchar":
        # char shows its padding once it is a varchar
        return f"rpad({sql}, {source.numbers[0]}, ' ')" if base == "char" else sql
    if wanted == "char":
        return f"rtrim({sql}, ' ')" if base == "varchar" else sql
    if wanted == "timestamp with time zone":
        return _with_time_zone(sql, source, target)
    if wanted == "timestamp":
        if base == "date":
            if target.precision <= 6:
                return f"CAST({sql} AS TIMESTAMP)"
            return _when_not_null(sql, "{'t': CAST({0} AS TIMESTAMP), 'p': 0}")
        if source.precision <= 6 < target.precision:
            return _when_not_null(sql, "{'t': {0}, 'p': 0}")
        return sql
    if wanted == "time with time zone":
        return _when_not_null(sql, "{'p': {0}, 'o': 0}") if base == "time" else sql
    physical = physical_type(target)
    return sql if physical == physical_type(source) else f"CAST({sql} AS {physical})"


def _with_time_zone(sql: str, source: TrinoType, target: TrinoType) -> str:
    fine = target.precision > 6
    if source.base == "timestamp with time zone":
        if source.precision <= 6 and fine:
            return _when_not_null(sql, "{'t': ({0}).t, 'p': 0, 'z': ({0}).z}")
        return sql
    zone = text_literal("UTC")
    if source.base == "timestamp" and source.precision > 6:
        return _when_not_null(sql, f"{{'t': ({{0}}).t, 'p': ({{0}}).p, 'z': {zone}}}")
    instant = "CAST({0} AS TIMESTAMP)" if source.base == "date" else "{0}"
    picos = "'p': 0, " if fine else ""
    return _when_not_null(sql, f"{{'t': {instant}, {picos}'z': {zone}}}")


def _when_not_null(sql: str, result: str) -> str:
    """`result` is built upon `{sql}`; a long value is bound first."""
    return once(Typed(sql, UNKNOWN), f"CASE WHEN ({{0}}) IS NULL THEN NULL ELSE {result} END", "nn_")


def _casts_directly(source: TrinoType, target: TrinoType) -> bool:
    """Whether DuckDB's own cast of the whole value does the same to every leaf."""
    if source == target or source.base == "unknown":
        return True
    if target.elements:
        return all(_casts_directly(a, b) for a, b in zip(source.elements, target.elements, strict=True))
    if physical_type(source) == physical_type(target):
        return {source.base, target.base} != {"char", "varchar"}
    return target.is_numeric or (target.base == "timestamp" and target.precision <= 6)
