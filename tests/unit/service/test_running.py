"""A process that dies between any two steps of a query: its successor brings the query to an honest end, run once."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service import result_csv
from service.executions import Plan, StoredExecution
from service.model import QueryExecution, QueryStatus
from service.ownership import LocalOwnership
from service.pages import page
from service.running import QueryRunner, RunOutcome
from service.scheduler import Scheduler, SchedulerLimits
from service.signing_secrets import FixedKeyRing
from service.spool import Spools, SpoolWriter
from service.sqlite_executions import SqliteExecutionStore
from service.tokens import TokenSigner
from tests.fakes.aws import answer
from tests.fakes.world import FakeClock, World

QUERY_ID = "0f5a0000-0000-4000-8000-000000000001"


class Killed(BaseException):
    """The process is gone at this very step: nothing of it may be caught or cleaned up by what comes after."""


class Killing:
    """Stands before an object and kills at the n-th call of any of its methods, before or after the call itself."""

    def __init__(self, target: Any, countdown: Countdown, names: set[str]) -> None:
        self._target = target
        self._countdown = countdown
        self._names = names

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name not in self._names:
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self._countdown.step(f"before {name}")
            result = value(*arguments, **named)
            self._countdown.step(f"after {name}")
            return result

        return call


class Countdown:
    def __init__(self, steps: int) -> None:
        self.left = steps
        self.died_at: str | None = None

    def step(self, name: str) -> None:
        if self.left == 0:
            self.died_at = name
            self.left = -1
            raise Killed(name)
        self.left -= 1


STORE_STEPS = {"claim_start", "record_started", "record_progress", "finish", "record_spooled", "next_attempt"}
ENGINE_STEPS = {"start", "wait", "columns", "malformed_rows", "open_result", "stop"}


def new_execution(owner: str, clock: FakeClock) -> StoredExecution:
    execution = QueryExecution(
        query_id=QUERY_ID,
        tenant="alice",
        status=QueryStatus.QUEUED,
        query="SELECT n",
        retention_minutes=5,
        submitted_at=clock(),
    )
    return StoredExecution(execution, engine_sql="SELECT n", engine_name="athena", owner=owner)


class Process:
    """What one process of the service is made of, as far as running queries goes."""

    def __init__(self, world: World, countdown: Countdown | None = None) -> None:
        self.world = world
        self.store = SqliteExecutionStore(world.folder / "executions.sqlite")
        self.engine = world.engine()
        self.spools = Spools(world.folder / "spool")
        self.ownership = LocalOwnership(world.folder / "owners")
        store: Any = self.store
        engine: Any = self.engine
        if countdown is not None:
            store = Killing(store, countdown, STORE_STEPS)
            engine = Killing(engine, countdown, ENGINE_STEPS)
        self.runner = QueryRunner(
            store,
            engine,
            self.spools,
            ownership=self.ownership,
            clock=world.clock,
            on_end=lambda stored: None,
            plan_again=lambda stored: Plan("SELECT n"),
        )
        self.scheduler = Scheduler(self.store, self.runner, self.ownership, SchedulerLimits(maximum_concurrent=1))

    def drive_to_the_end(self) -> None:
        while self.runner.drive(QUERY_ID) in (RunOutcome.AGAIN, RunOutcome.BUSY):
            pass

    def die(self) -> None:
        """The operating system's part of a death: locks and files are released, nothing else happens."""
        self.engine.close()
        self.store.close()
        assert self.ownership._descriptor is not None
        os.close(self.ownership._descriptor)
        self.ownership._descriptor = None


def rows_of(process: Process) -> list[Any]:
    stored = process.store.get(QUERY_ID)
    assert stored is not None
    reader = process.spools.reader(QUERY_ID)
    assert reader is not None
    body = page(
        reader,
        TokenSigner(FixedKeyRing(b"s" * 32)),
        query_id=QUERY_ID,
        tenant="alice",
        columns=stored.execution.columns or (),
        paging_token=None,
        results_per_page=1000,
    ).body
    return [row["n"] for row in json.loads(body)["result_set"]]


def died_and_taken_up(world: World, steps: int) -> tuple[str | None, Process]:
    """Kills a process after so many steps; its successor takes the query up. Where it died, and the successor."""
    countdown = Countdown(steps)
    first = Process(world, countdown)
    first.store.insert(new_execution(first.ownership.owner, world.clock))
    with suppress(Killed):
        first.drive_to_the_end()
    first.die()
    second = Process(world)
    for stored in second.store.unfinished():
        assert stored.owner is not None
        assert second.ownership.is_gone(stored.owner)
        assert second.store.adopt(stored.query_id, stored.owner, second.ownership.owner)
    second.drive_to_the_end()
    return countdown.died_at, second


@pytest.mark.parametrize("rows", [3, 5000])
def test_a_death_between_any_two_steps_neither_loses_nor_doubles_a_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(result_csv, "BLOCK_BYTES", 4096)  # several batches: FINISHED comes before the spool is whole
    deaths = []
    for steps in range(100):
        folder = tmp_path / str(steps)
        folder.mkdir()
        world = World(folder)
        world.athena.default = answer(columns=[("n", "integer")], rows=[[str(n)] for n in range(rows)])
        died_at, successor = died_and_taken_up(world, steps)
        stored = successor.store.get(QUERY_ID)
        assert stored is not None
        assert stored.execution.status is QueryStatus.FINISHED, died_at
        assert world.athena.started() == ["SELECT n"], died_at
        if not successor.spools.is_complete(QUERY_ID):
            successor.runner.spool_again(QUERY_ID)
        assert rows_of(successor) == list(range(min(rows, 1000))), died_at
        after = successor.store.get(QUERY_ID)
        assert after is not None
        assert after.execution.statistics.rows_total == rows or died_at == "before record_spooled"
        successor.die()
        world.close()
        if died_at is None:
            break
        deaths.append(died_at)
    assert {"before start", "after start", "before record_started", "after wait", "before finish"} <= set(deaths)


def test_a_death_while_the_result_is_spooled_is_never_served_as_whole(tmp_path: Path, monkeypatch: Any) -> None:
    world = World(tmp_path)
    world.athena.default = answer(columns=[("n", "integer")], rows=[[str(n)] for n in range(100)])
    whole = SpoolWriter.complete

    def dies(writer: SpoolWriter) -> None:
        raise Killed

    monkeypatch.setattr(SpoolWriter, "complete", dies)
    first = Process(world)
    first.store.insert(new_execution(first.ownership.owner, world.clock))
    with pytest.raises(Killed):
        first.drive_to_the_end()
    assert not first.spools.is_complete(QUERY_ID)
    first.die()
    monkeypatch.setattr(SpoolWriter, "complete", whole)
    second = Process(world)
    second.scheduler.adopt_abandoned()
    second.drive_to_the_end()
    while not second.spools.is_complete(QUERY_ID):
        second.drive_to_the_end()
    assert rows_of(second) == list(range(100))
    second.scheduler.close()
    second.die()
    world.close()


def test_a_cancel_after_a_death_stops_what_the_engine_may_run(tmp_path: Path) -> None:
    for steps in range(8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        world = World(folder)
        world.athena.default.released.clear()
        countdown = Countdown(steps)
        first = Process(world, countdown)
        first.store.insert(new_execution(first.ownership.owner, world.clock))
        died_at = None
        try:
            if steps < 6:  # the sixth step waits for an execution that nobody releases
                first.drive_to_the_end()
        except Killed:
            died_at = countdown.died_at
        first.die()
        second = Process(world)
        second.store.request_cancel(QUERY_ID, world.clock())
        second.scheduler.adopt_abandoned()
        second.drive_to_the_end()
        stored = second.store.get(QUERY_ID)
        assert stored is not None
        while not stored.execution.is_terminal:
            stored = second.store.get(QUERY_ID)
            assert stored is not None
        assert stored.execution.status is QueryStatus.CANCELLED, died_at
        assert all(run.state == "CANCELLED" for run in world.athena.runs.values()), died_at
        second.scheduler.close()
        second.die()
        world.close()


def started_yesterday(process: Process) -> None:
    """The store says that the engine runs the query, under an id that the engine does not know (any more)."""
    owner, started_at = process.ownership.owner, process.world.clock()
    process.store.record_started(QUERY_ID, owner, "engine-of-yesterday", QueryStatus.RUNNING, started_at)


def test_an_engine_that_loses_the_query_gets_it_again_until_it_fails_honestly(tmp_path: Path) -> None:
    world = World(tmp_path)
    process = Process(world)
    process.store.insert(new_execution(process.ownership.owner, world.clock))
    outcomes = []
    while not outcomes or outcomes[-1] is RunOutcome.AGAIN:
        process.store.claim_start(QUERY_ID, process.ownership.owner)
        process.store.record_started(
            QUERY_ID, process.ownership.owner, "engine-of-yesterday", QueryStatus.RUNNING, world.clock()
        )
        outcomes.append(process.runner.drive(QUERY_ID))
    assert outcomes == [RunOutcome.AGAIN] * 4 + [RunOutcome.DONE]
    stored = process.store.get(QUERY_ID)
    assert stored is not None
    assert stored.execution.status is QueryStatus.FAILED
    assert stored.execution.error is not None
    assert stored.execution.error.code == "EngineLostQuery"
    process.die()
    world.close()


def test_a_living_process_keeps_its_queries(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = Process(world), Process(world)
    first.store.insert(new_execution(first.ownership.owner, world.clock))
    assert second.scheduler.adopt_abandoned() == 0
    first.die()
    assert second.scheduler.adopt_abandoned() == 1
    assert second.scheduler.adopt_abandoned() == 0
    second.scheduler.close()
    second.die()
    world.close()


def test_a_process_that_wakes_up_late_changes_nothing(tmp_path: Path) -> None:
    """While the first waits for the engine, another adopts the query and fails it; the first then sees it succeed."""
    world = World(tmp_path)
    first, second = Process(world), Process(world)
    first.store.insert(new_execution(first.ownership.owner, world.clock))
    seen: list[RunOutcome] = []

    def taken_away(operation: str) -> None:
        if operation == "GetQueryExecution" and not seen:
            seen.append(RunOutcome.GIVEN_BACK)
            assert second.store.adopt(QUERY_ID, first.ownership.owner, second.ownership.owner)
            assert second.store.next_attempt(QUERY_ID, second.ownership.owner, 1) is not None

    world.athena.on_call = taken_away
    assert first.runner.drive(QUERY_ID) is RunOutcome.GIVEN_BACK
    stored = second.store.get(QUERY_ID)
    assert stored is not None
    assert (stored.execution.status, stored.attempt, stored.owner) == (QueryStatus.QUEUED, 2, second.ownership.owner)
    second.drive_to_the_end()
    stored = second.store.get(QUERY_ID)
    assert stored is not None
    assert stored.execution.status is QueryStatus.FINISHED
    assert first.runner.drive(QUERY_ID) is RunOutcome.DONE
    second.scheduler.close()
    first.die()
    second.die()
    world.close()


def test_a_query_that_the_store_kept_without_saying_so_runs_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    process = Process(world)
    process.store.insert(new_execution(process.ownership.owner, world.clock))
    for _ in range(2):
        assert process.scheduler.adopt_abandoned() == 0
    stored = process.store.get(QUERY_ID)
    deadline = time.monotonic() + 30
    while stored is not None and not stored.execution.is_terminal:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        stored = process.store.get(QUERY_ID)
    assert world.athena.started() == ["SELECT n"]
    process.scheduler.close()
    process.die()
    world.close()
