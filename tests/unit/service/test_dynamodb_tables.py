"""The tables are what their definitions say; what differs is told in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from glue.dynamodb_table import Key, TableDefinition, create_table, differences
from service.dynamodb_tables import EXECUTIONS, TABLES
from tests.contract.aws_implementations import moto_client


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with moto_client("dynamodb", monkeypatch) as client:
        yield client


@pytest.mark.parametrize("definition", TABLES, ids=lambda definition: definition.default_name)
def test_a_table_that_is_made_is_as_defined(dynamodb: Any, definition: TableDefinition) -> None:
    name = definition.default_name
    assert differences(dynamodb, definition, name) == ("the table does not exist",)
    for is_new in (True, False):
        assert create_table(dynamodb, definition, name) is is_new
        assert differences(dynamodb, definition, name) == ()


def test_what_differs_is_told(dynamodb: Any) -> None:
    create_table(dynamodb, replace(EXECUTIONS, indexes=EXECUTIONS.indexes[:1], has_ttl=False), "poorer")
    assert differences(dynamodb, EXECUTIONS, "poorer") == (
        "attribute tenant_status is not of type S",
        "attribute upkeep is not of type S",
        "attribute upkeep_at is not of type N",
        "index by_tenant_and_status is missing",
        "index by_upkeep is missing",
        "time to live is not on for attribute ttl",
    )
    create_table(dynamodb, replace(EXECUTIONS, hash_key=Key("id")), "other-key")
    assert differences(dynamodb, EXECUTIONS, "other-key")[0].startswith("its key is ")
    narrow = tuple(replace(index, included=()) for index in EXECUTIONS.indexes)
    create_table(dynamodb, replace(EXECUTIONS, indexes=narrow), "narrow")
    assert differences(dynamodb, EXECUTIONS, "narrow") == ("index by_upkeep has other keys or attributes",)


def test_definitions_are_plain_data() -> None:
    for definition in TABLES:
        assert orjson.loads(orjson.dumps(definition.as_data()))["TableName"] == definition.default_name
