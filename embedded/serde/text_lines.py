"""Text files, a row a line: LazySimpleSerDe (delimited), OpenCSVSerde, RegexSerDe, GrokSerDe.

Each reader says how a column's text is found in a line; the values are then converted as `text_values` says. Read
strictly, a text that does not fit its column's type raises; read leniently, its row is left out.
Limits: an empty line gives no row; a line may have 16 MB; RE2's syntax is what a regular expression may have.
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from embedded.serde.grok import grok_expression
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
from embedded.serde.text_values import TextRules, converted, misfit_condition
from embedded.sql.errors import TrinoError
from embedded.sql.physical import quoted, text_literal

MAXIMUM_LINE_BYTES = 16 * 1024 * 1024
_BUFFER_BYTES = 2 * MAXIMUM_LINE_BYTES
_NO_DELIMITER = "\x1d\x1e\x1f\x1c"
_NO_NULL = "\x1f\x1f\x1e\x1e"
_LINE = quoted("$line")
_ESCAPED_ESCAPE = "\x1a\x1a0"
_ESCAPED_DELIMITER = "\x1a\x1a1"


class TextReader(ABC):
    """Base of the readers of text files."""

    name = "text"
    rules = TextRules()

    def __init__(self, table_properties: Mapping[str, str]) -> None:
        count = table_properties.get("skip.header.line.count", "0").strip()
        self._skipped_lines = int(count) if count.isdigit() else 0

    @abstractmethod
    def _source_columns(self, columns: Sequence[DataColumn]) -> list[str]:
        """The names of the text columns that DuckDB's reader yields."""

    @abstractmethod
    def _source_options(self) -> str:
        """The options of DuckDB's reader that split a file into these columns."""

    @abstractmethod
    def _text(self, column: DataColumn) -> str:
        """The expression for a column's text."""

    def _row_condition(self) -> str | None:
        """A condition that rows must meet to be rows at all."""
        return None

    def relation(self, files: Sequence[ReadableFile], columns: Sequence[DataColumn], extras: Extras) -> str:
        outputs = []
        for column in columns:
            value = converted(self._text(column), column.type, self.rules, strict=not extras.lenient)
            outputs.append(f"{value} AS {quoted(column.name)}")
        outputs += [quoted(key) for key in extras.hive_keys]
        if extras.with_path:
            outputs.append(quoted(PATH_COLUMN))
        conditions = []
        if extras.lenient:
            conditions = [f"NOT {misfit}" for column in extras.checked if (misfit := self._misfit(column)) is not None]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        selected = ", ".join(outputs) or '1 AS "$nothing"'
        return " UNION ALL ".join(
            f"SELECT {selected} FROM {source}{where}" for source in self._sources(files, columns, extras)
        )

    def _sources(self, files: Sequence[ReadableFile], columns: Sequence[DataColumn], extras: Extras) -> list[str]:
        names = ", ".join(
            f"{text_literal(name)}: 'VARCHAR'" for name in self._source_columns([*columns, *extras.checked])
        )
        skip = f", skip = {self._skipped_lines}" if self._skipped_lines else ""
        return [
            f"read_csv({file_list(group)}, columns = {{{names}}}, auto_detect = false, header = false{skip}"
            f", strict_mode = false, max_line_size = {MAXIMUM_LINE_BYTES}, buffer_size = {_BUFFER_BYTES}"
            f", nullstr = {text_literal(_NO_NULL)}"
            f"{self._source_options()}{compression_option(compression)}{partition_options(extras)})"
            for compression, group in by_compression(files).items()
        ]

    def _misfit(self, column: DataColumn) -> str | None:
        return misfit_condition(self._text(column), column.type, self.rules)

    def bad_rows(self, file: ReadableFile, columns: Sequence[DataColumn]) -> str | None:
        """A query of the rows that do not fit: (row number from 1, reason). None when every row fits."""
        reasons = []
        for column in columns:
            misfit = self._misfit(column)
            if misfit is not None:
                shown = f"coalesce(left({self._text(column)}, 60), '')"
                told = f"{text_literal(f'column {column.name}: expected {column.type}, found ')} || {shown}"
                reasons.append(f"WHEN {misfit} THEN {told}")
        if not reasons:
            return None
        (source,) = self._sources([file], columns, Extras())
        case = f"CASE {' '.join(reasons)} END"
        offset = self._skipped_lines
        return (
            f"SELECT number, reason FROM (SELECT row_number() OVER () + {offset} AS number, {case} AS reason"
            f" FROM {source}) WHERE reason IS NOT NULL ORDER BY number"
        )


class _LineReader(TextReader):
    """Base of the readers that take each line whole."""

    def _source_columns(self, columns: Sequence[DataColumn]) -> list[str]:  # noqa: ARG002 - the same for all
        return ["$line"]

    def _source_options(self) -> str:
        return f", delim = {text_literal(_NO_DELIMITER)}, quote = '', escape = ''"


class DelimitedReader(_LineReader):
    """LazySimpleSerDe: ROW FORMAT DELIMITED."""

    def __init__(self, properties: Mapping[str, str], table_properties: Mapping[str, str]) -> None:
        super().__init__(table_properties)
        field = _delimiter(properties, "field.delim", properties.get("serialization.format", "\x01"))
        if field == "1" and "field.delim" not in properties:
            field = "\x01"
        collection = _delimiter(properties, "collection.delim", properties.get("colelction.delim", "\x02"))
        map_key = _delimiter(properties, "mapkey.delim", "\x03")
        self._separator = field
        self._escape = properties.get("escape.delim", "")
        self.rules = TextRules(
            null_text=properties.get("serialization.null.format", "\\N"),
            separators=(field, collection, map_key, *(chr(code) for code in range(4, 9))),
        )

    def _text(self, column: DataColumn) -> str:
        if not self._escape:
            return f"string_split({_LINE}, {text_literal(self._separator)})[{column.position + 1}]"
        escape = self._escape[0]
        marked = f"replace({_LINE}, {text_literal(escape * 2)}, {text_literal(_ESCAPED_ESCAPE)})"
        marked = f"replace({marked}, {text_literal(escape + self._separator)}, {text_literal(_ESCAPED_DELIMITER)})"
        part = f"string_split({marked}, {text_literal(self._separator)})[{column.position + 1}]"
        if escape != "\\" or self.rules.null_text != "\\N":
            part = f"replace({part}, {text_literal(escape)}, '')"
        part = f"replace({part}, {text_literal(_ESCAPED_DELIMITER)}, {text_literal(self._separator)})"
        return f"replace({part}, {text_literal(_ESCAPED_ESCAPE)}, {text_literal(escape)})"


def _delimiter(properties: Mapping[str, str], name: str, default: str) -> str:
    """A delimiter property: a character, its number, or an escape such as `\\t` or `\\u0001`."""
    text = properties.get(name, default)
    if len(text) > 1 and text.lstrip("-").isdigit():
        return chr(int(text) % 256)
    return {"\\t": "\t", "\\n": "\n", "\\001": "\x01"}.get(text, text) or default


class OpenCsvReader(TextReader):
    """OpenCSVSerde: separatorChar, quoteChar, escapeChar; dates are days and timestamps milliseconds since 1970."""

    rules = TextRules(null_text=None, empty_is_null=False, dates_are_days=True, timestamps_are_milliseconds=True)
    _SPARE = 16

    def __init__(self, properties: Mapping[str, str], table_properties: Mapping[str, str], count: int) -> None:
        super().__init__(table_properties)
        self._separator = _character(properties.get("separatorChar", properties.get("field.delim", ",")), ",")
        self._quote = _character(properties.get("quoteChar", '"'), '"')
        self._escape = _character(properties.get("escapeChar", "\\"), "\\")
        self._count = count

    def _source_columns(self, columns: Sequence[DataColumn]) -> list[str]:  # noqa: ARG002 - all of the table's
        return [f"$c{i}" for i in range(self._count + self._SPARE)]

    def _source_options(self) -> str:
        return (
            f", delim = {text_literal(self._separator)}, quote = {text_literal(self._quote)}"
            f", escape = {text_literal(self._escape)}, null_padding = true, parallel = false"
        )

    def _text(self, column: DataColumn) -> str:
        name = quoted(f"$c{column.position}")
        if self._escape == self._quote:
            return name
        return f"replace({name}, {text_literal(self._quote * 2)}, {text_literal(self._quote)})"


def _character(text: str, default: str) -> str:
    text = {"\\t": "\t", "\\\\": "\\", '\\"': '"'}.get(text, text)
    return text[0] if text else default


class RegexReader(_LineReader):
    """RegexSerDe: the groups of `input.regex`, in order; a line that does not match is a row of NULLs."""

    rules = TextRules(null_text=None)

    def __init__(self, properties: Mapping[str, str], table_properties: Mapping[str, str]) -> None:
        super().__init__(table_properties)
        expression = properties.get("input.regex")
        if not expression:
            raise TrinoError("HIVE_INVALID_METADATA", "RegexSerDe needs the SerDe property input.regex")
        flags = "(?is)" if properties.get("input.regex.case.insensitive", "false").lower() == "true" else "(?s)"
        self._expression = f"{flags}^(?:{expression})$"

    def _text(self, column: DataColumn) -> str:
        pattern = text_literal(self._expression)
        return _group(pattern, column.position + 1)


class GrokReader(_LineReader):
    """GrokSerDe: the named parts of `input.format`, in order; a line that does not match is a row of NULLs."""

    rules = TextRules(null_text=None)

    def __init__(self, properties: Mapping[str, str], table_properties: Mapping[str, str]) -> None:
        super().__init__(table_properties)
        text = properties.get("input.format")
        if not text:
            raise TrinoError("HIVE_INVALID_METADATA", "GrokSerDe needs the SerDe property input.format")
        expression, names = grok_expression(text, properties.get("input.grokCustomPatterns", ""))
        self._expression = f"(?s){expression}"
        self._names = names

    def _text(self, column: DataColumn) -> str:
        if column.position >= len(self._names):
            return "CAST(NULL AS VARCHAR)"
        pattern = text_literal(self._expression)
        group = self._names[column.position]
        return _group(pattern, group)


def _group(pattern: str, number: int) -> str:
    """A group of a line that matches; NULL for an empty group and for a line that does not match."""
    group = f"nullif(regexp_extract({_LINE}, {pattern}, {number}), '')"
    return f"CASE WHEN regexp_matches({_LINE}, {pattern}) THEN {group} END"
