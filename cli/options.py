"""Options that several commands share, written once so that they read the same everywhere."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.failure import Failure

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


def key_of(option: str | None) -> str | None:
    """The API key to send: the option's (or its variable's), else what is in the file DATA_HIST_API_KEY_FILE names.

    Ends the command when that file cannot be read.
    """
    path = os.environ.get("DATA_HIST_API_KEY_FILE", "")
    if option or not path:
        return option
    try:
        return Path(path).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"DATA_HIST_API_KEY_FILE={path} cannot be read: {error}") from error


_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def duration(text: str, option: str) -> timedelta:
    """What `90d`, `12h`, `30m`, `45s` or `0` means. Ends the command for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})([dhms])", text.strip())
    if match is None and text.strip() != "0":
        raise Failure(f"{option} {text!r} is not a time such as 90d, 12h, 30m or 45s")
    return timedelta() if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
