"""A real Trino server on a free loopback port, for the tests that ask one: `make trino-judge TRINO_HOME=...`.

TRINO_HOME is an unpacked `trino-server-<version>` (Maven Central: io.trino:trino-server:<version>:tar.gz), JAVA_HOME a
Java that it runs on (476: 24 or newer). Configuration and data lie in a temporary folder; catalogs: memory, tpch, and
what tests create (catalog.management=dynamic).

    python -m tests.judge.trino_process TRINO_HOME COMMAND ...    runs COMMAND with DATA_HIST_TEST_TRINO_URL set
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_START_SECONDS = 180


def _files(folder: Path, port: int) -> dict[str, str]:
    return {
        "node.properties": f"node.environment=judge\nnode.id=judge\nnode.data-dir={folder / 'data'}\n",
        "config.properties": (
            f"coordinator=true\nnode-scheduler.include-coordinator=true\nhttp-server.http.port={port}\n"
            f"discovery.uri=http://127.0.0.1:{port}\ncatalog.management=dynamic\nquery.max-memory=600MB\n"
            "query.max-memory-per-node=500MB\nmemory.heap-headroom-per-node=200MB\n"
        ),
        "jvm.config": "-server\n-Xmx1500M\n-XX:+UseG1GC\n-XX:+ExitOnOutOfMemoryError\n",
        "log.properties": "io.trino=WARN\n",
        "catalog/memory.properties": "connector.name=memory\n",
        "catalog/tpch.properties": "connector.name=tpch\n",
    }


@contextmanager
def trino_process(home: Path) -> Iterator[str]:
    """The URL of a server that is ready; it is ended afterwards. Raises RuntimeError when it does not start."""
    with tempfile.TemporaryDirectory(prefix="trino-judge-") as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        for file_name, text in _files(folder, port).items():
            path = folder / "etc" / file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        probe.close()
        java_home = os.environ.get("JAVA_HOME", "")
        search = f"{java_home}/bin{os.pathsep}{os.environ['PATH']}" if java_home else os.environ["PATH"]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [str(home / "bin" / "launcher"), "run", f"--etc-dir={folder / 'etc'}"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": search},
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/v1/info", timeout=2).json()["starting"] is False:
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.5)
    raise RuntimeError(f"Trino does not start:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")


def main(arguments: list[str]) -> int:
    """Runs a command beside a server; its exit code."""
    with trino_process(Path(arguments[0]).expanduser()) as url:
        return subprocess.run(
            arguments[1:], env={**os.environ, "DATA_HIST_TEST_TRINO_URL": url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
