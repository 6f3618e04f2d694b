"""Several replicas of the service, real processes over real HTTP: killed, paused, replaced, none lost, none run twice.

`data-hist aws` is Athena, Glue and S3, moto's server is DynamoDB, `data-hist serve` twice is the service. What ran on
the engine is counted there: every query of a test has SQL of its own. KILL_ROUNDS=20 kills a replica so often.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from tests.e2e.conftest import COMMAND, LAKE_ROWS, Server, copy_of, environment_of, running_server

LEASE_SECONDS = 2
PATIENCE_SECONDS = 240
SECRET = "a secret of at least thirty-two characters"
PAIRS = (
    "SELECT a.createdtimestamp AS x, b.y, rpad(a.data, 300, '.') AS d, {n} AS n"
    " FROM events a, (SELECT createdtimestamp AS y FROM events LIMIT 100) b"
)
PAIRS_ROWS = LAKE_ROWS * 100
SLOW = "SELECT count(*) AS c, {n} AS n FROM events a, events b, (SELECT data FROM events LIMIT 200) c WHERE a.data > ''"
ENDLESS = "SELECT count(*) AS c, {n} AS n FROM events a, events b, events c, events d"
QUICK = "SELECT count(*) AS c, {n} AS n FROM events"
KILL_ROUNDS = int(os.environ.get("KILL_ROUNDS", "1"))
_NUMBERS = count(1)


@dataclass
class Cluster:
    """The services behind the replicas and two replicas, of which the first stays and the second may be lost.

    `accepted` are (query_id, SQL) of what was taken and has to end well.
    """

    environment: dict[str, str]
    folder: Path
    stack: ExitStack
    replicas: list[Server] = field(default_factory=list)
    accepted: list[tuple[str, str]] = field(default_factory=list)

    def pair(self) -> tuple[Server, Server]:
        """Both replicas, running; those that ended before are replaced by new ones."""
        self.replicas = [replica for replica in self.replicas if replica.process.poll() is None]
        while len(self.replicas) < 2:
            folder = self.folder / f"replica-{next(_NUMBERS)}"
            settings = {**self.environment, "DATA_HIST_DRAIN_SECONDS": "4" if self.replicas else "0"}
            self.replicas.append(self.stack.enter_context(running_server(folder, **settings)))
        return self.replicas[0], self.replicas[1]

    def submit(self, replica: Server, template: str, *, is_to_end: bool = True) -> str:
        """Submits SQL that nobody else submits; the query_id."""
        sql = template.format(n=next(_NUMBERS))
        answer = replica.post("/query", json={"query": sql})
        assert answer.status_code == 200, answer.text
        query_id = str(answer.json()["query_id"])
        if is_to_end:
            self.accepted.append((query_id, sql))
        return query_id

    def all_end_well(self, replica: Server) -> None:
        """Waits until `replica` tells that every accepted query is FINISHED, its rows are there and it ran once."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for query_id, sql in self.accepted:
            told = replica.get(f"/status/{query_id}?wait_seconds=5").json()
            while not told["is_terminal"]:
                assert time.monotonic() < deadline, (told, sql)
                told = replica.get(f"/status/{query_id}?wait_seconds=5").json()
            assert told["status"] == "FINISHED", told
            page = replica.post("/next", json={"query_id": query_id, "results_per_page": 3})
            while page.status_code == 409:  # still being written: a replica on a busy machine
                assert time.monotonic() < deadline, page.text
                page = replica.post("/next", json={"query_id": query_id, "results_per_page": 3})
            assert page.status_code == 200, page.text
            assert page.json()["row_count"] >= 1
        assert self.started_by_sql() == {sql: 1 for _, sql in self.accepted}

    def started_by_sql(self) -> dict[str, int]:
        """How often the engine was asked to run each accepted SQL (the engine's has more around it)."""
        athena = self.client("athena")
        found: dict[str, int] = dict.fromkeys((sql for _, sql in self.accepted), 0)
        markers = {sql: f" {_number(sql)} AS n" for sql in found}
        for page in athena.get_paginator("list_query_executions").paginate():
            ids = page["QueryExecutionIds"]
            executions = athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"] if ids else []
            for execution in executions:
                for sql, marker in markers.items():
                    found[sql] += marker in execution["Query"].replace("\n", " ")
        return found

    def client(self, service: str) -> Any:
        """boto3's client of the endpoint behind the replicas."""
        return boto3.client(
            service,
            region_name="eu-central-1",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )


def _number(sql: str) -> str:
    return sql.rpartition(" AS n")[0].rpartition(" ")[2]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, loaded_lake: Path) -> Iterator[dict[str, str]]:
    """The endpoints behind the replicas, as environment variables; the tables are there."""
    data_dir = copy_of(loaded_lake, tmp_path_factory.mktemp("aws"))
    with ExitStack() as stack:
        aws = stack.enter_context(_aws_endpoint(data_dir))
        dynamodb = stack.enter_context(_dynamodb_endpoint())
        environment = {
            "AWS_ENDPOINT_URL": aws,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "DATA_HIST_ENGINE": "athena",
            "DATA_HIST_STORE": "dynamodb",
            "DATA_HIST_SECRET": SECRET,
            "DATA_HIST_LEASE_SECONDS": str(LEASE_SECONDS),
            "DATA_HIST_REQUEST_EVENTS": "off",
            "DATA_HIST_MAX_CONCURRENT_QUERIES": "2",
        }
        for _ in range(2):
            made = subprocess.run(
                [COMMAND, "store", "create"], env=environment_of(**environment), capture_output=True, check=False
            )
            assert made.returncode == 0, made.stderr.decode()
        yield environment


@pytest.fixture(scope="module")
def running(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(services, tmp_path_factory.mktemp("replicas"), stack)


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    running.accepted.clear()
    return running


@contextmanager
def _aws_endpoint(data_dir: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(COMMAND), "aws", "--port", str(port), "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "data-hist aws does not listen"
                assert process.poll() is None, "data-hist aws has ended"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@contextmanager
def _dynamodb_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status_of(replica: Server, query_id: str) -> str:
    return str(replica.get(f"/status/{query_id}").json()["status"])


def test_a_deep_page_comes_from_every_replica(cluster: Cluster) -> None:
    replicas = cluster.pair()
    query_id = cluster.submit(replicas[0], PAIRS)
    wait_until(lambda: replicas[1].get(f"/status/{query_id}").json()["statistics"].get("rows_total") == PAIRS_ROWS)
    s3 = cluster.client("s3")

    def shared_objects() -> list[str]:
        listed = s3.list_objects_v2(Bucket="data-hist-results", Prefix=f"spool/{query_id}/").get("Contents", [])
        return [entry["Key"].rpartition("/")[2] for entry in listed]

    wait_until(lambda: shared_objects() == ["index", "rows"])
    pairs: set[tuple[int, int]] = set()
    body: dict[str, Any] = {"query_id": query_id}
    for number in count():
        page = replicas[number % 2].post("/next", json=body)
        assert page.status_code == 200, page.text
        if number < 3:
            assert replicas[(number + 1) % 2].post("/next", json=body).content == page.content
        pairs.update((row["x"], row["y"]) for row in page.json()["result_set"])
        if "paging_token" not in page.json():
            break
        body["paging_token"] = page.json()["paging_token"]
    assert len(pairs) == PAIRS_ROWS
    cluster.all_end_well(replicas[1])


def test_a_query_is_listed_and_cancelled_by_any_replica(cluster: Cluster) -> None:
    first, second = cluster.pair()
    endless = cluster.submit(first, ENDLESS, is_to_end=False)
    wait_until(lambda: second.get("/queries?limit=1").json()["queries"][0]["query_id"] == endless)
    assert second.client.delete(f"/v0/data_hist/query/{endless}").json()["status"] == "CANCELLED"
    assert status_of(first, endless) == "CANCELLED"


def test_a_rolling_restart_loses_nothing(cluster: Cluster) -> None:
    """A replica drains while clients go on, each trying the other one when it is refused, with its idempotency key."""
    staying, leaving = cluster.pair()
    for template in (SLOW, SLOW, QUICK, QUICK):
        cluster.submit(leaving, template)
    leaving.process.send_signal(signal.SIGTERM)
    wait_until(lambda: leaving.client.get("/health/ready").status_code == 503)
    assert "draining" in leaving.client.get("/health/ready").text
    cluster.submit(leaving, QUICK)  # sent before the load balancer looked away
    for _ in range(3):
        sql, key = QUICK.format(n=next(_NUMBERS)), f"key-{next(_NUMBERS)}"
        for replica in (leaving, staying):
            try:
                answer = replica.post("/query", json={"query": sql}, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                cluster.accepted.append((answer.json()["query_id"], sql))
                break
            assert answer.status_code == 503, answer.text
    assert leaving.process.wait(PATIENCE_SECONDS) == 0
    assert len({query_id for query_id, _ in cluster.accepted}) == 8
    cluster.all_end_well(staying)


def test_a_replica_that_sleeps_past_its_lease_does_no_harm(cluster: Cluster) -> None:
    awake, sleeper = cluster.pair()
    for template in (SLOW, QUICK, QUICK, PAIRS):
        cluster.submit(sleeper, template)
    sleeper.process.send_signal(signal.SIGSTOP)
    try:
        cluster.all_end_well(awake)
    finally:
        sleeper.process.send_signal(signal.SIGCONT)
    cluster.submit(sleeper, QUICK)
    cluster.all_end_well(sleeper)


@pytest.mark.parametrize("round_number", range(KILL_ROUNDS))
def test_a_replica_that_is_killed_loses_nothing(cluster: Cluster, round_number: int) -> None:
    """It has queries that run, queries that wait and a result that is half spooled; then it is gone."""
    staying, doomed = cluster.pair()
    spooled = cluster.submit(doomed, PAIRS)
    for template in (SLOW, SLOW, QUICK, QUICK):
        cluster.submit(doomed, template)
    cluster.submit(staying, QUICK)
    if round_number % 3 == 0:
        wait_until(lambda: status_of(doomed, spooled) == "FINISHED")
    else:  # rounds by hand: any moment
        time.sleep(random.Random(round_number).random() * 3)
    doomed.stop(signal.SIGKILL)
    cluster.all_end_well(staying)
