"""What every partition ledger has to pass; an implementation inherits the class and gives the fixture `ledger`."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from glue.ledger import (
    Inspection,
    KnownObject,
    LedgerSummary,
    LoadSource,
    ObjectRecord,
    ObjectRemoval,
    OffsetFault,
    OffsetSeries,
    PartitionRecord,
    RowFacts,
)
from glue.offset_proof import batch_name
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionScheme, PartitionSpec

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
START = datetime(2026, 11, 21, 23, 58, tzinfo=UTC)
OFFSETS = "1_7_{:020d}.gz"


def partition(minute: int) -> PartitionSpec:
    return PartitionSpec.from_datetime(START + timedelta(minutes=minute))


def record(minute: int, name: str = "a", **members: Any) -> ObjectRecord:
    members = {"size_bytes": 10, "arrival": NOW, **members}
    return ObjectRecord(partition(minute), f"{partition(minute)}/{name}", **members)


def removal(minute: int, name: str = "a", sequencer: str | None = None) -> ObjectRemoval:
    return ObjectRemoval(partition(minute), f"{partition(minute)}/{name}", sequencer)


class PartitionLedgerContract:
    """Facts in, totals out; twice equals once; time only moves forward."""

    def test_the_data_version_changes_with_objects_and_never_comes_back(self, ledger: Any) -> None:
        day = PartitionRange(PartitionSpec(partition(2).pairs[:1]), PartitionSpec(partition(2).pairs[:1]))
        other_day = PartitionRange(last=partition(0))
        minute = PartitionRange(partition(3), partition(3))
        seen = [ledger.data_version("events", day)]
        elsewhere = ledger.data_version("events", other_day)
        same_size = {"content_tag": "etag:2", "sequencer": "02"}
        steps: tuple[Any, ...] = (
            lambda: ledger.record_objects("events", [record(2, sequencer="01")]),
            lambda: ledger.record_objects("events", [record(2, **same_size)]),
            lambda: ledger.record_objects("events", [record(3, "b", size_bytes=20)]),
            lambda: ledger.record_objects("events", [record(2, **{**same_size, "sequencer": "03", "size_bytes": 11})]),
            lambda: ledger.remove_objects("events", [removal(2), removal(3, "b")], now=NOW),
            lambda: ledger.record_objects("events", [record(2, sequencer="04")]),
            lambda: ledger.remove_objects("events", [removal(2)], now=NOW),
        )
        for step in steps:
            for number in range(2):  # twice equals once
                step()
                seen.append(ledger.data_version("events", day))
                assert (seen[-1] == seen[-2]) is (number == 1)
                assert ledger.data_version("events", minute) == seen[-1]  # of a day, not of a minute
        assert len(set(seen)) == 1 + len(steps)
        assert ledger.data_version("events", other_day) == elsewhere
        whole = ledger.data_version("events")
        ledger.record_objects("events", [record(0)])
        assert ledger.data_version("events", other_day) != elsewhere
        assert ledger.data_version("events") != whole
        assert ledger.data_version("events", day) == seen[-1]
        assert ledger.data_version("metrics") == ledger.data_version("logs")

    def test_what_is_read_of_an_object_is_no_new_data(self, ledger: Any) -> None:
        ledger.record_objects("events", [record(2, content_tag="etag:1")])
        version = ledger.data_version("events")
        inspection = Inspection(partition(2), f"{partition(2)}/a", 10, "etag:1", RowFacts(5))
        assert ledger.record_inspections("events", [inspection]) == 0
        assert ledger.data_version("events") == version

    def facts(self, ledger: Any) -> tuple[Any, ...]:
        return (
            ledger.summary("events"),
            list(ledger.partitions("events")),
            list(ledger.known_objects("events")),
            ledger.days("events"),
            ledger.offset_series("events"),
            ledger.offset_faults("events", limit=1000),
        )

    def later(self, ledger: Any, duration: timedelta) -> None:
        """So much time passes, and what a ledger forgets by then is forgotten."""
        ledger.forget_removals(now=NOW + duration)

    def test_an_empty_ledger_knows_nothing(self, ledger: Any) -> None:
        assert self.facts(ledger) == (LedgerSummary(0, 0, 0, 0), [], [], [], [], [])
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
        self.later(ledger, timedelta(days=14))
        assert ledger.record_objects("events", [record(0, sequencer="01")]) == 1
        self.later(ledger, timedelta(days=16))
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

    def test_facts_of_rows_are_recorded_survive_and_go_with_the_bytes(self, ledger: Any) -> None:
        facts = RowFacts(5, 1, 1, 2, 1000, 2000, 1500, 2500, {"in_time": 3, "1_hour": 2}, (1, 11000))
        ledger.record_objects("events", [record(0, sequencer="01"), record(0, "b", row_count=4)])
        before = self.facts(ledger)
        for _ in range(2):
            assert ledger.record_inspections("events", [inspection(0, facts=facts)]) == 0
            known = ledger.partition("events", partition(0))
            assert (known.row_count, known.malformed_count, known.unread_object_count) == (9, 1, 0)
            assert (known.minimum_createdtimestamp, known.maximum_createdtimestamp) == (1000, 2000)
            assert (known.lateness, known.has_known_times) == ({"in_time": 3, "1_hour": 2}, False)
        assert [known.facts for known in ledger.known_objects("events")] == [facts, RowFacts(4)]
        ledger.record_objects("events", [record(0), record(0, sequencer="01")])
        assert ledger.partition("events", partition(0)).row_count == 9
        ledger.record_objects("events", [record(0, sequencer="02")])
        assert ledger.partition("events", partition(0)).row_count is None
        assert self.facts(ledger)[1] == before[1]

    def test_a_tag_tells_whether_the_bytes_are_the_same(self, ledger: Any) -> None:
        def rows() -> int | None:
            count: int | None = ledger.partition("events", partition(0)).row_count
            return count

        def read() -> None:
            (known,) = ledger.known_objects("events")
            assert ledger.record_inspections("events", [inspection(0, content_tag=known.content_tag)]) == 0

        ledger.record_objects("events", [record(0, content_tag="etag:1", sequencer="01")])
        read()
        for unchanged in (
            record(0, content_tag="etag:1", sequencer="02"),
            record(0, content_tag="modified:7"),
            record(0),
        ):
            ledger.record_objects("events", [unchanged])
            assert rows() == 5
        ledger.record_objects("events", [record(0, content_tag="etag:2", sequencer="03")])
        assert rows() is None
        assert ledger.record_inspections("events", [inspection(0, content_tag="etag:1")]) == 1
        assert rows() is None
        read()
        assert rows() == 5

    def test_an_inspection_that_comes_too_late_changes_nothing(self, ledger: Any) -> None:
        ledger.record_objects("events", [record(0)])
        before = self.facts(ledger)
        late = [inspection(0, size_bytes=9), inspection(0, "b"), inspection(7)]
        assert ledger.record_inspections("events", late) == 3
        assert self.facts(ledger) == before

    def test_samples_and_faults_are_no_totals(self, ledger: Any) -> None:
        for facts in (RowFacts(5, is_sample=True), RowFacts(5, fault="the gzip stream is cut off")):
            ledger.record_objects("events", [record(0, OFFSETS.format(0)), record(0, OFFSETS.format(5))])
            ledger.record_inspections("events", [inspection(0, OFFSETS.format(0), facts=facts)])
            known = ledger.partition("events", partition(0))
            assert (known.row_count, known.unread_object_count, known.has_known_times) == (None, 2, False)
            (series,) = ledger.offset_series("events")
            assert (series.unread_object_count, series.fault_count) == (2, 0)

    def test_offsets_are_proven_as_objects_come_and_are_read(self, ledger: Any) -> None:
        names = [OFFSETS.format(offset) for offset in (100, 160, 200)]
        ledger.record_objects(
            "events", [record(0, names[0]), record(1, names[0]), record(1, names[1]), record(2, names[2])]
        )
        (series,) = ledger.offset_series("events")
        assert (series.batch_count, series.object_count, series.unread_object_count) == (3, 4, 4)
        assert (series.first_offset, series.last_offset, series.fault_count) == (100, 200, 0)
        read = [(0, names[0], 25), (1, names[0], 35), (1, names[1], 38), (2, names[2], 7)]
        ledger.record_inspections("events", [inspection(at, name, facts=RowFacts(rows)) for at, name, rows in read])
        (series,) = ledger.offset_series("events")
        assert (series.unread_object_count, series.missing_count, series.surplus_count) == (0, 2, 0)
        assert ledger.offset_faults("events", limit=9) == [OffsetFault(1, 7, 160, 200, 38)]
        # the same name in a third folder: a crash left it there, or somebody copied it (secor issue 600)
        ledger.record_objects("events", [record(5, names[0], row_count=11)])
        assert ledger.offset_faults("events", limit=9) == [
            OffsetFault(1, 7, 100, 160, 71),
            OffsetFault(1, 7, 160, 200, 38),
        ]
        assert ledger.offset_faults("events", limit=1) == [OffsetFault(1, 7, 100, 160, 71)]
        ledger.remove_objects("events", [removal(5, names[0])], now=NOW)
        # a batch that comes late ends the one before it earlier
        ledger.record_objects("events", [record(9, OFFSETS.format(198), row_count=2)])
        (series,) = ledger.offset_series("events")
        assert (series.batch_count, series.missing_count, series.surplus_count, series.fault_count) == (4, 0, 0, 0)

    def test_what_was_lost_is_missing_and_what_was_taken_is_not(self, ledger: Any) -> None:
        records = [record(n, OFFSETS.format(10 * n), row_count=10) for n in range(6)]
        ledger.record_objects("events", records)
        ledger.remove_objects("events", [removal(2, OFFSETS.format(20))], now=NOW)
        assert ledger.offset_faults("events", limit=9) == [OffsetFault(1, 7, 10, 30, 10)]
        ledger.record_objects("events", records)
        assert ledger.offset_faults("events", limit=9) == []
        for at in (2, 0, 1):
            for _ in range(2):
                taken = ObjectRemoval(partition(at), f"{partition(at)}/{OFFSETS.format(10 * at)}", was_meant=True)
                ledger.remove_objects("events", [taken], now=NOW)
            assert ledger.offset_faults("events", limit=9) == []
        (series,) = ledger.offset_series("events")
        # of what lay at the beginning nothing is remembered
        assert (series.batch_count, series.object_count, series.first_offset) == (3, 3, 30)

    def test_offsets_of_tables_generations_and_kafka_partitions_stay_apart(self, ledger: Any) -> None:
        names = ["1_7_00000000000000000000.gz", "2_7_00000000000000000003.gz", "1_8_00000000000000000005.gz",
                 "events+7+0000000009.json.gz", "1_99999999999_00000000000000000005.gz",
                 "1_7_99999999999999999999.gz", "1_0-3_1B2M2Y8AsgTpgAmY7PhCfg.gz"]  # fmt: skip
        ledger.record_objects("events", [record(0, name, row_count=1) for name in names])
        ledger.record_objects("metrics", [record(0, names[0], row_count=1)])
        found = [(s.generation, s.kafka_partition, s.first_offset) for s in ledger.offset_series("events")]
        assert found == [(0, 7, 9), (1, 7, 0), (1, 8, 5), (2, 7, 3)]
        assert ledger.offset_faults("events", limit=9) == []
        assert len(ledger.offset_series("metrics")) == 1
        ledger.remove_objects("metrics", [removal(0, names[0])], now=NOW)
        assert ledger.offset_series("metrics") == []

    def test_a_load_is_finished_with_its_objects_or_not_at_all(self, ledger: Any) -> None:
        assert ledger.begin_load("one", "events", {"end": 1}) == {"end": 1}
        assert ledger.begin_load("one", "events", {"end": 2}) == {"end": 1}
        assert (ledger.begun_load("one"), ledger.finished_load("one")) == ({"end": 1}, None)
        assert ledger.begun_load("two") is None

        def failing() -> Iterator[ObjectRecord]:
            yield record(0)
            raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            ledger.finish_load("one", "events", failing(), {}, now=NOW)
        assert ledger.finished_load("one") is None
        for _ in range(2):
            ledger.finish_load("one", "events", [record(0)], {"rows": 3}, now=NOW, source=LoadSource("family", 70))
            assert ledger.finished_load("one") == {"rows": 3}
            assert ledger.summary("events") == LedgerSummary(1, 1, 10)
        ledger.finish_load("two", "events", [], {}, now=NOW, source=LoadSource("family", 700))
        ledger.finish_load("three", "events", [], {}, now=NOW, source=LoadSource("family", 70))
        assert ledger.load_sources("family", 70) == {}
        assert ledger.load_sources("family", 701) == {70: {"one", "three"}, 700: {"two"}}
        assert ledger.load_sources("others", 701) == {}

    def test_freshness_follows(self, ledger: Any) -> None:
        assert ledger.freshness("events").newest_partition is None
        for minute in (0, 1, 2, 5, 9):
            ledger.record_objects("events", [record(minute, arrival=NOW + timedelta(minutes=minute))])
        freshness = ledger.freshness("events")
        assert freshness.newest_partition == "dt=2026-11-22/hr=00/min=07"
        assert freshness.last_arrival == NOW + timedelta(minutes=9)
        assert (freshness.partition_count, freshness.missing_partition_count) == (5, 5)

    def test_days_may_have_three_folders(self, ledger: Any) -> None:
        scheme = PartitionScheme.from_secor(date=("", "yyyy/MM/dd"), granularity="hour", hour=("", "HH"))
        for path in ("2026/11/21/23", "2026/11/22/00", "2026/11/22/05", "2026/12/01/00"):
            ledger.record_objects("events", [ObjectRecord(PartitionSpec.parse(path, scheme), path + "/a", 10, NOW)])
        assert ledger.days("events") == ["2026/11/21", "2026/11/22", "2026/12/01"]
        ranges = [("2026/11/22", "2026/11/22", 2), ("2026/11", "2026/11", 3), ("2026", "2026", 4)]
        ranges += [("2026/11/22/01", "2026/12/01/00", 2), ("2026/11/21/23", "2026/11/22/00", 2)]
        for first, last, count in ranges:
            inside = PartitionRange(PartitionSpec.parse(first, scheme), PartitionSpec.parse(last, scheme))
            assert ledger.summary("events", inside).partition_count == count, (first, last)
            assert len(list(ledger.partitions("events", inside))) == count
            assert len(list(ledger.known_objects("events", inside))) == count
        assert ledger.neighbour("events", PartitionSpec.parse("2026/11/30", scheme), newest=True) == (
            "2026", "11", "22", "05",
        )  # fmt: skip
        assert ledger.neighbour("events", PartitionSpec.parse("2026/11/23", scheme), newest=False) == (
            "2026", "12", "01", "00",
        )  # fmt: skip

    def test_a_compacted_partition_counts_the_bytes_that_are_read_and_the_rows_once(self, ledger: Any) -> None:
        raw = [record(0, "a", row_count=3, is_late=True), record(0, "b", row_count=4)]
        ledger.record_objects("events", [*raw, record(5)])
        before = self.facts(ledger)
        compacted = record(0, "part.parquet", size_bytes=7, row_count=7, arrival=NOW + timedelta(days=9), share="bytes")
        for _ in range(2):
            ledger.record_objects("events", [*(replace(each, share="rows") for each in raw), compacted])
            assert ledger.summary("events") == LedgerSummary(2, 2, 17, 10)
            found = ledger.partition("events", partition(0))
            assert (found.object_count, found.size_bytes, found.row_count, found.late_bytes) == (1, 7, 7, 10)
            assert found.last_arrival == NOW
            ledger.record_objects("events", raw)  # the same again, from whoever does not know
        for _ in range(2):
            ledger.record_objects("events", [replace(each, share="whole") for each in raw])
            ledger.remove_objects("events", [removal(0, "part.parquet")], now=NOW)
            assert self.facts(ledger) == before

    def test_a_raw_object_that_changes_counts_as_a_whole_again(self, ledger: Any) -> None:
        compacted = record(0, "part.parquet", size_bytes=7, row_count=3, share="bytes")
        ledger.record_objects("events", [record(0, row_count=3, share="rows"), compacted])
        ledger.record_objects("events", [record(0, size_bytes=12)])
        assert ledger.summary("events") == LedgerSummary(1, 2, 19, 0)
        shares = {known.key.rpartition("/")[2]: known.share for known in ledger.known_objects("events")}
        assert shares == {"a": "whole", "part.parquet": "bytes"}

    def test_compacted_objects_stay_when_the_raw_ones_go(self, ledger: Any) -> None:
        compacted = record(0, "part.parquet", size_bytes=7, row_count=3, share="bytes")
        ledger.record_objects("events", [record(0, row_count=3, share="rows"), compacted])
        for _ in range(2):
            ledger.record_objects("events", [replace(compacted, share="whole")])
            ledger.remove_objects("events", [replace(removal(0), was_meant=True)], now=NOW)
            found = ledger.partition("events", partition(0))
            assert (found.object_count, found.size_bytes, found.row_count, found.last_arrival) == (1, 7, 3, NOW)

    def test_a_writer_may_know_all_of_the_rows(self, ledger: Any) -> None:
        facts = RowFacts(3, malformed_count=2, minimum_createdtimestamp=5, maximum_createdtimestamp=9)
        ledger.record_objects("events", [record(0, row_facts=facts)])
        found = ledger.partition("events", partition(0))
        assert (found.row_count, found.malformed_count, found.minimum_createdtimestamp) == (3, 2, 5)

    def test_whatever_happens_totals_are_those_of_the_objects(self, ledger: Any) -> None:
        """Some hundred steps of everything at once, by a generator that always does the same."""
        choose = random.Random(7)
        for _ in range(self.steps):
            self._step(ledger, choose)
            expected = totals_of(list(ledger.known_objects("events")))
            assert (ledger.summary("events"), list(ledger.partitions("events")), ledger.days("events")) == expected[:3]
            series = [replace(found, first_offset=None, last_offset=None) for found in ledger.offset_series("events")]
            assert (series, ledger.offset_faults("events", limit=1000)) == expected[3:]

    steps = 150

    def _step(self, ledger: Any, choose: random.Random) -> None:
        places = [(choose.choice((0, 1, 2, 700)), OFFSETS.format(choose.choice((0, 5, 9, 40)))) for _ in range(3)]
        match choose.randrange(4):
            case 0:
                ledger.record_objects("events", [
                    record(at, name, size_bytes=choose.choice((10, 20)), is_late=choose.random() < 0.3,
                           arrival=NOW + timedelta(minutes=choose.randrange(9)))
                    for at, name in places
                ])  # fmt: skip
            case 1:
                ledger.record_objects("events", [
                    record(at, name, row_count=choose.randrange(9), minimum_createdtimestamp=choose.randrange(50),
                           maximum_createdtimestamp=choose.randrange(50, 99))
                    for at, name in places
                ])  # fmt: skip
            case 2:
                ledger.record_inspections("events", [
                    inspection(at, name, facts=RowFacts(
                        choose.randrange(9), choose.randrange(2), 0, choose.randrange(2), choose.randrange(50),
                        choose.randrange(50, 99), lateness={choose.choice("ab"): 2}, is_sample=choose.random() < 0.2))
                    for at, name in places
                ])  # fmt: skip
            case _:
                ledger.remove_objects("events", [removal(at, name) for at, name in places[:2]], now=NOW)


def inspection(minute: int, name: str = "a", **members: Any) -> Inspection:
    members = {"size_bytes": 10, "content_tag": None, "facts": RowFacts(5), **members}
    return Inspection(partition(minute), f"{partition(minute)}/{name}", **members)


def totals_of(objects: list[KnownObject]) -> tuple[Any, ...]:
    """Summary, partitions, days, offset series and faults of these objects, counted anew in the simplest way."""
    by_values: dict[tuple[str, ...], list[KnownObject]] = {}
    for known in objects:
        by_values.setdefault(known.values, []).append(known)
    partitions = []
    for values, inside in sorted(by_values.items()):
        facts = [known.facts for known in inside if known.facts is not None]
        created = [(f.minimum_createdtimestamp, f.maximum_createdtimestamp) for f in facts]
        lateness: Counter[str] = Counter()
        for each in facts:
            lateness.update(each.lateness)
        partitions.append(
            PartitionRecord(
                "events",
                values,
                len(inside),
                sum(known.size_bytes for known in inside),
                sum(known.size_bytes for known in inside if known.is_late),
                sum(known.row_count or 0 for known in inside),
                sum(known.row_count is None for known in inside),
                sum(each.malformed_count for each in facts),
                sum(not known.has_known_times for known in inside),
                min((least for least, _ in created if least is not None), default=None),
                max((most for _, most in created if most is not None), default=None),
                min(known.arrival for known in inside),
                max(known.last_arrival for known in inside),
                dict(lateness),
            )
        )
    batches: dict[tuple[int, int], dict[int, list[KnownObject]]] = {}
    for known in objects:
        name = batch_name(known.key)
        if name is not None:
            batches.setdefault(name[:2], {}).setdefault(name.offset, []).append(known)
    series, faults = [], []
    for (generation, kafka_partition), by_offset in sorted(batches.items()):
        own = []
        for offset, following in itertools.pairwise(sorted(by_offset)):
            counts = [known.message_count for known in by_offset[offset]]
            if None not in counts and sum(map(int, counts)) != following - offset:  # type: ignore[arg-type]  # none is None
                own.append(OffsetFault(generation, kafka_partition, offset, following, sum(map(int, counts))))  # type: ignore[arg-type]
        members = [known for inside in by_offset.values() for known in inside]
        unread = sum(known.message_count is None for known in members)
        differences = sum(f.missing_count for f in own), sum(f.surplus_count for f in own)
        series.append(
            OffsetSeries(generation, kafka_partition, len(by_offset), len(members), unread, *differences, len(own))
        )
        faults += own
    summary = LedgerSummary(
        len(partitions),
        len(objects),
        sum(known.size_bytes for known in objects),
        sum(known.size_bytes for known in objects if known.is_late),
    )
    return summary, partitions, sorted({values[0] for values in by_values}), series, faults
