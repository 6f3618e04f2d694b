"""Budgets and usage through the use cases: what a tenant may read on a day, and what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from service.budgets import Budget, BudgetPlan, Budgets, Grouping
from service.errors import BudgetExceeded, InvalidQuerySyntax, InvalidRequest, ScanLimitExceeded, TooManyQueries
from service.model import OPERATOR, QueryRequest, QueryStatus
from service.queries import QueryService
from service.scheduler import SchedulerLimits
from service.sql.plan import PlannedTable
from service.usage import Charge
from tests.fakes.aws import Answer, answer
from tests.fakes.world import ALICE, BOB, World

Serve = Callable[[Callable[[QueryService], Any]], Any]
ESTIMATE = 1000
TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def lake(world: World) -> None:
    """Every query reads a table of ESTIMATE bytes; the fake Athena says that it scanned 123."""
    partition = PartitionSpec.from_milliseconds(int(world.clock.now.timestamp() * 1000))
    world.ledger.record_objects("events", [ObjectRecord(partition, "k", ESTIMATE, world.clock.now)])
    world.planner.tables = (PlannedTable("events", None),)


@pytest.fixture
def budgets(world: World) -> Iterator[Budgets]:
    """Looks at what the service counts, as another process would."""
    opened = world.budgets()
    yield opened
    opened.close()


def used(budgets: Budgets, tenant: str = "alice") -> int:
    return budgets._store.used_bytes(tenant, TODAY)


async def done(service: QueryService, sql: str = "SELECT 1", caller: Any = ALICE, **members: Any) -> Any:
    return await service.submit(QueryRequest(sql, wait_seconds=10, **members), caller)


def test_the_smaller_of_bytes_and_dollars_counts() -> None:
    assert Budget().limit_bytes is None
    assert Budget(10).limit_bytes == 10
    assert Budget(None, 5.0).limit_bytes == 10**12
    assert Budget(10**13, 5.0).limit_bytes == 10**12
    assert Budget(10, 5.0).limit_bytes == 10
    plan = BudgetPlan(Budget(10), {"alice": Budget(20), "operator": Budget()})
    assert [plan.limit_bytes(tenant) for tenant in ("bob", "alice", "operator")] == [10, 20, None]


def test_an_estimate_is_counted_first_and_corrected_at_the_end(world: World, serve: Serve, budgets: Budgets) -> None:
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("slow"), ALICE)
        assert used(budgets) == ESTIMATE
        world.athena.answers["slow"].released.set()
        await service.status(execution.query_id, ALICE, wait_seconds=10)
        assert used(budgets) == 123
        await done(service)
        assert used(budgets) == 246
        assert used(budgets, "bob") == 0

    serve(use)


def test_the_budget_of_the_day_refuses_before_anything_runs(world: World, serve: Serve, budgets: Budgets) -> None:
    world.plan = BudgetPlan(Budget(daily_bytes=ESTIMATE + 122))

    async def use(service: QueryService) -> None:
        assert (await service.validate(QueryRequest("SELECT 1"), ALICE)).is_valid
        await done(service)
        dry_run = await service.validate(QueryRequest("SELECT 1"), ALICE)
        assert [problem.code for problem in dry_run.problems] == ["BudgetExceeded"]
        for _ in range(2):
            with pytest.raises(BudgetExceeded) as refusal:
                await done(service)
        error = refusal.value
        assert (error.limit_bytes, error.used_bytes, error.estimated_bytes) == (ESTIMATE + 122, 123, ESTIMATE)
        assert error.retry_after_seconds == 14 * 3600  # it is ten o'clock
        assert used(budgets) == 123
        assert len((await service.list_executions(ALICE)).executions) == len(world.athena.started()) == 1
        await done(service, caller=BOB)  # his own
        world.clock.advance(hours=14)
        assert (await done(service)).status is QueryStatus.FINISHED

    serve(use)


def test_a_query_that_alone_is_over_the_budget_has_to_be_narrowed(world: World, serve: Serve) -> None:
    world.plan = BudgetPlan(Budget(daily_bytes=ESTIMATE - 1))

    async def use(service: QueryService) -> None:
        with pytest.raises(ScanLimitExceeded) as refusal:
            await done(service)
        assert refusal.value.limit_bytes == ESTIMATE - 1
        [problem] = (await service.validate(QueryRequest("SELECT 1"), ALICE)).problems
        assert isinstance(problem, ScanLimitExceeded)
        world.planner.tables = ()
        assert (await done(service)).status is QueryStatus.FINISHED  # reads nothing

    serve(use)


def test_an_estimate_of_nothing_needs_something_left(world: World, serve: Serve) -> None:
    """An engine whose partitions the ledger does not know: the truth comes at the end, and then it is over."""
    world.plan = BudgetPlan(Budget(daily_bytes=100))
    world.planner.tables = (PlannedTable("metrics", None),)

    async def use(service: QueryService) -> None:
        await done(service)
        with pytest.raises(BudgetExceeded):
            await done(service)

    serve(use)


def test_many_at_once_do_not_pass_the_budget(world: World, serve: Serve, budgets: Budgets) -> None:
    world.plan = BudgetPlan(Budget(daily_bytes=5 * ESTIMATE))
    world.athena.default = Answer()

    async def use(service: QueryService) -> None:
        results = await asyncio.gather(
            *(service.submit(QueryRequest(f"SELECT {n}"), ALICE) for n in range(20)), return_exceptions=True
        )
        assert sum(isinstance(result, BudgetExceeded) for result in results) == 15
        assert used(budgets) == 5 * ESTIMATE
        world.athena.default.released.set()

    serve(use)


def test_what_is_not_stored_is_not_charged(world: World, serve: Serve, budgets: Budgets) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1, maximum_queued=1)
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        await service.submit(QueryRequest("slow"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        await service.submit(QueryRequest("slow", idempotency_key="k"), ALICE)
        for _ in range(2):
            with pytest.raises(TooManyQueries):
                await service.submit(QueryRequest("slow"), ALICE)
            await service.submit(QueryRequest("slow", idempotency_key="k"), ALICE)
            with pytest.raises(InvalidQuerySyntax):
                await service.submit(QueryRequest("syntax error"), ALICE)
        assert used(budgets) == 2 * ESTIMATE
        world.athena.answers["slow"].released.set()

    serve(use)


def test_cancelled_and_failed_queries_pay_what_they_read(world: World, serve: Serve, budgets: Budgets) -> None:
    world.athena.answers["slow"] = Answer()
    world.athena.answers["bad"] = answer(error={"ErrorCategory": 2, "ErrorType": 1, "Retryable": False}, reason="x")

    async def use(service: QueryService) -> None:
        held = [await service.submit(QueryRequest("slow"), ALICE) for _ in range(2)]
        waiting = await service.submit(QueryRequest("never runs"), ALICE)
        await service.cancel(waiting.query_id, ALICE)
        assert used(budgets) == 2 * ESTIMATE
        world.athena.answers["slow"].released.set()
        for execution in held:
            await service.status(execution.query_id, ALICE, wait_seconds=10)
        await done(service, "bad")
        assert used(budgets) == 3 * 123

    serve(use)


def test_usage_survives_a_restart_and_is_settled_by_the_next_process(
    world: World, serve: Serve, budgets: Budgets
) -> None:
    world.athena.answers["slow"] = Answer()

    async def submit(service: QueryService) -> str:
        return str((await service.submit(QueryRequest("slow"), ALICE)).query_id)

    query_id = serve(submit)
    assert used(budgets) == ESTIMATE
    world.athena.answers["slow"].released.set()

    async def use(service: QueryService) -> None:
        await service.status(query_id, ALICE, wait_seconds=10)
        assert used(budgets) == 123

    serve(use)


def test_what_a_crash_left_open_is_ended(world: World, serve: Serve, budgets: Budgets) -> None:
    """Between reserving and storing; and between the recorded end and settling."""

    async def use(service: QueryService) -> None:
        ended = await done(service)
        running = await service.submit(QueryRequest("slow"), ALICE)
        store = budgets._store
        store.reserve(Charge("never stored", "alice", TODAY, 50), limit_bytes=None, needed_bytes=0)
        lost = Charge(ended.query_id, "alice", TODAY, ESTIMATE)
        store.reserve(lost, limit_bytes=None, needed_bytes=0)  # as if it had not been settled
        assert used(budgets) == 123 + ESTIMATE + 50 + ESTIMATE
        assert budgets.settle_forgotten(service._store.get) == 1
        assert used(budgets) == 123 + 123 + ESTIMATE + 50  # the one that is not stored has until the next time
        assert budgets.settle_forgotten(service._store.get) == 1
        assert budgets.settle_forgotten(service._store.get) == 0
        assert used(budgets) == 123 + 123 + ESTIMATE
        world.athena.answers["slow"].released.set()
        await service.status(running.query_id, ALICE, wait_seconds=10)
        assert used(budgets) == 3 * 123

    world.athena.answers["slow"] = Answer()
    serve(use)


def test_a_tenant_sees_its_own_usage_and_an_operator_everybodys(world: World, serve: Serve) -> None:
    world.plan = BudgetPlan(Budget(daily_bytes=10_000))

    async def use(service: QueryService) -> None:
        await done(service)
        await done(service, caller=replace(ALICE, key_id="key-a2"))
        await done(service, caller=BOB)
        world.clock.advance(days=1)
        await done(service, caller=OPERATOR)
        report = await service.usage(ALICE)
        assert (report.first, report.last) == (TODAY - timedelta(days=5), TODAY + timedelta(days=1))
        assert [(line.day, line.tenant, line.query_count, line.scanned_bytes) for line in report.lines] == [
            (TODAY, None, 2, 246)
        ]
        assert report.budget is not None
        assert (report.budget.limit_bytes, report.budget.used_bytes) == (10_000, 0)
        by_key = await service.usage(ALICE, grouping=Grouping.KEY)
        assert [(line.key_id, line.scanned_bytes) for line in by_key.lines] == [("key-a", 123), ("key-a2", 123)]
        everybody = await service.usage(OPERATOR, grouping=Grouping.TENANT)
        assert [(line.tenant, line.query_count) for line in everybody.lines] == [
            ("alice", 2),
            ("bob", 1),
            ("operator", 1),
        ]
        by_day = await service.usage(OPERATOR)
        assert [(line.day, line.query_count) for line in by_day.lines] == [(TODAY, 3), (TODAY + timedelta(days=1), 1)]
        assert everybody.lines[0].estimated_cost_usd == round(246 / 10**12 * 5, 6)

    serve(use)


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc]  # a date and perhaps a time


def test_the_range_is_half_open_and_bounded(serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        await done(service)
        for from_ms, to_ms, found in (
            (milliseconds(2026, 11, 22), milliseconds(2026, 11, 23), 1),
            (milliseconds(2026, 11, 22, 23), milliseconds(2026, 11, 22, 23, 30), 1),  # the day it touches
            (milliseconds(2026, 11, 1), milliseconds(2026, 11, 22), 0),
            (milliseconds(2026, 11, 23), None, None),
            (milliseconds(2026, 11, 23), milliseconds(2026, 11, 30), 0),
            (None, milliseconds(2026, 11, 23), 1),
            (milliseconds(2025, 1, 1), None, None),
        ):
            if found is None:
                with pytest.raises(InvalidRequest):
                    await service.usage(ALICE, from_ms=from_ms, to_ms=to_ms)
            else:
                report = await service.usage(ALICE, from_ms=from_ms, to_ms=to_ms)
                assert len(report.lines) == found

    serve(use)


def test_a_store_that_fails_at_the_end_does_not_fail_the_query(
    world: World, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(service: QueryService) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise OSError("disk")

        assert service._budgets is not None
        monkeypatch.setattr(service._budgets._store, "settle", broken)
        assert (await done(service)).status is QueryStatus.FINISHED

    serve(use)
