"""API keys in a DynamoDB table: for several replicas. The contract is in service.key_store.

One item a key; each change is one conditional write. A lookup is a strongly consistent read, so a revocation counts at
once on every replica (the edge may remember an answer for up to a second).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr

from glue.dynamodb_values import Item
from service.dynamodb_items import ConditionFailed, DynamoDbTable
from service.dynamodb_tables import KEYS
from service.key_store import Digest, StoredKey, key_record, stored_key, time_text

_IS_THERE = Attr("key_id").exists()


class DynamoDbKeyStore:
    """KeyStore in DynamoDB."""

    def __init__(self, dynamodb: Any, table_name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = DynamoDbTable(dynamodb, table_name, key=KEYS.hash_key.name, sleep=sleep)
        self._is_known_to_have_keys = False

    def insert(self, stored: StoredKey) -> None:
        self._table.put(key_record(stored), condition=~_IS_THERE | Attr("secret_hash").eq(stored.digest.hash))

    def get(self, key_id: str) -> StoredKey | None:
        item = self._table.get(key_id) if key_id else None
        return None if item is None else _stored(item)

    def all(self) -> tuple[StoredKey, ...]:
        found = map(_stored, self._table.scan())
        return tuple(sorted(found, key=lambda stored: (stored.key.created_at, stored.key.key_id)))

    def rotate(
        self, key_id: str, expected: Digest, digest: Digest, at: datetime, previous_valid_until: datetime
    ) -> StoredKey | None:
        changes = {
            "previous_salt": expected.salt,
            "previous_hash": expected.hash,
            "previous_valid_until": time_text(previous_valid_until),
            "salt": digest.salt,
            "secret_hash": digest.hash,
            "rotated_at": time_text(at),
        }
        is_unchanged = Attr("secret_hash").eq(expected.hash) & Attr("revoked_at").not_exists()
        try:
            item = self._table.update(key_id, changes, condition=_IS_THERE & is_unchanged)
        except ConditionFailed as failed:
            # boto3 may have tried twice, and the first time had counted
            if failed.item is None or failed.item.get("secret_hash") != digest.hash:
                return None
            item = failed.item
        return _stored(item)

    def touch(self, key_id: str, at: datetime) -> None:
        text = time_text(at)
        is_later = Attr("last_used_at").not_exists() | Attr("last_used_at").lt(text)
        try:
            self._table.update(key_id, {"last_used_at": text}, condition=_IS_THERE & is_later)
        except ConditionFailed:
            return

    def revoke(self, key_id: str, at: datetime) -> StoredKey | None:
        try:
            item = self._table.update(key_id, {}, condition=_IS_THERE, if_absent={"revoked_at": time_text(at)})
        except ConditionFailed:
            return None
        return _stored(item)

    def is_empty(self) -> bool:
        if not self._is_known_to_have_keys:  # keys are never deleted
            self._is_known_to_have_keys = next(self._table.scan(), None) is not None
        return not self._is_known_to_have_keys

    def close(self) -> None:
        """The client is its maker's to close."""


def _stored(item: Item) -> StoredKey:
    return stored_key(defaultdict(lambda: None, item))
