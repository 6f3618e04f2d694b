"""The application for a process manager: `gunicorn 'api.asgi:application()' --worker-class api.worker.Worker`.

It cannot see which address the manager binds, so it wants an API key to exist, whatever the address. One worker: the
embedded engine uses all cores by itself, and a data directory is served by one process. A worker that takes over from
another (a reload) waits for that one to end.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from api.logs import json_log
from api.server import application_of, open_world
from api.settings import Settings, SettingsError
from api.worker import Worker

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing is bound here: it stands for "may be reached by anybody"


def application() -> Any:
    """The ASGI application, configured by the environment.

    Raises SettingsError while no key exists, and for trusted peers under a worker that would let others pass for them.
    """
    settings = replace(Settings.from_environment(), host=ANY_ADDRESS)
    if settings.trusted_peers and not Worker.is_serving:
        raise SettingsError(
            "DATA_HIST_TRUSTED_PEERS needs `gunicorn --worker-class api.worker.Worker`: another worker may rewrite the"
            " address of a peer from headers that anybody can send"
        )
    log = json_log(sys.stderr.buffer, settings.log_level)
    return application_of(open_world(settings, log, patience_seconds=settings.shutdown_seconds + 5), log)
