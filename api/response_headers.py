"""What every answer tells a browser: what it may make of it, and what it must not.

    X-Content-Type-Options        nosniff: a result is what its Content-Type says, never a page
    Content-Security-Policy       answers of the API may load, run and be framed by nothing; pages have a policy of
                                  their own (page_policy): own scripts and styles, and inline ones named by hash
    Referrer-Policy               no-referrer: query ids and signatures in URLs stay here
    Cross-Origin-Resource-Policy  same-origin: no other site's page can embed an answer
    Cache-Control                 no-store, where the answer does not say otherwise: data stays in no cache
    Strict-Transport-Security     only where the client speaks https: with this server, or with a trusted peer

A header that the answer has already is left as it is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

Header = tuple[bytes, bytes]

API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
STRICT_TRANSPORT: Header = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", API_POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),  # for browsers that do not know frame-ancestors
    (b"cache-control", b"no-store"),
)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


def added_headers(headers: Iterable[Header], *, is_https: bool) -> list[Header]:
    """What `headers` of an answer lack."""
    there = {name.lower() for name, _ in headers}
    added = [header for header in _ALWAYS if header[0] not in there]
    if is_https and STRICT_TRANSPORT[0] not in there:
        added.append(STRICT_TRANSPORT)
    return added


def page_policy(html: str, *, allows_inline_styles: bool = False) -> str:
    """The Content-Security-Policy of a page of ours: its own inline scripts and styles, by their hashes, and what this
    origin serves.

    `allows_inline_styles` is for pages whose libraries set styles in markup (Swagger UI).
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind.lower()].append(f"'sha256-{digest}'")
    styles = ["'unsafe-inline'"] if allows_inline_styles else hashes["style"]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src 'self'", *hashes["script"]]),
            " ".join(["style-src 'self'", *styles]),
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
