"""The lake for commands that work without a running service: what the settings name, opened as the server opens it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import api.lake
from api.lake import utc_now
from api.settings import Settings, SettingsError
from cli.exit_codes import ExitCode
from cli.failure import Failure
from glue.aws_clients import error_code, error_message
from glue.table_spec import InvalidTableSpec, TableSpec

now = utc_now


@dataclasses.dataclass(frozen=True)
class Lake(api.lake.Lake):
    """A lake whose tables are named by people."""

    def table(self, name: str) -> TableSpec:
        """The table of this name. Ends the command when there is none, with the nearest name that is one."""
        if name in self.tables:
            return self.tables[name]
        near = difflib.get_close_matches(name, self.tables, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(self.tables)}"
        raise Failure(f"there is no table {name!r}{hint}", code="TableNotFound", members={"suggestions": near})


@contextmanager
def open_lake(data_dir: Path, *, is_embedded: bool = False, is_bootstrapped: bool = True) -> Iterator[Lake]:
    """The lake of this folder, made where it is not there yet, or of the AWS account that DATA_HIST_ENGINE names;
    `is_embedded` insists on the folder. Without `is_bootstrapped` the catalogue is left as it is.

    Ends the command when the folder cannot be used, a setting is wrong, or AWS refuses.
    """
    try:
        settings = Settings.from_environment()
        if is_embedded:
            settings = dataclasses.replace(settings, engine="embedded")
        opened = api.lake.open_lake(data_dir, settings, is_bootstrapped=is_bootstrapped)
    except OSError as error:
        raise Failure(f"the data directory {data_dir} cannot be used: {error.strerror or error}") from error
    except (SettingsError, InvalidTableSpec) as error:
        raise Failure(str(error), code="InvalidSettings") from error
    except BotoCoreError as error:  # no region, for one
        raise Failure(f"AWS: {error}", code="AwsUnavailable") from error
    lake = Lake(**{field.name: getattr(opened, field.name) for field in dataclasses.fields(opened)})
    try:
        yield lake
    except BotoCoreError as error:
        raise Failure(f"AWS: {error}", exit_code=ExitCode.NOT_REACHABLE, code="AwsUnavailable") from error
    except ClientError as error:
        raise Failure(f"AWS: {error_code(error)}: {error_message(error)}", code=error_code(error)) from error
    finally:
        lake.close()
