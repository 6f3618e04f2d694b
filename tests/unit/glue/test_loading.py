from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue.layout import LakeKey
from glue.ledger import LedgerSummary
from glue.loading import FieldOrConstant, Loader, LoadOptions, LoadReport, RowMapping
from glue.registration import register_lake
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from tests.unit.glue.fakes import InMemoryGlue, InMemoryS3

EVENTS = load_table_specs()["events"]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BY_TIME = LoadOptions(RowMapping(time="time"))


class Lake:
    """A table with fakes around, and what a reader finds in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.glue, self.s3, self.ledger = InMemoryGlue(), InMemoryS3(), SqliteLedger(folder / "ledger.sqlite")
        self.now = NOW

    def load(self, *files: Path, options: LoadOptions = BY_TIME, **settings: Any) -> LoadReport:
        loader = Loader(
            self.glue, self.s3, self.ledger, EVENTS, lambda: self.now, self.folder / "work", self.folder / "rejects",
            sleep=lambda seconds: None, **settings,
        )  # fmt: skip
        return loader.load(files, options)

    def records(self) -> list[dict[str, Any]]:
        lines = [line for body in self.s3.objects.values() for line in gzip.decompress(body).splitlines()]
        return sorted((json.loads(line) for line in lines), key=lambda record: record["createdtimestamp"])

    def state(self) -> object:
        ledger = [
            (
                p.values,
                p.object_count,
                p.size_bytes,
                p.row_count,
                p.minimum_createdtimestamp,
                p.maximum_createdtimestamp,
            )
            for p in self.ledger.partitions("events")
        ]
        return self.s3.objects, set(self.glue.partitions), ledger, self.ledger.summary("events")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def ndjson(path: Path, count: int = 10, *, step: timedelta = timedelta(seconds=20)) -> Path:
    start = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    rows = ({"time": (start + n * step).isoformat(), "n": n, "who": f"svc{n % 2}", "amount": 1.5} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_row_becomes_a_record_in_the_folder_of_its_own_time(lake: Lake, tmp_path: Path) -> None:
    report = lake.load(ndjson(tmp_path / "x.ndjson")).to_json()
    assert (report["rows"], report["loaded"], report["rejected"], report["partitions"], report["objects"]) == (
        10,
        10,
        0,
        4,
        4,
    )
    records = lake.records()
    assert records[0] == {
        "resourceid": "", "customerid": 1, "operationid": "", "servicename": "unknown",
        "createdtimestamp": 1_763_683_140_000 + 365 * 86_400_000, "datatags": {},
        "arrivaltimestamp": round(NOW.timestamp() * 1000), "service": "unknown",
        "data": '{"time":"2026-11-20T23:59:00+00:00","n":0,"who":"svc0","amount":1.5}',
    }  # fmt: skip
    for _, key in lake.s3.objects:
        parsed = EVENTS.layout.parse(key)
        assert isinstance(parsed, LakeKey)
        assert parsed.batch is not None
        for line in gzip.decompress(lake.s3.objects["data-hist-lake", key]).splitlines():
            created = json.loads(line)["createdtimestamp"] / 1000
            assert parsed.partition.start().timestamp() <= created < parsed.partition.end().timestamp()
    assert ("events", "2026-11-20", "23", "59") in lake.glue.partitions
    assert [p.row_count for p in lake.ledger.partitions("events")] == [3, 3, 3, 1]


def test_loading_twice_adds_nothing_whatever_the_path(lake: Lake, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson")
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "y.json"
    copy.write_bytes(path.read_bytes())
    lake.load(path)
    once = lake.state()
    lake.now += timedelta(hours=1)
    again = lake.load(path, copy, path)
    assert lake.state() == once
    assert [file.status for file in again.files] == ["already_loaded"] * 3
    assert (again.loaded_count, again.to_json()["already_loaded"], again.to_json()["rows"]) == (0, 3, 0)


@pytest.mark.parametrize("is_gzip", [False, True])
def test_a_file_that_grew_loads_what_was_added(lake: Lake, tmp_path: Path, is_gzip: bool) -> None:
    rows = [f'{{"time":{n},"n":{n}}}\n'.encode() for n in range(1, 100)]
    rows[3], rows[50] = b"broken\n", b"\n"
    path = tmp_path / "log"
    for count, known in ((10, 0), (10, None), (60, 10), (99, 59), (99, None)):
        pieces = [b"".join(rows[:10]), b"".join(rows[10:60]), b"".join(rows[60:])]
        content = [piece for piece, end in zip(pieces, (10, 60, 99), strict=True) if end <= count]
        path.write_bytes(b"".join(gzip.compress(piece) if is_gzip else piece for piece in content))
        report = lake.load(path).files[0]
        if known is None:
            assert report.status == "already_loaded"
        else:
            assert (report.status, report.known_rows, report.known_rows + report.rows) == (
                "loaded",
                known,
                count - (count > 50),
            )
    numbers = sorted(json.loads(record["data"])["n"] for record in lake.records())
    assert numbers == [n for n in range(1, 100) if n not in (4, 51)]


def test_a_csv_that_grew_keeps_its_header(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,n\n1,1\n2,2\n")
    lake.load(path)
    path.write_text("time,n\n1,1\n2,2\n3,3\n")
    assert lake.load(path).loaded_count == 1
    path.write_text("time,n\n1,1\n2,2\n3,30\n")  # not grown: another file
    assert lake.load(path).files[0].known_rows == 2
    assert [record["data"] for record in lake.records()] == [
        '{"time":1,"n":1}', '{"time":2,"n":2}', '{"time":3,"n":3}', '{"time":3,"n":30}',
    ]  # fmt: skip


def test_a_file_loaded_with_half_a_line_at_its_end_is_refused_when_it_grew(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,n\n1,1\n2,2")
    lake.load(path)
    path.write_text("time,n\n1,1\n2,22\n")
    report = lake.load(path).files[0]
    assert (report.status, report.reason is not None and "not complete" in report.reason) == ("failed", True)
    path.write_text("time,n\n1,1\n2,2\n3,3\n")
    assert lake.load(path).loaded_count == 1


def test_another_mapping_is_another_load(lake: Lake, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson")
    for customer in ("=11000", "=11001"):
        lake.load(path, options=LoadOptions(RowMapping("time", customer=FieldOrConstant.parse(customer))))
    assert sorted({record["customerid"] for record in lake.records()}) == [11000, 11001]
    assert len(lake.records()) == 20


def test_mapping_of_service_customer_and_tags(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    rows = [
        {"time": 1, "from": {"name": "a"}, "c": 11000, "x.y": True, "z": 1.5, "o": {"k": [1]}},
        {"time": 2, "from": {"name": 7}, "c": "11001", "z": None},
        {"time": 3},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    service, customer = FieldOrConstant.parse("from.name"), FieldOrConstant.parse("c")
    lake.load(path, options=LoadOptions(RowMapping("time", service, customer, ("x.y", "z", "o"))))
    found = [(r["servicename"], r["service"], r["customerid"], r["datatags"]) for r in lake.records()]
    assert found == [
        ("a", "a", 11000, {"x.y": "true", "z": "1.5", "o": '{"k":[1]}'}),
        ("7", "7", 11001, {}),
        ("unknown", "unknown", 1, {}),
    ]


def test_rows_that_cannot_be_used_are_counted_shown_and_kept(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text('{"time":1}\n{"time":"soon"}\n{}\n[]\n{"time":2,"c":"acme"}\n<line>\n{"time":3}\n')
    options = LoadOptions(RowMapping("time", customer=FieldOrConstant.parse("c")))
    report = lake.load(path, options=options).files[0]
    assert (report.rows, report.loaded, report.rejected) == (7, 2, 5)
    assert [(sample["line"], sample["reason"]) for sample in report.rejected_samples] == [
        (2, "time: 'soon' is neither ISO 8601 nor an epoch"),
        (3, "has no field time"),
        (4, "a list, not a JSON object"),
        (5, "customer: 'acme' is not a whole number"),
        (6, "not JSON: unexpected character, expected a JSON value"),
    ]
    assert report.rejects_file is not None
    kept = [json.loads(line) for line in Path(report.rejects_file).read_text().splitlines()]
    assert [entry["row"] for entry in kept] == ['{"time":"soon"}', "{}", "[]", '{"time":2,"c":"acme"}', "<line>"]
    again = lake.load(path, options=options)
    assert (again.rejected_count, len(list((tmp_path / "rejects").iterdir()))) == (5, 1)


def test_samples_are_limited_the_file_is_not(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text("{}\n" * 1000 + '{"time":1}\n')
    report = lake.load(path).files[0]
    assert (report.rejected, len(report.rejected_samples)) == (1000, 20)
    assert report.rejects_file is not None
    assert len(Path(report.rejects_file).read_text().splitlines()) == 1000


def test_a_file_that_breaks_off_is_not_loaded_and_keeps_no_other(lake: Lake, tmp_path: Path) -> None:
    good, cut = ndjson(tmp_path / "good.ndjson"), tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(good.read_bytes() * 1000)[:-50])
    report = lake.load(cut, tmp_path / "absent", tmp_path, good)
    assert [file.status for file in report.files] == ["failed", "failed", "failed", "loaded"]
    assert "gzip" in (report.files[0].reason or "")
    assert (report.files[1].reason, report.files[2].reason) == ("no such file", "is a folder")
    assert len(lake.records()) == 10
    salvaged = lake.load(cut, options=LoadOptions(RowMapping("time"), salvage=True)).files[0]
    assert (salvaged.status, salvaged.rejected) == ("loaded", 1)
    assert 0 < salvaged.loaded < 10_000


def test_memory_is_bounded_by_spilling_and_the_result_is_the_same(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson", 2000, step=timedelta(seconds=7))
    states = []
    for name, buffer_bytes in (("roomy", 10**9), ("tight", 5000)):
        (tmp_path / name).mkdir()
        lake = Lake(tmp_path / name)
        assert lake.load(path, buffer_bytes=buffer_bytes).loaded_count == 2000
        assert list((tmp_path / name / "work").iterdir()) == []
        states.append((lake.records(), set(lake.s3.objects), lake.ledger.summary("events").object_count))
    assert states[0] == states[1]


class Killed(BaseException):
    """The process is gone: nothing that catches errors may catch this."""


def test_killed_between_any_two_steps_nothing_is_lost_nothing_doubled(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson")
    (tmp_path / "whole").mkdir()
    whole = Lake(tmp_path / "whole")
    whole.load(path)
    for step in range(20):
        folder = tmp_path / str(step)
        folder.mkdir()
        lake = Lake(folder)
        countdown = [step]
        for target, names in (
            (lake.s3, ["put_object"]),
            (lake.glue, ["batch_create_partition"]),
            (lake.ledger, ["begin_load", "finish_load"]),
        ):
            for name in names:
                setattr(target, name, _killing(getattr(target, name), countdown))
        try:
            lake.load(path)
            survived = True
        except Killed:
            survived = False
        if step:  # before its first step a load has no time of its own yet
            lake.now += timedelta(minutes=5)
        countdown[0] = 10**9
        register_lake(lake.glue, lake.s3, lake.ledger, EVENTS)  # somebody registers what lies there in between
        assert lake.load(path).failed_files == []
        assert lake.state() == whole.state()
        if survived:
            assert step > 8
            return
    raise AssertionError("the load has more steps than the test walks through")


def _killing(method: Callable[..., Any], countdown: list[int]) -> Callable[..., Any]:
    """The method, killed before or after its work when the countdown is at its end."""

    def call(*arguments: Any, **named: Any) -> Any:
        for moment in ("before", "after"):
            if countdown[0] == 0:
                raise Killed
            countdown[0] -= 1
            if moment == "before":
                answer = method(*arguments, **named)
        return answer

    return call


def test_partitions_the_catalogue_refuses_fail_the_file_until_they_are_taken(lake: Lake, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson")
    lake.glue.failures = {("2026-11-20", "23", "59"): ["InvalidInputException"]}
    report = lake.load(path).files[0]
    assert (report.status, report.loaded) == ("failed", 0)
    assert "dt=2026-11-20/hr=23/min=59" in (report.reason or "")
    assert lake.ledger.summary("events") == LedgerSummary(0, 0, 0)
    assert lake.load(path).loaded_count == 10
    assert len(lake.records()) == 10


def test_a_file_without_usable_rows_can_be_loaded_again_with_better_options(lake: Lake, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson")
    wrong = lake.load(path, options=LoadOptions(RowMapping("when")))
    assert wrong.files[0].rejected_samples[0]["reason"] == "has no field when (it has time, n, who, amount)"
    assert (wrong.loaded_count, wrong.rejected_count) == (0, 10)
    assert lake.load(path).loaded_count == 10


@pytest.mark.parametrize("text", ["", "="])
def test_a_mapping_that_says_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        FieldOrConstant.parse(text)


def test_a_constant_customer_is_checked_at_once() -> None:
    with pytest.raises(ValueError, match="'acme' is not a whole number"):
        RowMapping("time", customer=FieldOrConstant.parse("=acme"))
