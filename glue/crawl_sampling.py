"""What a crawler reads of an object, and what it takes it for: compression, format, schema.

Read are the first MB of an object's content, as long as that holds no whole value up to 10 MB (JSON), 1,000 rows or
1 MB (CSV), the footer (Parquet). Source: re:Post, "How does the AWS Glue crawler detect the schema?", and the guide's
"Built-in classifiers". Formats that are recognised and not read here: ORC and Avro (their columns are not predicted).
"""

from __future__ import annotations

import bz2
import io
import zlib
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from glue.column_type import ColumnType
from glue.schema_inference import STRING, Column, CsvShape, Schema, csv_schema, json_schema

Format = Literal["json", "csv", "parquet", "orc", "avro", "unknown"]

STEP_BYTES = 1_048_576
LIMIT_BYTES = 10 * STEP_BYTES
_FIRST_READ_BYTES = STEP_BYTES
_PARQUET, _ORC, _AVRO = b"PAR1", b"ORC", b"Obj\x01"


class SamplingClient(Protocol):
    """The part of boto3's S3 client that is used here."""

    def get_object(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Sample:
    """What an object was taken for. `read_bytes` were fetched; `csv` tells how CSV is written."""

    format: Format
    compression: str  # "none", "gzip", "bzip2"
    schema: Schema
    read_bytes: int
    csv: CsvShape | None = None

    @property
    def kind(self) -> tuple[str, str, str]:
        """What objects of one table have in common: format, compression, how CSV is written."""
        return self.format, self.compression, "" if self.csv is None else self.csv.delimiter


_NO_SCHEMA = Schema(())


def sample(s3_client: SamplingClient, bucket: str, key: str, size_bytes: int) -> Sample:
    """What a crawler takes an object for. Never raises for what is in it."""
    source = _Object(s3_client, bucket, key, size_bytes)
    head = source.head(_FIRST_READ_BYTES)
    if head[:4] == _PARQUET:
        return Sample("parquet", "none", _parquet_schema(source), source.read_bytes)
    for magic, name in ((_ORC, "orc"), (_AVRO, "avro")):
        if head.startswith(magic):
            return Sample(name, "none", _NO_SCHEMA, source.read_bytes)  # type: ignore[arg-type]  # names of Format
    compression = "gzip" if head[:2] == b"\x1f\x8b" else "bzip2" if head[:3] == b"BZh" else "none"
    for limit_bytes in range(STEP_BYTES, LIMIT_BYTES + 1, STEP_BYTES):
        text, is_whole = _content(source, compression, limit_bytes)
        begin = text.lstrip()[:1]
        schema = json_schema(text, is_whole=is_whole) if begin in (b"{", b"[") else None
        if schema is not None:
            return Sample("json", compression, schema, source.read_bytes)
        if is_whole or begin not in (b"", b"{", b"["):
            break
    text, is_whole = _content(source, compression, STEP_BYTES)
    try:
        table = csv_schema(text.decode("utf-8", "strict" if is_whole else "ignore"), is_whole=is_whole)
    except UnicodeDecodeError:
        table = None
    if table is not None:
        return Sample("csv", compression, table[0], source.read_bytes, table[1])
    return Sample("unknown", compression, _NO_SCHEMA, source.read_bytes)


class _Object:
    """Bytes of an object by their place; counts what was fetched."""

    def __init__(self, s3_client: SamplingClient, bucket: str, key: str, size_bytes: int) -> None:
        self._s3, self._bucket, self._key = s3_client, bucket, key
        self.size_bytes = size_bytes
        self.read_bytes = 0
        self._head = b""

    def head(self, length: int) -> bytes:
        """The first bytes; what was fetched before is not fetched again."""
        missing = min(length, self.size_bytes) - len(self._head)
        if missing > 0:
            self._head += self.read(len(self._head), missing)
        return self._head[:length]

    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start` on."""
        if length <= 0 or start >= self.size_bytes:
            return b""
        answer = self._s3.get_object(
            Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{min(start + length, self.size_bytes) - 1}"
        )
        body = answer["Body"]
        try:
            content: bytes = body.read()
        finally:
            body.close()
        self.read_bytes += len(content)
        return content


def _content(source: _Object, compression: str, limit_bytes: int) -> tuple[bytes, bool]:
    """The first bytes of the content, decompressed, and whether that is all of it."""
    stored = source.head(limit_bytes)
    is_all = len(stored) >= source.size_bytes
    if compression == "none":
        return stored, is_all
    text, is_ended = _gunzipped(stored, limit_bytes) if compression == "gzip" else _bunzipped(stored, limit_bytes)
    return text, is_all and is_ended


def _gunzipped(stored: bytes, limit_bytes: int) -> tuple[bytes, bool]:
    """The content of gzip members one after another, as far as they go."""
    text = b""
    rest = stored
    while rest and len(text) < limit_bytes:
        reader = zlib.decompressobj(wbits=31)
        try:
            text += reader.decompress(rest, limit_bytes - len(text))
        except zlib.error:
            return text, False
        if not reader.eof:
            return text, False
        rest = reader.unused_data
    return text, not rest


def _bunzipped(stored: bytes, limit_bytes: int) -> tuple[bytes, bool]:
    reader = bz2.BZ2Decompressor()
    try:
        text = reader.decompress(stored, limit_bytes)
    except (OSError, EOFError):
        return b"", False
    return text, reader.eof and not reader.unused_data


class _RangedFile(io.RawIOBase):
    """An object as a file that Parquet's reader can seek in."""

    def __init__(self, source: _Object) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = self._source.read(self._at, len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


_ARROW_TYPES = {
    "bool": "boolean", "int8": "tinyint", "int16": "smallint", "int32": "int", "int64": "bigint", "uint8": "smallint",
    "uint16": "int", "uint32": "bigint", "halffloat": "float", "float": "float", "double": "double", "string": "string",
    "large_string": "string", "binary": "binary", "large_binary": "binary", "date32[day]": "date",
}  # fmt: skip


def _parquet_schema(source: _Object) -> Schema:
    import pyarrow  # takes long, and few crawls need it
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.ParquetFile(_RangedFile(source))
    except (pyarrow.ArrowException, OSError):
        return _NO_SCHEMA
    columns = (Column(field.name.lower(), _arrow_type(field.type)) for field in metadata.schema_arrow)
    return Schema(tuple(columns), metadata.metadata.num_rows)


def _arrow_type(found: Any) -> ColumnType:
    import pyarrow.types

    text = str(found)
    if text in _ARROW_TYPES:
        return ColumnType(_ARROW_TYPES[text])
    if pyarrow.types.is_timestamp(found):
        return ColumnType("timestamp")
    if pyarrow.types.is_decimal(found):
        return ColumnType("decimal", (found.precision, found.scale))
    if pyarrow.types.is_map(found):
        return ColumnType("map", items=(_arrow_type(found.key_type), _arrow_type(found.item_type)))
    if pyarrow.types.is_list(found) or pyarrow.types.is_large_list(found):
        return ColumnType("array", items=(_arrow_type(found.value_type),))
    if pyarrow.types.is_struct(found):
        fields = [found.field(at) for at in range(found.num_fields)]
        items = tuple(_arrow_type(field.type) for field in fields)
        return ColumnType("struct", items=items, fields=tuple(field.name.lower() for field in fields))
    return STRING
