"""A DynamoDB table as data: what code, commands and Terraform agree on.

A `TableDefinition` gives the arguments of CreateTable (`table_input`) and plain JSON (`as_data`). Every table is billed
by request; the attribute `ttl`, where there is one, holds seconds since 1970 (DynamoDB guide, "Using time to live").
`LEDGER` is the partition ledger's table (`glue.dynamodb_ledger`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

AttributeType = Literal["S", "N", "B"]

TTL_ATTRIBUTE = "ttl"


@dataclass(frozen=True)
class Key:
    """A key attribute and its type: S text, N number, B bytes."""

    name: str
    type: AttributeType = "S"


@dataclass(frozen=True)
class IndexDefinition:
    """A global secondary index; `included` are the attributes it holds beside its keys and the table's."""

    name: str
    hash_key: Key
    range_key: Key
    included: tuple[str, ...] = ()

    def index_input(self) -> dict[str, Any]:
        """The index in CreateTable's words."""
        projection: dict[str, Any] = {"ProjectionType": "KEYS_ONLY"}
        if self.included:
            projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(self.included)}
        return {
            "IndexName": self.name,
            "KeySchema": _key_schema(self.hash_key, self.range_key),
            "Projection": projection,
        }


@dataclass(frozen=True)
class TableDefinition:
    """A table; `default_name` is what it is called where no setting says otherwise."""

    default_name: str
    setting: str
    hash_key: Key
    indexes: tuple[IndexDefinition, ...] = ()
    range_key: Key | None = None
    has_ttl: bool = False
    keeps_what_cannot_be_made_again: bool = False

    def table_input(self, name: str | None = None) -> dict[str, Any]:
        """The arguments of CreateTable."""
        own_keys = [key for key in (self.hash_key, self.range_key) if key is not None]
        keys = {key.name: key for key in own_keys}
        for index in self.indexes:
            keys |= {key.name: key for key in (index.hash_key, index.range_key)}
        given: dict[str, Any] = {
            "TableName": name or self.default_name,
            "KeySchema": _key_schema(*own_keys),
            "AttributeDefinitions": [{"AttributeName": key.name, "AttributeType": key.type} for key in keys.values()],
            "BillingMode": "PAY_PER_REQUEST",
        }
        if self.indexes:
            given["GlobalSecondaryIndexes"] = [index.index_input() for index in self.indexes]
        return given

    def as_data(self) -> dict[str, Any]:
        """CreateTable's arguments and what is set beside them, as JSON can hold it."""
        return {
            **self.table_input(),
            "Setting": self.setting,
            "TimeToLiveAttribute": TTL_ATTRIBUTE if self.has_ttl else None,
            "PointInTimeRecovery": self.keeps_what_cannot_be_made_again,
        }


LEDGER = TableDefinition(
    default_name="data-hist-ledger",
    setting="DATA_HIST_LEDGER_TABLE",
    hash_key=Key("collection"),
    range_key=Key("item"),
    has_ttl=True,
    keeps_what_cannot_be_made_again=True,
)


def create_table(dynamodb: Any, definition: TableDefinition, name: str) -> bool:
    """Makes the table and waits until it can be used; False when it was there. Twice equals once.

    Raises ClientError.
    """
    is_new = True
    try:
        dynamodb.create_table(**definition.table_input(name))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        is_new = False
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    if definition.has_ttl:
        told = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if told["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
            specification = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    return is_new


def differences(dynamodb: Any, definition: TableDefinition, name: str) -> tuple[str, ...]:
    """What of a table that is there is not as defined, in words; empty when it can be used. Raises ClientError."""
    try:
        table = dynamodb.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return ("the table does not exist",)
    wanted = definition.table_input(name)
    found: list[str] = []
    if table["KeySchema"] != wanted["KeySchema"]:
        found.append(f"its key is {table['KeySchema']}, not {wanted['KeySchema']}")
    types = _types(table["AttributeDefinitions"])
    found += [
        f"attribute {key} is not of type {type_}"
        for key, type_ in _types(wanted["AttributeDefinitions"]).items()
        if types.get(key) != type_
    ]
    indexes = {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", ())}
    for index in wanted.get("GlobalSecondaryIndexes", ()):
        there = indexes.get(index["IndexName"])
        if there is None:
            found.append(f"index {index['IndexName']} is missing")
        elif there["KeySchema"] != index["KeySchema"] or not _holds(there["Projection"], index["Projection"]):
            found.append(f"index {index['IndexName']} has other keys or attributes")
    if definition.has_ttl:
        told = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if told.get("AttributeName") != TTL_ATTRIBUTE:
            found.append(f"time to live is not on for attribute {TTL_ATTRIBUTE}")
    return tuple(found)


def _key_schema(*keys: Key) -> list[dict[str, str]]:
    return [{"AttributeName": key.name, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def _types(definitions: Iterable[dict[str, str]]) -> dict[str, str]:
    return {item["AttributeName"]: item["AttributeType"] for item in definitions}


def _holds(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if there["ProjectionType"] == "ALL":
        return True
    return set(there.get("NonKeyAttributes", ())) >= set(wanted.get("NonKeyAttributes", ()))
