"""Clients that give up or take their time, and clients and backends that do wrong.

One that breaks off says nothing of the answer; one that stays raises WrongError for another answer
than the one it was promised.
"""

import asyncio
import contextlib

from bench.soak.client import Client, WrongError, meanwhile
from bench.soak.stage import HEAVY, LIGHT, MIB, Scenes, Stage

# What is no request, and the status that it gets.
MALFORMED = (
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: app\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: app\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: app\r\nA : b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: app\r\nA: b\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/3.0\r\nHost: app\r\n\r\n", 505),
    (b"TRACE / HTTP/1.1\r\nHost: app\r\n\r\n", 501),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: app\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: app\r\nA: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: app\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"POST /sink HTTP/1.1\r\nHost: app\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"POST /sink HTTP/1.1\r\nHost: app\r\nContent-Length: 5, 6\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
    (
        b"POST /sink HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (b"POST /sink HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", 404),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
    (b"\x00" * 10_000, 400),
)
SCENES = Scenes()


# Those that give up


@SCENES.enter(5)
async def gone_while_sending(stage: Stage) -> None:
    path = stage.luck.choice(("/sink", "/sink?ms=20", "/hold"))
    async with stage.client() as client:
        framing = stage.luck.choice(("Content-Length: 9000000", "Transfer-Encoding: chunked"))
        await client.ask(path, "bad", "POST", f"{framing}\r\n")
        async with meanwhile(client.body(2 * MIB, chunked="chunked" in framing)):
            await asyncio.sleep(stage.luck.choice((0, 0.01, 0.2)))
        part(stage, client)


@SCENES.enter(5)
async def gone_while_waiting(stage: Stage) -> None:
    host = stage.luck.choice(("app", "socket", "named", "deaf"))
    async with stage.client() as client:
        await client.ask("/slow?ms=400", host)
        await asyncio.sleep(stage.luck.choice((0, 0.02, 0.2)))
        part(stage, client)


@SCENES.enter(5)
async def gone_while_reading(stage: Stage) -> None:
    how = stage.luck.choice(("sized", "chunked", "close"))
    async with stage.client() as client:
        await client.ask(f"/bytes?n={HEAVY}&how={how}")
        await client.reader.readexactly(stage.luck.choice((10, 1000, 300_000)))
        part(stage, client)


@SCENES.enter(3)
async def gone_early(stage: Stage) -> None:
    async with stage.client() as client:
        await client.send(stage.luck.choice((b"", b"GET", b"GET / HTTP/1.1\r\nHost: app\r\n")))
        part(stage, client)


@SCENES.enter(3)
async def gone_with_more_to_come(stage: Stage) -> None:
    async with stage.client(window=4096) as client:
        await client.send(b"GET /bytes?n=30000&how=sized HTTP/1.1\r\nHost: app\r\n\r\n" * 50)
        await asyncio.sleep(stage.luck.choice((0, 0.05, 0.5)))
        part(stage, client)


@SCENES.enter(3)
async def gone_from_a_tunnel(stage: Stage) -> None:
    is_websocket = stage.chance(0.5)
    async with Client(stage.http if is_websocket else stage.tcp, window=4096) as client:
        if is_websocket:
            await client.upgrade()
        # Both ways are full of it, for nobody takes what is echoed.
        async with meanwhile(client.send(b"e" * HEAVY)):
            await asyncio.sleep(stage.luck.choice((0, 0.05, 0.5)))
        part(stage, client)


def part(stage: Stage, client: Client) -> None:
    """Break the connection, close it, or only stop sending."""
    if stage.chance(0.4):
        client.reset()
    elif stage.chance(0.3):
        client.writer.transport.abort()
    elif not client.writer.transport.is_closing():
        client.finish()


# Those that take their time


@SCENES.enter(3)
async def reads_slowly(stage: Stage) -> None:
    how = stage.luck.choice(("sized", "chunked"))
    async with stage.client(window=16_384) as client:
        await client.ask(f"/bytes?n={2 * MIB}&how={how}")
        async for _ in client.pieces(await client.head()):
            if stage.chance(0.1):
                await asyncio.sleep(0.02)


@SCENES.enter(1)
async def reads_no_more(stage: Stage) -> None:
    async with stage.client(window=4096) as client:
        await client.ask(f"/bytes?n={HEAVY}&how={stage.luck.choice(('sized', 'chunked'))}")
        await asyncio.sleep(5)


@SCENES.enter(2)
async def writes_slowly(stage: Stage) -> None:
    async with stage.client() as client:
        head = b"POST /sink HTTP/1.1\r\nHost: app\r\nContent-Length: 2000\r\n\r\n"
        for at in range(0, len(head), 10):
            await client.send(head[at : at + 10])
            await asyncio.sleep(0.02)
        for _ in range(20):
            await client.send(b"z" * 100)
            await asyncio.sleep(0.05)
        if await client.answer() != b"2000":
            raise WrongError("the body did not arrive whole")


@SCENES.enter(1)
async def writes_no_more(stage: Stage) -> None:
    async with stage.client() as client:
        half = stage.luck.choice((b"", b"Content-Length: 50\r\n\r\nhello"))
        await client.send(b"POST /sink HTTP/1.1\r\nHost: app\r\n" + half)
        await client.answer(408)
        await client.ended()


@SCENES.enter(1)
async def says_nothing(stage: Stage) -> None:
    async with stage.client() as client:
        if stage.chance(0.5):
            await client.ask("/bytes?n=100&how=sized")
            await client.take(100)
        await client.ended()


# Bad clients, and bad backends


@SCENES.enter(8)
async def malformed(stage: Stage) -> None:
    wire, status = stage.luck.choice(MALFORMED)
    step = stage.luck.choice((1000, len(wire)))
    pieces = [wire[at : at + step] for at in range(0, len(wire), step)]
    async with stage.client() as client, meanwhile(client.send(*pieces)):
        await client.answer(status)


@SCENES.enter(4)
async def slow_backend(stage: Stage) -> None:
    path = stage.luck.choice(("/trickle", "/slow?ms=300"))
    async with stage.client() as client:
        await client.ask(path)
        await client.answer()
    async with stage.client() as client:
        await client.upload("/sink?ms=5", LIGHT, chunked=stage.chance(0.5))
        await client.answer()


@SCENES.enter(1)
async def silent_backend(stage: Stage) -> None:
    async with stage.client() as client:
        await client.ask("/hold", stage.luck.choice(("bad", "deaf")))
        await client.answer(504)


@SCENES.enter(1)
async def backend_that_reads_nothing(stage: Stage) -> None:
    chunked = stage.chance(0.5)
    async with (
        stage.client() as client,
        meanwhile(client.upload("/hold", HEAVY, chunked=chunked, host="bad")),
    ):
        await client.ended()


@SCENES.enter(3)
async def early_answer(stage: Stage) -> None:
    chunked = stage.chance(0.5)
    async with (
        stage.client() as client,
        meanwhile(client.upload("/early", LIGHT, chunked=chunked, host="bad")),
    ):
        await client.ended()


@SCENES.enter(8)
async def bad_backend(stage: Stage) -> None:
    path, status = stage.luck.choice((("/close", 502), ("/reset", 502), ("/last", 200)))
    async with stage.client() as client:
        for _ in range(3):
            await client.ask(path, "bad")
            await client.answer(status)


@SCENES.enter(5)
async def broken_answer(stage: Stage) -> None:
    # Some nonsense is an answer, or begins as one: nothing is promised.
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, WrongError, ValueError):
        async with stage.client() as client:
            for _ in range(3):
                await client.ask(stage.luck.choice(("/nonsense", "/cut")), "bad")
                await client.answer(502)


@SCENES.enter(6)
async def faulty_backend(stage: Stage) -> None:
    async with stage.client() as client:
        for _ in range(5):
            await client.ask("/bytes?n=500&how=sized", "faulty")
            await client.answer(200, 502, 503, 504)


@SCENES.enter(3)
async def refusing_backend(stage: Stage) -> None:
    async with stage.client() as client:
        await client.ask("/x", "refused")
        await client.answer(503)
    # The refusal may be quicker than the connection.
    with contextlib.suppress(ConnectionError):
        async with Client(stage.refusing) as client:
            await client.ended()
