"""The objects of a bucket folder in S3's order: by the UTF-8 bytes of their keys, a page as cheap as its own length.

Folders are walked in key order (`a-b` before `a/c` before `a0`), and a folder whose keys all lie before the point to
start after is not opened. Symbolic links, temporary files and names that are not UTF-8 are no objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from embedded.s3_key_path import FILE, FOLDER, MARK, MORE, folder_of, unescaped


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


def last_modified(status: os.stat_result) -> datetime:
    """S3 tells whole seconds, UTC."""
    return datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC)


def list_files(bucket_folder: Path, prefix: str) -> Iterator[StoredObject]:
    """Every object whose key starts with `prefix`, in key order."""
    for found in walk(bucket_folder, prefix):
        if isinstance(found, FoundFile) and (status := found.stat()) is not None:
            yield StoredObject(found.key, status.st_size, last_modified(status), Path(found.path))


def walk(
    bucket_folder: Path, prefix: str, *, after: str = "", after_prefix: str | None = None, fold: bool = False
) -> Iterator[FoundFile | FoundFolder]:
    """Objects whose keys start with `prefix` and come after `after`, in key order.

    With `fold`, folders below the prefix are not entered but told as one FoundFolder each (delimiter '/');
    `after_prefix` then is the folder told last, which is left out together with all it holds.
    """
    parents, slash, name_prefix = prefix.rpartition("/")
    base = parents + slash
    stack = [_remaining(base, _entries(str(folder_of(bucket_folder, base))), after, after_prefix, name_prefix)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        key, entry = step
        if not entry.is_folder:
            yield FoundFile(key, entry.path)
        elif not fold:
            stack.append(_remaining(key, _entries(entry.path), after, after_prefix, ""))
        elif any(True for _ in _walk_all(key, entry.path, after)):
            yield FoundFolder(key)


def _walk_all(key_prefix: str, folder: str, after: str) -> Iterator[str]:
    for key, entry in _remaining(key_prefix, _entries(folder), after, None, ""):
        if entry.is_folder:
            yield from _walk_all(key, entry.path, after)
        else:
            yield key


def _remaining(
    key_prefix: str, entries: list[_Entry], after: str, after_prefix: str | None, name_prefix: str
) -> Iterator[tuple[str, _Entry]]:
    """The entries of one folder that can hold keys to be told, with their key (a folder's ends with '/')."""
    for entry in entries:
        if not entry.name.startswith(name_prefix):
            continue
        key = key_prefix + entry.name + ("/" if entry.is_folder else "")
        if after_prefix is not None and key.startswith(after_prefix):
            continue
        if key <= after and not (entry.is_folder and after.startswith(key)):
            continue
        yield key, entry


def _entries(folder: str) -> list[_Entry]:
    """What a folder holds, in key order; each segment once as a file and once as a folder."""
    found: dict[tuple[str, bool], _Entry] = {}
    _collect(folder, "", found)
    return [found[key] for key in sorted(found, key=_order)]


def _order(key: tuple[str, bool]) -> str:
    name, is_folder = key
    return name + "/" if is_folder else name


def _collect(folder: str, escaped_text: str, found: dict[tuple[str, bool], _Entry]) -> None:
    try:
        scan = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with scan:
        for item in scan:
            if item.is_symlink():
                continue
            is_folder = item.is_dir(follow_symlinks=False)
            if not is_folder and not item.is_file(follow_symlinks=False):
                continue
            if item.name.startswith(MORE) and is_folder:
                _collect(item.path, escaped_text + item.name[len(MORE) :], found)
                continue
            name = _segment(item.name, escaped_text, FOLDER if is_folder else FILE)
            if name is not None and (not item.name.startswith(MARK) or (name, is_folder) not in found):
                found[name, is_folder] = _Entry(name, item.path, is_folder)


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
