"""The journal of a long run: what is finished is written down, so that a run that was killed goes on where it was.

    {"run": {...what was asked for...}, "started_at": "2026-11-22T10:00:00+00:00"}
    {"part": "2026-11-20..2026-11-20", "outcome": {...}}
    ...

One line of JSON per finished part, on disk before the next begins. A line that was being written when the process died
is cut off, and its part is done again. The journal of another run, or of one begun too long ago, is thrown away; so is
a finished one. One process at a time has a journal open.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

# After this the lake is no longer what the finished parts saw.
VALID_FOR = timedelta(hours=12)


class JournalInUse(Exception):
    """Another process is at the same run."""


class RunJournal:
    """See the module. `finished` are the outcomes of parts that an earlier, killed run has done."""

    finished: Mapping[str, Mapping[str, Any]]

    def __init__(self, path: Path, run: Mapping[str, Any], *, now: datetime) -> None:
        """Opens the journal at this path for a run that `run` describes (JSON values). Raises JournalInUse."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise JournalInUse(f"another process writes {path}") from None
        self._file.seek(0)
        found = _finished_parts(self._file.read(), dict(run), now)
        if found is None:
            self._file.truncate(0)
            self._write(b"", {"run": dict(run), "started_at": now.isoformat()})
        self.finished = found or {}

    def finish_part(self, part: str, outcome: Mapping[str, Any]) -> None:
        """Writes down that a part is finished; it is on disk afterwards."""
        self._write(b"\n", {"part": part, "outcome": dict(outcome)})

    def end(self) -> None:
        """The run is finished: the next one begins anew."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def close(self) -> None:
        """Leaves the journal for the next run; nothing after `end`."""
        self._file.close()

    def _write(self, separator: bytes, line: Mapping[str, Any]) -> None:
        with self._lock:
            self._file.write(separator + orjson.dumps(line))  # the separator in front ends a line that was cut off
            self._file.flush()
            os.fsync(self._file.fileno())


def _finished_parts(text: bytes, run: dict[str, Any], now: datetime) -> dict[str, Mapping[str, Any]] | None:
    """The finished parts of this very run; None where there is none to go on with."""
    documents = []
    for line in text.splitlines():
        try:
            documents.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    if not documents or documents[0].get("run") != run:
        return None
    if not timedelta(0) <= now - datetime.fromisoformat(documents[0]["started_at"]) <= VALID_FOR:
        return None
    return {document["part"]: document["outcome"] for document in documents if "part" in document}
