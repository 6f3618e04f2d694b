"""docs/benchmarks.md names every benchmark there is, and none that is not; each can be found by its name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from bench.__main__ import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_names_the_benchmarks() -> None:
    measured = (ROOT / "docs/benchmarks.md").read_text().partition("## What is measured")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", measured, re.MULTILINE) == list(BENCHMARKS)


def test_each_name_has_a_module() -> None:
    for place in BENCHMARKS.values():
        assert importlib.util.find_spec(place.partition(":")[0]) is not None
