"""The tracker as a Lambda function behind an SQS queue that S3 (or SNS, or EventBridge) writes to.

    {"Records": [{"messageId", "body", "attributes": {"ApproximateReceiveCount"}}]}
      -> {"batchItemFailures": [{"itemIdentifier": messageId}]}

The event source mapping must have FunctionResponseTypes=ReportBatchItemFailures (AWS Lambda guide, SQS partial batch
response). Settings are environment variables: `DATA_HIST_LAKE_BUCKET` (the bucket of
tables whose specs name none), `DATA_HIST_TABLES_DIR` (a folder of table specs in the function's package, beside the
shipped ones),
`DATA_HIST_LEDGER_TABLE` (the DynamoDB table of the partition ledger; without it none is kept),
`DATA_HIST_INSPECT` (`full` or `sample`: objects are read for their rows and times once they are registered, as far as
the function's time goes; without it they are not), `DATA_HIST_INSPECT_MAX_BYTES` (of larger ones, by default than 16
MiB, only the beginning is read) and
`DATA_HIST_DEAD_LETTER_QUEUE_URL` (where messages go that cannot be read, with the reason; without it the queue's
redrive policy moves them). This module is a composition root: `handler` makes the clients, once per instance.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol, get_args

from glue.compaction_settling import Settling
from glue.dynamodb_ledger import DynamoDbLedger
from glue.inspection import InspectionMode, InspectionReport, Inspector, RecordedInspection
from glue.queue_batch import BatchOutcome, DeadLetters, QueueMessage, SqsDeadLetters, handle_batch
from glue.table_spec import table_specs_of_environment
from glue.tracker import NoLedger, ObjectLedger, PartitionTracker

_DEFAULT_MAXIMUM_BYTES = 16 * 1024 * 1024
_TIME_LEFT_MILLISECONDS = 10_000
_LOG = logging.getLogger(__name__)


class LambdaContext(Protocol):
    """What Lambda tells beside the event."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until the function is ended."""
        ...


def handler(event: Mapping[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """What Lambda calls."""
    tracker, dead_letters, inspection = _from_environment()
    response = handle_event(event, tracker, dead_letters)
    if inspection is not None and context is not None:
        log_inspection(inspection.run(lambda: context.get_remaining_time_in_millis() > _TIME_LEFT_MILLISECONDS))
    return response


def handle_event(
    event: Mapping[str, Any], tracker: PartitionTracker, dead_letters: DeadLetters | None
) -> dict[str, Any]:
    """Tracks the messages of a Lambda event; the partial batch response."""
    outcome = handle_batch(messages_of(event), tracker, dead_letters)
    log_outcome(outcome)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in outcome.failed]}


def messages_of(event: Mapping[str, Any]) -> list[QueueMessage]:
    """The messages of a Lambda event."""
    return [
        QueueMessage(
            record["messageId"],
            record.get("body") or "",
            int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
        )
        for record in event.get("Records", ())
    ]


def log_outcome(outcome: BatchOutcome) -> None:
    """One line of JSON: the counts, and what an operator has to look at."""
    counts = {name: count for name, count in outcome.report.counts().items() if count}
    line = json.dumps(
        {
            "event": "tracked",
            **counts,
            "foreign_samples": outcome.report.foreign_samples,
            "failed_messages": outcome.failed,
            "dead_lettered": outcome.dead_lettered,
        }
    )
    needs_eyes = outcome.failed or outcome.dead_lettered or outcome.report.foreign_count
    _LOG.log(logging.WARNING if needs_eyes else logging.INFO, "%s", line)


def log_inspection(report: InspectionReport) -> None:
    """One line of JSON: how many objects were read, and what an operator has to look at."""
    counts = {name: count for name, count in report.counts().items() if count}
    if not counts:
        return
    line = json.dumps(
        {
            "event": "inspected",
            **counts,
            "rows": report.row_count,
            "malformed": report.malformed_count,
            "faults": report.faults,
            "failures": report.failed,
        }
    )
    _LOG.log(logging.WARNING if report.faults or report.failed else logging.INFO, "%s", line)


def ledger_of_environment(client: Callable[[str], Any]) -> ObjectLedger:
    """The ledger that DATA_HIST_LEDGER_TABLE names; `client` makes the client of a service."""
    table_name = os.environ.get("DATA_HIST_LEDGER_TABLE")
    if not table_name:
        return NoLedger()
    return DynamoDbLedger(client("dynamodb"), table_name, clock=lambda: datetime.now(UTC))


def inspection_of_environment(client: Callable[[str], Any], ledger: ObjectLedger) -> RecordedInspection | None:
    """The inspection that DATA_HIST_INSPECT asks for; None without it, and without a ledger to record in.

    Raises ValueError for a word that is none.
    """
    mode = os.environ.get("DATA_HIST_INSPECT", "").strip().lower() or "off"
    if mode not in get_args(InspectionMode):
        raise ValueError(f"DATA_HIST_INSPECT={mode!r}: must be one of {', '.join(get_args(InspectionMode))}")
    if mode == "off" or not isinstance(ledger, DynamoDbLedger):
        return None
    maximum_bytes = int(os.environ.get("DATA_HIST_INSPECT_MAX_BYTES") or _DEFAULT_MAXIMUM_BYTES)
    word: InspectionMode = "sample" if mode == "sample" else "full"
    return RecordedInspection(Inspector(client("s3"), ledger, mode=word, maximum_bytes=maximum_bytes))


def settling_of_environment(client: Callable[[str], Any], ledger: ObjectLedger) -> Settling:
    """What settles objects that come for compacted partitions."""
    known = ledger if isinstance(ledger, DynamoDbLedger) else None
    return Settling(client("glue"), client("s3"), known)


@lru_cache(maxsize=1)
def _from_environment() -> tuple[PartitionTracker, DeadLetters | None, RecordedInspection | None]:
    import boto3

    client: Any = boto3.client  # mypy knows the methods of AWS more narrowly than our ports ask for
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
    queue_url = os.environ.get("DATA_HIST_DEAD_LETTER_QUEUE_URL")
    return tracker, SqsDeadLetters(client("sqs"), queue_url) if queue_url else None, inspection
