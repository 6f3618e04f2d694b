"""`data-hist query`: the three calls of the contract, with a line that shows how the query is doing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_URL, AsJson, Key, Url, key_of
from cli.output import counted, say, shown_bytes, write_table

if TYPE_CHECKING:
    from cli.client import Client, ServiceProblem

_WATCH_SECONDS = 1
_TABLE_ROWS = 1000


class Version(StrEnum):
    """A version of the contract."""

    v0 = "v0"
    v1 = "v1"


class Format(StrEnum):
    """How the rows come."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement in Athena's dialect; - reads it from standard input.")
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    output_format: Annotated[
        Format | None, typer.Option("--format", help="table (default), csv, json or parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the rows there.")] = None,
    retention_minutes: Annotated[
        int, typer.Option("--retention-minutes", min=1, max=525_600, help="How long the service keeps the result.")
    ] = 60,
    from_time: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Only records created since then.")
    ] = None,
    to_time: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only records created before then.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", min=1, help="Refuse the query if it would read more bytes.")
    ] = None,
    max_age_minutes: Annotated[
        int | None,
        typer.Option(
            "--max-age",
            min=0,
            max=525_600,
            metavar="MINUTES",
            help="Take an earlier result, of this age at most, though data changed since; 0 runs the query anyhow.",
        ),
    ] = None,
    version: Annotated[
        Version, typer.Option("--api", help="Version of the contract: v1 queries the tables of data_hist_v1.")
    ] = Version.v0,
    as_json: AsJson = False,
) -> int:
    """Run a query and show its rows.

    As a table the first 1,000 rows are shown; the other formats give all of them. How the query is doing is told on
    standard error.
    """
    from cli.client import Client, NotReachable, ServiceProblem

    if sql == "-":
        sql = sys.stdin.read()
    chosen = output_format or (Format.json if as_json else _format_of(out))
    if chosen is Format.parquet and out is None and sys.stdout.isatty():
        raise Failure("Parquet is not for a terminal: name a file with --out")
    try:
        with Client(url, key_of(key), version=version.value) as client:
            execution = _run(
                client,
                sql,
                {
                    "retention_minutes": retention_minutes,
                    "from": from_time,
                    "to": to_time,
                    "max_bytes_scanned": max_bytes,
                    "reuse": None if max_age_minutes is None else {"max_age_minutes": max_age_minutes},
                },
            )
            _deliver(client, execution, chosen, out, is_whole_document=as_json and chosen is Format.json)
    except ServiceProblem as problem:
        raise failure_of(problem, sql) from problem
    except NotReachable as error:
        raise Failure(str(error), exit_code=ExitCode.NOT_REACHABLE, code="NotReachable") from error
    return 0


def _run(client: Client, sql: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """Submit and wait; the finished execution. Ctrl-C cancels the query."""
    progress = _Progress()
    execution = client.submit(sql, **members)
    progress.show(execution)
    try:
        if not execution["is_terminal"]:
            execution = client.wait(execution["query_id"], watch=progress.show, poll_seconds=_WATCH_SECONDS)
    except KeyboardInterrupt:
        client.cancel(execution["query_id"])
        progress.end()
        raise
    progress.end(execution)
    for warning in execution.get("warnings", []):
        place = ":".join(str(warning[name]) for name in ("object", "line") if name in warning)
        say(f"warning: {place + ': ' if place else ''}{warning.get('detail') or warning.get('code')}")
    if not execution["has_result"]:
        error = execution.get("error") or {}
        detail = error.get("detail") or f"the query was {execution['status'].lower()}"
        raise Failure(
            detail,
            exit_code=ExitCode.QUERY_FAILED,
            code=error.get("code") or "QueryFailed",
            members={"query_id": execution["query_id"], "status": execution["status"]},
        )
    return execution


def _deliver(
    client: Client, execution: Mapping[str, Any], chosen: Format, out: Path | None, *, is_whole_document: bool
) -> None:
    query_id = execution["query_id"]
    if chosen in (Format.csv, Format.parquet):
        with client.download(query_id, chosen.value) as pieces, _destination(out) as file:
            for piece in pieces:
                file.write(piece)
    elif chosen is Format.json:
        with _destination(out) as file:
            for piece in _json_pieces(client, execution, is_whole_document=is_whole_document):
                file.write(piece)
    else:
        page = next(client.pages(query_id, results_per_page=_TABLE_ROWS))
        _show_table(page, execution, out)
        return
    if out is not None:
        say(f"written to {out}")


def _json_pieces(client: Client, execution: Mapping[str, Any], *, is_whole_document: bool) -> Iterator[bytes]:
    """The rows as one JSON array, page by page; as a whole document, with what is known of the query around it."""
    if is_whole_document:
        names = ("query_id", "status", "reused_from", "columns", "statistics", "warnings")
        head = {name: execution.get(name) for name in names}
        yield orjson.dumps({name: value for name, value in head.items() if value is not None})[:-1] + b',"result_set":'
    yield b"["
    separator, row_count = b"\n", 0
    for page in client.pages(execution["query_id"]):
        for row in page["result_set"]:
            yield separator + orjson.dumps(row)
            separator = b",\n"
        row_count += page["row_count"]
    yield b"\n]" if row_count else b"]"
    yield b',"row_count":%d}\n' % row_count if is_whole_document else b"\n"


def _show_table(page: Mapping[str, Any], execution: Mapping[str, Any], out: Path | None) -> None:
    columns = [(column["name"], _is_number(column["type"])) for column in page["columns"]]
    rows = [[_cell(row.get(name)) for name, _ in columns] for row in page["result_set"]]
    if out is None:
        write_table(columns, rows)
    else:
        with _destination(out) as file:
            for line in ([name for name, _ in columns], *rows):
                file.write("\t".join(line).encode("utf-8", "replace") + b"\n")
    if page.get("paging_token"):
        total = execution.get("statistics", {}).get("rows_total")
        of_all = f" of {counted(total, 'row')}" if total is not None else ""
        say(f"only the first {page['row_count']:,}{of_all} are shown; --format csv gives all")


@contextmanager
def _destination(out: Path | None) -> Iterator[IO[bytes]]:
    """Where rows go: standard output, or a file that has its name only once it is whole."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = out.with_name(f"{out.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(out)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _format_of(out: Path | None) -> Format:
    """The format a file's name asks for; a table without one."""
    suffix = "" if out is None else out.suffix.lower().lstrip(".")
    return Format(suffix) if suffix in ("csv", "json", "parquet") else Format.table


def _is_number(type_text: str) -> bool:
    return type_text.partition("(")[0] in ("tinyint", "smallint", "integer", "bigint", "real", "double", "decimal")


def _cell(value: object) -> str:
    """A value in a table's cell: text as it is, null as `NULL`, anything nested as JSON."""
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else orjson.dumps(value).decode("utf-8")


class _Progress:
    """The line on standard error: state, seconds, bytes read so far. On no terminal only its last state is told."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._is_live = sys.stderr.isatty()

    def show(self, execution: Mapping[str, Any]) -> None:
        """Draw the line anew."""
        if self._is_live:
            sys.stderr.write(f"\r\033[K{self._text(execution)}")
            sys.stderr.flush()

    def end(self, execution: Mapping[str, Any] | None = None) -> None:
        """Leave the last state behind."""
        if self._is_live:
            sys.stderr.write("\r\033[K")
        if execution is not None:
            say(self._text(execution))

    def _text(self, execution: Mapping[str, Any]) -> str:
        statistics = execution.get("statistics") or {}
        parts = [f"{execution['status']} {time.monotonic() - self._start:.1f} s"]
        if execution.get("queue_position"):
            parts.append(f"place {execution['queue_position']} in the queue")
        if statistics.get("data_scanned_bytes") is not None:
            parts.append(f"{shown_bytes(statistics['data_scanned_bytes'])} scanned")
        if execution.get("reused_from"):
            parts.append(f"reused from {execution['reused_from']}")
        if statistics.get("rows_total") is not None:
            parts.append(counted(statistics["rows_total"], "row"))
        return ", ".join(parts)


def failure_of(problem: ServiceProblem, sql: str | None = None) -> Failure:
    """The end of a command that the service answered with a problem: whose turn it is, and where in the SQL."""
    document = problem.document
    if problem.status in (401, 403) or problem.code == "BudgetExceeded":
        exit_code = ExitCode.NOT_ALLOWED
    elif problem.status in (429, 502, 503, 504):
        exit_code = ExitCode.NOT_REACHABLE
    elif document.get("location") or document.get("query_id") or problem.code in _STATEMENT_CODES:
        exit_code = ExitCode.QUERY_FAILED
    else:
        exit_code = ExitCode.USAGE if problem.status < 500 else ExitCode.QUERY_FAILED
    suggestions = document.get("suggestions") or []
    is_new = bool(suggestions) and "did you mean" not in str(problem)
    hint = f"; did you mean {' or '.join(suggestions[:3])}?" if is_new else ""
    members = {name: document[name] for name in document if name not in ("code", "detail", "type", "title", "instance")}
    return Failure(
        f"{problem}{hint}", exit_code=exit_code, code=problem.code, members=members, lines=caret_lines(sql, document)
    )


_STATEMENT_CODES = frozenset(
    {
        "InvalidQuerySyntax", "StatementNotAllowed", "StatementTooLong", "TableNotFound", "ColumnNotFound",
        "ColumnNotAllowed", "ScanLimitExceeded", "QueryFailed",
    }
)  # fmt: skip


def caret_lines(sql: str | None, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The line of the SQL that is at fault and a caret under its column; nothing where the place is not known."""
    location = document.get("location")
    if not sql or not isinstance(location, Mapping):
        return ()
    lines = sql.split("\n")
    line, column = location.get("line", 0), location.get("column", 0)
    if not 1 <= line <= len(lines) or not 1 <= column <= len(lines[line - 1]) + 1:
        return ()
    text = lines[line - 1]
    start = max(0, column - 60)  # a long line is shown around its fault
    shown = text[start : start + 100].replace("\t", " ")
    return (f"  {shown}", "  " + " " * (column - 1 - start) + "^")
