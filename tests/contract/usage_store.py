"""What every usage store has to do: one class of tests, which tests/contract/test_usage_stores.py runs for each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest

from service.usage import NO_KEY, Charge, DayUsage, KeyUsage, Reservation, UsageStore

DAY = date(2026, 11, 22)
CHARGE = Charge("q1", "customers:11000", DAY, 1000)
OTHER = Charge("q2", "customers:11001,11002", DAY, 10)

OpenStore = Callable[[], UsageStore]


def reserve(store: UsageStore, charge: Charge, limit_bytes: int | None = None) -> Reservation:
    return store.reserve(charge, limit_bytes=limit_bytes, needed_bytes=charge.estimated_bytes)


class UsageStoreContract:
    """`open_store` is a fixture of the subclass: opens stores of one storage, empty at first."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError

    def test_an_estimate_counts_until_the_truth_is_known(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.used_bytes(CHARGE.tenant, DAY) == 0
        assert reserve(store, CHARGE) == Reservation(True, 0)
        assert store.used_bytes(CHARGE.tenant, DAY) == 1000
        assert store.by_day(DAY, DAY, None) == [DayUsage(DAY, CHARGE.tenant, 0, 0, 1000)]
        store.settle(CHARGE, "key-a", 300)
        assert store.used_bytes(CHARGE.tenant, DAY) == 300
        assert store.by_day(DAY, DAY, CHARGE.tenant) == [DayUsage(DAY, CHARGE.tenant, 1, 300, 300)]
        assert store.by_key(DAY, DAY, CHARGE.tenant) == [KeyUsage(DAY, CHARGE.tenant, "key-a", 1, 300)]

    def test_the_truth_may_be_more_than_the_estimate(self, open_store: OpenStore) -> None:
        store = open_store()
        reserve(store, CHARGE, 1000)
        store.settle(CHARGE, NO_KEY, 5000)
        assert store.used_bytes(CHARGE.tenant, DAY) == 5000
        assert not reserve(store, replace(CHARGE, query_id="q9", estimated_bytes=0), 1000).is_accepted

    def test_everything_twice_is_once(self, open_store: OpenStore) -> None:
        store = open_store()
        for charge, close in (
            (CHARGE, lambda charge: store.settle(charge, "key-a", 300)),
            (replace(CHARGE, query_id="q3"), lambda charge: store.withdraw(charge)),
        ):
            for _ in range(2):
                assert reserve(store, charge).is_accepted
            for _ in range(2):
                close(charge)
        store.withdraw(CHARGE)  # settled already
        store.settle(replace(CHARGE, query_id="q3"), "key-a", 300)  # withdrawn already
        store.settle(replace(CHARGE, query_id="never"), "key-a", 300)
        assert store.by_day(DAY, DAY, None) == [DayUsage(DAY, CHARGE.tenant, 1, 300, 300)]
        assert store.by_key(DAY, DAY, None) == [KeyUsage(DAY, CHARGE.tenant, "key-a", 1, 300)]

    def test_over_the_limit_nothing_is_counted(self, open_store: OpenStore) -> None:
        store = open_store()
        assert reserve(store, CHARGE, 999) == Reservation(False, 0)
        assert reserve(store, CHARGE, 1999) == Reservation(True, 0)
        assert reserve(store, replace(CHARGE, query_id="q2"), 1999) == Reservation(False, 1000)
        assert reserve(store, CHARGE, 1) == Reservation(True, 0)  # it is counted already
        small = replace(CHARGE, query_id="q3", estimated_bytes=999)
        assert reserve(store, small, 1999).is_accepted
        assert store.used_bytes(CHARGE.tenant, DAY) == 1999
        needs_more = replace(CHARGE, query_id="q4", estimated_bytes=0)
        assert not store.reserve(needs_more, limit_bytes=1999, needed_bytes=1).is_accepted
        assert store.reserve(needs_more, limit_bytes=1999, needed_bytes=0).is_accepted
        store.withdraw(small)
        assert reserve(store, replace(small, query_id="q5"), 1999).is_accepted

    def test_tenants_and_days_are_apart(self, open_store: OpenStore) -> None:
        store = open_store()
        reserve(store, CHARGE)
        reserve(store, OTHER)
        tomorrow = replace(CHARGE, query_id="q3", day=date(2026, 11, 23), estimated_bytes=7)
        assert reserve(store, tomorrow, 10).is_accepted
        assert [store.used_bytes(CHARGE.tenant, day) for day in (DAY, tomorrow.day)] == [1000, 7]
        first, last = date(2026, 11, 1), date(2026, 11, 30)
        assert [(row.day.day, row.tenant, row.used_bytes) for row in store.by_day(first, last, None)] == [
            (22, CHARGE.tenant, 1000),
            (22, OTHER.tenant, 10),
            (23, CHARGE.tenant, 7),
        ]
        assert [row.used_bytes for row in store.by_day(first, last, OTHER.tenant)] == [10]
        assert store.by_day(date(2026, 11, 23), last, OTHER.tenant) == []

    def test_keys_of_a_tenant_are_told_apart(self, open_store: OpenStore) -> None:
        store = open_store()
        for number, key_id in enumerate(("key-b", "token:alice", "key-b", NO_KEY)):
            charge = replace(CHARGE, query_id=f"q{number}")
            reserve(store, charge)
            store.settle(charge, key_id, 10**number)
        rows = store.by_key(DAY, DAY, CHARGE.tenant)
        assert [(row.key_id, row.query_count, row.scanned_bytes) for row in rows] == [
            (NO_KEY, 1, 1000),
            ("key-b", 2, 101),
            ("token:alice", 1, 10),
        ]

    def test_open_charges_are_found_again(self, open_store: OpenStore) -> None:
        store = open_store()
        yesterday = replace(CHARGE, query_id="q0", day=date(2026, 11, 21))
        for charge in (CHARGE, OTHER, yesterday):
            reserve(store, charge)
        store.settle(OTHER, NO_KEY, 1)
        again = open_store()
        assert sorted(again.open_charges(date(2026, 11, 21), DAY), key=str) == sorted([CHARGE, yesterday], key=str)
        assert again.open_charges(DAY, DAY) == [CHARGE]

    def test_another_process_sees_it_at_once_and_after_a_restart(self, open_store: OpenStore) -> None:
        reserve(open_store(), CHARGE)
        other = open_store()
        assert other.used_bytes(CHARGE.tenant, DAY) == 1000
        assert reserve(other, CHARGE).is_accepted
        other.settle(CHARGE, NO_KEY, 5)
        assert open_store().used_bytes(CHARGE.tenant, DAY) == 5

    def test_many_at_once_never_pass_the_limit(self, open_store: OpenStore) -> None:
        stores = [open_store() for _ in range(2)]

        def submit(number: int) -> bool:
            charge = replace(CHARGE, query_id=f"q{number}", estimated_bytes=10)
            return reserve(stores[number % 2], charge, 105).is_accepted

        with ThreadPoolExecutor(4) as pool:
            accepted = list(pool.map(submit, range(24)))
        assert sum(accepted) == 10
        assert stores[0].used_bytes(CHARGE.tenant, DAY) == 100
