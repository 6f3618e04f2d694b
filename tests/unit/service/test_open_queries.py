"""How many unfinished queries a caller may have: counted when submitted, given back however they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.errors import InvalidQuerySyntax, TooManyQueries
from service.model import QueryRequest
from service.open_queries import OpenQueries, QueryLimits
from service.queries import QueryService
from tests.fakes.aws import Answer, answer
from tests.fakes.world import ALICE, BOB, World

Serve = Callable[[Callable[[QueryService], Any]], Any]
OTHER_KEY = replace(ALICE, key_id="key-a2")


def test_counts_are_by_owner_and_given_back_once() -> None:
    queries = OpenQueries(lambda _: True)
    queries.take("q1", [("alice", 2)])
    queries.take("q2", [("alice", 2), ("tenant", 2)])
    with pytest.raises(TooManyQueries) as refusal:
        queries.take("q3", [("alice", 2)])
    assert refusal.value.limit == 2
    queries.take("q3", [("bob", 1), ("tenant", 2)])
    for _ in range(2):
        queries.give_back("q1")
    assert (queries.count("alice"), queries.count("tenant"), queries.count("bob")) == (1, 2, 1)
    with pytest.raises(TooManyQueries):
        queries.take("q4", [("alice", 2), ("tenant", 2)])
    assert queries.count("alice") == 1  # what was refused by one limit counts for none


def test_what_ended_elsewhere_is_noticed_at_the_limit() -> None:
    unfinished = {"q1", "q2"}
    queries = OpenQueries(lambda query_id: query_id in unfinished)
    for query_id in sorted(unfinished):
        queries.take(query_id, [("alice", 2)])
    unfinished.discard("q1")
    queries.take("q3", [("alice", 2)])
    unfinished.add("q3")
    with pytest.raises(TooManyQueries):
        queries.take("q4", [("alice", 2)])


def test_a_keys_own_limit_wins() -> None:
    limits = QueryLimits(per_key=5, per_tenant=9)
    assert [limit for _, limit in limits.of(ALICE)] == [5, 9]
    assert [limit for _, limit in limits.of(replace(ALICE, maximum_queries=7))] == [7, 9]
    assert [limit for _, limit in QueryLimits().of(replace(ALICE, maximum_queries=7))] == [7]
    assert QueryLimits().of(ALICE) == []


def test_a_key_has_so_many_unfinished_queries_and_no_more(world: World, serve: Serve) -> None:
    world.query_limits = QueryLimits(per_key=2, per_tenant=3)
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        submitted = [await service.submit(QueryRequest("slow"), ALICE) for _ in range(2)]
        for _ in range(2):
            with pytest.raises(TooManyQueries) as refusal:
                await service.submit(QueryRequest("slow"), ALICE)
        assert refusal.value.retry_after_seconds > 0
        submitted.append(await service.submit(QueryRequest("slow"), OTHER_KEY))
        with pytest.raises(TooManyQueries):  # the tenant's three
            await service.submit(QueryRequest("slow"), OTHER_KEY)
        await service.submit(QueryRequest("slow"), BOB)
        await service.cancel(submitted[0].query_id, ALICE)
        await service.submit(QueryRequest("slow"), ALICE)
        world.athena.answers["slow"].released.set()
        for execution in submitted:
            await service.status(execution.query_id, ALICE, wait_seconds=10)
        await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)

    serve(use)


def test_what_is_refused_or_known_or_fails_is_given_back(world: World, serve: Serve) -> None:
    world.query_limits = QueryLimits(per_key=1)
    world.athena.answers["broken"] = answer(
        error={"ErrorCategory": 1, "ErrorType": 1, "Retryable": False, "ErrorMessage": "no"}
    )

    async def use(service: QueryService) -> None:
        for _ in range(3):
            with pytest.raises(InvalidQuerySyntax):
                await service.submit(QueryRequest("syntax error"), ALICE)
        for _ in range(3):
            await service.submit(QueryRequest("SELECT 1", idempotency_key="k", wait_seconds=10), ALICE)
        for _ in range(3):
            await service.submit(QueryRequest("broken", wait_seconds=10), ALICE)
        results = await asyncio.gather(
            *(service.submit(QueryRequest("SELECT 2", idempotency_key="same"), BOB) for _ in range(5)),
            return_exceptions=True,
        )
        assert len({getattr(result, "query_id", "refused") for result in results} - {"refused"}) == 1

    serve(use)
