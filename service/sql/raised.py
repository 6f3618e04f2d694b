"""Raised fields in SQL: the expression that stands in a scan's sub-query for a column that a table spec raises.

    status  ->  COALESCE("status", TRY_CAST(json_extract_scalar(data, '$.status') AS integer)) AS "status"

The stored column comes first: partitions with typed files (compaction) have its values, raw ones have NULL there.
The same expression means the same on every engine; glue.raised_field has the rules and reads values alike. A raised
field that the statement does not name is left out of the sub-query, so that it costs nothing.
"""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp

from glue.raised_field import RaisedField
from glue.table_spec import TableSpec
from service.sql import grammar
from service.sql.scope import Analysis, Scan


def raised_columns(scan: Scan, analysis: Analysis, names: frozenset[str]) -> dict[str, exp.Expr]:
    """The raised fields that the statement may ask this scan for, by name, as entries of a select list.

    `names` are all names in the statement, in lower case: a name that stands anywhere is enough.
    """
    spec = scan.spec
    takes_all = _is_starred(scan, analysis) or _is_renamed(scan)
    return {field.name: raised_column(spec, field).copy() for field in spec.raised if takes_all or field.name in names}


def _is_starred(scan: Scan, analysis: Analysis) -> bool:
    """Whether a `*` stands for the columns of this scan, or for columns that are not known."""
    return any(
        columns is None or any(relation.scan is scan for relation, _ in columns) for columns in analysis.stars.values()
    )


def _is_renamed(scan: Scan) -> bool:
    alias = scan.node.args.get("alias")
    return alias is not None and bool(alias.args.get("columns"))


def raised_column(spec: TableSpec, field: RaisedField) -> exp.Expr:
    """`<expression> AS "<name>"`, over the columns of the table itself."""
    return _column(field, spec.payload_column, spec.stores(field.name))


@lru_cache(maxsize=1024)
def _column(field: RaisedField, payload_column: str, is_stored: bool) -> exp.Expr:
    name = field.name
    parts = [f'"{name}"'] if is_stored else []
    for path in field.paths:
        parts += _computed(field, payload_column, path)
    value = parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"
    (query,) = grammar.parse(grammar.tokenize(f'SELECT {value} AS "{name}"'), "")
    assert isinstance(query, exp.Select)
    column = query.expressions[0]
    for node in column.walk():
        node.meta.clear()  # its places are not the caller's
    found: exp.Expr = column.pop()
    return found


def _computed(field: RaisedField, payload_column: str, path: str) -> list[str]:
    """What is tried for one path, in order. The path was checked when the spec was read; it is quoted all the same."""
    arguments = f"\"{payload_column}\", '{path.replace(chr(39), chr(39) * 2)}'"
    column_type = field.column_type
    if column_type.is_nested:
        return [f"TRY_CAST(json_extract({arguments}) AS {column_type.trino()})"]
    text = f"json_extract_scalar({arguments})"
    if column_type.name == "string":
        return [text]
    if column_type.name == "timestamp":
        iso = f"regexp_extract({text}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T.*$')"  # from_iso8601 takes 7 for a year
        return [
            f"TRY_CAST({text} AS timestamp)",
            f"CAST(at_timezone(TRY(from_iso8601_timestamp({iso})), 'UTC') AS timestamp)",
        ]
    return [f"TRY_CAST({text} AS {column_type.trino()})"]
