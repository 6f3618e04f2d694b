"""The service's own events (requests, the audit trail), in the v0 envelope, written to the lake it serves: servicename
`data-hist`, customer 1 or the one whom an event concerns (service.audit).

    record -> buffer (bounded) -> one object per minute of creation -> partition registered, ledger told

`record` never blocks and never fails a request: when the buffer is full the event is dropped and counted, and the count
itself becomes an event (`events_dropped`) of the next flush. A flush that fails keeps its events for the next one.
"""

from __future__ import annotations

import gzip
import logging
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson

from glue.envelope import OPERATOR_CUSTOMER, record_line
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord, PartitionLedger
from glue.partition_spec import PartitionSpec
from glue.registration import register_partitions
from glue.table_spec import TableSpec

SERVICE_NAME = "data-hist"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceEvent:
    """One event: what happened (`event_type`), when, and its payload (JSON values)."""

    event_type: str
    created_at: datetime
    payload: Mapping[str, Any]
    customer: int = OPERATOR_CUSTOMER
    tags: Mapping[str, str] = field(default_factory=dict)


class EventSink(Protocol):
    """Where batches of events go."""

    def write(self, events: list[ServiceEvent]) -> None:
        """Writes them; may block. Raises whatever makes trying again worthwhile."""
        ...


class LakeEventSink:
    """Writes events as a Secor would: gz objects of the table's layout, one per minute, registered and in the
    ledger.
    """

    def __init__(
        self,
        s3: Any,
        glue: Any,
        ledger: PartitionLedger,
        table: TableSpec,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._s3 = s3
        self._glue = glue
        self._ledger = ledger
        self._table = table
        self._clock = clock
        # each process writes as a Kafka partition of its own: object names never meet
        self._kafka_partition = secrets.randbelow(2**30) + 1000
        self._offset = 0

    def write(self, events: list[ServiceEvent]) -> None:
        now = self._clock()
        by_partition: dict[PartitionSpec, list[ServiceEvent]] = defaultdict(list)
        for event in events:
            milliseconds = _milliseconds(event.created_at)
            spec = PartitionSpec.from_milliseconds(
                milliseconds, self._table.layout.scheme.folders[-1].granularity, self._table.layout.scheme
            )
            by_partition[spec].append(event)
        records = [self._put(partition, batch, now) for partition, batch in by_partition.items()]
        register_partitions(self._glue, self._table, by_partition)
        self._ledger.record_objects(self._table.reference, records)
        # only now: the same events tried again overwrite the objects of the failed write
        self._offset += len(events)

    def _put(self, partition: PartitionSpec, events: list[ServiceEvent], now: datetime) -> ObjectRecord:
        body = gzip.compress(b"".join(_line(event, now) for event in events), compresslevel=6)
        batch = CommitBatch.single(self._kafka_partition, self._offset)
        key = self._table.layout.key(self._table.topic, partition, batch)
        self._s3.put_object(Bucket=self._table.bucket, Key=key, Body=body)
        created = [_milliseconds(event.created_at) for event in events]
        return ObjectRecord(
            partition, key, len(body), now, row_count=len(events),
            minimum_createdtimestamp=min(created), maximum_createdtimestamp=max(created),
        )  # fmt: skip


class RequestEvents:
    """Buffers events and hands them to the sink: at intervals, when many have come, and at the end. See the module."""

    def __init__(
        self,
        sink: EventSink,
        *,
        clock: Callable[[], datetime],
        interval_seconds: float = 60.0,
        flush_count: int = 5_000,
        maximum_buffered: int = 20_000,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._flush_count = flush_count
        self._maximum_buffered = maximum_buffered
        self._changed = threading.Condition()
        self._flushing = threading.Lock()
        self._buffer: list[ServiceEvent] = []
        self._dropped_count = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread that flushes."""
        self._thread = threading.Thread(target=self._run, name="request-events", daemon=True)
        self._thread.start()

    def record(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        customer: int = OPERATOR_CUSTOMER,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Takes an event that happens now. Never blocks on the lake, never raises."""
        event = ServiceEvent(event_type, self._clock(), payload, customer, tags or {})
        with self._changed:
            if len(self._buffer) >= self._maximum_buffered:
                self._dropped_count += 1
                return
            self._buffer.append(event)
            if len(self._buffer) == self._flush_count:
                self._changed.notify()

    def flush(self) -> int:
        """Writes what is buffered; how many events. Events of a failed write stay for the next flush; then raises."""
        with self._flushing:
            with self._changed:
                events, self._buffer = self._buffer, []
                dropped_count, self._dropped_count = self._dropped_count, 0
            if dropped_count:
                events.append(ServiceEvent("events_dropped", self._clock(), {"dropped_count": dropped_count}))
            if not events:
                return 0
            try:
                self._sink.write(events)
            except BaseException:
                with self._changed:
                    room = self._maximum_buffered - len(self._buffer)
                    self._buffer[:0] = events[:room]
                    self._dropped_count += max(0, len(events) - room)
                raise
            return len(events)

    def close(self) -> None:
        """Flushes for the last time and ends the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._flush_or_log()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._is_closed and len(self._buffer) < self._flush_count:
                    self._changed.wait(self._interval_seconds)
                if self._is_closed:
                    return
            if not self._flush_or_log():
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed, timeout=min(self._interval_seconds, 5.0))

    def _flush_or_log(self) -> bool:
        try:
            self.flush()
        except Exception:  # whatever the lake's trouble is: requests must not feel it
            _LOG.exception("request events could not be written; they are kept for the next time")
            return False
        return True


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _line(event: ServiceEvent, now: datetime) -> bytes:
    return record_line(
        created_milliseconds=_milliseconds(event.created_at),
        arrived_milliseconds=_milliseconds(now),
        service_name=SERVICE_NAME,
        customer=event.customer,
        tags=event.tags,
        data_text=orjson.dumps({"event_type": event.event_type, **event.payload}).decode(),
    )
