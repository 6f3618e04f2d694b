from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from cli.main import run

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.mark.parametrize(
    "arguments",
    [
        ["load"],
        ["load", "events"],
        ["load", "events", "x.json", "--time", ""],
        ["load", "events", "x.json", "--time", "t", "--service", "="],
        ["load", "events", "x.json", "--time", "t", "--customer", "=acme"],
        ["load", "event", "x.json", "--time", "t"],
        ["nothing"],
        ["tables", "show", "evens"],
        ["tables", "show"],
        ["partitions", "register", "evens"],
        ["partitions", "verify", "evens"],
        ["partitions", "gaps", "events", "--from", "yesterday"],
        ["partitions", "status", "events", "--to", "9999-12-31"],
        ["partitions", "explain", "events"],
        ["keys", "revoke", "nobody"],
        ["keys", "rotate", "nobody"],
        ["keys", "rotate", "nobody", "--overlap", "soon"],
        ["keys", "create", "--expires", "soon"],
        ["keys", "create", "--expires", "2020-01-01"],
        ["keys", "create", "--scope", "rule"],
        ["keys", "create", "--customer", "acme"],
        ["sample", "--end", "soon"],
        ["aws", "--host", "0.0.0.0"],
    ],
)
def test_wrong_use_is_one_sentence_and_with_json_one_document(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("DATA_HIST_DATA_DIR", str(tmp_path))
    assert run(arguments) == ExitCode.USAGE
    plain = capfdbinary.readouterr()
    assert plain.out == b""
    assert plain.err.decode().startswith("data-hist: ")
    assert plain.err.count(b"\n") == 1
    assert run([*arguments, "--json"]) == ExitCode.USAGE
    document = json.loads(capfdbinary.readouterr().out)
    assert document["error"]["exit_code"] == 2
    assert document["error"]["code"]


def test_a_wrong_table_gets_a_suggestion(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(["tables", "show", "evens", "--data-dir", str(tmp_path)])
    assert "did you mean events?" in capfd.readouterr().err


def test_a_data_directory_that_cannot_be_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["tables", "--data-dir", str(tmp_path / "file")]) == ExitCode.USAGE
    assert "cannot be used" in capfd.readouterr().err


def test_exit_statuses_are_the_documented_ones() -> None:
    documented = {int(number): name for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", DOCS.read_text(), re.M)}
    assert documented == {int(code): code.name.lower() for code in ExitCode}


def test_every_command_is_documented() -> None:
    help_of = [[], ["tables"], ["partitions"], ["keys"]]
    text = DOCS.read_text()
    for group in help_of:
        script = f"from cli.main import run; run({[*group, '--help']!r})"
        environment = {"TERM": "dumb", "COLUMNS": "200", "PATH": ""}
        output = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True,
            cwd=Path(__file__).parents[3],
        ).stdout  # fmt: skip
        commands = re.findall(r"^[│|] (\w+) ", output.partition("Commands")[2], re.M)
        assert commands
        for command in commands:
            assert f"data-hist {' '.join([*group, command])}" in text


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from cli.main import run; run(['--help']);"
        "heavy = {'duckdb', 'pyarrow', 'httpx', 'botocore', 'connexion', 'sqlglot'} & set(sys.modules);"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert finished.stderr.strip() == ""
    assert finished.returncode == 0


def test_loading_does_not_load_the_engine(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"time": 1}\n')
    arguments = ["load", "events", str(tmp_path / "x.json"), "--time", "time", "--data-dir", str(tmp_path)]
    script = (
        f"import sys; from cli.main import run; status = run({arguments!r});"
        "heavy = {'duckdb', 'connexion', 'sqlglot', 'pyarrow', 'httpx'} & set(sys.modules);"
        "sys.exit(status or ','.join(sorted(heavy)) or 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert finished.returncode == 0, finished.stderr
