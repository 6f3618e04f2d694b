"""Crawlers that do no harm: the preset for a table of the lake, and what of an existing crawler is not so.

Tables are declared by their specs and partitions registered by the tracker, so nobody needs a crawler to run this
service. Where one is wanted all the same (a deployment without the tracker, tables that others own), these settings
let it add partitions and nothing else:

- one S3 target, the table's own folder: folders above it are merged into one table when their schemas are alike
- SchemaChangePolicy LOG/LOG: it removes and retypes no column, deletes and deprecates no table
- InheritFromTable: partitions have the table's columns and SerDe (no HIVE_PARTITION_SCHEMA_MISMATCH)
- CombineCompatibleSchemas with the table's level, TableThreshold 2: never a table per folder. (By the guide a crawl
  goes on when "the number of tables detected is less than" the threshold, and fails when it "is greater": with 2 one
  table is taken in both readings.)
- markers excluded; only new folders, or only what S3's events tell, are crawled
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glue.crawler_configuration import CrawlerConfiguration, InvalidConfiguration
from glue.table_spec import TableSpec

EXCLUSIONS = ("**/_SUCCESS", "**.crc", "**_$folder$")
NAME_PREFIX = "data-hist-"
TABLE_THRESHOLD = 2


class CannotCrawl(ValueError):
    """A table that no crawler can serve; says why."""


@dataclass(frozen=True)
class Deviation:
    """A setting of a crawler that is not the preset's: what it is, what it should be, what it can break."""

    setting: str
    value: str
    preset: str
    breaks: str


def crawler_name(spec: TableSpec) -> str:
    """The name of the table's crawler."""
    return NAME_PREFIX + spec.reference.replace("_", "-").replace(".", "-")


def preset(
    spec: TableSpec,
    role: str,
    *,
    schedule: str | None = None,
    queue_arn: str | None = None,
    dead_letter_arn: str | None = None,
    sample_size: int | None = None,
) -> dict[str, Any]:
    """CreateCrawler's arguments for a table. With a queue it crawls what S3's events tell, else new folders only.

    Raises CannotCrawl for layouts whose folders a crawler would not read as this table.
    """
    layout = spec.layout
    if layout.has_md5_prefix:
        raise CannotCrawl(f"{spec.reference}: its folders begin with a hash, which a crawler takes for a partition key")
    if layout.alternative is not None:
        raise CannotCrawl(f"{spec.reference}: its objects lie under two prefixes, and a table has one location")
    unnamed = [folder.key for folder in layout.scheme.folders if not folder.prefix]
    if unnamed:
        raise CannotCrawl(
            f"{spec.reference}: its folders have no names (k=v), so that a crawler calls {unnamed[0]} partition_0"
        )
    target: dict[str, Any] = {"Path": spec.location, "Exclusions": list(EXCLUSIONS)}
    if sample_size is not None:
        target["SampleSize"] = sample_size
    if queue_arn is not None:
        target["EventQueueArn"] = queue_arn
        if dead_letter_arn is not None:
            target["DlqEventQueueArn"] = dead_letter_arn
    level = 1 + layout.topic_prefix(spec.topic).count("/")
    arguments: dict[str, Any] = {
        "Name": crawler_name(spec),
        "Role": role,
        "DatabaseName": spec.database,
        "Description": f"Adds partitions of {spec.database}.{spec.name}; changes no column. Made by data-hist.",
        "Targets": {"S3Targets": [target]},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE" if queue_arn else "CRAWL_NEW_FOLDERS_ONLY"},
        "Configuration": json.dumps(
            {
                "Version": 1.0,
                "CrawlerOutput": {
                    "Partitions": {"AddOrUpdateBehavior": "InheritFromTable"},
                    "Tables": {"TableThreshold": TABLE_THRESHOLD},
                },
                "Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas", "TableLevelConfiguration": level},
            }
        ),
    }
    if schedule is not None:
        arguments["Schedule"] = schedule
    return arguments


def deviations(crawler: Mapping[str, Any], spec: TableSpec | None = None) -> list[Deviation]:
    """What of a crawler is not as safe as the preset; `spec` is the table it should serve, if it is one of ours."""
    try:
        found = CrawlerConfiguration.from_crawler(crawler)
    except InvalidConfiguration as error:
        return [Deviation("Configuration", str(error), "as documented", "what it does cannot be told")]
    policies = (
        ("UpdateBehavior", found.update_behavior, _UPDATE_BREAKS, found.merges_new_columns),
        ("DeleteBehavior", found.delete_behavior, _DELETE_BREAKS.get(found.delete_behavior, ""), False),
    )
    deviating = [
        Deviation(f"SchemaChangePolicy.{name}", value, "LOG", breaks)
        for name, value, breaks, is_softened in policies
        if value != "LOG" and not is_softened
    ]
    if found.merges_new_columns:
        breaks = "adds columns that nobody declared, and old partitions do not have them"
        deviating.append(Deviation("Tables.AddOrUpdateBehavior", "MergeNewColumns", "unset", breaks))
    if not found.inherits_from_table:
        breaks = "partitions get columns of their own: HIVE_PARTITION_SCHEMA_MISMATCH when they differ from the table's"
        deviating.append(Deviation("Partitions.AddOrUpdateBehavior", "unset", "InheritFromTable", breaks))
    if not found.combines_schemas:
        breaks = "folders whose schemas are not alike become tables: thousands for sparse JSON"
        deviating.append(Deviation("TableGroupingPolicy", "unset", "CombineCompatibleSchemas", breaks))
    if found.table_threshold is None:
        breaks = "a crawl that goes wrong writes all the tables it makes up"
        deviating.append(Deviation("TableThreshold", "unset", str(TABLE_THRESHOLD), breaks))
    if found.recrawl_behavior == "CRAWL_EVERYTHING":
        breaks = "every run lists and reads every object: time and cost grow with the lake (24 hours at most)"
        deviating.append(Deviation("RecrawlBehavior", found.recrawl_behavior, "CRAWL_NEW_FOLDERS_ONLY", breaks))
    deviating += _of_targets(found, spec)
    return deviating


_UPDATE_BREAKS = "removes columns it does not see, changes types, drops parameters that others set (projection)"
_DELETE_BREAKS = {
    "DELETE_FROM_DATABASE": "deletes tables and partitions whose objects it does not see: one wrong prefix is enough",
    "DEPRECATE_IN_DATABASE": "marks tables as deprecated whose objects it does not see",
}


def _of_targets(found: CrawlerConfiguration, spec: TableSpec | None) -> list[Deviation]:
    deviating = []
    if len(found.targets) > 1:
        breaks = "one target that fails or grows holds up the others"
        deviating.append(Deviation("S3Targets", str(len(found.targets)), "1", breaks))
    for target in found.targets:
        missing = [pattern for pattern in EXCLUSIONS if pattern not in target.exclusions]
        if missing:
            breaks = "markers are read as data: a file beside folders becomes a table"
            deviating.append(Deviation("Exclusions", f"without {', '.join(missing)}", ", ".join(EXCLUSIONS), breaks))
        if spec is None:
            continue
        is_above = spec.location.startswith(target.uri()) and spec.location != target.uri()
        if is_above:
            breaks = "topics that look alike are merged into one table, with the topic as partition_0"
            deviating.append(Deviation("Path", target.uri(), spec.location, breaks))
        level = 1 + spec.layout.topic_prefix(spec.topic).count("/")
        if found.table_level not in (None, level):
            breaks = "tables are made at another level than the table's folder"
            deviating.append(Deviation("TableLevelConfiguration", str(found.table_level), str(level), breaks))
    return deviating
