"""`data-hist serve`: the service over a data directory, on this machine."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failure import Failure


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one  [default: 8080]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the lake  [default: .data]")] = None,
) -> int:
    """Serve the lake of a data directory over HTTP, with an embedded Athena.

    All other settings are environment variables (docs/configuration.md); an option wins over its variable.
    """
    from dataclasses import replace

    from api.server import serve as serve_settings
    from api.settings import Settings, SettingsError

    options = (("host", host), ("port", port), ("data_dir", data_dir))
    given: dict[str, Any] = {name: value for name, value in options if value is not None}
    try:
        settings = replace(Settings.from_environment(), **given)
        _require_free(settings.host, settings.port)
        serve_settings(settings, on_listening=_say_what_to_try)
    except SettingsError as error:
        raise Failure(str(error), code="InvalidSettings") from error
    return 0


def _require_free(host: str, port: int) -> None:
    """Ends the command when the address cannot be listened on: a sentence now instead of a log line later."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        hint = "; --port takes another one" if error.errno == errno.EADDRINUSE else ""
        raise Failure(f"cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}{hint}") from error


def _say_what_to_try(url: str) -> None:
    """Three lines to paste, on standard output; the log has standard error to itself."""
    query = "SELECT servicename, count(*) AS events FROM events GROUP BY servicename ORDER BY events DESC"
    body = "curl -s {}/v0/data_hist/{} -H 'Content-Type: application/json' -d '{}'"
    lines = [
        f"Historical Event Viewer Service on {url} (Swagger UI: {url}/v0/ui/). To try:",
        "",
        body.format(url, "query", f'{{"query": "{query}", "retention_minutes": 60}}'),
        f"curl -s '{url}/v0/data_hist/status/QUERY_ID?wait_seconds=10'",
        body.format(url, "next", '{"query_id": "QUERY_ID"}'),
        "",
        "QUERY_ID is in the first answer. Once an API key exists each call needs -H 'X-API-Key: KEY'.",
    ]
    sys.stdout.write("\n" + "\n".join(lines) + "\n\n")
    sys.stdout.flush()
