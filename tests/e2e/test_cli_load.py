"""`data-hist load` and its neighbours as a user runs them: another process, a data directory, the folder."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import expected, shared_data

COMMAND = Path(sys.executable).with_name("data-hist")
LAKE = Path("s3/data-hist-lake/secor")


def data_hist(data_dir: Path, *arguments: object, status: int = 0) -> Any:
    """Run the command with --json; its document. The exit status must be `status`."""
    finished = subprocess.run(
        [COMMAND, *map(str, arguments), "--data-dir", data_dir, "--json"], capture_output=True, check=False
    )
    assert finished.returncode == status, finished.stderr.decode()
    return json.loads(finished.stdout)


def records(data_dir: Path, table: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The records of a table with their folders, read from the objects themselves."""
    root = data_dir / LAKE / table
    for path in sorted(root.rglob("*.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            yield path.parent.relative_to(root), json.loads(line)


def folder_of(milliseconds: int) -> Path:
    moment = time.gmtime(milliseconds // 1000)
    return Path(time.strftime("dt=%Y-%m-%d/hr=%H/min=%M", moment))


def loaded_twice(data_dir: Path, arguments: Sequence[object]) -> dict[str, Any]:
    """Load, load again: the second time adds nothing. The report of the first time."""
    first: dict[str, Any] = data_hist(data_dir, "load", *arguments)
    objects = {path: path.read_bytes() for path in (data_dir / "s3").rglob("*") if path.is_file()}
    second = data_hist(data_dir, "load", *arguments)
    assert (second["loaded"], second["rows"], second["already_loaded"]) == (0, 0, first["files"])
    assert {path: path.read_bytes() for path in (data_dir / "s3").rglob("*") if path.is_file()} == objects
    return first


def agrees_with_ledger(data_dir: Path, table: str) -> None:
    freshness = data_hist(data_dir, "tables", "show", table)["freshness"]
    objects = list((data_dir / LAKE / table).rglob("*.gz"))
    assert freshness["object_count"] == len(objects)
    assert freshness["partition_count"] == len({path.parent for path in objects})
    assert freshness["size_bytes"] == sum(path.stat().st_size for path in objects)


@pytest.mark.real_data
def test_github_events(tmp_path: Path) -> None:
    truth = expected("github-events-2021")
    (file,) = shared_data("github-events-2021").glob("2021*.json")
    report = loaded_twice(
        tmp_path, ["events", file, "--time", "created_at", "--service", "type", "--tags", "repo.name,public"]
    )
    assert (report["loaded"], report["rejected"]) == (truth["rows"], 0)
    found = list(records(tmp_path, "events"))
    assert Counter(record["servicename"] for _, record in found) == dict(truth["by_type"])
    assert all(folder == folder_of(record["createdtimestamp"]) for folder, record in found)
    by_hour = Counter("T".join(part.partition("=")[2] for part in folder.parts[:2]) for folder, _ in found)
    assert by_hour == truth["by_hour"]
    source = [json.loads(line) for line in file.read_text().splitlines()]
    by_id = {row["id"]: row for row in source}
    for _, record in found:
        payload = json.loads(record["data"])
        assert payload == by_id[payload["id"]]
        assert record["datatags"] == {"repo.name": payload["repo"]["name"], "public": "true"}
        assert (record["customerid"], record["resourceid"], record["operationid"]) == (1, "", "")
    agrees_with_ledger(tmp_path, "events")


@pytest.mark.real_data
def test_cloudtrail_records_inside_documents(tmp_path: Path) -> None:
    truth = expected("cloudtrail-invictus")
    files = sorted(shared_data("cloudtrail-invictus").glob("2180*.json"))
    arguments = ["events", *files, "--time", "eventTime", "--records", "Records", "--service", "eventSource"]
    report = loaded_twice(tmp_path, arguments)
    assert (report["files"], report["loaded"]) == (truth["files"], truth["records"])
    found = [record for _, record in records(tmp_path, "events")]
    assert Counter(record["servicename"] for record in found) == dict(truth["by_service"])
    assert len({json.loads(record["data"])["eventID"] for record in found}) == truth["unique_eventIDs"]
    buckets = Counter(record["createdtimestamp"] // 300_000 for record in found)
    assert sorted(buckets.values()) == sorted(truth["by_5min"].values())
    agrees_with_ledger(tmp_path, "events")


@pytest.mark.real_data
def test_metrics_from_csv(tmp_path: Path) -> None:
    truth = expected("nab-cloudwatch")["ec2_cpu_utilization_24ae8d.csv"]
    file = shared_data("nab-cloudwatch") / "ec2_cpu_utilization_24ae8d.csv"
    report = loaded_twice(
        tmp_path, ["metrics", file, "--time", "timestamp", "--service", "=cloudwatch", "--customer", "=11000"]
    )
    assert report["loaded"] == truth["rows"]
    found = list(records(tmp_path, "metrics"))
    values = [json.loads(record["data"])["value"] for _, record in found]
    assert (min(values), max(values)) == (truth["min"], truth["max"])
    assert sum(values) == pytest.approx(truth["sum"], rel=1e-12)
    assert Counter(folder.parts[0].removeprefix("dt=") for folder, _ in found) == truth["days"]
    assert {(record["servicename"], record["customerid"]) for _, record in found} == {("cloudwatch", 11000)}
    written = {line.partition(",")[2] for line in file.read_text().splitlines()[1:]}
    assert {record["data"].partition('"value":')[2].rstrip("}") for _, record in found} == written  # digit by digit
    agrees_with_ledger(tmp_path, "metrics")


@pytest.mark.real_data
def test_zeek_events_gzipped_with_dotted_names(tmp_path: Path) -> None:
    truth = expected("zeek-events")
    files = sorted(shared_data("zeek-events").glob("*.json.gz"))
    report = loaded_twice(tmp_path, ["events", *files, "--time", "ts", "--service", "_path", "--tags", "id.orig_h"])
    assert {Path(f["file"]).name: f["loaded"] for f in report["file_reports"]} == {
        f.name: truth[f.name]["rows"] for f in files
    }
    found = [record for _, record in records(tmp_path, "events")]
    for file in files:
        mine = [r for r in found if r["servicename"] == file.name.removesuffix(".json.gz")]
        top = Counter(r["datatags"].get("id.orig_h") for r in mine)
        assert [count for _, count in top.most_common(5)] == [count for _, count in truth[file.name]["top_orig_h"][:5]]
    agrees_with_ledger(tmp_path, "events")


def test_rejected_rows_are_shown_kept_and_told_by_the_exit_status(tmp_path: Path) -> None:
    source = tmp_path / "rows.ndjson"
    source.write_text('{"at":1626847200}\n{"at":"soon"}\nnot json\n{"at":1626847260000}\n')
    report = data_hist(tmp_path / "data", "load", "events", source, "--time", "at", status=3)
    assert (report["rows"], report["loaded"], report["rejected"], report["exit_code"]) == (4, 2, 2, 3)
    kept = Path(report["file_reports"][0]["rejects_file"]).read_text().splitlines()
    assert [json.loads(line)["line"] for line in kept] == [2, 3]
    again = data_hist(tmp_path / "data", "load", "events", source, "--time", "at", status=3)
    assert (again["loaded"], again["already_loaded"], again["rejected"]) == (0, 1, 2)
    missing = data_hist(tmp_path / "data", "load", "events", tmp_path / "absent", "--time", "at", status=2)
    assert missing["file_reports"][0]["reason"] == "no such file"


def test_killed_at_any_time_and_loaded_again_every_row_is_there_once(tmp_path: Path) -> None:
    source = tmp_path / "rows.ndjson"
    count = 60_000
    with source.open("w") as file:
        file.writelines(f'{{"at":{1_626_847_200_000 + n * 1000},"n":{n}}}\n' for n in range(count))
    data_dir = tmp_path / "data"
    arguments = ["load", "events", source, "--time", "at", "--data-dir", data_dir, "--json"]
    killed = 0
    for delay in (0.25, 0.45, 0.6, 0.75, 0.9, 1.1):
        process = subprocess.Popen([COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
        data_hist(data_dir, "partitions", "register", "events")
    report = data_hist(data_dir, "load", "events", source, "--time", "at")
    assert report["failed"] == 0
    numbers = Counter(json.loads(record["data"])["n"] for _, record in records(data_dir, "events"))
    assert len(numbers) == count
    assert set(numbers.values()) == {1}
    assert killed > 0
    assert list((data_dir / "loading").iterdir()) == []
    agrees_with_ledger(data_dir, "events")


def test_what_lies_in_the_folder_is_registered(tmp_path: Path) -> None:
    folder = tmp_path / LAKE / "events" / "dt=2026-11-22" / "hr=10" / "min=05"
    folder.mkdir(parents=True)
    record = {"customerid": 1, "servicename": "x", "createdtimestamp": 1, "data": "{}"}
    (folder / "mine.gz").write_bytes(gzip.compress(json.dumps(record).encode()))
    wrong = tmp_path / LAKE / "events" / "dt=2026-13-45" / "hr=10" / "min=05"
    wrong.mkdir(parents=True)
    (wrong / "1_0_00000000000000000000.gz").write_bytes(b"")
    first = data_hist(tmp_path, "partitions", "register", "events")
    assert (first["registered"], first["foreign"], first["objects"]) == (1, 1, 1)
    assert "dt='2026-13-45'" in first["foreign_samples"][0]["reason"]
    second = data_hist(tmp_path, "partitions", "register", "events")
    assert (second["registered"], second["already_known"]) == (0, 1)
    table = data_hist(tmp_path, "tables", "show", "events")
    assert table["location"] == "s3://data-hist-lake/secor/events/"
    assert table["partition_keys"] == ["dt", "hr", "min"]
    assert table["freshness"]["last_partition"] == "dt=2026-11-22/hr=10/min=05"
    assert {c["name"]: c["type"] for c in table["columns"]}["datatags"] == "map<string,string>"


def test_the_data_directory_can_be_moved(tmp_path: Path) -> None:
    source = tmp_path / "rows.ndjson"
    source.write_text('{"at":1626847200}\n{}\n')
    data_hist(tmp_path / "one", "load", "events", source, "--time", "at", status=3)
    (tmp_path / "one").rename(tmp_path / "two")
    again = data_hist(tmp_path / "two", "load", "events", source, "--time", "at", status=3)
    assert again["already_loaded"] == 1
    assert Path(again["file_reports"][0]["rejects_file"]).is_file()
    for path in (tmp_path / "two").glob("*.sqlite"):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_keys(tmp_path: Path) -> None:
    created = data_hist(tmp_path, "keys", "create", "--customer", 11000, "--customer", 11001, "--name", "support")
    assert created["key"].startswith(created["id"])
    assert (created["customers"], created["scopes"]) == ([11000, 11001], ["query"])
    operator = data_hist(tmp_path, "keys", "create", "--scope", "query", "--scope", "operate")
    assert (operator["customers"], operator["scopes"]) == (None, ["operate", "query"])
    for _ in range(2):
        assert data_hist(tmp_path, "keys", "revoke", created["id"])["revoked_at"]
    listed = {key["id"]: key for key in data_hist(tmp_path, "keys", "list")["keys"]}
    assert set(listed) == {created["id"], operator["id"]}
    assert "key" not in listed[created["id"]]
    for path in tmp_path.glob("keys.sqlite*"):
        assert created["key"].partition(".")[2].encode() not in path.read_bytes()


def test_the_sample_lake_is_made_once(tmp_path: Path) -> None:
    arguments = ["sample", "--days", 1, "--end", "2026-11-22T10:00:00Z"]
    first = data_hist(tmp_path, *arguments)
    assert not first["was_there"]
    second = data_hist(tmp_path, "sample")
    assert second == {**first, "was_there": True}
    tables = data_hist(tmp_path, "tables")["tables"]
    assert [(table["database"], table["name"]) for table in tables] == [
        ("data_hist", "events"),
        ("data_hist_v1", "events"),
        ("data_hist", "logs"),
        ("data_hist", "metrics"),
    ]
    assert {table["freshness"]["last_partition"] for table in tables} == {"dt=2026-11-22/hr=09/min=59"}
    registered = data_hist(tmp_path, "partitions", "register", "logs")
    assert (registered["registered"], registered["already_known"], registered["foreign"]) == (0, 1440, 0)
    assert data_hist(tmp_path, "sample", "--if-empty") == second


def test_a_sample_for_an_empty_lake_leaves_other_data_alone(tmp_path: Path) -> None:
    folder = tmp_path / LAKE / "events" / "dt=2026-11-22" / "hr=10" / "min=05"
    folder.mkdir(parents=True)
    (folder / "mine.gz").write_bytes(gzip.compress(b"{}"))
    assert data_hist(tmp_path, "sample", "--if-empty")["objects"] == 0
    assert len(list((tmp_path / "s3").rglob("*.gz"))) == 1
