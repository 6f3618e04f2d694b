"""DynamoDB in memory, as much of it as the partition ledger can notice, and no more forgiving than AWS.

For the tests that try every interleaving, for which moto is too slow. That moto understands the same requests is the
contract tests' matter.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

_Item = dict[str, Any]


class MemoryDynamoDb:
    """One table with the keys `collection` and `item`; the methods are boto3's."""

    page_items = 50

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], _Item] = {}

    def get_item(self, *, TableName: str, Key: _Item, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803  boto3's names
        assert ConsistentRead
        item = self.items.get(_place(Key))
        return {} if item is None else {"Item": copy.deepcopy(item)}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        assert wanted["ConsistentRead"]
        assert len({_place(key) for key in wanted["Keys"]}) == len(wanted["Keys"]), "a key twice in one read"
        found = [self.items[_place(key)] for key in wanted["Keys"] if _place(key) in self.items]
        return {"Responses": {table: copy.deepcopy(found)}, "UnprocessedKeys": {}}

    def query(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["KeyConditionExpression"] == "#c = :c AND #i BETWEEN :lower AND :upper"
        assert arguments["ConsistentRead"]
        values = {name: value["S"] for name, value in arguments["ExpressionAttributeValues"].items()}
        assert values[":lower"] <= values[":upper"], "BETWEEN with its ends in the wrong order"
        inside = sorted(
            (place for place in self.items if place[0] == values[":c"]),
            key=lambda place: place[1].encode(),
            reverse=not arguments["ScanIndexForward"],
        )
        inside = [p for p in inside if values[":lower"].encode() <= p[1].encode() <= values[":upper"].encode()]
        if "ExclusiveStartKey" in arguments:
            inside = inside[inside.index(_place(arguments["ExclusiveStartKey"])) + 1 :]
        page = inside[: min(arguments.get("Limit", self.page_items), self.page_items)]
        answer: dict[str, Any] = {"Items": [copy.deepcopy(self.items[place]) for place in page], "Count": len(page)}
        if len(page) < len(inside):
            answer["LastEvaluatedKey"] = {"collection": {"S": page[-1][0]}, "item": {"S": page[-1][1]}}
        return answer

    def update_item(self, **update: Any) -> dict[str, Any]:
        if not self._holds(update):
            raise _error("ConditionalCheckFailedException", "UpdateItem")
        self._write("Update", update)
        return {}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        reasons = [
            {"Code": "None" if self._holds(write) else "ConditionalCheckFailed"}
            for entry in TransactItems
            for write in entry.values()
        ]
        if any(reason["Code"] != "None" for reason in reasons):
            raise _error("TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons)
        for entry in TransactItems:
            for kind, write in entry.items():
                self._write(kind, write)
        return {}

    def _holds(self, write: Mapping[str, Any]) -> bool:
        item = self.items.get(_place(write.get("Key") or write["Item"]), {})
        names = write.get("ExpressionAttributeNames", {})
        values = write.get("ExpressionAttributeValues", {})
        for condition in (write.get("ConditionExpression") or "").split(" OR "):
            if not condition:
                return True
            if match := re.fullmatch(r"attribute_not_exists\((#\w+)\)", condition):
                holds = names[match[1]] not in item
            else:
                match = re.fullmatch(r"(#\w+) (=|<) (:\w+)", condition)
                assert match is not None, condition
                mine, its = item.get(names[match[1]]), values[match[3]]
                holds = mine == its if match[2] == "=" else mine is not None and int(mine["N"]) < int(its["N"])
            if holds:
                return True
        return False

    def _write(self, kind: str, write: Mapping[str, Any]) -> None:
        if kind == "Put":
            self.items[_place(write["Item"])] = copy.deepcopy(write["Item"])
        elif kind == "Delete":
            self.items.pop(_place(write["Key"]), None)
        else:
            self._update(write)

    def _update(self, write: Mapping[str, Any]) -> None:
        item = self.items.setdefault(_place(write["Key"]), copy.deepcopy(write["Key"]))
        clauses = re.split(r"\b(ADD|SET|REMOVE) ", write["UpdateExpression"])[1:]
        for verb, text in zip(clauses[::2], clauses[1::2], strict=True):
            for part in text.strip().split(", "):
                place, *rest = re.split(r" = | ", part)
                name = write["ExpressionAttributeNames"][place]
                if verb == "REMOVE":
                    item.pop(name, None)
                    continue
                value = write["ExpressionAttributeValues"][rest[0]]
                if verb == "ADD":
                    assert set(value) == {"N"}, "only numbers are added"
                    value = {"N": str(int(item.get(name, {"N": "0"})["N"]) + int(value["N"]))}
                item[name] = value


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["collection"]["S"], item["item"]["S"]


def _error(code: str, operation: str, **members: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "a condition does not hold"}, **members}
    return ClientError(answer, operation)
