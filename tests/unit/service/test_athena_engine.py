"""The Athena engine against a scripted Athena: errors by blame, polling that thousands of clients do not multiply."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from service.engine import EngineBusy, EngineClosed, EngineExecution, EngineExecutionLost, StartContext
from service.engines.athena import AthenaEngine, WorkGroup
from service.engines.failures import failure_from_text
from service.errors import Blame, EngineUnavailable, QueryFailed
from service.model import OutputColumn, QueryStatus
from service.result_csv import ResultUnreadable, read_batches
from tests.fakes.aws import Answer, FakeAthena, FakeS3, answer, athena_csv, client_error

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
            work_group=WorkGroup(output_location=self.athena.location),
            slowest_poll_seconds=0.02,
            patience_seconds=0.5,
            attempts=3,
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
def test_an_engine_that_stays_throttled_is_busy_not_broken(setting: Setting, code: str) -> None:
    setting.failures["StartQueryExecution"] = [client_error("Start", code, "Rate exceeded")] * 3
    with pytest.raises(EngineBusy):
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
        work_group=WorkGroup(output_location=athena.location),
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
        setting.engine.delete_result(ended.engine_id, ended.result_location)
        assert setting.s3.objects == {}


def test_stopping_what_has_ended_or_is_unknown_is_no_error(setting: Setting) -> None:
    ended = setting.run()
    setting.engine.stop(ended.engine_id)
    setting.failures["StopQueryExecution"] = [client_error("Stop", "InvalidRequestException", "was not found")]
    setting.engine.stop(ended.engine_id)


# --- work groups, and what a caller accepts --------------------------------------------------------------------------


def engine_of(setting: Setting, **members: Any) -> AthenaEngine:
    return AthenaEngine(setting.athena, setting.s3, database="data_hist", **members)


def test_operators_run_in_their_own_work_group_and_leave_results_apart(setting: Setting) -> None:
    engine = engine_of(
        setting,
        work_group=WorkGroup("customers", "s3://data-hist-results/customers/"),
        operators=WorkGroup("operators", "s3://data-hist-results/operators/"),
    )
    for context in (StartContext("alice"), StartContext("operator", is_operator=True)):
        engine.start("SELECT 1", token=f"{context.tenant:-<32}", context=context)
    started = [run.arguments for run in setting.athena.runs.values()]
    assert [(one["WorkGroup"], one["ResultConfiguration"]["OutputLocation"]) for one in started] == [
        ("customers", "s3://data-hist-results/customers/"),
        ("operators", "s3://data-hist-results/operators/"),
    ]
    assert all("ResultReuseConfiguration" not in one for one in started)


def test_operators_share_the_work_group_where_they_have_none(setting: Setting) -> None:
    engine = engine_of(setting, work_group=WorkGroup("all", None))
    engine.start("SELECT 1", token=TOKEN, context=StartContext(is_operator=True))
    (run,) = setting.athena.runs.values()
    assert run.arguments["WorkGroup"] == "all"
    assert "ResultConfiguration" not in run.arguments  # the work group says where, or keeps results itself


def test_an_accepted_age_is_passed_on(setting: Setting) -> None:
    setting.engine.start("SELECT 1", token=TOKEN, context=StartContext(accepted_age_minutes=60))
    (run,) = setting.athena.runs.values()
    by_age = run.arguments["ResultReuseConfiguration"]["ResultReuseByAgeConfiguration"]
    assert by_age == {"Enabled": True, "MaxAgeInMinutes": 60}


def test_a_reused_result_is_not_deleted_with_the_execution_that_reused_it(setting: Setting) -> None:
    ended = setting.run()
    assert ended.result_location is not None
    setting.engine.delete_result("engine-2", ended.result_location)
    assert len(setting.s3.objects) == 2


# --- faults: throttles, 5xx, credentials, clocks ---------------------------------------------------------------------


def test_the_concurrency_limit_is_busy_at_once(setting: Setting) -> None:
    limit = client_error("StartQueryExecution", "TooManyRequestsException", "You have exceeded the limit")
    limit.response["Reason"] = "CONCURRENT_QUERY_LIMIT_EXCEEDED"
    setting.failures["StartQueryExecution"] = [limit]
    with pytest.raises(EngineBusy):
        setting.engine.start("SELECT 1", token=TOKEN)
    assert setting.calls["StartQueryExecution"] == 1


@pytest.mark.parametrize("operation", ["StartQueryExecution", "GetQueryResults", "StopQueryExecution"])
@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException", "InternalServerException"])
def test_throttles_and_5xx_are_waited_out(setting: Setting, operation: str, code: str) -> None:
    setting.failures[operation] = [client_error(operation, code, "Rate exceeded")] * 2
    ended = setting.run()
    setting.engine.stop(ended.engine_id)
    assert setting.engine.columns(ended.engine_id) == (OutputColumn("one", "integer"),)
    assert list(setting.athena.started()) == ["SELECT 1"]
    assert setting.failures[operation] == []


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (client_error("Start", "ExpiredTokenException", "arn:aws:iam::123456789012:role/x"), "credentials"),
        (client_error("Start", "UnrecognizedClientException", "AKIAIOSFODNN7EXAMPLE is invalid"), "credentials"),
        (NoCredentialsError(), "credentials"),
        (client_error("Start", "InvalidSignatureException", "Signature expired: 20261122T100000Z"), "clock"),
        (client_error("Start", "InvalidSignatureException", "Signature not yet current: 2026"), "clock"),
        (client_error("Start", "AccessDeniedException", "arn:aws:athena:eu:123456789012:workgroup/x"), "may not"),
        (EndpointConnectionError(endpoint_url="https://athena.internal.example"), "does not answer"),
    ],
)
def test_what_the_operator_has_to_mend_is_said_without_aws_words(setting: Setting, error: Exception, hint: str) -> None:
    setting.failures["StartQueryExecution"] = [error] * 3
    with pytest.raises(EngineUnavailable, match=hint) as unavailable:
        setting.engine.start("SELECT 1", token=TOKEN)
    for word in ("arn:", "123456789012", "AKIA", "internal.example"):
        assert word not in unavailable.value.detail


def test_a_work_group_that_refuses_is_not_the_callers_fault(setting: Setting) -> None:
    message = "WorkGroup analysts-123456789012 is not found."
    setting.failures["StartQueryExecution"] = [client_error("Start", "InvalidRequestException", message)]
    with pytest.raises(QueryFailed) as refused:
        setting.engine.start("SELECT 1", token=TOKEN)
    assert refused.value.failure.blame is Blame.SERVICE
    assert "123456789012" not in refused.value.detail


def test_waiting_tells_the_trouble_when_patience_ends(setting: Setting) -> None:
    setting.failures["GetQueryExecution"] = [client_error("Get", "ExpiredTokenException", "expired")] * 1000
    with pytest.raises(EngineUnavailable, match="credentials"):
        setting.run()


def test_a_throttled_item_of_a_batch_is_asked_for_again(setting: Setting) -> None:
    held = setting.athena.default = Answer()
    ids = [setting.engine.start("SELECT 1", token=f"{number:032d}") for number in range(3)]
    setting.athena.throttled_in_batches = {ids[0]}
    ended: dict[str, QueryStatus] = {}

    def wait(engine_id: str) -> None:
        ended[engine_id] = setting.engine.wait(engine_id, lambda execution: None).status

    threads = [threading.Thread(target=wait, args=(engine_id,)) for engine_id in ids]
    for thread in threads:
        thread.start()
    while setting.calls["BatchGetQueryExecution"] < 3:
        threading.Event().wait(0.01)
    held.released.set()
    setting.athena.throttled_in_batches = set()
    for thread in threads:
        thread.join()
    assert ended == dict.fromkeys(ids, QueryStatus.FINISHED)


def test_a_stop_is_looked_after_at_once(setting: Setting) -> None:
    engine = engine_of(setting, work_group=WorkGroup(), first_poll_seconds=3600, slowest_poll_seconds=3600)
    setting.athena.default = Answer()
    engine_id = engine.start("SELECT 1", token=TOKEN)
    told: list[QueryStatus] = []
    waiting = threading.Thread(target=lambda: told.append(engine.wait(engine_id, lambda execution: None).status))
    waiting.start()
    while waiting.is_alive():
        engine.stop(engine_id)
        waiting.join(0.01)
    engine.close()
    assert told == [QueryStatus.CANCELLED]


# --- results: cut, replaced, deleted, half written, not readable -----------------------------------------------------

MANY = [[f"row {number}", None, ""] for number in range(5000)]
MANY_COLUMNS = [("a", "varchar"), ("b", "varchar"), ("c", "varchar")]


def read_in_steps(stream: Any, size: int = 4096) -> bytes:
    data = b""
    while piece := stream.read(size):
        data += piece
    stream.close()
    return data


def test_a_cut_result_goes_on_where_it_was_cut(setting: Setting) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    (whole,) = (data for (_, key), data in setting.s3.objects.items() if key.endswith(".csv"))
    setting.s3.cut_after_bytes = [0, 10_000, 1, 0, 30_000]
    data = read_in_steps(setting.engine.open_result(ended.engine_id, ended.result_location))
    assert data == whole
    assert setting.s3.ranges == [
        None,
        "bytes=0-",
        "bytes=10000-",
        "bytes=10001-",
        "bytes=10001-",
        "bytes=40001-",
    ]


def test_a_result_that_ends_too_early_is_resumed_too(setting: Setting) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    assert ended.result_location is not None
    whole = setting.s3.objects["data-hist-results", f"{ended.engine_id}.csv"]
    get = setting.s3.get_object

    def short_once(**arguments: Any) -> dict[str, Any]:
        answer = get(**arguments)
        if "Range" not in arguments:  # told 100 %, given half of it, with no error
            answer["Body"] = io.BytesIO(whole[: len(whole) // 2])
        return answer

    setting.s3.get_object = short_once  # type: ignore[method-assign]  # one answer of this fake only
    assert setting.engine.open_result(ended.engine_id, ended.result_location).read() == whole


def test_a_result_that_never_comes_further_is_given_up(setting: Setting) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    setting.s3.cut_after_bytes = [100] + [0] * 100
    with pytest.raises(QueryFailed) as failed:
        read_in_steps(setting.engine.open_result(ended.engine_id, ended.result_location))
    assert (failed.value.code, failed.value.failure.retryable) == ("ResultUnreadable", True)


@pytest.mark.parametrize(("replaced_by", "code"), [(b"other", "ResultChanged"), (None, "ResultLost")])
def test_a_result_replaced_or_deleted_under_us_is_noticed(
    setting: Setting, replaced_by: bytes | None, code: str
) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    setting.s3.cut_after_bytes = [10_000]
    stream = setting.engine.open_result(ended.engine_id, ended.result_location)
    assert stream.read(1) == b'"'
    if replaced_by is None:
        setting.s3.objects.clear()
    else:
        setting.s3.objects["data-hist-results", f"{ended.engine_id}.csv"] = replaced_by
    with pytest.raises(QueryFailed) as lost:
        read_in_steps(stream)
    assert (lost.value.code, lost.value.failure.blame) == (code, Blame.SERVICE)


def test_faults_of_the_stream_reach_whoever_reads_rows(setting: Setting) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    setting.s3.cut_after_bytes = [10_000] + [0] * 100
    with pytest.raises(QueryFailed) as failed:
        list(read_batches(lambda: setting.engine.open_result(ended.engine_id, ended.result_location), 3))
    assert failed.value.code == "ResultUnreadable"


@pytest.mark.parametrize("cut_bytes", [2, 5, 8, 13])
def test_half_a_result_object_is_unreadable_not_a_short_result(setting: Setting, cut_bytes: int) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    key = ("data-hist-results", f"{ended.engine_id}.csv")
    setting.s3.objects[key] = setting.s3.objects[key][:-cut_bytes]
    with pytest.raises(ResultUnreadable):
        list(read_batches(lambda: setting.engine.open_result(ended.engine_id, ended.result_location), 3))


def test_results_that_athena_manages_are_read_by_calls(setting: Setting) -> None:
    setting.athena.is_managing_results = True
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)
    assert ended.result_location is None
    data = setting.engine.open_result(ended.engine_id, None).read()
    assert data == athena_csv([name for name, _ in MANY_COLUMNS], MANY)
    assert setting.s3.objects == {}


def test_an_object_that_may_not_be_read_is_read_by_calls(setting: Setting) -> None:
    ended = setting.run(columns=MANY_COLUMNS, rows=MANY)

    def denied(operation: str) -> None:
        raise client_error(operation, "AccessDenied", "Access Denied")

    setting.s3.on_call = denied
    data = read_in_steps(setting.engine.open_result(ended.engine_id, ended.result_location))
    assert data == athena_csv([name for name, _ in MANY_COLUMNS], MANY)


def test_a_first_row_like_the_header_is_kept(setting: Setting) -> None:
    setting.athena.is_managing_results = True
    ended = setting.run(columns=[("a", "varchar")], rows=[["a"], ["a"]])
    assert setting.engine.open_result(ended.engine_id, None).read() == b'"a"\n"a"\n"a"\n'
