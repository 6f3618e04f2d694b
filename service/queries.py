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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from opentelemetry.trace import Tracer

from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.budgets import Budgets, Grouping, UsageReport
from service.changes import Changes
from service.databases import ServedDatabase, StatementPlanner
from service.engine import Engine
from service.engine_slots import EngineSlots
from service.errors import (
    Blame,
    EngineUnavailable,
    IdempotencyConflict,
    InvalidRequest,
    QueryFailed,
    QueryFailure,
    QueryNotFinished,
    QueryNotFound,
    ResultExpired,
    ServiceError,
    StoreUnavailable,
)
from service.estimates import Ledger
from service.execution_records import submitted_at_microseconds
from service.executions import ExecutionStore, PlanInputs, StoredExecution, leader_of
from service.model import (
    MAXIMUM_LINK_MINUTES,
    MAXIMUM_RESULTS_PER_PAGE,
    MAXIMUM_WAIT_SECONDS,
    Caller,
    Download,
    DownloadFormat,
    DownloadLink,
    DryRun,
    ExecutionListing,
    Page,
    PartitionListing,
    QueryExecution,
    QueryExplanation,
    QueryRequest,
    QueryStatus,
    ReuseWish,
    TableDescription,
    TableScanEstimate,
)
from service.open_queries import OpenQueries, QueryLimits
from service.ownership import Ownership
from service.pages import PageNotReady
from service.process_memory import return_large_buffers
from service.request_planning import RangeExplainer, RequestPlanner, check_request, planned_statistics
from service.results import Results, unexpired
from service.retention import RetentionSweeper
from service.reuse import DataVersions, ResultReuse
from service.running import QueryRunner
from service.scheduler import Scheduler, SchedulerLimits
from service.shared_spools import NoSharedSpools, SharedSpools
from service.spool import Spools
from service.sql.plan import PlannedStatement
from service.tables import partition_descriptions, query_freshness, table_description
from service.tokens import ListingPosition, TokenSigner
from service.tracing import NO_TRACER, current_trace_parent

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_REMEMBERED_ENDINGS = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        self._budgets = budgets
        self._planning = RequestPlanner(
            self._databases, self._specs, ledger, clock=clock, tracer=tracer, explain=explain, budgets=budgets
        )
        self._shared_spools = shared_spools or NoSharedSpools()
        self._changes = Changes()
        self._runner = QueryRunner(
            store,
            engine,
            spools,
            ownership=ownership,
            clock=clock,
            on_end=self._ended,
            plan_again=self._planning.plan_again,
            on_progress=self._progressed,
            on_left=self._left,
            slots=slots,
            maximum_attempts=self._settings.maximum_attempts,
            tracer=tracer,
        )
        self._query_limits = query_limits or QueryLimits()
        self._open_queries = OpenQueries(self._is_unfinished)
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
        self._results = Results(
            engine,
            spools,
            self._shared_spools,
            signer,
            self._runner,
            clock=clock,
            page_wait_seconds=self._settings.page_wait_seconds,
            on_spooled=self._kept,
        )

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
        self._results.stop()
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
            return self._unexpired(ending).execution
        if wait_seconds <= 0:
            running = self._running.get(query_id)
            if running is not None and self._is_driven_here(running, caller):
                return running.execution
            stored = await self._in_pool(self._owned, query_id, caller)
        else:
            stored = await self._until_terminal(query_id, caller, min(wait_seconds, MAXIMUM_WAIT_SECONDS))
        return self._with_position(self._unexpired(stored))

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
        ending = self._remembered_ending(query_id, caller)
        if ending is not None:
            page = self._results.page_in_memory(ending, paging_token, results_per_page)
            if page is not None:
                return page
        deadline = time.monotonic() + self._settings.page_wait_seconds
        while True:
            try:
                return await self._in_pool(
                    lambda: self._results.page(self._finished(query_id, caller), paging_token, results_per_page)
                )
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
        return await self._in_pool(lambda: self._planning.explain_empty(self._unexpired(self._owned(query_id, caller))))

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
        return await self._in_pool(self._planning.dry_run, request, caller)

    async def download(self, query_id: str, caller: Caller, format: DownloadFormat) -> Download:
        """The whole result as a stream of bytes. Raises as next_page does."""
        return await self._in_pool(lambda: self._results.download(self._finished(query_id, caller), format))

    async def download_link(
        self, query_id: str, caller: Caller, format: DownloadFormat, *, valid_minutes: int = MAXIMUM_LINK_MINUTES
    ) -> DownloadLink:
        """A link to the caller's result that needs no key. It ends after `valid_minutes` (1..15), or with the result.

        Raises as next_page does.
        """
        if not 1 <= valid_minutes <= MAXIMUM_LINK_MINUTES:
            raise InvalidRequest(f"valid_minutes must be from 1 to {MAXIMUM_LINK_MINUTES}", field="valid_minutes")
        return await self._in_pool(lambda: self._results.link(self._finished(query_id, caller), format, valid_minutes))

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
        check_request(request)
        body_hash = _body_hash(request)
        if request.idempotency_key is not None:
            earlier = self._store.by_idempotency_key(caller.tenant, request.idempotency_key)
            if earlier is not None:
                return self._same_query(earlier, body_hash)
        query_id = str(uuid4())
        self._open_queries.take(query_id, self._query_limits.of(caller))
        try:
            planned, estimates = self._planning.planned(request, caller)
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
            statistics=planned_statistics(estimates),
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

    def _same_query(self, earlier: StoredExecution, body_hash: str) -> QueryExecution:
        if earlier.body_hash != body_hash:
            detail = "this Idempotency-Key was used before with another body"
            raise IdempotencyConflict(detail, query_id=earlier.query_id)
        return self._with_position(earlier)

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

    def _unexpired(self, stored: StoredExecution) -> StoredExecution:
        return unexpired(stored, self._clock())

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
            if stored.is_spooled:
                self._results.share_soon(stored)

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
        return self._unexpired(stored)

    def _linked(self, query_id: str, token: str) -> tuple[Download, Caller]:
        file_format = self._results.granted(query_id, token)
        stored = self._store.get(query_id)
        if stored is None:
            raise ResultExpired("the result has been deleted", query_id=query_id, expired_at=None)
        maker = stored.asked_as()
        return self._results.download(self._finished(query_id, maker), file_format), maker

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
        self._results.close()
        self._followers_pool.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._spools.close()
        self._ownership.release()
        self._store.close()
        if self._budgets is not None:
            self._budgets.close()


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
