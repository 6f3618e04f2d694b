"""The Athena engine against a scripted Athena: errors by blame, polling that thousands of clients do not multiply."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from service.engine import EngineBusy, EngineClosed, EngineExecution, EngineExecutionLost
from service.engines.athena import AthenaEngine, failure_from_text
from service.errors import Blame, EngineUnavailable, QueryFailed
from service.model import OutputColumn, QueryStatus
from tests.fakes.aws import Answer, FakeAthena, FakeS3, answer, client_error

TOKEN = "t" * 32


class Setting:
    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.athena = FakeAthena(self.s3)
        self.calls: Counter[str] = Counter()
        self.failures: dict[str, list[Exception]] = {}
        self.athena.on_call = self.called
        self.engine = AthenaEngine(
            self.athena,
            self.s3,
            database="data_hist",
            output_location=self.athena.location,
            slowest_poll_seconds=0.02,
            patience_seconds=0.5,
            randomness=lambda: 0.0,
        )

    def called(self, operation: str) -> None:
        self.calls[operation] += 1
        pending = self.failures.get(operation)
        if pending:
            raise pending.pop(0)

    def run(self, **members: Any) -> EngineExecution:
        self.athena.default = answer(**members)
        return self.engine.wait(self.engine.start("SELECT 1", token=TOKEN), lambda execution: None)


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.engine.close()


def test_the_same_token_starts_once(setting: Setting) -> None:
    first = setting.engine.start("SELECT 1", token=TOKEN)
    assert setting.engine.start("SELECT 1", token=TOKEN) == first
    assert setting.engine.start("SELECT 1", token="u" * 32) != first


@pytest.mark.parametrize(
    ("category", "blame"), [(1, Blame.ENGINE), (2, Blame.USER), (3, Blame.ENGINE), (None, Blame.ENGINE)]
)
def test_blame_follows_the_error_category(setting: Setting, category: int | None, blame: Blame) -> None:
    error = {"ErrorCategory": category, "ErrorType": 5, "Retryable": True}
    ended = setting.run(reason="GENERIC_INTERNAL_ERROR: oops", error=error)
    assert ended.status is QueryStatus.FAILED
    assert ended.failure is not None
    assert ended.failure.blame is blame
    assert ended.failure.retryable
    assert (ended.failure.engine_error_name, ended.failure.detail) == ("GENERIC_INTERNAL_ERROR", "oops")


@pytest.mark.parametrize(
    ("text", "code", "place", "name"),
    [
        ("COLUMN_NOT_FOUND: line 3:7: Column 'x' cannot be resolved", "ColumnNotFound", (3, 7), "COLUMN_NOT_FOUND"),
        ("TABLE_NOT_FOUND: line 1:91: Table 'a.b.t' does not exist", "TableNotFound", (1, 91), "TABLE_NOT_FOUND"),
        ("SYNTAX_ERROR: line 6:7: Schema x does not exist", "InvalidQuerySyntax", (6, 7), "SYNTAX_ERROR"),
        ("FUNCTION_NOT_FOUND: line 1:8: Function 'f' not registered", "FunctionNotFound", (1, 8), "FUNCTION_NOT_FOUND"),
        ("TYPE_MISMATCH: line 1:8: Cannot apply operator", "TypeMismatch", (1, 8), "TYPE_MISMATCH"),
        ("DIVISION_BY_ZERO: Division by zero", "QueryFailed", (None, None), "DIVISION_BY_ZERO"),
        ("Query exhausted resources at this scale factor", "QueryFailed", (None, None), None),
        ("FAILED: SemanticException [Error 10001]: Table not found t", "QueryFailed", (None, None), None),
    ],
)
def test_the_engines_words_become_code_place_and_name(
    text: str, code: str, place: tuple[int | None, int | None], name: str | None
) -> None:
    failure = failure_from_text(text, Blame.USER)
    assert (failure.code, (failure.line, failure.column), failure.engine_error_name) == (code, place, name)


def test_a_refused_statement_is_the_users_fault_with_its_place(setting: Setting) -> None:
    message = "line 1:10: mismatched input '<EOF>'. Expecting: 'ALTER'"
    setting.failures["StartQueryExecution"] = [client_error("Start", "InvalidRequestException", message)]
    with pytest.raises(QueryFailed) as refused:
        setting.engine.start("SELECT 1", token=TOKEN)
    assert refused.value.failure.blame is Blame.USER
    assert (refused.value.code, refused.value.failure.line, refused.value.failure.column) == (
        "InvalidQuerySyntax",
        1,
        10,
    )


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException"])
def test_an_engine_without_room_is_busy_not_broken(setting: Setting, code: str) -> None:
    setting.failures["StartQueryExecution"] = [client_error("Start", code, "Rate exceeded")]
    with pytest.raises(EngineBusy):
        setting.engine.start("SELECT 1", token=TOKEN)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://athena"),
        client_error("Start", "InternalServerException", "try later"),
        client_error("Start", "AccessDeniedException", "no"),
    ],
)
def test_an_engine_that_cannot_be_used_is_unavailable(setting: Setting, error: Exception) -> None:
    setting.failures["StartQueryExecution"] = [error]
    with pytest.raises(EngineUnavailable):
        setting.engine.start("SELECT 1", token=TOKEN)


def test_waiting_survives_throttling_and_short_outages(setting: Setting) -> None:
    setting.failures["GetQueryExecution"] = [
        client_error("Get", "ThrottlingException", "Rate exceeded"),
        EndpointConnectionError(endpoint_url="https://athena"),
    ]
    assert setting.run().status is QueryStatus.FINISHED


def test_waiting_ends_when_the_engine_stays_away(setting: Setting) -> None:
    setting.failures["GetQueryExecution"] = [EndpointConnectionError(endpoint_url="https://athena")] * 1000
    with pytest.raises(EngineUnavailable):
        setting.run()


def test_an_execution_that_athena_does_not_know_is_lost(setting: Setting) -> None:
    with pytest.raises(EngineExecutionLost):
        setting.engine.wait("nobody", lambda execution: None)


def test_several_executions_are_asked_for_in_one_call(setting: Setting) -> None:
    held = setting.athena.default = Answer()
    ids = [setting.engine.start("SELECT 1", token=f"{number:032d}") for number in range(60)]
    ids.append("nobody")
    ended: dict[str, Any] = {}

    def wait(engine_id: str) -> None:
        try:
            ended[engine_id] = setting.engine.wait(engine_id, lambda execution: None).status
        except EngineExecutionLost:
            ended[engine_id] = "lost"

    threads = [threading.Thread(target=wait, args=(engine_id,)) for engine_id in ids]
    for thread in threads:
        thread.start()
    while setting.calls["BatchGetQueryExecution"] < 3:
        threading.Event().wait(0.01)
    held.released.set()
    for thread in threads:
        thread.join()
    assert ended == dict.fromkeys(ids[:-1], QueryStatus.FINISHED) | {"nobody": "lost"}


def test_changes_on_the_way_are_told(setting: Setting) -> None:
    held = setting.athena.default = Answer()
    seen: list[QueryStatus] = []

    def on_change(execution: EngineExecution) -> None:
        seen.append(execution.status)
        held.released.set()

    setting.engine.wait(setting.engine.start("SELECT 1", token=TOKEN), on_change)
    assert seen == [QueryStatus.RUNNING]


class TellingAthena(FakeAthena):
    """An Athena that tells when an execution has ended, as the embedded one does."""

    def __init__(self, s3: FakeS3) -> None:
        super().__init__(s3)
        self.listeners: list[Callable[[str], None]] = []

    def when_ended(self, listener: Callable[[str], None]) -> None:
        self.listeners.append(listener)


def test_an_engine_that_tells_of_an_end_is_asked_at_once() -> None:
    s3 = FakeS3()
    athena = TellingAthena(s3)
    engine = AthenaEngine(
        athena,
        s3,
        database="data_hist",
        output_location=athena.location,
        first_poll_seconds=3600,
        slowest_poll_seconds=3600,
    )
    engine_id = engine.start("SELECT 1", token=TOKEN)
    told: list[EngineExecution] = []
    waiting = threading.Thread(target=lambda: told.append(engine.wait(engine_id, lambda execution: None)))
    waiting.start()
    while waiting.is_alive():
        for listener in athena.listeners:
            listener(engine_id)
        waiting.join(0.01)
    engine.close()
    assert [execution.status for execution in told] == [QueryStatus.FINISHED]


def test_closing_ends_waiting(setting: Setting) -> None:
    setting.athena.default = Answer()
    engine_id = setting.engine.start("SELECT 1", token=TOKEN)
    closer = threading.Timer(0.05, setting.engine.close)
    closer.start()
    with pytest.raises(EngineClosed):
        setting.engine.wait(engine_id, lambda execution: None)
    with pytest.raises(EngineClosed):
        setting.engine.wait(engine_id, lambda execution: None)
    closer.join()


def test_column_types_are_trinos(setting: Setting) -> None:
    columns = [
        ("a", "decimal(10,2)"),
        ("b", "varchar"),
        ("c", "timestamp"),
        ("d", "timestamp with time zone"),
        ("e", "float"),
        ("f", "array"),
    ]
    ended = setting.run(columns=columns, rows=[])
    assert setting.engine.columns(ended.engine_id) == (
        OutputColumn("a", "decimal(10,2)"),
        OutputColumn("b", "varchar"),
        OutputColumn("c", "timestamp(3)"),
        OutputColumn("d", "timestamp(3) with time zone"),
        OutputColumn("e", "real"),
        OutputColumn("f", "array"),
    )


def test_results_by_calls_are_read_to_the_last_row(setting: Setting) -> None:
    rows = [[f"t{number}"] for number in range(2345)]
    ended = setting.run(columns=[("tab_name", "string")], rows=rows, extension="txt")
    data = setting.engine.open_result(ended.engine_id, ended.result_location).read()
    assert data.decode().splitlines() == ['"tab_name"', *(f'"{row[0]}"' for row in rows)]


def test_a_result_that_is_gone_is_our_fault(setting: Setting) -> None:
    ended = setting.run()
    setting.s3.objects.clear()
    with pytest.raises(QueryFailed) as lost:
        setting.engine.open_result(ended.engine_id, ended.result_location)
    assert (lost.value.code, lost.value.failure.blame) == ("ResultLost", Blame.SERVICE)


def test_deleting_a_result_takes_its_metadata_along_and_twice_is_once(setting: Setting) -> None:
    ended = setting.run()
    assert ended.result_location is not None
    assert len(setting.s3.objects) == 2
    for _ in range(2):
        setting.engine.delete_result(ended.result_location)
        assert setting.s3.objects == {}


def test_stopping_what_has_ended_or_is_unknown_is_no_error(setting: Setting) -> None:
    ended = setting.run()
    setting.engine.stop(ended.engine_id)
    setting.failures["StopQueryExecution"] = [client_error("Stop", "InvalidRequestException", "was not found")]
    setting.engine.stop(ended.engine_id)
