"""Saves the good rows of a damaged file: everything readable of it, a line at a time, into a clean copy.

Damage that is met and named: a line that is not JSON, a value of the wrong type, an array or a scalar where an object
should be, bytes that are not UTF-8, NUL bytes, a line longer than 16 MB, a gzip stream that ends early, is corrupt, or
has something else behind it.
"""

from __future__ import annotations

import bz2
import codecs
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import orjson

from embedded.athena_executions import MAXIMUM_MALFORMED_SAMPLES
from embedded.serde.json_lines import MAXIMUM_LINE_BYTES
from embedded.serde.json_strict import has_row
from embedded.serde.json_values import misfit
from embedded.serde.reader import DataColumn, ReadableFile

DATA_ERRORS = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.IOException,
    duckdb.SerializationException,
)
"""What DuckDB raises when a file does not hold what it should."""

_CHUNK_BYTES = 1 << 20
_MAXIMUM_CORRECTIONS = 1000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be read: its line counted from 1 (0: the object as a whole) and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Salvage:
    """What became of a file. `bad` holds the first hundred bad rows; `lines` the original line of each good row."""

    copy: Path
    good_count: int
    bad_count: int
    bad: list[BadRow] = field(default_factory=list)

    def confirmed(self, read: Callable[[str], None]) -> Salvage:
        """The same after the reader itself had a look at the copy: rows it refuses are taken out too.

        They are found by halving: the reader's own line numbers are approximate, or missing.
        """
        lines = self.copy.read_bytes().split(b"\n")[: self.good_count]
        part = self.copy.with_name(self.copy.name + ".part")
        refused: dict[int, str] = {}
        pending = [(0, len(lines))]
        try:
            while pending and len(refused) <= _MAXIMUM_CORRECTIONS:
                start, end = pending.pop()
                is_whole = end - start == len(lines)
                if not is_whole:
                    part.write_bytes(b"\n".join(lines[start:end]) + b"\n")
                try:
                    read(str(self.copy if is_whole else part))
                except DATA_ERRORS as error:
                    if end - start == 1:
                        refused[start + 1] = str(error)
                    else:
                        middle = (start + end) // 2
                        pending += [(middle, end), (start, middle)]
        finally:
            part.unlink(missing_ok=True)
        if pending:
            return self._given_up("too many rows that the reader refuses")
        return self._without(refused) if refused else self

    def _without(self, refused: Mapping[int, str]) -> Salvage:
        """The same without these lines of the copy, each with what the reader said of it."""
        lines = self.copy.read_bytes().split(b"\n")
        numbers = _numbers_path(self.copy).read_text().split()
        bad = [BadRow(int(numbers[line - 1]), _said(reason)) for line, reason in refused.items()]
        for line in sorted(refused, reverse=True):
            del lines[line - 1], numbers[line - 1]
        self.copy.write_bytes(b"\n".join(lines))
        _numbers_path(self.copy).write_text("\n".join(numbers))
        bad = sorted([*self.bad, *bad], key=lambda row: row.line)[:MAXIMUM_MALFORMED_SAMPLES]
        good_count, bad_count = self.good_count - len(refused), self.bad_count + len(refused)
        return replace(self, good_count=good_count, bad_count=bad_count, bad=bad)

    def _given_up(self, reason: str) -> Salvage:
        bad = [BadRow(0, reason.splitlines()[0][:300]), *self.bad][:MAXIMUM_MALFORMED_SAMPLES]
        return replace(self, good_count=0, bad_count=self.bad_count + self.good_count, bad=bad)


def _said(error: str) -> str:
    """The reader's words without its place in the copy."""
    place = r'^.*?in file "[^"]*", (at byte \d+ )?in (line|record/value) \d+: '
    return re.sub(place, "", error.splitlines()[0])[:300]


def _numbers_path(copy: Path) -> Path:
    return copy.with_name(copy.name + ".lines")


def salvage_json(source: ReadableFile, copy: Path, column_of: Callable[[str], DataColumn | None]) -> Salvage:
    """Copies the good rows of a file of JSON lines. column_of: the column whose value stands under a JSON key."""
    bad: list[BadRow] = []
    bad_count = good_count = 0
    with copy.open("wb") as out, _numbers_path(copy).open("w") as numbers:
        for number, raw_line, damage in _lines(source):
            line = raw_line.removeprefix(codecs.BOM_UTF8) if number == 1 else raw_line
            if not damage and not line.strip():
                continue
            reason = damage or _reason_against(line, column_of)
            if reason is None:
                out.write(line.rstrip(b"\r\n"))
                out.write(b"\n")
                numbers.write(f"{number}\n")
                good_count += 1
                continue
            bad_count += 1
            if len(bad) < MAXIMUM_MALFORMED_SAMPLES:
                bad.append(BadRow(number, reason))
    return Salvage(copy, good_count, bad_count, bad)


def _reason_against(line: bytes, column_of: Callable[[str], DataColumn | None]) -> str | None:
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if b"\0" in line:
            return "NUL byte in the row"
        try:
            line, value = _loosely(line)
        except (ValueError, RecursionError):
            return f"not JSON: {str(error)[:200]}"
    if not isinstance(value, dict):
        kind = "array" if isinstance(value, list) else "scalar"
        return f"a JSON {kind} where an object should be"
    for key, item in value.items():
        column = column_of(key)
        reason = misfit(item, column.type) if column is not None else None
        if reason is not None:
            return f"column {key.lower()}: {reason}"
    return _repeated_key(line, value, column_of)


def _loosely(line: bytes) -> tuple[bytes, Any]:
    """What DuckDB's reader takes beside JSON: a comma before a closing bracket, NaN and infinities, numbers beyond a
    double. The line as JSON, and its value. Raises ValueError, RecursionError.
    """
    text = _TOKEN_OR_COMMA.sub(lambda match: match[1] or "", line.decode("utf-8"))
    value = json.loads(text)
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    return text.encode(), value


_TOKEN_OR_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


class _Members(list[tuple[str, Any]]):
    """The members of an object in order; a key may stand twice."""

    def repeated(self) -> str | None:
        """The first key that stands twice."""
        seen: set[str] = set()
        for key, _ in self:
            if key in seen:
                return key
            seen.add(key)
        return None


def _repeated_key(line: bytes, value: Any, column_of: Callable[[str], DataColumn | None]) -> str | None:
    """The reader takes no object in which a declared key stands twice; a parser that keeps the last one can't tell."""
    try:
        if orjson.dumps(value) == line.strip():
            return None
    except TypeError:  # a whole number beyond 64 bits
        pass
    members: _Members = json.loads(line, object_pairs_hook=_Members)
    key = _Members(pair for pair in members if column_of(pair[0]) is not None).repeated()
    for name, item in members:
        column = column_of(name)
        if key is None and column is not None and has_row(column.type):
            key = _repeated_inside(item)
    return None if key is None else f"duplicate key {key[:60]!r}"


def _repeated_inside(value: Any) -> str | None:
    if isinstance(value, _Members):
        inside = (_repeated_inside(item) for _, item in value)
        return value.repeated() or next((key for key in inside if key is not None), None)
    if isinstance(value, list):
        return next((key for key in map(_repeated_inside, value) if key is not None), None)
    return None


def _lines(source: ReadableFile) -> Iterator[tuple[int, bytes, str | None]]:
    """(number from 1, line, damage). A damaged stream ends with one more row that tells of the damage."""
    number = 0
    rest = b""
    skipping = False
    damage: str | None = None
    for chunk, damage in _chunks(source):  # noqa: B007 - the damage of the last chunk is what counts
        pieces = (rest + chunk).split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            number += 1
            if skipping or len(piece) > MAXIMUM_LINE_BYTES:
                skipping = False
                yield number, b"", f"a row longer than {MAXIMUM_LINE_BYTES} bytes"
            else:
                yield number, piece, None
        if len(rest) > MAXIMUM_LINE_BYTES:
            skipping, rest = True, b""
    if skipping:
        yield number + 1, b"", f"a row longer than {MAXIMUM_LINE_BYTES} bytes"
    elif damage is not None and damage != _GARBAGE:
        yield number + 1, rest, damage
        return
    elif rest.strip():
        yield number + 1, rest, None
    if damage is not None:
        yield 0, b"", damage


_GARBAGE = "something else behind the gzip data"


def _chunks(source: ReadableFile) -> Iterator[tuple[bytes, str | None]]:
    """The plain bytes of a file, and, once, how it is damaged."""
    if source.compression == "gzip":
        yield from _gzip_chunks(source.path)
        return
    if source.compression == "zstd":
        yield from _zstd_chunks(source.path)
        return
    with Path(source.path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk, None


def _gzip_chunks(path: str) -> Iterator[tuple[bytes, str | None]]:
    with Path(path).open("rb") as stream:
        member = zlib.decompressobj(wbits=31)
        members = 0
        data = stream.read(_CHUNK_BYTES)
        while True:
            try:
                plain = member.decompress(data)
            except zlib.error as error:
                is_next = members > 0 and "header" in str(error)
                yield b"", _GARBAGE if is_next else f"corrupt gzip data: {error}"
                return
            if plain:
                yield plain, None
            if member.eof:
                members += 1
                data = member.unused_data.lstrip(b"\0") or stream.read(_CHUNK_BYTES).lstrip(b"\0")
                if not data:
                    return
                member = zlib.decompressobj(wbits=31)
                continue
            data = stream.read(_CHUNK_BYTES)
            if not data:
                yield member.flush(), "the gzip stream ends early"
                return


def _zstd_chunks(path: str) -> Iterator[tuple[bytes, str | None]]:
    import pyarrow

    try:
        with pyarrow.input_stream(path, compression="zstd") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk, None
    except OSError as error:
        yield b"", f"corrupt zstd data: {str(error)[:100]}"


def repair_text(source: ReadableFile, copy: Path) -> tuple[int, list[BadRow]]:
    """Copies a text file as UTF-8 lines: bytes that are none become U+FFFD, as Hive shows them, NUL bytes go.

    Returns how many lines could not be copied, and which.
    """
    bad: list[BadRow] = []
    with copy.open("wb") as out:
        for number, line, damage in _lines(source):
            if damage is None or line:
                out.write(line.decode("utf-8", "replace").replace("\0", "").encode() + b"\n")
            if damage is not None:
                bad.append(BadRow(number, damage))
    return len(bad), bad


def unpack(path: str, compression: str, copy: Path) -> None:
    """Writes the plain bytes of a file in a format that DuckDB can't open, as far as they can be read."""
    if compression == "bzip2":
        with bz2.open(path, "rb") as stream, copy.open("wb") as out:
            try:
                shutil.copyfileobj(stream, out, _CHUNK_BYTES)
            except (OSError, EOFError):
                return
        return
    import pyarrow

    with copy.open("wb") as out:
        try:
            with pyarrow.input_stream(path, compression=compression) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    out.write(chunk)
        except OSError:
            return
