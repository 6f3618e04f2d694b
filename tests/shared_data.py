"""Where the real data lies: ../shared/data beside the project, read in place, never copied (docs/decisions)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_data(name: str) -> Path:
    """The folder of one data set; skips the test, with the reason, where the data is absent."""
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(f"real data ../shared/data/{name} is not on this machine")
    return folder


def expected(name: str, file: str = "EXPECTED.json") -> Any:
    """The ground truth that comes with a data set, as parsed JSON."""
    return json.loads((shared_data(name) / file).read_text(encoding="utf-8"))
