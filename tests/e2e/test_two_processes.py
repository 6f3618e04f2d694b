"""One data directory, several processes: one serves it, a second is refused, commands work beside the one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND, LAKE_ROWS, Server, data_hist, environment_of


@pytest.mark.parametrize("command", ["serve", "aws"])
def test_a_directory_that_is_served_is_served_once(server: Server, command: str) -> None:
    second = subprocess.run(
        [COMMAND, command, "--port", "0", "--data-dir", str(server.data_dir)],
        capture_output=True,
        text=True,
        env=environment_of(),
        check=False,
        timeout=60,
    )
    assert second.returncode == 2
    assert f"served by process {server.process.pid}" in second.stderr
    assert "--data-dir" in second.stderr
    assert "Traceback" not in second.stderr
    assert server.rows("SELECT count(*) AS n FROM events") == [{"n": LAKE_ROWS}]


def test_the_commands_on_a_directory_work_beside_a_server(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server()
    source = tmp_path / "more.ndjson"
    source.write_text('{"at": "2026-11-22T00:00:00Z"}\n')
    assert data_hist("load", "events", str(source), "--time", "at", data_dir=server.data_dir)["loaded"] == 1
    assert server.rows("SELECT count(*) AS n FROM events") == [{"n": LAKE_ROWS + 1}]
    assert data_hist("tables", "show", "events", data_dir=server.data_dir)["freshness"]["object_count"] > 1
    assert data_hist("partitions", "register", "events", data_dir=server.data_dir)["registered"] == 0
    assert data_hist("keys", "list", data_dir=server.data_dir) == {"keys": []}
