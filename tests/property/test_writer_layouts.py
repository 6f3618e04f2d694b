"""The folders of other writers: read as their examples say, and written back for any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glue.layout import LakeKey, SecorLayout, SkippedKey
from glue.partition_spec import PartitionSpec
from glue.table_spec import InvalidTableSpec, writer_layout, writer_names

WRITERS = writer_names()
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda m: m.replace(tzinfo=UTC))  # noqa: DTZ001


def example(writer: str) -> tuple[SecorLayout, dict[str, Any]]:
    text = (resources.files("glue") / "tables" / f"writer-{writer}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert document["writer"] == writer
    assert document["description"]
    found: dict[str, Any] = document["example"]
    return writer_layout(writer, found["prefix"]), found


@pytest.mark.parametrize("writer", WRITERS)
def test_the_example_is_read_and_written_back(writer: str) -> None:
    layout, found = example(writer)
    parsed = layout.parse(found["key"])
    assert isinstance(parsed, LakeKey), parsed
    assert (parsed.topic, parsed.partition.values()) == (found["topic"], tuple(found["values"]))
    assert layout.folder(found["topic"], parsed.partition) + parsed.name == found["key"]
    assert found["key"].startswith(layout.listing_prefixes(found["topic"]))


@pytest.mark.parametrize("writer", WRITERS)
@given(moment=MOMENTS)
def test_any_moment_round_trips(writer: str, moment: datetime) -> None:
    layout, found = example(writer)
    partition = PartitionSpec.from_datetime(moment, scheme=layout.scheme)
    name = found["key"].rpartition("/")[2]
    parsed = layout.parse(layout.folder(found["topic"], partition) + name)
    assert isinstance(parsed, LakeKey)
    assert parsed.partition == partition
    assert partition.start() <= moment < partition.end()
    assert PartitionSpec.from_datetime(partition.end() - timedelta(microseconds=1), scheme=layout.scheme) == partition


@pytest.mark.parametrize("writer", WRITERS)
def test_what_the_writer_does_not_write_is_foreign(writer: str) -> None:
    layout, found = example(writer)
    folder, _, name = found["key"].rpartition("/")
    for key in (f"{folder}/further/{name}", f"elsewhere/{found['key']}", f"{folder.rpartition('/')[0]}/99/{name}"):
        assert isinstance(layout.parse(key), SkippedKey)


def test_an_unknown_writer_is_named() -> None:
    with pytest.raises(InvalidTableSpec, match="firehose"):
        writer_layout("firehoses", "x")
