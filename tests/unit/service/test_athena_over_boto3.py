"""The Athena engine on real boto3 clients whose answers a test gives: what botocore makes of AWS's errors on the wire.

No socket is opened: botocore's `before-send` event answers in place of the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from service.engine import EngineBusy
from service.engines.athena import AthenaEngine, WorkGroup
from service.errors import Blame, EngineUnavailable, QueryFailed

TOKEN = "t" * 32
Reply = tuple[int, dict[str, Any]]


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body


class Wire:
    """Answers Athena's requests with the replies in order; the last one stays."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        athena = self.client("athena")
        athena.meta.events.register("before-send.athena.*", self._answered)
        self.engine = AthenaEngine(
            athena,
            self.client("s3"),
            database="data_hist",
            work_group=WorkGroup("customers", "s3://results/"),
            attempts=3,
        )

    @staticmethod
    def client(service_name: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]  # a name that is not written out
            service_name,
            region_name="eu-central-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    def _answered(self, request: Any, **_: Any) -> AWSResponse:
        self.requests.append(json.loads(request.body))
        status, body = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        headers = {"x-amzn-requestid": "r-1", "content-type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(body).encode()))

    def start(self, *replies: Reply) -> str:
        self.replies = list(replies)
        return self.engine.start("SELECT 1", token=TOKEN)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.engine.close()


STARTED: Reply = (200, {"QueryExecutionId": "id-1"})


def refused(kind: str, message: str, status: int = 400, **more: str) -> Reply:
    return status, {"__type": kind, "Message": message, **more}


def test_what_is_sent(wire: Wire) -> None:
    assert wire.start(STARTED) == "id-1"
    assert wire.requests == [
        {
            "QueryString": "SELECT 1",
            "ClientRequestToken": TOKEN,
            "QueryExecutionContext": {"Database": "data_hist"},
            "ResultConfiguration": {"OutputLocation": "s3://results/"},
            "WorkGroup": "customers",
        }
    ]


def test_the_concurrency_limit_waits_in_our_queue(wire: Wire) -> None:
    with pytest.raises(EngineBusy):
        wire.start(
            refused("TooManyRequestsException", "You have exceeded the limit", Reason="CONCURRENT_QUERY_LIMIT_EXCEEDED")
        )
    assert len(wire.requests) == 1


def test_throttles_and_5xx_are_said_again_with_the_same_token(wire: Wire) -> None:
    throttled = refused("ThrottlingException", "Rate exceeded")
    assert wire.start(throttled, refused("InternalServerException", "oops", 500), STARTED) == "id-1"
    assert {request["ClientRequestToken"] for request in wire.requests} == {TOKEN}
    assert len(wire.requests) == 3


def test_a_gateway_that_answers_without_json_is_a_5xx(wire: Wire) -> None:
    with pytest.raises(EngineUnavailable, match="does not answer"):
        wire.start((503, {}))
    assert len(wire.requests) == 3


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (refused("ExpiredTokenException", "The security token included in the request is expired"), "credentials"),
        (refused("InvalidSignatureException", "Signature expired: 20261122T1 is now earlier than"), "clock"),
        (refused("AccessDeniedException", "User: arn:aws:sts::123456789012:x is not authorized"), "may not"),
    ],
)
def test_credentials_clock_and_rights_are_told_apart(wire: Wire, reply: Reply, hint: str) -> None:
    with pytest.raises(EngineUnavailable, match=hint) as unavailable:
        wire.start(reply)
    assert len(wire.requests) == 1
    assert "arn:" not in unavailable.value.detail


def test_syntax_is_the_callers_and_the_work_group_is_not(wire: Wire) -> None:
    syntax = "line 1:8: mismatched input 'FORM'"
    with pytest.raises(QueryFailed) as failed:
        wire.start(refused("InvalidRequestException", syntax, AthenaErrorCode="MALFORMED_QUERY"))
    assert (failed.value.code, failed.value.failure.blame) == ("InvalidQuerySyntax", Blame.USER)
    with pytest.raises(QueryFailed) as failed:
        wire.start(refused("InvalidRequestException", "WorkGroup x is disabled", AthenaErrorCode="INVALID_INPUT"))
    assert (failed.value.code, failed.value.failure.blame) == ("QueryFailed", Blame.SERVICE)
