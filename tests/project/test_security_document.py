"""docs/security.md: each of its claims names tests, and these exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "security.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_test_it_names_exists() -> None:
    named = TEST.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(named) > 20
    missing = [
        f"{file}::{function}"
        for file, function in named
        if not (ROOT / file).is_file() or function not in functions_of(ROOT / file)
    ]
    assert missing == []


def test_every_threat_is_held_by_a_test() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    threats: list[str] = []
    is_in_table = False
    for line in lines:
        is_in_table = line.startswith("| threat") or (is_in_table and line.startswith("|"))
        if is_in_table and not line.startswith(("| threat", "|---")):
            threats.append(line)
    assert len(threats) > 15
    assert [line for line in threats if not TEST.search(line)] == []
