"""Several query services over one DynamoDB table, one engine and one S3, each with a disk of its own."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from glue.dynamodb_table import create_table
from service.dynamodb_executions import DynamoDbExecutionStore
from service.dynamodb_tables import EXECUTIONS, LEASES
from service.engine_slots import EngineSlots
from service.errors import Blame, NoSpaceForResult
from service.leases import LeasedSlots, LeaseOwnership
from service.model import DownloadFormat, QueryRequest, QueryStatus
from service.queries import QueryService, QueryServiceSettings
from service.scheduler import SchedulerLimits
from service.shared_spools import S3SharedSpools
from service.signing_secrets import FixedKeyRing
from service.spool import Spools, SpoolWriter
from service.tokens import TokenSigner
from tests.contract.aws_implementations import moto_client
from tests.fakes.aws import Answer, answer
from tests.fakes.dynamodb import FaultyDynamoDb, refusal
from tests.fakes.world import ALICE, BOB, World

ROWS = 3000
_NUMBERS = count()


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


class Replicas:
    """Makes services over the same tables. `minimum_shared_bytes` is the size from which spools are shared."""

    def __init__(self, folder: Path, dynamodb: Any) -> None:
        self.world = World(folder)
        self.dynamodb = FaultyDynamoDb(dynamodb)
        self.limits = SchedulerLimits(
            maximum_concurrent=2, first_pause_seconds=0.01, longest_pause_seconds=0.05, is_alone=False
        )
        self.minimum_shared_bytes = 2**30
        self.slot_limit: int | None = None
        self.adoption_interval_seconds = 0.1
        number = next(_NUMBERS)
        self.tables = [f"executions-{number}", f"leases-{number}"]
        for definition, name in zip((EXECUTIONS, LEASES), self.tables, strict=True):
            create_table(dynamodb, definition, name)

    def spools(self, number: int) -> Path:
        """The disk of a replica."""
        return self.world.folder / f"spool-{number}"

    def service(self, number: int) -> QueryService:
        world = self.world
        ownership = LeaseOwnership(self.dynamodb, self.tables[1], lease_seconds=30, clock=world.clock)
        slots: EngineSlots | None = None
        if self.slot_limit is not None:
            slots = LeasedSlots(
                self.dynamodb, self.tables[1], engine_name="athena", limit=self.slot_limit, ownership=ownership
            )
        return QueryService(
            planner=world.planner,
            ledger=world.ledger,
            tables={},
            store=DynamoDbExecutionStore(self.dynamodb, self.tables[0], clock=world.clock, sleep=lambda seconds: None),
            engine=world.engine(),
            spools=Spools(self.spools(number)),
            signer=TokenSigner(FixedKeyRing(b"s" * 32)),
            ownership=ownership,
            clock=world.clock,
            settings=QueryServiceSettings(
                limits=self.limits,
                adoption_interval_seconds=self.adoption_interval_seconds,
                sweep_interval_seconds=0.1,
                page_wait_seconds=20,
            ),
            shared_spools=S3SharedSpools(world.s3, sleep=lambda seconds: None, minimum_bytes=self.minimum_shared_bytes),
            slots=slots,
        )

    def run(self, use: Callable[[QueryService, QueryService], Awaitable[Any]]) -> Any:
        """Runs a coroutine function with two started replicas, and closes both afterwards."""

        async def main() -> Any:
            first, second = self.service(1), self.service(2)
            await first.start()
            await second.start()
            try:
                return await use(first, second)
            finally:
                await first.close()
                await second.close()

        return asyncio.run(main())


@pytest.fixture
def replicas(tmp_path: Path, dynamodb: Any) -> Iterator[Replicas]:
    made = Replicas(tmp_path, dynamodb)
    yield made
    made.world.close()


async def finished(service: QueryService, sql: str = "SELECT n", **members: Any) -> str:
    """Submits and waits until the whole result is spooled; the query_id."""
    execution = await service.submit(QueryRequest(sql, wait_seconds=30, **members), ALICE)
    assert execution.status is QueryStatus.FINISHED, execution.error
    while execution.statistics.rows_total is None:
        await asyncio.sleep(0.01)
        execution = await service.status(execution.query_id, ALICE)
    return execution.query_id


async def all_rows(services: list[QueryService], query_id: str) -> list[int]:
    """The rows of a result, each page from another replica than the one before."""
    rows: list[int] = []
    token = None
    for number in count():
        service = services[number % len(services)]
        told = await service.next_page(query_id, ALICE, paging_token=token, results_per_page=700)
        rows += [row["n"] for row in json.loads(told.body)["result_set"]]
        token = told.paging_token
        if token is None:
            return rows
    raise AssertionError


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.01)


def numbers(row_count: int = ROWS) -> Answer:
    return answer(columns=[("n", "integer")], rows=[[str(number)] for number in range(row_count)])


@pytest.mark.parametrize("minimum_shared_bytes", [2**30, 1000], ids=["spooled by each", "shared"])
def test_tokens_of_one_replica_are_good_on_another(replicas: Replicas, minimum_shared_bytes: int) -> None:
    replicas.minimum_shared_bytes = minimum_shared_bytes
    replicas.world.athena.default = numbers()
    is_shared = minimum_shared_bytes < 2**20

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = await finished(first)
        shared = [key for _, key in replicas.world.s3.objects if key.startswith("spool/")]
        if is_shared:
            await until(lambda: any(key.endswith("/index") for _, key in replicas.world.s3.objects))
        else:
            assert shared == []
        assert await all_rows([second, first], query_id) == list(range(ROWS))
        assert (replicas.spools(2) / query_id[:2] / query_id).exists() is not is_shared
        # an ndjson download needs the rows too
        download = await second.download(query_id, ALICE, DownloadFormat.NDJSON)
        lines = b"".join(await asyncio.to_thread(list, download.chunks)).splitlines()
        assert [json.loads(line)["n"] for line in lines] == list(range(ROWS))

    replicas.run(use)


def test_a_shared_spool_that_is_lost_loses_nothing(replicas: Replicas) -> None:
    replicas.minimum_shared_bytes = 1000
    replicas.world.athena.default = numbers()

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = await finished(first)
        objects = replicas.world.s3.objects
        await until(lambda: any(key.endswith("/index") for _, key in objects))
        assert (await second.next_page(query_id, ALICE)).row_count == 1000
        for place in [place for place in objects if place[1].startswith("spool/")]:
            del objects[place]
        assert await all_rows([second], query_id) == list(range(ROWS))
        # who made it again shares it again
        await until(lambda: any(key.endswith("/index") for _, key in objects))

    replicas.run(use)


def test_expired_results_are_gone_from_s3_and_from_every_disk(replicas: Replicas) -> None:
    replicas.minimum_shared_bytes = 1000
    replicas.world.athena.default = numbers()

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = await finished(first, retention_minutes=1)
        objects = replicas.world.s3.objects
        await until(lambda: any(key.endswith("/index") for _, key in objects))
        for place in [place for place in objects if place[1].startswith("spool/")]:
            del objects[place]
        await second.next_page(query_id, ALICE)
        await until(lambda: any(key.endswith("/index") for _, key in objects))
        replicas.world.clock.advance(minutes=2)
        await until(lambda: not objects)
        await until(lambda: not any(list(replicas.spools(number).glob("??/*")) for number in (1, 2)))

    replicas.run(use)


def test_a_store_that_is_away_for_a_while_fails_no_query_and_runs_none_twice(replicas: Replicas) -> None:
    held = replicas.world.athena.default = Answer()

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = (await first.submit(QueryRequest("SELECT 1"), ALICE)).query_id
        await until(lambda: bool(replicas.world.athena.runs))
        replicas.dynamodb.refuse = lambda method, arguments: refusal("ProvisionedThroughputExceededException")
        held.released.set()
        await asyncio.sleep(0.3)
        replicas.dynamodb.refuse = lambda method, arguments: None
        execution = await second.status(query_id, ALICE, wait_seconds=30)
        assert execution.status is QueryStatus.FINISHED

    replicas.run(use)
    assert replicas.world.athena.started() == ["SELECT 1"]


def test_slots_bound_what_runs_for_all_replicas(replicas: Replicas) -> None:
    replicas.slot_limit = 2
    running: list[int] = []
    athena = replicas.world.athena

    def note(operation: str) -> None:
        if operation == "StartQueryExecution":
            running.append(sum(athena._state(run) == "RUNNING" for run in list(athena.runs.values())))

    athena.on_call = note

    async def use(first: QueryService, second: QueryService) -> None:
        submitted = []
        for number in range(4):
            for service, caller in ((first, ALICE), (second, BOB)):
                execution = await service.submit(QueryRequest(f"SELECT {number}"), caller)
                submitted.append((service, execution.query_id, caller))
        for service, query_id, caller in submitted:
            ended = await service.status(query_id, caller, wait_seconds=50)
            assert ended.status is QueryStatus.FINISHED

    replicas.run(use)
    assert len(running) == 8
    assert max(running) <= 1  # before each start at most one other


def test_each_replica_takes_its_share_of_what_another_left(replicas: Replicas) -> None:
    replicas.adoption_interval_seconds = 1000
    held = replicas.world.athena.default = Answer()
    threads = replicas.limits.maximum_concurrent

    async def use(first: QueryService, second: QueryService) -> None:
        third = replicas.service(3)
        await third.start()
        ids = [(await third.submit(QueryRequest(f"SELECT {number}"), ALICE)).query_id for number in range(14)]
        store = third._store
        await until(lambda: sum(found.status is QueryStatus.RUNNING for found in store.unfinished()) == threads)
        await third.close()
        shares = [
            await asyncio.to_thread(service._scheduler.adopt_abandoned) for service in (first, second, first, second)
        ]
        # what ran is taken at once, of the rest some four for each thread, then as many as threads
        assert shares == [threads + 4 * threads, 14 - 5 * threads, 0, 0]
        held.released.set()
        for query_id in ids:
            assert (await first.status(query_id, ALICE, wait_seconds=50)).status is QueryStatus.FINISHED

    replicas.run(use)
    assert sorted(replicas.world.athena.started()) == sorted(f"SELECT {number}" for number in range(14))


class FullDisk:
    """Makes the writing of spools fail until there is room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        whole = SpoolWriter.append

        def append(writer: SpoolWriter, rows: memoryview, end_offsets: Any) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            whole(writer, rows, end_offsets)

        monkeypatch.setattr(SpoolWriter, "append", append)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def test_a_disk_that_is_full_for_a_moment_fails_no_query(replicas: Replicas, disk: FullDisk) -> None:
    disk.is_full = True

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = (await first.submit(QueryRequest("SELECT n"), ALICE)).query_id
        await until(lambda: bool(replicas.world.athena.runs))
        await asyncio.sleep(0.2)
        assert (await first.status(query_id, ALICE)).status is not QueryStatus.FAILED
        disk.is_full = False
        assert (await second.status(query_id, ALICE, wait_seconds=30)).status is QueryStatus.FINISHED

    replicas.run(use)
    assert replicas.world.athena.started() == ["SELECT n"]


def test_a_disk_that_stays_full_is_told_by_its_name(replicas: Replicas, disk: FullDisk) -> None:
    replicas.limits = replace(replicas.limits, engine_patience_seconds=0.2)
    disk.is_full = True

    async def use(first: QueryService, second: QueryService) -> None:
        execution = await first.submit(QueryRequest("SELECT n", wait_seconds=30), ALICE)
        assert execution.error is not None
        assert (execution.error.code, execution.error.blame) == ("NoSpaceForResult", Blame.SERVICE)
        assert execution.error.retryable

    replicas.run(use)


def test_pages_say_that_there_is_no_room_and_the_csv_needs_none(replicas: Replicas, disk: FullDisk) -> None:
    replicas.world.athena.default = numbers()

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = await finished(first)
        disk.is_full = True
        with pytest.raises(NoSpaceForResult):
            await second.next_page(query_id, ALICE)
        download = await second.download(query_id, ALICE, DownloadFormat.CSV)
        assert len(b"".join(await asyncio.to_thread(list, download.chunks)).splitlines()) == ROWS + 1
        assert (await first.next_page(query_id, ALICE)).row_count == 1000
        disk.is_full = False
        second._results._spooling_troubles.clear()  # five seconds later
        assert await all_rows([second], query_id) == list(range(ROWS))

    replicas.run(use)


def test_a_disk_that_was_emptied_is_filled_again(replicas: Replicas) -> None:
    replicas.world.athena.default = numbers()

    async def use(first: QueryService, second: QueryService) -> None:
        query_id = await finished(first)
        await first.close()
        shutil.rmtree(replicas.spools(1))
        assert await all_rows([second], query_id) == list(range(ROWS))

    async def main() -> None:
        first, second = replicas.service(1), replicas.service(2)
        await first.start()
        await second.start()
        await use(first, second)
        await second.close()

    asyncio.run(main())
