"""The lake of a data directory, for commands that work without a running service: no DuckDB, no HTTP, quick to open."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.failure import Failure
from embedded.glue import Glue
from embedded.s3 import S3
from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.ledger import SqliteLedger
from glue.table_spec import TableSpec, load_table_specs

RESULTS_BUCKET = "data-hist-results"


@dataclass(frozen=True)
class Lake:
    """Storage, catalogue, ledger and tables of one data directory."""

    data_dir: Path
    s3: S3
    glue: Glue
    ledger: SqliteLedger
    specs: Mapping[str, TableSpec]

    def table(self, name: str) -> TableSpec:
        """The table of this name. Ends the command when there is none, with the nearest name that is one."""
        if name in self.specs:
            return self.specs[name]
        near = difflib.get_close_matches(name, self.specs, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(self.specs)}"
        raise Failure(f"there is no table {name!r}{hint}", code="TableNotFound", members={"suggestions": near})


@contextmanager
def open_lake(data_dir: Path) -> Iterator[Lake]:
    """The lake of this folder, made where it is not there yet. Ends the command when the folder cannot be used."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        specs = load_table_specs()
        s3, glue = S3(data_dir / "s3"), Glue(data_dir / "catalogue.sqlite")
        ledger = SqliteLedger(data_dir / "ledger.sqlite")
    except OSError as error:
        raise Failure(f"the data directory {data_dir} cannot be used: {error.strerror or error}") from error
    try:
        ensure_buckets(s3, sorted({spec.bucket for spec in specs.values()} | {RESULTS_BUCKET}))
        ensure_catalogue(glue, specs.values())
        yield Lake(data_dir, s3, glue, ledger, specs)
    finally:
        ledger.close()
        glue.close()


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
