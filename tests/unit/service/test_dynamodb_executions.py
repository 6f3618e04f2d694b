"""What only the DynamoDB store has to bear: long texts, items past their time, throttling, indexes that lag."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from glue.dynamodb_table import create_table
from service.dynamodb_executions import DynamoDbExecutionStore
from service.dynamodb_tables import EXECUTIONS
from service.errors import StoreUnavailable
from service.executions import Plan, StoredExecution
from service.model import OutputColumn, QueryStatus, QueryWarning
from tests.contract.aws_implementations import moto_client
from tests.contract.execution_store import NOW, ending, execution
from tests.fakes.dynamodb import FaultyDynamoDb, refusal

_NUMBERS = count()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Stores:
    """Stores over one table, each another replica's; `client` makes the faults, `slept` is what they waited."""

    def __init__(self, dynamodb: Any) -> None:
        self.client = FaultyDynamoDb(dynamodb)
        self.clock = Clock()
        self.slept: list[float] = []
        self.table = f"executions-{next(_NUMBERS)}"
        create_table(dynamodb, EXECUTIONS, self.table)

    def open(self, **options: Any) -> DynamoDbExecutionStore:
        options.setdefault("clock", self.clock)
        return DynamoDbExecutionStore(self.client, self.table, sleep=self.slept.append, **options)

    def items(self) -> list[Mapping[str, Any]]:
        pages = self.client.get_paginator("scan").paginate(TableName=self.table)
        return [item for page in pages for item in page["Items"]]


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, moto_client("dynamodb", monkeypatch) as client:
        yield client


@pytest.fixture
def stores(dynamodb: Any) -> Stores:
    return Stores(dynamodb)


def long_text(characters: int) -> str:
    """Text that hardly compresses, in characters of up to three bytes."""
    draw = random.Random(characters)
    return "".join(draw.choices(string.printable + "äöüß€", k=characters))


def finished(store: DynamoDbExecutionStore, **members: Any) -> StoredExecution:
    stored = store.insert(execution(**members))
    return store.finish(stored.query_id, "p1", ending())


def test_texts_longer_than_an_item_come_back_and_leave_nothing_behind(stores: Stores) -> None:
    query, engine_sql = long_text(262_144), long_text(900_000)
    columns = tuple(OutputColumn(f"c{n}", f"row({long_text(2000)})") for n in range(200))
    stored = stores.open().insert(
        replace(execution(query=query, idempotency_key="k"), engine_sql=engine_sql, planned_columns=columns)
    )
    assert len(stores.items()) > 5
    assert stores.open().get(stored.query_id) == stored
    plan = Plan(long_text(500_000), frozenset({1}), columns)
    planned = stores.open().record_plan(stored.query_id, "p1", plan)
    assert planned is not None
    assert planned.engine_sql == plan.engine_sql
    warnings = tuple(QueryWarning("MalformedRow", long_text(50_000)) for _ in range(10))
    ended = stores.open().finish(stored.query_id, "p1", replace(ending(), columns=columns, warnings=warnings))
    assert stores.open().get(stored.query_id) == ended
    assert stores.open().listing("alice", status=None, limit=5, before=None) == (ended,)
    assert (ended.execution.query, ended.execution.warnings) == (query, warnings)
    stores.open().mark_expunged(stored.query_id)
    for forgotten in (1, 0):
        assert stores.open().forget(NOW + timedelta(days=1)) == forgotten
    # the first plan's text is nobody's: DynamoDB deletes it by its ttl
    assert {item["item_id"]["S"].partition("#")[0] for item in stores.items()} <= {"document"}
    assert all("ttl" in item for item in stores.items())


def test_short_texts_cost_no_item_of_their_own(stores: Stores) -> None:
    finished(stores.open())
    assert len(stores.items()) == 1


def test_an_item_past_its_time_is_not_there_though_dynamodb_has_not_deleted_it(stores: Stores) -> None:
    store = stores.open(remembered_for=timedelta(days=1))
    ended = finished(store, idempotency_key="k")
    (item,) = [item for item in stores.items() if "status" in item]
    assert ended.execution.expires_at is not None
    ttl = int(item["ttl"]["N"])
    assert ttl == int(
        (ended.execution.expires_at + timedelta(days=3)).timestamp()
    )  # in seconds, and with a day to spare
    stores.clock.now = ended.execution.expires_at + timedelta(days=3, seconds=-1)
    assert store.get(ended.query_id) == ended
    stores.clock.now += timedelta(seconds=2)
    assert store.get(ended.query_id) is None
    assert store.by_idempotency_key("alice", "k") is None
    assert store.listing("alice", status=None, limit=5, before=None) == ()
    assert store.expired(stores.clock.now, 5) == ()
    again = store.insert(execution(idempotency_key="k"))
    found = store.by_idempotency_key("alice", "k")
    assert found is not None
    assert found.query_id == again.query_id


def test_a_replica_whose_clock_is_wrong_by_minutes_sees_the_same(stores: Stores) -> None:
    ended = finished(stores.open())
    for minutes in (-30, 30):
        skewed = stores.open(clock=lambda minutes=minutes: stores.clock() + timedelta(minutes=minutes))
        assert skewed.get(ended.query_id) == ended
        assert skewed.finish(ended.query_id, "p1", ending(QueryStatus.FAILED)) == ended


@pytest.mark.parametrize(
    "error",
    [
        refusal("ProvisionedThroughputExceededException"),
        refusal("ThrottlingException"),
        refusal("TransactionInProgressException"),
        refusal("InternalServerError"),
        refusal("TransactionCanceledException", ["None", "TransactionConflict"]),
        refusal("TransactionCanceledException", ["ProvisionedThroughputExceeded", "ThrottlingError"]),
    ],
    ids=lambda error: str(error.response.get("CancellationReasons") or error.response["Error"]["Code"]),
)
def test_what_passes_by_itself_is_waited_out_and_told_when_it_does_not(stores: Stores, error: ClientError) -> None:
    store = stores.open()
    refused = iter([error] * 3)
    stores.client.refuse = lambda method, arguments: next(refused, None)
    stored = store.insert(execution(idempotency_key="k"))
    assert len(stores.slept) == 3
    assert store.get(stored.query_id) == stored
    stores.client.refuse = lambda method, arguments: error
    with pytest.raises(StoreUnavailable):
        store.finish(stored.query_id, "p1", ending())
    stores.client.refuse = lambda method, arguments: None
    assert store.get(stored.query_id) == stored


@pytest.mark.parametrize("code", ["ExpiredTokenException", "AccessDeniedException", "ResourceNotFoundException"])
def test_an_account_that_refuses_is_told_without_its_names(stores: Stores, code: str) -> None:
    stores.client.refuse = lambda method, arguments: refusal(code)
    with pytest.raises(StoreUnavailable) as trouble:
        stores.open().get("any")
    assert code in trouble.value.detail
    assert "123456789012" not in trouble.value.detail
    assert stores.slept == []


def test_a_network_that_is_cut_is_told(stores: Stores) -> None:
    stores.client.refuse = lambda method, arguments: EndpointConnectionError(endpoint_url="http://10.0.0.1:8000")
    with pytest.raises(StoreUnavailable) as trouble:
        stores.open().unfinished()
    assert "10.0.0.1" not in trouble.value.detail


def test_a_request_that_is_not_valid_is_our_fault(stores: Stores) -> None:
    stores.client.refuse = lambda method, arguments: refusal("ValidationException")
    with pytest.raises(ClientError):
        stores.open().get("any")


def test_a_key_of_a_forgotten_execution_is_free_again(stores: Stores) -> None:
    """The process died after it deleted the execution and before it deleted the key."""
    store = stores.open()
    ended = finished(store, idempotency_key="k")
    store.mark_expunged(ended.query_id)
    stores.client.refuse = lambda method, arguments: (
        RuntimeError("killed") if "idempotency" in str(arguments.get("Key")) and method == "delete_item" else None
    )
    with pytest.raises(RuntimeError):
        store.forget(NOW + timedelta(days=1))
    stores.client.refuse = lambda method, arguments: None
    assert store.by_idempotency_key("alice", "k") is None
    for _ in range(2):
        again = store.insert(execution(idempotency_key="k"))
        assert store.insert(execution(idempotency_key="k")) == again


def test_what_a_lagging_index_tells_is_looked_at_again(stores: Stores) -> None:
    store = stores.open()
    made = [store.insert(execution(submitted_at=NOW + timedelta(seconds=n))) for n in range(4)]
    stores.client.lags = True
    queued = store.listing("alice", status=QueryStatus.QUEUED, limit=2, before=None)
    assert [one.query_id for one in queued] == [made[3].query_id, made[2].query_id]
    assert len(store.unfinished()) == 4
    for stored in made[1:]:
        store.finish(stored.query_id, "p1", ending())
    # a page is not cut short by what is history, or the caller would take it for the last one
    queued = store.listing("alice", status=QueryStatus.QUEUED, limit=2, before=None)
    assert [one.query_id for one in queued] == [made[0].query_id]
    assert len(store.unfinished()) == 4
    assert not store.adopt(made[3].query_id, "p1", "p2")
    assert store.adopt(made[0].query_id, "p1", "p2")


def test_keys_that_a_batch_leaves_out_are_asked_for_again(stores: Stores) -> None:
    store = stores.open()
    made = {store.insert(execution()).query_id for _ in range(5)}
    whole = stores.client.batch_get_item

    def half(RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
        request = RequestItems[stores.table]
        answer = whole(RequestItems={stores.table: {**request, "Keys": request["Keys"][:2]}})
        if request["Keys"][2:]:
            answer["UnprocessedKeys"] = {stores.table: {"Keys": request["Keys"][2:]}}
        return answer

    stores.client.batch_get_item = half
    assert {one.query_id for one in store.listing("alice", status=None, limit=9, before=None)} == made
    assert len(stores.slept) == 2


def test_endings_are_counted_once_a_minute(stores: Stores) -> None:
    now = [0.0]
    store = stores.open(monotonic=lambda: now[0])
    finished(store)
    assert dict(store.count_by_status()) == {QueryStatus.FINISHED: 1}
    finished(store)
    store.insert(execution())
    asked = stores.client.calls.count("query")
    assert dict(store.count_by_status()) == {QueryStatus.FINISHED: 1, QueryStatus.QUEUED: 1}
    assert stores.client.calls.count("query") - asked == 2
    now[0] = 60.0
    assert dict(store.count_by_status()) == {QueryStatus.FINISHED: 2, QueryStatus.QUEUED: 1}


def test_tenants_of_long_names_are_kept_apart(stores: Stores) -> None:
    store = stores.open()
    tenants = ["customers:" + ",".join(map(str, range(11000, 11000 + n))) for n in (2000, 2001)]
    for tenant in tenants:
        store.insert(execution(tenant=tenant, idempotency_key="k"))
    assert [len(store.listing(tenant, status=None, limit=9, before=None)) for tenant in tenants] == [1, 1]
