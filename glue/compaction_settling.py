"""Objects that come for a partition that is compacted: they are in the answers at once, and once.

    a raw object that no compaction covers
      the other raw objects are there   -> the partition goes back to its raw folder, to be compacted again later
      they may be gone                  -> its rows go beside the compacted ones, as a Parquet object of its own
      it replaces one whose rows are in -> nothing can take the old rows out: told, for somebody to look

For whoever hears that objects came (tracker, loading, registration) and for every compaction run, which so finishes
what was cut off. Only which partitions is asked, never which objects: what lies in a raw folder is compared with what
the manifest covers, so that nothing is missed that came in between. Doing it twice equals doing it once.

Going back and removing raw objects may meet. The mark `_raw_removed.json` is set before the first object goes and
looked for after the switch, so that whoever is last puts it right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import error_code, error_message
from glue.compaction_catalogue import (
    RegisteredPartition,
    SwitchingClient,
    compacted_input,
    raw_input,
    registered_among,
    switch,
)
from glue.compaction_ledger import CompactionLedger, ReadInstead, ledger_compacted, ledger_raw, read_instead
from glue.compaction_manifest import InputObject, Manifest, UnreadableManifest, compaction_folder, late_name
from glue.compaction_state import (
    LateNote,
    ListingClient,
    RawFolder,
    last_word,
    late_note_key,
    raw_folders_of,
    read_late_note,
    read_manifest,
    stored_compaction,
    stored_compactions_of,
    uncovered,
)
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

_NO_LIMIT_BYTES = 1 << 50  # one raw object is one Parquet object


class SettlingStore(ListingClient, Protocol):
    """The part of boto3's S3 client that is used here."""

    def put_object(self, **arguments: Any) -> Any: ...


@dataclass
class SettlingReport:
    """What became of compacted partitions: gone back to raw; kept compacted, as their raw objects are about to go;
    objects taken in; `failed` by the partition's values.
    """

    went_back: list[PartitionSpec] = field(default_factory=list)
    kept: list[PartitionSpec] = field(default_factory=list)
    absorbed_count: int = 0
    failed: dict[tuple[str, ...], str] = field(default_factory=dict)


class Settling:
    """`settle` with its clients: what the tracker and loading are handed.

    Answers with the partitions (by their values) whose new objects are not in the answers, and why.
    """

    def __init__(
        self,
        glue_client: SwitchingClient,
        s3: SettlingStore,
        ledger: CompactionLedger | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glue, self._s3, self._ledger, self._sleep = glue_client, s3, ledger, sleep

    def __call__(
        self, spec: TableSpec, partitions: Sequence[PartitionSpec], now: datetime
    ) -> Mapping[tuple[str, ...], str]:
        """Never raises: when catalogue or lake cannot be read, no object of these partitions counts as seen."""
        try:
            report = settle(self._glue, self._s3, self._ledger, spec, partitions, now=now, sleep=self._sleep)
        except ClientError as error:
            return dict.fromkeys((p.values() for p in partitions), f"{error_code(error)}: {error_message(error)}")
        return report.failed


def settle(
    glue_client: SwitchingClient,
    s3: SettlingStore,
    ledger: CompactionLedger | None,
    spec: TableSpec,
    partitions: Iterable[PartitionSpec],
    *,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> SettlingReport:
    """Every object in the raw folders of these partitions is in the answers afterwards, or `failed` says why not.

    Raises ClientError when catalogue or lake cannot be read.
    """
    entries = registered_among(glue_client, spec, partitions)
    compacted = [entry for entry in entries if entry.compaction_id is not None]
    return settle_compacted(glue_client, s3, ledger, spec, compacted, now=now, sleep=sleep)


def settle_compacted(
    glue_client: SwitchingClient,
    s3: SettlingStore,
    ledger: CompactionLedger | None,
    spec: TableSpec,
    entries: Sequence[RegisteredPartition],
    *,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> SettlingReport:
    """The same for partitions that are known to be compacted."""
    run = _Run(glue_client, s3, ledger, spec, now, sleep, SettlingReport())
    folders = raw_folders_of(s3, spec, [entry.partition for entry in entries])
    run.go_back({entry.partition: raw for entry in entries if run.needs_raw(entry, raw := folders[entry.partition])})
    return run.report


def go_back(
    glue_client: SwitchingClient,
    s3: SettlingStore,
    ledger: CompactionLedger | None,
    spec: TableSpec,
    folders: Mapping[PartitionSpec, RawFolder],
    *,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> SettlingReport:
    """These partitions read their raw folders again; those whose raw objects are being removed meanwhile do not."""
    run = _Run(glue_client, s3, ledger, spec, now, sleep, SettlingReport())
    run.go_back(folders)
    return run.report


def restore(
    glue_client: SwitchingClient,
    s3: SettlingStore,
    ledger: CompactionLedger | None,
    spec: TableSpec,
    partition: PartitionSpec,
    identifier: str,
    *,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> SettlingReport:
    """A partition reads the compaction that has the last word on its rows, and what that has not is taken in."""
    run = _Run(glue_client, s3, ledger, spec, now, sleep, SettlingReport())
    run.restore(partition, identifier)
    return run.report


def groups_read(s3: ListingClient, spec: TableSpec, partition: PartitionSpec, manifest: Manifest) -> list[ReadInstead]:
    """What a query of a compacted partition reads: the compaction, and the late objects beside it."""
    stored = stored_compaction(s3, spec, partition, manifest.compaction_id)
    notes = (read_late_note(s3, spec, partition, manifest.compaction_id, name) for name in stored.late_names)
    late = [ReadInstead((note.output,), (note.found,), note.facts) for note in notes if note is not None]
    return [read_instead(manifest), *late]


@dataclass
class _Run:
    glue: SwitchingClient
    s3: SettlingStore
    ledger: CompactionLedger | None
    spec: TableSpec
    now: datetime
    sleep: Callable[[float], None]
    report: SettlingReport

    def needs_raw(self, entry: RegisteredPartition, raw: RawFolder) -> bool:
        """Whether a compacted partition has to go back. Where it cannot, what it lacks is taken in."""
        identifier, partition = entry.compaction_id, entry.partition
        assert identifier is not None
        stored = stored_compaction(self.s3, self.spec, partition, identifier)
        try:
            manifest = read_manifest(self.s3, self.spec, partition, identifier)
        except UnreadableManifest as error:
            self._fail(partition, str(error))
            return False
        if manifest is None or not stored.has_outputs(manifest):
            if raw.objects and not stored.is_raw_removed:
                return True
            self._fail(partition, f"objects of its compaction {identifier} are missing, and so are the raw ones")
            return False
        extras, missing = uncovered(manifest, raw)
        if extras and not missing and not stored.is_raw_removed:
            return True
        self._absorb_all(partition, manifest, extras, raw)
        return False

    def go_back(self, folders: Mapping[PartitionSpec, RawFolder]) -> None:
        """Switches to raw, and looks whether somebody has begun to remove raw objects since they were looked at."""
        if not folders:
            return
        inputs = [raw_input(self.spec, partition, self.now) for partition in folders]
        failed = switch(self.glue, self.spec, inputs, sleep=self.sleep)
        self.report.failed |= failed
        switched = [partition for partition in folders if partition.values() not in failed]
        compactions = stored_compactions_of(self.s3, self.spec, switched)
        for partition in switched:
            marked = last_word(compactions.get(partition, {}))
            if marked is not None:
                self.report.kept.append(partition)
                self.restore(partition, marked.identifier)
                continue
            self.report.went_back.append(partition)
            if self.ledger is not None:
                ledger_raw(self.ledger, self.spec, partition, folders[partition], now=self.now)

    def restore(self, partition: PartitionSpec, identifier: str) -> None:
        """Points the partition at a compaction, and takes in what that has not."""
        forward = compacted_input(self.spec, partition, identifier, self.now)
        failed = switch(self.glue, self.spec, [forward], sleep=self.sleep)
        self.report.failed |= failed
        manifest = read_manifest(self.s3, self.spec, partition, identifier)
        if failed or manifest is None:
            return
        raw = raw_folders_of(self.s3, self.spec, [partition])[partition]
        self._absorb_all(partition, manifest, uncovered(manifest, raw)[0], raw)

    def _absorb_all(
        self, partition: PartitionSpec, manifest: Manifest, extras: Sequence[InputObject], raw: RawFolder
    ) -> None:
        before = self.report.absorbed_count
        for found in extras:
            self._absorb(partition, manifest, found)
        if self.report.absorbed_count > before and self.ledger is not None:
            groups = groups_read(self.s3, self.spec, partition, manifest)
            ledger_compacted(self.ledger, self.spec, partition, groups, raw, now=self.now)

    def _absorb(self, partition: PartitionSpec, manifest: Manifest, found: InputObject) -> None:
        """Puts the rows of one raw object beside the compacted ones."""
        identifier = manifest.compaction_id
        if any(covered.key == found.key for covered in manifest.covered):
            self._fail(
                partition, f"{found.key} has replaced an object whose rows were compacted; nothing takes them out"
            )
            return
        name = late_name(found.key)
        note = read_late_note(self.s3, self.spec, partition, identifier, name)
        if note is not None and note.found.identity == found.identity:
            return
        try:  # a tracker may do without pyarrow
            from glue.compaction_objects import CannotCompact, CompactionTask, write_partition
        except ImportError as error:
            self._fail(partition, f"{found.key} can be taken in by data-hist partitions compact only: {error}")
            return
        task = CompactionTask(
            self.spec,
            compaction_folder(self.spec, partition, identifier),
            (found,),
            object_name=name,
            malformed_name=f"_malformed-{name.removesuffix('.parquet')}.ndjson.gz",
            target_object_bytes=_NO_LIMIT_BYTES,
        )
        try:
            written = write_partition(self.s3, task)
        except CannotCompact as error:
            self._fail(partition, str(error))
            return
        facts = {key: known.to_json() for key, known in written.facts.items()}
        note = LateNote(found, written.outputs[0], facts)
        key = late_note_key(self.spec, partition, identifier, name)
        self.s3.put_object(Bucket=self.spec.bucket, Key=key, Body=note.to_bytes())
        self.report.absorbed_count += 1

    def _fail(self, partition: PartitionSpec, reason: str) -> None:
        self.report.failed[partition.values()] = reason
