"""Measure VeloFlux beside its peers, in turn, in one run.

The figure that counts is the processor time of the proxy per request: it holds on a shared
machine, where requests per second does not.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench import measure, report
from bench.peers import PEERS
from bench.process import BenchError, allow_many_files, end_in_order
from bench.works import WORKS

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    """Measure, print, and write bench/results/; returns 1 when something was missing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load in each turn")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"works: {', '.join(WORKS)}"
    )
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help=f"peers: {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write docs/bench.md and docs/bench.svg, too"
    )
    chosen = parser.parse_args()
    unknown = [name for name in chosen.only if name not in WORKS]
    unknown += [name for name in chosen.peers if name not in PEERS]
    if unknown:
        parser.error(f"no work or peer called {', '.join(unknown)}")
    missing = [
        name for name in ("nginx", "haproxy", "wrk", "h2load", "taskset") if not shutil.which(name)
    ]
    if missing:
        print(f"missing: {', '.join(missing)}; `make bench` installs them", file=sys.stderr)
        return 1

    allow_many_files()
    end_in_order()
    outcomes = {}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="veloflux-bench-") as folder:
        try:
            with measure.room(Path(folder)) as place:
                for key in chosen.only or WORKS:
                    try:
                        outcomes[key] = measure.run(
                            WORKS[key],
                            frozenset(chosen.peers),
                            chosen.rounds,
                            chosen.seconds,
                            place,
                        )
                    except BenchError as error:
                        failed += 1
                        print(f"\n{WORKS[key].title}\n  failed: {error}", flush=True)
                        continue
                    failed += len(outcomes[key].failed)
                    print(report.table(WORKS[key], outcomes[key]), flush=True)
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1

    found = report.document(
        outcomes,
        measure.machine(),
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        date=time.strftime("%Y-%m-%d"),
    )
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("%Y-%m-%dT%H-%M-%S.json")
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    print(f"\nwritten: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    if chosen.publish and "http" in outcomes and not failed:
        (DOCS / "bench.md").write_text(report.page(found))
        (DOCS / "bench.svg").write_text(report.picture(found))
        print("written: docs/bench.md, docs/bench.svg")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
