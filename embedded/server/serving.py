"""The endpoint as a process: gunicorn with one worker and many threads over a data directory.

One process, because the embedded Athena owns a DuckDB instance; threads, because its clients wait. Connections are kept
open, since an SDK's next call comes at once. `import duckdb` starts a thread, which no fork survives: so the services
are imported and made in the worker, and `serve` begins with a fresh interpreter.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # ships no types

from embedded.directory_lock import DirectoryInUse, DirectoryLock
from embedded.server.application import create_app

if TYPE_CHECKING:
    from embedded.athena import Athena
    from embedded.glue_crawlers import Crawl

THREAD_COUNT = 48
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 5


@dataclass(frozen=True)
class DataDirectory:
    """Where the services of one data directory keep their things (the layout is shared with the query service)."""

    path: Path

    @property
    def objects(self) -> Path:
        return self.path / "s3"

    @property
    def catalogue(self) -> Path:
        return self.path / "catalogue.sqlite"

    @property
    def athena(self) -> Path:
        return self.path / "athena.sqlite"

    @property
    def cache(self) -> Path:
        """Objects of a store elsewhere, kept by their ETag."""
        return self.path / "cache"

    @property
    def temporary(self) -> Path:
        return self.path / "tmp"


@dataclass(frozen=True)
class Elsewhere:
    """Services that are not in the data directory: URLs of an S3-compatible store and of a Glue catalogue, or None.

    Their clients are boto3's and take credentials and region as boto3 does.
    """

    s3_endpoint: str | None = None
    glue_endpoint: str | None = None


_HERE = Elsewhere()
CrawlOver = Callable[[Any], "Crawl"]
"""Makes what a crawler of the embedded Glue runs, over an S3 client."""


@dataclass(frozen=True)
class Services:
    """The three services of one data directory. `s3` and `glue` are boto3's clients where they are elsewhere."""

    athena: Athena
    glue: Any
    s3: Any

    @classmethod
    def open(cls, directory: DataDirectory, elsewhere: Elsewhere, crawl_over: CrawlOver | None = None) -> Services:
        """Opens them over a data directory, which is made when absent."""
        # here and not at the top: see the module's docstring
        import boto3

        from embedded.athena import Athena
        from embedded.glue import Glue
        from embedded.remote_store import RemoteStore
        from embedded.s3 import S3

        directory.path.mkdir(parents=True, exist_ok=True)
        directory.temporary.mkdir(exist_ok=True)
        s3: Any
        region = boto3.Session().region_name or "us-east-1"  # a store of one's own seldom has one
        glue: Any
        store: Any
        if elsewhere.s3_endpoint is None:
            s3 = store = S3(directory.objects)
        else:
            s3 = boto3.client("s3", endpoint_url=elsewhere.s3_endpoint, region_name=region)
            store = RemoteStore(s3, directory.cache)
        if elsewhere.glue_endpoint is None:
            glue = Glue(directory.catalogue, crawl=None if crawl_over is None else crawl_over(s3))
        else:
            glue = boto3.client("glue", endpoint_url=elsewhere.glue_endpoint, region_name=region)
        athena = Athena(
            glue=glue,
            s3=store,
            path=directory.athena,
            temporary_directory=directory.temporary,
            lake_root=store.root,
        )
        return cls(athena, glue, s3)

    def close(self) -> None:
        """Stops what runs and lets go of files."""
        self.athena.close()
        self.glue.close()


class _Server(BaseApplication):  # type: ignore[misc]  # untyped base
    def __init__(
        self, directory: DataDirectory, elsewhere: Elsewhere, crawl_over: CrawlOver | None, options: dict[str, Any]
    ) -> None:
        self._directory = directory
        self._elsewhere = elsewhere
        self._crawl_over = crawl_over
        self._services: Services | None = None
        self._options = {**options, "worker_exit": self._close}
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        self._services = Services.open(self._directory, self._elsewhere, self._crawl_over)
        return create_app(athena=self._services.athena, glue=self._services.glue, s3=self._services.s3)

    def _close(self, _server: Any, _worker: Any) -> None:
        if self._services is not None:
            self._services.close()


def serve(
    host: str,
    port: int,
    data_dir: Path,
    *,
    elsewhere: Elsewhere = _HERE,
    thread_count: int = THREAD_COUNT,
    module: str = "embedded.server",
) -> NoReturn:
    """Serves until interrupted, in place of the running program, which does not come back. `module` is run instead."""
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = ["--host", host, "--port", str(port), "--data-dir", str(data_dir), "--threads", str(thread_count)]
    for option, url in (("--s3-endpoint", elsewhere.s3_endpoint), ("--glue-endpoint", elsewhere.glue_endpoint)):
        arguments += [option, url] if url is not None else []
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606  # our own program


def run(
    host: str,
    port: int,
    data_dir: Path,
    thread_count: int,
    elsewhere: Elsewhere = _HERE,
    crawl_over: CrawlOver | None = None,
) -> None:
    """Serves until interrupted, in this process; nothing must have imported duckdb. Port 0 takes a free one.

    Ends the program when another process serves the data directory. The worker inherits the lock.
    """
    try:
        lock = DirectoryLock(data_dir)
    except DirectoryInUse as error:
        sys.stderr.write(f"data-hist: {error}\n")
        raise SystemExit(2) from None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    listener.set_inheritable(True)
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(
        f"Embedded AWS (Athena, Glue, S3) on http://{shown}:{listener.getsockname()[1]}, data in {data_dir}\n"
    )
    sys.stdout.flush()
    options = {
        "bind": [f"fd://{listener.fileno()}"],
        "workers": 1,
        "worker_class": "gthread",
        "threads": thread_count,
        "keepalive": KEEP_ALIVE_SECONDS,
        "timeout": 0,
        "graceful_timeout": GRACE_SECONDS,
        "limit_request_line": 8190,
        "limit_request_field_size": 16380,
        "proc_name": "data-hist-aws",
        "loglevel": "warning",
        "control_socket_disable": True,
    }
    try:
        _Server(DataDirectory(data_dir), elsewhere, crawl_over, options).run()
    finally:
        lock.release()
