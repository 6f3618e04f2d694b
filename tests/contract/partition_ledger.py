"""What every partition ledger has to pass; an implementation inherits the class and gives the fixture `ledger`."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from glue.ledger import LedgerSummary, ObjectRecord, ObjectRemoval
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
START = datetime(2026, 11, 21, 23, 58, tzinfo=UTC)


def partition(minute: int) -> PartitionSpec:
    return PartitionSpec.from_datetime(START + timedelta(minutes=minute))


def record(minute: int, name: str = "a", **members: Any) -> ObjectRecord:
    members = {"size_bytes": 10, "arrival": NOW, **members}
    return ObjectRecord(partition(minute), f"{partition(minute)}/{name}", **members)


def removal(minute: int, name: str = "a", sequencer: str | None = None) -> ObjectRemoval:
    return ObjectRemoval(partition(minute), f"{partition(minute)}/{name}", sequencer)


class PartitionLedgerContract:
    """Facts in, totals out; twice equals once; time only moves forward."""

    def facts(self, ledger: Any) -> tuple[Any, ...]:
        return (
            ledger.summary("events"),
            list(ledger.partitions("events")),
            list(ledger.known_objects("events")),
            ledger.days("events"),
        )

    def test_an_empty_ledger_knows_nothing(self, ledger: Any) -> None:
        assert self.facts(ledger) == (LedgerSummary(0, 0, 0, 0), [], [], [])
        assert ledger.neighbour("events", None, newest=True) is None
        assert ledger.neighbour("events", partition(0), newest=False) is None
        assert ledger.newest_partitions("events", limit=10) == []

    def test_recording_twice_equals_once(self, ledger: Any) -> None:
        records = [record(0), record(0, "b", is_late=True), record(3, row_count=7)]
        assert ledger.record_objects("events", records) == 0
        once = self.facts(ledger)
        assert once[0] == LedgerSummary(2, 3, 30, 10)
        assert once[3] == ["2026-11-21", "2026-11-22"]
        ledger.record_objects("events", records)
        assert self.facts(ledger) == once
        assert ledger.summary("metrics") == LedgerSummary(0, 0, 0, 0)

    def test_removing_equals_never_having_been(self, ledger: Any) -> None:
        ledger.record_objects("events", [record(0), record(3, row_count=7)])
        before = self.facts(ledger)
        ledger.record_objects("events", [record(0, "b", is_late=True), record(5)])
        for _ in range(2):
            assert ledger.remove_objects("events", [removal(0, "b"), removal(5), removal(9)], now=NOW) == 0
            assert self.facts(ledger) == before

    def test_a_changed_object_counts_once(self, ledger: Any) -> None:
        ledger.record_objects("events", [record(0, row_count=3)])
        ledger.record_objects("events", [record(0, size_bytes=15)])
        assert ledger.summary("events") == LedgerSummary(1, 1, 15, 0)
        assert ledger.partition("events", partition(0)).row_count is None

    def test_order_is_by_sequencer_whatever_comes_first(self, ledger: Any) -> None:
        story: list[tuple[int | None, str]] = [(10, "0055"), (20, "0055A"), (None, "0056"), (30, "0057")]
        for number, order in enumerate(itertools.permutations(story)):
            for size, sequencer in (*order, *order):
                if size is None:
                    ledger.remove_objects("events", [removal(number, sequencer=sequencer)], now=NOW)
                else:
                    ledger.record_objects("events", [record(number, size_bytes=size, sequencer=sequencer)])
        assert ledger.summary("events") == LedgerSummary(24, 24, 24 * 30, 0)

    def test_a_removed_object_does_not_come_back_until_removals_are_forgotten(self, ledger: Any) -> None:
        ledger.remove_objects("events", [removal(0, sequencer="02")], now=NOW)
        assert ledger.record_objects("events", [record(0, sequencer="01")]) == 1
        assert ledger.forget_removals(now=NOW) == 0
        assert ledger.forget_removals(now=NOW + timedelta(days=16)) == 1
        assert ledger.record_objects("events", [record(0, sequencer="01")]) == 0

    def test_ranges_and_neighbours(self, ledger: Any) -> None:
        minutes = [0, 1, 2, 3, 700, 3000]
        ledger.record_objects("events", [record(minute, is_late=minute == 2) for minute in minutes])
        inside = PartitionRange(partition(1), partition(700))
        assert ledger.summary("events", inside) == LedgerSummary(4, 4, 40, 10)
        assert [known.values for known in ledger.known_objects("events", inside)] == [
            partition(minute).values() for minute in (1, 2, 3, 700)
        ]
        assert ledger.neighbour("events", partition(699), newest=True) == partition(3).values()
        assert ledger.neighbour("events", partition(3), newest=True) == partition(3).values()
        assert ledger.neighbour("events", partition(4), newest=False) == partition(700).values()
        assert ledger.neighbour("events", partition(3001), newest=False) is None
        assert ledger.neighbour("events", None, newest=True) == partition(3000).values()

    def test_pages_of_partitions_together_are_all_newest_first(self, ledger: Any) -> None:
        ledger.record_objects("events", [record(minute) for minute in range(25)])
        found: list[tuple[str, ...]] = []
        before = None
        while page := ledger.newest_partitions("events", limit=7, before=before):
            found += [entry.values for entry in page]
            before = PartitionSpec.from_values(found[-1])
        assert found == [partition(minute).values() for minute in reversed(range(25))]
