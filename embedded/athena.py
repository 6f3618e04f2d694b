"""An Athena in this process: boto3's methods, arguments, answers and errors, over DuckDB and a lake in a folder.

    athena = Athena(glue=glue, s3=s3, path=data / "athena.sqlite", temporary_directory=data / "tmp")
    started = athena.start_query_execution(QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "s3://r/"})
    athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])

A query execution goes QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED, and the first terminal state is final. What
the grammar refuses is refused at the start; what only the catalogue or the data can tell is a FAILED execution. These
methods are not AWS's: `malformed_rows`, the rows a query had to leave out; `data_version` and `data_version_now`, which
data it read or would read.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.athena_client import ENGINE_VERSION, Clock, utc_now, with_token
from embedded.athena_engine import Cancelled, DuckEngine, Run, Slots
from embedded.athena_errors import CANCELLED_TYPE, OTHER, failure_of, internal_failure
from embedded.athena_executions import (
    CANCELLED,
    FAILED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Execution,
    ExecutionFailure,
    ExecutionStore,
    MalformedRows,
)
from embedded.athena_metadata import MetadataOperations
from embedded.athena_results import InvalidToken, ResultPage, csv_page, result_set, text_page
from embedded.athena_runner import PlannedQuery, QueryRunner, QueryText, ScanLimitExceeded
from embedded.athena_statements import DEFAULT_DATABASE, StatementCall, StatementRunner, check_syntax
from embedded.athena_work_groups import PRIMARY, WorkGroup
from embedded.aws_shape import Answer, Request, operation
from embedded.data_version import data_version
from embedded.file_writing import FileWriter
from embedded.lake_files import InvalidLocation, ObjectStore, S3Location
from embedded.malformed_input import FileVerdicts
from embedded.scan import ScanPlanner
from embedded.sql.errors import TrinoError
from embedded.statements.kind import CREATE_TABLE_AS, StatementKind

MAXIMUM_QUERY_BYTES = 262_144
_MAXIMUM_RESULTS = 1000
_MAXIMUM_REUSE_MINUTES = 10_080
_DEFAULT_REUSE_MINUTES = 60
_CANCELLED_REASON = "Query cancelled by user"
_NO_OUTPUT_LOCATION = (
    "No output location provided. An output location is required either through the Workgroup result configuration"
    " setting or as an API input."
)


class Athena(MetadataOperations):
    """The embedded Athena client. Close it when done: it owns threads, a DuckDB instance and an SQLite file."""

    def __init__(
        self,
        *,
        glue: Any,
        s3: ObjectStore,
        path: Path,
        temporary_directory: Path,
        clock: Clock = utc_now,
        max_concurrent_queries: int = 4,
        memory_limit: str = "2GB",
        lake_root: Path | None = None,
    ) -> None:
        """path: the SQLite file. lake_root: the folder all buckets lie in, the store's own if not given."""
        super().__init__(glue=glue, path=path, clock=clock)
        self._s3 = s3
        self._executions = ExecutionStore(self._database, self._lock)
        self._executions.fail_interrupted(clock())
        scratch = temporary_directory / "athena"
        shutil.rmtree(scratch, ignore_errors=True)
        root = lake_root if lake_root is not None else s3.root
        self._engine = DuckEngine(readable_folders=[root], temporary_folder=scratch, memory_limit=memory_limit)
        self._slots = Slots(max_concurrent_queries)
        self._ensure_default_database()
        self._is_closing = False
        self._end_listeners: list[Callable[[str], None]] = []
        self._queries = QueryRunner(
            self._engine, glue, ScanPlanner(glue, s3, clock), FileVerdicts(scratch / "salvaged"), clock=clock
        )
        self._statements = StatementRunner(
            glue=glue,
            store=s3,
            queries=self._queries,
            writer=FileWriter(s3, scratch / "written", clock),
            prepared=self,
        )

    def _ensure_default_database(self) -> None:
        """Athena makes the database `default` when it is first used."""
        try:
            self._glue.create_database(DatabaseInput={"Name": DEFAULT_DATABASE, "Description": "Default Hive database"})
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise

    def close(self) -> None:
        """Stops what runs and lets go of files and threads. What runs or waits fails, retryably, at the next start."""
        self._is_closing = True
        self._slots.close()
        self._engine.close()
        with self._lock:
            self._database.close()

    # -------------------------------------------------------------------------------------------------- starting

    @operation("StartQueryExecution")
    def start_query_execution(self, request: Request) -> Answer:
        name = "StartQueryExecution"
        sql = request["QueryString"]
        group = self.work_group(name, request.get("WorkGroup", PRIMARY))
        if group.state != "ENABLED":
            raise self.invalid(name, f"WorkGroup {group.name} is disabled.")
        if len(sql.encode("utf-8", "surrogatepass")) > MAXIMUM_QUERY_BYTES:
            raise self.invalid(name, f"Query string is too long: at most {MAXIMUM_QUERY_BYTES} bytes are allowed")
        kind = self._statements.resolved_kind(sql, self._checked_kind(sql), group.name)
        results = _result_configuration(request, group)
        context = request.get("QueryExecutionContext", {})
        fingerprint = _fingerprint(request)
        token = request.get("ClientRequestToken", "")
        known = self._executions.by_token(token) if token else None
        if known is None:
            execution = self._new_execution(request, kind, group, results, context, fingerprint)
            known = self._executions.add(execution)
            if known is execution:
                self._launch(execution, kind, group)
        if known.request_fingerprint != fingerprint:
            raise self.invalid(name, "Idempotent parameters do not match")
        return {"QueryExecutionId": known.id}

    def _checked_kind(self, sql: str) -> StatementKind:
        """What the statement is. Raises InvalidRequestException for what the grammar refuses."""
        try:
            return check_syntax(sql)
        except TrinoError as error:
            position = f"line {error.line}:{error.column}: " if error.line is not None else ""
            raise self.invalid("StartQueryExecution", f"{position}{error.message}", "MALFORMED_QUERY") from None

    def _new_execution(
        self,
        request: Request,
        kind: StatementKind,
        group: WorkGroup,
        results: Mapping[str, Any],
        context: Mapping[str, Any],
        fingerprint: str,
    ) -> Execution:
        execution_id = str(uuid.uuid4())
        location = results.get("OutputLocation")
        if not location:
            raise self.invalid("StartQueryExecution", _NO_OUTPUT_LOCATION)
        try:
            folder = S3Location.parse(location).folder
            self._s3.path(folder.bucket, folder.prefix + execution_id)
        except (InvalidLocation, ClientError):
            raise self.invalid("StartQueryExecution", f"outputLocation is not a valid S3 path: {location}") from None
        suffix = ".csv" if kind.writes_csv else ("" if kind.writes_data else ".txt")
        folder = folder.child("tables/") if kind.substatement_type == CREATE_TABLE_AS.substatement_type else folder
        reuse = request.get("ResultReuseConfiguration", {}).get("ResultReuseByAgeConfiguration", {})
        return Execution(
            id=execution_id,
            query=request["QueryString"],
            statement_type=kind.statement_type,
            substatement_type=kind.substatement_type,
            work_group=group.name,
            catalog=context.get("Catalog", ""),
            database=context.get("Database", ""),
            parameters=tuple(request.get("ExecutionParameters", ())),
            result_configuration=dict(results),
            output_location=str(folder.child(f"{execution_id}{suffix}")),
            submitted_at=self._clock(),
            client_request_token=request.get("ClientRequestToken", ""),
            request_fingerprint=fingerprint,
            result_reuse_minutes=(
                min(reuse.get("MaxAgeInMinutes", _DEFAULT_REUSE_MINUTES), _MAXIMUM_REUSE_MINUTES)
                if reuse.get("Enabled")
                else None
            ),
        )

    def _launch(self, execution: Execution, kind: StatementKind, group: WorkGroup) -> None:
        def task(run: Run) -> None:
            try:
                self._run(execution, kind, group, run)
            finally:
                for listener in tuple(self._end_listeners):
                    listener(execution.id)

        self._slots.submit(Run(execution.id), task)

    def when_ended(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with the id of each execution that has ended here, in the thread it ran in. Not AWS's:

        who polls may ask at once then, instead of when the next poll is due.
        """
        self._end_listeners.append(listener)

    # --------------------------------------------------------------------------------------------------- running

    def _run(self, execution: Execution, kind: StatementKind, group: WorkGroup, run: Run) -> None:
        started_at = self._clock()
        queued = _milliseconds(started_at - execution.submitted_at)
        self._executions.change(execution.id, state=RUNNING, started_at=started_at, queue_milliseconds=queued)
        changes: dict[str, Any]

        def tell_version(planned: PlannedQuery) -> None:
            self._executions.change(execution.id, data_version=data_version(planned, time.time_ns()))

        try:
            run.check()
            earlier = self._reusable(execution)
            if earlier is not None:
                self._reuse(execution, earlier, started_at)
                return
            outcome = self._statements.run(StatementCall(execution, kind, group, run, on_plan=tell_version))
            run.check()
            changes = {
                "state": SUCCEEDED,
                "columns": outcome.columns,
                "row_count": outcome.row_count,
                "update_count": outcome.update_count,
                "has_header": outcome.has_header,
                "scanned_bytes": outcome.scanned_bytes,
                "planning_milliseconds": outcome.planning_milliseconds,
                "malformed": outcome.malformed,
                "manifest_location": outcome.manifest_location,
            }
        except Cancelled:
            changes = _cancelled()
        except ScanLimitExceeded as error:
            changes = {**_cancelled(f"Query cancelled! : {error}"), "scanned_bytes": error.scanned_bytes}
        except TrinoError as error:
            changes = _failed(failure_of(error))
        except Exception as error:
            changes = _cancelled() if run.is_stopped else _failed(internal_failure(error))
        if self._is_closing and changes["state"] == CANCELLED:
            return  # nobody asked for it: the next start finds it interrupted, and says so
        completed_at = self._clock()
        engine = _milliseconds(completed_at - started_at)
        total = _milliseconds(completed_at - execution.submitted_at)
        self._executions.change(
            execution.id, completed_at=completed_at, engine_milliseconds=engine, total_milliseconds=total, **changes
        )

    def _reusable(self, execution: Execution) -> Execution | None:
        """An earlier execution whose result answers this one too, if the client agreed to that."""
        if execution.result_reuse_minutes is None or not is_reusable(execution.query, execution.substatement_type):
            return None
        since = self._clock() - timedelta(minutes=execution.result_reuse_minutes)
        for earlier in self._executions.reusable(execution.work_group, execution.query, since=since):
            same = (
                earlier.database == execution.database
                and earlier.catalog == execution.catalog
                and earlier.parameters == execution.parameters
                and earlier.result_configuration == execution.result_configuration
            )
            location = S3Location.parse(earlier.output_location)
            if same and self._s3.path(location.bucket, location.prefix).exists():
                return earlier
        return None

    def _reuse(self, execution: Execution, earlier: Execution, started_at: datetime) -> None:
        completed_at = self._clock()
        self._executions.change(
            execution.id,
            state=SUCCEEDED,
            reused_from=earlier.id,
            output_location=earlier.output_location,
            columns=earlier.columns,
            row_count=earlier.row_count,
            update_count=earlier.update_count,
            has_header=earlier.has_header,
            malformed=earlier.malformed,
            completed_at=completed_at,
            engine_milliseconds=_milliseconds(completed_at - started_at),
            total_milliseconds=_milliseconds(completed_at - execution.submitted_at),
        )

    # -------------------------------------------------------------------------------------------------- watching

    def _execution(self, operation_name: str, execution_id: str) -> Execution:
        found = self._executions.get(execution_id)
        if found is None:
            raise self.invalid(operation_name, f"QueryExecution {execution_id} was not found")
        return found

    @operation("GetQueryExecution")
    def get_query_execution(self, request: Request) -> Answer:
        return {"QueryExecution": described(self._execution("GetQueryExecution", request["QueryExecutionId"]))}

    @operation("BatchGetQueryExecution")
    def batch_get_query_execution(self, request: Request) -> Answer:
        found, missing = [], []
        for execution_id in request["QueryExecutionIds"]:
            execution = self._executions.get(execution_id)
            if execution is not None:
                found.append(described(execution))
            else:
                missing.append(
                    {
                        "QueryExecutionId": execution_id,
                        "ErrorCode": "INVALID_INPUT",
                        "ErrorMessage": f"QueryExecution {execution_id} was not found",
                    }
                )
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    @operation("ListQueryExecutions")
    def list_query_executions(self, request: Request) -> Answer:
        group = self.work_group("ListQueryExecutions", request.get("WorkGroup", PRIMARY)).name
        limit = request.get("MaxResults", 50)
        token = request.get("NextToken")
        before = self._page_start("ListQueryExecutions", token) if token is not None else None
        rows = self._executions.ids(group, before=before, limit=limit + 1)
        page = rows[:limit]
        next_token = None
        if len(rows) > limit:
            _, next_token = self.page(
                "ListQueryExecutions", range(2**62), {"NextToken": None, "MaxResults": page[-1][0]}
            )
        return with_token({"QueryExecutionIds": [execution_id for _, execution_id in page]}, next_token)

    @operation("StopQueryExecution")
    def stop_query_execution(self, request: Request) -> Answer:
        execution = self._execution("StopQueryExecution", request["QueryExecutionId"])
        if not execution.has_ended:
            now = self._clock()
            self._executions.change(
                execution.id,
                completed_at=now,
                total_milliseconds=_milliseconds(now - execution.submitted_at),
                **_cancelled(),
            )
            self._slots.stop(execution.id)
        return {}

    @operation("GetQueryRuntimeStatistics")
    def get_query_runtime_statistics(self, request: Request) -> Answer:
        execution = self._execution("GetQueryRuntimeStatistics", request["QueryExecutionId"])
        timeline = {
            "QueryQueueTimeInMillis": execution.queue_milliseconds,
            "QueryPlanningTimeInMillis": execution.planning_milliseconds,
            "EngineExecutionTimeInMillis": execution.engine_milliseconds,
            "ServiceProcessingTimeInMillis": 0,
            "TotalExecutionTimeInMillis": execution.total_milliseconds,
        }
        rows = {"InputBytes": execution.scanned_bytes, "OutputRows": execution.row_count or 0}
        return {"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}}

    def malformed_rows(self, query_execution_id: str) -> MalformedRows:
        """The rows a query had to leave out (not an AWS operation). InvalidRequestException for an unknown id."""
        return self._execution("GetQueryExecution", query_execution_id).malformed

    def data_version(self, query_execution_id: str) -> str | None:
        """Which data an execution reads or has read (not an AWS operation); None where that cannot be told (yet)."""
        found = self._executions.get(query_execution_id)
        return None if found is None else found.data_version or None

    def data_version_now(self, sql: str, *, database: str) -> str | None:
        """Which data this query would read now (not an AWS operation); None where that cannot be told."""
        now_nanoseconds = time.time_ns()
        try:
            planned = self._queries.plan(QueryText(sql, database), lambda: None)
        except TrinoError:
            return None
        return data_version(planned, now_nanoseconds) or None

    # --------------------------------------------------------------------------------------------------- results

    @operation("GetQueryResults")
    def get_query_results(self, request: Request) -> Answer:
        name = "GetQueryResults"
        execution = self._execution(name, request["QueryExecutionId"])
        if execution.state in (QUEUED, RUNNING):
            raise self.invalid(name, f"Query has not yet finished. Current state: {execution.state}")
        if execution.state != SUCCEEDED:
            raise self.invalid(name, f"Query did not finish successfully. Final query state: {execution.state}")
        limit = request.get("MaxResults", _MAXIMUM_RESULTS)
        if not execution.output_location.endswith((".csv", ".txt")):
            return {
                "ResultSet": result_set(ResultPage([], None), execution.columns),
                "UpdateCount": execution.update_count or 0,
            }
        location = S3Location.parse(execution.output_location)
        path = self._s3.path(location.bucket, location.prefix)
        read = csv_page if execution.has_header else text_page
        try:
            page = read(path, request.get("NextToken"), limit)
        except InvalidToken as error:
            raise self.invalid(name, f"Invalid NextToken: {error}") from None
        except FileNotFoundError:
            raise self.invalid(
                name, f"Could not find results: {execution.output_location} does not exist", "RESULTS_NOT_FOUND"
            ) from None
        answer: Answer = {"ResultSet": result_set(page, execution.columns)}
        if execution.update_count is not None:
            answer["UpdateCount"] = execution.update_count
        return with_token(answer, page.next_token)


_CHANGEABLE = re.compile(
    r"\b(rand|random|now|uuid|shuffle|current_timestamp|current_date|current_time|localtime|localtimestamp"
    r"|current_user)\b",
    re.IGNORECASE,
)


def is_reusable(query: str, substatement_type: str) -> bool:
    """Whether the same text gives the same result as long as the data stay: Athena reuses no other."""
    return substatement_type == "SELECT" and _CHANGEABLE.search(query) is None


def _fingerprint(request: Request) -> str:
    parameters = {name: value for name, value in request.items() if name != "ClientRequestToken"}
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()


def _result_configuration(request: Request, group: WorkGroup) -> Mapping[str, Any]:
    """The workgroup's where it is enforced, else the client's, completed by the workgroup's."""
    given = request.get("ResultConfiguration", {})
    if group.is_enforced and group.result_configuration.get("OutputLocation"):
        return group.result_configuration
    return {**group.result_configuration, **given}


def _milliseconds(duration: timedelta) -> int:
    """At least 1: Athena's statistics never say that something took no time."""
    return max(1, int(duration / timedelta(milliseconds=1)))


def _cancelled(reason: str = _CANCELLED_REASON) -> dict[str, Any]:
    failure = ExecutionFailure(reason, category=OTHER, type=CANCELLED_TYPE)
    return {"state": CANCELLED, "reason": reason, "failure": failure}


def _failed(failure: ExecutionFailure) -> dict[str, Any]:
    return {"state": FAILED, "reason": failure.message, "failure": failure}


def described(execution: Execution) -> dict[str, Any]:
    """An execution as the QueryExecution structure of the API."""
    status: dict[str, Any] = {"State": execution.state, "SubmissionDateTime": execution.submitted_at}
    if execution.completed_at is not None:
        status["CompletionDateTime"] = execution.completed_at
    if execution.reason:
        status["StateChangeReason"] = execution.reason
    if execution.failure is not None:
        status["AthenaError"] = {
            "ErrorCategory": execution.failure.category,
            "ErrorType": execution.failure.type,
            "Retryable": execution.failure.retryable,
            "ErrorMessage": execution.failure.message,
        }
    context = {
        name: value for name, value in (("Database", execution.database), ("Catalog", execution.catalog)) if value
    }
    document: dict[str, Any] = {
        "QueryExecutionId": execution.id,
        "Query": execution.query,
        "StatementType": execution.statement_type,
        "SubstatementType": execution.substatement_type,
        "ResultConfiguration": {**execution.result_configuration, "OutputLocation": execution.output_location},
        "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": _reuse(execution)},
        "QueryExecutionContext": context,
        "Status": status,
        "Statistics": _statistics(execution),
        "WorkGroup": execution.work_group,
        "EngineVersion": dict(ENGINE_VERSION),
    }
    if execution.parameters:
        document["ExecutionParameters"] = list(execution.parameters)
    return document


def _reuse(execution: Execution) -> dict[str, Any]:
    if execution.result_reuse_minutes is None:
        return {"Enabled": False}
    return {"Enabled": True, "MaxAgeInMinutes": execution.result_reuse_minutes}


def _statistics(execution: Execution) -> dict[str, Any]:
    statistics: dict[str, Any] = {"DataScannedInBytes": execution.scanned_bytes}
    if execution.has_ended:
        statistics.update(
            {
                "EngineExecutionTimeInMillis": max(1, execution.engine_milliseconds),
                "QueryPlanningTimeInMillis": execution.planning_milliseconds,
                "QueryQueueTimeInMillis": max(1, execution.queue_milliseconds),
                "ServicePreProcessingTimeInMillis": 1,
                "ServiceProcessingTimeInMillis": 1,
                "TotalExecutionTimeInMillis": max(1, execution.total_milliseconds),
            }
        )
    statistics["ResultReuseInformation"] = {"ReusedPreviousResult": bool(execution.reused_from)}
    if execution.manifest_location:
        statistics["DataManifestLocation"] = execution.manifest_location
    return statistics


__all__ = ["Athena", "described"]
