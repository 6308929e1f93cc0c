"""The figures as tables: as text, and in the page that explains them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.balancing.run import Tally
from bench.balancing.scenarios import SCENARIOS
from bench.balancing.storm import (
    BEGINS,
    ENDS,
    STORMS,
    amplification,
    back_after_s,
    goodput,
)
from veloflux.core.model.traffic import Algorithm

Tallies = Mapping[tuple[str, Algorithm], Tally]

MEASURES: dict[str, Callable[[Tally], str]] = {
    "p99, in ms": lambda tally: f"{tally.quantile_ms(0.99):.0f}",
    "Errors, in %": lambda tally: f"{tally.errors * 100:.2f}",
    "p50, in ms": lambda tally: f"{tally.quantile_ms(0.5):.1f}",
    "What the busiest backend got, over the mean": lambda tally: f"{tally.spread:.2f}",
}

SIMULATED: dict[str, Callable[[Tally], str]] = {
    "Requests that went where most of their client's went, in %": (
        lambda tally: f"{tally.loyalty * 100:.0f}"
    ),
}


def tables(tallies: Tallies) -> str:
    """One table for each measure, with a row for each algorithm, in Markdown."""
    keys = list(dict.fromkeys(scenario for scenario, _ in tallies))
    algorithms = list(dict.fromkeys(algorithm for _, algorithm in tallies))
    parts = []
    for title, measure in {**MEASURES, **SIMULATED}.items():
        rows = [["", *keys]]
        rows += [
            [f"`{algorithm}`", *(measure(tallies[key, algorithm]) for key in keys)]
            for algorithm in algorithms
        ]
        parts.append(f"**{title}**\n\n{grid(rows)}")
    legend = "\n".join(f"* *{key}*: {SCENARIOS[key].title}" for key in keys)
    return "\n\n".join([legend, *parts])


def storms(tallies: Mapping[str, Tally]) -> str:
    """The retry storm, a row for each way to retry, in Markdown."""
    rows = [["", "attempts per request", "good answers during it", "all well again after"]]
    for key, tally in tallies.items():
        after = back_after_s(tally)
        during = sum(goodput(tally, second) for second in range(BEGINS, ENDS)) / (ENDS - BEGINS)
        rows.append(
            [
                STORMS[key].title,
                f"{amplification(tally):.2f}",
                f"{during * 100:.0f} %",
                "never" if after is None else f"{after} s",
            ]
        )
    return grid(rows)


def grid(rows: list[list[str]]) -> str:
    """Rows as a Markdown table that can be read as text, too; the first is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
        if not number:
            rules = [
                "-" * width if not i else "-" * (width - 1) + ":" for i, width in enumerate(widths)
            ]
            lines.append(f"| {' | '.join(rules)} |")
    return "\n".join(lines)


def put(page: Path, mark: str, text: str) -> None:
    """Replace what is between the comments `BEGIN mark` and `END mark` of a page.

    Raises ValueError when they are not there.
    """
    begin, end = f"<!-- BEGIN {mark} -->", f"<!-- END {mark} -->"
    head, found, rest = page.read_text().partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{page.name} has no {begin} … {end}")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
