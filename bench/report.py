"""Where results go: results.json for machines, results.md with every table, and the overview in docs/benchmarks.md.

A run of some benchmarks replaces only their tables; each table keeps when, on what and under what load it was measured.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import ROOT, Row, Table

RESULTS = ROOT / "bench" / "results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- overview: written by bench.report -->", "<!-- end of overview -->"
_VERDICTS = {True: "met", False: "**not met**", None: ""}


def machine() -> dict[str, Any]:
    """What the numbers depend on, without naming the machine."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cpu_count": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "load_average": round(os.getloadavg()[0], 2),
    }


def keep(name: str, table: Table, seconds: float, before: dict[str, Any], order: Iterable[str]) -> None:
    """Keeps one benchmark's table, and writes all pages anew. `before`: the machine as it was when it began."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "results.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    known[name] = {"measured_at": measured_at, "seconds": round(seconds), "machine": before, **asdict(table)}
    known = {name: known[name] for name in order if name in known}
    path.write_text(json.dumps(known, indent=1) + "\n")
    pages = [f"{markdown(_table(entry))}\n{_when(entry)}\n" for entry in known.values()]
    (RESULTS / "results.md").write_text("# Results of `make bench`\n\n" + "\n".join(pages))
    _write_overview(known)


def _write_overview(known: dict[str, Any]) -> None:
    if not DOCUMENT.exists():
        return
    text = DOCUMENT.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RuntimeError(f"{DOCUMENT} has no place for the overview")
    lines = ["| benchmark | goal | measured | |", "|---|---|---|---|"]
    for name, entry in known.items():
        lines.append(f"| `{name}` | {entry['goal']} | {entry['finding']} | {_VERDICTS[entry['met']]} |")
    DOCUMENT.write_text(before + _BEGIN + "\n" + "\n".join(lines) + "\n" + _END + after)


def markdown(table: Table) -> str:
    """A table as people read it."""
    lines = [f"## {table.title}", "", table.question, ""]
    if table.goal:
        verdict = _VERDICTS[table.met]
        lines += [f"Goal: {table.goal}.", "", f"Found: {table.finding}{': ' + verdict if verdict else ''}.", ""]
    lines += ["| what | median | ratio | note |", "|---|---:|---:|---|"]
    for row in table.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        lines.append(f"| {row.name} | {row.value:.4g} {row.unit} | {ratio} | {row.note} |")
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in table.versions.items()) + "."]
    lines += [f"Left out: {name}: {reason}." for name, reason in table.left_out.items()]
    return "\n".join([*lines, ""])


def _when(entry: dict[str, Any]) -> str:
    on = entry["machine"]
    return (
        f"Measured {entry['measured_at']} in {entry['seconds']} s on {on['cpu_count']} x {on['cpu']},"
        f" {on['system']}, load {on['load_average']} when it began.\n"
    )


def _table(entry: dict[str, Any]) -> Table:
    members = {name: value for name, value in entry.items() if name not in ("measured_at", "seconds", "machine")}
    return Table(**{**members, "rows": [Row(**row) for row in entry["rows"]]})


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
