"""Where an S3 key lies in a folder, and back.

The folder is the S3: the object `a/b.gz` of bucket `lake` is the file `<root>/lake/a/b.gz`, so that `ls`, `cp` and
DuckDB see what a client sees. A file system cannot hold every key, though. A segment (what stands between two slashes)
that it cannot hold is written in an escaped form instead, reversibly:

    segment                                          file or folder name
    ---------------------------------------------    ------------------------------------------
    any other                                        itself
    empty (`a//b`, `/a`, a trailing `/`), `.`, `..`  `.%~` + the segment, percent-encoded
    holds NUL, or starts with `.%`                   `.%~` + the segment, percent-encoded
    longer than 255 bytes in UTF-8                   `.%+` + 240 characters of that / ... / `.%~` + the rest
    last one of an object whose path is a folder     `.%~` + the segment, percent-encoded

In the middle of a key it is `.%-` instead of `.%~`. An object in the archive (storage class GLACIER) has `.%^` and the
escaped last segment, whatever the segment is: its bytes are there, under a name that nobody reads. So `a` and `a/b` can
both be objects, and so can any two keys. No key leads outside its bucket: `..` is never a path's segment.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

MARK = ".%"
"""Names that start so are never plain: escaped segments, or (any other third character) files that are not objects."""
FILE = ".%~"
FOLDER = ".%-"
MORE = ".%+"
ARCHIVED = ".%^"

_NAME_LIMIT_BYTES = 255
_PIECE_CHARACTERS = 240
_LITERAL = " !\"#$&'()*+,:;<=>?@[\\]^`{|}"
_BUCKET_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """S3's rule for new buckets: 3 to 63 of a-z, 0-9, '.', '-', bounded by letters or digits, no '..'."""
    return _BUCKET_NAME.fullmatch(name) is not None


def is_plain(segment: str) -> bool:
    """Whether a segment of a key is itself the name of its file or folder."""
    return (
        segment not in {"", ".", ".."}
        and "\0" not in segment
        and not segment.startswith(MARK)
        and len(segment.encode()) <= _NAME_LIMIT_BYTES
    )


def escaped_names(segment: str, mark: str) -> list[str]:
    """The escaped form of one segment: usually one name, several (folder in folder) where it is long.

    `mark` is FILE for the last segment of a key (ARCHIVED in the archive), FOLDER for one before.
    """
    text = quote(segment, safe=_LITERAL)
    pieces = [text[at : at + _PIECE_CHARACTERS] for at in range(0, len(text), _PIECE_CHARACTERS)] or [""]
    return [MORE + piece for piece in pieces[:-1]] + [mark + pieces[-1]]


def segment_names(segment: str, mark: str) -> list[str]:
    """The names that hold one segment of a key; `mark` as in `escaped_names`."""
    return [segment] if is_plain(segment) else escaped_names(segment, mark)


def unescaped(text: str) -> str | None:
    """The segment behind the joined escaped text of its names; None where no key is ever written so."""
    try:
        segment = unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None
    return segment if quote(segment, safe=_LITERAL) == text else None


def folder_of(bucket_folder: Path, key_prefix: str) -> Path:
    """The folder of the keys that start with `key_prefix`, which is empty or ends with '/'."""
    if not key_prefix:
        return bucket_folder
    names = [name for segment in key_prefix[:-1].split("/") for name in segment_names(segment, FOLDER)]
    return bucket_folder.joinpath(*names)


def plain_path(bucket_folder: Path, key: str) -> Path:
    """Where the object of this key lies unless a folder lies there."""
    parents, slash, last = key.rpartition("/")
    return folder_of(bucket_folder, parents + slash).joinpath(*segment_names(last, FILE))


def escaped_path(bucket_folder: Path, key: str) -> Path:
    """Where the object of this key lies when a folder lies at its `plain_path`."""
    parents, slash, last = key.rpartition("/")
    return folder_of(bucket_folder, parents + slash).joinpath(*escaped_names(last, FILE))


def archived_path(bucket_folder: Path, key: str) -> Path:
    """Where the object of this key lies when it is in the archive."""
    parents, slash, last = key.rpartition("/")
    return folder_of(bucket_folder, parents + slash).joinpath(*escaped_names(last, ARCHIVED))
