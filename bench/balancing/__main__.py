"""Put the balancing algorithms through trouble, simulated or, with --live, with real processes.

The simulation runs the real algorithms and policies before simulated backends, and gives the same
figures for the same seed everywhere.
"""

import argparse
import sys
from pathlib import Path

from bench.balancing import picture, report
from bench.balancing.scenarios import SCENARIOS
from bench.balancing.storm import STORMS
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
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.only if name not in SCENARIOS]:
        parser.error(f"no scenario called {', '.join(unknown)}")
    if chosen.publish and chosen.only:
        parser.error("--publish is of all scenarios")

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


if __name__ == "__main__":
    sys.exit(main())
