"""The application for a process manager: `gunicorn 'api.asgi:application()' -k uvicorn_worker.UvicornWorker`.

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
from api.settings import Settings

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing is bound here: it stands for "may be reached by anybody"


def application() -> Any:
    """The ASGI application, configured by the environment. Raises SettingsError while no key exists."""
    settings = replace(Settings.from_environment(), host=ANY_ADDRESS)
    log = json_log(sys.stderr.buffer, settings.log_level)
    return application_of(open_world(settings, log, patience_seconds=settings.shutdown_seconds + 5), log)
