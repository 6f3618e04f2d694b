"""Values that are texts in the file, as DuckDB expressions that turn them into the declared types.

An expression is strict (a text that does not fit raises) or lenient (it is NULL, and `misfit_condition` says so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.types import TrinoType

_INTEGER = r"\s*[+-]?[0-9]+\s*"


@dataclass(frozen=True, slots=True)
class TextRules:
    """How a SerDe spells values. separators: of fields, of items, of map keys, and so on down the levels."""

    null_text: str | None = "\\N"
    empty_is_null: bool = True
    separators: Sequence[str] = tuple(chr(code) for code in range(1, 9))
    dates_are_days: bool = False
    timestamps_are_milliseconds: bool = False
    timestamp_formats: Sequence[str] = ()


def converted(text: str, trino_type: TrinoType, rules: TextRules, *, strict: bool, level: int = 0) -> str:
    """The value of a text expression. `level` counts how deep in nested types it stands."""
    base = trino_type.base
    present = f"nullif({text}, {text_literal(rules.null_text)})" if rules.null_text is not None else text
    if base in ("array", "map", "row"):
        return _nested(present, trino_type, rules, strict=strict, level=level)
    if base == "varchar":
        return present if trino_type.length is None else f"substr({present}, 1, {trino_type.length})"
    if base == "char":
        return f"rtrim(substr({present}, 1, {trino_type.length}), ' ')"
    if base == "varbinary":
        # what is not base64 is taken as it is (Trino's BinaryEncoding for text files)
        return f"coalesce(TRY(from_base64({present})), encode({present}))"
    if rules.empty_is_null:
        present = f"nullif({present}, '')"
    return _scalar(present, trino_type, rules, strict=strict)


def _scalar(present: str, trino_type: TrinoType, rules: TextRules, *, strict: bool) -> str:
    base = trino_type.base
    physical = physical_type(trino_type)
    if trino_type.is_integer:
        otherwise = _refusal(present, trino_type) if strict else "NULL"
        cast = "CAST" if strict else "TRY_CAST"
        return (
            f"CASE WHEN {present} IS NULL THEN NULL WHEN regexp_full_match({present}, '{_INTEGER}')"
            f" THEN {cast}({present} AS {physical}) ELSE {otherwise} END"
        )
    if base == "boolean":
        return (
            f"CASE WHEN lower({present}) IN ('true', 't', '1') THEN true"
            f" WHEN lower({present}) IN ('false', 'f', '0') THEN false END"
        )
    cast = "CAST" if strict else "TRY_CAST"
    if base == "date" and rules.dates_are_days:
        days = f"(DATE '1970-01-01' + CAST(trim({present}) AS INTEGER))"
        return f"CASE WHEN regexp_full_match({present}, '{_INTEGER}') THEN {days} ELSE {cast}({present} AS DATE) END"
    if base == "timestamp" and rules.timestamps_are_milliseconds:
        instant = f"make_timestamp(CAST(trim({present}) AS BIGINT) * 1000)"
        other = f"{cast}({present} AS TIMESTAMP)"
        return f"CASE WHEN regexp_full_match({present}, '{_INTEGER}') THEN {instant} ELSE {other} END"
    if base in ("double", "real", "decimal", "date", "timestamp"):
        return f"{cast}({present} AS {physical})"
    raise TrinoError("NOT_SUPPORTED", f"Text files hold no values of type {trino_type}")


def _refusal(text: str, trino_type: TrinoType) -> str:
    return f"error('Could not convert string ' || {text} || ' to {physical_type(trino_type)}')"


def _nested(present: str, trino_type: TrinoType, rules: TextRules, *, strict: bool, level: int) -> str:
    if level + 2 >= len(rules.separators):
        raise TrinoError("NOT_SUPPORTED", "Types nested that deeply are not read from text files")
    separator = text_literal(rules.separators[level + 1])
    parts = f"string_split({present}, {separator})"
    name = f"e{level}"
    if trino_type.base == "array":
        item = converted(name, trino_type.element, rules, strict=strict, level=level + 1)
        empty = f"CAST([] AS {physical_type(trino_type)})"
        return (
            f"CASE WHEN {present} IS NULL THEN NULL WHEN {present} = '' THEN {empty}"
            f" ELSE list_transform({parts}, lambda {name}: {item}) END"
        )
    if trino_type.base == "map":
        pair_separator = text_literal(rules.separators[level + 2])
        first = f"split_part({name}, {pair_separator}, 1)"
        key = converted(first, trino_type.key, rules, strict=strict, level=level + 2)
        rest = f"substr({name}, strpos({name}, {pair_separator}) + {len(rules.separators[level + 2])})"
        value = converted(
            f"CASE WHEN contains({name}, {pair_separator}) THEN {rest} END",
            trino_type.value,
            rules,
            strict=strict,
            level=level + 2,
        )
        entries = f"list_transform({parts}, lambda {name}: struct_pack(key := {key}, value := {value}))"
        empty = f"CAST(MAP {{}} AS {physical_type(trino_type)})"
        return (
            f"CASE WHEN {present} IS NULL THEN NULL WHEN {present} = '' THEN {empty}"
            f" ELSE map_from_entries({entries}) END"
        )
    fields = ", ".join(
        f"f{i} := {converted(f'{parts}[{i + 1}]', element, rules, strict=strict, level=level + 1)}"
        for i, element in enumerate(trino_type.elements)
    )
    return f"CASE WHEN {present} IS NULL THEN NULL ELSE struct_pack({fields}) END"


def misfit_condition(text: str, trino_type: TrinoType, rules: TextRules) -> str | None:
    """A condition that is true where a text is there but is no value of its type; None where every text is."""
    if trino_type.base in ("varchar", "char", "boolean", "varbinary", "array", "map", "row"):
        return None
    present = f"nullif({text}, {text_literal(rules.null_text)})" if rules.null_text is not None else text
    if rules.empty_is_null:
        present = f"nullif({present}, '')"
    value = converted(text, trino_type, rules, strict=False)
    return f"({present} IS NOT NULL AND ({value}) IS NULL)"
