"""Two services over two lakes that differ in one thing only: what the rows of *other* customers are, and how many.

Customer 11000 has the same rows in both. Whatever is asked with its key has to be answered alike by both: any
difference is something it learned of the others, be it a row, a count, an order, a hash or a word in an error.

The others' rows are made to hurt: their numbers are no numbers, their divisors zero, their JSON broken, so that any
expression which is asked about them fails where it would not fail for the caller's own rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from service.key_store import SqliteKeyStore
from service.keys import ApiKeys
from tests.e2e.conftest import Server, data_hist, running_server

OWN, OTHER, OPERATOR = 11000, 11001, 1
START = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
MINUTES = 20
OWN_ROWS_A_MINUTE = {"events": 2, "metrics": 0.5, "logs": 0.5, "data_hist_v1.events": 1}
MARKERS = ("kUaTe9ptZqX", "rO4mibWvNsL")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Twin:
    """One of the two services, its keys by customer, and the text that only others' rows in its lake hold."""

    server: Server
    keys: dict[int, str]
    marker: str

    def call(
        self,
        customer: int,
        method: str,
        path: str,
        *,
        api: str = "v0",
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> httpx.Response:
        """A request below /v0/data_hist (or another version's) with this customer's key."""
        headers = {**(headers or {}), "X-API-Key": self.keys[customer]}
        return self.server.client.request(method, f"/{api}/data_hist{path}", headers=headers, **arguments)

    def submitted(self, customer: int, sql: str, **members: Any) -> str:
        """The query_id of a finished query of this customer."""
        body = {"query": sql, "wait_seconds": 50, **members}
        answer = self.call(customer, "POST", "/query", json=body)
        assert answer.json()["status"] == "FINISHED", answer.text
        return str(answer.json()["query_id"])

    def everything_told(self, body: dict[str, Any]) -> tuple[Answer, str]:
        """What customer 11000 is told about a query: what has a meaning, and all the texts as they came."""
        body = json.loads(json.dumps(body).replace("MARKER", self.marker).replace("OTHER", str(OTHER)))
        api = body.pop("api", "v0")
        submitted = self.call(OWN, "POST", "/query", api=api, json={**body, "wait_seconds": 50})
        texts = [submitted.text]
        told: Answer = {"status": submitted.status_code, **_meaning(submitted.json())}
        if submitted.json().get("has_result"):
            query_id = submitted.json()["query_id"]
            page = self.call(OWN, "POST", "/next", api=api, json={"query_id": query_id})
            texts.append(page.text)
            told["columns"] = page.json()["columns"]
            told["rows"] = sorted(json.dumps(row) for row in page.json()["result_set"])
            if not told["rows"]:
                explained = self.call(OWN, "GET", f"/queries/{query_id}/explain-empty", api=api)
                texts.append(explained.text)
                told["tables"] = explained.json()["tables"]
        asked = json.dumps(body["query"]).strip('"')
        return comparable(json.dumps(told), self.marker), "\n".join(texts).replace(asked, "")


_MEANINGFUL = (
    "code",
    "detail",
    "location",
    "suggestions",
    "errors",
    "engine_error_name",
    "status",
    "error",
    "warnings",
)
# What may differ: bytes of shared objects, which everybody is told since queries are paid by them (docs/security.md),
# and when the lakes were loaded.
_NUMBERS = re.compile(
    r'((?:outputSizeInBytes|size_bytes|late_bytes|arrivaltimestamp|arrived_at)[\\"]*: ?)[0-9]+|[0-9]+( bytes)'
)
_LOADED = re.compile(r'("(?:first|last)_arrival_at": ?)"[^"]*"')


def comparable(text: str, marker: str) -> Any:
    """The JSON document `text` without what may differ between the twins."""
    return json.loads(_LOADED.sub(r'\1""', _NUMBERS.sub(r"\g<1>0\g<2>", text)).replace(marker, "MARKER"))


def _meaning(document: Answer) -> Answer:
    """The members that may not depend on others' rows: not ids, times, nor how much of shared objects was read."""
    return {f"told {name}": document[name] for name in _MEANINGFUL if name in document}


@contextmanager
def running_twins(folder: Path) -> Iterator[tuple[Twin, Twin]]:
    """Both services, over lakes made below `folder`."""
    with ExitStack() as stack:
        twins = []
        for number, marker in enumerate(MARKERS):
            data_dir = folder / f"twin-{number}"
            _load(data_dir, folder, marker, others_a_minute=2 + 3 * number)
            keys = ApiKeys(SqliteKeyStore(data_dir / "keys.sqlite"), clock=lambda: datetime.now(UTC))
            made = {customer: keys.create(customers=[customer]).secret for customer in (OWN, OTHER, OPERATOR)}
            keys.close()
            server = stack.enter_context(running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off"))
            twins.append(Twin(server, made, marker))
        yield twins[0], twins[1]


def told_by_both(twins: Sequence[Twin], bodies: Sequence[dict[str, Any]]) -> list[list[tuple[Answer, str]]]:
    """What each twin tells of each body."""
    with ThreadPoolExecutor(4) as pool:
        return [list(pool.map(twin.everything_told, bodies)) for twin in twins]


def _load(data_dir: Path, folder: Path, marker: str, *, others_a_minute: int) -> None:
    for table, own_a_minute in OWN_ROWS_A_MINUTE.items():
        path = folder / f"{table}-{marker}.ndjson"
        with path.open("w", encoding="utf-8") as file:
            for minute in range(MINUTES):
                at = (START + timedelta(minutes=minute)).isoformat()
                for number in range(int(own_a_minute * (minute + 1)) - int(own_a_minute * minute)):
                    file.write(json.dumps({"at": at, **_own_row(minute, number)}) + "\n")
                for number in range(others_a_minute):
                    file.write(json.dumps({"at": at, **_others_row(minute, number, marker)}) + "\n")
        options = ["--time", "at", "--service", "service", "--customer", "customer"]
        data_hist("load", table, str(path), *options, data_dir=data_dir)


def _own_row(minute: int, number: int) -> dict[str, Any]:
    return {
        "service": ("iam-admin", "filebeat")[minute % 2],
        "customer": OWN,
        "number": minute * 10 + number,
        "divisor": 1,
        "json": "{}",
        "time": "2026-11-20T00:00:00Z",
        "pattern": "a+",
        "base64": "AAAA",
        "event_type": "login",
        "level": "INFO",
        "status": 200,
        "duration_ms": 1.5,
        "error": {"code": "E1"},
        "trace_id": f"own {minute} {number}",
        "metric": "cpu",
        "value": 1.5,
    }


def _others_row(minute: int, number: int, marker: str) -> dict[str, Any]:
    return {
        "service": f"{marker}-service" if number else "iam-admin",
        "customer": (OTHER, OPERATOR)[number % 2],
        "number": f"no number {marker}",
        "divisor": 0,
        "json": "{" + marker,
        "time": marker,
        "pattern": f"({marker}",
        "base64": f"!{marker}",
        "secret": f"{marker} {minute} {number}",
        "event_type": f"{marker}-type" if number else "login",
        "level": marker,
        "status": 500 if number % 2 else f"no status {marker}",
        "duration_ms": 0 if number % 2 else marker,
        "error": {"code": marker},
        "trace_id": f"{marker} {minute}",
        "metric": marker,
        "value": marker,
    }
