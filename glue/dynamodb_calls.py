"""Calls of one DynamoDB table with a hash and a range key, in plain values; for the partition ledger.

Reads are strongly consistent. Throttling and passing trouble are waited out with jitter, beyond boto3's own retries;
what lasts longer is raised as boto3 raises it. A transaction whose conditions do not hold, or that collides with
another one, is `Outdated`: whoever sent it reads again and decides anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from glue.aws_clients import error_code
from glue.dynamodb_values import Item, decoded, encoded

ITEMS_PER_TRANSACTION = 100  # DynamoDB API reference, TransactWriteItems
KEYS_PER_READ = 100  # DynamoDB API reference, BatchGetItem
_COLLECTION, _ITEM = "collection", "item"  # the keys of glue.dynamodb_table.LEDGER
_LEAST, _GREATEST = " ", "\U0010ffff"  # no key is empty, and none sorts outside
_PASSING = frozenset(
    {
        "InternalServerError",
        "ItemCollectionSizeLimitExceededException",
        "LimitExceededException",
        "ProvisionedThroughputExceeded",  # so called among the reasons of a cancelled transaction
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
_OUTDATED = frozenset({"ConditionalCheckFailed", "TransactionConflict"})

ItemKey = tuple[str, str]  # collection and item


class Outdated(Exception):
    """What a write was decided on is no longer so."""


class DynamoDbCalls:
    """See the module. Safe for many threads, as boto3's clients are."""

    def __init__(
        self,
        dynamodb: Any,
        table_name: str,
        *,
        attempts: int = 8,
        longest_wait_seconds: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dynamodb = dynamodb
        self._table_name = table_name
        self._attempts = attempts
        self._longest_wait_seconds = longest_wait_seconds
        self._sleep = sleep

    def get(self, key: ItemKey) -> Item | None:
        """One item; None when it is not there."""
        answer = self._call(self._dynamodb.get_item, TableName=self._table_name, Key=_key(key), ConsistentRead=True)
        return decoded(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Iterable[ItemKey]) -> dict[ItemKey, Item]:
        """The items that are there, by key."""
        wanted = list(dict.fromkeys(keys))
        found: dict[ItemKey, Item] = {}
        for start in range(0, len(wanted), KEYS_PER_READ):
            left: Sequence[Any] = [_key(key) for key in wanted[start : start + KEYS_PER_READ]]
            for attempt in range(self._attempts + 1):
                request = {self._table_name: {"Keys": left, "ConsistentRead": True}}
                answer = self._call(self._dynamodb.batch_get_item, RequestItems=request)
                for item in map(decoded, answer["Responses"].get(self._table_name, ())):
                    found[item[_COLLECTION], item[_ITEM]] = item
                left = answer.get("UnprocessedKeys", {}).get(self._table_name, {}).get("Keys", ())
                if not left:
                    break
                if attempt == self._attempts:
                    raise ClientError(_THROTTLED, "BatchGetItem")
                self._sleep(min(self._longest_wait_seconds, 0.05 * 2**attempt))
        return found

    def query(
        self,
        collection: str,
        lower: str = "",
        upper: str = _GREATEST,
        *,
        is_descending: bool = False,
        page_limit: int | None = None,
    ) -> Iterator[Item]:
        """The items of a collection from `lower` to before `upper`, in order, page by page."""
        arguments: dict[str, Any] = {
            "TableName": self._table_name,
            "KeyConditionExpression": "#c = :c AND #i BETWEEN :lower AND :upper",
            "ExpressionAttributeNames": {"#c": _COLLECTION, "#i": _ITEM},
            "ExpressionAttributeValues": encoded({":c": collection, ":lower": lower or _LEAST, ":upper": upper}),
            "ScanIndexForward": not is_descending,
            "ConsistentRead": True,
        }
        if page_limit is not None:
            arguments["Limit"] = page_limit
        if (lower or _LEAST) >= upper:
            return
        while True:
            answer = self._call(self._dynamodb.query, **arguments)
            yield from (item for item in map(decoded, answer["Items"]) if item[_ITEM] < upper)
            if not answer.get("LastEvaluatedKey"):
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write(self, writes: Sequence[Mapping[str, Any]]) -> None:
        """All of these writes, or none. Raises Outdated."""
        if not writes:
            return
        try:
            self._call(self._dynamodb.transact_write_items, TransactItems=list(writes))
        except ClientError as error:
            if error_code(error) == "TransactionConflictException" or _reasons(error) & _OUTDATED:
                raise Outdated from error
            raise

    def put(self, key: ItemKey, item: Mapping[str, Any], *, revision: str | None) -> dict[str, Any]:
        """A write that puts an item where there is one of this revision; with None, where there is none."""
        return {"Put": self._conditioned({"Item": {**encoded(item), **_key(key)}}, "revision", revision)}

    def delete(self, key: ItemKey, *, revision: str | None = None) -> dict[str, Any]:
        """A write that deletes the item of this revision; with None, whatever is there."""
        if revision is None:
            return {"Delete": {"TableName": self._table_name, "Key": _key(key)}}
        return {"Delete": self._conditioned({"Key": _key(key)}, "revision", revision)}

    def delete_version(self, key: ItemKey, version: int) -> dict[str, Any]:
        """A write that deletes the item of this version."""
        return {"Delete": self._conditioned({"Key": _key(key)}, "version", version)}

    def replace(self, key: ItemKey, item: Mapping[str, Any]) -> dict[str, Any]:
        """A write that puts an item, whatever is there."""
        return {"Put": {"TableName": self._table_name, "Item": {**encoded(item), **_key(key)}}}

    def change(
        self,
        key: ItemKey,
        *,
        added: Mapping[str, int],
        values: Mapping[str, Any] | None = None,
        removed: Sequence[str] = (),
        version: int | None = None,
    ) -> dict[str, Any]:
        """A write that adds to numbers, sets and removes attributes; with `version`, of an item of that version."""
        names = {f"#{number}": name for number, name in enumerate([*added, *(values or {}), *removed])}
        places = {name: place for place, name in names.items()}
        parts = ["ADD " + ", ".join(f"{places[name]} :{places[name][1:]}" for name in added)] if added else []
        if values:
            parts.append("SET " + ", ".join(f"{places[name]} = :{places[name][1:]}" for name in values))
        if removed:
            parts.append("REMOVE " + ", ".join(places[name] for name in removed))
        update: dict[str, Any] = {
            "TableName": self._table_name,
            "Key": _key(key),
            "UpdateExpression": " ".join(parts),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": encoded(
                {f":{places[name][1:]}": value for name, value in {**added, **(values or {})}.items()}
            ),
        }
        if version is not None:
            update["ConditionExpression"] = "#version = :version"
            update["ExpressionAttributeNames"] = {**names, "#version": "version"}
            update["ExpressionAttributeValues"] |= encoded({":version": version})
        return {"Update": update}

    def raise_to(self, key: ItemKey, name: str, value: int) -> None:
        """Sets a number that only grows."""
        try:
            self._call(
                self._dynamodb.update_item,
                TableName=self._table_name,
                Key=_key(key),
                UpdateExpression="SET #n = :v",
                ConditionExpression="attribute_not_exists(#n) OR #n < :v",
                ExpressionAttributeNames={"#n": name},
                ExpressionAttributeValues=encoded({":v": value}),
            )
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise

    def _conditioned(self, write: dict[str, Any], name: str, value: str | int | None) -> dict[str, Any]:
        write |= {"TableName": self._table_name, "ExpressionAttributeNames": {"#r": name}}
        if value is None:
            return {**write, "ConditionExpression": "attribute_not_exists(#r)"}
        return {
            **write,
            "ConditionExpression": "#r = :r",
            "ExpressionAttributeValues": encoded({":r": value}),
        }

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.05, max=self._longest_wait_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(method, **arguments)


_THROTTLED: Any = {
    "Error": {"Code": "ProvisionedThroughputExceededException", "Message": "keys are left unprocessed again and again"}
}


def _key(key: ItemKey) -> dict[str, Any]:
    return encoded({_COLLECTION: key[0], _ITEM: key[1]})


def _reasons(error: ClientError) -> set[str]:
    """Why a transaction was cancelled."""
    reasons: Iterable[Mapping[str, Any]] = error.response.get("CancellationReasons", ())
    return {str(reason.get("Code", "None")) for reason in reasons} - {"None"}


def _is_passing(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    if error_code(error) != "TransactionCanceledException":
        return error_code(error) in _PASSING
    reasons = _reasons(error)
    return bool(reasons) and reasons <= _PASSING
