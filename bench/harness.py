"""How things are measured here.

One run measures a thing and its peers side by side: the candidates of a comparison take turns, round by round, so that
drift of the machine hits all of them alike; the figure of a candidate is the median of its rounds; what is reported are
ratios of such medians, beside the absolute numbers and the versions. Absolute numbers of this kind of machine drift up
to two times between runs: trust ratios inside one table only.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, its median in `unit`, and the ratio to the baseline of the table."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    note: str = ""


@dataclass
class Table:
    """One benchmark's result.

    goal, finding: in words, what is promised and what was found; met: None where that is not a yes-or-no matter.
    left_out: peers that could not be measured, with the reason.
    """

    title: str
    question: str
    rows: list[Row] = field(default_factory=list)
    goal: str = ""
    finding: str = ""
    met: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def interleaved(candidates: Mapping[str, Callable[[], float]], *, rounds: int = 5) -> dict[str, float]:
    """Median of each candidate's own measurement, candidates taking turns. A first round warms up and is dropped."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, measure in candidates.items():
            value = measure()
            if turn:
                samples[name].append(value)
    return {name: statistics.median(values) for name, values in samples.items()}


def timed(action: Callable[[], Any], *, repeat: int = 1) -> Callable[[], float]:
    """A measurement: mean milliseconds of `action` over `repeat` calls."""

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(repeat):
            action()
        return (time.perf_counter() - started) * 1000 / repeat

    return measure


def versions(*distributions: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(
    command: list[str], *, url: str, environment: Mapping[str, str] | None = None, any_answer: bool = False
) -> Iterator[int]:
    """A server process, ready when `url` answers 200 (or anything); yields its process id and ends it afterwards."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(url, timeout=5).status_code == 200 or any_answer:
                        break
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} did not start to answer {url}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def data_hist(data_dir: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """The service itself on a free port: yields its base URL and process id."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("data-hist")),
        "serve",
        "--port",
        str(port),
        "--data-dir",
        str(data_dir),
    ]
    base = f"http://127.0.0.1:{port}"
    with server(command, url=f"{base}/health/ready", environment=environment) as process_id:
        yield base, process_id


def resident_megabytes(process_id: int) -> float:
    """Resident memory of a process and its children, in MB (Linux)."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(fields["Pid"]) == process_id or int(fields["PPid"]) == process_id:
                total += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    return total
