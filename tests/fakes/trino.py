"""A Trino coordinator that speaks /v1/statement faithfully and answers what a test scripts, or what was recorded.

What it keeps to, as Trino does: a statement runs from its first GET on, and never for the POST alone; each nextUri has
a slug of its own; an answer can be had again until the next one was asked for, older ones are 410; DELETE cancels, and
the next GET tells USER_CANCELED; a statement that it does not know is 404. `tests/fakes/trino_recorded.json` has the
answers of a real server: `python -m tests.fakes.trino_recording URL` makes it anew.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("trino_recorded.json")
CANCELLED = {"message": "Query was canceled", "errorCode": 3, "errorName": "USER_CANCELED", "errorType": "USER_ERROR"}


@dataclass
class Script:
    """What becomes of a statement: its answers in order, each with any of `columns`, `data`, `error`, `state`, `stats`.

    `released` lets it go past its first answer; there must be more than one then.
    """

    answers: Sequence[dict[str, Any]] = ({}, {})
    released: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, *answers: dict[str, Any]) -> Script:
        made = cls(answers)
        made.released.set()
        return made


def integers(*values: int | None) -> dict[str, Any]:
    """An answer with one bigint column `n`."""
    signature = {"rawType": "bigint", "arguments": []}
    return {
        "columns": [{"name": "n", "type": "bigint", "typeSignature": signature}],
        "data": [[value] for value in values],
    }


@dataclass
class Statement:
    id: str
    sql: str
    script: Script
    headers: dict[str, str]
    is_begun: bool = False
    is_cancelled: bool = False
    token: int = 0
    position: int = -1
    answer: dict[str, Any] | None = None


class FakeTrino:
    """See the module. `scripts` by SQL text; anything else gets the answer `default`, or stays RUNNING until it is
    cancelled where there is none.

    `intercept` may answer a request itself: (method, path) -> (status, body, headers) or None.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.default: dict[str, Any] | None = None
        self.statements: dict[str, Statement] = {}
        self.requests: list[tuple[str, str]] = []
        self.request_headers: list[dict[str, str]] = []
        self.intercept: Callable[[str, str], tuple[int, bytes, dict[str, str]] | None] = lambda method, path: None
        self.base_url = ""
        self.lock = threading.RLock()

    @property
    def begun(self) -> list[str]:
        """The SQL of the statements that run or ran, in the order of their first GET."""
        return [statement.sql for statement in self.statements.values() if statement.is_begun]

    def play_recorded(self) -> None:
        """Answers as the recorded server did."""
        for sql, answers in json.loads(RECORDED.read_text(encoding="utf-8"))["statements"].items():
            self.scripts[sql] = Script.of(*answers)

    def post(self, sql: str, headers: dict[str, str]) -> tuple[int, Any]:
        with self.lock:
            statement_id = f"20261122_100000_{len(self.statements):05d}_fake1"
            statement = Statement(statement_id, sql, self._script(sql), headers)
            self.statements[statement_id] = statement
            return 200, self._told(statement, {"state": "QUEUED"}, has_more=True)

    def _script(self, sql: str) -> Script:
        if sql in self.scripts or self.default is None:
            return self.scripts.get(sql) or Script()
        return Script.of(self.default)

    def get(self, statement_id: str, slug: str, token: int) -> tuple[int, Any]:
        statement = self.statements.get(statement_id)
        if statement is None or slug != self._slug(statement_id, token):
            return 404, None
        with self.lock:
            if token == statement.token - 1:
                return 200, statement.answer
            if token != statement.token:
                return 410, None
            statement.is_begun = True
        if statement.position >= 0 and not statement.is_cancelled:
            statement.script.released.wait(0.05)
        with self.lock:
            return 200, self._advanced(statement)

    def _advanced(self, statement: Statement) -> dict[str, Any]:
        if statement.is_cancelled:
            return self._told(statement, {"error": CANCELLED, "state": "FAILED"}, has_more=False)
        if statement.position >= 0 and not statement.script.released.is_set():
            return self._told(statement, {"state": "RUNNING"}, has_more=True)
        statement.position += 1
        answer = statement.script.answers[statement.position]
        has_more = statement.position + 1 < len(statement.script.answers) or not statement.script.released.is_set()
        return self._told(statement, answer, has_more=has_more and "error" not in answer)

    def _told(self, statement: Statement, answer: dict[str, Any], *, has_more: bool) -> dict[str, Any]:
        statement.token += 1
        told = {key: value for key, value in answer.items() if key != "state"}
        told |= {"id": statement.id, "infoUri": f"{self.base_url}/ui/query.html?{statement.id}", "warnings": []}
        stats = {"elapsedTimeMillis": 7, "queuedTimeMillis": 2, "physicalInputBytes": 0, "progressPercentage": 50.0}
        told["stats"] = stats | answer.get("stats", {}) | {"state": answer.get("state", "RUNNING")}
        if has_more:
            slug = self._slug(statement.id, statement.token)
            phase = "executing" if statement.is_begun else "queued"
            told["nextUri"] = f"{self.base_url}/v1/statement/{phase}/{statement.id}/{slug}/{statement.token}"
        statement.answer = told
        return told

    def cancel(self, statement_id: str) -> None:
        with self.lock:
            statement = self.statements.get(statement_id)
            if statement is not None:
                statement.is_cancelled = True

    @staticmethod
    def _slug(statement_id: str, token: int) -> str:
        return "y" + hashlib.sha256(f"{statement_id}/{token}".encode()).hexdigest()[:40]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    trino: FakeTrino

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("POST", lambda parts: self.trino.post(body.decode(), dict(self.headers)))

    def do_GET(self) -> None:
        self._answer("GET", lambda parts: self.trino.get(parts[3], parts[4], int(parts[5])))

    def do_DELETE(self) -> None:
        def deleted(parts: list[str]) -> tuple[int, Any]:
            self.trino.cancel(parts[3] if parts[1] == "statement" else parts[2])
            return 204, None

        self._answer("DELETE", deleted)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self, method: str, answer: Callable[[list[str]], tuple[int, Any]]) -> None:
        self.trino.requests.append((method, self.path))
        self.trino.request_headers.append(dict(self.headers))
        intercepted = self.trino.intercept(method, self.path)
        if intercepted is not None:
            status, body, headers = intercepted
        else:
            status, told = answer(self.path.strip("/").split("/"))
            body, headers = (b"" if told is None else json.dumps(told).encode()), {}
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int(headers.get("Content-Length", len(body))) != len(body):
            self.close_connection = True  # told more than was sent: the connection breaks


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: clients that hang up or do not trust us are what the tests are about."""


@contextmanager
def trino_server(tls: tuple[Path, Path] | None = None) -> Iterator[FakeTrino]:
    """A coordinator on a free loopback port; over https with a certificate and its key."""
    trino = FakeTrino()
    handler = type("Handler", (_Handler,), {"trino": trino})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    trino.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield trino
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
