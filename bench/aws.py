"""SELECT 1 from start to finish through boto3: our endpoint beside moto's canned answer and ministack's DuckDB.

One boto3 client for each; start_query_execution, get_query_execution until it has ended (asked again at once),
get_query_results.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bench.harness import Row, Table, free_port, interleaved, server, timed, versions
from bench.peers.environment import PeersNotInstallable, peer_folder, peer_versions

LIMIT_MILLISECONDS = 25
_BUCKET = "data-hist-results"


def client_of(service: str, port: int) -> Any:
    """A boto3 client of an endpoint on this machine."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


def run_to_end(athena: Any, sql: str, database: str = "default") -> list[list[str | None]]:
    """Rows of a query's first page, header included, as a client gets them."""
    query_execution_id = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": database},
        ResultConfiguration={"OutputLocation": f"s3://{_BUCKET}/"},
    )["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=query_execution_id)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            break
        if status["State"] in ("FAILED", "CANCELLED"):
            raise RuntimeError(status.get("StateChangeReason"))
    rows = athena.get_query_results(QueryExecutionId=query_execution_id)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]


def select_one() -> Table:
    """SELECT 1 through boto3 against data-hist aws, moto and ministack."""
    table = Table(
        "SELECT 1 through boto3",
        "start_query_execution, get_query_execution until SUCCEEDED, get_query_results; one client with one"
        " connection. moto does not"
        " run SQL: its answer is canned. Ratio: over moto.",
        goal=f"at most {LIMIT_MILLISECONDS} ms",
        versions=versions("boto3", "duckdb"),
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {"data-hist aws": stack.enter_context(_data_hist_aws(folder / "ours"))}
        for name, open_peer in (("moto", _moto), ("ministack", _ministack)):
            try:
                ports[name] = stack.enter_context(open_peer(folder))
                table.versions |= peer_versions(name)
            except (PeersNotInstallable, RuntimeError, OSError) as error:
                table.left_out[name] = str(error)
        clients = {}
        for name, port in ports.items():
            athena = client_of("athena", port)
            try:
                if name != "data-hist aws":
                    client_of("s3", port).create_bucket(Bucket=_BUCKET)
                answer = run_to_end(athena, "SELECT 1")
            except (ClientError, BotoCoreError, RuntimeError) as error:
                table.left_out[name] = str(error)
                continue
            clients[name] = athena
            if name == "data-hist aws" and answer != [["_col0"], ["1"]]:
                raise RuntimeError(f"SELECT 1 is {answer}")
        medians = interleaved(
            {
                name: timed(lambda athena=athena: run_to_end(athena, "SELECT 1"), repeat=10)
                for name, athena in clients.items()
            },
            rounds=9,
        )
    ours, canned = medians["data-hist aws"], medians.get("moto")
    notes = {"moto": "canned answer, no SQL is run"}
    table.rows = [
        Row(name, value, "ms", value / canned if canned else None, notes.get(name, ""))
        for name, value in medians.items()
    ]
    table.finding = ", ".join(f"{name} {value:.1f} ms" for name, value in medians.items())
    table.met = ours <= LIMIT_MILLISECONDS
    return table


@contextlib.contextmanager
def _data_hist_aws(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("data-hist")), "aws"]
    with _listening([*command, "--port", str(port), "--data-dir", str(folder)], port, {}):
        yield port


@contextlib.contextmanager
def _moto(_: Path) -> Iterator[int]:
    port = free_port()
    with _listening([str(peer_folder() / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, {}):
        yield port


@contextlib.contextmanager
def _ministack(folder: Path) -> Iterator[int]:
    port = free_port()
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "athena,s3",
        "S3_DATA_DIR": str(folder / "ministack-s3"),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "ERROR",
    }
    with _listening([str(peer_folder() / "ministack")], port, environment):
        yield port


@contextlib.contextmanager
def _listening(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    """A server that is ready when it answers S3's ListBuckets."""
    with server(command, url=f"http://127.0.0.1:{port}/", environment=environment, any_answer=True):
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(BotoCoreError, ClientError):
                client_of("s3", port).list_buckets()
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.1)
        yield
