"""The Athena engine: boto3's Athena and S3 clients (or the embedded objects of the same shape) behind
service.engine.Engine.

    start    StartQueryExecution with a ClientRequestToken: saying it twice starts once
    wait     GetQueryExecution, or BatchGetQueryExecution when several are due; fast at first (a result that takes 20
    ms is seen
             after 25), then slower with jitter, at most once a second
    result   the CSV object in S3, streamed. GetQueryResults only for statements whose output is not CSV (SHOW,
    DESCRIBE, EXPLAIN)

Athena's own concurrency limit is EngineBusy, so the query waits in our queue; ThrottlingException is waited out with
jitter; the rest is told by blame. Errors of a FAILED query keep Athena's three fields and Trino's name and place.
"""

from __future__ import annotations

import csv
import heapq
import io
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from service.encoding import base_type
from service.engine import (
    ByteStream,
    EngineBusy,
    EngineClosed,
    EngineExecution,
    EngineExecutionLost,
    MalformedRows,
)
from service.errors import Blame, EngineUnavailable, QueryFailed, QueryFailure
from service.model import OutputColumn, QueryStatus, QueryWarning, Statistics

_STATUS_BY_STATE = {
    "QUEUED": QueryStatus.QUEUED,
    "RUNNING": QueryStatus.RUNNING,
    "SUCCEEDED": QueryStatus.FINISHED,
    "FAILED": QueryStatus.FAILED,
    "CANCELLED": QueryStatus.CANCELLED,
}
_CODE_BY_ENGINE_NAME = {
    "SYNTAX_ERROR": "InvalidQuerySyntax",
    "COLUMN_NOT_FOUND": "ColumnNotFound",
    "TABLE_NOT_FOUND": "TableNotFound",
    "SCHEMA_NOT_FOUND": "TableNotFound",
    "CATALOG_NOT_FOUND": "TableNotFound",
    "FUNCTION_NOT_FOUND": "FunctionNotFound",
    "TYPE_MISMATCH": "TypeMismatch",
}
_BLAME_BY_CATEGORY = {1: Blame.ENGINE, 2: Blame.USER, 3: Blame.ENGINE}
"""AthenaError.ErrorCategory: 1 system, 2 user, 3 other (Athena API reference)."""

_ENGINE_NAME = re.compile(r"(?:FAILED: )?((?!FAILED:)[A-Z][A-Z0-9_]{3,}): ")
_PLACE = re.compile(r"line (\d+):(\d+): ")
_BATCH_SIZE = 50
"""BatchGetQueryExecution takes at most 50 ids (Athena API reference)."""

_THROTTLED = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown"})
_SAMPLED_WARNINGS = 20


class AthenaEngine:
    """See the module. `output_location` is the s3 URI under which Athena writes results; None leaves it to the work
    group.
    """

    name = "athena"

    def __init__(
        self,
        athena: Any,
        s3: Any,
        *,
        database: str,
        output_location: str | None,
        work_group: str | None = None,
        catalog: str | None = None,
        first_poll_seconds: float = 0.001,
        slowest_poll_seconds: float = 1.0,
        patience_seconds: float = 900.0,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._athena = athena
        self._s3 = s3
        self._context = {"Database": database} | ({"Catalog": catalog} if catalog else {})
        self._output_location = output_location
        self._work_group = work_group
        self._randomness = randomness
        self._poller = _Poller(
            self._fetch,
            first_poll_seconds=first_poll_seconds,
            slowest_poll_seconds=slowest_poll_seconds,
            patience_seconds=patience_seconds,
            randomness=randomness,
        )
        tell_us = getattr(athena, "when_ended", None)
        if tell_us is not None:  # the embedded Athena; AWS's is asked when the next poll is due
            tell_us(self._poller.hurry)

    def start(self, sql: str, *, token: str) -> str:
        arguments: dict[str, Any] = {
            "QueryString": sql,
            "ClientRequestToken": token,
            "QueryExecutionContext": self._context,
        }
        if self._output_location is not None:
            arguments["ResultConfiguration"] = {"OutputLocation": self._output_location}
        if self._work_group is not None:
            arguments["WorkGroup"] = self._work_group
        try:
            engine_id: str = self._athena.start_query_execution(**arguments)["QueryExecutionId"]
        except ClientError as error:
            raise self._refusal(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error
        return engine_id

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        return self._poller.wait(engine_id, on_change)

    def stop(self, engine_id: str) -> None:
        try:
            self._athena.stop_query_execution(QueryExecutionId=engine_id)
        except ClientError as error:
            if _error_code(error) == "InvalidRequestException":
                return  # it has ended, or is not known (any more): there is nothing to stop
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    def columns(self, engine_id: str) -> tuple[OutputColumn, ...]:
        answer = self._called(self._athena.get_query_results, QueryExecutionId=engine_id, MaxResults=1)
        return _output_columns(answer)

    def malformed_rows(self, engine_id: str) -> MalformedRows:
        tell = getattr(self._athena, "malformed_rows", None)
        if tell is None:  # AWS's Athena skips malformed rows (or fails) without telling
            return MalformedRows()
        told = tell(engine_id)
        warnings = tuple(
            QueryWarning("MalformedRow", row.reason, object=row.uri, line=row.line or None)  # line 0: the whole object
            for row in list(told.samples)[:_SAMPLED_WARNINGS]
        )
        return MalformedRows(told.count, warnings, bool(told.truncated) or told.count > len(warnings))

    def open_result(self, engine_id: str, location: str | None) -> ByteStream:
        if location is None or not location.endswith(".csv"):
            return io.BytesIO(self._result_by_calls(engine_id))
        bucket, key = _bucket_and_key(location)
        try:
            body: ByteStream = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            if _error_code(error) in ("NoSuchKey", "NoSuchBucket", "404", "NotFound"):
                failure = QueryFailure("ResultLost", "the result object is no longer in storage", Blame.SERVICE)
                raise QueryFailed(failure) from error
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error
        return body

    def delete_result(self, location: str) -> None:
        bucket, key = _bucket_and_key(location)
        stem = key.removesuffix(".csv").removesuffix(".txt")
        keys = dict.fromkeys((key, f"{key}.metadata", f"{stem}.metadata"))
        for name in keys:  # one by one: DeleteObject succeeds for what is not there, and needs no permission to list
            with suppress(_Missing):
                self._called(self._s3.delete_object, Bucket=bucket, Key=name)

    def close(self) -> None:
        self._poller.close()

    def _called(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """The answer of a call, tried again with jitter while the service throttles. Raises EngineUnavailable."""
        delay_seconds = 0.05
        while True:
            try:
                return method(**arguments)
            except ClientError as error:
                code = _error_code(error)
                if code in ("NoSuchKey", "NoSuchBucket"):
                    raise _Missing from error
                if code not in _THROTTLED or delay_seconds > 5:
                    raise self._unavailable(error) from error
            except BotoCoreError as error:
                raise self._unavailable(error) from error
            time.sleep(delay_seconds * (0.5 + self._randomness()))
            delay_seconds *= 2

    def _fetch(self, engine_ids: Sequence[str]) -> Mapping[str, EngineExecution | None]:
        """The executions as they are; None for one that Athena does not know. Raises ClientError, BotoCoreError."""
        if len(engine_ids) == 1:
            try:
                answer = self._athena.get_query_execution(QueryExecutionId=engine_ids[0])
            except ClientError as error:
                if _error_code(error) == "InvalidRequestException":
                    return {engine_ids[0]: None}
                raise
            return {engine_ids[0]: _engine_execution(answer["QueryExecution"])}
        answer = self._athena.batch_get_query_execution(QueryExecutionIds=list(engine_ids))
        found: dict[str, EngineExecution | None] = dict.fromkeys(
            item["QueryExecutionId"]
            for item in answer.get("UnprocessedQueryExecutionIds", ())
            if item.get("ErrorCode") not in _THROTTLED
        )
        for item in answer.get("QueryExecutions", ()):
            found[item["QueryExecutionId"]] = _engine_execution(item)
        return found

    def _result_by_calls(self, engine_id: str) -> bytes:
        """The rows of a result that is not CSV in storage (SHOW, DESCRIBE, EXPLAIN), as CSV of Athena's shape."""
        first = self._called(self._athena.get_query_results, QueryExecutionId=engine_id, MaxResults=1000)
        labels = [column.name for column in _output_columns(first)]
        lines = io.StringIO()
        write = csv.writer(lines, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow
        write(labels)
        answer = first
        while True:
            for row in answer["ResultSet"]["Rows"]:
                values = [item.get("VarCharValue") for item in row.get("Data", ())]
                if len(values) == 1 < len(labels) and values[0] is not None:
                    values = [
                        part.strip() for part in values[0].split("\t")
                    ]  # DESCRIBE: one cell, padded, tab separated
                values = (values + [None] * len(labels))[: len(labels)]
                if answer is first and values == labels:
                    continue
                lines.write(",".join("" if v is None else '"' + v.replace('"', '""') + '"' for v in values) + "\n")
            token = answer.get("NextToken")
            if token is None:
                return lines.getvalue().encode()
            answer = self._called(
                self._athena.get_query_results, QueryExecutionId=engine_id, MaxResults=1000, NextToken=token
            )

    def _refusal(self, error: ClientError) -> Exception:
        """What a refused StartQueryExecution means."""
        code, message = _error_code(error), _error_message(error)
        if code == "TooManyRequestsException" or code in _THROTTLED:
            return EngineBusy(message)
        if code == "InvalidRequestException":
            if "Idempotent parameters do not match" in message:
                failure = QueryFailure("QueryFailed", message, Blame.SERVICE)
            else:
                failure = failure_from_text(message, Blame.USER, default_code="InvalidQuerySyntax")
            return QueryFailed(failure)
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> EngineUnavailable:
        return EngineUnavailable(f"Athena or its storage cannot be used: {error}", engine=self.name)


class _Missing(Exception):
    pass


def failure_from_text(
    text: str,
    blame: Blame,
    *,
    default_code: str = "QueryFailed",
    retryable: bool = False,
    error_category: int | None = None,
    error_type: int | None = None,
) -> QueryFailure:
    """A failure from the engine's words: `COLUMN_NOT_FOUND: line 3:7: Column 'x' cannot be resolved`.

    `line` and `column` are the engine's: they point into the SQL that the engine got.
    """
    name_match = _ENGINE_NAME.match(text)
    name = name_match[1] if name_match else None
    place = _PLACE.search(text[name_match.end() if name_match else 0 :])
    code = default_code if name is None else _CODE_BY_ENGINE_NAME.get(name, "QueryFailed")
    return QueryFailure(
        code=code,
        detail=text[name_match.end() if name_match else 0 :],
        blame=blame,
        retryable=retryable,
        line=int(place[1]) if place else None,
        column=int(place[2]) if place else None,
        engine_error_name=name,
        error_category=error_category,
        error_type=error_type,
    )


def _engine_execution(item: Mapping[str, Any]) -> EngineExecution:
    """GetQueryExecution's QueryExecution as ours."""
    told = item["Status"]
    status = _STATUS_BY_STATE[told["State"]]
    reason = told.get("StateChangeReason")
    failure = None
    if status is QueryStatus.FAILED:
        error = told.get("AthenaError", {})
        category = error.get("ErrorCategory")
        failure = failure_from_text(
            reason or error.get("ErrorMessage") or "the engine gave no reason",
            _BLAME_BY_CATEGORY.get(category, Blame.ENGINE),
            retryable=bool(error.get("Retryable", False)),
            error_category=category,
            error_type=error.get("ErrorType"),
        )
    return EngineExecution(
        engine_id=item["QueryExecutionId"],
        status=status,
        statistics=_statistics(item.get("Statistics", {})),
        failure=failure,
        reason=reason,
        result_location=item.get("ResultConfiguration", {}).get("OutputLocation"),
    )


def _statistics(told: Mapping[str, Any]) -> Statistics:
    return Statistics(
        engine_execution_time_ms=told.get("EngineExecutionTimeInMillis"),
        data_scanned_bytes=told.get("DataScannedInBytes"),
        total_execution_time_ms=told.get("TotalExecutionTimeInMillis"),
        query_queue_time_ms=told.get("QueryQueueTimeInMillis"),
        service_pre_processing_time_ms=told.get("ServicePreProcessingTimeInMillis"),
        query_planning_time_ms=told.get("QueryPlanningTimeInMillis"),
        service_processing_time_ms=told.get("ServiceProcessingTimeInMillis"),
        reused_previous_result=told.get("ResultReuseInformation", {}).get("ReusedPreviousResult"),
        dpu_count=told.get("DpuCount"),
    )


def _output_columns(answer: Mapping[str, Any]) -> tuple[OutputColumn, ...]:
    information = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    return tuple(OutputColumn(item.get("Label") or item["Name"], _type_text(item)) for item in information)


def _type_text(information: Mapping[str, Any]) -> str:
    """A ColumnInfo's type in Trino's words; its precision and scale mean something else for each type."""
    name = information["Type"].lower()
    precision, scale = information.get("Precision", 0), information.get("Scale", 0)
    if name == "decimal":
        return f"decimal({precision},{scale})"
    if name in ("varchar", "char") and 0 < precision < 2**31 - 1:
        return f"{name}({precision})"
    if base_type(name) in ("timestamp", "time", "timestamp with time zone", "time with time zone") and "(" not in name:
        first, _, rest = name.partition(" ")
        return f"{first}({precision or 3}){' ' if rest else ''}{rest}"
    return "real" if name == "float" else name


def _bucket_and_key(location: str) -> tuple[str, str]:
    parts = urlsplit(location, allow_fragments=False)
    return parts.netloc, parts.path.removeprefix("/")


def _error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _error_message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", error))


class _Watch:
    """One execution that somebody waits for."""

    def __init__(self, engine_id: str, on_change: Callable[[EngineExecution], None], delay_seconds: float) -> None:
        self.engine_id = engine_id
        self.on_change = on_change
        self.delay_seconds = delay_seconds
        self.is_done = threading.Event()
        self.last: EngineExecution | None = None
        self.problem: Exception | None = None
        self.failing_since: float | None = None
        self.is_hurried = False


class _Poller:
    """Asks for all watched executions in one thread, those due together in one call."""

    def __init__(
        self,
        fetch: Callable[[Sequence[str]], Mapping[str, EngineExecution | None]],
        *,
        first_poll_seconds: float,
        slowest_poll_seconds: float,
        patience_seconds: float,
        randomness: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._first_poll_seconds = first_poll_seconds
        self._slowest_poll_seconds = slowest_poll_seconds
        self._patience_seconds = patience_seconds
        self._randomness = randomness
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Watch]] = []
        self._asked: Sequence[_Watch] = ()
        self._number = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        watch = _Watch(engine_id, on_change, self._first_poll_seconds)
        with self._changed:
            if self._is_closed:
                raise EngineClosed
            self._push(watch, time.monotonic() + watch.delay_seconds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="athena-poller", daemon=True)
                self._thread.start()
            self._changed.notify()
        watch.is_done.wait()
        if watch.problem is not None:
            raise watch.problem
        if watch.last is None:
            raise EngineExecutionLost(engine_id)
        return watch.last

    def hurry(self, engine_id: str) -> None:
        """There is news of this execution: asks now, and not when it is due."""
        with self._changed:
            for watch in self._asked:  # what is being answered may be older than the news
                watch.is_hurried |= watch.engine_id == engine_id
            for index, (_, number, watch) in enumerate(self._due):
                if watch.engine_id == engine_id:
                    self._due[index] = (0.0, number, watch)
                    heapq.heapify(self._due)
                    self._changed.notify()
                    return

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _push(self, watch: _Watch, due: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, watch))

    def _run(self) -> None:
        while True:
            watches = self._next_due()
            if not watches:
                return
            self._ask(watches)

    def _next_due(self) -> list[_Watch]:
        """The watches that are due, waiting for them; none when the poller is closed."""
        with self._changed:
            while True:
                if self._is_closed:
                    for _, _, watch in self._due:
                        watch.problem = EngineClosed()
                        watch.is_done.set()
                    self._due.clear()
                    return []
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    # those due soon go along in the same call: fewer calls for the account's limit (100 a second)
                    horizon = now + min(0.25 * self._due[0][2].delay_seconds, 0.1)
                    watches: list[_Watch] = []
                    while self._due and self._due[0][0] <= horizon and len(watches) < _BATCH_SIZE:
                        watches.append(heapq.heappop(self._due)[2])
                    self._asked = watches
                    return watches
                self._changed.wait(self._due[0][0] - now if self._due else None)

    def _ask(self, watches: Sequence[_Watch]) -> None:
        try:
            found = self._fetch([watch.engine_id for watch in watches])
        except (ClientError, BotoCoreError) as error:
            self._again_after_error(watches, error)
            return
        except Exception as error:  # whoever waits must hear of it, and the thread must live on
            for watch in watches:
                watch.problem = error
                watch.is_done.set()
            return
        again: list[_Watch] = []
        for watch in watches:
            watch.failing_since = None
            if watch.engine_id not in found:  # not processed this time (throttled)
                again.append(watch)
                continue
            execution = found[watch.engine_id]
            former, watch.last = watch.last, execution
            if execution is None or execution.status.is_terminal:
                watch.is_done.set()
                continue
            again.append(watch)
            if former is None or former.status is not execution.status or former.statistics != execution.statistics:
                self._tell(watch, execution)
        self._push_all(again)

    def _tell(self, watch: _Watch, execution: EngineExecution) -> None:
        try:
            watch.on_change(execution)
        except Exception as error:  # as in _ask
            watch.problem = error
            watch.is_done.set()

    def _again_after_error(self, watches: Iterable[_Watch], error: Exception) -> None:
        now = time.monotonic()
        again = []
        for watch in watches:
            watch.failing_since = watch.failing_since or now
            if now - watch.failing_since > self._patience_seconds:
                watch.problem = EngineUnavailable(f"Athena cannot be asked: {error}", engine=AthenaEngine.name)
                watch.is_done.set()
            else:
                watch.delay_seconds = max(watch.delay_seconds * 2, 0.2)
                again.append(watch)
        self._push_all(again)

    def _push_all(self, watches: Iterable[_Watch]) -> None:
        with self._changed:
            now = time.monotonic()
            self._asked = ()
            for watch in watches:
                if watch.is_done.is_set():
                    continue
                watch.delay_seconds = min(watch.delay_seconds * 1.4, self._slowest_poll_seconds)
                delay_seconds = 0.0 if watch.is_hurried else watch.delay_seconds * (0.8 + 0.4 * self._randomness())
                watch.is_hurried = False
                self._push(watch, now + delay_seconds)
