from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.envelope import check_record
from glue.layout import LakeKey
from glue.sample_lake import SampleLake, SampleReport
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import InMemoryGlue, InMemoryS3

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
SPECS = load_table_specs()


class Lake:
    def __init__(self) -> None:
        self.glue, self.s3, self.ledger = InMemoryGlue(), InMemoryS3(), SqliteLedger(":memory:")

    def create(self, now: datetime = NOW, *, seed: int = 1) -> SampleReport:
        return SampleLake(self.glue, self.s3, self.ledger, SPECS, lambda: now, seed=seed, days=1).create()


@pytest.fixture(scope="module")
def lake() -> Lake:
    lake = Lake()
    lake.create()
    return lake


def test_every_record_is_proper_and_lies_where_its_time_or_its_arrival_says(lake: Lake) -> None:
    late, errors, customers = 0, 0, set()
    for _, key in list(lake.s3.objects):
        parsed = SPECS["events"].layout.parse(key)
        assert isinstance(parsed, LakeKey)
        for line in gzip.decompress(lake.s3.objects["data-hist-lake", key]).splitlines():
            record: dict[str, Any] = json.loads(line)
            fields = next(spec.record for spec in SPECS.values() if spec.topic == parsed.topic)
            assert fields is not None
            assert check_record(record, fields) == []
            created = datetime.fromtimestamp(record[fields.created] / 1000, UTC)
            assert parsed.partition.start() - timedelta(minutes=30) <= created < parsed.partition.end()
            assert 0 < record[fields.arrived] - record[fields.created] <= 31 * 60_000
            assert created < NOW
            late += created < parsed.partition.start()
            errors += '"ERROR"' in record["data"]
            customers.add(record[fields.customer])
    assert late > 50
    assert errors > 50
    assert customers == {1, 11000, 11001, 11002, 11003, 11004, 11005}


def test_the_ledger_and_the_catalogue_know_all_of_it(lake: Lake) -> None:
    for name in ("events", "metrics", "logs", "data_hist_v1.events"):
        freshness = lake.ledger.freshness(name)
        assert freshness.newest_data_until == NOW.replace(second=0)
        assert (freshness.partition_count, freshness.missing_partition_count) == (1440, 0)
    assert len(lake.glue.partitions) == 4 * 1440 == len(lake.s3.objects)


def test_offsets_follow_each_other_in_each_kafka_partition(lake: Lake) -> None:
    following = {0: 0, 1: 0, 2: 0, 3: 0}
    for _, key in sorted(key for key in lake.s3.objects if "/events/" in key[1]):
        parsed = SPECS["events"].layout.parse(key)
        assert isinstance(parsed, LakeKey)
        assert parsed.batch is not None
        rows = len(gzip.decompress(lake.s3.objects["data-hist-lake", key]).splitlines())
        assert parsed.batch.offset == following[parsed.batch.first_kafka_partition]
        following[parsed.batch.first_kafka_partition] += rows


def test_once_more_adds_nothing_not_even_later(lake: Lake) -> None:
    before = dict(lake.s3.objects)
    report = lake.create(NOW + timedelta(days=2), seed=9)
    assert report.was_there
    assert lake.s3.objects == before
    assert report.objects == len(before)


def test_killed_on_the_way_and_made_again_later_it_is_the_same(lake: Lake, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    other = Lake()
    put = other.s3.put_object

    def put_until_killed(**arguments: Any) -> Any:
        if len(other.s3.objects) == 2000:
            raise Killed
        return put(**arguments)

    other.s3.put_object = put_until_killed  # type: ignore[method-assign]  # the fault of this test
    with pytest.raises(Killed):
        other.create()
    other.s3.put_object = put  # type: ignore[method-assign]  # well again
    assert not other.create(NOW + timedelta(hours=3), seed=5).was_there
    assert other.s3.objects == lake.s3.objects
    assert set(other.glue.partitions) == set(lake.glue.partitions)
