"""The catalogue holds what the table specs say: databases and tables are made, and follow their specs safely.

For composition roots, at start. Doing it twice equals doing it once; a table that nobody changed costs one GetTable.
Whether a spec changed is told by a hash kept in the table's parameters. What would break somebody is left as it is and
told (`left`): `data-hist tables apply --allow-breaking` does it. What others put on a table is kept. The rules are
those of glue.catalogue_plan.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from botocore.exceptions import ClientError

from glue.aws_clients import S3Client, error_code, error_message
from glue.catalogue_plan import CatalogueChange, CatalogueClient, apply_table, ensure_database, is_as_noted
from glue.table_spec import ColumnSpec, TableSpec

_LOG = logging.getLogger(__name__)
Change = Literal["created", "updated", "unchanged"]
_CHANGES: Mapping[str, Change] = {"create": "created", "update": "updated", "none": "unchanged"}


@dataclass(frozen=True)
class BootstrapReport:
    """What was done to each table, by `database.table`, and what was left since it would break something."""

    tables: dict[str, Change]
    left: dict[str, tuple[CatalogueChange, ...]] = field(default_factory=dict)

    @property
    def has_changed(self) -> bool:
        """Whether anything was written."""
        return any(change != "unchanged" for change in self.tables.values())


def ensure_catalogue(glue_client: CatalogueClient, specs: Iterable[TableSpec]) -> BootstrapReport:
    """Databases and tables of these specs exist in the catalogue afterwards, as the specs say."""
    report = BootstrapReport({})
    databases: set[str] = set()
    for spec in specs:
        if spec.database not in databases:
            ensure_database(glue_client, spec.database)
            databases.add(spec.database)
        _ensure_table(glue_client, spec, report)
    return report


def as_stored(glue_client: CatalogueClient, spec: TableSpec) -> TableSpec:
    """The spec told which columns the catalogue's table has, for a catalogue that is not ours to change at start.

    Raised fields that are not columns there yet (`data-hist tables apply` adds them) are computed by queries then. A
    table that cannot be asked for counts as having none.
    """
    try:
        table = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"]
    except ClientError as error:
        _LOG.warning("table %s: %s; its raised fields are computed", spec.reference, error_message(error))
        return replace(spec, catalogue_columns=spec.columns)
    columns = (table.get("StorageDescriptor") or {}).get("Columns") or ()
    found = tuple(ColumnSpec(c["Name"].lower(), c.get("Type", ""), c.get("Comment", "")) for c in columns)
    return replace(spec, catalogue_columns=found or spec.columns)


def ensure_buckets(s3_client: S3Client, names: Iterable[str]) -> None:
    """These buckets exist afterwards. Only for the embedded S3: in production Terraform makes them."""
    for name in names:
        try:
            s3_client.create_bucket(Bucket=name)
        except ClientError as error:
            if error_code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise


def _ensure_table(glue_client: CatalogueClient, spec: TableSpec, report: BootstrapReport) -> None:
    name = f"{spec.database}.{spec.name}"
    if is_as_noted(glue_client, spec):
        report.tables[name] = "unchanged"
        return
    outcome = apply_table(glue_client, spec)
    report.tables[name] = _CHANGES[outcome.action]
    if outcome.left:
        report.left[name] = outcome.left
