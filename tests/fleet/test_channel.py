"""Frames and descriptors between two processes, here between two ends in one."""

import os
import socket
import struct

from twisted.internet import reactor  # noqa: TID251  # these sockets are real
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.fleet.fakes import snapshot
from veloflux.fleet.channel import MAX_FRAME_BYTES, Channel, adopt
from veloflux.fleet.messages import (
    Commit,
    Down,
    Hello,
    Listen,
    Prepare,
    Reopen,
    encode,
    read_down,
    read_up,
)


def framed(body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + body


class Transport(StringTransport):
    """Records descriptors too."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: list[int] = []

    def sendFileDescriptor(self, descriptor: int) -> None:
        self.descriptors.append(descriptor)


class FrameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[tuple[Down, int | None]] = []
        self.lost: list[bool] = []
        self.channel = Channel(
            read_down,
            lambda message, descriptor: self.heard.append((message, descriptor)),
            lambda: self.lost.append(True),
        )
        self.transport = Transport()
        self.channel.makeConnection(self.transport)

    def test_reads_messages_however_they_are_cut(self) -> None:
        stream = framed(encode(Commit(1))) + framed(encode(Reopen()))
        for at in range(len(stream)):
            self.heard.clear()
            self.channel.dataReceived(stream[:at])
            self.channel.dataReceived(stream[at:])
            self.assertEqual(self.heard, [(Commit(1), None), (Reopen(), None)])

    def test_gives_each_listen_its_descriptor_in_order(self) -> None:
        a, b = os.pipe()
        self.channel.fileDescriptorReceived(a)
        self.channel.dataReceived(framed(encode(Reopen())) + framed(encode(Listen("a"))))
        self.channel.fileDescriptorReceived(b)
        self.channel.dataReceived(framed(encode(Listen("b"))))
        self.assertEqual(self.heard, [(Reopen(), None), (Listen("a"), a), (Listen("b"), b)])
        os.close(a)
        os.close(b)

    def test_gives_up_on_nonsense_and_hears_nothing_after_it(self) -> None:
        self.channel.dataReceived(framed(b"nonsense") + framed(encode(Commit(1))))
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)
        self.assertEqual(self.heard, [])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_gives_up_on_a_listen_without_a_descriptor(self) -> None:
        self.channel.dataReceived(framed(encode(Listen("a"))))
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.heard, [])

    def test_gives_up_on_a_frame_too_long_before_it_comes(self) -> None:
        self.channel.dataReceived(struct.pack("!I", MAX_FRAME_BYTES + 1))
        self.assertTrue(self.transport.disconnected)

    def test_says_once_that_the_other_end_is_gone_and_closes_what_nobody_claimed(self) -> None:
        kept, unclaimed = os.pipe()
        self.addCleanup(os.close, kept)
        self.channel.fileDescriptorReceived(unclaimed)
        self.channel.connectionLost()
        self.assertEqual(self.lost, [True])
        self.assertRaises(OSError, os.fstat, unclaimed)

    def test_sends_nothing_when_the_other_end_is_gone(self) -> None:
        self.transport.clear()
        self.channel.connected = 0
        self.channel.send(Commit(1), 5)
        self.assertEqual((self.transport.value(), self.transport.descriptors), (b"", []))


class SocketTests(TestCase):
    """The same over a real socket pair, where the kernel moves descriptors."""

    timeout = 20

    def setUp(self) -> None:
        self.heard: list[tuple[Down, int | None]] = []
        self.complete: Deferred[None] = Deferred()
        self.expected = 0
        self.closed: list[Deferred[None]] = [Deferred(), Deferred()]
        self.up = Channel(read_up, lambda *_: None, lambda: self.closed[0].callback(None))
        self.down = Channel(read_down, self._hear, lambda: self.closed[1].callback(None))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            adopt(reactor, ours.fileno(), self.up)
            adopt(reactor, theirs.fileno(), self.down)
        self.addCleanup(self._close)

    async def _close(self) -> None:
        self.up.transport.loseConnection()
        for closed in self.closed:
            await closed

    def _hear(self, message: Down, descriptor: int | None) -> None:
        self.heard.append((message, descriptor))
        if len(self.heard) == self.expected:
            self.complete.callback(None)

    async def test_descriptors_reach_their_frames_past_a_snapshot_of_megabytes(self) -> None:
        """Descriptors overtake the bytes before them: the queue puts them right (see channel)."""
        big = snapshot(1, *[])
        big = type(big)(1, (), big.pools * 20_000, big.routes)
        pairs = [socket.socketpair() for _ in range(40)]
        self.expected = 2 * len(pairs) + 1
        self.up.send(Prepare(big))
        for number, (one, _) in enumerate(pairs):
            self.up.send(Listen(str(number)), one.fileno())
            self.up.send(Commit(number))
        await self.complete
        self.assertEqual(self.heard[0], (Prepare(big), None))
        received = self.heard[1:]
        for number, (_, other) in enumerate(pairs):
            message, descriptor = received[2 * number]
            self.assertEqual(message, Listen(str(number)))
            self.assertFalse(os.get_inheritable(descriptor))
            with socket.socket(fileno=descriptor) as copy:
                copy.send(b"to %d" % number)
            self.assertEqual(other.recv(100), b"to %d" % number)
            self.assertEqual(received[2 * number + 1], (Commit(number), None))
        for pair in pairs:
            for sock in pair:
                sock.close()

    async def test_messages_go_up_as_well(self) -> None:
        heard: Deferred[object] = Deferred()
        self.up._on_message = lambda message, _: heard.callback(message)
        self.down.send(Hello(7))
        self.assertEqual(await heard, Hello(7))
