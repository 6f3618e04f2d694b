"""What the rows of an object say: its lines counted and their times read, in a stream, in flat memory.

    bytes -> (gunzip) -> lines -> RowFacts

For whoever inspects objects that others wrote (`glue.inspection`). Nothing in an object is fatal: lines that are no
JSON object are counted as malformed, and a gzip stream that breaks off is a `fault` behind the rows before it.

Created times are claimed only for rows that leave no doubt. A row whose time is missing, is no whole number of 64 bits,
or stands there twice (engines differ in which of two they take, and column names have no case) is `untimed`: queries
must look at its partition whatever the times of the others are.
"""

from __future__ import annotations

import io
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any, Protocol

import orjson
from isal import igzip, isal_zlib

from glue.completeness import LATENESS_BUCKETS, MORE
from glue.ledger import RowFacts
from glue.table_spec import TableSpec

CHUNK_BYTES = 256 * 1024
MAXIMUM_LINE_BYTES = 16 * 1024 * 1024
MAXIMUM_CUSTOMERS = 20
_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_FORMATS = (
    (b"PAR1", "Parquet"), (b"Obj\x01", "Avro"), (b"ORC", "ORC"), (b"SEQ", "a Hadoop sequence file"),
    (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy"),
)  # fmt: skip
_GZIP_ERRORS: Any = (zlib.error, isal_zlib.error, igzip.BadGzipFile)  # isal's stubs call its error an instance
_BIGINT = range(-(2**63), 2**63)
_LATENESS_LIMITS = [limit // timedelta(milliseconds=1) for _, limit in LATENESS_BUCKETS]
_LATENESS_NAMES = [*(name for name, _ in LATENESS_BUCKETS), MORE]


class ByteStream(Protocol):
    """Bytes in turn, as boto3's StreamingBody gives them."""

    def read(self, amt: int) -> bytes:
        """At most so many bytes; none at the end."""
        ...


def read_facts(
    stream: ByteStream, spec: TableSpec, *, is_sample: bool = False, between_chunks: Callable[[], None] | None = None
) -> RowFacts:
    """What the rows in a stream of a table's object say.

    With `is_sample` the stream is the beginning of the object: where it breaks off is no fault. `between_chunks` is
    called now and then, to let others work. Raises what reading the stream raises.
    """
    reader = _LineReader(spec)
    beginning = stream.read(CHUNK_BYTES)
    fault = next((f"is {name}, no lines of text" for magic, name in _OTHER_FORMATS if beginning.startswith(magic)), "")
    if not fault:
        source = io.BufferedReader(_Continued(beginning, stream), CHUNK_BYTES)
        chunks = (
            _gunzipped(source) if beginning.startswith(_GZIP_MAGIC) else iter(lambda: source.read(CHUNK_BYTES), b"")
        )
        try:
            for chunk in chunks:
                reader.feed(chunk)
                if between_chunks is not None:
                    between_chunks()
        except EOFError:
            fault = "" if is_sample else "ends in the middle of its gzip stream"
        except _GZIP_ERRORS as error:
            fault = f"its gzip stream is damaged: {error}"
    if not is_sample and not fault:
        reader.end()
    return reader.facts(is_sample=is_sample, fault=fault)


class _Continued(io.RawIOBase):
    """A stream whose beginning has been read."""

    def __init__(self, beginning: bytes, rest: ByteStream) -> None:
        self._beginning, self._rest = beginning, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        portion = self._beginning[: len(buffer)] if self._beginning else self._rest.read(len(buffer))
        self._beginning = self._beginning[len(portion) :]
        buffer[: len(portion)] = portion
        return len(portion)


def _gunzipped(source: IO[bytes]) -> Iterator[bytes]:
    """The content, in chunks of bounded size whatever it was compressed from. Raises EOFError where it breaks off."""
    with igzip.GzipFile(fileobj=source, mode="rb") as file:  # type: ignore[no-untyped-call]  # isal has stubs for a part only
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


@dataclass
class _LineReader:
    spec: TableSpec
    row_count: int = 0
    malformed_count: int = 0
    blank_count: int = 0
    untimed_count: int = 0
    created: tuple[int, int] | None = None
    arrived: tuple[int, int] | None = None
    lateness: Counter[str] = field(default_factory=Counter)
    customers: set[int] = field(default_factory=set)
    _beginning: list[bytes] = field(default_factory=list)  # of a line whose end has not come
    _beginning_bytes: int = 0
    _is_skipping: bool = False

    def feed(self, chunk: bytes) -> None:
        """Reads the lines that are whole."""
        lines = chunk.split(b"\n")
        if len(lines) > 1:
            lines[0] = b"".join(self._beginning) + lines[0]
            self._beginning, self._beginning_bytes = [], 0
            if self._is_skipping:
                del lines[0]  # the end of a line that was too long
                self._is_skipping = False
        rest = lines.pop()
        self._read(lines)
        if self._is_skipping:
            return
        self._beginning.append(rest)
        self._beginning_bytes += len(rest)
        if self._beginning_bytes > MAXIMUM_LINE_BYTES:
            self.malformed_count += 1
            self._is_skipping, self._beginning, self._beginning_bytes = True, [], 0

    def end(self) -> None:
        """Reads the last line, if it has no line end."""
        if self._beginning_bytes:
            self._read([b"".join(self._beginning)])

    def facts(self, *, is_sample: bool, fault: str) -> RowFacts:
        """What the lines say that were read so far."""
        created, arrived = self.created or (None, None), self.arrived or (None, None)
        return RowFacts(
            row_count=self.row_count,
            malformed_count=self.malformed_count,
            blank_count=self.blank_count,
            untimed_count=self.untimed_count,
            minimum_createdtimestamp=created[0],
            maximum_createdtimestamp=created[1],
            minimum_arrivaltimestamp=arrived[0],
            maximum_arrivaltimestamp=arrived[1],
            lateness={name: self.lateness[name] for name in _LATENESS_NAMES if self.lateness[name]},
            customers=tuple(sorted(self.customers)[:MAXIMUM_CUSTOMERS]),
            has_more_customers=len(self.customers) > MAXIMUM_CUSTOMERS,
            is_sample=is_sample,
            fault=fault,
        )

    def _read(self, lines: list[bytes]) -> None:
        loads, spec, customers = orjson.loads, self.spec, self.customers
        time_column, arrival_column, tenant_column = spec.time_column, spec.arrival_column, spec.tenant_column
        quoted = f'"{time_column}"'.encode()
        created_times: list[int] = []
        arrival_times: list[int] = []
        late: Counter[int] = Counter()
        for line in lines:
            try:
                row = loads(line)
            except orjson.JSONDecodeError:
                if line and not line.isspace():
                    self.malformed_count += 1
                else:
                    self.blank_count += 1
                continue
            if type(row) is not dict:
                self.malformed_count += 1
                continue
            self.row_count += 1
            created, arrival, customer = row.get(time_column), row.get(arrival_column), row.get(tenant_column)
            if type(created) is int and created in _BIGINT and line.lower().count(quoted) == 1:
                created_times.append(created)
                if type(arrival) is int and arrival in _BIGINT:
                    arrival_times.append(arrival)
                    late[bisect_left(_LATENESS_LIMITS, arrival - created)] += 1
            else:
                self.untimed_count += 1
            if type(customer) is int and len(customers) <= MAXIMUM_CUSTOMERS:
                customers.add(customer)
        self.created = _widened(self.created, created_times)
        self.arrived = _widened(self.arrived, arrival_times)
        for position, count in late.items():
            self.lateness[_LATENESS_NAMES[position]] += count


def _widened(known: tuple[int, int] | None, times: list[int]) -> tuple[int, int] | None:
    if not times:
        return known
    low, high = min(times), max(times)
    return (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
