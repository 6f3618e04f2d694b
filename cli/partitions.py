"""`data-hist partitions`: what the catalogue knows of the lake."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.exit_codes import ExitCode
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, write_json, write_text

app = typer.Typer(help="What the catalogue knows of the lake.", no_args_is_help=True)


@app.callback()
def partitions() -> None:
    """What the catalogue knows of the lake."""


@app.command()
def register(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Register what already lies in the lake folder of a table. Doing it again changes nothing."""
    from cli.lake import open_lake
    from glue.registration import register_lake

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        report = register_lake(lake.glue, lake.s3, lake.ledger, spec)
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    for key, reason in report.foreign_samples:
        say(f"foreign: s3://{spec.bucket}/{key}: {reason}")
    if report.foreign_count > len(report.foreign_samples):
        say(f"... and {counted(report.foreign_count - len(report.foreign_samples), 'more foreign object')}")
    for failed in report.failed:
        say(f"failed: {failed.partition}: {failed.code}: {failed.message}")
    if as_json:
        write_json({"table": table, **report.to_json(), "exit_code": int(exit_code)})
    else:
        write_text(
            f"{counted(report.registered_count, 'partition')} registered, {report.already_known_count:,} known before,"
            f" {len(report.failed):,} failed; {counted(report.object_count, 'object')} found,"
            f" {report.foreign_count:,} foreign"
        )
    return int(exit_code)
