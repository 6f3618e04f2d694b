"""The work of a compaction that needs no catalogue: reading raw objects, writing Parquet, committing by the manifest.

    jobs -> (processes) -> write_partition -> manifest -> outcomes, in the order of the jobs

Parquet is written by one core at a time, so that several partitions are worked on in processes. A process makes its own
client: `client_factory` is called there. A compaction that is finished already is not written again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from glue.aws_clients import error_code, error_message
from glue.compaction_manifest import (
    MANIFEST_NAME,
    InputObject,
    Manifest,
    UnreadableManifest,
    compaction_folder,
    compaction_id,
    reading_of,
)
from glue.compaction_objects import RUN_BYTES, TARGET_OBJECT_BYTES, CannotCompact, CompactionTask, write_partition
from glue.compaction_state import read_manifest, stored_compaction
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

JobClient = Any  # boto3's S3 client, or the embedded S3, which has its methods
ClientFactory = Callable[[], JobClient]
_BYTES_PER_BATCH = 8 << 20
_BATCH_SIZE = 50
_WORTH_PROCESSES_BYTES = 16 << 20  # a process takes a second to begin


@dataclass(frozen=True)
class CompactionJob:
    """One partition to be compacted: what is read, and which raw objects' rows are in it then."""

    spec: TableSpec
    partition: PartitionSpec
    inputs: tuple[InputObject, ...]
    covered: tuple[InputObject, ...]
    now: datetime
    target_object_bytes: int = TARGET_OBJECT_BYTES
    run_bytes: int = RUN_BYTES

    @property
    def identifier(self) -> str:
        """The compaction's id."""
        return compaction_id(self.spec, self.partition, self.inputs)

    @property
    def size_bytes(self) -> int:
        """Bytes that are read."""
        return sum(found.size_bytes for found in self.inputs)


@dataclass(frozen=True)
class JobOutcome:
    """The manifest of a finished compaction, or why the partition stays as it is."""

    job: CompactionJob
    manifest: Manifest | None
    reason: str = ""
    is_new: bool = True


def run_job(s3: JobClient, job: CompactionJob) -> JobOutcome:
    """Writes a compaction, unless it is finished already."""
    try:
        known = _finished(s3, job)
        if known is not None:
            return JobOutcome(job, known, is_new=False)
        folder = compaction_folder(job.spec, job.partition, job.identifier)
        task = CompactionTask(
            job.spec, folder, job.inputs, target_object_bytes=job.target_object_bytes, run_bytes=job.run_bytes
        )
        written = write_partition(s3, task)
        if written.malformed_count and _is_strict(job.spec):
            return JobOutcome(
                job, None, f"{written.malformed_count} malformed lines, which this table's queries refuse"
            )
        manifest = Manifest(
            job.identifier,
            job.spec.reference,
            job.partition.values(),
            job.inputs,
            job.covered,
            written.outputs,
            written.row_count,
            written.malformed_count,
            reading_of(job.spec),
            job.now,
            written.malformed_samples,
            {key: facts.to_json() for key, facts in written.facts.items()},
        )
        s3.put_object(Bucket=job.spec.bucket, Key=folder + MANIFEST_NAME, Body=manifest.to_bytes())
    except CannotCompact as error:
        return JobOutcome(job, None, str(error))
    except ClientError as error:
        return JobOutcome(job, None, f"{error_code(error)}: {error_message(error)}")
    except (BotoCoreError, OSError) as error:
        return JobOutcome(job, None, f"{type(error).__name__}: {error}")
    return JobOutcome(job, manifest)


def _is_strict(spec: TableSpec) -> bool:
    """Whether a malformed row fails a query of the table instead of being left out: then it must not disappear."""
    return spec.serde_parameters.get("ignore.malformed.json", "").lower() == "false"


def _finished(s3: JobClient, job: CompactionJob) -> Manifest | None:
    stored = stored_compaction(s3, job.spec, job.partition, job.identifier)
    if not stored.has_manifest:
        return None
    try:
        manifest = read_manifest(s3, job.spec, job.partition, job.identifier)
    except UnreadableManifest:
        return None
    return manifest if manifest is not None and stored.has_outputs(manifest) else None


class JobRunner:
    """Runs jobs, `workers` at a time; a context manager. With one worker, or little to do, they run here."""

    def __init__(self, s3: JobClient, *, workers: int = 1, client_factory: ClientFactory | None = None) -> None:
        """`client_factory` must be picklable; without one everything runs here."""
        self._s3 = s3
        self._workers = workers if client_factory is not None else 1
        self._factory = client_factory
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> JobRunner:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def run(self, jobs: Sequence[CompactionJob]) -> Iterator[JobOutcome]:
        """The outcomes in the order of the jobs. A process that dies raises BrokenProcessPool."""
        if self._workers < 2 or len(jobs) < 2 or sum(job.size_bytes for job in jobs) < _WORTH_PROCESSES_BYTES:
            yield from (run_job(self._s3, job) for job in jobs)
            return
        if self._pool is None:
            assert self._factory is not None
            context = multiprocessing.get_context("spawn")  # a forked process would share DuckDB's and boto3's threads
            self._pool = ProcessPoolExecutor(self._workers, context, initializer=_begin, initargs=(self._factory,))
        for outcomes in self._pool.map(_run_batch, _batches(jobs)):
            yield from outcomes


def _batches(jobs: Sequence[CompactionJob]) -> list[list[CompactionJob]]:
    """Small jobs go together: a partition of a few kB is compacted faster than it is handed over."""
    batches: list[list[CompactionJob]] = []
    size_bytes = 0
    for job in jobs:
        if not batches or size_bytes >= _BYTES_PER_BATCH or len(batches[-1]) >= _BATCH_SIZE:
            batches.append([])
            size_bytes = 0
        batches[-1].append(job)
        size_bytes += job.size_bytes
    return batches


_client: JobClient = None  # a process of the pool has one, made when it begins


def _begin(factory: ClientFactory) -> None:
    global _client
    _client = factory()


def _run_batch(jobs: Sequence[CompactionJob]) -> list[JobOutcome]:
    return [run_job(_client, job) for job in jobs]
