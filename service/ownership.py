"""Which process drives which query, and whether that process still lives.

    owner      the name under which this process drives queries now; every step it stores carries it
    is_held    may I still drive under that name?       asked before each step
    is_gone    has the process of that name ended?      then its queries may be adopted

On one machine (LocalOwnership) each service process owns a lock file in `owners/` of the data directory, locked for as
long as it lives. A lock is gone with its process, however that ended (kill -9 included), so a successor knows at once
whose queries it may adopt. Between machines the same questions are answered with leases (service.leases).
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
        """The name under which this process drives queries. It gets a new one when others may take it for gone."""
        ...

    def start(self) -> None:
        """Makes the name known to others and keeps it so. Before it this process owns nothing."""
        ...

    def is_held(self, owner: str) -> bool:
        """True while nobody may take the process of that name, which is this one, for gone."""
        ...

    def is_gone(self, owner: str) -> bool:
        """True when the process of that name has ended, or will find that it is taken to have. It stays true."""
        ...

    def has_role(self, role: str) -> bool:
        """True when this process has the role, of which there is one holder; takes it when nobody living has it."""
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

    def start(self) -> None:
        """The lock is held since the object was made."""

    def is_held(self, owner: str) -> bool:
        return owner == self._owner and self._descriptor is not None

    def has_role(self, role: str) -> bool:  # noqa: ARG002 - one process serves a data directory: every role is its
        return self._descriptor is not None

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
