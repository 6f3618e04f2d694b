"""The usage stores, each under the same tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from glue.dynamodb_table import create_table
from service.dynamodb_tables import USAGE
from service.dynamodb_usage import MAXIMUM_KEYS, OTHER_KEYS, DynamoDbUsageStore
from service.sqlite_usage import SqliteUsageStore
from tests.contract.aws_implementations import moto_client
from tests.contract.usage_store import CHARGE, DAY, OpenStore, UsageStoreContract, reserve
from tests.fakes.dynamodb import FaultyDynamoDb

_NUMBERS = count()


class TestSqliteUsageStore(UsageStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[SqliteUsageStore] = []

        def open_one() -> SqliteUsageStore:
            opened.append(SqliteUsageStore(tmp_path / "usage.sqlite"))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    def test_old_days_are_forgotten(self, open_store: OpenStore) -> None:
        store = open_store()
        reserve(store, CHARGE)
        store.forget(DAY)
        assert store.used_bytes(CHARGE.tenant, DAY) == 1000
        for _ in range(2):
            store.forget(date(2026, 11, 23))
        assert store.by_day(DAY, DAY, None) == []
        assert store.open_charges(DAY, DAY) == []


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


def opener(client: Any) -> OpenStore:
    """Opens stores of one new table."""
    name = f"usage-{next(_NUMBERS)}"
    create_table(client, USAGE, name)
    return lambda: DynamoDbUsageStore(client, name)


class TestDynamoDbUsageStore(UsageStoreContract):
    @pytest.fixture
    def open_store(self, dynamodb: Any) -> OpenStore:
        return opener(FaultyDynamoDb(dynamodb))

    def test_an_item_holds_so_many_keys_and_no_more(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MAXIMUM_KEYS * 400 < 400 * 1024  # bytes of two attributes with the longest names, and of an item
        monkeypatch.setattr("service.dynamodb_usage.MAXIMUM_KEYS", 2)
        store = open_store()
        for number, key_id in enumerate(("a", "b", "c", "d", "a")):
            charge = type(CHARGE)(f"q{number}", CHARGE.tenant, DAY, 1)
            reserve(store, charge)
            store.settle(charge, key_id, 1)
        counts = {row.key_id: row.query_count for row in store.by_key(DAY, DAY, None)}
        assert counts == {"a": 2, "b": 1, OTHER_KEYS: 2}


class TestDynamoDbUsageStoreWhoseAnswersAreLost(UsageStoreContract):
    """boto3 sends a write again when its answer does not come, though the first may have counted."""

    @pytest.fixture
    def open_store(self, dynamodb: Any) -> OpenStore:
        return opener(FaultyDynamoDb(dynamodb, sends_twice=True))
