"""A query execution as a flat record of texts and whole numbers, which any storage can keep, and back again.

    record = record_of(stored)        {"query_id": "...", "submitted_at": 1795341600123456, "statistics": "{...}", ...}
    stored = execution_of(record)

Times are microseconds since 1970, truth values 0 and 1, nested values JSON texts, None is "not known (yet)". SQLite has
a column for each member, DynamoDB an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from service.errors import Blame, QueryFailure
from service.executions import Ending, Plan, PlanInputs, StoredExecution
from service.model import OutputColumn, QueryExecution, QueryFreshness, QueryStatus, QueryWarning, Statistics

Record = dict[str, str | int | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def record_of(stored: StoredExecution) -> Record:
    """Every member of an execution."""
    execution = stored.execution
    return {
        "query_id": execution.query_id,
        "tenant": execution.tenant,
        "key_id": execution.key_id,
        "query": execution.query,
        "retention_minutes": execution.retention_minutes,
        "status": execution.status.value,
        "submitted_at": microseconds(execution.submitted_at),
        "started_at": optional(execution.started_at, microseconds),
        "ended_at": optional(execution.ended_at, microseconds),
        "expires_at": optional(execution.expires_at, microseconds),
        "columns": optional(execution.columns, columns_text),
        "statistics": json_text(asdict(execution.statistics)),
        "error": optional(execution.error, lambda error: json_text(asdict(error))),
        "warnings": json_text([asdict(warning) for warning in execution.warnings]),
        "warnings_truncated": int(execution.warnings_truncated),
        "engine_sql": stored.engine_sql,
        "engine_name": stored.engine_name,
        "statement_kind": stored.statement_kind,
        "json_columns": json_text(sorted(stored.json_columns)),
        "planned_columns": columns_text(stored.planned_columns),
        "plan_inputs": optional(stored.plan_inputs, lambda inputs: json_text(asdict(inputs))),
        "plan_valid_until": optional(stored.plan_valid_until, microseconds),
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
        "freshness": optional(execution.freshness, lambda freshness: json_text(asdict(freshness))),
        "trace_parent": stored.trace_parent,
        "reused_from": execution.reused_from,
        "reuse_key": stored.reuse_key,
        "data_version": stored.data_version,
        "kept_until": optional(stored.kept_until, microseconds),
    }


def execution_of(row: Mapping[str, Any]) -> StoredExecution:
    """The execution of a record."""
    execution = QueryExecution(
        query_id=row["query_id"],
        tenant=row["tenant"],
        key_id=row["key_id"],
        query=row["query"],
        retention_minutes=row["retention_minutes"],
        status=QueryStatus(row["status"]),
        submitted_at=moment_of(row["submitted_at"]),
        started_at=optional(row["started_at"], moment_of),
        ended_at=optional(row["ended_at"], moment_of),
        expires_at=optional(row["expires_at"], moment_of),
        columns=optional(row["columns"], _columns),
        statistics=Statistics(**orjson.loads(row["statistics"])),
        error=optional(row["error"], _failure),
        warnings=tuple(QueryWarning(**warning) for warning in orjson.loads(row["warnings"])),
        warnings_truncated=bool(row["warnings_truncated"]),
        is_expunged=bool(row["is_expunged"]),
        freshness=optional(row["freshness"], _freshness),
        reused_from=row["reused_from"],
    )
    return StoredExecution(
        execution=execution,
        engine_sql=row["engine_sql"],
        engine_name=row["engine_name"],
        statement_kind=row["statement_kind"],
        json_columns=frozenset(orjson.loads(row["json_columns"])),
        planned_columns=_columns(row["planned_columns"]),
        plan_inputs=optional(row["plan_inputs"], _plan_inputs),
        plan_valid_until=optional(row["plan_valid_until"], moment_of),
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
        trace_parent=row["trace_parent"],
        reuse_key=row["reuse_key"],
        data_version=row["data_version"],
        kept_until=optional(row["kept_until"], moment_of),
    )


def plan_record(plan: Plan) -> Record:
    """The members that a new plan replaces."""
    return {
        "engine_sql": plan.engine_sql,
        "json_columns": json_text(sorted(plan.json_columns)),
        "planned_columns": columns_text(plan.columns),
        "plan_valid_until": optional(plan.valid_until, microseconds),
        "statistics": json_text(asdict(plan.statistics)),
    }


def progress_record(status: QueryStatus, statistics: Statistics) -> Record:
    """The members that change on the way."""
    return {"status": status.value, "statistics": json_text(asdict(statistics))}


def next_attempt_record(attempt: int) -> Record:
    """The members that change when the attempt of this number is put back to be tried once more."""
    return {
        "attempt": attempt + 1,
        "engine_id": None,
        "is_starting": 0,
        "status": QueryStatus.QUEUED.value,
        "started_at": None,
    }


def spooled_record(stored: StoredExecution, *, rows_total: int, result_bytes: int) -> Record:
    """The members that change when the whole result of `stored` is spooled."""
    statistics = replace(stored.execution.statistics, rows_total=rows_total, result_bytes=result_bytes)
    return {"is_spooled": 1, "statistics": json_text(asdict(statistics))}


def ending_record(ending: Ending, stored: StoredExecution) -> Record:
    """The members that an ending sets, of an execution as it was before: what it wished (to be cancelled, how long its
    result is kept) counts.
    """
    is_cancelled = stored.is_cancel_requested
    expires_at = ending.ended_at + timedelta(minutes=stored.execution.retention_minutes)
    error = None if is_cancelled else ending.error
    reused: Record = {}
    if ending.reused_from is not None and not is_cancelled:
        reused = {"reused_from": ending.reused_from, "engine_id": ending.engine_id}
    return {
        **reused,
        "status": (QueryStatus.CANCELLED if is_cancelled else ending.status).value,
        "ended_at": microseconds(ending.ended_at),
        "expires_at": microseconds(expires_at),
        "statistics": json_text(asdict(ending.statistics)),
        "error": optional(error, lambda error: json_text(asdict(error))),
        "columns": optional(ending.columns, columns_text),
        "warnings": json_text([asdict(warning) for warning in ending.warnings]),
        "warnings_truncated": int(ending.warnings_truncated),
        "result_location": ending.result_location or stored.result_location,
        "is_spooled": int(ending.is_spooled),
        "is_starting": 0,
    }


def is_kept_after(stored: StoredExecution, moment: datetime) -> bool:
    """Whether it has a result whose bytes are needed after this moment."""
    until = stored.bytes_needed_until
    return stored.execution.has_result and until is not None and until > moment


def kept_record(stored: StoredExecution, until: datetime) -> Record:
    """The members that keep its bytes until then at least."""
    return {"kept_until": microseconds(max(until, stored.bytes_needed_until or until))}


def submitted_at_microseconds(execution: QueryExecution) -> int:
    """The submission time as a listing's `before` wants it."""
    return microseconds(execution.submitted_at)


def microseconds(moment: datetime) -> int:
    """A time as records keep it."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The time of a record's number."""
    return _EPOCH + microseconds * _MICROSECOND


def json_text(value: Any) -> str:
    """A nested value as records keep it."""
    return orjson.dumps(value).decode()


def columns_text(columns: Iterable[OutputColumn]) -> str:
    """Columns as records keep them."""
    return json_text([asdict(column) for column in columns])


def optional(value: Any, convert: Callable[[Any], Any]) -> Any:
    """`convert(value)`, or None for None."""
    return None if value is None else convert(value)


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
        members.get("database"),  # a record of an earlier release has none
    )


def _freshness(text: str) -> QueryFreshness:
    members = orjson.loads(text)
    complete_until = optional(members.pop("complete_until"), datetime.fromisoformat)
    return QueryFreshness(complete_until, **members)


def _failure(text: str) -> QueryFailure:
    members = orjson.loads(text)
    return QueryFailure(**{**members, "blame": Blame(members["blame"]), "suggestions": tuple(members["suggestions"])})
