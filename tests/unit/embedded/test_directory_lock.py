from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedded.directory_lock import DirectoryInUse, DirectoryLock

HOLD = "import sys; from pathlib import Path; from embedded.directory_lock import DirectoryLock as L; l = L(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"  # noqa: E501 - one program


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path / "data")
    with pytest.raises(DirectoryInUse, match=f"process {os.getpid()}"):
        DirectoryLock(tmp_path / "data")
    first.release()
    first.release()
    DirectoryLock(tmp_path / "data").release()


def test_two_directories_are_two_locks(tmp_path: Path) -> None:
    locks = [DirectoryLock(tmp_path / name) for name in ("a", "b")]
    for lock in locks:
        lock.release()


def test_patience_outlasts_a_holder_that_is_about_to_go(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    threading.Timer(0.2, first.release).start()
    DirectoryLock(tmp_path, patience_seconds=30).release()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUse, match=f"process {process.pid}"):
            DirectoryLock(tmp_path)
        process.send_signal(signal.SIGKILL)
    DirectoryLock(tmp_path).release()
