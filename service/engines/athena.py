"""The Athena engine: boto3's Athena and S3 clients (or the embedded objects of the same shape) behind
service.engine.Engine.

    start    StartQueryExecution with a ClientRequestToken: saying it twice starts once; in the work group of the
             caller's class
    wait     GetQueryExecution, or BatchGetQueryExecution when several are due, in one thread (service.engines.polling)
    stop     StopQueryExecution; only the terminal state that `wait` sees proves it
    result   the CSV object in S3, streamed and resumed (service.engines.result_objects). GetQueryResults where there is
             no such object (SHOW, DESCRIBE, EXPLAIN; managed query results) or where it may not be read

Athena's own concurrency limit is EngineBusy, so the query waits in our queue; throttling, 5xx and broken connections
are waited out with jitter (service.engines.aws_calls); the rest is told by blame, and what is the operator's to mend is
told without AWS's words (service.engines.aws_troubles). Errors of a FAILED query keep Athena's three fields and Trino's
name and place.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from service.encoding import base_type
from service.engine import (
    NOBODY,
    ByteStream,
    EngineBusy,
    EngineExecution,
    MalformedRows,
    StartContext,
)
from service.engines.aws_calls import AwsCallFailed, AwsCalls
from service.engines.aws_troubles import TroubleKind, is_passing, trouble_of
from service.engines.failures import failure_from_text
from service.engines.polling import Poller
from service.engines.result_csv_lines import ByteChunks, csv_line
from service.engines.result_objects import ResultDenied, ResultObjects
from service.errors import Blame, QueryFailed, QueryFailure
from service.model import OutputColumn, QueryStatus, QueryWarning, Statistics

_LOG = logging.getLogger(__name__)

_STATUS_BY_STATE = {
    "QUEUED": QueryStatus.QUEUED,
    "RUNNING": QueryStatus.RUNNING,
    "SUCCEEDED": QueryStatus.FINISHED,
    "FAILED": QueryStatus.FAILED,
    "CANCELLED": QueryStatus.CANCELLED,
}
_BLAME_BY_CATEGORY = {1: Blame.ENGINE, 2: Blame.USER, 3: Blame.ENGINE}
"""AthenaError.ErrorCategory: 1 system, 2 user, 3 other (Athena API reference)."""

_ABOUT_THE_SQL = re.compile(r"line \d+:\d+: |Queries of this type are not supported|Query string is too long")
_ROWS_PER_CALL = 1000
"""GetQueryResults gives at most 1000 rows, the header of a SELECT among them (Athena API reference)."""

_SAMPLED_WARNINGS = 20


@dataclass(frozen=True)
class WorkGroup:
    """Where the queries of one class of callers run and leave their results.

    `name` None is the account's `primary`. `output_location` is the s3 URI under which Athena writes; None leaves it to
    the work group: its own location, or results that Athena manages (then they are read by calls).
    """

    name: str | None = None
    output_location: str | None = None


class AthenaEngine:
    """See the module. `operators` is the work group of callers that see all tenants, when they have one of their own.

    `attempts` is how often a call is said while its trouble may pass; `patience_seconds` how long an execution is
    waited for that cannot be asked for.
    """

    name = "athena"

    def __init__(
        self,
        athena: Any,
        s3: Any,
        *,
        database: str,
        work_group: WorkGroup,
        operators: WorkGroup | None = None,
        catalog: str | None = None,
        first_poll_seconds: float = 0.001,
        slowest_poll_seconds: float = 1.0,
        patience_seconds: float = 900.0,
        attempts: int = 6,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._athena = athena
        self._context = {"Database": database} | ({"Catalog": catalog} if catalog else {})
        self._work_group = work_group
        self._operators = operators or work_group
        self._is_closed = threading.Event()
        self._call = AwsCalls(attempts=attempts, sleep=self._is_closed.wait)
        self._objects = ResultObjects(s3, engine=self.name, calls=self._call)
        self._poller = Poller(
            self._fetch,
            first_poll_seconds=first_poll_seconds,
            slowest_poll_seconds=slowest_poll_seconds,
            patience_seconds=patience_seconds,
            randomness=randomness,
            engine=self.name,
        )
        tell_us = getattr(athena, "when_ended", None)
        if tell_us is not None:  # the embedded Athena; AWS's is asked when the next poll is due
            tell_us(self._poller.hurry)

    def start(self, sql: str, *, token: str, context: StartContext = NOBODY) -> str:
        """As Engine.start. `accepted_age_minutes` is Athena's own result reuse (ResultReuseByAgeConfiguration)."""
        group = self._operators if context.is_operator else self._work_group
        arguments: dict[str, Any] = {
            "QueryString": sql,
            "ClientRequestToken": token,
            "QueryExecutionContext": self._context,
        }
        if group.output_location is not None:
            arguments["ResultConfiguration"] = {"OutputLocation": group.output_location}
        if group.name is not None:
            arguments["WorkGroup"] = group.name
        if context.accepted_age_minutes is not None:
            by_age = {"Enabled": True, "MaxAgeInMinutes": context.accepted_age_minutes}
            arguments["ResultReuseConfiguration"] = {"ResultReuseByAgeConfiguration": by_age}
        try:
            engine_id: str = self._call(self._athena.start_query_execution, **arguments)["QueryExecutionId"]
        except AwsCallFailed as failed:
            raise self._refusal(failed) from failed
        return engine_id

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        """As Engine.wait."""
        return self._poller.wait(engine_id, on_change)

    def stop(self, engine_id: str) -> None:
        """As Engine.stop; whoever waits for it asks at once."""
        try:
            self._call(self._athena.stop_query_execution, QueryExecutionId=engine_id)
        except AwsCallFailed as failed:
            if failed.trouble.code == "InvalidRequestException":
                return  # it has ended, or is not known (any more): there is nothing to stop
            raise failed.as_unavailable(self.name) from failed
        self._poller.hurry(engine_id)

    def columns(self, engine_id: str) -> tuple[OutputColumn, ...]:
        """As Engine.columns."""
        return _output_columns(self._asked(self._athena.get_query_results, QueryExecutionId=engine_id, MaxResults=1))

    def malformed_rows(self, engine_id: str) -> MalformedRows:
        """As Engine.malformed_rows."""
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
        """As Engine.open_result."""
        if location is None or not location.endswith(".csv"):
            return ByteChunks(self._result_by_calls(engine_id))
        try:
            return self._objects.open(location)
        except ResultDenied as denied:
            _LOG.warning("the result of %s is read by calls, since its object may not be read: %s", engine_id, denied)
            return ByteChunks(self._result_by_calls(engine_id))

    def delete_result(self, engine_id: str, location: str) -> None:
        """As Engine.delete_result. What Athena manages it deletes by itself, a day after the query."""
        if engine_id not in location:
            return  # a reused result: the object belongs to the execution that made it
        stem = location.removesuffix(".csv").removesuffix(".txt")
        self._objects.delete(list(dict.fromkeys((location, f"{location}.metadata", f"{stem}.metadata"))))

    def close(self) -> None:
        """As Engine.close."""
        self._is_closed.set()
        self._poller.close()

    def _asked(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """The answer of a call. Raises EngineUnavailable."""
        try:
            return self._call(method, **arguments)
        except AwsCallFailed as failed:
            raise failed.as_unavailable(self.name) from failed

    def _fetch(self, engine_ids: Sequence[str]) -> Mapping[str, EngineExecution | None]:
        """The executions as they are; None for one that Athena does not know. Raises ClientError, BotoCoreError."""
        if len(engine_ids) == 1:
            try:
                answer = self._athena.get_query_execution(QueryExecutionId=engine_ids[0])
            except ClientError as error:
                if trouble_of(error).code == "InvalidRequestException":
                    return {engine_ids[0]: None}
                raise
            return {engine_ids[0]: _engine_execution(answer["QueryExecution"])}
        answer = self._athena.batch_get_query_execution(QueryExecutionIds=list(engine_ids))
        found: dict[str, EngineExecution | None] = dict.fromkeys(
            item["QueryExecutionId"]
            for item in answer.get("UnprocessedQueryExecutionIds", ())
            if not is_passing(str(item.get("ErrorCode", "")))
        )
        for item in answer.get("QueryExecutions", ()):
            found[item["QueryExecutionId"]] = _engine_execution(item)
        return found

    def _result_by_calls(self, engine_id: str) -> Iterator[bytes]:
        """The result as CSV of Athena's shape, a chunk for each page of GetQueryResults."""
        execution = self._asked(self._athena.get_query_execution, QueryExecutionId=engine_id)["QueryExecution"]
        ask = {"QueryExecutionId": engine_id, "MaxResults": _ROWS_PER_CALL}
        answer = self._asked(self._athena.get_query_results, **ask)
        labels = [column.name for column in _output_columns(answer)]
        yield csv_line(labels)
        rows = _rows(answer, len(labels))
        if execution.get("StatementType") == "DML" and rows[:1] == [labels]:
            rows = rows[1:]  # the first page of a SELECT begins with its header
        while True:
            yield b"".join(map(csv_line, rows))
            token = answer.get("NextToken")
            if token is None:
                return
            answer = self._asked(self._athena.get_query_results, NextToken=token, **ask)
            rows = _rows(answer, len(labels))

    def _refusal(self, failed: AwsCallFailed) -> Exception:
        """What a refused StartQueryExecution means."""
        kind, code = failed.trouble.kind, failed.trouble.code
        if kind in (TroubleKind.CONCURRENCY, TroubleKind.THROTTLED):
            return EngineBusy(failed.message)
        if code != "InvalidRequestException":
            return failed.as_unavailable(self.name)
        is_about_sql = getattr(failed.error, "response", {}).get("AthenaErrorCode") == "MALFORMED_QUERY"
        if is_about_sql or _ABOUT_THE_SQL.match(failed.message):
            return QueryFailed(failure_from_text(failed.message, Blame.USER, default_code="InvalidQuerySyntax"))
        _LOG.error("Athena refuses to start a query: %s", failed)
        detail = f"Athena does not start queries as the service is configured: {failed.trouble.sentence}"
        return QueryFailed(QueryFailure("QueryFailed", detail, Blame.SERVICE))


def _rows(answer: Mapping[str, Any], column_count: int) -> list[list[str | None]]:
    """The rows of a page of GetQueryResults, each with a text (None: null) for every column."""
    rows = []
    for row in answer["ResultSet"]["Rows"]:
        values = [item.get("VarCharValue") for item in row.get("Data", ())]
        if len(values) == 1 < column_count and values[0] is not None:
            values = [part.strip() for part in values[0].split("\t")]  # DESCRIBE: one cell, padded, tab separated
        rows.append((values + [None] * column_count)[:column_count])
    return rows


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
