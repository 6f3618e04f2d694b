"""Connections that want to be held: heads without an end, in one piece or byte by byte, and silence.

The protocol is served by a real uvicorn with an application of two lines, and limits that a test can wait for.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from api.http_protocol import BoundedProtocol


class Impatient(BoundedProtocol):
    maximum_head_bytes = 8_192
    head_seconds = 0.5


async def answer(scope: dict[str, object], receive: object, send: object) -> None:
    more = True
    while more:
        more = (await receive()).get("more_body", False)  # type: ignore[operator]  # ASGI
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]  # ASGI
    await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]  # ASGI


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(answer, port=0, http=Impatient, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(30)
    listener.close()


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


def problem(answer: bytes) -> tuple[str, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert b"application/problem+json" in head
    return head.split(b"\r\n")[0].decode(), json.loads(body)["code"]


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_a_head_without_an_end_is_cut_off(port: int, head: bytes) -> None:
    with connected(port) as connection:
        for start in range(0, len(head), 1000):
            try:
                connection.sendall(head[start : start + 1000])
            except (BrokenPipeError, ConnectionResetError):
                break
        received = said(connection)
    if received:  # what was on its way when the server closed may have reset the connection
        assert problem(received) == ("HTTP/1.1 431 Request Header Fields Too Large", "HeadersTooLarge")


def test_a_head_that_drips_is_given_up(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert problem(said(connection)) == ("HTTP/1.1 408 Request Timeout", "RequestTimeout")


def test_silence_is_closed_in_silence(port: int) -> None:
    with connected(port) as connection:
        assert said(connection) == b""


def test_a_second_head_on_the_same_connection_has_the_same_end(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).endswith(b"ok")
        connection.sendall(b"GET / HTTP/1.1\r\nX")
        assert problem(said(connection))[1] == "RequestTimeout"


def test_large_bodies_and_many_requests_are_no_heads(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(20):
            assert client.post("/", content=b"x" * 1_000_000).text == "ok"
            assert client.get("/", headers={"X": "y" * 4_000}).text == "ok"
    with connected(port) as connection:  # pipelined
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000)
        for _ in range(30):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Some: " + b"y" * 1_000 + b"\r\n\r\n")
        received = b""
        while received.count(b"ok") < 31:
            received += connection.recv(65_536)
        assert received.count(b"HTTP/1.1 200") == 31
