"""Clients that play scenes for a while: `python -m bench.soak.load PORTS SECONDS CLIENTS SEED`

PORTS are those of `stage.Stage`, with commas. Ends with one line of JSON: how often each scene was
played, and what was wrong.
"""

import asyncio
import contextlib
import json
import random
import sys
from collections import Counter

from bench.soak import bad, good
from bench.soak.stage import Scene, Stage

SCENES = good.SCENES | bad.SCENES
# Seconds that a scene may take; the longest meant waits for deadlines of three seconds.
PATIENCE_S = 30.0
HEAVY_AT_A_TIME = 2
# Between two scenes of a client, at most.
PAUSE_S = 0.2
SHOWN = 20


class Load:
    """What was played, and what was wrong with it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._turn = asyncio.Semaphore(HEAVY_AT_A_TIME)
        self.played: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    async def client(self, until: float) -> None:
        """One client after the other, until that time of the loop."""
        names = list(SCENES)
        weights = [scene.weight for scene in SCENES.values()]
        clock = asyncio.get_running_loop().time
        while clock() < until:
            (name,) = self._stage.luck.choices(names, weights)
            scene = SCENES[name]
            async with self._turn if scene.is_heavy else contextlib.nullcontext():
                if clock() < until:
                    await self._play(name, scene)
            await asyncio.sleep(self._stage.luck.random() * PAUSE_S)

    async def _play(self, name: str, scene: Scene) -> None:
        self.played[name] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await scene.play(self._stage)
        except Exception as problem:  # whatever it is, it is a finding
            self.wrong[f"{name}: {problem!r}"] += 1


async def play(ports: list[int], seconds: float, clients: int, seed: int) -> Load:
    """Have so many clients play scenes for so long."""
    http, tcp, refusing = ports
    load = Load(Stage(http, tcp, refusing, random.Random(seed)))
    until = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(load.client(until) for _ in range(clients)))
    return load


def main() -> None:
    """Play, and tell."""
    ports, seconds, clients, seed = sys.argv[1:]
    load = asyncio.run(
        play([int(port) for port in ports.split(",")], float(seconds), int(clients), int(seed))
    )
    told = {"played": load.played, "wrong": dict(load.wrong.most_common(SHOWN))}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
