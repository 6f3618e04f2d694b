"""Crawls of the embedded Glue and the processes that run them: killed, closed, two at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.glue import Glue

DEFINITION: dict[str, Any] = {
    "Name": "c",
    "Role": "r",
    "DatabaseName": "d",
    "Targets": {"S3Targets": [{"Path": "s3://lake/"}]},
}
CRAWLS_FOR_EVER = """
import sys, time
from pathlib import Path
from embedded.glue import Glue

def crawl(glue, crawler, is_stopping):
    print("running", flush=True)
    time.sleep(600)

glue = Glue(Path(sys.argv[1]), crawl=crawl)
glue.start_crawler(Name="c")
"""


class Done:
    tables_created = tables_updated = tables_deleted = 0

    def summary(self) -> str:
        return "x" * 1000


def done(_glue: Any, _crawler: Any, _is_stopping: Callable[[], bool]) -> Done:
    return Done()


def ready(glue: Glue) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = glue.get_crawler(Name="c")["Crawler"]
        if found["State"] == "READY":
            return found
        time.sleep(0.005)


def test_a_crawl_whose_process_was_killed_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    glue = Glue(path, crawl=done)
    glue.create_crawler(**DEFINITION)
    process = subprocess.Popen([sys.executable, "-c", CRAWLS_FOR_EVER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"running\n"
        assert glue.get_crawler(Name="c")["Crawler"]["State"] == "RUNNING"
        with pytest.raises(ClientError, match="already started"):
            glue.start_crawler(Name="c")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert ready(glue)["LastCrawl"]["Status"] == "FAILED"
    (crawl,) = glue.list_crawls(CrawlerName="c")["Crawls"]
    assert (crawl["State"], "has ended" in crawl["ErrorMessage"]) == ("FAILED", True)
    glue.start_crawler(Name="c")
    assert ready(glue)["LastCrawl"]["Status"] == "SUCCEEDED"
    assert [crawl["State"] for crawl in glue.list_crawls(CrawlerName="c")["Crawls"]] == ["COMPLETED", "FAILED"]
    assert len(glue.list_crawls(CrawlerName="c")["Crawls"][0]["Summary"]) == 255
    glue.close()


def test_closing_stops_what_runs(tmp_path: Path) -> None:
    begun = threading.Event()

    def crawl(_glue: Any, _crawler: Any, is_stopping: Callable[[], bool]) -> Done:
        begun.set()
        while not is_stopping():
            time.sleep(0.002)
        return Done()

    glue = Glue(tmp_path / "catalogue.sqlite", crawl=crawl)
    glue.create_crawler(**DEFINITION)
    glue.start_crawler(Name="c")
    assert begun.wait(30)
    glue.close()
    assert glue.list_crawls(CrawlerName="c")["Crawls"][0]["State"] == "STOPPED"
    glue.close()


def test_many_that_start_it_at_once_start_it_once(tmp_path: Path) -> None:
    may_end = threading.Event()

    def crawl(_glue: Any, _crawler: Any, _is_stopping: Callable[[], bool]) -> Done:
        may_end.wait(30)
        return Done()

    glue = Glue(tmp_path / "catalogue.sqlite", crawl=crawl)
    glue.create_crawler(**DEFINITION)
    outcomes: list[str] = []

    def start() -> None:
        try:
            glue.start_crawler(Name="c")
            outcomes.append("started")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["CrawlerRunningException"] * 7 + ["started"]
    may_end.set()
    ready(glue)
    assert len(glue.list_crawls(CrawlerName="c")["Crawls"]) == 1
    glue.close()


def test_a_catalogue_of_an_earlier_release_gets_crawlers(tmp_path: Path) -> None:
    Glue(tmp_path / "catalogue.sqlite").close()
    glue = Glue(tmp_path / "catalogue.sqlite", crawl=done)
    assert glue.get_crawlers()["Crawlers"] == []
    assert glue.get_crawler_metrics()["CrawlerMetricsList"] == []
    glue.create_crawler(**DEFINITION)
    for _ in range(2):
        glue.start_crawler(Name="c")
        ready(glue)
    glue.delete_crawler(Name="c")
    glue.create_crawler(**DEFINITION)
    assert glue.list_crawls(CrawlerName="c")["Crawls"] == []
    assert "LastCrawl" not in glue.get_crawler(Name="c")["Crawler"]
    glue.close()
