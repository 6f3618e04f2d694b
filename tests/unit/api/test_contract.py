"""The contract itself: valid OpenAPI, whole, and kept by the code that serves it."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from api.contract import json_schema, load_contract, resolve
from api.rendering import table_document
from service import model

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CONTRACT = load_contract()
OPERATIONS = [
    (method, path, operation) for path, methods in CONTRACT["paths"].items() for method, operation in methods.items()
]


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = CONTRACT["components"]["schemas"][name]
    return found


def test_it_is_valid_openapi() -> None:
    OpenAPIV30SpecValidator(CONTRACT).validate()


def test_nothing_in_it_was_cut_by_yaml() -> None:
    """`description: a, b` in a flow mapping makes a member with no value: a typing error YAML lets pass."""

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                assert value is not None or key == "value", f"{key!r} has no value"
                walk(value)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(CONTRACT)


def test_it_is_one_document() -> None:
    assert not re.search(r"'\$ref': '[^#]", str(CONTRACT))
    resolve(CONTRACT, CONTRACT["paths"])


def test_every_call_of_the_design_is_there() -> None:
    assert {(method, path) for method, path, _ in OPERATIONS} >= {
        ("post", "/v0/data_hist/query"),
        ("get", "/v0/data_hist/status/{query_id}"),
        ("post", "/v0/data_hist/next"),
        ("delete", "/v0/data_hist/query/{query_id}"),
        ("get", "/v0/data_hist/queries"),
        ("post", "/v0/data_hist/validate"),
        ("get", "/v0/data_hist/download/{query_id}"),
        ("get", "/v0/data_hist/tables"),
        ("get", "/v0/data_hist/tables/{table}"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/metrics"),
    }


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_is_described(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["operationId"].startswith("api.operations.")
    assert operation["summary"]
    assert operation["description"]
    assert operation.get("security") == [] or operation["x-required-scope"] in ("query", "operate")
    assert "500" in operation["responses"]
    if operation.get("security") != []:
        assert {"401", "403"} <= set(operation["responses"])
    for parameter in resolve(CONTRACT, operation.get("parameters", [])):
        assert parameter["description"]
    for response in resolve(CONTRACT, operation["responses"]).values():
        assert response["description"]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        assert content["examples"]
        assert resolve(CONTRACT, content["schema"])["additionalProperties"] is False
        assert {"400", "413", "415"} <= set(operation["responses"])


@pytest.mark.parametrize("name", ["QueryRequest", "NextRequest"])
def test_every_field_of_a_request_is_described(name: str) -> None:
    assert all(member.get("description") for member in schema(name)["properties"].values())


def test_defaults_and_limits_are_those_of_the_service() -> None:
    request = schema("QueryRequest")["properties"]
    assert request["retention_minutes"]["default"] == model.DEFAULT_RETENTION_MINUTES
    assert request["retention_minutes"]["maximum"] == model.MAXIMUM_RETENTION_MINUTES
    assert request["wait_seconds"]["maximum"] == model.MAXIMUM_WAIT_SECONDS
    page = schema("NextRequest")["properties"]["results_per_page"]
    assert page["default"] == page["maximum"] == model.MAXIMUM_RESULTS_PER_PAGE


def test_vocabulary_is_that_of_the_service() -> None:
    assert schema("QueryStatus")["enum"] == [status.value for status in model.QueryStatus]
    assert set(schema("Statistics")["properties"]) == {field.name for field in dataclasses.fields(model.Statistics)}


def test_a_table_is_told_in_members_of_the_contract_only() -> None:
    told = table_document(
        model.TableDescription(
            name="events",
            database="data_hist",
            description="what happened",
            location="s3://data-hist-lake/secor/events/",
            columns=(
                model.ColumnDescription("status", "int", "HTTP status", raised_from=("$.status",)),
                model.ColumnDescription("servicename", "string", "which service"),
            ),
            partition_keys=("dt",),
            first_partition="dt=2026-11-22",
            last_partition="dt=2026-11-22",
            newest_createdtimestamp=NOW,
            last_arrival_at=NOW,
            missing_partition_count_24_hours=3,
            complete_until=NOW,
        )
    )
    properties = schema("Table")["properties"]
    assert set(told) == set(properties)
    assert set(told["freshness"]) == set(properties["freshness"]["properties"])
    assert set(told["columns"][0]) == set(properties["columns"]["items"]["properties"])
    assert "raised_from" not in told["columns"][1]
    assert told["freshness"]["missing_partition_count_24_hours"] == 3


def test_examples_fit_their_schemas() -> None:
    import jsonschema_rs

    def check(media: dict[str, Any]) -> None:
        examples = [each["value"] for each in media.get("examples", {}).values()]
        examples += [media["example"]] if "example" in media else []
        validator = jsonschema_rs.Draft7Validator(json_schema(resolve(CONTRACT, media["schema"])))
        for example in examples:
            validator.validate(example)

    for _, _, operation in OPERATIONS:
        for media in resolve(CONTRACT, operation.get("requestBody", {})).get("content", {}).values():
            check(media)
        for response in resolve(CONTRACT, operation["responses"]).values():
            for media in response.get("content", {}).values():
                check(media)


def test_v1_is_valid_and_whole() -> None:
    later = load_contract("v1")
    OpenAPIV30SpecValidator(later).validate()
    assert not re.search(r"'\$ref': '[^#]", str(later))
    resolve(later, later["paths"])


def test_v1_has_the_calls_and_shapes_of_v0_under_other_words() -> None:
    later = load_contract("v1")
    calls = {path for path in CONTRACT["paths"] if path.startswith("/v0/data_hist/")}
    assert {path.replace("/v1/", "/v0/") for path in later["paths"]} == calls
    assert later["components"]["schemas"].keys() == CONTRACT["components"]["schemas"].keys()
    for path, methods in later["paths"].items():
        for method, operation in methods.items():
            twin = CONTRACT["paths"][path.replace("/v1/", "/v0/")][method]
            assert operation["operationId"] == twin["operationId"]
            assert operation["responses"].keys() == twin["responses"].keys()
    told = re.sub(r"[a-z]+_createdtimestamp", "", str(later))
    for word in ("servicename", "createdtimestamp", "customerid", "resourceid", "/v0/data_hist"):
        assert word not in told
    assert "newest_createdtimestamp" in str(later)  # a member of an answer, and no word of SQL
