"""Taking clients when the machine runs out of what a connection needs."""

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.accept import AT_ONCE, REST_S, AcceptAll

FULL = OSError(errno.EMFILE, "Too many open files")
SYSTEM_FULL = OSError(errno.ENFILE, "Too many open files in system")
GONE = OSError(errno.ECONNABORTED, "Software caused connection abort")
NOBODY = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


class Sock:
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Listening:
    """A listening socket; `script` is what each call of accept gives, then nobody waits."""

    def __init__(self, *script: Sock | OSError) -> None:
        self.script = list(script)

    def accept(self) -> tuple[Sock, tuple[str, int]]:
        found = self.script.pop(0) if self.script else NOBODY
        if isinstance(found, OSError):
            raise found
        return found, ("192.0.2.1", 1024)


class Taken(Protocol):
    pass


class Factory:
    """Builds by `build`, and notes who was refused."""

    def __init__(self, build: Callable[[], Protocol | None] = Taken) -> None:
        self._build = build
        self.counts: list[int] = []

    def buildProtocol(self, address: IPv4Address) -> Protocol | None:
        return self._build()

    def refused(self, count: int) -> None:
        self.counts.append(count)


class Stock:
    """What of a `tcp.Port` accepting needs."""

    sessionno = 0
    connected = True
    disconnecting = False
    is_reading = True

    def __init__(self, listening: Listening, factory: Factory) -> None:
        self.socket = listening
        self.factory = factory
        self.reactor = Clock()
        self.taken: list[Any] = []

    def transport(self, sock: Sock, *rest: Any) -> Sock:
        self.taken.append(sock)
        return sock

    def startListening(self) -> None:
        pass

    def startReading(self) -> None:
        self.is_reading = True

    def stopReading(self) -> None:
        self.is_reading = False

    def _buildAddr(self, address: tuple[str, int]) -> IPv4Address:
        return IPv4Address("TCP", *address)


class Port(AcceptAll, Stock):
    pass


def port(*script: Sock | OSError, factory: Factory | None = None) -> Port:
    made = Port(Listening(*script), factory or Factory())
    made.startListening()
    return made


class AcceptTests(SynchronousTestCase):
    def test_takes_all_who_wait(self) -> None:
        socks = [Sock(), Sock(), Sock()]
        waiting = port(*socks)
        waiting.doRead()
        self.assertEqual(waiting.taken, socks)

    def test_goes_on_after_one_that_is_gone(self) -> None:
        sock = Sock()
        waiting = port(GONE, sock)
        waiting.doRead()
        self.assertEqual(waiting.taken, [sock])
        self.assertEqual(waiting.factory.counts, [])

    def test_leaves_the_others_a_turn(self) -> None:
        waiting = port(*(Sock() for _ in range(AT_ONCE + 1)))
        waiting.doRead()
        self.assertEqual(len(waiting.taken), AT_ONCE)

    def test_closes_whom_the_factory_does_not_want(self) -> None:
        sock = Sock()
        port(sock, factory=Factory(lambda: None)).doRead()
        self.assertTrue(sock.is_closed)

    def test_a_fault_costs_one_client_alone(self) -> None:
        def build() -> Protocol:
            if len(waiting.socket.script) == 1:
                raise ValueError("not this one")
            return Taken()

        first, second = Sock(), Sock()
        waiting = port(first, second, factory=Factory(build))
        waiting.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(first.is_closed)
        self.assertEqual(waiting.taken, [second])

    def test_refuses_who_waits_when_no_descriptor_is_left(self) -> None:
        """L6: they hear at once, and the socket stops being readable."""
        socks = [Sock(), Sock()]
        waiting = port(FULL, *socks)
        waiting.doRead()
        self.assertEqual([sock.is_closed for sock in socks], [True, True])
        self.assertEqual(waiting.taken, [])
        self.assertEqual(waiting.factory.counts, [2])
        self.assertTrue(waiting.is_reading)

    def test_rests_when_the_system_has_nothing_left(self) -> None:
        """L6: no busy loop."""
        sock = Sock()
        waiting = port(SYSTEM_FULL, SYSTEM_FULL, sock)
        waiting.doRead()
        self.assertFalse(waiting.is_reading)
        waiting.reactor.advance(REST_S)
        self.assertTrue(waiting.is_reading)
        waiting.doRead()
        self.assertEqual(waiting.taken, [sock])

    def test_a_port_that_is_closed_meanwhile_stays_closed(self) -> None:
        waiting = port(SYSTEM_FULL, SYSTEM_FULL)
        waiting.doRead()
        waiting.connected = False
        waiting.reactor.advance(REST_S)
        self.assertFalse(waiting.is_reading)
