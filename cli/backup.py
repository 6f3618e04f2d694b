"""`data-hist backup`: a copy of a data directory that can be served, taken while the service runs.

    databases (SQLite's online backup, one by one) -> keys and secrets -> objects and results -> backup.json

In this order, since what comes later may only have more: an object that the copied catalogue does not know is
registered by the watch when the copy is served, an empty partition harms nobody, a query whose result went meanwhile
answers that it has expired. Each database is a whole at one moment, never a torn file. `backup.json` is written last
and taken away first, so a copy that was cut off is told from a whole one; doing it again goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import say, write_json

app = typer.Typer(help="Copies of a data directory.", no_args_is_help=True)

MANIFEST = "backup.json"
# What belongs to the process that runs, not to the data.
_OF_THE_PROCESS = frozenset({"athena.lock", "temporary", "owners", MANIFEST})
_OF_SQLITE = ("-wal", "-shm", "-journal")

Target = Annotated[Path, typer.Argument(metavar="TARGET", help="Folder of the copy.")]


@dataclass
class BackupReport:
    """What a copy has, and what of it was copied this time. `removed` were in the copy and are no more."""

    databases: int = 0
    files: int = 0
    total_bytes: int = 0
    copied_files: int = 0
    copied_bytes: int = 0
    removed: int = 0


@app.callback()
def backup() -> None:
    """Copy a data directory while the service runs, and look whether a copy is whole."""


@app.command()
def create(target: Target, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Copy the data directory to TARGET. An earlier copy there is brought up to date: only what changed is copied.

    To restore, copy TARGET to where the data directory was, and serve it.
    """
    if not data_dir.is_dir():
        raise Failure(f"there is no data directory {data_dir}", code="NotFound")
    source, copy = data_dir.resolve(), target.resolve()
    if copy.is_relative_to(source) or source.is_relative_to(copy):
        raise Failure(f"{target} and {data_dir} lie in one another")
    if copy.exists() and any(copy.iterdir()) and not (copy / MANIFEST).exists() and not (copy / ".incomplete").exists():
        raise Failure(f"{target} has something else in it: no {MANIFEST}")
    report = back_up(source, copy)
    if as_json:
        write_json(asdict(report))
    else:
        say(
            f"{report.databases} databases and {report.files} files, {report.total_bytes} bytes;"
            f" copied {report.copied_files} files, {report.copied_bytes} bytes"
        )
    return 0


@app.command()
def verify(target: Target, as_json: AsJson = False) -> int:
    """Look whether a copy is whole: it was finished, has as many files as then, and every database is sound."""
    complaints = faults(target.resolve())
    if as_json:
        write_json({"is_whole": not complaints, "faults": complaints})
    for complaint in complaints:
        say(complaint)
    return 3 if complaints else 0


def back_up(source: Path, target: Path) -> BackupReport:
    """Makes `target` a copy of the data directory `source`. Doing it twice copies nothing the second time."""
    target.mkdir(parents=True, exist_ok=True)
    (target / ".incomplete").touch()
    (target / MANIFEST).unlink(missing_ok=True)
    report = BackupReport()
    wanted: set[Path] = set()
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix == ".sqlite":
            _copy_database(path, target / path.name)
            wanted.add(target / path.name)
            report.databases += 1
    for path in _files(source):
        copy = target / path.relative_to(source)
        if _copy_file(path, copy, report):
            wanted.add(copy)
    for path in _files(target):
        if path not in wanted:
            path.unlink()
            report.removed += 1
    report.files = len(wanted) - report.databases
    report.total_bytes = sum(path.stat().st_size for path in wanted)
    (target / f"{MANIFEST}.new").write_text(json.dumps(asdict(report)) + "\n", encoding="utf-8")
    (target / f"{MANIFEST}.new").replace(target / MANIFEST)
    (target / ".incomplete").unlink()
    return report


def faults(target: Path) -> list[str]:
    """What is wrong with a copy, in sentences."""
    try:
        told = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return [f"{target} is no finished copy: no {MANIFEST}"]
    found = [path for path in _files(target) if path.suffix != ".sqlite" or path.parent != target]
    complaints = []
    if len(found) != told["files"]:
        complaints.append(f"{told['files']} files were copied, {len(found)} are there")
    databases = sorted(target.glob("*.sqlite"))
    if len(databases) != told["databases"]:
        complaints.append(f"{told['databases']} databases were copied, {len(databases)} are there")
    for path in databases:
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
                answer = database.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            answer = str(error)
        if answer != "ok":
            complaints.append(f"{path.name}: {answer}")
    return complaints


def _files(folder: Path) -> Iterator[Path]:
    """The files of a data directory or a copy of one that are data, without the databases of its top."""
    for place, names, files in os.walk(folder):
        is_top = Path(place) == folder
        if is_top:
            names[:] = [name for name in names if name not in _OF_THE_PROCESS]
        for name in files:
            if is_top and (name in _OF_THE_PROCESS or name == ".incomplete" or name.endswith(_OF_SQLITE)):
                continue
            path = Path(place) / name
            if is_top and path.suffix == ".sqlite":
                continue
            yield path


def _copy_database(source: Path, target: Path) -> None:
    """SQLite's online backup (SQLite: "Using the SQLite Online Backup API"): one moment's content, whoever writes."""
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as origin,
        closing(sqlite3.connect(new)) as copy,
    ):
        origin.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    new.chmod(source.stat().st_mode)
    new.replace(target)


def _copy_file(source: Path, target: Path, report: BackupReport) -> bool:
    """Copies a file unless its copy is as large and as old; False when it went meanwhile."""
    try:
        told = source.stat()
        with suppress(FileNotFoundError):
            known = target.stat()
            if (known.st_size, known.st_mtime_ns) == (told.st_size, told.st_mtime_ns):
                return True
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f"{target.name}.new")
        shutil.copy2(source, new)
        new.replace(target)
    except FileNotFoundError:
        return False
    report.copied_files += 1
    report.copied_bytes += told.st_size
    return True
