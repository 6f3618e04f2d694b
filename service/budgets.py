"""Budgets: how many bytes, or how much money, a tenant may use on a day, and what it has used.

    submit     the estimate is reserved before anything is stored; over the budget the query is refused
    the end    what was scanned takes the place of the estimate
    upkeep     what a crash left reserved is settled by what the execution store knows, or withdrawn

Money is bytes at Athena's list price, so a budget is one number of bytes, the smaller of the two. A query that alone is
over its tenant's budget is ScanLimitExceeded (narrow it), one that comes when the day's is used up BudgetExceeded (wait
for tomorrow, UTC). Without a budget usage is counted all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from service.errors import BudgetExceeded, InvalidRequest, ScanLimitExceeded, ServiceError
from service.executions import StoredExecution
from service.model import PRICE_USD_PER_TERABYTE, TERABYTE_BYTES, Caller, QueryExecution, estimated_cost_usd
from service.usage import NO_KEY, Charge, UsageStore

MAXIMUM_DAYS = 400
DEFAULT_DAYS = 7
REMEMBERED_FOR = timedelta(days=MAXIMUM_DAYS)
LOOKED_BACK = timedelta(days=3)
_DAY = timedelta(days=1)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """What a tenant may use on a day; None is no limit."""

    daily_bytes: int | None = None
    daily_cost_usd: float | None = None

    @property
    def limit_bytes(self) -> int | None:
        """The budget in bytes."""
        limits = [] if self.daily_bytes is None else [self.daily_bytes]
        if self.daily_cost_usd is not None:
            limits.append(int(self.daily_cost_usd / PRICE_USD_PER_TERABYTE * TERABYTE_BYTES))
        return min(limits, default=None)


@dataclass(frozen=True)
class BudgetPlan:
    """The budget of every tenant, and those of tenants that have their own."""

    default: Budget = Budget()
    tenants: Mapping[str, Budget] = field(default_factory=dict)

    def limit_bytes(self, tenant: str) -> int | None:
        """What this tenant may use on a day, in bytes."""
        return self.tenants.get(tenant, self.default).limit_bytes


class Grouping(StrEnum):
    """What a usage report has a line for."""

    DAY = "day"
    TENANT = "tenant"
    KEY = "key"


@dataclass(frozen=True)
class UsageLine:
    """What was used by queries that ended; members that the grouping does not tell are None. `reserved_bytes` are
    estimates of queries on their way.
    """

    query_count: int
    scanned_bytes: int
    reserved_bytes: int | None = None
    day: date | None = None
    tenant: str | None = None
    key_id: str | None = None

    @property
    def estimated_cost_usd(self) -> float:
        """Athena's list price of what was scanned."""
        return estimated_cost_usd(self.scanned_bytes)


@dataclass(frozen=True)
class BudgetState:
    """How a tenant's budget stands today."""

    limit_bytes: int
    used_bytes: int
    resets_at: datetime


@dataclass(frozen=True)
class UsageReport:
    """What was used from `first` to `last`, both included. `budget` is the caller's own, None where it has none."""

    first: date
    last: date
    grouping: Grouping
    lines: tuple[UsageLine, ...]
    budget: BudgetState | None


class Budgets:
    """See the module."""

    def __init__(self, store: UsageStore, plan: BudgetPlan, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._plan = plan
        self._clock = clock
        self._unknown_before: set[str] = set()

    def reserve(self, execution: QueryExecution, estimated_bytes: int, *, reads_tables: bool) -> None:
        """Counts the estimate of a query about to be stored. Raises BudgetExceeded, ScanLimitExceeded."""
        limit_bytes = self._plan.limit_bytes(execution.tenant)
        needed_bytes = _needed_bytes(estimated_bytes, reads_tables=reads_tables)
        _check_alone(limit_bytes, needed_bytes)
        charge = _charge(execution, estimated_bytes)
        reservation = self._store.reserve(charge, limit_bytes=limit_bytes, needed_bytes=needed_bytes)
        if not reservation.is_accepted and limit_bytes is not None:
            raise self._exceeded(limit_bytes, reservation.used_bytes, estimated_bytes)

    def check(self, tenant: str, estimated_bytes: int, *, reads_tables: bool) -> None:
        """Raises what `reserve` would raise now; counts nothing."""
        limit_bytes = self._plan.limit_bytes(tenant)
        needed_bytes = _needed_bytes(estimated_bytes, reads_tables=reads_tables)
        _check_alone(limit_bytes, needed_bytes)
        if limit_bytes is not None:
            used_bytes = self._store.used_bytes(tenant, self._today())
            if used_bytes + needed_bytes > limit_bytes:
                raise self._exceeded(limit_bytes, used_bytes, estimated_bytes)

    def withdraw(self, execution: QueryExecution) -> None:
        """Takes the estimate of a query back that was not stored after all."""
        self._store.withdraw(_charge(execution, 0))

    def settle(self, stored: StoredExecution) -> None:
        """Puts what an ended query has scanned in the place of its estimate; what is settled already stays.

        Never raises: what the store cannot take now, `settle_forgotten` finds again.
        """
        try:
            execution = stored.execution
            charge = _charge(execution, 0)
            scanned_bytes = execution.statistics.data_scanned_bytes
            if scanned_bytes is None and stored.engine_id is not None:
                scanned_bytes = self._estimate_of(charge)  # it ran, and nobody knows how far
            self._store.settle(charge, execution.key_id or NO_KEY, scanned_bytes or 0)
        except ServiceError as error:
            _LOG.warning("what query %s has scanned could not be counted yet: %s", stored.query_id, error)
        except Exception:
            _LOG.exception("what query %s has scanned could not be counted yet", stored.query_id)

    def settle_forgotten(self, look_up: Callable[[str], StoredExecution | None]) -> int:
        """Ends charges that a crash left open; how many. Those of queries on their way stay, and one whose query is not
        stored has until the next call: it may be about to be.
        """
        today = self._today()
        unknown: set[str] = set()
        ended = 0
        for charge in self._store.open_charges(today - LOOKED_BACK, today):
            stored = look_up(charge.query_id)
            if stored is None:
                if charge.query_id in self._unknown_before:
                    self._store.withdraw(charge)
                    ended += 1
                else:
                    unknown.add(charge.query_id)
            elif stored.execution.is_terminal:
                self.settle(stored)
                ended += 1
        self._unknown_before = unknown
        self._store.forget(today - REMEMBERED_FOR)
        return ended

    def report(self, caller: Caller, first: date | None, last: date | None, grouping: Grouping) -> UsageReport:
        """What the caller's tenant used; for a caller who sees all customers what every tenant did.

        Both days are included; without them the last seven. Raises InvalidRequest for days out of order, or too many.
        """
        today = self._today()
        last = today if last is None else last
        first = min(today, last) - (DEFAULT_DAYS - 1) * _DAY if first is None else first
        if first > last:
            raise InvalidRequest("from must not be after to", field="from")
        if (last - first).days >= MAXIMUM_DAYS:
            raise InvalidRequest(f"from and to may be {MAXIMUM_DAYS} days apart at most", field="from")
        tenant = None if caller.customers is None else caller.tenant
        is_by_key = grouping is Grouping.KEY
        lines = self._by_key(first, last, tenant) if is_by_key else self._by(grouping, first, last, tenant)
        return UsageReport(first, last, grouping, tuple(lines), self._state(caller.tenant))

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def _by(self, grouping: Grouping, first: date, last: date, tenant: str | None) -> Sequence[UsageLine]:
        lines: dict[object, UsageLine] = {}
        for used in self._store.by_day(first, last, tenant):
            is_by_day = grouping is Grouping.DAY
            group = used.day if is_by_day else used.tenant
            before = lines.get(group, UsageLine(0, 0, 0))
            lines[group] = UsageLine(
                before.query_count + used.query_count,
                before.scanned_bytes + used.scanned_bytes,
                (before.reserved_bytes or 0) + max(0, used.used_bytes - used.scanned_bytes),
                day=used.day if is_by_day else None,
                tenant=None if is_by_day else used.tenant,
            )
        return sorted(lines.values(), key=lambda line: (str(line.day), str(line.tenant)))

    def _by_key(self, first: date, last: date, tenant: str | None) -> Sequence[UsageLine]:
        lines: dict[tuple[str, str], UsageLine] = {}
        for used in self._store.by_key(first, last, tenant):
            group = (used.tenant, used.key_id)
            before = lines.get(group, UsageLine(0, 0))
            lines[group] = UsageLine(
                before.query_count + used.query_count,
                before.scanned_bytes + used.scanned_bytes,
                tenant=used.tenant,
                key_id=used.key_id or None,
            )
        return [lines[group] for group in sorted(lines)]

    def _state(self, tenant: str) -> BudgetState | None:
        limit_bytes = self._plan.limit_bytes(tenant)
        if limit_bytes is None:
            return None
        return BudgetState(limit_bytes, self._store.used_bytes(tenant, self._today()), self._midnight())

    def _estimate_of(self, charge: Charge) -> int:
        found = self._store.open_charges(charge.day, charge.day)
        return next((known.estimated_bytes for known in found if known.query_id == charge.query_id), 0)

    def _exceeded(self, limit_bytes: int, used_bytes: int, estimated_bytes: int) -> BudgetExceeded:
        resets_at = self._midnight()
        return BudgetExceeded(
            f"the budget of the day is {limit_bytes} bytes, {used_bytes} are used or reserved, and the query would scan"
            f" about {estimated_bytes}; it begins anew at {resets_at.isoformat().replace('+00:00', 'Z')}",
            limit_bytes=limit_bytes,
            used_bytes=used_bytes,
            estimated_bytes=estimated_bytes,
            retry_after_seconds=(resets_at - self._clock()).total_seconds(),
        )

    def _today(self) -> date:
        return self._clock().astimezone(UTC).date()

    def _midnight(self) -> datetime:
        tomorrow = self._today() + _DAY
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)


def _charge(execution: QueryExecution, estimated_bytes: int) -> Charge:
    day = execution.submitted_at.astimezone(UTC).date()
    return Charge(execution.query_id, execution.tenant, day, estimated_bytes)


def _needed_bytes(estimated_bytes: int, *, reads_tables: bool) -> int:
    """What has to be left for the query to run. An estimate of nothing may be wrong: a table needs something left."""
    return max(estimated_bytes, 1) if reads_tables else 0


def _check_alone(limit_bytes: int | None, needed_bytes: int) -> None:
    if limit_bytes is not None and needed_bytes > limit_bytes:
        raise ScanLimitExceeded(
            f"the query would scan about {needed_bytes} bytes, more than its tenant may in a whole day ({limit_bytes});"
            " narrow the time range (from, to, createdtimestamp)",
            limit_bytes=limit_bytes,
            estimated_bytes=needed_bytes,
        )
