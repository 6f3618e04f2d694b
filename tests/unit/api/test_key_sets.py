"""The key set of an identity provider: fetched over HTTP, kept, renewed, and never asked for more than makes sense."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from api.key_sets import IdentityProvider as Provider
from api.key_sets import KeySets, KeySetUnreadable, UnknownSigningKey, is_safe_url
from api.problems import IdentityProviderUnavailable
from tests.fakes.identity_provider import IdentityProvider, make_key, public_jwk, running_identity_provider

RSA_KEY = public_jwk(make_key("RS256"), "first", use="sig", alg="RS256")
SECOND = {**RSA_KEY, "kid": "second"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Source:
    """What is fetched, and how often it was."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys: Sequence[dict[str, Any]] = keys
        self.is_down = False
        self.count = 0

    def __call__(self) -> Sequence[dict[str, Any]]:
        self.count += 1
        if self.is_down:
            raise KeySetUnreadable("no answer")
        return self.keys


async def settled(sets: KeySets) -> None:
    if sets._refreshing is not None:
        await sets._refreshing


def test_a_key_is_fetched_once_and_kept() -> None:
    async def scenario() -> None:
        source, clock = Source(RSA_KEY), Clock()
        sets = KeySets(source, monotonic=clock)
        keys = await asyncio.gather(*(sets.key("first", "RS256") for _ in range(50)))
        assert {key.key_id for key in keys} == {"first"}
        clock.seconds += 299
        assert await sets.key("first", "RS256") is keys[0]
        assert source.count == 1

    asyncio.run(scenario())


def test_a_rotated_key_is_fetched_when_it_is_first_seen() -> None:
    async def scenario() -> None:
        source, clock = Source(RSA_KEY), Clock()
        sets = KeySets(source, monotonic=clock)
        await sets.key("first", "RS256")
        source.keys = (RSA_KEY, SECOND)
        clock.seconds += 10
        assert (await sets.key("second", "RS256")).key_id == "second"
        assert source.count == 2

    asyncio.run(scenario())


def test_a_withdrawn_key_ends() -> None:
    async def scenario() -> None:
        source, clock = Source(RSA_KEY, SECOND), Clock()
        sets = KeySets(source, monotonic=clock)
        await sets.key("first", "RS256")
        source.keys = (SECOND,)
        clock.seconds += 300
        await sets.key("first", "RS256")  # this one asks for the set anew, behind the answer
        await settled(sets)
        with pytest.raises(UnknownSigningKey):
            await sets.key("first", "RS256")

    asyncio.run(scenario())


def test_unknown_ids_fetch_once_in_a_while() -> None:
    async def scenario() -> None:
        source, clock = Source(RSA_KEY), Clock()
        sets = KeySets(source, monotonic=clock)
        for number in range(200):
            with pytest.raises(UnknownSigningKey):
                await sets.key(f"invented-{number}", "RS256")
        assert source.count == 1
        clock.seconds += 10
        with pytest.raises(UnknownSigningKey):
            await sets.key("invented", "RS256")
        assert source.count == 2

    asyncio.run(scenario())


def test_stale_keys_are_used_while_the_provider_is_down_and_not_for_ever() -> None:
    async def scenario() -> None:
        source, clock = Source(RSA_KEY), Clock()
        sets = KeySets(source, monotonic=clock)
        await sets.key("first", "RS256")
        source.is_down = True
        for _ in range(10):
            clock.seconds += 3600
            assert (await sets.key("first", "RS256")).key_id == "first"
            await settled(sets)
        assert source.count == 11
        with pytest.raises(IdentityProviderUnavailable):
            await sets.key("second", "RS256")
        clock.seconds = 1000.0 + 86_400
        with pytest.raises(IdentityProviderUnavailable) as refusal:
            await sets.key("first", "RS256")
        assert refusal.value.headers["Retry-After"] == "10"
        source.is_down = False
        clock.seconds += 10
        assert (await sets.key("first", "RS256")).key_id == "first"

    asyncio.run(scenario())


def test_a_provider_that_is_down_is_asked_once_in_a_while() -> None:
    async def scenario() -> None:
        source, clock = Source(), Clock()
        source.is_down = True
        sets = KeySets(source, monotonic=clock)
        for _ in range(100):
            with pytest.raises(IdentityProviderUnavailable):
                await sets.key("first", "RS256")
        assert source.count == 1

    asyncio.run(scenario())


def test_a_slow_provider_does_not_block_the_loop() -> None:
    async def scenario() -> None:
        may_answer = threading.Event()

        def fetch() -> Sequence[dict[str, Any]]:
            assert may_answer.wait(30)
            return (RSA_KEY,)

        sets = KeySets(fetch)
        waiting = [asyncio.create_task(sets.key("first", "RS256")) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0.001)  # the loop turns
        waiting[0].cancel()  # one who leaves takes nothing from the others
        may_answer.set()
        assert [key.key_id for key in await asyncio.gather(*waiting[1:])] == ["first"] * 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first", "alg": "HS256"},
        {**RSA_KEY, "use": "enc"},
        {**RSA_KEY, "key_ops": ["encrypt"]},
        {**RSA_KEY, "alg": "PS256"},
        {**RSA_KEY, "kty": "EC"},
        {**RSA_KEY, "n": "AQAB"},
        {**RSA_KEY, "n": 5},
        public_jwk(make_key("RS256", bits=1024), "first", alg="RS256"),
        public_jwk(make_key("ES256"), "first"),
        {"kid": "first"},
    ],
)
def test_keys_that_cannot_verify_are_none(key: dict[str, Any]) -> None:
    async def scenario() -> None:
        sets = KeySets(Source(key))
        for kid, algorithm in (("first", "RS256"), (None, "RS256")):
            with pytest.raises(UnknownSigningKey):
                await sets.key(kid, algorithm)

    asyncio.run(scenario())


def test_a_key_without_alg_serves_each_algorithm_of_its_kind() -> None:
    async def scenario() -> None:
        bare = {name: value for name, value in RSA_KEY.items() if name != "alg"}
        sets = KeySets(Source(bare))
        for algorithm in ("RS256", "PS256", "RS512"):
            assert (await sets.key("first", algorithm)).algorithm_name == algorithm
        with pytest.raises(UnknownSigningKey):
            await sets.key("first", "ES256")

    asyncio.run(scenario())


def test_without_an_id_there_must_be_one_key_only() -> None:
    async def scenario() -> None:
        assert (await KeySets(Source(RSA_KEY)).key(None, "RS256")).key_id == "first"
        for keys in ((RSA_KEY, SECOND), (RSA_KEY, RSA_KEY)):
            with pytest.raises(UnknownSigningKey):
                await KeySets(Source(*keys)).key(None, "RS256")

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with running_identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, follow_redirects=False, trust_env=False) as made:
        yield made


def test_keys_are_found_by_discovery_or_at_their_url(provider: IdentityProvider, client: httpx.Client) -> None:
    provider.keys = [RSA_KEY]
    provider.answers = {}
    for url in (None, f"{provider.issuer}/keys"):
        assert Provider(provider.issuer, url, client).keys() == [RSA_KEY]


GOOD_DISCOVERY = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/keys", 500, b"{}"),
        ("/keys", 404, b"{}"),
        ("/keys", 302, b"http://127.0.0.1:1/keys"),
        ("/keys", 200, b"<html>"),
        ("/keys", 200, b"[]"),
        ("/keys", 200, b"{}"),
        ("/keys", 200, b'{"keys": []}'),
        ("/keys", 200, b'{"keys": {"a": 1}}'),
        ("/keys", 200, b'{"keys": [1]}'),
        ("/keys", 200, json.dumps({"keys": [{}] * 101}).encode()),
        ("/keys", 200, b'{"keys": ["' + b"x" * 1_100_000 + b'"]}'),
        (GOOD_DISCOVERY, 200, b'{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}'),
        (GOOD_DISCOVERY, 200, b'{"jwks_uri": "https://evil.example/keys"}'),
        (GOOD_DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "http://evil.example/keys"}'),
        (GOOD_DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}'),
        (GOOD_DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": 5}'),
        (GOOD_DISCOVERY, 200, b'{"issuer": "ISSUER"}'),
        (GOOD_DISCOVERY, 301, b"http://127.0.0.1:1/"),
    ],
)
def test_answers_that_are_no_key_set(
    provider: IdentityProvider, client: httpx.Client, path: str, status: int, body: bytes
) -> None:
    provider.answers = {path: (status, body.replace(b"ISSUER", provider.issuer.encode()))}
    with pytest.raises(KeySetUnreadable):
        Provider(provider.issuer, None, client).keys()


def test_a_provider_that_is_not_there(client: httpx.Client) -> None:
    with pytest.raises(KeySetUnreadable, match="ConnectError"):
        Provider("http://127.0.0.1:1", None, client).keys()


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://login.example.org/x", True),
        ("http://localhost:1/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://[::1]:1/x", True),
        ("http://login.example.org/x", False),
        ("http://localhost.evil.example/x", False),
        ("http://127.0.0.1@evil.example/x", False),
        ("file:///etc/passwd", False),
        ("https:///x", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_keys_come_over_https(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe
