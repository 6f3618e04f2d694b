"""The whole result as a file, in the format the client asks for."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.negotiation import download_format
from api.operation import Call
from service.model import Download


async def download(call: Call, *, query_id: str, format: str | None) -> Response:
    """GET /download/{query_id}: streams; what the stream holds is let go when the client leaves."""
    call.exchange.query_id = query_id
    wanted = download_format(format, call.header(b"accept"))
    found = await call.service.download(query_id, call.caller, wanted)
    if call.application.audit is not None:
        call.application.audit.result_read(query_id, call.caller, call.origin, how="download", file_format=wanted.value)
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
