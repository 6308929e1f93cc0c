"""What a soak's samples look like over time: a table of its rests, a page, and a picture."""

from collections.abc import Callable, Sequence
from html import escape

from bench.soak.watch import DESCRIPTORS, MEMORY_BYTES, MEMORY_SHARE, MIB, Held, Sample

# Why the bounds are what they are; shown wherever the verdict is.
WHY = (
    f"Memory may grow by {MEMORY_SHARE:.0%} of itself or {MEMORY_BYTES // MIB} MiB, whichever is"
    " more: memory that was given back and got again lies differently, and tables of counts have"
    " seen all their labels only after some minutes. A worker has more than 100,000 requests in ten"
    " minutes, so a leak of a hundred bytes at each is more than that. Descriptors may differ by"
    f" {DESCRIPTORS}: spare pipes are kept by how many were needed at once."
)


def rests(samples: Sequence[Sample]) -> list[Sample]:
    """Those at the end of a minute, when nobody is connected."""
    return [sample for sample in samples if sample.phase == "rest"]


def table(samples: Sequence[Sample]) -> list[str]:
    """A row of Markdown for each rest: MiB and descriptors of each process, and of all together.

    A process's memory is its resident set; in all, shared pages count once (PSS).
    """
    names = list(samples[-1].processes)
    heads = [f"{name}, MiB | fds" for name in names]
    lines = [
        f"| s | {' | '.join(heads)} | all, MiB (PSS) | fds |",
        "|" + "--:|" * (2 * len(names) + 3),
    ]
    for sample in rests(samples):
        cells = [
            f"{each.rss / MIB:.1f} | {each.descriptors}" if each else "– | –"
            for each in map(sample.processes.get, names)
        ]
        pss, descriptors = total(sample, "pss") / MIB, total(sample, "descriptors")
        lines.append(f"| {sample.seconds:.0f} | {' | '.join(cells)} | {pss:.1f} | {descriptors} |")
    return lines


def total(sample: Sample, what: str) -> int:
    """Of all processes."""
    return sum(getattr(each, what) for each in sample.processes.values())


def pace(samples: Sequence[Sample]) -> float:
    """Bytes a minute by which the memory of all grew over the second half of the rests.

    The slope of least squares. A leak goes on there, while what fills up at the start does not;
    0 with fewer than three rests in that half.
    """
    half = rests(samples)
    half = half[len(half) // 2 :]
    if len(half) < 3:
        return 0.0
    minutes = [sample.seconds / 60 for sample in half]
    held = [total(sample, "pss") for sample in half]
    middle, level = sum(minutes) / len(half), sum(held) / len(half)
    above = sum((m - middle) * (h - level) for m, h in zip(minutes, held, strict=True))
    return above / sum((m - middle) ** 2 for m in minutes)


def page(samples: Sequence[Sample], found: dict[str, bool], said: str) -> str:
    """A page of the documentation; `said` is on what, when and how."""
    verdict = "Everything is as it was." if all(found.values()) else "NOT everything is as it was:"
    return "\n".join(
        [
            "# Under mixed load for minutes",
            "",
            '<!-- Written by `make soak SOAK="--publish"`. -->',
            "",
            said,
            "",
            "![Memory and descriptors over time](soak.svg)",
            "",
            "Each minute ends with a rest, in which the last connection goes. At the rests:",
            "",
            *table(samples),
            "",
            f"Over the second half memory grew by {pace(samples) / MIB:+.2f} MiB a minute, in all.",
            "",
            f"**{verdict}** Between the first rest and the last:",
            "",
            *(f"* {'yes' if holds else '**no**'}: {asked}" for asked, holds in found.items()),
            "",
            WHY,
            "",
        ]
    )


# Colours come from the reader's scheme, so that the picture sits well on light and dark pages.
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-weight: 600 } .quiet { fill: #656d76; font-size: 11px }
  .axis { stroke: #aeb6bf; fill: none } .line { fill: none; stroke-width: 2 }
  .l0 { stroke: #656d76 } .l1 { stroke: #2f6fde } .l2 { stroke: #1a7f37 } .l3 { stroke: #bc4c00 }
  .t0 { fill: #656d76 } .t1 { fill: #2f6fde } .t2 { fill: #1a7f37 } .t3 { fill: #bc4c00 }
  .rest { fill: #aeb6bf; opacity: .3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .axis { stroke: #59626c }
    .l1 { stroke: #6ea0ff } .t1 { fill: #6ea0ff } .l2 { stroke: #3fb950 } .t2 { fill: #3fb950 }
  }
"""
WIDTH, PANEL, LEFT, RIGHT = 760, 170, 50, 100
COLOURS = 4


def picture(samples: Sequence[Sample]) -> str:
    """Two panels as an SVG: memory and descriptors of each process; rests have a grey ground."""
    panels: list[tuple[str, Callable[[Held], float]]] = [
        ("Memory, MiB", lambda held: held.rss / MIB),
        ("Descriptors", lambda held: held.descriptors),
    ]
    parts: list[str] = []
    for place, (title, of) in enumerate(panels):
        parts += _panel(title, of, samples, 10 + place * (PANEL + 50))
    height = 10 + len(panels) * (PANEL + 50)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
            ' aria-label="Memory and descriptors of each process under mixed load">',
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _panel(
    title: str, of: Callable[[Held], float], samples: Sequence[Sample], top: float
) -> list[str]:
    names = list(samples[-1].processes)
    last = samples[-1].seconds or 1.0
    most = max((of(each) for s in samples for each in s.processes.values()), default=1.0) * 1.1
    under = top + 20 + PANEL - 20

    def x(seconds: float) -> float:
        return LEFT + seconds / last * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return under - value / most * (PANEL - 20)

    parts = [f'<text class="title" x="10" y="{top + 12}">{escape(title)}</text>']
    for sample in rests(samples):
        left = x(sample.seconds) - 3
        parts.append(
            f'<rect class="rest" x="{left:.1f}" y="{top + 20}" width="6" height="{PANEL - 20}"/>'
        )
    for share in (0.0, 0.5, 1.0):
        level = y(most / 1.1 * share)
        parts += [
            f'<path class="axis" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>',
            f'<text class="quiet" x="{LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">'
            f"{most / 1.1 * share:.0f}</text>",
        ]
    for minute in range(int(last // 60) + 1):
        parts.append(
            f'<text class="quiet" x="{x(minute * 60):.1f}" y="{under + 15}"'
            f' text-anchor="middle">{minute} min</text>'
        )
    # Names beside the ends of their lines, moved apart where these lie close.
    ends = sorted((y(of(samples[-1].processes[name])), n) for n, name in enumerate(names))
    taken = float("-inf")
    for end, number in ends:
        taken = max(end, taken + 14)
        parts.append(
            f'<text class="t{number % COLOURS}" x="{WIDTH - RIGHT + 8}" y="{taken + 4:.1f}">'
            f"{escape(names[number])}</text>"
        )
    for number, name in enumerate(names):
        points = " ".join(
            f"{x(sample.seconds):.1f},{y(of(sample.processes[name])):.1f}"
            for sample in samples
            if name in sample.processes
        )
        parts.append(f'<polyline class="line l{number % COLOURS}" points="{points}"/>')
    return parts
