"""`data-hist serve`: the service over a data directory, on this machine."""

from __future__ import annotations

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
        serve_settings(replace(Settings.from_environment(), **given))
    except SettingsError as error:
        raise Failure(str(error), code="InvalidSettings") from error
    return 0
