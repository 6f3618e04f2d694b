"""One trace from the request to the rows, whoever runs the query; and readiness that names what is missing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import get_contextvars

from service.errors import StoreUnavailable
from service.model import QueryRequest, QueryStatus
from service.queries import QueryService
from service.scheduler import SchedulerLimits
from tests.fakes.aws import Answer, client_error
from tests.fakes.world import ALICE, World

Serve = Callable[[Callable[[QueryService], Awaitable[Any]]], Any]


@pytest.fixture
def exporter(world: World) -> Iterator[InMemorySpanExporter]:
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    world.tracer = provider.get_tracer("test")
    yield kept
    provider.shutdown()


def by_name(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def test_the_run_of_a_query_is_part_of_the_request_that_asked(
    world: World, serve: Serve, exporter: InMemorySpanExporter
) -> None:
    async def use(service: QueryService) -> Any:
        with world.tracer.start_as_current_span("request"):
            execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        return await service.status(execution.query_id, ALICE, wait_seconds=20)

    execution = serve(use)
    spans = by_name(exporter.get_finished_spans())
    assert set(spans) == {"request", "plan", "query", "engine start", "engine wait", "spool"}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent is not None}
    ids = {name: span.context.span_id for name, span in spans.items()}
    assert parents == {
        "plan": ids["request"], "query": ids["request"], "engine start": ids["query"], "engine wait": ids["query"],
        "spool": ids["query"],
    }  # fmt: skip
    attributes = dict(spans["query"].attributes or {})
    assert attributes["data_hist.query_id"] == execution.query_id
    assert attributes["data_hist.tenant"] == "alice"
    assert attributes["data_hist.outcome"] == "DONE"
    assert dict(spans["spool"].attributes or {})["data_hist.rows"] == execution.statistics.rows_total
    assert "SELECT" not in json.dumps([dict(span.attributes or {}) for span in spans.values()])


def test_the_trace_goes_on_in_the_process_that_takes_the_query_up(world: World, exporter: InMemorySpanExporter) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1)
    held = world.athena.default = Answer()

    async def first_life() -> str:
        service = world.service()
        await service.start()
        with world.tracer.start_as_current_span("request"):
            execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        await service.close()
        return execution.query_id

    async def second_life(query_id: str) -> Any:
        service = world.service()
        await service.start()
        held.released.set()
        execution = await service.status(query_id, ALICE, wait_seconds=20)
        await service.close()
        return execution

    assert asyncio.run(second_life(asyncio.run(first_life()))).status is QueryStatus.FINISHED
    spans = [span for span in exporter.get_finished_spans() if span.name in ("request", "query")]
    assert [dict(span.attributes or {}).get("data_hist.outcome") for span in spans[1:]] == ["GIVEN_BACK", "DONE"]
    assert len({span.context.trace_id for span in spans}) == 1


def test_what_is_logged_while_a_query_runs_has_its_id_and_tenant(world: World, serve: Serve) -> None:
    seen: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append({"message": record.getMessage(), **get_contextvars()})

    def unreachable(operation: str) -> None:
        raise client_error(operation, "InternalServerException", "try later")

    world.athena.on_call = unreachable
    world.limits = SchedulerLimits(engine_patience_seconds=0.1, first_pause_seconds=0.01, longest_pause_seconds=0.02)
    handler = Keep()
    logging.getLogger("service").addHandler(handler)
    try:

        async def use(service: QueryService) -> Any:
            return await service.submit(QueryRequest("SELECT 1", wait_seconds=20), ALICE)

        execution = serve(use)
    finally:
        logging.getLogger("service").removeHandler(handler)
    told = [line for line in seen if "engine unavailable" in line["message"]]
    assert told
    assert all((line["query_id"], line["tenant"]) == (execution.query_id, "alice") for line in told)


def test_an_engine_that_does_not_answer_is_named_while_queries_wait_for_it(world: World, serve: Serve) -> None:
    def unreachable(operation: str) -> None:
        raise client_error(operation, "InternalServerException", "try later")

    world.athena.on_call = unreachable

    async def use(service: QueryService) -> Any:
        assert service.degradations() == ()
        execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        while not service.degradations():
            await asyncio.sleep(0.01)
        during = service.degradations()
        world.athena.on_call = lambda operation: None
        assert (await service.status(execution.query_id, ALICE, wait_seconds=20)).status is QueryStatus.FINISHED
        return during, service.degradations(), service.problems()

    during, after, problems = serve(use)
    assert len(during) == 1
    assert during[0].startswith("athena: ")
    assert after == problems == ()


def test_a_store_that_does_not_answer_is_named_and_a_reason_to_send_no_traffic(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> tuple[Any, Any]:
        service = world.service()
        await service.start()

        def away() -> None:
            raise StoreUnavailable("the table is gone", retry_after_seconds=1)

        with monkeypatch.context() as patched:
            patched.setattr(service._scheduler, "adopt_abandoned", away)
            while not service.problems():
                await asyncio.sleep(0.01)
            during = service.problems()
        while service.problems():
            await asyncio.sleep(0.01)
        await service.close()
        return during, None

    during, _ = asyncio.run(main())
    assert during == ("the execution store does not answer: the table is gone",)
