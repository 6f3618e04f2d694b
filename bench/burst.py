"""Many at once: 1,000 queries of 50 tenants, status while 8 queries run, and the rate of status beside Starlette's."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.harness import Row, Table, data_hist, free_port, interleaved, server, versions
from bench.http import finished_query, port_of
from bench.wire import Wire, get, requests_per_second

TENANTS = 50
QUERIES = 1000
CONNECTIONS = 32
RUNNING = 8
LIMIT_MILLISECONDS = 20
_LONG = (
    "SELECT count(*) AS n FROM UNNEST(sequence(1, 10000)) AS a(x), UNNEST(sequence(1, 10000)) AS b(y)"
    " WHERE x * y % 7 = {n}"
)


def thousand_queries() -> Table:
    """What becomes of 1,000 queries that 50 tenants submit at once."""
    table = Table(
        "1,000 queries at once",
        f"{TENANTS} tenants, each with a key, submit {QUERIES // TENANTS} queries each over {CONNECTIONS} connections,"
        " as fast as they are answered; then every query is waited for and its page read. Fair: how many of each"
        " tenant's queries had ended when half of all had. A queue of 1,000, and one of 200, which refuses the rest.",
        goal="all accepted or refused with Retry-After, none lost, tenants alike",
        versions=versions("connexion", "uvicorn"),
    )
    findings = []
    is_met = True
    for limit in (QUERIES, 200):
        with tempfile.TemporaryDirectory() as folder:
            keys = _keys(Path(folder))
            settings = {"DATA_HIST_MAX_QUEUED_QUERIES": str(limit), "DATA_HIST_REQUEST_EVENTS": "off"}
            with data_hist(Path(folder), **settings) as (base, _):
                told = asyncio.run(_burst(base, keys))
        least, most = min(told.ended_at_half.values()), max(told.ended_at_half.values())
        name = f"a queue of {limit}"
        table.rows += [
            Row(f"{name}: accepted", len(told.accepted), "queries"),
            Row(f"{name}: refused with Retry-After", told.refused, "queries"),
            Row(f"{name}: submitted in", told.submit_seconds, "s", note=f"p99 of submit {told.submit_p99_ms:.0f} ms"),
            Row(f"{name}: all ended in", told.seconds, "s", note=f"{len(told.accepted) / told.seconds:.0f} queries/s"),
            Row(f"{name}: ended at half, least to most of a tenant", least, "queries", note=f"to {most}"),
            Row(f"{name}: lost", told.lost, "queries"),
        ]
        is_whole = told.lost == 0 and len(told.accepted) + told.refused == QUERIES
        is_met = is_met and is_whole and told.refused_otherwise == 0 and (limit < QUERIES or most - least <= 4)
        counts = f"{len(told.accepted)} accepted, {told.refused} refused, {told.lost} lost"
        findings.append(f"{name}: {counts}, {least} to {most} of a tenant at half")
    table.finding = "; ".join(findings)
    table.met = is_met
    return table


class _Told:
    """What a burst came to."""

    def __init__(self) -> None:
        self.accepted: dict[str, int] = {}  # query_id -> tenant
        self.refused = 0
        self.refused_otherwise = 0
        self.submit_seconds = 0.0
        self.submit_p99_ms = 0.0
        self.seconds = 0.0
        self.lost = 0
        self.ended_at_half: Counter[int] = Counter()


async def _burst(base: str, keys: list[str]) -> _Told:
    told = _Told()
    turns = asyncio.Semaphore(CONNECTIONS)
    limits = httpx.Limits(max_connections=CONNECTIONS + 1, max_keepalive_connections=CONNECTIONS + 1)
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=300) as client:
        samples: list[float] = []

        async def submit(number: int) -> None:
            tenant = number % TENANTS
            async with turns:
                started = time.perf_counter()
                answer = await client.post(
                    "/v0/data_hist/query",
                    json={"query": f"SELECT {number} AS n", "retention_minutes": 60},
                    headers={"X-API-Key": keys[tenant]},
                )
                samples.append((time.perf_counter() - started) * 1000)
            if answer.status_code == 200:
                told.accepted[answer.json()["query_id"]] = tenant
            elif answer.status_code == 429 and "retry-after" in answer.headers:
                told.refused += 1
            else:
                told.refused_otherwise += 1

        started = time.perf_counter()
        await asyncio.gather(*map(submit, range(QUERIES)))
        told.submit_seconds = time.perf_counter() - started
        told.submit_p99_ms = statistics.quantiles(samples, n=100)[98]
        ended: dict[str, datetime] = {}

        async def wait(query_id: str, tenant: int) -> None:
            headers = {"X-API-Key": keys[tenant]}
            async with turns:
                while True:
                    answer = await client.get(f"/v0/data_hist/status/{query_id}?wait_seconds=20", headers=headers)
                    status = answer.json()
                    if answer.status_code != 200 or status["is_terminal"]:
                        break
                page = await client.post("/v0/data_hist/next", json={"query_id": query_id}, headers=headers)
            if page.status_code == 200 and page.json()["row_count"] == 1:
                ended[query_id] = datetime.fromisoformat(status["ended_at"])

        await asyncio.gather(*(wait(query_id, tenant) for query_id, tenant in told.accepted.items()))
        told.seconds = time.perf_counter() - started
    told.lost = len(told.accepted) - len(ended)
    order = sorted(ended, key=lambda query_id: ended[query_id])
    told.ended_at_half = Counter(dict.fromkeys(set(told.accepted.values()), 0))
    told.ended_at_half.update(told.accepted[query_id] for query_id in order[: len(order) // 2])
    return told


def _keys(data_dir: Path) -> list[str]:
    """A key for each tenant, made before the service starts."""
    from service.key_store import SqliteKeyStore
    from service.keys import ApiKeys

    keys = ApiKeys(SqliteKeyStore(data_dir / "keys.sqlite"), clock=lambda: datetime.now(UTC))
    made = [keys.create(customers=[11000 + number]).secret for number in range(TENANTS)]
    keys.close()
    return made


def status_while_busy() -> Table:
    """How long a status takes while eight queries use all cores."""
    table = Table(
        "GET status while 8 queries run",
        f"One keep-alive connection, 2,000 requests one after another, while {RUNNING} queries of the embedded engine"
        " count a hundred million pairs each; beside it the same of the idle service.",
        goal=f"p99 at most {LIMIT_MILLISECONDS} ms",
        versions=versions("connexion", "uvicorn", "duckdb"),
    )
    settings = {"DATA_HIST_MAX_CONCURRENT_QUERIES": str(RUNNING), "DATA_HIST_REQUEST_EVENTS": "off"}
    with (
        tempfile.TemporaryDirectory() as folder,
        data_hist(Path(folder), **settings) as (base, _),
        httpx.Client(base_url=base, timeout=60) as client,
    ):
        query_id = finished_query(client, "SELECT 1 AS one")
        idle = _status_samples(port_of(base), query_id)
        with _running(client) as running_id:
            of_ended = _status_samples(port_of(base), query_id)
            of_running = _status_samples(port_of(base), running_id)
    for name, samples in (
        ("idle, an ended query", idle),
        ("8 run, an ended query", of_ended),
        ("8 run, one of them", of_running),
    ):
        p99 = statistics.quantiles(samples, n=100)[98]
        table.rows.append(
            Row(name, statistics.median(samples), "ms", note=f"p99 {p99:.2f} ms, most {max(samples):.1f} ms")
        )
    worst = max(statistics.quantiles(samples, n=100)[98] for samples in (of_ended, of_running))
    table.finding = f"p99 {worst:.1f} ms"
    table.met = worst <= LIMIT_MILLISECONDS
    return table


@contextmanager
def _running(client: httpx.Client) -> Iterator[str]:
    """Keeps eight queries running; gives the id of one that runs when it is given."""
    numbers = itertools.count()
    ids: list[str] = []

    def submit() -> str:
        body = {"query": _LONG.format(n=next(numbers)), "retention_minutes": 5}
        return str(client.post("/v0/data_hist/query", json=body).raise_for_status().json()["query_id"])

    def state(query_id: str) -> str:
        return str(client.get(f"/v0/data_hist/status/{query_id}").json()["status"])

    ids += [submit() for _ in range(RUNNING * 4)]
    while sum(state(query_id) == "RUNNING" for query_id in ids) < RUNNING:
        time.sleep(0.05)
    try:
        yield next(query_id for query_id in reversed(ids) if state(query_id) == "RUNNING")
    finally:
        for query_id in ids:
            client.delete(f"/v0/data_hist/query/{query_id}")


def _status_samples(port: int, query_id: str, request_count: int = 2000) -> list[float]:
    request = get(f"/v0/data_hist/status/{query_id}")
    samples = []
    with Wire(port) as wire:
        for _ in range(request_count):
            started = time.perf_counter()
            wire.ask(request)
            samples.append((time.perf_counter() - started) * 1000)
    return samples


def status_rate() -> Table:
    """Requests a second of GET status, beside bare Starlette's."""
    table = Table(
        "Rate of GET status beside bare Starlette",
        "16 keep-alive connections of one client process, which sends on all and then reads all, so that the server is"
        " never without work. The floor answers a ready body.",
        goal="at least 0.20 of Starlette's rate (0.40 to come)",
        versions=versions("connexion", "starlette", "uvicorn", "uvloop"),
    )
    floor_port = free_port()
    floor = [sys.executable, "-m", "bench.peers.starlette_server", str(floor_port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(floor, url=f"http://127.0.0.1:{floor_port}/health/ready"),
        data_hist(Path(folder), DATA_HIST_ACCESS_LOG="off") as (base, _),
    ):
        with httpx.Client(base_url=base, timeout=60) as client:
            query_id = finished_query(client, "SELECT 1 AS one")
        request = get(f"/v0/data_hist/status/{query_id}")
        rates: dict[str, Any] = interleaved(
            {
                "bare Starlette": requests_per_second([floor_port], request),
                "data-hist": requests_per_second([port_of(base)], request),
            },
            rounds=7,
        )
    share = rates["data-hist"] / rates["bare Starlette"]
    table.rows = [Row(name, rate, "requests/s", rate / rates["bare Starlette"]) for name, rate in rates.items()]
    table.finding = f"{share:.2f} of Starlette's rate"
    table.met = share >= 0.20
    return table
