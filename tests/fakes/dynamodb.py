"""Stands before a boto3 client of DynamoDB: checks what moto does not check, and makes faults that moto does not make.

Writes may be sent twice (boto3 does so when an answer is lost), calls may be refused, indexes may lag. Writes come one
after the other, as those of one item do in DynamoDB; moto looks at a condition and writes in two steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any

from botocore.exceptions import ClientError

ITEM_LIMIT_BYTES = 400 * 1024
KEY_LIMIT_BYTES = 1024
TRANSACTION_LIMIT = 100
TRANSACTION_LIMIT_BYTES = 4 * 1024 * 1024
READ_LIMIT = 100
READS = frozenset({"get_item", "batch_get_item", "query", "scan"})
WRITES = frozenset({"put_item", "update_item", "delete_item", "transact_write_items"})

_WRITING = RLock()
Refusal = Callable[[str, Mapping[str, Any]], Exception | None]


def refusal(code: str, reasons: list[str] | None = None, operation: str = "PutItem") -> ClientError:
    """A ClientError as DynamoDB makes it; `reasons` are those of a cancelled transaction."""
    answer: dict[str, Any] = {"Error": {"Code": code, "Message": "arn:aws:dynamodb:eu-central-1:123456789012:table/t"}}
    if reasons is not None:
        answer["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(answer, operation)  # type: ignore[arg-type]  # the stubs know only what every answer has


class FaultyDynamoDb:
    """A client with DynamoDB's limits. `refuse(method, arguments)` may give an exception to raise instead of the call.

    `sends_twice`: every write is sent once more after its answer was lost. `lags`: the answers of `query` are those of
    the moment when it was set True.
    """

    def __init__(self, client: Any, *, sends_twice: bool = False) -> None:
        self._client = client
        self._sends_twice = sends_twice
        self._kept_answers: dict[str, Any] = {}
        self.refuse: Refusal = lambda method, arguments: None
        self.lags = False
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in READS | WRITES:
            return method

        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            error = self.refuse(name, arguments)
            if error is not None:
                raise error
            for wanted in arguments.get("RequestItems", {}).values():
                assert 0 < len(wanted["Keys"]) <= READ_LIMIT, f"{len(wanted['Keys'])} keys in one read"
            if name == "query":
                return self._queried(method, arguments)
            if name not in WRITES:
                return method(**arguments)
            _check_keys(arguments)
            _check_transaction(arguments)
            with _WRITING:
                if self._sends_twice:
                    self._lost(method, arguments)
                answer = method(**arguments)
            if "Attributes" in answer:
                check_item(answer["Attributes"])
            return answer

        return call

    def _queried(self, method: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        said = repr(sorted(arguments.items()))
        if not self.lags or said not in self._kept_answers:
            self._kept_answers[said] = method(**arguments)
        return self._kept_answers[said]

    @staticmethod
    def _lost(method: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        try:
            method(**arguments)
        except ClientError:
            return


def _check_transaction(arguments: Mapping[str, Any]) -> None:
    """Raises what DynamoDB would of a transaction with too much in it, or with an item twice."""
    if "TransactItems" not in arguments:
        return
    writes = [write for entry in arguments["TransactItems"] for write in entry.values()]
    assert 0 < len(writes) <= TRANSACTION_LIMIT, f"{len(writes)} writes in one transaction"
    size_bytes = sum(_size_bytes({"M": write.get("Item", write.get("Key"))}) for write in writes)
    assert size_bytes <= TRANSACTION_LIMIT_BYTES, f"a transaction of {size_bytes} bytes"
    keys = [repr(sorted(_range_key(write.get("Key") or write["Item"]).items())) for write in writes]
    assert len(set(keys)) == len(keys), "an item twice in one transaction"
    for write in writes:
        expressions = " ".join(str(text) for name, text in write.items() if name.endswith("Expression"))
        for places in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
            for place in write.get(places, ()):
                assert re.search(re.escape(place) + r"\b", expressions), f"{place} is not used"


def _range_key(item: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("collection", "item") if "collection" in item else ("item_id", "lease_id", "key_id")
    return {name: item[name] for name in names if name in item}


def _check_keys(arguments: Mapping[str, Any]) -> None:
    writes = [write for entry in arguments.get("TransactItems", ()) for write in entry.values()] or [arguments]
    for write in writes:
        if "Item" in write:
            check_item(write["Item"])


def check_item(item: Mapping[str, Any]) -> None:
    """Raises what DynamoDB would of an item that is too large, or whose keys are too long or empty."""
    size_bytes = sum(len(name.encode()) + _size_bytes(value) for name, value in item.items())
    assert size_bytes <= ITEM_LIMIT_BYTES, f"an item of {size_bytes} bytes"
    for name in (
        "item_id",
        "lease_id",
        "key_id",
        "usage_id",
        "tenant_key",
        "newest",
        "tenant_status",
        "upkeep",
        "collection",
        "item",
    ):
        if name in item:
            assert 0 < len(item[name]["S"].encode()) <= KEY_LIMIT_BYTES, name


def _size_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "M":
        return sum(len(name.encode()) + _size_bytes(inner) + 1 for name, inner in content.items()) + 3
    return len(content.encode() if isinstance(content, str) else content) if kind in ("S", "B", "N") else 1
