"""Projection is set and removed in the catalogue (embedded and moto), and what it says is what the engine projects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from embedded.partition_projection import projected_partitions
from embedded.sql.types import VARCHAR
from glue.bootstrap import ensure_catalogue
from glue.layout import AlternativePath
from glue.ledger import LedgerSummary
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionScheme, PartitionSpec
from glue.projection import (
    CannotProject,
    current_problems,
    outside_projection,
    projection_properties,
    projection_report,
    set_projection,
)
from glue.projection_rules import ProjectedTable, partition_count, problems
from glue.table_spec import TableSpec, load_table_specs, writer_layout, writer_names
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client
from tests.unit.embedded.athena_world import LAKE, World, event, zipped

SPECS = load_table_specs()
EVENTS = SPECS["events"]
NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
FIRST = date(2026, 11, 20)
TABLE = {"DatabaseName": EVENTS.database, "TableName": EVENTS.name}


@pytest.fixture(params=IMPLEMENTATIONS)
def glue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with glue_client(request.param, tmp_path, monkeypatch) as client:
        ensure_catalogue(client, SPECS.values())
        yield client


def described(glue: Any) -> dict[str, Any]:
    found: dict[str, Any] = glue.get_table(DatabaseName=EVENTS.database, Name=EVENTS.name)["Table"]
    return found


def test_set_twice_and_removed_twice(glue: Any) -> None:
    before = described(glue)
    versions = len(glue.get_table_versions(**TABLE)["TableVersions"])
    properties = projection_properties(EVENTS, FIRST, NOW)
    assert [set_projection(glue, EVENTS, properties) for _ in range(2)] == [True, False]
    assert described(glue)["Parameters"] == before["Parameters"] | properties
    assert current_problems(glue, EVENTS, NOW) == (True, [])
    assert not ensure_catalogue(glue, SPECS.values()).has_changed
    moved = projection_properties(EVENTS, FIRST - timedelta(days=1), NOW)
    assert set_projection(glue, EVENTS, moved)
    assert [set_projection(glue, EVENTS, {}) for _ in range(2)] == [True, False]
    after = described(glue)
    for member in ("Parameters", "StorageDescriptor", "PartitionKeys", "TableType", "Description"):
        assert after[member] == before[member]
    if hasattr(glue, "partitions"):  # moto makes a version all the same
        assert len(glue.get_table_versions(**TABLE)["TableVersions"]) == versions


def test_a_range_that_is_not_projected_is_a_reason_of_an_empty_answer(glue: Any) -> None:
    def told(start: datetime, end: datetime) -> str:
        return outside_projection(glue, EVENTS, start, end, NOW)

    day = datetime(2026, 11, 20, tzinfo=UTC)
    long_ago = (day - timedelta(days=30), day - timedelta(days=29))
    assert told(*long_ago) == ""  # nothing is projected yet
    set_projection(glue, EVENTS, projection_properties(EVENTS, FIRST, NOW))
    assert "from 2026-11-20 to 2026-11-22, nothing of it" in told(*long_ago)
    assert "nothing of it" in told(NOW + timedelta(days=3), NOW + timedelta(days=4))
    assert "only a part of it" in told(day - timedelta(days=1), day + timedelta(days=1))
    assert told(day, NOW) == ""
    set_projection(glue, EVENTS, projection_properties(EVENTS, FIRST, NOW) | {"projection.dt.range": "yesterday,NOW"})
    assert told(*long_ago) == ""
    set_projection(glue, EVENTS, {})
    assert told(*long_ago) == ""


def projected(
    properties: dict[str, str], spec: TableSpec, now: datetime = NOW, only: PartitionSpec | None = None
) -> dict[tuple[str, ...], str]:
    keys = dict.fromkeys(spec.layout.scheme.keys(), VARCHAR)
    condition = "" if only is None else " AND ".join(f"\"{key}\" = '{value}'" for key, value in only.pairs)
    predicate = sqlglot.parse_one(condition, dialect="trino") if condition else None
    return {p.values: p.location for p in projected_partitions(properties, keys, spec.location, predicate, now)}


@pytest.mark.parametrize("writer", ["secor", *writer_names()])
def test_every_layout_projects_the_folders_it_has(writer: str) -> None:
    spec = EVENTS
    if writer != "secor":
        layout = writer_layout(writer, "lake/here")
        spec = replace(EVENTS, layout=layout, partition_keys=tuple(EVENTS.partition_keys[:1]))
        spec = replace(
            spec,
            partition_keys=tuple(replace(EVENTS.partition_keys[0], name=key) for key in layout.scheme.keys()),  # noqa: SIM118  a scheme is no dict
        )
    properties = projection_properties(spec, FIRST, NOW)
    table = ProjectedTable.from_glue({**spec.table_input(), "Parameters": properties}, NOW)
    assert [problem for problem in problems(table) if problem.severity == "error"] == []
    count = partition_count(table)
    assert count
    if count < 20_000:
        assert len(projected(properties, spec)) == count
    for moment in (NOW, NOW - timedelta(hours=30)):
        partition = PartitionSpec.from_datetime(moment, scheme=spec.layout.scheme)
        assert projected(properties, spec, only=partition) == {partition.values(): spec.partition_location(partition)}


def test_folders_ahead_of_utc_are_projected_before_utc_gets_there() -> None:
    layout = replace(EVENTS.layout, scheme=PartitionScheme.from_secor(zone_name="Asia/Kolkata"))
    spec = replace(EVENTS, layout=layout)
    late_evening = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    properties = projection_properties(spec, FIRST, late_evening)
    partition = PartitionSpec.from_datetime(late_evening, scheme=layout.scheme)
    assert partition.values()[0] == "2026-11-23"
    assert partition.values() in projected(properties, spec, late_evening)
    assert projection_properties(EVENTS, FIRST, NOW)["projection.dt.range"] == "2026-11-20,NOW"


@pytest.mark.parametrize(
    "layout",
    [
        replace(EVENTS.layout, has_md5_prefix=True),
        replace(EVENTS.layout, alternative=AlternativePath("other", date(2026, 1, 1))),
    ],
    ids=["md5", "alternative"],
)
def test_layouts_that_no_template_tells_are_refused(layout: Any) -> None:
    with pytest.raises(CannotProject):
        projection_report(replace(EVENTS, layout=layout), CountedLedger(NOW, 0), NOW)


class CountedLedger:
    """A ledger of so many partitions, one a minute from a first one on, and one of 1970."""

    def __init__(self, first: datetime, count: int) -> None:
        self.first, self.count = PartitionSpec.from_datetime(first), count

    def neighbour(self, _table: str, _partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        assert not newest
        return self.first.values() if self.count else None

    def summary(self, _table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        is_inside = time_range is None or time_range.contains(self.first)
        return LedgerSummary((self.count if is_inside else 0) + (time_range is None), 0, 0)


@pytest.mark.parametrize(
    ("first", "count", "choice", "why"),
    [
        (NOW, 0, "glue", "quickly planned"),
        (NOW - timedelta(minutes=1000), 1000, "glue", "quickly planned"),
        (NOW - timedelta(days=50), 70_000, "glue", "look again at 100,000"),
        (NOW - timedelta(days=100), 140_000, "projection", "140,000 partitions make planning slow"),
        (NOW - timedelta(days=400), 140_000, "glue", "above 50% projection is the slower one"),
    ],
)
def test_advice_follows_number_and_emptiness(first: datetime, count: int, choice: str, why: str) -> None:
    report = projection_report(EVENTS, CountedLedger(first, count), NOW)
    assert (report.advice.choice, report.registered_partitions) == (choice, count)
    assert why in report.advice.reason
    assert any("1970" in warning for warning in report.warnings)


def test_a_projected_table_gives_the_same_rows(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        ensure_catalogue(world.glue, [EVENTS])
        start = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
        for number in range(6):
            partition = PartitionSpec.from_datetime(start + timedelta(minutes=17 * number))
            world.s3.put_object(
                Bucket=LAKE, Key=EVENTS.layout.folder("events", partition) + "1.gz", Body=zipped(event(number))
            )
            world.glue.create_partition(**TABLE, PartitionInput=EVENTS.partition_input(partition))
        sql = "SELECT dt, hr, min, customerid FROM events WHERE dt = '2026-11-22' AND hr >= '10' ORDER BY customerid"
        registered = world.rows(sql)
        assert len(registered) == 6
        set_projection(world.glue, EVENTS, projection_properties(EVENTS, FIRST, NOW))
        for partition_values in ([row[0], row[1], row[2]] for row in registered):
            world.glue.delete_partition(**TABLE, PartitionValues=partition_values)
        assert world.rows(sql) == registered
        outside = projection_properties(EVENTS, date(2026, 11, 23), NOW + timedelta(days=2))
        set_projection(world.glue, EVENTS, outside)
        assert world.rows(sql) == []
    finally:
        world.close()
