"""Options that several commands share, written once so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="DATA_HIST_DATA_DIR", help="Folder that holds the lake and all that goes with it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, errors too.")]
Url = Annotated[str, typer.Option("--url", envvar="DATA_HIST_URL", help="Where the service is.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar=["DATA_HIST_API_KEY", "DATA_HIST_KEY"],
        show_envvar=True,
        help="API key, if the service wants one.",
    ),
]

DEFAULT_DATA_DIR = Path(".data")
DEFAULT_URL = "http://127.0.0.1:8080"
