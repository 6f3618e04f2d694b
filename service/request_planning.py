"""What is decided about a query before it runs: its plan, what it would read, whether it may; and why it has no rows.

request -> planner of its database -> the ledger's estimate -> limits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from opentelemetry.trace import Tracer

from glue.partition_range import PartitionRange
from glue.table_spec import TableSpec
from service.budgets import Budgets
from service.databases import ServedDatabase
from service.errors import BudgetExceeded, InvalidRequest, ScanLimitExceeded, ServiceError
from service.estimates import Ledger, scan_estimates
from service.executions import Plan, PlanInputs, StoredExecution
from service.model import (
    MAXIMUM_RETENTION_MINUTES,
    Caller,
    DryRun,
    EmptyReason,
    QueryExplanation,
    QueryRequest,
    Statistics,
    TableExplanation,
    TableScanEstimate,
    estimated_cost_usd,
)
from service.sql.plan import PlannedStatement, TimeRange

_FIRST_CREDIBLE = datetime(1970, 1, 2, tzinfo=UTC)
# An explanation lists the lake for a range up to this; a longer one is explained from the ledger alone.
_LONGEST_LISTING = timedelta(days=2)


class RangeExplainer(Protocol):
    """Tells why a range of a table may have no rows (glue.explain.explain_range with its clients)."""

    def __call__(
        self, spec: TableSpec, start: datetime, end: datetime, *, looks_at_lake: bool
    ) -> Sequence[tuple[str, str]]:
        """(code, sentence) of each reason, the likeliest first."""
        ...


class RequestPlanner:
    """Plans for all served databases; `specs` by reference."""

    def __init__(
        self,
        databases: Mapping[str | None, ServedDatabase],
        specs: Mapping[str, TableSpec],
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        tracer: Tracer,
        explain: RangeExplainer | None,
        budgets: Budgets | None,
    ) -> None:
        self._databases = databases
        self._specs = specs
        self._ledger = ledger
        self._clock = clock
        self._tracer = tracer
        self._explain = explain
        self._budgets = budgets

    def planned(self, request: QueryRequest, caller: Caller) -> tuple[PlannedStatement, tuple[TableScanEstimate, ...]]:
        """The plan, and what each table would read. Raises StatementError and its kin, ScanLimitExceeded."""
        with self._tracer.start_as_current_span("plan") as span:
            planned = self._plan(request.query, caller, request)
            estimates = scan_estimates(self._ledger, planned.tables)
            estimated_bytes = sum(estimate.size_bytes for estimate in estimates)
            span.set_attribute("data_hist.estimated_bytes", estimated_bytes)
            _check_scan_limit(request, caller, estimated_bytes)
        return planned, estimates

    def _plan(self, sql: str, caller: Caller, asked: QueryRequest | PlanInputs) -> PlannedStatement:
        time_range = TimeRange(asked.from_ms, asked.to_ms)
        planner = self._databases[asked.database].planner
        return planner.plan(sql, caller, time_range=time_range, parameters=asked.parameters)

    def _plan_anew(self, stored: StoredExecution) -> PlannedStatement:
        """The statement of an execution, planned as it is now for who asked then."""
        return self._plan(stored.execution.query, stored.asked_as("query"), stored.inputs)

    def plan_again(self, stored: StoredExecution) -> Plan:
        """The plan as it is now, for a query that waited longer than its first plan is valid."""
        planned = self._plan_anew(stored)
        estimates = scan_estimates(self._ledger, planned.tables)
        return Plan(
            planned.sql,
            frozenset(planned.json_columns),
            tuple(planned.columns),
            planned.valid_until,
            planned_statistics(estimates),
        )

    def dry_run(self, request: QueryRequest, caller: Caller) -> DryRun:
        """What submit would do; faults of the request are its `problems`."""
        problems: list[ServiceError] = []
        try:
            check_request(request)
        except InvalidRequest as problem:
            if problem.field == "query":
                return DryRun(is_valid=False, problems=(problem,))
            problems.append(problem)
        try:
            planned = self._plan(request.query, caller, request)
        except ServiceError as problem:
            return DryRun(is_valid=False, problems=(*problems, problem))
        estimates = scan_estimates(self._ledger, planned.tables)
        estimated_bytes = sum(estimate.size_bytes for estimate in estimates)
        try:
            _check_scan_limit(request, caller, estimated_bytes)
        except ScanLimitExceeded as problem:
            problems.append(problem)
        if self._budgets is not None and not problems:
            try:
                self._budgets.check(caller.tenant, estimated_bytes, reads_tables=bool(estimates))
            except (BudgetExceeded, ScanLimitExceeded) as problem:
                problems.append(problem)
        return DryRun(
            is_valid=not problems,
            statement_kind=str(planned.kind),
            columns=tuple(planned.columns),
            tables=estimates,
            partition_count=sum(estimate.partition_count for estimate in estimates),
            object_count=sum(estimate.object_count for estimate in estimates),
            estimated_bytes=estimated_bytes,
            estimated_cost_usd=estimated_cost_usd(estimated_bytes),
            problems=tuple(problems),
        )

    def explain_empty(self, stored: StoredExecution) -> QueryExplanation:
        """Why a query has no rows, table by table."""
        execution = stored.execution
        rows_total = execution.statistics.rows_total
        if rows_total:
            return QueryExplanation(stored.query_id, execution.status, rows_total, ())
        planned = self._plan_anew(stored)
        tables = tuple(
            self._explained(self._specs[scan.name], scan.partition_range, stored.inputs.customers)
            for scan in planned.tables
            if scan.name in self._specs
        )
        return QueryExplanation(stored.query_id, execution.status, rows_total, tables)

    def _explained(
        self, spec: TableSpec, time_range: PartitionRange | None, customers: tuple[int, ...] | None
    ) -> TableExplanation:
        first = None if time_range is None else time_range.first
        last = None if time_range is None else time_range.last
        reasons: list[EmptyReason] = []
        if time_range is not None and time_range.is_empty:
            reasons.append(EmptyReason("range_empty", "the conditions on time exclude one another"))
        elif self._explain is not None:
            start = _FIRST_CREDIBLE if first is None else first.start()
            end = max(self._clock(), start + timedelta(minutes=1)) if last is None else last.end()
            is_short = end - start <= _LONGEST_LISTING
            found = self._explain(spec, start, end, looks_at_lake=is_short)
            reasons += [EmptyReason(code, detail) for code, detail in found]
        if customers is not None:
            shown = ", ".join(map(str, customers[:10])) + (", ..." if len(customers) > 10 else "")
            reasons.append(
                EmptyReason("tenant", f"this key sees rows of {spec.tenant_column} {shown or 'nobody'} only")
            )
        return TableExplanation(
            spec.reference,
            None if first is None else first.path(),
            None if last is None else last.path(),
            tuple(reasons),
        )


def planned_statistics(estimates: Sequence[TableScanEstimate]) -> Statistics:
    """What is known of a query before it runs."""
    return Statistics(
        partitions_scanned=sum(estimate.partition_count for estimate in estimates),
        partitions_skipped=sum(estimate.partitions_skipped for estimate in estimates),
        objects_scanned=sum(estimate.object_count for estimate in estimates),
        bytes_skipped=sum(estimate.bytes_skipped for estimate in estimates),
    )


def check_request(request: QueryRequest) -> None:
    """Raises InvalidRequest for what no query may have."""
    for name, text in (("query", request.query), ("idempotency_key", request.idempotency_key or "")):
        if not _is_unicode(text):
            raise InvalidRequest(f"{name} holds half a surrogate pair, which is not a character", field=name)
    if not 1 <= request.retention_minutes <= MAXIMUM_RETENTION_MINUTES:
        detail = f"retention_minutes must be from 1 to {MAXIMUM_RETENTION_MINUTES}"
        raise InvalidRequest(detail, field="retention_minutes")
    if request.from_ms is not None and request.to_ms is not None and request.from_ms > request.to_ms:
        raise InvalidRequest("from must not be after to", field="from")
    if request.max_bytes_scanned is not None and request.max_bytes_scanned < 0:
        raise InvalidRequest("max_bytes_scanned must not be negative", field="max_bytes_scanned")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_scan_limit(request: QueryRequest, caller: Caller, estimated_bytes: int) -> None:
    limits = [limit for limit in (request.max_bytes_scanned, caller.maximum_scan_bytes) if limit is not None]
    if limits and estimated_bytes > min(limits):
        raise ScanLimitExceeded(
            f"the query would scan about {estimated_bytes} bytes, and its limit is {min(limits)};"
            " narrow the time range (from, to, createdtimestamp) or raise the limit",
            limit_bytes=min(limits),
            estimated_bytes=estimated_bytes,
        )
