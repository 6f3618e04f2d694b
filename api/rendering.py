"""Values of the service as the contract's JSON: snake_case, times in ISO-8601 UTC with milliseconds, unknown
members absent.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.responses import Response

from api.problems import failure_document, problem_document
from service.budgets import UsageReport
from service.model import (
    ColumnDescription,
    DryRun,
    ExecutionListing,
    OutputColumn,
    PartitionDescription,
    PartitionListing,
    QueryExecution,
    QueryExplanation,
    QueryWarning,
    Statistics,
    TableDescription,
)

JSON_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
STATISTICS = tuple(field.name for field in dataclasses.fields(Statistics))


def json_response(document: Any, status: int = 200) -> Response:
    """`document` as an answer."""
    return ready_json(orjson.dumps(document), status)


def ready_json(content: bytes, status: int = 200) -> Response:
    """Bytes that are JSON already, sent as they are."""
    return Response(content, status_code=status, headers=JSON_HEADERS)


def timestamp(moment: datetime) -> str:
    """`2026-11-22T10:00:00.031Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def columns_document(columns: tuple[OutputColumn, ...]) -> list[dict[str, str]]:
    """Name and type of each column."""
    return [{"name": column.name, "type": column.type} for column in columns]


def warning_document(warning: QueryWarning) -> dict[str, Any]:
    """One thing a query had to leave out."""
    document: dict[str, Any] = {"code": warning.code, "detail": warning.detail}
    if warning.object is not None:
        document["object"] = warning.object
    if warning.line is not None:
        document["line"] = warning.line
    return document


def execution_document(execution: QueryExecution) -> dict[str, Any]:
    """The contract's QueryExecution."""
    statistics = execution.statistics
    document: dict[str, Any] = {
        "query_id": execution.query_id,
        "status": execution.status.value,
        "is_terminal": execution.is_terminal,
        "has_result": execution.has_result,
        "query": execution.query,
        "retention_minutes": execution.retention_minutes,
        "submitted_at": timestamp(execution.submitted_at),
    }
    if execution.started_at is not None:
        document["started_at"] = timestamp(execution.started_at)
    if execution.ended_at is not None:
        document["ended_at"] = timestamp(execution.ended_at)
    if execution.expires_at is not None:
        document["expires_at"] = timestamp(execution.expires_at)
    if execution.reused_from is not None:
        document["reused_from"] = execution.reused_from
    if execution.queue_position is not None:
        document["queue_position"] = execution.queue_position
    if execution.columns is not None:
        document["columns"] = columns_document(execution.columns)
    document["statistics"] = {name: value for name in STATISTICS if (value := getattr(statistics, name)) is not None}
    if execution.freshness is not None:
        freshness = dataclasses.asdict(execution.freshness)
        complete_until = execution.freshness.complete_until
        freshness["complete_until"] = None if complete_until is None else timestamp(complete_until)
        document["freshness"] = _without_none(freshness)
    if execution.warnings:
        document["warnings"] = [warning_document(warning) for warning in execution.warnings]
        document["warnings_truncated"] = execution.warnings_truncated
    if execution.error is not None:
        document["error"] = failure_document(execution.error)
    return document


def listing_document(listing: ExecutionListing) -> dict[str, Any]:
    """The contract's QueryListing."""
    document: dict[str, Any] = {"queries": [execution_document(execution) for execution in listing.executions]}
    if listing.paging_token is not None:
        document["paging_token"] = listing.paging_token
    return document


def dry_run_document(dry_run: DryRun, *, instance: str, request_id: str) -> dict[str, Any]:
    """The contract's DryRun."""
    document: dict[str, Any] = {"is_valid": dry_run.is_valid}
    if dry_run.statement_kind is not None:
        document["statement_kind"] = dry_run.statement_kind
    document |= {
        "columns": columns_document(dry_run.columns),
        "tables": [_without_none(dataclasses.asdict(table)) for table in dry_run.tables],
        "partition_count": dry_run.partition_count,
        "object_count": dry_run.object_count,
        "estimated_bytes": dry_run.estimated_bytes,
        "estimated_cost_usd": dry_run.estimated_cost_usd,
        "problems": [
            problem_document(problem, instance=instance, request_id=request_id) for problem in dry_run.problems
        ],
    }
    if dry_run.warnings:
        document["warnings"] = [warning_document(warning) for warning in dry_run.warnings]
    return document


def table_document(table: TableDescription) -> dict[str, Any]:
    """The contract's Table."""
    freshness: dict[str, Any] = {
        "partition_count": table.partition_count,
        "object_count": table.object_count,
        "size_bytes": table.size_bytes,
        "first_partition": table.first_partition,
        "last_partition": table.last_partition,
        "missing_partition_count_24_hours": table.missing_partition_count_24_hours,
        "missing_partitions": table.missing_partitions,
        "late_bytes": table.late_bytes,
        "bad_timestamp_object_count": table.bad_timestamp_object_count,
    }
    for name in ("newest_createdtimestamp", "last_arrival_at", "complete_until"):
        moment = getattr(table, name)
        freshness[name] = None if moment is None else timestamp(moment)
    return {
        "name": table.name,
        "database": table.database,
        "description": table.description,
        "location": table.location,
        "columns": [column_document(column) for column in table.columns],
        "partition_keys": list(table.partition_keys),
        "freshness": _without_none(freshness),
        "offsets": dataclasses.asdict(table.offsets),
    }


def column_document(column: ColumnDescription) -> dict[str, Any]:
    """One row of the data dictionary."""
    document = dataclasses.asdict(column)
    if not column.raised_from:
        del document["raised_from"]
    return document


def explanation_document(explanation: QueryExplanation) -> dict[str, Any]:
    """The contract's QueryExplanation."""
    return _without_none(
        {
            "query_id": explanation.query_id,
            "status": explanation.status.value,
            "rows_total": explanation.rows_total,
            "tables": [_without_none(dataclasses.asdict(table)) for table in explanation.tables],
        }
    )


def partition_listing_document(listing: PartitionListing) -> dict[str, Any]:
    """The contract's PartitionListing."""
    document: dict[str, Any] = {
        "table": listing.table,
        "partitions": [partition_document(partition) for partition in listing.partitions],
    }
    if listing.paging_token is not None:
        document["paging_token"] = listing.paging_token
    return document


def partition_document(partition: PartitionDescription) -> dict[str, Any]:
    """The contract's Partition."""
    members = dataclasses.asdict(partition)
    return _without_none(
        {name: timestamp(value) if isinstance(value, datetime) else value for name, value in members.items()}
    )


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def usage_document(report: UsageReport) -> dict[str, Any]:
    """GET /usage. `to` is the day after the last one, as in every range of the contract."""
    lines = []
    for line in report.lines:
        document: dict[str, Any] = {
            "day": None if line.day is None else line.day.isoformat(),
            "tenant": line.tenant,
            "key_id": line.key_id,
            "query_count": line.query_count,
            "scanned_bytes": line.scanned_bytes,
            "reserved_bytes": line.reserved_bytes,
            "estimated_cost_usd": line.estimated_cost_usd,
        }
        lines.append({name: value for name, value in document.items() if value is not None})
    document = {
        "from": report.first.isoformat(),
        "to": (report.last + timedelta(days=1)).isoformat(),
        "by": report.grouping.value,
        "usage": lines,
    }
    if report.budget is not None:
        document["budget"] = {
            "limit_bytes": report.budget.limit_bytes,
            "used_bytes": report.budget.used_bytes,
            "remaining_bytes": max(0, report.budget.limit_bytes - report.budget.used_bytes),
            "resets_at": timestamp(report.budget.resets_at),
        }
    return document
