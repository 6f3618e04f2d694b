"""docs/value-encoding.md is the rule; every row of its table is a test."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from service.encoding import base_type, iso_timestamp_with_zone, safe_json, unique_names
from service.model import OutputColumn
from service.result_csv import read_batches
from service.transcoding import Transcoder
from tests.fakes.aws import athena_csv

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "value-encoding.md"
ROW = re.compile(r"\| `(?P<type>[^`]+)`(?P<json> as JSON)? \| `(?P<text>[^`]+)` \| `(?P<value>.+)` \| (?P<arrow>.+) \|")


def documented() -> list[Any]:
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [ROW.fullmatch(line) for line in lines]
    assert all(rows)
    assert len(rows) > 40
    return [pytest.param(*row.groups(), id=f"{row['type']}: {row['text']}") for row in rows if row is not None]


def transcoded(column: OutputColumn, texts: list[str | None], *, is_json: bool = False) -> tuple[bytes, pa.Table]:
    data = athena_csv([column.name], [[text] for text in texts])
    (batch,) = read_batches(lambda: io.BytesIO(data), 1)
    transcoder = Transcoder([column], frozenset({0} if is_json else ()))
    rows = b"".join(bytes(piece) for piece, _ in transcoder.json_rows(batch))
    typed = transcoder.typed(batch)
    transcoder.close()
    return rows, typed


@pytest.mark.parametrize(("type_text", "as_json", "text", "value", "arrow_type"), documented())
def test_the_documented_encoding(type_text: str, as_json: str | None, text: str, value: str, arrow_type: str) -> None:
    rows, typed = transcoded(OutputColumn("v", type_text), [text, None, text], is_json=as_json is not None)
    assert rows.decode() == f'{{"v":{value}}},\n{{"v":null}},\n{{"v":{value}}},\n'
    json.loads("[" + rows.decode().rstrip(",\n") + "]", parse_constant=pytest.fail)
    assert str(typed.schema.field("v").type).replace("Etc/UTC", "UTC") == arrow_type
    assert typed.column("v").null_count == 1


@pytest.mark.parametrize(
    "type_text", ["varchar", "bigint", "double", "boolean", "timestamp(3)", "json", "unknown", "no such type"]
)
def test_empty_text_is_never_null_and_never_breaks_a_page(type_text: str) -> None:
    data = athena_csv(["v"], [[""], [None]])
    (batch,) = read_batches(lambda: io.BytesIO(data), 1)
    transcoder = Transcoder([OutputColumn("v", type_text)])
    rows = b"".join(bytes(piece) for piece, _ in transcoder.json_rows(batch))
    transcoder.close()
    assert rows == b'{"v":""},\n{"v":null},\n'


@pytest.mark.parametrize("text", ["+1", "007", "1.", ".5", "0x1F", "1e400x", " 1", "1 ", "--1", "\u0661"])
@pytest.mark.parametrize("type_text", ["bigint", "double"])
def test_text_that_is_no_json_number_is_a_string(type_text: str, text: str) -> None:
    data = athena_csv(["v"], [[text]])
    (batch,) = read_batches(lambda: io.BytesIO(data), 1)
    transcoder = Transcoder([OutputColumn("v", type_text)])
    rows = b"".join(bytes(piece) for piece, _ in transcoder.json_rows(batch))
    transcoder.close()
    assert json.loads(rows.decode().rstrip(",\n")) == {"v": text}


def test_json_over_several_lines_stays_on_one() -> None:
    rows, _ = transcoded(OutputColumn("v", "json"), ['{\n "a": 1,\r\n "b": "x\\ny"\n}'])
    assert rows.count(b"\n") == 1
    assert json.loads(rows.decode().rstrip(",\n")) == {"v": {"a": 1, "b": "x\ny"}}


def test_values_of_a_megabyte_and_odd_names_are_kept() -> None:
    name = "a\"b\\c'd\n\0é"
    value = 'x\n"\\\0' * 250_000
    rows, typed = transcoded(OutputColumn(name, "varchar"), [value])
    assert json.loads(rows.decode().rstrip(",\n")) == {name: value}
    assert typed.column(0).to_pylist() == [value]


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["a_2", "a", "a"], ["a_2", "a", "a_3"]),
        (["a", "a", "a_2", "a_2"], ["a", "a_3", "a_2", "a_2_2"]),
        (["", ""], ["", "_2"]),
    ],
)
def test_duplicate_names_are_told_apart(names: list[str], unique: list[str]) -> None:
    assert list(unique_names(names)) == unique


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("BIGINT", "bigint"),
        ("decimal(10,2)", "decimal"),
        ("timestamp(3) with time zone", "timestamp with time zone"),
        ("timestamp with time zone", "timestamp with time zone"),
        ("map(varchar(5), array(row(a bigint)))", "map"),
    ],
)
def test_base_type(text: str, base: str) -> None:
    assert base_type(text) == base


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-10-25 02:30:00.000 Europe/Berlin", "2026-10-25T02:30:00.000+02:00"),
        ("2026-11-22 10:00:00.000 America/Argentina/Buenos_Aires", "2026-11-22T10:00:00.000-03:00"),
        ("2026-11-22 10:00:00.000 Etc/GMT+5", "2026-11-22T10:00:00.000-05:00"),
        ("2026-11-22 10:00:00.000 Z", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22 10:00:00.000 Africa/Abidjan", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22 10:00:00.000 Nowhere/Land", "2026-11-22T10:00:00.000 Nowhere/Land"),
    ],
)
def test_zones_become_offsets(text: str, iso: str) -> None:
    assert iso_timestamp_with_zone(text) == iso


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ('{"a":1.10,"a":2}', '{"a":1.10,"a":2}'),
        ('"12345678901234567890"', '"12345678901234567890"'),
        ('{"12345678901234567890":1}', '{"12345678901234567890":1}'),
        ("[0.12345678901234567890]", '["0.12345678901234567890"]'),
        ("[0.1234567890123456]", "[0.1234567890123456]"),
        ("[1,]", '"[1,]"'),
        ("[Infinity]", '["Infinity"]'),
        ('"NaN \\" , ]"', '"NaN \\" , ]"'),
        ("{", '"{"'),
    ],
)
def test_json_keeps_its_spelling_where_a_double_can_hold_it(text: str, safe: str) -> None:
    assert safe_json(text) == safe
