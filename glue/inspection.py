"""Objects that others wrote are read, so that the ledger knows their rows, their times and how late they came.

    partitions -> objects that nobody has read -> GetObject, streamed -> RowFacts -> ledger

For `data-hist partitions inspect`, the service over a lake folder (in the background, after objects are registered: no
query waits for it), the worker and the Lambda function. It works on levels: an object that the ledger has no facts of
is read, whoever asks; what was read is recorded only if the object is still the one that was known when the reading
began. So doing it twice reads once, and being killed loses what was being read, which is read again.

Small objects are read whole. Of larger ones than `maximum_bytes`, and with `sample` of all, only the beginning: that
tells how malformed and how late rows are, but no totals. An object that is no text, or breaks off, is remembered with
its fault, so that it is not read again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from glue.aws_clients import error_code, error_message
from glue.ledger import Inspection, KnownObject, ObjectRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.row_facts import read_facts
from glue.table_spec import TableSpec

InspectionMode = Literal["off", "sample", "full"]

SAMPLE_BYTES = 128 * 1024
DEFAULT_MAXIMUM_BYTES = 256 * 1024 * 1024
_OBJECTS_PER_RECORDING = 50
_FAILURE_SAMPLES = 20
_LOG = logging.getLogger(__name__)
_GONE = frozenset({"NoSuchKey", "404", "NotFound"})


class _TimeIsOver(Exception):
    """In the middle of an object."""


class ReadingClient(Protocol):
    """The part of boto3's S3 client that is used here."""

    def get_object(self, **arguments: Any) -> Any: ...


class InspectionLedger(Protocol):
    """What is needed of the ledger (glue.ledger.PartitionLedger)."""

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]: ...
    def record_inspections(self, table: str, inspections: Iterable[Inspection]) -> int: ...


@dataclass
class InspectionReport:
    """What became of the objects that were looked at.

    `known`: there were facts of it; `read` whole; `sampled`; `faulty`: no text, or broken off; `gone`; `archived`:
    nobody can read it without restoring it; `changed`: the ledger knew another one, before the reading or after it, so
    nothing is kept until it is read again; `postponed`: the time was over; `failed`: it could not be read now.
    """

    known_count: int = 0
    read_count: int = 0
    sampled_count: int = 0
    faulty_count: int = 0
    gone_count: int = 0
    archived_count: int = 0
    changed_count: int = 0
    postponed_count: int = 0
    row_count: int = 0
    malformed_count: int = 0
    size_bytes: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Objects by what became of them, for logs and metrics."""
        names = ("known", "read", "sampled", "faulty", "gone", "archived", "changed", "postponed")
        return {**{name: getattr(self, f"{name}_count") for name in names}, "failed": len(self.failed)}

    def add(self, other: InspectionReport) -> None:
        """Adds what became of further objects."""
        for name, value in vars(other).items():
            if isinstance(value, list):
                mine = getattr(self, name)
                mine.extend(value)
                del mine[_FAILURE_SAMPLES:]
            else:
                setattr(self, name, getattr(self, name) + value)


class Inspector:
    """Reads objects of tables; see the module."""

    def __init__(
        self,
        s3_client: ReadingClient,
        ledger: InspectionLedger,
        *,
        mode: InspectionMode = "full",
        maximum_bytes: int = DEFAULT_MAXIMUM_BYTES,
        between_chunks: Callable[[], None] | None = None,
    ) -> None:
        self._s3 = s3_client
        self._ledger = ledger
        self._is_sampling = mode == "sample"
        self._maximum_bytes = maximum_bytes
        self._between_chunks = between_chunks

    def inspect(
        self,
        spec: TableSpec,
        time_range: PartitionRange | None = None,
        *,
        is_in_time: Callable[[], bool] = lambda: True,
    ) -> InspectionReport:
        """Reads the objects of a range that nobody has read. Once `is_in_time` says no, the rest is left as it is."""
        report = InspectionReport()
        wanted = (
            known for known in self._ledger.known_objects(spec.reference, time_range) if self._is_wanted(known, report)
        )
        inspections = (
            found for known in wanted if (found := self._inspected(spec, known, report, is_in_time)) is not None
        )
        while portion := list(islice(inspections, _OBJECTS_PER_RECORDING)):
            report.changed_count += self._ledger.record_inspections(spec.reference, portion)
        return report

    def _is_wanted(self, known: KnownObject, report: InspectionReport) -> bool:
        facts = known.facts
        is_known = facts is not None and not (facts.is_sample and self._reads_whole(known))
        report.known_count += is_known
        return not is_known and known.share != "bytes"

    def _reads_whole(self, known: KnownObject) -> bool:
        return not self._is_sampling and known.size_bytes <= self._maximum_bytes

    def _inspected(
        self, spec: TableSpec, known: KnownObject, report: InspectionReport, is_in_time: Callable[[], bool]
    ) -> Inspection | None:
        if not is_in_time():
            report.postponed_count += 1
            return None

        def between_chunks() -> None:
            if not is_in_time():
                raise _TimeIsOver
            if self._between_chunks is not None:
                self._between_chunks()

        is_sample = not self._reads_whole(known) and known.size_bytes > SAMPLE_BYTES
        arguments = {"Range": f"bytes=0-{SAMPLE_BYTES - 1}"} if is_sample else {}
        try:
            answer = self._s3.get_object(Bucket=spec.bucket, Key=known.key, **arguments)
            if _whole_length(answer) != known.size_bytes:
                report.changed_count += 1
                return None
            body = answer["Body"]
            try:
                facts = read_facts(body, spec, is_sample=is_sample, between_chunks=between_chunks)
            finally:
                body.close()
        except ClientError as error:
            if error_code(error) in _GONE:
                report.gone_count += 1
            elif error_code(error) == "InvalidObjectState":  # S3 API reference, GetObject of an archived object
                report.archived_count += 1
            else:
                report.failed.append((known.key, f"{error_code(error)}: {error_message(error)}"))
            return None
        except _TimeIsOver:
            report.postponed_count += 1
            return None
        except (BotoCoreError, OSError) as error:  # the connection broke while the body was read
            report.failed.append((known.key, f"{type(error).__name__}: {error}"))
            return None
        report.row_count += facts.row_count
        report.malformed_count += facts.malformed_count
        report.size_bytes += min(known.size_bytes, SAMPLE_BYTES) if is_sample else known.size_bytes
        if facts.fault:
            report.faulty_count += 1
            report.faults = [*report.faults, (known.key, facts.fault)][:_FAILURE_SAMPLES]
        elif is_sample:
            report.sampled_count += 1
        else:
            report.read_count += 1
        partition = PartitionSpec.from_values(known.values, spec.layout.scheme)
        return Inspection(partition, known.key, known.size_bytes, known.content_tag, facts)


class RecordedInspection:
    """What a tracker has recorded, to be read afterwards: for those who have no thread for it."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._waiting: dict[tuple[str, PartitionSpec], TableSpec] = {}

    def note(self, spec: TableSpec, records: Sequence[ObjectRecord]) -> None:
        """These objects are to be read. What the tracker calls when it has recorded objects."""
        self._waiting |= {(spec.reference, record.partition): spec for record in records}

    def run(self, is_in_time: Callable[[], bool] = lambda: True) -> InspectionReport:
        """Reads them. Never raises: what could not be read is found by `data-hist partitions inspect`."""
        waiting, self._waiting = self._waiting, {}
        report = InspectionReport()
        for (_, partition), spec in waiting.items():
            try:
                found = self._inspector.inspect(spec, PartitionRange(partition, partition), is_in_time=is_in_time)
            except (ClientError, BotoCoreError):
                _LOG.exception("objects of %s %s could not be inspected", spec.reference, partition)
                report.failed.append((partition.path(), "the ledger did not answer"))
            else:
                report.add(found)
        return report


def _whole_length(answer: Any) -> int:
    """The size of the whole object, of a ranged answer too."""
    content_range = answer.get("ContentRange")
    return int(content_range.rpartition("/")[2]) if content_range else int(answer["ContentLength"])
