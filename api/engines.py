"""The engine that the settings name, with its clients: embedded Athena, AWS's Athena or Trino.

A composition root: the only place of the server that makes AWS clients for queries. boto3's own variables and profiles
say whose account and where; how long a call may take is said here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.lake import Lake
from api.settings import Settings
from embedded.athena import Athena
from service.engine import Engine
from service.engines.athena import AthenaEngine, WorkGroup
from service.executions import StoredExecution
from service.reuse import DataVersions, UnknownDataVersions
from service.sql.plan import PlannedStatement

DATABASE = "data_hist"

_EMBEDDED_SLOWEST_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class OpenEngine:
    """An engine and what has to be closed after it."""

    engine: Engine
    close_clients: Callable[[], None]
    data_versions: DataVersions = field(default_factory=UnknownDataVersions)


def open_engine(lake: Lake, settings: Settings, *, clock: Callable[[], datetime]) -> OpenEngine:
    """The engine that `settings` name, over the lake."""
    if settings.engine == "athena":
        return _athena(lake, settings)
    if settings.engine == "trino":
        return OpenEngine(_trino(lake, settings), close_clients=lambda: None)
    embedded = embedded_athena(lake, settings, clock=clock)
    work_group = WorkGroup(output_location=settings.output_location)
    engine = AthenaEngine(
        embedded,
        lake.s3,
        database=DATABASE,
        work_group=work_group,
        slowest_poll_seconds=_EMBEDDED_SLOWEST_POLL_SECONDS,
    )
    return OpenEngine(engine, embedded.close, EmbeddedDataVersions(embedded))


@dataclass(frozen=True)
class EmbeddedDataVersions:
    """Which data a query reads, told by the embedded Athena, which looks at the files themselves."""

    athena: Athena

    def now(self, planned: PlannedStatement) -> str | None:
        """As DataVersions.now."""
        return self.athena.data_version_now(planned.sql, database=DATABASE)

    def at_start(self, planned: PlannedStatement) -> str | None:  # noqa: ARG002 - the engine itself remembers
        """As DataVersions.at_start."""
        return None

    def read_by(self, stored: StoredExecution) -> str | None:
        """As DataVersions.read_by."""
        return None if stored.engine_id is None else self.athena.data_version(stored.engine_id)


def embedded_athena(lake: Lake, settings: Settings, *, clock: Callable[[], datetime]) -> Athena:
    """The embedded Athena of a lake."""
    return Athena(
        glue=lake.glue,
        s3=lake.s3,
        path=lake.data_dir / "athena.sqlite",
        temporary_directory=lake.data_dir / "temporary",
        clock=clock,
        max_concurrent_queries=settings.max_concurrent_queries,
        memory_limit=settings.engine_memory,
        lake_root=(lake.data_dir / "s3").resolve(),
    )


def athena_work_groups(settings: Settings) -> tuple[WorkGroup, WorkGroup]:
    """The work groups of customers and of operators; what the second does not say it has from the first."""
    customers = WorkGroup(settings.athena_work_group, None if settings.managed_results else settings.output_location)
    operators = WorkGroup(
        settings.athena_work_group_operator or customers.name,
        None if settings.managed_results else settings.output_location_operator or customers.output_location,
    )
    return customers, operators


def _athena(lake: Lake, settings: Settings) -> OpenEngine:
    athena = _athena_client(settings)
    customers, operators = athena_work_groups(settings)
    engine = AthenaEngine(athena, lake.s3, database=DATABASE, work_group=customers, operators=operators)
    return OpenEngine(engine, athena.close)


def _trino(lake: Lake, settings: Settings) -> Engine:
    from service.engines.trino import TrinoEngine  # its client is loaded where it is used only
    from service.engines.trino_protocol import TrinoServer

    server = TrinoServer(
        url=settings.trino_url or "",
        user=settings.trino_user,
        catalog=settings.trino_catalog,
        schema=DATABASE,
        source=settings.trino_source,
        client_tags=settings.trino_client_tags,
        session_properties=settings.trino_session_properties,
        password_file=settings.trino_password_file,
        token_file=settings.trino_token_file,
        ca_file=settings.trino_ca_file,
    )
    keys = {
        f"{spec.database}.{spec.name}": [column.name for column in spec.partition_keys] for spec in lake.tables.values()
    }
    return TrinoEngine(server, lake.s3, output_location=settings.output_location, partition_keys=keys)


def _athena_client(settings: Settings) -> Any:
    import boto3  # a laptop does not pay for it
    from botocore.config import Config

    # botocore's own retries are few and quick: the engine's are longer, and know which refusals are the queue's.
    # One connection for the poller, the others for queries that start, stop or are read by calls.
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=max(10, settings.max_concurrent_queries + 2),
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    return boto3.client("athena", config=config)
