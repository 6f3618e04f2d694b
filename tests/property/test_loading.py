from __future__ import annotations

import gzip
import json
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from glue.loading import Loader, LoadOptions, RowMapping
from glue.source_files import SourceRow, compact, read_rows
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import InMemoryGlue, InMemoryS3

EVENTS = load_table_specs()["events"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(TEXT, JSON, max_size=4)
TIMES = (
    st.integers(-62_135_596_800, 253_402_300_799) | st.just("soon") | st.none() | st.datetimes().map(datetime.isoformat)
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])


class Lake:
    def __init__(self, folder: Path) -> None:
        self.glue, self.s3, self.ledger = InMemoryGlue(), InMemoryS3(), SqliteLedger(":memory:")
        self.loader = Loader(
            self.glue, self.s3, self.ledger, EVENTS, lambda: datetime(2026, 11, 22, tzinfo=UTC),
            folder / "w", folder / "r", buffer_bytes=2000,
        )  # fmt: skip

    def payloads(self) -> Counter[str]:
        bodies = map(gzip.decompress, self.s3.objects.values())
        return Counter(json.loads(line)["data"] for body in bodies for line in body.splitlines())


@given(st.lists(st.tuples(ROWS, TIMES), max_size=20), SEPARATORS)
@settings(deadline=None)
def test_every_row_is_loaded_once_or_rejected_once(
    rows: list[tuple[dict[str, Any], Any]], separators: tuple[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "rows.ndjson"
        lines = [json.dumps({**row, "time": time}, separators=separators, ensure_ascii=False) for row, time in rows]
        path.write_bytes("".join(line + "\n" for line in lines).encode())
        lake = Lake(folder)
        first = lake.loader.load([path], LoadOptions(RowMapping("time"))).files[0]
        assert first.loaded + first.rejected == first.rows == len(rows)
        once = dict(lake.s3.objects), set(lake.glue.partitions), lake.ledger.summary("events")
        lake.loader.load([path, path], LoadOptions(RowMapping("time")))
        assert (dict(lake.s3.objects), set(lake.glue.partitions), lake.ledger.summary("events")) == once
        payloads = lake.payloads()
        assert payloads.total() == first.loaded
        assert payloads <= Counter(compact(line.encode()) for line in lines)
        lake.ledger.close()


@given(st.lists(ROWS, max_size=10), st.sampled_from([None, 1]), st.booleans())
@settings(deadline=None)
def test_lines_an_array_and_records_give_the_same_rows(
    rows: list[dict[str, Any]], indent: int | None, ascii_only: bool
) -> None:
    forms = {
        "lines.json": ("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows), None),
        "array.json": (json.dumps(rows, indent=indent, ensure_ascii=ascii_only), None),
        "records.json": (json.dumps({"x": [1], "Records": rows}, indent=indent, ensure_ascii=ascii_only), "Records"),
    }
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, (content, records) in forms.items():
            path = Path(folder) / name
            path.write_bytes(content.encode())
            read = list(read_rows(path, records=records))
            assert all(isinstance(row, SourceRow) for row in read), read
            found.append([json.loads(row.text) for row in read if isinstance(row, SourceRow)])
        assert found == [rows, rows, rows]
