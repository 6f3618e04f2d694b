"""Where a command's words go: data to standard output, everything said about it to standard error.

With `--json` standard output is one JSON document and nothing else. rich is loaded only when there is a table to draw.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
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
    """A table on standard output. `columns` are (heading, is it a number); cells are plain text, no markup.

    On a terminal that is too narrow to keep short cells whole, each row is a block of `heading  cell` lines instead.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [tuple(row) for row in rows]
    width = None if sys.stdout.isatty() else 10_000  # into a file or a pipe nothing is folded
    console = Console(file=sys.stdout, width=width, highlight=False)
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, (name, _) in enumerate(columns)]
    least = sum(min(each, _FOLDED_WIDTH) + 3 for each in widths)
    if cells and least > console.width:
        _write_blocks([name for name, _ in columns], cells)
        return
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False
    )
    for (heading, is_number), each in zip(columns, widths, strict=True):
        is_short = each <= _FOLDED_WIDTH
        table.add_column(
            Text(heading),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=is_short,
            min_width=min(each, _FOLDED_WIDTH),
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    sys.stdout.flush()


_FOLDED_WIDTH = 30  # cells up to this many characters are never folded


def _write_blocks(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    longest = max(map(len, headings))
    for number, row in enumerate(rows, start=1):
        write_text(f"-- row {number}")
        for heading, cell in zip(headings, row, strict=True):
            write_text(f"{heading.ljust(longest)}  {cell}")


def shown_bytes(size_bytes: int | float) -> str:
    """`11.0 MB`: decimal units, as prices and Athena's own numbers are."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def shown_time(moment: datetime | None) -> str:
    """`2026-11-22T10:00:00Z`: as times over HTTP, to the second; `-` for none."""
    return "-" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,900 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
