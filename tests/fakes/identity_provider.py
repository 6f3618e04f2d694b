"""An identity provider on a free loopback port: discovery, a key set, tokens signed with keys made for the test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "data-hist"


@cache
def make_key(algorithm: str, name: str = "", *, bits: int = 2048) -> PrivateKeyTypes:
    """The private key of this name for this algorithm, made once: that takes a while."""
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])


def public_jwk(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    kinds = (
        (rsa.RSAPrivateKey, RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, ECAlgorithm),
        (ed25519.Ed25519PrivateKey, OKPAlgorithm),
    )
    algorithm = next(algorithm for kind, algorithm in kinds if isinstance(key, kind))
    document: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**document, **({} if kid is None else {"kid": kid}), **members}


class IdentityProvider:
    """`keys` is what it publishes; `answers` replaces the answer of a path by (status, body); `requests` counts."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.issuer = f"http://127.0.0.1:{port}"
        self.keys: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.requests: list[str] = []
        self.delay_seconds = 0.0
        self._signing: dict[str, tuple[PrivateKeyTypes, str]] = {}

    def add_key(self, kid: str, algorithm: str = "RS256", **members: Any) -> PrivateKeyTypes:
        """Makes and publishes a signing key."""
        key = make_key(algorithm, f"{self.name}/{kid}")
        self._signing[kid] = (key, algorithm)
        self.keys.append(public_jwk(key, kid, use="sig", alg=algorithm, **members))
        return key

    def withdraw_key(self, kid: str) -> None:
        """Publishes the key no more; tokens can still be signed with it, as a thief would."""
        self.keys = [key for key in self.keys if key.get("kid") != kid]

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a good token; None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "customer_ids": [11000],
            "scope": "query",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "first", *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token signed with the key `kid`."""
        key, algorithm = self._signing[kid]
        return jwt.encode(self.claims(**changed), key, algorithm, headers={"kid": kid, **(headers or {})})  # type: ignore[arg-type]  # key of its algorithm

    def _answer(self, path: str) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": self.keys}).encode()
        return 404, b"{}"


@contextmanager
def running_identity_provider(name: str = "provider") -> Iterator[IdentityProvider]:
    """A provider that answers until the end; its keys are those of its name."""
    provider: IdentityProvider

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests.append(self.path)
            time.sleep(provider.delay_seconds)
            status, body = provider._answer(self.path)
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", body.decode())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = IdentityProvider(server.server_address[1], name)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
