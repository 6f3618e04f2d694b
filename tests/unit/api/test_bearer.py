"""Bearer tokens over the whole application, signed by a real identity provider on loopback."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.bearer import BearerTokens, TokenRules, bearer_tokens
from api.claims import ClaimReader
from api.key_sets import IdentityProvider as Provider
from api.key_sets import KeySets
from api.settings import Settings, SettingsError
from service.model import Caller
from tests.fakes.identity_provider import AUDIENCE, IdentityProvider, make_key, running_identity_provider
from tests.unit.api.conftest import FakeKeys
from tests.unit.api.fake_service import FakeQueryService

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

QUERIES = "/v0/data_hist/queries"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with running_identity_provider() as running:
        running.add_key("first")
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, follow_redirects=False, trust_env=False) as made:
        yield made


@pytest.fixture
def tokens(provider: IdentityProvider, http: httpx.Client) -> BearerTokens:
    rules = TokenRules(provider.issuer, (AUDIENCE, "other-name"), algorithms=ALGORITHMS, leeway_seconds=10)
    key_sets = KeySets(Provider(provider.issuer, None, http).keys, pause_seconds=0)
    return BearerTokens(rules, key_sets, ClaimReader("customer_ids", "scope"))


@pytest.fixture
def client(make_client: Callable[..., TestClient], tokens: BearerTokens) -> TestClient:
    key = Caller("keys", frozenset({11001}), frozenset({"query"}), key_id="key-a")
    return make_client(FakeKeys(a=key), bearer=tokens)


def asked(client: TestClient, token: str, path: str = QUERIES, **headers: str) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {token}", **headers})


def test_a_good_token_is_a_caller(client: TestClient, provider: IdentityProvider, service: FakeQueryService) -> None:
    token = provider.token(customer_ids=[11000, 11001], scope="openid query")
    answer = client.post(
        "/v0/data_hist/query", json={"query": "SELECT 1"}, headers={"Authorization": f"bearer {token}"}
    )
    assert answer.status_code == 200
    [execution] = service.executions.values()
    assert (execution.tenant, execution.key_id) == ("customers:11000,11001", "token:alice")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_accepted_algorithm(client: TestClient, provider: IdentityProvider, algorithm: str) -> None:
    provider.add_key("another", algorithm)
    assert asked(client, provider.token("another")).status_code == 200


@pytest.mark.parametrize("audience", [AUDIENCE, "other-name", [AUDIENCE], ["x", "other-name"]])
def test_one_of_the_audiences_is_enough(client: TestClient, provider: IdentityProvider, audience: Any) -> None:
    assert asked(client, provider.token(aud=audience)).status_code == 200


NOW = int(time.time())
DAY = 86_400


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": NOW - DAY}, "has expired"),
        ({"exp": 0}, "has expired"),
        ({"nbf": NOW + DAY}, "is not valid yet"),
        ({"iat": NOW + DAY}, "is not valid yet"),
        ({"exp": "soon"}, "is not valid"),
        ({"exp": 1e400}, ""),
        ({"aud": "another-service"}, "is for another audience"),
        ({"aud": ["a", "b"]}, "is for another audience"),
        ({"aud": []}, ""),
        ({"aud": {"data-hist": 1}}, ""),
        ({"aud": AUDIENCE + " "}, "is for another audience"),
        ({"iss": "https://evil.example"}, "is of another issuer"),
        ({"iss": None}, "lacks the claim iss"),
        ({"aud": None}, "lacks the claim aud"),
        ({"exp": None}, "lacks the claim exp"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": 5}, "is not valid"),
    ],
)
def test_what_is_not_believed(
    client: TestClient, provider: IdentityProvider, changed: dict[str, Any], reason: str
) -> None:
    answer = asked(client, provider.token(**changed))
    assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationRequired")
    assert reason in answer.json()["detail"]
    assert answer.headers["www-authenticate"].startswith('Bearer realm="data-hist", error="invalid_token"')


def test_clocks_may_differ_a_little(client: TestClient, provider: IdentityProvider) -> None:
    now = int(time.time())
    assert asked(client, provider.token(exp=now - 5)).status_code == 200
    assert asked(client, provider.token(nbf=now + 5, iat=now + 5)).status_code == 200
    assert asked(client, provider.token(exp=now - 60)).status_code == 401


def segment(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def forged(provider: IdentityProvider) -> dict[str, str]:
    good = provider.token()
    head, payload, signature = good.split(".")
    claims = provider.claims(customer_ids=[11001])
    stranger = make_key("RS256", "stranger")
    return {
        "tampered payload": f"{head}.{segment(claims)}.{signature}",
        "tampered head": f"{segment({'alg': 'RS256', 'kid': 'first', 'x': 1})}.{payload}.{signature}",
        "no signature": f"{head}.{payload}.",
        "half a signature": f"{head}.{payload}.{signature[: len(signature) // 2]}",
        "none": f"{segment({'alg': 'none', 'kid': 'first'})}.{payload}.",
        "None": f"{segment({'alg': 'None', 'kid': 'first'})}.{payload}.",
        "no algorithm": f"{segment({'kid': 'first'})}.{payload}.{signature}",
        "an algorithm that is a list": f"{segment({'alg': ['RS256'], 'kid': 'first'})}.{payload}.{signature}",
        "another algorithm": f"{segment({'alg': 'RS512', 'kid': 'first'})}.{payload}.{signature}",
        "the same key, another padding": f"{segment({'alg': 'PS256', 'kid': 'first'})}.{payload}.{signature}",
        "a stranger's key": jwt.encode(claims, stranger, "RS256", headers={"kid": "first"}),  # type: ignore[arg-type]  # an RSA key
        "a key of no name": jwt.encode(claims, stranger, "RS256", headers={"kid": "stranger"}),  # type: ignore[arg-type]  # an RSA key
        "a key id that is a path": jwt.encode(claims, stranger, "RS256", headers={"kid": "../../keys"}),  # type: ignore[arg-type]  # an RSA key
        "a key id that is a number": f"{segment({'alg': 'RS256', 'kid': 1})}.{payload}.{signature}",
        "a key id of many words": f"{segment({'alg': 'RS256', 'kid': 'x' * 1000})}.{payload}.{signature}",
        "an extension nobody knows": provider.token(headers={"crit": ["x"], "x": 1}),
        "an encrypted one": f"{head}..{payload}.{payload}.{signature}",
        "a payload that is no object": f"{head}.{segment([1])}.{signature}",
        "a payload that is no JSON": f"{head}.{'x' * 40}.{signature}",
        "a deep payload": f"{head}.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.{signature}",
        "two segments": f"{head}.{payload}",
        "words": "not a token",
        "nothing": "",
        "dots": "..",
        "a huge one": f"{head}.{'x' * 20_000}.{signature}",
        "not ASCII": "\u00e9.\u00e9.\u00e9",
        "an API key": "a",
    }


def test_forged_tokens_are_refused(client: TestClient, provider: IdentityProvider) -> None:
    assert asked(client, provider.token()).status_code == 200
    for name, token in forged(provider).items():
        answer = client.get(QUERIES, headers={"Authorization": f"Bearer {token}".encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationRequired"), name
        assert answer.headers["www-authenticate"].startswith("Bearer "), name


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(client: TestClient, provider: IdentityProvider, algorithm: str) -> None:
    """The classic confusion: HMAC with the bytes of the public key, which everybody has."""
    key = provider.add_key("second")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, payload = segment({"alg": algorithm, "kid": "second"}), segment(provider.claims())
    import hashlib
    import hmac

    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    for secret in (pem, json.dumps(provider.keys[1]).encode(), b""):
        mac = hmac.new(secret, f"{head}.{payload}".encode(), digest).digest()
        token = f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert asked(client, token).status_code == 401


def test_a_token_cannot_say_where_its_key_is(client: TestClient, provider: IdentityProvider) -> None:
    with running_identity_provider("thief") as thief:
        thief.add_key("first")
        url = f"{thief.issuer}/keys"
        for headers in ({"jku": url}, {"x5u": url}, {"jwk": thief.keys[0]}):
            token = thief.token(headers=headers, iss=provider.issuer)
            assert asked(client, token).status_code == 401
        assert thief.requests == []
    assert set(provider.requests) <= {"/.well-known/openid-configuration", "/keys"}


def test_nothing_is_fetched_for_a_head_that_is_not_accepted(client: TestClient, provider: IdentityProvider) -> None:
    for token in ("x", "..", f"{segment({'alg': 'none'})}.{segment({})}.", f"{segment({'alg': 'HS256'})}.e30.x"):
        assert asked(client, token).status_code == 401
    assert provider.requests == []


def test_rotated_keys(client: TestClient, provider: IdentityProvider) -> None:
    old = provider.token()
    assert asked(client, old).status_code == 200
    provider.add_key("second", "ES256")
    assert asked(client, provider.token("second")).status_code == 200
    provider.withdraw_key("first")
    provider.add_key("third", "EdDSA")  # makes the service look at the set again
    assert asked(client, provider.token("third")).status_code == 200
    assert asked(client, provider.token("first", jti="a fresh one")).status_code == 401


def test_a_dead_provider_is_503_only_without_a_key(client: TestClient, provider: IdentityProvider) -> None:
    unknown = provider.answers["/keys"] = (500, b"")
    for _ in range(2):
        answer = asked(client, provider.token())
        assert (answer.status_code, answer.json()["code"]) == (503, "IdentityProviderUnavailable")
        assert answer.json()["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
    assert client.get(QUERIES, headers={"X-API-Key": "a"}).status_code == 200
    provider.answers.clear()
    assert asked(client, provider.token()).status_code == 200
    provider.answers["/keys"] = unknown
    assert asked(client, provider.token(jti="another")).status_code == 200
    provider.add_key("second")
    assert asked(client, provider.token("second")).status_code == 503
    assert asked(client, provider.token(exp=NOW - DAY)).status_code == 401


@pytest.mark.parametrize("changed", [{"customer_ids": None}, {"customer_ids": []}, {"customer_ids": "*"}])
def test_a_token_without_a_customer_is_403(
    client: TestClient, provider: IdentityProvider, changed: dict[str, Any]
) -> None:
    answer = asked(client, provider.token(**changed))
    assert (answer.status_code, answer.json()["code"]) == (403, "CustomerMissing")


def test_a_token_without_the_scope_is_403(client: TestClient, provider: IdentityProvider) -> None:
    assert asked(client, provider.token(scope="openid")).json()["code"] == "ScopeMissing"
    assert asked(client, provider.token(), "/metrics").json()["code"] == "ScopeMissing"
    assert asked(client, provider.token(scope="operate"), "/metrics").status_code == 200


def test_keys_and_tokens_are_no_substitutes(client: TestClient, provider: IdentityProvider) -> None:
    """A key that was just used as a key is not remembered as a token, and the other way round."""
    token = provider.token()
    assert client.get(QUERIES, headers={"X-API-Key": "a"}).status_code == 200
    assert asked(client, token).status_code == 200
    assert asked(client, "a").status_code == 401
    assert client.get(QUERIES, headers={"X-API-Key": token}).status_code == 401
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    assert client.get(QUERIES, headers={"Authorization": f"Basic {basic}"}).status_code == 401
    assert asked(client, "wrong", **{"X-API-Key": "a"}).status_code == 200  # one that is good is enough


def test_with_an_identity_provider_a_service_without_keys_is_not_open(
    make_client: Callable[..., TestClient], tokens: BearerTokens, provider: IdentityProvider
) -> None:
    for keys in (None, FakeKeys()):
        client = make_client(keys, bearer=tokens)
        assert client.get(QUERIES).status_code == 401
        assert asked(client, provider.token()).status_code == 200


def test_tokens_are_not_logged(client: TestClient, provider: IdentityProvider, log_stream: Any) -> None:
    token = provider.token()
    asked(client, token)
    asked(client, token[:-2])
    for part in token.split("."):
        assert part.encode() not in log_stream.getvalue()
    assert b'"key_id":"token:alice"' in log_stream.getvalue()


def test_cognito_names_its_client_instead_of_an_audience(
    make_client: Callable[..., TestClient], provider: IdentityProvider, http: httpx.Client
) -> None:
    rules = TokenRules(provider.issuer, ("app-1",), audience_claim="client_id")
    key_sets = KeySets(Provider(provider.issuer, None, http).keys)
    client = make_client(bearer=BearerTokens(rules, key_sets, ClaimReader("customer_ids", "scope")))
    assert asked(client, provider.token(aud=None, client_id="app-1")).status_code == 200
    for changed in ({"client_id": "app-2"}, {"client_id": ["app-1"]}, {"client_id": None}, {}):
        assert asked(client, provider.token(aud="app-1", **changed)).status_code == 401


def test_settings_make_tokens(provider: IdentityProvider, tmp_path: Path) -> None:
    assert bearer_tokens(Settings()) is None
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("scopes: {users: [query]}")
    environment = {
        "DATA_HIST_JWT_ISSUER": provider.issuer,
        "DATA_HIST_JWT_AUDIENCE": "data-hist, another",
        "DATA_HIST_JWT_MAPPING_FILE": str(mapping),
    }
    assert bearer_tokens(Settings.from_environment(environment)) is not None
    for bad in (
        {"DATA_HIST_JWT_AUDIENCE": ""},
        {"DATA_HIST_JWT_ISSUER": "http://login.example.org"},
        {"DATA_HIST_JWT_JWKS_URL": "http://login.example.org/keys"},
        {"DATA_HIST_JWT_MAPPING_FILE": str(tmp_path / "nothing.yaml")},
    ):
        with pytest.raises(SettingsError):
            bearer_tokens(Settings.from_environment({**environment, **bad}))
    for algorithm in ("HS256", "none", "RS256,HS512", "rs256"):
        with pytest.raises(SettingsError, match="DATA_HIST_JWT_ALGORITHMS"):
            Settings.from_environment({"DATA_HIST_JWT_ALGORITHMS": algorithm})
