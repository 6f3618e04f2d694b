"""Files of one's own become records of the lake: `data-hist load`.

    rows of a file -> mapping (time, service, customer, tags) -> v0 records -> one object per partition -> catalogue
    -> ledger

Rules:
1. A file counts once. Its identity is its bytes together with the table and the mapping; neither name nor path
   matters. It is known by the ledger, and it makes the objects' names (`1_0-0_<hash>.gz`, Secor's form for several
   Kafka partitions, so that no offset is claimed). So loading twice adds nothing, and a load that was killed is done
   again over itself.
   A file that grew loads what was added: when its beginning is a file that was loaded, the rows of that are skipped.
2. Objects first, then the catalogue, then the ledger in one transaction with "this file is loaded". Killed between
   any two steps, the next load of the file writes the same objects again and goes on: nothing is lost, nothing doubled.
3. A row that cannot be used (not an object, no usable time) is counted, shown and kept in a rejects file; the others
load.
4. A file that cannot be trusted as a whole (cut off, damaged) is not loaded at all, as its repaired version would
   double the rows; `salvage` loads what could be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from glue.aws_clients import GlueClient, S3Client
from glue.envelope import OPERATOR_CUSTOMER, record_line
from glue.layout import CommitBatch
from glue.ledger import LoadSource, ObjectRecord, PartitionLedger
from glue.partition_spec import PartitionSpec
from glue.partition_spool import BUFFER_BYTES, PartitionSpool
from glue.registration import Settle, register_partitions
from glue.row_time import milliseconds
from glue.source_files import MISSING, Format, RejectedRow, SourceFault, SourceRow, find_field, read_rows
from glue.table_spec import TableSpec

UNKNOWN_SERVICE = "unknown"
SHOWN_REJECTS = 20
_RAW_CHARACTERS = 200
_NAMED_FIELDS = 10
_BIGINT = range(-(2**63), 2**63)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")

Status = Literal["loaded", "already_loaded", "failed"]


@dataclass(frozen=True)
class FieldOrConstant:
    """Where a value of the envelope comes from: a field of the row, or (written `=VALUE`) the same for all."""

    field: str | None = None
    constant: str | None = None

    @classmethod
    def parse(cls, text: str) -> FieldOrConstant:
        """`FIELD` or `=CONST`. Raises ValueError for an empty one."""
        if text in ("", "="):
            raise ValueError("neither a FIELD nor =CONST")
        return cls(constant=text[1:]) if text.startswith("=") else cls(field=text)


@dataclass(frozen=True)
class RowMapping:
    """How a row becomes a v0 record. All field names may be dotted, see `glue.source_files.find_field`.

    Without `service` the service is `unknown`, without `customer` (or where a row has none) it is the operator
    itself, 1.
    """

    time: str
    service: FieldOrConstant = FieldOrConstant(constant=UNKNOWN_SERVICE)
    customer: FieldOrConstant = FieldOrConstant(constant=str(OPERATOR_CUSTOMER))
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.customer.constant is not None:
            _customer(self.customer.constant)

    def created_milliseconds(self, values: Mapping[str, Any]) -> int:
        """The row's own time. Raises ValueError with the reason."""
        value = values.get(self.time, MISSING)
        if value is MISSING:
            value = find_field(values, self.time)
            if value is MISSING:
                raise ValueError(f"has no field {self.time}{_has_fields(values)}")
        try:
            return milliseconds(value)
        except ValueError as error:
            raise ValueError(f"{self.time}: {error}") from None

    def service_name(self, values: Mapping[str, Any]) -> str:
        """The service a row comes from; `unknown` where the row does not say."""
        if self.service.constant is not None:
            return self.service.constant
        value = find_field(values, self.service.field or "")
        return UNKNOWN_SERVICE if value is MISSING or value is None or value == "" else _text(value)

    def customer_id(self, values: Mapping[str, Any]) -> int:
        """The tenant of a row;

        a value that is no whole number is a ValueError, since guessing would show it to somebody.
        """
        if self.customer.constant is not None:
            return _customer(self.customer.constant)
        value = find_field(values, self.customer.field or "")
        return OPERATOR_CUSTOMER if value is MISSING or value is None or value == "" else _customer(value)

    def data_tags(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The tags: the named fields a row has, as texts."""
        found = ((name, find_field(values, name)) for name in self.tags)
        return {name: _text(value) for name, value in found if value is not MISSING and value is not None}


@dataclass(frozen=True)
class LoadOptions:
    """What to read and how: the mapping, and where rows stand in the file."""

    mapping: RowMapping
    records: str | None = None
    file_format: Format | None = None
    salvage: bool = False

    def identity(self) -> str:
        """The part of a file's identity that is not its bytes: what decides which records its rows become."""
        return json.dumps([asdict(self.mapping), self.records], sort_keys=True)


@dataclass
class FileReport:
    """What became of one file. `rows` = `loaded` + `rejected`; times are ms since 1970.

    `known_rows` are the rows at its beginning that were loaded before the file grew; they are not among `rows`.
    """

    file: str
    status: Status = "loaded"
    rows: int = 0
    known_rows: int = 0
    loaded: int = 0
    rejected: int = 0
    partitions: int = 0
    objects: int = 0
    size_bytes: int = 0
    minimum_createdtimestamp: int | None = None
    maximum_createdtimestamp: int | None = None
    reason: str | None = None
    rejects_file: str | None = None
    rejected_samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class LoadReport:
    """What became of all files of a load. A file that was loaded before counts its rejected rows, and nothing else."""

    table: str
    files: list[FileReport] = field(default_factory=list)

    @property
    def loaded_count(self) -> int:
        """Rows this load added."""
        return sum(file.loaded for file in self.files if file.status == "loaded")

    @property
    def rejected_count(self) -> int:
        """Rows that were not used, in files of this load and in those loaded before."""
        return sum(file.rejected for file in self.files)

    @property
    def failed_files(self) -> list[FileReport]:
        """Files of which nothing was loaded."""
        return [file for file in self.files if file.status == "failed"]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        now = [file for file in self.files if file.status != "already_loaded"]
        return {
            "table": self.table,
            "files": len(self.files),
            "rows": sum(file.rows for file in now),
            "known_rows": sum(file.known_rows for file in now),
            "loaded": self.loaded_count,
            "rejected": self.rejected_count,
            "already_loaded": sum(file.status == "already_loaded" for file in self.files),
            "failed": len(self.failed_files),
            "partitions": sum(file.partitions for file in now),
            "objects": sum(file.objects for file in now),
            "size_bytes": sum(file.size_bytes for file in now),
            "file_reports": [asdict(file) for file in self.files],
        }


@dataclass(frozen=True)
class Loader:
    """Loads files into one table. Clients, clock and folders are handed in; `progress(rows)` is called now and then."""

    glue_client: GlueClient
    s3_client: S3Client
    ledger: PartitionLedger
    table_spec: TableSpec
    clock: Callable[[], datetime]
    work_folder: Path
    rejects_folder: Path
    buffer_bytes: int = BUFFER_BYTES
    progress: Callable[[str, int], None] | None = None
    sleep: Callable[[float], None] = time.sleep
    settle: Settle | None = None  # without it nothing is compacted

    def load(self, files: Sequence[Path], options: LoadOptions) -> LoadReport:
        """Load these files, one after the other; a file that fails does not keep the others."""
        report = LoadReport(self.table_spec.reference)
        for path in files:
            report.files.append(self._load_file(path, options))
        return report

    def _load_file(self, path: Path, options: LoadOptions) -> FileReport:
        report = FileReport(str(path))
        try:
            if not path.is_file():
                raise SourceFault(_no_file(path))
            state = _state(path)
            load_id, source, report.known_rows = self._identify(path, options)
            finished = self.ledger.finished_load(load_id)
            if finished is not None:
                return _already_loaded(report, finished, self.rejects_folder)
            with PartitionSpool(
                self.work_folder, self.table_spec.layout.scheme, buffer_bytes=self.buffer_bytes
            ) as spool:
                self._read(path, options, load_id, spool, report)
                if _state(path) != state:
                    raise SourceFault("changed while it was read; load it again when it is complete")
                self._publish(load_id, source, spool, report)
        except (SourceFault, OSError) as error:
            report.status, report.reason = "failed", _reason(error)
            report.loaded = report.partitions = report.objects = report.size_bytes = 0
        return report

    def _identify(self, path: Path, options: LoadOptions) -> tuple[str, LoadSource, int]:
        """The load's id, its source, and how many rows at the file's beginning are another, earlier load's."""
        mapping = f"\n{self.table_spec.database}.{self.table_spec.name}\n{options.identity()}".encode()
        source = LoadSource(hashlib.sha256(mapping).hexdigest()[:16], path.stat().st_size)
        candidates = self.ledger.load_sources(source.family, source.size_bytes)
        digest, position, earlier = hashlib.sha256(), 0, None
        with path.open("rb") as file:
            for size_bytes in [*candidates, source.size_bytes]:
                _feed(digest, file, size_bytes - position)
                position = size_bytes
                load_id = _finished(digest, mapping)
                if load_id in candidates.get(size_bytes, ()):
                    earlier = load_id
                    _check_boundary(file, size_bytes)
        if earlier is None:
            return load_id, source, 0
        facts = self.ledger.finished_load(earlier) or {}
        return load_id, source, int(str(facts.get("known_rows", 0))) + int(str(facts.get("rows", 0)))

    def _read(self, path: Path, options: LoadOptions, load_id: str, spool: PartitionSpool, report: FileReport) -> None:
        mapping = options.mapping
        fields = self.table_spec.record
        if fields is None:
            raise SourceFault(f"{self.table_spec.reference} has no envelope that a row could be put in")
        arrived = self._arrived_milliseconds(load_id)
        kept = self.rejects_folder / f"{self.table_spec.reference}-{load_id[:16]}.ndjson"
        with _RejectsFile(kept, spool.folder / "rejects", report) as rejects:
            rows = _salvaged(read_rows(path, records=options.records, file_format=options.file_format), options)
            for row in islice(rows, report.known_rows, None):
                report.rows += 1
                if self.progress is not None and report.rows % 10_000 == 0:
                    self.progress(report.file, report.rows)
                if isinstance(row, RejectedRow):
                    rejects.add(row.line, row.reason, row.raw)
                    continue
                try:
                    created = mapping.created_milliseconds(row.values)
                    line = record_line(
                        created_milliseconds=created,
                        arrived_milliseconds=arrived,
                        service_name=mapping.service_name(row.values),
                        customer=mapping.customer_id(row.values),
                        tags=mapping.data_tags(row.values),
                        data_text=row.text,
                        fields=fields,
                    )
                except (ValueError, orjson.JSONEncodeError) as error:
                    rejects.add(row.line, str(error), row.text)
                    continue
                spool.add(created, line)

    def _arrived_milliseconds(self, load_id: str) -> int:
        """The load's time. A load that is done again over itself keeps its first, so that it writes the same bytes."""
        now = round(self.clock().timestamp() * 1000)
        facts = self.ledger.begin_load(load_id, self.table_spec.reference, {"arrivaltimestamp": now})
        return int(str(facts["arrivaltimestamp"]))

    def _publish(self, load_id: str, source: LoadSource, spool: PartitionSpool, report: FileReport) -> None:
        """Objects, then the catalogue, then the ledger: what is said to be there is there."""
        spec, now = self.table_spec, self.clock()
        batch = CommitBatch.hashed(0, 0, load_id.encode())
        records: list[ObjectRecord] = []
        for spooled in spool.partitions():
            key = spec.layout.key(spec.topic, spooled.partition, batch)
            with spool.body(spooled) as body:
                size_bytes = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
                self.s3_client.put_object(Bucket=spec.bucket, Key=key, Body=body)
            created = spooled.minimum_createdtimestamp, spooled.maximum_createdtimestamp
            records.append(ObjectRecord(spooled.partition, key, size_bytes, now, spooled.row_count, *created))
        registration = register_partitions(
            self.glue_client, spec, (record.partition for record in records), sleep=self.sleep
        )
        if registration.failed:
            failed = registration.failed[0]
            raise SourceFault(
                f"the catalogue refused {len(registration.failed)} partitions, the first {failed.partition}:"
                f" {failed.code}: {failed.message}"
            )
        self._settle([record.partition for record in records], now)
        report.partitions = report.objects = len(records)
        report.loaded = sum(record.row_count or 0 for record in records)
        report.size_bytes = sum(record.size_bytes for record in records)
        if records:
            report.minimum_createdtimestamp = min(record.minimum_createdtimestamp or 0 for record in records)
            report.maximum_createdtimestamp = max(record.maximum_createdtimestamp or 0 for record in records)
            self.ledger.finish_load(load_id, spec.reference, records, _facts(report), now=now, source=source)

    def _settle(self, partitions: Sequence[PartitionSpec], now: datetime) -> None:
        unseen = {} if self.settle is None or not partitions else self.settle(self.table_spec, partitions, now)
        for values, reason in unseen.items():
            path = PartitionSpec.from_values(values, self.table_spec.layout.scheme).path()
            raise SourceFault(
                f"{len(unseen)} partitions are compacted and do not take it in, the first {path}: {reason}"
            )


class _RejectsFile:
    """The rows that were not used, one JSON object a line: file, line, reason, row. Only there when there are any.

    It is written elsewhere (`temporary`) and moved to its place when the file was read to its end.
    """

    def __init__(self, path: Path, temporary: Path, report: FileReport) -> None:
        self._path, self._temporary, self._report = path, temporary, report
        self._file: Any = None

    def __enter__(self) -> _RejectsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._temporary.replace(self._path)
            self._report.rejects_file = str(self._path)

    def add(self, line: int, reason: str, raw: str) -> None:
        """Count, show and keep a row."""
        self._report.rejected += 1
        entry = {"file": self._report.file, "line": line, "reason": reason}
        if len(self._report.rejected_samples) < SHOWN_REJECTS:
            self._report.rejected_samples.append({**entry, "row": raw[:_RAW_CHARACTERS]})
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("wb")
        self._file.write(orjson.dumps({**entry, "row": raw}) + b"\n")


def _salvaged(rows: Iterator[SourceRow | RejectedRow], options: LoadOptions) -> Iterator[SourceRow | RejectedRow]:
    """The rows; with `salvage` a file that breaks off ends there, and the break counts as one rejected row."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except SourceFault as fault:
        if not options.salvage:
            raise
        yield RejectedRow(line + 1, str(fault), "")


def _facts(report: FileReport) -> dict[str, Any]:
    """What the ledger keeps of a load: no path, since the data directory may be moved."""
    facts = asdict(report)
    del facts["file"]
    facts["rejects_file"] = report.rejects_file and Path(report.rejects_file).name
    facts["rejected_samples"] = [
        {name: sample[name] for name in ("line", "reason", "row")} for sample in report.rejected_samples
    ]
    return facts


def _already_loaded(report: FileReport, facts: Mapping[str, Any], rejects_folder: Path) -> FileReport:
    """The report of a file whose rows are in the lake: what its load found, under today's names."""
    rejects_file = facts["rejects_file"] and str(rejects_folder / facts["rejects_file"])
    samples = [{"file": report.file, **sample} for sample in facts["rejected_samples"]]
    members = {
        "file": report.file,
        "status": "already_loaded",
        "rejects_file": rejects_file,
        "rejected_samples": samples,
    }
    return FileReport(**{**facts, **members})


def _has_fields(values: Mapping[str, Any]) -> str:
    names = [str(name)[:40] for name in values]
    more = ", ..." if len(names) > _NAMED_FIELDS else ""
    return f" (it has {', '.join(names[:_NAMED_FIELDS])}{more})" if names else ""


def _no_file(path: Path) -> str:
    if not path.exists():
        return "no such file"
    return "is a folder" if path.is_dir() else "is no regular file: it is read twice, so save it first"


def _feed(digest: Any, file: IO[bytes], size_bytes: int) -> None:
    while size_bytes > 0 and (portion := file.read(min(size_bytes, 1024 * 1024))):
        digest.update(portion)
        size_bytes -= len(portion)


def _finished(digest: Any, mapping: bytes) -> str:
    """The load id of what was fed so far."""
    whole = digest.copy()
    whole.update(mapping)
    return str(whole.hexdigest())


def _check_boundary(file: IO[bytes], size_bytes: int) -> None:
    """What was loaded must have ended with a line, else its last row was another then. A gzip file grows by members."""
    position = file.tell()
    file.seek(0)
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(max(0, size_bytes - 1))
    around = file.read(2)
    file.seek(position)
    if not is_gzip and b"\n" not in around and b"\r" not in around:
        raise SourceFault("was loaded while its last line was not complete; load what is new as a file of its own")


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _customer(value: object) -> int:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value in _BIGINT:
        return value
    raise ValueError(f"customer: {value!r} is not a whole number")


def _text(value: object) -> str:
    """A field as text: a string as it is, anything else as its JSON."""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode("utf-8")


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
