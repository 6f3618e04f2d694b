"""Memory of the running service while a result of 5 million rows is made, spooled, paged and downloaded over HTTP.

The resident memory of the server (and of processes it starts) is looked at every 50 ms. Results must flow through it:
what a page, a download or the spool needs does not grow with the result. The same with a tenth of the rows shows
whether it does.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.harness import Row, Table, data_hist, resident_megabytes, versions
from bench.http import MILLION_ROWS

ROWS = 5_000_000
LIMIT_MEGABYTES = 500
_PAUSE_SECONDS = 0.05


class Watch:
    """Peaks of a process's resident memory by phase, in MB."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self.peaks: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Watches while its block runs."""
        self.peaks[name] = resident_megabytes(self._process_id)
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(_PAUSE_SECONDS):
                self.peaks[name] = max(self.peaks[name], resident_megabytes(self._process_id))

        thread = threading.Thread(target=look)
        thread.start()
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started
            is_over.set()
            thread.join()


def large_result(rows: int = ROWS) -> Table:
    """Peak memory of the service by phase."""
    table = Table(
        "Memory with a large result",
        f"{rows:,} rows x 10 columns made by SQL (so DuckDB's share is in it), spooled while they come, then"
        " the first, middle and last"
        " page, the whole in pages of 1000, and whole downloads; resident memory of the server process, looked at every"
        " 50 ms. Ratio: over the idle service.",
        goal=f"under {LIMIT_MEGABYTES} MB over the idle service",
        versions=versions("duckdb", "pyarrow", "connexion"),
    )
    peaks_by_size: dict[int, dict[str, float]] = {}
    for size in (rows // 10, rows):
        with (
            tempfile.TemporaryDirectory() as folder,
            data_hist(Path(folder)) as (base, process_id),
            httpx.Client(base_url=base, timeout=300) as client,
        ):
            watch = Watch(process_id)
            _warm_up(client)
            with watch.phase("idle"):
                time.sleep(1)
            _use(client, watch, size)
            peaks_by_size[size] = watch.peaks
            if size == rows:
                seconds = watch.seconds
    idle = peaks_by_size[rows]["idle"]
    for name, peak in peaks_by_size[rows].items():
        small = peaks_by_size[rows // 10][name]
        note = "" if name == "idle" else f"{seconds[name]:.1f} s; {rows // 10:,} rows: {small:.0f} MB"
        table.rows.append(Row(name, peak, "MB", peak / idle, note))
    peak = max(peaks_by_size[rows].values())
    table.rows.append(Row("highest over idle", peak - idle, "MB", note="all phases"))
    table.finding = f"{peak - idle:.0f} MB over the idle service's {idle:.0f} MB, {peak:.0f} MB in all"
    table.met = peak - idle < LIMIT_MEGABYTES
    return table


def _warm_up(client: httpx.Client) -> None:
    answer = client.post("/v0/data_hist/query", json={"query": "SELECT 1", "retention_minutes": 5, "wait_seconds": 20})
    query_id = answer.raise_for_status().json()["query_id"]
    client.post("/v0/data_hist/next", json={"query_id": query_id, "results_per_page": 10}).raise_for_status()


def _use(client: httpx.Client, watch: Watch, rows: int) -> None:
    sql = MILLION_ROWS.format(outer=rows // 10_000 - 1)
    with watch.phase("query and spool"):
        answer = client.post("/v0/data_hist/query", json={"query": sql, "retention_minutes": 60, "wait_seconds": 50})
        query_id = str(answer.raise_for_status().json()["query_id"])
        while True:
            status = client.get(f"/v0/data_hist/status/{query_id}", params={"wait_seconds": 50}).json()
            if status["status"] == "FAILED":
                raise RuntimeError(status)
            if status["statistics"].get("result_bytes") is not None:
                break
            time.sleep(0.1)
    body = {"query_id": query_id, "results_per_page": 1000}
    with watch.phase("all pages"):
        token, count = None, 0
        while True:
            page = client.post("/v0/data_hist/next", json=body | ({"paging_token": token} if token else {}))
            content = page.raise_for_status().content
            count += 1
            # the token stands at the end of a page; parsing 10,000 cells of each page would measure the client
            tail = content[-2000:]
            start = tail.find(b'"paging_token":"')
            if start < 0:
                break
            token = tail[start + 16 :].split(b'"', 1)[0].decode()
    if count != rows // 1000:
        raise RuntimeError(f"{count} pages instead of {rows // 1000}")
    for form in ("ndjson", "csv", "parquet", "arrow"):
        with (
            watch.phase(f"download {form}"),
            client.stream("GET", f"/v0/data_hist/download/{query_id}", params={"format": form}) as answer,
        ):
            answer.raise_for_status()
            for _ in answer.iter_raw():
                pass
