from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger

FOLDER = "s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A lake with minutes 0, 1, 2 and 5 of an hour, one of them not registered."""
    for minute in (0, 1, 2, 5):
        put(tmp_path, minute)
    assert run(["partitions", "register", "events", "--data-dir", str(tmp_path)]) == 0
    put(tmp_path, 7)
    return tmp_path


def put(data_dir: Path, minute: int) -> None:
    folder = data_dir / FOLDER / f"min={minute:02d}"
    folder.mkdir(parents=True)
    (folder / "1_0_00000000000000000000.gz").write_bytes(b"0123456789")


@pytest.fixture
def command(data_dir: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Any]:
    """Runs `data-hist partitions` on the lake; the document it prints."""
    capfdbinary.readouterr()

    def call(*arguments: str, status: int = 0) -> Any:
        given = ["partitions", *arguments, "--data-dir", str(data_dir)]
        assert run(given) == status
        assert capfdbinary.readouterr().err or arguments[0] in ("status", "explain")
        assert run([*given, "--json"]) == status
        return json.loads(capfdbinary.readouterr().out)

    return call


def test_status_gaps_and_late(command: Callable[..., Any]) -> None:
    status = command("status", "events", "--limit", "2")
    assert [partition["partition"][-2:] for partition in status["partitions"]] == ["05", "02"]
    assert status["freshness"]["complete_until"] == "2026-11-21T10:06:00.000Z"
    gaps = command("gaps", "events", "--from", "2026-11-21T10:01", "--to", "2026-11-21T10:30")
    assert gaps["missing_partitions"] == 2
    assert [(gap["first"][-2:], gap["last"][-2:]) for gap in gaps["gaps"]] == [("03", "04")]
    late = command("late", "events")
    assert sum(late["lateness"].values()) == 4


def test_verify_finds_and_repair_mends(command: Callable[..., Any], data_dir: Path) -> None:
    shutil.rmtree(data_dir / FOLDER / "min=00")
    for _ in range(2):
        found = command("verify", "events")
        assert (found["counts"]["missing"], found["counts"]["orphaned"], found["agrees"]) == (1, 1, False)
    inside = command("verify", "events", "--from", "2026-11-21T10:05", "--to", "2026-11-21T10:06")
    assert inside["agrees"]
    run(["partitions", "repair", "events", "--data-dir", str(data_dir)])
    assert command("repair", "events")["agrees"]
    assert command("verify", "events")["partitions"] == 4


def test_an_empty_folder_drops_nothing_and_says_so(command: Callable[..., Any], data_dir: Path) -> None:
    shutil.rmtree(data_dir / "s3/data-hist-lake/secor")
    assert len(command("repair", "events", status=3)["failed"]) == 4


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (["dt=2026-13-45/hr=10/min=05"], ["foreign"]),
        (["s3://data-hist-lake/secor/events/dt=2026-11-21/hr=24/min=00/a.gz"], ["foreign"]),
        (["dt=2026-11-21/hr=10/min=03"], ["gap"]),
        (["dt=2026-11-21/hr=10/min=07"], ["after_newest", "unregistered", "filter"]),
        (["dt=2026-11-21/hr=10/min=05"], ["filter"]),
        (["--from", "2026-11-22", "--to", "2026-11-21"], ["range_empty"]),
        (["--from", "2026-11-01", "--to", "2026-11-02"], ["before_first"]),
        (["--from", "9000-01-01", "--to", "9000-01-02"], ["future", "not_closed"]),
    ],
)
def test_an_empty_answer_is_explained(command: Callable[..., Any], arguments: list[str], codes: list[str]) -> None:
    assert [reason["code"] for reason in command("explain", "events", *arguments)["reasons"]] == codes


def test_a_table_without_data_says_so(command: Callable[..., Any]) -> None:
    reasons = command("explain", "metrics", "--from", "2026-11-21", "--to", "2026-11-22")["reasons"]
    assert reasons[0]["code"] == "no_data"


def test_inspect_reads_what_nobody_has_read(command: Callable[..., Any], data_dir: Path) -> None:
    row = json.dumps({"customerid": 1, "createdtimestamp": 1795255200000, "arrivaltimestamp": 1795255200007}).encode()
    for minute, content in ((0, (row + b"\n") * 3), (1, row + b"\nno json\n"), (2, row)):
        packed = gzip.compress(content) if minute < 2 else gzip.compress(content)[:-3]
        (data_dir / FOLDER / f"min={minute:02d}" / "1_0_00000000000000000000.gz").write_bytes(packed)
    command("repair", "events")
    found = command("inspect", "events", "--to", "2026-11-21T10:03")
    assert (found["known_count"], found["read_count"]) == (
        3,
        0,
    )  # the command ran twice, the second time there was nothing left
    assert found["failed_count"] == 0
    partitions = {p["partition"][-2:]: p for p in command("status", "events")["partitions"]}
    assert [partitions[minute].get("row_count") for minute in ("00", "01", "02", "05")] == [3, 1, None, None]
    assert [partitions[minute]["malformed_count"] for minute in ("00", "01")] == [0, 1]
    assert partitions["00"]["row_lateness"] == {"5_minutes": 3}
    assert command("offsets", "events")["unread_object_count"] == 3  # one breaks off, two are out of the range


def test_offsets_are_proven_by_names_and_counted_rows(command: Callable[..., Any], data_dir: Path) -> None:
    unread = command("offsets", "events")
    assert (unread["object_count"], unread["unread_object_count"], unread["fault_count"]) == (4, 4, 0)
    partition = PartitionSpec.parse("dt=2026-11-22/hr=10/min=00")
    rows = {100: 60, 160: 38, 200: 45, 240: 1}
    ledger = SqliteLedger(data_dir / "ledger.sqlite")
    ledger.record_objects(
        "events",
        [
            ObjectRecord(partition, f"1_7_{offset:020d}.gz", 10, datetime(2026, 11, 22, tzinfo=UTC), count)
            for offset, count in rows.items()
        ],
    )
    ledger.close()
    found = command("offsets", "events", "--limit", "1")
    assert (found["missing_count"], found["surplus_count"], found["fault_count"]) == (2, 5, 2)
    assert [each["kafka_partition"] for each in found["kafka_partitions"]] == [0, 7]
    assert found["faults"] == [
        {"generation": 1, "kafka_partition": 7, "offset": 160, "next_offset": 200, "message_count": 38,
         "missing_count": 2, "surplus_count": 0},
    ]  # fmt: skip
    # a range without objects: what never arrived may be why
    given = ["--from", "2026-11-21T10:03", "--to", "2026-11-21T10:05"]
    reasons = [reason["code"] for reason in command("explain", "events", *given)["reasons"]]
    assert reasons == ["gap", "missing_offsets"]


def test_complete_folders_are_marked(command: Callable[..., Any], data_dir: Path) -> None:
    found = command("mark-complete", "events", "--from", "2026-11-21T10:01", "--to", "2026-11-21T10:03")
    # it ran twice; a marker of the second in which an object came may be older than the object, and is written again
    assert found["written_count"] + found["kept_count"] == 3
    markers = sorted(path.relative_to(data_dir / FOLDER.rpartition("/")[0]) for path in data_dir.rglob("_SUCCESS"))
    assert [str(path) for path in markers] == ["_SUCCESS", "hr=10/min=01/_SUCCESS", "hr=10/min=02/_SUCCESS"]
    assert all(path.stat().st_size == 0 for path in data_dir.rglob("_SUCCESS"))
