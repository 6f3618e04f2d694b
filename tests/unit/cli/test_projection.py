from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run

FOLDER = "s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10/min=05"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "1_0_00000000000000000000.gz").write_bytes(b"0123456789")
    assert run(["partitions", "register", "events", "--data-dir", str(tmp_path)]) == 0
    return tmp_path


def test_shown_applied_and_removed(data_dir: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    def call(*options: str) -> Any:
        capfdbinary.readouterr()
        assert run(["tables", "projection", "events", "--data-dir", str(data_dir), "--json", *options]) == 0
        return json.loads(capfdbinary.readouterr().out)

    shown = call()
    assert shown["current"] == {"is_on": False, "has_changed": False, "problems": []}
    assert shown["properties"]["projection.dt.range"] == "2026-11-21,NOW"
    assert shown["advice"]["choice"] == "glue"
    assert [call("--apply")["current"] for _ in range(2)] == [
        {"is_on": True, "has_changed": has_changed, "problems": []} for has_changed in (True, False)
    ]
    assert call("--first", "2026-01-01", "--apply")["properties"]["projection.dt.range"] == "2026-01-01,NOW"
    assert [call("--remove")["current"]["has_changed"] for _ in range(2)] == [True, False]
    assert call()["current"]["is_on"] is False


def test_for_people(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["tables", "projection", "events", "--data-dir", str(data_dir)]) == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[0] == "projection.enabled = true"
    assert "projection of events is off in the catalogue" in told.err
    assert "advice: glue: 1 partitions are quickly planned" in told.err


@pytest.mark.parametrize("options", [["--apply", "--remove"], ["--first", "yesterday"]])
def test_what_cannot_be_meant(data_dir: Path, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["tables", "projection", "events", "--data-dir", str(data_dir), *options]) == 2
    assert capfd.readouterr().err
