"""A client that costs next to nothing: one keep-alive socket, requests made once, answers counted and not parsed.

A Python HTTP client spends more on a page than a good server does; measured through it, every server looks alike.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

_BUFFER_BYTES = 4 * 1024 * 1024


class Wire:
    """One connection to `http://127.0.0.1:<port>`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(_BUFFER_BYTES)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: bytes) -> bytes:
        """The body of the answer (chunked ones with their chunk lines). Raises RuntimeError for anything but 200."""
        self.send(request)
        return self.answer()

    def send(self, request: bytes) -> None:
        """Sends a request whose answer is read later."""
        self._socket.sendall(request)

    def answer(self) -> bytes:
        """The body of the answer to the request that was sent. Raises as `ask`."""
        view = memoryview(self._buffer)
        filled = 0
        while (end := self._buffer.find(b"\r\n\r\n", 0, filled)) < 0:
            filled += self._received(view[filled:])
        head = bytes(view[:end])
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1") + "\n" + bytes(view[end:filled]).decode("utf-8", "replace"))
        start = head.lower().find(b"content-length:")
        if start < 0:
            while not self._buffer.endswith(b"\r\n0\r\n\r\n", end, filled):
                filled += self._received(view[filled:])
            return bytes(view[end + 4 : filled])
        length = int(head[start + 15 :].split(b"\r\n", 1)[0])
        total = end + 4 + length
        while filled < total:
            filled += self._received(view[filled:total])
        return bytes(view[end + 4 : total])

    def _received(self, room: memoryview) -> int:
        count = self._socket.recv_into(room)
        if count == 0:
            raise RuntimeError("the server closed the connection")
        return count


def get(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, body: Any) -> bytes:
    """A POST request with a JSON body."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def median_milliseconds(port: int, requests: Sequence[bytes]) -> Callable[[], float]:
    """A measurement: the median time of these requests, one after another on a fresh connection."""

    def measure() -> float:
        samples = []
        with Wire(port) as wire:
            for request in requests:
                started = time.perf_counter()
                wire.ask(request)
                samples.append((time.perf_counter() - started) * 1000)
        return statistics.median(samples)

    return measure


def requests_per_second(
    ports: Sequence[int], request: bytes, *, connections: int = 16, rounds: int = 60
) -> Callable[[], float]:
    """A measurement: answers a second over so many connections, spread over the ports, all of them kept busy."""

    def measure() -> float:
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(ports[number % len(ports)])) for number in range(connections)]
            started = time.perf_counter()
            for wire in wires:
                wire.send(request)
            for turn in range(rounds):
                for wire in wires:
                    wire.answer()
                    if turn + 1 < rounds:
                        wire.send(request)
            return connections * rounds / (time.perf_counter() - started)

    return measure
