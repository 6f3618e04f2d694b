"""What a table spec may say of retention, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from glue.data_retention import Stage, counted_since, is_past_retention, partition_terms, stage
from glue.partition_spec import PartitionSpec
from glue.retention_override import RetentionTerms
from glue.table_spec import InvalidTableSpec, TableSpec, load_table_specs
from tests.unit.glue.retention_lake import DAY, NOW, partition_at, table


def override(**members: Any) -> dict[str, Any]:
    return {"name": "x", "prefix": "dt=1970-01-01/", "retention_days": 30, **members}


def loaded(tmp_path: Path, **members: Any) -> TableSpec:
    """The table of a YAML file, as an operator writes it."""
    shipped = Path(__file__).parents[3] / "glue/tables"
    (tmp_path / "envelope-v0.yaml").write_bytes((shipped / "envelope-v0.yaml").read_bytes())
    document = yaml.safe_load((shipped / "events.yaml").read_text())
    (tmp_path / "events.yaml").write_text(yaml.safe_dump({**document, **members}))
    return load_table_specs(tmp_path)["events"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"retention_days": 0}, "number of days"),
        ({"retention_days": "many"}, "number of days"),
        ({"retention_days": True}, "number of days"),
        ({"archive_days": 365}, "archive_days 365 is not after"),
        ({"retention_overrides": [override(name="Acme Ltd")]}, "a name has"),
        ({"retention_overrides": [override(), override()]}, "same name"),
        ({"retention_overrides": [override(days=3)]}, "unknown days"),
        ({"retention_overrides": ["short"]}, "a mapping"),
        (
            {"retention_overrides": [{"name": "x", "customers": [11007], "retention_days": 9}]},
            "rows of customers share",
        ),
        ({"retention_overrides": [override(tag={"key": "k", "value": "v"})]}, "one of them"),
        ({"retention_overrides": [override(prefix="/dt=1970-01-01/")]}, "no folder below"),
        ({"retention_overrides": [override(prefix="../")]}, "no folder below"),
        ({"retention_overrides": [override(prefix="dt=1970-01-01")]}, "no folder below"),
        ({"retention_overrides": [override(prefix="customer=11007/")]}, "no folder of this layout"),
        ({"retention_overrides": [override(retention_days=400)]}, "can only shorten"),
        ({"retention_overrides": [override(archive_days=3000)]}, "can only shorten"),
        ({"retention_overrides": [override(retention_days=30, archive_days=30)]}, "not after"),
        ({"retention_overrides": [{"name": "x", "prefix": "dt=1970-01-01/"}]}, "retention_days is missing"),
        ({"retention_tag": "customer"}, "a tag is written"),
        ({"retention_tag": {"key": "aws:x", "value": "y"}}, "no tag of an S3 object"),
        (
            {
                "retention_tag": {"key": "class", "value": "default"},
                "retention_overrides": [
                    {"name": "x", "tag": {"key": "class", "value": "default"}, "retention_days": 9}
                ],
            },
            "the table's own",
        ),
        (
            {
                "retention_tag": {"key": "class", "value": "default"},
                "retention_overrides": [
                    {"name": "x", "tag": {"key": "customer", "value": "11007"}, "retention_days": 999}
                ],
            },
            "can only shorten",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, members: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidTableSpec, match=why):
        loaded(tmp_path, **members)


def test_what_can_be_kept(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        retention_tag={"key": "class", "value": "default"},
        retention_overrides=[
            override(name="bad-timestamps"),
            {"name": "hold", "tag": {"key": "class", "value": "hold"}, "retention_days": 3650},
        ],
    )
    assert spec.retention_terms == RetentionTerms(365, 2555)
    assert [o.terms for o in spec.retention_overrides] == [RetentionTerms(30), RetentionTerms(3650)]
    # a partition may hold objects with the tag, and stays with them
    assert partition_terms(spec, PartitionSpec.parse("dt=2026-11-22/hr=10/min=05")) == RetentionTerms(3650)


@pytest.mark.parametrize(
    ("arrived_days_ago", "partition_days_ago", "expected"),
    [
        (9, 9, Stage.ACTIVE),
        (10, 10.1, Stage.ARCHIVED),
        (29, 29.1, Stage.ARCHIVED),
        (30, 30.1, Stage.EXPIRED),
        (1, 400, Stage.ACTIVE),  # a load of old data stays its whole time
        (15, 9, Stage.ACTIVE),  # copied with an old time into a young folder
        (15, -400, Stage.ARCHIVED),  # a time to come: by arrival
        (9, -400, Stage.ACTIVE),
        (None, 11, Stage.ARCHIVED),  # nothing lies there any more
        (None, -400, Stage.ACTIVE),  # nothing is known: it stays
    ],
)
def test_age_counts_from_arrival(arrived_days_ago: float | None, partition_days_ago: float, expected: Stage) -> None:
    partition = partition_at(NOW - partition_days_ago * DAY)
    arrivals = [] if arrived_days_ago is None else [NOW - arrived_days_ago * DAY]
    spec = table(retention_days=10, archive_days=30)
    since = counted_since(partition, arrivals, NOW)
    assert stage(partition_terms(spec, partition), since, NOW) is expected
    assert is_past_retention(spec, partition, arrivals, NOW) is (expected is not Stage.ACTIVE)


def test_the_1970_folder_has_terms_of_its_own_by_arrival() -> None:
    spec = table(retention_days=10, archive_days=30, overrides=[("dt=1970-01-01/", RetentionTerms(2))])
    partition = PartitionSpec.parse("dt=1970-01-01/hr=00/min=00")
    assert not is_past_retention(spec, partition, [NOW - 1 * DAY], NOW)
    assert is_past_retention(spec, partition, [NOW - 2 * DAY], NOW)
    assert partition_terms(spec, partition_at(NOW)) == RetentionTerms(10, 30)
