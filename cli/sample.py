"""`data-hist sample`: a lake to look at, made from a seed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, write_json

if TYPE_CHECKING:
    from cli.lake import Lake


def sample(
    seed: Annotated[int, typer.Option("--seed", help="The same seed and end make the same lake.")] = 1,
    days: Annotated[int, typer.Option("--days", min=1, max=60, help="How many days it goes back.")] = 7,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Where it ends, ISO 8601; now without it.")
    ] = None,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing where the lake holds anything else.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Make a sample lake: events, metrics and logs of a small control plane for the last days.

    Made once: where there is one already nothing is added.
    """
    from cli.lake import now, open_lake
    from glue.sample_lake import SampleFailed, SampleLake

    moment = _moment(end)
    with open_lake(data_dir) as lake:
        if not lake.is_embedded:
            raise Failure("a sample is made in a lake of this machine only; unset DATA_HIST_ENGINE")
        if if_empty and _holds_other_data(lake):
            say(f"The lake of {data_dir} is in use: no sample is added.")
            if as_json:
                write_json({"was_there": False, "rows": 0, "objects": 0, "partitions": 0, "size_bytes": 0})
            return 0
        maker = SampleLake(lake.glue, lake.s3, lake.ledger, lake.tables, now, seed=seed, days=days)
        try:
            report = maker.create(moment)
        except SampleFailed as error:
            raise Failure(str(error), exit_code=ExitCode.PARTLY, code="SampleFailed") from error
    until = datetime.fromtimestamp(report.end_milliseconds / 1000, UTC)
    if as_json:
        write_json(
            {
                "was_there": report.was_there,
                "seed": report.seed,
                "end": until.isoformat().replace("+00:00", "Z"),
                "rows": report.rows,
                "objects": report.objects,
                "partitions": report.partitions,
                "size_bytes": report.size_bytes,
            }
        )
    verb = "A sample lake is there already" if report.was_there else "Made a sample lake"
    size = f"{counted(report.rows, 'row')} in {counted(report.objects, 'object')}, {shown_bytes(report.size_bytes)}"
    say(f"{verb}: {size}, until {until:%Y-%m-%d %H:%M} UTC")
    return 0


def _holds_other_data(lake: Lake) -> bool:
    """Whether there are objects in the lake and no sample was ever begun there."""
    from glue.sample_lake import SAMPLE_LOAD

    if lake.ledger.begun_load(SAMPLE_LOAD) is not None:
        return False
    buckets = sorted({spec.bucket for spec in lake.tables.values()})
    return any(lake.s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["KeyCount"] for bucket in buckets)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--end {text!r} is not ISO 8601") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
