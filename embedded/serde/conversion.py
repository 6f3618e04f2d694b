"""ORC and Avro files become Parquet copies, which DuckDB reads; columns are matched by name, or as the file has them.

ORC is read by Arrow. Avro object containers are read here: the format is small (Avro specification 1.11, "Object
Container Files"), and no library for it is among the locked ones.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.orc
import pyarrow.parquet

from embedded.serde.avro import avro_table


def convert_orc(path: str, copy: Path) -> None:
    """Writes the rows of an ORC file as Parquet. Raises ValueError for a file that is none."""
    try:
        file = pyarrow.orc.ORCFile(path)
        with pyarrow.parquet.ParquetWriter(copy, file.schema, compression="zstd") as writer:
            for stripe in range(file.nstripes):
                writer.write_batch(file.read_stripe(stripe))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not an ORC file: {str(error)[:200]}") from error


def convert_avro(path: str, copy: Path) -> None:
    """Writes the rows of an Avro object container as Parquet. Raises ValueError for a file that is none."""
    pyarrow.parquet.write_table(avro_table(Path(path).read_bytes()), copy, compression="zstd")
