"""The execution store: what the service remembers of each query, across restarts and processes.

    insert -> [claim_start -> record_started]* -> finish -> record_spooled -> mark_expunged -> forget

The store, not the process, is the truth: every step is one conditional write, so two processes (or a process and its
successor) never both win. The first terminal state is final. ExecutionStore is the port; SqliteExecutionStore is the
embedded implementation, and tests/contract/execution_store.py is what any other (DynamoDB) has to pass.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

import orjson

from service.errors import Blame, QueryFailure
from service.model import (
    OutputColumn,
    QueryExecution,
    QueryFreshness,
    QueryStatus,
    QueryWarning,
    Statistics,
)


@dataclass(frozen=True)
class PlanInputs:
    """What a statement was planned from, beside its text: kept so that it can be planned again.

    `customers` None is all of them. `parameters` are JSON values.
    """

    customers: tuple[int, ...] | None
    parameters: tuple[Any, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True)
class Plan:
    """What planning made of a statement. After `valid_until` (None: never) it has to be made again: it rests on
    now().
    """

    engine_sql: str
    json_columns: frozenset[int] = frozenset()
    columns: tuple[OutputColumn, ...] = ()
    valid_until: datetime | None = None
    statistics: Statistics = field(default_factory=Statistics)


@dataclass(frozen=True)
class StoredExecution:
    """A query execution with what only the service itself needs to know of it.

    `attempt` counts from 1; with the query_id it makes the engine's request token, so a crash between start and record
    never runs a query twice. `owner` is the process that drives it. `is_starting` is set from just before the engine
    is asked to start.
    """

    execution: QueryExecution
    engine_sql: str
    engine_name: str
    statement_kind: str = "SELECT"
    json_columns: frozenset[int] = frozenset()
    planned_columns: tuple[OutputColumn, ...] = ()
    plan_inputs: PlanInputs | None = None
    plan_valid_until: datetime | None = None
    is_strict: bool = False
    idempotency_key: str | None = None
    body_hash: str | None = None
    engine_id: str | None = None
    attempt: int = 1
    owner: str | None = None
    is_starting: bool = False
    is_cancel_requested: bool = False
    result_location: str | None = None
    is_spooled: bool = False

    @property
    def query_id(self) -> str:
        """The id of the execution."""
        return self.execution.query_id

    @property
    def engine_token(self) -> str:
        """The engine's request token of this attempt: the same for the same attempt, for ever (32..128 characters)."""
        return f"data-hist-{self.query_id}-{self.attempt}"


@dataclass(frozen=True)
class Ending:
    """How an execution ends."""

    status: QueryStatus
    ended_at: datetime
    statistics: Statistics = field(default_factory=Statistics)
    error: QueryFailure | None = None
    columns: tuple[OutputColumn, ...] | None = None
    warnings: tuple[QueryWarning, ...] = ()
    warnings_truncated: bool = False
    result_location: str | None = None
    is_spooled: bool = False


class ExecutionStore(Protocol):
    """See the module. All methods are safe from many threads and processes at once."""

    def insert(self, stored: StoredExecution) -> StoredExecution:
        """Stores a new execution; when its tenant used the idempotency key before, returns that earlier one instead."""
        ...

    def get(self, query_id: str) -> StoredExecution | None:
        """The execution, or None."""
        ...

    def by_idempotency_key(self, tenant: str, idempotency_key: str) -> StoredExecution | None:
        """The execution that this tenant submitted with this key, or None."""
        ...

    def claim_start(self, query_id: str, owner: str) -> StoredExecution | None:
        """Marks the execution as being started by `owner`; None when it is terminal, another's, or to be cancelled."""
        ...

    def record_plan(self, query_id: str, owner: str, plan: Plan) -> StoredExecution | None:
        """Replaces the plan of an execution that no engine has seen; None when it is not (any more) one of
        `owner`'s.
        """
        ...

    def release_start(self, query_id: str, owner: str) -> None:
        """Takes claim_start back: the engine was busy and nothing was started."""
        ...

    def record_started(
        self, query_id: str, engine_id: str, status: QueryStatus, started_at: datetime
    ) -> StoredExecution:
        """Remembers the engine's id; no change to a terminal execution. Returns the execution as it then is."""
        ...

    def record_progress(self, query_id: str, status: QueryStatus, statistics: Statistics) -> None:
        """Remembers a state and statistics on the way; no change to a terminal execution."""
        ...

    def next_attempt(self, query_id: str, owner: str) -> StoredExecution | None:
        """Puts a failed attempt back to QUEUED with a new engine token; None when terminal or to be cancelled."""
        ...

    def request_cancel(self, query_id: str, ended_at: datetime) -> StoredExecution | None:
        """Remembers that the caller wants it cancelled; one that no engine has seen is CANCELLED at once. None: no
        such.
        """
        ...

    def finish(self, query_id: str, ending: Ending) -> StoredExecution:
        """Ends the execution unless it has ended; a wish to cancel turns any ending into CANCELLED. Returns it as it
        is.
        """
        ...

    def record_spooled(self, query_id: str, rows_total: int, result_bytes: int) -> StoredExecution | None:
        """Remembers that the whole result is spooled, and its size. Returns the execution as it then is; None: no
        such.
        """
        ...

    def unfinished(self) -> tuple[StoredExecution, ...]:
        """Every execution that is not terminal, oldest first."""
        ...

    def adopt(self, query_id: str, former_owner: str | None, owner: str) -> bool:
        """Makes `owner` drive an unfinished execution of a former owner; False when somebody else was quicker."""
        ...

    def disown(self, owner: str) -> None:
        """Gives up every unfinished execution of `owner`, for the next process to adopt at once."""
        ...

    def listing(
        self, tenant: str, *, status: QueryStatus | None, limit: int, before: tuple[int, str] | None
    ) -> tuple[StoredExecution, ...]:
        """A tenant's executions, newest first, at most `limit`; `before` is (submitted_at in us, query_id) of the last
        seen.
        """
        ...

    def expired(self, now: datetime, limit: int) -> tuple[StoredExecution, ...]:
        """Executions whose expires_at has passed and whose bytes have not been reported gone."""
        ...

    def mark_expunged(self, query_id: str) -> None:
        """Remembers that the bytes of the result are gone."""
        ...

    def forget(self, expired_before: datetime) -> int:
        """Deletes the memory of expunged executions that expired before; how many."""
        ...

    def count_by_status(self) -> Mapping[QueryStatus, int]:
        """How many executions are in each state, all tenants."""
        ...

    def close(self) -> None:
        """Releases the storage."""
        ...


_SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
    query_id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key_id TEXT,
    query TEXT NOT NULL,
    retention_minutes INTEGER NOT NULL,
    status TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,          -- all times in microseconds since 1970
    started_at INTEGER,
    ended_at INTEGER,
    expires_at INTEGER,
    columns TEXT,                           -- JSON, as statistics, error, warnings
    statistics TEXT NOT NULL,
    error TEXT,
    warnings TEXT NOT NULL,
    warnings_truncated INTEGER NOT NULL,
    engine_sql TEXT NOT NULL,
    engine_name TEXT NOT NULL,
    statement_kind TEXT NOT NULL,
    json_columns TEXT NOT NULL,
    planned_columns TEXT NOT NULL,
    plan_inputs TEXT,
    plan_valid_until INTEGER,
    is_strict INTEGER NOT NULL,
    idempotency_key TEXT,
    body_hash TEXT,
    engine_id TEXT,
    attempt INTEGER NOT NULL,
    owner TEXT,
    is_starting INTEGER NOT NULL,
    is_cancel_requested INTEGER NOT NULL,
    result_location TEXT,
    is_spooled INTEGER NOT NULL,
    is_expunged INTEGER NOT NULL,
    freshness TEXT                          -- JSON
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS executions_idempotency ON executions (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS executions_newest ON executions (tenant, submitted_at DESC, query_id DESC);
CREATE INDEX IF NOT EXISTS executions_unfinished ON executions (submitted_at) WHERE status IN ('QUEUED', 'RUNNING');
CREATE INDEX IF NOT EXISTS executions_expiring ON executions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS executions_status ON executions (status);
"""

_UNFINISHED = "status IN ('QUEUED', 'RUNNING')"


class SqliteExecutionStore:
    """ExecutionStore in one SQLite file (WAL): many readers and one writer at a time, in any number of processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = RLock()
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # an operating system that crashes may lose the last commits but never the file; a process that crashes loses
        # none
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._writing():
            for statement in _SCHEMA.split(";\n"):
                self._connection.execute(statement)
            known = {row["name"] for row in self._connection.execute("PRAGMA table_info(executions)")}
            if "freshness" not in known:  # a file of an earlier release
                self._connection.execute("ALTER TABLE executions ADD COLUMN freshness TEXT")

    def insert(self, stored: StoredExecution) -> StoredExecution:
        row = _row(stored)
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing():
            earlier = self._earlier(stored)
            if earlier is not None:
                return earlier
            self._connection.execute(f"INSERT INTO executions ({names}) VALUES ({marks})", row)  # noqa: S608 - own names
        return stored

    def get(self, query_id: str) -> StoredExecution | None:
        return self._one("WHERE query_id = ?", query_id)

    def by_idempotency_key(self, tenant: str, idempotency_key: str) -> StoredExecution | None:
        return self._one("WHERE tenant = ? AND idempotency_key = ?", tenant, idempotency_key)

    def claim_start(self, query_id: str, owner: str) -> StoredExecution | None:
        with self._writing():
            return self._updated(
                "is_starting = 1",
                f"query_id = ? AND owner = ? AND {_UNFINISHED} AND is_cancel_requested = 0",
                query_id,
                owner,
            )

    def record_plan(self, query_id: str, owner: str, plan: Plan) -> StoredExecution | None:
        with self._writing():
            return self._updated(
                "engine_sql = ?, json_columns = ?, planned_columns = ?, plan_valid_until = ?, statistics = ?",
                f"query_id = ? AND owner = ? AND engine_id IS NULL AND is_starting = 0 AND {_UNFINISHED}",
                plan.engine_sql,
                _json(sorted(plan.json_columns)),
                _json([asdict(column) for column in plan.columns]),
                _optional(plan.valid_until, _microseconds),
                _json(asdict(plan.statistics)),
                query_id,
                owner,
            )

    def release_start(self, query_id: str, owner: str) -> None:
        with self._writing():
            self._update("is_starting = 0", "query_id = ? AND owner = ? AND engine_id IS NULL", query_id, owner)

    def record_started(
        self, query_id: str, engine_id: str, status: QueryStatus, started_at: datetime
    ) -> StoredExecution:
        with self._writing():
            started = self._updated(
                "engine_id = ?, is_starting = 0, status = ?, started_at = coalesce(started_at, ?)",
                f"query_id = ? AND {_UNFINISHED}",
                engine_id,
                status.value,
                _microseconds(started_at),
                query_id,
            )
            return started or self._existing(query_id)

    def record_progress(self, query_id: str, status: QueryStatus, statistics: Statistics) -> None:
        with self._writing():
            self._update(
                "status = ?, statistics = ?",
                f"query_id = ? AND {_UNFINISHED}",
                status.value,
                _json(asdict(statistics)),
                query_id,
            )

    def next_attempt(self, query_id: str, owner: str) -> StoredExecution | None:
        with self._writing():
            return self._updated(
                "attempt = attempt + 1, engine_id = NULL, is_starting = 0, status = 'QUEUED', started_at = NULL",
                f"query_id = ? AND owner = ? AND {_UNFINISHED} AND is_cancel_requested = 0",
                query_id,
                owner,
            )

    def request_cancel(self, query_id: str, ended_at: datetime) -> StoredExecution | None:
        with self._writing():
            stored = self.get(query_id)
            if stored is None or stored.execution.is_terminal:
                return stored
            self._update("is_cancel_requested = 1", "query_id = ?", query_id)
            if stored.engine_id is None and not stored.is_starting:
                return self.finish(query_id, Ending(QueryStatus.CANCELLED, ended_at))
            return self._existing(query_id)

    def finish(self, query_id: str, ending: Ending) -> StoredExecution:
        with self._writing():
            stored = self._existing(query_id)
            if stored.execution.is_terminal:
                return stored
            if stored.is_cancel_requested:
                ending = replace(ending, status=QueryStatus.CANCELLED, error=None)
            expires_at = ending.ended_at + timedelta(minutes=stored.execution.retention_minutes)
            ended = self._updated(
                "status = ?, ended_at = ?, expires_at = ?, statistics = ?, error = ?, columns = ?, warnings = ?,"
                " warnings_truncated = ?, result_location = coalesce(?, result_location), is_spooled = ?,"
                " is_starting = 0",
                f"query_id = ? AND {_UNFINISHED}",
                ending.status.value,
                _microseconds(ending.ended_at),
                _microseconds(expires_at),
                _json(asdict(ending.statistics)),
                None if ending.error is None else _json(asdict(ending.error)),
                None if ending.columns is None else _json([asdict(column) for column in ending.columns]),
                _json([asdict(warning) for warning in ending.warnings]),
                int(ending.warnings_truncated),
                ending.result_location,
                int(ending.is_spooled),
                query_id,
            )
            return ended or self._existing(query_id)

    def record_spooled(self, query_id: str, rows_total: int, result_bytes: int) -> StoredExecution | None:
        with self._writing():
            stored = self.get(query_id)
            if stored is None:
                return None
            statistics = replace(stored.execution.statistics, rows_total=rows_total, result_bytes=result_bytes)
            return self._updated("is_spooled = 1, statistics = ?", "query_id = ?", _json(asdict(statistics)), query_id)

    def unfinished(self) -> tuple[StoredExecution, ...]:
        return self._many(f"WHERE {_UNFINISHED} ORDER BY submitted_at")

    def adopt(self, query_id: str, former_owner: str | None, owner: str) -> bool:
        with self._writing():
            return self._update(
                "owner = ?", f"query_id = ? AND owner IS ? AND {_UNFINISHED}", owner, query_id, former_owner
            )

    def disown(self, owner: str) -> None:
        with self._writing():
            self._update("owner = NULL", f"owner = ? AND {_UNFINISHED}", owner)

    def listing(
        self, tenant: str, *, status: QueryStatus | None, limit: int, before: tuple[int, str] | None
    ) -> tuple[StoredExecution, ...]:
        conditions = ["tenant = ?"]
        values: list[object] = [tenant]
        if status is not None:
            conditions.append("status = ?")
            values.append(status.value)
        if before is not None:
            conditions.append("(submitted_at, query_id) < (?, ?)")
            values.extend(before)
        condition = " AND ".join(conditions)
        return self._many(f"WHERE {condition} ORDER BY submitted_at DESC, query_id DESC LIMIT ?", *values, limit)

    def expired(self, now: datetime, limit: int) -> tuple[StoredExecution, ...]:
        return self._many(
            "WHERE expires_at IS NOT NULL AND expires_at <= ? AND is_expunged = 0 ORDER BY expires_at LIMIT ?",
            _microseconds(now),
            limit,
        )

    def mark_expunged(self, query_id: str) -> None:
        with self._writing():
            self._update("is_expunged = 1", "query_id = ?", query_id)

    def forget(self, expired_before: datetime) -> int:
        with self._writing():
            cursor = self._connection.execute(
                "DELETE FROM executions WHERE expires_at IS NOT NULL AND expires_at <= ? AND is_expunged = 1",
                (_microseconds(expired_before),),
            )
            return cursor.rowcount

    def count_by_status(self) -> Mapping[QueryStatus, int]:
        with self._lock:
            rows = self._connection.execute("SELECT status, count(*) FROM executions GROUP BY status").fetchall()
        return {QueryStatus(status): count for status, count in rows}

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One write transaction; inside another it is part of that one."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _update(self, assignments: str, condition: str, *values: object) -> bool:
        statement = f"UPDATE executions SET {assignments} WHERE {condition}"  # noqa: S608 - both are this class's own text
        return self._connection.execute(statement, values).rowcount > 0

    def _updated(self, assignments: str, condition: str, *values: object) -> StoredExecution | None:
        """Updates one execution and returns it as it then is; None when the condition does not hold."""
        statement = f"UPDATE executions SET {assignments} WHERE {condition} RETURNING *"  # noqa: S608 - as _update
        rows = self._connection.execute(statement, values).fetchall()
        return _stored(rows[0]) if rows else None

    def _one(self, clause: str, *values: object) -> StoredExecution | None:
        found = self._many(clause, *values)
        return found[0] if found else None

    def _many(self, clause: str, *values: object) -> tuple[StoredExecution, ...]:
        with self._lock:
            rows = self._connection.execute(f"SELECT * FROM executions {clause}", values).fetchall()  # noqa: S608 - own text
        return tuple(_stored(row) for row in rows)

    def _existing(self, query_id: str) -> StoredExecution:
        stored = self.get(query_id)
        if stored is None:
            raise KeyError(query_id)
        return stored

    def _earlier(self, stored: StoredExecution) -> StoredExecution | None:
        if stored.idempotency_key is None:
            return None
        return self.by_idempotency_key(stored.execution.tenant, stored.idempotency_key)


def submitted_at_microseconds(execution: QueryExecution) -> int:
    """The submission time as a listing's `before` wants it."""
    return _microseconds(execution.submitted_at)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _optional(value: Any, convert: Callable[[Any], Any]) -> Any:
    return None if value is None else convert(value)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


def _columns(text: str) -> tuple[OutputColumn, ...]:
    return tuple(OutputColumn(**column) for column in orjson.loads(text))


def _plan_inputs(text: str) -> PlanInputs:
    members = orjson.loads(text)
    customers = members["customers"]
    return PlanInputs(
        None if customers is None else tuple(customers),
        tuple(members["parameters"]),
        members["from_ms"],
        members["to_ms"],
    )


def _freshness(text: str) -> QueryFreshness:
    members = orjson.loads(text)
    complete_until = _optional(members.pop("complete_until"), datetime.fromisoformat)
    return QueryFreshness(complete_until, **members)


def _failure(text: str) -> QueryFailure:
    members = orjson.loads(text)
    return QueryFailure(**{**members, "blame": Blame(members["blame"]), "suggestions": tuple(members["suggestions"])})


def _row(stored: StoredExecution) -> dict[str, object]:
    execution = stored.execution
    return {
        "query_id": execution.query_id,
        "tenant": execution.tenant,
        "key_id": execution.key_id,
        "query": execution.query,
        "retention_minutes": execution.retention_minutes,
        "status": execution.status.value,
        "submitted_at": _microseconds(execution.submitted_at),
        "started_at": _optional(execution.started_at, _microseconds),
        "ended_at": _optional(execution.ended_at, _microseconds),
        "expires_at": _optional(execution.expires_at, _microseconds),
        "columns": _optional(execution.columns, lambda columns: _json([asdict(column) for column in columns])),
        "statistics": _json(asdict(execution.statistics)),
        "error": _optional(execution.error, lambda error: _json(asdict(error))),
        "warnings": _json([asdict(warning) for warning in execution.warnings]),
        "warnings_truncated": int(execution.warnings_truncated),
        "engine_sql": stored.engine_sql,
        "engine_name": stored.engine_name,
        "statement_kind": stored.statement_kind,
        "json_columns": _json(sorted(stored.json_columns)),
        "planned_columns": _json([asdict(column) for column in stored.planned_columns]),
        "plan_inputs": _optional(stored.plan_inputs, lambda inputs: _json(asdict(inputs))),
        "plan_valid_until": _optional(stored.plan_valid_until, _microseconds),
        "is_strict": int(stored.is_strict),
        "idempotency_key": stored.idempotency_key,
        "body_hash": stored.body_hash,
        "engine_id": stored.engine_id,
        "attempt": stored.attempt,
        "owner": stored.owner,
        "is_starting": int(stored.is_starting),
        "is_cancel_requested": int(stored.is_cancel_requested),
        "result_location": stored.result_location,
        "is_spooled": int(stored.is_spooled),
        "is_expunged": int(execution.is_expunged),
        "freshness": _optional(execution.freshness, lambda freshness: _json(asdict(freshness))),
    }


def _stored(row: sqlite3.Row) -> StoredExecution:
    execution = QueryExecution(
        query_id=row["query_id"],
        tenant=row["tenant"],
        key_id=row["key_id"],
        query=row["query"],
        retention_minutes=row["retention_minutes"],
        status=QueryStatus(row["status"]),
        submitted_at=_moment(row["submitted_at"]),
        started_at=_optional(row["started_at"], _moment),
        ended_at=_optional(row["ended_at"], _moment),
        expires_at=_optional(row["expires_at"], _moment),
        columns=_optional(row["columns"], _columns),
        statistics=Statistics(**orjson.loads(row["statistics"])),
        error=_optional(row["error"], _failure),
        warnings=tuple(QueryWarning(**warning) for warning in orjson.loads(row["warnings"])),
        warnings_truncated=bool(row["warnings_truncated"]),
        is_expunged=bool(row["is_expunged"]),
        freshness=_optional(row["freshness"], _freshness),
    )
    return StoredExecution(
        execution=execution,
        engine_sql=row["engine_sql"],
        engine_name=row["engine_name"],
        statement_kind=row["statement_kind"],
        json_columns=frozenset(orjson.loads(row["json_columns"])),
        planned_columns=_columns(row["planned_columns"]),
        plan_inputs=_optional(row["plan_inputs"], _plan_inputs),
        plan_valid_until=_optional(row["plan_valid_until"], _moment),
        is_strict=bool(row["is_strict"]),
        idempotency_key=row["idempotency_key"],
        body_hash=row["body_hash"],
        engine_id=row["engine_id"],
        attempt=row["attempt"],
        owner=row["owner"],
        is_starting=bool(row["is_starting"]),
        is_cancel_requested=bool(row["is_cancel_requested"]),
        result_location=row["result_location"],
        is_spooled=bool(row["is_spooled"]),
    )
