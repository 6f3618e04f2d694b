"""Hand-written fakes of the boto3 methods that `service` uses: S3 in a dictionary, an Athena whose answers a test
scripts.
"""

# ruff: noqa: N803 - boto3 names its arguments so

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ResponseStreamingError


def client_error(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class CutBody(io.BytesIO):
    """A body whose connection breaks after so many bytes."""

    def __init__(self, data: bytes, after_bytes: int) -> None:
        super().__init__(data)
        self._left = after_bytes

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        if wanted == 0 and size != 0:
            raise ResponseStreamingError(error="Connection broken")
        self._left -= wanted
        return super().read(wanted)


class FakeS3:
    """S3 in a dictionary. `cut_after_bytes` breaks that many bytes into each body, as often as it has entries."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.on_call: Callable[[str], None] = lambda operation: None
        self.cut_after_bytes: list[int] = []
        self.ranges: list[str | None] = []

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:
        self.on_call("PutObject")
        self.objects[Bucket, Key] = Body
        return {}

    def get_object(
        self, *, Bucket: str, Key: str, Range: str | None = None, IfMatch: str | None = None
    ) -> dict[str, Any]:
        self.on_call("GetObject")
        self.ranges.append(Range)
        try:
            whole = self.objects[Bucket, Key]
        except KeyError:
            raise client_error("GetObject", "NoSuchKey", "The specified key does not exist.") from None
        etag = hashlib.sha256(whole).hexdigest()
        if IfMatch not in (None, etag):
            raise client_error("GetObject", "PreconditionFailed", "At least one of the pre-conditions did not hold")
        start, end = _range(Range, len(whole))
        data = whole[start:end]
        body = CutBody(data, self.cut_after_bytes.pop(0)) if self.cut_after_bytes else io.BytesIO(data)
        answer: dict[str, Any] = {"Body": body, "ETag": etag, "ContentLength": len(data)}
        return answer if Range is None else {**answer, "ContentRange": f"bytes {start}-{end - 1}/{len(whole)}"}

    def upload_file(self, name: str, bucket: str, key: str) -> None:
        self.on_call("UploadFile")
        self.objects[bucket, key] = Path(name).read_bytes()

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if (Bucket, Key) not in self.objects:
            raise client_error("HeadObject", "404", "Not Found")
        return {"ContentLength": len(self.objects[Bucket, Key])}

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self.objects.pop((Bucket, Key), None)
        return {}


def _range(text: str | None, size: int) -> tuple[int, int]:
    """First byte and the byte after the last of `bytes=2-5`, `bytes=2-` or `bytes=-3`."""
    first, _, last = (text or "bytes=0-").removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def athena_csv(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> bytes:
    """A result object as Athena writes it."""

    def line(values: Sequence[str | None]) -> str:
        return ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in values) + "\n"

    return "".join([line(names), *map(line, rows)]).encode()


@dataclass
class Answer:
    """What the fake Athena makes of a statement. `columns` are (name, type); `released` lets a RUNNING one end."""

    columns: Sequence[tuple[str, str]] = (("one", "integer"),)
    rows: Sequence[Sequence[str | None]] = (("1",),)
    error: dict[str, Any] | None = None
    reason: str | None = None
    extension: str = "csv"
    statistics: dict[str, Any] = field(
        default_factory=lambda: {"DataScannedInBytes": 123, "EngineExecutionTimeInMillis": 4}
    )
    released: threading.Event = field(default_factory=threading.Event)
    malformed: Any = None

    def held(self) -> Answer:
        """Stays RUNNING until `release`."""
        self.released.clear()
        return self


def answer(**members: Any) -> Answer:
    made = Answer(**members)
    made.released.set()
    return made


@dataclass
class _Run:
    execution_id: str
    sql: str
    token: str
    answer: Answer
    arguments: dict[str, Any]
    is_stopped: bool = False
    state: str = "RUNNING"


class FakeAthena:
    """Athena with scripted answers; executions survive as long as the object."""

    def __init__(self, s3: FakeS3, location: str = "s3://data-hist-results/") -> None:
        self.s3 = s3
        self.location = location
        self.answers: dict[str, Answer] = {}
        self.default = answer()
        self.runs: dict[str, _Run] = {}
        self.maximum_running: int | None = None
        self.is_managing_results = False
        self.throttled_in_batches: set[str] = set()
        self.lock = threading.RLock()
        self.on_call: Callable[[str], None] = lambda operation: None

    def started(self, sql: str | None = None) -> list[str]:
        """The SQL texts in the order in which they were started."""
        return [run.sql for run in self.runs.values() if sql is None or run.sql == sql]

    def start_query_execution(self, *, QueryString: str, ClientRequestToken: str, **more: Any) -> dict[str, Any]:
        self.on_call("StartQueryExecution")
        with self.lock:
            for run in self.runs.values():
                if run.token == ClientRequestToken:
                    if run.sql != QueryString:
                        message = "Idempotent parameters do not match"
                        raise client_error("StartQueryExecution", "InvalidRequestException", message)
                    return {"QueryExecutionId": run.execution_id}
            running = sum(self._state(run) == "RUNNING" for run in self.runs.values())
            if self.maximum_running is not None and running >= self.maximum_running:
                raise client_error("StartQueryExecution", "TooManyRequestsException", "CONCURRENT_QUERY_LIMIT_EXCEEDED")
            execution_id = f"engine-{len(self.runs) + 1}"
            found = self.answers.get(QueryString, self.default)
            self.runs[execution_id] = _Run(execution_id, QueryString, ClientRequestToken, found, more)
            return {"QueryExecutionId": execution_id}

    def get_query_execution(self, *, QueryExecutionId: str) -> dict[str, Any]:
        self.on_call("GetQueryExecution")
        with self.lock:
            run = self.runs.get(QueryExecutionId)
            if run is None:
                message = f"QueryExecution {QueryExecutionId} was not found"
                raise client_error("GetQueryExecution", "InvalidRequestException", message)
            return {"QueryExecution": self._described(run)}

    def batch_get_query_execution(self, *, QueryExecutionIds: list[str]) -> dict[str, Any]:
        self.on_call("BatchGetQueryExecution")
        assert len(QueryExecutionIds) <= 50
        with self.lock:
            throttled = self.throttled_in_batches.intersection(QueryExecutionIds)
            known = [self.runs[name] for name in QueryExecutionIds if name in self.runs and name not in throttled]
            return {
                "QueryExecutions": [self._described(run) for run in known],
                "UnprocessedQueryExecutionIds": [
                    {"QueryExecutionId": name, "ErrorCode": "INVALID_INPUT"}
                    for name in QueryExecutionIds
                    if name not in self.runs
                ]
                + [{"QueryExecutionId": name, "ErrorCode": "ThrottlingException"} for name in throttled],
            }

    def stop_query_execution(self, *, QueryExecutionId: str) -> dict[str, Any]:
        self.on_call("StopQueryExecution")
        with self.lock:
            run = self.runs[QueryExecutionId]
            if self._state(run) == "RUNNING":
                run.is_stopped = True
        return {}

    def get_query_results(
        self, *, QueryExecutionId: str, MaxResults: int = 1000, NextToken: str | None = None
    ) -> dict[str, Any]:
        self.on_call("GetQueryResults")
        run = self.runs[QueryExecutionId]
        rows: list[Sequence[str | None]] = list(run.answer.rows)
        if run.answer.extension == "csv":
            rows.insert(0, [name for name, _ in run.answer.columns])
        start = int(NextToken or 0)
        shown = rows[start : start + MaxResults]
        result: dict[str, Any] = {
            "ResultSet": {
                "ResultSetMetadata": {"ColumnInfo": [_column_info(name, kind) for name, kind in run.answer.columns]},
                "Rows": [
                    {"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in shown
                ],
            }
        }
        if start + MaxResults < len(rows):
            result["NextToken"] = str(start + MaxResults)
        return result

    def malformed_rows(self, query_execution_id: str) -> Any:
        told = self.runs[query_execution_id].answer.malformed
        return told if told is not None else Malformed(0, [], False)

    def _state(self, run: _Run) -> str:
        if run.state != "RUNNING":
            return run.state
        if run.is_stopped:
            run.state = "CANCELLED"
        elif run.answer.released.is_set():
            run.state = "SUCCEEDED" if run.answer.error is None and run.answer.reason is None else "FAILED"
            if run.state == "SUCCEEDED" and run.answer.extension == "csv" and not self.is_managing_results:
                bucket, _, prefix = self.location.removeprefix("s3://").partition("/")
                data = athena_csv([name for name, _ in run.answer.columns], run.answer.rows)
                self.s3.put_object(Bucket=bucket, Key=f"{prefix}{run.execution_id}.csv", Body=data)
                self.s3.put_object(Bucket=bucket, Key=f"{prefix}{run.execution_id}.csv.metadata", Body=b"binary")
        return run.state

    def _described(self, run: _Run) -> dict[str, Any]:
        status: dict[str, Any] = {"State": self._state(run)}
        if run.state == "FAILED":
            status["StateChangeReason"] = run.answer.reason
            status["AthenaError"] = run.answer.error or {}
        written = {"OutputLocation": f"{self.location}{run.execution_id}.{run.answer.extension}"}
        return {
            "QueryExecutionId": run.execution_id,
            "Query": run.sql,
            "Status": status,
            "Statistics": run.answer.statistics,
            "StatementType": "DML" if run.answer.extension == "csv" else "UTILITY",
            "ResultConfiguration": {} if self.is_managing_results else written,
        }


@dataclass(frozen=True)
class MalformedRow:
    uri: str
    line: int
    reason: str


@dataclass(frozen=True)
class Malformed:
    count: int
    samples: list[MalformedRow]
    truncated: bool


def _column_info(name: str, kind: str) -> dict[str, Any]:
    information: dict[str, Any] = {"Name": name, "Label": name, "Type": kind, "Precision": 0, "Scale": 0}
    if kind.startswith("decimal"):
        precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
        information |= {"Type": "decimal", "Precision": int(precision), "Scale": int(scale)}
    elif kind == "varchar":
        information["Precision"] = 2**31 - 1
    elif kind.startswith("timestamp"):
        information["Precision"] = 3
    return information
