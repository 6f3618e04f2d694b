"""One statement in Trino's client protocol, by the `trino` package's transport: what is sent, what an answer holds.

    POST /v1/statement             the SQL; answers an id and nextUri. Nothing runs yet
    GET nextUri                    runs it (the first one), waits up to a second, gives rows; the last answer has no
                                   nextUri. An answer may be asked for again until the one after it was asked for
    DELETE nextUri                 cancels
    DELETE /v1/query/{id}          cancels without a nextUri: a statement whose client is gone

So a POST may be said any number of times, and only a GET whose id is already remembered makes anything run. Source: the
Trino manual, "Trino client REST API", and Trino's QueuedStatementResource; tests/contract asks a real server.
Rows come as the protocol has them, in the answers themselves or in segments (spooling protocol).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from trino.auth import Authentication, BasicAuthentication, JWTAuthentication
from trino.client import ClientSession, InlineSegment, Segment, SpooledSegment, TrinoRequest
from trino.exceptions import HttpError

_TIMEOUT_SECONDS = (5.0, 60.0)
"""To connect, and between two bytes of an answer; Trino itself holds an answer back for a second at most."""

_BUSY = frozenset({429})
_AWAY = frozenset({502, 503, 504})
_GONE = frozenset({404, 410})
_UNAUTHORIZED = frozenset({401, 403})


class TrinoTrouble(Exception):
    """A call that gave no answer of the protocol. `sentence` may be shown to callers; the text is for the log."""

    sentence = "Trino refuses what the service asks; the operator finds its words in the service's log"
    may_pass = False


class TrinoAway(TrinoTrouble):
    """No connection, no answer in time, a gateway's 502, 503 or 504, half an answer."""

    sentence = "Trino does not answer"
    may_pass = True


class TrinoBusy(TrinoTrouble):
    """429: too many requests."""

    sentence = "Trino takes no more requests for the moment"
    may_pass = True


class TrinoGone(TrinoTrouble):
    """404 or 410: Trino does not know the statement (any more)."""

    sentence = "Trino does not know the query any more"


class TrinoUnauthorized(TrinoTrouble):
    """401 or 403: the credentials are not accepted."""

    sentence = "Trino does not accept the service's credentials; the operator has to renew them"


@dataclass(frozen=True)
class TrinoServer:
    """Where Trino is and as whom to speak to it. `password_file` and `token_file` are read anew for each statement.

    `url` is http(s)://host[:port]; secrets go over https only. `ca_file` has the certificates to trust, in place of
    those that `requests` trusts.
    """

    url: str
    user: str
    catalog: str
    schema: str
    source: str = "data-hist"
    client_tags: tuple[str, ...] = ()
    session_properties: Mapping[str, str] = field(default_factory=dict)
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None

    def request(self, *, token: str = "", tenant: str = "") -> TrinoRequest:
        """The transport of one statement; not for use by two threads at once. Raises TrinoUnauthorized.

        `token` shows in Trino as the statement's client info and trace token, `tenant` as a client tag.
        """
        parts = urlsplit(self.url)
        tags = [*self.client_tags, *([f"tenant={quote(tenant, safe='')}"] if tenant else [])]
        headers = {"X-Trino-Client-Info": token, "X-Trino-Trace-Token": token} if token else {}
        session = ClientSession(
            user=self.user,
            catalog=self.catalog,
            schema=self.schema,
            source=self.source,
            properties=dict(self.session_properties),
            headers=headers,
            client_tags=tags,
            timezone="UTC",  # Athena's session zone
            encoding="json",
        )
        host = parts.hostname or ""
        http_session = TrinoRequest.http.Session()
        if self.ca_file is not None:
            http_session.verify = str(self.ca_file)
            # else requests would take REQUESTS_CA_BUNDLE from the environment in its place
            http_session.trust_env = False
            http_session.proxies = TrinoRequest.http.utils.get_environ_proxies(self.url)
        return TrinoRequest(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or (443 if parts.scheme == "https" else 8080),
            client_session=session,
            http_session=http_session,
            http_scheme=parts.scheme,
            auth=self._authentication(),
            max_attempts=1,  # what may be said again is decided here
            request_timeout=_TIMEOUT_SECONDS,
        )

    def _authentication(self) -> Authentication | None:
        try:
            if self.token_file is not None:
                return JWTAuthentication(self.token_file.read_text(encoding="utf-8").strip())
            if self.password_file is not None:
                return BasicAuthentication(self.user, self.password_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise TrinoUnauthorized(f"the secret cannot be read: {error}") from error
        return None


@dataclass(frozen=True)
class TrinoAnswer:
    """One answer: `columns` once they are known, `stats` always, `error` when the statement failed.

    `data` is rows, or the segments that hold them; `next_uri` None: there is nothing more to ask for.
    """

    id: str
    next_uri: str | None
    stats: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]] | None = None
    data: Any = None
    error: Mapping[str, Any] | None = None


class TrinoStatement:
    """One statement: `post` it, then `advance` until an answer has no `next_uri`. See the module.

    `cancel` may be called by another thread.
    """

    def __init__(self, server: TrinoServer, *, token: str, tenant: str) -> None:
        self._server = server
        self._token = token
        self._tenant = tenant
        self._request = server.request(token=token, tenant=tenant)
        self._next_uri: str | None = None
        self.id = ""

    def post(self, sql: str) -> None:
        """Tells Trino the statement; it does not run before the first `advance`. Raises TrinoTrouble."""
        answer = self._answer(lambda: self._request.post(sql))
        if answer.next_uri is None:
            raise TrinoTrouble(f"no nextUri in the answer to a new statement: {answer}")
        self.id, self._next_uri = answer.id, answer.next_uri

    def advance(self) -> TrinoAnswer:
        """The next answer; the same one again when the one before could not be had. Raises TrinoTrouble."""
        uri = self._next_uri
        if uri is None:
            raise TrinoGone("the statement has ended")
        answer = self._answer(lambda: self._request.get(uri))
        self._next_uri = answer.next_uri
        return answer

    def authenticate_again(self) -> None:
        """Reads the secret anew: a token may expire while a statement runs. Raises TrinoUnauthorized."""
        self._request = self._server.request(token=self._token, tenant=self._tenant)

    def cancel(self) -> None:
        """Asks Trino to stop. Raises TrinoTrouble; what has ended is no trouble."""
        uri = self._next_uri
        if uri is not None:
            _deleted(self._server.request(), uri)

    def row_pages(self, data: Any) -> Iterator[Sequence[Sequence[Any]]]:
        """The rows of an answer: themselves, or read from its segments, one after the other. Raises TrinoTrouble.

        A segment's acknowledgement lets Trino delete it; it follows once the rows were taken.
        """
        if not isinstance(data, Mapping):
            if data:
                yield data
            return
        for told in data["segments"]:
            segment = self._segment(told)
            rows = _told(lambda: _parsed(segment.data))  # noqa: B023 - called at once
            yield rows
            if isinstance(segment, SpooledSegment):
                segment.acknowledge()

    def _segment(self, told: Mapping[str, Any]) -> Segment:
        if told["type"] == "inline":
            return InlineSegment(dict(told))  # type: ignore[arg-type]  # as the server tells it
        without_secrets = self._request.unauthenticated()  # type: ignore[no-untyped-call]  # the package's
        return SpooledSegment(dict(told), without_secrets)  # type: ignore[arg-type]  # the same

    def _answer(self, call: Any) -> TrinoAnswer:
        response = _told(call)
        _check_status(response)
        try:
            told = _parsed(response.content)
            answer = TrinoAnswer(
                id=told["id"],
                next_uri=told.get("nextUri"),
                stats=told.get("stats") or {},
                columns=told.get("columns"),
                data=told.get("data"),
                error=told.get("error"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # half an answer, or a gateway's own page
            raise TrinoAway(f"an answer that is not the protocol's: {response.content[:200]!r}") from error
        if answer.next_uri is not None and self._server.url.startswith("https:"):
            _check_scheme(answer.next_uri)
        return answer


def kill(server: TrinoServer, engine_id: str) -> None:
    """Cancels a statement by its id, whoever began it; unknown and ended ones are no trouble. Raises TrinoTrouble."""
    request = server.request()
    _deleted(request, request.get_url(f"/v1/query/{quote(engine_id, safe='')}"))


def _deleted(request: TrinoRequest, uri: str) -> None:
    response = _told(lambda: request.delete(uri))
    if response.status_code not in _GONE:
        _check_status(response)


def _parsed(data: bytes) -> Any:
    """JSON. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # half a surrogate pair, which the quick reader refuses


def _told(call: Any) -> Any:
    try:
        return call()
    except (OSError, ValueError, HttpError) as error:  # requests' errors are OSErrors; a broken body is a ValueError
        raise TrinoAway(f"{type(error).__name__}: {error}") from error


def _check_status(response: Any) -> None:
    status: int = response.status_code
    if 200 <= status < 300:
        return
    kinds: tuple[tuple[frozenset[int], type[TrinoTrouble]], ...] = (
        (_BUSY, TrinoBusy),
        (_AWAY, TrinoAway),
        (_GONE, TrinoGone),
        (_UNAUTHORIZED, TrinoUnauthorized),
    )
    kind = next((kind for statuses, kind in kinds if status in statuses), TrinoTrouble)
    raise kind(f"HTTP {status}: {response.text[:500]}")


def _check_scheme(next_uri: str) -> None:
    if not next_uri.startswith("https:"):
        raise TrinoTrouble(
            "Trino was asked over https and answers with an address without: the service's secret does not go there"
            " (set http-server.process-forwarded=true behind a proxy)"
        )
