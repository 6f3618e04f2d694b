"""The Trino engine: Trino's client protocol (service.engines.trino_protocol) behind service.engine.Engine.

    start    POST: Trino knows the statement and runs nothing yet, so nothing is lost or doubled when nobody remembers
             its id
    wait     GET after GET: the first one runs it. Its rows go into a result object in S3 as they come, in flat memory,
             as Athena writes it; then <object>.metadata with columns and statistics, which says that it is whole
    stop     DELETE; only the end that `wait` sees proves it
    result   that object, read as Athena's (service.engines.result_objects)

Trino gives a result once, and only to the client that asks for it answer by answer. So what a dead process began is
stopped by its successor, and begun anew with another token; a result that was written is found again by its metadata.
A process that closes stops what it waits for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import tenacity

from service.engine import (
    NOBODY,
    ByteStream,
    EngineBusy,
    EngineClosed,
    EngineExecution,
    EngineExecutionLost,
    MalformedRows,
    StartContext,
)
from service.engines.aws_calls import AwsCalls
from service.engines.failures import code_of
from service.engines.result_csv_lines import csv_line
from service.engines.result_objects import ResultDenied, ResultObjects
from service.engines.result_writing import ResultObjectWriter
from service.engines.trino_protocol import (
    TrinoAnswer,
    TrinoBusy,
    TrinoGone,
    TrinoServer,
    TrinoStatement,
    TrinoTrouble,
    TrinoUnauthorized,
    kill,
)
from service.engines.trino_values import RowLines, output_column
from service.errors import Blame, EngineUnavailable, QueryFailed, QueryFailure
from service.model import OutputColumn, QueryStatus, Statistics

_LOG = logging.getLogger(__name__)

_CANCELLED = frozenset({"USER_CANCELED", "ADMINISTRATIVELY_KILLED", "ADMINISTRATIVELY_PREEMPTED"})
_NO_ROOM = frozenset({"QUERY_QUEUE_FULL"})
_MAY_PASS = frozenset(
    {
        "ABANDONED_QUERY",
        "ABANDONED_TASK",
        "NO_NODES_AVAILABLE",
        "PAGE_TRANSPORT_ERROR",
        "PAGE_TRANSPORT_TIMEOUT",
        "REMOTE_HOST_GONE",
        "REMOTE_TASK_ERROR",
        "REMOTE_TASK_MISMATCH",
        "SERVER_SHUTTING_DOWN",
        "SERVER_STARTING_UP",
        "TOO_MANY_REQUESTS_FAILED",
    }
)
"""Errors of a cluster's machines (Trino's StandardErrorCode). Never those of a query that needs more than there is."""

_WAITING_STATES = frozenset({"QUEUED", "WAITING_FOR_RESOURCES", "DISPATCHING"})
_REMEMBERED_ENDINGS = 256
_METADATA = ".metadata"


@dataclass
class _Run:
    """One statement that this process began. One thread at a time drives it; `is_stop_requested` is set by others.

    `pages` are rows that were taken from Trino and not yet written; `is_read`: Trino has nothing more to give. Both
    outlive a `wait` that could not write for a while.
    """

    statement: TrinoStatement
    sql: str
    location: str
    columns: tuple[OutputColumn, ...] = ()
    lines: RowLines | None = None
    writer: ResultObjectWriter | None = None
    statistics: Statistics = field(default_factory=Statistics)
    status: QueryStatus = QueryStatus.QUEUED
    pages: Iterator[Sequence[Sequence[Any]]] = field(default_factory=lambda: iter(()))
    is_read: bool = False
    ended: EngineExecution | None = None
    is_stop_requested: bool = False
    failing_since: float | None = None

    @property
    def engine_id(self) -> str:
        return self.statement.id


class TrinoEngine:
    """See the module. `output_location` is the s3 URI under which results are written.

    `partition_keys` are the partition columns of each table (`database.table`), for SHOW PARTITIONS, which is no
    statement of Trino's. `patience_seconds`: how long Trino may not answer before `wait` gives up; Trino forgets a
    statement that nobody asks for after five minutes (query.client.timeout).
    """

    name = "trino"

    def __init__(
        self,
        server: TrinoServer,
        s3: Any,
        *,
        output_location: str,
        partition_keys: Mapping[str, Sequence[str]] | None = None,
        attempts: int = 5,
        patience_seconds: float = 240.0,
        progress_seconds: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._s3 = s3
        self._output_location = output_location
        self._partition_keys = dict(partition_keys or {})
        self._patience_seconds = patience_seconds
        self._progress_seconds = progress_seconds
        self._monotonic = monotonic
        self._is_closed = threading.Event()
        self._s3_calls = AwsCalls(sleep=self._is_closed.wait)
        self._objects = ResultObjects(s3, engine=self.name, calls=self._s3_calls)
        self._pauses = tenacity.wait_random_exponential(multiplier=0.1, max=5)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, TrinoTrouble) and error.may_pass),
            wait=self._pauses,
            stop=tenacity.stop_after_attempt(attempts),
            sleep=self._pause,
            reraise=True,
        )
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._ids_by_token: dict[str, str] = {}
        self._ended: OrderedDict[str, tuple[OutputColumn, ...]] = OrderedDict()

    def start(self, sql: str, *, token: str, context: StartContext = NOBODY) -> str:
        """As Engine.start. In one process the same token is the same execution; said by two, only the one that is
        waited for runs."""
        with self._lock:
            known = self._ids_by_token.get(token)
        if known is not None:
            return known
        try:
            statement = TrinoStatement(self._server, token=token, tenant=context.tenant)
            self._retrying.copy()(statement.post, self._in_trinos_words(sql))
        except TrinoBusy as busy:
            raise EngineBusy(str(busy)) from busy
        except TrinoTrouble as trouble:
            raise self._unavailable(trouble) from trouble
        run = _Run(statement, sql, f"{self._output_location}{statement.id}.csv")
        with self._lock:
            self._runs[statement.id] = run
            self._ids_by_token[token] = statement.id
        return statement.id

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        """As Engine.wait. Raises EngineUnavailable; waiting again afterwards goes on where it was."""
        with self._lock:
            run = self._runs.get(engine_id)
        if run is None:
            return self._begun_elsewhere(engine_id)
        told_at = -self._progress_seconds
        while True:
            if self._is_closed.is_set():
                self._abandon(run)
                raise EngineClosed
            try:
                told_at = self._stepped(run, told_at, on_change)
            except (EngineUnavailable, EngineBusy, EngineExecutionLost):
                raise
            except BaseException:  # whoever waited has gone, or we are at fault: nobody else can fetch its rows
                self._abandon(run)
                raise
            if run.ended is not None:
                self._forget(run)
                return run.ended

    def stop(self, engine_id: str) -> None:
        """As Engine.stop; also of what another process waits for."""
        with self._lock:
            run = self._runs.get(engine_id)
        try:
            if run is None:
                kill(self._server, engine_id)
            else:
                run.is_stop_requested = True
                run.statement.cancel()
        except TrinoTrouble as trouble:
            raise self._unavailable(trouble) from trouble

    def columns(self, engine_id: str) -> tuple[OutputColumn, ...]:
        """As Engine.columns."""
        known = self._ended.get(engine_id)
        if known is not None:
            return known
        metadata = self._metadata(engine_id)
        if metadata is None:
            raise QueryFailed(QueryFailure("ResultLost", "the result is no longer in storage", Blame.SERVICE))
        return tuple(OutputColumn(**column) for column in metadata["columns"])

    def malformed_rows(self, engine_id: str) -> MalformedRows:  # noqa: ARG002 - the port's
        """Nothing: Trino skips malformed rows (or fails, by SerDe property) without telling."""
        return MalformedRows()

    def open_result(self, engine_id: str, location: str | None) -> ByteStream:
        """As Engine.open_result."""
        try:
            return self._objects.open(location or self._location(engine_id))
        except ResultDenied as denied:
            _LOG.warning("the result of %s may not be read: %s", engine_id, denied)
            detail = (
                "the engine cannot be used: the service's role may not read its results; the operator has to allow it"
            )
            raise EngineUnavailable(detail, engine=self.name) from denied

    def delete_result(self, engine_id: str, location: str) -> None:
        """As Engine.delete_result. The metadata goes first: without it nobody takes the rest for whole."""
        if engine_id in location:
            self._objects.delete([f"{location}{_METADATA}", location])

    def close(self) -> None:
        """As Engine.close: whoever waits stops his statement, since nobody else could fetch its rows."""
        self._is_closed.set()

    # --- waiting ------------------------------------------------------------------------------------------------

    def _stepped(self, run: _Run, told_at: float, on_change: Callable[[EngineExecution], None]) -> float:
        """Takes one step, and tells of it when the status changed or the last time was long ago; when it told."""
        status = run.status
        run.ended = self._step(run)
        now = self._monotonic()
        if run.ended is not None or (run.status is status and now - told_at < self._progress_seconds):
            return told_at
        on_change(EngineExecution(run.engine_id, run.status, run.statistics, result_location=run.location))
        return now

    def _step(self, run: _Run) -> EngineExecution | None:
        """One step of an execution: rows are written, or it is finished, or Trino is asked; its end, if this was it."""
        try:
            for rows in run.pages:
                if run.writer is not None and run.lines is not None:
                    run.writer.append(run.lines.lines(rows))
        except TrinoTrouble as trouble:  # a segment of the spooling protocol cannot be had
            self._abandon(run)
            failure = QueryFailure("QueryFailed", trouble.sentence, Blame.ENGINE, retryable=True)
            return EngineExecution(run.engine_id, QueryStatus.FAILED, run.statistics, failure)
        if run.is_read:
            return self._finished(run)
        answer = self._next_answer(run)
        return None if answer is None else self._taken(run, answer)

    def _next_answer(self, run: _Run) -> TrinoAnswer | None:
        """The next answer; None when there was none, and asking again may help. Raises EngineExecutionLost."""
        try:
            answer = run.statement.advance()
        except TrinoGone as gone:
            _LOG.warning("query %s: %s", run.engine_id, gone)
            self._forget(run)
            if run.is_stop_requested:
                return TrinoAnswer(run.engine_id, None, {}, error={"errorName": "USER_CANCELED", "message": str(gone)})
            raise EngineExecutionLost(run.engine_id) from gone
        except TrinoUnauthorized as trouble:
            self._wait_out(run, trouble)
            with suppress(TrinoUnauthorized):
                run.statement.authenticate_again()
            return None
        except TrinoTrouble as trouble:
            if not trouble.may_pass:
                raise self._unavailable(trouble) from trouble
            self._wait_out(run, trouble)
            return None
        run.failing_since = None
        return answer

    def _wait_out(self, run: _Run, trouble: TrinoTrouble) -> None:
        """Waits a moment. Raises EngineUnavailable when it has been going on for too long."""
        now = self._monotonic()
        if run.failing_since is None:
            run.failing_since = now
            _LOG.warning("query %s cannot be asked for, it is tried again: %s", run.engine_id, trouble)
        failing_seconds = now - run.failing_since
        if failing_seconds >= self._patience_seconds:
            run.failing_since = None
            raise self._unavailable(trouble) from trouble
        self._pause(min(0.1 + failing_seconds / 2, 5.0))

    def _taken(self, run: _Run, answer: TrinoAnswer) -> EngineExecution | None:
        """Takes an answer over; the end of the execution when it has failed."""
        run.statistics = statistics_of(answer.stats) if answer.stats else run.statistics
        state = str(answer.stats.get("state", ""))
        run.status = QueryStatus.QUEUED if state in _WAITING_STATES else QueryStatus.RUNNING
        if answer.error is not None:
            return self._failed(run, answer.error)
        if answer.columns and run.writer is None:
            self._begin_result(run, answer.columns)
        run.pages = run.statement.row_pages(answer.data)
        run.is_read = answer.next_uri is None
        return None

    def _begin_result(self, run: _Run, columns: Sequence[Mapping[str, Any]]) -> None:
        run.columns = tuple(output_column(column) for column in columns)
        run.lines = RowLines(columns)
        run.writer = ResultObjectWriter(self._s3, run.location, engine=self.name, calls=self._s3_calls)
        run.writer.append(csv_line([column.name for column in run.columns]))

    def _finished(self, run: _Run) -> EngineExecution:
        if run.writer is None:  # a statement without columns; policy lets none through
            run.writer = ResultObjectWriter(self._s3, run.location, engine=self.name, calls=self._s3_calls)
        run.writer.complete()
        metadata = {
            "columns": [asdict(column) for column in run.columns],
            "statistics": {name: value for name, value in asdict(run.statistics).items() if value is not None},
        }
        note = ResultObjectWriter(self._s3, f"{run.location}{_METADATA}", engine=self.name, calls=self._s3_calls)
        note.append(orjson.dumps(metadata))
        note.complete()
        self._remember(run.engine_id, run.columns)
        return EngineExecution(run.engine_id, QueryStatus.FINISHED, run.statistics, result_location=run.location)

    def _failed(self, run: _Run, error: Mapping[str, Any]) -> EngineExecution:
        self._abort_result(run)
        name = error.get("errorName")
        if name in _NO_ROOM:
            self._forget(run)
            raise EngineBusy(str(error.get("message", name)))
        if name in _CANCELLED:
            reason = str(error.get("message", name))
            return EngineExecution(run.engine_id, QueryStatus.CANCELLED, run.statistics, reason=reason)
        return EngineExecution(run.engine_id, QueryStatus.FAILED, run.statistics, failure_of(error))

    def _abandon(self, run: _Run) -> None:
        """Stops a statement that nobody will ask for any more; a failure to do so is Trino's time-out's to mend."""
        with suppress(TrinoTrouble):
            run.statement.cancel()
        self._abort_result(run)
        self._forget(run)

    def _abort_result(self, run: _Run) -> None:
        if run.writer is not None:
            with suppress(EngineUnavailable):  # parts that nobody sees: the bucket's lifecycle rule removes them
                run.writer.abort()

    def _forget(self, run: _Run) -> None:
        with self._lock:
            self._runs.pop(run.engine_id, None)
            for token in [token for token, known in self._ids_by_token.items() if known == run.engine_id]:
                del self._ids_by_token[token]

    # --- what another process began -----------------------------------------------------------------------------

    def _begun_elsewhere(self, engine_id: str) -> EngineExecution:
        """The end of an execution whose whole result is in storage; any other is stopped.

        Raises EngineExecutionLost.
        """
        metadata = self._metadata(engine_id)
        if metadata is not None:
            statistics = Statistics(**metadata["statistics"])
            location = self._location(engine_id)
            return EngineExecution(engine_id, QueryStatus.FINISHED, statistics, result_location=location)
        try:
            kill(self._server, engine_id)
        except TrinoTrouble as trouble:
            _LOG.warning("query %s of an ended process could not be stopped: %s", engine_id, trouble)
        raise EngineExecutionLost(engine_id)

    def _metadata(self, engine_id: str) -> Mapping[str, Any] | None:
        location = f"{self._location(engine_id)}{_METADATA}"
        if not self._objects.exists(location):
            return None
        stream = self._objects.open(location)
        try:
            told: Mapping[str, Any] = orjson.loads(stream.read())
        finally:
            stream.close()
        self._remember(engine_id, tuple(OutputColumn(**column) for column in told["columns"]))
        return told

    def _location(self, engine_id: str) -> str:
        return f"{self._output_location}{engine_id}.csv"

    def _remember(self, engine_id: str, columns: tuple[OutputColumn, ...]) -> None:
        with self._lock:
            self._ended[engine_id] = columns
            if len(self._ended) > _REMEMBERED_ENDINGS:
                self._ended.popitem(last=False)

    # --- words --------------------------------------------------------------------------------------------------

    def _in_trinos_words(self, sql: str) -> str:
        """SHOW PARTITIONS (planned: `SHOW PARTITIONS database.table`) as a query over the table's partitions."""
        table = sql.removeprefix("SHOW PARTITIONS ")
        keys = self._partition_keys.get(table)
        if table == sql or keys is None:
            return sql
        database, _, name = table.partition(".")
        parts = " || '/' || ".join(f"'{key}=' || {key}" for key in keys)
        return f'SELECT {parts} AS partition FROM {database}."{name}$partitions" ORDER BY 1'  # noqa: S608 - table specs' names

    def _unavailable(self, trouble: TrinoTrouble) -> EngineUnavailable:
        _LOG.warning("Trino: %s", trouble)
        return EngineUnavailable(f"the engine cannot be used: {trouble.sentence}", engine=self.name)

    def _pause(self, seconds: float) -> None:
        self._is_closed.wait(seconds)


def failure_of(error: Mapping[str, Any]) -> QueryFailure:
    """Trino's error as ours; `line` and `column` point into the SQL that Trino got."""
    name = error.get("errorName")
    place = error.get("errorLocation") or {}
    return QueryFailure(
        code=code_of(name),
        detail=str(error.get("message") or "the engine gave no reason"),
        blame=Blame.USER if error.get("errorType") == "USER_ERROR" else Blame.ENGINE,
        retryable=name in _MAY_PASS,
        line=place.get("lineNumber"),
        column=place.get("columnNumber"),
        engine_error_name=name,
    )


def statistics_of(stats: Mapping[str, Any]) -> Statistics:
    """Trino's statistics under Athena's names: elapsed time is total, without waiting it is the engine's."""
    elapsed_ms, queued_ms = stats.get("elapsedTimeMillis"), stats.get("queuedTimeMillis")
    return Statistics(
        engine_execution_time_ms=None if elapsed_ms is None else max(0, elapsed_ms - (queued_ms or 0)),
        data_scanned_bytes=stats.get("physicalInputBytes"),
        total_execution_time_ms=elapsed_ms,
        query_queue_time_ms=queued_ms,
        query_planning_time_ms=stats.get("planningTimeMillis"),
        progress_percent=stats.get("progressPercentage"),
    )
