"""The whole result as a file, in the format the client asks for; and links to it that need no key."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.negotiation import download_format
from api.operation import Call
from api.rendering import json_response, timestamp
from service.model import Download, DownloadFormat


async def download(call: Call, *, query_id: str, format: str | None) -> Response:
    """GET /download/{query_id}: streams; what the stream holds is let go when the client leaves."""
    call.exchange.query_id = query_id
    wanted = download_format(format, call.header(b"accept"))
    found = await call.service.download(query_id, call.caller, wanted)
    if call.application.audit is not None:
        call.application.audit.result_read(query_id, call.caller, call.origin, how="download", file_format=wanted.value)
    return DownloadResponse(found)


async def make_link(call: Call, *, query_id: str, body: dict[str, Any]) -> Response:
    """POST /download/{query_id}/link: a URL that ends by itself. Its signature is told here and nowhere else."""
    call.exchange.query_id = query_id
    link = await call.service.download_link(
        query_id, call.caller, DownloadFormat(body["format"]), valid_minutes=int(body["valid_minutes"])
    )
    path = call.exchange.path.removesuffix("/link") + "/signed"
    document = {
        "query_id": query_id,
        "url": f"{call.application.public_url}{path}?token={link.token}",
        "format": link.format.value,
        "expires_at": timestamp(link.expires_at),
    }
    return json_response(document)


async def signed(call: Call, *, query_id: str, token: str) -> Response:
    """GET /download/{query_id}/signed: for whoever has the link."""
    call.exchange.query_id = query_id
    found, maker = await call.service.linked_download(query_id, token)
    if call.application.audit is not None:
        call.application.audit.result_read(query_id, maker, call.origin, how="link", file_format=found.format.value)
    return DownloadResponse(found)


class DownloadResponse(StreamingResponse):
    """Streams a Download and closes it however the streaming ends: to its end, by the client leaving, or by an
    error.
    """

    def __init__(self, download: Download) -> None:
        headers = {
            "content-type": download.content_type,
            "content-disposition": f'attachment; filename="{download.file_name}"',
            "cache-control": "no-store",
            "vary": "accept",
        }
        super().__init__(download.chunks, headers=headers)
        self._chunks = download.chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
