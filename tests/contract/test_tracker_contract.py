"""Objects land, the queue tells, the worker registers: S3, SQS and Glue behind real boto3 clients, answered by moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.lake import open_lake
from api.settings import Settings
from glue.bootstrap import ensure_catalogue
from glue.dynamodb_table import LEDGER, create_table
from glue.partition_range import PartitionRange
from glue.queue_batch import BatchOutcome, SqsDeadLetters
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import PartitionTracker
from glue.worker import QueueWorker, main
from tests.contract.aws_implementations import moto_client

SPECS = load_table_specs()
EVENTS = SPECS["events"]


class Cloud:
    def __init__(self, folder: Path) -> None:
        import boto3

        self.glue: Any = boto3.client("glue", region_name="us-east-1")
        self.s3: Any = boto3.client("s3", region_name="us-east-1")
        self.sqs: Any = boto3.client("sqs", region_name="us-east-1")
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        ensure_catalogue(self.glue, SPECS.values())
        self.s3.create_bucket(Bucket=EVENTS.bucket)
        self.queue_url = self.sqs.create_queue(QueueName="objects")["QueueUrl"]
        self.dead_url = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
        self.s3.put_bucket_notification_configuration(
            Bucket=EVENTS.bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {"QueueArn": arn["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
                ]
            },
        )
        self.outcomes: list[BatchOutcome] = []
        tracker = PartitionTracker(self.glue, self.ledger, SPECS.values(), clock=lambda: datetime.now(UTC))
        self.worker = QueueWorker(
            self.sqs, self.queue_url, tracker, SqsDeadLetters(self.sqs, self.dead_url),
            wait_seconds=0, on_batch=self.outcomes.append,
        )  # fmt: skip

    def partitions(self) -> set[tuple[str, ...]]:
        answer = self.glue.get_partitions(DatabaseName=EVENTS.database, TableName=EVENTS.name)
        return {tuple(partition["Values"]) for partition in answer["Partitions"]}

    def waiting(self, queue_url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in attributes.values())


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with moto_client("sqs", monkeypatch):
        cloud = Cloud(tmp_path)
        yield cloud
        cloud.ledger.close()


def test_what_lands_is_registered_and_the_queue_is_empty_afterwards(cloud: Cloud) -> None:
    for minute in range(25):
        key = f"secor/events/dt=2026-11-22/hr=10/min={minute:02d}/1_0_00000000000000000000.gz"
        cloud.s3.put_object(Bucket=EVENTS.bucket, Key=key, Body=b"x" * 10)
    cloud.s3.put_object(Bucket=EVENTS.bucket, Key="secor/events/dt=2026-11-22/hr=10/min=00/it's ü+ .gz", Body=b"x")
    cloud.s3.delete_object(Bucket=EVENTS.bucket, Key=key)
    cloud.worker.run_once()
    assert len(cloud.partitions()) == 24  # the deletion came in the same batch
    assert cloud.ledger.summary("events").object_count == 25
    assert [known.key for known in cloud.ledger.known_objects("events")][1].endswith("/it's ü+ .gz")
    assert cloud.waiting(cloud.queue_url) == 0
    assert cloud.waiting(cloud.dead_url) == 0
    assert cloud.worker.run_once().handled == []


def test_poison_goes_to_the_dead_letter_queue_with_its_reason(cloud: Cloud) -> None:
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=json.dumps({"hello": "world"}))
    cloud.s3.put_object(Bucket=EVENTS.bucket, Key="secor/events/dt=2026-11-22/hr=10/min=00/a.gz", Body=b"x")
    cloud.worker.run_once()
    assert cloud.partitions() == {("2026-11-22", "10", "00")}
    (letter,) = cloud.sqs.receive_message(QueueUrl=cloud.dead_url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(letter["Body"]) == {"hello": "world"}
    assert "hello" in letter["MessageAttributes"]["reason"]["StringValue"]
    assert cloud.waiting(cloud.queue_url) == 0


def test_messages_of_a_partition_the_catalogue_refuses_stay_in_the_queue(cloud: Cloud) -> None:
    cloud.glue.delete_table(DatabaseName=EVENTS.database, Name=EVENTS.name)
    cloud.s3.put_object(Bucket=EVENTS.bucket, Key="secor/events/dt=2026-11-22/hr=10/min=00/a.gz", Body=b"x")
    outcome = cloud.worker.run_once()
    assert len(outcome.failed) == 1
    assert "EntityNotFound" in next(iter(outcome.failed.values()))
    assert cloud.waiting(cloud.queue_url) == 1


def test_the_worker_runs_until_it_is_stopped(cloud: Cloud) -> None:
    cloud.s3.put_object(Bucket=EVENTS.bucket, Key="secor/events/dt=2026-11-22/hr=10/min=00/a.gz", Body=b"x")
    cloud.worker._on_batch = lambda outcome: cloud.worker.stop()
    cloud.worker.run()
    assert cloud.partitions() == {("2026-11-22", "10", "00")}


def test_the_lambda_function_makes_its_own_clients(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    from glue import lambda_handler

    monkeypatch.setenv("DATA_HIST_DEAD_LETTER_QUEUE_URL", cloud.dead_url)
    lambda_handler._from_environment.cache_clear()
    cloud.s3.put_object(Bucket=EVENTS.bucket, Key="secor/events/dt=2026-11-22/hr=10/min=00/a.gz", Body=b"x")
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="no json")
    messages = cloud.sqs.receive_message(QueueUrl=cloud.queue_url, MaxNumberOfMessages=10)["Messages"]
    event = {"Records": [{"messageId": m["MessageId"], "body": m["Body"], "attributes": {}} for m in messages]}
    for _ in range(2):
        assert lambda_handler.handler(event, None) == {"batchItemFailures": []}
    assert cloud.partitions() == {("2026-11-22", "10", "00")}
    assert cloud.waiting(cloud.dead_url) == 2  # Lambda that is called twice puts aside twice
    lambda_handler._from_environment.cache_clear()


class Context:
    """What Lambda tells of its time."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def test_what_the_lambda_function_writes_into_the_ledger_the_service_reads(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import boto3

    from glue import lambda_handler

    create_table(boto3.client("dynamodb"), LEDGER, "ledger")
    monkeypatch.setenv("DATA_HIST_LEDGER_TABLE", "ledger")
    monkeypatch.setenv("DATA_HIST_INSPECT", "full")
    lambda_handler._from_environment.cache_clear()
    key = "secor/events/dt=2026-11-22/hr=10/min={:02d}/1_0_00000000000000000000.gz"
    body = b'{"createdtimestamp": 1795341600000}\n'
    for minute in range(3):
        cloud.s3.put_object(Bucket=EVENTS.bucket, Key=key.format(minute), Body=body)
    cloud.s3.delete_object(Bucket=EVENTS.bucket, Key=key.format(2))
    messages = cloud.sqs.receive_message(QueueUrl=cloud.queue_url, MaxNumberOfMessages=10)["Messages"]
    event = {"Records": [{"messageId": m["MessageId"], "body": m["Body"], "attributes": {}} for m in messages]}
    settings = Settings(engine="athena", ledger="dynamodb", ledger_table="ledger")
    lake = open_lake(tmp_path / "service", settings)
    for remaining in (100, 60_000, 60_000):
        assert lambda_handler.handler(event, Context(remaining)) == {"batchItemFailures": []}
        summary = lake.ledger.summary("events")
        assert (summary.partition_count, summary.object_count, summary.size_bytes) == (2, 2, 2 * len(body))
        row_counts = [record.row_count for record in lake.ledger.partitions("events")]
        assert row_counts == ([None, None] if remaining < 1000 else [1, 1])
    inside = PartitionRange.covering(datetime(2026, 11, 22, 10, 1, tzinfo=UTC), None)
    assert lake.ledger.summary("events", inside).partition_count == 1
    lake.close()
    lambda_handler._from_environment.cache_clear()


def test_the_worker_wants_a_queue() -> None:
    assert main([]) == 2
