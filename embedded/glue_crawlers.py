"""Crawlers of the embedded Glue: defined, started, stopped and remembered as Glue does; READY, RUNNING, STOPPING.

What a crawl does is handed in (`Crawl`): the function lists the lake and writes the catalogue through this very client.
Without one a crawler can be defined and not started. A crawl runs in a thread of this process and holds a lock file
beside the catalogue: another process sees it running, and a crawl whose process was killed is FAILED from then on.
Schedules are kept and answered; nobody starts a crawler by them here. Nothing is billed: DPUHour is 0.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from embedded.aws_json import from_json, to_json
from embedded.aws_shape import ACCOUNT_ID, Answer, AwsClient, Request, operation
from embedded.glue_store import GlueStore

_LOG = logging.getLogger(__name__)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS crawlers (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS crawls (crawl_id TEXT PRIMARY KEY, crawler TEXT NOT NULL, started REAL NOT NULL,"
    " body TEXT NOT NULL) WITHOUT ROWID",
)
_CRON = re.compile(r"cron\(\S+( +\S+){5}\)")
_PAGE = 100
_SUMMARY_LIMIT = 255
_LOCK_ATTEMPTS = 5
_LOCK_PAUSE_SECONDS = 0.01
_DEFINITION = (
    "Role", "Targets", "DatabaseName", "Description", "Classifiers", "RecrawlPolicy", "SchemaChangePolicy",
    "LineageConfiguration", "LakeFormationConfiguration", "TablePrefix", "Configuration",
    "CrawlerSecurityConfiguration",
)  # fmt: skip
_LISTED = {"RUNNING": "RUNNING", "SUCCEEDED": "COMPLETED", "FAILED": "FAILED", "CANCELLED": "STOPPED"}


class CrawlResult(Protocol):
    """What a crawl has done."""

    tables_created: int
    tables_updated: int
    tables_deleted: int

    def summary(self) -> str:
        """One line."""
        ...


Crawl = Callable[[Any, Mapping[str, Any], Callable[[], bool]], CrawlResult]
"""Runs a crawler once: (Glue client, the Crawler, whether to stop). Whatever it raises fails the crawl."""


class CrawlerOperations(AwsClient):
    """The operations on crawlers, for the embedded Glue, which has the store and the clock."""

    _store: GlueStore
    _clock: Callable[[], datetime]
    _crawl: Crawl | None
    _catalogue_path: Path

    def _start_crawlers(self, path: Path, crawl: Crawl | None) -> None:
        self._catalogue_path = path
        self._crawl = crawl
        self._has_crawler_tables = False
        self._crawl_threads: dict[str, threading.Thread] = {}
        self._is_closing = threading.Event()

    def _close_crawlers(self) -> None:
        """Running crawls are told to stop, and waited for."""
        self._is_closing.set()
        for thread in list(self._crawl_threads.values()):
            thread.join()

    # --- definitions ---------------------------------------------------------------------------------------------

    @operation("CreateCrawler")
    def create_crawler(self, request: Request) -> Answer:
        name = request["Name"]
        body = self._definition("CreateCrawler", request, {})
        now = self._clock().timestamp()
        body |= {"Name": name, "CreationTime": now, "LastUpdated": now, "Version": 1}
        with self._crawler_tables(writes=True) as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO crawlers (name, body) VALUES (?, ?)", (name, json.dumps(body))
            )
            if made.rowcount == 0:
                raise self.error("CreateCrawler", "AlreadyExistsException", f"Crawler with name {name} already exists")
            connection.executemany(
                "INSERT OR REPLACE INTO tags (arn, key, value) VALUES (?, ?, ?)",
                [(_arn(name), key, value) for key, value in request.get("Tags", {}).items()],
            )
        return {}

    @operation("UpdateCrawler")
    def update_crawler(self, request: Request) -> Answer:
        name = request["Name"]
        with self._crawler_tables(writes=True) as connection:
            body = self._crawler_body("UpdateCrawler", connection, name)
            self._refuse_running("UpdateCrawler", name)
            is_incremental = body["RecrawlPolicy"]["RecrawlBehavior"] == "CRAWL_NEW_FOLDERS_ONLY"
            changed = self._definition("UpdateCrawler", request, body)
            if is_incremental and changed["Targets"] != body["Targets"]:
                raise self.error(
                    "UpdateCrawler",
                    "InvalidInputException",
                    'Amazon S3 target is immutable when "Crawl new folders only" is selected.',
                )
            changed |= {"LastUpdated": self._clock().timestamp(), "Version": body["Version"] + 1}
            connection.execute("UPDATE crawlers SET body = ? WHERE name = ?", (json.dumps(changed), name))
        return {}

    @operation("DeleteCrawler")
    def delete_crawler(self, request: Request) -> Answer:
        name = request["Name"]
        with self._crawler_tables(writes=True) as connection:
            self._crawler_body("DeleteCrawler", connection, name)
            self._refuse_running("DeleteCrawler", name)
            connection.execute("DELETE FROM crawlers WHERE name = ?", (name,))
            connection.execute("DELETE FROM crawls WHERE crawler = ?", (name,))
            connection.execute("DELETE FROM tags WHERE arn = ?", (_arn(name),))
        self._lock_file(name).unlink(missing_ok=True)
        return {}

    @operation("GetCrawler")
    def get_crawler(self, request: Request) -> Answer:
        with self._crawler_tables() as connection:
            body = self._crawler_body("GetCrawler", connection, request["Name"])
        return {"Crawler": self._crawler_answer(body)}

    @operation("GetCrawlers")
    def get_crawlers(self, request: Request) -> Answer:
        names, token = self._crawler_page("GetCrawlers", request, {})
        answer: Answer = {"Crawlers": [self.get_crawler(Name=name)["Crawler"] for name in names]}
        return {**answer, **token}

    @operation("ListCrawlers")
    def list_crawlers(self, request: Request) -> Answer:
        names, token = self._crawler_page("ListCrawlers", request, request.get("Tags", {}))
        return {"CrawlerNames": names, **token}

    @operation("BatchGetCrawlers")
    def batch_get_crawlers(self, request: Request) -> Answer:
        found, missing = [], []
        for name in request["CrawlerNames"]:
            try:
                found.append(self.get_crawler(Name=name)["Crawler"])
            except ClientError:
                missing.append(name)
        return {"Crawlers": found, "CrawlersNotFound": missing}

    # --- schedules -----------------------------------------------------------------------------------------------

    @operation("UpdateCrawlerSchedule")
    def update_crawler_schedule(self, request: Request) -> Answer:
        schedule = self._schedule("UpdateCrawlerSchedule", request.get("Schedule"))
        self._change_schedule("UpdateCrawlerSchedule", request["CrawlerName"], lambda _: schedule)
        return {}

    @operation("StartCrawlerSchedule")
    def start_crawler_schedule(self, request: Request) -> Answer:
        def started(schedule: dict[str, str]) -> dict[str, str]:
            if not schedule:
                raise self.error("StartCrawlerSchedule", "NoScheduleException", "The crawler has no schedule.")
            if schedule["State"] == "SCHEDULED":
                raise self.error(
                    "StartCrawlerSchedule", "SchedulerRunningException", "The schedule is running already."
                )
            return {**schedule, "State": "SCHEDULED"}

        self._change_schedule("StartCrawlerSchedule", request["CrawlerName"], started)
        return {}

    @operation("StopCrawlerSchedule")
    def stop_crawler_schedule(self, request: Request) -> Answer:
        def stopped(schedule: dict[str, str]) -> dict[str, str]:
            if not schedule or schedule["State"] != "SCHEDULED":
                raise self.error("StopCrawlerSchedule", "SchedulerNotRunningException", "The schedule is not running.")
            return {**schedule, "State": "NOT_SCHEDULED"}

        self._change_schedule("StopCrawlerSchedule", request["CrawlerName"], stopped)
        return {}

    # --- crawls --------------------------------------------------------------------------------------------------

    @operation("StartCrawler")
    def start_crawler(self, request: Request) -> Answer:
        name = request["Name"]
        if self._crawl is None:
            raise self.unsupported("StartCrawler", "a crawl: none was handed in")
        with self._crawler_tables() as connection:
            body = self._crawler_body("StartCrawler", connection, name)
        held = self._take_lock(name)
        if held is None:
            raise self.error("StartCrawler", "CrawlerRunningException", f"Crawler with name {name} has already started")
        crawl_id = str(uuid.uuid4())
        try:
            with self._crawler_tables(writes=True) as connection:
                self._fail_abandoned(connection, name)
                started = self._clock().timestamp()
                connection.execute(
                    "INSERT INTO crawls (crawl_id, crawler, started, body) VALUES (?, ?, ?, ?)",
                    (crawl_id, name, started, json.dumps({"State": "RUNNING", "StartTime": started})),
                )
            thread = threading.Thread(
                target=self._run_crawl, args=(crawl_id, self._crawler_answer(body), held), name=f"crawl-{name}"
            )
            self._crawl_threads[crawl_id] = thread
            thread.start()
        except BaseException:
            os.close(held)
            raise
        return {}

    @operation("StopCrawler")
    def stop_crawler(self, request: Request) -> Answer:
        name = request["Name"]
        with self._crawler_tables(writes=True) as connection:
            self._crawler_body("StopCrawler", connection, name)
            state = self._crawler_state(connection, name)
            if state == "READY":
                message = f"Crawler with name {name} isn't running"
                raise self.error("StopCrawler", "CrawlerNotRunningException", message)
            if state == "STOPPING":
                message = f"Crawler with name {name} is stopping already"
                raise self.error("StopCrawler", "CrawlerStoppingException", message)
            crawl_id, found = self._last_crawl(connection, name)
            found["IsStopping"] = True
            connection.execute("UPDATE crawls SET body = ? WHERE crawl_id = ?", (json.dumps(found), crawl_id))
        return {}

    @operation("ListCrawls")
    def list_crawls(self, request: Request) -> Answer:
        """Newest first; Filters by CRAWL_ID, STATE, START_TIME, END_TIME and DPU_HOUR."""
        name, limit = request["CrawlerName"], request.get("MaxResults", 20)
        with self._crawler_tables(writes=True) as connection:
            self._crawler_body("ListCrawls", connection, name)
            if not self._is_locked(name):
                self._fail_abandoned(connection, name)
            rows = connection.execute(
                "SELECT crawl_id, body FROM crawls WHERE crawler = ? ORDER BY started DESC, crawl_id", (name,)
            ).fetchall()
        crawls = [self._crawl_answer(crawl_id, json.loads(body), name) for crawl_id, body in rows]
        for chosen in request.get("Filters", ()):
            crawls = [crawl for crawl in crawls if _fits(crawl, chosen)]
        first = self._offset("ListCrawls", request)
        answer: Answer = {"Crawls": crawls[first : first + limit]}
        if len(crawls) > first + limit:
            answer["NextToken"] = str(first + limit)
        return answer

    @operation("GetCrawlerMetrics")
    def get_crawler_metrics(self, request: Request) -> Answer:
        wanted = request.get("CrawlerNameList")
        with self._crawler_tables() as connection:
            known = [name for (name,) in connection.execute("SELECT name FROM crawlers ORDER BY name")]
            names = known if not wanted else [name for name in wanted if name in known]
            metrics = [self._metrics(connection, name) for name in names]
        first, limit = self._offset("GetCrawlerMetrics", request), request.get("MaxResults", _PAGE)
        answer: Answer = {"CrawlerMetricsList": metrics[first : first + limit]}
        if len(metrics) > first + limit:
            answer["NextToken"] = str(first + limit)
        return answer

    # --- a crawl runs --------------------------------------------------------------------------------------------

    def _run_crawl(self, crawl_id: str, crawler: Mapping[str, Any], held: int) -> None:
        assert self._crawl is not None
        ended: dict[str, Any]
        try:
            result = self._crawl(self, crawler, lambda: self._is_asked_to_stop(crawl_id))
            state = "CANCELLED" if self._is_asked_to_stop(crawl_id) else "SUCCEEDED"
            ended = {
                "State": state,
                "Summary": result.summary()[:_SUMMARY_LIMIT],
                "Tables": [result.tables_created, result.tables_updated, result.tables_deleted],
            }
        except Exception as error:
            _LOG.warning("the crawler %s failed: %s", crawler["Name"], error)
            ended = {"State": "FAILED", "ErrorMessage": f"{type(error).__name__}: {error}"[:2000]}
        try:
            with self._crawler_tables(writes=True) as connection:
                self._end(connection, crawl_id, ended)
        finally:
            os.close(held)
            self._crawl_threads.pop(crawl_id, None)

    def _is_asked_to_stop(self, crawl_id: str) -> bool:
        if self._is_closing.is_set():
            return True
        with self._crawler_tables() as connection:
            row = connection.execute("SELECT body FROM crawls WHERE crawl_id = ?", (crawl_id,)).fetchone()
        return row is None or bool(json.loads(row[0]).get("IsStopping"))

    def _end(self, connection: Any, crawl_id: str, ended: Mapping[str, Any]) -> None:
        row = connection.execute("SELECT body FROM crawls WHERE crawl_id = ?", (crawl_id,)).fetchone()
        if row is not None:
            body = {**json.loads(row[0]), "EndTime": self._clock().timestamp(), **ended}
            connection.execute("UPDATE crawls SET body = ? WHERE crawl_id = ?", (json.dumps(body), crawl_id))

    def _fail_abandoned(self, connection: Any, name: str) -> None:
        """Crawls that nobody runs any more: their process ended. The caller knows that the lock is free."""
        rows = connection.execute("SELECT crawl_id, body FROM crawls WHERE crawler = ?", (name,)).fetchall()
        for crawl_id, body in rows:
            if json.loads(body)["State"] == "RUNNING":
                message = "Internal Service Exception: the process that crawled has ended"
                self._end(connection, crawl_id, {"State": "FAILED", "ErrorMessage": message})

    # --- the lock of a running crawl -----------------------------------------------------------------------------

    def _lock_file(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._catalogue_path.with_name(f"{self._catalogue_path.name}.crawl-{digest}")

    def _take_lock(self, name: str) -> int | None:
        """The lock's descriptor; None when the crawler runs, here or in another process."""
        descriptor = os.open(self._lock_file(name), os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(_LOCK_ATTEMPTS):  # who only asks holds it for a moment
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            time.sleep(_LOCK_PAUSE_SECONDS)
        os.close(descriptor)
        return None

    def _is_locked(self, name: str) -> bool:
        try:
            descriptor = os.open(self._lock_file(name), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    # --- what the operations share -------------------------------------------------------------------------------

    @contextmanager
    def _crawler_tables(self, *, writes: bool = False) -> Iterator[Any]:
        if not self._has_crawler_tables:
            with self._store.writing() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
            self._has_crawler_tables = True
        with self._store.writing() if writes else self._store.reading() as connection:
            yield connection

    def _definition(self, operation_name: str, request: Request, earlier: Mapping[str, Any]) -> dict[str, Any]:
        shape = self._shape.shape("Crawler")
        given = to_json(shape, {name: request[name] for name in _DEFINITION if name in request})
        body = {**earlier, **given}
        if "Schedule" in request:
            body["Schedule"] = self._schedule(operation_name, request["Schedule"])
        body.setdefault("RecrawlPolicy", {"RecrawlBehavior": "CRAWL_EVERYTHING"})
        body.setdefault(
            "SchemaChangePolicy", {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}
        )
        for complaint in _complaints(body):
            raise self.error(operation_name, "InvalidInputException", complaint)
        return body

    def _schedule(self, operation_name: str, text: str | None) -> dict[str, str]:
        if not text:
            return {}
        if not _CRON.fullmatch(text):
            message = f"The schedule expression is not valid: {text}. It is written cron(15 12 * * ? *)."
            raise self.error(operation_name, "InvalidInputException", message)
        return {"ScheduleExpression": text, "State": "SCHEDULED"}

    def _change_schedule(
        self, operation_name: str, name: str, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        with self._crawler_tables(writes=True) as connection:
            body = self._crawler_body(operation_name, connection, name)
            body["Schedule"] = change(body.get("Schedule", {}))
            connection.execute("UPDATE crawlers SET body = ? WHERE name = ?", (json.dumps(body), name))

    def _crawler_body(self, operation_name: str, connection: Any, name: str) -> dict[str, Any]:
        row = connection.execute("SELECT body FROM crawlers WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise self.error(operation_name, "EntityNotFoundException", f"Crawler {name} not found.")
        body: dict[str, Any] = json.loads(row[0])
        return body

    def _refuse_running(self, operation_name: str, name: str) -> None:
        if self._is_locked(name):
            message = f"Crawler with name {name} is running"
            raise self.error(operation_name, "CrawlerRunningException", message)

    def _crawler_state(self, connection: Any, name: str) -> str:
        if not self._is_locked(name):
            return "READY"
        last = self._last_crawl(connection, name)
        return "STOPPING" if last[1].get("IsStopping") else "RUNNING"

    def _last_crawl(self, connection: Any, name: str) -> tuple[str, dict[str, Any]]:
        row = connection.execute(
            "SELECT crawl_id, body FROM crawls WHERE crawler = ? ORDER BY started DESC LIMIT 1", (name,)
        ).fetchone()
        return ("", {}) if row is None else (row[0], json.loads(row[1]))

    def _crawler_answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["Name"]
        with self._crawler_tables() as connection:
            state = self._crawler_state(connection, name)
            crawl_id, last = self._last_crawl(connection, name)
        answer: dict[str, Any] = from_json(self._shape.shape("Crawler"), dict(body))
        answer = {"Classifiers": [], "CrawlElapsedTime": 0, **answer, "State": state}
        if not answer.get("Schedule"):
            answer.pop("Schedule", None)
        if last and state != "READY":
            answer["CrawlElapsedTime"] = int((self._clock().timestamp() - last["StartTime"]) * 1000)
        if last and state == "READY":
            ended = "FAILED" if last["State"] == "RUNNING" else last["State"]
            answer["LastCrawl"] = {
                "Status": ended,
                "StartTime": datetime.fromtimestamp(last["StartTime"], UTC),
                "LogGroup": "/aws-glue/crawlers",
                "LogStream": name,
                "MessagePrefix": crawl_id,
            }
            if "ErrorMessage" in last:
                answer["LastCrawl"]["ErrorMessage"] = last["ErrorMessage"]
        return answer

    def _crawl_answer(self, crawl_id: str, body: Mapping[str, Any], name: str) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "CrawlId": crawl_id,
            "State": _LISTED[body["State"]],
            "StartTime": datetime.fromtimestamp(body["StartTime"], UTC),
            "LogGroup": "/aws-glue/crawlers",
            "LogStream": name,
            "MessagePrefix": crawl_id,
            "DPUHour": 0.0,
        }
        if "EndTime" in body:
            answer["EndTime"] = datetime.fromtimestamp(body["EndTime"], UTC)
        for member in ("Summary", "ErrorMessage"):
            if member in body:
                answer[member] = body[member]
        return answer

    def _metrics(self, connection: Any, name: str) -> dict[str, Any]:
        rows = connection.execute("SELECT body FROM crawls WHERE crawler = ? ORDER BY started", (name,)).fetchall()
        ended = [body for body in (json.loads(row[0]) for row in rows) if "EndTime" in body]
        runtimes = [body["EndTime"] - body["StartTime"] for body in ended]
        tables = [sum(body.get("Tables", (0, 0, 0))[at] for body in ended) for at in range(3)]
        return {
            "CrawlerName": name,
            "TimeLeftSeconds": 0.0,
            "StillEstimating": False,
            "LastRuntimeSeconds": round(runtimes[-1], 3) if runtimes else 0.0,
            "MedianRuntimeSeconds": round(statistics.median(runtimes), 3) if runtimes else 0.0,
            "TablesCreated": tables[0],
            "TablesUpdated": tables[1],
            "TablesDeleted": tables[2],
        }

    def _crawler_page(
        self, operation_name: str, request: Request, tags: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        with self._crawler_tables() as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM crawlers ORDER BY name")]
            for key, value in tags.items():
                tagged = {
                    arn
                    for (arn,) in connection.execute("SELECT arn FROM tags WHERE key = ? AND value = ?", (key, value))
                }
                names = [name for name in names if _arn(name) in tagged]
        first, limit = self._offset(operation_name, request), request.get("MaxResults", _PAGE)
        token = {"NextToken": str(first + limit)} if len(names) > first + limit else {}
        return names[first : first + limit], token

    def _offset(self, operation_name: str, request: Request) -> int:
        token = request.get("NextToken") or "0"
        if not token.isascii() or not token.isdigit() or len(token) > 9:
            raise self.error(operation_name, "InvalidInputException", "Invalid NextToken.")
        return int(token)


def _complaints(body: Mapping[str, Any]) -> Iterator[str]:
    """What Glue refuses of a definition."""
    targets = body["Targets"]
    if not any(targets.values()):
        yield "At least one target must be specified"
    if not body.get("DatabaseName") and not targets.get("CatalogTargets"):
        yield "DatabaseName is required"
    if not body["Role"].strip():
        yield "Role is required"
    behavior, policy = body["RecrawlPolicy"].get("RecrawlBehavior"), body["SchemaChangePolicy"]
    if behavior == "CRAWL_NEW_FOLDERS_ONLY" and {policy.get("UpdateBehavior"), policy.get("DeleteBehavior")} != {"LOG"}:
        yield (
            'The SchemaChangePolicy for "Crawl new folders only" Amazon S3 target can have only LOG DeleteBehavior'
            " value and LOG UpdateBehavior value."
        )
    for target in targets.get("S3Targets", ()):
        if not target.get("Path", "").removeprefix("s3://"):
            yield "An S3 target needs a Path"
        if behavior == "CRAWL_EVENT_MODE" and not target.get("EventQueueArn"):
            yield "EventQueueArn is required for an S3 target when the recrawl behavior is CRAWL_EVENT_MODE"
        if not 1 <= target.get("SampleSize", 1) <= 249:
            yield "SampleSize must be between 1 and 249"
    configuration = body.get("Configuration")
    if configuration:
        document = None
        with suppress(ValueError):
            document = json.loads(configuration)
        if not isinstance(document, dict) or str(document.get("Version")) not in ("1", "1.0"):
            yield "The Configuration is not valid JSON with Version 1.0"


def _fits(crawl: Mapping[str, Any], chosen: Mapping[str, str]) -> bool:
    member = {
        "CRAWL_ID": "CrawlId", "STATE": "State", "START_TIME": "StartTime", "END_TIME": "EndTime",
        "DPU_HOUR": "DPUHour",
    }[chosen["FieldName"]]  # fmt: skip
    value: Any = crawl.get(member)
    if value is None:
        return False
    if isinstance(value, datetime):
        value = value.timestamp() * 1000
    wanted: Any = chosen["FieldValue"]
    if not isinstance(value, str):
        try:
            wanted = float(wanted)
        except ValueError:
            return False
    outcome: bool = {
        "GT": value > wanted, "GE": value >= wanted, "LT": value < wanted, "LE": value <= wanted,
        "EQ": value == wanted, "NE": value != wanted,
    }[chosen["FilterOperator"]]  # fmt: skip
    return outcome


def _arn(name: str) -> str:
    return f"arn:aws:glue:us-east-1:{ACCOUNT_ID}:crawler/{name}"
