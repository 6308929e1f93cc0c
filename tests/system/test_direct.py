"""The shortest way between sockets and protocols: the same compiled and in Python."""

import os
import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge import compiled, direct, pure
from veloflux.edge.transport import NOT_BLOCKING

LATE_S = 10.0


class FaultError(Exception):
    """What a protocol may fail with."""


class Way(SynchronousTestCase):
    """In Python."""

    made_of: Any = pure

    def setUp(self) -> None:
        class End(self.made_of.Direct):  # type: ignore[misc]  # one of two
            """One end of a connection, as a transport."""

            def __init__(self, sock: Any) -> None:
                self.socket = sock
                self.protocol = self
                self.heard: list[bytes] = []
                self.queued: list[bytes] = []

            def fileno(self) -> int:
                return int(self.socket.fileno())

            def dataReceived(self, data: bytes) -> Any:
                self.heard.append(data)

            def _dataReceived(self, data: bytes) -> str:
                return f"ended by {data!r}"

            def queue(self, data: bytes) -> None:
                self.queued.append(data)

        self.kind: Callable[[Any], Any] = End
        self.near, self.far = self.pair()
        self.end = End(self.near)
        self.poller = select.epoll()
        self.addCleanup(self.poller.close)
        self.selectables: dict[int, Any] = {}
        self.others: list[tuple[Any, int, int]] = []
        self.lost: list[tuple[Any, Any, bool]] = []

    def pair(self) -> tuple[socket.socket, socket.socket]:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.settimeout(LATE_S)
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return near, far

    def watch(self, end: Any, events: int = select.EPOLLIN) -> None:
        self.poller.register(end.fileno(), events)
        self.selectables[end.fileno()] = end

    def turn(self, timeout: float = LATE_S) -> None:
        self.made_of.dispatch(
            self.poller,
            self.selectables,
            timeout,
            lambda *seen: self.others.append(seen),
            lambda *seen: self.lost.append(seen),
        )

    # One connection

    def test_hands_on_what_came(self) -> None:
        self.far.sendall(b"a request")
        self.assertIsNone(self.end.doRead())
        self.assertEqual(self.end.heard, [b"a request"])

    def test_takes_no_more_at_once_than_64_kib(self) -> None:
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.far.sendall(bytes(100_000))
        while sum(map(len, self.end.heard)) < 100_000:
            self.end.doRead()
        self.assertLessEqual(max(map(len, self.end.heard)), 65536)

    def test_what_was_handed_on_stays_as_it_is(self) -> None:
        for said in (b"the first", b"another, longer"):
            self.far.sendall(said)
            self.end.doRead()
        self.assertEqual(self.end.heard, [b"the first", b"another, longer"])

    def test_nothing_there_is_no_loss(self) -> None:
        self.assertIsNone(self.end.doRead())
        self.assertEqual(self.end.heard, [])

    def test_an_end_is_for_twisted_to_judge(self) -> None:
        self.far.shutdown(socket.SHUT_WR)
        self.assertEqual(self.end.doRead(), "ended by b''")

    def test_a_reset_is_a_loss(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        far = socket.create_connection(listening.getsockname(), LATE_S)
        near, _ = listening.accept()
        self.addCleanup(near.close)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        self.assertIs(self.kind(near).doRead(), CONNECTION_LOST)

    def test_a_protocol_may_fail(self) -> None:
        def fail(data: bytes) -> None:
            raise FaultError(data)

        self.end.dataReceived = fail
        self.far.sendall(b"x")
        self.assertRaises(FaultError, self.end.doRead)

    def test_says_why_a_protocol_wants_to_end(self) -> None:
        self.end.dataReceived = lambda data: "enough"
        self.far.sendall(b"x")
        self.assertEqual(self.end.doRead(), "enough")

    def test_sends_at_once(self) -> None:
        for data in (b"an ", bytearray(b"answer"), memoryview(b" whole")):
            self.end.write(data)
        self.assertEqual(self.far.recv(100), b"an answer whole")
        self.assertEqual((self.end.queued, self.end.is_clear), ([], True))

    def test_refuses_what_has_no_bytes(self) -> None:
        for wrong in ("text", 5, None):
            self.assertRaises(TypeError, self.end.write, wrong)
        self.assertEqual(self.end.queued, [])

    def test_queues_just_what_the_system_does_not_take(self) -> None:
        for size in (0, 1, 65_537, 200_000, 1 << 22):
            near, far = self.pair()
            end = self.kind(near)
            data = (bytes(range(251)) * (size // 251 + 1))[:size]
            end.write(data)
            queued = b"".join(end.queued)
            self.assertEqual(end.is_clear, not queued)
            near.close()
            with far.makefile("rb") as arrived:
                self.assertEqual(arrived.read() + queued, data)
            far.close()

    def test_what_comes_after_the_queued_is_queued(self) -> None:
        self.end.is_clear = False
        self.end.write(b"last")
        self.assertEqual(self.end.queued, [b"last"])
        self.far.setblocking(False)
        self.assertRaises(BlockingIOError, self.far.recv, 1)

    def test_a_broken_connection_is_found_by_the_queue(self) -> None:
        self.far.close()
        self.end.write(b"to nobody")
        self.assertEqual((self.end.queued, self.end.is_clear), ([b"to nobody"], False))

    def test_knows_no_socket_that_was_given_up(self) -> None:
        del self.end.socket
        self.assertFalse(hasattr(self.end, "socket"))
        self.assertRaises(AttributeError, self.end.doRead)
        self.assertRaises(AttributeError, self.end.write, b"x")

    def test_asks_a_socket_of_another_kind_in_its_own_way(self) -> None:
        class Slow(socket.socket):
            """Takes and gives one byte at a time."""

            def recv(self, size: int, flags: int = 0) -> bytes:
                return super().recv(1, flags)

            def send(self, data: Any, flags: int = 0) -> int:
                return super().send(data[:1], flags)

        end = self.kind(Slow(fileno=self.near.detach()))
        self.addCleanup(end.socket.close)
        self.far.sendall(b"ab")
        end.doRead()
        end.write(b"xy")
        self.assertEqual((end.heard, end.queued), ([b"a"], [b"y"]))

    # Clients

    def accepted(self, family: int, host: str) -> tuple[Any, Any, Any]:
        """What is said of a client, how it is, and what the system says of it."""
        listening = socket.create_server((host, 0), family=family)
        self.addCleanup(listening.close)
        listening.setblocking(False)
        far = socket.create_connection(listening.getsockname()[:2], LATE_S)
        self.addCleanup(far.close)
        fd, address = self.made_of.accept(listening)
        near = socket.socket(family, NOT_BLOCKING, 0, fd)
        self.addCleanup(near.close)
        self.assertIsNone(self.made_of.accept(listening))
        return address, near, far.getsockname()

    def test_a_client_is_known_by_its_address(self) -> None:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            address, near, name = self.accepted(family, host)
            self.assertEqual(address, name)
            self.assertEqual(near.getpeername(), name)

    def test_an_address_of_version_4_in_one_of_6_is_as_python_writes_it(self) -> None:
        listening = socket.socket(socket.AF_INET6)
        self.addCleanup(listening.close)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(("::", 0))
        listening.listen()
        far = socket.create_connection(("127.0.0.1", listening.getsockname()[1]), LATE_S)
        self.addCleanup(far.close)
        fd, address = self.made_of.accept(listening)
        near = socket.socket(socket.AF_INET6, NOT_BLOCKING, 0, fd)
        self.addCleanup(near.close)
        self.assertEqual(address, near.getpeername())

    def test_a_client_does_not_block_and_is_not_for_programs_that_are_started(self) -> None:
        _, near, _ = self.accepted(socket.AF_INET, "127.0.0.1")
        self.assertFalse(os.get_blocking(near.fileno()))
        self.assertFalse(os.get_inheritable(near.fileno()))
        self.assertEqual(near.gettimeout(), 0.0)

    def test_what_does_not_listen_has_no_clients(self) -> None:
        self.assertRaises(OSError, self.made_of.accept, self.near)

    # Many of them

    def test_calls_whoever_can_read(self) -> None:
        near, far = self.pair()
        other = self.kind(near)
        for end in (self.end, other):
            self.watch(end)
        far.sendall(b"x")
        self.turn()
        self.assertEqual((self.end.heard, other.heard), ([], [b"x"]))
        self.assertEqual((self.others, self.lost), ([], []))

    def test_waits_no_longer_than_it_may(self) -> None:
        self.watch(self.end)
        for timeout in (0, 0.0001):
            self.turn(timeout)
        self.assertEqual(self.end.heard, [])

    def test_other_events_are_for_twisted(self) -> None:
        self.watch(self.end, select.EPOLLIN | select.EPOLLOUT)
        self.turn()
        self.assertEqual(self.others, [(self.end, self.end.fileno(), select.EPOLLOUT)])
        self.assertEqual(self.end.heard, [])

    def test_a_hang_up_is_for_twisted(self) -> None:
        self.watch(self.end)
        self.far.close()
        self.turn()
        ((_, _, event),) = self.others
        self.assertTrue(event & select.EPOLLHUP)

    def test_passes_over_who_has_gone_meanwhile(self) -> None:
        near, far = self.pair()
        other = self.kind(near)

        def forget_all(data: bytes) -> None:
            self.end.heard.append(data)
            self.selectables.clear()

        for end, peer in ((self.end, self.far), (other, far)):
            self.watch(end)
            end.dataReceived = forget_all
            peer.sendall(b"x")
        self.turn()
        self.assertEqual(self.end.heard, [b"x"])

    def test_tells_who_is_lost_and_why(self) -> None:
        self.end.dataReceived = lambda data: "enough"
        self.watch(self.end)
        self.far.sendall(b"x")
        self.turn()
        self.assertEqual(self.lost, [(self.end, "enough", True)])

    def test_a_fault_of_one_is_logged_and_not_the_others(self) -> None:
        def fail(data: bytes) -> None:
            raise FaultError(data)

        near, far = self.pair()
        other = self.kind(near)
        self.end.dataReceived = fail
        for end, peer in ((self.end, self.far), (other, far)):
            self.watch(end)
            peer.sendall(b"x")
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(FaultError)), 1)
        ((end, why, is_reading),) = self.lost
        self.assertEqual((end, type(why), is_reading), (self.end, FaultError, True))
        self.assertEqual(other.heard, [b"x"])

    def test_anything_with_a_descriptor_can_be_called(self) -> None:
        """A waker, or a port."""

        class Other:
            calls = 0

            def doRead(self) -> None:
                self.calls += 1

        other = Other()
        self.poller.register(self.near.fileno(), select.EPOLLIN)
        self.selectables[self.near.fileno()] = other
        self.far.sendall(b"x")
        self.turn()
        self.assertEqual(other.calls, 1)

    def test_who_is_asked_for_more_than_once_in_a_turn_is_not_confused(self) -> None:
        """A turn inside a turn has events of its own."""
        ends = [(self.end, self.far)]
        for _ in range(4):
            near, far = self.pair()
            ends.append((self.kind(near), far))
        for end, peer in ends:
            self.watch(end)
            peer.sendall(b"x")
            end.dataReceived = lambda data, end=end: (end.heard.append(data), self.turn(0))[0]
        self.turn()
        self.assertEqual([end.heard for end, _ in ends], [[b"x"]] * 5)

    def test_a_poller_that_is_closed_is_an_error(self) -> None:
        self.poller.close()
        self.assertRaises((OSError, ValueError), self.turn, 0)


class Compiled(Way):
    """Compiled."""

    made_of = compiled

    def test_is_what_workers_use(self) -> None:
        self.assertTrue(direct.is_compiled)
        self.assertIs(direct.Direct, compiled.Direct)
