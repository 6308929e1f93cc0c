"""A peer: a reverse proxy as one writes it on aiohttp. `proxy_aiohttp.py PORT ORIGIN`"""

import asyncio
import sys

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

PORT, ORIGIN = int(sys.argv[1]), f"http://127.0.0.1:{sys.argv[2]}"
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


async def serve() -> None:
    """Proxy until cancelled."""
    session = ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP]
        headers.append(("X-Forwarded-For", request.remote or "-"))
        async with session.request(
            request.method,
            ORIGIN + request.raw_path,
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for block in answer.content.iter_any():
                await response.write(block)
            await response.write_eof()
            return response

    runner = web.ServerRunner(web.Server(forward, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT, backlog=4096).start()
    await asyncio.Event().wait()


asyncio.run(serve())
