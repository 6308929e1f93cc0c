"""Put a daemon under mixed load for minutes, and see whether it is as it was.

Clients and backends do everything that clients and backends do, well or badly, while the
configuration is reloaded again and again. Each minute ends with a rest: what the daemon holds in
the first one and in the last must be the same.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench.load import free_port
from bench.measure import machine
from bench.process import BenchError, Process, allow_many_files, end_in_order
from bench.soak import curve, watch
from bench.soak.daemon import Daemon
from bench.soak.watch import Sample, Watch

RESULTS = Path(__file__).parents[1] / "results"
DOCS = Path(__file__).parents[2] / "docs"
# Of each minute, seconds under load. A rest lasts until the last connection is gone, but not for
# longer than so many seconds.
LOAD_S = 50
REST_S = 30
SETTLE_S = 2
SAMPLE_S = 5
RELOAD_S = 7


class Soak:
    """A daemon, what is done to it, and what was seen."""

    def __init__(self, folder: Path, daemon: Daemon, clients: int, seed: int) -> None:
        self._folder = folder
        self.daemon = daemon
        self._clients = clients
        self._seed = seed
        self.watch = Watch(daemon.process, daemon.metrics)
        self.rests: list[Sample] = []
        self.played: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def minute(self) -> None:
        """Load and rest. Raises BenchError when the load fails."""
        self._seed += 1
        ports = ",".join(self.daemon.ports)
        load = python("load", self._folder, ports, str(LOAD_S), str(self._clients), str(self._seed))
        try:
            self._beside(load)
            told = json.loads(load.said().splitlines()[-1])
        except (IndexError, ValueError):
            raise BenchError(f"the load failed; it said:\n{load.said()}") from None
        finally:
            load.end()
        self.played.update(told["played"])
        self.wrong.update(told["wrong"])
        self._rest()
        self.ended += self.daemon.terminations()

    def _beside(self, load: Process) -> None:
        """Take samples and have the configuration reloaded until the load ends."""
        reload_at = sample_at = time.monotonic()
        while load.is_running:
            now = time.monotonic()
            if now >= sample_at:
                sample_at += SAMPLE_S
                print(watch.row(self.watch.sample("load")), flush=True)
            if now >= reload_at:
                reload_at += RELOAD_S
                self.daemon.reload()
            time.sleep(0.1)

    def _rest(self) -> None:
        # Always by the same configuration, for it takes its own memory.
        self.daemon.reload(0)
        until = time.monotonic() + REST_S
        while not self.watch.look("rest").is_idle and time.monotonic() < until:
            time.sleep(1)
        time.sleep(SETTLE_S)
        self.rests.append(self.watch.sample("rest"))
        print(watch.row(self.rests[-1]), flush=True)


def python(module: str, folder: Path, *arguments: str) -> Process:
    """Start a module beside this one; nice, for the processors belong to what is measured."""
    command = ["nice", "-n", "10", sys.executable, "-m", f"bench.soak.{module}", *arguments]
    return Process(module, command, os.sched_getaffinity(0), folder)


@contextmanager
def origin(folder: Path, seed: int) -> Iterator[dict[str, str]]:
    """Run an origin; yields its places."""
    ports = ("http", "faulty", "tcp", "refusing", "deaf")
    places = {name: str(free_port()) for name in ports}
    places["socket"] = str(folder / "origin.sock")
    process = python("origin", folder, json.dumps(places), str(seed))
    try:
        process.wait(lambda: "serving" in process.said())
        yield places
    finally:
        process.end()


@contextmanager
def soak(folder: Path, clients: int, seed: int) -> Iterator[Soak]:
    """Run a daemon before an origin."""
    with origin(folder, seed) as places:
        daemon = Daemon(folder, places)
        try:
            daemon.wait()
            yield Soak(folder, daemon, clients, seed)
        finally:
            daemon.process.end()


def main() -> int:
    """Soak, print, and write bench/results/; returns 1 when something was left or went wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="at least 2")
    parser.add_argument("--clients", type=int, default=60, help="at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--publish", action="store_true", help="write docs/soak.md and docs/soak.svg, too"
    )
    chosen = parser.parse_args()
    if chosen.minutes < 2:
        parser.error("one minute has nothing to be compared with")

    allow_many_files()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="veloflux-soak-") as folder:
        try:
            with soak(Path(folder), chosen.clients, chosen.seed) as running:
                print(watch.headings(running.watch.sample("start")))
                print(watch.row(running.watch.samples[0]), flush=True)
                for _ in range(chosen.minutes):
                    running.minute()
                faults = running.daemon.faults()
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    return report(running, faults, vars(chosen))


def publish(soaked: Soak, found: dict[str, bool], settings: dict[str, int]) -> None:
    """Write the page and its picture."""
    on = machine()
    said = (
        f"On {time.strftime('%Y-%m-%d')}, by `make soak`: {settings['minutes']} minutes,"
        f" {settings['clients']} clients at a time, {soaked.played.total():,} visits good and bad,"
        f" two workers, a reload every {RELOAD_S} s. On {on['processors']} processors"
        f" ({on['processor']}), Linux {on['kernel']}, Python {on['python']}."
    )
    (DOCS / "soak.md").write_text(curve.page(soaked.watch.samples, found, said))
    (DOCS / "soak.svg").write_text(curve.picture(soaked.watch.samples))
    print("written: docs/soak.md, docs/soak.svg")


def report(soaked: Soak, faults: list[str], settings: dict[str, int]) -> int:
    """Print what was found and write it all to a file; returns 1 when something failed."""
    found = watch.findings(soaked.rests[0], soaked.rests[-1])
    found["no fault in the log"] = not faults
    found["no wrong answer"] = not soaked.wrong
    print(f"\n{soaked.played.total()} scenes; how those ended that were logged as JSON:")
    print("  " + ", ".join(f"{end} {count}" for end, count in soaked.ended.most_common()))
    for text, count in soaked.wrong.most_common():
        print(f"  wrong: {count} × {text}")
    for line in faults[:20]:
        print(f"  log: {line}")
    print("\nAt the rests:")
    print("\n".join(f"  {line}" for line in curve.table(soaked.watch.samples)))
    grown = curve.pace(soaked.watch.samples)
    print(f"  memory over the second half: {grown / watch.MIB:+.2f} MiB a minute, in all")
    print("\nBetween the first rest and the last:")
    for asked, holds in found.items():
        print(f"  {'yes' if holds else 'NO '}  {asked}")
    print(f"  {curve.WHY}")
    if settings["publish"]:
        publish(soaked, found, settings)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("soak-%Y-%m-%dT%H-%M-%S.json")
    written = {
        "settings": settings,
        "bytes_a_minute": grown,
        "found": found,
        "faults": faults,
        "wrong": soaked.wrong,
        "played": soaked.played,
        "ended": soaked.ended,
        "samples": [asdict(sample) for sample in soaked.watch.samples],
    }
    file.write_text(json.dumps(written, indent=1, ensure_ascii=False))
    print(f"\nwritten: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
