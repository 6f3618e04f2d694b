"""A real server behind a real identity provider and a gateway: nobody gets in without one of them."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.e2e.conftest import Server
from tests.fakes.identity_provider import AUDIENCE, running_identity_provider

COUNT = {"query": "SELECT customerid, count(*) AS n FROM events GROUP BY 1 ORDER BY 1", "wait_seconds": 50}


def seen(server: Server, headers: dict[str, str]) -> set[int]:
    """The customers whose rows this caller sees."""
    submitted = server.post("/query", json=COUNT, headers=headers)
    assert submitted.status_code == 200, submitted.text
    page = server.post("/next", json={"query_id": submitted.json()["query_id"]}, headers=headers)
    return {row["customerid"] for row in page.json()["result_set"]}


def test_tokens_and_gateways_let_callers_in(start_server: Callable[..., Server]) -> None:
    with running_identity_provider() as provider:
        provider.add_key("first", "ES256")
        server = start_server(
            DATA_HIST_JWT_ISSUER=provider.issuer,
            DATA_HIST_JWT_AUDIENCE=AUDIENCE,
            DATA_HIST_TRUSTED_PEERS="127.0.0.2/32",
            DATA_HIST_HOST="0.0.0.0",
        )
        assert server.get("/queries").status_code == 401
        bearer = {"Authorization": f"Bearer {provider.token(customer_ids=[11000])}"}
        assert seen(server, bearer) == {11000}
        named = {"X-Data-Hist-Customer": "11001", "X-Forwarded-For": "127.0.0.2"}
        assert server.get("/queries", headers=named).status_code == 401
        with httpx.Client(base_url=server.url, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as gateway:
            answer = gateway.get("/v0/data_hist/queries", headers={**named, "X-Forwarded-For": "192.0.2.7"})
            assert answer.json() == {"queries": []}
            gateway.get("/health/live")  # by now the line of the first request is written
        assert [line["client"] for line in server.logs() if line.get("tenant") == "customers:11001"] == ["192.0.2.7"]
        assert provider.token(customer_ids=[11000])[:60] not in server.log_path.read_text()
