"""Rows sorted into partitions while a file is read, in flat memory.

Lines are kept per partition; when they grow over a limit the largest partitions are appended, as gzip members, to a
file each in a folder of the spool's own. At the end every partition is one gzip object. The folder is removed with
the spool; one left behind by a process that was killed is removed by the next (a lock on it tells whether anybody
still uses it).
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from isal import igzip

from glue.partition_spec import PartitionScheme, PartitionSpec

BUFFER_BYTES = 64 * 1024 * 1024
_COMPRESSION_LEVEL = 2  # ISA-L: as small as level 3 and five times as fast


@dataclass
class SpooledPartition:
    """The rows of one partition: how many, from when to when (ms since 1970), and where they are."""

    partition: PartitionSpec
    row_count: int = 0
    minimum_createdtimestamp: int = 0
    maximum_createdtimestamp: int = 0
    lines: list[bytes] = field(default_factory=list)
    buffered_bytes: int = 0
    file: Path | None = None


class PartitionSpool:
    """A context manager; `add` lines, then `body` gives each partition's object. `folder` goes away with it."""

    folder: Path

    def __init__(self, parent: Path, scheme: PartitionScheme, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._parent, self._scheme, self._buffer_bytes = parent, scheme, buffer_bytes
        # All that lies in one minute of UTC lies in one folder; zones of old could be off by seconds.
        self._step_milliseconds = 60_000 if scheme.zone_name == "UTC" else 1000
        self._by_step: dict[int, SpooledPartition] = {}
        self._by_partition: dict[PartitionSpec, SpooledPartition] = {}
        self._buffered_bytes = 0

    def __enter__(self) -> PartitionSpool:
        self._parent.mkdir(parents=True, exist_ok=True)
        _sweep(self._parent)
        self.folder = Path(tempfile.mkdtemp(prefix="spool-", dir=self._parent))
        self._lock = (self.folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def add(self, created_milliseconds: int, line: bytes) -> None:
        """A record (a line with its newline) at its time."""
        step = created_milliseconds // self._step_milliseconds
        spooled = self._by_step.get(step)
        if spooled is None:
            spooled = self._by_step[step] = self._of(created_milliseconds)
        if spooled.row_count == 0:
            spooled.minimum_createdtimestamp = spooled.maximum_createdtimestamp = created_milliseconds
        elif created_milliseconds < spooled.minimum_createdtimestamp:
            spooled.minimum_createdtimestamp = created_milliseconds
        elif created_milliseconds > spooled.maximum_createdtimestamp:
            spooled.maximum_createdtimestamp = created_milliseconds
        spooled.row_count += 1
        spooled.lines.append(line)
        spooled.buffered_bytes += len(line)
        self._buffered_bytes += len(line)
        if self._buffered_bytes > self._buffer_bytes:
            self._spill()

    def partitions(self) -> list[SpooledPartition]:
        """The partitions in order of time."""
        return sorted(self._by_partition.values(), key=lambda spooled: spooled.partition.values())

    @contextmanager
    def body(self, spooled: SpooledPartition) -> Iterator[bytes | IO[bytes]]:
        """The partition's object: gzip, from memory or as an open file. Once for each partition."""
        if spooled.file is None:
            yield _compressed(spooled.lines)
            spooled.lines.clear()
            return
        self._append(spooled)
        with spooled.file.open("rb") as file:
            yield file
        spooled.file.unlink()

    def _of(self, created_milliseconds: int) -> SpooledPartition:
        partition = PartitionSpec.from_milliseconds(created_milliseconds, scheme=self._scheme)
        return self._by_partition.setdefault(partition, SpooledPartition(partition))

    def _spill(self) -> None:
        """Down to half the limit, the largest first:

        few appends, and rows in order of time fill their files in one go.
        """
        for spooled in sorted(self._by_partition.values(), key=lambda s: s.buffered_bytes, reverse=True):
            if self._buffered_bytes <= self._buffer_bytes // 2:
                return
            self._append(spooled)

    def _append(self, spooled: SpooledPartition) -> None:
        if not spooled.lines:
            return
        if spooled.file is None:
            spooled.file = self.folder / spooled.partition.path().replace("/", "_")
        with spooled.file.open("ab") as file:
            file.write(_compressed(spooled.lines))
        self._buffered_bytes -= spooled.buffered_bytes
        spooled.buffered_bytes = 0
        spooled.lines.clear()


def _compressed(lines: list[bytes]) -> bytes:
    return igzip.compress(b"".join(lines), _COMPRESSION_LEVEL, mtime=0)


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone."""
    for folder in parent.glob("spool-*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or just being made or removed by another
