"""The application for a process manager: `gunicorn 'api.asgi:application()' --worker-class api.worker.Worker`.

It cannot see which address the manager binds, so it wants an API key to exist, whatever the address. One worker: the
embedded engine uses all cores by itself, and a data directory is served by one process. A worker that takes over from
another (a reload) waits for that one to end. With DATA_HIST_STORE=dynamodb each worker is a replica: as many as there
are cores, each with a folder of its own in the data directory, the first that is free.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from api.aws_region import respect_aws_region
from api.composition import World
from api.logs import Log, json_log
from api.server import application_of, open_world
from api.settings import Settings, SettingsError
from api.worker import Worker
from embedded.directory_lock import DirectoryInUse

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing is bound here: it stands for "may be reached by anybody"

MAXIMUM_WORKERS = 64


def application() -> Any:
    """The ASGI application, configured by the environment.

    Raises SettingsError while no key exists, and for trusted peers under a worker that would let others pass for them.
    """
    respect_aws_region()
    settings = replace(Settings.from_environment(), host=ANY_ADDRESS)
    if settings.trusted_peers and not Worker.is_serving:
        raise SettingsError(
            "DATA_HIST_TRUSTED_PEERS needs `gunicorn --worker-class api.worker.Worker`: another worker may rewrite the"
            " address of a peer from headers that anybody can send"
        )
    log = json_log(sys.stderr.buffer, settings.log_level)
    if settings.store == "dynamodb":
        return application_of(_open_replica(settings, log), log)
    return application_of(open_world(settings, log, patience_seconds=settings.shutdown_seconds + 5), log)


def _open_replica(settings: Settings, log: Log) -> World:
    """The world of one worker of several. Raises SettingsError as open_world, and when there are too many."""
    for number in range(1, MAXIMUM_WORKERS + 1):
        try:
            return open_world(replace(settings, data_dir=settings.data_dir / f"worker-{number}"), log)
        except SettingsError as error:
            if not isinstance(error.__cause__, DirectoryInUse):
                raise
    raise SettingsError(f"{MAXIMUM_WORKERS} workers serve {settings.data_dir} already, which is all there may be")
