"""`data-hist sample`: a lake to look at, made from a seed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, write_json


def sample(
    seed: Annotated[int, typer.Option("--seed", help="The same seed and end make the same lake.")] = 1,
    days: Annotated[int, typer.Option("--days", min=1, max=60, help="How many days it goes back.")] = 7,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Where it ends, ISO 8601; now without it.")
    ] = None,
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
        maker = SampleLake(lake.glue, lake.s3, lake.ledger, lake.specs, now, seed=seed, days=days)
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


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--end {text!r} is not ISO 8601") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
