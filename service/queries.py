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

from collections.abc import Sequence

from service.model import (
    MAXIMUM_RESULTS_PER_PAGE,
    Caller,
    Download,
    DownloadFormat,
    DryRun,
    ExecutionListing,
    Page,
    QueryExecution,
    QueryRequest,
    QueryStatus,
    TableDescription,
)


class QueryService:
    """See the module. All coroutines may be called from any running event loop."""

    async def start(self) -> None:
        """Starts the scheduler and the retention sweeper and takes up what an earlier process left unfinished."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stops taking queries, gives unfinished ones back for the next process, flushes and closes everything."""
        raise NotImplementedError

    async def submit(self, request: QueryRequest, caller: Caller) -> QueryExecution:
        """Plans, estimates, stores and queues one query; waits up to `request.wait_seconds` for a terminal state.

        Raises StatementError (and subclasses), InvalidRequest, ScanLimitExceeded, IdempotencyConflict, TooManyQueries.
        """
        raise NotImplementedError

    async def status(self, query_id: str, caller: Caller, *, wait_seconds: float = 0.0) -> QueryExecution:
        """The execution as it is now, or as soon as it is terminal within `wait_seconds`. Raises QueryNotFound,
        ResultExpired.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def cancel(self, query_id: str, caller: Caller) -> QueryExecution:
        """Cancels and answers once the execution is truly terminal; a terminal one is answered as it is. Raises
        QueryNotFound.
        """
        raise NotImplementedError

    async def list_executions(
        self, caller: Caller, *, status: QueryStatus | None = None, limit: int = 100, paging_token: str | None = None
    ) -> ExecutionListing:
        """This tenant's executions, newest first. Raises InvalidPagingToken, InvalidRequest (limit 1..1000)."""
        raise NotImplementedError

    async def validate(self, request: QueryRequest, caller: Caller) -> DryRun:
        """What submit would do with this request; never raises for faults of the request, which are its `problems`."""
        raise NotImplementedError

    async def download(self, query_id: str, caller: Caller, format: DownloadFormat) -> Download:
        """The whole result as a stream of bytes. Raises as next_page does."""
        raise NotImplementedError

    async def tables(self, caller: Caller) -> Sequence[TableDescription]:
        """Every served table with its data dictionary and freshness."""
        raise NotImplementedError

    async def table(self, name: str, caller: Caller) -> TableDescription:
        """One served table. Raises TableUnknown."""
        raise NotImplementedError

    def problems(self) -> Sequence[str]:
        """Why the service is not ready, in words; empty when it is. Cheap: for GET /health/ready."""
        raise NotImplementedError
