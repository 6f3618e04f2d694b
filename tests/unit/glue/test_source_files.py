from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from glue import source_files
from glue.source_files import MISSING, RejectedRow, SourceFault, SourceRow, compact, find_field, read_rows


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def texts(path: Path, **options: str) -> list[str]:
    rows = list(read_rows(path, **options))  # type: ignore[arg-type]  # records only
    assert all(isinstance(row, SourceRow) for row in rows), rows
    return [row.text for row in rows if isinstance(row, SourceRow)]


NUMBERS = '{"a": 1.10, "b": 123456789012345678901234567890, "c": 1E5, "d": -0.0, "e" : "x : \\" , y"}'
COMPACT = '{"a":1.10,"b":123456789012345678901234567890,"c":1E5,"d":-0.0,"e":"x : \\" , y"}'


@pytest.mark.parametrize("name", ["x.ndjson", "x.json", "x.jsonl", "x.log", "x", "x.json.gz", "x.gz"])
def test_lines_of_json_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, f'\ufeff{NUMBERS}\n\n{{"z":1}}\r\n')
    assert texts(path) == [COMPACT, '{"z":1}']


@pytest.mark.parametrize(
    "document",
    [
        f"[{NUMBERS},\n{NUMBERS}]",
        f"[\n  {NUMBERS},\n  {NUMBERS}\n]\n",
        json.dumps({"k": [1, {"x": "y"}]}, indent=2) + "\n" + json.dumps({"k": 2}, indent=2),
        "[]",
        "[ ]",
    ],
)
@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_documents_are_read_through_a_window(
    tmp_path: Path, document: str, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "x.json", document)
    expected = texts(path)
    monkeypatch.setattr(source_files._DocumentReader, "_fill", _fill_in_portions(portion))
    assert texts(path) == expected
    if NUMBERS in document:
        assert expected == [COMPACT, COMPACT]


def _fill_in_portions(portion: int) -> object:
    original = source_files._DocumentReader._fill

    def fill(self: source_files._DocumentReader) -> bool:
        self._portion = min(self._portion, portion)
        return original(self)

    return fill


@pytest.mark.parametrize(
    "content",
    [
        '{"Records":[{"a": 1.10},{"b":2}],"other":{"Records":[1]}}',
        '{"x": [1,2], "Records":\n [{"a": 1.10},\n {"b":2}]}',
        json.dumps({"x": 1, "Records": [{"a": "@"}, {"b": 2}]}, indent=1).replace('"@"', "1.10"),
        '{"Records":[{"a":1.10}]}\n{"Records":[{"b":2}]}\n',
        '[{"Records":[{"a":1.10}]},{"Records":[{"b":2}]}]',
    ],
)
def test_records_of_documents(tmp_path: Path, content: str) -> None:
    assert texts(write(tmp_path, "x.json", content), records="Records") == ['{"a":1.10}', '{"b":2}']


def test_records_under_a_dotted_name(tmp_path: Path) -> None:
    nested = write(tmp_path, "n.json", '{"detail": {"items": [{"a":1}]}}')
    literal = write(tmp_path, "l.json", '{"detail.items": [{"a":1}]}')
    pretty = write(tmp_path, "p.json", '{\n"detail": {\n"items": [{"a":1}]}}')
    for path in (nested, literal, pretty):
        assert texts(path, records="detail.items") == ['{"a":1}']


def test_rows_that_are_no_objects_are_rejected_with_their_line(tmp_path: Path) -> None:
    lines = [
        '{"a":1}', "not json", "[1]", '"text"', "5", "null", '{"a":NaN}',
        '{"a":"\\ud800"}', '{"cut":', "{'a':1}", '{"b":2}',
    ]  # fmt: skip
    path = write(tmp_path, "x.ndjson", "\n".join(lines).encode() + b'\n{"a":"\xff"}\n')
    rows = list(read_rows(path))
    assert [row.line for row in rows if isinstance(row, SourceRow)] == [1, 11]
    rejected = [row for row in rows if isinstance(row, RejectedRow)]
    assert [row.line for row in rejected] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert rejected[1].reason == "a list, not a JSON object"
    assert rejected[0].raw == "not json"


def test_a_bad_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, "x.json", '{"cut":\n{"a":1}\n{"a":2}\n')))
    assert [type(row) for row in rows] == [RejectedRow, SourceRow, SourceRow]


def test_elements_that_are_no_objects(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, "x.json", '[{"a":1},\n5,\n{"a":"\\ud800"},\n{"a":2}]')))
    assert [(type(row), row.line) for row in rows] == [
        (SourceRow, 1), (RejectedRow, 2), (RejectedRow, 3), (SourceRow, 4),
    ]  # fmt: skip
    missing = list(read_rows(write(tmp_path, "y.json", '{"a":1}\n{"Records":5}\n'), records="Records"))
    assert [row.reason for row in missing if isinstance(row, RejectedRow)] == [
        "has no Records",
        "Records is a number, not a list",
    ]


@pytest.mark.parametrize(
    "content", ['[{"a":1},', '[{"a":1}', '[{"a":1} {"b":2}]', '{\n"a":1,\n', "[" * 5000, '[{"a":1}]]']
)
def test_a_broken_document_is_a_fault_with_its_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceFault, match="line"):
        list(read_rows(write(tmp_path, "x.json", content)))


def test_damaged_gzip_is_a_fault(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a":1}\n' * 50_000, 1)
    for name, content in (("cut", whole[:-20]), ("crc", whole[:-8] + b"12345678"), ("body", whole[:40] + b"\0" * 60)):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SourceFault, match="gzip"):
            list(read_rows(path))


def test_members_of_a_gzip_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n'))
    assert texts(path) == ['{"a":1}', '{"a":2}']


def test_other_encodings_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match="UTF-16"):
        list(read_rows(write(tmp_path, "x.json", '{"a":1}'.encode("utf-16"))))


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    for name in ("x.json", "x.csv", "x.gz", "x"):
        assert list(read_rows(write(tmp_path, name, ""))) == []


# CSV


def test_cells_become_numbers_strings_and_nulls(tmp_path: Path) -> None:
    content = "time,value,id,flag,note\n2014-02-14 14:30:00,0.1320,007,true,\n"
    content += '"a\nb",1e3,12345678901234567890123,"x,""y""",é\n'
    rows = list(read_rows(write(tmp_path, "x.csv", content)))
    assert [row.text for row in rows if isinstance(row, SourceRow)] == [
        '{"time":"2014-02-14 14:30:00","value":0.1320,"id":"007","flag":"true","note":null}',
        '{"time":"a\\nb","value":1e3,"id":12345678901234567890123,"flag":"x,\\"y\\"","note":"é"}',
    ]
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize(
    ("name", "separator"), [("x.csv", ","), ("x.csv", ";"), ("x.tsv", "\t"), ("x.csv.gz", "|"), ("x.txt", ",")]
)
def test_separators(tmp_path: Path, name: str, separator: str) -> None:
    content = f"\ufefftime{separator}value\r\n1{separator}2\r\n"
    assert texts(write(tmp_path, name, content)) == ['{"time":1,"value":2}']


def test_ragged_and_undecodable_rows_are_rejected(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, "x.csv", b"a,b\n1,2\n1\n\n1,2,3\n1,\xff\n3,4\n")))
    assert [(type(row), row.line) for row in rows] == [
        (SourceRow, 2), (RejectedRow, 3), (RejectedRow, 5), (RejectedRow, 6), (SourceRow, 7),
    ]  # fmt: skip


def test_names_of_columns_are_made_distinct(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "x.csv", "a,a,,a_2\n1,2,3,4\n")) == ['{"a":1,"a_2":2,"column_3":3,"a_2_2":4}']


# Parquet


@pytest.mark.parametrize("is_gzip", [False, True])
def test_parquet(tmp_path: Path, is_gzip: bool) -> None:
    moment = dt.datetime(2021, 7, 21, 6, 0, 0, 123456, tzinfo=dt.UTC)
    table = arrow.table(
        {
            "at": arrow.array([moment], arrow.timestamp("us", "UTC")),
            "ns": arrow.array([1_626_847_200_123_456_789], arrow.timestamp("ns")),
            "amount": arrow.array([Decimal("1.10")], arrow.decimal128(10, 2)),
            "big": arrow.array([2**64 - 1], arrow.uint64()),
            "nested": [{"x": [1, None], "at": dt.date(2021, 7, 21)}],
            "map": arrow.array([[("k", 1)]], arrow.map_(arrow.string(), arrow.int64())),
            "bytes": arrow.array([b"\xff\x00"]),
            "none": arrow.array([None], arrow.string()),
        }
    )
    path = tmp_path / "x.parquet"
    parquet.write_table(table, path)
    if is_gzip:
        path.write_bytes(gzip.compress(path.read_bytes()))
    (row,) = read_rows(path)
    assert isinstance(row, SourceRow)
    assert json.loads(row.text, parse_float=str) == {
        "at": "2021-07-21T06:00:00.123456Z",
        "ns": "2021-07-21T06:00:00.123456789",
        "amount": "1.10",
        "big": 2**64 - 1,
        "nested": {"x": [1, None], "at": "2021-07-21"},
        "map": {"k": 1},
        "bytes": "/wA=",
        "none": None,
    }


def test_parquet_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match="Parquet"):
        list(read_rows(write(tmp_path, "x.parquet", b"PAR1 and then nothing")))


# Fields and text


def test_fields_are_literal_first_then_a_path() -> None:
    row = {"id.orig_h": "literal", "id": {"orig_h": "nested", "resp.h": 1}, "a": {"b": {"c": None}}, "list": [1]}
    assert find_field(row, "id.orig_h") == "literal"
    assert find_field(row, "id.resp.h") == 1
    assert find_field(row, "a.b.c") is None
    assert find_field(row, "a.b.d") is MISSING
    assert find_field(row, "list.0") is MISSING
    assert find_field(row, "") is MISSING


def test_compact_takes_nothing_but_white_space() -> None:
    assert compact(b' { "a" : "b \\" c\\\\" , "d" :\t[ 1 , 2.50 ] }\r\n') == '{"a":"b \\" c\\\\","d":[1,2.50]}'
