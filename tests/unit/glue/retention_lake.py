"""A table with short retention, for tests of what leaves when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from glue.partition_spec import PartitionSpec
from glue.retention_override import RetentionOverride, RetentionTerms
from glue.table_spec import TableSpec, load_table_specs

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
EVENTS = load_table_specs()["events"]


def table(
    retention_days: int = 10,
    archive_days: int | None = 30,
    overrides: list[tuple[str, RetentionTerms]] | None = None,
) -> TableSpec:
    """The events table with these terms; overrides are (prefix, terms)."""
    found = tuple(
        RetentionOverride(f"o{number}", terms, prefix) for number, (prefix, terms) in enumerate(overrides or [])
    )
    return replace(EVENTS, retention_days=retention_days, archive_days=archive_days, retention_overrides=found)


def partition_at(moment: datetime) -> PartitionSpec:
    return PartitionSpec.from_datetime(moment)
