"""Data comes back from the archive: objects of a range are restored, and their partitions registered again.

Where restoring is immediate (the embedded S3) the range answers queries afterwards, for as long as data stays that came
today: a restored object counts as written now. Doing it twice equals doing it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from glue.layout import LakeKey
from glue.ledger import PartitionLedger
from glue.partition_range import PartitionRange
from glue.reconcile import CatalogueClient, reconcile
from glue.registration import ARCHIVE_CLASSES
from glue.table_spec import TableSpec


class RestoreS3(Protocol):
    """The part of boto3's S3 client that is used here."""

    def create_bucket(self, **arguments: Any) -> Any: ...
    def head_bucket(self, **arguments: Any) -> Any: ...
    def put_object(self, **arguments: Any) -> Any: ...
    def list_objects_v2(self, **arguments: Any) -> Any: ...
    def get_object(self, **arguments: Any) -> Any: ...
    def restore_object(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class RestoreReport:
    """What came back: objects, their bytes, partitions that are in the catalogue again; what failed, with reasons."""

    object_count: int
    size_bytes: int
    partition_count: int
    failed: tuple[tuple[str, str], ...]


def restore(
    glue_client: CatalogueClient,
    s3_client: RestoreS3,
    ledger: PartitionLedger,
    spec: TableSpec,
    time_range: PartitionRange,
    *,
    now: datetime,
) -> RestoreReport:
    """The archived objects of a range are readable and registered afterwards."""
    object_count = size_bytes = 0
    for key, size in list(_archived(s3_client, spec, time_range)):
        s3_client.restore_object(Bucket=spec.bucket, Key=key, RestoreRequest={"Days": spec.retention_days})
        object_count += 1
        size_bytes += size
    report = reconcile(glue_client, s3_client, ledger, spec, time_range, apply=True, now=now)
    return RestoreReport(object_count, size_bytes, report.applied["missing"], tuple(report.failed))


def _archived(s3_client: RestoreS3, spec: TableSpec, time_range: PartitionRange) -> Iterator[tuple[str, int]]:
    for prefix in spec.layout.listing_prefixes(spec.topic):
        arguments: dict[str, Any] = {"Bucket": spec.bucket, "Prefix": prefix}
        while True:
            page = s3_client.list_objects_v2(**arguments)
            for entry in page.get("Contents", ()):
                parsed = spec.layout.parse(entry["Key"])
                if (
                    entry.get("StorageClass") in ARCHIVE_CLASSES
                    and isinstance(parsed, LakeKey)
                    and parsed.topic == spec.topic
                    and time_range.contains(parsed.partition)
                ):
                    yield entry["Key"], entry["Size"]
            if not page.get("IsTruncated"):
                break
            arguments["ContinuationToken"] = page["NextContinuationToken"]
