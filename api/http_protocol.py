"""uvicorn's HTTP/1.1 protocol, with an end to what a peer may hold without having asked anything.

uvicorn reads a request's head (request line and header fields) for as long as it comes and however slowly. Here

    a head over MAXIMUM_HEAD_BYTES                431, and the connection is closed
    a head that is not whole after HEAD_SECONDS   408, and the connection is closed
    a connection that sends nothing               closed after HEAD_SECONDS, in silence

so that a connection costs at most that many bytes and seconds (slowloris, CWE-400). Bodies are bounded where they are
read (api.json_body), idle connections between requests by uvicorn's keep-alive.
"""

from __future__ import annotations

import asyncio
import uuid
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import EdgeError, HeadersTooLarge, RequestTimeout, problem_response

MAXIMUM_HEAD_BYTES = 65_536
HEAD_SECONDS = 20.0


class BoundedProtocol(HttpToolsProtocol):
    """See the module."""

    maximum_head_bytes = MAXIMUM_HEAD_BYTES
    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._has_begun = False
        self._head_bytes = 0
        self._heads_read = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads_read = self._heads_read
        was_in_head = self._is_in_head
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        # only what belongs to a head as a whole counts: what else came with it was read at once, so it is bounded too
        is_all_head = was_in_head and heads_read == self._heads_read
        self._head_bytes = self._head_bytes + len(data) if is_all_head else 0
        if self._head_bytes > self.maximum_head_bytes:
            self._refuse(HeadersTooLarge(f"The head of the request is over {self.maximum_head_bytes} bytes."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun = True
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._is_in_head = self._has_begun = False
        self._heads_read += 1
        self._stop_expecting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _stop_expecting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._has_begun:
            self._refuse(RequestTimeout(f"The head of the request was not whole after {self.head_seconds:g} seconds."))
        else:
            self.transport.close()

    def _refuse(self, error: EdgeError) -> None:
        self._stop_expecting()
        if self.cycle is None or self.cycle.response_complete:  # else an answer is on its way, and this would be in it
            response, _ = problem_response(error, instance="", request_id=uuid.uuid4().hex)
            status = HTTPStatus(response.status_code)
            head = [f"HTTP/1.1 {status.value} {status.phrase}", "connection: close"]
            head += [f"{name.decode()}: {value.decode()}" for name, value in response.raw_headers]
            self.transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + bytes(response.body))
        self.transport.close()
