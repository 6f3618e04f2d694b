"""One DynamoDB table spoken to in plain values: texts, whole numbers, bytes, truth values and maps of them.

    table = DynamoDbTable(boto3.client("dynamodb"), "data-hist-leases", key="lease_id")
    table.put({"lease_id": "a", "n": 1}, condition=Attr("lease_id").not_exists())

A condition that does not hold is ConditionFailed, with the item that stood against it. Throttling and colliding
transactions are waited out with jitter, beyond boto3's own retries; what lasts longer, and every other trouble of the
connection or the account, is StoreUnavailable. A request that DynamoDB calls invalid is our fault, and raised as it is.
None is not kept: an attribute that is not there is None.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from glue.dynamodb_values import Item, decoded, encoded
from service.errors import StoreUnavailable

_LOG = logging.getLogger(__name__)

BATCH_GET_LIMIT = 100
"""BatchGetItem takes at most 100 keys (DynamoDB API reference)."""

_PASSING = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceeded",  # so called among the reasons of a cancelled transaction
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_OUR_FAULT = frozenset({"ValidationException", "SerializationException", "ValidationError"})


class ConditionFailed(Exception):
    """The condition of a write does not hold; `item` is what is there, None when nothing is (or it was not told)."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition of a write does not hold")
        self.item = item


class _Passing(Exception):
    """Trouble that is likely to pass by itself."""


class DynamoDbTable:
    """See the module. Safe for many threads, as boto3's clients are."""

    def __init__(
        self,
        dynamodb: Any,
        name: str,
        *,
        key: str,
        attempts: int = 6,
        longest_wait_seconds: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dynamodb = dynamodb
        self._name = name
        self._key = key
        self._attempts = attempts
        self._longest_wait_seconds = longest_wait_seconds
        self._sleep = sleep

    def get(self, key: str) -> Item | None:
        """The item as it is now (a strongly consistent read); None when there is none."""
        answer = self._called(
            self._dynamodb.get_item, TableName=self._name, Key=encoded({self._key: key}), ConsistentRead=True
        )
        return decoded(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[str]) -> dict[str, Item]:
        """The items that are there now, by key."""
        found: dict[str, Item] = {}
        for start in range(0, len(keys), BATCH_GET_LIMIT):
            left = [encoded({self._key: key}) for key in dict.fromkeys(keys[start : start + BATCH_GET_LIMIT])]
            for pause_seconds in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, None):
                request = {self._name: {"Keys": left, "ConsistentRead": True}}
                answer = self._called(self._dynamodb.batch_get_item, RequestItems=request)
                for item in map(decoded, answer["Responses"].get(self._name, ())):
                    found[item[self._key]] = item
                left = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if not left:
                    break
                if pause_seconds is None:
                    raise StoreUnavailable("the store throttles reads")
                self._sleep(pause_seconds)
        return found

    def put(self, item: Mapping[str, Any], *, condition: ConditionBase | None = None) -> None:
        """Writes the whole item. Raises ConditionFailed."""
        self._called(self._dynamodb.put_item, TableName=self._name, Item=encoded(item), **_told_when_failing(condition))

    def update(
        self,
        key: str,
        changes: Mapping[str, Any],
        *,
        condition: ConditionBase,
        if_absent: Mapping[str, Any] | None = None,
        added: Mapping[str, int] | None = None,
        has_paths: bool = False,
    ) -> Item:
        """Sets these attributes (None removes one), those of `if_absent` where there is none yet, and adds to the
        numbers of `added` (none yet is 0); the item as it then is. With `has_paths` a name such as `held.x` is a place
        in a map. Raises ConditionFailed.
        """
        expression = _Update(has_paths=has_paths)
        for name, value in changes.items():
            expression.change(name, value)
        for name, value in (if_absent or {}).items():
            expression.set_if_absent(name, value)
        for name, value in (added or {}).items():
            expression.add(name, value)
        arguments = _told_when_failing(condition)
        answer = self._called(
            self._dynamodb.update_item,
            TableName=self._name,
            Key=encoded({self._key: key}),
            ReturnValues="ALL_NEW",
            **expression.merged_into(arguments),
        )
        return decoded(answer["Attributes"])

    def delete(self, key: str, *, condition: ConditionBase | None = None) -> None:
        """Deletes the item; what is gone already is no error. Raises ConditionFailed."""
        self._called(
            self._dynamodb.delete_item,
            TableName=self._name,
            Key=encoded({self._key: key}),
            **_told_when_failing(condition),
        )

    def put_all(self, items: Sequence[tuple[Mapping[str, Any], ConditionBase]]) -> None:
        """Writes these items, all or none. Raises ConditionFailed with the item that stood against the first."""
        writes = [
            {"Put": {"TableName": self._name, "Item": encoded(item), **_told_when_failing(condition)}}
            for item, condition in items
        ]
        self._called(self._dynamodb.transact_write_items, TransactItems=writes)

    def query(
        self,
        index: str,
        condition: ConditionBase,
        *,
        is_descending: bool = False,
        page_limit: int | None = None,
    ) -> Iterator[Item]:
        """The items of an index in its order: what was written a moment ago may be missing."""
        paging = {} if page_limit is None else {"Limit": page_limit}
        for answer in self._pages(index, condition, ScanIndexForward=not is_descending, **paging):
            yield from map(decoded, answer["Items"])

    def count(self, index: str, condition: ConditionBase) -> int:
        """How many items of an index there are."""
        return sum(int(answer["Count"]) for answer in self._pages(index, condition, Select="COUNT"))

    def scan(self) -> Iterator[Item]:
        """Every item, in no order. For small tables."""
        arguments: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        while True:
            answer = self._called(self._dynamodb.scan, **arguments)
            yield from map(decoded, answer["Items"])
            if not answer.get("LastEvaluatedKey"):
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _pages(self, index: str, condition: ConditionBase, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        expressions = _Expressions()
        arguments |= {
            "TableName": self._name,
            "IndexName": index,
            "KeyConditionExpression": expressions.add(condition, is_key_condition=True),
        }
        arguments |= expressions.arguments()
        while True:
            answer = self._called(self._dynamodb.query, **arguments)
            yield answer
            if not answer.get("LastEvaluatedKey"):
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _called(self, method: Callable[..., Any], **arguments: Any) -> Any:
        retrying = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.05, max=self._longest_wait_seconds),
            sleep=self._sleep,
        )
        try:
            return retrying(_once, method, arguments)
        except RetryError as error:
            raise StoreUnavailable("the store asks for patience; try again later") from error


def _once(method: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return method(**arguments)
    except ClientError as error:
        raise _trouble(error) from error
    except BotoCoreError as error:
        _LOG.warning("DynamoDB cannot be reached: %s", error)
        raise StoreUnavailable(f"the store cannot be reached ({type(error).__name__})") from error


def _trouble(error: ClientError) -> Exception:
    """What a refused call means."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(_told_item(error.response))
    if code == "TransactionCanceledException":
        reasons = error.response.get("CancellationReasons", ())
        for reason in reasons:
            if reason.get("Code") == "ConditionalCheckFailed":
                return ConditionFailed(_told_item(reason))
        if all(reason.get("Code", "None") in _PASSING | {"None"} for reason in reasons):
            return _Passing(code)
    if code in _PASSING:
        return _Passing(code)
    if code in _OUR_FAULT:
        return error
    _LOG.warning("DynamoDB refuses: %s", error)
    return StoreUnavailable(f"the store refuses the service ({code})")


def _told_item(answer: Mapping[str, Any]) -> Item | None:
    return decoded(answer["Item"]) if answer.get("Item") else None


def _told_when_failing(condition: ConditionBase | None) -> dict[str, Any]:
    """A condition's arguments of a write that tells, when it fails, what is there."""
    if condition is None:
        return {}
    expressions = _Expressions()
    return {
        "ConditionExpression": expressions.add(condition),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **expressions.arguments(),
    }


class _Expressions:
    """Conditions of one request, with the placeholders they share."""

    def __init__(self) -> None:
        self._builder = ConditionExpressionBuilder()
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def add(self, condition: ConditionBase, *, is_key_condition: bool = False) -> str:
        built = self._builder.build_expression(condition, is_key_condition=is_key_condition)
        self._names |= built.attribute_name_placeholders
        self._values |= built.attribute_value_placeholders
        return str(built.condition_expression)

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"ExpressionAttributeNames": self._names}
        if self._values:
            given["ExpressionAttributeValues"] = encoded(self._values)
        return given


class _Update:
    """An UpdateExpression that is being put together."""

    def __init__(self, *, has_paths: bool) -> None:
        self._has_paths = has_paths
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._set: list[str] = []
        self._removed: list[str] = []
        self._added: list[str] = []

    def change(self, name: str, value: Any) -> None:
        place = self._place(name)
        if value is None:
            self._removed.append(place)
        else:
            self._set.append(f"{place} = {self._value(value)}")

    def set_if_absent(self, name: str, value: Any) -> None:
        place = self._place(name)
        self._set.append(f"{place} = if_not_exists({place}, {self._value(value)})")

    def add(self, name: str, value: int) -> None:
        self._added.append(f"{self._place(name)} {self._value(value)}")

    def merged_into(self, arguments: dict[str, Any]) -> dict[str, Any]:
        parts = []
        if self._set:
            parts.append("SET " + ", ".join(self._set))
        if self._removed:
            parts.append("REMOVE " + ", ".join(self._removed))
        if self._added:
            parts.append("ADD " + ", ".join(self._added))
        values = {**arguments.get("ExpressionAttributeValues", {}), **encoded(self._values)}
        merged = {
            **arguments,
            "UpdateExpression": " ".join(parts),
            "ExpressionAttributeNames": {**arguments.get("ExpressionAttributeNames", {}), **self._names},
        }
        return {**merged, "ExpressionAttributeValues": values} if values else merged

    def _place(self, name: str) -> str:
        steps = name.split(".", 1) if self._has_paths else [name]
        places = []
        for step in steps:
            place = f"#s{len(self._names)}"
            self._names[place] = step
            places.append(place)
        return ".".join(places)

    def _value(self, value: Any) -> str:
        place = f":s{len(self._values)}"
        self._values[place] = value
        return place
