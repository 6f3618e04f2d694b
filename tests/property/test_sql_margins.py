"""Leaving out partitions by what is known of them is sound: whatever was read of a lake and whatever was not, the rows
that a predicate selects are the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from glue.ledger import PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from service.sql.plan import Planner
from tests.property.test_sql_pruning import (
    CENTRE,
    LATE_MS,
    SHAPES,
    SKEW_MS,
    Row,
    Term,
    holds,
    ms,
    placed,
    predicates,
    scan_conditions,
)
from tests.unit.service.sql.planning import NOW, TABLES, caller


class KnownPartitions:
    """Some partitions of a lake with these rows, and what their rows' times are."""

    def __init__(self, rows: Sequence[Row], chance: random.Random) -> None:
        self.times: dict[tuple[str, ...], list[int]] = {}
        for row in rows:
            self.times.setdefault((row["dt"], row["hr"], row["min"]), []).append(row["createdtimestamp"])
        self.read = {values for values in self.times if chance.random() < 0.8}
        self.elsewhere = {values for values in self.times if chance.random() < 0.1}

    def closed(self, spec: TableSpec, time_range: PartitionRange, now: datetime) -> list[PartitionRecord]:
        return [
            PartitionRecord(
                spec.reference,
                values,
                1,
                10,
                minimum_createdtimestamp=min(self.times[values]),
                maximum_createdtimestamp=max(self.times[values]),
            )
            for values in sorted(self.read)
            if time_range.contains(PartitionSpec.from_values(values))
        ]

    def in_place(self, spec: TableSpec, partitions: Sequence[PartitionSpec]) -> list[PartitionSpec]:
        return [partition for partition in partitions if partition.values() not in self.elsewhere]


@settings(max_examples=200, deadline=None)
@given(
    predicate=predicates(),
    shape=st.sampled_from(SHAPES),
    times=st.lists(st.integers(ms(CENTRE) - 5 * 86_400_000, ms(CENTRE) + 5 * 86_400_000), min_size=20, max_size=40),
    seed=st.integers(0, 2**32),
)
def test_what_is_known_never_costs_a_row(predicate: Term, shape: tuple[str, int], times: list[int], seed: int) -> None:
    chance = random.Random(seed)
    near = [t for t in predicate.near if abs(t - ms(CENTRE)) < 20 * 86_400_000]
    rows = [placed(t, chance.randint(-SKEW_MS, LATE_MS)) for t in [*times, *near]]
    known = KnownPartitions(rows, chance)
    planner = Planner(TABLES, database="data_hist", clock=lambda: NOW, partition_times=known)
    planned = planner.plan(shape[0].format(predicate.sql), caller(None))
    conditions = scan_conditions(planned.sql)
    assert len(conditions) == shape[1]
    for row in rows:
        if predicate.of(row["createdtimestamp"]):
            for condition in conditions:
                assert holds(condition, row), (predicate.sql, row, condition.sql())


@settings(max_examples=50, deadline=None)
@given(start=st.integers(-4 * 86_400_000, 4 * 86_400_000), minutes=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_of_a_plain_range_the_margins_are_left_out_where_they_hold_nothing(start: int, minutes: int, seed: int) -> None:
    first = ms(CENTRE) + start
    last = first + minutes * 60_000
    # a row in each minute around it, in the partition of its own time: none is late
    rows = [placed(t, 0) for t in range(first - 10 * 60_000, last + LATE_MS + 60_000, 60_000)]
    known = KnownPartitions(rows, random.Random(seed))
    planner = Planner(TABLES, database="data_hist", clock=lambda: NOW, partition_times=known)
    planned = planner.plan(f"SELECT 1 FROM events WHERE createdtimestamp BETWEEN {first} AND {last}", caller(None))
    (condition,) = scan_conditions(planned.sql)
    inside = (PartitionSpec.from_milliseconds(first).values(), PartitionSpec.from_milliseconds(last).values())
    read = [row for row in rows if holds(condition, row)]
    for row in read:
        values = (row["dt"], row["hr"], row["min"])
        is_sure = values in known.read and values not in known.elsewhere
        assert not is_sure or inside[0] <= values <= inside[1]
    left_out = planned.tables[0].left_out
    assert left_out.partition_count == left_out.object_count == left_out.size_bytes // 10
    assert left_out.partition_count > 0
