"""When data leaves: the terms of a partition, since when they count, and what stage it has reached.

    ACTIVE -> ARCHIVED -> EXPIRED

    ACTIVE     in the catalogue, queries read it
    ARCHIVED   older than retention_days: not in the catalogue; its objects are kept where queries cannot read them
    EXPIRED    older than archive_days (than retention_days without one): its objects are gone

Age counts from when a partition's newest object came, as S3's lifecycle counts it object by object. So a load of old
data stays its whole time, late data keeps its partition, and the folders whose name tells no true time (1970, a year to
come) leave by when their objects came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from glue.layout import COMPACTED_PREFIX
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.retention_override import RetentionTerms
from glue.table_spec import TableSpec

# Clocks differ: what lies this far ahead is a time to come.
_FUTURE = timedelta(days=1)


class Stage(StrEnum):
    """See the module."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    EXPIRED = "EXPIRED"


def compacted_prefix(spec: TableSpec) -> str:
    """The key prefix of a table's compacted objects, which age for themselves."""
    return f"{COMPACTED_PREFIX}{spec.reference}/"


def compacted_partition(spec: TableSpec, key: str) -> PartitionSpec | None:
    """The partition of a compacted object's key; None for any other key."""
    prefix = compacted_prefix(spec)
    folders = key.removeprefix(prefix).split("/")[: len(spec.layout.scheme.folders)]
    if not key.startswith(prefix):
        return None
    try:
        return PartitionSpec.parse("/".join(folders), spec.layout.scheme)
    except InvalidPartition:
        return None


def partition_terms(spec: TableSpec, partition: PartitionSpec) -> RetentionTerms:
    """How long a partition stays: the shortest of the table's terms and the prefixes that hold it.

    Objects with a tag may stay longer than that, and then the partition stays with them.
    """
    path = partition.path() + "/"
    fitting = [spec.retention_terms]
    fitting += [o.terms for o in spec.retention_overrides if o.prefix is not None and path.startswith(o.prefix)]
    retention_days = min(terms.retention_days for terms in fitting)
    expiration_days = min(terms.expiration_days for terms in fitting)
    for override in spec.retention_overrides:
        if override.tag is not None:
            retention_days = max(retention_days, override.terms.retention_days)
            expiration_days = max(expiration_days, override.terms.expiration_days)
    return RetentionTerms(retention_days, expiration_days if expiration_days > retention_days else None)


def counted_since(partition: PartitionSpec, arrivals: Iterable[datetime], now: datetime) -> datetime | None:
    """Since when a partition's age counts: its newest arrival, but not before its time has passed; None when unknown.

    A time to come says nothing: then arrivals alone count.
    """
    known = list(arrivals)
    end = partition.end()
    if end <= now:
        known.append(end)
    return max(known, default=None)


def stage(terms: RetentionTerms, since: datetime | None, now: datetime) -> Stage:
    """The stage at a moment; what nobody knows an age of is ACTIVE."""
    if since is None or now - since < timedelta(days=terms.retention_days):
        return Stage.ACTIVE
    return Stage.ARCHIVED if now - since < timedelta(days=terms.expiration_days) else Stage.EXPIRED


def ranges_past(spec: TableSpec, now: datetime, *, expired: bool = False) -> Iterator[PartitionRange]:
    """The ranges that can hold partitions past their retention (with `expired`: past their expiration).

    Those before that day, those of a time to come, and the folders with terms of their own. All others are younger,
    whatever came when.
    """
    scheme = spec.layout.scheme
    days = spec.retention_terms.expiration_days if expired else spec.retention_days
    yield PartitionRange(None, PartitionSpec.from_datetime(now - timedelta(days=days), scheme=scheme))
    yield PartitionRange(PartitionSpec.from_datetime(now + _FUTURE, scheme=scheme), None)
    for override in spec.retention_overrides:
        if override.prefix is not None:
            inside = PartitionSpec.parse(override.prefix.rstrip("/"), scheme)
            yield PartitionRange(inside, inside)


def is_past_retention(spec: TableSpec, partition: PartitionSpec, arrivals: Iterable[datetime], now: datetime) -> bool:
    """Whether a partition whose objects came then is none that the catalogue should have."""
    return stage(partition_terms(spec, partition), counted_since(partition, arrivals, now), now) is not Stage.ACTIVE
