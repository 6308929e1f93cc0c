"""What becomes of a request, told without doing it: with equal state and luck, what is done."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.test_choose import Server, algorithms, chooser, states
from veloflux.core.flow import exchange
from veloflux.core.flow.explanation import Explanation, Place, State, explain, misread
from veloflux.core.flow.idle import Idle
from veloflux.core.flow.stages import Stages
from veloflux.core.model.address import Address
from veloflux.core.model.policies import Compression, Cors, Mirror, RateLimit
from veloflux.core.model.resilience import StickySessions
from veloflux.core.model.traffic import (
    Algorithm,
    Backend,
    HeaderEdits,
    Limits,
    Listener,
    Pool,
    Redirect,
    Route,
    Share,
)
from veloflux.core.policy import choose, mirror
from veloflux.core.policy.debts import Debts, size
from veloflux.core.policy.route import Table
from veloflux.core.policy.split import Split
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead, read_request

PEER = "198.51.100.7"
LISTENER = Listener("web", Address("127.0.0.1", 80), limits=Limits(max_body_bytes=1000))
POOLS = ("one", "two", "three")
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Lane(NamedTuple):
    """What the table has."""

    stages: Stages


class Living:
    """A pool in any state."""

    def __init__(self, name: str, servers: list[Server], algorithm: Algorithm, seed: int) -> None:
        self.model = Pool(name, ())
        self.chooser = chooser(servers, algorithm, seed)

    def explain(self, head: RequestHead, client: str, now: float) -> choose.Explanation:
        return self.chooser.explain((), head.path, now)


def request(method: bytes = b"GET", path: bytes = b"/", lines: bytes = b"") -> RequestHead:
    wire = b"%b %b HTTP/1.1\r\nHost: a.example\r\n%b\r\n" % (method, path, lines)
    head = read_request(wire, LISTENER.limits, None)
    assert head is not None
    return head


def debts() -> Debts:
    return Debts(memoryview(bytearray(size(4))), b"s" * 32)


def state(
    routes: list[Route],
    place: Callable[[str], Place],
    luck: Callable[[], float],
    memory: Debts | None = None,
    listener: Listener = LISTENER,
) -> State[Lane]:
    return State(
        listener=listener,
        table=Table((route, Lane(Stages(route))) for route in routes),
        place=place,
        debts=memory or debts(),
        luck=luck,
        now=5.0,
        codings=("gzip",),
    )


def idle(name: str) -> Idle:
    """A pool of two backends and one that is off."""
    backends = [Backend(Address("10.0.0.1", n)) for n in (1, 2)]
    off = Backend(Address("10.0.0.1", 3), enabled=False)
    return Idle(Pool(name, (*backends, off)), lambda: 0.0)


def told(
    *routes: Route, head: RequestHead | None = None, peer: str = PEER, **more: Listener
) -> Explanation:
    return explain(head or request(), peer, state(list(routes), idle, lambda: 0.5, **more))


requests = st.builds(
    request,
    st.sampled_from((b"GET", b"POST", b"OPTIONS", b"TRACE")),
    st.sampled_from((b"/", b"/x/y")),
    st.sampled_from(
        (
            b"",
            b"Content-Length: 5\r\n",
            b"Content-Length: 50\r\n",
            b"Content-Length: 5000\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Max-Forwards: 0\r\n",
            b"Origin: https://p.example\r\nAccess-Control-Request-Method: PUT\r\n",
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
            WEBSOCKET,
        )
    ),
)
routes = st.builds(
    Route,
    id=st.just("r"),
    path_prefix=st.sampled_from(("/", "/x")),
    methods=st.sampled_from(((), (), ("GET",), ("POST", "PUT"))),
    pools=st.lists(
        st.builds(Share, st.sampled_from(POOLS), st.integers(0, 3)), min_size=1, max_size=3
    ).map(tuple),
    redirect=st.sampled_from((None, None, None, Redirect("https://b.example/"))),
    deny=st.sampled_from(((), (), ("198.51.100.0/24",))),
    rate_limit=st.sampled_from((None, RateLimit(0.5, 1), RateLimit(1, 2, "route"))),
    max_body_bytes=st.sampled_from((None, 0, 10)),
    websocket=st.booleans(),
    cors=st.sampled_from((None, Cors(("https://p.example",)))),
    mirror=st.sampled_from((None, None, Mirror("two", 50.0))),
)


class Done(NamedTuple):
    """What was done with a request."""

    route: str | None
    status: int
    error: str
    pool: str | None
    backend: str | None
    is_copied: bool


class Real(NamedTuple):
    """Does to a request what the edge does, with the same objects and in the same order."""

    table: Table[Lane]
    choosers: dict[str, choose.Chooser[Server]]
    memory: Debts
    luck: Callable[[], float]

    def take(self, head: RequestHead) -> Done:
        lane = self.table.find(head.host, head.path, head.method, head.fields.value)
        if lane is None:
            return Done(None, 404, "route", None, None, False)
        stages, route = lane.stages, lane.stages.route
        try:
            accept = stages.admit(head, PEER)
            if stages.quota is not None:
                decision = stages.quota.decide(head, PEER, self.memory, 5.0)
                if not decision.allowed:
                    raise stages.quota.refusal(decision)
            if head.fields.length != 0:
                limit = route.max_body_bytes
                exchange.request_body(head, 1000 if limit is None else limit)
        except ProtocolError as problem:
            return Done(route.id, problem.status, problem.kind, None, None, False)
        weighted = [share for share in route.pools if share.weight]
        name = weighted[0].pool if weighted else None
        if len(weighted) > 1:
            name = Split((each.pool, each.weight) for each in route.pools).pick(self.luck())
        is_copied = (
            route.mirror is not None
            and accept is None
            and mirror.is_chosen(route.mirror, self.luck())
            and mirror.has_room(route.mirror, 0, head.fields.length)
        )
        chosen = None
        if name is not None:
            chosen = self.choosers[name].choose((), head.path, 5.0).backend
        return Done(route.id, 0, "", name, None if chosen is None else chosen.name, is_copied)


pools = st.lists(states, max_size=4).map(
    lambda each: [Server(f"10.0.0.{n}:80", **one) for n, one in enumerate(each)]
)


class Agreement(SynchronousTestCase):
    """The explanation and what is done."""

    @given(
        st.lists(routes, max_size=3),
        st.tuples(pools, pools, pools),
        algorithms,
        st.lists(requests, min_size=1, max_size=4),
        st.integers(),
    )
    def test_what_is_explained_is_what_is_done(
        self,
        every: list[Route],
        servers: tuple[list[Server], ...],
        algorithm: Algorithm,
        heads: list[RequestHead],
        seed: int,
    ) -> None:
        """Also for those who come when some of a limit is used up."""
        memory = debts()
        for turn, head in enumerate(heads):
            asked, real = (self._living(servers, algorithm, seed) for _ in range(2))
            luck = Random(seed + turn).random
            found = explain(head, PEER, state(every, asked.__getitem__, luck, memory))
            done = Real(
                Table((route, Lane(Stages(route))) for route in every),
                {name: each.chooser for name, each in real.items()},
                memory,
                Random(seed + turn).random,
            ).take(head)
            self.assertEqual(self._of(found), done)

    def _living(
        self, servers: tuple[list[Server], ...], algorithm: Algorithm, seed: int
    ) -> dict[str, Living]:
        return {
            name: Living(name, each, algorithm, seed)
            for name, each in zip(POOLS, servers, strict=True)
        }

    def _of(self, found: Explanation) -> Done:
        """The explanation, as what it says would be done."""
        answer, choice, pool = found.answer, found.choice, found.pool
        backend = None if choice is None else choice.backend
        if answer is not None and answer.error == exchange.NO_BACKEND.reason:
            # Who has come so far finds nobody.
            self.assertIsNone(backend)
            answer = None
        elif answer is None and backend is None:
            self.assertEqual(found.steps[-1].stage, "queue")
        return Done(
            found.route,
            0 if answer is None else answer.status,
            "" if answer is None else answer.error,
            None if pool is None else pool.name,
            backend,
            any(each[:2] == ("mirror", "applies") for each in found.steps),
        )


class Told(SynchronousTestCase):
    """What single explanations say."""

    def steps(self, found: Explanation) -> list[tuple[str, str]]:
        return [each[:2] for each in found.steps]

    def test_routes_that_do_not_take_it_are_named_with_the_reason(self) -> None:
        found = told(Route("posts", methods=("POST",), pools=(Share("one"),)))
        self.assertEqual(found.routes, (("posts", "method", ""),))
        assert found.answer is not None
        self.assertEqual(
            (found.route, found.answer.status, found.answer.error), (None, 404, "route")
        )

    def test_backends_that_do_not_get_it_are_named_with_the_reason(self) -> None:
        found = told(Route("r", pools=(Share("one"),)))
        assert found.choice is not None
        self.assertEqual(found.choice.backend, "10.0.0.1:1")
        self.assertEqual([each.why_not for each in found.choice.standings], ["", "", "disabled"])
        self.assertIsNone(found.answer)

    def test_policies_are_told_in_the_order_in_which_they_are_asked(self) -> None:
        route = Route(
            "r",
            path_prefix="/x",
            pools=(Share("one"), Share("two")),
            strip_prefix=True,
            preserve_host=False,
            allow=("198.51.100.0/24",),
            rate_limit=RateLimit(1, 5),
            cors=Cors(("https://p.example",)),
            mirror=Mirror("three"),
            request_headers=HeaderEdits(set=(("X-A", "hidden"),), remove=("X-B",)),
            response_headers=HeaderEdits(add=(("X-C", "hidden"),)),
            security_headers=True,
            compression=Compression(),
        )
        lines = b"Content-Length: 5\r\nAccept-Encoding: zstd, gzip\r\n"
        found = told(route, head=request(b"POST", b"/x/y", lines))
        self.assertEqual(
            self.steps(found),
            [
                ("access", "passes"),
                ("rate_limit", "passes"),
                ("body", "passes"),
                ("strip_prefix", "applies"),
                ("preserve_host", "applies"),
                ("request_headers", "applies"),
                ("mirror", "applies"),
                ("answer_headers", "applies"),
                ("response_headers", "applies"),
                ("security_headers", "applies"),
                ("compression", "applies"),
            ],
        )
        words = {each.stage: each.detail for each in found.steps}
        self.assertIn("4 more", words["rate_limit"])
        self.assertIn("/y", words["strip_prefix"])
        # zstd cannot be made here.
        self.assertTrue(words["compression"].startswith("gzip"))
        self.assertNotIn("hidden", str(words))

    def test_what_comes_after_a_refusal_is_not_asked(self) -> None:
        route = Route(
            "r",
            pools=(Share("one"),),
            deny=("198.51.100.7/32",),
            rate_limit=RateLimit(1),
        )
        found = told(route)
        self.assertEqual(self.steps(found), [("access", "refuses"), ("rate_limit", "not_asked")])
        self.assertIsNone(found.choice)

    def test_a_redirect_is_an_answer(self) -> None:
        found = told(Route("r", redirect=Redirect("https://b.example/")), head=request(path=b"/p"))
        assert found.answer is not None
        self.assertEqual(found.answer.status, 308)
        self.assertEqual(found.answer.lines, ("Location: https://b.example/p",))
        self.assertEqual(self.steps(found), [("redirect", "answers")])

    def test_a_browser_s_question_is_answered(self) -> None:
        route = Route("r", pools=(Share("one"),), cors=Cors(("https://p.example",)))
        lines = b"Origin: https://p.example\r\nAccess-Control-Request-Method: GET\r\n"
        found = told(route, head=request(b"OPTIONS", b"/", lines))
        self.assertEqual(self.steps(found), [("method", "passes"), ("preflight", "answers")])

    def test_every_refusal_of_a_route_belongs_to_a_step(self) -> None:
        """So that a new kind of error cannot go unexplained."""
        route = Route("r", pools=(Share("one"),), deny=("192.0.2.0/24",), max_body_bytes=1)
        for stage, head, peer in (
            ("access", request(), "192.0.2.1"),
            ("method", request(b"TRACE"), PEER),
            ("method", request(b"OPTIONS", lines=b"Max-Forwards: 0\r\n"), PEER),
            ("websocket", request(lines=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), PEER),
            ("body", request(b"POST", lines=b"Content-Length: 5\r\n"), PEER),
        ):
            with self.subTest(stage):
                found = told(route, head=head, peer=peer)
                self.assertIsNotNone(found.answer)
                self.assertEqual(
                    [step.stage for step in found.steps if step.verdict != "passes"], [stage]
                )

    def test_a_handshake_is_not_copied_and_may_be_none(self) -> None:
        route = Route("r", pools=(Share("one"),), mirror=Mirror("two"))
        self.assertIn(("mirror", "skips"), self.steps(told(route, head=request(lines=WEBSOCKET))))
        plain = Route("r", pools=(Share("one"),), mirror=Mirror("two"), websocket=False)
        found = told(plain, head=request(lines=WEBSOCKET))
        self.assertIn(("mirror", "applies"), self.steps(found))

    def test_who_may_not_connect_learns_nothing(self) -> None:
        listener = Listener("web", Address("127.0.0.1", 80), deny=("198.51.100.0/24",))
        found = told(Route("r", pools=(Share("one"),)), listener=listener)
        assert found.answer is not None
        self.assertEqual((found.answer.status, found.answer.error), (0, "denied"))
        self.assertEqual((found.route, found.routes), (None, ()))

    def test_policies_go_by_the_client_that_a_trusted_proxy_names(self) -> None:
        route = Route("r", pools=(Share("one"),), allow=("192.0.2.0/24",))
        head = request(lines=b"X-Forwarded-For: 192.0.2.9\r\n")
        self.assertEqual(self.steps(told(route, head=head)), [("access", "refuses")])
        listener = Listener("web", Address("127.0.0.1", 80), trusted_proxies=("198.51.100.0/24",))
        found = told(route, head=head, listener=listener)
        self.assertEqual((found.client, found.answer), ("192.0.2.9", None))

    def test_who_goes_back_to_a_backend_is_told(self) -> None:
        servers = [Server("a"), Server("b", weight=0)]
        model = Pool("one", (), sticky_sessions=StickySessions())
        for stuck, verdict, backend in ((None, "skips", "a"), (servers[1], "applies", "b")):

            class Known(Living):
                def explain(
                    self, head: RequestHead, client: str, now: float, stuck: Server | None = stuck
                ) -> choose.Explanation:
                    return self.chooser.explain((), b"", now, stuck)

            place = Known("one", servers, "round_robin", 1)
            place.model = model
            route = Route("r", pools=(Share("one"),))
            found = explain(request(), PEER, state([route], lambda name, place=place: place, _no))
            assert found.choice is not None
            self.assertEqual(found.choice.backend, backend)
            self.assertEqual(self.steps(found), [("sticky_sessions", verdict)])

    def test_a_pool_without_a_backend_is_an_answer(self) -> None:
        found = explain(
            request(),
            PEER,
            state([Route("r", pools=(Share("one"),))], lambda name: Idle(Pool(name, ()), _no), _no),
        )
        assert found.answer is not None
        self.assertEqual((found.answer.status, found.answer.error), (503, "no_backend"))
        self.assertEqual(found.answer.lines, ("Retry-After: 1",))

    def test_a_head_that_is_no_good_is_explained_too(self) -> None:
        found = misread(ProtocolError(400, "path", "The path has a backslash."), PEER)
        assert found.answer is not None
        self.assertEqual((found.answer.status, found.answer.error), (400, "path"))


def _no() -> float:
    raise AssertionError("luck was asked for")
