"""What is explained is what a whole data plane does."""

from dataclasses import replace
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import OK, Rig, get
from veloflux.core.flow.explanation import Explanation, State, explain
from veloflux.core.flow.idle import Idle
from veloflux.core.model.address import Address
from veloflux.core.model.policies import Mirror, RateLimit
from veloflux.core.model.traffic import Algorithm, Backend, Pool, Redirect, Route, Share
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.wire.http1 import read_request
from veloflux.edge.ledger import alone

PEER = "198.51.100.7"
WEIGHTS = (1, 3, 2)
ROUTES = (
    Route("old", path_prefix="/old", redirect=Redirect("https://b.example/")),
    Route("intern", path_prefix="/intern", deny=("198.51.100.0/24",), pools=(Share("app"),)),
    Route("slow", path_prefix="/slow", rate_limit=RateLimit(0.01, 1), pools=(Share("app"),)),
    Route("short", path_prefix="/short", max_body_bytes=1, pools=(Share("app"),)),
    Route("gone", path_prefix="/gone", pools=(Share("empty"),)),
    Route("split", path_prefix="/split", pools=(Share("app"), Share("next", 2))),
    Route("copied", path_prefix="/copied", pools=(Share("app"),), mirror=Mirror("empty", 50.0)),
    Route("gets", path_prefix="/gets", methods=("GET",), pools=(Share("app"),)),
)
REQUESTS = (
    *(
        get(b"/" + path, b"X-Key: %d\r\n" % n)
        for n in range(3)
        for path in (b"split", b"copied", b"gets")
    ),
    *(get(path) for path in (b"/old/x", b"/intern", b"/gone", b"/nothing")),
    b"POST /gets HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    b"TRACE /gets HTTP/1.1\r\nHost: a\r\n\r\n",
)


class Agreement(SynchronousTestCase):
    def rig(self, algorithm: Algorithm) -> Rig:
        backends = [Backend(Address(f"10.0.0.{n}", 80), n) for n in WEIGHTS]
        pools = (
            Pool("app", tuple(backends), algorithm, hash_on="header:X-Key"),
            Pool("next", (Backend(Address("10.0.0.4", 80)),)),
            Pool("empty", ()),
        )
        return Rig(self, backends=4, routes=ROUTES, pools=pools)

    def explained(self, rig: Rig, wire: bytes, luck: Random) -> Explanation:
        """By the data plane's own table; its pools have had no request yet."""
        snapshot = rig.snapshot
        pools = {pool.name: Idle(pool, luck.random) for pool in snapshot.pools}
        plane = rig.service._plane
        listener = snapshot.listeners[0]
        head = read_request(wire, listener.limits, None)
        assert head is not None
        state = State(
            listener, plane.table, pools.__getitem__, alone(), luck.random, 0.0, ("gzip",)
        )
        return explain(head, PEER, state)

    def test_the_log_says_what_was_explained(self) -> None:
        for algorithm in PICKERS:
            for seed, wire in enumerate(REQUESTS):
                with self.subTest(algorithm, wire=wire):
                    self.compare(algorithm, seed, wire)

    def compare(self, algorithm: Algorithm, seed: int, wire: bytes) -> None:
        rig = self.rig(algorithm)
        found = self.explained(rig, wire, Random(seed))
        # Pools that are given anew choose anew, and so with this luck.
        rig.service._luck.seed(seed)
        rig.change(pools=tuple(replace(pool) for pool in rig.snapshot.pools))
        client = rig.client(PEER)
        client.send(wire)
        for backend in rig.backends:
            if backend.received:
                backend.request()
                backend.answer(OK)
        entry = rig.entry()
        answer, choice = found.answer, found.choice
        self.assertEqual(entry["route"], found.route or "")
        self.assertEqual(entry["pool"], "" if found.pool is None else found.pool.name)
        backend_name = "" if choice is None else choice.backend or ""
        self.assertEqual(entry["backend"], backend_name)
        if answer is None:
            assert choice is not None
            self.assertEqual((entry["status"], entry["error"]), (200, ""))
            self.assertEqual(entry["pick_reason"], choice.reason)
        else:
            self.assertEqual((entry["status"], entry["error"]), (answer.status, answer.error))
        if found.route == "copied":
            is_copied = any(each[:2] == ("mirror", "applies") for each in found.steps)
            copies = rig.count("veloflux_mirrored_requests_total")
            self.assertEqual(copies, float(is_copied))

    def test_a_limit_that_is_used_up_is_explained_and_not_used(self) -> None:
        rig = self.rig("round_robin")
        client = rig.client(PEER)
        wire = get(b"/slow")
        plane = rig.service._plane
        head = read_request(wire, rig.snapshot.listeners[0].limits, None)
        assert head is not None
        pools = {pool.name: Idle(pool, Random(1).random) for pool in rig.snapshot.pools}

        def status() -> int:
            state = State(
                rig.snapshot.listeners[0],
                plane.table,
                pools.__getitem__,
                plane.debts,
                Random(1).random,
                plane.deadlines.now(),
                (),
            )
            found = explain(head, PEER, state)
            return 0 if found.answer is None else found.answer.status

        self.assertEqual([status(), status()], [0, 0])
        client.send(wire)
        for backend in rig.backends:
            if backend.received:
                backend.request()
                backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(status(), 429)
        client.send(wire)
        self.assertEqual(client.answer().status, 429)
