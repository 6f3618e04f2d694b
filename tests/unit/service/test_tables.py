"""Partitions and freshness as the service tells them, over a real ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from glue.layout import CommitBatch
from glue.ledger import ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import load_table_specs
from service.errors import InvalidPagingToken, InvalidRequest, TableUnknown
from service.model import PartitionListing, QueryExecution, QueryRequest
from service.queries import QueryService
from service.sql.plan import PlannedTable
from tests.fakes.world import ALICE, BOB, World

EVENTS = load_table_specs()["events"]
Serve = Callable[[Callable[[QueryService], Awaitable[object]]], object]


def fill(world: World, minutes: list[int]) -> None:
    """Objects of partitions that began so many minutes ago, each come in time."""
    records = []
    for minute in minutes:
        partition = PartitionSpec.from_datetime(world.clock.now - timedelta(minutes=minute))
        key = EVENTS.layout.key("events", partition, CommitBatch.single(0, minute))
        records.append(ObjectRecord(partition, key, 10, partition.end()))
    world.ledger.record_objects("events", records)


def test_pages_of_partitions_are_newest_first_and_bound_to_their_listing(world: World, serve: Serve) -> None:
    fill(world, list(range(100, 125)))

    async def use(service: QueryService) -> None:
        found: list[str] = []
        token: str | None = None
        while True:
            listing = await service.partitions("EVENTS", ALICE, limit=10, paging_token=token)
            again = await service.partitions("events", ALICE, limit=10, paging_token=token)
            assert listing == again
            found += [partition.partition for partition in listing.partitions]
            if listing.paging_token is None:
                break
            token = listing.paging_token
        assert found == sorted(found, reverse=True)
        assert len(set(found)) == 25
        for caller, arguments in ((BOB, {}), (ALICE, {"from_ms": 1})):
            with pytest.raises(InvalidPagingToken):
                await service.partitions("events", caller, paging_token=token, **arguments)
        with pytest.raises(InvalidPagingToken):
            await service.partitions("metrics", ALICE, paging_token=token)

    serve(use)


def test_a_partition_is_told_with_its_state_and_offsets(world: World, serve: Serve) -> None:
    fill(world, [0, 30, 100])

    async def use(service: QueryService) -> PartitionListing:
        return await service.partitions("events", ALICE)

    listing = serve(use)
    assert isinstance(listing, PartitionListing)
    assert [partition.state for partition in listing.partitions] == ["OPEN", "CLOSING", "CLOSED"]
    oldest = listing.partitions[-1]
    assert (oldest.partition, oldest.object_count, oldest.size_bytes) == ("dt=2026-11-22/hr=08/min=20", 1, 10)
    assert oldest.closes_at - oldest.end == timedelta(minutes=65)
    assert oldest.lateness["in_time"] == 1
    assert [(o.kafka_partition, o.first_offset) for o in oldest.kafka_offsets] == [(0, 100)]


def test_a_range_of_partitions(world: World, serve: Serve) -> None:
    fill(world, [10, 20, 30])
    now_ms = int(world.clock.now.timestamp() * 1000)

    async def use(service: QueryService) -> None:
        listing = await service.partitions("events", ALICE, from_ms=now_ms - 25 * 60_000, to_ms=now_ms - 15 * 60_000)
        assert [partition.partition for partition in listing.partitions] == ["dt=2026-11-22/hr=09/min=40"]
        with pytest.raises(InvalidRequest):
            await service.partitions("events", ALICE, limit=0)
        for outside in (10**18, -(10**17), 253_402_300_799_000):
            with pytest.raises(InvalidRequest):
                await service.partitions("events", ALICE, from_ms=outside)
        with pytest.raises(TableUnknown):
            await service.partitions("event", ALICE)

    serve(use)


def test_a_query_tells_how_complete_what_it_reads_was(world: World, serve: Serve) -> None:
    fill(world, [100, 103, 200])
    first = PartitionSpec.from_datetime(world.clock.now - timedelta(minutes=105))
    world.planner.tables = (PlannedTable("events", PartitionRange(first, None)),)

    async def use(service: QueryService) -> tuple[QueryExecution, QueryExecution]:
        submitted = await service.submit(QueryRequest("SELECT 1", wait_seconds=5), ALICE)
        return submitted, await service.status(submitted.query_id, ALICE)

    answers = serve(use)
    assert isinstance(answers, tuple)
    for execution in answers:
        assert execution.freshness is not None
        assert execution.freshness.complete_until == world.clock.now - timedelta(minutes=99)
        assert (execution.freshness.missing_partitions, execution.freshness.late_bytes) == (4, 0)


def test_a_query_of_no_table_has_no_freshness(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> QueryExecution:
        return await service.submit(QueryRequest("SELECT 1", wait_seconds=5), ALICE)

    execution = serve(use)
    assert isinstance(execution, QueryExecution)
    assert execution.freshness is None
