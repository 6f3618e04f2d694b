"""Whose word is taken about where a request came from: configured networks', nobody else's."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from api.peers import Origin, TrustedPeers
from api.settings import Settings, SettingsError

if TYPE_CHECKING:  # its import warns, which only api knows to hush
    from starlette.testclient import TestClient

PEERS = TrustedPeers(tuple(map(ipaddress.ip_network, ("10.0.0.0/16", "fd00::/8", "127.0.0.9/32"))))


def scope(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return {"client": None if peer is None else (peer, 1), "headers": raw, "scheme": scheme}


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", "10.1.0.1", "testclient", "", None])
def test_anybody_elses_word_is_not_taken(peer: str | None) -> None:
    asked = scope(
        peer,
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Data-Hist-Customer", "11001"),
        ("X-DATA-HIST-SCOPES", "operate"),
        ("Accept", "*/*"),
    )
    assert PEERS.origin(asked) == Origin(peer, peer, "http")
    assert [name for name, _ in asked["headers"]] == [b"x-forwarded-for", b"x-forwarded-proto", b"accept"]


def test_nobody_is_trusted_by_default() -> None:
    for peer in ("127.0.0.1", "::1", "10.0.0.1"):
        assert TrustedPeers().origin(scope(peer, ("X-Forwarded-For", "192.0.2.7"))).client == peer


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),  # the left one is what the client said
        ("127.0.0.1, 192.0.2.7, 10.0.0.3", "192.0.2.7"),  # a second trusted hop
        ("10.0.0.3, 10.0.0.4", "10.0.0.3"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("<script>", "10.0.0.2"),
        ("192.0.2.7, unknown", "10.0.0.2"),
        ("", "10.0.0.2"),
        (", ,", "10.0.0.2"),
        ("1.1.1.1," * 5000 + "10.0.0.3", "1.1.1.1"),
    ],
)
def test_a_trusted_peer_tells_the_client(forwarded_for: str, client: str) -> None:
    asked = scope("10.0.0.2", ("X-Forwarded-For", forwarded_for), ("X-Data-Hist-Customer", "1"))
    assert PEERS.origin(asked) == Origin("10.0.0.2", client, "http", is_trusted=True)
    assert len(asked["headers"]) == 2


def test_several_fields_are_one_list() -> None:
    asked = scope("10.0.0.2", ("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.7"))
    assert PEERS.origin(asked).client == "192.0.2.7"


@pytest.mark.parametrize("peer", ["10.0.255.255", "::ffff:10.0.0.1", "fd12::1", "127.0.0.9"])
def test_networks_are_read_in_every_spelling(peer: str) -> None:
    assert PEERS.includes(peer)


@pytest.mark.parametrize(("told", "scheme"), [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("x", "http")])
def test_a_trusted_peer_tells_the_scheme(told: str, scheme: str) -> None:
    assert PEERS.origin(scope("10.0.0.2", ("X-Forwarded-Proto", told))).scheme == scheme


@pytest.mark.parametrize("text", ["10.0.0.5/8", "example.org", "10.0.0.0/33", "*", "10.0.0.1,"])
def test_networks_that_are_none_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="DATA_HIST_TRUSTED_PEERS"):
        Settings.from_environment({"DATA_HIST_TRUSTED_PEERS": text})


def test_networks_are_settings() -> None:
    settings = Settings.from_environment({"DATA_HIST_TRUSTED_PEERS": "10.0.0.0/16, fd00::/8"})
    assert [str(network) for network in settings.trusted_peers] == ["10.0.0.0/16", "fd00::/8"]


def test_the_log_has_the_client(
    client: TestClient, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:  # fmt: skip
    client.get("/health/live", headers={"X-Forwarded-For": "192.0.2.7", "X-Data-Hist-Customer": "4711"})
    assert log_lines()[-1]["client"] == "testclient"
    assert "4711" not in str(log_lines())


def test_a_process_manager_with_another_worker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from api.asgi import application

    monkeypatch.setenv("DATA_HIST_TRUSTED_PEERS", "10.0.0.0/16")
    with pytest.raises(SettingsError, match=r"api\.worker\.Worker"):
        application()
