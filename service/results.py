"""Results of finished queries: pages, downloads, links; and the spools that pages are cut from.

    page      the own spool -> the shared one -> written again from the engine's result (PageNotReady meanwhile)
    download  CSV, Parquet and Arrow from the engine's result, NDJSON from a spool

Whoever calls has seen to it that the query is the caller's, finished and not expired.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta

from service.downloads import arrow_chunks, csv_chunks, ndjson_chunks, parquet_chunks
from service.engine import ByteStream, Engine
from service.errors import (
    EngineUnavailable,
    InvalidDownloadLink,
    InvalidPagingToken,
    NoSpaceForResult,
    QueryFailed,
    QueryNotFinished,
    ResultExpired,
    ServiceError,
    StoreUnavailable,
)
from service.executions import StoredExecution
from service.model import DOWNLOAD_CONTENT_TYPES, Download, DownloadFormat, DownloadLink, Page, QueryStatus
from service.pages import PageNotReady, page
from service.running import QueryRunner
from service.shared_spools import SharedSpoolLost, SharedSpools
from service.spool import RowReader, SpoolBusy, SpoolFull, Spools
from service.tokens import LinkGrant, TokenSigner

_LOG = logging.getLogger(__name__)
_TROUBLE_SECONDS = 5.0
_LARGE_BYTES = 2**20


def unexpired(stored: StoredExecution, now: datetime) -> StoredExecution:
    """The execution, unless its result has expired. FAILED and CANCELLED ones are told as long as remembered.

    Raises ResultExpired.
    """
    execution = stored.execution
    if execution.status is not QueryStatus.FINISHED:
        return stored
    if execution.is_expunged or (execution.expires_at is not None and execution.expires_at <= now):
        detail = f"the result was kept for {execution.retention_minutes} minutes and has been deleted"
        raise ResultExpired(detail, query_id=stored.query_id, expired_at=execution.expires_at)
    return stored


class Results:
    """Reads results. `on_spooled` hears of an execution whose spool was written again."""

    def __init__(
        self,
        engine: Engine,
        spools: Spools,
        shared_spools: SharedSpools,
        signer: TokenSigner,
        runner: QueryRunner,
        *,
        clock: Callable[[], datetime],
        page_wait_seconds: float,
        on_spooled: Callable[[StoredExecution], None],
    ) -> None:
        self._engine = engine
        self._spools = spools
        self._shared_spools = shared_spools
        self._signer = signer
        self._runner = runner
        self._clock = clock
        self._page_wait_seconds = page_wait_seconds
        self._on_spooled = on_spooled
        # writing spools again must not keep anybody from asking for a status, nor large ones the small ones
        self._spooling_pool = ThreadPoolExecutor(2, thread_name_prefix="query-service-spool")
        self._large_spooling_pool = ThreadPoolExecutor(1, thread_name_prefix="query-service-large-spool")
        self._sharing_pool = ThreadPoolExecutor(1, thread_name_prefix="query-service-share")
        self._lock = threading.Lock()
        self._spooling_again: set[str] = set()
        self._lost_results: dict[str, QueryFailed] = {}
        self._spooling_troubles: dict[str, tuple[float, ServiceError]] = {}
        self._is_closed = False

    def stop(self) -> None:
        """Begins nothing new: spools are neither written again nor shared any more."""
        self._is_closed = True

    def close(self) -> None:
        """Waits for what is being written."""
        self.stop()
        for pool in (self._spooling_pool, self._large_spooling_pool, self._sharing_pool):
            pool.shutdown(wait=True, cancel_futures=True)

    def page_in_memory(self, stored: StoredExecution, paging_token: str | None, results_per_page: int) -> Page | None:
        """The page when it can be had without waiting for a disk or a lock: some 20 us, less than a change of
        threads.
        """
        reader = self._spools.open_reader(stored.query_id)
        if reader is None or not stored.execution.has_result:
            return None
        try:
            return self._page_of(stored, reader, paging_token, results_per_page, is_waiting_allowed=False)
        except OSError:  # not in memory (EAGAIN), or a file system that cannot tell (EOPNOTSUPP)
            return None

    def page(self, stored: StoredExecution, paging_token: str | None, results_per_page: int) -> Page:
        """One page of a finished query's result. Raises PageNotReady while its rows are being written, what `page` of
        service.pages raises, and what _spool_again_soon raises.
        """
        own = self._spools.reader(stored.query_id)
        if own is not None:
            with suppress(PageNotReady):
                return self._page_of(stored, own, paging_token, results_per_page)
        shared = self._shared_spools.reader(stored)
        if shared is not None:
            try:
                return self._page_of(stored, shared, paging_token, results_per_page)
            except SharedSpoolLost as error:
                _LOG.warning("the shared spool of query %s is gone: %s", stored.query_id, error)
                self._shared_spools.forget(stored.query_id)
        self._spool_again_soon(stored)
        raise PageNotReady

    def _page_of(
        self,
        stored: StoredExecution,
        reader: RowReader,
        paging_token: str | None,
        results_per_page: int,
        *,
        is_waiting_allowed: bool = True,
    ) -> Page:
        return page(
            reader,
            self._signer,
            query_id=stored.query_id,
            tenant=stored.execution.tenant,
            columns=stored.execution.columns or (),
            paging_token=paging_token,
            results_per_page=results_per_page,
            is_waiting_allowed=is_waiting_allowed,
        )

    def download(self, stored: StoredExecution, format: DownloadFormat) -> Download:
        """The whole result of a finished query."""
        query_id = stored.query_id
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

    def link(self, stored: StoredExecution, format: DownloadFormat, valid_minutes: int) -> DownloadLink:
        """A link to the result of a finished query."""
        query_id = stored.query_id
        expires_at = self._clock() + timedelta(minutes=valid_minutes)
        if stored.execution.expires_at is not None:
            expires_at = min(expires_at, stored.execution.expires_at)
        expires_at = expires_at.replace(microsecond=0)
        grant = LinkGrant(int(expires_at.timestamp()), format)
        token = self._signer.link_token(grant, query_id=query_id)
        return DownloadLink(query_id, format, token, expires_at)

    def granted(self, query_id: str, token: str) -> DownloadFormat:
        """The format that a link to this query's result is good for. Raises InvalidDownloadLink."""
        try:  # before anything is looked up: whoever makes links up costs us no more than that
            grant = self._signer.link_grant(token, query_id=query_id)
        except InvalidPagingToken:
            detail = "this link is not one that the service made, or was altered"
            raise InvalidDownloadLink(detail, query_id=query_id) from None
        if self._clock().timestamp() >= grant.expires_at_s:
            raise InvalidDownloadLink("this link has expired; ask for another one", query_id=query_id)
        return grant.file_format

    def _growing_reader(self, stored: StoredExecution) -> RowReader:
        """The reader of a spool that exists or soon will. Raises QueryNotFinished when it does not come, and what
        _spool_again_soon raises.
        """
        deadline = time.monotonic() + self._page_wait_seconds
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

    # --- spools

    def _spool_again_soon(self, stored: StoredExecution) -> None:
        """Sees to it that a spool whose writer is gone is written again; does nothing while somebody writes it.

        Raises QueryFailed when it was tried, and the engine's result is gone; NoSpaceForResult, EngineUnavailable or
        StoreUnavailable when it was tried a moment ago and could not be done.
        """
        with self._lock:
            since, trouble = self._spooling_troubles.get(stored.query_id, (float("-inf"), None))
            if trouble is not None and time.monotonic() - since < _TROUBLE_SECONDS:
                raise trouble
            lost = self._lost_results.get(stored.query_id)
            if lost is not None:
                raise QueryFailed(lost.failure, query_id=stored.query_id) from lost
            if stored.query_id in self._spooling_again or self._is_closed:
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
                self._on_spooled(spooled)
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
                with self._lock:
                    self._lost_results[query_id] = error
        except Exception:
            _LOG.exception("the result of query %s could not be spooled again", query_id)
        finally:
            with self._lock:
                self._spooling_again.discard(query_id)
                if trouble is None:
                    self._spooling_troubles.pop(query_id, None)
                else:
                    self._spooling_troubles[query_id] = (time.monotonic(), trouble)

    def share_soon(self, stored: StoredExecution) -> None:
        """Lets the other replicas read a spool that this one has written, if it is worth it."""
        if not self._is_closed:
            self._sharing_pool.submit(self._share, stored)

    def _share(self, stored: StoredExecution) -> None:
        query_id = stored.query_id
        try:
            kept = self._spools.is_complete(query_id) and self._shared_spools.keep(
                stored, self._spools.folder(query_id)
            )
            if kept and unexpired(stored, self._clock()) is stored:
                _LOG.info("the spool of query %s is shared", query_id)
        except ResultExpired:  # it ended while it was being shared: whoever swept it did not see it
            self._shared_spools.delete(stored)
        except Exception:
            _LOG.exception("the spool of query %s could not be shared", query_id)
