"""Submit, status, next page, cancel, history, validate."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from api.operation import Call
from api.problems import ServiceStopping, raise_if_user_at_fault
from api.rendering import (
    dry_run_document,
    execution_document,
    explanation_document,
    json_response,
    listing_document,
    ready_json,
)
from api.times import milliseconds
from service.errors import ServiceError
from service.model import QueryExecution, QueryRequest, QueryStatus, ReuseWish


async def submit(call: Call, *, idempotency_key: str | None, body: dict[str, Any]) -> Response:
    """POST /query: accepts a query; with `wait_seconds` the answer may be its end already."""
    request = _request(body, idempotency_key, call.database)
    audit = call.application.audit
    try:
        execution = await call.service.submit(request, call.caller)
    except ServiceError as error:
        if audit is not None:
            audit.query_refused(request, call.caller, call.origin, error.code)
        raise
    call.exchange.query_id = execution.query_id
    if audit is not None:
        audit.query_allowed(request, call.caller, call.origin, execution)
    execution = await _awaited(call, execution, int(body["wait_seconds"]))
    raise_if_user_at_fault(execution)
    return json_response(execution_document(execution))


async def status(call: Call, *, query_id: str, wait_seconds: int) -> Response:
    """GET /status/{query_id}: how it is doing, or, after at most `wait_seconds`, how it ended."""
    call.exchange.query_id = query_id
    execution = await call.service.status(query_id, call.caller)
    execution = await _awaited(call, execution, wait_seconds)
    raise_if_user_at_fault(execution)
    return json_response(execution_document(execution))


async def next_page(call: Call, *, body: dict[str, Any]) -> Response:
    """POST /next: one page. Its bytes are ready in the spool and are sent as they are."""
    query_id = call.exchange.query_id = body["query_id"]
    page = await call.service.next_page(
        query_id,
        call.caller,
        paging_token=body.get("paging_token"),
        results_per_page=int(body["results_per_page"]),
    )
    if call.application.audit is not None and "paging_token" not in body:
        call.application.audit.result_read(query_id, call.caller, call.origin, how="pages")
    return ready_json(page.body)


async def cancel(call: Call, *, query_id: str) -> Response:
    """DELETE /query/{query_id}: answers once the query is over."""
    call.exchange.query_id = query_id
    return json_response(execution_document(await call.service.cancel(query_id, call.caller)))


async def explain_empty(call: Call, *, query_id: str) -> Response:
    """GET /queries/{query_id}/explain-empty."""
    call.exchange.query_id = query_id
    return json_response(explanation_document(await call.service.explain_empty(query_id, call.caller)))


async def history(call: Call, *, status: str | None, limit: int, paging_token: str | None) -> Response:
    """GET /queries: this tenant's queries, newest first."""
    wanted = None if status is None else QueryStatus("CANCELLED" if status == "CANCELED" else status)
    listing = await call.service.list_executions(call.caller, status=wanted, limit=limit, paging_token=paging_token)
    return json_response(listing_document(listing))


async def validate(call: Call, *, body: dict[str, Any]) -> Response:
    """POST /validate: what the query would read and cost; nothing runs."""
    dry_run = await call.service.validate(_request(body, None, call.database), call.caller)
    instance, request_id = call.exchange.path, call.exchange.request_id
    return json_response(dry_run_document(dry_run, instance=instance, request_id=request_id))


def _request(body: dict[str, Any], idempotency_key: str | None, database: str | None) -> QueryRequest:
    maximum = body.get("max_bytes_scanned")
    return QueryRequest(
        query=body["query"],
        retention_minutes=int(body["retention_minutes"]),
        parameters=tuple(body.get("parameters", ())),
        from_ms=milliseconds(body.get("from"), "from"),
        to_ms=milliseconds(body.get("to"), "to"),
        max_bytes_scanned=None if maximum is None else int(maximum),
        idempotency_key=idempotency_key,
        strict=body["strict"],
        reuse=_reuse(body.get("reuse", True)),
        database=database,
    )


def _reuse(wish: bool | dict[str, Any]) -> ReuseWish:
    """The contract's `reuse`: a truth value, or the age that is accepted; an age of 0 accepts nothing."""
    if isinstance(wish, bool):
        return ReuseWish(is_allowed=wish)
    maximum = int(wish["max_age_minutes"])
    return ReuseWish(max_age_minutes=maximum) if maximum else ReuseWish(is_allowed=False)


async def _awaited(call: Call, execution: QueryExecution, wait_seconds: int) -> QueryExecution:
    """`execution`, or how it ended within `wait_seconds`. A server that stops answers with what is known now."""
    if wait_seconds == 0 or execution.is_terminal:
        return execution
    try:
        return await call.wait(call.service.status(execution.query_id, call.caller, wait_seconds=wait_seconds))
    except ServiceStopping:
        return execution
