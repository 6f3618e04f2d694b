"""What `data-hist serve` prints for a person works as it stands: three lines to paste."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import COMMAND, environment_of


def pasted(line: str, query_id: str) -> Any:
    """The JSON answer to a printed curl line: its URL, its header and its body as a shell would hand them over."""
    words = shlex.split(line.replace("QUERY_ID", query_id))
    assert words[:2] == ["curl", "-s"]
    url = words[2]
    if "-d" not in words:
        return httpx.get(url, timeout=60).json()
    name, _, value = words[words.index("-H") + 1].partition(": ")
    return httpx.post(url, content=words[words.index("-d") + 1], headers={name: value}, timeout=60).json()


def test_the_three_lines_can_be_pasted(tmp_path: Path) -> None:
    command = [COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment_of()
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while len(lines) < 3:
                printed = process.stdout.readline()
                assert printed, "the server ended before it greeted"
                if printed.startswith("curl"):
                    lines.append(printed.strip())
            query_id = pasted(lines[0], "")["query_id"]
            assert pasted(lines[1], query_id)["status"] == "FINISHED"
            assert pasted(lines[2], query_id)["query_id"] == query_id
        finally:
            process.terminate()
            process.wait(60)
