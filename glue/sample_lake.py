"""A lake to look at on a fresh machine: seven days of events, metrics and logs of a small control plane, ending now.

Five services and six customers (and the operator, 1) live through daily rhythm, a few incidents with bursts of
errors, and records that arrive late, up to 30 minutes, some of them in the folder of the minute they arrived in. All
of it follows from a seed and an end. The last day has a folder for each minute, the days before one for every tenth.

The lake is made once: seed and end of the first call are remembered in the ledger before the first object is
written, so a call that was killed is done again over itself, and one more call adds nothing.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from isal import igzip

from glue.aws_clients import GlueClient, S3Client
from glue.envelope import FIRST_CUSTOMER, OPERATOR_CUSTOMER, RecordFields, record_line
from glue.layout import CommitBatch
from glue.ledger import ObjectRecord, PartitionLedger
from glue.partition_spec import PartitionSpec
from glue.registration import register_partitions
from glue.table_spec import DEFAULT_DATABASE, TableSpec

DAYS = 7
SAMPLE_LOAD = "sample"
"""The name of the sample among the ledger's loads: begun once for a data directory."""
TABLES = ("events", "metrics", "logs", "data_hist_v1.events")
_DAYS_OF_LATER_VERSIONS = 1
_MINUTE, _DAY = 60_000, 86_400_000
_COARSE_MINUTES = 10
_KAFKA_PARTITIONS = 4
_LATEST_ARRIVAL = 30 * _MINUTE
_CUSTOMERS = (OPERATOR_CUSTOMER, *range(FIRST_CUSTOMER, FIRST_CUSTOMER + 6))
_CUSTOMER_WEIGHTS = (10, 34, 22, 14, 10, 7, 3)
_SERVICES = ("api-gateway", "iam-admin", "billing", "scheduler", "filebeat")
_SERVICE_WEIGHTS = (46, 24, 8, 14, 8)
_REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
_PATHS = ("/v1/users", "/v1/users/{id}", "/v1/orders", "/v1/orders/{id}", "/v1/search", "/v1/reports", "/health")
_NAMES = ("ada", "barbara", "claude", "dennis", "edsger", "frances", "grace", "hedy", "ivan", "joan", "ken", "lynn")
_JOBS = ("compact-lake", "rotate-keys", "send-invoices", "expire-results", "rebuild-index")


class SampleFailed(Exception):
    """The sample lake could not be made; says why."""


@dataclass(frozen=True)
class SampleReport:
    """What a call made. `was_there` means that it made nothing, as an earlier call had made the lake."""

    was_there: bool
    seed: int
    end_milliseconds: int
    rows: int
    objects: int
    partitions: int
    size_bytes: int


@dataclass(frozen=True)
class _Incident:
    """A service in trouble for a while."""

    service: str
    start: int
    end: int
    code: str
    message: str


@dataclass(frozen=True)
class _Record:
    created: int
    arrived: int
    service: str
    customer: int
    tags: Mapping[str, str]
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class SampleLake:
    """Makes the sample lake through the clients it is handed."""

    glue_client: GlueClient
    s3_client: S3Client
    ledger: PartitionLedger
    specs: Mapping[str, TableSpec]
    clock: Callable[[], datetime]
    seed: int = 1
    days: int = DAYS
    sleep: Callable[[float], None] = time.sleep

    def create(self, end: datetime | None = None) -> SampleReport:
        """Make the lake, ending at `end` (now without it). Raises SampleFailed when the catalogue does not take it."""
        end_milliseconds = round((end or self.clock()).timestamp() * 1000) // _MINUTE * _MINUTE
        asked = {"seed": self.seed, "end": end_milliseconds, "days": self.days}
        facts = self.ledger.begin_load(SAMPLE_LOAD, "", asked)
        seed, end_milliseconds, days = (int(str(facts[name])) for name in ("seed", "end", "days"))
        totals = [0, 0, 0, 0]
        made_any = False
        for name in TABLES:
            finished = self.ledger.finished_load(f"{SAMPLE_LOAD}-{name}")
            if finished is None:
                made_any = True
                finished = self._create_table(self.specs[name], seed, end_milliseconds, days)
            for index, member in enumerate(("rows", "objects", "partitions", "size_bytes")):
                totals[index] += int(str(finished[member]))
        return SampleReport(not made_any, seed, end_milliseconds, *totals)

    def _create_table(self, spec: TableSpec, seed: int, end: int, days: int) -> Mapping[str, object]:
        if spec.record is None:
            raise SampleFailed(f"{spec.reference} has no envelope")
        world = _World(seed, end, days if spec.database == DEFAULT_DATABASE else min(days, _DAYS_OF_LATER_VERSIONS))
        offsets = [0] * _KAFKA_PARTITIONS
        objects: list[ObjectRecord] = []
        for number, minute in enumerate(world.minutes()):
            records = list(world.records(spec.name, minute))
            kafka_partition = number % _KAFKA_PARTITIONS
            partition = PartitionSpec.from_milliseconds(minute, scheme=spec.layout.scheme)
            key = spec.layout.key(spec.topic, partition, CommitBatch.single(kafka_partition, offsets[kafka_partition]))
            body = igzip.compress(b"".join(_line(record, spec.record) for record in records), 2, mtime=0)
            self.s3_client.put_object(Bucket=spec.bucket, Key=key, Body=body)
            offsets[kafka_partition] += len(records)
            created = [record.created for record in records]
            objects.append(
                ObjectRecord(
                    partition, key, len(body), _moment(minute + _MINUTE), len(records), min(created), max(created)
                )
            )
        report = register_partitions(self.glue_client, spec, (o.partition for o in objects), sleep=self.sleep)
        if report.failed:
            failed = report.failed[0]
            raise SampleFailed(f"the catalogue refused {failed.partition}: {failed.code}: {failed.message}")
        facts = {
            "rows": sum(record.row_count or 0 for record in objects),
            "objects": len(objects),
            "partitions": len({record.partition for record in objects}),
            "size_bytes": sum(record.size_bytes for record in objects),
        }
        self.ledger.finish_load(f"{SAMPLE_LOAD}-{spec.reference}", spec.reference, objects, facts, now=self.clock())
        return facts


class _World:
    """What happened, told by a seed, an end and a number of days."""

    def __init__(self, seed: int, end: int, days: int) -> None:
        self._seed, self._end, self._days = seed, end, days
        self._incidents = self._plan_incidents()

    def minutes(self) -> Iterator[int]:
        """The starts of the folders, in ms since 1970, oldest first."""
        coarse = _COARSE_MINUTES * _MINUTE
        minute = -((self._end - self._days * _DAY) // -coarse) * coarse
        while minute + _MINUTE <= self._end:
            yield minute
            minute += _MINUTE if minute >= self._end - _DAY else coarse

    def records(self, table: str, minute: int) -> Iterable[_Record]:
        """What lies in the folder of this minute, at least one record."""
        chance = random.Random(f"{self._seed}/{table}/{minute}")  # noqa: S311  a sample, no secret
        if table == "metrics":
            return self._metrics(chance, minute)
        per_minute = 9 if minute >= self._end - _DAY else 50
        count = max(1, round(per_minute * self._activity(minute) * chance.uniform(0.7, 1.3)))
        make = self._event if table == "events" else self._log
        return [self._in_time(chance, minute, make) for _ in range(count)]

    def _plan_incidents(self) -> list[_Incident]:
        chance = random.Random(f"{self._seed}/incidents")  # noqa: S311  a sample, no secret
        kinds = (
            ("api-gateway", "UpstreamTimeout", "upstream orders did not answer within 5000 ms"),
            ("iam-admin", "DirectoryUnavailable", "LDAP directory ldap-2 refused the connection"),
            ("billing", "PaymentProviderError", "payment provider answered 502"),
            ("scheduler", "OutOfMemory", "worker was killed: out of memory"),
        )
        incidents = []
        for _ in range(self._days):
            service, code, message = chance.choice(kinds)
            start = self._end - chance.randrange(30 * _MINUTE, self._days * _DAY)
            incidents.append(_Incident(service, start, start + chance.randrange(12, 45) * _MINUTE, code, message))
        return incidents

    def _incident(self, service: str, moment: int) -> _Incident | None:
        return next((i for i in self._incidents if i.service == service and i.start <= moment < i.end), None)

    def _activity(self, moment: int) -> float:
        """Busy at noon, quiet at night and at the weekend."""
        day = math.sin((moment % _DAY / _DAY - 0.25) * 2 * math.pi)
        is_weekend = (moment // _DAY + 4) % 7 in (0, 6)
        return (1 + 0.6 * day) * (0.6 if is_weekend else 1.0)

    def _in_time(
        self, chance: random.Random, minute: int, make: Callable[[random.Random, int], tuple[str, dict[str, Any]]]
    ) -> _Record:
        created = minute + chance.randrange(_MINUTE)
        arrived = created + chance.randrange(80, 4000)
        luck = chance.random()
        if luck < 0.015:  # late, and put where it arrived
            arrived, created = created, created - chance.randrange(_MINUTE, _LATEST_ARRIVAL)
        elif luck < 0.03:  # late, and put where it belongs
            arrived = min(created + chance.randrange(_MINUTE, _LATEST_ARRIVAL), max(self._end, created))
        service, payload = make(chance, created)
        tags = {"region": chance.choice(_REGIONS), "environment": "production", "version": f"2.{created // _DAY % 9}.1"}
        return _Record(created, arrived, service, _customer(chance), tags, payload)

    def _event(self, chance: random.Random, created: int) -> tuple[str, dict[str, Any]]:
        service = chance.choices(_SERVICES, _SERVICE_WEIGHTS)[0]
        incident = self._incident(service, created)
        has_failed = chance.random() < (0.55 if incident else 0.012)
        payload = _EVENTS[service](chance, has_failed, 6.0 if incident else 1.0)
        payload["level"] = "ERROR" if has_failed else "WARN" if chance.random() < 0.03 else "INFO"
        payload["trace_id"] = f"{chance.getrandbits(64):016x}"
        if has_failed:
            code, message = (incident.code, incident.message) if incident else ("Unexpected", "unexpected failure")
            payload["error"] = {"code": code, "message": message, "is_retryable": incident is not None}
        return service, payload

    def _log(self, chance: random.Random, created: int) -> tuple[str, dict[str, Any]]:
        service = chance.choices(_SERVICES, _SERVICE_WEIGHTS)[0]
        incident = self._incident(service, created)
        if incident and chance.random() < 0.6:
            level, message = "ERROR", f"{incident.code}: {incident.message}"
        elif chance.random() < 0.05:
            level, message = "WARN", f"slow call to {chance.choice(_JOBS)} took {chance.randrange(900, 4000)} ms"
        else:
            level = "INFO"
            message = f"{chance.choice(('served', 'handled', 'stored'))} {chance.randrange(1, 400)} items for request"
        logger = f"{service.replace('-', '.')}.{chance.choice(('http', 'store', 'worker'))}"
        host = f"{service}-{chance.randrange(3)}"
        return service, {
            "level": level,
            "logger": logger,
            "message": message,
            "host": host,
            "thread": chance.randrange(16),
        }

    def _metrics(self, chance: random.Random, minute: int) -> Iterator[_Record]:
        for service in _SERVICES:
            is_troubled = self._incident(service, minute) is not None
            load = self._activity(minute) * (1.9 if is_troubled else 1.0)
            for number in range(2):
                host = f"{service}-{number}"
                values = (
                    ("cpu_utilization", "percent", min(100.0, 28 * load * chance.uniform(0.8, 1.25))),
                    (
                        "latency_p95",
                        "milliseconds",
                        85 * load * (4.0 if is_troubled else 1.0) * chance.uniform(0.85, 1.2),
                    ),
                    ("queue_depth", "count", float(round(6 * load * load * chance.uniform(0.2, 2.0)))),
                )
                for metric, unit, value in values:
                    created = minute + chance.randrange(_MINUTE)
                    tags = {"region": _REGIONS[number], "environment": "production", "host": host}
                    payload = {"metric": metric, "value": round(value, 3), "unit": unit, "host": host}
                    yield _Record(
                        created, created + chance.randrange(50, 900), service, OPERATOR_CUSTOMER, tags, payload
                    )


_Event = Callable[[random.Random, bool, float], dict[str, Any]]


def _api_gateway(chance: random.Random, has_failed: bool, slowness: float) -> dict[str, Any]:
    status = (
        chance.choice((500, 502, 504))
        if has_failed
        else chance.choices((200, 201, 204, 301, 404), (70, 9, 8, 3, 10))[0]
    )
    request = {
        "method": chance.choices(("GET", "POST", "PUT", "DELETE"), (70, 18, 8, 4))[0],
        "path": chance.choice(_PATHS),
        "status": status,
        "latency_ms": round(chance.lognormvariate(3.6, 0.7) * slowness, 2),
        "bytes": chance.randrange(120, 60_000),
    }
    client = {"ip": f"10.{chance.randrange(4)}.{chance.randrange(256)}.{chance.randrange(1, 255)}", "agent": "sdk/3.1"}
    return {"event_type": "request_completed", "request": request, "client": client}


def _iam_admin(chance: random.Random, has_failed: bool, _slowness: float) -> dict[str, Any]:
    name = chance.choice(_NAMES)
    kinds = ("login", "logout", "token_issued", "role_assigned", "policy_changed")
    kind = "login_failed" if has_failed else chance.choices(kinds, (50, 25, 15, 7, 3))[0]
    user = {
        "id": 1000 + _NAMES.index(name),
        "name": name,
        "roles": sorted(chance.sample(("admin", "viewer", "editor"), 2)),
    }
    return {
        "event_type": kind,
        "user": user,
        "mfa": chance.random() < 0.8,
        "source_ip": f"192.0.2.{chance.randrange(1, 255)}",
    }


def _billing(chance: random.Random, has_failed: bool, _slowness: float) -> dict[str, Any]:
    kind = "payment_failed" if has_failed else chance.choice(("invoice_created", "payment_settled"))
    amount = round(chance.lognormvariate(4.5, 1.0), 2)
    invoice = {"id": f"INV-{chance.randrange(10**6):06d}", "amount": amount, "currency": chance.choice(("EUR", "USD"))}
    return {"event_type": kind, "invoice": invoice}


def _scheduler(chance: random.Random, has_failed: bool, slowness: float) -> dict[str, Any]:
    kind = "job_failed" if has_failed else chance.choice(("job_started", "job_finished"))
    duration = round(chance.lognormvariate(7, 1) * slowness)
    job = {"name": chance.choice(_JOBS), "attempt": chance.choice((1, 1, 1, 2, 3)), "duration_ms": duration}
    return {"event_type": kind, "job": job, "node": f"worker-{chance.randrange(8)}"}


def _filebeat(chance: random.Random, has_failed: bool, _slowness: float) -> dict[str, Any]:
    kind = "harvester_failed" if has_failed else chance.choice(("harvester_started", "file_rotated", "batch_published"))
    file = {"path": f"/var/log/{chance.choice(_SERVICES)}/app.log", "offset": chance.randrange(10**7)}
    return {"event_type": kind, "file": file, "published": chance.randrange(1, 2000)}


_EVENTS: Mapping[str, _Event] = {
    "api-gateway": _api_gateway,
    "iam-admin": _iam_admin,
    "billing": _billing,
    "scheduler": _scheduler,
    "filebeat": _filebeat,
}


def _customer(chance: random.Random) -> int:
    customer: int = chance.choices(_CUSTOMERS, _CUSTOMER_WEIGHTS)[0]
    return customer


def _line(record: _Record, fields: RecordFields) -> bytes:
    return record_line(
        created_milliseconds=record.created,
        arrived_milliseconds=record.arrived,
        service_name=record.service,
        customer=record.customer,
        tags=record.tags,
        data_text=orjson.dumps(record.payload).decode("utf-8"),
        fields=fields,
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
