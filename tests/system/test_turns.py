"""The lean reactor's loop, which waits again while nothing else is to do."""

import gc
import socket
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.reactor import LeanReactor

# When a loop that has overlooked something looks again.
LATE_S = 20.0


class End:
    """One end of a socket pair, in the reactor."""

    disconnected = False
    unsent = 0

    def __init__(self, sock: socket.socket, read: Callable[[bytes], None]) -> None:
        sock.setblocking(False)
        self.fileno = sock.fileno
        self._sock = sock
        self._read = read
        self.lost: Callable[[], None] = lambda: None

    def logPrefix(self) -> str:
        return "end"

    def doRead(self) -> None:
        self._read(self._sock.recv(100))

    def end(self) -> None:
        self.lost()

    def connectionLost(self, reason: object) -> None:
        """The reactor ends."""


class LoopTestCase(SynchronousTestCase):
    """A reactor with one end of a socket pair."""

    def setUp(self) -> None:
        self.reactor = LeanReactor()
        self.addCleanup(self.reactor._poller.close)
        self.near, far = socket.socketpair()
        for each in (self.near, far):
            self.addCleanup(each.close)
        self.heard: list[bytes] = []
        self.end = End(far, self.heard.append)
        self.reactor.addReader(self.end)
        self.is_late = False

    def run_until_stopped(self) -> None:
        self.reactor.callLater(LATE_S, self.give_up)
        self.reactor.run(installSignalHandlers=False)
        self.assertFalse(self.is_late)

    def give_up(self) -> None:
        self.is_late = True
        self.reactor.stop()

    def stop_soon(self, *_: object) -> None:
        self.reactor.callLater(0, self.reactor.stop)


class Turns(LoopTestCase):
    """When the loop waits, and when it does not."""

    def test_a_call_asked_for_while_reading_is_made(self) -> None:
        self.end._read = self.stop_soon
        self.reactor.callWhenRunning(self.near.send, b"x")
        self.run_until_stopped()

    def test_a_call_asked_for_while_closing_is_made(self) -> None:
        self.end.lost = self.stop_soon
        self.end._read = lambda _: self.reactor.close_soon(self.end)
        self.reactor.callWhenRunning(self.near.send, b"x")
        self.run_until_stopped()

    def test_a_fault_at_one_close_does_not_keep_the_others_open(self) -> None:
        def both(_: bytes) -> None:
            self.reactor.removeReader(self.end)
            self.reactor.close_soon(object())
            self.reactor.close_soon(self.end)

        self.end.lost = self.stop_soon
        self.end._read = both
        self.reactor.callWhenRunning(self.near.send, b"x")
        self.run_until_stopped()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_a_call_of_another_thread_is_made(self) -> None:
        thread = threading.Timer(0.05, self.reactor.callFromThread, (self.reactor.stop,))
        self.reactor.callWhenRunning(thread.start)
        self.run_until_stopped()
        thread.join()

    def test_an_end_said_while_reading_is_one(self) -> None:
        self.end._read = lambda _: self.reactor.stop()
        self.reactor.callWhenRunning(self.near.send, b"x")
        self.run_until_stopped()

    def test_calls_are_made_in_time_however_much_is_read(self) -> None:
        def again(data: bytes) -> None:
            self.near.send(data)

        self.end._read = again
        self.reactor.callWhenRunning(self.near.send, b"x")
        self.reactor.callLater(0.05, self.reactor.stop)
        self.run_until_stopped()

    def test_one_turn_is_one(self) -> None:
        self.near.send(b"x")
        self.reactor.iterate()
        self.assertEqual(self.heard, [b"x"])
        self.reactor.iterate()
        self.assertEqual(self.heard, [b"x"])


class Refused(ClientFactory):
    """Stops the reactor when its connection fails."""

    noisy = False

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._stop()


class Failures(LoopTestCase):
    """An attempt to connect that fails leaves nothing behind, not even for a garbage collection."""

    def fail_to(self, connect: Callable[[ClientFactory], Any]) -> None:
        ties = []

        def begin() -> None:
            attempt = connect(Refused(self.stop_soon))
            ties.append(weakref.ref(attempt.transport))

        gc.disable()
        self.addCleanup(gc.enable)
        self.reactor.callWhenRunning(begin)
        self.run_until_stopped()
        self.assertEqual([tie() for tie in ties], [None])

    def test_refused(self) -> None:
        closed = socket.create_server(("127.0.0.1", 0))
        _, port = closed.getsockname()
        closed.close()
        self.fail_to(lambda factory: self.reactor.connectTCP("127.0.0.1", port, factory))

    def test_late(self) -> None:
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
            self.addCleanup(waiting.close)
        host, port = full.getsockname()
        self.fail_to(lambda factory: self.reactor.connectTCP(host, port, factory, 0.1))

    def test_nobody_at_a_path(self) -> None:
        path = str(Path(self.mktemp()).resolve())
        self.fail_to(lambda factory: self.reactor.connectUNIX(path, factory))


class Echo(Protocol):
    def __init__(self, *, is_faulty: bool) -> None:
        self._is_faulty = is_faulty

    def connectionMade(self) -> None:
        if self._is_faulty:
            raise ValueError("not this one")

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]  # there is one by now


class Echoes(Factory):
    """All but the first are without fault."""

    noisy = False
    built = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.built += 1
        return Echo(is_faulty=self.built == 1)


class Faults(SynchronousTestCase):
    def test_one_costs_one_client_alone(self) -> None:
        """Its descriptor is soon another's."""
        reactor = LeanReactor()
        self.addCleanup(reactor._poller.close)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            port = reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, Echoes())
            address = listening.getsockname()
            answers: list[bytes | type[OSError]] = []
            for _ in range(3):
                with socket.create_connection(address) as client:
                    client.sendall(b"hello")
                    client.setblocking(False)
                    for _ in range(10):
                        reactor.iterate(0.01)
                    try:
                        answers.append(client.recv(100))
                    except OSError as error:
                        answers.append(type(error))
                reactor.iterate(0.01)
            port.stopListening()
            for _ in range(3):
                reactor.iterate()
        self.assertEqual(answers[1:], [b"hello", b"hello"])
        self.assertIn(answers[0], (b"", ConnectionResetError))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
