"""Opens the lake that the settings name: storage, catalogue, ledger and table specs, without the engine.

For the server (api.composition) and for every command that works without one. With `DATA_HIST_ENGINE=embedded` the
clients are the embedded S3 and Glue over the data directory; with any other engine they are boto3's, which its own
variables and profiles configure. Quick to open: no DuckDB, no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from api.settings import Settings
from embedded.glue import Glue
from embedded.s3 import S3
from glue.bootstrap import BootstrapReport, ensure_buckets, ensure_catalogue
from glue.crawl_run import run_crawler
from glue.ledger import PartitionLedger
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import TableSpec, load_table_specs

Clock = Callable[[], datetime]
_LOG = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Lake:
    """The lake without the engine: enough to load, register and list tables.

    `tables` are the table specs by their reference.
    """

    data_dir: Path
    s3: Any  # the embedded S3, or boto3's client, which has its methods
    glue: Any  # the same
    ledger: PartitionLedger
    tables: Mapping[str, TableSpec]
    is_embedded: bool = True

    def close(self) -> None:
        """Closes every file and connection."""
        self.ledger.close()
        self.glue.close()


def open_lake(
    data_dir: Path, settings: Settings | None = None, *, clock: Clock = utc_now, is_bootstrapped: bool = True
) -> Lake:
    """The lake of a data directory, or of the AWS account.

    Embedded: buckets, databases and tables are there afterwards. In an account Terraform and `data-hist tables apply`
    make them. Raises OSError for a directory that cannot be used,
    InvalidTableSpec.
    """
    settings = settings or Settings()
    data_dir.mkdir(parents=True, exist_ok=True)
    tables = load_table_specs(settings.tables_dir, bucket=settings.lake_bucket)
    if settings.engine != "embedded":
        import boto3  # a laptop does not pay for it

        return Lake(
            data_dir=data_dir,
            s3=boto3.client("s3"),
            glue=boto3.client("glue"),
            ledger=_ledger(data_dir, settings, clock),
            tables=tables,
            is_embedded=False,
        )
    s3 = S3(data_dir / "s3", clock=clock)
    glue = Glue(data_dir / "catalogue.sqlite", clock=clock, crawl=partial(run_crawler, s3, clock))
    results_bucket = settings.output_location.removeprefix("s3://").partition("/")[0]
    ensure_buckets(s3, sorted({settings.lake_bucket, results_bucket, *(spec.bucket for spec in tables.values())}))
    if is_bootstrapped:
        _log_left(ensure_catalogue(glue, tables.values()))
    return Lake(data_dir=data_dir, s3=s3, glue=glue, ledger=_ledger(data_dir, settings, clock), tables=tables)


def _log_left(report: BootstrapReport) -> None:
    """What a start must not do by itself, an operator has to see."""
    for table, changes in report.left.items():
        shown = ", ".join(f"{change.sign}{change.part} {change.name}".strip() for change in changes)
        _LOG.warning(
            "table %s differs from its spec in what would break something: %s; data-hist tables plan", table, shown
        )


def _ledger(data_dir: Path, settings: Settings, clock: Clock) -> PartitionLedger:
    if settings.ledger == "sqlite":
        return SqliteLedger(data_dir / "ledger.sqlite")
    import boto3  # a laptop does not pay for it

    from glue.dynamodb_ledger import DynamoDbLedger

    return DynamoDbLedger(boto3.client("dynamodb"), settings.ledger_table, clock=clock)
