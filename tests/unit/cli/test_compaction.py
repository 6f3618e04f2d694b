from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from cli.compaction import WHY_LEFT_RAW
from cli.main import run
from glue.compaction import LeftRaw
from tests.contract.compaction_lake import body, row

FOLDER = "s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10"
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
Command = Callable[..., Any]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A lake of three minutes with four objects each, of which one has a malformed line."""
    for minute in range(3):
        for offset in range(4):
            put(tmp_path, minute, offset, row(minute), b"oops" if (minute, offset) == (1, 2) else row(offset))
    with time_machine.travel(NOW - timedelta(days=2)):
        assert run(["partitions", "register", "events", "--data-dir", str(tmp_path)]) == 0
    return tmp_path


def put(data_dir: Path, minute: int, offset: int, *rows: Any) -> None:
    folder = data_dir / FOLDER / f"min={minute:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"1_0_{offset:020d}.gz").write_bytes(body(*rows))


@pytest.fixture
def command(data_dir: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs a command on the lake some days from now: what it says, or with `--json` its document."""

    def call(*arguments: str, status: int = 0, days: float = 0) -> Any:
        capfdbinary.readouterr()
        with time_machine.travel(NOW + timedelta(days=days)):
            assert run([*arguments, "--data-dir", str(data_dir)]) == status
        out, err = capfdbinary.readouterr()
        return json.loads(out) if "--json" in arguments else out.decode() + err.decode()

    return call


def test_there_and_back_and_what_is_old(command: Command, data_dir: Path) -> None:
    assert "3 partitions would be compacted: 12 objects" in command("partitions", "compact", "events", "--dry-run")
    assert command("compactions", "list", "events", "--json")["compactions"] == []
    said = command("partitions", "compact", "events", "--workers", "1")
    assert "3 partitions compacted: 12 objects" in said
    assert "with 23 rows; 1 malformed line kept aside" in said
    assert "malformed: " in said
    assert "3 compacted before" in command("partitions", "compact", "events")
    listed = command("compactions", "list", "events", "--json")
    states = [(each["state"], each["rows"], each["malformed"]) for each in listed["compactions"]]
    assert states == [("live", 8, 0), ("live", 7, 1), ("live", 8, 0)]
    told = command("compactions", "list", "events", "--limit", "2")
    assert ("only the first 2" in told, told.count("live"), "kept" in told) == (True, 2, True)
    assert command("partitions", "verify", "events", "--json")["agrees"]

    assert "3 partitions would go back" in command("partitions", "compact", "events", "--undo", "--dry-run")
    assert "3 partitions have gone back" in command("partitions", "compact", "events", "--undo")
    assert command("partitions", "compact", "events", "--json")["compacted"] == 3

    young = command("partitions", "compact", "events", "--remove-old", "--json")
    assert (young["raw_objects"], young["waiting"]) == (0, 3)
    assert "12 raw objects" in command("partitions", "compact", "events", "--remove-old", days=2)
    assert list((data_dir / FOLDER).rglob("*.gz")) == []
    failed = command("partitions", "compact", "events", "--undo", "--json", status=3)["failed"]
    assert [each["reason"] for each in failed] == ["its raw objects were removed"] * 3
    assert command("partitions", "verify", "events", "--json")["agrees"]


def test_a_range_and_those_that_cannot_be(command: Command, data_dir: Path) -> None:
    path = data_dir / FOLDER / "min=02" / f"1_0_{3:020d}.gz"
    path.write_bytes(gzip.compress(b"{}" * 100)[:-9])
    report = command("partitions", "compact", "events", "--from", "2026-11-21T10:01", "--json", status=3)
    assert (report["compacted"], report["failed_count"], report["exit_code"]) == (1, 1, 3)
    assert "min=02" in command("partitions", "compact", "events", status=3)
    skipped = command("partitions", "compact", "events", "--older-than", "90d", "--from", "2026-11-21T10:02")
    assert "1 partition left raw: young (" in skipped


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--undo", "--remove-old"], "choose one"),
        (["--older-than", "soon"], "--older-than"),
        (["--grace", "1w"], "--grace"),
        (["--from", "yesterday"], "--from"),
        (["--target-mb", "0"], "target-mb"),
    ],
)
def test_what_cannot_be_meant_is_refused(command: Command, arguments: list[str], complaint: str) -> None:
    assert complaint in command("partitions", "compact", "events", *arguments, status=2)


def test_a_table_that_is_none_has_a_near_one(command: Command) -> None:
    assert "did you mean events?" in command("partitions", "compact", "evnts", status=2)
    assert "did you mean events?" in command("compactions", "list", "evnts", status=2)


def test_each_reason_to_leave_a_partition_raw_is_told_in_words() -> None:
    assert set(WHY_LEFT_RAW) == set(LeftRaw)
