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
    "ELSE trino_scientific_text(CAST(d AS VARCHAR)) END",
)


@sql_function("trino_scientific_text", ["VARCHAR"], "VARCHAR")
def scientific_text(shortest: str) -> str:
    """Java's form of a number below 10^-3 or from 10^7 on, from the shortest digits: 1.0E10, -1.5E-7."""
    sign = "-" if shortest.startswith("-") else ""
    mantissa, _, exponent = shortest.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    power = int(exponent or 0) + len(whole) - 1
    stripped = digits.lstrip("0")
    power -= len(digits) - len(stripped)
    stripped = stripped.rstrip("0") or "0"
    return f"{sign}{stripped[0]}.{stripped[1:] or '0'}E{power}"


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
macro(
    "trino_seconds_text(t)",
    "CASE WHEN year(t) BETWEEN 0 AND 9999 THEN strftime(t, '%Y-%m-%d %H:%M:%S') "
    "ELSE trino_year_text(year(t)) || strftime(t, '-%m-%d %H:%M:%S') END",
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


def _fraction(instant: str, picos: str | None, digits: int) -> str:
    """`.123456` with this many digits, '' for none."""
    if digits == 0:
        return ""
    micros = f"lpad(CAST(((epoch_us({instant}) % 1000000) + 1000000) % 1000000 AS VARCHAR), 6, '0')"
    if digits <= 6:
        return f" || '.' || {micros}[1:{digits}]"
    return f" || '.' || ({micros} || lpad(CAST({picos} AS VARCHAR), 6, '0'))[1:{digits}]"


def _time_template(trino_type: TrinoType) -> str:
    base, digits = trino_type.base, trino_type.precision
    if base == "time":
        return f"trino_time_text({{}}, {digits})"
    if base == "time with time zone":
        return f"(trino_time_text(({{}}).p, {digits}) || trino_offset_text(({{}}).o))"
    if base == "timestamp":
        if digits <= 6:
            return f"(trino_seconds_text({{}}){_fraction('{}', None, digits)})"
        return f"(trino_seconds_text(({{}}).t){_fraction('({}).t', '({}).p', digits)})"
    local = "trino_local(({}).t, ({}).z)"
    return f"(trino_seconds_text({local}){_fraction(local, '({}).p', digits)} || ' ' || ({{}}).z)"


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
