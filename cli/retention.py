"""`data-hist retention`: how long data stays; the bucket's lifecycle rules, and what is past its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, write_json, write_text
from cli.partitions import From, To, partition_range

if TYPE_CHECKING:  # what commands need at run time they import themselves: help is quick
    from collections.abc import Mapping

    from cli.lake import Lake
    from glue.lifecycle_rules import LifecyclePlan
    from glue.retention_sweep import SweepReport

app = typer.Typer(help="How long data stays.", no_args_is_help=True)
MAXIMUM_LINES = 20


@app.callback()
def retention() -> None:
    """How long data stays."""


@app.command()
def plan(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Show what the tables' terms would change of the buckets' lifecycle rules. Changes nothing."""
    from cli.lake import open_lake

    with open_lake(data_dir) as lake:
        plans = _plans(lake)
    return _tell_plans(plans, as_json=as_json, applied=None)


@app.command()
def apply(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Make the buckets' lifecycle rules what the tables say; rules of others stay. Doing it again changes nothing."""
    from cli.lake import open_lake
    from glue.lifecycle_rules import LifecycleChanged, apply_lifecycle

    with open_lake(data_dir) as lake:
        plans = _plans(lake)
        try:
            applied = [apply_lifecycle(lake.s3, plan) for plan in plans]
        except LifecycleChanged as error:
            raise Failure(f"{error}; try again", code="LifecycleChanged") from error
        is_embedded = lake.is_embedded
    status = _tell_plans(plans, as_json=as_json, applied=applied)
    if is_embedded and not as_json:
        say("the embedded S3 keeps them; `data-hist retention sweep --apply` is what moves and deletes objects here")
    return status


@app.command()
def sweep(
    tables: Annotated[list[str] | None, typer.Argument(help="The tables; all without one.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    is_applied: Annotated[bool, typer.Option("--apply", help="Do it; without it nothing is changed.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what is past its retention; with --apply it leaves the catalogue, then the objects, then the ledger.

    In an AWS account objects are left to the bucket's lifecycle.
    """
    from cli.lake import now, open_lake
    from glue.retention_sweep import sweep as sweep_table

    with open_lake(data_dir) as lake:
        specs = [lake.table(name) for name in tables] if tables else list(lake.tables.values())
        archive = lake.s3.archive if lake.is_embedded else None
        moment = now()
        reports = [
            sweep_table(lake.glue, lake.s3, lake.ledger, spec, now=moment, apply=is_applied, archive=archive)
            for spec in specs
        ]
    exit_code = ExitCode.PARTLY if any(report.failed for report in reports) else ExitCode.OK
    for report in reports:
        for partition, reason in report.failed[:MAXIMUM_LINES]:
            say(f"failed: {report.table}: {partition}: {reason}")
    if as_json:
        write_json({"tables": [report.to_json() for report in reports], "exit_code": int(exit_code)})
        return int(exit_code)
    for report in reports:
        _tell_sweep(report)
    if not is_applied and any(report.has_work for report in reports):
        say("nothing was changed; --apply does it")
    return int(exit_code)


@app.command()
def restore(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    as_json: AsJson = False,
) -> int:
    """Bring a time range back from the archive of a lake on this machine, so that queries see it again."""
    from cli.lake import now, open_lake
    from glue.retention_restore import restore as restore_range

    if from_text is None and to_text is None:
        raise Failure("say which time: --from, --to")
    with open_lake(data_dir) as lake:
        if not lake.is_embedded:
            raise Failure(
                "Glacier restores in hours and by the bucket's own tools (S3 Batch Operations); then"
                " `data-hist partitions register`",
                code="NotSupported",
            )
        spec = lake.table(table)
        time_range = partition_range(spec, from_text, to_text)
        assert time_range is not None
        report = restore_range(lake.glue, lake.s3, lake.ledger, spec, time_range, now=now())
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    for partition, reason in report.failed[:MAXIMUM_LINES]:
        say(f"failed: {partition}: {reason}")
    if as_json:
        write_json({"table": spec.reference, **vars(report), "exit_code": int(exit_code)})
    else:
        write_text(
            f"{counted(report.object_count, 'object')} ({shown_bytes(report.size_bytes)}) restored,"
            f" {counted(report.partition_count, 'partition')} registered"
        )
    return int(exit_code)


def _plans(lake: Lake) -> list[LifecyclePlan]:
    from glue.lifecycle_rules import CannotKeepRetention, plan_lifecycle

    buckets = sorted({spec.bucket for spec in lake.tables.values()})
    try:
        return [plan_lifecycle(lake.s3, bucket, lake.tables.values()) for bucket in buckets]
    except CannotKeepRetention as error:
        raise Failure(str(error), code="CannotKeepRetention") from error


def _tell_plans(plans: list[LifecyclePlan], *, as_json: bool, applied: list[bool] | None) -> int:
    if as_json:
        documents = [plan.to_json() for plan in plans]
        if applied is not None:
            documents = [{**document, "applied": done} for document, done in zip(documents, applied, strict=True)]
        write_json({"buckets": documents})
        return int(ExitCode.OK)
    for plan in plans:
        write_text(f"s3://{plan.bucket}")
        for rule in plan.own_rules:
            name = rule["ID"]
            mark = "+" if name in plan.added else "~" if name in plan.changed else " "
            write_text(f"{mark} {name}: {_told(rule)}")
        for name in plan.removed:
            write_text(f"- {name}")
        if plan.foreign:
            write_text(f"  {counted(len(plan.foreign), 'rule')} of others kept: {', '.join(plan.foreign[:5])}")
        for warning in plan.warnings:
            say(f"mind: {warning}")
        is_done = applied is not None
        changes = len(plan.added) + len(plan.changed) + len(plan.removed)
        if not plan.has_changes:
            say("the bucket's rules are what the tables say")
        else:
            say(f"{counted(changes, 'rule')} {'put' if is_done else 'differ; data-hist retention apply puts them'}")
    return int(ExitCode.OK)


def _told(rule: Mapping[str, Any]) -> str:
    """A rule in a line."""
    chosen = rule["Filter"]
    both = chosen.get("And", {})
    tags = both.get("Tags", [chosen["Tag"]] if "Tag" in chosen else [])
    where = [chosen.get("Prefix") or both.get("Prefix") or "", *(f"tag {tag['Key']}={tag['Value']}" for tag in tags)]
    steps = [f"{each['StorageClass']} after {each['Days']} days" for each in rule.get("Transitions", ())]
    steps.append(f"gone after {rule['Expiration']['Days']} days")
    return f"{', '.join(filter(None, where))}: {', '.join(steps)}"


def _tell_sweep(report: SweepReport) -> None:
    for day in report.days[:MAXIMUM_LINES]:
        objects = f", {counted(day.object_count, 'object')} ({shown_bytes(day.size_bytes)})" if day.object_count else ""
        write_text(f"{report.table}: {day.day}: {counted(day.partition_count, 'partition')} {day.stage}{objects}")
    if len(report.days) > MAXIMUM_LINES:
        say(f"... and {len(report.days) - MAXIMUM_LINES:,} more days of {report.table}")
    if not report.has_work:
        say(f"{report.table}: nothing is past its retention")
        return
    parts = [
        (report.dropped_partitions, f"{counted(report.dropped_partitions, 'partition')} out of the catalogue"),
        (
            report.archived_objects,
            f"{counted(report.archived_objects, 'object')} ({shown_bytes(report.archived_bytes)}) into the archive",
        ),
        (
            report.deleted_objects,
            f"{counted(report.deleted_objects, 'object')} ({shown_bytes(report.deleted_bytes)}) deleted",
        ),
        (report.forgotten_partitions, f"{counted(report.forgotten_partitions, 'partition')} out of the ledger"),
    ]
    verb = "would go" if report.is_dry_run else "went"
    say(f"{report.table}: {verb}: {', '.join(text for number, text in parts if number)}")
