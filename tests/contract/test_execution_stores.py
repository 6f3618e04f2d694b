from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from glue.dynamodb_table import create_table
from service.dynamodb_executions import DynamoDbExecutionStore
from service.dynamodb_tables import EXECUTIONS
from service.executions import ExecutionStore
from service.sqlite_executions import SqliteExecutionStore
from tests.contract.aws_implementations import moto_client
from tests.contract.execution_store import NOW, ExecutionStoreContract, OpenStore
from tests.fakes.dynamodb import FaultyDynamoDb

_NUMBERS = count()


class TestSqliteExecutionStore(ExecutionStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[SqliteExecutionStore] = []

        def open_one() -> ExecutionStore:
            opened.append(SqliteExecutionStore(tmp_path / "executions.sqlite"))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


def opener(client: Any) -> OpenStore:
    """Opens stores of one new table."""
    name = f"executions-{next(_NUMBERS)}"
    for is_new in (True, False):
        assert create_table(client, EXECUTIONS, name) is is_new
    return lambda: DynamoDbExecutionStore(client, name, clock=lambda: NOW)


class TestDynamoDbExecutionStore(ExecutionStoreContract):
    @pytest.fixture
    def open_store(self, dynamodb: Any) -> OpenStore:
        return opener(FaultyDynamoDb(dynamodb))


class TestDynamoDbExecutionStoreWhoseAnswersAreLost(ExecutionStoreContract):
    """boto3 sends a write again when its answer does not come, though the first may have counted."""

    @pytest.fixture
    def open_store(self, dynamodb: Any) -> OpenStore:
        return opener(FaultyDynamoDb(dynamodb, sends_twice=True))
