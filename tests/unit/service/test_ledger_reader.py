from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from service.errors import LedgerUnavailable
from service.ledger_reader import LedgerReader
from tests.contract.partition_ledger import partition, record
from tests.unit.glue.fakes import client_error

READS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("summary", ("events",), {}),
    ("partitions", ("events",), {}),
    ("data_version", ("events",), {}),
    ("freshness", ("events",), {}),
    ("neighbour", ("events", None), {"newest": True}),
    ("newest_partitions", ("events",), {"limit": 5, "before": PartitionSpec.parse("dt=2026-12-01")}),
    ("offset_series", ("events",), {"with_ends": False}),
    ("known_objects", ("events",), {}),
]


def call(ledger: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    found = getattr(ledger, name)(*arguments, **named)
    return list(found) if name in ("partitions", "known_objects") else found


@pytest.mark.parametrize(("name", "arguments", "named"), READS, ids=[read[0] for read in READS])
def test_a_ledger_that_answers_answers_the_same(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    ledger = SqliteLedger(":memory:")
    ledger.record_objects("events", [record(0), record(1, "1_7_00000000000000000100.gz", row_count=3)])
    assert ledger.partition("events", partition(0)) is not None
    assert call(LedgerReader(ledger), name, arguments, named) == call(ledger, name, arguments, named)


@pytest.mark.parametrize(
    "trouble", [client_error("Query", "ThrottlingException"), EndpointConnectionError(endpoint_url="x")]
)
@pytest.mark.parametrize(("name", "arguments", "named"), READS, ids=[read[0] for read in READS])
def test_troubles_of_aws_are_told_as_worth_repeating(
    name: str, arguments: tuple[Any, ...], named: dict[str, Any], trouble: Exception
) -> None:
    class Away:
        """A ledger that AWS refuses, some only while they are read."""

        def __getattr__(self, method: str) -> Any:
            def refuse(*_: Any, **__: Any) -> Any:
                raise trouble

            return refuse

    with pytest.raises(LedgerUnavailable) as told:
        call(LedgerReader(Away()), name, arguments, named)  # type: ignore[arg-type]  # it has every method
    assert (told.value.retryable, told.value.retry_after_seconds) == (True, 2.0)
