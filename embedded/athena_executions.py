"""What the embedded Athena remembers of each query execution, in SQLite.

An execution is written when it is accepted and when it ends. While it waits or runs its state lives in memory, so a
process that dies leaves rows without an end: `fail_interrupted()` ends them honestly when the next process starts.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

QUEUED = "QUEUED"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED})

MAXIMUM_MALFORMED_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class MalformedRow:
    """A row that could not be read: the object's s3 uri, its line counted from 1 (0: the whole object), and why."""

    uri: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class MalformedRows:
    """The rows a query had to leave out. `count` is exact; `samples` holds the first hundred of them."""

    count: int = 0
    samples: tuple[MalformedRow, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionFailure:
    """Why an execution failed: Athena's text, and its category (1 system, 2 user, 3 other) and type numbers."""

    message: str
    category: int = 2
    type: int = 1
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of a result, as GetQueryResults describes it. `type` is Trino's type text with its parameters."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One query execution. Times are UTC; durations are milliseconds; `output_location` is complete, with id."""

    id: str
    query: str
    statement_type: str
    substatement_type: str
    work_group: str
    catalog: str
    database: str
    parameters: tuple[str, ...]
    result_configuration: Mapping[str, Any]
    output_location: str
    submitted_at: datetime
    client_request_token: str = ""
    request_fingerprint: str = ""
    result_reuse_minutes: int | None = None
    state: str = QUEUED
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failure: ExecutionFailure | None = None
    reason: str = ""
    scanned_bytes: int = 0
    planning_milliseconds: int = 0
    engine_milliseconds: int = 0
    total_milliseconds: int = 0
    queue_milliseconds: int = 0
    reused_from: str = ""
    update_count: int | None = None
    row_count: int | None = None
    columns: tuple[ResultColumn, ...] = ()
    has_header: bool = True
    manifest_location: str = ""
    malformed: MalformedRows = field(default_factory=MalformedRows)
    data_version: str = ""

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


def _to_document(execution: Execution) -> str:
    document = {name: getattr(execution, name) for name in execution.__slots__}
    for name in ("submitted_at", "started_at", "completed_at"):
        document[name] = document[name].timestamp() if document[name] else None
    document["failure"] = _fields(execution.failure) if execution.failure else None
    document["columns"] = [[column.name, column.type] for column in execution.columns]
    malformed = execution.malformed
    document["malformed"] = [malformed.count, [_fields(row) for row in malformed.samples], malformed.truncated]
    document["result_configuration"] = dict(execution.result_configuration)
    return json.dumps(document, ensure_ascii=True)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _from_document(text: str) -> Execution:
    document = json.loads(text)
    for name in ("submitted_at", "started_at", "completed_at"):
        seconds = document[name]
        document[name] = datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    document["parameters"] = tuple(document["parameters"])
    document["failure"] = ExecutionFailure(**document["failure"]) if document["failure"] else None
    document["columns"] = tuple(ResultColumn(*column) for column in document["columns"])
    count, samples, truncated = document["malformed"]
    document["malformed"] = MalformedRows(count, tuple(MalformedRow(**row) for row in samples), truncated)
    return Execution(**document)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    work_group TEXT NOT NULL,
    client_request_token TEXT,
    query TEXT NOT NULL,
    ended INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    submitted_at REAL NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS executions_by_token ON executions (client_request_token)
    WHERE client_request_token IS NOT NULL;
CREATE INDEX IF NOT EXISTS executions_by_work_group ON executions (work_group, sequence);
CREATE INDEX IF NOT EXISTS executions_not_ended ON executions (id) WHERE ended = 0;
"""


class ExecutionStore:
    """Executions by id, newest first by workgroup, and by client request token. Safe to use from many threads."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._connection = connection
        self._lock = lock
        self._active: dict[str, Execution] = {}
        with self._writing() as cursor:
            cursor.executescript(_SCHEMA)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        with self._lock, self._connection:
            yield self._connection.cursor()

    def add(self, execution: Execution) -> Execution:
        """Remembers a new execution, or answers the one that already carries its client request token."""
        token = execution.client_request_token or None
        with self._lock:
            if token is not None:
                known = self.by_token(token)
                if known is not None:
                    return known
            with self._writing() as cursor:
                cursor.execute(
                    "INSERT INTO executions (id, work_group, client_request_token, query, ended, succeeded,"
                    " submitted_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        execution.id,
                        execution.work_group,
                        token,
                        execution.query,
                        execution.has_ended,
                        execution.state == SUCCEEDED,
                        execution.submitted_at.timestamp(),
                        _to_document(execution),
                    ),
                )
            if not execution.has_ended:
                self._active[execution.id] = execution
        return execution

    def get(self, execution_id: str) -> Execution | None:
        active = self._active.get(execution_id)
        if active is not None:
            return active
        with self._lock:
            row = self._connection.execute("SELECT document FROM executions WHERE id = ?", (execution_id,)).fetchone()
        return _from_document(row[0]) if row else None

    def by_token(self, token: str) -> Execution | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT id FROM executions WHERE client_request_token = ?", (token,)
            ).fetchone()
        return self.get(row[0]) if row else None

    def change(self, execution_id: str, **changes: Any) -> Execution:
        """Changes an execution that has not ended and answers it. One that has ended stays as it is.

        The first terminal state is final: a query cancelled while it finished stays cancelled.
        """
        with self._lock:
            active = self._active.get(execution_id)
            if active is None:
                known = self.get(execution_id)
                if known is None:
                    raise KeyError(execution_id)
                return known
            changed = replace(active, **changes)
            self._active[execution_id] = changed
            if changed.has_ended:
                with self._writing() as cursor:
                    cursor.execute(
                        "UPDATE executions SET ended = 1, succeeded = ?, document = ? WHERE id = ?",
                        (changed.state == SUCCEEDED, _to_document(changed), execution_id),
                    )
                del self._active[execution_id]
            return changed

    def ids(self, work_group: str, *, before: int | None, limit: int) -> Sequence[tuple[int, str]]:
        """(sequence, id) of a workgroup's executions, newest first, those with a sequence below `before`."""
        with self._lock:
            return self._connection.execute(
                "SELECT sequence, id FROM executions WHERE work_group = ? AND sequence < ?"
                " ORDER BY sequence DESC LIMIT ?",
                (work_group, before if before is not None else 2**62, limit),
            ).fetchall()

    def reusable(self, work_group: str, query: str, *, since: datetime) -> Iterator[Execution]:
        """Succeeded executions of the same text in the same workgroup, newest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT document FROM executions WHERE work_group = ? AND succeeded = 1 AND submitted_at >= ?"
                " AND query = ? ORDER BY sequence DESC LIMIT 20",
                (work_group, since.timestamp(), query),
            ).fetchall()
        for (document,) in rows:
            yield _from_document(document)

    def fail_interrupted(self, now: datetime) -> int:
        """Ends what a process before this one left unfinished. Returns how many."""
        with self._lock:
            rows = self._connection.execute("SELECT document FROM executions WHERE ended = 0").fetchall()
            for (document,) in rows:
                execution = _from_document(document)
                message = "INTERNAL_ERROR_QUERY_ENGINE: the engine was stopped while the query was waiting or running"
                failed = replace(
                    execution,
                    state=FAILED,
                    completed_at=now,
                    reason=message,
                    failure=ExecutionFailure(message, category=1, type=100, retryable=True),
                )
                with self._writing() as cursor:
                    cursor.execute(
                        "UPDATE executions SET ended = 1, document = ? WHERE id = ?",
                        (_to_document(failed), failed.id),
                    )
        return len(rows)


def open_database(path: Path) -> sqlite3.Connection:
    """The SQLite file of executions, workgroups, named queries and prepared statements. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
