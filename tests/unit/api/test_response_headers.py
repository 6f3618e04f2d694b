"""What browsers are told, whom else they may ask for, and how large a request may be."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from api.http_protocol import MAXIMUM_HEAD_BYTES
from api.request_limits import MAXIMUM_HEADER_BYTES, MAXIMUM_HEADERS, MAXIMUM_URL_BYTES
from api.settings import Settings, SettingsError

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

CONSOLE = "https://console.example.org"
PATHS = [
    "/health/live",
    "/metrics",
    "/v0/data_hist/queries",
    "/v0/data_hist/status/x",
    "/v0/data_hist/queries?limit=x",
    "/nope",
    "/",
    "/v0/ui/",
    "/v0/ui/swagger-ui.css",
    "/v0/openapi.json",
    "/v0/problems/query-not-found",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers
    for name in ("content-security-policy", "cache-control", "x-content-type-options"):
        assert len(headers.get_list(name)) == 1


@pytest.mark.parametrize("path", [path for path in PATHS if "data_hist" in path or path in ("/metrics", "/nope")])
def test_data_and_problems_are_kept_in_no_cache_and_run_nothing(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/", "/v0/ui/", "/v0/problems/query-not-found"])
def test_the_policy_of_a_page_names_each_of_its_scripts(client: TestClient, path: str) -> None:
    """A browser that knows policies runs exactly what the page has; nothing here is 'unsafe' for scripts."""
    page = client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert "unsafe" not in policy["script-src"]
    for script in re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"]
    assert not re.findall(r"\son[a-z]+=|javascript:", page.text)
    assert policy["default-src"] == policy["base-uri"] == "'none'"


def test_strict_transport_only_where_https_is_spoken(make_client: Callable[..., TestClient]) -> None:
    told = {"X-Forwarded-Proto": "https"}
    assert "strict-transport-security" not in make_client().get("/health/live", headers=told).headers
    trusting = Settings(trusted_peers=(ipaddress.ip_network("192.0.2.0/24"),))
    behind = make_client(settings=trusting, client=("192.0.2.1", 1))
    assert "max-age=" in behind.get("/health/live", headers=told).headers["strict-transport-security"]
    assert "strict-transport-security" not in behind.get("/health/live").headers


def test_other_origins_are_not_answered_by_default(client: TestClient) -> None:
    asked = {"Origin": CONSOLE, "Access-Control-Request-Method": "POST"}
    assert client.options("/v0/data_hist/query", headers=asked).status_code == 405
    assert "access-control-allow-origin" not in client.get("/v0/data_hist/queries", headers={"Origin": CONSOLE}).headers


def test_named_origins_may_call_with_a_key_and_without_credentials(make_client: Callable[..., TestClient]) -> None:
    client = make_client(settings=Settings(cors_origins=(CONSOLE,)))
    asked = {
        "Origin": CONSOLE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    preflight = client.options("/v0/data_hist/query", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == CONSOLE
    assert "x-api-key" in preflight.headers["access-control-allow-headers"].lower()
    for path in ("/v0/data_hist/queries", "/v0/data_hist/status/x"):  # problems too, or a page could not read them
        answer = client.get(path, headers={"Origin": CONSOLE})
        assert answer.headers["access-control-allow-origin"] == CONSOLE
        assert "access-control-allow-credentials" not in answer.headers
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
    for origin in ("https://evil.example", "https://console.example.org.evil.example", "null", f"{CONSOLE}:444"):
        assert client.options("/v0/data_hist/query", headers={**asked, "Origin": origin}).status_code == 400
        answer = client.get("/v0/data_hist/queries", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("text", ["*", "https://*.example.org", "null", "https://a.example/x", "a.example"])
def test_an_origin_is_a_name(text: str) -> None:
    with pytest.raises(SettingsError, match="DATA_HIST_CORS_ORIGINS"):
        Settings.from_environment({"DATA_HIST_CORS_ORIGINS": text})


def test_a_url_has_an_end(client: TestClient) -> None:
    path = "/v0/data_hist/queries?paging_token="
    fits = client.get(path + "x" * (MAXIMUM_URL_BYTES - len(path)))
    assert fits.json()["code"] == "InvalidRequest"
    for long in (path + "x" * MAXIMUM_URL_BYTES, "/" + "x" * MAXIMUM_URL_BYTES):
        answer = client.get(long)
        assert (answer.status_code, answer.json()["code"]) == (414, "UrlTooLong")
        assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Large": "x" * MAXIMUM_HEADER_BYTES},
        {f"X-{number}": "x" * 1000 for number in range(40)},
        {f"X-{number}": "" for number in range(MAXIMUM_HEADERS + 1)},
        {"Authorization": "Bearer " + "x" * MAXIMUM_HEADER_BYTES},
    ],
)
def test_header_fields_have_an_end(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/v0/data_hist/queries", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (431, "HeadersTooLarge")
    assert client.get("/health/live").status_code == 200


def test_a_head_that_fits_is_refused_with_a_request_id_not_by_the_protocol() -> None:
    assert MAXIMUM_URL_BYTES + MAXIMUM_HEADER_BYTES < MAXIMUM_HEAD_BYTES
