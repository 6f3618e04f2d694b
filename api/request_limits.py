"""How large a request may be before anything is made of it: its URL (414) and its header fields (431).

A body's limit is in api.json_body (413). Here the head of a request is measured that has arrived; one that never ends
is cut off earlier, by the server's protocol (api.http_protocol), so that it is not held in memory either.
"""

from __future__ import annotations

from starlette.types import Scope

from api.problems import HeadersTooLarge, UrlTooLong

MAXIMUM_URL_BYTES = 8_192
MAXIMUM_HEADER_BYTES = 32_768
MAXIMUM_HEADERS = 128


def check_head(scope: Scope) -> None:
    """Raises UrlTooLong or HeadersTooLarge."""
    if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > MAXIMUM_URL_BYTES:
        raise UrlTooLong(f"The URL is over {MAXIMUM_URL_BYTES} bytes; SQL belongs in the body of POST.")
    headers = scope["headers"]
    if len(headers) > MAXIMUM_HEADERS:
        raise HeadersTooLarge(f"The request has over {MAXIMUM_HEADERS} header fields.")
    size_bytes = 0
    for name, value in headers:
        size_bytes += len(name) + len(value)
    if size_bytes > MAXIMUM_HEADER_BYTES:
        raise HeadersTooLarge(f"The header fields are over {MAXIMUM_HEADER_BYTES} bytes.")
