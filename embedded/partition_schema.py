"""What a partition's own storage descriptor says against its table's: which SerDe reads it, which columns it has.

A partition may have another SerDe than its table (a compacted partition of a JSON table is Parquet), and may lack
columns that the table gained later: those are NULL in it, whatever its files hold. Columns are matched by name; those
of text tables, whose values have no names, by position. Types that differ must be coercible, or the query fails with
HIVE_PARTITION_SCHEMA_MISMATCH. The rules are Trino's (HiveSplitManager, HiveCoercionPolicy), which go by the format of
the table. A partition that was registered with a location alone is as its table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedded.serde.choice import is_read_by_position
from embedded.sql.errors import TrinoError
from embedded.sql.types import INTEGER_WIDTHS, TrinoType, parse_hive_type

_FRACTIONAL = frozenset({"real", "double", "decimal"})


def partition_as_table(
    table: Mapping[str, Any], descriptor: Mapping[str, Any], partition_name: str
) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The table as this partition has it, and the names of the columns that the partition lacks.

    Raises TrinoError HIVE_PARTITION_SCHEMA_MISMATCH; `partition_name` is `dt=2026-11-22/hr=10`.
    """
    own = table.get("StorageDescriptor", {})
    serde = descriptor.get("SerdeInfo") or {}
    merged = {**own, "SerdeInfo": serde if serde.get("SerializationLibrary") else own.get("SerdeInfo", {})}
    absent: frozenset[str] = frozenset()
    if descriptor.get("Columns"):
        absent = _absent_columns(table, own.get("Columns") or (), descriptor["Columns"], partition_name)
    return {**table, "StorageDescriptor": merged}, absent


def _absent_columns(
    table: Mapping[str, Any],
    columns: Sequence[Mapping[str, str]],
    partition_columns: Sequence[Mapping[str, str]],
    partition_name: str,
) -> frozenset[str]:
    by_name = {column["Name"].lower(): column for column in partition_columns}
    by_position = is_read_by_position(table)
    absent = set()
    for position, column in enumerate(columns):
        if by_position:
            match = partition_columns[position] if position < len(partition_columns) else None
        else:
            match = by_name.get(column["Name"].lower())
        if match is None:
            absent.add(column["Name"].lower())
            continue
        declared, found = column.get("Type", "string"), match.get("Type", "string")
        if declared != found and not can_coerce(parse_hive_type(found), parse_hive_type(declared)):
            raise TrinoError(
                "HIVE_PARTITION_SCHEMA_MISMATCH",
                "There is a mismatch between the table and partition schemas. The types are incompatible and cannot be"
                f" coerced. The column '{column['Name']}' in table '{table.get('DatabaseName')}.{table.get('Name')}' is"
                f" declared as type '{declared}', but partition '{partition_name}' declared column '{match['Name']}' as"
                f" type '{found}'.",
            )
    return frozenset(absent)


def can_coerce(found: TrinoType, wanted: TrinoType) -> bool:
    """Whether values a partition declares as `found` may be read as `wanted`."""
    if found == wanted:
        return True
    if found.is_character or wanted.is_character:
        return all(one.is_character or one.base in INTEGER_WIDTHS for one in (found, wanted))
    if found.base in INTEGER_WIDTHS and wanted.base in INTEGER_WIDTHS:
        return INTEGER_WIDTHS[found.base] <= INTEGER_WIDTHS[wanted.base]
    if found.base in _FRACTIONAL and wanted.base in _FRACTIONAL:
        return True
    if found.base != wanted.base or not found.is_nested:
        return False
    if found.base == "row":
        fields = list(zip(found.names, wanted.names, strict=False))
        if any((mine or "").lower() != (its or "").lower() for mine, its in fields):
            return False
    elif len(found.elements) != len(wanted.elements):
        return False
    return all(can_coerce(mine, its) for mine, its in zip(found.elements, wanted.elements, strict=False))
