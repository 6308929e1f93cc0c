"""What each policy of a route says to one request, in words, in the order in which they are asked.

The words are for people; stages and verdicts are names that programs may go by. Which gate gave an
answer is read from the error that it raised: nothing here decides anything.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from veloflux.core.flow.coding import wanted
from veloflux.core.flow.exchange import CHECKED_METHODS
from veloflux.core.flow.stages import Stages
from veloflux.core.model.policies import Coding
from veloflux.core.model.traffic import HeaderEdits, Route
from veloflux.core.policy.compression import Rule
from veloflux.core.policy.limit import Decision
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead

Verdict = Literal["passes", "answers", "refuses", "applies", "skips", "not_asked"]
"""`passes` has nothing against the request, `answers` (a redirect) and `refuses` end it here,
`applies` changes or copies something, `skips` could have and does not; `not_asked` comes after the
one that ended it."""


class Step(NamedTuple):
    """One policy's word."""

    stage: str
    verdict: Verdict
    detail: str = ""


class Admission(NamedTuple):
    """What came of asking a route's gates; `accept` is of a handshake, `told` goes with the
    answer."""

    problem: ProtocolError | None
    accept: bytes | None
    decision: Decision | None
    limit: int
    told: bytes


class _Gate(NamedTuple):
    """What may end a request; `kinds` are those of its errors."""

    stage: str
    kinds: frozenset[str]
    has_a_say: Callable[[Route, RequestHead], bool]
    passed: Callable[[Admission, RequestHead], str]


# In the order of `Stages.admit` and of what follows it.
_GATES = (
    _Gate(
        "access",
        frozenset({"address"}),
        lambda route, head: bool(route.allow or route.deny),
        lambda admission, head: "the client's address may come in",
    ),
    _Gate(
        "method",
        frozenset({"method", "max_forwards"}),
        lambda route, head: head.method in CHECKED_METHODS,
        lambda admission, head: f"{head.method.decode()} is passed on",
    ),
    _Gate(
        "redirect",
        frozenset({"redirect"}),
        lambda route, head: route.redirect is not None,
        lambda admission, head: "",
    ),
    _Gate(
        "preflight",
        frozenset({"preflight"}),
        lambda route, head: route.cors is not None and head.method == b"OPTIONS",
        lambda admission, head: "not what a browser asks beforehand",
    ),
    _Gate(
        "websocket",
        frozenset({"upgrade"}),
        lambda route, head: head.fields.upgrade,
        lambda admission, head: (
            "a WebSocket handshake"
            if admission.accept is not None
            else "the route allows none: goes on as a plain request"
        ),
    ),
    _Gate(
        "rate_limit",
        frozenset({"rate_limit"}),
        lambda route, head: route.rate_limit is not None,
        lambda admission, head: (
            ""
            if admission.decision is None
            else f"would be allowed, {admission.decision.remaining} more could follow at once"
        ),
    ),
    _Gate(
        "body",
        frozenset({"body"}),
        lambda route, head: head.fields.length != 0,
        lambda admission, head: _body(head.fields.length, admission.limit),
    ),
)


def gates(route: Route, head: RequestHead, admission: Admission) -> Iterator[Step]:
    """The word of each gate that the route has for such a request."""
    problem = admission.problem
    is_open = True
    for gate in _GATES:
        if problem is not None and is_open and problem.kind in gate.kinds:
            is_open = False
            yield ended(gate.stage, problem)
        elif gate.has_a_say(route, head):
            if is_open:
                yield Step(gate.stage, "passes", gate.passed(admission, head))
            else:
                yield Step(gate.stage, "not_asked")


def ended(stage: str, problem: ProtocolError) -> Step:
    """The word that ends a request."""
    verdict: Verdict = "answers" if problem.status < 400 else "refuses"
    return Step(stage, verdict, f"{problem.status}: {problem.detail}")


def on_the_way_there(route: Route, head: RequestHead, strip: int) -> Iterator[Step]:
    """What becomes of the request before a backend gets it; `strip` bytes of its path go."""
    if route.strip_prefix:
        path = head.path[strip:] or b"/"
        yield Step("strip_prefix", "applies", f"the backend is asked for {path.decode('latin-1')}")
    if not route.preserve_host:
        yield Step("preserve_host", "applies", "Host becomes the backend's address")
    yield from _edited("request_headers", route.request_headers)


def on_the_way_back(
    stages: Stages, head: RequestHead, told: bytes, codings: tuple[Coding, ...]
) -> Iterator[Step]:
    """What becomes of the answer, as far as the request decides it."""
    route = stages.route
    if lines := header_lines(stages.lines(head, told)):
        yield Step("answer_headers", "applies", "adds " + "; ".join(lines))
    yield from _edited("response_headers", route.response_headers)
    if route.security_headers:
        yield Step("security_headers", "applies", "where the backend does not say them")
    if route.compression is not None:
        here = tuple(each for each in route.compression.codings if each in codings)
        coding = wanted(Rule(route.compression, here), head).decode()
        if coding:
            least = route.compression.min_bytes
            detail = f"{coding}, if the answer's type allows and it has {least} bytes or more"
            yield Step("compression", "applies", detail)
        else:
            yield Step("compression", "skips", "the client takes none of its codings")


def header_lines(lines: bytes) -> list[str]:
    """Header lines as text, one each."""
    return lines.decode("latin-1").split("\r\n")[:-1] if lines else []


def _edited(stage: str, edits: HeaderEdits) -> Iterator[Step]:
    """Names alone: values may be secrets."""
    words = [
        f"{verb} {', '.join(names)}"
        for verb, names in (
            ("removes", edits.remove),
            ("sets", tuple(name for name, _ in edits.set)),
            ("adds", tuple(name for name, _ in edits.add)),
        )
        if names
    ]
    if words:
        yield Step(stage, "applies", "; ".join(words))


def _body(length: int | None, limit: int) -> str:
    size = "of unknown length" if length is None else f"of {length} bytes"
    return f"{size}, {limit} bytes at most" if limit else f"{size}, no limit"
