"""Where would this request go now, and why? Said of the configuration in force, with what checks,
traffic and workers say of its backends; nothing is sent.

What is left to chance is drawn anew each time, and clients count as new to rate limits, whose debts
only workers know.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from veloflux.control.services.errors import NotFoundError
from veloflux.core.flow import account
from veloflux.core.flow.explanation import Explanation, State, explain, misread
from veloflux.core.flow.stages import Stages
from veloflux.core.flow.trait import trait
from veloflux.core.model.policies import Coding
from veloflux.core.model.report import BackendReport
from veloflux.core.model.traffic import Backend, Listener, Pool, Snapshot
from veloflux.core.policy import choose
from veloflux.core.policy.balance.algorithms import KEYED
from veloflux.core.policy.balance.candidate import Luck
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.choose import Chooser
from veloflux.core.policy.debts import SECRET_BYTES, Debts, size
from veloflux.core.policy.route import Table
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead, read_request
from veloflux.fleet.inquiry import Answers

_CODINGS: tuple[Coding, ...] = ("zstd", "gzip")
_STATE = "live"
_CAUTION = "live, as checks, traffic and workers say; the client as new"


class Request(NamedTuple):
    """The request that is asked about; `headers` are pairs, and the listener is by its name."""

    method: str
    host: str
    path: str
    client_ip: str
    headers: Sequence[tuple[str, str]] = ()
    listener: str | None = None


class _Compiled(NamedTuple):
    """What the table has for a route."""

    stages: Stages


class _Member:
    """A backend as it is known here. Latencies are each worker's own, and count as none."""

    def __init__(
        self, model: Backend, reports: Sequence[BackendReport], is_unhealthy: bool, is_ejected: bool
    ) -> None:
        self.name = str(model.address)
        self.weight = reports[0].weight if reports else model.weight
        self.load = max((report.load for report in reports), default=0)
        self.backup = model.backup
        self.enabled = model.enabled
        self.is_full = 0 < model.max_connections <= self.load
        self.is_unhealthy = is_unhealthy
        self.is_ejected = is_ejected
        self.latency = PeakEwma()


class _Place:
    """A pool as it is known here; implements `explanation.Place`."""

    def __init__(self, model: Pool, members: Sequence[_Member], luck: Luck) -> None:
        self.model = model
        self._chooser = Chooser(members, model.algorithm, luck, panic_percent=model.panic_percent)
        self._trait = trait(model.hash_on) if model.algorithm in KEYED else None

    def explain(self, head: RequestHead, client: str, now: float) -> choose.Explanation:
        """Who would be chosen for a request of `client`, and how everybody stands."""
        key = b"" if self._trait is None else self._trait(head, client)
        return self._chooser.explain((), key, now)


class Explainer:
    """Explains by the snapshot in force, whose table it makes once, in a thread."""

    def __init__(
        self,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        luck: Luck,
        now: Callable[[], float],
    ) -> None:
        self._in_thread = in_thread
        self._luck = luck
        self._now = now
        self._made: tuple[Snapshot, Table[_Compiled]] | None = None

    async def explain(
        self,
        asked: Request,
        snapshot: Snapshot,
        answers: Answers,
        states: Mapping[tuple[str, str], str],
    ) -> dict[str, Any]:
        """Return the account, for programs and in lines for people.

        `answers` is what workers say, `states` the states of backends by pool and address. Raises
        NotFoundError for a listener that does not exist.
        """
        listener = _listener(snapshot.listeners, asked.listener)
        table = await self._table(snapshot)
        places = _Places(snapshot.pools, answers, states, self._luck)
        head, found = self._explained(asked, listener, table, places)
        told = account.plain(found, head, listener, _STATE)
        told["lines"] = list(account.lines(found, head, listener, _CAUTION))
        told["revision"] = snapshot.revision
        return told

    def _explained(
        self,
        asked: Request,
        listener: Listener,
        table: Table[_Compiled],
        places: Callable[[str], _Place],
    ) -> tuple[RequestHead | None, Explanation]:
        try:
            head = read_request(_wire(asked), listener.limits, None)
        except ProtocolError as problem:
            return None, misread(problem, asked.client_ip)
        assert head is not None  # its end is there
        debts = Debts(memoryview(bytearray(size(1))), bytes(SECRET_BYTES))
        state = State(listener, table, places, debts, self._luck, self._now(), _CODINGS)
        return head, explain(head, asked.client_ip, state)

    async def _table(self, snapshot: Snapshot) -> Table[_Compiled]:
        if self._made is None or self._made[0] is not snapshot:
            table = await self._in_thread(
                lambda: Table((route, _Compiled(Stages(route))) for route in snapshot.routes)
            )
            self._made = snapshot, table
        return self._made[1]


class _Places:
    """Makes the pool that is asked for."""

    def __init__(
        self,
        pools: Sequence[Pool],
        answers: Answers,
        states: Mapping[tuple[str, str], str],
        luck: Luck,
    ) -> None:
        self._pools = {pool.name: pool for pool in pools}
        self._answers = answers
        self._states = states
        self._luck = luck

    def __call__(self, name: str) -> _Place:
        reports: dict[str, list[BackendReport]] = {}
        for answer in self._answers.values():
            for pool in answer.pools:
                for report in pool.backends if pool.name == name else ():
                    reports.setdefault(report.address, []).append(report)
        model = self._pools[name]
        members = []
        for backend in model.backends:
            state = self._states.get((name, str(backend.address)))
            known = reports.get(str(backend.address), [])
            members.append(_Member(backend, known, state == "unhealthy", state == "ejected"))
        return _Place(model, members, self._luck)


def _listener(listeners: Sequence[Listener], name: str | None) -> Listener:
    known = [each for each in listeners if each.protocol == "http"]
    for each in known:
        if name in (None, each.name):
            return each
    raise NotFoundError(
        "There is no HTTP listener." if name is None else f"No HTTP listener is called {name[:60]}."
    )


def _wire(asked: Request) -> bytes:
    """The head as a client would send it; what no client may send is said so when it is read."""
    lines = [f"{asked.method} {asked.path} HTTP/1.1", f"Host: {asked.host}"]
    lines += [f"{name}: {value}" for name, value in asked.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
