"""A real server, `data-hist serve`, in a process of its own on a free loopback port, over a lake of its own.

`server` is shared by the tests of a module; `start_server` gives a test its own. The lake of LAKE_ROWS is loaded by the
command line, as a user would: customers 11000 and 11001, services `iam-admin` and `filebeat`, one event per minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.lambda_zip import CannotBuild, Target, build

COMMAND = Path(sys.executable).with_name("data-hist")
LAKE_START = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
LAKE_ROWS = 600
START_SECONDS = 60.0


@dataclass
class Server:
    """A running service. `client` has its URL as base; `logs()` is what it has written to standard error so far."""

    data_dir: Path
    process: subprocess.Popen[bytes]
    log_path: Path
    url: str
    client: httpx.Client

    def logs(self) -> list[dict[str, Any]]:
        """The log, a dictionary for each line; what is not JSON fails the test that asks."""
        return [json.loads(line) for line in self.log_path.read_bytes().splitlines()]

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        """POST below /v0/data_hist."""
        return self.client.post(f"/v0/data_hist{path}", **arguments)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET below /v0/data_hist."""
        return self.client.get(f"/v0/data_hist{path}", **arguments)

    def submit(self, query: str, **members: Any) -> dict[str, Any]:
        """Submits and waits for the end; the execution."""
        answer = self.post("/query", json={"query": query, "wait_seconds": 50, **members})
        assert answer.status_code == 200, answer.text
        execution: dict[str, Any] = answer.json()
        return execution

    def rows(self, query: str, **members: Any) -> list[dict[str, Any]]:
        """Every row of a query's result, read page by page."""
        query_id = self.submit(query, **members)["query_id"]
        rows: list[dict[str, Any]] = []
        body: dict[str, Any] = {"query_id": query_id}
        while True:
            answer = self.post("/next", json=body)
            assert answer.status_code == 200, answer.text
            rows += answer.json()["result_set"]
            if "paging_token" not in answer.json():
                return rows
            body["paging_token"] = answer.json()["paging_token"]

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Stops it and waits; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(60)


def data_hist(*arguments: str, data_dir: Path) -> Any:
    """Runs the command line with --json; the document it prints."""
    done = subprocess.run(
        [COMMAND, *arguments, "--data-dir", str(data_dir), "--json"], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def environment_of(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of the service but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATA_HIST_")}
    return {**inherited, **settings}


@contextlib.contextmanager
def running_server(data_dir: Path, *, host: str = "127.0.0.1", **settings: str) -> Iterator[Server]:
    """A server over `data_dir`, ready; stopped at the end. `settings` are environment variables."""
    log_path = data_dir.with_name(f"{data_dir.name}-{time.monotonic_ns()}.log")
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, "serve", "--host", host, "--port", "0", "--data-dir", str(data_dir)],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment_of(**settings),
            preexec_fn=_hear_interrupts,
        )
    try:
        url = _url_of(process, log_path)
        with httpx.Client(base_url=url, timeout=60) as client:
            assert client.get("/health/ready").status_code == 200
            yield Server(data_dir, process, log_path, url, client)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _hear_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _url_of(process: subprocess.Popen[bytes], log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for line in log_path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "listening":
                    return str(entry["url"])
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"the server did not start:\n{log_path.read_text(encoding='utf-8')}")


@pytest.fixture(scope="session")
def lake_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows that `loaded_lake` holds, as a file of one's own."""
    path = tmp_path_factory.mktemp("rows") / "rows.ndjson"
    with path.open("w", encoding="utf-8") as file:
        for number in range(LAKE_ROWS):
            row = {
                "at": (LAKE_START + timedelta(minutes=number)).isoformat(),
                "service": ("iam-admin", "filebeat")[number % 2],
                "customer": 11000 + number % 3 % 2,
                "number": number,
                "level": "ERROR" if number % 10 == 0 else "INFO",
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="session")
def loaded_lake(tmp_path_factory: pytest.TempPathFactory, lake_file: Path) -> Path:
    """A data directory with LAKE_ROWS events. Not to be changed: copy it, or use `make_lake`."""
    data_dir = tmp_path_factory.mktemp("lake") / "data"
    options = ["--time", "at", "--service", "service", "--customer", "customer"]
    data_hist("load", "events", str(lake_file), *options, data_dir=data_dir)
    return data_dir


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, loaded_lake: Path) -> Iterator[Server]:
    """An open service over a copy of `loaded_lake`, shared by the module."""
    data_dir = copy_of(loaded_lake, tmp_path_factory.mktemp("server"))
    with running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off") as running:
        yield running


@pytest.fixture
def start_server(tmp_path: Path, loaded_lake: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of one's own, by default over a fresh copy of `loaded_lake`."""
    with contextlib.ExitStack() as stack:

        def start(data_dir: Path | None = None, **settings: str) -> Server:
            folder = data_dir if data_dir is not None else copy_of(loaded_lake, tmp_path)
            settings.setdefault("DATA_HIST_REQUEST_EVENTS", "off")
            return stack.enter_context(running_server(folder, **settings))

        yield start


def copy_of(data_dir: Path, into: Path) -> Path:
    """A copy of a data directory: nothing in it knows where it lies."""
    import shutil

    target = into / "data"
    shutil.copytree(data_dir, target)
    return target


@pytest.fixture(scope="session")
def tracker_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracker's zip for this machine's Python: the same builder, other wheels than Lambda's."""
    folder = tmp_path_factory.mktemp("lambda")
    (folder / "wheels").mkdir()
    here = Target(f"{sys.version_info.major}.{sys.version_info.minor}", host_platforms())
    try:
        build(folder / "tracker.zip", here, folder / "wheels")
    except CannotBuild as error:
        if "No matching distribution" in str(error) or "Connection" in str(error):
            pytest.skip(f"wheels cannot be had here: {error}")
        raise
    return folder / "tracker.zip"


def host_platforms() -> tuple[str, ...]:
    from packaging.tags import platform_tags

    return tuple(platform_tags())


@pytest.fixture
def aws_endpoint(tmp_path: Path, loaded_lake: Path) -> Iterator[str]:
    """The URL of `data-hist aws` over a copy of `loaded_lake`."""
    data_dir = copy_of(loaded_lake, tmp_path / "aws")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(COMMAND), "aws", "--port", str(port), "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "data-hist aws does not listen"
                assert process.poll() is None, "data-hist aws has ended"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
