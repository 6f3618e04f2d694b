"""`data-hist keys` over its own store: what a user types, what comes out, what the service makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.failure import Failure
from cli.main import run
from cli.options import key_of
from service.key_store import SqliteKeyStore
from service.keys import ApiKeys

Command = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs `data-hist keys ... --json`; the document."""

    def keys(*arguments: str) -> Any:
        assert run(["keys", *arguments, "--data-dir", str(tmp_path), "--json"]) == 0
        return json.loads(capfdbinary.readouterr().out)

    return keys


def is_good(data_dir: Path, secret: str, *, later: timedelta = timedelta()) -> bool:
    keys = ApiKeys(SqliteKeyStore(data_dir / "keys.sqlite"), clock=lambda: datetime.now(UTC) + later)
    try:
        return keys.authenticate(secret) is not None
    finally:
        keys.close()


def test_a_key_expires_when_it_was_told_to(command: Command, tmp_path: Path) -> None:
    created = command("create", "--expires", "2h", "--max-bytes", "1000")
    assert created["maximum_scan_bytes"] == 1000
    assert is_good(tmp_path, created["key"], later=timedelta(minutes=119))
    assert not is_good(tmp_path, created["key"], later=timedelta(minutes=121))
    assert command("create", "--expires", "2999-01-01")["expires_at"] == "2999-01-01T00:00:00Z"
    assert command("create")["expires_at"] is None


def test_rotation_leaves_the_old_secret_for_the_overlap(command: Command, tmp_path: Path) -> None:
    created = command("create", "--customer", "11000")
    rotated = command("rotate", created["id"], "--overlap", "30m")
    assert (rotated["id"], rotated["customers"]) == (created["id"], [11000])
    for later, old_is_good in ((timedelta(minutes=29), True), (timedelta(minutes=31), False)):
        assert is_good(tmp_path, created["key"], later=later) is old_is_good
        assert is_good(tmp_path, rotated["key"], later=later)


def test_the_list_tells_expiry_and_use_and_no_secret(
    command: Command, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    created = command("create", "--expires", "30d", "--name", "nightly")
    assert command("list")["keys"][0]["last_used_at"] is None
    assert is_good(tmp_path, created["key"])
    [listed] = command("list")["keys"]
    assert listed["last_used_at"] is not None
    assert listed["expires_at"] == created["expires_at"]
    assert run(["keys", "list", "--data-dir", str(tmp_path)]) == 0
    table = capfdbinary.readouterr().out.decode()
    assert created["expires_at"] in table
    assert "nightly" in table
    assert created["key"].split(".")[1] not in table


def test_the_key_to_send_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("k1.secret\n")
    assert key_of(None) is None
    monkeypatch.setenv("DATA_HIST_API_KEY_FILE", str(path))
    assert key_of(None) == "k1.secret"
    assert key_of("given") == "given"
    monkeypatch.setenv("DATA_HIST_API_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(Failure, match="DATA_HIST_API_KEY_FILE"):
        key_of(None)
