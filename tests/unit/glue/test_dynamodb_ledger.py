"""What only the ledger in DynamoDB can do wrong: writers beside each other, writers killed between two calls,
throttling, memories that have expired and are still there. Its contract: tests/contract/test_partition_ledgers.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from glue.dynamodb_ledger import DynamoDbLedger
from glue.ledger import LedgerSummary, ObjectRecord, RowFacts
from tests.contract.partition_ledger import NOW, OFFSETS, inspection, partition, record, removal, totals_of
from tests.fakes.dynamodb import READS, WRITES, FaultyDynamoDb, refusal
from tests.fakes.memory_dynamodb import MemoryDynamoDb

Hook = Callable[[int], None]


class Killed(BaseException):
    """The process ends here."""


class HookedClient:
    """Calls `before` and `after` around each call, with its number."""

    def __init__(self, client: Any, before: Hook | None = None, after: Hook | None = None) -> None:
        self._client, self._before, self._after = client, before, after
        self.call_count = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in READS | WRITES:
            return method

        def call(**arguments: Any) -> Any:
            number = self.call_count
            self.call_count += 1
            if self._before is not None:
                self._before(number)
            answer = method(**arguments)
            if self._after is not None:
                self._after(number)
            return answer

        return call


class Cloud:
    """One DynamoDB table; each test has tables of the lake of its own in it."""

    def __init__(self) -> None:
        self.memory = MemoryDynamoDb()
        self.client = FaultyDynamoDb(self.memory)
        self._numbers = itertools.count()
        self.now = NOW

    def new_table(self) -> str:
        return f"events_{next(self._numbers)}"

    def ledger(self, table: str, client: Any = None) -> OneTable:
        ledger = DynamoDbLedger(client or self.client, "ledger", clock=lambda: self.now, sleep=lambda seconds: None)
        return OneTable(ledger, table)


class OneTable:
    """A ledger that calls one table of the lake `events`."""

    def __init__(self, ledger: OneTable, table: str) -> None:
        self._ledger, self._table = ledger, table

    def __getattr__(self, name: str) -> Any:
        return lambda table, *arguments, **named: getattr(self._ledger, name)(self._table, *arguments, **named)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def facts(ledger: OneTable) -> tuple[Any, ...]:
    return (
        list(ledger.known_objects("events")),
        ledger.summary("events"),
        [replace(found, table="events") for found in ledger.partitions("events")],
        ledger.days("events"),
        [replace(series, first_offset=None, last_offset=None) for series in ledger.offset_series("events")],
        ledger.offset_faults("events", limit=100),
    )


def check_totals(ledger: OneTable) -> None:
    objects, summary, partitions, days, series, faults = facts(ledger)
    assert (summary, partitions, days, series, faults) == totals_of(objects)


def story(ledger: OneTable) -> None:
    """Objects come, one goes, one changes, one is read."""
    names = [OFFSETS.format(offset) for offset in (0, 4, 9)]
    ledger.record_objects(
        "events", [record(at, name, sequencer="01") for at, name in zip((0, 1, 700), names, strict=True)]
    )
    ledger.record_objects(
        "events", [record(1, names[0], sequencer="02", row_count=1), record(0, names[0], size_bytes=7, sequencer="02")]
    )
    read = [inspection(0, names[0], size_bytes=7, facts=RowFacts(3)), inspection(1, names[1], facts=RowFacts(6))]
    ledger.record_inspections("events", read)
    ledger.remove_objects("events", [removal(700, names[2], "03"), removal(1, names[0], "03")], now=NOW)


def test_killed_between_any_two_calls_and_done_again_equals_done_once(cloud: Cloud) -> None:
    whole = cloud.ledger(cloud.new_table(), counting := HookedClient(cloud.client))
    story(whole)
    call_count = counting.call_count
    check_totals(whole)
    expected = facts(whole)
    for number in range(call_count):

        def die(at: int, number: int = number) -> None:
            if at == number:
                raise Killed

        table = cloud.new_table()
        with pytest.raises(Killed):
            story(cloud.ledger(table, HookedClient(cloud.client, after=die)))
        story(cloud.ledger(table))
        assert facts(cloud.ledger(table)) == expected, number
    assert not [item for item in stored(cloud) if "is_unsettled" in item]


def stored(cloud: Cloud) -> list[Any]:
    return list(cloud.memory.items.values())


def test_a_writer_that_comes_between_any_two_calls_of_another_disturbs_nothing(cloud: Cloud) -> None:
    """The other one writes to the same partitions, days and batches."""

    def others(ledger: OneTable, round_number: int) -> None:
        # a batch between two others, an object in a partition that the story changes, and one that comes and goes
        more = [record(0, OFFSETS.format(2 + round_number % 2), row_count=2), record(1, f"{round_number}.gz")]
        ledger.record_objects("events", more)
        ledger.remove_objects("events", [removal(1, f"{round_number}.gz")], now=NOW)

    counting = HookedClient(cloud.client)
    story(cloud.ledger(cloud.new_table(), counting))
    for number in range(counting.call_count):
        table = cloud.new_table()
        other = cloud.ledger(table)

        def come_between(at: int, number: int = number, other: OneTable = other) -> None:
            if at == number:
                others(other, number)

        story(ledger := cloud.ledger(table, HookedClient(cloud.client, before=come_between)))
        check_totals(ledger)
        assert ledger.summary("events").object_count == 3  # two of the story's and the batch between


def test_two_who_record_the_same_at_once_record_it_once(cloud: Cloud) -> None:
    table = cloud.new_table()
    other = cloud.ledger(table)
    records = [record(minute, OFFSETS.format(minute), row_count=1) for minute in range(3)]

    def come_between(at: int) -> None:
        if at < 9:
            other.record_objects("events", records)

    ledger = cloud.ledger(table, HookedClient(cloud.client, before=come_between))
    ledger.record_objects("events", records)
    assert ledger.summary("events") == LedgerSummary(3, 3, 30)
    check_totals(ledger)


def test_what_two_wanted_at_once_is_decided_by_the_sequencer(cloud: Cloud) -> None:
    """A removal of an object that nobody knows yet comes between the reading and the writing of its creation."""
    table = cloud.new_table()
    other = cloud.ledger(table)

    def come_between(at: int) -> None:
        if at == 3:  # after partitions and objects were read, and the newest arrival was told
            other.remove_objects("events", [removal(0, sequencer="02")], now=NOW)

    ledger = cloud.ledger(table, HookedClient(cloud.client, before=come_between))
    assert ledger.record_objects("events", [record(0, sequencer="01")]) == 1
    assert ledger.summary("events") == LedgerSummary(0, 0, 0)


def test_a_memory_that_has_expired_and_is_still_there_is_none(cloud: Cloud) -> None:
    ledger = cloud.ledger(cloud.new_table())
    ledger.remove_objects("events", [removal(0, sequencer="02")], now=NOW)
    (kept,) = (item for item in stored(cloud) if "ttl" in item)
    ends_at = NOW + timedelta(days=15)
    assert int(kept["ttl"]["N"]) == int(ends_at.timestamp())
    assert list(ledger.known_objects("events")) == []
    cloud.now = ends_at
    assert ledger.record_objects("events", [record(0, sequencer="01")]) == 0
    assert ledger.summary("events").object_count == 1
    assert not [item for item in stored(cloud) if "ttl" in item]


def test_throttling_and_collisions_are_waited_out(cloud: Cloud) -> None:
    client = FaultyDynamoDb(cloud.client)
    troubles = [
        refusal("ProvisionedThroughputExceededException"),
        refusal("ThrottlingException"),
        refusal("TransactionCanceledException", ["None", "TransactionConflict"]),
        refusal("TransactionCanceledException", ["ThrottlingError", "None"]),
        refusal("InternalServerError"),
        refusal("TransactionInProgressException"),
    ]
    client.refuse = lambda method, arguments: troubles.pop() if troubles and "Transact" in str(arguments) else None
    ledger = cloud.ledger(cloud.new_table(), client)
    ledger.record_objects("events", [record(0), record(3)])
    assert troubles == []
    check_totals(ledger)


def test_trouble_that_lasts_is_raised_and_nothing_is_half_done(cloud: Cloud) -> None:
    client = FaultyDynamoDb(cloud.client)
    client.refuse = lambda method, arguments: refusal("ThrottlingException")
    table = cloud.new_table()
    with pytest.raises(ClientError, match="ThrottlingException"):
        cloud.ledger(table, client).record_objects("events", [record(0)])
    client.refuse = lambda method, arguments: refusal("AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.ledger(table, client).summary("events")
    assert facts(cloud.ledger(table))[1] == LedgerSummary(0, 0, 0)


def test_reads_that_are_answered_in_part_are_asked_for_again(cloud: Cloud) -> None:
    class PartlyAnswering:
        """A client that leaves all keys but one unprocessed, the first few times."""

        def __init__(self, client: Any, times: int) -> None:
            self._client, self.times = client, times

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803  boto3's name
            ((table, wanted),) = RequestItems.items()
            keys = wanted["Keys"]
            kept = keys[:1] if self.times > 0 else keys
            self.times -= 1
            answer = self._client.batch_get_item(RequestItems={table: {**wanted, "Keys": kept}})
            left = {table: {**wanted, "Keys": keys[len(kept) :]}} if len(kept) < len(keys) else {}
            return {**answer, "UnprocessedKeys": left}

    table = cloud.new_table()
    ledger = cloud.ledger(table, client := PartlyAnswering(cloud.client, 3))
    records = [record(0, f"{number}.gz") for number in range(6)]
    for _ in range(2):
        client.times = 3
        ledger.record_objects("events", records)
        assert ledger.summary("events") == LedgerSummary(1, 6, 60)
    client.times = 10_000
    with pytest.raises(ClientError, match="unprocessed"):
        ledger.record_objects("events", [record(0, f"{number}.gz", size_bytes=9) for number in range(30)])


def test_many_objects_go_in_transactions_that_dynamodb_takes(cloud: Cloud) -> None:
    """100 items at most, no item twice; long keys too. The client of these tests refuses anything else."""
    table = cloud.new_table()
    ledger = cloud.ledger(table)
    records = [
        record(minute, f"{'x' * 900}{kafka_partition}/1_{kafka_partition}_{minute:020d}.gz")
        for minute in range(13)
        for kafka_partition in range(9)
    ]
    ledger.record_objects("events", records)
    ledger.record_objects("events", [record(0, f"{number}.gz") for number in range(250)])
    check_totals(ledger)
    assert ledger.summary("events").object_count == 13 * 9 + 250


def test_a_summary_reads_as_much_at_any_number_of_partitions(cloud: Cloud) -> None:
    """Counted in items that the table reads: whole days are one each."""
    table = cloud.new_table()
    ledger = cloud.ledger(table)
    ledger.record_objects(
        "events", [ObjectRecord(partition(30 * number), f"{number}.gz", 1, NOW) for number in range(96)]
    )
    read: list[int] = []

    class Counting(HookedClient):
        def query(self, **arguments: Any) -> Any:
            answer = cloud.client.query(**arguments)
            read.append(answer["Count"])
            return answer

    summary = cloud.ledger(table, Counting(cloud.client)).summary("events")
    assert (summary.partition_count, sum(read)) == (96, 3)
