"""Partitions past their retention leave: first the catalogue, then the objects, then the ledger.

    candidates (catalogue, ledger, archive) -> age by their objects -> DeletePartition -> archive or delete -> ledger

In this order nothing is ever deleted whose partition still answers, and a sweep that is cut off between any two steps
is finished by the next one. Doing it twice equals doing it once.

On AWS objects go by the bucket's lifecycle (glue.lifecycle_rules); then a sweep drops partitions and ledger entries and
touches no object. Where there is nobody else to do it, over the embedded S3, it archives and deletes the objects too.
A query that is just reading such a partition may fail; asked again it finds no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import error_code, error_message
from glue.data_retention import (
    Stage,
    compacted_partition,
    compacted_prefix,
    counted_since,
    partition_terms,
    ranges_past,
    stage,
)
from glue.layout import LakeKey
from glue.ledger import KnownObject, ObjectRemoval, PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.registration import ARCHIVE_CLASSES
from glue.table_spec import TableSpec

PARTITIONS_PER_CALL = 25
_OBJECTS_PER_CALL = 1000


class SweepGlue(Protocol):
    """The part of boto3's Glue client that is used here."""

    def get_partitions(self, **arguments: Any) -> Any: ...
    def batch_delete_partition(self, **arguments: Any) -> Any: ...


class SweepS3(Protocol):
    """The part of boto3's S3 client that is used here."""

    def list_objects_v2(self, **arguments: Any) -> Any: ...
    def delete_objects(self, **arguments: Any) -> Any: ...


class SweepLedger(Protocol):
    """What is needed of the ledger."""

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]: ...
    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]: ...
    def remove_objects(self, table: str, removals: Iterable[ObjectRemoval], *, now: datetime) -> int: ...


class Archive(Protocol):
    """Moves an object to storage that queries cannot read (embedded.s3.S3.archive)."""

    def __call__(self, bucket: str, key: str, *, unless_newer_than: datetime) -> bool: ...


@dataclass
class SweptDay:
    """What of one day (of the first folder) leaves, by the stage it has reached."""

    day: str
    stage: str
    partition_count: int = 0
    object_count: int = 0
    size_bytes: int = 0


@dataclass
class SweepReport:
    """What has left (in a dry run: would leave): `days` is what was found, the counts what was done.

    `failed`: (partition, reason) of those that could not be swept and are tried again by the next sweep.
    """

    table: str
    is_dry_run: bool
    dropped_partitions: int = 0
    forgotten_partitions: int = 0
    archived_objects: int = 0
    archived_bytes: int = 0
    deleted_objects: int = 0
    deleted_bytes: int = 0
    days: list[SweptDay] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_work(self) -> bool:
        """Whether anything leaves."""
        return any(self.counts().values())

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        names = ("dropped_partitions", "forgotten_partitions", "archived_objects", "archived_bytes",
                 "deleted_objects", "deleted_bytes")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "table": self.table,
            "is_dry_run": self.is_dry_run,
            **self.counts(),
            "days": [vars(day) for day in self.days],
            "failed": [{"partition": partition, "reason": reason} for partition, reason in self.failed],
        }


def sweep(
    glue_client: SweepGlue,
    s3_client: SweepS3,
    ledger: SweepLedger,
    spec: TableSpec,
    *,
    now: datetime,
    apply: bool,
    archive: Archive | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> SweepReport:
    """What is past its retention leaves catalogue and ledger; with `archive` its objects leave too.

    Without `apply` nothing is changed. Without `archive` objects are the business of the bucket's lifecycle.
    """
    report = SweepReport(spec.reference, not apply)
    run = _Run(glue_client, s3_client, ledger, spec, now, archive, report)
    candidates = iter(run.candidates())
    while (batch := list(islice(candidates, PARTITIONS_PER_CALL))) and not is_stopping():
        due = [found for candidate in batch if (found := run.examined(candidate)) is not None]
        run.tell(due)
        if apply:
            run.leave(due)
    return report


@dataclass
class _Candidate:
    partition: PartitionSpec
    location: str | None = None  # where the catalogue says; None: it has no such partition
    record: PartitionRecord | None = None  # of the ledger


@dataclass(frozen=True)
class _Object:
    key: str
    size_bytes: int
    last_modified: datetime
    is_archived: bool


@dataclass(frozen=True)
class _Due:
    partition: PartitionSpec
    stage: Stage
    since: datetime
    is_registered: bool
    is_recorded: bool
    objects: tuple[_Object, ...]  # those to archive, or to delete


@dataclass
class _Run:
    glue: SweepGlue
    s3: SweepS3
    ledger: SweepLedger
    spec: TableSpec
    now: datetime
    archive: Archive | None
    report: SweepReport

    # Who may have to leave

    def candidates(self) -> Iterable[_Candidate]:
        """The partitions that catalogue, ledger or archive have and whose time allows that they are too old."""
        found: dict[tuple[str, ...], _Candidate] = {}
        for time_range in ranges_past(self.spec, self.now):
            for values, location in self._registered(time_range):
                candidate = self._candidate(found, values)
                if candidate is not None:
                    candidate.location = location
            for record in self.ledger.partitions(self.spec.reference, time_range):
                candidate = self._candidate(found, record.values)
                if candidate is not None:
                    candidate.record = record
        if self.archive is not None:
            for partition in self._stored_long_ago():
                self._candidate(found, partition.values())
        return (found[values] for values in sorted(found))

    def _candidate(self, found: dict[tuple[str, ...], _Candidate], values: Sequence[str]) -> _Candidate | None:
        known = found.get(tuple(values))
        if known is None:
            try:
                known = _Candidate(PartitionSpec.from_values(values, self.spec.layout.scheme))
            except InvalidPartition:
                return None  # no partition of this layout: reconciling tells of it
            found[tuple(values)] = known
        return known

    def _registered(self, time_range: PartitionRange) -> Iterator[tuple[Sequence[str], str]]:
        arguments: dict[str, Any] = {
            "DatabaseName": self.spec.database,
            "TableName": self.spec.name,
            "Expression": time_range.expression(),
            "ExcludeColumnSchema": True,
        }
        while True:
            page = self.glue.get_partitions(**arguments)
            for entry in page.get("Partitions", ()):
                yield entry["Values"], str(entry.get("StorageDescriptor", {}).get("Location", ""))
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]

    def _stored_long_ago(self) -> Iterator[PartitionSpec]:
        """The partitions with objects so old that they may have expired: found in the store, nobody else knows them."""
        spec, layout = self.spec, self.spec.layout

        def raw(key: str) -> PartitionSpec | None:
            parsed = layout.parse(key)
            return parsed.partition if isinstance(parsed, LakeKey) and parsed.topic == spec.topic else None

        for prefix in layout.listing_prefixes(spec.topic):
            yield from self._stored_below(prefix, raw, is_ordered=not layout.has_md5_prefix)
        yield from self._stored_below(
            compacted_prefix(spec), lambda key: compacted_partition(spec, key), is_ordered=True
        )

    def _stored_below(
        self, prefix: str, partition_of: Callable[[str], PartitionSpec | None], *, is_ordered: bool
    ) -> Iterator[PartitionSpec]:
        """Those of one prefix. Where keys sort as partitions do, only the ranges in question are listed."""
        ranges = list(ranges_past(self.spec, self.now, expired=True))
        last: PartitionSpec | None = None
        for time_range in ranges if is_ordered else [PartitionRange()]:
            first = "" if time_range.first is None else f"{prefix}{time_range.first.path()}"
            for found in self._listed(prefix, start_after=first):
                partition = partition_of(found.key)
                if partition is None or partition == last:
                    continue
                if any(each.contains(partition) for each in ranges):
                    last = partition
                    yield partition
                elif is_ordered and time_range.last is not None:
                    break

    # Whether they do

    def examined(self, candidate: _Candidate) -> _Due | None:
        """What has to be done with a candidate; None when nothing."""
        terms = partition_terms(self.spec, candidate.partition)
        arrivals = (
            [] if candidate.record is None or candidate.record.last_arrival is None else [candidate.record.last_arrival]
        )
        if stage(terms, counted_since(candidate.partition, arrivals, self.now), self.now) is Stage.ACTIVE and arrivals:
            return None  # by the ledger alone: nothing has to be listed
        objects = tuple(self._objects(candidate))
        since = counted_since(candidate.partition, [*arrivals, *(found.last_modified for found in objects)], self.now)
        reached = stage(terms, since, self.now)
        if reached is Stage.ACTIVE or since is None:
            return None
        leaving = self._leaving(objects, reached)
        due = _Due(
            candidate.partition, reached, since, candidate.location is not None, candidate.record is not None, leaving
        )
        return due if due.is_registered or due.is_recorded or due.objects else None

    def _leaving(self, objects: Sequence[_Object], reached: Stage) -> tuple[_Object, ...]:
        if self.archive is None:
            return ()
        return tuple(found for found in objects if reached is Stage.EXPIRED or not found.is_archived)

    def _objects(self, candidate: _Candidate) -> Iterator[_Object]:
        for folder in sorted(self._folders(candidate)):
            yield from self._listed(folder)

    def _folders(self, candidate: _Candidate) -> set[str]:
        """The folders of a partition: the layout's, and where catalogue and ledger say that objects of it lie. A folder
        that may hold more than this partition is left alone.
        """
        own = self.spec.layout.folder(self.spec.topic, candidate.partition)
        bucket = f"s3://{self.spec.bucket}/"
        location = candidate.location or ""
        named = [location.removeprefix(bucket)] if location.startswith(bucket) else []
        if candidate.record is not None:
            named += [known.key.rpartition("/")[0] for known in self._known_objects(candidate.partition)]
        path = candidate.partition.path() + "/"
        found = {own, f"{compacted_prefix(self.spec)}{path}"}
        found |= {folder for folder in (name.rstrip("/") + "/" for name in named) if path in folder}
        return {folder for folder in found if not any(folder != outer and folder.startswith(outer) for outer in found)}

    def _known_objects(self, partition: PartitionSpec) -> Iterator[KnownObject]:
        return self.ledger.known_objects(self.spec.reference, PartitionRange(partition, partition))

    def _listed(self, prefix: str, start_after: str = "") -> Iterator[_Object]:
        arguments: dict[str, Any] = {"Bucket": self.spec.bucket, "Prefix": prefix}
        if start_after:
            arguments["StartAfter"] = start_after
        while True:
            page = self.s3.list_objects_v2(**arguments)
            for entry in page.get("Contents", ()):
                is_archived = entry.get("StorageClass") in ARCHIVE_CLASSES
                yield _Object(entry["Key"], entry["Size"], entry["LastModified"], is_archived)
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    # Leaving

    def tell(self, due: Sequence[_Due]) -> None:
        """Adds partitions to the report; in a dry run also what would become of them."""
        for found in due:
            size_bytes = sum(each.size_bytes for each in found.objects)
            day = self._day(found)
            day.partition_count += 1
            day.object_count += len(found.objects)
            day.size_bytes += size_bytes
            if not self.report.is_dry_run:
                continue
            self.report.dropped_partitions += found.is_registered
            self.report.forgotten_partitions += found.is_recorded
            self._count(found.stage, len(found.objects), size_bytes)

    def _day(self, due: _Due) -> SweptDay:
        """Candidates come in the order of their values: a day's are neighbours, but for their stage."""
        scheme = self.spec.layout.scheme
        name = PartitionSpec.from_values(due.partition.values()[:1], scheme).path()
        for day in self.report.days[-2:]:
            if (day.day, day.stage) == (name, due.stage):
                return day
        self.report.days.append(SweptDay(name, due.stage))
        return self.report.days[-1]

    def _count(self, reached: Stage, object_count: int, size_bytes: int) -> None:
        if reached is Stage.EXPIRED:
            self.report.deleted_objects += object_count
            self.report.deleted_bytes += size_bytes
        else:
            self.report.archived_objects += object_count
            self.report.archived_bytes += size_bytes

    def leave(self, due: Sequence[_Due]) -> None:
        """The three steps, in this order, for at most 25 partitions."""
        answering = self._drop([found for found in due if found.is_registered])
        gone = [found for found in due if found.partition.values() not in answering]
        for found in gone:
            if self._move(found):
                self._forget(found)

    def _drop(self, due: Sequence[_Due]) -> set[tuple[str, ...]]:
        """Step 1; the values of those that are still in the catalogue, as far as is known."""
        if not due:
            return set()
        try:
            answer = self.glue.batch_delete_partition(
                DatabaseName=self.spec.database,
                TableName=self.spec.name,
                PartitionsToDelete=[{"Values": list(found.partition.values())} for found in due],
            )
        except ClientError as error:
            reason = f"{error_code(error)}: {error_message(error)}"
            self.report.failed += [(found.partition.path(), reason) for found in due]
            return {found.partition.values() for found in due}
        answering = set()
        for item in answer.get("Errors", ()):
            detail: Mapping[str, str] = item.get("ErrorDetail", {})
            if detail.get("ErrorCode") == "EntityNotFoundException":
                continue  # somebody else dropped it
            answering.add(tuple(item["PartitionValues"]))
            reason = f"{detail.get('ErrorCode')}: {detail.get('ErrorMessage', '')}"
            self.report.failed.append(("/".join(item["PartitionValues"]), reason))
        self.report.dropped_partitions += len(due) - len(answering)
        return answering

    def _move(self, due: _Due) -> bool:
        """Step 2; whether all of it was done."""
        if self.archive is None or not due.objects:
            return True
        try:
            moved = self._deleted(due.objects) if due.stage is Stage.EXPIRED else self._archived(due)
        except ClientError as error:
            self.report.failed.append((due.partition.path(), f"{error_code(error)}: {error_message(error)}"))
            return False
        self._count(due.stage, len(moved), sum(found.size_bytes for found in moved))
        if len(moved) < len(due.objects):
            self.report.failed.append((due.partition.path(), "objects were written or could not be moved meanwhile"))
        return len(moved) == len(due.objects)

    def _archived(self, due: _Due) -> list[_Object]:
        assert self.archive is not None
        return [
            found
            for found in due.objects
            if self.archive(self.spec.bucket, found.key, unless_newer_than=found.last_modified)
        ]

    def _deleted(self, objects: Sequence[_Object]) -> list[_Object]:
        left: dict[str, str] = {}
        for start in range(0, len(objects), _OBJECTS_PER_CALL):
            keys = [{"Key": found.key} for found in objects[start : start + _OBJECTS_PER_CALL]]
            answer = self.s3.delete_objects(Bucket=self.spec.bucket, Delete={"Objects": keys, "Quiet": True})
            left |= {item["Key"]: item.get("Code", "") for item in answer.get("Errors", ())}
        return [found for found in objects if found.key not in left]

    def _forget(self, due: _Due) -> None:
        """Step 3."""
        if not due.is_recorded:
            return
        known = [ObjectRemoval(due.partition, each.key, was_meant=True) for each in self._known_objects(due.partition)]
        self.ledger.remove_objects(self.spec.reference, known, now=self.now)
        self.report.forgotten_partitions += 1
