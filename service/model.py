"""The vocabulary of the query use cases as frozen values: who asks, what is asked, how it went, what comes back.

Times are aware datetimes in UTC; `*_ms` are milliseconds (a duration, or since 1970 where the name says `from`/`to`);
`*_bytes` are bytes. Everything here is data; the use cases are in service.queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from glue.ledger import OffsetTotals
from service.errors import QueryFailure, ServiceError

DEFAULT_RETENTION_MINUTES = 1440
MAXIMUM_RETENTION_MINUTES = 525_600
MAXIMUM_RESULTS_PER_PAGE = 1000
MAXIMUM_WAIT_SECONDS = 50.0
MAXIMUM_LINK_MINUTES = 15
PRICE_USD_PER_TERABYTE = 5.0
"""Athena's list price per TB scanned; every amount made with it is labelled an estimate."""

TERABYTE_BYTES = 10**12


def estimated_cost_usd(scanned_bytes: int) -> float:
    """What Athena would charge for a scan of so many bytes, in US dollars, at PRICE_USD_PER_TERABYTE: an estimate."""
    return round(scanned_bytes / TERABYTE_BYTES * PRICE_USD_PER_TERABYTE, 6)


@dataclass(frozen=True)
class Caller:
    """Who asks. `customers` None sees every tenant's rows (the operator); a set sees only those `customerid`s.

    `tenant` owns queries and results: a query of another tenant does not exist for this caller.
    `maximum_scan_bytes` is the key's limit for one query; `rate_limit` (`100/minute`) and `maximum_queries` (unfinished
    at a time) are its own where it has any. None is no limit of its own.
    """

    tenant: str
    customers: frozenset[int] | None
    scopes: frozenset[str]
    key_id: str | None = None
    maximum_scan_bytes: int | None = None
    rate_limit: str | None = None
    maximum_queries: int | None = None


OPERATOR = Caller(tenant="operator", customers=None, scopes=frozenset({"query", "operate"}))
"""The caller of an open loopback service, and of the command line: sees everything."""


@dataclass(frozen=True)
class ReuseWish:
    """Which earlier result a caller takes instead of a run of its own (service.reuse).

    None may be taken where `is_allowed` is False. `max_age_minutes`: also one of data that have changed since, when its
    query was submitted so long ago at most; None: only one that a run of its own would give too.
    """

    is_allowed: bool = True
    max_age_minutes: int | None = None


@dataclass(frozen=True)
class QueryRequest:
    """What POST /query and POST /validate ask. `from_ms`/`to_ms` bound `createdtimestamp`: [from, to), ms since 1970.

    `strict`: a query that had to skip malformed rows fails with `MalformedRows` where it would otherwise warn.
    `wait_seconds` (0..50): how long submit may wait for a terminal state before it answers; no part of
    the query's identity. `database`: whose names the SQL speaks in; None is the default one.
    """

    query: str
    retention_minutes: int = DEFAULT_RETENTION_MINUTES
    parameters: tuple[object, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    max_bytes_scanned: int | None = None
    wait_seconds: float = 0.0
    idempotency_key: str | None = None
    strict: bool = False
    reuse: ReuseWish = ReuseWish()
    database: str | None = None


class QueryStatus(StrEnum):
    """The contract's words. Athena's SUCCEEDED is FINISHED. The first terminal state is final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """True for states that never change again."""
        return self in TERMINAL_STATUSES


TERMINAL_STATUSES = frozenset({QueryStatus.FINISHED, QueryStatus.FAILED, QueryStatus.CANCELLED})


@dataclass(frozen=True)
class OutputColumn:
    """One column of a result: its name, unique in the result, and its type in Trino's words (`decimal(10,2)`)."""

    name: str
    type: str


@dataclass(frozen=True)
class Statistics:
    """What a query cost so far. None is "not known (yet)", never zero. Names are Athena's in snake_case, then our own.

    `bytes_skipped` is what pruning saved: bytes of the tables' partitions that were not scanned, from the ledger.
    `query_queue_time_ms` includes the wait in our own queue. `progress_percent` is 0..100.
    """

    engine_execution_time_ms: int | None = None
    data_scanned_bytes: int | None = None
    total_execution_time_ms: int | None = None
    query_queue_time_ms: int | None = None
    service_pre_processing_time_ms: int | None = None
    query_planning_time_ms: int | None = None
    service_processing_time_ms: int | None = None
    reused_previous_result: bool | None = None
    dpu_count: float | None = None
    rows_total: int | None = None
    result_bytes: int | None = None
    partitions_scanned: int | None = None
    partitions_skipped: int | None = None
    objects_scanned: int | None = None
    bytes_skipped: int | None = None
    rows_malformed: int | None = None
    progress_percent: float | None = None
    estimated_cost_usd: float | None = None


@dataclass(frozen=True)
class QueryWarning:
    """Something the answer had to leave out or guess. For `MalformedRow`: the object (s3 URI), its line (from 1)."""

    code: str
    detail: str
    object: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class QueryFreshness:
    """How fresh and complete the tables of a query were when it was submitted, from the partition ledger.

    `complete_until` is the earliest of the tables', None where one of them has no complete partition yet;
    `missing_partitions` and `late_bytes` are those of the partitions the query reads (glue.completeness).
    """

    complete_until: datetime | None
    missing_partitions: int
    late_bytes: int


@dataclass(frozen=True)
class QueryExecution:
    """One run of one query, as the execution store remembers it.

    `query` is the SQL as asked; what the engine got is not shown. `expires_at` is set at the terminal state: `ended_at`
    plus `retention_minutes`. `queue_position` counts from 1 while QUEUED here, else None. `error` is set exactly when
    FAILED. `freshness` is None for a query that reads no table. `reused_from` is the query whose result this one has.
    """

    query_id: str
    tenant: str
    status: QueryStatus
    query: str
    retention_minutes: int
    submitted_at: datetime
    key_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    columns: tuple[OutputColumn, ...] | None = None
    statistics: Statistics = Statistics()
    error: QueryFailure | None = None
    warnings: tuple[QueryWarning, ...] = ()
    warnings_truncated: bool = False
    queue_position: int | None = None
    is_expunged: bool = False
    freshness: QueryFreshness | None = None
    reused_from: str | None = None

    @property
    def is_terminal(self) -> bool:
        """True when the state is final."""
        return self.status.is_terminal

    @property
    def has_result(self) -> bool:
        """True when pages and downloads can be had: FINISHED and its bytes not yet deleted."""
        return self.status is QueryStatus.FINISHED and not self.is_expunged


@dataclass(frozen=True)
class ExecutionListing:
    """Some of a tenant's query executions, newest first; `paging_token` is None on the last page."""

    executions: tuple[QueryExecution, ...]
    paging_token: str | None


@dataclass(frozen=True)
class Page:
    """One page of a result. `body` is the whole JSON text of the contract's answer to POST /next, ready to send:
    `{query_id, columns, result_set, row_count, paging_token?}`."""

    query_id: str
    body: bytes
    row_offset: int
    row_count: int
    paging_token: str | None


class DownloadFormat(StrEnum):
    """The forms in which a whole result can be had."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    ARROW = "arrow"


DOWNLOAD_CONTENT_TYPES: Mapping[DownloadFormat, str] = {
    DownloadFormat.CSV: "text/csv; charset=utf-8; header=present",
    DownloadFormat.NDJSON: "application/x-ndjson",
    DownloadFormat.PARQUET: "application/vnd.apache.parquet",
    DownloadFormat.ARROW: "application/vnd.apache.arrow.stream",
}


@dataclass(frozen=True)
class Download:
    """A whole result, streamed: `chunks` blocks while it reads, so iterate it in a thread (starlette's
    StreamingResponse does).

    Close the iterator (`chunks.close()`) when the client leaves.
    """

    query_id: str
    format: DownloadFormat
    content_type: str
    file_name: str
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class DownloadLink:
    """Lets anybody who has the token download the result in this format until `expires_at`."""

    query_id: str
    format: DownloadFormat
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class TableScanEstimate:
    """What a query would read of one table, from the partition ledger.

    `first_partition`/`last_partition` are partition paths, or None where unbounded.
    """

    table: str
    first_partition: str | None
    last_partition: str | None
    partition_count: int
    object_count: int
    size_bytes: int
    partitions_skipped: int
    bytes_skipped: int


@dataclass(frozen=True)
class DryRun:
    """The answer to POST /validate: what the query would read and cost, and all that is wrong with it. Nothing ran.

    `problems` are the errors that submit would refuse with; when the SQL itself is at fault, `tables` is empty.
    """

    is_valid: bool
    statement_kind: str | None = None
    columns: tuple[OutputColumn, ...] = ()
    tables: tuple[TableScanEstimate, ...] = ()
    partition_count: int = 0
    object_count: int = 0
    estimated_bytes: int = 0
    estimated_cost_usd: float = 0.0
    problems: tuple[ServiceError, ...] = ()
    warnings: tuple[QueryWarning, ...] = ()


@dataclass(frozen=True)
class ColumnDescription:
    """One row of a table's data dictionary. `raised_from`: the paths of the payload that a raised field comes from."""

    name: str
    type: str
    description: str
    is_partition_key: bool = False
    is_allowed: bool = True
    raised_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableDescription:
    """A table as GET /tables tells it. Freshness is from the partition ledger; None when nothing was registered.

    `missing_partition_count_24_hours`: partitions that are not there between the first and the newest one of the 24
    hours that end with the newest: a hint at gaps, as a service may have been silent.
    """

    name: str
    database: str
    description: str
    location: str
    columns: tuple[ColumnDescription, ...]
    partition_keys: tuple[str, ...]
    partition_count: int = 0
    object_count: int = 0
    size_bytes: int = 0
    first_partition: str | None = None
    last_partition: str | None = None
    newest_createdtimestamp: datetime | None = None
    last_arrival_at: datetime | None = None
    missing_partition_count_24_hours: int = 0
    complete_until: datetime | None = None
    missing_partitions: int = 0
    late_bytes: int = 0
    bad_timestamp_object_count: int = 0
    offsets: OffsetTotals = field(default_factory=OffsetTotals)


@dataclass(frozen=True)
class PartitionOffsets:
    """What a partition holds of one Kafka partition: the first offsets of its batches, from the names of objects."""

    generation: int
    kafka_partition: int
    object_count: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True)
class PartitionDescription:
    """A partition as GET /tables/{table}/partitions tells it. Times are moments; None is not known.

    `lateness`: objects by how long after the partition's end they arrived; `row_lateness`: rows by how long after their
    creation.
    """

    partition: str
    location: str
    state: str
    start: datetime
    end: datetime
    closes_at: datetime
    object_count: int
    size_bytes: int
    late_bytes: int
    row_count: int | None
    malformed_count: int
    unread_object_count: int
    minimum_createdtimestamp: datetime | None
    maximum_createdtimestamp: datetime | None
    first_arrival_at: datetime | None
    last_arrival_at: datetime | None
    lateness: Mapping[str, int]
    row_lateness: Mapping[str, int]
    kafka_offsets: tuple[PartitionOffsets, ...]


@dataclass(frozen=True)
class EmptyReason:
    """One reason why a table gave no rows: a word (docs/partitions.md lists them) and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class TableExplanation:
    """Why one table may have given no rows; partitions are paths, None where the query has no bound."""

    table: str
    first_partition: str | None
    last_partition: str | None
    reasons: tuple[EmptyReason, ...]


@dataclass(frozen=True)
class QueryExplanation:
    """Why a query is empty. `rows_total` None: not finished, or not counted yet. With rows there is nothing to explain:
    `tables` is empty.
    """

    query_id: str
    status: QueryStatus
    rows_total: int | None
    tables: tuple[TableExplanation, ...]


@dataclass(frozen=True)
class PartitionListing:
    """Some partitions of a table, newest first; `paging_token` is None on the last page."""

    table: str
    partitions: tuple[PartitionDescription, ...]
    paging_token: str | None
