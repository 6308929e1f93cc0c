"""Clients that do what clients should, and stay for the answer.

Each raises WrongError for another answer than the one it was promised.
"""

from bench.soak.client import Client, WrongError, meanwhile
from bench.soak.stage import HEAVY, LIGHT, Scenes, Stage

SCENES = Scenes()


@SCENES.enter(20)
async def keep_alive(stage: Stage) -> None:
    async with stage.client() as client:
        for _ in range(stage.luck.randrange(1, 30)):
            await client.ask(f"/bytes?n={stage.luck.randrange(2000)}&how=sized")
            await client.answer()


@SCENES.enter(20)
async def one_request(stage: Stage) -> None:
    minor = int(stage.chance(0.8))
    async with stage.client() as client:
        await client.ask("/bytes?n=100&how=sized", lines="Connection: close\r\n", minor=minor)
        await client.take(100)
        await client.ended()


@SCENES.enter(10)
async def other_backends(stage: Stage) -> None:
    host = stage.luck.choice(("named", "socket", "mixed"))
    async with stage.client() as client:
        for _ in range(5):
            await client.ask("/bytes?n=100&how=sized", host)
            await client.take(100)


@SCENES.enter(6)
async def pipelined(stage: Stage) -> None:
    count = stage.luck.randrange(2, 20)
    async with stage.client() as client:
        await client.send(b"GET /bytes?n=3000&how=chunked HTTP/1.1\r\nHost: app\r\n\r\n" * count)
        for _ in range(count if stage.chance(0.7) else 1):
            await client.take(3000)


@SCENES.enter(4)
async def bodiless(stage: Stage) -> None:
    async with stage.client() as client:
        for how in ("sized", "chunked"):
            await client.ask(f"/bytes?n=5000&how={how}", method="HEAD")
            await client.answer(bodiless=True)


@SCENES.enter(3)
async def with_leave(stage: Stage) -> None:
    async with stage.client() as client:
        lines = "Content-Length: 70000\r\nExpect: 100-continue\r\n"
        await client.ask("/sink", method="POST", lines=lines)
        await client.reader.readuntil(b"\r\n\r\n")
        await client.body(70_000, chunked=False)
        if await client.answer() != b"70000":
            raise WrongError("the body did not arrive whole")


async def _up(stage: Stage, size: int) -> None:
    host = stage.luck.choice(("app", "socket"))
    async with stage.client() as client:
        await client.upload("/sink", size, chunked=stage.chance(0.5), host=host)
        if await client.answer() != b"%d" % size:
            raise WrongError("the body did not arrive whole")


async def _down(stage: Stage, size: int) -> None:
    host = stage.luck.choice(("app", "socket"))
    how = stage.luck.choice(("sized", "chunked", "close"))
    async with stage.client() as client:
        await client.ask(f"/bytes?n={size}&how={how}", host, minor=int(stage.chance(0.8)))
        await client.take(size)


@SCENES.enter(4)
async def light_upload(stage: Stage) -> None:
    await _up(stage, LIGHT)


@SCENES.enter(4)
async def light_download(stage: Stage) -> None:
    await _down(stage, LIGHT)


@SCENES.enter(1, is_heavy=True)
async def heavy_upload(stage: Stage) -> None:
    await _up(stage, HEAVY)


@SCENES.enter(1, is_heavy=True)
async def heavy_download(stage: Stage) -> None:
    await _down(stage, HEAVY)


@SCENES.enter(4)
async def websocket(stage: Stage) -> None:
    async with stage.client() as client:
        await client.upgrade()
        await _talk(stage, client)


@SCENES.enter(4)
async def relayed(stage: Stage) -> None:
    async with Client(stage.tcp) as client:
        await _talk(stage, client)


async def _talk(stage: Stage, client: Client) -> None:
    """Be echoed some rounds, and part in one of many ways."""
    for _ in range(stage.luck.randrange(1, 6)):
        size = stage.luck.choice((10, 1000, 300_000))
        async with meanwhile(client.send(b"e" * size)):
            if await client.reader.readexactly(size) != b"e" * size:
                raise WrongError("the echo is not what was said")
    way = stage.luck.choice(("reset", "finish", "close", "Q", "Z"))
    if way == "reset":
        client.reset()
    elif way == "finish":
        client.finish()
        await client.ended()
    elif way != "close":
        await client.send(way.encode())
        await client.ended()
