"""The data version of a planned query: a text that changes whenever what the query would read has changed.

It is made of the files that the plan opens, in their order: where each lies, its size, its inode and the moment the
system last changed anything about it (ctime, which unlike mtime no copy can carry over), and of how the catalogue says
they are to be read. Two plans of one version read the same bytes in the same way.

A file that changed a moment ago has no version yet: the system's clock for files ticks in steps, so it could change
once more within the step and look the same (the rule is Git's for its index, "racy git"). Nor has a query that reads
the catalogue itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from embedded.athena_runner import PlannedQuery, PlannedView
from embedded.scan import PlannedScan

NONE = ""
STEP_NANOSECONDS = 100_000_000
"""More than the coarsest step of a file system's times on Linux (10 ms), with room for a clock that is set."""


def data_version(planned: PlannedQuery, now_nanoseconds: int) -> str:
    """The version, or NONE where there is none. `now_nanoseconds` since 1970, taken before the files are looked at."""
    if not _reads_files_only(planned):
        return NONE
    digest = hashlib.sha256()
    for scan in planned.scans:
        digest.update(repr((scan.table.database, scan.table.name, scan.table.declaration, len(scan.files))).encode())
        for facts in _facts(scan, now_nanoseconds - STEP_NANOSECONDS):
            if facts is None:
                return NONE
            digest.update(facts)
    return digest.hexdigest()


def _facts(scan: PlannedScan, settled_nanoseconds: int) -> Iterator[bytes | None]:
    """What tells each file from any other; None for one that is gone, or changed after `settled_nanoseconds`."""
    for found in scan.files:
        try:
            told = os.stat(found.file.path)  # noqa: PTH116 - a Path for each of 100,000 files costs more than the look
        except OSError:
            yield None
            return
        if told.st_ctime_ns > settled_nanoseconds:
            yield None
            return
        facts = (found.file.uri, found.values, told.st_size, told.st_ctime_ns, told.st_ino)
        yield repr(facts).encode("utf-8", "backslashreplace")


def _reads_files_only(planned: PlannedQuery) -> bool:
    for source in planned.sources.values():
        if isinstance(source, str):
            return False
        if isinstance(source, PlannedView) and not _reads_files_only(source.query):
            return False
    return True
