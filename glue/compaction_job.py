"""Compaction as a Glue job: what `data-hist partitions compact` does, told by `--KEY value`, with AWS's clients.

    --table events [--days 14 | --from 2026-11-01 --to 2026-12-01] [--mode compact|undo|remove_old] ...
      -> progress and, as the last line of standard output, the report as JSON; exit code 0, 1 failures, 2 arguments

The keys are job parameters (Glue guide, getResolvedOptions): each has a value, and Glue adds its own, such as
--JOB_NAME, which are named in the output and otherwise left alone. No Spark is used: the job is a Python program on
the driver. This module is a composition root: `main` makes the clients. deploy/glue_jobs/compact.py calls it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from glue.aws_clients import error_code, error_message
from glue.compaction import CompactionOptions, CompactionReport, compact
from glue.compaction_jobs import JobRunner
from glue.compaction_objects import TARGET_OBJECT_BYTES
from glue.compaction_removal import GRACE, remove_old
from glue.compaction_upkeep import undo
from glue.dynamodb_ledger import DynamoDbLedger
from glue.partition_range import PartitionRange
from glue.table_spec import InvalidTableSpec, TableSpec, load_table_specs

OK, FAILED, WRONG_ARGUMENTS = 0, 1, 2
_KILOBYTE, _MEGABYTE = 1 << 10, 1 << 20
_SECONDS_BETWEEN_LINES = 30.0
_NEARLY_THE_SAME = 0.8
_MOST_DAYS, _MOST_DIGITS = 36_500, 9
ClientOf = Callable[[str], Any]


def main(arguments: Sequence[str]) -> int:
    """What the job's script calls; the exit code."""
    import boto3

    given = _given(arguments)
    try:
        client: Any = boto3.client  # mypy knows the methods of AWS more narrowly than our ports ask for
        report = run_job_of(given, client, now=datetime.now(UTC))
    except (ValueError, InvalidTableSpec) as error:
        sys.stderr.write(f"compaction: {error}\n")
        return WRONG_ARGUMENTS
    except ClientError as error:
        sys.stderr.write(f"compaction: {error_code(error)}: {error_message(error)}\n")
        return FAILED
    except BotoCoreError as error:
        sys.stderr.write(f"compaction: {error}\n")
        return FAILED
    _line(report)
    return FAILED if report["failed"] else OK


def run_job_of(given: argparse.Namespace, client: ClientOf, *, now: datetime) -> dict[str, Any]:
    """The report of the run that these arguments ask for.

    Raises ValueError for arguments that cannot be meant, InvalidTableSpec, ClientError.
    """
    spec = _spec(given)
    time_range = _range(given, spec, now)
    ledger = None
    if given.ledger_table:
        ledger = DynamoDbLedger(client("dynamodb"), given.ledger_table, clock=lambda: datetime.now(UTC))
    glue_client, s3, apply = client("glue"), client("s3"), not given.dry_run
    if given.mode == "undo":
        return undo(glue_client, s3, ledger, spec, time_range, now=now, apply=apply).to_json()
    if given.mode == "remove_old":
        grace = timedelta(days=given.grace_days)
        return remove_old(glue_client, s3, ledger, spec, time_range, now=now, grace=grace, apply=apply).to_json()
    options = CompactionOptions(
        older_than=timedelta(days=given.older_than_days),
        minimum_bytes=given.min_kb * _KILOBYTE,
        target_object_bytes=given.target_mb * _MEGABYTE,
    )
    with JobRunner(s3, workers=given.workers, client_factory=partial(client, "s3")) as runner:
        report = compact(
            glue_client,
            s3,
            ledger,
            spec,
            time_range,
            runner=runner,
            now=now,
            apply=apply,
            options=options,
            on_progress=_Progress(),
        )
    return report.to_json()


class _Progress:
    """A line of counts now and then, for the job's log."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, report: CompactionReport) -> None:
        if time.monotonic() - self._told_at < _SECONDS_BETWEEN_LINES:
            return
        self._told_at = time.monotonic()
        counts = {"compacted": report.compacted_count, "rows": report.row_count, "failed": report.failed_count}
        _line({"so_far": counts})


def _line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _spec(given: argparse.Namespace) -> TableSpec:
    folder = Path(given.tables_dir) if given.tables_dir else None
    specs = load_table_specs(folder, bucket=given.lake_bucket or None)
    if given.table not in specs:
        raise ValueError(f"there is no table {given.table!r}; there are {', '.join(specs)}")
    return specs[given.table]


def _range(given: argparse.Namespace, spec: TableSpec, now: datetime) -> PartitionRange | None:
    start, end = given.from_time, given.to_time
    if given.days is not None:
        if start is not None or end is not None:
            raise ValueError("--days and --from or --to are given; choose")
        start = now - timedelta(days=given.days)
    if start is None and end is None:
        return None
    return PartitionRange.covering(start, end, scheme=spec.layout.scheme)


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments. Ends the program for those that are wrong, and for names that nearly are ones of ours."""
    parser = argparse.ArgumentParser(prog="compact", description="Parquet of closed partitions.", allow_abbrev=False)
    mine = []
    for name, options in _keys().items():
        parser.add_argument(name, **options)
        mine.append(name)
    given, others = parser.parse_known_args(arguments)
    names = sorted(text.partition("=")[0] for text in others if text.startswith("--"))
    for name in names:
        for near in difflib.get_close_matches(name, mine, n=1, cutoff=_NEARLY_THE_SAME):
            parser.error(f"there is no {name}; did you mean {near}?")
    if names:
        _line({"left_alone": names})
    return given


def _keys() -> dict[str, dict[str, Any]]:
    """The job's parameters, as argparse takes them."""
    environment = {name: os.environ.get(f"DATA_HIST_{name}") for name in ("LAKE_BUCKET", "TABLES_DIR", "LEDGER_TABLE")}
    return {
        "--table": {"required": True, "help": "the table's reference"},
        "--mode": {"choices": ["compact", "undo", "remove_old"], "default": "compact"},
        "--from": {"dest": "from_time", "type": _moment, "help": "2026-11-22 or 2026-11-22T10:00:00Z"},
        "--to": {"dest": "to_time", "type": _moment, "help": "the first moment that is not meant"},
        "--days": {"type": _days, "help": "only partitions that began so many days ago or later"},
        "--older_than_days": {"type": _days, "default": 0.0, "help": "only those that ended so many days ago"},
        "--grace_days": {"type": _days, "default": GRACE / timedelta(days=1), "help": "of remove_old"},
        "--min_kb": {
            "type": partial(_whole_number, least=0, most=1_000_000),
            "default": CompactionOptions.minimum_bytes // _KILOBYTE,
        },
        "--target_mb": {
            "type": partial(_whole_number, least=1, most=5_000),
            "default": TARGET_OBJECT_BYTES // _MEGABYTE,
        },
        "--workers": {
            "type": partial(_whole_number, least=1, most=64),
            "default": os.cpu_count() or 1,
            "help": "processes that write Parquet",
        },
        "--dry_run": {"type": _truth, "default": False, "metavar": "true|false"},
        "--lake_bucket": {"default": environment["LAKE_BUCKET"], "help": "of tables whose specs name none"},
        "--tables_dir": {"default": environment["TABLES_DIR"], "help": "a folder of table specs of one's own"},
        "--ledger_table": {"default": environment["LEDGER_TABLE"], "help": "the ledger's DynamoDB table"},
    }


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(text, "a time; write it as 2026-11-22T10:00:00Z or 2026-11-22") from None
    if not 2 <= moment.year <= 9998:
        raise _wrong(text, "a time of the years 2 to 9998")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not 0 <= days <= _MOST_DAYS:
        raise _wrong(text, f"a number of days from 0 to {_MOST_DAYS}")
    return days


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS or not least <= int(text) <= most:
        raise _wrong(text, f"a whole number from {least} to {most}")
    return int(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise _wrong(text, "true or false")
    return text == "true"


def _wrong(text: str, expected: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} is not {expected}")
