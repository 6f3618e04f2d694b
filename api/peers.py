"""Who is at the other end of the connection, and what it may say about somebody else.

A peer in one of the trusted networks (`DATA_HIST_TRUSTED_PEERS`: gateways, load balancers) is believed about

    X-Forwarded-For         where the request came from: read from its right end, as far as trusted peers wrote it
    X-Forwarded-Proto       whether the client spoke https with it
    X-Data-Hist-Customer    whose rows the caller may see (api.gateway)
    X-Data-Hist-Scopes, X-Data-Hist-Subject

From anybody else these headers are as if they had not been sent: they are taken off the request before anything reads
it. Nobody is trusted by default, loopback neither. The server itself must not rewrite the peer's address from headers
(uvicorn's `proxy_headers` is off in api.server and api.worker).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

GATEWAY_PREFIX = b"x-data-hist-"
_MAXIMUM_HOPS = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the peer's own address, the client's as far as it can be believed, and the scheme the
    client spoke. Addresses are None where there is no network (a socket file).
    """

    peer: str | None
    client: str | None
    scheme: str
    is_trusted: bool = False


class TrustedPeers:
    """The networks whose word about others is taken."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks
        self._includes = lru_cache(maxsize=1024)(self._looked_up)

    def includes(self, address: str | None) -> bool:
        """Whether a peer of this address is trusted. What is no address is not."""
        return bool(self._networks) and address is not None and self._includes(address)

    def origin(self, scope: Scope) -> Origin:
        """Where the request came from; takes headers off `scope` that its peer may not send."""
        peer = scope["client"][0] if scope.get("client") else None
        if not self.includes(peer):
            _strip(scope)
            return Origin(peer, peer, scope["scheme"])
        forwarded_for: list[bytes] = []
        scheme = scope["scheme"]
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                forwarded_for.append(value)
            elif name == b"x-forwarded-proto":
                scheme = "https" if value.strip().lower() == b"https" else "http"
        return Origin(peer, self._client(peer, b",".join(forwarded_for).decode("latin-1")), scheme, is_trusted=True)

    def _client(self, peer: str | None, forwarded_for: str) -> str | None:
        """The nearest hop that no trusted peer is: what stands left of it may be anybody's invention."""
        client = peer
        for hop in reversed(forwarded_for.split(",")[-_MAXIMUM_HOPS:]):
            address = _address(hop)
            if address is None:
                break
            client = str(address)
            if not self.includes(client):
                break
        return client

    def _looked_up(self, address: str) -> bool:
        parsed = _address(address)
        return parsed is not None and any(
            parsed in network for network in self._networks if network.version == parsed.version
        )


def _address(text: str) -> Address | None:
    """The address in `10.0.0.1`, `10.0.0.1:443`, `::1`, `[::1]:443`; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _strip(scope: Scope) -> None:
    headers = scope["headers"]
    for name, _ in headers:
        if name.startswith(GATEWAY_PREFIX):
            scope["headers"] = [header for header in headers if not header[0].startswith(GATEWAY_PREFIX)]
            return
