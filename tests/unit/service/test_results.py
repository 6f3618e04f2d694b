"""From the engine's CSV to pages and downloads: what a spool promises while it grows, when it breaks, when it goes."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from service import result_csv
from service.downloads import arrow_chunks, csv_chunks, ndjson_chunks, parquet_chunks
from service.errors import InvalidPagingToken
from service.model import OutputColumn
from service.pages import PageNotReady, page
from service.result_csv import ResultUnreadable, read_batches
from service.signing_secrets import FixedKeyRing, load_or_create_secret
from service.spool import SpoolBusy, Spools
from service.tokens import TokenSigner
from service.transcoding import Transcoder
from tests.fakes.aws import athena_csv

QUERY_ID = "0f5a0000-0000-4000-8000-000000000001"
COLUMNS = [OutputColumn("n", "integer"), OutputColumn("s", "varchar")]
SIGNER = TokenSigner(FixedKeyRing(b"k" * 32))


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    made = Spools(tmp_path / "spool")
    yield made
    made.close()


def csv_of(count: int) -> bytes:
    return athena_csv(["n", "s"], [[str(n), f"row {n}"] for n in range(count)])


def batches(data: bytes, width: int = 2) -> Iterator[pa.RecordBatch]:
    return read_batches(lambda: io.BytesIO(data), width)


def page_of(spools: Spools, token: str | None = None, size: int = 1000) -> Any:
    reader = spools.reader(QUERY_ID)
    assert reader is not None
    made = page(
        reader, SIGNER, query_id=QUERY_ID, tenant="t", columns=COLUMNS, paging_token=token, results_per_page=size
    )
    return json.loads(made.body)


def test_a_growing_spool_serves_what_it_has_and_says_no_more(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_csv, "BLOCK_BYTES", 1000)
    transcoder = Transcoder(COLUMNS)
    with spools.writer(QUERY_ID) as writer:
        for batch in batches(csv_of(200)):
            for piece, ends in transcoder.json_rows(batch):
                writer.append(piece, ends)
            if writer.row_count > 40:
                break
        available = writer.row_count
        assert available < 200
        first = page_of(spools, size=30)
        assert [row["n"] for row in first["result_set"]] == list(range(30))
        with pytest.raises(PageNotReady):
            page_of(spools, size=available)  # nobody can say yet whether a next page exists
        with pytest.raises(PageNotReady):
            page_of(spools, first["paging_token"], size=1000)
        with pytest.raises(SpoolBusy), Spools(spools._root).writer(QUERY_ID):
            pass
        assert not spools.is_complete(QUERY_ID)
        writer.complete()
    assert spools.is_complete(QUERY_ID)
    rest = page_of(spools, first["paging_token"], size=1000)
    assert [row["n"] for row in rest["result_set"]] == list(range(30, available))
    assert "paging_token" not in rest
    transcoder.close()


def spool(spools: Spools, count: int) -> None:
    transcoder = Transcoder(COLUMNS)
    with spools.writer(QUERY_ID) as writer:
        for batch in batches(csv_of(count)):
            for piece, ends in transcoder.json_rows(batch):
                writer.append(piece, ends)
        writer.complete()
    transcoder.close()


def test_a_page_that_ends_with_the_last_row_has_no_token(spools: Spools) -> None:
    spool(spools, 20)
    first = page_of(spools, size=10)
    last = page_of(spools, first["paging_token"], size=10)
    assert last["row_count"] == 10
    assert "paging_token" not in last


def test_a_token_behind_the_end_is_refused(spools: Spools) -> None:
    spool(spools, 20)
    token = page_of(spools, size=15)["paging_token"]
    spool(spools, 10)
    with pytest.raises(InvalidPagingToken):
        page_of(spools, token)


@pytest.mark.parametrize("name", ["rows", "index"])
def test_a_spool_that_lost_bytes_is_not_whole(spools: Spools, name: str) -> None:
    spool(spools, 20)
    path = spools.folder(QUERY_ID) / name
    path.write_bytes(path.read_bytes()[:-8])
    assert not Spools(spools._root).is_complete(QUERY_ID)


def test_deleting_leaves_nothing_and_twice_is_once(spools: Spools) -> None:
    spool(spools, 20)
    assert list(spools.query_ids()) == [QUERY_ID]
    for _ in range(2):
        spools.delete(QUERY_ID)
        assert spools.reader(QUERY_ID) is None
        assert list(spools.query_ids()) == []


def test_rows_larger_than_a_block_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_csv, "BLOCK_BYTES", 100)
    data = athena_csv(["n", "s"], [["1", "a"], ["2", "b" * 5000], ["3", "c"], ["4", "\n" * 700]])
    rows = [row for batch in batches(data) for row in batch.to_pylist()]
    assert [(row["c0"], len(row["c1"])) for row in rows] == [("1", 1), ("2", 5000), ("3", 1), ("4", 700)]


@pytest.mark.parametrize("data", [b"", b'"n","s"', b'"n","s"\n'])
def test_a_result_without_rows_has_none(data: bytes) -> None:
    assert list(batches(data)) == []


def test_a_last_row_without_a_newline_counts() -> None:
    assert [batch.to_pylist() for batch in batches(b'"n","s"\n"1",')] == [[{"c0": "1", "c1": None}]]


@pytest.mark.parametrize("data", [b'"n","s"\n"1"\n', b'"n","s"\n"1","2","3"\n', b'"n","s"\n"1","\xff"\n'])
def test_what_is_not_the_promised_csv_is_said_to_be_unreadable(data: bytes) -> None:
    with pytest.raises(ResultUnreadable):
        list(batches(data))


def test_a_column_of_nulls_is_rows_of_nulls() -> None:
    rows = [row["c0"] for batch in batches(b'"n"\n\n\n""\n\n', width=1) for row in batch.to_pylist()]
    assert rows == [None, None, "", None]


def test_downloads_carry_the_same_rows_in_every_form(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_csv, "BLOCK_BYTES", 3000)
    data = csv_of(500)
    spool(spools, 500)
    expected = [{"n": n, "s": f"row {n}"} for n in range(500)]

    def reader() -> Any:
        return spools.reader(QUERY_ID)

    lines = b"".join(ndjson_chunks(reader)).splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert b"".join(csv_chunks(lambda: io.BytesIO(data))) == data
    parquet = b"".join(parquet_chunks(lambda: io.BytesIO(data), COLUMNS, frozenset()))
    table = pa.parquet.read_table(io.BytesIO(parquet))
    assert table.to_pylist() == expected
    assert str(table.schema.field("n").type) == "int32"
    arrow = b"".join(arrow_chunks(lambda: io.BytesIO(data), COLUMNS, frozenset()))
    assert pa.ipc.open_stream(arrow).read_all().to_pylist() == expected


def test_downloads_of_an_empty_result_are_files_without_rows() -> None:
    data = csv_of(0)
    parquet = b"".join(parquet_chunks(lambda: io.BytesIO(data), COLUMNS, frozenset()))
    assert pa.parquet.read_table(io.BytesIO(parquet)).schema.names == ["n", "s"]
    arrow = b"".join(arrow_chunks(lambda: io.BytesIO(data), COLUMNS, frozenset()))
    assert pa.ipc.open_stream(arrow).read_all().num_rows == 0


def test_ndjson_follows_a_spool_that_grows(spools: Spools) -> None:
    transcoder = Transcoder(COLUMNS)
    (batch,) = batches(csv_of(10))
    with spools.writer(QUERY_ID) as writer:
        for piece, ends in transcoder.json_rows(batch.slice(0, 4)):
            writer.append(piece, ends)

        def finish(_: float) -> None:
            for piece, ends in transcoder.json_rows(batch.slice(4)):
                writer.append(piece, ends)
            writer.complete()

        def reader() -> Any:
            return spools.reader(QUERY_ID)

        lines = b"".join(ndjson_chunks(reader, sleep=finish)).splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(10))
    transcoder.close()


def test_leaving_a_download_closes_the_source() -> None:
    source = io.BytesIO(csv_of(10))
    chunks = parquet_chunks(lambda: source, COLUMNS, frozenset())
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # a generator
    assert source.closed


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret"
    secrets: list[bytes] = []
    barrier = threading.Barrier(8)

    def load() -> None:
        barrier.wait()
        secrets.append(load_or_create_secret(path))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match="32 bytes"):
        FixedKeyRing(b"short")
    path.write_bytes(b"cut")
    with pytest.raises(ValueError, match="too short"):
        load_or_create_secret(path)
