"""Whether a kept connection can still be used."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.transport import has_ended


class Transport:
    """All that is asked of one here."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock


class HasEnded(SynchronousTestCase):
    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.transport = Transport(ours)

    def test_not_while_nothing_comes(self) -> None:
        self.assertFalse(has_ended(self.transport))

    def test_when_the_peer_has_closed(self) -> None:
        self.theirs.close()
        self.assertTrue(has_ended(self.transport))

    def test_when_the_peer_said_something_unasked(self) -> None:
        self.theirs.send(b"HTTP/1.1 408 Request Timeout\r\n")
        self.assertTrue(has_ended(self.transport))
        self.assertEqual(self.transport.socket.recv(8), b"HTTP/1.1")

    def test_unknown_without_a_socket(self) -> None:
        self.assertFalse(has_ended(object()))
