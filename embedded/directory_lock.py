"""One embedded Athena per data directory: whoever opens one holds the directory's lock for as long as it lives.

An embedded Athena fails what it finds unfinished at its start, since whoever ran that must be gone. With two of them on
one directory each would end the other's queries; so the second is refused, with a sentence. Loading, registering and
keys need no Athena and work beside a running one. The lock is flock's: it ends with its process, however that ended
(kill -9 included), and the file says nothing but the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

LOCK_NAME = "athena.lock"
_RETRY_SECONDS = 0.1


class DirectoryInUse(Exception):
    """Another process serves this data directory."""

    def __init__(self, directory: Path, process: str) -> None:
        holder = f"process {process}" if process else "another process"
        super().__init__(
            f"the data directory {directory} is served by {holder} already (data-hist serve or data-hist aws)."
            " Stop that one, or give this one a directory of its own with --data-dir"
        )


class DirectoryLock:
    """The lock of one data directory, held from construction until `release`. A forked child holds it too."""

    def __init__(self, directory: Path, *, patience_seconds: float = 0) -> None:
        """Raises DirectoryInUse when it is still held after `patience_seconds`. The directory is made when absent."""
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience_seconds
        while not _is_taken(self._descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
                self.release()
                raise DirectoryInUse(directory, holder)
            time.sleep(_RETRY_SECONDS)
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets go of the directory. Twice is once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_taken(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
