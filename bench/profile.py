"""Where a worker spends its time under load: `python -m bench.profile [WORK] [--stock]`.

py-spy looks at the worker some hundred times a second, from outside. A function's share is of the
samples in which it was the innermost one, so a system call counts for the function that makes it;
with --lines, the same for lines. With --stock the worker runs on Twisted's own epoll reactor and
transports.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.load import Load
from bench.measure import WARM_S, Room, room
from bench.peers import PEERS
from bench.process import BenchError, allow_many_files, end_in_order
from bench.works import WORKS

RATE_HZ = 500
SHOWN = 20
# Found by Python when it starts, before any module of the daemon.
STOCK = """
import veloflux.edge.reactor
from twisted.internet import epollreactor, main


def install():
    reactor = epollreactor.EPollReactor()
    main.installReactor(reactor)
    return reactor


veloflux.edge.reactor.install = install
"""


def shares(folded: str, *, lines: bool = False) -> Counter[str]:
    """Samples of each innermost function, as `function (file)`, or `function (file:line)`.

    `folded` is py-spy's raw format: a line for each stack, its frames with semicolons between them,
    then how often it was seen.
    """
    found: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        name, _, place = stack.rpartition(";")[2].partition(" (")
        file = "/".join((place[:-1] if lines else place.rpartition(":")[0]).split("/")[-2:])
        found[f"{name} ({file or place.rstrip(')')})"] += int(count)
    return found


def table(found: Counter[str]) -> str:
    """The greatest shares as rows of Markdown."""
    total = found.total() or 1
    shown = found.most_common(SHOWN)
    rows = [f"| `{name}` | {count / total:.1%} |" for name, count in shown]
    rest = total - sum(count for _, count in shown)
    rows.append(f"| {len(found) - len(shown)} others | {rest / total:.1%} |")
    return "\n".join(["| innermost function | share |", "|---|--:|", *rows])


def record(place: Room, peer: str, load: Load, seconds: int) -> str:
    """Look at a worker under load for so long; py-spy's raw format. Raises BenchError."""
    proxy = PEERS[peer].start("profiled", place.origin, place.proxy_cores(1), place.folder)
    try:
        cores = place.load_cores()
        before = proxy.process.cpu_by_pid()
        load.run(proxy.port, 2 * WARM_S, cores, place.folder)
        # The worker is the process that works; the parent has only started.
        after = proxy.process.cpu_by_pid()
        worker = max(after, key=lambda pid: after[pid] - before.get(pid, 0.0))
        out = place.folder / "stacks"
        command = [str(Path(sys.executable).with_name("py-spy")), "record"]
        command += ["--format", "raw", "--output", str(out), "--rate", str(RATE_HZ)]
        command += ["--duration", str(seconds), "--pid", str(worker)]
        spy = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        load.run(proxy.port, seconds + WARM_S, cores, place.folder)
        _, said = spy.communicate(timeout=30)
        if not out.exists():
            raise BenchError(f"py-spy failed: {said}")
        return out.read_text()
    finally:
        proxy.process.end()


def main() -> int:
    """Profile, and print the table; returns 1 when that was not possible."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    works = {
        name: (peer, work.load)
        for name, work in WORKS.items()
        for peer in work.peers[::-1]
        if work.load is not None and peer.startswith("veloflux")
    }
    parser.add_argument("work", nargs="?", default="http", choices=works, metavar="WORK")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--lines", action="store_true", help="of lines, not of functions")
    parser.add_argument("--stock", action="store_true", help="on Twisted's own reactor")
    chosen = parser.parse_args()
    peer, load = works[chosen.work]
    allow_many_files()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="veloflux-profile-") as folder:
        if chosen.stock:
            Path(folder, "sitecustomize.py").write_text(STOCK)
            path = filter(None, (folder, os.environ.get("PYTHONPATH")))
            os.environ["PYTHONPATH"] = os.pathsep.join(path)
        try:
            with room(Path(folder)) as place:
                seen = record(place, peer, load, chosen.seconds)
                print(table(shares(seen, lines=chosen.lines)))
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
