"""`data-hist load`: files of one's own into the lake. docs/loading.md tells what becomes of a row."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, write_json, write_table

if TYPE_CHECKING:
    from glue.loading import LoadOptions, LoadReport

SHOWN_REJECTS = 20


class FileFormat(StrEnum):
    """What a file is, where name and content do not tell."""

    ndjson = "ndjson"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def load(
    table: Annotated[str, typer.Argument(help="events, metrics, logs or data_hist_v1.events.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="NDJSON, JSON, CSV or Parquet; gzipped or not.")
    ],
    time: Annotated[str, typer.Option("--time", metavar="FIELD", help="Field with the row's time: ISO 8601 or epoch.")],
    service: Annotated[
        str, typer.Option("--service", metavar="FIELD|=CONST", help="Where the row comes from.")
    ] = "=unknown",
    customer: Annotated[
        str, typer.Option("--customer", metavar="FIELD|=CONST", help="The tenant; 1 is the operator itself.")
    ] = "=1",
    tags: Annotated[str, typer.Option("--tags", metavar="FIELD,...", help="Fields that become datatags.")] = "",
    records: Annotated[
        str | None,
        typer.Option("--records", metavar="FIELD", help="List of rows inside each document (CloudTrail: Records)."),
    ] = None,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="What the files are; told by name and content without it.")
    ] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Load what can be read of a file that breaks off.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Bring files of your own into the lake.

    Each row becomes a record of the v0 envelope: the whole row is its `data`, and it lies in the minute of its own
    time. FIELD may be dotted (`userIdentity.type`). Loading the same file again adds nothing.
    """
    options = _options(time, service, customer, tags, records, file_format, salvage)
    from cli.lake import now, open_lake
    from glue.compaction_settling import Settling
    from glue.loading import Loader

    with open_lake(data_dir) as lake:
        loader = Loader(
            lake.glue,
            lake.s3,
            lake.ledger,
            lake.table(table),
            now,
            data_dir / "loading",
            data_dir / "rejects",
            progress=_progress if sys.stderr.isatty() else None,
            settle=Settling(lake.glue, lake.s3, lake.ledger),
        )
        report = loader.load(files, options)
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    exit_code = _exit_code(report)
    _say_what_failed(report)
    if as_json:
        write_json({**report.to_json(), "exit_code": int(exit_code)})
    else:
        _show(report)
    return int(exit_code)


def _options(
    time: str,
    service: str,
    customer: str,
    tags: str,
    records: str | None,
    file_format: FileFormat | None,
    salvage: bool,
) -> LoadOptions:
    from glue.loading import FieldOrConstant, LoadOptions, RowMapping

    values = {}
    for name, text in (("--service", service), ("--customer", customer)):
        try:
            values[name] = FieldOrConstant.parse(text)
        except ValueError as error:
            raise Failure(f"{name} {text!r} is {error}") from None
    if not time:
        raise Failure("--time needs the name of a field")
    names = tuple(name.strip() for name in tags.split(",") if name.strip())
    try:
        mapping = RowMapping(time, values["--service"], values["--customer"], names)
    except ValueError as error:
        raise Failure(f"--customer {customer}: {error}") from None
    return LoadOptions(mapping, records or None, file_format.value if file_format else None, salvage)


def _exit_code(report: LoadReport) -> ExitCode:
    """0 when every row of every file is in the lake; 2 when nothing is; 3 for what lies between."""
    if not report.failed_files and not report.rejected_count:
        return ExitCode.OK
    has_any = any(file.loaded for file in report.files)
    return ExitCode.PARTLY if has_any else ExitCode.USAGE


def _say_what_failed(report: LoadReport) -> None:
    for file in report.failed_files:
        say(f"{file.file}: {file.reason}")
    for file in report.files:
        if file.known_rows and file.status == "loaded":
            say(f"{file.file} grew: its first {counted(file.known_rows, 'row')} were loaded before")
    samples = [sample for file in report.files for sample in file.rejected_samples]
    for sample in samples[:SHOWN_REJECTS]:
        say(f"{sample['file']}:{sample['line']}: {sample['reason']}")
    if report.rejected_count > min(len(samples), SHOWN_REJECTS):
        say(f"... and {counted(report.rejected_count - min(len(samples), SHOWN_REJECTS), 'more rejected row')}")
    for file in report.files:
        if file.rejects_file:
            say(f"rejected rows of {file.file} are kept in {file.rejects_file}")


def _show(report: LoadReport) -> None:
    rows = [
        (
            Path(f.file).name,
            f.status.replace("_", " "),
            f"{f.loaded:,}",
            f"{f.rejected:,}",
            f"{f.partitions:,}",
            shown_bytes(f.size_bytes),
        )
        for f in report.files
    ]
    columns = [
        ("file", False),
        ("status", False),
        ("rows", True),
        ("rejected", True),
        ("partitions", True),
        ("size", True),
    ]
    write_table(columns, rows)
    added = sum(file.partitions for file in report.files if file.status == "loaded")
    say(f"{counted(report.loaded_count, 'row')} added to {report.table}, in {counted(added, 'object')}")


def _progress(file: str, rows: int) -> None:
    sys.stderr.write(f"\r\033[K{Path(file).name}: {counted(rows, 'row')}")
    sys.stderr.flush()
