"""Runs every stage, also after a failure, and closes with `N passed, N failed`.

Each of trial's tests counts for itself, every other stage as one. Standard library only: this is
what sets the rest up.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>.*)\))?$")
COUNT = re.compile(r"(\w+)=(\d+)")


def lines(command: list[str]) -> tuple[int, list[str]]:
    """Run a command, show what it prints as it comes, return its status and its lines."""
    seen = []
    with subprocess.Popen(  # noqa: S603  the commands are the table below
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            seen.append(line.rstrip("\n"))
    return process.returncode, seen


def plain(status: int, printed: list[str]) -> tuple[int, int]:
    """A stage passes or fails as one."""
    return (0, 1) if status else (1, 0)


def trial(status: int, printed: list[str]) -> tuple[int, int]:
    """Count trial's tests. In CI a skipped test is one that failed: something is missing here."""
    counts = {}
    for line in printed:
        if found := SUMMARY.match(line):
            counts = {name: int(n) for name, n in COUNT.findall(found["counts"] or "")}
    passed = counts.get("successes", 0) + counts.get("expectedFailures", 0)
    wrong = ("failures", "errors", "unexpectedSuccesses", "skips")
    failed = sum(counts.get(name, 0) for name in wrong)
    if not failed and (status or not passed):
        failed = 1  # it never came as far as its summary
    return passed, failed


Judge = Callable[[int, list[str]], tuple[int, int]]
PYTHON = ".venv/bin/python"
STAGES: list[tuple[str, list[str], Judge]] = [
    ("tests", ["make", "test"], trial),
    ("ruff check", [PYTHON, "-m", "ruff", "check", "."], plain),
    ("ruff format", [PYTHON, "-m", "ruff", "format", "--check", "."], plain),
    ("types", [PYTHON, "-m", "mypy"], plain),
    ("import contracts", [".venv/bin/lint-imports"], plain),
    ("build", ["make", "build"], plain),
    ("plug-in smoke, wheel", ["sh", ".ci/smoke", "wheel"], plain),
    ("plug-in smoke, editable", ["sh", ".ci/smoke", "editable"], plain),
]


def main() -> int:
    """Run all stages; returns 1 if anything failed."""
    os.environ.setdefault("CI", "true")
    passed = failed = 0
    report = []
    for name, command, judge in STAGES:
        print(f"\n=== {name}: {' '.join(command)}", flush=True)
        began = time.monotonic()
        try:
            status, printed = lines(command)
        except OSError as error:
            print(error)
            status, printed = 1, []
        good, bad = judge(status, printed)
        passed, failed = passed + good, failed + bad
        report.append(f"{name:26}{good:6} passed{bad:6} failed{time.monotonic() - began:8.1f} s")
    print("\n" + "\n".join(report))
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
