"""Writes docs/data-dictionary.md from the shipped table specs: `python -m tests.project.data_dictionary`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glue.table_spec import TableSpec, load_table_specs

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "data-dictionary.md"


def document() -> str:
    """The whole document."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Data dictionary"
    yield ""
    yield "The columns of the shipped tables, written from `glue/tables/` by `python -m tests.project.data_dictionary`;"
    yield "a test holds the two equal. `GET /v0/data_hist/tables`, `data-hist tables show TABLE` and `DESCRIBE` tell"
    yield "the same. Tables of one's own: [tables.md](tables.md)."
    for spec in load_table_specs().values():
        yield from _table(spec)


def _table(spec: TableSpec) -> Iterator[str]:
    raised = {field.name: ", ".join(f"`{path}`" for path in field.paths) for field in spec.raised}
    keys = {key.name for key in spec.partition_keys}
    yield ""
    yield f"## {spec.database}.{spec.name}"
    yield ""
    yield f"{spec.description} A record may lie {spec.allowed_lateness_minutes} minutes late."
    yield ""
    yield "| column | type | meaning | |"
    yield "|---|---|---|---|"
    for column in spec.all_columns:
        note = "partition key" if column.name in keys else ""
        if column.name in raised:
            note = f"raised from {raised[column.name]}"
        yield f"| `{column.name}` | `{column.type}` | {column.description} | {note} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document() + "\n", encoding="utf-8")
