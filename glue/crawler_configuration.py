"""A crawler as this project reads it: its targets, policies and the JSON text of its Configuration, parsed once.

Source: Glue API reference (Crawler), developer guide, "Customizing crawler behavior".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class InvalidConfiguration(ValueError):
    """A crawler that Glue itself would refuse, or that cannot be read; says why."""


@dataclass(frozen=True)
class S3Target:
    """A folder to crawl. `sample_size`: so many files of each leaf folder, None is all."""

    bucket: str
    prefix: str  # ends in a slash, or is empty
    exclusions: tuple[str, ...] = ()
    sample_size: int | None = None
    queue_arn: str | None = None
    dead_letter_arn: str | None = None

    @property
    def level(self) -> int:
        """How deep its folder lies; the bucket is level 1."""
        return 1 + self.prefix.count("/")

    def uri(self) -> str:
        """`s3://bucket/prefix/`."""
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class CrawlerConfiguration:
    """What decides what a crawl makes of the lake."""

    name: str
    database: str
    targets: tuple[S3Target, ...]
    table_prefix: str = ""
    update_behavior: str = "UPDATE_IN_DATABASE"  # Glue's defaults
    delete_behavior: str = "DEPRECATE_IN_DATABASE"
    recrawl_behavior: str = "CRAWL_EVERYTHING"
    combines_schemas: bool = False
    table_level: int | None = None
    table_threshold: int | None = None
    merges_new_columns: bool = False
    inherits_from_table: bool = False

    @classmethod
    def from_crawler(cls, crawler: Mapping[str, Any]) -> CrawlerConfiguration:
        """The configuration of a Crawler (GetCrawler) or of CreateCrawler's arguments. Raises InvalidConfiguration."""
        targets = crawler.get("Targets", {})
        other = sorted(name for name, found in targets.items() if found and name != "S3Targets")
        if other:
            raise InvalidConfiguration(f"only S3 targets are known here, not {', '.join(other)}")
        document = _document(crawler.get("Configuration"))
        output = _object(document, "CrawlerOutput")
        tables, partitions = _object(output, "Tables"), _object(output, "Partitions")
        grouping = _object(document, "Grouping")
        policy = crawler.get("SchemaChangePolicy", {})
        recrawl = crawler.get("RecrawlPolicy", {}).get("RecrawlBehavior", "CRAWL_EVERYTHING")
        is_incremental = recrawl == "CRAWL_NEW_FOLDERS_ONLY"  # forces both to LOG
        return cls(
            name=crawler["Name"],
            database=crawler.get("DatabaseName", "default"),
            targets=tuple(_target(found) for found in targets.get("S3Targets", ())),
            table_prefix=crawler.get("TablePrefix", ""),
            update_behavior="LOG" if is_incremental else policy.get("UpdateBehavior", "UPDATE_IN_DATABASE"),
            delete_behavior="LOG" if is_incremental else policy.get("DeleteBehavior", "DEPRECATE_IN_DATABASE"),
            recrawl_behavior=recrawl,
            combines_schemas=grouping.get("TableGroupingPolicy") == "CombineCompatibleSchemas",
            table_level=_positive(grouping, "TableLevelConfiguration"),
            table_threshold=_positive(tables, "TableThreshold"),
            merges_new_columns=tables.get("AddOrUpdateBehavior") == "MergeNewColumns",
            inherits_from_table=partitions.get("AddOrUpdateBehavior") == "InheritFromTable",
        )


def _target(found: Mapping[str, Any]) -> S3Target:
    path = str(found.get("Path", ""))
    scheme, separator, rest = path.partition("://")
    if separator and scheme != "s3":
        raise InvalidConfiguration(f"{path!r} is no s3:// path")
    bucket, _, prefix = (rest if separator else path).partition("/")
    if not bucket:
        raise InvalidConfiguration(f"{path!r} names no bucket")
    size = found.get("SampleSize")
    if size is not None and not 1 <= size <= 249:
        raise InvalidConfiguration(f"SampleSize is {size}; 1 to 249 files of a leaf folder can be sampled")
    return S3Target(
        bucket,
        prefix.strip("/") + "/" if prefix.strip("/") else "",
        tuple(found.get("Exclusions", ())),
        size,
        found.get("EventQueueArn"),
        found.get("DlqEventQueueArn"),
    )


def _document(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidConfiguration(f"the Configuration is no JSON: {error}") from None
    if not isinstance(document, dict) or str(document.get("Version")) not in ("1", "1.0"):
        raise InvalidConfiguration("the Configuration is a JSON object with Version 1.0")
    return document


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise InvalidConfiguration(f"{name} of the Configuration is no JSON object")
    return found


def _positive(document: Mapping[str, Any], name: str) -> int | None:
    number = document.get(name)
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise InvalidConfiguration(f"{name} is {number!r}, not a positive whole number")
    return number
