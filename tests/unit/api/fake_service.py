"""A query service that keeps everything in memory and runs nothing: what the HTTP tests stand on.

A query whose SQL has a word of FATES ends that way; the word `slow` leaves it RUNNING until a test says otherwise.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import orjson

from service.budgets import BudgetState, Grouping, UsageLine, UsageReport
from service.errors import (
    Blame,
    ColumnNotFound,
    EngineUnavailable,
    IdempotencyConflict,
    InvalidDownloadLink,
    InvalidPagingToken,
    QueryFailed,
    QueryFailure,
    QueryNotFinished,
    QueryNotFound,
    ResultExpired,
    StatementTooLong,
    TableUnknown,
    TooManyQueries,
)
from service.model import (
    DOWNLOAD_CONTENT_TYPES,
    Caller,
    ColumnDescription,
    Download,
    DownloadFormat,
    DownloadLink,
    DryRun,
    EmptyReason,
    ExecutionListing,
    OutputColumn,
    Page,
    PartitionDescription,
    PartitionListing,
    PartitionOffsets,
    QueryExecution,
    QueryExplanation,
    QueryFreshness,
    QueryRequest,
    QueryStatus,
    Statistics,
    TableDescription,
    TableExplanation,
    TableScanEstimate,
)
from service.queries import QueryService

ROWS = 5
COLUMNS = (OutputColumn("n", "bigint"), OutputColumn("text", "varchar"))
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

FATES = {
    "user_fault": QueryFailure(
        "DivisionByZero", "Division by zero", Blame.USER, line=1, column=8, engine_error_name="DIVISION_BY_ZERO"
    ),
    "engine_fault": QueryFailure("EngineFailure", "lost a worker", Blame.ENGINE, retryable=True, error_category=1),
}


class FakeQueryService(QueryService):
    """In memory; `executions` by query_id, with the words each query was asked with."""

    def __init__(self) -> None:
        self.executions: dict[str, QueryExecution] = {}
        self.keys: dict[tuple[str, str], tuple[QueryRequest, str]] = {}
        self.requests: list[QueryRequest] = []
        self.waiting = 0
        self.open_downloads = 0
        self.troubles: list[str] = []
        self.waits_for: tuple[str, ...] = ()
        self.changed = asyncio.Event()
        self.is_started = False
        self.is_closed = False

    async def start(self) -> None:
        self.is_started = True

    async def close(self) -> None:
        self.is_closed = True

    async def submit(self, request: QueryRequest, caller: Caller) -> QueryExecution:
        self.requests.append(request)
        if request.idempotency_key is not None:
            same = dataclasses.replace(request, wait_seconds=0)
            before = self.keys.get((caller.tenant, request.idempotency_key))
            if before is not None:
                if before[0] != same:
                    raise IdempotencyConflict("used before with another body", query_id=before[1])
                return self.executions[before[1]]
        if len(request.query.encode()) > 262_144:
            raise StatementTooLong("too long", size_bytes=len(request.query.encode()), limit_bytes=262_144)
        if "nosuch" in request.query:
            raise ColumnNotFound(
                "line 1:8: Column 'nosuch' cannot be resolved", name="nosuch", line=1, column=8, suggestions=["such"]
            )
        if "full" in request.query:
            raise TooManyQueries("200 queries are waiting", limit=200, retry_after_seconds=4.2)
        if "down" in request.query:
            raise EngineUnavailable("the engine does not answer", engine="fake")
        if "bug" in request.query:
            raise RuntimeError("secret internals")
        query_id = str(uuid.uuid4())
        status = QueryStatus.RUNNING if "slow" in request.query else QueryStatus.FINISHED
        failure = next((fate for word, fate in FATES.items() if word in request.query), None)
        self.executions[query_id] = QueryExecution(
            query_id=query_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            status=QueryStatus.FAILED if failure else status,
            query=request.query,
            retention_minutes=request.retention_minutes,
            submitted_at=NOW,
            started_at=NOW,
            ended_at=None if status is QueryStatus.RUNNING else NOW + timedelta(seconds=1),
            expires_at=None if status is QueryStatus.RUNNING else NOW + timedelta(minutes=request.retention_minutes),
            columns=COLUMNS if status is QueryStatus.FINISHED and not failure else None,
            statistics=Statistics(rows_total=ROWS, data_scanned_bytes=0),
            error=failure,
            freshness=QueryFreshness(NOW, 2, 3),
        )
        if request.idempotency_key is not None:
            same = dataclasses.replace(request, wait_seconds=0)
            self.keys[(caller.tenant, request.idempotency_key)] = (same, query_id)
        return self.executions[query_id]

    def end(self, query_id: str, status: QueryStatus) -> None:
        """A running query reaches `status`."""
        self.executions[query_id] = dataclasses.replace(self.executions[query_id], status=status, ended_at=NOW)
        self.changed.set()

    async def status(self, query_id: str, caller: Caller, *, wait_seconds: float = 0.0) -> QueryExecution:
        execution = self._of(query_id, caller)
        if wait_seconds and not execution.is_terminal:
            self.waiting += 1
            try:
                await asyncio.wait_for(self.changed.wait(), wait_seconds)
            except TimeoutError:
                pass
            finally:
                self.waiting -= 1
        return self._of(query_id, caller)

    async def next_page(
        self, query_id: str, caller: Caller, *, paging_token: str | None = None, results_per_page: int = 1000
    ) -> Page:
        execution = self._with_result(query_id, caller)
        if paging_token is not None and not paging_token.isdigit():
            raise InvalidPagingToken("not a token of this query")
        first = int(paging_token or 0)
        last = min(first + results_per_page, ROWS)
        document = {
            "query_id": execution.query_id,
            "columns": [{"name": column.name, "type": column.type} for column in COLUMNS],
            "result_set": [{"n": n, "text": str(n)} for n in range(first, last)],
            "row_count": last - first,
        }
        token = str(last) if last < ROWS else None
        if token:
            document["paging_token"] = token
        return Page(query_id, orjson.dumps(document), first, last - first, token)

    async def explain_empty(self, query_id: str, caller: Caller) -> QueryExplanation:
        execution = self._of(query_id, caller)
        reasons = (EmptyReason("after_newest", "nothing has come since 2026-11-21T10:06:00Z"),)
        table = TableExplanation("events", "dt=2026-11-21/hr=00/min=00", None, reasons)
        return QueryExplanation(query_id, execution.status, None, (table,))

    async def cancel(self, query_id: str, caller: Caller) -> QueryExecution:
        if not self._of(query_id, caller).is_terminal:
            self.end(query_id, QueryStatus.CANCELLED)
        return self._of(query_id, caller)

    async def list_executions(
        self, caller: Caller, *, status: QueryStatus | None = None, limit: int = 100, paging_token: str | None = None
    ) -> ExecutionListing:
        if paging_token is not None:
            raise InvalidPagingToken("not a token of this listing")
        own = [
            execution
            for execution in reversed(self.executions.values())
            if execution.tenant == caller.tenant and status in (None, execution.status)
        ]
        return ExecutionListing(tuple(own[:limit]), "more" if len(own) > limit else None)

    async def validate(self, request: QueryRequest, caller: Caller) -> DryRun:
        self.requests.append(request)
        if "nosuch" in request.query:
            problem = ColumnNotFound("Column 'nosuch' cannot be resolved", name="nosuch", line=1, column=8)
            return DryRun(is_valid=False, problems=(problem,))
        estimate = TableScanEstimate("events", None, None, 3, 4, 5, 6, 7)
        return DryRun(True, "SELECT", COLUMNS, (estimate,), 3, 4, 5, 0.0)

    async def download(self, query_id: str, caller: Caller, format: DownloadFormat) -> Download:
        execution = self._with_result(query_id, caller)
        return Download(
            query_id, format, DOWNLOAD_CONTENT_TYPES[format], f"{query_id}.{format}", self._chunks(execution)
        )

    def _chunks(self, execution: QueryExecution) -> Iterator[bytes]:
        self.open_downloads += 1
        try:
            yield b'"n","text"\n'
            for n in range(1_000_000 if "huge" in execution.query else ROWS):
                yield b'"%d","%d"\n' % (n, n)
                if "torn" in execution.query:
                    raise OSError("the spool is gone")
        finally:
            self.open_downloads -= 1

    async def download_link(
        self, query_id: str, caller: Caller, format: DownloadFormat, *, valid_minutes: int
    ) -> DownloadLink:
        self._of(query_id, caller)
        return DownloadLink(query_id, format, f"signature-of-{query_id}", NOW + timedelta(minutes=valid_minutes))

    async def linked_download(self, query_id: str, token: str) -> tuple[Download, Caller]:
        if token != f"signature-of-{query_id}":
            raise InvalidDownloadLink("no such link", query_id=query_id[:100])
        maker = Caller(self.executions[query_id].tenant, frozenset({11000}), frozenset())
        return await self.download(query_id, maker, DownloadFormat.CSV), maker

    async def usage(self, caller: Caller, *, from_ms: int | None, to_ms: int | None, grouping: Grouping) -> UsageReport:
        self.asked_usage = (from_ms, to_ms, grouping)
        day = date(2026, 11, 22)
        line = UsageLine(3, 1000, 5, day=day, tenant=caller.tenant, key_id="key-a")
        return UsageReport(day, day, grouping, (line,), BudgetState(2000, 1005, NOW + timedelta(hours=14)))

    async def tables(self, caller: Caller, *, database: str | None = None) -> Sequence[TableDescription]:
        return (await self.table("events", caller, database=database),)

    async def table(self, name: str, caller: Caller, *, database: str | None = None) -> TableDescription:
        if name != "events":
            raise TableUnknown(f"There is no table {name!r}.", name=name, suggestions=["events"])
        column = ColumnDescription("servicename", "string", "which service")
        return TableDescription(
            name,
            database or "data_hist",
            "events of all services",
            "s3://data-hist-lake/secor/events/",
            (column,),
            ("dt",),
        )

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
        await self.table(name, caller, database=database)
        if paging_token is not None:
            raise InvalidPagingToken("not a token of this listing")
        offsets = PartitionOffsets(1, 0, 1, 0, 0)
        partition = PartitionDescription(
            "dt=2026-11-22/hr=09/min=59", "s3://data-hist-lake/secor/events/dt=2026-11-22/hr=09/min=59/", "CLOSED",
            NOW - timedelta(minutes=1), NOW, NOW + timedelta(minutes=65), 1, 10, 0, None, 0, 1, None, None, NOW, NOW,
            {"in_time": 1, "more": 0}, {"5_minutes": 3}, (offsets,),
        )  # fmt: skip
        return PartitionListing(name, (partition,)[:limit], None)

    def problems(self) -> Sequence[str]:
        return self.troubles

    def degradations(self) -> Sequence[str]:
        return self.waits_for

    def _of(self, query_id: str, caller: Caller) -> QueryExecution:
        execution = self.executions.get(query_id)
        if execution is None or execution.tenant != caller.tenant:
            raise QueryNotFound(f"There is no query {query_id[:100]}.", query_id=query_id[:100])
        if "expired" in execution.query:
            raise ResultExpired("It is gone.", query_id=query_id, expired_at=NOW)
        return execution

    def _with_result(self, query_id: str, caller: Caller) -> QueryExecution:
        execution = self._of(query_id, caller)
        if execution.error is not None:
            raise QueryFailed(execution.error, query_id=query_id)
        if not execution.is_terminal:
            raise QueryNotFinished("The query is RUNNING.", query_id=query_id, status="RUNNING")
        return execution
