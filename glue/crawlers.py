"""Crawlers of an account: made as the preset says, started, waited for, and what they cost.

Each step may be repeated: applying an unchanged crawler changes nothing, starting one that runs is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import error_code
from glue.crawler_schedule import Schedule

# AWS Glue pricing: a DPU-hour is billed by the second, ten minutes at least for each crawl. The price is us-east-1's.
PRICE_PER_DPU_HOUR_USD = 0.44
MINIMUM_SECONDS = 600
# How many DPUs a crawl takes is not published; AWS's own pricing example has 2.
ASSUMED_DPUS = 2
_POLL_SECONDS = 5.0

Applied = Literal["created", "updated", "unchanged"]


class CrawlersClient(Protocol):
    """The part of boto3's Glue client that is used here."""

    def create_crawler(self, **arguments: Any) -> Any: ...
    def update_crawler(self, **arguments: Any) -> Any: ...
    def delete_crawler(self, **arguments: Any) -> Any: ...
    def get_crawler(self, **arguments: Any) -> Any: ...
    def get_crawlers(self, **arguments: Any) -> Any: ...
    def start_crawler(self, **arguments: Any) -> Any: ...
    def stop_crawler(self, **arguments: Any) -> Any: ...
    def list_crawls(self, **arguments: Any) -> Any: ...


class TargetIsFixed(Exception):
    """A crawler of new folders only cannot change its target; it has to be deleted and made again."""


class CrawlTimeout(Exception):
    """The crawler still runs after the time that was given."""


@dataclass(frozen=True)
class Crawl:
    """One run. `cost_usd` counts the ten minutes that are billed at least; None while nothing is known of it."""

    crawl_id: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    dpu_hours: float | None
    summary: str
    error: str

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()

    @property
    def cost_usd(self) -> float | None:
        """What it cost: its DPU-hours, stretched to ten minutes where it was shorter."""
        if self.dpu_hours is None or self.seconds is None:
            return None
        stretch = max(1.0, MINIMUM_SECONDS / self.seconds) if self.seconds > 0 else 1.0
        return self.dpu_hours * stretch * PRICE_PER_DPU_HOUR_USD

    def to_json(self) -> dict[str, Any]:
        """The run as JSON values."""
        cost = self.cost_usd
        return {**vars(self), "seconds": self.seconds, "cost_usd": None if cost is None else round(cost, 4)}


@dataclass(frozen=True)
class CostEstimate:
    """What runs cost at least: 10 minutes each. `per_month_usd`: by the schedule, in the 30 days from now."""

    per_run_usd: float
    runs_per_month: int | None
    per_month_usd: float | None


def find(glue_client: CrawlersClient, name: str) -> Mapping[str, Any] | None:
    """The crawler of this name; None when there is none."""
    try:
        crawler: Mapping[str, Any] = glue_client.get_crawler(Name=name)["Crawler"]
    except ClientError as error:
        if error_code(error) != "EntityNotFoundException":
            raise
        return None
    return crawler


def find_all(glue_client: CrawlersClient) -> list[Mapping[str, Any]]:
    """Every crawler of the account and region."""
    found: list[Mapping[str, Any]] = []
    arguments: dict[str, Any] = {}
    while True:
        page = glue_client.get_crawlers(**arguments)
        found += page.get("Crawlers", ())
        if not page.get("NextToken"):
            return found
        arguments["NextToken"] = page["NextToken"]


def differences(crawler: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The members in which a crawler is not as wanted."""
    return [name for name, value in wanted.items() if name != "Name" and _comparable(crawler, name) != value]


def apply(glue_client: CrawlersClient, wanted: Mapping[str, Any]) -> Applied:
    """The crawler is as wanted afterwards. Raises TargetIsFixed, and ClientError for a crawler that runs."""
    current = find(glue_client, wanted["Name"])
    if current is None:
        glue_client.create_crawler(**wanted)
        return "created"
    changed = differences(current, wanted)
    if not changed:
        return "unchanged"
    is_incremental = current.get("RecrawlPolicy", {}).get("RecrawlBehavior") == "CRAWL_NEW_FOLDERS_ONLY"
    if "Targets" in changed and is_incremental:
        raise TargetIsFixed(wanted["Name"])
    glue_client.update_crawler(**wanted)
    return "updated"


def start(glue_client: CrawlersClient, name: str) -> bool:
    """The crawler runs afterwards; False when it ran already."""
    try:
        glue_client.start_crawler(Name=name)
    except ClientError as error:
        if error_code(error) != "CrawlerRunningException":
            raise
        return False
    return True


def stop(glue_client: CrawlersClient, name: str) -> bool:
    """The crawler ends soon; False when it did not run, or is stopping already."""
    try:
        glue_client.stop_crawler(Name=name)
    except ClientError as error:
        if error_code(error) not in ("CrawlerNotRunningException", "CrawlerStoppingException"):
            raise
        return False
    return True


def delete(glue_client: CrawlersClient, name: str) -> bool:
    """The crawler is gone afterwards; False when there was none. Its tables stay."""
    if find(glue_client, name) is None:
        return False
    glue_client.delete_crawler(Name=name)
    return True


def wait(
    glue_client: CrawlersClient,
    name: str,
    *,
    timeout_seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    on_change: Callable[[str, float], None] | None = None,
    poll_seconds: float = _POLL_SECONDS,
) -> Mapping[str, Any]:
    """The crawler once it is READY; `on_change` is told its state and the seconds waited. Raises CrawlTimeout."""
    started = clock()
    while True:
        crawler: Mapping[str, Any] = glue_client.get_crawler(Name=name)["Crawler"]
        waited = clock() - started
        if on_change is not None:
            on_change(crawler["State"], waited)
        if crawler["State"] == "READY":
            return crawler
        if waited >= timeout_seconds:
            raise CrawlTimeout(name)
        sleep(min(poll_seconds, max(0.0, timeout_seconds - waited)))


def history(glue_client: CrawlersClient, name: str, *, limit: int) -> list[Crawl]:
    """The last runs, newest first."""
    found: list[Crawl] = []
    arguments: dict[str, Any] = {"CrawlerName": name, "MaxResults": min(limit, 1000)}
    while len(found) < limit:
        page = glue_client.list_crawls(**arguments)
        found += (_crawl(entry) for entry in page.get("Crawls", ()))
        if not page.get("NextToken"):
            break
        arguments["NextToken"] = page["NextToken"]
    return found[:limit]


def cost_estimate(schedule: str | None, now: datetime, dpus: float = ASSUMED_DPUS) -> CostEstimate:
    """What a crawler costs at least, by its schedule. Raises InvalidSchedule."""
    per_run = dpus * MINIMUM_SECONDS / 3600 * PRICE_PER_DPU_HOUR_USD
    if schedule is None:
        return CostEstimate(per_run, None, None)
    runs = Schedule.parse(schedule).runs_between(now, now + timedelta(days=30))
    return CostEstimate(per_run, runs, runs * per_run)


def total_cost_usd(crawls: Iterable[Crawl]) -> float:
    """What these runs cost together, as far as is known."""
    return sum(crawl.cost_usd or 0.0 for crawl in crawls)


def _crawl(entry: Mapping[str, Any]) -> Crawl:
    return Crawl(
        crawl_id=entry["CrawlId"],
        state=entry["State"],
        started_at=entry["StartTime"],
        ended_at=entry.get("EndTime"),
        dpu_hours=entry.get("DPUHour"),
        summary=entry.get("Summary", ""),
        error=entry.get("ErrorMessage", ""),
    )


def _comparable(crawler: Mapping[str, Any], name: str) -> Any:
    if name == "Schedule":
        return crawler.get("Schedule", {}).get("ScheduleExpression")
    if name == "Targets":  # Glue answers empty lists of the other kinds of targets too
        targets = [
            {member: value for member, value in target.items() if value not in (None, [])}
            for target in crawler.get("Targets", {}).get("S3Targets", ())
        ]
        return {"S3Targets": targets}
    return crawler.get(name)
