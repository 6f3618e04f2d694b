"""Pages concatenated are the whole result, whatever the values, the page sizes and the size of the blocks read."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from service import result_csv
from service.downloads import ndjson_chunks
from service.encoding import unique_names
from service.model import OutputColumn
from service.pages import page
from service.result_csv import read_batches
from service.signing_secrets import FixedKeyRing
from service.spool import SpoolReader, Spools
from service.tokens import TokenSigner
from service.transcoding import Transcoder
from tests.fakes.aws import athena_csv

QUERY_ID = "0f5a0000-0000-4000-8000-000000000001"
SIGNER = TokenSigner(FixedKeyRing(b"k" * 32))
# every character that JSON or CSV treats specially comes often, all others sometimes
TEXT = st.text(st.one_of(st.sampled_from('\n\r",\\\0\x1f\x7f{}[]:\u2028\U0001f600 '), st.characters(codec="utf-8")))
VALUES = st.one_of(st.none(), st.just(""), TEXT)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str | None]]]:
    width = draw(st.integers(1, 4))
    names = draw(st.lists(TEXT.filter(bool), min_size=width, max_size=width))
    rows = draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=30))
    return names, rows


@contextmanager
def spooled(names: list[str], rows: list[list[str | None]]) -> Iterator[tuple[SpoolReader, list[OutputColumn]]]:
    columns = [OutputColumn(name, "varchar") for name in unique_names(names)]
    data = athena_csv(names, rows)
    with tempfile.TemporaryDirectory() as folder:
        spools = Spools(Path(folder))
        transcoder = Transcoder(columns)
        with spools.writer(QUERY_ID) as writer:
            for batch in read_batches(lambda: io.BytesIO(data), len(columns)):
                for piece, ends in transcoder.json_rows(batch):
                    writer.append(piece, ends)
            writer.complete()
        transcoder.close()
        reader = spools.reader(QUERY_ID)
        assert reader is not None
        yield reader, columns
        spools.close()


@settings(max_examples=150, deadline=None)
@given(tables(), st.lists(st.integers(1, 12), min_size=1, max_size=5), st.sampled_from([200, 8 * 2**20]))
def test_pages_concatenated_are_the_whole_result(
    table: tuple[list[str], list[list[str | None]]], page_sizes: list[int], block_bytes: int
) -> None:
    names, rows = table
    with patch.object(result_csv, "BLOCK_BYTES", block_bytes), spooled(names, rows) as (reader, columns):
        expected = [dict(zip([column.name for column in columns], row, strict=True)) for row in rows]
        seen: list[Any] = []
        token = None
        for number in range(len(rows) + 1):
            size = page_sizes[number % len(page_sizes)]
            made = page(
                reader,
                SIGNER,
                query_id=QUERY_ID,
                tenant="t",
                columns=columns,
                paging_token=token,
                results_per_page=size,
            )
            document = json.loads(made.body)
            assert document["row_count"] == len(document["result_set"])
            assert document["row_count"] <= size
            assert document["columns"] == [{"name": column.name, "type": "varchar"} for column in columns]
            assert document["result_set"] or not rows
            seen.extend(document["result_set"])
            token = document.get("paging_token")
            if token is None:
                break
        assert token is None
        assert seen == expected
        lines = b"".join(ndjson_chunks(lambda: reader)).decode().split("\n")
        assert lines.pop() == ""
        assert [json.loads(line) for line in lines] == expected
