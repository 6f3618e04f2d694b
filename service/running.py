"""One query from the queue to its end: start, wait, spool, finish. What a crash between any two steps leaves behind,
the next `drive` of the same query takes up:

    crash before the engine was asked     -> it is asked now (with a new plan, where the old one rested on a now() gone
    by) crash after, before its id was kept   -> asked again with the same token: the same execution
    crash while it ran                    -> waited for again by its id
    crash while the result was spooled    -> spooled again from the engine's result object
    crash after the end was recorded      -> nothing to do; a spool that is not complete is written again on demand

A wish to cancel wins over every ending but one that is already recorded. Every step is stored under the owner that
drives the query; when the query has become another's, or this process may be taken for dead, driving ends there and
nothing is changed or deleted any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from threading import Event

from opentelemetry.trace import Span, Tracer
from structlog.contextvars import bound_contextvars

from service.encoding import base_type, unique_names
from service.engine import (
    Engine,
    EngineBusy,
    EngineClosed,
    EngineExecution,
    EngineExecutionLost,
    MalformedRows,
    StartContext,
)
from service.engine_slots import EngineSlots, UnlimitedSlots
from service.errors import Blame, EngineUnavailable, QueryFailed, QueryFailure, StatementError, StoreUnavailable
from service.executions import Ending, ExecutionStore, Plan, StoredExecution
from service.model import (
    MAXIMUM_RESULTS_PER_PAGE,
    OutputColumn,
    QueryStatus,
    QueryWarning,
    Statistics,
    estimated_cost_usd,
)
from service.ownership import Ownership
from service.places import placed
from service.result_csv import ResultUnreadable, read_batches
from service.spool import SpoolBusy, SpoolFull, Spools, SpoolWriter
from service.tracing import NO_TRACER, continued
from service.transcoding import Transcoder

_LOG = logging.getLogger(__name__)
_PROGRESS_SECONDS = 1.0
_UNREACHED = QueryFailure("EngineUnavailable", "the engine could not be reached", Blame.ENGINE, retryable=True)
_UNREADABLE = "the row cannot be read, so whose it is cannot be told: what is wrong in it is shown to operators only"

_MAXIMUM_ATTEMPTS_OF_LOST = 5
"""A query that was lost did not fail: replicas that restart one after the other shall not end it."""


class RunOutcome(Enum):
    """What the scheduler has to do about a query that was driven.

    UNAVAILABLE: the engine cannot be reached, which it has a limited time for. POSTPONED: the store cannot be, so that
    no end could be told; it is tried again for as long as it takes.
    """

    DONE = auto()
    AGAIN = auto()
    BUSY = auto()
    UNAVAILABLE = auto()
    POSTPONED = auto()
    GIVEN_BACK = auto()


class _Stopping(Exception):
    pass


class _OwnershipLost(Exception):
    """The query is another process's now, or may be at any moment."""


class QueryRunner:
    """Drives queries, one per call of `drive`; used by many threads at once.

    `on_end` hears of each execution that ended, and once more when its spool became whole after that; `on_progress` of
    each that runs, as it is now, and `on_left` of its id when it is no longer driven here.
    """

    def __init__(
        self,
        store: ExecutionStore,
        engine: Engine,
        spools: Spools,
        *,
        ownership: Ownership,
        clock: Callable[[], datetime],
        on_end: Callable[[StoredExecution], None],
        plan_again: Callable[[StoredExecution], Plan],
        on_progress: Callable[[StoredExecution], None] | None = None,
        on_left: Callable[[str], None] | None = None,
        slots: EngineSlots | None = None,
        maximum_attempts: int = 2,
        monotonic: Callable[[], float] = time.monotonic,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store = store
        self._engine = engine
        self._spools = spools
        self._ownership = ownership
        self._clock = clock
        self._on_end = on_end
        self._plan_again = plan_again
        self._on_progress = on_progress or _nobody
        self._on_left = on_left or _nobody
        self._maximum_attempts = maximum_attempts
        self._tracer = tracer
        self._slots = slots or UnlimitedSlots()
        self._monotonic = monotonic
        self._unavailable: dict[str, QueryFailure] = {}
        self._told_progress: dict[str, tuple[QueryStatus | None, float]] = {}
        self.is_stopping = Event()

    def drive(self, query_id: str) -> RunOutcome:
        """Takes one query as far as it goes now."""
        self._unavailable.pop(query_id, None)
        try:
            outcome = self._fenced(query_id)
        finally:
            self._told_progress.pop(query_id, None)
            self._on_left(query_id)
        if outcome in (RunOutcome.DONE, RunOutcome.AGAIN, RunOutcome.BUSY):
            self._slots.give_back(query_id)
        return outcome

    def _fenced(self, query_id: str) -> RunOutcome:
        try:
            stored = self._store.get(query_id)
            if stored is None or stored.execution.is_terminal or stored.owner != self._ownership.owner:
                return RunOutcome.DONE
            with bound_contextvars(query_id=query_id, tenant=stored.execution.tenant), self._span(stored) as span:
                outcome = self._driven(stored)
                span.set_attribute("data_hist.outcome", outcome.name)
                return outcome
        except StoreUnavailable as error:
            _LOG.warning("the execution store is not available for query %s: %s", query_id, error)
            return RunOutcome.POSTPONED
        except _OwnershipLost:
            _LOG.warning("query %s is left to whoever has it now", query_id)
            return RunOutcome.GIVEN_BACK

    def _span(self, stored: StoredExecution) -> AbstractContextManager[Span]:
        """The span of one drive, where the query was asked."""
        attributes: dict[str, str | int] = {
            "db.system.name": stored.engine_name,
            "data_hist.query_id": stored.query_id,
            "data_hist.tenant": stored.execution.tenant,
            "data_hist.attempt": stored.attempt,
        }
        return self._tracer.start_as_current_span(
            "query", context=continued(stored.trace_parent), attributes=attributes
        )

    def _driven(self, stored: StoredExecution) -> RunOutcome:
        query_id = stored.query_id
        try:
            return self._drive(stored)
        except (EngineBusy, SpoolBusy):
            if not stored.is_starting:  # else a predecessor may have asked the engine: the SQL belongs to its token
                self._store.release_start(query_id, self._owner(stored))
            return RunOutcome.BUSY
        except EngineUnavailable as error:
            # not released: nobody knows whether the engine heard us; the same token will tell
            _LOG.warning("engine unavailable for query %s: %s", query_id, error)
            self._unavailable[query_id] = QueryFailure("EngineUnavailable", error.detail, Blame.ENGINE, retryable=True)
            return RunOutcome.UNAVAILABLE
        except SpoolFull as error:
            _LOG.error("there is no room for the result of query %s: %s", query_id, error)
            detail = "the disk of the service has no room for the rows of the result"
            self._unavailable[query_id] = QueryFailure("NoSpaceForResult", detail, Blame.SERVICE, retryable=True)
            return RunOutcome.UNAVAILABLE
        except (EngineClosed, _Stopping):
            return RunOutcome.GIVEN_BACK
        except (StoreUnavailable, _OwnershipLost):
            raise
        except QueryFailed as error:
            return self._failed(stored, error.failure)
        except StatementError as error:  # planned again, and a table or column is no longer there
            failure = QueryFailure(
                error.code, error.detail, Blame.USER, False, error.line, error.column, error.suggestions
            )
            return self._failed(stored, failure)
        except ResultUnreadable as error:
            return self._failed(stored, QueryFailure("ResultUnreadable", str(error), Blame.ENGINE))
        except Exception:
            _LOG.exception("query %s failed for a reason of our own", query_id)
            detail = f"the service itself failed while it ran this query; its log tells more under {query_id}"
            return self._failed(stored, QueryFailure("InternalError", detail, Blame.SERVICE))

    def troubles(self) -> list[str]:
        """What keeps queries from going on, each trouble once: the engine's or the disk's own words."""
        return sorted({failure.detail for failure in list(self._unavailable.values())})

    def stop(self) -> None:
        """Makes every drive end soon, with GIVEN_BACK; what they drove stays unfinished for a successor."""
        self.is_stopping.set()
        self._engine.close()

    def give_up(self, query_id: str, after_seconds: float) -> None:
        """Fails a query that could not go on for so long; the failure says what the trouble was.

        Raises StoreUnavailable.
        """
        stored = self._store.get(query_id)
        failure = self._unavailable.get(query_id, _UNREACHED)
        failure = replace(failure, detail=f"{failure.detail}; it was tried for {round(after_seconds)} seconds")
        if stored is not None:
            if stored.engine_id is not None:
                with suppress(EngineUnavailable):  # nobody waits for it any more: it shall not run on
                    self._engine.stop(stored.engine_id)
            with suppress(_OwnershipLost):
                self._failed(stored, failure)
        self._unavailable.pop(query_id, None)
        self._slots.give_back(query_id)

    def spool_again(self, query_id: str) -> StoredExecution | None:
        """Writes the spool of a FINISHED query once more, from the engine's result object. Returns the execution as it
        then is; None when there is nothing to spool. `on_end` does not hear of it: the query ended before.

        Raises SpoolBusy (it is being written), SpoolFull, QueryFailed, EngineUnavailable, StoreUnavailable.
        """
        stored = self._store.get(query_id)
        if stored is None or stored.execution.status is not QueryStatus.FINISHED or stored.execution.columns is None:
            return None
        with self._spools.writer(query_id) as writer:
            for _ in self._spooling(writer, stored, stored.execution.columns, stored.result_location):
                pass
            writer.complete()
        return self._store.record_spooled(query_id, writer.row_count, writer.size_bytes)

    def _drive(self, stored: StoredExecution) -> RunOutcome:
        if stored.engine_id is None:
            started = self._started(stored)
            if started is None:
                return RunOutcome.DONE
            stored = started
        else:
            self._slots.take(stored.query_id)  # it runs whatever the answer is
        engine_id = stored.engine_id
        if engine_id is None:
            raise AssertionError("a started execution has an engine id")
        if stored.is_cancel_requested:
            self._engine.stop(engine_id)
        try:
            with self._tracer.start_as_current_span("engine wait") as span:
                span.set_attribute("data_hist.engine_id", engine_id)
                ended = self._engine.wait(engine_id, lambda execution: self._progressed(stored, execution))
                span.set_attribute("data_hist.status", ended.status.value)
                if ended.statistics.data_scanned_bytes is not None:
                    span.set_attribute("data_hist.scanned_bytes", ended.statistics.data_scanned_bytes)
        except EngineExecutionLost:
            detail = "the engine lost this query, perhaps because it was restarted"
            failure = QueryFailure("EngineLostQuery", detail, Blame.ENGINE, retryable=True)
            return self._failed_attempt(stored, failure, maximum_attempts=_MAXIMUM_ATTEMPTS_OF_LOST)
        except EngineBusy:  # refused for want of room after it was taken: it waits with us, and is begun anew
            if self._store.next_attempt(stored.query_id, self._owner(stored), stored.attempt) is not None:
                return RunOutcome.BUSY
            detail = "the engine has no room"  # it is to be cancelled, or is another's by now
            return self._failed(stored, QueryFailure("QueryFailed", detail, Blame.ENGINE, retryable=True))
        if ended.status is QueryStatus.FAILED:
            failure = ended.failure or QueryFailure("QueryFailed", "the engine gave no reason", Blame.ENGINE)
            return self._failed_attempt(stored, failure, ended)
        if ended.status is QueryStatus.CANCELLED:
            return self._cancelled(stored, ended)
        return self._collected(stored, ended)

    def _started(self, stored: StoredExecution) -> StoredExecution | None:
        """The execution after the engine was asked to start it; None when there is nothing (more) to start."""
        query_id = stored.query_id
        if stored.is_cancel_requested and not stored.is_starting:
            self._end(stored, Ending(QueryStatus.CANCELLED, self._clock()))
            return None
        if not self._slots.take(query_id):
            raise EngineBusy("all engine slots are taken")
        stored = self._with_valid_plan(stored)
        # cancelled after a crash between start and record: the engine may run it, and only the token finds out
        if not stored.is_cancel_requested and self._store.claim_start(query_id, self._owner(stored)) is None:
            current = self._store.get(query_id)
            if current is None or current.execution.is_terminal or not current.is_starting:
                return None
        owner = self._owner(stored)
        with self._tracer.start_as_current_span("engine start"):
            engine_id = self._engine.start(stored.engine_sql, token=stored.engine_token, context=_start_context(stored))
        started = self._store.record_started(query_id, owner, engine_id, QueryStatus.QUEUED, self._clock())
        if started.execution.is_terminal:
            return None
        if started.owner != owner:
            raise _OwnershipLost
        return started

    def _with_valid_plan(self, stored: StoredExecution) -> StoredExecution:
        """The execution, planned again when it waited so long that the now() it was planned with is history."""
        is_stale = stored.plan_valid_until is not None and stored.plan_valid_until <= self._clock()
        if not is_stale or stored.is_starting:  # once the engine may have been asked, its SQL belongs to its token
            return stored
        return self._store.record_plan(stored.query_id, self._owner(stored), self._plan_again(stored)) or stored

    def _progressed(self, stored: StoredExecution, execution: EngineExecution) -> None:
        """Stores a new state at once, new numbers of the same state once a second: each is a write."""
        owner = self._owner(stored)
        statistics = self._statistics(stored, execution.statistics)
        if execution.status is QueryStatus.RUNNING:
            running = replace(stored.execution, status=execution.status, statistics=statistics)
            self._on_progress(replace(stored, execution=running))
        now, (status, at) = self._monotonic(), self._told_progress.get(stored.query_id, (None, 0.0))
        if execution.status is status and now - at < _PROGRESS_SECONDS:
            return
        self._told_progress[stored.query_id] = (execution.status, now)
        try:
            self._store.record_progress(stored.query_id, owner, execution.status, statistics)
        except StoreUnavailable as error:  # the next progress, or the end, will tell
            _LOG.warning("the progress of query %s could not be stored: %s", stored.query_id, error)

    def _statistics(self, stored: StoredExecution, told: Statistics) -> Statistics:
        """The engine's statistics with what planning knew and what only we can know."""
        planned = stored.execution.statistics
        started_at = stored.execution.started_at or self._clock()
        waited_ms = round((started_at - stored.execution.submitted_at).total_seconds() * 1000)
        scanned_bytes = told.data_scanned_bytes
        return replace(
            told,
            query_queue_time_ms=max(0, waited_ms) + (told.query_queue_time_ms or 0),
            partitions_scanned=planned.partitions_scanned,
            partitions_skipped=planned.partitions_skipped,
            objects_scanned=planned.objects_scanned,
            bytes_skipped=planned.bytes_skipped,
            estimated_cost_usd=None if scanned_bytes is None else estimated_cost_usd(scanned_bytes),
        )

    def _failed_attempt(
        self,
        stored: StoredExecution,
        failure: QueryFailure,
        ended: EngineExecution | None = None,
        *,
        maximum_attempts: int | None = None,
    ) -> RunOutcome:
        may_try_again = failure.retryable and stored.attempt < (maximum_attempts or self._maximum_attempts)
        if may_try_again and self._store.next_attempt(stored.query_id, self._owner(stored), stored.attempt) is not None:
            return RunOutcome.AGAIN
        return self._failed(stored, failure, ended)

    def _failed(
        self, stored: StoredExecution, failure: QueryFailure, ended: EngineExecution | None = None
    ) -> RunOutcome:
        told = Statistics() if ended is None else ended.statistics
        self._end(
            stored,
            Ending(
                QueryStatus.FAILED,
                self._clock(),
                statistics=self._statistics(stored, told),
                error=placed(failure, engine_sql=stored.engine_sql, asked_sql=stored.execution.query),
                result_location=None if ended is None else ended.result_location,
            ),
        )
        return RunOutcome.DONE

    def _cancelled(self, stored: StoredExecution, ended: EngineExecution) -> RunOutcome:
        warnings: tuple[QueryWarning, ...] = ()
        current = self._store.get(stored.query_id)
        if current is not None and not current.is_cancel_requested:
            warnings = (QueryWarning("CancelledByEngine", ended.reason or "the engine cancelled the query"),)
        self._end(
            stored,
            Ending(
                QueryStatus.CANCELLED,
                self._clock(),
                statistics=self._statistics(stored, ended.statistics),
                warnings=warnings,
                result_location=ended.result_location,
            ),
        )
        return RunOutcome.DONE

    def _collected(self, stored: StoredExecution, ended: EngineExecution) -> RunOutcome:
        """Spools the result; FINISHED is recorded as soon as the first page can be had."""
        malformed = _as_shown_to(stored, self._engine.malformed_rows(ended.engine_id))
        statistics = replace(
            self._statistics(stored, ended.statistics), rows_malformed=malformed.count, progress_percent=100.0
        )
        if stored.is_strict and malformed.count:
            return self._refused_as_malformed(stored, ended, malformed, statistics)
        columns = output_columns(self._engine.columns(ended.engine_id), stored)
        ending = Ending(
            QueryStatus.FINISHED,
            self._clock(),
            statistics=statistics,
            columns=columns,
            warnings=malformed.warnings,
            warnings_truncated=malformed.is_truncated,
            result_location=ended.result_location,
        )
        is_announced = False
        with self._tracer.start_as_current_span("spool") as span, self._spools.writer(stored.query_id) as writer:
            for row_count in self._spooling(writer, stored, columns, ended.result_location):
                self._owner(stored)
                if not is_announced and row_count > MAXIMUM_RESULTS_PER_PAGE:
                    is_announced = True
                    if not self._end(stored, replace(ending, ended_at=self._clock())):
                        return RunOutcome.DONE
            writer.complete()
            span.set_attributes({"data_hist.rows": writer.row_count, "data_hist.result_bytes": writer.size_bytes})
        if is_announced:
            self._spooled(stored.query_id, writer)
        else:
            statistics = replace(statistics, rows_total=writer.row_count, result_bytes=writer.size_bytes)
            self._end(stored, replace(ending, ended_at=self._clock(), statistics=statistics, is_spooled=True))
        return RunOutcome.DONE

    def _refused_as_malformed(
        self, stored: StoredExecution, ended: EngineExecution, malformed: MalformedRows, statistics: Statistics
    ) -> RunOutcome:
        detail = f"{malformed.count} malformed rows would have been skipped, and the query was asked to be strict"
        self._end(
            stored,
            Ending(
                QueryStatus.FAILED,
                self._clock(),
                statistics=statistics,
                error=QueryFailure("MalformedRows", detail, Blame.USER),
                warnings=malformed.warnings,
                warnings_truncated=malformed.is_truncated,
                result_location=ended.result_location,
            ),
        )
        return RunOutcome.DONE

    def _spooling(
        self, writer: SpoolWriter, stored: StoredExecution, columns: Sequence[OutputColumn], location: str | None
    ) -> Iterator[int]:
        """Writes the result's rows; gives the count of rows so far after each batch."""
        engine_id = stored.engine_id
        if engine_id is None:
            raise AssertionError("only a started execution has a result")
        with closing(Transcoder(columns, stored.json_columns)) as transcoder:
            for batch in read_batches(lambda: self._engine.open_result(engine_id, location), len(columns)):
                if self.is_stopping.is_set():
                    raise _Stopping
                for rows, end_offsets in transcoder.json_rows(batch):
                    writer.append(rows, end_offsets)
                yield writer.row_count

    def _end(self, stored: StoredExecution, ending: Ending) -> bool:
        """Records the ending; False when the execution ended otherwise (cancelled). What has no result keeps no
        bytes.
        """
        after = self._store.finish(stored.query_id, self._owner(stored), ending)
        if not after.execution.is_terminal:
            raise _OwnershipLost
        if after.execution.status is not QueryStatus.FINISHED:
            self._spools.delete(stored.query_id)
            location = after.result_location or ending.result_location
            if location is not None and after.engine_id is not None:
                with suppress(EngineUnavailable):  # the retention sweeper tries again when the execution expires
                    self._engine.delete_result(after.engine_id, location)
        self._on_end(after)
        return after.execution.status is ending.status

    def _owner(self, stored: StoredExecution) -> str:
        """The owner to store a step under. Raises _OwnershipLost when this process may no longer drive the query."""
        if stored.owner is None or not self._ownership.is_held(stored.owner):
            raise _OwnershipLost
        return stored.owner

    def _spooled(self, query_id: str, writer: SpoolWriter) -> None:
        after = self._store.record_spooled(query_id, writer.row_count, writer.size_bytes)
        if after is not None:
            self._on_end(after)


def _start_context(stored: StoredExecution) -> StartContext:
    return StartContext(stored.execution.tenant, is_operator=stored.sees_all_customers)


def _nobody(_: object) -> None:
    """Nobody wants to hear of it."""


def output_columns(told: Sequence[OutputColumn], stored: StoredExecution) -> tuple[OutputColumn, ...]:
    """The result's columns: the engine's names made unique, and types as full as planning or the engine knows them."""
    planned = stored.planned_columns if len(stored.planned_columns) == len(told) else ()
    columns = []
    for index, (name, column) in enumerate(zip(unique_names([column.name for column in told]), told, strict=True)):
        type_text = "json" if index in stored.json_columns else column.type
        if planned and (index in stored.json_columns or base_type(planned[index].type) == base_type(column.type)):
            type_text = planned[index].type
        columns.append(OutputColumn(name, type_text))
    return tuple(columns)


def _as_shown_to(stored: StoredExecution, malformed: MalformedRows) -> MalformedRows:
    """What the caller may know of rows that nobody can tell the tenant of: where they are, not what is in them."""
    if stored.sees_all_customers:
        return malformed
    warnings = tuple(replace(warning, detail=_UNREADABLE) for warning in malformed.warnings)
    return replace(malformed, warnings=warnings)
