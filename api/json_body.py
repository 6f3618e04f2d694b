"""Reads a request body: bytes, bounded in number, then JSON, strictly.

Strict means that what is read has one meaning: no NaN or Infinity, no key twice in an object (RFC 8259 leaves both
to luck), no lone surrogates, UTF-8 only, 1,024 levels deep at most.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from api.problems import FieldError, RequestInvalid, RequestTimeout, RequestTooLarge, UnsupportedMediaType

MAXIMUM_BODY_BYTES = 1_048_576
BODY_SECONDS = 60.0


def require_json(scope: Scope) -> None:
    """Raises UnsupportedMediaType unless the request says that its body is JSON in UTF-8."""
    content_type = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMediaType("Content-Encoding is not supported; send the body as it is.")
    kind, _, parameters = content_type.decode("latin-1").partition(";")
    kind = kind.strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType(f"Content-Type is {kind[:100] or 'missing'}; it has to be application/json.")
    charset = parameters.strip().lower().replace('"', "")
    if charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8", "charset=us-ascii"):
        raise UnsupportedMediaType(f"{parameters.strip()[:100]} is not supported; JSON is UTF-8.")


async def read_body(
    scope: Scope, receive: Receive, limit_bytes: int = MAXIMUM_BODY_BYTES, limit_seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body. Raises RequestTooLarge as soon as it is known to be over `limit_bytes`: never more than
    that is held; and RequestTimeout when it is not whole after `limit_seconds`.
    """
    try:
        async with asyncio.timeout(limit_seconds):
            return await _read_body(scope, receive, limit_bytes)
    except TimeoutError:
        raise RequestTimeout(f"The body was not whole after {limit_seconds:g} seconds.") from None


async def _read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    too_large = RequestTooLarge(f"The body is over {limit_bytes} bytes.")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit_bytes:
            raise too_large
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestInvalid.of(FieldError(f"#/{pointer_step(twice)}", "stands twice in the same object"))
    return members


def parse_json(body: bytes) -> Any:
    """The JSON value of `body`. Raises RequestInvalid with line and column for text that is not strict JSON."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestInvalid.of(FieldError("#", f"not JSON: {error}")) from None
    if body.count(b":") > 1:  # one member can't stand twice
        json.loads(body, object_pairs_hook=_object)
    return value


def refuse_nul(value: Any, pointer: str) -> None:
    """Raises RequestInvalid for a NUL character in any string of `value`; orjson has bounded the depth already."""
    if isinstance(value, str):
        if "\0" in value:
            raise RequestInvalid.of(FieldError(pointer, "holds a NUL character (\\u0000)"))
    elif isinstance(value, dict):
        for key, member in value.items():
            refuse_nul(key, f"{pointer}/{pointer_step(key)}")
            refuse_nul(member, f"{pointer}/{pointer_step(key)}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            refuse_nul(member, f"{pointer}/{index}")


def pointer_step(key: object) -> str:
    """One step of a JSON pointer (RFC 6901), shortened where a hostile key would fill the answer."""
    return str(key).replace("~", "~0").replace("/", "~1").replace("\0", "\\u0000")[:100]
