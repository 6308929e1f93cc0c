"""The figures as a table, as JSON, and as a picture."""

import statistics
from dataclasses import asdict
from html import escape

from bench.measure import Outcome
from bench.peers import PEERS
from bench.watched import Watched
from bench.works import WORKS, Work

LEADERS = ("nginx", "HAProxy")


def table(work: Work, outcome: Outcome) -> str:
    """One work as text, each peer with its medians and its ratio to nginx and HAProxy."""
    lines = ["", work.title]
    if outcome.left_out:
        return "\n".join([*lines, f"  left out: {outcome.left_out}"])
    has_prices = any(PEERS[peer].against for peer in outcome.samples)
    leaders = [peer for peer in outcome.samples if PEERS[peer].label in LEADERS]
    head = f"  {'':36}{work.unit:>20}{'requests/s':>13}{'p99 ms':>10}"
    head += f"{'price':>10}" if has_prices else ""
    lines.append(head + "".join(f"{'× ' + PEERS[peer].label:>11}" for peer in leaders))
    for peer in outcome.samples:
        cost = outcome.median(peer)
        line = f"  {PEERS[peer].label:36}{cost:20.2f}"
        if work.load:
            line += f"{outcome.median(peer, lambda s: s.rate):13.0f}"
            line += f"{outcome.median(peer, lambda s: s.p99_ms):10.2f}"
        else:
            line += f"{'-':>13}{'-':>10}"
        if has_prices:
            line += price(outcome, peer).rjust(10)
        lines.append(line + "".join(f"{cost / outcome.median(leader):11.2f}" for leader in leaders))
    for peer in outcome.samples:
        if said := beside(work.unit, outcome, peer):
            lines.append(f"  {PEERS[peer].label}: {said}")
    lines += [f"  {PEERS[peer].label}: failed: {why}" for peer, why in outcome.failed.items()]
    if said := verdict(work, outcome):
        lines.append(f"  goal: {said}")
    return "\n".join(lines)


def price(outcome: Outcome, peer: str) -> str:
    """What it costs more than the one it is held against; empty when there is none."""
    against = PEERS[peer].against
    if against not in outcome.samples:
        return ""
    return f"{outcome.median(peer) - outcome.median(against):+.2f}"


def beside(unit: str, outcome: Outcome, peer: str) -> str:
    """What a figure was made of, or what else was seen; empty for most units."""
    if unit == "requests/s, derived":
        cpu_us = outcome.median(peer, lambda s: s.cpu_us)
        busiest = outcome.median(peer, lambda s: s.busiest)
        return f"{cpu_us:.2f} µs per request, {busiest:.0%} of it in the busiest process"
    if unit == "p99 ms":
        said = f"longest answer {outcome.median(peer, lambda s: s.max_ms):.1f} ms"
        watched = [sample.watched for sample in outcome.samples[peer] if sample.watched]
        if watched:
            return f"{said}; {crowd(watched)}"
        swaps = outcome.median(peer, lambda s: s.swaps)
        calls = outcome.median(peer, lambda s: s.calls)
        if calls:
            took_ms = outcome.median(peer, lambda s: s.call_p99_ms)
            said += f", {calls:.0f} calls in a turn, all answered, p99 {took_ms:.1f} ms"
        return said + (f", {swaps:.0f} changes in a turn, no request failed" if swaps else "")
    return ""


def crowd(found: list[Watched]) -> str:
    """What watchers cost, in medians; a later crowd uses an earlier one's memory again."""
    share = statistics.median(each.cpu_share for each in found)
    late_ms = statistics.median(each.late_ms for each in found)
    said = f"the parent took {share:.1%} of a processor, and its loop was late by"
    said += f" {late_ms:g} ms at most in 99 of 100 turns"
    if not any(each.watchers for each in found):
        return said
    kb_each = max(each.kb_each for each in found)
    messages = statistics.median(each.messages for each in found)
    return f"{kb_each:.1f} KB a watcher, {messages:.0f} messages in a turn; {said}"


def verdict(work: Work, outcome: Outcome) -> str:
    """Whether the goal is met; empty when there is none, or not all of it was measured."""
    goal = work.goal
    if goal is None or goal.who not in outcome.samples:
        return ""
    figure, unit = outcome.median(goal.who), f" {work.unit}"
    if goal.against is not None:
        if goal.against not in outcome.samples:
            return ""
        figure /= outcome.median(goal.against)
        unit = f" × {PEERS[goal.against].label}"
    more_is_better = work.unit.startswith("requests/s")
    sign = "≥" if more_is_better else "≤"
    asked, bound = f"{sign} {goal.bound:g}{unit}", goal.bound
    if goal.control is not None and all(peer in outcome.samples for peer in goal.control):
        peer, other = goal.control
        reached = outcome.median(peer) / outcome.median(other)
        asked += f", or the {reached:.2f} of {PEERS[peer].label}"
        bound = min(bound, reached)
    is_met = figure >= bound if more_is_better else figure <= bound
    return f"{asked}; {figure:.2f}, {'met' if is_met else 'NOT met'}"


def document(outcomes: dict[str, Outcome], machine: dict[str, str], **settings: object) -> dict:
    """Everything, for a file: each sample, not only the medians."""
    return {
        "machine": machine,
        "settings": settings,
        "works": {
            key: {
                "title": WORKS[key].title,
                "unit": WORKS[key].unit,
                "goal": verdict(WORKS[key], outcome),
                "left_out": outcome.left_out,
                "failed": outcome.failed,
                "peers": {
                    peer: {
                        "label": PEERS[peer].label,
                        "median": outcome.median(peer),
                        "price": price(outcome, peer),
                        "beside": beside(WORKS[key].unit, outcome, peer),
                        "samples": [asdict(sample) for sample in samples],
                    }
                    for peer, samples in outcome.samples.items()
                },
            }
            for key, outcome in outcomes.items()
        },
    }


def page(found: dict) -> str:
    """A `document` as a page of the documentation."""
    machine, settings = found["machine"], found["settings"]
    lines = [
        "# Measured",
        "",
        "<!-- Written by `make bench BENCH=--publish`. -->",
        "",
        f"On {settings['date']}, by `make bench`.",
        "",
        f"On {machine['processor']}, Linux {machine['kernel']}, Python {machine['python']}; beside"
        f" {machine['nginx']} and {machine['haproxy'].removesuffix(' - https://haproxy.org/')}.",
        "One processor for the proxy, another for load and origin, loopback. Processor time of all",
        f"the proxy's processes, user and system. Medians of {settings['rounds']} rounds of",
        f"{settings['seconds']} s, all in turn. *floor* is about the least that a proxy on Twisted",
        "can do in Python alone, without any feature.",
    ]
    for work in found["works"].values():
        lines += ["", f"## {work['title'][0].upper()}{work['title'][1:]}", ""]
        if work["left_out"]:
            lines.append(f"Left out: {work['left_out']}.")
            continue
        lines += _table(work)
        for peer in work["peers"].values():
            if peer["beside"]:
                lines += ["", f"{peer['label']}: {peer['beside']}."]
        if work["goal"]:
            lines += ["", f"Goal: {work['goal']}."]
    return "\n".join(lines) + "\n"


def _table(work: dict) -> list[str]:
    """A row for each peer, beside the first of them, with what its load saw where there was one.

    Where peers have a price, it stands in place of the ratio.
    """
    peers = list(work["peers"].values())
    base = peers[0]
    has_prices = any(peer["price"] for peer in peers)
    second = "price" if has_prices else f"× {base['label']}"
    lines = [
        f"| | {work['unit']} | {second} | requests/s | p99 ms |",
        "|---|--:|--:|--:|--:|",
    ]
    for peer in peers:
        rate = statistics.median(sample["rate"] for sample in peer["samples"])
        p99 = statistics.median(sample["p99_ms"] for sample in peer["samples"])
        load = f"{rate:.0f} | {p99:.1f}" if rate else "– | –"
        compared = f"{peer['median'] / base['median']:.2f}"
        if has_prices:
            compared = peer["price"] or "–"
        lines.append(f"| {peer['label']} | {peer['median']:.2f} | {compared} | {load} |")
    return lines


# Colours come from the reader's scheme, so that the picture sits well on light and dark pages.
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px }
  .quiet { fill: #656d76; font-size: 11px }
  .bar { fill: #aeb6bf } .ours { fill: #2f6fde }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #59626c } .ours { fill: #6ea0ff }
  }
"""
TITLE = "Processor time per request (µs), less is better"
ROW, LEFT, WIDTH = 28, 150, 720


def picture(found: dict, work: str = "http") -> str:
    """One work of a `document` as an SVG: a bar for each peer, shortest first."""
    shown = found["works"][work]
    # The floor is there to work by, not to choose by.
    found_peers = (peer for key, peer in shown["peers"].items() if key != "floor")
    rows = sorted((peer["median"], peer["label"]) for peer in found_peers)
    # One far-off peer would squeeze all others to a line: its bar is cut, its figure is not.
    longest = min(rows[-1][0], 12 * rows[0][0])
    room = WIDTH - LEFT - 130
    bars = []
    for place, (cost, label) in enumerate(rows):
        y = 52 + place * ROW
        length = min(cost, longest) / longest * room
        kind = "bar ours" if label.startswith("VeloFlux") else "bar"
        bars.append(
            f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="18" rx="3"/>'
            f'<text x="{LEFT + length + 8:.1f}" y="{y + 14}">{cost:.1f}'
            f"{' (bar cut)' if cost > longest else ''}</text>"
        )
    machine = found["machine"]
    under = f"{machine['processor']}, Linux {machine['kernel']}, Python {machine['python']}; "
    under += f"{machine['nginx']}; median of {found['settings']['rounds']} rounds"
    height = 52 + len(rows) * ROW + 26
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' role="img" aria-label="{escape(shown["title"])}">',
            f"<style>{STYLE}</style>",
            f'<text class="title" x="10" y="20">{TITLE}</text>',
            f'<text class="quiet" x="10" y="38">{escape(shown["title"])}</text>',
            *bars,
            f'<text class="quiet" x="10" y="{height - 8}">{escape(under)}</text>',
            "</svg>",
            "",
        ]
    )
