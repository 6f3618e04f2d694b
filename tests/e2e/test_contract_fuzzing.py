"""Schemathesis over the whole contract, against a real server: no 5xx, no undocumented status, content type or shape.

Random identifiers would only ever meet 404, so every other case with a `query_id` gets one that is there.
"""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.contract import load_contract
from tests.e2e.conftest import Server

# Not checked: positive_data_acceptance, since a random string fits the contract's `query` and is no SQL all the same.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
EXAMPLES_PER_OPERATION = 60

# what is too long may be refused for its length before anything in it is looked at
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 431]
config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
contract = schemathesis.openapi.from_dict(load_contract(), config=config)
later_contract = schemathesis.openapi.from_dict(load_contract("v1"), config=config)
turn = itertools.count()


@pytest.fixture(scope="module")
def finished_query(server: Server) -> str:
    return str(server.submit("SELECT servicename, data FROM events LIMIT 50", retention_minutes=600)["query_id"])


@pytest.fixture(scope="module")
def link_token(server: Server, finished_query: str) -> str:
    made = server.post(f"/download/{finished_query}/link", json={}).json()
    return str(made["url"]).partition("token=")[2]


@contract.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES_PER_OPERATION,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_the_contract_is_kept(case: Any, server: Server, finished_query: str, link_token: str) -> None:
    check(case, server, finished_query, link_token)


@later_contract.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES_PER_OPERATION // 6,  # the code is v0's
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_v1_is_kept(case: Any, server: Server, finished_query: str, link_token: str) -> None:
    check(case, server, finished_query, link_token)


def check(case: Any, server: Server, finished_query: str, link_token: str) -> None:
    """Sends a case; the answer is what the contract says."""
    checks = list(CHECKS)
    if next(turn) % 2 == 0 and put_identifier(case, finished_query):
        checks.remove(negative_data_rejection)  # what was wrong with the case may have been its identifier
        if case.path.endswith("/signed"):
            case.query = {"token": link_token}
    response = case.call(base_url=server.url, timeout=60)
    case.validate_response(response, checks=checks)


def put_identifier(case: Any, query_id: str) -> bool:
    """Puts the identifier of a query that is there in the place of a random one; whether there was a place."""
    if case.method != "DELETE" and "query_id" in (case.path_parameters or {}):
        case.path_parameters["query_id"] = query_id
        return True
    if isinstance(case.body, dict) and isinstance(case.body.get("query_id"), str):
        case.body["query_id"] = query_id
        return True
    return False


def test_every_operation_was_met_with_success_and_most_with_refusal(server: Server) -> None:
    """What the cases above came to: a fuzzing that only ever hears 400 checks little. Runs last in this file."""
    answered: dict[str, set[int]] = {}
    for line in server.logs():
        if line["event"] == "request":
            answered.setdefault(f"{line['method'].lower()} {line['route']}", set()).add(line["status"])
    for path, methods in load_contract()["paths"].items():
        for method, operation in methods.items():
            statuses = answered[f"{method} {path}"]
            if method != "delete":
                assert 200 in statuses, f"{method} {path} never succeeded: {statuses}"
            if "requestBody" in operation or "{" in path:
                assert statuses & {400, 404}, f"{method} {path} was never refused: {statuses}"
