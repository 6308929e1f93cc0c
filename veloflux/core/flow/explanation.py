"""What becomes of this request, by which route, which policies and which backend, and why not by
others? Answered without anything being sent, counted or taken.

Nothing is decided here. What decides on real requests is asked, in the order in which the edge asks
it, and takes its luck in that order: so for equal state and luck, what is explained is what is
done. Of state there is what the caller has: the daemon's own, or one where all is `idle`.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from veloflux.core.flow import exchange, steps
from veloflux.core.flow.stages import Stages
from veloflux.core.flow.steps import Admission, Step
from veloflux.core.model.policies import Coding, Mirror
from veloflux.core.model.traffic import Listener, Pool, Share
from veloflux.core.policy import choose, mirror
from veloflux.core.policy.access import Networks, access, plain
from veloflux.core.policy.balance.candidate import Luck
from veloflux.core.policy.explain import Reason
from veloflux.core.policy.explain import explain as explain_route
from veloflux.core.policy.limit import Memory
from veloflux.core.policy.route import Table
from veloflux.core.policy.split import Split
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.hygiene import client_address


class Staged(Protocol):
    """What a table has for a route."""

    @property
    def stages(self) -> Stages: ...


class Place(Protocol):
    """A pool as it is now."""

    @property
    def model(self) -> Pool: ...
    def explain(self, head: RequestHead, client: str, now: float) -> choose.Explanation:
        """What the pool's choice would be; nothing changes by it."""
        ...


S = TypeVar("S", bound=Staged)


class State(NamedTuple, Generic[S]):
    """All that a request meets. `place` gives a pool by its name, `debts` are what clients owe the
    limits, `codings` what answers can be compressed with, `now` is on the clock of intervals."""

    listener: Listener
    table: Table[S]
    place: Callable[[str], Place]
    debts: Memory
    luck: Luck
    now: float
    codings: tuple[Coding, ...]


class Standing(NamedTuple):
    """How one route stands to the request: see `policy.explain.Verdict`."""

    route: str
    why_not: Reason
    header: str


class Answer(NamedTuple):
    """What the client gets in a backend's place: `error` is what the access log says of it, `lines`
    are further header lines. Status 0 is a connection that is closed without a word."""

    status: int
    error: str
    detail: str
    lines: tuple[str, ...] = ()


class Explanation(NamedTuple):
    """`client` is the address that policies go by. `routes` is not whole when there were too many.
    `answer` is None for a request that a backend gets, or that waits for one."""

    client: str
    route: str | None = None
    routes: tuple[Standing, ...] = ()
    is_whole: bool = True
    steps: tuple[Step, ...] = ()
    shares: tuple[Share, ...] = ()
    pool: Pool | None = None
    choice: choose.Explanation | None = None
    answer: Answer | None = None


def explain(head: RequestHead, peer: str, state: State[S]) -> Explanation:
    """Say what becomes of a request that comes from the address `peer`."""
    if problem := _turned_away(state.listener, peer):
        return Explanation(
            peer, steps=(Step("listener", "refuses", problem.detail),), answer=_answer(problem)
        )
    client = _client(head, peer, state.listener)
    found, verdicts, is_whole = explain_route(
        state.table, head.host, head.path, head.method, head.fields.value
    )
    standings = tuple(
        Standing(each.target.stages.route.id, each.why_not, each.header) for each in verdicts
    )
    so_far = Explanation(client, None, standings, is_whole)
    if found is None:
        return so_far._replace(answer=_answer(exchange.unrouted()))
    stages = found.stages
    so_far = so_far._replace(route=stages.route.id, shares=stages.route.pools)
    admission = _admit(stages, head, client, state)
    told = tuple(steps.gates(stages.route, head, admission))
    if admission.problem is not None:
        return so_far._replace(steps=told, answer=_answer(admission.problem))
    return _carried(so_far._replace(steps=told), stages, head, admission, state)


def misread(problem: ProtocolError, peer: str) -> Explanation:
    """Of a request whose head is no good: nothing else is asked."""
    return Explanation(peer, steps=(steps.ended("grammar", problem),), answer=_answer(problem))


def _turned_away(listener: Listener, peer: str) -> ProtocolError | None:
    rule = access(listener.allow, listener.deny)
    if rule is None or rule.admits(peer):
        return None
    return ProtocolError(0, "denied", "The listener closes connections from this address.")


def _client(head: RequestHead, peer: str, listener: Listener) -> str:
    trusted = Networks(listener.trusted_proxies)

    def trusts(address: str) -> bool:
        ip = plain(address)
        return ip is not None and ip in trusted

    return client_address(head.fields, peer, trusts) if trusts(peer) else peer


def _admit(stages: Stages, head: RequestHead, client: str, state: State[S]) -> Admission:
    """Ask the route's gates, as the edge does; its limit is looked at, and does not count."""
    accept = decision = None
    told = b""
    limit = stages.body_limit(state.listener.limits)
    problem: ProtocolError | None = None
    try:
        accept = stages.admit(head, client)
        if stages.quota is not None:
            decision = stages.quota.peek(head, client, state.debts, state.now)
            if not decision.allowed:
                raise stages.quota.refusal(decision)
            told = stages.quota.lines(decision)
        if head.fields.length != 0:
            exchange.request_body(head, limit)
    except ProtocolError as error:
        problem = error
        if problem.kind != "preflight":
            problem.lines += stages.lines(head, told)
    return Admission(problem, accept, decision, limit, told)


def _carried(
    so_far: Explanation, stages: Stages, head: RequestHead, admission: Admission, state: State[S]
) -> Explanation:
    """On to a pool and a backend."""
    route = stages.route
    split = Split((share.pool, share.weight) for share in route.pools)
    name = split.pick(state.luck() if split.needs_luck else 0.0)
    told = [*so_far.steps, *steps.on_the_way_there(route, head, stages.strip)]
    if route.mirror is not None:
        told.append(_mirrored(route.mirror, head, admission, state.luck))
    place = None if name is None else state.place(name)
    choice = None
    answer: Answer | None = None
    if place is not None:
        choice = place.explain(head, so_far.client, state.now)
        told += _remembered(place.model, choice.reason)
    if choice is None or choice.backend is None:
        if choice is not None and any(each.why_not == "full" for each in choice.standings):
            told.append(Step("queue", "applies", "waits until a backend may take one more"))
        else:
            answer = _failed(stages, head, admission.told)
    else:
        told += steps.on_the_way_back(stages, head, admission.told, state.codings)
    pool = None if place is None else place.model
    return so_far._replace(steps=tuple(told), pool=pool, choice=choice, answer=answer)


def _remembered(pool: Pool, reason: str) -> tuple[Step, ...]:
    """Whether the client goes back to the backend it had."""
    if pool.sticky_sessions is None:
        return ()
    cookie = f"a client with a good cookie {pool.sticky_sessions.cookie} goes back to its backend"
    return (Step("sticky_sessions", "applies" if reason == "sticky" else "skips", cookie),)


def _mirrored(model: Mirror, head: RequestHead, admission: Admission, luck: Luck) -> Step:
    """Whether it is copied, with nothing else under way."""
    to = f"{model.percent:g} % go to pool {model.pool}"
    if admission.accept is not None:
        return Step("mirror", "skips", "a handshake is not copied")
    if not mirror.is_chosen(model, luck()):
        return Step("mirror", "skips", f"{to}, this one not")
    if not mirror.has_room(model, 0, head.fields.length):
        return Step("mirror", "skips", f"the body is over {model.max_body_bytes} bytes")
    return Step("mirror", "applies", f"{to}, this one too")


def _failed(stages: Stages, head: RequestHead, told: bytes) -> Answer:
    """There is no backend: the edge says so, and when to come again."""
    failure = exchange.NO_BACKEND
    lines = b"Retry-After: 1\r\n" + stages.lines(head, told)
    return _answer(ProtocolError(failure.status, failure.reason, failure.detail, lines))


def _answer(problem: ProtocolError) -> Answer:
    lines = tuple(steps.header_lines(problem.lines))
    return Answer(problem.status, problem.kind, problem.detail, lines)
