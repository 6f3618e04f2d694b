"""GET /usage, the budgets that settings give, and what a refusal looks like over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.budget_plan import budget_plan
from api.problems import problem_response
from api.settings import Settings, SettingsError
from service.budgets import Grouping
from service.errors import BudgetExceeded
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

USAGE = "/v0/data_hist/usage"


def test_usage_is_told_as_the_contract_says(client: TestClient, service: FakeQueryService) -> None:
    answer = client.get(USAGE, params={"from": "2026-11-01", "to": "2026-11-23T12:00:00Z", "by": "key"})
    assert answer.json() == {
        "from": "2026-11-22",
        "to": "2026-11-23",
        "by": "key",
        "usage": [
            {
                "day": "2026-11-22",
                "tenant": "operator",
                "key_id": "key-a",
                "query_count": 3,
                "scanned_bytes": 1000,
                "reserved_bytes": 5,
                "estimated_cost_usd": 0.0,
            }
        ],
        "budget": {
            "limit_bytes": 2000,
            "used_bytes": 1005,
            "remaining_bytes": 995,
            "resets_at": "2026-11-23T00:00:00.000Z",
        },
    }
    assert service.asked_usage == (1_793_491_200_000, 1_795_435_200_000, Grouping.KEY)
    client.get(USAGE)
    assert service.asked_usage == (None, None, Grouping.DAY)


@pytest.mark.parametrize("query", ["by=hour", "from=yesterday", "to=", "group=day"])
def test_bad_questions(client: TestClient, query: str) -> None:
    assert client.get(f"{USAGE}?{query}").json()["code"] == "InvalidRequest"


def test_a_used_up_budget_says_when_it_begins_anew() -> None:
    error = BudgetExceeded("x", limit_bytes=1, used_bytes=1, estimated_bytes=1, retry_after_seconds=50399.2)
    response, code = problem_response(error, instance="/v0/data_hist/query", request_id="r")
    assert (response.status_code, code, response.headers["retry-after"]) == (429, "BudgetExceeded", "50400")


def plan_of(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "budgets.yaml"
    path.write_text(text)
    return budget_plan(Settings.from_environment({"DATA_HIST_DAILY_BYTES": "10", "DATA_HIST_BUDGETS_FILE": str(path)}))


def test_budgets_of_settings_and_file(tmp_path: Path) -> None:
    settings = Settings.from_environment({"DATA_HIST_DAILY_COST_USD": "0.50"})
    assert budget_plan(settings).limit_bytes("anybody") == 10**11
    assert budget_plan(Settings()).limit_bytes("anybody") is None
    plan = plan_of(tmp_path, "customers:11000: {daily_bytes: 500}\noperator: {}\ncustomers:11001,11002:\n")
    limits = [plan.limit_bytes(tenant) for tenant in ("x", "customers:11000", "operator", "customers:11001,11002")]
    assert limits == [10, 500, None, None]


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a: 5", "a: {bytes: 5}", "a: {daily_bytes: 0}", "a: {daily_bytes: '5'}", "a: {daily_bytes: true}"],
)
def test_a_file_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="DATA_HIST_BUDGETS_FILE"):
        plan_of(tmp_path, text)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DATA_HIST_BUDGETS_FILE"):
        budget_plan(Settings(budgets_file=tmp_path / "nothing.yaml"))
