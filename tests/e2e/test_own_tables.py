"""Tables of one's own over real data: the guide's own spec for CloudTrail, and one for GitHub's events, loaded and
asked by their raised fields. Expectations are counted here, in plain Python, from the files themselves.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import data_hist, running_server
from tests.shared_data import shared_data

pytestmark = [pytest.mark.real_data, pytest.mark.xdist_group("real-data")]

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "tables.md"
PUSHES = """
name: pushes
database: data_hist
description: GitHub's events.
envelope: v0
raised:
  - {name: kind, type: string, path: $.type, description: The event.}
  - {name: repo_id, type: bigint, path: $.repo.id, description: The repository.}
  - {name: is_public, type: boolean, path: $.public, description: Whether everybody sees it.}
  - {name: happened_at, type: timestamp, path: $.created_at, description: When (UTC).}
  - {name: size, type: int, path: [$.payload.size, $.payload.number], description: "Commits, or an issue's number."}
  - {name: shas, type: "array<struct<sha:string>>", path: $.payload.commits, description: The commits.}
location: {prefix: secor, topic: pushes}
layout: {granularity: minute}
allowed_lateness_minutes: 60
allowed_clock_skew_minutes: 5
retention_days: 365
"""


def spec_of_the_guide() -> str:
    match = re.search(r"```yaml\n# tables/trail\.yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


def test_tables_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = tmp_path / "tables"
    specs.mkdir()
    (specs / "trail.yaml").write_text(spec_of_the_guide())
    (specs / "pushes.yaml").write_text(PUSHES)
    monkeypatch.setenv("DATA_HIST_TABLES_DIR", str(specs))
    data_dir = tmp_path / "data"
    trail = sorted(shared_data("cloudtrail-invictus").glob("*_CloudTrail_*.json"))
    github = shared_data("github-events-2021") / "2021-07-21-few-hours.json"
    data_hist(
        *("load", "trail", *map(str, trail), "--records", "Records", "--time", "eventTime", "--service", "eventSource"),
        data_dir=data_dir,
    )
    data_hist("load", "pushes", str(github), "--time", "created_at", "--service", "=github", data_dir=data_dir)
    calls: list[dict[str, Any]] = [record for path in trail for record in json.loads(path.read_text())["Records"]]
    events: list[dict[str, Any]] = [json.loads(line) for line in github.read_text().splitlines()]
    with running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off", DATA_HIST_TABLES_DIR=str(specs)) as server:
        rows = server.rows(
            "SELECT event_name, count(*) AS n, min(happened_at) AS first FROM trail WHERE NOT is_read_only GROUP BY 1"
        )
        writes = [call for call in calls if call.get("readOnly") is False]
        assert {row["event_name"]: row["n"] for row in rows} == Counter(call["eventName"] for call in writes)
        earliest = min(call["eventTime"] for call in writes)
        assert min(row["first"] for row in rows)[:19] == earliest[:19]
        (totals,) = server.rows(
            "SELECT count(size) AS sized, sum(size) AS total, count_if(is_public) AS public, count(DISTINCT repo_id)"
            " AS repos, sum(cardinality(shas)) AS commits, count(happened_at) AS dated FROM pushes"
        )
        sizes = [event["payload"].get("size", event["payload"].get("number")) for event in events]
        assert totals == {
            "sized": sum(size is not None for size in sizes),
            "total": sum(size or 0 for size in sizes),
            "public": sum(event["public"] for event in events),
            "repos": len({event["repo"]["id"] for event in events}),
            "commits": sum(len(event["payload"].get("commits", ())) for event in events),
            "dated": len(events),
        }
        table = server.get("/tables/trail").json()
        raised = {column["name"]: column["raised_from"] for column in table["columns"] if "raised_from" in column}
        assert raised["event_name"] == ["$.eventName"]
        answer = server.post("/validate", json={"query": "SELECT event_nam FROM trail"}).json()
        assert answer["problems"][0]["suggestions"][0] == "event_name"
