"""UsageStore in one DynamoDB table: for several replicas. One item for each tenant and day.

    usage_id            <day>#<tenant>
    used_bytes          what counts against the budget
    scanned_bytes       of queries that ended
    query_count         how many ended
    q:<query id>        the estimate of an open charge
    kn:<key id>         queries of that key that ended, kb:<key id> their bytes

Everything about a charge is one conditional write of one item, so that it counts once whatever is repeated or cut off.
The item has a count for each key that was used that day, for MAXIMUM_KEYS at most; the rest is counted as OTHER_KEYS
(an item of DynamoDB holds 400 KB).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase
from boto3.dynamodb.conditions import Key as KeyCondition

from glue.dynamodb_table import TTL_ATTRIBUTE
from glue.dynamodb_values import Item
from service.dynamodb_items import ConditionFailed, DynamoDbTable
from service.usage import Charge, DayUsage, KeyUsage, Reservation

KEPT = timedelta(days=400)
MAXIMUM_KEYS = 1_000
OTHER_KEYS = "(others)"
_OPEN, _KEY_COUNT, _KEY_BYTES = "q:", "kn:", "kb:"


class DynamoDbUsageStore:
    """See the module and service.usage."""

    def __init__(self, dynamodb: Any, table_name: str) -> None:
        # a tenant that submits many queries at once writes one item many times: it is waited out for longer
        self._table = DynamoDbTable(dynamodb, table_name, key="usage_id", attempts=10)

    def reserve(self, charge: Charge, *, limit_bytes: int | None, needed_bytes: int) -> Reservation:
        name = _OPEN + charge.query_id
        condition: ConditionBase = Attr(name).not_exists()
        if limit_bytes is not None:
            room: ConditionBase = Attr("used_bytes").lte(limit_bytes - needed_bytes)
            if needed_bytes <= limit_bytes:
                room |= Attr("used_bytes").not_exists()
            condition &= room
        try:
            item = self._table.update(
                _usage_id(charge.tenant, charge.day),
                {
                    name: charge.estimated_bytes,
                    "day": charge.day.isoformat(),
                    "tenant": charge.tenant,
                    TTL_ATTRIBUTE: _forgotten_at(charge.day),
                },
                condition=condition,
                added={"used_bytes": charge.estimated_bytes},
            )
        except ConditionFailed as failed:
            there = failed.item or {}
            return Reservation(name in there, there.get("used_bytes", 0) - there.get(name, 0))
        return Reservation(True, item["used_bytes"] - charge.estimated_bytes)

    def settle(self, charge: Charge, key_id: str, scanned_bytes: int) -> None:
        item = self._table.get(_usage_id(charge.tenant, charge.day)) or {}
        keys = [name for name in item if name.startswith(_KEY_COUNT)]
        if _KEY_COUNT + key_id not in item and len(keys) >= MAXIMUM_KEYS:
            key_id = OTHER_KEYS
        self._close(
            charge,
            item,
            {
                "query_count": 1,
                "scanned_bytes": scanned_bytes,
                _KEY_COUNT + key_id: 1,
                _KEY_BYTES + key_id: scanned_bytes,
            },
            scanned_bytes,
        )

    def withdraw(self, charge: Charge) -> None:
        self._close(charge, self._table.get(_usage_id(charge.tenant, charge.day)) or {}, {}, 0)

    def used_bytes(self, tenant: str, day: date) -> int:
        item = self._table.get(_usage_id(tenant, day))
        return 0 if item is None else item.get("used_bytes", 0)

    def by_day(self, first: date, last: date, tenant: str | None) -> Sequence[DayUsage]:
        return [
            DayUsage(
                date.fromisoformat(item["day"]),
                item["tenant"],
                item.get("query_count", 0),
                item.get("scanned_bytes", 0),
                item.get("used_bytes", 0),
            )
            for item in self._items(first, last, tenant)
        ]

    def by_key(self, first: date, last: date, tenant: str | None) -> Sequence[KeyUsage]:
        return [
            KeyUsage(
                date.fromisoformat(item["day"]),
                item["tenant"],
                name.removeprefix(_KEY_COUNT),
                item[name],
                item.get(_KEY_BYTES + name.removeprefix(_KEY_COUNT), 0),
            )
            for item in self._items(first, last, tenant)
            for name in sorted(item)
            if name.startswith(_KEY_COUNT)
        ]

    def open_charges(self, first: date, last: date) -> Sequence[Charge]:
        return [
            Charge(name.removeprefix(_OPEN), item["tenant"], date.fromisoformat(item["day"]), item[name])
            for item in self._items(first, last, None)
            for name in sorted(item)
            if name.startswith(_OPEN)
        ]

    def forget(self, before: date) -> None:
        """Nothing: DynamoDB deletes items by their time to live."""

    def close(self) -> None:
        """Nothing: the client belongs to whoever made it."""

    def _close(self, charge: Charge, item: Item, added: dict[str, int], used_bytes: int) -> None:
        """Ends an open charge in one write; nothing when it is not open."""
        name = _OPEN + charge.query_id
        if name not in item:
            return
        estimated_bytes = item[name]
        try:
            self._table.update(
                _usage_id(charge.tenant, charge.day),
                {name: None},
                condition=Attr(name).eq(estimated_bytes),
                added={**added, "used_bytes": used_bytes - estimated_bytes},
            )
        except ConditionFailed:
            return  # somebody else, or this very call sent twice, has closed it

    def _items(self, first: date, last: date, tenant: str | None) -> Iterator[Item]:
        """The items of these days, by day and tenant."""
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        if tenant is not None:
            found = self._table.get_many([_usage_id(tenant, day) for day in days])
        else:
            found = {}
            for day in days:
                keys = self._table.query("by_day", KeyCondition("day").eq(day.isoformat()))
                found |= self._table.get_many([key["usage_id"] for key in keys])
        yield from (found[usage_id] for usage_id in sorted(found))


def _usage_id(tenant: str, day: date) -> str:
    return f"{day.isoformat()}#{tenant}"


def _forgotten_at(day: date) -> int:
    return int((datetime(day.year, day.month, day.day, tzinfo=UTC) + KEPT).timestamp())
