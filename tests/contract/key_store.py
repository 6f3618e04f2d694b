"""What every key store has to do: one class of tests, which tests/contract/test_key_stores.py runs for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.key_store import ApiKey, Digest, KeyStore, StoredKey

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = ApiKey("k1", "billing", "acme", frozenset({11000, 11001}), frozenset({"query"}), NOON)
FIRST, SECOND, THIRD = (Digest(bytes([number]) * 16, bytes([number]) * 32) for number in (1, 2, 3))


class KeyStoreContract:
    """`store` is a fixture of the subclass: an empty store."""

    @pytest.fixture
    def store(self) -> KeyStore:
        raise NotImplementedError

    def test_what_is_kept_comes_back(self, store: KeyStore) -> None:
        full = replace(
            KEY,
            key_id="k2",
            customers=None,
            maximum_scan_bytes=10,
            rate_limit="100/minute",
            maximum_queries=3,
            expires_at=NOON + timedelta(days=90),
            created_at=NOON + timedelta(seconds=1),
        )
        store.insert(StoredKey(KEY, FIRST))
        store.insert(StoredKey(full, SECOND))
        assert store.get("k1") == StoredKey(KEY, FIRST)
        assert store.get("k2") == StoredKey(full, SECOND)
        assert store.get("k3") is None
        assert store.all() == (StoredKey(KEY, FIRST), StoredKey(full, SECOND))

    def test_it_is_empty_until_a_key_is_kept(self, store: KeyStore) -> None:
        assert store.is_empty()
        store.insert(StoredKey(KEY, FIRST))
        store.revoke("k1", NOON)
        assert not store.is_empty()

    def test_rotation_keeps_the_one_before_and_forgets_the_one_before_that(self, store: KeyStore) -> None:
        store.insert(StoredKey(KEY, FIRST))
        until = NOON + timedelta(hours=1)
        rotated = store.rotate("k1", FIRST, SECOND, NOON, until)
        assert rotated == StoredKey(replace(KEY, rotated_at=NOON, previous_valid_until=until), SECOND, FIRST)
        assert store.get("k1") == rotated
        store.rotate("k1", SECOND, THIRD, NOON, until)
        again = store.get("k1")
        assert again is not None
        assert (again.digest, again.previous_digest) == (THIRD, SECOND)

    def test_only_one_of_two_rotations_of_a_secret_counts(self, store: KeyStore) -> None:
        store.insert(StoredKey(KEY, FIRST))
        assert store.rotate("k1", FIRST, SECOND, NOON, NOON) is not None
        assert store.rotate("k1", FIRST, THIRD, NOON, NOON) is None
        assert store.rotate("nobody", FIRST, THIRD, NOON, NOON) is None

    def test_what_is_revoked_stays_as_it_is(self, store: KeyStore) -> None:
        store.insert(StoredKey(KEY, FIRST))
        revoked = store.revoke("k1", NOON)
        assert revoked == StoredKey(replace(KEY, revoked_at=NOON), FIRST)
        assert store.revoke("k1", NOON + timedelta(days=1)) == revoked
        assert store.rotate("k1", FIRST, SECOND, NOON, NOON) is None
        assert store.revoke("nobody", NOON) is None

    def test_the_latest_use_is_remembered(self, store: KeyStore) -> None:
        store.insert(StoredKey(KEY, FIRST))
        for minutes in (1, 5, 3):
            store.touch("k1", NOON + timedelta(minutes=minutes))
        store.touch("nobody", NOON)
        touched = store.get("k1")
        assert touched is not None
        assert touched.key.last_used_at == NOON + timedelta(minutes=5)
        assert store.get("nobody") is None
