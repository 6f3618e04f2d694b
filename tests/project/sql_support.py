"""Writes the function lists of docs/sql-support.md from the code: `python -m tests.project.sql_support`.

A test holds document and code equal. `trino_functions.txt` is Trino's own list, so that what is missing is named.
"""

from __future__ import annotations

import re
from pathlib import Path

from embedded.sql.functions import registry

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "sql-support.md"
BEGIN, END = "<!-- functions: written by tests/project/sql_support.py -->", "<!-- end of functions -->"
#: Grammar rather than functions: the parser knows them.
_GRAMMAR = frozenset(
    [
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "extract",
        "normalize",
        "trim",
        "try_cast",
        "nullif",
    ]
)


def trino_functions() -> set[str]:
    lines = (Path(__file__).parent / "trino_functions.txt").read_text(encoding="utf-8").splitlines()
    return {name for line in lines if not line.startswith("#") for name in line.split()}


def lists() -> str:
    by_kind = registry.names_by_kind()
    known = {name for names in by_kind.values() for name in names}
    trino = trino_functions()
    missing = trino - known - _GRAMMAR
    spatial = {name for name in missing if name.startswith(("st_", "bing_", "geometry_", "spatial_"))}
    rows = [
        (f"{kind}: yes", {name for name in names if re.fullmatch(r"[a-z]\w*", name)}) for kind, names in by_kind.items()
    ]
    rows.append(("by grammar: yes", set(_GRAMMAR)))
    rows.append(("no: geospatial", spatial))
    rows.append(("no: others", missing - spatial))
    lines = [BEGIN, "", "| | functions |", "|---|---|"]
    lines += [
        f"| {title} ({len(names)}) | {' '.join(f'`{name}`' for name in sorted(names))} |" for title, names in rows
    ]
    return "\n".join([*lines, "", END])


def written(document: str) -> str:
    before, _, rest = document.partition(BEGIN)
    return before + lists() + rest.partition(END)[2]


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
