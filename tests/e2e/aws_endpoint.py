"""The embedded AWS endpoint for end-to-end tests: in this process over any objects, or as the process users start."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from werkzeug.serving import WSGIRequestHandler, make_server

from embedded.server import create_app

REPOSITORY = Path(__file__).resolve().parents[2]


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def endpoint_over(*, athena: Any = None, glue: Any = None, s3: Any = None) -> Iterator[str]:
    """The URL of an endpoint over the given objects, served by a thread of this process."""
    server = make_server(
        "127.0.0.1", 0, create_app(athena=athena, glue=glue, s3=s3), threaded=True, request_handler=_KeepAlive
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def endpoint_process(data_dir: Path, module: str = "embedded.server") -> Iterator[str]:
    """The URL of an endpoint as users start it, a process of its own on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", "0", "--data-dir", str(data_dir), "--threads", "8"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split(" on ")[1].split(",")[0]
    finally:
        process.terminate()
        exit_code = process.wait(60)
        process.stdout.close()
    assert exit_code == 0


def client(service_name: str, url: str, **config: Any) -> Any:
    """A real boto3 client with made-up credentials."""
    return _session().client(
        service_name, endpoint_url=url, config=Config(retries={"max_attempts": 1, "mode": "standard"}, **config)
    )


@functools.cache
def _session() -> boto3.session.Session:
    """One for all tests: it remembers the service models, which take long to read."""
    return boto3.session.Session(aws_access_key_id="anybody", aws_secret_access_key="anything", region_name="us-east-1")
