from __future__ import annotations

from dataclasses import replace

from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import InMemoryGlue, InMemoryS3


def test_tables_are_made_once_and_changed_only_when_their_spec_changed() -> None:
    glue, specs = InMemoryGlue(), load_table_specs()
    assert set(ensure_catalogue(glue, specs.values()).tables.values()) == {"created"}
    assert not ensure_catalogue(glue, specs.values()).has_changed
    assert glue.table_versions == {}
    glue.tables["data_hist", "events"]["Parameters"]["owner"] = "somebody"
    changed = replace(specs["events"], description="Other words.")
    assert ensure_catalogue(glue, [changed]).tables == {"data_hist.events": "updated"}
    assert not ensure_catalogue(glue, [changed]).has_changed
    assert glue.tables["data_hist", "events"]["Description"] == "Other words."
    assert glue.tables["data_hist", "events"]["Parameters"]["owner"] == "somebody"


def test_buckets_are_made_once() -> None:
    s3 = InMemoryS3()
    for _ in range(2):
        ensure_buckets(s3, ["data-hist-lake", "data-hist-results"])
    assert s3.buckets == {"data-hist-lake", "data-hist-results"}
