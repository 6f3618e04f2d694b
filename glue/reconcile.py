"""Three accounts of one lake - what lies in it, what the catalogue says, what the ledger says - are made to agree.

    lake listing -+
    catalogue ----+-> findings -> (repair) -> catalogue and ledger
    ledger -------+

For `data-hist partitions verify` and `repair`, and for whoever does not trust notifications. The lake is the truth:

    missing     objects lie in a partition that the catalogue has not       -> created
    orphaned    the catalogue has a partition without any object            -> dropped
    moved       no object where the catalogue says, but in the layout's own folder -> pointed there
    relocated   objects where the catalogue says, which is not the layout's folder -> nothing: somebody meant it
    drifted     a partition's columns or SerDe are not the table's (HIVE_PARTITION_SCHEMA_MISMATCH) -> the table's
    unrecorded  objects that the ledger has not, or with another size       -> recorded
    forgotten   objects of the ledger that lie nowhere                      -> removed from the ledger

It may be done at any time, beside loads, trackers and queries, twice or cut off in the middle. The ledger and the
catalogue are read before the lake, so that what they have and the lake has not is truly gone; a partition is dropped
only after looking once more. Where nothing at all lies in the range, nothing is dropped: that is a wrong bucket or a
folder that is not mounted more often than an empty lake.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import GlueClient, S3Client, error_code, error_message
from glue.layout import LakeKey
from glue.ledger import ObjectRecord, ObjectRemoval, PartitionLedger
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.registration import FOREIGN_SAMPLES, PARTITIONS_PER_CALL, lake_objects, register_partitions
from glue.table_spec import TableSpec
from glue.tracker import is_late

FindingKind = Literal["missing", "orphaned", "moved", "relocated", "drifted", "unrecorded", "forgotten"]

KINDS: tuple[FindingKind, ...] = (
    "missing", "orphaned", "moved", "relocated", "drifted", "unrecorded", "forgotten",
)  # fmt: skip
DELETIONS_PER_CALL = 25
MAXIMUM_FINDINGS = 1_000


class CatalogueClient(GlueClient, Protocol):
    """The part of boto3's Glue client that reconciling needs."""

    def get_partitions(self, **arguments: Any) -> Any: ...
    def batch_update_partition(self, **arguments: Any) -> Any: ...
    def batch_delete_partition(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Finding:
    """One difference: which partition, which kind, and what exactly."""

    kind: FindingKind
    partition: str
    detail: str


@dataclass
class ReconcileReport:
    """What was found, and what became of it. `findings` are the first ones; `counts` count all.

    `applied`: differences mended, by kind; `failed`: those that could not be, with the reason.
    """

    is_dry_run: bool
    partition_count: int = 0
    object_count: int = 0
    size_bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    applied: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    foreign_count: int = 0
    foreign_samples: list[tuple[str, str]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether there was nothing to mend."""
        return not any(count for kind, count in self.counts.items() if kind != "relocated")

    def find(self, kind: FindingKind, partition: PartitionSpec, detail: str) -> None:
        """Adds a finding."""
        self.counts[kind] += 1
        if len(self.findings) < MAXIMUM_FINDINGS:
            self.findings.append(Finding(kind, partition.path(), detail))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "is_dry_run": self.is_dry_run,
            "agrees": self.agrees,
            "partitions": self.partition_count,
            "objects": self.object_count,
            "size_bytes": self.size_bytes,
            "counts": {kind: self.counts[kind] for kind in KINDS},
            "findings": [vars(finding) for finding in self.findings],
            "applied": dict(self.applied),
            "failed": [{"partition": partition, "reason": reason} for partition, reason in self.failed],
            "foreign": self.foreign_count,
            "foreign_samples": [{"key": key, "reason": reason} for key, reason in self.foreign_samples],
        }


@dataclass(frozen=True)
class _Registered:
    """A partition of the catalogue; `location` None is the layout's own folder, `drift` "" is none."""

    location: str | None
    drift: str


_AS_IT_SHOULD_BE = _Registered(None, "")


def reconcile(
    glue_client: CatalogueClient,
    s3_client: S3Client,
    ledger: PartitionLedger,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
    *,
    apply: bool,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> ReconcileReport:
    """Finds the differences of a range of a table's partitions; with `apply` mends them."""
    run = _Run(glue_client, s3_client, ledger, spec, time_range, ReconcileReport(not apply), now, sleep)
    run.work()
    return run.report


@dataclass
class _Run:
    glue: CatalogueClient
    s3: S3Client
    ledger: PartitionLedger
    spec: TableSpec
    time_range: PartitionRange | None
    report: ReconcileReport
    now: datetime
    sleep: Callable[[float], None]
    missing: list[PartitionSpec] = field(default_factory=list)
    updates: list[tuple[PartitionSpec, FindingKind, str]] = field(default_factory=list)
    orphans: list[tuple[PartitionSpec, str]] = field(default_factory=list)

    def work(self) -> None:
        registered = dict(self._registered())
        recorded = {record.values for record in self.ledger.partitions(self.spec.reference, self.time_range)}
        for partition, objects in self._lake():
            values = partition.values()
            entry = registered.pop(values, None)
            recorded.discard(values)
            self.report.partition_count += 1
            self._compare_catalogue(partition, entry, len(objects))
            self._compare_ledger(partition, objects)
            if len(self.missing) >= PARTITIONS_PER_CALL or len(self.updates) >= PARTITIONS_PER_CALL:
                self._mend_catalogue()
        for values in sorted(recorded):
            self._compare_ledger(PartitionSpec.from_values(values, self.spec.layout.scheme), ())
        for values, entry in sorted(registered.items()):
            self._compare_empty(values, entry)
        self._mend_catalogue()
        self._drop_orphans()

    # Reading

    def _registered(self) -> Iterator[tuple[tuple[str, ...], _Registered]]:
        arguments: dict[str, Any] = {"DatabaseName": self.spec.database, "TableName": self.spec.name}
        if self.time_range is not None and not self.time_range.is_unbounded:
            arguments["Expression"] = self.time_range.expression()
        wanted = self.spec.storage_descriptor("")
        while True:
            page = self.glue.get_partitions(**arguments)
            for entry in page.get("Partitions", ()):
                yield tuple(entry["Values"]), self._entry(entry, wanted)
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]

    def _entry(self, entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> _Registered:
        descriptor = entry.get("StorageDescriptor", {})
        location = str(descriptor.get("Location", ""))
        drift = _drift(descriptor, wanted)
        try:
            partition = PartitionSpec.from_values(entry["Values"], self.spec.layout.scheme)
            own = self.spec.partition_location(partition)
        except InvalidPartition:
            own = ""
        if location.rstrip("/") == own.rstrip("/"):
            return _Registered(None, drift) if drift else _AS_IT_SHOULD_BE
        return _Registered(location, drift)

    def _lake(self) -> Iterator[tuple[PartitionSpec, tuple[ObjectRecord, ...]]]:
        """The partitions of the lake with their objects, in the range."""

        def understood() -> Iterator[ObjectRecord]:
            start_after, last = self._listing_bounds()
            for prefix in self.spec.layout.listing_prefixes(self.spec.topic):
                listed = lake_objects(self.s3, self.spec.bucket, prefix, start_after=start_after)
                for key, size_bytes, last_modified in listed:
                    parsed = self.spec.layout.parse(key)
                    if isinstance(parsed, LakeKey):
                        if last is not None and parsed.partition.values()[: len(last)] > last:
                            break
                        if parsed.topic == self.spec.topic and size_bytes > 0 and self._is_inside(parsed.partition):
                            late = is_late(self.spec, parsed.partition, last_modified)
                            yield ObjectRecord(parsed.partition, key, size_bytes, last_modified, is_late=late)
                    elif parsed.kind == "foreign":
                        self.report.foreign_count += 1
                        if len(self.report.foreign_samples) < FOREIGN_SAMPLES:
                            self.report.foreign_samples.append((key, parsed.reason))

        for partition, objects in groupby(understood(), key=lambda record: record.partition):
            yield partition, tuple(objects)

    def _listing_bounds(self) -> tuple[str, tuple[str, ...] | None]:
        """The key after which the range's objects lie, and the values after which none follows: a short range of a
        long history is a short listing, where the keys of a table sort as its partitions do.
        """
        layout = self.spec.layout
        if self.time_range is None or layout.has_md5_prefix or layout.alternative is not None:
            return "", None
        first, last = self.time_range.first, self.time_range.last
        start_after = "" if first is None else layout.folder(self.spec.topic, first)
        return start_after, None if last is None else last.values()

    def _is_inside(self, partition: PartitionSpec) -> bool:
        return self.time_range is None or self.time_range.contains(partition)

    # Comparing

    def _compare_catalogue(self, partition: PartitionSpec, entry: _Registered | None, object_count: int) -> None:
        if entry is None:
            self.report.find("missing", partition, f"{object_count} objects that no query sees")
            self.missing.append(partition)
            return
        location = entry.location
        if location is not None:
            if self._has_objects(location):
                self.report.find("relocated", partition, f"registered at {location}")
            else:
                self.report.find("moved", partition, f"registered at {location}, where nothing lies")
                location = None
                self.updates.append((partition, "moved", self.spec.partition_location(partition)))
        if entry.drift:
            self.report.find("drifted", partition, entry.drift)
            if not (self.updates and self.updates[-1][0] == partition):
                self.updates.append((partition, "drifted", location or self.spec.partition_location(partition)))

    def _compare_empty(self, values: tuple[str, ...], entry: _Registered) -> None:
        """A partition of the catalogue without objects in the layout's folder."""
        try:
            partition = PartitionSpec.from_values(values, self.spec.layout.scheme)
        except InvalidPartition as error:
            self.report.failed.append(("/".join(values), f"no partition of this layout: {error}"))
            return
        if not self._is_inside(partition):
            return
        if entry.location is not None and self._has_objects(entry.location):
            self.report.find("relocated", partition, f"registered at {entry.location}")
            return
        self.report.find("orphaned", partition, "registered, and no object lies there")
        self.orphans.append((partition, entry.location or self.spec.partition_location(partition)))

    def _compare_ledger(self, partition: PartitionSpec, objects: Sequence[ObjectRecord]) -> None:
        known = {
            entry.key: entry.size_bytes
            for entry in self.ledger.known_objects(self.spec.reference, PartitionRange(partition, partition))
        }
        self.report.object_count += len(objects)
        self.report.size_bytes += sum(record.size_bytes for record in objects)
        changed = [record for record in objects if known.pop(record.key, None) != record.size_bytes]
        gone = [ObjectRemoval(partition, key) for key in known]
        if changed:
            self.report.find("unrecorded", partition, f"{len(changed)} objects")
        if gone:
            self.report.find("forgotten", partition, f"{len(gone)} objects that lie nowhere")
        if self.report.is_dry_run:
            return
        if changed:
            self.ledger.record_objects(self.spec.reference, changed)
            self.report.applied["unrecorded"] += 1
        if gone:
            self.ledger.remove_objects(self.spec.reference, gone, now=self.now)
            self.report.applied["forgotten"] += 1

    def _has_objects(self, location: str) -> bool:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        try:
            answer = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix.rstrip("/") + "/", MaxKeys=1)
        except ClientError as error:
            if error_code(error) == "NoSuchBucket":
                return False
            raise
        return bool(answer.get("Contents"))

    # Mending

    def _mend_catalogue(self) -> None:
        missing, self.missing = self.missing, []
        updates, self.updates = self.updates, []
        if self.report.is_dry_run:
            return
        if missing:
            outcome = register_partitions(self.glue, self.spec, missing, sleep=self.sleep)
            self.report.applied["missing"] += outcome.registered_count + outcome.already_known_count
            self._failed((failure.partition.path(), f"{failure.code}: {failure.message}") for failure in outcome.failed)
        for start in range(0, len(updates), PARTITIONS_PER_CALL):
            self._update(updates[start : start + PARTITIONS_PER_CALL])

    def _update(self, updates: Sequence[tuple[PartitionSpec, FindingKind, str]]) -> None:
        entries = [
            {
                "PartitionValueList": list(partition.values()),
                "PartitionInput": {
                    "Values": list(partition.values()),
                    "StorageDescriptor": self.spec.storage_descriptor(location),
                },
            }
            for partition, _, location in updates
        ]
        failures = self._errors(
            "PartitionValueList",
            self.glue.batch_update_partition,
            {"Entries": entries},
            [partition for partition, _, _ in updates],
        )
        for partition, kind, _ in updates:
            if partition.values() not in failures:
                self.report.applied[kind] += 1

    def _drop_orphans(self) -> None:
        if self.report.is_dry_run or not self.orphans:
            return
        if self.report.partition_count == 0:
            reason = "not dropped: nothing at all lies in this range of the lake, which may be the wrong one"
            self._failed((partition.path(), reason) for partition, _ in self.orphans)
            return
        empty = [partition for partition, location in self.orphans if not self._has_objects(location)]
        for start in range(0, len(empty), DELETIONS_PER_CALL):
            batch = empty[start : start + DELETIONS_PER_CALL]
            values = {"PartitionsToDelete": [{"Values": list(partition.values())} for partition in batch]}
            failures = self._errors("PartitionValues", self.glue.batch_delete_partition, values, batch)
            self.report.applied["orphaned"] += sum(partition.values() not in failures for partition in batch)

    def _errors(
        self, member: str, call: Callable[..., Any], arguments: Mapping[str, Any], partitions: Sequence[PartitionSpec]
    ) -> set[tuple[str, ...]]:
        """Calls; the values of the partitions that failed, which are in the report then."""
        try:
            answer = call(DatabaseName=self.spec.database, TableName=self.spec.name, **arguments)
        except ClientError as error:
            reason = f"{error_code(error)}: {error_message(error)}"
            self._failed((partition.path(), reason) for partition in partitions)
            return {partition.values() for partition in partitions}
        failures = set()
        for item in answer.get("Errors", ()):
            values, detail = tuple(item[member]), item.get("ErrorDetail", {})
            if detail.get("ErrorCode") == "EntityNotFoundException" and member == "PartitionValues":
                continue  # somebody else dropped it: that is what was wanted
            failures.add(values)
            self._failed([("/".join(values), f"{detail.get('ErrorCode')}: {detail.get('ErrorMessage', '')}")])
        return failures

    def _failed(self, failures: Iterable[tuple[str, str]]) -> None:
        self.report.failed.extend(failures)


def _drift(descriptor: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How a partition's descriptor is not the table's; "" where it is. JSON is read by position, so order counts."""
    mine = [(column["Name"], column.get("Type", "")) for column in descriptor.get("Columns", ())]
    table = [(column["Name"], column.get("Type", "")) for column in wanted["Columns"]]
    if mine != table:
        odd = sorted({name for name, _ in set(mine) ^ set(table)})
        return f"columns differ: {', '.join(odd[:5])}" if odd else "columns stand in another order"
    for member in ("InputFormat", "OutputFormat"):
        if descriptor.get(member) != wanted[member]:
            return f"{member} is {descriptor.get(member)}"
    library = descriptor.get("SerdeInfo", {}).get("SerializationLibrary")
    return "" if library == wanted["SerdeInfo"]["SerializationLibrary"] else f"the SerDe is {library}"
