"""S3 -> SQS -> Lambda -> Glue on ministack, an AWS stand-in that runs the function: nobody of ours carries a message.

The function is the tracker's zip as `make lambda` builds it, for this machine's Python. ministack pins its own boto3
and lives in an environment of its own, .venv-stand-ins.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bench.harness import ROOT, free_port, server
from bench.peers.environment import PeersNotInstallable, installed
from glue.bootstrap import ensure_catalogue
from glue.table_spec import load_table_specs

LOCK = ROOT / "tests" / "stand_ins" / "requirements.lock"
SPECS = load_table_specs()
EVENTS = SPECS["events"]
FOLDER = "secor/events/dt=2026-11-22/hr=10"
GENEROUS_SECONDS = 240
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@dataclass(frozen=True)
class Chain:
    """The resources of the chain, made as Terraform makes them."""

    s3: Any
    sqs: Any
    glue: Any
    queue_url: str
    dead_letter_url: str

    def put(self, name: str, body: bytes = gzip.compress(b"{}\n")) -> None:
        self.s3.put_object(Bucket=EVENTS.bucket, Key=f"{FOLDER}/{name}", Body=body)

    def partitions(self) -> dict[tuple[str, ...], str]:
        """Values to location, of the whole table."""
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=EVENTS.database, TableName=EVENTS.name)
        return {
            tuple(entry["Values"]): entry["StorageDescriptor"]["Location"]
            for page in pages
            for entry in page["Partitions"]
        }

    def waiting(self) -> int:
        """Messages that are in the queue or with the function."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def dead_letters(self) -> list[dict[str, Any]]:
        """Takes what is there."""
        answer = self.sqs.receive_message(
            QueueUrl=self.dead_letter_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=self.dead_letter_url, ReceiptHandle=message["ReceiptHandle"])
        return found


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def chain(tracker_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    try:
        command = str(installed(ROOT / ".venv-stand-ins", LOCK) / "ministack")
    except PeersNotInstallable as error:
        pytest.skip(f"ministack cannot be installed: {error}")
    folder, port = tmp_path_factory.mktemp("ministack"), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LAMBDA_EXECUTOR": "local",
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "ERROR",
    }
    with server([command], url=url, environment=environment, any_answer=True):
        yield _made(url, tracker_zip)


def _made(url: str, tracker_zip: Path) -> Chain:
    def client(name: str) -> Any:
        retries = Config(retries={"mode": "standard", "total_max_attempts": 8})
        return boto3.client(name, endpoint_url=url, config=retries, **CREDENTIALS)  # type: ignore[call-overload]  # names are literals there

    s3, sqs, glue, functions = client("s3"), client("sqs"), client("glue"), client("lambda")
    s3.create_bucket(Bucket=EVENTS.bucket)
    ensure_catalogue(glue, SPECS.values())
    queue_url = sqs.create_queue(QueueName="landed", Attributes={"VisibilityTimeout": "120"})["QueueUrl"]
    dead_letter_url = sqs.create_queue(QueueName="landed-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket=EVENTS.bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        },
    )
    functions.create_function(
        FunctionName="tracker",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/tracker",
        Handler="glue.lambda_handler.handler",
        Code={"ZipFile": tracker_zip.read_bytes()},
        Timeout=60,
        Environment={
            "Variables": {
                "DATA_HIST_DEAD_LETTER_QUEUE_URL": dead_letter_url,
                "AWS_ENDPOINT_URL": url,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
        },
    )
    functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="tracker", BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    return Chain(s3, sqs, glue, queue_url, dead_letter_url)


def test_what_lands_becomes_a_partition_and_what_is_no_notification_is_kept_with_its_reason(chain: Chain) -> None:
    chain.sqs.send_message(QueueUrl=chain.queue_url, MessageBody="no notification at all")
    for minute in (5, 6, 6, 7):
        chain.put(f"min={minute:02}/1_0_{minute:020d}.gz")
    chain.put("min=08/it's a + name with äöü.gz")
    chain.put("min=60/1_0_00000000000000000000.gz")  # no minute: foreign, never registered
    chain.put("min=09/_SUCCESS", b"")
    expected = {("2026-11-22", "10", f"{minute:02}") for minute in (5, 6, 7, 8)}
    until(lambda: chain.partitions().keys() == expected and chain.waiting() == 0)
    assert chain.partitions()["2026-11-22", "10", "08"] == f"s3://{EVENTS.bucket}/{FOLDER}/min=08/"

    (dead,) = chain.dead_letters()
    assert dead["Body"] == "no notification at all"
    assert dead["MessageAttributes"]["reason"]["StringValue"].startswith("not JSON")


def test_notifications_that_come_again_change_nothing(chain: Chain) -> None:
    chain.put("min=30/1_0_00000000000000000030.gz")
    until(lambda: ("2026-11-22", "10", "30") in chain.partitions())
    before = chain.partitions()
    notification = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": EVENTS.bucket}, "object": {"key": f"{FOLDER}/min%3D30/1_0_1.gz", "size": 9}},
    }
    for _ in range(3):
        chain.sqs.send_message(QueueUrl=chain.queue_url, MessageBody=json.dumps({"Records": [notification]}))
    until(lambda: chain.waiting() == 0)
    assert chain.partitions() == before
    assert chain.dead_letters() == []


def test_a_dead_letter_that_was_mended_is_taken_in(chain: Chain) -> None:
    """The redo: the body is put right and put into the queue again."""
    broken = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": EVENTS.bucket}}}]}
    chain.sqs.send_message(QueueUrl=chain.queue_url, MessageBody=json.dumps(broken))
    found: list[dict[str, Any]] = []
    until(lambda: bool(found.extend(chain.dead_letters()) or found))
    assert "without an object" in found[0]["MessageAttributes"]["reason"]["StringValue"]

    mended = json.loads(found[0]["Body"])
    mended["Records"][0]["s3"]["object"] = {"key": f"{FOLDER}/min%3D45/1_0_00000000000000000045.gz", "size": 20}
    chain.sqs.send_message(QueueUrl=chain.queue_url, MessageBody=json.dumps(mended))
    until(lambda: ("2026-11-22", "10", "45") in chain.partitions())
    assert chain.dead_letters() == []
