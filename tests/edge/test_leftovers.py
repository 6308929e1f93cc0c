"""What connections leave behind: nothing, and without waiting for the garbage collector.

A collection that is due only after thousands of objects lets as many connections' unsent bytes
pile up before it, so what holds such bytes must not be part of a cycle.
"""

import errno
import gc
from collections import Counter
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.edge.test_tunnels import HANDSHAKE, SWITCH
from tests.support.edge import GET, LISTENING, OK, POST, UPLOAD, Client, Rig, ok, variant
from veloflux.core.model.traffic import Listener
from veloflux.edge.bridge import Bridge
from veloflux.edge.deadlines import Deadlines, Timed
from veloflux.edge.downstream import Downstream
from veloflux.edge.relay import Relay
from veloflux.edge.tunnel import Tunnel
from veloflux.edge.valve import Valve

TEMPORARY = (Bridge, Downstream, Relay, Tunnel, Valve)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

Scene = Callable[[Rig, Client], None]


def answered(rig: Rig, client: Client) -> None:
    client.send(GET)
    rig.backend.answer(OK)


def last_answer(rig: Rig, client: Client) -> None:
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    rig.backend.answer(OK)


def chunked_both_ways(rig: Rig, client: Client) -> None:
    client.send(UPLOAD + b"5\r\nhello\r\n0\r\n\r\n")
    rig.backend.answer(CHUNKED + b"0\r\n\r\n")


def gone_while_waiting(rig: Rig, client: Client) -> None:
    client.send(GET)
    client.reset()


def gone_while_connecting(rig: Rig, client: Client) -> None:
    rig.backend.is_silent = True
    client.send(GET)
    client.close()
    rig.backend.accept()


def gone_while_sending(rig: Rig, client: Client) -> None:
    client.send(UPLOAD + b"5\r\nhello\r\n")
    client.reset()


def gone_while_reading(rig: Rig, client: Client) -> None:
    client.send(GET)
    client.stop_reading()
    rig.backend.answer(CHUNKED + b"%x\r\n%b" % (500_000, b"x" * 400_000))
    client.reset()


def gone_with_answers_untaken(rig: Rig, client: Client) -> None:
    client.stop_reading()
    client.send(GET)
    rig.backend.answer(ok(b"x" * 100_000))
    client.send(GET)
    client.reset()


def refused(rig: Rig, client: Client) -> None:
    rig.backend.refuses = errno.ECONNREFUSED
    client.send(GET)


def bad_answer(rig: Rig, client: Client) -> None:
    client.send(GET)
    rig.backend.answer(b"nonsense\r\n\r\n")


def cut_answer(rig: Rig, client: Client) -> None:
    client.send(GET)
    rig.backend.answer(CHUNKED)
    rig.backend.connection.reset()


def backend_that_stalls(rig: Rig, client: Client) -> None:
    client.send(POST.replace(b"5", b"900000") + b"x" * 10)
    rig.backend.connection.stop_reading()
    client.send(b"x" * 500_000)
    rig.wait(35)


def malformed(rig: Rig, client: Client) -> None:
    client.send(b"nonsense\r\n\r\n")


def early_answer(rig: Rig, client: Client) -> None:
    client.send(UPLOAD + b"5\r\nhello\r\n")
    rig.backend.answer(OK)
    client.send(b"x" * 100_000)


def websocket(rig: Rig, client: Client) -> None:
    client.send(HANDSHAKE)
    rig.backend.answer(SWITCH)
    client.send(b"hello")
    rig.backend.answer(b"hello")


def websocket_broken(rig: Rig, client: Client) -> None:
    websocket(rig, client)
    rig.backend.connection.reset()


def websocket_aborted(rig: Rig, client: Client) -> None:
    websocket(rig, client)
    client.stop_reading()
    rig.backend.answer(b"x" * 400_000)
    rig.wait(65)


HTTP: tuple[Scene, ...] = (
    answered,
    last_answer,
    chunked_both_ways,
    gone_while_waiting,
    gone_while_connecting,
    gone_while_sending,
    gone_while_reading,
    gone_with_answers_untaken,
    refused,
    bad_answer,
    cut_answer,
    backend_that_stalls,
    malformed,
    early_answer,
    websocket,
    websocket_broken,
    websocket_aborted,
)


def relayed(rig: Rig, client: Client) -> None:
    client.send(b"hello")
    rig.backend.answer(b"hello")


def relay_finished(rig: Rig, client: Client) -> None:
    client.send(b"hello")
    client.finish()
    rig.backend.connection.finish()


def relay_gone(rig: Rig, client: Client) -> None:
    rig.backend.connection.stop_reading()
    client.send(b"x" * 500_000)
    client.reset()


def relay_aborted(rig: Rig, client: Client) -> None:
    rig.backend.connection.stop_reading()
    client.send(b"x" * 500_000)
    rig.wait(65)


class Cycles(SynchronousTestCase):
    """L10"""

    def garbage(self, rig: Rig, scene: Scene) -> Counter[str]:
        """What a collection finds of a client's visit."""
        gc.collect()
        # What others made is not looked at, whenever they let go of it.
        gc.freeze()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            client = rig.client()
            scene(rig, client)
            client.close()
            rig.wait(3)
            gc.collect()
            kinds = [type(each) for each in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.unfreeze()
            gc.collect()
        return Counter(kind.__name__ for kind in kinds if kind.__module__.startswith("veloflux"))

    def test_http(self) -> None:
        for scene in HTTP:
            with variant(scene.__name__):
                self.assertEqual(self.garbage(Rig(self), scene), Counter())

    def test_relays(self) -> None:
        listener = Listener("tcp", LISTENING, protocol="tcp", pool="app")
        for scene in (relayed, relay_finished, relay_gone, relay_aborted):
            rig = Rig(self)
            rig.change(listeners=(listener,))
            with variant(scene.__name__):
                self.assertEqual(self.garbage(rig, scene), Counter())


class Stuck(SynchronousTestCase):
    """Whoever is to be told something before the end, and takes nothing, is not waited for."""

    def both_gone(self, rig: Rig, seconds: float) -> None:
        rig.wait(seconds)
        self.assertEqual((rig.reactor.descriptors, rig.inflight), (0, 0))

    def test_a_backend_that_is_owed_the_end_of_a_tunnel(self) -> None:
        """L5, W6: there is nothing more to send but the end itself."""
        rig = Rig(self)
        client = rig.client()
        websocket(rig, client)
        rig.backend.connection.stop_reading(5)
        client.send(b"hello")
        client.finish()
        rig.backend.connection.finish()
        self.both_gone(rig, 31)

    def test_a_tunnel_whose_client_finished_and_is_gone(self) -> None:
        """L5, W6: nobody notices, for nothing is read from it and nothing sent to it."""
        rig = Rig(self)
        client = rig.client()
        websocket(rig, client)
        client.finish()
        rig.wait(50)
        rig.backend.answer(b"still here")
        rig.wait(50)
        self.assertTrue(client.received.endswith(b"still here"))
        self.assertEqual(rig.inflight, 1)
        client.reset()
        self.both_gone(rig, 15)

    def test_a_backend_that_answers_and_does_not_read(self) -> None:
        """L5: the rest of the request would stand before the next one."""
        rig = Rig(self)
        client = rig.client()
        client.send(POST.replace(b"5", b"50000"))
        rig.backend.connection.stop_reading(1000)
        client.send(b"x" * 50_000)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(rig.gauge("veloflux_connections", "upstream"), 0)
        client.close()
        self.both_gone(rig, 3)

    def test_a_backend_that_answers_and_finishes_and_does_not_read(self) -> None:
        """L5"""
        rig = Rig(self)
        client = rig.client()
        client.send(POST.replace(b"5", b"50000"))
        rig.backend.connection.stop_reading(1000)
        client.send(b"x" * 50_000)
        rig.backend.answer(b"HTTP/1.1 200 OK\r\n\r\nok")
        rig.backend.connection.finish()
        self.assertEqual(client.answer().body, b"ok")
        client.close()
        self.both_gone(rig, 3)


class Kept(SynchronousTestCase):
    """What lives on keeps nothing of what it served."""

    def alive(self) -> Counter[str]:
        gc.collect()
        return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in TEMPORARY)

    def test_a_kept_connection(self) -> None:
        """L10"""
        rig = Rig(self)
        before = self.alive()
        for _ in range(3):
            client = rig.client()
            answered(rig, client)
            client.close()
        self.assertEqual(rig.gauge("veloflux_connections", "upstream"), 1)
        self.assertEqual(self.alive(), before)

    def test_a_connection_made_for_a_client_that_left(self) -> None:
        """L10"""
        rig = Rig(self)
        before = self.alive()
        gone_while_connecting(rig, rig.client())
        self.assertEqual(rig.gauge("veloflux_connections", "upstream"), 1)
        self.assertEqual(self.alive(), before)

    def test_an_idle_client(self) -> None:
        """L10"""
        rig = Rig(self)
        before = self.alive()
        client = rig.client()
        answered(rig, client)
        self.assertEqual(self.alive() - before, Counter({"Downstream": 1}))
        chunked_both_ways(rig, client)
        self.assertEqual(self.alive() - before, Counter({"Downstream": 1}))

    def test_deadlines_far_away(self) -> None:
        """L10: tunnels have deadlines in an hour; those that end before leave no trace."""
        clock = Clock()
        deadlines = Deadlines(clock)

        def sets() -> int:
            return sum(type(each) is set for each in gc.get_objects())

        before = sets()
        for _ in range(100):
            timed = Timed()
            deadlines.arm(timed, clock.seconds() + 3600)
            clock.advance(1)
            deadlines.disarm(timed)
        self.assertLess(sets() - before, 10)
