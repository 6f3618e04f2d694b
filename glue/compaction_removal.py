"""What compaction leaves behind goes when a time of grace is over: raw objects, and compactions that nobody reads.

Old is what queries stopped reading when the partition was switched (`data_hist.switched_at`); a query that had planned
before may still read it, so that nothing goes before the grace is over. Raw objects go in four steps, of which any may
be the last one done: the compaction is looked at (all objects, all rows), it gets the last word (`_raw_removed.json`),
the catalogue is asked once more, the objects go, each only with the ETag that was compacted. Of a compaction the
manifest goes first, so that what is half gone never looks whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from glue.compaction import CompactionStore, DaysLedger, compaction_windows
from glue.compaction_catalogue import (
    RegisteredPartition,
    SwitchingClient,
    compacted_input,
    registered_among,
    registered_partitions,
    switch,
)
from glue.compaction_check import compaction_fault
from glue.compaction_ledger import ledger_compacted
from glue.compaction_manifest import (
    MANIFEST_NAME,
    RAW_REMOVED_NAME,
    InputObject,
    Manifest,
    UnreadableManifest,
    compaction_folder,
)
from glue.compaction_settling import groups_read, settle_compacted
from glue.compaction_state import (
    Compactions,
    RawFolder,
    StoredCompaction,
    raw_folders,
    raw_folders_of,
    read_late_note,
    read_manifest,
    stored_compactions,
)
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

GRACE = timedelta(days=1)
_OBJECTS_PER_DELETION = 1000


class RemovalStore(CompactionStore, Protocol):
    """The part of boto3's S3 client that removing needs."""

    def delete_objects(self, **arguments: Any) -> Any: ...


@dataclass
class RemovalReport:
    """What was removed (in a dry run: would be).

    `waiting_count`: partitions and compactions whose old objects have their grace still.
    """

    table: str
    is_dry_run: bool
    partition_count: int = 0
    raw_object_count: int = 0
    raw_bytes: int = 0
    compaction_count: int = 0
    compacted_bytes: int = 0
    waiting_count: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "table": self.table,
            "is_dry_run": self.is_dry_run,
            "partitions": self.partition_count,
            "raw_objects": self.raw_object_count,
            "raw_bytes": self.raw_bytes,
            "compactions": self.compaction_count,
            "compacted_bytes": self.compacted_bytes,
            "waiting": self.waiting_count,
            "failed": [{"partition": partition, "reason": reason} for partition, reason in self.failed],
        }


def remove_old(
    glue_client: SwitchingClient,
    s3: RemovalStore,
    ledger: DaysLedger | None,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
    *,
    now: datetime,
    grace: timedelta = GRACE,
    apply: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> RemovalReport:
    """Removes raw objects whose rows are read from a compaction, and compactions that are not read, both for `grace`.

    Raises ClientError when catalogue or lake cannot be read.
    """
    report = RemovalReport(spec.reference, not apply)
    run = _Removal(glue_client, s3, ledger, spec, now, grace, report, sleep)
    for window in compaction_windows(s3, ledger, spec, time_range):
        entries = {entry.partition: entry for entry in registered_partitions(glue_client, spec, window)}
        raw = dict(raw_folders(s3, spec, window))
        stored = stored_compactions(s3, spec, window)
        for partition in sorted({*raw, *stored}):
            run.tidy(partition, entries.get(partition), raw.get(partition, RawFolder()), stored.get(partition, {}))
    return report


@dataclass
class _Removal:
    glue: SwitchingClient
    s3: RemovalStore
    ledger: DaysLedger | None
    spec: TableSpec
    now: datetime
    grace: timedelta
    report: RemovalReport
    sleep: Callable[[float], None]

    def tidy(
        self, partition: PartitionSpec, entry: RegisteredPartition | None, raw: RawFolder, stored: Compactions
    ) -> None:
        live = None if entry is None else entry.compaction_id
        if entry is not None and live is not None and live in stored and raw.objects:
            self._tidy_raw(entry, raw, stored[live])
        for found in stored.values():
            if found.identifier != live:
                self._tidy_compaction(partition, entry, found)

    # Raw objects

    def _tidy_raw(self, entry: RegisteredPartition, raw: RawFolder, stored: StoredCompaction) -> None:
        if not self._is_over(entry.switched_at, stored.newest_at):
            self.report.waiting_count += 1
            return
        try:
            manifest = read_manifest(self.s3, self.spec, entry.partition, stored.identifier)
            reason = (
                "it has no manifest" if manifest is None else compaction_fault(self.s3, self.spec, manifest, stored)
            )
        except UnreadableManifest as error:
            manifest, reason = None, str(error)
        if manifest is None or reason:
            self.report.failed.append((entry.partition.path(), f"raw objects are kept, for {reason}"))
            return
        absorbed = self._absorbed(entry.partition, stored)
        covered = {found.identity for found in manifest.covered} | absorbed
        old = [found for found in raw.objects if found.identity in covered]
        if len(old) < len(raw.objects) and not stored.is_raw_removed:
            self.report.failed.append(
                (entry.partition.path(), "raw objects are kept, for some came that are not compacted")
            )
            return
        if old:
            self.report.partition_count += 1
            self.report.raw_object_count += len(old)
            self.report.raw_bytes += sum(found.size_bytes for found in old)
            if not self.report.is_dry_run:
                self._remove_raw(entry, manifest, stored, old)

    def _absorbed(self, partition: PartitionSpec, stored: StoredCompaction) -> set[tuple[str, str]]:
        notes = (read_late_note(self.s3, self.spec, partition, stored.identifier, name) for name in stored.late_names)
        return {note.found.identity for note in notes if note is not None}

    def _remove_raw(
        self, entry: RegisteredPartition, manifest: Manifest, stored: StoredCompaction, old: Sequence[InputObject]
    ) -> None:
        partition = entry.partition
        mark = compaction_folder(self.spec, partition, stored.identifier) + RAW_REMOVED_NAME
        if not stored.is_raw_removed:
            body = orjson.dumps({"began_at": self.now.isoformat(), "objects": len(old)})
            self.s3.put_object(Bucket=self.spec.bucket, Key=mark, Body=body)
            (again,) = registered_among(self.glue, self.spec, [partition]) or (None,)
            if again is None or again.compaction_id != stored.identifier:
                self._delete([(mark, None)], partition)
                self.report.failed.append((partition.path(), "raw objects are kept, for it was switched meanwhile"))
                return
        self._delete([(found.key, found.etag) for found in old], partition)
        (again,) = registered_among(self.glue, self.spec, [partition]) or (None,)
        if again is not None and again.is_raw:  # somebody went back to raw objects that were just going
            forward = compacted_input(self.spec, partition, stored.identifier, self.now)
            for reason in switch(self.glue, self.spec, [forward], sleep=self.sleep).values():
                self.report.failed.append((partition.path(), reason))
        live = RegisteredPartition(partition, "", stored.identifier, is_raw=False, switched_at=self.now)
        settled = settle_compacted(self.glue, self.s3, self.ledger, self.spec, [live], now=self.now, sleep=self.sleep)
        self.report.failed += [(partition.path(), reason) for reason in settled.failed.values()]
        if self.ledger is not None:
            raw = raw_folders_of(self.s3, self.spec, [partition])[partition]
            groups = groups_read(self.s3, self.spec, partition, manifest)
            ledger_compacted(self.ledger, self.spec, partition, groups, raw, now=self.now)

    # Compactions

    def _tidy_compaction(
        self, partition: PartitionSpec, entry: RegisteredPartition | None, found: StoredCompaction
    ) -> None:
        """A compaction that the catalogue does not point at: superseded, undone, or left by a crash."""
        if found.is_raw_removed and found.has_manifest:
            if entry is None or entry.is_raw:
                reason = (
                    f"{found.identifier} has rows that no raw object has; data-hist partitions compact puts it right"
                )
                self.report.failed.append((partition.path(), reason))
            return
        if not self._is_over(None if entry is None else entry.switched_at, found.newest_at):
            self.report.waiting_count += 1
            return
        self.report.compaction_count += 1
        self.report.compacted_bytes += sum(found.sizes.values())
        if not self.report.is_dry_run:
            folder = compaction_folder(self.spec, partition, found.identifier)
            # the manifest first: a compaction that is half gone must not look whole
            names = sorted(found.sizes, key=lambda name: name != MANIFEST_NAME)
            self._delete([(folder + name, None) for name in names], partition)

    def _is_over(self, *moments: datetime | None) -> bool:
        """Whether the grace since all of these times is over."""
        return all(moment is None or self.now >= moment + self.grace for moment in moments)

    def _delete(self, objects: Iterable[tuple[str, str | None]], partition: PartitionSpec) -> None:
        described = [{"Key": key, **({"ETag": f'"{etag}"'} if etag else {})} for key, etag in objects]
        for start in range(0, len(described), _OBJECTS_PER_DELETION):
            portion = described[start : start + _OBJECTS_PER_DELETION]
            answer = self.s3.delete_objects(Bucket=self.spec.bucket, Delete={"Objects": portion, "Quiet": True})
            for error in answer.get("Errors", ()):
                if error.get("Code") == "NoSuchKey":
                    continue  # somebody else was quicker
                reason = f"{error.get('Key')}: {error.get('Code')}: {error.get('Message', '')}"
                self.report.failed.append((partition.path(), reason))
