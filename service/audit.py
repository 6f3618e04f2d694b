"""The audit trail: who asked what, from where, what was decided, what it read. Events of service `data-hist`.

    query_submitted   decision (allowed, refused), code, query, query_id, tenant, key_id, client, request_id
    query_ended       status, code, scanned_bytes, estimated_cost_usd, rows_total, duration_ms, query_id, tenant, key_id
    result_read       how (pages, download, link), format, query_id, tenant, key_id, client, request_id
    access_refused    code, status, route, client, request_id, key_id           somebody without the right to call

An event wears the customer whom it concerns: that of a caller for one customer; the operator (customer 1) for
everything else, callers for several customers among them, since a row has one customer and the other ones' callers
must not read it. So `SELECT` on events shows a customer its own, and the operator everything. The SQL is as it was
asked, cut after MAXIMUM_QUERY_CHARACTERS; values of parameters are counted, not told.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Protocol

from glue.envelope import OPERATOR_CUSTOMER
from service.executions import StoredExecution
from service.model import Caller, QueryExecution, QueryRequest, estimated_cost_usd

MAXIMUM_QUERY_CHARACTERS = 8_192
_REMEMBERED_ENDINGS = 4_096
_FRESH = timedelta(minutes=1)


class EventRecorder(Protocol):
    """Takes events (service.events.RequestEvents)."""

    def record(self, event_type: str, payload: Mapping[str, Any], *, customer: int = ...) -> None:
        """Takes an event that happens now; never blocks, never raises."""
        ...


@dataclass(frozen=True)
class CallOrigin:
    """Where a call came from: the client's address as far as it is known, and the request's id."""

    request_id: str
    client: str | None = None


def concerned_customer(customers: Collection[int] | None) -> int:
    """The customer that an event about a caller for these customers wears; see the module."""
    if customers is None or len(customers) != 1:
        return OPERATOR_CUSTOMER
    (customer,) = customers
    return customer


class AuditTrail:
    """See the module. Safe from many threads."""

    def __init__(self, recorder: EventRecorder, *, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._clock = clock
        self._lock = Lock()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def query_allowed(
        self, request: QueryRequest, caller: Caller, origin: CallOrigin, execution: QueryExecution
    ) -> None:
        """A query was accepted."""
        self._submitted(request, caller, origin, {"decision": "allowed", "query_id": execution.query_id})

    def query_refused(self, request: QueryRequest, caller: Caller, origin: CallOrigin, code: str) -> None:
        """A query was refused with this problem."""
        self._submitted(request, caller, origin, {"decision": "refused", "code": code})

    def query_ended(self, stored: StoredExecution) -> None:
        """A query has ended; told once for each, whoever says it how often."""
        execution = stored.execution
        if (
            execution.ended_at is None
            or self._clock() - execution.ended_at > _FRESH
            or not self._is_new(stored.query_id)
        ):
            return
        statistics = execution.statistics
        scanned_bytes = statistics.data_scanned_bytes
        customers = None if stored.plan_inputs is None else stored.plan_inputs.customers
        self._record(
            "query_ended",
            customers,
            {
                "query_id": stored.query_id,
                "status": execution.status.value,
                "code": None if execution.error is None else execution.error.code,
                "scanned_bytes": scanned_bytes,
                "estimated_cost_usd": None if scanned_bytes is None else estimated_cost_usd(scanned_bytes),
                "rows_total": statistics.rows_total,
                "duration_ms": round((execution.ended_at - execution.submitted_at).total_seconds() * 1000),
                "tenant": execution.tenant,
                "key_id": execution.key_id,
            },
        )

    def result_read(
        self, query_id: str, caller: Caller, origin: CallOrigin, *, how: str, file_format: str | None = None
    ) -> None:
        """A result is being read: its first page, or a download."""
        told = {"query_id": query_id, "how": how, "format": file_format}
        self._record("result_read", caller.customers, {**told, **_who(caller, origin)})

    def access_refused(
        self, origin: CallOrigin, *, code: str | None, status: int, route: str, key_id: str | None
    ) -> None:
        """Somebody had no right to call. The operator's business: whose customer it would be is not known, or no
        matter.
        """
        told = {"code": code, "status": status, "route": route, "key_id": key_id}
        self._record("access_refused", None, {**told, "client": origin.client, "request_id": origin.request_id})

    def _submitted(
        self, request: QueryRequest, caller: Caller, origin: CallOrigin, decision: Mapping[str, Any]
    ) -> None:
        query = request.query
        is_cut = len(query) > MAXIMUM_QUERY_CHARACTERS
        told = {
            "query": query[:MAXIMUM_QUERY_CHARACTERS],
            "query_sha256": hashlib.sha256(query.encode("utf-8", "replace")).hexdigest() if is_cut else None,
            "parameter_count": len(request.parameters) or None,
            "from_ms": request.from_ms,
            "to_ms": request.to_ms,
        }
        self._record("query_submitted", caller.customers, {**decision, **told, **_who(caller, origin)})

    def _record(self, event_type: str, customers: Collection[int] | None, payload: Mapping[str, Any]) -> None:
        known = {name: value for name, value in payload.items() if value is not None}
        self._recorder.record(event_type, known, customer=concerned_customer(customers))

    def _is_new(self, query_id: str) -> bool:
        with self._lock:
            if query_id in self._ended:
                return False
            self._ended[query_id] = None
            if len(self._ended) > _REMEMBERED_ENDINGS:
                self._ended.popitem(last=False)
            return True


def _who(caller: Caller, origin: CallOrigin) -> dict[str, Any]:
    return {
        "tenant": caller.tenant,
        "key_id": caller.key_id,
        "client": origin.client,
        "request_id": origin.request_id,
    }
