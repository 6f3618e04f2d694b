"""What is known about the files of the lake that can't be read as their table says.

    reading   how each file of a query is opened: as it lies there, or as a clean copy of its good rows
    learn     after a read error: finds the files at fault, keeps their good rows, counts the bad ones

A verdict holds for one file (path, size, time of change) under one declaration (SerDe and columns). Whether a row is
malformed does not depend on what a query selects: until a file is known to be good, the columns whose type can go wrong
are read along with every query, strictly (`serde.json_strict`); of a good file DuckDB's reader bends nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from embedded.athena_executions import MAXIMUM_MALFORMED_SAMPLES, MalformedRow, MalformedRows
from embedded.file_inspection import FileInspector, Inspection
from embedded.lake_files import LakeFile
from embedded.salvage import DATA_ERRORS, BadRow, Salvage, repair_text, salvage_json, unpack
from embedded.scan import PlannedScan, ScannedTable
from embedded.serde.conversion import convert_avro, convert_orc
from embedded.serde.json_lines import JsonLinesReader
from embedded.serde.parquet import ParquetReader
from embedded.serde.reader import DataColumn, Extras, ReadableFile, Reader
from embedded.serde.text_lines import TextReader
from embedded.sql.errors import TrinoError
from embedded.sql.physical import quoted

_DIRECT_COMPRESSIONS = frozenset({"none", "gzip", "zstd"})
_UNPACKABLE = frozenset({"bzip2", "lz4"})
_VERIFIED_AT_ONCE = 32
_DUPLICATE_KEY = "has duplicate key"
_NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A file that needs no more suspicion: `readable` is how it is opened (None: nothing in it), `bad` its bad rows.

    keys: the JSON keys whose values were looked at (None: all). Other files may spell the same key otherwise, and a
    query over both reads the value under either.
    """

    readable: ReadableFile | None
    bad_count: int = 0
    bad: tuple[BadRow, ...] = ()
    keys: frozenset[str] | None = None


@dataclass(frozen=True)
class Reading:
    """The relations of one attempt and their readers, by the identity of their scans, and the verdicts they rest on."""

    relations: Mapping[int, str]
    readers: Mapping[int, Reader]
    scans: tuple[PlannedScan, ...]
    verdicts: Mapping[str, Verdict]

    @property
    def is_certain(self) -> bool:
        """Whether every file has its verdict, so that reading them can't bring news (Parquet's never waits for one)."""
        return all(
            _file_key(file, scan.table) in self.verdicts
            for scan in self.scans
            if not isinstance(scan.table.reader, ParquetReader)
            for file in _distinct(scan)
        )

    def malformed(self) -> MalformedRows:
        """The rows left out, each file counted once however often the query reads it."""
        count = 0
        samples: list[MalformedRow] = []
        seen: set[str] = set()
        for scan in self.scans:
            for found in scan.files:
                file = found.file
                verdict = self.verdicts.get(_file_key(file, scan.table))
                if verdict is None or verdict.bad_count == 0 or file.path in seen:
                    continue
                seen.add(file.path)
                count += verdict.bad_count
                room = MAXIMUM_MALFORMED_SAMPLES - len(samples)
                samples += [MalformedRow(file.uri, bad.line, bad.reason) for bad in verdict.bad[:room]]
        return MalformedRows(count, tuple(samples), truncated=count > len(samples))


class FileVerdicts:
    """Verdicts on files, and the clean copies that belong to them, below `folder`."""

    def __init__(self, folder: Path, *, inspector: FileInspector | None = None, capacity: int = 200_000) -> None:
        self._folder = folder
        self._inspector = inspector or FileInspector()
        self._capacity = capacity
        self._known: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------------------------- reading

    def reading(
        self, scans: Sequence[PlannedScan], cursor: duckdb.DuckDBPyConnection, check: Callable[[], None]
    ) -> Reading:
        """Raises TrinoError for a table that says it will not have malformed rows left out, when there are some."""
        verdicts: dict[str, Verdict] = {}
        relations: dict[int, str] = {}
        readers: dict[int, Reader] = {}
        for scan in scans:
            relations[id(scan)], readers[id(scan)] = self._relation(scan, verdicts, cursor, check)
        return Reading(relations, readers, tuple(scans), verdicts)

    def confirm(self, reading: Reading) -> None:
        """A query has read every row of its files with its fallible columns: from now on they are known to be good."""
        for scan in reading.scans:
            keys = _keys_read(reading.readers[id(scan)], scan.table)
            for file in _distinct(scan):
                key = _file_key(file, scan.table)
                if key not in reading.verdicts:
                    readable = ReadableFile(file.path, self._compression(file, scan.table))
                    self._put(key, Verdict(readable, keys=keys))

    def _compression(self, file: LakeFile, table: ScannedTable) -> str:
        if isinstance(table.reader, ParquetReader):
            return "none"
        try:
            return self._inspector.inspect(file).compression
        except FileNotFoundError:
            return "none"

    def _relation(
        self,
        scan: PlannedScan,
        verdicts: dict[str, Verdict],
        cursor: duckdb.DuckDBPyConnection,
        check: Callable[[], None],
    ) -> tuple[str, Reader]:
        readable: dict[str, ReadableFile | None] = {}
        by_path: dict[str, Verdict] = {}
        spellings: set[str] = set()
        suspects: set[str] = set()
        for found in scan.files:
            file = found.file
            check()
            if file.path in readable:
                continue
            verdict, inspection = self._verdict(file, scan.table, cursor)
            if verdict is not None:
                _refuse_if_strict(scan.table, file, verdict)
                by_path[file.path] = verdict
                readable[file.path] = verdict.readable
            else:
                suspects.add(file.path)
                readable[file.path] = ReadableFile(file.path, inspection.compression)
            spellings |= inspection.spellings
        reader = _reader_for(scan.table.reader, spellings)
        fallible = fallible_columns(scan.table)
        keys = _keys_read(reader, scan.table) or frozenset()
        for found in scan.files:
            verdict = by_path.get(found.file.path)
            if verdict is None:
                continue
            if verdict.keys is None or keys <= verdict.keys:
                verdicts[_file_key(found.file, scan.table)] = verdict
            else:
                suspects.add(found.file.path)
        has_bad_rows = any(verdict.bad_count for verdict in by_path.values())
        relation = scan.relation(
            lambda file: readable[file.path],
            reader,
            suspects=suspects,
            checked_columns=fallible,
            lenient_columns=fallible if has_bad_rows and isinstance(reader, TextReader) else None,
        )
        return relation, reader

    def _verdict(
        self, file: LakeFile, table: ScannedTable, cursor: duckdb.DuckDBPyConnection
    ) -> tuple[Verdict | None, Inspection]:
        """What is known about a file without reading it whole."""
        reader = table.reader
        if isinstance(reader, ParquetReader):
            known = self._get(_file_key(file, table))
            if known is None and reader.source != "parquet":
                known = self._converted(file, table, reader.source)
            return known, Inspection("none")
        try:
            inspection = self._inspector.inspect(file)
        except FileNotFoundError:
            return Verdict(None), Inspection("none", is_empty=True)
        if inspection.is_empty:
            return Verdict(None), inspection
        key = _file_key(file, table)
        known = self._get(key)
        if known is None and inspection.is_foreign:
            known = Verdict(None, 1, (BadRow(0, f"the object is named as {inspection.compression}, but is not"),))
            self._put(key, known)
        if known is None and inspection.compression not in _DIRECT_COMPRESSIONS:
            known = self._unpacked(file, table, inspection.compression, cursor)
        if known is None and inspection.is_doubtful:
            known = self._rescued(file, table, ReadableFile(file.path, "gzip"), cursor)
        return known, inspection

    def _unpacked(
        self,
        file: LakeFile,
        table: ScannedTable,
        compression: str,
        cursor: duckdb.DuckDBPyConnection,
    ) -> Verdict:
        if compression not in _UNPACKABLE:
            raise TrinoError("NOT_SUPPORTED", f"The embedded Athena does not read {compression} objects: {file.uri}")
        copy = self._copy_path(file, table)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            unpack(file.path, compression, copy)
        return self._rescued(file, table, ReadableFile(str(copy)), cursor)

    # ------------------------------------------------------------------------------------------------- learning

    def learn(
        self,
        error: duckdb.Error,
        reading: Reading,
        cursor: duckdb.DuckDBPyConnection,
        check: Callable[[], None],
    ) -> bool:
        """Finds the files that made a query fail. True: something was learnt, the query is worth another try."""
        text = str(error)
        learnt = False
        for scan in reading.scans:
            files = _distinct(scan)
            suspects = [
                file
                for file in files
                if (_file_key(file, scan.table) not in reading.verdicts or file.path in text) and file.size_bytes > 0
            ]
            named = any(file.path in text for file in suspects)
            if not suspects or not (named or _is_nameless_data_error(error, scan.table)):
                continue
            is_about_keys = _DUPLICATE_KEY in text
            for start in range(0, len(suspects), _VERIFIED_AT_ONCE):
                some = suspects[start : start + _VERIFIED_AT_ONCE]
                learnt |= self._verify(
                    some, scan.table, reading.readers[id(scan)], cursor, check, is_about_keys=is_about_keys
                )
        return learnt

    def verify(self, reading: Reading, cursor: duckdb.DuckDBPyConnection, check: Callable[[], None]) -> bool:
        """Reads the files that have no verdict yet, so that they have one. False: there were none."""
        had_none = True
        for scan in reading.scans:
            files = [
                file
                for file in _distinct(scan)
                if not isinstance(scan.table.reader, ParquetReader)
                and _file_key(file, scan.table) not in reading.verdicts
            ]
            had_none = had_none and not files
            for start in range(0, len(files), _VERIFIED_AT_ONCE):
                some = files[start : start + _VERIFIED_AT_ONCE]
                self._verify(some, scan.table, reading.readers[id(scan)], cursor, check)
        return not had_none

    def _verify(
        self,
        files: Sequence[LakeFile],
        table: ScannedTable,
        reader: Reader,
        cursor: duckdb.DuckDBPyConnection,
        check: Callable[[], None],
        *,
        is_about_keys: bool = False,
    ) -> bool:
        """Reads files strictly, all their fallible columns; good ones are remembered as good. True: bad ones found.

        is_about_keys: a declared key stands twice in some row. That fails where the column is read, of whatever type,
        and of keys inside it only where it is not read strictly.
        """
        check()
        opened: list[ReadableFile] = []
        for file in files:
            _, inspection = self._verdict(file, table, cursor)
            opened.append(ReadableFile(file.path, inspection.compression))
        try:
            read_all(cursor, reader, opened, fallible_columns(table), Extras(strict=True))
            if is_about_keys:
                read_all(cursor, reader, opened, _readable_columns(table))
        except DATA_ERRORS as error:
            if len(files) == 1:
                self._condemn(files[0], opened[0], table, cursor, error)
                return True
            middle = len(files) // 2
            halves = [
                self._verify(half, table, reader, cursor, check, is_about_keys=is_about_keys)
                for half in (files[:middle], files[middle:])
            ]
            return any(halves)
        for file, how in zip(files, opened, strict=True):
            self._put(_file_key(file, table), Verdict(how, keys=_keys_read(reader, table)))
        return False

    def _condemn(
        self,
        file: LakeFile,
        how: ReadableFile,
        table: ScannedTable,
        cursor: duckdb.DuckDBPyConnection,
        error: duckdb.Error,
    ) -> None:
        """A file that can't be read strictly: saves what can be saved of it."""
        if isinstance(table.reader, ParquetReader):
            reason = str(error).splitlines()[0].replace(file.path, file.uri)
            self._put(_file_key(file, table), Verdict(None, 1, (BadRow(0, reason[:300]),)))
            return
        self._rescued(file, table, how, cursor)

    def _rescued(
        self, file: LakeFile, table: ScannedTable, how: ReadableFile, cursor: duckdb.DuckDBPyConnection
    ) -> Verdict:
        if isinstance(table.reader, JsonLinesReader):
            return self._salvaged(file, table, table.reader, how, cursor)
        return self._repaired_text(file, table, how, cursor)

    def _repaired_text(
        self, file: LakeFile, table: ScannedTable, how: ReadableFile, cursor: duckdb.DuckDBPyConnection
    ) -> Verdict:
        """A text file whose rows are told apart by the query: rows that do not fit are listed, and left out later."""
        copy = self._copy_path(file, table, ".text")
        copy.parent.mkdir(parents=True, exist_ok=True)
        bad_count, bad = repair_text(how, copy)
        readable = ReadableFile(str(copy))
        columns = fallible_columns(table)
        query = table.reader.bad_rows(readable, columns) if isinstance(table.reader, TextReader) else None
        if query is not None:
            found = cursor.execute(query).fetchall()
            bad_count += len(found)
            bad = [*bad, *(BadRow(number, reason) for number, reason in found)]
            bad = sorted(bad, key=lambda row: row.line)[:MAXIMUM_MALFORMED_SAMPLES]
        verdict = Verdict(readable, bad_count, tuple(bad))
        self._put(_file_key(file, table), verdict)
        return verdict

    def _converted(self, file: LakeFile, table: ScannedTable, source: str) -> Verdict:
        copy = self._copy_path(file, table, ".parquet")
        copy.parent.mkdir(parents=True, exist_ok=True)
        verdict = Verdict(ReadableFile(str(copy)))
        if file.size_bytes == 0:
            verdict = Verdict(None)
        else:
            try:
                (convert_orc if source == "orc" else convert_avro)(file.path, copy)
            except ValueError as error:
                verdict = Verdict(None, 1, (BadRow(0, str(error)[:300]),))
        self._put(_file_key(file, table), verdict)
        return verdict

    def _salvaged(
        self,
        file: LakeFile,
        table: ScannedTable,
        reader: JsonLinesReader,
        how: ReadableFile,
        cursor: duckdb.DuckDBPyConnection,
    ) -> Verdict:
        copy = self._copy_path(file, table, ".clean")
        copy.parent.mkdir(parents=True, exist_ok=True)
        fallible = fallible_columns(table)
        salvage: Salvage = salvage_json(how, copy, reader.finder(table.columns))
        if salvage.good_count:
            salvage = salvage.confirmed(lambda path: read_all(cursor, reader, [ReadableFile(path)], fallible))
        verdict = Verdict(
            ReadableFile(str(copy)) if salvage.good_count else None, salvage.bad_count, tuple(salvage.bad)
        )
        self._put(_file_key(file, table), verdict)
        return verdict

    # ------------------------------------------------------------------------------------------------ remembering

    def _get(self, key: str) -> Verdict | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def _put(self, key: str, verdict: Verdict) -> None:
        with self._lock:
            self._known[key] = verdict
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)

    def _copy_path(self, file: LakeFile, table: ScannedTable, suffix: str = ".plain") -> Path:
        name = hashlib.sha256(_file_key(file, table).encode()).hexdigest()[:40]
        return self._folder / name[:2] / f"{name}{suffix}"


def read_all(
    cursor: duckdb.DuckDBPyConnection,
    reader: Reader,
    files: Sequence[ReadableFile],
    columns: Sequence[DataColumn],
    extras: Extras = _NO_EXTRAS,
) -> None:
    """Reads every row and every given column of files, and throws the values away. Raises what the reader raises."""
    source = reader.relation(files, columns, extras)
    condition = f" WHERE hash({', '.join(quoted(column.name) for column in columns)}) IS NOT NULL" if columns else ""
    cursor.execute(f"SELECT count(*) FROM ({source}){condition}").fetchall()  # noqa: S608 - own SQL, quoted names


def fallible_columns(table: ScannedTable) -> tuple[DataColumn, ...]:
    """The columns that a value can fail to fit: all but texts, for files whose values are texts of another making."""
    if isinstance(table.reader, ParquetReader):
        return ()
    return tuple(
        column
        for column in table.columns
        if column.type.base not in ("varchar", "char") and column.name not in table.partition_keys
    )


def _readable_columns(table: ScannedTable) -> tuple[DataColumn, ...]:
    return tuple(column for column in table.columns if column.name not in table.partition_keys)


def _keys_read(reader: Reader, table: ScannedTable) -> frozenset[str] | None:
    if not isinstance(reader, JsonLinesReader):
        return None
    return frozenset(key for column in fallible_columns(table) for key in reader.keys(column))


def _reader_for(reader: Reader, spellings: set[str]) -> Reader:
    if not isinstance(reader, JsonLinesReader) or not spellings:
        return reader
    names: dict[str, list[str]] = {}
    for spelling in sorted(spellings):
        names.setdefault(spelling.lower(), []).append(spelling)
    return reader.with_key_names(names)


def _refuse_if_strict(table: ScannedTable, file: LakeFile, verdict: Verdict) -> None:
    if verdict.bad_count and table.is_strict:
        first = verdict.bad[0]
        raise TrinoError(
            "HIVE_CURSOR_ERROR", f"Row is not a valid JSON Object - {first.reason} ({file.uri}, line {first.line})"
        )


def _file_key(file: LakeFile, table: ScannedTable) -> str:
    return f"{table.declaration}\n{file.path}\n{file.size_bytes}\n{file.modified_at.timestamp()}"


def _distinct(scan: PlannedScan) -> list[LakeFile]:
    return list({found.file.path: found.file for found in scan.files}.values())


def _is_nameless_data_error(error: duckdb.Error, table: ScannedTable) -> bool:
    """Whether this may be a value of a file that could not be converted, though the message names no file."""
    if not isinstance(error, DATA_ERRORS):
        return False
    if isinstance(error, duckdb.IOException) or isinstance(table.reader, TextReader | JsonLinesReader):
        return True
    return any(column.type.base in ("timestamp", "varbinary") for column in table.columns)
