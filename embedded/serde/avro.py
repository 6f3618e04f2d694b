"""Avro object container files: read into Arrow tables, written from them.

Source: Apache Avro specification 1.11: object container files, binary encoding, logical types date, timestamp-millis,
timestamp-micros and decimal. Codecs: null, deflate, bzip2, xz, zstandard; snappy through Arrow.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow

MAGIC = b"Obj\x01"
_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Avro's local instants have no zone, neither have ours

_Read = Callable[[io.BytesIO], Any]


def _long(stream: io.BytesIO) -> int:
    shift = value = 0
    while True:
        byte = stream.read(1)
        if not byte:
            raise ValueError("the Avro data ends early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7
        if shift > 70:
            raise ValueError("an Avro number that is none")


def _bytes(stream: io.BytesIO) -> bytes:
    length = _long(stream)
    content = stream.read(length) if length >= 0 else b""
    if length < 0 or len(content) != length:
        raise ValueError("the Avro data ends early")
    return content


def _string(stream: io.BytesIO) -> str:
    return _bytes(stream).decode("utf-8", "replace")


def _blocks(stream: io.BytesIO) -> Iterator[int]:
    """The counts of the blocks of an array or map."""
    while True:
        count = _long(stream)
        if count == 0:
            return
        if count < 0:
            count = -count
            _long(stream)
        yield count


def _reader(schema: Any, names: dict[str, _Read]) -> _Read:
    """A function that reads one value of a schema."""
    if isinstance(schema, list):
        branches = [_reader(branch, names) for branch in schema]

        def union(stream: io.BytesIO) -> Any:
            index = _long(stream)
            if not 0 <= index < len(branches):
                raise ValueError("an Avro union branch that does not exist")
            return branches[index](stream)

        return union
    if isinstance(schema, str):
        return _named_reader(schema, names)
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _reader(kind, names)
    logical = schema.get("logicalType")
    if logical is not None:
        found = _logical_reader(schema, kind, logical)
        if found is not None:
            return found
    if kind == "record":
        return _record_reader(schema, names)
    if kind == "array":
        item = _reader(schema["items"], names)
        return lambda stream: [item(stream) for count in _blocks(stream) for _ in range(count)]
    if kind == "map":
        value = _reader(schema["values"], names)
        return lambda stream: [(_string(stream), value(stream)) for count in _blocks(stream) for _ in range(count)]
    if kind == "enum":
        symbols = schema["symbols"]
        names[schema["name"]] = lambda stream: symbols[_long(stream)]
        return names[schema["name"]]
    if kind == "fixed":
        size = schema["size"]
        names[schema["name"]] = lambda stream: stream.read(size)
        return names[schema["name"]]
    return _named_reader(kind, names)


def _named_reader(name: str, names: Mapping[str, _Read]) -> _Read:
    simple: dict[str, _Read] = {
        "null": lambda _stream: None,
        "boolean": lambda stream: stream.read(1) == b"\x01",
        "int": _long,
        "long": _long,
        "float": lambda stream: struct.unpack("<f", stream.read(4))[0],
        "double": lambda stream: struct.unpack("<d", stream.read(8))[0],
        "bytes": _bytes,
        "string": _string,
    }
    if name in simple:
        return simple[name]
    short = name.rpartition(".")[2]
    return lambda stream: names[name if name in names else short](stream)


def _logical_reader(schema: Mapping[str, Any], kind: str, logical: str) -> _Read | None:
    if logical == "date":
        return lambda stream: _EPOCH_DAY + timedelta(days=_long(stream))
    if logical.endswith("timestamp-millis"):
        return lambda stream: _EPOCH + timedelta(milliseconds=_long(stream))
    if logical.endswith("timestamp-micros"):
        return lambda stream: _EPOCH + timedelta(microseconds=_long(stream))
    if logical == "decimal":
        scale = schema.get("scale", 0)
        size = schema.get("size")

        def decimal(stream: io.BytesIO) -> Decimal:
            content = stream.read(size) if kind == "fixed" else _bytes(stream)
            return Decimal(int.from_bytes(content, "big", signed=True)).scaleb(-scale)

        return decimal
    return None


def _record_reader(schema: Mapping[str, Any], names: dict[str, _Read]) -> _Read:
    fields: list[tuple[str, _Read]] = []

    def record(stream: io.BytesIO) -> dict[str, Any]:
        return {name: read(stream) for name, read in fields}

    names[schema["name"].rpartition(".")[2]] = record
    namespace = schema.get("namespace")
    if namespace:
        names[f"{namespace}.{schema['name']}"] = record
    fields += [(field["name"].lower(), _reader(field["type"], names)) for field in schema["fields"]]
    return record


def _arrow_type(schema: Any, names: dict[str, Any]) -> pyarrow.DataType:
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        return _arrow_type(branches[0], names) if branches else pyarrow.null()
    if isinstance(schema, str):
        if schema in names:
            return _arrow_type(names[schema], names)
        return {
            "null": pyarrow.null(),
            "boolean": pyarrow.bool_(),
            "int": pyarrow.int32(),
            "long": pyarrow.int64(),
            "float": pyarrow.float32(),
            "double": pyarrow.float64(),
            "bytes": pyarrow.binary(),
        }.get(schema, pyarrow.string())
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _arrow_type(kind, names)
    logical = schema.get("logicalType", "")
    if logical == "date":
        return pyarrow.date32()
    if logical.endswith(("timestamp-millis", "timestamp-micros")):
        return pyarrow.timestamp("us")
    if logical == "decimal":
        return pyarrow.decimal128(schema["precision"], schema.get("scale", 0))
    if "name" in schema:
        names[schema["name"]] = schema
    if kind == "record":
        return pyarrow.struct(
            [(field["name"].lower(), _arrow_type(field["type"], names)) for field in schema["fields"]]
        )
    if kind == "array":
        return pyarrow.list_(_arrow_type(schema["items"], names))
    if kind == "map":
        return pyarrow.map_(pyarrow.string(), _arrow_type(schema["values"], names))
    if kind == "fixed":
        return pyarrow.binary()
    return _arrow_type(kind, names) if kind != "enum" else pyarrow.string()


def _unpacked(content: bytes, codec: str) -> bytes:
    if codec in ("", "null"):
        return content
    if codec == "deflate":
        return zlib.decompress(content, wbits=-15)
    if codec == "bzip2":
        return bz2.decompress(content)
    if codec == "xz":
        return lzma.decompress(content)
    if codec == "zstandard":
        with pyarrow.input_stream(pyarrow.BufferReader(content), compression="zstd") as stream:
            return bytes(stream.read())
    if codec == "snappy":
        size, shift = 0, 0
        for byte in content:  # raw snappy begins with the plain length, as a varint; four bytes of CRC end the block
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return bytes(pyarrow.decompress(content[:-4], decompressed_size=size, codec="snappy", asbytes=True))
    raise ValueError(f"Avro codec {codec} is not read")


def avro_table(content: bytes) -> pyarrow.Table:
    """The rows of an object container. Raises ValueError for what is none."""
    stream = io.BytesIO(content)
    if stream.read(4) != MAGIC:
        raise ValueError("not an Avro object container")
    try:
        header = {_string(stream): _bytes(stream) for count in _blocks(stream) for _ in range(count)}
        schema = json.loads(header["avro.schema"])
        mark = stream.read(16)
        codec = header.get("avro.codec", b"null").decode()
        read = _reader(schema, {})
        rows = []
        while stream.tell() < len(content):
            count = _long(stream)
            block = io.BytesIO(_unpacked(_bytes(stream), codec))
            rows += [read(block) for _ in range(count)]
            if stream.read(16) != mark:
                raise ValueError("an Avro block without its mark")
        return pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(list(_arrow_type(schema, {}))))
    except (KeyError, IndexError, TypeError, OverflowError, struct.error, zlib.error, OSError, RecursionError) as error:
        raise ValueError(f"not a readable Avro file: {error}") from error
    except pyarrow.ArrowException as error:
        raise ValueError(f"an Avro file of unexpected types: {error}") from error


# ------------------------------------------------------------------------------------------------------- writing


def _schema_of(arrow_type: pyarrow.DataType, name: str) -> Any:
    """The nullable Avro schema of an Arrow type."""
    return ["null", _plain_schema_of(arrow_type, name)]


def _plain_schema_of(arrow_type: pyarrow.DataType, name: str) -> Any:
    types = pyarrow.types
    if types.is_boolean(arrow_type):
        return "boolean"
    if types.is_int64(arrow_type) or types.is_uint32(arrow_type):
        return "long"
    if types.is_integer(arrow_type):
        return "int"
    if types.is_float32(arrow_type):
        return "float"
    if types.is_floating(arrow_type):
        return "double"
    if types.is_decimal(arrow_type):
        return {
            "type": "bytes",
            "logicalType": "decimal",
            "precision": arrow_type.precision,
            "scale": arrow_type.scale,
        }
    if types.is_date(arrow_type):
        return {"type": "int", "logicalType": "date"}
    if types.is_timestamp(arrow_type):
        return {"type": "long", "logicalType": "timestamp-millis"}
    if types.is_binary(arrow_type):
        return "bytes"
    if types.is_map(arrow_type):
        return {"type": "map", "values": _schema_of(arrow_type.item_type, f"{name}_value")}
    if types.is_list(arrow_type):
        return {"type": "array", "items": _schema_of(arrow_type.value_type, f"{name}_item")}
    if types.is_struct(arrow_type):
        fields = [{"name": f.name, "type": _schema_of(f.type, f"{name}_{f.name}"), "default": None} for f in arrow_type]
        return {"type": "record", "name": name, "fields": fields}
    return "string"


def _write_long(out: bytearray, value: int) -> None:
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_bytes(out: bytearray, content: bytes) -> None:
    _write_long(out, len(content))
    out += content


def _write(out: bytearray, value: Any, schema: Any) -> None:
    if isinstance(schema, list):
        _write_long(out, 0 if value is None else 1)
        if value is not None:
            _write(out, value, schema[1])
        return
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    if logical == "decimal":
        number = int(value.scaleb(schema["scale"]))
        _write_bytes(out, number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True))
    elif logical == "date":
        _write_long(out, (value - _EPOCH_DAY).days)
    elif logical == "timestamp-millis":
        instant = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        _write_long(out, (instant - _EPOCH) // timedelta(milliseconds=1))
    elif kind == "boolean":
        out.append(1 if value else 0)
    elif kind in ("int", "long"):
        _write_long(out, int(value))
    elif kind in ("float", "double"):
        out += struct.pack("<f" if kind == "float" else "<d", value)
    elif kind in ("string", "bytes"):
        _write_bytes(out, value.encode() if isinstance(value, str) else bytes(value))
    elif kind == "array":
        _write_items(out, value, lambda item: _write(out, item, schema["items"]))
    elif kind == "map":
        pairs = list(value.items() if isinstance(value, dict) else value)

        def pair(item: Any) -> None:
            _write_bytes(out, str(item[0]).encode())
            _write(out, item[1], schema["values"])

        _write_items(out, pairs, pair)
    else:
        for field in schema["fields"]:
            _write(out, value.get(field["name"]), field["type"])


def _write_items(out: bytearray, items: Any, write: Callable[[Any], None]) -> None:
    if items:
        _write_long(out, len(items))
        for item in items:
            write(item)
    out.append(0)


def write_avro(batches: Iterator[pyarrow.RecordBatch], schema: pyarrow.Schema, codec: str) -> Iterator[bytes]:
    """The pieces of an object container. codec: 'null', 'deflate', 'bzip2', 'xz'."""
    record = _plain_schema_of(pyarrow.struct(list(schema)), "root")
    mark = os.urandom(16)
    head = bytearray(MAGIC)
    _write_long(head, 2)
    for name, content in (("avro.schema", json.dumps(record).encode()), ("avro.codec", codec.encode())):
        _write_bytes(head, name.encode())
        _write_bytes(head, content)
    head.append(0)
    yield bytes(head) + mark
    for batch in batches:
        body = bytearray()
        for row in batch.to_pylist():
            _write(body, row, record)
        packed = _packed(bytes(body), codec)
        block = bytearray()
        _write_long(block, batch.num_rows)
        _write_bytes(block, packed)
        yield bytes(block) + mark


def _packed(content: bytes, codec: str) -> bytes:
    if codec == "deflate":
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        return packer.compress(content) + packer.flush()
    if codec == "bzip2":
        return bz2.compress(content)
    if codec == "xz":
        return lzma.compress(content)
    return content
