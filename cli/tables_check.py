"""`data-hist tables check`: table specs and their examples, read as every part of the service reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.options import AsJson
from cli.output import counted, say, write_json, write_text

if TYPE_CHECKING:
    from glue.table_spec import TableSpec


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of tables; without any the shipped ones and those of DATA_HIST_TABLES_DIR."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check table specs, and hold their examples against them: columns, types, raised fields, partitions.

    Reads files only. Ends with status 2 when something is wrong.
    """
    specs, complaints = _specs(files or [])
    documents = [_document(spec) for spec in specs]
    is_good = not complaints and not any(example["problems"] for table in documents for example in table["examples"])
    if as_json:
        write_json({"is_good": is_good, "problems": complaints, "tables": documents})
        return int(ExitCode.OK if is_good else ExitCode.USAGE)
    for complaint in complaints:
        say(f"wrong: {complaint}")
    for table in documents:
        _write(table)
    return int(ExitCode.OK if is_good else ExitCode.USAGE)


def _specs(files: list[Path]) -> tuple[list[TableSpec], list[str]]:
    """The tables that can be read, and what is wrong with the others."""
    from glue.table_spec import InvalidTableSpec, load_table_file, table_specs_of_environment

    specs: list[TableSpec] = []
    complaints: list[str] = []
    if not files:
        try:
            specs = list(table_specs_of_environment().values())
        except InvalidTableSpec as error:
            complaints = str(error).splitlines()
    for file in files:
        try:
            specs.append(load_table_file(file, file.parent))
        except InvalidTableSpec as error:
            complaints += str(error).splitlines()
    return specs, complaints


def _document(spec: TableSpec) -> dict[str, Any]:
    from glue.spec_examples import check_example, plain

    examples = []
    for example in spec.examples:
        checked = check_example(spec, example)
        raised = {name: plain(value) for name, value in checked.raised.items()}
        examples.append({"partition": checked.partition, "raised": raised, "problems": list(checked.problems)})
    return {
        "table": spec.reference,
        "location": spec.location,
        "columns": len(spec.columns),
        "raised": len(spec.raised),
        "examples": examples,
    }


def _write(table: dict[str, Any]) -> None:
    counts = (
        counted(table["columns"], "column"), counted(table["raised"], "raised field"),
        counted(len(table["examples"]), "example"),
    )  # fmt: skip
    write_text(f"{table['table']}  {table['location']}  {', '.join(counts)}")
    from glue.spec_examples import shown_value

    for number, example in enumerate(table["examples"], start=1):
        values = ", ".join(f"{name} {shown_value(value)}" for name, value in example["raised"].items())
        write_text(f"    example {number}  {example['partition'] or 'no partition'}  {values}".rstrip())
        for problem in example["problems"]:
            say(f"wrong: {table['table']}: example {number}: {problem}")
    if not table["examples"]:
        say(f"{table['table']} has no example: a record that belongs into it shows what is meant, and a test holds it")
