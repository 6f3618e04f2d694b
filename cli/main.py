"""The `data-hist` command: a module per noun, put together here.

Every command returns its exit status (cli.exit_codes) or ends by a Failure, which becomes one sentence on standard
error and, with `--json`, a JSON document on standard output. Heavy imports live inside the commands: `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.main

from api.aws_region import respect_aws_region
from cli import backup, compaction, crawler, keys, partitions, retention, store, tables, tables_plan
from cli.aws import aws
from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.load import load
from cli.output import say, write_json
from cli.projection import projection
from cli.query import query
from cli.sample import sample
from cli.serve import serve
from cli.tables_check import check
from cli.usage import usage

app = typer.Typer(
    name="data-hist",
    help="Historical Event Viewer Service: SQL over the history of events, metrics and logs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(query)
app.command()(usage)
app.command()(load)
app.command()(sample)
app.command()(aws)
for command in (tables_plan.plan, tables_plan.diff, tables_plan.apply, check, projection):
    tables.app.command()(command)
app.add_typer(tables.app, name="tables")
partitions.app.command()(compaction.compact)
app.add_typer(partitions.app, name="partitions")
app.add_typer(compaction.app, name="compactions")
app.add_typer(retention.app, name="retention")
app.add_typer(crawler.app, name="crawler")
app.add_typer(keys.app, name="keys")
app.add_typer(store.app, name="store")
app.add_typer(backup.app, name="backup")

# What Typer raises for a wrong command line: its own copy of click's ClickException, under no public name.
_UsageFault: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def main() -> None:
    """The entry point `data-hist`."""
    respect_aws_region()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status. Nothing but data is written to standard output."""
    wants_json = "--json" in arguments
    try:
        status = typer.main.get_command(app).main(list(arguments), prog_name="data-hist", standalone_mode=False)
        return int(status) if isinstance(status, int) else ExitCode.OK
    except Failure as failure:
        return _end(failure, wants_json)
    except _UsageFault as fault:
        return _end(_usage_failure(fault), wants_json)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # whoever read us has enough; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        if os.environ.get("DATA_HIST_DEBUG"):
            raise
        message = f"a defect of data-hist: {type(error).__name__}: {error} (DATA_HIST_DEBUG=1 shows where)"
        return _end(Failure(message, exit_code=ExitCode.INTERNAL, code="InternalError"), wants_json)


def _end(failure: Failure, wants_json: bool) -> int:
    if failure.message:  # a group without a command has shown its help already
        say(f"data-hist: {failure.message}")
    for line in failure.lines:
        say(line)
    if wants_json:
        write_json(failure.document())
    return failure.exit_code


def _usage_failure(fault: Any) -> Failure:
    message = fault.format_message().replace(": Value error, ", ": ")
    context = getattr(fault, "ctx", None)
    if message and context is not None:
        message = message if message.endswith("?") else f"{message.rstrip('.')}."
        message += f" See {context.command_path} --help"
    return Failure(message, members={"usage": context.get_usage()} if context is not None else None)


if __name__ == "__main__":
    main()
