"""An explanation as an account of it: for programs, with stable names, and for people, in lines.

Queries and the values of headers are left out where they may be secrets.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from veloflux.core.flow.explanation import Explanation
from veloflux.core.model.traffic import Listener, Pool
from veloflux.core.wire.http1 import RequestHead

# Routes with other paths that people are told by name.
_NAMED = 8

_WHY_NOT = {
    "less_specific": "matches too, but is less specific or comes later",
    "method": "has other methods",
    "header": "asks for another value of {header}",
    "prefix": "has another path",
    "host": "has another host",
    "disabled": "enabled: false",
    "no_weight": "weight: 0",
    "backup": "a backup, and others can be used",
}


def plain(
    found: Explanation, head: RequestHead | None, listener: Listener, state: str
) -> dict[str, Any]:
    """The explanation as what JSON can say; a query is told by its length, as in the access log.
    `state` says whose it is; `head` is None where none could be read."""
    pool, choice = found.pool, found.choice
    return {
        "request": None
        if head is None
        else {
            "method": head.method.decode(),
            "host": head.host.decode("latin-1"),
            "path": head.path.decode("latin-1"),
            "query_len": len(head.query),
        },
        "state": state,
        "listener": listener.name,
        "client_ip": found.client,
        "route": found.route,
        "routes": [each._asdict() for each in found.routes],
        "routes_complete": found.is_whole,
        "steps": [each._asdict() for each in found.steps],
        "pools": [asdict(each) for each in found.shares],
        "pool": None if pool is None else pool.name,
        "backend": None if choice is None else choice.backend,
        "pick_reason": "" if choice is None or choice.backend is None else choice.reason,
        "backends": [] if choice is None else [each._asdict() for each in choice.standings],
        "timeouts": None if pool is None else asdict(pool.timeouts),
        "retries": None
        if pool is None
        else {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(pool.retries).items()
        },
        "answer": None
        if found.answer is None
        else found.answer._asdict() | {"lines": list(found.answer.lines)},
    }


def lines(
    found: Explanation, head: RequestHead | None, listener: Listener, state: str
) -> Iterator[str]:
    """The explanation in words; `state` says whose it is."""
    if head is not None:
        asked = f"{head.method.decode()} {head.path.decode('latin-1')} of host {head.host.decode()}"
        yield f"request  {asked}, from {found.client} at listener {listener.name}"
    yield f"state    {state}"
    yield ""
    if head is not None and (found.route is not None or found.routes):
        yield f"route    {found.route or 'none'}"
        yield from _passed_over(found)
    for each in found.steps:
        yield f"  {each.stage:<17} {each.verdict.replace('_', ' '):<10} {each.detail}".rstrip()
    yield ""
    if found.pool is not None:
        yield from _carried(found, found.pool)
    if found.answer is not None:
        yield from _answered(found)


def _passed_over(found: Explanation) -> Iterator[str]:
    """Near routes by name; of those far off, which are all others, only how many."""
    far: Counter[str] = Counter()
    for each in found.routes:
        far[each.why_not] += 1
        if each.why_not == "host" or far["prefix"] > _NAMED:
            continue
        if each.why_not:
            yield f"  not    {each.route}: {_WHY_NOT[each.why_not].format(header=each.header)}"
    if not found.is_whole:
        yield "  nor    many more"
        return
    if far["prefix"] > _NAMED:
        yield f"  nor    {far['prefix'] - _NAMED} with other paths"
    if far["host"]:
        yield f"  nor    {far['host']} for other hosts, with this path"


def _carried(found: Explanation, pool: Pool) -> Iterator[str]:
    total = sum(share.weight for share in found.shares)
    shares = [f"{each.pool} {each.weight * 100 / total:.3g} %" for each in found.shares]
    drawn = f" (drawn from {', '.join(shares)})" if len(shares) > 1 else ""
    yield f"pool     {pool.name}{drawn}"
    choice = found.choice
    if choice is not None:
        if choice.backend is not None:
            yield f"backend  {choice.backend} by {choice.reason}"
        yield ""
        yield from _table(found)
        yield ""
    limits = pool.timeouts
    total_s = f", {limits.total_s:g} s for all" if limits.total_s else ""
    yield (
        f"timeouts {limits.connect_s:g} s to connect, {limits.first_byte_s:g} s to the first byte, "
        f"{limits.idle_s:g} s without progress, {limits.queue_s:g} s in the queue{total_s}"
    )
    yield from _retries(pool)


def _retries(pool: Pool) -> Iterator[str]:
    retries = pool.retries
    if not retries.attempts:
        yield "retries  none"
        return
    share = f"{retries.budget_percent} % of the pool's requests at most"
    yield f"retries  {retries.attempts} after the first attempt, {share}"
    yield f"         on {', '.join((*retries.on, *map(str, retries.statuses)))}"


def _table(found: Explanation) -> Iterator[str]:
    assert found.choice is not None
    rows = [("", "BACKEND", "WEIGHT", "LOAD", "SCORE", "WHY NOT")]
    for each in found.choice.standings:
        is_chosen = each.backend == found.choice.backend
        why = _WHY_NOT.get(each.why_not, each.why_not)
        score = "-" if each.score is None else f"{each.score:.4g}"
        mark = "->" if is_chosen else ""
        rows.append((mark, each.backend, str(each.weight), str(each.load), score, why))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _answered(found: Explanation) -> Iterator[str]:
    answer = found.answer
    assert answer is not None
    if not answer.status:
        yield f"answer   none: {answer.detail}"
        return
    yield f"answer   {answer.status} {answer.error}: {answer.detail}"
    for line in answer.lines:
        yield f"         {line}"
    if answer.error == "route":
        yield '         Give a route this host and path, or one for every host (`host: "*"`).'
