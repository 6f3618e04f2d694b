"""JSON objects, one a line: the openx and the Hive (hcatalog) JSON SerDe.

Values become the declared types as the SerDes do it: a number, an object or an array in a string column is its JSON
text, a quoted number in a numeric column is the number, a key that is missing is NULL. Keys match columns without
regard to case (openx `case.insensitive`, the default): `key_names` says how the files at hand really spell them.
A value of another type makes the row malformed; `json_strict` says what DuckDB would make of it otherwise.
SerDe properties: `mapping.<column>` = JSON key, `dots.in.keys`, `case.insensitive`, `ignore.malformed.json`.
Source: Athena user guide, "OpenX JSON SerDe" and "Hive JSON SerDe".
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from embedded.serde.json_strict import is_read_raw, unbent, value_of_raw
from embedded.serde.reader import (
    PATH_COLUMN,
    DataColumn,
    Extras,
    ReadableFile,
    by_compression,
    compression_option,
    file_list,
    partition_options,
)
from embedded.sql.physical import from_named, named_type, quoted, text_literal
from embedded.sql.types import TrinoType

MAXIMUM_LINE_BYTES = 16 * 1024 * 1024


class JsonLinesReader:
    """Reads newline-delimited JSON objects."""

    name = "json"

    def __init__(self, properties: Mapping[str, str], key_names: Mapping[str, Sequence[str]] | None = None) -> None:
        self._mapping = {
            name[len("mapping.") :].lower(): key for name, key in properties.items() if name.startswith("mapping.")
        }
        self._dots_in_keys = properties.get("dots.in.keys", "false").lower() == "true"
        self.ignores_case = properties.get("case.insensitive", "true").lower() != "false"
        self._key_names = key_names or {}

    def with_key_names(self, key_names: Mapping[str, Sequence[str]]) -> JsonLinesReader:
        """The same reader for files that spell keys their own way: lower-case name -> spellings found in the files."""
        reader = JsonLinesReader({})
        reader._mapping = self._mapping
        reader._dots_in_keys = self._dots_in_keys
        reader.ignores_case = self.ignores_case
        reader._key_names = key_names
        return reader

    def keys(self, column: DataColumn) -> list[str]:
        """The JSON keys a column may be found under, the preferred one first."""
        mapped = self._mapping.get(column.name, column.name)
        spellings = [mapped]
        if self.ignores_case:
            spellings += [key for key in self._key_names.get(mapped.lower(), ()) if key != mapped]
        if self._dots_in_keys and "_" in column.name:
            dotted = {key for key in self._key_names if key.replace(".", "_") == column.name and key != column.name}
            spellings += sorted(spelling for key in dotted for spelling in self._key_names[key])
        return spellings

    def finder(self, columns: Sequence[DataColumn]) -> Callable[[str], DataColumn | None]:
        """A function from a JSON key to the column that may be read from it, however other files spell theirs."""
        by_key = {self._mapping.get(column.name, column.name): column for column in columns}
        by_lower = {key.lower(): column for key, column in by_key.items()} if self.ignores_case else {}
        by_name = {column.name: column for column in columns} if self._dots_in_keys else {}

        def find(key: str) -> DataColumn | None:
            lowered = key.lower()
            return by_key.get(key) or by_lower.get(lowered) or by_name.get(lowered.replace(".", "_"))

        return find

    def relation(self, files: Sequence[ReadableFile], columns: Sequence[DataColumn], extras: Extras) -> str:
        keys = {column.name: self.keys(column) for column in columns}
        declared: dict[str, str] = {}
        for column in columns:
            for key in keys[column.name]:
                file_type = "JSON" if extras.strict and is_read_raw(column.type) else _file_type(column.type)
                declared.setdefault(key, file_type)
        # DuckDB wants at least one declared column, and compares their names without regard to case.
        names = {key: f"k{position}" for position, key in enumerate(declared)}
        distinct = len({key.lower() for key in declared}) == len(declared)
        outputs = []
        conditions = []
        for column in columns:
            spelled = [f"r.{quoted(key)}" for key in keys[column.name]]
            value = spelled[0] if len(spelled) == 1 else f"coalesce({', '.join(spelled)})"
            if extras.strict and is_read_raw(column.type):
                conditions += [unbent(each, column.type) for each in spelled]
                value = value_of_raw(value, column.type)
            else:
                value = _physical(value, column.type)
            outputs.append(f"{value} AS {quoted(column.name)}")
        outputs += [quoted(key) for key in extras.hive_keys]
        if extras.with_path:
            outputs.append(quoted(PATH_COLUMN))
        if not distinct:
            return self._relation_by_object(files, columns, keys, extras, names)
        types = ", ".join(f"{text_literal(key)}: {text_literal(text)}" for key, text in declared.items())
        if not declared:
            types = f"{text_literal('$nothing')}: 'VARCHAR'"
        selected = ", ".join(outputs) or '1 AS "$nothing"'
        parts = [
            f"SELECT {selected} FROM read_json({file_list(group)}, columns = {{{types}}}{_OPTIONS}"
            f"{compression_option(compression)}{partition_options(extras)}) AS r{_refusing(conditions)}"
            for compression, group in by_compression(files).items()
        ]
        return " UNION ALL ".join(parts)

    def _relation_by_object(
        self,
        files: Sequence[ReadableFile],
        columns: Sequence[DataColumn],
        keys: Mapping[str, Sequence[str]],
        extras: Extras,
        _names: Mapping[str, str],
    ) -> str:
        """The slower road for files that spell one key in several ways: whole objects, then values out of them."""
        outputs = []
        conditions: list[str] = []
        for column in columns:
            paths = [f"json_extract(json, {text_literal(_json_pointer(key))})" for key in keys[column.name]]
            value = paths[0] if len(paths) == 1 else f"coalesce({', '.join(paths)})"
            if is_read_raw(column.type):
                if extras.strict:
                    conditions += [unbent(path, column.type) for path in paths]
                value = value_of_raw(value, column.type)
            elif _file_type(column.type) == "VARCHAR":
                value = _physical(f"json_transform_strict({value}, '\"VARCHAR\"')", column.type)
            else:
                value = _physical(f"CAST({value} AS {_file_type(column.type)})", column.type)
            outputs.append(f"{value} AS {quoted(column.name)}")
        outputs += [quoted(key) for key in extras.hive_keys]
        if extras.with_path:
            outputs.append(quoted(PATH_COLUMN))
        parts = [
            f"SELECT {', '.join(outputs)} FROM read_json({file_list(group)}, columns = {{'json': 'JSON'}}"
            ", records = 'false'"
            f"{_OPTIONS.replace(_RECORDS, '')}{compression_option(compression)}{partition_options(extras)})"
            f"{_refusing(conditions)}"
            for compression, group in by_compression(files).items()
        ]
        return " UNION ALL ".join(parts)


_RECORDS = ", records = 'true'"
_OPTIONS = f", format = 'newline_delimited'{_RECORDS}, maximum_object_size = {MAXIMUM_LINE_BYTES}"


def _refusing(conditions: Sequence[str]) -> str:
    """A WHERE that raises at the first row in which a condition does not hold."""
    if not conditions:
        return ""
    return f" WHERE CASE WHEN {' AND '.join(conditions)} THEN true ELSE error('{_BENT}') END"


_BENT = "a JSON value is not of the declared type"


def _json_pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _file_type(trino_type: TrinoType) -> str:
    """The type a JSON value is read as: the declared one where DuckDB's reader converts as the SerDe does."""
    if trino_type.base in ("char", "varbinary", "timestamp"):
        return "VARCHAR"
    return named_type(trino_type)


def _physical(value: str, trino_type: TrinoType) -> str:
    base = trino_type.base
    if base == "varchar" and trino_type.length is not None:
        return f"substr({value}, 1, {trino_type.length})"
    if base == "char":
        return f"rtrim(substr({value}, 1, {trino_type.length}), ' ')"
    if base == "varbinary":
        return f"from_base64({value})"
    if base == "timestamp":
        return timestamp_of_text(value)
    return from_named(value, trino_type)


def timestamp_of_text(value: str) -> str:
    """A timestamp as the openx SerDe reads it: ISO or JDBC text in UTC, or a number of seconds or milliseconds."""
    return (
        f"CASE WHEN regexp_full_match({value}, '-?[0-9]+(\\.[0-9]+)?') THEN make_timestamp(CAST(round("
        f"CAST({value} AS DOUBLE) * CASE WHEN abs(CAST({value} AS DOUBLE)) >= 1e11 THEN 1e3 ELSE 1e6 END) AS BIGINT))"
        f" ELSE CAST(CAST({value} AS TIMESTAMP) AS TIMESTAMP) END"
    )
