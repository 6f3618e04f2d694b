"""`data-hist tables`: what there is to query, with its data dictionary and how fresh it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import shown_bytes, write_json, write_table, write_text

app = typer.Typer(help="What there is to query.", invoke_without_command=True)


@app.callback()
def listing(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """List the tables, with how fresh they are."""
    if context.invoked_subcommand is not None:
        context.obj = {"data_dir": data_dir, "as_json": as_json}
        return 0
    documents = _documents(data_dir)
    if as_json:
        write_json({"tables": documents})
        return 0
    columns = [
        ("table", False), ("location", False), ("partitions", True), ("objects", True), ("size", True),
        ("newest partition", False), ("last arrival", False),
    ]  # fmt: skip
    write_table(columns, [_row(document) for document in documents])
    return 0


@app.command()
def show(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Show one table: where it lies, its columns and their meaning, how fresh it is."""
    given = context.obj or {}
    if data_dir == DEFAULT_DATA_DIR:  # `tables --data-dir D show T` means the same
        data_dir = given.get("data_dir", data_dir)
    (document,) = _documents(data_dir, table)
    if as_json or given.get("as_json", False):
        write_json(document)
        return 0
    write_text(f"{document['database']}.{document['name']}: {document['description']}")
    write_text(f"location  {document['location']}")
    for name, value in document["freshness"].items():
        shown = shown_bytes(value) if name == "size_bytes" else f"{value:,}" if isinstance(value, int) else value
        write_text(f"{name.replace('_', ' ')}  {shown}")
    rows = [
        (
            c["name"],
            c["type"],
            _mark(c),
            c["description"],
        )
        for c in document["columns"]
    ]
    write_table([("column", False), ("type", False), ("", False), ("meaning", False)], rows)
    return 0


def _documents(data_dir: Path, table: str | None = None) -> list[dict[str, Any]]:
    """The tables in the contract's own shape (GET /v0/data_hist/tables)."""
    from api.rendering import table_document
    from cli.lake import now, open_lake
    from service.tables import table_description

    with open_lake(data_dir) as lake:
        specs = list(lake.tables.values()) if table is None else [lake.table(table)]
        return [table_document(table_description(spec, lake.ledger, now())) for spec in specs]


def _mark(column: Mapping[str, Any]) -> str:
    if column["is_partition_key"]:
        return "partition key"
    if not column["is_allowed"]:
        return "not in queries"
    return f"raised from {', '.join(column['raised_from'])}" if "raised_from" in column else ""


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    from glue.table_spec import reference_of

    freshness = document["freshness"]
    return (
        reference_of(document["name"], document["database"]),
        document["location"],
        f"{freshness['partition_count']:,}",
        f"{freshness['object_count']:,}",
        shown_bytes(freshness["size_bytes"]),
        freshness.get("last_partition", "-"),
        freshness.get("last_arrival_at", "-"),
    )
