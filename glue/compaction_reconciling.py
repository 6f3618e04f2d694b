"""What reconciling asks of compacted partitions: are they as they should be, and if not, put them right.

A compacted partition is right when all objects and rows of its compaction are there and its raw folder has nothing that
is not in it. A partition that reads its raw folder is wrong when a compaction has the last word on its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from glue.aws_clients import error_code, error_message
from glue.compaction_catalogue import SwitchingClient, registered_among
from glue.compaction_ledger import CompactionLedger, ledger_compacted
from glue.compaction_manifest import InputObject, UnreadableManifest, compaction_at
from glue.compaction_settling import SettlingStore, groups_read, restore, settle
from glue.compaction_state import (
    Compactions,
    RawFolder,
    StoredCompaction,
    last_word,
    raw_folders_of,
    read_late_note,
    read_manifest,
    stored_compactions_of,
)
from glue.ledger import ObjectRecord
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec


@dataclass
class WindowCompactions:
    """The compactions of a window of a table."""

    glue: SwitchingClient
    s3: SettlingStore
    ledger: CompactionLedger
    spec: TableSpec
    now: datetime
    sleep: Callable[[float], None]
    stored: dict[PartitionSpec, Compactions]

    def at(self, partition: PartitionSpec, location: str | None) -> str | None:
        """The compaction that a location is; None for any other place."""
        return None if location is None else compaction_at(self.spec, partition, location)

    def problem(self, partition: PartitionSpec, location: str | None, objects: Sequence[ObjectRecord]) -> str:
        """What is wrong with a partition that the catalogue has at this location (None: the raw folder); "" nothing."""
        compactions = self.stored.get(partition, {})
        identifier = self.at(partition, location)
        if identifier is None:
            marked = last_word(compactions) if location is None else None
            return "" if marked is None else f"compaction {marked.identifier} has its rows, and is not read"
        from glue.compaction_check import compaction_fault  # a tracker does without pyarrow, and with this module

        stored = compactions.get(identifier, StoredCompaction(identifier))
        try:
            manifest = read_manifest(self.s3, self.spec, partition, identifier)
        except UnreadableManifest as error:
            return str(error)
        if manifest is None:
            return f"compaction {identifier} has no manifest"
        fault = compaction_fault(self.s3, self.spec, manifest, stored)
        if fault:
            return fault
        covered = {(found.key, found.size_bytes) for found in (*manifest.covered, *self._absorbed(partition, stored))}
        extras = [each.key for each in objects if (each.key, each.size_bytes) not in covered]
        return f"{len(extras)} raw objects that no query sees, such as {extras[0]}" if extras else ""

    def _absorbed(self, partition: PartitionSpec, stored: StoredCompaction) -> list[InputObject]:
        notes = (read_late_note(self.s3, self.spec, partition, stored.identifier, name) for name in stored.late_names)
        return [note.found for note in notes if note is not None]

    def mend(self, partition: PartitionSpec, location: str | None) -> str:
        """Puts a partition right; why it could not, else ""."""
        marked = last_word(self.stored.get(partition, {})) if self.at(partition, location) is None else None
        clients = self.glue, self.s3, self.ledger, self.spec
        try:
            if marked is not None:
                settled = restore(*clients, partition, marked.identifier, now=self.now, sleep=self.sleep)
            else:
                settled = settle(*clients, [partition], now=self.now, sleep=self.sleep)
        except ClientError as error:
            return f"{error_code(error)}: {error_message(error)}"
        self.stored |= {partition: {}, **stored_compactions_of(self.s3, self.spec, [partition])}
        return settled.failed.get(partition.values(), "")

    def location(self, partition: PartitionSpec) -> str | None:
        """Where the catalogue has a partition now; None for its raw folder."""
        entries = registered_among(self.glue, self.spec, [partition])
        return None if not entries or entries[0].is_raw else entries[0].location

    def is_read(self, partition: PartitionSpec, location: str | None, key: str) -> bool:
        """Whether a key is that of a compacted object which queries read."""
        identifier = self.at(partition, location)
        stored = self.stored.get(partition, {}).get(identifier or "")
        return stored is not None and f"/{identifier}/" in key and key.rpartition("/")[2] in stored.sizes

    def read_count(self, partition: PartitionSpec, location: str | None) -> int:
        """How many compacted objects queries of a partition read."""
        stored = self.stored.get(partition, {}).get(self.at(partition, location) or "")
        return 0 if stored is None else sum(name.endswith(".parquet") for name in stored.sizes)

    def tell_ledger(self, partition: PartitionSpec, location: str | None) -> None:
        """The ledger knows what is read of a compacted partition."""
        identifier = self.at(partition, location)
        manifest = None if identifier is None else read_manifest(self.s3, self.spec, partition, identifier)
        if manifest is None:
            return
        raw: RawFolder = raw_folders_of(self.s3, self.spec, [partition])[partition]
        groups = groups_read(self.s3, self.spec, partition, manifest)
        ledger_compacted(self.ledger, self.spec, partition, groups, raw, now=self.now)
