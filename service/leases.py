"""Ownership between machines: who is alive, who has which role, which engine slots are taken, in one DynamoDB table.

    lease_id          holds
    owner#<name>      beat, a number that the process of that name raises every third of its lease;
                      `is_gone` once another took it for dead
    role#<role>       holder, the name of the one process that has the role (the sweeper)
    slots#<engine>    held, a map of query_id to name: the queries that run on the engine for all replicas

No clock is compared with another machine's. A process counts its own lease from before it asked for the renewal that
counted; others take it for dead only when they saw one and the same beat for a whole lease of their own time, and say
so by a write that fails if the beat changed. So a process that cannot renew stops driving queries before anybody may
adopt them, whatever the wall clocks say. A name that was taken for dead is never used again: its process goes on under
a new one, and every step stored under the old one fails (service.executions).

A process holds the roles and slots of its name for as long as that lives; they are taken over from a dead name at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from boto3.dynamodb.conditions import Attr, ConditionBase

from glue.dynamodb_table import TTL_ATTRIBUTE
from glue.dynamodb_values import Item
from service.dynamodb_items import ConditionFailed, DynamoDbTable
from service.dynamodb_tables import LEASES
from service.errors import StoreUnavailable
from service.execution_records import microseconds
from service.ownership import Ownership

_LOG = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
HELD_SHARE = 0.9
"""What of its lease a process uses: two machines' clocks need not run equally fast."""

_KEPT = timedelta(days=2)
_IS_NEW = Attr("lease_id").not_exists()


class LeaseOwnership:
    """Ownership by leases; see the module. `beats_by_itself` False leaves `renew` to the caller."""

    def __init__(
        self,
        dynamodb: Any,
        table_name: str,
        *,
        lease_seconds: float,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        beats_by_itself: bool = True,
    ) -> None:
        # a renewal that is tried for longer than until the next one is due would only delay it
        self._table = DynamoDbTable(dynamodb, table_name, key=LEASES.hash_key.name, attempts=1)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._beats_by_itself = beats_by_itself
        self._lock = threading.Lock()
        self._owner = uuid4().hex
        self._beat = 0
        self._held_until = float("-inf")
        self._seen: dict[str, tuple[int, float]] = {}
        self._is_released = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def owner(self) -> str:
        return self._owner

    def start(self) -> None:
        """Raises StoreUnavailable."""
        self._begin()
        if self._beats_by_itself and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
            self._thread.start()

    def is_held(self, owner: str) -> bool:
        return owner == self._owner and self._monotonic() < self._held_until and not self._is_released.is_set()

    def is_gone(self, owner: str) -> bool:
        if owner == self._owner and not self._is_released.is_set():
            return False
        item = self._table.get(_owner_id(owner))
        if item is None or item.get("is_gone"):
            self._seen.pop(owner, None)
            return True
        now, beat = self._monotonic(), int(item["beat"])
        seen_beat, since = self._seen.setdefault(owner, (beat, now))
        if seen_beat != beat:
            self._seen[owner] = (beat, now)
            return False
        if now - since < int(item["lease_ms"]) / 1000:
            return False
        return self._buried(owner, beat)

    def has_role(self, role: str) -> bool:
        me = self._owner
        item = self._table.get(_role_id(role))
        holder = None if item is None else str(item["holder"])
        if holder != me:
            if holder is not None and not self.is_gone(holder):
                return False
            is_as_seen: ConditionBase = _IS_NEW if holder is None else Attr("holder").eq(holder)
            try:
                self._table.update(_role_id(role), {"holder": me}, condition=is_as_seen | Attr("holder").eq(me))
            except ConditionFailed:
                return False
            _LOG.info("this process has the role %s", role)
        return self.is_held(me)

    def renew(self) -> None:
        """Raises the beat. When this process was taken for dead it gets a new name. Never raises StoreUnavailable."""
        asked_at = self._monotonic()
        owner, beat = self._owner, self._beat
        changes = {"beat": beat + 1, TTL_ATTRIBUTE: self._ttl()}
        is_alive = Attr("beat").eq(beat) & Attr("is_gone").not_exists()
        try:
            try:
                self._table.update(_owner_id(owner), changes, condition=is_alive)
            except ConditionFailed as failed:
                # boto3 may have tried twice, and the first time had counted
                if failed.item is None or failed.item.get("is_gone") or failed.item["beat"] != beat + 1:
                    _LOG.warning("this process was taken for dead and goes on under a new name")
                    self._begin()
                    return
        except StoreUnavailable as error:
            _LOG.warning("the lease could not be renewed: %s", error)
            return
        with self._lock:
            self._beat = beat + 1
            self._held_until = asked_at + self._lease_seconds * HELD_SHARE

    def release(self) -> None:
        self._is_released.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self._table.delete(_owner_id(self._owner))
        except StoreUnavailable as error:
            _LOG.warning("the lease could not be given back; it ends by itself: %s", error)

    def _begin(self) -> None:
        """Takes a new name."""
        asked_at, owner = self._monotonic(), uuid4().hex
        item = {
            "lease_id": _owner_id(owner),
            "beat": 1,
            "lease_ms": round(self._lease_seconds * 1000),
            TTL_ATTRIBUTE: self._ttl(),
        }
        self._table.put(item)
        with self._lock:
            self._owner = owner
            self._beat = 1
            self._held_until = asked_at + self._lease_seconds * HELD_SHARE

    def _buried(self, owner: str, beat: int) -> bool:
        """Says that the process of this name is dead; False when it raised its beat after all."""
        try:
            self._table.update(_owner_id(owner), {"is_gone": 1}, condition=Attr("beat").eq(beat))
        except ConditionFailed as failed:
            return failed.item is None or bool(failed.item.get("is_gone"))
        self._seen.pop(owner, None)
        _LOG.warning("the process %s has not renewed its lease: others take up its queries", owner)
        return True

    def _run(self) -> None:
        while not self._is_released.wait(self._lease_seconds / BEATS_PER_LEASE):
            try:
                self.renew()
            except Exception:  # without a heartbeat others take this process for dead: the next one may succeed
                _LOG.exception("the lease could not be renewed")

    def _ttl(self) -> int:
        return microseconds(self._clock() + _KEPT) // 1_000_000


class LeasedSlots:
    """Slots of the living names in the leases table. Who adopts a query has its slot; a dead name's are free."""

    def __init__(self, dynamodb: Any, table_name: str, *, engine_name: str, limit: int, ownership: Ownership) -> None:
        self._table = DynamoDbTable(dynamodb, table_name, key=LEASES.hash_key.name)
        self._slots_id = f"slots#{engine_name}"
        self._limit = limit
        self._ownership = ownership
        self._lock = threading.Lock()
        self._owed: list[tuple[str, str]] = []

    def take(self, query_id: str) -> bool:
        self._settle()
        full = self._taken(query_id)
        if full is None:
            return True
        return self._freed(full) and self._taken(query_id) is None

    def give_back(self, query_id: str) -> None:
        with self._lock:
            self._owed.append((query_id, self._ownership.owner))
        try:
            self._settle()
        except StoreUnavailable as error:
            _LOG.warning("engine slots could not be given back yet: %s", error)

    def _settle(self) -> None:
        """Gives back what is owed. Raises StoreUnavailable; then it is still owed."""
        while True:
            with self._lock:
                if not self._owed:
                    return
                owed = self._owed[0]
            self._remove([owed])
            with self._lock, suppress(ValueError):  # another thread was as quick
                self._owed.remove(owed)

    def _taken(self, query_id: str) -> Item | None:
        """None when the query has a slot now; otherwise what is held."""
        place = f"held.{query_id}"
        may_have = Attr("held").size().lt(self._limit) | Attr(place).exists()
        for _ in range(2):
            try:
                self._table.update(
                    self._slots_id,
                    {place: self._ownership.owner},
                    condition=Attr("held").exists() & may_have,
                    has_paths=True,
                )
            except ConditionFailed as failed:
                if failed.item is not None:
                    held: Item = failed.item["held"]
                    return held
                self._make()
            else:
                return None
        raise AssertionError("the slots vanish as they are made")

    def _make(self) -> None:
        try:
            self._table.put({"lease_id": self._slots_id, "held": {}}, condition=_IS_NEW)
        except ConditionFailed:
            return

    def _freed(self, held: Item) -> bool:
        """Takes the slots from names that are gone; whether there were any."""
        gone = {owner for owner in set(held.values()) if self._ownership.is_gone(owner)}
        return self._remove([(query_id, owner) for query_id, owner in held.items() if owner in gone])

    def _remove(self, held: Iterable[tuple[str, str]]) -> bool:
        is_any = False
        for query_id, owner in held:
            place = f"held.{query_id}"
            try:
                self._table.update(self._slots_id, {place: None}, condition=Attr(place).eq(owner), has_paths=True)
            except ConditionFailed:
                continue
            is_any = True
        return is_any


def _owner_id(owner: str) -> str:
    return f"owner#{owner}"


def _role_id(role: str) -> str:
    return f"role#{role}"
