"""The limit of paging on this machine: asyncio and os.sendfile of a byte range, no framework.

Answers any request with the next range of the file, as a page of a service would be if nothing but the kernel worked.
Run: sendfile_server PORT FILE BYTES_PER_PAGE.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def main(port: int, path: Path, page_bytes: int) -> None:
    size = path.stat().st_size
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        position = 0
        with path.open("rb") as file:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    break
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                if position + page_bytes > size:
                    position = 0
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % page_bytes
                )
                await writer.drain()
                await loop.sendfile(writer.transport, file, position, page_bytes)
                position += page_bytes
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
