from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PATH = "/v0/data_hist/tables/events/partitions"


def test_partitions_are_told_in_the_contracts_members(client: TestClient) -> None:
    document = client.get(PATH, params={"from": "2026-11-22", "to": "2026-11-23T00:00:00+01:00", "limit": 5}).json()
    (partition,) = document["partitions"]
    assert partition["state"] == "CLOSED"
    assert partition["end"] == "2026-11-22T10:00:00.000Z"
    assert partition["kafka_offsets"][0]["first_offset"] == 0
    assert "row_count" not in partition


@pytest.mark.parametrize(
    ("parameters", "code", "status"),
    [
        ({"from": "yesterday"}, "InvalidRequest", 400),
        ({"limit": "0"}, "InvalidRequest", 400),
        ({"limit": "1001"}, "InvalidRequest", 400),
        ({"paging_token": "x"}, "InvalidPagingToken", 400),
        ({"form": "2026-11-22"}, "InvalidRequest", 400),
    ],
)
def test_what_cannot_be_meant_is_refused(
    client: TestClient, parameters: dict[str, str], code: str, status: int
) -> None:
    answer = client.get(PATH, params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_unknown_table_is_not_found(client: TestClient) -> None:
    answer = client.get("/v0/data_hist/tables/event/partitions")
    assert (answer.status_code, answer.json()["code"]) == (404, "TableUnknown")


def test_a_query_tells_its_freshness(client: TestClient) -> None:
    execution = client.post("/v0/data_hist/query", json={"query": "SELECT 1"}).json()
    expected = {"complete_until": "2026-11-22T10:00:00.000Z", "missing_partitions": 2, "late_bytes": 3}
    assert execution["freshness"] == expected
    status = client.get(f"/v0/data_hist/status/{execution['query_id']}").json()
    assert status["freshness"] == expected


def test_an_empty_query_is_explained(client: TestClient) -> None:
    query_id = client.post("/v0/data_hist/query", json={"query": "SELECT 1"}).json()["query_id"]
    document = client.get(f"/v0/data_hist/queries/{query_id}/explain-empty").json()
    assert document["tables"][0]["reasons"][0]["code"] == "after_newest"
    assert "last_partition" not in document["tables"][0]
    answer = client.get("/v0/data_hist/queries/nobody/explain-empty")
    assert (answer.status_code, answer.json()["code"]) == (404, "QueryNotFound")
