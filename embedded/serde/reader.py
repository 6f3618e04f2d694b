"""What every reader of table files has in common.

A reader writes the DuckDB table expression that yields a table's declared columns, in their physical types
(`embedded.sql.physical`), from an explicit list of files: never a glob, never inference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedded.sql.physical import text_literal
from embedded.sql.types import TrinoType

PATH_COLUMN = "$file"
"""The column of a relation that holds the path of the file a row came from."""


@dataclass(frozen=True, slots=True)
class DataColumn:
    """A column that lies in the files. `position` counts from 0 in the table's declaration."""

    name: str
    type: TrinoType
    position: int


@dataclass(frozen=True, slots=True)
class ReadableFile:
    """A file as DuckDB opens it. compression: 'none', 'gzip' or 'zstd'; anything else was unpacked before."""

    path: str
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class Extras:
    """What a relation carries beside the declared columns.

    with_path: the PATH_COLUMN. hive_keys: partition keys that DuckDB takes from the files' paths, as text.
    lenient: rows in which a `checked` column has a text that does not fit are left out instead of raising.
    strict: a value of another type than declared raises, though DuckDB could convert it (files not yet known).
    """

    with_path: bool = False
    hive_keys: tuple[str, ...] = ()
    lenient: bool = False
    strict: bool = False
    checked: tuple[DataColumn, ...] = ()


class Reader(Protocol):
    """Reads the files of one table."""

    name: str

    def relation(self, files: Sequence[ReadableFile], columns: Sequence[DataColumn], extras: Extras) -> str:
        """A SELECT that yields `columns` by name, then hive keys and PATH_COLUMN as asked. `files` is not empty."""
        ...


_GLOB_CHARACTERS = re.compile(r"([\[*?])")


def file_list(files: Sequence[ReadableFile]) -> str:
    """The files as a DuckDB list of literals in which no character is a wildcard."""
    return "[" + ", ".join(text_literal(_GLOB_CHARACTERS.sub(r"[\1]", file.path)) for file in files) + "]"


def by_compression(files: Sequence[ReadableFile]) -> Mapping[str, list[ReadableFile]]:
    """The files in groups that one call of a DuckDB reader can take."""
    groups: dict[str, list[ReadableFile]] = {}
    for file in files:
        groups.setdefault(file.compression, []).append(file)
    return groups


def compression_option(compression: str) -> str:
    """The reader option for a group of files."""
    return f", compression = '{'uncompressed' if compression == 'none' else compression}'"


def partition_options(extras: Extras) -> str:
    """The reader options for hive keys and the path column."""
    options = f", filename = {text_literal(PATH_COLUMN)}" if extras.with_path else ""
    if not extras.hive_keys:
        return options + ", hive_partitioning = false"
    types = ", ".join(f"{text_literal(key)}: 'VARCHAR'" for key in extras.hive_keys)
    return options + f", hive_partitioning = true, hive_types = {{{types}}}"
