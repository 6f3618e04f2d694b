from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from cli.main import run

FOLDER = "s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10/min=05"
DAYS = timedelta(days=1)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "1_0_00000000000000000000.gz").write_bytes(b"0123456789")
    assert run(["partitions", "register", "events", "--data-dir", str(tmp_path)]) == 0
    return tmp_path


@pytest.fixture
def call(data_dir: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Any]:
    """Runs `data-hist retention` some days from now; the document it prints. People are told something too."""

    def called(*arguments: str, days: float = 0, status: int = 0) -> Any:
        with time_machine.travel(datetime.now(UTC) + days * DAYS):
            capfdbinary.readouterr()
            given = ["retention", *arguments, "--data-dir", str(data_dir)]
            assert run([*given, "--json"]) == status
            document = json.loads(capfdbinary.readouterr().out)
            assert run(given) == status
            told = capfdbinary.readouterr()
            assert told.out or told.err
            return document

    return called


def test_lifecycle_rules_are_planned_and_put(call: Callable[..., Any]) -> None:
    (bucket,) = call("plan")["buckets"]
    assert {"data-hist.events", "data-hist.events.compacted"} <= set(bucket["added"])
    assert call("apply")["buckets"][0]["applied"] is True
    assert call("apply")["buckets"][0]["applied"] is False
    assert call("plan")["buckets"][0]["has_changes"] is False


def test_data_leaves_and_comes_back(call: Callable[..., Any], data_dir: Path) -> None:
    young = call("sweep", "events", "--apply", days=364)
    assert young["tables"][0]["dropped_partitions"] == 0
    told = call("sweep", "events", days=366)["tables"][0]
    assert (told["is_dry_run"], told["dropped_partitions"], told["archived_bytes"]) == (True, 1, 10)
    assert call("sweep", days=366, status=0)["tables"][0]["dropped_partitions"] == 1
    done = call("sweep", "events", "--apply", days=366)["tables"][0]
    assert done["days"] == [
        {
            "day": "dt=2026-11-21",
            "stage": "ARCHIVED",
            "partition_count": 1,
            "object_count": 1,
            "size_bytes": 10,
        }
    ]
    assert not (data_dir / FOLDER / "1_0_00000000000000000000.gz").exists()
    back = call("restore", "events", "--from", "2026-11-21", "--to", "2026-11-22", days=366)
    assert (back["object_count"], back["partition_count"], back["failed"]) == (1, 1, [])
    assert (data_dir / FOLDER / "1_0_00000000000000000000.gz").read_bytes() == b"0123456789"
    assert call("sweep", "events", days=367)["tables"][0]["dropped_partitions"] == 0
    assert call("sweep", "events", "--apply", days=366 + 2556)["tables"][0]["deleted_objects"] == 1
    assert not (data_dir / FOLDER).exists()


def test_what_cannot_be_meant(call: Callable[..., Any]) -> None:
    assert call("restore", "events", status=2)["error"]["detail"].startswith("say which time")
    assert call("sweep", "evnts", status=2)["error"]["suggestions"] == ["events"]
