"""SQL that takes a raw JSON value for a declared type without bending it, for files that nobody has checked yet.

DuckDB's reader converts what it can: 1.5 becomes the bigint 2, `true` the bigint 1, 7 the boolean true. In a column
that says whose row it is, that hands a row to somebody else. So a file is read raw until it is known to hold only
values that need no bending; what is accepted is written here and, a value at a time, in `json_values`:

| Declared | JSON number | true, false | text |
|---|---|---|---|
| tinyint .. bigint | in range and whole: 5, 5.0, 5e3 (with a point or an exponent up to 2^53) | no | of an integer |
| double, real | any | no | of a number |
| decimal | any, rounded to the scale | no | of a number |
| boolean | no | yes | that DuckDB reads as a boolean |
| varbinary | no | no | base64 |
| date, timestamp, char, varchar | as `json_lines` has it | | |
"""

from __future__ import annotations

from embedded.sql.physical import named_type, text_literal
from embedded.sql.types import INTEGER_WIDTHS, TrinoType

EXACT_WHOLE_NUMBERS = 1 << 53
"""Up to here a JSON number with a point or an exponent, which readers hold as a double, is the number written."""


def is_read_raw(trino_type: TrinoType) -> bool:
    """Whether DuckDB's reader may bend a JSON value into this type."""
    if trino_type.base in ("double", "real", "decimal", "boolean", "varbinary") or trino_type.base in INTEGER_WIDTHS:
        return True
    return any(is_read_raw(element) for element in trino_type.elements)


def unbent(raw: str, trino_type: TrinoType) -> str:
    """A condition, never NULL: the raw JSON `raw` (an expression) is of a kind that the type takes, or is null.

    Says nothing of range or of a text's content: the conversion raises there.
    """
    base = trino_type.base
    text = f"CAST({raw} AS VARCHAR)"
    is_null = f"({raw}) IS NULL OR {text} = 'null'"
    is_text = f"starts_with({text}, '\"')"
    if base in INTEGER_WIDTHS:
        is_digits = f"CAST(TRY_CAST({text} AS BIGINT) AS VARCHAR) IS NOT DISTINCT FROM {text}"
        number = f"TRY_CAST({text} AS DOUBLE)"
        is_whole = f"coalesce(abs({number}) <= {EXACT_WHOLE_NUMBERS} AND trunc({number}) = {number}, false)"
        return f"({is_null} OR {is_digits} OR {is_text} OR {is_whole})"
    if base in ("double", "real", "decimal"):
        return f"({is_null} OR {text} NOT IN ('true', 'false'))"
    if base == "boolean":
        return f"({is_null} OR {text} IN ('true', 'false') OR {is_text})"
    if base == "varbinary":
        return f"({is_null} OR {is_text})"
    if not is_read_raw(trino_type):
        return "true"
    if base == "row":
        fields = [
            unbent(_field(raw, name or f"field{i}"), element)
            for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
        ]
        return f"({is_null} OR (starts_with({text}, '{{') AND {' AND '.join(fields)}))"
    if base == "array":
        items, element = f"CAST({raw} AS JSON[])", trino_type.element
    else:
        items, element = f"map_values(CAST({raw} AS MAP(VARCHAR, JSON)))", trino_type.value
    checks = f"list_transform({items}, lambda e: {unbent('e', element)})"
    return f"({is_null} OR coalesce(list_bool_and({checks}), true))"


def value_of_raw(raw: str, trino_type: TrinoType) -> str:
    """The physical value of a raw JSON value that passed `unbent`; raises as DuckDB's reader does."""
    base = trino_type.base
    if base == "row":
        fields = ", ".join(
            f"f{i} := {value_of_raw(_field(raw, name or f'field{i}'), element)}"
            for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
        )
        is_null = f"({raw}) IS NULL OR CAST({raw} AS VARCHAR) = 'null'"
        return f"CASE WHEN {is_null} THEN NULL ELSE struct_pack({fields}) END"
    if base == "array" and has_row(trino_type):
        return f"list_transform(CAST({raw} AS JSON[]), lambda e: {value_of_raw('e', trino_type.element)})"
    if base == "map" and has_row(trino_type):
        value = value_of_raw("e.value", trino_type.value)
        entries = f"map_entries(CAST({raw} AS MAP({named_type(trino_type.key)}, JSON)))"
        return f"map_from_entries(list_transform({entries}, lambda e: struct_pack(key := e.key, value := {value})))"
    if base == "varbinary":
        return f"from_base64(json_extract_string({raw}, '$'))"
    if base in ("varchar", "char"):
        return f"json_transform_strict({raw}, '\"VARCHAR\"')"
    return f"CAST({raw} AS {named_type(trino_type)})"


def _field(raw: str, name: str) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"json_extract({raw}, {text_literal(pointer)})"


def has_row(trino_type: TrinoType) -> bool:
    """Whether the type is a row, or has rows inside."""
    return trino_type.base == "row" or any(has_row(element) for element in trino_type.elements)
