"""The execution store in one SQLite file: for one machine.

Every step is one UPDATE whose WHERE says when it counts, inside a write transaction; the contract is in
service.executions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import RLock

from service.execution_records import (
    Record,
    ending_record,
    execution_of,
    is_kept_after,
    kept_record,
    microseconds,
    moment_of,
    next_attempt_record,
    plan_record,
    progress_record,
    record_of,
    spooled_record,
)
from service.executions import Ending, Plan, StoredExecution, UnfinishedExecution
from service.model import QueryStatus, Statistics

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
    freshness TEXT,                         -- JSON
    trace_parent TEXT,
    reused_from TEXT,
    reuse_key TEXT,
    data_version TEXT,
    kept_until INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaders (
    reuse_key TEXT PRIMARY KEY,
    query_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS executions_idempotency ON executions (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS executions_newest ON executions (tenant, submitted_at DESC, query_id DESC);
CREATE INDEX IF NOT EXISTS executions_unfinished ON executions (submitted_at) WHERE status IN ('QUEUED', 'RUNNING');
CREATE INDEX IF NOT EXISTS executions_expiring ON executions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS executions_status ON executions (status);
"""

_LATER_COLUMNS = {
    "freshness": "TEXT",
    "trace_parent": "TEXT",
    "reused_from": "TEXT",
    "reuse_key": "TEXT",
    "data_version": "TEXT",
    "kept_until": "INTEGER",
}
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
            for name, kind in _LATER_COLUMNS.items():
                if name not in known:  # a file of an earlier release
                    self._connection.execute(f"ALTER TABLE executions ADD COLUMN {name} {kind}")

    def insert(self, stored: StoredExecution) -> StoredExecution:
        row = record_of(stored)
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
            return self._changed(
                {"is_starting": 1},
                f"query_id = ? AND owner = ? AND {_UNFINISHED} AND is_cancel_requested = 0",
                query_id,
                owner,
            )

    def record_plan(self, query_id: str, owner: str, plan: Plan) -> StoredExecution | None:
        with self._writing():
            return self._changed(
                plan_record(plan),
                f"query_id = ? AND owner = ? AND engine_id IS NULL AND is_starting = 0 AND {_UNFINISHED}",
                query_id,
                owner,
            )

    def release_start(self, query_id: str, owner: str) -> None:
        with self._writing():
            self._changed({"is_starting": 0}, "query_id = ? AND owner = ? AND engine_id IS NULL", query_id, owner)

    def record_started(
        self, query_id: str, owner: str, engine_id: str, status: QueryStatus, started_at: datetime
    ) -> StoredExecution:
        with self._writing():
            stored = self._existing(query_id)
            first_started_at = stored.execution.started_at or started_at
            started = self._changed(
                {
                    "engine_id": engine_id,
                    "is_starting": 0,
                    "status": status.value,
                    "started_at": microseconds(first_started_at),
                },
                f"query_id = ? AND owner = ? AND {_UNFINISHED}",
                query_id,
                owner,
            )
            return started or stored

    def record_progress(self, query_id: str, owner: str, status: QueryStatus, statistics: Statistics) -> None:
        with self._writing():
            self._changed(
                progress_record(status, statistics),
                f"query_id = ? AND owner = ? AND {_UNFINISHED}",
                query_id,
                owner,
            )

    def next_attempt(self, query_id: str, owner: str, attempt: int) -> StoredExecution | None:
        with self._writing():
            return self._changed(
                next_attempt_record(attempt),
                f"query_id = ? AND owner = ? AND attempt = ? AND {_UNFINISHED} AND is_cancel_requested = 0",
                query_id,
                owner,
                attempt,
            )

    def request_cancel(self, query_id: str, ended_at: datetime) -> StoredExecution | None:
        with self._writing():
            wished = self._changed({"is_cancel_requested": 1}, f"query_id = ? AND {_UNFINISHED}", query_id)
            if wished is None:
                return self.get(query_id)
            if wished.engine_id is None and not wished.is_starting:
                ending = Ending(QueryStatus.CANCELLED, ended_at)
                return self._changed(ending_record(ending, wished), "query_id = ?", query_id)
            return wished

    def finish(self, query_id: str, owner: str, ending: Ending) -> StoredExecution:
        with self._writing():
            stored = self._existing(query_id)
            condition = f"query_id = ? AND owner = ? AND {_UNFINISHED}"
            return self._changed(ending_record(ending, stored), condition, query_id, owner) or stored

    def record_spooled(self, query_id: str, rows_total: int, result_bytes: int) -> StoredExecution | None:
        with self._writing():
            stored = self.get(query_id)
            if stored is None:
                return None
            record = spooled_record(stored, rows_total=rows_total, result_bytes=result_bytes)
            return self._changed(record, "query_id = ?", query_id)

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        with self._lock:
            rows = self._connection.execute(
                f"SELECT query_id, tenant, owner, status, submitted_at FROM executions WHERE {_UNFINISHED}"  # noqa: S608 - own text
                " ORDER BY submitted_at"
            ).fetchall()
        return tuple(
            UnfinishedExecution(query_id, tenant, owner, QueryStatus(status), moment_of(submitted_at))
            for query_id, tenant, owner, status, submitted_at in rows
        )

    def adopt(self, query_id: str, former_owner: str | None, owner: str) -> bool:
        condition = f"query_id = ? AND owner IS ? AND {_UNFINISHED}"
        with self._writing():
            return self._changed({"owner": owner}, condition, query_id, former_owner) is not None

    def disown(self, owner: str) -> None:
        with self._writing():
            self._connection.execute(f"UPDATE executions SET owner = NULL WHERE owner = ? AND {_UNFINISHED}", (owner,))  # noqa: S608 - own text

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
            "WHERE expires_at IS NOT NULL AND expires_at <= ? AND (kept_until IS NULL OR kept_until <= ?)"
            " AND is_expunged = 0 ORDER BY expires_at LIMIT ?",
            microseconds(now),
            microseconds(now),
            limit,
        )

    def leader(self, reuse_key: str) -> str | None:
        with self._lock:
            row = self._connection.execute("SELECT query_id FROM leaders WHERE reuse_key = ?", (reuse_key,)).fetchone()
        return None if row is None else str(row[0])

    def lead(self, reuse_key: str, query_id: str, former: str | None) -> bool:
        with self._writing():
            if self.leader(reuse_key) != former:
                return False
            self._connection.execute("INSERT OR REPLACE INTO leaders VALUES (?, ?)", (reuse_key, query_id))
            return True

    def keep_result(self, query_id: str, until: datetime, *, if_needed_after: datetime) -> StoredExecution | None:
        with self._writing():
            stored = self.get(query_id)
            if stored is None or not is_kept_after(stored, if_needed_after):
                return None
            return self._changed(kept_record(stored, until), "query_id = ?", query_id)

    def mark_expunged(self, query_id: str) -> None:
        with self._writing():
            self._changed({"is_expunged": 1}, "query_id = ?", query_id)

    def forget(self, expired_before: datetime) -> int:
        with self._writing():
            cursor = self._connection.execute(
                "DELETE FROM executions WHERE expires_at IS NOT NULL AND expires_at <= ? AND is_expunged = 1",
                (microseconds(expired_before),),
            )
            forgotten = cursor.rowcount
            if forgotten:
                self._connection.execute("DELETE FROM leaders WHERE query_id NOT IN (SELECT query_id FROM executions)")
            return forgotten

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

    def _changed(self, record: Record, condition: str, *values: object) -> StoredExecution | None:
        """Sets these members of one execution and returns it as it then is; None when the condition does not hold."""
        assignments = ", ".join(f"{name} = ?" for name in record)
        statement = f"UPDATE executions SET {assignments} WHERE {condition} RETURNING *"  # noqa: S608 - both are this class's own text
        rows = self._connection.execute(statement, (*record.values(), *values)).fetchall()
        return execution_of(rows[0]) if rows else None

    def _one(self, clause: str, *values: object) -> StoredExecution | None:
        found = self._many(clause, *values)
        return found[0] if found else None

    def _many(self, clause: str, *values: object) -> tuple[StoredExecution, ...]:
        with self._lock:
            rows = self._connection.execute(f"SELECT * FROM executions {clause}", values).fetchall()  # noqa: S608 - own text
        return tuple(execution_of(row) for row in rows)

    def _existing(self, query_id: str) -> StoredExecution:
        stored = self.get(query_id)
        if stored is None:
            raise KeyError(query_id)
        return stored

    def _earlier(self, stored: StoredExecution) -> StoredExecution | None:
        if stored.idempotency_key is None:
            return None
        return self.by_idempotency_key(stored.execution.tenant, stored.idempotency_key)
