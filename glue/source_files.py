"""Rows of a file of one's own, one at a time: NDJSON, JSON documents, CSV and Parquet, each of them also gzipped.

    file -> (gunzip) -> format by name and content -> SourceRow(line, values, text) | RejectedRow(line, reason, raw)

`text` is the row as compact JSON, numbers exactly as the file has them (`1.10` stays `1.10`, an integer of 30 digits
keeps them all); `values` is the same row parsed, to look fields up in. A bad row is rejected and the reading goes
on. Where a file as a whole cannot be trusted any further (a gzip stream cut off, a JSON document broken in the
middle) SourceFault is raised.

Memory stays flat for every format: lines, CSV records and Parquet batches are read in turn, and of a JSON document only
the element at hand is held.

CSV has no types: a cell that is a number in JSON's sense becomes that number, an empty cell null, any other a string
(`007` and `true` too). The first line names the columns; comma, semicolon, tab or bar separates, as the first line
shows.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TextIO

import orjson
from isal import igzip, isal_zlib

Format = Literal["ndjson", "json", "csv", "parquet"]

MAXIMUM_ROW_BYTES = 64 * 1024 * 1024
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\s]+', re.DOTALL)
_WHITE_SPACE = re.compile(r"[ \t\r\n]*")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_GZIP_MAGIC, _PARQUET_MAGIC, _UTF8_BOM = b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE_BYTES = 256 * 1024
_PARQUET_BATCH_ROWS = 4096
_GZIP_ERRORS: Any = (zlib.error, isal_zlib.error, igzip.BadGzipFile)  # isal's stubs call its error an instance
_PARQUET_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class SourceFault(Exception):
    """The file as a whole cannot be read (any further); says where and why."""


class SourceRow(NamedTuple):
    """A row: its line (CSV, NDJSON, JSON) or number (Parquet) from 1, its values, and itself as compact JSON text."""

    line: int
    values: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be loaded, with the text that stood there."""

    line: int
    reason: str
    raw: str


def read_rows(
    path: Path, *, records: str | None = None, file_format: Format | None = None
) -> Iterator[SourceRow | RejectedRow]:
    """The rows of a file. `records` names the list that holds them in each JSON document (CloudTrail: `Records`).

    Raises SourceFault, also in the middle; OSError where the file cannot be opened.
    """
    with _opened(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
        stream.seek(0)
        found = file_format or _format_of(path, sample, records)
        if found == "parquet":
            yield from _parquet_rows(stream)
        elif found == "csv":
            with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield from _csv_rows(text, path)
        elif found == "json":
            with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                yield from _document_rows(text, records)
        else:
            yield from _ndjson_rows(stream, records)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's bytes, gunzipped where they start like gzip. What is wrong with the gzip stream is a SourceFault."""
    with path.open("rb") as file:
        magic = file.peek(4)[:4]
        if magic[:2] in _UTF16_BOMS:
            raise SourceFault("the file is UTF-16; only UTF-8 is read")
        is_gzip = magic[:2] == _GZIP_MAGIC
        try:
            yield io.BufferedReader(_gunzipped(file), _SAMPLE_BYTES) if is_gzip else file
        except EOFError as error:
            raise SourceFault("the file ends in the middle of its gzip stream") from error
        except _GZIP_ERRORS as error:
            raise SourceFault(f"the gzip stream is damaged: {error}") from error


def _gunzipped(file: IO[bytes]) -> Any:
    return igzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]  # isal has stubs for a part only


def _format_of(path: Path, sample: bytes, records: str | None) -> Format:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    text = sample.removeprefix(_UTF8_BOM).lstrip()
    if sample.startswith(_PARQUET_MAGIC):
        return "parquet"
    if suffix in (".csv", ".tsv"):
        return "csv"
    looks_like_json = text[:1] in (b"{", b"[")
    if suffix not in (".json", ".ndjson", ".jsonl") and text and not looks_like_json:
        return "csv"
    return _json_format(text, records) if looks_like_json else "ndjson"


def _json_format(text: bytes, records: str | None) -> Format:
    """Whether JSON comes a row a line, or as a document: told by whether lines are objects on their own."""
    lines = text.split(b"\n")
    first, others = lines[0], lines[1:]
    if text.startswith(b"["):
        return "json"
    if _is_object(first):
        return "ndjson"
    if not others or records is not None:
        return "json"
    complete = others[:-1] if len(text) >= _SAMPLE_BYTES else others
    alone = sum(1 for line in complete if line.startswith(b"{") and _is_object(line))
    return "ndjson" if alone > len(complete) / 2 else "json"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


# NDJSON


def _ndjson_rows(stream: IO[bytes], records: str | None) -> Iterator[SourceRow | RejectedRow]:
    loads, dumps = orjson.loads, orjson.dumps
    for number, whole in _lines(stream):
        line = whole.strip()
        if not line:
            continue
        if number == 1:
            line = line.removeprefix(_UTF8_BOM)
        try:
            values = loads(line)
        except orjson.JSONDecodeError as error:
            yield RejectedRow(number, f"not JSON: {error.msg}", _shown(line))
            continue
        if records is not None:
            yield from _records_of(line, values, records, number)
        elif type(values) is not dict:
            yield RejectedRow(number, f"{_kind(values)}, not a JSON object", _shown(line))
        elif dumps(values) == line:  # written compactly, as most are: nothing to take out
            yield SourceRow(number, values, line.decode("utf-8"))
        else:
            yield SourceRow(number, values, compact(line))


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(MAXIMUM_ROW_BYTES):
        number += 1
        if len(line) == MAXIMUM_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAXIMUM_ROW_BYTES)) and not rest.endswith(b"\n"):
                pass
            line = line[:1000]  # no longer JSON: it is rejected with its beginning
        yield number, line


def compact(text: bytes) -> str:
    """Valid JSON text without the white space between its tokens; everything else stays as it is written."""
    return b"".join(_TOKEN.findall(text)).decode("utf-8")


def _records_of(text: bytes, document: object, records: str, line: int) -> Iterator[SourceRow | RejectedRow]:
    """The rows in one JSON document that is in memory."""
    elements = find_field(document, records)
    if not isinstance(elements, list):
        missing = elements is MISSING
        yield RejectedRow(
            line, f"has no {records}" if missing else f"{records} is {_kind(elements)}, not a list", _shown(text)
        )
    elif orjson.dumps(document) == text:
        for element in elements:
            yield _element_row(line, element, orjson.dumps(element))
    else:
        for row in _document_rows(io.StringIO(text.decode("utf-8")), records):
            yield row._replace(line=line) if isinstance(row, SourceRow) else RejectedRow(line, row.reason, row.raw)


def _element_row(line: int, element: object, text: bytes) -> SourceRow | RejectedRow:
    if isinstance(element, dict):
        return SourceRow(line, element, text.decode("utf-8"))
    return RejectedRow(line, f"{_kind(element)}, not a JSON object", _shown(text))


# JSON documents


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class _DocumentReader:
    """Walks a JSON document value by value through a window of its text, so that only one element is in memory."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        decoder: Any = json.JSONDecoder(parse_constant=_refuse_constant)
        self._scan = decoder.scan_once  # C, and it tells where the value ends
        self._text = ""
        self._position = 0
        self._portion = _SAMPLE_BYTES
        self._is_at_end = False
        self.line = 1

    def next_character(self) -> str:
        """The next character that is not white space, not consumed; empty at the end."""
        while True:
            end = _WHITE_SPACE.match(self._text, self._position).end()  # type: ignore[union-attr]  # matches always
            self.line += self._text.count("\n", self._position, end)
            self._position = end
            if end < len(self._text):
                return self._text[end]
            if not self._fill():
                return ""

    def take(self, characters: str) -> str:
        """Consume the next character, which must be one of these."""
        character = self.next_character()
        if not character or character not in characters:
            raise self.fault(f"expected one of {' '.join(characters)}")
        self._position += 1
        return character

    def value(self) -> tuple[Any, str]:
        """The next value, parsed, and its text."""
        self.next_character()
        while True:
            try:
                value, end = self._scan(self._text, self._position)
                if end < len(self._text) or self._is_at_end:
                    break
            except (StopIteration, ValueError, RecursionError) as error:
                if self._is_at_end or isinstance(error, RecursionError):
                    raise self.fault("this is not JSON") from error
                if len(self._text) - self._position > MAXIMUM_ROW_BYTES:
                    raise self.fault("this value is not JSON, or larger than 64 MiB") from error
            self._fill()
        text = self._text[self._position : end]
        self._position = end
        self.line += text.count("\n")
        return value, text

    def fault(self, complaint: str) -> SourceFault:
        """What is wrong here, with the line."""
        if not self.next_character():
            return SourceFault(f"line {self.line}: the document ends too early")
        shown = self._text[self._position : self._position + 30]
        return SourceFault(f"line {self.line}: {complaint}, at {shown!r}")

    def _fill(self) -> bool:
        if self._is_at_end:
            return False
        try:
            more = self._stream.read(self._portion)
        except UnicodeDecodeError as error:
            raise SourceFault(f"near line {self.line}: not UTF-8") from error
        if self._position == len(self._text):
            self._portion = _SAMPLE_BYTES
        else:
            self._portion *= 2  # the value at hand is large: fewer attempts at it
        self._text = self._text[self._position :] + more
        self._position = 0
        self._is_at_end = not more
        return bool(more)


def _document_rows(stream: TextIO, records: str | None) -> Iterator[SourceRow | RejectedRow]:
    """Rows of one JSON document, or of several one after the other."""
    reader = _DocumentReader(stream)
    while character := reader.next_character():
        if character == "[":
            yield from _array_rows(reader, records)
        elif character == "{" and records is not None:
            yield from _rows_in_object(reader, records)
        else:
            yield _row(reader)


def _row(reader: _DocumentReader) -> SourceRow | RejectedRow:
    reader.next_character()
    line = reader.line
    _, text = reader.value()
    try:
        compacted = compact(text.encode("utf-8")).encode("utf-8")
        return _element_row(line, orjson.loads(compacted), compacted)
    except (UnicodeEncodeError, orjson.JSONDecodeError) as error:  # what Python reads and JSON does not know
        return RejectedRow(line, f"not JSON: {error}", text.encode("utf-8", "replace").decode("utf-8"))


def _array_rows(reader: _DocumentReader, records: str | None) -> Iterator[SourceRow | RejectedRow]:
    reader.take("[")
    if reader.next_character() == "]":
        reader.take("]")
        return
    while True:
        if records is not None and reader.next_character() == "{":
            yield from _rows_in_object(reader, records)
        else:
            yield _row(reader)
        if reader.take(",]") == "]":
            return


def _rows_in_object(reader: _DocumentReader, records: str) -> Iterator[SourceRow | RejectedRow]:
    """The rows of the list called `records` (dotted: in an object of that name) of the object that comes next."""
    line, has_found = reader.line, False
    first, _, rest = records.partition(".")
    reader.take("{")
    if reader.next_character() != "}":
        while True:
            reader.next_character()
            name, _ = reader.value()
            reader.take(":")
            character = reader.next_character()
            if name == records and character == "[" and not has_found:
                has_found = True
                yield from _array_rows(reader, None)
            elif rest and name == first and character == "{" and not has_found:
                has_found = True
                yield from _rows_in_object(reader, rest)
            else:
                reader.value()
            if reader.take(",}") == "}":
                break
    else:
        reader.take("}")
    if not has_found:
        yield RejectedRow(line, f"has no list {records}", "")


# CSV


def _csv_rows(text: TextIO, path: Path) -> Iterator[SourceRow | RejectedRow]:
    csv.field_size_limit(MAXIMUM_ROW_BYTES)
    lines = iter(text)
    first_line = next(lines, "")
    if not first_line.strip():
        return
    delimiter = "\t" if ".tsv" in path.suffixes else max(",;\t|", key=first_line.count)
    reader = csv.reader(_chained(first_line, lines), delimiter=delimiter)
    header = _column_names(next(reader))
    keys = [orjson.dumps(name).decode("utf-8") + ":" for name in header]
    line = reader.line_num + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise SourceFault(f"line {reader.line_num}: not CSV: {error}") from error
        if cells is None:
            return
        if cells:  # an empty line is no row
            yield _csv_row(line, cells, header, keys, delimiter)
        line = reader.line_num + 1


def _chained(first_line: str, lines: Iterator[str]) -> Iterator[str]:
    yield first_line
    yield from lines


def _csv_row(
    line: int, cells: list[str], header: list[str], keys: list[str], delimiter: str
) -> SourceRow | RejectedRow:
    if len(cells) != len(header):
        reason = f"{len(cells)} cells where the header names {len(header)}"
        return RejectedRow(line, reason, _shown(delimiter.join(cells).encode("utf-8", "replace")))
    values: dict[str, Any] = {}
    pieces: list[str] = []
    try:
        for name, key, cell in zip(header, keys, cells, strict=True):
            if not cell:
                values[name], piece = None, "null"
            elif _JSON_NUMBER.fullmatch(cell):
                values[name] = piece = cell
            else:
                values[name], piece = cell, orjson.dumps(cell).decode("utf-8")
            pieces.append(key + piece)
    except orjson.JSONEncodeError:
        return RejectedRow(line, "not UTF-8", _shown(delimiter.join(cells).encode("utf-8", "replace")))
    return SourceRow(line, values, "{" + ",".join(pieces) + "}")


def _column_names(cells: list[str]) -> list[str]:
    """Names that are there and differ: an empty one is named by its place, the second of a name gets `_2`."""
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        wanted = name = cell.strip().encode("utf-8", "replace").decode("utf-8") or f"column_{place}"
        number = 2
        while name in names:
            name, number = f"{wanted}_{number}", number + 1
        names.append(name)
    return names


# Parquet


def _parquet_rows(stream: io.BufferedReader) -> Iterator[SourceRow | RejectedRow]:
    import pyarrow as arrow  # slow to import, and most files are not Parquet
    from pyarrow import parquet

    try:
        with _seekable(stream) as source, parquet.ParquetFile(source) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
                for values in _readable(batch).to_pylist(maps_as_pydicts="lossy"):
                    number += 1
                    yield SourceRow(number, values, _parquet_text(values))
    except (arrow.ArrowException, OSError) as error:
        raise SourceFault(f"not readable as Parquet: {error}") from error


@contextmanager
def _seekable(stream: io.BufferedReader) -> Iterator[IO[bytes]]:
    """Parquet is read from its end, so a gzipped one is unpacked into a temporary file first."""
    if not isinstance(stream.raw, igzip.GzipFile):
        yield stream
        return
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked)
        unpacked.seek(0)
        yield unpacked


def _readable(batch: Any) -> Any:
    """Nanoseconds do not fit Python's datetime: such columns become ISO texts."""
    import pyarrow as arrow

    arrays = []
    for column in batch.columns:
        if arrow.types.is_timestamp(column.type) and column.type.unit == "ns":
            zone = "Z" if column.type.tz else ""
            texts = column.cast(arrow.timestamp("ns")).cast(arrow.string())
            column = arrow.array(
                [t.as_py() and t.as_py().rstrip("Z").replace(" ", "T") + zone for t in texts], arrow.string()
            )
        arrays.append(column)
    return arrow.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _parquet_text(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values, default=_parquet_value, option=_PARQUET_OPTIONS).decode("utf-8")


def _parquet_value(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(value).decode("ascii")
    if isinstance(value, int):
        return orjson.Fragment(str(value))
    return str(value)


# Fields

MISSING: Any = object()


def find_field(values: object, name: str) -> Any:
    """The value of a field, MISSING without it. A dotted name is a literal key first, then a path into objects."""
    if not isinstance(values, Mapping):
        return MISSING
    if name in values:
        return values[name]
    position = name.find(".")
    while position >= 0:
        inner = values.get(name[:position], MISSING)
        if inner is not MISSING:
            found = find_field(inner, name[position + 1 :])
            if found is not MISSING:
                return found
        position = name.find(".", position + 1)
    return MISSING


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a value")


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
