"""A table's history cut into windows of days, so that a long one is worked off in pieces of like size.

    s3://bucket/secor/events/dt=2026-11-20/  dt=2026-11-21/  ...   + the days that the ledger has
      -> [.. 2026-11-20] [2026-11-21] [2026-11-22 ..]

The windows tile the range: the first has no beginning and the last no end (unless the range has), so that a partition
of any time lies in exactly one. Which days there are is told by the folders alone, listed with a delimiter: one call
for a thousand days. A layout with hash folders in front has no folder per day, and so one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from glue.aws_clients import S3Client
from glue.partition_range import PartitionRange
from glue.partition_spec import GRANULARITIES, InvalidPartition, PartitionScheme, PartitionSpec
from glue.table_spec import TableSpec

PARTITIONS_PER_WINDOW = 2_000
_DAY = GRANULARITIES.index("day")
_MINUTES_OF_DAY = 24 * 60
_MOMENT = timedelta(microseconds=1)


def lake_windows(
    s3_client: S3Client, spec: TableSpec, ledger_days: Iterable[str], time_range: PartitionRange | None = None
) -> list[PartitionRange | None]:
    """The windows of a table, or of a range of it, oldest first; [None] is the one without bounds.

    `ledger_days` are the first values of the partitions that the ledger has (`PartitionLedger.days`).
    """
    if spec.layout.has_md5_prefix or (time_range is not None and time_range.is_empty):
        return [time_range]
    scheme = spec.layout.scheme
    starts = {day.start() for day in _days_of_ledger(ledger_days, scheme)}
    for prefix in spec.layout.listing_prefixes(spec.topic):
        starts |= {day.start() for day in _day_folders(s3_client, spec.bucket, prefix, scheme, 0, ())}
    starts = {start for start in starts if time_range is None or _overlaps(time_range, start, scheme)}
    chosen = sorted(starts)[:: max(1, PARTITIONS_PER_WINDOW // _partitions_per_day(scheme))]
    return _tiles(chosen[1:], scheme, time_range)


def _tiles(
    cuts: list[datetime], scheme: PartitionScheme, time_range: PartitionRange | None
) -> list[PartitionRange | None]:
    """The range cut before each of these days."""
    if not cuts:
        return [time_range]
    first, last = (None, None) if time_range is None else (time_range.first, time_range.last)
    windows: list[PartitionRange | None] = []
    for cut in cuts:
        windows.append(PartitionRange(first, PartitionSpec.from_datetime(cut - _MOMENT, "day", scheme)))
        first = PartitionSpec.from_datetime(cut, "day", scheme)
    windows.append(PartitionRange(first, last))
    return windows


def _overlaps(time_range: PartitionRange, day: datetime, scheme: PartitionScheme) -> bool:
    return time_range.contains(PartitionSpec.from_datetime(day, "day", scheme))


def _partitions_per_day(scheme: PartitionScheme) -> int:
    finest = scheme.folders[-1].granularity
    return {"minute": _MINUTES_OF_DAY, "hour": 24}.get(finest, 1)


def _days_of_ledger(days: Iterable[str], scheme: PartitionScheme) -> Iterator[PartitionSpec]:
    for day in days:
        try:
            yield PartitionSpec.from_values([day], scheme)
        except InvalidPartition:
            continue  # of a layout that the table had before


def _day_folders(
    s3_client: S3Client, bucket: str, prefix: str, scheme: PartitionScheme, depth: int, values: tuple[str, ...]
) -> Iterator[PartitionSpec]:
    """The folders down to the ones that tell a day, coarser ones looked into."""
    folder = scheme.folders[depth]
    is_deep_enough = GRANULARITIES.index(folder.granularity) >= _DAY or depth == len(scheme.folders) - 1
    for name in _folders(s3_client, bucket, prefix):
        if not name.startswith(folder.prefix):
            continue
        below = (*values, name[len(folder.prefix) :])
        try:
            found = PartitionSpec.from_values(below, scheme)
        except InvalidPartition:
            continue  # foreign: the listing of the window that it lies in tells of it
        if is_deep_enough:
            yield found
        else:
            yield from _day_folders(s3_client, bucket, f"{prefix}{name}/", scheme, depth + 1, below)


def _folders(s3_client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    """The names of the folders just below a prefix."""
    arguments = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
    while True:
        page = s3_client.list_objects_v2(**arguments)
        for entry in page.get("CommonPrefixes", ()):
            yield entry["Prefix"][len(prefix) : -1]
        if not page.get("IsTruncated"):
            return
        arguments["ContinuationToken"] = page["NextContinuationToken"]
