"""How each Trino type is held in DuckDB: the one table everything else leans on.

| Trino | DuckDB | remark |
|---|---|---|
| boolean tinyint smallint integer bigint | the same | |
| real, double | FLOAT, DOUBLE | comparisons guard NaN, which DuckDB calls equal to itself and greatest |
| decimal(p,s) | DECIMAL(p,s) | results are cast to Trino's precision |
| varchar, varchar(n) | VARCHAR | |
| char(n) | VARCHAR without the padding blanks | padded where it is shown, measured or cast to varchar |
| varbinary | BLOB | |
| date | DATE | |
| time(p) | BIGINT | picoseconds of the day |
| time(p) with time zone | STRUCT(p BIGINT, o INTEGER) | local picoseconds of the day, offset in minutes |
| timestamp(p), p <= 6 | TIMESTAMP | |
| timestamp(p), p > 6 | STRUCT(t TIMESTAMP, p INTEGER) | p: picoseconds within the microsecond |
| timestamp(p) with time zone, p <= 6 | STRUCT(t TIMESTAMP, z VARCHAR) | t: the instant in UTC; z: 'UTC', 'Asia/Tokyo' |
| timestamp(p) with time zone, p > 6 | STRUCT(t TIMESTAMP, p INTEGER, z VARCHAR) | |
| interval day to second | BIGINT | milliseconds |
| interval year to month | INTEGER | months |
| json | VARCHAR | canonical text: no blanks, keys sorted |
| array(E) | E[] | |
| map(K,V) | MAP(K, V) | |
| row(...) | STRUCT(f0 .., f1 ..) | positional names, whatever the fields are called |
| uuid | UUID | |
| ipaddress | BLOB | 16 bytes, IPv4 mapped into IPv6 |
| unknown | VARCHAR | only ever NULL |
"""

from __future__ import annotations

from functools import lru_cache

from embedded.sql.errors import TrinoError
from embedded.sql.types import TrinoType

_PLAIN = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "varbinary": "BLOB",
    "date": "DATE",
    "time": "BIGINT",
    "time with time zone": "STRUCT(p BIGINT, o INTEGER)",
    "interval day to second": "BIGINT",
    "interval year to month": "INTEGER",
    "json": "VARCHAR",
    "json2016": "VARCHAR",
    "uuid": "UUID",
    "ipaddress": "BLOB",
    "unknown": "VARCHAR",
    "hyperloglog": "BLOB",
    "p4hyperloglog": "BLOB",
    "setdigest": "BLOB",
    "tdigest": "BLOB",
    "color": "VARCHAR",
}


@lru_cache(maxsize=20_000)
def physical_type(trino_type: TrinoType) -> str:
    """DuckDB's type text for a Trino type. Raises TrinoError NOT_SUPPORTED for a type this engine does not hold."""
    base = trino_type.base
    plain = _PLAIN.get(base)
    if plain is not None:
        return plain
    if base == "decimal":
        return f"DECIMAL({trino_type.precision},{trino_type.scale})"
    if base == "timestamp":
        return "TIMESTAMP" if trino_type.precision <= 6 else "STRUCT(t TIMESTAMP, p INTEGER)"
    if base == "timestamp with time zone":
        fine = "" if trino_type.precision <= 6 else "p INTEGER, "
        return f"STRUCT(t TIMESTAMP, {fine}z VARCHAR)"
    if base == "array":
        return f"{physical_type(trino_type.element)}[]"
    if base == "map":
        return f"MAP({physical_type(trino_type.key)}, {physical_type(trino_type.value)})"
    if base == "row":
        fields = (f"f{i} {physical_type(element)}" for i, element in enumerate(trino_type.elements))
        return f"STRUCT({', '.join(fields)})"
    raise TrinoError("NOT_SUPPORTED", f"Type {trino_type} is not supported by the embedded engine")


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A DuckDB string literal. Text with NUL, which DuckDB's parser refuses, is spelled through chr()."""
    if "\0" in text:
        parts = text.split("\0")
        return "(" + " || chr(0) || ".join(text_literal(part) for part in parts) + ")"
    return "'" + text.replace("'", "''") + "'"


def from_named(sql: str, trino_type: TrinoType) -> str:
    """Turns a value whose STRUCT fields bear the rows' own names (as file readers give them) into the physical form.

    `sql` is a DuckDB expression; rows become positional STRUCTs, arrays and maps are mapped through. Types without
    rows inside come back unchanged.
    """
    if not _has_row(trino_type):
        return sql
    base = trino_type.base
    if base == "row":
        fields = ", ".join(
            f"f{i} := " + from_named(f"struct_extract({sql}, {text_literal(name or f'field{i}')})", element)
            for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
        )
        return f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE struct_pack({fields}) END"
    if base == "array":
        return f"list_transform({sql}, lambda e: {from_named('e', trino_type.element)})"
    entry = (
        f"struct_pack(key := {from_named('e.key', trino_type.key)}, value := {from_named('e.value', trino_type.value)})"
    )
    return f"map_from_entries(list_transform(map_entries({sql}), lambda e: {entry}))"


def named_type(trino_type: TrinoType) -> str:
    """DuckDB's type text with the rows' own field names: what to declare to a file reader before `from_named`."""
    base = trino_type.base
    if base == "row":
        fields = (
            f"{quoted(name or f'field{i}')} {named_type(element)}"
            for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
        )
        return f"STRUCT({', '.join(fields)})"
    if base == "array":
        return f"{named_type(trino_type.element)}[]"
    if base == "map":
        return f"MAP({named_type(trino_type.key)}, {named_type(trino_type.value)})"
    return physical_type(trino_type)


def _has_row(trino_type: TrinoType) -> bool:
    return trino_type.base == "row" or any(_has_row(element) for element in trino_type.elements)
