"""The query use cases: submit, status, next page, cancel, list, validate, download, tables. The public face of
`service`.

Every method takes the Caller; a query of another tenant is QueryNotFound. Methods are coroutines that never block the
event loop: blocking work runs in bounded pools of the service's own. The service is started and closed by its
composition root:

    service = QueryService(...)
    await service.start()          # takes up what an earlier process left unfinished
    execution = await service.submit(QueryRequest("SELECT ..."), caller)
    execution = await service.status(execution.query_id, caller, wait_seconds=10)
    page = await service.next_page(execution.query_id, caller)
    await service.close()

Faults of the SQL that can be seen at once are raised by submit (StatementError and its kin). What only the engine can
see is `execution.error` of a FAILED execution: status never raises it, so that the edge can decide (the contract:
blame `user` is a problem answer, any other blame is 200 with an `error` member).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from opentelemetry.trace import Tracer

from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.budgets import Budgets, Grouping, UsageReport
from service.changes import Changes
from service.databases import ServedDatabase, StatementPlanner
from service.downloads import arrow_chunks, csv_chunks, ndjson_chunks, parquet_chunks
from service.engine import ByteStream, Engine
from service.engine_slots import EngineSlots
from service.errors import (
    Blame,
    BudgetExceeded,
    EngineUnavailable,
    IdempotencyConflict,
    InvalidDownloadLink,
    InvalidPagingToken,
    InvalidRequest,
    NoSpaceForResult,
    QueryFailed,
    QueryFailure,
    QueryNotFinished,
    QueryNotFound,
    ResultExpired,
    ScanLimitExceeded,
    ServiceError,
    StoreUnavailable,
)
from service.estimates import Ledger, scan_estimates
from service.execution_records import submitted_at_microseconds
from service.executions import ExecutionStore, Plan, PlanInputs, StoredExecution, leader_of
from service.model import (
    DOWNLOAD_CONTENT_TYPES,
    MAXIMUM_LINK_MINUTES,
    MAXIMUM_RESULTS_PER_PAGE,
    MAXIMUM_RETENTION_MINUTES,
    MAXIMUM_WAIT_SECONDS,
    Caller,
    Download,
    DownloadFormat,
    DownloadLink,
    DryRun,
    EmptyReason,
    ExecutionListing,
    Page,
    PartitionListing,
    QueryExecution,
    QueryExplanation,
    QueryRequest,
    QueryStatus,
    ReuseWish,
    Statistics,
    TableDescription,
    TableExplanation,
    TableScanEstimate,
    estimated_cost_usd,
)
from service.open_queries import OpenQueries, QueryLimits
from service.ownership import Ownership
from service.pages import PageNotReady, page
from service.process_memory import return_large_buffers
from service.retention import RetentionSweeper
from service.reuse import DataVersions, ResultReuse
from service.running import QueryRunner
from service.scheduler import Scheduler, SchedulerLimits
from service.shared_spools import NoSharedSpools, SharedSpoolLost, SharedSpools
from service.spool import RowReader, SpoolBusy, SpoolFull, Spools
from service.sql.plan import PlannedStatement, TimeRange
from service.tables import partition_descriptions, query_freshness, table_description
from service.tokens import LinkGrant, ListingPosition, TokenSigner
from service.tracing import NO_TRACER, current_trace_parent

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_REMEMBERED_ENDINGS = 4096
_TROUBLE_SECONDS = 5.0
_LARGE_BYTES = 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_CREDIBLE = _EPOCH + timedelta(days=1)
# An explanation lists the lake for a range up to this; a longer one is explained from the ledger alone.
_LONGEST_LISTING = timedelta(days=2)


class RangeExplainer(Protocol):
    """Tells why a range of a table may have no rows (glue.explain.explain_range with its clients)."""

    def __call__(
        self, spec: TableSpec, start: datetime, end: datetime, *, looks_at_lake: bool
    ) -> Sequence[tuple[str, str]]:
        """(code, sentence) of each reason, the likeliest first."""
        ...


@dataclass(frozen=True)
class QueryServiceSettings:
    """How the service behaves; the defaults fit one machine.

    `page_wait_seconds`: how long next_page waits for rows that are just being spooled. `adoption_interval_seconds`: how
    often queries of ended processes are looked for. `clock_tolerance`: how much the clocks of replicas may differ
    before one deletes what another still serves.
    """

    limits: SchedulerLimits = field(default_factory=SchedulerLimits)
    maximum_attempts: int = 2
    pool_threads: int = 8
    page_wait_seconds: float = 10.0
    adoption_interval_seconds: float = 5.0
    sweep_interval_seconds: float = 30.0
    remembered_for: timedelta = timedelta(days=7)
    clock_tolerance: timedelta = timedelta()


class QueryService:
    """See the module. All coroutines may be called from any running event loop."""

    def __init__(
        self,
        *,
        planner: StatementPlanner,
        ledger: Ledger,
        tables: Mapping[str, TableSpec],
        store: ExecutionStore,
        engine: Engine,
        spools: Spools,
        signer: TokenSigner,
        ownership: Ownership,
        clock: Callable[[], datetime],
        settings: QueryServiceSettings | None = None,
        explain: RangeExplainer | None = None,
        tracer: Tracer = NO_TRACER,
        further_databases: Mapping[str, ServedDatabase] | None = None,
        shared_spools: SharedSpools | None = None,
        slots: EngineSlots | None = None,
        query_limits: QueryLimits | None = None,
        budgets: Budgets | None = None,
        on_ended: Callable[[StoredExecution], None] | None = None,
        data_versions: DataVersions | None = None,
    ) -> None:
        """Without `data_versions` no query is answered with the result of another."""
        self._settings = settings or QueryServiceSettings()
        self._databases: dict[str | None, ServedDatabase] = {None: ServedDatabase(planner, tables)}
        self._databases.update(further_databases or {})
        # what the ledger knows of a table is found by its reference, in whichever database it is
        self._specs = {spec.reference: spec for served in self._databases.values() for spec in served.tables.values()}
        self._ledger = ledger
        self._store = store
        self._engine = engine
        self._spools = spools
        self._signer = signer
        self._ownership = ownership
        self._clock = clock
        self._explain = explain
        self._tracer = tracer
        self._shared_spools = shared_spools or NoSharedSpools()
        self._changes = Changes()
        self._runner = QueryRunner(
            store,
            engine,
            spools,
            ownership=ownership,
            clock=clock,
            on_end=self._ended,
            plan_again=self._plan_again,
            on_progress=self._progressed,
            on_left=self._left,
            slots=slots,
            maximum_attempts=self._settings.maximum_attempts,
            tracer=tracer,
        )
        self._query_limits = query_limits or QueryLimits()
        self._open_queries = OpenQueries(self._is_unfinished)
        self._budgets = budgets
        self._on_ended = on_ended
        self._reuse = ResultReuse(
            store,
            spools,
            data_versions,
            ownership,
            clock=clock,
            maximum_waiting=self._settings.limits.maximum_queued,
        )
        self._scheduler = Scheduler(
            store, self._runner, ownership, self._settings.limits, look_at_follower=self._look_at_follower
        )
        self._sweeper = RetentionSweeper(
            store,
            engine,
            spools,
            self._shared_spools,
            clock=clock,
            remembered_for=self._settings.remembered_for,
            clock_tolerance=self._settings.clock_tolerance,
        )
        self._pool = ThreadPoolExecutor(self._settings.pool_threads, thread_name_prefix="query-service")
        # apart: writing spools again must not keep anybody from asking for a status, nor large ones the small ones
        self._spooling_pool = ThreadPoolExecutor(2, thread_name_prefix="query-service-spool")
        self._large_spooling_pool = ThreadPoolExecutor(1, thread_name_prefix="query-service-large-spool")
        self._sharing_pool = ThreadPoolExecutor(1, thread_name_prefix="query-service-share")
        self._followers_pool = ThreadPoolExecutor(1, thread_name_prefix="query-service-followers")
        self._upkeep: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._is_draining = False
        self._store_trouble: str | None = None
        # endings never change, so they are answered from memory; one process remembers this many
        self._endings: OrderedDict[str, StoredExecution] = OrderedDict()
        self._endings_lock = threading.Lock()
        # what this process drives changes by nobody else while it runs, so it is answered from memory too
        self._running: dict[str, StoredExecution] = {}
        self._spooling_again: set[str] = set()
        self._lost_results: dict[str, QueryFailed] = {}
        self._spooling_troubles: dict[str, tuple[float, ServiceError]] = {}

    async def start(self) -> None:
        """Takes up what an earlier process left unfinished and starts the upkeep (adoption, retention)."""
        return_large_buffers()
        await self._in_pool(self._ownership.start)
        await self._in_pool(self._scheduler.adopt_abandoned)
        self._upkeep = threading.Thread(target=self._run_upkeep, name="query-service-upkeep", daemon=True)
        self._upkeep.start()

    def begin_draining(self) -> None:
        """Says that the service is about to stop: it is not ready any more and takes up nobody's queries. What comes is
        still served.
        """
        self._is_draining = True

    async def close(self) -> None:
        """Stops taking queries, gives unfinished ones back for the next process, and closes everything it was given."""
        self._is_closing.set()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def submit(self, request: QueryRequest, caller: Caller) -> QueryExecution:
        """Plans, estimates, stores and queues one query; waits up to `request.wait_seconds` for a terminal state.

        Raises StatementError (and subclasses), InvalidRequest, ScanLimitExceeded, IdempotencyConflict, TooManyQueries,
        BudgetExceeded.
        """
        execution = await self._in_pool(self._submit, request, caller)
        if request.wait_seconds > 0 and not execution.is_terminal:
            execution = await self.status(execution.query_id, caller, wait_seconds=request.wait_seconds)
        return execution

    async def status(self, query_id: str, caller: Caller, *, wait_seconds: float = 0.0) -> QueryExecution:
        """The execution as it is now, or as soon as it is terminal within `wait_seconds` (at most 50).

        Raises QueryNotFound, ResultExpired.
        """
        ending = self._remembered_ending(query_id, caller)
        if ending is not None:
            return self._not_expired(ending).execution
        if wait_seconds <= 0:
            running = self._running.get(query_id)
            if running is not None and self._is_driven_here(running, caller):
                return running.execution
            stored = await self._in_pool(self._owned, query_id, caller)
        else:
            stored = await self._until_terminal(query_id, caller, min(wait_seconds, MAXIMUM_WAIT_SECONDS))
        return self._with_position(self._not_expired(stored))

    async def next_page(
        self,
        query_id: str,
        caller: Caller,
        *,
        paging_token: str | None = None,
        results_per_page: int = MAXIMUM_RESULTS_PER_PAGE,
    ) -> Page:
        """One page of the result; without a token the first.

        Raises QueryNotFound, QueryNotFinished, ResultExpired, InvalidPagingToken, InvalidRequest, QueryFailed.
        """
        if not 1 <= results_per_page <= MAXIMUM_RESULTS_PER_PAGE:
            detail = f"results_per_page must be from 1 to {MAXIMUM_RESULTS_PER_PAGE}"
            raise InvalidRequest(detail, field="results_per_page")
        page_in_memory = self._page_in_memory(query_id, caller, paging_token, results_per_page)
        if page_in_memory is not None:
            return page_in_memory
        deadline = time.monotonic() + self._settings.page_wait_seconds
        while True:
            try:
                return await self._in_pool(self._page, query_id, caller, paging_token, results_per_page)
            except PageNotReady:
                if time.monotonic() >= deadline:
                    raise QueryNotFinished(
                        "the query has finished, and these rows are still being written; ask again",
                        query_id=query_id,
                        status=QueryStatus.FINISHED,
                    ) from None
            await asyncio.sleep(0.02)

    async def explain_empty(self, query_id: str, caller: Caller) -> QueryExplanation:
        """Why this query has no rows, as far as catalogue, ledger and lake tell. Raises QueryNotFound and its kin."""
        return await self._in_pool(self._explain_empty, query_id, caller)

    async def cancel(self, query_id: str, caller: Caller) -> QueryExecution:
        """Cancels and answers once the execution is truly terminal; a terminal one is answered as it is.

        Raises QueryNotFound, EngineUnavailable (the engine does not confirm; the wish to cancel stays).
        """
        stored = await self._in_pool(self._request_cancel, query_id, caller)
        attempts = 0
        while not stored.execution.is_terminal:
            attempts += 1
            if attempts > 60:
                raise EngineUnavailable("the engine has not confirmed the end of the query", engine=self._engine.name)
            stored = await self._until_terminal(query_id, caller, 1.0)
            if not stored.execution.is_terminal:
                stored = await self._in_pool(self._request_cancel, query_id, caller)
        return stored.execution

    async def list_executions(
        self, caller: Caller, *, status: QueryStatus | None = None, limit: int = 100, paging_token: str | None = None
    ) -> ExecutionListing:
        """This tenant's executions, newest first. Raises InvalidPagingToken, InvalidRequest (limit 1..1000)."""
        return await self._in_pool(self._listing, caller, status, limit, paging_token)

    async def validate(self, request: QueryRequest, caller: Caller) -> DryRun:
        """What submit would do with this request; never raises for faults of the request, which are its `problems`."""
        return await self._in_pool(self._dry_run, request, caller)

    async def download(self, query_id: str, caller: Caller, format: DownloadFormat) -> Download:
        """The whole result as a stream of bytes. Raises as next_page does."""
        return await self._in_pool(self._download, query_id, caller, format)

    async def download_link(
        self, query_id: str, caller: Caller, format: DownloadFormat, *, valid_minutes: int = MAXIMUM_LINK_MINUTES
    ) -> DownloadLink:
        """A link to the caller's result that needs no key. It ends after `valid_minutes` (1..15), or with the result.

        Raises as next_page does.
        """
        if not 1 <= valid_minutes <= MAXIMUM_LINK_MINUTES:
            raise InvalidRequest(f"valid_minutes must be from 1 to {MAXIMUM_LINK_MINUTES}", field="valid_minutes")
        return await self._in_pool(self._link, query_id, caller, format, valid_minutes)

    async def linked_download(self, query_id: str, token: str) -> tuple[Download, Caller]:
        """What a link leads to, and who made it may have seen. Raises InvalidDownloadLink, and as next_page does."""
        return await self._in_pool(self._linked, query_id, token)

    async def tables(
        self,
        caller: Caller,  # noqa: ARG002 - every caller sees every table
        *,
        database: str | None = None,
    ) -> Sequence[TableDescription]:
        """Every table of a served database with its data dictionary and freshness; None is the default one."""
        specs = self._databases[database].tables.values()
        return await self._in_pool(lambda: [table_description(spec, self._ledger, self._clock()) for spec in specs])

    async def table(
        self,
        name: str,
        caller: Caller,  # noqa: ARG002 - as tables
        *,
        database: str | None = None,
    ) -> TableDescription:
        """One served table. Raises TableUnknown."""
        spec = self._databases[database].table(name)
        return await self._in_pool(table_description, spec, self._ledger, self._clock())

    async def partitions(
        self,
        name: str,
        caller: Caller,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int = 100,
        paging_token: str | None = None,
        database: str | None = None,
    ) -> PartitionListing:
        """Partitions of a table that hold times of [from, to), newest first.

        Raises TableUnknown, InvalidPagingToken, InvalidRequest (limit 1..1000, a time outside the calendar).
        """
        spec = self._databases[database].table(name)
        return await self._in_pool(self._partitions, spec, caller, from_ms, to_ms, limit, paging_token)

    async def usage(
        self, caller: Caller, *, from_ms: int | None = None, to_ms: int | None = None, grouping: Grouping = Grouping.DAY
    ) -> UsageReport:
        """What the caller's tenant (for an operator: every tenant) used on the days that [from, to) touches.

        Raises InvalidRequest (times outside the calendar, days out of order or too many).
        """
        first, before = _moment(from_ms, "from"), _moment(to_ms, "to")
        last = None if before is None else (before - timedelta(milliseconds=1)).date()
        if self._budgets is None:
            today = self._clock().date()
            return UsageReport(today, today, grouping, (), None)
        return await self._in_pool(
            self._budgets.report, caller, None if first is None else first.date(), last, grouping
        )

    def _partitions(
        self,
        spec: TableSpec,
        caller: Caller,
        from_ms: int | None,
        to_ms: int | None,
        limit: int,
        paging_token: str | None,
    ) -> PartitionListing:
        if not 1 <= limit <= 1000:
            raise InvalidRequest("limit must be from 1 to 1000", field="limit")
        listing = f"{spec.reference}/{from_ms}/{to_ms}"
        scheme = spec.layout.scheme
        time_range = PartitionRange.covering(_moment(from_ms, "from"), _moment(to_ms, "to"), scheme=scheme)
        before = None
        if paging_token is not None:
            start_ms = self._signer.partitions_position(paging_token, tenant=caller.tenant, listing=listing)
            before = PartitionSpec.from_milliseconds(start_ms, scheme=scheme)
        found = self._ledger.newest_partitions(spec.reference, time_range, limit=limit + 1, before=before)
        shown = partition_descriptions(spec, self._ledger, found[:limit], self._clock())
        token = None
        if len(found) > limit:
            start_ms = (shown[-1].start - _EPOCH) // timedelta(milliseconds=1)
            token = self._signer.partitions_token(start_ms, tenant=caller.tenant, listing=listing)
        return PartitionListing(spec.name, shown, token)

    def problems(self) -> Sequence[str]:
        """Why the service is not ready, in words; empty when it is. Cheap: for GET /health/ready."""
        if self._is_closing.is_set():
            return ("the service is closing",)
        if self._is_draining:
            return ("the service is draining: it is about to stop",)
        if self._upkeep is None or not self._upkeep.is_alive():
            return ("the upkeep (retention, adoption) does not run",)
        return () if self._store_trouble is None else (f"the execution store does not answer: {self._store_trouble}",)

    def degradations(self) -> Sequence[str]:
        """What queries wait for, in words; empty when nothing. Cheap, as problems."""
        return tuple(f"{self._engine.name}: {trouble}" for trouble in self._runner.troubles())

    @property
    def running_count(self) -> int:
        """How many queries this process drives now."""
        return self._scheduler.running_count

    @property
    def waiting_count(self) -> int:
        """How many queries wait in this process."""
        return self._scheduler.waiting_count

    @property
    def reused_count(self) -> int:
        """How many queries this process answered with the result of another."""
        return self._reuse.reused_count

    def sweep(self) -> None:
        """Deletes expired results now; the upkeep does it on its own at intervals."""
        self._sweeper.sweep()

    async def _in_pool(self, work: Callable[..., _Answer], *arguments: object) -> _Answer:
        # in the request's context: what is logged and traced there belongs to the request
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._pool, run, work, *arguments)

    # --- submit -------------------------------------------------------------------------------------------------

    def _submit(self, request: QueryRequest, caller: Caller) -> QueryExecution:
        _check_request(request)
        body_hash = _body_hash(request)
        if request.idempotency_key is not None:
            earlier = self._store.by_idempotency_key(caller.tenant, request.idempotency_key)
            if earlier is not None:
                return self._same_query(earlier, body_hash)
        query_id = str(uuid4())
        self._open_queries.take(query_id, self._query_limits.of(caller))
        try:
            planned, estimates = self._planned(request, caller)
            stored = self._new_execution(query_id, request, caller, planned, estimates, body_hash)
            with self._reuse.deciding(stored, planned, request.reuse) as decided:
                kept = self._charged(decided, estimates)
        except BaseException:
            self._open_queries.give_back(query_id)
            raise
        if kept.query_id != query_id:
            self._open_queries.give_back(query_id)
            return self._same_query(kept, body_hash)
        if leader_of(kept.owner) is not None:
            return self._settled(kept).execution
        self._scheduler.enqueue(caller.tenant, query_id)
        return self._with_position(kept)

    def _charged(self, stored: StoredExecution, estimates: Sequence[TableScanEstimate]) -> StoredExecution:
        """As _inserted, with the estimate counted against the tenant's budget first. Who follows another query reads
        nothing.
        """
        if self._budgets is None:
            return self._inserted(stored)
        if leader_of(stored.owner) is not None:
            estimates = ()
        estimated_bytes = sum(estimate.size_bytes for estimate in estimates)
        self._budgets.reserve(stored.execution, estimated_bytes, reads_tables=bool(estimates))
        kept = None
        try:
            kept = self._inserted(stored)
        finally:
            if kept is None or kept.query_id != stored.query_id:
                self._budgets.withdraw(stored.execution)
        return kept

    def _inserted(self, stored: StoredExecution) -> StoredExecution:
        """What the store has now: the new execution, or the one that used its idempotency key before. The new one has a
        place in the queue, unless it follows another.
        """
        if leader_of(stored.owner) is not None:
            return self._store.insert(stored)
        tenant = stored.execution.tenant
        self._scheduler.reserve(tenant)
        try:
            kept = self._store.insert(stored)
        except BaseException:
            self._scheduler.release(tenant)
            raise
        if kept.query_id != stored.query_id:
            self._scheduler.release(tenant)
        return kept

    def _is_unfinished(self, query_id: str) -> bool:
        stored = self._store.get(query_id)
        return stored is not None and not stored.execution.is_terminal

    def _planned(self, request: QueryRequest, caller: Caller) -> tuple[PlannedStatement, tuple[TableScanEstimate, ...]]:
        with self._tracer.start_as_current_span("plan") as span:
            planned = self._plan(request, caller)
            estimates = scan_estimates(self._ledger, planned.tables)
            estimated_bytes = sum(estimate.size_bytes for estimate in estimates)
            span.set_attribute("data_hist.estimated_bytes", estimated_bytes)
            _check_scan_limit(request, caller, estimated_bytes)
        return planned, estimates

    def _plan(self, request: QueryRequest, caller: Caller) -> PlannedStatement:
        time_range = TimeRange(request.from_ms, request.to_ms)
        planner = self._databases[request.database].planner
        return planner.plan(request.query, caller, time_range=time_range, parameters=request.parameters)

    def _new_execution(
        self,
        query_id: str,
        request: QueryRequest,
        caller: Caller,
        planned: PlannedStatement,
        estimates: Sequence[TableScanEstimate],
        body_hash: str,
    ) -> StoredExecution:
        execution = QueryExecution(
            query_id=query_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            status=QueryStatus.QUEUED,
            query=request.query,
            retention_minutes=request.retention_minutes,
            submitted_at=self._clock(),
            statistics=_planned_statistics(estimates),
            freshness=query_freshness(self._specs, self._ledger, planned.tables, self._clock()),
        )
        return StoredExecution(
            execution=execution,
            engine_sql=planned.sql,
            engine_name=self._engine.name,
            statement_kind=str(planned.kind),
            json_columns=frozenset(planned.json_columns),
            planned_columns=tuple(planned.columns),
            plan_inputs=PlanInputs(
                None if caller.customers is None else tuple(sorted(caller.customers)),
                tuple(request.parameters),
                request.from_ms,
                request.to_ms,
                request.database,
            ),
            plan_valid_until=planned.valid_until,
            is_strict=request.strict,
            idempotency_key=request.idempotency_key,
            body_hash=body_hash,
            owner=self._ownership.owner,
            trace_parent=current_trace_parent(),
        )

    def _plan_again(self, stored: StoredExecution) -> Plan:
        """The plan as it is now, for a query that waited longer than its first plan is valid."""
        execution, inputs = stored.execution, stored.plan_inputs or PlanInputs(customers=())
        customers = None if inputs.customers is None else frozenset(inputs.customers)
        caller = Caller(execution.tenant, customers, frozenset({"query"}), execution.key_id)
        time_range = TimeRange(inputs.from_ms, inputs.to_ms)
        planner = self._databases[inputs.database].planner
        planned = planner.plan(execution.query, caller, time_range=time_range, parameters=inputs.parameters)
        estimates = scan_estimates(self._ledger, planned.tables)
        return Plan(
            planned.sql,
            frozenset(planned.json_columns),
            tuple(planned.columns),
            planned.valid_until,
            _planned_statistics(estimates),
        )

    def _explain_empty(self, query_id: str, caller: Caller) -> QueryExplanation:
        stored = self._not_expired(self._owned(query_id, caller))
        execution = stored.execution
        rows_total = execution.statistics.rows_total
        if rows_total:
            return QueryExplanation(query_id, execution.status, rows_total, ())
        inputs = stored.plan_inputs or PlanInputs(customers=())
        customers = None if inputs.customers is None else frozenset(inputs.customers)
        asked_as = Caller(execution.tenant, customers, frozenset({"query"}), execution.key_id)
        time_range = TimeRange(inputs.from_ms, inputs.to_ms)
        planner = self._databases[inputs.database].planner
        planned = planner.plan(execution.query, asked_as, time_range=time_range, parameters=inputs.parameters)
        tables = tuple(
            self._explained(self._specs[scan.name], scan.partition_range, inputs.customers)
            for scan in planned.tables
            if scan.name in self._specs
        )
        return QueryExplanation(query_id, execution.status, rows_total, tables)

    def _explained(
        self, spec: TableSpec, time_range: PartitionRange | None, customers: tuple[int, ...] | None
    ) -> TableExplanation:
        first = None if time_range is None else time_range.first
        last = None if time_range is None else time_range.last
        reasons: list[EmptyReason] = []
        if time_range is not None and time_range.is_empty:
            reasons.append(EmptyReason("range_empty", "the conditions on time exclude one another"))
        elif self._explain is not None:
            start = _FIRST_CREDIBLE if first is None else first.start()
            end = max(self._clock(), start + timedelta(minutes=1)) if last is None else last.end()
            is_short = end - start <= _LONGEST_LISTING
            found = self._explain(spec, start, end, looks_at_lake=is_short)
            reasons += [EmptyReason(code, detail) for code, detail in found]
        if customers is not None:
            shown = ", ".join(map(str, customers[:10])) + (", ..." if len(customers) > 10 else "")
            reasons.append(
                EmptyReason("tenant", f"this key sees rows of {spec.tenant_column} {shown or 'nobody'} only")
            )
        return TableExplanation(
            spec.reference,
            None if first is None else first.path(),
            None if last is None else last.path(),
            tuple(reasons),
        )

    def _same_query(self, earlier: StoredExecution, body_hash: str) -> QueryExecution:
        if earlier.body_hash != body_hash:
            detail = "this Idempotency-Key was used before with another body"
            raise IdempotencyConflict(detail, query_id=earlier.query_id)
        return self._with_position(earlier)

    def _dry_run(self, request: QueryRequest, caller: Caller) -> DryRun:
        problems: list[ServiceError] = []
        try:
            _check_request(request)
        except InvalidRequest as problem:
            if problem.field == "query":
                return DryRun(is_valid=False, problems=(problem,))
            problems.append(problem)
        try:
            planned = self._plan(request, caller)
        except ServiceError as problem:
            return DryRun(is_valid=False, problems=(*problems, problem))
        estimates = scan_estimates(self._ledger, planned.tables)
        estimated_bytes = sum(estimate.size_bytes for estimate in estimates)
        try:
            _check_scan_limit(request, caller, estimated_bytes)
        except ScanLimitExceeded as problem:
            problems.append(problem)
        if self._budgets is not None and not problems:
            try:
                self._budgets.check(caller.tenant, estimated_bytes, reads_tables=bool(estimates))
            except (BudgetExceeded, ScanLimitExceeded) as problem:
                problems.append(problem)
        return DryRun(
            is_valid=not problems,
            statement_kind=str(planned.kind),
            columns=tuple(planned.columns),
            tables=estimates,
            partition_count=sum(estimate.partition_count for estimate in estimates),
            object_count=sum(estimate.object_count for estimate in estimates),
            estimated_bytes=estimated_bytes,
            estimated_cost_usd=estimated_cost_usd(estimated_bytes),
            problems=tuple(problems),
        )

    # --- looking at executions ----------------------------------------------------------------------------------

    def _owned(self, query_id: str, caller: Caller) -> StoredExecution:
        """The caller's execution of this id. Raises QueryNotFound."""
        stored = self._store.get(query_id) if _is_query_id(query_id) else None
        if stored is None or stored.execution.tenant != caller.tenant:
            raise QueryNotFound(f"there is no query {query_id!r}", query_id=query_id)
        if leader_of(stored.owner) is not None:
            stored = self._settled(stored)
        if stored.execution.has_result and not stored.is_spooled:
            stored = self._with_spool_recorded(stored)
        self._remember_ending(stored)
        return stored

    def _settled(self, stored: StoredExecution) -> StoredExecution:
        """A follower as it is after a look at its leader: it may have ended with it, or be this process's to run."""
        settled = self._reuse.settled(stored.query_id)
        if settled is None:
            return stored
        after = settled.stored
        if settled.is_news and after.execution.is_terminal:
            self._ended(after)
        elif settled.is_news:
            self._scheduler.enqueue(after.execution.tenant, after.query_id, is_reserved=False)
        return after

    def _look_at_follower(self, query_id: str) -> None:
        try:
            stored = self._store.get(query_id)
            if stored is not None and leader_of(stored.owner) is not None:
                self._settled(stored)
        except ServiceError as error:  # whoever asks for it, or the upkeep, looks again
            _LOG.warning("query %s could not be told of its leader's end: %s", query_id, error)
        except Exception:
            _LOG.exception("query %s could not be told of its leader's end", query_id)

    def _with_spool_recorded(self, stored: StoredExecution) -> StoredExecution:
        """The execution told of a spool that is whole though nobody said so: its writer died in between."""
        reader = self._spools.reader(stored.query_id)
        if reader is None or not reader.is_complete:
            return stored
        return self._store.record_spooled(stored.query_id, reader.row_count, reader.size_bytes) or stored

    def _remembered_ending(self, query_id: str, caller: Caller) -> StoredExecution | None:
        ending = self._endings.get(query_id)
        if ending is None or ending.execution.tenant != caller.tenant:
            return None
        if ending.execution.expires_at is not None and ending.execution.expires_at <= self._clock():
            with self._endings_lock:
                self._endings.pop(query_id, None)
            return None
        return ending

    def _remember_ending(self, stored: StoredExecution) -> None:
        is_final = stored.execution.is_terminal and not stored.execution.is_expunged
        if not is_final or (stored.execution.status is QueryStatus.FINISHED and not stored.is_spooled):
            return
        with self._endings_lock:
            self._endings[stored.query_id] = stored
            if len(self._endings) > _REMEMBERED_ENDINGS:
                self._endings.popitem(last=False)

    def _not_expired(self, stored: StoredExecution) -> StoredExecution:
        """The execution, unless its result has expired. FAILED and CANCELLED ones are told as long as remembered."""
        execution = stored.execution
        if execution.status is not QueryStatus.FINISHED:
            return stored
        if execution.is_expunged or (execution.expires_at is not None and execution.expires_at <= self._clock()):
            detail = f"the result was kept for {execution.retention_minutes} minutes and has been deleted"
            raise ResultExpired(detail, query_id=stored.query_id, expired_at=execution.expires_at)
        return stored

    def _with_position(self, stored: StoredExecution) -> QueryExecution:
        execution = stored.execution
        if execution.status is not QueryStatus.QUEUED:
            return execution
        return replace(execution, queue_position=self._scheduler.position(execution.tenant, execution.query_id))

    async def _until_terminal(self, query_id: str, caller: Caller, wait_seconds: float) -> StoredExecution:
        deadline = time.monotonic() + wait_seconds
        look_again_seconds = 0.1
        with self._changes.subscribed(query_id) as changed:
            while True:
                changed.clear()
                stored = self._remembered_ending(query_id, caller)
                if stored is None:
                    stored = await self._in_pool(self._owned, query_id, caller)
                left_seconds = deadline - time.monotonic()
                if stored.execution.is_terminal or left_seconds <= 0:
                    return stored
                # a query that another process drives changes without telling us: look again, at least once a second
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(left_seconds, look_again_seconds))
                look_again_seconds = min(look_again_seconds * 1.5, 1.0)

    def _is_driven_here(self, stored: StoredExecution, caller: Caller) -> bool:
        """Whether this process alone moves the caller's execution on."""
        is_held = stored.owner is not None and self._ownership.is_held(stored.owner)
        return is_held and stored.execution.tenant == caller.tenant

    def _progressed(self, stored: StoredExecution) -> None:
        self._running[stored.query_id] = stored

    def _left(self, query_id: str) -> None:
        self._running.pop(query_id, None)

    def _ended(self, stored: StoredExecution) -> None:
        self._open_queries.give_back(stored.query_id)
        self._reuse.forget(stored)
        for follower_id in self._reuse.taken_followers(stored.query_id):
            if not self._is_closing.is_set():
                self._followers_pool.submit(self._look_at_follower, follower_id)
        if self._budgets is not None:
            self._budgets.settle(stored)
        if self._on_ended is not None:
            self._on_ended(stored)
        self._running.pop(stored.query_id, None)
        self._kept(stored)

    def _kept(self, stored: StoredExecution) -> None:
        """Remembers an ended execution, tells who waits for it, and does with its spool what has to be done."""
        self._remember_ending(stored)
        self._changes.notify(stored.query_id)
        if stored.execution.has_result and stored.execution.expires_at is not None:
            self._spools.expire_at(stored.query_id, stored.execution.expires_at)
            if stored.is_spooled and not self._is_closing.is_set():
                self._sharing_pool.submit(self._share, stored)

    def _share(self, stored: StoredExecution) -> None:
        """Lets the other replicas read a spool that this one has written, if it is worth it."""
        query_id = stored.query_id
        try:
            kept = self._spools.is_complete(query_id) and self._shared_spools.keep(
                stored, self._spools.folder(query_id)
            )
            if kept and self._not_expired(stored) is stored:
                _LOG.info("the spool of query %s is shared", query_id)
        except ResultExpired:  # it ended while it was being shared: whoever swept it did not see it
            self._shared_spools.delete(stored)
        except Exception:
            _LOG.exception("the spool of query %s could not be shared", query_id)

    def _listing(
        self, caller: Caller, status: QueryStatus | None, limit: int, paging_token: str | None
    ) -> ExecutionListing:
        if not 1 <= limit <= 1000:
            raise InvalidRequest("limit must be from 1 to 1000", field="limit")
        filter_text = "" if status is None else status.value
        before = None
        if paging_token is not None:
            position = self._signer.listing_position(paging_token, tenant=caller.tenant, status=filter_text)
            before = (position.submitted_at_us, position.query_id)
        found = self._store.listing(caller.tenant, status=status, limit=limit + 1, before=before)
        shown = found[:limit]
        token = None
        if len(found) > limit:
            last = shown[-1]
            token = self._signer.listing_token(
                ListingPosition(submitted_at_microseconds(last.execution), last.query_id),
                tenant=caller.tenant,
                status=filter_text,
            )
        return ExecutionListing(tuple(self._with_position(stored) for stored in shown), token)

    # --- cancel -------------------------------------------------------------------------------------------------

    def _request_cancel(self, query_id: str, caller: Caller) -> StoredExecution:
        self._owned(query_id, caller)
        stored = self._store.request_cancel(query_id, self._clock())
        if stored is None:
            raise QueryNotFound(f"there is no query {query_id!r}", query_id=query_id)
        if stored.execution.is_terminal:
            self._scheduler.drop(stored.execution.tenant, query_id)
            self._ended(stored)
        elif stored.engine_id is not None:
            self._engine.stop(stored.engine_id)
        return stored

    # --- results ------------------------------------------------------------------------------------------------

    def _finished(self, query_id: str, caller: Caller) -> StoredExecution:
        """The caller's FINISHED and unexpired execution. Raises what next_page raises."""
        stored = self._remembered_ending(query_id, caller) or self._owned(query_id, caller)
        execution = stored.execution
        if not execution.is_terminal:
            detail = f"the query is {execution.status}; wait for FINISHED"
            raise QueryNotFinished(detail, query_id=query_id, status=execution.status)
        if execution.status is QueryStatus.CANCELLED:
            raise QueryFailed(QueryFailure("QueryCancelled", "the query was cancelled", Blame.USER), query_id=query_id)
        if execution.error is not None:
            raise QueryFailed(execution.error, query_id=query_id)
        return self._not_expired(stored)

    def _page_in_memory(
        self, query_id: str, caller: Caller, paging_token: str | None, results_per_page: int
    ) -> Page | None:
        """The page when it can be had without waiting for a disk or a lock: some 20 us, less than a change of
        threads.
        """
        stored = self._remembered_ending(query_id, caller)
        reader = self._spools.open_reader(query_id)
        if stored is None or reader is None or not stored.execution.has_result:
            return None
        try:
            return page(
                reader,
                self._signer,
                query_id=query_id,
                tenant=caller.tenant,
                columns=stored.execution.columns or (),
                paging_token=paging_token,
                results_per_page=results_per_page,
                is_waiting_allowed=False,
            )
        except OSError:  # not in memory (EAGAIN), or a file system that cannot tell (EOPNOTSUPP)
            return None

    def _page(self, query_id: str, caller: Caller, paging_token: str | None, results_per_page: int) -> Page:
        stored = self._finished(query_id, caller)

        def of(reader: RowReader) -> Page:
            return page(
                reader,
                self._signer,
                query_id=query_id,
                tenant=caller.tenant,
                columns=stored.execution.columns or (),
                paging_token=paging_token,
                results_per_page=results_per_page,
            )

        own = self._spools.reader(query_id)
        if own is not None:
            with suppress(PageNotReady):
                return of(own)
        shared = self._shared_spools.reader(stored)
        if shared is not None:
            try:
                return of(shared)
            except SharedSpoolLost as error:
                _LOG.warning("the shared spool of query %s is gone: %s", query_id, error)
                self._shared_spools.forget(query_id)
        self._spool_again_soon(stored)
        raise PageNotReady

    def _spool_again_soon(self, stored: StoredExecution) -> None:
        """Sees to it that a spool whose writer is gone is written again; does nothing while somebody writes it.

        Raises QueryFailed when it was tried, and the engine's result is gone; NoSpaceForResult, EngineUnavailable or
        StoreUnavailable when it was tried a moment ago and could not be done.
        """
        with self._endings_lock:
            since, trouble = self._spooling_troubles.get(stored.query_id, (float("-inf"), None))
            if trouble is not None and time.monotonic() - since < _TROUBLE_SECONDS:
                raise trouble
            lost = self._lost_results.get(stored.query_id)
            if lost is not None:
                raise QueryFailed(lost.failure, query_id=stored.query_id) from lost
            if stored.query_id in self._spooling_again or self._is_closing.is_set():
                return
            self._spooling_again.add(stored.query_id)
        result_bytes = stored.execution.statistics.result_bytes
        is_small = result_bytes is not None and result_bytes < _LARGE_BYTES
        pool = self._spooling_pool if is_small else self._large_spooling_pool
        pool.submit(self._spool_again, stored.query_id)

    def _spool_again(self, query_id: str) -> None:
        trouble: ServiceError | None = None
        try:
            spooled = None if self._spools.is_complete(query_id) else self._runner.spool_again(query_id)
            if spooled is not None:
                self._kept(spooled)
        except SpoolBusy:
            pass
        except SpoolFull as error:
            _LOG.error("there is no room for the result of query %s: %s", query_id, error)
            trouble = NoSpaceForResult("this replica has no room for the rows of the result; ask again")
        except (EngineUnavailable, StoreUnavailable) as error:
            _LOG.warning("the result of query %s could not be spooled again: %s", query_id, error)
            trouble = error
        except QueryFailed as error:
            _LOG.warning("the result of query %s is gone: %s", query_id, error)
            if not error.failure.retryable:
                with self._endings_lock:
                    self._lost_results[query_id] = error
        except Exception:
            _LOG.exception("the result of query %s could not be spooled again", query_id)
        finally:
            with self._endings_lock:
                self._spooling_again.discard(query_id)
                if trouble is None:
                    self._spooling_troubles.pop(query_id, None)
                else:
                    self._spooling_troubles[query_id] = (time.monotonic(), trouble)

    def _download(self, query_id: str, caller: Caller, format: DownloadFormat) -> Download:
        stored = self._finished(query_id, caller)
        columns = stored.execution.columns or ()
        engine_id = stored.engine_id or ""

        def open_result() -> ByteStream:
            return self._engine.open_result(engine_id, stored.result_location)

        chunks: Iterator[bytes]
        if format is DownloadFormat.CSV:
            chunks = csv_chunks(open_result)
        elif format is DownloadFormat.NDJSON:
            chunks = ndjson_chunks(lambda: self._growing_reader(stored))
        elif format is DownloadFormat.PARQUET:
            chunks = parquet_chunks(open_result, columns, stored.json_columns)
        else:
            chunks = arrow_chunks(open_result, columns, stored.json_columns)
        return Download(
            query_id=query_id,
            format=format,
            content_type=DOWNLOAD_CONTENT_TYPES[format],
            file_name=f"{query_id}.{format.value}",
            chunks=chunks,
        )

    def _link(self, query_id: str, caller: Caller, format: DownloadFormat, valid_minutes: int) -> DownloadLink:
        stored = self._finished(query_id, caller)
        expires_at = self._clock() + timedelta(minutes=valid_minutes)
        if stored.execution.expires_at is not None:
            expires_at = min(expires_at, stored.execution.expires_at)
        expires_at = expires_at.replace(microsecond=0)
        grant = LinkGrant(int(expires_at.timestamp()), format)
        token = self._signer.link_token(grant, query_id=query_id)
        return DownloadLink(query_id, format, token, expires_at)

    def _linked(self, query_id: str, token: str) -> tuple[Download, Caller]:
        try:  # before anything is looked up: whoever makes links up costs us no more than that
            grant = self._signer.link_grant(token, query_id=query_id)
        except InvalidPagingToken:
            detail = "this link is not one that the service made, or was altered"
            raise InvalidDownloadLink(detail, query_id=query_id) from None
        if self._clock().timestamp() >= grant.expires_at_s:
            raise InvalidDownloadLink("this link has expired; ask for another one", query_id=query_id)
        stored = self._store.get(query_id)
        if stored is None:
            raise ResultExpired("the result has been deleted", query_id=query_id, expired_at=None)
        execution = stored.execution
        customers = (stored.plan_inputs or PlanInputs(customers=())).customers
        maker = Caller(
            execution.tenant, None if customers is None else frozenset(customers), frozenset(), execution.key_id
        )
        return self._download(query_id, maker, grant.file_format), maker

    def _growing_reader(self, stored: StoredExecution) -> RowReader:
        """The reader of a spool that exists or soon will. Raises QueryNotFinished when it does not come, and what
        _spool_again_soon raises.
        """
        deadline = time.monotonic() + self._settings.page_wait_seconds
        while True:
            own = self._spools.reader(stored.query_id)
            if own is not None and own.is_complete:
                return own
            shared = self._shared_spools.reader(stored)
            if shared is not None:
                return shared
            self._spool_again_soon(stored)
            if own is not None:
                return own
            if time.monotonic() >= deadline:
                detail = "the rows are still being written; ask again"
                raise QueryNotFinished(detail, query_id=stored.query_id, status=QueryStatus.FINISHED)
            time.sleep(0.02)

    # --- upkeep -------------------------------------------------------------------------------------------------

    def _run_upkeep(self) -> None:
        next_sweep = 0.0
        is_first = True
        while not self._is_closing.is_set():
            try:
                if is_first:
                    self._sweeper.sweep_orphans()
                    is_first = False
                if time.monotonic() >= next_sweep:
                    self._sweeper.sweep_local()
                    if self._ownership.has_role("sweeper"):
                        self._sweeper.sweep()
                        if self._budgets is not None:
                            self._budgets.settle_forgotten(self._store.get)
                    next_sweep = time.monotonic() + self._settings.sweep_interval_seconds
                if not self._is_draining:
                    self._scheduler.adopt_abandoned()
                self._store_trouble = None
            except StoreUnavailable as error:
                self._store_trouble = error.detail
                _LOG.warning("upkeep: the execution store does not answer: %s", error)
            except Exception:  # upkeep goes on whatever happens: the next round may succeed
                _LOG.exception("upkeep failed; it is tried again")
            self._is_closing.wait(self._settings.adoption_interval_seconds)

    def _close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.join()
        self._scheduler.close()
        for pool in (self._spooling_pool, self._large_spooling_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        for pool in (self._sharing_pool, self._followers_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._spools.close()
        self._ownership.release()
        self._store.close()
        if self._budgets is not None:
            self._budgets.close()


def _planned_statistics(estimates: Sequence[TableScanEstimate]) -> Statistics:
    return Statistics(
        partitions_scanned=sum(estimate.partition_count for estimate in estimates),
        partitions_skipped=sum(estimate.partitions_skipped for estimate in estimates),
        objects_scanned=sum(estimate.object_count for estimate in estimates),
        bytes_skipped=sum(estimate.bytes_skipped for estimate in estimates),
    )


def _is_query_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _moment(milliseconds: int | None, field: str) -> datetime | None:
    """Raises InvalidRequest for a time outside the calendar, or so near its end that it cannot be compared."""
    if milliseconds is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        moment = None
    if moment is None or not 2 <= moment.year <= 9998:
        raise InvalidRequest("is not a time of the years 2 to 9998", field=field)
    return moment


def _check_request(request: QueryRequest) -> None:
    for name, text in (("query", request.query), ("idempotency_key", request.idempotency_key or "")):
        if not _is_unicode(text):
            raise InvalidRequest(f"{name} holds half a surrogate pair, which is not a character", field=name)
    if not 1 <= request.retention_minutes <= MAXIMUM_RETENTION_MINUTES:
        detail = f"retention_minutes must be from 1 to {MAXIMUM_RETENTION_MINUTES}"
        raise InvalidRequest(detail, field="retention_minutes")
    if request.from_ms is not None and request.to_ms is not None and request.from_ms > request.to_ms:
        raise InvalidRequest("from must not be after to", field="from")
    if request.max_bytes_scanned is not None and request.max_bytes_scanned < 0:
        raise InvalidRequest("max_bytes_scanned must not be negative", field="max_bytes_scanned")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_scan_limit(request: QueryRequest, caller: Caller, estimated_bytes: int) -> None:
    limits = [limit for limit in (request.max_bytes_scanned, caller.maximum_scan_bytes) if limit is not None]
    if limits and estimated_bytes > min(limits):
        raise ScanLimitExceeded(
            f"the query would scan about {estimated_bytes} bytes, and its limit is {min(limits)};"
            " narrow the time range (from, to, createdtimestamp) or raise the limit",
            limit_bytes=min(limits),
            estimated_bytes=estimated_bytes,
        )


def _body_hash(request: QueryRequest) -> str:
    """What makes two requests the same: everything but the idempotency key and how long the caller waits."""
    body: list[object] = [
        request.query,
        request.retention_minutes,
        [[type(value).__name__, str(value)] for value in request.parameters],
        request.from_ms,
        request.to_ms,
        request.max_bytes_scanned,
        request.strict,
    ]
    if request.reuse != ReuseWish():  # hashes of bodies without it are those of earlier releases
        body.append([request.reuse.is_allowed, request.reuse.max_age_minutes])
    if request.database is not None:
        body.append(request.database)
    return hashlib.sha256(repr(body).encode("utf-8", "backslashreplace")).hexdigest()
