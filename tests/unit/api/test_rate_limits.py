"""How often a caller may ask, what every answer tells of it, and what does not count."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import time_machine

from api.exchange import Exchange
from api.rate_limits import SWEEP_SECONDS, RateLimits, _Counts
from api.settings import Settings, SettingsError
from service.model import Caller
from tests.unit.api.conftest import FakeKeys

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERIES = "/v0/data_hist/queries"
ALICE = Caller("alice", frozenset({11000}), frozenset({"query"}), key_id="key-a")
BOB = Caller("bob", frozenset({11001}), frozenset({"query"}), key_id="key-b")
FAST = Caller("bob", frozenset({11001}), frozenset({"query"}), key_id="key-f", rate_limit="7/hour")


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    second = replace(ALICE, key_id="key-a2")
    return make_client(FakeKeys(a=ALICE, a2=second, b=BOB, f=FAST), settings=Settings(rate_limit="3/minute"))


def test_one_request_too_many_is_refused_until_there_is_room(client: TestClient) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as now:
        for left in (2, 1, 0):
            answer = client.get(QUERIES, headers={"X-API-Key": "a"})
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"per-caller";q=3;w=60'
            assert answer.headers["ratelimit"].startswith(f'"per-caller";r={left};t=')
        for _ in range(3):  # what is refused does not count: waiting is enough
            refused = client.get(QUERIES, headers={"X-API-Key": "a"})
            assert (refused.status_code, refused.json()["code"]) == (429, "RateLimitExceeded")
            assert refused.json()["retryable"] is True
            wait_seconds = int(refused.headers["retry-after"])
            assert 1 <= wait_seconds <= 60
            assert refused.headers["ratelimit"] == f'"per-caller";r=0;t={wait_seconds}'
        now.shift(121)
        assert client.get(QUERIES, headers={"X-API-Key": "a"}).status_code == 200


def test_callers_do_not_share_a_rate(client: TestClient) -> None:
    for key in ("a", "a2", "b"):
        for expected in (200, 200, 200, 429):
            assert client.get(QUERIES, headers={"X-API-Key": key}).status_code == expected


def test_a_keys_own_rate_wins(client: TestClient) -> None:
    answers = [client.get(QUERIES, headers={"X-API-Key": "f"}) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 7 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"per-caller";q=7;w=3600'


def test_every_call_counts_and_every_answer_tells(client: TestClient) -> None:
    headers = {"X-API-Key": "a"}
    answers = [
        client.post("/v0/data_hist/query", json={"query": "SELECT 1"}, headers=headers),
        client.get("/v0/data_hist/status/x", headers=headers),
        client.get("/metrics", headers=headers),  # 403, and counted all the same
        client.get(QUERIES, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 403, 429]
    for answer in answers:
        assert re.fullmatch(r'"per-caller";r=\d+;t=\d+', answer.headers["ratelimit"])


def test_probes_and_strangers_have_no_rate(client: TestClient) -> None:
    for _ in range(10):
        assert client.get("/health/live").status_code == 200
        assert client.get(QUERIES).status_code == 401
    assert "ratelimit" not in client.get("/health/live").headers


def test_without_a_rate_nothing_is_told(make_client: Callable[..., TestClient]) -> None:
    assert "ratelimit" not in make_client().get(QUERIES).headers


@pytest.mark.parametrize("text", ["600", "600/week", "0/minute", "-1/minute", "1.5/minute", "600 per minute", "x"])
def test_a_rate_has_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(SettingsError, match="DATA_HIST_RATE_LIMIT"):
        Settings.from_environment({"DATA_HIST_RATE_LIMIT": text})
    assert Settings.from_environment({"DATA_HIST_RATE_LIMIT": "0"}).rate_limit is None


def test_counts_of_callers_who_left_are_swept_and_not_at_every_request() -> None:
    async def scenario() -> None:
        limits = RateLimits("5/second")
        counts = limits._limiter.storage
        assert isinstance(counts, _Counts)
        with time_machine.travel(1_800_000_000, tick=False) as now:
            for number in range(100):
                await limits.admit(replace(ALICE, key_id=f"key-{number}"), Exchange("r", "GET", "/"))
            assert counts._sweep is None
            now.shift(10)
            counts._swept_at -= SWEEP_SECONDS
            await limits.admit(ALICE, Exchange("r", "GET", "/"))
            assert counts._sweep is not None
            await counts._sweep
            assert len(counts.storage) == 1

    asyncio.run(scenario())
