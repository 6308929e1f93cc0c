"""`veloflux top`: who is busy at this moment, in a terminal.

rich draws; the keys are read from the terminal itself, which is put back as it was.
"""

import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from veloflux.command.asking import asks
from veloflux.command.daemon import Daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

SORTS = ("rate", "in flight", "latency", "failures", "backend")
_STATES = {
    "healthy": "green",
    "unhealthy": "red",
    "ejected": "red",
    "draining": "yellow",
    "disabled": "dim",
}
_KEYS = "q quit   s sort   r reverse   f filter   p pause"


@dataclass(slots=True)
class Sample:
    """What a daemon said at one moment; `at` is monotonic seconds."""

    at: float
    status: Mapping[str, Any]
    traffic: Mapping[str, Any]
    backends: list[Mapping[str, Any]]


@dataclass(slots=True)
class View:
    """What is shown, and how."""

    sort: str = SORTS[0]
    is_reversed: bool = False
    is_paused: bool = False
    filter: str = ""
    typed: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


def take(daemon: Daemon) -> Sample:
    """Ask once for all that is shown."""
    return Sample(
        time.monotonic(),
        daemon.get("/api/status"),
        daemon.get("/api/metrics/realtime"),
        daemon.get("/api/backends"),
    )


def rows(before: Sample | None, now: Sample) -> list[dict[str, Any]]:
    """Each backend with what became of its counters; a rate is None before there are two samples,
    and when a counter has begun anew."""
    past = {each["id"]: each for each in before.backends} if before is not None else {}
    passed = now.at - before.at if before is not None else 0.0
    return [
        {
            "pool": each["pool"],
            "backend": each["address"],
            "state": each["status"] if not each.get("draining") else "draining",
            "in flight": each["connections"],
            "rate": _rate(past.get(each["id"]), each, "requests", passed),
            "failures": _rate(past.get(each["id"]), each, "failure_count", passed),
            "latency": each["latency_ms"],
            "weight": each["weight"],
        }
        for each in now.backends
    ]


def _rate(
    before: Mapping[str, Any] | None, now: Mapping[str, Any], name: str, passed: float
) -> float | None:
    if before is None or passed <= 0 or now[name] < before[name]:
        return None
    return float(now[name] - before[name]) / passed


def arranged(view: View) -> list[dict[str, Any]]:
    """The rows that the filter leaves, the busiest first."""
    wanted = view.filter.lower()
    left = [
        row
        for row in view.rows
        if wanted in f"{row['pool']} {row['backend']} {row['state']}".lower()
    ]
    if view.sort == "backend":
        return sorted(left, key=lambda row: (row["pool"], row["backend"]), reverse=view.is_reversed)
    return sorted(left, key=lambda row: row[view.sort] or 0.0, reverse=not view.is_reversed)


def press(view: View, key: str) -> bool:
    """Take a key; False for the one that ends it."""
    if view.typed is not None:
        _type(view, key)
    elif key in ("q", "\x03", "\x04"):
        return False
    elif key == "s":
        view.sort = SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)]
    elif key == "r":
        view.is_reversed = not view.is_reversed
    elif key == "p":
        view.is_paused = not view.is_paused
    elif key == "f":
        view.typed = view.filter
    return True


def _type(view: View, key: str) -> None:
    assert view.typed is not None
    if key in ("\r", "\n"):
        view.filter, view.typed = view.typed, None
    elif key in ("\x1b", "\x03"):
        view.typed = None
    elif key in ("\x7f", "\b"):
        view.typed = view.typed[:-1]
    elif key.isprintable():
        view.typed += key


def picture(view: View, sample: Sample, height: int) -> "RenderableType":
    """Draw it for a terminal of so many lines."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, expand=True, pad_edge=False)
    table.add_column("POOL", no_wrap=True)
    table.add_column("BACKEND", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    for title in ("WEIGHT", "IN FLIGHT", "REQ/S", "FAIL/S", "LATENCY MS"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in arranged(view)[: max(1, height - 7)]:
        table.add_row(
            row["pool"],
            row["backend"],
            Text(row["state"], _STATES.get(row["state"], "")),
            str(row["weight"]),
            str(row["in flight"]),
            _number(row["rate"]),
            _number(row["failures"]),
            _number(row["latency"]),
        )
    status, traffic = sample.status, sample.traffic
    colour = {"healthy": "bold green", "degraded": "bold yellow"}.get(status["status"], "bold red")
    head = Text.assemble(
        "VeloFlux ",
        (f"{status['version']}  ", "bold"),
        (str(status["status"]), colour),
        f"  up {status['uptime']}  revision {status['config_revision']}  "
        f"workers {len(status.get('workers', ()))}  "
        f"backends {status['healthy_backends']}/{status['backends']}",
    )
    busy = Text(
        f"{_number(traffic['requests_per_minute'], 60)} req/s   "
        f"errors {_number(traffic['error_rate'])} %   "
        f"mean {_number(traffic['avg_response_time'])} ms   "
        f"connections {traffic['active_connections']}"
    )
    foot = f"filter: {view.typed}_" if view.typed is not None else _KEYS
    order = f"   by {view.sort}{', reversed' if view.is_reversed else ''}"
    order += f"   filter {view.filter}" if view.filter else ""
    order += "   PAUSED" if view.is_paused else ""
    return Group(head, busy, "", table, "", Text(foot + order, "dim"))


def _number(value: float | None, per: float = 1.0) -> str:
    if value is None:
        return "-"
    value /= per
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


@contextmanager
def _raw_keys() -> Iterator[None]:
    """Have each key at once, unechoed."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@click.command(
    help="""Show live who is busy: traffic, and every backend with its state, load and rate.

Keys: q quits, s sorts by another column, r turns the order around, f filters, p pauses.

\b
examples:
  veloflux top
  veloflux top --once --json      # one look, for a program"""
)
@click.option("--once", is_flag=True, help="Look for one interval, print it and end.")
@click.option("--json", "is_json", is_flag=True, help="With --once: print JSON.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60.0), default=1.0, show_default=True, metavar="S"
)
@asks
def top(daemon: Daemon, once: bool, is_json: bool, interval: float) -> None:
    """Show live who is busy."""
    if is_json and not once:
        raise click.UsageError("--json prints one look; give --once with it")
    if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _look(daemon, interval, is_json)
    else:
        _watch(daemon, interval)


def _look(daemon: Daemon, interval: float, is_json: bool) -> None:
    before = take(daemon)
    time.sleep(interval)
    now = take(daemon)
    view = View(rows=rows(before, now))
    if is_json:
        found = {"status": now.status, "traffic": now.traffic, "backends": arranged(view)}
        click.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console

    Console().print(picture(view, now, 10_000))


def _watch(daemon: Daemon, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    view = View()
    before, now = None, take(daemon)
    view.rows = rows(before, now)
    with (
        _raw_keys(),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(picture(view, now, console.height), refresh=True)
            left = now.at + interval - time.monotonic()
            if select.select([sys.stdin], [], [], max(0.0, left))[0]:
                # Not through `sys.stdin`, which would read ahead of `select`.
                key = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
                if not all(press(view, each) for each in key):
                    return
            elif view.is_paused:
                now.at += interval
            else:
                before, now = now, take(daemon)
                view.rows = rows(before, now)
