"""`data-hist store`: the DynamoDB tables that the replicas of a service share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import AsJson
from cli.output import say, write_json, write_table

if TYPE_CHECKING:
    from glue.dynamodb_table import TableDefinition

app = typer.Typer(help="The DynamoDB tables of several replicas.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """The DynamoDB tables that replicas share. Names come from DATA_HIST_EXECUTIONS_TABLE and its kin."""


@app.command()
def show(as_json: AsJson = False) -> int:
    """Compare the tables that are there with what the service needs; with --json the definitions too.

    Ends with status 3 when one is missing or differs.
    """
    from glue.dynamodb_table import differences

    with _dynamodb() as dynamodb:
        found = [(definition, name, differences(dynamodb, definition, name)) for definition, name in _tables()]
    if as_json:
        write_json(
            {
                "tables": [
                    {
                        "table": name,
                        "differences": list(differs),
                        "definition": {**definition.as_data(), "TableName": name},
                    }
                    for definition, name, differs in found
                ]
            }
        )
    else:
        rows = [(name, definition.setting, "; ".join(differs) or "as needed") for definition, name, differs in found]
        write_table([("table", False), ("setting", False), ("state", False)], rows)
    return ExitCode.PARTLY if any(differs for _, _, differs in found) else ExitCode.OK


@app.command()
def create(as_json: AsJson = False) -> int:
    """Make the tables that are not there. In an AWS account Terraform does it; this is for a stand-in of AWS."""
    from glue.dynamodb_table import create_table

    with _dynamodb() as dynamodb:
        made = {name: create_table(dynamodb, definition, name) for definition, name in _tables()}
    if as_json:
        write_json({"tables": [{"table": name, "is_new": is_new} for name, is_new in made.items()]})
    else:
        for name, is_new in made.items():
            say(f"{name}: {'made' if is_new else 'was there'}")
    return ExitCode.OK


def _tables() -> list[tuple[TableDefinition, str]]:
    """The definitions with the names that the settings give them."""
    from api.settings import PREFIX, Settings, SettingsError
    from service.dynamodb_tables import TABLES

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        raise Failure(str(error), code="InvalidSettings") from error
    named = ((definition, definition.setting.removeprefix(PREFIX).lower()) for definition in TABLES)
    return [(definition, getattr(settings, setting)) for definition, setting in named if hasattr(settings, setting)]


@contextmanager
def _dynamodb() -> Iterator[Any]:
    """The client. Ends the command when AWS refuses or cannot be reached."""
    from botocore.exceptions import BotoCoreError, ClientError

    from api.replication import dynamodb_client
    from glue.aws_clients import error_code, error_message

    try:
        client = dynamodb_client()
        try:
            yield client
        finally:
            client.close()
    except BotoCoreError as error:
        raise Failure(f"AWS: {error}", exit_code=ExitCode.NOT_REACHABLE, code="AwsUnavailable") from error
    except ClientError as error:
        raise Failure(f"AWS: {error_code(error)}: {error_message(error)}", code=error_code(error)) from error
