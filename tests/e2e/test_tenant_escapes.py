"""No tenant learns anything of another over HTTP: 450 attempts in SQL (escapes/shapes.yaml), more with identifiers.

An attempt fails when customer 11000 is told the same by two services whose lakes differ in others' rows only
(tests/e2e/escapes/twins.py), when no text of those rows comes back, and when counts are those of its own rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.escapes.twins import OPERATOR, OTHER, OWN, Answer, Twin, comparable, running_twins, told_by_both

pytestmark = pytest.mark.xdist_group("tenant-escapes")  # one pair of services for all of them
SHAPES = Path(__file__).parent / "escapes" / "shapes.yaml"
TRANSFORMED = (str.lower, str.upper, lambda text: text[::-1], lambda text: text.encode().hex())


@dataclass(frozen=True)
class Shape:
    """One attempt: the body to submit, and the one value that has to come back, where that is told."""

    body: dict[str, Any]
    own: Any = None


@cache
def shapes() -> list[Shape]:
    found = []
    for group in yaml.safe_load(SHAPES.read_text(encoding="utf-8")):
        for shape in group["shapes"]:
            members = {"sql": shape} if isinstance(shape, str) else dict(shape)
            own = members.pop("own", None)
            found.append(Shape({"query": members.pop("sql"), **members}, own))
    return found


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Twin, Twin]]:
    with running_twins(tmp_path_factory.mktemp("twins")) as running:
        yield running


@pytest.fixture(scope="module")
def told(twins: tuple[Twin, Twin]) -> list[list[tuple[Answer, str]]]:
    """What both twins tell of every shape; asked all at once, as that is several times quicker."""
    return told_by_both(twins, [shape.body for shape in shapes()])


def test_there_are_enough_attempts_and_none_stands_twice() -> None:
    bodies = [repr(shape.body) for shape in shapes()]
    assert len(bodies) >= 450
    assert len(set(bodies)) == len(bodies)
    assert {name for shape in shapes() for name in shape.body} == {"query", "parameters", "from", "to", "api"}


@pytest.mark.parametrize("number", range(len(shapes())))
def test_an_attempt_in_sql_tells_nothing(
    number: int, twins: tuple[Twin, Twin], told: list[list[tuple[Answer, str]]]
) -> None:
    shape = shapes()[number]
    (first, first_text), (second, second_text) = told[0][number], told[1][number]
    assert first == second, shape.body
    for twin, text in zip(twins, (first_text, second_text), strict=True):
        for told_marker in (twin.marker, *(change(twin.marker) for change in TRANSFORMED)):
            assert told_marker not in text, shape.body
    assert first["status"] in (200, 400), first
    if shape.own is not None:
        [row] = first["rows"]
        [value] = yaml.safe_load(row).values()
        assert value == shape.own, shape.body


# -- results of another tenant that could be reused

ASKED_BY_ALL = [
    ("SELECT count(*) AS n FROM events", 40),
    ("SELECT count(*) AS n FROM events WHERE status = 200", 40),
    ("SELECT max(customerid) AS n FROM events", OWN),
]


@pytest.mark.parametrize("reuse", [True, {"max_age_minutes": 525_600}])
@pytest.mark.parametrize(("sql", "own"), ASKED_BY_ALL)
def test_a_result_is_not_reused_for_another_tenant(
    twins: tuple[Twin, Twin], sql: str, own: int, reuse: bool | dict[str, int]
) -> None:
    twin = twins[0]
    for customer in (OTHER, OPERATOR, OWN, OTHER):
        query_id = twin.submitted(customer, sql, reuse=reuse)
        [row] = twin.call(customer, "POST", "/next", json={"query_id": query_id}).json()["result_set"]
        assert (row["n"] == own) == (customer == OWN), customer


def test_equal_queries_of_tenants_at_once_are_not_shared(twins: tuple[Twin, Twin]) -> None:
    twin = twins[0]
    sql = "SELECT max(a.customerid) AS n FROM events a CROSS JOIN events b WHERE a.data <> b.data"

    def told(customer: int) -> Any:
        query_id = twin.submitted(customer, sql)
        return twin.call(customer, "POST", "/next", json={"query_id": query_id}).json()["result_set"]

    customers = [OTHER, OWN, OPERATOR] * 4
    with ThreadPoolExecutor(len(customers)) as pool:
        assert list(pool.map(told, customers)) == [[{"n": customer}] for customer in customers]


# -- identifiers of another tenant


@dataclass(frozen=True)
class Secrets:
    """What another tenant got from the service, and customer 11000 may have come by."""

    query_id: str
    paging_token: str
    listing_token: str
    partitions_token: str
    idempotency_key: str
    body: dict[str, Any]


@pytest.fixture(scope="module")
def stolen(twins: tuple[Twin, Twin]) -> Secrets:
    twin = twins[0]
    body = {"query": "SELECT data FROM events", "wait_seconds": 50}
    key = "nightly-1"
    answer = twin.call(OTHER, "POST", "/query", json=body, headers={"Idempotency-Key": key})
    query_id = answer.json()["query_id"]
    twin.submitted(OTHER, "SELECT 1")
    page = twin.call(OTHER, "POST", "/next", json={"query_id": query_id, "results_per_page": 1}).json()
    assert twin.marker in str(page["result_set"])
    listing = twin.call(OTHER, "GET", "/queries", params={"limit": 1}).json()
    partitions = twin.call(OTHER, "GET", "/tables/events/partitions", params={"limit": 1}).json()
    return Secrets(
        query_id, page["paging_token"], listing["paging_token"], partitions["paging_token"], key, body
    )  # fmt: skip


CALLS = [
    ("GET", "/status/{id}", {}),
    ("GET", "/status/{id}", {"params": {"wait_seconds": 1}}),
    ("POST", "/next", {"json": {"query_id": "{id}"}}),
    ("POST", "/next", {"json": {"query_id": "{id}", "paging_token": "{token}"}}),
    ("POST", "/next", {"json": {"query_id": "{id}", "results_per_page": 1, "paging_token": "{token}"}}),
    *(("GET", "/download/{id}", {"params": {"format": format}}) for format in ("csv", "ndjson", "parquet", "arrow")),
    ("GET", "/queries/{id}/explain-empty", {}),
    ("DELETE", "/query/{id}", {}),
    ("POST", "/download/{id}/link", {"json": {}}),
    ("POST", "/download/{id}/link", {"json": {"format": "parquet", "valid_minutes": 1}}),
    ("GET", "/download/{id}/signed", {"params": {"token": "{token}"}}),
    ("GET", "/download/{id}/signed", {"params": {"token": "AAAA"}}),
    ("GET", "/status/{id}%20", {}),
    ("GET", "/status/%7B{id}%7D", {}),
    ("GET", "/status/../status/{id}", {}),
    ("GET", "/status/{upper}", {}),
    ("GET", "/status/urn:uuid:{id}", {}),
    ("POST", "/next", {"json": {"query_id": "{upper}"}}),
    ("POST", "/next", {"json": {"query_id": "{id}\n"}}),
]


def filled(value: Any, query_id: str, token: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(member, query_id, token) for name, member in value.items()}
    if isinstance(value, str):
        return value.replace("{id}", query_id).replace("{upper}", query_id.upper()).replace("{token}", token)
    return value


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]} {call[2]}")
def test_anothers_query_is_answered_as_one_that_never_was(
    call: tuple[str, str, dict[str, Any]], twins: tuple[Twin, Twin], stolen: Secrets
) -> None:
    method, path, arguments = call
    answers: list[httpx.Response] = []
    nobodys = str(uuid.uuid4())
    for query_id in (stolen.query_id, nobodys):
        filled_in = filled(arguments, query_id, stolen.paging_token)
        answers.append(twins[0].call(OWN, method, filled(path, query_id, ""), **filled_in))
    told, untold = (
        {
            name: str(value).replace(query_id, "ID").replace(query_id.upper(), "ID")
            for name, value in answer.json().items()
            if name != "request_id"
        }
        for answer, query_id in zip(answers, (stolen.query_id, nobodys), strict=True)
    )
    assert told == untold
    assert answers[0].status_code in (400, 403, 404)
    assert twins[0].marker not in answers[0].text
    still = twins[0].call(OTHER, "GET", f"/status/{stolen.query_id}").json()
    assert (still["status"], still["has_result"]) == ("FINISHED", True)


def test_anothers_tokens_are_no_tokens(twins: tuple[Twin, Twin], stolen: Secrets) -> None:
    twin = twins[0]
    own = twin.submitted(OWN, "SELECT data FROM events")
    attempts = [
        twin.call(OWN, "POST", "/next", json={"query_id": own, "paging_token": stolen.paging_token}),
        twin.call(OWN, "GET", "/queries", params={"paging_token": stolen.listing_token}),
        twin.call(OWN, "GET", "/queries", params={"paging_token": stolen.listing_token, "status": "FINISHED"}),
        twin.call(OWN, "GET", "/tables/events/partitions", params={"paging_token": stolen.partitions_token}),
    ]
    for answer in attempts:
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPagingToken")
        assert twin.marker not in answer.text


def test_anothers_idempotency_key_is_a_new_one(twins: tuple[Twin, Twin], stolen: Secrets) -> None:
    """With the same body it does not give the other's query, with another body it does not tell that it was used."""
    twin = twins[0]
    for body in (stolen.body, {"query": "SELECT 2", "wait_seconds": 50}):
        headers = {"Idempotency-Key": stolen.idempotency_key}
        assert twin.call(OPERATOR, "POST", "/query", json=body, headers=headers).status_code in (200, 422)
        first = twin.call(OWN, "POST", "/query", json=stolen.body, headers=headers)
        assert first.json()["query_id"] != stolen.query_id
        assert twin.marker not in first.text
    page = twin.call(OWN, "POST", "/next", json={"query_id": first.json()["query_id"]})
    assert page.json()["row_count"] == 40
    assert twin.marker not in page.text


def test_a_link_leads_to_the_result_it_was_made_for_and_to_no_other(twins: tuple[Twin, Twin], stolen: Secrets) -> None:
    twin = twins[0]
    own = twin.submitted(OWN, "SELECT data FROM events")
    token = twin.call(OWN, "POST", f"/download/{own}/link", json={}).json()["url"].partition("token=")[2]
    there = twin.server.client.get(f"/v0/data_hist/download/{stolen.query_id}/signed", params={"token": token})
    assert (there.status_code, there.json()["code"]) == (403, "InvalidDownloadLink")
    here = twin.server.client.get(f"/v0/data_hist/download/{own}/signed", params={"token": token})
    assert len(here.text.splitlines()) == 41
    assert twin.marker not in here.text


def test_usage_is_ones_own(twins: tuple[Twin, Twin], stolen: Secrets) -> None:
    assert stolen.query_id
    for by in ("day", "tenant", "key"):
        told = twins[0].call(OWN, "GET", "/usage", params={"by": by}).json()["usage"]
        assert {line.get("tenant", "customers:11000") for line in told} == {"customers:11000"}
        keys = {line["key_id"] for line in told if "key_id" in line}
        assert keys <= {twins[0].keys[OWN].split(".")[0]}


def test_the_history_has_own_queries_only(twins: tuple[Twin, Twin], stolen: Secrets) -> None:
    listed = twins[0].call(OWN, "GET", "/queries", params={"limit": 1000})
    assert stolen.query_id not in listed.text
    assert twins[0].call(OTHER, "GET", "/queries").json()["queries"]


def test_what_is_told_of_tables_does_not_depend_on_others_rows(twins: tuple[Twin, Twin]) -> None:
    for path in ("/tables", "/tables/events", "/tables/events/partitions?limit=1000"):
        first, second = (comparable(twin.call(OWN, "GET", path).text, twin.marker) for twin in twins)
        assert without_row_counts(first) == without_row_counts(second)


def without_row_counts(document: Any) -> Any:
    """Rows of a whole partition are told to everybody, as its bytes are (docs/security.md)."""
    if isinstance(document, list):
        return [without_row_counts(item) for item in document]
    if isinstance(document, dict):
        return {name: without_row_counts(value) for name, value in document.items() if name != "row_count"}
    return document


def test_a_dry_run_tells_nothing_of_others_rows(twins: tuple[Twin, Twin]) -> None:
    for sql in (
        "SELECT data FROM events",
        f"SELECT 1 FROM events WHERE customerid = {OTHER}",
        "SELECT nope FROM events",
    ):
        dry_runs = []
        for twin in twins:
            told = twin.call(OWN, "POST", "/validate", json={"query": sql})
            assert twin.marker not in told.text
            dry_run = comparable(told.text, twin.marker)
            for name in ("estimated_bytes", "estimated_cost_usd"):
                dry_run.pop(name)
            for problem in dry_run["problems"]:
                problem.pop("request_id")
            dry_runs.append(dry_run)
        assert dry_runs[0] == dry_runs[1]


@pytest.mark.parametrize("header", ["X-Data-Hist-Customer", "X-Data-Hist-Customers", "X-Tenant", "X-Forwarded-User"])
def test_a_header_does_not_make_another_tenant(header: str, twins: tuple[Twin, Twin]) -> None:
    answer = twins[0].call(
        OWN, "POST", "/query", json={"query": "SELECT count(*) AS n FROM events", "wait_seconds": 50}
    )
    assert answer.status_code == 200
    client = twins[0].server.client
    headers = {header: str(OTHER), "X-Data-Hist-Scopes": "query operate"}
    assert client.get("/v0/data_hist/queries", headers=headers).status_code == 401
    asked = client.post(
        "/v0/data_hist/query",
        json={"query": "SELECT max(customerid) AS c FROM events", "wait_seconds": 50},
        headers={**headers, "X-API-Key": twins[0].keys[OWN]},
    )
    page = twins[0].call(OWN, "POST", "/next", json={"query_id": asked.json()["query_id"]})
    assert page.json()["result_set"] == [{"c": OWN}]
    assert client.get("/metrics", headers={**headers, "X-API-Key": twins[0].keys[OWN]}).status_code == 403
