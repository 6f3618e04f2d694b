"""The envelope: what every record of the lake wears, events, metrics and logs alike, and how its versions name it.

For whoever writes into the lake (loading, the sample lake, collectors) and whoever must tell a proper record from
another. A record is one line of JSON; the payload `data` is itself JSON, carried as text. Times are ms since 1970
(UTC). Names and meaning of the fields are data: glue/tables/envelope-v0.yaml, envelope-v1.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import orjson

_BIGINT = range(-(2**63), 2**63)

OPERATOR_CUSTOMER = 1
FIRST_CUSTOMER = 11_000


@dataclass(frozen=True)
class RecordFields:
    """What an envelope calls the parts of a record. `services` all carry the name of the service."""

    resource: str
    customer: str
    operation: str
    services: tuple[str, ...]
    created: str
    tags: str
    arrived: str
    data: str = "data"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields in the order they are written in."""
        return (
            self.resource, self.customer, self.operation, self.services[0], self.created, self.tags, self.arrived,
            *self.services[1:], self.data,
        )  # fmt: skip


V0 = RecordFields(
    resource="resourceid",
    customer="customerid",
    operation="operationid",
    services=("servicename", "service"),
    created="createdtimestamp",
    tags="datatags",
    arrived="arrivaltimestamp",
)


def record_line(
    *,
    created_milliseconds: int,
    arrived_milliseconds: int,
    service_name: str,
    customer: int,
    tags: Mapping[str, str],
    data_text: str,
    resource: str = "",
    operation: str = "",
    fields: RecordFields = V0,
) -> bytes:
    """One record as a line of JSON with its newline. `data_text` is the payload, JSON as text."""
    values = (
        resource, customer, operation, service_name, created_milliseconds, tags, arrived_milliseconds,
        *(service_name for _ in fields.services[1:]), data_text,
    )  # fmt: skip
    return orjson.dumps(dict(zip(fields.names, values, strict=True))) + b"\n"


def check_record(record: object, fields: RecordFields = V0) -> list[str]:
    """What is wrong with a record of an envelope, one sentence each; empty when it is proper.

    A missing field reads as null in every query, so it is named too; unknown fields are not in the way.
    """
    if not isinstance(record, Mapping):
        return ["the record is not a JSON object"]
    problems = [f"{name} is missing" for name in fields.names if name not in record]
    for name in (fields.resource, fields.operation, *fields.services, fields.data):
        if not isinstance(record.get(name, ""), str):
            problems.append(f"{name} is not a text")
    for name in (fields.customer, fields.created, fields.arrived):
        value = record.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value not in _BIGINT:
            problems.append(f"{name} is not a whole number of 64 bits")
    tags = record.get(fields.tags, {})
    if not isinstance(tags, Mapping) or not all(isinstance(v, str) for pair in tags.items() for v in pair):
        problems.append(f"{fields.tags} is not a map of text to text")
    if isinstance(record.get(fields.data), str) and not _is_json(record[fields.data]):
        problems.append(f"{fields.data} is not JSON")
    first, *others = fields.services
    problems += [f"{other} differs from {first}" for other in others if record.get(other) != record.get(first)]
    return problems


def epoch_milliseconds(value: int | float | Decimal) -> int:
    """A number as a time in ms since 1970, its unit told by its size: Secor's own rule
    (TimestampedMessageParser.toMillis).

    From 10^18 on nanoseconds, from 10^15 microseconds, from 10^12 milliseconds, below (and before 1970) seconds.
    Fractions of a millisecond are cut off towards the past. Raises ValueError for NaN and infinities.
    """
    if isinstance(value, float):
        # A float of seconds holds microseconds and not more: rounding there undoes 1521911725.733 * 1000 = ...732.99
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} is not a time")
        if abs(value) < 1e12:
            return round(value * 1_000_000) // 1000
        value = Decimal(value)
    elif isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a time")
    if value >= 10**18:
        return int(value // 1_000_000)
    if value >= 10**15:
        return int(value // 1000)
    if value >= 10**12:
        return int(value // 1)
    scaled = value * 1000
    return int(scaled // 1) - (1 if isinstance(scaled, Decimal) and scaled < 0 and scaled % 1 else 0)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
