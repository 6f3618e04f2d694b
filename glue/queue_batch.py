"""A batch of queue messages: read, tracked together, each accounted for.

    messages -> changes of all of them -> one PartitionTracker.apply -> handled | failed | put aside

For the Lambda handler and the worker, which differ only in how messages come and go. A message is handled when all
its changes are in the catalogue; failed when one is not, so that the queue brings it again; put aside in the
dead-letter queue, **with the reason**, when it is no notification at all, or when it failed for the last time (a
queue's own redrive would move it without a word). What cannot be put aside counts as failed: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from glue.object_changes import ObjectChange, UnreadableNotification, object_changes
from glue.tracker import PartitionTracker, TrackingReport

MAXIMUM_REASON_CHARACTERS = 1024
# AWS advises at least 5 receives before a message is given up, so that throttling does not fill the dead-letter queue.
DEFAULT_MAXIMUM_RECEIVES = 5


@dataclass(frozen=True)
class QueueMessage:
    """One message; `receive_count` is how often it was received, this time included."""

    message_id: str
    body: str
    receive_count: int = 1


@dataclass
class BatchOutcome:
    """Ids of messages by what became of them. `failed` come again; `dead_lettered` were put aside: id -> reason."""

    handled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    dead_lettered: dict[str, str] = field(default_factory=dict)
    report: TrackingReport = field(default_factory=TrackingReport)

    @property
    def finished(self) -> list[str]:
        """The messages that need not come again."""
        return [*self.handled, *self.dead_lettered]


class DeadLetters(Protocol):
    """Where messages that cannot be taken in are kept for redo."""

    def put(self, message: QueueMessage, reason: str) -> None:
        """Keeps a message with the reason; raises when it cannot."""
        ...


class SqsDeadLetters:
    """Dead letters in an SQS queue: the body as it came, the reason and the first message id as attributes."""

    def __init__(self, sqs_client: Any, queue_url: str) -> None:
        self._sqs = sqs_client
        self._queue_url = queue_url

    def put(self, message: QueueMessage, reason: str) -> None:
        self._sqs.send_message(
            QueueUrl=self._queue_url,
            MessageBody=message.body or " ",
            MessageAttributes={
                "reason": {"DataType": "String", "StringValue": reason[:MAXIMUM_REASON_CHARACTERS] or "unknown"},
                "message_id": {"DataType": "String", "StringValue": message.message_id},
            },
        )


def handle_batch(
    messages: Sequence[QueueMessage],
    tracker: PartitionTracker,
    dead_letters: DeadLetters | None,
    *,
    maximum_receives: int = DEFAULT_MAXIMUM_RECEIVES,
    read: Callable[[str], Sequence[ObjectChange]] = object_changes,
) -> BatchOutcome:
    """Tracks what the messages tell; every message's id is in exactly one member of the outcome.

    Without `dead_letters` an unreadable message is failed, and the queue's redrive policy decides.
    """
    outcome = BatchOutcome()
    changes_by_id: dict[str, Sequence[ObjectChange]] = {}
    by_id = {message.message_id: message for message in messages}
    for message in by_id.values():
        try:
            changes_by_id[message.message_id] = read(message.body)
        except UnreadableNotification as error:
            _put_aside(outcome, message, str(error), dead_letters)
    outcome.report = tracker.apply(change for changes in changes_by_id.values() for change in changes)
    reasons = {failure.change: failure for failure in outcome.report.failed}
    for message_id, changes in changes_by_id.items():
        failures = [reasons[change] for change in changes if change in reasons]
        if not failures:
            outcome.handled.append(message_id)
            continue
        worst = next((failure for failure in failures if not failure.is_retryable), failures[0])
        reason = f"{worst.code}: {worst.message} ({worst.change.key[:200]})"
        if by_id[message_id].receive_count >= maximum_receives:
            _put_aside(outcome, by_id[message_id], reason, dead_letters)
        else:
            outcome.failed[message_id] = reason
    return outcome


def _put_aside(outcome: BatchOutcome, message: QueueMessage, reason: str, dead_letters: DeadLetters | None) -> None:
    if dead_letters is None:
        outcome.failed[message.message_id] = reason
        return
    try:
        dead_letters.put(message, reason)
    except (ClientError, BotoCoreError) as error:
        outcome.failed[message.message_id] = f"{reason}; and it could not be put aside: {error}"
    else:
        outcome.dead_lettered[message.message_id] = reason
