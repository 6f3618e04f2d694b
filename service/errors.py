"""What can go wrong in the query use cases, by blame; no HTTP in here (api/problems.py maps each class to a status).

    ServiceError                        code, title, detail, retryable
    + InvalidRequest                    field                                  a value the schema cannot judge
    + StatementError                    line, column, suggestions              the caller's SQL
    |   - InvalidQuerySyntax
    |   - StatementTooLong              size_bytes, limit_bytes
    |   - StatementNotAllowed           rule
    |   - TableNotFound                 name
    |   - ColumnNotFound                name
    |   - ColumnNotAllowed              name
    |   - FunctionNotFound              name
    |   - TypeMismatch
    |   - InvalidParameter              index
    |   - ScanLimitExceeded             limit_bytes, estimated_bytes
    + QueryNotFound                     query_id
    + QueryNotFinished                  query_id, status, retry_after_seconds
    + ResultExpired                     query_id, expired_at
    + QueryFailed                       query_id, failure (blame: user | engine | service)
    + InvalidPagingToken
    + InvalidDownloadLink               query_id
    + IdempotencyConflict               query_id
    + BudgetExceeded                    limit_bytes, used_bytes, estimated_bytes, retry_after_seconds
    + TooManyQueries                    limit, retry_after_seconds
    + EngineUnavailable                 engine, retry_after_seconds
    + StoreUnavailable                  retry_after_seconds
    + LedgerUnavailable                 retry_after_seconds
    + NoSpaceForResult                  retry_after_seconds
    + TableUnknown                      name, suggestions                      GET /tables/{table}
    + KeyNotFound                       key_id
    + ScopeMissing                      scope

`code` is the class's name and the contract's word; docs/problem-types.md has a section for each, and a test holds them
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar


class Blame(StrEnum):
    """Who has to do something about a failed query."""

    USER = "user"
    ENGINE = "engine"
    SERVICE = "service"


@dataclass(frozen=True)
class QueryFailure:
    """Why a query execution FAILED, as a value that the execution store can keep.

    `line` and `column` count from 1 and point into the SQL as asked, where known. `engine_error_name` is Trino's name
    (`DIVISION_BY_ZERO`); `error_category` and `error_type` are Athena's numbers (API reference, AthenaError).
    """

    code: str
    detail: str
    blame: Blame
    retryable: bool = False
    line: int | None = None
    column: int | None = None
    suggestions: tuple[str, ...] = ()
    engine_error_name: str | None = None
    error_category: int | None = None
    error_type: int | None = None


class ServiceError(Exception):
    """The query service could not do what was asked; `detail` says what happened, in words for the caller."""

    title: ClassVar[str] = "The request could not be served"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def code(self) -> str:
        """The contract's word for this error."""
        return type(self).__name__


class InvalidRequest(ServiceError):
    """A member of the request has a value that cannot be served; `field` names it."""

    title = "A value of the request is not valid"

    def __init__(self, detail: str, *, field: str) -> None:
        super().__init__(detail)
        self.field = field


class StatementError(ServiceError):
    """The caller's SQL is at fault; nothing ran. `line` and `column` count from 1 in the SQL as asked."""

    title = "The statement cannot be run"

    def __init__(
        self,
        detail: str,
        *,
        line: int | None = None,
        column: int | None = None,
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(detail)
        self.line = line
        self.column = column
        self.suggestions = tuple(suggestions)


class InvalidQuerySyntax(StatementError):
    """The text is not one statement of Athena's SQL."""

    title = "The SQL could not be parsed"


class StatementTooLong(StatementError):
    """The text is longer than an engine accepts (Athena: 262,144 bytes)."""

    title = "The SQL is too long"

    def __init__(self, detail: str, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(detail)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class StatementNotAllowed(StatementError):
    """The statement is of a kind, or uses a construct, that readers of history may not run; `rule` names which."""

    title = "The statement is not allowed"

    def __init__(
        self,
        detail: str,
        *,
        rule: str,
        line: int | None = None,
        column: int | None = None,
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(detail, line=line, column=column, suggestions=suggestions)
        self.rule = rule


class NamedStatementError(StatementError):
    """A StatementError about one name in the SQL."""

    def __init__(
        self,
        detail: str,
        *,
        name: str,
        line: int | None = None,
        column: int | None = None,
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(detail, line=line, column=column, suggestions=suggestions)
        self.name = name


class TableNotFound(NamedStatementError):
    """The SQL names a table that is not served."""

    title = "Table not found"


class ColumnNotFound(NamedStatementError):
    """The SQL names a column that no table in scope has."""

    title = "Column not found"


class ColumnNotAllowed(NamedStatementError):
    """The SQL uses a column that must not be queried (`resourceid`, `operationid`)."""

    title = "Column not allowed in queries"


class FunctionNotFound(NamedStatementError):
    """The SQL calls a function that the engine does not have."""

    title = "Function not found"


class TypeMismatch(StatementError):
    """The SQL puts values of types together that do not fit."""

    title = "Types do not fit"


class InvalidParameter(StatementError):
    """The statement's `?` and the request's `parameters` do not fit; `index` counts from 0."""

    title = "A query parameter does not fit"

    def __init__(
        self, detail: str, *, index: int | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(detail, line=line, column=column)
        self.index = index


class ScanLimitExceeded(StatementError):
    """The query would scan more bytes than the request or its key allows; nothing ran, nothing was charged."""

    title = "The query would scan more than its limit"

    def __init__(self, detail: str, *, limit_bytes: int, estimated_bytes: int) -> None:
        super().__init__(detail)
        self.limit_bytes = limit_bytes
        self.estimated_bytes = estimated_bytes


class QueryNotFound(ServiceError):
    """There is no such query for this tenant: never was, was forgotten, or is another tenant's (not told apart)."""

    title = "Query not found"

    def __init__(self, detail: str, *, query_id: str) -> None:
        super().__init__(detail)
        self.query_id = query_id


class QueryNotFinished(ServiceError):
    """The result was asked for before it is there; ask again after `retry_after_seconds`."""

    title = "The query has not finished yet"
    retryable = True

    def __init__(self, detail: str, *, query_id: str, status: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(detail)
        self.query_id = query_id
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ResultExpired(ServiceError):
    """The result outlived its `retention_minutes`; its bytes are gone."""

    title = "The result has expired"

    def __init__(self, detail: str, *, query_id: str, expired_at: datetime | None) -> None:
        super().__init__(detail)
        self.query_id = query_id
        self.expired_at = expired_at


class QueryFailed(ServiceError):
    """The query ended without a result (FAILED or CANCELLED); `failure` has blame, place and the engine's words."""

    title = "The query failed"

    def __init__(self, failure: QueryFailure, *, query_id: str | None = None) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.query_id = query_id

    @property
    def code(self) -> str:
        """The failure's own code: `ColumnNotFound` seen by the engine is the same problem as seen by us."""
        return self.failure.code


class InvalidPagingToken(ServiceError):
    """The paging token was not made by this service for this query and tenant, or was altered."""

    title = "The paging token is not valid"


class InvalidDownloadLink(ServiceError):
    """The link was not made by this service for this query, was altered, or its time is over. Says nothing of whether
    there is such a query.
    """

    title = "The download link is not valid"

    def __init__(self, detail: str, *, query_id: str) -> None:
        super().__init__(detail)
        self.query_id = query_id


class IdempotencyConflict(ServiceError):
    """The Idempotency-Key was used before with another body; `query_id` is the query of that first body."""

    title = "The idempotency key was used with another body"

    def __init__(self, detail: str, *, query_id: str) -> None:
        super().__init__(detail)
        self.query_id = query_id


class TooManyQueries(ServiceError):
    """The waiting queue is full; nothing was stored. Ask again after `retry_after_seconds`."""

    title = "Too many queries are waiting"
    retryable = True

    def __init__(self, detail: str, *, limit: int, retry_after_seconds: float) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class BudgetExceeded(ServiceError):
    """The tenant has used up what it may of the day; nothing was stored, nothing was charged. It begins anew after
    `retry_after_seconds`.
    """

    title = "The budget of the day is used up"
    retryable = True

    def __init__(
        self, detail: str, *, limit_bytes: int, used_bytes: int, estimated_bytes: int, retry_after_seconds: float
    ) -> None:
        super().__init__(detail)
        self.limit_bytes = limit_bytes
        self.used_bytes = used_bytes
        self.estimated_bytes = estimated_bytes
        self.retry_after_seconds = retry_after_seconds


class EngineUnavailable(ServiceError):
    """The engine (or its storage) cannot be reached or refuses everybody for now."""

    title = "The query engine is not available"
    retryable = True

    def __init__(self, detail: str, *, engine: str, retry_after_seconds: float = 5.0) -> None:
        super().__init__(detail)
        self.engine = engine
        self.retry_after_seconds = retry_after_seconds


class StoreUnavailable(ServiceError):
    """The execution store cannot be reached or throttles; what was asked for may have been done all the same."""

    title = "The execution store is not available"
    retryable = True

    def __init__(self, detail: str, *, retry_after_seconds: float = 2.0) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class LedgerUnavailable(ServiceError):
    """What is known of partitions cannot be read: the ledger's table cannot be reached or throttles."""

    title = "The partition ledger is not available"
    retryable = True

    def __init__(self, detail: str, *, retry_after_seconds: float = 2.0) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class NoSpaceForResult(ServiceError):
    """The disk of this replica has no room for the result's rows; the engine's result is kept, so nothing is lost."""

    title = "There is no space for the result"
    retryable = True

    def __init__(self, detail: str, *, retry_after_seconds: float = 10.0) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class TableUnknown(ServiceError):
    """No table of this name is served (asked for by name, not in SQL)."""

    title = "Table not found"

    def __init__(self, detail: str, *, name: str, suggestions: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.name = name
        self.suggestions = tuple(suggestions)


class KeyNotFound(ServiceError):
    """No API key has this id."""

    title = "API key not found"

    def __init__(self, detail: str, *, key_id: str) -> None:
        super().__init__(detail)
        self.key_id = key_id


class ScopeMissing(ServiceError):
    """The caller's key lacks the scope that the operation needs."""

    title = "The key lacks a scope"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope
