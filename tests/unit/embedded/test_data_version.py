from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embedded.data_version import NONE, STEP_NANOSECONDS, data_version
from embedded.lake_files import LakeFile
from embedded.scan import ScanFile

LATER = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "a.gz"
    made.write_bytes(b"12345")
    return made


def planned(*paths: Path, source: object = (), declaration: str = "d") -> Any:
    files = tuple(
        ScanFile(LakeFile(f"s3://lake/{path.name}", str(path), 5, datetime.now(UTC)), ("2026",)) for path in paths
    )
    table = SimpleNamespace(database="data_hist", name="events", declaration=declaration)
    return SimpleNamespace(sources={"scan_0": source}, scans=[SimpleNamespace(table=table, files=files)])


def version(plan: Any) -> str:
    return data_version(plan, time.time_ns() + LATER)


def test_it_changes_with_whatever_changes(path: Path, tmp_path: Path) -> None:
    first = version(planned(path))
    assert first == version(planned(path)) != NONE
    other = tmp_path / "b.gz"
    other.write_bytes(b"12345")
    seen = {first, version(planned(path, other)), version(planned(other)), version(planned())}
    seen.add(version(planned(path, declaration="e")))
    times = path.stat()
    time.sleep(2 * 10**-2)
    path.write_bytes(b"54321")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    seen.add(version(planned(path)))
    assert len(seen) == 6


def test_a_file_that_changed_a_moment_ago_has_none(path: Path) -> None:
    changed = path.stat().st_ctime_ns
    assert data_version(planned(path), changed + STEP_NANOSECONDS - 1) == NONE
    assert data_version(planned(path), changed + STEP_NANOSECONDS) != NONE
    assert data_version(planned(path), changed - LATER) == NONE  # a clock that was set back


def test_what_is_gone_or_no_file_has_none(path: Path) -> None:
    assert version(planned(path, source="SELECT * FROM (VALUES 1)")) == NONE
    path.unlink()
    assert version(planned(path)) == NONE
