"""`data-hist tables plan|diff|apply`: the catalogue beside the table specs, and made to follow them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import ExitCode
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, write_json, write_text

if TYPE_CHECKING:
    from cli.lake import Lake
    from glue.catalogue_plan import AppliedTable, CatalogueChange, TablePlan
    from glue.table_spec import TableSpec

Tables = Annotated[list[str] | None, typer.Argument(help="Only these tables.", metavar="[TABLE]...")]
_WORDS = {"create": "is created", "update": "is updated", "replace": "is made anew", "none": "is as its spec says"}


def plan(tables: Tables = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Show what `tables apply` would do to the catalogue. Changes nothing.

    Ends with status 6 when there is something to do, 0 when there is nothing.
    """
    plans = _plans(data_dir, tables)
    if as_json:
        write_json(_plans_document(plans))
    else:
        for table in plans:
            _write_plan(table)
        _say_summary(plans)
    return _status(plans)


def diff(tables: Tables = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Show the specs against the catalogue, also what others put there. Changes nothing.

    `+` is in the spec only, `-` in the catalogue only, `~` differs. Ends with status 6 when the specs differ from the
    catalogue, 0 when they do not: what others put there is no difference.
    """
    plans = _plans(data_dir, tables)
    if as_json:
        write_json(_plans_document(plans))
        return _status(plans)
    for table in plans:
        if table.is_empty and not table.kept:
            continue
        write_text(f"--- catalogue  {table.reference}")
        write_text(f"+++ spec       {table.reference}")
        for change in table.changes:
            write_text(_line(change, indent=0))
        for change in table.kept:
            write_text(f"  {change.part} {change.name}  {change.before}  (not ours; kept)".rstrip())
    if all(table.is_empty for table in plans):
        say("the catalogue is as the specs say")
    return _status(plans)


def apply(
    tables: Tables = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    allow_breaking: Annotated[
        bool, typer.Option("--allow-breaking", help="Do also what breaks something; `plan` says what.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make the catalogue say what the table specs say: databases, tables, columns, comments, partitions.

    Adds and widens; what would break something is left and told, unless --allow-breaking. What others put on a table
    stays. Doing it twice equals doing it once, and an apply that was interrupted is finished by the next.
    """
    from cli.lake import open_lake
    from glue.catalogue_plan import apply_table

    with open_lake(data_dir, is_bootstrapped=False) as lake:
        specs = _specs(lake, tables)
        outcomes = [apply_table(lake.glue, spec, allow_breaking=allow_breaking) for spec in specs]
    if as_json:
        write_json({"tables": [outcome.to_json() for outcome in outcomes]})
    else:
        for outcome in outcomes:
            _write_outcome(outcome)
    if any(outcome.failed for outcome in outcomes):
        return int(ExitCode.PARTLY)
    return int(ExitCode.DIFFERS if any(outcome.left for outcome in outcomes) else ExitCode.OK)


def _plans(data_dir: Path, tables: Sequence[str] | None) -> list[TablePlan]:
    from cli.lake import open_lake
    from glue.catalogue_plan import plan_table

    with open_lake(data_dir, is_bootstrapped=False) as lake:
        return [plan_table(lake.glue, spec) for spec in _specs(lake, tables)]


def _specs(lake: Lake, tables: Sequence[str] | None) -> list[TableSpec]:
    return [lake.table(name) for name in tables] if tables else list(lake.tables.values())


def _plans_document(plans: Sequence[TablePlan]) -> dict[str, object]:
    return {
        "has_changes": any(not table.is_empty for table in plans),
        "has_breaking": any(table.breaking for table in plans),
        "tables": [table.to_json() for table in plans],
    }


def _status(plans: Sequence[TablePlan]) -> int:
    return int(ExitCode.OK if all(table.is_empty for table in plans) else ExitCode.DIFFERS)


def _write_plan(table: TablePlan) -> None:
    if table.is_empty:
        return
    write_text(f"{table.reference}  {_WORDS[table.action].replace('is ', 'to be ', 1)}")
    for change in table.changes:
        _write_change(change)
    if table.kept:
        write_text(f"    kept, as others put it there: {', '.join(f'{c.part} {c.name}' for c in table.kept)}")


def _write_change(change: CatalogueChange) -> None:
    write_text(_line(change, indent=4))
    if change.breaks:
        write_text(f"{'':8}breaks: {change.breaks}")


def _line(change: CatalogueChange, *, indent: int) -> str:
    mark = "! " if change.breaks else ""
    if change.part == "partitions":
        count = int(change.name)
        return f"{'':{indent}}{mark}~ {counted(count, 'partition')} brought to the table's columns; locations stay"
    if change.part == "notes":
        return f"{'':{indent}}~ what this spec owns is noted in the table's parameters"
    values = [_shown(change.part, value) for value in (change.before, change.after) if value is not None]
    what = f"{change.part} {change.name}".strip()
    return f"{'':{indent}}{mark}{change.sign} {what}  {' -> '.join(values)}".rstrip()


def _shown(part: str, value: str) -> str:
    return f'"{value}"' if part in ("comment", "description") else value


def _say_summary(plans: Sequence[TablePlan]) -> None:
    if all(table.is_empty for table in plans):
        say("nothing to do: the catalogue is as the specs say")
        return
    counts = [(sum(table.action == action for table in plans), action) for action in ("create", "update", "replace")]
    say(f"to do: {', '.join(f'{count} to {action}' for count, action in counts if count)}; `data-hist tables apply`")
    breaking = sum(len(table.breaking) for table in plans)
    if breaking:
        say(f"{counted(breaking, 'change')} marked `!` would break something: done with --allow-breaking only")


def _write_outcome(outcome: AppliedTable) -> None:
    write_text(f"{outcome.reference}  {_WORDS[outcome.action]}")
    for change in outcome.changes:
        write_text(_line(change, indent=4))
    for change in outcome.left:
        say(f"left: {outcome.reference}: {_line(change, indent=0)}")
        say(f"  it would break something: {change.breaks}; --allow-breaking does it")
    from glue.catalogue_plan import MAXIMUM_SHOWN_FAILURES

    for partition, reason in outcome.failed[:MAXIMUM_SHOWN_FAILURES]:
        say(f"failed: {outcome.reference} {partition}: {reason}")
    if len(outcome.failed) > MAXIMUM_SHOWN_FAILURES:
        say(f"failed: {len(outcome.failed) - MAXIMUM_SHOWN_FAILURES:,} more")
