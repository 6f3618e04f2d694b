"""Result reuse inside one process and between processes: who follows whom, what it is told, what it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from service.errors import ResultExpired
from service.model import OPERATOR, Caller, DownloadFormat, QueryExecution, QueryRequest, QueryStatus, ReuseWish
from service.queries import QueryService
from service.reuse import LedgerDataVersions
from service.scheduler import SchedulerLimits
from service.sql.plan import PlannedTable
from tests.fakes.aws import Malformed, MalformedRow, answer
from tests.fakes.world import ALICE, BOB, FakeDataVersions, World

Serve = Callable[[Callable[[QueryService], Any]], Any]
ASKED = QueryRequest("SELECT one FROM events", wait_seconds=10)
RUN_ANYHOW = replace(ASKED, reuse=ReuseWish(is_allowed=False))


@pytest.fixture
def versions(world: World) -> FakeDataVersions:
    world.planner.tables = (PlannedTable("events"),)
    world.data_versions = made = FakeDataVersions()
    return made


async def eventually(service: QueryService, query_id: str, status: QueryStatus, caller: Caller = ALICE) -> Any:
    for _ in range(500):
        execution = await service.status(query_id, caller)
        if execution.status is status:
            return execution
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {status}: {execution}")


def rows_of(page: Any) -> Any:
    return json.loads(page.body)["result_set"]


def test_an_equal_query_over_the_same_data_is_answered_at_once(
    world: World, serve: Serve, versions: FakeDataVersions
) -> None:
    async def use(service: QueryService) -> list[QueryExecution]:
        first = await service.submit(ASKED, ALICE)
        second = await service.submit(replace(ASKED, wait_seconds=0, retention_minutes=5), ALICE)
        third = await service.submit(replace(ASKED, idempotency_key="k"), ALICE)
        again = await service.submit(replace(ASKED, idempotency_key="k"), ALICE)
        assert again.query_id == third.query_id
        pages = [await service.next_page(one.query_id, ALICE) for one in (first, second, third)]
        assert [rows_of(page) for page in pages] == [[{"one": 1}]] * 3
        assert [json.loads(page.body)["query_id"] for page in pages] == [one.query_id for one in (first, second, third)]
        download = await service.download(second.query_id, ALICE, DownloadFormat.CSV)
        assert b"".join(download.chunks) == b'"one"\n"1"\n'
        assert service.reused_count == 2
        return [first, second, third]

    first, second, third = serve(use)
    assert len(world.athena.started()) == 1
    assert len({first.query_id, second.query_id, third.query_id}) == 3
    assert first.reused_from is None
    assert first.statistics.data_scanned_bytes == 123
    for reused in (second, third):
        assert reused.status is QueryStatus.FINISHED
        assert reused.reused_from == first.query_id
        assert reused.statistics.reused_previous_result is True
        assert reused.statistics.data_scanned_bytes == 0
        assert reused.statistics.rows_total == 1
    assert second.expires_at == second.ended_at + timedelta(minutes=5)


def test_changed_data_are_asked_again(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> None:
        await service.submit(ASKED, ALICE)
        versions.current = "2"
        world.athena.default = answer(rows=[["2"]])
        fresh = await service.submit(ASKED, ALICE)
        assert rows_of(await service.next_page(fresh.query_id, ALICE)) == [{"one": 2}]
        assert fresh.reused_from is None
        assert (await service.submit(ASKED, ALICE)).reused_from == fresh.query_id
        versions.current = None  # nobody can tell any more
        assert (await service.submit(ASKED, ALICE)).reused_from is None

    serve(use)
    assert len(world.athena.started()) == 3


def test_the_ledger_tells_of_changes(world: World, serve: Serve) -> None:
    day = PartitionSpec.from_datetime(world.clock.now)
    hour = PartitionRange(day, day)
    world.planner.tables = (PlannedTable("events", hour), PlannedTable("metrics"))
    world.data_versions = LedgerDataVersions(world.ledger)

    def land(table: str, when: timedelta) -> None:
        partition = PartitionSpec.from_datetime(world.clock.now - when)
        world.ledger.record_objects(table, [ObjectRecord(partition, f"{partition}/{table}", 7, world.clock.now)])

    async def use(service: QueryService) -> list[bool]:
        reused = []
        for change in (None, ("events", 0), None, ("events", 3), ("logs", 0), ("metrics", 3), None):
            if change is not None:
                land(change[0], timedelta(days=change[1]))
            reused.append((await service.submit(ASKED, ALICE)).reused_from is not None)
        return reused

    assert serve(use) == [False, False, True, True, True, False, True]


@pytest.mark.parametrize(
    ("request_", "caller"),
    [
        (replace(ASKED, query="SELECT two FROM events"), ALICE),
        (replace(ASKED, strict=True), ALICE),
        (RUN_ANYHOW, ALICE),
        (ASKED, BOB),
        (ASKED, OPERATOR),
        (ASKED, replace(ALICE, customers=frozenset({11001}))),
        (ASKED, replace(ALICE, customers=frozenset({11000, 11001}))),
        (ASKED, replace(ALICE, customers=frozenset())),
        (ASKED, replace(ALICE, customers=None)),
        (ASKED, replace(ALICE, tenant="mallory")),
        (replace(ASKED, reuse=ReuseWish(max_age_minutes=9)), BOB),
    ],
)
def test_nothing_is_shared_between_other_questions_or_callers(
    world: World, serve: Serve, versions: FakeDataVersions, request_: QueryRequest, caller: Caller
) -> None:
    async def use(service: QueryService) -> None:
        await service.submit(ASKED, ALICE)
        other = await service.submit(request_, caller)
        assert other.reused_from is None
        assert other.statistics.data_scanned_bytes == 123

    serve(use)
    assert len(world.athena.started()) == 2


def test_what_may_change_by_itself_or_reads_no_table_runs_each_time(
    world: World, serve: Serve, versions: FakeDataVersions
) -> None:
    async def use(service: QueryService) -> None:
        world.planner.is_repeatable = False
        for _ in range(2):
            assert (await service.submit(ASKED, ALICE)).reused_from is None
        world.planner.is_repeatable, world.planner.tables = True, ()
        for _ in range(2):
            assert (await service.submit(ASKED, ALICE)).reused_from is None

    serve(use)
    assert len(world.athena.started()) == 4


def test_another_key_of_the_tenant_shares(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> None:
        first = await service.submit(ASKED, ALICE)
        assert (await service.submit(ASKED, replace(ALICE, key_id="other"))).reused_from == first.query_id

    serve(use)


def test_age_is_accepted_only_as_far_as_asked(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    aged = replace(ASKED, reuse=ReuseWish(max_age_minutes=10))

    async def use(service: QueryService) -> None:
        first = await service.submit(ASKED, ALICE)
        versions.current = "2"
        world.clock.advance(minutes=10)
        assert (await service.submit(aged, ALICE)).reused_from == first.query_id
        world.clock.advance(seconds=1)
        second = await service.submit(aged, ALICE)
        assert second.reused_from is None
        world.clock.advance(days=1, minutes=-5)
        unchanged = await service.submit(aged, ALICE)  # older than accepted, but what a run would give
        assert unchanged.reused_from == second.query_id

    serve(use)


def test_equal_queries_in_flight_share_one_execution(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    held = world.athena.default = answer().held()
    quick = replace(ASKED, wait_seconds=0)

    async def use(service: QueryService) -> list[QueryExecution]:
        submitted = await asyncio.gather(*(service.submit(quick, ALICE) for _ in range(20)))
        assert len({one.query_id for one in submitted}) == 20
        for one in submitted:
            await eventually(service, one.query_id, QueryStatus.RUNNING)
        held.released.set()
        return await asyncio.gather(*(service.status(one.query_id, ALICE, wait_seconds=10) for one in submitted))

    ended = serve(use)
    assert len(world.athena.started()) == 1
    assert [one.status for one in ended] == [QueryStatus.FINISHED] * 20
    assert sum(one.reused_from is None for one in ended) == 1
    assert sum(one.statistics.data_scanned_bytes for one in ended) == 123


def test_a_follower_of_what_looked_too_early_runs_by_itself(
    world: World, serve: Serve, versions: FakeDataVersions
) -> None:
    versions.is_told_at_start = False  # the engine tells what it has read when it has looked
    world.athena.answers["SELECT one FROM events"] = held = answer().held()

    async def use(service: QueryService) -> QueryExecution:
        first = await service.submit(replace(ASKED, wait_seconds=0), ALICE)
        await eventually(service, first.query_id, QueryStatus.RUNNING)
        versions.read["engine-1"] = "1"
        versions.current = "2"
        unlike = await service.submit(replace(ASKED, wait_seconds=0), ALICE)
        del versions.read["engine-1"]
        await eventually(service, unlike.query_id, QueryStatus.RUNNING)  # it leads now
        unsure = await service.submit(replace(ASKED, wait_seconds=0), ALICE)
        versions.read["engine-2"] = "1"
        held.released.set()
        ended = await service.status(unsure.query_id, ALICE, wait_seconds=10)
        assert (await service.status(unlike.query_id, ALICE, wait_seconds=10)).reused_from is None
        return ended

    ended = serve(use)
    assert ended.status is QueryStatus.FINISHED
    assert ended.reused_from is None
    assert len(world.athena.started()) == 3


@pytest.mark.parametrize("is_waiting", [True, False])
def test_cancelling_one_does_not_cancel_the_others(
    world: World, serve: Serve, versions: FakeDataVersions, is_waiting: bool
) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1)
    held = answer().held()
    world.athena.answers = {"SELECT slow FROM events": held} if is_waiting else {ASKED.query: held}
    quick = replace(ASKED, wait_seconds=0)

    async def use(service: QueryService) -> None:
        if is_waiting:
            await service.submit(replace(quick, query="SELECT slow FROM events"), ALICE)
        leader, *followers = [await service.submit(quick, ALICE) for _ in range(5)]
        if not is_waiting:
            await eventually(service, leader.query_id, QueryStatus.RUNNING)
        assert (await service.cancel(followers[0].query_id, ALICE)).status is QueryStatus.CANCELLED
        assert not (await service.status(leader.query_id, ALICE)).is_terminal
        assert (await service.cancel(leader.query_id, ALICE)).status is QueryStatus.CANCELLED
        held.released.set()
        ended = [await service.status(one.query_id, ALICE, wait_seconds=10) for one in followers]
        statuses = [one.status for one in ended]
        assert statuses == [QueryStatus.CANCELLED] + [QueryStatus.FINISHED] * 3
        assert sum(one.reused_from is None for one in ended[1:]) == 1
        assert sum(one.statistics.data_scanned_bytes for one in ended[1:]) == 123

    serve(use)


def test_the_last_one_that_is_cancelled_stops_the_engine(
    world: World, serve: Serve, versions: FakeDataVersions
) -> None:
    world.athena.default = answer().held()
    quick = replace(ASKED, wait_seconds=0)

    async def use(service: QueryService) -> None:
        leader, follower = [await service.submit(quick, ALICE) for _ in range(2)]
        await eventually(service, leader.query_id, QueryStatus.RUNNING)
        await service.cancel(follower.query_id, ALICE)
        assert world.athena.runs["engine-1"].is_stopped is False
        await service.cancel(leader.query_id, ALICE)
        assert world.athena.runs["engine-1"].is_stopped is True

    serve(use)
    assert len(world.athena.started()) == 1


def test_followers_fail_with_their_leader(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    error = {"ErrorCategory": 2, "ErrorType": 1006, "Retryable": False, "ErrorMessage": "line 1:8: no such thing"}
    held = world.athena.default = answer(error=error, reason="line 1:8: no such thing").held()
    quick = replace(ASKED, wait_seconds=0)

    async def use(service: QueryService) -> None:
        leader, follower = [await service.submit(quick, ALICE) for _ in range(2)]
        held.released.set()
        first, second = [await service.status(one.query_id, ALICE, wait_seconds=10) for one in (leader, follower)]
        assert first.status is second.status is QueryStatus.FAILED
        assert first.error == second.error
        assert second.statistics.data_scanned_bytes == 0
        world.athena.default = answer()
        assert (await service.submit(ASKED, ALICE)).status is QueryStatus.FINISHED  # no failure is kept for later

    serve(use)


def test_warnings_come_along(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    row = MalformedRow("s3://lake/a.gz", 3, "not JSON")
    world.athena.default = answer(malformed=Malformed(1, [row], False))

    async def use(service: QueryService) -> None:
        first, second = [await service.submit(ASKED, ALICE) for _ in range(2)]
        assert second.reused_from == first.query_id
        assert second.warnings == first.warnings
        assert second.statistics.rows_malformed == 1

    serve(use)


def test_the_bytes_stay_for_the_last_that_needs_them(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> None:
        leader = await service.submit(replace(ASKED, retention_minutes=10), ALICE)
        long = await service.submit(replace(ASKED, retention_minutes=60), ALICE)
        short = await service.submit(replace(ASKED, retention_minutes=5), ALICE)
        for minutes, expected in ((11, {long.query_id}), (61, set())):
            world.clock.now = long.submitted_at + timedelta(minutes=minutes)
            for _ in range(2):
                service.sweep()
            there = set()
            for one in (leader, long, short):
                try:
                    page = await service.next_page(one.query_id, ALICE)
                    download = await service.download(one.query_id, ALICE, DownloadFormat.CSV)
                    assert rows_of(page) == [{"one": 1}]
                    assert b"".join(download.chunks) == b'"one"\n"1"\n'
                    there.add(one.query_id)
                except ResultExpired:
                    pass
            assert there == expected
            assert bool(world.s3.objects) is bool(expected)
        assert not list((world.folder / "spool").glob("*/*"))
        again = await service.submit(ASKED, ALICE)
        assert again.reused_from is None

    serve(use)


def test_a_result_about_to_expire_is_not_shared(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> None:
        await service.submit(replace(ASKED, retention_minutes=10), ALICE)
        world.clock.advance(minutes=8, seconds=1)
        assert (await service.submit(ASKED, ALICE)).reused_from is None

    serve(use)


def test_results_that_the_engine_manages_are_not_shared(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> None:
        world.athena.default = answer(extension="txt")
        for _ in range(2):
            assert (await service.submit(ASKED, ALICE)).reused_from is None

    serve(use)


def test_a_lost_spool_is_made_again_from_the_shared_result(
    world: World, serve: Serve, versions: FakeDataVersions
) -> None:
    async def use(service: QueryService) -> None:
        first, second = [await service.submit(ASKED, ALICE) for _ in range(2)]
        service._spools.delete(second.query_id)  # as `make_room` does on a full disk
        service._spools.delete(first.query_id)
        assert rows_of(await service.next_page(second.query_id, ALICE)) == [{"one": 1}]

    serve(use)


def test_usage_counts_what_was_read_once(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    async def use(service: QueryService) -> Any:
        for _ in range(3):
            await service.submit(ASKED, ALICE)
        return await service.usage(ALICE)

    (line,) = serve(use).lines
    assert (line.query_count, line.scanned_bytes, line.reserved_bytes) == (3, 123, 0)


def test_without_the_setting_every_query_runs(world: World, serve: Serve, versions: FakeDataVersions) -> None:
    world.data_versions = None

    async def use(service: QueryService) -> None:
        for _ in range(2):
            assert (await service.submit(ASKED, ALICE)).reused_from is None

    serve(use)


@pytest.mark.parametrize("ending", ["finished", "cancelled", "forgotten"])
def test_a_follower_whose_process_died_is_told_by_the_next(
    world: World, versions: FakeDataVersions, ending: str
) -> None:
    """Whatever step the process died at, the store has a follower and what became of its leader."""
    held = world.athena.default = answer().held()
    quick = replace(ASKED, wait_seconds=0)

    async def first_life() -> tuple[str, str]:
        service = world.service()
        await service.start()
        leader, follower = [await service.submit(quick, ALICE) for _ in range(2)]
        await eventually(service, leader.query_id, QueryStatus.RUNNING)
        await service.close()
        return leader.query_id, follower.query_id

    async def second_life(leader_id: str, follower_id: str) -> QueryExecution:
        service = world.service()
        if ending == "cancelled":
            service._store.request_cancel(leader_id, world.clock.now)
        elif ending == "forgotten":
            service._store._connection.execute("DELETE FROM executions WHERE query_id = ?", [leader_id])  # type: ignore[attr-defined]  # of SQLite
        await service.start()
        held.released.set()
        ended = await service.status(follower_id, ALICE, wait_seconds=10)
        assert rows_of(await service.next_page(follower_id, ALICE)) == [{"one": 1}]
        await service.close()
        return ended

    ended = asyncio.run(second_life(*asyncio.run(first_life())))
    assert ended.status is QueryStatus.FINISHED
    assert (ended.reused_from is not None) is (ending == "finished")


@pytest.mark.parametrize("step", ["keep_result", "finish"])
def test_killed_between_the_steps_of_sharing(world: World, versions: FakeDataVersions, step: str) -> None:
    class Killed(BaseException):
        pass

    async def first_life() -> str:
        service = world.service()
        await service.start()
        await service.submit(ASKED, ALICE)

        def kill(*_: object, **__: object) -> None:
            raise Killed

        setattr(service._store, step, kill)
        follower: list[str] = []
        insert = service._store.insert
        service._store.insert = lambda stored: follower.append(stored.query_id) or insert(stored)  # type: ignore[method-assign,func-returns-value]  # listens
        with pytest.raises(Killed):
            await service.submit(ASKED, ALICE)
        delattr(service._store, step)
        await service.close()
        return follower[0]

    async def second_life(follower_id: str) -> QueryExecution:
        service = world.service()
        await service.start()
        ended = await service.status(follower_id, ALICE, wait_seconds=10)
        assert rows_of(await service.next_page(follower_id, ALICE)) == [{"one": 1}]
        await service.close()
        return ended

    ended = asyncio.run(second_life(asyncio.run(first_life())))
    assert ended.reused_from is not None
    assert len(world.athena.started()) == 1


def test_two_processes_share(world: World, versions: FakeDataVersions) -> None:
    held = world.athena.default = answer().held()
    quick = replace(ASKED, wait_seconds=0)

    async def use() -> None:
        one, other = world.service(), world.service()
        for service in (one, other):
            await service.start()
        leader = await one.submit(quick, ALICE)
        follower = await other.submit(quick, ALICE)
        await eventually(other, follower.query_id, QueryStatus.RUNNING)
        held.released.set()
        ended = await other.status(follower.query_id, ALICE, wait_seconds=10)
        assert ended.reused_from == leader.query_id
        assert rows_of(await other.next_page(follower.query_id, ALICE)) == [{"one": 1}]
        for service in (one, other):
            await service.close()

    asyncio.run(use())
    assert len(world.athena.started()) == 1
