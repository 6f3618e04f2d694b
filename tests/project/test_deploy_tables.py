"""Terraform's DynamoDB tables are those that the code defines: keys, indexes, time to live, settings."""

from __future__ import annotations

from typing import Any

from service.dynamodb_tables import TABLES, TableDefinition
from tests.project.terraform.files import TERRAFORM, parsed


def declared() -> dict[str, Any]:
    (found,) = (told["tables"] for told in parsed(TERRAFORM / "persistent_data/main.tf")["locals"] if "tables" in told)
    tables: dict[str, Any] = found
    return tables


def as_declared(definition: TableDefinition) -> dict[str, Any]:
    """A definition in the words of persistent_data/main.tf."""
    key = definition.range_key
    return {
        "setting": definition.setting,
        **({} if key is None else {"range_key": {"name": key.name, "type": key.type}}),
        "hash_key": {"name": definition.hash_key.name, "type": definition.hash_key.type},
        "has_ttl": definition.has_ttl,
        "indexes": {
            index.name: {
                "hash_key": {"name": index.hash_key.name, "type": index.hash_key.type},
                "range_key": {"name": index.range_key.name, "type": index.range_key.type},
                "included": list(index.included),
            }
            for index in definition.indexes
        },
    }


def test_terraform_declares_what_the_code_defines() -> None:
    defined = {table.default_name.removeprefix("data-hist-"): as_declared(table) for table in TABLES}
    assert declared() == defined
