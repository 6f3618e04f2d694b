"""Athena's text (VarCharValue) of a value, as a DuckDB expression.

| type | text |
|---|---|
| boolean, integers, decimal, date, varchar, json, uuid | as DuckDB prints it |
| double, real | Java's: 1.0, 1.0E10, NaN, Infinity |
| char(n) | padded |
| varbinary | `31 32 33` |
| time, timestamp | all digits of the precision; the zone follows (`UTC`, `America/New_York`, `+05:45`) |
| intervals | `2 03:04:05.678`, `1-2` |
| array, map, row | `[1, null]`, `{a=1, b=2}`, `{name=x, field1=2}`: strings bare, NULL is `null` |
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from embedded.sql.functions.registry import macro, sql_function
from embedded.sql.physical import text_literal
from embedded.sql.typed import Typed, once
from embedded.sql.types import TrinoType


def text_expression(column_sql: str, trino_type: TrinoType) -> str:
    """The text of `column_sql`, a value in the physical form of `trino_type`. NULL stays NULL."""
    template = _template(trino_type, 0)
    if template.count("{}") > 1:
        return once(Typed(column_sql, trino_type), template.replace("{}", "{0}"), "text_")
    return template.replace("{}", column_sql)


@lru_cache(maxsize=4096)
def _template(trino_type: TrinoType, depth: int) -> str:
    base = trino_type.base
    if base in ("varchar", "json"):
        return "{}"
    simple = _MACROS.get(base)
    if simple is not None:
        return simple
    if base == "decimal" and trino_type.precision == trino_type.scale:
        # DuckDB leaves out the zero before the point
        return "regexp_replace(CAST({} AS VARCHAR), '^(-?)[.]', '\\1' || '0.')"
    if base == "char":
        return f"rpad({{}}, {trino_type.numbers[0]}, ' ')"
    if base in ("time", "timestamp", "time with time zone", "timestamp with time zone"):
        return _time_template(trino_type)
    if base == "array":
        return _array_template(trino_type, depth)
    if base == "map":
        return _map_template(trino_type, depth)
    if base == "row":
        return _row_template(trino_type, depth)
    return "CAST({} AS VARCHAR)"


_MACROS = {
    "date": "trino_date_text({})",
    "double": "trino_double_text({})",
    "real": "trino_double_text({})",
    "varbinary": "trino_binary_text({})",
    "interval day to second": "trino_day_interval_text({})",
    "interval year to month": "trino_month_interval_text({})",
    "ipaddress": "trino_ip_text({})",
}

macro(
    "trino_double_text(d)",
    "CASE WHEN isnan(d) THEN 'NaN' WHEN isinf(d) THEN CASE WHEN d > 0 THEN 'Infinity' ELSE '-Infinity' END "
    "WHEN d = 0 OR (abs(d) >= 0.001 AND abs(d) < 10000000) THEN CAST(d AS VARCHAR) "
    "ELSE CASE WHEN d < 0 THEN '-' ELSE '' END "
    "|| list_transform([CAST(abs(d) AS VARCHAR)], lambda sci: trino_scientific_text(sci))[1] END",
)


#: Java's form of a positive number below 10^-3 or from 10^7 on, out of DuckDB's shortest digits: 1.0E10, 1.5E-7.
macro("trino_with_point(m)", "CASE WHEN contains(m, '.') THEN m ELSE m || '.0' END")
macro(
    "trino_scientific_text(t)",
    "CASE WHEN contains(t, 'e') "
    "THEN trino_with_point(split_part(t, 'e', 1)) || 'E' || CAST(split_part(t, 'e', 2) AS INTEGER) "
    "WHEN t[1] = '0' THEN trino_moved_point(ltrim(t, '0.')) || 'E-' || (length(t) - length(ltrim(t, '0.')) - 1) "
    "ELSE trino_moved_point(rtrim(replace(t, '.', ''), '0')) || 'E' || (strpos(t, '.') - 2) END",
)
macro("trino_moved_point(digits)", "digits[1] || '.' || CASE WHEN length(digits) = 1 THEN '0' ELSE digits[2:] END")
macro("trino_binary_text(b)", "trim(regexp_replace(lower(hex(b)), '(..)', '\\1 ', 'g'))")
macro(
    "trino_day_interval_text(ms)",
    "CASE WHEN ms < 0 THEN '-' ELSE '' END || (abs(ms) // 86400000) || ' ' "
    "|| lpad(CAST(abs(ms) // 3600000 % 24 AS VARCHAR), 2, '0') || ':' "
    "|| lpad(CAST(abs(ms) // 60000 % 60 AS VARCHAR), 2, '0') || ':' "
    "|| lpad(CAST(abs(ms) // 1000 % 60 AS VARCHAR), 2, '0') || '.' "
    "|| lpad(CAST(abs(ms) % 1000 AS VARCHAR), 3, '0')",
)
macro(
    "trino_month_interval_text(m)",
    "CASE WHEN m < 0 THEN '-' ELSE '' END || (abs(m) // 12) || '-' || (abs(m) % 12)",
)


@sql_function("trino_ip_text", ["BLOB"], "VARCHAR")
def ip_text(packed: bytes) -> str:
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return str(ipaddress.IPv4Address(packed[12:]))
    return str(ipaddress.IPv6Address(packed))


# --------------------------------------------------------------------------------------------- dates and times

macro(
    "trino_date_text(d)",
    "CASE WHEN year(d) BETWEEN 1 AND 9999 THEN CAST(d AS VARCHAR) "
    "ELSE trino_year_text(year(d)) || strftime(d, '-%m-%d') END",
)
#: A timestamp by a strftime format whose year is %Y; strftime does not know the years before 1 and after 9999.
macro(
    "trino_timestamp_text(t, format)",
    "CASE WHEN t BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999' THEN strftime(t, format) "
    "ELSE trino_year_text(year(t)) || strftime(t, format[3:]) END",
)
macro(
    "trino_time_text(p, digits)",
    "lpad(CAST(p // 3600000000000000 AS VARCHAR), 2, '0') || ':' "
    "|| lpad(CAST(p // 60000000000000 % 60 AS VARCHAR), 2, '0') || ':' "
    "|| lpad(CAST(p // 1000000000000 % 60 AS VARCHAR), 2, '0') "
    "|| CASE WHEN digits = 0 THEN '' ELSE '.' || lpad(CAST((p % 1000000000000) AS VARCHAR), 12, '0')[1:digits] END",
)
macro(
    "trino_offset_text(o)",
    "CASE WHEN o < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(o) // 60 AS VARCHAR), 2, '0') || ':' "
    "|| lpad(CAST(abs(o) % 60 AS VARCHAR), 2, '0')",
)
#: The local TIMESTAMP of a UTC instant in a zone: the offset is added, a region asks ICU.
macro(
    "trino_local(t, z)",
    "CASE WHEN z = 'UTC' THEN t WHEN z[1] = '+' OR z[1] = '-' THEN t + to_minutes("
    "(CASE WHEN z[1] = '-' THEN -1 ELSE 1 END) * (CAST(z[2:3] AS INTEGER) * 60 + CAST(z[5:6] AS INTEGER))) "
    "ELSE timezone(z, timezone('UTC', t)) END",
)


_FRACTION_FORMATS = {0: "", 3: ".%g", 6: ".%f"}


def _local_text(instant: str, picos: str, digits: int) -> str:
    """Date and time with this many digits of the second."""
    if digits in (0, 3, 6):
        return f"trino_timestamp_text({instant}, '%Y-%m-%d %H:%M:%S{_FRACTION_FORMATS[digits]}')"
    text = f"trino_timestamp_text({instant}, '%Y-%m-%d %H:%M:%S.%f')"
    if digits < 6:
        return f"{text}[:{digits - 7}]"
    return f"({text} || lpad(CAST({picos} AS VARCHAR), 6, '0')[1:{digits - 6}])"


def _time_template(trino_type: TrinoType) -> str:
    base, digits = trino_type.base, trino_type.precision
    if base == "time":
        return f"trino_time_text({{}}, {digits})"
    if base == "time with time zone":
        return f"(trino_time_text(({{}}).p, {digits}) || trino_offset_text(({{}}).o))"
    if base == "timestamp":
        return _local_text("{}" if digits <= 6 else "({}).t", "({}).p", digits)
    local = _local_text("trino_local(({}).t, ({}).z)", "({}).p", digits)
    return f"({local} || ' ' || ({{}}).z)"


# --------------------------------------------------------------------------------------------- nested


def _element(sql: str, trino_type: TrinoType, depth: int) -> str:
    return f"COALESCE({_template(trino_type, depth).replace('{}', sql)}, 'null')"


def _array_template(trino_type: TrinoType, depth: int) -> str:
    element = _element(f"t{depth}", trino_type.element, depth + 1)
    return f"('[' || array_to_string(list_transform({{}}, lambda t{depth}: {element}), ', ') || ']')"


def _map_template(trino_type: TrinoType, depth: int) -> str:
    key = _element(f"t{depth}.key", trino_type.key, depth + 1)
    value = _element(f"t{depth}.value", trino_type.value, depth + 1)
    entries = f"list_transform(map_entries({{}}), lambda t{depth}: {key} || '=' || {value})"
    return f"('{{' || array_to_string({entries}, ', ') || '}}')"


def _row_template(trino_type: TrinoType, depth: int) -> str:
    parts = " || ', ' || ".join(
        f"{text_literal((name or f'field{i}') + '=')} || {_element(f't{depth}.f{i}', element, depth + 1)}"
        for i, (name, element) in enumerate(zip(trino_type.names, trino_type.elements, strict=True))
    )
    body = f"CASE WHEN t{depth} IS NULL THEN NULL ELSE '{{' || {parts} || '}}' END"
    return f"(list_transform([{{}}], lambda t{depth}: {body})[1])"
