from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest

from glue.layout import AlternativePath, CommitBatch, LakeKey, SecorLayout, SkippedKey
from glue.partition_spec import HOUR_SCHEME, PartitionSpec
from tests.shared_data import shared_data

MINUTE = PartitionSpec.parse("dt=2026-11-22/hr=10/min=05")
FOLDER = "secor/events/dt=2026-11-22/hr=10/min=05/"


def data_key(layout: SecorLayout, key: str) -> LakeKey:
    parsed = layout.parse(key)
    assert isinstance(parsed, LakeKey), parsed
    return parsed


@pytest.mark.parametrize(
    ("name", "batch", "extension"),
    [
        ("1_0_00000000000000000100.gz", CommitBatch(1, 0, 0, 100), ".gz"),
        ("10_3_00000000000000000100", CommitBatch(10, 3, 3, 100), ""),
        ("1_0_00000000000000000100.snappy.parquet", CommitBatch(1, 0, 0, 100), ".snappy.parquet"),
        ("1_0-7_1B2M2Y8AsgTpgAmY7PhCfg.gz", CommitBatch(1, 0, 7, None, "1B2M2Y8AsgTpgAmY7PhCfg"), ".gz"),
    ],
)
def test_names_of_secor(name: str, batch: CommitBatch, extension: str) -> None:
    key = data_key(SecorLayout(), FOLDER + name)
    assert (key.topic, key.partition, key.batch, key.extension) == ("events", MINUTE, batch, extension)
    assert SecorLayout(extension=extension).key("events", MINUTE, batch) == FOLDER + name


@pytest.mark.parametrize(
    "name", ["mine.gz", "1_0_100.gz", "part-0000.json", "1-2_0_00000000000000000100", "ünï cödé.gz"]
)
def test_other_names_in_a_proper_folder_are_data_as_they_are_for_athena(name: str) -> None:
    key = data_key(SecorLayout(), FOLDER + name)
    assert (key.partition, key.batch) == (MINUTE, None)


@pytest.mark.parametrize(
    "key",
    [
        FOLDER + "_SUCCESS",
        "secor/events/dt=2026-11-22/_SUCCESS",
        FOLDER + ".1_0_00000000000000000100.gz.crc",
        FOLDER + "1_0_00000000000000000100.gz.crc",
        FOLDER,
        "secor/events/",
        "secor/events/dt=2026-11-22_$folder$",
        FOLDER + "_temporary",
    ],
)
def test_markers_hold_no_rows(key: str) -> None:
    parsed = SecorLayout().parse(key)
    assert isinstance(parsed, SkippedKey)
    assert parsed.kind == "marker"


@pytest.mark.parametrize(
    "key",
    [
        "other/events/dt=2026-11-22/hr=10/min=05/1_0_00000000000000000100.gz",
        "secorevents/dt=2026-11-22/hr=10/min=05/1_0_00000000000000000100.gz",
        "secor/events/dt=2026-11-22/hr=10/1_0_00000000000000000100.gz",
        "secor/events/dt=2017-13-45/hr=10/min=05/1_0_00000000000000000100.gz",
        "secor/events/dt=2026-11-22/hr=24/min=05/1_0_00000000000000000100.gz",
        "secor/events/dt=2026-11-22/hr=10/min=05/more/1_0_00000000000000000100.gz",
        "secor/events/notes.txt",
        "secor/notes.txt",
        "notes.txt",
        "secor/events/dt=2026-11-22'/hr=10/min=05/x.gz",
        "secor/events/dt=2026-11-22\n/hr=10/min=05/x.gz",
        "secor/events/../dt=2026-11-22/hr=10/x.gz",
    ],
)
def test_foreign_keys_say_why(key: str) -> None:
    parsed = SecorLayout().parse(key)
    assert isinstance(parsed, SkippedKey)
    assert parsed.kind == "foreign"
    assert parsed.reason


def test_a_topic_may_look_like_a_partition() -> None:
    key = "secor/dt=2026-01-01/dt=2026-11-22/hr=10/min=05/1_0_00000000000000000100.gz"
    assert data_key(SecorLayout(), key).topic == "dt=2026-01-01"
    assert data_key(SecorLayout(prefix=""), key.removeprefix("secor/")).topic == "dt=2026-01-01"


def test_hash_folders_are_made_and_proved() -> None:
    layout = SecorLayout(has_md5_prefix=True)
    batch = CommitBatch.single(0, 7)
    key = layout.key("events", MINUTE, batch)
    assert key.startswith(hashlib.md5(b"events/dt=2026-11-22/hr=10/min=05").hexdigest()[:4] + "/secor/events/dt=")
    assert data_key(layout, key).batch == batch
    assert isinstance(layout.parse("0000" + key[4:]), SkippedKey)
    assert isinstance(layout.parse(key[5:]), SkippedKey)


def test_alternative_path_from_a_date_on() -> None:
    layout = SecorLayout(alternative=AlternativePath("secor/new", date(2026, 11, 22)))
    batch = CommitBatch.single(0, 7)
    old = PartitionSpec.parse("dt=2026-11-21/hr=23/min=59")
    assert layout.key("events", old, batch).startswith("secor/events/")
    assert layout.key("events", MINUTE, batch).startswith("secor/new/events/")
    for partition in (old, MINUTE):
        assert data_key(layout, layout.key("events", partition, batch)).partition == partition
    assert layout.listing_prefixes("events") == ("secor/events/", "secor/new/events/")


def test_offset_folders() -> None:
    layout = SecorLayout(scheme=HOUR_SCHEME, has_offset_folders=True)
    key = "secor/events/dt=2026-11-22/hr=10/offset=10000000/1_0_00000000000010000000.gz"
    parsed = data_key(layout, key)
    assert (parsed.offset_folder, parsed.partition.path()) == (10_000_000, "dt=2026-11-22/hr=10")
    assert layout.key("events", parsed.partition, CommitBatch.single(0, 10_000_000), offset_folder=10_000_000) == key
    assert isinstance(layout.parse("secor/events/dt=2026-11-22/hr=10/1_0_00000000000010000000.gz"), SkippedKey)


def test_the_same_name_in_two_folders_is_two_objects() -> None:
    name = "1_0_00000000000000000100.gz"
    first = data_key(SecorLayout(), FOLDER + name)
    second = data_key(SecorLayout(), FOLDER.replace("min=05", "min=06") + name)
    assert first.batch == second.batch
    assert first != second


@pytest.mark.real_data
def test_secor_own_path_case() -> None:
    case = json.loads((shared_data("secor-partition-cases") / "cases.json").read_text())["log_file_path"][0]
    name = case["path"].rpartition("/")[2]
    parsed = CommitBatch.parse(name)
    assert parsed == (
        CommitBatch(case["generation"], case["kafka_partition"], case["kafka_partition"], case["offset"]),
        "",
    )
