"""A client's connection, of which everything can be had: half a request, an abort, a slow read."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType

from bench.soak.origin import reset

PIECE = 64 * 1024
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class WrongError(Exception):
    """An answer that is not what was promised."""


@contextlib.asynccontextmanager
async def meanwhile(sending: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have something sent for as long as the block lasts, or until nobody takes it."""

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            await sending

    task = asyncio.ensure_future(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Answer:
    """The head of an answer."""

    def __init__(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        pairs = (entry.partition(":") for entry in lines if entry)
        self.fields = {name.lower(): value.strip() for name, _, value in pairs}


class Client:
    """One connection to 127.0.0.1:`port`, open inside `async with`.

    `window` is the size of its receive buffer in bytes, for those that do not read.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, port: int, window: int = 0) -> None:
        self._port = port
        self._window = window

    async def __aenter__(self) -> "Client":
        sock = socket.socket()
        sock.setblocking(False)
        if self._window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._window)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self.reader, self.writer = await asyncio.open_connection(
            sock=sock, limit=self._window or PIECE
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if problem is not None:
            # It may be stuck in what it sends.
            self.writer.transport.abort()
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, *pieces: bytes) -> None:
        """Send, no faster than it is taken."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def ask(
        self, path: str, host: str = "app", method: str = "GET", lines: str = "", minor: int = 1
    ) -> None:
        """Send the head of a request."""
        head = f"{method} {path} HTTP/1.{minor}\r\nHost: {host}\r\n{lines}\r\n"
        await self.send(head.encode())

    async def upgrade(self) -> None:
        """Have a WebSocket, whose frames nobody looks at."""
        await self.ask("/ws", lines=HANDSHAKE)
        if (await self.head()).status != 101:
            raise WrongError("no WebSocket")

    async def upload(self, path: str, size: int, *, chunked: bool, host: str = "app") -> None:
        """Send a whole request with a body of `size` bytes."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        await self.ask(path, host, "POST", f"{framing}\r\n")
        await self.body(size, chunked=chunked)

    async def body(self, size: int, *, chunked: bool) -> None:
        """Send `size` bytes of body."""
        while size:
            piece = b"y" * min(size, PIECE)
            size -= len(piece)
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            await self.send(b"0\r\n\r\n")

    async def head(self) -> Answer:
        """Read up to the end of an answer's head, interim ones left out."""
        while True:
            answer = Answer(await self.reader.readuntil(b"\r\n\r\n"))
            if answer.status >= 200 or answer.status == 101:
                return answer

    async def pieces(self, answer: Answer) -> AsyncIterator[bytes]:
        """The body of an answer, as it comes."""
        if answer.fields.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        elif (left := answer.fields.get("content-length")) is not None:
            size = int(left)
            while size:
                piece = await self.reader.read(min(size, PIECE))
                if not piece:
                    raise WrongError(f"{size} bytes of the body are missing")
                size -= len(piece)
                yield piece
        else:
            while piece := await self.reader.read(PIECE):
                yield piece

    async def answer(self, *statuses: int, bodiless: bool = False) -> bytes:
        """Read a whole answer, which must have one of these statuses (200 unless told)."""
        answer = await self.head()
        body = b"" if bodiless else b"".join([piece async for piece in self.pieces(answer)])
        if answer.status not in (statuses or (200,)):
            raise WrongError(f"{answer.status} {body[:100]!r}")
        return body

    async def take(self, size: int) -> None:
        """Read an answer of 200 whose body must have `size` bytes, and keep none of it."""
        answer = await self.head()
        got = 0
        async for piece in self.pieces(answer):
            got += len(piece)
        if (answer.status, got) != (200, size):
            raise WrongError(f"{answer.status}, {got} bytes in place of {size}")

    async def ended(self) -> None:
        """Read until the other end closes or breaks the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(PIECE):
                pass

    def finish(self) -> None:
        """Send no more."""
        with contextlib.suppress(OSError):  # it may be broken by now
            self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection."""
        reset(self.writer)
