"""Which process drives which query, and whether that process still lives.

Each service process owns a lock file in `owners/` of the data directory, locked for as long as it lives. A lock is gone
with its process, however that ended (kill -9 included), so a successor knows at once whose queries it may adopt. For
stores shared by machines the same questions are answered with leases (the DynamoDB store's business).
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4


class Ownership(Protocol):
    """See the module."""

    @property
    def owner(self) -> str:
        """This process's own name."""
        ...

    def is_gone(self, owner: str) -> bool:
        """True when the process of that name has ended."""
        ...

    def release(self) -> None:
        """Ends this process's ownership."""
        ...


class LocalOwnership:
    """Ownership by lock files in one folder, for processes that share it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._owner = uuid4().hex
        self._descriptor: int | None = os.open(folder / self._owner, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    @property
    def owner(self) -> str:
        return self._owner

    def is_gone(self, owner: str) -> bool:
        if owner == self._owner:
            return self._descriptor is None
        path = self._folder / owner
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            with suppress(FileNotFoundError):
                path.unlink()
            return True
        finally:
            os.close(descriptor)

    def release(self) -> None:
        if self._descriptor is None:
            return
        with suppress(FileNotFoundError):
            (self._folder / self._owner).unlink()
        os.close(self._descriptor)
        self._descriptor = None
