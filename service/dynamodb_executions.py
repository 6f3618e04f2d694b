"""The execution store in a DynamoDB table: for several replicas.

    item_id                          holds
    execution#<query_id>             the execution: its record (service.execution_records), indexed
    document#<query_id>#<digest>#n   a piece of a text that is too long for the execution's own item
    idempotency#<digest>             the query_id of the execution that a tenant submitted with a key
    reuse#<reuse key>                the query_id that has the lead of a reuse key (service.reuse)

    index by_tenant                  tenant_key, newest        listings
    index by_tenant_and_status       tenant_status, newest     listings of one status
    index by_upkeep                  upkeep, upkeep_at         what is unfinished, has expired, is to be forgotten

Every step is one conditional write; an execution and its idempotency key are one transaction. Reads by id are strongly
consistent; the indexes follow within moments, so what they find is looked at again before anything is made of it.

Texts of the caller's and the engine's making (SQL, columns, warnings) are compressed into documents: small ones lie in
the item, longer ones in items of their own, named by their content, and never change. An item has at most 400 KB, and
an update costs by the size of the whole item: so no step pays for a long text but the one that brings it.

`ttl` is a backstop behind the sweeper: DynamoDB deletes within days what nobody forgot in time. An item past it that is
still there is not there.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
import time
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson
from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from glue.dynamodb_table import TTL_ATTRIBUTE
from glue.dynamodb_values import Item
from service.dynamodb_items import ConditionFailed, DynamoDbTable
from service.dynamodb_tables import EXECUTIONS
from service.errors import StoreUnavailable
from service.execution_records import (
    Record,
    ending_record,
    execution_of,
    is_kept_after,
    kept_record,
    microseconds,
    moment_of,
    next_attempt_record,
    plan_record,
    progress_record,
    record_of,
    spooled_record,
)
from service.executions import Ending, Plan, StoredExecution, UnfinishedExecution
from service.model import MAXIMUM_RETENTION_MINUTES, TERMINAL_STATUSES, QueryStatus, Statistics

_DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "asked": ("query", "plan_inputs", "freshness"),
    "plan": ("engine_sql", "json_columns", "planned_columns"),
    "outcome": ("columns", "error", "warnings"),
}
"""Members of a record that can be long, by the document that holds them. A document changes as a whole."""

_IN_DOCUMENTS = frozenset(member for members in _DOCUMENTS.values() for member in members)

INLINE_BYTES = 8 * 1024
PIECE_BYTES = 380 * 1024
"""An item has at most 400 KB, names of attributes included (DynamoDB guide, "Quotas")."""

_REMEMBERED_DOCUMENTS = 32
_REMEMBERED_TENANTS = 4096
_LONGEST_UNFINISHED = timedelta(days=30)
_BACKSTOP = timedelta(days=2)
_UNFINISHED_STATUSES = (QueryStatus.QUEUED, QueryStatus.RUNNING)
_IS_UNFINISHED = Attr("status").is_in([status.value for status in _UNFINISHED_STATUSES])
_IS_UNSEEN = Attr("engine_id").not_exists() & Attr("is_starting").eq(0)
_ATTEMPTS_TO_AGREE = 20


class DynamoDbExecutionStore:
    """ExecutionStore in DynamoDB. `remembered_for` is how long after its expiry an execution is answered for at all."""

    def __init__(
        self,
        dynamodb: Any,
        table_name: str,
        *,
        clock: Callable[[], datetime],
        remembered_for: timedelta = timedelta(days=7),
        count_seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = DynamoDbTable(dynamodb, table_name, key=EXECUTIONS.hash_key.name, sleep=sleep)
        self._clock = clock
        self._remembered_for = remembered_for
        self._count_seconds = count_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._documents: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._tenant_keys: OrderedDict[str, str] = OrderedDict()
        self._terminal_counts: tuple[float, dict[QueryStatus, int]] | None = None

    # --- one execution ------------------------------------------------------------------------------------------

    def insert(self, stored: StoredExecution) -> StoredExecution:
        item = self._item(record_of(stored))
        is_new = Attr("item_id").not_exists()
        if stored.idempotency_key is None:
            # where it fails boto3 tried twice, and the first time had counted: nobody else has this query_id
            with suppress(ConditionFailed):
                self._table.put(item, condition=is_new)
            return stored
        key_id = _idempotency_id(stored.execution.tenant, stored.idempotency_key)
        key_item = {"item_id": key_id, "query_id": stored.query_id, TTL_ATTRIBUTE: self._latest_ttl()}
        is_free: ConditionBase = is_new
        for _ in range(_ATTEMPTS_TO_AGREE):
            try:
                self._table.put_all([(key_item, is_free), (item, is_new)])
            except ConditionFailed:
                held = self._table.get(key_id)
                holder = None if held is None else str(held["query_id"])
                earlier = None if holder is None else self.get(holder)
                if earlier is not None:
                    return earlier
                # the execution of that key was forgotten, its key not: the process died in between
                is_free = is_new if holder is None else Attr("query_id").eq(holder)
            else:
                return stored
        raise AssertionError("an idempotency key changed hands without end")

    def get(self, query_id: str) -> StoredExecution | None:
        item = self._table.get(_execution_id(query_id))
        return None if item is None else self._living(item)

    def by_idempotency_key(self, tenant: str, idempotency_key: str) -> StoredExecution | None:
        held = self._table.get(_idempotency_id(tenant, idempotency_key))
        return None if held is None else self.get(held["query_id"])

    def claim_start(self, query_id: str, owner: str) -> StoredExecution | None:
        return self._changed(query_id, {"is_starting": 1}, _is_driven_by(owner) & Attr("is_cancel_requested").eq(0))

    def record_plan(self, query_id: str, owner: str, plan: Plan) -> StoredExecution | None:
        return self._changed(query_id, plan_record(plan), _is_driven_by(owner) & _IS_UNSEEN)

    def release_start(self, query_id: str, owner: str) -> None:
        self._changed(query_id, {"is_starting": 0}, Attr("owner").eq(owner) & Attr("engine_id").not_exists())

    def record_started(
        self, query_id: str, owner: str, engine_id: str, status: QueryStatus, started_at: datetime
    ) -> StoredExecution:
        record: Record = {"engine_id": engine_id, "is_starting": 0, "status": status.value}
        first_started_at: Record = {"started_at": microseconds(started_at)}
        started = self._changed(query_id, record, _is_driven_by(owner), if_absent=first_started_at)
        return started or self._existing(query_id)

    def record_progress(self, query_id: str, owner: str, status: QueryStatus, statistics: Statistics) -> None:
        self._changed(query_id, progress_record(status, statistics), _is_driven_by(owner))

    def next_attempt(self, query_id: str, owner: str, attempt: int) -> StoredExecution | None:
        may_try_again = _is_driven_by(owner) & Attr("attempt").eq(attempt) & Attr("is_cancel_requested").eq(0)
        again = self._changed(query_id, next_attempt_record(attempt), may_try_again)
        if again is not None:
            return again
        # boto3 may have tried twice, and the first time had counted
        stored = self.get(query_id)
        is_done = stored is not None and (stored.owner, stored.attempt, stored.engine_id) == (owner, attempt + 1, None)
        return stored if is_done and stored is not None and not stored.execution.is_terminal else None

    def request_cancel(self, query_id: str, ended_at: datetime) -> StoredExecution | None:
        wished = self._changed(query_id, {"is_cancel_requested": 1}, _IS_UNFINISHED)
        if wished is None:
            return self.get(query_id)
        if wished.engine_id is not None or wished.is_starting:
            return wished
        record = ending_record(Ending(QueryStatus.CANCELLED, ended_at), wished)
        return self._changed(query_id, record, _IS_UNFINISHED & _IS_UNSEEN) or self.get(query_id)

    def finish(self, query_id: str, owner: str, ending: Ending) -> StoredExecution:
        for _ in range(_ATTEMPTS_TO_AGREE):
            stored = self._existing(query_id)
            if stored.execution.is_terminal or stored.owner != owner:
                return stored
            is_as_seen = Attr("is_cancel_requested").eq(int(stored.is_cancel_requested))
            ended = self._changed(query_id, ending_record(ending, stored), _is_driven_by(owner) & is_as_seen)
            if ended is not None:
                return ended
        raise AssertionError("an execution changed without end")

    def record_spooled(self, query_id: str, rows_total: int, result_bytes: int) -> StoredExecution | None:
        stored = self.get(query_id)
        if stored is None:
            return None
        record = spooled_record(stored, rows_total=rows_total, result_bytes=result_bytes)
        return self._changed(query_id, record, Attr("item_id").exists())

    # --- many executions ----------------------------------------------------------------------------------------

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        found = [
            UnfinishedExecution(
                item["query_id"],
                item["tenant"],
                item.get("owner"),
                QueryStatus(item["status"]),
                moment_of(item["submitted_at"]),
            )
            for status in _UNFINISHED_STATUSES
            for item in self._table.query("by_upkeep", Key("upkeep").eq(status.value))
        ]
        return tuple(sorted(found, key=lambda one: one.submitted_at))

    def adopt(self, query_id: str, former_owner: str | None, owner: str) -> bool:
        is_former = Attr("owner").not_exists() if former_owner is None else Attr("owner").eq(former_owner)
        try:
            self._table.update(_execution_id(query_id), {"owner": owner}, condition=_IS_UNFINISHED & is_former)
        except ConditionFailed as failed:
            # boto3 may have tried twice, and the first time had counted
            return failed.item is not None and failed.item.get("owner") == owner
        return True

    def disown(self, owner: str) -> None:
        for found in self.unfinished():
            if found.owner == owner:
                self._changed(found.query_id, {"owner": None}, _is_driven_by(owner))

    def listing(
        self, tenant: str, *, status: QueryStatus | None, limit: int, before: tuple[int, str] | None
    ) -> tuple[StoredExecution, ...]:
        tenant_key = _tenant_key(tenant)
        if status is None:
            index, of_tenant = "by_tenant", Key("tenant_key").eq(tenant_key)
        else:
            index, of_tenant = "by_tenant_and_status", Key("tenant_status").eq(_tenant_status(tenant_key, status))
        condition: ConditionBase = of_tenant
        if before is not None:
            condition = of_tenant & Key("newest").lt(_newest(*before))
        found = self._table.query(index, condition, is_descending=True, page_limit=limit)
        listed: list[StoredExecution] = []
        while len(listed) < limit:  # what the index still tells may be history: then it has more to tell
            ids = [item["item_id"] for item in islice(found, limit - len(listed))]
            if not ids:
                break
            shown = self._executions(ids)
            listed += [stored for stored in shown if status is None or stored.execution.status is status]
        return tuple(listed)

    def expired(self, now: datetime, limit: int) -> tuple[StoredExecution, ...]:
        before = Key("upkeep_at").lte(microseconds(now))
        streams = [
            self._table.query("by_upkeep", Key("upkeep").eq(status.value) & before, page_limit=limit)
            for status in sorted(TERMINAL_STATUSES)
        ]
        oldest = heapq.merge(*streams, key=lambda item: int(item["upkeep_at"]))
        found = self._executions([item["item_id"] for item in islice(oldest, limit)])
        # the index may not know yet that somebody else needs the bytes
        return tuple(
            stored
            for stored in found
            if not stored.execution.is_expunged and stored.bytes_needed_until is not None
            if stored.bytes_needed_until <= now
        )

    def leader(self, reuse_key: str) -> str | None:
        held = self._table.get(_reuse_id(reuse_key))
        return None if held is None else str(held["query_id"])

    def lead(self, reuse_key: str, query_id: str, former: str | None) -> bool:
        item = {"item_id": _reuse_id(reuse_key), "query_id": query_id, TTL_ATTRIBUTE: self._latest_ttl()}
        is_formers = Attr("item_id").not_exists() if former is None else Attr("query_id").eq(former)
        try:
            self._table.put(item, condition=is_formers)
        except ConditionFailed:
            return self.leader(reuse_key) == query_id  # boto3 may have tried twice, and the first time had counted
        return True

    def keep_result(self, query_id: str, until: datetime, *, if_needed_after: datetime) -> StoredExecution | None:
        for _ in range(_ATTEMPTS_TO_AGREE):
            stored = self.get(query_id)
            if stored is None or not is_kept_after(stored, if_needed_after):
                return None
            held = stored.kept_until
            is_as_seen = Attr("kept_until").not_exists() if held is None else Attr("kept_until").eq(microseconds(held))
            condition = is_as_seen & Attr("status").eq(QueryStatus.FINISHED.value) & Attr("is_expunged").eq(0)
            kept = self._changed(query_id, kept_record(stored, until), condition)
            if kept is not None:
                return kept
        raise AssertionError("an execution changed without end")

    def mark_expunged(self, query_id: str) -> None:
        stored = self.get(query_id)
        if stored is not None and stored.execution.is_terminal:
            self._changed(query_id, {"is_expunged": 1, "status": stored.execution.status.value}, ~_IS_UNFINISHED)

    def forget(self, expired_before: datetime) -> int:
        before = Key("upkeep_at").lte(microseconds(expired_before))
        forgotten = 0
        for status in sorted(TERMINAL_STATUSES):
            for found in self._table.query("by_upkeep", Key("upkeep").eq(_expunged(status)) & before):
                forgotten += self._forgotten(found["item_id"])
        return forgotten

    def count_by_status(self) -> Mapping[QueryStatus, int]:
        """What is unfinished is counted now, in its index; the rest, which costs more, once a minute."""
        counts = {status: self._count(status.value) for status in _UNFINISHED_STATUSES}
        counts |= self._counted_endings()
        return {status: count for status, count in counts.items() if count}

    def close(self) -> None:
        """The client is its maker's to close."""

    # --- items --------------------------------------------------------------------------------------------------

    def _changed(
        self, query_id: str, record: Record, condition: ConditionBase, *, if_absent: Record | None = None
    ) -> StoredExecution | None:
        """Sets these members where the condition holds and returns the execution as it then is; None otherwise."""
        try:
            item = self._table.update(
                _execution_id(query_id),
                self._attributes(query_id, record),
                condition=condition & Attr("item_id").exists(),
                if_absent=if_absent,
            )
        except ConditionFailed:
            return None
        return self._execution(item)

    def _existing(self, query_id: str) -> StoredExecution:
        stored = self.get(query_id)
        if stored is None:
            raise KeyError(query_id)
        return stored

    def _living(self, item: Item) -> StoredExecution | None:
        ttl = item.get(TTL_ATTRIBUTE)
        return None if ttl is not None and ttl <= self._clock().timestamp() else self._execution(item)

    def _executions(self, item_ids: Sequence[str]) -> list[StoredExecution]:
        """Those of these executions that are there, in this order."""
        items = self._table.get_many(item_ids)
        living = (self._living(items[item_id]) for item_id in item_ids if item_id in items)
        return [stored for stored in living if stored is not None]

    def _forgotten(self, item_id: str) -> bool:
        """Deletes one execution and what belongs to it; False when it is gone already or not to be forgotten."""
        item = self._table.get(item_id)
        if item is None:
            return False
        try:
            self._table.delete(item_id, condition=Attr("item_id").not_exists() | Attr("is_expunged").eq(1))
        except ConditionFailed:
            return False
        key = item.get("idempotency_key")
        if key is not None:
            self._delete_key(_idempotency_id(item["tenant"], key), item["query_id"])
        for name in _DOCUMENTS:
            kept = item.get(name)
            for piece_id in _piece_ids(item["query_id"], kept) if isinstance(kept, str) else ():
                self._table.delete(piece_id)
        return True

    def _delete_key(self, key_id: str, query_id: str) -> None:
        with suppress(ConditionFailed):  # where it fails it is another execution's by now
            self._table.delete(key_id, condition=Attr("item_id").not_exists() | Attr("query_id").eq(query_id))

    # --- counting -----------------------------------------------------------------------------------------------

    def _counted_endings(self) -> dict[QueryStatus, int]:
        now = self._monotonic()
        with self._lock:
            known = self._terminal_counts
        if known is None or now - known[0] >= self._count_seconds:
            counts = {
                status: self._count(status.value) + self._count(_expunged(status)) for status in TERMINAL_STATUSES
            }
            known = (now, counts)
            with self._lock:
                self._terminal_counts = known
        return known[1]

    def _count(self, upkeep: str) -> int:
        return self._table.count("by_upkeep", Key("upkeep").eq(upkeep))

    # --- records and items --------------------------------------------------------------------------------------

    def _item(self, record: Record) -> Item:
        """The whole item of a new execution; its long texts are kept already."""
        query_id, submitted_at = str(record["query_id"]), int(record["submitted_at"] or 0)
        tenant_key = _tenant_key(str(record["tenant"]))
        self._remember(self._tenant_keys, query_id, tenant_key, _REMEMBERED_TENANTS)
        return {
            "item_id": _execution_id(query_id),
            "tenant_key": tenant_key,
            "newest": _newest(submitted_at, query_id),
            "upkeep_at": submitted_at,
            **self._attributes(query_id, record),
        }

    def _attributes(self, query_id: str, record: Record) -> Item:
        """The attributes that keep these members, those of the indexes included; their long texts are kept already."""
        attributes: Item = {name: value for name, value in record.items() if name not in _IN_DOCUMENTS}
        for name, members in _DOCUMENTS.items():
            if members[0] in record:
                document = {member: record[member] for member in members}
                attributes[name] = self._kept(query_id, document)
        if record.get("status") is not None:
            status = QueryStatus(str(record["status"]))
            attributes["tenant_status"] = _tenant_status(self._tenant_key_of(query_id), status)
            attributes["upkeep"] = _expunged(status) if record.get("is_expunged") else status.value
        if record.get("expires_at") is not None:
            self._plan_end(attributes, int(record["expires_at"] or 0))
        if record.get("kept_until") is not None:
            self._plan_end(attributes, int(record["kept_until"] or 0))
        return attributes

    def _plan_end(self, attributes: Item, ends_at: int) -> None:
        attributes["upkeep_at"] = ends_at
        attributes[TTL_ATTRIBUTE] = _seconds(moment_of(ends_at) + self._remembered_for + _BACKSTOP)

    def _kept(self, query_id: str, document: Mapping[str, Any]) -> bytes | str:
        """What the execution's item holds of a document: all of it, or where it lies. Twice equals once."""
        packed = zlib.compress(orjson.dumps(document), 6)
        if len(packed) <= INLINE_BYTES:
            return packed
        piece_count = -(-len(packed) // PIECE_BYTES)
        reference = f"{hashlib.sha256(packed).hexdigest()[:32]}:{piece_count}"
        for number, item_id in enumerate(_piece_ids(query_id, reference)):
            piece = packed[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
            self._table.put({"item_id": item_id, "piece": piece, TTL_ATTRIBUTE: self._latest_ttl()})
        return reference

    def _document(self, query_id: str, kept: bytes | str | None) -> dict[str, Any]:
        """The members of a document."""
        if kept is None:
            return {}
        if isinstance(kept, bytes):
            return _unpacked(kept)
        with self._lock:
            known = self._documents.get(kept)
        if known is None:
            item_ids = _piece_ids(query_id, kept)
            pieces = self._table.get_many(item_ids)
            if len(pieces) < len(item_ids):
                raise StoreUnavailable(f"the texts of query {query_id} are being deleted")
            known = _unpacked(b"".join(pieces[item_id]["piece"] for item_id in item_ids))
            self._remember(self._documents, kept, known, _REMEMBERED_DOCUMENTS)
        return known

    def _execution(self, item: Item) -> StoredExecution:
        query_id = item["query_id"]
        self._remember(self._tenant_keys, query_id, item["tenant_key"], _REMEMBERED_TENANTS)
        record: dict[str, Any] = defaultdict(lambda: None, item)
        for name in _DOCUMENTS:
            record |= self._document(query_id, item.get(name))
        return execution_of(record)

    def _tenant_key_of(self, query_id: str) -> str:
        with self._lock:
            known = self._tenant_keys.get(query_id)
        if known is None:
            item = self._table.get(_execution_id(query_id))
            known = "" if item is None else str(item["tenant_key"])
        return known

    def _remember(self, memory: OrderedDict[str, Any], name: str, value: Any, limit: int) -> None:
        """Remembers what never changes."""
        with self._lock:
            memory[name] = value
            memory.move_to_end(name)
            if len(memory) > limit:
                memory.popitem(last=False)

    def _latest_ttl(self) -> int:
        """When the longest life of an execution that is submitted now is over, in seconds since 1970."""
        longest = _LONGEST_UNFINISHED + timedelta(minutes=MAXIMUM_RETENTION_MINUTES) + self._remembered_for
        return _seconds(self._clock() + longest + _BACKSTOP)


def _is_driven_by(owner: str) -> ConditionBase:
    return Attr("owner").eq(owner) & _IS_UNFINISHED


def _execution_id(query_id: str) -> str:
    return f"execution#{query_id}"


def _idempotency_id(tenant: str, idempotency_key: str) -> str:
    # keys of a table have 2048 bytes; a tenant of many customers has a longer name
    return "idempotency#" + _digest(f"{_tenant_key(tenant)}/{idempotency_key}")


def _reuse_id(reuse_key: str) -> str:
    return f"reuse#{reuse_key}"


def _piece_ids(query_id: str, reference: str) -> list[str]:
    """The items that a reference stands for: `<digest of the packed document>:<how many pieces>`."""
    digest, _, count = reference.partition(":")
    return [f"document#{query_id}#{digest}#{number}" for number in range(int(count))]


def _unpacked(packed: bytes) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(zlib.decompress(packed))
    return members


def _tenant_key(tenant: str) -> str:
    return _digest(tenant)


def _tenant_status(tenant_key: str, status: QueryStatus) -> str:
    return f"{tenant_key}#{status.value}"


def _newest(submitted_at: int, query_id: str) -> str:
    """Text that sorts as (submitted_at, query_id) does."""
    return f"{submitted_at:020d}#{query_id}"


def _expunged(status: QueryStatus) -> str:
    return f"EXPUNGED#{status.value}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _seconds(moment: datetime) -> int:
    return microseconds(moment) // 1_000_000
