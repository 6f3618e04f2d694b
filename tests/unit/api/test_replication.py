"""What replicas share is opened as the settings say, or the start ends with a sentence that says what to do."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import api.asgi
from api.asgi import _open_replica
from api.logs import json_log
from api.replication import Replication, open_key_store, open_replication
from api.settings import Settings, SettingsError
from glue.dynamodb_table import create_table
from service.dynamodb_tables import TABLES
from service.key_store import Digest, StoredKey
from tests.contract.aws_implementations import moto_client
from tests.contract.execution_store import execution
from tests.contract.key_store import FIRST, KEY

SECRET = "s" * 40
SHARED = Settings(engine="athena", store="dynamodb", secret=SECRET, max_concurrent_queries_total=1)


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with moto_client("dynamodb", monkeypatch) as client:
        yield client


def opened(data_dir: Path, settings: Settings) -> Replication:
    return open_replication(
        data_dir, settings, s3=None, engine_name="athena", clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)
    )


def test_replicas_share_executions_keys_secrets_and_slots(dynamodb: Any, tmp_path: Path) -> None:
    for definition in TABLES:
        create_table(dynamodb, definition, definition.default_name)
    first, second = opened(tmp_path / "1", SHARED), opened(tmp_path / "2", SHARED)
    for replica in (first, second):
        replica.ownership.start()
    stored = first.store.insert(execution())
    assert second.store.get(stored.query_id) == stored
    assert not second.ownership.is_gone(first.ownership.owner)
    assert first.key_ring.secrets() == second.key_ring.secrets()
    assert first.slots.take(stored.query_id)
    assert not second.slots.take("another")
    open_key_store(tmp_path / "1", SHARED).insert(StoredKey(KEY, Digest(FIRST.salt, FIRST.hash)))
    assert not open_key_store(tmp_path / "2", SHARED).is_empty()
    for replica in (first, second):
        replica.ownership.release()
        replica.close_clients()
    assert not any(path.name.endswith(".sqlite") for path in tmp_path.rglob("*"))


def test_a_table_that_is_not_there_stops_the_start(dynamodb: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no DynamoDB table data-hist-executions.*data-hist store create"):
        opened(tmp_path, SHARED)
    with pytest.raises(SettingsError, match="data-hist-keys"):
        open_key_store(tmp_path, SHARED)


@pytest.mark.parametrize("content", [None, "", "too short"])
def test_secrets_that_cannot_be_used_stop_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "secrets"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="the secrets cannot be") as error:
        opened(tmp_path, Settings(secret_file=path))
    assert "too short" not in str(error.value)


def test_a_service_by_itself_makes_its_own_secret_and_keeps_it(tmp_path: Path) -> None:
    secrets = []
    for _ in range(2):
        replica = opened(tmp_path, Settings())
        secrets.append(tuple(replica.key_ring.secrets()))
        replica.ownership.release()
        replica.store.close()
    assert secrets[0] == secrets[1]


def test_each_worker_of_a_process_manager_is_a_replica(
    dynamodb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for definition in TABLES:
        create_table(dynamodb, definition, definition.default_name)
    keys = open_key_store(tmp_path, SHARED)
    settings = replace(SHARED, data_dir=tmp_path, host="0.0.0.0", request_events=False)
    log = json_log(io.BytesIO(), "info")
    with pytest.raises(SettingsError, match="no API key exists"):
        _open_replica(settings, log)
    keys.insert(StoredKey(KEY, FIRST))
    worlds = [_open_replica(settings, log) for _ in range(2)]
    assert [world.lake.data_dir.name for world in worlds] == ["worker-1", "worker-2"]
    worlds[0].close()
    again = _open_replica(settings, log)
    assert again.lake.data_dir.name == "worker-1"
    monkeypatch.setattr(api.asgi, "MAXIMUM_WORKERS", 2)
    with pytest.raises(SettingsError, match="2 workers"):
        _open_replica(settings, log)
    for world in (worlds[1], again):
        world.close()
