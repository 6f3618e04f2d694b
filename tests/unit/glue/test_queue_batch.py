from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glue.lambda_handler import handle_event
from glue.queue_batch import QueueMessage, handle_batch
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import PartitionTracker
from tests.unit.glue.fakes import InMemoryGlue, client_error
from tests.unit.glue.notifications import TEST_EVENT, record, s3_event

NOW = datetime(2026, 11, 22, 10, 10, tzinfo=UTC)
BAD_MINUTE = "secor/events/dt=2026-11-22/hr=10/min=06/a.gz"
BAD_VALUES = ("2026-11-22", "10", "06")


class KeptLetters:
    """Dead letters in memory; `fault` is raised instead of keeping."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.kept: list[tuple[QueueMessage, str]] = []
        self.fault = fault

    def put(self, message: QueueMessage, reason: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.kept.append((message, reason))


class World:
    def __init__(self, folder: Path) -> None:
        self.glue = InMemoryGlue()
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.letters = KeptLetters()
        self.tracker = PartitionTracker(
            self.glue, self.ledger, load_table_specs().values(), clock=lambda: NOW, sleep=lambda seconds: None
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lambda_event(*bodies: str, receive_count: int = 1) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": "r",
                "body": body,
                "attributes": {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": "1"},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
    }


def test_a_batch_that_went_well_answers_with_no_failures(world: World) -> None:
    event = lambda_event(s3_event(record()), TEST_EVENT, s3_event(record()))
    for _ in range(2):
        assert handle_event(event, world.tracker, world.letters) == {"batchItemFailures": []}
    assert world.ledger.summary("events").object_count == 1
    assert world.letters.kept == []
    assert handle_event({"Records": []}, world.tracker, None) == {"batchItemFailures": []}


def test_only_the_messages_that_failed_come_again(world: World) -> None:
    world.glue.failures = {BAD_VALUES: ["InvalidInputException"]}
    event = lambda_event(s3_event(record()), s3_event(record(BAD_MINUTE)), s3_event(record(), record(BAD_MINUTE)))
    assert handle_event(event, world.tracker, world.letters) == {
        "batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]
    }
    assert handle_event(event, world.tracker, world.letters) == {"batchItemFailures": []}
    assert world.ledger.summary("events").object_count == 2


def test_poison_is_put_aside_with_its_reason_and_the_rest_goes_on(world: World) -> None:
    messages = [QueueMessage("good", s3_event(record())), QueueMessage("poison", "no json")]
    outcome = handle_batch(messages, world.tracker, world.letters)
    assert (outcome.handled, list(outcome.dead_lettered), outcome.failed) == (["good"], ["poison"], {})
    ((message, reason),) = world.letters.kept
    assert (message.body, "not JSON" in reason) == ("no json", True)


def test_poison_is_failed_where_it_cannot_be_put_aside(world: World) -> None:
    poison = [QueueMessage("poison", "no json")]
    assert list(handle_batch(poison, world.tracker, None).failed) == ["poison"]
    fault = client_error("SendMessage", "AccessDenied", "you may not")
    outcome = handle_batch(poison, world.tracker, KeptLetters(fault))
    assert outcome.finished == []
    assert "you may not" in outcome.failed["poison"]


def test_the_last_failure_is_put_aside_with_the_catalogues_reason(world: World) -> None:
    world.glue.failures = {BAD_VALUES: ["AccessDeniedException"] * 2}
    body = s3_event(record(BAD_MINUTE))
    outcome = handle_batch([QueueMessage("m", body, receive_count=4)], world.tracker, world.letters)
    assert list(outcome.failed) == ["m"]
    outcome = handle_batch([QueueMessage("m", body, receive_count=5)], world.tracker, world.letters)
    assert outcome.finished == ["m"]
    assert "AccessDeniedException" in world.letters.kept[0][1]
