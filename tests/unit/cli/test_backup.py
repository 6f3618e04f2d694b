"""`data-hist backup`: a copy is whole or says that it is not; twice copies nothing; what went is gone from the copy."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.backup import MANIFEST, back_up, faults
from cli.main import run


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with a database in write-ahead mode, objects, results, a secret, and what is the process's."""
    folder = tmp_path / "data"
    (folder / "s3/lake/secor/events").mkdir(parents=True)
    (folder / "s3/lake/secor/events/one.gz").write_bytes(b"one")
    (folder / "s3/lake/not.sqlite").write_bytes(b"an object that is named like a database")
    (folder / "spool").mkdir()
    (folder / "spool/result").write_bytes(b"rows")
    (folder / "secret").write_bytes(b"s" * 32)
    (folder / "secret").chmod(0o600)
    (folder / "temporary").mkdir()
    (folder / "temporary/half").write_bytes(b"half")
    (folder / "athena.lock").touch()
    return folder


@pytest.fixture
def database(data_dir: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data_dir / "executions.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE told (n INTEGER)")
        connection.execute("INSERT INTO told VALUES (1)")
        connection.commit()
        yield connection


def rows(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "executions.sqlite")) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM told")]


def test_a_copy_has_what_is_data_and_nothing_of_the_process(
    data_dir: Path, database: sqlite3.Connection, tmp_path: Path
) -> None:
    report = back_up(data_dir, tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == {
        "executions.sqlite",
        "secret",
        "s3/lake/secor/events/one.gz",
        "s3/lake/not.sqlite",
        "spool/result",
        MANIFEST,
    }
    assert (report.databases, report.files, report.copied_files) == (1, 4, 4)
    assert rows(tmp_path / "copy") == [1]
    assert (tmp_path / "copy/secret").stat().st_mode & 0o777 == 0o600
    assert faults(tmp_path / "copy") == []


def test_what_is_written_and_not_yet_in_the_database_file_is_in_the_copy(
    data_dir: Path, database: sqlite3.Connection, tmp_path: Path
) -> None:
    """A plain copy of the file would lack it: it lies in the write-ahead log. What is not committed is not there."""
    database.execute("INSERT INTO told VALUES (2)")
    database.commit()
    database.execute("INSERT INTO told VALUES (3)")
    back_up(data_dir, tmp_path / "copy")
    assert rows(tmp_path / "copy") == [1, 2]


def test_a_second_copy_copies_only_what_changed_and_forgets_what_went(
    data_dir: Path, database: sqlite3.Connection, tmp_path: Path
) -> None:
    back_up(data_dir, tmp_path / "copy")
    assert back_up(data_dir, tmp_path / "copy").copied_files == 0
    (data_dir / "s3/lake/secor/events/two.gz").write_bytes(b"two")
    (data_dir / "spool/result").unlink()
    report = back_up(data_dir, tmp_path / "copy")
    assert (report.copied_files, report.removed) == (1, 1)
    assert not (tmp_path / "copy/spool/result").exists()
    assert faults(tmp_path / "copy") == []


def test_a_copy_that_was_cut_off_says_so_and_can_be_finished(
    data_dir: Path, database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise OSError("no space left on device")

    back_up(data_dir, tmp_path / "copy")
    (data_dir / "s3/lake/secor/events/two.gz").write_bytes(b"two")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy2", cut_off)
        with pytest.raises(OSError, match="no space"):
            back_up(data_dir, tmp_path / "copy")
    assert faults(tmp_path / "copy") == [f"{tmp_path / 'copy'} is no finished copy: no {MANIFEST}"]
    assert run(["backup", "create", str(tmp_path / "copy"), "--data-dir", str(data_dir)]) == 0
    assert faults(tmp_path / "copy") == []


def test_verify_tells_a_damaged_copy(
    data_dir: Path,
    database: sqlite3.Connection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    back_up(data_dir, tmp_path / "copy")
    (tmp_path / "copy/s3/lake/secor/events/one.gz").unlink()
    (tmp_path / "copy/executions.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    monkeypatch.chdir(tmp_path)
    assert run(["backup", "verify", "copy", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["is_whole"] is False
    assert [fault.split(":")[0] for fault in told["faults"]] == [
        "4 files were copied, 3 are there",
        "executions.sqlite",
    ]


@pytest.mark.parametrize("target", ["data/inside", ".", "elsewhere"])
def test_a_folder_that_cannot_be_meant_is_left_alone(
    data_dir: Path, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_bytes(b"mine")
    assert run(["backup", "create", target, "--data-dir", str(data_dir)]) == 2
    assert (tmp_path / "elsewhere/precious").read_bytes() == b"mine"
    assert run(["backup", "create", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "nowhere")]) == 2
