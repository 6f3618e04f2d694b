"""The use cases end to end inside one process: fakes for AWS and planning, everything else real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from service.errors import (
    Blame,
    IdempotencyConflict,
    InvalidPagingToken,
    InvalidQuerySyntax,
    InvalidRequest,
    QueryFailed,
    QueryNotFinished,
    QueryNotFound,
    ResultExpired,
    ScanLimitExceeded,
    TableUnknown,
    TooManyQueries,
)
from service.model import OPERATOR, DownloadFormat, QueryRequest, QueryStatus
from service.queries import QueryService
from service.scheduler import SchedulerLimits
from service.sql.plan import PlannedTable
from tests.fakes.aws import Answer, Malformed, MalformedRow, answer, client_error
from tests.fakes.world import ALICE, BOB, World

Serve = Callable[[Callable[[QueryService], Any]], Any]


def record_three_objects(
    world: World, partition: PartitionSpec, minimum: int | None = None, maximum: int | None = None
) -> None:
    """Three objects of 1,000 bytes together."""
    now = world.clock.now
    world.ledger.record_objects(
        "events",
        [
            ObjectRecord(
                partition,
                f"{partition}/{size}",
                size,
                now,
                row_count=minimum,
                minimum_createdtimestamp=minimum,
                maximum_createdtimestamp=maximum,
            )
            for size in (300, 300 + 1, 399)
        ],
    )


def test_a_query_is_submitted_waited_for_and_paged(world: World, serve: Serve) -> None:
    world.athena.default = answer(columns=[("n", "bigint")], rows=[[str(n)] for n in range(2500)])

    async def use(service: QueryService) -> tuple[Any, list[Any]]:
        submitted = await service.submit(QueryRequest("SELECT n", retention_minutes=5), ALICE)
        finished = await service.status(submitted.query_id, ALICE, wait_seconds=10)
        pages = []
        token = None
        while True:
            page = await service.next_page(submitted.query_id, ALICE, paging_token=token, results_per_page=1000)
            pages.append(json.loads(page.body))
            token = page.paging_token
            if token is None:
                return finished, pages

    finished, pages = serve(use)
    assert finished.status is QueryStatus.FINISHED
    assert finished.has_result
    assert finished.expires_at is not None
    assert (finished.expires_at - finished.ended_at).total_seconds() == 300
    assert finished.statistics.data_scanned_bytes == 123
    assert finished.statistics.estimated_cost_usd == pytest.approx(0.0)
    assert [page["row_count"] for page in pages] == [1000, 1000, 500]
    assert ["paging_token" in page for page in pages] == [True, True, False]
    assert set(pages[0]) == {"query_id", "columns", "result_set", "row_count", "paging_token"}
    assert all(page["columns"] == [{"name": "n", "type": "bigint"}] for page in pages)
    assert [row["n"] for page in pages for row in page["result_set"]] == list(range(2500))


def test_statistics_tell_rows_and_bytes_once_the_spool_is_whole(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> Any:
        return await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)

    execution = serve(use)
    assert execution.statistics.rows_total == 1
    assert execution.statistics.result_bytes == len('{"one":1},\n')
    assert execution.statistics.progress_percent == 100.0


def test_an_empty_result_is_one_empty_page(world: World, serve: Serve) -> None:
    world.athena.default = answer(rows=[])

    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        return json.loads((await service.next_page(execution.query_id, ALICE)).body)

    page = serve(use)
    assert page["result_set"] == []
    assert page["row_count"] == 0
    assert "paging_token" not in page


def test_results_per_page_may_change_between_pages(world: World, serve: Serve) -> None:
    world.athena.default = answer(columns=[("n", "integer")], rows=[[str(n)] for n in range(10)])

    async def use(service: QueryService) -> list[list[int]]:
        execution = await service.submit(QueryRequest("SELECT n", wait_seconds=10), ALICE)
        token, seen = None, []
        for size in (1, 4, 3, 1000):
            page = await service.next_page(execution.query_id, ALICE, paging_token=token, results_per_page=size)
            seen.append([row["n"] for row in json.loads(page.body)["result_set"]])
            token = page.paging_token
        return seen

    assert serve(use) == [[0], [1, 2, 3, 4], [5, 6, 7], [8, 9]]


@pytest.mark.parametrize("size", [0, 1001, -1])
def test_page_sizes_outside_1_to_1000_are_refused(serve: Serve, size: int) -> None:
    async def use(service: QueryService) -> None:
        with pytest.raises(InvalidRequest):
            await service.next_page("x", ALICE, results_per_page=size)

    serve(use)


def test_a_query_of_another_tenant_does_not_exist(serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        query_id = execution.query_id
        for attempt in (
            lambda: service.status(query_id, BOB),
            lambda: service.next_page(query_id, BOB),
            lambda: service.cancel(query_id, BOB),
            lambda: service.download(query_id, BOB, DownloadFormat.CSV),
        ):
            with pytest.raises(QueryNotFound):
                await attempt()
        assert (await service.list_executions(BOB)).executions == ()

    serve(use)


@pytest.mark.parametrize("query_id", ["", "x", "../../etc/passwd", "0" * 36, "\0", "é"])
def test_unknown_and_hostile_ids_are_not_found(serve: Serve, query_id: str) -> None:
    async def use(service: QueryService) -> None:
        with pytest.raises(QueryNotFound):
            await service.status(query_id, ALICE)

    serve(use)


def test_next_before_finished_is_refused_and_retryable(world: World, serve: Serve) -> None:
    held = world.athena.default = Answer()

    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        with pytest.raises(QueryNotFinished) as refusal:
            await service.next_page(execution.query_id, ALICE)
        assert refusal.value.retryable
        held.released.set()
        await service.status(execution.query_id, ALICE, wait_seconds=10)
        assert (await service.next_page(execution.query_id, ALICE)).row_count == 1

    serve(use)


def test_a_fault_that_is_seen_at_once_stores_nothing(serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        with pytest.raises(InvalidQuerySyntax) as refusal:
            await service.submit(QueryRequest("syntax error"), ALICE)
        assert (refusal.value.line, refusal.value.column) == (1, 1)
        assert (await service.list_executions(ALICE)).executions == ()

    serve(use)


def test_a_fault_that_only_the_engine_sees_is_told_with_blame_and_place(world: World, serve: Serve) -> None:
    world.athena.default = answer(
        reason="COLUMN_NOT_FOUND: line 1:8: Column 'evnt' cannot be resolved",
        error={"ErrorCategory": 2, "ErrorType": 1006, "Retryable": False},
    )

    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("SELECT evnt FROM events", wait_seconds=10), ALICE)
        with pytest.raises(QueryFailed) as failed:
            await service.next_page(execution.query_id, ALICE)
        assert failed.value.code == "ColumnNotFound"
        return execution

    execution = serve(use)
    assert execution.status is QueryStatus.FAILED
    assert not execution.has_result
    error = execution.error
    assert (error.code, error.blame, error.line, error.column) == ("ColumnNotFound", Blame.USER, 1, 8)
    assert error.engine_error_name == "COLUMN_NOT_FOUND"
    assert (error.error_category, error.error_type, error.retryable) == (2, 1006, False)


def test_cancel_while_running_answers_when_the_engine_has_stopped(world: World, serve: Serve) -> None:
    world.athena.default = Answer()

    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        first = await service.cancel(execution.query_id, ALICE)
        second = await service.cancel(execution.query_id, ALICE)
        with pytest.raises(QueryFailed) as failed:
            await service.next_page(execution.query_id, ALICE)
        assert failed.value.code == "QueryCancelled"
        return first, second

    first, second = serve(use)
    assert first.status is second.status is QueryStatus.CANCELLED
    assert first.ended_at == second.ended_at
    assert [run.state for run in world.athena.runs.values()] == ["CANCELLED"]


def test_cancel_in_the_queue_never_reaches_the_engine(world: World, serve: Serve) -> None:
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> Any:
        for _ in range(2):
            await service.submit(QueryRequest("slow"), ALICE)
        waiting = await service.submit(QueryRequest("SELECT 1"), ALICE)
        assert waiting.status is QueryStatus.QUEUED
        cancelled = await service.cancel(waiting.query_id, ALICE)
        world.athena.answers["slow"].released.set()
        return cancelled

    assert serve(use).status is QueryStatus.CANCELLED
    assert "SELECT 1" not in world.athena.started()


def test_cancelling_what_has_finished_changes_nothing(serve: Serve) -> None:
    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        return execution, await service.cancel(execution.query_id, ALICE)

    before, after = serve(use)
    assert after.status is QueryStatus.FINISHED
    assert after.ended_at == before.ended_at


def test_tenants_take_turns(world: World, serve: Serve) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1)
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        await service.submit(QueryRequest("slow"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        submitted = [await service.submit(QueryRequest(f"alice {n}"), ALICE) for n in range(4)]
        submitted.append(await service.submit(QueryRequest("bob 0"), BOB))
        assert [execution.queue_position for execution in submitted] == [1, 2, 3, 4, 2]
        world.athena.answers["slow"].released.set()
        for execution, caller in zip(submitted, [ALICE] * 4 + [BOB], strict=True):
            await service.status(execution.query_id, caller, wait_seconds=10)

    serve(use)
    assert world.athena.started() == ["slow", "alice 0", "bob 0", "alice 1", "alice 2", "alice 3"]


def test_a_full_queue_refuses_with_a_time_to_come_back(world: World, serve: Serve) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1, maximum_queued=2)
    world.athena.default = Answer()

    async def use(service: QueryService) -> None:
        await service.submit(QueryRequest("a"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        await service.submit(QueryRequest("b"), ALICE)
        await service.submit(QueryRequest("c"), ALICE)
        with pytest.raises(TooManyQueries) as refusal:
            await service.submit(QueryRequest("d"), BOB)
        assert refusal.value.retry_after_seconds > 0
        assert len((await service.list_executions(ALICE)).executions) == 3
        world.athena.default.released.set()

    serve(use)


def test_the_engines_own_limit_is_waited_out_in_our_queue(world: World, serve: Serve) -> None:
    world.athena.maximum_running = 1
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> Any:
        await service.submit(QueryRequest("slow"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        second = await service.submit(QueryRequest("SELECT 1", wait_seconds=0.2), ALICE)
        world.athena.answers["slow"].released.set()
        return second, await service.status(second.query_id, ALICE, wait_seconds=10)

    waiting, finished = serve(use)
    assert waiting.status is QueryStatus.QUEUED
    assert finished.status is QueryStatus.FINISHED


def test_the_same_idempotency_key_and_body_is_the_same_query(world: World, serve: Serve) -> None:
    request = QueryRequest("SELECT 1", idempotency_key="k1")

    async def use(service: QueryService) -> Any:
        executions = await asyncio.gather(*(service.submit(request, ALICE) for _ in range(8)))
        other_tenant = await service.submit(request, BOB)
        waited = await service.submit(replace(request, wait_seconds=5), ALICE)
        with pytest.raises(IdempotencyConflict) as conflict:
            await service.submit(replace(request, query="SELECT 2"), ALICE)
        assert conflict.value.query_id == executions[0].query_id
        return {execution.query_id for execution in (*executions, waited)}, other_tenant.query_id

    ids, other = serve(use)
    assert len(ids) == 1
    assert other not in ids
    assert len(world.athena.started()) <= 2


def test_without_a_key_the_same_sql_is_another_query(serve: Serve) -> None:
    async def use(service: QueryService) -> Any:
        return [(await service.submit(QueryRequest("SELECT 1"), ALICE)).query_id for _ in range(2)]

    first, second = serve(use)
    assert first != second


def test_an_expired_result_is_gone_then_forgotten(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1", retention_minutes=1, wait_seconds=10), ALICE)
        page = await service.next_page(execution.query_id, ALICE)
        assert page.row_count == 1
        world.clock.advance(minutes=1)
        for attempt in (service.status, service.next_page):
            with pytest.raises(ResultExpired) as expired:
                await attempt(execution.query_id, ALICE)
            assert expired.value.expired_at == execution.expires_at
        service.sweep()
        service.sweep()
        assert world.s3.objects == {}
        assert list((world.folder / "spool").glob("??/*")) == []
        listed = (await service.list_executions(ALICE)).executions
        assert [(entry.status, entry.has_result) for entry in listed] == [(QueryStatus.FINISHED, False)]
        with pytest.raises(ResultExpired):
            await service.next_page(execution.query_id, ALICE)
        world.clock.advance(days=8)
        service.sweep()
        with pytest.raises(QueryNotFound):
            await service.status(execution.query_id, ALICE)

    serve(use)


def test_a_foreign_or_altered_token_is_refused(world: World, serve: Serve) -> None:
    world.athena.default = answer(columns=[("n", "integer")], rows=[["1"], ["2"]])

    async def use(service: QueryService) -> None:
        first = await service.submit(QueryRequest("a", wait_seconds=10), ALICE)
        second = await service.submit(QueryRequest("b", wait_seconds=10), ALICE)
        token = (await service.next_page(first.query_id, ALICE, results_per_page=1)).paging_token
        assert token is not None
        for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "", "é", token + "=", "A" * 2000):
            with pytest.raises(InvalidPagingToken):
                await service.next_page(first.query_id, ALICE, paging_token=wrong)
        with pytest.raises(InvalidPagingToken):
            await service.next_page(second.query_id, ALICE, paging_token=token)
        again = [await service.next_page(first.query_id, ALICE, paging_token=token) for _ in range(2)]
        assert again[0].body == again[1].body

    serve(use)


def test_listing_is_newest_first_filtered_and_paged(world: World, serve: Serve) -> None:
    world.athena.answers["bad"] = answer(reason="boom", error={"ErrorCategory": 1})

    async def use(service: QueryService) -> None:
        for sql in ("a", "bad", "c", "d", "e"):
            world.clock.advance(seconds=1)
            await service.submit(QueryRequest(sql, wait_seconds=10), ALICE)
        seen, token = [], None
        while True:
            listing = await service.list_executions(ALICE, limit=2, paging_token=token)
            seen.extend(execution.query for execution in listing.executions)
            token = listing.paging_token
            if token is None:
                break
        assert seen == ["e", "d", "c", "bad", "a"]
        failed = await service.list_executions(ALICE, status=QueryStatus.FAILED)
        assert [execution.query for execution in failed.executions] == ["bad"]
        token = (await service.list_executions(ALICE, limit=2)).paging_token
        with pytest.raises(InvalidPagingToken):
            await service.list_executions(ALICE, status=QueryStatus.FAILED, paging_token=token)

    serve(use)


def test_an_estimate_over_the_limit_is_refused_before_it_runs(world: World, serve: Serve) -> None:
    partition = PartitionSpec.from_datetime(world.clock.now, "minute")
    record_three_objects(world, partition)
    world.planner.tables = (PlannedTable("events"),)

    async def use(service: QueryService) -> None:
        with pytest.raises(ScanLimitExceeded) as refusal:
            await service.submit(QueryRequest("SELECT 1", max_bytes_scanned=999), ALICE)
        assert (refusal.value.limit_bytes, refusal.value.estimated_bytes) == (999, 1000)
        with pytest.raises(ScanLimitExceeded):
            await service.submit(QueryRequest("SELECT 1"), replace(ALICE, maximum_scan_bytes=10))
        dry_run = await service.validate(QueryRequest("SELECT 1", max_bytes_scanned=999), ALICE)
        assert not dry_run.is_valid
        assert [problem.code for problem in dry_run.problems] == ["ScanLimitExceeded"]
        assert (dry_run.partition_count, dry_run.object_count, dry_run.estimated_bytes) == (1, 3, 1000)
        allowed = await service.submit(QueryRequest("SELECT 1", max_bytes_scanned=1000, wait_seconds=10), ALICE)
        assert allowed.statistics.partitions_scanned == 1
        assert allowed.statistics.objects_scanned == 3

    serve(use)
    assert len(world.athena.runs) == 1


def test_a_query_that_waited_past_its_plan_is_planned_again(world: World, serve: Serve) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1)
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        await service.submit(QueryRequest("slow"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        world.planner.valid_until = world.clock.now.replace(minute=1)
        waiting = await service.submit(QueryRequest("plan {plan}"), ALICE)
        world.clock.advance(minutes=2)
        world.planner.valid_until = None
        world.athena.answers["slow"].released.set()
        await service.status(waiting.query_id, ALICE, wait_seconds=10)

    serve(use)
    assert world.athena.started() == ["slow", "plan 3"]


def test_validate_tells_every_problem_and_runs_nothing(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> Any:
        return await service.validate(QueryRequest("syntax error", retention_minutes=0), ALICE)

    dry_run = serve(use)
    assert [problem.code for problem in dry_run.problems] == ["InvalidRequest", "InvalidQuerySyntax"]
    assert world.athena.runs == {}


def test_malformed_rows_warn_or_in_strict_mode_refuse(world: World, serve: Serve) -> None:
    sample = MalformedRow("s3://data-hist-lake/secor/events/x.gz", 7, "not JSON")
    world.athena.default = answer(malformed=Malformed(30, [sample], True))

    async def use(service: QueryService) -> Any:
        lenient = await service.submit(QueryRequest("a", wait_seconds=10), ALICE)
        strict = await service.submit(QueryRequest("b", wait_seconds=10, strict=True), ALICE)
        return lenient, strict

    lenient, strict = serve(use)
    assert lenient.status is QueryStatus.FINISHED
    assert lenient.statistics.rows_malformed == 30
    assert [(warning.object, warning.line) for warning in lenient.warnings] == [(sample.uri, sample.line)]
    assert lenient.warnings_truncated
    assert strict.status is QueryStatus.FAILED
    assert (strict.error.code, strict.error.blame) == ("MalformedRows", Blame.USER)


def test_what_is_in_a_malformed_row_is_told_to_operators_only(world: World, serve: Serve) -> None:
    """Nobody knows whose row it is."""
    reason = "column createdtimestamp: expected bigint, found 's3cret'"
    world.athena.default = answer(malformed=Malformed(1, [MalformedRow("s3://lake/x.gz", 7, reason)], False))

    async def use(service: QueryService) -> Any:
        return [await service.submit(QueryRequest("a", wait_seconds=10), caller) for caller in (ALICE, OPERATOR)]

    bound, operator = serve(use)
    assert [(warning.object, warning.line) for warning in bound.warnings] == [("s3://lake/x.gz", 7)]
    assert "s3cret" not in bound.warnings[0].detail
    assert operator.warnings[0].detail == reason


def test_statements_without_a_csv_are_read_by_calls(world: World, serve: Serve) -> None:
    rows = [["customerid          \tbigint              \tthe tenant          "], ["dt\tstring\t"]]
    world.athena.default = answer(
        columns=[("col_name", "string"), ("data_type", "string"), ("comment", "string")], rows=rows, extension="txt"
    )

    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("DESCRIBE events", wait_seconds=10), ALICE)
        return json.loads((await service.next_page(execution.query_id, ALICE)).body)

    page = serve(use)
    assert page["result_set"] == [
        {"col_name": "customerid", "data_type": "bigint", "comment": "the tenant"},
        {"col_name": "dt", "data_type": "string", "comment": ""},
    ]


def test_a_lost_spool_is_written_again_from_the_result_object(world: World, serve: Serve) -> None:
    world.athena.default = answer(columns=[("n", "integer")], rows=[[str(n)] for n in range(10)])

    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT n", wait_seconds=10), ALICE)
        token = (await service.next_page(execution.query_id, ALICE, results_per_page=4)).paging_token
        (marker,) = (world.folder / "spool").glob("??/*/complete")
        marker.unlink()
        service._spools.close()
        page = await service.next_page(execution.query_id, ALICE, paging_token=token, results_per_page=4)
        assert [row["n"] for row in json.loads(page.body)["result_set"]] == [4, 5, 6, 7]

    serve(use)


def test_a_result_that_is_gone_with_its_spool_is_told_and_not_waited_for(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        (marker,) = (world.folder / "spool").glob("??/*/complete")
        marker.unlink()
        service._spools.close()
        world.s3.objects.clear()
        with pytest.raises(QueryFailed) as lost:
            await service.next_page(execution.query_id, ALICE)
        assert (lost.value.code, lost.value.query_id) == ("ResultLost", execution.query_id)

    serve(use)


def test_tables_are_described_with_dictionary_and_freshness(world: World, serve: Serve) -> None:
    partition = PartitionSpec.from_datetime(world.clock.now, "minute")
    record_three_objects(world, partition, 1, 1_795_341_600_123)

    async def use(service: QueryService) -> Any:
        with pytest.raises(TableUnknown) as unknown:
            await service.table("event", ALICE)
        assert unknown.value.suggestions == ("events",)
        return await service.tables(ALICE), await service.table("EVENTS", ALICE)

    tables, events = serve(use)
    assert [table.name for table in tables] == sorted(table.name for table in tables)
    assert events.object_count == 3
    assert events.first_partition == events.last_partition == partition.path()
    assert events.newest_createdtimestamp.timestamp() == 1_795_341_600.123
    forbidden = {column.name for column in events.columns if not column.is_allowed}
    assert forbidden == {"resourceid", "operationid"}
    assert [column.name for column in events.columns if column.is_partition_key] == ["dt", "hr", "min"]


def test_the_service_tells_whether_it_is_ready(world: World) -> None:
    async def main() -> tuple[Any, Any, Any]:
        service = world.service()
        before = service.problems()
        await service.start()
        during = service.problems()
        await service.close()
        return before, during, service.problems()

    before, during, after = asyncio.run(main())
    assert before
    assert not during
    assert after


def test_an_engine_that_stays_away_fails_the_query_honestly(world: World, serve: Serve) -> None:
    world.limits = SchedulerLimits(engine_patience_seconds=0.1, first_pause_seconds=0.01, longest_pause_seconds=0.02)

    def unreachable(operation: str) -> None:
        raise client_error(operation, "InternalServerException", "try later")

    world.athena.on_call = unreachable

    async def use(service: QueryService) -> Any:
        return await service.submit(QueryRequest("SELECT 1", wait_seconds=20), ALICE)

    execution = serve(use)
    assert execution.status is QueryStatus.FAILED
    assert (execution.error.code, execution.error.blame) == ("EngineUnavailable", Blame.ENGINE)
    assert execution.error.retryable
    assert "AWS does not answer" in execution.error.detail


def test_a_query_that_is_given_up_does_not_run_on(world: World, serve: Serve) -> None:
    world.limits = SchedulerLimits(engine_patience_seconds=0.1, first_pause_seconds=0.01, longest_pause_seconds=0.02)
    world.athena.default = Answer()
    engine = world.engine()
    engine._poller._patience_seconds = 0.01

    def unreachable(operation: str) -> None:
        if operation != "StopQueryExecution" and world.athena.runs:
            raise client_error(operation, "InternalServerException", "try later")

    world.athena.on_call = unreachable

    async def main() -> Any:
        service = world.service(engine)
        await service.start()
        try:
            return await service.submit(QueryRequest("SELECT 1", wait_seconds=20), ALICE)
        finally:
            await service.close()

    assert asyncio.run(main()).status is QueryStatus.FAILED
    assert [run.is_stopped for run in world.athena.runs.values()] == [True]


def test_a_retryable_failure_is_tried_once_more(world: World, serve: Serve) -> None:
    error = {"ErrorCategory": 1, "ErrorType": 200, "Retryable": True}
    world.athena.default = answer(reason="INTERNAL: a node went away", error=error)

    async def use(service: QueryService) -> Any:
        return await service.submit(QueryRequest("SELECT 1", wait_seconds=20), ALICE)

    assert serve(use).status is QueryStatus.FAILED
    assert world.athena.started() == ["SELECT 1", "SELECT 1"]


def test_a_restart_takes_up_what_was_waiting_and_running(world: World) -> None:
    world.limits = SchedulerLimits(maximum_concurrent=1)
    held = world.athena.default = Answer()

    async def first_life() -> list[str]:
        service = world.service()
        await service.start()
        ids = [(await service.submit(QueryRequest(f"q{n}"), ALICE)).query_id for n in range(3)]
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        await service.close()
        return ids

    async def second_life(ids: list[str]) -> list[QueryStatus]:
        service = world.service()
        await service.start()
        held.released.set()
        statuses = [(await service.status(query_id, ALICE, wait_seconds=20)).status for query_id in ids]
        await service.close()
        return statuses

    ids = asyncio.run(first_life())
    assert asyncio.run(second_life(ids)) == [QueryStatus.FINISHED] * 3
    assert sorted(world.athena.started()) == ["q0", "q1", "q2"]


def test_two_processes_over_one_store_share_the_work(world: World) -> None:
    held = world.athena.default = Answer()

    async def main() -> None:
        first, second = world.service(), world.service()
        await first.start()
        await second.start()
        execution = await first.submit(QueryRequest("SELECT 1"), ALICE)
        while not world.athena.runs:
            await asyncio.sleep(0.005)
        waiting = asyncio.create_task(second.status(execution.query_id, ALICE, wait_seconds=20))
        await asyncio.sleep(0.05)
        held.released.set()
        assert (await waiting).status is QueryStatus.FINISHED
        assert (await second.next_page(execution.query_id, ALICE)).row_count == 1
        held.released.clear()
        other = await first.submit(QueryRequest("SELECT 2"), ALICE)
        while len(world.athena.runs) < 2:
            await asyncio.sleep(0.005)
        assert (await second.cancel(other.query_id, ALICE)).status is QueryStatus.CANCELLED
        assert (await first.status(other.query_id, ALICE)).status is QueryStatus.CANCELLED
        await first.close()
        await second.close()

    asyncio.run(main())


def test_a_result_that_cannot_be_deleted_is_tried_again(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1", retention_minutes=1, wait_seconds=10), ALICE)
        world.clock.advance(minutes=2)
        delete_object = world.s3.delete_object

        def failing(**arguments: Any) -> Any:
            raise client_error("DeleteObject", "AccessDenied", "no")

        world.s3.delete_object = failing  # type: ignore[method-assign]  # the fault of this test
        service.sweep()
        assert world.s3.objects
        world.s3.delete_object = delete_object  # type: ignore[method-assign]  # mended
        service.sweep()
        assert not world.s3.objects
        with pytest.raises(ResultExpired):
            await service.status(execution.query_id, ALICE)

    serve(use)


def test_leaving_while_waiting_leaves_no_waiter_behind(world: World, serve: Serve) -> None:
    held = world.athena.default = Answer()

    async def use(service: QueryService) -> None:
        execution = await service.submit(QueryRequest("SELECT 1"), ALICE)
        waiting = asyncio.create_task(service.status(execution.query_id, ALICE, wait_seconds=50))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert service._changes._waiting == {}
        held.released.set()

    serve(use)


def test_a_page_that_is_not_in_memory_is_read_all_the_same(
    world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_in_memory(*arguments: object) -> int:
        raise BlockingIOError

    async def use(service: QueryService) -> list[bytes]:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        bodies = [bytes((await service.next_page(execution.query_id, ALICE)).body) for _ in range(2)]
        monkeypatch.setattr("os.preadv", not_in_memory)
        bodies.append(bytes((await service.next_page(execution.query_id, ALICE)).body))
        return bodies

    assert len(set(serve(use))) == 1


def test_spools_that_nobody_remembers_are_swept_at_the_start(world: World, serve: Serve) -> None:
    orphan = world.folder / "spool" / "ab" / "abandoned"
    orphan.mkdir(parents=True)
    (orphan / "rows").write_bytes(b"x")

    async def use(service: QueryService) -> Any:
        execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10), ALICE)
        while orphan.exists():
            await asyncio.sleep(0.01)
        return await service.next_page(execution.query_id, ALICE)

    assert serve(use).row_count == 1


def test_a_running_query_is_answered_from_memory_and_only_while_it_runs_here(world: World, serve: Serve) -> None:
    held = world.athena.default = Answer()

    async def use(service: QueryService) -> None:
        query_id = (await service.submit(QueryRequest("SELECT 1"), ALICE)).query_id
        while (await service.status(query_id, ALICE)).status is not QueryStatus.RUNNING:
            await asyncio.sleep(0.005)
        stored = service._store.get
        service._store.get = lambda query_id: None  # type: ignore[method-assign]  # nobody asks the store
        running = await service.status(query_id, ALICE)
        assert running.status is QueryStatus.RUNNING
        assert running.statistics.data_scanned_bytes == 123
        with pytest.raises(QueryNotFound):
            await service.status(query_id, BOB)
        service._store.get = stored  # type: ignore[method-assign]  # as it was
        held.released.set()
        assert (await service.status(query_id, ALICE, wait_seconds=20)).status is QueryStatus.FINISHED
        assert service._running == {}

    serve(use)
