"""The tracker as a process that reads the queue itself, for those without Lambda.

    receive (10 a call, several calls a batch) -> handle_batch -> delete what is finished

`python -m glue.worker QUEUE_URL [DEAD_LETTER_QUEUE_URL]` runs until SIGTERM; `DATA_HIST_LAKE_BUCKET`,
`DATA_HIST_LEDGER_TABLE` and `DATA_HIST_INSPECT` are read as the Lambda function reads them. With
`DATA_HIST_MARK_COMPLETE=on` it also writes `_SUCCESS` into complete folders (`glue.success_markers`). A message that
failed is left alone: it comes again after the queue's visibility timeout, which should be longer than a batch takes (a
minute is plenty). Being killed anywhere loses nothing: what was not deleted comes again, and doing it twice equals
doing it once. Any number of workers may read one queue.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from glue.dynamodb_ledger import DynamoDbLedger
from glue.lambda_handler import (
    inspection_of_environment,
    ledger_of_environment,
    log_inspection,
    log_outcome,
    settling_of_environment,
)
from glue.queue_batch import BatchOutcome, DeadLetters, QueueMessage, SqsDeadLetters, handle_batch
from glue.success_markers import MarkingThread, SuccessMarkers
from glue.table_spec import TableSpec, table_specs_of_environment
from glue.tracker import ObjectLedger, PartitionTracker

MESSAGES_PER_CALL = 10  # the most SQS gives and deletes at a time
_LONGEST_PAUSE_SECONDS = 60.0
_LOG = logging.getLogger(__name__)


class QueueWorker:
    """Reads one queue. `calls_per_batch`: how many receive calls are gathered while each comes back full, so that the
    partitions of many messages share their calls of the catalogue.
    """

    def __init__(
        self,
        sqs_client: Any,
        queue_url: str,
        tracker: PartitionTracker,
        dead_letters: DeadLetters | None,
        *,
        calls_per_batch: int = 20,
        wait_seconds: int = 20,
        on_batch: Callable[[BatchOutcome], None] = log_outcome,
        after_batch: Callable[[], None] | None = None,
    ) -> None:
        """`after_batch` is called when what is finished is deleted."""
        self._sqs = sqs_client
        self._queue_url = queue_url
        self._tracker = tracker
        self._dead_letters = dead_letters
        self._calls_per_batch = calls_per_batch
        self._wait_seconds = wait_seconds
        self._on_batch = on_batch
        self._after_batch = after_batch
        self._is_stopping = threading.Event()

    def is_running(self) -> bool:
        """Whether nobody has called `stop`."""
        return not self._is_stopping.is_set()

    def stop(self) -> None:
        """Ends `run` after the batch it is at."""
        self._is_stopping.set()

    def run(self) -> None:
        """Works until `stop`. A queue or catalogue that does not answer is asked again, ever more slowly."""
        pause_seconds = 1.0
        while not self._is_stopping.is_set():
            try:
                self.run_once()
            except (ClientError, BotoCoreError):
                _LOG.exception("the queue could not be read; trying again in %.0f s", pause_seconds)
                self._is_stopping.wait(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = 1.0

    def run_once(self) -> BatchOutcome:
        """Receives a batch (waiting `wait_seconds` for the first message), tracks it, deletes what is finished."""
        receipts: dict[str, str] = {}
        messages: list[QueueMessage] = []
        for call in range(self._calls_per_batch):
            received = self._receive(self._wait_seconds if call == 0 else 0)
            for message in received:
                receipts[message["MessageId"]] = message["ReceiptHandle"]
                count = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
                messages.append(QueueMessage(message["MessageId"], message.get("Body", ""), count))
            if len(received) < MESSAGES_PER_CALL:
                break
        outcome = handle_batch(messages, self._tracker, self._dead_letters)
        self._delete([(message_id, receipts[message_id]) for message_id in outcome.finished])
        if messages:
            self._on_batch(outcome)
        if self._after_batch is not None:
            self._after_batch()
        return outcome

    def _receive(self, wait_seconds: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=MESSAGES_PER_CALL,
            WaitTimeSeconds=wait_seconds,
            AttributeNames=["ApproximateReceiveCount"],
        )
        received: list[dict[str, Any]] = answer.get("Messages", [])
        return received

    def _delete(self, finished: list[tuple[str, str]]) -> None:
        for start in range(0, len(finished), MESSAGES_PER_CALL):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt}
                for number, (_, receipt) in enumerate(finished[start : start + MESSAGES_PER_CALL])
            ]
            # one that cannot be deleted comes again, and is handled again: that is allowed
            self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)


def main(arguments: list[str]) -> int:
    """Composition root of `python -m glue.worker`."""
    import boto3

    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python -m glue.worker QUEUE_URL [DEAD_LETTER_QUEUE_URL]\n")
        return 2
    client: Any = boto3.client  # mypy knows the methods of AWS more narrowly than our ports ask for
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    specs = table_specs_of_environment()
    ledger = ledger_of_environment(client)
    inspection = inspection_of_environment(client, ledger)
    tracker = PartitionTracker(
        client("glue"),
        ledger,
        specs.values(),
        clock=lambda: datetime.now(UTC),
        on_recorded=None if inspection is None else inspection.note,
        settle=settling_of_environment(client, ledger),
    )
    sqs_client = client("sqs")
    dead_letters = SqsDeadLetters(sqs_client, arguments[1]) if len(arguments) == 2 else None
    worker = QueueWorker(
        sqs_client,
        arguments[0],
        tracker,
        dead_letters,
        after_batch=None if inspection is None else lambda: log_inspection(inspection.run(worker.is_running)),
    )
    marking = marking_of_environment(client, ledger, specs.values())
    if marking is not None:
        marking.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: worker.stop())
    worker.run()
    if marking is not None:
        marking.close()
    return 0


def marking_of_environment(
    client: Callable[[str], Any], ledger: ObjectLedger, specs: Iterable[TableSpec]
) -> MarkingThread | None:
    """The thread that writes `_SUCCESS`, where DATA_HIST_MARK_COMPLETE is on and there is a ledger."""
    is_wanted = os.environ.get("DATA_HIST_MARK_COMPLETE", "").strip().lower() in ("on", "true", "yes", "1")
    if not is_wanted or not isinstance(ledger, DynamoDbLedger):
        return None
    return MarkingThread(SuccessMarkers(client("s3"), ledger), specs, clock=lambda: datetime.now(UTC))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
