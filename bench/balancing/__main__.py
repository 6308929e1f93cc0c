"""Put the balancing algorithms through trouble, simulated or, with --live, with real processes.

The simulation runs the real algorithms and policies before simulated backends, and gives the same
figures for the same seed everywhere.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.balancing import live, picture, report
from bench.balancing.scenarios import SCENARIOS
from bench.balancing.storm import STORMS
from bench.process import BenchError
from veloflux.core.policy.balance.algorithms import PICKERS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "explanation" / "balancing.md"


def main() -> int:
    """Run, print, and write the page's tables and the picture where that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench.balancing", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"scenarios: {', '.join(SCENARIOS)}"
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"write docs/{PAGE.name} and docs/balancing.svg, too"
    )
    parser.add_argument(
        "--live", action="store_true", help="real processes, beside HAProxy, instead (ten minutes)"
    )
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.only if name not in SCENARIOS]:
        parser.error(f"no scenario called {', '.join(unknown)}")
    if chosen.publish and chosen.only:
        parser.error("--publish is of all scenarios")
    return run_live(chosen) if chosen.live else simulate(chosen)


def simulate(chosen: argparse.Namespace) -> int:
    """Everything in one process, and in less than a minute."""
    tallies = {
        (key, algorithm): SCENARIOS[key].play(algorithm, chosen.seed)
        for key in chosen.only or SCENARIOS
        for algorithm in PICKERS
    }
    figures = report.tables(tallies)
    print(figures, flush=True)
    if chosen.only:
        return 0
    storms = {key: storm.play(chosen.seed) for key, storm in STORMS.items()}
    storm_figures = report.storms(storms)
    print(f"\nThe retry storm\n\n{storm_figures}")
    if chosen.publish:
        report.put(PAGE, "simulated", figures)
        report.put(PAGE, "storm", storm_figures)
        (DOCS / "balancing.svg").write_text(picture.picture(tallies, storms))
        print(f"written: docs/explanation/{PAGE.name}, docs/balancing.svg")
    return 0


def run_live(chosen: argparse.Namespace) -> int:
    """Real processes; returns 1 when something was missing."""
    cores = sorted(os.sched_getaffinity(0))
    if missing := [name for name in ("haproxy", "taskset") if not shutil.which(name)]:
        print(f"missing: {', '.join(missing)}; `make bench` installs them", file=sys.stderr)
        return 1
    if unknown := [name for name in chosen.only if name not in live.LIVE]:
        print(f"not among the live scenarios: {', '.join(unknown)}", file=sys.stderr)
        return 1
    tallies = {}
    for key in chosen.only or live.LIVE:
        for program, algorithm in live.CONTENDERS:
            with tempfile.TemporaryDirectory(prefix="veloflux-bench-") as folder:
                try:
                    tally = live.play(live.LIVE[key], program, algorithm, Path(folder), cores)
                except BenchError as error:
                    print(error, file=sys.stderr)
                    return 1
            who = f"{program} `{algorithm}`"
            tallies[key, who] = tally
            said = ", ".join(f"{title}: {of(tally)}" for title, of in report.MEASURES.items())
            print(f"{key}, {who}: {said}", flush=True)
    figures = live.tables(tallies)
    print(f"\n{figures}")
    if chosen.publish:
        report.put(PAGE, "live", f"On {time.strftime('%Y-%m-%d')}:\n\n{figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
