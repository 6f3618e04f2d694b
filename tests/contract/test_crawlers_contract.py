"""What the project relies on of Glue's crawlers, held by the embedded Glue and, as far as it goes, by moto."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.glue import Glue
from glue import crawlers
from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.crawl_changes import changes, locations_of, tables_of
from glue.crawl_prediction import predict
from glue.crawl_run import run_crawler
from glue.crawler_configuration import CrawlerConfiguration
from glue.crawler_preset import CannotCrawl, crawler_name, deviations, preset
from glue.table_spec import load_table_specs, writer_layout
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, s3_client

SPECS = load_table_specs()
EVENTS = SPECS["events"]
BUCKET = EVENTS.bucket
NAME = crawler_name(EVENTS)
ROLE = "arn:aws:iam::123456789012:role/crawler"
PRESET = preset(EVENTS, ROLE, schedule="cron(15 * * * ? *)")


@pytest.fixture(params=IMPLEMENTATIONS)
def glue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with glue_client(request.param, tmp_path, monkeypatch) as client:
        if isinstance(client, Glue):
            client._crawl = lambda _glue, _crawler, _stop: Done()
        yield client


@dataclass
class Done:
    """A crawl that found nothing."""

    tables_created: int = 0
    tables_updated: int = 0
    tables_deleted: int = 0

    def summary(self) -> str:
        return "nothing"


def code_of(raised: pytest.ExceptionInfo[ClientError]) -> str:
    return str(raised.value.response["Error"]["Code"])


def ended(glue: Any, name: str = NAME) -> Mapping[str, Any]:
    return crawlers.wait(glue, name, timeout_seconds=60, clock=time.monotonic, sleep=lambda _: time.sleep(0.002))


class TestDefinitions:
    def test_made_found_and_deleted(self, glue: Any) -> None:
        assert crawlers.find(glue, NAME) is None
        assert crawlers.apply(glue, PRESET) == "created"
        found = crawlers.find(glue, NAME)
        assert found is not None
        assert (found["State"], found["Role"], found["DatabaseName"]) == ("READY", ROLE, EVENTS.database)
        assert found["Targets"]["S3Targets"][0]["Path"] == EVENTS.location
        assert found["Schedule"]["ScheduleExpression"] == "cron(15 * * * ? *)"
        assert json.loads(found["Configuration"]) == json.loads(PRESET["Configuration"])
        assert [each["Name"] for each in crawlers.find_all(glue)] == [NAME]
        assert [crawlers.delete(glue, NAME) for _ in range(2)] == [True, False]

    def test_applied_twice_is_applied_once(self, glue: Any) -> None:
        assert [crawlers.apply(glue, PRESET) for _ in range(2)] == ["created", "unchanged"]
        with pytest.raises(ClientError) as raised:
            glue.create_crawler(**PRESET)
        assert code_of(raised) == "AlreadyExistsException"

    def test_what_is_not_there(self, glue: Any) -> None:
        for call in (glue.get_crawler, glue.start_crawler, glue.stop_crawler, glue.delete_crawler):
            with pytest.raises(ClientError) as raised:
                call(Name="nothing")
            assert code_of(raised) == "EntityNotFoundException"

    def test_safe_settings_have_no_deviations(self, glue: Any) -> None:
        crawlers.apply(glue, PRESET)
        assert deviations(glue.get_crawler(Name=NAME)["Crawler"], EVENTS) == []


class TestRuns:
    def test_started_twice_is_started_once(self, glue: Any) -> None:
        crawlers.apply(glue, PRESET)
        running: Any = None
        if isinstance(glue, Glue):
            running = Held(glue)
        assert [crawlers.start(glue, NAME) for _ in range(2)] == [True, False]
        assert glue.get_crawler(Name=NAME)["Crawler"]["State"] == "RUNNING"
        if running is not None:
            with pytest.raises(ClientError) as raised:
                glue.delete_crawler(Name=NAME)
            assert code_of(raised) == "CrawlerRunningException"
        assert crawlers.stop(glue, NAME)
        if running is not None:
            assert glue.get_crawler(Name=NAME)["Crawler"]["State"] == "STOPPING"
            assert not crawlers.stop(glue, NAME)
            running.end()
            assert ended(glue)["LastCrawl"]["Status"] == "CANCELLED"
            assert not crawlers.stop(glue, NAME)


class Held:
    """Crawls of this Glue run until they are asked to stop and `end` was called."""

    def __init__(self, glue: Glue) -> None:
        self._may_end = False
        glue._crawl = self._run

    def _run(self, _glue: Any, _crawler: Mapping[str, Any], is_stopping: Callable[[], bool]) -> Done:
        while not (is_stopping() and self._may_end):
            time.sleep(0.002)
        return Done()

    def end(self) -> None:
        self._may_end = True


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Any]:
    glue = Glue(tmp_path / "catalogue.sqlite", crawl=lambda _glue, _crawler, _stop: Done())
    yield glue
    glue.close()


class TestEmbedded:
    """What moto has not: updates, metrics, errors of definitions, crawls that do something."""

    def test_an_update_keeps_what_it_does_not_name(self, embedded: Any) -> None:
        crawlers.apply(embedded, PRESET)
        assert crawlers.apply(embedded, {**PRESET, "Role": "other"}) == "updated"
        found = embedded.get_crawler(Name=NAME)["Crawler"]
        assert (found["Role"], found["Version"], found["Description"]) == ("other", 2, PRESET["Description"])
        embedded.update_crawler(Name=NAME, TablePrefix="x_")
        assert embedded.get_crawler(Name=NAME)["Crawler"]["Role"] == "other"

    def test_the_target_of_new_folders_only_is_fixed(self, embedded: Any) -> None:
        crawlers.apply(embedded, PRESET)
        moved = {**PRESET, "Targets": {"S3Targets": [{"Path": "s3://other/"}]}}
        with pytest.raises(crawlers.TargetIsFixed):
            crawlers.apply(embedded, moved)
        with pytest.raises(ClientError, match="immutable"):
            embedded.update_crawler(**moved)

    @pytest.mark.parametrize(
        "members",
        [
            {"Targets": {}},
            {"Targets": {"S3Targets": [{"Path": ""}]}},
            {"Targets": {"S3Targets": [{"Path": "s3://b/", "SampleSize": 250}]}},
            {"SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"}},
            {"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}},
            {"Configuration": "{"},
            {"Configuration": '{"Version": 3}'},
            {"Schedule": "every hour"},
            {"Role": " "},
        ],
    )
    def test_definitions_that_glue_refuses(self, embedded: Any, members: dict[str, Any]) -> None:
        with pytest.raises(ClientError) as raised:
            embedded.create_crawler(**{**PRESET, **members})
        assert code_of(raised) == "InvalidInputException"
        assert crawlers.find(embedded, NAME) is None

    def test_schedules(self, embedded: Any) -> None:
        crawlers.apply(embedded, PRESET)
        embedded.stop_crawler_schedule(CrawlerName=NAME)
        with pytest.raises(ClientError) as raised:
            embedded.stop_crawler_schedule(CrawlerName=NAME)
        assert code_of(raised) == "SchedulerNotRunningException"
        assert embedded.get_crawler(Name=NAME)["Crawler"]["Schedule"]["State"] == "NOT_SCHEDULED"
        embedded.start_crawler_schedule(CrawlerName=NAME)
        embedded.update_crawler_schedule(CrawlerName=NAME, Schedule="")
        with pytest.raises(ClientError) as raised:
            embedded.start_crawler_schedule(CrawlerName=NAME)
        assert code_of(raised) == "NoScheduleException"

    def test_lists_and_tags(self, embedded: Any) -> None:
        for number in range(5):
            embedded.create_crawler(**{**PRESET, "Name": f"c{number}", "Tags": {"odd": str(number % 2)}})
        assert embedded.list_crawlers(Tags={"odd": "1"})["CrawlerNames"] == ["c1", "c3"]
        pages = embedded.get_paginator("get_crawlers").paginate(PaginationConfig={"PageSize": 2})
        assert [found["Name"] for page in pages for found in page["Crawlers"]] == [f"c{n}" for n in range(5)]
        found = embedded.batch_get_crawlers(CrawlerNames=["c1", "nothing"])
        assert ([each["Name"] for each in found["Crawlers"]], found["CrawlersNotFound"]) == (["c1"], ["nothing"])

    def test_a_crawl_that_fails_is_remembered(self, embedded: Any) -> None:
        def fail(_glue: Any, _crawler: Any, _stop: Any) -> Done:
            raise RuntimeError("access denied")

        embedded._crawl = fail
        crawlers.apply(embedded, PRESET)
        crawlers.start(embedded, NAME)
        last = ended(embedded)["LastCrawl"]
        assert (last["Status"], last["ErrorMessage"]) == ("FAILED", "RuntimeError: access denied")
        embedded._crawl = lambda _glue, _crawler, _stop: Done(tables_created=2)
        crawlers.start(embedded, NAME)
        ended(embedded)
        runs = crawlers.history(embedded, NAME, limit=10)
        assert [run.state for run in runs] == ["COMPLETED", "FAILED"]
        assert [run.cost_usd for run in runs] == [0, 0]
        only = embedded.list_crawls(
            CrawlerName=NAME, Filters=[{"FieldName": "STATE", "FilterOperator": "EQ", "FieldValue": "FAILED"}]
        )
        assert [crawl["CrawlId"] for crawl in only["Crawls"]] == [runs[1].crawl_id]
        assert len(embedded.list_crawls(CrawlerName=NAME, MaxResults=1)["Crawls"]) == 1
        (metrics,) = embedded.get_crawler_metrics(CrawlerNameList=[NAME])["CrawlerMetricsList"]
        assert (metrics["TablesCreated"], metrics["StillEstimating"]) == (2, False)

    def test_without_a_crawl_it_says_so_by_name(self, tmp_path: Path) -> None:
        glue = Glue(tmp_path / "other.sqlite")
        crawlers.apply(glue, PRESET)
        with pytest.raises(ClientError, match="does not implement a crawl"):
            glue.start_crawler(Name=NAME)
        glue.close()

    def test_two_clients_see_the_same_run(self, embedded: Any, tmp_path: Path) -> None:
        running = Held(embedded)
        crawlers.apply(embedded, PRESET)
        crawlers.start(embedded, NAME)
        other = Glue(tmp_path / "catalogue.sqlite", crawl=lambda _glue, _crawler, _stop: Done())
        assert other.get_crawler(Name=NAME)["Crawler"]["State"] == "RUNNING"
        assert not crawlers.start(other, NAME)
        assert crawlers.stop(other, NAME)
        running.end()
        assert ended(other)["LastCrawl"]["Status"] == "CANCELLED"
        assert crawlers.start(other, NAME)
        assert ended(embedded)["LastCrawl"]["Status"] == "SUCCEEDED"
        other.close()

    def test_waiting_has_an_end(self, embedded: Any) -> None:
        running = Held(embedded)
        crawlers.apply(embedded, PRESET)
        crawlers.start(embedded, NAME)
        told: list[str] = []
        times = iter(range(100))
        with pytest.raises(crawlers.CrawlTimeout):
            crawlers.wait(
                embedded,
                NAME,
                timeout_seconds=3,
                clock=lambda: float(next(times)),
                sleep=lambda _: None,
                on_change=lambda state, _: told.append(state),
            )
        assert set(told) == {"RUNNING"}
        running.end()


class Lake:
    """A small lake of events with the crawler of the preset, or of other settings."""

    def __init__(self, glue: Any, s3: Any) -> None:
        self.glue, self.s3 = glue, s3
        ensure_buckets(s3, [BUCKET])
        glue.create_database(DatabaseInput={"Name": EVENTS.database})

    def put(self, key: str, *rows: Any) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    def run(self, **members: Any) -> Mapping[str, Any]:
        """Applies and runs a crawler; what it was when it had ended."""
        crawlers.apply(self.glue, {**PRESET, **members})
        crawlers.start(self.glue, members.get("Name", NAME))
        return ended(self.glue, members.get("Name", NAME))

    def tables(self) -> dict[str, Mapping[str, Any]]:
        return {table["Name"]: table for table in tables_of(self.glue, EVENTS.database)}

    def values(self, table: str = "events") -> set[tuple[str, ...]]:
        answer = self.glue.get_partitions(DatabaseName=EVENTS.database, TableName=table)
        return {tuple(entry["Values"]) for entry in answer["Partitions"]}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with s3_client("embedded", tmp_path, monkeypatch) as s3:
        glue = Glue(tmp_path / "catalogue.sqlite", crawl=partial(run_crawler, s3, lambda: datetime.now(UTC)))
        yield Lake(glue, s3)
        glue.close()


UNSAFE = {
    "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DELETE_FROM_DATABASE"},
    "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
    "Configuration": '{"Version": 1.0}',
}


class TestCrawls:
    """An embedded crawl lists the embedded S3 and writes what a dry run has told."""

    def test_what_a_dry_run_told_is_what_is_there_afterwards(self, lake: Lake) -> None:
        for minute in range(3):
            lake.put(f"secor/events/dt=2026-11-22/hr=10/min={minute:02d}/1.json", {"customerid": minute, "x": 1.5})
        lake.put("secor/events/dt=2026-11-22/hr=10/min=00/_SUCCESS", "marker")
        told = predict(lake.s3, CrawlerConfiguration.from_crawler(PRESET))
        assert lake.run()["LastCrawl"]["Status"] == "SUCCEEDED"
        (table,) = lake.tables().values()
        (predicted,) = told.tables
        assert table["Name"] == predicted.name == "events"
        assert {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]} == {
            column.name: column.hive() for column in predicted.columns
        }
        assert lake.values() == {partition.values for partition in predicted.partitions}
        assert len(lake.values()) == 3
        before = lake.tables()
        assert lake.run()["LastCrawl"]["Status"] == "SUCCEEDED"
        assert lake.tables() == before
        assert crawlers.history(lake.glue, NAME, limit=1)[0].summary.startswith("tables created 0, updated 0")

    def test_the_preset_adds_partitions_to_our_table_and_changes_no_column(self, lake: Lake) -> None:
        ensure_catalogue(lake.glue, [EVENTS])
        lake.put("secor/events/dt=2026-11-22/hr=10/min=00/1.json", {"customerid": 1, "surprise": {"a": 1}})
        before = lake.tables()["events"]
        lake.run()
        assert lake.tables() == {"events": before}
        answer = lake.glue.get_partition(
            DatabaseName=EVENTS.database, TableName="events", PartitionValues=["2026-11-22", "10", "00"]
        )
        descriptor = answer["Partition"]["StorageDescriptor"]
        assert descriptor["Columns"] == before["StorageDescriptor"]["Columns"]
        assert descriptor["SerdeInfo"] == before["StorageDescriptor"]["SerdeInfo"]
        assert descriptor["Location"] == f"{EVENTS.location}dt=2026-11-22/hr=10/min=00/"

    def test_an_unsafe_crawler_does_what_the_dry_run_and_the_status_warn_of(self, lake: Lake) -> None:
        ensure_catalogue(lake.glue, [EVENTS])
        lake.put("secor/events/dt=2026-11-22/hr=10/min=00/1.json", {"customerid": "text", "surprise": 1})
        crawlers.apply(lake.glue, {**PRESET, **UNSAFE})
        found = lake.glue.get_crawler(Name=NAME)["Crawler"]
        settings = {deviation.setting for deviation in deviations(found, EVENTS)}
        assert settings == {
            "SchemaChangePolicy.UpdateBehavior",
            "SchemaChangePolicy.DeleteBehavior",
            "Partitions.AddOrUpdateBehavior",
            "TableGroupingPolicy",
            "TableThreshold",
            "RecrawlBehavior",
        }
        configuration = CrawlerConfiguration.from_crawler(found)
        known = tables_of(lake.glue, EVENTS.database)
        prediction = predict(lake.s3, configuration, taken_names=locations_of(known))
        (change,) = changes(lake.glue, configuration, prediction, known)
        assert change.verdict == "review"
        assert ("customerid", "bigint", "string") in change.retyped
        assert "REMOVES resourceid" in change.effect
        assert "data_hist.spec" in change.lost_parameters
        crawlers.start(lake.glue, NAME)
        ended(lake.glue)
        table = lake.tables()["events"]
        assert [c["Name"] for c in table["StorageDescriptor"]["Columns"]] == ["customerid", "surprise"]
        assert "data_hist.spec" not in table["Parameters"]

    def test_new_columns_are_merged_where_that_is_asked_for(self, lake: Lake) -> None:
        ensure_catalogue(lake.glue, [EVENTS])
        lake.put("secor/events/dt=2026-11-22/hr=10/min=00/1.json", {"customerid": "text", "surprise": 1})
        merging = {
            **UNSAFE,
            "Configuration": '{"Version":1.0,"CrawlerOutput":{"Tables":{"AddOrUpdateBehavior":"MergeNewColumns"}}}',
        }
        for _ in range(2):
            lake.run(**merging)
        columns = {c["Name"]: c["Type"] for c in lake.tables()["events"]["StorageDescriptor"]["Columns"]}
        assert (columns["customerid"], columns["surprise"], columns["resourceid"]) == ("bigint", "int", "string")

    def test_too_many_tables_write_nothing(self, lake: Lake) -> None:
        for number in range(3):
            lake.put(f"secor/events/dt={number}/x.json", {f"c{number}": 1})
        threshold = {**UNSAFE, "Configuration": '{"Version":1.0,"CrawlerOutput":{"Tables":{"TableThreshold":2}}}'}
        last = lake.run(**threshold)["LastCrawl"]
        assert last["Status"] == "FAILED"
        assert "Table Threshold value = 2, Tables detected - 3" in last["ErrorMessage"]
        assert lake.tables() == {}

    @pytest.mark.parametrize(
        ("behavior", "left"), [("LOG", 2), ("DEPRECATE_IN_DATABASE", 2), ("DELETE_FROM_DATABASE", 1)]
    )
    def test_what_is_gone(self, lake: Lake, behavior: str, left: int) -> None:
        settings = {**UNSAFE, "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": behavior}}
        targets = {"Targets": {"S3Targets": [{"Path": f"s3://{BUCKET}/a/"}, {"Path": f"s3://{BUCKET}/b/"}]}}
        lake.put("a/p=1/x.json", {"a": 1})
        lake.put("a/p=2/x.json", {"a": 1})
        lake.put("b/p=1/x.json", {"b": 1})
        ensure_catalogue(lake.glue, [EVENTS])  # nobody's business
        lake.run(**settings, **targets)
        lake.s3.delete_object(Bucket=BUCKET, Key="a/p=2/x.json")
        lake.s3.delete_object(Bucket=BUCKET, Key="b/p=1/x.json")
        for _ in range(2):
            lake.run(**settings, **targets)
        tables = lake.tables()
        assert len(tables) == left + 1
        assert len(lake.values("a")) == (1 if behavior == "DELETE_FROM_DATABASE" else 2)
        is_marked = "DEPRECATED_BY_CRAWLER" in tables.get("b", {}).get("Parameters", {})
        assert is_marked is (behavior == "DEPRECATE_IN_DATABASE")

    def test_partition_keys_that_differ_are_left_alone(self, lake: Lake) -> None:
        ensure_catalogue(lake.glue, [EVENTS])
        lake.put("secor/events/2026/11/22/1.json", {"customerid": 1})
        lake.run()
        assert lake.values() == set()


class TestPreset:
    def test_with_events_it_crawls_what_they_tell(self) -> None:
        wanted = preset(EVENTS, ROLE, queue_arn="arn:aws:sqs:r:1:q", dead_letter_arn="arn:aws:sqs:r:1:d", sample_size=3)
        assert wanted["RecrawlPolicy"] == {"RecrawlBehavior": "CRAWL_EVENT_MODE"}
        (target,) = wanted["Targets"]["S3Targets"]
        assert (target["EventQueueArn"], target["DlqEventQueueArn"]) == ("arn:aws:sqs:r:1:q", "arn:aws:sqs:r:1:d")
        assert deviations({**wanted, "State": "READY"}, EVENTS) == []

    def test_tables_that_no_crawler_reads_as_they_are(self) -> None:
        from dataclasses import replace

        for layout in (replace(EVENTS.layout, has_md5_prefix=True), writer_layout("firehose", "lake")):
            with pytest.raises(CannotCrawl):
                preset(replace(EVENTS, layout=layout), ROLE)

    def test_each_deviation_says_what_it_breaks(self) -> None:
        target = {"Path": f"s3://{BUCKET}/secor/"}
        crawler = {**PRESET, **UNSAFE, "Targets": {"S3Targets": [target, {"Path": "s3://other/"}]}}
        found = deviations(crawler, EVENTS)
        assert {deviation.setting for deviation in found} >= {"Path", "Exclusions", "S3Targets"}
        assert all(deviation.breaks and deviation.preset for deviation in found)
        (unreadable,) = deviations({**PRESET, "Configuration": "{"})
        assert unreadable.setting == "Configuration"
