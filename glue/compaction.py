"""Compaction: partitions of many small JSON objects become partitions of few Parquet objects; answers stay the same.

    window of days -> what lies there, what the catalogue says -> plan -> write and commit -> switch -> look again

For `data-hist partitions compact` and the Glue job. Only CLOSED partitions are compacted. Each partition goes through
the same steps, and being killed between any two of them costs nothing but time:

1. its raw objects are read and written as Parquet, sorted by time; malformed lines are kept aside
2. the manifest is written: the compaction exists. Begun again, it is found and not written twice
3. the catalogue is pointed at it, by one entry of a BatchUpdatePartition
4. the raw folder is listed again: an object that has come meanwhile sends the partition back (glue.compaction_settling)
5. the ledger is told what is read now

Raw objects stay where they are, for queries that have planned on them, for going back, and for whoever comes late;
`glue.compaction_upkeep` removes them when somebody asks for it, after a time of grace. Every run looks at the
partitions that are compacted already and finishes what was left: the switch, the look, the ledger.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from glue.aws_clients import S3Client
from glue.compaction_catalogue import (
    RegisteredPartition,
    SwitchingClient,
    compacted_input,
    registered_partitions,
    switch,
)
from glue.compaction_jobs import CompactionJob, JobOutcome, JobRunner
from glue.compaction_ledger import CompactionLedger, ledger_compacted, read_instead
from glue.compaction_manifest import Manifest, UnreadableManifest, reading_of
from glue.compaction_objects import RUN_BYTES, TARGET_OBJECT_BYTES
from glue.compaction_settling import SettlingReport, SettlingStore, groups_read, restore, settle_compacted
from glue.compaction_state import (
    Compactions,
    RawFolder,
    StoredCompaction,
    last_word,
    raw_folders,
    raw_folders_of,
    read_manifest,
    stored_compactions,
    uncovered,
)
from glue.completeness import PartitionState, partition_state
from glue.lake_windows import lake_windows
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec
from glue.tracker import closing_time

MAXIMUM_SAMPLES = 20
MAXIMUM_FAILURES = 1_000
# A Parquet object of a few rows is larger than the JSON it was made of, and takes longer to open.
MINIMUM_BYTES = 16 << 10
_FEW_OBJECTS = 4
_JOBS_AT_ONCE = 100
_BYTES_AT_ONCE = 4 << 30


class CompactionStore(S3Client, SettlingStore, Protocol):
    """The part of boto3's S3 client that compacting needs."""


class DaysLedger(CompactionLedger, Protocol):
    """What is needed of the ledger."""

    def days(self, table: str) -> list[str]: ...


@dataclass(frozen=True)
class CompactionOptions:
    """`older_than`: only partitions that ended so long ago. `minimum_bytes`: a partition of less, in few objects, stays
    raw. `target_object_bytes`: how large a Parquet object may grow before the next one is begun. `run_bytes`: how much
    is sorted in memory at a time.
    """

    older_than: timedelta = timedelta(0)
    minimum_bytes: int = MINIMUM_BYTES
    target_object_bytes: int = TARGET_OBJECT_BYTES
    run_bytes: int = RUN_BYTES


class LeftRaw(StrEnum):
    """Why a partition was not compacted."""

    ARCHIVED = "archived"
    CHANGED = "changed"
    EMPTY = "empty"
    OPEN = "open"
    RELOCATED = "relocated"
    SMALL = "small"
    UNREGISTERED = "unregistered"
    YOUNG = "young"


@dataclass
class CompactionReport:
    """What was compacted (in a dry run: would be), and what was not and why.

    `skipped` counts partitions by the reason; `failed` are partitions that could not be compacted, with the reason.
    Objects and bytes are those of the compacted partitions, before and after.
    """

    table: str
    is_dry_run: bool
    compacted_count: int = 0
    already_count: int = 0
    went_back_count: int = 0
    absorbed_count: int = 0
    row_count: int = 0
    malformed_count: int = 0
    raw_object_count: int = 0
    raw_bytes: int = 0
    compacted_object_count: int = 0
    compacted_bytes: int = 0
    skipped: Counter[LeftRaw] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    failed_count: int = 0
    malformed_samples: list[tuple[str, int, str]] = field(default_factory=list)

    def fail(self, partition: str, reason: str) -> None:
        """Adds a partition that could not be compacted."""
        self.failed_count += 1
        if len(self.failed) < MAXIMUM_FAILURES:
            self.failed.append((partition, reason))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "table": self.table,
            "is_dry_run": self.is_dry_run,
            "compacted": self.compacted_count,
            "already": self.already_count,
            "went_back": self.went_back_count,
            "absorbed": self.absorbed_count,
            "rows": self.row_count,
            "malformed": self.malformed_count,
            "raw_objects": self.raw_object_count,
            "raw_bytes": self.raw_bytes,
            "compacted_objects": self.compacted_object_count,
            "compacted_bytes": self.compacted_bytes,
            "skipped": dict(sorted(self.skipped.items())),
            "failed": [{"partition": partition, "reason": reason} for partition, reason in self.failed],
            "failed_count": self.failed_count,
            "malformed_samples": [
                {"file": file, "line": line, "reason": reason} for file, line, reason in self.malformed_samples
            ],
        }


def compact(
    glue_client: SwitchingClient,
    s3: CompactionStore,
    ledger: DaysLedger | None,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
    *,
    runner: JobRunner,
    now: datetime,
    apply: bool = True,
    options: CompactionOptions | None = None,
    on_progress: Callable[[CompactionReport], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> CompactionReport:
    """Compacts the closed partitions of a range of a table; without `apply` only says which.

    `on_progress` hears the report as it grows. Raises ClientError when catalogue or lake cannot be read; what was
    compacted by then stays.
    """
    report = CompactionReport(spec.reference, not apply)
    run = _Run(glue_client, s3, ledger, spec, runner, now, options or CompactionOptions(), report, sleep)
    for window in compaction_windows(s3, ledger, spec, time_range):
        jobs = iter(run.plan(window))
        if not apply:
            run.foresee(jobs)
            continue
        for some in _at_once(jobs):
            run.work(some)
            if on_progress is not None:
                on_progress(report)
    return report


def compaction_windows(
    s3: CompactionStore, ledger: DaysLedger | None, spec: TableSpec, time_range: PartitionRange | None
) -> list[PartitionRange | None]:
    """A range in pieces that are looked at one after another, so that memory stays flat."""
    days: Iterable[str] = [] if ledger is None else ledger.days(spec.reference)
    return lake_windows(s3, spec, days, time_range)


def _at_once(jobs: Iterator[CompactionJob]) -> Iterator[list[CompactionJob]]:
    """Jobs in portions that are switched together."""
    portion: list[CompactionJob] = []
    size_bytes = 0
    for job in jobs:
        portion.append(job)
        size_bytes += job.size_bytes
        if len(portion) >= _JOBS_AT_ONCE or size_bytes >= _BYTES_AT_ONCE:
            yield portion
            portion, size_bytes = [], 0
    if portion:
        yield portion


@dataclass
class _Run:
    glue: SwitchingClient
    s3: CompactionStore
    ledger: DaysLedger | None
    spec: TableSpec
    runner: JobRunner
    now: datetime
    options: CompactionOptions
    report: CompactionReport
    sleep: Callable[[float], None]

    # Planning

    def plan(self, window: PartitionRange | None) -> list[CompactionJob]:
        """The partitions of a window that are to be compacted. Those that are already are put in order on the way."""
        entries = {entry.partition: entry for entry in registered_partitions(self.glue, self.spec, window)}
        stored = stored_compactions(self.s3, self.spec, window)
        jobs: list[CompactionJob] = []
        for partition, raw in raw_folders(self.s3, self.spec, window):
            entry = entries.pop(partition, None)
            job = self._judge(partition, entry, raw, stored.get(partition, {}))
            if job is not None:
                jobs.append(job)
        for partition, entry in entries.items():
            self._judge(partition, entry, RawFolder(), stored.get(partition, {}))
        return jobs

    def _judge(
        self, partition: PartitionSpec, entry: RegisteredPartition | None, raw: RawFolder, stored: Compactions
    ) -> CompactionJob | None:
        """What is to be done with a partition: a job, or nothing more."""
        if entry is None:
            self.report.skipped[LeftRaw.UNREGISTERED] += 1
            return None
        if entry.is_raw:
            marked = last_word(stored)
            if marked is not None:
                self._restore(entry, marked)
                return None
            return self._job(partition, raw)
        if entry.compaction_id is None:
            self.report.skipped[LeftRaw.RELOCATED] += 1
            return None
        return self._judge_compacted(entry, raw, stored.get(entry.compaction_id, StoredCompaction(entry.compaction_id)))

    def _judge_compacted(
        self, entry: RegisteredPartition, raw: RawFolder, stored: StoredCompaction
    ) -> CompactionJob | None:
        partition = entry.partition
        try:
            manifest = read_manifest(self.s3, self.spec, partition, stored.identifier)
        except UnreadableManifest as error:
            self.report.fail(partition.path(), str(error))
            return None
        if manifest is None or not stored.has_outputs(manifest):
            self._settle(entry)
            return None if stored.is_raw_removed else self._job(partition, raw)
        extras, missing = uncovered(manifest, raw)
        if extras:
            self._settle(entry)
        if missing and not stored.is_raw_removed:
            self.report.fail(partition.path(), f"{len(missing)} of its raw objects are gone, such as {missing[0]}")
            return None
        if not stored.is_raw_removed and (extras or manifest.reading != reading_of(self.spec)):
            return self._job(partition, raw)  # objects have come, or columns have changed, since it was compacted
        self.report.already_count += 1
        self._mend(entry, manifest, stored, raw)
        return None

    def _job(self, partition: PartitionSpec, raw: RawFolder) -> CompactionJob | None:
        reason = self._why_not(partition, raw)
        if reason:
            self.report.skipped[reason] += 1
            return None
        return CompactionJob(
            self.spec,
            partition,
            raw.objects,
            raw.objects,
            self.now,
            self.options.target_object_bytes,
            self.options.run_bytes,
        )

    def _why_not(self, partition: PartitionSpec, raw: RawFolder) -> LeftRaw | None:
        if not raw.objects:
            return LeftRaw.EMPTY
        if raw.archived_count:
            return LeftRaw.ARCHIVED
        closes_at = closing_time(self.spec, partition)
        if self.now < closes_at:
            return LeftRaw.OPEN
        record = None if self.ledger is None else self.ledger.partition(self.spec.reference, partition)
        if record is not None:
            if partition_state(self.spec, partition, record, self.now) is not PartitionState.CLOSED:
                return LeftRaw.OPEN
        elif self._came_late(raw, closes_at):
            return LeftRaw.OPEN
        if raw.size_bytes < self.options.minimum_bytes and len(raw.objects) < _FEW_OBJECTS:
            return LeftRaw.SMALL
        return LeftRaw.YOUNG if self.now < partition.end() + self.options.older_than else None

    def _came_late(self, raw: RawFolder, closes_at: datetime) -> bool:
        """Without a ledger nobody knows whether an object came late or was loaded: it waits as if it was late."""
        if raw.newest_at is None or raw.newest_at < closes_at:
            return False
        return self.now < raw.newest_at + timedelta(minutes=self.spec.allowed_lateness_minutes)

    def _restore(self, entry: RegisteredPartition, marked: StoredCompaction) -> None:
        """A partition whose raw objects may be gone points at them all the same: its compaction has the last word."""
        if self.report.is_dry_run:
            self.report.fail(entry.partition.path(), f"its raw objects may be gone; {marked.identifier} has their rows")
            return
        settled = restore(
            self.glue,
            self.s3,
            self.ledger,
            self.spec,
            entry.partition,
            marked.identifier,
            now=self.now,
            sleep=self.sleep,
        )
        self._note(settled)
        self.report.already_count += not settled.failed

    def _settle(self, entry: RegisteredPartition) -> None:
        if self.report.is_dry_run:
            return
        self._note(
            settle_compacted(self.glue, self.s3, self.ledger, self.spec, [entry], now=self.now, sleep=self.sleep)
        )

    def _note(self, settled: SettlingReport) -> None:
        self.report.went_back_count += len(settled.went_back)
        self.report.absorbed_count += settled.absorbed_count
        for values, reason in settled.failed.items():
            self.report.fail(PartitionSpec.from_values(values, self.spec.layout.scheme).path(), reason)

    def _mend(self, entry: RegisteredPartition, manifest: Manifest, stored: StoredCompaction, raw: RawFolder) -> None:
        """A run that was cut off may not have told the ledger; the table may have gained columns."""
        if self.report.is_dry_run:
            return
        if entry.columns != tuple((column.name, column.type) for column in self.spec.data_columns):
            as_it_is = compacted_input(self.spec, entry.partition, stored.identifier, entry.switched_at or self.now)
            for reason in switch(self.glue, self.spec, [as_it_is], sleep=self.sleep).values():
                self.report.fail(entry.partition.path(), reason)
        if self.ledger is None:
            return
        record = self.ledger.partition(self.spec.reference, entry.partition)
        read_bytes = sum(size for name, size in stored.sizes.items() if name.endswith(".parquet"))
        if record is None or record.size_bytes != read_bytes:
            groups = groups_read(self.s3, self.spec, entry.partition, manifest)
            ledger_compacted(self.ledger, self.spec, entry.partition, groups, raw, now=self.now)

    def foresee(self, jobs: Iterable[CompactionJob]) -> None:
        """Tells what would be compacted."""
        for job in jobs:
            self.report.compacted_count += 1
            self.report.raw_object_count += len(job.inputs)
            self.report.raw_bytes += job.size_bytes

    # Doing

    def work(self, jobs: Sequence[CompactionJob]) -> None:
        """Compacts some partitions and switches them."""
        written: dict[PartitionSpec, JobOutcome] = {}
        for outcome in self.runner.run(jobs):
            if outcome.manifest is None:
                self.report.fail(outcome.job.partition.path(), outcome.reason)
            else:
                written[outcome.job.partition] = outcome
        for partition in self._changed(written):
            written.pop(partition)
            self.report.skipped[LeftRaw.CHANGED] += 1
        self._switch(written)

    def _changed(self, written: Mapping[PartitionSpec, JobOutcome]) -> list[PartitionSpec]:
        """The partitions whose raw folders are no longer what was read."""
        folders = raw_folders_of(self.s3, self.spec, list(written))
        return [
            partition for partition, outcome in written.items() if folders[partition].objects != outcome.job.covered
        ]

    def _switch(self, written: dict[PartitionSpec, JobOutcome]) -> None:
        inputs = [
            compacted_input(self.spec, partition, outcome.job.identifier, self.now)
            for partition, outcome in written.items()
        ]
        for values, reason in switch(self.glue, self.spec, inputs, sleep=self.sleep).items():
            partition = PartitionSpec.from_values(values, self.spec.layout.scheme)
            written.pop(partition)
            self.report.fail(partition.path(), reason)
        # whoever brought an object since it was read may have looked before the switch: so look after it
        folders = raw_folders_of(self.s3, self.spec, list(written))
        for partition, outcome in written.items():
            manifest = outcome.manifest
            assert manifest is not None
            if uncovered(manifest, folders[partition])[0]:
                self._settle(
                    RegisteredPartition(partition, "", manifest.compaction_id, is_raw=False, switched_at=self.now)
                )
                self.report.skipped[LeftRaw.CHANGED] += 1
                continue
            if self.ledger is not None:
                groups = [read_instead(manifest)]
                ledger_compacted(self.ledger, self.spec, partition, groups, folders[partition], now=self.now)
            self._tell(outcome.job, manifest)

    def _tell(self, job: CompactionJob, manifest: Manifest) -> None:
        report = self.report
        report.compacted_count += 1
        report.row_count += manifest.row_count
        report.malformed_count += manifest.malformed_count
        report.raw_object_count += len(job.inputs)
        report.raw_bytes += job.size_bytes
        report.compacted_object_count += len(manifest.outputs)
        report.compacted_bytes += manifest.size_bytes
        room = MAXIMUM_SAMPLES - len(report.malformed_samples)
        report.malformed_samples += islice(manifest.malformed_samples, max(0, room))
