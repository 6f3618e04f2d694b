from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.executions import ExecutionStore
from service.sqlite_executions import SqliteExecutionStore
from tests.contract.execution_store import ExecutionStoreContract, OpenStore


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
