"""How a connection ends when nothing is wrong: GOAWAY in two steps, and the deadlines' way out."""

from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import POST, WHOLE, Peer
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Came, Requested
from veloflux.core.wire.http2.frames import frame

LARGEST = (1 << 31) - 1


def answer(peer: Peer, stream: int) -> None:
    peer.connection.answer(stream, b"200 OK", b"", ended=True)
    peer.listen()


class Leaving(SynchronousTestCase):
    def farewells(self, peer: Peer) -> list[tuple[int, int]]:
        peer.listen()
        return [(found.last_stream_id, found.error_code) for found in peer.heard("GoAway")]

    def test_serves_what_was_on_its_way(self) -> None:
        """X8, 6.8: no request is lost between the two steps"""
        peer = Peer()
        peer.ask(1)
        peer.connection.drain()
        self.assertEqual(self.farewells(peer), [(LARGEST, Code.NO_ERROR)])
        (ping,) = peer.heard("Ping")
        self.assertIsInstance(peer.ask(3)[0], Requested)
        peer.say(frame(frames.PING, frames.ACK, 0, ping.opaque_data))
        self.assertEqual(self.farewells(peer)[1:], [(3, Code.NO_ERROR)])
        self.assertEqual(peer.ask(5), [])
        self.assertEqual((peer.resets(), peer.connection.is_over), ([], False))
        answer(peer, 1)
        self.assertFalse(peer.connection.is_over)
        answer(peer, 3)
        self.assertTrue(peer.connection.is_over)

    def test_does_not_wait_for_a_client_that_says_nothing(self) -> None:
        """X8: the second step is the caller's when the ping is not answered"""
        peer = Peer()
        peer.connection.drain()
        self.assertFalse(peer.connection.is_over)
        peer.connection.drain(final=True)
        self.assertTrue(peer.connection.is_over)
        peer.connection.drain(final=True)
        self.assertEqual(self.farewells(peer), [(LARGEST, 0), (0, 0)])

    def test_bodies_go_on_while_it_drains(self) -> None:
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.drain(final=True)
        self.assertEqual(peer.say(frame(frames.DATA, 1, 1, b"x")), [Came(1, b"x", True)])
        answer(peer, 1)
        self.assertTrue(peer.connection.is_over)

    def test_names_no_more_streams_than_before(self) -> None:
        """6.8: nor does an error afterwards"""
        peer = Peer()
        peer.ask(1)
        peer.connection.drain(final=True)
        peer.ask(3)
        peer.say(frame(frames.PING, 0, 1, b"8" * 8))
        self.assertEqual(self.farewells(peer), [(1, 0), (1, Code.PROTOCOL_ERROR)])

    def test_fields_after_the_end_take_part_in_the_compression(self) -> None:
        """4.3: also those of streams that are not served any more"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.drain(final=True)
        peer.ask(3, (*POST, (b"x-new", b"value")))
        events = peer.ask(1, [(b"x-new", b"value")])
        self.assertEqual(events, [Came(1, b"", True, b"x-new: value\r\n")])

    def test_someone_elses_ping_does_not_end_it(self) -> None:
        peer = Peer()
        peer.connection.drain()
        peer.say(frame(frames.PING, frames.ACK, 0, b"12345678"))
        self.assertIsInstance(peer.ask(1)[0], Requested)

    def test_ends_at_once_when_told_to(self) -> None:
        """L3: a deadline is over"""
        peer = Peer()
        peer.ask(1)
        peer.connection.close(Code.ENHANCE_YOUR_CALM)
        peer.connection.close()
        self.assertEqual(self.farewells(peer), [(1, Code.ENHANCE_YOUR_CALM)])
        self.assertTrue(peer.connection.is_over)
        self.assertEqual(peer.ask(3), [])
