"""Backends that have as much to do as they may: who waits, in which order, and for how long."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Client, Rig, get
from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.model.traffic import Backend, Pool, Timeouts


def busy(case: SynchronousTestCase, most: int = 1, queue_s: float = 2.0, **pool: object) -> Rig:
    """A rig with one backend that takes `most` requests at a time."""
    member = Backend(Rig.FIRST, max_connections=most)
    timeouts = Timeouts(queue_s=queue_s)
    return Rig(case, pools=(Pool("app", (member,), timeouts=timeouts, **pool),))


class Waiting(SynchronousTestCase):
    def asked(self, rig: Rig, path: bytes) -> Client:
        client = rig.client()
        client.send(get(path))
        return client

    def test_the_next_waits_for_the_one_before(self) -> None:
        rig = busy(self)
        first, second, third = (self.asked(rig, path) for path in (b"/1", b"/2", b"/3"))
        for client, path in ((first, b"/1"), (second, b"/2"), (third, b"/3")):
            self.assertEqual(rig.backend.request().target, path)
            self.assertEqual(rig.inflight, 1)
            rig.backend.answer(OK)
            rig.reactor.turn()
            self.assertEqual(client.answer().status, 200)
        self.assertEqual((rig.inflight, len(rig.backend.connections)), (0, 1))

    def test_who_waits_is_one_of_as_many_as_there_may_be(self) -> None:
        rig = busy(self, circuit_breaker=CircuitBreaker(max_requests=2))
        first, second, third = (self.asked(rig, path) for path in (b"/1", b"/2", b"/3"))
        self.assertEqual(third.answer().status, 503)
        for client in (first, second):
            rig.backend.request()
            rig.backend.answer(OK)
            rig.reactor.turn()
            self.assertEqual(client.answer().status, 200)
        self.assertEqual(rig.entries(3)[0]["error"], "busy")

    def test_nobody_comes_in_between(self) -> None:
        """Who comes in the moment that a backend is free comes after those who wait."""
        rig = busy(self)
        first, second = (self.asked(rig, path) for path in (b"/1", b"/2"))
        rig.backend.request()
        third = rig.client()
        rig.backend.connections[0].queue(OK)
        third.queue(get(b"/3"))
        rig.reactor.turn()
        rig.reactor.turn()
        self.assertEqual(first.answer().status, 200)
        for client, path in ((second, b"/2"), (third, b"/3")):
            self.assertEqual(rig.backend.request().target, path)
            rig.backend.answer(OK)
            rig.reactor.turn()
            self.assertEqual(client.answer().status, 200)

    def test_who_can_be_served_does_not_wait_for_who_cannot(self) -> None:
        """The first in the queue has tried the one that is free."""
        rig = Rig(self, backends=2)
        members = tuple(Backend(each.address, max_connections=1) for each in rig.backends)
        rig.change(pools=(Pool("app", members, timeouts=Timeouts(queue_s=60.0)),))
        busy_one, refusing = rig.backends
        refusing.refuses = errno.ECONNREFUSED
        self.asked(rig, b"/1")
        waiting = self.asked(rig, b"/2")
        self.assertEqual((len(busy_one.connections), waiting.news), (1, b""))
        refusing.refuses = 0
        other = self.asked(rig, b"/3")
        rig.reactor.turn()
        self.assertEqual(refusing.request().target, b"/3")
        refusing.answer(OK)
        self.assertEqual(other.answer().status, 200)

    def test_not_for_ever(self) -> None:
        """X4: whoever waits too long is told so, and the others keep their place."""
        rig = busy(self)
        self.asked(rig, b"/1")
        second = self.asked(rig, b"/2")
        rig.wait(1.5)
        third = self.asked(rig, b"/3")
        rig.wait(1.0)
        answer = second.answer()
        self.assertEqual((answer.status, answer.field(b"retry-after")), (503, b"1"))
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("sQ", "queue_timeout"))
        self.assertGreaterEqual(entry["t"]["queue_ms"], 2000.0)
        self.assertEqual(third.news, b"")
        rig.backend.request()
        rig.backend.answer(OK)
        rig.reactor.turn()
        self.assertEqual(rig.backend.request().target, b"/3")

    def test_not_at_all(self) -> None:
        rig = busy(self, queue_s=0.0)
        self.asked(rig, b"/1")
        self.assertEqual(self.asked(rig, b"/2").answer().status, 503)
        self.assertEqual((rig.entry()["termination"], rig.inflight), ("RQ", 1))

    def test_not_too_many(self) -> None:
        breaker = CircuitBreaker(max_connections=0, max_pending=1)
        rig = busy(self, circuit_breaker=breaker)
        self.asked(rig, b"/1")
        self.assertEqual(self.asked(rig, b"/2").news, b"")
        self.assertEqual(self.asked(rig, b"/3").answer().status, 503)
        self.assertEqual(rig.entry()["error"], "busy")

    def test_a_client_that_leaves_gives_up_its_place(self) -> None:
        """L7: client gone while queued"""
        rig = busy(self)
        self.asked(rig, b"/1")
        second, third = self.asked(rig, b"/2"), self.asked(rig, b"/3")
        second.reset()
        rig.backend.request()
        rig.backend.answer(OK)
        rig.reactor.turn()
        self.assertEqual(rig.backend.request().target, b"/3")
        rig.backend.answer(OK)
        self.assertEqual(third.answer().status, 200)
        self.assertEqual([each["termination"] for each in rig.entries(3)], ["CQ", "--", "--"])
        self.assertEqual(rig.inflight, 0)

    def test_another_backend_is_taken_first(self) -> None:
        rig = Rig(self, backends=2)
        members = tuple(Backend(each.address, max_connections=1) for each in rig.backends)
        rig.change(pools=(Pool("app", members),))
        for _ in range(3):
            rig.client().send(GET)
        self.assertEqual([len(each.connections) for each in rig.backends], [1, 1])
        self.assertEqual(rig.inflight, 2)

    def test_a_pool_of_so_many_connections(self) -> None:
        """Over all its backends."""
        rig = Rig(self, backends=3, pool={"circuit_breaker": CircuitBreaker(max_connections=2)})
        clients = [rig.client() for _ in range(3)]
        for client in clients:
            client.send(GET)
        self.assertEqual(rig.inflight, 2)
        one = next(each for each in rig.backends if each.connections)
        one.request()
        one.answer(OK)
        rig.reactor.turn()
        self.assertEqual(rig.inflight, 2)
        self.assertEqual(rig.entry()["status"], 200)

    def test_more_room_by_a_new_snapshot(self) -> None:
        rig = busy(self)
        self.asked(rig, b"/1")
        second = self.asked(rig, b"/2")
        rig.change(pools=(Pool("app", (Backend(Rig.FIRST),)),))
        rig.reactor.turn()
        self.assertEqual(len(rig.backend.connections), 2)
        self.assertEqual(second.ending, None)

    def test_the_log_says_for_how_long(self) -> None:
        rig = busy(self)
        self.asked(rig, b"/1")
        self.asked(rig, b"/2")
        rig.wait(0.5)
        for _ in range(2):
            rig.backend.request()
            rig.backend.answer(OK)
            rig.reactor.turn()
        first, second = rig.entries(2)
        self.assertEqual(first["t"]["queue_ms"], 0.0)
        self.assertGreaterEqual(second["t"]["queue_ms"], 500.0)
        self.assertEqual((first["pick_reason"], second["pick_reason"]), ("round_robin",) * 2)
