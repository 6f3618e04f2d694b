"""Partition projection of a table: generated from its spec, set, removed, and advised for or against.

Projection lets Athena compute partitions instead of asking Glue for them: nothing has to be registered, and planning
costs the same at any number. It also means that Athena ignores every partition of the catalogue, that nobody but Athena
sees any, and that what lies outside the ranges is silently not there. `advice` weighs that by what the ledger knows.

    spec -> projection_properties -> (set_projection) -> Glue table parameters -> Athena, embedded Athena
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from glue.aws_clients import GlueClient
from glue.completeness import FIRST_CREDIBLE
from glue.ledger import LedgerSummary
from glue.partition_range import PartitionRange
from glue.partition_spec import FolderFormat, PartitionSpec
from glue.projection_rules import (
    MAXIMUM_SCAN_PARTITIONS,
    Problem,
    ProjectedTable,
    partition_count,
    problems,
)
from glue.projection_values import ENABLED, TEMPLATE, column_projection, moment
from glue.table_spec import TableSpec

# Athena's guide: "If more than half of your projected partitions are empty, it is recommended that you use traditional
# partitions". The counts are ours: Glue answers 1,000 partitions a page, so that 100,000 are a hundred pages per query.
LARGEST_EMPTY_SHARE = 0.5
FEW_PARTITIONS = 10_000
MANY_PARTITIONS = 100_000

_JAVA = {"%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm"}
_COUNTED = {"%m": "1,12", "%d": "1,31", "%H": "0,23", "%M": "0,59"}
_UNITS = {"year": "YEARS", "month": "MONTHS", "day": "DAYS", "hour": "HOURS", "minute": "MINUTES"}


class CannotProject(ValueError):
    """A table whose partitions no properties can describe; says why."""


class ProjectionLedger(Protocol):
    """What is read of the ledger."""

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary: ...
    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None: ...


@dataclass(frozen=True)
class Advice:
    """Glue's partitions or projection, and why in a sentence."""

    choice: Literal["glue", "projection"]
    reason: str


@dataclass(frozen=True)
class ProjectionReport:
    """The properties a table would have, what they project and what speaks for and against them.

    `projected_partitions` is the number now; `registered_partitions` what the ledger knows between the first projected
    day and now; `empty_share` how much of the projection has no object, None when nothing is projected.
    """

    properties: Mapping[str, str]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    projected_partitions: int
    registered_partitions: int
    empty_share: float | None
    advice: Advice

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "properties": dict(self.properties),
            "problems": [vars(problem) for problem in self.problems],
            "warnings": list(self.warnings),
            "projected_partitions": self.projected_partitions,
            "registered_partitions": self.registered_partitions,
            "empty_share": None if self.empty_share is None else round(self.empty_share, 4),
            "advice": vars(self.advice),
        }


def projection_properties(spec: TableSpec, first: date, now: datetime) -> dict[str, str]:
    """The table parameters that project this table's partitions from a first day on.

    Raises CannotProject for layouts that no template describes.
    """
    layout = spec.layout
    if layout.has_md5_prefix:
        raise CannotProject("its folders begin with a hash, which no template can tell")
    if layout.alternative is not None:
        raise CannotProject("its objects lie under two prefixes, and a template names one")
    zone = ZoneInfo(layout.scheme.zone_name)
    properties = {ENABLED: "true"}
    for folder in layout.scheme.folders:
        properties |= {
            f"projection.{folder.key}.{name}": text for name, text in _column(folder, first, zone, now).items()
        }
    folders = "/".join(f"{folder.prefix}${{{folder.key}}}" for folder in layout.scheme.folders)
    properties[TEMPLATE] = f"{spec.location}{folders}/"
    return properties


def first_day(spec: TableSpec, ledger: ProjectionLedger, now: datetime) -> date:
    """The day of the oldest partition whose time is credible; today when there is none."""
    scheme = spec.layout.scheme
    credible = PartitionSpec.from_datetime(FIRST_CREDIBLE, scheme=scheme)
    oldest = ledger.neighbour(spec.reference, credible, newest=False)
    start = now if oldest is None else min(now, PartitionSpec.from_values(oldest, scheme).start())
    return start.astimezone(ZoneInfo(scheme.zone_name)).date()


def projection_report(
    spec: TableSpec, ledger: ProjectionLedger, now: datetime, first: date | None = None
) -> ProjectionReport:
    """What projecting this table means. Raises CannotProject."""
    start = first or first_day(spec, ledger, now)
    properties = projection_properties(spec, start, now)
    table = ProjectedTable.from_glue({**spec.table_input(), "Parameters": properties}, now)
    projected = partition_count(table) or 0
    scheme = spec.layout.scheme
    zone = ZoneInfo(scheme.zone_name)
    begin = datetime(start.year, start.month, start.day, tzinfo=zone)
    covered = PartitionRange.covering(begin, now + timedelta(days=1), scheme=scheme)
    registered = ledger.summary(spec.reference, covered).partition_count
    passed = _passed_partitions(spec, begin, now)
    empty = None if passed <= 0 else max(0.0, 1 - min(registered, passed) / passed)
    outside = ledger.summary(spec.reference).partition_count - registered
    return ProjectionReport(
        properties,
        tuple(problems(table)),
        _warnings(spec, empty, outside, start, now),
        projected,
        registered,
        empty,
        _advice(registered, empty),
    )


def current_problems(glue_client: GlueClient, spec: TableSpec, now: datetime) -> tuple[bool, list[Problem]]:
    """Whether the table of the catalogue projects, and what is wrong with its properties."""
    table = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"]
    projected = ProjectedTable.from_glue(table, now)
    return projected.parameters.get(ENABLED, "").strip().lower() == "true", problems(projected)


def outside_projection(glue_client: GlueClient, spec: TableSpec, start: datetime, end: datetime, now: datetime) -> str:
    """What of [start, end) the table of the catalogue does not project, in words; "" where it projects all, nothing, or
    nobody can tell. Athena reads no partition outside, and says nothing (guide, considerations and limitations).
    """
    parameters = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"].get("Parameters", {})
    folder = spec.layout.scheme.folders[0]
    column = column_projection(parameters, folder.key)
    if parameters.get(ENABLED, "").strip().lower() != "true" or column.kind != "date":
        return ""
    try:
        ends = [moment(text.strip(), column.properties["format"], now) for text in column.range_ends]
        lower, upper = (end.strftime(folder.pattern) for end in ends if end is not None)
    except (KeyError, ValueError, OverflowError):
        return ""  # tables projection names what is wrong with it
    time_range = PartitionRange.covering(start, end, scheme=spec.layout.scheme)
    if time_range.first is None or time_range.last is None:
        return ""
    first, last = time_range.first.values()[0], time_range.last.values()[0]
    if lower <= first and last <= upper:
        return ""
    how_much = "nothing of it" if last < lower or first > upper else "only a part of it"
    return f"the catalogue projects {folder.key} from {lower} to {upper}, {how_much}; outside no partition is read"


def set_projection(glue_client: GlueClient, spec: TableSpec, properties: Mapping[str, str]) -> bool:
    """The table of the catalogue has exactly these projection properties afterwards; whether that was a change.

    An empty mapping removes them. UpdateTable with SkipArchive: no table version is made. Everything else of the table
    stays as it is.
    """
    table = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"]
    before = dict(table.get("Parameters", {}))
    after = {name: value for name, value in before.items() if not _is_projection(name)} | dict(properties)
    if after == before:
        return False
    members = ("Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor",
               "PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "TargetTable")  # fmt: skip
    table_input = {name: table[name] for name in members if name in table}
    arguments: dict[str, Any] = {"TableInput": {**table_input, "Parameters": after}, "SkipArchive": True}
    if table.get("VersionId") is not None:
        arguments["VersionId"] = table["VersionId"]  # somebody else's change in between is not overwritten
    glue_client.update_table(DatabaseName=spec.database, **arguments)
    return True


def _column(folder: FolderFormat, first: date, zone: ZoneInfo, now: datetime) -> dict[str, str]:
    pattern = folder.pattern
    if pattern in _COUNTED:
        return {"type": "integer", "range": _COUNTED[pattern], "digits": "2"}
    if "%Y" not in pattern:
        raise CannotProject(f"folder {folder.prefix!r}: a value of the pattern {pattern!r} is no number and no date")
    java = pattern
    for directive, letters in _JAVA.items():
        java = java.replace(directive, letters)
    text = datetime(first.year, first.month, first.day).strftime(pattern.replace("%Y", f"{first.year:04d}"))  # noqa: DTZ001  a text of the folder
    return {
        "type": "date",
        "format": java,
        "range": f"{text},{_last(zone, now)}",
        "interval": "1",
        "interval.unit": _UNITS[folder.granularity],
    }


def _last(zone: ZoneInfo, now: datetime) -> str:
    """NOW is UTC: where the folders' clocks are ahead of it, their day begins before NOW's does."""
    offsets = [(now + timedelta(days=days)).astimezone(zone).utcoffset() for days in (0, 182)]
    is_ahead = any(offset is not None and offset > timedelta(0) for offset in offsets)
    return "NOW+1DAY" if is_ahead else "NOW"


def _passed_partitions(spec: TableSpec, begin: datetime, now: datetime) -> int:
    """How many partitions of the layout began between the two; months count as 30 days here."""
    seconds = {"year": 31_536_000, "month": 2_592_000, "day": 86_400, "hour": 3_600, "minute": 60}
    granularity = spec.layout.scheme.folders[-1].granularity
    return max(1, int((now.astimezone(UTC) - begin.astimezone(UTC)).total_seconds() // seconds[granularity]))


def _warnings(spec: TableSpec, empty: float | None, outside: int, first: date, now: datetime) -> tuple[str, ...]:
    scheme = spec.layout.scheme
    found = [
        "only Athena projects: Redshift Spectrum, EMR and SHOW PARTITIONS still see the catalogue's partitions alone",
        f"a query before {first} finds no rows, and no error says so",
    ]
    if outside > 0:
        found.append(
            f"{outside:,} registered partitions lie outside the range (1970, or a time to come): nobody sees them"
        )
    if empty is not None and empty > LARGEST_EMPTY_SHARE:
        found.append(f"{empty:.0%} of the projected partitions are empty: Athena lists each of them in vain")
    if _last(ZoneInfo(scheme.zone_name), now) != "NOW":
        found.append(f"folders tell {scheme.zone_name} time, which is ahead of UTC: the range ends at NOW+1DAY")
    if scheme.folders[-1].granularity == "minute":
        days = MAXIMUM_SCAN_PARTITIONS // 1440
        found.append(
            f"1,440 partitions a day, and a query may scan 1,000,000, {days} days of them: each query has to bound"
            f" {scheme.folders[0].key}, as this service does by itself"
        )
    return tuple(found)


def _advice(registered: int, empty: float | None) -> Advice:
    shown = "" if empty is None else f"; {empty:.0%} of the projected ones would be empty"
    if registered <= FEW_PARTITIONS:
        return Advice("glue", f"{registered:,} partitions are quickly planned, and every reader sees them{shown}")
    if empty is not None and empty > LARGEST_EMPTY_SHARE:
        return Advice("glue", f"{registered:,} partitions{shown}, and above 50% projection is the slower one")
    if registered > MANY_PARTITIONS:
        return Advice("projection", f"{registered:,} partitions make planning slow: Glue answers 1,000 a page{shown}")
    return Advice("glue", f"{registered:,} partitions plan well enough; look again at {MANY_PARTITIONS:,}{shown}")


def _is_projection(name: str) -> bool:
    return name == TEMPLATE or name.startswith("projection.")
