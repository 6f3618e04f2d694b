"""Several replicas: what a second one adds, and what a page costs on a replica that did not spool the result.

The replicas are real (`data-hist serve` with DATA_HIST_STORE=dynamodb); behind them stand `data-hist aws` for Athena,
Glue and S3, and moto for DynamoDB. All of it, and the client, shares this machine's cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.aws import client_of
from bench.harness import Row, Table, data_hist, free_port, interleaved, server, versions
from bench.http import MILLION_ROWS, finished_query, next_request, port_of
from bench.wire import get, median_milliseconds, post, requests_per_second
from service.model import OPERATOR
from service.shared_spools import MINIMUM_BYTES
from service.signing_secrets import FixedKeyRing
from service.tokens import ResultPosition, TokenSigner

GOAL = 1.7
DEEP_ROW = 900_000
_BUCKET = "data-hist-results"
_SECRET = "paging tokens of the benchmark, and nothing else"


@dataclass(frozen=True)
class Cluster:
    """Base URLs of the replicas, and the port of `data-hist aws` behind them."""

    bases: list[str]
    aws_port: int

    @property
    def ports(self) -> list[int]:
        """The replicas' ports."""
        return [port_of(base) for base in self.bases]


@contextmanager
def replicas(folder: Path, count: int) -> Iterator[Cluster]:
    """So many replicas, with what stands behind them."""
    aws_port, dynamodb_port = free_port(), free_port()
    command = str(Path(sys.executable).with_name("data-hist"))
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}",
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamodb_port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "DATA_HIST_ENGINE": "athena",
        "DATA_HIST_STORE": "dynamodb",
        "DATA_HIST_SECRET": _SECRET,
        "DATA_HIST_REQUEST_EVENTS": "off",
        "DATA_HIST_ACCESS_LOG": "off",
    }
    aws = [command, "aws", "--port", str(aws_port), "--data-dir", str(folder / "aws")]
    moto = [sys.executable, "-m", "moto.server", "-p", str(dynamodb_port)]
    with (
        server(aws, url=f"http://127.0.0.1:{aws_port}/", any_answer=True),
        server(moto, url=f"http://127.0.0.1:{dynamodb_port}/moto-api/", any_answer=True),
        ExitStack() as stack,
    ):
        subprocess.run([command, "store", "create"], env={**os.environ, **environment}, check=True, capture_output=True)
        bases = [
            stack.enter_context(data_hist(folder / f"replica-{number}", **environment))[0] for number in range(count)
        ]
        yield Cluster(bases, aws_port)


def two_replicas() -> Table:
    """Rates of status and next of one replica and of two, beside what two processes of bare Starlette gain."""
    table = Table(
        "Two replicas beside one",
        "16 connections of one client process, all to one replica or eight to each; an ended query of 10,000 rows,"
        " pages of 100. Beside it bare Starlette in one process and in two: what a second process can gain on these"
        " cores, which the client, DynamoDB's stand-in and everything else share. Ratio: to one.",
        goal=f"at least {GOAL} x one replica where there are cores for both (two of bare Starlette gain as much)",
        versions=versions("connexion", "starlette", "uvicorn", "moto"),
    )
    floor_ports = [free_port(), free_port()]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for port in floor_ports:
            floor = [sys.executable, "-m", "bench.peers.starlette_server", str(port)]
            stack.enter_context(server(floor, url=f"http://127.0.0.1:{port}/health/ready"))
        cluster = stack.enter_context(replicas(Path(name), 2))
        with httpx.Client(base_url=cluster.bases[0], timeout=120) as client:
            query_id = finished_query(client, MILLION_ROWS.format(outer=0))
        ports = cluster.ports
        for base in cluster.bases:
            _page(base, query_id, None)
        requests = {"status": get(f"/v0/data_hist/status/{query_id}"), "next": _small_page(query_id)}
        candidates = {
            f"{kind}, {len(some)}": requests_per_second(some, request, rounds=40)
            for kind, request in requests.items()
            for some in (ports[:1], ports)
        }
        candidates |= {
            f"bare Starlette, {len(some)}": requests_per_second(some, requests["status"], rounds=40)
            for some in (floor_ports[:1], floor_ports)
        }
        rates = interleaved(candidates, rounds=7)
    gains = {}
    for kind in ("status", "next", "bare Starlette"):
        gains[kind] = rates[f"{kind}, 2"] / rates[f"{kind}, 1"]
        table.rows += [
            Row(f"{kind}, one", rates[f"{kind}, 1"], "requests/s"),
            Row(f"{kind}, two", rates[f"{kind}, 2"], "requests/s", gains[kind]),
        ]
    table.finding = "; ".join(f"{kind} {gain:.2f} x" for kind, gain in gains.items())
    if gains["bare Starlette"] >= GOAL:
        table.met = min(gains["status"], gains["next"]) >= GOAL
    else:
        table.finding += f"; {os.cpu_count()} cores have none to spare for a second process, so nothing is proved here"
    return table


def pages_of_another() -> Table:
    """A page of 1,000 of a million rows: on the replica that spooled it, and on others, shared and made again."""
    table = Table(
        "Pages of a result that another replica spooled",
        "1,000,000 rows x 10 columns. Own: the replica that wrote the spool. Shared: another, which reads the rows by"
        f" range from S3 (from {MINIMUM_BYTES // 2**20} MB on). Again: another that makes its own spool from the"
        " result object (smaller results). S3 is `data-hist aws` on this machine: a bucket answers some 10 to 30 ms"
        " later.",
        goal="the last page of another replica without waiting for the rows before it",
        versions=versions("connexion", "uvicorn", "boto3", "moto"),
    )
    with tempfile.TemporaryDirectory() as name, replicas(Path(name), 2) as cluster:
        with httpx.Client(base_url=cluster.bases[0], timeout=120) as client:
            query_id = finished_query(client, MILLION_ROWS.format(outer=99))
        sharing_seconds = _until_shared(cluster.aws_port, query_id)
        own, other = cluster.ports
        first, deep = next_request(query_id, None), next_request(query_id, _token(query_id, DEEP_ROW))
        medians = interleaved(
            {
                "own, first": median_milliseconds(own, [first] * 50),
                "own, deep": median_milliseconds(own, [deep] * 50),
                "shared, first": median_milliseconds(other, [first] * 50),
                "shared, deep": median_milliseconds(other, [deep] * 50),
            },
            rounds=5,
        )
        _forget_shared(cluster.aws_port, query_id)
        started = time.perf_counter()
        _page(cluster.bases[1], query_id, None)
        again_first_ms = (time.perf_counter() - started) * 1000
        _page(cluster.bases[1], query_id, _token(query_id, DEEP_ROW))
        again_deep_ms = (time.perf_counter() - started) * 1000
    table.rows = [Row(name, value, "ms/page", value / medians["own, first"]) for name, value in medians.items()]
    table.rows += [
        Row("again: first page", again_first_ms, "ms", note="once; own pages from then on"),
        Row(
            f"again: page at row {DEEP_ROW:,}",
            again_deep_ms,
            "ms",
            note="once; the rows before it have to be read first",
        ),
        Row("sharing it", sharing_seconds * 1000, "ms", note="in the background, after the query has ended"),
    ]
    table.finding = (
        f"deep page {medians['shared, deep']:.1f} ms shared, {medians['own, deep']:.2f} ms own;"
        f" made again it takes {again_deep_ms / 1000:.1f} s, its first page {again_first_ms:.0f} ms"
    )
    table.met = medians["shared, deep"] <= 3 * medians["shared, first"]
    return table


def _small_page(query_id: str) -> bytes:
    """A page of 100 rows: larger ones keep the client busier than the server."""
    return post("/v0/data_hist/next", {"query_id": query_id, "results_per_page": 100})


def _token(query_id: str, row: int) -> str:
    """The paging token of the page that begins at this row."""
    signer = TokenSigner(FixedKeyRing(_SECRET.encode()))
    return signer.result_token(ResultPosition(row, 0), tenant=OPERATOR.tenant, query_id=query_id)


def _page(base: str, query_id: str, token: str | None) -> None:
    """Asks until the page is there."""
    body: dict[str, Any] = {"query_id": query_id} | ({"paging_token": token} if token else {})
    while True:
        answer = httpx.post(f"{base}/v0/data_hist/next", json=body, timeout=60)
        if answer.status_code == 200:
            return
        if answer.status_code != 409:
            raise RuntimeError(answer.text)


def _until_shared(aws_port: int, query_id: str) -> float:
    """Seconds until the shared spool is whole."""
    s3, started = client_of("s3", aws_port), time.perf_counter()
    while not s3.list_objects_v2(Bucket=_BUCKET, Prefix=f"spool/{query_id}/index")["KeyCount"]:
        time.sleep(0.05)
    return time.perf_counter() - started


def _forget_shared(aws_port: int, query_id: str) -> None:
    s3 = client_of("s3", aws_port)
    for name in ("index", "rows"):
        s3.delete_object(Bucket=_BUCKET, Key=f"spool/{query_id}/{name}")
