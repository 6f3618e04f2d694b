"""Raw objects of one partition become Parquet objects: read, typed, sorted by time, written in objects of a good size.

    raw objects -> lines -> columns -> runs in memory, sorted -> one sorted stream -> row groups -> Parquet objects
                              |                 | too many: to disk
                              +-> malformed lines, with object, line and reason -> `_malformed.ndjson.gz`

What is held in memory does not grow with the partition: a run (`RUN_BYTES`) and a row group at most. Rows of one time
stay in the order of their objects' keys and lines. Nothing is believed: an object must have the ETag it was listed with
and be whole, every line must be understood, or the partition stays as it is (`CannotCompact`).
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import gc
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import orjson
import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet
from botocore.exceptions import ClientError
from isal import igzip, isal_zlib

from glue.aws_clients import error_code
from glue.column_type import InvalidColumnType
from glue.compaction_columns import LineReader, MalformedLine, UncertainLine, split_lines
from glue.compaction_manifest import InputObject, OutputObject
from glue.ledger import RowFacts
from glue.table_spec import TableSpec

TARGET_OBJECT_BYTES = 256 << 20
RUN_BYTES = 128 << 20
ROW_GROUP_ROWS = 122_880
ROW_GROUP_BYTES = 64 << 20
MAXIMUM_LINE_BYTES = 16 << 20
MALFORMED_NAME = "_malformed.ndjson.gz"
MALFORMED_SAMPLES = 20
_READ_BYTES = 128 << 10
_PLAIN_BYTES = 1 << 20
_NOT_READ: dict[bytes, str] = {b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4", b"\xff\x06\x00\x00sNaPpY": "snappy"}
_OTHER_EXTENSIONS = frozenset({"bz2", "snappy", "lz4", "lzo", "deflate"})
# isal's stubs call its error an instance
_UNREADABLE: Any = (ValueError, EOFError, OSError, isal_zlib.error)
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class CompactionStore(Protocol):
    """The part of boto3's S3 client that reading and writing needs."""

    def get_object(self, **arguments: Any) -> Any: ...
    def put_object(self, **arguments: Any) -> Any: ...


class CannotCompact(Exception):
    """A partition stays as it is; says why, and which object it is about."""


@dataclass(frozen=True)
class CompactionTask:
    """What is to be written: these objects of a table's partition, into this folder (a key prefix)."""

    spec: TableSpec
    folder: str
    inputs: tuple[InputObject, ...]
    object_name: str = "part-{number:05d}.parquet"
    malformed_name: str = MALFORMED_NAME
    target_object_bytes: int = TARGET_OBJECT_BYTES
    run_bytes: int = RUN_BYTES


@dataclass(frozen=True)
class WrittenPartition:
    """What was written. `facts` are those of the raw objects that were read, by key; `malformed_samples` the first
    malformed lines: object, line, reason.
    """

    outputs: tuple[OutputObject, ...]
    row_count: int
    malformed_count: int
    malformed_samples: tuple[tuple[str, int, str], ...] = ()
    facts: Mapping[str, RowFacts] = field(default_factory=dict)


def write_partition(s3: CompactionStore, task: CompactionTask) -> WrittenPartition:
    """Writes the Parquet objects of a partition, and its malformed lines beside them. Raises CannotCompact.

    Doing it again writes the same rows under the same keys.
    """
    try:
        reader = LineReader(task.spec)
    except InvalidColumnType as error:
        raise CannotCompact(f"{task.spec.reference}: {error}") from None
    with tempfile.TemporaryDirectory(prefix="data-hist-compaction-") as name, _without_collector():
        scratch = Path(name)
        with contextlib.closing(_MalformedLines(scratch / "malformed.gz", task.spec.bucket)) as malformed:
            source = _Inputs(s3, task, reader, malformed, scratch)
            runs = _SortedRuns(reader.schema, task.spec.time_column, scratch, task.run_bytes)
            for table in source.tables():
                runs.add(table)
            writer = _PartWriter(s3, task, scratch, reader.schema)
            with contextlib.closing(writer):
                for table in runs.merged():
                    writer.write(table)
                writer.finish()
        if malformed.count:
            with malformed.path.open("rb") as body:
                s3.put_object(Bucket=task.spec.bucket, Key=task.folder + task.malformed_name, Body=body)
    rows = sum(output.row_count for output in writer.outputs)
    if rows != runs.row_count:
        raise CannotCompact(f"{rows} rows were written of {runs.row_count} that were read")
    return WrittenPartition(tuple(writer.outputs), rows, malformed.count, tuple(malformed.samples), source.facts)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Parsed rows have no cycles: looking for some again and again takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# ---------------------------------------------------------------------------------------------------------- reading


@dataclass
class _Inputs:
    """Reads the objects of a task, one after another. `facts` are known of an object when it has been read."""

    s3: CompactionStore
    task: CompactionTask
    reader: LineReader
    malformed: _MalformedLines
    scratch: Path
    facts: dict[str, RowFacts] = field(default_factory=dict)

    def tables(self) -> Iterator[pyarrow.Table]:
        for found in self.task.inputs:
            with contextlib.closing(_opened(self.s3, self.task.spec.bucket, found)) as body:
                if found.is_parquet:
                    yield from _parquet_tables(body, self.reader.schema, self.scratch)
                else:
                    yield from self._raw_tables(found, body)

    def _raw_tables(self, found: InputObject, body: Any) -> Iterator[pyarrow.Table]:
        number = 1
        rows = malformed = untimed = 0
        times: list[int] = []
        for lines in _lines(body, found):
            try:
                portion = self.reader.read(lines, number)
            except UncertainLine as error:
                raise CannotCompact(f"{found.key}, {error}") from None
            number += len(lines)
            self.malformed.add(found.key, portion.malformed)
            rows += portion.table.num_rows
            malformed += len(portion.malformed)
            untimed += _null_count(portion.table, self.task.spec)
            times += _time_bounds(portion.table, self.task.spec)
            if portion.table.num_rows:
                yield portion.table
        self.facts[found.key] = RowFacts(
            rows,
            malformed_count=malformed,
            blank_count=number - 1 - rows - malformed,
            untimed_count=untimed,
            minimum_createdtimestamp=min(times, default=None),
            maximum_createdtimestamp=max(times, default=None),
        )


def _null_count(table: pyarrow.Table, spec: TableSpec) -> int:
    return int(table[spec.time_column].null_count)


def _time_bounds(table: pyarrow.Table, spec: TableSpec) -> list[int]:
    """The least and the greatest time, where times are whole numbers (ms since 1970) and there is one."""
    column = table[spec.time_column]
    if not pyarrow.types.is_integer(column.type):
        return []
    bounds = pyarrow.compute.min_max(column).as_py()
    return [bound for bound in bounds.values() if bound is not None]


def _opened(s3: CompactionStore, bucket: str, found: InputObject) -> Any:
    try:
        return s3.get_object(Bucket=bucket, Key=found.key, IfMatch=f'"{found.etag}"')["Body"]
    except ClientError as error:
        if error_code(error) in ("NoSuchKey", "404"):
            raise CannotCompact(f"{found.key} is gone since it was listed") from None
        if error_code(error) in ("PreconditionFailed", "412"):
            raise CannotCompact(f"{found.key} has changed since it was listed") from None
        raise


def _lines(body: Any, found: InputObject) -> Iterator[list[bytes]]:
    is_first = True
    try:
        for lines in split_lines(_plain_chunks(body, found.key), maximum_line_bytes=MAXIMUM_LINE_BYTES):
            if is_first:
                lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
                is_first = False
            yield lines
    except _UNREADABLE as error:
        raise CannotCompact(f"{found.key}: {str(error)[:200]}") from None


def _plain_chunks(body: Any, key: str) -> Iterator[bytes]:
    """The plain bytes of an object, by what it begins with. Raises ValueError for one that is not what it is named."""
    head = body.read(_READ_BYTES)
    extension = key.rpartition("/")[2].rpartition(".")[2].lower()
    other = next((name for magic, name in _NOT_READ.items() if head.startswith(magic)), None)
    if other is not None or extension in _OTHER_EXTENSIONS:
        raise ValueError(f"{other or extension} is not read here")
    if head.startswith(_GZIP):
        yield from _inflated(head, body)
    elif extension in ("gz", "gzip", "zst", "zstd") and head and not head.startswith(_ZSTD):
        raise ValueError(f"named .{extension}, and it is not")
    elif head.startswith(_ZSTD):
        yield from _unzstandard(head, body)
    else:
        while head:
            yield head
            head = body.read(_PLAIN_BYTES)


def _inflated(data: bytes, body: Any) -> Iterator[bytes]:
    """The members of a gzip stream one after another; zeros behind the last one are padding (RFC 1952, gzip manual)."""
    while data:
        member = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            if not data:
                data = body.read(_READ_BYTES)
                if not data:
                    raise EOFError("the gzip stream ends early")
            plain = member.decompress(data, _PLAIN_BYTES)  # at most so much of it: a little gzip may be a lot of plain
            data = member.unconsumed_tail
            if plain:
                yield plain
        data = (member.unused_data or body.read(_READ_BYTES)).lstrip(b"\0")
        while not data and (more := body.read(_READ_BYTES)):
            data = more.lstrip(b"\0")


def _unzstandard(head: bytes, body: Any) -> Iterator[bytes]:
    source = pyarrow.PythonFile(_Rejoined(head, body), mode="r")
    with pyarrow.CompressedInputStream(source, "zstd") as stream:
        while chunk := stream.read(_PLAIN_BYTES):
            yield chunk


class _Rejoined:
    """A body whose head was read, as one stream again."""

    closed = False

    def __init__(self, head: bytes, body: Any) -> None:
        self._head, self._body = head, body

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            found: bytes = self._body.read(size if size >= 0 else None)
            return found
        head, self._head = (self._head[:size], self._head[size:]) if size >= 0 else (self._head, b"")
        return head

    def close(self) -> None:
        self.closed = True


def _parquet_tables(body: Any, schema: pyarrow.Schema, scratch: Path) -> Iterator[pyarrow.Table]:
    """The rows of an earlier compaction's object, as the table's columns are now: those it lacks are NULL."""
    copy = scratch / "input.parquet"
    with copy.open("wb") as file:
        shutil.copyfileobj(body, file, _PLAIN_BYTES)
    with pyarrow.parquet.ParquetFile(copy) as opened:
        for batch in opened.iter_batches(batch_size=8192):
            table = pyarrow.Table.from_batches([batch])
            columns = [
                table[column.name].cast(column.type)
                if column.name in table.column_names
                else pyarrow.nulls(table.num_rows, column.type)
                for column in schema
            ]
            yield pyarrow.table(columns, schema=schema)
    copy.unlink()


@dataclass
class _MalformedLines:
    """Malformed lines, kept for redo: a line of JSON with object, line, reason and the row as text (or base64)."""

    path: Path
    bucket: str
    count: int = 0
    samples: list[tuple[str, int, str]] = field(default_factory=list)
    _file: IO[bytes] | None = None

    def add(self, key: str, lines: Sequence[MalformedLine]) -> None:
        for found in lines:
            if self._file is None:
                self._file = igzip.open(self.path, "wb")  # type: ignore[no-untyped-call]  # isal has stubs for a part only
            entry: dict[str, object] = {
                "file": f"s3://{self.bucket}/{key}",
                "line": found.number,
                "reason": found.reason,
            }
            try:
                entry["row"] = found.line.decode("utf-8")
            except UnicodeDecodeError:
                entry["row_base64"] = base64.b64encode(found.line).decode("ascii")
            self._file.write(orjson.dumps(entry) + b"\n")
            self.count += 1
            if len(self.samples) < MALFORMED_SAMPLES:
                self.samples.append((f"s3://{self.bucket}/{key}", found.number, found.reason))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


# ---------------------------------------------------------------------------------------------------------- sorting


class _SortedRuns:
    """Rows in the order of one column: as many as fit are sorted in memory, more become sorted runs on disk."""

    def __init__(self, schema: pyarrow.Schema, column: str, scratch: Path, run_bytes: int) -> None:
        self._schema = schema
        self._column = column if _is_sortable(schema, column) else None
        self._scratch = scratch
        self._run_bytes = run_bytes
        self._waiting: list[pyarrow.Table] = []
        self._waiting_bytes = 0
        self._runs: list[Path] = []
        self.row_count = 0

    def add(self, table: pyarrow.Table) -> None:
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        self.row_count += table.num_rows
        if self._waiting_bytes >= self._run_bytes:
            self._spill()

    def _sorted(self) -> pyarrow.Table:
        table = pyarrow.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        self._waiting, self._waiting_bytes = [], 0
        return _in_order(table, self._column)

    def _spill(self) -> None:
        path = self._scratch / f"run-{len(self._runs):05d}.arrow"
        options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
        with pyarrow.ipc.new_file(path, self._schema, options=options) as file:
            file.write_table(self._sorted(), max_chunksize=8192)
        self._runs.append(path)

    def merged(self) -> Iterator[pyarrow.Table]:
        """All rows in order, in portions."""
        if not self._runs:
            yield self._sorted()
            return
        if self._waiting:
            self._spill()
        with contextlib.ExitStack() as stack:
            sources = [stack.enter_context(pyarrow.memory_map(str(path))) for path in self._runs]
            yield from _merged([_batches(source) for source in sources], self._column)


def _is_sortable(schema: pyarrow.Schema, column: str) -> bool:
    position = schema.get_field_index(column)
    return position >= 0 and not pyarrow.types.is_nested(schema.field(position).type)


def _in_order(table: pyarrow.Table, column: str | None) -> pyarrow.Table:
    if column is None or table.num_rows < 2 or _is_in_order(table[column]):
        return table
    whole = table.combine_chunks()  # taking rows out of many chunks is many times slower
    return whole.take(pyarrow.compute.sort_indices(whole, [(column, "ascending")]))


def _is_in_order(values: pyarrow.ChunkedArray) -> bool:
    if values.null_count:
        return False
    whole = values.combine_chunks()
    ascending = pyarrow.compute.less_equal(whole[:-1], whole[1:])
    return bool(pyarrow.compute.all(ascending).as_py())


def _batches(source: Any) -> Iterator[pyarrow.Table]:
    reader = pyarrow.ipc.open_file(source)
    for position in range(reader.num_record_batches):
        yield pyarrow.Table.from_batches([reader.get_batch(position)])


def _merged(runs: Sequence[Iterator[pyarrow.Table]], column: str | None) -> Iterator[pyarrow.Table]:
    """Merges sorted runs: of the portions at hand, whatever is not above the least of their last values is complete.

    Of equal values those of an earlier run come first. NULLs, which sort last, come when all else has.
    """
    if column is None:
        for run in runs:
            yield from run
        return
    heads: list[pyarrow.Table | None] = [next(run, None) for run in runs]
    while True:
        held = [(number, head) for number, head in enumerate(heads) if head is not None]
        if not held:
            return
        lasts = [head[column][-1].as_py() for _, head in held]
        limits = [last for last in lasts if last is not None]
        taken = []
        for number, head in held:
            count = _count_up_to(head[column], min(limits)) if limits else head.num_rows
            if count:
                taken.append(head.slice(0, count))
            heads[number] = head.slice(count) if count < head.num_rows else next(runs[number], None)
        yield _in_order(pyarrow.concat_tables(taken), column)


def _count_up_to(values: pyarrow.ChunkedArray, limit: Any) -> int:
    """How many leading values of a sorted column are at most this."""
    return int(pyarrow.compute.sum(pyarrow.compute.less_equal(values, limit)).as_py() or 0)


# ---------------------------------------------------------------------------------------------------------- writing


class _PartWriter:
    """Writes sorted rows into Parquet objects of about the target's size; each goes to the store when it is full."""

    def __init__(self, s3: CompactionStore, task: CompactionTask, scratch: Path, schema: pyarrow.Schema) -> None:
        self._s3 = s3
        self._task = task
        self._path = scratch / "part.parquet"
        self._schema = schema
        self._waiting: list[pyarrow.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._part_rows = 0
        self._times: list[int] = []
        self.outputs: list[OutputObject] = []

    def write(self, table: pyarrow.Table) -> None:
        while table.num_rows:
            row_bytes = max(1, table.nbytes // table.num_rows)
            room = min(ROW_GROUP_ROWS - self._waiting_rows, (ROW_GROUP_BYTES - self._waiting_bytes) // row_bytes)
            piece = table.slice(0, max(1, room))
            table = table.slice(piece.num_rows)
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            self._waiting_bytes += piece.num_rows * row_bytes
            if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= ROW_GROUP_BYTES:
                self._write_group()

    def _write_group(self) -> None:
        group = pyarrow.concat_tables(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._writer is None:
            self._writer = _parquet_writer(self._path, self._schema, self._task.spec)
        if group.num_rows:
            self._writer.write_table(group, row_group_size=group.num_rows)
        self._part_rows += group.num_rows
        self._times += _time_bounds(group, self._task.spec)
        if self._path.stat().st_size >= self._task.target_object_bytes:
            self._finish_part()

    def _finish_part(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        key = self._task.folder + self._task.object_name.format(number=len(self.outputs))
        with self._path.open("rb") as body:
            self._s3.put_object(Bucket=self._task.spec.bucket, Key=key, Body=body)
        self.outputs.append(
            OutputObject(
                key,
                self._path.stat().st_size,
                self._part_rows,
                min(self._times, default=None),
                max(self._times, default=None),
            )
        )
        self._part_rows, self._times = 0, []

    def finish(self) -> None:
        """Writes what waits. An empty partition gets one object without rows, so that its folder is not empty."""
        if self._waiting or (self._writer is None and not self.outputs):
            self._waiting = self._waiting or [self._schema.empty_table()]
            self._write_group()
        if self._writer is not None:
            self._finish_part()

    def close(self) -> None:
        """Lets go of an object that was not finished."""
        if self._writer is not None:
            self._writer.close()


def _parquet_writer(path: Path, schema: pyarrow.Schema, spec: TableSpec) -> pyarrow.parquet.ParquetWriter:
    times = [name for name in (spec.time_column, spec.arrival_column) if _is_sortable(schema, name)]
    whole = [name for name in times if pyarrow.types.is_integer(schema.field(name).type)]
    sorting = [pyarrow.parquet.SortingColumn(schema.get_field_index(spec.time_column), nulls_first=False)]
    return pyarrow.parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=_leaf_paths(schema, set(whole)),
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        write_page_index=True,
        sorting_columns=sorting if times else None,
        store_schema=False,
    )


def _leaf_paths(schema: pyarrow.Schema, without: Iterable[str]) -> list[str]:
    """The columns that get a dictionary, by the paths that Parquet knows their values under."""
    return [path for column in schema if column.name not in without for path in _leaves(column.name, column.type)]


def _leaves(path: str, arrow: pyarrow.DataType) -> Iterator[str]:
    if pyarrow.types.is_map(arrow):
        yield from _leaves(f"{path}.key_value.key", arrow.key_type)
        yield from _leaves(f"{path}.key_value.value", arrow.item_type)
    elif pyarrow.types.is_list(arrow):
        yield from _leaves(f"{path}.list.element", arrow.value_type)
    elif pyarrow.types.is_struct(arrow):
        for position in range(arrow.num_fields):
            yield from _leaves(f"{path}.{arrow.field(position).name}", arrow.field(position).type)
    else:
        yield path
