from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import run

NAME = "data-hist-events"


def put(data_dir: Path, minute: int) -> None:
    folder = data_dir / f"s3/data-hist-lake/secor/events/dt=2026-11-21/hr=10/min={minute:02d}"
    folder.mkdir(parents=True)
    (folder / "1_0_00000000000000000000.json").write_text('{"customerid": 11000, "datatags": {"region": "x"}}\n')


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    for minute in range(3):
        put(tmp_path, minute)
    return tmp_path


@pytest.fixture
def call(data_dir: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Any]:
    """Runs `data-hist crawler`; the document it prints, and what people are told."""

    def called(*arguments: str, status: int = 0) -> Any:
        capfdbinary.readouterr()
        assert run(["crawler", *arguments, "--data-dir", str(data_dir), "--json"]) == status
        return json.loads(capfdbinary.readouterr().out)

    return called


def told(data_dir: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    capfd.readouterr()
    assert run(["crawler", *arguments, "--data-dir", str(data_dir)]) == 0
    both = capfd.readouterr()
    return both.out + both.err


def test_from_plan_to_delete(call: Callable[..., Any]) -> None:
    assert call("status")["crawlers"] == []
    planned = call("plan", "events", "--schedule", "cron(15 * * * ? *)")
    assert planned["crawlers"][0]["outcome"] == "created"
    assert planned["cost"]["runs_per_month"] == 720
    assert call("apply", "events")["crawlers"][0]["outcome"] == "created"
    assert call("apply", "events")["crawlers"][0]["outcome"] == "unchanged"
    changed = call("plan", "events", "--schedule", "cron(15 * * * ? *)")["crawlers"][0]
    assert (changed["outcome"], changed["changed"]) == ("updated", ["Schedule"])
    started = call("start", "events")["crawlers"][0]
    assert (started["started"], started["last_crawl_status"], started["deviations"]) == (True, "SUCCEEDED", [])
    assert call("wait", "events", "--timeout", "10")["crawlers"][0]["state"] == "READY"
    assert call("stop", "events")["crawlers"] == [{"name": NAME, "stopped": False}]
    (crawl,) = call("history")["crawlers"][0]["crawls"]
    assert (crawl["state"], crawl["cost_usd"]) == ("COMPLETED", 0)
    assert "partitions created 3" in crawl["summary"]
    assert call("status", NAME)["crawlers"][0]["table"] == "events"
    assert [call("delete", "events")["crawlers"][0]["deleted"] for _ in range(2)] == [True, False]


def test_a_dry_run_of_a_table_and_of_any_folder(call: Callable[..., Any]) -> None:
    (events,) = call("dry-run", "events")["crawlers"][0]["tables"]
    assert (events["name"], events["partition_count"]) == ("events", 3)
    change = events["change"]
    assert (change["exists"], change["verdict"], change["new_partitions"]) == (True, "review", 3)
    assert {"name": "customerid", "from": "bigint", "to": "int"} in change["retyped_columns"]
    (folder,) = call("dry-run", "--path", "s3://data-hist-lake/secor/")["crawlers"][0]["tables"]
    assert [key["name"] for key in folder["partition_keys"]] == ["partition_0", "dt", "hr", "min"]
    (level,) = call("dry-run", "--path", "s3://data-hist-lake/secor/", "--table-level", "3", "--combine")["crawlers"][
        0
    ]["tables"]
    assert level["name"] == "events"
    assert call("dry-run", "--path", "s3://data-hist-lake/secor/", "--exclude", "**")["crawlers"][0]["tables"] == []
    call("apply", "events")
    assert call("dry-run", "--crawler", NAME)["crawlers"][0]["name"] == NAME


def test_for_people(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "744" not in told(data_dir, capfd, "plan", "events")
    text = told(data_dir, capfd, "dry-run", "events")
    assert "table data_hist.events (exists)" in text
    assert "customerid: bigint in the catalogue, int found" in text
    assert "review: the crawler logs the difference, changes no column" in text
    assert "$0.15 at least" in text
    told(data_dir, capfd, "apply", "events")
    assert "SUCCEEDED" in told(data_dir, capfd, "start", "events") + told(data_dir, capfd, "status")
    assert "1 run, $0.00" in told(data_dir, capfd, "history")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["plan", "events", "--schedule", "hourly"], "--schedule: 'hourly' is not written"),
        (["plan", "events", "--dead-letters", "arn"], "goes with --queue"),
        (["plan", "evnts"], "did you mean events"),
        (["start"], "no table has a crawler"),
        (["start", "nothing"], "there is no crawler 'nothing'"),
        (["dry-run", "events", "--path", "s3://x/"], "name tables, or --path, or --crawler"),
        (["dry-run", "--path", "hdfs://x/"], "no s3:// path"),
        (["dry-run", "--crawler", "nothing"], "there is no crawler"),
    ],
)
def test_what_cannot_be_meant(call: Callable[..., Any], arguments: list[str], why: str) -> None:
    assert why in call(*arguments, status=2)["error"]["detail"]
