"""Memory and speed of a large result, without HTTP and without a query: 5 million rows x 10 columns of Athena's CSV
are spooled, paged to the last row, and downloaded in all four forms, in a process of its own whose resident memory is
watched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import ROOT, Row, Table, resident_megabytes, versions

ROWS = 5_000_000
LIMIT_MEGABYTES = 500
TYPES = (
    "bigint",
    "double",
    "varchar",
    "timestamp(3)",
    "boolean",
    "varchar",
    "varchar",
    "bigint",
    "varchar",
    "decimal(10,2)",
)


class CsvOf:
    """A result object of so many rows, made while it is read."""

    def __init__(self, row_count: int) -> None:
        self._parts = self._made(row_count)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        while size < 0 or len(self._rest) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._rest += part
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        self._rest = b""

    @staticmethod
    def _made(row_count: int) -> Iterator[bytes]:
        yield b'"a","b","c","d","e","f","g","h","i","j"\n'
        block = b"".join(
            b'"%d","%d.5","user%d","2026-01-01 00:00:00.000","true",,"say ""hi"" %d","%d","push","12.50"\n'
            % (number, number, number % 1000, number, number * 7919)
            for number in range(10_000)
        )
        for _ in range(row_count // 10_000):
            yield block


def spool_memory() -> Table:
    """Peak resident memory while 5 million rows are spooled, paged and downloaded."""
    table = Table(
        "A result of 5 million rows",
        "Resident memory of the process and time, rows made on the fly; pages of 1000 rows.",
        goal=f"under {LIMIT_MEGABYTES} MB all along; last page / first page at most 1.1",
        versions=versions("duckdb", "pyarrow"),
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.spool", str(ROWS), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    for name, value in measured.items():
        unit = "MB" if name.endswith("memory") else "ms" if name in ("first page", "last page") else "s"
        table.rows.append(Row(name, value, unit))
    table.rows.append(Row("spool, rows per second", ROWS / measured["spool"] / 1000, "k rows/s"))
    peak = max(value for name, value in measured.items() if name.endswith("memory"))
    flat = measured["last page"] / measured["first page"]
    table.finding = f"{peak:.0f} MB at most, last / first {flat:.2f}, {ROWS / measured['spool'] / 1000:.0f} k rows/s"
    table.met = peak < LIMIT_MEGABYTES and measured["last page"] <= 1.1 * measured["first page"]
    return table


def _measured(row_count: int, folder: Path) -> dict[str, float]:
    from service.downloads import arrow_chunks, csv_chunks, ndjson_chunks, parquet_chunks
    from service.model import OutputColumn
    from service.pages import page
    from service.process_memory import return_large_buffers
    from service.result_csv import read_batches
    from service.signing_secrets import FixedKeyRing
    from service.spool import Spools
    from service.tokens import TokenSigner
    from service.transcoding import Transcoder

    return_large_buffers()
    columns = [OutputColumn(name, kind) for name, kind in zip("abcdefghij", TYPES, strict=True)]
    spools = Spools(folder)
    signer = TokenSigner(FixedKeyRing(b"k" * 32))
    measured: dict[str, float] = {}

    def source() -> CsvOf:
        return CsvOf(row_count)

    with _Watch(measured, "spool"):
        transcoder = Transcoder(columns)
        with spools.writer("5m") as writer:
            for batch in read_batches(source, len(columns)):
                for rows, ends in transcoder.json_rows(batch):
                    writer.append(rows, ends)
            writer.complete()
    reader = spools.reader("5m")
    if reader is None:
        raise RuntimeError("the spool was written and cannot be read")

    def page_at(token: str | None) -> Any:
        return page(
            reader, signer, query_id="5m", tenant="t", columns=columns, paging_token=token, results_per_page=1000
        )

    milliseconds: list[float] = []
    token: str | None = None
    with _Watch(measured, "all pages"):
        while True:
            started = time.perf_counter()
            token = page_at(token).paging_token
            milliseconds.append((time.perf_counter() - started) * 1000)
            if token is None:
                break
    measured["first page"] = sorted(milliseconds[:100])[50]
    measured["last page"] = sorted(milliseconds[-100:])[50]
    for name, chunks in (
        ("csv", csv_chunks(source)),
        ("ndjson", ndjson_chunks(lambda: reader)),
        ("parquet", parquet_chunks(source, columns, frozenset())),
        ("arrow", arrow_chunks(source, columns, frozenset())),
    ):
        with _Watch(measured, name):
            for _ in chunks:
                pass
    return measured


class _Watch:
    """Notes the seconds of a phase and the peak of resident memory in it."""

    def __init__(self, measured: dict[str, float], name: str) -> None:
        self._measured = measured
        self._name = name
        self._is_over = threading.Event()
        self._peak = 0.0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._started = time.perf_counter()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._measured[self._name] = time.perf_counter() - self._started
        self._is_over.set()
        self._thread.join()
        self._measured[f"{self._name} memory"] = self._peak

    def _look(self) -> None:
        while True:
            self._peak = max(self._peak, resident_megabytes(os.getpid()))
            if self._is_over.wait(0.2):
                return


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]), Path(sys.argv[2]))))
