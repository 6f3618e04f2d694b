"""Raw objects become Parquet objects: sorted whatever fits in memory, in objects and row groups of a good size."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pyarrow.parquet
import pytest

from embedded.s3 import S3
from glue import compaction_objects
from glue.compaction_jobs import CompactionJob, JobRunner, run_job
from glue.compaction_manifest import (
    InputObject,
    Manifest,
    UnreadableManifest,
    compaction_at,
    compaction_folder,
    compaction_id,
    compaction_location,
    late_name,
    parse_compacted_key,
)
from glue.compaction_objects import CannotCompact, CompactionTask, WrittenPartition, write_partition
from glue.partition_spec import PartitionSpec
from glue.raised_field import RaisedField
from glue.table_spec import TableSpec, load_table_specs
from tests.contract.compaction_lake import START

EVENTS = load_table_specs()["events"]
MINUTE = PartitionSpec.parse("dt=2026-11-22/hr=10/min=05")
FOLDER = compaction_folder(EVENTS, MINUTE, "0" * 20)


def lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def row(created: int | None, number: int, **members: Any) -> dict[str, Any]:
    return {"customerid": number, "createdtimestamp": created, "data": "{}", **members}


@pytest.fixture
def s3(tmp_path: Path) -> S3:
    made = S3(tmp_path / "s3")
    made.create_bucket(Bucket=EVENTS.bucket)
    return made


def put(s3: S3, name: str, content: bytes) -> InputObject:
    etag = s3.put_object(Bucket=EVENTS.bucket, Key=f"secor/{name}", Body=content)["ETag"].strip('"')
    return InputObject(f"secor/{name}", len(content), etag)


def written(s3: S3, *inputs: InputObject, spec: TableSpec = EVENTS, **options: Any) -> WrittenPartition:
    return write_partition(s3, CompactionTask(spec, FOLDER, inputs, **options))


def tables(s3: S3, result: WrittenPartition) -> list[pyarrow.Table]:
    return [
        pyarrow.parquet.read_table(
            pyarrow.BufferReader(s3.get_object(Bucket=EVENTS.bucket, Key=output.key)["Body"].read())
        )
        for output in result.outputs
    ]


@pytest.mark.parametrize("run_bytes", [1 << 30, 20_000])
def test_rows_are_sorted_by_time_those_of_one_time_as_they_lie(s3: S3, run_bytes: int) -> None:
    chance = random.Random(3)
    inputs, expected, number = [], [], 0
    for name in ("a.gz", "b.gz", "c.gz"):
        rows = []
        for _ in range(700):
            created = chance.choice([None, *range(40)])
            rows.append(row(created, number))
            expected.append((created is None, created or 0, number))
            number += 1
        inputs.append(put(s3, name, gzip.compress(lines(rows))))
    result = written(s3, *inputs, run_bytes=run_bytes)
    (table,) = tables(s3, result)
    assert table["customerid"].to_pylist() == [number for _, _, number in sorted(expected)]
    assert (result.row_count, result.outputs[0].minimum_time, result.outputs[0].maximum_time) == (2100, 0, 39)
    facts = result.facts["secor/b.gz"]
    assert (facts.row_count, facts.untimed_count > 0, facts.minimum_createdtimestamp) == (700, True, 0)


def test_objects_and_row_groups_have_a_good_size(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_objects, "ROW_GROUP_ROWS", 100)
    noise = random.Random(1)
    rows = [row(number, number, data=noise.randbytes(100).hex()) for number in range(1000)]
    result = written(s3, put(s3, "a.gz", gzip.compress(lines(rows))), target_object_bytes=25_000)
    names = [output.key.rpartition("/")[2] for output in result.outputs]
    assert names == [f"part-{number:05d}.parquet" for number in range(len(names))]
    assert len(names) > 2
    assert [row for table in tables(s3, result) for row in table["customerid"].to_pylist()] == list(range(1000))
    assert all(output.size_bytes < 45_000 for output in result.outputs)
    first = pyarrow.parquet.ParquetFile(
        pyarrow.BufferReader(s3.get_object(Bucket=EVENTS.bucket, Key=result.outputs[0].key)["Body"].read())
    ).metadata
    assert first.row_group(0).num_rows == 100
    by_path = {
        first.row_group(1).column(at).path_in_schema: first.row_group(1).column(at) for at in range(first.num_columns)
    }
    created = by_path["createdtimestamp"]
    assert (created.statistics.min, created.statistics.max, created.compression) == (100, 199, "ZSTD")
    assert "RLE_DICTIONARY" in by_path["service"].encodings
    assert result.outputs[1].minimum_time == result.outputs[0].maximum_time + 1  # type: ignore[operator]  # they have times


def test_a_partition_without_rows_has_an_object_all_the_same(s3: S3) -> None:
    result = written(s3, put(s3, "a.gz", gzip.compress(b"oops\n\n")))
    assert (result.row_count, result.malformed_count, [table.num_rows for table in tables(s3, result)]) == (0, 1, [0])
    assert result.facts["secor/a.gz"].blank_count == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gz", gzip.compress(lines([row(1, 1)])) + gzip.compress(lines([row(2, 2)])) + b"\0" * 700),
        ("a", gzip.compress(lines([row(1, 1), row(2, 2)]))),
        ("a.json", lines([row(1, 1), row(2, 2)])),
        ("a.json", b"\xef\xbb\xbf" + lines([row(1, 1), row(2, 2)]).rstrip()),
        ("a.json", lines([row(1, 1), row(2, 2)]).replace(b"\n", b"\r\n")),
        ("a.zst", pyarrow.compress(lines([row(1, 1), row(2, 2)]), codec="zstd", asbytes=True)),
    ],
    ids=["members and padding", "no suffix", "plain", "byte order mark", "carriage returns", "zstd"],
)
def test_whatever_queries_can_read_is_read(s3: S3, name: str, content: bytes) -> None:
    (table,) = tables(s3, written(s3, put(s3, name, content)))
    assert table["customerid"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.gz", gzip.compress(lines([row(1, 1)]))[:-5], "ends early"),
        ("a.gz", gzip.compress(lines([row(1, 1)])) + b"garbage", "secor/a.gz"),
        ("a.gz", lines([row(1, 1)]), "named .gz"),
        ("a.bz2", b"BZh9", "bzip2"),
        ("a.snappy", b"x", "snappy"),
        ("a.zst", b"\x28\xb5\x2f\xfdxx", "secor/a.zst"),
        ("a.json", b'{"data":"' + b"x" * (17 << 20) + b'"}', "longer than"),
        ("a.json", lines([row(1, 1)]) + b'{"customerid":"0x10"}', "line 2"),
        ("a.json", b'{"customerid":1,"CustomerId":2}', "for one column"),
        ("a.json", b'{"data":' + b"[" * 300 + b"]" * 300 + b"}", "nested"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trusted_is_refused_by_name(s3: S3, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(CannotCompact, match=reason.replace(".", r"\.")):
        written(s3, put(s3, name, content))


def test_an_object_that_changed_since_it_was_listed_is_refused(s3: S3) -> None:
    found = put(s3, "a.json", lines([row(1, 1)]))
    put(s3, "a.json", lines([row(2, 2)]))
    with pytest.raises(CannotCompact, match="has changed"):
        written(s3, found)
    with pytest.raises(CannotCompact, match="is gone"):
        written(s3, replace(found, key="secor/never"))


def test_a_bomb_is_read_in_pieces(s3: S3) -> None:
    content = gzip.compress(b" " * (8 << 20) + b"\n" + lines([row(1, 1)]))
    assert len(content) < 20_000
    (table,) = tables(s3, written(s3, put(s3, "a.gz", content)))
    assert table.num_rows == 1


def test_raised_fields_become_typed_columns(s3: S3) -> None:
    raised = (
        RaisedField("status", "int", ("$.status",), ""),
        RaisedField("tags", "array<string>", ("$.tags",), ""),
    )
    spec = replace(EVENTS, raised=raised)
    rows = [
        row(1, 1, data='{"status":200,"tags":["a"]}'), row(2, 2, data='{"status":"x"}'), row(3, 3, data=None),
        row(4, 4, data='{"status":1}', status=7),
    ]  # fmt: skip
    (table,) = tables(s3, written(s3, put(s3, "a.json", lines(rows)), spec=spec))
    assert table["status"].to_pylist() == [200, None, None, 7]
    assert table["tags"].to_pylist() == [["a"], None, None, None]
    assert table.schema.field("status").type == pyarrow.int32()


def test_an_earlier_compaction_is_read_with_the_columns_of_now(s3: S3) -> None:
    first = written(s3, put(s3, "a.json", lines([row(5, 1), row(1, 2)])))
    output = first.outputs[0]
    etag = s3.head_object(Bucket=EVENTS.bucket, Key=output.key)["ETag"].strip('"')
    wider = replace(EVENTS, raised=(RaisedField("status", "int", ("$.status",), ""),))
    earlier = InputObject(output.key, output.size_bytes, etag, is_parquet=True)
    task = CompactionTask(wider, FOLDER + "again/", (earlier, put(s3, "b.json", lines([row(3, 3)]))))
    (table,) = tables(s3, write_partition(s3, task))
    assert table["customerid"].to_pylist() == [2, 3, 1]
    assert table["status"].null_count == 3


# ---------------------------------------------------------------------------------------------- manifests, keys, jobs


def job(*inputs: InputObject, spec: TableSpec = EVENTS) -> CompactionJob:
    return CompactionJob(spec, MINUTE, inputs, inputs, START)


def test_the_same_inputs_are_the_same_compaction() -> None:
    a, b = InputObject("a", 1, "x"), InputObject("b", 2, "y")
    assert compaction_id(EVENTS, MINUTE, [a, b]) == compaction_id(EVENTS, MINUTE, [b, a])
    others = [
        compaction_id(EVENTS, MINUTE, [a]),
        compaction_id(EVENTS, MINUTE, [a, replace(b, etag="z")]),
        compaction_id(EVENTS, PartitionSpec.parse("dt=2026-11-22/hr=10/min=06"), [a, b]),
        compaction_id(replace(EVENTS, columns=EVENTS.columns[:3]), MINUTE, [a, b]),
        compaction_id(replace(EVENTS, raised=(RaisedField("s", "int", ("$.s",), ""),)), MINUTE, [a, b]),
        compaction_id(EVENTS, MINUTE, [a, b]),
    ]
    assert len(set(others)) == 6


def test_a_job_that_is_done_is_found_and_not_done_again(s3: S3) -> None:
    found = put(s3, "a.json", lines([row(1, 1)]))
    first = run_job(s3, job(found))
    assert (first.is_new, first.manifest is not None) == (True, True)
    again = run_job(s3, job(found))
    assert (again.is_new, again.manifest) == (False, first.manifest)
    s3.delete_object(Bucket=EVENTS.bucket, Key=first.manifest.outputs[0].key)  # type: ignore[union-attr]  # it is there
    assert run_job(s3, job(found)).is_new


def test_a_table_that_refuses_malformed_rows_is_not_compacted_around_them(s3: S3) -> None:
    spec = replace(EVENTS, serde_parameters={"ignore.malformed.json": "false"})
    outcome = run_job(s3, job(put(s3, "a.json", b"oops\n"), spec=spec))
    assert (outcome.manifest, "refuse" in outcome.reason) == (None, True)


def test_jobs_run_in_processes_and_answer_in_order(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial

    from glue import compaction_jobs

    monkeypatch.setattr(compaction_jobs, "_WORTH_PROCESSES_BYTES", 0)
    monkeypatch.setattr(compaction_jobs, "_BATCH_SIZE", 2)
    jobs = []
    for minute in range(5):
        content = lines([row(n, n) for n in range(minute + 1)]) if minute != 3 else b'{"customerid":"0x1"}'
        partition = PartitionSpec.parse(f"dt=2026-11-22/hr=10/min={minute:02d}")
        found = put(s3, f"{minute}.json", content)
        jobs.append(CompactionJob(EVENTS, partition, (found,), (found,), START))
    with JobRunner(s3, workers=2, client_factory=partial(S3, tmp_path / "s3")) as runner:
        outcomes = list(runner.run(jobs))
    assert [outcome.job for outcome in outcomes] == jobs
    counts = [None if outcome.manifest is None else outcome.manifest.row_count for outcome in outcomes]
    assert counts == [1, 2, 3, None, 5]
    assert "0x1" in outcomes[3].reason


def test_a_manifest_is_read_back(s3: S3) -> None:
    outcome = run_job(s3, job(put(s3, "a.json", lines([row(1, 1)]) + b"oops\n")))
    assert outcome.manifest is not None
    assert Manifest.from_bytes(outcome.manifest.to_bytes()) == outcome.manifest


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"format":99}', b'{"format":1}', b'{"format":1,"values":3}', b"\xff"]
)
def test_a_manifest_that_is_none_says_so(document: bytes) -> None:
    with pytest.raises(UnreadableManifest):
        Manifest.from_bytes(document)


def test_keys_say_what_they_are() -> None:
    identifier = "0123456789abcdef0123"
    folder = compaction_folder(EVENTS, MINUTE, identifier)
    kinds = {
        "part-00000.parquet": "part", late_name("a"): "late", "_malformed.ndjson.gz": "malformed",
        "_manifest.json": "manifest", "_raw_removed.json": "raw_removed", "x": "other",
    }  # fmt: skip
    for name, kind in kinds.items():
        parsed = parse_compacted_key(EVENTS, folder + name)
        assert parsed is not None
        assert (parsed.partition, parsed.compaction_id, parsed.kind) == (MINUTE, identifier, kind)
    assert compaction_at(EVENTS, MINUTE, compaction_location(EVENTS, MINUTE, identifier)) == identifier


@pytest.mark.parametrize(
    "key",
    [
        "secor/events/dt=2026-11-22/hr=10/min=05/0123456789abcdef0123/part-00000.parquet",
        "compacted/events/dt=2026-11-22/hr=10/0123456789abcdef0123/part-00000.parquet",
        "compacted/events/dt=2026-13-22/hr=10/min=05/0123456789abcdef0123/part-00000.parquet",
        "compacted/events/dt=2026-11-22/hr=10/min=05/0123456789ABCDEF0123/part-00000.parquet",
        "compacted/events/dt=2026-11-22/hr=10/min=05/../part-00000.parquet",
        "compacted/metrics/dt=2026-11-22/hr=10/min=05/0123456789abcdef0123/part-00000.parquet",
        "compacted/events/",
    ],
)
def test_other_keys_are_none_of_ours(key: str) -> None:
    assert parse_compacted_key(EVENTS, key) is None
    assert compaction_at(EVENTS, MINUTE, f"s3://{EVENTS.bucket}/{key}") is None
