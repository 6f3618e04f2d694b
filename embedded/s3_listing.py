"""The objects of a bucket folder in S3's order: by the UTF-8 bytes of their keys, a page as cheap as its own length.

Folders are walked in key order (`a-b` before `a/c` before `a0`), and a folder whose keys all lie before the point to
start after is not opened. Symbolic links, temporary files and names that are not UTF-8 are no objects.
"""

from __future__ import annotations

import bisect
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from embedded.s3_key_path import ARCHIVED, FILE, FOLDER, MARK, MORE, folder_of, unescaped

_PLAIN_FOLDER = re.compile(r"(?:(?!\.(?:\.?/|%))[^/\0]{1,63}/)+")
"""Key prefixes whose segments are surely the names of their folders: 63 characters are at most 252 bytes."""


@dataclass(frozen=True)
class StoredObject:
    """One object: its key, its size, when it was last written (UTC, whole seconds) and the file that holds it."""

    key: str
    size_bytes: int
    last_modified: datetime
    path: Path


@dataclass(frozen=True)
class FoundFile:
    """An object met on the walk, before anybody asked for its size."""

    key: str
    path: str
    is_archived: bool = False

    def stat(self) -> os.stat_result | None:
        """The file's status; None when it was deleted since the folder was read."""
        try:
            return os.lstat(self.path)
        except FileNotFoundError:
            return None


@dataclass(frozen=True)
class FoundFolder:
    """A folder with at least one object, met on a walk that folds folders: S3's common prefix, ends with '/'."""

    key: str


@dataclass(frozen=True)
class _Entry:
    name: str
    path: str
    is_folder: bool
    is_archived: bool = False

    @property
    def order(self) -> str:
        """What decides its place among the entries of its folder: a folder's keys all have the slash."""
        return self.name + "/" if self.is_folder else self.name


def last_modified(status: os.stat_result) -> datetime:
    """S3 tells whole seconds, UTC."""
    return datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A folder without folders in it: its modification time, and its objects with theirs, in key order."""

    modified_ns: int
    objects: tuple[tuple[str, int, StoredObject], ...]


class FolderReader:
    """Reads folders in key order, and remembers the large ones and the leaves until they change.

    Paging through a folder of 100,000 objects would read it a hundred times otherwise, and a query over thousands of
    partitions would spend longer on finding their objects than DuckDB on reading them. A folder's modification time
    tells whether an entry came or went; it is trusted only when the folder was read well after it, because clocks of
    file systems tick some milliseconds apart. Size and time of a file are asked for each time.
    """

    LARGE = 2_000
    REMEMBERED = 8
    REMEMBERED_LEAVES = 30_000
    SETTLED_NS = 100_000_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remembered: OrderedDict[str, tuple[int, list[_Entry]]] = OrderedDict()
        self._leaves: dict[str, _Leaf] = {}

    def leaf(self, folder: str, key_prefix: str) -> list[StoredObject] | None:
        """The objects of a small folder that has no folders in it, in key order; None for any other."""
        try:
            modified_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116  # text is what the walk has
        except (FileNotFoundError, NotADirectoryError):
            return []
        known = self._leaves.get(folder)
        if known is None or known.modified_ns != modified_ns:
            return self._new_leaf(folder, key_prefix, modified_ns)
        objects = []
        for path, file_modified_ns, found in known.objects:
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if status.st_mtime_ns != file_modified_ns or status.st_size != found.size_bytes:
                found = _stored(found.key, path, status)  # the newer one takes its place
            objects.append(found)
        return objects

    def _new_leaf(self, folder: str, key_prefix: str, modified_ns: int) -> list[StoredObject] | None:
        read_at_ns = time.time_ns()
        entries = self.entries(folder)
        if len(entries) >= self.LARGE or any(entry.is_folder for entry in entries):
            return None
        objects = []
        for entry in entries:
            if entry.is_archived:
                continue
            try:
                status = os.lstat(entry.path)
            except FileNotFoundError:
                continue
            objects.append((entry.path, status.st_mtime_ns, _stored(key_prefix + entry.name, entry.path, status)))
        if read_at_ns - modified_ns > self.SETTLED_NS:
            with self._lock:
                self._leaves.pop(folder, None)
                self._leaves[folder] = _Leaf(modified_ns, tuple(objects))
                while len(self._leaves) > self.REMEMBERED_LEAVES:
                    del self._leaves[next(iter(self._leaves))]
        return [found for _, _, found in objects]

    def entries(self, folder: str) -> list[_Entry]:
        """What a folder holds, in key order; each segment once as a file and once as a folder; none when absent."""
        try:
            modified_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116  # text is what the walk has
        except (FileNotFoundError, NotADirectoryError):
            return []
        with self._lock:
            remembered = self._remembered.get(folder)
            if remembered is not None and remembered[0] == modified_ns:
                self._remembered.move_to_end(folder)
                return remembered[1]
        read_at_ns = time.time_ns()
        found: dict[tuple[str, bool], _Entry] = {}
        is_flat = _collect(folder, "", found)
        entries = sorted(found.values(), key=lambda entry: entry.order)
        if is_flat and len(entries) >= self.LARGE and read_at_ns - modified_ns > self.SETTLED_NS:
            with self._lock:
                self._remembered[folder] = (modified_ns, entries)
                while len(self._remembered) > self.REMEMBERED:
                    self._remembered.popitem(last=False)
        return entries


def list_files(reader: FolderReader, bucket_folder: Path, prefix: str) -> Iterable[StoredObject]:
    """Every object whose key starts with `prefix`, in key order; those in the archive, which nobody reads, left out."""
    if _PLAIN_FOLDER.fullmatch(prefix):
        objects = reader.leaf(f"{bucket_folder}/{prefix[:-1]}", prefix)
        if objects is not None:
            return objects
    return _walked(reader, bucket_folder, prefix)


def _walked(reader: FolderReader, bucket_folder: Path, prefix: str) -> Iterator[StoredObject]:
    for found in walk(reader, bucket_folder, prefix):
        if isinstance(found, FoundFile) and not found.is_archived and (status := found.stat()) is not None:
            yield _stored(found.key, found.path, status)


def _stored(key: str, path: str, status: os.stat_result) -> StoredObject:
    return StoredObject(key, status.st_size, last_modified(status), Path(path))


def walk(
    reader: FolderReader,
    bucket_folder: Path,
    prefix: str,
    *,
    after: str = "",
    after_prefix: str | None = None,
    fold: bool = False,
) -> Iterator[FoundFile | FoundFolder]:
    """Objects whose keys start with `prefix` and come after `after`, in key order.

    With `fold`, folders below the prefix are not entered but told as one FoundFolder each (delimiter '/');
    `after_prefix` then is the folder told last, which is left out together with all it holds.
    """
    parents, slash, name_prefix = prefix.rpartition("/")
    base = parents + slash
    first = reader.entries(str(folder_of(bucket_folder, base)))
    stack = [_remaining(base, first, after, after_prefix, name_prefix)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        key, entry = step
        if not entry.is_folder:
            yield FoundFile(key, entry.path, entry.is_archived)
        elif not fold:
            stack.append(_remaining(key, reader.entries(entry.path), after, after_prefix, ""))
        elif any(True for _ in _walk_all(reader, key, entry.path, after)):
            yield FoundFolder(key)


def _walk_all(reader: FolderReader, key_prefix: str, folder: str, after: str) -> Iterator[str]:
    for key, entry in _remaining(key_prefix, reader.entries(folder), after, None, ""):
        if entry.is_folder:
            yield from _walk_all(reader, key, entry.path, after)
        else:
            yield key


def _remaining(
    key_prefix: str, entries: list[_Entry], after: str, after_prefix: str | None, name_prefix: str
) -> Iterator[tuple[str, _Entry]]:
    """The entries of one folder that can hold keys to be told, with their key (a folder's ends with '/')."""
    least = max(name_prefix, after.removeprefix(key_prefix) if after.startswith(key_prefix) else "")
    # the entry before may be the folder that holds `after`
    start = max(0, bisect.bisect_left(entries, least, key=lambda entry: entry.order) - 1)
    for position in range(start, len(entries)):
        entry = entries[position]
        if not entry.name.startswith(name_prefix):
            if entry.name > name_prefix:
                return
            continue
        key = key_prefix + entry.order
        if after_prefix is not None and key.startswith(after_prefix):
            continue
        if key <= after and not (entry.is_folder and after.startswith(key)):
            continue
        yield key, entry


def _collect(folder: str, escaped_text: str, found: dict[tuple[str, bool], _Entry]) -> bool:
    """Adds a folder's entries; False when some of them lie deeper, where this folder's times do not tell of them."""
    try:
        scan = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    is_flat = True
    with scan:
        for item in scan:
            if item.is_symlink():
                continue
            is_folder = item.is_dir(follow_symlinks=False)
            if not is_folder and not item.is_file(follow_symlinks=False):
                continue
            if item.name.startswith(MORE) and is_folder:
                is_flat = False
                _collect(item.path, escaped_text + item.name[len(MORE) :], found)
                continue
            is_archived = not is_folder and item.name.startswith(ARCHIVED)
            name = _segment(item.name, escaped_text, FOLDER if is_folder else ARCHIVED if is_archived else FILE)
            if name is None:
                continue
            known = found.get((name, is_folder))
            # a plain name goes before an escaped one, and any before the archive's
            if known is None or known.is_archived or not item.name.startswith(MARK):
                found[name, is_folder] = _Entry(name, item.path, is_folder, is_archived)
    return is_flat


def _segment(file_name: str, escaped_text: str, mark: str) -> str | None:
    """The key segment that a file or folder name stands for; None for what is no part of any key."""
    if file_name.startswith(mark):
        return unescaped(escaped_text + file_name[len(mark) :])
    if escaped_text or file_name.startswith(MARK):
        return None
    try:
        file_name.encode()
    except UnicodeEncodeError:
        return None
    return file_name
