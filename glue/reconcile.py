"""Three accounts of one lake - what lies in it, what the catalogue says, what the ledger says - are made to agree.

    lake listing -+
    catalogue ----+-> findings -> (repair) -> catalogue and ledger
    ledger -------+

For `data-hist partitions verify` and `repair`, and for whoever does not trust notifications. The lake is the truth:

    missing     objects lie in a partition that the catalogue has not       -> created
    orphaned    the catalogue has a partition without any object            -> dropped
    moved       no object where the catalogue says, but in the layout's own folder -> pointed there
    relocated   objects where the catalogue says, which is not the layout's folder -> nothing: somebody meant it
    compacted   the catalogue points at a whole compaction of it (glue.compaction) -> nothing: it was meant
    unsettled   compacted, and not all of its rows are in the answers        -> they are (glue.compaction_settling)
    drifted     a partition's columns or SerDe are not the table's (HIVE_PARTITION_SCHEMA_MISMATCH) -> the table's
    unrecorded  objects that the ledger has not, or with another size       -> recorded
    forgotten   objects of the ledger that lie nowhere                      -> removed from the ledger
    expired     not in the catalogue, and past the table's retention        -> nothing: that is why

It may be done at any time, beside loads, trackers and queries, twice or cut off in the middle. The ledger and the
catalogue are read before the lake, so that what they have and the lake has not is truly gone; a partition is dropped
only after looking once more. Where nothing at all lies in the range, nothing is dropped: that is a wrong bucket or a
folder that is not mounted more often than an empty lake.

A long history is worked off in windows of days (glue.lake_windows), several at a time, so that memory stays flat. With
a journal (glue.run_journal) a run that was killed goes on with the windows that it had not finished.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import GlueClient, S3Client, error_code, error_message
from glue.catalogue_snapshot import CatalogueSnapshot, RegisteredPartition
from glue.compaction_catalogue import compacted_input
from glue.compaction_reconciling import WindowCompactions
from glue.compaction_state import stored_compactions
from glue.data_retention import compacted_prefix, is_past_retention
from glue.lake_windows import lake_windows
from glue.layout import LakeKey
from glue.ledger import ObjectRecord, ObjectRemoval, PartitionLedger
from glue.partition_range import PartitionRange
from glue.partition_spec import InvalidPartition, PartitionSpec
from glue.registration import FOREIGN_SAMPLES, PARTITIONS_PER_CALL, lake_objects, register_partitions
from glue.run_journal import RunJournal
from glue.table_spec import TableSpec
from glue.tracker import is_late

FindingKind = Literal[
    "missing", "orphaned", "moved", "relocated", "compacted", "unsettled", "drifted", "unrecorded", "forgotten",
    "expired",
]  # fmt: skip

KINDS: tuple[FindingKind, ...] = (
    "missing", "orphaned", "moved", "relocated", "compacted", "unsettled", "drifted", "unrecorded", "forgotten",
    "expired",
)  # fmt: skip
# Findings that are told and never mended: somebody meant it so.
MEANT: frozenset[FindingKind] = frozenset({"relocated", "compacted", "expired"})
DELETIONS_PER_CALL = 25
MAXIMUM_FINDINGS = 1_000
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class CatalogueClient(GlueClient, Protocol):
    """The part of boto3's Glue client that reconciling needs."""

    def batch_get_partition(self, **arguments: Any) -> Any: ...
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
        return not any(count for kind, count in self.counts.items() if kind not in MEANT)

    def find(self, kind: FindingKind, partition: PartitionSpec, detail: str) -> None:
        """Adds a finding."""
        self.counts[kind] += 1
        if len(self.findings) < MAXIMUM_FINDINGS:
            self.findings.append(Finding(kind, partition.path(), detail))

    def add_foreign(self, key: str, reason: str) -> None:
        """Counts a key that does not belong."""
        self.foreign_count += 1
        if len(self.foreign_samples) < FOREIGN_SAMPLES:
            self.foreign_samples.append((key, reason))

    def add(self, other: ReconcileReport) -> None:
        """Adds the report of another part of the run."""
        self.partition_count += other.partition_count
        self.object_count += other.object_count
        self.size_bytes += other.size_bytes
        self.counts += other.counts
        self.applied += other.applied
        self.failed += other.failed
        self.findings += other.findings[: MAXIMUM_FINDINGS - len(self.findings)]
        self.foreign_count += other.foreign_count
        self.foreign_samples += other.foreign_samples[: FOREIGN_SAMPLES - len(self.foreign_samples)]

    def to_journal(self) -> dict[str, Any]:
        """The report as JSON values that `from_journal` reads back."""
        return {**vars(self), "findings": [vars(finding) for finding in self.findings]}

    @classmethod
    def from_journal(cls, document: Mapping[str, Any]) -> ReconcileReport:
        """The report that `to_journal` wrote."""
        report = cls(**document)
        report.counts, report.applied = Counter(report.counts), Counter(report.applied)
        report.findings = [Finding(**finding) for finding in document["findings"]]
        report.failed = [(partition, reason) for partition, reason in report.failed]
        report.foreign_samples = [(key, reason) for key, reason in report.foreign_samples]
        return report

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
class _Run:
    """What the windows of one run share."""

    glue: CatalogueClient
    s3: S3Client
    ledger: PartitionLedger
    spec: TableSpec
    time_range: PartitionRange | None
    snapshot: CatalogueSnapshot
    is_dry_run: bool
    now: datetime
    sleep: Callable[[float], None]

    @cached_property
    def lake_has_objects(self) -> bool:
        """Whether anything at all lies in the range; asked only when partitions are about to be dropped."""
        return next(_lake_objects(self, self.time_range, ReconcileReport(True)), None) is not None

    @cached_property
    def has_compactions(self) -> bool:
        """Whether anything of the table was ever compacted: asked once, so that others pay for nothing."""
        prefix = compacted_prefix(self.spec)
        return bool(self.s3.list_objects_v2(Bucket=self.spec.bucket, Prefix=prefix, MaxKeys=1).get("Contents"))


def reconcile(
    glue_client: CatalogueClient,
    s3_client: S3Client,
    ledger: PartitionLedger,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
    *,
    apply: bool,
    now: datetime,
    workers: int = 1,
    journal: RunJournal | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ReconcileReport:
    """Finds the differences of a range of a table's partitions; with `apply` mends them.

    `workers` windows are worked on at a time, and as many segments of the catalogue are read side by side. `journal`
    remembers finished windows; it is ended with the run. `on_progress` hears (windows done, windows in all), from any
    thread. Raises ClientError when lake or catalogue cannot be read; what was mended by then stays.
    """
    finished = journal.finished if journal is not None else {}
    report = ReconcileReport(not apply)
    done = itertools.count(1)
    with CatalogueSnapshot() as snapshot, ThreadPoolExecutor(workers, thread_name_prefix="reconcile") as pool:
        run = _Run(glue_client, s3_client, ledger, spec, time_range, snapshot, not apply, now, sleep)
        windows = lake_windows(s3_client, spec, ledger.days(spec.reference), time_range)
        # the ledger and the catalogue first: what they have by now and the lake will not have is truly gone
        snapshot.read(glue_client, spec, time_range, segments=workers)

        def work(window: PartitionRange | None) -> ReconcileReport:
            part = _part_name(window)
            if part in finished:
                outcome = ReconcileReport.from_journal(finished[part])
            else:
                outcome = _Window(run, window, ReconcileReport(not apply)).work()
                if journal is not None:
                    journal.finish_part(part, outcome.to_journal())
            if on_progress is not None:
                on_progress(next(done), len(windows))
            return outcome

        try:
            for outcome in pool.map(work, windows):
                report.add(outcome)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if journal is not None:
        journal.end()
    return report


def _part_name(window: PartitionRange | None) -> str:
    ends = (None, None) if window is None else (window.first, window.last)
    return "..".join("" if end is None else end.path() for end in ends)


def _lake_objects(run: _Run, time_range: PartitionRange | None, report: ReconcileReport) -> Iterator[ObjectRecord]:
    """The objects of a range in the lake; foreign ones are counted in the report."""
    layout = run.spec.layout
    for prefix in layout.listing_prefixes(run.spec.topic):
        start_after, end = _listing_bounds(run.spec, prefix, time_range)
        for key, size_bytes, last_modified in lake_objects(run.s3, run.spec.bucket, prefix, start_after=start_after):
            if end is not None and key > end:
                break
            parsed = layout.parse(key)
            if isinstance(parsed, LakeKey):
                is_inside = time_range is None or time_range.contains(parsed.partition)
                if parsed.topic == run.spec.topic and size_bytes > 0 and is_inside:
                    late = is_late(run.spec, parsed.partition, last_modified)
                    yield ObjectRecord(parsed.partition, key, size_bytes, last_modified, is_late=late)
            elif parsed.kind == "foreign":
                report.add_foreign(key, parsed.reason)


def _listing_bounds(spec: TableSpec, prefix: str, time_range: PartitionRange | None) -> tuple[str, str | None]:
    """The keys after which a range's objects begin, and after which none follows: a short range of a long history is
    a short listing, since the keys of a table sort as its partitions do. Neighbouring ranges have neighbouring bounds,
    so that a foreign key lies in one of them.
    """
    if time_range is None or spec.layout.has_md5_prefix:
        return "", None
    first, last = time_range.first, time_range.last
    start_after = "" if first is None else prefix + first.path()
    if last is None or last.end() >= _END_OF_TIME:
        return start_after, None
    return start_after, prefix + PartitionSpec.from_datetime(last.end(), last.granularity, last.scheme).path()


@dataclass
class _Window:
    """The comparison of one window, and the mending of what it finds."""

    run: _Run
    time_range: PartitionRange | None
    report: ReconcileReport
    missing: list[PartitionSpec] = field(default_factory=list)
    updates: list[tuple[PartitionSpec, FindingKind, str]] = field(default_factory=list)
    orphans: list[tuple[PartitionSpec, str]] = field(default_factory=list)
    settled: dict[PartitionSpec, str | None] = field(default_factory=dict)

    @cached_property
    def compactions(self) -> WindowCompactions:
        """What compaction has written for the partitions of this window."""
        run = self.run
        stored = stored_compactions(run.s3, run.spec, self.time_range) if run.has_compactions else {}
        return WindowCompactions(run.glue, run.s3, run.ledger, run.spec, run.now, run.sleep, stored)

    def work(self) -> ReconcileReport:
        spec = self.run.spec
        recorded = {record.values for record in self.run.ledger.partitions(spec.reference, self.time_range)}
        for partition, objects in self._lake():
            values = partition.values()
            recorded.discard(values)
            self.report.partition_count += 1
            entry = self.run.snapshot.take(values)
            if entry is None and is_past_retention(spec, partition, (o.arrival for o in objects), self.run.now):
                self.report.find("expired", partition, f"{len(objects)} objects past retention")
                continue
            self._compare_catalogue(partition, entry, objects)
            self._compare_ledger(partition, objects, None if entry is None else entry.location)
            if len(self.missing) >= PARTITIONS_PER_CALL or len(self.updates) >= PARTITIONS_PER_CALL:
                self._mend_catalogue()
        for values, entry in self.run.snapshot.remaining(self.time_range):
            location = self._compare_empty(values, entry)
            if values in recorded and location is not None:
                recorded.discard(values)
                self._compare_ledger(PartitionSpec.from_values(values, spec.layout.scheme), (), location)
        for values in sorted(recorded):
            self._compare_ledger(PartitionSpec.from_values(values, spec.layout.scheme), (), None)
        self._mend_catalogue()
        self._drop_orphans()
        return self.report

    def _lake(self) -> Iterator[tuple[PartitionSpec, tuple[ObjectRecord, ...]]]:
        """The partitions of the lake with their objects. The objects of a folder stand together in a listing; where a
        layout has two prefixes a partition may have a folder below each.
        """
        found = _lake_objects(self.run, self.time_range, self.report)
        if self.run.spec.layout.alternative is not None:
            found = iter(sorted(found, key=lambda record: record.partition.values()))
        for partition, objects in groupby(found, key=lambda record: record.partition):
            yield partition, tuple(objects)

    # Comparing

    def _compare_catalogue(
        self, partition: PartitionSpec, entry: RegisteredPartition | None, objects: Sequence[ObjectRecord]
    ) -> None:
        if entry is None:
            self.report.find("missing", partition, f"{len(objects)} objects that no query sees")
            self.missing.append(partition)
            return
        location = entry.location
        compaction = self._compare_compaction(partition, location, objects)
        if compaction == "unsettled":
            return
        if location is not None and compaction is None:
            if self._has_objects(location):
                self.report.find("relocated", partition, f"registered at {location}")
            else:
                self.report.find("moved", partition, f"registered at {location}, where nothing lies")
                location = None
                self.updates.append((partition, "moved", self.run.spec.partition_location(partition)))
        if entry.drift:
            self.report.find("drifted", partition, entry.drift)
            if not (self.updates and self.updates[-1][0] == partition):
                self.updates.append((partition, "drifted", location or self.run.spec.partition_location(partition)))

    def _compare_compaction(
        self, partition: PartitionSpec, location: str | None, objects: Sequence[ObjectRecord]
    ) -> Literal["compacted", "unsettled"] | None:
        """What compaction has to do with a partition; None when nothing. `unsettled` has been dealt with."""
        problem = self.compactions.problem(partition, location, objects)
        if problem:
            self.report.find("unsettled", partition, problem)
            if not self.run.is_dry_run:
                reason = self.compactions.mend(partition, location)
                self._failed([(partition.path(), reason)] if reason else [])
                self.report.applied["unsettled"] += not reason
                self.settled[partition] = self.compactions.location(partition)
            return "unsettled"
        if self.compactions.at(partition, location) is None:
            return None
        self.report.counts["compacted"] += 1  # not a finding: there may be a great many, and all is well
        return "compacted"

    def _compare_empty(self, values: tuple[str, ...], entry: RegisteredPartition) -> str | None:
        """A partition of the catalogue without objects in the layout's folder. Where it is compacted, its location."""
        try:
            partition = PartitionSpec.from_values(values, self.run.spec.layout.scheme)
        except InvalidPartition as error:
            self.report.failed.append(("/".join(values), f"no partition of this layout: {error}"))
            return None
        if self.time_range is not None and not self.time_range.contains(partition):
            return None
        compaction = self._compare_compaction(partition, entry.location, ())
        if compaction is not None:
            if entry.drift and compaction == "compacted":
                self.report.find("drifted", partition, entry.drift)
                self.updates.append((partition, "drifted", entry.location or ""))
            return entry.location
        if entry.location is not None and self._has_objects(entry.location):
            self.report.find("relocated", partition, f"registered at {entry.location}")
            return None
        self.report.find("orphaned", partition, "registered, and no object lies there")
        self.orphans.append((partition, entry.location or self.run.spec.partition_location(partition)))
        return None

    def _compare_ledger(self, partition: PartitionSpec, objects: Sequence[ObjectRecord], location: str | None) -> None:
        known = {
            entry.key: entry.size_bytes
            for entry in self.run.ledger.known_objects(self.run.spec.reference, PartitionRange(partition, partition))
        }
        location = self.settled.get(partition, location)
        read = [key for key in known if self.compactions.is_read(partition, location, key)]
        if len(read) < self.compactions.read_count(partition, location):
            self.report.find("unrecorded", partition, "that it is compacted")
            if not self.run.is_dry_run:
                self.compactions.tell_ledger(partition, location)
                self.report.applied["unrecorded"] += 1
        for key in read:
            del known[key]
        self.report.object_count += len(objects)
        self.report.size_bytes += sum(record.size_bytes for record in objects)
        changed = [record for record in objects if known.pop(record.key, None) != record.size_bytes]
        gone = [ObjectRemoval(partition, key) for key in known]
        if changed:
            self.report.find("unrecorded", partition, f"{len(changed)} objects")
        if gone:
            self.report.find("forgotten", partition, f"{len(gone)} objects that lie nowhere")
        if self.run.is_dry_run:
            return
        if changed:
            self.run.ledger.record_objects(self.run.spec.reference, changed)
            self.report.applied["unrecorded"] += 1
        if gone:
            self.run.ledger.remove_objects(self.run.spec.reference, gone, now=self.run.now)
            self.report.applied["forgotten"] += 1

    def _has_objects(self, location: str) -> bool:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        try:
            answer = self.run.s3.list_objects_v2(Bucket=bucket, Prefix=prefix.rstrip("/") + "/", MaxKeys=1)
        except ClientError as error:
            if error_code(error) == "NoSuchBucket":
                return False
            raise
        return bool(answer.get("Contents"))

    # Mending

    def _mend_catalogue(self) -> None:
        missing, self.missing = self.missing, []
        updates, self.updates = self.updates, []
        if self.run.is_dry_run:
            return
        if missing:
            outcome = register_partitions(self.run.glue, self.run.spec, missing, sleep=self.run.sleep)
            self.report.applied["missing"] += outcome.registered_count + outcome.already_known_count
            self._failed((failure.partition.path(), f"{failure.code}: {failure.message}") for failure in outcome.failed)
        for start in range(0, len(updates), PARTITIONS_PER_CALL):
            self._update(updates[start : start + PARTITIONS_PER_CALL])

    def _update(self, updates: Sequence[tuple[PartitionSpec, FindingKind, str]]) -> None:
        entries = [
            {"PartitionValueList": list(partition.values()), "PartitionInput": self._input(partition, location)}
            for partition, _, location in updates
        ]
        failures = self._errors(
            "PartitionValueList",
            self.run.glue.batch_update_partition,
            {"Entries": entries},
            [partition for partition, _, _ in updates],
        )
        for partition, kind, _ in updates:
            if partition.values() not in failures:
                self.report.applied[kind] += 1

    def _input(self, partition: PartitionSpec, location: str) -> dict[str, Any]:
        identifier = self.compactions.at(partition, location)
        if identifier is not None:
            return compacted_input(self.run.spec, partition, identifier, self.run.now)
        return {
            "Values": list(partition.values()),
            "StorageDescriptor": self.run.spec.storage_descriptor(location),
        }

    def _drop_orphans(self) -> None:
        if self.run.is_dry_run or not self.orphans:
            return
        if self.report.partition_count == 0 and not self.run.lake_has_objects:
            reason = "not dropped: nothing at all lies in this range of the lake, which may be the wrong one"
            self._failed((partition.path(), reason) for partition, _ in self.orphans)
            return
        empty = [partition for partition, location in self.orphans if not self._has_objects(location)]
        for start in range(0, len(empty), DELETIONS_PER_CALL):
            batch = empty[start : start + DELETIONS_PER_CALL]
            values = {"PartitionsToDelete": [{"Values": list(partition.values())} for partition in batch]}
            failures = self._errors("PartitionValues", self.run.glue.batch_delete_partition, values, batch)
            self.report.applied["orphaned"] += sum(partition.values() not in failures for partition in batch)

    def _errors(
        self, member: str, call: Callable[..., Any], arguments: Mapping[str, Any], partitions: Sequence[PartitionSpec]
    ) -> set[tuple[str, ...]]:
        """Calls; the values of the partitions that failed, which are in the report then."""
        try:
            answer = call(DatabaseName=self.run.spec.database, TableName=self.run.spec.name, **arguments)
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
