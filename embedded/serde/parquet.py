"""Parquet files, columns matched by name without regard to case; a column that a file lacks is NULL.

Source: Athena user guide, "Handling schema updates": Parquet is read by name.
"""

# ruff: noqa: S608 - SQL is what this module makes; every name and text in it is quoted

from __future__ import annotations

from collections.abc import Sequence

from embedded.serde.reader import PATH_COLUMN, DataColumn, Extras, ReadableFile, file_list, partition_options
from embedded.sql.physical import from_named, named_type, quoted


class ParquetReader:
    """Reads Parquet. `union_by_name` lets old files lack new columns.

    source: 'parquet', or the format ('orc', 'avro') of files that are read through a Parquet copy.
    """

    name = "parquet"

    def __init__(self, source: str = "parquet") -> None:
        self.source = source

    def relation(self, files: Sequence[ReadableFile], columns: Sequence[DataColumn], extras: Extras) -> str:
        # A row of the declared columns, all NULL, with no rows: gives every declared column a name and a type.
        outputs = [
            f"{from_named(f'CAST({quoted(column.name)} AS {named_type(column.type)})', column.type)}"
            f" AS {quoted(column.name)}"
            for column in columns
        ]
        outputs += [quoted(key) for key in extras.hive_keys]
        if extras.with_path:
            outputs.append(quoted(PATH_COLUMN))
        empty = ", ".join(f"CAST(NULL AS {named_type(column.type)}) AS {quoted(column.name)}" for column in columns)
        source = f"SELECT * FROM read_parquet({file_list(files)}, union_by_name = true{partition_options(extras)})"
        if columns:
            source = f"SELECT * FROM (SELECT {empty} WHERE false) UNION ALL BY NAME {source}"
        return f"SELECT {', '.join(outputs) or '1 AS nothing'} FROM ({source})"
