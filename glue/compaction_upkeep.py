"""Going back from compacted partitions to their raw objects, and telling what compactions there are.

    undo         the catalogue points at the raw folder again, as long as the raw objects are there
    compactions  what lies in the lake, and what of it is read

Both decide by what lies there (glue.compaction_state), and doing them twice equals doing them once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from glue.compaction import CompactionStore, DaysLedger, compaction_windows
from glue.compaction_catalogue import (
    RegisteredPartition,
    SwitchingClient,
    registered_partitions,
)
from glue.compaction_manifest import UnreadableManifest
from glue.compaction_settling import go_back
from glue.compaction_state import (
    RawFolder,
    StoredCompaction,
    raw_folders_of,
    read_manifest,
    stored_compaction,
    stored_compactions,
    uncovered,
)
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec


@dataclass
class UndoReport:
    """Partitions that are raw again (in a dry run: would be), and those that cannot go back, with the reason."""

    table: str
    is_dry_run: bool
    undone_count: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        failed = [{"partition": partition, "reason": reason} for partition, reason in self.failed]
        return {"table": self.table, "is_dry_run": self.is_dry_run, "undone": self.undone_count, "failed": failed}


def undo(
    glue_client: SwitchingClient,
    s3: CompactionStore,
    ledger: DaysLedger | None,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
    *,
    now: datetime,
    apply: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> UndoReport:
    """The compacted partitions of a range read their raw objects again, where all of them are there.

    Their compactions stay until `remove_old`, so that compacting again costs nothing. Raises ClientError.
    """
    report = UndoReport(spec.reference, not apply)
    for window in compaction_windows(s3, ledger, spec, time_range):
        entries = [entry for entry in registered_partitions(glue_client, spec, window) if entry.compaction_id]
        folders = raw_folders_of(s3, spec, [entry.partition for entry in entries])
        going: dict[PartitionSpec, RawFolder] = {}
        for entry in entries:
            reason = _why_not_back(s3, spec, entry, folders[entry.partition])
            if reason:
                report.failed.append((entry.partition.path(), reason))
            else:
                going[entry.partition] = folders[entry.partition]
        if not apply:
            report.undone_count += len(going)
            continue
        settled = go_back(glue_client, s3, ledger, spec, going, now=now, sleep=sleep)
        report.undone_count += len(settled.went_back)
        report.failed += [(partition.path(), "its raw objects were being removed") for partition in settled.kept]
        names = {partition.values(): partition.path() for partition in going}
        report.failed += [(names[values], reason) for values, reason in settled.failed.items()]
    return report


def _why_not_back(s3: CompactionStore, spec: TableSpec, entry: RegisteredPartition, raw: RawFolder) -> str:
    assert entry.compaction_id is not None
    stored = stored_compaction(s3, spec, entry.partition, entry.compaction_id)
    if stored.is_raw_removed:
        return "its raw objects were removed"
    try:
        manifest = read_manifest(s3, spec, entry.partition, entry.compaction_id)
    except UnreadableManifest as error:
        return str(error)
    if manifest is None:
        return "" if raw.objects else "neither its manifest nor raw objects are there"
    missing = uncovered(manifest, raw)[1]
    return f"{len(missing)} of its raw objects are gone, such as {missing[0]}" if missing else ""


# -------------------------------------------------------------------------------------------------------- what there is

CompactionState = Literal["live", "superseded", "undone", "unfinished"]


@dataclass(frozen=True)
class DescribedCompaction:
    """One compaction in the lake. `state`: read by queries, not any more (another is), not any more (raw objects are),
    or never finished. Numbers of rows are None where there is no manifest.
    """

    partition: PartitionSpec
    compaction_id: str
    state: CompactionState
    is_raw_removed: bool
    object_count: int
    size_bytes: int
    late_object_count: int
    row_count: int | None = None
    malformed_count: int | None = None
    written_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """The members as JSON values."""
        return {
            "partition": self.partition.path(),
            "compaction_id": self.compaction_id,
            "state": self.state,
            "raw_removed": self.is_raw_removed,
            "objects": self.object_count,
            "size_bytes": self.size_bytes,
            "late_objects": self.late_object_count,
            "rows": self.row_count,
            "malformed": self.malformed_count,
            "written_at": None if self.written_at is None else self.written_at.isoformat(),
        }


def compactions(
    glue_client: SwitchingClient,
    s3: CompactionStore,
    ledger: DaysLedger | None,
    spec: TableSpec,
    time_range: PartitionRange | None = None,
) -> Iterator[DescribedCompaction]:
    """The compactions of a range that lie in the lake, by partition. Raises ClientError."""
    for window in compaction_windows(s3, ledger, spec, time_range):
        stored = stored_compactions(s3, spec, window)
        if not stored:
            continue
        live = {entry.partition: entry for entry in registered_partitions(glue_client, spec, window)}
        for partition in sorted(stored):
            for found in stored[partition].values():
                yield _described(s3, spec, partition, live.get(partition), found)


def _described(
    s3: CompactionStore,
    spec: TableSpec,
    partition: PartitionSpec,
    entry: RegisteredPartition | None,
    found: StoredCompaction,
) -> DescribedCompaction:
    try:
        manifest = read_manifest(s3, spec, partition, found.identifier) if found.has_manifest else None
    except UnreadableManifest:
        manifest = None
    state: CompactionState = "unfinished"
    if entry is not None and entry.compaction_id == found.identifier:
        state = "live"
    elif manifest is not None:
        state = "superseded" if entry is not None and entry.compaction_id else "undone"
    parquet = {name: size for name, size in found.sizes.items() if name.endswith(".parquet")}
    return DescribedCompaction(
        partition,
        found.identifier,
        state,
        found.is_raw_removed,
        len(parquet),
        sum(parquet.values()),
        len(found.late_names),
        None if manifest is None else manifest.row_count,
        None if manifest is None else manifest.malformed_count,
        None if manifest is None else manifest.written_at,
    )
