from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from service.events import LakeEventSink, RequestEvents, ServiceEvent
from tests.fakes.aws import FakeS3
from tests.fakes.world import FakeClock


class FakeGlue:
    def __init__(self) -> None:
        self.partitions: set[tuple[str, ...]] = set()
        self.is_failing = False

    def batch_create_partition(self, **arguments: Any) -> dict[str, Any]:
        if self.is_failing:
            raise RuntimeError("no catalogue today")
        self.partitions.update(tuple(entry["Values"]) for entry in arguments["PartitionInputList"])
        return {"Errors": []}


class Lake:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.s3 = FakeS3()
        self.glue = FakeGlue()
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.table = load_table_specs()["events"]
        self.sink = LakeEventSink(self.s3, self.glue, self.ledger, self.table, clock=self.clock)

    def records(self) -> list[dict[str, Any]]:
        lines = b"".join(gzip.decompress(body) for body in self.s3.objects.values()).splitlines()
        return [orjson.loads(line) for line in lines]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path)
    yield made
    made.ledger.close()


def test_events_land_as_a_secor_would_write_them(lake: Lake) -> None:
    events = RequestEvents(lake.sink, clock=lake.clock)
    events.record("request", {"status": 200, "path": "/v0/data_hist/query"}, tags={"method": "POST"})
    lake.clock.advance(minutes=1)
    events.record("request", {"status": 404})
    assert events.flush() == 2
    assert events.flush() == 0
    assert lake.glue.partitions == {("2026-11-22", "10", "00"), ("2026-11-22", "10", "01")}
    keys = [key for _, key in lake.s3.objects]
    assert all(lake.table.layout.parse(key).topic == "events" for key in keys)  # type: ignore[union-attr]  # parsed
    first = lake.records()[0]
    assert (first["servicename"], first["service"], first["customerid"]) == ("data-hist", "data-hist", 1)
    assert first["datatags"] == {"method": "POST"}
    assert orjson.loads(first["data"]) == {"event_type": "request", "status": 200, "path": "/v0/data_hist/query"}
    partition = PartitionSpec.from_milliseconds(first["createdtimestamp"])
    assert lake.ledger.partition("events", partition).row_count == 1  # type: ignore[union-attr]  # recorded


def test_a_failed_write_is_tried_again_without_doubling(lake: Lake) -> None:
    events = RequestEvents(lake.sink, clock=lake.clock)
    events.record("request", {"n": 1})
    lake.glue.is_failing = True
    with pytest.raises(RuntimeError):
        events.flush()
    lake.glue.is_failing = False
    events.record("request", {"n": 2})
    assert events.flush() == 2
    assert [orjson.loads(record["data"])["n"] for record in lake.records()] == [1, 2]


def test_a_full_buffer_drops_and_tells_how_many() -> None:
    written: list[ServiceEvent] = []

    class Sink:
        def write(self, events: list[ServiceEvent]) -> None:
            written.extend(events)

    events = RequestEvents(Sink(), clock=FakeClock(), maximum_buffered=2)
    for number in range(5):
        events.record("request", {"n": number})
    events.flush()
    assert [event.event_type for event in written] == ["request", "request", "events_dropped"]
    assert written[-1].payload == {"dropped_count": 3}


def test_closing_flushes(lake: Lake) -> None:
    events = RequestEvents(lake.sink, clock=lake.clock)
    events.start()
    events.record("request", {"n": 1})
    events.close()
    assert len(lake.records()) == 1


def test_many_events_are_written_before_the_interval_is_over() -> None:
    import threading

    is_written = threading.Event()

    class Sink:
        def write(self, events: list[ServiceEvent]) -> None:
            is_written.set()

    events = RequestEvents(Sink(), clock=FakeClock(), interval_seconds=3600, flush_count=3)
    events.start()
    for number in range(3):
        events.record("request", {"n": number})
    assert is_written.wait(30)
    events.close()
