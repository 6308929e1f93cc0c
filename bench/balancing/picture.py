"""The simulation as one SVG: a panel of bars for each scenario, and the storm as lines."""

from collections.abc import Mapping
from html import escape
from math import log10

from bench.balancing.report import Tallies
from bench.balancing.run import Tally
from bench.balancing.scenarios import SCENARIOS
from bench.balancing.storm import BEGINS, ENDS, LASTS, STORMS, goodput

# Colours come from the reader's scheme, so that the picture sits well on light and dark pages.
STYLE = """
  text { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 13px }
  .quiet { fill: #656d76; font-size: 10px }
  .bar { fill: #2f6fde } .bad { fill: #d1242f } .when { fill: #d1242f; opacity: .12 }
  .axis { stroke: #aeb6bf; stroke-width: 1; fill: none }
  .line { fill: none; stroke-width: 2 }
  .l0 { stroke: #656d76 } .l1 { stroke: #d1242f } .l2 { stroke: #2f6fde } .l3 { stroke: #1a7f37 }
  .t0 { fill: #656d76 } .t1 { fill: #d1242f } .t2 { fill: #2f6fde } .t3 { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #6ea0ff } .axis { stroke: #59626c }
    .l2 { stroke: #6ea0ff } .t2 { fill: #6ea0ff } .l3 { stroke: #3fb950 } .t3 { fill: #3fb950 }
  }
"""
WIDTH, PANEL, LEFT, ROW = 780, 380, 140, 15
SHORTEST_MS, LONGEST_MS = 20.0, 2000.0  # the ends of the bars' logarithmic scale
ROOM = PANEL - LEFT - 95


def picture(tallies: Tallies, storms: Mapping[str, Tally]) -> str:
    """Both as the text of an SVG file."""
    keys = list(dict.fromkeys(scenario for scenario, _ in tallies))
    rows = len(dict.fromkeys(algorithm for _, algorithm in tallies))
    tall = rows * ROW + 42
    parts = [
        '<text class="title" x="10" y="18">p99 (bars, ms, logarithmic) and errors'
        " (%), less is better</text>"
    ]
    for place, key in enumerate(keys):
        x, y = place % 2 * (PANEL + 10) + 5, 30 + place // 2 * tall
        parts += _panel(key, tallies, x, y)
    y = 30 + (len(keys) + 1) // 2 * tall + 14
    parts += _lines(storms, y)
    height = y + 190 + 14 * len(storms)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
            ' aria-label="Balancing algorithms in simulated trouble">',
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _panel(key: str, tallies: Tallies, x: float, y: float) -> list[str]:
    parts = [f'<text class="title" x="{x + 5}" y="{y + 16}">{escape(SCENARIOS[key].title)}</text>']
    for scenario, algorithm in tallies:
        if scenario != key:
            continue
        tally = tallies[key, algorithm]
        at = y + 24 + len(parts) // 3 * ROW
        left = x + LEFT
        p99 = tally.quantile_ms(0.99)
        length = log10(max(p99 / SHORTEST_MS, 1.1)) / log10(LONGEST_MS / SHORTEST_MS) * ROOM
        errors = f'<tspan class="bad" dx="5">{tally.errors * 100:.1f} %</tspan>'
        parts += [
            f'<text x="{left - 6}" y="{at + 10}" text-anchor="end">{algorithm}</text>',
            f'<rect class="bar" x="{left}" y="{at + 1}" width="{length:.1f}" height="11"/>',
            f'<text x="{left + length + 5:.1f}" y="{at + 10}">{p99:.0f}'
            f"{errors if tally.errors > 0.0005 else ''}</text>",
        ]
    return parts


def _lines(storms: Mapping[str, Tally], y: float) -> list[str]:
    left, width, height = 50, WIDTH - 70, 120

    def at(second: float) -> float:
        return left + second / (LASTS - 1) * width

    parts = [
        f'<text class="title" x="10" y="{y}">Retry storm: good answers, in % of each second\'s'
        " requests</text>",
        f'<rect class="when" x="{at(BEGINS):.1f}" y="{y + 12}" height="{height}"'
        f' width="{at(ENDS) - at(BEGINS):.1f}"/>',
        f'<path class="axis" d="M{left},{y + 12} v{height} h{width}"/>',
    ]
    for share in (0, 50, 100):
        line = y + 12 + height * (1 - share / 100)
        parts.append(
            f'<text class="quiet" x="{left - 6}" y="{line + 3}" text-anchor="end">{share}</text>'
        )
    for second in range(0, LASTS, 10):
        parts.append(
            f'<text class="quiet" x="{at(second):.1f}" y="{y + 26 + height}"'
            f' text-anchor="middle">{second} s</text>'
        )
    for place, (key, tally) in enumerate(storms.items()):
        points = " ".join(
            f"{at(second):.1f},{y + 12 + height * (1 - goodput(tally, second)):.1f}"
            for second in range(LASTS - 1)
        )
        parts.append(f'<polyline class="line l{place % 4}" points="{points}"/>')
        parts.append(
            f'<text class="t{place % 4}" x="{left}" y="{y + 46 + height + 14 * place}">'
            f"{escape(STORMS[key].title)}</text>"
        )
    return parts
