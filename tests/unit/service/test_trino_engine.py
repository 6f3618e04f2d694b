"""Trino's engine against a coordinator that misbehaves: away, busy, restarted, cut off, full, and against a storage
that does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from embedded.s3 import S3
from service.engine import EngineBusy, EngineExecution, EngineExecutionLost, StartContext
from service.engines import result_writing
from service.engines.trino import TrinoEngine, failure_of
from service.engines.trino_protocol import TrinoServer, TrinoStatement, TrinoTrouble
from service.engines.trino_values import floating_text
from service.errors import Blame, EngineUnavailable, QueryFailed
from service.model import QueryRequest, QueryStatus
from service.queries import QueryService
from tests.fakes.trino import FakeTrino, Script, integers, trino_server
from tests.fakes.world import ALICE, World

TOKEN = "data-hist-0f5a-1"
SQL = "SELECT n FROM t"
Reply = tuple[int, bytes, dict[str, str]]


class Setting:
    """An engine over a fake coordinator and the embedded S3."""

    def __init__(self, trino: FakeTrino, folder: Path) -> None:
        self.trino = trino
        self.folder = folder
        self.s3 = S3(folder / "s3")
        self.s3.create_bucket(Bucket="results")
        self.engine = self.another()

    def another(self, *, s3: Any = None, **members: Any) -> TrinoEngine:
        """The engine of another process."""
        server = members.pop("server", {})
        return TrinoEngine(
            TrinoServer(
                **({"url": self.trino.base_url, "user": "u", "catalog": "hive", "schema": "data_hist"} | server)
            ),
            s3 or self.s3,
            output_location="s3://results/out/",
            **({"attempts": 3, "patience_seconds": 5.0} | members),
        )

    def start(self, *answers: dict[str, Any]) -> str:
        if answers:
            self.trino.scripts[SQL] = Script.of(*answers)
        return self.engine.start(SQL, token=TOKEN)

    def wait(self, engine_id: str) -> EngineExecution:
        return self.engine.wait(engine_id, lambda execution: None)

    def text(self, ended: EngineExecution) -> str:
        return self.engine.open_result(ended.engine_id, ended.result_location).read().decode()

    def fail_once(self, method: str, *replies: Reply | None, path: str = "") -> None:
        """The next requests of a method get these replies (None: the real one)."""
        left = list(replies)

        def intercept(asked: str, asked_path: str) -> Reply | None:
            return left.pop(0) if asked == method and path in asked_path and left else None

        self.trino.intercept = intercept

    def objects(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="results")
        return [item["Key"].removeprefix("out/") for item in listed.get("Contents", ())]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with trino_server() as trino:
        made = Setting(trino, tmp_path)
        yield made
        made.engine.close()


def status(code: int, body: bytes = b"down", **headers: str) -> Reply:
    return code, body, headers


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_what_trino_is_told_of_the_query(setting: Setting) -> None:
    engine = setting.another(
        server={"client_tags": ("batch",), "session_properties": {"query_max_run_time": "10m"}, "source": "data-hist"}
    )
    engine.start("SELECT 'ü'", token=TOKEN, context=StartContext("al,ice\r\nX-Evil: 1"))
    (statement,) = setting.trino.statements.values()
    sent = {name.lower(): value for name, value in statement.headers.items()}
    assert statement.sql == "SELECT 'ü'"
    expected = {
        "x-trino-user": "u",
        "x-trino-catalog": "hive",
        "x-trino-schema": "data_hist",
        "x-trino-source": "data-hist",
        "x-trino-time-zone": "UTC",
        "x-trino-session": "query_max_run_time=10m",
        "x-trino-trace-token": TOKEN,
        "x-trino-client-info": TOKEN,
        "x-trino-client-tags": "batch,tenant=al%2Cice%0D%0AX-Evil%3A%201",
    }
    assert {name: sent[name] for name in expected} == expected
    assert "x-evil" not in sent


def test_secrets_are_read_for_each_statement(setting: Setting, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    engine = setting.another(server={"password_file": secret})
    engine.start("SELECT 1", token="1")
    secret.write_text("second")
    engine.start("SELECT 1", token="2")
    sent = [statement.headers["Authorization"].split()[1] for statement in setting.trino.statements.values()]
    assert [base64.b64decode(value) for value in sent] == [b"u:first", b"u:second"]


def test_a_secret_that_cannot_be_read_is_the_operators(setting: Setting, tmp_path: Path) -> None:
    engine = setting.another(server={"token_file": tmp_path / "missing"})
    with pytest.raises(EngineUnavailable, match="credentials") as unavailable:
        engine.start("SELECT 1", token="1")
    assert str(tmp_path) not in unavailable.value.detail


def test_a_secret_never_follows_an_address_without_tls() -> None:
    class Response:
        status_code = 200
        content = json.dumps({"id": "q", "nextUri": "http://elsewhere/v1/statement/queued/q/y/1", "stats": {}}).encode()

    statement = TrinoStatement(TrinoServer("https://trino.example", "u", "c", "s"), token="", tenant="")
    with pytest.raises(TrinoTrouble, match="without"):
        statement._answer(Response)


def test_show_partitions_is_a_query_over_the_partitions(setting: Setting) -> None:
    engine = setting.another(partition_keys={"data_hist.events": ("dt", "hr")})
    engine.start("SHOW PARTITIONS data_hist.events", token="1")
    (statement,) = setting.trino.statements.values()
    assert statement.sql == (
        "SELECT 'dt=' || dt || '/' || 'hr=' || hr AS partition FROM data_hist.\"events$partitions\" ORDER BY 1"
    )


# --- Trino away, busy, restarted, cut off ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 502, 503, 504])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_short_outages_are_waited_out_and_nothing_is_doubled(setting: Setting, method: str, code: int) -> None:
    setting.fail_once(method, status(code), status(code))
    ended = setting.wait(setting.start(integers(1, 2), integers(3)))
    assert setting.text(ended).splitlines() == ['"n"', '"1"', '"2"', '"3"']
    assert setting.trino.begun == [SQL]


def test_a_connection_cut_in_the_middle_of_an_answer_gives_every_row_once(setting: Setting) -> None:
    engine_id = setting.start(integers(1, 2), integers(3), integers(4))
    cut = (200, b'{"id":"x","da', {"Content-Length": "5000"})
    setting.fail_once("GET", None, cut, None, cut, cut)
    assert setting.text(setting.wait(engine_id)).splitlines() == ['"n"', '"1"', '"2"', '"3"', '"4"']


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"[]", b"{}"])
def test_an_answer_that_is_not_the_protocols_is_asked_for_again(setting: Setting, body: bytes) -> None:
    setting.fail_once("GET", status(200, body))
    assert setting.text(setting.wait(setting.start(integers(1)))).splitlines() == ['"n"', '"1"']


def test_trino_that_stays_busy_or_away_is_told_apart(setting: Setting) -> None:
    setting.trino.intercept = lambda method, path: status(429)
    with pytest.raises(EngineBusy):
        setting.start()
    setting.trino.intercept = lambda method, path: status(503, b"secret-host.internal")
    with pytest.raises(EngineUnavailable, match="does not answer") as unavailable:
        setting.start()
    assert "secret-host" not in unavailable.value.detail


def test_nobody_listens(setting: Setting) -> None:
    engine = setting.another(server={"url": "http://127.0.0.1:9"})
    with pytest.raises(EngineUnavailable, match="does not answer"):
        engine.start("SELECT 1", token="1")


def test_waiting_can_go_on_after_patience_has_ended(setting: Setting) -> None:
    engine_id = setting.start(integers(1))
    setting.trino.intercept = lambda method, path: status(503)
    impatient = setting.engine
    impatient._patience_seconds = 0.1
    with pytest.raises(EngineUnavailable):
        setting.wait(engine_id)
    setting.trino.intercept = lambda method, path: None
    assert setting.wait(engine_id).status is QueryStatus.FINISHED


@pytest.mark.parametrize("code", [404, 410])
def test_a_coordinator_that_forgot_the_query_has_lost_it(setting: Setting, code: int) -> None:
    engine_id = setting.start(integers(1))
    setting.fail_once("GET", status(code))
    with pytest.raises(EngineExecutionLost):
        setting.wait(engine_id)
    assert setting.objects() == []


def test_a_token_that_expires_while_the_query_runs_is_read_anew(setting: Setting, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("old")
    setting.engine = setting.another(server={"token_file": secret})
    engine_id = setting.start(integers(1), integers(2))
    refusals: list[str] = []

    def intercept(method: str, path: str) -> Reply | None:
        sent = setting.trino.request_headers[-1]["Authorization"]
        if method == "GET" and sent != "Bearer new":
            refusals.append(sent)
            secret.write_text("new")
            return status(401, b"expired")
        return None

    setting.trino.intercept = intercept
    assert setting.text(setting.wait(engine_id)).splitlines() == ['"n"', '"1"', '"2"']
    assert refusals == ["Bearer old"]


def test_wrong_credentials_are_the_operators(setting: Setting) -> None:
    setting.trino.intercept = lambda method, path: status(401, b"user u unknown in ldap.internal")
    with pytest.raises(EngineUnavailable, match="credentials") as unavailable:
        setting.start()
    assert "ldap" not in unavailable.value.detail


def test_trino_is_trusted_by_the_certificates_that_are_named(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with trino_server(tls=(certificate, key)) as trino:
        trusting = Setting(trino, tmp_path).another(server={"ca_file": certificate})
        trusting.start("SELECT 1", token="1")
        with pytest.raises(EngineUnavailable):
            Setting(trino, tmp_path).another().start("SELECT 1", token="1")
    assert [statement.sql for statement in trino.statements.values()] == ["SELECT 1"]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "trino.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


# --- errors of the statement -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "blame", "retryable"),
    [
        ("DIVISION_BY_ZERO", "USER_ERROR", Blame.USER, False),
        ("EXCEEDED_GLOBAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES", Blame.ENGINE, False),
        ("EXCEEDED_TIME_LIMIT", "INSUFFICIENT_RESOURCES", Blame.ENGINE, False),
        ("REMOTE_TASK_ERROR", "INTERNAL_ERROR", Blame.ENGINE, True),
        ("NO_NODES_AVAILABLE", "INSUFFICIENT_RESOURCES", Blame.ENGINE, True),
        ("HIVE_CURSOR_ERROR", "EXTERNAL", Blame.ENGINE, False),
        ("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR", Blame.ENGINE, False),
    ],
)
def test_blame_and_a_second_try_follow_trinos_error(
    setting: Setting, name: str, kind: str, blame: Blame, retryable: bool
) -> None:
    location = {"lineNumber": 3, "columnNumber": 7}
    error = {"message": "why", "errorName": name, "errorType": kind, "errorLocation": location}
    ended = setting.wait(setting.start(integers(1), {"error": error}))
    assert ended.status is QueryStatus.FAILED
    assert ended.failure is not None
    assert (ended.failure.blame, ended.failure.retryable) == (blame, retryable)
    assert (ended.failure.engine_error_name, ended.failure.detail) == (name, "why")
    assert (ended.failure.line, ended.failure.column) == (3, 7)
    assert setting.objects() == []


def test_an_error_without_words_is_still_one() -> None:
    assert failure_of({}).detail == "the engine gave no reason"


@pytest.mark.parametrize("name", ["USER_CANCELED", "ADMINISTRATIVELY_KILLED"])
def test_a_query_that_somebody_else_ended_is_cancelled_with_his_reason(setting: Setting, name: str) -> None:
    error = {"message": "by root: too dear", "errorName": name, "errorType": "USER_ERROR"}
    ended = setting.wait(setting.start({"error": error}))
    assert (ended.status, ended.reason) == (QueryStatus.CANCELLED, "by root: too dear")


def test_a_query_is_stopped_from_another_process(setting: Setting) -> None:
    engine_id = setting.engine.start("SELECT held", token=TOKEN)
    told: list[EngineExecution] = []
    waiting = threading.Thread(target=lambda: told.append(setting.wait(engine_id)))
    waiting.start()
    setting.another().stop(engine_id)
    waiting.join()
    assert told[0].status is QueryStatus.CANCELLED
    assert ("DELETE", f"/v1/query/{engine_id}") in setting.trino.requests


def test_a_stop_that_trino_forgets_the_query_over_is_a_stop(setting: Setting) -> None:
    engine_id = setting.engine.start("SELECT held", token=TOKEN)
    setting.engine.stop(engine_id)
    setting.fail_once("GET", status(410))
    assert setting.wait(engine_id).status is QueryStatus.CANCELLED


def test_a_stop_that_is_refused_is_told(setting: Setting) -> None:
    setting.fail_once("DELETE", status(403))
    with pytest.raises(EngineUnavailable):
        setting.engine.stop("20200101_000000_00000_abcde")


# --- the result on its way into storage ------------------------------------------------------------------------------


class FailingS3:
    """The embedded S3, whose methods fail so many times."""

    def __init__(self, s3: S3, **failures: int) -> None:
        self._s3 = s3
        self._failures = failures
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._s3, name)

        def call(**arguments: Any) -> Any:
            with self.lock:
                if self._failures.get(name, 0):
                    self._failures[name] -= 1
                    raise EndpointConnectionError(endpoint_url="http://s3")
            return method(**arguments)

        call.__name__ = name
        return call


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_writing, "_PART_BYTES", 5 * 2**20)  # S3 takes no smaller ones


VARCHAR = {"name": "n", "type": "varchar", "typeSignature": {"rawType": "varchar", "arguments": []}}
TEXTS = [f"{number:02d}" * 2**19 for number in range(12)]
ROWS = [{"columns": [VARCHAR], "data": [[text], [None]]} for text in TEXTS]
LINES = ['"n"', *(line for text in TEXTS for line in (f'"{text}"', ""))]


@pytest.mark.usefixtures("small_parts")
def test_a_large_result_comes_in_parts_and_appears_whole(setting: Setting) -> None:
    ended = setting.wait(setting.start(*ROWS))
    assert setting.text(ended).splitlines() == LINES
    assert setting.objects() == [f"{ended.engine_id}.csv", f"{ended.engine_id}.csv.metadata"]
    assert "Uploads" not in setting.s3.list_multipart_uploads(Bucket="results")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload", "put_object"]
)
def test_storage_that_fails_for_a_while_costs_no_row(setting: Setting, operation: str) -> None:
    setting.engine = setting.another(s3=FailingS3(setting.s3, **{operation: 8}))
    setting.engine._s3_calls._retrying.sleep = lambda seconds: None
    engine_id = setting.start(*ROWS)
    with pytest.raises(EngineUnavailable):
        setting.wait(engine_id)
    ended = setting.wait(engine_id)
    assert setting.text(ended).splitlines() == LINES
    assert setting.trino.begun == [SQL]


@pytest.mark.usefixtures("small_parts")
def test_a_query_that_fails_half_way_leaves_nothing(setting: Setting) -> None:
    error = {"message": "gone", "errorName": "REMOTE_TASK_ERROR", "errorType": "INTERNAL_ERROR"}
    setting.wait(setting.start(*ROWS, {"error": error}))
    assert setting.objects() == []
    assert "Uploads" not in setting.s3.list_multipart_uploads(Bucket="results")


def test_a_result_without_its_metadata_is_not_taken_for_whole(setting: Setting) -> None:
    """A process that died between the two objects."""
    ended = setting.wait(setting.start(integers(1)))
    setting.s3.delete_object(Bucket="results", Key=f"out/{ended.engine_id}.csv.metadata")
    successor = setting.another()
    with pytest.raises(EngineExecutionLost):
        successor.wait(ended.engine_id, lambda execution: None)
    with pytest.raises(QueryFailed) as lost:
        successor.columns(ended.engine_id)
    assert lost.value.code == "ResultLost"


def test_segments_of_the_spooling_protocol_are_read_and_acknowledged(setting: Setting) -> None:
    inline = {"type": "inline", "data": base64.b64encode(b"[[1],[2]]").decode(), "metadata": {"segmentSize": 9}}
    acknowledged = threading.Event()
    base = setting.trino.base_url
    spooled = {
        "type": "spooled",
        "uri": f"{base}/v1/spooled/download/a",
        "ackUri": f"{base}/v1/spooled/ack/a",
        "metadata": {"segmentSize": 5},
        "headers": {},
    }

    def intercept(method: str, path: str) -> Reply | None:
        if path.endswith("/ack/a"):
            acknowledged.set()
            return status(200, b"")
        return status(200, b"[[3]]") if path.endswith("/download/a") else None

    setting.trino.intercept = intercept
    first = integers() | {"data": {"encoding": "json", "segments": [inline, spooled]}}
    ended = setting.wait(setting.start(first, {"data": {"encoding": "json", "segments": [inline]}}))
    assert setting.text(ended).splitlines() == ['"n"', '"1"', '"2"', '"3"', '"1"', '"2"']
    assert acknowledged.wait(5)


def test_a_segment_that_is_gone_fails_the_query_for_a_second_try(setting: Setting) -> None:
    spooled = {"type": "spooled", "uri": f"{setting.trino.base_url}/v1/spooled/gone", "ackUri": "", "metadata": {}}
    ended = setting.wait(setting.start(integers() | {"data": {"encoding": "json", "segments": [spooled]}}, {}))
    assert ended.failure is not None
    assert (ended.failure.blame, ended.failure.retryable) == (Blame.ENGINE, True)
    assert setting.objects() == []


def test_whoever_waited_and_is_gone_leaves_nothing_running(setting: Setting) -> None:
    def lost(execution: EngineExecution) -> None:
        raise RuntimeError("another replica has it")

    engine_id = setting.engine.start("SELECT held", token=TOKEN)
    with pytest.raises(RuntimeError):
        setting.engine.wait(engine_id, lost)
    assert setting.trino.statements[engine_id].is_cancelled


def test_half_a_character_becomes_a_question_mark(setting: Setting) -> None:
    ended = setting.wait(setting.start({"columns": [VARCHAR], "data": [["a\ud800b"], ["é"]]}))
    assert setting.text(ended).splitlines() == ['"n"', '"a?b"', '"é"']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.001, "0.001"),
        (0.00099, "9.9E-4"),
        (9999999.0, "9999999.0"),
        (10000000.0, "1.0E7"),
        (-123456789.125, "-1.23456789125E8"),
        (5e-324, "4.9E-324"),
        (2e-323, "2.0E-323"),
        (1e23, "1.0E23"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (3.4e38, "3.4E38"),
        ("NaN", "NaN"),
        (7, "7.0"),
        (12345678, "1.2345678E7"),
    ],
)
def test_floating_point_is_spelled_as_java_does(value: float | str, text: str) -> None:
    assert floating_text(value) == text


# --- the whole service over it ---------------------------------------------------------------------------------------


def run(service: QueryService, use: Callable[[QueryService], Any]) -> Any:
    async def main() -> Any:
        await service.start()
        try:
            return await use(service)
        finally:
            await service.close()

    return asyncio.run(main())


async def rows_of(service: QueryService, query_id: str) -> list[Any]:
    page = await service.next_page(query_id, ALICE)
    return [row["n"] for row in json.loads(page.body)["result_set"]]


def test_a_cluster_without_room_keeps_the_query_in_our_queue(setting: Setting, world: World) -> None:
    full = {
        "message": "Too many queued queries",
        "errorName": "QUERY_QUEUE_FULL",
        "errorType": "INSUFFICIENT_RESOURCES",
    }
    setting.trino.scripts[SQL] = Script.of({"error": full})

    async def use(service: QueryService) -> Any:
        submitted = await service.submit(QueryRequest(SQL), ALICE)
        while len(setting.trino.begun) < 3:
            await asyncio.sleep(0.01)
        assert (await service.status(submitted.query_id, ALICE)).status in (QueryStatus.QUEUED, QueryStatus.RUNNING)
        setting.trino.scripts[SQL] = Script.of(integers(1, None, 3))
        ended = await service.status(submitted.query_id, ALICE, wait_seconds=20)
        return ended, await rows_of(service, submitted.query_id)

    ended, rows = run(world.service(setting.engine), use)
    assert ended.status is QueryStatus.FINISHED
    assert rows == [1, None, 3]


def test_a_restart_stops_what_ran_and_runs_it_again(setting: Setting, world: World) -> None:
    held = setting.trino.scripts[SQL] = Script()

    async def first_life(service: QueryService) -> str:
        submitted = await service.submit(QueryRequest(SQL), ALICE)
        while not setting.trino.begun:
            await asyncio.sleep(0.01)
        return submitted.query_id

    async def second_life(service: QueryService) -> Any:
        ended = await service.status(query_id, ALICE, wait_seconds=20)
        return ended, await rows_of(service, query_id)

    query_id = run(world.service(setting.engine), first_life)
    assert [statement.is_cancelled for statement in setting.trino.statements.values()] == [True]
    assert not held.released.is_set()
    setting.trino.scripts[SQL] = Script.of(integers(1))
    ended, rows = run(world.service(setting.another()), second_life)
    assert (ended.status, rows) == (QueryStatus.FINISHED, [1])
    assert setting.trino.begun == [SQL, SQL]
