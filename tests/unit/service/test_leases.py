"""Leases: who is taken for dead has stopped before, whatever the machines' clocks say, and is never alive again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from glue.dynamodb_table import create_table
from service.dynamodb_tables import LEASES
from service.engine_slots import UnlimitedSlots
from service.errors import StoreUnavailable
from service.leases import LeasedSlots, LeaseOwnership
from tests.contract.aws_implementations import moto_client
from tests.fakes.dynamodb import FaultyDynamoDb, refusal

LEASE_SECONDS = 15.0
_NUMBERS = count()


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


class Machine:
    """A replica's ownership with clocks of its own: a wall clock that is wrong, a clock that may run fast."""

    def __init__(
        self, dynamodb: Any, table: str, *, wrong_by: timedelta = timedelta(), sends_twice: bool = False
    ) -> None:
        self.client = FaultyDynamoDb(dynamodb, sends_twice=sends_twice)
        self.seconds = random.Random(table).random() * 1000
        self.ownership = LeaseOwnership(
            self.client,
            table,
            lease_seconds=LEASE_SECONDS,
            clock=lambda: datetime(2026, 11, 22, tzinfo=UTC) + wrong_by,
            monotonic=lambda: self.seconds,
            beats_by_itself=False,
        )
        self.ownership.start()

    def cut_off(self) -> None:
        self.client.refuse = lambda method, arguments: refusal("ThrottlingException")

    def mend(self) -> None:
        self.client.refuse = lambda method, arguments: None

    def slots(self, limit: int = 2) -> LeasedSlots:
        return LeasedSlots(
            self.client, self.ownership._table._name, engine_name="athena", limit=limit, ownership=self.ownership
        )


@pytest.fixture
def table(dynamodb: Any) -> str:
    name = f"leases-{next(_NUMBERS)}"
    create_table(dynamodb, LEASES, name)
    return name


def pass_time(seconds: float, *machines: Machine) -> None:
    for machine in machines:
        machine.seconds += seconds


@pytest.mark.parametrize("hours", [-1000, 0, 1000])
def test_a_replica_that_renews_lives_and_one_that_does_not_is_gone_after_its_lease(
    dynamodb: Any, table: str, hours: int
) -> None:
    first = Machine(dynamodb, table)
    second = Machine(dynamodb, table, wrong_by=timedelta(hours=hours))
    name = first.ownership.owner
    assert not second.ownership.is_gone(name)
    for _ in range(10):
        pass_time(LEASE_SECONDS / 2, first, second)
        first.ownership.renew()
        assert first.ownership.is_held(name)
        assert not second.ownership.is_gone(name)
    pass_time(LEASE_SECONDS - 0.1, first, second)
    assert not first.ownership.is_held(name)  # it stops first
    assert not second.ownership.is_gone(name)
    pass_time(0.2, second)
    for _ in range(2):
        assert second.ownership.is_gone(name)


def test_who_was_taken_for_dead_goes_on_under_a_new_name(dynamodb: Any, table: str) -> None:
    first, second, third = (Machine(dynamodb, table) for _ in range(3))
    name = first.ownership.owner
    second.ownership.is_gone(name)
    first.cut_off()
    pass_time(LEASE_SECONDS + 1, first, second, third)
    first.ownership.renew()
    assert not first.ownership.is_held(name)
    assert second.ownership.is_gone(name)
    assert third.ownership.is_gone(name)  # who has seen nothing of it is told so
    first.mend()
    first.ownership.renew()
    assert first.ownership.owner != name
    assert first.ownership.is_held(first.ownership.owner)
    assert not first.ownership.is_held(name)
    assert first.ownership.is_gone(name)
    assert not second.ownership.is_gone(first.ownership.owner)


def test_a_store_that_was_away_for_all_alike_kills_nobody(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    names = [first.ownership.owner, second.ownership.owner]
    for machine in (first, second):
        machine.cut_off()
        pass_time(LEASE_SECONDS * 4, machine)
        machine.ownership.renew()
    assert not first.ownership.is_held(names[0])
    with pytest.raises(StoreUnavailable):
        second.ownership.is_gone(names[0])
    for machine in (first, second):
        machine.mend()
        machine.ownership.renew()
    assert [first.ownership.owner, second.ownership.owner] == names
    assert not second.ownership.is_gone(names[0])
    assert first.ownership.is_held(names[0])


def test_a_renewal_whose_answer_was_lost_counts(dynamodb: Any, table: str) -> None:
    first = Machine(dynamodb, table, sends_twice=True)
    name = first.ownership.owner
    for _ in range(3):
        first.ownership.renew()
    assert first.ownership.is_held(name)


def test_releasing_is_being_gone_at_once(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    name = first.ownership.owner
    for _ in range(2):
        first.ownership.release()
        assert second.ownership.is_gone(name)
        assert not first.ownership.is_held(name)
    assert second.ownership.is_gone("0" * 32)


def test_a_lease_that_dynamodb_deleted_is_a_death(dynamodb: Any, table: str) -> None:
    """A wall clock that is wrong by days makes `ttl` lie in the past."""
    first, second = Machine(dynamodb, table, wrong_by=timedelta(days=-900)), Machine(dynamodb, table)
    name = first.ownership.owner
    dynamodb.delete_item(TableName=table, Key={"lease_id": {"S": f"owner#{name}"}})
    assert second.ownership.is_gone(name)
    first.ownership.renew()
    assert first.ownership.owner != name


def test_a_role_has_one_holder_and_outlives_it(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    for _ in range(2):
        assert first.ownership.has_role("sweeper")
        assert not second.ownership.has_role("sweeper")
    assert second.ownership.has_role("another")
    pass_time(LEASE_SECONDS + 1, first, second)
    assert not first.ownership.has_role("sweeper")
    assert second.ownership.has_role("sweeper") is False  # its own lease has run out too
    second.ownership.renew()
    assert second.ownership.has_role("sweeper")
    first.ownership.renew()
    assert not first.ownership.has_role("sweeper")


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_taken_for_dead_while_it_may_drive(dynamodb: Any, table: str, seed: int) -> None:
    """Replicas pause, lose their store, and have clocks that run up to 5 % too fast or too slow."""
    draw = random.Random(seed)
    machines = [Machine(dynamodb, table) for _ in range(3)]
    speeds = [draw.uniform(0.95, 1.05) for _ in machines]
    dead: set[str] = set()
    for _ in range(120):
        elapsed = draw.choice([0.5, 2.0, 5.0])
        for machine, speed in zip(machines, speeds, strict=True):
            machine.seconds += elapsed * speed
        actor = draw.choice(machines)
        draw.choice([actor.cut_off, actor.mend, actor.mend])()
        if draw.random() < 0.7:
            actor.ownership.renew()
        for other in machines:
            name = other.ownership.owner
            try:
                if other is not actor and actor.ownership.is_gone(name):
                    dead.add(name)
            except StoreUnavailable:
                continue
        held = {machine.ownership.owner for machine in machines if machine.ownership.is_held(machine.ownership.owner)}
        assert not held & dead
    assert dead


def test_slots_are_for_all_replicas_together(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    mine, theirs = first.slots(), second.slots()
    for _ in range(2):
        assert mine.take("q-1")
        assert theirs.take("q-2")
        assert not theirs.take("q-3")
        assert not mine.take("q-4")
    theirs.give_back("q-1")  # not theirs to give
    assert not theirs.take("q-3")
    for _ in range(2):
        mine.give_back("q-1")
    assert theirs.take("q-3")
    assert UnlimitedSlots().take("any")


def test_a_slot_that_could_not_be_given_back_is_not_lost(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    mine = first.slots(limit=1)
    mine._table._sleep = lambda seconds: None
    assert mine.take("q-1")
    first.cut_off()
    mine.give_back("q-1")
    with pytest.raises(StoreUnavailable):
        mine.take("q-2")
    first.mend()
    assert not second.slots(limit=1).take("q-3")
    assert mine.take("q-2")
    mine.give_back("q-2")
    assert second.slots(limit=1).take("q-3")


def test_slots_of_the_dead_are_free_and_who_adopts_a_query_has_its_slot(dynamodb: Any, table: str) -> None:
    first, second = Machine(dynamodb, table), Machine(dynamodb, table)
    assert first.slots().take("q-1")
    assert first.slots().take("q-2")
    assert not second.slots().take("q-3")
    pass_time(LEASE_SECONDS + 1, first, second)
    second.ownership.renew()
    assert second.slots().take("q-1")
    assert second.slots().take("q-3")
    first.ownership.renew()
    first.slots().give_back("q-1")
    assert not first.slots().take("q-4")


def test_a_heartbeat_of_its_own_keeps_a_lease(dynamodb: Any, table: str) -> None:
    ownership = LeaseOwnership(dynamodb, table, lease_seconds=2.0, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    other = Machine(dynamodb, table)
    ownership.start()
    name = ownership.owner
    ownership._is_released.wait(2.5)
    assert ownership.owner == name
    assert ownership.is_held(name)
    ownership.release()
    assert other.ownership.is_gone(name)
