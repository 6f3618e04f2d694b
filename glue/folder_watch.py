"""The lake folder of a data directory, watched: an object that anybody copies into it becomes queryable by itself.

    folder changes (inotify, or polling) -> folders that may have changed -> FolderReconciler -> PartitionTracker

For `data-hist serve`. It works on levels, not on edges: an event only says where to look, and what is found on disk is
compared with the ledger. So lost, doubled and reordered events do no harm, a file that still grows is recorded again
when its size changes, renames and deletions are differences like any other, and what happened while nobody watched is
found by the same comparison at start (newest days first, a bounded number of them).

The ledger is always read before the disk: whoever writes an object puts the file first and records it afterwards, so
that what the ledger knows and the disk has not is truly gone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from glue.layout import LakeKey
from glue.ledger import KnownObject, ObjectRecord, ObjectRemoval
from glue.object_changes import ObjectChange
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.table_spec import TableSpec
from glue.tracker import PartitionTracker, TrackingReport

WatchMode = Literal["auto", "poll", "off"]

_CHANGES_PER_APPLY = 5_000
_MAXIMUM_SEEN_FOREIGN = 10_000
_TAG_KIND = "modified:"
# inotify: changes are gathered until none came for a step, at most for the debounce; the timeout is how soon the
# thread notices that it shall stop, and how often folders whose changes failed are tried again.
_DEBOUNCE_MILLISECONDS = 1_000
_STEP_MILLISECONDS = 100
_TIMEOUT_MILLISECONDS = 500
# polling: a file grows without changing its folder, so folders that changed are looked at again for a while
_GROWING_SECONDS = 60.0
_LARGEST_SHARE_OF_TIME = 0.1
_LOG = logging.getLogger(__name__)


class WatchLedger(Protocol):
    """What is needed of the ledger (glue.ledger.PartitionLedger)."""

    def record_objects(self, table: str, objects: Iterable[ObjectRecord]) -> int: ...
    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int: ...
    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """The recorded objects of a range."""
        ...

    def days(self, table: str) -> list[str]:
        """The first values (days) of the recorded partitions."""
        ...


@dataclass(frozen=True, order=True)
class LakeFolder:
    """A folder of a table, by the names below the table's own folder; () is the table's folder."""

    table: str
    names: tuple[str, ...]


class FolderReconciler:
    """Compares folders of the lake with the ledger, and has the tracker mend the differences."""

    def __init__(self, root: Path, specs: Iterable[TableSpec], tracker: PartitionTracker, ledger: WatchLedger) -> None:
        """`root` holds a folder per bucket. Tables whose objects lie scattered (hash folders, an alternative prefix)
        are left out: they have no folder of their own.
        """
        self._tracker = tracker
        self._ledger = ledger
        self._tables = {
            spec.reference: (spec, root / spec.bucket / spec.layout.topic_prefix(spec.topic).rstrip("/"))
            for spec in specs
            if not spec.layout.has_md5_prefix and spec.layout.alternative is None
        }
        self._seen_foreign: set[str] = set()

    @property
    def bucket_folders(self) -> list[Path]:
        """The folders of the buckets the tables lie in."""
        buckets = {}
        for spec, folder in self._tables.values():
            prefix = spec.layout.topic_prefix(spec.topic).rstrip("/")
            buckets[spec.bucket] = folder.parents[prefix.count("/")]
        return list(buckets.values())

    def folders_of(self, path: str) -> list[LakeFolder]:
        """The folders to look at when something happened at this path: its partition's, or the whole one it names."""
        found = []
        for name, (spec, folder) in self._tables.items():
            text = str(folder)
            if path.startswith(text + "/"):
                names = tuple(path[len(text) + 1 :].split("/"))
                if not any(part.startswith(".") for part in names):
                    found.append(LakeFolder(name, names[: len(spec.layout.scheme.folders)]))
            elif path == text or text.startswith(path + "/"):
                found.append(LakeFolder(name, ()))
        return found

    def partition_folders(self) -> Iterator[tuple[LakeFolder, int]]:
        """Every folder as deep as partitions lie, with its modification time (ns): changed when names came or went."""
        for name, (spec, folder) in self._tables.items():
            yield from _deep_folders(LakeFolder(name, ()), folder, len(spec.layout.scheme.folders))

    def days(self, maximum: int | None) -> list[LakeFolder]:
        """The topmost partition folders of each table, on disk or in the ledger, newest first, at most so many each."""
        found: list[LakeFolder] = []
        for name, (spec, folder) in self._tables.items():
            prefix = spec.layout.scheme.folders[0].prefix
            names = {prefix + day for day in self._ledger.days(name)}
            names |= {entry.name for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)}
            found += [LakeFolder(name, (day,)) for day in sorted(names, reverse=True)[:maximum] if day[:1] != "."]
        return found

    def reconcile(self, folders: Iterable[LakeFolder]) -> tuple[TrackingReport, set[LakeFolder]]:
        """Catalogue and ledger hold what lies in these folders afterwards; also the folders where that failed."""
        report = TrackingReport()
        failed: set[LakeFolder] = set()
        changes = ((folder, change) for folder in folders for change in self._differences(folder))
        while portion := list(islice(changes, _CHANGES_PER_APPLY)):
            outcome = self._tracker.apply(change for _, change in portion)
            report.add(outcome)
            unlucky = {failure.change for failure in outcome.failed}
            failed |= {folder for folder, change in portion if change in unlucky}
        return report, failed

    def _differences(self, folder: LakeFolder) -> Iterator[ObjectChange]:
        spec, table_folder = self._tables[folder.table]
        key_folder = spec.layout.topic_prefix(spec.topic) + "".join(f"{name}/" for name in folder.names)
        known = {known.key: known for known in self._known(spec, folder.names) if known.key.startswith(key_folder)}
        for key, size_bytes, arrival, tag in _files(table_folder.joinpath(*folder.names), key_folder):
            before = known.pop(key, None)
            if _is_news(before, size_bytes, tag) and not self._is_foreign_again(spec, key):
                yield ObjectChange("created", spec.bucket, key, size_bytes, happened_at=arrival, content_tag=tag)
        for key in known:
            yield ObjectChange("removed", spec.bucket, key)

    def _known(self, spec: TableSpec, names: Sequence[str]) -> Iterator[KnownObject]:
        if not names:
            return self._ledger.known_objects(spec.reference)
        try:
            inside = PartitionSpec.parse("/".join(names[: len(spec.layout.scheme.folders)]), spec.layout.scheme)
        except InvalidPartition:
            return iter(())  # no partition's folder: nothing in it was ever recorded
        return self._ledger.known_objects(spec.reference, PartitionRange(inside, inside))

    def _is_foreign_again(self, spec: TableSpec, key: str) -> bool:
        """Whether this foreign key was counted before: it lies there still, which is no news."""
        if isinstance(spec.layout.parse(key), LakeKey):
            return False
        if key in self._seen_foreign:
            return True
        if len(self._seen_foreign) < _MAXIMUM_SEEN_FOREIGN:
            self._seen_foreign.add(key)
        return False


class FolderWatch:
    """A thread that keeps catalogue and ledger as the lake folder is. `report` adds up what it has done."""

    def __init__(
        self,
        reconciler: FolderReconciler,
        *,
        mode: WatchMode = "auto",
        interval_seconds: float = 2.0,
        start_days: int | None = None,
        on_report: Callable[[TrackingReport], None] | None = None,
    ) -> None:
        """`mode` auto takes the system's notifications and falls back to polling every `interval_seconds`, less often
        where a round takes long. `start_days`: how many days per table are compared at start, the newest; None is all.
        """
        self._reconciler = reconciler
        self._mode = mode
        self._interval_seconds = interval_seconds
        self._start_days = start_days
        self._on_report = on_report
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_started = threading.Event()
        self.report = TrackingReport()
        self.is_polling = mode == "poll"

    def start(self) -> None:
        """Begins to watch; the comparison at start is part of it and does not hold anybody up."""
        if self._mode != "off":
            self._thread = threading.Thread(target=self._run, name="lake-watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the portion it is at."""
        self._is_stopping.set()
        if self._thread is not None:
            self._thread.join()

    def wait_started(self, timeout_seconds: float) -> bool:
        """Whether the comparison at start is done within this time."""
        return self._has_started.wait(timeout_seconds)

    def _run(self) -> None:
        if self._mode == "auto":
            try:
                self._follow_notifications()
                return
            except (ImportError, OSError, RuntimeError) as error:
                # no inotify, or the system's limit of watches is reached (fs.inotify.max_user_watches)
                _LOG.warning("the lake folder is polled, since the system does not notify: %s", error)
                self.is_polling = True
        self._poll()

    def _follow_notifications(self) -> None:
        from watchfiles import watch

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every single change
        waiting: set[LakeFolder] = set()
        for changes in watch(
            *self._reconciler.bucket_folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MILLISECONDS,
            step=_STEP_MILLISECONDS,
            rust_timeout=_TIMEOUT_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=self._is_stopping,
            raise_interrupt=False,
        ):
            waiting |= self._compare_at_start()  # only now: what changes meanwhile is notified
            for _, path in changes:
                waiting.update(self._reconciler.folders_of(path))
            waiting = self._reconcile(sorted(waiting))

    def _poll(self) -> None:
        seen: dict[LakeFolder, int] = {}
        growing: dict[LakeFolder, float] = {}
        waiting: set[LakeFolder] = set()
        is_first = True
        while not self._is_stopping.is_set():
            started = time.monotonic()
            current = dict(self._reconciler.partition_folders())
            if is_first:
                waiting |= self._compare_at_start()
                is_first = False
            else:
                changed = {folder for folder, modified in current.items() if seen.get(folder) != modified}
                changed |= seen.keys() - current.keys()
                growing |= dict.fromkeys(changed, started)
            seen = current
            growing = {folder: since for folder, since in growing.items() if started - since < _GROWING_SECONDS}
            waiting = self._reconcile(sorted(waiting | growing.keys()))
            taken = time.monotonic() - started
            self._is_stopping.wait(max(self._interval_seconds, taken / _LARGEST_SHARE_OF_TIME))

    def _compare_at_start(self) -> set[LakeFolder]:
        """Once; the folders where it failed."""
        failed: set[LakeFolder] = set()
        if self._has_started.is_set():
            return failed
        for folder in self._reconciler.days(self._start_days):
            if self._is_stopping.is_set():
                return failed
            failed |= self._reconcile([folder])
        self._has_started.set()
        return failed

    def _reconcile(self, folders: Sequence[LakeFolder]) -> set[LakeFolder]:
        """The folders that have to be looked at again. Never raises: whatever the trouble is, it may pass."""
        if not folders:
            return set()
        try:
            report, failed = self._reconciler.reconcile(folders)
        except Exception:
            _LOG.exception("the lake folder could not be compared with the ledger; trying again")
            self._is_stopping.wait(1.0)
            return set(folders)
        self.report.add(report)
        if any(report.counts().values()) and self._on_report is not None:
            self._on_report(report)
        return failed


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _is_news(known: KnownObject | None, size_bytes: int, tag: str) -> bool:
    """Whether a file is another one than the ledger knows; one of no bytes is no object."""
    if known is None or known.size_bytes != size_bytes:
        return size_bytes != 0 or known is not None
    is_comparable = known.content_tag is not None and known.content_tag.startswith(_TAG_KIND)
    return is_comparable and known.content_tag != tag


def _files(folder: Path | str, key_folder: str) -> Iterator[tuple[str, int, datetime, str]]:
    """(key, bytes, arrival, tag) of the files below; markers (`_`, `.`), symbolic links and names not in UTF-8 left
    out. The tag is made of the time of the last change.
    """
    for entry in _entries(folder):
        name = entry.name
        if name.startswith((".", "_")) or not _is_text(name):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{key_folder}{name}/")
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                # the inode's time: it is set by `mv` and `cp -p` too, which keep the file's own
                arrival = datetime.fromtimestamp(status.st_ctime, UTC)
                yield key_folder + name, status.st_size, arrival, f"{_TAG_KIND}{status.st_mtime_ns}"
        except FileNotFoundError:
            continue  # gone since the folder was read


def _deep_folders(at: LakeFolder, folder: Path | str, depth: int) -> Iterator[tuple[LakeFolder, int]]:
    for entry in _entries(folder):
        if entry.name.startswith(".") or not _is_text(entry.name):
            continue
        try:
            if not entry.is_dir(follow_symlinks=False):
                continue
            inside = LakeFolder(at.table, (*at.names, entry.name))
            if depth == 1:
                yield inside, entry.stat(follow_symlinks=False).st_mtime_ns
            else:
                yield from _deep_folders(inside, entry.path, depth - 1)
        except FileNotFoundError:
            continue


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
