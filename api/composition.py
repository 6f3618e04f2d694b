"""Puts the service together: S3, Glue and Athena (embedded or AWS's), the ledger, the keys, the query service.

For the server, the command line and tests. What the service keeps lies in one data directory (docs/configuration.md
names the files); nothing in it holds an absolute path, so the folder can be moved. Building it twice equals building
it once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Tracer

from api.budget_plan import budget_plan
from api.contract import DATABASES
from api.engines import DATABASE, OpenEngine, open_engine
from api.exchange import Exchange
from api.lake import Clock, Lake, open_lake, utc_now
from api.metrics import Reading
from api.replication import open_key_store, open_replication
from api.settings import Settings
from api.tracing import SERVICE, tracer_provider
from embedded.athena_catalogue import GlueTables, QueryCatalogue
from embedded.directory_lock import DirectoryLock
from embedded.sql.errors import TrinoError
from embedded.sql.translation import describe
from glue.bootstrap import as_stored
from glue.compaction_settling import Settling
from glue.explain import explain_range
from glue.folder_watch import FolderReconciler, FolderWatch, WatchMode
from glue.inspection import InspectionMode, Inspector
from glue.inspection_queue import InspectionQueue
from glue.known_times import KnownTimes
from glue.ledger import PartitionLedger
from glue.retention_sweep import SweepReport, sweep
from glue.success_markers import MarkingThread, SuccessMarkers
from glue.sweep_schedule import DataSweeper
from glue.table_spec import TableSpec
from glue.tracker import PartitionTracker, TrackingReport
from service.audit import AuditTrail, CallOrigin
from service.budgets import Budgets
from service.databases import ServedDatabase
from service.engines.failures import failure_from_text
from service.engines.metered import MeteredEngine
from service.errors import Blame, LedgerUnavailable, QueryFailed, StoreUnavailable
from service.events import LakeEventSink, RequestEvents
from service.executions import ExecutionStore
from service.keys import ApiKeys
from service.ledger_reader import LedgerReader
from service.model import Caller, OutputColumn, TableDescription
from service.open_queries import QueryLimits
from service.places import placed
from service.queries import QueryService
from service.request_planning import RangeExplainer
from service.reuse import DataVersions, LedgerDataVersions
from service.spool import Spools
from service.sql.margins import PartitionTimes
from service.sql.plan import PlannedStatement, Planner, TimeRange
from service.tables import table_description
from service.tokens import TokenSigner
from service.tracing import NO_TRACER

if TYPE_CHECKING:  # the SDK is imported by those who trace
    from opentelemetry.sdk.trace import TracerProvider

EVENTS_TABLE = "events"
DATA_ROUTE = "/data_hist/"
_LOG = logging.getLogger(__name__)
_ANY_TIME = TimeRange()


@dataclass(frozen=True)
class World:
    """The whole service. Start the query service in an event loop; `close` what it leaves open afterwards."""

    lock: DirectoryLock
    lake: Lake
    keys: ApiKeys
    close_clients: Callable[[], None]  # what the engine was given
    engine: MeteredEngine
    store: ExecutionStore
    query_service: QueryService
    request_events: RequestEvents | None
    audit: AuditTrail | None
    watch: FolderWatch | None
    inspection: InspectionQueue | None
    marking: MarkingThread | None
    data_sweeper: DataSweeper | None
    traces: TracerProvider | None
    settings: Settings

    @property
    def s3(self) -> Any:
        """The S3 client, embedded or boto3's."""
        return self.lake.s3

    @property
    def glue(self) -> Any:
        """The Glue client, embedded or boto3's."""
        return self.lake.glue

    @property
    def tracer(self) -> Tracer | None:
        """What requests and queries are traced with; None where nothing is."""
        return None if self.traces is None else self.traces.get_tracer(SERVICE)

    @property
    def ledger(self) -> PartitionLedger:
        """The partition ledger."""
        return self.lake.ledger

    def close(self) -> None:
        """Closes what the query service (closed by itself, in its event loop) does not own."""
        if self.watch is not None:
            self.watch.close()
        if self.inspection is not None:
            self.inspection.close()
        if self.marking is not None:
            self.marking.close()
        if self.data_sweeper is not None:
            self.data_sweeper.close()
        if self.request_events is not None:
            self.request_events.close()
        if self.traces is not None:
            self.traces.shutdown()
        self.close_clients()
        self.keys.close()
        self.lake.close()
        self.lock.release()

    def record(self, exchange: Exchange, duration_seconds: float) -> None:
        """One answered request as an event of the lake. Probes and scrapes are left out: they would drown the rest."""
        if self.request_events is None or DATA_ROUTE not in exchange.route:
            return
        client, status = exchange.origin.client, exchange.status or 0
        if self.audit is not None and status in (401, 403):
            self.audit.access_refused(
                CallOrigin(exchange.request_id, client),
                code=exchange.code,
                status=status,
                route=exchange.route,
                key_id=exchange.key_id,
            )
        if self.settings.request_events != "on":
            return
        payload: dict[str, Any] = {
            "method": exchange.method,
            "route": exchange.route,
            "status": exchange.status,
            "duration_ms": round(duration_seconds * 1000, 3),
            "request_id": exchange.request_id,
            "client": client,
            "tenant": exchange.tenant,
            "key_id": exchange.key_id,
            "query_id": exchange.query_id,
            "code": exchange.code,
            "sent_bytes": exchange.sent_bytes,
            "level": "ERROR" if status >= 500 else "INFO",
        }
        self.request_events.record("request", {name: value for name, value in payload.items() if value is not None})

    def readings(self) -> Iterable[Reading]:
        """The service's own numbers for Prometheus."""
        with suppress(StoreUnavailable):  # then there is no such number; the others are there all the same
            counts = self.store.count_by_status()
            yield Reading(
                "data_hist_queries",
                "Query executions that are remembered, by status.",
                {status.value: count for status, count in counts.items()},
            )
        service = self.query_service
        yield Reading("data_hist_queries_running", "Queries this process runs now.", service.running_count)
        yield Reading("data_hist_queue_depth", "Queries that wait in this process.", service.waiting_count)
        yield Reading(
            "data_hist_scanned_bytes",
            "Bytes of the lake that queries of this process have read.",
            self.engine.scanned_bytes,
            is_counter=True,
        )
        yield Reading(
            "data_hist_results_reused",
            "Queries that this process answered with the result of another.",
            service.reused_count,
            is_counter=True,
        )
        if self.watch is not None:
            yield Reading(
                "data_hist_lake_changes",
                "Objects of the lake that came, went or were left alone, by what became of them.",
                self.watch.report.counts(),
                label="outcome",
                is_counter=True,
            )
        if self.inspection is not None:
            yield Reading(
                "data_hist_inspected_objects",
                "Objects of the lake that were looked at for their rows, by what became of them.",
                self.inspection.report.counts(),
                label="outcome",
                is_counter=True,
            )
        if self.data_sweeper is not None:
            yield Reading(
                "data_hist_swept",
                "Partitions, objects and bytes that left past their retention, by what became of them.",
                dict(self.data_sweeper.counts),
                label="outcome",
                is_counter=True,
            )
        yield from self._table_readings()
        spool = self.lake.data_dir / "spool"
        yield Reading("data_hist_spool_bytes", "Bytes of results kept for paging.", _size_bytes(spool))

    def _table_readings(self) -> Iterable[Reading]:
        now = utc_now()
        tables = []
        with suppress(LedgerUnavailable):  # then there are no such numbers; the others are there all the same
            ledger = LedgerReader(self.ledger)
            tables = [(spec.reference, table_description(spec, ledger, now)) for spec in self.lake.tables.values()]
        numbers: tuple[tuple[str, str, Callable[[TableDescription], float | None]], ...] = (
            (
                "data_hist_table_complete_until_seconds",
                "Up to when nothing more is expected, in seconds since 1970, by table.",
                lambda table: None if table.complete_until is None else table.complete_until.timestamp(),
            ),
            (
                "data_hist_table_missing_partitions",
                "Partitions of the 24 hours before complete_until that are not there, by table.",
                lambda table: table.missing_partitions,
            ),
            (
                "data_hist_table_late_bytes",
                "Bytes that came after the allowed lateness, by table.",
                lambda table: table.late_bytes,
            ),
            (
                "data_hist_table_bad_timestamp_objects",
                "Objects in the folders of 1970-01-01, by table.",
                lambda table: table.bad_timestamp_object_count,
            ),
            (
                "data_hist_table_arrival_age_seconds",
                "How long ago the newest object arrived, by table.",
                lambda table: None if table.last_arrival_at is None else (now - table.last_arrival_at).total_seconds(),
            ),
            ("data_hist_table_partitions", "Partitions, by table.", lambda table: table.partition_count),
            ("data_hist_table_objects", "Objects, by table.", lambda table: table.object_count),
            ("data_hist_table_bytes", "Bytes of objects, by table.", lambda table: table.size_bytes),
            (
                "data_hist_table_missing_offsets",
                "Kafka offsets that no object has, by table.",
                lambda table: table.offsets.missing_count,
            ),
            (
                "data_hist_table_surplus_offsets",
                "Rows that are more than there are Kafka offsets, by table.",
                lambda table: table.offsets.surplus_count,
            ),
            (
                "data_hist_table_unread_objects",
                "Objects with Kafka offsets whose rows nobody has counted, by table.",
                lambda table: table.offsets.unread_object_count,
            ),
        )
        for name, meaning, number in numbers:
            values = {reference: value for reference, table in tables if (value := number(table)) is not None}
            yield Reading(name, meaning, values, label="table")


class _CannotDescribe(Exception):
    def __init__(self, error: TrinoError, engine_sql: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.engine_sql = engine_sql


@dataclass(frozen=True)
class DescribingPlanner:
    """The planner with the embedded engine's analyser: types of columns, and faults of the SQL before anything runs."""

    tables: Mapping[str, TableSpec]
    glue: GlueTables
    clock: Clock
    partition_times: PartitionTimes | None = None
    database: str = DATABASE
    _planner: Planner = field(init=False)

    def __post_init__(self) -> None:
        planner = Planner(
            self.tables,
            database=self.database,
            describe=self._describe,
            clock=self.clock,
            partition_times=self.partition_times,
        )
        object.__setattr__(self, "_planner", planner)

    def plan(
        self, sql: str, caller: Caller, *, time_range: TimeRange = _ANY_TIME, parameters: Sequence[object] = ()
    ) -> PlannedStatement:
        """As Planner.plan; also raises QueryFailed (blame user) for what only the analyser sees."""
        try:
            return self._planner.plan(sql, caller, time_range=time_range, parameters=parameters)
        except _CannotDescribe as trouble:
            failure = failure_from_text(str(trouble.error), Blame.USER)
            raise QueryFailed(placed(failure, engine_sql=trouble.engine_sql, asked_sql=sql)) from trouble.error

    def _describe(self, sql: str) -> Sequence[OutputColumn]:
        try:
            columns = describe(sql, QueryCatalogue(self.glue, self.database), database=self.database)
        except TrinoError as error:
            raise _CannotDescribe(error, sql) from error
        return tuple(OutputColumn(column.name, str(column.type)) for column in columns)


def build_world(data_dir: Path, settings: Settings, *, clock: Clock = utc_now, patience_seconds: float = 0) -> World:
    """The service over a data directory, with the engine that the settings name; not started yet.

    Raises DirectoryInUse when another process serves the directory, still after `patience_seconds`.
    """
    with ExitStack() as undo:
        lock = DirectoryLock(data_dir, patience_seconds=patience_seconds)
        undo.callback(lock.release)
        world = _world(lock, data_dir, settings, clock)
        undo.pop_all()
    return world


def _world(lock: DirectoryLock, data_dir: Path, settings: Settings, clock: Clock) -> World:
    lake = open_lake(data_dir, settings, clock=clock)
    if not lake.is_embedded:  # a catalogue that others keep may not have the raised fields yet
        lake = replace(lake, tables={name: as_stored(lake.glue, spec) for name, spec in lake.tables.items()})
    opened = open_engine(lake, settings, clock=clock)
    engine = MeteredEngine(opened.engine)
    keys = ApiKeys(open_key_store(data_dir, settings), clock=clock)
    shared = open_replication(data_dir, settings, s3=lake.s3, engine_name=engine.name, clock=clock)
    request_events = audit = None
    if settings.request_events != "off":
        sink = LakeEventSink(lake.s3, lake.glue, lake.ledger, lake.tables[EVENTS_TABLE], clock=clock)
        request_events = RequestEvents(sink, clock=clock)
        request_events.start()
        audit = AuditTrail(request_events, clock=clock)
    traces = tracer_provider() if settings.traces == "otlp" else None
    databases = _served_databases(lake, clock)
    query_service = QueryService(
        planner=databases[DATABASE].planner,
        ledger=LedgerReader(lake.ledger),
        tables=databases[DATABASE].tables,
        store=shared.store,
        engine=engine,
        spools=Spools(data_dir / "spool"),
        signer=TokenSigner(shared.key_ring),
        ownership=shared.ownership,
        clock=clock,
        settings=shared.settings,
        query_limits=QueryLimits(settings.max_queries_per_key, settings.max_queries_per_tenant),
        on_ended=None if audit is None else audit.query_ended,
        budgets=Budgets(shared.usage, budget_plan(settings), clock=clock),
        explain=_range_explainer(lake, clock),
        shared_spools=shared.shared_spools,
        slots=shared.slots,
        data_versions=_data_versions(lake, settings, opened),
        further_databases={name: served for name, served in databases.items() if name != DATABASE},
        tracer=NO_TRACER if traces is None else traces.get_tracer(SERVICE),
    )
    inspection = _inspection(lake, settings)
    watch = None if not lake.is_embedded or settings.watch == "off" else _lake_watch(lake, settings, clock, inspection)
    data_sweeper = None if settings.data_retention == "off" else _data_sweeper(lake, settings, clock)

    def close_clients() -> None:
        opened.close_clients()
        shared.close_clients()

    return World(
        lock,
        lake,
        keys,
        close_clients,
        engine,
        shared.store,
        query_service,
        request_events,
        audit,
        watch,
        inspection,
        _marking(lake, settings, clock),
        data_sweeper,
        traces,
        settings,
    )


def _data_versions(lake: Lake, settings: Settings, opened: OpenEngine) -> DataVersions | None:
    """Who tells which data a query reads. A ledger that only this process keeps does not know what others bring."""
    if settings.result_reuse == "off":
        return None
    is_told_by_ledger = settings.result_reuse == "ledger" and settings.ledger != "sqlite" and not lake.is_embedded
    return LedgerDataVersions(lake.ledger) if is_told_by_ledger else opened.data_versions


def _served_databases(lake: Lake, clock: Clock) -> Mapping[str, ServedDatabase]:
    """The databases of the table specs, by name; those of the contract's versions are there also without a table."""
    tables: dict[str, dict[str, TableSpec]] = {name: {} for name in (DATABASE, *DATABASES.values())}
    for spec in lake.tables.values():
        tables.setdefault(spec.database, {})[spec.name] = spec
    times = KnownTimes(lake.ledger, lake.glue)
    return {
        name: ServedDatabase(DescribingPlanner(specs, lake.glue, clock, times, name), specs)
        for name, specs in tables.items()
    }


def _range_explainer(lake: Lake, clock: Clock) -> RangeExplainer:
    def explain(spec: TableSpec, start: datetime, end: datetime, *, looks_at_lake: bool) -> Sequence[tuple[str, str]]:
        reasons = explain_range(
            lake.glue, lake.s3, lake.ledger, spec, start, end, now=clock(), looks_at_lake=looks_at_lake
        )
        return [(reason.code, reason.detail) for reason in reasons]

    return explain


def _inspection(lake: Lake, settings: Settings) -> InspectionQueue | None:
    """Reads the objects of a lake folder. Those of an account are read by the worker or the Lambda function."""
    mode: InspectionMode = "sample" if settings.inspect == "sample" else "full"
    if not lake.is_embedded or settings.inspect == "off":
        return None

    def inspector(between_chunks: Callable[[], None]) -> Inspector:
        maximum_bytes = settings.inspect_max_bytes
        return Inspector(lake.s3, lake.ledger, mode=mode, maximum_bytes=maximum_bytes, between_chunks=between_chunks)

    queue = InspectionQueue(inspector, lake.ledger, lake.tables.values())
    queue.start()
    return queue


def _marking(lake: Lake, settings: Settings, clock: Clock) -> MarkingThread | None:
    if not lake.is_embedded or not settings.mark_complete:
        return None
    marking = MarkingThread(SuccessMarkers(lake.s3, lake.ledger), lake.tables.values(), clock=clock)
    marking.start()
    return marking


def _lake_watch(lake: Lake, settings: Settings, clock: Clock, inspection: InspectionQueue | None) -> FolderWatch:
    on_recorded = None if inspection is None else inspection.put
    tracker = PartitionTracker(
        lake.glue,
        lake.ledger,
        lake.tables.values(),
        clock=clock,
        on_recorded=on_recorded,
        settle=Settling(lake.glue, lake.s3, lake.ledger),
    )
    reconciler = FolderReconciler(lake.s3.root, lake.tables.values(), tracker, lake.ledger)
    mode: WatchMode = "poll" if settings.watch == "poll" else "auto"
    watch = FolderWatch(
        reconciler,
        mode=mode,
        interval_seconds=settings.watch_interval_seconds,
        start_days=settings.watch_start_days,
        on_report=_log_foreign,
    )
    watch.start()
    return watch


def _data_sweeper(lake: Lake, settings: Settings, clock: Clock) -> DataSweeper:
    archive = lake.s3.archive if lake.is_embedded else None  # an account's objects go by the bucket's lifecycle

    def sweep_one(spec: TableSpec, is_stopping: Callable[[], bool]) -> SweepReport:
        return sweep(
            lake.glue,
            lake.s3,
            lake.ledger,
            spec,
            now=clock(),
            apply=settings.data_retention == "on",
            archive=archive,
            is_stopping=is_stopping,
        )

    sweeper = DataSweeper(sweep_one, lake.tables.values())
    sweeper.start()
    return sweeper


def _log_foreign(report: TrackingReport) -> None:
    """An operator has to see what does not belong; everything else is a number on /metrics."""
    for key, reason in report.foreign_samples:
        _LOG.warning("foreign object in the lake: %s: %s", key, reason)
    for failure in report.failed:
        _LOG.warning("object not registered: %s: %s: %s", failure.change.key, failure.code, failure.message)


def _size_bytes(folder: Path) -> int:
    size_bytes = 0
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            try:
                size_bytes += _size_bytes(Path(entry.path)) if entry.is_dir() else entry.stat().st_size
            except FileNotFoundError:
                continue  # deleted by the sweeper a moment ago
    return size_bytes
