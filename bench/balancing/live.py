"""The same scenarios with real processes, shortened: VeloFlux and HAProxy before real backends."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.balancing.load import Load
from bench.balancing.report import MEASURES, grid
from bench.balancing.run import Tally
from bench.balancing.scenarios import LOAD, PATIENCE_S, SERVERS
from bench.balancing.server import Script
from bench.load import free_port
from bench.peers import HAPROXY_COMMAND, TWISTD_COMMAND, Peer
from bench.process import Process

SLOTS = 2
WORK_S = 0.02
RATE = LOAD * SERVERS * SLOTS / WORK_S
SECONDS = 8.0
SETTLE_S = 1.5  # for the health checks to have found who is there


@dataclass(frozen=True, slots=True)
class Live:
    """`scripts` are those of the first backends."""

    title: str
    scripts: tuple[Script, ...] = ()
    slow_start_s: int = 0


LIVE: dict[str, Live] = {
    "equal": Live("all alike"),
    "slow": Live("one takes five times as long", (Script(slow=((0.0, 60.0, 5.0),)),)),
    "brown-out": Live(
        "one takes ten times as long for two seconds", (Script(slow=((2.0, 4.0, 10.0),)),)
    ),
    "pauses": Live(
        "each stands still for 0.2 s once, in turn",
        tuple(Script(pause_every_s=60.0, pause_s=0.2, pause_from_s=1.0 + i) for i in range(6)),
    ),
    "cold": Live(
        "a cold one joins, with a slow start of 4 s",
        (Script(joins=2.0, cold_requests=100, cold_factor=8.0),),
        slow_start_s=4,
    ),
    "black-hole": Live("one fails at once, outliers are ejected", (Script(fails=2.0),)),
}

VELOFLUX = """
workers: 1
data_dir: $folder/var
admin: {address: "127.0.0.1:$admin"}
listeners:
  - address: 127.0.0.1:$port
pools:
  - name: app
    algorithm: ALGORITHM
    slow_start: SLOW_STARTs
    health_check: {path: /health, interval: 500ms, timeout: 400ms, rise: 2, fall: 3}
    backends: [BACKENDS]
routes:
  - pool: app
logging:
  access: null
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option redispatch
frontend in
  bind 127.0.0.1:$port
  default_backend out
backend out
  balance ALGORITHM
  option httpchk GET /health
  default-server check inter 500ms rise 2 fall 3 slowstart SLOW_STARTs
  default-server observe layer7 error-limit 5 on-error mark-down
BACKENDS
"""

CONTENDERS = (
    ("VeloFlux", "round_robin"),
    ("VeloFlux", "least_conn"),
    ("VeloFlux", "power_of_two"),
    ("VeloFlux", "peak_ewma"),
    ("HAProxy", "roundrobin"),
    ("HAProxy", "leastconn"),
)


def peer(program: str, algorithm: str, slow_start_s: int, ports: list[int]) -> Peer:
    """A proxy before backends at these ports."""
    if program == "HAProxy":
        backends = "\n".join(f"  server b{port} 127.0.0.1:{port}" for port in ports)
        text, command = HAPROXY, HAPROXY_COMMAND
        # Without a slow start, the keyword has no meaning.
        text = text if slow_start_s else text.replace(" slowstart SLOW_STARTs", "")
    else:
        backends = ", ".join(f'{{address: "127.0.0.1:{port}"}}' for port in ports)
        text, command = VELOFLUX, TWISTD_COMMAND
    text = text.replace("ALGORITHM", algorithm).replace("BACKENDS", backends)
    return Peer(f"{program} {algorithm}", command, text.replace("SLOW_START", str(slow_start_s)))


@contextmanager
def backends(scripts: tuple[Script, ...], folder: Path, core: int) -> Iterator[dict[int, Process]]:
    """Real backends by their ports, ended with the context."""
    with ExitStack() as stack:
        running: dict[int, Process] = {}
        for script in scripts:
            port = free_port()
            # JSON has no infinity: what never happens is left out.
            fields = {
                name: value for name, value in asdict(script).items() if value != float("inf")
            }
            command = [sys.executable, "-m", "bench.balancing.backend", f"--port={port}"]
            command += [f"--script={json.dumps(fields)}", f"--slots={SLOTS}", f"--work-s={WORK_S}"]
            process = Process(f"backend-{port}", command, {core}, folder)
            stack.callback(process.end)
            running[port] = process
        yield running


def play(scenario: Live, program: str, algorithm: str, folder: Path, cores: list[int]) -> Tally:
    """Run one scenario with one proxy; raises BenchError when something does not come up."""
    scripts = (*scenario.scripts, *(Script(),) * (SERVERS - len(scenario.scripts)))
    with ExitStack() as stack:
        running = stack.enter_context(backends(scripts, folder, cores[-1]))
        proxy = peer(program, algorithm, scenario.slow_start_s, list(running)).start(
            f"{program}-{algorithm}", 0, {cores[0]}, folder
        )
        stack.callback(proxy.process.end)
        time.sleep(SETTLE_S)
        for process in running.values():
            process.signal(signal.SIGUSR1)
        tally = asyncio.run(Load(proxy.port, RATE, PATIENCE_S, seed=1).run(SECONDS))
        for port in running:
            tally.by_server[f"127.0.0.1:{port}"] += 0
        return tally


def tables(tallies: Mapping[tuple[str, str], Tally]) -> str:
    """One table for each measure, with a row for each contender, in Markdown."""
    keys = list(dict.fromkeys(scenario for scenario, _ in tallies))
    contenders = list(dict.fromkeys(contender for _, contender in tallies))
    parts = ["\n".join(f"* *{key}*: {LIVE[key].title}" for key in keys)]
    for title, measure in MEASURES.items():
        rows = [["", *keys]]
        rows += [[who, *(measure(tallies[key, who]) for key in keys)] for who in contenders]
        parts.append(f"**{title}**\n\n{grid(rows)}")
    return "\n\n".join(parts)
