"""Partitions get into the catalogue: from a list of them, or by listing what lies in the lake.

    objects of the lake -> layout -> partitions -> BatchCreatePartition (at most 100 a call) -> ledger

A partition that is there already is success, so that registering twice equals once. BatchCreatePartition answers 200
with an error per partition (Glue API, BatchCreatePartition): those worth repeating are repeated, the others are
returned with their reason. Foreign keys are counted and shown, never registered. Memory stays flat: a lake is listed
in key order and worked off as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from glue.aws_clients import RETRYABLE_CODES, GlueClient, S3Client, error_code, error_message
from glue.layout import LakeKey
from glue.ledger import ObjectRecord, PartitionLedger
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

PARTITIONS_PER_CALL = 100
ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
FOREIGN_SAMPLES = 20
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_Item = TypeVar("_Item")


NOT_SETTLED = "NotSettled"


class Settle(Protocol):
    """Sees to it that new objects of compacted partitions are in the answers (glue.compaction_settling.Settling)."""

    def __call__(
        self, spec: TableSpec, partitions: Sequence[PartitionSpec], now: datetime
    ) -> Mapping[tuple[str, ...], str]:
        """Why the new objects of some of these partitions are not, by the partitions' values."""
        ...


@dataclass(frozen=True)
class FailedPartition:
    """A partition the catalogue did not take, and why."""

    partition: PartitionSpec
    code: str
    message: str


@dataclass
class RegistrationReport:
    """What became of the partitions, and what else was found in the lake.

    `foreign_samples` are the first keys that do not belong, with the reason.
    """

    registered_count: int = 0
    already_known_count: int = 0
    failed: list[FailedPartition] = field(default_factory=list)
    object_count: int = 0
    size_bytes: int = 0
    marker_count: int = 0
    foreign_count: int = 0
    foreign_samples: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "registered": self.registered_count,
            "already_known": self.already_known_count,
            "failed": [{"partition": f.partition.path(), "code": f.code, "message": f.message} for f in self.failed],
            "objects": self.object_count,
            "size_bytes": self.size_bytes,
            "markers": self.marker_count,
            "foreign": self.foreign_count,
            "foreign_samples": [{"key": key, "reason": reason} for key, reason in self.foreign_samples],
        }


@dataclass(frozen=True)
class _FoundPartition:
    partition: PartitionSpec
    objects: tuple[ObjectRecord, ...]


def register_partitions(
    glue_client: GlueClient,
    table_spec: TableSpec,
    partitions: Iterable[PartitionSpec],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> RegistrationReport:
    """These partitions are in the catalogue afterwards, or in the report's `failed`."""
    report = RegistrationReport()
    for batch in _batches(partitions):
        _create(glue_client, table_spec, batch, report, sleep)
    return report


def register_lake(
    glue_client: GlueClient,
    s3_client: S3Client,
    ledger: PartitionLedger,
    table_spec: TableSpec,
    *,
    settle: Settle | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> RegistrationReport:
    """What lies in the table's part of the lake is in the catalogue and in the ledger afterwards, or in the report.

    Without `settle` nothing is compacted.
    """
    report = RegistrationReport()
    for batch in _batches(_found_partitions(s3_client, table_spec, report)):
        failed = _create(glue_client, table_spec, [found.partition for found in batch], report, sleep)
        if settle is not None:
            partitions = {f.partition.values(): f.partition for f in batch if f.partition not in failed}
            for values, reason in settle(table_spec, list(partitions.values()), clock()).items():
                report.failed.append(FailedPartition(partitions[values], NOT_SETTLED, reason))
                failed.add(partitions[values])
        taken = [found for found in batch if found.partition not in failed]
        ledger.record_objects(table_spec.reference, (record for found in taken for record in found.objects))
    return report


def lake_objects(
    s3_client: S3Client, bucket: str, prefix: str, *, start_after: str = ""
) -> Iterator[tuple[str, int, datetime]]:
    """(key, bytes, last modified) of the objects under a prefix, after a key, in key order, page by page.

    What lies in an archive is left out: Athena does not read it.
    """
    arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    if start_after:
        arguments["StartAfter"] = start_after
    while True:
        page = s3_client.list_objects_v2(**arguments)
        for entry in page.get("Contents", []):
            if entry.get("StorageClass") in ARCHIVE_CLASSES:
                continue
            yield entry["Key"], entry["Size"], entry["LastModified"]
        if not page.get("IsTruncated"):
            return
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def _found_partitions(s3_client: S3Client, spec: TableSpec, report: RegistrationReport) -> Iterator[_FoundPartition]:
    """The partitions of the lake with their objects. The objects of a folder stand together in a listing."""

    def understood() -> Iterator[ObjectRecord]:
        for prefix in spec.layout.listing_prefixes(spec.topic):
            for key, size_bytes, last_modified in lake_objects(s3_client, spec.bucket, prefix):
                parsed = spec.layout.parse(key)
                if isinstance(parsed, LakeKey) and parsed.topic == spec.topic:
                    report.object_count += 1
                    report.size_bytes += size_bytes
                    yield ObjectRecord(parsed.partition, key, size_bytes, last_modified)
                elif isinstance(parsed, LakeKey):
                    continue  # another topic below a shared prefix
                elif parsed.kind == "marker":
                    report.marker_count += 1
                else:
                    report.foreign_count += 1
                    if len(report.foreign_samples) < FOREIGN_SAMPLES:
                        report.foreign_samples.append((key, parsed.reason))

    for partition, objects in groupby(understood(), key=lambda record: record.partition):
        yield _FoundPartition(partition, tuple(objects))


def _create(
    glue_client: GlueClient,
    spec: TableSpec,
    partitions: Sequence[PartitionSpec],
    report: RegistrationReport,
    sleep: Callable[[float], None],
) -> set[PartitionSpec]:
    """Create at most 100 partitions, repeat what is worth repeating; the ones that failed for good."""
    waiting = {partition.values(): partition for partition in partitions}
    failures: dict[tuple[str, ...], tuple[str, str]] = {}
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        failures = _call(glue_client, spec, list(waiting.values()))
        known = [values for values, (code, _) in failures.items() if code == "AlreadyExistsException"]
        report.already_known_count += len(known)
        report.registered_count += len(waiting) - len(failures)
        failures = {values: failure for values, failure in failures.items() if values not in known}
        worth_repeating = {values for values, (code, _) in failures.items() if code in RETRYABLE_CODES}
        report.failed.extend(
            FailedPartition(waiting[values], *failure)
            for values, failure in failures.items()
            if values not in worth_repeating or attempt == _ATTEMPTS - 1
        )
        waiting = {values: partition for values, partition in waiting.items() if values in worth_repeating}
        if not waiting:
            break
    return {failed.partition for failed in report.failed}


def _call(
    glue_client: GlueClient, spec: TableSpec, partitions: Sequence[PartitionSpec]
) -> dict[tuple[str, ...], tuple[str, str]]:
    """One BatchCreatePartition; the (code, message) of each partition that was not created."""
    try:
        answer = glue_client.batch_create_partition(
            DatabaseName=spec.database,
            TableName=spec.name,
            PartitionInputList=[spec.partition_input(partition) for partition in partitions],
        )
    except ClientError as error:
        failure = error_code(error), error_message(error)
        return {partition.values(): failure for partition in partitions}
    return {
        tuple(item["PartitionValues"]): (item["ErrorDetail"]["ErrorCode"], item["ErrorDetail"].get("ErrorMessage", ""))
        for item in answer.get("Errors", [])
    }


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, PARTITIONS_PER_CALL)):
        yield batch
