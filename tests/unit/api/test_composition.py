"""The embedded world: built twice it is the same, its secret is its own, its faults are told before anything runs."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.asgi import application
from api.composition import World, build_world
from api.exchange import Exchange
from api.logs import json_log
from api.server import open_world, require_safe_address
from api.settings import Settings, SettingsError
from cli.lake import open_lake
from embedded.directory_lock import DirectoryInUse
from glue.registration import register_lake
from glue.sweep_schedule import DataSweeper
from service.errors import QueryFailed, StatementError, StoreUnavailable
from service.model import OPERATOR, QueryRequest
from tests.unit.glue.fakes import client_error


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = build_world(tmp_path / "data", Settings(data_dir=tmp_path / "data", request_events="off"))
    yield built
    asyncio.run(built.query_service.close())
    built.close()


def test_a_directory_that_is_served_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(DirectoryInUse):
        build_world(tmp_path / "data", Settings(data_dir=tmp_path / "data"))
    with pytest.raises(SettingsError, match="served by process"):
        open_world(Settings(data_dir=tmp_path / "data"), json_log(io.BytesIO(), "info"))


def test_a_table_spec_with_a_fault_stops_the_start_with_its_file_and_key(tmp_path: Path) -> None:
    specs = tmp_path / "tables"
    specs.mkdir()
    (specs / "shop.yaml").write_text("nam: shop\n")
    settings = Settings(data_dir=tmp_path / "data", tables_dir=specs)
    with pytest.raises(SettingsError, match=r"shop\.yaml: name is missing; is nam meant for it\?"):
        open_world(settings, json_log(io.BytesIO(), "info"))
    (specs / "shop.yaml").unlink()
    open_world(settings, json_log(io.BytesIO(), "info")).close()


def test_a_start_that_fails_lets_go_of_the_directory(tmp_path: Path) -> None:
    exposed = Settings(data_dir=tmp_path / "data", host="0.0.0.0")
    for _ in range(2):
        with pytest.raises(SettingsError, match="keys create"):
            open_world(exposed, json_log(io.BytesIO(), "info"))


def test_nothing_in_the_data_directory_knows_where_it_lies(tmp_path: Path) -> None:
    """Built, used, closed; then no file holds the folder's path."""
    data_dir = tmp_path / "a-folder-of-its-own"
    built = build_world(data_dir, Settings(data_dir=data_dir))

    async def use() -> None:
        await built.query_service.start()
        execution = await built.query_service.submit(QueryRequest("SELECT count(*) AS n FROM events"), OPERATOR)
        ended = await built.query_service.status(execution.query_id, OPERATOR, wait_seconds=30)
        assert ended.has_result, ended
        await built.query_service.next_page(execution.query_id, OPERATOR)
        built.record(Exchange("r", "GET", "/", route="/v0/data_hist/queries", status=200), 0.1)
        await built.query_service.close()

    asyncio.run(use())
    built.close()
    for path in data_dir.rglob("*"):
        if path.is_file():
            assert b"a-folder-of-its-own" not in path.read_bytes(), path


@pytest.mark.parametrize("query", ["SELECT nosuch(1)", "SELECT 1 + 'a'", "SELECT customerid + servicename FROM events"])
def test_what_only_the_analyser_sees_is_refused_before_it_runs(world: World, query: str) -> None:
    with pytest.raises((QueryFailed, StatementError)) as refusal:
        asyncio.run(world.query_service.submit(QueryRequest(query), OPERATOR))
    assert refusal.value.code in ("FunctionNotFound", "TypeMismatch")


def test_readings_of_an_idle_service(world: World) -> None:
    readings = {reading.name: reading.value for reading in world.readings()}
    assert readings["data_hist_queries_running"] == readings["data_hist_queue_depth"] == 0
    assert readings["data_hist_scanned_bytes"] == 0
    assert readings["data_hist_spool_bytes"] == 0


def test_numbers_are_told_though_the_store_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise StoreUnavailable("the store cannot be reached")

    monkeypatch.setattr(world.store, "count_by_status", away)
    names = {reading.name for reading in world.readings()}
    assert "data_hist_queries" not in names
    assert {"data_hist_queries_running", "data_hist_queue_depth", "data_hist_spool_bytes"} <= names


def test_numbers_are_told_though_the_ledger_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise client_error("Query", "ThrottlingException")

    assert "data_hist_table_bytes" in {reading.name for reading in world.readings()}
    monkeypatch.setattr(world.lake.ledger, "freshness", away)
    readings = {reading.name: reading.value for reading in world.readings()}
    assert not readings.get("data_hist_table_bytes")
    assert "data_hist_queries_running" in readings


def test_an_address_that_others_reach_wants_a_key(world: World) -> None:
    everywhere = Settings(host="0.0.0.0")
    require_safe_address(Settings(), world)
    with pytest.raises(SettingsError, match="keys create"):
        require_safe_address(everywhere, world)
    key = world.keys.create(customers=None)
    require_safe_address(everywhere, world)
    world.keys.revoke(key.key.key_id)
    require_safe_address(everywhere, world)


def test_a_process_manager_always_wants_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_HIST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)  # pytest's stand-in has no bytes
    with pytest.raises(SettingsError, match="keys create"):
        application()


@pytest.mark.parametrize(("setting", "is_left"), [("on", False), ("report", True), ("off", True)])
def test_data_past_its_retention_leaves_by_itself_when_it_shall(tmp_path: Path, setting: str, is_left: bool) -> None:
    data_dir = tmp_path / "data"
    folder = data_dir / "s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10/min=05"
    folder.mkdir(parents=True)
    (folder / "1.gz").write_bytes(b"0123456789")
    with open_lake(data_dir) as lake:
        register_lake(lake.glue, lake.s3, lake.ledger, lake.tables["events"])
    settings = Settings(data_dir=data_dir, request_events="off", watch="off", data_retention=setting)
    world = build_world(data_dir, settings, clock=lambda: datetime.now(UTC) + timedelta(days=400))
    sweeper = world.data_sweeper
    assert (sweeper is None) is (setting == "off")
    if sweeper is not None:
        sweeper.close()
        sweeper = DataSweeper(sweeper._sweep_one, world.lake.tables.values())  # one whole round, in this thread
        sweeper.sweep()
    assert bool(world.ledger.summary("events").object_count) is is_left
    assert (folder / "1.gz").exists() is is_left
    asyncio.run(world.query_service.close())
    world.close()
