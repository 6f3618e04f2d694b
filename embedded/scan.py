"""Table scans: from a scan the translator asks for to the DuckDB relation that reads exactly the files it needs.

    partitions of the catalogue -> those the partition predicate allows -> their files -> one SELECT over a list

Partitions that another SerDe reads than their table's (`partition_schema`) are a SELECT of their own, which the caller
puts together with UNION ALL.

Partition values become columns in one of two ways. Where every file lies in folders `key=value` that say what the
catalogue says, DuckDB takes the values from the paths, at no cost per row. Otherwise the files join a small table of
(file, values), which also carries `"$path"`, `"$file_size"` and `"$file_modified_time"`.
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from embedded.lake_files import FolderLister, InvalidLocation, LakeFile, ObjectStore, S3Location, files_under
from embedded.partition_predicate import NULL_PARTITION, catalogue_expression, partition_filter
from embedded.partition_projection import ProjectedPartition, is_projected, projected_partitions
from embedded.partition_schema import partition_as_table
from embedded.serde.choice import reader_of, serde_properties
from embedded.serde.reader import PATH_COLUMN, DataColumn, Extras, ReadableFile, Reader
from embedded.sql.catalogue import Column, TableScan
from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type, quoted, text_literal
from embedded.sql.types import BIGINT, VARCHAR, TrinoType, parse_hive_type, timestamp_with_time_zone
from embedded.statements.catalogue_access import PartitionRow, partition_rows

HIDDEN_COLUMNS: Mapping[str, TrinoType] = {
    "$path": VARCHAR,
    "$file_size": BIGINT,
    "$file_modified_time": timestamp_with_time_zone(3),
    "$partition": VARCHAR,
    "$bucket": BIGINT,
}


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A file of a scan with the values of its partition."""

    file: LakeFile
    values: tuple[str, ...]


@dataclass(frozen=True)
class ScannedTable:
    """What a Glue table means to a scan."""

    database: str
    name: str
    location: S3Location
    columns: tuple[DataColumn, ...]
    partition_keys: Mapping[str, TrinoType]
    reader: Reader
    is_strict: bool = False
    declaration: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    @classmethod
    def of(cls, database: str, table: Mapping[str, Any], absent: frozenset[str] = frozenset()) -> ScannedTable:
        """`absent`: columns that are NULL whatever the files hold. Raises TrinoError for a location or a SerDe that
        can't be read.
        """
        descriptor = table.get("StorageDescriptor", {})
        try:
            location = S3Location.parse(descriptor.get("Location") or "")
        except InvalidLocation as error:
            raise TrinoError("HIVE_INVALID_METADATA", str(error)) from None
        columns = tuple(
            DataColumn(column["Name"].lower(), parse_hive_type(column.get("Type", "string")), position)
            for position, column in enumerate(descriptor.get("Columns") or ())
        )
        keys = {
            key["Name"].lower(): parse_hive_type(key.get("Type", "string")) for key in table.get("PartitionKeys") or ()
        }
        properties = serde_properties(table)
        parameters = dict(table.get("Parameters") or {})
        declared = [(column.name, str(column.type)) for column in columns]
        serde = json.dumps(descriptor.get("SerdeInfo"), sort_keys=True)
        declaration = hashlib.sha256(
            repr((serde, declared, sorted(keys), table.get("Parameters"), sorted(absent))).encode()
        ).hexdigest()[:16]
        is_strict = properties.get("ignore.malformed.json", "").lower() == "false"
        return cls(
            database,
            table["Name"],
            location,
            columns,
            keys,
            reader_of(table),
            is_strict,
            declaration,
            parameters,
            absent,
        )


@dataclass(frozen=True)
class PlannedScan:
    """One scan, or the part of one that one SerDe reads, with the files it opens; `relation` writes the SQL, with some
    files read from elsewhere if asked.
    """

    scan: TableScan
    table: ScannedTable
    files: tuple[ScanFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(found.file.size_bytes for found in self.files)

    def relation(
        self,
        readable: Callable[[LakeFile], ReadableFile | None],
        reader: Reader | None = None,
        *,
        suspects: Container[str] = (),
        checked_columns: Sequence[DataColumn] = (),
        lenient_columns: Sequence[DataColumn] | None = None,
    ) -> str:
        """A SELECT with the scan's columns. `readable` says how a file is opened, None that it is left out.

        suspects: paths of files that nobody has read whole. Of these, the values of checked_columns are read strictly
        although the query has no use for them, before any condition of the query leaves rows out: so a row with a
        value of the wrong type is found whatever the query asks. lenient_columns: rows in which one of these does not
        fit are left out (text files, once they are known to have such rows).
        """
        opened = [(found, how) for found in self.files if (how := readable(found.file)) is not None]
        if not opened:
            return _empty(self.scan.columns)
        reader = reader or self.table.reader
        wanted = {column.name for column in self.scan.columns}
        chosen = [
            column
            for column in self.table.columns
            if column.name in wanted and column.name not in self.table.partition_keys
        ]
        data = [column for column in chosen if column.name not in self.table.absent]
        keys = [key for key in self.table.partition_keys if key in wanted]
        hidden = [name for name in HIDDEN_COLUMNS if name in wanted]
        from_paths = not hidden and all(how.path == found.file.path for found, how in opened) and self._paths_tell(keys)
        extras = Extras(
            with_path=bool(hidden or (keys and not from_paths)),
            hive_keys=tuple(keys) if from_paths else (),
            lenient=lenient_columns is not None,
            checked=tuple(lenient_columns or ()),
        )
        sources = []
        for is_suspect in (False, True):
            read = [how for found, how in opened if (found.file.path in suspects) == is_suspect]
            if extras.with_path:  # two partitions may share a folder: read once, joined with the values of both
                read = list({how.path: how for how in read}.values())
            if read and is_suspect and checked_columns:
                sources.append(_checked_source(reader, read, data, checked_columns, extras))
            elif read:
                sources.append(reader.relation(read, data, extras))
        source = " UNION ALL ".join(sources)
        outputs = [
            quoted(column.name)
            if column.name not in self.table.absent
            else f"CAST(NULL AS {physical_type(column.type)}) AS {quoted(column.name)}"
            for column in chosen
        ]
        outputs += [
            f"{self._key_value(f's.{quoted(key)}' if from_paths else f'f.{quoted(key)}', key)} AS {quoted(key)}"
            for key in keys
        ]
        outputs += [f"f.{quoted(name)}" for name in hidden]
        selected = ", ".join(outputs) or "1 AS nothing"
        if not extras.with_path:
            return f"SELECT {selected} FROM ({source}) AS s"
        return (
            f"SELECT {selected} FROM ({source}) AS s JOIN ({self._file_table(opened, keys, hidden)}) AS f"
            f" ON s.{quoted(PATH_COLUMN)} = f.{quoted(PATH_COLUMN)}"
        )

    def _paths_tell(self, keys: Sequence[str]) -> bool:
        """Whether the folders of every file spell the partition's keys and values, and nothing else as key=value."""
        if not keys:
            return True
        names = list(self.table.partition_keys)
        told: dict[tuple[str, ...], str] = {}
        for found in self.files:
            folders = told.get(found.values)
            if folders is None:
                if any(not _is_plain(value) for value in found.values):
                    return False
                folders = "/" + "/".join(f"{n}={v}" for n, v in zip(names, found.values, strict=True)) + "/"
                told[found.values] = folders
            before, separator, after = found.file.path.rpartition(folders)
            if not separator or "=" in after or "=" in before:
                return False
        return True

    def _key_value(self, sql: str, key: str) -> str:
        key_type = self.table.partition_keys[key]
        if key_type.base == "varchar" and key_type.length is None:
            return sql
        return f"CAST({sql} AS {physical_type(key_type)})"

    def _file_table(
        self, opened: Sequence[tuple[ScanFile, ReadableFile]], keys: Sequence[str], hidden: Sequence[str]
    ) -> str:
        names = list(self.table.partition_keys)
        positions = [names.index(key) for key in keys]
        rows = []
        for found, how in opened:
            values = [text_literal(how.path)]
            for position in positions:
                value = found.values[position]
                values.append("NULL" if value == NULL_PARTITION else text_literal(value))
            values += [_hidden_value(name, found, names) for name in hidden]
            rows.append(f"({', '.join(values)})")
        columns = ", ".join(quoted(name) for name in (PATH_COLUMN, *keys, *hidden))
        return f"SELECT * FROM (VALUES {', '.join(rows)}) AS v({columns})"


def _checked_source(
    reader: Reader,
    files: Sequence[ReadableFile],
    data: Sequence[DataColumn],
    checked_columns: Sequence[DataColumn],
    extras: Extras,
) -> str:
    """A SELECT of `data` that converts every checked column of every row first. The sample keeps all rows; DuckDB
    moves no condition of a query below it, so none leaves out a row before it was looked at.
    """
    further = [column for column in checked_columns if column not in data]
    source = reader.relation(files, [*data, *further], replace(extras, strict=True))
    outputs = [column.name for column in data] + list(extras.hive_keys) + ([PATH_COLUMN] if extras.with_path else [])
    selected = ", ".join(quoted(name) for name in outputs) or '1 AS "$nothing"'
    names = ", ".join(quoted(column.name) for column in checked_columns)
    checked = f"SELECT * FROM ({source}) WHERE hash({names}) IS NOT NULL"
    return f"SELECT {selected} FROM (SELECT * FROM ({checked}) TABLESAMPLE system(100%))"


def _is_plain(value: str) -> bool:
    """Whether DuckDB reads this partition value from a path as it stands."""
    if value == NULL_PARTITION:
        return True
    return bool(value) and value != "NULL" and not any(character in "%/=\\[]*?" for character in value)


def _hidden_value(name: str, found: ScanFile, names: Sequence[str]) -> str:
    file = found.file
    if name == "$path":
        return text_literal(file.uri)
    if name == "$file_size":
        return f"CAST({file.size_bytes} AS BIGINT)"
    if name == "$file_modified_time":
        milliseconds = int(file.modified_at.timestamp() * 1000)
        return f"struct_pack(t := make_timestamp({milliseconds * 1000}), z := 'UTC')"
    if name == "$partition":
        return text_literal("/".join(f"{n}={v}" for n, v in zip(names, found.values, strict=True)))
    return "CAST(NULL AS BIGINT)"


def _empty(columns: Sequence[Column]) -> str:
    values = ", ".join(f"CAST(NULL AS {physical_type(column.type)}) AS {quoted(column.name)}" for column in columns)
    return f"SELECT {values or '1 AS nothing'} WHERE false"


class ScanPlanner:
    """Finds the files of a scan through the catalogue and the store."""

    def __init__(self, glue: Any, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._glue = glue
        self._store = store
        self._clock = clock

    def plan(self, scan: TableScan, glue_table: Mapping[str, Any]) -> tuple[PlannedScan, ...]:
        """The parts of a scan, by what reads them; at least one. Raises TrinoError when the table can't be read."""
        table = ScannedTable.of(scan.database, glue_table)
        if not table.partition_keys:
            listed = self._store.lister(table.location.bucket)
            files = tuple(ScanFile(file, ()) for file in files_under(listed, table.location))
            planned: tuple[PlannedScan, ...] = (PlannedScan(scan, table, files),)
        else:
            planned = self._partitioned(scan, table, glue_table)
        fetch = getattr(self._store, "fetch", None)
        if fetch is not None:
            fetch([found.file.path for part in planned for found in part.files])
        return planned

    def _partitioned(
        self, scan: TableScan, table: ScannedTable, glue_table: Mapping[str, Any]
    ) -> tuple[PlannedScan, ...]:
        tables: dict[str | None, ScannedTable] = {None: table}
        files: dict[str, list[ScanFile]] = {}
        listers: dict[str, FolderLister] = {}
        by_declaration: dict[str, ScannedTable] = {table.declaration: table}
        for row in self._rows(scan, table):
            own = tables.get(row.descriptor)
            if own is None:
                name = "/".join(f"{key}={value}" for key, value in zip(table.partition_keys, row.values, strict=True))
                as_table, absent = partition_as_table(glue_table, json.loads(row.descriptor or "{}"), name)
                own = ScannedTable.of(scan.database, as_table, absent)
                own = tables[row.descriptor] = by_declaration.setdefault(own.declaration, own)
            try:
                location = S3Location.parse(row.location)
            except InvalidLocation as error:
                raise TrinoError("HIVE_INVALID_METADATA", str(error)) from None
            found = files.setdefault(own.declaration, [])
            if location.bucket not in listers:
                listers[location.bucket] = self._store.lister(location.bucket)
            found += [ScanFile(file, row.values) for file in files_under(listers[location.bucket], location)]
        if not files:
            return (PlannedScan(scan, table, ()),)
        return tuple(PlannedScan(scan, by_declaration[name], tuple(found)) for name, found in files.items())

    def _rows(self, scan: TableScan, table: ScannedTable) -> Iterator[PartitionRow | ProjectedPartition]:
        """The partitions that the predicate allows."""
        predicate = scan.partition_predicate
        allows = partition_filter(predicate, table.partition_keys)
        expression = catalogue_expression(predicate, table.partition_keys)
        rows: Iterator[PartitionRow | ProjectedPartition]
        if is_projected(table.parameters):
            rows = projected_partitions(
                table.parameters, table.partition_keys, str(table.location), predicate, self._clock()
            )
        else:
            rows = partition_rows(self._glue, scan.database, scan.table, expression)
        for row in rows:
            if allows is None or allows(row.values):
                yield row
