"""Spools of several replicas: the same bytes on each, large ones read by range from S3, disks that are full."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy
import pytest
from botocore.exceptions import EndpointConnectionError

from service.errors import EngineUnavailable
from service.executions import StoredExecution
from service.model import OutputColumn, QueryStatus, Statistics
from service.pages import page
from service.shared_spools import INDEX_BLOCK_ROWS, NoSharedSpools, S3SharedSpools, SharedSpoolLost
from service.signing_secrets import FixedKeyRing
from service.spool import RowReader, SpoolFull, Spools, SpoolWriter
from service.tokens import TokenSigner
from tests.contract.aws_implementations import IMPLEMENTATIONS, s3_client
from tests.contract.execution_store import NOW, execution

BUCKET = "results"
QUERY_ID = "0f5a0000-0000-4000-8000-000000000001"
SIGNER = TokenSigner(FixedKeyRing(b"k" * 32))


@pytest.fixture(params=IMPLEMENTATIONS)
def s3(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_client(request.param, tmp_path, monkeypatch) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


def write_spool(spools: Spools, row_count: int, query_id: str = QUERY_ID) -> StoredExecution:
    """A whole local spool of `row_count` rows, and the execution it belongs to."""
    rows = [b'{"n":%d,"s":"%s"},\n' % (number, b"x" * (number % 50)) for number in range(row_count)]
    with spools.writer(query_id) as writer:
        for start in range(0, row_count, 5000):
            part = rows[start : start + 5000]
            writer.append(memoryview(b"".join(part)), numpy.cumsum([len(row) for row in part]))
        writer.complete()
    return replace(
        execution(
            query_id=query_id,
            status=QueryStatus.FINISHED,
            statistics=Statistics(rows_total=row_count, result_bytes=writer.size_bytes),
        ),
        result_location=f"s3://{BUCKET}/some/folder/e1.csv",
        is_spooled=True,
    )


def shared(s3: Any, minimum_bytes: int = 1000) -> S3SharedSpools:
    return S3SharedSpools(s3, sleep=lambda seconds: None, minimum_bytes=minimum_bytes)


def page_of(reader: RowReader, token: str | None = None, size: int = 1000) -> Any:
    columns = (OutputColumn("n", "integer"), OutputColumn("s", "varchar"))
    made = page(
        reader, SIGNER, query_id=QUERY_ID, tenant="t", columns=columns, paging_token=token, results_per_page=size
    )
    return json.loads(made.body)


def numbers(reader: RowReader, size: int) -> list[int]:
    """The first column of every page."""
    seen: list[int] = []
    token = None
    while True:
        told = page_of(reader, token, size)
        seen += [row["n"] for row in told["result_set"]]
        token = told.get("paging_token")
        if token is None:
            return seen


def test_pages_and_tokens_are_the_same_on_every_replica(s3: Any, tmp_path: Path) -> None:
    row_count = INDEX_BLOCK_ROWS + 777
    spools = Spools(tmp_path / "a")
    stored = write_spool(spools, row_count)
    assert shared(s3).reader(stored) is None
    for _ in range(2):
        assert shared(s3).keep(stored, spools.folder(QUERY_ID))
    own, others = spools.reader(QUERY_ID), shared(s3).reader(stored)
    assert own is not None
    assert others is not None
    assert (others.row_count, others.size_bytes) == (own.row_count, own.size_bytes)
    assert numbers(others, 1000) == list(range(row_count))
    token = None
    for reader, other in ((own, others), (others, own), (own, others)):
        assert page_of(reader, token, 700) == page_of(other, token, 700)
        token = page_of(reader, token, 700)["paging_token"]
    with pytest.raises(BlockingIOError):
        others.read(0, 10, is_waiting_allowed=False)


def test_small_ones_are_not_shared_and_leave_no_object(s3: Any, tmp_path: Path) -> None:
    spools = Spools(tmp_path / "a")
    stored = write_spool(spools, 10)
    assert not shared(s3).keep(stored, spools.folder(QUERY_ID))
    assert shared(s3).reader(stored) is None
    without_result = replace(stored, result_location=None)  # Athena keeps the result itself
    assert not shared(s3, minimum_bytes=1).keep(without_result, spools.folder(QUERY_ID))
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert not NoSharedSpools().keep(stored, spools.folder(QUERY_ID))
    assert NoSharedSpools().reader(stored) is None


def test_deleting_leaves_nothing_and_is_noticed(s3: Any, tmp_path: Path) -> None:
    spools = Spools(tmp_path / "a")
    stored = write_spool(spools, 2000)
    mine, theirs = shared(s3), shared(s3)
    mine.keep(stored, spools.folder(QUERY_ID))
    reader = theirs.reader(stored)
    assert reader is not None
    for _ in range(2):
        mine.delete(stored)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert theirs.reader(stored) is reader
    with pytest.raises(SharedSpoolLost):
        reader.read(0, 1000)
    theirs.forget(QUERY_ID)
    assert theirs.reader(stored) is None


def test_rows_without_their_index_are_not_a_spool(s3: Any, tmp_path: Path) -> None:
    """The writer died between the two."""
    spools = Spools(tmp_path / "a")
    stored = write_spool(spools, 2000)
    shared(s3).keep(stored, spools.folder(QUERY_ID))
    s3.delete_object(Bucket=BUCKET, Key=f"some/folder/spool/{QUERY_ID}/index")
    assert shared(s3).reader(stored) is None


class CutS3:
    """An S3 whose connection is cut so many times."""

    def __init__(self, s3: Any, cuts: int) -> None:
        self._s3 = s3
        self.cuts = cuts

    def get_object(self, **arguments: Any) -> Any:
        self.cuts -= 1
        if self.cuts >= 0:
            raise EndpointConnectionError(endpoint_url="http://10.1.2.3/")
        return self._s3.get_object(**arguments)


def test_a_network_that_is_cut_during_a_page_is_tried_again_then_told(s3: Any, tmp_path: Path) -> None:
    spools = Spools(tmp_path / "a")
    stored = write_spool(spools, 2000)
    shared(s3).keep(stored, spools.folder(QUERY_ID))
    cut = CutS3(s3, 0)
    reader = shared(cut).reader(stored)
    assert reader is not None
    cut.cuts = 2
    assert len(page_of(reader)["result_set"]) == 1000
    cut.cuts = 100
    with pytest.raises(EngineUnavailable) as trouble:
        page_of(reader)
    assert "10.1.2.3" not in trouble.value.detail


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes writes of rows fail after so many."""
    whole = SpoolWriter.append
    left = [1 << 30]

    def append(writer: SpoolWriter, rows: memoryview, end_offsets: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(writer, rows, end_offsets)

    monkeypatch.setattr(SpoolWriter, "append", append)

    def full_after(writes: int) -> None:
        left[0] = writes

    return full_after


def test_a_full_disk_makes_room_by_spools_that_can_be_made_again(
    tmp_path: Path, full_disk: Callable[[int], None]
) -> None:
    spools = Spools(tmp_path / "a")
    write_spool(spools, 100, "aa000000")
    with spools.writer("bb000000") as growing:
        growing.append(memoryview(b"{},\n"), numpy.array([4]))
        full_disk(1)
        with pytest.raises(SpoolFull):
            write_spool(spools, 9000)
        assert set(spools.query_ids()) == {"bb000000"}  # not what is just being written
    full_disk(100)
    write_spool(spools, 9000)
    assert spools.is_complete(QUERY_ID)


def test_room_is_made_from_what_was_unused_for_longest(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "a")
    names = ["aa000000", "bb000000", "cc000000"]
    for age, name in zip((300, 900, 600), names, strict=True):
        write_spool(spools, 100, name)
        path = spools.folder(name) / "rows"
        os.utime(path, (NOW.timestamp() - age,) * 2)
    size_bytes = (spools.folder("aa000000") / "rows").stat().st_size
    assert spools.make_room(size_bytes + 1) == 2 * size_bytes
    assert list(spools.query_ids()) == ["aa000000"]
    assert spools.make_room(1) == size_bytes
    assert spools.make_room(1) == 0


def test_spools_of_ended_results_go_without_asking_anybody(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "a")
    for name, minutes in (("aa000000", 1), ("bb000000", 2), ("cc000000", None)):
        write_spool(spools, 10, name)
        if minutes is not None:
            spools.expire_at(name, NOW + timedelta(minutes=minutes))
    spools.expire_at("dd000000", NOW)
    assert spools.delete_expired(NOW) == 0
    for deleted in (1, 0):
        assert spools.delete_expired(NOW + timedelta(minutes=1)) == deleted
    assert set(spools.query_ids()) == {"bb000000", "cc000000"}
    write_spool(spools, 10, "bb000000")  # written again: what is known of its end is written again too
    assert spools.delete_expired(NOW + timedelta(days=1)) == 0
