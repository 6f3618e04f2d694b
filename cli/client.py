"""A small client of the query service's HTTP contract: submit, wait, pages, download, cancel.

    submit -> {query_id, status}
    wait   -> status with long polls until is_terminal
    pages  -> next, next, ... until a page has no paging_token
    download -> the whole result as a file's bytes

What the service says again later (429, 503) is asked again after its Retry-After; so is a connection that broke,
since every call is safe to repeat: submit carries an Idempotency-Key. Errors are by blame: `ServiceProblem` is a
problem document of the service (RFC 9457), `NotReachable` means that nobody answered.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

ATTEMPTS = 6
LONG_POLL_SECONDS = 20
PAGE_ROWS = 1000
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_AGAIN_LATER = (429, 503)
_NOT_TODAY = frozenset({"BudgetExceeded"})  # it asks to wait until midnight
_TIMEOUT = httpx.Timeout(10.0, read=LONG_POLL_SECONDS + 40.0)


class NotReachable(Exception):
    """Nobody answers at this address, or not in time."""


class ServiceProblem(Exception):
    """The service answered with a problem document. `status` is the HTTP status, `document` the problem."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or f"HTTP {status}"))
        self.status = status
        self.document = document

    @property
    def code(self) -> str:
        """The contract's problem code, such as `ColumnNotFound`."""
        return str(self.document.get("code", f"Http{self.status}"))


class Client:
    """Calls one service. A context manager; `transport` and `sleep` are for tests."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        version: str = "v0",
    ) -> None:
        headers = {"X-API-Key": key} if key else {}
        try:
            self._http = httpx.Client(
                base_url=url, headers=headers, timeout=_TIMEOUT, transport=transport, follow_redirects=False
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise NotReachable(f"{url!r} is no address: {error}") from error
        self._url = url
        self._calls = f"/{version}/data_hist"
        self._sleep = sleep

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, query: str, **members: Any) -> dict[str, Any]:
        """Submit SQL; members of the request beside it, such as `retention_minutes` or `from`. The query execution."""
        body = {"query": query, **{name: value for name, value in members.items() if value is not None}}
        return self._json("POST", f"{self._calls}/query", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def status(self, query_id: str, *, wait_seconds: int = 0) -> dict[str, Any]:
        """The query execution now, or when it ended within `wait_seconds`."""
        return self._json("GET", f"{self._calls}/status/{query_id}", params={"wait_seconds": wait_seconds})

    def wait(
        self,
        query_id: str,
        *,
        watch: Callable[[dict[str, Any]], None] | None = None,
        poll_seconds: int = LONG_POLL_SECONDS,
    ) -> dict[str, Any]:
        """The final query execution; `watch` sees each status on the way, at least every `poll_seconds`."""
        while True:
            execution = self.status(query_id, wait_seconds=poll_seconds)
            if watch is not None:
                watch(execution)
            if execution["is_terminal"]:
                return execution

    def pages(self, query_id: str, *, results_per_page: int = PAGE_ROWS) -> Iterator[dict[str, Any]]:
        """The pages of a result, at least one."""
        body: dict[str, Any] = {"query_id": query_id, "results_per_page": results_per_page}
        while True:
            page = self._json("POST", f"{self._calls}/next", json=body)
            yield page
            if not page.get("paging_token"):
                return
            body["paging_token"] = page["paging_token"]

    @contextmanager
    def download(self, query_id: str, file_format: str) -> Iterator[Iterator[bytes]]:
        """The whole result in this format, in pieces. A connection that breaks on the way is NotReachable."""
        path, params = f"{self._calls}/download/{query_id}", {"format": file_format}
        response = self._answer("GET", path, is_streamed=True, params=params)
        try:
            yield _pieces(response)
        finally:
            response.close()

    def cancel(self, query_id: str) -> dict[str, Any]:
        """Stop a query; its final execution."""
        return self._json("DELETE", f"{self._calls}/query/{query_id}")

    def tables(self) -> list[dict[str, Any]]:
        """The tables, as GET /tables tells them."""
        tables: list[dict[str, Any]] = self._json("GET", f"{self._calls}/tables")["tables"]
        return tables

    def usage(self, *, by: str, from_: str | None = None, to: str | None = None) -> dict[str, Any]:
        """What was used, as GET /usage tells it."""
        params = {"by": by, "from": from_, "to": to}
        given = {name: value for name, value in params.items() if value is not None}
        return self._json("GET", "/v0/data_hist/usage", params=given)

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self._answer(method, path, **arguments)
        try:
            document: dict[str, Any] = response.json()
        except ValueError as error:
            raise NotReachable(f"{self._url} is not a data-hist service: its answer is not JSON") from error
        return document

    def _answer(self, method: str, path: str, *, is_streamed: bool = False, **arguments: Any) -> httpx.Response:
        """The successful answer, asked for again where that makes sense."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1
            try:
                response = self._http.send(self._http.build_request(method, path, **arguments), stream=is_streamed)
            except httpx.ConnectError as error:
                raise NotReachable(f"no service answers at {self._url}: {error}") from error
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if is_last or isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
                    raise NotReachable(f"no answer from {self._url}: {error or type(error).__name__}") from error
                self._sleep(pause)
                pause *= 2
                continue
            if response.status_code in _AGAIN_LATER and not is_last:
                problem = _problem(response)
                response.close()
                if problem.code in _NOT_TODAY:
                    raise problem
                self._sleep(_retry_after(response, pause))
                pause *= 2
                continue
            if response.is_success:
                return response
            raise _problem(response)
        raise AssertionError("the last attempt returns or raises")


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except httpx.TransportError as error:
        raise NotReachable(f"the connection broke while the result was read: {error}") from error


def _retry_after(response: httpx.Response, otherwise: float) -> float:
    """Seconds to wait: what Retry-After says (RFC 9110: seconds here, never a date), within reason."""
    text = response.headers.get("Retry-After", "")
    return min(float(text) if text.isdigit() else otherwise, _LONGEST_PAUSE_SECONDS)


def _problem(response: httpx.Response) -> ServiceProblem:
    try:
        response.read()
        document = response.json()
    except (ValueError, httpx.HTTPError):
        document = None
    if not isinstance(document, dict):
        document = {"title": response.reason_phrase, "status": response.status_code}
    return ServiceProblem(response.status_code, document)
