"""`data-hist partitions`: what catalogue and ledger know of the lake, whether it is true, and why there are no rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, shown_time, write_json, write_table, write_text

if TYPE_CHECKING:  # what commands need at run time they import themselves: help is quick
    from glue.ledger import OffsetTotals
    from glue.partition_range import PartitionRange
    from glue.run_journal import RunJournal
    from glue.table_spec import TableSpec

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
    from glue.compaction_settling import Settling
    from glue.registration import register_lake

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        settle = Settling(lake.glue, lake.s3, lake.ledger)
        report = register_lake(lake.glue, lake.s3, lake.ledger, spec, settle=settle)
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


From = Annotated[str | None, typer.Option("--from", help="Only partitions that hold times at or after this (UTC).")]
To = Annotated[str | None, typer.Option("--to", help="Only partitions that hold times before this (UTC).")]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, max=10, help="Windows of days worked on, and segments of the catalogue read, at a time."
    ),
]
MAXIMUM_LINES = 100


@app.command()
def status(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most partitions to show.")] = 20,
    as_json: AsJson = False,
) -> int:
    """Show how complete a table is, and the state of its newest partitions."""
    from api.rendering import partition_document, table_document
    from cli.lake import now, open_lake
    from service.tables import partition_descriptions, table_description

    with open_lake(data_dir) as lake:
        spec, moment = lake.table(table), now()
        records = lake.ledger.newest_partitions(spec.reference, partition_range(spec, from_text, to_text), limit=limit)
        freshness = table_document(table_description(spec, lake.ledger, moment))["freshness"]
        partitions = [partition_document(p) for p in partition_descriptions(spec, lake.ledger, records, moment)]
    if as_json:
        write_json({"table": spec.reference, "freshness": freshness, "partitions": partitions})
        return int(ExitCode.OK)
    for name in ("complete_until", "missing_partitions", "late_bytes", "bad_timestamp_object_count"):
        write_text(f"{name.replace('_', ' ')}  {freshness.get(name, '-')}")
    columns = [("partition", False), ("state", False), ("objects", True), ("size", True), ("last arrival", False)]
    rows = [
        (
            p["partition"],
            p["state"],
            f"{p['object_count']:,}",
            shown_bytes(p["size_bytes"]),
            p.get("last_arrival_at", "-"),
        )
        for p in partitions
    ]
    write_table(columns, rows)
    return int(ExitCode.OK)


@app.command()
def gaps(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    as_json: AsJson = False,
) -> int:
    """Show which partitions are not there; of the last 24 complete hours without --from and --to."""
    from cli.lake import now, open_lake
    from glue.completeness import completeness
    from glue.completeness import gaps as missing_runs

    with open_lake(data_dir) as lake:
        spec, moment = lake.table(table), now()
        time_range = partition_range(spec, from_text, to_text)
        complete = completeness(lake.ledger, spec, moment, time_range)
        found = list(missing_runs(lake.ledger, spec, moment, time_range))
    if as_json:
        runs = [
            {"first": gap.first.path(), "last": gap.last.path(), "partition_count": gap.partition_count}
            for gap in found
        ]
        write_json({"table": spec.reference, "missing_partitions": complete.missing_partitions, "gaps": runs})
        return int(ExitCode.OK)
    for gap in found[:MAXIMUM_LINES]:
        write_text(f"{gap.first} to {gap.last}: {counted(gap.partition_count, 'partition')}")
    if len(found) > MAXIMUM_LINES:
        say(f"... and {counted(len(found) - MAXIMUM_LINES, 'more gap')}")
    say(f"{counted(complete.missing_partitions, 'partition')} missing; a quiet minute has no partition either")
    return int(ExitCode.OK)


@app.command()
def late(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    as_json: AsJson = False,
) -> int:
    """Show what came after the table's allowed lateness, and how late objects come."""
    from cli.lake import open_lake
    from glue.completeness import lateness_histogram
    from glue.partition_spec import PartitionSpec

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        time_range = partition_range(spec, from_text, to_text)
        histogram = lateness_histogram(spec, lake.ledger.known_objects(spec.reference, time_range))
        records = [r for r in lake.ledger.partitions(spec.reference, time_range) if r.late_bytes]
        total_bytes = lake.ledger.summary(spec.reference, time_range).late_bytes
    paths = [PartitionSpec.from_values(record.values, spec.layout.scheme).path() for record in records]
    if as_json:
        partitions = [
            {"partition": path, "late_bytes": record.late_bytes, "last_arrival": record.last_arrival}
            for path, record in zip(paths, records, strict=True)
        ]
        write_json(
            {"table": spec.reference, "late_bytes": total_bytes, "lateness": histogram, "partitions": partitions}
        )
        return int(ExitCode.OK)
    write_table([("came within", False), ("objects", True)], [(n, f"{c:,}") for n, c in histogram.items()])
    for path, record in list(zip(paths, records, strict=True))[:MAXIMUM_LINES]:
        write_text(f"{path}: {shown_bytes(record.late_bytes)} late, the last at {shown_time(record.last_arrival)}")
    say(f"{shown_bytes(total_bytes)} late in {counted(len(records), 'partition')}")
    return int(ExitCode.OK)


@app.command("mark-complete")
def mark_complete(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    as_json: AsJson = False,
) -> int:
    """Write an empty _SUCCESS into the folders of partitions and days that are CLOSED, as Secor does."""
    from cli.lake import now, open_lake
    from glue.success_markers import SuccessMarkers

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        report = SuccessMarkers(lake.s3, lake.ledger).mark(spec, partition_range(spec, from_text, to_text), now())
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    for key, reason in report.failed:
        say(f"failed: s3://{spec.bucket}/{key}: {reason}")
    counts = report.counts()
    if as_json:
        members = {f"{name}_count": count for name, count in counts.items()}
        write_json({"table": spec.reference, **members, "exit_code": int(exit_code)})
        return int(exit_code)
    write_table(
        [("markers", False), ("count", True)], [(name, f"{count:,}") for name, count in counts.items() if count]
    )
    say(f"{counted(counts['written'], 'marker')} written, {counts['kept']:,} were there")
    return int(exit_code)


@app.command()
def inspect(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    is_sample: Annotated[bool, typer.Option("--sample", help="Read only the beginnings of objects.")] = False,
    as_json: AsJson = False,
) -> int:
    """Read objects that nobody has read, for their rows, their times and how late they came."""
    from cli.lake import open_lake
    from glue.inspection import Inspector

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        inspector = Inspector(lake.s3, lake.ledger, mode="sample" if is_sample else "full")
        report = inspector.inspect(spec, partition_range(spec, from_text, to_text))
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    for key, reason in report.failed:
        say(f"failed: s3://{spec.bucket}/{key}: {reason}")
    for key, reason in report.faults:
        say(f"fault: s3://{spec.bucket}/{key} {reason}")
    counts = {f"{name}_count": count for name, count in report.counts().items()}
    if as_json:
        totals = {
            "row_count": report.row_count,
            "malformed_count": report.malformed_count,
            "size_bytes": report.size_bytes,
        }
        faults = [{"key": key, "reason": reason} for key, reason in report.faults]
        write_json({"table": spec.reference, **counts, **totals, "faults": faults, "exit_code": int(exit_code)})
        return int(exit_code)
    write_table([("objects", False), ("count", True)], [(n, f"{c:,}") for n, c in report.counts().items() if c])
    say(
        f"{counted(report.row_count, 'row')} and {counted(report.malformed_count, 'malformed line')} in"
        f" {shown_bytes(report.size_bytes)}"
    )
    return int(exit_code)


@app.command()
def offsets(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many faults to show.")] = MAXIMUM_LINES,
    as_json: AsJson = False,
) -> int:
    """Prove that every message of Kafka is in the table, once: by objects' names and counted rows."""
    from dataclasses import asdict

    from cli.lake import open_lake
    from glue.completeness import offset_totals

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        series = lake.ledger.offset_series(spec.reference)
        faults = lake.ledger.offset_faults(spec.reference, limit=limit)
        totals = offset_totals(lake.ledger, spec)
    if as_json:
        found = [
            {**asdict(fault), "missing_count": fault.missing_count, "surplus_count": fault.surplus_count}
            for fault in faults
        ]
        kafka_partitions = [asdict(each) for each in series]
        write_json({"table": spec.reference, **asdict(totals), "kafka_partitions": kafka_partitions, "faults": found})
        return int(ExitCode.OK)
    columns = [("generation", True), ("kafka partition", True), ("batches", True), ("objects", True), ("unread", True),
               ("missing", True), ("surplus", True), ("from offset", True), ("last batch at", True)]  # fmt: skip
    rows = [
        (
            *(f"{number:,}" for number in (each.generation, each.kafka_partition, each.batch_count)),
            *(f"{number:,}" for number in (each.object_count, each.unread_object_count)),
            *(f"{number:,}" for number in (each.missing_count, each.surplus_count)),
            *("-" if offset is None else str(offset) for offset in (each.first_offset, each.last_offset)),
        )
        for each in series
    ]
    write_table(columns, rows)
    for fault in faults:
        difference = (
            f"{fault.missing_count:,} missing"
            if fault.missing_count
            else f"{counted(fault.surplus_count, 'row')} too many"
        )
        write_text(
            f"generation {fault.generation}, Kafka partition {fault.kafka_partition}, offsets {fault.offset} to"
            f" {fault.next_offset - 1}: {counted(fault.message_count, 'row')}, {difference}"
        )
    if totals.fault_count > len(faults):
        say(f"... and {counted(totals.fault_count - len(faults), 'more fault')}; --limit shows more")
    say(_offset_verdict(totals, spec.reference))
    return int(ExitCode.OK)


@app.command()
def verify(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    workers: Workers = 4,
    as_json: AsJson = False,
) -> int:
    """Compare lake, catalogue and ledger, and say what repair would do. Changes nothing."""
    return _reconcile(table, data_dir, from_text, to_text, workers=workers, as_json=as_json, apply=False)


@app.command()
def repair(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    workers: Workers = 4,
    as_json: AsJson = False,
) -> int:
    """Make catalogue and ledger agree with the lake. Killed, it goes on where it was; again changes nothing."""
    return _reconcile(table, data_dir, from_text, to_text, workers=workers, as_json=as_json, apply=True)


@app.command()
def explain(
    table: Annotated[str, typer.Argument(help="The table's name.")],
    folder: Annotated[str | None, typer.Argument(help="A folder or key, such as dt=2026-11-22/hr=10/min=05.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    from_text: From = None,
    to_text: To = None,
    as_json: AsJson = False,
) -> int:
    """Tell why a time range or a folder has no rows."""
    from cli.lake import now, open_lake
    from glue.explain import Reason, explain_folder, explain_range, reasons_to_json

    with open_lake(data_dir) as lake:
        spec, moment = lake.table(table), now()
        start, end = _moment(from_text, "--from"), _moment(to_text, "--to")
        reasons: list[Reason] = []
        if folder is not None:
            partition, reasons = explain_folder(spec, folder)
            start, end = (partition.start(), partition.end()) if partition is not None else (None, None)
        elif start is None and end is None:
            raise Failure("say which time (--from, --to) or which folder")
        if not reasons:
            start = start or datetime(1970, 1, 2, tzinfo=UTC)
            reasons = explain_range(lake.glue, lake.s3, lake.ledger, spec, start, end or moment, now=moment)
    if as_json:
        write_json({"table": spec.reference, "reasons": reasons_to_json(reasons)})
    else:
        for reason in reasons:
            write_text(f"{reason.code}: {reason.detail}")
    return int(ExitCode.OK)


def _offset_verdict(totals: OffsetTotals, reference: str) -> str:
    if not totals.object_count:
        return "no object's name tells an offset of Kafka"
    if totals.fault_count:
        found = f"{totals.missing_count:,} offsets missing, {counted(totals.surplus_count, 'row')} too many"
    else:
        found = "no offset missing, no row too many"
    unread = totals.unread_object_count
    if unread:
        found += f"; {counted(unread, 'object')} nobody has read: data-hist partitions inspect {reference}"
    return found


def _reconcile(
    table: str, data_dir: Path, from_text: str | None, to_text: str | None, *, workers: int, as_json: bool, apply: bool
) -> int:
    from cli.lake import now, open_lake
    from glue.reconcile import KINDS, MEANT, reconcile

    with open_lake(data_dir) as lake:
        spec = lake.table(table)
        time_range = partition_range(spec, from_text, to_text)
        with _journal(data_dir, spec, from_text, to_text, apply=apply) as journal:
            report = reconcile(
                lake.glue,
                lake.s3,
                lake.ledger,
                spec,
                time_range,
                apply=apply,
                now=now(),
                workers=workers,
                journal=journal,
                on_progress=_progress if sys.stderr.isatty() else None,
            )
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    exit_code = ExitCode.PARTLY if report.failed else ExitCode.OK
    for partition, reason in report.failed[:MAXIMUM_LINES]:
        say(f"failed: {partition}: {reason}")
    if as_json:
        write_json({"table": spec.reference, **report.to_json(), "exit_code": int(exit_code)})
        return int(exit_code)
    for finding in report.findings[:MAXIMUM_LINES]:
        write_text(f"{finding.kind}: {finding.partition}: {finding.detail}")
    for kind in KINDS:
        if report.counts[kind]:
            done = f", {report.applied[kind]:,} mended" if apply and kind not in MEANT else ""
            write_text(f"{counted(report.counts[kind], 'partition')} {kind}{done}")
    verdict = "lake, catalogue and ledger agree" if report.agrees else "see above"
    say(f"{counted(report.partition_count, 'partition')}, {counted(report.object_count, 'object')}: {verdict}")
    if not report.agrees and not apply:
        say(f"data-hist partitions repair {spec.reference} mends them")
    return int(exit_code)


@contextmanager
def _journal(
    data_dir: Path, spec: TableSpec, from_text: str | None, to_text: str | None, *, apply: bool
) -> Iterator[RunJournal]:
    """What this run has finished, in the data directory; one that was killed before is gone on with."""
    from cli.lake import now
    from glue.run_journal import JournalInUse, RunJournal

    verb = "repair" if apply else "verify"
    run = {"command": verb, "location": spec.location, "table": spec.reference, "from": from_text, "to": to_text}
    try:
        journal = RunJournal(data_dir / "runs" / f"{verb}-{spec.reference}.jsonl", run, now=now())
    except JournalInUse:
        raise Failure(f"another {verb} of {spec.reference} is at work on {data_dir}", code="RunInProgress") from None
    if journal.finished:
        say(f"going on with a {verb} that did not end: {counted(len(journal.finished), 'window')} done before")
    try:
        yield journal
    finally:
        journal.close()


def _progress(done: int, total: int) -> None:
    sys.stderr.write(f"\r\033[K{done} of {counted(total, 'window')}")
    sys.stderr.flush()


def partition_range(spec: TableSpec, from_text: str | None, to_text: str | None) -> PartitionRange | None:
    from glue.partition_range import PartitionRange

    start, end = _moment(from_text, "--from"), _moment(to_text, "--to")
    if start is None and end is None:
        return None
    return PartitionRange.covering(start, end, scheme=spec.layout.scheme)


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option} {text!r} is not a time; write it as 2026-11-22T10:00:00Z or 2026-11-22") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not 2 <= moment.year <= 9998:
        raise Failure(f"{option} {text!r} is not a time of the years 2 to 9998")
    return moment
