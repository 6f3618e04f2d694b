"""Why does a time range, or a folder, have no rows? Every reason that can be told without opening an object.

For `data-hist partitions explain` and for whoever got an empty answer. Each reason is a word for programs and a
sentence for people, the likeliest first:

    foreign         the folder is none of the layout's, so nothing in it is ever read
    range_empty     the range ends before it begins
    future          the range has not come yet (local time taken for UTC is the usual cause)
    expired         older than the table's retention: partitions have left the catalogue
    no_data         the table has no partition at all
    projection_range  partitions of the range are not projected by the catalogue, and so read by nobody
    before_first    the range ends before the first partition
    after_newest    the range begins after the newest partition: nothing has come since
    unregistered    objects lie in the range, and the catalogue does not know their partitions
    gap             partitions of the range are not there
    missing_offsets messages of Kafka are in no object, and the range has no objects or too few partitions
    not_closed      the range reaches into partitions that objects may still come to
    late_folder     records of this time lie in folders of another time, further away than allowed lateness reaches
    bad_timestamp   there are records whose time could not be read; they lie in the folders of 1970-01-01
    filter          partitions and objects are there: a condition, the tenant, or a value compared in the wrong type
                    (`dt`, `hr`, `min` are text with leading zeros) leaves out their rows
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from glue.aws_clients import S3Client
from glue.completeness import FIRST_CREDIBLE, completeness, gaps, offset_totals
from glue.layout import LakeKey, SkippedKey
from glue.ledger import PartitionLedger
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.projection import outside_projection
from glue.reconcile import CatalogueClient, ReconcileReport, reconcile
from glue.table_spec import TableSpec

# Local time is at most this far from UTC.
_LARGEST_ZONE = timedelta(hours=14)
_LATE_SEARCH = timedelta(days=2)
_FAULTS_LOOKED_AT = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reason:
    """One reason why there are no rows."""

    code: str
    detail: str


def explain_range(
    glue_client: CatalogueClient,
    s3_client: S3Client,
    ledger: PartitionLedger,
    spec: TableSpec,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    looks_at_lake: bool = True,
) -> list[Reason]:
    """Why [start, end) may have no rows; never empty.

    Without `looks_at_lake` nothing is listed, so that it costs the same for any range: what is not in the catalogue is
    not found then.
    """
    if start >= end:
        return [Reason("range_empty", f"{_shown(start)} is not before {_shown(end)}")]
    time_range = PartitionRange.covering(start, end, scheme=spec.layout.scheme)
    expired = _expired(ledger, spec, start, end, now)
    is_all_expired = bool(expired) and end <= now - timedelta(days=spec.retention_days)
    reasons = (expired if is_all_expired else []) + _by_time(ledger, spec, start, end, now)
    outside = outside_projection(glue_client, spec, start, end, now)
    if outside:
        reasons.append(Reason("projection_range", f"{outside}: data-hist tables projection {spec.reference}"))
    if looks_at_lake:
        report = reconcile(glue_client, s3_client, ledger, spec, time_range, apply=False, now=now)
    else:
        summary = ledger.summary(spec.reference, time_range)
        report = ReconcileReport(True, object_count=summary.object_count, size_bytes=summary.size_bytes)
    if report.counts["missing"]:
        reasons.append(
            Reason(
                "unregistered",
                f"{report.counts['missing']} partitions have objects and are not in the catalogue, the first"
                f" {next(f.partition for f in report.findings if f.kind == 'missing')}:"
                f" data-hist partitions repair {spec.reference}",
            )
        )
    missing = completeness(ledger, spec, now, time_range).missing_partitions
    if missing:
        first_gap = next(gaps(ledger, spec, now, time_range))
        reasons.append(Reason("gap", f"{missing} partitions are not there, the first {first_gap.first}"))
    if missing or not report.object_count:
        reasons += _missing_offsets(ledger, spec)
    reasons += [] if is_all_expired else expired
    reasons += _not_closed(ledger, spec, end, now)
    reasons += _late_folders(ledger, spec, time_range, start, end)
    bad_timestamps = ledger.summary(spec.reference, PartitionRange(None, _before_first_credible(spec))).object_count
    if bad_timestamps:
        detail = f"{bad_timestamps} objects lie under 1970-01-01: records whose time could not be read"
        reasons.append(Reason("bad_timestamp", detail))
    if report.object_count:
        reasons.append(
            Reason(
                "filter",
                f"{report.object_count} objects ({report.size_bytes} bytes) are there: a condition, the tenant or a"
                " comparison in another type (dt, hr and min are text) leaves out their rows",
            )
        )
    return reasons or [Reason("gap", "no object lies in this range")]


def explain_folder(spec: TableSpec, folder: str) -> tuple[PartitionSpec | None, list[Reason]]:
    """The partition of a folder (`dt=2026-11-22/hr=10/min=05`) or of a whole key; where it is none, the reason."""
    text = folder.removeprefix(f"s3://{spec.bucket}/").strip("/")
    own = spec.layout.topic_prefix(spec.topic)
    parsed: LakeKey | SkippedKey | None = None
    if text.startswith(own):
        parsed = spec.layout.parse(text)
        if isinstance(parsed, LakeKey):
            return parsed.partition, []
        text = text[len(own) :]
    try:
        return PartitionSpec.parse(text, spec.layout.scheme), []
    except InvalidPartition as error:
        reason = parsed.reason if isinstance(parsed, SkippedKey) and parsed.kind == "marker" else str(error)
        return None, [Reason("foreign", reason)]


def _by_time(ledger: PartitionLedger, spec: TableSpec, start: datetime, end: datetime, now: datetime) -> list[Reason]:
    if start > now:
        likely = "; is it local time? Times are UTC" if start - now <= _LARGEST_ZONE else ""
        return [Reason("future", f"{_shown(start)} has not come yet, it is {_shown(now)}{likely}")]
    scheme = spec.layout.scheme
    first = ledger.neighbour(spec.reference, PartitionSpec.from_datetime(FIRST_CREDIBLE, scheme=scheme), newest=False)
    newest = ledger.neighbour(spec.reference, PartitionSpec.from_datetime(now, scheme=scheme), newest=True)
    if first is None or newest is None:
        return [Reason("no_data", f"{spec.reference} has no partition yet")]
    first_start = PartitionSpec.from_values(first, scheme).start()
    newest_end = PartitionSpec.from_values(newest, scheme).end()
    if end <= first_start:
        return [Reason("before_first", f"the first partition begins at {_shown(first_start)}")]
    if start >= newest_end:
        return [Reason("after_newest", f"nothing has come since {_shown(newest_end)}")]
    return []


def _expired(ledger: PartitionLedger, spec: TableSpec, start: datetime, end: datetime, now: datetime) -> list[Reason]:
    """Age counts from arrival, so old times may well be there; where they are not, this is the likeliest cause."""
    limit = now - timedelta(days=spec.retention_days)
    if not FIRST_CREDIBLE < start < limit:  # a range without a beginning asks for what there is
        return []
    old = PartitionRange.covering(start, min(end, limit), scheme=spec.layout.scheme)
    if ledger.summary(spec.reference, old).object_count:
        return []
    archive = (
        ""
        if spec.archive_days is None
        else f"; objects stay in the archive until they are {spec.archive_days} days old"
    )
    detail = f"times before {_shown(limit)} are past the table's retention of {spec.retention_days} days{archive}"
    return [Reason("expired", detail)]


def _not_closed(ledger: PartitionLedger, spec: TableSpec, end: datetime, now: datetime) -> list[Reason]:
    complete_until = completeness(ledger, spec, now).complete_until
    promised = now - timedelta(minutes=spec.allowed_lateness_minutes + spec.allowed_clock_skew_minutes)
    if end <= promised:
        return []
    until = "" if complete_until is None else f"; complete until {_shown(complete_until)}"
    detail = f"objects may still come: {spec.allowed_lateness_minutes} minutes of lateness are allowed{until}"
    return [Reason("not_closed", detail)]


def _missing_offsets(ledger: PartitionLedger, spec: TableSpec) -> list[Reason]:
    totals = offset_totals(ledger, spec)
    if not totals.missing_count:
        return []
    first = next((f for f in ledger.offset_faults(spec.reference, limit=_FAULTS_LOOKED_AT) if f.missing_count), None)
    where = "" if first is None else f", the first in Kafka partition {first.kafka_partition} after {first.offset}"
    return [
        Reason(
            "missing_offsets",
            f"{totals.missing_count} offsets of Kafka are in no object{where}: data-hist partitions offsets"
            f" {spec.reference}",
        )
    ]


def _late_folders(
    ledger: PartitionLedger, spec: TableSpec, time_range: PartitionRange, start: datetime, end: datetime
) -> list[Reason]:
    """Partitions outside the range, and beyond what pruning reads for it, that hold records of its time."""
    slack = timedelta(minutes=spec.allowed_lateness_minutes)
    around = PartitionRange.covering(start - _LATE_SEARCH, end + _LATE_SEARCH, scheme=spec.layout.scheme)
    read = PartitionRange.covering(start - slack, end + slack, scheme=spec.layout.scheme)
    found = [
        PartitionSpec.from_values(record.values, spec.layout.scheme)
        for record in ledger.partitions(spec.reference, around)
        if record.minimum_createdtimestamp is not None
        and record.maximum_createdtimestamp is not None
        and record.minimum_createdtimestamp < _milliseconds(end)
        and record.maximum_createdtimestamp >= _milliseconds(start)
        and not read.contains(PartitionSpec.from_values(record.values, spec.layout.scheme))
        and not time_range.contains(PartitionSpec.from_values(record.values, spec.layout.scheme))
    ]
    if not found:
        return []
    return [
        Reason("late_folder", f"{len(found)} partitions of other times may hold such records, the first {found[0]}")
    ]


def _before_first_credible(spec: TableSpec) -> PartitionSpec:
    return PartitionSpec.from_datetime(FIRST_CREDIBLE - timedelta(microseconds=1), scheme=spec.layout.scheme)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def reasons_to_json(reasons: list[Reason]) -> list[Mapping[str, Any]]:
    """The reasons as JSON values."""
    return [{"code": reason.code, "detail": reason.detail} for reason in reasons]
