"""`data-hist tables projection`: the properties by which Athena computes partitions, and whether to use them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import say, write_json, write_text


def projection(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    first: Annotated[
        str | None, typer.Option("--first", metavar="DAY", help="The first day to project; the ledger's without it.")
    ] = None,
    is_applied: Annotated[bool, typer.Option("--apply", help="Set the properties in the catalogue.")] = False,
    is_removed: Annotated[bool, typer.Option("--remove", help="Remove them: partitions are the catalogue's.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show the projection properties of a table, what is wrong with those it has, and Glue or projection.

    Changes nothing without --apply or --remove. Doing it twice equals doing it once.
    """
    from cli.lake import now, open_lake
    from glue.projection import CannotProject, current_problems, projection_report, set_projection

    if is_applied and is_removed:
        raise Failure("--apply and --remove exclude one another")
    day = _day(first)
    with open_lake(data_dir) as lake:
        spec, moment = lake.table(table), now()
        has_changed = set_projection(lake.glue, spec, {}) if is_removed else False
        try:
            report = projection_report(spec, lake.ledger, moment, day)
        except CannotProject as error:
            raise Failure(f"{spec.reference} cannot be projected: {error}", code="CannotProject") from error
        if is_applied:
            has_changed = set_projection(lake.glue, spec, report.properties)
        is_on, faults = current_problems(lake.glue, spec, moment)
    if as_json:
        current = {"is_on": is_on, "has_changed": has_changed, "problems": [vars(fault) for fault in faults]}
        write_json({"table": spec.reference, "current": current, **report.to_json()})
        return int(ExitCode.OK)
    verb = "now" if has_changed else "already" if is_applied or is_removed else ""
    say(f"projection of {spec.reference} is {verb + ' ' if verb else ''}{'on' if is_on else 'off'} in the catalogue")
    for fault in faults:
        say(f"{fault.severity}: {fault.property} {fault.detail}")
    for name, value in report.properties.items():
        write_text(f"{name} = {value}")
    empty = "" if report.empty_share is None else f", {report.empty_share:.0%} of those until now empty"
    say(f"projects {report.projected_partitions:,} partitions{empty}; {report.registered_partitions:,} are registered")
    say(f"advice: {report.advice.choice}: {report.advice.reason}")
    for warning in report.warnings:
        say(f"mind: {warning}")
    return int(ExitCode.OK)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(f"--first {text!r} is not a day; write it as 2026-11-22") from None
