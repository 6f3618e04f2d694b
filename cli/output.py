"""Where a command's words go: data to standard output, everything said about it to standard error.

With `--json` standard output is one JSON document and nothing else. rich is loaded only when there is a table to draw.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

_JSON_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def write_json(document: Any) -> None:
    """One JSON document on standard output."""
    write_bytes(orjson.dumps(document, default=str, option=_JSON_OPTIONS))


def write_text(text: str) -> None:
    """A line on standard output."""
    write_bytes(text.encode("utf-8", "replace") + b"\n")


def write_bytes(content: bytes) -> None:
    """Bytes on standard output."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def write_table(
    columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """A table on standard output. `columns` are (heading, is it a number); cells are plain text, no markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading, is_number in columns:
        table.add_column(Text(heading), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = None if sys.stdout.isatty() else 10_000  # into a file or a pipe nothing is folded
    Console(file=sys.stdout, width=width, highlight=False).print(table)
    sys.stdout.flush()


def shown_bytes(size_bytes: int | float) -> str:
    """`11.0 MB`: decimal units, as prices and Athena's own numbers are."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,900 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
