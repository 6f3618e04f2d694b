"""`data-hist partitions compact`, `data-hist compactions`: closed partitions as Parquet, the way back, what is old."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, duration
from cli.output import counted, say, shown_bytes, write_json, write_table, write_text
from cli.partitions import From, To, partition_range

if TYPE_CHECKING:  # what commands need at run time they import themselves: help is quick
    from collections.abc import Callable

    from cli.lake import Lake
    from glue.compaction import CompactionReport
    from glue.compaction_removal import RemovalReport
    from glue.compaction_upkeep import UndoReport
    from glue.partition_range import PartitionRange
    from glue.table_spec import TableSpec

app = typer.Typer(help="What compaction has written.", no_args_is_help=True)
MAXIMUM_LINES = 100
WHY_LEFT_RAW = {
    "archived": "objects of it are in the archive",
    "changed": "objects came or went meanwhile",
    "empty": "it has no objects",
    "open": "more objects may come",
    "relocated": "somebody else gave it another location",
    "small": "fewer than 4 objects and less than --min-kb: as Parquet it would be larger and slower",
    "unregistered": "the catalogue has no such partition: data-hist partitions register",
    "young": "it ended less than --older-than ago",
}
_KILOBYTE, _MEGABYTE = 1 << 10, 1 << 20


@app.callback()
def compactions() -> None:
    """What compaction has written."""


def compact(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    older_than: Annotated[str, typer.Option("--older-than", help="Only partitions that ended so long ago: 7d.")] = "0",
    minimum_kilobytes: Annotated[
        int, typer.Option("--min-kb", min=0, help="Partitions of less (KiB), in few objects, stay raw.")
    ] = 16,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, change nothing.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes that write Parquet.")] = (
        os.cpu_count() or 1
    ),
    target_megabytes: Annotated[
        int, typer.Option("--target-mb", min=1, max=5000, help="How large a Parquet object may grow (MiB).")
    ] = 256,
    undo: Annotated[bool, typer.Option("--undo", help="Go back to the raw objects.")] = False,
    remove_old: Annotated[
        bool, typer.Option("--remove-old", help="Remove raw objects and compactions that nobody reads any more.")
    ] = False,
    grace: Annotated[
        str, typer.Option("--grace", help="How long --remove-old keeps what queries may still read.")
    ] = "1d",
    as_json: AsJson = False,
) -> int:
    """Make Parquet of closed partitions. Answers stay the same; doing it again changes nothing."""
    if undo and remove_old:
        raise Failure("--undo goes back to raw objects, --remove-old removes them: choose one")
    old, kept = duration(older_than, "--older-than"), duration(grace, "--grace")
    from cli.lake import now, open_lake

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        time_range = partition_range(spec, from_text, to_text)
        if undo:
            from glue.compaction_upkeep import undo as go_back

            undone = go_back(lake.glue, lake.s3, lake.ledger, spec, time_range, now=now(), apply=not dry_run)
            return _tell_undone(undone, as_json=as_json)
        if remove_old:
            from glue.compaction_removal import remove_old as remove

            removed = remove(
                lake.glue, lake.s3, lake.ledger, spec, time_range, now=now(), grace=kept, apply=not dry_run
            )
            return _tell_removed(removed, as_json=as_json)
        from glue.compaction import CompactionOptions

        options = CompactionOptions(
            older_than=old,
            minimum_bytes=minimum_kilobytes * _KILOBYTE,
            target_object_bytes=target_megabytes * _MEGABYTE,
        )
        report = _compact(lake, spec, time_range, options, workers=workers, apply=not dry_run)
    return _tell_compacted(report, as_json=as_json)


def _compact(
    lake: Lake, spec: TableSpec, time_range: PartitionRange | None, options: Any, *, workers: int, apply: bool
) -> CompactionReport:
    from cli.lake import now
    from glue.compaction import compact as compact_table
    from glue.compaction_jobs import JobRunner

    is_watched = sys.stderr.isatty()
    with JobRunner(lake.s3, workers=workers, client_factory=_client_factory(lake)) as runner:
        report = compact_table(
            lake.glue,
            lake.s3,
            lake.ledger,
            spec,
            time_range,
            runner=runner,
            now=now(),
            apply=apply,
            options=options,
            on_progress=_progress if is_watched else None,
        )
    if is_watched:
        sys.stderr.write("\r\033[K")
    return report


def _client_factory(lake: Lake) -> Callable[[], Any]:
    """What makes the S3 client of a worker process."""
    from functools import partial

    if lake.is_embedded:
        from embedded.s3 import S3

        return partial(S3, lake.data_dir / "s3")
    import boto3

    return partial(boto3.client, "s3")


def _progress(report: CompactionReport) -> None:
    rows, partitions = counted(report.row_count, "row"), counted(report.compacted_count, "partition")
    sys.stderr.write(f"\r\033[K{partitions}, {rows}, {shown_bytes(report.raw_bytes)} read")
    sys.stderr.flush()


def _tell_compacted(report: CompactionReport, *, as_json: bool) -> int:
    exit_code = ExitCode.PARTLY if report.failed_count else ExitCode.OK
    _say_failed(report.failed, report.failed_count)
    for file, line, reason in report.malformed_samples:
        say(f"malformed: {file}:{line}: {reason}")
    if as_json:
        write_json({**report.to_json(), "exit_code": int(exit_code)})
        return int(exit_code)
    verb = "would be compacted" if report.is_dry_run else "compacted"
    before = f"{counted(report.raw_object_count, 'object')} of {shown_bytes(report.raw_bytes)}"
    write_text(f"{counted(report.compacted_count, 'partition')} {verb}: {before}")
    if not report.is_dry_run and report.compacted_count:
        write_text(
            f"now {counted(report.compacted_object_count, 'object')} of {shown_bytes(report.compacted_bytes)} with"
            f" {counted(report.row_count, 'row')}; {counted(report.malformed_count, 'malformed line')} kept aside"
        )
    for count, text in (
        (report.already_count, "compacted before"),
        (report.went_back_count, "gone back to raw objects, for some had come"),
        (report.absorbed_count, "late objects taken in"),
    ):
        if count:
            write_text(f"{count:,} {text}")
    for reason, count in sorted(report.skipped.items()):
        write_text(f"{counted(count, 'partition')} left raw: {reason} ({WHY_LEFT_RAW[reason]})")
    return int(exit_code)


def _tell_undone(report: UndoReport, *, as_json: bool) -> int:
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    _say_failed(report.failed, len(report.failed))
    if as_json:
        write_json({**report.to_json(), "exit_code": int(exit_code)})
    else:
        verb = "would go" if report.is_dry_run else "have gone"
        write_text(f"{counted(report.undone_count, 'partition')} {verb} back to raw objects")
    return int(exit_code)


def _tell_removed(report: RemovalReport, *, as_json: bool) -> int:
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    _say_failed(report.failed, len(report.failed))
    if as_json:
        write_json({**report.to_json(), "exit_code": int(exit_code)})
        return int(exit_code)
    verb = "would be removed" if report.is_dry_run else "removed"
    raw = f"{counted(report.raw_object_count, 'raw object')} of {shown_bytes(report.raw_bytes)}"
    write_text(f"{raw} {verb}, in {counted(report.partition_count, 'partition')}")
    old = f"{counted(report.compaction_count, 'compaction')} of {shown_bytes(report.compacted_bytes)}"
    write_text(f"{old} that nobody reads {verb}")
    if report.waiting_count:
        write_text(f"{report.waiting_count:,} more wait for their grace to be over")
    return int(exit_code)


def _say_failed(failed: list[tuple[str, str]], count: int) -> None:
    for partition, reason in failed[:MAXIMUM_LINES]:
        say(f"failed: {partition}: {reason}")
    if count > MAXIMUM_LINES:
        say(f"... and {count - MAXIMUM_LINES:,} more")


@app.command(name="list")
def list_compactions(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most compactions to show.")] = 100,
    as_json: AsJson = False,
) -> int:
    """Show the compactions that lie in the lake, and which of them queries read."""
    from itertools import islice

    from cli.lake import open_lake
    from glue.compaction_upkeep import compactions as lying

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        time_range = partition_range(spec, from_text, to_text)
        found = list(islice(lying(lake.glue, lake.s3, lake.ledger, spec, time_range), limit + 1))
    shown = found[:limit]
    if as_json:
        documents = [each.to_json() for each in shown]
        write_json({"table": spec.reference, "compactions": documents, "is_truncated": len(found) > limit})
        return int(ExitCode.OK)
    columns = [
        ("partition", False), ("compaction", False), ("state", False), ("objects", True), ("size", True),
        ("rows", True), ("malformed", True), ("raw objects", False),
    ]  # fmt: skip
    rows = [
        (
            each.partition.path(),
            each.compaction_id,
            each.state,
            f"{each.object_count:,}",
            shown_bytes(each.size_bytes),
            "-" if each.row_count is None else f"{each.row_count:,}",
            "-" if each.malformed_count is None else f"{each.malformed_count:,}",
            "removed" if each.is_raw_removed else "kept",
        )
        for each in shown
    ]
    write_table(columns, rows)
    if len(found) > limit:
        say(f"only the first {limit}: --limit or --from and --to show others")
    return int(ExitCode.OK)
