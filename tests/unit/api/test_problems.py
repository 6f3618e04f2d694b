"""The table of problems is whole: every error has a row, a code, and a place in the contract and the docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api import problems
from api.contract import load_contract
from api.problem_types import markdown, problem_types
from api.problems import PROBLEMS, EdgeError, problem_document, problem_response, problem_type, status_of
from service.errors import (
    Blame,
    ColumnNotFound,
    InvalidRequest,
    QueryFailed,
    QueryFailure,
    ServiceError,
)

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[3]


def subclasses(kind: type) -> set[type]:
    return {kind} | {below for child in kind.__subclasses__() for below in subclasses(child)}


SERVICE_ERRORS = sorted(
    (kind for kind in subclasses(ServiceError) - {ServiceError} if kind.__module__.startswith("service")),
    key=lambda kind: kind.__name__,
)
EDGE_ERRORS = sorted(subclasses(EdgeError) - {EdgeError}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", SERVICE_ERRORS + EDGE_ERRORS)
def test_every_error_has_a_row(kind: type[Exception]) -> None:
    assert any(ancestor in PROBLEMS for ancestor in kind.__mro__), f"{kind.__name__} has no HTTP status"
    assert kind.__doc__


def test_the_statuses_of_the_contract() -> None:
    """DESIGN section 4, in one table."""
    by_code = {kind.__name__: status for kind, status in PROBLEMS.items()}
    assert by_code["QueryNotFound"] == 404
    assert by_code["QueryNotFinished"] == 409
    assert by_code["ResultExpired"] == 410
    assert by_code["TooManyQueries"] == 429
    assert by_code["EngineUnavailable"] == 503
    assert by_code["IdempotencyConflict"] == 422
    assert by_code["StatementError"] == by_code["InvalidPagingToken"] == 400


@pytest.mark.parametrize(("blame", "status"), [(Blame.USER, 400), (Blame.ENGINE, 409), (Blame.SERVICE, 409)])
def test_blame_decides_about_a_failed_query(blame: Blame, status: int) -> None:
    failure = QueryFailure("DivisionByZero", "Division by zero", blame, retryable=True, line=2, column=3)
    document = problem_document(QueryFailed(failure, query_id="q"), instance="/x", request_id="r")
    assert document["status"] == status
    assert document["code"] == "DivisionByZero"
    assert document["location"] == {"line": 2, "column": 3}
    assert document["retryable"] is True
    assert document["query_id"] == "q"


def test_members_that_do_not_apply_are_absent() -> None:
    document = problem_document(ColumnNotFound("no", name="x"), instance="/x", request_id="r")
    assert set(document) == {"type", "title", "status", "detail", "instance", "code", "retryable", "request_id"}


def test_a_field_of_the_request_is_pointed_at() -> None:
    document = problem_document(InvalidRequest("is not a time", field="from"), instance="/x", request_id="r")
    assert document["errors"] == [{"pointer": "#/from", "detail": "is not a time"}]


def test_what_has_no_row_tells_nothing() -> None:
    response, code = problem_response(ValueError("password=hunter2"), instance="/x", request_id="r")
    assert (response.status_code, code) == (500, "InternalError")
    assert b"hunter2" not in response.body


def test_a_path_is_written_as_a_uri_reference() -> None:
    document = problem_document(problems.NotFound("no"), instance="/a b/\u00e9?#\0", request_id="r")
    assert document["instance"] == "/a%20b/%C3%A9%3F%23%00"


@pytest.mark.parametrize(
    ("code", "type_"),
    [("ColumnNotFound", "/v0/problems/column-not-found"), ("InvalidQuerySyntax", "/v0/problems/invalid-query-syntax")],
)
def test_type_is_the_code_in_kebab_case(code: str, type_: str) -> None:
    assert problem_type(code) == type_


def test_the_examples_of_the_contract_are_true() -> None:
    """Each example has the type, status and title that the code really comes with."""
    kinds = {kind.__name__: kind for kind in [*SERVICE_ERRORS, *EDGE_ERRORS]} | {"InvalidRequest": InvalidRequest}
    for response in load_contract()["components"]["responses"].values():
        media = response["content"]["application/problem+json"]
        several = media.get("examples", {"example": {"value": media.get("example")}})
        examples = [each["value"] for each in several.values()]
        for example in examples:
            kind = kinds[example["code"]]
            assert example["type"] == problem_type(example["code"])
            assert example["title"] == kind.title
            assert example["retryable"] == kind.retryable
            assert example["status"] == status_of(kind.__new__(kind))


def test_every_code_is_explained() -> None:
    explained = problem_types()
    for kind in [*SERVICE_ERRORS, *EDGE_ERRORS]:
        if kind.__subclasses__():
            continue  # only the leaves are raised
        code = kind.code if isinstance(getattr(kind, "code", None), str) else kind.__name__
        assert code in explained, f"{code} is not in openapi/problem_types.yaml"
        if kind is not QueryFailed:  # its status depends on the blame
            assert explained[code].status == status_of(kind.__new__(kind))
        assert explained[code].meaning
        assert explained[code].remedy


def test_the_codes_of_failures_are_explained() -> None:
    """Codes that the service writes into a QueryFailure by name."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r'QueryFailure\(\s*"(\w+)"', source)}
    assert codes
    assert codes - set(problem_types()) == set()


def test_the_page_in_docs_is_up_to_date() -> None:
    assert (ROOT / "docs" / "problem-types.md").read_text(encoding="utf-8") == markdown()


def test_every_type_leads_to_a_page(client: TestClient) -> None:
    for code, kind in problem_types().items():
        page = client.get(problem_type(code))
        assert page.status_code == 200
        assert kind.title in page.text
