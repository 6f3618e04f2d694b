"""The commands of README.md, docs/cli.md and docs/http-api.md, run as they stand there against a fresh data directory.

Only what a reader replaces is replaced: the address, `QUERY_ID`, and files of one's own.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND, Server, data_hist, environment_of, running_server

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)


def blocks(document: str) -> list[str]:
    """The code blocks of a document, fenced and indented."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fenced = FENCED.findall(text)
    return fenced + [
        re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in INDENTED.findall(FENCED.sub("", text))
    ]


def commands(document: str, word: str) -> list[str]:
    """The shell commands of a document that begin with `word`, as they are typed: over several lines if they are."""
    found: list[str] = []
    for block in blocks(document):
        typed = ""
        for line in block.splitlines():
            if not typed and not line.startswith(f"{word} "):
                continue
            typed += line + "\n"
            is_open = typed.count("'") % 2 == 1 or typed.count('"') % 2 == 1 or line.endswith("\\")
            if not is_open:
                found.append(typed)
                typed = ""
    return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service over a sample lake, as `make run` starts it, in a folder with the files that the documents name."""
    folder = tmp_path_factory.mktemp("readme")
    data_hist("sample", "--days", "1", data_dir=folder / ".data")
    (folder / "my.ndjson.gz").write_text('{"created_at": "2026-11-22T10:00:00Z", "n": 1}\n')
    (folder / "cpu.csv").write_text("timestamp,value\n2026-11-22 10:00:00,0.5\n")
    (folder / "report.sql").write_text("SELECT count(*) AS n FROM events")
    (folder / "trail").mkdir()
    record = {"eventTime": "2026-11-22T10:00:00Z", "eventSource": "s3.amazonaws.com"}
    (folder / "trail" / "1.json.gz").write_text(json.dumps({"Records": [record]}))
    with running_server(folder / ".data", DATA_HIST_REQUEST_EVENTS="off") as server:
        yield server


def run(house: Server, command: str) -> str:
    """What a command prints. It is run in the folder of the data directory, with `data-hist` on the path."""
    settings = {"DATA_HIST_URL": house.url, "PATH": f"{COMMAND.parent}:/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=house.data_dir.parent,
        env={**environment_of(), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def with_address(command: str, house: Server, query_id: str) -> str:
    command = re.sub(r"(http://)?(127\.0\.0\.1|localhost):8080", house.url, command)
    return command.replace("QUERY_ID", query_id)


@pytest.mark.parametrize("document", ["README.md", "docs/http-api.md"])
def test_the_three_calls_as_they_are_written(house: Server, document: str) -> None:
    submit, status, page = commands(document, "curl")[:3]
    submitted = json.loads(run(house, with_address(submit, house, "")))
    query_id = submitted["query_id"]
    while not (told := json.loads(run(house, with_address(status, house, query_id))))["is_terminal"]:
        pass
    assert told["status"] == "FINISHED"
    answer = json.loads(run(house, with_address(page, house, query_id)))
    assert answer["row_count"] == len(answer["result_set"]) > 0
    assert {"servicename", "events"} == set(answer["result_set"][0])


def data_hist_commands() -> list[tuple[str, str]]:
    """Every `data-hist` line of the documents but those that serve until they are stopped."""
    found = []
    for document in ("README.md", "docs/cli.md", "docs/loading.md"):
        for command in commands(document, "data-hist"):
            is_usage = "[" in command.split("#")[0] or "TABLE FILE" in command or command.startswith("data-hist: ")
            # `store` speaks with an AWS account: its own tests run it
            if not is_usage and command.split()[1] not in ("serve", "aws", "store"):
                found.append((document, command))
    return found


def test_the_commands_of_the_documents(house: Server) -> None:
    """In the documents' order, but keys come last: with the first one the door is closed."""
    found = data_hist_commands()
    assert {command.split()[1] for _, command in found} >= {"query", "load", "tables", "partitions", "keys"}
    key_id = ""
    for _, command in sorted(found, key=lambda pair: pair[1].startswith("data-hist keys")):
        told = run(house, command.replace("b1946ac92492", key_id or "b1946ac92492"))
        if command.startswith("data-hist keys create") and "--json" in command:
            key_id = json.loads(told)["id"]  # what a reader would copy into the next lines
    written = {path.name for path in house.data_dir.parent.iterdir()}
    assert {"report.csv", "day.parquet"} <= written
    key = json.loads(run(house, "data-hist keys create --json"))["key"]
    assert json.loads(run(house, f"data-hist query 'SELECT 1 AS n' --key {key} --format json")) == [{"n": 1}]


def test_every_command_and_option_of_the_program_is_in_its_document() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") + (ROOT / "docs" / "loading.md").read_text()
    shown = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^│ ([a-z]+)  ", shown, re.MULTILINE)
    assert {"serve", "query", "load", "sample", "aws", "tables", "partitions", "keys"} <= set(names)
    for name in names:
        assert f"data-hist {name}" in text, name
