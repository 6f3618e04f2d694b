from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.ownership import LocalOwnership

_PROCESS = """
import pathlib, sys
from service.ownership import LocalOwnership
ownership = LocalOwnership(pathlib.Path(sys.argv[1]))
print(ownership.owner, flush=True)
sys.stdin.read()
"""


def test_an_owner_is_gone_when_its_process_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    with process:
        assert process.stdout is not None
        other = process.stdout.readline().strip()
        mine = LocalOwnership(tmp_path)
        assert not mine.is_gone(other)
        process.kill()
        process.wait()
        assert mine.is_gone(other)
        assert mine.is_gone(other)
    assert not mine.is_gone(mine.owner)
    mine.release()


def test_releasing_ends_it_and_twice_is_once(tmp_path: Path) -> None:
    first, second = LocalOwnership(tmp_path), LocalOwnership(tmp_path)
    assert first.owner != second.owner
    assert not second.is_gone(first.owner)
    for _ in range(2):
        first.release()
        assert second.is_gone(first.owner)
        assert first.is_gone(first.owner)
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_never_was_is_gone(tmp_path: Path) -> None:
    ownership = LocalOwnership(tmp_path)
    assert ownership.is_gone("0" * 32)
    ownership.release()
