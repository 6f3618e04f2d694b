"""The application for a process manager: `gunicorn 'api.asgi:application()' -k uvicorn_worker.UvicornWorker`.

It cannot see which address the manager binds, so it wants an API key to exist, whatever the address.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from api.composition import build_embedded
from api.logs import json_log, route_library_logs
from api.server import application_of, require_safe_address
from api.settings import Settings, unknown_settings

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing is bound here: it stands for "may be reached by anybody"


def application() -> Any:
    """The ASGI application, configured by the environment. Raises SettingsError while no key exists."""
    settings = Settings.from_environment()
    log = json_log(sys.stderr.buffer, settings.log_level)
    route_library_logs(log, settings.log_level)
    for sentence in unknown_settings(os.environ):
        log.warning("unknown setting", detail=sentence)
    world = build_embedded(settings.data_dir, settings)
    require_safe_address(replace(settings, host=ANY_ADDRESS), world)
    return application_of(world, log)
