"""The execution store: what the service remembers of each query, across restarts and processes.

    insert -> [claim_start -> record_started]* -> finish -> record_spooled -> mark_expunged -> forget

The store, not the process, is the truth: every step is one conditional write, so two processes (or a process and its
successor) never both win. The first terminal state is final. A step of the process that drives an execution names its
owner and counts only while that owner has it: who was taken for dead and wakes up again changes nothing.

ExecutionStore is the port. service.sqlite_executions and service.dynamodb_executions implement it, and
tests/contract/execution_store.py is what any other has to pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from service.errors import QueryFailure
from service.model import Caller, OutputColumn, QueryExecution, QueryStatus, QueryWarning, Statistics

_FOLLOWS = "query#"
_FOLLOWS_LATER = "later#"


def following(leader_id: str, *, reads_later: bool = False) -> str:
    """The owner of an execution that nobody drives, since it waits for the end of another one, its leader.

    `reads_later`: the engine was asked to run the leader after this execution was submitted.
    """
    return (_FOLLOWS_LATER if reads_later else _FOLLOWS) + leader_id


def leader_of(owner: str | None) -> tuple[str, bool] | None:
    """The leader that an execution of this owner waits for, and whether it reads later; None: it waits for none."""
    for prefix in (_FOLLOWS, _FOLLOWS_LATER):
        if owner is not None and owner.startswith(prefix):
            return owner.removeprefix(prefix), prefix == _FOLLOWS_LATER
    return None


@dataclass(frozen=True)
class PlanInputs:
    """What a statement was planned from, beside its text: kept so that it can be planned again.

    `customers` None is all of them. `parameters` are JSON values, `database` None is the
    default one.
    """

    customers: tuple[int, ...] | None
    parameters: tuple[Any, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    database: str | None = None


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
    is asked to start. `trace_parent` is the place in a trace (W3C) where it was asked.

    `reuse_key` is the same for executions that ask the same of the same rows; `data_version` says which data
    (service.reuse). `kept_until`: other executions need its result so long.
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
    trace_parent: str | None = None
    reuse_key: str | None = None
    data_version: str | None = None
    kept_until: datetime | None = None

    @property
    def query_id(self) -> str:
        """The id of the execution."""
        return self.execution.query_id

    @property
    def inputs(self) -> PlanInputs:
        """What it was planned from; where that is not known, rows of no customer."""
        return self.plan_inputs or PlanInputs(customers=())

    @property
    def sees_all_customers(self) -> bool:
        """Whether it may tell of all customers' rows."""
        return self.inputs.customers is None

    def asked_as(self, *scopes: str) -> Caller:
        """Who asked, with the customers that it saw then and these scopes."""
        customers = self.inputs.customers
        return Caller(
            self.execution.tenant,
            None if customers is None else frozenset(customers),
            frozenset(scopes),
            self.execution.key_id,
        )

    @property
    def engine_token(self) -> str:
        """The engine's request token of this attempt: the same for the same attempt, for ever (32..128 characters)."""
        return f"data-hist-{self.query_id}-{self.attempt}"

    @property
    def bytes_needed_until(self) -> datetime | None:
        """When the bytes of its result may go: when it and all that share them have expired. None: not ended yet."""
        ends = [end for end in (self.execution.expires_at, self.kept_until) if end is not None]
        return max(ends, default=None)


@dataclass(frozen=True)
class Ending:
    """How an execution ends. `reused_from`, `engine_id`: whose result it has, and the engine's id of that one."""

    status: QueryStatus
    ended_at: datetime
    statistics: Statistics = field(default_factory=Statistics)
    error: QueryFailure | None = None
    columns: tuple[OutputColumn, ...] | None = None
    warnings: tuple[QueryWarning, ...] = ()
    warnings_truncated: bool = False
    result_location: str | None = None
    is_spooled: bool = False
    reused_from: str | None = None
    engine_id: str | None = None


@dataclass(frozen=True)
class UnfinishedExecution:
    """What has to be known of an execution to take it up: `owner` None is nobody's."""

    query_id: str
    tenant: str
    owner: str | None
    status: QueryStatus
    submitted_at: datetime


class ExecutionStore(Protocol):
    """See the module. All methods are safe from many threads and processes at once.

    Every method may raise StoreUnavailable; the change it was asked for may have been made all the same.
    """

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
        self, query_id: str, owner: str, engine_id: str, status: QueryStatus, started_at: datetime
    ) -> StoredExecution:
        """Remembers the engine's id; no change to a terminal execution or to one that is not `owner`'s. Returns the
        execution as it then is.
        """
        ...

    def record_progress(self, query_id: str, owner: str, status: QueryStatus, statistics: Statistics) -> None:
        """Remembers a state and statistics on the way; no change to a terminal execution or one not `owner`'s."""
        ...

    def next_attempt(self, query_id: str, owner: str, attempt: int) -> StoredExecution | None:
        """Puts the failed attempt of this number back to QUEUED with a new engine token; None when it is terminal, to
        be cancelled, another's, or another attempt.
        """
        ...

    def request_cancel(self, query_id: str, ended_at: datetime) -> StoredExecution | None:
        """Remembers that the caller wants it cancelled; one that no engine has seen is CANCELLED at once. None: no
        such.
        """
        ...

    def finish(self, query_id: str, owner: str, ending: Ending) -> StoredExecution:
        """Ends the execution unless it has ended or is not `owner`'s; a wish to cancel turns any ending into CANCELLED.
        Returns it as it is: still unfinished when it is another's.
        """
        ...

    def record_spooled(self, query_id: str, rows_total: int, result_bytes: int) -> StoredExecution | None:
        """Remembers that the whole result is spooled, and its size. Returns the execution as it then is; None: no
        such.
        """
        ...

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """Every execution that is not terminal, oldest first. One stored a moment ago may be missing for a moment."""
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
        seen. One stored a moment ago may be missing for a moment.
        """
        ...

    def expired(self, now: datetime, limit: int) -> tuple[StoredExecution, ...]:
        """Executions whose bytes nobody needs any more (`bytes_needed_until`), and have not been reported gone."""
        ...

    def leader(self, reuse_key: str) -> str | None:
        """The query_id that took the lead of this reuse key last, or None. There may be no execution of it (any
        more).
        """
        ...

    def lead(self, reuse_key: str, query_id: str, former: str | None) -> bool:
        """Gives this query_id the lead, in place of `former`; False when that one does not have it (any more)."""
        ...

    def keep_result(self, query_id: str, until: datetime, *, if_needed_after: datetime) -> StoredExecution | None:
        """Sees to it that the bytes of a result are kept until then at least, for another execution that has it too.

        None when it has no result, or one whose bytes are not needed after `if_needed_after` as it is: whoever looks
        for what has expired may have found it.
        """
        ...

    def mark_expunged(self, query_id: str) -> None:
        """Remembers that the bytes of the result are gone."""
        ...

    def forget(self, expired_before: datetime) -> int:
        """Deletes the memory of expunged executions that expired before; how many."""
        ...

    def count_by_status(self) -> Mapping[QueryStatus, int]:
        """How many executions are in each state, all tenants; numbers of terminal ones may be a minute old."""
        ...

    def close(self) -> None:
        """Releases the storage."""
        ...
