"""A query service put together from fakes and from the real store, spool and scheduler, in a temporary folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opentelemetry.trace import Tracer

from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from service.budgets import BudgetPlan, Budgets
from service.engine import Engine
from service.engines.athena import AthenaEngine, WorkGroup
from service.errors import InvalidQuerySyntax
from service.executions import StoredExecution
from service.model import Caller
from service.open_queries import QueryLimits
from service.ownership import LocalOwnership
from service.queries import QueryService, QueryServiceSettings
from service.reuse import DataVersions
from service.scheduler import SchedulerLimits
from service.signing_secrets import FixedKeyRing
from service.spool import Spools
from service.sql.plan import PlannedStatement, PlannedTable, TimeRange
from service.sqlite_executions import SqliteExecutionStore
from service.sqlite_usage import SqliteUsageStore
from service.tokens import TokenSigner
from service.tracing import NO_TRACER
from tests.fakes.aws import FakeAthena, FakeS3

_ANY_TIME = TimeRange()
ALICE = Caller(tenant="alice", customers=frozenset({11000}), scopes=frozenset({"query"}), key_id="key-a")
BOB = Caller(tenant="bob", customers=frozenset({11001}), scopes=frozenset({"query"}), key_id="key-b")


class FakeClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class FakePlanner:
    """Passes SQL through; `syntax error` is one, `tables` are what every statement reads."""

    def __init__(self) -> None:
        self.tables: tuple[PlannedTable, ...] = ()
        self.is_repeatable = True
        self.valid_until: datetime | None = None
        self.plan_count = 0

    def plan(
        self, sql: str, caller: Caller, *, time_range: TimeRange = _ANY_TIME, parameters: Sequence[object] = ()
    ) -> PlannedStatement:
        if sql == "syntax error":
            raise InvalidQuerySyntax("line 1:1: mismatched input 'syntax'", line=1, column=1)
        self.plan_count += 1
        engine_sql = sql.replace("{plan}", str(self.plan_count))
        return PlannedStatement(
            engine_sql, "SELECT", self.tables, valid_until=self.valid_until, is_repeatable=self.is_repeatable
        )


@dataclass
class FakeDataVersions:
    """Data of one version at a time. `is_told_at_start`: as a ledger tells it; otherwise as an engine that looks."""

    current: str | None = "1"
    read: dict[str, str] = field(default_factory=dict)
    is_told_at_start: bool = True

    def now(self, planned: PlannedStatement) -> str | None:
        return self.current

    def at_start(self, planned: PlannedStatement) -> str | None:
        return self.current if self.is_told_at_start else None

    def read_by(self, stored: StoredExecution) -> str | None:
        return stored.data_version if self.is_told_at_start else self.read.get(stored.engine_id or "")


@dataclass
class World:
    folder: Path
    limits: SchedulerLimits = field(default_factory=lambda: SchedulerLimits(maximum_concurrent=2))
    clock: FakeClock = field(default_factory=FakeClock)
    planner: FakePlanner = field(default_factory=FakePlanner)
    query_limits: QueryLimits | None = None
    plan: BudgetPlan = field(default_factory=BudgetPlan)
    data_versions: DataVersions | None = None
    tracer: Tracer = NO_TRACER

    def __post_init__(self) -> None:
        self.s3 = FakeS3()
        self.athena = FakeAthena(self.s3)
        self.ledger = SqliteLedger(self.folder / "ledger.sqlite")
        self.services: list[QueryService] = []

    def engine(self) -> AthenaEngine:
        return AthenaEngine(
            self.athena,
            self.s3,
            database="data_hist",
            work_group=WorkGroup(output_location=self.athena.location),
            slowest_poll_seconds=0.02,
        )

    def budgets(self) -> Budgets:
        """A new process's budgets over the same storage."""
        return Budgets(SqliteUsageStore(self.folder / "usage.sqlite"), self.plan, clock=self.clock)

    def service(self, engine: Engine | None = None) -> QueryService:
        """A new process's service over the same storage."""
        return QueryService(
            planner=self.planner,
            ledger=self.ledger,
            tables={spec.name: spec for spec in load_table_specs().values() if spec.database == "data_hist"},
            store=SqliteExecutionStore(self.folder / "executions.sqlite"),
            engine=engine or self.engine(),
            spools=Spools(self.folder / "spool"),
            signer=TokenSigner(FixedKeyRing(b"s" * 32)),
            ownership=LocalOwnership(self.folder / "owners"),
            clock=self.clock,
            settings=QueryServiceSettings(limits=self.limits, adoption_interval_seconds=0.05),
            query_limits=self.query_limits,
            budgets=self.budgets(),
            data_versions=self.data_versions,
            tracer=self.tracer,
        )

    def close(self) -> None:
        self.ledger.close()
