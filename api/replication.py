"""What the replicas of a service share, or one has for itself: executions, ownership, keys, secrets, usage, spools.

    DATA_HIST_STORE=sqlite      one replica: SQLite files and a lock file in the data directory
    DATA_HIST_STORE=dynamodb    any number: DynamoDB tables (service.dynamodb_tables), and large spools in S3

A composition root: the only place of the server that makes a DynamoDB client. boto3's own variables and profiles say
whose account and where (`AWS_ENDPOINT_URL_DYNAMODB` for a stand-in).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from api.settings import Settings, SettingsError
from glue.aws_clients import error_code
from service.engine_slots import EngineSlots, UnlimitedSlots
from service.executions import ExecutionStore
from service.key_store import KeyStore, SqliteKeyStore
from service.managed_secrets import PREFIX, ManagedKeyRing, SecretReference, SecretUnreadable, read_secret
from service.ownership import LocalOwnership, Ownership
from service.queries import QueryServiceSettings
from service.scheduler import SchedulerLimits
from service.shared_spools import NoSharedSpools, S3SharedSpools, SharedSpools
from service.signing_secrets import FixedKeyRing, KeyRing, KeyRingFile, load_or_create_secret, secrets_of
from service.sqlite_executions import SqliteExecutionStore
from service.sqlite_usage import SqliteUsageStore
from service.usage import UsageStore

ADOPTIONS_PER_LEASE = 3
CLOCK_TOLERANCE = timedelta(minutes=1)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Replication:
    """See the module. `close_clients` comes last, after the query service is closed."""

    store: ExecutionStore
    ownership: Ownership
    key_ring: KeyRing
    slots: EngineSlots
    usage: UsageStore
    shared_spools: SharedSpools
    settings: QueryServiceSettings
    close_clients: Callable[[], None]


def open_replication(data_dir: Path, settings: Settings, *, s3: Any, engine_name: str, clock: Clock) -> Replication:
    """What the settings name. Raises SettingsError for secrets that cannot be used and tables that are not there."""
    limits = SchedulerLimits(
        maximum_concurrent=settings.max_concurrent_queries,
        maximum_queued=settings.max_queued_queries,
        is_alone=settings.store != "dynamodb",
    )
    if settings.store != "dynamodb":
        return Replication(
            SqliteExecutionStore(data_dir / "executions.sqlite"),
            LocalOwnership(data_dir / "owners"),
            _key_ring(data_dir, settings),
            UnlimitedSlots(),
            SqliteUsageStore(data_dir / "usage.sqlite"),
            NoSharedSpools(),
            QueryServiceSettings(limits=limits, sweep_interval_seconds=settings.sweep_interval_seconds),
            lambda: None,
        )
    return _shared(data_dir, settings, limits, s3=s3, engine_name=engine_name, clock=clock)


def open_key_store(data_dir: Path, settings: Settings) -> KeyStore:
    """Where the API keys are kept. Raises SettingsError when their table is not there."""
    if settings.store != "dynamodb":
        return SqliteKeyStore(data_dir / "keys.sqlite")
    from service.dynamodb_keys import DynamoDbKeyStore

    dynamodb = dynamodb_client()
    _require_tables(dynamodb, settings.keys_table)
    return DynamoDbKeyStore(dynamodb, settings.keys_table)


def dynamodb_client() -> Any:
    """boto3's client, with time limits that fit the store: it is asked often and answers within milliseconds."""
    import boto3  # a service of one replica does not pay for it
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    return boto3.client(
        "dynamodb", config=Config(connect_timeout=2, read_timeout=5, retries=retries, max_pool_connections=64)
    )


def _shared(
    data_dir: Path, settings: Settings, limits: SchedulerLimits, *, s3: Any, engine_name: str, clock: Clock
) -> Replication:
    from service.dynamodb_executions import DynamoDbExecutionStore
    from service.dynamodb_usage import DynamoDbUsageStore
    from service.leases import LeasedSlots, LeaseOwnership

    dynamodb = dynamodb_client()
    _require_tables(dynamodb, settings.executions_table, settings.leases_table, settings.usage_table)
    ownership = LeaseOwnership(dynamodb, settings.leases_table, lease_seconds=settings.lease_seconds, clock=clock)
    slots: EngineSlots = UnlimitedSlots()
    if settings.max_concurrent_queries_total is not None:
        limit = settings.max_concurrent_queries_total
        slots = LeasedSlots(dynamodb, settings.leases_table, engine_name=engine_name, limit=limit, ownership=ownership)
    return Replication(
        DynamoDbExecutionStore(dynamodb, settings.executions_table, clock=clock),
        ownership,
        _key_ring(data_dir, settings),
        slots,
        DynamoDbUsageStore(dynamodb, settings.usage_table),
        S3SharedSpools(s3, sleep=time.sleep),
        QueryServiceSettings(
            limits=limits,
            sweep_interval_seconds=settings.sweep_interval_seconds,
            adoption_interval_seconds=settings.lease_seconds / ADOPTIONS_PER_LEASE,
            clock_tolerance=CLOCK_TOLERANCE,
        ),
        dynamodb.close,
    )


def _key_ring(data_dir: Path, settings: Settings) -> KeyRing:
    try:
        if settings.secret_file is not None:
            return KeyRingFile(settings.secret_file)
        if settings.secret is not None and settings.secret.startswith(PREFIX):
            return _managed_key_ring(SecretReference.parse(settings.secret))
        if settings.secret is not None:
            return FixedKeyRing(*(secret.value for secret in secrets_of(settings.secret.encode())))
        return FixedKeyRing(load_or_create_secret(data_dir / "secret"))
    except OSError as error:
        raise SettingsError(f"the secrets cannot be read: {error}") from error
    except ValueError as error:
        raise SettingsError(f"the secrets cannot be used: {error}") from error


def _managed_key_ring(reference: SecretReference) -> KeyRing:
    """The secrets that AWS Secrets Manager keeps. Raises SettingsError when it does not give them."""
    import boto3  # as dynamodb_client
    from botocore.config import Config

    secrets_manager = boto3.client("secretsmanager", config=Config(connect_timeout=2, read_timeout=5))
    try:
        return ManagedKeyRing(lambda: read_secret(secrets_manager, reference))
    except SecretUnreadable as error:
        raise SettingsError(f"the secrets cannot be read: {error}") from error


def _require_tables(dynamodb: Any, *names: str) -> None:
    """Raises SettingsError when one is not there; who may not look is not kept from working."""
    for name in names:
        try:
            dynamodb.describe_table(TableName=name)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise SettingsError(
                    f"there is no DynamoDB table {name}; Terraform makes it (deploy/), or: data-hist store create"
                ) from error
            if error_code(error) != "AccessDeniedException":
                raise SettingsError(f"DynamoDB refuses: {error_code(error)}") from error
        except BotoCoreError as error:
            raise SettingsError(f"DynamoDB cannot be reached: {error}") from error
