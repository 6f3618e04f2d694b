"""Result objects as Athena writes them, and their pages as GetQueryResults answers them.

    <id>.csv            header, then rows; every value in double quotes, NULL is nothing between commas, "" is ''
    <id>.csv.metadata   the columns, as a protocol buffer
    <id>.txt            what DDL and utility statements say: a line each, columns separated by tabs

A page is read from the object itself: the token of the next page is the byte offset where it begins, so that the
millionth page costs what the first one costs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from embedded.athena_executions import ResultColumn
from embedded.sql.physical import text_literal
from embedded.sql.types import TrinoType, parse_type

_FIELD = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)")?(,|\n)')
_READ_BYTES = 256 * 1024
_UNFINISHED = ".%"


class InvalidToken(ValueError):
    """A paging token that this result did not give out."""


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Rows of texts (None is NULL) and the token of the next page, None after the last one."""

    rows: list[list[str | None]]
    next_token: str | None


def write_csv(
    cursor: duckdb.DuckDBPyConnection, text_sql: str, names: Sequence[str], path: Path, *, check: Callable[[], None]
) -> int:
    """Runs a query whose columns are Athena's texts straight into a result object. Returns the number of rows.

    The object appears when it is complete. DuckDB streams, in the order of the query.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
    # A header of our own, since names may repeat; DuckDB then ends the last row with the suffix.
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n"
    try:
        row = cursor.execute(
            f"COPY ({text_sql}) TO {text_literal(str(unfinished))} (FORMAT csv, HEADER false, FORCE_QUOTE *, NULL '',"
            f" PREFIX {text_literal(header)}, SUFFIX {text_literal(chr(10))})"
        ).fetchone()
        row_count = int(row[0]) if row else 0
        check()
        if row_count == 0:  # with a suffix there is a line end even where there is no line
            unfinished.write_text(header)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return row_count


def write_object(path: Path, content: bytes) -> None:
    """Writes a small object; it appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


# --------------------------------------------------------------------------------------------------------- pages


def csv_page(path: Path, token: str | None, maximum_rows: int) -> ResultPage:
    """A page of a CSV result; the header counts as the first row of the first page. Raises InvalidToken."""
    offset = _offset(path, token)
    rows: list[list[str | None]] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if offset > size:
            raise InvalidToken("the token lies beyond the result")
        file.seek(offset)
        for row, end in _rows(file.read):
            rows.append(row)
            if len(rows) == maximum_rows:
                return ResultPage(rows, _token(path, offset + end) if offset + end < size else None)
    return ResultPage(rows, None)


def _rows(read: Callable[[int], bytes]) -> Iterator[tuple[list[str | None], int]]:
    """Rows of a CSV stream with the offset behind each, relative to where the stream began."""
    buffer = read(_READ_BYTES)
    consumed = 0
    position = 0
    row: list[str | None] = []
    while True:
        match = _FIELD.match(buffer, position)
        if match is None:
            more = read(max(_READ_BYTES, len(buffer)))
            if not more:
                return
            buffer = buffer[position:] + more
            consumed += position
            position = 0
            continue
        value = match.group(1)
        row.append(None if value is None else value.replace(b'""', b'"').decode("utf-8", "replace"))
        position = match.end()
        if match.group(2) == b"\n":
            yield row, consumed + position
            row = []


def text_page(path: Path, token: str | None, maximum_rows: int) -> ResultPage:
    """A page of a text result: a row a line, one value each."""
    offset = _offset(path, token)
    rows: list[list[str | None]] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        while len(rows) < maximum_rows and (line := file.readline()):
            rows.append([line.removesuffix(b"\n").decode("utf-8", "replace")])
        end = file.tell()
    return ResultPage(rows, _token(path, end) if end < size else None)


def _token(path: Path, offset: int) -> str:
    body = struct.pack(">Q", offset)
    return base64.urlsafe_b64encode(body + _mark(path, body)).decode()


def _mark(path: Path, body: bytes) -> bytes:
    return hashlib.blake2b(body + path.name.encode(), digest_size=10, person=b"athena page").digest()


def _offset(path: Path, token: str | None) -> int:
    if token is None:
        return 0
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken("the token is not one of this service") from None
    body, mark = content[:8], content[8:]
    if len(content) != 18 or mark != _mark(path, body):
        raise InvalidToken("the token is not one of this result")
    offset: int = struct.unpack(">Q", body)[0]
    return offset


# ------------------------------------------------------------------------------------------------------- columns

_PRECISIONS = {
    "boolean": 0,
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "real": 17,
    "double": 17,
    "date": 0,
    "varbinary": 1073741824,
}


def column_info(column: ResultColumn) -> dict[str, Any]:
    """The ColumnInfo member of GetQueryResults (athena-behaviour 7: values asserted by clients' suites)."""
    if column.type == "string":  # what Hive's statements answer with; Trino has no such type
        trino_type, shown, (precision, scale) = parse_type("unknown"), "string", (0, 0)
    else:
        trino_type = parse_type(column.type)
        shown = "float" if trino_type.base == "real" else trino_type.base
        precision, scale = _precision_and_scale(trino_type)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": column.name,
        "Label": column.name,
        "Type": shown,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": trino_type.is_character,
    }


def _precision_and_scale(trino_type: TrinoType) -> tuple[int, int]:
    base = trino_type.base
    if base == "decimal":
        return trino_type.precision, trino_type.scale
    if base in ("varchar", "char"):
        return (trino_type.length if trino_type.length is not None else 2147483647), 0
    if base.startswith("time"):
        return 3, 0
    return _PRECISIONS.get(base, 0), 0


def result_set(page: ResultPage, columns: Iterable[ResultColumn]) -> dict[str, Any]:
    """The ResultSet member of GetQueryResults."""
    return {
        "Rows": [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in page.rows],
        "ResultSetMetadata": {"ColumnInfo": [column_info(column) for column in columns]},
    }


def metadata_object(execution_id: str, columns: Iterable[ResultColumn]) -> bytes:
    """The `.metadata` object: a protocol buffer of the columns (layout as clients that read it take it to be)."""
    content = _bytes_field(2, execution_id.encode())
    for column in columns:
        info = column_info(column)
        texts = (info["CatalogName"], info["SchemaName"], info["TableName"], info["Name"], info["Label"], info["Type"])
        body = b"".join(_bytes_field(number, text.encode()) for number, text in enumerate(texts, 1))
        body += _number_field(7, info["Precision"]) + _number_field(8, info["Scale"])
        body += _number_field(9, 3) + _number_field(10, int(info["CaseSensitive"]))
        content += _bytes_field(4, body)
    return content


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)
