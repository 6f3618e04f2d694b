"""The worker class for gunicorn: uvicorn as `data-hist serve` runs it.

    gunicorn 'api.asgi:application()' --worker-class api.worker.Worker

uvicorn_worker's own class lets any peer on loopback say who it is (`--forwarded-allow-ips`), before our own rule about
trusted peers is asked, and bounds no request's head.
"""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from api.http_protocol import BoundedProtocol


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn_worker has no type hints
    """See the module. `is_serving` is known to api.asgi."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "auto",
        "http": BoundedProtocol,
        "ws": "none",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
    }
    is_serving = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Worker.is_serving = True
        super().__init__(*args, **kwargs)
