"""What goes wrong, as HTTP tells it: RFC 9457 problem documents (`application/problem+json`).

One table, `PROBLEMS`, maps each error class to status and title; the nearest class in the error's ancestry counts,
and a test refuses a ServiceError that has no row. `type` is /v0/problems/<code in kebab case>, a page of this
service. What is not in the table is our fault: 500, the cause in the log under the request's id and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service import errors as service_errors
from service.errors import Blame, QueryFailed, QueryFailure, ServiceError, StatementError
from service.model import QueryExecution

MEDIA_TYPE = "application/problem+json"
MAXIMUM_INSTANCE_CHARACTERS = 300
CANCELLED = "QueryCancelled"  # the user's doing, but nothing in the query is to be mended


@dataclass(frozen=True)
class FieldError:
    """One field of a request that is wrong: where (JSON pointer, or `query:limit`), and what was expected."""

    pointer: str
    detail: str


class EdgeError(Exception):
    """The HTTP request itself can't be served; nothing reached the service.

    EdgeError                    code, title, detail, headers
    + RequestInvalid             errors
    + AuthenticationRequired
    + CustomerMissing
    + IdentityProviderUnavailable
    + HostNotAllowed
    + RateLimitExceeded
    + NotFound
    + MethodNotAllowed
    + NotAcceptable
    + RequestTimeout
    + RequestTooLarge
    + UrlTooLong
    + HeadersTooLarge
    + UnsupportedMediaType
    + ServiceStopping
    """

    code = "InternalError"
    title = "Internal error"
    retryable = False

    def __init__(
        self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


class RequestInvalid(EdgeError):
    """Body or parameters break the contract; `errors` has each field. The contract's word is that of service's
    own check.
    """

    code = "InvalidRequest"
    title = "A value of the request is not valid"

    @classmethod
    def of(cls, *errors: FieldError) -> RequestInvalid:
        """The problem of these fields; its detail tells the first, and how many more there are."""
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return cls(f"{errors[0].pointer}: {errors[0].detail}{more}", errors=errors)


class AuthenticationRequired(EdgeError):
    """No API key or bearer token, or not a good one. By `status` connexion's security chooses among several errors."""

    code = "AuthenticationRequired"
    title = "An API key or a token is required"
    status = 401

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Basic realm="data-hist", charset="UTF-8"'})


class CustomerMissing(EdgeError):
    """Who calls is known, and no customer whose rows it may see."""

    code = "CustomerMissing"
    title = "The caller has no customer"
    status = 403


class IdentityProviderUnavailable(EdgeError):
    """A token may be good, and the keys to tell cannot be had."""

    code = "IdentityProviderUnavailable"
    title = "The identity provider does not answer"
    retryable = True
    status = 503

    def __init__(self, *, retry_after_seconds: float) -> None:
        detail = "The keys that this token may be signed with cannot be fetched now. Try again in a moment."
        super().__init__(detail, headers={"Retry-After": str(max(1, ceil(retry_after_seconds)))})


class HostNotAllowed(EdgeError):
    """An open service was asked by a name that other machines, or pages in a browser, could use for it."""

    code = "HostNotAllowed"
    title = "An open service answers to localhost only"
    status = 403


class RateLimitExceeded(EdgeError):
    """The caller made more requests than its rate allows."""

    code = "RateLimitExceeded"
    title = "Too many requests"
    retryable = True

    def __init__(self, rate: str, *, retry_after_seconds: int) -> None:
        detail = f"Over {rate.replace('/', ' requests a ')}. Wait {retry_after_seconds} seconds."
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class NotFound(EdgeError):
    """No such path."""

    code = "NotFound"
    title = "No such path"


class MethodNotAllowed(EdgeError):
    """The path is there, the method is not."""

    code = "MethodNotAllowed"
    title = "Method not allowed"


class NotAcceptable(EdgeError):
    """No representation that the client accepts."""

    code = "NotAcceptable"
    title = "No such format"


class RequestTimeout(EdgeError):
    """The request did not come as a whole in the time it is given."""

    code = "RequestTimeout"
    title = "The request took too long to arrive"
    retryable = True


class UrlTooLong(EdgeError):
    """Path and query string are longer than any call of the contract needs."""

    code = "UrlTooLong"
    title = "The URL is too long"


class HeadersTooLarge(EdgeError):
    """Header fields of more bytes, or more of them, than are read."""

    code = "HeadersTooLarge"
    title = "The header fields are too large"


class RequestTooLarge(EdgeError):
    """More bytes than are read."""

    code = "RequestTooLarge"
    title = "The request is too large"


class UnsupportedMediaType(EdgeError):
    """A body that is not JSON."""

    code = "UnsupportedMediaType"
    title = "Unsupported media type"


class ServiceStopping(EdgeError):
    """The service is shutting down; another replica, or the next process, will answer."""

    code = "ServiceStopping"
    title = "The service is stopping"
    retryable = True

    def __init__(self, detail: str = "The service is stopping. Try again in a moment.") -> None:
        super().__init__(detail, headers={"Retry-After": "2"})


class InternalError(EdgeError):
    """Anything that has no row in the table."""


PROBLEMS: Mapping[type[Exception], int] = {
    # the request
    RequestInvalid: 400,
    AuthenticationRequired: 401,
    CustomerMissing: 403,
    HostNotAllowed: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    RequestTimeout: 408,
    RequestTooLarge: 413,
    UrlTooLong: 414,
    RateLimitExceeded: 429,
    HeadersTooLarge: 431,
    UnsupportedMediaType: 415,
    ServiceStopping: 503,
    IdentityProviderUnavailable: 503,
    InternalError: 500,
    # the caller
    service_errors.ScopeMissing: 403,
    service_errors.InvalidRequest: 400,
    service_errors.InvalidPagingToken: 400,
    service_errors.InvalidDownloadLink: 403,
    service_errors.IdempotencyConflict: 422,
    # the SQL; every kind of it
    service_errors.StatementError: 400,
    service_errors.StatementTooLong: 413,
    # what is asked for
    service_errors.QueryNotFound: 404,
    service_errors.TableUnknown: 404,
    service_errors.KeyNotFound: 404,
    service_errors.QueryNotFinished: 409,
    service_errors.QueryFailed: 409,  # 400 where the user is to blame: status_of
    service_errors.ResultExpired: 410,
    # the service and what stands behind it
    service_errors.TooManyQueries: 429,
    service_errors.BudgetExceeded: 429,
    service_errors.EngineUnavailable: 503,
    service_errors.StoreUnavailable: 503,
    service_errors.LedgerUnavailable: 503,
    service_errors.NoSpaceForResult: 503,
}

# The engine's failures carry codes of these classes too, and then the same title: one problem, whoever sees it.
TITLES: Mapping[str, str] = {
    kind.__name__: kind.title
    for kind in [*vars(service_errors).values(), *EdgeError.__subclasses__()]
    if isinstance(kind, type) and issubclass(kind, ServiceError | EdgeError)
}

MISSING_KEY = "Send an API key in X-API-Key or as the password of HTTP basic authentication, or a bearer token."
INTERNAL_DETAIL = "Something broke on our side. Tell the operator the request_id."


def status_of(error: Exception) -> int | None:
    """The HTTP status of `error`, or None when no row of the table is about it."""
    if isinstance(error, QueryFailed) and error.failure.blame is Blame.USER and error.code != CANCELLED:
        return 400
    return next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), None)


def edge_error(error: Exception) -> EdgeError | None:
    """connexion's and starlette's own errors in our words; None for any other error."""
    if isinstance(error, EdgeError):
        return error
    if not isinstance(error, HTTPException):
        return None
    status, detail = error.status_code, str(getattr(error, "detail", None) or "")
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        return AuthenticationRequired(MISSING_KEY)
    if status == 404:
        return NotFound("There is nothing at this path. GET /v0/openapi.json lists what there is.")
    if status == 405:
        return MethodNotAllowed(f"This path has {headers.get('Allow', 'other methods')} only.", headers=headers)
    if status == 413:
        return RequestTooLarge(detail)
    if status == 415:
        return UnsupportedMediaType(detail)
    if 400 <= status < 500:
        return RequestInvalid(detail or "The request can't be understood.")
    return None


def problem_type(code: str) -> str:
    """`ColumnNotFound` -> `/v0/problems/column-not-found`, where the service explains it."""
    return "/v0/problems/" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", code).lower()


def failure_document(failure: QueryFailure) -> dict[str, Any]:
    """The `error` object of a FAILED query execution."""
    document: dict[str, Any] = {"code": failure.code, "detail": failure.detail, "blame": failure.blame.value}
    document["retryable"] = failure.retryable
    if failure.line is not None and failure.column is not None:
        document["location"] = {"line": failure.line, "column": failure.column}
    if failure.suggestions:
        document["suggestions"] = list(failure.suggestions)
    for name in ("engine_error_name", "error_category", "error_type"):
        value = getattr(failure, name)
        if value is not None:
            document[name] = value
    return document


def problem_document(error: ServiceError | EdgeError, *, instance: str, request_id: str) -> dict[str, Any]:
    """The problem document of `error`; members that do not apply are absent."""
    status = status_of(error) or 500
    document: dict[str, Any] = {
        "type": problem_type(error.code),
        "title": TITLES.get(error.code, error.title),
        "status": status,
        "detail": error.detail,
        "instance": quote(instance[:MAXIMUM_INSTANCE_CHARACTERS]),
        "code": error.code,
    }
    query_id = getattr(error, "query_id", None)
    if query_id is not None:
        document["query_id"] = query_id
    retryable = error.retryable
    if isinstance(error, QueryFailed):
        document.update(failure_document(error.failure))
        del document["blame"]
        retryable = error.failure.retryable
    if isinstance(error, StatementError) and error.line is not None and error.column is not None:
        document["location"] = {"line": error.line, "column": error.column}
    suggestions = getattr(error, "suggestions", None)
    if suggestions:
        document["suggestions"] = list(suggestions)
    if isinstance(error, service_errors.InvalidRequest):
        document["errors"] = [{"pointer": f"#/{error.field}", "detail": error.detail}]
    if isinstance(error, EdgeError) and error.errors:
        document["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in error.errors]
    document["retryable"] = retryable
    document["request_id"] = request_id
    return document


def problem_response(error: Exception, *, instance: str, request_id: str) -> tuple[Response, str]:
    """The answer to a request that ended in `error`, and the problem's code for the log.

    An error without a row in the table becomes a bare 500: the caller of this function logs it.
    """
    told: ServiceError | EdgeError
    if isinstance(error, ServiceError) and status_of(error) is not None:
        told = error
    else:
        told = edge_error(error) or InternalError(INTERNAL_DETAIL)
    document = problem_document(told, instance=instance, request_id=request_id)
    headers = dict(told.headers) if isinstance(told, EdgeError) else {}
    seconds = getattr(told, "retry_after_seconds", None)
    if seconds is not None:
        headers["Retry-After"] = str(max(1, ceil(seconds)))
    content = orjson.dumps(document, default=str)
    return Response(content, status_code=document["status"], headers=headers, media_type=MEDIA_TYPE), told.code


def raise_if_user_at_fault(execution: QueryExecution) -> None:
    """A query whose SQL only the engine could see to be at fault: the same problem submit would have answered with."""
    if execution.error is not None and execution.error.blame is Blame.USER:
        raise QueryFailed(execution.error, query_id=execution.query_id)
