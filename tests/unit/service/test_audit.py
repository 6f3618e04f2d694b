"""The audit trail: what it tells, whom, how often, and what it keeps to itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.audit import MAXIMUM_QUERY_CHARACTERS, AuditTrail, CallOrigin, concerned_customer
from service.model import OPERATOR, QueryRequest
from tests.fakes.world import ALICE, FakeClock, World

ORIGIN = CallOrigin("r-1", "192.0.2.7")


class Recorded:
    def __init__(self) -> None:
        self.events: list[tuple[str, int, dict[str, Any]]] = []

    def record(self, event_type: str, payload: Mapping[str, Any], *, customer: int = 1) -> None:
        self.events.append((event_type, customer, dict(payload)))


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def trail(recorded: Recorded) -> AuditTrail:
    return AuditTrail(recorded, clock=FakeClock())


def test_an_event_wears_the_customer_whom_it_concerns() -> None:
    assert concerned_customer(frozenset({11000})) == 11000
    assert concerned_customer((11000,)) == 11000
    assert concerned_customer(frozenset({1})) == 1
    for customers in (None, frozenset(), frozenset({11000, 11001})):  # a row has one customer
        assert concerned_customer(customers) == 1


def test_a_refusal_is_told_with_its_code(trail: AuditTrail, recorded: Recorded) -> None:
    trail.query_refused(QueryRequest("DROP TABLE events"), ALICE, ORIGIN, "StatementNotAllowed")
    assert recorded.events == [
        (
            "query_submitted",
            11000,
            {
                "decision": "refused",
                "code": "StatementNotAllowed",
                "query": "DROP TABLE events",
                "tenant": "alice",
                "key_id": "key-a",
                "client": "192.0.2.7",
                "request_id": "r-1",
            },
        )
    ]


def test_values_of_parameters_are_not_told(trail: AuditTrail, recorded: Recorded) -> None:
    request = QueryRequest("SELECT ?", parameters=("very-secret", 4711), idempotency_key="very-secret-too")
    trail.query_refused(request, ALICE, ORIGIN, "InvalidParameter")
    assert "secret" not in str(recorded.events)
    assert "4711" not in str(recorded.events)
    assert recorded.events[0][2]["parameter_count"] == 2


def test_a_long_query_is_cut_and_can_be_recognised(trail: AuditTrail, recorded: Recorded) -> None:
    long = "SELECT '" + "x" * MAXIMUM_QUERY_CHARACTERS
    for query in (long, long + "y", "SELECT '\ud800"):
        trail.query_refused(QueryRequest(query), ALICE, ORIGIN, "InvalidQuerySyntax")
    (_, _, first), (_, _, second), (_, _, third) = recorded.events
    assert len(first["query"]) == MAXIMUM_QUERY_CHARACTERS
    assert first["query"] == second["query"]
    assert first["query_sha256"] != second["query_sha256"]
    assert "query_sha256" not in third


def test_reading_and_refused_access_are_told(trail: AuditTrail, recorded: Recorded) -> None:
    trail.result_read("q", OPERATOR, ORIGIN, how="download", file_format="csv")
    trail.access_refused(ORIGIN, code="ScopeMissing", status=403, route="/metrics", key_id="key-a")
    assert [(kind, customer) for kind, customer, _ in recorded.events] == [("result_read", 1), ("access_refused", 1)]
    assert recorded.events[1][2] == {
        "code": "ScopeMissing",
        "status": 403,
        "route": "/metrics",
        "key_id": "key-a",
        "client": "192.0.2.7",
        "request_id": "r-1",
    }


def test_the_end_of_a_query_is_told_once(tmp_path: Path, recorded: Recorded) -> None:
    world = World(tmp_path)
    trail = AuditTrail(recorded, clock=world.clock)

    async def use() -> None:
        service = world.service()
        service._on_ended = trail.query_ended
        await service.start()
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        await service.cancel(execution.query_id, ALICE)  # changes nothing, and tells nothing
        stored = service._store.get(execution.query_id)
        assert stored is not None
        trail.query_ended(stored)
        world.clock.advance(minutes=2)
        AuditTrail(recorded, clock=world.clock).query_ended(stored)  # the next process, long after
        await service.close()

    asyncio.run(use())
    world.close()
    [(kind, customer, told)] = recorded.events
    assert (kind, customer) == ("query_ended", 11000)
    assert (told["status"], told["scanned_bytes"], told["tenant"], told["key_id"]) == (
        "FINISHED",
        123,
        "alice",
        "key-a",
    )
    assert told["rows_total"] == 1


def test_a_query_of_several_customers_ends_with_the_operator(trail: AuditTrail, recorded: Recorded) -> None:
    caller = replace(ALICE, customers=frozenset({11000, 11001}))
    trail.query_refused(QueryRequest("SELECT 1"), caller, ORIGIN, "X")
    assert recorded.events[0][1] == 1
