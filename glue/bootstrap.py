"""The catalogue holds what the table specs say: databases and tables are made, and changed only when a spec changed.

For composition roots, at start. Doing it twice equals doing it once; a table that nobody changed costs one GetTable.
Whether a spec changed is told by a hash kept in the table's parameters, since UpdateTable makes a table version each
time and a table has room for 100,000 of them. Parameters that others put on the table are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from glue.aws_clients import GlueClient, S3Client, error_code
from glue.table_spec import SPEC_HASH_PARAMETER, TableSpec

Change = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class BootstrapReport:
    """What was done to each table, by `database.table`."""

    tables: dict[str, Change]

    @property
    def has_changed(self) -> bool:
        """Whether anything was written."""
        return any(change != "unchanged" for change in self.tables.values())


def ensure_catalogue(glue_client: GlueClient, specs: Iterable[TableSpec]) -> BootstrapReport:
    """Databases and tables of these specs exist in the catalogue afterwards, as the specs say."""
    changes: dict[str, Change] = {}
    databases: set[str] = set()
    for spec in specs:
        if spec.database not in databases:
            _ensure_database(glue_client, spec.database)
            databases.add(spec.database)
        changes[f"{spec.database}.{spec.name}"] = _ensure_table(glue_client, spec)
    return BootstrapReport(changes)


def ensure_buckets(s3_client: S3Client, names: Iterable[str]) -> None:
    """These buckets exist afterwards. Only for the embedded S3: in production Terraform makes them."""
    for name in names:
        try:
            s3_client.create_bucket(Bucket=name)
        except ClientError as error:
            if error_code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise


def _ensure_database(glue_client: GlueClient, name: str) -> None:
    try:
        glue_client.create_database(DatabaseInput={"Name": name, "Description": "Historical Event Viewer Service"})
    except ClientError as error:
        if error_code(error) != "AlreadyExistsException":
            raise


def _ensure_table(glue_client: GlueClient, spec: TableSpec) -> Change:
    wanted = spec.table_input()
    try:
        current = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"]
    except ClientError as error:
        if error_code(error) != "EntityNotFoundException":
            raise
        return _create_table(glue_client, spec, wanted)
    parameters = current.get("Parameters", {})
    if parameters.get(SPEC_HASH_PARAMETER) == wanted["Parameters"][SPEC_HASH_PARAMETER]:
        return "unchanged"
    wanted["Parameters"] = {**parameters, **wanted["Parameters"]}
    glue_client.update_table(DatabaseName=spec.database, TableInput=wanted)
    return "updated"


def _create_table(glue_client: GlueClient, spec: TableSpec, wanted: dict[str, Any]) -> Change:
    try:
        glue_client.create_table(DatabaseName=spec.database, TableInput=wanted)
    except ClientError as error:
        if error_code(error) != "AlreadyExistsException":  # somebody else was a moment faster, with the same spec
            raise
        return "unchanged"
    return "created"
