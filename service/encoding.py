"""How a value of each type is written as JSON (pages, ndjson) and as a typed column (parquet, arrow).

Input is the text of Athena's CSV (reference: Athena user guide, "Working with query results"); null never reaches an
expression here as text. The rules for users are in docs/value-encoding.md, one row per type, one test per row.

An encoding is a DuckDB expression over the text column, so that a batch of rows is encoded in C++ at several hundred
thousand rows a second. Two rules need a look at single values and run in Python, only for the batches that hold such
values: region time zones (`Europe/Berlin`) and JSON texts with numbers that a double cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import pyarrow as pa
import pyarrow.compute

from service.model import OutputColumn

MAXIMUM_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

_INTEGER_TYPES = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "int": "INTEGER",
    "bigint": "BIGINT",
}
_FLOAT_TYPES = {"real": "FLOAT", "float": "FLOAT", "double": "DOUBLE"}

_NUMBER_TEXT = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"\[\]{}:,]+')
_JSON_SUSPECT = r"[0-9]{16}|(^|[\[:,\s-])(NaN|nan|Infinity|inf)($|[,\]}\s])|,\s*[\]}]"
_ZONED_TEXT = re.compile(r"(.+?) ?(UTC|Z|[+-]\d\d:\d\d|[A-Za-z][A-Za-z0-9_+\-/]*)")


def base_type(type_text: str) -> str:
    """The type without its arguments, in lower case: `decimal(10,2)` -> `decimal`, `timestamp(3) with time zone` ->
    `timestamp with time zone`."""
    without_arguments = type_text.lower().split("(", 1)
    tail = without_arguments[1].rsplit(")", 1)[1] if len(without_arguments) == 2 and ")" in without_arguments[1] else ""
    return " ".join((without_arguments[0] + " " + tail).split())


def json_expression(value: str, type_text: str, *, is_json: bool = False) -> str:
    """A DuckDB expression for the JSON text of the CSV text `value` (itself an expression); NULL stays NULL."""
    base = "json" if is_json else base_type(type_text)
    if base in _INTEGER_TYPES:
        return (
            f"CASE WHEN regexp_full_match({value}, '-?(0|[1-9][0-9]{{0,14}})') THEN {value}"
            f" WHEN regexp_full_match({value}, '-?[1-9][0-9]{{15}}')"
            f" AND abs(TRY_CAST({value} AS BIGINT)) <= {MAXIMUM_SAFE_INTEGER} THEN {value}"
            f" ELSE to_json({value})::VARCHAR END"
        )
    if base in _FLOAT_TYPES:
        return f"CASE WHEN regexp_full_match({value}, '{_NUMBER_TEXT}') THEN {value} ELSE to_json({value})::VARCHAR END"
    if base == "boolean":
        return f"CASE WHEN {value} IN ('true', 'false') THEN {value} ELSE to_json({value})::VARCHAR END"
    if base == "timestamp":
        return f"to_json(replace({value}, ' ', 'T'))::VARCHAR"
    if base == "varbinary":
        return f"""'"' || to_base64(from_hex(replace({value}, ' ', ''))) || '"'"""
    if base == "json":
        return (
            f"CASE WHEN NOT json_valid({value}) THEN to_json({value})::VARCHAR"
            f" WHEN contains({value}, chr(10)) OR contains({value}, chr(13)) THEN json({value})::VARCHAR"
            f" ELSE {value} END"
        )
    # decimal, date, time, interval, uuid, ipaddress, char, varchar, and nested values that no cast turned into JSON
    return f"to_json({value})::VARCHAR"


def typed_expression(value: str, type_text: str, *, is_json: bool = False) -> str:
    """A DuckDB expression that turns the CSV text `value` into a value of the type, for parquet and arrow."""
    base = "json" if is_json else base_type(type_text)
    if base in _INTEGER_TYPES:
        return f"CAST({value} AS {_INTEGER_TYPES[base]})"
    if base in _FLOAT_TYPES:
        return f"CAST({value} AS {_FLOAT_TYPES[base]})"
    if base == "decimal":
        precision_and_scale = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", type_text.lower().strip())
        target = (
            f"DECIMAL({precision_and_scale[1]},{precision_and_scale[2]})" if precision_and_scale else "DECIMAL(38,0)"
        )
        return f"CAST({value} AS {target})"
    if base == "varbinary":
        return f"from_hex(replace({value}, ' ', ''))"
    target_by_base = {
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
        "timestamp with time zone": "TIMESTAMPTZ",
        "time": "TIME",
    }
    return f"CAST({value} AS {target_by_base[base]})" if base in target_by_base else value


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names with duplicates told apart: the second `a` becomes `a_2`, the third `a_3`; a name that a column really
    has is never given away (`a, a, a_2` -> `a, a_3, a_2`)."""
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        unique = name
        number = 2
        while unique in seen or (unique != name and unique in taken):
            unique = f"{name}_{number}"
            number += 1
        seen.add(unique)
        result.append(unique)
    return tuple(result)


def prepared_column(values: pa.Array, column: OutputColumn, *, is_json: bool) -> pa.Array:
    """The texts as json_expression and typed_expression expect them: zones resolved to offsets, JSON numbers made
    safe.
    """
    if is_json or base_type(column.type) == "json":
        suspects = pa.compute.match_substring_regex(values, _JSON_SUSPECT)
        if pa.compute.any(suspects).as_py():
            return pa.array([None if text is None else safe_json(text) for text in values.to_pylist()], pa.string())
        return values
    if base_type(column.type) == "timestamp with time zone":
        return _iso_timestamps_with_zone(values)
    return values


def safe_json(text: str) -> str:
    """JSON text in which every number that a double cannot hold exactly, and NaN and the infinities, are strings.

    Keys, their order and their duplicates, and all other numbers stay as they were spelled. Text that is not JSON
    becomes a JSON string.
    """
    made_safe = _JSON_TOKEN.sub(_safe_json_token, text)
    try:
        orjson.loads(made_safe)
    except orjson.JSONDecodeError:
        return orjson.dumps(text).decode()
    return made_safe


def _safe_json_token(match: re.Match[str]) -> str:
    token = match[0]
    if token.startswith('"') or token in ("true", "false", "null"):
        return token
    if re.fullmatch(_NUMBER_TEXT, token) is None:
        named = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity"}
        return f'"{named[token.lower()]}"' if token.lower() in named else token
    if re.fullmatch(r"-?[0-9]+", token):
        return token if len(token) < 16 or abs(int(token)) <= MAXIMUM_SAFE_INTEGER else f'"{token}"'
    significant = re.sub(r"[eE].*", "", token).replace(".", "").lstrip("-0")
    return token if len(significant) <= 17 else f'"{token}"'


def _iso_timestamps_with_zone(values: pa.Array) -> pa.Array:
    is_utc = pa.compute.ends_with(values, " UTC")
    if pa.compute.all(is_utc).as_py() is not False:  # nulls are skipped; an empty or all-null column is fine as it is
        without_zone = pa.compute.utf8_slice_codeunits(values, 0, -4)
        with_t = pa.compute.replace_substring(without_zone, " ", "T", max_replacements=1)
        return pa.compute.binary_join_element_wise(with_t, "Z", "")
    return pa.array(
        [None if text is None else iso_timestamp_with_zone(text) for text in values.to_pylist()], pa.string()
    )


def iso_timestamp_with_zone(text: str) -> str:
    """Athena's `2020-01-02 03:04:05.678 Europe/Berlin` as ISO-8601 with an offset: `2020-01-02T03:04:05.678+01:00`.

    UTC is written Z. In the hour that a clock change repeats, the first of the two offsets is taken: the text itself
    does not say which. A zone that is not in the tz database stays as it was.
    """
    match = _ZONED_TEXT.fullmatch(text)
    if match is None:
        return text.replace(" ", "T", 1)
    local, zone = match[1].replace(" ", "T", 1), match[2]
    if zone in ("UTC", "Z", "+00:00"):
        return f"{local}Z"
    if zone[0] in "+-":
        return local + zone
    try:
        offset = datetime.fromisoformat(local).replace(tzinfo=_zone(zone)).utcoffset()
    except (ValueError, ZoneInfoNotFoundError):
        return f"{local} {zone}"
    return local + _offset_text(offset or timedelta())


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _offset_text(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    if minutes == 0:
        return "Z"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'+' if minutes > 0 else '-'}{hours:02d}:{rest:02d}"
