"""`data-hist usage`: what was used, in bytes and money, and how the budget of the day stands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_URL, AsJson, Key, Url, key_of
from cli.output import say, shown_bytes, write_json, write_table


class By(StrEnum):
    """What there is a line for."""

    day = "day"
    tenant = "tenant"
    key = "key"


def usage(
    by: Annotated[By, typer.Option("--by", help="A line for each day, tenant or key.")] = By.day,
    from_text: Annotated[str | None, typer.Option("--from", help="The first day (UTC); six days ago.")] = None,
    to_text: Annotated[str | None, typer.Option("--to", help="The day after the last one; tomorrow.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> int:
    """Show what queries have read and what that costs: your tenant's, or everybody's with a key for all customers."""
    from cli.client import Client, NotReachable, ServiceProblem
    from cli.query import failure_of

    try:
        with Client(url, key_of(key)) as client:
            report = client.usage(by=by.value, from_=from_text, to=to_text)
    except ServiceProblem as problem:
        raise failure_of(problem) from problem
    except NotReachable as error:
        raise Failure(str(error), exit_code=ExitCode.NOT_REACHABLE, code="NotReachable") from error
    if as_json:
        write_json(report)
        return ExitCode.OK
    names = {By.day: ("day",), By.tenant: ("tenant",), By.key: ("tenant", "key_id")}[by]
    columns = [
        *((name, False) for name in names),
        ("queries", True),
        ("scanned", True),
        ("reserved", True),
        ("usd", True),
    ]
    write_table(columns, [_row(names, line) for line in report["usage"]])
    budget = report.get("budget")
    if budget:
        used, limit = shown_bytes(budget["used_bytes"]), shown_bytes(budget["limit_bytes"])
        say(f"{used} of {limit} used today; the budget begins anew at {budget['resets_at']}")
    return ExitCode.OK


def _row(names: tuple[str, ...], line: dict[str, Any]) -> tuple[str, ...]:
    reserved = line.get("reserved_bytes")
    return (
        *(str(line.get(name, "-")) for name in names),
        f"{line['query_count']:,}",
        shown_bytes(line["scanned_bytes"]),
        "-" if reserved is None else shown_bytes(reserved),
        f"{line['estimated_cost_usd']:.6f}",
    )
